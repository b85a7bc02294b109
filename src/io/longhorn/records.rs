//! Longhorn's objects → the engine's records. Pure.

use super::raw::{DiskSpec, DiskStatus, RawEngine, RawNode, RawReplica, RawVolume, Settings, holds};
use super::{LOWERED, REMOVING};
use crate::model::engine::{Health, Node, Obstacle, Pool, Replica, Volume};
use crate::model::ids::{NodeName, PoolName, ReplicaId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The pool label that says for which data engine a disk is: `filesystem` for v1, `block` for v2. The scheduler takes no other
/// (`IsDiskEligibleForVolume`).
const DISK_TYPE: &str = "longhorn.io/disk-type";

/// The label of disks and nodes without tags: volumes without selectors take no others when `allow-empty-disk-selector-volume` or
/// `allow-empty-node-selector-volume` is off (`IsSelectorsInTags`).
const UNTAGGED: &str = "longhorn.io/untagged";

/// What stands in for the label of a cordon that is a node's `allowScheduling: false`.
const NOT_SCHEDULABLE: &str = "allowScheduling=false";

/// One volume with all that belongs to it.
#[derive(Clone, Debug)]
pub(super) struct Whole {
    pub(super) volume: RawVolume,
    pub(super) replicas: Vec<RawReplica>,
    pub(super) engines: Vec<RawEngine>,
    /// Nodes that are not ready: an engine may still call a copy there readable that it has not touched since.
    pub(super) away: Arc<BTreeSet<String>>,
}

impl Whole {
    /// The engine that serves it now, when there is just one.
    fn engine(&self) -> Option<&RawEngine> {
        match self.engines.as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }

    fn is_attached(&self) -> bool {
        self.volume.status.state == "attached" && !self.volume.status.current_node.is_empty()
    }

    /// Copies that nobody has begun to remove.
    pub(super) fn staying(&self) -> impl Iterator<Item = &RawReplica> {
        let stays = |one: &&RawReplica| one.metadata.deletion_timestamp.is_none();
        self.replicas.iter().filter(stays)
    }

    /// Whether a copy is complete: the engine reads and writes it.
    pub(super) fn is_complete(&self, replica: &RawReplica) -> bool {
        let mode = self
            .engine()
            .and_then(|engine| engine.status.replica_mode_map.get(&replica.metadata.name));
        self.is_attached()
            && mode.is_some_and(|mode| mode == "RW")
            && !replica.spec.healthy_at.is_empty()
            && replica.spec.failed_at.is_empty()
            && !self.away.contains(&replica.spec.node)
            && replica.metadata.deletion_timestamp.is_none()
    }

    /// How many copies it should have. Taking a copy away is two writes here, the count's and the deletion; until both are done the
    /// count is still what it was before.
    pub(super) fn count(&self) -> i64 {
        let count = self.volume.spec.number_of_replicas;
        let unfinished = self.staying().any(|one| {
            let lowered = one.metadata.annotations.get(LOWERED);
            lowered.and_then(|text| text.parse::<i64>().ok()) == Some(count)
        });
        let staying = i64::try_from(self.staying().count()).unwrap_or(i64::MAX);
        match unfinished && staying == count.saturating_add(1) {
            true => staying,
            false => count,
        }
    }

    /// Labels of our marks by the node on which the marked copy lies.
    pub(super) fn marks(&self) -> impl Iterator<Item = (&str, &str)> {
        self.staying().filter_map(|one| {
            let label = one.metadata.annotations.get(REMOVING)?;
            Some((one.spec.node.as_str(), label.as_str()))
        })
    }

    pub(super) fn record(&self, disks: &Disks, settings: &Settings) -> Volume {
        let (spec, status) = (&self.volume.spec, &self.volume.status);
        let attached = self.is_attached();
        let state = robustness(&status.robustness);
        let running = self
            .engine()
            .is_some_and(|engine| engine.status.current_state == "running");
        // One that has no node yet is about to be placed.
        let placed = |one: &&RawReplica| !one.spec.node.is_empty();
        let replicas: Vec<Replica> = self
            .replicas
            .iter()
            .filter(placed)
            .map(|replica| self.replica(replica, disks))
            .collect();
        let rebuilds = replicas.iter().filter(|one| one.rebuild_progress.is_some());
        Volume {
            uuid: self.volume.metadata.name.clone(),
            size: spec.size.parse().unwrap_or_default(),
            num_replicas: u8::try_from(self.count()).unwrap_or_default(),
            created: status.state != "creating"
                && self.volume.metadata.deletion_timestamp.is_none()
                && !status.restore_required
                && !status.is_standby,
            busy: self.is_busy(),
            state,
            target_node: attached.then(|| NodeName(status.current_node.clone())),
            target_state: attached.then_some(if running { state } else { Health::Unknown }),
            rebuilds: u32::try_from(rebuilds.count()).unwrap_or(u32::MAX),
            replicas,
            self_heal: true,
            thin: false,
            // A new copy gets the whole chain: the engine syncs every snapshot to it (concepts.md §2.3.3).
            snapshots: 0,
            // A linked clone's copies lie beside those of its source and share their data.
            cloned: spec.clone_mode == "linked-clone",
            affinity_group: None,
            // Encryption is the volume's own (LUKS), whatever the disk.
            encrypted: false,
            pool_inclusion: self.pool_inclusion(settings),
            node_inclusion: inclusion(
                &spec.node_selector,
                settings.get("allow-empty-node-selector-volume", &spec.data_engine),
            ),
            allowed_nodes: Vec::new(),
            obstacle: self.obstacle(settings),
        }
    }

    fn pool_inclusion(&self, settings: &Settings) -> BTreeMap<String, String> {
        let spec = &self.volume.spec;
        let empty_allowed = settings.get("allow-empty-disk-selector-volume", &spec.data_engine);
        let mut all = inclusion(&spec.disk_selector, empty_allowed);
        let kind = match spec.data_engine.as_str() {
            "v2" => "block",
            _ => "filesystem",
        };
        all.insert(DISK_TYPE.to_owned(), kind.to_owned());
        all
    }

    fn is_busy(&self) -> bool {
        let (spec, status) = (&self.volume.spec, &self.volume.status);
        let cloning = !matches!(status.clone_status.state.as_str(), "" | "completed" | "failed");
        matches!(status.state.as_str(), "attaching" | "detaching" | "deleting")
            || self.is_attached() && self.engine().is_none()
            || self.engine().is_some_and(|engine| engine.status.is_expanding)
            || !spec.migration_node.is_empty()
            || self.is_attached() && spec.image != status.current_image
            || status.expansion_required
            || !status.switchover_state.is_empty()
            || cloning
    }

    /// What makes Longhorn choose for itself which copy goes, or keeps it from filling one.
    pub(super) fn obstacle(&self, settings: &Settings) -> Option<Obstacle> {
        let spec = &self.volume.spec;
        let off = |word: &str| word.is_empty() || word == "disabled";
        let balance = match spec.replica_auto_balance.as_str() {
            "" | "ignored" => settings
                .get("replica-auto-balance", &spec.data_engine)
                .unwrap_or_default(),
            own => own.to_owned(),
        };
        let rebuilds = settings.number("concurrent-replica-rebuild-per-node-limit", &spec.data_engine, 5);
        if spec.data_layout.kind == "sharded" {
            Some(Obstacle::Sharded)
        } else if !off(&balance) {
            Some(Obstacle::AutoBalance)
        } else if !off(&spec.data_locality) {
            Some(Obstacle::DataLocality)
        } else if rebuilds == 0 {
            Some(Obstacle::RebuildsOff)
        } else if self.replicas.iter().any(|one| one.spec.eviction_requested) {
            Some(Obstacle::Eviction)
        } else {
            None
        }
    }

    fn replica(&self, raw: &RawReplica, disks: &Disks) -> Replica {
        let name = &raw.metadata.name;
        let engine = self.engine().filter(|_| self.is_attached());
        let mode = engine.and_then(|engine| engine.status.replica_mode_map.get(name));
        let failed = !raw.spec.failed_at.is_empty();
        let going = raw.metadata.deletion_timestamp.is_some();
        // A copy that the engine does not know yet is about to be filled (`getRebuildingReplicaCount`).
        let filling = engine.is_some() && !failed && !going && mode.is_none_or(|mode| mode == "WO");
        Replica {
            id: ReplicaId(name.clone()),
            node: NodeName(raw.spec.node.clone()),
            pool: disks.pool(&raw.spec.node, &raw.spec.disk),
            state: match raw.status.current_state.as_str() {
                _ if failed => Health::Faulted,
                _ if going || self.away.contains(&raw.spec.node) => Health::Offline,
                "running" => Health::Online,
                "stopped" | "stopping" | "" => Health::Offline,
                "error" => Health::Faulted,
                _ => Health::Unknown,
            },
            child: self.is_attached().then(|| match mode.map(String::as_str) {
                Some("RW") => Health::Online,
                Some("WO") => Health::Degraded,
                Some("ERR") => Health::Faulted,
                _ => Health::Unknown,
            }),
            healthy: Some(!raw.spec.healthy_at.is_empty() && !failed),
            rebuild_progress: filling.then(|| {
                let progress = engine.and_then(|engine| progress(engine, name));
                progress.unwrap_or_default()
            }),
        }
    }
}

/// Percent of a rebuild; the engine files it by the copy's address, with a scheme before it.
fn progress(engine: &RawEngine, replica: &str) -> Option<u8> {
    let address = engine.status.current_replica_address_map.get(replica)?;
    let mut all = engine.status.rebuild_status.iter();
    let (_, status) = all.find(|(of, _)| of.ends_with(address.as_str()))?;
    u8::try_from(status.as_ref()?.progress.clamp(0, 100)).ok()
}

/// Labels that a selector demands: tags are labels without a value.
fn inclusion(selector: &[String], empty_allowed: Option<String>) -> BTreeMap<String, String> {
    if selector.is_empty() && empty_allowed.as_deref() == Some("false") {
        return BTreeMap::from([(UNTAGGED.to_owned(), String::new())]);
    }
    tags(selector)
}

fn tags(tags: &[String]) -> BTreeMap<String, String> {
    tags.iter().map(|tag| (tag.clone(), String::new())).collect()
}

fn labels(of: &[String]) -> BTreeMap<String, String> {
    let mut labels = tags(of);
    if of.is_empty() {
        labels.insert(UNTAGGED.to_owned(), String::new());
    }
    labels
}

fn robustness(word: &str) -> Health {
    match word {
        "healthy" => Health::Online,
        "degraded" => Health::Degraded,
        "faulted" => Health::Faulted,
        _ => Health::Unknown,
    }
}

/// Names of the nodes that are not ready.
pub(super) fn away(nodes: &[RawNode]) -> Arc<BTreeSet<String>> {
    let away = nodes
        .iter()
        .filter(|node| !holds(&node.status.conditions, "Ready"));
    Arc::new(away.map(|node| node.metadata.name.clone()).collect())
}

/// Which disk has which uuid: replicas name their disk by uuid, people by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Disks(BTreeMap<(String, String), String>);

impl Disks {
    pub(super) fn of(nodes: &[RawNode]) -> Self {
        let of_node = |node: &RawNode| {
            let name = node.metadata.name.clone();
            let disks = node.status.disk_status.clone().into_iter();
            disks.map(move |(disk, status)| ((name.clone(), status.uuid), disk))
        };
        Self(nodes.iter().flat_map(of_node).collect())
    }

    fn pool(&self, node: &str, uuid: &str) -> PoolName {
        let disk = self.0.get(&(node.to_owned(), uuid.to_owned()));
        pool_name(node, disk.map_or(uuid, String::as_str))
    }
}

/// A disk's name as a pool.
pub(super) fn pool_name(node: &str, disk: &str) -> PoolName {
    PoolName(format!("{node}/{disk}"))
}

pub(super) fn node(raw: &RawNode) -> Node {
    let schedulable = raw.spec.allow_scheduling && holds(&raw.status.conditions, "Schedulable");
    Node {
        name: NodeName(raw.metadata.name.clone()),
        labels: labels(&raw.spec.tags),
        state: match holds(&raw.status.conditions, "Ready") {
            true => Health::Online,
            false => Health::Offline,
        },
        cordons: match schedulable {
            true => Vec::new(),
            false => vec![NOT_SCHEDULABLE.to_owned()],
        },
        draining: raw.spec.eviction_requested,
        version: None,
    }
}

pub(super) fn pools<'a>(raw: &'a RawNode, settings: &'a Settings) -> impl Iterator<Item = Pool> + 'a {
    raw.spec.disks.iter().map(|(name, spec)| {
        let status = raw.status.disk_status.get(name);
        pool(&raw.metadata.name, name, spec, status, settings)
    })
}

fn pool(node: &str, name: &str, spec: &DiskSpec, status: Option<&DiskStatus>, settings: &Settings) -> Pool {
    let mut labels = labels(&spec.tags);
    labels.insert(DISK_TYPE.to_owned(), spec.disk_type.clone());
    let is = |kind| status.is_some_and(|status| holds(&status.conditions, kind));
    let capacity = status.map_or(0, |status| status.storage_maximum.max(0));
    let free = status.map_or(0, |status| free(spec, status, settings));
    Pool {
        name: pool_name(node, name),
        node: NodeName(node.to_owned()),
        labels,
        state: match (is("Ready"), is("Schedulable")) {
            // Longhorn lets nobody take back the cordon of a disk that is being emptied, so it counts as gone, not as cordoned.
            _ if spec.eviction_requested => Health::Offline,
            (true, true) => Health::Online,
            (true, false) => Health::Degraded,
            (false, _) => Health::Offline,
        },
        capacity: capacity.unsigned_abs(),
        used: capacity.saturating_sub(free).unsigned_abs(),
        committed: None,
        cordoned: !spec.allow_scheduling && !spec.eviction_requested,
        encrypted: false,
    }
}

/// Bytes that the scheduler would still give to copies (`IsSchedulableToDisk`): what is really free but for a reserve, and what has not
/// been promised yet. All else counts as used.
fn free(spec: &DiskSpec, status: &DiskStatus, settings: &Settings) -> i64 {
    let engine = if spec.disk_type == "block" { "v2" } else { "v1" };
    let part = |bytes: i64, percent: i64| {
        let part = i128::from(bytes.max(0)) * i128::from(percent) / 100;
        i64::try_from(part).unwrap_or(i64::MAX)
    };
    let minimal = settings.number("storage-minimal-available-percentage", engine, 25);
    let over = settings.number("storage-over-provisioning-percentage", engine, 100);
    let really = status
        .storage_available
        .saturating_sub(part(status.storage_maximum, minimal));
    let promised = part(status.storage_maximum.saturating_sub(spec.storage_reserved), over)
        .saturating_sub(status.storage_scheduled);
    really.min(promised).clamp(0, status.storage_maximum.max(0))
}
