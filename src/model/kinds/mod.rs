//! The custom resources as written: the only source of CRDs, JSON schemas, the parser's field lists and the docs.
//!
//! kube's derive macros are named here and nowhere else outside `io`; they add data (names, schemas), not a client.

#![allow(
    clippy::duplicated_attributes,
    reason = "one printer column after the other has the same type"
)]

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Which repository, and how couchestor works on it.
pub mod policy_source;

/// Plans on pull requests.
pub mod review;

/// How moves are carried out.
pub mod moves;

/// What becomes of rendered objects.
pub mod delivery;

/// A storage tier.
pub mod storage_tier;

/// Who merged and who approved.
pub mod merges;

/// Proposals as they are remembered.
pub mod proposals;

/// Which volumes are hot or cold, and what follows.
pub mod storage_policy;

/// A claim belongs on a tier.
pub mod tier_assignment;

/// Where backups go, and which are made.
pub mod backup;

/// How it is proved that they can be restored.
pub mod drill;

/// Workloads moved onto a class in phases.
pub mod rollout;

/// A phase may be carried out.
pub mod rollout_promotion;

/// One approved move with its journal.
pub mod volume_migration;

/// One approved move of workloads with its journal.
pub mod workload_move;

/// What kube's derive implements for every kind: names and metadata, no client.
pub use kube::Resource;
pub use kube::core::object::HasStatus;

pub use backup::{BackupLocation, BackupPolicy};
pub use policy_source::PolicySource;
pub use rollout::Rollout;
pub use rollout_promotion::RolloutPromotion;
pub use storage_policy::StoragePolicy;
pub use storage_tier::StorageTier;
pub use tier_assignment::TierAssignment;
pub use volume_migration::VolumeMigration;
pub use workload_move::WorkloadMove;

/// The API group of every kind here.
pub const GROUP: &str = "storage.billyronks.io";

/// The API group and version as a manifest writes them.
pub const API_VERSION: &str = "storage.billyronks.io/v1";

/// The annotation by which people and Flux's command line ask for a turn now.
pub const REQUESTED_AT: &str = "reconcile.fluxcd.io/requestedAt";

/// The annotation on a PersistentVolume that says when couchestor last moved it (RFC 3339).
pub const LAST_MIGRATION: &str = "storage.billyronks.io/last-migration";

/// The annotation on a PersistentVolumeClaim that keeps its volume where it is: `true`, or until when (RFC 3339).
pub const PINNED: &str = "storage.billyronks.io/pinned";

/// The annotation on a VolumeMigration that holds it where it is, or, on a PolicySource, keeps all of its moves from going on: `true`, or why.
pub const PAUSED: &str = "storage.billyronks.io/paused";

/// The finalizer of VolumeMigrations that have not ended: one that is deleted is cancelled first, so that no cordon of its stays.
pub const UNFINISHED_MOVE: &str = "storage.billyronks.io/unfinished-move";

/// The annotation on a VolumeMigration that has it taken back: `true`, or why.
pub const CANCEL: &str = "storage.billyronks.io/cancel";

/// The annotation on a VolumeMigration that failed, to try it again: any value that was not yet acted upon.
pub const RETRY: &str = "storage.billyronks.io/retry";

/// The annotation on a PolicySource that has moves go on after failures stopped them: any value that was not yet acted upon.
pub const RESUME_MOVES: &str = "storage.billyronks.io/resume-moves";

/// Annotations with the value `disabled` that keep an object from being pruned: ours and Flux's.
pub const PRUNE: [&str; 2] = ["storage.billyronks.io/prune", "kustomize.toolkit.fluxcd.io/prune"];

/// The value of the first of [`PRUNE`] with which Git says that what is otherwise paused and kept may be removed when it leaves.
pub const PRUNE_ENABLED: &str = "enabled";

/// Whether it is a Schedule of Velero's: who takes one out of Git by mistake has no backups from then on, so it is paused first.
pub fn is_schedule(id: &super::ids::ObjectId) -> bool {
    id.group == "velero.io" && id.kind == "Schedule"
}

/// Kinds, with their groups, that hold data or other people's objects: removing one from Git never removes it from the cluster.
pub const NEVER_PRUNED: [(&str, &str); 5] = [
    ("", "PersistentVolume"),
    ("", "PersistentVolumeClaim"),
    ("", "Namespace"),
    ("apiextensions.k8s.io", "CustomResourceDefinition"),
    // Without it Velero neither restores what is in the bucket nor deletes what is too old.
    ("velero.io", "BackupStorageLocation"),
];

/// The annotation of Flux by which an object is made once and never changed, and its value.
pub const MADE_ONCE: (&str, &str) = ("kustomize.toolkit.fluxcd.io/ssa", "IfNotPresent");

/// The Secret with the password of Velero's repositories of files (`pkg/repository/keys/keys.go`): with another one, what was backed up before
/// cannot be read any more.
pub const REPOSITORY_SECRET: &str = "velero-repo-credentials";

/// Whether it is the Secret with that password, in whatever namespace Velero has.
pub fn is_repository_secret(id: &super::ids::ObjectId) -> bool {
    id.group.is_empty() && id.kind == "Secret" && id.name == REPOSITORY_SECRET
}

/// The field manager under which couchestor applies objects.
pub const FIELD_MANAGER: &str = "couchestor";

/// The field manager under which couchestor pauses what left Git. Applied under its usual name, a pause alone would take all other fields
/// away; when the object comes back, the usual name takes the field over again.
pub const PAUSE_MANAGER: &str = "couchestor-pause";

/// The field manager under which Flux's kustomize-controller applies objects: its own name (`main.go`, `controllerName`).
pub const FLUX_MANAGER: &str = "kustomize-controller";

/// The field manager under which the command line writes what its user says.
pub const PERSON_MANAGER: &str = "couchestor-user";

/// The field manager under which couchestor writes status.
pub const STATUS_MANAGER: &str = "couchestor-status";

/// A reference to an object in the namespace of the one that refers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LocalRef {
    /// Name of the object.
    pub name: String,
}

/// A selector by labels that must all be equal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LabelSelector {
    /// Labels and the values that they must have.
    pub match_labels: BTreeMap<String, String>,
}

/// The CRDs of all kinds, in the order of the docs.
pub fn all_crds() -> Vec<CustomResourceDefinition> {
    vec![
        PolicySource::crd(),
        StorageTier::crd(),
        StoragePolicy::crd(),
        TierAssignment::crd(),
        BackupLocation::crd(),
        BackupPolicy::crd(),
        Rollout::crd(),
        RolloutPromotion::crd(),
        VolumeMigration::crd(),
        WorkloadMove::crd(),
    ]
}

/// Kinds that couchestor creates in the cluster, and that nobody writes.
pub const MADE_BY_US: [&str; 2] = ["VolumeMigration", "WorkloadMove"];

/// The CRDs of the kinds that people write into Git, by kind.
pub fn git_crds() -> BTreeMap<String, CustomResourceDefinition> {
    all_crds()
        .into_iter()
        .map(|crd| (crd.spec.names.kind.clone(), crd))
        .filter(|(kind, _)| !MADE_BY_US.contains(&kind.as_str()))
        .collect()
}
