//! Seeded worlds: several volumes of a simulated Mayastor are moved by the production engine while calls go wrong, copies break, nodes
//! come and go, people interfere, and controllers die, follow each other and go on acting. In the end everything must have ended, no
//! copy may be lost, no cordon left, and every removal must have its evidence.

use super::verdict::{Ended, verdict};
use crate::support::moves;
use couchestor::execute::engine::{EngineError, JournalStore, Orders, StorageEngine, StoreError, execute};
use couchestor::execute::journal::{Act, LATE_SECS, Reading};
use couchestor::io::mayastor::{read_nodes, read_pools, read_volume};
use couchestor::model::engine::Abilities;
use couchestor::model::kinds::volume_migration::{VolumeMigration, VolumeMigrationSpec};
use couchestor::sim::mayastor::{
    How, NodeSeed, PoolSeed, Profile, Reason, Refusal, Route, Setup, Stale, State, VolumeSeed,
};
use fastrand::Rng;
use jiff::Timestamp;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

/// When the clock of every world starts.
const START: i64 = 1_900_000_000;

/// Turns with trouble, and those in which everything must come to an end after that.
const TROUBLED_TURNS: u32 = 60;
const QUIET_TURNS: u32 = 700;

struct World {
    state: Mutex<State>,
    stored: Mutex<BTreeMap<String, (u64, VolumeMigration)>>,
    /// Calls until the process that makes them dies; `None` while it lives on.
    life: Mutex<Option<u32>>,
}

/// One process as the engine sees the world: it dies with its last call.
struct Process<'a> {
    world: &'a World,
    versions: Mutex<BTreeMap<String, u64>>,
}

fn engine_error(refusal: Refusal) -> EngineError {
    let text = format!("{} {}", refusal.kind, refusal.message);
    match (refusal.is_unclear(), refusal.kind) {
        (true, _) => EngineError::Indeterminate(text),
        (_, "ReplicaCountAchieved") => EngineError::CountAchieved(text),
        _ => EngineError::Refused(text),
    }
}

fn value<T>(read: Result<T, serde_json::Error>) -> T {
    read.expect("the simulator writes what the client reads")
}

impl World {
    fn now(&self) -> Timestamp {
        let passed = self.state.lock().unwrap().now().as_secs();
        Timestamp::from_second(START + i64::try_from(passed).unwrap()).unwrap()
    }

    /// Whether the process is dead; each call is one step nearer to that.
    fn dies(&self) -> bool {
        let mut life = self.life.lock().unwrap();
        match life.as_mut() {
            None => false,
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
        }
    }
}

impl StorageEngine for Process<'_> {
    async fn reading(&self, volume_uuid: &str) -> Result<Reading, EngineError> {
        if self.world.dies() {
            return Err(EngineError::Unreachable("dead".into()));
        }
        let mut state = self.world.state.lock().unwrap();
        let unreachable = |refusal: Refusal| EngineError::Unreachable(refusal.message);
        let volume: Option<Value> = state
            .read(Route::Volume, |view| view.volume(volume_uuid))
            .map_err(unreachable)?;
        let pools = state
            .read(Route::Pools, |view| view.pools())
            .map_err(unreachable)?;
        let nodes = state
            .read(Route::Nodes, |view| view.nodes())
            .map_err(unreachable)?;
        let nodes = value(read_nodes(nodes));
        Ok(Reading {
            volume: volume.map(|volume| value(read_volume(volume))),
            pools: value(read_pools(pools)),
            abilities: Abilities::of(nodes.values()),
            nodes,
            rebuilds: None,
        })
    }

    async fn act(&self, volume_uuid: &str, act: &Act) -> Result<(), EngineError> {
        if self.world.dies() {
            return Err(EngineError::Indeterminate("dead".into()));
        }
        let mut state = self.world.state.lock().unwrap();
        match act {
            Act::SetReplicas(count) => state.set_replica_count(volume_uuid, *count).map_err(engine_error),
            Act::CordonPool(pool) => state.cordon_pool(pool).map_err(|refusal| match refusal.kind {
                "AlreadyExists" => EngineError::AlreadyCordoned(refusal.message),
                "NotFound" => EngineError::Unsupported(refusal.message),
                _ => engine_error(refusal),
            }),
            Act::CordonNode(node, label) => match state.cordon_node(node, label) {
                Err(refusal) if refusal.kind == "AlreadyExists" => Ok(()),
                other => other.map_err(engine_error),
            },
            Act::Release(window, label) => {
                for pool in &window.pools {
                    let held = |state: &State| state.pools[pool].cordon.replicas;
                    if let Err(refusal) = state.uncordon_pool(pool)
                        && (refusal.is_unclear() || held(&state))
                    {
                        return Err(engine_error(refusal));
                    }
                }
                for node in window.all_nodes() {
                    let held = |state: &State| state.nodes[node].cordons.contains(label);
                    if let Err(refusal) = state.uncordon_node(node, label)
                        && (refusal.is_unclear() || held(&state))
                    {
                        return Err(engine_error(refusal));
                    }
                }
                Ok(())
            }
        }
    }
}

impl JournalStore for Process<'_> {
    async fn write(&self, migration: &mut VolumeMigration) -> Result<(), StoreError> {
        if self.world.dies() {
            return Err(StoreError::Failed("dead".into()));
        }
        let name = migration.metadata.name.clone().unwrap_or_default();
        let mut stored = self.world.stored.lock().unwrap();
        let mut versions = self.versions.lock().unwrap();
        let entry = stored.get_mut(&name).expect("made at the start");
        if versions.get(&name) != Some(&entry.0) {
            return Err(StoreError::Conflict);
        }
        *entry = (entry.0 + 1, migration.clone());
        versions.insert(name, entry.0);
        Ok(())
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
    for index in 0..cold + hot {
        let tier = if index < cold { "cold" } else { "hot" };
        setup.nodes.push(NodeSeed {
            name: format!("n{index}"),
            ..NodeSeed::default()
        });
        setup.pools.push(PoolSeed {
            name: format!("{tier}-{index}"),
            node: format!("n{index}"),
            labels: BTreeMap::from([("tier".to_owned(), tier.to_owned())]),
            capacity_gib: rng.u64(200..2000),
            ..PoolSeed::default()
        });
    }
    for index in 0..rng.usize(2..=4) {
        let mut pools: Vec<usize> = (0..cold).collect();
        rng.shuffle(&mut pools);
        pools.truncate(rng.usize(1..=3));
        setup.volumes.push(VolumeSeed {
            uuid: format!("00000000-0000-4000-8000-{index:012}"),
            size_gib: rng.u64(5..20),
            pools: pools.iter().map(|pool| format!("cold-{pool}")).collect(),
            target: Some(format!("n{}", rng.usize(0..cold + hot))),
            ..VolumeSeed::default()
        });
    }
    setup
}

fn migration(index: usize, uuid: &str) -> VolumeMigration {
    let spec = VolumeMigrationSpec {
        timeout_seconds: 1800,
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
    let stored = uuids.iter().enumerate().map(|(index, uuid)| {
        let made = migration(index, uuid);
        (made.metadata.name.clone().unwrap_or_default(), (0, made))
    });
    let world = World {
        stored: Mutex::new(stored.collect()),
        state: Mutex::new(state),
        life: Mutex::new(None),
    };
    let mut epoch = 1;
    let mut cancelled = BTreeSet::new();
    for turn in 0..TROUBLED_TURNS + QUIET_TURNS {
        let troubled = turn < TROUBLED_TURNS;
        if turn == TROUBLED_TURNS {
            calm(&world);
            *world.life.lock().unwrap() = None;
            epoch += 1;
        }
        if troubled {
            surprise(&world, &mut rng, &uuids);
            if rng.u8(..) < 6 {
                cancelled.insert(format!("move-{}", rng.usize(0..uuids.len())));
            }
        }
        let before = world.stored.lock().unwrap().clone();
        // A leadership that another follows has its last turn after the other's first: with what it had read before.
        let overlaps = troubled && rng.u8(..) < 20;
        if troubled && rng.u8(..) < 40 {
            *world.life.lock().unwrap() = Some(rng.u32(0..14));
        }
        if overlaps {
            turn_of(&world, before.clone(), epoch + 1, &cancelled).await;
            turn_of(&world, before, epoch, &cancelled).await;
            epoch += 1;
        } else {
            turn_of(&world, before, epoch, &cancelled).await;
        }
        if world.life.lock().unwrap().take() == Some(0) {
            epoch += 1;
        }
        let passes = if troubled { rng.u64(1..60) } else { 30 };
        world.state.lock().unwrap().pass(Duration::from_secs(passes));
        let all = world.stored.lock().unwrap();
        let over = |one: &(u64, VolumeMigration)| {
            one.1
                .status
                .as_ref()
                .is_some_and(|status| status.phase.is_final())
        };
        if !troubled && all.values().all(over) {
            break;
        }
    }
    judge(&world)
}

async fn turn_of(
    world: &World,
    read: BTreeMap<String, (u64, VolumeMigration)>,
    epoch: u64,
    cancelled: &BTreeSet<String>,
) {
    let over = |one: &VolumeMigration| one.status.as_ref().is_some_and(|status| status.phase.is_final());
    let process = Process {
        world,
        versions: Mutex::new(
            read.iter()
                .map(|(name, (version, _))| (name.clone(), *version))
                .collect(),
        ),
    };
    let migrations: Vec<VolumeMigration> = read
        .into_values()
        .map(|(_, one)| one)
        .filter(|one| !over(one))
        .collect();
    let names = migrations.iter().filter_map(|one| one.metadata.name.clone());
    let orders = Orders {
        approved: names.collect(),
        cancels: cancelled
            .iter()
            .map(|name| (name.clone(), "a test".to_owned()))
            .collect(),
        epoch,
        ..Orders::default()
    };
    execute(&process, &process, migrations, &orders, || world.now()).await;
}

/// Something happens to the engine.
fn surprise(world: &World, rng: &mut Rng, uuids: &[String]) {
    let mut state = world.state.lock().unwrap();
    let uuid = rng.choice(uuids).unwrap();
    let node = format!("n{}", rng.usize(0..state.nodes.len()));
    let copies: Vec<String> = state.volumes[uuid]
        .copies
        .iter()
        .map(|copy| copy.id.clone())
        .collect();
    match rng.u8(0..40) {
        // A copy breaks while others hold everything; what breaks alone is no loss of ours.
        0 | 1 if state.volumes[uuid].synced().count() > 1 => {
            let copy = rng.choice(&copies).unwrap();
            state.fault_copy(uuid, copy, Reason::IoError);
        }
        2 => {
            let copy = rng.choice(&copies).unwrap();
            state.return_copy(uuid, copy);
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
            let pool = state
                .pools
                .keys()
                .nth(rng.usize(0..state.pools.len()))
                .cloned()
                .unwrap();
            // What somebody else cordons may be cordoned already; then nothing happens.
            let _ = state.as_someone_else(|state| state.cordon_pool(&pool));
        }
        10 => {
            let _ = state.as_someone_else(|state| state.cordon_node(&node, "somebody"));
        }
        11 | 12 => {
            let _ = state.as_someone_else(|state| state.uncordon_node(&node, "somebody"));
        }
        _ => {}
    }
}

/// Everything works again.
fn calm(world: &World) {
    let mut state = world.state.lock().unwrap();
    state.faults.none();
    let lost: Vec<String> = state.offline.keys().cloned().collect();
    for node in lost {
        state.return_node(&node);
    }
    let nodes: Vec<String> = state.nodes.keys().cloned().collect();
    for node in nodes {
        let _ = state.as_someone_else(|state| state.uncordon_node(&node, "somebody"));
    }
    let volumes: Vec<String> = state.volumes.keys().cloned().collect();
    for uuid in volumes {
        state.set_rebuild_speed(&uuid, 1.0);
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

fn judge(world: &World) -> Result<Ended, String> {
    let (state, stored) = (world.state.lock().unwrap(), world.stored.lock().unwrap());
    let migrations: Vec<VolumeMigration> = stored.values().map(|(_, one)| one.clone()).collect();
    verdict(&state, &migrations)
}
