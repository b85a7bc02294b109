//! Claims about what is remembered of proposals that ended, and what is forgotten first.

use super::super::remembered::{Worth, forget};
use super::*;
use std::time::Duration;

/// What a record is worth where base holds the volumes of `db`, but for `back`, at a time when nothing of 2025 holds for a year.
fn worth(record: &ProposalStatus, expire: Option<Duration>) -> Option<Worth> {
    let now = "2026-11-21T14:30:05Z".parse().unwrap();
    Worth::of(record, |one| one.claim != "back", expire, now)
}

/// A record of some volume that ended so.
fn ended(branch: &str, state: ProposalState, claim: &str, accepted: bool, since: &str) -> ProposalStatus {
    let mut one = proposed(claim);
    one.accepted = accepted;
    ProposalStatus {
        branch: branch.to_owned(),
        moves: vec![one],
        since: since.to_owned(),
        ..recorded(state)
    }
}

#[test]
fn a_no_is_remembered_however_much_is_merged_after_it() {
    let mut records = vec![
        ended(
            "no",
            ProposalState::Declined,
            "data-0",
            false,
            "2026-01-01T00:00:00Z",
        ),
        ended(
            "taken out",
            ProposalState::Merged,
            "data-1",
            false,
            "2026-01-01T00:00:01Z",
        ),
        ended(
            "reverted",
            ProposalState::Merged,
            "back",
            true,
            "2026-01-01T00:00:02Z",
        ),
    ];
    for index in 0..150 {
        let since = format!("2026-02-{:02}T{:02}:00:00Z", 1 + index / 24, index % 24);
        let (branch, claim) = (format!("b{index}"), format!("other-{index}"));
        records.push(ended(&branch, ProposalState::Merged, &claim, true, &since));
        forget(&mut records, |record| worth(record, None));
        assert!(records.len() <= 100, "{}", records.len());
    }
    let state = |branch: &str| {
        records
            .iter()
            .find(|one| one.branch == branch)
            .map(|one| one.state)
    };
    assert_eq!(state("no"), Some(ProposalState::Declined));
    assert_eq!(state("taken out"), Some(ProposalState::Merged));
    assert_eq!(state("reverted"), Some(ProposalState::Merged));
    assert_eq!((state("b0"), state("b149")), (None, Some(ProposalState::Merged)));
}

#[test]
fn a_no_that_holds_is_forgotten_last_of_all() {
    use ProposalState::{Declined, Merged, Open};
    let old = "2025-01-01T00:00:00Z";
    let year = Some(Duration::from_secs(365 * 86_400));
    let full = |newest: ProposalStatus| {
        let no = |index: usize| {
            ended(
                &format!("n{index}"),
                Declined,
                "a",
                false,
                &format!("2026-06-01T00:{:02}:{:02}Z", index / 60, index % 60),
            )
        };
        let mut records: Vec<ProposalStatus> = (0..100).map(no).collect();
        records.push(newest);
        records
    };
    for (what, newest, expire, gone) in [
        (
            "what was accepted",
            ended("x", Merged, "a", true, "2026-07-01T00:00:00Z"),
            year,
            "x",
        ),
        (
            "what was accepted and base holds no more",
            ended("x", Merged, "back", true, "2026-07-01T00:00:00Z"),
            year,
            "x",
        ),
        (
            "a no whose time is over",
            ended("x", Declined, "a", false, old),
            year,
            "x",
        ),
        (
            "what was taken out long ago",
            ended("x", Merged, "a", false, old),
            year,
            "x",
        ),
        (
            "an old no without an end",
            ended("x", Declined, "a", false, old),
            None,
            "x",
        ),
        (
            "another no",
            ended("x", Declined, "a", false, "2026-07-01T00:00:00Z"),
            year,
            "n0",
        ),
        ("one that is open", ended("x", Open, "a", false, old), year, "n0"),
    ] {
        let mut records = full(newest);
        forget(&mut records, |record| worth(record, expire));
        assert_eq!(records.len(), 100, "{what}");
        assert!(records.iter().all(|one| one.branch != gone), "{what}");
    }
    // Each goes before what holds more.
    let mut records = [
        ended("no", Declined, "a", false, old),
        ended("gone", Merged, "back", true, "2026-07-01T00:00:00Z"),
        ended("done", Merged, "a", true, "2026-07-02T00:00:00Z"),
    ];
    records.sort_by_key(|record| worth(record, None));
    let order: Vec<&str> = records.iter().map(|one| one.branch.as_str()).collect();
    assert_eq!(order, ["done", "gone", "no"]);
    assert_eq!(
        worth(&ended("x", Declined, "a", false, old), year),
        Some(Worth::Expired)
    );
}

#[test]
fn what_ended_keeps_no_body_and_all_of_it_has_a_bound() {
    let mut records: Vec<ProposalStatus> = Vec::new();
    for index in 0..80 {
        let mut record = recorded(ProposalState::Declined);
        record.branch = format!("b{index}");
        record.since = format!("2026-11-21T14:{index:02}:00Z");
        record.moves = (0..100).map(|claim| proposed(&format!("data-{claim}"))).collect();
        records.push(record);
    }
    let mut open = recorded(ProposalState::Open);
    open.body = "x".repeat(10_000);
    records.push(open.clone());
    forget(&mut records, |record| worth(record, None));
    let bytes = serde_json::to_vec(&records).unwrap().len();
    assert!(bytes <= 512 << 10, "{bytes} bytes");
    assert!(records.len() > 10, "{} records", records.len());
    assert!(records.iter().any(|one| one.branch == "b79"), "the newest stay");
    assert!(records.iter().any(|one| one.state == ProposalState::Open));
    let mut records = vec![open];
    let now = "2026-11-21T14:30:05Z".parse().unwrap();
    super::super::remembered::set_state(&mut records, |_| true, ProposalState::Merged, now);
    assert_eq!(records[0].body, "");
}
