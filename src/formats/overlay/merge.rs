//! Strategic merge on plain JSON: maps merge, lists of built-in kinds merge by their keys, all other lists are replaced.

use serde_json::{Map, Value};

/// Lists of built-in kinds that merge by key, as Kubernetes' API types declare them (`patchMergeKey`).
const MERGE_KEYS: [(&str, &str); 15] = [
    ("containers", "name"),
    ("initContainers", "name"),
    ("ephemeralContainers", "name"),
    ("env", "name"),
    ("volumes", "name"),
    ("volumeMounts", "mountPath"),
    ("volumeDevices", "devicePath"),
    ("imagePullSecrets", "name"),
    ("hostAliases", "ip"),
    ("ownerReferences", "uid"),
    ("secrets", "name"),
    ("conditions", "type"),
    ("topologySpreadConstraints", "topologyKey+whenUnsatisfiable"),
    ("resourceClaims", "name"),
    ("podIPs", "ip"),
];

/// Whether an API version is one of Kubernetes' own, whose lists have merge keys.
pub(super) fn is_built_in(api_version: &str) -> bool {
    match api_version.split_once('/') {
        None => true,
        Some((group, _)) => {
            !group.contains('.') || group.ends_with(".k8s.io") && group != "snapshot.storage.k8s.io"
        }
    }
}

/// Merges a patch into a value.
pub(super) fn merge(base: &mut Value, patch: &Value, built_in: bool) {
    let Value::Object(patch) = patch else {
        *base = patch.clone();
        return;
    };
    if patch.get("$patch").and_then(Value::as_str) == Some("replace") {
        *base = Value::Object(without_directives(patch));
        return;
    }
    if !base.is_object() {
        *base = Value::Object(Map::new());
    }
    let Value::Object(entries) = base else { return };
    if let Some(Value::Array(kept)) = patch.get("$retainKeys") {
        entries.retain(|key, _| kept.iter().any(|kept| kept == key));
    }
    for (key, value) in patch {
        if let Some(list) = key.strip_prefix("$deleteFromPrimitiveList/") {
            if let (Some(Value::Array(items)), Value::Array(gone)) = (entries.get_mut(list), value) {
                items.retain(|item| !gone.contains(item));
            }
        } else if key.starts_with('$') {
            // Other directives order or steer; the merge above has taken care of those that change content.
        } else if value.is_null() {
            entries.remove(key);
        } else if let Value::Array(items) = value {
            merge_list(entries, key, items, built_in);
        } else if value.get("$patch").and_then(Value::as_str) == Some("delete") {
            entries.remove(key);
        } else {
            merge(entries.entry(key.clone()).or_insert(Value::Null), value, built_in);
        }
    }
}

fn merge_list(entries: &mut Map<String, Value>, key: &str, items: &[Value], built_in: bool) {
    let merge_key = match key {
        "ports" if items.iter().any(|item| item.get("containerPort").is_some()) => {
            Some("containerPort+protocol")
        }
        "ports" if items.iter().any(|item| item.get("port").is_some()) => Some("port+protocol"),
        _ => MERGE_KEYS
            .iter()
            .find(|(list, _)| *list == key)
            .map(|(_, merge_key)| *merge_key),
    };
    // Ports without a protocol are TCP; every other part of a key must be there.
    let identity = |item: &Value| -> Option<Vec<Value>> {
        let part = |part: &str| match item.get(part) {
            None if part == "protocol" => Some(Value::from("TCP")),
            found => found.cloned(),
        };
        merge_key?.split('+').map(part).collect()
    };
    let keyed = built_in
        && merge_key.is_some()
        && items
            .iter()
            .all(|item| identity(item).is_some() || item.get("$patch").is_some());
    let replaces = items.iter().any(|item| {
        item.get("$patch").and_then(Value::as_str) == Some("replace") && identity(item).is_none()
    });
    if built_in && key == "finalizers" {
        let old = entries
            .get(key)
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        let kept = old.into_iter().filter(|old| !items.contains(old));
        let all = items.iter().cloned().chain(kept).collect();
        entries.insert(key.to_owned(), Value::Array(all));
        return;
    }
    if !keyed || replaces {
        let plain = items
            .iter()
            .filter(|item| item.get("$patch").is_none())
            .cloned()
            .collect();
        entries.insert(key.to_owned(), Value::Array(plain));
        return;
    }
    let list = entries
        .entry(key.to_owned())
        .or_insert_with(|| Value::Array(Vec::new()));
    let Value::Array(list) = list else {
        *list = Value::Array(items.to_vec());
        return;
    };
    let mut added = Vec::new();
    for item in items {
        let position = list.iter().position(|old| identity(old) == identity(item));
        let delete = item.get("$patch").and_then(Value::as_str) == Some("delete");
        match position {
            Some(index) if delete => {
                list.remove(index);
            }
            Some(index) => merge(&mut list[index], item, built_in),
            None if delete => {}
            None => {
                let mut fresh = Value::Null;
                merge(&mut fresh, item, built_in);
                added.push(fresh);
            }
        }
    }
    // kustomize puts the items that the patch adds first.
    added.append(list);
    *list = added;
}

fn without_directives(patch: &Map<String, Value>) -> Map<String, Value> {
    patch
        .iter()
        .filter(|(key, _)| !key.starts_with('$'))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}
