//! Puts clients, stages and loops together: one loop per process that takes a turn for each source when it is due.

use crate::decide::Limits;
use crate::execute::engine::{EngineError, JournalStore, StorageEngine, StoreError};
use crate::execute::journal::{Act, Reading};
use crate::formats::duration;
use crate::formats::sops::Identities;
use crate::io::cluster::{Cluster, ClusterError};
use crate::io::git::{Credentials, Repository};
use crate::io::mayastor::{Mayastor, MayastorError};
use crate::model::conditions;
use crate::model::failure::Class;
use crate::model::ids::SourceRef;
use crate::model::kinds::REQUESTED_AT;
use crate::model::kinds::policy_source::{ForgeKind, HistoryEntry, PolicySource, PolicySourceStatus};
use crate::model::kinds::volume_migration::VolumeMigration;
use crate::turn::{Memory, Source, TurnFailure, Turned, World, turn};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Revisions that a source's status remembers, as Flux does.
const HISTORY_MAX: usize = 5;

/// Pauses after failures grow from the first to the second.
const RETRY_FIRST: Duration = Duration::from_secs(2);
const RETRY_LAST: Duration = Duration::from_secs(300);

/// What the operator set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where clones are kept.
    pub directory: PathBuf,
    /// Whether `file://` is read.
    pub allow_file_urls: bool,
    /// Migrations at one time, in the whole cluster.
    pub max_concurrent: u32,
    /// Whether nothing is proposed or started.
    pub dry_run: bool,
    /// Whether old copies are kept.
    pub preserve: bool,
    /// How often unfinished migrations are looked at.
    pub poll: Duration,
}

/// What the health endpoints say.
#[derive(Default)]
pub struct Health {
    ready: AtomicBool,
}

impl Health {
    /// Whether the last look at the cluster worked.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }
}

struct Known {
    fingerprint: String,
    repository: Repository,
    identities: Identities,
    memory: Memory,
    next: Instant,
    failures: u32,
    seen: Option<(Option<i64>, Option<String>)>,
}

/// Takes turns until `stop` resolves. A turn that has begun is finished first.
pub async fn run(world: &World, settings: &Settings, health: &Arc<Health>, stop: impl Future<Output = ()>) {
    let mut stop = std::pin::pin!(stop);
    let mut news = world.cluster.news();
    let mut known: BTreeMap<SourceRef, Known> = BTreeMap::new();
    loop {
        let sources: Vec<PolicySource> = match world.cluster.list().await {
            Ok(sources) => {
                health.ready.store(true, Ordering::Relaxed);
                sources
            }
            Err(error) => {
                health.ready.store(false, Ordering::Relaxed);
                tracing::warn!(%error, "cannot list PolicySources");
                Vec::new()
            }
        };
        let mut wait = settings.poll.max(RETRY_FIRST);
        let inventories = inventories(&sources);
        for (index, source) in sources.into_iter().enumerate() {
            let others = inventories
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != index);
            let others = others.flat_map(|(_, ids)| ids.iter().cloned()).collect();
            let due = take_turn_if_due(world, settings, &mut known, source, others).await;
            wait = wait.min(due.saturating_duration_since(Instant::now()));
        }
        tokio::select! {
            () = &mut stop => return,
            _ = news.recv() => {}
            () = tokio::time::sleep(wait.max(Duration::from_millis(50))) => {}
        }
    }
}

/// What each source holds, by its inventory.
fn inventories(sources: &[PolicySource]) -> Vec<BTreeSet<String>> {
    let ids = |source: &PolicySource| {
        let inventory = source
            .status
            .as_ref()
            .and_then(|status| status.inventory.as_ref());
        inventory
            .iter()
            .flat_map(|inventory| &inventory.entries)
            .map(|entry| entry.id.clone())
            .collect()
    };
    sources.iter().map(ids).collect()
}

async fn take_turn_if_due(
    world: &World,
    settings: &Settings,
    known: &mut BTreeMap<SourceRef, Known>,
    source: PolicySource,
    others: BTreeSet<String>,
) -> Instant {
    let name = SourceRef {
        namespace: source.metadata.namespace.clone().unwrap_or_default(),
        name: source.metadata.name.clone().unwrap_or_default(),
    };
    let request = source
        .metadata
        .annotations
        .as_ref()
        .and_then(|all| all.get(REQUESTED_AT))
        .cloned();
    let seen = Some((source.metadata.generation, request.clone()));
    if let Some(one) = known.get(&name)
        && one.seen == seen
        && Instant::now() < one.next
    {
        return one.next;
    }
    let began = Instant::now();
    let mut status = source.status.clone().unwrap_or_default();
    let poked = request.is_some() && request != status.last_handled_reconcile_at;
    let result = match prepare(world, settings, known, &name, &source).await {
        Ok(()) => {
            let Some(one) = known.get_mut(&name) else {
                return began;
            };
            one.seen = seen;
            let mut memory = std::mem::take(&mut one.memory);
            let result = turn(
                world,
                &Source {
                    others,
                    ..understood(&name, &source, one, settings, poked)
                },
                &status,
                &mut memory,
            )
            .await;
            one.memory = memory;
            result
        }
        Err(failure) => Err(failure),
    };
    world.metrics.turns.inc();
    let interval = duration::parse(&source.spec.interval).unwrap_or(Duration::from_secs(60));
    let pause = pause(&result, interval, settings, known.get_mut(&name));
    fill(&mut status, &result, &source, request, world, began);
    if result.as_ref().map_or(true, |turned| !turned.failures.is_empty()) {
        world.metrics.failed_turns.inc();
    }
    report(world, &source, &result).await;
    if source.status.as_ref() != Some(&status) {
        let mut next = source;
        next.status = Some(status);
        if let Err(error) = world.cluster.replace_status(&next).await {
            tracing::warn!(source = %name, %error, "status not written; trying again");
            if let Some(one) = known.get_mut(&name) {
                one.next = Instant::now() + RETRY_FIRST;
                return one.next;
            }
        }
    }
    let next = Instant::now() + pause;
    if let Some(one) = known.get_mut(&name) {
        one.next = next;
    }
    next
}

/// Makes the clients of a source, when its spec or Secrets are new.
async fn prepare(
    world: &World,
    settings: &Settings,
    known: &mut BTreeMap<SourceRef, Known>,
    name: &SourceRef,
    source: &PolicySource,
) -> Result<(), TurnFailure> {
    let spec = &source.spec;
    let stalled = |reason: &str, message: String| TurnFailure {
        class: Class::Stalled,
        reason: reason.to_owned(),
        message,
    };
    if spec.verify.is_some() {
        let message = "spec.verify: this release cannot check signatures, and does not act on commits whose signatures are demanded";
        return Err(stalled("VerifyNotSupported", message.to_owned()));
    }
    let forge = spec
        .proposals
        .as_ref()
        .map(|proposals| proposals.forge.kind)
        .unwrap_or_default();
    if forge != ForgeKind::None {
        let message = "spec.proposals.forge: this release pushes branches only; write `type: none`";
        return Err(stalled("ForgeNotSupported", message.to_owned()));
    }
    let timeout = duration::parse(&spec.timeout)
        .map_err(|help| stalled("InvalidSpec", format!("spec.timeout: {help}")))?;
    duration::parse(&spec.interval)
        .map_err(|help| stalled("InvalidSpec", format!("spec.interval: {help}")))?;
    let secret = match &spec.secret_ref {
        Some(reference) => Some(read_secret(world, &name.namespace, &reference.name).await?),
        None => None,
    };
    let keys = match &spec.decryption {
        Some(decryption) => Some(read_secret(world, &name.namespace, &decryption.secret_ref.name).await?),
        None => None,
    };
    let mut fingerprint = format!(
        "{:?}",
        (
            &spec.url,
            &spec.branch,
            &spec.path,
            &spec.timeout,
            &spec.proposals
        )
    );
    for secret in [&secret, &keys].into_iter().flatten() {
        for (key, value) in secret {
            fingerprint.push_str(&format!(
                "{key}={}",
                crate::formats::sops::fingerprint(value.expose())
            ));
        }
    }
    if known.get(name).is_some_and(|one| one.fingerprint == fingerprint) {
        return Ok(());
    }
    let credentials = match &secret {
        Some(secret) => {
            Credentials::from_secret(secret, &spec.url).map_err(|error| TurnFailure::from(&error))?
        }
        None => Credentials::default(),
    };
    let directory = settings.directory.join(&name.namespace).join(&name.name);
    let repository = Repository::new(
        &spec.url,
        &directory,
        credentials,
        timeout,
        settings.allow_file_urls,
    )
    .map_err(|error| TurnFailure::from(&error))?;
    let identities = match &keys {
        Some(keys) => {
            let files: Vec<(&str, &str)> = keys
                .iter()
                .filter(|(key, _)| key.ends_with(".agekey"))
                .filter_map(|(key, value)| Some((key.as_str(), value.expose_str().ok()?)))
                .collect();
            Identities::parse(files)
                .map_err(|what| stalled("InvalidKeys", format!("the decryption Secret: {what}")))?
        }
        None => Identities::default(),
    };
    let fresh = Known {
        fingerprint,
        repository,
        identities,
        memory: Memory::default(),
        next: Instant::now(),
        failures: 0,
        seen: None,
    };
    known.insert(name.clone(), fresh);
    Ok(())
}

async fn read_secret(
    world: &World,
    namespace: &str,
    name: &str,
) -> Result<BTreeMap<String, crate::model::secret::SecretText>, TurnFailure> {
    world
        .cluster
        .secret(namespace, name)
        .await
        .map_err(|error| TurnFailure::from(&error))?
        .ok_or_else(|| TurnFailure {
            class: Class::Waiting,
            reason: "SecretNotFound".to_owned(),
            message: format!("there is no Secret {namespace}/{name}"),
        })
}

fn understood<'a>(
    name: &SourceRef,
    source: &PolicySource,
    one: &'a Known,
    settings: &Settings,
    poked: bool,
) -> Source<'a> {
    let spec = &source.spec;
    let proposals = spec.proposals.clone().unwrap_or_default();
    let root = spec.path.trim_matches('/').trim_start_matches("./").to_owned();
    let folder = proposals.path.trim_matches('/').to_owned();
    Source {
        name: name.clone(),
        repository: &one.repository,
        branch: spec.branch.clone(),
        assignments: if root.is_empty() {
            folder
        } else {
            format!("{root}/{folder}")
        },
        root,
        prefix: proposals.branch_prefix,
        audit: spec.audit.clone().unwrap_or_default().branch,
        identities: &one.identities,
        prune: spec.prune,
        suspended: spec.suspend,
        poked,
        limits: Limits {
            max_open: proposals.max_open,
            max_concurrent: settings.max_concurrent,
            dry_run: settings.dry_run,
        },
        preserve: settings.preserve,
        others: BTreeSet::new(),
    }
}

fn pause(
    result: &Result<Turned, TurnFailure>,
    interval: Duration,
    settings: &Settings,
    known: Option<&mut Known>,
) -> Duration {
    let retry = match result {
        Ok(turned) => turned
            .failures
            .iter()
            .any(|failure| failure.class == Class::Retry),
        Err(failure) => failure.class == Class::Retry,
    };
    let failures = match known {
        Some(known) => {
            known.failures = if retry {
                known.failures.saturating_add(1)
            } else {
                0
            };
            known.failures
        }
        None => 1,
    };
    let mut pause = interval;
    if retry {
        pause = pause.min(RETRY_FIRST.saturating_mul(1 << failures.min(8)).min(RETRY_LAST));
    }
    if result.as_ref().is_ok_and(|turned| turned.unfinished > 0) {
        pause = pause.min(settings.poll);
    }
    pause
}

/// Writes the result of a turn into the source's status, in one place.
fn fill(
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
            if let Some(inventory) = &turned.inventory {
                status.inventory = Some(inventory.clone());
            }
            if let Some(proposed) = &turned.proposed {
                status.proposals.clone_from(&proposed.records);
            }
            let stalled = turned
                .failures
                .iter()
                .find(|failure| failure.class == Class::Stalled);
            stalled.or(turned.failures.first()).cloned().or_else(|| {
                let error = &turned.proposed.as_ref()?.errors.first()?.1;
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
            let message = format!(
                "applied {}",
                status.last_applied_revision.clone().unwrap_or_default()
            );
            conditions::set(
                list,
                "Ready",
                true,
                "ReconciliationSucceeded",
                &message,
                generation,
                now,
            );
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
async fn report(world: &World, source: &PolicySource, result: &Result<Turned, TurnFailure>) {
    let mut events: Vec<(bool, String, String)> = Vec::new();
    match result {
        Err(failure) => events.push((true, failure.reason.clone(), failure.message.clone())),
        Ok(turned) => {
            for failure in &turned.failures {
                events.push((true, failure.reason.clone(), failure.message.clone()));
            }
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
            for (branch, action) in turned.proposed.iter().flat_map(|proposed| &proposed.done) {
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
            status
                .conditions
                .iter()
                .any(|one| one.type_ == "Ready" && one.reason == reason && one.message == message)
        })
    };
    for (warning, reason, message) in events {
        if warning {
            tracing::warn!(reason, message);
        } else {
            tracing::info!(reason, message);
        }
        // The same failure turn after turn is one piece of news.
        if !(warning && unchanged(&reason, &message))
            && let Err(error) = world.cluster.publish(source, warning, &reason, &message).await
        {
            tracing::debug!(%error, "event not published");
        }
    }
}

/// Mayastor as the hands of the journal.
pub struct EngineAdapter<'a>(pub &'a Mayastor);

impl StorageEngine for EngineAdapter<'_> {
    async fn reading(&self, volume_uuid: &str) -> Result<Reading, EngineError> {
        let (volume, pools, nodes) =
            tokio::try_join!(self.0.volume(volume_uuid), self.0.pools(), self.0.nodes())
                .map_err(engine_error)?;
        Ok(Reading { volume, pools, nodes })
    }

    async fn act(&self, volume_uuid: &str, act: &Act) -> Result<(), EngineError> {
        match act {
            Act::SetReplicas(count) => self
                .0
                .set_replica_count(volume_uuid, *count)
                .await
                .map_err(engine_error),
            Act::CordonPool(pool) => match self.0.cordon_pool(pool).await {
                Err(MayastorError::Refused { kind, message }) if kind == "AlreadyExists" => {
                    Err(EngineError::AlreadyCordoned(message))
                }
                other => other.map_err(engine_error),
            },
            Act::CordonNode(node, label) => match self.0.cordon_node(node, label).await {
                // The label is ours alone, so the cordon is the one that we wanted.
                Err(MayastorError::Refused { kind, .. }) if kind == "AlreadyExists" => Ok(()),
                other => other.map_err(engine_error),
            },
            Act::Release(window, label) => {
                for pool in &window.pools {
                    gone_is_fine(self.0.uncordon_pool(pool).await)?;
                }
                if let Some(node) = &window.node {
                    gone_is_fine(self.0.uncordon_node(node, label).await)?;
                }
                Ok(())
            }
        }
    }
}

/// Whether a cordon is really gone is seen in the next reading.
fn gone_is_fine(result: Result<(), MayastorError>) -> Result<(), EngineError> {
    match result {
        Ok(()) | Err(MayastorError::NotFound | MayastorError::Refused { .. }) => Ok(()),
        Err(error) => Err(engine_error(error)),
    }
}

fn engine_error(error: MayastorError) -> EngineError {
    match error {
        MayastorError::Refused { kind, message } => EngineError::Refused(format!("{kind}: {message}")),
        MayastorError::NotFound => EngineError::Refused("not found".to_owned()),
        MayastorError::Indeterminate { detail } => EngineError::Indeterminate(detail),
        other => EngineError::Unreachable(other.to_string()),
    }
}

/// The cluster as the place of journals.
pub struct StoreAdapter<'a>(pub &'a Cluster);

impl JournalStore for StoreAdapter<'_> {
    async fn write(&self, migration: &mut VolumeMigration) -> Result<(), StoreError> {
        match self.0.replace_status(migration).await {
            Ok(written) => {
                *migration = written;
                Ok(())
            }
            Err(ClusterError::Conflict { .. }) => Err(StoreError::Conflict),
            Err(error) => Err(StoreError::Failed(error.to_string())),
        }
    }
}
