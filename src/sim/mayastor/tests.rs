//! Claims about the simulated Mayastor: it surprises callers exactly as the real one does.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::state::State;
use super::{NodeSeed, PoolSeed, VolumeSeed};
use std::collections::BTreeMap;
use std::time::Duration;

fn world() -> State {
    let node = |name: &str| NodeSeed {
        name: name.to_owned(),
    };
    let pool = |name: &str, node: &str, tier: &str, capacity_gib| PoolSeed {
        name: name.to_owned(),
        node: node.to_owned(),
        labels: BTreeMap::from([("tier".to_owned(), tier.to_owned())]),
        capacity_gib,
        used_gib: 0,
    };
    let volume = VolumeSeed {
        uuid: "v".to_owned(),
        size_gib: 10,
        pools: vec!["cold-1".to_owned()],
        target: Some("n1".to_owned()),
        pool_inclusion: BTreeMap::new(),
        snapshots: 0,
    };
    State::new(
        &[node("n1"), node("n2"), node("n3")],
        &[
            pool("cold-1", "n1", "cold", 1000),
            pool("cold-2", "n2", "cold", 1000),
            pool("hot-3", "n3", "hot", 100),
        ],
        &[volume],
        Duration::from_secs(10),
    )
    .unwrap()
}

#[test]
fn without_steering_the_new_copy_goes_to_the_roomiest_pool_and_not_to_the_tier_that_was_meant() {
    let mut state = world();
    state.set_replica_count("v", 2).unwrap();
    assert_eq!(state.volumes["v"].copies[1].pool, "cold-2");
}

#[test]
fn without_steering_the_new_remote_copy_is_removed_and_nothing_has_moved() {
    let mut state = world();
    state.pools.get_mut("cold-2").unwrap().cordoned = true;
    state.set_replica_count("v", 2).unwrap();
    assert_eq!(state.volumes["v"].copies[1].pool, "hot-3");
    state.advance(Duration::from_secs(20));
    state.set_replica_count("v", 1).unwrap();
    assert_eq!(state.volumes["v"].copies[0].pool, "cold-1");
}

#[test]
fn a_cordon_on_its_node_makes_a_copy_go_first_but_an_incomplete_one_goes_before_it() {
    for (seconds, left) in [(20, "hot-3"), (1, "cold-1")] {
        let mut state = world();
        state.pools.get_mut("cold-2").unwrap().cordoned = true;
        state.set_replica_count("v", 2).unwrap();
        state.advance(Duration::from_secs(seconds));
        state.nodes.get_mut("n1").unwrap().insert("x".to_owned());
        state.set_replica_count("v", 1).unwrap();
        assert_eq!(state.volumes["v"].copies[0].pool, left);
    }
}

#[test]
fn counts_change_by_one_and_only_on_an_online_volume() {
    let mut state = world();
    for (count, kind) in [
        (1, "ReplicaCountAchieved"),
        (3, "ReplicaChangeCount"),
        (0, "FailedPrecondition"),
    ] {
        assert_eq!(state.set_replica_count("v", count).unwrap_err().1, kind);
    }
    state.set_replica_count("v", 2).unwrap();
    assert_eq!(state.set_replica_count("v", 3).unwrap_err().1, "ReplicaIncrease");
}
