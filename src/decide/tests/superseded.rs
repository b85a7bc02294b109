//! Claims about approvals that are used up: what was merged is looked at again before it starts, and does not start later by itself.

use super::world::*;
use crate::decide::shortages::{ROOM_SECS, Shortages, shortages};
use crate::model::ids::CommitId;
use crate::model::kinds::volume_migration::Phase;
use crate::model::week::WeekWindow;
use jiff::Timestamp;

/// Merged, as the policy proposed it.
fn merged() -> World {
    let mut world = world();
    world.approve("hot");
    world.assigned("hot", None);
    world
}

fn iops(world: &mut World, value: f64) {
    let loads = world.loads.as_mut().unwrap();
    loads.get_mut("pvc-u").unwrap().insert("iops", value);
}

/// The verdict, and how many approvals were used up.
fn looked_at(world: &World) -> (String, usize) {
    world.decided(|decision| (verdict_of(decision), decision.superseded.len()))
}

#[test]
fn what_waiting_cannot_mend_is_used_up_and_everything_else_waits() {
    type Case = (&'static str, fn(&mut World), &'static str, usize);
    let cases: &[Case] = &[
        ("still busy", |_| {}, "start hot", 0),
        ("the load went back", |w| iops(w, 400.0), "NoLongerHolds", 1),
        (
            "another volume",
            |w| w.bound().name = "pvc-z".into(),
            "OtherVolume",
            1,
        ),
        (
            "it was elsewhere when that was decided",
            |w| {
                let assignment = w.desired.assignments.get_mut(&claim()).unwrap();
                assignment.decision.as_mut().unwrap().from = "warm".into();
            },
            "MovedSince",
            1,
        ),
        (
            "Prometheus is down",
            |w| w.loads = Err("x".into()),
            "HeatUnknown",
            0,
        ),
        (
            "no samples",
            |w| {
                w.loads.as_mut().unwrap().get_mut("pvc-u").unwrap().remove("iops");
            },
            "NoData",
            0,
        ),
        (
            "the policy has another name now",
            |w| {
                let mut policy = w.policy().clone();
                policy.name = "q".into();
                w.desired.policies = std::collections::BTreeMap::from([(policy.name.clone(), policy)]).into();
            },
            "PolicyGone",
            1,
        ),
        (
            "Prometheus is down, and a person keeps it there",
            |w| {
                w.loads = Err("x".into());
                w.assigned("hot", Some(crate::model::observation::Pin::Always));
            },
            "start hot",
            0,
        ),
        (
            "a person takes a later move back",
            |w| {
                let assignment = w.desired.assignments.get_mut(&claim()).unwrap();
                assignment.decision.as_mut().unwrap().from = "warm".into();
                w.migrated(Phase::Completed);
                let done = &mut w.in_flight.migrations[0];
                (done.from, done.to, done.approved_in) = ("hot".into(), "cold".into(), CommitId("b".into()));
            },
            "start hot",
            0,
        ),
        (
            "no window is open, and the load is low at night",
            |w| {
                iops(w, 400.0);
                w.policy().move_windows = vec![WeekWindow::read(&[], "09:00", "10:00", None).unwrap()];
            },
            "OutsideWindow",
            0,
        ),
        (
            "no room",
            |w| {
                iops(w, 400.0);
                w.pool("hot-2").used = 99 * GIB;
            },
            "NoRoom",
            0,
        ),
        (
            "in dry run nothing is used up",
            |w| {
                w.bound().name = "pvc-z".into();
                w.limits.dry_run = true;
            },
            "OtherVolume",
            0,
        ),
    ];
    for (what, change, verdict, used_up) in cases {
        let mut world = merged();
        change(&mut world);
        assert_eq!(looked_at(&world), ((*verdict).to_owned(), *used_up), "{what}");
    }
}

#[test]
fn a_used_up_approval_starts_nothing_and_the_move_may_be_proposed_again() {
    let mut world = merged();
    world.migrated(Phase::Superseded);
    iops(&mut world, 400.0);
    assert_eq!(looked_at(&world), ("Superseded".to_owned(), 0));
    // Base says hot, and the volume is on cold: that is no reason not to ask.
    iops(&mut world, 7000.0);
    assert_eq!(looked_at(&world), ("propose hot".to_owned(), 0));
    // With the same figures as before it is another file, or merging it would change nothing.
    let after = world.decided(|decision| decision.proposals[0].note.after.clone());
    assert_eq!(
        after.as_deref(),
        Some(world.in_flight.migrations[0].name.as_str())
    );
    // A new commit is a new approval.
    world.in_flight.migrations[0].approved_in = CommitId("older".into());
    assert_eq!(looked_at(&world), ("start hot".to_owned(), 0));
}

#[test]
fn a_volume_with_snapshots_moves_only_where_its_assignment_accepts_that_they_stay() {
    let mut world = merged();
    world.volume().snapshots = 2;
    let verdict = looked_at(&world).0;
    assert!(verdict != "start hot", "{verdict}");
    let assignment = world.desired.assignments.get_mut(&claim()).unwrap();
    assignment.accept_snapshots_stay = true;
    assert_eq!(looked_at(&world).0, "start hot");
    assert!(world.decided(|decision| decision.starts[0].accept_snapshots_stay));
    // Nothing else is accepted with it.
    world.volume().target_node = None;
    let verdict = looked_at(&world).0;
    assert!(verdict != "start hot", "{verdict}");
}

#[test]
fn what_an_assignment_accepts_it_accepts_of_what_policies_ask_for_too() {
    let mut world = merged();
    world.migrated(Phase::Superseded);
    iops(&mut world, 7000.0);
    world.volume().snapshots = 1;
    assert_eq!(looked_at(&world), ("Superseded".to_owned(), 0));
    let assignment = world.desired.assignments.get_mut(&claim()).unwrap();
    assignment.accept_snapshots_stay = true;
    assert_eq!(looked_at(&world), ("propose hot".to_owned(), 0));
}

#[test]
fn without_the_approvals_demanded_nothing_starts_or_is_used_up() {
    let mut world = merged();
    let missing = "approved by 1 of 2".into();
    world.in_flight.unapproved.insert(CommitId("a".into()), missing);
    assert_eq!(looked_at(&world), ("NotApproved".to_owned(), 0));
    iops(&mut world, 400.0);
    assert_eq!(looked_at(&world), ("NotApproved".to_owned(), 0));
    world.in_flight.unapproved.clear();
    assert_eq!(looked_at(&world), ("NoLongerHolds".to_owned(), 1));
}

#[test]
fn room_is_waited_for_a_week_and_no_longer() {
    for (seconds, commit, used_up) in [
        (0, "a", 0),
        (ROOM_SECS - 1, "a", 0),
        (ROOM_SECS, "a", 1),
        (ROOM_SECS, "an earlier approval", 0),
    ] {
        let mut world = merged();
        world.pool("hot-2").used = 99 * GIB;
        let since = Timestamp::from_second(NOW - seconds).unwrap();
        let of = (CommitId(commit.into()), since);
        world.in_flight.shortages.insert(claim(), of);
        assert_eq!(
            looked_at(&world),
            ("NoRoom".to_owned(), used_up),
            "{seconds} {commit}"
        );
        world.limits.dry_run = true;
        assert_eq!(
            looked_at(&world),
            ("NoRoom".to_owned(), 0),
            "{seconds} {commit} in dry run"
        );
        world.limits.dry_run = false;
        world.pool("hot-2").used = 0;
        assert_eq!(
            looked_at(&world),
            ("start hot".to_owned(), 0),
            "{seconds} {commit} with room"
        );
    }
}

#[test]
fn it_is_remembered_since_when_there_is_no_room() {
    let at = |second| Timestamp::from_second(second).unwrap();
    let short = |world: &World, before: &Shortages| {
        let migrations = &world.in_flight.migrations;
        let found =
            world.decided(|decision| shortages(&world.desired, decision, migrations, before, at(NOW)));
        found.into_iter().map(|one| one.since).collect::<Vec<_>>()
    };
    let mut world = merged();
    let earlier = Shortages::from([(claim(), (CommitId("a".into()), at(NOW - 100)))]);
    let other = Shortages::from([(claim(), (CommitId("b".into()), at(NOW - 100)))]);
    assert!(short(&world, &earlier).is_empty(), "there is room");
    world.pool("hot-2").used = 99 * GIB;
    let (now, then) = (at(NOW).to_string(), at(NOW - 100).to_string());
    assert_eq!(short(&world, &Shortages::new()), std::slice::from_ref(&now));
    assert_eq!(short(&world, &earlier), std::slice::from_ref(&then));
    assert_eq!(short(&world, &other), [now], "another approval");
    // Nobody can tell now: it is as it was.
    world.engine = Err("x".into());
    assert_eq!(short(&world, &earlier), [then]);
    assert!(short(&world, &Shortages::new()).is_empty());
}
