//! Who set which field: `metadata.managedFields`, and what a write does to it. Pure.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::fields::FieldSet;
use super::schema::Shape;

/// Who writes: the identity of an entry of `managedFields`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Writer {
    /// `Apply` or `Update`.
    pub(super) operation: String,
    /// The field manager.
    pub(super) manager: String,
    /// In which version of the kind.
    pub(super) api_version: String,
    /// Through which subresource; empty for the object itself.
    pub(super) subresource: String,
}

/// All entries of one object.
pub(super) type Managers = BTreeMap<Writer, (FieldSet, String)>;

/// How two values of one kind differ.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    added: FieldSet,
    modified: FieldSet,
    removed: FieldSet,
}

/// What an apply wants and another manager has.
#[derive(Debug)]
pub(super) struct Conflict {
    /// The other manager, as the message writes it.
    pub(super) with: String,
    /// The path.
    pub(super) field: String,
}

/// Never owned by anyone: the server's own fields, and what names the object.
const SERVERS: &[&[&str]] = &[
    &["f:apiVersion"],
    &["f:kind"],
    &["f:metadata", "f:name"],
    &["f:metadata", "f:namespace"],
    &["f:metadata", "f:creationTimestamp"],
    &["f:metadata", "f:deletionTimestamp"],
    &["f:metadata", "f:deletionGracePeriodSeconds"],
    &["f:metadata", "f:selfLink"],
    &["f:metadata", "f:uid"],
    &["f:metadata", "f:generation"],
    &["f:metadata", "f:managedFields"],
    &["f:metadata", "f:resourceVersion"],
];

fn without_servers(mut set: FieldSet) -> FieldSet {
    for path in SERVERS {
        set.cut(path);
    }
    if set.get("f:metadata").is_some_and(FieldSet::is_member) {
        let metadata = set.child("f:metadata").clone();
        set.cut(&["f:metadata"]);
        *set.child("f:metadata") = metadata.unmarked();
        set = set.intersection(&set.clone());
    }
    set
}

/// Reads an object's entries.
pub(super) fn read(object: &Value) -> Managers {
    let entries = object
        .pointer("/metadata/managedFields")
        .and_then(Value::as_array);
    let text = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    let read = |entry: &Value| {
        let writer = Writer {
            operation: text(entry, "operation"),
            manager: text(entry, "manager"),
            api_version: text(entry, "apiVersion"),
            subresource: text(entry, "subresource"),
        };
        (writer, (FieldSet::read(&entry["fieldsV1"]), text(entry, "time")))
    };
    entries.into_iter().flatten().map(read).collect()
}

/// Writes an object's entries, in the order that the server keeps: applied ones first, then by age.
pub(super) fn write(object: &mut Value, managers: &Managers) {
    let mut entries: Vec<_> = managers.iter().collect();
    entries
        .sort_by_key(|(writer, (_, time))| (writer.operation.clone(), time.clone(), writer.manager.clone()));
    let entries: Vec<Value> = entries
        .into_iter()
        .map(|(writer, (fields, time))| {
            let mut entry = json!({"manager": writer.manager, "operation": writer.operation,
                "apiVersion": writer.api_version, "fieldsType": "FieldsV1", "fieldsV1": fields.write()});
            // Who came to own fields without changing the object has no time.
            if !time.is_empty() {
                entry["time"] = json!(time);
            }
            if !writer.subresource.is_empty() {
                entry["subresource"] = json!(writer.subresource);
            }
            entry
        })
        .collect();
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else {
        return;
    };
    match entries.is_empty() {
        true => drop(metadata.remove("managedFields")),
        false => drop(metadata.insert("managedFields".to_owned(), Value::Array(entries))),
    }
}

/// The fields that an applied configuration claims. `reset` are the parts that this endpoint does not write.
pub(super) fn claimed(config: &Value, shape: Shape<'_>, reset: &[&[&str]]) -> FieldSet {
    let mut set = FieldSet::default();
    claim(&mut set, config, shape);
    for path in reset {
        set.cut(path);
    }
    without_servers(set)
}

fn claim(set: &mut FieldSet, value: &Value, shape: Shape<'_>) {
    let Some(parts) = shape.parts(value) else {
        return set.mark();
    };
    for (element, inner, inner_shape) in parts {
        let node = set.child(&element);
        if element.strip_prefix("f:").is_none_or(|field| !shape.names(field)) {
            node.mark();
        }
        claim(node, inner, inner_shape);
    }
}

/// Compares two values of one kind, part by part.
pub(super) fn compare(old: &Value, new: &Value, shape: Shape<'_>) -> Comparison {
    let mut found = Comparison::default();
    found.walk(&mut Vec::new(), Some(old), Some(new), shape);
    found
}

impl Comparison {
    fn walk(&mut self, path: &mut Vec<String>, old: Option<&Value>, new: Option<&Value>, shape: Shape<'_>) {
        let old_parts = old.and_then(|value| shape.parts(value));
        let new_parts = new.and_then(|value| shape.parts(value));
        let unit = |value: Option<&Value>| value.is_some_and(|value| !shape.has_parts(value));
        if (old_parts.is_none() && new_parts.is_none()) || unit(old) || unit(new) {
            match (old, new) {
                (None, Some(_)) => self.added.insert(path),
                (Some(_), None) => self.removed.insert(path),
                (Some(old), Some(new)) if old != new => self.modified.insert(path),
                _ => {}
            }
            return;
        }
        let mut both: BTreeMap<String, (Option<&Value>, Option<&Value>, Shape<'_>)> = BTreeMap::new();
        for (element, value, inner) in old_parts.into_iter().flatten() {
            both.insert(element, (Some(value), None, inner));
        }
        for (element, value, inner) in new_parts.into_iter().flatten() {
            both.entry(element).or_insert((None, None, inner)).1 = Some(value);
        }
        for (element, (old, new, inner)) in both {
            path.push(element);
            self.walk(path, old, new, inner);
            path.pop();
        }
        match (old, new) {
            (None, Some(_)) => self.added.insert(path),
            (Some(_), None) => self.removed.insert(path),
            _ => {}
        }
    }

    fn written(&self) -> FieldSet {
        without_servers(self.modified.union(&self.added))
    }
}

/// Notes an ordinary write (create, replace, patch): what it changed is the writer's, and nobody else's any more.
pub(super) fn note_update(
    managers: &mut Managers,
    writer: Writer,
    changed: &Comparison,
    reset: &[&[&str]],
    time: &str,
) {
    let mut written = changed.written();
    for path in reset {
        written.cut(path);
    }
    for (set, _) in managers.values_mut() {
        *set = set.difference(&written).difference(&changed.removed);
    }
    if !written.is_empty() {
        let entry = managers.entry(writer).or_default();
        *entry = (entry.0.union(&written), time.to_owned());
    }
    managers.retain(|_, (set, _)| !set.is_empty());
}

/// Notes an apply whose outcome differs from the live object by `changed`.
///
/// # Errors
///
/// What other managers hold and the configuration changes, unless it is forced.
pub(super) fn note_apply(
    managers: &mut Managers,
    writer: &Writer,
    changed: &Comparison,
    force: bool,
) -> Result<(), Vec<Conflict>> {
    let written = changed.written();
    let mut conflicts = Vec::new();
    for (other, (set, _)) in managers.iter() {
        let held = set.intersection(&written);
        if other != writer && !held.is_empty() {
            let with = spoken(other);
            conflicts.extend(held.paths().into_iter().map(|field| Conflict {
                with: with.clone(),
                field,
            }));
        }
    }
    if !force && !conflicts.is_empty() {
        return Err(conflicts);
    }
    for (other, (set, _)) in managers.iter_mut() {
        if other != writer {
            *set = set.difference(&written).difference(&changed.removed);
        }
    }
    managers.retain(|_, (set, _)| !set.is_empty());
    Ok(())
}

fn spoken(writer: &Writer) -> String {
    let mut text = format!("{:?}", writer.manager);
    if !writer.subresource.is_empty() {
        text = format!("{text} with subresource {:?}", writer.subresource);
    }
    match writer.operation.as_str() {
        "Update" => format!("{text} using {}", writer.api_version),
        _ => text,
    }
}
