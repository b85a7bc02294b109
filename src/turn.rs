//! The line: every stage in order, for one PolicySource, once. Read this page first.

use crate::apply::{self, Applied, ApplyMemory};
use crate::decide::{self, InFlight, Limits};
use crate::decrypt::ClearCache;
use crate::execute::engine::{self, Orders};
use crate::fetch::Verification;
use crate::formats::follow::Follow;
use crate::formats::sops::Identities;
use crate::formats::substitute::Variables;
use crate::io::cluster::{Cluster, ClusterError};
use crate::io::forge::Forge;
use crate::io::git::Repository;
use crate::io::mayastor::Mayastor;
use crate::io::prometheus::Prometheus;
use crate::model::desired::Desired;
use crate::model::diagnostic::Diagnostic;
use crate::model::failure::{Class, Failure};
use crate::model::ids::{CommitId, Revision, SourceRef};
use crate::model::kinds::merges::{ApprovalRule, MergeStatus};
use crate::model::kinds::policy_source::{Inventory, PolicySourceStatus};
use crate::model::kinds::review::{Plans, ReviewStatus};
use crate::model::kinds::volume_migration::VolumeMigration;
use crate::model::migration_brief::MigrationBrief;
use crate::model::observation::Observation;
use crate::observe::{self, volumes};
use crate::parse::ParseCache;
use crate::propose::Proposed;
use crate::record;
use crate::render;
use crate::telemetry::Metrics;
use crate::wiring::{EngineAdapter, StoreAdapter};
use jiff::Timestamp;
use std::collections::BTreeSet;

/// Fetch, verify, decrypt and parse.
mod reading;

/// Ask the forge, render and propose.
mod proposing;

/// Who merged and approved.
mod approvals;

/// Approved moves become migrations.
mod starting;

/// What became of them.
mod results;

/// Moves that failed or did harm are taken back.
mod returning;

/// Statuses and metrics.
mod publishing;

/// Say what pull requests would change.
mod review;

/// Make one plan.
mod planning;

pub use planning::Remembered;
use planning::Scene;
pub use proposing::Asked;
use proposing::{poll, propose_all};
use publishing::{APPLY_FAILED, apply_failure, publish};
use reading::read;

/// How often everything is compared with the cluster although nothing changed, so that what others changed is set right.
const COMPARE_SECS: i64 = 600;

/// The outside world, by its clients.
pub struct World {
    /// The Kubernetes API.
    pub cluster: Cluster,
    /// The storage engine.
    pub mayastor: Mayastor,
    /// Heat.
    pub prometheus: Option<Prometheus>,
    /// Metrics of this process.
    pub metrics: Metrics,
    /// The wall clock.
    pub clock: fn() -> Timestamp,
}

/// One source as it is worked on: its spec understood, its clients made.
pub struct Source<'a> {
    /// Which one.
    pub name: SourceRef,
    /// Its repository.
    pub repository: &'a Repository,
    /// The branch.
    pub branch: String,
    /// The forge, when proposals are pull requests.
    pub forge: Option<&'a Forge>,
    /// Approvals that are demanded beside the merge.
    pub approvals: Option<ApprovalRule>,
    /// Labels of pull requests.
    pub labels: Vec<String>,
    /// The file in the repository that is the template of proposals.
    pub template: Option<String>,
    /// Whether plans are made on pull requests, and whose commands are obeyed.
    pub plans: Plans,
    /// What is followed.
    pub follow: &'a Follow,
    /// Which signatures are demanded.
    pub verification: Option<&'a Verification>,
    /// The folder that is built.
    pub root: String,
    /// The folder of the assignments.
    pub assignments: String,
    /// What proposal branches start with.
    pub prefix: String,
    /// The audit branch.
    pub audit: String,
    /// Keys for SOPS.
    pub identities: &'a Identities,
    /// What is substituted in the built objects.
    pub variables: &'a Variables,
    /// Whether to prune.
    pub prune: bool,
    /// Whether only migrations under way go on.
    pub suspended: bool,
    /// Whether somebody asked for everything to be compared now.
    pub poked: bool,
    /// Whether a webhook said that something has changed on the forge.
    pub hinted: bool,
    /// Bounds and switches.
    pub limits: Limits,
    /// Whether old copies are kept.
    pub preserve: bool,
    /// Inventory ids of what other sources hold: their objects are theirs.
    pub others: BTreeSet<String>,
}

/// What a turn remembers for the next. All of it is a cache: a restart loses it and is only slower for it.
#[derive(Default)]
pub struct Memory {
    /// The last good revision, understood, with the migrations that its reading knew as finished.
    pub desired: Option<(Desired, usize)>,
    /// The last revision that was tried.
    pub tried: Option<Revision>,
    /// What came of checking its signatures, when they are demanded: in words, or why they do not hold.
    pub verification: Option<Result<String, String>>,
    /// What is wrong with it.
    pub diagnostics: Vec<Diagnostic>,
    /// Whether the last apply was complete.
    pub applied: bool,
    /// When everything was last compared with the cluster.
    pub compared: Option<Timestamp>,
    /// Clear files.
    pub clear: ClearCache,
    /// Objects of files.
    pub parsed: ParseCache,
    /// Hashes of applied objects.
    pub objects: ApplyMemory,
    /// The newest clear tree, from which approvals are read again when a migration finishes.
    pub tree: Option<crate::model::tree::ClearTree>,
    /// How often objects were rendered.
    pub renders: u64,
    /// Where pull requests stood, and when that was asked.
    pub pulls: Option<Asked>,
    /// What plans on pull requests have read.
    pub plans: Remembered,
}

/// What one turn came to.
#[derive(Default)]
pub struct Turned {
    /// The revision that was looked at.
    pub attempted: Option<Revision>,
    /// What came of checking its signatures; see [`Memory::verification`].
    pub verification: Option<Result<String, String>>,
    /// Whether it is applied in full.
    pub applied: bool,
    /// The new inventory, when something was applied.
    pub inventory: Option<Inventory>,
    /// What was applied.
    pub actions: Option<Applied>,
    /// What became of proposals.
    pub proposed: Option<Proposed>,
    /// What the forge says of merges.
    pub merges: Option<Vec<MergeStatus>>,
    /// What is remembered of pull requests, when they were looked at.
    pub reviews: Option<Vec<ReviewStatus>>,
    /// Migrations that have not ended.
    pub unfinished: usize,
    /// Migrations that ended in this turn.
    pub outcomes: Vec<crate::model::outcome::Outcome>,
    /// What went wrong, the worst first.
    pub failures: Vec<TurnFailure>,
}

/// Something that went wrong in a turn.
#[derive(Clone, Debug)]
pub struct TurnFailure {
    /// When to try again.
    pub class: Class,
    /// In one word.
    pub reason: String,
    /// In words.
    pub message: String,
}

impl<E: Failure> From<&E> for TurnFailure {
    fn from(error: &E) -> Self {
        Self {
            class: error.class(),
            reason: error.reason().to_owned(),
            message: error.to_string(),
        }
    }
}

/// One turn: fetch → decrypt → parse → (resume) → observe → decide → render → apply → propose → execute → record.
///
/// # Errors
/// What stops the turn at once: the source or the cluster cannot be read. Everything else is in [`Turned::failures`].
pub async fn turn(
    world: &World,
    source: &Source<'_>,
    before: &PolicySourceStatus,
    memory: &mut Memory,
) -> Result<Turned, TurnFailure> {
    let mut turned = Turned::default();
    let now = (world.clock)();
    let (mut migrations, foreign) = migrations_of(world, source).await?;

    // fetch, decrypt, parse: nothing of it happens for an unchanged tip (git, keys)
    let finished = migrations
        .iter()
        .filter(|migration| brief(migration).phase.is_final())
        .count();
    let read = read(source, memory, &migrations, finished, &mut turned).await;

    // resume: what is under way goes on before anything new is decided (engine)
    let others_cordon = foreign.iter().any(engine::holds_cordons);
    migrations = advance(world, memory, migrations, others_cordon, &mut turned).await;
    record_outcomes(world, source, &mut migrations, &mut turned).await;
    turned.unfinished = migrations
        .iter()
        .filter(|migration| !brief(migration).phase.is_final())
        .count();
    let tips = match read {
        Ok(tips) => tips,
        // Without Git nothing new is decided, but what is under way has gone on.
        Err(failure) => {
            turned.failures.insert(0, failure);
            return Ok(turned);
        }
    };
    let Some((desired, _)) = memory.desired.as_ref().filter(|_| !source.suspended) else {
        return Ok(turned);
    };

    // observe (cluster, engine, Prometheus)
    let briefs: Vec<MigrationBrief> = migrations.iter().chain(&foreign).map(brief).collect();
    let mut questions = decide::questions(desired, now);
    questions.extend(decide::rollback::questions(desired, &briefs, now));
    let observation = observe_all(world, &questions, now).await?;
    // decide (pure)
    let in_flight = InFlight {
        migrations: briefs,
        proposals: before.proposals.clone(),
        unapproved: approvals::unapproved(source, &before.merges),
    };
    let decision = decide::decide(desired, &observation, &in_flight, source.limits, now);
    // render (pure) and apply (cluster): when the tip or the spec changed, when asked, and every ten minutes
    let due = memory
        .compared
        .is_none_or(|at| now.as_second() - at.as_second() >= COMPARE_SECS);
    let current = memory.tried.as_ref() == Some(&desired.revision);
    if current && (!memory.applied || source.poked || due) {
        memory.renders += 1;
        let objects = render::render(desired);
        let empty = Inventory::default();
        let options = apply::Options {
            prune: source.prune,
            previous: before.inventory.as_ref().unwrap_or(&empty),
            classes_in_use: Some(&observation.classes_in_use),
            full: source.poked || due,
        };
        let applied = apply::apply(&world.cluster, &objects, options, &mut memory.objects).await;
        turned.failures.extend(applied.failures.iter().map(apply_failure));
        turned.inventory = Some(applied.inventory.clone());
        memory.applied = applied.failures.is_empty();
        memory.compared = Some(now);
        turned.actions = Some(applied);
    }
    turned.applied = current && memory.applied;

    // propose (git): only on a tip that is read and applied
    let polled = poll(source, &mut memory.pulls, before, &tips, now, &mut turned).await;
    if turned.applied {
        let polled = polled.clone().unwrap_or_default();
        let returns = returning::texts(source, desired, &observation, &in_flight, &migrations, now);
        let (seen, polled) = ((&decision, &observation), (&tips, &polled));
        turned.proposed = Some(propose_all(source, desired, seen, returns, &in_flight, polled, now).await);
    }
    // review (git, forge, cluster): what pull requests would change, and what came of those that were merged
    if let Some(open) = polled.and_then(|polled| polled.open) {
        let scene = Scene {
            desired,
            tree: memory.tree.as_ref(),
            diagnostics: &memory.diagnostics,
            decision: &decision,
            observation: &observation,
            in_flight: &in_flight,
            migrations: &migrations,
            tips: &tips,
            open: &open,
            applied: turned.applied,
            now,
        };
        review::review(world, source, &scene, &mut memory.plans, before, &mut turned).await;
    }
    // execute: who approved (forge); approved moves start (cluster, engine)
    let mut merges = before.merges.clone();
    let asked = |commit: &CommitId| {
        desired
            .approved
            .iter()
            .any(|one| one.approval().commit == *commit)
    };
    let unapproved = in_flight
        .unapproved
        .keys()
        .filter(|commit| asked(commit))
        .cloned();
    let relevant = results::relevant(&decision, unapproved, &migrations, now);
    approvals::ask(source, &relevant, &mut merges, now, &mut turned).await;
    let approvals = starting::Approvals {
        merges: &merges,
        current,
    };
    let decided = (desired, &observation, &decision);
    let started = starting::start_all(world, source, decided, approvals, &mut turned).await;
    let others_cordon = others_cordon || migrations.iter().any(engine::holds_cordons);
    let started = advance(world, memory, started, others_cordon, &mut turned).await;
    migrations.extend(started);
    record_outcomes(world, source, &mut migrations, &mut turned).await;
    // record (forge, cluster): what there is to see
    let seen = results::Seen {
        desired,
        observation: &observation,
        decision: &decision,
        migrations: &migrations,
        records: turned
            .proposed
            .as_ref()
            .map_or(before.proposals.clone(), |proposed| proposed.records.clone()),
        now,
    };
    results::tell(source, &seen, &mut merges, &mut turned).await;
    turned.merges = Some(merges);
    publish(
        world,
        source,
        desired,
        &observation,
        &decision,
        &migrations,
        &mut turned,
        now,
    )
    .await;
    Ok(turned)
}

fn brief(migration: &VolumeMigration) -> MigrationBrief {
    MigrationBrief::from(migration)
}

/// The source's own migrations, and those of others: they count for budgets and are never touched.
async fn migrations_of(
    world: &World,
    source: &Source<'_>,
) -> Result<(Vec<VolumeMigration>, Vec<VolumeMigration>), TurnFailure> {
    let all: Vec<VolumeMigration> = world
        .cluster
        .list()
        .await
        .map_err(|error| TurnFailure::from(&error))?;
    let ours = |migration: &VolumeMigration| {
        migration.spec.source.name == source.name.name
            && migration.spec.source.namespace == source.name.namespace
    };
    Ok(all.into_iter().partition(ours))
}

/// Advances what is unfinished. A migration goes on for as long as the base tree approves it; while no tree could be read
/// since the start, what was approved stays approved.
async fn advance(
    world: &World,
    memory: &Memory,
    migrations: Vec<VolumeMigration>,
    others_cordon: bool,
    turned: &mut Turned,
) -> Vec<VolumeMigration> {
    let approves = |migration: &VolumeMigration| match &memory.desired {
        None => true,
        Some((desired, _)) => desired.approved.iter().any(|approved| {
            let what = approved.what();
            what.volume.as_str() == migration.spec.volume && what.to.as_str() == migration.spec.to
        }),
    };
    let (unfinished, mut done): (Vec<_>, Vec<_>) = migrations
        .into_iter()
        .partition(|one| !brief(one).phase.is_final());
    let approved: BTreeSet<String> = unfinished
        .iter()
        .filter(|one| approves(one))
        .filter_map(|one| one.metadata.name.clone())
        .collect();
    let (hands, store) = (EngineAdapter(&world.mayastor), StoreAdapter(&world.cluster));
    let orders = Orders {
        approved,
        others_cordon,
        epoch: 0,
        ..Orders::default()
    };
    for advanced in engine::execute(&hands, &store, unfinished, &orders, world.clock).await {
        if let Some(error) = advanced.error {
            let name = advanced.migration.metadata.name.clone().unwrap_or_default();
            tracing::warn!(migration = name, error, "migration waits");
            turned.failures.push(TurnFailure {
                class: Class::Retry,
                reason: "MigrationWaits".to_owned(),
                message: format!("{name}: {error}"),
            });
        }
        done.push(advanced.migration);
    }
    done
}

async fn record_outcomes(
    world: &World,
    source: &Source<'_>,
    migrations: &mut [VolumeMigration],
    turned: &mut Turned,
) {
    for migration in migrations {
        match record::record(
            &world.cluster,
            source.repository,
            &source.audit,
            migration,
            &world.metrics,
        )
        .await
        {
            Ok(Some(outcome)) => turned.outcomes.push(outcome),
            Ok(None) => {}
            Err(error) => {
                let message = error.to_string();
                turned.failures.push(TurnFailure {
                    class: Class::Retry,
                    reason: "RecordFailed".to_owned(),
                    message,
                });
            }
        }
    }
}

async fn observe_all(
    world: &World,
    asked: &BTreeSet<String>,
    now: Timestamp,
) -> Result<Observation, TurnFailure> {
    let (volumes, claims) = world
        .cluster
        .volumes()
        .await
        .map_err(|error: ClusterError| TurnFailure::from(&error))?;
    let joined = volumes::join(volumes, claims);
    Ok(observe::observe(joined, &world.mayastor, world.prometheus.as_ref(), asked, now).await)
}
