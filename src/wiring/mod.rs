//! Puts clients, stages and loops together: one loop per process that takes a turn for each source when it is due.

use crate::fetch::Verification;
use crate::formats::duration;
use crate::formats::follow::Follow;
use crate::formats::sops::Identities;
use crate::formats::substitute::Variables;
use crate::io::forge::Forge;
use crate::io::git::Repository;
use crate::io::webhook::{Poke, Webhooks};
use crate::model::failure::Class;
use crate::model::ids::SourceRef;
use crate::model::kinds::policy_source::PolicySource;
use crate::model::kinds::{PAUSED, REQUESTED_AT, RESUME_MOVES};
use crate::model::secret::SecretText;
use crate::turn::{Memory, Source, TurnFailure, Turned, World, leaving, turn};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tracing::Instrument;

/// The clients as the execute stage wants them.
mod adapters;

/// Longhorn as the execute stage wants it.
mod longhorn;

/// Clients of one source.
mod prepare;

/// Whether the process can do its work.
mod health;

/// Leading and waiting to lead.
mod leadership;

/// What a turn's result looks like from outside.
mod status;

/// Cordons that nobody speaks for.
mod sweeping;

pub use adapters::{EngineAdapter, StoreAdapter};
pub use health::Health;
pub use leadership::{Clients, ClusterLease, run_alone, stand};
pub use longhorn::{Hands, LonghornAdapter};
use prepare::{prepare, understood};
pub(crate) use status::MOVING;
use status::{fill, proposed, report};

/// Pauses after failures grow from the first to the second.
const RETRY_FIRST: Duration = Duration::from_secs(2);
const RETRY_LAST: Duration = Duration::from_secs(300);

/// How far apart looks are that webhooks ask for.
const HINT_SPACING: Duration = Duration::from_secs(10);

/// What the operator set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where clones are kept.
    pub directory: PathBuf,
    /// Whether `file://` is read.
    pub allow_file_urls: bool,
    /// Migrations at one time, in the whole cluster.
    pub max_concurrent: u32,
    /// Whether nothing is proposed or started, and running moves stand still.
    pub dry_run: bool,
    /// Whether old copies are kept.
    pub preserve: bool,
    /// How often unfinished migrations are looked at.
    pub poll: Duration,
}

/// Webhooks of forges: who is believed, and what they sent.
pub struct Hook {
    /// The listener, which is told the secrets.
    pub webhooks: Webhooks,
    /// Believed deliveries.
    pub pokes: mpsc::Receiver<Poke>,
}

/// The next believed delivery; never, without webhooks.
async fn poked(hook: &mut Option<Hook>) -> Poke {
    match hook {
        Some(hook) => match hook.pokes.recv().await {
            Some(poke) => poke,
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

struct Known {
    fingerprint: String,
    repository: Repository,
    forge: Option<Forge>,
    identities: Identities,
    variables: Variables,
    follow: Follow,
    verification: Option<Verification>,
    webhook: Option<SecretText>,
    /// Whether a webhook asked for a look.
    hinted: bool,
    /// When it was last looked because a webhook asked.
    hinted_at: Option<Instant>,
    memory: Memory,
    next: Instant,
    failures: u32,
    /// The generation and the annotations by which people say something.
    seen: Option<(Option<i64>, Vec<String>)>,
}

/// Takes turns until `stop` resolves. A turn that has begun is finished first.
pub async fn run(
    world: &World,
    settings: &Settings,
    health: &Arc<Health>,
    hook: &mut Option<Hook>,
    mut stop: Pin<&mut impl Future<Output = ()>>,
) {
    let mut news = world.cluster.news();
    let mut known: BTreeMap<SourceRef, Known> = BTreeMap::new();
    // What a source left that was deleted while nobody led.
    let mut orphans = true;
    let mut sweeper = sweeping::Sweeper::default();
    loop {
        let sources: Vec<PolicySource> = match world.cluster.list().await {
            Ok(sources) => {
                health.tell(health::superseded(&sources, world.leadership.epoch()));
                let names: BTreeSet<SourceRef> = sources.iter().map(named).collect();
                world.metrics.keep(&names);
                orphans |= known.keys().any(|one| !names.contains(one));
                known.retain(|one, _| names.contains(one));
                if orphans {
                    orphans = any_orphans(world, &names).await;
                }
                sources
            }
            Err(error) => {
                health.tell(Some(format!("PolicySources cannot be listed: {error}")));
                tracing::warn!(%error, "cannot list PolicySources");
                Vec::new()
            }
        };
        let mut wait = settings.poll.max(RETRY_FIRST);
        let (inventories, second) = (inventories(&sources), second(&sources));
        let first = sources.first().cloned();
        for (index, source) in sources.into_iter().enumerate() {
            let others = inventories
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != index);
            let others = Others {
                inventory: others.flat_map(|(_, ids)| ids.iter().cloned()).collect(),
                second: second[index],
            };
            // On at every level, so that also errors name their source.
            let name = source.metadata.name.as_deref().unwrap_or_default();
            let namespace = source.metadata.namespace.as_deref().unwrap_or_default();
            let span = tracing::error_span!("turn", source = format!("{namespace}/{name}"));
            let turn = take_turn_if_due(world, settings, &mut known, source, others);
            let due = turn.instrument(span).await;
            wait = wait.min(due.saturating_duration_since(Instant::now()));
        }
        sweeper.look(world, first.as_ref()).await;
        if let Some(hook) = hook.as_ref() {
            let secrets = known
                .iter()
                .filter_map(|(name, one)| Some((name.to_string(), one.webhook.clone()?)));
            hook.webhooks.set_secrets(secrets.collect());
        }
        tokio::select! {
            () = stop.as_mut() => return,
            _ = news.recv() => {}
            poke = poked(hook) => {
                tracing::debug!(source = poke.name, event = poke.event, "a webhook asks for a look");
                hint(&mut known, &poke);
                // Whatever else has come by now is answered by the same turns.
                while let Some(poke) = hook.as_mut().and_then(|hook| hook.pokes.try_recv().ok()) {
                    hint(&mut known, &poke);
                }
            }
            () = tokio::time::sleep(wait.max(Duration::from_millis(50))) => {}
        }
    }
}

/// Takes back what deleted sources have left, and says whether there is more to be done.
async fn any_orphans(world: &World, sources: &BTreeSet<SourceRef>) -> bool {
    match leaving::orphans(world, sources).await {
        Ok(left) => left > 0,
        Err(error) => {
            tracing::warn!(%error, "cannot look for migrations of deleted sources");
            true
        }
    }
}

/// Has the source look soon: at once, or some seconds after the last look that a webhook asked for. Our own comments make deliveries too,
/// and on a public repository anybody's do.
fn hint(known: &mut BTreeMap<SourceRef, Known>, poke: &Poke) {
    let meant = known.iter_mut().filter(|(name, _)| name.to_string() == poke.name);
    for (_, one) in meant {
        one.hinted = true;
        let earliest = one.hinted_at.map(|at| at + HINT_SPACING);
        let soon = earliest.map_or_else(Instant::now, |earliest| earliest.max(Instant::now()));
        one.next = one.next.min(soon);
    }
}

/// What each source holds, by its inventory: what it has applied, and what it delivers for somebody else to apply.
fn inventories(sources: &[PolicySource]) -> Vec<BTreeSet<String>> {
    let ids = |source: &PolicySource| {
        let status = source.status.as_ref();
        let applied = status.and_then(|status| status.inventory.as_ref());
        let delivered = status.and_then(|status| Some(&status.delivery.as_ref()?.inventory));
        let all = applied.into_iter().chain(delivered);
        all.flat_map(|inventory| &inventory.entries)
            .map(|entry| entry.id.clone())
            .collect()
    };
    sources.iter().map(ids).collect()
}

/// For each source whether an older one speaks of the same branch of the same repository.
fn second(sources: &[PolicySource]) -> Vec<bool> {
    let branch = |source: &PolicySource| {
        let url = source.spec.url.trim_end_matches('/');
        let url = url.strip_suffix(".git").unwrap_or(url);
        (url.to_owned(), source.spec.branch.clone())
    };
    let age = |source: &PolicySource| {
        let metadata = &source.metadata;
        let created = metadata.creation_timestamp.as_ref().map(|at| at.0);
        (created, metadata.namespace.clone(), metadata.name.clone())
    };
    let older = |one: &PolicySource| {
        let mut others = sources.iter();
        others.any(|other| branch(other) == branch(one) && age(other) < age(one))
    };
    sources.iter().map(older).collect()
}

/// What a source has to know of others.
struct Others {
    /// Inventory ids of what they hold.
    inventory: BTreeSet<String>,
    /// Whether an older one speaks of the same branch.
    second: bool,
}

fn named(source: &PolicySource) -> SourceRef {
    SourceRef {
        namespace: source.metadata.namespace.clone().unwrap_or_default(),
        name: source.metadata.name.clone().unwrap_or_default(),
    }
}

/// What people say of a source by annotations: whatever is new has it looked at now.
fn words(source: &PolicySource) -> Vec<String> {
    let all = source.metadata.annotations.as_ref();
    let of = |key: &str| all.and_then(|all| all.get(key)).cloned().unwrap_or_default();
    [REQUESTED_AT, PAUSED, RESUME_MOVES].map(of).to_vec()
}

async fn take_turn_if_due(
    world: &World,
    settings: &Settings,
    known: &mut BTreeMap<SourceRef, Known>,
    source: PolicySource,
    others: Others,
) -> Instant {
    let name = named(&source);
    let request = source
        .metadata
        .annotations
        .as_ref()
        .and_then(|all| all.get(REQUESTED_AT))
        .cloned();
    let seen = Some((source.metadata.generation, words(&source)));
    if let Some(one) = known.get(&name)
        && one.seen == seen
        && Instant::now() < one.next
    {
        return one.next;
    }
    let began = Instant::now();
    let source = match sign(world, source).await {
        Ok(source) => source,
        Err(failure) => {
            tracing::warn!(source = %name, failure.message, "nothing is done");
            return began + RETRY_LAST.min(settings.poll.max(RETRY_FIRST));
        }
    };
    let mut status = source.status.clone().unwrap_or_default();
    let poked = request.is_some() && request != status.last_handled_reconcile_at;
    let result = match prepare(world, settings, known, &name, &source).await {
        Ok(()) => {
            let Some(one) = known.get_mut(&name) else {
                return began;
            };
            one.seen = seen;
            let hinted = std::mem::take(&mut one.hinted);
            if hinted {
                one.hinted_at = Some(began);
            }
            let mut memory = std::mem::take(&mut one.memory);
            let result = turn(
                world,
                &Source {
                    others: others.inventory,
                    second: others.second,
                    hinted,
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

/// Has the source say in which leadership it is worked on, before anything is done. An earlier leader's next write of the status then
/// conflicts, and when it reads it again it finds that its time is over.
async fn sign(world: &World, source: PolicySource) -> Result<PolicySource, TurnFailure> {
    let ours = world.leadership.epoch();
    let stands = source.status.as_ref().and_then(|status| status.epoch);
    match stands {
        Some(epoch) if epoch == ours => Ok(source),
        Some(epoch) if epoch > ours => Err(TurnFailure {
            class: Class::Retry,
            reason: "NotLeading".to_owned(),
            message: format!("a controller of epoch {epoch} works on it, and this one is of epoch {ours}"),
        }),
        _ => {
            let mut signed = source;
            signed.status.get_or_insert_default().epoch = Some(ours);
            let written = world.cluster.replace_status(&signed).await;
            written.map_err(|error| TurnFailure::from(&error))
        }
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
    let goes_on = |turned: &Turned| {
        let again = proposed(turned).any(|proposed| proposed.again);
        turned.unfinished > 0 || turned.drilling > 0 || turned.moving > 0 || again
    };
    if result.as_ref().is_ok_and(goes_on) {
        pause = pause.min(settings.poll);
    }
    pause
}

#[cfg(test)]
mod tests {
    use super::second;
    use crate::model::kinds::PolicySource;
    use serde_json::json;

    fn source(name: &str, url: &str, branch: &str, created: &str) -> PolicySource {
        let metadata = json!({"name": name, "namespace": "ns", "creationTimestamp": created});
        let object = json!({"apiVersion": "storage.billyronks.io/v1", "kind": "PolicySource", "metadata": metadata,
            "spec": {"url": url, "branch": branch, "path": "p"}});
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn of_several_sources_on_a_branch_the_oldest_keeps_the_plain_names() {
        let (new, old) = ("2026-11-02T00:00:00Z", "2026-11-01T00:00:00Z");
        let sources = [
            source("a", "https://git.example.org/ops.git", "main", new),
            source("b", "https://git.example.org/ops", "main", old),
            source("c", "https://git.example.org/ops.git", "test", new),
            source("d", "https://git.example.org/other.git", "main", new),
            source("e", "https://git.example.org/ops.git/", "main", new),
        ];
        assert_eq!(second(&sources), [true, false, false, false, true]);
    }
}
