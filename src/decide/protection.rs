//! What backups keep from being moved: a volume that a backup, a drill or a restore is busy with, and, on the way to a colder tier, one whose policy's
//! newest backup is too old. What is not known keeps it too.

use super::View;
use crate::model::backups::{BackupRules, Busy, Unseen, Way};
use crate::model::coverage::{BackupReading, PolicyReport};
use crate::model::decision::Why;
use crate::model::observation::BoundVolume;
use crate::model::secret::MASK;
use crate::model::why::BackupAge;

/// The policies that back a volume up. One that exempts it says nothing of it.
fn policies<'r>(
    view: &View,
    reading: &'r BackupReading,
    bound: &BoundVolume,
) -> impl Iterator<Item = &'r PolicyReport> {
    let group = view.observation.group(bound);
    let label = |key: &str| group.and_then(|group| group.label(key));
    let class = group.map_or("", |group| &*group.storage_class);
    let takes = |rules: &BackupRules| {
        rules
            .scope
            .takes_namespace(&bound.namespace, &reading.excluded_namespaces)
            && rules.scope.takes_labels(label)
            && !matches!(rules.way(class, label), Way::Exempt(_))
    };
    let all: Vec<&PolicyReport> = reading.policies.iter().filter(|one| takes(&one.rules)).collect();
    all.into_iter()
}

/// Whether a volume may be moved as far as its backups are concerned. Only a start is asked about: a proposal that went away with each
/// night's backup would be of no use to anybody.
pub(super) fn lets_move(view: &View, bound: &BoundVolume) -> Result<(), Why<'static>> {
    if let Some(name) = view.in_flight.workload_moves.get(&*bound.namespace) {
        return Err(Why::WorkloadsMove { name: name.clone() });
    }
    let Some(reading) = &view.in_flight.backups else {
        return Ok(());
    };
    if let Some(restore) = reading.restoring.get(&*bound.namespace) {
        return Err(Why::RestoreRuns {
            restore: restore.as_str().into(),
        });
    }
    let of_here = |busy: &&Busy| {
        let scope = &busy.scope;
        scope.takes_namespace(&bound.namespace, &reading.excluded_namespaces)
    };
    if let Some(busy) = reading.busy.iter().find(of_here) {
        let name = busy.name.as_str().into();
        return Err(match busy.restores {
            true => Why::RestoreRuns { restore: name },
            false => Why::BackupRuns { backup: name },
        });
    }
    let claim = bound.claim_ref();
    for policy in policies(view, reading, bound) {
        if let Some(Unseen::Unreadable(error)) = &reading.unseen {
            let unread = Box::new((told(&policy.rules).into(), error.as_str().into()));
            return Err(Why::BackupUnknown { unread });
        }
        let runs = policy.reading.as_ref().or_else(|| policy.uploading.get(&claim));
        if let Some(backup) = runs {
            return Err(Why::BackupRuns {
                backup: backup.as_str().into(),
            });
        }
        let drill = policy
            .drill
            .as_ref()
            .filter(|drill| drill.namespace == claim.namespace);
        if let Some(drill) = drill {
            return Err(Why::DrillRuns {
                drill: drill.id.as_str().into(),
            });
        }
    }
    Ok(())
}

/// Whether a volume may go to a colder tier as far as its backups are concerned.
pub(super) fn lets_demote(view: &View, bound: &BoundVolume) -> Result<(), Why<'static>> {
    let Some(reading) = &view.in_flight.backups else {
        return Ok(());
    };
    let stale = |policy: &&PolicyReport| policy.is_fresh(view.now) == Some(false);
    let Some(policy) = policies(view, reading, bound).find(stale) else {
        return Ok(());
    };
    let name = told(&policy.rules);
    if let Some(Unseen::Unreadable(error)) = &reading.unseen {
        let unread = Box::new((name.into(), error.as_str().into()));
        return Err(Why::BackupUnknown { unread });
    }
    Err(Why::BackupStale {
        policy: name.into(),
        age: Box::new(BackupAge {
            since: policy.covered_at(),
            allowed_seconds: policy
                .rules
                .rpo
                .filter(|_| !policy.rules.secret)
                .map(|rpo| rpo.as_secs()),
        }),
    })
}

/// The policy, as pull requests may show it.
fn told(rules: &BackupRules) -> String {
    match rules.secret {
        true => MASK.to_owned(),
        false => rules.policy.to_string(),
    }
}
