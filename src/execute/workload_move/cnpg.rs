//! Which step of making a Cluster's instances anew comes next. Pure: the same journal and the same look give the same step.
//!
//! One replica after the other: its volumes are set to `Retain` and that is seen, its claims and its pod are deleted, and the operator
//! clones it onto the class that Git has given to the Cluster. Nothing of an instance is deleted before all of them are there, ready and
//! following; nothing of the primary is, ever: when it is the only one left, another one becomes the primary first. What is deleted is
//! written down with its uid before, and nothing else is. What was deleted comes back only by the operator, so a move that is withdrawn
//! ends where it is, with a whole Cluster, and the way back is another move of the same kind.

use super::journal::doing;
use super::{Context, Step, objects};
use crate::model::cnpg::{Act, ClaimNow, ClusterNow, DATA, PodNow, Seen};
use crate::model::kinds::workload_move::{
    ClaimJournal, InstanceClaim, InstanceJournal, MovePhase, SwitchJournal, WorkloadMoveSpec,
    WorkloadMoveStatus,
};

/// One instance.
mod round;

#[cfg(test)]
mod tests;

/// How long a Cluster may take to be well again before somebody has to look, where nothing of it was deleted.
const REST_SECS_MAX: i64 = 900;

/// How long a switch-over may take: what the operator gives the old primary to end at most, unless it is told otherwise
/// (`spec.switchoverDelay`, 3600 s).
const SWITCH_SECS_MAX: i64 = 3600;

/// How often instances are made anew beyond once for each of them, before somebody has to look why they do not come to be on the class.
const ROUNDS_MORE_MAX: u32 = 3;

type Next = super::Next<Act>;

type View<'a> = super::View<'a, Seen>;

/// Which step comes next.
pub fn next(
    spec: &WorkloadMoveSpec,
    status: &WorkloadMoveStatus,
    seen: &Seen,
    context: &Context,
) -> Step<Act> {
    let view = View {
        spec,
        status,
        seen,
        context,
        id: objects::id(&context.name),
    };
    view.step(|view, phase| view.in_phase(phase), told)
}

/// An act as the journal tells it.
fn told(act: &Act) -> String {
    match act {
        Act::Retain(volume) => format!("keep volume {volume} from being deleted"),
        Act::Release(volume, policy) => format!("set volume {volume} to {policy}"),
        Act::Mark { volume, .. } => format!("mark volume {volume}, which is kept"),
        Act::DeleteClaim { claim, uid, .. } => format!("delete claim {claim} ({uid}), whose volume stays"),
        Act::DeletePod { pod, uid } => format!("delete pod {pod} ({uid}), whose claims are being deleted"),
        Act::SwitchOver { from, to } => format!("switch over from {from} to {to}"),
    }
}

impl View<'_> {
    fn in_phase(&self, phase: MovePhase) -> Next {
        match (phase, &self.context.withdrawn) {
            (MovePhase::Pending, Some(why)) => Next::End(MovePhase::Cancelled, why.clone()),
            (MovePhase::Pending, None) => self.beginning(),
            (MovePhase::Reclone | MovePhase::SwitchOver, _) => match &self.status.instance {
                Some(instance) => self.round(instance),
                None => self.between(),
            },
            (MovePhase::CleanUp, _) => self.ending(),
            // Of the other method, or ended.
            _ => Next::Wait(self.status.message.clone()),
        }
    }

    fn remember(&self, change: impl FnOnce(&mut WorkloadMoveStatus)) -> Box<WorkloadMoveStatus> {
        let mut after = self.status.clone();
        change(&mut after);
        Box::new(after)
    }

    /// Waits for the Cluster to be well, for some time.
    fn rest(&self, why: String) -> Next {
        match &self.status.waits_since {
            None => Next::Remember(self.remember(|after| {
                after.waits_since = Some(self.context.now.to_string());
            })),
            since if self.since(since.as_ref()) > REST_SECS_MAX => Next::Stop(why),
            Some(_) => Next::Wait(why),
        }
    }

    /// What has to be so before anything more of the Cluster is touched.
    fn unfit(&self) -> Option<String> {
        let refusal = self.seen.refusals(&self.spec.to).into_iter().next();
        refusal.map(|one| one.message).or_else(|| self.seen.waits())
    }

    /// Writes down what is there, or ends at once where it is not what was approved.
    fn beginning(&self) -> Next {
        let superseded = |why: String| Next::End(MovePhase::Superseded, why);
        if let Some(refusal) = self.seen.refusals(&self.spec.to).into_iter().next() {
            return superseded(refusal.message);
        }
        let mut claims = Vec::new();
        for claim in &self.spec.claims {
            let (name, wanted) = (&claim.name, &claim.volume);
            let now = self.seen.claims.get(name);
            if now.is_none_or(|now| now.going || !now.bound || now.volume != *wanted) {
                return superseded(format!("claim {name} is not bound to volume {wanted} any more"));
            }
            let Some(old) = self.seen.volumes.get(wanted).filter(|one| !one.going) else {
                return superseded(format!("volume {wanted} is gone or being deleted"));
            };
            claims.push(ClaimJournal {
                old_policy: Some(old.policy.clone()),
                ..ClaimJournal::default()
            });
        }
        let after = self.remember(|after| {
            after.claims = claims;
            after.started_at = Some(self.context.now.to_string());
        });
        Next::Enter(MovePhase::Reclone, after, doing(MovePhase::Reclone).to_owned())
    }

    /// No instance is being made anew: which one is next.
    fn between(&self) -> Next {
        let elsewhere = self.seen.elsewhere(&self.spec.to);
        if elsewhere.is_empty() && !self.seen.claims.is_empty() {
            return match self.seen.waits() {
                Some(why) => self.rest(why),
                None => Next::Enter(
                    MovePhase::CleanUp,
                    self.remember(|after| after.waits_since = None),
                    "all instances are on the class".to_owned(),
                ),
            };
        }
        if let Some(why) = &self.context.withdrawn {
            return self.withdrawn(why);
        }
        let instances = self.seen.cluster.as_ref().map_or(0, |one| one.wanted);
        if i64::from(self.status.rounds) >= instances + i64::from(ROUNDS_MORE_MAX) {
            return Next::Stop(format!(
                "instances of Cluster {} were made anew {} times and are not all on class {}; look why. To end this, take the promotion out of Git",
                self.seen.name, self.status.rounds, self.spec.to
            ));
        }
        let leads = |name: &str| self.seen.leads(name);
        if let Some(switch) = self.status.switch.as_ref().filter(|one| leads(&one.from)) {
            return self.switching(switch);
        }
        if let Some(why) = self.unfit() {
            return self.rest(why);
        }
        let replica = elsewhere.iter().find(|one| !leads(one));
        match (replica, elsewhere.first()) {
            (Some(replica), _) => self.enter_round(replica),
            (None, Some(primary)) => self.enter_switch(primary),
            (None, None) => self.rest(format!("Cluster {} has no claims", self.seen.name)),
        }
    }

    /// What is to be deleted of a replica is written down.
    fn enter_round(&self, name: &str) -> Next {
        let Some(pod) = self.seen.pods.get(name) else {
            return self.rest(format!("instance {name} has no pod"));
        };
        let mut claims: Vec<(&String, &ClaimNow)> = self
            .seen
            .claims
            .iter()
            .filter(|(_, one)| one.instance == name)
            .collect();
        claims.sort_by_key(|(claim, one)| (one.role != DATA, *claim));
        // As it was when the move began: what was set since may be of this move.
        let known = self.spec.claims.iter().zip(&self.status.claims);
        let policy = |volume: &str| {
            let known = known.clone().find(|(claim, _)| claim.volume == volume);
            let known = known.and_then(|(_, journal)| journal.old_policy.clone());
            known.or_else(|| self.seen.volumes.get(volume).map(|one| one.policy.clone()))
        };
        let claims = claims.into_iter().map(|(claim, one)| InstanceClaim {
            name: claim.clone(),
            uid: one.uid.clone(),
            volume: one.volume.clone(),
            policy: policy(&one.volume).unwrap_or_default(),
        });
        let instance = InstanceJournal {
            name: name.to_owned(),
            pod: pod.uid.clone(),
            claims: claims.collect(),
            ..InstanceJournal::default()
        };
        let after = self.remember(|after| {
            after.instance = Some(instance);
            (after.switch, after.waits_since) = (None, None);
        });
        let words = format!("making instance {name} anew on class {}", self.spec.to);
        Next::Enter(MovePhase::Reclone, after, words)
    }

    /// The only instance that is left is the primary.
    fn enter_switch(&self, from: &str) -> Next {
        let Some(to) = self.successor(from) else {
            return self.rest(format!("no instance could be the primary instead of {from}"));
        };
        if let Some(next) = self.for_people(from, to) {
            return next;
        }
        let after = self.remember(|after| {
            after.switch = Some(self.switch(from, to));
            after.waits_since = None;
        });
        let words = format!(
            "switching over from {from} to {to}, which is on class {}",
            self.spec.to
        );
        Next::Enter(MovePhase::SwitchOver, after, words)
    }

    /// Who has said that people switch over is not taken by surprise.
    fn for_people(&self, from: &str, to: &str) -> Option<Next> {
        let (cluster, namespace) = (&self.seen.name, &self.spec.namespace);
        let supervised = self.seen.cluster.as_ref().is_some_and(|one| one.supervised);
        supervised.then(|| {
            Next::Stop(format!(
                "{from} is the primary of Cluster {cluster}, whose primaryUpdateStrategy is supervised; switch over with `kubectl cnpg promote \
                 -n {namespace} {cluster} {to}`, and this goes on"
            ))
        })
    }

    fn switch(&self, from: &str, to: &str) -> SwitchJournal {
        SwitchJournal {
            from: from.to_owned(),
            to: to.to_owned(),
            since: self.context.now.to_string(),
        }
    }

    /// A replica that can be the primary: ready, with claims that stay. One on the class is better.
    fn successor(&self, instead_of: &str) -> Option<&str> {
        let elsewhere = self.seen.elsewhere(&self.spec.to);
        let fit = |(name, pod): &(&String, &PodNow)| {
            let mut claims = self.seen.claims.values().filter(|one| one.instance == **name);
            *name != instead_of && pod.ready && !pod.going && claims.all(|one| one.bound && !one.going)
        };
        let all = self.seen.pods.iter().filter(fit).map(|(name, _)| name.as_str());
        all.min_by_key(|name| (elsewhere.contains(name), *name))
    }

    /// A switch-over was asked for, and the old primary leads still.
    fn switching(&self, switch: &SwitchJournal) -> Next {
        let SwitchJournal { from, to, since } = switch;
        if self.since(Some(since)) > SWITCH_SECS_MAX {
            return Next::Stop(format!(
                "{from} is the primary of Cluster {} still, {SWITCH_SECS_MAX} s after it was told that {to} is to be; look at the logs of both, or \
                 switch over by hand, and this goes on",
                self.seen.name
            ));
        }
        let leads = |one: &ClusterNow| one.primary == *from && one.target == *from;
        match self.seen.cluster.as_ref().is_some_and(leads) {
            false => Next::Wait(format!("waiting for {to} to be the primary instead of {from}")),
            true => match self.unfit() {
                Some(why) => self.rest(why),
                None if self.status.waits_since.is_some() => {
                    Next::Remember(self.remember(|after| after.waits_since = None))
                }
                None => Next::Do(Act::SwitchOver {
                    from: from.clone(),
                    to: to.clone(),
                }),
            },
        }
    }

    /// It is not approved any more, and no instance is on its way.
    fn withdrawn(&self, why: &str) -> Next {
        if let Some(waits) = self.seen.waits().filter(|_| self.status.rounds > 0) {
            // It was begun; it is not left half done where that can be helped.
            match self.rest(waits) {
                Next::Stop(_) => {}
                next => return next,
            }
        }
        self.given_up(why)
    }

    /// It ends where it is.
    fn given_up(&self, why: &str) -> Next {
        if self.status.rounds == 0 {
            return Next::End(
                MovePhase::Cancelled,
                format!("{why}; nothing was deleted, and everything is as it was"),
            );
        }
        let whole = match self.seen.waits() {
            None => "is whole".to_owned(),
            Some(waits) => format!("is not well: {waits}"),
        };
        let elsewhere: Vec<&str> = self.seen.elsewhere(&self.spec.to).into_iter().collect();
        Next::End(
            MovePhase::Cancelled,
            format!(
                "{why}; Cluster {} {whole}. Not on class {}: {}; kept: {}. To go on, commit the promotion again; to go back, let Git give the \
                 Cluster its old class, and delete claims and pod of one replica after the other",
                self.seen.name,
                self.spec.to,
                elsewhere.join(", "),
                self.kept()
            ),
        )
    }

    /// Volumes that this move keeps.
    fn kept(&self) -> String {
        let ours = self.seen.volumes.iter().filter(|(_, one)| one.mark == self.id);
        let names: Vec<&str> = ours.map(|(name, _)| name.as_str()).collect();
        names.join(", ")
    }

    /// What the claims of the spec have by now is written down.
    fn ending(&self) -> Next {
        let mut after = self.status.clone();
        for (claim, journal) in self.spec.claims.iter().zip(&mut after.claims) {
            let now = self.seen.claims.get(&claim.name);
            let Some(now) = now.filter(|now| now.volume != claim.volume) else {
                continue;
            };
            let volume = self.seen.volumes.get(&now.volume);
            journal.new_policy = volume.map(|volume| volume.policy.clone());
            journal.new_volume = Some(now.volume.clone());
        }
        if after.claims != self.status.claims {
            return Next::Remember(Box::new(after));
        }
        Next::End(
            MovePhase::Completed,
            format!(
                "the instances of Cluster {} are on class {}; kept: {}",
                self.seen.name,
                self.spec.to,
                self.kept()
            ),
        )
    }
}
