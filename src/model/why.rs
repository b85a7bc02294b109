//! Why a volume is left alone, in one word and in one line.

use super::ids::{TierName, VolumeName};
use super::moves::Stop;
use super::observation::Unfit;
use jiff::Timestamp;
use std::num::NonZeroI64;
use std::sync::Arc;

/// The same in words.
mod words;

/// How old the newest backup of every volume is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupAge {
    /// When it started; there is none otherwise.
    pub since: Option<Timestamp>,
    /// How old it may be, in seconds; none when that is not told, because the policy is encrypted.
    pub allowed_seconds: Option<u64>,
}

// Every volume has one in each plan, and to write a hundred thousand of them into fresh memory is a good part of what a plan takes.
const _: () = assert!(size_of::<Why>() == 32, "rare reasons box what they hold");

/// Why a volume is left alone. Each variant is a named reason; its text says what would change it. What most volumes have said of them
/// borrows its names, so that nobody counts who shares them.
#[derive(Clone, Debug, PartialEq)]
pub enum Why<'a> {
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
        signal: &'a str,
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
        signal: &'a str,
        /// Its value.
        value: f64,
    },
    /// It is beyond its thresholds, but has not been for long enough.
    NotSustained {
        /// The signal that was on the other side.
        signal: &'a str,
        /// Its value nearest to the other side.
        value: f64,
        /// How long it must hold, in seconds.
        needed_seconds: u32,
    },
    /// It is beyond its thresholds, and nobody knows whether it has been for long enough.
    SustainedUnknown {
        /// The signal that has too few samples.
        signal: &'a str,
        /// How long it must hold, in seconds.
        needed_seconds: u32,
    },
    /// The load is of a kind that the policy does not count as heat.
    NotHeat {
        /// The first signal of the exception.
        signal: &'a str,
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
        tier: &'a TierName,
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
        signal: &'a str,
        /// Its value.
        value: f64,
    },
    /// Approved, but it is elsewhere than when that was decided.
    Moved {
        /// The tier that it is on.
        tier: &'a TierName,
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
        tier: &'a str,
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
    /// The last migration to that tier failed; a person has it tried again, or approves it anew.
    FailedBefore {
        /// The VolumeMigration.
        migration: String,
    },
    /// An approval was tried too often.
    TriedOften {
        /// The last VolumeMigration.
        migration: String,
        /// How often.
        attempts: u32,
    },
    /// The engine has just refused to move it.
    BacksOff {
        /// The VolumeMigration.
        migration: Box<str>,
        /// Until when it waits, in seconds since the epoch.
        until: i64,
    },
    /// A migration put it there, and the engine has since placed a copy elsewhere.
    Drifted {
        /// The VolumeMigration.
        migration: Box<str>,
        /// When it is brought back, in seconds since the epoch; by a person's order only, when there is none.
        again: Option<NonZeroI64>,
    },
    /// Approved, and no move of the source starts at present.
    Stopped(Stop),
    /// Approved, and a node that it would take a copy from or bring one to has just returned.
    NodeJustReturned {
        /// The node.
        node: Box<str>,
        /// Until when it rests, in seconds since the epoch.
        until: i64,
    },
    /// A backup reads it, or is about to.
    BackupRuns {
        /// Velero's Backup.
        backup: Arc<str>,
    },
    /// A backup of its namespace is being restored to prove that it can be.
    DrillRuns {
        /// The drill.
        drill: Arc<str>,
    },
    /// A person restores claims of its namespace.
    RestoreRuns {
        /// The restore.
        restore: Arc<str>,
    },
    /// Its workloads are being moved onto another StorageClass.
    WorkloadsMove {
        /// The WorkloadMove.
        name: Arc<str>,
    },
    /// It would go to a colder tier, and the newest backup that holds every volume of its backup policy is too old.
    BackupStale {
        /// The BackupPolicy, by namespace and name.
        policy: Arc<str>,
        /// How old it is, and may be.
        age: Box<BackupAge>,
    },
    /// A backup policy takes it, and nobody knows what its backups do.
    BackupUnknown {
        /// The BackupPolicy, by namespace and name, and why.
        unread: Box<(Arc<str>, Arc<str>)>,
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
        tier: &'a TierName,
        /// Bytes that are needed on each pool; 0 when that is not told, because the tier is encrypted.
        needed: u64,
        /// Bytes that the roomiest pool has left, after what is under way and planned before it.
        roomiest: u64,
    },
    /// No pool of the target tier can take a replica.
    NoPool {
        /// The tier.
        tier: &'a TierName,
        /// What excluded each pool.
        excluded: Box<[String]>,
    },
    /// The policy's or the source's budget is used up.
    OverBudget {
        /// Which budget.
        budget: Arc<str>,
    },
}

impl Why<'_> {
    /// Whether it uses an approval up: waiting would not help, for a person approved something that is not so any more. Everything
    /// else passes, as a window, a budget and an engine that does not answer do, and for a while room is waited for too.
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
            Self::TriedOften { .. } => "TriedOften",
            Self::BacksOff { .. } => "BacksOff",
            Self::Drifted { .. } => "Drifted",
            Self::Stopped(stop) => stop.reason(),
            Self::NodeJustReturned { .. } => "NodeJustReturned",
            Self::BackupRuns { .. } => "BackupRuns",
            Self::DrillRuns { .. } => "DrillRuns",
            Self::RestoreRuns { .. } => "RestoreRuns",
            Self::WorkloadsMove { .. } => "WorkloadsMove",
            Self::BackupStale { .. } => "BackupStale",
            Self::BackupUnknown { .. } => "BackupUnknown",
            Self::Unfit(Unfit::Unpublished) => "NotPublished",
            Self::Unfit(Unfit::Snapshots(_) | Unfit::Clone) => "HasSnapshots",
            Self::Unfit(Unfit::Grouped | Unfit::Unsteerable) => "NotSteerable",
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
