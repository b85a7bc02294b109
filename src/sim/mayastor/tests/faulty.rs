//! Claims about ordered faults, stale reads, a driven clock and the judge, through the client that couchestor uses.

use super::*;
use crate::io::mayastor::{Mayastor, MayastorError};
use crate::model::engine::Health;
use crate::sim::mayastor::{Actor, At, Clock, Cordoned, How, MayastorSim, Route, Stale};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

async fn driven() -> (MayastorSim, Mayastor, Arc<AtomicU64>) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let millis = Arc::new(AtomicU64::new(0));
    let sim = MayastorSim::start_as(setup(), Clock::Driven(millis.clone()))
        .await
        .unwrap();
    let client = Mayastor::new(&sim.url()).unwrap();
    (sim, client, millis)
}

/// Whether a fault lets its change be done.
fn is_done(how: How) -> bool {
    match how {
        How::Unavailable | How::Timeout | How::Conflict | How::Exhausted | How::CutBefore => false,
        How::DoneButUnavailable | How::DoneButTimeout | How::DoneButDeadlineExceeded => true,
        How::CutAfter | How::Torn | How::Late(_) | How::Stale(_) => true,
    }
}

#[tokio::test]
async fn each_fault_of_a_change_is_done_or_not_and_what_the_client_learns_is_never_wrong() {
    for how in How::OF_CHANGES {
        let (sim, client, _) = driven().await;
        sim.with(|state| state.order(At::Route(Route::ReplicaCount, 0), how));
        let said = client.set_replica_count("v", 2).await;
        let done = sim.with(|state| state.volumes["v"].num_replicas == 2);
        assert_eq!(done, is_done(how), "{how:?}");
        match said {
            Err(MayastorError::Indeterminate { .. }) => {}
            Err(MayastorError::Refused { .. }) => assert!(!done, "{how:?}"),
            other => panic!("{how:?}: {other:?}"),
        }
        assert_eq!(sim.with(|state| state.faults.happened.len()), 1);
        // The next call is as it should be.
        let count = if done { 1 } else { 2 };
        client.set_replica_count("v", count).await.unwrap();
    }
}

#[tokio::test]
async fn every_route_can_fail() {
    let (sim, client, _) = driven().await;
    let order = |route, how| sim.with(|state| state.order(At::Route(route, 0), how));
    for how in How::OF_CHANGES {
        order(Route::CordonPool, how);
        assert!(client.cordon_pool("hot-3").await.is_err(), "{how:?}");
        order(Route::UncordonPool, how);
        assert!(client.uncordon_pool("hot-3").await.is_err(), "{how:?}");
        order(Route::CordonNode, how);
        assert!(client.cordon_node("n2", "x").await.is_err(), "{how:?}");
        order(Route::UncordonNode, how);
        assert!(client.uncordon_node("n2", "x").await.is_err(), "{how:?}");
    }
    for how in [How::Unavailable, How::CutBefore, How::CutAfter, How::Torn] {
        for route in [Route::Volumes, Route::Pools, Route::Nodes] {
            order(route, how);
            assert!(client.state().await.is_err(), "{route:?} {how:?}");
            assert!(client.state().await.is_ok(), "{route:?} {how:?}");
        }
        order(Route::Volume, how);
        assert!(client.volume("v").await.is_err(), "{how:?}");
    }
}

#[tokio::test]
async fn hours_pass_at_once_on_a_driven_clock() {
    let (sim, client, millis) = driven().await;
    client.set_replica_count("v", 2).await.unwrap();
    millis.store(4_000, Ordering::SeqCst);
    let volume = client.volume("v").await.unwrap().unwrap();
    assert_eq!(volume.replicas[1].rebuild_progress, Some(40));
    millis.store(3_600_000, Ordering::SeqCst);
    let volume = client.volume("v").await.unwrap().unwrap();
    assert_eq!((volume.state, volume.rebuilds), (Health::Online, 0));
    assert_eq!(sim.with(|state| state.now()), seconds(3600));
}

#[tokio::test]
async fn a_stale_read_tells_of_the_past_and_the_next_one_of_the_present() {
    let (sim, client, millis) = driven().await;
    sim.with(|state| state.order(At::Read(0), How::Stale(Stale::Changes(1))));
    client.set_replica_count("v", 2).await.unwrap();
    let count = async || client.volume("v").await.unwrap().unwrap().replicas.len();
    assert_eq!((count().await, count().await), (1, 2));

    millis.store(60_000, Ordering::SeqCst);
    client.set_replica_count("v", 1).await.unwrap();
    millis.store(62_000, Ordering::SeqCst);
    for (ago, copies) in [(1, 1), (3, 2), (61, 2)] {
        sim.with(|state| state.set_lag(Some(Stale::Time(seconds(ago)))));
        assert_eq!(count().await, copies, "{ago} s ago");
    }
}

#[test]
fn stale_reads_go_back_by_changes_and_not_by_refusals() {
    let mut state = world();
    state.remember_past();
    state.set_replica_count("v", 2).unwrap();
    state.set_replica_count("v", 2).unwrap_err();
    state.advance(seconds(20));
    state.cordon_node("n1", "x").unwrap();
    let copies = |state: &State, back| {
        let shown = state.view_of(Stale::Changes(back)).volume("v").unwrap();
        shown["state"]["replica_topology"].as_object().unwrap().len()
    };
    let told: Vec<usize> = (0..4).map(|back| copies(&state, back)).collect();
    assert_eq!(told, [2, 2, 1, 1]);
}

#[test]
fn faults_by_chance_are_those_of_their_seed() {
    let run = |seed| {
        let mut state = world();
        state.faults.by_chance(seed, 3, &How::OF_CHANGES);
        for _ in 0..60 {
            let _ = state.cordon_node("n2", "x");
            let _ = state.uncordon_node("n2", "x");
        }
        state.faults.happened
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
    assert!((20..60).contains(&run(7).len()), "{}", run(7).len());
}

#[test]
fn the_judge_tells_whose_removal_cost_a_copy() {
    let two = || {
        let mut setup = setup();
        setup.volumes[0].pools.push("hot-3".to_owned());
        State::new(setup).unwrap()
    };
    let mut state = two();
    state.set_replica_count("v", 1).unwrap();
    let losses: Vec<&str> = state.judge.losses().map(|loss| loss.pool.as_str()).collect();
    assert_eq!(losses, ["hot-3"]);

    let mut state = two();
    state
        .as_someone_else(|state| state.set_replica_count("v", 1))
        .unwrap();
    assert_eq!(state.judge.losses().count(), 0);
    assert_eq!(state.judge.removals[0].by, Actor::SomeoneElse);
    assert!(state.judge.removals[0].is_loss());

    let mut state = two();
    state.set_replica_count("v", 3).unwrap();
    state.advance(seconds(20));
    state.set_replica_count("v", 2).unwrap();
    assert_eq!(state.judge.losses().count(), 0);
    assert_eq!(state.judge.removals[0].synced.len(), 3);
    assert_eq!(
        (state.volumes["v"].fewest_synced, state.volumes["v"].most_copies),
        (2, 3)
    );
}

#[test]
fn the_judge_tells_who_held_which_cordon_and_how_long() {
    let mut state = world();
    state.cordon_node("n1", "ours").unwrap();
    state.pass(seconds(5));
    state.uncordon_node("n1", "ours").unwrap();
    state.as_someone_else(|state| state.cordon_pool("hot-3")).unwrap();
    state.uncordon_pool("hot-3").unwrap();
    state.cordon_node("n2", "ours").unwrap();
    state.pass(seconds(7));
    let held: Vec<Duration> = state
        .judge
        .cordons
        .iter()
        .map(|held| held.lasted(state.now()))
        .collect();
    assert_eq!(held, [seconds(5), Duration::ZERO, seconds(7)]);
    let left: Vec<&Cordoned> = state
        .judge
        .held_by(Actor::Caller)
        .map(|held| &held.what)
        .collect();
    let node_2 = Cordoned::Node {
        node: "n2".to_owned(),
        label: "ours".to_owned(),
    };
    assert_eq!(left, [&node_2]);
    assert_eq!(state.judge.taken_from_others().count(), 1);
}

#[test]
fn others_are_never_hit_by_the_faults_of_the_one_under_test() {
    let mut state = world();
    state.order(At::Change(0), How::Unavailable);
    state
        .as_someone_else(|state| state.cordon_node("n1", "theirs"))
        .unwrap();
    assert_eq!(state.cordon_node("n2", "ours").unwrap_err().status, 503);
}
