//! What a leadership does with a journal before any step: takes it over, or ends what was superseded.

use super::{Late, later, record};
use crate::model::conditions;
use crate::model::kinds::volume_migration::{Phase, VolumeMigrationSpec, VolumeMigrationStatus};
use jiff::Timestamp;

/// A journal with the epoch of the leadership that goes on with it, by which every later write of the one before fails: `None` when it
/// is there. One call that was recorded before may still be under way.
pub fn taken_over(
    status: &VolumeMigrationStatus,
    epoch: u64,
    late: Late,
    now: Timestamp,
) -> Option<VolumeMigrationStatus> {
    if status.epoch == Some(epoch) {
        return None;
    }
    let mut taken = status.clone();
    taken.epoch = Some(epoch);
    if taken.phase == Phase::Pending {
        return Some(taken);
    }
    let acting = matches!(
        taken.phase,
        Phase::ScaleUp | Phase::ScaleDown | Phase::RollingBack
    );
    if acting || taken.window.is_some() {
        taken.unclear_until = Some(later(now, late.secs()).to_string());
    }
    if let Some(window) = taken.window.as_mut() {
        window.assume_late();
    }
    if taken.phase_since.is_none() {
        taken.phase_since = Some(now.to_string());
    }
    let note = format!("leadership {epoch} goes on with it");
    record(&mut taken, note, now);
    Some(taken)
}

/// How a migration ends that was superseded before it began: nothing is read of the engine, and nothing done.
pub fn superseded(
    spec: &VolumeMigrationSpec,
    status: &VolumeMigrationStatus,
    epoch: u64,
    now: Timestamp,
) -> Option<VolumeMigrationStatus> {
    let why = spec.superseded.as_ref().filter(|_| !status.phase.is_final())?;
    let mut status = status.clone();
    let phase = Phase::Superseded;
    (status.phase, status.message) = (phase, why.clone());
    status.finished_at = Some(now.to_string());
    status.epoch = Some(epoch);
    let conditions = &mut status.conditions;
    conditions::set(conditions, "Ready", false, phase.as_str(), why, None, now);
    record(&mut status, why.clone(), now);
    Some(status)
}
