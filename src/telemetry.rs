//! Logging and metrics. The first three metrics keep the names of the seed.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::io::IsTerminal;
use std::sync::Arc;

/// The status of a finished migration, as the seed names it.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct MigrationStatus {
    /// `success`, `failed` or `aborted`.
    pub status: String,
}

/// Why volumes are left alone.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Reason {
    /// The reason's name.
    pub reason: String,
}

/// The metrics of this process.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    /// Turns.
    pub turns: Counter,
    /// Turns that failed.
    pub failed_turns: Counter,
    /// Finished migrations by status.
    pub migrations: Family<MigrationStatus, Counter>,
    /// Migrations that run.
    pub active: Gauge,
    /// Proposals that wait for a person.
    pub open_proposals: Gauge,
    /// Migrations that hold cordons at the end of a turn.
    pub cordons: Gauge,
    /// Volumes that are left alone, by reason.
    pub left_alone: Family<Reason, Gauge>,
    /// 1 while this process leads, 0 while it waits.
    pub leader: Gauge,
    /// The epoch of its last leadership.
    pub epoch: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        let metrics = Self {
            registry: Arc::default(),
            turns: Counter::default(),
            failed_turns: Counter::default(),
            migrations: Family::default(),
            active: Gauge::default(),
            open_proposals: Gauge::default(),
            cordons: Gauge::default(),
            left_alone: Family::default(),
            leader: Gauge::default(),
            epoch: Gauge::default(),
        };
        registry.register(
            "storage_operator_reconcile",
            "Turns over all policy sources",
            metrics.turns.clone(),
        );
        registry.register(
            "storage_operator_migrations",
            "Finished migrations by status",
            metrics.migrations.clone(),
        );
        registry.register(
            "storage_operator_active_migrations",
            "Migrations that run",
            metrics.active.clone(),
        );
        registry.register(
            "couchestor_turns_failed",
            "Turns that failed",
            metrics.failed_turns.clone(),
        );
        registry.register(
            "couchestor_proposals_open",
            "Proposals that wait for a person",
            metrics.open_proposals.clone(),
        );
        registry.register(
            "couchestor_cordons_held",
            "Migrations that hold cordons after a turn",
            metrics.cordons.clone(),
        );
        registry.register(
            "couchestor_volumes_left_alone",
            "Volumes that are left alone, by reason",
            metrics.left_alone.clone(),
        );
        registry.register(
            "couchestor_leader",
            "Whether this process leads",
            metrics.leader.clone(),
        );
        registry.register(
            "couchestor_epoch",
            "The epoch of this process' last leadership",
            metrics.epoch.clone(),
        );
        Self {
            registry: Arc::new(registry),
            ..metrics
        }
    }
}

impl Metrics {
    /// The metrics as OpenMetrics text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a String does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// kube's client logs the API server's refusals at `debug`, and those quote the values of Secrets.
const QUIET: &str = "kube_client::client=info";

/// What is logged at a level, or with a filter such as `couchestor=debug,warn`; no level brings secrets.
///
/// # Errors
/// When the filter cannot be read.
pub fn filter(level: &str) -> Result<tracing_subscriber::EnvFilter, String> {
    let wrong = |error: &dyn std::fmt::Display| {
        format!("--log-level {level}: {error}; write error, warn, info, debug or trace")
    };
    let filter = tracing_subscriber::EnvFilter::try_new(level).map_err(|error| wrong(&error))?;
    let quiet = QUIET
        .parse::<tracing_subscriber::filter::Directive>()
        .map_err(|error| wrong(&error))?;
    Ok(filter.add_directive(quiet))
}

/// Starts logging to stderr. `level` is a level or a filter such as `couchestor=debug,warn`.
///
/// # Errors
/// When the filter cannot be read.
pub fn init(level: &str, json: bool) -> Result<(), String> {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter(level)?)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let outcome = if json {
        builder.json().try_init()
    } else {
        builder.with_target(false).try_init()
    };
    outcome.map_err(|error| error.to_string())
}
