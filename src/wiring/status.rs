//! The result of a turn → the source's status, Events and log.

use crate::model::conditions;
use crate::model::failure::Class;
use crate::model::kinds::policy_source::{HistoryEntry, PolicySource, PolicySourceStatus};
use crate::propose::Proposed;
use crate::turn::{TurnFailure, Turned, World};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use std::time::Instant;

/// Revisions that a source's status remembers, as Flux does.
const HISTORY_MAX: usize = 5;

/// The condition that says whether the template of proposals is used.
const TEMPLATE: &str = "TemplateUsed";

/// The condition that says whether what policies go by could be read.
const MEASURED: &str = "Measured";

/// The condition that says whether approved moves start.
pub(crate) const MOVING: &str = "Moving";

/// Says whether approved moves start, and remembers what that depends on.
fn moving(status: &mut PolicySourceStatus, turned: &Turned, source: &PolicySource, now: jiff::Timestamp) {
    let (moves, stop) = &turned.moves;
    status.moves = Some(moves.clone());
    let (holds, reason, message) = match stop {
        Some(stop) => (false, stop.reason(), stop.to_string()),
        None if source.spec.suspend => (false, "Suspended", "spec.suspend is true".to_owned()),
        None => (true, "MovesStart", "approved moves start".to_owned()),
    };
    let generation = source.metadata.generation;
    let list = &mut status.conditions;
    conditions::set(list, MOVING, holds, reason, &message, generation, now);
}

/// What became of all proposals: of moves, and of manifests.
pub(super) fn proposed(turned: &Turned) -> impl Iterator<Item = &Proposed> {
    let delivered = turned.delivered.as_ref().map(|delivered| &delivered.proposed);
    turned.proposed.iter().chain(delivered)
}

/// Writes the result of a turn into the source's status, in one place.
pub(super) fn fill(
    status: &mut PolicySourceStatus,
    result: &Result<Turned, TurnFailure>,
    source: &PolicySource,
    request: Option<String>,
    world: &World,
    began: Instant,
) {
    let generation = source.metadata.generation;
    let now = (world.clock)();
    status.observed_generation = generation;
    if request.is_some() {
        status.last_handled_reconcile_at = request;
    }
    let worst = match result {
        Err(failure) => Some(failure.clone()),
        Ok(turned) => {
            moving(status, turned, source, now);
            if let Some(attempted) = &turned.attempted {
                let revision = attempted.to_string();
                let news = status.last_attempted_revision.as_deref() != Some(revision.as_str());
                status.last_attempted_revision = Some(revision.clone());
                if turned.applied {
                    status.last_applied_revision = Some(revision.clone());
                }
                let result = match turned.failures.first() {
                    Some(failure) => failure.reason.clone(),
                    None => "Succeeded".to_owned(),
                };
                remember(status, revision, result, news, now, began);
            }
            match &turned.verification {
                Some(verdict) => {
                    let (holds, reason) = match verdict {
                        Ok(_) => (true, "Succeeded"),
                        Err(_) => (false, "Failed"),
                    };
                    let message = verdict.as_ref().unwrap_or_else(|refusal| refusal);
                    conditions::set(
                        &mut status.conditions,
                        "SourceVerified",
                        holds,
                        reason,
                        message,
                        generation,
                        now,
                    );
                }
                None if source.spec.verify.is_none() => {
                    conditions::clear(&mut status.conditions, "SourceVerified")
                }
                None => {}
            }
            if let Some(inventory) = &turned.inventory {
                status.inventory = Some(inventory.clone());
            }
            if let Some(proposed) = &turned.proposed {
                status.proposals.clone_from(&proposed.records);
            }
            let template = source
                .spec
                .proposals
                .as_ref()
                .and_then(|one| one.template.as_ref());
            match (&turned.proposed, template) {
                (_, None) => conditions::clear(&mut status.conditions, TEMPLATE),
                (None, _) => {}
                (Some(proposed), Some(path)) => {
                    let (holds, reason, message) = match &proposed.template {
                        Some(complaint) => (false, "TemplateWrong", complaint),
                        None => (true, "TemplateUsed", path),
                    };
                    let list = &mut status.conditions;
                    conditions::set(list, TEMPLATE, holds, reason, message, generation, now);
                }
            }
            if let Some(merges) = &turned.merges {
                status.merges.clone_from(merges);
            }
            if let Some(shortages) = &turned.shortages {
                status.shortages.clone_from(shortages);
            }
            if let Some(unmeasured) = &turned.unmeasured {
                measured(&mut status.conditions, unmeasured, generation, now);
            }
            if let Some(reviews) = &turned.reviews {
                status.reviews.clone_from(reviews);
            }
            match &turned.delivered {
                Some(delivered) => status.delivery = Some(delivered.status.clone()),
                // It has been taken back, or there never was one.
                None if turned.applied => status.delivery = None,
                None => {}
            }
            let stalled = turned
                .failures
                .iter()
                .find(|failure| failure.class == Class::Stalled);
            stalled.or(turned.failures.first()).cloned().or_else(|| {
                let error = &proposed(turned).find_map(|proposed| proposed.errors.first())?.1;
                Some(TurnFailure::from(error))
            })
        }
    };
    let list = &mut status.conditions;
    conditions::clear(list, "Reconciling");
    conditions::clear(list, "Stalled");
    match worst {
        None if source.spec.suspend => conditions::set(
            list,
            "Ready",
            true,
            "Suspended",
            "spec.suspend is true",
            generation,
            now,
        ),
        None => {
            let revision = status.last_applied_revision.clone().unwrap_or_default();
            let delivered = result.as_ref().ok().and_then(|turned| turned.delivered.as_ref());
            let (reason, message) = match delivered.map(|delivered| &delivered.waits) {
                None => ("ReconciliationSucceeded", format!("applied {revision}")),
                Some(None) => ("ReconciliationSucceeded", format!("delivered {revision}")),
                Some(Some((reason, words))) => (*reason, words.clone()),
            };
            conditions::set(list, "Ready", true, reason, &message, generation, now);
        }
        Some(failure) => {
            conditions::set(
                list,
                "Ready",
                false,
                &failure.reason,
                &failure.message,
                generation,
                now,
            );
            match failure.class {
                Class::Stalled => conditions::set(
                    list,
                    "Stalled",
                    true,
                    &failure.reason,
                    &failure.message,
                    generation,
                    now,
                ),
                Class::Retry | Class::Waiting => {
                    conditions::set(
                        list,
                        "Reconciling",
                        true,
                        "ProgressingWithRetry",
                        &failure.message,
                        generation,
                        now,
                    );
                }
            }
        }
    }
}

/// Says whether what policies go by could be read. It is no part of Ready: Git is applied all the same.
fn measured(
    list: &mut Vec<Condition>,
    unmeasured: &[(&'static str, String)],
    generation: Option<i64>,
    now: jiff::Timestamp,
) {
    let words: Vec<&str> = unmeasured.iter().map(|(_, words)| words.as_str()).collect();
    let (holds, reason, message) = match unmeasured.first() {
        None => (
            true,
            "Measured",
            "volumes and their load could be read".to_owned(),
        ),
        Some((reason, _)) => (false, *reason, words.join("; ")),
    };
    conditions::set(list, MEASURED, holds, reason, &message, generation, now);
}

fn remember(
    status: &mut PolicySourceStatus,
    revision: String,
    result: String,
    news: bool,
    now: jiff::Timestamp,
    began: Instant,
) {
    match status
        .history
        .first_mut()
        .filter(|entry| !news && entry.revision == revision)
    {
        Some(entry) => entry.result = result,
        None => {
            let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            status.history.insert(
                0,
                HistoryEntry {
                    revision,
                    at: now.to_string(),
                    duration_ms,
                    result,
                },
            );
            status.history.truncate(HISTORY_MAX);
        }
    }
}

/// Says on the source's Events and in the log what happened; nothing is said when nothing did.
pub(super) async fn report(world: &World, source: &PolicySource, result: &Result<Turned, TurnFailure>) {
    let mut events: Vec<(bool, String, String)> = Vec::new();
    match result {
        Err(failure) => events.push((true, failure.reason.clone(), failure.message.clone())),
        Ok(turned) => {
            for failure in &turned.failures {
                events.push((true, failure.reason.clone(), failure.message.clone()));
            }
            if let Some(stop) = &turned.moves.1 {
                events.push((true, stop.reason().to_owned(), stop.to_string()));
            }
            let complaint = turned.proposed.as_ref().and_then(|one| one.template.clone());
            events.extend(complaint.map(|one| (true, "TemplateWrong".to_owned(), one)));
            if let Some(applied) = turned.actions.as_ref().filter(|applied| applied.changes() > 0) {
                let revision = turned
                    .attempted
                    .as_ref()
                    .map(ToString::to_string)
                    .unwrap_or_default();
                events.push((
                    false,
                    "Applied".to_owned(),
                    format!("{} objects changed for {revision}", applied.changes()),
                ));
            }
            let kept = turned.actions.iter().flat_map(|applied| &applied.newly_kept);
            let kept: Vec<String> = kept.map(|(id, why)| format!("{id}: {why}")).collect();
            if !kept.is_empty() {
                let message = format!("left the repository and stay in the cluster: {}", kept.join("; "));
                events.push((false, "Kept".to_owned(), message));
            }
            for (branch, action) in proposed(turned).flat_map(|proposed| &proposed.done) {
                events.push((false, "Proposal".to_owned(), format!("{branch}: {action:?}")));
            }
            for outcome in &turned.outcomes {
                let failed = !matches!(outcome.result.as_str(), "Completed" | "Preserved");
                events.push((
                    failed,
                    outcome.result.clone(),
                    format!("{}: {}", outcome.claim, outcome.message),
                ));
            }
        }
    }
    let unchanged = |reason: &str, message: &str| {
        source.status.as_ref().is_some_and(|status| {
            status.conditions.iter().any(|one| {
                matches!(one.type_.as_str(), "Ready" | TEMPLATE | MOVING)
                    && one.reason == reason
                    && one.message == message
            })
        })
    };
    for (warning, reason, message) in events {
        // The same failure turn after turn is one piece of news, and stays in the log.
        if warning && unchanged(&reason, &message) {
            tracing::warn!(reason, message);
        } else if let Err(error) = world.cluster.publish(source, warning, &reason, &message).await {
            tracing::debug!(%error, "event not published");
        }
    }
}
