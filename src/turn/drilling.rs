//! Restore drills: those under way go on, those that are due start, and what nobody drives any more is taken away.
//!
//! What a drill does is said by the policy as Git has it, and by nothing in the cluster: whoever may write a BackupPolicy there could
//! otherwise have any image look at restored Secrets.

use super::{Source, TurnFailure, Turned, World};
use crate::decide::drills::{self as decided, DrillPolicy, Due, Proof};
use crate::execute::drill::objects::{self, Owner, USERS_JOB};
use crate::execute::drill::{Act, Rules, Step, next};
use crate::formats::duration;
use crate::io::cluster::ClusterError;
use crate::io::drills::Drills;
use crate::model::conditions;
use crate::model::coverage::DRILLED;
use crate::model::desired::Desired;
use crate::model::drills::DrillSeen;
use crate::model::failure::Class;
use crate::model::ids::ObjectId;
use crate::model::kinds::backup::{BackupPolicySpec, KeyRef};
use crate::model::kinds::drill::{BackupPolicyStatus, DRILL_REQUESTED, DrillRun, DrillSpec};
use crate::model::kinds::{BackupPolicy, GROUP};
use crate::model::quantities::span;
use crate::model::secret::MASK;
use crate::parse;
use crate::record;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Steps of one drill in one turn: it has five phases, and each is written, done and looked at once.
const STEPS_MAX: usize = 24;

/// How long a drill may take when its policy no longer says.
const TIMEOUT_SECS: i64 = 3600;

/// A policy by namespace and name.
type Key = (String, String);

/// What Git says of a policy.
struct Said {
    spec: BackupPolicySpec,
    /// Whether it was encrypted, so that nothing of it is told.
    secret: bool,
}

/// What the source says of its policies, by namespace and name.
fn policies(desired: &Desired) -> BTreeMap<Key, Said> {
    let said = desired.ours("BackupPolicy").map(|(one, spec)| {
        let secret = one.origin.secret;
        (
            (one.namespace().to_owned(), one.name().to_owned()),
            Said { spec, secret },
        )
    });
    said.collect()
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

/// Carries drills under way on, also while the source is suspended or Git cannot be reached. Nothing is asked where Git has no BackupPolicy
/// and no drill was under way; `before` says whether one was, if that is known.
pub(super) async fn go_on(
    world: &World,
    source: &Source<'_>,
    desired: &Desired,
    before: Option<bool>,
    turned: &mut Turned,
) -> Vec<BackupPolicy> {
    let said = policies(desired);
    if said.is_empty() && before == Some(false) {
        return Vec::new();
    }
    let mut ours = match ours(world, source, &said).await {
        Ok(ours) => ours,
        Err(error) => {
            turned.failures.push(TurnFailure::from(&error));
            return Vec::new();
        }
    };
    for object in &mut ours {
        advance(world, source, (desired, &said), object, turned).await;
    }
    ours
}

/// Policies that Git has, and those that it has no longer and whose drill is under way. What another source holds is that one's.
async fn ours(
    world: &World,
    source: &Source<'_>,
    said: &BTreeMap<Key, Said>,
) -> Result<Vec<BackupPolicy>, ClusterError> {
    let mut objects: Vec<BackupPolicy> = world.cluster.list().await?;
    let left = |object: &BackupPolicy| {
        let (namespace, name) = key(object);
        let id = ObjectId {
            group: GROUP.to_owned(),
            kind: "BackupPolicy".to_owned(),
            namespace,
            name,
        };
        let under_way = object
            .status
            .as_ref()
            .is_some_and(|status| status.drill.is_some());
        under_way && !source.others.contains(&id.inventory_id())
    };
    objects.retain(|object| said.contains_key(&key(object)) || left(object));
    Ok(objects)
}

/// Says what drills have proved, and starts those that are due. After an apply it is looked for what a policy that is gone may have left.
pub(super) async fn begin(
    world: &World,
    source: &Source<'_>,
    desired: &Desired,
    mut objects: Vec<BackupPolicy>,
    turned: &mut Turned,
) {
    let said = policies(desired);
    if turned.actions.is_some() {
        // Some are new, some are gone.
        match fresh(world, source, &said).await {
            Ok(now) => objects = now,
            Err(error) => {
                turned.failures.push(TurnFailure::from(&error));
                return;
            }
        }
    }
    objects.retain(|object| said.contains_key(&key(object)));
    let mut dues = due(world, &said, &objects, &[]);
    // What other sources drill, and what a policy that has left Git still does, is asked when something would start.
    if dues.iter().any(|due| matches!(due, Due::Starts(_))) {
        match elsewhere(world, &objects).await {
            Ok(busy) => dues = due(world, &said, &objects, &busy),
            Err(error) => {
                turned.failures.push(TurnFailure::from(&error));
                return;
            }
        }
    }
    for (object, due) in objects.iter_mut().zip(&dues) {
        match prove(world, &said, object, due).await {
            // The next turn reads it anew.
            Ok(()) | Err(ClusterError::Conflict { .. }) => {}
            Err(error) => turned.failures.push(failure(&key(object).1, &error)),
        }
    }
    if source.limits.dry_run {
        return;
    }
    for (index, due) in dues.into_iter().enumerate() {
        let object = &mut objects[index];
        let begun = match due {
            Due::No | Due::Waits(_) => continue,
            Due::Refused(why) => {
                let secret = said.get(&key(object)).is_some_and(|said| said.secret);
                let why = if secret {
                    "its policy does not drill that namespace"
                } else {
                    &why
                };
                refuse(world, object, why).await
            }
            Due::Starts(run) => start(world, object, *run).await,
        };
        match begun {
            Ok(()) => advance(world, source, (desired, &said), object, turned).await,
            // The next turn reads it anew.
            Err(ClusterError::Conflict { .. }) => {}
            Err(error) => turned.failures.push(failure(&key(object).1, &error)),
        }
    }
}

async fn fresh(
    world: &World,
    source: &Source<'_>,
    said: &BTreeMap<Key, Said>,
) -> Result<Vec<BackupPolicy>, ClusterError> {
    sweep(world).await?;
    ours(world, source, said).await
}

/// Takes away what drills have left that no policy drives any more, because it was deleted under way.
async fn sweep(world: &World) -> Result<(), ClusterError> {
    let left = Drills::left(&world.cluster).await?;
    if left.is_empty() {
        return Ok(());
    }
    // Read after what is there: a drill that has begun since is in no list yet.
    let objects: Vec<BackupPolicy> = world.cluster.list().await?;
    let driven: BTreeSet<&str> = objects
        .iter()
        .filter_map(|object| Some(object.status.as_ref()?.drill.as_ref()?.id.as_str()))
        .collect();
    for left in left {
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

/// Namespaces and locations of drills that run for policies other than these.
async fn elsewhere(world: &World, ours: &[BackupPolicy]) -> Result<Vec<(String, String)>, ClusterError> {
    let all: Vec<BackupPolicy> = world.cluster.list().await?;
    let own: BTreeSet<Key> = ours.iter().map(key).collect();
    let others = all.iter().filter(|object| !own.contains(&key(object)));
    let running = others.filter_map(|object| {
        let run = object.status.as_ref()?.drill.as_ref()?;
        Some((object.metadata.namespace.clone()?, run.location.clone()))
    });
    Ok(running.collect())
}

fn due(
    world: &World,
    said: &BTreeMap<Key, Said>,
    ours: &[BackupPolicy],
    elsewhere: &[(String, String)],
) -> Vec<Due> {
    let unknown = BackupPolicyStatus::default();
    let all: Vec<DrillPolicy> = ours
        .iter()
        .filter_map(|object| judged(object, said, &unknown))
        .collect();
    decided::due(&all, elsewhere, (world.clock)())
}

/// An object of ours as it is decided on; its spec is Git's.
fn judged<'a>(
    object: &'a BackupPolicy,
    said: &'a BTreeMap<Key, Said>,
    unknown: &'a BackupPolicyStatus,
) -> Option<DrillPolicy<'a>> {
    let annotations = object.metadata.annotations.as_ref();
    Some(DrillPolicy {
        namespace: object.metadata.namespace.as_deref()?,
        name: object.metadata.name.as_deref()?,
        spec: &said.get(&key(object))?.spec,
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
    said: &BTreeMap<Key, Said>,
    object: &mut BackupPolicy,
    due: &Due,
) -> Result<(), ClusterError> {
    let (now, unknown) = ((world.clock)(), BackupPolicyStatus::default());
    let Some(proof) =
        judged(object, said, &unknown).map(|policy| decided::proof(policy.spec, &policy.status.drills, now))
    else {
        return Ok(());
    };
    let generation = object.metadata.generation;
    let secret = said.get(&key(object)).is_some_and(|said| said.secret);
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
        Proof::Fails { reason, mut message } => {
            if let Due::Waits(why) = due {
                message.push_str("; one is due, and waits");
                if !secret {
                    message.push_str(&format!(": {why}"));
                }
            }
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

/// What a drill is to do by Git, with the user's Job for it.
fn rules(desired: &Desired, said: Option<&Said>, namespace: &str, run: &DrillRun) -> (Rules, Option<Value>) {
    let withdrawn = |why: &str| {
        let rules = Rules {
            timeout_seconds: TIMEOUT_SECS,
            withdrawn: Some(why.to_owned()),
            ..Rules::default()
        };
        (rules, None)
    };
    let Some(said) = said else {
        return withdrawn("its policy has left Git");
    };
    let Some(drill) = &said.spec.drill else {
        return withdrawn("its policy asks for no drills any more");
    };
    // Of a policy that was encrypted it is told that something was looked for, and not what.
    let told = |what: String| if said.secret { MASK.to_owned() } else { what };
    let sentinels = objects::sentinels(run, drill).into_iter();
    let mut jobs: Vec<(String, String)> = sentinels.map(|(name, what, _)| (name, told(what))).collect();
    let mut users = None;
    if let Some(job) = &drill.job {
        users = users_job(desired, namespace, job);
        if users.is_none() {
            return withdrawn("the ConfigMap that `job` names holds no manifest of a Job");
        }
        jobs.push((USERS_JOB.to_owned(), told(format!("job {}", job.name))));
    }
    let timeout = duration::parse(&drill.timeout).ok();
    let timeout_seconds = timeout.and_then(|length| i64::try_from(length.as_secs()).ok());
    let rules = Rules {
        timeout_seconds: timeout_seconds.unwrap_or(TIMEOUT_SECS),
        jobs,
        withdrawn: None,
    };
    (rules, users)
}

/// The user's Job, as Git has it.
fn users_job(desired: &Desired, namespace: &str, job: &KeyRef) -> Option<Value> {
    let mut all = desired.resources.of("", "ConfigMap");
    let named = all.find(|one| one.namespace() == namespace && one.name() == job.name)?;
    parse::drill_job(named, &job.key).ok()
}

/// What follows a step.
enum Then {
    /// Another can follow at once.
    Again,
    /// The next turn goes on.
    Waits,
    /// The drill has ended.
    Ended,
}

/// Carries the drill of one policy on as far as it goes without waiting.
async fn advance(
    world: &World,
    source: &Source<'_>,
    git: (&Desired, &BTreeMap<Key, Said>),
    object: &mut BackupPolicy,
    turned: &mut Turned,
) {
    for _ in 0..STEPS_MAX {
        let Some(run) = object.status.as_ref().and_then(|status| status.drill.clone()) else {
            return;
        };
        match step(world, source, git, object, &run, turned).await {
            Ok(Then::Again) => continue,
            Ok(Then::Ended) => return,
            // Somebody wrote it since: the next turn reads it anew.
            Ok(Then::Waits) | Err(ClusterError::Conflict { .. }) => {}
            Err(error) => turned.failures.push(failure(&key(object).1, &error)),
        }
        break;
    }
    turned.drilling += 1;
}

async fn step(
    world: &World,
    source: &Source<'_>,
    (desired, said): (&Desired, &BTreeMap<Key, Said>),
    object: &mut BackupPolicy,
    run: &DrillRun,
    turned: &mut Turned,
) -> Result<Then, ClusterError> {
    let (namespace, name) = key(object);
    let said = said.get(&key(object));
    let drills = Drills::of(&world.cluster, &namespace);
    let seen: DrillSeen = drills.look(run).await?;
    let (rules, users) = rules(desired, said, &namespace, run);
    match next(run, &rules, &seen, (world.clock)()) {
        Step::Record(after) => {
            object.status.get_or_insert_default().drill = Some(after);
            write(world, object).await?;
            Ok(Then::Again)
        }
        Step::Wait(after) => {
            if after != *run {
                object.status.get_or_insert_default().drill = Some(after);
                write(world, object).await?;
            }
            Ok(Then::Waits)
        }
        Step::Act(act) => {
            let owner = Owner {
                policy: &name,
                namespace: &namespace,
            };
            let spec = said.and_then(|said| said.spec.drill.as_ref());
            carry_out(drills, run, owner, spec, (act, users.as_ref())).await?;
            Ok(Then::Again)
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
                return Ok(Then::Waits);
            }
            let status = object.status.get_or_insert_default();
            status.drill = None;
            decided::remember(&mut status.drills, ended.clone());
            write(world, object).await?;
            record::drills::tell(&world.cluster, object, &ended).await;
            Ok(Then::Ended)
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
            objects::surroundings(run, owner, spec, &drills.pods(&run.backup, &run.namespace).await?)
        }
        (Act::Restore, Some(_)) => vec![objects::restore(run, owner)],
        (Act::Check, Some(spec)) => objects::jobs(run, owner, spec, users),
    };
    for object in &objects {
        drills.create(object).await?;
    }
    Ok(())
}
