//! Claims about branches: one table of what is wanted, what is remembered and what is there.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::{Action, Known, Proposals, Pulls, plan};
use crate::io::git::Tips;
use crate::model::decision::ProposedMove;
use crate::model::ids::{ClaimRef, CommitId};
use crate::model::kinds::policy_source::{ProposalState, ProposalStatus, ProposedMoveStatus};
use crate::model::kinds::tier_assignment::{DecisionNote, SignalNote};
use crate::model::pull_request::PullRequestState;
use crate::model::rendering::ProposalText;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// What was found out beside where branches and pull requests stand.
mod known;

/// What is forgotten.
mod forgotten;

/// One goes while another comes.
mod crossing;

/// What a branch is called that is made now.
const NEW: &str = "b_20261121-143005";

fn planned(
    wanted: &[ProposalText],
    recorded: &[ProposalStatus],
    tips: &Tips,
    base: &str,
    pulls: &Pulls,
    in_base: impl Fn(&ProposedMoveStatus) -> bool,
) -> BTreeMap<String, Action> {
    planned_knowing(&Known::default(), wanted, recorded, tips, base, pulls, in_base)
}

fn planned_knowing(
    known: &Known,
    wanted: &[ProposalText],
    recorded: &[ProposalStatus],
    tips: &Tips,
    base: &str,
    pulls: &Pulls,
    in_base: impl Fn(&ProposedMoveStatus) -> bool,
) -> BTreeMap<String, Action> {
    let proposals = Proposals {
        wanted,
        recorded,
        tips,
        base: &CommitId(base.into()),
        base_branch: "main",
        labels: &[],
        pulls,
        known,
        owner: "couchestor-system/homelab assignments",
        words: &crate::propose::Words::MOVES,
        fingerprints: &BTreeMap::new(),
        expire: None,
        now: "2026-11-21T14:30:05Z".parse().unwrap(),
    };
    plan(&proposals, in_base)
}

fn note() -> DecisionNote {
    DecisionNote {
        policy: "p".into(),
        from: "cold".into(),
        signal: "iops".into(),
        value: 6000.0,
        watermark: Some(5000.0),
        window: Some("1h".into()),
        percentile: None,
        also: Vec::new(),
        sustained_for: None,
        after: None,
    }
}

fn claim(name: &str) -> ClaimRef {
    ClaimRef {
        namespace: "db".into(),
        name: name.into(),
    }
}

fn wanted(key: &str) -> ProposalText {
    ProposalText {
        branch: "b".into(),
        key: key.into(),
        title: String::new(),
        body: String::new(),
        commit_message: String::new(),
        files: Vec::new(),
        policy: "p".into(),
        moves: vec![ProposedMove {
            claim: claim("data-0"),
            volume: "pvc-u".into(),
            policy: "p".into(),
            from: "cold".into(),
            to: "hot".into(),
            hotter: true,
            note: note(),
            candidates: Vec::new(),
            bytes: 0,
            monthly_cost: None,
        }],
    }
}

fn proposed(name: &str) -> ProposedMoveStatus {
    ProposedMoveStatus {
        namespace: "db".into(),
        claim: name.into(),
        volume: "pvc-u".into(),
        from: "cold".into(),
        to: "hot".into(),
        decision: note(),
        accepted: false,
        approved_in: None,
    }
}

fn recorded(state: ProposalState) -> ProposalStatus {
    ProposalStatus {
        branch: "b".into(),
        policy: "p".into(),
        state,
        key: "k".into(),
        commit: "ours".into(),
        base: "base".into(),
        number: Some(7),
        shown: String::new(),
        url: None,
        moves: vec![proposed("data-0"), proposed("data-1")],
        policy_fingerprint: String::new(),
        title: String::new(),
        body: String::new(),
        since: String::new(),
    }
}

#[test]
fn each_branch_gets_the_one_right_action() {
    use ProposalState::{Declined, Edited, Merged, Open};
    let ours = || CommitId("ours".into());
    let cases = [
        ("new", Some("k"), None, None, "base", false, Some(Action::Create)),
        (
            "unchanged",
            Some("k"),
            Some(Open),
            Some("ours"),
            "base",
            false,
            Some(Action::Keep),
        ),
        (
            "base moved",
            Some("k"),
            Some(Open),
            Some("ours"),
            "base2",
            false,
            Some(Action::Refresh(ours())),
        ),
        (
            "another decision",
            Some("k2"),
            Some(Open),
            Some("ours"),
            "base",
            false,
            Some(Action::Refresh(ours())),
        ),
        (
            "no longer wanted",
            None,
            Some(Open),
            Some("ours"),
            "base",
            false,
            Some(Action::Withdraw(ours())),
        ),
        (
            "a person committed",
            Some("k"),
            Some(Open),
            Some("theirs"),
            "base",
            false,
            Some(Action::LeaveEdited),
        ),
        (
            "a person committed, and it is not wanted",
            None,
            Some(Open),
            Some("theirs"),
            "base",
            false,
            Some(Action::LeaveEdited),
        ),
        (
            "still a person's",
            None,
            Some(Edited),
            Some("theirs"),
            "base2",
            false,
            Some(Action::LeaveEdited),
        ),
        (
            "deleted",
            Some("k"),
            Some(Open),
            None,
            "base",
            false,
            Some(Action::Declined),
        ),
        (
            "deleted, and not wanted",
            None,
            Some(Open),
            None,
            "base",
            false,
            Some(Action::Forget),
        ),
        (
            "merged and deleted",
            None,
            Some(Open),
            None,
            "base2",
            true,
            Some(Action::Merged(None)),
        ),
        (
            "merged, branch left",
            None,
            Some(Open),
            Some("ours"),
            "base2",
            true,
            Some(Action::Merged(Some(ours()))),
        ),
        (
            "merged, a person's branch left",
            None,
            Some(Open),
            Some("theirs"),
            "base2",
            true,
            Some(Action::Merged(None)),
        ),
        ("declined before", None, Some(Declined), None, "base", false, None),
        (
            "merged before, wanted again",
            Some("k"),
            Some(Merged),
            None,
            "base",
            false,
            Some(Action::Create),
        ),
    ];
    for (what, key, state, tip, base, in_base, expected) in cases {
        let wanted: Vec<_> = key.map(wanted).into_iter().collect();
        let recorded: Vec<_> = state.map(recorded).into_iter().collect();
        let mut tips = Tips::default();
        tips.branches
            .extend(tip.map(|tip| ("b".to_owned(), CommitId(tip.into()))));
        let actions = planned(&wanted, &recorded, &tips, base, &Pulls::new(), |_| in_base);
        let branch = if expected == Some(Action::Create) {
            NEW
        } else {
            "b"
        };
        assert_eq!(actions.get(branch).cloned(), expected, "{what}");
        assert!(actions.len() <= 1, "{what}: {actions:?}");
    }
}

#[test]
fn what_the_forge_knows_counts_where_git_is_silent() {
    use PullRequestState::{Closed, Merged, Open};
    let ours = || CommitId("ours".into());
    for (what, key, state, tip, pull, in_base, expected) in [
        (
            "open",
            Some("k"),
            ProposalState::Open,
            Some("ours"),
            Open,
            &[][..],
            Some(Action::Keep),
        ),
        (
            "closed",
            Some("k"),
            ProposalState::Open,
            Some("ours"),
            Closed,
            &[],
            Some(Action::Declined),
        ),
        (
            "closed after a person changed the branch",
            Some("k"),
            ProposalState::Edited,
            Some("theirs"),
            Closed,
            &[],
            Some(Action::Declined),
        ),
        (
            "closed by us, and the branch is still there",
            None,
            ProposalState::Open,
            Some("ours"),
            Closed,
            &[],
            Some(Action::Withdraw(ours())),
        ),
        (
            "merged without one of the moves",
            Some("k"),
            ProposalState::Open,
            Some("ours"),
            Merged,
            &["data-1"],
            Some(Action::Merged(Some(ours()))),
        ),
        (
            "merged by hand without one of the moves",
            Some("k"),
            ProposalState::Open,
            None,
            Open,
            &["data-1"],
            Some(Action::Merged(None)),
        ),
        (
            "still declined",
            None,
            ProposalState::Declined,
            Some("ours"),
            Closed,
            &[],
            None,
        ),
        (
            "its branch deleted, and the forge has yet to notice",
            None,
            ProposalState::Declined,
            None,
            Open,
            &[],
            None,
        ),
        (
            "opened again",
            Some("k"),
            ProposalState::Declined,
            Some("ours"),
            Open,
            &[],
            Some(Action::Reopened),
        ),
    ] {
        let wanted: Vec<_> = key.map(wanted).into_iter().collect();
        let mut tips = Tips::default();
        tips.branches
            .extend(tip.map(|tip| ("b".to_owned(), CommitId(tip.into()))));
        let pulls = Pulls::from([(7, pull)]);
        let holds = |one: &ProposedMoveStatus| in_base.contains(&one.claim.as_str());
        let actions = planned(&wanted, &[recorded(state)], &tips, "base", &pulls, holds);
        assert_eq!(actions.get("b").cloned(), expected, "{what}");
    }
}

#[test]
fn a_branch_that_nobody_recorded_is_taken_over_and_one_of_another_policy_is_not() {
    let tips = |branches: &[&str]| {
        let mut tips = Tips::default();
        for branch in branches {
            tips.branches
                .insert((*branch).to_owned(), CommitId("ours".into()));
        }
        tips
    };
    let adopt = || Action::Adopt(CommitId("ours".into()));
    let old = "b_20261121-143000";
    for (what, there, state, name, expected) in [
        ("pushed before a crash", &[old][..], None, old, adopt()),
        (
            "the newest of two",
            &["b_20261120-143000", old],
            None,
            old,
            adopt(),
        ),
        ("of an older release", &["b"], None, "b", adopt()),
        (
            "a no that is remembered",
            &["b"],
            Some(ProposalState::Declined),
            NEW,
            Action::Create,
        ),
        (
            "another policy's",
            &["b-2_20261121-143000", "b_mine"],
            None,
            NEW,
            Action::Create,
        ),
    ] {
        let recorded: Vec<_> = state.map(recorded).into_iter().collect();
        let actions = planned(
            &[wanted("k")],
            &recorded,
            &tips(there),
            "base",
            &Pulls::new(),
            |_| false,
        );
        let wanted = BTreeMap::from([(name.to_owned(), expected)]);
        assert_eq!(actions, wanted, "{what}");
    }
    // While one is open, whatever it is called, no other one is made.
    let open = [recorded(ProposalState::Open)];
    let actions = planned(
        &[wanted("k")],
        &open,
        &tips(&["b", old]),
        "base",
        &Pulls::new(),
        |_| false,
    );
    assert_eq!(actions, BTreeMap::from([("b".to_owned(), Action::Keep)]));
}
