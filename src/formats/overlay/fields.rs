//! Places inside of objects that belong to a kind: `spec/template/metadata/labels` of Deployments, and so on.
//!
//! The path's parts lead through maps; a list on the way is entered, item by item, without a part of its own.

use super::object::Named;
use serde_json::{Map, Value};

/// A place of a kind. An empty group, version or kind fits all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spec {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) kind: String,
    pub(super) path: String,
    /// Whether what is missing on the way is made.
    pub(super) create: bool,
}

/// A line of a table: group, version, kind, path, whether it is made when it is missing.
pub(super) type Row = (&'static str, &'static str, &'static str, &'static str, bool);

impl From<Row> for Spec {
    fn from((group, version, kind, path, create): Row) -> Self {
        Self {
            group: group.to_owned(),
            version: version.to_owned(),
            kind: kind.to_owned(),
            path: path.to_owned(),
            create,
        }
    }
}

impl Spec {
    /// Whether it is about this object.
    pub(super) fn fits(&self, id: Named) -> bool {
        (self.kind.is_empty() || self.kind == id.kind)
            && (self.group.is_empty() || self.group == id.group)
            && (self.version.is_empty() || self.version == id.version)
    }

    /// Runs something on every value at the place, making it with `fresh` where that is asked for.
    ///
    /// # Errors
    /// When the path leads through a value that is neither map nor list.
    pub(super) fn visit(
        &self,
        value: &mut Value,
        fresh: &dyn Fn() -> Value,
        act: &mut dyn FnMut(&mut Value) -> Result<(), String>,
    ) -> Result<(), String> {
        walk(value, &parts(&self.path), self.create, fresh, act)
    }
}

/// The parts of a path; `\/` is a slash inside of a part.
pub(super) fn parts(path: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut letters = path.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' if letters.peek() == Some(&'/') => {
                letters.next();
                push(&mut parts, '/');
            }
            '/' => parts.push(String::new()),
            other => push(&mut parts, other),
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

fn push(parts: &mut [String], letter: char) {
    if let Some(part) = parts.last_mut() {
        part.push(letter);
    }
}

fn walk(
    value: &mut Value,
    path: &[String],
    create: bool,
    fresh: &dyn Fn() -> Value,
    act: &mut dyn FnMut(&mut Value) -> Result<(), String>,
) -> Result<(), String> {
    let Some((part, rest)) = path.split_first() else {
        return act(value);
    };
    match value {
        Value::Null => Ok(()),
        Value::Array(items) => {
            for item in items {
                walk(item, path, create, fresh, act)?;
            }
            Ok(())
        }
        Value::Object(map) => {
            let (name, list) = match part.strip_suffix("[]") {
                Some(name) => (name, true),
                None => (part.as_str(), false),
            };
            let missing = map.get(name).is_none_or(Value::is_null);
            if missing {
                // A list is never made: nobody would know how many items to put into it.
                if !create || list {
                    return Ok(());
                }
                let made = if rest.is_empty() {
                    fresh()
                } else {
                    Value::Object(Map::new())
                };
                map.insert(name.to_owned(), made);
            }
            match map.get_mut(name) {
                Some(next) => walk(next, rest, create, fresh, act),
                None => Ok(()),
            }
        }
        _ => Err(format!("`{part}` is looked for in something that is no map")),
    }
}
