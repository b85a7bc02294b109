//! Flux's post-build substitution: `${NAME}` in the built objects, with defaults and the string functions of bash that its
//! library reads (fluxcd/pkg/envsubst 1.7.1, as kustomize-controller 1.9.5 has it).
//!
//! Flux works on each object's YAML text, so a value that stands alone may become a number, a boolean or a list; so it is here, by
//! `style`. What Flux's YAML would refuse is refused, and so is what would eat into the text around it.

use super::yaml;
use crate::model::desired::Resource;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use zeroize::Zeroizing;

/// Expressions and their functions.
mod expand;

/// How texts are written and read again.
mod style;

/// Patterns taken off an end.
mod trim;

/// The budget.
mod work;

use expand::Expanding;
use style::{Seat, Style};
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
    /// Those whose values are no text, which may be there as long as nothing names them.
    unreadable: BTreeSet<String>,
    /// Whether these are all that there are.
    complete: bool,
}

impl Variables {
    /// Adds a variable, or puts it in the place of one. Flux takes the line breaks out of its value, wherever it is from.
    ///
    /// # Errors
    /// For a name that is none.
    pub fn set(&mut self, name: &str, value: String, secret: bool) -> Result<(), String> {
        let mut value = Zeroizing::new(value);
        if value.contains('\n') {
            value = Zeroizing::new(value.replace('\n', ""));
        }
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
        self.unreadable.remove(name);
        self.values.insert(name.to_owned(), value);
        Ok(())
    }

    /// Says that these are all that there are: an expression without a default that names another is a mistake then, as with Flux
    /// (`StrictPostBuildSubstitutions`, which is on in kustomize-controller 1.9.5). Who reads no cluster cannot know, and reads nothing there.
    pub fn are_all(&mut self) {
        self.complete = true;
    }

    /// Adds a variable whose value is no text; an expression that names it is a mistake.
    ///
    /// # Errors
    /// For a name that is none.
    pub fn set_unreadable(&mut self, name: &str) -> Result<(), String> {
        self.set(name, String::new(), true)?;
        self.unreadable.insert(name.to_owned());
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
        let digest = super::sops::fingerprint(all.as_bytes());
        format!("{digest}{secret:?}{:?}{}", self.unreadable, self.complete)
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
            unreadable: self.unreadable.clone(),
            complete: self.complete,
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
    let outcome = walk(resource.value_mut(), Seat::Entry, &mut expanding);
    resource.origin.secret |= expanding.secret;
    work.told = work.is_too_much();
    outcome
}

/// Whether Flux changes something of a text: an expression stands in it, or two dollars, which become one.
fn concerns(text: &str) -> bool {
    text.contains("${") || text.contains("$$")
}

/// Whether there is such a text anywhere: most objects have none, and what is not changed is not copied.
fn mentions(value: &Value) -> bool {
    match value {
        Value::String(text) => concerns(text),
        Value::Array(items) => items.iter().any(mentions),
        Value::Object(map) => map.iter().any(|(key, item)| concerns(key) || mentions(item)),
        _ => false,
    }
}

fn walk(value: &mut Value, seat: Seat, expanding: &mut Expanding) -> Result<(), Wrong> {
    match value {
        Value::String(text) if concerns(text) => {
            let fresh = put_in(text, seat, expanding)?;
            *value = fresh;
        }
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                walk(item, Seat::Item, expanding).map_err(|wrong| wrong.below(&index.to_string()))?;
            }
        }
        Value::Object(map) => {
            for (key, item) in map.iter_mut() {
                walk(item, Seat::Entry, expanding).map_err(|wrong| wrong.below(key))?;
            }
            let keys: Vec<String> = map.keys().filter(|key| concerns(key)).cloned().collect();
            for key in keys {
                let fresh = put_in(&key, Seat::Key, expanding);
                let fresh = fresh.map_err(|trouble| Wrong::from(trouble).below(&key))?;
                let Value::String(fresh) = fresh else { continue };
                let Some(item) = map.remove(&key) else { continue };
                if map.insert(fresh, item).is_some() {
                    let what = "with its variables this key is the same as another one".to_owned();
                    let twice = Wrong::from(("substitution", what, "give one of them another name"));
                    return Err(twice.below(&key));
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// A text with its variables, as what YAML reads of it.
fn put_in(text: &str, seat: Seat, expanding: &mut Expanding) -> Result<Value, Trouble> {
    if seat == Seat::Key && text.contains('\n') {
        let what = "a key of several lines has a substitution in it".to_owned();
        return Err(("substitution", what, "write the key on one line"));
    }
    let style = Style::of(text);
    let fresh = expanding.expand(&style.write(text))?;
    expanding.work.grow(fresh.len().saturating_sub(text.len()))?;
    style.read(fresh, text, seat, expanding.work)
}

#[cfg(test)]
mod tests;
