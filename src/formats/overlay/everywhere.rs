//! What a kustomization does to all objects of a build, and what that may cost.

use super::build::{Build, CHANGE_LOOKS, RENAME_LOOKS};
use super::kustomization::Kustomization;
use super::object::{Index, Object};
use super::transform;
use super::work::PAIR_BYTES;
use crate::model::diagnostic::Place;

impl Build<'_> {
    /// What a kustomization does to all objects: namespace, names, labels, annotations.
    pub(super) fn everywhere(&mut self, path: &str, found: &Kustomization, objects: &mut [Object]) {
        let file = Place::file(path);
        let texts = [&found.namespace, &found.prefix, &found.suffix];
        let bytes: usize = texts.iter().map(|text| text.len()).sum();
        if bytes > 0 {
            // Each change remembers the whole name that was.
            let outcome = self
                .work
                .write(objects.len().saturating_mul(2 * bytes + PAIR_BYTES));
            let changes = texts.iter().filter(|text| !text.is_empty()).count();
            if !self.may(outcome, &file) || !self.may_look(objects.len(), changes * RENAME_LOOKS, &file) {
                return;
            }
        }
        if !found.namespace.is_empty()
            && let Err(what) = transform::namespace(objects, &found.namespace)
        {
            self.refuse(file.clone(), "namespace", what, "correct the object");
        }
        transform::rename(objects, &found.prefix, &found.suffix);
        for labels in transform::together(&found.labels) {
            if !self.may_write(&labels.pairs, objects.len(), &file) {
                return;
            }
            if let Err(what) = transform::labels(objects, &labels) {
                self.refuse(file.clone(), "labels", what, "correct the object");
            }
        }
        if !found.annotations.is_empty()
            && self.may_write(&found.annotations, objects.len(), &file)
            && let Err(what) = transform::annotations(objects, &found.annotations)
        {
            self.refuse(file, "annotations", what, "correct the object");
        }
    }

    pub(super) fn replicas(&mut self, path: &str, found: &Kustomization, objects: &mut [Object]) {
        if found.replicas.is_empty() || !self.may_look(objects.len(), CHANGE_LOOKS, &Place::file(path)) {
            return;
        }
        let index = Index::new(objects);
        for replica in &found.replicas {
            let looks = 1 + index.by_name(&replica.name).len();
            if !self.may_look(looks, CHANGE_LOOKS, &replica.place) {
                break;
            }
            if let Err(what) = transform::replicas(objects, &index, replica) {
                self.refuse(replica.place.clone(), "replicas", what, "correct the name");
            }
        }
    }
}
