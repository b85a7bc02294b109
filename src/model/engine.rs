//! The storage engine's volumes, replicas, pools and nodes, as compact records of what decisions need.

use super::ids::{NodeName, PoolName, ReplicaId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// State of a volume, pool, replica or node: the engine's own words, with everything unfamiliar as `Unknown`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Health {
    /// Works fully.
    Online,
    /// Works with less than it should have.
    Degraded,
    /// Does not work.
    Faulted,
    /// Not reachable.
    Offline,
    /// Not known, which is never taken for a good sign.
    #[default]
    Unknown,
}

/// One copy of a volume.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Replica {
    /// Its uuid.
    pub id: ReplicaId,
    /// Where it is.
    pub node: NodeName,
    /// On which pool.
    pub pool: PoolName,
    /// The replica's own state. Online says nothing about its content: an empty replica is Online too.
    pub state: Health,
    /// Its state as a child of the volume's target; `None` while the volume has no target.
    pub child: Option<Health>,
    /// Whether the engine says that it holds all data; absent in engines before 2.8.
    pub healthy: Option<bool>,
    /// Rebuild progress in percent while it is being rebuilt.
    pub rebuild_progress: Option<u8>,
}

/// A volume with its copies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Volume {
    /// The volume's uuid; its PersistentVolume is `pvc-<uuid>`.
    pub uuid: String,
    /// Size in bytes.
    pub size: u64,
    /// How many copies it should have.
    pub num_replicas: u8,
    /// Whether the engine has finished creating it (`status: Created`).
    pub created: bool,
    /// Whether the engine is in the middle of an operation on it.
    pub busy: bool,
    /// The volume's state.
    pub state: Health,
    /// The node of its target when it is published.
    pub target_node: Option<NodeName>,
    /// The target's state.
    pub target_state: Option<Health>,
    /// Rebuilds that the target runs now.
    pub rebuilds: u32,
    /// Its copies, by replica uuid.
    pub replicas: Vec<Replica>,
    /// Whether the engine repairs it by itself.
    pub self_heal: bool,
    /// Thin provisioned.
    pub thin: bool,
    /// Snapshots that it has. They stay on their pools when replicas move.
    pub snapshots: u32,
    /// Whether it was restored or cloned from a snapshot.
    pub cloned: bool,
    /// Its affinity group, if any.
    pub affinity_group: Option<String>,
    /// Whether its replicas are encrypted.
    pub encrypted: bool,
    /// Pool labels that its topology demands; an empty value means "any value of this key".
    pub pool_inclusion: BTreeMap<String, String>,
    /// Node labels that its topology demands.
    pub node_inclusion: BTreeMap<String, String>,
    /// Nodes that it may use; empty means all.
    pub allowed_nodes: Vec<NodeName>,
    /// What the engine itself does with it that stands in a move's way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub obstacle: Option<Obstacle>,
}

impl Volume {
    /// Whether a copy lies on the node of the volume's target, where it serves reads without the network.
    pub fn is_beside_target(&self, replica: &Replica) -> bool {
        self.target_node.as_ref() == Some(&replica.node)
    }
}

/// What an engine does with a volume by itself, so that nobody can say which copy it would take away or whether it fills one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Obstacle {
    /// It balances copies between nodes.
    AutoBalance,
    /// It keeps a copy beside the volume's user.
    DataLocality,
    /// It fills no copies at present.
    RebuildsOff,
    /// It is driving a copy off its disk.
    Eviction,
    /// Its data is in shards, not in whole copies.
    Sharded,
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AutoBalance => {
                "Longhorn balances its copies by itself and could take away another one; set its replicaAutoBalance to disabled"
            }
            Self::DataLocality => {
                "Longhorn keeps a copy beside its user and could take away another one; set its dataLocality to disabled"
            }
            Self::RebuildsOff => {
                "Longhorn's setting concurrent-replica-rebuild-per-node-limit is 0, so no copy is filled"
            }
            Self::Eviction => "Longhorn is evicting a copy of it",
            Self::Sharded => "its data is in shards, not in whole copies",
        })
    }
}

/// A disk pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pool {
    /// Its name.
    pub name: PoolName,
    /// Its node.
    pub node: NodeName,
    /// Labels as the scheduler sees them (not those of the DiskPool's metadata).
    pub labels: BTreeMap<String, String>,
    /// Its state.
    pub state: Health,
    /// Capacity in bytes.
    pub capacity: u64,
    /// Bytes used.
    pub used: u64,
    /// Bytes promised to thin volumes, if the engine says.
    pub committed: Option<u64>,
    /// Whether new replicas are kept away from it.
    pub cordoned: bool,
    /// Whether it is encrypted.
    pub encrypted: bool,
}

impl Pool {
    /// Bytes that are free.
    pub fn free(&self) -> u64 {
        self.capacity.saturating_sub(self.used)
    }
}

/// A storage node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Its name.
    pub name: NodeName,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its state.
    pub state: Health,
    /// Labels of the cordons on it, ours and others'.
    pub cordons: Vec<String>,
    /// Whether it is being drained.
    pub draining: bool,
    /// The io-engine version that it reports.
    pub version: Option<String>,
}

/// How a rebuild stands or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RebuildState {
    /// It goes on.
    Running,
    /// All was copied.
    Completed,
    /// It ended without having copied all.
    Failed,
}

/// One rebuild of a copy of a volume, as its target remembers it; a target that was moved has forgotten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rebuild {
    /// The address of the copy that was filled; the replica's uuid stands in it.
    pub child: String,
    /// How it stands or ended.
    pub state: RebuildState,
    /// Bytes to be gone through.
    pub total: u64,
    /// Bytes that were gone through.
    pub recovered: u64,
    /// When it began, RFC 3339; these sort as text.
    pub started: String,
}

/// Whether the engine can do something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Ability {
    /// It can.
    Has,
    /// It cannot.
    Lacks,
    /// Nobody knows before it is tried.
    #[default]
    Unknown,
}

/// What differs between releases of the engine, as far as moving a copy depends on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Abilities {
    /// Pools can be cordoned (Mayastor 2.10, control-plane pull requests 1002, 1004 and 1031).
    pub pool_cordons: Ability,
    /// A copy on a cordoned node is removed before others (control-plane pull request 968, about 2.9).
    pub removal_heeds_cordons: Ability,
}

impl Abilities {
    /// What Longhorn can: disks take no copies while `allowScheduling` is false, and the copy that goes is named
    /// (`io::longhorn` has the sources).
    pub const LONGHORN: Self = Self {
        pool_cordons: Ability::Has,
        removal_heeds_cordons: Ability::Has,
    };

    /// What a release can, by the oldest version that any node reports. Whether pools can be cordoned is found out by trying
    /// where no version tells it; whether a removal heeds cordons never is, for it could go wrong.
    pub fn of<'a>(nodes: impl Iterator<Item = &'a Node>) -> Self {
        let versions = nodes.filter_map(|node| release(node.version.as_deref()?));
        let Some(oldest) = versions.min() else {
            return Self::default();
        };
        let since = |first: (u32, u32)| match oldest >= first {
            true => Ability::Has,
            false => Ability::Lacks,
        };
        Self {
            pool_cordons: since((2, 10)),
            removal_heeds_cordons: since((2, 9)),
        }
    }
}

/// Major and minor number of `v2.10.1-rc.0` or the like.
fn release(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.trim_start_matches('v').split('.');
    let number = |part: Option<&str>| part?.parse().ok();
    Some((number(parts.next())?, number(parts.next())?))
}

/// How often the promises of thin volumes may exceed a pool's capacity, in percent: the default of Mayastor's agent
/// (`--pool-commitment`).
const POOL_COMMITMENT_PERCENT: u64 = 250;

/// The part of a thin volume that must be free when a copy is placed, in percent (`--volume-commitment`).
const VOLUME_COMMITMENT_PERCENT: u64 = 40;

/// Whether a copy has room beside a reserve where so much is free: a thick one needs its size, a thin one a part of it and a promise that
/// can be kept. `pool` gives the pool's capacity and what it has promised to thin volumes; it is asked for thin ones only.
pub fn has_room(size: u64, thin: bool, reserve: u64, free: u64, pool: impl FnOnce() -> (u64, u64)) -> bool {
    if !thin {
        return free >= size.saturating_add(reserve);
    }
    let (capacity, promised) = pool();
    let part = |bytes: u64, percent: u64| u128::from(bytes) * u128::from(percent) / 100;
    u128::from(promised.saturating_add(size)) <= part(capacity, POOL_COMMITMENT_PERCENT)
        && u128::from(free) >= part(size, VOLUME_COMMITMENT_PERCENT) + u128::from(reserve)
}

impl Pool {
    /// Whether a copy has room here beside a reserve.
    pub fn has_room(&self, size: u64, thin: bool, reserve: u64) -> bool {
        let promised = self.committed.unwrap_or(self.used);
        has_room(size, thin, reserve, self.free(), || (self.capacity, promised))
    }
}

/// All of the engine at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EngineState {
    /// Volumes by uuid.
    pub volumes: BTreeMap<String, Volume>,
    /// Pools by name.
    pub pools: BTreeMap<PoolName, Pool>,
    /// Nodes by name.
    pub nodes: BTreeMap<NodeName, Node>,
}

/// What stands before the name of a volume of Longhorn where a uuid of Mayastor could stand: no uuid has a slash.
const LONGHORN: &str = "longhorn/";

/// The label by which nodes and volumes of two engines in one cluster are told apart.
const ENGINE: &str = "storage.billyronks.io/engine";

/// How a volume of Longhorn is known here.
pub fn longhorn_id(name: &str) -> String {
    format!("{LONGHORN}{name}")
}

/// The name by which Longhorn knows a volume, if it is one of its.
pub fn longhorn_name(id: &str) -> Option<&str> {
    id.strip_prefix(LONGHORN)
}

/// What the engine of a volume is called.
pub fn engine_of(id: &str) -> &'static str {
    match longhorn_name(id) {
        Some(_) => "Longhorn",
        None => "Mayastor",
    }
}

impl EngineState {
    /// The same as Longhorn's: its volumes under names that no other engine gives.
    #[must_use]
    pub fn as_longhorn(self) -> Self {
        let named = |(name, volume): (String, Volume)| (longhorn_id(&name), volume);
        Self {
            volumes: self.volumes.into_iter().map(named).collect(),
            ..self
        }
    }

    /// Mayastor's and Longhorn's of one cluster. Their nodes bear the same names and are different things, and no volume of one can have
    /// a copy on a pool of the other: each side's nodes carry a label that its volumes demand.
    #[must_use]
    pub fn beside(self, longhorn: Self) -> Self {
        let (mut all, mut other) = (self.fenced("mayastor"), longhorn.fenced("longhorn"));
        let own = |node: &NodeName| NodeName(format!("longhorn:{node}"));
        for pool in other.pools.values_mut() {
            pool.node = own(&pool.node);
        }
        for volume in other.volumes.values_mut() {
            for replica in &mut volume.replicas {
                replica.node = own(&replica.node);
            }
            volume.target_node = volume.target_node.as_ref().map(own);
        }
        for (name, mut node) in std::mem::take(&mut other.nodes) {
            node.name = own(&name);
            all.nodes.insert(node.name.clone(), node);
        }
        all.pools.append(&mut other.pools);
        all.volumes.append(&mut other.volumes);
        all
    }

    fn fenced(mut self, engine: &str) -> Self {
        for node in self.nodes.values_mut() {
            node.labels.insert(ENGINE.to_owned(), engine.to_owned());
        }
        for volume in self.volumes.values_mut() {
            volume.node_inclusion.insert(ENGINE.to_owned(), engine.to_owned());
        }
        self
    }
}

/// Bytes of a GiB.
pub const GIB: u64 = 1 << 30;

/// Bytes as people read them.
pub fn gib(bytes: u64) -> String {
    const MIB: u64 = 1 << 20;
    match bytes {
        0 => "0".to_owned(),
        bytes if bytes.is_multiple_of(GIB) => format!("{} GiB", bytes / GIB),
        bytes if bytes > 10 * GIB => format!("{} GiB", bytes / GIB),
        bytes => format!("{} MiB", bytes / MIB),
    }
}
