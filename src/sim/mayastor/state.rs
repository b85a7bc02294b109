//! Nodes, pools, volumes and their copies in the simulated Mayastor.

use super::faults::{Faults, Stale};
use super::judge::{Actor, Judge};
use super::past::Past;
use super::profile::Capabilities;
use super::seed::{PoolSeed, Setup, VolumeSeed};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

const GIB: u64 = 1 << 30;

/// The largest size of a pool or volume of a world, 1 PiB in GiB: sums of thousands of them stay within 64 bits.
const GIB_MAX: u64 = 1 << 20;

/// Why a copy is Faulted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Its node is gone, or was when something was written.
    Lost,
    /// Its disk failed.
    IoError,
    /// Its pool is full.
    NoSpace,
    /// Its rebuild failed.
    RebuildFailed,
}

/// A copy.
#[derive(Clone, Debug)]
pub struct Copy {
    /// Its uuid.
    pub id: String,
    /// Its pool.
    pub pool: String,
    /// Part that is filled, 0 to 1.
    pub filled: f64,
    /// Whether it broke.
    pub faulted: bool,
    /// Why it broke.
    pub reason: Option<Reason>,
    /// When it broke.
    pub faulted_at: Duration,
    /// Bytes that it takes on its pool.
    pub taken: u64,
}

impl Copy {
    /// Whether it holds everything.
    pub fn synced(&self) -> bool {
        self.filled >= 1.0 && !self.faulted
    }
}

/// How a rebuild stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RebuildState {
    /// It runs.
    Rebuilding,
    /// It was ended.
    Stopped,
    /// It failed.
    Failed,
    /// It is done.
    Completed,
}

/// One rebuild.
#[derive(Clone, Debug)]
pub struct Rebuild {
    /// Of which copy.
    pub copy: String,
    /// From which copy.
    pub source: String,
    /// How it stands.
    pub state: RebuildState,
    /// Whether only what was written meanwhile is copied.
    pub partial: bool,
    /// Part that was there at its start.
    pub from: f64,
    /// Part that is there.
    pub filled: f64,
    /// When it began.
    pub started: Duration,
    /// When it ended.
    pub ended: Option<Duration>,
}

/// A snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Its uuid.
    pub id: String,
    /// Pools that hold it: those of the copies that there were.
    pub pools: Vec<String>,
}

/// A volume. Tests look at it; they change it with the functions of [`State`], which keep its accounts.
#[derive(Clone, Debug)]
pub struct SimVolume {
    /// What it was made from: size, topology, group and so on.
    pub seed: VolumeSeed,
    /// Size in bytes.
    pub size: u64,
    /// Bytes that were written; the size, unless it is thin.
    pub written: u64,
    /// Copies that it should have.
    pub num_replicas: u8,
    /// The node of its target.
    pub target: Option<String>,
    /// Targets that it has had.
    pub targets: u64,
    /// Snapshots.
    pub snapshots: Vec<Snapshot>,
    /// Whether the engine is still making it.
    pub creating: bool,
    /// What is being done with it, such as `SetReplica`.
    pub operation: Option<String>,
    /// How fast it is rebuilt: 1 is normal, 0 is not at all.
    pub speed: f64,
    /// Its copies, oldest first.
    pub copies: Vec<Copy>,
    /// Rebuilds of its present target, oldest first.
    pub rebuilds: Vec<Rebuild>,
    /// Complete copies that must be left when one is removed.
    pub baseline: usize,
    /// The smallest number of complete copies that it ever had: what every test asks in the end.
    pub fewest_synced: usize,
    /// The largest number of copies that it ever had.
    pub most_copies: usize,
}

impl SimVolume {
    /// Its complete copies.
    pub fn synced(&self) -> impl Iterator<Item = &Copy> {
        self.copies.iter().filter(|copy| copy.synced())
    }

    pub(super) fn count(&mut self) {
        self.fewest_synced = self.fewest_synced.min(self.synced().count());
        self.most_copies = self.most_copies.max(self.copies.len());
    }
}

/// How a pool is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum PoolStatus {
    /// It works.
    #[default]
    Online,
    /// It had errors (2.11 and later; `Degraded` before).
    Suspected,
    /// It works somehow.
    Degraded,
    /// It doesn't work.
    Faulted,
    /// Nothing is known of it.
    Unknown,
}

/// What a pool's cordon keeps away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolCordon {
    /// New replicas.
    pub replicas: bool,
    /// New snapshots.
    pub snapshots: bool,
    /// Volumes made from snapshots.
    pub restores: bool,
    /// Its import after a restart.
    pub import: bool,
}

impl PoolCordon {
    /// Replicas and nothing else.
    pub const REPLICAS: Self = Self {
        replicas: true,
        snapshots: false,
        restores: false,
        import: false,
    };

    /// Whether it keeps anything away.
    pub fn any(self) -> bool {
        self.replicas || self.snapshots || self.restores || self.import
    }
}

/// A pool.
#[derive(Clone, Debug)]
pub struct SimPool {
    /// Its node.
    pub node: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Capacity in bytes.
    pub capacity: u64,
    /// Bytes used by others than the volumes here.
    pub used: u64,
    /// How it is, as long as its node is there.
    pub status: PoolStatus,
    /// What is kept away from it.
    pub cordon: PoolCordon,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// Bytes that copies take.
    pub taken: u64,
    /// Bytes that copies may take.
    pub committed: u64,
    /// Copies on it.
    pub copies: usize,
}

impl SimPool {
    /// Bytes that are free.
    pub fn free(&self) -> u64 {
        self.capacity.saturating_sub(self.used + self.taken)
    }
}

/// How far a node is drained: its targets go, its copies stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drain {
    /// It is being done.
    Draining,
    /// It is done.
    Drained,
}

/// A node.
#[derive(Clone, Debug, Default)]
pub struct SimNode {
    /// Labels of its cordons.
    pub cordons: BTreeSet<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Labels of its drains.
    pub drains: BTreeSet<String>,
    /// How far it is drained.
    pub drain: Option<Drain>,
    /// Whether it lacks the fix without which a volume with snapshots can't be rebuilt.
    pub lacks_ancestry_fix: bool,
    /// What it says that it runs, where that is not what the release is; an empty text says nothing.
    pub version: Option<String>,
}

impl SimNode {
    /// Whether new replicas and targets are kept away.
    pub fn cordoned(&self) -> bool {
        !self.cordons.is_empty() || !self.drains.is_empty()
    }
}

/// Everything. It is a value: a copy goes its own way, and the same calls give the same answers.
#[derive(Clone, Debug)]
pub struct State {
    /// Nodes by name.
    pub nodes: BTreeMap<String, SimNode>,
    /// Nodes that do not answer, and since when.
    pub offline: BTreeMap<String, Duration>,
    /// Pools by name.
    pub pools: BTreeMap<String, SimPool>,
    /// Volumes by uuid.
    pub volumes: BTreeMap<String, SimVolume>,
    /// What goes wrong with calls.
    pub faults: Faults,
    /// Every read is so old, unless a fault says otherwise.
    pub(super) lag: Option<Stale>,
    /// How long each change takes on the server: half of it before and half of it after it is done.
    pub change_takes: Duration,
    /// While set, nothing is rebuilt.
    pub rebuilds_stall: bool,
    /// The evidence.
    pub judge: Judge,
    /// Changes of copies in words, in order.
    pub log: Vec<String>,
    pub(super) setup: Setup,
    pub(super) capabilities: Capabilities,
    pub(super) acting: Actor,
    pub(super) at: Duration,
    /// Volumes with something to do: only they are looked at as time goes by.
    pub(super) unsettled: BTreeSet<String>,
    pub(super) groups: BTreeMap<String, BTreeSet<String>>,
    pub(super) past: VecDeque<Past>,
    pub(super) remembers: bool,
    made: u64,
}

/// A size of a world file in bytes.
fn bytes(gib: u64, field: impl Fn() -> String) -> Result<u64, String> {
    match gib <= GIB_MAX {
        true => Ok(gib * GIB),
        false => Err(format!("{} is {gib}; write at most {GIB_MAX}", field())),
    }
}

impl State {
    /// Everything as a setup says.
    ///
    /// # Errors
    /// What does not fit together.
    pub fn new(mut setup: Setup) -> Result<Self, String> {
        let nodes = std::mem::take(&mut setup.nodes);
        let (pools, volumes) = (
            std::mem::take(&mut setup.pools),
            std::mem::take(&mut setup.volumes),
        );
        let mut state = Self {
            nodes: BTreeMap::new(),
            offline: BTreeMap::new(),
            pools: BTreeMap::new(),
            volumes: BTreeMap::new(),
            faults: Faults::default(),
            lag: None,
            change_takes: Duration::ZERO,
            rebuilds_stall: false,
            judge: Judge::default(),
            log: Vec::new(),
            capabilities: setup.profile.capabilities(),
            acting: Actor::Caller,
            at: Duration::ZERO,
            unsettled: BTreeSet::new(),
            groups: BTreeMap::new(),
            past: VecDeque::new(),
            remembers: false,
            made: 0,
            setup,
        };
        for node in nodes {
            let seeded = SimNode {
                labels: node.labels,
                lacks_ancestry_fix: node.lacks_ancestry_fix,
                version: node.version,
                ..SimNode::default()
            };
            state.nodes.insert(node.name, seeded);
        }
        for pool in pools {
            state.add_pool(pool)?;
        }
        for volume in volumes {
            state.add_volume(volume)?;
        }
        Ok(state)
    }

    /// Adds a pool.
    ///
    /// # Errors
    /// When its node isn't there, or it is too large.
    pub fn add_pool(&mut self, seed: PoolSeed) -> Result<(), String> {
        if !self.nodes.contains_key(&seed.node) {
            return Err(format!("pool {}: there is no node {}", seed.name, seed.node));
        }
        let pool = SimPool {
            node: seed.node,
            labels: seed.labels,
            capacity: bytes(seed.capacity_gib, || format!("pool {}: capacityGib", seed.name))?,
            used: bytes(seed.used_gib, || format!("pool {}: usedGib", seed.name))?,
            status: PoolStatus::Online,
            cordon: PoolCordon::default(),
            encrypted: seed.encrypted,
            taken: 0,
            committed: 0,
            copies: 0,
        };
        self.pools.insert(seed.name, pool);
        Ok(())
    }

    /// Adds a volume with complete copies.
    ///
    /// # Errors
    /// When a pool or its target's node isn't there, or it is too large.
    pub fn add_volume(&mut self, seed: VolumeSeed) -> Result<(), String> {
        if let Some(missing) = seed.pools.iter().find(|pool| !self.pools.contains_key(*pool)) {
            return Err(format!("volume {}: there is no pool {missing}", seed.uuid));
        }
        if let Some(node) = seed
            .target
            .as_ref()
            .filter(|node| !self.nodes.contains_key(*node))
        {
            return Err(format!("volume {}: target: there is no node {node}", seed.uuid));
        }
        let size = bytes(seed.size_gib, || format!("volume {}: sizeGib", seed.uuid))?;
        let written = match seed.written_gib {
            Some(gib) if seed.thin => bytes(gib, || format!("volume {}: writtenGib", seed.uuid))?.min(size),
            _ => size,
        };
        let uuid = seed.uuid.clone();
        if let Some(group) = &seed.affinity_group {
            self.groups.entry(group.clone()).or_default().insert(uuid.clone());
        }
        let snapshots = (0..seed.snapshots)
            .map(|_| Snapshot {
                id: self.uuid(),
                pools: seed.pools.clone(),
            })
            .collect();
        let volume = SimVolume {
            size,
            written,
            num_replicas: u8::try_from(seed.pools.len()).unwrap_or(u8::MAX),
            target: seed.target.clone(),
            targets: u64::from(seed.target.is_some()),
            snapshots,
            creating: false,
            operation: None,
            speed: 1.0,
            copies: Vec::new(),
            rebuilds: Vec::new(),
            baseline: seed.pools.len(),
            fewest_synced: seed.pools.len(),
            most_copies: seed.pools.len(),
            seed,
        };
        let pools = volume.seed.pools.clone();
        self.volumes.insert(uuid.clone(), volume);
        for pool in pools {
            self.put_copy(&uuid, pool, 1.0);
        }
        Ok(())
    }

    /// A uuid that differs for each copy and is the same in each run.
    pub(super) fn uuid(&mut self) -> String {
        self.made += 1;
        format!("0c0ffee0-0000-4000-8000-{:012x}", self.made)
    }

    /// What the release does.
    pub fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    /// The time since the start.
    pub fn now(&self) -> Duration {
        self.at
    }

    /// Whether it is the one under test who acts.
    pub(super) fn is_under_test(&self) -> bool {
        self.acting == Actor::Caller
    }

    /// Bytes used on a pool.
    pub fn used(&self, name: &str) -> u64 {
        self.pools.get(name).map_or(0, |pool| pool.used + pool.taken)
    }

    /// The complete copies that must be left whenever one is removed: a test's word, for the judge.
    pub fn set_baseline(&mut self, uuid: &str, copies: usize) {
        if let Some(volume) = self.volumes.get_mut(uuid) {
            volume.baseline = copies;
        }
    }
}
