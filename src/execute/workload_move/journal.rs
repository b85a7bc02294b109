//! What a move writes down: where it stands since when, in words, and by which leadership.

use super::{Context, JOURNAL_MAX};
use crate::model::conditions;
use crate::model::kinds::volume_migration::JournalRecord;
use crate::model::kinds::workload_move::{MovePhase, WorkloadMoveStatus};

/// The same status, written by this leadership.
pub(super) fn at(status: &WorkloadMoveStatus, context: &Context) -> Box<WorkloadMoveStatus> {
    let mut after = status.clone();
    after.epoch = Some(context.epoch);
    Box::new(after)
}

/// The status in another phase.
pub(super) fn entered(
    mut status: WorkloadMoveStatus,
    phase: MovePhase,
    words: String,
    context: &Context,
) -> Box<WorkloadMoveStatus> {
    let now = context.now.to_string();
    status.phase = phase;
    status.phase_since = Some(now.clone());
    status.intent.clear();
    status.epoch = Some(context.epoch);
    status.message.clone_from(&words);
    status.journal.push(JournalRecord {
        at: now,
        step: phase.as_str().to_owned(),
        note: words.clone(),
    });
    let more = status.journal.len().saturating_sub(JOURNAL_MAX);
    status.journal.drain(..more);
    status.told = status
        .told
        .saturating_sub(u32::try_from(more).unwrap_or(u32::MAX));
    let ready = phase == MovePhase::Completed;
    conditions::set(
        &mut status.conditions,
        "Ready",
        ready,
        phase.as_str(),
        &words,
        None,
        context.now,
    );
    Box::new(status)
}

/// What is done in a phase, for people.
pub(super) fn doing(phase: MovePhase) -> &'static str {
    match phase {
        MovePhase::Pending => "nothing is done yet",
        MovePhase::Provision => "making new claims beside the old ones",
        MovePhase::Suspend => "suspending Flux",
        MovePhase::ScaleDown => "scaling workloads down",
        MovePhase::Drain => "waiting for pods to end",
        MovePhase::Copy => "copying, and comparing what was copied",
        MovePhase::Keep => "keeping old and new volumes from being deleted with their claims",
        MovePhase::Exchange => "binding claims to their new volumes",
        MovePhase::Reclone => "making instances anew, one replica after the other",
        MovePhase::SwitchOver => "switching over",
        MovePhase::ScaleUp => "scaling workloads up",
        MovePhase::Resume => "resuming Flux",
        MovePhase::Ready => "waiting for workloads to become ready",
        MovePhase::CleanUp => "marking the old volumes, which are kept",
        MovePhase::TakingBack => "taking everything back",
        MovePhase::Completed => "the claims are on their new volumes; the old ones are kept",
        MovePhase::RolledBack | MovePhase::Cancelled => "everything is as it was",
        MovePhase::Superseded => "nothing was done",
        MovePhase::NeedsPerson => "a person must look",
    }
}
