//! Which step of a restore comes next. Pure: the same record and the same look give the same step.
//!
//! Data is restored into a scratch namespace first and held against the backup byte for byte, while everything else goes on. Only then Flux is
//! suspended, workloads are scaled down, and each claim is bound to its other volume: so a restore that fails has touched nothing, and Velero
//! never writes over data that is there. A claim is deleted only when its volume is seen to stay without it. What is about to be done is
//! written down first, and each act may be done twice.

use crate::model::drills::{RestoreSeen, ScratchSeen, VolumeSeen};
use crate::model::restores::Way;
use crate::model::restores::run::{Act, ClaimRun, Phase, RestoreRun, Seen};

/// What a restore makes.
pub mod objects;

/// The exchange of volumes under claims.
mod exchange;

/// What ends a restore.
mod ending;

#[cfg(test)]
mod tests;

pub use crate::model::restores::run::RETAIN;

/// What comes next.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Write this down, then look again.
    Record(Box<RestoreRun>),
    /// It is written down: do this, then look again.
    Act(Act),
    /// Nothing can be done now; this is what it waits for.
    Wait(String),
    /// It cannot go on by itself, for this reason.
    Stopped(String),
    /// Nothing is left to do.
    End,
}

fn at(run: &RestoreRun, phase: Phase) -> Step {
    Step::Record(Box::new(RestoreRun { phase, ..run.clone() }))
}

/// A restore that has touched nothing yet takes away what it made; one into an empty namespace says what stands.
fn failed(run: &RestoreRun, why: String) -> Step {
    let phase = match run.way {
        Way::Volumes => Phase::CleanUp,
        Way::Everything => run.phase,
    };
    Step::Record(Box::new(RestoreRun {
        phase,
        failure: Some(why),
        ..run.clone()
    }))
}

/// Takes a restore back: what was exchanged is exchanged again, what was scaled down is scaled up, what was suspended is resumed.
pub fn abort(run: &RestoreRun) -> RestoreRun {
    let phase = match (run.way, run.phase) {
        (Way::Everything, Phase::Prepare | Phase::CleanUp) => Phase::CleanUp,
        (Way::Everything, _) => Phase::Resume,
        (Way::Volumes, Phase::Prepare | Phase::Restore | Phase::Check | Phase::Keep) => Phase::CleanUp,
        (Way::Volumes, Phase::Suspend | Phase::ScaleDown | Phase::Drain) => Phase::ScaleUp,
        (Way::Volumes, Phase::Exchange) => Phase::Exchange,
        // It failed before it touched anything.
        (Way::Volumes, Phase::CleanUp) if run.failure.is_some() => Phase::CleanUp,
        // Workloads may be up again with what was restored.
        (Way::Volumes, Phase::ScaleUp | Phase::Resume | Phase::CleanUp) => Phase::Suspend,
    };
    if run.aborted {
        return run.clone();
    }
    let mut after = RestoreRun {
        phase,
        aborted: true,
        failure: run.failure.clone().or(Some("it was taken back".to_owned())),
        ..run.clone()
    };
    if written_since(run) {
        // Live data has gone there since: it is set aside, and never deleted.
        for claim in &mut after.claims {
            claim.new_policy = Some(RETAIN.to_owned());
        }
    }
    after
}

/// Whether workloads may have written to what was restored.
pub fn written_since(run: &RestoreRun) -> bool {
    run.way == Way::Volumes
        && run.failure.is_none()
        && matches!(run.phase, Phase::ScaleUp | Phase::Resume | Phase::CleanUp)
}

/// Which step comes next.
pub fn next(run: &RestoreRun, seen: &Seen) -> Step {
    match run.phase {
        Phase::Prepare => preparing(run, seen),
        Phase::Restore => restoring(run, seen),
        Phase::Check => checking(run, seen),
        Phase::Keep => keeping(run, seen),
        Phase::Suspend => suspending(run, seen),
        Phase::ScaleDown => scaling_down(run, seen),
        Phase::Drain => match (up_again(run, seen), told(seen)) {
            (Some(act), _) => Step::Act(act),
            (None, Some(users)) => Step::Wait(users),
            (None, None) => at(run, Phase::Exchange),
        },
        Phase::Exchange => exchange::exchanging(run, seen),
        Phase::ScaleUp => ending::scaling_up(run, seen),
        Phase::Resume => ending::resuming(run, seen),
        Phase::CleanUp => ending::cleaning_up(run, seen),
    }
}

fn told(seen: &Seen) -> Option<String> {
    let users: Vec<&str> = seen.users.iter().map(String::as_str).collect();
    (!users.is_empty()).then(|| {
        format!(
            "waiting for pods that use the claims to end: {}",
            users.join(", ")
        )
    })
}

fn preparing(run: &RestoreRun, seen: &Seen) -> Step {
    if run.way == Way::Everything {
        return at(run, Phase::Suspend);
    }
    match &seen.scratch {
        Some(ScratchSeen { ours: false, .. }) => {
            let name = &run.scratch;
            failed(
                run,
                format!("there is a namespace {name} that this restore did not make; it was left alone"),
            )
        }
        Some(_) if seen.prepared => at(run, Phase::Restore),
        _ => Step::Act(Act::Prepare),
    }
}

fn restoring(run: &RestoreRun, seen: &Seen) -> Step {
    if let Some(why) = &run.failure {
        return Step::Stopped(why.clone());
    }
    let Some(restore) = &seen.restore else {
        return match (&run.restore_started_at, &seen.backup_lost) {
            (Some(_), _) => failed(run, "somebody deleted the Restore".to_owned()),
            (None, Some(why)) => failed(run, why.clone()),
            // Velero would write over files of claims that are there.
            (None, None) if run.way == Way::Everything && !(seen.claims.is_empty() && seen.users.is_empty()) => failed(
                run,
                "something made claims or pods in the namespace meanwhile; take this back, and restore with --replace".to_owned(),
            ),
            (None, None) => Step::Act(Act::Restore),
        };
    };
    if run.restore_started_at.as_ref() != Some(&restore.created) {
        return Step::Record(Box::new(RestoreRun {
            restore_started_at: Some(restore.created.clone()),
            ..run.clone()
        }));
    }
    let (done, all) = restore.items;
    if !restore.has_ended() {
        let phase = match restore.phase.as_str() {
            "" => "not looked at",
            phase => phase,
        };
        return Step::Wait(format!(
            "waiting for Velero to restore: {phase}, {done} of {all} objects"
        ));
    }
    match restore.phase == "Completed" && restore.errors == 0 && done == all {
        true => at(run, Phase::Check),
        false => failed(run, format!("the restore did not complete: {}", ended(restore))),
    }
}

fn ended(restore: &RestoreSeen) -> String {
    let (done, all) = restore.items;
    let reason = match restore.reason.as_str() {
        "" => String::new(),
        reason => format!(": {reason}"),
    };
    format!(
        "{}: {done} of {all} objects, {} errors{reason}",
        restore.phase, restore.errors
    )
}

/// What is wrong with a restored volume.
fn flaw(claim: &ClaimRun, volume: Option<&VolumeSeen>) -> Option<String> {
    let name = &claim.name;
    let Some(volume) = volume else {
        return Some(format!(
            "claim {name}: the backup holds it, and Velero restored nothing of it"
        ));
    };
    let VolumeSeen {
        phase, done, total, ..
    } = volume;
    let whole = phase == "Completed" && done == total && *total == claim.bytes;
    (!whole).then(|| {
        format!(
            "claim {name}: {phase}, {done} of {total} bytes, the backup has {}",
            claim.bytes
        )
    })
}

fn checking(run: &RestoreRun, seen: &Seen) -> Step {
    if let Some(why) = &run.failure {
        return Step::Stopped(why.clone());
    }
    let flaws = run
        .claims
        .iter()
        .filter_map(|claim| flaw(claim, seen.restored.get(&claim.name)));
    let flaws: Vec<String> = flaws.collect();
    if !flaws.is_empty() {
        return failed(run, flaws.join("; "));
    }
    if run.way == Way::Everything {
        return at(run, Phase::Resume);
    }
    let mut after = run.clone();
    for claim in &mut after.claims {
        let name = &claim.name;
        let Some(new) = seen
            .scratch_claims
            .get(name)
            .filter(|one| !one.volume.is_empty() && !one.going)
        else {
            return failed(
                run,
                format!("claim {name}: it was restored, and it has no volume"),
            );
        };
        let old = seen.claims.get(name);
        match old {
            Some(_) if !claim.there => {
                return failed(
                    run,
                    format!("claim {name} was made by somebody meanwhile; it was left alone"),
                );
            }
            Some(old) if old.going => {
                return failed(run, format!("claim {name} is being deleted by somebody"));
            }
            _ => {}
        }
        let policy = |volume: &String| seen.volumes.get(volume).map(|one| one.policy.clone());
        let (old_volume, mut made) = (old.map(|one| one.volume.clone()), new.manifest.clone());
        claim.old_volume = old_volume.filter(|name| !name.is_empty());
        claim.old_policy = claim.old_volume.as_ref().and_then(policy);
        claim.old_claim = old.map(|one| one.manifest.clone());
        claim.new_volume = Some(new.volume.clone());
        claim.new_policy = policy(&new.volume);
        // What owns the claim now, such as Flux, knows it by its labels and annotations.
        made["metadata"] = old.map_or(&new.manifest, |old| &old.manifest)["metadata"].clone();
        claim.new_claim = Some(made);
    }
    after.phase = Phase::Keep;
    Step::Record(Box::new(after))
}

fn keeping(run: &RestoreRun, seen: &Seen) -> Step {
    if let Some(why) = &seen.backup_lost {
        return failed(run, why.clone());
    }
    for claim in &run.claims {
        for volume in [&claim.new_volume, &claim.old_volume].into_iter().flatten() {
            match exchange::kept(run, seen, claim, volume) {
                Err(why) => return failed(run, why),
                Ok(Some(act)) => return Step::Act(act),
                Ok(None) => {}
            }
        }
    }
    match seen.scratch_pods {
        (0, 0) => at(run, Phase::Suspend),
        (0, _) => Step::Wait("waiting for the pods that brought the data to end".to_owned()),
        _ => Step::Act(Act::EndCarriers),
    }
}

fn suspending(run: &RestoreRun, seen: &Seen) -> Step {
    if run.flux.iter().any(|one| one.was_suspended.is_none()) {
        let mut after = run.clone();
        for (one, now) in after.flux.iter_mut().zip(&seen.flux) {
            // One that is gone needs nothing.
            one.was_suspended.get_or_insert(now.unwrap_or(true));
        }
        return Step::Record(Box::new(after));
    }
    match (awake(run, seen), run.way) {
        (Some(act), _) => Step::Act(act),
        (None, Way::Everything) => at(run, Phase::Restore),
        (None, Way::Volumes) => at(run, Phase::ScaleDown),
    }
}

/// A Flux object that is to be suspended and is not.
fn awake(run: &RestoreRun, seen: &Seen) -> Option<Act> {
    let mut all = run.flux.iter().zip(&seen.flux);
    let awake = all.position(|(one, now)| one.was_suspended == Some(false) && *now == Some(false));
    awake.map(Act::Suspend)
}

fn scaling_down(run: &RestoreRun, seen: &Seen) -> Step {
    if run.workloads.iter().any(|one| one.replicas.is_none()) {
        let mut after = run.clone();
        for (one, now) in after.workloads.iter_mut().zip(&seen.workloads) {
            one.replicas.get_or_insert(now.unwrap_or(0));
        }
        return Step::Record(Box::new(after));
    }
    match up_again(run, seen) {
        Some(act) => Step::Act(act),
        None => at(run, Phase::Drain),
    }
}

/// What is to be down and is not, such as a workload that somebody scaled up again.
fn up_again(run: &RestoreRun, seen: &Seen) -> Option<Act> {
    let up = seen
        .workloads
        .iter()
        .position(|now| now.is_some_and(|now| now > 0));
    awake(run, seen).or(up.map(Act::ScaleDown))
}
