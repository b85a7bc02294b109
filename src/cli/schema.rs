//! `schema`: our kinds as JSON schemas, by which an editor's YAML language server checks and completes.

use super::{Failed, data};
use crate::model::kinds::{API_VERSION, MADE_BY_US, all_crds};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Map, Value, json};

/// The dialect that yaml-language-server reads whole.
const DIALECT: &str = "http://json-schema.org/draft-07/schema#";

/// Options of `schema`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// One kind only; without it, a schema of all kinds that leaves objects of others alone.
    #[arg(conflicts_with = "template")]
    kind: Option<String>,
    /// Print the built-in template of proposals instead, to start one of your own from.
    #[arg(long)]
    template: bool,
}

/// `schema`.
pub fn schema(arguments: &Arguments) -> Result<u8, Failed> {
    if arguments.template {
        data(crate::render::proposal::BUILT_IN);
        return Ok(0);
    }
    // What couchestor makes is never written by hand.
    let crds: Vec<CustomResourceDefinition> = all_crds()
        .into_iter()
        .filter(|crd| !MADE_BY_US.contains(&crd.spec.names.kind.as_str()))
        .collect();
    let schema = match &arguments.kind {
        None => all(&crds),
        Some(kind) => {
            let same = |crd: &&CustomResourceDefinition| crd.spec.names.kind.eq_ignore_ascii_case(kind);
            let Some(crd) = crds.iter().find(same) else {
                let kinds: Vec<&str> = crds.iter().map(|crd| crd.spec.names.kind.as_str()).collect();
                return Err(Failed(format!(
                    "there is no kind {kind} that is written by hand; write one of {}",
                    kinds.join(", ")
                )));
            };
            let mut schema = of_kind(crd);
            schema["$schema"] = json!(DIALECT);
            schema
        }
    };
    data(&serde_json::to_string_pretty(&schema)?);
    Ok(0)
}

/// Every kind by its name, for files in which several kinds stand, also ones that are not ours.
fn all(crds: &[CustomResourceDefinition]) -> Value {
    let kinds: Vec<&str> = crds.iter().map(|crd| crd.spec.names.kind.as_str()).collect();
    let definitions: Map<String, Value> = crds
        .iter()
        .map(|crd| (crd.spec.names.kind.clone(), of_kind(crd)))
        .collect();
    let ours = json!({"required": ["apiVersion"], "properties": {"apiVersion": {"const": API_VERSION}}});
    let mut rules = vec![json!({"if": ours, "then": {"properties": {"kind": {"enum": kinds}}}})];
    rules.extend(kinds.iter().map(|kind| {
        json!({
            "if": {
                "required": ["apiVersion", "kind"],
                "properties": {"apiVersion": {"const": API_VERSION}, "kind": {"const": kind}},
            },
            "then": {"$ref": format!("#/definitions/{kind}")},
        })
    }));
    json!({
        "$schema": DIALECT,
        "title": "Kinds of couchestor",
        "type": "object",
        "required": ["apiVersion", "kind"],
        "properties": {"apiVersion": {"type": "string"}, "kind": {"type": "string"}},
        "allOf": rules,
        "definitions": definitions,
    })
}

/// A CRD's schema without what only the API server understands, and with what it adds: the fields of every object.
fn of_kind(crd: &CustomResourceDefinition) -> Value {
    let kind = &crd.spec.names.kind;
    let version = crd.spec.versions.first();
    let schema = version.and_then(|version| version.schema.as_ref()?.open_api_v3_schema.clone());
    let mut schema = serde_json::to_value(schema).unwrap_or_default();
    translate(&mut schema);
    schema["properties"]["apiVersion"] = json!({"const": API_VERSION});
    schema["properties"]["kind"] = json!({"const": kind});
    // A namespace may come from a kustomization, so none is demanded.
    let about = match crd.spec.scope.as_str() {
        "Namespaced" => "Its name and namespace.",
        _ => "Its name; this kind has no namespace.",
    };
    schema["properties"]["metadata"] = json!({
        "type": "object",
        "required": ["name"],
        "properties": {"name": {"type": "string"}},
        "description": about,
    });
    if let Some(properties) = schema["properties"].as_object_mut() {
        properties.remove("status");
    }
    schema["required"] = json!(["apiVersion", "kind", "metadata", "spec"]);
    schema
}

/// OpenAPI's dialect of a CRD → JSON schema: fields that it does not name are mistakes, and null may stand where it is allowed.
fn translate(schema: &mut Value) {
    let Value::Object(map) = schema else { return };
    let nullable = map.remove("nullable") == Some(Value::Bool(true));
    let open = map.remove("x-kubernetes-preserve-unknown-fields") == Some(Value::Bool(true));
    map.retain(|key, _| !key.starts_with("x-kubernetes-"));
    // `int32` and `double` are no formats of JSON schema.
    map.remove("format");
    if nullable {
        if let Some(one) = map.get("type").filter(|one| one.is_string()).cloned() {
            map.insert("type".to_owned(), json!([one, "null"]));
        }
        if let Some(Value::Array(words)) = map.get_mut("enum")
            && !words.contains(&Value::Null)
        {
            words.push(Value::Null);
        }
    }
    if let Some(Value::Object(properties)) = map.get_mut("properties") {
        properties.values_mut().for_each(translate);
        if !open && !map.contains_key("additionalProperties") {
            map.insert("additionalProperties".to_owned(), Value::Bool(false));
        }
    }
    for below in ["items", "additionalProperties"] {
        if let Some(below) = map.get_mut(below) {
            translate(below);
        }
    }
    for below in ["allOf", "anyOf", "oneOf"] {
        if let Some(Value::Array(all)) = map.get_mut(below) {
            all.iter_mut().for_each(translate);
        }
    }
}
