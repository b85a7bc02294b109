//! Text that may hold a secret: it has no Debug, Display or Serialize, and is wiped when dropped.

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

/// Wipes the texts of a value; its keys, which are never encrypted, stay.
pub fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(entries) => entries.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_text_of_a_value_is_wiped() {
        let mut value = json!({"a": "canary", "b": [{"c": "canary"}, "canary", 1, null, true]});
        wipe(&mut value);
        assert_eq!(value, json!({"a": "", "b": [{"c": ""}, "", 1, null, true]}));
    }
}
