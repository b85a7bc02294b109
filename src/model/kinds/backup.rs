//! `BackupLocation` and `BackupPolicy`: where backups go, and which are made. They render Velero's objects.

use super::LocalRef;
use super::drill::{BackupPolicyStatus, DrillSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An S3-compatible bucket. Velero looks only at its own namespace, so that is where this belongs.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "storage.billyronks.io",
    version = "v1",
    kind = "BackupLocation",
    namespaced,
    status = "BackupStatus",
    category = "couchestor",
    doc = "Where backups go: renders a Velero BackupStorageLocation",
    printcolumn(name = "Bucket", type_ = "string", json_path = ".spec.bucket"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(has(self.forcePathStyle) && self.forcePathStyle) || has(self.region)").message("region is required with forcePathStyle"))]
pub struct BackupLocationSpec {
    /// The bucket.
    pub bucket: String,
    /// A folder in it; its root must hold nothing but Velero's own folders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// The region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The server's address without a path, such as `https://s3.example.org`; absent for AWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^https?://[^/?#]+$"))]
    pub endpoint: Option<String>,
    /// The server's address for people outside of the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_url: Option<String>,
    /// Whether the bucket stands in the path, as most servers other than AWS need it.
    #[serde(default)]
    pub force_path_style: bool,
    /// Checksum of uploads (`CRC32`, `CRC32C`, `SHA1`, `SHA256`); an empty one switches it off, as Ceph RGW and Backblaze B2 need it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum_algorithm: Option<String>,
    /// The certificates of the authority that the server's is signed by, in PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_cert: Option<String>,
    /// The Secret that holds them, in this namespace; Velero reads it from 1.18 on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_cert_ref: Option<KeyRef>,
    /// Whether credentials and backups may travel without TLS (an `http://` endpoint).
    #[serde(default)]
    pub allow_insecure: bool,
    /// Encryption by the server, such as `AES256` or `aws:kms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_side_encryption: Option<String>,
    /// The key of the server's key service; not together with `customerKeyEncryptionSecret`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_key_id: Option<String>,
    /// A Secret with a key of ours for the server to encrypt with, as `<name>/<key>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer_key_encryption_secret: Option<String>,
    /// Tags of every object that is written to the bucket, at most ten.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// The Secret with the credentials, in this namespace.
    pub credentials: CredentialsRef,
    /// Whether backups that name no location go here. At most one location may say so.
    #[serde(default)]
    pub default: bool,
    /// Whether backups may be written.
    #[serde(default)]
    pub access_mode: AccessMode,
    /// How often Velero checks the location, a Go duration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_frequency: Option<String>,
    /// How often Velero reads the location's backups, a Go duration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_sync_period: Option<String>,
}

/// A key of a Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CredentialsRef {
    /// The Secret.
    pub name: String,
    /// Its key; Velero's charts call it `cloud`.
    #[serde(default = "default_credentials_key")]
    pub key: String,
}

fn default_credentials_key() -> String {
    "cloud".to_owned()
}

/// A key of a Secret or a ConfigMap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeyRef {
    /// The object.
    pub name: String,
    /// Its key.
    pub key: String,
}

/// Whether backups may be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AccessMode {
    /// They may.
    #[default]
    ReadWrite,
    /// They may only be restored.
    ReadOnly,
}

/// Which backups are made of what, what they promise, and how that is proved. Renders one Velero Schedule per entry of `schedules`.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "storage.billyronks.io",
    version = "v1",
    kind = "BackupPolicy",
    namespaced,
    status = "BackupPolicyStatus",
    category = "couchestor",
    doc = "Which backups are made, and what they promise: renders Velero Schedules",
    printcolumn(name = "Location", type_ = "string", json_path = ".spec.location"),
    printcolumn(name = "Newest", type_ = "date", json_path = ".status.covered.startedAt"),
    printcolumn(name = "Drilled", type_ = "date", json_path = ".status.drills[0].finishedAt"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(has(self.volumePolicy) && has(self.volumeRules))").message("volumeRules are rendered into a volume policy: write one of volumeRules and volumePolicy"))]
pub struct BackupPolicySpec {
    /// The BackupLocation in this namespace that schedules use unless they name another.
    pub location: String,
    /// When, where else, and for how long backups are kept. Daily, weekly and monthly backups are three of them.
    #[schemars(length(min = 1, max = 20))]
    pub schedules: Vec<BackupSchedule>,
    /// Namespaces that are backed up.
    #[schemars(length(min = 1))]
    pub included_namespaces: Vec<String>,
    /// Namespaces that are not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excluded_namespaces: Vec<String>,
    /// Only objects with these labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_selector: Option<super::LabelSelector>,
    /// How the data of volumes gets into the bucket, where no entry of `volumeRules` says otherwise.
    #[serde(default)]
    pub volumes: VolumeMethod,
    /// How the data of some volumes gets there, or that it does not and why. The first that matches counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub volume_rules: Vec<VolumeRule>,
    /// Commands in containers before and after their volumes are read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub hooks: Vec<BackupHook>,
    /// Labels of the backups.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// How old the newest backup that holds every volume may be, a Go duration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpo: Option<String>,
    /// How long a restore may take, a Go duration; held against the drills.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rto: Option<String>,
    /// How it is proved, again and again, that a backup can be restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drill: Option<DrillSpec>,
    /// A ConfigMap with a volume policy of Velero's, in this namespace, instead of `volumeRules`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_policy: Option<LocalRef>,
}

/// Some volumes, and how their data gets into the bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VolumeRule {
    /// Only volumes of these StorageClasses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub storage_classes: Vec<String>,
    /// Only volumes whose claims have these labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub claim_labels: BTreeMap<String, String>,
    /// How.
    pub method: RuleMethod,
    /// Why these volumes need no backup of their data; `skip` demands it. It is the exemption that coverage reports repeat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How the data of some volumes gets into the bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RuleMethod {
    /// File by file, by Velero's node agent.
    FsBackup,
    /// From a CSI snapshot that is copied to the bucket.
    SnapshotMove,
    /// Not at all.
    Skip,
}

impl BackupPolicySpec {
    /// Whether data of some volumes comes out of snapshots.
    pub fn takes_snapshots(&self) -> bool {
        let mut rules = self.volume_rules.iter();
        self.volumes == VolumeMethod::SnapshotMove
            || rules.any(|rule| rule.method == RuleMethod::SnapshotMove)
    }

    /// Whether data of some volumes is uploaded at all.
    pub fn uploads(&self) -> bool {
        let mut rules = self.volume_rules.iter();
        self.volume_policy.is_some()
            || self.volumes != VolumeMethod::None
            || rules.any(|rule| rule.method != RuleMethod::Skip)
    }
}

/// Commands that run in a container around the backup of its pod's volumes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupHook {
    /// Its name.
    pub name: String,
    /// Only pods of these namespaces; absent means all of the policy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    /// Only pods with these labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<super::LabelSelector>,
    /// Before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pre: Option<HookCommand>,
    /// After.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub post: Option<HookCommand>,
}

/// A command in a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HookCommand {
    /// The container; absent means the pod's first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Program and arguments.
    #[schemars(length(min = 1))]
    pub command: Vec<String>,
    /// What a failure means for the backup.
    #[serde(default)]
    pub on_error: OnError,
    /// How long it may take, a Go duration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
}

/// What a failed command means for the backup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnError {
    /// The backup fails in part.
    #[default]
    Fail,
    /// The backup goes on.
    Continue,
}

/// How the data of volumes gets into the bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum VolumeMethod {
    /// File by file, by Velero's node agent: the only way for LocalPV hostpath.
    #[default]
    FsBackup,
    /// From a CSI snapshot that is copied to the bucket: for Mayastor, LVM and ZFS.
    SnapshotMove,
    /// Objects only.
    None,
}

/// One schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupSchedule {
    /// Its name; the Velero Schedule is called `<policy>-<name>`.
    pub name: String,
    /// Five cron fields, or one of `@daily`, `@every 6h` and the like.
    pub schedule: String,
    /// How long a backup is kept, a Go duration such as `720h`.
    #[serde(default = "default_ttl")]
    pub ttl: String,
    /// Another BackupLocation than the policy's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// Whether it pauses.
    #[serde(default)]
    pub paused: bool,
}

fn default_ttl() -> String {
    "720h".to_owned()
}

/// Whether backups can be written to a location.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, and once a policy of the repository speaks of backups, Available: whether Velero reaches it and keeps it in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// The namespaces that a policy drills. The parser sees to it that none of them is a pattern.
pub fn drilled_namespaces<'a>(spec: &'a BackupPolicySpec, drill: &'a DrillSpec) -> Vec<&'a str> {
    let all = match drill.namespaces.is_empty() {
        true => &spec.included_namespaces,
        false => &drill.namespaces,
    };
    let held = |one: &&String| !spec.excluded_namespaces.contains(one);
    all.iter().filter(held).map(String::as_str).collect()
}

/// What the ConfigMap with the rendered volume policy is called, after the BackupPolicy and a dash.
pub const VOLUME_POLICY: &str = "volume-policy";
