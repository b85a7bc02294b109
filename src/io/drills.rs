//! What a cluster holds of a restore drill, and what is made and deleted there for it.
//!
//! Velero's kinds have no status subresource, and label what they make by the name of the Backup or Restore
//! (`velero.io/backup-name`, `velero.io/restore-name`, `pkg/podvolume/{backupper,restorer}.go`).

use super::cluster::{Cluster, ClusterError, Foreign, Live, Which};
use crate::model::drills::{
    DrillSeen, JobSeen, Leftovers, PodSeen, RestoreSeen, ScratchSeen, VolumeSeen, object_name,
};
use crate::model::ids::ObjectId;
use crate::model::kinds::drill::{DRILL_LABEL, DRILL_POLICY_LABEL, DrillPhase, DrillRun};
use serde_json::Value;
use std::collections::BTreeMap;

const VELERO: &str = "velero.io/v1";

const POD_VOLUME_BACKUPS: Foreign = velero("v1", "PodVolumeBackup", "podvolumebackups");
const POD_VOLUME_RESTORES: Foreign = velero("v1", "PodVolumeRestore", "podvolumerestores");
const DATA_UPLOADS: Foreign = velero("v2alpha1", "DataUpload", "datauploads");
const DATA_DOWNLOADS: Foreign = velero("v2alpha1", "DataDownload", "datadownloads");
const RESTORES: Foreign = velero("v1", "Restore", "restores");
const NAMESPACES: Foreign = Foreign {
    group: "",
    version: "v1",
    kind: "Namespace",
    plural: "namespaces",
};
const JOBS: Foreign = Foreign {
    group: "batch",
    version: "v1",
    kind: "Job",
    plural: "jobs",
};

const fn velero(version: &'static str, kind: &'static str, plural: &'static str) -> Foreign {
    Foreign {
        group: "velero.io",
        version,
        kind,
        plural,
    }
}

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
type Mounted = (String, String);

/// What a backup holds of a namespace.
#[derive(Default)]
struct Held {
    /// Bytes by claim, or by pod and volume where there is no claim.
    bytes: BTreeMap<String, u64>,
    /// The same names by pod and volume.
    names: BTreeMap<Mounted, String>,
}

fn id(group: &str, kind: &str, namespace: &str, name: &str) -> ObjectId {
    ObjectId {
        group: group.to_owned(),
        kind: kind.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    }
}

/// The id of an object that is made.
fn id_of(object: &Value) -> (String, ObjectId) {
    let text = |pointer: &str| {
        object
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let version = text("/apiVersion");
    let group = version.rsplit_once('/').map_or("", |(group, _)| group);
    let id = id(
        group,
        text("/kind"),
        text("/metadata/namespace"),
        text("/metadata/name"),
    );
    (version.to_owned(), id)
}

fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn number(object: &Value, pointer: &str) -> u64 {
    object
        .pointer(pointer)
        .and_then(Value::as_u64)
        .unwrap_or_default()
}

fn is_going(live: &Live) -> bool {
    !text(&live.0, "/metadata/deletionTimestamp").is_empty()
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
            let of = text(&one, "/metadata/annotations/storage.billyronks.io~1drill-of");
            let velero = of
                .split_once('/')
                .map_or("", |(namespace, _)| namespace)
                .to_owned();
            let run = DrillRun {
                id: label(&one, DRILL_LABEL).to_owned(),
                scratch: text(&one, "/metadata/name").to_owned(),
                ..DrillRun::default()
            };
            left.insert(run.id.clone(), Left { run, velero });
        }
        for one in cluster.list_foreign(&RESTORES, &which).await?.unwrap_or_default() {
            let id = label(&one, DRILL_LABEL).to_owned();
            let namespaces = one.pointer("/spec/namespaceMapping").and_then(Value::as_object);
            let scratch = namespaces.and_then(|all| all.values().next()?.as_str());
            let run = DrillRun {
                id: id.clone(),
                scratch: scratch.unwrap_or_default().to_owned(),
                ..DrillRun::default()
            };
            let velero = text(&one, "/metadata/namespace").to_owned();
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
                ours: label(&live.0, DRILL_LABEL) == run.id,
                going: is_going(live),
            }),
            leftovers: match (&config, &restore) {
                (None, None) => Leftovers::Nothing,
                (None, Some(restore)) if is_going(restore) => Leftovers::Going,
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
            let backup = id("velero.io", "Backup", self.namespace, &run.backup);
            let is_there = self.get(VELERO, &backup).await?.is_some();
            let held = self.held(run).await?;
            seen.restored = self.restored(&name, &held).await?;
            seen.held = is_there.then_some(held.bytes);
            seen.jobs = self.jobs(run).await?;
        }
        Ok(seen)
    }

    async fn labelled(&self, kind: &Foreign, label: &str, value: &str) -> Result<Vec<Value>, ClusterError> {
        let which = Which {
            labels: Some(format!("{label}={value}")),
            ..Which::default()
        };
        // A Velero without data movers has no such kinds, and no such volumes.
        let all = self.cluster.list_foreign(kind, &which).await?.unwrap_or_default();
        let ours = all
            .into_iter()
            .filter(|one| text(one, "/metadata/namespace") == self.namespace);
        Ok(ours.collect())
    }

    async fn held(&self, run: &DrillRun) -> Result<Held, ClusterError> {
        let mut held = Held::default();
        let backup = valid_label(&run.backup);
        for one in self
            .labelled(&POD_VOLUME_BACKUPS, "velero.io/backup-name", &backup)
            .await?
        {
            if text(&one, "/spec/pod/namespace") != run.namespace {
                continue;
            }
            let mounted = mounted(&one);
            // A volume without a claim is told by its pod.
            let name = match text(&one, "/metadata/annotations/velero.io~1pvc-name") {
                "" => format!("{}/{}", mounted.0, mounted.1),
                claim => claim.to_owned(),
            };
            held.bytes
                .insert(name.clone(), number(&one, "/status/progress/totalBytes"));
            held.names.insert(mounted, name);
        }
        for one in self
            .labelled(&DATA_UPLOADS, "velero.io/backup-name", &backup)
            .await?
        {
            if text(&one, "/spec/sourceNamespace") == run.namespace {
                let claim = text(&one, "/spec/sourcePVC").to_owned();
                held.bytes
                    .insert(claim, number(&one, "/status/progress/totalBytes"));
            }
        }
        Ok(held)
    }

    async fn restored(
        &self,
        restore: &str,
        held: &Held,
    ) -> Result<BTreeMap<String, VolumeSeen>, ClusterError> {
        let mut restored = BTreeMap::new();
        let label = "velero.io/restore-name";
        for one in self.labelled(&POD_VOLUME_RESTORES, label, restore).await? {
            let mounted = mounted(&one);
            let name = held.names.get(&mounted).cloned();
            let name = name.unwrap_or_else(|| format!("{}/{}", mounted.0, mounted.1));
            restored.insert(name, volume_of(&one));
        }
        for one in self.labelled(&DATA_DOWNLOADS, label, restore).await? {
            restored.insert(text(&one, "/spec/targetVolume/pvc").to_owned(), volume_of(&one));
        }
        Ok(restored)
    }

    async fn jobs(&self, run: &DrillRun) -> Result<BTreeMap<String, JobSeen>, ClusterError> {
        let which = Which {
            labels: Some(format!("{DRILL_LABEL}={}", run.id)),
            ..Which::default()
        };
        let all = self
            .cluster
            .list_foreign(&JOBS, &which)
            .await?
            .unwrap_or_default();
        let ours = all
            .iter()
            .filter(|one| text(one, "/metadata/namespace") == run.scratch);
        let seen = ours.map(|one| (text(one, "/metadata/name").to_owned(), job_of(one)));
        Ok(seen.collect())
    }

    /// The pods that the backup holds data of, as they are in their own namespace now.
    ///
    /// # Errors
    /// Any [`ClusterError`].
    pub async fn pods(&self, run: &DrillRun) -> Result<Vec<PodSeen>, ClusterError> {
        let held = self.held(run).await?;
        let names: std::collections::BTreeSet<&String> = held.names.keys().map(|(pod, _)| pod).collect();
        let mut pods = Vec::new();
        for name in names {
            let Some(pod) = self.get("v1", &id("", "Pod", &run.namespace, name)).await? else {
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
        Ok(found.is_some_and(|live| label(&live.0, DRILL_LABEL) == run.id))
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
            let ours = label(&live.0, DRILL_LABEL) == run.id;
            if let Some(uid) = live.uid().filter(|_| ours && !is_going(&live)) {
                self.cluster.delete_object(version, &id, uid).await?;
            }
        }
        Ok(())
    }
}

fn label<'v>(object: &'v Value, key: &str) -> &'v str {
    let labels = object.pointer("/metadata/labels");
    labels
        .and_then(|labels| labels.get(key))
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// The label value that Velero makes of a name (`pkg/label.GetValidName`): one that is too long ends with a part of its SHA-256.
fn valid_label(name: &str) -> String {
    const MAX: usize = 63;
    const KEPT: usize = 6;
    if name.len() <= MAX {
        return name.to_owned();
    }
    use sha2::Digest;
    let digest = sha2::Sha256::digest(name.as_bytes());
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let cut = name.get(..MAX - KEPT).unwrap_or(name);
    format!("{cut}{}", &hex[..KEPT])
}

fn mounted(one: &Value) -> Mounted {
    (
        text(one, "/spec/pod/name").to_owned(),
        text(one, "/spec/volume").to_owned(),
    )
}

fn volume_of(one: &Value) -> VolumeSeen {
    VolumeSeen {
        phase: text(one, "/status/phase").to_owned(),
        done: number(one, "/status/progress/bytesDone"),
        total: number(one, "/status/progress/totalBytes"),
        message: text(one, "/status/message").to_owned(),
    }
}

fn restore_of(one: &Value) -> RestoreSeen {
    let mut reasons = vec![text(one, "/status/failureReason").to_owned()];
    let refusals = one.pointer("/status/validationErrors").and_then(Value::as_array);
    reasons.extend(
        refusals
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned),
    );
    reasons.retain(|reason| !reason.is_empty());
    let completed = text(one, "/status/completionTimestamp");
    RestoreSeen {
        phase: text(one, "/status/phase").to_owned(),
        errors: number(one, "/status/errors"),
        warnings: number(one, "/status/warnings"),
        reason: reasons.join("; "),
        items: (
            number(one, "/status/progress/itemsRestored"),
            number(one, "/status/progress/totalItems"),
        ),
        created: text(one, "/metadata/creationTimestamp").to_owned(),
        completed: (!completed.is_empty()).then(|| completed.to_owned()),
    }
}

fn job_of(one: &Value) -> JobSeen {
    let conditions = one.pointer("/status/conditions").and_then(Value::as_array);
    for condition in conditions.into_iter().flatten() {
        if condition["status"] != "True" {
            continue;
        }
        match text(condition, "/type") {
            "Complete" => return JobSeen::Succeeded,
            "Failed" => {
                let said = [text(condition, "/reason"), text(condition, "/message")];
                return JobSeen::Failed(said.join(": "));
            }
            _ => {}
        }
    }
    JobSeen::Running
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_labels_as_velero_makes_them() {
        assert_eq!(valid_label("short"), "short");
        // As its own test has it (`pkg/label/label_test.go`).
        let name = "this_is_a_very_long_label_value_that_will_be_rejected_by_Kubernetes";
        let label = "this_is_a_very_long_label_value_that_will_be_rejected_by_8d0722";
        assert_eq!(valid_label(name), label);
    }
}
