//! What an approval came to so far, and whether it is acted upon once more: when a person has a failed move tried again, and when copies
//! have left the tier that a move brought them to.

use super::View;
use crate::model::approval::{Approved, Move};
use crate::model::decision::Why;
use crate::model::desired::Policy;
use crate::model::ids::CommitId;
use crate::model::kinds::volume_migration::Phase;
use crate::model::migration_brief::MigrationBrief;
use crate::model::quick::Table;
use jiff::Timestamp;
use std::collections::{HashMap, HashSet};
use std::num::NonZeroI64;
use std::time::Duration;

/// Attempts of one approval: whoever has tried a move that often should look at it anew, and say so with a new commit.
const ATTEMPTS_MAX: u32 = 20;

/// How often copies are brought back that have left their tier, within one approval's life: what places them there (a hot spare's
/// rebuild, mostly for want of room) would do so again, and each time a whole copy is made.
const DRIFTS_MAX: usize = 3;

/// How long a volume rests before its copies are brought back when no policy says it: the policies' default.
const DRIFT_REST: Duration = Duration::from_secs(24 * 3600);

/// A move that ended sooner was refused at once: no copy worth moving is filled in so short a time, retries of the calls included.
const AT_ONCE_SECS: i64 = 300;

/// After moves of a volume that were refused at once, pauses grow from the first to the last: what refuses (a full pool, an agent that
/// restarts) is rarely over within seconds, and seldom takes longer than half an hour to be seen to.
const PAUSE_FIRST: Duration = Duration::from_secs(30);
const PAUSE_LAST: Duration = Duration::from_secs(1800);

/// A move by volume, tier and approving commit.
type Key<'a> = (&'a str, &'a str, &'a str);

/// What became of approvals.
pub(super) struct Attempts<'a> {
    /// The latest attempt of each approval, and how many of all completed.
    of_approval: Table<Key<'a>, (&'a MigrationBrief, usize)>,
    /// For each volume whose latest move was refused at once: that move, and how many were, one after the other.
    refused: HashMap<&'a str, (&'a MigrationBrief, u32)>,
}

/// How an approval is acted upon.
pub(super) struct Attempt {
    /// Which attempt it is, from 1 on.
    pub(super) number: u32,
    /// Whether the move was made before, and copies have left the tier since.
    pub(super) drifted: bool,
}

impl<'a> Attempts<'a> {
    pub(super) fn of(migrations: &'a [MigrationBrief]) -> Self {
        let mut of_approval: Table<Key<'a>, (&'a MigrationBrief, usize)> = Table::default();
        for one in migrations {
            let key = (one.volume.as_str(), one.to.as_str(), one.approved_in.as_str());
            let (latest, completed) = of_approval.entry(key).or_insert((one, 0));
            if one.attempt > latest.attempt {
                *latest = one;
            }
            *completed += usize::from(one.phase == Phase::Completed);
        }
        Self {
            of_approval,
            refused: refused(migrations),
        }
    }

    /// The latest attempt of an approval.
    fn latest(&self, approved: &Approved<Move>) -> Option<(&'a MigrationBrief, usize)> {
        let what = approved.what();
        let CommitId(commit) = &approved.approval().commit;
        let key = (what.volume.as_str(), what.to.as_str(), commit.as_str());
        self.of_approval.get(&key).copied()
    }

    /// Why another volume of the claim than the one that was meant is not moved; once that was written down, its approval is used up.
    pub(super) fn other_volume<T>(&self, approved: &Approved<Move>) -> Result<T, Why<'static>> {
        self.not_superseded(approved)?;
        Err(Why::OtherVolume {
            assigned: approved.what().volume.clone(),
        })
    }

    /// Whether an approval was used up without a move.
    fn not_superseded(&self, approved: &Approved<Move>) -> Result<(), Why<'static>> {
        match self.latest(approved) {
            Some((done, _)) if done.phase == Phase::Superseded => Err(Why::Superseded {
                migration: done.name.clone(),
            }),
            _ => Ok(()),
        }
    }

    /// Whether an approval was carried out.
    pub(super) fn moved(&self, approved: &Approved<Move>) -> bool {
        let latest = self.latest(approved);
        latest.is_some_and(|(latest, _)| latest.phase == Phase::Completed)
    }

    /// The number of the attempt that would be made next.
    pub(super) fn next(&self, approved: &Approved<Move>) -> u32 {
        let latest = self.latest(approved);
        latest.map_or(1, |(latest, _)| latest.attempt.saturating_add(1))
    }

    /// Whether an approval of a move to a tier that the volume is not on is acted upon now: once, unless a person has it tried again
    /// or copies have left the tier.
    pub(super) fn may(
        &self,
        view: &View,
        approved: &Approved<Move>,
        policy: Option<&Policy>,
    ) -> Result<Attempt, Why<'static>> {
        self.not_superseded(approved)?;
        let number = self.next(approved);
        let mut drifted = false;
        if let Some((latest, completed)) = self.latest(approved) {
            drifted = latest.phase == Phase::Completed;
            match (drifted, &latest.retry) {
                (_, Some(_)) => {}
                (true, None) => rested(view, latest, completed, policy)?,
                (false, None) => {
                    return Err(Why::FailedBefore {
                        migration: latest.name.clone(),
                    });
                }
            }
            if number > ATTEMPTS_MAX {
                return Err(Why::TriedOften {
                    migration: latest.name.clone(),
                    attempts: latest.attempt,
                });
            }
        }
        self.not_refused_lately(view.now, approved)?;
        Ok(Attempt { number, drifted })
    }

    fn not_refused_lately(&self, now: Timestamp, approved: &Approved<Move>) -> Result<(), Why<'static>> {
        let refused = self.refused.get(approved.what().volume.as_str());
        let Some((last, ended, times)) =
            refused.and_then(|(last, times)| Some((last, last.ended()?, *times)))
        else {
            return Ok(());
        };
        let pause = PAUSE_FIRST.saturating_mul(1 << times.saturating_sub(1).min(16));
        let until = ended.checked_add(pause.min(PAUSE_LAST)).unwrap_or(Timestamp::MAX);
        match now < until {
            true => Err(Why::BacksOff {
                migration: last.name.as_str().into(),
                until: until.as_second(),
            }),
            false => Ok(()),
        }
    }
}

/// Whether copies that have left their tier are brought back now.
fn rested(
    view: &View,
    latest: &MigrationBrief,
    completed: usize,
    policy: Option<&Policy>,
) -> Result<(), Why<'static>> {
    let rest = policy.map_or(DRIFT_REST, |policy| policy.cooldown);
    let until = latest
        .ended()
        .map(|ended| ended.checked_add(rest).unwrap_or(Timestamp::MAX));
    // The first move is no return.
    let again = until.filter(|_| completed <= DRIFTS_MAX);
    match again {
        Some(until) if view.now >= until => Ok(()),
        again => Err(Why::Drifted {
            migration: latest.name.as_str().into(),
            again: again.and_then(|again| NonZeroI64::new(again.as_second())),
        }),
    }
}

/// Volumes whose latest moves were refused at once.
fn refused(migrations: &[MigrationBrief]) -> HashMap<&str, (&MigrationBrief, u32)> {
    let at_once = |one: &&MigrationBrief| {
        if one.phase != Phase::RolledBack {
            return false;
        }
        let began: Option<Timestamp> = one.started.as_ref().and_then(|at| at.parse().ok());
        let lasted = began
            .zip(one.ended())
            .map(|(from, to)| to.as_second() - from.as_second());
        lasted.is_some_and(|lasted| lasted <= AT_ONCE_SECS)
    };
    let mut of_volume: HashMap<&str, Vec<&MigrationBrief>> = HashMap::new();
    // Most volumes never had one.
    let had: HashSet<&str> = migrations
        .iter()
        .filter(at_once)
        .map(|one| one.volume.as_str())
        .collect();
    let had_one = |one: &&MigrationBrief| had.contains(one.volume.as_str());
    for one in migrations
        .iter()
        .filter(|one| one.phase.is_final())
        .filter(had_one)
    {
        of_volume.entry(one.volume.as_str()).or_default().push(one);
    }
    let mut refused = HashMap::new();
    for (volume, mut all) in of_volume {
        // The newest first.
        all.sort_by_key(|one| std::cmp::Reverse((one.ended(), one.attempt)));
        let times = all.iter().take_while(|one| at_once(one)).count();
        if let (Some(last), Ok(times @ 1..)) = (all.first(), u32::try_from(times)) {
            refused.insert(volume, (*last, times));
        }
    }
    refused
}
