//! Logging, and the rooms of the metrics.

use std::io::IsTerminal;

/// What is counted and measured.
mod metrics;

/// Backups, and what rests on them.
mod backups;

/// What several policy sources count, so that it adds up.
mod counts;

pub use counts::{BackupsNow, MoveNow, RolloutNow, SourceCounts, Tiered, Unprotected};
pub use metrics::{Metrics, RollbackReason};

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
