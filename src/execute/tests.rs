//! Claims about executing: whole migrations against a fake engine, through crashes and lost replies at every effect.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::engine::{Orders, execute};
use super::fake::{Fake, GIB, Trouble, pool};
use crate::model::engine::{Health, Rebuild, RebuildState};
use crate::model::kinds::volume_migration::{Phase, VolumeMigrationStatus};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// More turns than any migration here needs: a timeout of 300 readings, and half an hour of patience after it.
const TURNS_MAX: usize = 3000;

fn approving(approved: BTreeSet<String>) -> Orders {
    Orders {
        approved,
        ..Orders::default()
    }
}

/// Runs turn after turn, each from what is stored, until the migration ends.
async fn run(fake: &Fake, approved: impl Fn(&VolumeMigrationStatus) -> bool) -> VolumeMigrationStatus {
    for _ in 0..TURNS_MAX {
        fake.revive();
        let stored = fake.state().stored.clone();
        let status = stored.status.clone().unwrap_or_default();
        if status.phase.is_final() {
            return status;
        }
        let names = if approved(&status) {
            BTreeSet::from(["m".to_owned()])
        } else {
            BTreeSet::new()
        };
        execute(fake, fake, vec![stored], &approving(names), || fake.now()).await;
    }
    panic!("it never ended: {:#?}", fake.state().stored.status);
}

fn pools(fake: &Fake) -> Vec<String> {
    let mut pools: Vec<String> = fake
        .state()
        .volume
        .replicas
        .iter()
        .map(|one| one.pool.to_string())
        .collect();
    pools.sort();
    pools
}

fn assert_tidy(fake: &Fake, copies: usize, what: &str) {
    let state = fake.state();
    assert!(
        state.fewest >= copies,
        "{what}: only {} complete copies; {:#?}",
        state.fewest,
        state.acts
    );
    assert!(
        state.pools.values().all(|pool| !pool.cordoned),
        "{what}: a pool stayed cordoned"
    );
    assert!(
        state.nodes.values().all(|node| node.cordons.is_empty()),
        "{what}: a node stayed cordoned"
    );
}

#[tokio::test]
async fn one_copy_and_two_copies_move_to_the_tier_one_after_the_other() {
    for (copies, expected) in [(1, vec!["hot-1"]), (2, vec!["hot-1", "hot-2"])] {
        let fake = Fake::with_copies(copies);
        let status = run(&fake, |_| true).await;
        assert_eq!(status.phase, Phase::Completed, "{}", status.message);
        assert_eq!(pools(&fake), expected);
        assert_tidy(&fake, usize::from(copies), "undisturbed");
        // The target stays on a node of the cold pools.
        assert_eq!(
            (status.local_before, status.local_after),
            (Some(true), Some(false))
        );
    }
}

#[tokio::test]
async fn a_crash_or_a_lost_reply_at_any_effect_changes_nothing_about_the_end() {
    for copies in [1, 2] {
        let undisturbed = Fake::with_copies(copies);
        run(&undisturbed, |_| true).await;
        let effects = undisturbed.state().effects;
        assert!(effects > 12, "{effects} effects");
        for number in 0..effects {
            for trouble in [
                Trouble::CrashBefore(number),
                Trouble::CrashAfter(number),
                Trouble::LoseReply(number),
                Trouble::NotDone(number),
            ] {
                let fake = Fake::with_copies(copies);
                fake.state().trouble = Some(trouble);
                let status = run(&fake, |_| true).await;
                let what = format!("{copies} copies, {trouble:?}");
                assert_eq!(status.phase, Phase::Completed, "{what}: {}", status.message);
                assert_eq!(pools(&fake), pools(&undisturbed), "{what}");
                assert_tidy(&fake, usize::from(copies), &what);
            }
        }
    }
}

#[tokio::test]
async fn a_tier_without_room_is_waited_for_and_nothing_is_done_in_the_end() {
    let fake = Fake::with_copies(1);
    for name in ["hot-1", "hot-2"] {
        fake.state().pools.get_mut(name).unwrap().used = 45 * GIB;
    }
    let status = run(&fake, |_| true).await;
    assert_eq!(
        (status.phase, fake.state().acts.len()),
        (Phase::RolledBack, 0),
        "{}",
        status.message
    );
    assert_eq!(pools(&fake), ["cold-1"]);
}

#[tokio::test]
async fn a_copy_that_lands_on_another_tier_is_taken_back() {
    let fake = Fake::with_copies(1);
    fake.state().blind = true;
    let status = run(&fake, |_| true).await;
    assert_eq!(status.phase, Phase::RolledBack, "{}", status.message);
    assert!(status.message.contains("spare"), "{}", status.message);
    assert_eq!(pools(&fake), ["cold-1"]);
    assert_tidy(&fake, 1, "astray");
}

#[tokio::test]
async fn a_copy_that_is_never_filled_is_taken_back_at_the_timeout() {
    for copies in [1, 2] {
        let fake = Fake::with_copies(copies);
        fake.state().fill = 0;
        let status = run(&fake, |_| true).await;
        assert_eq!(status.phase, Phase::RolledBack, "{}", status.message);
        assert!(
            pools(&fake).iter().all(|pool| pool.starts_with("cold-")),
            "{:?}",
            pools(&fake)
        );
        assert_tidy(&fake, usize::from(copies), "never filled");
    }
}

#[tokio::test]
async fn while_an_old_copy_is_broken_no_copy_is_removed() {
    let fake = Fake::with_copies(2);
    let status = run(&fake, |status| {
        if status.phase == Phase::WaitSync {
            let mut state = fake.state();
            let broken = state
                .volume
                .replicas
                .iter_mut()
                .find(|one| one.id.as_str() == "old-2")
                .unwrap();
            (broken.child, broken.healthy) = (Some(Health::Faulted), Some(false));
        }
        true
    })
    .await;
    assert_eq!(status.phase, Phase::NeedsPerson, "{}", status.message);
    assert!(
        !fake.state().acts.iter().any(|act| act == "SetReplicas(2)"),
        "{:#?}",
        fake.state().acts
    );
    assert_eq!(fake.state().volume.replicas.len(), 3);
}

/// Its state as a child of the target speaks for the copy all the while.
#[tokio::test]
async fn a_copy_whose_last_rebuild_failed_by_its_targets_memory_is_not_relied_upon() {
    let remembered = |state: RebuildState| {
        Some(vec![Rebuild {
            child: "nvmf://127.0.0.1/new-1?uuid=new-1".to_owned(),
            state,
            total: 10 * GIB,
            recovered: GIB,
            started: "2027-01-15T08:00:02Z".to_owned(),
        }])
    };
    let undisturbed = Fake::with_copies(1);
    run(&undisturbed, |_| true).await;
    // A process that ends after an effect lets the target remember otherwise once the removal is written down.
    let crashes =
        (0..undisturbed.state().effects).map(|number| (Phase::ScaleDown, Some(Trouble::CrashAfter(number))));
    let (mut waited, mut withheld) = (0, 0);
    for (failed_from, trouble) in std::iter::once((Phase::WaitSync, None)).chain(crashes) {
        let fake = Fake::with_copies(1);
        fake.state().trouble = trouble;
        let looks = AtomicUsize::new(0);
        let status = run(&fake, |status| {
            let mut state = fake.state();
            let seen = looks.load(Relaxed);
            let removed = state.acts.iter().any(|act| act == "SetReplicas(1)");
            if seen == 0 && (status.phase != failed_from || removed) {
                return true;
            }
            assert!(!removed || seen > 20, "{trouble:?}: {:#?}", state.acts);
            if failed_from == Phase::WaitSync {
                assert!(status.phase == failed_from || seen > 20, "{:?}", status.phase);
            }
            looks.store(seen + 1, Relaxed);
            state.rebuilds = remembered(match seen {
                ..20 => RebuildState::Failed,
                _ => RebuildState::Completed,
            });
            true
        })
        .await;
        assert_eq!(status.phase, Phase::Completed, "{trouble:?}: {}", status.message);
        if looks.load(Relaxed) > 20 {
            match failed_from {
                Phase::WaitSync => waited += 1,
                _ => withheld += 1,
            }
        }
        assert_eq!(pools(&fake), ["hot-1"], "{trouble:?}");
        assert_tidy(&fake, 1, "a rebuild that failed");
    }
    assert_eq!(waited, 1, "nothing was removed while it is filled");
    assert!(withheld > 0, "no removal that was written down was withheld");
}

#[tokio::test]
async fn a_withdrawn_approval_leaves_the_volume_as_it_was_in_whatever_phase_it_comes() {
    for phase in [Phase::Pending, Phase::Analyze, Phase::WaitSync] {
        let fake = Fake::with_copies(1);
        let status = run(&fake, |status| status.phase < phase).await;
        assert_eq!(status.phase, Phase::Cancelled, "{phase:?}: {}", status.message);
        assert_eq!(pools(&fake), ["cold-1"], "{phase:?}");
        assert_tidy(&fake, 1, "cancelled");
    }
}

#[tokio::test]
async fn in_preservation_mode_the_old_copies_stay() {
    let fake = Fake::with_copies(1);
    fake.state().stored.spec.preserve = true;
    let status = run(&fake, |_| true).await;
    assert_eq!(status.phase, Phase::Preserved, "{}", status.message);
    assert_eq!(pools(&fake), ["cold-1", "hot-1"]);
    assert_tidy(&fake, 1, "preserved");
}

#[tokio::test]
async fn the_cordon_of_somebody_else_is_never_released() {
    let fake = Fake::with_copies(1);
    let mut theirs = pool("theirs", "t1", "cold", 800);
    theirs.cordoned = true;
    let mut node = fake.state().nodes["s1"].clone();
    node.name = "t1".into();
    fake.state().nodes.insert("t1".into(), node);
    fake.state().pools.insert("theirs".into(), theirs);
    let status = run(&fake, |_| true).await;
    assert_eq!(status.phase, Phase::Completed, "{}", status.message);
    assert!(fake.state().pools["theirs"].cordoned);
}

/// Runs a move on whose first reading in a phase the engine begins to say, so many times, that there is no such volume.
async fn unknown_from(phase: Phase, times: usize) -> (Fake, VolumeMigrationStatus) {
    let fake = Fake::with_copies(1);
    let begun = std::cell::Cell::new(false);
    let status = run(&fake, |status| {
        if status.phase == phase && !begun.replace(true) {
            fake.state().unknown = times;
        }
        true
    })
    .await;
    assert!(begun.get(), "it never was in {phase:?}");
    (fake, status)
}

#[tokio::test]
async fn that_the_engine_does_not_know_the_volume_is_believed_when_it_has_said_so_three_times() {
    for phase in [Phase::Pending, Phase::WaitSync] {
        for times in 1..3 {
            let (fake, status) = unknown_from(phase, times).await;
            assert_eq!(status.phase, Phase::Completed, "{phase:?}: {}", status.message);
            assert_tidy(&fake, 1, "unknown for a while");
        }
    }
    let (_, status) = unknown_from(Phase::Pending, usize::MAX).await;
    assert_eq!(status.phase, Phase::Superseded, "{}", status.message);
}

#[tokio::test]
async fn a_volume_that_goes_while_its_copies_are_moved_is_shown_to_a_person() {
    let (fake, status) = unknown_from(Phase::WaitSync, usize::MAX).await;
    assert_eq!(status.phase, Phase::NeedsPerson, "{}", status.message);
    assert_tidy(&fake, 1, "gone");
}

#[tokio::test]
async fn a_copy_that_makes_no_progress_for_ten_minutes_is_taken_back_long_before_the_timeout() {
    let fake = Fake::with_copies(1);
    fake.state().stored.spec.timeout_seconds = 7200;
    fake.state().fill = 0;
    let status = run(&fake, |_| true).await;
    assert_eq!(status.phase, Phase::RolledBack, "{}", status.message);
    assert!(status.message.contains("no progress"), "{}", status.message);
    assert_eq!(pools(&fake), ["cold-1"]);
    assert_tidy(&fake, 1, "stalled");
}

#[tokio::test]
async fn what_was_superseded_ends_without_anything_being_read_or_done() {
    let fake = Fake::with_copies(1);
    let mut stored = fake.state().stored.clone();
    stored.spec.superseded = Some("the load went back".into());
    // Whatever it is approved for.
    let names = BTreeSet::from(["m".to_owned()]);
    let ended = execute(&fake, &fake, vec![stored], &approving(names), || fake.now()).await;
    let status = ended[0].migration.status.clone().unwrap();
    assert_eq!(
        (status.phase, status.message.as_str()),
        (Phase::Superseded, "the load went back")
    );
    assert!(status.finished_at.is_some() && status.started_at.is_none());
    assert_eq!(fake.state().acts.len(), 0);
}

/// What a leadership that was followed had asked for may have added a copy again in the last moment, and an answer be older than that.
#[tokio::test]
async fn after_a_call_was_waited_out_one_look_does_not_end_a_move() {
    let fake = Fake::with_copies(1);
    let status: VolumeMigrationStatus = serde_json::from_str(EARLIER[2].1).unwrap();
    fake.state().resume(VolumeMigrationStatus {
        unclear_until: Some("2027-01-15T08:00:10Z".into()),
        window: None,
        ..status
    });
    {
        let mut state = fake.state();
        state
            .volume
            .replicas
            .retain(|replica| replica.id.as_str() != "old-1");
        state.volume.num_replicas = 1;
    }
    let mut looks = 0;
    loop {
        looks += 1;
        let stored = fake.state().stored.clone();
        let names = BTreeSet::from(["m".to_owned()]);
        let advanced = execute(&fake, &fake, vec![stored], &approving(names), || fake.now()).await;
        let status = advanced[0].migration.status.clone().unwrap();
        if status.phase.is_final() {
            assert_eq!(status.phase, Phase::Completed, "{}", status.message);
            break;
        }
        let waited = "a call that nobody answered may still be carried out";
        if status.message == waited {
            looks = 0;
        }
        assert!(looks < 10, "{status:#?}");
    }
    assert_eq!(looks, 3);
}

/// Journals as the first release wrote them, before there were epochs, evidence and lists of what was asked for.
const EARLIER: [(&str, &str); 3] = [
    (
        "about to add a copy, with its cordons set",
        r#"{"phase": "ScaleUp", "message": "about to cordon 1 other pools for one call and to add a copy on hot",
            "startedAt": "2027-01-15T08:00:00Z", "deadline": "2027-01-15T08:05:00Z",
            "baseline": [{"id": "old-1", "node": "c1", "pool": "cold-1"}],
            "adding": {"before": ["old-1"], "numReplicas": 1}, "victim": {"id": "old-1", "node": "c1", "pool": "cold-1"},
            "window": {"pools": ["spare"]},
            "journal": [{"at": "2027-01-15T08:00:00Z", "step": "ScaleUp", "note": "about to add a copy on hot"}]}"#,
    ),
    (
        "a copy is being filled",
        r#"{"phase": "WaitSync", "message": "new-1 on hot-1 is being filled", "startedAt": "2027-01-15T08:00:00Z",
            "deadline": "2027-01-15T08:05:00Z", "progressPercent": 40,
            "baseline": [{"id": "old-1", "node": "c1", "pool": "cold-1"}],
            "adding": {"before": ["old-1"], "numReplicas": 1}, "added": {"id": "new-1", "node": "h1", "pool": "hot-1"},
            "victim": {"id": "old-1", "node": "c1", "pool": "cold-1"}, "progressAt": "2027-01-15T08:00:01Z",
            "journal": [{"at": "2027-01-15T08:00:01Z", "step": "WaitSync", "note": "new-1 on hot-1 is being filled"}]}"#,
    ),
    (
        "the old copy is about to go, with its node cordoned",
        r#"{"phase": "ScaleDown", "message": "about to cordon c1 for one call and to remove old-1 from cold-1",
            "startedAt": "2027-01-15T08:00:00Z", "deadline": "2027-01-15T08:05:00Z", "progressPercent": 100,
            "baseline": [{"id": "old-1", "node": "c1", "pool": "cold-1"}],
            "adding": {"before": ["old-1"], "numReplicas": 1}, "added": {"id": "new-1", "node": "h1", "pool": "hot-1"},
            "victim": {"id": "old-1", "node": "c1", "pool": "cold-1"}, "window": {"node": "c1"},
            "syncedSince": "2027-01-15T08:00:05Z",
            "journal": [{"at": "2027-01-15T08:00:06Z", "step": "ScaleDown", "note": "about to remove old-1"}]}"#,
    ),
];

#[tokio::test]
async fn what_an_earlier_release_began_is_finished() {
    for (what, journal) in EARLIER {
        let fake = Fake::with_copies(1);
        let status: VolumeMigrationStatus = serde_json::from_str(journal).unwrap();
        fake.state().resume(status);
        let ended = run(&fake, |_| true).await;
        assert_eq!(ended.phase, Phase::Completed, "{what}: {}", ended.message);
        assert_eq!(pools(&fake), ["hot-1"], "{what}");
        assert_tidy(&fake, 1, what);
    }
}

/// A journal as this release writes it in the midst of a removal.
const TODAYS: &str = r#"{"phase": "ScaleDown", "message": "a call that nobody answered may still be carried out",
    "startedAt": "2027-01-15T08:00:00Z", "deadline": "2027-01-15T08:05:00Z", "epoch": 0, "phaseSince": "2027-01-15T08:00:06Z",
    "progressPercent": 100, "progressAt": "2027-01-15T08:00:05Z", "bytesTotal": 10737418240, "bytesCopied": 10737418240,
    "estimatedEnd": "2027-01-15T08:00:05Z", "localBefore": true,
    "baseline": [{"id": "old-1", "node": "c1", "pool": "cold-1"}],
    "adding": {"before": ["old-1"], "numReplicas": 1, "asked": true, "agreed": true},
    "added": {"id": "new-1", "node": "h1", "pool": "hot-1"}, "victim": {"id": "old-1", "node": "c1", "pool": "cold-1"},
    "window": {"node": "c1", "since": "2027-01-15T08:00:06Z", "asked": ["c1"], "confirmed": ["c1"]},
    "syncedSince": "2027-01-15T08:00:05Z", "unclearUntil": "2027-01-15T08:00:20Z",
    "seen": {"what": "no copy was added again", "times": 1},
    "removals": [{"at": "2027-01-15T08:00:08Z", "replica": {"id": "old-1", "node": "c1", "pool": "cold-1"},
        "why": "all other copies are complete, and new-1 is filled", "copies": 1, "complete": ["new-1"], "wasComplete": true,
        "completeSince": "2027-01-15T08:00:05Z", "epoch": 0, "asked": true}],
    "journal": [{"at": "2027-01-15T08:00:08Z", "step": "ScaleDown", "note": "ask for 1 copies, so that old-1 goes"}]}"#;

/// Whoever renames a field has to read the old name too.
#[tokio::test]
async fn what_this_release_has_begun_is_finished_by_those_that_follow() {
    let status: VolumeMigrationStatus = serde_json::from_str(TODAYS).unwrap();
    let written: serde_json::Value = serde_json::from_str(TODAYS).unwrap();
    assert_eq!(serde_json::to_value(&status).unwrap(), written);
    let fake = Fake::with_copies(1);
    fake.state().resume(status);
    let ended = run(&fake, |_| true).await;
    assert_eq!(ended.phase, Phase::Completed, "{}", ended.message);
    assert_eq!(pools(&fake), ["hot-1"]);
    assert_eq!(ended.removals[0].gone.as_deref(), Some("old-1"));
    assert_tidy(&fake, 1, "begun by this release");
}

/// A release between told what it had asked for, and not which of it might still come.
#[test]
fn a_cordon_that_was_asked_for_and_not_confirmed_may_still_come_after_another_takes_over() {
    let now = "2027-01-15T08:00:02Z".parse().unwrap();
    for (asked, confirmed, late) in [
        (r#"["spare"]"#, "[]", vec!["spare"]),
        (r#"["spare", "other"]"#, r#"["spare"]"#, vec!["other"]),
        (r#"["spare"]"#, r#"["spare"]"#, vec![]),
        ("[]", "[]", vec![]),
    ] {
        let journal = format!(
            r#"{{"phase": "ScaleUp", "message": "", "epoch": 3, "window": {{"pools": ["spare", "other"],
                "since": "2027-01-15T08:00:00Z", "asked": {asked}, "confirmed": {confirmed}}}}}"#
        );
        let status: VolumeMigrationStatus = serde_json::from_str(&journal).unwrap();
        let taken = super::journal::taken_over(&status, 4, super::journal::Late::default(), now).unwrap();
        assert_eq!(
            taken.window.unwrap().late,
            late,
            "asked {asked}, confirmed {confirmed}"
        );
    }
}
