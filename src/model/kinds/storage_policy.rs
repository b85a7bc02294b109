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

    /// What makes a volume hot or cold. A volume is hot when every signal with an `above` is at or above it, and cold when every
    /// signal with a `below` is below it. Without this list it is `iops` with the two watermarks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub signals: Vec<SignalSpec>,

    /// Load that is no heat although the signals say so: when all of these hold, the volume is not hot. A backup that reads a volume
    /// from end to end has large requests (`requestSize`, `above: 262144`) and hardly a write (`readRatio`, `above: 0.95`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub not_heat_when: Vec<SignalSpec>,

    /// How long a volume must have been beyond its thresholds without a break, a Go duration such as `30m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sustained_for: Option<String>,

    /// How far, in percent, a signal must go back past its threshold before an open proposal is withdrawn, or an approved move is
    /// not carried out any more.
    #[serde(default = "default_hysteresis")]
    #[schemars(range(min = 0, max = 90))]
    pub hysteresis_percent: u32,

    /// How old a volume must be before it is moved, a Go duration such as `24h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_volume_age: Option<String>,

    /// Windows of the week in which load is not counted, such as those of backups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub excluded_windows: Vec<WindowSpec>,

    /// Windows of the week in which approved moves may start. Without any they start at any time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub move_windows: Vec<WindowSpec>,

    /// How full tiers must or may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fullness: Option<FullnessSpec>,

    /// How much may be moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budgets: Option<BudgetsSpec>,

    /// When a move that this policy proposed is proposed to be taken back. Failed moves always are; with this also those after
    /// which the volume answers more slowly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<RollbackSpec>,

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

    /// Whether the policy proposes anything. While it is off, moves that it proposed and that were approved wait too, unless their
    /// assignment is pinned; what runs already is finished.
    #[serde(default = "default_true")]
    pub enabled: bool,

    /// Whether the policy only says what it would propose.
    #[serde(default)]
    pub dry_run: bool,
}

/// One signal with its thresholds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignalSpec {
    /// `iops` (operations per second), `throughput` (bytes per second), `latency`, `readLatency` or `writeLatency` (mean, in
    /// milliseconds), `requestSize` (mean, in bytes), `readRatio` (part of the operations that read, 0 to 1), or a name of your own
    /// for a `query`.
    #[schemars(regex(pattern = r"^[a-zA-Z][a-zA-Z0-9-]{0,62}$"))]
    pub name: String,
    /// PromQL of your own that gives one value per volume, by the label `pv_name`; `$window` stands for the sampling window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub query: Option<String>,
    /// Instead of the mean over the window: the value below which so many percent of the window lie, such as 95.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 99))]
    pub percentile: Option<u32>,
    /// At or above this it speaks for hot. For `iops` without thresholds it is `highWatermarkIOPS`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above: Option<f64>,
    /// Below this it speaks for cold. For `iops` without thresholds it is `lowWatermarkIOPS`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<f64>,
}

/// A window of the week. It belongs to the day on which it begins, and may go over midnight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WindowSpec {
    /// Days such as `Mon`, `Sat` or `Mon-Fri`; every day when there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 7))]
    pub days: Vec<String>,
    /// When it begins, such as `22:00`.
    pub from: String,
    /// When it ends, such as `06:00`; `24:00` is the end of the day. The same time as `from` is that of the next day: a window of
    /// 24 hours.
    pub to: String,
    /// The zone of these times, such as `Europe/Berlin`; UTC when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
}

/// How full tiers must or may be: used bytes of all pools of a tier, in percent of their capacity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FullnessSpec {
    /// Cold volumes leave a tier only while it is at least so full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub demote_above_percent: Option<u32>,
    /// Hot volumes go to a tier only if it is at most so full afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub promote_below_percent: Option<u32>,
}

/// How much may be moved, beside `maxConcurrentMigrations`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BudgetsSpec {
    /// How many moves of this policy may start within an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub moves_per_hour: Option<u32>,
    /// How many bytes this policy's moves may copy within an hour, a quantity such as `500Gi`. One move that is larger starts alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_hour: Option<String>,
    /// How many moves may read from or write to one node at one time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub moves_per_node: Option<u32>,
    /// How many moves may read from or write to one pool at one time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub moves_per_pool: Option<u32>,
}

/// When a move is proposed to be taken back although it succeeded: the volume's mean `latency` over the sampling window after the
/// move is compared with that over the sampling window before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RollbackSpec {
    /// By how much the latency must have grown, in percent: at 100 it takes twice as long.
    #[schemars(range(min = 1, max = 10000))]
    pub latency_worse_percent: u32,
    /// For how long after a move it is looked at, a Go duration such as `24h`; longer than the sampling window.
    #[serde(default = "default_within")]
    pub within: String,
}

fn default_within() -> String {
    "24h".to_owned()
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
fn default_hysteresis() -> u32 {
    10
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
    /// Why the first fifty of them in order of claim are left alone: reasons by claim, `namespace/name`. `couchestor plan --volume` says
    /// more of each.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub left_alone_claims: std::collections::BTreeMap<String, String>,
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
