//! The part of a plan that says which phases of rollouts are open, what holds of their gates and what they wait for.

use super::super::table::table;
use crate::io::cluster::{Cluster, ClusterError};
use crate::model::kinds::Rollout;
use crate::model::kinds::rollout::{GateStatus, PhaseStatus, RolloutStatus};
use crate::model::rollouts::Report;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What the cluster remembers of rollouts, by name.
pub(super) async fn remembered(cluster: &Cluster) -> Result<BTreeMap<String, RolloutStatus>, ClusterError> {
    let all: Vec<Rollout> = match cluster.list().await {
        // A plan may be made before our kinds are installed.
        Err(ClusterError::Api { code: 404, .. }) => Vec::new(),
        found => found?,
    };
    let of = |object: Rollout| Some((object.metadata.name?, object.status?));
    Ok(all.into_iter().filter_map(of).collect())
}

/// The text, or none when there are no rollouts.
pub(super) fn text(reports: &[Report]) -> Option<String> {
    if reports.is_empty() {
        return None;
    }
    let mut text = String::new();
    let hidden = reports.iter().filter(|report| report.secret).count();
    for report in reports.iter().filter(|report| !report.secret) {
        if !text.is_empty() {
            text += "\n";
        }
        let (current, at) = match report.current() {
            Some((place, phase)) => (
                Some(phase),
                format!("phase {place} of {}, {}", report.phases.len(), phase.name),
            ),
            None => (None, "done".to_owned()),
        };
        text += &format!("Rollout {} onto {}: {at}\n", report.name, report.class);
        let rows: Vec<Vec<String>> = report.phases.iter().map(row).collect();
        text += &table(&["PHASE", "STATE", "CLAIMS", "GATES", "WAITS FOR"], &rows);
        if let Some(phase) = current.filter(|phase| !phase.gates.is_empty()) {
            let rows: Vec<Vec<String>> = phase.gates.iter().map(gate).collect();
            text += "\n";
            text += &table(&[&format!("GATES OF {}", phase.name), "HOLDS", "FOUND"], &rows);
        }
    }
    if hidden > 0 {
        text += &format!("Of {hidden} more, which are encrypted, nothing is shown.\n");
    }
    Some(text)
}

fn row(phase: &PhaseStatus) -> Vec<String> {
    let held = phase.gates.iter().filter(|gate| gate.holds).count();
    let of = |some: usize, all: usize| match all {
        0 => "-".to_owned(),
        _ => format!("{some} of {all}"),
    };
    // The first of several things; gates have a table of their own.
    let mut lacks = phase.waits_for.split("; ");
    let waits_for = match (lacks.next().filter(|first| !first.is_empty()), lacks.count()) {
        (None, _) => "-".to_owned(),
        (Some(first), 0) => first.to_owned(),
        (Some(first), more) => format!("{first} (and {more} more)"),
    };
    vec![
        phase.name.clone(),
        format!("{:?}", phase.state),
        of(phase.placed as usize, phase.claims as usize),
        of(held, phase.gates.len()),
        waits_for,
    ]
}

fn gate(gate: &GateStatus) -> Vec<String> {
    let holds = if gate.holds { "yes" } else { "no" };
    vec![gate.gate.clone(), holds.to_owned(), gate.message.clone()]
}

/// The same for machines. Of those that are encrypted only the names are told.
pub(super) fn value(reports: &[Report]) -> Value {
    let all = reports.iter().map(|report| match report.secret {
        true => json!({"name": report.name, "encrypted": true}),
        false => json!({
            "name": report.name,
            "storageClass": report.class,
            "phase": report.current().map(|(_, phase)| &phase.name),
            "phases": report.phases,
        }),
    });
    all.collect()
}
