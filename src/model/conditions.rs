//! Conditions as kstatus reads them: Ready always, Reconciling and Stalled only while they are true.

use super::kinds::volume_migration::{Phase, VolumeMigrationStatus};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// Longest message of a condition (`maxLength` of `message` in Kubernetes' metav1.Condition).
pub const MESSAGE_BYTES_MAX: usize = 32_768;

/// A message of at most so many bytes, without characters that could move a reader's cursor.
pub fn fitted(text: &str, bytes_max: usize) -> String {
    let clean = |one: char| {
        if one.is_control() && one != '\n' {
            '\u{fffd}'
        } else {
            one
        }
    };
    let mut message: String = text.chars().map(clean).collect();
    if message.len() > bytes_max {
        let end = "…";
        let mut cut = bytes_max.saturating_sub(end.len());
        while !message.is_char_boundary(cut) {
            cut -= 1;
        }
        message.truncate(cut);
        message.push_str(end);
    }
    message
}

/// Sets a condition; the time of the last transition moves only when the status does.
pub fn set(
    conditions: &mut Vec<Condition>,
    type_: &str,
    status: bool,
    reason: &str,
    text: &str,
    generation: Option<i64>,
    now: Timestamp,
) {
    let status = if status { "True" } else { "False" };
    let since = conditions
        .iter()
        .find(|condition| condition.type_ == type_ && condition.status == status)
        .map_or(Time(now), |condition| condition.last_transition_time.clone());
    let fresh = Condition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: fitted(text, MESSAGE_BYTES_MAX),
        observed_generation: generation,
        last_transition_time: since,
    };
    match conditions.iter_mut().find(|condition| condition.type_ == type_) {
        Some(condition) => *condition = fresh,
        None => conditions.push(fresh),
    }
}

/// Takes a condition away.
pub fn clear(conditions: &mut Vec<Condition>, type_: &str) {
    conditions.retain(|condition| condition.type_ != type_);
}

/// The condition of a type.
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// Whether a condition is there and true.
pub fn is_true(conditions: &[Condition], type_: &str) -> bool {
    conditions
        .iter()
        .any(|condition| condition.type_ == type_ && condition.status == "True")
}

/// What kstatus reads of a move: Reconciling with the phase as its reason while it runs, Stalled while a person must look, and Ready
/// when it has ended. Whether it ended well is Ready's status.
pub fn of_move(status: &mut VolumeMigrationStatus, generation: Option<i64>, now: Timestamp) {
    let (phase, message) = (status.phase, status.message.clone());
    let reason = phase.as_str();
    let list = &mut status.conditions;
    let mut set = |type_, on| set(list, type_, on, reason, &message, generation, now);
    let done = matches!(phase, Phase::Completed | Phase::Preserved);
    set("Ready", done);
    if !phase.is_final() {
        set("Reconciling", true);
    } else if phase == Phase::NeedsPerson {
        set("Stalled", true);
    }
    if phase.is_final() {
        clear(list, "Reconciling");
    }
    if phase != Phase::NeedsPerson {
        clear(list, "Stalled");
    }
}
