//! YAML as kubectl reads it, with the place of every value, and edits that keep all other bytes.
//!
//! kubectl reads YAML 1.1 through go-yaml v2: `yes` and `on` are booleans, `0644` is octal, a date is a string. Duplicate
//! keys, keys that are no strings and unbounded aliases are errors here. No error quotes a value: it may be a secret.

use crate::model::places::PlaceIndex;
use crate::model::secret::{MASK, wipe_text};
use serde_json::{Map, Number, Value};
use zeroize::{Zeroize, Zeroizing};

/// Events of the parser → a tree with places.
mod load;

/// What is not even begun with.
mod shape;

/// Which keys a mapping has.
mod keys;

/// What `<<` brings.
mod merge;

/// What a plain scalar means.
pub mod scalar;

/// A value → text.
pub mod emit;

/// Changes to a text that keep all other bytes.
pub mod edit;

#[cfg(test)]
mod tests;

pub use load::{load, load_commented};

/// What is wrong with a text, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: {}", self.words())]
pub struct YamlError {
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
    /// What is wrong. [`MASK`] stands for the key that it is about, if it is about one.
    pub message: String,
    /// What to write instead.
    pub help: String,
    /// That key.
    pub key: Option<String>,
}

impl YamlError {
    /// What is wrong, with the key.
    pub fn words(&self) -> String {
        match &self.key {
            Some(key) => self.message.replacen(MASK, &format!("`{key}`"), 1),
            None => self.message.clone(),
        }
    }

    /// The same without the key, for texts that were encrypted.
    #[must_use]
    pub fn masked(self) -> Self {
        Self { key: None, ..self }
    }
}

/// A value with its place.
#[derive(Clone, PartialEq)]
pub struct Node {
    /// The value.
    pub kind: Kind,
    /// Where it starts in the text. A file may hold more than a hundred thousand values: 32 bits are enough for each place.
    start: u32,
    end: u32,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
    /// Boxed, since hardly a value has any.
    #[expect(
        clippy::box_collection,
        reason = "a list would take 16 bytes more of each of a hundred thousand values"
    )]
    comments: Option<Box<Vec<String>>>,
}

/// A value.
#[derive(Clone, PartialEq)]
pub enum Kind {
    /// A scalar: its text after unquoting, whether it stood unquoted, and the suffix of its core tag, if any.
    Scalar {
        /// The text.
        text: String,
        /// Whether it stood without quotes.
        plain: bool,
        /// Its tag, if it has one.
        tag: Option<Tag>,
    },
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order of the text.
    Map(Vec<(Key, Node)>),
}

/// A tag, as far as one means anything to kubectl.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// `!!binary`.
    Binary,
    /// `!!str`.
    Str,
    /// `!!null`.
    Null,
    /// `!!bool`.
    Bool,
    /// `!!int`.
    Int,
    /// `!!float`.
    Float,
    /// Any other of YAML itself, such as `!!timestamp`.
    Core,
    /// One that is not of YAML itself.
    Own,
}

impl Tag {
    /// The tag's suffix, as [`scalar::resolve`] takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Binary => "binary",
            Self::Str => "str",
            Self::Null => "null",
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Float => "float",
            Self::Core => "core",
            Self::Own => scalar::OWN_TAG,
        }
    }

    /// The tag of YAML itself with a suffix.
    fn core(suffix: &str) -> Self {
        match suffix {
            "binary" => Self::Binary,
            "str" => Self::Str,
            "null" => Self::Null,
            "bool" => Self::Bool,
            "int" => Self::Int,
            "float" => Self::Float,
            scalar::OWN_TAG => Self::Own,
            _ => Self::Core,
        }
    }
}

/// A mapping's key.
#[derive(Clone, PartialEq)]
pub struct Key {
    /// The key.
    pub text: String,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
    /// Where it starts in the text.
    pub start: u32,
    /// Whether it is an unquoted `<<`, which merges another mapping in.
    pub merge: bool,
}

impl Zeroize for Node {
    fn zeroize(&mut self) {
        match &mut self.kind {
            Kind::Scalar { text, .. } => wipe_text(text),
            Kind::List(items) => items.iter_mut().for_each(Node::zeroize),
            Kind::Map(entries) => {
                for (key, value) in entries {
                    wipe_text(&mut key.text);
                    value.zeroize();
                }
            }
        }
        self.comments
            .iter_mut()
            .flat_map(|all| all.iter_mut())
            .for_each(wipe_text);
    }
}

/// Reads a text that was encrypted, or may have been: its tree is wiped when it is dropped.
///
/// # Errors
/// As [`load`].
pub fn load_wiped(text: &str) -> Result<Zeroizing<Vec<Node>>, YamlError> {
    load(text).map(Zeroizing::new)
}

impl Node {
    /// A value that stands in no text of its own.
    pub fn made(kind: Kind) -> Self {
        Self {
            kind,
            start: 0,
            end: 0,
            line: 1,
            column: 1,
            comments: None,
        }
    }

    /// Bytes of the text that it covers.
    pub fn bytes(&self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }

    /// The comments directly before this entry or item and on its line, without `#`; none unless [`load_commented`] read it.
    pub fn comments(&self) -> &[String] {
        self.comments.as_deref().map_or(&[], Vec::as_slice)
    }

    /// The value as JSON.
    ///
    /// # Errors
    /// For numbers that JSON does not have (`.inf`, `.nan`).
    pub fn to_json(&self) -> Result<Value, YamlError> {
        Ok(match &self.kind {
            Kind::Scalar { text, plain, tag } => scalar::resolve(text, *plain, tag.map(Tag::name))
                .ok_or_else(|| YamlError {
                    line: self.line,
                    column: self.column,
                    message: "this number cannot be written in JSON, or the value is not what its tag says"
                        .to_owned(),
                    help: "quote it if it is a string, and write no tag".to_owned(),
                    key: None,
                })?,
            Kind::List(items) => Value::Array(items.iter().map(Node::to_json).collect::<Result<_, _>>()?),
            Kind::Map(entries) => Value::Object(
                entries
                    .iter()
                    .map(|(key, value)| Ok((key.text.clone(), value.to_json()?)))
                    .collect::<Result<Map<_, _>, _>>()?,
            ),
        })
    }

    /// The value as JSON, without a copy of its texts.
    ///
    /// # Errors
    /// As [`Node::to_json`].
    pub fn into_json(self) -> Result<Value, YamlError> {
        let place = (self.line, self.column);
        Ok(match self.kind {
            Kind::Scalar {
                text,
                plain: false,
                tag: None,
            } => Value::String(text),
            Kind::Scalar {
                text,
                plain: true,
                tag: None,
            } if scalar::is_text(&text) => Value::String(text),
            Kind::Scalar { text, plain, tag } => match scalar::resolve(&text, plain, tag.map(Tag::name)) {
                Some(value) => value,
                None => {
                    return Err(YamlError {
                        line: place.0,
                        column: place.1,
                        message: "this number cannot be written in JSON".to_owned(),
                        help: "quote it if it is a string".to_owned(),
                        key: None,
                    });
                }
            },
            Kind::List(items) => {
                Value::Array(items.into_iter().map(Node::into_json).collect::<Result<_, _>>()?)
            }
            Kind::Map(entries) => Value::Object(
                entries
                    .into_iter()
                    .map(|(key, value)| Ok((key.text, value.into_json()?)))
                    .collect::<Result<Map<_, _>, YamlError>>()?,
            ),
        })
    }

    /// The places of all values: of a mapping's entry its key, of a list's item the item.
    pub fn places(&self) -> PlaceIndex {
        let own = PlaceIndex::of(self.line, self.column);
        match &self.kind {
            Kind::Scalar { .. } => own,
            Kind::List(items) => own.with_items(items.iter().map(Node::places).collect()),
            Kind::Map(entries) => {
                let entries = entries.iter().map(|(key, value)| {
                    let place = value.places().at(key.line, key.column);
                    (key.text.clone(), place)
                });
                own.with_entries(entries.collect())
            }
        }
    }

    /// The entry of a mapping.
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.kind {
            Kind::Map(entries) => entries
                .iter()
                .find(|(k, _)| k.text == key)
                .map(|(_, value)| value),
            Kind::Scalar { .. } | Kind::List(_) => None,
        }
    }

    /// The value at a JSON pointer.
    pub fn pointer(&self, pointer: &str) -> Option<&Node> {
        pointer.split('/').skip(1).try_fold(self, |node, part| {
            let part = unescape(part);
            match &node.kind {
                Kind::Map(_) => node.get(&part),
                Kind::List(items) => items.get(part.parse::<usize>().ok()?),
                Kind::Scalar { .. } => None,
            }
        })
    }

    /// A scalar's text.
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            Kind::List(_) | Kind::Map(_) => None,
        }
    }
}

/// The places of every document of a text.
pub fn places_of(text: &str) -> Vec<PlaceIndex> {
    let documents = load(text).unwrap_or_default();
    documents.iter().map(Node::places).collect()
}

/// The same of a text that was encrypted.
pub fn places_of_sealed(text: &str) -> Vec<PlaceIndex> {
    let documents = load_wiped(text).unwrap_or_default();
    documents.iter().map(Node::places).collect()
}

/// A key as JSON pointers write it.
pub fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// The key that a part of a JSON pointer writes.
pub fn unescape(part: &str) -> String {
    part.replace("~1", "/").replace("~0", "~")
}

/// An integer if it fits, else a float.
fn number(value: f64) -> Option<Value> {
    Number::from_f64(value).map(Value::Number)
}
