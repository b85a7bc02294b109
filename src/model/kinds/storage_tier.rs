//! `StorageTier`: its rank, which pools or which local engine, the StorageClass that it renders, its cost.

use super::LabelSelector;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A storage tier: some pools (or local disks), and the StorageClass by which volumes are made on it.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "storage.billyronks.io",
    version = "v1",
    kind = "StorageTier",
    status = "StorageTierStatus",
    category = "couchestor",
    doc = "A storage tier: which pools or local disks, and the StorageClass that it renders",
    printcolumn(name = "Rank", type_ = "integer", json_path = ".spec.rank"),
    printcolumn(name = "Class", type_ = "string", json_path = ".spec.storageClass.name"),
    printcolumn(name = "Pools", type_ = "integer", json_path = ".status.pools"),
    printcolumn(name = "Volumes", type_ = "integer", json_path = ".status.volumes"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.poolSelector) != has(self.local)").message("give exactly one of poolSelector and local"))]
#[x_kube(validation = Rule::new("!has(self.local) || (has(self.local.hostpath) ? 1 : 0) + (has(self.local.lvm) ? 1 : 0) + (has(self.local.zfs) ? 1 : 0) == 1").message("local needs exactly one of hostpath, lvm and zfs"))]
pub struct StorageTierSpec {
    /// Where the tier stands among the others: a higher rank is faster.
    pub rank: i32,

    /// The Mayastor pools of the tier, by the labels that Mayastor's own API shows for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool_selector: Option<LabelSelector>,

    /// The tier is made of local disks (OpenEBS LocalPV); its volumes cannot be moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<LocalEngine>,

    /// The StorageClass that the tier renders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_class: Option<StorageClassTemplate>,

    /// Room that a move must leave free on each pool, a quantity such as `50Gi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool_reserve: Option<String>,

    /// How many moves to or from this tier may run at one time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub max_concurrent_moves: Option<u32>,

    /// Price of one GiB for a month, in a currency of your choice.
    #[serde(rename = "costPerGiBMonth", default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0))]
    pub cost_per_gib_month: Option<f64>,
}

/// A local engine: exactly one of its fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LocalEngine {
    /// Folders on a mounted file system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostpath: Option<Hostpath>,
    /// Volumes of LVM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lvm: Option<Lvm>,
    /// Volumes or datasets of ZFS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zfs: Option<Zfs>,
}

/// OpenEBS LocalPV LVM (`local.csi.openebs.io`); the parameters are those of `openebs/lvm-localpv`, `docs/storageclasses.md`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Lvm {
    /// The volume group on each node.
    pub volume_group: String,
    /// Whether volumes are thin. Only then a snapshot can be restored, and a backup made of it.
    #[serde(default)]
    pub thin: bool,
    /// File system: ext4, xfs or btrfs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^(ext4|xfs|btrfs)$"))]
    pub fs_type: Option<String>,
}

/// OpenEBS LocalPV ZFS (`zfs.csi.openebs.io`); the parameters are those of `openebs/zfs-localpv`, `docs/storageclasses.md`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Zfs {
    /// The pool on each node, or a dataset in it.
    pub pool: String,
    /// `zfs` makes datasets; ext4, xfs or btrfs make volumes with that file system.
    #[serde(default = "default_zfs")]
    #[schemars(regex(pattern = r"^(zfs|ext4|xfs|btrfs)$"))]
    pub fs_type: String,
    /// Whether room is taken only as it is filled.
    #[serde(default)]
    pub thin: bool,
    /// Compression, such as `on`, `lz4` or `zstd`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<String>,
    /// Size of a dataset's records, such as `128k`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record_size: Option<String>,
}

fn default_zfs() -> String {
    "zfs".to_owned()
}

/// OpenEBS LocalPV hostpath. Its provisioner reads annotations only and ignores a StorageClass's `parameters`
/// (openebs/dynamic-localpv-provisioner).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Hostpath {
    /// The folder in which volumes are made.
    #[serde(default = "default_base_path")]
    #[schemars(regex(pattern = r"^/"))]
    pub base_path: String,
    /// Node labels by which a volume finds its node again; the host name when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub node_affinity_labels: Vec<String>,
}

fn default_base_path() -> String {
    "/var/openebs/local".to_owned()
}

/// The StorageClass that a tier renders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StorageClassTemplate {
    /// Its name. Kubernetes lets almost nothing of a StorageClass be changed: give a new name for other parameters.
    pub name: String,
    /// Whether claims without a class get this one.
    #[serde(default)]
    pub default: bool,
    /// What becomes of a volume whose claim is deleted.
    #[serde(default)]
    pub reclaim_policy: ReclaimPolicy,
    /// When a volume is made. Local volumes are always made for their first consumer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_binding_mode: Option<BindingMode>,
    /// Whether claims may grow; LocalPV hostpath volumes never can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_volume_expansion: Option<bool>,
    /// Labels of the StorageClass.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations of the StorageClass.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Mount options.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mount_options: Vec<String>,
    /// Mayastor's parameters, for tiers with a pool selector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mayastor: Option<MayastorParameters>,
    /// Longhorn's parameters: the tier is made of Longhorn's disks, and its pool selector names their tags, each with an empty value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longhorn: Option<LonghornParameters>,
}

/// Parameters of `driver.longhorn.io`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LonghornParameters {
    /// Copies of each volume.
    #[serde(default = "default_replicas")]
    #[schemars(range(min = 1, max = 20))]
    pub replicas: u8,
    /// File system: ext4 or xfs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^(ext4|xfs)$"))]
    pub fs_type: Option<String>,
    /// Whether volumes may only ever be on disks with this tier's tags. Such volumes are never moved. Without it volumes may use any
    /// disk, and are moved to their tier.
    #[serde(default)]
    pub pinned: bool,
    /// Tags of nodes that volumes demand, for ever.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub node_selector: Vec<String>,
    /// Which of Longhorn's data engines serves the volumes: v1 (disks with a file system) or v2 (raw disks).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^(v1|v2)$"))]
    pub data_engine: Option<String>,
    /// After how many minutes a failed copy is thrown away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_replica_timeout: Option<u32>,
}

impl Default for LonghornParameters {
    fn default() -> Self {
        Self {
            replicas: default_replicas(),
            fs_type: None,
            pinned: false,
            node_selector: Vec::new(),
            data_engine: None,
            stale_replica_timeout: None,
        }
    }
}

/// What becomes of a volume whose claim is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ReclaimPolicy {
    /// It is deleted with its data.
    #[default]
    Delete,
    /// It is kept.
    Retain,
}

/// When a volume is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum BindingMode {
    /// At once.
    Immediate,
    /// When the first pod that uses it is scheduled.
    WaitForFirstConsumer,
}

/// Parameters of `io.openebs.csi-mayastor`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MayastorParameters {
    /// Copies of each volume.
    #[serde(default = "default_replicas")]
    #[schemars(range(min = 1, max = 16))]
    pub replicas: u8,
    /// Whether volumes are thin.
    #[serde(default)]
    pub thin: bool,
    /// File system: ext4, xfs or btrfs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^(ext4|xfs|btrfs)$"))]
    pub fs_type: Option<String>,
    /// Whether volumes may only ever be on this tier's pools. Such volumes can never be moved: the topology of a
    /// Mayastor volume cannot be changed later. Without it volumes may use any pool that has the selector's keys.
    #[serde(default)]
    pub pinned: bool,
    /// Whether replicas are encrypted; their pools must be too.
    #[serde(default)]
    pub encrypted: bool,
    /// Whether the volumes of one StatefulSet keep off each other's nodes.
    #[serde(default)]
    pub sts_affinity_group: bool,
    /// Most snapshots of one volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_snapshots: Option<u32>,
    /// I/O timeout of the initiator in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub io_timeout: Option<u32>,
}

impl Default for MayastorParameters {
    fn default() -> Self {
        Self {
            replicas: default_replicas(),
            thin: false,
            fs_type: None,
            pinned: false,
            encrypted: false,
            sts_affinity_group: false,
            max_snapshots: None,
            io_timeout: None,
        }
    }
}

fn default_replicas() -> u8 {
    1
}

/// What was seen of the tier.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StorageTierStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Pools that carry the selector's labels.
    #[serde(default)]
    pub pools: u32,
    /// Volumes that have all their replicas on it.
    #[serde(default)]
    pub volumes: u32,
    /// Ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}
