//! What an act's answer means to the journal.

use super::{ATTEMPTS_MAX, Act, Late, RETRY_FIRST_SECS, later};
use crate::model::kinds::volume_migration::{Phase, VolumeMigrationStatus, Window};
use jiff::Timestamp;

/// What the journal says after an act that the engine has confirmed; `None` when there is nothing to be written.
pub fn done(status: &VolumeMigrationStatus, act: &Act, now: Timestamp) -> Option<VolumeMigrationStatus> {
    let mut after = status.clone();
    let unclear = is_ahead(after.unclear_until.as_deref(), now);
    match act {
        Act::CordonPool(name) | Act::CordonNode(name, _) => {
            let window = after.window.as_mut()?;
            answered(window, name, unclear);
            if !window.confirmed.contains(name) {
                window.confirmed.push(name.clone());
            }
        }
        // While an earlier call may still be carried out, the window stays open, for the cordons that it may set.
        Act::Release(..) if unclear => after.window.as_mut()?.keep_late(),
        Act::Release(..) => after.window = None,
        Act::SetReplicas(_) => {
            let adding = after.adding.as_mut()?;
            adding.agreed |= status.phase == Phase::ScaleUp;
        }
    }
    (after != *status).then_some(after)
}

/// What the journal says after an act that the engine did not simply do. The next reading tells what became of it.
pub fn failed(
    status: &VolumeMigrationStatus,
    act: &Act,
    failure: ActFailure,
    late: Late,
    now: Timestamp,
) -> VolumeMigrationStatus {
    let mut status = status.clone();
    let unclear = is_ahead(status.unclear_until.as_deref(), now);
    if let (Act::CordonPool(name) | Act::CordonNode(name, _), Some(window)) = (act, &mut status.window)
        && failure != ActFailure::Unclear
    {
        answered(window, name, unclear);
    }
    match failure {
        ActFailure::AlreadyCordoned => {
            if let (Act::CordonPool(pool), Some(window)) = (act, &mut status.window)
                && !window.confirmed.contains(pool)
            {
                window.pools.retain(|held| held != pool);
                window.asked.retain(|held| held != pool);
            }
        }
        ActFailure::NoPoolCordons => status.no_pool_cordons = true,
        ActFailure::CountAchieved if status.phase == Phase::ScaleUp => {
            match &mut status.adding {
                // We have asked before, and did not know what had come of it.
                Some(adding) if adding.again || adding.agreed => adding.agreed = true,
                // Somebody else has asked for that many: what appears now is theirs.
                _ => status.adding = None,
            }
        }
        ActFailure::CountAchieved => {}
        ActFailure::NotAsked => not_cordoned(&mut status, act),
        // A cordon is given back however often it takes.
        ActFailure::Refused if matches!(act, Act::Release(..)) => {}
        ActFailure::Refused => {
            not_cordoned(&mut status, act);
            if let (Phase::ScaleUp, Act::SetReplicas(_), Some(adding)) =
                (status.phase, act, &mut status.adding)
            {
                adding.asked &= adding.again;
            }
            status.attempts = status.attempts.saturating_add(1);
            let pause = RETRY_FIRST_SECS << status.attempts.min(ATTEMPTS_MAX);
            status.retry_at = Some(later(now, pause).to_string());
        }
        ActFailure::Unclear => status.unclear_until = Some(later(now, late.secs()).to_string()),
    }
    status
}

/// A call for a cordon was answered. If it was asked for before, that earlier call may still come, for as long as any may.
fn answered(window: &mut Window, name: &String, unclear: bool) {
    let again = window.confirmed.contains(name);
    if !again || !unclear {
        window.late.retain(|late| late != name);
    }
}

/// What was asked for once, and certainly not done, is not ours: a cordon that is seen there later is somebody else's.
fn not_cordoned(status: &mut VolumeMigrationStatus, act: &Act) {
    if let (Act::CordonPool(name) | Act::CordonNode(name, _), Some(window)) = (act, &mut status.window)
        && !window.confirmed.contains(name)
    {
        window.asked.retain(|asked| asked != name);
    }
}

fn is_ahead(time: Option<&str>, now: Timestamp) -> bool {
    let time = time.and_then(|time| time.parse::<Timestamp>().ok());
    time.is_some_and(|time| time.as_second() > now.as_second())
}

/// How an act failed, as far as the journal cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ActFailure {
    /// It may have been done or not, or be done later.
    Unclear,
    /// It was refused and not done.
    Refused,
    /// The pool was cordoned by somebody else in the meantime.
    AlreadyCordoned,
    /// The volume had that number of copies already.
    CountAchieved,
    /// The engine has no cordons for pools.
    NoPoolCordons,
    /// It could not be asked at all.
    NotAsked,
}
