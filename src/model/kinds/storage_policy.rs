//! `StoragePolicy`: which volumes, which watermarks, windows, cool-down and budgets.

use super::LabelSelector;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Decides which volumes sit on the wrong tier.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "storage.billyronks.io",
    version = "v1",
    kind = "StoragePolicy",
    status = "StoragePolicyStatus",
    category = "couchestor",
    doc = "Decides which volumes are hot or cold, and proposes moves between tiers",
    printcolumn(name = "Class", type_ = "string", json_path = ".spec.storageClassName"),
    printcolumn(name = "High", type_ = "integer", json_path = ".spec.highWatermarkIOPS"),
    printcolumn(name = "Low", type_ = "integer", json_path = ".spec.lowWatermarkIOPS"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Watched", type_ = "integer", json_path = ".status.watchedVolumes"),
    printcolumn(name = "Hot", type_ = "integer", json_path = ".status.hotVolumes"),
    printcolumn(name = "Cold", type_ = "integer", json_path = ".status.coldVolumes"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.lowWatermarkIOPS < self.highWatermarkIOPS").message("lowWatermarkIOPS must be below highWatermarkIOPS"))]
#[x_kube(validation = Rule::new("(has(self.nvmePoolSelector) && has(self.sataPoolSelector)) != has(self.tiers)").message("give either tiers, or both nvmePoolSelector and sataPoolSelector"))]
pub struct StoragePolicySpec {
    /// Mean operations per second at or above which a volume is hot.
    #[serde(rename = "highWatermarkIOPS", default = "default_high")]
    #[schemars(range(min = 1))]
    pub high_watermark_iops: u64,

    /// Mean operations per second below which a volume is cold.
    #[serde(rename = "lowWatermarkIOPS", default = "default_low")]
    pub low_watermark_iops: u64,

    /// Over how long heat is averaged, a Go duration such as `1h`.
    #[serde(default = "default_window")]
    pub sampling_window: String,

    /// How long a volume rests after a move, a Go duration such as `24h`.
    #[serde(default = "default_cooldown")]
    pub cooldown_period: String,

    /// Volumes of this StorageClass are watched.
    #[serde(default = "default_class")]
    pub storage_class_name: String,

    /// Only volumes whose claims carry these labels are watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_selector: Option<LabelSelector>,

    /// Labels of the fast pools, for policies without `tiers`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nvme_pool_selector: Option<LabelSelector>,

    /// Labels of the slow pools, for policies without `tiers`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sata_pool_selector: Option<LabelSelector>,

    /// Names of StorageTiers between which volumes move; their ranks order them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tiers: Option<Vec<String>>,

    /// How many moves of this policy may be proposed or running at one time.
    #[serde(default = "default_concurrent")]
    #[schemars(range(min = 1, max = 100))]
    pub max_concurrent_migrations: u32,

    /// How long one migration may take before it is rolled back, a Go duration such as `30m`.
    #[serde(default = "default_migration_timeout")]
    pub migration_timeout: String,

    /// How much of the window must have samples, in percent. A volume with less is unknown and left alone.
    #[serde(default = "default_coverage")]
    #[schemars(range(min = 1, max = 100))]
    pub min_coverage_percent: u32,

    /// Whether the policy proposes anything.
    #[serde(default = "default_true")]
    pub enabled: bool,

    /// Whether the policy only says what it would propose.
    #[serde(default)]
    pub dry_run: bool,
}

fn default_high() -> u64 {
    5000
}
fn default_low() -> u64 {
    500
}
fn default_window() -> String {
    "1h".to_owned()
}
fn default_cooldown() -> String {
    "24h".to_owned()
}
fn default_class() -> String {
    "mayastor".to_owned()
}
fn default_concurrent() -> u32 {
    2
}
fn default_migration_timeout() -> String {
    "30m".to_owned()
}
fn default_coverage() -> u32 {
    75
}
fn default_true() -> bool {
    true
}

/// In which state a policy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PolicyPhase {
    /// It watches and proposes.
    Active,
    /// It has `enabled: false`.
    Disabled,
    /// Something that it needs could not be read.
    Error,
}

/// What a policy sees and did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StoragePolicyStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// In which state it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<PolicyPhase>,
    /// Volumes that it watches.
    #[serde(default)]
    pub watched_volumes: u32,
    /// Volumes whose replicas are all on its hottest tier, whatever their load.
    #[serde(default)]
    pub hot_volumes: u32,
    /// Volumes whose replicas are all on its coldest tier, whatever their load.
    #[serde(default)]
    pub cold_volumes: u32,
    /// Migrations of it that run.
    #[serde(default)]
    pub active_migrations: u32,
    /// Migrations of it that completed.
    #[serde(default)]
    pub total_migrations: u32,
    /// Migrations of it that did not.
    #[serde(default)]
    pub failed_migrations: u32,
    /// How many volumes are left alone, by reason.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub left_alone: std::collections::BTreeMap<String, u32>,
    /// The newest finished migration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_migration: Option<LastMigration>,
    /// Ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// A finished migration in brief.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LastMigration {
    /// The VolumeMigration.
    pub name: String,
    /// The claim, `namespace/name`.
    pub claim: String,
    /// From which tier.
    pub from: String,
    /// To which tier.
    pub to: String,
    /// Its final phase.
    pub result: String,
    /// When it finished, RFC 3339.
    pub finished: String,
}
