//! Label and field selectors of list and watch requests.

use serde_json::Value;

use super::kinds::Kind;
use super::status::{self, Answer};

/// What a list or a watch leaves out.
#[derive(Debug, Clone, Default)]
pub(super) struct Selector {
    labels: Vec<(String, Rule)>,
    fields: Vec<(String, String, bool)>,
}

#[derive(Debug, Clone)]
enum Rule {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Missing,
}

/// The fields of built-in kinds, besides name and namespace, that can be selected.
const FIELDS: &[(&str, &[&str])] = &[
    (
        "pods",
        &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "status.phase",
        ],
    ),
    (
        "events",
        &[
            "involvedObject.apiVersion",
            "involvedObject.fieldPath",
            "involvedObject.kind",
            "involvedObject.name",
            "involvedObject.namespace",
            "involvedObject.resourceVersion",
            "involvedObject.uid",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
    ),
    ("secrets", &["type"]),
    ("namespaces", &["status.phase"]),
    ("jobs", &["status.successful"]),
    ("nodes", &["spec.unschedulable"]),
];

impl Selector {
    /// Reads both selectors of a request.
    ///
    /// # Errors
    ///
    /// 400 for a selector that cannot be read or a field that cannot be selected.
    pub(super) fn read(kind: &Kind, labels: &str, fields: &str) -> Answer<Selector> {
        let mut selector = Selector::default();
        for term in split_terms(labels) {
            let rule = read_label(term)
                .ok_or_else(|| status::bad_request(&format!("unable to parse requirement: {term:?}")))?;
            selector.labels.push(rule);
        }
        for term in fields.split(',').filter(|term| !term.is_empty()) {
            let (field, value, wanted) = match (term.split_once("!="), term.split_once('=')) {
                (Some((field, value)), _) => (field, value, false),
                (None, Some((field, value))) => (field, value.trim_start_matches('='), true),
                (None, None) => {
                    return Err(status::bad_request(&format!(
                        "invalid selector: '{term}'; can't understand '{term}'"
                    )));
                }
            };
            if !can_select(kind, field) {
                let why = match more_fields(kind) {
                    None if !kind.custom => format!(
                        "{field:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
                    ),
                    _ => format!("field label not supported: {field}"),
                };
                return Err(status::bad_request(&why));
            }
            selector.fields.push((field.to_owned(), value.to_owned(), wanted));
        }
        Ok(selector)
    }

    /// Whether the object is wanted.
    pub(super) fn takes(&self, object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        self.labels.iter().all(|(key, rule)| {
            let value = labels.get(key).and_then(Value::as_str);
            match rule {
                Rule::In(values) => value.is_some_and(|value| values.iter().any(|wanted| wanted == value)),
                Rule::NotIn(values) => value.is_none_or(|value| values.iter().all(|other| other != value)),
                Rule::Exists => value.is_some(),
                Rule::Missing => value.is_none(),
            }
        }) && self.fields.iter().all(|(field, wanted, equal)| {
            let value = object.pointer(&format!("/{}", field.replace('.', "/")));
            (value.and_then(Value::as_str).unwrap_or_default() == wanted) == *equal
        })
    }
}

fn more_fields(kind: &Kind) -> Option<&'static [&'static str]> {
    FIELDS
        .iter()
        .find(|(plural, _)| !kind.custom && *plural == kind.plural)
        .map(|(_, fields)| *fields)
}

fn can_select(kind: &Kind, field: &str) -> bool {
    matches!(field, "metadata.name" | "metadata.namespace")
        || more_fields(kind).is_some_and(|fields| fields.contains(&field))
}

/// Splits at commas that stand outside parentheses.
fn split_terms(text: &str) -> Vec<&str> {
    let (mut terms, mut depth, mut start) = (Vec::new(), 0_u32, 0);
    for (at, sign) in text.char_indices() {
        match sign {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                terms.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    terms.push(text[start..].trim());
    terms.retain(|term| !term.is_empty());
    terms
}

fn read_label(term: &str) -> Option<(String, Rule)> {
    let set = |text: &str| {
        let inner = text.trim().strip_prefix('(')?.strip_suffix(')')?;
        Some(
            inner
                .split(',')
                .map(|value| value.trim().to_owned())
                .collect::<Vec<_>>(),
        )
    };
    let one = |value: &str| vec![value.trim().to_owned()];
    let (key, rule) = if let Some(key) = term.strip_prefix('!') {
        (key, Rule::Missing)
    } else if let Some((key, values)) = term.split_once(" notin ") {
        (key, Rule::NotIn(set(values)?))
    } else if let Some((key, values)) = term.split_once(" in ") {
        (key, Rule::In(set(values)?))
    } else if let Some((key, value)) = term.split_once("!=") {
        (key, Rule::NotIn(one(value)))
    } else if let Some((key, value)) = term.split_once('=') {
        (key, Rule::In(one(value.trim_start_matches('='))))
    } else {
        (term, Rule::Exists)
    };
    let key = key.trim();
    (!key.is_empty() && !key.contains(' ')).then(|| (key.to_owned(), rule))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;

    use super::*;

    #[test]
    fn selectors_take_what_kubectl_would_show() {
        let kind = super::super::kinds::built_in()
            .into_iter()
            .find(|kind| kind.plural == "pods")
            .unwrap();
        let pod = json!({"metadata": {"name": "a", "labels": {"app": "db", "tier": "hot"}}, "spec": {"nodeName": "n1"}});
        let table = [
            ("app=db", "", true),
            ("app==db,tier!=cold", "", true),
            ("app in (web, db),tier", "", true),
            ("app notin (web)", "", true),
            ("other!=x", "", true),
            ("!tier", "", false),
            ("app=web", "", false),
            ("tier in (cold)", "", false),
            ("", "metadata.name=a", true),
            ("", "metadata.name!=a", false),
            ("", "spec.nodeName=n1,metadata.name=a", true),
        ];
        for (labels, fields, taken) in table {
            let selector = Selector::read(&kind, labels, fields).unwrap();
            assert_eq!(selector.takes(&pod), taken, "labels {labels:?} fields {fields:?}");
        }
    }

    #[test]
    fn a_field_that_cannot_be_selected_is_refused() {
        let kind = super::super::kinds::built_in()
            .into_iter()
            .find(|kind| kind.plural == "configmaps")
            .unwrap();
        let refusal = Selector::read(&kind, "", "data.x=1").unwrap_err();
        let why = "\"data.x\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"";
        assert_eq!(refusal.body["message"], why);
    }
}
