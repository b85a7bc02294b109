//! What a build asks of the tree of files: whether a folder is there, where a reference leads, what is an object, and what is
//! there twice.

use super::build::Build;
use super::object::Object;
use super::{NAMES, OBJECTS_MAX, join};
use crate::model::desired::Resource;
use crate::model::diagnostic::Place;
use std::collections::HashMap;

/// Longest reference, as the longest path in Linux and in the trees that are read.
const PATH_BYTES_MAX: usize = 4096;

/// How many objects that are there twice are told by name; whoever lists a folder twice learns nothing from more.
const TWICE_MAX: usize = 100;

impl Build<'_> {
    pub(super) fn is_folder(&self, path: &str) -> bool {
        let prefix = format!("{path}/");
        path.is_empty()
            || self
                .files
                .paths()
                .range(prefix.clone()..)
                .next()
                .is_some_and(|next| next.starts_with(&prefix))
    }

    /// A reference as a path from the repository's root.
    pub(super) fn resolve(&mut self, folder: &str, reference: &str, place: &Place) -> Option<String> {
        if reference.len() > PATH_BYTES_MAX {
            let message = format!("the path is longer than {PATH_BYTES_MAX} bytes");
            self.refuse(place.clone(), "path", message, "name a file of the repository");
            return None;
        }
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
            self.refuse(place.clone(), rule, format!("{reference}: {message}"), help);
            return None;
        }
        let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
        for part in reference.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    if parts.pop().is_none() {
                        let message = format!("{reference} leads out of the repository");
                        let help = "stay inside of it; outside of Git the folder that was given counts as one, so give the folder that holds both, or run `git init` there";
                        self.refuse(place.clone(), "path", message, help);
                        return None;
                    }
                }
                part => parts.push(part),
            }
        }
        Some(parts.join("/"))
    }

    /// Refuses what is there twice.
    pub(super) fn distinct(&mut self, objects: &mut Vec<Object>) {
        if self.only_names {
            return;
        }
        let mut seen: HashMap<_, usize> = HashMap::with_capacity(objects.len());
        let (mut twice, mut more) = (Vec::new(), 0);
        let mut is_first = vec![true; objects.len()];
        for (position, object) in objects.iter().enumerate() {
            // Without a namespace an object lands in `default`: there the two would be one. Versions of one are one, too.
            let named = object.named();
            let id = (named.group, named.kind, named.effective_namespace(), named.name);
            let Some(first) = seen.get(&id) else {
                seen.insert(id, position);
                continue;
            };
            is_first[position] = false;
            if twice.len() == TWICE_MAX {
                more += 1;
                continue;
            }
            let place = |object: &Object| object.resource.origin.place("/metadata/name");
            twice.push((place(object), object.resource.label(), place(&objects[*first])));
        }
        if twice.is_empty() {
            return;
        }
        let mut firsts = is_first.into_iter();
        objects.retain(|_| firsts.next().unwrap_or(true));
        if more > 0
            && let Some((place, ..)) = twice.last()
        {
            let message = format!("{more} more objects are defined twice; the first {TWICE_MAX} are told");
            let help = "keep one of each two, or give one another name";
            self.refuse(place.clone(), "duplicate-object", message, help);
        }
        for (place, id, first) in twice {
            let message = format!("{id} is defined twice; first at {first}");
            self.refuse(
                place,
                "duplicate-object",
                message,
                "keep one of the two, or give one another name",
            );
        }
    }

    /// The outermost folder on the way to a file that has a kustomization.
    pub(super) fn nearest_kustomization(&self, folder: &str, rest: &str) -> Option<String> {
        let mut below = folder.to_owned();
        let parts: Vec<&str> = rest.split('/').collect();
        for part in &parts[..parts.len().saturating_sub(1)] {
            below = join(&below, part);
            if NAMES
                .iter()
                .any(|name| self.files.paths().contains(&join(&below, name)))
            {
                return Some(below);
            }
        }
        None
    }

    pub(super) fn is_object(&mut self, resource: &Resource) -> bool {
        for (field, present) in [
            ("apiVersion", !resource.api_version().is_empty()),
            ("kind", !resource.kind().is_empty()),
            ("metadata.name", !resource.name().is_empty()),
        ] {
            if present {
                continue;
            }
            let pointer = format!("/{}", field.replace('.', "/"));
            let other = resource.value.pointer(&pointer);
            if other.is_some_and(|value| !value.is_null() && !value.is_string()) {
                self.refuse(
                    resource.origin.place(&pointer),
                    "metadata-text",
                    format!("`{field}` is no text: YAML reads `y`, `no` and `12` as something else"),
                    "put it in quotes",
                );
                return false;
            }
            self.refuse(
                resource.origin.place(""),
                "not-an-object",
                format!("this document has no {field}, so it is no Kubernetes object"),
                "write it, or move the file out of this folder",
            );
            return false;
        }
        true
    }

    /// Says so once when there are too many objects, and goes on with none.
    pub(super) fn bound(&mut self, objects: &mut Vec<Object>, path: &str) {
        if objects.len() > OBJECTS_MAX {
            let message = format!("more than {OBJECTS_MAX} objects belong to this path");
            self.refuse(
                Place::file(path),
                "too-many-objects",
                message,
                "point spec.path at a smaller folder",
            );
            objects.clear();
        }
    }
}
