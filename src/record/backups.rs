//! What is known of backups → the statuses of BackupPolicies and BackupLocations, and an Event where that changed.
//!
//! What was told is written into the status after the Events are out, never before, as with migrations: whoever is killed in between tells
//! it again.

use super::events::{News, forbidden_is_fine};
use super::status::{Facts, in_git};
use super::tally::Tally;
use crate::io::cluster::{Cluster, ClusterError};
use crate::model::backups::PolicyKey;
use crate::model::conditions;
use crate::model::coverage::{COVERED, DRILLED, FRESH, Judged, Said};
use crate::model::kinds::backup::BackupStatus;
use crate::model::kinds::drill::BackupPolicyStatus;
use crate::model::kinds::{BackupLocation, BackupPolicy, HasStatus, Resource};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;

/// The condition of a location that says whether backups can be written there.
const AVAILABLE: &str = "Available";

/// Brings the statuses of backups' kinds up to date; unchanged ones are not written.
pub(super) async fn update(
    cluster: &Cluster,
    facts: &Facts<'_>,
    tally: &Tally<'_>,
) -> Result<(), ClusterError> {
    for object in cluster.list::<BackupLocation>().await? {
        let before = object.status.clone().unwrap_or_default();
        let next = location(&object, facts, tally);
        let news = turned(&before.conditions, &next.conditions, &[AVAILABLE]);
        write(cluster, object, next, news).await?;
    }
    for object in cluster.list::<BackupPolicy>().await? {
        let before = object.status.clone().unwrap_or_default();
        let next = policy(&object, facts, tally);
        let news = news(&before, &next);
        write(cluster, object, next, news).await?;
    }
    Ok(())
}

/// Writes a status that is another one, after it was told what is new in it.
pub(super) async fn write<K>(
    cluster: &Cluster,
    mut object: K,
    next: K::Status,
    news: Vec<News>,
) -> Result<(), ClusterError>
where
    K: HasStatus + Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Serialize,
    K::Status: PartialEq,
{
    if object.status() == Some(&next) {
        return Ok(());
    }
    for one in news {
        let said = cluster
            .publish(&object, one.warning, &one.reason, &one.note)
            .await;
        forbidden_is_fine(said)?;
    }
    *object.status_mut() = Some(next);
    match cluster.replace_status(&object).await {
        // The next turn sees the newer object and tries again.
        Ok(_) | Err(ClusterError::Conflict { .. } | ClusterError::Api { code: 404, .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// What is to be told of a policy: each new backup that ended, and each condition that turned.
fn news(before: &BackupPolicyStatus, next: &BackupPolicyStatus) -> Vec<News> {
    let name = |status: &BackupPolicyStatus| status.newest.as_ref().map(|newest| newest.name.clone());
    let mut news = Vec::new();
    if name(next).is_some() && name(before) != name(next) {
        news.extend(conditions::find(&next.conditions, COVERED).map(told));
    }
    for one in turned(&before.conditions, &next.conditions, &["Ready", FRESH]) {
        // Ready repeats what the others say.
        if !news.iter().any(|other: &News| other.reason == one.reason) {
            news.push(one);
        }
    }
    news
}

/// The conditions of some types whose status or reason is another one than before.
fn turned(before: &[Condition], next: &[Condition], types: &[&str]) -> Vec<News> {
    let changed = types.iter().filter_map(|type_| {
        let new = conditions::find(next, type_)?;
        let old = conditions::find(before, type_).map(|old| (&old.status, &old.reason));
        (old != Some((&new.status, &new.reason))).then(|| told(new))
    });
    changed.collect()
}

fn told(condition: &Condition) -> News {
    News {
        warning: condition.status != "True",
        reason: condition.reason.clone(),
        note: condition.message.clone(),
    }
}

fn location(object: &BackupLocation, facts: &Facts, tally: &Tally) -> BackupStatus {
    let mut next = object.status.clone().unwrap_or_default();
    let generation = object.metadata.generation;
    next.observed_generation = generation;
    let list = &mut next.conditions;
    if !in_git(object, "BackupLocation", list, facts, tally) {
        if is_in_no_git(list) {
            conditions::clear(list, AVAILABLE);
        }
        return next;
    }
    let (namespace, name) = named(object);
    let Some(reading) = facts.backups else {
        // Without a policy nobody asks Velero.
        conditions::clear(list, AVAILABLE);
        let message = "what it renders is applied; no BackupPolicy speaks of backups yet";
        conditions::set(list, "Ready", true, "Applied", message, generation, facts.now);
        return next;
    };
    let (holds, reason, message) = match (&reading.unseen, reading.location(&namespace, &name)) {
        (Some(unseen), _) => {
            let (reason, message) = unseen.told();
            (false, reason, message)
        }
        (None, Some(found)) => (found.available, found.reason, found.message.clone()),
        (None, None) => {
            let message = "the cluster has no BackupStorageLocation of that name yet".to_owned();
            (false, "NotApplied", message)
        }
    };
    for type_ in ["Ready", AVAILABLE] {
        conditions::set(list, type_, holds, reason, &message, generation, facts.now);
    }
    next
}

fn policy(object: &BackupPolicy, facts: &Facts, tally: &Tally) -> BackupPolicyStatus {
    let mut next = object.status.clone().unwrap_or_default();
    let generation = object.metadata.generation;
    next.observed_generation = generation;
    if !in_git(object, "BackupPolicy", &mut next.conditions, facts, tally) {
        for type_ in [COVERED, FRESH] {
            if is_in_no_git(&next.conditions) {
                conditions::clear(&mut next.conditions, type_);
            }
        }
        return next;
    }
    let (namespace, name) = named(object);
    let reading = facts.backups;
    let Some((reading, report)) =
        reading.and_then(|reading| Some((reading, reading.policy(&PolicyKey { namespace, name })?)))
    else {
        return next;
    };
    if reading.unseen.is_none() {
        next.newest = report.newest.as_ref().map(Judged::seen);
        next.covered = report.covered.as_ref().map(Judged::seen);
    }
    let mut says = report.says(reading.unseen.as_ref(), facts.now);
    drilled(&mut says, &next.conditions);
    if !says.iter().any(|one| one.type_ == FRESH) {
        conditions::clear(&mut next.conditions, FRESH);
    }
    for one in says {
        let list = &mut next.conditions;
        conditions::set(
            list,
            one.type_,
            one.holds,
            &one.reason,
            &one.message,
            generation,
            facts.now,
        );
    }
    next
}

/// A policy whose drills do not hold is not ready. Whoever carries drills out says whether they do.
fn drilled(says: &mut [Said], list: &[Condition]) {
    let failed = conditions::find(list, DRILLED).filter(|one| one.status == "False");
    let ready = says.iter_mut().find(|one| one.type_ == "Ready" && one.holds);
    if let (Some(failed), Some(ready)) = (failed, ready) {
        ready.holds = false;
        ready.reason = failed.reason.clone().into();
        ready.message.clone_from(&failed.message);
    }
}

/// Whether no source holds the object. What another source holds is that one's to judge.
fn is_in_no_git(list: &[Condition]) -> bool {
    conditions::find(list, "Ready").is_some_and(|ready| ready.reason == "NotInGit")
}

fn named<K: Resource<DynamicType = ()>>(object: &K) -> (String, String) {
    let meta = object.meta();
    (
        meta.namespace.clone().unwrap_or_default(),
        meta.name.clone().unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::kinds::drill::BackupSeen;
    use jiff::Timestamp;

    fn status(newest: &str, conditions: &[(&str, bool, &str)]) -> BackupPolicyStatus {
        let mut status = BackupPolicyStatus {
            newest: Some(BackupSeen {
                name: newest.to_owned(),
                ..BackupSeen::default()
            }),
            ..BackupPolicyStatus::default()
        };
        for (type_, holds, reason) in conditions {
            let list = &mut status.conditions;
            conditions::set(list, type_, *holds, reason, "words", None, Timestamp::UNIX_EPOCH);
        }
        status
    }

    #[test]
    fn each_backup_and_each_turn_is_told_once() {
        let good = [
            ("Ready", true, "BackedUp"),
            (COVERED, true, "Covered"),
            (FRESH, true, "Fresh"),
        ];
        let gap = [
            ("Ready", false, "Uncovered"),
            (COVERED, false, "Uncovered"),
            (FRESH, true, "Fresh"),
        ];
        let stale = [
            ("Ready", false, "Uncovered"),
            (COVERED, false, "Uncovered"),
            (FRESH, false, "Stale"),
        ];
        let none = BackupPolicyStatus::default();
        for (before, next, expected) in [
            (&none, status("a", &good), &["Covered", "BackedUp", "Fresh"][..]),
            (&status("a", &good), status("a", &good), &[]),
            (&status("a", &good), status("b", &good), &["Covered"]),
            (&status("a", &good), status("b", &gap), &["Uncovered"]),
            (&status("b", &gap), status("c", &gap), &["Uncovered"]),
            (&status("b", &gap), status("b", &stale), &["Stale"]),
            (&status("b", &gap), status("b", &gap), &[]),
        ] {
            let told = news(before, &next);
            let reasons: Vec<&str> = told.iter().map(|one| one.reason.as_str()).collect();
            assert_eq!(reasons, expected);
            let warns = told.iter().map(|one| one.warning);
            let bad = reasons
                .iter()
                .map(|reason| ["Uncovered", "Stale"].contains(reason));
            assert!(warns.eq(bad), "{told:?}");
        }
    }

    #[test]
    fn a_failed_drill_makes_a_policy_unready_and_hides_no_nearer_cause() {
        let failed = status("a", &[(DRILLED, false, "DrillFailed")]).conditions;
        for (holds, reason, expected) in [
            (true, "BackedUp", "DrillFailed"),
            (false, "Uncovered", "Uncovered"),
        ] {
            let mut says = [Said {
                type_: "Ready",
                holds,
                reason: reason.into(),
                message: String::new(),
            }];
            drilled(&mut says, &failed);
            assert_eq!((says[0].holds, &*says[0].reason), (false, expected));
        }
    }
}
