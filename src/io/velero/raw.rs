//! Velero's objects as they are read: of each only what coverage is judged by. What is missing is empty, for Velero fills objects step by
//! step.

use super::{BACKUP_UID, CLAIM_UID, EXCLUDED_VOLUMES, names};
use crate::formats::duration;
use crate::model::backups::{
    self, Busy, FoundBackup, FoundLocation, FoundPod, FoundRepository, FoundSchedule, Method, POLICY_LABEL,
    Scope,
};
use jiff::Timestamp;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Meta {
    pub(super) name: String,
    pub(super) namespace: String,
    uid: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    creation_timestamp: Option<Timestamp>,
}

impl Meta {
    fn label(&self, key: &str) -> String {
        self.labels.get(key).cloned().unwrap_or_default()
    }
}

#[derive(Deserialize)]
pub(super) struct Named {
    pub(super) metadata: Meta,
}

#[derive(Deserialize)]
pub(super) struct Backup {
    metadata: Meta,
    #[serde(default)]
    spec: BackupSpec,
    #[serde(default)]
    status: BackupStatus,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct BackupSpec {
    storage_location: String,
    snapshot_move_data: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct BackupStatus {
    phase: String,
    start_timestamp: Option<Timestamp>,
    completion_timestamp: Option<Timestamp>,
    errors: u64,
    validation_errors: Vec<String>,
    failure_reason: String,
    csi_volume_snapshots_completed: u64,
    volume_snapshots_completed: u64,
}

impl From<Backup> for FoundBackup {
    fn from(raw: Backup) -> Self {
        let Backup {
            metadata,
            spec,
            status,
        } = raw;
        Self {
            policy: metadata.label(POLICY_LABEL),
            namespace: metadata.namespace,
            name: metadata.name,
            uid: metadata.uid,
            location: spec.storage_location,
            phase: status.phase,
            started: status.start_timestamp,
            completed: status.completion_timestamp,
            created: metadata.creation_timestamp,
            errors: status.errors,
            refusals: status.validation_errors,
            failure: status.failure_reason,
            snapshots: status
                .csi_volume_snapshots_completed
                .saturating_add(status.volume_snapshots_completed),
            moves_data: spec.snapshot_move_data == Some(true),
        }
    }
}

/// A Backup or a Restore of somebody else's.
#[derive(Deserialize)]
pub(super) struct Others {
    metadata: Meta,
    #[serde(default)]
    spec: OthersSpec,
    #[serde(default)]
    status: OthersStatus,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct OthersSpec {
    included_namespaces: Option<Vec<String>>,
    excluded_namespaces: Option<Vec<String>>,
    namespace_mapping: Option<BTreeMap<String, String>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct OthersStatus {
    phase: String,
}

impl Others {
    /// What it keeps busy; nothing once it has ended.
    pub(super) fn busy(self, restores: bool) -> Option<Busy> {
        const ENDED: [&str; 5] = [
            "Completed",
            "PartiallyFailed",
            "Failed",
            "FailedValidation",
            "Deleting",
        ];
        if ENDED.contains(&self.status.phase.as_str()) {
            return None;
        }
        let mapping = self.spec.namespace_mapping.unwrap_or_default();
        let mut included = self.spec.included_namespaces.unwrap_or_default();
        for namespace in &mut included {
            if let Some(other) = mapping.get(namespace) {
                namespace.clone_from(other);
            }
        }
        if included.is_empty() {
            included.push("*".to_owned());
        }
        Some(Busy {
            name: self.metadata.name,
            restores,
            scope: Scope {
                included,
                excluded: self.spec.excluded_namespaces.unwrap_or_default(),
                labels: BTreeMap::new(),
            },
        })
    }
}

/// A PodVolumeBackup or a DataUpload: what is read of them is called the same in both.
#[derive(Deserialize)]
pub(super) struct Upload {
    metadata: Meta,
    #[serde(default)]
    spec: UploadSpec,
    #[serde(default)]
    status: UploadStatus,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct UploadSpec {
    uploader_type: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct UploadStatus {
    phase: String,
    #[serde(rename = "snapshotID")]
    snapshot_id: String,
    message: String,
    progress: Progress,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Progress {
    total_bytes: i64,
    bytes_done: i64,
}

impl Upload {
    pub(super) fn record(self, method: Method) -> backups::Upload {
        // Velero writes minus one where it cannot tell; that equals nothing that was read.
        let bytes = |count: i64, unknown: u64| u64::try_from(count).unwrap_or(unknown);
        backups::Upload {
            backup: self.metadata.label(BACKUP_UID),
            claim: self.metadata.label(CLAIM_UID),
            name: self.metadata.name,
            method,
            phase: self.status.phase,
            snapshot: self.status.snapshot_id,
            done: bytes(self.status.progress.bytes_done, 0),
            total: bytes(self.status.progress.total_bytes, u64::MAX),
            uploader: self.spec.uploader_type,
            message: self.status.message,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Location {
    metadata: Meta,
    #[serde(default)]
    status: Standing,
}

/// What locations, schedules and repositories say of themselves.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Standing {
    phase: String,
    message: String,
    validation_errors: Vec<String>,
    last_maintenance_time: Option<Timestamp>,
    recent_maintenance: Vec<Maintenance>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Maintenance {
    result: String,
    message: String,
}

impl From<Location> for FoundLocation {
    fn from(raw: Location) -> Self {
        Self {
            namespace: raw.metadata.namespace,
            name: raw.metadata.name,
            phase: raw.status.phase,
            message: raw.status.message,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Schedule {
    metadata: Meta,
    #[serde(default)]
    status: Standing,
}

impl From<Schedule> for FoundSchedule {
    fn from(raw: Schedule) -> Self {
        Self {
            namespace: raw.metadata.namespace,
            name: raw.metadata.name,
            phase: raw.status.phase,
            refusals: raw.status.validation_errors,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Repository {
    metadata: Meta,
    #[serde(default)]
    spec: RepositorySpec,
    #[serde(default)]
    status: Standing,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RepositorySpec {
    backup_storage_location: String,
    maintenance_frequency: String,
}

impl From<Repository> for FoundRepository {
    fn from(raw: Repository) -> Self {
        let last = raw.status.recent_maintenance.into_iter().last();
        Self {
            namespace: raw.metadata.namespace,
            name: raw.metadata.name,
            location: raw.spec.backup_storage_location,
            phase: raw.status.phase,
            message: raw.status.message,
            created: raw.metadata.creation_timestamp,
            maintained: raw.status.last_maintenance_time,
            frequency: duration::parse(&raw.spec.maintenance_frequency).ok(),
            refusal: last
                .filter(|last| last.result == "Failed")
                .map(|last| last.message)
                .unwrap_or_default(),
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Pod {
    metadata: Meta,
    #[serde(default)]
    spec: PodSpec,
    #[serde(default)]
    status: Standing,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PodSpec {
    volumes: Vec<PodVolume>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PodVolume {
    name: String,
    persistent_volume_claim: Option<ClaimSource>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ClaimSource {
    claim_name: String,
}

impl From<Pod> for FoundPod {
    fn from(raw: Pod) -> Self {
        let mounts = raw.spec.volumes.into_iter();
        Self {
            excluded: names(raw.metadata.annotations.get(EXCLUDED_VOLUMES)),
            namespace: raw.metadata.namespace,
            name: raw.metadata.name,
            labels: raw.metadata.labels,
            phase: raw.status.phase,
            mounts: mounts
                .filter_map(|one| Some((one.name, one.persistent_volume_claim?.claim_name)))
                .collect(),
        }
    }
}
