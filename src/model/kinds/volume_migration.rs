//! `VolumeMigration`: one approved move with its journal, progress and outcome. couchestor creates it; nobody else should.

use crate::model::ids::SourceRef;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One approved move of one volume.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "storage.billyronks.io",
    version = "v1",
    kind = "VolumeMigration",
    status = "VolumeMigrationStatus",
    category = "couchestor",
    doc = "One approved move of a volume between tiers: its journal, progress and outcome",
    printcolumn(name = "Namespace", type_ = "string", json_path = ".spec.claim.namespace"),
    printcolumn(name = "Claim", type_ = "string", json_path = ".spec.claim.name"),
    printcolumn(name = "From", type_ = "string", json_path = ".spec.from"),
    printcolumn(name = "To", type_ = "string", json_path = ".spec.to"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Progress", type_ = "integer", json_path = ".status.progressPercent"),
    printcolumn(name = "Copied", type_ = "integer", json_path = ".status.bytesCopied"),
    printcolumn(
        name = "Total",
        type_ = "integer",
        json_path = ".status.bytesTotal",
        priority = 1
    ),
    printcolumn(name = "ETA", type_ = "string", json_path = ".status.estimatedEnd"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.message",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self == oldSelf").message("a migration's spec is fixed when it starts"))]
pub struct VolumeMigrationSpec {
    /// The PolicySource whose tree approved it.
    pub source: Named,
    /// The claim.
    pub claim: Named,
    /// The PersistentVolume.
    pub volume: String,
    /// The engine's uuid of the volume.
    pub volume_uuid: String,
    /// From which tier.
    pub from: String,
    /// To which tier.
    pub to: String,
    /// Labels of the target tier's pools when it started.
    pub to_pool_labels: std::collections::BTreeMap<String, String>,
    /// Bytes that must stay free on a target pool.
    #[serde(default)]
    pub pool_reserve_bytes: u64,
    /// The policy that proposed it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// How long it may take, in seconds.
    pub timeout_seconds: u64,
    /// The volume's mean latency before it, in milliseconds, when the policy wants it compared with that afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_before_ms: Option<f64>,
    /// Whether the old replicas are kept: it then ends as Preserved, before anything is removed.
    #[serde(default)]
    pub preserve: bool,
    /// Whether it is accepted that the volume's snapshots stay behind on the pools that its copies leave.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accept_snapshots_stay: bool,
    /// Why it was superseded before it began; then it ends as that, and nothing is moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded: Option<String>,
    /// Which attempt of its approval it is, from 2 on: one that failed was tried again, or its copies had left their tier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// Who approved it, and in which commit.
    pub approved: ApprovedBy,
}

/// An object by namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Named {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl Named {
    /// Whether it is this PolicySource.
    pub fn is(&self, source: &SourceRef) -> bool {
        self.namespace == source.namespace && self.name == source.name
    }
}

/// Who approved a migration, and in which commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApprovedBy {
    /// The base revision in which it was read.
    pub revision: String,
    /// The commit that brought the assignment, or took it out.
    pub commit: String,
    /// That commit's author.
    pub author: String,
    /// When it was committed, RFC 3339.
    pub at: String,
    /// The assignment's file.
    pub path: String,
    /// The pull request that brought the commit, when the forge knows one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_request: Option<u64>,
    /// Who merged it, as the forge says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged_by: Option<String>,
    /// Who approved it on the forge, each with the head that they saw where the forge tells.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reviewed_by: Vec<String>,
}

/// Where a migration stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    /// Created, and nothing done yet.
    #[default]
    Pending,
    /// The volume, its copies and the target pools are being checked.
    Analyze,
    /// A copy is being added on the target tier.
    ScaleUp,
    /// The new copy is being filled.
    WaitSync,
    /// The old copy is being removed.
    ScaleDown,
    /// The new copy is being taken back, because something went wrong.
    RollingBack,
    /// All copies are on the target tier.
    Completed,
    /// The new copies are complete and the old ones were kept, as asked.
    Preserved,
    /// The volume is as it was.
    RolledBack,
    /// The world changed so that the move made no sense any more; nothing was done.
    Superseded,
    /// The approval was withdrawn; the volume is as it was.
    Cancelled,
    /// The volume is safe, but neither forward nor backward is; a person must look.
    NeedsPerson,
}

impl Phase {
    /// Whether nothing more will happen.
    pub fn is_final(self) -> bool {
        matches!(
            self,
            Self::Completed
                | Self::Preserved
                | Self::RolledBack
                | Self::Superseded
                | Self::Cancelled
                | Self::NeedsPerson
        )
    }

    /// The phase as one CamelCase word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Analyze => "Analyze",
            Self::ScaleUp => "ScaleUp",
            Self::WaitSync => "WaitSync",
            Self::ScaleDown => "ScaleDown",
            Self::RollingBack => "RollingBack",
            Self::Completed => "Completed",
            Self::Preserved => "Preserved",
            Self::RolledBack => "RolledBack",
            Self::Superseded => "Superseded",
            Self::Cancelled => "Cancelled",
            Self::NeedsPerson => "NeedsPerson",
        }
    }
}

/// A replica in its place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct ReplicaPlace {
    /// The replica's uuid.
    pub id: String,
    /// Its node.
    pub node: String,
    /// Its pool.
    pub pool: String,
}

/// One record of the journal: what is about to be done, or what was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JournalRecord {
    /// When, RFC 3339.
    pub at: String,
    /// The step.
    pub step: String,
    /// In words, for people.
    pub note: String,
}

fn is_zero(number: &u8) -> bool {
    *number == 0
}

/// Recorded before a copy is added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Adding {
    /// The copies that were there.
    pub before: Vec<String>,
    /// How many copies the volume has without the new one.
    pub num_replicas: u8,
    /// Whether the new one has been asked for: written before it is asked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub asked: bool,
    /// Whether it has been asked for more than once, because nobody knows what came of the first time.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub again: bool,
    /// Whether the engine has agreed to it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub agreed: bool,
}

/// Something that is not there any more, or not yet: believed once enough readings in a row have said so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Seen {
    /// What.
    pub what: String,
    /// In how many readings in a row.
    pub times: u8,
}

/// Cordons that are ours.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Window {
    /// Pools that were not cordoned before, and that no new copy may go to while ours is placed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pools: Vec<String>,
    /// The node whose copy is to be removed, cordoned with this migration's own label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Nodes that no new copy may go to while ours is placed, cordoned with the same label: where pools cannot be cordoned.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<String>,
    /// Since when it is open, RFC 3339; absent in journals of earlier releases, which did not tell what they had asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Pools and nodes whose cordon has been asked for: written before it is asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asked: Vec<String>,
    /// Those whose cordon is ours if there is one: the engine has confirmed it, or it is asked for once more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub confirmed: Vec<String>,
    /// Those whose cordon may still be set by a call: it was asked for, and how that ended is not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub late: Vec<String>,
}

impl Window {
    /// All nodes that it cordons.
    pub fn all_nodes(&self) -> impl Iterator<Item = &String> {
        self.nodes.iter().chain(&self.node)
    }

    /// What an earlier release has not said: which cordons it had asked for, or how asking ended. Adds nothing to what this one wrote, which
    /// confirms or takes back each name as it is answered.
    pub fn assume_late(&mut self) {
        if self.since.is_none() {
            self.late = self.pools.iter().chain(self.all_nodes()).cloned().collect();
            return;
        }
        for name in &self.asked {
            if !self.confirmed.contains(name) && !self.late.contains(name) {
                self.late.push(name.clone());
            }
        }
    }

    /// The others are given back, and no call can set them again.
    pub fn keep_late(&mut self) {
        let late = &self.late;
        for names in [
            &mut self.pools,
            &mut self.nodes,
            &mut self.asked,
            &mut self.confirmed,
        ] {
            names.retain(|name| late.contains(name));
        }
        self.node = self.node.take().filter(|name| late.contains(name));
    }
}

/// Why a migration begins nothing new.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Held {
    /// Since when, RFC 3339.
    pub since: String,
    /// Why.
    pub why: String,
}

/// The evidence for a removal: why a copy may go, and which copies hold everything without it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Removal {
    /// When it was decided, RFC 3339.
    pub at: String,
    /// The copy.
    pub replica: ReplicaPlace,
    /// Why it goes.
    pub why: String,
    /// How many copies the volume keeps.
    pub copies: u8,
    /// The copies that were complete without it, by uuid.
    pub complete: Vec<String>,
    /// Whether it was itself complete.
    pub was_complete: bool,
    /// Since when all copies had been seen complete, RFC 3339; absent when an incomplete copy is taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complete_since: Option<String>,
    /// The leadership that decided it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// Whether the engine has been asked to remove it: written before it is asked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub asked: bool,
    /// The copy that was seen to be gone afterwards; another one than was meant when the engine chose differently.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone: Option<String>,
}

/// What Events have told of a migration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Told {
    /// The phase that was told of last.
    pub phase: String,
    /// When it was entered, RFC 3339.
    pub at: String,
    /// Since when the cordons were held that were told of as held for too long, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cordons: Option<String>,
}

/// How a migration that is being rolled back will end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ending {
    /// RolledBack or Cancelled.
    pub phase: Phase,
    /// Why.
    pub why: String,
}

/// The journal and what is derived from it. The journal is the truth; it is written before each act.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VolumeMigrationStatus {
    /// Where it stands.
    #[serde(default)]
    pub phase: Phase,
    /// In words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// When the first step was taken, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// When it ended, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<String>,
    /// When it is rolled back if it has not ended, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<String>,
    /// Progress of the copy that is being filled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress_percent: Option<u8>,
    /// The volume's replicas when it started.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub baseline: Vec<ReplicaPlace>,
    /// The volume's replicas when it ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub result: Vec<ReplicaPlace>,
    /// Recorded before a copy is added: the copies that were there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adding: Option<Adding>,
    /// The copy that was added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub added: Option<ReplicaPlace>,
    /// The copy that is to be removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub victim: Option<ReplicaPlace>,
    /// Cordons that are ours: recorded before they are set, cleared after they are seen to be gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// Since when the volume was seen fully synced, RFC 3339; two readings are needed before anything is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synced_since: Option<String>,
    /// When the copy that is being filled last made progress, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress_at: Option<String>,
    /// How often the present step was refused or went wrong.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub attempts: u8,
    /// While rolling back: the phase in which it will end, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<Ending>,
    /// The epoch of the leadership that wrote last: one with a lower epoch writes no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// Since when it has been in its phase, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase_since: Option<String>,
    /// Bytes that all copies together have which are to be filled, as far as the engine tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_total: Option<u64>,
    /// Bytes of them that are filled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_copied: Option<u64>,
    /// When the last copy will be complete at the speed so far, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_end: Option<String>,
    /// Until when a call that was never clearly answered may still be carried out, RFC 3339; before that nothing is concluded from
    /// its effect not being there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unclear_until: Option<String>,
    /// Before this the step that was refused is not tried again, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<String>,
    /// Why nothing new is begun at present, and since when; the deadline moves by as much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Held>,
    /// The value of the annotation `storage.billyronks.io/retry` that was last acted upon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_retry: Option<String>,
    /// While the volume goes back to the pools that it came from.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub returning: bool,
    /// What readings say that is not believed yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<Seen>,
    /// Whether the engine was seen to have no cordons for pools; nodes are cordoned then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_pool_cordons: bool,
    /// Whether a copy lay on the node of the volume's target when it started, and when it ended: such a copy is read without the
    /// network. Absent for a volume without a target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_before: Option<bool>,
    /// See `localBefore`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_after: Option<bool>,
    /// Each copy that was asked to be removed, with what spoke for it; written before it is asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removals: Vec<Removal>,
    /// What was written before each act, the newest last; the oldest are dropped beyond 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub journal: Vec<JournalRecord>,
    /// What Events have told of it; written after they are out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<Told>,
    /// The commit on the audit branch that records the outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit_commit: Option<String>,
    /// Ready when it has ended well, Reconciling while it runs, Stalled while it waits for a person.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}
