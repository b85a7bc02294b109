//! Longhorn, by its custom resources: volumes with their copies, disks as pools, and the few writes that move a copy.
//!
//! What its controllers heed (longhorn-manager; read at 1.10 and its main branch of August 2026), and what follows for us:
//!
//! - **Placing.** The scheduler takes no disk with `allowScheduling: false` (`scheduler/replica_scheduler.go`, `FindDiskCandidates`), so
//!   that is the cordon of a pool. As with Mayastor's it says nobody's name: whose it is stands in the journal.
//! - **Removing.** After `numberOfReplicas` was lowered, nothing goes by itself while replica auto-balance and data locality are off
//!   (`concepts.md` §2.3 of the manual; `cleanupExtraHealthyReplicas` in `controller/volume_controller.go`: copies that are evicted
//!   first, then by locality, then by balance). A copy's `evictionRequested` is no lever: the node controller sets it to what node and
//!   disk ask for (`syncReplicaEvictionRequested`), and evicting a disk would drive every volume off it. What Longhorn's own API does
//!   for a person is to delete the Replica (`VolumeManager.DeleteReplica`; the webhook refuses the last healthy one), and so do we:
//!   the victim is marked with an annotation (the journal's node cordon, which here is about one copy), the count is lowered, and the
//!   marked copy is deleted by uid and version. In the other order Longhorn would fill another copy at once.
//! - **Two writes, one act.** The mark carries the count that was asked for. While the marked copy is there, a reading shows the count as
//!   it was, so a crash between the two writes is finished by asking again, and taking the mark back raises the count again.
//! - **Asking for one more.** Longhorn agrees at once and places the copy a moment later; the cordons may go only then, so the call waits.
//!   A process that dies in that moment may leave the copy astray; it is taken back like any other.
//! - **Choosing for itself.** Volumes with auto-balance or data locality are not moved ([`Obstacle`](crate::model::engine::Obstacle)):
//!   between the two writes Longhorn could take another copy.
//! - **Detached volumes.** No copy is added to them (`replenishReplicas`).

use crate::io::cluster::{Cluster, ClusterError, Foreign, Which};
use crate::model::engine::{EngineState, Node, Pool, Volume};
use crate::model::failure::{Class, Failure};
use crate::model::ids::{NodeName, PoolName};
use raw::{RawEngine, RawNode, RawReplica, RawVolume, Settings};
use records::{Disks, Whole};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// How many copies there are to be, and which one goes.
mod count;

/// Objects as they are read.
mod raw;

/// Objects as records.
mod records;

pub use raw::{ENGINES, NODES, REPLICAS, SETTINGS, VOLUMES};

/// The annotation of the copy that is to go, with the label of the migration that means it.
pub const REMOVING: &str = "storage.billyronks.io/removing";

/// The annotation of that copy once the count is being lowered, with the new count.
pub const LOWERED: &str = "storage.billyronks.io/lowered-to";

/// The label of a volume's replicas and engines (`types.GetVolumeLabels`).
const OF_VOLUME: &str = "longhornvolume";

/// How often a write is tried that meets somebody else's: Longhorn writes its objects' statuses all the time, and a write of ours takes
/// less time than the second that lies between two of them.
const TRIES_MAX: usize = 4;

/// Why Longhorn did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LonghornError {
    /// Its kinds are not there.
    #[error("the cluster has no kinds of longhorn.io/v1beta2; is Longhorn installed?")]
    Absent,
    /// It could not be asked.
    #[error("Longhorn's objects could not be read: {0}")]
    Unreachable(String),
    /// It may have been done or not.
    #[error("no clear answer: {0}")]
    Indeterminate(String),
    /// It was refused and not done.
    #[error("{0}")]
    Refused(String),
    /// The disk takes no copies already.
    #[error("disk {0} takes no new copies already")]
    AlreadyCordoned(String),
    /// That is the number of copies already.
    #[error("the volume has that number of copies already")]
    CountAchieved,
    /// What it says cannot be read.
    #[error("an object of Longhorn cannot be read: {0}")]
    Unreadable(String),
}

impl Failure for LonghornError {
    fn class(&self) -> Class {
        match self {
            Self::Absent => Class::Waiting,
            _ => Class::Retry,
        }
    }

    fn reason(&self) -> &'static str {
        "LonghornUnavailable"
    }
}

/// What a write came to.
enum Wrote {
    /// Somebody else wrote first.
    Conflict,
    /// It failed otherwise.
    Failed(LonghornError),
}

impl From<LonghornError> for Wrote {
    fn from(error: LonghornError) -> Self {
        Self::Failed(error)
    }
}

/// One volume, all disks and all nodes.
#[derive(Clone, Debug, PartialEq)]
pub struct Look {
    /// The volume, unless it does not exist.
    pub volume: Option<Volume>,
    /// Disks, by `<node>/<disk>`.
    pub pools: BTreeMap<PoolName, Pool>,
    /// Nodes.
    pub nodes: BTreeMap<NodeName, Node>,
}

/// Longhorn of one cluster.
#[derive(Clone)]
pub struct Longhorn(Cluster);

impl Longhorn {
    /// Longhorn of a cluster; nothing is asked yet.
    pub fn of(cluster: &Cluster) -> Self {
        Self(cluster.clone())
    }

    /// Reads all volumes, disks and nodes.
    ///
    /// # Errors
    /// [`LonghornError::Absent`] when it is not installed.
    pub async fn state(&self) -> Result<EngineState, LonghornError> {
        let all = Which::default();
        let (volumes, replicas, engines, (nodes, settings)) = tokio::try_join!(
            self.all::<RawVolume>(&VOLUMES, &all),
            self.all::<RawReplica>(&REPLICAS, &all),
            self.all::<RawEngine>(&ENGINES, &all),
            self.ground(),
        )?;
        let mut replicas_of: BTreeMap<String, Vec<RawReplica>> = BTreeMap::new();
        for replica in replicas {
            let of = replica.spec.volume_name.clone();
            replicas_of.entry(of).or_default().push(replica);
        }
        let mut engines_of: BTreeMap<String, Vec<RawEngine>> = BTreeMap::new();
        for engine in engines {
            let of = engine.spec.volume_name.clone();
            engines_of.entry(of).or_default().push(engine);
        }
        let (disks, away) = (Disks::of(&nodes), records::away(&nodes));
        let record = |volume: RawVolume| {
            let name = volume.metadata.name.clone();
            let whole = Whole {
                volume,
                replicas: replicas_of.remove(&name).unwrap_or_default(),
                engines: engines_of.remove(&name).unwrap_or_default(),
                away: away.clone(),
            };
            (name, whole.record(&disks, &settings))
        };
        let volumes = volumes.into_iter().map(record).collect();
        let (pools, nodes) = ground_records(&nodes, &settings);
        Ok(EngineState {
            volumes,
            pools,
            nodes,
        })
    }

    /// Reads one volume, all disks and all nodes. A node carries the label of a mark on the volume's copy there, as if it were cordoned.
    ///
    /// # Errors
    /// Any [`LonghornError`].
    pub async fn look(&self, volume: &str) -> Result<Look, LonghornError> {
        let (whole, (raw_nodes, settings)) = tokio::try_join!(self.whole(volume), self.ground())?;
        let (pools, mut nodes) = ground_records(&raw_nodes, &settings);
        let disks = Disks::of(&raw_nodes);
        for (name, label) in whole.iter().flat_map(Whole::marks) {
            if let Some(node) = nodes.get_mut(&NodeName(name.to_owned())) {
                node.cordons.push(label.to_owned());
            }
        }
        Ok(Look {
            volume: whole.map(|whole| whole.record(&disks, &settings)),
            pools,
            nodes,
        })
    }

    /// Keeps new copies off a disk.
    ///
    /// # Errors
    /// [`LonghornError::AlreadyCordoned`] when somebody does that already.
    pub async fn cordon_disk(&self, pool: &str) -> Result<(), LonghornError> {
        self.set_scheduling(pool, false).await
    }

    /// Lets new copies onto a disk again. A disk that is gone, or is being emptied by a person, is left alone.
    ///
    /// # Errors
    /// Any [`LonghornError`].
    pub async fn uncordon_disk(&self, pool: &str) -> Result<(), LonghornError> {
        self.set_scheduling(pool, true).await
    }

    async fn set_scheduling(&self, pool: &str, allow: bool) -> Result<(), LonghornError> {
        let Some((node, disk)) = pool.split_once('/') else {
            return Err(LonghornError::Refused(format!("{pool} is no disk of Longhorn")));
        };
        for _ in 0..TRIES_MAX {
            let found = self.one::<RawNode>(&NODES, node).await?;
            let Some(found) = found.filter(|found| found.spec.disks.contains_key(disk)) else {
                return match allow {
                    true => Ok(()),
                    false => Err(LonghornError::Refused(format!("disk {pool} is gone"))),
                };
            };
            let spec = &found.spec.disks[disk];
            match (allow, spec.allow_scheduling) {
                (true, true) => return Ok(()),
                (true, false) if spec.eviction_requested => return Ok(()),
                (false, false) => return Err(LonghornError::AlreadyCordoned(pool.to_owned())),
                _ => {}
            }
            let change = json!({
                "metadata": {"resourceVersion": found.metadata.resource_version},
                "spec": {"disks": {disk: {"allowScheduling": allow}}},
            });
            match self.write(&NODES, &found.metadata, &change).await {
                Err(Wrote::Conflict) => {}
                Err(Wrote::Failed(error)) => return Err(error),
                Ok(()) => return Ok(()),
            }
        }
        Err(busy())
    }

    /// Marks the volume's copy on a node as the one that is to go.
    ///
    /// # Errors
    /// Refused when it is not one copy.
    pub async fn mark(&self, volume: &str, node: &str, label: &str) -> Result<(), LonghornError> {
        let whole = self.there(volume).await?;
        let here: Vec<&RawReplica> = whole.staying().filter(|one| one.spec.node == node).collect();
        let [copy] = here.as_slice() else {
            let count = here.len();
            return Err(LonghornError::Refused(format!(
                "the volume has {count} copies on {node}, so the one that is to go cannot be told"
            )));
        };
        let change = json!({"metadata": {"annotations": {REMOVING: label}}});
        self.write(&REPLICAS, &copy.metadata, &change)
            .await
            .map_err(settled)
    }

    /// Takes a mark back, and the lowering of the count with it where that was not finished.
    ///
    /// # Errors
    /// Any [`LonghornError`].
    pub async fn unmark(&self, volume: &str, node: &str, label: &str) -> Result<(), LonghornError> {
        let Some(whole) = self.whole(volume).await? else {
            return Ok(());
        };
        let ours = |one: &&RawReplica| {
            one.spec.node == node
                && one
                    .metadata
                    .annotations
                    .get(REMOVING)
                    .is_some_and(|held| held == label)
        };
        let Some(marked) = whole.staying().find(ours) else {
            return Ok(());
        };
        self.raise_again(&whole).await.map_err(settled)?;
        let change = json!({"metadata": {"annotations": {REMOVING: null, LOWERED: null}}});
        self.write(&REPLICAS, &marked.metadata, &change)
            .await
            .map_err(settled)
    }

    async fn write(&self, kind: &Foreign, of: &raw::Meta, change: &Value) -> Result<(), Wrote> {
        let written = self.0.patch_foreign(kind, &of.namespace, &of.name, change);
        written.await.map(drop).map_err(wrote)
    }

    async fn there(&self, volume: &str) -> Result<Whole, LonghornError> {
        let found = self.whole(volume).await?;
        found.ok_or_else(|| LonghornError::Refused(format!("there is no volume {volume}")))
    }

    async fn whole(&self, volume: &str) -> Result<Option<Whole>, LonghornError> {
        let of_it = Which {
            labels: Some(format!("{OF_VOLUME}={volume}")),
            fields: None,
        };
        let all = Which::default();
        let (found, replicas, engines, nodes) = tokio::try_join!(
            self.one::<RawVolume>(&VOLUMES, volume),
            self.all::<RawReplica>(&REPLICAS, &of_it),
            self.all::<RawEngine>(&ENGINES, &of_it),
            self.all::<RawNode>(&NODES, &all),
        )?;
        Ok(found.map(|volume| Whole {
            volume,
            replicas,
            engines,
            away: records::away(&nodes),
        }))
    }

    /// Nodes and settings.
    async fn ground(&self) -> Result<(Vec<RawNode>, Settings), LonghornError> {
        let all = Which::default();
        let (nodes, settings) =
            tokio::try_join!(self.all::<RawNode>(&NODES, &all), self.list(&SETTINGS, &all))?;
        Ok((nodes, Settings::read(&settings)))
    }

    async fn one<T: DeserializeOwned>(&self, kind: &Foreign, name: &str) -> Result<Option<T>, LonghornError> {
        let named = Which {
            labels: None,
            fields: Some(format!("metadata.name={name}")),
        };
        let mut found = self.all::<T>(kind, &named).await?;
        match found.len() {
            0 | 1 => Ok(found.pop()),
            _ => Err(LonghornError::Refused(format!(
                "{name} is in several namespaces, so it cannot be told which Longhorn is meant"
            ))),
        }
    }

    async fn all<T: DeserializeOwned>(&self, kind: &Foreign, which: &Which) -> Result<Vec<T>, LonghornError> {
        let found = self.list(kind, which).await?;
        let read = |value| {
            serde_json::from_value(value)
                .map_err(|error| LonghornError::Unreadable(format!("{}: {error}", kind.plural)))
        };
        found.into_iter().map(read).collect()
    }

    async fn list(&self, kind: &Foreign, which: &Which) -> Result<Vec<Value>, LonghornError> {
        let found = self.0.list_foreign(kind, which).await;
        found
            .map_err(|error| LonghornError::Unreachable(error.to_string()))?
            .ok_or(LonghornError::Absent)
    }
}

fn ground_records(
    raw: &[RawNode],
    settings: &Settings,
) -> (BTreeMap<PoolName, Pool>, BTreeMap<NodeName, Node>) {
    let pools = raw.iter().flat_map(|node| records::pools(node, settings));
    let nodes = raw.iter().map(records::node);
    (
        pools.map(|pool| (pool.name.clone(), pool)).collect(),
        nodes.map(|node| (node.name.clone(), node)).collect(),
    )
}

fn busy() -> LonghornError {
    LonghornError::Refused("Longhorn wrote the object each time that we were about to".to_owned())
}

fn wrote(error: ClusterError) -> Wrote {
    let said = error.to_string();
    match error {
        ClusterError::Conflict { .. } => Wrote::Conflict,
        // The API server stands between us and the store: what it did before the connection broke is not known.
        ClusterError::Unreachable { .. } => Wrote::Failed(LonghornError::Indeterminate(said)),
        ClusterError::Api { code, .. } if code >= 500 || code == 408 || code == 429 => {
            Wrote::Failed(LonghornError::Indeterminate(said))
        }
        _ => Wrote::Failed(LonghornError::Refused(said)),
    }
}

fn settled(wrote: Wrote) -> LonghornError {
    match wrote {
        Wrote::Conflict => busy(),
        Wrote::Failed(error) => error,
    }
}
