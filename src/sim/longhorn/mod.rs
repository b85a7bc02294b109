//! Longhorn's controllers, as far as copies of volumes go, over any Kubernetes API: they read and write the objects as the real ones do.
//!
//! Written from longhorn-manager: disks are chosen as in `scheduler/replica_scheduler.go`, copies are added, counted and taken away as in
//! `controller/volume_controller.go`, eviction follows nodes and disks as in `controller/node_controller.go`. Each [`step`](crate::sim::longhorn::LonghornSim::step) is
//! one round of all controllers. Left out: zones, backing images, and balancing that adds copies.

use crate::io::cluster::{Cluster, ClusterError, Foreign, Which};
use crate::io::longhorn::{ENGINES, NODES, REPLICAS, SETTINGS, VOLUMES};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Which disk a copy gets, and which copy goes.
mod rules;

/// One round of the controllers.
mod round;

/// Where Longhorn keeps its objects.
pub const NAMESPACE: &str = "longhorn-system";

/// A disk of a node.
#[derive(Clone, Debug)]
pub struct DiskSeed {
    /// Its name.
    pub name: String,
    /// Its tags.
    pub tags: Vec<String>,
    /// Its size in GiB.
    pub gib: i64,
}

/// A volume with complete copies.
#[derive(Clone, Debug)]
pub struct VolumeSeed {
    /// Its name.
    pub name: String,
    /// Its size in GiB.
    pub gib: i64,
    /// The disks of its copies, by node and name.
    pub disks: Vec<(String, String)>,
    /// The node to which it is attached.
    pub attached: Option<String>,
}

/// A copy as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// Its name.
    pub name: String,
    /// `<node>/<disk>`.
    pub pool: String,
    /// Whether the engine reads and writes it.
    pub complete: bool,
}

#[derive(Debug, Default)]
struct Memory {
    made: usize,
    broken: BTreeSet<String>,
    /// In which round each copy failed that has failed.
    failed: BTreeMap<String, usize>,
    rounds: usize,
    fewest: BTreeMap<String, usize>,
}

/// The controllers.
pub struct LonghornSim {
    cluster: Cluster,
    fill: i64,
    memory: Mutex<Memory>,
}

const GIB: i64 = 1 << 30;

impl LonghornSim {
    /// Controllers that fill so many percent of a copy in each round.
    pub fn new(cluster: &Cluster, fill: i64) -> Self {
        Self {
            cluster: cluster.clone(),
            fill,
            memory: Mutex::default(),
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a node that is ready, with its disks.
    ///
    /// # Errors
    /// Any [`ClusterError`].
    pub async fn add_node(&self, name: &str, disks: &[DiskSeed]) -> Result<(), ClusterError> {
        let (mut specs, mut statuses) = (json!({}), json!({}));
        for disk in disks {
            specs[&disk.name] = json!({"diskType": "filesystem", "path": format!("/var/{}", disk.name), "diskDriver": "",
                "allowScheduling": true, "evictionRequested": false, "storageReserved": 0, "tags": disk.tags});
            statuses[&disk.name] = json!({"diskUUID": uuid(name, &disk.name), "storageAvailable": disk.gib * GIB,
                "storageMaximum": disk.gib * GIB, "storageScheduled": 0, "scheduledReplica": {},
                "conditions": conditions(true)});
        }
        let spec = json!({"name": name, "disks": specs, "allowScheduling": true, "evictionRequested": false, "tags": []});
        let status =
            json!({"conditions": conditions(true), "diskStatus": statuses, "zone": "", "region": ""});
        self.create(&NODES, name, json!({}), spec).await?;
        self.status(&NODES, name, &status).await
    }

    /// Adds a volume with complete copies.
    ///
    /// # Errors
    /// Any [`ClusterError`].
    pub async fn add_volume(&self, seed: &VolumeSeed) -> Result<(), ClusterError> {
        let name = seed.name.as_str();
        let labels = json!({"longhornvolume": name});
        let node = seed.attached.as_deref().unwrap_or_default();
        let spec = json!({"size": (seed.gib * GIB).to_string(), "frontend": "blockdev", "nodeID": node, "image": "engine:1",
            "numberOfReplicas": seed.disks.len(), "dataEngine": "v1", "dataLocality": "disabled", "replicaAutoBalance": "ignored",
            "diskSelector": null, "nodeSelector": null, "migrationNodeID": ""});
        self.create(&VOLUMES, name, labels.clone(), spec).await?;
        let (state, robust) = match seed.attached {
            Some(_) => ("attached", "healthy"),
            None => ("detached", "unknown"),
        };
        let status =
            json!({"state": state, "robustness": robust, "currentNodeID": node, "currentImage": "engine:1"});
        self.status(&VOLUMES, name, &status).await?;
        let (mut modes, mut addresses) = (json!({}), json!({}));
        for (number, (node, disk)) in seed.disks.iter().enumerate() {
            let replica = format!("{name}-r-old{}", number + 1);
            self.add_replica(
                name,
                &replica,
                node,
                &uuid(node, disk),
                seed.attached.is_some(),
                true,
            )
            .await?;
            modes[&replica] = json!("RW");
            addresses[&replica] = json!(address(&replica));
        }
        let engine = format!("{name}-e-0");
        self.create(
            &ENGINES,
            &engine,
            labels,
            json!({"volumeName": name, "active": true}),
        )
        .await?;
        let status = match seed.attached {
            Some(_) => {
                json!({"currentState": "running", "replicaModeMap": modes, "currentReplicaAddressMap": addresses,
                "rebuildStatus": {}})
            }
            None => {
                json!({"currentState": "stopped", "replicaModeMap": null, "currentReplicaAddressMap": null, "rebuildStatus": null})
            }
        };
        self.status(&ENGINES, &engine, &status).await
    }

    /// Sets a setting.
    ///
    /// # Errors
    /// Any [`ClusterError`].
    pub async fn add_setting(&self, name: &str, value: &str) -> Result<(), ClusterError> {
        let object = json!({"apiVersion": "longhorn.io/v1beta2", "kind": "Setting",
            "metadata": {"name": name, "namespace": NAMESPACE}, "value": value});
        self.cluster.create_foreign(&SETTINGS, NAMESPACE, object).await
    }

    async fn add_replica(
        &self,
        volume: &str,
        name: &str,
        node: &str,
        disk: &str,
        running: bool,
        healthy: bool,
    ) -> Result<(), ClusterError> {
        let spec = json!({"volumeName": volume, "nodeID": node, "diskID": disk, "failedAt": "", "active": true,
            "healthyAt": if healthy { "2026-01-01T00:00:00Z" } else { "" }, "evictionRequested": false});
        self.create(&REPLICAS, name, json!({"longhornvolume": volume}), spec)
            .await?;
        let state = if running { "running" } else { "stopped" };
        self.status(&REPLICAS, name, &json!({"currentState": state}))
            .await
    }

    /// Breaks a copy: the engine gives it up in the next round. While it is broken it is not filled again.
    pub fn break_copy(&self, name: &str) {
        self.memory().broken.insert(name.to_owned());
    }

    /// What was broken can be filled again.
    pub fn mend_copy(&self, name: &str) {
        self.memory().broken.remove(name);
    }

    /// Takes a node away, or brings it back.
    ///
    /// # Errors
    /// Any [`ClusterError`].
    pub async fn set_node_ready(&self, name: &str, ready: bool) -> Result<(), ClusterError> {
        self.status(&NODES, name, &json!({"conditions": conditions(ready)}))
            .await
    }

    /// Changes an object as a person would.
    ///
    /// # Errors
    /// Any [`ClusterError`].
    pub async fn change(&self, kind: &Foreign, name: &str, change: &Value) -> Result<(), ClusterError> {
        self.cluster
            .patch_foreign(kind, NAMESPACE, name, change)
            .await
            .map(drop)
    }

    /// The copies of a volume, by name.
    ///
    /// # Errors
    /// Any [`ClusterError`].
    pub async fn copies(&self, volume: &str) -> Result<Vec<Copy>, ClusterError> {
        let seen = self.seen().await?;
        let mut copies: Vec<Copy> = seen
            .replicas_of(volume)
            .map(|replica| Copy {
                name: name(replica).to_owned(),
                pool: seen.pool_of(replica),
                complete: seen.is_complete(volume, replica),
            })
            .collect();
        copies.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(copies)
    }

    /// The fewest complete copies that an attached volume had in any round.
    pub fn fewest(&self, volume: &str) -> Option<usize> {
        self.memory().fewest.get(volume).copied()
    }

    /// Disks that take no copies, and copies that carry an annotation of somebody's.
    ///
    /// # Errors
    /// Any [`ClusterError`].
    pub async fn left_behind(&self) -> Result<Vec<String>, ClusterError> {
        let seen = self.seen().await?;
        let closed = seen.nodes.iter().flat_map(|node| {
            let disks = node["spec"]["disks"].as_object().into_iter().flatten();
            let closed = disks.filter(|(_, disk)| disk["allowScheduling"] != true);
            closed.map(|(disk, _)| format!("{}/{disk}", name(node)))
        });
        let marked = seen.replicas.iter().filter(|replica| {
            let annotations = replica["metadata"]["annotations"].as_object();
            annotations.is_some_and(|annotations| !annotations.is_empty())
        });
        Ok(closed.chain(marked.map(|one| name(one).to_owned())).collect())
    }

    async fn create(
        &self,
        kind: &Foreign,
        name: &str,
        labels: Value,
        spec: Value,
    ) -> Result<(), ClusterError> {
        let object = json!({"apiVersion": "longhorn.io/v1beta2", "kind": kind.kind, "spec": spec,
            "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels, "finalizers": ["longhorn.io"]}});
        self.cluster.create_foreign(kind, NAMESPACE, object).await
    }

    async fn status(&self, kind: &Foreign, name: &str, status: &Value) -> Result<(), ClusterError> {
        let change = json!({"status": status});
        self.cluster
            .patch_foreign_status(kind, NAMESPACE, name, &change)
            .await
    }

    async fn seen(&self) -> Result<Seen, ClusterError> {
        let all = Which::default();
        let list = async |kind: &Foreign| {
            let found = self.cluster.list_foreign(kind, &all).await?;
            Ok::<_, ClusterError>(found.unwrap_or_default())
        };
        Ok(Seen {
            volumes: list(&VOLUMES).await?,
            replicas: list(&REPLICAS).await?,
            engines: list(&ENGINES).await?,
            nodes: list(&NODES).await?,
            settings: list(&SETTINGS).await?,
        })
    }
}

/// All objects at one moment.
#[derive(Debug, Default)]
struct Seen {
    volumes: Vec<Value>,
    replicas: Vec<Value>,
    engines: Vec<Value>,
    nodes: Vec<Value>,
    settings: Vec<Value>,
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object["spec"][field].as_str().unwrap_or_default()
}

fn is_going(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

fn uuid(node: &str, disk: &str) -> String {
    format!("uuid-{node}-{disk}")
}

fn address(replica: &str) -> String {
    format!("{replica}:10000")
}

fn conditions(ready: bool) -> Value {
    let status = if ready { "True" } else { "False" };
    json!([{"type": "Ready", "status": status}, {"type": "Schedulable", "status": status}])
}

fn is_so(conditions: &Value, kind: &str) -> bool {
    let mut all = conditions.as_array().into_iter().flatten();
    all.any(|condition| condition["type"] == kind && condition["status"] == "True")
}

impl Seen {
    fn replicas_of<'a>(&'a self, volume: &'a str) -> impl Iterator<Item = &'a Value> {
        let is = move |one: &&Value| text(one, "volumeName") == volume;
        self.replicas.iter().filter(is)
    }

    fn engine_of(&self, volume: &str) -> Option<&Value> {
        self.engines.iter().find(|one| text(one, "volumeName") == volume)
    }

    fn node(&self, wanted: &str) -> Option<&Value> {
        self.nodes.iter().find(|node| name(node) == wanted)
    }

    fn mode(&self, volume: &str, replica: &str) -> Option<&str> {
        self.engine_of(volume)?["status"]["replicaModeMap"][replica].as_str()
    }

    fn is_complete(&self, volume: &str, replica: &Value) -> bool {
        self.mode(volume, name(replica)) == Some("RW")
            && !is_going(replica)
            && text(replica, "failedAt").is_empty()
    }

    fn is_ready(&self, node: &str) -> bool {
        self.node(node)
            .is_some_and(|node| is_so(&node["status"]["conditions"], "Ready"))
    }

    fn pool_of(&self, replica: &Value) -> String {
        let (node, disk) = (text(replica, "nodeID"), text(replica, "diskID"));
        let disks = self.node(node).map(|node| &node["status"]["diskStatus"]);
        let mut disks = disks.and_then(Value::as_object).into_iter().flatten();
        let found = disks.find(|(_, status)| status["diskUUID"] == disk);
        format!("{node}/{}", found.map_or(disk, |(name, _)| name.as_str()))
    }

    fn setting(&self, wanted: &str) -> Option<&str> {
        let found = self.settings.iter().find(|setting| name(setting) == wanted)?;
        found["value"].as_str()
    }
}
