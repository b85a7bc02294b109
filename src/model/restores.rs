//! Restores that a person asks for, as nouns: what is asked, what the cluster holds of it, and what would be done.

use super::backups::{FoundBackup, FoundLocation, Upload};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// The record of a restore that is under way.
pub mod run;

/// How long a backup must still be there when a restore begins and when claims are exchanged, in seconds.
pub const LEFT_SECS_MIN: i64 = 3600;

/// What a person asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Asked {
    /// The namespace.
    pub namespace: String,
    /// Its claims; none means all that the backup holds.
    pub claims: BTreeSet<String>,
    /// The backup; otherwise the newest that holds what is asked.
    pub backup: Option<String>,
    /// The policy whose backups may be chosen.
    pub policy: Option<String>,
    /// Whether claims that exist get what the backup holds.
    pub replace: bool,
}

/// The namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NamespaceSeen {
    /// There is none of its name.
    #[default]
    Absent,
    /// It is there.
    Active,
    /// It is being deleted.
    Terminating,
}

/// A Backup, as far as restoring from it is concerned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackupFacts {
    /// What coverage is judged by.
    pub found: FoundBackup,
    /// When Velero deletes it.
    pub expires: Option<Timestamp>,
    /// Whether it is being deleted.
    pub going: bool,
    /// Namespaces that it includes; none means all.
    pub included: Vec<String>,
    /// Namespaces that it leaves out.
    pub excluded: Vec<String>,
    /// Whether it takes pods, through which Velero restores what fs-backup has read.
    pub has_pods: bool,
}

/// What a backup holds of one claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The claim's name.
    pub claim: String,
    /// What was written into the bucket.
    pub upload: Upload,
}

/// A claim that is there now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClaimFacts {
    /// As coverage judges it.
    pub claim: super::backups::BackupClaim,
    /// The PersistentVolume that it is bound to; empty while there is none.
    pub volume: String,
    /// Whether that volume is there no more, so that the claim is Lost.
    pub volume_gone: bool,
    /// Whether that volume is being deleted: nothing would keep it once its claim is gone.
    pub volume_going: bool,
    /// Whether that volume stays when its claim goes.
    pub volume_stays: bool,
    /// Whether the claim is bound to it.
    pub bound: bool,
    /// Whether the claim is being deleted.
    pub going: bool,
    /// In which modes it may be mounted.
    pub modes: BTreeSet<String>,
    /// How large it is, or asks to be, in bytes.
    pub bytes: u64,
    /// Whether an annotation tells Flux to leave it alone as it is.
    pub left_alone_by_flux: bool,
    /// The id of the move of workloads that made it; empty of any other.
    pub moves: String,
}

/// The object that makes another one.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    /// Its group.
    pub group: String,
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// A pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodFacts {
    /// Its name.
    pub name: String,
    /// What makes it.
    pub owner: Option<Owner>,
    /// Whether it has ended. It holds its claims all the same: none of them goes while its pod is there.
    pub ended: bool,
    /// Claims that it mounts.
    pub claims: BTreeSet<String>,
}

/// A workload that may start pods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkloadFacts {
    /// Which one.
    pub itself: Owner,
    /// What makes it.
    pub owner: Option<Owner>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// How many pods it keeps; of a CronJob, whether it starts Jobs (1) or is suspended (0).
    pub replicas: i64,
    /// Claims that its pods mount by name.
    pub claims: BTreeSet<String>,
    /// Beginnings of the names of claims that a StatefulSet makes, which an ordinal follows.
    pub templates: BTreeSet<String>,
    /// Whether a StatefulSet deletes claims of pods that it scales away.
    pub deletes_claims: bool,
}

/// A Kustomization or a HelmRelease of Flux.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FluxFacts {
    /// `Kustomization` or `HelmRelease`.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Whether it is suspended.
    pub suspended: bool,
    /// What it keeps in the namespace: `Kind/name`.
    pub keeps: BTreeSet<String>,
    /// PersistentVolumes that it keeps.
    pub volumes: BTreeSet<String>,
    /// Whether it installs into the namespace, whatever it keeps there.
    pub installs: bool,
}

/// What would scale a workload up again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScalerFacts {
    /// `HorizontalPodAutoscaler` or `ScaledObject`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// What it scales: `Kind/name`.
    pub target: String,
    /// Whether it is paused.
    pub paused: bool,
}

/// Everything that a restore is decided by, read at one time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// The namespace.
    pub namespace: NamespaceSeen,
    /// What the namespace demands of pods (`pod-security.kubernetes.io/enforce`); empty when it demands nothing.
    pub enforces: String,
    /// All backups.
    pub backups: Vec<BackupFacts>,
    /// Their locations.
    pub locations: Vec<FoundLocation>,
    /// Claims of the namespace.
    pub claims: Vec<ClaimFacts>,
    /// Pods of the namespace.
    pub pods: Vec<PodFacts>,
    /// Workloads of the namespace.
    pub workloads: Vec<WorkloadFacts>,
    /// Flux.
    pub flux: Vec<FluxFacts>,
    /// What scales workloads of the namespace.
    pub scalers: Vec<ScalerFacts>,
    /// StorageClasses.
    pub classes: BTreeSet<String>,
    /// Drills and restores of the namespace that are under way, in words.
    pub busy: Vec<String>,
    /// Clusters of CloudNativePG; read for moves of workloads only.
    pub clusters: super::cnpg::Clusters,
    /// Claims that a backup is known not to hold, by the name of the backup: claim and reason.
    pub uncovered: BTreeMap<String, Vec<(String, String)>>,
}

/// How a restore goes about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
pub enum Way {
    /// Everything that the backup has of the namespace, for nothing is there.
    #[default]
    Everything,
    /// The data of claims, for the rest is there.
    Volumes,
}

/// What happens to a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Fate {
    /// It is made, with the data of the backup.
    Created,
    /// It gets a new volume with the data of the backup; the old volume is kept.
    Replaced,
    /// It stays as it is.
    LeftAlone,
}

/// A claim of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedClaim {
    /// Its name.
    pub claim: String,
    /// How its data came into the bucket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<&'static str>,
    /// How much of it there is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Why the backup holds nothing of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
    /// Whether it is there now.
    pub exists: bool,
    /// The volume that it is bound to now.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub volume: String,
    /// Its StorageClass now.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub storage_class: String,
    /// Pods that use it now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub used_by: Vec<String>,
    /// What happens to it.
    pub fate: Fate,
}

/// A workload that is scaled down while claims are exchanged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedWorkload {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// How many pods it keeps now; of a CronJob, whether it starts Jobs.
    pub replicas: i64,
}

/// A Flux object that is suspended meanwhile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedFlux {
    /// Its kind.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Whether it is suspended already, and stays so.
    pub suspended: bool,
}

/// Why a restore is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// In one word.
    pub reason: &'static str,
    /// Why, and what to do.
    pub message: String,
}

/// The backup that is chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Chosen {
    /// Velero's namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its policy, if it tells one.
    pub policy: String,
    /// Its location.
    pub location: String,
    /// When it started: its data is as old as that.
    pub started_at: Option<Timestamp>,
    /// When Velero deletes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// What would be done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The namespace.
    pub namespace: String,
    /// How.
    pub way: Way,
    /// The backup.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<Chosen>,
    /// Newer backups that were passed over, and why.
    pub passed_over: Vec<(String, String)>,
    /// Claims.
    pub claims: Vec<PlannedClaim>,
    /// Workloads that are scaled down meanwhile.
    pub workloads: Vec<PlannedWorkload>,
    /// Flux objects that are suspended meanwhile.
    pub flux: Vec<PlannedFlux>,
    /// What else is to be known.
    pub notes: Vec<String>,
    /// Why it is refused; nothing when it is not.
    pub refusals: Vec<Refusal>,
}
