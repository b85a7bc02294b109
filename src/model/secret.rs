//! Text that may hold a secret: it has no Debug, Display or Serialize, and is wiped when dropped.

use std::sync::Arc;
use zeroize::Zeroizing;

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
