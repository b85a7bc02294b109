//! SOPS documents encrypted to age recipients: read as the `sops` command reads them, with the MAC always checked.
//!
//! The format is that of getsops/sops 3.13 (`sops.go`, `aes/cipher.go`, `stores/yaml`). A MAC that holds says that nobody
//! changed the file since somebody encrypted it; it does not say who: authenticity comes from signed commits.

use crate::formats::yaml::{Node, YamlError, load};
use crate::model::secret::SecretText;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// One encrypted value.
mod cipher;

/// Keys that open files.
mod identities;

/// The `sops` block: recipients, rules, MAC.
mod metadata;

/// The walk over all values.
mod walk;

#[cfg(test)]
mod tests;

pub use identities::Identities;
use metadata::Metadata;
use walk::{Change, Walk};

/// Why a file could not be opened. No text quotes a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SopsError {
    /// It is not YAML.
    #[error("{0}")]
    Yaml(#[from] YamlError),
    /// Its `sops` block is not as the sops command writes it.
    #[error("the `sops` block {what}")]
    Metadata {
        /// What is wrong with it.
        what: String,
    },
    /// It uses something that couchestor does not read.
    #[error("the file uses {what}, which couchestor does not read")]
    Unsupported {
        /// What.
        what: String,
    },
    /// No identity opens it.
    #[error(
        "no key opens it: it is encrypted to {recipients}; put an identity of one of them into the decryption Secret (a key that ends in .agekey) or give --age-key"
    )]
    NoKey {
        /// The recipients that it names.
        recipients: String,
    },
    /// A value does not decrypt under its path.
    #[error(
        "line {line}: a value does not decrypt; it was moved, renamed or changed by hand: use `sops edit`"
    )]
    Value {
        /// Its line.
        line: u32,
    },
    /// A value that should be encrypted is not.
    #[error(
        "line {line}: this value should be encrypted and is not; run `sops encrypt --in-place` on the clear file"
    )]
    Plain {
        /// Its line.
        line: u32,
    },
    /// The MAC does not match.
    #[error(
        "the MAC does not match: the file was changed by hand or badly merged after it was encrypted; restore it, or decrypt with --ignore-mac, check every value, and encrypt it again"
    )]
    Mac,
}

/// Whether a text is encrypted: a document of it has a `sops` mapping with something that the sops command writes. A
/// file whose MAC was taken out is still one, so that it is refused and not applied as it stands.
pub fn is_sops(documents: &[Node]) -> bool {
    documents.iter().any(|document| {
        document.get("sops").is_some_and(|sops| {
            [
                "mac",
                "lastmodified",
                "version",
                "age",
                "pgp",
                "kms",
                "key_groups",
            ]
            .iter()
            .any(|key| sops.get(key).is_some())
        })
    })
}

/// Opens an encrypted text. Every value keeps its line; the `sops` block is gone.
///
/// # Errors
/// [`SopsError`], when the file is not opened in full: never a part of it.
pub fn decrypt(text: &str, identities: &Identities) -> Result<SecretText, SopsError> {
    let documents = load(text)?;
    let block = documents
        .iter()
        .find_map(|document| document.get("sops"))
        .ok_or_else(|| SopsError::Metadata {
            what: "is missing".to_owned(),
        })?;
    let metadata = Metadata::read(block)?;
    let data_key = identities.open(&metadata)?;
    let mut walk = Walk::new(&metadata, &data_key, text);
    for document in &documents {
        walk.document(document)?;
    }
    let (mac, changes) = walk.finish();
    let computed = hex_upper(&mac);
    let stated = metadata.mac(&data_key)?;
    if !bool::from(computed.as_bytes().ct_eq(stated.as_slice())) {
        return Err(SopsError::Mac);
    }
    splice(text, changes)
}

fn hex_upper(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

/// Puts the clear values where the encrypted ones stood.
fn splice(text: &str, mut changes: Vec<Change>) -> Result<SecretText, SopsError> {
    changes.sort_by_key(|(range, _)| range.start);
    let length = changes.iter().map(|(_, new)| new.len()).sum::<usize>() + text.len();
    // Reserved once: growing would leave clear copies behind.
    let mut clear = Vec::with_capacity(length);
    let mut at = 0;
    for (range, new) in changes {
        if range.start < at {
            return Err(SopsError::Unsupported {
                what: "aliases (`*name`) of encrypted values".to_owned(),
            });
        }
        clear.extend_from_slice(&text.as_bytes()[at..range.start]);
        clear.extend_from_slice(new.as_bytes());
        at = range.end;
    }
    clear.extend_from_slice(&text.as_bytes()[at..]);
    Ok(SecretText::new(clear))
}

/// A digest of an identity set or the like, as a cache's key.
pub(crate) fn digest(bytes: &[u8]) -> String {
    hex_upper(&Sha256::digest(bytes)[..8])
}

/// A short hash of secret bytes, to see whether they changed.
pub fn fingerprint(bytes: &[u8]) -> String {
    digest(bytes)
}
