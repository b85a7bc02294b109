//! How far a move has come, and when it will be done at that speed.

use super::{Reading, later};
use crate::execute::safety::synced;
use crate::model::engine::{Replica, Volume};
use crate::model::kinds::volume_migration::VolumeMigrationStatus;
use jiff::Timestamp;

/// Notes how much is still to be copied, before each copy is added: what was filled already, and `left` whole copies.
pub(super) fn expect(status: &mut VolumeMigrationStatus, volume: &Volume, left: usize) {
    let left = u64::try_from(left).unwrap_or(u64::MAX);
    let done = filled(status).saturating_mul(volume.size);
    status.bytes_copied = Some(done);
    status.bytes_total = Some(done.saturating_add(volume.size.saturating_mul(left)));
    status.progress_percent = None;
}

/// Copies that were filled and whose predecessors are gone.
fn filled(status: &VolumeMigrationStatus) -> u64 {
    let gone = status
        .removals
        .iter()
        .filter(|removal| removal.was_complete && removal.gone.as_ref() == Some(&removal.replica.id));
    u64::try_from(gone.count()).unwrap_or(u64::MAX)
}

/// Follows the copy that is being filled, by the target's memory of rebuilds where that can be read, else by its percentage.
pub(super) fn follow(
    status: &mut VolumeMigrationStatus,
    volume: &Volume,
    reading: &Reading,
    new: &Replica,
    now: Timestamp,
) {
    let whole = synced(new);
    let percent = new.rebuild_progress.or(whole.then_some(100));
    let rebuild = reading
        .rebuilds
        .iter()
        .flatten()
        .filter(|rebuild| rebuild.child.contains(new.id.as_str()))
        .max_by(|one, other| one.started.cmp(&other.started));
    let by_percent = percent.map(|percent| volume.size / 100 * u64::from(percent));
    let of_this = match (whole, rebuild) {
        (true, _) => Some(volume.size),
        (false, Some(rebuild)) => Some(rebuild.recovered.min(volume.size)),
        (false, None) => by_percent,
    };
    let copied = of_this.map(|bytes| bytes.saturating_add(filled(status).saturating_mul(volume.size)));
    if percent != status.progress_percent || copied > status.bytes_copied {
        status.progress_percent = percent;
        status.progress_at = Some(now.to_string());
    }
    status.bytes_copied = copied.or(status.bytes_copied);
    status.estimated_end = estimate(status, of_this, now);
}

/// When the rest will be copied at the speed of the copy that is being filled.
fn estimate(status: &VolumeMigrationStatus, of_this: Option<u64>, now: Timestamp) -> Option<String> {
    let since: Timestamp = status.phase_since.as_deref()?.parse().ok()?;
    let passed = u64::try_from(now.as_second() - since.as_second()).ok()?;
    let of_this = of_this.filter(|bytes| *bytes > 0 && passed > 0)?;
    let left = status.bytes_total?.saturating_sub(status.bytes_copied?);
    let seconds = u128::from(left) * u128::from(passed) / u128::from(of_this);
    Some(later(now, i64::try_from(seconds).ok()?).to_string())
}
