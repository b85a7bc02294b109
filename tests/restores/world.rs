//! A namespace with a database, its backup, and Flux, on the simulated API server; and the binary that restores it.

use crate::support::velero_played::{kinds, others};
use couchestor::model::kinds::all_crds;
use couchestor::sim::kubernetes::KubernetesSim;
use serde_json::{Value, json};
use std::process::Output;

pub const BACKUP: &str = "daily-backup-20261129020000";

/// The cluster, and the folder with its kubeconfig.
pub struct World {
    pub sim: KubernetesSim,
    folder: tempfile::TempDir,
}

impl World {
    /// A cluster with Velero, a backup of namespace `database`, and nothing of that namespace.
    pub async fn bare() -> Self {
        let sim = KubernetesSim::start(couchestor::io::clock::now).await.unwrap();
        for kind in kinds().into_iter().chain(others()) {
            sim.put(kind).unwrap();
        }
        for kind in all_crds() {
            sim.put(serde_json::to_value(kind).unwrap()).unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("kubeconfig"), sim.kubeconfig()).unwrap();
        let world = Self { sim, folder };
        world.put(
            json!({"apiVersion": "velero.io/v1", "kind": "BackupStorageLocation",
            "metadata": {"name": "s3", "namespace": "velero"}, "status": {"phase": "Available"}}),
        );
        world.put(json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
            "metadata": {"name": "openebs-hostpath"}, "provisioner": "openebs.io/local"}));
        world.put(
            json!({"apiVersion": "storage.billyronks.io/v1", "kind": "BackupPolicy",
            "metadata": {"name": "daily", "namespace": "velero"},
            "spec": {"location": "s3", "includedNamespaces": ["database"], "schedules": [{"name": "backup", "schedule": "0 2 * * *", "ttl": "720h"}]}}),
        );
        world.backup(BACKUP, 8);
        world.upload(BACKUP, "data-postgres-0", 42);
        world
    }

    /// The same with the database and Flux at work.
    pub async fn busy() -> Self {
        let world = Self::bare().await;
        world.claim("data-postgres-0", "pvc-old");
        world.stateful_set();
        world.pod(
            "postgres-0",
            "data-postgres-0",
            Some(json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "postgres"})),
        );
        world.put(
            json!({"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
            "metadata": {"name": "database", "namespace": "flux-system"}, "spec": {"path": "./database"}}),
        );
        world
    }

    /// The database.
    pub fn stateful_set(&self) {
        let labels = json!({"kustomize.toolkit.fluxcd.io/name": "database", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"});
        self.put(json!({"apiVersion": "apps/v1", "kind": "StatefulSet",
            "metadata": {"name": "postgres", "namespace": "database", "labels": labels},
            "spec": {"replicas": 1, "volumeClaimTemplates": [{"metadata": {"name": "data"}}], "template": {"spec": {"volumes": []}}}}));
    }

    pub fn put(&self, object: Value) {
        self.sim.put(object).unwrap();
    }

    /// Changes an object.
    pub fn change(&self, kind: &str, namespace: Option<&str>, name: &str, how: impl Fn(&mut Value)) {
        let mut object = self.sim.get(kind, namespace, name).unwrap();
        how(&mut object);
        self.put(object);
    }

    /// A completed backup that started so many hours ago.
    pub fn backup(&self, name: &str, hours: i64) {
        let at = |hours: i64| {
            let seconds = couchestor::io::clock::now().as_second() + hours * 3600;
            jiff::Timestamp::from_second(seconds).unwrap().to_string()
        };
        self.put(
            json!({"apiVersion": "velero.io/v1", "kind": "Backup",
            "metadata": {"name": name, "namespace": "velero", "uid": format!("uid-{name}"), "labels": {"storage.billyronks.io/backup-policy": "daily"}},
            "spec": {"storageLocation": "s3", "includedNamespaces": ["database"]},
            "status": {"phase": "Completed", "startTimestamp": at(-hours), "expiration": at(720 - hours)}}),
        );
    }

    /// What a backup holds of a claim.
    pub fn upload(&self, backup: &str, claim: &str, bytes: u64) {
        self.put(
            json!({"apiVersion": "velero.io/v1", "kind": "PodVolumeBackup",
            "metadata": {"name": format!("{backup}-{claim}"), "namespace": "velero",
                "labels": {"velero.io/backup-uid": format!("uid-{backup}"), "velero.io/pvc-uid": "c-before"},
                "annotations": {"velero.io/pvc-name": claim}},
            "spec": {"pod": {"namespace": "database", "name": "postgres-0"}, "volume": claim, "uploaderType": "kopia"},
            "status": {"phase": "Completed", "snapshotID": "k1", "progress": {"bytesDone": bytes, "totalBytes": bytes}}}),
        );
    }

    /// A bound claim with its volume.
    pub fn claim(&self, name: &str, volume: &str) {
        let uid = format!("uid-{name}");
        self.put(json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": name, "namespace": "database", "uid": uid, "labels": {"app": "postgres"}},
            "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "openebs-hostpath", "volumeName": volume,
                "resources": {"requests": {"storage": "1Gi"}}},
            "status": {"phase": "Bound"}}));
        self.put(json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": volume, "annotations": {"what-is-on-it": "old"}},
            "spec": {"storageClassName": "openebs-hostpath", "persistentVolumeReclaimPolicy": "Delete", "local": {"path": "/var/data"},
                "claimRef": {"namespace": "database", "name": name, "uid": uid}},
            "status": {"phase": "Bound"}}));
    }

    /// A running pod that mounts a claim.
    pub fn pod(&self, name: &str, claim: &str, owner: Option<Value>) {
        let owners = owner.map(|mut owner| {
            owner["controller"] = json!(true);
            owner["uid"] = json!("o1");
            json!([owner])
        });
        self.put(json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "database", "labels": {"app": "postgres"}, "ownerReferences": owners.unwrap_or(json!([]))},
            "spec": {"containers": [{"name": "main", "image": "postgres"}],
                "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}]},
            "status": {"phase": "Running"}}));
    }

    /// The binary, as a process that can be waited for or killed.
    pub fn command(&self, arguments: &[&str]) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_couchestor"));
        command
            .args(arguments)
            .arg("--kubeconfig")
            .arg(self.folder.path().join("kubeconfig"))
            .stdin(std::process::Stdio::null())
            .kill_on_drop(true);
        if arguments.contains(&"abort") {
            command.args(["--settle", "0s"]);
        }
        command
    }

    pub async fn couchestor(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().await.unwrap()
    }

    /// A plan as JSON.
    pub async fn plan(&self, arguments: &[&str]) -> Value {
        let output = self
            .couchestor(&[&["restore", "plan"], arguments, &["-o", "json"]].concat())
            .await;
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(&output)))
    }
}

/// All that a process said.
pub fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// The words by which a plan refuses.
pub fn reasons(plan: &Value) -> Vec<String> {
    let all = plan["refusals"].as_array().unwrap();
    all.iter()
        .map(|one| one["reason"].as_str().unwrap().to_owned())
        .collect()
}
