//! What a kustomization does to all of its objects: namespace, prefixes and suffixes, labels, annotations, replicas.

use super::fields::{Row, Spec};
use super::kinds;
use super::kustomization::{Labels, Replica};
use super::object::{Index, Object, is_cluster_scoped};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Puts every namespaced object into a namespace, with what speaks of it.
pub(super) fn namespace(objects: &mut [Object], namespace: &str) -> Result<(), String> {
    let specs = specs(&kinds::NAMESPACES);
    for object in objects {
        object.remember();
        let id = object.id();
        let value = object.resource.value_mut();
        if !is_cluster_scoped(&id.group, &id.kind) {
            value["metadata"]["namespace"] = json!(namespace);
        }
        if id.kind == "RoleBinding" || id.kind == "ClusterRoleBinding" {
            let subjects = value.get_mut("subjects").and_then(Value::as_array_mut);
            for subject in subjects.into_iter().flatten() {
                if subject["name"] == "default" {
                    subject["namespace"] = json!(namespace);
                }
            }
        }
        for spec in specs.iter().filter(|spec| spec.fits(id.named())) {
            spec.visit(value, &|| json!(""), &mut |found| {
                *found = json!(namespace);
                Ok(())
            })?;
        }
    }
    Ok(())
}

/// Puts something before and after the names.
pub(super) fn rename(objects: &mut [Object], prefix: &str, suffix: &str) {
    if prefix.is_empty() && suffix.is_empty() {
        return;
    }
    for object in objects {
        let first = object.first_named();
        let unnamed = kinds::UNNAMED
            .iter()
            .any(|(group, kind)| *kind == first.kind && (group.is_empty() || *group == first.group));
        if unnamed {
            continue;
        }
        for (text, before) in [(prefix, true), (suffix, false)] {
            if text.is_empty() {
                continue;
            }
            object.remember();
            let name = object.resource.name().to_owned();
            let list = if before {
                &mut object.prefixes
            } else {
                &mut object.suffixes
            };
            list.push(text.to_owned());
            let fresh = if before {
                format!("{text}{name}")
            } else {
                format!("{name}{text}")
            };
            object.resource.value_mut()["metadata"]["name"] = json!(fresh);
        }
    }
}

fn specs(rows: &[Row]) -> Vec<Spec> {
    rows.iter().copied().map(Spec::from).collect()
}

/// Entries of labels that follow each other and go to the same places, as one: what a later one says wins.
pub(super) fn together(all: &[Labels]) -> Vec<Labels> {
    let mut together: Vec<Labels> = Vec::new();
    for one in all.iter().filter(|one| !one.pairs.is_empty()) {
        match together.last_mut() {
            Some(last)
                if (last.selectors, last.templates) == (one.selectors, one.templates)
                    && last.fields == one.fields =>
            {
                last.pairs.extend(one.pairs.clone());
            }
            _ => together.push(one.clone()),
        }
    }
    together
}

/// Adds labels.
pub(super) fn labels(objects: &mut [Object], labels: &Labels) -> Result<(), String> {
    let mut places = labels.fields.clone();
    if labels.selectors {
        places.extend(selector_specs());
    } else if labels.templates {
        places.extend(specs(&kinds::METADATA_LABELS));
    } else {
        places.push(Spec::from(kinds::METADATA_LABELS[0]));
    }
    put_all(objects, &places, &labels.pairs)
}

fn selector_specs() -> Vec<Spec> {
    let mut all = specs(&kinds::METADATA_LABELS);
    all.extend(specs(&kinds::SELECTORS));
    for kind in kinds::POD_SELECTOR_KINDS {
        all.extend(kinds::POD_SELECTORS.map(|path| Spec::from(("apps", "", kind, path, false))));
    }
    all
}

/// Adds annotations.
pub(super) fn annotations(objects: &mut [Object], pairs: &BTreeMap<String, String>) -> Result<(), String> {
    put_all(objects, &specs(&kinds::ANNOTATIONS), pairs)
}

/// Takes empty maps of annotations out, as kustomize does at the end; labels may be empty.
pub(super) fn settle_annotations(objects: &mut [Object]) {
    for object in objects {
        let empty = object.annotations().is_some_and(Map::is_empty);
        if empty && let Some(metadata) = object.resource.value_mut()["metadata"].as_object_mut() {
            metadata.remove("annotations");
        }
    }
}

fn put_all(objects: &mut [Object], places: &[Spec], pairs: &BTreeMap<String, String>) -> Result<(), String> {
    for object in objects {
        let kind = object.resource.kind().to_owned();
        let mut fit = Vec::new();
        for place in places {
            if (place.kind.is_empty() || place.kind == kind) && place.fits(object.named()) {
                fit.push(place);
            }
        }
        for place in fit {
            let mut put = |found: &mut Value| {
                if found.is_null() {
                    *found = Value::Object(Map::new());
                }
                let Value::Object(map) = found else {
                    return Err(format!("`{}` is no map", place.path));
                };
                for (key, text) in pairs {
                    map.insert(key.clone(), Value::String(text.clone()));
                }
                Ok(())
            };
            place
                .visit(
                    object.resource.value_mut(),
                    &|| Value::Object(Map::new()),
                    &mut put,
                )
                .map_err(|error| format!("{}: {error}", object.resource.label()))?;
        }
    }
    Ok(())
}

/// Sets the number of replicas of what is called so.
pub(super) fn replicas(objects: &mut [Object], index: &Index, replica: &Replica) -> Result<(), String> {
    let mut found = false;
    for position in index.by_name(&replica.name) {
        let object = &mut objects[*position];
        for spec in specs(&kinds::REPLICAS) {
            let was = object
                .all_named()
                .any(|id| id.name == replica.name && spec.fits(id));
            if was && spec.fits(object.named()) {
                found = true;
                spec.visit(object.resource.value_mut(), &|| json!(0), &mut |count| {
                    *count = json!(replica.count);
                    Ok(())
                })?;
            }
        }
    }
    if found {
        Ok(())
    } else {
        Err(format!(
            "no Deployment, StatefulSet, ReplicaSet or ReplicationController is called {}",
            replica.name
        ))
    }
}
