//! `RolloutPromotion`: a person lets couchestor move the workloads of a phase of a rollout.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The claims of one phase of a rollout may be moved. It lives in Git, one file for each phase; taking the file out again has them moved
/// back.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "storage.billyronks.io",
    version = "v1",
    kind = "RolloutPromotion",
    status = "RolloutPromotionStatus",
    category = "couchestor",
    doc = "Lets the workloads of one phase of a Rollout be moved onto its StorageClass",
    printcolumn(name = "Rollout", type_ = "string", json_path = ".spec.rollout"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".spec.phase"),
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
pub struct RolloutPromotionSpec {
    /// The Rollout.
    pub rollout: String,
    /// Its phase.
    pub phase: String,
    /// The phase as it was written when this was proposed: `status.phases[].fingerprint` of the Rollout. Of a phase that is written
    /// differently by now nothing is moved.
    pub fingerprint: String,
    /// The claims that may be moved, as `namespace/name`: all of the phase. Where the phase has others by now nothing more is moved.
    #[schemars(length(min = 1, max = 200))]
    pub claims: Vec<String>,
    /// Whether old volumes are kept. They can be let go only when each claim is on its new volume, and a later backup holds it.
    #[serde(default = "default_keep")]
    pub keep_old_volumes: bool,
}

fn default_keep() -> bool {
    true
}

/// What became of a promotion.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutPromotionStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready: all of its claims are on the class.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}
