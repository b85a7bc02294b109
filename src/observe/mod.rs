//! The world → one dated, immutable [`Observation`](crate::model::observation::Observation). What cannot be read is said to be unknown, never taken for zero.

use crate::io::mayastor::Mayastor;
use crate::io::prometheus::Prometheus;
use crate::model::observation::{HeatTable, Observation};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// Kubernetes' volumes → compact records. Pure.
pub mod volumes;

pub use volumes::ClusterVolumes;

/// Observes. `windows` are the sampling windows of the policies, in seconds.
pub async fn observe(
    volumes: ClusterVolumes,
    mayastor: &Mayastor,
    prometheus: Option<&Prometheus>,
    windows: &BTreeMap<String, u64>,
    now: Timestamp,
) -> Observation {
    let heat = futures::future::join_all(windows.iter().map(|(window, seconds)| async move {
        let table: HeatTable = match prometheus {
            Some(prometheus) => prometheus
                .heat(window, *seconds)
                .await
                .map_err(|error| error.to_string()),
            None => Err("no --prometheus-url was given".to_owned()),
        };
        (window.clone(), table)
    }));
    let (engine, heat) = tokio::join!(mayastor.state(), heat);
    Observation {
        at: now,
        volumes: volumes.volumes,
        classes_in_use: volumes.classes_in_use,
        engine: engine.map_err(|error| error.to_string()),
        heat: heat.into_iter().collect(),
    }
}
