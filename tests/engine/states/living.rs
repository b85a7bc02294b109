//! What of a journal can still make a difference: what no step reads before it is written again is left out, and copies are named by
//! their rank among those that a reading can still show.
//!
//! Which fields are read from a phase on is known from the code of `src/execute/journal`; that nothing else is read is checked by
//! `what_is_left_out_is_covered`.

use super::{nowhere, text};
use crate::engine::mini::ranked_name;
use couchestor::model::kinds::volume_migration::{Phase, Removal, VolumeMigrationStatus};

/// Such a journal, where only these copies can still be seen.
pub fn journal(mut status: VolumeMigrationStatus, copies: u32) -> VolumeMigrationStatus {
    if status.phase.is_final() {
        return VolumeMigrationStatus {
            phase: status.phase,
            epoch: status.epoch,
            ..VolumeMigrationStatus::default()
        };
    }
    forget_unread(&mut status);
    rename(&mut status, copies);
    let settled = status.removals.iter().filter(|one| one.gone.is_some()).count();
    status.removals[..settled].sort_by(|one, other| one.gone.cmp(&other.gone));
    status.removals.dedup();
    status
}

fn forget_unread(status: &mut VolumeMigrationStatus) {
    // For people.
    (status.started_at, status.local_before, status.local_after) = (None, None, None);
    for removal in &mut status.removals {
        // Once it is known which copy went, only that counts.
        if removal.gone.is_some() {
            *removal = Removal {
                at: String::new(),
                replica: nowhere(),
                why: String::new(),
                copies: 0,
                complete: Vec::new(),
                was_complete: false,
                complete_since: None,
                epoch: None,
                asked: true,
                gone: removal.gone.take(),
            };
        }
    }
    let phase = status.phase;
    if matches!(phase, Phase::Analyze | Phase::ScaleUp | Phase::WaitSync) {
        // Patience is of the phases in which a copy goes.
        status.phase_since = status.phase_since.take().and_then(|_| text(-1));
    }
    if matches!(phase, Phase::WaitSync | Phase::ScaleDown | Phase::RollingBack)
        && let Some(adding) = &mut status.adding
    {
        (adding.again, adding.agreed) = (false, false);
    }
    if matches!(phase, Phase::Analyze | Phase::ScaleUp | Phase::RollingBack) {
        // The next copy that is placed begins with all of these.
        (status.added, status.progress_percent) = (None, None);
        status.progress_at = None;
    }
    if phase != Phase::WaitSync {
        status.synced_since = None;
    }
    if matches!(phase, Phase::Analyze | Phase::RollingBack) {
        status.victim = None;
    }
    if phase == Phase::Analyze {
        status.adding = None;
    }
    if phase == Phase::Analyze && status.removals.is_empty() && !status.returning {
        status.baseline.clear();
    }
    if phase == Phase::RollingBack {
        // It has no time limit, and what goes back gets a new one.
        status.deadline = None;
    }
}

fn rename(status: &mut VolumeMigrationStatus, copies: u32) {
    let rename = |name: &mut String| {
        if !name.is_empty() {
            *name = ranked_name(name, copies);
        }
    };
    let places = status.baseline.iter_mut();
    let places = places.chain(&mut status.added).chain(&mut status.victim);
    places.for_each(|place| rename(&mut place.id));
    if let Some(adding) = &mut status.adding {
        adding.before.iter_mut().for_each(rename);
        adding.before.retain(|name| name != "gone");
    }
    for removal in &mut status.removals {
        rename(&mut removal.replica.id);
        removal.complete.iter_mut().for_each(rename);
        removal.gone.iter_mut().for_each(rename);
    }
}
