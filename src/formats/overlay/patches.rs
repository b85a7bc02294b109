//! Patches: JSON 6902 lists and strategic merges, and the objects that they are for.

use super::known::Known;
use super::kustomization::Patch;
use super::merge::{self, Shape};
use super::object::{Index, Named, Object};
use super::operations::{self, Operation};
use super::select::Selector;
use super::work::{self, Work};
use super::yaml_diagnostic;
use crate::formats::yaml::{self, Kind, Node, YamlError};
use crate::model::desired::Changes;
use crate::model::diagnostic::{Diagnostic, Place};
use serde_json::Value;
use std::sync::Arc;

/// Longest text of a patch: the API server takes no object of more.
const PATCH_BYTES_MAX: usize = 1 << 20;

/// What it takes to apply a patch to an object, besides what it writes, in looks.
const APPLY_LOOKS: usize = 10;

/// What a value of a patch takes.
const VALUE_LOOKS: usize = 2;

/// Bytes of a file that are read in the time of a look.
pub(super) const READ_BYTES: usize = 8;

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

    /// An operation of a JSON patch, by its number from 0.
    fn of_operation(&self, number: usize) -> Option<Place> {
        let Kind::List(items) = &self.node.kind else {
            return None;
        };
        items.get(number).map(|item| self.place((item.line, item.column)))
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
            Some((pointer, self.place(place)))
        };
        leaves.into_iter().filter_map(found).collect()
    }
}

/// Applies patches to objects that were indexed once.
pub(super) struct Patching<'a> {
    pub(super) objects: &'a mut Vec<Object>,
    index: Index,
    /// What was done in this build.
    pub(super) work: Work,
    /// The patch that was read last: one file is often listed for several targets.
    last: Option<Arc<Known>>,
}

impl<'a> Patching<'a> {
    pub(super) fn new(objects: &'a mut Vec<Object>, work: Work) -> Self {
        let index = Index::new(objects);
        Self {
            objects,
            index,
            work,
            last: None,
        }
    }

    /// Takes out what patches deleted, and says what was done so far.
    pub(super) fn finish(self) -> Work {
        self.objects.retain(|object| !object.resource.value.is_null());
        self.work
    }

    fn known(&mut self, body: &Body) -> Result<Arc<Known>, YamlError> {
        if let Some(last) = self
            .last
            .as_ref()
            .filter(|last| *last.text == body.text && last.secret == body.secret)
        {
            return Ok(last.clone());
        }
        let fresh = Arc::new(Known::read(body.text, body.secret)?);
        self.last = Some(fresh.clone());
        Ok(fresh)
    }

    /// Applies one entry and says what is wrong with it.
    pub(super) fn apply(&mut self, patch: &Patch, body: &Body) -> Vec<Diagnostic> {
        let wrong =
            |message: &str, help: &str| vec![Diagnostic::error(body.place.clone(), "patch", message, help)];
        if body.text.len() > PATCH_BYTES_MAX {
            let message = format!("the patch has more than {PATCH_BYTES_MAX} bytes");
            return wrong(
                &message,
                "the API server takes no object as large; make it smaller",
            );
        }
        // An inline patch is read once, as the file around it was; a file may be named many times.
        let looks = if body.inline {
            1
        } else {
            1 + body.text.len() / READ_BYTES
        };
        if let Err(much) = self.work.look(looks) {
            return self.told(body, too_much(much)).into_iter().collect();
        }
        let known = match self.known(body) {
            Ok(known) => known,
            Err(mut error) => {
                if body.inline {
                    // An inline patch is a block scalar, whose place is its first line.
                    error.line += body.place.line - 1;
                }
                return vec![yaml_diagnostic(&body.place.path, error, body.secret)];
            }
        };
        let documents = &known.documents;
        let lists = documents.iter().filter(|(value, _)| value.is_array()).count();
        if documents.is_empty() {
            return wrong("the patch is empty", "write an object, or a list of operations");
        }
        if lists > 0 && documents.len() > 1 {
            return wrong(
                "a JSON patch is one list of operations, and this file holds more",
                "keep one document",
            );
        }
        if lists == 0 && patch.target.is_some() && documents.len() > 1 {
            return wrong(
                "a patch with a target is one document, and this holds more",
                "write an entry for each",
            );
        }
        let mut diagnostics = Vec::new();
        for (value, node) in documents {
            let places = Places { node, body };
            let outcome = match value {
                Value::Array(_) => self.json_patch(patch, value, &places),
                Value::Object(_) => self.strategic(patch, value, &places),
                _ => {
                    return wrong("this is no patch", "write an object, or a list of operations");
                }
            };
            let Err(trouble) = outcome else {
                continue;
            };
            // Components are shared by trees in which some of their targets are missing; kustomize says nothing at all.
            if trouble.rule == "patch-target" && patch.target.is_some() {
                let place = body.place.clone();
                diagnostics.push(Diagnostic::warning(
                    place,
                    trouble.rule,
                    trouble.message,
                    trouble.help,
                ));
            } else {
                diagnostics.extend(self.told(body, trouble));
            }
        }
        diagnostics
    }

    /// An error; that it is too much is told once.
    fn told(&mut self, body: &Body, trouble: Trouble) -> Option<Diagnostic> {
        if trouble.rule == TOO_MUCH && std::mem::replace(&mut self.work.told, true) {
            return None;
        }
        let place = trouble.place.unwrap_or_else(|| body.place.clone());
        Some(Diagnostic::error(
            place,
            trouble.rule,
            trouble.message,
            trouble.help,
        ))
    }

    /// Counts what a patch writes into so many objects.
    fn may_write(&mut self, body: &Body, value: &Value, objects: usize) -> Result<(), Trouble> {
        let looks = APPLY_LOOKS + VALUE_LOOKS * values_in(value);
        self.work.look(looks.saturating_mul(objects)).map_err(too_much)?;
        let written = body.text.len().saturating_mul(objects);
        self.work.write(written).map_err(too_much)
    }

    fn selected(&mut self, target: &Selector) -> Result<Vec<usize>, Trouble> {
        let candidates = target.candidates(&self.index);
        let count = candidates.map_or(self.objects.len(), <[usize]>::len);
        self.work
            .look((1 + count).saturating_mul(target.looks()))
            .map_err(too_much)?;
        let takes = |position: &usize| {
            let object = &self.objects[*position];
            !object.resource.value.is_null() && target.takes(object)
        };
        Ok(match candidates {
            Some(found) => found.iter().copied().filter(takes).collect(),
            None => (0..self.objects.len()).filter(takes).collect(),
        })
    }

    fn json_patch(&mut self, patch: &Patch, value: &Value, places: &Places) -> Result<(), Trouble> {
        let body = places.body;
        let list = value.as_array().map_or(&[][..], Vec::as_slice);
        let operations = Operation::read_all(list).map_err(|(number, what)| {
            trouble("patch", what, "write op, path and, mostly, value").at(places.of_operation(number))
        })?;
        let Some(target) = &patch.target else {
            return Err(trouble(
                "patch",
                "a JSON patch needs a target",
                "add `target:` with kind and name",
            ));
        };
        let positions = self.selected(target)?;
        if positions.is_empty() {
            return Err(unmatched());
        }
        self.may_write(body, value, positions.len())?;
        let renames = operations.iter().any(Operation::renames);
        let changes = Arc::new(places.of_operations(value));
        for position in positions {
            let object = &mut self.objects[position];
            if !patch.late {
                object.remember();
            }
            object.resource.origin.changed.push(changes.clone());
            // What an encrypted patch writes is as secret as what it came from.
            object.resource.origin.secret |= body.secret;
            let applied = operations::apply(object.resource.value_mut(), &operations, &mut self.work)
                .map_err(too_much)?;
            applied.map_err(|failure| {
                let message = format!(
                    "`{}` fails on {}: {} {}",
                    operations[failure.number].verb.name(),
                    object.resource.label(),
                    object.resource.origin.told(&failure.pointer),
                    failure.what
                );
                trouble("patch", message, "compare the path with the object")
                    .at(places.of_operation(failure.number))
            })?;
            if renames {
                let object = &self.objects[position];
                self.index.add(position, object);
            }
        }
        Ok(())
    }

    fn strategic(&mut self, patch: &Patch, value: &Value, places: &Places) -> Result<(), Trouble> {
        let body = places.body;
        let positions = match &patch.target {
            Some(target) => self.selected(target)?,
            None => {
                let id = Named::of(value);
                if id.kind.is_empty() || id.name.is_empty() {
                    return Err(trouble(
                        "patch",
                        "a patch without a target needs apiVersion, kind and metadata.name",
                        "write those of the object that it changes",
                    ));
                }
                let alive = |position: &usize| !self.objects[*position].resource.value.is_null();
                self.index.by_id(id).iter().copied().filter(alive).collect()
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
        self.may_write(body, value, positions.len())?;
        let changes = Arc::new(places.of_leaves(value));
        // What says nothing of its name and kind changes neither; a directive may.
        let names = value.as_object().is_some_and(|map| {
            map.keys()
                .any(|key| matches!(key.as_str(), "apiVersion" | "kind" | "metadata") || key.starts_with('$'))
        });
        for position in positions {
            let object = &mut self.objects[position];
            object.resource.origin.changed.push(changes.clone());
            object.resource.origin.secret |= body.secret;
            if patch.allow_name_change || patch.allow_kind_change {
                object.remember();
            }
            let id = object.id();
            merge::merge(object.resource.value_mut(), value, &Shape::of(id.named())).map_err(|what| {
                // The words name fields, and quote directives.
                let message = match object.resource.origin.secret {
                    true => "the patch does not fit an object that was encrypted, or was encrypted itself"
                        .to_owned(),
                    false => format!("{} {}: {what}", id.kind, id.name),
                };
                trouble("patch", message, "compare it with the object")
            })?;
            let target = object.resource.value_mut();
            if target.is_null() {
                continue;
            }
            let namespace = target["metadata"].get("namespace");
            let blank = namespace.is_some_and(|one| one.as_str().is_none_or(str::is_empty));
            if !names && !blank {
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

/// Values that a value holds, with itself.
fn values_in(value: &Value) -> usize {
    match value {
        Value::Object(map) => 1 + map.values().map(values_in).sum::<usize>(),
        Value::Array(items) => 1 + items.iter().map(values_in).sum::<usize>(),
        _ => 1,
    }
}

/// What is wrong, and where, if not with the patch as a whole.
struct Trouble {
    rule: &'static str,
    message: String,
    help: &'static str,
    place: Option<Place>,
}

impl Trouble {
    fn at(self, place: Option<Place>) -> Self {
        Self { place, ..self }
    }
}

/// The rule of what is too much.
const TOO_MUCH: &str = "too-much-work";

fn too_much((what, help): work::Trouble) -> Trouble {
    trouble(TOO_MUCH, what, help)
}

fn trouble(rule: &'static str, message: impl Into<String>, help: &'static str) -> Trouble {
    Trouble {
        rule,
        message: message.into(),
        help,
        place: None,
    }
}

fn unmatched() -> Trouble {
    trouble(
        "patch-target",
        "no object matches this patch",
        "compare kind, name and namespace with the objects in `resources`",
    )
}
