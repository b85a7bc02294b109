//! Claims about what is done with a proposal when more is known than where its branch and its pull request stand, or less.

use super::*;

fn ours() -> CommitId {
    CommitId("ours".into())
}

/// What is done with an open proposal whose branch stands where we left it.
fn of(known: &Known, wanted: &[ProposalText], base: &str, pull: PullRequestState) -> Option<Action> {
    let mut tips = Tips::default();
    tips.branches.insert("b".to_owned(), ours());
    let (pulls, recorded) = (Pulls::from([(7, pull)]), [recorded(ProposalState::Open)]);
    let actions = planned_knowing(known, wanted, &recorded, &tips, base, &pulls, |_| false);
    actions.get("b").cloned()
}

#[test]
fn what_nobody_can_look_at_now_stands_as_it_is() {
    use PullRequestState::{Closed, Merged, Open};
    let known = Known {
        undecided: ["b".to_owned()].into(),
        ..Known::default()
    };
    for (what, state, tip, pull, in_base, expected) in [
        (
            "open",
            ProposalState::Open,
            Some("ours"),
            Open,
            false,
            Action::Keep,
        ),
        // Whether that was a no is told when it is known whether it was still wanted.
        (
            "closed",
            ProposalState::Open,
            Some("ours"),
            Closed,
            false,
            Action::Keep,
        ),
        ("gone", ProposalState::Open, None, Closed, false, Action::Keep),
        (
            "a person committed",
            ProposalState::Open,
            Some("theirs"),
            Open,
            false,
            Action::LeaveEdited,
        ),
        (
            "merged",
            ProposalState::Open,
            None,
            Merged,
            true,
            Action::Merged(None),
        ),
    ] {
        let mut tips = Tips::default();
        tips.branches
            .extend(tip.map(|tip| ("b".to_owned(), CommitId(tip.into()))));
        let (pulls, recorded) = (Pulls::from([(7, pull)]), [recorded(state)]);
        let actions = planned_knowing(&known, &[], &recorded, &tips, "base2", &pulls, |_| in_base);
        assert_eq!(actions.get("b").cloned(), Some(expected), "{what}");
    }
}

#[test]
fn a_merge_counts_when_base_shows_it() {
    let known = Known {
        awaited: [7].into(),
        ..Known::default()
    };
    let recorded = [recorded(ProposalState::Open)];
    for (what, wanted, tip) in [
        ("its branch is there", &[wanted("k")][..], Some("ours")),
        ("its branch is deleted", &[wanted("k")], None),
        ("nothing is wanted any more", &[], Some("ours")),
        ("a person had changed it", &[], Some("theirs")),
    ] {
        let mut tips = Tips::default();
        tips.branches
            .extend(tip.map(|tip| ("b".to_owned(), CommitId(tip.into()))));
        let pulls = Pulls::from([(7, PullRequestState::Merged)]);
        let planned = |known, held| {
            let actions = planned_knowing(known, wanted, &recorded, &tips, "base", &pulls, |_| held);
            actions.get("b").cloned()
        };
        let ours = tip.filter(|tip| *tip == "ours").map(|_| ours());
        assert_eq!(planned(&known, false), Some(Action::Keep), "{what}");
        assert_eq!(
            planned(&known, true),
            Some(Action::Merged(ours.clone())),
            "{what}"
        );
        assert_eq!(
            planned(&Known::default(), false),
            Some(Action::Merged(ours)),
            "{what}"
        );
    }
}

#[test]
fn a_base_that_moved_on_elsewhere_pushes_nothing_anew() {
    let untouched = Known {
        untouched: ["b".to_owned()].into(),
        ..Known::default()
    };
    let none = Known::default();
    let refresh = || Some(Action::Refresh(ours()));
    for (what, known, key, base, expected) in [
        ("the same base", &none, "k", "base", Some(Action::Keep)),
        ("policies changed", &none, "k", "base2", refresh()),
        (
            "something else changed",
            &untouched,
            "k",
            "base2",
            Some(Action::Keep),
        ),
        ("and other moves are wanted", &untouched, "k2", "base2", refresh()),
    ] {
        let found = of(known, &[wanted(key)], base, PullRequestState::Open);
        assert_eq!(found, expected, "{what}");
    }
}

#[test]
fn other_reasons_are_another_text_and_new_figures_are_not() {
    let refresh = || Some(Action::Refresh(ours()));
    type Change = fn(&mut DecisionNote);
    let cases: &[(&str, Change, Option<Action>)] = &[
        ("nothing", |_| {}, Some(Action::Keep)),
        ("the load", |note| note.value = 7000.0, Some(Action::Keep)),
        (
            "the last bit",
            |note| note.watermark = Some(5_000.000_000_000_001),
            Some(Action::Keep),
        ),
        ("the watermark", |note| note.watermark = Some(5500.0), refresh()),
        ("it is encrypted now", |note| note.watermark = None, refresh()),
        ("the window", |note| note.window = Some("2h".into()), refresh()),
        ("the signal", |note| note.signal = "latency".into(), refresh()),
        ("the percentile", |note| note.percentile = Some(95.0), refresh()),
        (
            "for how long",
            |note| note.sustained_for = Some("30m".into()),
            refresh(),
        ),
        (
            "one more signal",
            |note| note.also = vec![latency(8.0)],
            refresh(),
        ),
    ];
    for (what, change, expected) in cases {
        let mut text = wanted("k");
        change(&mut text.moves[0].note);
        let found = of(&Known::default(), &[text], "base", PullRequestState::Open);
        assert_eq!(found, *expected, "{what}");
    }
}

fn latency(value: f64) -> SignalNote {
    SignalNote {
        signal: "latency".into(),
        value,
        watermark: 2.0,
        percentile: None,
    }
}

#[test]
fn new_figures_of_a_decision_leave_it_the_same() {
    let noted = |value, also| DecisionNote {
        value,
        also,
        ..note()
    };
    let old = noted(6000.0, vec![latency(8.0)]);
    let new = noted(7000.0, vec![latency(9.0)]);
    assert_eq!(old.measured_as(&new), new);
    assert_ne!(old.measured_as(&noted(7000.0, vec![])), noted(7000.0, vec![]));
}

#[test]
fn what_a_person_changed_and_closed_is_a_no_wanted_or_not() {
    let mut tips = Tips::default();
    tips.branches.insert("b".to_owned(), CommitId("theirs".into()));
    for (state, pull, expected) in [
        (ProposalState::Edited, PullRequestState::Closed, Action::Declined),
        (ProposalState::Edited, PullRequestState::Open, Action::LeaveEdited),
    ] {
        let pulls = Pulls::from([(7, pull)]);
        let actions = planned(&[], &[recorded(state)], &tips, "base", &pulls, |_| false);
        assert_eq!(actions.get("b").cloned(), Some(expected), "{pull:?}");
    }
}

#[test]
fn what_somebody_holds_is_neither_changed_nor_withdrawn() {
    use PullRequestState::{Closed, Open};
    for (held, wants, base, pull, expected) in [
        (false, Some("other"), "base", Open, Action::Refresh(ours())),
        (true, Some("other"), "base", Open, Action::Keep),
        (true, Some("k"), "base2", Open, Action::Keep),
        (false, None, "base", Open, Action::Withdraw(ours())),
        (true, None, "base", Open, Action::Keep),
        // A no is a no.
        (true, Some("k"), "base", Closed, Action::Declined),
    ] {
        let known = Known {
            held: held.then_some(7).into_iter().collect(),
            ..Known::default()
        };
        let wanted: Vec<_> = wants.map(wanted).into_iter().collect();
        let what = format!("{held} {wants:?} {base} {pull:?}");
        assert_eq!(of(&known, &wanted, base, pull), Some(expected), "{what}");
    }
}

#[test]
fn what_was_superseded_before_its_merge_was_noticed_is_merged_and_no_new_proposal_is_because_of_it() {
    use PullRequestState::{Merged, Open};
    let known = Known {
        spent: ["data-0", "data-1"]
            .map(|name| ("db".to_owned(), name.to_owned()))
            .into(),
        ..Known::default()
    };
    let one = super::super::plan::counts;
    let of_pull = |pull| one(&known, Some(&pull), &proposed("data-0"));
    assert!(of_pull(Merged), "it was accepted");
    assert!(!of_pull(Open), "base holds the one before it");
    assert!(one(&Known::default(), Some(&Open), &proposed("data-0")));
    // Everything is in base, by what was superseded.
    let mut tips = Tips::default();
    tips.branches.insert("b".to_owned(), ours());
    let recorded = [recorded(ProposalState::Open)];
    for (pull, expected) in [(Open, Action::Keep), (Merged, Action::Merged(Some(ours())))] {
        let pulls = Pulls::from([(7, pull)]);
        let actions = planned_knowing(&known, &[wanted("k")], &recorded, &tips, "base", &pulls, |_| true);
        assert_eq!(actions.get("b"), Some(&expected));
    }
}

#[test]
fn what_is_found_of_a_proposal_that_we_were_about_to_withdraw_is_no_word_of_a_persons() {
    use PullRequestState::{Closed, Merged, Open};
    for (what, wants, tip, pull, in_base, expected) in [
        (
            "as it was",
            None,
            Some("ours"),
            Open,
            false,
            Action::Withdraw(ours()),
        ),
        (
            "closed by us",
            None,
            Some("ours"),
            Closed,
            false,
            Action::Withdraw(ours()),
        ),
        ("deleted by us", None, None, Closed, false, Action::Forget),
        (
            "wanted again",
            Some("k"),
            Some("ours"),
            Open,
            false,
            Action::Resume(ours()),
        ),
        (
            "closed by us, and wanted again",
            Some("k"),
            Some("ours"),
            Closed,
            false,
            Action::Resume(ours()),
        ),
        (
            "deleted by us, and wanted again",
            Some("k"),
            None,
            Open,
            false,
            Action::Forget,
        ),
        (
            "changed by a person",
            Some("k"),
            Some("theirs"),
            Open,
            false,
            Action::LeaveEdited,
        ),
        (
            "changed by a person and closed",
            None,
            Some("theirs"),
            Closed,
            false,
            Action::Forget,
        ),
        (
            "merged in time",
            None,
            Some("ours"),
            Merged,
            true,
            Action::Merged(Some(ours())),
        ),
    ] {
        let wanted: Vec<_> = wants.map(wanted).into_iter().collect();
        let mut tips = Tips::default();
        tips.branches
            .extend(tip.map(|tip| ("b".to_owned(), CommitId(tip.into()))));
        let (pulls, recorded) = (Pulls::from([(7, pull)]), [recorded(ProposalState::Withdrawing)]);
        let actions = planned(&wanted, &recorded, &tips, "base", &pulls, |_| in_base);
        assert_eq!(actions, BTreeMap::from([("b".to_owned(), expected)]), "{what}");
    }
    // Somebody holds it: what was begun waits too.
    let known = Known {
        held: [7].into(),
        ..Known::default()
    };
    let mut tips = Tips::default();
    tips.branches.insert("b".to_owned(), ours());
    let (pulls, recorded) = (Pulls::from([(7, Open)]), [recorded(ProposalState::Withdrawing)]);
    let actions = planned_knowing(&known, &[], &recorded, &tips, "base", &pulls, |_| false);
    assert_eq!(actions["b"], Action::Keep);
}
