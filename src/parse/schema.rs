//! Fields and types of our kinds, against the very schemas that become their CRDs.

use crate::formats::yaml::escape;
use crate::model::desired::Resource;
use crate::model::diagnostic::Diagnostic;
use crate::model::kinds::git_crds;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use regex::Regex;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

static SCHEMAS: LazyLock<BTreeMap<String, JSONSchemaProps>> = LazyLock::new(|| {
    git_crds()
        .into_iter()
        .filter_map(|(kind, crd)| {
            let version = crd.spec.versions.into_iter().next()?;
            Some((kind, version.schema?.open_api_v3_schema?))
        })
        .collect()
});

/// Kinds whose objects have no namespace.
static CLUSTER_WIDE: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let all = git_crds().into_iter();
    all.filter(|(_, crd)| crd.spec.scope == "Cluster")
        .map(|(kind, _)| kind)
        .collect()
});

/// The schemas' patterns, compiled once: compiling costs more than everything else that is done with an object.
static PATTERNS: LazyLock<BTreeMap<String, Regex>> = LazyLock::new(|| {
    fn gather(schema: &JSONSchemaProps, found: &mut BTreeMap<String, Regex>) {
        if let Some(pattern) = &schema.pattern
            && let Ok(regex) = Regex::new(pattern)
        {
            found.insert(pattern.clone(), regex);
        }
        for below in schema.properties.iter().flat_map(BTreeMap::values) {
            gather(below, found);
        }
        if let Some(JSONSchemaPropsOrArray::Schema(items)) = &schema.items {
            gather(items, found);
        }
        if let Some(JSONSchemaPropsOrBool::Schema(values)) = &schema.additional_properties {
            gather(values, found);
        }
    }
    let mut found = BTreeMap::new();
    SCHEMAS.values().for_each(|schema| gather(schema, &mut found));
    found
});

/// Every field of every kind: these words are no secrets, wherever they stand.
static FIELDS: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    fn gather(schema: &JSONSchemaProps, found: &mut BTreeSet<String>) {
        for (name, below) in schema.properties.iter().flatten() {
            found.insert(name.clone());
            gather(below, found);
        }
        if let Some(JSONSchemaPropsOrArray::Schema(items)) = &schema.items {
            gather(items, found);
        }
        if let Some(JSONSchemaPropsOrBool::Schema(values)) = &schema.additional_properties {
            gather(values, found);
        }
    }
    let mut found = BTreeSet::new();
    SCHEMAS.values().for_each(|schema| gather(schema, &mut found));
    found
});

/// The schema of one of our kinds.
pub(super) fn of_kind(kind: &str) -> Option<&'static JSONSchemaProps> {
    SCHEMAS.get(kind)
}

/// Whether objects of one of our kinds have no namespace.
pub(super) fn is_cluster_wide(kind: &str) -> bool {
    CLUSTER_WIDE.contains(kind)
}

/// The kind of ours that is like a misspelt one.
pub(super) fn ours_like(kind: &str) -> Option<String> {
    closest(kind, SCHEMAS.keys())
}

/// What a misspelt kind was probably meant to be.
pub(super) fn suggestion(kind: &str) -> String {
    match ours_like(kind) {
        Some(near) => format!("write {near}"),
        None => format!(
            "write one of {}",
            SCHEMAS.keys().cloned().collect::<Vec<_>>().join(", ")
        ),
    }
}

/// Values of an object of ours: the largest that people write have some hundred.
const VALUES_MAX: usize = 5_000;

/// Bytes of text of an object of ours: the API server takes no more than one and a half times as many.
const BYTES_MAX: usize = 1 << 20;

/// What is too much of an object, if anything is: it is looked at no further then.
pub(super) fn too_large(resource: &Resource) -> Option<String> {
    /// Takes a value away from the values and bytes that may still come.
    fn take(value: &Value, values: &mut usize, bytes: &mut usize) -> Option<()> {
        *values = values.checked_sub(1)?;
        match value {
            Value::String(text) => *bytes = bytes.checked_sub(text.len())?,
            Value::Array(items) => items.iter().try_for_each(|item| take(item, values, bytes))?,
            Value::Object(fields) => {
                for (key, value) in fields {
                    *bytes = bytes.checked_sub(key.len())?;
                    take(value, values, bytes)?;
                }
            }
            _ => {}
        }
        Some(())
    }
    match take(&resource.value, &mut { VALUES_MAX }, &mut { BYTES_MAX }) {
        Some(()) => None,
        None => Some(format!(
            "the object has more than {VALUES_MAX} values or more than {BYTES_MAX} bytes"
        )),
    }
}

/// Checks an object's fields.
pub(super) fn check(resource: &Resource, schema: &JSONSchemaProps) -> Vec<Diagnostic> {
    let mut checker = Checker {
        resource,
        found: Vec::new(),
        pointer: String::new(),
    };
    let Value::Object(fields) = &*resource.value else {
        return Vec::new();
    };
    if let Some(what) = too_large(resource) {
        checker.add("value", what, "split it into several objects".to_owned());
        return checker.found;
    }
    for (key, value) in fields {
        match key.as_str() {
            "apiVersion" | "kind" => {}
            "metadata" => checker.at("metadata", |checker| checker.metadata(value)),
            "status" => checker.at("status", |checker| {
                let message = "`status` is written by couchestor".to_owned();
                checker.add("unknown-field", message, "take it out".to_owned());
            }),
            _ => checker.field(schema, key, value),
        }
    }
    if let Some(spec) = schema.properties.as_ref().and_then(|all| all.get("spec")) {
        if !fields.contains_key("spec") {
            let message = "there is no `spec`".to_owned();
            checker.add("missing-field", message, "write it".to_owned());
        } else if let Some(Value::Null) = fields.get("spec") {
            checker.at("spec", |checker| checker.value(spec, &Value::Null));
        }
    }
    checker.found
}

/// Fields of every object's metadata (`ObjectMeta` of k8s.io/apimachinery).
const METADATA: [&str; 15] = [
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// Mistakes of one object that are listed: somebody who indents wrongly makes them by the thousand.
const FINDINGS_MAX: usize = 100;

struct Checker<'a> {
    resource: &'a Resource,
    found: Vec<Diagnostic>,
    /// The JSON pointer of the value at hand.
    pointer: String,
}

impl Checker<'_> {
    /// Looks at what is behind a key of the value at hand.
    fn at(&mut self, key: &str, look: impl FnOnce(&mut Self)) {
        let parent = self.pointer.len();
        self.pointer.push('/');
        // Nearly all keys stand there as they are.
        match key.contains(['~', '/']) {
            true => self.pointer.push_str(&escape(key)),
            false => self.pointer.push_str(key),
        }
        look(self);
        self.pointer.truncate(parent);
    }

    /// The key of the value at hand, in a message.
    fn name(&self) -> &str {
        self.told(self.pointer.rsplit('/').next().unwrap_or_default())
    }

    /// Whether nothing more is listed.
    fn full(&self) -> bool {
        self.found.len() > FINDINGS_MAX
    }

    /// Says what is wrong with the value at hand.
    fn add(&mut self, rule: &str, message: String, help: String) {
        if self.full() {
            return;
        }
        let (message, help) = match self.found.len() {
            FINDINGS_MAX => (
                format!(
                    "the object has more than {FINDINGS_MAX} mistakes; no more of its fields are checked"
                ),
                "correct those above first".to_owned(),
            ),
            _ => (message, help),
        };
        self.found.push(Diagnostic::error(
            self.resource.origin.place(&self.pointer),
            rule,
            message,
            help,
        ));
    }

    /// Keys that no object's metadata has; what stands there is the API server's business.
    fn metadata(&mut self, written: &Value) {
        let keys = written.as_object().into_iter().flat_map(Map::keys);
        let odd: Vec<&String> = keys.filter(|key| !METADATA.contains(&key.as_str())).collect();
        if odd.is_empty() {
            return;
        }
        let known = METADATA.map(str::to_owned);
        for key in odd.into_iter().take(FINDINGS_MAX) {
            let help = match closest(key, known.iter()) {
                Some(near) => format!("write `{near}`"),
                None => "write it below `labels` or `annotations`, or take it out".to_owned(),
            };
            let message = format!("`{}` is no field", self.told(key));
            self.at(key, |checker| checker.add("unknown-field", message, help));
        }
    }

    /// A key in a message.
    fn told<'k>(&self, key: &'k str) -> &'k str {
        if FIELDS.contains(key) {
            return key;
        }
        self.resource.origin.told(key)
    }

    fn field(&mut self, schema: &JSONSchemaProps, key: &str, value: &Value) {
        if self.full() {
            return;
        }
        let known = schema.properties.as_ref().and_then(|all| all.get(key));
        let further = match &schema.additional_properties {
            Some(JSONSchemaPropsOrBool::Schema(schema)) => Some(&**schema),
            _ => None,
        };
        if let Some(schema) = known.or(further) {
            self.at(key, |checker| checker.value(schema, value));
        } else if schema.properties.is_some() {
            let known = schema.properties.iter().flat_map(BTreeMap::keys);
            let help = match closest(key, known.clone()) {
                Some(near) => format!("write `{near}`"),
                None => format!(
                    "the fields here are {}",
                    known.cloned().collect::<Vec<_>>().join(", ")
                ),
            };
            let message = format!("`{}` is no field", self.told(key));
            self.at(key, |checker| checker.add("unknown-field", message, help));
        }
    }

    fn value(&mut self, schema: &JSONSchemaProps, value: &Value) {
        if self.full() || value.is_null() && schema.nullable == Some(true) {
            return;
        }
        let wanted = schema.type_.as_deref().unwrap_or_default();
        if !fits(schema, value) {
            let is = match value {
                Value::Null => "nothing",
                Value::Bool(_) => "a boolean",
                Value::Number(number) if wanted == "integer" => match number.as_f64() {
                    Some(number) if number.abs() > i64::MAX as f64 => "one as large",
                    _ => "one with a fraction or an exponent",
                },
                Value::Number(_) => "a number",
                Value::String(_) => "a text",
                Value::Array(_) => "a list",
                Value::Object(_) => "a mapping",
            };
            let (needed, help) = match wanted {
                "string" => ("a text", "put it in quotes"),
                "boolean" => ("a boolean", "write true or false, without quotes"),
                "integer" => ("a whole number", "write a few digits, without quotes"),
                "number" => ("a number", "write it without quotes"),
                "array" => ("a list", "start each item with `- `"),
                _ => ("a mapping", "write `key: value` lines below it"),
            };
            let message = format!("`{}` needs {needed}, not {is}", self.name());
            self.add("wrong-type", message, help.to_owned());
            return;
        }
        self.limits(schema, value);
        match value {
            Value::Object(fields) => {
                for required in schema
                    .required
                    .iter()
                    .flatten()
                    .filter(|field| !fields.contains_key(*field))
                {
                    self.add(
                        "missing-field",
                        format!("`{required}` is missing"),
                        format!("write `{required}:` here"),
                    );
                }
                for (key, value) in fields {
                    self.field(schema, key, value);
                }
            }
            Value::Array(items) => {
                if let Some(JSONSchemaPropsOrArray::Schema(schema)) = &schema.items {
                    for (index, item) in items.iter().enumerate() {
                        self.at(&index.to_string(), |checker| checker.value(schema, item));
                    }
                }
            }
            _ => {}
        }
    }

    fn limits(&mut self, schema: &JSONSchemaProps, value: &Value) {
        if let Some(allowed) = &schema.enum_
            && !allowed.iter().any(|allowed| allowed.0 == *value)
        {
            let words: Vec<String> = allowed
                .iter()
                .filter_map(|allowed| allowed.0.as_str().map(str::to_owned))
                .collect();
            let message = format!("`{}` has no such value", self.name());
            self.add("value", message, format!("write one of {}", words.join(", ")));
        }
        if let (Some(text), Some(pattern)) = (value.as_str(), &schema.pattern)
            && !PATTERNS
                .get(pattern)
                .is_some_and(|pattern| pattern.is_match(text))
        {
            let message = format!("`{}` is not of the form that is needed", self.name());
            self.add("value", message, format!("it must match {pattern}"));
        }
        if let Some(number) = value.as_f64() {
            let (least, most) = range(schema);
            let below = least.is_some_and(|least| number < least);
            let above = most.is_some_and(|most| number > most);
            if below || above {
                let range = match (least, most) {
                    (Some(least), Some(most)) => format!("write {least} to {most}"),
                    (Some(least), None) => format!("write {least} or more"),
                    (_, most) => format!("write {} or less", most.unwrap_or_default()),
                };
                let message = format!("`{}` is out of range", self.name());
                self.add("value", message, range);
            }
        }
        if let Some(items) = value.as_array()
            && schema.min_items.is_some_and(|least| (items.len() as i64) < least)
        {
            let message = format!("`{}` is empty", self.name());
            self.add("value", message, "give it at least one item".to_owned());
        }
    }
}

/// The least and the most that a number may be: what the schema says, within what its format holds. A number beyond that is of no
/// type of ours, and the API server refuses it.
pub(super) fn range(schema: &JSONSchemaProps) -> (Option<f64>, Option<f64>) {
    let of_format = match schema.format.as_deref() {
        Some("int32") => Some((i32::MIN.into(), i32::MAX.into())),
        Some("uint32") => Some((0.0, u32::MAX.into())),
        Some("uint8") => Some((0.0, u8::MAX.into())),
        Some("uint16") => Some((0.0, u16::MAX.into())),
        Some("uint64" | "uint") => Some((0.0, u64::MAX as f64)),
        _ => None,
    };
    let (least, most): (Option<f64>, Option<f64>) = of_format.unzip();
    (schema.minimum.or(least), schema.maximum.or(most))
}

/// Whether a value is of the type that is needed.
pub(super) fn fits(schema: &JSONSchemaProps, value: &Value) -> bool {
    match schema.type_.as_deref().unwrap_or_default() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        _ => true,
    }
}

/// Longer words are like none of ours.
const WORD_BYTES_MAX: usize = 100;

/// The most similar of several words, if one is similar at all. Two letters that changed places are one slip.
pub(super) fn closest<'a>(word: &str, known: impl Iterator<Item = &'a String>) -> Option<String> {
    // No field has so many letters, and to compare a megabyte takes seconds.
    if word.len() > WORD_BYTES_MAX {
        return None;
    }
    let limit = (word.len() / 3).max(1);
    let lower = word.to_lowercase();
    let letters = lower.chars().count();
    known
        // Where the lengths differ by more, so do the words.
        .filter(|known| known.chars().count().abs_diff(letters) <= limit)
        .map(|known| (strsim::osa_distance(&lower, &known.to_lowercase()), known))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, known)| known.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Integers of a schema by their pointers, with their bounds.
    fn integers(schema: &JSONSchemaProps, pointer: &str, found: &mut Vec<(String, bool)>) {
        if schema.type_.as_deref() == Some("integer") {
            let (least, most) = range(schema);
            found.push((pointer.to_owned(), least.is_some() && most.is_some()));
        }
        for (key, below) in schema.properties.iter().flatten() {
            integers(below, &format!("{pointer}/{key}"), found);
        }
        if let Some(JSONSchemaPropsOrArray::Schema(below)) = &schema.items {
            integers(below, &format!("{pointer}/0"), found);
        }
    }

    #[test]
    fn every_integer_that_people_write_has_bounds_within_its_type() {
        let mut found = Vec::new();
        for (kind, schema) in SCHEMAS.iter() {
            let spec = schema.properties.as_ref().and_then(|all| all.get("spec"));
            integers(spec.unwrap(), kind, &mut found);
        }
        assert!(found.len() > 20, "{found:?}");
        let unbounded: Vec<_> = found.iter().filter(|(_, bounded)| !bounded).collect();
        assert!(unbounded.is_empty(), "{unbounded:?}");
    }

    #[test]
    fn what_was_probably_meant_is_suggested_and_nothing_far_off() {
        let known = ["poolSelector", "keep", "schedule", "tier"].map(str::to_owned);
        for (word, expected) in [
            ("poolSelecter", Some("poolSelector")),
            ("PoolSelector", Some("poolSelector")),
            ("shcedule", Some("schedule")),
            ("teir", Some("tier")),
            ("kepe", Some("keep")),
            ("tie", Some("tier")),
            ("teer", Some("tier")),
            ("color", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(closest(word, known.iter()).as_deref(), expected, "{word}");
        }
    }
}
