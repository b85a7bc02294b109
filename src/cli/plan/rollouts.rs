//! The part of a plan that says which phases of rollouts are open, what holds of their gates and what they wait for.

use super::super::table::table;
use crate::decide::{InFlight, Limits, promotions, rollouts};
use crate::io::cluster::{Cluster, ClusterError};
use crate::io::restores::Restores;
use crate::model::desired::Desired;
use crate::model::ids::SourceRef;
use crate::model::kinds::rollout::{GateStatus, PhaseStatus, RolloutStatus};
use crate::model::kinds::{Rollout, WorkloadMove};
use crate::model::observation::Observation;
use crate::model::restores::Facts;
use crate::model::rollouts::Report;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What the cluster remembers of rollouts, by name.
pub(super) async fn remembered(cluster: &Cluster) -> Result<BTreeMap<String, RolloutStatus>, ClusterError> {
    let all: Vec<Rollout> = cluster.list_if_installed().await?;
    let of = |object: Rollout| Some((object.metadata.name?, object.status?));
    Ok(all.into_iter().filter_map(of).collect())
}

/// What promotions are decided by, beside what a plan looks at anyway.
#[derive(Default)]
pub(super) struct Beside {
    moves: Vec<WorkloadMove>,
    facts: BTreeMap<String, Result<Facts, String>>,
}

impl Beside {
    /// Reads it; nothing is asked where there are no rollouts.
    pub(super) async fn read(
        cluster: &Cluster,
        desired: &Desired,
        asked: &rollouts::Asked,
    ) -> Result<Self, ClusterError> {
        let promotions = &desired.promotions;
        if *asked == rollouts::Asked::default() && promotions.standing.is_empty() {
            return Ok(Self::default());
        }
        let moves = cluster.list_if_installed().await?;
        let namespaces = asked.namespaces.iter().take(promotions::NAMESPACES_MAX);
        let facts = Restores::of(cluster).of_workloads(namespaces.cloned()).await;
        Ok(Self { moves, facts })
    }

    /// Moves that have not ended, by their namespaces.
    pub(super) fn busy(&self) -> BTreeMap<String, Arc<str>> {
        let running = self
            .moves
            .iter()
            .filter(|one| !promotions::phase_of(one).is_final());
        let of = |one: &WorkloadMove| {
            let name = one.metadata.name.as_deref().unwrap_or_default();
            (one.spec.namespace.clone(), name.into())
        };
        running.map(of).collect()
    }

    /// Says of the phases what their promotions would do. A folder does not say of which source it is.
    pub(super) fn tell(
        &self,
        desired: &Desired,
        observation: &Observation,
        in_flight: &InFlight,
        limits: Limits,
        reports: &mut [Report],
    ) {
        let owner = self.moves.first().map(|one| one.spec.source.clone());
        let source = owner.map_or_else(
            || SourceRef {
                namespace: String::new(),
                name: String::new(),
            },
            |one| SourceRef {
                namespace: one.namespace,
                name: one.name,
            },
        );
        let seen = promotions::Seen {
            source: &source,
            desired,
            observation,
            in_flight,
            limits,
            reports,
            moves: &self.moves,
            facts: &self.facts,
            now: observation.at,
        };
        let decided = promotions::decide(&seen);
        let wanted = promotions::proposals(&seen, &decided).wanted;
        promotions::tell(reports, &decided, &self.moves, &source);
        for one in wanted {
            let report = reports.iter_mut().find(|report| report.name == one.rollout);
            let phases = report.into_iter().flat_map(|report| &mut report.phases);
            for phase in phases.filter(|phase| phase.name == one.phase) {
                phase.promotion = "would be proposed now".to_owned();
            }
        }
    }
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
        let at = match report.current() {
            Some((place, phase)) => format!("phase {place} of {}, {}", report.phases.len(), phase.name),
            None => "done".to_owned(),
        };
        text += &format!("Rollout {} onto {}: {at}\n", report.name, report.class);
        let one_class = report.candidates.iter().all(|one| one.class == report.class);
        let phases = report.phases.iter().zip(&report.candidates);
        let rows: Vec<Vec<String>> = phases
            .map(|(phase, candidate)| row(phase, (!one_class).then_some(&candidate.class)))
            .collect();
        let head = ["PHASE", "CLASS", "STATE", "CLAIMS", "GATES", "WAITS FOR"];
        let head = head.into_iter().filter(|title| !one_class || *title != "CLASS");
        text += &table(&head.collect::<Vec<&str>>(), &rows);
        for phase in report.phases.iter().filter(|phase| !phase.promotion.is_empty()) {
            text += &format!("Promotion of {}: {}\n", phase.name, phase.promotion);
        }
        let gates = report.phases.iter().flat_map(gates);
        let rows: Vec<Vec<String>> = gates.collect();
        if !rows.is_empty() {
            text += "\n";
            text += &table(&["PHASE", "GATE", "HOLDS", "FOUND"], &rows);
        }
    }
    if hidden > 0 {
        text += &format!("Of {hidden} more, which are encrypted, nothing is shown.\n");
    }
    Some(text)
}

fn row(phase: &PhaseStatus, class: Option<&String>) -> Vec<String> {
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
    let name = std::iter::once(phase.name.clone()).chain(class.cloned());
    let rest = [
        format!("{:?}", phase.state),
        of(phase.placed as usize, phase.claims as usize),
        of(held, phase.gates.len()),
        waits_for,
    ];
    name.chain(rest).collect()
}

/// What holds of a phase's gates, each in a row. Those of one policy that fail alike stand together, as while nothing is known of backups.
fn gates(phase: &PhaseStatus) -> Vec<Vec<String>> {
    let policy = |gate: &GateStatus| {
        let (word, policy) = gate.gate.split_once(' ')?;
        (word != "metric").then(|| policy.to_owned())
    };
    let alike = |a: &GateStatus, b: &GateStatus| {
        let same = !a.holds && !b.holds && a.message == b.message;
        same && policy(a).is_some() && policy(a) == policy(b)
    };
    let rows = phase.gates.chunk_by(alike).zip(0..).map(|(group, place)| {
        let first = &group[0];
        let words = group.iter().filter_map(|gate| gate.gate.split(' ').next());
        let name = match policy(first) {
            Some(policy) => format!("{} {policy}", words.collect::<Vec<&str>>().join(", ")),
            None => first.gate.clone(),
        };
        let of = if place == 0 { phase.name.as_str() } else { "" };
        let holds = if first.holds { "yes" } else { "no" };
        vec![of.to_owned(), name, holds.to_owned(), first.message.clone()]
    });
    rows.collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::kinds::rollout::PhaseState;
    use crate::model::promotions::Candidate;

    fn phase(name: &str, gates: &[(&str, bool, &str)]) -> PhaseStatus {
        let gate = |(gate, holds, message): &(&str, bool, &str)| GateStatus {
            gate: (*gate).into(),
            holds: *holds,
            message: (*message).into(),
        };
        PhaseStatus {
            name: name.into(),
            state: PhaseState::Open,
            gates: gates.iter().map(gate).collect(),
            ..PhaseStatus::default()
        }
    }

    #[test]
    fn gates_of_one_policy_that_fail_alike_stand_together_and_no_others() {
        let none = "nothing is known of backups";
        let one = phase(
            "one",
            &[
                ("coverage velero/a", false, none),
                ("rpo velero/a", false, none),
                ("rpo velero/b", false, none),
                ("drill velero/b", true, "passed"),
                ("rto velero/b", true, "passed"),
                ("metric x", false, "gone"),
                ("metric y", false, "gone"),
            ],
        );
        let of = |class: &str| Candidate {
            class: class.into(),
            ..Candidate::default()
        };
        let mut report = Report {
            name: "r".into(),
            class: "fast".into(),
            secret: false,
            phases: vec![one, phase("two", &[])],
            candidates: vec![of("fast"), of("fast")],
            copy: Default::default(),
        };
        let said = text(std::slice::from_ref(&report)).unwrap();
        let gates: Vec<&str> = said.split("\n\n").nth(1).unwrap().lines().collect();
        let rows = [
            "PHASE   GATE                     HOLDS   FOUND",
            "one     coverage, rpo velero/a   no      nothing is known of backups",
            "        rpo velero/b             no      nothing is known of backups",
            "        drill velero/b           yes     passed",
            "        rto velero/b             yes     passed",
            "        metric x                 no      gone",
            "        metric y                 no      gone",
        ];
        assert_eq!(gates, rows);
        assert!(!said.contains("CLASS"), "{said}");
        report.candidates[1].class = "slow".into();
        let said = text(&[report]).unwrap();
        assert!(said.contains("PHASE   CLASS   STATE"), "{said}");
        assert!(said.contains("two     slow    Open"), "{said}");
    }
}
