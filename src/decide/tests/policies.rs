//! Claims about what policies can say: signals, ages, pins, windows, budgets and room that adds up.

use super::Case;
use super::world::*;
use crate::decide::questions;
use crate::model::decision::LeftAlone;
use crate::model::desired::Measure;
use crate::model::kinds::tier_assignment::SignalNote;
use crate::model::kinds::volume_migration::Phase;
use crate::model::observation::Pin;
use crate::model::week::WeekWindow;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// Two signals and an exception: busy, slow, and not a backup.
pub(super) fn with_signals(world: &mut World) {
    let policy = world.policy();
    policy.signals = vec![
        signal("iops", Measure::Iops, Some(1000.0), Some(100.0)),
        signal("latency", Measure::Latency, Some(5.0), None),
    ];
    policy.not_heat_when = vec![
        signal("requestSize", Measure::RequestSize, Some(262_144.0), None),
        signal("readRatio", Measure::ReadRatio, Some(0.95), None),
    ];
}

#[test]
fn several_signals_must_agree_and_a_backup_is_no_heat() {
    let random = [("requestSize", 8192.0), ("readRatio", 0.5)];
    let backup = [("requestSize", 1_048_576.0), ("readRatio", 1.0)];
    for (what, load, kind, hot, expected) in [
        (
            "busy and slow",
            &[("iops", 2000.0), ("latency", 8.0)][..],
            &random,
            false,
            "propose hot",
        ),
        (
            "busy and fast",
            &[("iops", 2000.0), ("latency", 1.0)],
            &random,
            false,
            "BetweenWatermarks",
        ),
        (
            "slow and idle",
            &[("iops", 200.0), ("latency", 8.0)],
            &random,
            false,
            "BetweenWatermarks",
        ),
        (
            "a backup",
            &[("iops", 2000.0), ("latency", 8.0)],
            &backup,
            false,
            "NotHeat",
        ),
        (
            "nothing is done, so nothing takes long",
            &[("iops", 0.0)],
            &random,
            true,
            "propose cold",
        ),
        (
            "busy, and nobody knows how slow",
            &[("iops", 2000.0)],
            &random,
            false,
            "BetweenWatermarks",
        ),
        ("nothing is known", &[], &random, false, "NoData"),
        (
            "only latency is known",
            &[("latency", 8.0)],
            &random,
            true,
            "NoData",
        ),
    ] {
        let mut world = world();
        with_signals(&mut world);
        world.loads = Ok(BTreeMap::new());
        let mut world = world.with(&[("coverage", 1.0)]).with(load).with(kind);
        if hot {
            world.on_hot();
        }
        assert_eq!(world.verdict(), expected, "{what}");
    }
    // A backup that also writes is none.
    let mut world = world().with(&[("latency", 8.0), ("requestSize", 1_048_576.0), ("readRatio", 0.6)]);
    with_signals(&mut world);
    assert_eq!(world.verdict(), "propose hot");
}

#[test]
fn thresholds_must_be_crossed_for_as_long_as_the_policy_says() {
    let mut busy = world().with(&[("least iops", 4000.0), ("greatest iops", 9000.0)]);
    busy.policy().sustained = Duration::from_secs(1800);
    assert_eq!(busy.verdict(), "NotSustained");
    let mut busy = busy.with(&[("least iops", 5000.0)]);
    assert_eq!(busy.verdict(), "propose hot");
    busy.loads
        .as_mut()
        .unwrap()
        .get_mut("pvc-u")
        .unwrap()
        .remove("least iops");
    assert_eq!(
        busy.verdict(),
        "NotSustained",
        "what is not known has not been sustained"
    );
    let mut idle = world()
        .at(20.0, 1.0)
        .with(&[("least iops", 0.0), ("greatest iops", 600.0)]);
    idle.policy().sustained = Duration::from_secs(1800);
    idle.on_hot();
    assert_eq!(idle.verdict(), "NotSustained");
    assert_eq!(idle.with(&[("greatest iops", 300.0)]).verdict(), "propose cold");
}

#[test]
fn age_pins_and_fullness_keep_a_volume_where_it_is() {
    let hour = |world: &mut World| world.policy().min_age = Duration::from_secs(3600);
    let cases: &[Case] = &[
        (
            "younger than an hour",
            |w| w.bound().created = Timestamp::from_second(NOW - 3599).ok(),
            "TooYoung",
        ),
        (
            "an hour old",
            |w| w.bound().created = Timestamp::from_second(NOW - 3600).ok(),
            "propose hot",
        ),
        ("of unknown age", |_| {}, "propose hot"),
        (
            "kept by annotation",
            |w| w.bound().pin = Some(Pin::Always),
            "Kept",
        ),
        (
            "kept until later",
            |w| w.bound().pin = Some(Pin::Until(NOW + 1)),
            "Kept",
        ),
        (
            "kept until now",
            |w| w.bound().pin = Some(Pin::Until(NOW)),
            "propose hot",
        ),
        (
            "kept by a word that nobody understands",
            |w| w.bound().pin = Some(Pin::Unreadable),
            "Kept",
        ),
        (
            "kept by its assignment",
            |w| w.assigned("cold", Some(Pin::Always)),
            "Kept",
        ),
        (
            "assigned to where it is",
            |w| w.assigned("cold", None),
            "propose hot",
        ),
        (
            "the hot tier would be too full",
            |w| w.policy().fullness.promote_below = Some(0.05),
            "TierFull",
        ),
        (
            "the hot tier is just empty enough",
            |w| w.policy().fullness.promote_below = Some(0.10),
            "propose hot",
        ),
    ];
    for (what, change, expected) in cases {
        let mut world = world();
        hour(&mut world);
        change(&mut world);
        assert_eq!(world.verdict(), *expected, "{what}");
    }
    for (used, expected) in [(69, "TierHasRoom"), (70, "propose cold")] {
        let mut world = world().at(20.0, 1.0);
        world.on_hot();
        world.policy().fullness.demote_above = Some(0.7);
        world.pool("hot-2").used = used * GIB;
        assert_eq!(world.verdict(), expected, "{used} % full");
    }
}

#[test]
fn an_approved_move_is_looked_at_once_more_before_it_starts() {
    let cases: &[Case] = &[
        ("still busy", |_| {}, "start hot"),
        ("a little less busy", |w| w.now_at(4501.0), "start hot"),
        ("not busy any more", |w| w.now_at(4499.0), "NoLongerHolds"),
        ("nobody knows", |w| w.loads = Err("x".into()), "HeatUnknown"),
        (
            "pinned by a person",
            |w| {
                w.assigned("hot", Some(Pin::Always));
                w.now_at(0.0);
            },
            "start hot",
        ),
        (
            "the policy was switched off since",
            |w| w.policy().enabled = false,
            "Suspended",
        ),
        (
            "switched off, and pinned by a person",
            |w| {
                w.assigned("hot", Some(Pin::Always));
                w.policy().enabled = false;
            },
            "start hot",
        ),
        (
            "switched off, and a person wrote it without a policy",
            |w| {
                w.desired
                    .assignments
                    .values_mut()
                    .for_each(|one| one.decision = None);
                w.desired.approved.clear();
                w.approve_of("hot", None);
                w.policy().enabled = false;
            },
            "start hot",
        ),
        (
            "switched off, and a person took the assignment out again",
            |w| {
                w.desired.assignments.clear();
                w.policy().enabled = false;
            },
            "start hot",
        ),
        (
            "no window is open", // it is 08:00 UTC
            |w| w.policy().move_windows = vec![WeekWindow::read(&[], "09:00", "10:00", None).unwrap()],
            "OutsideWindow",
        ),
        (
            "no window is open, and a person wrote it without a policy",
            |w| {
                w.desired.approved.clear();
                w.approve_of("hot", None);
                w.policy().move_windows = vec![WeekWindow::read(&[], "09:00", "10:00", None).unwrap()];
            },
            "OutsideWindow",
        ),
        (
            "a window is open",
            |w| w.policy().move_windows = vec![WeekWindow::read(&[], "07:00", "09:00", None).unwrap()],
            "start hot",
        ),
        (
            "the tier has moves enough",
            |w| {
                w.tier("hot").max_moves = Some(1);
                w.migrated(Phase::WaitSync);
                w.in_flight.migrations[0].volume = "pvc-other".into();
                w.in_flight.migrations[0].claim.name = "other".into();
            },
            "OverBudget",
        ),
        (
            "an hour's moves are used up",
            |w| {
                w.policy().budgets.moves_per_hour = Some(1);
                w.migrated(Phase::Completed);
                w.in_flight.migrations[0].volume = "pvc-other".into();
                w.in_flight.migrations[0].claim.name = "other".into();
                w.in_flight.migrations[0].started =
                    Some(Timestamp::from_second(NOW - 3599).unwrap().to_string());
            },
            "OverBudget",
        ),
        (
            "the hour is over",
            |w| {
                w.policy().budgets.moves_per_hour = Some(1);
                w.migrated(Phase::Completed);
                w.in_flight.migrations[0].volume = "pvc-other".into();
                w.in_flight.migrations[0].claim.name = "other".into();
                w.in_flight.migrations[0].started =
                    Some(Timestamp::from_second(NOW - 3600).unwrap().to_string());
            },
            "start hot",
        ),
        (
            "a move larger than the hour's bytes starts alone",
            |w| w.policy().budgets.bytes_per_hour = Some(GIB),
            "start hot",
        ),
    ];
    for (what, change, expected) in cases {
        let mut world = world();
        world.approve("hot");
        world.assigned("hot", None);
        change(&mut world);
        assert_eq!(world.verdict(), *expected, "{what}");
    }
}

#[test]
fn moves_of_one_plan_share_the_room_that_there_is() {
    // Room for one of two: the smaller one carries as much load with fewer bytes.
    let mut world = world();
    world.limits.max_open = 10;
    world.pool("hot-2").used = 86 * GIB;
    world.beside("small", 4, "cold-1", "n1", 6000.0);
    let plan = world.decided(|decision| {
        let moves: Vec<String> = decision
            .proposals
            .iter()
            .map(|one| one.claim.name.clone())
            .collect();
        let left: Vec<_> = decision
            .left_alone
            .iter()
            .map(|left| (left.claim().1.to_owned(), left.why.reason()))
            .collect();
        (moves, left)
    });
    assert_eq!(
        plan,
        (vec!["small".to_owned()], vec![("data-0".to_owned(), "NoRoom")])
    );
}

#[test]
fn colder_volumes_make_room_for_hotter_ones_first() {
    let mut world = world();
    world.limits.max_open = 10;
    world.pool("hot-2").used = 95 * GIB;
    world.beside("idle", 20, "hot-2", "n2", 0.0);
    world.beside("idler", 30, "hot-2", "n2", 0.0);
    world.beside("busy", 40, "hot-2", "n2", 9000.0);
    let plan = world.decided(|decision| {
        let moves: Vec<String> = decision
            .proposals
            .iter()
            .map(|one| format!("{} to {}", one.claim.name, one.to))
            .collect();
        let left: Vec<_> = decision.left_alone.iter().map(LeftAlone::words).collect();
        (moves, left)
    });
    let (moves, left) = plan;
    assert_eq!(
        moves,
        ["idle to cold", "idler to cold"],
        "both have left the hot tier's pool of candidates: {left:?}"
    );
    assert!(
        left.iter()
            .any(|words| words.contains("hot has no room until db/idle has left it")),
        "{left:?}"
    );
}

#[test]
fn the_price_of_a_move_is_the_difference_of_the_tiers() {
    let mut world = world();
    (
        world.tier("hot").cost_per_gib_month,
        world.tier("cold").cost_per_gib_month,
    ) = (Some(0.30), Some(0.05));
    let cost = world
        .decided(|decision| decision.proposals[0].monthly_cost)
        .unwrap();
    assert!((cost - 2.5).abs() < 1e-9, "{cost}");
    world.tier("cold").cost_per_gib_month = None;
    assert_eq!(world.decided(|decision| decision.proposals[0].monthly_cost), None);
}

#[test]
fn thin_copies_need_a_promise_that_can_be_kept() {
    for (committed, used, expected) in [
        (0, 0, "propose hot"),
        (240, 0, "propose hot"),
        (241, 0, "NoPool"), // 250 % of 100 GiB are promised with it
        (0, 96, "NoPool"),  // 4 GiB of 10 and the reserve must be free
        (0, 95, "propose hot"),
    ] {
        let mut world = world();
        world.volume().thin = true;
        let pool = world.pool("hot-2");
        (pool.committed, pool.used) = (Some(committed * GIB), used * GIB);
        assert_eq!(world.verdict(), expected, "{committed} GiB promised, {used} used");
    }
}

#[test]
fn load_in_excluded_windows_is_not_asked_for() {
    let mut world = world();
    let night = world.window("07:30", "07:45");
    let policy = world.policy();
    policy.excluded_windows = vec![night];
    let asked: Vec<String> = questions(&world.desired, Timestamp::from_second(NOW).unwrap())
        .into_iter()
        .collect();
    let (from, to) = (NOW - 1800, NOW - 900);
    // A rate speaks of the five minutes before it.
    let (after, until) = (from + 1, to + 300);
    assert_eq!(
        asked,
        [
            format!(
                "avg_over_time(((sum by (pv_name) (rate(volume_num_read_ops[300s])) + sum by (pv_name) (rate(volume_num_write_ops[300s]))) unless on () ((vector(time()) >= {after} < {until})))[3600s:60s])"
            ),
            format!(
                "count_over_time(((sum by (pv_name) (volume_num_read_ops)) unless on () ((vector(time()) >= {from} < {to})))[1h:60s]) / 45"
            ),
        ]
    );
}

#[test]
fn a_decision_notes_every_signal_that_had_to_point_its_way_and_how_each_was_measured() {
    let mut world = world().with(&[("iops", 9000.0), ("latency", 8.0), ("readRatio", 0.5)]);
    let policy = world.policy();
    policy.signals = vec![
        signal("iops", Measure::Iops, Some(5000.0), Some(500.0)),
        signal("latency", Measure::Latency, Some(2.0), None),
        signal("readRatio", Measure::ReadRatio, None, Some(0.1)),
    ];
    policy.signals[0].percentile = Some(0.95);
    let note = |world: &World| world.decided(|decision| decision.proposals[0].note.clone());
    let first = note(&world);
    assert_eq!(
        (first.percentile, first.sustained_for.as_deref()),
        (Some(95.0), None)
    );
    let also = [SignalNote {
        signal: "latency".into(),
        value: 8.0,
        watermark: 2.0,
        percentile: None,
    }];
    assert_eq!(first.also, also, "what has no threshold on that side had no say");
    world.policy().secret = true;
    let veiled = note(&world);
    assert_eq!((veiled.percentile, veiled.also), (None, vec![]));
}

#[test]
fn what_was_encrypted_is_said_in_no_proposal_and_no_reason() {
    let mut world = world();
    world.policy().secret = true;
    let (note, words) = world.decided(|decision| {
        (
            decision.proposals[0].note.clone(),
            format!("{:?}", decision.proposals[0].note),
        )
    });
    assert_eq!((note.watermark, note.window), (None, None));
    assert!(!words.contains("5000"), "{words}");
    world.policy().fullness.promote_below = Some(0.0423);
    let words = world.decided(|decision| decision.left_alone[0].words());
    assert_eq!(words, "hot would be too full");
}

#[test]
fn what_an_encrypted_tier_costs_or_keeps_free_is_said_nowhere() {
    let mut world = world();
    for (name, price) in [("hot", 0.5), ("cold", 0.1)] {
        world.tier(name).cost_per_gib_month = Some(price);
    }
    assert!(world.decided(|decision| decision.proposals[0].monthly_cost.is_some()));
    world.tier("hot").secret = true;
    assert!(world.decided(|decision| decision.proposals[0].monthly_cost.is_none()));
    world.tier("hot").pool_reserve = 4321 << 30;
    let words = world.decided(|decision| decision.left_alone[0].words());
    assert!(!words.contains("4321") && !words.contains("433"), "{words}");
}
