//! The metrics of this process. The first three keep the names of the seed.

use super::backups::Backups;
use super::counts::{SourceCounts, by_tier};
use crate::model::ids::SourceRef;
use crate::model::kinds::volume_migration::Phase;
use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// From a second to a day and a half: a cordon lasts seconds, the filling of a large copy hours.
const BUCKETS_SECONDS: [f64; 13] = [
    1.0, 5.0, 15.0, 60.0, 180.0, 600.0, 1800.0, 3600.0, 7200.0, 14_400.0, 28_800.0, 57_600.0, 129_600.0,
];

/// Phases that a move passes; each has an age and a histogram from the start, so that a first value is seen as a change.
const PHASES: [Phase; 6] = [
    Phase::Pending,
    Phase::Analyze,
    Phase::ScaleUp,
    Phase::WaitSync,
    Phase::ScaleDown,
    Phase::RollingBack,
];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StatusLabel {
    status: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReasonLabel {
    reason: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct PhaseLabel {
    phase: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ResultLabel {
    result: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct TierLabel {
    tier: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct WayLabel {
    from: String,
    to: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ClaimLabel {
    namespace: String,
    claim: String,
}

/// Why moves were rolled back, as far as the journal says so without words: few enough to be a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RollbackReason {
    /// It was not done in time.
    Timeout,
    /// It could not begin.
    NotBegun,
    /// No copy could be added where it belongs.
    NotPlaced,
    /// The new copy did not become complete.
    NotFilled,
    /// The old copy could not be removed.
    NotRemoved,
}

impl RollbackReason {
    const ALL: [Self; 5] = [
        Self::Timeout,
        Self::NotBegun,
        Self::NotPlaced,
        Self::NotFilled,
        Self::NotRemoved,
    ];

    fn label(self) -> ReasonLabel {
        let reason = match self {
            Self::Timeout => "timeout",
            Self::NotBegun => "not_begun",
            Self::NotPlaced => "not_placed",
            Self::NotFilled => "not_filled",
            Self::NotRemoved => "not_removed",
        };
        ReasonLabel {
            reason: reason.to_owned(),
        }
    }
}

type Ratio = Gauge<f64, AtomicU64>;

type Durations<L> = Family<L, Histogram, fn() -> Histogram>;

fn durations() -> Histogram {
    Histogram::new(BUCKETS_SECONDS)
}

/// The metrics of this process.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    sources: Arc<Mutex<BTreeMap<SourceRef, SourceCounts>>>,
    /// Turns.
    pub turns: Counter,
    /// Turns that failed.
    pub failed_turns: Counter,
    migrations: Family<StatusLabel, Counter>,
    /// 1 while this process leads, 0 while it waits.
    pub leader: Gauge,
    /// The epoch of its last leadership.
    pub epoch: Gauge,
    active: Gauge,
    proposals: Gauge,
    left_alone: Family<ReasonLabel, Gauge>,
    cordons: Gauge,
    /// Cordons of ours that the engine shows and no journal speaks for.
    leaked: Arc<AtomicI64>,
    cordon_age: Gauge,
    phase_age: Family<PhaseLabel, Gauge>,
    needing_person: Gauge,
    workloads_needing_person: Gauge,
    off_tier: Gauge,
    stopped: Gauge,
    tiers: Family<TierLabel, Gauge>,
    progress: Family<ClaimLabel, Ratio>,
    phases: Durations<PhaseLabel>,
    moves: Durations<ResultLabel>,
    bytes: Family<WayLabel, Counter>,
    rolled_back: Family<ReasonLabel, Counter>,
    backups: Backups,
}

impl Default for Metrics {
    fn default() -> Self {
        let metrics = Self {
            registry: Arc::default(),
            sources: Arc::default(),
            turns: Counter::default(),
            failed_turns: Counter::default(),
            migrations: Family::default(),
            leader: Gauge::default(),
            epoch: Gauge::default(),
            active: Gauge::default(),
            proposals: Gauge::default(),
            left_alone: Family::default(),
            cordons: Gauge::default(),
            leaked: Arc::default(),
            cordon_age: Gauge::default(),
            phase_age: Family::default(),
            needing_person: Gauge::default(),
            workloads_needing_person: Gauge::default(),
            off_tier: Gauge::default(),
            stopped: Gauge::default(),
            tiers: Family::default(),
            progress: Family::default(),
            phases: Family::new_with_constructor(durations),
            moves: Family::new_with_constructor(durations),
            bytes: Family::default(),
            rolled_back: Family::default(),
            backups: Backups::default(),
        };
        for reason in RollbackReason::ALL {
            drop(metrics.rolled_back.get_or_create(&reason.label()));
        }
        for phase in PHASES {
            drop(metrics.phases.get_or_create(&phase_label(phase)));
        }
        let mut registry = Registry::default();
        metrics.register_counters(&mut registry);
        metrics.register_gauges(&mut registry);
        metrics.backups.register(&mut registry);
        Self {
            registry: Arc::new(registry),
            ..metrics
        }
    }
}

fn phase_label(phase: Phase) -> PhaseLabel {
    PhaseLabel {
        phase: phase.as_str().to_owned(),
    }
}

/// Whole seconds since a time; none before it.
pub(super) fn age(now: Timestamp, since: Timestamp) -> i64 {
    now.as_second().saturating_sub(since.as_second()).max(0)
}

fn count(items: usize) -> i64 {
    i64::try_from(items).unwrap_or(i64::MAX)
}

impl Metrics {
    fn register_counters(&self, registry: &mut Registry) {
        let turns = "Turns over all policy sources";
        registry.register("storage_operator_reconcile", turns, self.turns.clone());
        let finished = "Finished migrations by status";
        registry.register("storage_operator_migrations", finished, self.migrations.clone());
        let failed = "Turns that failed";
        registry.register("couchestor_turns_failed", failed, self.failed_turns.clone());
        let phases = "How long moves were in each phase that they have left";
        registry.register("couchestor_migration_phase_seconds", phases, self.phases.clone());
        let moves = "How long moves took, by how they ended";
        registry.register("couchestor_migration_duration_seconds", moves, self.moves.clone());
        let bytes = "Bytes that were copied, by the tiers of the move";
        registry.register("couchestor_migration_bytes", bytes, self.bytes.clone());
        let back = "Moves that were rolled back, by where they failed";
        registry.register(
            "couchestor_migrations_rolled_back",
            back,
            self.rolled_back.clone(),
        );
    }

    fn register_gauges(&self, registry: &mut Registry) {
        let running = "Migrations that run";
        registry.register("storage_operator_active_migrations", running, self.active.clone());
        let leads = "Whether this process leads";
        registry.register("couchestor_leader", leads, self.leader.clone());
        let epoch = "The epoch of this process' last leadership";
        registry.register("couchestor_epoch", epoch, self.epoch.clone());
        let open = "Proposals that wait for a person";
        registry.register("couchestor_proposals_open", open, self.proposals.clone());
        let held =
            "Migrations that hold cordons after a turn, and cordons of ours that no migration speaks for";
        registry.register("couchestor_cordons_held", held, self.cordons.clone());
        let oldest = "How long the oldest cordon of ours has been held";
        registry.register("couchestor_cordon_held_seconds", oldest, self.cordon_age.clone());
        let age = "How long the running move that is in the phase for longest has been in it";
        registry.register(
            "couchestor_migration_phase_age_seconds",
            age,
            self.phase_age.clone(),
        );
        let person = "Migrations that ended as NeedsPerson and are still there";
        registry.register(
            "couchestor_migrations_needing_person",
            person,
            self.needing_person.clone(),
        );
        registry.register(
            "couchestor_workload_moves_needing_person",
            "Moves of workloads that stand still until a person mends something",
            self.workloads_needing_person.clone(),
        );
        let off = "Claims whose volume is not on its approved tier and is not being moved";
        registry.register("couchestor_claims_off_tier", off, self.off_tier.clone());
        let stopped = "Whether the moves of a policy source are stopped until a person says otherwise";
        registry.register("couchestor_moves_stopped", stopped, self.stopped.clone());
        let tiers = "Copies on pools of each tier; unlabelled are those on pools that no tier takes";
        registry.register("couchestor_replica_tier", tiers, self.tiers.clone());
        let progress = "Which part of a running move is copied";
        registry.register(
            "couchestor_rebuild_progress_ratio",
            progress,
            self.progress.clone(),
        );
        let left = "Volumes that are left alone, by reason";
        registry.register("couchestor_volumes_left_alone", left, self.left_alone.clone());
    }

    /// Changes what a source counts, and nothing of what others do.
    pub fn count(&self, source: &SourceRef, change: impl FnOnce(&mut SourceCounts)) {
        // Counts are whole at every moment, so those of a thread that panicked are as good as any.
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        change(sources.entry(source.clone()).or_default());
    }

    /// Forgets what sources that are gone have counted.
    pub fn keep(&self, present: &BTreeSet<SourceRef>) {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        sources.retain(|source, _| present.contains(source));
    }

    /// A move ended: `success`, `failed` or `aborted` as the seed has it, its result, and how long it took.
    pub fn ended(&self, status: &str, result: &str, seconds: i64) {
        let status = StatusLabel {
            status: status.to_owned(),
        };
        self.migrations.get_or_create(&status).inc();
        let result = ResultLabel {
            result: result.to_owned(),
        };
        self.moves.get_or_create(&result).observe(seconds.max(0) as f64);
    }

    /// A move left a phase.
    pub fn left_phase(&self, phase: Phase, seconds: i64) {
        let phases = self.phases.get_or_create(&phase_label(phase));
        phases.observe(seconds.max(0) as f64);
    }

    /// Bytes were copied.
    pub fn copied(&self, from: &str, to: &str, bytes: u64) {
        let way = WayLabel {
            from: from.to_owned(),
            to: to.to_owned(),
        };
        self.bytes.get_or_create(&way).inc_by(bytes);
    }

    /// So many cordons of ours are there that no journal speaks for.
    pub fn leaked(&self, cordons: i64) {
        self.leaked.store(cordons, Ordering::Relaxed);
    }

    /// A move was rolled back.
    pub fn rolled_back(&self, reason: RollbackReason) {
        self.rolled_back.get_or_create(&reason.label()).inc();
    }

    /// The metrics as OpenMetrics text. Ages are those of `now`, also while no turn ends.
    pub fn text(&self, now: Timestamp) -> String {
        // The lock is held until all is written, so that no other scrape shows half of the gauges.
        let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        self.add_up(&sources, now);
        let mut text = String::new();
        // Writing into a String does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    fn add_up(&self, sources: &BTreeMap<SourceRef, SourceCounts>, now: Timestamp) {
        let all = || sources.values();
        let running = || all().flat_map(|source| &source.running);
        self.active.set(count(running().count()));
        self.proposals.set(all().map(|source| source.proposals).sum());
        self.workloads_needing_person
            .set(all().map(|source| source.workload_moves_needing_person).sum());
        self.needing_person
            .set(all().map(|source| source.needing_person).sum());
        self.off_tier.set(all().map(|source| source.off_tier).sum());
        self.stopped.set(i64::from(all().any(|source| source.stopped)));
        let cordons = || all().flat_map(|source| &source.cordons);
        let leaked = self.leaked.load(Ordering::Relaxed);
        self.cordons.set(count(cordons().count()) + leaked);
        let oldest = cordons().flatten().min();
        self.cordon_age.set(oldest.map_or(0, |since| age(now, *since)));
        for phase in PHASES {
            let since = running()
                .filter(|one| one.phase == phase)
                .filter_map(|one| one.since);
            let longest = since.min().map_or(0, |since| age(now, since));
            self.phase_age.get_or_create(&phase_label(phase)).set(longest);
        }
        self.backups.add_up(all(), now);
        self.tiers.clear();
        for (tier, replicas) in by_tier(all()) {
            self.tiers.get_or_create(&TierLabel { tier }).set(replicas);
        }
        self.progress.clear();
        for one in running() {
            let claim = ClaimLabel {
                namespace: one.namespace.clone(),
                claim: one.claim.clone(),
            };
            if let Some(ratio) = one.ratio {
                self.progress.get_or_create(&claim).set(ratio);
            }
        }
        self.left_alone.clear();
        for (reason, volumes) in all().flat_map(|source| &source.left_alone) {
            let reason = ReasonLabel {
                reason: (*reason).to_owned(),
            };
            self.left_alone.get_or_create(&reason).inc_by(*volumes);
        }
    }
}
