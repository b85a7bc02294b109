//! A spec that its schema refuses → one that its type takes, and what was lost: so that all that is wrong with the rest is told in
//! the same run.

use super::schema::closest;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A mended spec, and the JSON pointers of what it does not say as it was written.
pub(super) fn mend(schema: &JSONSchemaProps, spec: &Value) -> (Value, Vec<String>) {
    let mut lost = Vec::new();
    let mended = value(schema, spec, "/spec", &mut lost);
    (mended.unwrap_or_else(|| placeholder(schema)), lost)
}

/// The value without what does not fit; nothing of one that does not fit itself.
fn value(schema: &JSONSchemaProps, written: &Value, pointer: &str, lost: &mut Vec<String>) -> Option<Value> {
    if written.is_null() && schema.nullable == Some(true) {
        return Some(Value::Null);
    }
    let number = written.as_f64();
    let (least, most) = super::schema::range(schema);
    let below = |number: f64| least.is_some_and(|least| number < least);
    let above = |number: f64| most.is_some_and(|most| number > most);
    let strange = |allowed: &Vec<_>| !allowed.iter().any(|one: &JsonText| one.0 == *written);
    if !super::schema::fits(schema, written)
        || number.is_some_and(|number| below(number) || above(number))
        || schema.enum_.as_ref().is_some_and(strange)
    {
        lost.push(pointer.to_owned());
        return None;
    }
    Some(match written {
        Value::Object(entries) => Value::Object(fields(schema, entries, pointer, lost)),
        Value::Array(items) => match &schema.items {
            Some(JSONSchemaPropsOrArray::Schema(schema)) => {
                let mut kept = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    // Something stays in its place: the others' pointers count on it.
                    let item = value(schema, item, &format!("{pointer}/{index}"), lost);
                    kept.push(item.unwrap_or_else(|| placeholder(schema)));
                }
                Value::Array(kept)
            }
            _ => written.clone(),
        },
        _ => written.clone(),
    })
}

/// One of the values that a field may have.
type JsonText = k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSON;

fn fields(
    schema: &JSONSchemaProps,
    written: &Map<String, Value>,
    pointer: &str,
    lost: &mut Vec<String>,
) -> Map<String, Value> {
    let known = schema.properties.as_ref();
    let mut kept = Map::new();
    for (key, one) in written {
        let at = format!("{pointer}/{}", crate::formats::yaml::escape(key));
        let its = match (known.and_then(|all| all.get(key)), &schema.additional_properties) {
            (Some(schema), _) => schema,
            (None, Some(JSONSchemaPropsOrBool::Schema(schema))) => schema,
            _ => {
                // It was probably meant to be this one, which is not missing then.
                let meant = closest(key, known.into_iter().flat_map(BTreeMap::keys));
                lost.extend(meant.map(|meant| format!("{pointer}/{meant}")));
                continue;
            }
        };
        if let Some(one) = value(its, one, &at, lost) {
            kept.insert(key.clone(), one);
        }
    }
    for required in schema.required.iter().flatten() {
        if let Some(schema) = known.and_then(|all| all.get(required))
            && !kept.contains_key(required)
        {
            lost.push(format!("{pointer}/{required}"));
            kept.insert(required.clone(), placeholder(schema));
        }
    }
    kept
}

/// Something of the type that is needed.
fn placeholder(schema: &JSONSchemaProps) -> Value {
    if let Some(first) = schema.enum_.as_ref().and_then(|allowed| allowed.first()) {
        return first.0.clone();
    }
    match schema.type_.as_deref().unwrap_or_default() {
        "object" => Value::Object(fields(schema, &Map::new(), "", &mut Vec::new())),
        "array" => Value::Array(Vec::new()),
        "boolean" => Value::Bool(false),
        "integer" | "number" => Value::from(schema.minimum.unwrap_or_default().max(0.0).ceil() as u64),
        _ => Value::String(String::new()),
    }
}
