//! Patches: JSON 6902 lists and strategic merges, and the objects that they select.

use super::kustomization::{Patch, Target};
use super::{merge, yaml_diagnostic};
use crate::formats::yaml;
use crate::model::desired::Resource;
use crate::model::diagnostic::{Diagnostic, Place};
use serde_json::Value;
use std::collections::BTreeMap;

/// Applies one patch and says what is wrong with it.
pub(super) fn apply(
    resources: &mut Vec<Resource>,
    patch: &Patch,
    text: &str,
    place: &Place,
    secret: bool,
) -> Vec<Diagnostic> {
    let documents = match yaml::load(text) {
        Ok(documents) => documents,
        Err(mut error) => {
            if patch.path.is_none() {
                // An inline patch is a block scalar: its lines follow the one on which it starts.
                error.line += place.line;
            }
            return vec![yaml_diagnostic(&place.path, error)];
        }
    };
    let mut diagnostics = Vec::new();
    for document in &documents {
        let Ok(body) = document.to_json() else { continue };
        let outcome = match &body {
            Value::Array(_) => json_patch(resources, patch, &body, place, secret),
            Value::Object(_) => strategic(resources, patch, &body, place, secret),
            _ => Err(Diagnostic::error(
                place.clone(),
                "patch",
                "this is no patch",
                "write an object, or a list of operations",
            )),
        };
        diagnostics.extend(outcome.err());
    }
    resources.retain(|resource| !resource.value.is_null());
    diagnostics
}

fn json_patch(
    resources: &mut [Resource],
    patch: &Patch,
    body: &Value,
    place: &Place,
    secret: bool,
) -> Result<(), Diagnostic> {
    let operations: json_patch::Patch = serde_json::from_value(body.clone()).map_err(|_| {
        // The reader's words could quote a value, and the patch may be secret.
        Diagnostic::error(
            place.clone(),
            "patch",
            "this is no JSON patch",
            "each operation needs op, path and, mostly, value",
        )
    })?;
    let Some(target) = &patch.target else {
        return Err(Diagnostic::error(
            place.clone(),
            "patch",
            "a JSON patch needs a target",
            "add `target:` with kind and name",
        ));
    };
    let mut matched = false;
    for resource in resources.iter_mut().filter(|resource| selects(target, resource)) {
        matched = true;
        // What an encrypted patch writes is as secret as what it came from.
        resource.origin.secret |= secret;
        json_patch::patch(&mut resource.value, &operations).map_err(|error| {
            let message = format!(
                "operation {} at {} fails on {}",
                error.operation,
                error.path,
                resource.id()
            );
            Diagnostic::error(
                place.clone(),
                "patch",
                message,
                "compare the path with the object",
            )
        })?;
    }
    if matched { Ok(()) } else { Err(unmatched(place)) }
}

fn strategic(
    resources: &mut [Resource],
    patch: &Patch,
    body: &Value,
    place: &Place,
    secret: bool,
) -> Result<(), Diagnostic> {
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let by_identity = |resource: &Resource| {
        resource.kind() == text("/kind")
            && resource.api_version() == text("/apiVersion")
            && resource.name() == text("/metadata/name")
            && resource.namespace() == text("/metadata/namespace")
    };
    let mut matched = false;
    for resource in resources.iter_mut() {
        let selected = match &patch.target {
            Some(target) => selects(target, resource),
            None => by_identity(resource),
        };
        if !selected {
            continue;
        }
        matched = true;
        // What an encrypted patch writes is as secret as what it came from.
        resource.origin.secret |= secret;
        let (name, kind, api_version) = (
            resource.name().to_owned(),
            resource.kind().to_owned(),
            resource.api_version().to_owned(),
        );
        if body.get("$patch") == Some(&Value::String("delete".to_owned())) {
            resource.value = Value::Null;
            continue;
        }
        merge::merge(&mut resource.value, body, merge::is_built_in(&api_version));
        // A patch selects by name and kind; it never changes them.
        resource.value["metadata"]["name"] = Value::String(name);
        resource.value["kind"] = Value::String(kind);
        resource.value["apiVersion"] = Value::String(api_version);
    }
    if matched { Ok(()) } else { Err(unmatched(place)) }
}

fn unmatched(place: &Place) -> Diagnostic {
    Diagnostic::error(
        place.clone(),
        "patch-target",
        "no object matches this patch",
        "compare kind, name and namespace with the objects in `resources`",
    )
}

fn selects(target: &Target, resource: &Resource) -> bool {
    let (group, version) = resource
        .api_version()
        .split_once('/')
        .unwrap_or(("", resource.api_version()));
    let patterns = target.patterns.iter().all(|(field, pattern)| {
        pattern.is_match(match *field {
            "group" => group,
            "version" => version,
            "kind" => resource.kind(),
            "name" => resource.name(),
            _ => resource.namespace(),
        })
    });
    let has = |wanted: &BTreeMap<String, String>, field: &str| {
        wanted.iter().all(|(key, value)| {
            resource
                .value
                .get("metadata")
                .and_then(|meta| meta.get(field))
                .and_then(|all| all.get(key))
                .and_then(Value::as_str)
                == Some(value)
        })
    };
    patterns && has(&target.labels, "labels") && has(&target.annotations, "annotations")
}
