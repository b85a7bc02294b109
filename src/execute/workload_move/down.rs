//! The beginning of a move: what is there is written down, new claims are made, Flux is suspended, and workloads are scaled down.

use super::{DRAIN_SECS_MAX, Next, View, entering, objects};
use crate::model::kinds::workload_move::{ClaimJournal, MOVE_LABEL, MovePhase, WorkloadJournal};
use crate::model::workload_moves::Act;

impl View<'_> {
    /// Writes down what is there, or ends at once where it is not what was approved.
    pub(super) fn beginning(&self) -> Next {
        let mut after = self.status.clone();
        let superseded = |why: String| Next::End(MovePhase::Superseded, why);
        after.claims.clear();
        for claim in &self.spec.claims {
            let name = &claim.name;
            let now = self.seen.claims.get(name);
            let now = now.filter(|now| !now.going && now.phase == "Bound" && now.volume == claim.volume);
            let Some(now) = now else {
                return superseded(format!(
                    "claim {name} is not bound to volume {} any more",
                    claim.volume
                ));
            };
            let Some(old) = self.seen.volumes.get(&claim.volume).filter(|one| !one.going) else {
                return superseded(format!("volume {} is gone or being deleted", claim.volume));
            };
            let mut journal = ClaimJournal {
                old_policy: Some(old.policy.clone()),
                old_claim: Some(now.manifest.to_string()),
                ..ClaimJournal::default()
            };
            match &claim.onto {
                None if !self.seen.classes.contains(&claim.to) => {
                    return superseded(format!("there is no StorageClass {} any more", claim.to));
                }
                None => {}
                Some(onto) => match self.onto(onto, name) {
                    Ok(()) => {
                        journal.new_volume = Some(onto.clone());
                        let policy = claim.policy.clone();
                        journal.new_policy = Some(policy.unwrap_or_else(|| super::RETAIN.to_owned()));
                    }
                    Err(why) => return superseded(why),
                },
            }
            after.claims.push(journal);
        }
        after.workloads.clear();
        for (workload, now) in self.spec.workloads.iter().zip(&self.seen.workloads) {
            let Some(now) = now else {
                return superseded(format!("{} {} is gone", workload.kind, workload.name));
            };
            after.workloads.push(WorkloadJournal {
                replicas: now.replicas,
                generation: None,
            });
        }
        // One that is gone needs nothing.
        after.flux_suspended = self.seen.flux.iter().map(|now| now.unwrap_or(true)).collect();
        after.started_at = Some(self.context.now.to_string());
        entering(MovePhase::Provision, after)
    }

    /// Whether a kept volume is nobody's by now, so that the claim can have it back.
    fn onto(&self, volume: &str, claim: &str) -> Result<(), String> {
        let Some(now) = self.seen.volumes.get(volume).filter(|one| !one.going) else {
            return Err(format!(
                "volume {volume}, which was kept, is gone or being deleted"
            ));
        };
        let (namespace, name) = (now.claim.0.as_str(), now.claim.1.as_str());
        // A way back that failed has left it to the claim that it had made beside this one.
        let left = objects::is_beside(name, claim) && now.phase != "Bound";
        let ours = namespace == self.spec.namespace && (name == claim || left);
        match ours || (namespace.is_empty() && name.is_empty()) {
            true => Ok(()),
            false => Err(format!(
                "volume {volume}, which was kept, is for claim {namespace}/{name} by now"
            )),
        }
    }

    pub(super) fn provisioning(&self) -> Next {
        for (place, claim) in self.spec.claims.iter().enumerate() {
            let copy = objects::copy_claim(&claim.name, &self.id);
            match self.seen.claims.get(&copy) {
                Some(one) if one.going => return Next::Wait(format!("waiting for claim {copy} to be gone")),
                Some(one) if one.manifest["metadata"]["labels"][MOVE_LABEL] != *self.id => {
                    return self.fail(format!("there is a claim {copy} that this move did not make"));
                }
                Some(_) => continue,
                None => {}
            }
            let Some(onto) = &claim.onto else {
                return Next::Do(Act::MakeCopyClaim(place, None));
            };
            let Some(volume) = self.seen.volumes.get(onto) else {
                return self.fail(format!("volume {onto}, which was kept, is gone"));
            };
            let reserved = volume.claim == (self.spec.namespace.clone(), copy) && volume.claim_uid.is_empty();
            return Next::Do(match reserved {
                false => Act::ReserveCopy(place, onto.clone()),
                true => Act::MakeCopyClaim(place, Some(onto.clone())),
            });
        }
        self.enter(MovePhase::Suspend)
    }

    pub(super) fn suspending(&self) -> Next {
        match self.awake() {
            Some(act) => Next::Do(act),
            None => self.enter(MovePhase::ScaleDown),
        }
    }

    /// A Flux object that is to be suspended and is not.
    fn awake(&self) -> Option<Act> {
        let mut all = self.status.flux_suspended.iter().zip(&self.seen.flux);
        let awake = all.position(|(was, now)| !was && *now == Some(false));
        awake.map(Act::Suspend)
    }

    /// What is to be down and is not, such as a workload that somebody scaled up again.
    pub(super) fn up_again(&self) -> Option<Act> {
        let mut all = self.seen.workloads.iter();
        let up = all.position(|now| now.is_some_and(|now| now.replicas > 0));
        self.awake().or(up.map(Act::ScaleDown))
    }

    pub(super) fn scaling_down(&self) -> Next {
        match self.up_again() {
            Some(act) => Next::Do(act),
            None => self.enter(MovePhase::Drain),
        }
    }

    pub(super) fn draining(&self) -> Next {
        if let Some(act) = self.up_again() {
            return Next::Do(act);
        }
        if let Some(users) = self.users() {
            let took = self.since(self.status.phase_since.as_ref());
            return match took > DRAIN_SECS_MAX {
                true => self.fail(format!(
                    "pods that use the claims have not ended within {DRAIN_SECS_MAX} s: {users}"
                )),
                false => Next::Wait(format!("waiting for pods that use the claims to end: {users}")),
            };
        }
        let mut after = self.status.clone();
        for (known, now) in after.workloads.iter_mut().zip(&self.seen.workloads) {
            known.generation = now.map(|now| now.generation);
        }
        entering(MovePhase::Copy, after)
    }

    /// Pods that use the claims.
    pub(super) fn users(&self) -> Option<String> {
        let users: Vec<&str> = self.seen.users.iter().map(String::as_str).collect();
        (!users.is_empty()).then(|| users.join(", "))
    }
}
