//! Why a volume is left alone, in one word and in one line.

use super::ids::VolumeName;
use super::observation::Unfit;
use super::quantities::{measured, span};
use jiff::Timestamp;
use std::fmt;
use std::sync::Arc;

/// Why a volume is left alone. Each variant is a named reason; its text says what would change it.
#[derive(Clone, Debug, PartialEq)]
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
        to: Arc<str>,
    },
    /// The volume lives on one node's own disk.
    NotMovable {
        /// What provides it.
        provider: Arc<str>,
    },
    /// The engine does not know the volume.
    NotInEngine,
    /// The engine could not be read.
    EngineUnknown {
        /// Why.
        error: Arc<str>,
    },
    /// Prometheus could not be read.
    HeatUnknown {
        /// Why.
        error: Arc<str>,
    },
    /// Prometheus has no value of a signal for the volume: it may be unpublished.
    NoData {
        /// The signal.
        signal: Arc<str>,
    },
    /// Too little of the window has samples.
    LowCoverage {
        /// Part of the window with samples, in percent.
        percent: u32,
        /// What the policy asks for, in percent.
        needed_percent: u32,
    },
    /// A signal lies between its thresholds, or signals point in different directions.
    BetweenWatermarks {
        /// The first signal that speaks for neither direction, or for the other one.
        signal: Arc<str>,
        /// Its value.
        value: f64,
    },
    /// It is beyond its thresholds, but has not been for long enough.
    NotSustained {
        /// The signal that was on the other side.
        signal: Arc<str>,
        /// Its value nearest to the other side.
        value: f64,
        /// How long it must hold, in seconds.
        needed_seconds: u64,
    },
    /// It is beyond its thresholds, and nobody knows whether it has been for long enough.
    SustainedUnknown {
        /// The signal that has too few samples.
        signal: Arc<str>,
        /// How long it must hold, in seconds.
        needed_seconds: u64,
    },
    /// The load is of a kind that the policy does not count as heat.
    NotHeat {
        /// The first signal of the exception.
        signal: Arc<str>,
        /// Its value.
        value: f64,
    },
    /// The volume is too young.
    TooYoung {
        /// Seconds left.
        seconds_left: u64,
    },
    /// A person keeps it where it is.
    Kept {
        /// Until when, in seconds since the epoch; `None` means until somebody changes that.
        until: Option<i64>,
        /// Whether the assignment says so, and not the claim's annotation.
        by_assignment: bool,
    },
    /// The annotation that should keep it cannot be read.
    KeptUnreadably,
    /// The tier that it would leave is not full enough for that.
    TierHasRoom {
        /// The tier.
        tier: Arc<str>,
        /// How full it is, in percent.
        percent: u32,
        /// How full it must be, in percent.
        needed_percent: u32,
    },
    /// The tier that it would go to would become too full.
    TierFull {
        /// The tier.
        tier: Arc<str>,
        /// How full it would be, in percent.
        percent: u32,
        /// How full it may be, in percent.
        allowed_percent: u32,
    },
    /// It waits for colder volumes to leave the tier that it would go to.
    WaitsForRoom {
        /// The tier.
        tier: Arc<str>,
        /// The claims that leave first.
        after: Box<str>,
    },
    /// Approved, and the policy that proposed it was switched off since.
    Suspended,
    /// Approved, and no window for moves is open.
    OutsideWindow {
        /// When the next one opens.
        opens: Option<Timestamp>,
    },
    /// Approved, but what spoke for the move no longer does.
    NoLongerHolds {
        /// The signal that went back.
        signal: Arc<str>,
        /// Its value.
        value: f64,
    },
    /// Approved, but it is elsewhere than when that was decided.
    Moved {
        /// The tier that it is on.
        tier: Arc<str>,
        /// The tier that it was on.
        decided: Box<str>,
    },
    /// Approved, and the policy that proposed it is gone, so that nobody can say whether it still should be.
    PolicyGone(Box<str>),
    /// The approval was used up without a move, because what spoke for it no longer did.
    Superseded {
        /// The VolumeMigration that says why.
        migration: String,
    },
    /// Merged, but not approved on the forge as the source demands.
    NotApproved {
        /// What is missing, in words.
        missing: Arc<str>,
    },
    /// It is hot and on the hottest tier, or cold and on the coldest.
    OnRightTier {
        /// The tier.
        tier: Arc<str>,
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
        tier: Arc<str>,
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
    /// As it is now the volume could not be moved anywhere.
    Unfit(Unfit),
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
    /// No pool of the target tier has room.
    NoRoom {
        /// The tier.
        tier: Arc<str>,
        /// Bytes that are needed on each pool; 0 when that is not told, because the tier is encrypted.
        needed: u64,
        /// Bytes that the roomiest pool has left, after what is under way and planned before it.
        roomiest: u64,
    },
    /// No pool of the target tier can take a replica.
    NoPool {
        /// The tier.
        tier: Arc<str>,
        /// What excluded each pool.
        excluded: Box<[String]>,
    },
    /// The policy's or the source's budget is used up.
    OverBudget {
        /// Which budget.
        budget: Arc<str>,
    },
}

impl Why {
    /// Whether it uses an approval up: waiting would not help, for a person approved something that is not so any more. Everything
    /// else passes, as a window, a budget, room and an engine that does not answer do.
    pub fn supersedes(&self) -> bool {
        matches!(
            self,
            Self::NoLongerHolds { .. } | Self::Moved { .. } | Self::OtherVolume { .. } | Self::PolicyGone(_)
        )
    }

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
            Self::NoData { .. } => "NoData",
            Self::LowCoverage { .. } => "LowCoverage",
            Self::BetweenWatermarks { .. } => "BetweenWatermarks",
            Self::NotSustained { .. } | Self::SustainedUnknown { .. } => "NotSustained",
            Self::NotHeat { .. } => "NotHeat",
            Self::TooYoung { .. } => "TooYoung",
            Self::Kept { .. } | Self::KeptUnreadably => "Kept",
            Self::TierHasRoom { .. } => "TierHasRoom",
            Self::TierFull { .. } => "TierFull",
            Self::WaitsForRoom { .. } => "WaitsForRoom",
            Self::Suspended => "Suspended",
            Self::OutsideWindow { .. } => "OutsideWindow",
            Self::NoLongerHolds { .. } => "NoLongerHolds",
            Self::Moved { .. } => "MovedSince",
            Self::PolicyGone(_) => "PolicyGone",
            Self::Superseded { .. } => "Superseded",
            Self::NotApproved { .. } => "NotApproved",
            Self::OnRightTier { .. } => "OnRightTier",
            Self::OnNoTier { .. } => "OnNoTier",
            Self::CoolingDown { .. } => "CoolingDown",
            Self::InFlight { .. } => "InFlight",
            Self::Assigned { .. } => "Assigned",
            Self::Declined { .. } => "Declined",
            Self::FailedBefore { .. } => "FailedBefore",
            Self::Drifted { .. } => "Drifted",
            Self::Unfit(Unfit::Unpublished) => "NotPublished",
            Self::Unfit(Unfit::Snapshots(_) | Unfit::Clone) => "HasSnapshots",
            Self::Unfit(_) => "NotHealthy",
            Self::Pinned { .. } => "Pinned",
            Self::OtherVolume { .. } => "OtherVolume",
            Self::NotFound => "NotFound",
            Self::NoRoom { .. } => "NoRoom",
            Self::NoPool { .. } => "NoPool",
            Self::OverBudget { .. } => "OverBudget",
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPolicy => write!(
                f,
                "no StoragePolicy takes it: none has its StorageClass, and labels that its claim carries"
            ),
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
            Self::NoData { signal } => {
                write!(f, "no samples of {signal} in the window; it may be unpublished")
            }
            Self::LowCoverage {
                percent,
                needed_percent,
            } => {
                write!(
                    f,
                    "samples cover {percent} % of the window, {needed_percent} % are needed"
                )
            }
            Self::BetweenWatermarks { signal, value } => {
                write!(f, "{} lies between the thresholds", measured(signal, *value))
            }
            Self::NotSustained {
                signal,
                value,
                needed_seconds,
            } => write!(
                f,
                "beyond its thresholds, but not for {} yet: it was at {}",
                span(*needed_seconds),
                measured(signal, *value)
            ),
            Self::SustainedUnknown {
                signal,
                needed_seconds,
            } => write!(
                f,
                "beyond its thresholds now; too few samples of {signal} to tell whether for {}",
                span(*needed_seconds)
            ),
            Self::NotHeat { signal, value } => {
                write!(
                    f,
                    "busy, but {} is no heat by the policy's notHeatWhen",
                    measured(signal, *value)
                )
            }
            Self::TooYoung { seconds_left } => write!(f, "too young; {} are left", span(*seconds_left)),
            Self::Kept { until, by_assignment } => {
                let whose = if *by_assignment {
                    "its assignment"
                } else {
                    "an annotation on the claim"
                };
                let until = until.and_then(|until| Timestamp::from_second(until).ok());
                match until {
                    Some(until) => write!(f, "{whose} keeps it where it is until {until}"),
                    None => write!(f, "{whose} keeps it where it is"),
                }
            }
            Self::KeptUnreadably => write!(
                f,
                "the claim's annotation {} is neither `true` nor a time; it stays until that is mended",
                super::kinds::PINNED
            ),
            Self::TierHasRoom {
                tier,
                percent,
                needed_percent,
            } => write!(
                f,
                "cold, but {tier} is {percent} % full, and lets go from {needed_percent} % on"
            ),
            Self::TierFull {
                tier,
                percent,
                allowed_percent,
            } => write!(
                f,
                "{tier} would be {percent} % full, {allowed_percent} % are allowed"
            ),
            Self::WaitsForRoom { tier, after } => write!(f, "{tier} has no room until {after} has left it"),
            Self::Suspended => write!(
                f,
                "approved, but the policy that proposed it has enabled: false; switch it on, or pin the assignment to move it anyway"
            ),
            Self::OutsideWindow { opens: Some(opens) } => {
                write!(f, "approved; starts in the next window for moves, from {opens}")
            }
            Self::OutsideWindow { opens: None } => write!(f, "approved; no window for moves opens"),
            Self::NoLongerHolds { signal, value } => write!(
                f,
                "approved, but {} no longer speaks for it",
                measured(signal, *value)
            ),
            Self::Moved { tier, decided } => write!(
                f,
                "approved, but it is on {tier} now, and was on {decided} when that was decided"
            ),
            Self::PolicyGone(policy) => write!(f, "approved, but its StoragePolicy {policy} is gone"),
            Self::Superseded { migration } => write!(
                f,
                "superseded ({migration}): what was approved made no sense any more, and nothing was moved; it is asked for again when it does"
            ),
            Self::NotApproved { missing } => write!(f, "merged, but {missing}"),
            Self::OnRightTier { tier } => write!(f, "already on {tier}"),
            Self::OnNoTier { pools } => write!(f, "replicas are not all on one tier: {pools}"),
            Self::CoolingDown { seconds_left } => {
                write!(f, "moved lately; rests {} more", span(*seconds_left))
            }
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
            Self::Unfit(unfit) => write!(f, "{unfit}"),
            Self::Pinned { labels } => write!(f, "its topology demands pools with {labels}"),
            Self::OtherVolume { assigned } => write!(f, "the assignment was made for {assigned}; ask again"),
            Self::NotFound => write!(f, "the claim or its volume does not exist"),
            Self::NoRoom { tier, needed: 0, .. } => write!(f, "no pool of {tier} has room"),
            Self::NoRoom {
                tier,
                needed,
                roomiest,
            } => write!(
                f,
                "no pool of {tier} has room: {} are needed, the roomiest has {}",
                super::engine::gib(*needed),
                super::engine::gib(*roomiest)
            ),
            Self::NoPool { tier, excluded } if excluded.is_empty() => write!(f, "tier {tier} has no pool"),
            Self::NoPool { tier, excluded } => {
                write!(f, "no pool of {tier} can take a replica: {}", excluded.join("; "))
            }
            Self::OverBudget { budget } => write!(f, "{budget} is used up"),
        }
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Creating => write!(f, "Mayastor has not finished creating it"),
            Self::Snapshots(1) => write!(f, "its snapshot would stay behind; delete it, or let it expire"),
            Self::Snapshots(count) => write!(
                f,
                "its {count} snapshots would stay behind; delete them, or let them expire"
            ),
            Self::Clone => write!(f, "it is a clone of a snapshot"),
            Self::Unpublished => write!(
                f,
                "not mounted by any pod, so Mayastor would not fill a new replica; start its workload"
            ),
            Self::State(state) => write!(f, "Mayastor calls it {state:?}"),
            Self::Target => write!(f, "its target is not Online"),
            Self::Rebuilding => write!(f, "a copy of it is being rebuilt"),
            Self::Busy => write!(f, "Mayastor is changing it"),
            Self::SelfHealOff => write!(f, "its policy has self_heal off"),
            Self::Copies { has, wants } => write!(f, "it has {has} of {wants} copies"),
        }
    }
}
