//! What is asked of recorded history, and what it answered.
//!
//! A question's text depends on the time only through windows that are not counted, which are cut at both ends of what is looked
//! back at. So the text of each evaluation is made as `decide` makes it, and times in a row that have the same text are one range
//! query, which gives the value that the query has at each of its times. Nothing is estimated from other queries.

use crate::decide::questions;
use crate::model::desired::Desired;
use crate::model::observation::{Answer, Observation};
use crate::model::timeline::Span;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Questions by their text, with the times at which each is asked.
pub type Asked = BTreeMap<String, Vec<Span>>;

/// What must be asked so that these desires can be replayed.
pub fn asked(desires: &[&Desired], span: Span) -> Asked {
    let mut all = Asked::new();
    for at in span.times() {
        let Ok(now) = Timestamp::from_second(at) else {
            continue;
        };
        let texts: BTreeSet<String> = desires
            .iter()
            .flat_map(|desired| questions::questions(desired, now))
            .collect();
        for text in texts {
            let runs = all.entry(text).or_default();
            match runs.last_mut() {
                Some(run) if run.last + span.step == at => run.last = at,
                _ => runs.push(Span::once(at, span.step)),
            }
        }
    }
    let step = u64::try_from(span.step).unwrap_or(0);
    all.insert(questions::operations(step), vec![span]);
    all
}

/// Answers, by volume and time.
pub struct History {
    volumes: HashMap<Box<str>, usize>,
    rows: HashMap<String, BTreeMap<i64, Vec<f64>>>,
}

impl History {
    /// Nothing is known yet of the volumes of an observation.
    pub fn of(observation: &Observation) -> Self {
        let volumes = observation.volumes.iter().enumerate();
        Self {
            volumes: volumes
                .map(|(index, volume)| (volume.name.clone(), index))
                .collect(),
            rows: HashMap::new(),
        }
    }

    /// Takes the answer for a span: what it holds no value for is unknown then. Volumes that are not there any more are left out.
    pub fn put(&mut self, query: &str, span: Span, values: HashMap<String, Vec<(i64, f64)>>) {
        let rows = self.rows.entry(query.to_owned()).or_default();
        for at in span.times() {
            rows.entry(at)
                .or_insert_with(|| vec![f64::NAN; self.volumes.len()]);
        }
        for (volume, points) in values {
            let Some(index) = self.volumes.get(volume.as_str()) else {
                continue;
            };
            for (at, value) in points {
                if let Some(row) = rows.get_mut(&at) {
                    row[*index] = value;
                }
            }
        }
    }

    /// The values of a query at a time, in the order of the volumes.
    pub fn row(&self, query: &str, at: i64) -> Option<&[f64]> {
        self.rows.get(query)?.get(&at).map(Vec::as_slice)
    }

    /// The answers to the questions of a time.
    pub(super) fn answers(&self, desired: &Desired, now: Timestamp) -> BTreeMap<String, Answer> {
        questions::questions(desired, now)
            .into_iter()
            .map(|query| {
                let row = self.row(&query, now.as_second());
                let answer = row.map(<[f64]>::to_vec);
                (query, answer.ok_or_else(|| "it was not asked".to_owned()))
            })
            .collect()
    }
}
