//! What a kustomization does to all of its objects: namespace, prefixes and suffixes, labels, annotations, images, replicas.

use super::fields::{Row, Spec};
use super::kinds;
use super::kustomization::{Image, Labels, Replica};
use super::object::{Object, is_cluster_scoped};
use crate::formats::pattern;
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
        for spec in specs.iter().filter(|spec| spec.fits(&id)) {
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
    for object in objects {
        let first = object.first_id();
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

fn put_all(objects: &mut [Object], places: &[Spec], pairs: &BTreeMap<String, String>) -> Result<(), String> {
    for object in objects {
        let id = object.id();
        for place in places.iter().filter(|place| place.fits(&id)) {
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
pub(super) fn replicas(objects: &mut [Object], replica: &Replica) -> Result<(), String> {
    let specs = specs(&kinds::REPLICAS);
    let mut found = false;
    for object in objects {
        let ids = object.ids();
        let now = object.id();
        for spec in &specs {
            if ids.iter().any(|id| id.name == replica.name && spec.fits(id)) && spec.fits(&now) {
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

/// Changes images: in the places of pods, and below every `containers` and `initContainers`, as kustomize does for kinds that
/// it does not know.
pub(super) fn images(objects: &mut [Object], image: &Image) -> Result<(), String> {
    // The name is a pattern in kustomize, which few people know and some use.
    let pattern = pattern::compile(&format!(
        "^{}(:[a-zA-Z0-9_.{{}}-]*)?(@sha256:[a-zA-Z0-9_.{{}}-]*)?$",
        image.name
    ))
    .map_err(|what| format!("the image name {what}"))?;
    let specs = specs(&kinds::IMAGES);
    for object in objects {
        let id = object.id();
        let mut change = |found: &mut Value| {
            if let Some(text) = found.as_str().filter(|text| pattern.is_match(text)) {
                *found = Value::String(changed(text, image));
            }
            Ok(())
        };
        if id.kind != "CustomResourceDefinition" {
            everywhere(object.resource.value_mut(), &mut change)?;
        }
        for spec in specs.iter().filter(|spec| spec.fits(&id)) {
            // What kustomize would make here would be an image without a name, so it changes nothing.
            let spec = Spec {
                create: false,
                ..spec.clone()
            };
            spec.visit(object.resource.value_mut(), &|| Value::Null, &mut change)?;
        }
    }
    Ok(())
}

fn everywhere(
    value: &mut Value,
    change: &mut dyn FnMut(&mut Value) -> Result<(), String>,
) -> Result<(), String> {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                if let ("containers" | "initContainers", Value::Array(items)) = (key.as_str(), &mut *value) {
                    for item in items.iter_mut().filter_map(|item| item.get_mut("image")) {
                        change(item)?;
                    }
                }
                everywhere(value, change)?;
            }
            Ok(())
        }
        Value::Array(items) => items.iter_mut().try_for_each(|item| everywhere(item, change)),
        _ => Ok(()),
    }
}

fn changed(image: &str, change: &Image) -> String {
    let (name, mut tag, mut digest) = split_image(image);
    let mut name = name.to_owned();
    if let Some(fresh) = change.new_name.as_ref().filter(|fresh| !fresh.is_empty()) {
        name.clone_from(fresh);
    }
    let suffixed;
    match (
        change.new_tag.as_deref().filter(|tag| !tag.is_empty()),
        change.digest.as_deref().filter(|one| !one.is_empty()),
    ) {
        (Some(fresh), Some(sum)) => (tag, digest) = (fresh, sum),
        (Some(fresh), None) => (tag, digest) = (fresh, ""),
        (None, Some(sum)) => (tag, digest) = ("", sum),
        (None, None) => {
            if let Some(more) = change.tag_suffix.as_deref().filter(|more| !more.is_empty()) {
                suffixed = format!("{tag}{more}");
                (tag, digest) = (&suffixed, "");
            }
        }
    }
    if !tag.is_empty() {
        name = format!("{name}:{tag}");
    }
    if !digest.is_empty() {
        name = format!("{name}@{digest}");
    }
    name
}

/// `[[host[:port]/]component/]component[:tag][@digest]`, taken apart.
fn split_image(image: &str) -> (&str, &str, &str) {
    let path = image.find('/').filter(|at| *at > 0).unwrap_or(0);
    let at = image[path..].find('@').map(|found| found + path);
    let colon = image[path..].find(':').map(|found| found + path);
    match (colon, at) {
        (None, None) => (image, "", ""),
        (Some(colon), Some(at)) if colon < at => (&image[..colon], &image[colon + 1..at], &image[at + 1..]),
        (_, Some(at)) => (&image[..at], "", &image[at + 1..]),
        (Some(colon), None) => (&image[..colon], &image[colon + 1..], ""),
    }
}
