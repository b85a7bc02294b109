//! Claims about explanations: what `plan --volume` says of one volume.

use super::policies::with_signals;
use super::world::*;
use crate::decide::{decide, explain};
use crate::model::desired::Measure;
use crate::model::ids::ClaimRef;
use crate::model::kinds::policy_source::ProposalState;
use crate::model::kinds::volume_migration::Phase;
use crate::model::observation::Pin;
use crate::model::week::WeekWindow;
use jiff::Timestamp;
use std::time::Duration;

#[test]
fn one_volume_is_explained_in_full() {
    let mut world = world();
    with_signals(&mut world);
    let world = world.with(&[("latency", 1.0), ("requestSize", 8192.0), ("readRatio", 0.5)]);
    let observation = world.observation();
    let decision = decide(
        &world.desired,
        &observation,
        &world.in_flight,
        world.limits,
        observation.at,
    );
    let explain = |claim: &ClaimRef| {
        explain::explain(
            &world.desired,
            &observation,
            &world.in_flight,
            world.limits,
            observation.at,
            claim,
            &decision,
        )
    };
    let explained = explain(&claim()).unwrap();
    assert_eq!(explained.verdict, "latency 1.00 ms lies between the thresholds");
    let says: Vec<_> = explained
        .signals
        .iter()
        .map(|one| (one.name.as_str(), one.says))
        .collect();
    assert_eq!(says, [("iops", "hot"), ("latency", "neither")]);
    assert_eq!(explained.pools.len(), 1);
    assert_eq!(explained.pools[0].excluded, None);
    let nobody = ClaimRef {
        namespace: "db".into(),
        name: "nobody".into(),
    };
    assert_eq!(explain(&nobody), None);
}

/// What `plan --volume` says of a volume, for which `change` was made to a world in which it should move.
fn explained(change: fn(&mut World)) -> explain::Explanation {
    let mut world = world();
    change(&mut world);
    explained_of(&world)
}

fn explained_of(world: &World) -> explain::Explanation {
    let observation = world.observation();
    let (in_flight, limits, at) = (&world.in_flight, world.limits, observation.at);
    let decision = decide(&world.desired, &observation, in_flight, limits, at);
    let of = claim();
    explain::explain(
        &world.desired,
        &observation,
        in_flight,
        limits,
        at,
        &of,
        &decision,
    )
    .unwrap()
}

#[test]
fn an_explanation_names_all_that_a_policy_says_about_when_volumes_move() {
    fn nights(from: &str, to: &str) -> WeekWindow {
        WeekWindow::read(&[], from, to, None).unwrap()
    }
    type Case = (fn(&mut World), &'static str);
    // It is eight o'clock in the morning.
    let cases: &[Case] = &[
        (
            |w| w.policy().excluded_windows = vec![nights("01:00", "03:00"), nights("07:00", "09:00")],
            "the load is not counted in 2 windows of the week, of which one is open now",
        ),
        (
            |w| w.policy().move_windows = vec![nights("20:00", "22:00")],
            "moves start in one window of the week; the next one opens at 2027-01-15T20:00:00Z",
        ),
        (
            |w| w.policy().hysteresis = 0.25,
            "what is asked for or approved holds until its signal has gone back past its threshold by 25 %",
        ),
        (
            |w| {
                w.policy().min_age = Duration::from_secs(7200);
                w.bound().created = Timestamp::from_second(NOW - 3600).ok();
            },
            "made 1 h ago; the policy moves none that is younger than 2 h",
        ),
        (
            |w| w.policy().fullness.demote_above = Some(0.7),
            "tier hot is 0 % full; it lets go of cold volumes from 70 % on",
        ),
        (
            |w| w.policy().fullness.promote_below = Some(0.85),
            "tier hot is 0 % full; it takes hot ones up to 85 %",
        ),
        (
            |w| w.bound().pin = Some(Pin::Always),
            "an annotation on the claim keeps it where it is",
        ),
        (
            |w| w.assigned("cold", Some(Pin::Until(NOW + 3600))),
            "its assignment keeps it where it is until 2027-01-15T09:00:00Z",
        ),
        (
            |w| w.bound().pin = Some(Pin::Until(NOW - 3600)),
            "an annotation on the claim kept it where it is, and its time is over",
        ),
        (
            |w| {
                let budgets = &mut w.policy().budgets;
                (budgets.moves_per_hour, budgets.bytes_per_hour) = (Some(3), Some(500 * GIB));
                (budgets.moves_per_node, budgets.moves_per_pool) = (Some(2), Some(1));
            },
            "the policy's budgets for moves: 2 at one time, 3 in an hour, 500 GiB in an hour, 2 on a node, 1 on a pool",
        ),
    ];
    for (change, fact) in cases {
        let facts = explained(*change).facts;
        assert!(facts.iter().any(|one| one == fact), "{fact}: {facts:#?}");
    }
    // None of it is told of a policy that was encrypted.
    let facts = explained(|w| {
        let policy = w.policy();
        (policy.secret, policy.hysteresis, policy.cooldown) = (true, 0.43, Duration::from_secs(43_000));
        (policy.min_age, policy.max_concurrent) = (Duration::from_secs(43_000), 43);
        policy.fullness.demote_above = Some(0.43);
        policy.move_windows = vec![nights("04:03", "04:30")];
        w.bound().created = Timestamp::from_second(NOW - 86_400).ok();
        w.bound().last_migration = Timestamp::from_second(NOW - 172_800).ok();
    })
    .facts;
    let told = facts.join("\n");
    for hidden in ["43", "11 h", "12 h", "04:03", "04:30"] {
        assert!(!told.contains(hidden), "{hidden}: {told}");
    }
}

#[test]
fn an_encrypted_policys_own_signals_have_no_name_in_an_explanation() {
    let told = |secret: bool| {
        let mut world = world();
        let own = |name: &str| Measure::Query(format!("{name}($window)"));
        let policy = world.policy();
        policy.signals.push(signal("canary", own("a"), Some(1.0), None));
        policy.signals[1].percentile = Some(0.43);
        policy
            .not_heat_when
            .push(signal("bird", own("b"), Some(5.0), None));
        policy.secret = secret;
        let world = world.with(&[("canary", 3.0), ("bird", 2.0)]);
        let explained = explained_of(&world);
        let all = explained.signals.iter().chain(&explained.not_heat_when);
        let all: Vec<String> = all.map(|one| format!("{}: {}", one.name, one.shown)).collect();
        all.join(", ")
    };
    assert_eq!(
        told(false),
        "iops: 6000 IOPS, canary p43: canary 3.000, bird: bird 2.000"
    );
    assert_eq!(
        told(true),
        "iops: 6000 IOPS, (encrypted): (encrypted) 3.000, (encrypted): (encrypted) 2.000"
    );
}

#[test]
fn the_facts_of_an_explanation_do_not_contradict_its_verdict() {
    // Asked for already, and between the thresholds by now.
    let held = explained(|w| {
        w.declined(6000.0);
        w.in_flight.proposals[0].state = ProposalState::Open;
        w.now_at(4600.0);
    });
    assert!(held.verdict.starts_with("to be moved"), "{}", held.verdict);
    assert_eq!(held.signals[0].says, "still hot");
    // The room is taken by a move that is under way.
    let crowded = explained(|w| {
        w.limits.max_open = 10;
        w.pool("hot-2").used = 75 * GIB;
        w.beside("moving", 15, "cold-1", "n1", 1000.0);
        w.migrated(Phase::ScaleUp);
        let migration = &mut w.in_flight.migrations[0];
        (migration.volume, migration.claim.name) = ("pvc-moving".into(), "moving".to_owned());
    });
    assert!(
        crowded.verdict.starts_with("no pool of hot has room"),
        "{}",
        crowded.verdict
    );
    let excluded = crowded.pools[0].excluded.as_deref().unwrap_or_default();
    assert!(
        excluded.contains("free") && excluded.contains("are needed"),
        "{:?}",
        crowded.pools
    );
}
