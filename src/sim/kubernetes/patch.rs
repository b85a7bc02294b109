//! The patches that are not applies: JSON patch, merge patch, and strategic merge patch for built-in kinds. Pure.

use serde_json::{Map, Value};

use super::schema::Shape;
use super::status::{self, Answer, Refusal};

/// What a `PATCH` carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PatchType {
    /// `application/json-patch+json`
    Json,
    /// `application/merge-patch+json`
    Merge,
    /// `application/strategic-merge-patch+json`
    Strategic,
    /// `application/apply-patch+yaml`
    Apply,
}

impl PatchType {
    /// Reads a content type.
    pub(super) fn read(content_type: &str) -> Option<Self> {
        match content_type.split(';').next().unwrap_or_default().trim() {
            "application/json-patch+json" => Some(PatchType::Json),
            "application/merge-patch+json" => Some(PatchType::Merge),
            "application/strategic-merge-patch+json" => Some(PatchType::Strategic),
            "application/apply-patch+yaml" => Some(PatchType::Apply),
            _ => None,
        }
    }
}

/// The live object with the patch on it.
///
/// # Errors
///
/// 400 if the patch cannot be read, 422 if it does not fit the object.
pub(super) fn patched(live: &Value, patch: PatchType, body: &[u8], shape: Shape<'_>) -> Answer<Value> {
    let mut object = live.clone();
    if patch == PatchType::Json {
        let operations: json_patch::Patch = serde_json::from_slice(body).map_err(unreadable)?;
        json_patch::patch(&mut object, &operations).map_err(|_| status::rejected())?;
        return Ok(object);
    }
    let change: Value = serde_json::from_slice(body).map_err(unreadable)?;
    match patch {
        PatchType::Strategic => strategic(&mut object, &change, shape),
        _ => json_patch::merge(&mut object, &change),
    }
    Ok(object)
}

fn unreadable(problem: serde_json::Error) -> Refusal {
    status::bad_request(&format!("error decoding patch: {problem}"))
}

fn strategic(live: &mut Value, change: &Value, shape: Shape<'_>) {
    match (&mut *live, change) {
        (Value::Object(ours), Value::Object(theirs))
            if theirs.get("$patch").is_none_or(|how| how != "replace") =>
        {
            strategic_map(ours, theirs, shape);
        }
        (Value::Array(_), Value::Array(theirs)) if shape.has_parts(change) => {
            for item in theirs {
                strategic_item(live, item, shape);
            }
        }
        _ => *live = plain(change),
    }
}

fn strategic_map(ours: &mut Map<String, Value>, theirs: &Map<String, Value>, shape: Shape<'_>) {
    for (name, value) in theirs {
        if let Some(list) = name.strip_prefix("$deleteFromPrimitiveList/") {
            if let (Some(Value::Array(items)), Some(gone)) = (ours.get_mut(list), value.as_array()) {
                items.retain(|item| !gone.contains(item));
            }
        } else if name.starts_with('$') {
            continue;
        } else if value.is_null() || value.get("$patch").is_some_and(|how| how == "delete") {
            ours.remove(name);
        } else {
            match ours.get_mut(name) {
                Some(inner) => strategic(inner, value, shape.field(name)),
                None => drop(ours.insert(name.clone(), plain(value))),
            }
        }
    }
}

/// Merges one item of a list into the item with the same key.
fn strategic_item(live: &mut Value, item: &Value, shape: Shape<'_>) {
    let single = Value::Array(vec![item.clone()]);
    let Some(key) = shape
        .parts(&single)
        .and_then(|parts| parts.first().map(|part| part.0.clone()))
    else {
        return;
    };
    let copy = live.clone();
    let at = shape
        .parts(&copy)
        .unwrap_or_default()
        .iter()
        .position(|part| part.0 == key);
    let Some(items) = live.as_array_mut() else { return };
    let delete = item.get("$patch").is_some_and(|how| how == "delete");
    match at {
        Some(at) if delete => drop(items.remove(at)),
        Some(at) => strategic(&mut items[at], item, shape),
        None if delete => {}
        None => items.push(plain(item)),
    }
}

/// The change without its directives and nulls.
fn plain(change: &Value) -> Value {
    match change {
        Value::Object(map) => {
            let kept = map
                .iter()
                .filter(|(name, value)| !name.starts_with('$') && !value.is_null());
            Value::Object(kept.map(|(name, value)| (name.clone(), plain(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(plain).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;

    use super::*;

    #[test]
    fn every_patch_type_does_what_it_says() {
        let live = json!({"metadata": {"labels": {"a": "1"}}, "spec": {"containers": [{"name": "x", "image": "1"}]}});
        let table = [
            (
                PatchType::Merge,
                json!({"metadata": {"labels": {"a": null, "b": "2"}}}),
                "/metadata/labels",
                json!({"b": "2"}),
            ),
            (
                PatchType::Merge,
                json!({"spec": {"containers": [{"name": "y"}]}}),
                "/spec/containers",
                json!([{"name": "y"}]),
            ),
            (
                PatchType::Json,
                json!([{"op": "replace", "path": "/spec/containers/0/image", "value": "2"}]),
                "/spec/containers/0/image",
                json!("2"),
            ),
            (
                PatchType::Strategic,
                json!({"spec": {"containers": [{"name": "x", "image": "2"}, {"name": "y"}]}}),
                "/spec/containers",
                json!([{"name": "x", "image": "2"}, {"name": "y"}]),
            ),
            (
                PatchType::Strategic,
                json!({"spec": {"containers": [{"name": "x", "$patch": "delete"}]}}),
                "/spec/containers",
                json!([]),
            ),
        ];
        for (patch, body, at, wanted) in table {
            let body = body.to_string();
            let object = patched(&live, patch, body.as_bytes(), Shape::BuiltIn("")).unwrap();
            assert_eq!(object.pointer(at), Some(&wanted), "{patch:?} {body}");
        }
    }

    #[test]
    fn a_failed_test_operation_changes_nothing_and_is_refused() {
        let body = br#"[{"op":"test","path":"/a","value":2}]"#;
        let refusal = patched(&json!({"a": 1}), PatchType::Json, body, Shape::BuiltIn("")).unwrap_err();
        assert_eq!(refusal.code, 422);
    }
}
