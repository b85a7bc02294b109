//! Which step of a restore drill comes next. Pure: the same drill, the same look and the same time give the same step.
//!
//! What a drill is about to do stands in the status of its BackupPolicy before it is done, and each of its acts may be done twice: a
//! process that dies anywhere is followed by one that goes on. A drill ends only when nothing of it is left in the cluster, whatever came
//! of it, and it never touches a namespace that it did not make.

use crate::model::drills::{
    DrillSeen, JobSeen, Leftovers, RestoreSeen, ScratchSeen, VolumeSeen, object_name,
};
use crate::model::kinds::drill::{DrillCheck, DrillPhase, DrillRecord, DrillRun};
use crate::model::quantities::span;
use jiff::Timestamp;
use std::collections::BTreeSet;

/// What a drill makes.
pub mod objects;

#[cfg(test)]
mod tests;

/// What is demanded of a drill.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// How long it may take, in seconds, until all that it made is taken away again.
    pub timeout_seconds: i64,
    /// The Jobs that must succeed, by name, with what each of them checks.
    pub jobs: Vec<(String, String)>,
    /// Why the drill is to stop, if it is: its policy is gone, or says something else by now.
    pub withdrawn: Option<String>,
}

/// What comes next.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Write this down, then look again.
    Record(DrillRun),
    /// It is written down: do this, then look again.
    Act(Act),
    /// Nothing can be done now; this is what it waits for.
    Wait(DrillRun),
    /// Nothing is left of it: this is what it proved.
    End(DrillRecord),
}

/// What is done. Each of them may be done again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Make the scratch namespace, its network policy and quota, and the changes to what is restored.
    Prepare,
    /// Make the Restore.
    Restore,
    /// Make the Jobs that check.
    Check,
    /// Delete all of it.
    CleanUp,
}

/// Which step comes next.
pub fn next(run: &DrillRun, rules: &Rules, seen: &DrillSeen, now: Timestamp) -> Step {
    let leaving = run.phase == DrillPhase::CleanUp;
    if let Some(why) = trouble(run, rules, seen, now).filter(|_| !leaving) {
        return Step::Record(failed(run, why));
    }
    let ours = seen.scratch.as_ref().filter(|scratch| scratch.ours);
    match run.phase {
        DrillPhase::Pending => Step::Record(at(run, DrillPhase::Prepare)),
        DrillPhase::Prepare if ours.is_some() && seen.prepared => Step::Record(at(run, DrillPhase::Restore)),
        DrillPhase::Prepare => Step::Act(Act::Prepare),
        DrillPhase::Restore => restoring(run, seen),
        DrillPhase::Check => checking(run, rules, seen),
        DrillPhase::CleanUp => match (ours, seen.leftovers) {
            (None, Leftovers::Nothing) => Step::End(record(run, now)),
            (Some(ScratchSeen { going: false, .. }), _) | (_, Leftovers::Something) => {
                Step::Act(Act::CleanUp)
            }
            (Some(_), _) => waits(run, format!("waiting for namespace {} to be gone", run.scratch)),
            (None, Leftovers::Going) => {
                let name = object_name(run);
                waits(run, format!("waiting for Velero to let Restore {name} go"))
            }
        },
    }
}

/// Why a drill cannot go on.
fn trouble(run: &DrillRun, rules: &Rules, seen: &DrillSeen, now: Timestamp) -> Option<String> {
    if let Some(why) = &rules.withdrawn {
        return Some(why.clone());
    }
    if let Some(scratch) = &seen.scratch {
        if !scratch.ours {
            let name = &run.scratch;
            return Some(format!(
                "there is a namespace {name} that this drill did not make; it was left alone"
            ));
        }
        if scratch.going {
            return Some(format!("somebody deletes the scratch namespace {}", run.scratch));
        }
    } else if run.phase >= DrillPhase::Restore {
        return Some(format!("the scratch namespace {} is gone", run.scratch));
    }
    let since = run.started_at.parse::<Timestamp>().ok()?.as_second();
    let waited = run
        .message
        .as_ref()
        .map_or(String::new(), |message| format!(": {message}"));
    (now.as_second() - since > rules.timeout_seconds).then(|| {
        let limit = span(u64::try_from(rules.timeout_seconds).unwrap_or_default());
        format!("it was given up after {limit}{waited}")
    })
}

fn at(run: &DrillRun, phase: DrillPhase) -> DrillRun {
    DrillRun {
        phase,
        message: None,
        ..run.clone()
    }
}

fn failed(run: &DrillRun, why: String) -> DrillRun {
    DrillRun {
        failure: Some(why),
        ..at(run, DrillPhase::CleanUp)
    }
}

fn waits(run: &DrillRun, what: String) -> Step {
    Step::Wait(DrillRun {
        message: Some(what),
        ..run.clone()
    })
}

fn restoring(run: &DrillRun, seen: &DrillSeen) -> Step {
    let Some(restore) = &seen.restore else {
        return match run.restore_started_at {
            None => Step::Act(Act::Restore),
            Some(_) => Step::Record(failed(run, "somebody deleted the Restore".to_owned())),
        };
    };
    let mut after = run.clone();
    after.restore_started_at = Some(restore.created.clone());
    if !restore.has_ended() {
        if after.restore_started_at != run.restore_started_at {
            return Step::Record(after);
        }
        let phase = match restore.phase.as_str() {
            "" => "not looked at",
            phase => phase,
        };
        let (done, all) = restore.items;
        return waits(
            &after,
            format!("waiting for Velero to restore: {phase}, {done} of {all} objects"),
        );
    }
    after.restored_at.clone_from(&restore.completed);
    let objects = objects_of(restore);
    let passed = objects.passed;
    let why = objects.message.clone();
    after.checks = vec![objects];
    Step::Record(match passed {
        true => at(&after, DrillPhase::Check),
        false => failed(&after, format!("the restore did not complete: {why}")),
    })
}

/// Whether Velero restored every object without an error. A restore of nothing is Completed too, and proves nothing.
fn objects_of(restore: &RestoreSeen) -> DrillCheck {
    let (done, all) = restore.items;
    let passed = restore.phase == "Completed" && restore.errors == 0 && done == all && all > 0;
    let mut message = format!(
        "{}: {done} of {all} objects, {} errors, {} warnings",
        restore.phase, restore.errors, restore.warnings
    );
    if !restore.reason.is_empty() {
        message.push_str(": ");
        message.push_str(&restore.reason);
    }
    DrillCheck {
        name: "objects".to_owned(),
        passed,
        message,
    }
}

fn checking(run: &DrillRun, rules: &Rules, seen: &DrillSeen) -> Step {
    let volumes = volumes_of(seen);
    let judged = |checks: &[DrillCheck]| -> Option<String> {
        let wrong = checks.iter().filter(|check| !check.passed);
        let wrong: Vec<String> = wrong
            .map(|check| format!("{}: {}", check.name, check.message))
            .collect();
        (!wrong.is_empty()).then(|| wrong.join("; "))
    };
    // What has not arrived needs no Job to be missed.
    let mut checks = run.checks.clone();
    checks.retain(|check| check.name == "objects");
    checks.extend(volumes);
    if let Some(why) = judged(&checks) {
        let after = DrillRun {
            checks,
            ..run.clone()
        };
        return Step::Record(failed(&after, why));
    }
    if rules.jobs.iter().any(|(name, _)| !seen.jobs.contains_key(name)) {
        return Step::Act(Act::Check);
    }
    let running: Vec<&str> = rules
        .jobs
        .iter()
        .filter(|(name, _)| seen.jobs.get(name) == Some(&JobSeen::Running))
        .map(|(_, what)| what.as_str())
        .collect();
    if !running.is_empty() {
        return waits(run, format!("waiting for {}", running.join(", ")));
    }
    checks.extend(rules.jobs.iter().map(|(name, what)| match seen.jobs.get(name) {
        Some(JobSeen::Failed(why)) => check(what, false, why.clone()),
        _ => check(what, true, "it succeeded".to_owned()),
    }));
    let why = judged(&checks);
    let after = DrillRun {
        checks,
        ..run.clone()
    };
    Step::Record(match why {
        None => at(&after, DrillPhase::CleanUp),
        Some(why) => failed(&after, why),
    })
}

fn check(name: &str, passed: bool, message: String) -> DrillCheck {
    DrillCheck {
        name: name.to_owned(),
        passed,
        message,
    }
}

/// How the check of a volume begins; its claim follows, or its pod and its name there.
const VOLUME: &str = "volume ";

/// Whether each volume that the backup holds of the namespace came back byte for byte; and none that it does not hold.
fn volumes_of(seen: &DrillSeen) -> Vec<DrillCheck> {
    let Some(held) = &seen.held else {
        return vec![check("volumes", false, "the backup is gone".to_owned())];
    };
    let claims: BTreeSet<&String> = held.keys().chain(seen.restored.keys()).collect();
    let of = |claim: &String| -> (bool, String) {
        match (held.get(claim), seen.restored.get(claim)) {
            (Some(bytes), Some(volume)) => restored(*bytes, volume),
            (Some(_), None) => (
                false,
                "the backup holds it, and Velero restored nothing of it".to_owned(),
            ),
            _ => (
                false,
                "something was restored that the backup does not hold".to_owned(),
            ),
        }
    };
    let checks = claims.into_iter().map(|claim| {
        let (passed, message) = of(claim);
        check(&format!("{VOLUME}{claim}"), passed, message)
    });
    checks.collect()
}

fn restored(bytes: u64, volume: &VolumeSeen) -> (bool, String) {
    let VolumeSeen {
        phase,
        done,
        total,
        message,
    } = volume;
    let passed = phase == "Completed" && done == total && *total == bytes;
    let said = match message.is_empty() {
        true => String::new(),
        false => format!(": {message}"),
    };
    (
        passed,
        format!("{phase}: {done} of {total} bytes, the backup has {bytes}{said}"),
    )
}

fn record(run: &DrillRun, now: Timestamp) -> DrillRecord {
    let seconds = |text: &Option<String>| -> Option<i64> {
        let at: Timestamp = text.as_ref()?.parse().ok()?;
        Some(at.as_second())
    };
    let took = seconds(&run.restored_at)
        .zip(seconds(&run.restore_started_at))
        .and_then(|(ended, began)| u64::try_from(ended - began).ok());
    let volumes = run.checks.iter().filter(|check| check.passed);
    let volumes = volumes.filter_map(|check| check.name.strip_prefix(VOLUME));
    // What belongs to a pod alone has no claim.
    let volumes = volumes.filter(|name| !name.contains('/'));
    DrillRecord {
        volumes: volumes.map(str::to_owned).collect(),
        id: run.id.clone(),
        backup: run.backup.clone(),
        backup_started_at: run.backup_started_at.clone(),
        namespace: run.namespace.clone(),
        started_at: run.started_at.clone(),
        finished_at: now.to_string(),
        passed: run.failure.is_none(),
        restore_seconds: took,
        checks: run.checks.clone(),
        failure: run.failure.clone(),
    }
}
