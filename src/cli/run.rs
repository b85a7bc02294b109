//! `run`: the controller.

use super::{ClusterArguments, EngineArguments, Failed};
use crate::ha;
use crate::io::mayastor::Mayastor;
use crate::io::prometheus::Prometheus;
use crate::io::webhook::Webhooks;
use crate::telemetry::{self, Metrics};
use crate::wiring::{self, Clients, ClusterLease, Health, Hook, Settings};
use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::get;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// Hints of webhooks that wait; one that does not fit is as good as those that do.
const POKES_MAX: usize = 64;

/// How long a start without election waits for its epoch, with the tries that it takes when others are first.
const EPOCH_PATIENCE: Duration = Duration::from_secs(15);

/// How controllers agree on who acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum LeaderElection {
    /// They do not: only one may run.
    None,
    /// By a Kubernetes Lease.
    Lease,
    /// Not yet.
    #[value(hide = true)]
    Raft,
}

/// Options of the controller; each is an environment variable too.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    cluster: ClusterArguments,
    #[command(flatten)]
    engine: EngineArguments,
    /// Where clones are kept; losing them costs a clone.
    #[arg(long, env = "CACHE_DIR", default_value = "/var/cache/couchestor")]
    cache_dir: PathBuf,
    /// Read file:// repositories.
    #[arg(long, env = "ALLOW_FILE_URLS")]
    allow_file_urls: bool,
    /// Migrations at one time in the whole cluster.
    #[arg(long, env = "MAX_CONCURRENT_MIGRATIONS", default_value_t = 2)]
    max_concurrent_migrations: u32,
    /// How often running migrations are looked at.
    #[arg(long, env = "SYNC_POLL_INTERVAL_SECONDS", default_value_t = 5.0)]
    sync_poll_interval_seconds: f64,
    /// A call to Mayastor is given up after so long. One without an answer is waited out for twice that time, and so is what a
    /// controller from before may have asked for.
    #[arg(long, env = "MAYASTOR_TIMEOUT_SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=300))]
    mayastor_timeout_seconds: u64,
    /// Propose and start nothing, and hold the moves that run; say what would be. What Git says is applied all the same, and a controller
    /// that acted before is taken over from: it is a stop for moves, not a second pair of eyes (that is `plan`).
    #[arg(long, env = "DRY_RUN")]
    dry_run: bool,
    /// Never remove old copies: migrations end as Preserved.
    #[arg(long, env = "PRESERVATION_MODE")]
    preservation_mode: bool,
    /// How controllers agree on who acts: lease when several run; none when only one ever runs.
    #[arg(long, env = "LEADER_ELECTION", value_enum, default_value = "none")]
    leader_election: LeaderElection,
    /// The Lease of the leader election, in --namespace. It counts the epochs of leaderships, so it is used without election too.
    #[arg(long, env = "LEADER_ELECTION_LEASE_NAME", default_value = "couchestor")]
    leader_election_lease_name: String,
    /// The namespace in which couchestor runs.
    #[arg(long, env = "POD_NAMESPACE", default_value = "couchestor-system")]
    namespace: String,
    /// This controller's name among the candidates, the host's name by default; a random ending is added.
    #[arg(long, env = "POD_NAME")]
    name: Option<String>,
    /// Where metrics are served.
    #[arg(long, env = "METRICS_ADDR", default_value = "0.0.0.0:8080")]
    metrics_addr: SocketAddr,
    /// Where /healthz and /readyz are served.
    #[arg(long, env = "HEALTH_ADDR", default_value = "0.0.0.0:8081")]
    health_addr: SocketAddr,
    /// Where forges' webhooks are heard, at /hook, for sources with a webhookSecretRef; nowhere without it.
    #[arg(long, env = "WEBHOOK_ADDR")]
    webhook_addr: Option<SocketAddr>,
    /// error, warn, info, debug, trace, or a filter.
    #[arg(long, env = "LOG_LEVEL", default_value = "info")]
    log_level: String,
    /// Log as JSON.
    #[arg(long, env = "LOG_JSON")]
    log_json: bool,
}

/// Runs until SIGTERM or SIGINT; a turn that has begun is finished.
pub async fn run(arguments: Arguments) -> Result<u8, Failed> {
    telemetry::init(&arguments.log_level, arguments.log_json).map_err(Failed)?;
    let poll = Duration::try_from_secs_f64(arguments.sync_poll_interval_seconds)
        .map_err(|error| Failed(format!("--sync-poll-interval-seconds: {error}")))?;
    if arguments.leader_election == LeaderElection::Raft {
        return Err(Failed(
            "--leader-election raft comes with a later release; use lease".to_owned(),
        ));
    }
    let clients = Clients {
        cluster: arguments.cluster.patient().await?,
        mayastor: Mayastor::new(&arguments.engine.mayastor_url)?
            .patient_for(Duration::from_secs(arguments.mayastor_timeout_seconds)),
        prometheus: arguments
            .engine
            .prometheus_url
            .as_deref()
            .map(Prometheus::new)
            .transpose()?,
        metrics: Metrics::default(),
        clock: crate::io::clock::now,
    };
    std::fs::create_dir_all(&arguments.cache_dir)
        .map_err(|error| Failed(format!("--cache-dir {}: {error}", arguments.cache_dir.display())))?;
    let settings = Settings {
        directory: arguments.cache_dir,
        allow_file_urls: arguments.allow_file_urls,
        max_concurrent: arguments.max_concurrent_migrations,
        dry_run: arguments.dry_run,
        preserve: arguments.preservation_mode,
        poll,
    };
    let health = Arc::new(Health::default());
    serve(arguments.health_addr, health_routes(health.clone())).await?;
    let metrics = clients.metrics.clone();
    let text = move || async move {
        (
            [(
                header::CONTENT_TYPE,
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
            )],
            metrics.text(crate::io::clock::now()),
        )
    };
    serve(arguments.metrics_addr, Router::new().route("/metrics", get(text))).await?;
    let hook = match arguments.webhook_addr {
        Some(address) => {
            let (poke, pokes) = mpsc::channel(POKES_MAX);
            let webhooks = Webhooks::new(poke);
            serve(address, webhooks.routes()).await?;
            Some(Hook { webhooks, pokes })
        }
        None => None,
    };
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping; what is under way goes on with the next start");
    };
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "couchestor runs");
    let lease = ClusterLease {
        cluster: clients.cluster.clone(),
        namespace: arguments.namespace,
        name: arguments.leader_election_lease_name,
    };
    if arguments.leader_election == LeaderElection::Lease {
        let me = identity(arguments.name);
        tracing::info!(
            me,
            lease = lease.name,
            namespace = lease.namespace,
            "stands for the Lease"
        );
        let candidate = ha::Candidate::start(lease, me, clients.clock);
        wiring::stand(&clients, &settings, &health, hook, candidate, stop).await;
        return Ok(0);
    }
    let place = format!("{}/{}", lease.namespace, lease.name);
    let server = lease.cluster.server();
    let taken = tokio::time::timeout(EPOCH_PATIENCE, ha::take_epoch(&lease, clients.clock)).await;
    let none = |why: &dyn std::fmt::Display| {
        Failed(format!(
            "no epoch could be taken from Lease {place} of {server}: {why}; without one a controller from before could not be told from this one"
        ))
    };
    let (epoch, holder) = match taken {
        Ok(taken) => taken.map_err(|error| none(&error))?,
        Err(_) => {
            let seconds = EPOCH_PATIENCE.as_secs();
            return Err(none(&format!(
                "the Kubernetes API gave no answer within {seconds} seconds; see that it can be reached from here"
            )));
        }
    };
    if let Some(holder) = holder {
        tracing::warn!(
            holder,
            lease = place,
            "another controller leads by this Lease; run both with --leader-election lease"
        );
    }
    wiring::run_alone(&clients, &settings, &health, hook, epoch, stop).await;
    Ok(0)
}

/// A name that no other candidate has, nor this one after a restart.
fn identity(name: Option<String>) -> String {
    let host = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = name.or_else(host).unwrap_or_default();
    let name = Some(name.trim())
        .filter(|name| !name.is_empty())
        .unwrap_or("couchestor");
    // Each hasher of the standard library has random keys of its own.
    format!("{name}_{:016x}", RandomState::new().hash_one(std::process::id()))
}

fn health_routes(health: Arc<Health>) -> Router {
    let ready = move || async move {
        match health.why_not() {
            None => (StatusCode::OK, "ok\n".to_owned()),
            Some(why) => (StatusCode::SERVICE_UNAVAILABLE, why + "\n"),
        }
    };
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
}

async fn serve(address: SocketAddr, routes: Router) -> Result<(), Failed> {
    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| Failed(format!("cannot listen on {address}: {error}")))?;
    tokio::spawn(async move {
        // It ends with the process.
        let _ = axum::serve(listener, routes).await;
    });
    Ok(())
}
