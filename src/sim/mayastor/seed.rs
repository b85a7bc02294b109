//! What a simulator is started from: a world file's nodes, pools and volumes, the release, and how long things take.

use super::profile::Profile;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A storage node.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeSeed {
    /// Its name.
    pub name: String,
    /// Its labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Whether it lacks the fix without which a volume with snapshots can't be rebuilt (`NexusRebuildReplicaAncestry`).
    #[serde(default)]
    pub lacks_ancestry_fix: bool,
    /// What it says that it runs, true or not; an empty text says nothing. Absent, it says what the release is.
    #[serde(default)]
    pub version: Option<String>,
}

/// A disk pool.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PoolSeed {
    /// Its name.
    pub name: String,
    /// Its node.
    pub node: String,
    /// Its labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Capacity in GiB.
    pub capacity_gib: u64,
    /// Used before any volume is placed, in GiB.
    #[serde(default)]
    pub used_gib: u64,
    /// Whether it is encrypted.
    #[serde(default)]
    pub encrypted: bool,
}

/// A volume.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VolumeSeed {
    /// Its uuid.
    pub uuid: String,
    /// Size in GiB.
    pub size_gib: u64,
    /// Pools that hold a copy.
    pub pools: Vec<String>,
    /// The node of its target; absent for a volume that no pod uses.
    #[serde(default)]
    pub target: Option<String>,
    /// Pool labels that its topology demands; an empty value means any.
    #[serde(default)]
    pub pool_inclusion: BTreeMap<String, String>,
    /// Pool labels that its topology refuses; an empty value means any.
    #[serde(default)]
    pub pool_exclusion: BTreeMap<String, String>,
    /// Node labels that its topology demands; an empty value means any.
    #[serde(default)]
    pub node_inclusion: BTreeMap<String, String>,
    /// The only nodes that it may use; empty means all.
    #[serde(default)]
    pub allowed_nodes: BTreeSet<String>,
    /// Snapshots.
    #[serde(default)]
    pub snapshots: u32,
    /// Whether it is thin.
    #[serde(default)]
    pub thin: bool,
    /// GiB that were written, if it is thin; absent means all.
    #[serde(default)]
    pub written_gib: Option<u64>,
    /// Whether it is encrypted.
    #[serde(default)]
    pub encrypted: bool,
    /// Its affinity group.
    #[serde(default)]
    pub affinity_group: Option<String>,
    /// Whether Mayastor is told not to repair it.
    #[serde(default)]
    pub no_self_heal: bool,
    /// The snapshot that it was made from.
    #[serde(default)]
    pub cloned_from: Option<String>,
}

/// How long Mayastor takes for what it does by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Times {
    /// Between two looks of the hot spare reconciler.
    pub hot_spare: Duration,
    /// How long a faulted copy may come back before it is replaced. Within this time a log of what was written meanwhile
    /// makes its rebuild a partial one.
    pub grace: Duration,
    /// From the loss of a target's node to its next target.
    pub switch_over: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            hot_spare: Duration::from_secs(10),
            grace: Duration::from_secs(600),
            switch_over: Duration::from_secs(30),
        }
    }
}

/// Everything that a simulator is started from.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The release.
    pub profile: Profile,
    /// Storage nodes.
    pub nodes: Vec<NodeSeed>,
    /// Disk pools.
    pub pools: Vec<PoolSeed>,
    /// Volumes.
    pub volumes: Vec<VolumeSeed>,
    /// How long a full rebuild takes.
    pub rebuild: Duration,
    /// How long other things take.
    pub times: Times,
    /// Rebuilds at a time, over all volumes (`agents.core.rebuild.maxConcurrent`); `None` is unlimited, as the chart has it.
    pub max_rebuilds: Option<usize>,
    /// Whether volumes without a target are rebuilt, where the release can.
    pub offline_rebuild: bool,
    /// Which of two copies goes that Mayastor ranks alike: the real one promises nothing, so a test tries both.
    pub newest_goes_first: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            profile: Profile::default(),
            nodes: Vec::new(),
            pools: Vec::new(),
            volumes: Vec::new(),
            rebuild: Duration::from_secs(5),
            times: Times::default(),
            max_rebuilds: None,
            offline_rebuild: false,
            newest_goes_first: false,
        }
    }
}
