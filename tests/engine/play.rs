//! The production engine over a simulated Mayastor in this process, turn after turn, in virtual time.

use super::verdict::{Asked, Ended, Known, verdict};
use couchestor::execute::engine::{EngineError, JournalStore, Orders, StorageEngine, StoreError, execute};
use couchestor::execute::journal::{Act, Reading};
use couchestor::io::mayastor::{read_nodes, read_pools, read_volume};
use couchestor::model::engine::{Abilities, Health, Node};
use couchestor::model::ids::NodeName;
use couchestor::model::kinds::volume_migration::VolumeMigration;
use couchestor::sim::mayastor::{Refusal, Route, State};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

/// When the clock of every world starts.
const START: i64 = 1_900_000_000;

/// Journals by name, each with its version.
pub type Stored = BTreeMap<String, (u64, VolumeMigration)>;

/// A Mayastor and the journals.
pub struct World {
    pub state: Mutex<State>,
    stored: Mutex<Stored>,
    /// Calls until the process that makes them dies; `None` while it lives on.
    pub life: Mutex<Option<u32>>,
    pub known: Mutex<Known>,
    /// The first thing that must never be.
    wrong: Mutex<Option<String>>,
}

/// What a leadership goes by in a turn.
#[derive(Clone, Debug, Default)]
pub struct Leadership {
    pub epoch: u64,
    pub cancelled: BTreeSet<String>,
    pub held: BTreeSet<String>,
}

/// One process as the engine sees the world: it dies with its last call.
struct Process<'a> {
    world: &'a World,
    versions: Mutex<BTreeMap<String, u64>>,
    /// Pools of whose cordons the engine has answered that they are not ours, or not any more, until that is written.
    untold: Mutex<Vec<String>>,
    /// The nodes as it was shown them last.
    shown: Mutex<BTreeMap<NodeName, Node>>,
}

pub fn is_over(one: &VolumeMigration) -> bool {
    one.status.as_ref().is_some_and(|status| status.phase.is_final())
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
    pub fn new(state: State, migrations: impl Iterator<Item = VolumeMigration>) -> Self {
        let stored = migrations.map(|made| (made.metadata.name.clone().unwrap_or_default(), (0, made)));
        Self {
            stored: Mutex::new(stored.collect()),
            state: Mutex::new(state),
            life: Mutex::new(None),
            known: Mutex::default(),
            wrong: Mutex::default(),
        }
    }

    fn now(&self) -> Timestamp {
        let passed = self.state.lock().unwrap().now().as_secs();
        Timestamp::from_second(START + i64::try_from(passed).unwrap()).unwrap()
    }

    /// The journals as they are.
    pub fn stored(&self) -> Stored {
        self.stored.lock().unwrap().clone()
    }

    /// The migrations as they are.
    pub fn migrations(&self) -> Vec<VolumeMigration> {
        self.stored().into_values().map(|(_, one)| one).collect()
    }

    /// One turn of a leadership that has read these journals.
    pub async fn turn(&self, read: Stored, by: &Leadership) {
        let versions = read.iter().map(|(name, (version, _))| (name.clone(), *version));
        let process = Process {
            world: self,
            versions: Mutex::new(versions.collect()),
            untold: Mutex::default(),
            shown: Mutex::default(),
        };
        let migrations = read.into_values().map(|(_, one)| one);
        let migrations: Vec<VolumeMigration> = migrations.filter(|one| !is_over(one)).collect();
        let because = |names: &BTreeSet<String>| {
            let all = names.iter().map(|name| (name.clone(), "a test".to_owned()));
            all.collect()
        };
        let orders = Orders {
            approved: migrations
                .iter()
                .filter_map(|one| one.metadata.name.clone())
                .collect(),
            cancels: because(&by.cancelled),
            holds: because(&by.held),
            epoch: by.epoch,
            ..Orders::default()
        };
        execute(&process, &process, migrations, &orders, || self.now()).await;
    }

    /// What must hold in the end, beside what must never have been.
    pub fn judge(&self) -> Result<Ended, String> {
        if let Some(wrong) = self.wrong.lock().unwrap().take() {
            return Err(wrong);
        }
        let (state, known) = (self.state.lock().unwrap(), self.known.lock().unwrap());
        verdict(&state, &self.migrations(), &known)
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

    fn never(&self, what: impl FnOnce() -> String) {
        self.wrong.lock().unwrap().get_or_insert_with(what);
    }

    /// A call that changes a number of copies is about to be made: what is written by then can speak for it.
    fn about_to_ask(&self, volume: &str) {
        let stored = self.stored.lock().unwrap();
        let of_it = stored.values().filter(|(_, one)| one.spec.volume_uuid == volume);
        let status = of_it.filter_map(|(_, one)| one.status.clone());
        self.known.lock().unwrap().asked.push(Asked {
            at: self.state.lock().unwrap().now(),
            volume: volume.to_owned(),
            evidence: status.flat_map(|status| status.removals).collect(),
        });
    }
}

impl Process<'_> {
    /// While a node is cordoned, the target of a volume whose node fails has to find another.
    fn leaves_a_node_for_targets(&self, cordoned: &str) {
        let shown = self.shown.lock().unwrap();
        let free = shown.values().any(|node| {
            let used = !node.cordons.is_empty() || node.draining || node.name.as_str() == cordoned;
            node.state == Health::Online && !used
        });
        if !free {
            self.world
                .never(|| format!("cordoning {cordoned} leaves no node for targets: {shown:#?}"));
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
        self.shown.lock().unwrap().clone_from(&nodes);
        Ok(Reading {
            volume: volume.map(|volume| value(read_volume(volume))),
            pools: value(read_pools(pools)),
            abilities: Abilities::of(nodes.values()),
            nodes,
            // What a target that was moved remembers, and what older releases tell.
            rebuilds: None,
        })
    }

    async fn act(&self, volume_uuid: &str, act: &Act) -> Result<(), EngineError> {
        let done = self.carry_out(volume_uuid, act);
        match (act, &done) {
            (Act::CordonPool(pool), Err(EngineError::Indeterminate(_))) => self.never_told(pool),
            (Act::CordonPool(pool), _) => *self.untold.lock().unwrap() = vec![pool.clone()],
            (Act::Release(window, _), Err(_)) => window.pools.iter().for_each(|pool| self.never_told(pool)),
            (Act::Release(window, _), Ok(())) => self.untold.lock().unwrap().clone_from(&window.pools),
            _ => {}
        }
        done
    }
}

impl Process<'_> {
    /// The journals never get to know whether a cordon of a pool is theirs.
    fn never_told(&self, pool: &str) {
        self.world.known.lock().unwrap().doubtful.insert(pool.to_owned());
    }

    fn carry_out(&self, volume_uuid: &str, act: &Act) -> Result<(), EngineError> {
        if self.world.dies() {
            return Err(EngineError::Indeterminate("dead".into()));
        }
        match act {
            Act::SetReplicas(_) => self.world.about_to_ask(volume_uuid),
            Act::CordonNode(node, _) => self.leaves_a_node_for_targets(node),
            _ => {}
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
        let written = self.put(migration);
        let untold = std::mem::take(&mut *self.untold.lock().unwrap());
        if written.is_err() {
            untold.iter().for_each(|pool| self.never_told(pool));
        }
        written
    }
}

impl Process<'_> {
    fn put(&self, migration: &VolumeMigration) -> Result<(), StoreError> {
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
        // Every cordon is set and taken back within a window, and one window is open at a time, whoever leads.
        let has_window = |one: &VolumeMigration| {
            let status = one.status.as_ref();
            status.is_some_and(|status| status.window.is_some())
        };
        if stored.values().filter(|(_, one)| has_window(one)).count() > 1 {
            let all: Vec<_> = stored.values().map(|(_, one)| &one.status).collect();
            self.world
                .never(|| format!("cordons are held for two moves at a time: {all:#?}"));
        }
        Ok(())
    }
}
