//! Backups as nouns: what a policy promises about which volumes, and what Velero's own objects say of them, in compact records.
//!
//! The facts about Velero are of its release 1.18: labels from `pkg/apis/velero/v1/labels_annotations.go`, phases from the types of the
//! same folder, what a pod's volume leaves behind from `pkg/podvolume/backupper.go`.

use super::ids::ClaimRef;
use super::kinds::backup::{RuleMethod, VolumeMethod, VolumeRule};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

/// Which volumes are in scope.
mod scope;

pub use scope::{Scope, matches};

/// The label by which a Backup tells its policy; what is rendered into Schedules carries it.
pub const POLICY_LABEL: &str = "storage.billyronks.io/backup-policy";

/// The label on namespaces and objects that Velero leaves out of every backup.
pub const EXCLUDE_LABEL: &str = "velero.io/exclude-from-backup";

/// A BackupPolicy by namespace and name.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyKey {
    /// Its namespace, which is Velero's own.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for PolicyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A schedule of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleOf {
    /// The Velero Schedule that it renders.
    pub object: String,
    /// The location that its backups go to.
    pub location: String,
}

/// What a BackupPolicy promises, as far as coverage is judged by it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BackupRules {
    /// Which one.
    pub policy: PolicyKey,
    /// The location of schedules that name no other.
    pub location: String,
    /// Its schedules.
    pub schedules: Vec<ScheduleOf>,
    /// Which claims are in scope.
    pub scope: Scope,
    /// How volumes get into the bucket that no rule speaks of.
    pub method: VolumeMethod,
    /// How some of them do; the first that matches counts.
    pub rules: Vec<VolumeRule>,
    /// The user's own volume policy of Velero's, which is not read.
    pub volume_policy: Option<String>,
    /// How old the newest backup that holds every volume may be.
    pub rpo: Option<Duration>,
    /// Whether its file was encrypted: then its figures and reasons stand nowhere but in its own status.
    pub secret: bool,
}

/// How the data of one volume should get into the bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// File by file.
    FsBackup,
    /// From a CSI snapshot that is copied to the bucket.
    SnapshotMove,
    /// It need not, for that reason.
    Exempt(String),
}

impl BackupRules {
    /// How the data of a volume should get into the bucket, by its StorageClass and its claim's labels.
    pub fn way<'l>(&self, storage_class: &str, label: impl Fn(&str) -> Option<&'l str>) -> Way {
        if label(EXCLUDE_LABEL) == Some("true") {
            return Way::Exempt(format!("its claim carries {EXCLUDE_LABEL}=true"));
        }
        let holds = |rule: &&VolumeRule| {
            let class = rule.storage_classes.is_empty()
                || rule.storage_classes.iter().any(|class| class == storage_class);
            let mut wanted = rule.claim_labels.iter();
            class && wanted.all(|(key, value)| label(key) == Some(value))
        };
        match self.rules.iter().find(holds) {
            Some(rule) => match rule.method {
                RuleMethod::FsBackup => Way::FsBackup,
                RuleMethod::SnapshotMove => Way::SnapshotMove,
                RuleMethod::Skip => {
                    let reason = rule.reason.clone();
                    Way::Exempt(reason.unwrap_or_else(|| "a volume rule skips it".to_owned()))
                }
            },
            None => match self.method {
                VolumeMethod::FsBackup => Way::FsBackup,
                VolumeMethod::SnapshotMove => Way::SnapshotMove,
                VolumeMethod::None => {
                    Way::Exempt("the policy backs up objects only (volumes: none)".to_owned())
                }
            },
        }
    }
}

/// A bound claim, as far as its backups are concerned.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BackupClaim {
    /// The claim.
    pub claim: ClaimRef,
    /// Its uid: a claim that is made again under the same name is another one, whose data no earlier backup holds.
    pub uid: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The StorageClass of its volume.
    pub storage_class: String,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// Whether it is a block device without a file system.
    pub block: bool,
    /// Whether its volume is a `hostPath`.
    pub host_path: bool,
    /// Whether a CSI driver provides it: only those have snapshots.
    pub csi: bool,
}

impl BackupClaim {
    /// The value of one of its labels.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.get(key).map(String::as_str)
    }
}

/// What wrote a volume's data into the bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// A PodVolumeBackup: file by file.
    FsBackup,
    /// A DataUpload: a CSI snapshot that was copied.
    SnapshotMove,
}

impl Method {
    /// As `volumeRules` write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FsBackup => "fs-backup",
            Self::SnapshotMove => "snapshot-move",
        }
    }
}

/// A PodVolumeBackup or DataUpload: the only proof that a volume's data is in the bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// Its name.
    pub name: String,
    /// Which of the two it is.
    pub method: Method,
    /// The uid of the Backup that it belongs to (`velero.io/backup-uid`).
    pub backup: String,
    /// The uid of the claim whose data it is (`velero.io/pvc-uid`); none of a volume without a claim.
    pub claim: String,
    /// Its phase.
    pub phase: String,
    /// The snapshot in the repository.
    pub snapshot: String,
    /// Bytes that were read.
    pub done: u64,
    /// Bytes that there were to be read.
    pub total: u64,
    /// `kopia`, or `restic`, whose snapshots Velero restores no more from 1.19 on.
    pub uploader: String,
    /// What it says of itself.
    pub message: String,
}

impl Upload {
    /// Whether it has yet to end.
    pub fn is_open(&self) -> bool {
        !matches!(self.phase.as_str(), "Completed" | "Failed" | "Canceled")
    }
}

/// A Backup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundBackup {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// The policy that it tells by its label.
    pub policy: String,
    /// Its location.
    pub location: String,
    /// Its phase; empty before Velero has seen it.
    pub phase: String,
    /// When it started: its data is as old as that.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub completed: Option<Timestamp>,
    /// When the object was made.
    pub created: Option<Timestamp>,
    /// How many errors it had.
    pub errors: u64,
    /// Why Velero refused it.
    pub refusals: Vec<String>,
    /// Why it failed.
    pub failure: String,
    /// Snapshots that were taken, and may have stayed on their disks.
    pub snapshots: u64,
    /// Whether snapshots are copied to the bucket.
    pub moves_data: bool,
}

impl FoundBackup {
    /// Whether it has ended. One that is being deleted is none any more.
    pub fn has_ended(&self) -> bool {
        matches!(
            self.phase.as_str(),
            "Completed" | "PartiallyFailed" | "Failed" | "FailedValidation"
        )
    }

    /// Whether it may be reading any volume of its scope, or is about to.
    pub fn reads_volumes(&self) -> bool {
        matches!(
            self.phase.as_str(),
            "" | "New" | "Queued" | "ReadyToStart" | "InProgress"
        )
    }

    /// Whether only uploads that have begun go on.
    pub fn only_uploads(&self) -> bool {
        self.phase.starts_with("WaitingForPluginOperations")
    }

    /// By what backups are put in order: when it started, or was made where it never did.
    pub fn at(&self) -> Option<Timestamp> {
        self.started.or(self.created)
    }
}

/// A Backup of no policy, or a Restore, that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Busy {
    /// Its name.
    pub name: String,
    /// Whether it restores.
    pub restores: bool,
    /// The namespaces that it reads, or writes.
    pub scope: Scope,
}

/// A BackupStorageLocation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundLocation {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// `Available`, `Unavailable`, or empty before Velero has looked.
    pub phase: String,
    /// What Velero says of it.
    pub message: String,
}

/// A Schedule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundSchedule {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// `New`, `Enabled`, `FailedValidation`, or empty before Velero has looked.
    pub phase: String,
    /// Why Velero refuses it.
    pub refusals: Vec<String>,
}

/// A BackupRepository: where a namespace's volumes are in a location.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundRepository {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its location.
    pub location: String,
    /// `New`, `Ready`, `NotReady`.
    pub phase: String,
    /// What Velero says of it.
    pub message: String,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// When it was last maintained: only a success moves this.
    pub maintained: Option<Timestamp>,
    /// How often Velero maintains it.
    pub frequency: Option<Duration>,
    /// Why the last maintenance failed, if it did.
    pub refusal: String,
}

/// A pod, as far as it mounts claims.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundPod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its phase.
    pub phase: String,
    /// Claims that it mounts, with the names of the volumes.
    pub mounts: Vec<(String, String)>,
    /// Volumes that its annotation `backup.velero.io/backup-volumes-excludes` leaves out.
    pub excluded: BTreeSet<String>,
}

/// What was found of Velero, except uploads and pods, which are read where they are asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VeleroState {
    /// Backups that tell a policy.
    pub backups: Vec<FoundBackup>,
    /// Locations.
    pub locations: Vec<FoundLocation>,
    /// Schedules.
    pub schedules: Vec<FoundSchedule>,
    /// Repositories.
    pub repositories: Vec<FoundRepository>,
    /// Namespaces that are left out of every backup.
    pub excluded_namespaces: BTreeSet<String>,
    /// Restores of claims that people have asked for and that have not ended, by namespace.
    pub restoring: BTreeMap<String, String>,
    /// What Velero does for others: backups of no policy, and restores.
    pub busy: Vec<Busy>,
    /// Namespaces where Velero's node agent is installed; nobody knows of any where this is `None`.
    pub node_agents: Option<BTreeSet<String>>,
}

/// Why nothing is known of backups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unseen {
    /// The cluster does not have Velero's kinds.
    Absent,
    /// They could not be read.
    Unreadable(String),
}
