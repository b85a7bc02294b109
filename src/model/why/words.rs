//! Why a volume is left alone, in words: what would change it.

use super::Why;
use crate::model::observation::Unfit;
use crate::model::quantities::{measured, span};
use jiff::Timestamp;
use std::fmt;

impl fmt::Display for Why<'_> {
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
            Self::NotMovable { provider } if &**provider == "LocalPV" => write!(
                f,
                "LocalPV volumes stay on their node's disk; a Rollout says when their workload may move onto another StorageClass"
            ),
            Self::NotMovable { provider } => {
                write!(f, "{provider} is no engine whose copies couchestor moves")
            }
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
                span(u64::from(*needed_seconds)),
                measured(signal, *value)
            ),
            Self::SustainedUnknown {
                signal,
                needed_seconds,
            } => write!(
                f,
                "beyond its thresholds now; too few samples of {signal} to tell whether for {}",
                span(u64::from(*needed_seconds))
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
                crate::model::kinds::PINNED
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
                "{migration} did not complete; `couchestor migrations retry {migration}` or a new commit on the assignment tries again"
            ),
            Self::TriedOften { migration, attempts } => write!(
                f,
                "{migration} was attempt {attempts} of one approval, and there is no other; a new commit on the assignment tries again"
            ),
            Self::BacksOff { migration, until } => write!(
                f,
                "approved, but Mayastor refused {migration} at once; tried again from {}",
                time(*until)
            ),
            Self::Drifted {
                migration,
                again: Some(again),
            } => write!(
                f,
                "{migration} moved it, and Mayastor has placed a copy elsewhere since; brought back from {}",
                time(again.get())
            ),
            Self::Drifted {
                migration,
                again: None,
            } => write!(
                f,
                "{migration} moved it, and Mayastor has placed a copy elsewhere again; find out why, then run `couchestor migrations retry \
                 {migration}`"
            ),
            Self::Stopped(stop) => write!(f, "approved, but {stop}"),
            Self::NodeJustReturned { node, until } => write!(
                f,
                "approved, but node {node} has just returned; starts from {}",
                time(*until)
            ),
            Self::BackupRuns { backup } => write!(
                f,
                "approved, but backup {backup} runs; starts when that has ended"
            ),
            Self::DrillRuns { drill } => write!(
                f,
                "approved, but drill {drill} restores a backup of its namespace; starts when that has ended"
            ),
            Self::RestoreRuns { restore } => write!(
                f,
                "approved, but restore {restore} of its namespace is under way; starts when that has ended"
            ),
            Self::WorkloadsMove { name } => write!(
                f,
                "approved, but WorkloadMove {name} moves its workloads onto another class; starts when that has ended"
            ),
            Self::BackupStale { policy, age } => {
                let allowed = age.allowed_seconds.map_or_else(|| "its rpo".to_owned(), span);
                write!(
                    f,
                    "not moved to a colder tier before BackupPolicy {policy} has a backup of every volume that is younger than {allowed}: "
                )?;
                match age.since {
                    Some(since) => write!(f, "the newest started at {since}"),
                    None => write!(f, "there is none"),
                }
            }
            Self::BackupUnknown { unread } => write!(
                f,
                "BackupPolicy {} takes it, and whether a backup of it runs is not known: {}",
                unread.0, unread.1
            ),
            Self::Unfit(unfit) => write!(f, "{unfit}"),
            Self::Pinned { labels } => write!(
                f,
                "its topology demands pools with {labels}; give pools of the other tier these labels, or bring its workload onto a \
                 StorageClass without them"
            ),
            Self::OtherVolume { assigned } => write!(
                f,
                "the assignment was made for {assigned}, which is not the claim's volume; to move the one that it has needs an assignment \
                 that says so"
            ),
            Self::NotFound => write!(f, "the claim or its volume does not exist"),
            Self::NoRoom { tier, needed: 0, .. } => write!(f, "no pool of {tier} has room"),
            Self::NoRoom {
                tier,
                needed,
                roomiest,
            } => write!(
                f,
                "no pool of {tier} has room: {} are needed, the roomiest has {}",
                crate::model::engine::gib(*needed),
                crate::model::engine::gib(*roomiest)
            ),
            Self::NoPool { tier, excluded } if excluded.is_empty() => {
                write!(f, "tier {tier} has no pool; label one as its poolSelector asks")
            }
            Self::NoPool { tier, excluded } => {
                write!(
                    f,
                    "no pool of {tier} can take a replica; mend one of them, or add one on another node: {}",
                    excluded.join("; ")
                )
            }
            Self::OverBudget { budget } => write!(f, "{budget} is used up"),
        }
    }
}

/// Seconds since the epoch as a time.
fn time(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Creating => write!(f, "Mayastor has not finished creating it"),
            Self::Snapshots(count) => {
                let (what, them) = match count {
                    1 => ("snapshot".to_owned(), "it"),
                    count => (format!("{count} snapshots"), "them"),
                };
                write!(
                    f,
                    "its {what} would stay behind; delete {them}, let {them} expire, or write `acceptSnapshotsStay: true` into its \
                     TierAssignment"
                )
            }
            Self::Clone => write!(
                f,
                "it is a clone of a snapshot; write `acceptSnapshotsStay: true` into its TierAssignment to move it nevertheless"
            ),
            Self::Unpublished => write!(
                f,
                "not mounted by any pod, so Mayastor would not fill a new replica; start its workload"
            ),
            Self::State(state) => write!(f, "Mayastor calls it {state:?}"),
            Self::Target => write!(f, "its target is not Online"),
            Self::Rebuilding => write!(f, "a copy of it is being rebuilt"),
            Self::Busy => write!(f, "Mayastor is changing it"),
            Self::SelfHealOff => write!(f, "its policy has self_heal off"),
            Self::Obstacle(obstacle) => write!(f, "{obstacle}"),
            Self::Grouped => write!(
                f,
                "it is of an affinity group, whose volumes Mayastor never lets go from two copies to one; give it two copies"
            ),
            Self::Unsteerable => write!(
                f,
                "no node says a release of Mayastor that heeds cordons when a copy is removed, so another could go than the old one; those \
                 from 2.9 on do"
            ),
            Self::Copies { has, wants } => write!(f, "it has {has} of {wants} copies"),
        }
    }
}
