//! Folders and `kustomization.yaml`: which files belong together, and how they change each other.
//!
//! kustomize's meaning (5.8) for the fields that are read; every other field is refused by name. Remote bases, plugins, exec and
//! charts do not exist here. The cost grows with the objects and with what the patches touch, never with their square.

use crate::formats::yaml::{self, YamlError};
use crate::model::desired::{Origin, Resource};
use crate::model::diagnostic::{Diagnostic, Place};
use crate::model::places::{FilePlaces, Places};
use crate::model::secret::SecretText;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Folders, and the order in which a kustomization works.
mod build;

/// Patches and replacements of a kustomization.
mod change;

/// Namespace, names, labels, annotations and replicas within their budgets.
mod everywhere;

/// Places inside of objects.
mod fields;

/// ConfigMaps and Secrets from files and literals.
mod generators;

/// Images.
mod images;

/// Tables of places by kind.
mod kinds;

/// A kustomization file as written.
mod kustomization;

/// Items of lists that are known by keys.
mod items;

/// Strategic merge.
mod merge;

/// References by name.
mod names;

/// Objects while they are built.
mod object;

/// Operations of JSON patches.
mod operations;

/// The order of the objects.
mod order;

/// Folders, references, duplicates.
mod paths;

/// Patches and what they are for.
mod patches;

/// Patches as they were read.
mod known;

/// Reading values by type.
mod read;

/// Reading a kustomization file.
mod reading;

/// The table of references.
mod references;

/// `replacements`.
mod replacements;

/// Selectors.
mod select;

/// Namespace, names, labels.
mod transform;

/// Budgets.
mod work;

#[cfg(test)]
mod tests;

use build::Build;

/// Bases below bases: kustomize trees are rarely deeper than four.
const DEPTH_MAX: usize = 20;

/// Files of one build.
const FILES_MAX: usize = 20_000;

/// Folders that are built, each time that one refers to them: bases that fan out level by level end here.
const FOLDERS_MAX: usize = 1000;

/// Objects of one build. Ten times as many as the largest repositories of this kind hold.
const OBJECTS_MAX: usize = 100_000;

/// Names under which kustomize looks for its file.
pub const NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// The files of a repository, by path from its root.
pub trait Files {
    /// Every path, sorted.
    fn paths(&self) -> &BTreeSet<String>;
    /// A file's text; `None` if it cannot be read as text.
    fn text(&self, path: &str) -> Option<Cow<'_, str>>;
    /// A file's bytes, for generators; `None` if there is no such file.
    fn bytes(&self, path: &str) -> Option<Cow<'_, [u8]>> {
        match self.text(path)? {
            Cow::Borrowed(text) => Some(Cow::Borrowed(text.as_bytes())),
            Cow::Owned(text) => Some(Cow::Owned(text.into_bytes())),
        }
    }
    /// Whether the file was encrypted.
    fn secret(&self, path: &str) -> bool;
    /// The objects of a file, when they were read before.
    fn objects(&self, path: &str) -> Option<Arc<Vec<Resource>>> {
        let _ = path;
        None
    }
    /// Keeps the objects of a file for the next time.
    fn keep(&self, path: &str, objects: &[Resource]) {
        let _ = (path, objects);
    }
}

/// The files of a build.
pub struct Needed {
    /// Their paths.
    pub files: BTreeSet<String>,
    /// What is wrong with the kustomization files, and may hide more of them.
    pub diagnostics: Vec<Diagnostic>,
}

/// The files that building a folder needs. Only kustomization files are read for it.
pub fn needed_files(root: &str, files: &dyn Files) -> Needed {
    let mut build = Build::new(root, files, true);
    build.folder(root, false, &mut Vec::new());
    if build.wanted.len() > FILES_MAX {
        build.diagnostics.push(Diagnostic::error(
            Place::file(root),
            "too-many-files",
            format!("more than {FILES_MAX} files belong to this path"),
            "point spec.path at a smaller folder",
        ));
    }
    Needed {
        files: build.wanted,
        diagnostics: build.diagnostics,
    }
}

/// Builds a folder: its objects in the order of the files, and what is wrong.
pub fn build(root: &str, files: &dyn Files) -> (Vec<Resource>, Vec<Diagnostic>) {
    let mut build = Build::new(root, files, false);
    let mut objects = Vec::new();
    build.folder(root, false, &mut objects);
    build.finish(&mut objects);
    let resources = objects.into_iter().map(|object| object.resource).collect();
    (resources, build.diagnostics)
}

/// Reads a file of objects. Kind `List` is taken apart.
pub fn read_objects(path: &str, text: &str, secret: bool) -> Result<Vec<Resource>, Diagnostic> {
    // What is left of the tree is wiped at the end, also when one of its documents is refused.
    let mut documents = yaml::load_wiped(text).map_err(|error| yaml_diagnostic(path, error, secret))?;
    // A copy that is wiped with the last object that came from it.
    let kept = SecretText::new(text.as_bytes().to_vec());
    let read = if secret {
        yaml::places_of_sealed
    } else {
        yaml::places_of
    };
    let kept = Arc::new(FilePlaces::of(kept, read));
    let mut resources = Vec::with_capacity(documents.len());
    let path: Arc<str> = path.into();
    for (document, node) in documents.iter_mut().enumerate() {
        let (line, column) = (node.line, node.column);
        // What is no secret is moved, which is quicker.
        let value = match secret {
            true => node.to_json(),
            false => std::mem::replace(node, yaml::Node::made(yaml::Kind::List(Vec::new()))).into_json(),
        };
        let value = value.map_err(|error| yaml_diagnostic(&path, error, secret))?;
        let origin = |places: Places| Origin {
            path: path.clone(),
            document,
            line,
            places: Arc::new(places),
            changed: Vec::new(),
            secret,
        };
        let places = |below: String| Places::of(kept.clone(), document, below);
        match value {
            serde_json::Value::Object(mut list)
                if list.get("items").is_some_and(serde_json::Value::is_array)
                    && list
                        .get("kind")
                        .and_then(serde_json::Value::as_str)
                        .is_some_and(|kind| kind.ends_with("List")) =>
            {
                let items = match list.remove("items") {
                    Some(serde_json::Value::Array(items)) => items,
                    _ => Vec::new(),
                };
                for (index, value) in items.into_iter().enumerate() {
                    resources.push(Resource {
                        value: Arc::new(value),
                        origin: origin(places(format!("/items/{index}"))),
                    });
                }
            }
            value => resources.push(Resource {
                value: Arc::new(value),
                origin: origin(places(String::new()).starting(line, column)),
            }),
        }
    }
    Ok(resources)
}

fn yaml_diagnostic(path: &str, error: YamlError, secret: bool) -> Diagnostic {
    let error = if secret { error.masked() } else { error };
    let place = Place {
        path: path.to_owned(),
        line: error.line,
        column: error.column,
    };
    let rule = if error.message.starts_with("duplicate key") {
        "duplicate-key"
    } else {
        "yaml"
    };
    Diagnostic::error(place, rule, error.words(), error.help)
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() {
        name.to_owned()
    } else {
        format!("{folder}/{name}")
    }
}

/// Files that are already in memory, for commands and tests.
#[derive(Default)]
pub struct InMemory {
    paths: BTreeSet<String>,
    texts: BTreeMap<String, String>,
}

impl InMemory {
    /// Adds a file.
    pub fn add(&mut self, path: impl Into<String>, text: impl Into<String>) {
        let path = path.into();
        self.paths.insert(path.clone());
        self.texts.insert(path, text.into());
    }
}

impl Files for InMemory {
    fn paths(&self) -> &BTreeSet<String> {
        &self.paths
    }

    fn text(&self, path: &str) -> Option<Cow<'_, str>> {
        self.texts.get(path).map(|text| Cow::Borrowed(text.as_str()))
    }

    fn secret(&self, _path: &str) -> bool {
        false
    }
}
