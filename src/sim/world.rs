//! A world file: a cluster with its storage engine and its load, from which all simulated servers are started.

use super::kubernetes::KubernetesSim;
use super::mayastor::{Clock, MayastorSim, NodeSeed, PoolSeed, Profile, Setup, VolumeSeed};
use super::prometheus::{Load, PrometheusSim};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A world as written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct World {
    /// Storage nodes.
    pub nodes: Vec<NodeSeed>,
    /// Disk pools.
    pub pools: Vec<PoolSeed>,
    /// Claims with their volumes.
    pub claims: Vec<ClaimSeed>,
    /// How long the rebuild of a copy takes, in seconds.
    #[serde(default = "default_rebuild")]
    pub rebuild_seconds: f64,
    /// The release of Mayastor that is played: "2.7", "2.9", "2.10" or "2.12".
    #[serde(default)]
    pub mayastor: Profile,
    /// Rebuilds at a time, over all volumes; absent means as many as there are.
    #[serde(default)]
    pub max_rebuilds: Option<usize>,
    /// Whether volumes that no pod uses are rebuilt, as 2.12 can on request.
    #[serde(default)]
    pub offline_rebuild: bool,
}

fn default_rebuild() -> f64 {
    5.0
}

/// A claim with its volume.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClaimSeed {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// StorageClass.
    pub class: String,
    /// Labels of the claim.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// The Mayastor volume; without one it is a LocalPV.
    #[serde(default)]
    pub volume: Option<VolumeSeed>,
    /// Operations per second; absent means that there are no samples.
    #[serde(default)]
    pub iops: Option<f64>,
    /// Part of each window that has samples.
    #[serde(default = "default_coverage")]
    pub coverage: f64,
}

fn default_coverage() -> f64 {
    1.0
}

impl ClaimSeed {
    /// The name of its PersistentVolume.
    pub fn volume_name(&self) -> String {
        match &self.volume {
            Some(volume) => format!("pvc-{}", volume.uuid),
            None => format!("pvc-local-{}-{}", self.namespace, self.name),
        }
    }
}

impl World {
    /// Reads a world file.
    ///
    /// # Errors
    /// What is wrong, with its place.
    pub fn read(text: &str) -> Result<Self, String> {
        serde_saphyr::from_str(text).map_err(|error| error.to_string())
    }
}

/// The running servers.
pub struct Running {
    /// The Kubernetes API.
    pub kubernetes: KubernetesSim,
    /// Mayastor.
    pub mayastor: MayastorSim,
    /// Prometheus.
    pub prometheus: PrometheusSim,
}

/// Starts the servers of a world.
///
/// # Errors
/// When a port cannot be opened or the world does not fit together.
pub async fn start(
    world: &World,
    clock: impl Fn() -> Timestamp + Send + Sync + 'static,
) -> Result<Running, String> {
    let volumes: Vec<VolumeSeed> = world
        .claims
        .iter()
        .filter_map(|claim| claim.volume.clone())
        .collect();
    let rebuild = Duration::try_from_secs_f64(world.rebuild_seconds)
        .map_err(|error| format!("rebuildSeconds: {error}"))?;
    let setup = Setup {
        profile: world.mayastor,
        nodes: world.nodes.clone(),
        pools: world.pools.clone(),
        volumes,
        rebuild,
        max_rebuilds: world.max_rebuilds,
        offline_rebuild: world.offline_rebuild,
        ..Setup::default()
    };
    let running = Running {
        kubernetes: KubernetesSim::start(clock)
            .await
            .map_err(|error| error.to_string())?,
        mayastor: MayastorSim::start_as(setup, Clock::Real).await?,
        prometheus: PrometheusSim::start().await?,
    };
    for object in velero_crds().into_iter().chain(objects(world)) {
        running
            .kubernetes
            .put(object)
            .map_err(|error| error.to_string())?;
    }
    for claim in &world.claims {
        let load = claim.iops.map(|iops| Load::random(iops, claim.coverage));
        running.prometheus.set(&claim.volume_name(), load);
    }
    Ok(running)
}

/// The Kubernetes objects of a world: namespaces, Velero's node agent, volumes and claims, bound as a cluster binds them.
pub fn objects(world: &World) -> Vec<serde_json::Value> {
    let own = ["couchestor-system", "velero"];
    let namespaces: BTreeSet<&str> = world
        .claims
        .iter()
        .map(|claim| claim.namespace.as_str())
        .chain(own)
        .collect();
    let mut objects: Vec<_> = namespaces
        .into_iter()
        .map(|name| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}))
        .collect();
    let role = json!({"role": "node-agent"});
    objects.push(json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "node-agent", "namespace": "velero"},
        "spec": {"selector": {"matchLabels": role}, "template": {"metadata": {"labels": role},
            "spec": {"containers": [{"name": "node-agent", "image": "velero"}]}}}}));
    for claim in &world.claims {
        let (name, size) = (
            claim.volume_name(),
            claim.volume.as_ref().map_or(1, |volume| volume.size_gib),
        );
        let mut volume = json!({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
            "spec": {
                "capacity": {"storage": format!("{size}Gi")}, "accessModes": ["ReadWriteOnce"],
                "persistentVolumeReclaimPolicy": "Delete", "storageClassName": claim.class,
                "claimRef": {"kind": "PersistentVolumeClaim", "apiVersion": "v1", "namespace": claim.namespace, "name": claim.name},
            },
            "status": {"phase": "Bound"},
        });
        match &claim.volume {
            Some(seed) => {
                volume["spec"]["csi"] =
                    json!({"driver": "io.openebs.csi-mayastor", "volumeHandle": seed.uuid});
            }
            None => {
                volume["spec"]["local"] = json!({"path": format!("/var/openebs/local/{name}")});
                volume["spec"]["nodeAffinity"] = json!({"required": {"nodeSelectorTerms": [
                    {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["node-1"]}]}
                ]}});
            }
        }
        objects.push(volume);
        objects.push(json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"namespace": claim.namespace, "name": claim.name, "labels": claim.labels},
            "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": claim.class, "volumeName": name,
                     "resources": {"requests": {"storage": format!("{size}Gi")}}},
            "status": {"phase": "Bound"},
        }));
    }
    objects
}

/// Velero's kinds that policies render into and that backups are judged by, as far as a simulated cluster needs them.
pub fn velero_crds() -> Vec<Value> {
    [
        ("BackupStorageLocation", "backupstoragelocations", "v1"),
        ("Schedule", "schedules", "v1"),
        ("Backup", "backups", "v1"),
        ("PodVolumeBackup", "podvolumebackups", "v1"),
        ("BackupRepository", "backuprepositories", "v1"),
        ("DataUpload", "datauploads", "v2alpha1"),
    ]
        .into_iter()
        .map(|(kind, plural, version)| {
            json!({
                "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
                "metadata": {"name": format!("{plural}.velero.io")},
                "spec": {
                    "group": "velero.io", "scope": "Namespaced",
                    "names": {"kind": kind, "listKind": format!("{kind}List"), "plural": plural, "singular": kind.to_lowercase()},
                    "versions": [{"name": version, "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                        "type": "object", "x-kubernetes-preserve-unknown-fields": true,
                    }}}],
                },
            })
        })
        .collect()
}
