//! Two JSON values → the fields in which they differ, by paths that people read, bounded in number and length.

use crate::model::review::FieldChange;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// Fields that are listed of one object; more are counted.
const FIELDS_MAX: usize = 40;

/// Longest value that is shown, in characters.
const VALUE_MAX: usize = 120;

/// Longest path.
const PATH_MAX: usize = 200;

/// The fields in which two objects differ, and how many more there are.
pub(super) fn differing(before: &Value, after: &Value) -> (Vec<FieldChange>, usize) {
    let mut found = Found::default();
    walk("", Some(before), Some(after), &mut found);
    (found.fields, found.more)
}

#[derive(Default)]
struct Found {
    fields: Vec<FieldChange>,
    more: usize,
}

fn walk(path: &str, before: Option<&Value>, after: Option<&Value>, found: &mut Found) {
    match (before, after) {
        (a, b) if a == b => {}
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                walk(&below(path, key), a.get(key), b.get(key), found);
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) => match (names(a), names(b)) {
            (Some(old), Some(new)) => {
                for &(name, item) in &old {
                    walk(&format!("{path}[{name}]"), Some(item), find(&new, name), found);
                }
                for &(name, item) in new.iter().filter(|(name, _)| find(&old, name).is_none()) {
                    walk(&format!("{path}[{name}]"), None, Some(item), found);
                }
            }
            _ => {
                for index in 0..a.len().max(b.len()) {
                    walk(&format!("{path}[{index}]"), a.get(index), b.get(index), found);
                }
            }
        },
        (before, after) => {
            if found.fields.len() == FIELDS_MAX {
                found.more += 1;
                return;
            }
            found.fields.push(FieldChange {
                path: short(path, PATH_MAX),
                before: before.map(text),
                after: after.map(text),
            });
        }
    }
}

fn below(path: &str, key: &str) -> String {
    let simple = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
    match (path, key.chars().all(simple) && !key.is_empty()) {
        ("", true) => key.to_owned(),
        (path, true) => format!("{path}.{key}"),
        (path, false) => format!("{path}[{}]", Value::from(key)),
    }
}

/// The items of a list by their names, when each has one of its own.
fn names(items: &[Value]) -> Option<Vec<(&str, &Value)>> {
    let name = |item: &'_ Value| -> Option<String> { item.get("name")?.as_str().map(str::to_owned) };
    let all: BTreeSet<String> = items.iter().filter_map(name).collect();
    if all.len() != items.len() {
        return None;
    }
    items
        .iter()
        .map(|item| Some((item.get("name")?.as_str()?, item)))
        .collect()
}

fn find<'a>(items: &[(&str, &'a Value)], name: &str) -> Option<&'a Value> {
    items
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, item)| *item)
}

/// A value as JSON on one line, its keys in order.
fn text(value: &Value) -> String {
    short(&sorted(value).to_string(), VALUE_MAX)
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut keys: Vec<&String> = fields.keys().collect();
            keys.sort();
            let pairs = keys.into_iter().map(|key| (key.clone(), sorted(&fields[key])));
            Value::Object(pairs.collect::<Map<String, Value>>())
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        value => value.clone(),
    }
}

fn short(text: &str, max: usize) -> String {
    crate::model::pull_request::cut(text, max)
}
