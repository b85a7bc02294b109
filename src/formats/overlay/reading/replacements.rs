//! Replacements, as a kustomization or a file of their own writes them.

use crate::formats::overlay::kustomization::{
    FieldOptions, Replacement, ReplacementSource, ReplacementTarget,
};
use crate::formats::overlay::read::Reader;
use crate::formats::yaml::Node;
use zeroize::Zeroizing;

impl Reader<'_> {
    pub(super) fn replacement(&mut self, item: &Node) -> Replacement {
        let mut replacement = Replacement {
            place: self.place(item),
            path: None,
            source: None,
            source_value: None,
            targets: Vec::new(),
        };
        for (key, value, place) in self.entries(item) {
            match key {
                "path" => replacement.path = Some((self.string(value), self.place(value))),
                "source" => replacement.source = Some(self.source(value)),
                "sourceValue" => replacement.source_value = Some(Zeroizing::new(self.string(value))),
                "targets" => replacement.targets = self.each(value, Self::target),
                other => self.strange(
                    place,
                    other,
                    "a replacement",
                    "path, source, sourceValue and targets",
                ),
            }
        }
        replacement
    }

    pub(super) fn source(&mut self, node: &Node) -> ReplacementSource {
        let mut source = ReplacementSource::default();
        for (key, value, place) in self.entries(node) {
            match key {
                "group" => source.group = self.string(value),
                "version" => source.version = self.string(value),
                "kind" => source.kind = self.string(value),
                "name" => source.name = self.string(value),
                "namespace" => source.namespace = self.string(value),
                "fieldPath" => source.field_path = self.string(value),
                "options" => source.options = self.field_options(value),
                other => self.strange(
                    place,
                    other,
                    "a source",
                    "group, version, kind, name, namespace, fieldPath and options",
                ),
            }
        }
        source
    }

    pub(super) fn target(&mut self, node: &Node) -> ReplacementTarget {
        let mut target = ReplacementTarget::default();
        for (key, value, place) in self.entries(node) {
            match key {
                "select" => target.select = Some(self.selector(value)),
                "reject" => target.reject = self.each(value, Self::selector),
                "fieldPaths" => target.field_paths = self.strings(value),
                "options" => target.options = self.field_options(value),
                other => self.strange(place, other, "a target", "select, reject, fieldPaths and options"),
            }
        }
        target
    }

    pub(super) fn field_options(&mut self, node: &Node) -> FieldOptions {
        let mut options = FieldOptions::default();
        for (key, value, place) in self.entries(node) {
            match key {
                "delimiter" => options.delimiter = self.string(value),
                "index" => options.index = self.integer(value),
                "create" => options.create = self.boolean(value),
                "encoding" => self.refuse(
                    place,
                    "kustomization-field",
                    "`encoding` is not read",
                    "drop it; kustomize ignores it",
                ),
                other => self.strange(place, other, "options", "delimiter, index and create"),
            }
        }
        options
    }
}
