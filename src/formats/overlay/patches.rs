//! Patches: JSON 6902 lists and strategic merges, and the objects that they are for.

use super::kustomization::Patch;
use super::merge::{self, Shape};
use super::object::{Id, Index, Object};
use super::select::{Pattern, Selector};
use super::{too_much, yaml_diagnostic};
use crate::formats::yaml::{self, Kind, Node};
use crate::model::desired::Changes;
use crate::model::diagnostic::{Diagnostic, Place};
use serde_json::Value;
use std::sync::Arc;

/// A patch's text, and where it stands.
pub(super) struct Body<'a> {
    pub(super) text: &'a str,
    pub(super) place: Place,
    /// Whether the text stands inside of the kustomization file.
    pub(super) inline: bool,
    /// Whether the file was encrypted.
    pub(super) secret: bool,
}

/// Where the values of a patch stand.
struct Places<'a> {
    node: &'a Node,
    body: &'a Body<'a>,
}

impl Places<'_> {
    fn place(&self, (line, column): (u32, u32)) -> Place {
        let whole = &self.body.place;
        match self.body.inline {
            false => Place {
                path: whole.path.clone(),
                line,
                column,
            },
            // The place of a block scalar is its first line; its lines stand further in by nobody knows how much.
            true if self.body.text.contains('\n') => Place {
                path: whole.path.clone(),
                line: whole.line + line - 1,
                column: 1,
            },
            true => whole.clone(),
        }
    }

    /// What each operation of a JSON patch writes.
    fn of_operations(&self, value: &Value) -> Changes {
        let Kind::List(items) = &self.node.kind else {
            return Changes::new();
        };
        let operations = value.as_array().into_iter().flatten().zip(items);
        operations
            .filter_map(|(operation, item)| {
                let path = operation.get("path")?.as_str()?;
                let place = item.get("value").unwrap_or(item);
                // An item at the end is some item of the list.
                let path = path.strip_suffix("/-").unwrap_or(path);
                Some((path.to_owned(), self.place((place.line, place.column))))
            })
            .collect()
    }

    /// What a strategic merge writes: the fields that hold no further ones. Items of lists may land at any index.
    fn of_leaves(&self, value: &Value) -> Changes {
        fn gather(value: &Value, pointer: &str, leaves: &mut Vec<String>) {
            match value {
                Value::Object(map) if !map.is_empty() => {
                    for (key, below) in map {
                        gather(below, &format!("{pointer}/{}", yaml::escape(key)), leaves);
                    }
                }
                _ => leaves.push(pointer.to_owned()),
            }
        }
        let mut leaves = Vec::new();
        gather(value, "", &mut leaves);
        let places = self.node.places();
        let found = |pointer: String| {
            let place = places.get(&pointer)?;
            Some((pointer, self.place(*place)))
        };
        leaves.into_iter().filter_map(found).collect()
    }
}

/// Applies patches to objects that were indexed once.
pub(super) struct Patching<'a> {
    pub(super) objects: &'a mut Vec<Object>,
    index: Index,
    /// Bytes that were written in this build.
    written: usize,
}

impl<'a> Patching<'a> {
    pub(super) fn new(objects: &'a mut Vec<Object>, written: usize) -> Self {
        let index = Index::new(objects);
        Self {
            objects,
            index,
            written,
        }
    }

    /// Takes out what patches deleted, and says how much was written so far.
    pub(super) fn finish(self) -> usize {
        self.objects.retain(|object| !object.resource.value.is_null());
        self.written
    }

    /// Applies one entry and says what is wrong with it.
    pub(super) fn apply(&mut self, patch: &Patch, body: &Body) -> Vec<Diagnostic> {
        let documents = match yaml::load(body.text) {
            Ok(documents) => documents,
            Err(mut error) => {
                if body.inline {
                    // An inline patch is a block scalar, whose place is its first line.
                    error.line += body.place.line - 1;
                }
                return vec![yaml_diagnostic(&body.place.path, error, body.secret)];
            }
        };
        let wrong =
            |message: &str, help: &str| vec![Diagnostic::error(body.place.clone(), "patch", message, help)];
        let mut bodies = Vec::new();
        for document in &documents {
            match document.to_json() {
                Ok(Value::Null) => {}
                Ok(value) => bodies.push(value),
                Err(error) => return vec![yaml_diagnostic(&body.place.path, error, body.secret)],
            }
        }
        let lists = bodies.iter().filter(|value| value.is_array()).count();
        if bodies.is_empty() {
            return wrong("the patch is empty", "write an object, or a list of operations");
        }
        if lists > 0 && bodies.len() > 1 {
            return wrong(
                "a JSON patch is one list of operations, and this file holds more",
                "keep one document",
            );
        }
        if lists == 0 && patch.target.is_some() && bodies.len() > 1 {
            return wrong(
                "a patch with a target is one document, and this holds more",
                "write an entry for each",
            );
        }
        let mut diagnostics = Vec::new();
        let written = documents
            .iter()
            .filter(|document| !matches!(document.to_json(), Ok(Value::Null)));
        for (value, node) in bodies.iter().zip(written) {
            let places = Places { node, body };
            let outcome = match value {
                Value::Array(_) => self.json_patch(patch, value, &places),
                Value::Object(_) => self.strategic(patch, value, &places),
                _ => {
                    return wrong("this is no patch", "write an object, or a list of operations");
                }
            };
            diagnostics.extend(outcome.err().map(|(rule, message, help)| {
                // Components are shared by trees in which some of their targets are missing; kustomize says nothing at all.
                let missing = rule == "patch-target" && patch.target.is_some();
                let told = if missing {
                    Diagnostic::warning
                } else {
                    Diagnostic::error
                };
                told(body.place.clone(), rule, message, help)
            }));
        }
        diagnostics
    }

    /// Counts what a patch writes into so many objects.
    fn may_write(&mut self, body: &Body, objects: usize) -> Result<(), Trouble> {
        self.written = self
            .written
            .saturating_add(body.text.len().saturating_mul(objects));
        too_much(self.written).map_err(|(what, help)| trouble("too-much-work", what, help))
    }

    fn selected(&self, target: &Selector) -> Vec<usize> {
        let takes = |position: &usize| {
            let object = &self.objects[*position];
            !object.resource.value.is_null() && target.takes(object)
        };
        match target.name.as_ref().and_then(Pattern::word) {
            Some(name) => self.index.by_name(name).iter().copied().filter(takes).collect(),
            None => (0..self.objects.len()).filter(takes).collect(),
        }
    }

    fn json_patch(&mut self, patch: &Patch, value: &Value, places: &Places) -> Result<(), Trouble> {
        let body = places.body;
        let operations: json_patch::Patch = serde_json::from_value(value.clone()).map_err(|_| {
            // The reader's words could quote a value, and the patch may be secret.
            trouble(
                "patch",
                "this is no JSON patch",
                "each operation needs op, path and, mostly, value",
            )
        })?;
        let Some(target) = &patch.target else {
            return Err(trouble(
                "patch",
                "a JSON patch needs a target",
                "add `target:` with kind and name",
            ));
        };
        let positions = self.selected(target);
        if positions.is_empty() {
            return Err(unmatched());
        }
        self.may_write(body, positions.len())?;
        let changes = Arc::new(places.of_operations(value));
        for position in positions {
            let object = &mut self.objects[position];
            object.remember();
            object.resource.origin.changed.push(changes.clone());
            // What an encrypted patch writes is as secret as what it came from.
            object.resource.origin.secret |= body.secret;
            json_patch::patch(object.resource.value_mut(), &operations).map_err(|error| {
                let message = format!(
                    "operation {} at {} fails on {}",
                    error.operation,
                    object.resource.origin.told(&error.path.to_string()),
                    object.resource.label()
                );
                trouble("patch", message, "compare the path with the object")
            })?;
            let object = &self.objects[position];
            self.index.add(position, object);
        }
        Ok(())
    }

    fn strategic(&mut self, patch: &Patch, value: &Value, places: &Places) -> Result<(), Trouble> {
        let body = places.body;
        let positions = match &patch.target {
            Some(target) => self.selected(target),
            None => {
                let id = Id::of(value);
                if id.kind.is_empty() || id.name.is_empty() {
                    return Err(trouble(
                        "patch",
                        "a patch without a target needs apiVersion, kind and metadata.name",
                        "write those of the object that it changes",
                    ));
                }
                let alive = |position: &usize| !self.objects[*position].resource.value.is_null();
                self.index.by_id(&id).iter().copied().filter(alive).collect()
            }
        };
        if positions.is_empty() {
            return Err(unmatched());
        }
        if patch.target.is_none() && positions.len() > 1 {
            return Err(trouble(
                "patch-target",
                "several objects are or were called so",
                "add a `target:` that tells them apart",
            ));
        }
        self.may_write(body, positions.len())?;
        let changes = Arc::new(places.of_leaves(value));
        for position in positions {
            let object = &mut self.objects[position];
            object.resource.origin.changed.push(changes.clone());
            object.resource.origin.secret |= body.secret;
            if patch.allow_name_change || patch.allow_kind_change {
                object.remember();
            }
            let id = object.id();
            let label = object.resource.label();
            let secret = object.resource.origin.secret;
            merge::merge(object.resource.value_mut(), value, &Shape::of(&id)).map_err(|what| {
                // The words name fields, and quote directives.
                let message = match secret {
                    true => "the patch does not fit an object that was encrypted, or was encrypted itself"
                        .to_owned(),
                    false => format!("{label}: {what}"),
                };
                trouble("patch", message, "compare it with the object")
            })?;
            let target = object.resource.value_mut();
            if target.is_null() {
                continue;
            }
            // A patch selects by name and kind; it changes them only when it says so.
            if !patch.allow_kind_change {
                target["kind"] = Value::String(id.kind.clone());
            }
            if patch.target.is_some() && !id.version.is_empty() {
                let api_version = match id.group.as_str() {
                    "" => id.version.clone(),
                    group => format!("{group}/{}", id.version),
                };
                target["apiVersion"] = Value::String(api_version);
            }
            if !target["metadata"].is_object() {
                target["metadata"] = Value::Object(serde_json::Map::new());
            }
            if !patch.allow_name_change {
                target["metadata"]["name"] = Value::String(id.name.clone());
            }
            if id.namespace.is_empty() {
                if let Some(metadata) = target["metadata"].as_object_mut() {
                    metadata.remove("namespace");
                }
            } else {
                target["metadata"]["namespace"] = Value::String(id.namespace.clone());
            }
            if patch.allow_name_change || patch.allow_kind_change {
                let object = &self.objects[position];
                self.index.add(position, object);
            }
        }
        Ok(())
    }
}

type Trouble = (&'static str, String, &'static str);

fn trouble(rule: &'static str, message: impl Into<String>, help: &'static str) -> Trouble {
    (rule, message.into(), help)
}

fn unmatched() -> Trouble {
    trouble(
        "patch-target",
        "no object matches this patch",
        "compare kind, name and namespace with the objects in `resources`",
    )
}
