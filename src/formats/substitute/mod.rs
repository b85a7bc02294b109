//! Flux's post-build substitution: `${NAME}` in the built objects, with defaults and the string functions of bash that its
//! library reads (fluxcd/pkg/envsubst 1.4).
//!
//! Flux works on each object's YAML text, so a value that stands alone may become a number, a boolean or a list; so it is here.

use super::yaml;
use crate::model::desired::Resource;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use zeroize::Zeroizing;

/// Expressions and their functions.
mod expand;

/// Patterns taken off an end.
mod trim;

/// The budget.
mod work;

use expand::Expanding;
use work::Trouble;
pub use work::Work;

/// An object with this label or annotation, set to `disabled`, is left as it is.
pub const OPT_OUT: &str = "kustomize.toolkit.fluxcd.io/substitute";

/// Variables by name.
#[derive(Clone, Default)]
pub struct Variables {
    values: BTreeMap<String, Zeroizing<String>>,
    /// Those whose values nobody may see.
    secret: BTreeSet<String>,
}

impl Variables {
    /// Adds a variable, or puts it in the place of one.
    ///
    /// # Errors
    /// For a name that is none.
    pub fn set(&mut self, name: &str, value: String, secret: bool) -> Result<(), String> {
        if !is_name(name) {
            return Err(format!(
                "`{name}` is no name of a variable; use letters, digits and underscores, no digit first"
            ));
        }
        if secret {
            self.secret.insert(name.to_owned());
        } else {
            self.secret.remove(name);
        }
        self.values.insert(name.to_owned(), Zeroizing::new(value));
        Ok(())
    }

    /// Tells one set from another without telling what is in it.
    pub fn fingerprint(&self) -> String {
        let all: Zeroizing<String> = Zeroizing::new(
            self.values
                .iter()
                .map(|(name, value)| format!("{name}={:?}\n", **value))
                .collect(),
        );
        let secret: Vec<&String> = self.secret.iter().collect();
        format!("{}{secret:?}", super::sops::fingerprint(all.as_bytes()))
    }

    /// The same without the values that nobody may see: a word stands for each, which is treated as secret too.
    #[must_use]
    pub fn without_secrets(&self) -> Self {
        let shown = |name: &String, value: &Zeroizing<String>| match self.secret.contains(name) {
            true => Zeroizing::new("sealed".to_owned()),
            false => value.clone(),
        };
        Self {
            values: self
                .values
                .iter()
                .map(|(name, value)| (name.clone(), shown(name, value)))
                .collect(),
            secret: self.secret.clone(),
        }
    }

    /// Whether there is none; then nothing is substituted at all.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

fn is_name(name: &str) -> bool {
    !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// What is wrong with an expression. No value is quoted.
pub struct Wrong {
    /// The rule of the diagnostic.
    pub rule: &'static str,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub help: &'static str,
    /// The JSON pointer of the value that holds it.
    pub pointer: String,
}

impl Wrong {
    /// The same, of the value that holds this one under a key or an index.
    fn below(mut self, key: &str) -> Self {
        self.pointer = format!("/{}{}", yaml::escape(key), self.pointer);
        self
    }
}

impl From<Trouble> for Wrong {
    fn from((rule, what, help): Trouble) -> Self {
        Self {
            rule,
            what,
            help,
            pointer: String::new(),
        }
    }
}

/// Substitutes in an object. An object that a secret variable went into is secret from then on. `work` is what was done in the
/// build so far; once that was too much, nothing more is substituted.
///
/// # Errors
/// What is wrong with an expression, or that the build takes too much work, which is told once.
pub fn substitute(resource: &mut Resource, variables: &Variables, work: &mut Work) -> Result<(), Wrong> {
    let marked = |field: &str| {
        let map = resource
            .value
            .get("metadata")
            .and_then(|metadata| metadata.get(field));
        map.and_then(|map| map.get(OPT_OUT)).and_then(Value::as_str) == Some("disabled")
    };
    if work.told || variables.is_empty() || marked("labels") || marked("annotations") {
        return Ok(());
    }
    if !mentions(&resource.value) {
        return Ok(());
    }
    work.object();
    let mut expanding = Expanding::new(variables, work);
    let outcome = walk(resource.value_mut(), &mut expanding);
    resource.origin.secret |= expanding.secret;
    work.told = work.is_too_much();
    outcome
}

/// Whether an expression stands anywhere: most objects have none, and what is not changed is not copied.
fn mentions(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains("${"),
        Value::Array(items) => items.iter().any(mentions),
        Value::Object(map) => map.iter().any(|(key, item)| key.contains("${") || mentions(item)),
        _ => false,
    }
}

fn walk(value: &mut Value, expanding: &mut Expanding) -> Result<(), Wrong> {
    match value {
        Value::String(text) if text.contains("${") => {
            let fresh = expanding.expand(text, 0)?;
            expanding.work.grow(fresh.len().saturating_sub(text.len()))?;
            if fresh != *text {
                *value = if is_plain(text) {
                    typed(fresh, expanding.work)?
                } else {
                    Value::String(fresh)
                };
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                walk(item, expanding).map_err(|wrong| wrong.below(&index.to_string()))?;
            }
        }
        Value::Object(map) => {
            for (key, item) in map.iter_mut() {
                walk(item, expanding).map_err(|wrong| wrong.below(key))?;
            }
            let keys: Vec<String> = map.keys().filter(|key| key.contains("${")).cloned().collect();
            for key in keys {
                let fresh = expanding.expand(&key, 0)?;
                expanding.work.grow(fresh.len().saturating_sub(key.len()))?;
                if let Some(item) = map.remove(&key) {
                    map.insert(fresh, item);
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// Whether YAML writes a text without quotes, so that what is put into it is read as YAML again.
fn is_plain(text: &str) -> bool {
    let odd_start = [
        '-', '?', ':', ',', '[', ']', '{', '}', '#', '&', '*', '!', '|', '>', '\'', '"', '%', '@', '`', ' ',
    ];
    !text.starts_with(odd_start)
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.contains('\n')
}

/// Whether a text is what it is, and needs not be read as YAML: letters, digits and some signs, a letter first, and longer than any
/// word that YAML takes for something else (`false` is the longest).
fn is_word(text: &[u8]) -> bool {
    let harmless =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'_' | b'-' | b'.');
    // Piece by piece without a way out between bytes, which takes a fraction of the time.
    let all = |piece: &[u8]| piece.iter().fold(true, |all, byte| all & harmless(*byte));
    text.len() > 8 && text[0].is_ascii_alphabetic() && text.chunks(64).all(all)
}

fn typed(text: String, work: &mut Work) -> Result<Value, Trouble> {
    let mut text = Zeroizing::new(text);
    work.step(text.len() / 4)?;
    if is_word(text.as_bytes()) {
        return Ok(Value::String(std::mem::take(&mut text)));
    }
    work.read(text.len())?;
    let documents = yaml::load_wiped(&text).unwrap_or_default();
    let value = match documents.as_slice() {
        [] if text.trim().is_empty() || matches!(text.as_str(), "~" | "null") => Value::Null,
        [document] => document
            .to_json()
            .unwrap_or_else(|_| Value::String(std::mem::take(&mut text))),
        _ => Value::String(std::mem::take(&mut text)),
    };
    work.keep(&value)?;
    Ok(value)
}

#[cfg(test)]
mod tests;
