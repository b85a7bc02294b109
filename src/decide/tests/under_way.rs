//! Claims about what is under way, and about how long somebody was watched.

use super::world::*;
use crate::decide::{decide, questions, undecided, unmeasured};
use crate::model::desired::{Measure, Policy};
use crate::model::ids::PolicyName;
use crate::model::kinds::policy_source::ProposalState;
use crate::model::kinds::volume_migration::Phase;
use crate::model::observation::Observation;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::time::Duration;

#[test]
fn the_room_of_a_copy_that_is_yet_to_be_made_is_taken() {
    // 25 GiB are free: enough for one copy of 10 GiB and the reserve, and not beside one of 15 that is under way.
    for (phase, expected) in [
        (None, "propose hot"),
        (Some(Phase::ScaleUp), "NoRoom"),
        (Some(Phase::Completed), "propose hot"),
    ] {
        let mut world = world();
        world.limits.max_open = 10;
        world.pool("hot-2").used = 75 * GIB;
        world.beside("moving", 15, "cold-1", "n1", 1000.0);
        if let Some(phase) = phase {
            world.migrated(phase);
            let migration = &mut world.in_flight.migrations[0];
            (migration.volume, migration.claim.name) = ("pvc-moving".into(), "moving".to_owned());
        }
        let said = world.decided(|decision| {
            let proposed = decision.proposals.iter().any(|one| one.claim.name == "data-0");
            let left = decision.left_alone.iter().find(|left| left.is(&claim()));
            match proposed {
                true => "propose hot".to_owned(),
                false => left.map_or("nothing", |left| left.why.reason()).to_owned(),
            }
        });
        assert_eq!(said, expected, "{phase:?}");
    }
}

#[test]
fn who_was_not_watched_for_long_enough_has_not_sustained_anything() {
    let mut world = world();
    world.policy().sustained = Duration::from_secs(1800);
    let policy = &world.desired.policies[&"p".into()];
    let asked = questions::signal_of(policy, &policy.signals[0], Timestamp::from_second(NOW).unwrap());
    let (least, _) = asked.extremes.unwrap();
    let watched = " and on (pv_name) (count_over_time((sum by (pv_name) (volume_num_read_ops))[1800s:30s]) / 60 >= 0.75)";
    assert!(
        least.starts_with("min_over_time(") && least.ends_with(watched),
        "{least}"
    );
}

#[test]
fn what_cannot_be_measured_has_not_changed() {
    type Case = (&'static str, fn(&mut World), bool);
    let cases: &[Case] = &[
        ("still hot", |_| {}, false),
        ("cold by now", |w| w.now_at(100.0), false),
        ("Prometheus is down", |w| w.loads = Err("x".into()), true),
        (
            "no samples",
            |w| *w.loads.as_mut().unwrap() = Default::default(),
            true,
        ),
        (
            "few samples",
            |w| *w = std::mem::replace(w, world()).at(6000.0, 0.5),
            true,
        ),
        ("the engine is down", |w| w.engine = Err("x".into()), true),
        ("the policy is off", |w| w.policy().enabled = false, false),
        (
            "the claim is gone, and Prometheus is down",
            |w| {
                w.loads = Err("x".into());
                w.seen.clear();
            },
            false,
        ),
    ];
    for (what, change, expected) in cases {
        let mut world = world();
        world.declined(6000.0);
        world.in_flight.proposals[0].state = ProposalState::Open;
        change(&mut world);
        let (observation, proposals) = (world.observation(), &world.in_flight.proposals);
        let found = world.decided(|decision| undecided(decision, &observation, proposals));
        assert_eq!(found.contains("b"), *expected, "{what}");
    }
}

#[test]
fn a_move_that_nobody_can_look_at_now_stays_in_its_proposal() {
    type Case = (&'static str, fn(&mut World), bool);
    let cases: &[Case] = &[
        ("no samples", |_| {}, true),
        (
            "measured and cold",
            |w| *w = std::mem::replace(w, world()).at(100.0, 1.0),
            false,
        ),
        ("another volume", |w| w.bound().name = "pvc-z".into(), false),
        ("base holds it", |w| w.assigned("hot", None), false),
        (
            "another policy's",
            |w| w.in_flight.proposals[0].policy = "q".into(),
            false,
        ),
        (
            "a person works on it",
            |w| w.in_flight.proposals[0].state = ProposalState::Edited,
            false,
        ),
    ];
    for (what, change, expected) in cases {
        let mut world = world();
        world.declined(6000.0);
        world.in_flight.proposals[0].state = ProposalState::Open;
        *world.loads.as_mut().unwrap() = Default::default();
        change(&mut world);
        let (observation, proposals) = (world.observation(), &world.in_flight.proposals);
        let kept = world.decided(|decision| unmeasured(&world.desired, decision, &observation, proposals));
        assert_eq!(!kept.is_empty(), *expected, "{what}");
        if let Some(kept) = kept.first() {
            let recorded = &proposals[0].moves[0];
            assert_eq!((&kept.claim, kept.to.as_str()), (&claim(), "hot"));
            assert_eq!(
                (&kept.note, kept.hotter, kept.bytes),
                (&recorded.decision, true, 10 * GIB)
            );
        }
    }
}

/// A policy of that name for the volumes of that name, which asks for what must be sustained to be watched for a part of the time.
fn watching(template: &Policy, name: &str, part: f64) -> (PolicyName, Policy) {
    let mut policy = template.clone();
    policy.name = PolicyName(name.to_owned());
    policy.claim_labels.insert("app".into(), name.into());
    (policy.sustained, policy.min_coverage) = (Duration::from_secs(1800), part);
    (policy.name.clone(), policy)
}

#[test]
fn policies_that_differ_in_their_coverage_alone_have_each_its_own_answer() {
    // Of two policies that ask almost the same the first by name is read first: each may be that one.
    for (strict, loose) in [("a", "b"), ("b", "a")] {
        let mut world = world();
        let template = world.policy().clone();
        let policies = [watching(&template, strict, 0.75), watching(&template, loose, 0.5)];
        let now = Timestamp::from_second(NOW).unwrap();
        let least = |policy: &Policy| {
            let asked = questions::signal_of(policy, &policy.signals[0], now);
            asked.extremes.unwrap().0
        };
        let of_strict = least(&policies[0].1);
        assert_ne!(of_strict, least(&policies[1].1));
        world.desired.policies = policies.into_iter().collect();
        world.limits.max_open = 10;
        world.beside("v", 10, "cold-1", "n1", 6000.0);
        let mut world = world.with(&[("least iops", 6000.0), ("greatest iops", 6000.0)]);
        let known = world.loads.as_mut().unwrap();
        let same = known["pvc-u"].clone();
        known.insert("pvc-v".to_owned(), same);
        world.seen[0].claim_labels.insert("app".into(), strict.into());
        world.seen[1].claim_labels.insert("app".into(), loose.into());

        // Both were watched for more than half of the time, and neither for three quarters of it.
        let mut answers = world.answers(now);
        answers.get_mut(&of_strict).unwrap().as_mut().unwrap().clear();
        let (seen, engine) = (world.seen.clone(), world.engine.clone());
        let observation = Observation::assemble(now, seen, BTreeSet::new(), engine, answers);
        let decision = decide(&world.desired, &observation, &world.in_flight, world.limits, now);
        let [left] = &*decision.left_alone else {
            panic!("{strict} is the strict one: {decision:?}");
        };
        assert!(left.is(&claim()), "{strict} is the strict one");
        assert_eq!(left.why.reason(), "NotSustained", "{strict} is the strict one");
        let [proposed] = &*decision.proposals else {
            panic!("{strict} is the strict one: {decision:?}");
        };
        assert_eq!(proposed.policy.as_str(), loose);
    }
}

#[test]
fn what_is_not_known_is_not_told_as_zero() {
    let words = |world: &World| world.decided(|decision| decision.left_alone[0].words());
    let mut world = world().with(&[("requestSize", 65_536.0)]);
    let policy = world.policy();
    policy.signals = vec![signal("requestSize", Measure::RequestSize, Some(4096.0), None)];
    policy.sustained = Duration::from_secs(1800);
    assert_eq!(
        words(&world),
        "beyond its thresholds now; too few samples of requestSize to tell whether for 30 min"
    );
    world.policy().secret = true;
    assert_eq!(
        words(&world),
        "beyond its thresholds now; too few samples of requestSize to tell whether for long enough"
    );

    let mut world = super::world::world();
    world.policy().signals = vec![
        signal("latency", Measure::Latency, Some(5.0), None),
        signal("iops", Measure::Iops, Some(1000.0), None),
    ];
    assert_eq!(
        words(&world),
        "no samples of latency in the window; it may be unpublished"
    );
}

#[test]
fn what_is_open_counts_though_its_policy_wants_nothing() {
    for (state, max, expected) in [
        (None, 1, "propose hot"),
        (Some(ProposalState::Edited), 1, "OverBudget"),
        (Some(ProposalState::Open), 1, "OverBudget"),
        (Some(ProposalState::Edited), 2, "propose hot"),
        (Some(ProposalState::Merged), 1, "propose hot"),
    ] {
        let mut world = world();
        world.limits.max_open = max;
        if let Some(state) = state {
            world.declined(6000.0);
            let record = &mut world.in_flight.proposals[0];
            (record.state, record.policy) = (state, "gone".into());
            record.moves[0].claim = "other".into();
        }
        assert_eq!(world.verdict(), expected, "{state:?} of {max}");
    }
}

/// What is asked for already is taken back when the load has gone back past its threshold by more than the hysteresis, a tenth here, and
/// not when it swings about the threshold.
#[test]
fn an_open_proposal_is_held_until_the_load_has_gone_back_beyond_the_hysteresis() {
    for (what, hot, open, iops, expected) in [
        (
            "hot, and not asked for",
            false,
            false,
            4600.0,
            "BetweenWatermarks",
        ),
        ("hot, asked for, and swinging", false, true, 4600.0, "propose hot"),
        (
            "hot, asked for, and gone back",
            false,
            true,
            4400.0,
            "BetweenWatermarks",
        ),
        ("cold, and not asked for", true, false, 540.0, "BetweenWatermarks"),
        ("cold, asked for, and swinging", true, true, 540.0, "propose cold"),
        (
            "cold, asked for, and gone back",
            true,
            true,
            560.0,
            "BetweenWatermarks",
        ),
    ] {
        let mut world = world().at(iops, 1.0);
        world.declined(if hot { 100.0 } else { 6000.0 });
        let record = &mut world.in_flight.proposals[0];
        record.state = match open {
            true => ProposalState::Open,
            false => ProposalState::Withdrawing,
        };
        if hot {
            (record.moves[0].from, record.moves[0].to) = ("hot".into(), "cold".into());
            world.on_hot();
        }
        assert_eq!(world.verdict(), expected, "{what}");
    }
    // How much is the policy's own affair.
    let mut world = world().at(4000.0, 1.0);
    world.declined(6000.0);
    world.in_flight.proposals[0].state = ProposalState::Open;
    assert_eq!(world.verdict(), "BetweenWatermarks");
    world.policy().hysteresis = 0.25;
    assert_eq!(world.verdict(), "propose hot");
}

#[test]
fn a_no_ends_when_the_policy_says_something_else() {
    let mut world = world();
    world.declined(6000.0);
    assert_eq!(world.verdict(), "Declined");
    world.policy().fingerprint = "g".to_owned();
    assert_eq!(world.verdict(), "propose hot");
}
