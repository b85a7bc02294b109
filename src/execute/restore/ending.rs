//! The end of a restore, and of one that is taken back: workloads up, Flux resumed, and what the restore made deleted.

use super::{Step, at, exchange};
use crate::model::drills::{Leftovers, ScratchSeen};
use crate::model::restores::Way;
use crate::model::restores::run::{Act, Phase, RestoreRun, Seen, VolumeNow};

pub(super) fn scaling_up(run: &RestoreRun, seen: &Seen) -> Step {
    let mut all = run.workloads.iter().zip(&seen.workloads);
    let down = all.position(|(one, now)| one.replicas.is_some_and(|count| count > 0) && *now == Some(0));
    match down {
        Some(place) => Step::Act(Act::ScaleUp(place)),
        None => at(run, Phase::Resume),
    }
}

pub(super) fn resuming(run: &RestoreRun, seen: &Seen) -> Step {
    let mut all = run.flux.iter().zip(&seen.flux);
    let asleep = all.position(|(one, now)| one.was_suspended == Some(false) && *now == Some(true));
    // Flux would come between Velero and what it restores, and a Restore cannot be broken off.
    let restores = seen.restore.as_ref().is_some_and(|one| !one.has_ended());
    match asleep {
        _ if run.way == Way::Everything && restores => {
            Step::Wait("waiting for Velero to end its Restore; it cannot be broken off".to_owned())
        }
        Some(place) => Step::Act(Act::Resume(place)),
        None => at(run, Phase::CleanUp),
    }
}

pub(super) fn cleaning_up(run: &RestoreRun, seen: &Seen) -> Step {
    // An old volume stays kept after a restore; any other is treated as before. One whose claim is elsewhere is not touched.
    for claim in &run.claims {
        let bound = seen.claims.get(&claim.name);
        let bound = bound.filter(|one| !one.going && one.phase == "Bound");
        let bound = bound.map(|one| &one.volume);
        let back = run.failure.is_some();
        let ours = |volume: &&String| back || bound == Some(*volume);
        let new = claim
            .new_volume
            .as_ref()
            .zip(claim.new_policy.as_ref())
            .filter(|(one, _)| ours(one));
        let old = claim.old_volume.as_ref().zip(claim.old_policy.as_ref());
        let old = old.filter(|(one, _)| back && bound == Some(*one));
        for (volume, policy) in [new, old].into_iter().flatten() {
            let ours = |one: &VolumeNow| exchange::is_for(run, &claim.name, one) && one.policy != *policy;
            if seen.volumes.get(volume).is_some_and(ours) {
                return Step::Act(Act::Release(volume.clone(), policy.clone()));
            }
        }
    }
    let ours = seen.scratch.as_ref().filter(|scratch| scratch.ours);
    match (ours, seen.leftovers) {
        // Somebody beside may have scaled down or suspended once more.
        (None, Leftovers::Nothing) => match (scaling_up(run, seen), resuming(run, seen)) {
            (step @ Step::Act(_), _) | (_, step @ (Step::Act(_) | Step::Wait(_))) => step,
            _ => Step::End,
        },
        (Some(ScratchSeen { going: false, .. }), _) | (_, Leftovers::Something) => Step::Act(Act::CleanUp),
        (Some(_), _) => Step::Wait(format!("waiting for namespace {} to be gone", run.scratch)),
        (None, Leftovers::Going) => Step::Wait("waiting for Velero to let its Restore go".to_owned()),
    }
}
