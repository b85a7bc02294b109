//! Claims about people's upper hand: what stops moves, what is tried again and how often, nodes that rest, and where moves crowd.

use super::world::*;
use crate::decide::control::{nodes, remembered, resting, stop};
use crate::model::engine::Health;
use crate::model::kinds::moves::{MovesStatus, NodeSeen};
use crate::model::kinds::volume_migration::Phase;
use crate::model::migration_brief::MigrationBrief;
use crate::model::moves::{Rules, Stop};
use crate::model::observation::Fleet;
use jiff::Timestamp;
use std::time::Duration;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(NOW + seconds).unwrap()
}

/// A migration of some volume that ended so, seconds after now.
fn ended(number: i64, phase: Phase, seconds: i64) -> MigrationBrief {
    let mut world = world();
    world.migrated(phase);
    let mut one = world.in_flight.migrations.pop().unwrap();
    one.name = format!("m{number}");
    one.finished = Some(at(seconds).to_string());
    one
}

fn counted_since(seconds: i64) -> MovesStatus {
    MovesStatus {
        counted_since: Some(at(seconds).to_string()),
        ..MovesStatus::default()
    }
}

#[test]
fn failures_in_a_row_stop_the_line_until_a_person_says_so() {
    use Phase::*;
    let cases: &[(&str, &[Phase], Option<&str>)] = &[
        ("nothing ended", &[], None),
        ("two failed", &[RolledBack, NeedsPerson], None),
        (
            "three failed",
            &[RolledBack, NeedsPerson, RolledBack],
            Some("m0, m1, m2"),
        ),
        (
            "one succeeded between",
            &[RolledBack, RolledBack, Completed, RolledBack],
            None,
        ),
        (
            "what was cancelled says nothing",
            &[RolledBack, Cancelled, RolledBack, Superseded, RolledBack],
            Some("m0, m2, m4"),
        ),
        (
            "a later success undoes nothing",
            &[RolledBack, RolledBack, RolledBack, Completed, Completed],
            Some("m0, m1, m2"),
        ),
        (
            "what still runs does not count",
            &[RolledBack, RolledBack, RollingBack],
            None,
        ),
    ];
    for (what, phases, expected) in cases {
        let own: Vec<MigrationBrief> = (0..)
            .zip(*phases)
            .map(|(number, phase)| ended(number, *phase, number))
            .collect();
        let expected = expected.map(|names| Stop::Failures(names.into()));
        assert_eq!(
            stop(&counted_since(-1), &Rules::default(), &own),
            expected,
            "{what}"
        );
        // The order in which they are listed is no matter.
        let backwards: Vec<MigrationBrief> = own.iter().rev().cloned().collect();
        assert_eq!(
            stop(&counted_since(-1), &Rules::default(), &backwards),
            expected,
            "{what}"
        );
        assert_eq!(
            stop(&counted_since(100), &Rules::default(), &own),
            None,
            "{what}: looked at since"
        );
        let never = Rules {
            stop_after: 0,
            ..Rules::default()
        };
        assert_eq!(
            stop(&counted_since(-1), &never, &own),
            None,
            "{what}: switched off"
        );
    }
}

#[test]
fn an_order_to_go_on_is_acted_upon_once() {
    let mut rules = Rules::default();
    let first = remembered(None, &rules, None, at(0));
    assert_eq!(
        first.counted_since,
        Some(at(0).to_string()),
        "what failed before is history"
    );
    let later = remembered(Some(&first), &rules, None, at(50));
    assert_eq!(later, first, "time alone changes nothing");
    rules.resume = Some("monday".into());
    let resumed = remembered(Some(&later), &rules, None, at(60));
    assert_eq!(resumed.counted_since, Some(at(60).to_string()));
    assert_eq!(
        remembered(Some(&resumed), &rules, None, at(70)),
        resumed,
        "the same value is no new order"
    );
    rules.resume = Some("tuesday".into());
    let again = remembered(Some(&resumed), &rules, None, at(80));
    assert_eq!(again.counted_since, Some(at(80).to_string()));
}

#[test]
fn each_stop_is_a_reason_and_proposals_go_on() {
    for (stop, reason) in [
        (Stop::Frozen("moving house".into()), "Frozen"),
        (Stop::Paused("moving house".into()), "Paused"),
        (Stop::Failures("m1, m2".into()), "StoppedAfterFailures"),
    ] {
        let mut world = world();
        world.in_flight.control.stop = Some(stop);
        assert_eq!(world.verdict(), "propose hot", "{reason}");
        world.approve("hot");
        assert_eq!(world.verdict(), reason);
        // What makes no sense any more is not used up meanwhile.
        world.assigned("hot", None);
        world.bound().name = "pvc-z".into();
        assert_eq!(world.decided(|decision| decision.superseded.len()), 0, "{reason}");
    }
}

/// Merged, and the move ended so, an hour ago and after ten minutes of trying.
fn tried(phase: Phase, retry: Option<&str>) -> World {
    let mut world = world();
    world.approve("hot");
    world.migrated(phase);
    let one = &mut world.in_flight.migrations[0];
    one.started = Some(at(-4200).to_string());
    one.finished = Some(at(-3600).to_string());
    one.retry = retry.map(Into::into);
    world
}

#[test]
fn only_a_persons_order_has_a_failed_move_tried_again() {
    for phase in [Phase::RolledBack, Phase::NeedsPerson, Phase::Cancelled] {
        assert_eq!(tried(phase, None).verdict(), "FailedBefore", "{phase:?}");
        let again = tried(phase, Some("x"));
        let attempts =
            again.decided(|decision| decision.starts.iter().map(|one| one.attempt).collect::<Vec<_>>());
        assert_eq!(attempts, [2], "{phase:?}");
    }
    assert_eq!(
        tried(Phase::Superseded, Some("x")).decided(|decision| decision.starts.len()),
        0
    );
    let mut withdrawn = tried(Phase::RolledBack, Some("x"));
    withdrawn.desired.approved.clear();
    assert_eq!(
        withdrawn.decided(|decision| decision.starts.len()),
        0,
        "base does not approve it any more"
    );
    let mut unsafe_now = tried(Phase::NeedsPerson, Some("x"));
    unsafe_now.volume().state = Health::Degraded;
    assert_eq!(unsafe_now.verdict(), "NotHealthy");
}

#[test]
fn the_latest_attempt_counts_in_whatever_order_they_are_listed() {
    for backwards in [false, true] {
        let mut world = tried(Phase::RolledBack, Some("x"));
        let mut second = world.in_flight.migrations[0].clone();
        (second.name, second.attempt, second.retry) = ("m-2".into(), 2, None);
        world.in_flight.migrations.push(second);
        if backwards {
            world.in_flight.migrations.reverse();
        }
        assert_eq!(
            world.verdict(),
            "FailedBefore",
            "the order was for the first attempt"
        );
        for one in &mut world.in_flight.migrations {
            one.retry = (one.attempt == 2).then(|| "y".into());
        }
        assert_eq!(world.decided(|decision| decision.starts[0].attempt), 3);
        for one in &mut world.in_flight.migrations {
            one.attempt += 18;
        }
        assert_eq!(world.verdict(), "TriedOften");
    }
}

#[test]
fn what_was_refused_at_once_waits_longer_each_time() {
    for (times, waits) in [(1, 30), (2, 60), (3, 120), (7, 1800), (12, 1800)] {
        let mut world = tried(Phase::RolledBack, Some("x"));
        let template = world.in_flight.migrations.remove(0);
        for number in 1..=times {
            let mut one = template.clone();
            one.attempt = u32::try_from(number).unwrap();
            one.started = Some(at(-10_000 + number * 100).to_string());
            one.finished = Some(at(-10_000 + number * 100 + 5).to_string());
            world.in_flight.migrations.push(one);
        }
        let last = world.in_flight.migrations.last_mut().unwrap();
        last.started = Some(at(-waits - 5).to_string());
        last.finished = Some(at(-waits).to_string());
        assert_eq!(world.verdict(), "start hot", "{times} times");
        let last = world.in_flight.migrations.last_mut().unwrap();
        last.finished = Some(at(1 - waits).to_string());
        assert_eq!(world.verdict(), "BacksOff", "{times} times");
        // One that was tried for long was not refused at once.
        let last = world.in_flight.migrations.last_mut().unwrap();
        last.started = Some(at(-waits - 301).to_string());
        assert_eq!(world.verdict(), "start hot", "{times} times");
    }
}

#[test]
fn copies_that_left_their_tier_are_brought_back_when_they_have_rested() {
    let rest = 86_400;
    for (seconds, expected) in [(rest - 1, "Drifted"), (rest, "start hot")] {
        let mut world = tried(Phase::Completed, None);
        world.in_flight.migrations[0].finished = Some(at(-seconds).to_string());
        assert_eq!(world.verdict(), expected, "{seconds} s");
        world.on_hot();
        assert_eq!(
            world.decided(|decision| decision.starts.len()),
            0,
            "it is where it belongs"
        );
    }
    // What no longer speaks for the move does not use up what was carried out.
    let mut world = tried(Phase::Completed, None);
    world.in_flight.migrations[0].finished = Some(at(-rest).to_string());
    world.assigned("hot", None);
    world.now_at(100.0);
    assert_eq!(world.verdict(), "NoLongerHolds");
    assert_eq!(world.decided(|decision| decision.superseded.len()), 0);
    // A person need not wait.
    let ordered = tried(Phase::Completed, Some("x"));
    assert_eq!(ordered.verdict(), "start hot");
}

#[test]
fn a_hot_spare_that_always_lands_astray_is_not_followed_for_ever() {
    let mut world = tried(Phase::Completed, None);
    let (mut starts, mut turns) = (0, 0);
    // A month of turns, one an hour: each move completes at once, and the copy goes astray again.
    while turns < 24 * 30 {
        turns += 1;
        for one in &mut world.in_flight.migrations {
            let back = |at: &str| {
                let at: Timestamp = at.parse().unwrap();
                (at - Duration::from_secs(3600)).to_string()
            };
            one.finished = one.finished.as_deref().map(back);
            one.started = one.started.as_deref().map(back);
        }
        let attempt = world.decided(|decision| decision.starts.first().map(|one| one.attempt));
        if let Some(attempt) = attempt {
            starts += 1;
            let mut next = world.in_flight.migrations[0].clone();
            (next.name, next.attempt) = (format!("m-{attempt}"), attempt);
            (next.started, next.finished) = (Some(at(-600).to_string()), Some(at(0).to_string()));
            world.in_flight.migrations.push(next);
        }
    }
    assert_eq!(starts, 3, "brought back three times, and then a person must look");
    let words = world.decided(|decision| decision.left_alone[0].words());
    assert!(words.contains("couchestor migrations retry m-4"), "{words}");
    world.in_flight.migrations.last_mut().unwrap().retry = Some("x".into());
    assert_eq!(world.verdict(), "start hot");
}

fn fleet(states: &[(&str, Health)]) -> Fleet {
    let mut world = world();
    let engine = world.engine.as_mut().unwrap();
    let template = engine.nodes[&"n1".into()].clone();
    engine.nodes.clear();
    for (name, state) in states {
        let mut node = template.clone();
        (node.name, node.state) = ((*name).into(), *state);
        engine.nodes.insert(node.name.clone(), node);
    }
    world.observation().engine.unwrap()
}

#[test]
fn a_node_that_returns_rests_and_is_then_forgotten() {
    let quarantine = Duration::from_secs(600);
    let look =
        |known: &[NodeSeen], state, seconds| nodes(known, &fleet(&[("n1", state)]), quarantine, at(seconds));
    let away = look(&[], Health::Offline, 0);
    assert_eq!(
        (away[0].away_since.clone(), away[0].returned()),
        (at(0).to_string(), None)
    );
    assert!(
        resting(&away, quarantine).is_empty(),
        "nothing is asked of one that is away"
    );
    assert_eq!(look(&away, Health::Unknown, 50), away);
    let back = look(&away, Health::Online, 100);
    assert_eq!(resting(&back, quarantine)[&"n1".into()], at(700));
    assert_eq!(
        look(&back, Health::Online, 699),
        back,
        "time alone changes nothing"
    );
    assert_eq!(look(&back, Health::Online, 700), []);
    let gone_again = look(&back, Health::Offline, 300);
    assert_eq!(
        (gone_again[0].away_since.clone(), gone_again[0].returned()),
        (at(300).to_string(), None)
    );
    assert_eq!(
        look(&[], Health::Online, 0),
        [],
        "one that was never away does not rest"
    );
    assert_eq!(
        nodes(&away, &fleet(&[]), quarantine, at(10)),
        [],
        "one that was taken out is forgotten"
    );
    let many: Vec<String> = (0..1000).map(|number| format!("n{number:04}")).collect();
    let many: Vec<(&str, Health)> = many.iter().map(|name| (name.as_str(), Health::Offline)).collect();
    assert_eq!(nodes(&back, &fleet(&many), quarantine, at(200)).len(), 200);
}

#[test]
fn a_node_that_has_just_returned_takes_no_copy_and_gives_none_up() {
    for (node, until, expected) in [
        ("n1", 1, "NodeJustReturned"),
        ("n2", 1, "NodeJustReturned"),
        ("n1", 0, "start hot"),
        ("n9", 1, "start hot"),
    ] {
        let mut world = world();
        world.approve("hot");
        world.in_flight.control.resting.insert(node.into(), at(until));
        assert_eq!(world.verdict(), expected, "{node}");
        world.desired.approved.clear();
        assert_eq!(world.verdict(), "propose hot", "proposals go on");
    }
}

#[test]
fn moves_do_not_crowd_between_two_nodes_or_on_one_pool() {
    // Another volume moves from n1 to n2, or from n2 to n1, as this one would, or somewhere else.
    let moving = |per_pair: u32, per_pool: Option<u32>, pool: &str, node: &str, to: &str| {
        let mut world = world();
        world.limits.max_concurrent = 10;
        world.policy().max_concurrent = 10;
        world.policy().budgets.moves_per_pool = per_pool;
        world.in_flight.control.per_node_pair = per_pair;
        let engine = world.engine.as_mut().unwrap();
        let mut third = engine.nodes[&"n1".into()].clone();
        third.name = "n3".into();
        engine.nodes.insert("n3".into(), third);
        engine
            .pools
            .insert("cold-3".into(), super::world::pool("cold-3", "n3", "cold", 100));
        world.beside("moving", 5, pool, node, 1000.0);
        world.approve("hot");
        world.migrated(Phase::WaitSync);
        let migration = &mut world.in_flight.migrations[0];
        (migration.volume, migration.claim.name) = ("pvc-moving".into(), "moving".to_owned());
        (migration.to, migration.approved_in) = (to.into(), "b".into());
        world.decided(|decision| {
            let started = decision
                .starts
                .iter()
                .any(|one| one.approved.what().claim == claim());
            let left = decision.left_alone.iter().find(|left| left.is(&claim()));
            match started {
                true => "start".to_owned(),
                false => left.unwrap().words(),
            }
        })
    };
    for (per_pair, per_pool, (pool, node, to), expected) in [
        (1, None, ("cold-1", "n1", "hot"), "between n1 and n2"),
        // The other way: its copy is expected on the first of the cold pools.
        (1, None, ("hot-2", "n2", "cold"), "between n1 and n2"),
        (1, None, ("cold-3", "n3", "hot"), "start"),
        (2, None, ("cold-1", "n1", "hot"), "start"),
        (0, None, ("cold-1", "n1", "hot"), "start"),
        (
            0,
            Some(1),
            ("cold-1", "n1", "hot"),
            "movesPerPool: 1 of p on cold-1",
        ),
        (
            0,
            Some(1),
            ("cold-3", "n3", "hot"),
            "movesPerPool: 1 of p on hot-2",
        ),
        (0, Some(2), ("cold-1", "n1", "hot"), "start"),
    ] {
        let said = moving(per_pair, per_pool, pool, node, to);
        assert!(
            said.contains(expected),
            "{per_pair} {per_pool:?} {pool} → {to}: {said}"
        );
    }
}
