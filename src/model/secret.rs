//! Text that may hold a secret: it has no Debug, Display or Serialize, and is wiped when dropped.
//!
//! # What is wiped, and what cannot be
//!
//! Wiped with its last owner: the clear bytes of a file ([`crate::model::secret::SecretText`]), the tree that its text is read into
//! ([`crate::formats::yaml::Node`]), encrypted patches and what they write, the objects that came from any of them, as they were
//! built and as they were rendered, variables of `substituteFrom`, data keys, passphrases and tokens.
//!
//! Not wiped, because the memory is not ours to reach: what the parser of YAML, serde_json, kube and the TLS library keep while
//! they read or write; numbers, which lie inside of a value and not behind it; keys of JSON objects, which the map gives out to be
//! read only; a text of an object in the place of which a patch, a replacement or a merge puts another, and half a value that was
//! given up because the rest of it cannot be JSON; pieces that an expression of a substitution is put together from. All of these
//! are short-lived.

use serde_json::Value;
use std::sync::Arc;
use zeroize::{Zeroize, Zeroizing};

/// Stands for a text that nobody is shown.
pub const MASK: &str = "•••";

/// Clear text of a file from the repository, shared without copies and wiped with its last owner.
#[derive(Clone)]
pub struct SecretText(Arc<Zeroizing<Vec<u8>>>);

impl SecretText {
    /// Takes ownership of the bytes; the caller keeps no copy.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Zeroizing::new(bytes)))
    }

    /// The bytes, for the code that reads or applies them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The bytes as text.
    ///
    /// # Errors
    /// Returns the offset of the first byte that is not UTF-8.
    pub fn expose_str(&self) -> Result<&str, usize> {
        std::str::from_utf8(&self.0).map_err(|error| error.valid_up_to())
    }
}

/// Wipes a text.
pub fn wipe_text(text: &mut String) {
    #[cfg(test)]
    witness::note(text);
    text.zeroize();
}

/// Wipes the texts of a value; its keys, which are never encrypted, stay.
pub fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => wipe_text(text),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(entries) => entries.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A value of our own that is wiped when it is dropped.
pub struct Wiped(pub Value);

impl std::ops::Deref for Wiped {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.0
    }
}

impl Drop for Wiped {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

/// Sees what is wiped, so that tests can say that something was.
#[cfg(test)]
pub mod witness {
    use std::cell::RefCell;

    thread_local! {
        static SEEN: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    }

    pub(super) fn note(text: &str) {
        SEEN.with_borrow_mut(|seen| seen.push(text.to_owned()));
    }

    /// How often this thread wiped a text that holds some words while something was done.
    pub fn wiped(words: &str, done: impl FnOnce()) -> usize {
        SEEN.with_borrow_mut(Vec::clear);
        done();
        SEEN.with_borrow(|seen| seen.iter().filter(|text| text.contains(words)).count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_value_of_our_own_is_wiped_when_it_is_dropped() {
        let value = Wiped(json!({"a": ["canary"]}));
        assert_eq!(witness::wiped("canary", || drop(value)), 1);
    }

    /// Takes only what wipes itself: this does not compile when a type stops to.
    fn wipes_itself<T: zeroize::ZeroizeOnDrop>(_: &T) {}

    #[test]
    fn the_bytes_of_a_file_wipe_themselves() {
        let text = SecretText::new(b"canary".to_vec());
        wipes_itself(&*text.0);
    }

    #[test]
    fn every_text_of_a_value_is_wiped() {
        let mut value = json!({"a": "canary", "b": [{"c": "canary"}, "canary", 1, null, true]});
        wipe(&mut value);
        assert_eq!(value, json!({"a": "", "b": [{"c": ""}, "", 1, null, true]}));
    }
}
