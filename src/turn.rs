//! The line: every stage in order, for one PolicySource, once. Read this page first.

use crate::apply::{Applied, ApplyMemory};
use crate::decide::{self, InFlight, Limits, shortages};
use crate::decrypt::ClearCache;
use crate::fetch::Verification;
use crate::formats::follow::Follow;
use crate::formats::sops::Identities;
use crate::formats::substitute::Variables;
use crate::ha::Leadership;
use crate::io::cluster::Cluster;
use crate::io::forge::Forge;
use crate::io::git::Repository;
use crate::io::mayastor::Mayastor;
use crate::io::prometheus::Prometheus;
use crate::model::delivery::Target;
use crate::model::desired::Desired;
use crate::model::diagnostic::Diagnostic;
use crate::model::failure::{Class, Failure};
use crate::model::ids::{CommitId, Revision, SourceRef};
use crate::model::kinds::merges::{ApprovalRule, MergeStatus};
use crate::model::kinds::policy_source::{Inventory, MovesStatus, PolicySourceStatus, ShortageStatus};
use crate::model::kinds::review::{Plans, ReviewStatus};
use crate::model::migration_brief::MigrationBrief;
use crate::model::moves::{Rules, Stop};
use crate::parse::ParseCache;
use crate::propose::Proposed;
use crate::telemetry::Metrics;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Fetch, verify, decrypt and parse.
mod reading;

/// Ask the forge, render and propose.
mod proposing;

/// Who merged and approved.
mod approvals;

/// The world is looked at.
pub(crate) mod observing;

/// What is rendered goes to where it belongs.
mod applying;

/// Manifests are delivered by pull request.
mod delivering;

/// Approved moves become migrations.
mod starting;

/// What people say of them.
pub(crate) mod holding;

/// They go on.
mod advancing;

/// They are deleted.
pub mod leaving;

/// Restore drills.
mod drilling;

/// Moves of workloads.
mod moving;

/// Promotions of rollouts.
mod promoting;

/// Old volumes.
mod letting_go;

/// What became of migrations is recorded.
mod recording;

/// What became of merged moves is told.
mod results;

/// Moves that failed or did harm are taken back.
mod returning;

/// Statuses and metrics.
mod publishing;

/// Say what pull requests would change.
mod review;

/// Make one plan.
mod planning;

use advancing::{advance, migrations_of};
pub use planning::Remembered;
use planning::Scene;
pub use proposing::Asked;
use proposing::{poll, propose_all};
use publishing::{APPLY_FAILED, publish};
use reading::read;
use recording::{brief, ended, record_outcomes};

/// How often everything is compared with the cluster although nothing changed, so that what others changed is set right.
const COMPARE_SECS: i64 = 600;

/// How long a turn may wait for its forge, in all: 150 questions at a third of a second, which is more than a turn asks. A forge that
/// hangs keeps other sources waiting for no longer than that.
const FORGE_BUDGET: Duration = Duration::from_secs(45);

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
    /// In which leadership it is changed; the clients ask it before each change.
    pub leadership: Leadership,
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
    /// Where manifests are delivered by pull request; without it they are applied.
    pub delivery: Option<Target>,
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
    /// What it says of its moves.
    pub moves: Rules,
    /// Inventory ids of what other sources hold: their objects are theirs.
    pub others: BTreeSet<String>,
    /// Whether another source of this cluster, which was here before, speaks of the same branch.
    pub second: bool,
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
    /// Whether the last apply was complete, or all could be prepared for delivery.
    pub applied: bool,
    /// What is to be delivered by pull request.
    pub delivery: Option<delivering::Prepared>,
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
    /// What is known of backups.
    pub backups: observing::BackupMemory,
    /// Whether a drill was under way; unknown at the start.
    pub drilling: Option<bool>,
    /// Whether a move of workloads was under way; unknown at the start.
    pub moving: Option<bool>,
    /// What was told of promotions, by the number of the pull request.
    pub promotions_told: BTreeMap<u64, String>,
    /// Why the followed commit freezes all moves, if it does; none when no commit was read since the start.
    pub frozen: Option<Option<String>>,
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
    /// What became of a delivery by pull request.
    pub delivered: Option<delivering::Delivered>,
    /// What became of proposals.
    pub proposed: Option<Proposed>,
    /// What the forge says of merges.
    pub merges: Option<Vec<MergeStatus>>,
    /// Approved moves that wait for room.
    pub shortages: Option<Vec<ShortageStatus>>,
    /// What of the load and of the volumes could not be read, each in one word and in words.
    pub unmeasured: Option<Vec<(&'static str, String)>>,
    /// What is remembered of pull requests, when they were looked at.
    pub reviews: Option<Vec<ReviewStatus>>,
    /// What is remembered of moves, and why none of them starts.
    pub moves: (MovesStatus, Option<Stop>),
    /// Migrations that have not ended.
    pub unfinished: usize,
    /// Drills that have not ended.
    pub drilling: usize,
    /// Moves of workloads that have not ended.
    pub moving: usize,
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
    let _allowance = source.forge.map(|forge| forge.allow(FORGE_BUDGET));
    let (mut migrations, mut foreign) = migrations_of(world, source).await?;

    // fetch, decrypt, parse: nothing of it happens for an unchanged tip (git, keys)
    let finished = ended(&migrations);
    let read = read(source, memory, &migrations, finished, &mut turned).await;

    // resume: what is under way goes on before anything new is decided (engine)
    let others_cordon = advancing::claim(world, &mut foreign).await;
    let mut moves = holding::begin(source, before.moves.as_ref(), memory.frozen.as_ref(), now);
    let stop = holding::stop(source, &moves, &migrations);
    let stands = (others_cordon, stop.as_ref());
    let cordons;
    (migrations, cordons) = advance(world, source, memory, migrations, stands, &mut turned).await;
    // What has failed just now may be one too many.
    let stop = holding::stop(source, &moves, &migrations);
    turned.moves = (moves.clone(), stop.clone());
    record_outcomes(world, source, &mut migrations, &mut turned).await;
    publishing::moves(world, source, &migrations, stop.as_ref());
    turned.unfinished = migrations.len() - ended(&migrations);
    // drills under way go on too, by what Git said last (cluster, git)
    let drills = match &memory.desired {
        Some((desired, _)) => drilling::go_on(world, source, desired, memory.drilling, &mut turned).await,
        None => Vec::new(),
    };
    if memory.desired.is_some() {
        memory.drilling = Some(turned.drilling > 0);
    }
    // and so do moves of workloads (cluster, git)
    let workload_moves = moving::go_on(world, source, memory, &mut turned).await;
    let tips = match read {
        Ok(tips) => tips,
        // Without Git nothing new is decided, but what is under way has gone on.
        Err(failure) => {
            turned.failures.insert(0, failure);
            return Ok(turned);
        }
    };
    // Nor without them: whoever does not know which namespaces are being moved starts nothing there, and lets nothing go.
    let Some(mut workload_moves) = workload_moves else {
        return Ok(turned);
    };
    let Some((desired, _)) = memory.desired.as_ref().filter(|_| !source.suspended) else {
        return Ok(turned);
    };

    // observe (cluster, engine, Prometheus)
    let briefs: Vec<MigrationBrief> = migrations.iter().chain(&foreign).map(brief).collect();
    let mut questions = decide::questions(desired, now);
    questions.extend(decide::rollback::questions(desired, &briefs, now));
    let rules = decide::coverage::rules(desired);
    let seen = observing::observe_all(world, desired, &questions, &rules, now).await?;
    let observation = seen.observation;
    // A move that could start is held against backups as they are now, not as they were a minute ago.
    let at_once = source.poked || !rules.is_empty() && decide::could_start(desired, &observation, &briefs);
    let (cluster, claims, remembered) = (&world.cluster, &seen.claims, &mut memory.backups);
    let backups = observing::backups(cluster, desired, &rules, claims, at_once, remembered, now).await;
    // decide (pure)
    let control = holding::control(source, &mut moves, stop.clone(), &observation, now);
    turned.moves = (moves, stop.clone());
    let in_flight = InFlight {
        migrations: briefs,
        proposals: before.proposals.clone(),
        unapproved: approvals::unapproved(source, &before.merges),
        shortages: shortages::known(&before.shortages),
        control,
        backups,
        workload_moves: moving::busy(&workload_moves),
    };
    let decision = decide::decide(desired, &observation, &in_flight, source.limits, now);
    let short = (&in_flight.migrations, &in_flight.shortages);
    turned.shortages = Some(shortages::shortages(desired, &decision, short.0, short.1, now));
    turned.unmeasured = Some(publishing::unmeasured(desired, &observation));
    let by = (desired, &observation, &in_flight);
    let mut promoted = promoting::decide(world, source, by, &workload_moves, now, &mut turned).await;
    // render (pure) and apply (cluster), or prepare for delivery (git): when the tip or the spec changed, when asked, and every ten minutes
    let current = memory.tried.as_ref() == Some(&desired.revision);
    if current {
        let kept = applying::Kept {
            tree: memory.tree.as_ref(),
            objects: &mut memory.objects,
            delivery: &mut memory.delivery,
            applied: &mut memory.applied,
            compared: &mut memory.compared,
            renders: &mut memory.renders,
        };
        let seen = (desired, &observation);
        applying::bring(world, source, seen, (before, &tips), kept, now, &mut turned).await;
    }
    let settled = current && memory.applied;
    let delivery = memory.delivery.as_ref();
    turned.applied = settled && delivery.is_none_or(delivering::Prepared::is_delivered);

    // propose (git): only on a tip that is read and applied
    let polled = poll(source, &mut memory.pulls, before, &tips, now, &mut turned).await;
    if settled {
        let polled = polled.clone().unwrap_or_default();
        let where_to = (&tips, &polled);
        turned.delivered = delivering::propose(source, desired, delivery, before, where_to, now).await;
        let mut returns = returning::texts(source, desired, &observation, &in_flight, &migrations, now);
        returns.extend(promoted.texts(source));
        let held = review::held(source, before);
        let (seen, polled) = ((&decision, &observation), (&tips, &polled, held));
        turned.proposed = Some(
            propose_all(
                source,
                desired,
                seen,
                (returns, &promoted),
                &in_flight,
                polled,
                now,
            )
            .await,
        );
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
    let mut relevant = results::relevant(&decision, unapproved, &migrations, now);
    relevant.extend(promoting::relevant(desired, &promoted, &workload_moves));
    approvals::ask(source, &relevant, &mut merges, now, &mut turned).await;
    let approvals = starting::Approvals {
        merges: &merges,
        current,
    };
    let decided = (desired, &observation, &decision);
    let started = starting::start_all(world, source, decided, &approvals, &mut turned).await;
    holding::handled(world, &mut migrations, &started).await;
    let stands = (others_cordon || cordons, stop.as_ref());
    let (started, _) = advance(world, source, memory, started, stands, &mut turned).await;
    migrations.extend(started);
    record_outcomes(world, source, &mut migrations, &mut turned).await;
    // moves of workloads (cluster, git): old volumes that nobody needs are let go, and the next one starts
    let moves = &mut workload_moves;
    promoting::carry_out(world, source, by, &approvals, moves, &mut promoted, &mut turned).await;
    memory.moving = Some(turned.moving > 0);
    // drills (cluster, git): those that are due start
    drilling::begin(world, source, desired, drills, &mut turned).await;
    memory.drilling = Some(turned.drilling > 0);
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
    let told = (&workload_moves[..], &merges[..], &mut memory.promotions_told);
    promoting::tell(source, desired, &promoted, told, &mut turned).await;
    turned.merges = Some(merges);
    publish(
        world,
        source,
        desired,
        &observation,
        &decision,
        &migrations,
        (
            &in_flight.backups,
            &promoted.reports,
            moving::needing_person(source, &workload_moves),
        ),
        &mut turned,
        now,
    )
    .await;
    Ok(turned)
}
