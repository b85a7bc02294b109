//! What the conditions of backup policies say. Ages change all the time and are left out, so that nothing is written while nothing changes.

use super::{Judged, NAMED_MAX, PolicyReport, Trouble};
use crate::model::backups::Unseen;
use crate::model::quantities::span;
use jiff::Timestamp;
use std::borrow::Cow;

/// The condition that says whether the newest backup holds every volume.
pub const COVERED: &str = "Covered";

/// The condition that says whether the newest one that does is no older than `rpo`.
pub const FRESH: &str = "Fresh";

/// The condition that says whether drills hold; whoever carries them out writes it.
pub const DRILLED: &str = "Drilled";

/// Uncovered volumes that a message names; the status holds more of them.
const SHOWN_MAX: usize = 3;

/// A condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Its type.
    pub type_: &'static str,
    /// Whether it holds.
    pub holds: bool,
    /// In one word.
    pub reason: Cow<'static, str>,
    /// In words.
    pub message: String,
}

fn said(type_: &'static str, holds: bool, reason: &'static str, message: impl Into<String>) -> Said {
    Said {
        type_,
        holds,
        reason: reason.into(),
        message: message.into(),
    }
}

impl Unseen {
    /// In one word and in words.
    pub fn told(&self) -> (&'static str, String) {
        match self {
            Self::Absent => (
                "VeleroMissing",
                "the cluster has no kinds of velero.io/v1, so no backup is made; install Velero".to_owned(),
            ),
            Self::Unreadable(error) => (
                "VeleroUnreadable",
                format!("Velero's objects could not be read, so nothing is known of backups: {error}"),
            ),
        }
    }
}

impl PolicyReport {
    /// What its conditions say, Ready first. Without an `rpo` nothing is said of freshness.
    pub fn says(&self, unseen: Option<&Unseen>, now: Timestamp) -> Vec<Said> {
        if let Some(unseen) = unseen {
            let (reason, message) = unseen.told();
            let fresh = self.rules.rpo.map(|_| FRESH);
            let types = ["Ready", COVERED].into_iter().chain(fresh);
            return types.map(|type_| said(type_, false, reason, &*message)).collect();
        }
        let (covered, fresh) = (self.is_covered(), self.freshness(now));
        let trouble = self.trouble.as_ref().map(|trouble| match trouble {
            Trouble::ScheduleRefused(words) => said("Ready", false, "ScheduleRefused", &**words),
            Trouble::NoNodeAgent(words) => said("Ready", false, "NoNodeAgent", &**words),
            Trouble::LocationUnavailable(words) => said("Ready", false, "LocationUnavailable", &**words),
        });
        let worst = [Some(&covered), fresh.as_ref()];
        let worst = worst.into_iter().flatten().find(|one| !one.holds);
        let ready = trouble.unwrap_or_else(|| match worst {
            Some(worst) => Said {
                type_: "Ready",
                ..worst.clone()
            },
            None => said("Ready", true, "BackedUp", &*covered.message),
        });
        [Some(ready), Some(covered), fresh]
            .into_iter()
            .flatten()
            .collect()
    }

    fn is_covered(&self) -> Said {
        let Some(newest) = &self.newest else {
            let message = format!(
                "no backup of it has ended; {} volumes are in scope",
                self.in_scope.len()
            );
            return said(COVERED, false, "NeverBackedUp", message);
        };
        let name = &newest.backup.name;
        let phase = newest.backup.phase.as_str();
        match phase {
            "Completed" if newest.is_full() => {
                let seen = newest.seen();
                let exempt = match seen.exempt {
                    0 => String::new(),
                    exempt => format!(", {exempt} are exempt"),
                };
                let younger = match newest.gaps().count() {
                    0 => String::new(),
                    count => format!(", {count} were made since and wait for the next backup"),
                };
                let message = format!(
                    "backup {name} holds {} of {} volumes{exempt}{younger}",
                    seen.covered, seen.volumes
                );
                said(COVERED, true, "Covered", message)
            }
            "Completed" => said(COVERED, false, "Uncovered", missing(newest)),
            "FailedValidation" => {
                let why = newest.backup.refusals.join("; ");
                said(
                    COVERED,
                    false,
                    "BackupRefused",
                    format!("Velero refused backup {name}: {why}"),
                )
            }
            _ => {
                let why = match newest.backup.failure.as_str() {
                    "" => format!(
                        "{} errors; `velero backup describe {name}` shows them",
                        newest.backup.errors
                    ),
                    why => why.to_owned(),
                };
                said(
                    COVERED,
                    false,
                    "BackupFailed",
                    format!("backup {name} ended as {phase}: {why}"),
                )
            }
        }
    }

    fn freshness(&self, now: Timestamp) -> Option<Said> {
        let rpo = self.rules.rpo?;
        let allowed = span(rpo.as_secs());
        let Some(covered) = &self.covered else {
            let (reason, message) = match self.newest {
                None => ("NeverBackedUp", "no backup of it has ended".to_owned()),
                Some(_) => (
                    "NothingCovered",
                    format!(
                        "none of its last backups holds every volume; {allowed} is what may be lost (rpo)"
                    ),
                ),
            };
            return Some(said(FRESH, false, reason, message));
        };
        let (name, started) = (&covered.backup.name, covered.seen().started_at);
        let fresh = self.is_fresh(now) == Some(true);
        let (reason, how) = match fresh {
            true => ("Fresh", "no longer ago than"),
            false => ("Stale", "longer ago than"),
        };
        let message = format!(
            "the newest backup that holds every volume, {name}, started at {started}, {how} the {allowed} that may be lost (rpo)"
        );
        Some(said(FRESH, fresh, reason, message))
    }
}

/// The volumes that a backup does not hold, the first of them by name.
fn missing(newest: &Judged) -> String {
    let older = |gap: &super::Gap| *gap != super::Gap::YoungerThanBackup;
    let gaps: Vec<_> = newest.gaps().filter(|(_, gap, _)| older(gap)).collect();
    let shown = gaps.iter().take(SHOWN_MAX);
    let shown: Vec<String> = shown
        .map(|(claim, gap, message)| format!("{claim} ({}: {message})", gap.as_str()))
        .collect();
    let more = match gaps.len().saturating_sub(SHOWN_MAX) {
        0 => String::new(),
        more => format!("; {more} more, of which the status names the first {NAMED_MAX}"),
    };
    format!(
        "backup {} does not hold {} of {} volumes: {}{more}",
        newest.backup.name,
        gaps.len(),
        newest.volumes.len(),
        shown.join("; ")
    )
}
