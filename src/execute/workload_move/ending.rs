//! The end of a move, and of one that is taken back: workloads up, Flux resumed, and what nobody needs deleted.

use super::{Next, READY_SECS_MAX, View, objects};
use crate::model::kinds::workload_move::MovePhase;
use crate::model::workload_moves::Act;

impl View<'_> {
    /// A workload that is to be up and is not; nothing once all are.
    pub(super) fn scaling_up(&self) -> Option<Next> {
        let mut all = self.status.workloads.iter().zip(&self.seen.workloads);
        let down =
            all.position(|(known, now)| known.replicas > 0 && now.is_some_and(|now| now.replicas == 0));
        down.map(|place| Next::Do(Act::ScaleUp(place)))
    }

    /// A Flux object that is to be awake and is not; nothing once all are.
    pub(super) fn resuming(&self) -> Option<Next> {
        let mut all = self.status.flux_suspended.iter().zip(&self.seen.flux);
        let asleep = all.position(|(was, now)| !was && *now == Some(true));
        asleep.map(|place| Next::Do(Act::Resume(place)))
    }

    pub(super) fn becoming_ready(&self) -> Next {
        let known = self.status.workloads.iter().zip(&self.seen.workloads);
        let all = self.spec.workloads.iter().zip(known);
        // One that is gone, or that somebody has scaled down since, has nothing to become.
        let unready = all.filter(|(_, (known, now))| {
            known.replicas > 0 && now.is_some_and(|now| now.replicas > 0 && !now.ready)
        });
        let unready: Vec<String> = unready
            .map(|(one, _)| format!("{} {}", one.kind, one.name))
            .collect();
        // What is to be taken back need not become ready first.
        if unready.is_empty() || self.context.withdrawn.is_some() {
            return self.enter(MovePhase::CleanUp);
        }
        let unready = unready.join(", ");
        // Since when it waits, also when it stopped meanwhile.
        match self.since(self.status.up_since.as_ref()) > READY_SECS_MAX {
            true => Next::Stop(format!(
                "{unready} did not become ready within {READY_SECS_MAX} s on the new volumes; the old ones are kept. To go back, take the promotion out of Git"
            )),
            false => Next::Wait(format!("waiting for {unready} to become ready")),
        }
    }

    pub(super) fn cleaning_up(&self) -> Next {
        for (place, claim) in self.spec.claims.iter().enumerate() {
            let journal = self.journal(place);
            let bound = self.seen.claims.get(&claim.name);
            let bound = bound.filter(|one| !one.going && one.phase == "Bound");
            if let (Some(new), Some(policy)) = (&journal.new_volume, &journal.new_policy)
                && bound.is_some_and(|one| one.volume == *new)
                && let Some(volume) = self.seen.volumes.get(new)
                && volume.policy != *policy
            {
                return Next::Do(Act::Release(new.clone(), policy.clone()));
            }
            let old = self.seen.volumes.get(&claim.volume);
            if old.is_some_and(|one| !one.going && one.mark != self.id && self.is_for(&claim.name, one)) {
                return Next::Do(Act::Mark(place, claim.volume.clone()));
            }
        }
        if let Some(next) = self.without_jobs() {
            return next;
        }
        let old: Vec<&str> = self.spec.claims.iter().map(|one| one.volume.as_str()).collect();
        Next::End(
            MovePhase::Completed,
            format!("the claims are on their new volumes; kept: {}", old.join(", ")),
        )
    }

    /// No claim was touched: what was made is deleted, and what was scaled down is scaled up.
    pub(super) fn taking_back(&self) -> Next {
        if let Some(next) = self.without_jobs() {
            return next;
        }
        for (place, claim) in self.spec.claims.iter().enumerate() {
            let journal = self.journal(place);
            let copy = objects::copy_claim(&claim.name, &self.id);
            let ours = |one: &&crate::model::restores::run::ClaimSeen| {
                one.manifest["metadata"]["labels"][crate::model::kinds::workload_move::MOVE_LABEL] == *self.id
            };
            if let Some(there) = self.seen.claims.get(&copy).filter(ours) {
                if !self.untouched() {
                    return Next::Stop(
                        "a claim was touched by somebody, so nothing that was copied is deleted".to_owned(),
                    );
                }
                let volume = self.seen.volumes.get(&there.volume);
                return match (there.going, &claim.onto, &journal.new_policy, volume) {
                    (true, ..) => Next::Wait(format!("waiting for claim {copy} to be gone")),
                    // A volume that was kept stays so.
                    (false, Some(onto), _, Some(volume)) if volume.policy != super::RETAIN => {
                        Next::Do(Act::Retain(onto.clone()))
                    }
                    (false, Some(onto), ..) if there.volume == *onto => {
                        Next::Do(Act::DeleteCopyClaim(place, onto.clone()))
                    }
                    (false, None, Some(policy), Some(volume)) if volume.policy != *policy => {
                        Next::Do(Act::Release(there.volume.clone(), policy.clone()))
                    }
                    (false, ..) => Next::Do(Act::DropCopyClaim(place)),
                };
            }
            let old = self.seen.volumes.get(&claim.volume);
            if let (Some(old), Some(policy)) = (old, &journal.old_policy)
                && old.policy != *policy
                && self.is_for(&claim.name, old)
            {
                return Next::Do(Act::Release(claim.volume.clone(), policy.clone()));
            }
        }
        if let Some(next) = self.scaling_up().or_else(|| self.resuming()) {
            return next;
        }
        let why = self.status.failure.clone().unwrap_or_default();
        let kept: Vec<&str> = self
            .spec
            .claims
            .iter()
            .filter_map(|one| one.onto.as_deref())
            .collect();
        let words = match kept.is_empty() {
            true => format!("{why}; everything is as it was"),
            false => format!(
                "{why}; the claims are on the volumes that they had. What was kept may be overwritten in part by now: {}",
                kept.join(", ")
            ),
        };
        match self.status.withdrawn {
            true => Next::End(MovePhase::Cancelled, words),
            false => Next::End(MovePhase::RolledBack, words),
        }
    }
}
