//! Claims about assignments that are taken back: their moves failed, or made the volume slower.

use super::world::*;
use crate::decide::rollback::{Cause, Return, questions, returns};
use crate::model::desired::Rollback;
use crate::model::ids::{CommitId, PolicyName};
use crate::model::kinds::policy_source::ProposalState;
use crate::model::kinds::volume_migration::Phase;
use crate::model::observation::Pin;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

type Case = (&'static str, fn(&mut World), bool);

const CASES: &[Case] = &[
    ("rolled back", |_| {}, true),
    (
        "stopped, and whole on one tier",
        |w| w.in_flight.migrations[0].phase = Phase::NeedsPerson,
        true,
    ),
    (
        "still under way",
        |w| w.in_flight.migrations[0].phase = Phase::WaitSync,
        false,
    ),
    (
        "superseded: what was merged may be right again",
        |w| w.in_flight.migrations[0].phase = Phase::Superseded,
        false,
    ),
    (
        "somebody tries again",
        |w| w.in_flight.migrations[0].approved_in = CommitId("older".into()),
        false,
    ),
    (
        "nobody knows where it is",
        |w| w.engine = Err("down".into()),
        false,
    ),
    (
        "it is where base says by now",
        |w| w.desired.assignments.clear(),
        false,
    ),
    ("another volume", |w| w.bound().name = "pvc-z".into(), false),
    (
        "a no to the very same",
        |w| refuse(w, ProposalState::Declined, "failed m"),
        false,
    ),
    (
        "taken out before the merge",
        |w| refuse(w, ProposalState::Merged, "failed m"),
        false,
    ),
    (
        "a no to an earlier one",
        |w| refuse(w, ProposalState::Declined, "failed l"),
        true,
    ),
    ("it is open", |w| refuse(w, ProposalState::Open, "failed m"), true),
];

fn refuse(world: &mut World, state: ProposalState, signal: &str) {
    world.declined(0.0);
    let record = &mut world.in_flight.proposals[0];
    record.state = state;
    (record.moves[0].to, record.moves[0].decision.signal) = ("cold".into(), signal.into());
}

fn returned(world: &World) -> BTreeMap<PolicyName, Vec<Return>> {
    let observation = world.observation();
    returns(&world.desired, &observation, &world.in_flight, observation.at)
}

#[test]
fn a_failed_move_is_taken_back_once_and_not_after_a_no() {
    for (what, change, wanted) in CASES {
        let mut world = world();
        world.approve("hot");
        world.assigned("hot", None);
        world.migrated(Phase::RolledBack);
        change(&mut world);
        let returns = returned(&world);
        let back: Vec<_> = returns.into_iter().collect();
        assert_eq!(back.len(), usize::from(*wanted), "{what}: {back:?}");
        if let Some((identity, moves)) = back.first() {
            let one = &moves[0].back;
            assert_eq!(identity.as_str(), "rollback/p", "{what}");
            assert_eq!(
                (one.from.as_str(), one.to.as_str(), one.hotter),
                ("hot", "cold", false)
            );
        }
    }
}

/// Moved to the hot tier two hours ago at 2 ms; the policy takes back what takes half as long again, for a day.
fn moved(latency: f64) -> World {
    let mut world = world().with(&[("latency", latency)]);
    world.on_hot();
    world.approve("hot");
    world.assigned("hot", None);
    world.migrated(Phase::Completed);
    ended(&mut world, 7200);
    world.in_flight.migrations[0].latency_before = Some(2.0);
    world.policy().rollback = Some(Rollback {
        worse: 0.5,
        within: Duration::from_secs(86_400),
    });
    world
}

fn ended(world: &mut World, seconds_ago: i64) {
    let at = Timestamp::from_second(NOW - seconds_ago).unwrap();
    world.in_flight.migrations[0].finished = Some(at.to_string());
}

/// Proposed with 4 ms.
fn said(world: &mut World, state: ProposalState, signal: &str) {
    refuse(world, state, signal);
    world.in_flight.proposals[0].moves[0].decision.value = 4.0;
}

/// What is proposed as the latency after the move, if it is.
type Slower = (&'static str, f64, fn(&mut World), Option<f64>);

const SLOWER: &[Slower] = &[
    ("twice as long", 4.0, |_| {}, Some(4.0)),
    ("just as bad as the policy says", 3.0, |_| {}, Some(3.0)),
    ("a little worse", 2.9, |_| {}, None),
    ("better", 1.0, |_| {}, None),
    ("nobody knows", f64::NAN, |_| {}, None),
    ("Prometheus is down", 4.0, |w| w.loads = Err("down".into()), None),
    ("the window after it is not over", 4.0, |w| ended(w, 3599), None),
    (
        "the window after it is just over",
        4.0,
        |w| ended(w, 3600),
        Some(4.0),
    ),
    ("too long ago", 4.0, |w| ended(w, 86_401), None),
    (
        "the policy does not ask for it",
        4.0,
        |w| w.policy().rollback = None,
        None,
    ),
    ("the policy is off", 4.0, |w| w.policy().enabled = false, None),
    (
        "the policy only says what it would do",
        4.0,
        |w| w.policy().dry_run = true,
        None,
    ),
    (
        "nothing was measured before",
        4.0,
        |w| w.in_flight.migrations[0].latency_before = None,
        None,
    ),
    (
        "it came from two tiers",
        4.0,
        |w| w.in_flight.migrations[0].from = "mixed".into(),
        None,
    ),
    (
        "it was superseded",
        4.0,
        |w| w.in_flight.migrations[0].phase = Phase::Superseded,
        None,
    ),
    (
        "it was taken out: on its way back",
        4.0,
        |w| w.desired.assignments.clear(),
        None,
    ),
    (
        "a person pinned it",
        4.0,
        |w| w.assigned("hot", Some(Pin::Always)),
        None,
    ),
    (
        "somebody approved it again",
        4.0,
        |w| w.in_flight.migrations[0].approved_in = CommitId("older".into()),
        None,
    ),
    ("another volume", 4.0, |w| w.bound().name = "pvc-z".into(), None),
    (
        "a no",
        4.0,
        |w| said(w, ProposalState::Declined, "latency m"),
        None,
    ),
    (
        "taken out before the merge",
        4.0,
        |w| said(w, ProposalState::Merged, "latency m"),
        None,
    ),
    (
        "a no after an earlier move",
        4.0,
        |w| said(w, ProposalState::Declined, "latency l"),
        Some(4.0),
    ),
    (
        "open, and the figures stay",
        5.0,
        |w| said(w, ProposalState::Open, "latency m"),
        Some(4.0),
    ),
    (
        "open, and a little better",
        2.8,
        |w| said(w, ProposalState::Open, "latency m"),
        Some(4.0),
    ),
    (
        "open, and well again",
        2.6,
        |w| said(w, ProposalState::Open, "latency m"),
        None,
    ),
    (
        "open, and nobody knows",
        f64::NAN,
        |w| said(w, ProposalState::Edited, "latency m"),
        Some(4.0),
    ),
    (
        "open, and not looked at any more",
        1.0,
        |w| {
            said(w, ProposalState::Open, "latency m");
            ended(w, 90_000);
        },
        Some(4.0),
    ),
    (
        "another proposal speaks of it",
        4.0,
        |w| said(w, ProposalState::Open, "iops"),
        None,
    ),
];

#[test]
fn what_became_slower_is_taken_back_once_and_not_after_a_no() {
    for (what, latency, change, wanted) in SLOWER {
        let mut world = moved(*latency);
        change(&mut world);
        let back: Vec<_> = returned(&world).into_iter().collect();
        let after = back.first().map(|(identity, moves)| {
            assert_eq!((identity.as_str(), moves.len()), ("slower/p", 1), "{what}");
            let one = &moves[0].back;
            assert_eq!((one.from.as_str(), one.to.as_str()), ("hot", "cold"), "{what}");
            assert_eq!(one.note.signal, "latency m", "{what}");
            match moves[0].cause {
                Cause::Slower { before: 2.0, after } => after,
                other => panic!("{what}: {other:?}"),
            }
        });
        assert_eq!(after, *wanted, "{what}");
    }
}

#[test]
fn the_latency_is_asked_for_only_while_it_is_of_use() {
    let asked = |world: &World| {
        let now = Timestamp::from_second(NOW).unwrap();
        questions(&world.desired, &world.in_flight.migrations, now).len()
    };
    type Case = (&'static str, fn(&mut World), usize);
    let cases: &[Case] = &[
        ("a move ended not long ago", |_| {}, 1),
        ("it ended just now", |w| ended(w, 60), 0),
        ("it ended long ago", |w| ended(w, 90_000), 0),
        ("a move may start", |w| w.in_flight.migrations.clear(), 1),
        ("it is not asked for", |w| w.policy().rollback = None, 0),
        (
            "two of them",
            |w| {
                w.in_flight.migrations.push(w.in_flight.migrations[0].clone());
            },
            1,
        ),
        ("the policy is off", |w| w.policy().enabled = false, 0),
    ];
    for (what, change, wanted) in cases {
        let mut world = moved(4.0);
        change(&mut world);
        assert_eq!(asked(&world), *wanted, "{what}");
    }
}

#[test]
fn what_starts_remembers_its_latency_where_the_policy_compares_it() {
    for (rollback, wanted) in [(true, Some(2.5)), (false, None)] {
        let mut world = world().with(&[("latency", 2.5)]);
        world.approve("hot");
        world.assigned("hot", None);
        world.policy().rollback = rollback.then_some(Rollback {
            worse: 0.5,
            within: Duration::from_secs(86_400),
        });
        let started =
            world.decided(|decision| decision.starts.iter().map(|one| one.latency).collect::<Vec<_>>());
        assert_eq!(started, [wanted]);
    }
}
