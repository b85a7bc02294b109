//! What becomes of a source's objects: they are applied, or written into Git for somebody else to apply.

use super::policy_source::{Inventory, ProposalStatus};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What becomes of the rendered objects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.mode != 'commit' || has(self.path)").message("commit needs a path: the folder that the manifests are written to"))]
pub struct Delivery {
    /// Who applies them.
    #[serde(default)]
    pub mode: DeliveryMode,

    /// With `commit`: the folder that they are written to, from the root of the repository. It lies outside of `spec.path`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,

    /// With `commit`: the branch that they are proposed for; without it `spec.branch`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
}

/// Who applies what is rendered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryMode {
    /// couchestor.
    #[default]
    Apply,
    /// Nobody here: a pull request writes the manifests into Git, and Flux, or another applier, applies them.
    Commit,
}

/// What became of a delivery by pull request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryStatus {
    /// The newest revision all of whose manifests the branch holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// What is delivered, or proposed to be. couchestor neither applies nor removes any of it.
    #[serde(default)]
    pub inventory: Inventory,
    /// The proposal that is open or remembered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proposals: Vec<ProposalStatus>,
}
