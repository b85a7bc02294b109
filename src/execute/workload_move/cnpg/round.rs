//! One instance made anew: kept, taken away, and waited for.

use super::{Next, View};
use crate::execute::workload_move::RETAIN;
use crate::model::cnpg::{Act, ClusterNow, PodNow};
use crate::model::kinds::workload_move::{InstanceClaim, InstanceJournal, MovePhase};
use crate::model::restores::run::VolumeNow;

impl View<'_> {
    /// An instance is being made anew.
    pub(super) fn round(&self, instance: &InstanceJournal) -> Next {
        let intact = instance.claims.iter().all(|one| self.intact(one));
        match (intact, &instance.since) {
            (true, _) => self.untouched(instance),
            // Somebody else has begun to delete it, and nobody knows whether it was the time to.
            (false, None) => Next::Remember(self.remember(|after| after.instance = None)),
            (false, Some(_)) => self.touched(instance),
        }
    }

    /// Whether a claim is there as it was, and is not being deleted.
    fn intact(&self, one: &InstanceClaim) -> bool {
        let now = self.seen.claims.get(&one.name);
        now.is_some_and(|now| now.uid == one.uid && !now.going)
    }

    /// Nothing of the instance is deleted yet.
    fn untouched(&self, instance: &InstanceJournal) -> Next {
        if instance.left {
            return self.leaving(instance);
        }
        let name = &instance.name;
        let pod = self.seen.pods.get(name).map(|pod| &pod.uid);
        if self.context.withdrawn.is_some() || self.seen.leads(name) || pod != Some(&instance.pod) {
            return Next::Remember(self.remember(|after| {
                after.instance = after
                    .instance
                    .take()
                    .map(|one| InstanceJournal { left: true, ..one });
            }));
        }
        match self.keep(instance, |_| true) {
            Err(why) => return Next::Stop(why),
            Ok(Some(act)) => return Next::Do(act),
            Ok(None) => {}
        }
        if let Some(why) = self.unfit() {
            return self.rest(why);
        }
        let Some(data) = instance.claims.first() else {
            return Next::Stop(format!("instance {name} has no claims"));
        };
        let after = self.remember(|after| {
            after.waits_since = None;
            // Once for each instance, however often it is tried.
            after.rounds += u32::from(instance.since.is_none());
            if let Some(one) = &mut after.instance {
                one.since = Some(self.context.now.to_string());
            }
        });
        let act = Act::DeleteClaim {
            claim: data.name.clone(),
            uid: data.uid.clone(),
            first: true,
        };
        Next::With(after, act)
    }

    /// What keeps the volumes of claims that are there when those go.
    fn keep(
        &self,
        instance: &InstanceJournal,
        wanted: impl Fn(&InstanceClaim) -> bool,
    ) -> Result<Option<Act>, String> {
        for claim in instance.claims.iter().filter(|one| wanted(one)) {
            let of_it = |one: &&VolumeNow| {
                !one.going
                    && one.claim == (self.spec.namespace.clone(), claim.name.clone())
                    && one.claim_uid == claim.uid
            };
            match self.seen.volumes.get(&claim.volume).filter(of_it) {
                None => {
                    return Err(format!(
                        "volume {} of claim {} is gone, being deleted, or another claim's",
                        claim.volume, claim.name
                    ));
                }
                Some(one) if one.policy != RETAIN => return Ok(Some(Act::Retain(claim.volume.clone()))),
                Some(_) => {}
            }
        }
        Ok(None)
    }

    /// The instance is not made anew now: its volumes become what they were.
    fn leaving(&self, instance: &InstanceJournal) -> Next {
        let changed = instance.claims.iter().find(|claim| {
            let now = self.seen.volumes.get(&claim.volume);
            now.is_some_and(|now| now.policy != claim.policy && now.claim_uid == claim.uid)
        });
        // A deletion that was asked for may be on its way still: its volume stays.
        match changed.filter(|_| instance.since.is_none()) {
            Some(claim) => Next::Do(Act::Release(claim.volume.clone(), claim.policy.clone())),
            None => Next::Remember(self.remember(|after| after.instance = None)),
        }
    }

    /// Claims of the instance are gone, or on their way.
    fn touched(&self, instance: &InstanceJournal) -> Next {
        let name = &instance.name;
        let late = self.since(instance.since.as_ref())
            > i64::try_from(self.spec.timeout_seconds).unwrap_or(i64::MAX);
        let wait = |why: String| match late {
            true => Next::Stop(format!(
                "instance {name} was not made anew within {} s: {why}. Nothing more is deleted; its old volumes are kept, and this goes on \
                 when the Cluster is well",
                self.spec.timeout_seconds
            )),
            false => Next::Wait(why),
        };
        let now = |claim: &InstanceClaim| self.seen.claims.get(&claim.name);
        let is_there = |claim: &InstanceClaim| now(claim).is_some_and(|now| now.uid == claim.uid);
        // Where the operator has made a new claim for the data already, the instance is its own again.
        let data = instance.claims.first();
        let anew = data.is_some_and(|data| now(data).is_some_and(|now| now.uid != data.uid));
        let pod = self.seen.pods.get(name);
        let left = instance.claims.iter().any(is_there);
        if !anew && (left || pod.is_some_and(|pod| pod.uid == instance.pod)) {
            return self.taking_away(instance, pod, wait);
        }
        let kept = instance.claims.iter().find(|claim| {
            let now = self.seen.volumes.get(&claim.volume);
            !is_there(claim) && now.is_some_and(|now| now.mark != self.id && now.claim_uid == claim.uid)
        });
        if let Some(claim) = kept {
            return Next::Do(Act::Mark {
                volume: claim.volume.clone(),
                claim: claim.name.clone(),
            });
        }
        match self.seen.waits() {
            // Whoever gives it up does not wait for what does not come.
            Some(why) => match (late, &self.context.withdrawn) {
                (true, Some(withdrawn)) => self.given_up(withdrawn),
                _ => wait(why),
            },
            None => {
                let after = self.remember(|after| {
                    (after.instance, after.switch, after.waits_since) = (None, None, None);
                });
                let words = format!("instance {name} was made anew, and the Cluster is whole");
                Next::Enter(MovePhase::Reclone, after, words)
            }
        }
    }

    /// The rest of an instance goes: it cannot keep what is on its way, and without its data it is none.
    fn taking_away(
        &self,
        instance: &InstanceJournal,
        pod: Option<&PodNow>,
        wait: impl Fn(String) -> Next,
    ) -> Next {
        let name = &instance.name;
        if self.seen.leads(name) {
            return self.away(name, wait);
        }
        if !self.seen.others_are_ready(name) {
            return wait(format!("waiting for all instances but {name} to be ready"));
        }
        match self.keep(instance, |one| self.intact(one)) {
            Err(why) => return Next::Stop(why),
            Ok(Some(act)) => return Next::Do(act),
            Ok(None) => {}
        }
        if let Some(claim) = instance.claims.iter().find(|one| self.intact(one)) {
            return Next::Do(Act::DeleteClaim {
                claim: claim.name.clone(),
                uid: claim.uid.clone(),
                first: false,
            });
        }
        match pod.filter(|pod| !pod.going) {
            Some(pod) => Next::Do(Act::DeletePod {
                pod: name.clone(),
                uid: pod.uid.clone(),
            }),
            None => wait(format!(
                "waiting for the claims and the pod of instance {name} to be gone"
            )),
        }
    }

    /// The instance has become the primary while its claims were on their way: they last as long as its pod does, which is not touched before
    /// another one leads.
    fn away(&self, name: &str, wait: impl Fn(String) -> Next) -> Next {
        let leads = |one: &ClusterNow| one.primary == name && one.target == name;
        if !self.seen.cluster.as_ref().is_some_and(leads) {
            return wait(format!(
                "waiting for another instance than {name} to be the primary"
            ));
        }
        match self.successor(name) {
            Some(to) => self.for_people(name, to).unwrap_or_else(|| {
                Next::Do(Act::SwitchOver {
                    from: name.to_owned(),
                    to: to.to_owned(),
                })
            }),
            None => wait(format!("no instance could be the primary instead of {name}")),
        }
    }
}
