//! Rollouts as they were judged → their statuses, and an Event where a phase is another one than before.

use super::backups::write;
use super::events::News;
use super::status::{Facts, in_git};
use super::tally::Tally;
use crate::io::cluster::{Cluster, ClusterError};
use crate::model::conditions;
use crate::model::kinds::Rollout;
use crate::model::kinds::rollout::{PhaseState, PhaseStatus};
use crate::model::rollouts::Report;

/// Brings the statuses of rollouts up to date; unchanged ones are not written.
pub(super) async fn update(
    cluster: &Cluster,
    facts: &Facts<'_>,
    tally: &Tally<'_>,
) -> Result<(), ClusterError> {
    for object in cluster.list::<Rollout>().await? {
        let known = object.status.clone().unwrap_or_default();
        let generation = object.metadata.generation;
        let mut next = known.clone();
        next.observed_generation = generation;
        let name = object.metadata.name.as_deref().unwrap_or_default();
        let report = facts.rollouts.iter().find(|report| report.name == name);
        if in_git(&object, "Rollout", &mut next.conditions, facts, tally)
            && let Some(report) = report
        {
            next.phase = report.current().map(|(_, phase)| phase.name.clone());
            next.phases.clone_from(&report.phases);
            let (done, reason, message) = told(report);
            let list = &mut next.conditions;
            conditions::set(list, "Ready", done, reason, &message, generation, facts.now);
        }
        let news = news(&known.phases, &next.phases);
        write(cluster, object, next, news).await?;
    }
    Ok(())
}

/// Whether all is done, in one word and in words.
fn told(report: &Report) -> (bool, &'static str, String) {
    let count = report.phases.len();
    let Some((place, phase)) = report.current() else {
        let lacks = report.phases.iter().find(|phase| !phase.waits_for.is_empty());
        return match lacks {
            Some(phase) => (
                false,
                "NoLongerHolds",
                format!(
                    "all {count} phases were done, and phase {} no longer holds: {}",
                    phase.name, phase.waits_for
                ),
            ),
            None => (true, "Done", format!("all {count} phases are done")),
        };
    };
    let (reason, is) = match phase.state {
        PhaseState::Soaking => ("Soaking", "soaks:"),
        PhaseState::Waiting => ("Waiting", "waits for"),
        PhaseState::Open | PhaseState::Done => ("PhaseOpen", "is open:"),
    };
    let message = format!(
        "phase {place} of {count}, {}, {is} {}",
        phase.name, phase.waits_for
    );
    (false, reason, message)
}

/// Phases whose state is another one.
fn news(before: &[PhaseStatus], next: &[PhaseStatus]) -> Vec<News> {
    let state = |name: &str| {
        let known = before.iter().find(|one| one.name == name);
        known.map_or(PhaseState::Waiting, |one| one.state)
    };
    let changed = next.iter().filter(|phase| phase.state != state(&phase.name));
    let told = changed.map(|phase| {
        let name = &phase.name;
        let (reason, note) = match phase.state {
            PhaseState::Waiting => (
                "PhaseWaits",
                format!("phase {name} waits for {}", phase.waits_for),
            ),
            PhaseState::Open => ("PhaseOpen", format!("phase {name} is open: {}", phase.waits_for)),
            PhaseState::Soaking => ("PhaseSoaking", format!("phase {name}: {}", phase.waits_for)),
            PhaseState::Done => ("PhaseDone", format!("phase {name} is done")),
        };
        News {
            warning: phase.state == PhaseState::Waiting,
            reason: reason.to_owned(),
            note,
        }
    });
    told.collect()
}
