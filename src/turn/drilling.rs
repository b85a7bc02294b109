//! Restore drills: those under way go on, those that are due start, and what nobody drives any more is taken away.

use super::{Source, TurnFailure, Turned, World};
use crate::decide::drills::{self as decided, DrillPolicy, Due, Proof};
use crate::execute::drill::objects::{self, Owner, USERS_JOB};
use crate::execute::drill::{Act, Rules, Step, next};
use crate::formats::{duration, yaml};
use crate::io::cluster::ClusterError;
use crate::io::drills::Drills;
use crate::model::conditions;
use crate::model::coverage::DRILLED;
use crate::model::desired::Desired;
use crate::model::drills::DrillSeen;
use crate::model::failure::Class;
use crate::model::kinds::BackupPolicy;
use crate::model::kinds::backup::BackupPolicySpec;
use crate::model::kinds::drill::{BackupPolicyStatus, DRILL_REQUESTED, DrillRun, DrillSpec};
use crate::model::quantities::span;
use crate::record;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Steps of one drill in one turn: it has five phases, and each is written, done and looked at once.
const STEPS_MAX: usize = 24;

/// How long a drill may take when its policy no longer says.
const TIMEOUT_SECS: i64 = 3600;

/// A policy by namespace and name.
type Key = (String, String);

/// What the source says of its policies, by namespace and name.
fn policies(desired: &Desired) -> BTreeMap<Key, BackupPolicySpec> {
    let ours = desired
        .resources
        .iter()
        .filter(|one| one.kind() == "BackupPolicy");
    let read = ours.filter_map(|one| {
        let spec = serde_json::from_value(one.value.get("spec")?.clone()).ok()?;
        Some(((one.namespace().to_owned(), one.name().to_owned()), spec))
    });
    read.collect()
}

fn key(object: &BackupPolicy) -> Key {
    let meta = &object.metadata;
    (
        meta.namespace.clone().unwrap_or_default(),
        meta.name.clone().unwrap_or_default(),
    )
}

fn failure(name: &str, error: &ClusterError) -> TurnFailure {
    TurnFailure {
        class: Class::Retry,
        reason: "DrillWaits".to_owned(),
        message: format!("drill of BackupPolicy {name}: {error}"),
    }
}

/// Carries the source's drills on and starts those that are due. A source without BackupPolicies costs nothing, except that with each
/// comparison of everything it is looked for what a policy that is gone may have left.
pub(super) async fn drill(world: &World, source: &Source<'_>, desired: &Desired, turned: &mut Turned) {
    let specs = policies(desired);
    let sweeps = turned.actions.is_some();
    if specs.is_empty() && !sweeps {
        return;
    }
    let objects: Vec<BackupPolicy> = match world.cluster.list().await {
        Ok(objects) => objects,
        Err(error) => {
            turned.failures.push(TurnFailure::from(&error));
            return;
        }
    };
    if sweeps && let Err(error) = sweep(world, &objects).await {
        turned.failures.push(failure("that is gone", &error));
    }
    let mut ours: Vec<BackupPolicy> = objects
        .into_iter()
        .filter(|object| specs.contains_key(&key(object)))
        .collect();
    for object in &mut ours {
        go_on(world, source, desired, object, turned).await;
    }
    for object in &mut ours {
        match prove(world, &specs, object).await {
            // The next turn reads it anew.
            Ok(()) | Err(ClusterError::Conflict { .. }) => {}
            Err(error) => turned.failures.push(failure(&key(object).1, &error)),
        }
    }
    if source.limits.dry_run {
        return;
    }
    for (index, due) in due(world, &specs, &ours).into_iter().enumerate() {
        let object = &mut ours[index];
        let begun = match due {
            Due::No => continue,
            // The policy's own condition says so until it has started.
            Due::Waits(why) => {
                tracing::debug!(policy = key(object).1, why, "a drill waits");
                continue;
            }
            Due::Refused(why) => refuse(world, object, &why).await,
            Due::Starts(run) => start(world, object, *run).await,
        };
        match begun {
            Ok(()) => go_on(world, source, desired, object, turned).await,
            Err(error) => turned.failures.push(failure(&key(object).1, &error)),
        }
    }
}

/// Takes away what drills have left that no policy drives any more, because it was deleted under way.
async fn sweep(world: &World, objects: &[BackupPolicy]) -> Result<(), ClusterError> {
    let driven: BTreeSet<&str> = objects
        .iter()
        .filter_map(|object| Some(object.status.as_ref()?.drill.as_ref()?.id.as_str()))
        .collect();
    for left in Drills::left(&world.cluster).await? {
        if driven.contains(left.run.id.as_str()) {
            continue;
        }
        let (id, scratch) = (&left.run.id, &left.run.scratch);
        tracing::warn!(
            drill = id,
            namespace = scratch,
            "a drill that nobody drives is taken away"
        );
        Drills::of(&world.cluster, &left.velero)
            .clean_up(&left.run)
            .await?;
    }
    Ok(())
}

fn due(world: &World, specs: &BTreeMap<Key, BackupPolicySpec>, ours: &[BackupPolicy]) -> Vec<Due> {
    let unknown = BackupPolicyStatus::default();
    let all: Vec<DrillPolicy> = ours
        .iter()
        .filter_map(|object| judged(object, specs, &unknown))
        .collect();
    decided::due(&all, (world.clock)())
}

/// An object of ours as it is decided on; its spec is Git's.
fn judged<'a>(
    object: &'a BackupPolicy,
    specs: &'a BTreeMap<Key, BackupPolicySpec>,
    unknown: &'a BackupPolicyStatus,
) -> Option<DrillPolicy<'a>> {
    let annotations = object.metadata.annotations.as_ref();
    Some(DrillPolicy {
        namespace: object.metadata.namespace.as_deref()?,
        name: object.metadata.name.as_deref()?,
        spec: specs.get(&key(object))?,
        status: object.status.as_ref().unwrap_or(unknown),
        created: object.metadata.creation_timestamp.as_ref().map(|time| time.0),
        requested: annotations
            .and_then(|all| all.get(DRILL_REQUESTED))
            .map(String::as_str),
    })
}

/// Writes down what drills have proved, where that is something else than before.
async fn prove(
    world: &World,
    specs: &BTreeMap<Key, BackupPolicySpec>,
    object: &mut BackupPolicy,
) -> Result<(), ClusterError> {
    let (now, unknown) = ((world.clock)(), BackupPolicyStatus::default());
    let Some(proof) = judged(object, specs, &unknown).map(|policy| decided::proof(&policy, now)) else {
        return Ok(());
    };
    let generation = object.metadata.generation;
    let list = &mut object.status.get_or_insert_default().conditions;
    let before = list.clone();
    match proof {
        Proof::NotAsked => list.retain(|one| one.type_ != DRILLED),
        Proof::Holds { p95 } => {
            let message = format!(
                "every namespace was restored lately; the slowest takes {} (95th percentile)",
                span(p95)
            );
            conditions::set(list, DRILLED, true, "Restored", &message, generation, now);
        }
        Proof::Fails { reason, message } => {
            conditions::set(list, DRILLED, false, reason, &message, generation, now);
        }
    }
    match *list == before {
        true => Ok(()),
        false => write(world, object).await,
    }
}

/// Writes a drill down: from then on it is under way.
async fn start(world: &World, object: &mut BackupPolicy, run: DrillRun) -> Result<(), ClusterError> {
    let status = object.status.get_or_insert_default();
    status.handled_request = run.requested.clone().or(status.handled_request.take());
    status.drill = Some(run);
    write(world, object).await
}

/// Answers a request that cannot be met, once.
async fn refuse(world: &World, object: &mut BackupPolicy, why: &str) -> Result<(), ClusterError> {
    let annotations = object.metadata.annotations.as_ref();
    let request = annotations.and_then(|all| all.get(DRILL_REQUESTED)).cloned();
    object.status.get_or_insert_default().handled_request = request;
    write(world, object).await?;
    world.cluster.publish(object, true, "DrillRefused", why).await
}

/// Writes the status; one that somebody has written since is left to the next turn.
async fn write(world: &World, object: &mut BackupPolicy) -> Result<(), ClusterError> {
    *object = world.cluster.replace_status(object).await?;
    Ok(())
}

/// What the drill of an object is to do, and the user's Job for it.
async fn rules(
    world: &World,
    object: &BackupPolicy,
    run: &DrillRun,
) -> Result<(Rules, Option<Value>), ClusterError> {
    let Some(drill) = &object.spec.drill else {
        let rules = Rules {
            timeout_seconds: TIMEOUT_SECS,
            withdrawn: Some("its policy asks for no drills any more".to_owned()),
            ..Rules::default()
        };
        return Ok((rules, None));
    };
    let timeout = duration::parse(&drill.timeout).map_or(TIMEOUT_SECS, |length| {
        i64::try_from(length.as_secs()).unwrap_or(TIMEOUT_SECS)
    });
    let mut rules = Rules {
        timeout_seconds: timeout,
        jobs: objects::sentinels(run, drill)
            .into_iter()
            .map(|(name, what, _)| (name, what))
            .collect(),
        withdrawn: None,
    };
    let users = match users_job(world, object, drill).await? {
        None => None,
        Some(Ok(job)) => {
            let named = drill.job.as_ref().map_or("", |job| job.name.as_str());
            rules.jobs.push((USERS_JOB.to_owned(), format!("job {named}")));
            Some(job)
        }
        Some(Err(why)) => {
            rules.withdrawn = Some(why);
            None
        }
    };
    Ok((rules, users))
}

/// The user's Job, or what is wrong with it.
async fn users_job(
    world: &World,
    object: &BackupPolicy,
    drill: &DrillSpec,
) -> Result<Option<Result<Value, String>>, ClusterError> {
    let Some(job) = &drill.job else {
        return Ok(None);
    };
    let (namespace, _) = key(object);
    let found = world.cluster.config_map(&namespace, &job.name).await?;
    let told = format!("ConfigMap {namespace}/{}", job.name);
    let Some(text) = found.and_then(|mut data| data.remove(&job.key)) else {
        return Ok(Some(Err(format!("{told} has no key {}", job.key))));
    };
    let documents = yaml::load(&text).unwrap_or_default();
    let read = documents.into_iter().next().and_then(|one| one.into_json().ok());
    let read = read.filter(|job| job["kind"] == "Job");
    Ok(Some(read.ok_or_else(|| {
        format!("key {} of {told} is not the manifest of a Job", job.key)
    })))
}

/// Carries the drill of one policy on as far as it goes without waiting.
async fn go_on(
    world: &World,
    source: &Source<'_>,
    desired: &Desired,
    object: &mut BackupPolicy,
    turned: &mut Turned,
) {
    for _ in 0..STEPS_MAX {
        let Some(run) = object.status.as_ref().and_then(|status| status.drill.clone()) else {
            return;
        };
        turned.drilling += 1;
        match step(world, source, desired, object, &run, turned).await {
            Ok(true) => turned.drilling -= 1,
            Ok(false) => return,
            // Somebody wrote it since: the next turn reads it anew.
            Err(ClusterError::Conflict { .. }) => return,
            Err(error) => {
                turned.failures.push(failure(&key(object).1, &error));
                return;
            }
        }
    }
}

/// One step; whether another can follow at once.
async fn step(
    world: &World,
    source: &Source<'_>,
    desired: &Desired,
    object: &mut BackupPolicy,
    run: &DrillRun,
    turned: &mut Turned,
) -> Result<bool, ClusterError> {
    let (namespace, name) = key(object);
    let drills = Drills::of(&world.cluster, &namespace);
    let seen: DrillSeen = drills.look(run).await?;
    let (rules, users) = rules(world, object, run).await?;
    match next(run, &rules, &seen, (world.clock)()) {
        Step::Record(after) => {
            object.status.get_or_insert_default().drill = Some(after);
            write(world, object).await?;
            Ok(true)
        }
        Step::Wait(after) => {
            if after != *run {
                object.status.get_or_insert_default().drill = Some(after);
                write(world, object).await?;
            }
            Ok(false)
        }
        Step::Act(act) => {
            let owner = Owner {
                policy: &name,
                namespace: &namespace,
            };
            carry_out(
                drills,
                run,
                owner,
                object.spec.drill.as_ref(),
                (act, users.as_ref()),
            )
            .await?;
            Ok(true)
        }
        Step::End(ended) => {
            let revision = desired.revision.to_string();
            let recorded =
                record::drills::record(source.repository, &source.audit, object, &revision, &ended).await;
            if let Err(error) = recorded {
                turned.failures.push(TurnFailure {
                    class: Class::Retry,
                    reason: "RecordFailed".to_owned(),
                    message: error.to_string(),
                });
                return Ok(false);
            }
            let status = object.status.get_or_insert_default();
            status.drill = None;
            decided::remember(&mut status.drills, ended.clone());
            write(world, object).await?;
            record::drills::tell(&world.cluster, object, &ended).await;
            Ok(false)
        }
    }
}

async fn carry_out(
    drills: Drills<'_>,
    run: &DrillRun,
    owner: Owner<'_>,
    spec: Option<&DrillSpec>,
    (act, users): (Act, Option<&Value>),
) -> Result<(), ClusterError> {
    let objects = match (act, spec) {
        (Act::CleanUp, _) | (_, None) => return drills.clean_up(run).await,
        (Act::Prepare, Some(spec)) => {
            drills.create(&objects::scratch(run, owner)).await?;
            // What is in the way is seen with the next look, before anything is put into it.
            if !drills.is_ours(run).await? {
                return Ok(());
            }
            objects::surroundings(run, owner, spec, &drills.pods(run).await?)
        }
        (Act::Restore, Some(_)) => vec![objects::restore(run, owner)],
        (Act::Check, Some(spec)) => objects::jobs(run, owner, spec, users),
    };
    for object in &objects {
        drills.create(object).await?;
    }
    Ok(())
}
