//! Restore drills, and what is known of a policy's backups: the part of a `BackupPolicy` that proves its promises.

use super::backup::KeyRef;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How it is proved that a backup can be restored: into a scratch namespace without network, with workloads that do nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DrillSpec {
    /// When, as `schedules` write it.
    pub schedule: String,
    /// The namespaces that are restored, one after the other; absent means all of `includedNamespaces`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    /// How long a drill proves anything, a Go duration.
    #[serde(default = "default_evidence_age")]
    pub evidence_age: String,
    /// Over how many of the last drills the `rto` is held against the 95th percentile.
    #[serde(default = "default_window")]
    #[schemars(range(min = 1, max = 50))]
    pub window: u32,
    /// How long a drill may take before it is given up, a Go duration.
    #[serde(default = "default_timeout")]
    pub timeout: String,
    /// What must be found in restored volumes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub sentinels: Vec<Sentinel>,
    /// A ConfigMap in the policy's namespace with the manifest of a Job that looks at what was restored; it must succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<KeyRef>,
    /// The image that looks for sentinels and stands in for workloads; it needs `sh`, `sleep`, `cat` and `sha256sum`.
    #[serde(default = "default_image")]
    pub image: String,
}

fn default_evidence_age() -> String {
    "168h".to_owned()
}

fn default_window() -> u32 {
    10
}

fn default_timeout() -> String {
    "1h".to_owned()
}

fn default_image() -> String {
    "docker.io/library/busybox:1.37".to_owned()
}

/// A file that a restored volume must have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Sentinel {
    /// The namespace that was backed up.
    pub namespace: String,
    /// The claim in it.
    pub claim: String,
    /// The file, from the root of the volume.
    pub path: String,
    /// The SHA-256 of its content, in hexadecimal digits; absent means that it must be there and not be empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9a-f]{64}$"))]
    pub sha256: Option<String>,
}

/// What is known of a policy's backups.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupPolicyStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready: the schedules are accepted, the newest backup holds every volume and is no older than `rpo`, and the drills hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The newest backup that ended, whatever it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<BackupSeen>,
    /// The newest backup that holds every volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub covered: Option<BackupSeen>,
    /// The drill that runs, step by step written down before it is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drill: Option<DrillRun>,
    /// The request for a drill that was answered last, as the annotation had it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handled_request: Option<String>,
    /// Drills that ended, the newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drills: Vec<DrillRecord>,
}

/// One backup as it was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupSeen {
    /// Velero's Backup.
    pub name: String,
    /// Its location.
    pub location: String,
    /// When it started (RFC 3339): its data is as old as that.
    pub started_at: String,
    /// When it ended (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<String>,
    /// Velero's phase.
    pub phase: String,
    /// Volumes in scope.
    pub volumes: u32,
    /// Those whose data is proved to be in the bucket.
    pub covered: u32,
    /// Those that the policy exempts.
    pub exempt: u32,
    /// Bytes that were uploaded for them.
    pub bytes: u64,
    /// The others, the first twenty of them, each with its reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uncovered: Vec<UncoveredVolume>,
}

/// A volume that a backup does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UncoveredVolume {
    /// The namespace of its claim.
    pub namespace: String,
    /// Its claim.
    pub claim: String,
    /// Why not, in one word.
    pub reason: String,
    /// Why not, and what to do, in words.
    pub message: String,
}

/// The annotation on a BackupPolicy by which a person asks for a drill now: any new word, and after a slash the namespace to restore.
pub const DRILL_REQUESTED: &str = "storage.billyronks.io/drill-requested";

/// The label of everything that a drill makes: its id.
pub const DRILL_LABEL: &str = "storage.billyronks.io/drill";

/// The label that names the policy of a drill.
pub const DRILL_POLICY_LABEL: &str = "storage.billyronks.io/drill-policy";

/// The steps of a drill, in order.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum DrillPhase {
    /// It was decided, and nothing was made.
    #[default]
    Pending,
    /// The scratch namespace is made, with its network policy and quota.
    Prepare,
    /// Velero restores.
    Restore,
    /// What was restored is checked.
    Check,
    /// What the drill made is taken away.
    CleanUp,
}

/// A drill that runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DrillRun {
    /// Which one: it ends the names of what the drill makes.
    pub id: String,
    /// Where it is.
    pub phase: DrillPhase,
    /// The Backup that is restored.
    pub backup: String,
    /// Its location, of which one drill runs at a time.
    pub location: String,
    /// When the backup started (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_started_at: Option<String>,
    /// The namespace that is restored.
    pub namespace: String,
    /// The scratch namespace.
    pub scratch: String,
    /// When the drill started (RFC 3339).
    pub started_at: String,
    /// When the Restore was made (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_started_at: Option<String>,
    /// When Velero ended the Restore (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored_at: Option<String>,
    /// What was found so far.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<DrillCheck>,
    /// Why it fails, once that is known: only taking away is left then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// What it waits for, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Who asked for it by command, where no schedule did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested: Option<String>,
}

/// One thing that a drill looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DrillCheck {
    /// What: `objects`, `volume <claim>`, `sentinel <claim>/<path>`, `job <name>`.
    pub name: String,
    /// Whether it holds.
    pub passed: bool,
    /// What was found.
    pub message: String,
}

/// A drill that ended: the evidence.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DrillRecord {
    /// Which one.
    pub id: String,
    /// The Backup that was restored.
    pub backup: String,
    /// When the backup started (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_started_at: Option<String>,
    /// The namespace that was restored.
    pub namespace: String,
    /// When it started (RFC 3339).
    pub started_at: String,
    /// When it ended (RFC 3339).
    pub finished_at: String,
    /// Whether all checks held.
    pub passed: bool,
    /// Seconds from the Restore's making to its end; absent when it did not end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_seconds: Option<u64>,
    /// The claims whose volumes came back byte for byte. Only the newest drill of a namespace has them in a status.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<String>,
    /// What was found. Of older drills of a namespace a status has what failed only; the audit branch has all of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<DrillCheck>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}
