//! The exchange of volumes under claims. A claim is deleted only when both of its volumes stay without it, and a volume is given to a claim
//! only while no other claim has it.

use super::{RETAIN, Step, at, told, up_again};
use crate::model::restores::run::{Act, ClaimRun, ClaimSeen, Phase, RestoreRun, Seen, VolumeNow};

pub(super) fn exchanging(run: &RestoreRun, seen: &Seen) -> Step {
    if let Some(act) = up_again(run, seen) {
        return Step::Act(act);
    }
    if let Some(users) = told(seen) {
        return Step::Wait(users);
    }
    for (place, claim) in run.claims.iter().enumerate() {
        if let Some(step) = exchange(run, seen, place, claim) {
            return step;
        }
    }
    at(run, Phase::ScaleUp)
}

/// What binds one claim to its other volume; nothing when it is.
fn exchange(run: &RestoreRun, seen: &Seen, place: usize, claim: &ClaimRun) -> Option<Step> {
    let (wanted, other, made) = match run.aborted {
        false => (&claim.new_volume, &claim.old_volume, &claim.new_claim),
        true => (&claim.old_volume, &claim.new_volume, &claim.old_claim),
    };
    let name = &claim.name;
    match seen.claims.get(name) {
        Some(one) if one.going => Some(Step::Wait(format!("waiting for claim {name} to be gone"))),
        Some(one) if wanted.as_ref() == Some(&one.volume) => {
            let bound = one.phase == "Bound";
            (!bound).then(|| {
                Step::Wait(format!(
                    "waiting for claim {name} to be bound to volume {}",
                    one.volume
                ))
            })
        }
        // A claim that never had a volume is as it was.
        Some(one) if run.aborted && wanted.is_none() && made.is_some() && one.volume.is_empty() => None,
        Some(one) => Some(leave(run, seen, (place, claim), (one, other))),
        None if made.is_none() => None,
        None => Some(take(run, seen, place, (claim, wanted.as_ref()))),
    }
}

/// A claim is deleted when it is bound to the volume that is known of it, and both volumes stay without it.
fn leave(
    run: &RestoreRun,
    seen: &Seen,
    (place, claim): (usize, &ClaimRun),
    (now, other): (&ClaimSeen, &Option<String>),
) -> Step {
    let name = &claim.name;
    let unbound = now.volume.is_empty() && other.is_none() && claim.there;
    if other.as_ref() != Some(&now.volume) && !unbound {
        return Step::Stopped(format!(
            "claim {name} is bound to volume {:?}, which this restore does not know; somebody made it anew: delete it, or bind it by hand",
            now.volume
        ));
    }
    if let Some(why) = seen.backup_lost.as_ref().filter(|_| !run.aborted) {
        return Step::Stopped(why.clone());
    }
    for volume in [&claim.old_volume, &claim.new_volume].into_iter().flatten() {
        match kept(run, seen, claim, volume) {
            Err(why) => return Step::Stopped(why),
            Ok(Some(act)) => return Step::Act(act),
            Ok(None) => {}
        }
    }
    Step::Act(Act::DeleteClaim(place, now.volume.clone()))
}

/// Whether a volume is for a claim of this restore, or for none: any other is somebody's.
pub(super) fn is_for(run: &RestoreRun, claim: &str, volume: &VolumeNow) -> bool {
    let (namespace, name) = (volume.claim.0.as_str(), volume.claim.1.as_str());
    let ours = [run.namespace.as_str(), run.scratch.as_str()];
    (namespace.is_empty() && name.is_empty()) || (name == claim && ours.contains(&namespace))
}

/// What is to be done so that a volume stays without its claim; nothing when it does.
///
/// # Errors
/// Why it cannot stay.
pub(super) fn kept(
    run: &RestoreRun,
    seen: &Seen,
    claim: &ClaimRun,
    volume: &str,
) -> Result<Option<Act>, String> {
    match seen.volumes.get(volume) {
        // One that is being deleted goes with its claim, whatever its policy says.
        None | Some(VolumeNow { going: true, .. }) => Err(format!(
            "volume {volume} of claim {} is gone or being deleted",
            claim.name
        )),
        Some(one) if !is_for(run, &claim.name, one) => {
            let (namespace, name) = &one.claim;
            Err(format!(
                "volume {volume} is for claim {namespace}/{name} now; somebody uses it"
            ))
        }
        Some(one) if one.policy != RETAIN => Ok(Some(Act::Retain(volume.to_owned()))),
        Some(_) => Ok(None),
    }
}

/// A claim is made when its volume is for it and for no other.
fn take(run: &RestoreRun, seen: &Seen, place: usize, (claim, wanted): (&ClaimRun, Option<&String>)) -> Step {
    let Some(wanted) = wanted else {
        return Step::Act(Act::MakeClaim(place, None));
    };
    let name = &claim.name;
    match kept(run, seen, claim, wanted) {
        Err(why) => return Step::Stopped(why),
        Ok(Some(act)) => return Step::Act(act),
        Ok(None) => {}
    }
    match seen.scratch_claims.get(name).filter(|one| one.volume == *wanted) {
        Some(one) if one.going => {
            return Step::Wait(format!(
                "waiting for claim {name} of the scratch namespace to be gone"
            ));
        }
        Some(_) => return Step::Act(Act::DeleteScratchClaim(place)),
        None => {}
    }
    let ours = |volume: &VolumeNow| {
        volume.claim == (run.namespace.clone(), name.clone()) && volume.claim_uid.is_empty()
    };
    match seen.volumes.get(wanted).is_some_and(ours) {
        false => Step::Act(Act::Reserve(place, wanted.clone())),
        true => Step::Act(Act::MakeClaim(place, Some(wanted.clone()))),
    }
}
