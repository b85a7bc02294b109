//! What should happen now, and why everything else should not.

use super::approval::{Approved, Move};
use super::ids::{ClaimRef, PolicyName, PoolName, TierName, VolumeName};
use super::kinds::tier_assignment::DecisionNote;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A move that policy asks for and a person has yet to approve.
#[derive(Clone, Debug, PartialEq)]
pub struct ProposedMove {
    /// The claim.
    pub claim: ClaimRef,
    /// Its volume.
    pub volume: VolumeName,
    /// The policy.
    pub policy: PolicyName,
    /// The tier on which all its replicas are.
    pub from: TierName,
    /// The tier on which they should be.
    pub to: TierName,
    /// What the decision rests on; it goes into the assignment file.
    pub note: DecisionNote,
    /// The pools that could take a replica now, the roomiest first.
    pub candidates: Vec<PoolName>,
    /// Bytes that would be copied: size times replicas.
    pub bytes: u64,
}

/// An approved move whose volume is not on its tier yet.
#[derive(Clone, Debug)]
pub struct Start {
    /// The approval.
    pub approved: Approved<Move>,
    /// Where the volume is now.
    pub from: TierName,
    /// How long the migration may take, in seconds.
    pub timeout_secs: u64,
}

/// Why a volume is left alone. Each variant is a named reason; its text says what would change it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reason")]
pub enum Why {
    /// No policy covers its StorageClass.
    NoPolicy,
    /// Several policies take its claim, and none of them is more right than the others.
    ClaimedTwice {
        /// Their names.
        policies: String,
    },
    /// The policy is switched off.
    PolicyDisabled,
    /// The policy only says what it would do.
    DryRun {
        /// The tier that it would propose.
        to: TierName,
    },
    /// The volume lives on one node's own disk.
    NotMovable {
        /// What provides it.
        provider: String,
    },
    /// The engine does not know the volume.
    NotInEngine,
    /// The engine could not be read.
    EngineUnknown {
        /// Why.
        error: String,
    },
    /// Prometheus could not be read.
    HeatUnknown {
        /// Why.
        error: String,
    },
    /// Prometheus has no samples of the volume: it may be unpublished.
    NoData,
    /// Too little of the window has samples.
    LowCoverage {
        /// Part of the window with samples, in percent.
        percent: u32,
        /// What the policy asks for, in percent.
        needed_percent: u32,
    },
    /// Heat lies between the watermarks.
    BetweenWatermarks {
        /// Mean operations per second.
        iops: f64,
    },
    /// It is hot and on the hottest tier, or cold and on the coldest.
    OnRightTier {
        /// The tier.
        tier: TierName,
    },
    /// Its replicas are not all on pools of one tier of the policy.
    OnNoTier {
        /// Pools that belong to none of the policy's tiers, or to several tiers.
        pools: String,
    },
    /// It was moved too short a time ago.
    CoolingDown {
        /// Seconds left.
        seconds_left: u64,
    },
    /// A migration of it runs.
    InFlight {
        /// The VolumeMigration.
        migration: String,
    },
    /// An assignment already says so and waits for its migration.
    Assigned {
        /// The tier.
        tier: TierName,
    },
    /// A person said no, and nothing material has changed.
    Declined {
        /// The branch of the proposal.
        branch: String,
    },
    /// The last migration to that tier failed; a new approval starts it again.
    FailedBefore {
        /// The VolumeMigration.
        migration: String,
    },
    /// A migration put it there, and the engine has since placed a copy elsewhere.
    Drifted {
        /// The VolumeMigration.
        migration: String,
    },
    /// The volume is not healthy, or is being rebuilt.
    NotHealthy {
        /// What the engine says.
        detail: String,
    },
    /// The volume has no target; the engine would not rebuild a new replica.
    NotPublished,
    /// The volume has snapshots (or is a clone), which would stay behind.
    HasSnapshots {
        /// How many.
        snapshots: u32,
    },
    /// Its topology keeps it on its present pools.
    Pinned {
        /// The labels that pin it.
        labels: String,
    },
    /// Another volume of the claim was measured when the assignment was written.
    OtherVolume {
        /// The volume in the assignment.
        assigned: VolumeName,
    },
    /// The assignment's claim or volume does not exist.
    NotFound,
    /// No pool of the target tier can take a replica.
    NoPool {
        /// The tier.
        tier: TierName,
        /// What excluded each pool.
        excluded: Vec<String>,
    },
    /// The policy's or the source's budget is used up.
    OverBudget {
        /// Which budget.
        budget: String,
    },
}

impl Why {
    /// The reason as one CamelCase word, for conditions, metrics and tables.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoPolicy => "NoPolicy",
            Self::ClaimedTwice { .. } => "ClaimedTwice",
            Self::PolicyDisabled => "PolicyDisabled",
            Self::DryRun { .. } => "DryRun",
            Self::NotMovable { .. } => "NotMovable",
            Self::NotInEngine => "NotInEngine",
            Self::EngineUnknown { .. } => "EngineUnknown",
            Self::HeatUnknown { .. } => "HeatUnknown",
            Self::NoData => "NoData",
            Self::LowCoverage { .. } => "LowCoverage",
            Self::BetweenWatermarks { .. } => "BetweenWatermarks",
            Self::OnRightTier { .. } => "OnRightTier",
            Self::OnNoTier { .. } => "OnNoTier",
            Self::CoolingDown { .. } => "CoolingDown",
            Self::InFlight { .. } => "InFlight",
            Self::Assigned { .. } => "Assigned",
            Self::Declined { .. } => "Declined",
            Self::FailedBefore { .. } => "FailedBefore",
            Self::Drifted { .. } => "Drifted",
            Self::NotHealthy { .. } => "NotHealthy",
            Self::NotPublished => "NotPublished",
            Self::HasSnapshots { .. } => "HasSnapshots",
            Self::Pinned { .. } => "Pinned",
            Self::OtherVolume { .. } => "OtherVolume",
            Self::NotFound => "NotFound",
            Self::NoPool { .. } => "NoPool",
            Self::OverBudget { .. } => "OverBudget",
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPolicy => write!(f, "no StoragePolicy covers its StorageClass"),
            Self::ClaimedTwice { policies } => {
                write!(
                    f,
                    "several policies take it: {policies}; tell their volumeSelectors apart"
                )
            }
            Self::PolicyDisabled => write!(f, "the policy has enabled: false"),
            Self::DryRun { to } => write!(
                f,
                "would be proposed for {to}, but the policy or the controller is in dry run"
            ),
            Self::NotMovable { provider } => write!(f, "{provider} volumes stay on their node's disk"),
            Self::NotInEngine => write!(f, "Mayastor does not know this volume"),
            Self::EngineUnknown { error } => write!(f, "Mayastor could not be read: {error}"),
            Self::HeatUnknown { error } => write!(f, "Prometheus could not be read: {error}"),
            Self::NoData => write!(f, "no samples in the window; it may be unpublished"),
            Self::LowCoverage {
                percent,
                needed_percent,
            } => {
                write!(
                    f,
                    "samples cover {percent} % of the window, {needed_percent} % are needed"
                )
            }
            Self::BetweenWatermarks { iops } => write!(f, "{iops:.0} IOPS lies between the watermarks"),
            Self::OnRightTier { tier } => write!(f, "already on {tier}"),
            Self::OnNoTier { pools } => write!(f, "replicas are not all on one tier: {pools}"),
            Self::CoolingDown { seconds_left } => write!(f, "moved lately; rests {seconds_left} s more"),
            Self::InFlight { migration } => write!(f, "{migration} is running"),
            Self::Assigned { tier } => write!(f, "assigned to {tier}, its migration comes first"),
            Self::Declined { branch } => write!(
                f,
                "declined: {branch} was deleted or reverted, and nothing material changed"
            ),
            Self::FailedBefore { migration } => write!(
                f,
                "{migration} did not complete; a new commit on the assignment tries again"
            ),
            Self::Drifted { migration } => {
                write!(
                    f,
                    "{migration} moved it, and Mayastor has placed a copy elsewhere since"
                )
            }
            Self::NotHealthy { detail } => write!(f, "{detail}"),
            Self::NotPublished => write!(
                f,
                "not mounted by any pod, so Mayastor would not fill a new replica"
            ),
            Self::HasSnapshots { snapshots: 0 } => write!(f, "it is a clone of a snapshot"),
            Self::HasSnapshots { snapshots } => write!(f, "its {snapshots} snapshots would stay behind"),
            Self::Pinned { labels } => write!(f, "its topology demands pools with {labels}"),
            Self::OtherVolume { assigned } => write!(f, "the assignment was made for {assigned}; ask again"),
            Self::NotFound => write!(f, "the claim or its volume does not exist"),
            Self::NoPool { tier, excluded } if excluded.is_empty() => write!(f, "tier {tier} has no pool"),
            Self::NoPool { tier, excluded } => {
                write!(f, "no pool of {tier} can take a replica: {}", excluded.join("; "))
            }
            Self::OverBudget { budget } => write!(f, "{budget} is used up"),
        }
    }
}

/// One volume that is left alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LeftAlone {
    /// The claim.
    pub claim: ClaimRef,
    /// The volume.
    pub volume: VolumeName,
    /// The policy that looked at it, if any.
    pub policy: Option<PolicyName>,
    /// The tier that it is on, if that is known.
    pub tier: Option<TierName>,
    /// Why.
    pub why: Why,
}

/// What should happen now.
#[derive(Clone, Debug, Default)]
#[must_use = "an unread report is of no use"]
pub struct Decision {
    /// Moves to be proposed (or kept proposed), in order of claim.
    pub proposals: Vec<ProposedMove>,
    /// Approved moves to be started, in order of claim.
    pub starts: Vec<Start>,
    /// Every other volume, with the reason.
    pub left_alone: Vec<LeftAlone>,
}
