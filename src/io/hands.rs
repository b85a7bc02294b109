//! Claims, volumes, workloads and Flux objects of a namespace, read and changed one by one: what restores and moves of workloads share.
//! Each change may be made again.

use super::cluster::{Cluster, ClusterError, Foreign, Live, Which};
use super::drills::id;
use super::restores::{CLAIMS, FLUX, PODS, VOLUMES, WORKLOADS, mounted, name, replicas};
use super::velero::is_going;
use crate::model::desired::text_at;
use crate::model::ids::ObjectId;
use crate::model::kinds::workload_move::MOVE_LABEL;
use crate::model::restores::run::{ClaimSeen, RETAIN, VolumeNow};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Annotations and labels that Kubernetes and Velero write for one binding of a claim, and that another must not have.
const OF_ONE_BINDING: [&str; 4] = [
    "pv.kubernetes.io/",
    "volume.kubernetes.io/",
    "volume.beta.kubernetes.io/",
    "velero.io/",
];

/// What looks and acts.
#[derive(Clone, Copy)]
pub(super) struct Hands<'a>(pub(super) &'a Cluster);

/// The kind of a workload or a Flux object.
fn kind(all: &[Foreign], wanted: &str) -> Result<Foreign, ClusterError> {
    let found = all.iter().find(|one| one.kind == wanted).copied();
    found.ok_or_else(|| ClusterError::UnknownKind {
        api_version: "any version".to_owned(),
        kind: wanted.to_owned(),
    })
}

impl Hands<'_> {
    pub(super) async fn get(
        &self,
        kind: &Foreign,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Live>, ClusterError> {
        let id = id(kind.group, kind.kind, namespace, name);
        match self.0.get_object(&kind.api_version(), &id).await {
            Err(ClusterError::UnknownKind { .. }) => Ok(None),
            other => other,
        }
    }

    pub(super) async fn within(&self, kind: &Foreign, namespace: &str) -> Result<Vec<Value>, ClusterError> {
        let found = self.0.list_foreign_in(kind, namespace, &Which::default()).await?;
        Ok(found.unwrap_or_default())
    }

    /// The claims of a namespace.
    pub(super) async fn claims(&self, namespace: &str) -> Result<BTreeMap<String, ClaimSeen>, ClusterError> {
        let all = self.within(&CLAIMS, namespace).await?;
        Ok(all.iter().map(|one| (name(one).to_owned(), claim(one))).collect())
    }

    /// All volumes.
    pub(super) async fn volumes(&self) -> Result<BTreeMap<String, VolumeNow>, ClusterError> {
        let all = self.0.list_foreign(&VOLUMES, &Which::default()).await?;
        Ok(volumes(&all.unwrap_or_default()))
    }

    /// Pods of a namespace that use any of these claims: by name, with their labels.
    pub(super) async fn users(
        &self,
        namespace: &str,
        claims: &BTreeSet<&str>,
    ) -> Result<BTreeMap<String, Value>, ClusterError> {
        let pods = self.within(&PODS, namespace).await?;
        let uses = |one: &&Value| {
            let mounted = mounted(one.get("spec"));
            mounted.iter().any(|claim| claims.contains(claim.as_str()))
        };
        let labels = |one: &Value| (name(one).to_owned(), one["metadata"]["labels"].clone());
        Ok(pods.iter().filter(uses).map(labels).collect())
    }

    /// A workload as it is.
    pub(super) async fn workload(
        &self,
        namespace: &str,
        of: &str,
        name: &str,
    ) -> Result<Option<Live>, ClusterError> {
        self.get(&kind(&WORKLOADS, of)?, namespace, name).await
    }

    /// How many pods a workload keeps.
    pub(super) async fn replicas(
        &self,
        namespace: &str,
        of: &str,
        name: &str,
    ) -> Result<Option<i64>, ClusterError> {
        let found = self.workload(namespace, of, name).await?;
        Ok(found.map(|live| replicas(of, &live.0)))
    }

    /// Whether a Flux object is suspended.
    pub(super) async fn suspended(
        &self,
        of: &str,
        namespace: &str,
        name: &str,
    ) -> Result<Option<bool>, ClusterError> {
        let found = self.get(&kind(&FLUX, of)?, namespace, name).await?;
        Ok(found.map(|live| live.0["spec"]["suspend"] == true))
    }

    pub(super) async fn delete(
        &self,
        version: &str,
        id: &ObjectId,
        may: impl Fn(&Live) -> bool,
    ) -> Result<(), ClusterError> {
        let Some(live) = self.0.get_object(version, id).await? else {
            return Ok(());
        };
        match live.uid().filter(|_| may(&live) && !is_going(&live.0)) {
            // Pods of a Job go with it.
            Some(uid) if id.kind == "Job" => self.0.delete_with_owned(version, id, uid).await,
            Some(uid) => self.0.delete_object(version, id, uid).await,
            None => Ok(()),
        }
    }

    /// Says what becomes of a volume after its claim.
    pub(super) async fn keep(
        &self,
        seen: Option<&VolumeNow>,
        volume: &str,
        policy: &str,
    ) -> Result<(), ClusterError> {
        let change = json!({"spec": {"persistentVolumeReclaimPolicy": policy}});
        self.change_volume(seen, volume, change).await
    }

    /// Lets a volume be for a claim of this name, and for no other.
    pub(super) async fn reserve(
        &self,
        seen: Option<&VolumeNow>,
        volume: &str,
        (namespace, claim): (&str, &str),
    ) -> Result<(), ClusterError> {
        let reference = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": namespace, "name": claim,
            "uid": null, "resourceVersion": null});
        let change = json!({"spec": {"claimRef": reference}});
        self.change_volume(seen, volume, change).await
    }

    /// Changes a volume that is as it was seen; one that has changed is looked at again first.
    pub(super) async fn change_volume(
        &self,
        seen: Option<&VolumeNow>,
        volume: &str,
        mut change: Value,
    ) -> Result<(), ClusterError> {
        let Some(found) = seen else {
            return Ok(());
        };
        change["metadata"]["resourceVersion"] = json!(found.version);
        match self.0.patch_foreign(&VOLUMES, "", volume, &change).await {
            Ok(_) | Err(ClusterError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn suspend(
        &self,
        (of, namespace, name): (&str, &str, &str),
        suspended: bool,
    ) -> Result<(), ClusterError> {
        // What was not there before is not left there.
        let change = json!({"spec": {"suspend": if suspended { json!(true) } else { Value::Null }}});
        let kind = kind(&FLUX, of)?;
        self.0
            .patch_foreign(&kind, namespace, name, &change)
            .await
            .map(drop)
    }

    /// Scales a workload to nothing, or to so many pods; a CronJob is suspended or resumed.
    pub(super) async fn scale(
        &self,
        namespace: &str,
        (of, name): (&str, &str),
        up_to: Option<i64>,
    ) -> Result<(), ClusterError> {
        let change = match (of, up_to) {
            ("CronJob", up_to) => json!({"spec": {"suspend": up_to.is_none()}}),
            (_, up_to) => json!({"spec": {"replicas": up_to.unwrap_or(0)}}),
        };
        let kind = kind(&WORKLOADS, of)?;
        self.0
            .patch_foreign(&kind, namespace, name, &change)
            .await
            .map(drop)
    }

    /// Deletes a claim that is bound to this volume, once more looking whether the volume stays.
    pub(super) async fn delete_claim(
        &self,
        namespace: &str,
        claim: &str,
        bound: &str,
    ) -> Result<(), ClusterError> {
        if !bound.is_empty() {
            let volume = self
                .0
                .get_object("v1", &id("", "PersistentVolume", "", bound))
                .await?;
            let volume = volume.map(|live| self::volume(&live.0));
            let stays = volume.is_some_and(|one| one.policy == RETAIN && !one.going);
            if !stays {
                return Ok(());
            }
        }
        let id = id("", "PersistentVolumeClaim", namespace, claim);
        let may = |live: &Live| text_at(&live.0, &["spec", "volumeName"]) == bound;
        self.delete("v1", &id, may).await
    }
}

/// What is seen of volumes, by name.
pub(super) fn volumes(all: &[Value]) -> BTreeMap<String, VolumeNow> {
    let seen = |one: &Value| (name(one).to_owned(), volume(one));
    all.iter().map(seen).collect()
}

fn volume(one: &Value) -> VolumeNow {
    let of = |field: &str| text_at(one, &["spec", "claimRef", field]).to_owned();
    VolumeNow {
        policy: text_at(one, &["spec", "persistentVolumeReclaimPolicy"]).to_owned(),
        claim: (of("namespace"), of("name")),
        claim_uid: of("uid"),
        going: is_going(one),
        class: text_at(one, &["spec", "storageClassName"]).to_owned(),
        mark: text_at(one, &["metadata", "labels", MOVE_LABEL]).to_owned(),
        phase: text_at(one, &["status", "phase"]).to_owned(),
        version: text_at(one, &["metadata", "resourceVersion"]).to_owned(),
    }
}

fn claim(one: &Value) -> ClaimSeen {
    ClaimSeen {
        volume: text_at(one, &["spec", "volumeName"]).to_owned(),
        phase: text_at(one, &["status", "phase"]).to_owned(),
        going: is_going(one),
        manifest: manifest(one),
    }
}

/// A claim as it is made again: without what Kubernetes wrote into it for the volume that it has.
fn manifest(one: &Value) -> Value {
    let kept = |field: &str| -> Value {
        let all = one["metadata"][field].as_object();
        let own = all.into_iter().flatten().filter(|(key, _)| {
            let applied = key.as_str() == "kubectl.kubernetes.io/last-applied-configuration";
            !applied && !OF_ONE_BINDING.iter().any(|prefix| key.starts_with(prefix))
        });
        Value::Object(own.map(|(key, value)| (key.clone(), value.clone())).collect())
    };
    let mut spec = one["spec"].clone();
    if let Some(spec) = spec.as_object_mut() {
        for field in ["volumeName", "dataSource", "dataSourceRef"] {
            spec.remove(field);
        }
    }
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": name(one),
            "namespace": text_at(one, &["metadata", "namespace"]),
            "labels": kept("labels"),
            "annotations": kept("annotations"),
        },
        "spec": spec,
    })
}
