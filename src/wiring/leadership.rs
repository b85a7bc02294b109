//! Leading and waiting to lead: the Lease as the house of leadership wants it, and turns only while they may be taken.

use super::{Health, Hook, Settings, run};
use crate::ha::{Candidate, Leadership, LeaseStore, Standing, StoreError};
use crate::io::cluster::{Cluster, ClusterError};
use crate::io::guard::Guard;
use crate::io::mayastor::Mayastor;
use crate::io::prometheus::Prometheus;
use crate::model::kinds::policy_source::PolicySource;
use crate::model::kinds::volume_migration::VolumeMigration;
use crate::model::lease::LeaseRecord;
use crate::telemetry::Metrics;
use crate::turn::World;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::watch;

/// One Lease in the cluster.
#[derive(Clone)]
pub struct ClusterLease {
    /// The cluster.
    pub cluster: Cluster,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl LeaseStore for ClusterLease {
    async fn read(&self) -> Result<Option<LeaseRecord>, StoreError> {
        let found = self.cluster.lease(&self.namespace, &self.name).await;
        found.map_err(store_error)
    }

    async fn write(&self, record: &LeaseRecord) -> Result<LeaseRecord, StoreError> {
        let written = self
            .cluster
            .write_lease(&self.namespace, &self.name, record)
            .await;
        written.map_err(store_error)
    }

    async fn highest_epoch(&self) -> Result<u64, StoreError> {
        let both = futures::future::try_join(
            self.cluster.list::<PolicySource>(),
            self.cluster.list::<VolumeMigration>(),
        );
        let (sources, migrations) = both.await.map_err(store_error)?;
        let sources = sources.iter().filter_map(|one| one.status.as_ref()?.epoch);
        let migrations = migrations.iter().filter_map(|one| one.status.as_ref()?.epoch);
        Ok(sources.chain(migrations).max().unwrap_or_default())
    }
}

fn store_error(error: ClusterError) -> StoreError {
    match error {
        ClusterError::Conflict { .. } | ClusterError::Exists { .. } => StoreError::Conflict,
        // It was deleted since it was read.
        ClusterError::Api { code: 404, .. } => StoreError::Refused(error.to_string()),
        ClusterError::Unreachable { .. } | ClusterError::Api { .. } => StoreError::Unclear(error.to_string()),
        other => StoreError::Refused(other.to_string()),
    }
}

/// The clients of a controller, which does not lead yet.
pub struct Clients {
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

impl Clients {
    /// The same under a leadership: each change asks it first.
    pub fn led_by(&self, leadership: Leadership) -> World {
        let guard = guard(&leadership);
        World {
            cluster: self.cluster.guarded(guard.clone()),
            mayastor: self.mayastor.guarded(guard),
            prometheus: self.prometheus.clone(),
            metrics: self.metrics.clone(),
            clock: self.clock,
            leadership,
        }
    }

    fn tell(&self, leadership: Option<&Leadership>) {
        // What was counted while leading is the next leader's to count, and would stand still here.
        self.metrics.keep(&BTreeSet::new());
        self.metrics.leaked(0);
        self.metrics.leader.set(i64::from(leadership.is_some()));
        if let Some(leadership) = leadership {
            let epoch = i64::try_from(leadership.epoch()).unwrap_or(i64::MAX);
            self.metrics.epoch.set(epoch);
        }
    }
}

/// A leadership as clients ask it.
pub(super) fn guard(leadership: &Leadership) -> Guard {
    let leadership = leadership.clone();
    Guard::new(move || leadership.left())
}

/// Takes turns without election until `stop` resolves.
pub async fn run_alone(
    clients: &Clients,
    settings: &Settings,
    health: &Arc<Health>,
    mut hook: Option<Hook>,
    epoch: u64,
    stop: impl Future<Output = ()>,
) {
    let leadership = Leadership::unguarded(epoch);
    clients.tell(Some(&leadership));
    tracing::info!(
        epoch,
        "leads without election: nothing keeps a second controller from acting"
    );
    let world = clients.led_by(leadership);
    run(&world, settings, health, &mut hook, std::pin::pin!(stop)).await;
}

/// Takes turns whenever this candidate leads, until `stop` resolves, and gives the Lease up then.
pub async fn stand(
    clients: &Clients,
    settings: &Settings,
    health: &Arc<Health>,
    mut hook: Option<Hook>,
    candidate: Candidate,
    stop: impl Future<Output = ()>,
) {
    let mut stop = std::pin::pin!(stop);
    let mut standing = candidate.standing();
    clients.tell(None);
    while let Some(leadership) = follow(&mut standing, health, stop.as_mut()).await {
        clients.tell(Some(&leadership));
        tracing::info!(epoch = leadership.epoch(), "leads");
        // All that was remembered of earlier leaderships is gone: everything is looked at, now.
        let world = clients.led_by(leadership.clone());
        let stopped = tokio::select! {
            biased;
            () = leadership.lost() => false,
            () = run(&world, settings, health, &mut hook, stop.as_mut()) => true,
        };
        clients.tell(None);
        if stopped {
            break;
        }
        let epoch = leadership.epoch();
        tracing::warn!(
            epoch,
            "does not lead any more; what was under way is left as it is"
        );
    }
    candidate.release().await;
}

/// Waits until this candidate leads; `None`: it is to stop.
async fn follow(
    standing: &mut watch::Receiver<Standing>,
    health: &Health,
    mut stop: Pin<&mut impl Future<Output = ()>>,
) -> Option<Leadership> {
    let mut told = None;
    loop {
        let now = standing.borrow_and_update().clone();
        let unable = "the Lease of the leader election cannot be read or written, so that this controller could not take over; see its log";
        health.tell((!now.able).then(|| unable.to_owned()));
        if let Some(leadership) = Leadership::of(standing) {
            return Some(leadership);
        }
        if now.able && told.as_ref() != Some(&now.holder) {
            let holder = now.holder.as_deref().unwrap_or("nobody");
            tracing::info!(
                holder,
                "waits: another controller leads, or has yet to be taken over from"
            );
            told = Some(now.holder);
        }
        tokio::select! {
            () = stop.as_mut() => return None,
            news = standing.changed() => news.ok()?,
        }
    }
}
