//! The world → one dated, immutable [`Observation`](crate::model::observation::Observation). What cannot be read is said to be unknown, never taken for zero.

use crate::io::longhorn::Longhorn;
use crate::io::mayastor::Mayastor;
use crate::io::prometheus::Prometheus;
use crate::model::engine::EngineState;
use crate::model::observation::{Observation, Provider, RawAnswer};
use futures::future::join_all;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Claims that backup policies may take. Pure.
pub mod claims;

/// Kubernetes' volumes → compact records. Pure.
pub mod volumes;

pub use volumes::ClusterVolumes;

/// Queries that are asked at one time: Prometheus evaluates twenty by default, for all of its users.
const ASKED_AT_ONCE: usize = 4;

const NO_PROMETHEUS: &str = "no --prometheus-url was given";

/// The storage engines.
#[derive(Clone, Copy)]
pub struct Engines<'a> {
    /// Mayastor.
    pub mayastor: &'a Mayastor,
    /// Longhorn. It is asked only where a volume is of its driver.
    pub longhorn: &'a Longhorn,
}

/// Observes. `questions` are the queries that the policies need.
pub async fn observe(
    volumes: ClusterVolumes,
    engines: Engines<'_>,
    prometheus: Option<&Prometheus>,
    questions: &BTreeSet<String>,
    now: Timestamp,
) -> Observation {
    let (engine, answers) = tokio::join!(state(&volumes, engines), ask(prometheus, questions, now));
    Observation::assemble(now, volumes.volumes, volumes.classes_in_use, engine, answers)
}

/// Reads the engines that volumes are of. One that no volume is of may be absent, as long as there is another.
async fn state(volumes: &ClusterVolumes, engines: Engines<'_>) -> Result<EngineState, String> {
    let any = |is: fn(&Provider) -> bool| volumes.volumes.iter().any(|volume| is(&volume.provider));
    if !any(|provider| matches!(provider, Provider::Longhorn(_))) {
        return engines.mayastor.state().await.map_err(|error| error.to_string());
    }
    let (mayastor, longhorn) = tokio::join!(engines.mayastor.state(), engines.longhorn.state());
    let longhorn = longhorn.map_err(|error| error.to_string())?.as_longhorn();
    match mayastor {
        Ok(mayastor) => Ok(mayastor.beside(longhorn)),
        Err(_) if !any(|provider| matches!(provider, Provider::Mayastor(_))) => Ok(longhorn),
        Err(error) => Err(error.to_string()),
    }
}

async fn ask(
    prometheus: Option<&Prometheus>,
    questions: &BTreeSet<String>,
    now: Timestamp,
) -> BTreeMap<String, RawAnswer> {
    let questions: Vec<&String> = questions.iter().collect();
    let mut answers = BTreeMap::new();
    for some in questions.chunks(ASKED_AT_ONCE) {
        let asked = some.iter().map(|question| ask_one(prometheus, question, now));
        let answered = join_all(asked).await;
        answers.extend(some.iter().map(|question| (*question).clone()).zip(answered));
    }
    answers
}

/// Asks for figures that are of no volume.
pub async fn figures(
    prometheus: Option<&Prometheus>,
    questions: &BTreeSet<String>,
    now: Timestamp,
) -> BTreeMap<String, Result<f64, String>> {
    let questions: Vec<&String> = questions.iter().collect();
    let mut figures = BTreeMap::new();
    for some in questions.chunks(ASKED_AT_ONCE) {
        let asked = some.iter().map(async |question| match prometheus {
            Some(prometheus) => prometheus
                .figure(question, now)
                .await
                .map_err(|error| error.to_string()),
            None => Err(NO_PROMETHEUS.to_owned()),
        });
        let answered = join_all(asked).await;
        figures.extend(some.iter().map(|question| (*question).clone()).zip(answered));
    }
    figures
}

async fn ask_one(prometheus: Option<&Prometheus>, question: &str, now: Timestamp) -> RawAnswer {
    match prometheus {
        Some(prometheus) => prometheus
            .ask(question, now)
            .await
            .map_err(|error| error.to_string()),
        None => Err(NO_PROMETHEUS.to_owned()),
    }
}
