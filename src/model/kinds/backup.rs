//! `BackupLocation` and `BackupPolicy`: where backups go, and which are made. They render Velero's objects.

use super::LocalRef;
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
    /// Checksum of uploads; an empty one switches it off, as Ceph RGW and Backblaze B2 need it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum_algorithm: Option<String>,
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

/// Whether backups may be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AccessMode {
    /// They may.
    #[default]
    ReadWrite,
    /// They may only be restored.
    ReadOnly,
}

/// Which backups are made of what. Renders one Velero Schedule per entry of `schedules`.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "storage.billyronks.io",
    version = "v1",
    kind = "BackupPolicy",
    namespaced,
    status = "BackupStatus",
    category = "couchestor",
    doc = "Which backups are made: renders Velero Schedules",
    printcolumn(name = "Location", type_ = "string", json_path = ".spec.location"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct BackupPolicySpec {
    /// The BackupLocation in this namespace.
    pub location: String,
    /// When, and for how long backups are kept.
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
    /// How the data of volumes gets into the bucket.
    #[serde(default)]
    pub volumes: VolumeMethod,
    /// Labels of the backups.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// How old the newest good backup may be, a Go duration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpo: Option<String>,
    /// How long a restore may take, a Go duration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rto: Option<String>,
    /// A ConfigMap with Velero's volume policy, in this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_policy: Option<LocalRef>,
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
    /// Whether it pauses.
    #[serde(default)]
    pub paused: bool,
}

fn default_ttl() -> String {
    "720h".to_owned()
}

/// Whether what was rendered is applied.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}
