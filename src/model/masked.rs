//! What may be said of a volume that an encrypted policy or tier leaves alone: the reason, and no figure of the policy or tier.

use super::desired::Policy;
use super::quantities::measured;
use super::why::Why;

/// Signals that couchestor itself names; other names are a policy's own words.
const BUILT_IN: [&str; 7] = [
    "iops",
    "throughput",
    "latency",
    "readLatency",
    "writeLatency",
    "requestSize",
    "readRatio",
];

/// The name of a signal of an encrypted policy, as it may be told.
fn signal(name: &str) -> &str {
    match BUILT_IN.contains(&name) {
        true => name,
        false => "(encrypted)",
    }
}

/// The name of a policy's signal as decisions note it, which stand in Git.
pub fn noted<'a>(policy: &Policy, name: &'a str) -> &'a str {
    match policy.secret {
        true => signal(name),
        false => name,
    }
}

impl Why<'_> {
    /// The reason in words without anything that an encrypted policy says. Every variant stands here, so that a new one is thought of.
    pub fn masked(&self) -> String {
        let shown = |name: &str, value: f64| measured(signal(name), value);
        match self {
            Self::HeatUnknown { .. } => "Prometheus could not be read".to_owned(),
            Self::NoData { signal: name } => Why::NoData { signal: signal(name) }.to_string(),
            Self::LowCoverage { percent, .. } => {
                format!("samples cover {percent} % of the window, more are needed")
            }
            Self::BetweenWatermarks { signal, value } => {
                format!("{} lies between the thresholds", shown(signal, *value))
            }
            Self::NotSustained { signal, value, .. } => format!(
                "beyond its thresholds, but not for long enough: it was at {}",
                shown(signal, *value)
            ),
            Self::SustainedUnknown { signal: name, .. } => format!(
                "beyond its thresholds now; too few samples of {} to tell whether for long enough",
                signal(name)
            ),
            Self::NotHeat { signal, value } => {
                format!(
                    "busy, but {} is no heat by the policy's notHeatWhen",
                    shown(signal, *value)
                )
            }
            Self::TooYoung { .. } => "too young".to_owned(),
            Self::TierHasRoom { tier, .. } => format!("cold, but {tier} is not full enough"),
            Self::TierFull { tier, .. } => format!("{tier} would be too full"),
            Self::OutsideWindow { .. } => "approved; no window for moves is open".to_owned(),
            Self::NoLongerHolds { signal, value } => {
                format!("approved, but {} no longer speaks for it", shown(signal, *value))
            }
            Self::CoolingDown { .. } => "moved lately; it rests".to_owned(),
            // When it ends would tell how long the policy has volumes rest.
            Self::Drifted {
                migration,
                again: Some(_),
            } => format!(
                "{migration} moved it, and Mayastor has placed a copy elsewhere since; brought back when it has rested"
            ),
            Self::OverBudget { .. } => "a budget is used up".to_owned(),
            // Of the cluster, of Git, or of nothing but the kind of the reason.
            Self::NoPolicy
            | Self::ClaimedTwice { .. }
            | Self::PolicyDisabled
            | Self::DryRun { .. }
            | Self::NotMovable { .. }
            | Self::NotInEngine
            | Self::EngineUnknown { .. }
            | Self::Kept { .. }
            | Self::KeptUnreadably
            | Self::WaitsForRoom { .. }
            | Self::Suspended
            | Self::Moved { .. }
            | Self::PolicyGone(_)
            | Self::Superseded { .. }
            | Self::NotApproved { .. }
            | Self::OnRightTier { .. }
            | Self::OnNoTier { .. }
            | Self::InFlight { .. }
            | Self::Assigned { .. }
            | Self::Declined { .. }
            | Self::FailedBefore { .. }
            | Self::TriedOften { .. }
            | Self::BacksOff { .. }
            | Self::Drifted { again: None, .. }
            | Self::Stopped(_)
            | Self::NodeJustReturned { .. }
            | Self::BackupRuns { .. }
            | Self::DrillRuns { .. }
            | Self::RestoreRuns { .. }
            | Self::WorkloadsMove { .. }
            | Self::BackupStale { .. }
            | Self::BackupUnknown { .. }
            | Self::Unfit(_)
            | Self::Pinned { .. }
            | Self::OtherVolume { .. }
            | Self::NotFound
            | Self::NoRoom { .. }
            | Self::NoPool { .. } => self.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use super::*;

    #[test]
    fn no_figure_of_an_encrypted_policy_stands_in_a_reason() {
        let own = "canary-name";
        let tier: std::sync::Arc<str> = "hot".into();
        let table = [
            Why::HeatUnknown {
                error: "parse error: canary-name".into(),
            },
            Why::NoData { signal: own },
            Why::LowCoverage {
                percent: 12,
                needed_percent: 4321,
            },
            Why::BetweenWatermarks {
                signal: own,
                value: 7.0,
            },
            Why::NotSustained {
                signal: own,
                value: 7.0,
                needed_seconds: 4321,
            },
            Why::NotHeat {
                signal: own,
                value: 7.0,
            },
            Why::TooYoung { seconds_left: 4321 },
            Why::TierHasRoom {
                tier: tier.clone(),
                percent: 12,
                needed_percent: 4321,
            },
            Why::TierFull {
                tier,
                percent: 12,
                allowed_percent: 4321,
            },
            Why::OutsideWindow {
                opens: Some(jiff::Timestamp::from_second(4321).unwrap()),
            },
            Why::NoLongerHolds {
                signal: own,
                value: 7.0,
            },
            Why::CoolingDown { seconds_left: 4321 },
            Why::Drifted {
                migration: "m".into(),
                again: std::num::NonZeroI64::new(4321),
            },
            Why::OverBudget {
                budget: "movesPerHour: 4321 of canary-name".into(),
            },
        ];
        for why in table {
            let (clear, masked) = (why.to_string(), why.masked());
            assert_ne!(clear, masked, "{why:?}");
            for canary in ["canary-name", "4321", "1 h", "1970"] {
                assert!(!masked.contains(canary), "{masked}");
            }
        }
        let built_in = Why::BetweenWatermarks {
            signal: "iops",
            value: 7.0,
        };
        assert_eq!(built_in.masked(), "7 IOPS lies between the thresholds");
    }
}
