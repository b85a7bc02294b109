//! Patches and what they aim at, as a kustomization writes them.

use crate::formats::overlay::kustomization::Patch;
use crate::formats::overlay::read::Reader;
use crate::formats::overlay::select::{self, Pattern, Selector};
use crate::formats::pattern;
use crate::formats::yaml::Node;

impl Reader<'_> {
    pub(super) fn strategic_patch(&mut self, item: &Node) -> Patch {
        let text = self.string(item);
        // A patch itself may stand where a path is expected; no path has two lines or a `key: value` in it.
        let inline = text.contains('\n') || text.contains(": ");
        Patch {
            place: self.place(item),
            path: (!inline).then(|| (text.clone(), self.place(item))),
            inline: inline.then_some(text),
            target: None,
            allow_name_change: false,
            allow_kind_change: false,
            late: false,
        }
    }

    /// An entry of `patches`: kustomize cuts the space behind its text off, and so the line break of a last value in a block.
    pub(super) fn trimmed_patch(&mut self, item: &Node) -> Patch {
        let mut patch = self.patch(item);
        if let Some(text) = &mut patch.inline {
            text.truncate(text.trim_end().len());
        }
        patch
    }

    pub(super) fn patch(&mut self, item: &Node) -> Patch {
        let mut patch = Patch {
            place: self.place(item),
            path: None,
            inline: None,
            target: None,
            allow_name_change: false,
            allow_kind_change: false,
            late: false,
        };
        for (key, value, place) in self.entries(item) {
            match key {
                "path" => patch.path = Some((self.string(value), self.place(value))),
                "patch" => {
                    patch.inline = Some(self.string(value));
                    patch.place = self.place(value);
                }
                "target" => patch.target = Some(self.selector(value)),
                "options" => {
                    for (key, value, place) in self.entries(value) {
                        match key {
                            "allowNameChange" => patch.allow_name_change = self.boolean(value),
                            "allowKindChange" => patch.allow_kind_change = self.boolean(value),
                            other => self.strange(
                                place,
                                other,
                                "a patch's options",
                                "allowNameChange and allowKindChange",
                            ),
                        }
                    }
                }
                other => self.strange(place, other, "a patch", "path, patch, target and options"),
            }
        }
        if patch.path.is_some() == patch.inline.is_some() {
            self.refuse(
                self.place(item),
                "kustomization",
                "a patch needs exactly one of `path` and `patch`",
                "keep one of them",
            );
        }
        patch
    }

    /// A selector by patterns, as patches and replacements have it.
    pub(super) fn selector(&mut self, node: &Node) -> Selector {
        let mut selector = Selector::default();
        for (key, value, place) in self.entries(node) {
            let text = self.string(value);
            if text.is_empty() {
                continue;
            }
            if key == "labelSelector" || key == "annotationSelector" {
                let requirements = match select::requirements(&text) {
                    Ok(requirements) => requirements,
                    Err(what) => {
                        self.refuse(
                            place,
                            "selector",
                            format!("`{key}` {what}"),
                            "write requirements such as `app=db,tier!=hot`, separated by commas",
                        );
                        continue;
                    }
                };
                if key == "labelSelector" {
                    selector.labels = requirements;
                } else {
                    selector.annotations = requirements;
                }
                continue;
            }
            let pattern = match self.pattern(&text) {
                Ok(pattern) => pattern,
                Err(what) => {
                    self.wrong_patterns += 1;
                    if self.wrong_patterns > pattern::MISTAKES_MAX {
                        continue;
                    }
                    self.refuse(
                        place,
                        "pattern",
                        format!("`{}` {what}", self.told(key)),
                        "write a short one, and escape special characters with a backslash",
                    );
                    continue;
                }
            };
            match key {
                "group" => selector.group = Some(pattern),
                "version" => selector.version = Some(pattern),
                "kind" => selector.kind = Some(pattern),
                "name" => selector.name = Some(pattern),
                "namespace" => selector.namespace = Some(pattern),
                other => self.strange(
                    place,
                    other,
                    "a target",
                    "group, version, kind, name, namespace, labelSelector and annotationSelector",
                ),
            }
        }
        selector
    }

    /// A pattern, compiled once however often it is written.
    pub(super) fn pattern(&mut self, text: &str) -> Result<Pattern, String> {
        if Pattern::is_word(text) {
            return Pattern::read(text);
        }
        if let Some(known) = self.patterns.get(text) {
            return known.clone();
        }
        if self.patterns.len() == pattern::PATTERNS_MAX || self.wrong_patterns > pattern::MISTAKES_MAX {
            let max = pattern::PATTERNS_MAX;
            return Err(format!("is one of more than {max} different regular expressions"));
        }
        let fresh = Pattern::read(text);
        self.patterns.insert(text.to_owned(), fresh.clone());
        fresh
    }
}
