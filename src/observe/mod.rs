//! The world → one dated, immutable [`Observation`](crate::model::observation::Observation). What cannot be read is said to be unknown, never taken for zero.

use crate::io::mayastor::Mayastor;
use crate::io::prometheus::Prometheus;
use crate::model::observation::{Observation, RawAnswer};
use futures::future::join_all;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Kubernetes' volumes → compact records. Pure.
pub mod volumes;

pub use volumes::ClusterVolumes;

/// Queries that are asked at one time: Prometheus evaluates twenty by default, for all of its users.
const ASKED_AT_ONCE: usize = 4;

/// Observes. `questions` are the queries that the policies need.
pub async fn observe(
    volumes: ClusterVolumes,
    mayastor: &Mayastor,
    prometheus: Option<&Prometheus>,
    questions: &BTreeSet<String>,
    now: Timestamp,
) -> Observation {
    let (engine, answers) = tokio::join!(mayastor.state(), ask(prometheus, questions, now));
    let engine = engine.map_err(|error| error.to_string());
    Observation::assemble(now, volumes.volumes, volumes.classes_in_use, engine, answers)
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

async fn ask_one(prometheus: Option<&Prometheus>, question: &str, now: Timestamp) -> RawAnswer {
    match prometheus {
        Some(prometheus) => prometheus
            .ask(question, now)
            .await
            .map_err(|error| error.to_string()),
        None => Err("no --prometheus-url was given".to_owned()),
    }
}
