//! How a migration ended, as it is recorded on objects and on the audit branch.

use super::ids::ClaimRef;
use super::kinds::volume_migration::Removal;
use serde::{Deserialize, Serialize};

/// A finished migration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// The VolumeMigration's name.
    pub migration: String,
    /// The claim.
    pub claim: ClaimRef,
    /// The PersistentVolume.
    pub volume: String,
    /// The tier that it came from.
    pub from: String,
    /// The tier that it was to go to.
    pub to: String,
    /// The policy that proposed it; absent for an assignment that a person wrote or a revert.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub policy: Option<String>,
    /// The revision whose tree approved it.
    pub approved_revision: String,
    /// The author of the commit that approved it.
    pub approved_by: String,
    /// The pull request that brought that commit, when the forge knows one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pull_request: Option<u64>,
    /// Who merged it, as the forge says.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub merged_by: Option<String>,
    /// Who approved it on the forge, each with the head that they saw.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub reviewed_by: Vec<String>,
    /// The final phase, such as `Completed` or `RolledBack`.
    pub result: String,
    /// In words.
    pub message: String,
    /// The epoch of the leadership that ended it; absent in records of earlier releases.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub epoch: Option<u64>,
    /// When it started, RFC 3339.
    pub started: String,
    /// When it finished, RFC 3339.
    pub finished: String,
    /// Seconds between the two.
    pub duration_seconds: i64,
    /// Replicas before, as `pool on node`.
    pub replicas_before: Vec<String>,
    /// Replicas after.
    pub replicas_after: Vec<String>,
    /// Each copy that was asked to be removed, with the copies that were complete without it; absent in records of earlier releases.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub removals: Vec<Removal>,
}
