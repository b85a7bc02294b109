//! `WorkloadMove`: one move of workloads with their volumes onto another StorageClass, and its journal. couchestor creates it; nobody else
//! should.

use super::rollout::PhaseMethod;
use super::volume_migration::{ApprovedBy, JournalRecord, Named};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The label of what a move makes, and of the volumes that it keeps, with the move's id.
pub const MOVE_LABEL: &str = "storage.billyronks.io/workload-move";

/// The annotation on a volume that a move keeps: the claim that had it.
pub const KEPT_OF: &str = "storage.billyronks.io/kept-of";

/// Workloads that share claims, and those claims: they are moved together, or not at all.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "storage.billyronks.io",
    version = "v1",
    kind = "WorkloadMove",
    status = "WorkloadMoveStatus",
    category = "couchestor",
    doc = "One approved move of workloads onto a StorageClass: its journal, progress and outcome",
    printcolumn(name = "Namespace", type_ = "string", json_path = ".spec.namespace"),
    printcolumn(name = "Workloads", type_ = "string", json_path = ".spec.told"),
    printcolumn(name = "From", type_ = "string", json_path = ".spec.from"),
    printcolumn(name = "To", type_ = "string", json_path = ".spec.to"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Rollout", type_ = "string", json_path = ".spec.rollout", priority = 1),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.message",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self == oldSelf").message("a move's spec is fixed when it starts"))]
pub struct WorkloadMoveSpec {
    /// The PolicySource whose tree approved it.
    pub source: Named,
    /// The Rollout.
    pub rollout: String,
    /// Its phase.
    pub rollout_phase: String,
    /// The phase as it was written.
    pub fingerprint: String,
    /// How the workloads move.
    pub method: PhaseMethod,
    /// Their namespace.
    pub namespace: String,
    /// What moves, for people.
    pub told: String,
    /// The claims.
    #[schemars(length(min = 1, max = 50))]
    pub claims: Vec<MovedClaim>,
    /// Workloads that are scaled down meanwhile.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub workloads: Vec<KindName>,
    /// Flux objects that are suspended meanwhile.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub flux: Vec<FluxName>,
    /// From which class, as far as all claims have the same.
    pub from: String,
    /// Onto which class.
    pub to: String,
    /// The image that copies.
    pub image: String,
    /// How long the workloads may be down before it is taken back, in seconds.
    pub timeout_seconds: u64,
    /// The move that it takes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub back: Option<String>,
    /// Whether its rollout or promotion was encrypted when it began. What it moves is then named in the cluster only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub secret: bool,
    /// Who approved it, and in which commit.
    pub approved: ApprovedBy,
}

/// A claim that is moved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MovedClaim {
    /// Its name.
    pub name: String,
    /// The volume that it has; another one by now means that nothing is moved.
    pub volume: String,
    /// Bytes that its new volume must have at least.
    pub bytes: u64,
    /// Its class before.
    pub from: String,
    /// Its class afterwards.
    pub to: String,
    /// The volume that it gets, where that is there already: one that was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub onto: Option<String>,
    /// What is to become of that volume after its claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
}

/// A workload.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct KindName {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// A Flux object.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct FluxName {
    /// Its kind.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// Where a move stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum MovePhase {
    /// Created, and nothing done yet.
    #[default]
    Pending,
    /// New claims are made beside the old ones.
    Provision,
    /// Flux is suspended.
    Suspend,
    /// Workloads are scaled down.
    ScaleDown,
    /// Pods that use the claims end.
    Drain,
    /// Data is copied and compared.
    Copy,
    /// Both volumes of each claim are kept from being deleted with it.
    Keep,
    /// Claims are bound to their new volumes.
    Exchange,
    /// Instances of a Cluster of CloudNativePG are made anew, one replica after the other.
    Reclone,
    /// An instance that was made anew becomes the primary, so that the old one can be too.
    SwitchOver,
    /// Workloads are scaled up.
    ScaleUp,
    /// Flux is resumed.
    Resume,
    /// Workloads become ready.
    Ready,
    /// What the move made and nobody needs any more is deleted.
    CleanUp,
    /// It failed before any claim was touched: what it made is deleted, and everything becomes as it was.
    TakingBack,
    /// The claims are on their new volumes, and the workloads are ready.
    Completed,
    /// Everything is as it was.
    RolledBack,
    /// The world changed so that the move made no sense any more; nothing was done.
    Superseded,
    /// The approval was withdrawn; everything is as it was. Instances of a Cluster that were made anew by then stay so.
    Cancelled,
    /// It cannot go on by itself. Nothing was deleted; it goes on as soon as what stops it is gone.
    NeedsPerson,
}

impl MovePhase {
    /// Whether nothing more will happen.
    pub fn is_final(self) -> bool {
        matches!(
            self,
            Self::Completed | Self::RolledBack | Self::Superseded | Self::Cancelled
        )
    }

    /// The phase as one CamelCase word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Provision => "Provision",
            Self::Suspend => "Suspend",
            Self::ScaleDown => "ScaleDown",
            Self::Drain => "Drain",
            Self::Copy => "Copy",
            Self::Keep => "Keep",
            Self::Exchange => "Exchange",
            Self::Reclone => "Reclone",
            Self::SwitchOver => "SwitchOver",
            Self::ScaleUp => "ScaleUp",
            Self::Resume => "Resume",
            Self::Ready => "Ready",
            Self::CleanUp => "CleanUp",
            Self::TakingBack => "TakingBack",
            Self::Completed => "Completed",
            Self::RolledBack => "RolledBack",
            Self::Superseded => "Superseded",
            Self::Cancelled => "Cancelled",
            Self::NeedsPerson => "NeedsPerson",
        }
    }
}

/// What is written down of a claim before anything is done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ClaimJournal {
    /// What becomes of the old volume after its claim, as it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old_policy: Option<String>,
    /// The claim as it was, as JSON, to be made again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old_claim: Option<String>,
    /// The new volume, once it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_volume: Option<String>,
    /// What becomes of the new volume after its claim, as it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_policy: Option<String>,
}

/// What is written down of a workload before it is scaled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkloadJournal {
    /// How many pods it kept; of a CronJob, whether it started Jobs (1) or was suspended (0).
    pub replicas: i64,
    /// Its generation once it was down: another one means that somebody has changed it since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
}

/// An instance of a Cluster that is being made anew: what is deleted of it, and nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct InstanceJournal {
    /// Its name, which is its pod's.
    pub name: String,
    /// The uid of its pod.
    pub pod: String,
    /// Its claims, that of the data first.
    pub claims: Vec<InstanceClaim>,
    /// When its claims began to be deleted, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Whether it is left alone after all: nothing of it was deleted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub left: bool,
}

/// A claim of an instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct InstanceClaim {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its volume.
    pub volume: String,
    /// What was to become of that volume after the claim.
    pub policy: String,
}

/// A switch-over that was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SwitchJournal {
    /// The primary.
    pub from: String,
    /// The instance that is to be it.
    pub to: String,
    /// When it was asked for, RFC 3339.
    pub since: String,
}

/// A move's journal, progress and outcome.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkloadMoveStatus {
    /// Where it stands.
    pub phase: MovePhase,
    /// Since when, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase_since: Option<String>,
    /// Where it goes on when what stops it is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped_at: Option<MovePhase>,
    /// In words, for people.
    pub message: String,
    /// What is about to be done, written before it is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub intent: String,
    /// The newest leadership that acted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// When it began, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// When workloads began to be scaled down, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub down_since: Option<String>,
    /// When they were scaled up again, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub up_since: Option<String>,
    /// When it ended, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<String>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Whether the failure is that its approval was withdrawn.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub withdrawn: bool,
    /// Whether somebody has used the claims since the copy began, so that it does not count.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub disturbed: bool,
    /// How often data had to be copied anew because somebody used it meanwhile.
    #[serde(skip_serializing_if = "is_zero")]
    pub copied_again: u32,
    /// The claims, in the order of the spec.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<ClaimJournal>,
    /// The workloads, in the order of the spec.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub workloads: Vec<WorkloadJournal>,
    /// The instance of a Cluster that is being made anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<InstanceJournal>,
    /// The switch-over that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub switch: Option<SwitchJournal>,
    /// How many instances it began to make anew.
    #[serde(skip_serializing_if = "is_zero")]
    pub rounds: u32,
    /// Since when it waits for the Cluster to be well, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits_since: Option<String>,
    /// Whether each Flux object was suspended before, in the order of the spec.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flux_suspended: Vec<bool>,
    /// What happened, the newest last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub journal: Vec<JournalRecord>,
    /// How many of its phases were told by Events, counted from the first.
    #[serde(skip_serializing_if = "is_zero")]
    pub told: u32,
    /// The commit on the audit branch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit_commit: Option<String>,
    /// When its old volumes were let go, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub let_go_at: Option<String>,
    /// Ready: it has completed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

impl WorkloadMoveStatus {
    /// How long the workloads were down, in seconds; nothing before they are scaled up again.
    pub fn seconds_down(&self) -> Option<u64> {
        let at = |at: &Option<String>| at.as_ref()?.parse::<Timestamp>().ok();
        let (down, up) = (at(&self.down_since)?, at(&self.up_since)?);
        u64::try_from(up.as_second() - down.as_second()).ok()
    }
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}
