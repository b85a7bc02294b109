//! What a person is told of a restore: what it does, what stands when it does not go on, and what came of it.

use super::super::super::{Failed, data, words};
use crate::execute::restore::{RETAIN, written_since};
use crate::model::quantities::span;
use crate::model::restores::run::{Phase, RestoreRun};
use crate::model::restores::{Asked, Way};
use jiff::Timestamp;

pub(super) fn say(told: &mut String, what: &str) {
    if told != what {
        words(what);
        what.clone_into(told);
    }
}

pub(super) fn doing(phase: Phase) -> &'static str {
    match phase {
        Phase::Prepare => "making the scratch namespace",
        Phase::Restore => "having Velero restore",
        Phase::Check => "comparing what was restored with what the backup holds",
        Phase::Keep => "keeping volumes from being deleted with their claims",
        Phase::Suspend => "suspending Flux",
        Phase::ScaleDown => "scaling workloads down",
        Phase::Drain => "waiting for pods to end",
        Phase::Exchange => "binding claims to their other volumes",
        Phase::ScaleUp => "scaling workloads up",
        Phase::Resume => "resuming Flux",
        Phase::CleanUp => "deleting what the restore made",
    }
}

/// Why it does not go on, what is not as it was, and what to do.
pub(super) fn stands(run: &RestoreRun, why: &str) -> Failed {
    let mut text = format!("restore {} stands at {:?}: {why}\n", run.id, run.phase);
    let asleep = run.flux.iter().filter(|one| one.was_suspended == Some(false));
    let mut down: Vec<String> = asleep
        .map(|one| format!("{} {}/{} is suspended", one.kind, one.namespace, one.name))
        .collect();
    for one in &run.workloads {
        match (one.kind.as_str(), one.replicas) {
            (_, None | Some(0)) => {}
            ("CronJob", _) => down.push(format!("CronJob {} is suspended", one.name)),
            (kind, Some(count)) => down.push(format!("{kind} {} is scaled down from {count}", one.name)),
        }
    }
    match (
        run.phase < Phase::Suspend && run.way == Way::Volumes || down.is_empty(),
        run.phase,
    ) {
        (true, _) => text += "Flux and workloads are as they were.\n",
        (false, Phase::ScaleUp | Phase::Resume | Phase::CleanUp) => {
            text += &format!("What may not be as it was yet: {}.\n", down.join("; "));
        }
        (false, _) => text += &format!("What is not as it was: {}.\n", down.join("; ")),
    }
    text += &match (run.aborted, written_since(run)) {
        (true, _) => format!("To go on taking it back: `couchestor restore abort {}`.", run.id),
        (false, true) => format!(
            "Run the same command again to go on. `couchestor restore abort {}` would bring the old volumes back, and set aside what was \
             written to the new ones since.",
            run.id
        ),
        (false, false) => format!(
            "Run the same command again to go on, or take it back with `couchestor restore abort {}`.",
            run.id
        ),
    };
    Failed(text)
}

/// What was asked, as a person writes it.
pub(super) fn asked(asked: &Asked) -> String {
    let mut words = vec![asked.namespace.clone()];
    words.extend(asked.claims.iter().map(|claim| format!("--claim {claim}")));
    words.extend(asked.backup.iter().map(|name| format!("--backup {name}")));
    words.extend(asked.policy.iter().map(|name| format!("--policy {name}")));
    words.extend(asked.replace.then(|| "--replace".to_owned()));
    words.join(" ")
}

/// Tells what came of it.
pub(super) fn ended(run: &RestoreRun) -> u8 {
    let now = crate::io::clock::now().as_second();
    let since: Option<Timestamp> = run.started_at.parse().ok();
    let took = since
        .and_then(|since| u64::try_from(now - since.as_second()).ok())
        .map(span);
    let took = took.map_or(String::new(), |took| format!(" after {took}"));
    let (id, namespace) = (&run.id, &run.namespace);
    match (run.aborted, &run.failure) {
        (true, _) if run.way == Way::Everything => {
            words(&format!(
                "restore {id} of namespace {namespace} was broken off{took}; what Velero restored stays: look at it before use"
            ));
            1
        }
        (true, _) => {
            data(&format!(
                "restore {id} of namespace {namespace} was taken back{took}"
            ));
            for claim in &run.claims {
                if let Some(volume) = claim
                    .new_volume
                    .as_ref()
                    .filter(|_| claim.new_policy.as_deref() == Some(RETAIN))
                {
                    data(&format!(
                        "  volume {volume}, which claim {} had meanwhile, may have been written to since; it is kept",
                        claim.name
                    ));
                }
            }
            0
        }
        (false, Some(why)) => {
            words(&format!(
                "restore {id} of namespace {namespace} failed{took}, and nothing of the namespace was touched: {why}"
            ));
            1
        }
        (false, None) => {
            let what = match (run.way, run.claims.len()) {
                (Way::Everything, _) => String::new(),
                (Way::Volumes, 1) => "1 claim of ".to_owned(),
                (Way::Volumes, count) => format!("{count} claims of "),
            };
            data(&format!(
                "restored {what}namespace {namespace} from backup {}{took}",
                run.backup
            ));
            for claim in &run.claims {
                data(&format!("  claim {}: {} bytes", claim.name, claim.bytes));
            }
            let old: Vec<&str> = run
                .claims
                .iter()
                .filter_map(|one| one.old_volume.as_deref())
                .collect();
            if !old.is_empty() {
                data("What the claims held before is kept; when nobody needs it any more, let it go:");
            }
            for volume in old {
                data(&format!(
                    "  kubectl patch pv {volume} -p '{{\"spec\":{{\"persistentVolumeReclaimPolicy\":\"Delete\"}}}}'"
                ));
            }
            0
        }
    }
}
