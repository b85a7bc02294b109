//! Folders and `kustomization.yaml`: which files belong together, and how they change each other.
//!
//! kustomize's meaning for the fields that are read; every other field is refused by name. Remote bases, plugins, exec and
//! templates do not exist here. The cost grows with the input times its patches, never with its square.

use crate::formats::yaml::{self, YamlError};
use crate::model::desired::{Origin, Places, Resource};
use crate::model::diagnostic::{Diagnostic, Place};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// A kustomization file as written.
mod kustomization;

/// Patches and what they select.
mod patch;

/// Strategic merge.
mod merge;

/// `namespace` and `labels`.
mod transform;

#[cfg(test)]
mod tests;

use kustomization::Kustomization;

/// Bases below bases: kustomize trees are rarely deeper than four.
const DEPTH_MAX: usize = 20;

/// Files of one build.
const FILES_MAX: usize = 20_000;

/// Folders that are built, each time that one refers to them: bases that fan out level by level end here.
const FOLDERS_MAX: usize = 1000;

/// Names under which kustomize looks for its file.
const NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// The files of a repository, by path from its root.
pub trait Files {
    /// Every path, sorted.
    fn paths(&self) -> &BTreeSet<String>;
    /// A file's text; `None` if it cannot be read as text.
    fn text(&self, path: &str) -> Option<Cow<'_, str>>;
    /// Whether the file was encrypted.
    fn secret(&self, path: &str) -> bool;
}

/// The files that building a folder needs. Only kustomization files are read for it.
///
/// # Errors
/// What is wrong with the kustomization files.
pub fn needed_files(root: &str, files: &dyn Files) -> Result<BTreeSet<String>, Vec<Diagnostic>> {
    let mut build = Build {
        files,
        diagnostics: Vec::new(),
        stack: Vec::new(),
        wanted: BTreeSet::new(),
        only_names: true,
        folders: 0,
        visited: BTreeSet::new(),
    };
    build.folder(root);
    if build.wanted.len() > FILES_MAX {
        build.diagnostics.push(Diagnostic::error(
            Place::file(root),
            "too-many-files",
            format!("more than {FILES_MAX} files belong to this path"),
            "point spec.path at a smaller folder",
        ));
    }
    if build.diagnostics.is_empty() {
        Ok(build.wanted)
    } else {
        Err(build.diagnostics)
    }
}

/// Builds a folder: its objects in the order of the files, and what is wrong.
pub fn build(root: &str, files: &dyn Files) -> (Vec<Resource>, Vec<Diagnostic>) {
    let mut build = Build {
        files,
        diagnostics: Vec::new(),
        stack: Vec::new(),
        wanted: BTreeSet::new(),
        only_names: false,
        folders: 0,
        visited: BTreeSet::new(),
    };
    let resources = build.folder(root);
    (resources, build.diagnostics)
}

/// Reads a file of objects. Kind `List` is taken apart.
pub fn read_objects(path: &str, text: &str, secret: bool) -> Result<Vec<Resource>, Diagnostic> {
    let documents = yaml::load(text).map_err(|error| yaml_diagnostic(path, error))?;
    let mut resources = Vec::new();
    for (document, node) in documents.iter().enumerate() {
        let value = node.to_json().map_err(|error| yaml_diagnostic(path, error))?;
        let origin = Origin {
            path: path.to_owned(),
            document,
            line: node.line,
            places: Arc::new(node.places()),
            secret,
        };
        match value.get("items").and_then(serde_json::Value::as_array) {
            Some(items) if value["kind"].as_str().is_some_and(|kind| kind.ends_with("List")) => {
                for (index, item) in items.iter().enumerate() {
                    let prefix = format!("/items/{index}");
                    let places = origin
                        .places
                        .0
                        .range(prefix.clone()..)
                        .take_while(|(pointer, _)| pointer.starts_with(&prefix))
                        .filter(|(pointer, _)| {
                            matches!(pointer.as_bytes().get(prefix.len()), None | Some(b'/'))
                        })
                        .filter_map(|(pointer, place)| {
                            Some((pointer.strip_prefix(&prefix)?.to_owned(), *place))
                        })
                        .collect();
                    resources.push(Resource {
                        value: item.clone(),
                        origin: Origin {
                            places: Arc::new(Places(places)),
                            ..origin.clone()
                        },
                    });
                }
            }
            _ => resources.push(Resource { value, origin }),
        }
    }
    Ok(resources)
}

fn yaml_diagnostic(path: &str, error: YamlError) -> Diagnostic {
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
    Diagnostic::error(place, rule, error.message, error.help)
}

struct Build<'a> {
    files: &'a dyn Files,
    diagnostics: Vec<Diagnostic>,
    /// Folders that are being built, outermost first.
    stack: Vec<String>,
    wanted: BTreeSet<String>,
    only_names: bool,
    /// Folders that were built, counted each time.
    folders: usize,
    /// Folders that were visited, while only names are wanted.
    visited: BTreeSet<String>,
}

impl Build<'_> {
    fn folder(&mut self, folder: &str) -> Vec<Resource> {
        let folder = folder.trim_matches('/').to_owned();
        let file = NAMES
            .iter()
            .map(|name| join(&folder, name))
            .find(|path| self.files.paths().contains(path));
        if self.stack.contains(&folder) || self.stack.len() >= DEPTH_MAX {
            let place = Place::file(file.unwrap_or(folder));
            let message = format!("these folders refer to each other: {}", self.stack.join(" → "));
            self.diagnostics.push(Diagnostic::error(
                place,
                "cycle",
                message,
                "take one of the references out",
            ));
            return Vec::new();
        }
        self.folders += 1;
        if self.folders > FOLDERS_MAX {
            if self.folders == FOLDERS_MAX + 1 {
                let message = format!("more than {FOLDERS_MAX} folders are built for this path");
                let place = Place::file(file.unwrap_or(folder));
                self.diagnostics.push(Diagnostic::error(
                    place,
                    "too-many-folders",
                    message,
                    "refer to each base once",
                ));
            }
            return Vec::new();
        }
        if self.only_names && !self.visited.insert(folder.clone()) {
            return Vec::new();
        }
        self.stack.push(folder.clone());
        let resources = match file {
            Some(path) => self.kustomization(&folder, &path),
            None => self.plain(&folder),
        };
        self.stack.pop();
        resources
    }

    /// Every YAML file below a folder; a folder below with a kustomization of its own is built as such.
    fn plain(&mut self, folder: &str) -> Vec<Resource> {
        let prefix = if folder.is_empty() {
            String::new()
        } else {
            format!("{folder}/")
        };
        let mut paths = Vec::new();
        let mut built: BTreeSet<String> = BTreeSet::new();
        for path in self.files.paths().range(prefix.clone()..) {
            let Some(rest) = path.strip_prefix(&prefix) else {
                break;
            };
            if rest.split('/').any(|part| part.starts_with('.')) {
                continue;
            }
            let mut below = folder.to_owned();
            let mut own = None;
            for part in rest
                .split('/')
                .rev()
                .skip(1)
                .collect::<Vec<_>>()
                .into_iter()
                .rev()
            {
                below = join(&below, part);
                if NAMES
                    .iter()
                    .any(|name| self.files.paths().contains(&join(&below, name)))
                {
                    own = Some(below.clone());
                    break;
                }
            }
            match own {
                Some(own) if built.insert(own.clone()) => paths.push((own, true)),
                Some(_) => {}
                None if path.ends_with(".yaml") || path.ends_with(".yml") => {
                    paths.push((path.clone(), false))
                }
                None => {}
            }
        }
        let mut resources = Vec::new();
        for (path, is_folder) in paths {
            resources.extend(if is_folder {
                self.folder(&path)
            } else {
                self.file(&path)
            });
        }
        self.distinct(resources)
    }

    fn file(&mut self, path: &str) -> Vec<Resource> {
        self.wanted.insert(path.to_owned());
        if self.only_names {
            return Vec::new();
        }
        let Some(text) = self.files.text(path) else {
            let message = "the file is missing, or is no text";
            self.diagnostics.push(Diagnostic::error(
                Place::file(path),
                "unreadable",
                message,
                "save it as UTF-8",
            ));
            return Vec::new();
        };
        match read_objects(path, &text, self.files.secret(path)) {
            Ok(resources) => resources
                .into_iter()
                .filter(|resource| self.is_object(resource))
                .collect(),
            Err(diagnostic) => {
                self.diagnostics.push(diagnostic);
                Vec::new()
            }
        }
    }

    fn is_object(&mut self, resource: &Resource) -> bool {
        for (field, present) in [
            ("apiVersion", !resource.api_version().is_empty()),
            ("kind", !resource.kind().is_empty()),
            ("metadata.name", !resource.name().is_empty()),
        ] {
            if !present {
                self.diagnostics.push(Diagnostic::error(
                    resource.origin.place(""),
                    "not-an-object",
                    format!("this document has no {field}, so it is no Kubernetes object"),
                    "write it, or move the file out of this folder",
                ));
                return false;
            }
        }
        true
    }

    fn kustomization(&mut self, folder: &str, path: &str) -> Vec<Resource> {
        self.wanted.insert(path.to_owned());
        let Some(text) = self.files.text(path) else {
            let message = "the file cannot be read as text";
            self.diagnostics.push(Diagnostic::error(
                Place::file(path),
                "unreadable",
                message,
                "save it as UTF-8",
            ));
            return Vec::new();
        };
        let kustomization = match Kustomization::read(path, &text) {
            Ok(kustomization) => kustomization,
            Err(diagnostics) => {
                self.diagnostics.extend(diagnostics);
                return Vec::new();
            }
        };
        let mut resources = Vec::new();
        for (reference, place) in &kustomization.resources {
            let Some(target) = self.resolve(folder, reference, place) else {
                continue;
            };
            if self.files.paths().contains(&target) {
                resources.extend(self.file(&target));
            } else if self.is_folder(&target) {
                resources.extend(self.folder(&target));
            } else {
                let message = format!("{reference} does not exist");
                self.diagnostics.push(Diagnostic::error(
                    place.clone(),
                    "missing-file",
                    message,
                    "correct the path, or add the file",
                ));
            }
        }
        let mut resources = self.distinct(resources);
        for written in &kustomization.patches {
            let body = match &written.path {
                Some((reference, place)) => {
                    let Some(target) = self.resolve(folder, reference, place) else {
                        continue;
                    };
                    self.wanted.insert(target.clone());
                    if self.only_names {
                        if !self.files.paths().contains(&target) {
                            let message = format!("{reference} does not exist");
                            self.diagnostics.push(Diagnostic::error(
                                place.clone(),
                                "missing-file",
                                message,
                                "correct the path",
                            ));
                        }
                        continue;
                    }
                    match self.files.text(&target) {
                        Some(text) => (text.into_owned(), Place::file(target)),
                        None => {
                            let message = format!("{reference} cannot be read");
                            self.diagnostics.push(Diagnostic::error(
                                place.clone(),
                                "missing-file",
                                message,
                                "correct the path",
                            ));
                            continue;
                        }
                    }
                }
                None => (written.inline.clone().unwrap_or_default(), written.place.clone()),
            };
            if !self.only_names {
                let secret = self.files.secret(&body.1.path);
                self.diagnostics
                    .extend(patch::apply(&mut resources, written, &body.0, &body.1, secret));
            }
        }
        if let Some(namespace) = &kustomization.namespace {
            transform::namespace(&mut resources, namespace);
        }
        for labels in &kustomization.labels {
            transform::labels(&mut resources, labels);
        }
        self.distinct(resources)
    }

    fn is_folder(&self, path: &str) -> bool {
        let prefix = format!("{path}/");
        path.is_empty()
            || self
                .files
                .paths()
                .range(prefix.clone()..)
                .next()
                .is_some_and(|next| next.starts_with(&prefix))
    }

    fn resolve(&mut self, folder: &str, reference: &str, place: &Place) -> Option<String> {
        let remote =
            reference.contains("://") || reference.contains('?') || reference.starts_with("git@") || {
                let host = reference.split('/').next().unwrap_or_default();
                host.contains('.')
                    && !host.starts_with('.')
                    && reference.contains('/')
                    && !self.is_folder(&join(folder, host))
            };
        let refused = if remote {
            Some((
                "remote-base",
                "remote bases are not read",
                "copy the files into this repository",
            ))
        } else if reference.starts_with('/') {
            Some((
                "path",
                "absolute paths are not read",
                "write a path relative to this file",
            ))
        } else {
            None
        };
        if let Some((rule, message, help)) = refused {
            self.diagnostics.push(Diagnostic::error(
                place.clone(),
                rule,
                format!("{reference}: {message}"),
                help,
            ));
            return None;
        }
        let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
        for part in reference.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    if parts.pop().is_none() {
                        let message = format!("{reference} leads out of the repository");
                        self.diagnostics.push(Diagnostic::error(
                            place.clone(),
                            "path",
                            message,
                            "stay inside of it",
                        ));
                        return None;
                    }
                }
                part => parts.push(part),
            }
        }
        Some(parts.join("/"))
    }

    fn distinct(&mut self, resources: Vec<Resource>) -> Vec<Resource> {
        let mut seen: HashMap<_, Place> = HashMap::new();
        let mut kept = Vec::with_capacity(resources.len());
        for resource in resources {
            let place = resource.origin.place("/metadata/name");
            if let Some(first) = seen.get(&resource.id()) {
                self.diagnostics.push(Diagnostic::error(
                    place,
                    "duplicate-object",
                    format!("{} is defined twice; first at {first}", resource.id()),
                    "keep one of the two, or give one another name",
                ));
                continue;
            }
            seen.insert(resource.id(), place);
            kept.push(resource);
        }
        kept
    }
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
