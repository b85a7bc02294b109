//! Reading values of a kustomization file by their type, with the place of each mistake.

use super::select::Pattern;
use crate::formats::yaml::{Kind, Node};
use crate::model::diagnostic::{Diagnostic, Place};
use crate::model::secret::MASK;
use std::collections::{BTreeMap, HashMap};

/// Reads one file and gathers what is wrong with it.
pub(super) struct Reader<'a> {
    path: &'a str,
    /// Whether the file was encrypted: then its keys are not quoted.
    secret: bool,
    pub(super) diagnostics: Vec<Diagnostic>,
    /// Patterns that had to be compiled, by their texts.
    pub(super) patterns: HashMap<String, Result<Pattern, String>>,
    /// How many of them were wrong.
    pub(super) wrong_patterns: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(path: &'a str, secret: bool) -> Self {
        Self {
            path,
            secret,
            diagnostics: Vec::new(),
            patterns: HashMap::new(),
            wrong_patterns: 0,
        }
    }

    pub(super) fn place(&self, node: &Node) -> Place {
        Place {
            path: self.path.to_owned(),
            line: node.line,
            column: node.column,
        }
    }

    pub(super) fn refuse(&mut self, place: Place, rule: &str, message: impl Into<String>, help: &str) {
        self.diagnostics
            .push(Diagnostic::error(place, rule, message, help));
    }

    /// A key in a message.
    pub(super) fn told<'k>(&self, key: &'k str) -> &'k str {
        if self.secret { MASK } else { key }
    }

    /// Refuses a field that something does not have.
    pub(super) fn strange(&mut self, place: Place, key: &str, of: &str, known: &str) {
        let message = format!("`{}` of {of} is not read", self.told(key));
        self.refuse(place, "kustomization-field", message, &format!("use {known}"));
    }

    fn wrong(&mut self, node: &Node, what: &str, help: &str) {
        self.refuse(self.place(node), "wrong-type", what, help);
    }

    /// The entries of a map; none for nothing.
    pub(super) fn entries<'n>(&mut self, node: &'n Node) -> Vec<(&'n str, &'n Node, Place)> {
        match &node.kind {
            Kind::Map(entries) => entries
                .iter()
                .map(|(key, value)| {
                    let place = Place {
                        path: self.path.to_owned(),
                        line: key.line,
                        column: key.column,
                    };
                    (key.text.as_str(), value, place)
                })
                .collect(),
            _ if is_nothing(node) => Vec::new(),
            _ => {
                self.wrong(node, "a mapping is needed here", "write `key: value` lines");
                Vec::new()
            }
        }
    }

    /// The items of a list; none for nothing.
    pub(super) fn items<'n>(&mut self, node: &'n Node) -> &'n [Node] {
        match &node.kind {
            Kind::List(items) => items,
            _ if is_nothing(node) => &[],
            _ => {
                self.wrong(node, "a list is needed here", "start each item with `- `");
                &[]
            }
        }
    }

    /// Reads each item of a list.
    pub(super) fn each<T>(&mut self, node: &Node, read: impl Fn(&mut Self, &Node) -> T) -> Vec<T> {
        self.items(node).iter().map(|item| read(self, item)).collect()
    }

    /// A text, or "" for nothing. Numbers and booleans are no texts, as with kustomize.
    pub(super) fn string(&mut self, node: &Node) -> String {
        match node.to_json() {
            Ok(serde_json::Value::String(text)) => text,
            Ok(serde_json::Value::Null) => String::new(),
            _ => {
                self.wrong(node, "a text is needed here", "quote it if it is one");
                String::new()
            }
        }
    }

    pub(super) fn strings(&mut self, node: &Node) -> Vec<String> {
        self.each(node, Self::string)
    }

    /// Paths with their places.
    pub(super) fn paths(&mut self, node: &Node) -> Vec<(String, Place)> {
        self.each(node, |reader, item| (reader.string(item), reader.place(item)))
    }

    /// A map of texts.
    pub(super) fn pairs(&mut self, node: &Node) -> BTreeMap<String, String> {
        self.entries(node)
            .into_iter()
            .map(|(key, value, _)| (key.to_owned(), self.string(value)))
            .collect()
    }

    pub(super) fn boolean(&mut self, node: &Node) -> bool {
        match node.to_json() {
            Ok(serde_json::Value::Bool(value)) => value,
            Ok(serde_json::Value::Null) => false,
            _ => {
                self.wrong(node, "true or false is needed here", "write one of them");
                false
            }
        }
    }

    pub(super) fn integer(&mut self, node: &Node) -> i64 {
        match node.to_json().ok().and_then(|value| value.as_i64()) {
            Some(value) => value,
            None => {
                self.wrong(node, "a whole number is needed here", "write one");
                0
            }
        }
    }
}

fn is_nothing(node: &Node) -> bool {
    node.to_json().is_ok_and(|value| value.is_null())
}
