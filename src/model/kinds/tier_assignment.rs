//! `TierAssignment`: this claim belongs on that tier, and why.

use super::storage_policy::LastMigration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One claim belongs on one tier. Merging the file that says so is the approval of the move.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "storage.billyronks.io",
    version = "v1",
    kind = "TierAssignment",
    namespaced,
    status = "TierAssignmentStatus",
    category = "couchestor",
    doc = "One claim belongs on one tier; written by pull request",
    printcolumn(name = "Claim", type_ = "string", json_path = ".spec.claim"),
    printcolumn(name = "Tier", type_ = "string", json_path = ".spec.tier"),
    printcolumn(name = "Observed", type_ = "string", json_path = ".status.observedTier"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct TierAssignmentSpec {
    /// The PersistentVolumeClaim, in this object's namespace.
    pub claim: String,
    /// The PersistentVolume that was measured. If the claim has another one by then, nothing is moved.
    pub volume: String,
    /// The tier.
    pub tier: String,
    /// Whether the volume stays on this tier whatever policies say.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pinned: bool,
    /// Until when it is pinned, RFC 3339; without it until the file is changed. Once it has passed the volume is pinned no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub until: Option<String>,
    /// Whether it is accepted that the volume's snapshots stay behind on the pools that its copies leave; without it such a volume is not
    /// moved.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accept_snapshots_stay: bool,
    /// What the decision rested on; absent when a person wrote the assignment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<DecisionNote>,
}

/// What a decision rested on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DecisionNote {
    /// The policy.
    pub policy: String,
    /// The tier on which the volume was.
    pub from: String,
    /// The signal, such as `iops`.
    pub signal: String,
    /// Its value.
    pub value: f64,
    /// The threshold that it crossed; absent when the policy is encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark: Option<f64>,
    /// The window over which it was measured; absent when the policy is encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
    /// Of which percentile of the window the value is, 0 to 100; absent when it is the mean, or when the policy is encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percentile: Option<f64>,
    /// The policy's other signals that had to cross a threshold of theirs too; absent when the policy is encrypted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<SignalNote>,
    /// For how long all of that was so without a break, a Go duration; absent when the policy is encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sustained_for: Option<String>,
    /// The VolumeMigration with which an earlier approval of this move was used up, when there was one. A file that is merged again as
    /// it was would approve nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// A signal among others that a decision rested on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignalNote {
    /// The signal.
    pub signal: String,
    /// Its value.
    pub value: f64,
    /// The threshold that it crossed.
    pub watermark: f64,
    /// Of which percentile of the window the value is, 0 to 100; absent when it is the mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percentile: Option<f64>,
}

impl DecisionNote {
    /// A decision that rests on one figure, without thresholds and windows.
    pub fn bare(policy: String, from: String, signal: String, value: f64) -> Self {
        Self {
            policy,
            from,
            signal,
            value,
            watermark: None,
            window: None,
            percentile: None,
            also: Vec::new(),
            sustained_for: None,
            after: None,
        }
    }

    /// The same decision with figures that were measured at another time.
    pub fn measured_as(&self, other: &Self) -> Self {
        let mut note = self.clone();
        note.value = other.value;
        for (one, other) in note.also.iter_mut().zip(&other.also) {
            one.value = other.value;
        }
        note
    }
}

/// Where an assigned volume is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TierAssignmentStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Placed`, `Moving`, `Waiting` or `Failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// The tier on which all replicas are now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_tier: Option<String>,
    /// The newest migration of the volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_migration: Option<LastMigration>,
    /// Ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}
