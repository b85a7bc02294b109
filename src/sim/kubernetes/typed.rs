//! What an applied configuration may not hold: fields that the schema does not declare, keys that come twice. Pure.
//!
//! A create drops unknown fields of custom resources; a server-side apply refuses them, with a 500 that gives no reason.

use std::collections::BTreeSet;

use serde_json::Value;

use super::fields::FieldSet;
use super::schema::Shape;

/// What is wrong, in one text, or nothing.
pub(super) fn problem(config: &Value, shape: Shape<'_>) -> Option<String> {
    let mut found = Vec::new();
    walk(config, shape, &mut Vec::new(), &mut found);
    match found.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        many => Some(format!("errors:\n  {}", many.join("\n  "))),
    }
}

fn walk(value: &Value, shape: Shape<'_>, path: &mut Vec<String>, found: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    for (element, inner, inner_shape) in shape.parts(value).unwrap_or_default() {
        if !seen.insert(element.clone()) {
            found.push(format!(
                "{}: duplicate entries for key {}",
                spoken(path),
                spoken(&[element])
            ));
            continue;
        }
        let known = element
            .strip_prefix("f:")
            .is_none_or(|field| shape.declares(field));
        path.push(element);
        if known {
            walk(inner, inner_shape, path, found);
        } else {
            found.push(format!("{}: field not declared in schema", spoken(path)));
        }
        path.pop();
    }
}

fn spoken(path: &[String]) -> String {
    let mut set = FieldSet::default();
    set.insert(path);
    set.paths().concat()
}
