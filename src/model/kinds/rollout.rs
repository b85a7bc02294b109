//! `Rollout`: workloads moved onto a StorageClass in phases.

use super::LabelSelector;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Workloads move onto a StorageClass in phases, each behind its gates. This release reads, checks and shows rollouts;
/// it moves no workload, and says so in the object's condition.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "storage.billyronks.io",
    version = "v1",
    kind = "Rollout",
    status = "RolloutStatus",
    category = "couchestor",
    doc = "Moves workloads onto a StorageClass in phases (read and shown only, so far)",
    printcolumn(name = "Class", type_ = "string", json_path = ".spec.storageClassName"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct RolloutSpec {
    /// The class onto which volumes move.
    pub storage_class_name: String,
    /// The phases in order.
    #[schemars(length(min = 1, max = 20))]
    pub phases: Vec<RolloutPhase>,
}

/// One phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutPhase {
    /// Its name, such as `test-databases`.
    pub name: String,
    /// Its workloads.
    pub workloads: Vec<WorkloadSelector>,
    /// What must hold before the next phase.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<String>,
    /// How long the phase must have been good, a Go duration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soak: Option<String>,
}

/// Some workloads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadSelector {
    /// Their namespace.
    pub namespace: String,
    /// Their labels; absent means all of the namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
}

/// What a rollout's object says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}
