//! Moves of workloads: those under way go on, the next one starts, and what became of them is written down.

use super::promoting::Promoted;
use super::starting::Approvals;
use super::{Memory, Source, TurnFailure, Turned, World};
use crate::decide::promotions::{is_secret, phase_of};
use crate::decide::rollouts;
use crate::execute::workload_move::{Context, Step, begin::workload_move, cnpg as clusters, next, objects};
use crate::formats::duration;
use crate::io::cluster::ClusterError;
use crate::io::cnpg;
use crate::io::workload_moves::{Driver, Names};
use crate::model::desired::Desired;
use crate::model::failure::Class;
use crate::model::ids::SourceRef;
use crate::model::kinds::moves::said;
use crate::model::kinds::rollout::PhaseMethod;
use crate::model::kinds::workload_move::{MovePhase, WorkloadMoveSpec, WorkloadMoveStatus};
use crate::model::kinds::{CANCEL, UNFINISHED_MOVE, WorkloadMove};
use crate::record;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Steps of one move in one turn: it has some fifteen phases with a few acts each.
const STEPS_MAX: usize = 64;

pub(super) fn name(one: &WorkloadMove) -> &str {
    one.metadata.name.as_deref().unwrap_or_default()
}

pub(super) fn is_ours(source: &Source<'_>, one: &WorkloadMove) -> bool {
    one.spec.source.is(&source.name)
}

/// Whether something of a move is still to be done: it has not ended, or it has and was not recorded and let go.
fn is_unfinished(one: &WorkloadMove) -> bool {
    let held = one.metadata.finalizers.as_ref();
    !phase_of(one).is_final() || held.is_some_and(|all| all.iter().any(|one| one == UNFINISHED_MOVE))
}

/// What moves of workloads keep from being moved otherwise: their namespaces.
pub(super) fn busy(moves: &[WorkloadMove]) -> BTreeMap<String, Arc<str>> {
    let running = moves.iter().filter(|one| !phase_of(one).is_final());
    running
        .map(|one| (one.spec.namespace.clone(), name(one).into()))
        .collect()
}

/// Carries the moves of a source on, and records those that have ended. While no tree could be read since the start, what was approved
/// stays approved. Nothing is asked where Git has no rollout and no move was under way. Gives all moves of the cluster; `None` when they
/// cannot be listed: then nothing is known of them, which is something else than that there are none.
pub(super) async fn go_on(
    world: &World,
    source: &Source<'_>,
    memory: &mut Memory,
    turned: &mut Turned,
) -> Option<Vec<WorkloadMove>> {
    let desired = memory.desired.as_ref().map(|(desired, _)| desired);
    let none = desired.is_some_and(|desired| {
        let promotions = &desired.promotions;
        promotions.standing.is_empty()
            && promotions.withdrawn.is_empty()
            && rollouts::asked(desired) == rollouts::Asked::default()
    });
    if none && memory.moving == Some(false) {
        return Some(Vec::new());
    }
    let mut moves = match world.cluster.list_if_installed::<WorkloadMove>().await {
        Ok(moves) => moves,
        Err(error) => {
            turned.failures.push(TurnFailure::from(&error));
            return None;
        }
    };
    for one in moves.iter_mut().filter(|one| is_ours(source, one)) {
        if !phase_of(one).is_final() {
            let withdrawn = withdrawn(desired, one);
            advance(world, one, withdrawn, turned).await;
        }
        settle(world, source, desired, one, turned).await;
    }
    turned.moving = moves
        .iter()
        .filter(|one| is_ours(source, one) && is_unfinished(one))
        .count();
    memory.moving = Some(turned.moving > 0);
    Some(moves)
}

/// Why a move is not approved any more, if it is not.
fn withdrawn(desired: Option<&Desired>, one: &WorkloadMove) -> Option<String> {
    let annotations = one.metadata.annotations.as_ref();
    if let Some(why) = said(annotations, CANCEL) {
        return Some(format!("a person cancelled it: {why}"));
    }
    if one.metadata.deletion_timestamp.is_some() {
        return Some("somebody deleted it".to_owned());
    }
    let spec = &one.spec;
    let standing = desired?.promotions.standing.iter().any(|promotion| {
        let what = promotion.what();
        what.rollout == spec.rollout
            && what.phase == spec.rollout_phase
            && what.fingerprint == spec.fingerprint
    });
    match (&spec.back, standing) {
        (None, false) => Some("its promotion has left Git".to_owned()),
        (Some(_), true) => Some("the promotion is in Git again".to_owned()),
        (None, true) | (Some(_), false) => None,
    }
}

/// What a turn says of a move that could not go on: the next turn tries again.
pub(super) fn failure(one: &WorkloadMove, error: impl std::fmt::Display) -> TurnFailure {
    TurnFailure {
        class: Class::Retry,
        reason: "WorkloadMoveWaits".to_owned(),
        message: format!("{}: {error}", name(one)),
    }
}

/// Looks at a move and acts for it, by its method.
enum Hand<'a> {
    /// Volumes are copied.
    Copy(Driver<'a>),
    /// A Cluster's instances are made anew.
    Cnpg(cnpg::Driver<'a>),
}

/// Carries one move on as far as it goes without waiting.
async fn advance(world: &World, one: &mut WorkloadMove, withdrawn: Option<String>, turned: &mut Turned) {
    let id = objects::id(name(one));
    let spec = one.spec.clone();
    let names = Names {
        copies: spec
            .claims
            .iter()
            .map(|claim| objects::copy_claim(&claim.name, &id))
            .collect(),
        jobs: (0..spec.claims.len())
            .map(|place| objects::job(&id, place))
            .collect(),
        id,
    };
    let hand = match spec.method {
        PhaseMethod::Cnpg => Hand::Cnpg(cnpg::Driver::of(&world.cluster, &spec.namespace)),
        PhaseMethod::Copy | PhaseMethod::New => Hand::Copy(Driver::of(&world.cluster, &spec, &names)),
    };
    for _ in 0..STEPS_MAX {
        if phase_of(one).is_final() {
            return;
        }
        let context = Context {
            name: name(one).to_owned(),
            epoch: world.leadership.epoch(),
            withdrawn: withdrawn.clone(),
            now: (world.clock)(),
        };
        let done = match &hand {
            Hand::Copy(driver) => step(world, driver, one, &context).await,
            Hand::Cnpg(driver) => step_of_cluster(world, *driver, one, &context).await,
        };
        match done {
            Ok(true) => {}
            Ok(false) => return,
            // Somebody has written it since: the next turn reads it anew.
            Err(ClusterError::Conflict { .. }) => return,
            Err(error) => {
                turned.failures.push(failure(one, error));
                return;
            }
        }
    }
}

/// One step; whether another can follow at once.
async fn step(
    world: &World,
    driver: &Driver<'_>,
    one: &mut WorkloadMove,
    context: &Context,
) -> Result<bool, ClusterError> {
    let status = one.status.clone().unwrap_or_default();
    let seen = driver.look().await?;
    let step = next(&one.spec, &status, &seen, context);
    Ok(match written(world, one, step).await? {
        Written::Nothing => false,
        Written::More => true,
        Written::Before(act) => {
            let status = one.status.clone().unwrap_or_default();
            let made = made(&one.spec, &status, &objects::id(name(one)), &act);
            driver.act(&status, &seen, &act, made).await?;
            true
        }
    })
}

/// The same of a Cluster whose instances are made anew.
async fn step_of_cluster(
    world: &World,
    driver: cnpg::Driver<'_>,
    one: &mut WorkloadMove,
    context: &Context,
) -> Result<bool, ClusterError> {
    let status = one.status.clone().unwrap_or_default();
    let workload = one.spec.workloads.first();
    let cluster = workload.map_or(String::new(), |workload| workload.name.clone());
    let seen = driver.look(&cluster).await?;
    let step = clusters::next(&one.spec, &status, &seen, context);
    Ok(match written(world, one, step).await? {
        Written::Nothing => false,
        Written::More => true,
        Written::Before(act) => {
            driver.act(&seen, &objects::id(name(one)), &act).await?;
            true
        }
    })
}

/// What follows once a step is written down.
enum Written<A> {
    /// Nothing now.
    Nothing,
    /// Another look.
    More,
    /// This act, and then another look.
    Before(A),
}

/// Writes down what a step says.
async fn written<A>(
    world: &World,
    one: &mut WorkloadMove,
    step: Step<A>,
) -> Result<Written<A>, ClusterError> {
    match step {
        Step::Fenced => Ok(Written::Nothing),
        Step::Record(after) => {
            write(world, one, *after).await?;
            Ok(Written::More)
        }
        Step::Wait(after) => {
            if one.status.as_ref() != Some(&*after) {
                write(world, one, *after).await?;
            }
            Ok(Written::Nothing)
        }
        Step::Act(after, act) => {
            // Written each time, also when nothing in it is new: the write fails if somebody else has written since.
            write(world, one, *after).await?;
            Ok(Written::Before(act))
        }
    }
}

/// The object that an act makes, if it makes any.
fn made(
    spec: &WorkloadMoveSpec,
    status: &WorkloadMoveStatus,
    id: &str,
    act: &crate::model::workload_moves::Act,
) -> Option<Value> {
    use crate::model::workload_moves::Act;
    let old = |place: &usize| -> Option<Value> {
        let text = status.claims.get(*place)?.old_claim.as_deref()?;
        serde_json::from_str(text).ok()
    };
    match act {
        Act::MakeCopyClaim(place, volume) => spec
            .claims
            .get(*place)
            .zip(old(place))
            .map(|(claim, old)| objects::copy_of(spec, id, claim, &old, volume.as_deref())),
        Act::MakeJob(place) => spec
            .claims
            .get(*place)
            .map(|claim| objects::copying(spec, id, *place, claim)),
        Act::MakeClaim(place, volume) => spec
            .claims
            .get(*place)
            .zip(old(place))
            .map(|(claim, old)| objects::made_again(claim, &old, volume)),
        _ => None,
    }
}

async fn write(
    world: &World,
    one: &mut WorkloadMove,
    status: WorkloadMoveStatus,
) -> Result<(), ClusterError> {
    one.status = Some(status);
    *one = world.cluster.replace_status(one).await?;
    Ok(())
}

/// Tells of a move what is new, and records and lets go one that has ended. Nothing is recorded before it is known whether Git keeps it
/// secret; and of a rollout that is gone nobody can know that any more.
async fn settle(
    world: &World,
    source: &Source<'_>,
    desired: Option<&Desired>,
    one: &mut WorkloadMove,
    turned: &mut Turned,
) {
    if let Err(error) = record::workload_moves::tell(&world.cluster, one).await {
        tracing::warn!(%error, "what became of a move of workloads is told with the next turn");
    }
    let Some(desired) = desired else { return };
    // Of a promotion that has left Git only the move still says that it was encrypted.
    let secret =
        one.spec.secret || is_secret(desired, &one.spec.rollout, &one.spec.rollout_phase).unwrap_or(true);
    let (cluster, audit) = (&world.cluster, source.audit.as_str());
    let recorded = record::workload_moves::record(cluster, source.repository, audit, one, secret).await;
    if let Err(error) = recorded {
        turned.failures.push(TurnFailure {
            class: Class::Retry,
            reason: "RecordFailed".to_owned(),
            message: error.to_string(),
        });
        return;
    }
    if phase_of(one).is_final() && is_unfinished(one) {
        match world.cluster.let_go(one, UNFINISHED_MOVE).await {
            Ok(written) => *one = written,
            Err(ClusterError::Api { code: 404, .. } | ClusterError::Conflict { .. }) => {}
            Err(error) => turned.failures.push(failure(one, error)),
        }
    }
}

/// Starts the move that was decided on, if its commit has the approvals that are demanded.
pub(super) async fn begin(
    world: &World,
    source: &Source<'_>,
    desired: &Desired,
    promoted: &mut Promoted,
    approvals: &Approvals<'_>,
    turned: &mut Turned,
) {
    let Some(start) = promoted.decided.start.take().filter(|_| approvals.current) else {
        return;
    };
    if !approvals.suffice(source, &start.approval.commit) {
        return;
    }
    let timeout = match duration::parse(&start.timeout) {
        Ok(timeout) => timeout.as_secs(),
        Err(error) => {
            tracing::warn!(error, "a move of workloads is not started");
            return;
        }
    };
    let merge = approvals.of(&start.approval.commit);
    let made = workload_move(&source.name, start, timeout, merge);
    match world.cluster.create(&made).await {
        Ok(mut created) => {
            advance(world, &mut created, None, turned).await;
            settle(world, source, Some(desired), &mut created, turned).await;
            turned.moving += usize::from(is_unfinished(&created));
        }
        // It was made in a turn whose end we did not see; the next turn lists it.
        Err(ClusterError::Exists { .. }) => {}
        Err(error) => turned.failures.push(TurnFailure::from(&error)),
    }
}

/// Takes back what deleted sources have begun, or ends it where claims were exchanged already, and says how much is left.
///
/// # Errors
/// When the moves cannot be listed.
pub(super) async fn orphans(world: &World, sources: &BTreeSet<SourceRef>) -> Result<usize, ClusterError> {
    let mut left = 0;
    for mut one in world.cluster.list_if_installed::<WorkloadMove>().await? {
        let source = one.spec.source.clone();
        let owned = sources.iter().any(|known| source.is(known));
        if owned || !is_unfinished(&one) {
            continue;
        }
        let why = format!("PolicySource {}/{} was deleted", source.namespace, source.name);
        let mut turned = Turned::default();
        advance(world, &mut one, Some(why), &mut turned).await;
        let told = record::workload_moves::tell(&world.cluster, &mut one).await;
        let gone = match phase_of(&one).is_final() {
            true => match world.cluster.let_go(&one, UNFINISHED_MOVE).await {
                Ok(_) | Err(ClusterError::Api { code: 404, .. }) => Ok(()),
                Err(error) => Err(error),
            },
            false => Ok(()),
        };
        // What still holds the finalizer is looked at again.
        left += usize::from(!phase_of(&one).is_final() || gone.is_err());
        for failure in turned.failures {
            tracing::warn!(
                message = failure.message,
                "a move of workloads of a deleted source waits"
            );
        }
        if let Err(error) = told.and(gone) {
            tracing::warn!(%error, "a move of workloads of a deleted source is told and let go later");
        }
    }
    Ok(left)
}

/// Moves of a source that need a person.
pub(super) fn needing_person(source: &Source<'_>, moves: &[WorkloadMove]) -> usize {
    let stands = |one: &&WorkloadMove| is_ours(source, one) && phase_of(one) == MovePhase::NeedsPerson;
    moves.iter().filter(stands).count()
}
