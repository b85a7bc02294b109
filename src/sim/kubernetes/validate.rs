//! What a CRD's structural schema does to its objects: defaults, pruning, and the basic checks (no CEL).

use regex::Regex;
use serde_json::{Map, Value};

use super::status::Cause;

/// Fills in defaults and takes out fields that the schema does not know.
pub(super) fn conform(object: &mut Value, schema: &Value) {
    let Some(map) = object.as_object_mut() else { return };
    let kept: Vec<_> = ["apiVersion", "kind", "metadata"]
        .iter()
        .filter_map(|&key| map.remove_entry(key))
        .collect();
    conform_node(object, schema);
    if let Some(map) = object.as_object_mut() {
        map.extend(kept);
    }
}

fn conform_node(value: &mut Value, schema: &Value) {
    match value {
        Value::Object(map) => conform_map(map, schema),
        Value::Array(items) => {
            if let Some(inner) = schema.get("items") {
                items.iter_mut().for_each(|item| conform_node(item, inner));
            }
        }
        _ => {}
    }
}

fn conform_map(map: &mut Map<String, Value>, schema: &Value) {
    let properties = schema.get("properties").and_then(Value::as_object);
    let open = schema["x-kubernetes-preserve-unknown-fields"] == true;
    let additional = schema
        .get("additionalProperties")
        .filter(|additional| **additional != false);
    for (name, inner) in properties.into_iter().flatten() {
        if let Some(default) = inner.get("default")
            && (!map.contains_key(name) || (map[name].is_null() && inner["nullable"] != true))
        {
            map.insert(name.clone(), default.clone());
        }
        if map.get(name).is_some_and(Value::is_null) && inner["nullable"] != true {
            map.remove(name);
        }
    }
    let known = |name: &String| properties.is_some_and(|all| all.contains_key(name));
    if schema["x-kubernetes-embedded-resource"] != true {
        map.retain(|name, _| open || additional.is_some() || known(name));
    }
    for (name, value) in map {
        if let Some(inner) = properties.and_then(|all| all.get(name)).or(additional) {
            conform_node(value, inner);
        }
    }
}

/// What is wrong with the object, with the sentences of the real server.
pub(super) fn check(object: &Value, schema: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    if let Some(map) = object.as_object() {
        check_map(map, schema, "", &mut causes);
    }
    causes
}

fn check_node(value: &Value, schema: &Value, path: &str, causes: &mut Vec<Cause>) {
    if value.is_null() && schema["nullable"] == true {
        return;
    }
    if !type_fits(value, schema) {
        let wanted = schema["type"].as_str().unwrap_or_default();
        let found = type_name(value);
        causes.push(Cause {
            reason: "FieldValueTypeInvalid",
            field: path.to_owned(),
            message: format!(
                "Invalid value: \"{found}\": {path} in body must be of type {wanted}: \"{found}\""
            ),
        });
        return;
    }
    check_enum(value, schema, path, causes);
    check_text(value, schema, path, causes);
    check_number(value, schema, path, causes);
    match value {
        Value::Object(map) => check_map(map, schema, path, causes),
        Value::Array(items) => check_items(items, schema, path, causes),
        _ => {}
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn type_fits(value: &Value, schema: &Value) -> bool {
    if schema["x-kubernetes-int-or-string"] == true {
        return matches!(type_name(value), "integer" | "string");
    }
    match (schema["type"].as_str(), value) {
        (None, _) => true,
        (Some("number"), Value::Number(_)) => true,
        (Some("integer"), Value::Number(number)) => {
            number.as_f64().is_some_and(|number| number.fract() == 0.0)
        }
        (Some(wanted), _) => wanted == type_name(value),
    }
}

fn check_enum(value: &Value, schema: &Value, path: &str, causes: &mut Vec<Cause>) {
    let Some(allowed) = schema["enum"]
        .as_array()
        .filter(|allowed| !allowed.contains(value))
    else {
        return;
    };
    let allowed: Vec<_> = allowed.iter().map(Value::to_string).collect();
    causes.push(Cause {
        reason: "FieldValueNotSupported",
        field: path.to_owned(),
        message: format!(
            "Unsupported value: {value}: supported values: {}",
            allowed.join(", ")
        ),
    });
}

fn check_text(value: &Value, schema: &Value, path: &str, causes: &mut Vec<Cause>) {
    let Some(text) = value.as_str() else { return };
    if let Some(pattern) = schema["pattern"].as_str()
        && Regex::new(pattern).is_ok_and(|regex| !regex.is_match(text))
    {
        causes.push(Cause::invalid(
            path,
            value,
            &format!("{path} in body should match '{pattern}'"),
        ));
    }
    let length = text.chars().count() as u64;
    if let Some(least) = schema["minLength"].as_u64().filter(|least| length < *least) {
        let why = format!("{path} in body should be at least {least} chars long");
        causes.push(Cause::invalid(path, value, &why));
    }
    if let Some(most) = schema["maxLength"].as_u64().filter(|most| length > *most) {
        causes.push(Cause {
            reason: "FieldValueTooLong",
            field: path.to_owned(),
            message: format!("Too long: may not be more than {most} bytes"),
        });
    }
}

fn check_number(value: &Value, schema: &Value, path: &str, causes: &mut Vec<Cause>) {
    let Some(number) = value.as_f64() else { return };
    if let Some(least) = schema["minimum"].as_f64().filter(|least| number < *least) {
        let why = format!("{path} in body should be greater than or equal to {least}");
        causes.push(Cause::invalid(path, value, &why));
    }
    if let Some(most) = schema["maximum"].as_f64().filter(|most| number > *most) {
        causes.push(Cause::invalid(
            path,
            value,
            &format!("{path} in body should be less than or equal to {most}"),
        ));
    }
}

fn check_map(map: &Map<String, Value>, schema: &Value, path: &str, causes: &mut Vec<Cause>) {
    let below = |name: &str| {
        if path.is_empty() {
            name.to_owned()
        } else {
            format!("{path}.{name}")
        }
    };
    for name in schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        if !map.contains_key(name) {
            causes.push(Cause::required(&below(name), ""));
        }
    }
    for (name, value) in map {
        if path.is_empty() && matches!(name.as_str(), "apiVersion" | "kind" | "metadata") {
            continue;
        }
        if let Some(inner) = schema.get("properties").and_then(|all| all.get(name)) {
            check_node(value, inner, &below(name), causes);
        } else if let Some(inner) = schema
            .get("additionalProperties")
            .filter(|inner| inner.is_object())
        {
            check_node(value, inner, &below(name), causes);
        }
    }
}

fn check_items(items: &[Value], schema: &Value, path: &str, causes: &mut Vec<Cause>) {
    let length = items.len() as u64;
    if let Some(least) = schema["minItems"].as_u64().filter(|least| length < *least) {
        let why = format!("{path} in body should have at least {least} items");
        causes.push(Cause::invalid(path, &Value::from(length), &why));
    }
    if let Some(most) = schema["maxItems"].as_u64().filter(|most| length > *most) {
        causes.push(Cause {
            reason: "FieldValueTooMany",
            field: path.to_owned(),
            message: format!("Too many: {length}: must have at most {most} items"),
        });
    }
    if let Some(inner) = schema.get("items") {
        for (at, item) in items.iter().enumerate() {
            check_node(item, inner, &format!("{path}[{at}]"), causes);
        }
    }
}
