//! Answers as JSON, which has no "not a number": what is unknown is written as null.

use super::Answer;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;

pub(super) fn serialize<S: Serializer>(all: &BTreeMap<String, Answer>, to: S) -> Result<S::Ok, S::Error> {
    let known = |value: &f64| value.is_finite().then_some(*value);
    let written: BTreeMap<&String, Result<Vec<Option<f64>>, &String>> = all
        .iter()
        .map(|(query, answer)| {
            let values = answer.as_ref().map(|values| values.iter().map(known).collect());
            (query, values)
        })
        .collect();
    written.serialize(to)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, Answer>, D::Error> {
    type Written = BTreeMap<String, Result<Vec<Option<f64>>, String>>;
    let filled = |values: Vec<Option<f64>>| {
        values
            .into_iter()
            .map(|value| value.unwrap_or(f64::NAN))
            .collect()
    };
    Ok(Written::deserialize(from)?
        .into_iter()
        .map(|(query, answer)| (query, answer.map(filled)))
        .collect())
}
