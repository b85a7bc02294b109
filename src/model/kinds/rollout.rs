//! `Rollout`: workloads moved onto a StorageClass in phases, each of which opens on evidence.

use super::LabelSelector;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Workloads move onto a StorageClass in phases, each behind gates. A phase whose gates hold may be promoted by a RolloutPromotion in Git,
/// and couchestor then moves its workloads; the next phase opens when what was demanded of this one holds.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "storage.billyronks.io",
    version = "v1",
    kind = "Rollout",
    status = "RolloutStatus",
    category = "couchestor",
    doc = "Says which workloads may move onto a StorageClass now: phases that open on evidence",
    printcolumn(name = "Class", type_ = "string", json_path = ".spec.storageClassName"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
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
pub struct RolloutSpec {
    /// The class onto which volumes move, where a phase names no other.
    pub storage_class_name: String,
    /// The phases in order.
    #[schemars(length(min = 1, max = 20))]
    pub phases: Vec<RolloutPhase>,
    /// How volumes are copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy: Option<CopySpec>,
}

/// How volumes are copied: by Jobs, while the workloads that use them are scaled to nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CopySpec {
    /// The image of the Jobs: any with a POSIX shell and GNU's coreutils, findutils and diffutils. They need no network.
    #[serde(default = "default_copy_image")]
    pub image: String,
    /// How long the workloads of one move may be down before it is taken back, and an instance of a Cluster may take to be made anew before a
    /// person has to look, a Go duration.
    #[serde(default = "default_copy_timeout")]
    pub timeout: String,
}

impl Default for CopySpec {
    fn default() -> Self {
        Self {
            image: default_copy_image(),
            timeout: default_copy_timeout(),
        }
    }
}

fn default_copy_image() -> String {
    "debian:stable-slim".to_owned()
}

fn default_copy_timeout() -> String {
    "4h".to_owned()
}

/// How the workloads of a phase move.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PhaseMethod {
    /// They are scaled down, each volume is copied into a new one and compared with it, and they are scaled up with the new ones.
    #[default]
    Copy,
    /// They are CloudNativePG's Clusters, whose operator clones one instance after the other anew.
    Cnpg,
    /// Nothing is moved: what is made anew is made on the class, and couchestor only watches.
    New,
}

/// One phase. It is done when every claim of its workloads is on the class and its gates hold, for as long as `soak` says; then the next
/// one opens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutPhase {
    /// Its name, such as `test-databases`.
    pub name: String,
    /// Its workloads.
    #[schemars(length(min = 1, max = 50))]
    pub workloads: Vec<WorkloadSelector>,
    /// The class onto which they move, where it is another than the rollout's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_class_name: Option<String>,
    /// How they move: `copy` unless it says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<PhaseMethod>,
    /// What must hold before the phase is promoted, of the claims that are to move, and before the next phase opens, of all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub gates: Vec<Gate>,
    /// For how long all of that must have held, a Go duration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soak: Option<String>,
}

impl RolloutPhase {
    /// The class onto which its workloads move: its own, or else that of its rollout.
    pub fn class<'a>(&'a self, rollout: &'a RolloutSpec) -> &'a str {
        self.storage_class_name
            .as_deref()
            .unwrap_or(&rollout.storage_class_name)
    }
}

/// Some workloads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadSelector {
    /// Their namespace.
    pub namespace: String,
    /// Labels of their claims; absent means all of the namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
}

/// One thing that must hold: exactly one of these. What cannot be known does not hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Gate {
    /// The newest backup of a BackupPolicy that holds every volume holds each claim of the phase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coverage: Option<BackupGate>,
    /// That backup is no older than `within`, or than the policy's `rpo`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpo: Option<BackupGate>,
    /// The last drill of each namespace of the phase passed, no longer than `within`, or the policy's `evidenceAge`, ago.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drill: Option<BackupGate>,
    /// Restoring each of these namespaces took no longer than `within`, or the policy's `rto`, in 95 of 100 drills.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rto: Option<BackupGate>,
    /// A figure that Prometheus knows lies within bounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<MetricGate>,
}

/// What a BackupPolicy must have proved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupGate {
    /// The BackupPolicy.
    pub policy: String,
    /// Its namespace.
    #[serde(default = "default_namespace")]
    pub namespace: String,
    /// A Go duration, where another one than the policy's is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<String>,
}

fn default_namespace() -> String {
    "velero".to_owned()
}

/// A figure: a query with exactly one value. `above`, `below` or both are given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetricGate {
    /// What it is called, such as `open incidents`.
    pub name: String,
    /// The PromQL, whose answer is a scalar or a single series.
    pub query: String,
    /// The value must be greater than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above: Option<f64>,
    /// The value must be less than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<f64>,
}

/// What a rollout's object says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready: every phase is done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The phase that is open or soaking; absent when all are done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// The phases in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<PhaseStatus>,
}

/// Where a phase is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PhaseState {
    /// A phase before it is not done, or what that one proved holds no more: its workloads stay where they are.
    #[default]
    Waiting,
    /// Its workloads may move.
    Open,
    /// All of it holds, but not for long enough.
    Soaking,
    /// All of it has held for long enough.
    Done,
}

/// What is known of a phase.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PhaseStatus {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub state: PhaseState,
    /// What it waits for, in words; empty when it waits for nothing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub waits_for: String,
    /// Claims of its workloads.
    pub claims: u32,
    /// Those on the class.
    pub placed: u32,
    /// Its gates, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<GateStatus>,
    /// What is to be said of its promotion: that it may be proposed, what it waits for, or what it moves.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub promotion: String,
    /// Moves of its workloads, the newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moves: Vec<PhaseMove>,
    /// Since when all of it has held without a break (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_since: Option<String>,
    /// When it was done (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done_at: Option<String>,
    /// Of what the two times speak: a phase that is written anew begins anew.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub fingerprint: String,
}

/// A move of workloads of a phase.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PhaseMove {
    /// The WorkloadMove.
    pub name: String,
    /// Its claims.
    pub claims: String,
    /// Where it stands.
    pub phase: String,
}

/// What is known of a gate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GateStatus {
    /// Which: `coverage velero/daily`, `metric open incidents`.
    pub gate: String,
    /// Whether it holds.
    pub holds: bool,
    /// What was found.
    pub message: String,
}
