//! Claims about the simulated Mayastor: it surprises callers exactly as the real one does.

use super::{NodeSeed, PoolSeed, Setup, State, VolumeSeed};
use std::collections::BTreeMap;
use std::time::Duration;

/// The shapes of answers.
mod answers;

/// Faults, stale reads, the judge.
mod faulty;

/// What happens by itself.
mod living;

/// Where copies go and which go.
mod places;

const GIB: u64 = 1 << 30;

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

fn node(name: &str) -> NodeSeed {
    NodeSeed {
        name: name.to_owned(),
        ..NodeSeed::default()
    }
}

fn pool(name: &str, node: &str, tier: &str, capacity_gib: u64) -> PoolSeed {
    PoolSeed {
        name: name.to_owned(),
        node: node.to_owned(),
        labels: labels(&[("tier", tier)]),
        capacity_gib,
        ..PoolSeed::default()
    }
}

fn volume(uuid: &str, pools: &[&str], target: Option<&str>) -> VolumeSeed {
    VolumeSeed {
        uuid: uuid.to_owned(),
        size_gib: 10,
        pools: pools.iter().map(|pool| (*pool).to_owned()).collect(),
        target: target.map(str::to_owned),
        ..VolumeSeed::default()
    }
}

/// Three nodes, two cold pools and a small hot one; the volume `v` has one cold copy beside its target.
fn setup() -> Setup {
    Setup {
        nodes: ["n1", "n2", "n3"].map(node).to_vec(),
        pools: vec![
            pool("cold-1", "n1", "cold", 1000),
            pool("cold-2", "n2", "cold", 1000),
            pool("hot-3", "n3", "hot", 100),
        ],
        volumes: vec![volume("v", &["cold-1"], Some("n1"))],
        rebuild: Duration::from_secs(10),
        ..Setup::default()
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The pools of a volume's copies, oldest first.
fn pools_of<'a>(state: &'a State, uuid: &str) -> Vec<&'a str> {
    state.volumes[uuid]
        .copies
        .iter()
        .map(|copy| copy.pool.as_str())
        .collect()
}

fn world() -> State {
    State::new(setup()).unwrap()
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
    state.cordon_pool("cold-2").unwrap();
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
        state.cordon_pool("cold-2").unwrap();
        state.set_replica_count("v", 2).unwrap();
        state.advance(Duration::from_secs(seconds));
        state.cordon_node("n1", "x").unwrap();
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
        assert_eq!(state.set_replica_count("v", count).unwrap_err().kind, kind);
    }
    state.set_replica_count("v", 2).unwrap();
    assert_eq!(
        state.set_replica_count("v", 3).unwrap_err().kind,
        "ReplicaIncrease"
    );
}
