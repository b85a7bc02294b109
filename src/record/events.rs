//! Events on migrations and on the claims whose volumes they move: one for each phase that was entered, and one when cordons of ours
//! are held for too long.
//!
//! What was told is written into the status after the Events are out, never before: whoever is killed in between tells it again, and
//! nothing is left untold.

use super::RecordError;
use crate::io::cluster::{Cluster, ClusterError};
use crate::model::conditions;
use crate::model::failure::{Class, Failure};
use crate::model::kinds::volume_migration::{
    Phase, Told, VolumeMigration, VolumeMigrationSpec, VolumeMigrationStatus,
};
use crate::telemetry::{Metrics, RollbackReason};
use jiff::Timestamp;

/// Cordons are held for one call to the engine, which answers within a minute or not at all: twice that is too long.
pub const CORDON_SECS_MAX: i64 = 120;

/// Something to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// Whether somebody should look.
    pub warning: bool,
    /// In one word.
    pub reason: String,
    /// In words.
    pub note: String,
}

/// A phase that was entered.
struct Entered<'a> {
    phase: &'a str,
    at: &'a str,
    note: &'a str,
}

/// The phases that the journal knows of, in order.
fn entered(status: &VolumeMigrationStatus) -> Vec<Entered<'_>> {
    let mut phases: Vec<Entered<'_>> = Vec::new();
    for record in &status.journal {
        if phases.last().is_none_or(|last| last.phase != record.step) {
            phases.push(Entered {
                phase: &record.step,
                at: &record.at,
                note: &record.note,
            });
        }
    }
    phases
}

/// How many of them were told of. Of a journal whose oldest records were dropped, those that are older than what was told.
fn told_of(phases: &[Entered<'_>], told: Option<&Told>) -> usize {
    let Some(told) = told else { return 0 };
    let time = |at: &str| at.parse::<Timestamp>().ok();
    match phases
        .iter()
        .rposition(|one| one.phase == told.phase && one.at == told.at)
    {
        Some(last) => last + 1,
        None => phases
            .iter()
            .take_while(|one| time(one.at) <= time(&told.at))
            .count(),
    }
}

/// What is to be told of a migration, and what the status says once it is; nothing when all is told.
pub fn news(migration: &VolumeMigration, now: Timestamp) -> Option<(Vec<News>, Told)> {
    let status = migration.status.as_ref()?;
    // What an earlier release recorded was told by it.
    if status.told.is_none() && status.audit_commit.is_some() {
        return None;
    }
    let phases = entered(status);
    let fresh = &phases[told_of(&phases, status.told.as_ref())..];
    let mut news: Vec<News> = fresh
        .iter()
        .map(|one| News {
            warning: [Phase::RolledBack, Phase::NeedsPerson]
                .iter()
                .any(|phase| phase.as_str() == one.phase),
            reason: one.phase.to_owned(),
            note: one.note.to_owned(),
        })
        .collect();
    let mut told = status.told.clone().unwrap_or_default();
    if let Some(last) = fresh.last() {
        (told.phase, told.at) = (last.phase.to_owned(), last.at.to_owned());
    }
    let since = held_since(status).filter(|(since, _)| now.as_second() - since.as_second() > CORDON_SECS_MAX);
    if let Some((since, written)) = since
        && told.cordons.as_deref() != Some(written)
    {
        told.cordons = Some(written.to_owned());
        news.push(News {
            warning: true,
            reason: "CordonHeld".to_owned(),
            note: format!(
                "its cordons have been held since {since}, for more than {CORDON_SECS_MAX} s; until they are gone no new copy of any \
                 volume goes to the pools or nodes that they close: {}",
                closed(status)
            ),
        });
    }
    (!news.is_empty()).then_some((news, told))
}

/// Since when cordons of a migration are held, as a time and as it is written.
pub fn held_since(status: &VolumeMigrationStatus) -> Option<(Timestamp, &str)> {
    let written = status.window.as_ref()?.since.as_deref()?;
    Some((written.parse().ok()?, written))
}

fn closed(status: &VolumeMigrationStatus) -> String {
    let window = status.window.iter();
    let names: Vec<&str> = window
        .flat_map(|window| window.pools.iter().chain(window.all_nodes()))
        .map(String::as_str)
        .collect();
    names.join(", ")
}

/// Tells what is new of a migration, on it and on its claim, and brings its conditions up to date.
///
/// # Errors
/// [`RecordError`]; what was not told is told with the next turn.
pub async fn tell(
    cluster: &Cluster,
    migration: &mut VolumeMigration,
    metrics: &Metrics,
    now: Timestamp,
) -> Result<(), RecordError> {
    let Some((news, told)) = news(migration, now) else {
        return Ok(());
    };
    let claim = &migration.spec.claim;
    let claim = forbidden_is_fine(cluster.claim(&claim.namespace, &claim.name).await)?.flatten();
    for one in &news {
        let said = cluster
            .publish(migration, one.warning, &one.reason, &one.note)
            .await;
        forbidden_is_fine(said)?;
        if let Some(claim) = &claim {
            let note = for_claim(migration, one);
            let said = cluster.publish(claim, one.warning, &one.reason, &note).await;
            forbidden_is_fine(said)?;
        }
    }
    let generation = migration.metadata.generation;
    let left = migration.status.as_ref().map(left).unwrap_or_default();
    if let Some(status) = &mut migration.status {
        status.told = Some(told);
        conditions::of_move(status, generation, now);
    }
    *migration = cluster.replace_status(migration).await?;
    for (phase, seconds) in left {
        metrics.left_phase(phase, seconds);
    }
    Ok(())
}

/// The note on a claim, which says of which move it is.
fn for_claim(migration: &VolumeMigration, news: &News) -> String {
    let VolumeMigrationSpec { from, to, .. } = &migration.spec;
    let name = migration.metadata.name.as_deref().unwrap_or_default();
    format!("move from {from} to {to} (VolumeMigration {name}): {}", news.note)
}

/// Who may not write Events goes without; trying again would change nothing.
pub(super) fn forbidden_is_fine<T>(result: Result<T, ClusterError>) -> Result<Option<T>, ClusterError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.class() == Class::Stalled => {
            tracing::warn!(%error, "an Event is not published");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Phases that were left since the last time that phases were told of, each with its seconds.
fn left(status: &VolumeMigrationStatus) -> Vec<(Phase, i64)> {
    let phases = entered(status);
    let from = told_of(&phases, status.told.as_ref()).saturating_sub(1);
    let seconds = |at: &str| at.parse::<Timestamp>().ok().map(Timestamp::as_second);
    let pairs = phases[from..].windows(2);
    let known = pairs.filter_map(|pair| {
        let phase = serde_json::from_value(pair[0].phase.into()).ok()?;
        Some((phase, seconds(pair[1].at)? - seconds(pair[0].at)?))
    });
    known.collect()
}

/// Why a move was rolled back, by what the journal says: whether its time was over, else the phase in which it failed.
pub fn reason(status: &VolumeMigrationStatus) -> RollbackReason {
    let phases = entered(status);
    let back = phases
        .iter()
        .rposition(|one| one.phase == Phase::RollingBack.as_str());
    // Without a way back it ended where it stood.
    let turned = back.unwrap_or(phases.len().saturating_sub(1));
    let time = |at: &str| at.parse::<Timestamp>().ok();
    let at = phases.get(turned).and_then(|one| time(one.at));
    let deadline = status.deadline.as_deref().and_then(time);
    if at.zip(deadline).is_some_and(|(at, deadline)| at >= deadline) {
        return RollbackReason::Timeout;
    }
    let failed = turned.checked_sub(1).and_then(|index| phases.get(index));
    match failed.map(|one| one.phase) {
        Some("ScaleUp") => RollbackReason::NotPlaced,
        Some("WaitSync") => RollbackReason::NotFilled,
        Some("ScaleDown") => RollbackReason::NotRemoved,
        _ => RollbackReason::NotBegun,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// A migration with a journal of phases, each entered at a minute of noon.
    fn migration(journal: &[(&str, u32)], more: Value) -> VolumeMigration {
        let at = |minute: u32| format!("2026-03-01T12:{minute:02}:00Z");
        let journal: Vec<Value> = journal
            .iter()
            .map(
                |(step, minute)| json!({"at": at(*minute), "step": step, "note": format!("{step} {minute}")}),
            )
            .collect();
        let mut status = json!({"phase": journal.last().map_or("Pending".into(), |one| one["step"].clone()), "journal": journal});
        for (key, value) in more.as_object().unwrap() {
            status[key] = value.clone();
        }
        serde_json::from_value(json!({
            "apiVersion": "storage.billyronks.io/v1", "kind": "VolumeMigration", "metadata": {"name": "m"},
            "spec": {
                "source": {"namespace": "s", "name": "s"}, "claim": {"namespace": "db", "name": "data-0"},
                "volume": "pvc-1", "volumeUuid": "u", "from": "cold", "to": "hot", "toPoolLabels": {}, "timeoutSeconds": 60,
                "approved": {"revision": "r", "commit": "c", "author": "a", "at": at(0), "path": "p"},
            },
            "status": status,
        }))
        .unwrap()
    }

    fn noon() -> Timestamp {
        "2026-03-01T12:00:00Z".parse().unwrap()
    }

    fn reasons(news: &[News]) -> Vec<&str> {
        news.iter().map(|one| one.reason.as_str()).collect()
    }

    #[test]
    fn each_phase_is_told_once_also_those_that_a_turn_passes_and_comes_back_to() {
        let one_turn = [("Analyze", 0), ("Analyze", 0), ("ScaleUp", 1), ("WaitSync", 2)];
        let mut told = migration(&one_turn, json!({}));
        let (first, mark) = news(&told, noon()).unwrap();
        assert_eq!(reasons(&first), ["Analyze", "ScaleUp", "WaitSync"]);
        told.status.as_mut().unwrap().told = Some(mark.clone());
        assert_eq!(news(&told, noon()), None);
        // The second copy is in the phase in which the first one was told of.
        let next = [
            one_turn.as_slice(),
            &[("ScaleDown", 3), ("Analyze", 3), ("ScaleUp", 3), ("WaitSync", 4)],
        ]
        .concat();
        let (second, _) = news(&migration(&next, json!({"told": mark})), noon()).unwrap();
        assert_eq!(reasons(&second), ["ScaleDown", "Analyze", "ScaleUp", "WaitSync"]);
    }

    #[test]
    fn what_was_not_written_as_told_is_told_again() {
        let killed = migration(&[("Analyze", 0)], json!({}));
        assert_eq!(news(&killed, noon()), news(&killed, noon()));
        assert!(news(&killed, noon()).is_some());
    }

    #[test]
    fn a_journal_that_lost_its_oldest_records_tells_only_what_is_newer() {
        let told = json!({"told": {"phase": "Analyze", "at": "2026-03-01T12:00:00Z"}});
        let (fresh, _) = news(&migration(&[("WaitSync", 0), ("ScaleDown", 9)], told), noon()).unwrap();
        assert_eq!(reasons(&fresh), ["ScaleDown"]);
    }

    #[test]
    fn failures_warn_and_other_phases_do_not() {
        for (phase, warns) in [
            ("RolledBack", true),
            ("NeedsPerson", true),
            ("RollingBack", false),
            ("Completed", false),
        ] {
            let (fresh, _) = news(&migration(&[(phase, 0)], json!({})), noon()).unwrap();
            assert_eq!(fresh[0].warning, warns, "{phase}");
        }
    }

    #[test]
    fn what_an_earlier_release_recorded_is_not_told_again() {
        assert_eq!(
            news(
                &migration(&[("Completed", 0)], json!({"auditCommit": "c"})),
                noon()
            ),
            None
        );
    }

    #[test]
    fn cordons_are_told_of_once_when_they_are_held_for_too_long() {
        let window = |since: &str, told: Option<&str>| {
            let mut mark = json!({"phase": "ScaleUp", "at": "2026-03-01T12:00:00Z"});
            if let Some(told) = told {
                mark["cordons"] = told.into();
            }
            let more = json!({"window": {"pools": ["sata-1"], "since": since}, "told": mark});
            migration(&[("ScaleUp", 0)], more)
        };
        let since = "2026-03-01T11:57:59Z";
        let (fresh, mark) = news(&window(since, None), noon()).unwrap();
        assert_eq!(reasons(&fresh), ["CordonHeld"]);
        assert!(
            fresh[0].warning && fresh[0].note.contains("sata-1"),
            "{}",
            fresh[0].note
        );
        assert_eq!(mark.phase, "ScaleUp");
        assert_eq!(news(&window(since, Some(since)), noon()), None);
        assert_eq!(news(&window("2026-03-01T11:58:00Z", None), noon()), None);
        assert!(news(&window(since, Some("2026-03-01T11:00:00Z")), noon()).is_some());
    }

    #[test]
    fn a_rollback_is_counted_by_where_it_failed() {
        let back = |before: &str| {
            let journal = [("Analyze", 0), (before, 1), ("RollingBack", 5), ("RolledBack", 6)];
            let mut one = migration(&journal, json!({"deadline": "2026-03-01T12:30:00Z"}));
            one.status.take().unwrap()
        };
        assert_eq!(reason(&back("ScaleUp")), RollbackReason::NotPlaced);
        assert_eq!(reason(&back("WaitSync")), RollbackReason::NotFilled);
        assert_eq!(reason(&back("ScaleDown")), RollbackReason::NotRemoved);
        let late = VolumeMigrationStatus {
            deadline: Some("2026-03-01T12:05:00Z".to_owned()),
            ..back("WaitSync")
        };
        assert_eq!(reason(&late), RollbackReason::Timeout);
        let mut at_once = migration(&[("Analyze", 0), ("RolledBack", 1)], json!({}));
        assert_eq!(reason(&at_once.status.take().unwrap()), RollbackReason::NotBegun);
    }

    #[test]
    fn phases_that_were_left_are_measured_once() {
        let all = migration(
            &[("Analyze", 0), ("ScaleUp", 1), ("WaitSync", 3), ("ScaleDown", 10)],
            json!({}),
        );
        let status = all.status.unwrap();
        let expected = [
            (Phase::Analyze, 60),
            (Phase::ScaleUp, 120),
            (Phase::WaitSync, 420),
        ];
        assert_eq!(left(&status), expected);
        let told = Some(Told {
            phase: "WaitSync".to_owned(),
            at: "2026-03-01T12:03:00Z".to_owned(),
            cordons: None,
        });
        assert_eq!(
            left(&VolumeMigrationStatus { told, ..status }),
            [(Phase::WaitSync, 420)]
        );
    }

    #[test]
    fn kstatus_sees_a_running_move_a_stalled_one_and_a_finished_one() {
        let on = |phase: &str, type_: &str| {
            let mut status = migration(&[(phase, 0)], json!({})).status.unwrap();
            conditions::of_move(&mut status, Some(1), noon());
            let found = status.conditions.into_iter().find(|one| one.type_ == type_);
            found.map(|one| (one.status, one.reason))
        };
        let is = |status: &str, reason: &str| Some((status.to_owned(), reason.to_owned()));
        assert_eq!(on("WaitSync", "Reconciling"), is("True", "WaitSync"));
        assert_eq!(on("WaitSync", "Ready"), is("False", "WaitSync"));
        assert_eq!(on("NeedsPerson", "Stalled"), is("True", "NeedsPerson"));
        assert_eq!(on("NeedsPerson", "Reconciling"), None);
        assert_eq!(on("Completed", "Ready"), is("True", "Completed"));
        assert_eq!(on("Completed", "Stalled"), None);
    }
}
