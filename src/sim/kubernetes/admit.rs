//! What the server itself adds to and asks of the built-in kinds: defaults, required and immutable fields.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use regex::Regex;
use serde_json::{Value, json};

use super::kinds::{self, Kind};
use super::status::Cause;
use super::validate;

const NAME_RULE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', \
    and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const NAME_PATTERN: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";

/// Fills in what the server fills in.
pub(super) fn complete(kind: &Kind, version: &str, object: &mut Value, creating: bool) {
    if let Some(schema) = kind.version(version).and_then(|version| version.schema.as_ref()) {
        validate::conform(object, schema);
        return;
    }
    let defaults = match kind.qualified_kind().as_str() {
        "Namespace" => {
            let name = object["metadata"]["name"].clone();
            object["metadata"]["labels"]["kubernetes.io/metadata.name"] = name;
            json!({"spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}})
        }
        "PersistentVolume" => {
            json!({"spec": {"persistentVolumeReclaimPolicy": "Retain", "volumeMode": "Filesystem"},
            "status": {"phase": "Pending"}})
        }
        "PersistentVolumeClaim" => {
            json!({"spec": {"volumeMode": "Filesystem"}, "status": {"phase": "Pending"}})
        }
        "Pod" => json!({"spec": {"restartPolicy": "Always"}, "status": {"phase": "Pending"}}),
        "Deployment.apps" => {
            json!({"spec": {"replicas": 1, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}}})
        }
        "StatefulSet.apps" => {
            json!({"spec": {"replicas": 1, "revisionHistoryLimit": 10, "podManagementPolicy": "OrderedReady",
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}}})
        }
        "StorageClass.storage.k8s.io" => json!({"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"}),
        "Secret" => {
            encode_string_data(object);
            json!({"type": "Opaque"})
        }
        "CustomResourceDefinition.apiextensions.k8s.io" => complete_definition(object),
        _ => return,
    };
    fill(object, &defaults, creating);
}

/// Adds what is missing; `status` only to a new object.
fn fill(object: &mut Value, defaults: &Value, creating: bool) {
    for (name, default) in defaults.as_object().into_iter().flatten() {
        if name == "status" && !creating {
            continue;
        }
        match object.get_mut(name) {
            Some(inner) if inner.is_object() && default.is_object() => fill(inner, default, true),
            Some(inner) if !inner.is_null() => {}
            _ => object[name] = default.clone(),
        }
    }
}

fn encode_string_data(object: &mut Value) {
    let Some(map) = object.as_object_mut() else { return };
    if let Some(Value::Object(texts)) = map.remove("stringData") {
        for (key, text) in texts {
            let encoded = STANDARD.encode(text.as_str().unwrap_or_default());
            object["data"][key] = json!(encoded);
        }
    }
}

fn complete_definition(object: &mut Value) -> Value {
    let kind = object["spec"]["names"]["kind"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    json!({"spec": {"conversion": {"strategy": "None"},
        "names": {"singular": kind.to_lowercase(), "listKind": format!("{kind}List")}}})
}

/// The status of a definition that is served; on the real server a controller writes it a moment later.
pub(super) fn establish(definition: &mut Value, live: Option<&Value>, now: &str) {
    if let Some(status) = live.and_then(|live| live.get("status")) {
        definition["status"] = status.clone();
    } else {
        let condition = |kind: &str, reason: &str, message: &str| json!({"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": now});
        definition["status"] = json!({"conditions": [
            condition("NamesAccepted", "NoConflicts", "no conflicts found"),
            condition("Established", "InitialNamesAccepted", "the initial names have been accepted")]});
    }
    definition["status"]["acceptedNames"] = definition["spec"]["names"].clone();
    let versions = definition["spec"]["versions"].as_array();
    let stored = versions
        .into_iter()
        .flatten()
        .find(|version| version["storage"] == true);
    definition["status"]["storedVersions"] = json!(
        stored
            .map(|version| &version["name"])
            .into_iter()
            .collect::<Vec<_>>()
    );
}

/// What is wrong with the object, or with the way it changed.
pub(super) fn check(kind: &Kind, version: &str, live: Option<&Value>, object: &Value) -> Vec<Cause> {
    let mut causes = check_name(kind, object);
    if let Some(schema) = kind.version(version).and_then(|version| version.schema.as_ref()) {
        causes.extend(validate::check(object, schema));
        return causes;
    }
    match kind.qualified_kind().as_str() {
        "StorageClass.storage.k8s.io" => check_storage_class(live, object, &mut causes),
        "PersistentVolumeClaim" => check_claim(live, object, &mut causes),
        "Secret" if live.is_some_and(|live| live["type"] != object["type"]) => {
            causes.push(Cause::invalid("type", &object["type"], "field is immutable"));
        }
        "CustomResourceDefinition.apiextensions.k8s.io" => check_definition(object, &mut causes),
        _ => {}
    }
    causes
}

fn check_name(kind: &Kind, object: &Value) -> Vec<Cause> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    if name.is_empty() {
        return vec![Cause::required(
            "metadata.name",
            "name or generateName is required",
        )];
    }
    // Names of RBAC objects are free: `system:node`.
    if kind.group == "rbac.authorization.k8s.io" {
        return Vec::new();
    }
    let fits = Regex::new(NAME_PATTERN).is_ok_and(|pattern| pattern.is_match(name));
    if fits {
        Vec::new()
    } else {
        vec![Cause::invalid("metadata.name", &json!(name), NAME_RULE)]
    }
}

fn check_storage_class(live: Option<&Value>, object: &Value, causes: &mut Vec<Cause>) {
    if object["provisioner"].as_str().unwrap_or_default().is_empty() {
        causes.push(Cause::required("provisioner", ""));
    }
    let Some(live) = live else { return };
    for field in ["parameters", "provisioner", "reclaimPolicy"] {
        if live[field] != object[field] {
            causes.push(Cause::forbidden(
                field,
                &format!("updates to {field} are forbidden."),
            ));
        }
    }
    if live["volumeBindingMode"] != object["volumeBindingMode"] {
        causes.push(Cause::invalid(
            "volumeBindingMode",
            &object["volumeBindingMode"],
            "field is immutable",
        ));
    }
}

fn check_claim(live: Option<&Value>, object: &Value, causes: &mut Vec<Cause>) {
    let Some(live) = live else {
        if object["spec"]["accessModes"].as_array().is_none_or(Vec::is_empty) {
            causes.push(Cause::required(
                "spec.accessModes",
                "at least 1 access mode is required",
            ));
        }
        return;
    };
    let mut same = object["spec"].clone();
    same["resources"] = live["spec"]["resources"].clone();
    same["volumeAttributesClassName"] = live["spec"]["volumeAttributesClassName"].clone();
    let mut before = live["spec"].clone();
    before["volumeAttributesClassName"] = live["spec"]["volumeAttributesClassName"].clone();
    before["resources"] = live["spec"]["resources"].clone();
    // A binder may name the volume once.
    if before.get("volumeName").is_none_or(|name| name == "") {
        before["volumeName"] = same["volumeName"].clone();
    }
    if same != before {
        let why = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        causes.push(Cause::forbidden("spec", why));
    }
}

fn check_definition(object: &Value, causes: &mut Vec<Cause>) {
    let Some(kind) = kinds::from_definition(object) else {
        return causes.push(Cause::required(
            "spec",
            "group, scope, names and a served version",
        ));
    };
    if object["metadata"]["name"] != json!(kind.resource()) {
        let why = "must be spec.names.plural+\".\"+spec.group";
        causes.push(Cause::invalid("metadata.name", &object["metadata"]["name"], why));
    }
}
