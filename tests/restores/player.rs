//! What else lives in a cluster while a restore goes on: Velero, the controllers of StatefulSets and volumes, and Flux, which undoes what it
//! is not told of. Each volume carries what is on it, so that lost data is seen.

use super::world::World;
use crate::support::objects::text;
use serde_json::{Value, json};
use std::process::Output;

/// How Velero behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Velero {
    /// Everything comes back.
    Restores,
    /// The Restore fails.
    Fails,
    /// A byte is missing.
    LosesAByte,
    /// It never ends.
    NeverEnds,
}

const DATA: &str = "what-is-on-it";

impl World {
    /// Runs the binary to its end while everything else goes on.
    pub async fn lives(&self, velero: Velero, arguments: &[&str]) -> Output {
        let mut child = self.command(arguments);
        let child = child
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        let mut ended = std::pin::pin!(child.spawn().unwrap().wait_with_output());
        loop {
            self.tick(velero);
            tokio::select! {
                output = &mut ended => return output.unwrap(),
                () = tokio::time::sleep(std::time::Duration::from_millis(5)) => {}
            }
        }
    }

    /// Runs the binary, and kills it after this time.
    pub async fn killed(&self, velero: Velero, after: std::time::Duration, arguments: &[&str]) {
        let mut child = self
            .command(arguments)
            .stderr(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let began = std::time::Instant::now();
        while began.elapsed() < after && child.try_wait().unwrap().is_none() {
            self.tick(velero);
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        let _ = child.kill().await;
    }

    /// One moment of everybody.
    pub fn tick(&self, velero: Velero) {
        for restore in self.sim.list("Restore") {
            if restore["status"]["phase"].is_null() {
                self.restores(&restore, velero);
            }
        }
        self.flux();
        self.stateful_sets();
        self.volumes();
    }

    fn restores(&self, restore: &Value, velero: Velero) {
        let name = text(restore, "/metadata/name");
        let to = match restore.pointer("/spec/namespaceMapping/database") {
            Some(scratch) => scratch.as_str().unwrap(),
            None => "database",
        };
        let ends = |phase: &str, errors: u64| {
            json!({"phase": phase, "errors": errors, "completionTimestamp": couchestor::io::clock::now().to_string(),
                "progress": {"itemsRestored": 4, "totalItems": 4}})
        };
        let status = match velero {
            Velero::NeverEnds => {
                json!({"phase": "InProgress", "progress": {"itemsRestored": 1, "totalItems": 4}})
            }
            Velero::Fails => ends("PartiallyFailed", 1),
            _ => ends("Completed", 0),
        };
        if velero != Velero::NeverEnds {
            for upload in self.sim.list("PodVolumeBackup") {
                let claim = text(&upload, "/metadata/annotations/velero.io~1pvc-name");
                let bytes = upload["status"]["progress"]["totalBytes"].as_u64().unwrap();
                let bytes = bytes - u64::from(velero == Velero::LosesAByte);
                self.provision(to, claim, "restored");
                self.put(json!({"apiVersion": "velero.io/v1", "kind": "PodVolumeRestore",
                    "metadata": {"name": format!("{name}-{claim}"), "namespace": "velero", "labels": {"velero.io/restore-name": name}},
                    "spec": {"pod": {"namespace": to, "name": "postgres-0"}, "volume": claim},
                    "status": {"phase": "Completed", "progress": {"bytesDone": bytes, "totalBytes": bytes}}}));
            }
            if to == "database" {
                self.stateful_set();
            } else {
                self.put(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "postgres-0", "namespace": to},
                    "spec": {"containers": [{"name": "drill", "image": "busybox"}]}, "status": {"phase": "Running"}}));
            }
        }
        let mut restore = restore.clone();
        restore["status"] = status;
        self.put(restore);
    }

    /// A new volume for a claim, as a provisioner makes one.
    fn provision(&self, namespace: &str, claim: &str, data: &str) {
        if self
            .sim
            .get("PersistentVolumeClaim", Some(namespace), claim)
            .is_some()
        {
            return;
        }
        let volume = format!("pvc-{data}-{namespace}-{claim}");
        let made = self.sim.put(json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": claim, "namespace": namespace, "labels": {"app": "postgres", "velero.io/restore-name": "x"},
                "annotations": {"pv.kubernetes.io/bind-completed": "yes"}},
            "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "openebs-hostpath", "volumeName": volume,
                "resources": {"requests": {"storage": "1Gi"}}},
            "status": {"phase": "Bound"}}));
        self.put(json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": volume, "annotations": {DATA: data}},
            "spec": {"storageClassName": "openebs-hostpath", "persistentVolumeReclaimPolicy": "Delete",
                "claimRef": {"namespace": namespace, "name": claim, "uid": made.unwrap()["metadata"]["uid"]}},
            "status": {"phase": "Bound"}}));
    }

    /// Flux scales up what is scaled down, unless it is suspended.
    fn flux(&self) {
        let of = |kind: &str, name: &str| {
            self.sim.get(
                kind,
                Some(if kind == "Kustomization" {
                    "flux-system"
                } else {
                    "database"
                }),
                name,
            )
        };
        let Some(kustomization) = of("Kustomization", "database") else {
            return;
        };
        if kustomization["spec"]["suspend"] == true {
            return;
        }
        match of("StatefulSet", "postgres") {
            None => {}
            Some(mut one) if one["spec"]["replicas"] == 0 => {
                one["spec"]["replicas"] = json!(1);
                self.put(one);
            }
            Some(_) => {}
        }
    }

    /// The controller of StatefulSets makes pods, and claims that are not there, and ends pods.
    fn stateful_sets(&self) {
        for one in self.sim.list("StatefulSet") {
            let there = self.sim.get("Pod", Some("database"), "postgres-0").is_some();
            match (one["spec"]["replicas"].as_i64().unwrap_or(1), there) {
                (0, true) => drop(self.sim.remove("Pod", Some("database"), "postgres-0")),
                (1, false) => {
                    self.provision("database", "data-postgres-0", "empty");
                    let owner = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "postgres"});
                    self.pod("postgres-0", "data-postgres-0", Some(owner));
                }
                _ => {}
            }
        }
    }

    /// Claims are bound to volumes that are for them; a volume whose claim is gone goes too, unless it is kept.
    fn volumes(&self) {
        for mut volume in self.sim.list("PersistentVolume") {
            let reference = volume["spec"]["claimRef"].clone();
            let (namespace, name) = (text(&reference, "/namespace"), text(&reference, "/name"));
            let claim = self.sim.get("PersistentVolumeClaim", Some(namespace), name);
            let uid = |claim: &Value| claim["metadata"]["uid"].clone();
            match (claim, text(&reference, "/uid")) {
                (Some(mut claim), "") if claim["spec"]["volumeName"] == volume["metadata"]["name"] => {
                    volume["spec"]["claimRef"]["uid"] = uid(&claim);
                    volume["status"]["phase"] = json!("Bound");
                    claim["status"]["phase"] = json!("Bound");
                    self.put(volume);
                    self.put(claim);
                }
                (_, "") => {}
                (Some(claim), bound) if uid(&claim) == bound => {}
                _ if volume["spec"]["persistentVolumeReclaimPolicy"] == "Delete" => {
                    self.sim
                        .remove("PersistentVolume", None, text(&volume, "/metadata/name"));
                }
                _ => {}
            }
        }
    }

    /// What is on the volume of a claim.
    pub fn data(&self, claim: &str) -> String {
        let found = self.sim.get("PersistentVolumeClaim", Some("database"), claim);
        let Some(found) = found else {
            return "no claim".to_owned();
        };
        let volume = self
            .sim
            .get("PersistentVolume", None, text(&found, "/spec/volumeName"));
        let bound = text(&found, "/status/phase") == "Bound";
        volume.filter(|_| bound).map_or("no volume".to_owned(), |one| {
            text(&one, "/metadata/annotations/what-is-on-it").to_owned()
        })
    }

    /// Workloads and Flux are as they were, and nothing of any restore is left.
    pub fn assert_as_before(&self, what: &str) {
        let set = self.sim.get("StatefulSet", Some("database"), "postgres").unwrap();
        assert_eq!(set["spec"]["replicas"], 1, "{what}");
        if let Some(one) = self.sim.get("Kustomization", Some("flux-system"), "database") {
            assert_ne!(one["spec"]["suspend"], true, "{what}: {one:#}");
        }
        for kind in ["ConfigMap", "Namespace"] {
            let all = self.sim.list(kind);
            let left: Vec<&str> = all
                .iter()
                .map(|one| text(one, "/metadata/name"))
                .filter(|name| name.contains("restore-"))
                .collect();
            assert_eq!(left, Vec::<&str>::new(), "{what}: {kind}");
        }
    }
}
