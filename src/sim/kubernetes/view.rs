//! How a kept object is shown: in the path's version, as metadata only, as a row of a table, as the other kind of event.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::kinds::Version;
use super::write::{self, Target};

/// The form that a client asks for by its `Accept` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// The object.
    Whole,
    /// `PartialObjectMetadata`.
    Metadata,
    /// `Table`, what `kubectl get` prints.
    Table,
}

impl Form {
    /// Reads an `Accept` header: the first form that we know.
    pub(super) fn read(accept: &str) -> Form {
        let known = |part: &str| match part {
            part if part.contains("as=Table") => Some(Form::Table),
            part if part.contains("as=PartialObjectMetadata") => Some(Form::Metadata),
            part if part.trim().starts_with("application/json") => Some(Form::Whole),
            _ => None,
        };
        accept.split(',').find_map(known).unwrap_or(Form::Whole)
    }
}

/// Field names of `events.k8s.io/v1` and of `v1`, where they differ.
const EVENT_FIELDS: &[(&str, &str)] = &[
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("deprecatedCount", "count"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedSource", "source"),
    ("reportingController", "reportingComponent"),
];

/// Shows an object in the path's version.
pub(super) fn shown(object: &Value, target: &Target) -> Value {
    let mut object = write::shown(object, target);
    if target.kind.group == "events.k8s.io" {
        rename(&mut object, |(new, old)| (old, new));
    }
    object
}

/// Takes an object as it came, into the form that is kept.
pub(super) fn taken(mut object: Value, target: &Target) -> Value {
    if target.kind.group == "events.k8s.io" {
        rename(&mut object, |(new, old)| (new, old));
    }
    object
}

fn rename(object: &mut Value, order: fn((&'static str, &'static str)) -> (&'static str, &'static str)) {
    let Some(map) = object.as_object_mut() else { return };
    for &names in EVENT_FIELDS {
        let (from, to) = order(names);
        if let Some(value) = map.remove(from) {
            map.insert(to.to_owned(), value);
        }
    }
}

/// One object in the form.
pub(super) fn one(object: Value, target: &Target, form: Form, now: Timestamp) -> Value {
    match form {
        Form::Whole => object,
        Form::Metadata => metadata_of(&object),
        Form::Table => table(&[object], target, "", now),
    }
}

/// A list in the form.
pub(super) fn list(objects: Vec<Value>, target: &Target, form: Form, revision: u64, now: Timestamp) -> Value {
    let revision = revision.to_string();
    let objects: Vec<_> = objects.into_iter().map(|object| listed(object, target)).collect();
    match form {
        Form::Whole => json!({"kind": format!("{}List", target.kind.kind),
            "apiVersion": target.kind.api_version(&target.version),
            "metadata": {"resourceVersion": revision}, "items": objects}),
        Form::Metadata => json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1",
            "metadata": {"resourceVersion": revision}, "items": objects.iter().map(metadata_of).collect::<Vec<_>>()}),
        Form::Table => table(&objects, target, &revision, now),
    }
}

/// The items of a list of a built-in kind do not say what they are: the list does.
fn listed(mut object: Value, target: &Target) -> Value {
    if !target.kind.custom
        && let Some(map) = object.as_object_mut()
    {
        map.remove("apiVersion");
        map.remove("kind");
    }
    object
}

fn metadata_of(object: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
}

/// The columns of built-in kinds: heading and path.
const COLUMNS: &[(&str, &[(&str, &str)])] = &[
    ("namespaces", &[("Status", ".status.phase")]),
    ("pods", &[("Status", ".status.phase"), ("Node", ".spec.nodeName")]),
    (
        "persistentvolumes",
        &[
            ("Capacity", ".spec.capacity.storage"),
            ("Reclaim Policy", ".spec.persistentVolumeReclaimPolicy"),
            ("Status", ".status.phase"),
            ("Claim", ".spec.claimRef.name"),
            ("StorageClass", ".spec.storageClassName"),
        ],
    ),
    (
        "persistentvolumeclaims",
        &[
            ("Status", ".status.phase"),
            ("Volume", ".spec.volumeName"),
            ("Capacity", ".status.capacity.storage"),
            ("StorageClass", ".spec.storageClassName"),
        ],
    ),
    (
        "storageclasses",
        &[
            ("Provisioner", ".provisioner"),
            ("ReclaimPolicy", ".reclaimPolicy"),
            ("VolumeBindingMode", ".volumeBindingMode"),
        ],
    ),
    (
        "events",
        &[
            ("Type", ".type"),
            ("Reason", ".reason"),
            ("Kind", ".involvedObject.kind"),
            ("Object", ".involvedObject.name"),
            ("Message", ".message"),
        ],
    ),
];

fn columns(target: &Target) -> Vec<(String, String, bool)> {
    let declared = target
        .kind
        .version(&target.version)
        .map_or(&[][..], |version: &Version| &version.columns);
    if !declared.is_empty() {
        let text = |column: &Value, name: &str| column[name].as_str().unwrap_or_default().to_owned();
        let wide = |column: &Value| column["priority"].as_i64().unwrap_or(0) == 0;
        return declared
            .iter()
            .filter(|column| wide(column))
            .map(|column| {
                (
                    text(column, "name"),
                    text(column, "jsonPath"),
                    column["type"] == "date",
                )
            })
            .collect();
    }
    let built_in = COLUMNS
        .iter()
        .find(|(plural, _)| *plural == target.kind.plural && !target.kind.custom);
    let mut columns: Vec<_> = built_in
        .map_or(&[][..], |(_, columns)| columns)
        .iter()
        .map(|&(name, path)| (name.to_owned(), path.to_owned(), false))
        .collect();
    columns.push(("Age".to_owned(), ".metadata.creationTimestamp".to_owned(), true));
    columns
}

fn table(objects: &[Value], target: &Target, revision: &str, now: Timestamp) -> Value {
    let columns = columns(target);
    let mut headings =
        vec![json!({"name": "Name", "type": "string", "format": "name", "description": "", "priority": 0})];
    headings.extend(columns.iter().map(
        |(name, ..)| json!({"name": name, "type": "string", "format": "", "description": "", "priority": 0}),
    ));
    let row = |object: &Value| {
        let mut cells = vec![object["metadata"]["name"].clone()];
        for (_, path, age) in &columns {
            let value = find(object, path).cloned().unwrap_or_default();
            cells.push(if *age { json!(age_of(&value, now)) } else { value });
        }
        json!({"cells": cells, "object": metadata_of(object)})
    };
    json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {"resourceVersion": revision},
        "columnDefinitions": headings, "rows": objects.iter().map(row).collect::<Vec<_>>()})
}

/// Follows a printer column's path: dots, and `[?(@.type=="Ready")]`.
fn find<'v>(object: &'v Value, path: &str) -> Option<&'v Value> {
    let mut value = object;
    let mut rest = path.trim_start_matches('.');
    while !rest.is_empty() {
        if let Some(filter) = rest.strip_prefix("[?(@.") {
            let (filter, after) = filter.split_once(")]")?;
            let (field, wanted) = filter.split_once("==")?;
            let wanted = wanted.trim().trim_matches(['"', '\'']);
            value = value
                .as_array()?
                .iter()
                .find(|item| item[field.trim()] == wanted)?;
            rest = after.trim_start_matches('.');
        } else {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            value = value
                .as_object()
                .and_then(|map: &Map<_, _>| map.get(&rest[..end]))?;
            rest = rest[end..].trim_start_matches('.');
        }
    }
    Some(value)
}

fn age_of(value: &Value, now: Timestamp) -> String {
    let Some(since) = value.as_str().and_then(|text| text.parse::<Timestamp>().ok()) else {
        return "<unknown>".to_owned();
    };
    match now.as_second().saturating_sub(since.as_second()).max(0) {
        seconds @ 0..120 => format!("{seconds}s"),
        seconds @ 120..7200 => format!("{}m", seconds / 60),
        seconds @ 7200..172_800 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86_400),
    }
}
