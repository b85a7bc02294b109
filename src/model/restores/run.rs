//! A restore that is under way: what is written down of it, and what is seen of it.

use super::{Asked, Way};
use crate::model::drills::{RestoreSeen, ScratchSeen, VolumeSeen, scratch_name};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The label of everything that a restore makes: its id.
pub const RESTORE_LABEL: &str = "storage.billyronks.io/restore";

/// The label of a record with the namespace that is restored.
pub const RESTORE_OF_LABEL: &str = "storage.billyronks.io/restore-of";

/// The steps of a restore, in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Phase {
    /// The scratch namespace is made.
    #[default]
    Prepare,
    /// Velero restores, into the scratch namespace where something of the namespace is there.
    Restore,
    /// What was restored is compared with what the backup holds.
    Check,
    /// Old and new volumes are kept from being deleted with their claims, and nothing uses the new ones.
    Keep,
    /// Flux is suspended.
    Suspend,
    /// Workloads are scaled down.
    ScaleDown,
    /// Pods that use the claims end.
    Drain,
    /// Claims are bound to their other volumes.
    Exchange,
    /// Workloads are scaled up again.
    ScaleUp,
    /// Flux is resumed.
    Resume,
    /// What the restore made is deleted.
    CleanUp,
}

/// A claim that is restored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClaimRun {
    /// Its name.
    pub name: String,
    /// Bytes that the backup holds of it.
    pub bytes: u64,
    /// Whether it was there when the restore began: one that appears later is somebody's, and is not replaced.
    pub there: bool,
    /// The volume that it was bound to, if it was there.
    pub old_volume: Option<String>,
    /// What was to become of that volume after its claim.
    pub old_policy: Option<String>,
    /// The claim as it was, to be made again.
    pub old_claim: Option<Value>,
    /// The volume with the restored data.
    pub new_volume: Option<String>,
    /// What is to become of that volume after its claim.
    pub new_policy: Option<String>,
    /// The claim as it is made.
    pub new_claim: Option<Value>,
}

/// A workload that is scaled down.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkloadRun {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// How many pods it kept, once that is written down.
    pub replicas: Option<i64>,
}

/// A Flux object that is suspended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FluxRun {
    /// Its kind.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Whether somebody had suspended it before, once that is written down.
    pub was_suspended: Option<bool>,
}

/// A restore, as it is written down before each step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RestoreRun {
    /// Which one: it ends the names of what the restore makes.
    pub id: String,
    /// Where it is.
    pub phase: Phase,
    /// How it goes about it.
    pub way: Way,
    /// The Backup.
    pub backup: String,
    /// The namespace.
    pub namespace: String,
    /// The scratch namespace.
    pub scratch: String,
    /// What was asked: whoever asks for something else does not go on with it.
    pub asked: Asked,
    /// When it began (RFC 3339).
    pub started_at: String,
    /// When Velero's Restore was made (RFC 3339).
    pub restore_started_at: Option<String>,
    /// Its claims.
    pub claims: Vec<ClaimRun>,
    /// Workloads that are scaled down meanwhile.
    pub workloads: Vec<WorkloadRun>,
    /// Flux objects that are suspended meanwhile.
    pub flux: Vec<FluxRun>,
    /// Why it has failed.
    pub failure: Option<String>,
    /// Whether it is taken back.
    pub aborted: bool,
}

impl RestoreRun {
    /// The name of its record and of its Restore.
    pub fn object_name(&self) -> String {
        format!("couchestor-restore-{}", self.id)
    }

    /// The name of its scratch namespace; a record that names another one is not this release's.
    pub fn scratch_name(&self) -> String {
        scratch_name("restore", &self.namespace, &self.id)
    }

    /// The name of the ConfigMap with the changes to what is restored.
    pub fn changes_name(&self) -> String {
        format!("{}-changes", self.object_name())
    }
}

/// A claim as it is now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClaimSeen {
    /// The volume that it names; empty while it names none.
    pub volume: String,
    /// Its phase.
    pub phase: String,
    /// Whether it is being deleted.
    pub going: bool,
    /// The claim as it would be made again, without its volume.
    pub manifest: Value,
}

/// What keeps a volume when its claim goes: its reclaim policy, as Kubernetes writes it.
pub const RETAIN: &str = "Retain";

/// A volume as it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VolumeNow {
    /// What becomes of it after its claim.
    pub policy: String,
    /// The claim that it is for: namespace and name; both empty when it is for none.
    pub claim: (String, String),
    /// The uid of that claim; empty when any of that name may have it.
    pub claim_uid: String,
    /// Whether it is being deleted: then nothing keeps it once its claim is gone.
    pub going: bool,
    /// Its class.
    pub class: String,
    /// The id of the move of workloads that keeps it; empty when none does.
    pub mark: String,
    /// Its phase.
    pub phase: String,
    /// The version that was seen.
    pub version: String,
}

/// Everything that the next step depends on, read at one time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// Why the backup may not be counted on any more, if it may not.
    pub backup_lost: Option<String>,
    /// The scratch namespace, if there is one of its name.
    pub scratch: Option<ScratchSeen>,
    /// Whether everything that surrounds the restore is there.
    pub prepared: bool,
    /// Velero's Restore.
    pub restore: Option<RestoreSeen>,
    /// Volumes as Velero restored them, by claim.
    pub restored: BTreeMap<String, VolumeSeen>,
    /// Claims of the scratch namespace.
    pub scratch_claims: BTreeMap<String, ClaimSeen>,
    /// Pods of the scratch namespace: those that nobody has deleted yet, and those that are going.
    pub scratch_pods: (usize, usize),
    /// Claims of the namespace.
    pub claims: BTreeMap<String, ClaimSeen>,
    /// PersistentVolumes of this restore, by name.
    pub volumes: BTreeMap<String, VolumeNow>,
    /// How many pods each workload keeps, in the order of the record; nothing of one that is gone.
    pub workloads: Vec<Option<i64>>,
    /// Whether each Flux object is suspended, in the order of the record; nothing of one that is gone.
    pub flux: Vec<Option<bool>>,
    /// Pods that use the claims.
    pub users: BTreeSet<String>,
    /// Whether anything else that the restore made is there: Velero's Restore, changes to what is restored.
    pub leftovers: crate::model::drills::Leftovers,
}

/// What is done. Each of them may be done again; numbers are places in the lists of the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Make the scratch namespace and what surrounds it.
    Prepare,
    /// Make Velero's Restore.
    Restore,
    /// Keep a volume when its claim goes.
    Retain(String),
    /// Say again what becomes of a volume after its claim.
    Release(String, String),
    /// Delete the pods that brought the data.
    EndCarriers,
    /// Suspend a Flux object.
    Suspend(usize),
    /// Scale a workload down to nothing.
    ScaleDown(usize),
    /// Delete a claim that is bound to this volume, or to none yet.
    DeleteClaim(usize, String),
    /// Delete a claim of the scratch namespace.
    DeleteScratchClaim(usize),
    /// Let a volume be for a claim of that name, and for no other.
    Reserve(usize, String),
    /// Make a claim, bound to a volume if one is named.
    MakeClaim(usize, Option<String>),
    /// Scale a workload up to what it was.
    ScaleUp(usize),
    /// Resume a Flux object.
    Resume(usize),
    /// Delete what the restore made.
    CleanUp,
}
