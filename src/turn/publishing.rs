//! The end of a turn: everything that there is to see is written into statuses and metrics.

use super::{Source, TurnFailure, Turned, World, brief};
use crate::apply::ApplyFailure;
use crate::decide;
use crate::decide::drills::{self as drilled, Proof};
use crate::model::backups::{PolicyKey, Unseen};
use crate::model::coverage::{BackupReading, Judged, PolicyReport};
use crate::model::decision::Decision;
use crate::model::desired::Desired;
use crate::model::ids::ClaimRef;
use crate::model::kinds::backup::BackupPolicySpec;
use crate::model::kinds::policy_source::ProposalState;
use crate::model::kinds::volume_migration::{Phase, VolumeMigration};
use crate::model::migration_brief::MigrationBrief;
use crate::model::moves::Stop;
use crate::model::observation::{Backing, Observation};
use crate::model::rollouts::Report;
use crate::record::{self, status::Facts};
use crate::telemetry::{BackupsNow, MoveNow, RolloutNow, Tiered, Unprotected};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;

#[expect(
    clippy::too_many_arguments,
    reason = "the end of the line: everything that there is to see"
)]
pub(super) async fn publish(
    world: &World,
    source: &Source<'_>,
    desired: &Desired,
    observation: &Observation,
    decision: &Decision<'_>,
    migrations: &[VolumeMigration],
    (backups, rollouts, workloads): (&Option<Arc<BackupReading>>, &[Report], usize),
    turned: &mut Turned,
    now: Timestamp,
) {
    let briefs: Vec<MigrationBrief> = migrations.iter().map(brief).collect();
    turned.unfinished = briefs.iter().filter(|one| !one.phase.is_final()).count();
    let placed = decide::placements(desired, observation);
    let facts = Facts {
        others: &source.others,
        rollouts,
        desired,
        observation,
        decision,
        migrations: &briefs,
        placed: &placed,
        takers: &decide::takers(desired, observation),
        backups: backups.as_deref(),
        now,
    };
    if let Err(error) = record::status::update(&world.cluster, &facts).await {
        turned.failures.push(TurnFailure::from(&error));
    }
    moves(world, source, migrations, turned.moves.1.as_ref());
    let pools = pools(desired, observation);
    let in_motion = |claim: &ClaimRef| {
        briefs
            .iter()
            .any(|one| one.claim == *claim && !one.phase.is_final())
    };
    let off_tier = desired.approved.iter().filter(|approved| {
        let what = approved.what();
        let placed = observation.find(&what.claim).and_then(|index| placed.get(index));
        placed.is_some_and(|placed| *placed != Some(&what.to)) && !in_motion(&what.claim)
    });
    let off_tier = amount(off_tier.count());
    let mut left_alone: BTreeMap<&'static str, i64> = BTreeMap::new();
    for left in &decision.left_alone {
        *left_alone.entry(left.why.reason()).or_default() += 1;
    }
    let open = turned.proposed.as_ref().map(|proposed| {
        let records = proposed.records.iter();
        amount(
            records
                .filter(|record| record.state == ProposalState::Open)
                .count(),
        )
    });
    world.metrics.count(&source.name, |counts| {
        counts.off_tier = off_tier;
        counts.workload_moves_needing_person = amount(workloads);
        counts.left_alone = left_alone;
        counts.pools = pools.unwrap_or_else(|| std::mem::take(&mut counts.pools));
        counts.proposals = open.unwrap_or(counts.proposals);
        counts.backups = backups_now(desired, backups.as_deref(), &counts.backups, now);
        counts.rollouts = rollouts_now(rollouts);
    });
    for left in &decision.left_alone {
        let policy = left.policy.map_or("", |policy| policy.name.as_str());
        let (namespace, claim) = left.claim();
        tracing::debug!(
            namespace,
            claim,
            volume = left.volume(),
            policy,
            why = left.words(),
            "left alone"
        );
    }
}

/// What policies could not go by, because the engine or Prometheus could not be read; nothing where no policy asks.
pub(super) fn unmeasured(desired: &Desired, observation: &Observation) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    if desired.policies.is_empty() && desired.assignments.is_empty() {
        return found;
    }
    if let Err(error) = &observation.engine {
        found.push(("MayastorUnavailable", error.clone()));
    }
    let answers = observation.answers.values();
    let refused: Vec<&str> = answers
        .filter_map(|answer| answer.as_ref().err().map(|error| &**error))
        .collect();
    if let Some(first) = refused.first() {
        let (count, all) = (refused.len(), observation.answers.len());
        // Prometheus quotes the query that it does not understand.
        let why = match desired.policies.values().any(|policy| policy.secret) {
            true => "why is not told here, because a policy is encrypted",
            false => first,
        };
        let message = format!("{count} of {all} questions were not answered: {why}");
        found.push(("PrometheusUnavailable", message));
    }
    found
}

/// Claims of a policy that a metric names: each is a series, and who has more gaps mends one kind of them for all.
const UNPROTECTED_MAX: usize = 100;

/// The backups of policies. While Velero cannot be read the last ones are shown, and grow older.
fn backups_now(
    desired: &Desired,
    reading: Option<&BackupReading>,
    before: &[BackupsNow],
    now: Timestamp,
) -> Vec<BackupsNow> {
    let Some(reading) = reading else {
        return Vec::new();
    };
    let specs = desired.ours::<BackupPolicySpec>("BackupPolicy");
    let specs = specs.map(|(one, spec)| ((one.namespace(), one.name()), spec));
    let specs: BTreeMap<(&str, &str), BackupPolicySpec> = specs.collect();
    let unread = matches!(reading.unseen, Some(Unseen::Unreadable(_)));
    let one = |report: &PolicyReport| {
        let PolicyKey { namespace, name } = &report.rules.policy;
        let known = before
            .iter()
            .find(|one| one.namespace == *namespace && one.policy == *name);
        let seen = report.newest.as_ref().map(Judged::seen).unwrap_or_default();
        let unprotected = report.unprotected();
        let time = |at: &str| at.parse::<Timestamp>().ok();
        let mut drills = report.drills.iter();
        let spec = specs.get(&(namespace.as_str(), name.as_str()));
        let proof = spec.map(|spec| drilled::proof(spec, &report.drills, now));
        let fresh = BackupsNow {
            namespace: namespace.clone(),
            policy: name.clone(),
            covered_at: report.covered_at(),
            allowed_seconds: report.rules.rpo.and_then(|rpo| i64::try_from(rpo.as_secs()).ok()),
            verified_at: drills
                .clone()
                .find(|drill| drill.passed)
                .and_then(|drill| time(&drill.finished_at)),
            restore_seconds: drills.find_map(|drill| i64::try_from(drill.restore_seconds?).ok()),
            volumes: [
                ("covered", i64::from(seen.covered)),
                ("exempt", i64::from(seen.exempt)),
                ("uncovered", amount(unprotected.len())),
            ],
            unproved: match proof {
                Some(Proof::Fails { reason, .. }) => Some(reason),
                Some(Proof::Holds { .. } | Proof::NotAsked) | None => None,
            },
            unprotected: unprotected
                .into_iter()
                .take(UNPROTECTED_MAX)
                .map(|(claim, gap)| Unprotected {
                    namespace: claim.namespace,
                    claim: claim.name,
                    reason: gap.as_str(),
                })
                .collect(),
        };
        match known.filter(|_| unread) {
            Some(known) => BackupsNow {
                allowed_seconds: fresh.allowed_seconds,
                ..known.clone()
            },
            None => fresh,
        }
    };
    reading.policies.iter().map(one).collect()
}

/// Rollouts that are not done, each with its open phase. Of encrypted ones nothing is shown.
fn rollouts_now(reports: &[Report]) -> Vec<RolloutNow> {
    let told = reports.iter().filter(|report| !report.secret);
    let open = told.filter_map(|report| Some((report, report.current()?.1)));
    let now = open.map(|(report, phase)| RolloutNow {
        rollout: report.name.clone(),
        phase: phase.name.clone(),
        failing: amount(phase.gates.iter().filter(|gate| !gate.holds).count()),
    });
    now.collect()
}

fn amount(items: usize) -> i64 {
    i64::try_from(items).unwrap_or(i64::MAX)
}

/// Counts the moves of a source. They are known in every turn, also in one that cannot read Git.
pub(super) fn moves(world: &World, source: &Source<'_>, migrations: &[VolumeMigration], stop: Option<&Stop>) {
    let statuses = || migrations.iter().filter_map(|one| one.status.as_ref());
    let running = migrations.iter().filter(|one| !brief(one).phase.is_final());
    let running = running.map(|one| {
        let status = one.status.as_ref();
        let bytes = status.and_then(|status| status.bytes_copied.zip(status.bytes_total));
        let since = status.and_then(|status| status.phase_since.as_deref()?.parse().ok());
        MoveNow {
            namespace: one.spec.claim.namespace.clone(),
            claim: one.spec.claim.name.clone(),
            phase: brief(one).phase,
            since,
            ratio: bytes
                .filter(|(_, total)| *total > 0)
                .map(|(copied, total)| copied as f64 / total as f64),
        }
    });
    let running = running.collect();
    let needing = statuses().filter(|status| status.phase == Phase::NeedsPerson);
    let needing_person = amount(needing.count());
    let held = statuses().filter(|status| status.window.is_some());
    let cordons = held
        .map(|status| record::events::held_since(status).map(|(since, _)| since))
        .collect();
    world.metrics.count(&source.name, |counts| {
        counts.running = running;
        // A person who pauses or freezes knows of it; what stops by itself wants one.
        counts.stopped = matches!(stop, Some(Stop::Failures(_)));
        counts.needing_person = needing_person;
        counts.cordons = cordons;
    });
}

/// The copies on each pool and the tiers that take it; nothing while the engine does not answer.
fn pools(desired: &Desired, observation: &Observation) -> Option<BTreeMap<String, Tiered>> {
    let fleet = observation.engine.as_ref().ok()?;
    let mut copies = vec![0_i64; fleet.pools.len()];
    for bound in observation.volumes.iter() {
        let Backing::Mayastor(volume) = &bound.backing else {
            continue;
        };
        for copy in volume.copies.iter() {
            if let Some(count) = copies.get_mut(copy.pool as usize) {
                *count += 1;
            }
        }
    }
    let pools = fleet.pools.iter().zip(copies).map(|(pool, replicas)| {
        let takes = desired
            .tiers
            .values()
            .filter(|tier| decide::place::belongs(pool, tier));
        let tiers = takes.map(|tier| tier.name.to_string()).collect();
        (pool.name.to_string(), Tiered { tiers, replicas })
    });
    Some(pools.collect())
}

/// The reason of what could not be applied.
pub(super) const APPLY_FAILED: &str = "ReconciliationFailed";

pub(super) fn apply_failure(failure: &ApplyFailure) -> TurnFailure {
    let place = failure
        .place
        .as_ref()
        .map(|place| format!("{place}: "))
        .unwrap_or_default();
    let help = if failure.help.is_empty() {
        String::new()
    } else {
        format!("; {}", failure.help)
    };
    let id = failure.id.to_string();
    // Most messages begin with the object already.
    let about = if failure.message.starts_with(&id) {
        String::new()
    } else {
        format!("{id}: ")
    };
    TurnFailure {
        class: failure.class,
        reason: APPLY_FAILED.to_owned(),
        message: format!("{place}{about}{}{help}", failure.message),
    }
}
