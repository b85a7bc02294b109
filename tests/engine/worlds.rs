//! Seeded worlds: several volumes of a simulated Mayastor are moved by the production engine while calls go wrong, copies break, nodes
//! come and go, pools fill up, people scale, cordon, drain, label, take snapshots, pause and cancel, and controllers die, follow each
//! other and go on acting. In the end everything must have ended, no copy may be lost, no cordon left, and every removal must have its
//! evidence. In a quarter of the worlds nothing breaks and nobody interferes: there the copies must lie where the end says.

use super::play::{Leadership, World, is_over};
use super::verdict::{Ended, as_said};
use crate::support::moves;
use couchestor::execute::journal::LATE_SECS;
use couchestor::model::kinds::volume_migration::{VolumeMigration, VolumeMigrationSpec};
use couchestor::sim::mayastor::{
    Actor, Cordoned, How, NodeSeed, PoolSeed, Profile, Reason, Setup, Stale, State, VolumeSeed,
};
use fastrand::Rng;
use std::collections::BTreeMap;
use std::time::Duration;

/// Turns with trouble, and those in which everything must come to an end after that.
const TROUBLED_TURNS: u32 = 60;
const QUIET_TURNS: u32 = 700;

const GIB: u64 = 1 << 30;

/// One in so many.
fn one_in(rng: &mut Rng, many: u8) -> bool {
    rng.u8(0..many) == 0
}

/// What nodes say that they run: as a rule the truth.
fn said_version(rng: &mut Rng) -> Option<String> {
    match rng.u8(0..24) {
        0 | 1 => Some(String::new()),
        2 => Some("v2.10.0".to_owned()),
        3 => Some("v2.7.1".to_owned()),
        _ => None,
    }
}

fn setup(rng: &mut Rng) -> Setup {
    let profile = rng
        .choice([Profile::V2_7, Profile::V2_9, Profile::V2_10, Profile::V2_12])
        .unwrap();
    let (cold, hot) = (rng.usize(3..=4), rng.usize(3..=4));
    let mut setup = Setup {
        profile,
        rebuild: Duration::from_secs(rng.u64(20..200)),
        newest_goes_first: rng.bool(),
        ..Setup::default()
    };
    let version = said_version(rng);
    // In some worlds every other pool is encrypted.
    let encrypting = one_in(rng, 4);
    for index in 0..cold + hot {
        let tier = if index < cold { "cold" } else { "hot" };
        setup.nodes.push(NodeSeed {
            name: format!("n{index}"),
            labels: BTreeMap::from([(
                "zone".to_owned(),
                if one_in(rng, 4) { "b" } else { "a" }.to_owned(),
            )]),
            version: version.clone(),
            ..NodeSeed::default()
        });
        let capacity_gib = rng.u64(200..2000);
        setup.pools.push(PoolSeed {
            name: format!("{tier}-{index}"),
            node: format!("n{index}"),
            labels: BTreeMap::from([("tier".to_owned(), tier.to_owned())]),
            capacity_gib,
            // Some are nearly full.
            used_gib: if one_in(rng, 8) {
                capacity_gib - rng.u64(4..30)
            } else {
                0
            },
            encrypted: encrypting && index % 2 == 1,
        });
    }
    for index in 0..rng.usize(2..=4) {
        let volume = volume(rng, index, cold, cold + hot, encrypting);
        setup.volumes.push(volume);
    }
    setup
}

fn volume(rng: &mut Rng, index: usize, cold: usize, nodes: usize, encrypting: bool) -> VolumeSeed {
    let encrypted = encrypting && rng.bool();
    let mut pools: Vec<usize> = (0..cold).filter(|pool| !encrypted || pool % 2 == 1).collect();
    rng.shuffle(&mut pools);
    pools.truncate(rng.usize(1..=3));
    let size_gib = rng.u64(5..20);
    let mut volume = VolumeSeed {
        uuid: format!("00000000-0000-4000-8000-{index:012}"),
        size_gib,
        pools: pools.iter().map(|pool| format!("cold-{pool}")).collect(),
        target: Some(format!("n{}", rng.usize(0..nodes))),
        encrypted,
        thin: one_in(rng, 3),
        written_gib: Some(rng.u64(1..=size_gib)),
        affinity_group: one_in(rng, 5).then(|| "group".to_owned()),
        snapshots: u32::from(one_in(rng, 8)),
        ..VolumeSeed::default()
    };
    let demands = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
    match rng.u8(0..12) {
        0 | 1 => volume.pool_inclusion = demands("tier", ""),
        2 => volume.pool_inclusion = demands("tier", "cold"),
        3 => volume.pool_exclusion = demands("tier", "hot"),
        4 => volume.node_inclusion = demands("zone", "a"),
        5 => {
            volume.allowed_nodes = (0..nodes)
                .filter(|_| rng.bool())
                .map(|node| format!("n{node}"))
                .collect()
        }
        _ => {}
    }
    volume
}

fn migration(rng: &mut Rng, index: usize, uuid: &str) -> VolumeMigration {
    let spec = VolumeMigrationSpec {
        timeout_seconds: 1800,
        accept_snapshots_stay: rng.bool(),
        ..moves::spec(uuid)
    };
    VolumeMigration::new(&format!("move-{index}"), spec)
}

/// Runs the world of a seed to its end.
pub async fn run(seed: u64) -> Result<Ended, String> {
    let mut rng = Rng::with_seed(seed);
    let setup = setup(&mut rng);
    let uuids: Vec<String> = setup.volumes.iter().map(|volume| volume.uuid.clone()).collect();
    let mut state = State::new(setup)?;
    state.remember_past();
    let mut ways = How::OF_CHANGES.to_vec();
    ways.extend([How::Stale(Stale::Changes(1)), How::Stale(Stale::Changes(2))]);
    state.faults.by_chance(rng.u64(..), rng.u64(8..40), &ways);
    let gentle = one_in(&mut rng, 4);
    let migrations: Vec<VolumeMigration> = uuids
        .iter()
        .enumerate()
        .map(|(index, uuid)| migration(&mut rng, index, uuid))
        .collect();
    let world = World::new(state, migrations.into_iter());
    let mut by = Leadership {
        epoch: 1,
        ..Leadership::default()
    };
    for turn in 0..TROUBLED_TURNS + QUIET_TURNS {
        let troubled = turn < TROUBLED_TURNS;
        if turn == TROUBLED_TURNS {
            calm(&world);
            *world.life.lock().unwrap() = None;
            by.epoch += 1;
            by.held.clear();
        }
        if troubled {
            if !gentle {
                surprise(&world, &mut rng, &uuids);
            }
            let one = format!("move-{}", rng.usize(0..uuids.len()));
            match rng.u8(..) {
                0..6 => drop(by.cancelled.insert(one)),
                6..14 => drop(by.held.insert(one)),
                14..30 => drop(by.held.remove(&one)),
                _ => {}
            }
        }
        let before = world.stored();
        // A leadership that another follows has its last turn after the other's first: with what it had read before.
        let overlaps = troubled && rng.u8(..) < 20;
        if troubled && rng.u8(..) < 40 {
            *world.life.lock().unwrap() = Some(rng.u32(0..14));
        }
        if overlaps {
            let next = Leadership {
                epoch: by.epoch + 1,
                ..by.clone()
            };
            world.turn(before.clone(), &next).await;
            world.turn(before, &by).await;
            by = next;
        } else {
            world.turn(before, &by).await;
        }
        if world.life.lock().unwrap().take() == Some(0) {
            by.epoch += 1;
        }
        let passes = if troubled { rng.u64(1..60) } else { 30 };
        world.state.lock().unwrap().pass(Duration::from_secs(passes));
        if !troubled && world.migrations().iter().all(is_over) {
            break;
        }
    }
    let ended = world.judge()?;
    if gentle {
        as_said(&world.state.lock().unwrap(), &world.migrations())?;
    }
    Ok(ended)
}

/// Something happens to the engine, or somebody does something with it.
fn surprise(world: &World, rng: &mut Rng, uuids: &[String]) {
    let mut state = world.state.lock().unwrap();
    let uuid = rng.choice(uuids).unwrap();
    let node = format!("n{}", rng.usize(0..state.nodes.len()));
    let at = rng.usize(0..state.pools.len());
    let pool = state.pools.keys().nth(at).cloned().unwrap();
    let copies: Vec<String> = state.volumes[uuid]
        .copies
        .iter()
        .map(|copy| copy.id.clone())
        .collect();
    match rng.u8(0..48) {
        // A copy breaks while others hold everything; what breaks alone is no loss of ours.
        0 | 1 if state.volumes[uuid].synced().count() > 1 => {
            let copy = rng.choice(&copies).unwrap();
            state.fault_copy(uuid, copy, Reason::IoError);
        }
        2 => {
            if let Some(copy) = rng.choice(&copies) {
                state.return_copy(uuid, copy);
            }
        }
        3 => state.lose_node(&node),
        4..=6 => {
            let lost: Vec<String> = state.offline.keys().cloned().collect();
            for node in lost {
                state.return_node(&node);
            }
        }
        7 => state.fail_rebuilds(uuid),
        8 => state.set_rebuild_speed(uuid, rng.f64() * 2.0),
        9 => {
            // What somebody else cordons may be cordoned already; then nothing happens.
            let _ = state.as_someone_else(|state| state.cordon_pool(&pool));
        }
        10 => {
            let _ = state.as_someone_else(|state| state.cordon_node(&node, "somebody"));
        }
        11 | 12 => {
            let _ = state.as_someone_else(|state| state.uncordon_node(&node, "somebody"));
        }
        13 => {
            let scaled = scale(&mut state, rng, uuid).then(|| uuid.clone());
            world.known.lock().unwrap().scaled.extend(scaled);
        }
        14 => {
            let _ = state.as_someone_else(|state| state.drain_node(&node, "maintenance"));
        }
        15 | 16 => state.undrain_node(&node, "maintenance"),
        17 => {
            let tier = rng.choice([Some("cold"), Some("hot"), None]).unwrap();
            let _ = state.as_someone_else(|state| state.label_pool(&pool, "tier", tier));
        }
        18 => {
            let _ = state.as_someone_else(|state| state.take_snapshot(uuid));
        }
        19 | 20 => {
            if let Some(volume) = state.volumes.get_mut(uuid) {
                volume.snapshots.clear();
            }
        }
        21 => {
            let heals = rng.bool();
            state.set_self_heal(uuid, heals);
        }
        22 => {
            let free = rng.u64(0..8 * GIB);
            state.fill_pool(&pool, free);
        }
        23 => {
            let written = rng.u64(0..20 * GIB);
            state.write(uuid, written);
        }
        _ => {}
    }
}

/// A person wants one copy more or less. From then on its number of copies is theirs.
fn scale(state: &mut State, rng: &mut Rng, uuid: &str) -> bool {
    let have = state.volumes[uuid].num_replicas;
    let wants = if rng.bool() {
        have + 1
    } else {
        have.saturating_sub(1)
    };
    let done = state.as_someone_else(|state| state.set_replica_count(uuid, wants));
    if done.is_ok() {
        let baseline = state.volumes[uuid].baseline;
        state.set_baseline(uuid, baseline.min(usize::from(wants)));
    }
    done.is_ok()
}

/// Everything works again, and nobody interferes any more.
fn calm(world: &World) {
    let mut state = world.state.lock().unwrap();
    state.faults.none();
    let lost: Vec<String> = state.offline.keys().cloned().collect();
    for node in lost {
        state.return_node(&node);
    }
    let theirs: Vec<Cordoned> = state
        .judge
        .held_by(Actor::SomeoneElse)
        .map(|held| held.what.clone())
        .collect();
    for cordoned in theirs {
        let _ = state.as_someone_else(|state| match &cordoned {
            Cordoned::Pool(pool) => state.uncordon_pool(pool),
            Cordoned::Node { node, label } => state.uncordon_node(node, label),
        });
    }
    let nodes: Vec<String> = state.nodes.keys().cloned().collect();
    for node in nodes {
        state.undrain_node(&node, "maintenance");
    }
    let pools: Vec<String> = state.pools.keys().cloned().collect();
    for pool in pools {
        state.fill_pool(&pool, u64::MAX / 4);
    }
    let volumes: Vec<String> = state.volumes.keys().cloned().collect();
    for uuid in volumes {
        state.set_rebuild_speed(&uuid, 1.0);
        state.set_self_heal(&uuid, true);
        let copies: Vec<String> = state.volumes[&uuid]
            .copies
            .iter()
            .map(|copy| copy.id.clone())
            .collect();
        for copy in copies {
            state.return_copy(&uuid, &copy);
        }
    }
    state.pass(Duration::from_secs(u64::try_from(LATE_SECS).unwrap()));
}
