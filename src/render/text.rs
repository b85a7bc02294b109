//! Objects as text for people and machines, secrets masked.

use crate::formats::yaml::emit::emit;
use crate::model::rendering::RenderedObject;
use serde_json::Value;

/// What stands for a secret value.
const MASK: &str = "*** (masked; --show-secrets shows it)";

/// An object with its secret values masked: every value of a Secret, and every text of a file that was encrypted, its
/// annotations and labels too.
pub fn masked(object: &RenderedObject) -> Value {
    let mut value = Value::clone(&object.value);
    if object.secret {
        for (key, field) in value.as_object_mut().into_iter().flatten() {
            if !matches!(key.as_str(), "apiVersion" | "kind" | "metadata" | "type") {
                mask(field);
            }
        }
        // What stands there was decrypted, or made of something that was.
        for field in ["annotations", "labels"] {
            if object.origin.secret
                && let Some(field) = value.pointer_mut(&format!("/metadata/{field}"))
            {
                mask(field);
            }
        }
    }
    value
}

fn mask(value: &mut Value) {
    match value {
        Value::Object(fields) => fields.values_mut().for_each(mask),
        Value::Array(items) => items.iter_mut().for_each(mask),
        Value::Null => {}
        _ => *value = Value::String(MASK.to_owned()),
    }
}

/// Objects as a stream of YAML documents.
pub fn yaml(objects: &[Value]) -> String {
    objects
        .iter()
        .map(|object| format!("---\n{}", emit(object)))
        .collect()
}
