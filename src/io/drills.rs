//! What a cluster holds of a restore drill, and what is made and deleted there for it.
//!
//! Velero's kinds have no status subresource, and label what they make by the name of the Backup or Restore
//! (`velero.io/backup-uid`, `velero.io/restore-name`, `pkg/podvolume/{backupper,restorer}.go`).

use super::cluster::{Cluster, ClusterError, Foreign, Live, Which};
use super::velero::{BACKUP_UID, DATA_UPLOADS, NAMESPACES, POD_VOLUME_BACKUPS, RESTORES, is_going, velero};
use crate::model::desired::text_at;
use crate::model::drills::{
    DrillSeen, JobSeen, Leftovers, PodSeen, RestoreSeen, ScratchSeen, VolumeSeen, object_name,
};
use crate::model::ids::ObjectId;
use crate::model::kinds::drill::{DRILL_LABEL, DRILL_POLICY_LABEL, DrillPhase, DrillRun};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const VELERO: &str = "velero.io/v1";

const POD_VOLUME_RESTORES: Foreign = velero("PodVolumeRestore", "podvolumerestores");
const DATA_DOWNLOADS: Foreign = Foreign::of("velero.io", "v2alpha1", "DataDownload", "datadownloads");
const JOBS: Foreign = Foreign::of("batch", "v1", "Job", "jobs");

/// The label of what a Restore makes, with its name; ours are short enough for a label.
const RESTORE_NAME: &str = "velero.io/restore-name";

/// The drills of one Velero.
#[derive(Clone, Copy)]
pub struct Drills<'a> {
    cluster: &'a Cluster,
    namespace: &'a str,
}

/// A drill of which a scratch namespace or a Restore is there.
#[derive(Debug)]
pub struct Left {
    /// As much of it as its labels tell.
    pub run: DrillRun,
    /// Velero's namespace.
    pub velero: String,
}

/// A volume of a pod.
pub(super) type Mounted = (String, String);

/// What a backup holds of a namespace.
#[derive(Default)]
pub(super) struct Held {
    /// Bytes by claim, or by pod and volume where there is no claim.
    bytes: BTreeMap<String, u64>,
    /// The same names by pod and volume.
    pub(super) names: BTreeMap<Mounted, String>,
}

pub(super) fn id(group: &str, kind: &str, namespace: &str, name: &str) -> ObjectId {
    ObjectId {
        group: group.to_owned(),
        kind: kind.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    }
}

/// The id of an object that is made.
fn id_of(object: &Value) -> (String, ObjectId) {
    let version = text_at(object, &["apiVersion"]);
    let group = version.rsplit_once('/').map_or("", |(group, _)| group);
    let meta = |field: &str| text_at(object, &["metadata", field]);
    let id = id(group, text_at(object, &["kind"]), meta("namespace"), meta("name"));
    (version.to_owned(), id)
}

fn number(object: &Value, pointer: &str) -> u64 {
    object
        .pointer(pointer)
        .and_then(Value::as_u64)
        .unwrap_or_default()
}

impl<'a> Drills<'a> {
    /// The drills of the Velero in a namespace.
    pub fn of(cluster: &'a Cluster, namespace: &'a str) -> Self {
        Self { cluster, namespace }
    }

    /// Every drill of which something is there, whoever drives it.
    ///
    /// # Errors
    /// Any [`ClusterError`].
    pub async fn left(cluster: &Cluster) -> Result<Vec<Left>, ClusterError> {
        let which = Which {
            labels: Some(DRILL_POLICY_LABEL.to_owned()),
            ..Which::default()
        };
        let mut left: BTreeMap<String, Left> = BTreeMap::new();
        for one in cluster
            .list_foreign(&NAMESPACES, &which)
            .await?
            .unwrap_or_default()
        {
            let of = text_at(
                &one,
                &["metadata", "annotations", "storage.billyronks.io/drill-of"],
            );
            let velero = of
                .split_once('/')
                .map_or("", |(namespace, _)| namespace)
                .to_owned();
            let run = DrillRun {
                id: text_at(&one, &["metadata", "labels", DRILL_LABEL]).to_owned(),
                scratch: text_at(&one, &["metadata", "name"]).to_owned(),
                ..DrillRun::default()
            };
            left.insert(run.id.clone(), Left { run, velero });
        }
        for one in cluster.list_foreign(&RESTORES, &which).await?.unwrap_or_default() {
            let id = text_at(&one, &["metadata", "labels", DRILL_LABEL]).to_owned();
            let namespaces = one.pointer("/spec/namespaceMapping").and_then(Value::as_object);
            let scratch = namespaces.and_then(|all| all.values().next()?.as_str());
            let run = DrillRun {
                id: id.clone(),
                scratch: scratch.unwrap_or_default().to_owned(),
                ..DrillRun::default()
            };
            let velero = text_at(&one, &["metadata", "namespace"]).to_owned();
            left.entry(id).or_insert(Left { run, velero });
        }
        Ok(left.into_values().collect())
    }

    async fn get(&self, version: &str, id: &ObjectId) -> Result<Option<Live>, ClusterError> {
        self.cluster.get_object(version, id).await
    }

    /// Reads everything that the next step depends on, and nothing else: little in most phases.
    ///
    /// # Errors
    /// Any [`ClusterError`]; then nothing is known, and nothing is done.
    pub async fn look(&self, run: &DrillRun) -> Result<DrillSeen, ClusterError> {
        let name = object_name(run);
        let scratch = self.get("v1", &id("", "Namespace", "", &run.scratch)).await?;
        let config = self
            .get("v1", &id("", "ConfigMap", self.namespace, &name))
            .await?;
        let restore = self
            .get(VELERO, &id("velero.io", "Restore", self.namespace, &name))
            .await?;
        let mut seen = DrillSeen {
            scratch: scratch.as_ref().map(|live| ScratchSeen {
                ours: text_at(&live.0, &["metadata", "labels", DRILL_LABEL]) == run.id,
                going: is_going(&live.0),
            }),
            leftovers: match (&config, &restore) {
                (None, None) => Leftovers::Nothing,
                (None, Some(restore)) if is_going(&restore.0) => Leftovers::Going,
                _ => Leftovers::Something,
            },
            restore: restore.as_ref().map(|live| restore_of(&live.0)),
            ..DrillSeen::default()
        };
        if run.phase == DrillPhase::Prepare && scratch.is_some() {
            let policy = id("networking.k8s.io", "NetworkPolicy", &run.scratch, "deny-all");
            let quota = id("", "ResourceQuota", &run.scratch, "drill");
            seen.prepared = config.is_some()
                && self.get("networking.k8s.io/v1", &policy).await?.is_some()
                && self.get("v1", &quota).await?.is_some();
        }
        if run.phase == DrillPhase::Check {
            let held = self.held(&run.backup, &run.namespace).await?;
            let names = held.as_ref().map(|held| &held.names);
            seen.restored = self.restored(&name, names).await?;
            seen.held = held.map(|held| held.bytes);
            seen.jobs = self.jobs(run).await?;
        }
        Ok(seen)
    }

    async fn labelled(
        &self,
        kind: &Foreign,
        namespace: &str,
        label: &str,
        value: &str,
    ) -> Result<Vec<Value>, ClusterError> {
        let which = Which {
            labels: Some(format!("{label}={value}")),
            ..Which::default()
        };
        // A Velero without data movers has no such kinds, and no such volumes.
        let all = self.cluster.list_foreign_in(kind, namespace, &which).await?;
        Ok(all.unwrap_or_default())
    }

    /// What the backup holds of the namespace; `None` when the Backup is gone.
    pub(super) async fn held(&self, backup: &str, namespace: &str) -> Result<Option<Held>, ClusterError> {
        let backup = id("velero.io", "Backup", self.namespace, backup);
        let Some(backup) = self.get(VELERO, &backup).await? else {
            return Ok(None);
        };
        let of_it = |kind| self.labelled(kind, self.namespace, BACKUP_UID, backup.uid().unwrap_or_default());
        let mut held = Held::default();
        for one in of_it(&POD_VOLUME_BACKUPS).await? {
            if text_at(&one, &["spec", "pod", "namespace"]) != namespace {
                continue;
            }
            let mounted = mounted(&one);
            // A volume without a claim is told by its pod.
            let name = match text_at(&one, &["metadata", "annotations", "velero.io/pvc-name"]) {
                "" => format!("{}/{}", mounted.0, mounted.1),
                claim => claim.to_owned(),
            };
            held.bytes.insert(name.clone(), volume_of(&one).total);
            held.names.insert(mounted, name);
        }
        for one in of_it(&DATA_UPLOADS).await? {
            if text_at(&one, &["spec", "sourceNamespace"]) == namespace {
                let claim = text_at(&one, &["spec", "sourcePVC"]).to_owned();
                held.bytes.insert(claim, volume_of(&one).total);
            }
        }
        Ok(Some(held))
    }

    pub(super) async fn restored(
        &self,
        restore: &str,
        names: Option<&BTreeMap<Mounted, String>>,
    ) -> Result<BTreeMap<String, VolumeSeen>, ClusterError> {
        let of_it = |kind| self.labelled(kind, self.namespace, RESTORE_NAME, restore);
        let mut restored = BTreeMap::new();
        for one in of_it(&POD_VOLUME_RESTORES).await? {
            let mounted = mounted(&one);
            let name = names.and_then(|names| names.get(&mounted).cloned());
            let name = name.unwrap_or_else(|| format!("{}/{}", mounted.0, mounted.1));
            restored.insert(name, volume_of(&one));
        }
        for one in of_it(&DATA_DOWNLOADS).await? {
            let claim = text_at(&one, &["spec", "targetVolume", "pvc"]).to_owned();
            restored.insert(claim, volume_of(&one));
        }
        Ok(restored)
    }

    async fn jobs(&self, run: &DrillRun) -> Result<BTreeMap<String, JobSeen>, ClusterError> {
        let all = self.labelled(&JOBS, &run.scratch, DRILL_LABEL, &run.id).await?;
        let seen = all
            .iter()
            .map(|one| (text_at(one, &["metadata", "name"]).to_owned(), job_of(one)));
        Ok(seen.collect())
    }

    /// The pods that the backup holds data of, as they are in their own namespace now.
    ///
    /// # Errors
    /// Any [`ClusterError`].
    pub async fn pods(&self, backup: &str, namespace: &str) -> Result<Vec<PodSeen>, ClusterError> {
        let held = self.held(backup, namespace).await?.unwrap_or_default();
        let names: BTreeSet<&String> = held.names.keys().map(|(pod, _)| pod).collect();
        let mut pods = Vec::new();
        for name in names {
            let Some(pod) = self.get("v1", &id("", "Pod", namespace, name)).await? else {
                continue;
            };
            let containers = pod.0.pointer("/spec/initContainers").and_then(Value::as_array);
            pods.push(PodSeen {
                name: name.clone(),
                init_containers: containers.map_or(0, Vec::len),
            });
        }
        Ok(pods)
    }

    /// Whether the scratch namespace is this drill's.
    ///
    /// # Errors
    /// Any [`ClusterError`].
    pub async fn is_ours(&self, run: &DrillRun) -> Result<bool, ClusterError> {
        let found = self.get("v1", &id("", "Namespace", "", &run.scratch)).await?;
        Ok(found.is_some_and(|live| text_at(&live.0, &["metadata", "labels", DRILL_LABEL]) == run.id))
    }

    /// Makes an object that is not there yet; one that is there is left as it is.
    ///
    /// # Errors
    /// Any [`ClusterError`].
    pub async fn create(&self, object: &Value) -> Result<(), ClusterError> {
        let (version, id) = id_of(object);
        match self.cluster.create_object(&version, &id, object).await {
            Err(ClusterError::Exists { .. }) => Ok(()),
            other => other,
        }
    }

    /// Deletes what a drill has made: what it is still the owner of, and nothing else.
    ///
    /// # Errors
    /// Any [`ClusterError`]; the rest is deleted with the next try.
    pub async fn clean_up(&self, run: &DrillRun) -> Result<(), ClusterError> {
        let name = object_name(run);
        let all = [
            ("v1", id("", "Namespace", "", &run.scratch)),
            (VELERO, id("velero.io", "Restore", self.namespace, &name)),
            ("v1", id("", "ConfigMap", self.namespace, &name)),
        ];
        for (version, id) in all {
            let Some(live) = self.get(version, &id).await? else {
                continue;
            };
            let ours = text_at(&live.0, &["metadata", "labels", DRILL_LABEL]) == run.id;
            if let Some(uid) = live.uid().filter(|_| ours && !is_going(&live.0)) {
                self.cluster.delete_object(version, &id, uid).await?;
            }
        }
        Ok(())
    }
}

fn mounted(one: &Value) -> Mounted {
    (
        text_at(one, &["spec", "pod", "name"]).to_owned(),
        text_at(one, &["spec", "volume"]).to_owned(),
    )
}

fn volume_of(one: &Value) -> VolumeSeen {
    VolumeSeen {
        phase: text_at(one, &["status", "phase"]).to_owned(),
        done: number(one, "/status/progress/bytesDone"),
        total: number(one, "/status/progress/totalBytes"),
        message: text_at(one, &["status", "message"]).to_owned(),
    }
}

pub(super) fn restore_of(one: &Value) -> RestoreSeen {
    let mut reasons = vec![text_at(one, &["status", "failureReason"]).to_owned()];
    let refusals = one.pointer("/status/validationErrors").and_then(Value::as_array);
    reasons.extend(
        refusals
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned),
    );
    reasons.retain(|reason| !reason.is_empty());
    let completed = text_at(one, &["status", "completionTimestamp"]);
    RestoreSeen {
        phase: text_at(one, &["status", "phase"]).to_owned(),
        errors: number(one, "/status/errors"),
        warnings: number(one, "/status/warnings"),
        reason: reasons.join("; "),
        items: (
            number(one, "/status/progress/itemsRestored"),
            number(one, "/status/progress/totalItems"),
        ),
        created: text_at(one, &["metadata", "creationTimestamp"]).to_owned(),
        completed: (!completed.is_empty()).then(|| completed.to_owned()),
    }
}

fn job_of(one: &Value) -> JobSeen {
    let conditions = one.pointer("/status/conditions").and_then(Value::as_array);
    for condition in conditions.into_iter().flatten() {
        if condition["status"] != "True" {
            continue;
        }
        match text_at(condition, &["type"]) {
            "Complete" => return JobSeen::Succeeded,
            "Failed" => {
                let said = [text_at(condition, &["reason"]), text_at(condition, &["message"])];
                return JobSeen::Failed(said.join(": "));
            }
            _ => {}
        }
    }
    JobSeen::Running
}
