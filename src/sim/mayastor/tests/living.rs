//! Claims about what happens by itself: hot spares, rebuilds, nodes that fall away, and the refusals that follow.

use super::*;
use crate::sim::mayastor::{Actor, Profile, Reason, RebuildState};

/// Two complete copies: the cold one beside the target on n1, the hot one on n3.
fn two() -> State {
    let mut setup = setup();
    setup.volumes[0].pools.push("hot-3".to_owned());
    State::new(setup).unwrap()
}

fn status(state: &State) -> String {
    state.show_volume("v").unwrap()["state"]["status"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn a_broken_hot_copy_is_replaced_after_its_grace_and_wherever_the_scheduler_likes() {
    let mut state = two();
    let hot = state.volumes["v"].copies[1].id.clone();
    assert!(state.fault_copy("v", &hot, Reason::IoError));
    state.advance(seconds(599));
    assert_eq!(pools_of(&state, "v"), ["cold-1", "hot-3"]);
    assert_eq!(status(&state), "Degraded");
    state.advance(seconds(700));
    assert_eq!(pools_of(&state, "v"), ["cold-1", "cold-2"]);
    assert_eq!(status(&state), "Online");
    let removal = &state.judge.removals[0];
    assert_eq!(
        (removal.by, removal.was_synced(), removal.is_loss()),
        (Actor::Reconciler, false, false)
    );
}

#[test]
fn nothing_is_replaced_while_repair_is_switched_off() {
    let mut state = two();
    state.set_self_heal("v", false);
    let hot = state.volumes["v"].copies[1].id.clone();
    state.fault_copy("v", &hot, Reason::IoError);
    state.advance(seconds(7200));
    assert_eq!(pools_of(&state, "v"), ["cold-1", "hot-3"]);
    state.set_self_heal("v", true);
    state.pass(seconds(60));
    assert_eq!(pools_of(&state, "v"), ["cold-1", "cold-2"]);
}

#[test]
fn a_node_that_returns_in_time_is_rebuilt_from_a_log_and_one_that_does_not_is_replaced() {
    let mut state = two();
    state.lose_node("n3");
    let shown = state.show_volume("v").unwrap();
    let hot = state.volumes["v"].copies[1].id.clone();
    assert_eq!(
        shown["state"]["replica_topology"][&hot]["child-status"],
        "Faulted"
    );
    state.advance(seconds(60));
    state.return_node("n3");
    assert!(!state.is_online(&state.volumes["v"]));
    state.pass(seconds(1));
    assert!(state.is_online(&state.volumes["v"]));
    let rebuild = state.volumes["v"].rebuilds.last().unwrap();
    assert_eq!((rebuild.partial, rebuild.state), (true, RebuildState::Completed));

    state.lose_node("n3");
    state.pass(seconds(700));
    state.return_node("n3");
    assert_eq!(pools_of(&state, "v"), ["cold-1", "cold-2"]);
}

#[test]
fn the_loss_of_every_copy_is_a_fault_and_no_copy_turns_stale() {
    let mut state = world();
    state.lose_node("n1");
    assert_eq!(status(&state), "Unknown");
    state.advance(seconds(3600));
    state.return_node("n1");
    assert_eq!(status(&state), "Online");
    assert_eq!(state.volumes["v"].fewest_synced, 1);
}

#[test]
fn a_lost_target_comes_back_elsewhere_and_until_then_counts_cannot_change() {
    let mut state = two();
    state.lose_node("n1");
    let refusal = state.set_replica_count("v", 3).unwrap_err();
    assert_eq!((refusal.status, refusal.kind), (503, "NotReady"));
    state.advance(seconds(45));
    assert_eq!(state.volumes["v"].target.as_deref(), Some("n3"));
    assert_eq!(status(&state), "Degraded");
    state.return_node("n1");
    state.pass(seconds(1));
    assert_eq!(status(&state), "Online");
}

#[test]
fn a_pool_that_runs_full_ends_a_thin_rebuild_and_the_copy_moves() {
    let mut setup = setup();
    let seed = &mut setup.volumes[0];
    (seed.thin, seed.size_gib, seed.written_gib) = (true, 50, Some(30));
    let mut state = State::new(setup).unwrap();
    state.cordon_pool("cold-2").unwrap();
    state.set_replica_count("v", 2).unwrap();
    state.fill_pool("hot-3", 10 * GIB);
    state.advance(seconds(9));
    let shown = state.show_volume("v").unwrap();
    let hot = state.volumes["v"].copies[1].id.clone();
    assert_eq!(
        shown["state"]["replica_topology"][&hot]["child-status-reason"],
        "NoSpace"
    );
    state.uncordon_pool("cold-2").unwrap();
    state.advance(seconds(30));
    assert_eq!(pools_of(&state, "v"), ["cold-1", "cold-2"]);
    assert!(state.is_online(&state.volumes["v"]));
}

#[test]
fn a_stalled_rebuild_stands_still_and_others_go_on() {
    let mut setup = setup();
    setup.volumes.push(volume("w", &["cold-1"], Some("n1")));
    let mut state = State::new(setup).unwrap();
    state.set_rebuild_speed("v", 0.0);
    for uuid in ["v", "w"] {
        state.set_replica_count(uuid, 2).unwrap();
    }
    state.advance(seconds(3600));
    assert_eq!(state.volumes["v"].synced().count(), 1);
    assert_eq!(state.volumes["w"].synced().count(), 2);
    state.set_rebuild_speed("v", 0.5);
    state.pass(seconds(19));
    assert_eq!(state.volumes["v"].synced().count(), 1);
    state.pass(seconds(2));
    assert_eq!(state.volumes["v"].synced().count(), 2);
}

#[test]
fn a_failed_rebuild_is_begun_anew_with_another_copy() {
    let mut state = world();
    state.set_replica_count("v", 2).unwrap();
    let first = state.volumes["v"].copies[1].id.clone();
    state.advance(seconds(5));
    state.fail_rebuilds("v");
    state.advance(seconds(30));
    assert_eq!(state.volumes["v"].synced().count(), 2);
    assert_ne!(state.volumes["v"].copies[1].id, first);
}

#[test]
fn without_a_target_an_added_copy_stays_empty_unless_offline_rebuilds_are_on() {
    for (profile, offline_rebuild, status_at_once, filled) in [
        (Profile::V2_7, false, "Online", false),
        (Profile::V2_10, true, "Degraded", false),
        (Profile::V2_12, false, "Degraded", false),
        (Profile::V2_12, true, "Degraded", true),
    ] {
        let mut setup = Setup {
            profile,
            offline_rebuild,
            ..setup()
        };
        setup.volumes[0].target = None;
        let mut state = State::new(setup).unwrap();
        state.set_replica_count("v", 2).unwrap();
        assert_eq!(status(&state), status_at_once, "{profile:?}");
        state.advance(seconds(3600));
        assert_eq!(state.volumes["v"].synced().count() == 2, filled, "{profile:?}");
    }
}

#[test]
fn refusals_have_their_kinds_and_codes() {
    type Row = (
        &'static str,
        fn(&mut Setup),
        fn(&mut State),
        u8,
        (u16, &'static str),
    );
    let rows: [Row; 6] = [
        (
            "most rebuilds",
            |setup| setup.max_rebuilds = Some(0),
            |_| {},
            2,
            (507, "ResourceExhausted"),
        ),
        (
            "no pool",
            |_| {},
            |state| {
                for pool in ["cold-2", "hot-3"] {
                    state.cordon_pool(pool).unwrap();
                }
            },
            2,
            (507, "ResourceExhausted"),
        ),
        (
            "snapshots on a node without the fix",
            |setup| {
                setup.nodes[0].lacks_ancestry_fix = true;
                setup.volumes[0].snapshots = 1;
            },
            |_| {},
            2,
            (412, "FailedPrecondition"),
        ),
        (
            "an affinity group",
            |setup| {
                setup.volumes[0].pools.push("hot-3".to_owned());
                setup.volumes[0].affinity_group = Some("g".to_owned());
            },
            |_| {},
            1,
            (412, "FailedPrecondition"),
        ),
        (
            "an operation",
            |_| {},
            |state| state.set_operation("v", Some("Publish")),
            2,
            (409, "Conflict"),
        ),
        (
            "an incomplete copy",
            |_| {},
            |state| state.set_replica_count("v", 2).unwrap(),
            3,
            (412, "ReplicaIncrease"),
        ),
    ];
    for (what, seed, act, count, expected) in rows {
        let mut setup = setup();
        seed(&mut setup);
        let mut state = State::new(setup).unwrap();
        act(&mut state);
        let refusal = state.set_replica_count("v", count).unwrap_err();
        assert_eq!((refusal.status, refusal.kind), expected, "{what}: {refusal:?}");
    }
}

#[test]
fn a_snapshot_stays_where_the_copies_were() {
    let mut state = two();
    state.take_snapshot("v").unwrap();
    state.cordon_node("n1", "x").unwrap();
    state.set_replica_count("v", 1).unwrap();
    assert_eq!(pools_of(&state, "v"), ["hot-3"]);
    assert_eq!(state.volumes["v"].snapshots[0].pools, ["cold-1", "hot-3"]);
}

#[test]
fn accounts_of_pools_are_those_of_their_copies() {
    let mut setup = setup();
    let seed = &mut setup.volumes[0];
    (seed.thin, seed.size_gib, seed.written_gib) = (true, 50, Some(20));
    let mut state = State::new(setup).unwrap();
    state.set_replica_count("v", 2).unwrap();
    state.advance(seconds(5));
    assert_eq!(state.used("cold-2") / GIB, 10);
    state.advance(seconds(20));
    state.write("v", 30 * GIB);
    assert_eq!((state.used("cold-1"), state.used("cold-2")), (30 * GIB, 30 * GIB));
    assert_eq!(state.pools["cold-2"].committed, 50 * GIB);
    state.set_replica_count("v", 1).unwrap();
    let left: Vec<u64> = state
        .pools
        .values()
        .map(|pool| pool.taken + pool.committed)
        .collect();
    assert_eq!(left, [80 * GIB, 0, 0]);
}

#[test]
fn the_same_calls_at_the_same_times_give_the_same_answers_in_many_steps_or_in_one() {
    let act = |state: &mut State, steps: u64| {
        state.set_replica_count("v", 2).unwrap();
        for step in 1..=steps {
            state.advance(seconds(120) * u32::try_from(step).unwrap() / u32::try_from(steps).unwrap());
        }
        state.lose_node("n2");
        for step in 1..=steps {
            let part = seconds(2000) * u32::try_from(step).unwrap() / u32::try_from(steps).unwrap();
            state.advance(seconds(120) + part);
        }
        state.return_node("n2");
        (state.show_volumes(), state.show_pools(), state.log.clone())
    };
    assert_eq!(act(&mut world(), 1), act(&mut world(), 97));
}
