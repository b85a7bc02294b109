//! Folders, and the order in which a kustomization works: resources, generators, components, patches, namespace, names, labels,
//! annotations, JSON patches, replicas, images, replacements (kustomize's `internal/target`).

use super::generators;
use super::images::Images;
use super::kustomization::Kustomization;
use super::object::{Index, Object};
use super::work::{PAIR_BYTES, Trouble, Work};
use super::{DEPTH_MAX, FOLDERS_MAX, Files, NAMES, join, names, order, read_objects, transform};
use crate::model::desired::Resource;
use crate::model::diagnostic::{Diagnostic, Place};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::rc::Rc;
use std::sync::Arc;

/// Largest kustomization file; one with ten thousand resources is as large.
const KUSTOMIZATION_BYTES_MAX: usize = 1 << 18;

/// What it takes to look for objects that are there twice, in looks at each object.
const DISTINCT_LOOKS: usize = 3;

/// What it takes to index an object, or to put labels or annotations into it.
pub(super) const CHANGE_LOOKS: usize = 8;

/// What it takes to give an object another name or namespace, and to remember the one before.
pub(super) const RENAME_LOOKS: usize = 30;

/// What it takes to compile a pattern.
const PATTERN_LOOKS: usize = 1000;

/// What it takes to add an object of a file that was added before.
const AGAIN_LOOKS: usize = 16;

/// What to do where a file is not there.
pub(super) const ABSENT: &str = "correct the path, or add the file";

/// One build.
pub(super) struct Build<'a> {
    pub(super) files: &'a dyn Files,
    root: String,
    pub(super) diagnostics: Vec<Diagnostic>,
    /// Folders that are being built, outermost first.
    stack: Vec<String>,
    /// The files that the build needs.
    pub(super) wanted: BTreeSet<String>,
    pub(super) only_names: bool,
    /// Bytes that generators made.
    generated: usize,
    /// Folders that were built, counted each time.
    folders: usize,
    /// What was done so far.
    pub(super) work: Work,
    /// Folders that were visited, while only names are wanted.
    visited: BTreeSet<String>,
    /// Kustomizations that were read, by their paths: a base with many variants is read once.
    read: BTreeMap<String, Rc<Kustomization>>,
    /// What the outermost kustomization says of the order and of origins.
    last: Option<Rc<Kustomization>>,
}

impl<'a> Build<'a> {
    pub(super) fn new(root: &str, files: &'a dyn Files, only_names: bool) -> Self {
        Self {
            files,
            root: root.trim_matches('/').to_owned(),
            diagnostics: Vec::new(),
            stack: Vec::new(),
            wanted: BTreeSet::new(),
            only_names,
            generated: 0,
            folders: 0,
            work: Work::default(),
            visited: BTreeSet::new(),
            read: BTreeMap::new(),
            last: None,
        }
    }

    pub(super) fn refuse(&mut self, place: Place, rule: &str, message: impl Into<String>, help: &str) {
        self.diagnostics
            .push(Diagnostic::error(place, rule, message, help));
    }

    /// Says what is too much, once, and whether all is well.
    pub(super) fn may<T>(&mut self, outcome: Result<T, Trouble>, place: &Place) -> bool {
        let Err((message, help)) = outcome else {
            return true;
        };
        if !std::mem::replace(&mut self.work.told, true) {
            self.refuse(place.clone(), "too-much-work", message, help);
        }
        false
    }

    /// Counts looks at each of some objects, and says whether they may be.
    pub(super) fn may_look(&mut self, objects: usize, looks: usize, place: &Place) -> bool {
        let outcome = self.work.look(objects.saturating_mul(looks));
        self.may(outcome, place)
    }

    /// Counts what pairs take in so many objects, and says whether they may be written.
    pub(super) fn may_write(
        &mut self,
        pairs: &BTreeMap<String, String>,
        objects: usize,
        place: &Place,
    ) -> bool {
        let size: usize = pairs
            .iter()
            .map(|(key, value)| key.len() + value.len() + PAIR_BYTES)
            .sum();
        let outcome = self.work.write(size.saturating_mul(objects));
        self.may_look(objects, 2 * (CHANGE_LOOKS + pairs.len()), place) && self.may(outcome, place)
    }

    /// Builds a folder into `objects`. A component works on the objects that are there already.
    pub(super) fn folder(&mut self, folder: &str, component: bool, objects: &mut Vec<Object>) {
        let folder = folder.trim_matches('/').to_owned();
        let found: Vec<String> = NAMES
            .iter()
            .map(|name| join(&folder, name))
            .filter(|path| self.files.paths().contains(path))
            .collect();
        let place = Place::file(found.first().cloned().unwrap_or_else(|| folder.clone()));
        if self.stack.len() >= DEPTH_MAX && !self.stack.contains(&folder) {
            let message = format!("more than {DEPTH_MAX} folders refer to each other, one by one");
            self.refuse(place, "too-deep", message, "bring bases and overlays together");
            return;
        }
        if self.stack.contains(&folder) {
            let folders = self.stack.iter().chain([&folder]);
            let named = folders.map(|one| if one.is_empty() { "." } else { one.as_str() });
            let named = named.collect::<Vec<_>>().join(" → ");
            let message = format!("these folders refer to each other: {named}");
            self.refuse(place, "cycle", message, "take one of the references out");
            return;
        }
        self.folders += 1;
        if self.folders > FOLDERS_MAX {
            if self.folders == FOLDERS_MAX + 1 {
                let message = format!("more than {FOLDERS_MAX} folders are built for this path");
                self.refuse(place, "too-many-folders", message, "refer to each base once");
            }
            return;
        }
        if self.only_names && !self.visited.insert(folder.clone()) {
            return;
        }
        self.stack.push(folder.clone());
        match found.as_slice() {
            [] if component => {
                let message = format!("{folder} has no kustomization");
                self.refuse(
                    place,
                    "missing-file",
                    message,
                    "a component needs a kustomization.yaml",
                );
            }
            // kustomize reads no folder without its file; only the path of a source may be one, as with Flux.
            [] if self.stack.len() > 1 => {
                let message = format!("{folder} has no kustomization");
                self.refuse(
                    place,
                    "missing-file",
                    message,
                    "add a kustomization.yaml to it, or list its files",
                );
            }
            [] => self.plain(&folder, objects),
            [path] => self.kustomization(&folder, path, component, objects),
            [_, second, ..] => {
                let message = "this folder has two kustomization files";
                self.refuse(
                    Place::file(second.clone()),
                    "kustomization",
                    message,
                    "keep one of them",
                );
            }
        }
        self.stack.pop();
    }

    /// Every YAML file below a folder; a folder below with a kustomization of its own is built as such.
    fn plain(&mut self, folder: &str, objects: &mut Vec<Object>) {
        let prefix = match folder {
            "" => String::new(),
            folder => format!("{folder}/"),
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
            match self.nearest_kustomization(folder, rest) {
                Some(own) if built.insert(own.clone()) => paths.push((own, true)),
                Some(_) => {}
                None if path.ends_with(".yaml") || path.ends_with(".yml") => {
                    paths.push((path.clone(), false));
                }
                None => {}
            }
        }
        for (path, is_folder) in paths {
            match is_folder {
                true => self.folder(&path, false, objects),
                false => self.file(&path, objects),
            }
        }
        if self.may_look(objects.len(), DISTINCT_LOOKS, &Place::file(folder)) {
            self.distinct(objects);
        }
    }

    fn file(&mut self, path: &str, objects: &mut Vec<Object>) {
        let again = !self.wanted.insert(path.to_owned());
        if self.only_names {
            return;
        }
        match self.files.objects(path) {
            Some(known) => {
                self.work.copies += if again { known.len() } else { 0 };
                if again && !self.may_look(known.len(), AGAIN_LOOKS, &Place::file(path)) {
                    return;
                }
                self.work.objects += if again { 0 } else { known.len() };
                objects.extend(known.iter().cloned().map(Object::of_file));
            }
            None => {
                let fresh = self.fresh(path);
                self.work.objects += if again { 0 } else { fresh.len() };
                objects.extend(fresh.into_iter().map(Object::of_file));
            }
        }
        self.bound(objects, path);
    }

    /// The objects of a file that was not read before.
    fn fresh(&mut self, path: &str) -> Vec<Resource> {
        let Some(text) = self.files.text(path) else {
            let message = "the file is missing, or is no text";
            self.refuse(Place::file(path), "unreadable", message, "save it as UTF-8");
            return Vec::new();
        };
        match read_objects(path, &text, self.files.secret(path)) {
            Ok(resources) => {
                let count = resources.len();
                let good: Vec<Resource> = resources
                    .into_iter()
                    .filter(|resource| self.is_object(resource))
                    .collect();
                if good.len() == count {
                    self.files.keep(path, &good);
                }
                good
            }
            Err(diagnostic) => {
                self.diagnostics.push(diagnostic);
                Vec::new()
            }
        }
    }

    /// The kustomization of a file, unless it was refused.
    fn read(&mut self, path: &str) -> Option<Rc<Kustomization>> {
        if let Some(known) = self.read.get(path) {
            return Some(known.clone());
        }
        let Some(text) = self.files.text(path) else {
            let message = "the file cannot be read as text";
            self.refuse(Place::file(path), "unreadable", message, "save it as UTF-8");
            return None;
        };
        if text.len() > KUSTOMIZATION_BYTES_MAX {
            let message = format!("the kustomization has more than {KUSTOMIZATION_BYTES_MAX} bytes");
            let help = "move patches into files of their own, or split it into folders";
            self.refuse(Place::file(path), "kustomization", message, help);
            return None;
        }
        let (found, diagnostics) = Kustomization::read(path, &text, self.files.secret(path));
        self.diagnostics.extend(diagnostics);
        let found = Rc::new(found?);
        self.read.insert(path.to_owned(), found.clone());
        Some(found)
    }

    fn kustomization(&mut self, folder: &str, path: &str, component: bool, objects: &mut Vec<Object>) {
        let again = !self.wanted.insert(path.to_owned());
        let Some(found) = self.read(path) else {
            return;
        };
        if !self.may_look(found.patterns, PATTERN_LOOKS, &Place::file(path)) {
            return;
        }
        if found.component != component {
            let (message, help) = if component {
                (
                    "this is no Component",
                    "write `kind: Component`, or list it under `resources`",
                )
            } else {
                (
                    "a Component is listed under `components`",
                    "move the reference there",
                )
            };
            self.refuse(Place::file(path), "kustomization", message, help);
            return;
        }
        // A base builds its own objects first; only a component sees those of the folder that names it.
        let mut own = if component {
            std::mem::take(objects)
        } else {
            Vec::new()
        };
        for (reference, place) in &found.resources {
            self.resource(folder, reference, place, &mut own);
        }
        if !self.may_generate(again, path, &found) {
            return;
        }
        self.generate(folder, path, &found, &mut own);
        for (reference, place) in &found.components {
            let Some(target) = self.resolve(folder, reference, place) else {
                continue;
            };
            if self.is_folder(&target) {
                self.folder(&target, true, &mut own);
            } else {
                self.missing(reference, place);
            }
        }
        let file = Place::file(path);
        // What came in by itself, or was not renamed, is still distinct.
        let only_changes = component && found.adds_nothing();
        if !only_changes && self.may_look(own.len(), DISTINCT_LOOKS, &file) {
            self.distinct(&mut own);
        }
        self.transform(folder, path, &found, &mut own);
        if found.renames() && self.may_look(own.len(), DISTINCT_LOOKS, &file) {
            self.distinct(&mut own);
        }
        objects.append(&mut own);
        self.bound(objects, path);
        if self.stack.len() == 1 {
            self.last = Some(found);
        }
    }

    pub(super) fn missing(&mut self, reference: &str, place: &Place) {
        let message = format!("{reference} does not exist");
        self.refuse(place.clone(), "missing-file", message, ABSENT);
    }

    fn resource(&mut self, folder: &str, reference: &str, place: &Place, objects: &mut Vec<Object>) {
        let Some(target) = self.resolve(folder, reference, place) else {
            return;
        };
        if self.files.paths().contains(&target) {
            self.file(&target, objects);
        } else if self.is_folder(&target) {
            self.folder(&target, false, objects);
        } else {
            self.missing(reference, place);
        }
    }

    fn generate(&mut self, folder: &str, path: &str, found: &Kustomization, objects: &mut Vec<Object>) {
        let config_maps = found
            .config_maps
            .iter()
            .map(|one| (generators::Kind::ConfigMap, one));
        let secrets = found.secrets.iter().map(|one| (generators::Kind::Secret, one));
        let mut index = Index::default();
        let generates = !found.config_maps.is_empty() || !found.secrets.is_empty();
        if generates && !self.only_names {
            index = Index::new(objects);
        }
        for (kind, generator) in config_maps.chain(secrets) {
            self.bound(objects, path);
            if self.only_names {
                let keyed = generator
                    .files
                    .iter()
                    .map(|one| one.split_once('=').map_or(one.as_str(), |(_, path)| path));
                for reference in generator.envs.iter().map(String::as_str).chain(keyed) {
                    match self.resolve(folder, reference, &generator.place) {
                        Some(target) if self.files.paths().contains(&target) => {
                            self.wanted.insert(target);
                        }
                        Some(_) => self.missing(reference, &generator.place),
                        None => {}
                    }
                }
                continue;
            }
            let files = self.files;
            let mut resolve = |reference: &str| {
                self.resolve(folder, reference, &generator.place).ok_or_else(|| {
                    (
                        format!("{reference} cannot be read"),
                        "write a path inside of the repository",
                    )
                })
            };
            let made = generators::generate(
                kind,
                generator,
                &found.generator_options,
                files,
                &mut resolve,
                path,
            );
            let bounded = made.and_then(|fresh| {
                self.generated += generators::bounded(&fresh, self.generated)?;
                Ok(fresh)
            });
            let absorbed = bounded.and_then(|fresh| generators::absorb(objects, &mut index, fresh));
            if let Err((message, help)) = absorbed {
                // As it is said where only names are looked for, so that nobody hears it twice.
                let absent = help == ABSENT;
                let rule = if absent { "missing-file" } else { "generator" };
                self.refuse(generator.place.clone(), rule, message, help);
            }
        }
    }

    fn transform(&mut self, folder: &str, path: &str, found: &Kustomization, objects: &mut Vec<Object>) {
        self.patch(folder, &found.patches, objects);
        if !self.only_names {
            self.everywhere(path, found, objects);
        }
        self.patch(folder, &found.late_patches, objects);
        if !self.only_names {
            self.replicas(path, found, objects);
            let (mut images, wrong) = Images::new(&found.images);
            for (image, what) in wrong {
                self.refuse(image.place.clone(), "images", what, "correct the name");
            }
            for object in objects.iter_mut().filter(|_| !found.images.is_empty()) {
                let outcome = images.change(object);
                if !self.may_look(std::mem::take(&mut images.looks), 1, &found.images[0].place) {
                    break;
                }
                if let Err(what) = outcome {
                    let message = format!("{}: {what}", object.resource.label());
                    self.refuse(
                        found.images[0].place.clone(),
                        "images",
                        message,
                        "correct the object",
                    );
                }
            }
        }
        for replacement in &found.replacements {
            if self.work.told {
                break;
            }
            self.replace(folder, replacement, objects);
        }
    }

    /// What is done once, when everything is built: hashes, references, order.
    pub(super) fn finish(&mut self, objects: &mut Vec<Object>) {
        if self.work.told {
            // All is refused: copies of what is there already would only take their time to be looked at.
            let mut seen = HashSet::new();
            objects.retain(|object| seen.insert(Arc::as_ptr(&object.resource.value)));
        }
        generators::add_hashes(objects);
        if let Err(what) = names::follow(objects) {
            let root = self.root.clone();
            self.refuse(
                Place::file(root),
                "name-reference",
                what,
                "rename one of the objects",
            );
        }
        order::drop_local(objects);
        transform::settle_annotations(objects);
        let Some(last) = self.last.take() else { return };
        if let Some(wanted) = &last.order {
            order::sort(objects, wanted);
        }
        if last.origins {
            order::annotate_origins(objects, &self.root);
        }
    }
}
