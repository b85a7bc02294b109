//! The part of `status` about moves of workloads.

use super::super::table::table;
use crate::model::kinds::WorkloadMove;
use crate::model::kinds::workload_move::MovePhase;

/// Whether any of them waits for a person.
pub(super) fn needs_person(moves: &[WorkloadMove]) -> bool {
    let mut all = moves.iter().filter_map(|one| one.status.as_ref());
    all.any(|status| status.phase == MovePhase::NeedsPerson)
}

/// The table, or none when there are no moves.
pub(super) fn listed(moves: &[WorkloadMove]) -> Option<String> {
    let row = |one: &WorkloadMove| {
        let (spec, status) = (&one.spec, one.status.clone().unwrap_or_default());
        let phase = match status.stopped_at {
            Some(at) => format!("{} at {}", status.phase.as_str(), at.as_str()),
            None => status.phase.as_str().to_owned(),
        };
        vec![
            one.metadata.name.clone().unwrap_or_default(),
            format!("{}: {}", spec.namespace, spec.told),
            format!("{} → {}", spec.from, spec.to),
            phase,
            status.message,
        ]
    };
    let rows: Vec<Vec<String>> = moves.iter().map(row).collect();
    (!rows.is_empty()).then(|| {
        table(
            &["WORKLOAD MOVE", "WORKLOADS", "CLASS", "PHASE", "MESSAGE"],
            &rows,
        )
    })
}
