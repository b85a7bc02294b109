//! The copy. What was copied counts only if nobody could write meanwhile: a workload whose spec has changed since it was down may have run.

use super::{COPIES_AGAIN_MAX, Next, PROVISION_SECS_MAX, View, entering, objects};
use crate::model::kinds::workload_move::{MovePhase, MovedClaim};
use crate::model::quantities::span;
use crate::model::workload_moves::{Act, JobOutcome};

impl View<'_> {
    /// Whether somebody may have used the claims since the workloads were down.
    pub(super) fn disturbed(&self) -> Option<String> {
        if self.status.disturbed {
            return Some("somebody has used the claims meanwhile".to_owned());
        }
        if let Some(users) = self.users() {
            return Some(format!("somebody uses the claims: {users}"));
        }
        let known = self.status.workloads.iter().zip(&self.seen.workloads);
        let mut all = self.spec.workloads.iter().zip(known);
        let changed = all.find(|(_, (known, now))| {
            now.is_some_and(|now| {
                now.replicas > 0 || known.generation.is_some_and(|one| one != now.generation)
            })
        });
        changed.map(|(one, _)| format!("somebody has changed {} {} meanwhile", one.kind, one.name))
    }

    /// Claims that have yet to be copied and exchanged.
    pub(super) fn left(&self) -> impl Iterator<Item = (usize, &MovedClaim)> {
        let all = self.spec.claims.iter().enumerate();
        all.filter(|(_, claim)| {
            let now = self.seen.claims.get(&claim.name);
            now.is_some_and(|now| now.volume == claim.volume)
        })
    }

    pub(super) fn copying(&self) -> Next {
        if let Some(why) = self.disturbed() {
            return self.once_more(why);
        }
        let allowed = i64::try_from(self.spec.timeout_seconds).unwrap_or(i64::MAX);
        // Once a claim is on its new volume there is no way back to where all was, and giving up would only keep workloads down.
        if self.untouched() && self.since(self.status.down_since.as_ref()) > allowed {
            let allowed = span(self.spec.timeout_seconds);
            return self.fail(format!("it was not done within {allowed} (`copy.timeout`)"));
        }
        let mut waits = None;
        for (place, claim) in self.left() {
            let job = self.seen.jobs.get(&place);
            match job.map(|job| (job.ours, job.going, &job.outcome)) {
                None => return Next::Do(Act::MakeJob(place)),
                Some((false, ..)) => {
                    let name = objects::job(&self.id, place);
                    return self.fail(format!("there is a Job {name} that this move did not make"));
                }
                Some((_, true, _)) => waits = Some("waiting for an earlier Job to be gone".to_owned()),
                Some((_, _, JobOutcome::Failed(why))) => {
                    return self.fail(format!("claim {} could not be copied: {why}", claim.name));
                }
                Some((_, _, JobOutcome::Succeeded)) => {}
                Some((_, _, JobOutcome::Runs)) => match self.unprovisioned(claim) {
                    Some(why) => return self.fail(why),
                    None => waits = Some(format!("claim {} is being copied", claim.name)),
                },
            }
        }
        match waits {
            Some(waits) => Next::Wait(waits),
            None => self.copied(),
        }
    }

    /// Why no volume will come for the claim beside a claim.
    fn unprovisioned(&self, claim: &MovedClaim) -> Option<String> {
        let copy = objects::copy_claim(&claim.name, &self.id);
        let bound = self
            .seen
            .claims
            .get(&copy)
            .is_some_and(|one| one.phase == "Bound");
        let late = self.since(self.status.phase_since.as_ref()) > PROVISION_SECS_MAX;
        (late && !bound).then(|| {
            format!(
                "StorageClass {} has made no volume for claim {copy} within {PROVISION_SECS_MAX} s; `kubectl describe pvc` and the events of the Job's pod say why",
                claim.to
            )
        })
    }

    /// Everything was copied: the new volumes are written down.
    fn copied(&self) -> Next {
        let mut after = self.status.clone();
        for (place, claim) in self.left() {
            let copy = objects::copy_claim(&claim.name, &self.id);
            let now = self.seen.claims.get(&copy);
            let there = now.filter(|one| one.phase != "Lost" && !one.going);
            let (Some(bound), Some(journal)) = (there, after.claims.get_mut(place)) else {
                return self.fail(format!("claim {copy} was copied to, and is not bound any more"));
            };
            // Claims are read before Jobs: what was bound in between is seen with the next look.
            if bound.phase != "Bound" || bound.volume.is_empty() {
                return Next::Wait(format!("waiting for claim {copy} to be seen bound"));
            }
            let Some(volume) = self.seen.volumes.get(&bound.volume) else {
                return self.fail(format!("volume {} of claim {copy} is gone", bound.volume));
            };
            if journal.new_volume.as_ref() != Some(&bound.volume) {
                journal.new_volume = Some(bound.volume.clone());
                journal.new_policy = Some(volume.policy.clone());
            }
        }
        entering(MovePhase::Keep, after)
    }

    /// What was copied may be old: it is copied again, from the beginning.
    pub(super) fn once_more(&self, why: String) -> Next {
        if !self.status.disturbed {
            let mut after = self.status.clone();
            after.disturbed = true;
            after.message = why;
            return Next::Remember(Box::new(after));
        }
        if let Some(next) = self.without_jobs() {
            return next;
        }
        if self.untouched() && self.status.copied_again >= COPIES_AGAIN_MAX {
            return self.fail(format!(
                "somebody has used the claims each time while they were copied, {COPIES_AGAIN_MAX} times"
            ));
        }
        let mut after = self.status.clone();
        after.disturbed = false;
        after.copied_again += 1;
        entering(MovePhase::ScaleDown, after)
    }

    /// What takes Jobs and their pods away; nothing once there are none.
    pub(super) fn without_jobs(&self) -> Option<Next> {
        let mut ours = self.seen.jobs.iter().filter(|(_, job)| job.ours);
        if let Some((place, _)) = ours.clone().find(|(_, job)| !job.going) {
            return Some(Next::Do(Act::DeleteJob(*place)));
        }
        let going = ours.next().is_some() || !self.seen.carriers.is_empty();
        going.then(|| Next::Wait("waiting for the pods that have copied to be gone".to_owned()))
    }
}
