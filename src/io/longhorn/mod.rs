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
use std::time::Duration;

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

/// How long a copy may take to get its place: calls of the journal end within 30 seconds, and Longhorn's controllers need about two.
const PLACED_SECS: u32 = 20;

/// The pause between two looks at whether it has.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// So many looks fit in.
const PLACED_LOOKS: u32 = PLACED_SECS * 4;

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
        let disks = Disks::of(&nodes);
        let record = |volume: RawVolume| {
            let name = volume.metadata.name.clone();
            let whole = Whole {
                volume,
                replicas: replicas_of.remove(&name).unwrap_or_default(),
                engines: engines_of.remove(&name).unwrap_or_default(),
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

    /// Asks for one copy more or one less. Of the copies the marked one goes; without a mark the one that is not complete.
    ///
    /// # Errors
    /// Refused when the volume would not keep its complete copies, or when it cannot be told which copy is to go.
    pub async fn set_replica_count(&self, volume: &str, count: u8) -> Result<(), LonghornError> {
        for _ in 0..TRIES_MAX {
            match self.try_count(volume, i64::from(count)).await {
                Err(Wrote::Conflict) => {}
                Err(Wrote::Failed(error)) => return Err(error),
                Ok(()) => return Ok(()),
            }
        }
        Err(busy())
    }

    async fn try_count(&self, volume: &str, count: i64) -> Result<(), Wrote> {
        let whole = self.there(volume).await?;
        let (set, have) = (whole.volume.spec.number_of_replicas, whole.count());
        if count == have {
            return Err(Wrote::Failed(LonghornError::CountAchieved));
        }
        if count == have.saturating_add(1) && set == have {
            return self.raise(&whole, count).await;
        }
        if count.saturating_add(1) != have {
            let said = format!("the volume has {have} copies, and a count changes by one");
            return Err(Wrote::Failed(LonghornError::Refused(said)));
        }
        if i64::try_from(whole.staying().count()).unwrap_or(i64::MAX) <= count {
            return self.lower_before_placed(&whole, count).await;
        }
        let victim = victim(&whole, count)?.metadata.clone();
        if victim.annotations.get(LOWERED) != Some(&count.to_string()) {
            let change = json!({"metadata": {
                "resourceVersion": victim.resource_version,
                "annotations": {LOWERED: count.to_string()},
            }});
            self.write(&REPLICAS, &victim, &change).await?;
        }
        if set != count {
            self.put_count(&whole, count).await?;
        }
        // The state may have changed since: what is deleted is decided on what is there now.
        let now = self.there(volume).await?;
        let still = victim_now(&now, &victim.name, count);
        let Ok(still) = still else {
            self.raise_again(&now).await?;
            return still.map(drop).map_err(Wrote::Failed);
        };
        let (namespace, name) = (&still.metadata.namespace, &still.metadata.name);
        let (uid, version) = (&still.metadata.uid, &still.metadata.resource_version);
        let deleted = self.0.delete_foreign(&REPLICAS, namespace, name, uid, version);
        deleted.await.map_err(wrote)
    }

    /// Asks for one copy more and waits until it has its place: the cordons that steer it are held for this call only. What finds no
    /// place is taken back.
    async fn raise(&self, whole: &Whole, count: i64) -> Result<(), Wrote> {
        let volume = &whole.volume.metadata.name;
        let is_new = |one: &RawReplica| {
            let mut before = whole.replicas.iter();
            !one.spec.node.is_empty() && before.all(|old| old.metadata.name != one.metadata.name)
        };
        if let Err(error) = self.put_count(whole, count).await {
            let Wrote::Failed(LonghornError::Indeterminate(_)) = &error else {
                return Err(error);
            };
            let now = self.there(volume).await.map_err(unclear)?;
            if now.volume.spec.number_of_replicas != count {
                return Err(error);
            }
        }
        for _ in 0..PLACED_LOOKS {
            let now = self.there(volume).await.map_err(unclear)?;
            if now.staying().any(is_new) {
                return Ok(());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        let now = self.there(volume).await.map_err(unclear)?;
        if now.volume.spec.number_of_replicas == count && !now.staying().any(is_new) {
            self.put_count(&now, count - 1).await?;
            let now = self.there(volume).await.map_err(unclear)?;
            match now.staying().any(is_new) {
                true => self.put_count(&now, count).await?,
                false => {
                    let said = format!("Longhorn placed no copy within {PLACED_SECS} seconds");
                    return Err(Wrote::Failed(LonghornError::Refused(said)));
                }
            }
        }
        Ok(())
    }

    /// Lowers the count again before the copy was made that was asked for. If it was made meanwhile it is the one that goes.
    async fn lower_before_placed(&self, whole: &Whole, count: i64) -> Result<(), Wrote> {
        self.put_count(whole, count).await?;
        let now = self.there(&whole.volume.metadata.name).await?;
        if i64::try_from(now.staying().count()).unwrap_or(i64::MAX) <= count {
            return Ok(());
        }
        let made = victim(&now, count)?;
        let change = json!({"metadata": {"annotations": {LOWERED: count.to_string()}}});
        self.write(&REPLICAS, &made.metadata, &change).await?;
        Err(Wrote::Conflict)
    }

    async fn put_count(&self, whole: &Whole, count: i64) -> Result<(), Wrote> {
        let change = json!({
            "metadata": {"resourceVersion": whole.volume.metadata.resource_version},
            "spec": {"numberOfReplicas": count},
        });
        self.write(&VOLUMES, &whole.volume.metadata, &change).await
    }

    /// Sets a count back that was lowered while the copy that was to go stayed.
    async fn raise_again(&self, whole: &Whole) -> Result<(), Wrote> {
        match whole.count() == whole.volume.spec.number_of_replicas {
            true => Ok(()),
            false => self.put_count(whole, whole.count()).await,
        }
    }

    async fn write(&self, kind: &Foreign, of: &raw::Meta, change: &Value) -> Result<(), Wrote> {
        let written = self.0.patch_foreign(kind, &of.namespace, &of.name, change);
        written.await.map_err(wrote)
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
        let (found, replicas, engines) = tokio::try_join!(
            self.one::<RawVolume>(&VOLUMES, volume),
            self.all::<RawReplica>(&REPLICAS, &of_it),
            self.all::<RawEngine>(&ENGINES, &of_it),
        )?;
        Ok(found.map(|volume| Whole {
            volume,
            replicas,
            engines,
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

/// The copy that goes: the marked one, else the only one that is not complete.
fn victim(whole: &Whole, count: i64) -> Result<&RawReplica, LonghornError> {
    let is_marked = |one: &&RawReplica| one.metadata.annotations.contains_key(REMOVING);
    let incomplete = |one: &&RawReplica| !whole.is_complete(one);
    let mut marked = whole.staying().filter(is_marked);
    let found = match (marked.next(), marked.next()) {
        (Some(one), None) => Some(one),
        (Some(_), Some(_)) => None,
        (None, _) => {
            let mut incomplete = whole.staying().filter(incomplete);
            incomplete.next().filter(|_| incomplete.next().is_none())
        }
    };
    let said = "it cannot be told which copy is to go";
    let found = found.ok_or_else(|| LonghornError::Refused(said.to_owned()))?;
    victim_now(whole, &found.metadata.name, count)
}

/// A copy by its name, if the volume keeps its complete copies without it and nobody else takes copies away.
fn victim_now<'a>(whole: &'a Whole, name: &str, count: i64) -> Result<&'a RawReplica, LonghornError> {
    let refused = |said: &str| LonghornError::Refused(said.to_owned());
    let found = whole.staying().find(|one| one.metadata.name == name);
    let found = found.ok_or_else(|| refused("the copy that was to go is gone"))?;
    if whole.staying().any(|one| one.spec.eviction_requested) {
        return Err(refused(
            "a copy of the volume is being evicted, and Longhorn takes that one away",
        ));
    }
    let others = whole.staying().filter(|one| one.metadata.name != name);
    let complete = others.filter(|one| whole.is_complete(one)).count();
    match count > 0 && i64::try_from(complete).unwrap_or_default() >= count {
        true => Ok(found),
        false => Err(refused("the volume would not keep its complete copies")),
    }
}

/// After a write that was not clearly answered nothing is clear but what is read.
fn unclear(error: LonghornError) -> Wrote {
    Wrote::Failed(LonghornError::Indeterminate(error.to_string()))
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
