//! A kustomization file as written: the fields that are read, and a refusal by name for every other.

use super::yaml_diagnostic;
use crate::formats::yaml::{self, Kind, Node};
use crate::model::diagnostic::{Diagnostic, Place};
use regex::Regex;
use std::collections::BTreeMap;

/// Longest pattern of a target.
const PATTERN_MAX: usize = 1000;

/// A kustomization file.
#[derive(Default)]
pub(super) struct Kustomization {
    pub(super) resources: Vec<(String, Place)>,
    pub(super) patches: Vec<Patch>,
    pub(super) namespace: Option<String>,
    pub(super) labels: Vec<Labels>,
}

/// One entry of `patches`.
pub(super) struct Patch {
    pub(super) place: Place,
    pub(super) path: Option<(String, Place)>,
    pub(super) inline: Option<String>,
    pub(super) target: Option<Target>,
}

/// What a patch is for; every part that is given must match.
#[derive(Default)]
pub(super) struct Target {
    pub(super) patterns: BTreeMap<&'static str, Regex>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
}

/// One entry of `labels`.
pub(super) struct Labels {
    pub(super) pairs: BTreeMap<String, String>,
    pub(super) selectors: bool,
    pub(super) templates: bool,
}

struct Reader<'a> {
    path: &'a str,
    diagnostics: Vec<Diagnostic>,
}

impl Kustomization {
    pub(super) fn read(path: &str, text: &str) -> Result<Self, Vec<Diagnostic>> {
        let documents = yaml::load(text).map_err(|error| vec![yaml_diagnostic(path, error)])?;
        let mut reader = Reader {
            path,
            diagnostics: Vec::new(),
        };
        let mut found = Self::default();
        match documents.first() {
            Some(root) => reader.root(root, &mut found),
            None => reader.refuse(
                Place::file(path),
                "empty-kustomization",
                "the file is empty",
                "list `resources:`",
            ),
        }
        if reader.diagnostics.is_empty() {
            Ok(found)
        } else {
            Err(reader.diagnostics)
        }
    }
}

impl Reader<'_> {
    fn place(&self, node: &Node) -> Place {
        Place {
            path: self.path.to_owned(),
            line: node.line,
            column: node.column,
        }
    }

    fn refuse(&mut self, place: Place, rule: &str, message: impl Into<String>, help: &str) {
        self.diagnostics
            .push(Diagnostic::error(place, rule, message, help));
    }

    fn root(&mut self, root: &Node, found: &mut Kustomization) {
        for (key, value, place) in self.entries(root) {
            match key.as_str() {
                "apiVersion" | "kind" => {
                    let wanted = if key == "kind" { "Kustomization" } else { "kustomize.config.k8s.io/v1beta1" };
                    if value.text() != Some(wanted) {
                        self.refuse(place, "kustomization", format!("`{key}` is not `{wanted}`"), "correct it; components are not read yet");
                    }
                }
                "resources" => {
                    for item in self.items(&value) {
                        match item.text() {
                            Some(text) => found.resources.push((text.to_owned(), self.place(&item))),
                            None => self.refuse(self.place(&item), "wrong-type", "this is no path", "write the path of a file or folder"),
                        }
                    }
                }
                "patches" => {
                    for item in self.items(&value) {
                        let patch = self.patch(&item);
                        found.patches.push(patch);
                    }
                }
                "namespace" => found.namespace = self.text(&value),
                "labels" => {
                    for item in self.items(&value) {
                        let labels = self.labels(&item);
                        found.labels.push(labels);
                    }
                }
                other => self.refuse(
                    place,
                    "kustomization-field",
                    format!("`{other}` is not read"),
                    "couchestor reads resources, patches, namespace and labels; write its effect out as a patch",
                ),
            }
        }
    }

    fn patch(&mut self, item: &Node) -> Patch {
        let mut patch = Patch {
            place: self.place(item),
            path: None,
            inline: None,
            target: None,
        };
        for (key, value, place) in self.entries(item) {
            match key.as_str() {
                "path" => patch.path = self.text(&value).map(|text| (text, self.place(&value))),
                "patch" => {
                    patch.inline = self.text(&value);
                    patch.place = self.place(&value);
                }
                "target" => patch.target = Some(self.target(&value)),
                other => self.refuse(
                    place,
                    "kustomization-field",
                    format!("`{other}` of a patch is not read"),
                    "use path, patch and target",
                ),
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

    fn target(&mut self, node: &Node) -> Target {
        let mut target = Target::default();
        for (key, value, place) in self.entries(node) {
            let Some(text) = self.text(&value) else { continue };
            let field = match key.as_str() {
                "group" => "group",
                "version" => "version",
                "kind" => "kind",
                "name" => "name",
                "namespace" => "namespace",
                "labelSelector" | "annotationSelector" => {
                    let pairs = self.selector(&text, &place);
                    if key == "labelSelector" {
                        target.labels = pairs
                    } else {
                        target.annotations = pairs
                    }
                    continue;
                }
                other => {
                    self.refuse(
                        place,
                        "kustomization-field",
                        format!("`{other}` of a target is not read"),
                        "use group, version, kind, name, namespace, labelSelector or annotationSelector",
                    );
                    continue;
                }
            };
            match Regex::new(&format!("^(?:{text})$")) {
                Ok(pattern) if text.len() <= PATTERN_MAX => {
                    target.patterns.insert(field, pattern);
                }
                _ => self.refuse(
                    place,
                    "pattern",
                    format!("`{field}` is no regular expression"),
                    "escape special characters with a backslash",
                ),
            }
        }
        target
    }

    fn selector(&mut self, text: &str, place: &Place) -> BTreeMap<String, String> {
        let mut pairs = BTreeMap::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                Some((key, value)) if !key.ends_with('!') => {
                    pairs.insert(
                        key.trim().to_owned(),
                        value.trim_start_matches('=').trim().to_owned(),
                    );
                }
                _ => self.refuse(
                    place.clone(),
                    "selector",
                    "only key=value pairs are read here",
                    "write key=value, separated by commas",
                ),
            }
        }
        pairs
    }

    fn labels(&mut self, item: &Node) -> Labels {
        let mut labels = Labels {
            pairs: BTreeMap::new(),
            selectors: false,
            templates: false,
        };
        for (key, value, place) in self.entries(item) {
            match key.as_str() {
                "pairs" => {
                    for (key, value, _) in self.entries(&value) {
                        if let Some(text) = self.text(&value) {
                            labels.pairs.insert(key, text);
                        }
                    }
                }
                "includeSelectors" => labels.selectors = value.text() == Some("true"),
                "includeTemplates" => labels.templates = value.text() == Some("true"),
                other => self.refuse(
                    place,
                    "kustomization-field",
                    format!("`{other}` of labels is not read"),
                    "use pairs, includeSelectors and includeTemplates",
                ),
            }
        }
        labels
    }

    fn entries(&mut self, node: &Node) -> Vec<(String, Node, Place)> {
        match &node.kind {
            Kind::Map(entries) => entries
                .iter()
                .map(|(key, value)| {
                    let place = Place {
                        path: self.path.to_owned(),
                        line: key.line,
                        column: key.column,
                    };
                    (key.text.clone(), value.clone(), place)
                })
                .collect(),
            _ => {
                self.refuse(
                    self.place(node),
                    "wrong-type",
                    "a mapping is needed here",
                    "write `key: value` lines",
                );
                Vec::new()
            }
        }
    }

    fn items(&mut self, node: &Node) -> Vec<Node> {
        match &node.kind {
            Kind::List(items) => items.clone(),
            Kind::Scalar { text, .. } if text.is_empty() => Vec::new(),
            _ => {
                self.refuse(
                    self.place(node),
                    "wrong-type",
                    "a list is needed here",
                    "start each item with `- `",
                );
                Vec::new()
            }
        }
    }

    fn text(&mut self, node: &Node) -> Option<String> {
        if let Some(text) = node.text() {
            return Some(text.to_owned());
        }
        self.refuse(
            self.place(node),
            "wrong-type",
            "a text is needed here",
            "write one value",
        );
        None
    }
}
