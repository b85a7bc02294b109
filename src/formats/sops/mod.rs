//! SOPS documents encrypted to age recipients: read as the `sops` command reads them, with the MAC always checked.
//!
//! The format is that of getsops/sops 3.13 (`sops.go`, `aes/cipher.go`, `stores/yaml`). A MAC that holds says that nobody
//! changed the file since somebody encrypted it; it does not say who: authenticity comes from signed commits.

use crate::formats::yaml::{Key, Kind, Node, YamlError, load, scalar};
use crate::model::secret::SecretText;
use sha2::{Digest, Sha256, Sha512};
use std::ops::Range;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// One encrypted value.
mod cipher;

/// Keys that open files.
mod identities;

/// The `sops` block: recipients, rules, MAC.
mod metadata;

#[cfg(test)]
mod tests;

pub use identities::Identities;
use metadata::Metadata;

/// SHA-256 of "sops": what the MAC starts with under `mac_only_encrypted`.
const MAC_ONLY_ENCRYPTED_START: [u8; 32] = [
    0x8a, 0x3f, 0xd2, 0xad, 0x54, 0xce, 0x66, 0x52, 0x7b, 0x10, 0x34, 0xf3, 0xd1, 0x47, 0xbe, 0x0b, 0x0b,
    0x97, 0x5b, 0x3b, 0xf4, 0x4f, 0x72, 0xc6, 0xfd, 0xad, 0xec, 0x81, 0x76, 0xf2, 0x7d, 0x69,
];

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

/// Whether a document is encrypted: its first document that has a `sops` mapping says so.
pub fn is_sops(documents: &[Node]) -> bool {
    documents.iter().any(|document| {
        document
            .get("sops")
            .is_some_and(|sops| sops.get("mac").is_some() || sops.get("lastmodified").is_some())
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
    let mut walk = Walk {
        metadata: &metadata,
        key: &data_key,
        mac: Sha512::new(),
        changes: Vec::new(),
    };
    if metadata.mac_only_encrypted {
        walk.mac.update(MAC_ONLY_ENCRYPTED_START);
    }
    for document in &documents {
        walk.document(document, text)?;
    }
    let computed = hex_upper(&walk.mac.finalize());
    let stated = metadata.mac(&data_key)?;
    if !bool::from(computed.as_bytes().ct_eq(stated.as_slice())) {
        return Err(SopsError::Mac);
    }
    Ok(splice(text, walk.changes))
}

fn hex_upper(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

fn splice(text: &str, mut changes: Vec<(Range<usize>, Zeroizing<String>)>) -> SecretText {
    changes.sort_by_key(|(range, _)| range.start);
    let mut clear = Vec::with_capacity(text.len());
    let mut at = 0;
    for (range, new) in changes {
        if range.start < at {
            continue;
        }
        clear.extend_from_slice(&text.as_bytes()[at..range.start]);
        clear.extend_from_slice(new.as_bytes());
        at = range.end;
    }
    clear.extend_from_slice(&text.as_bytes()[at..]);
    SecretText::new(clear)
}

struct Walk<'a> {
    metadata: &'a Metadata,
    key: &'a Zeroizing<Vec<u8>>,
    mac: Sha512,
    changes: Vec<(Range<usize>, Zeroizing<String>)>,
}

impl Walk<'_> {
    fn document(&mut self, document: &Node, text: &str) -> Result<(), SopsError> {
        let Kind::Map(entries) = &document.kind else {
            return self.node(document, &mut Vec::new());
        };
        for (index, (key, value)) in entries.iter().enumerate() {
            if key.text == "sops" {
                let end = entries
                    .get(index + 1)
                    .map_or(value.bytes.end, |(next, _)| next.start);
                self.remove(key, value, end, text);
                continue;
            }
            let mut path = vec![key.text.clone()];
            self.node(value, &mut path)?;
        }
        Ok(())
    }

    /// Takes the `sops` block out and leaves its line breaks, so that whatever follows keeps its line.
    fn remove(&mut self, key: &Key, value: &Node, next: usize, text: &str) {
        let json = text.trim_start().starts_with('{');
        if json {
            self.changes
                .push((value.bytes.clone(), Zeroizing::new("null".to_owned())));
            return;
        }
        let end = next.max(value.bytes.end).min(text.len());
        let breaks: String = text[key.start..end].chars().filter(|c| *c == '\n').collect();
        self.changes.push((key.start..end, Zeroizing::new(breaks)));
    }

    fn node(&mut self, node: &Node, path: &mut Vec<String>) -> Result<(), SopsError> {
        match &node.kind {
            Kind::Map(entries) => {
                for (key, value) in entries {
                    path.push(key.text.clone());
                    self.node(value, path)?;
                    path.pop();
                }
                Ok(())
            }
            Kind::List(items) => items.iter().try_for_each(|item| self.node(item, path)),
            Kind::Scalar { text, plain, tag } => self.scalar(node, text, *plain, tag.as_deref(), path),
        }
    }

    fn scalar(
        &mut self,
        node: &Node,
        text: &str,
        plain: bool,
        tag: Option<&str>,
        path: &[String],
    ) -> Result<(), SopsError> {
        let null = plain && tag.is_none() && matches!(text, "" | "~" | "null" | "Null" | "NULL");
        if null {
            return Ok(());
        }
        if !self.metadata.rule.encrypts(path) {
            if !self.metadata.mac_only_encrypted {
                self.mac.update(plain_bytes(text, plain, tag).as_bytes());
            }
            return Ok(());
        }
        if text.is_empty() {
            return Ok(());
        }
        let Some(value) = cipher::Value::parse(text) else {
            return Err(SopsError::Plain { line: node.line });
        };
        let aad = format!("{}:", path.join(":"));
        let clear = value
            .open(self.key, &aad)
            .ok_or(SopsError::Value { line: node.line })?;
        let clear_text = std::str::from_utf8(&clear).map_err(|_| SopsError::Unsupported {
            what: "a value that is not UTF-8".to_owned(),
        })?;
        if value.kind == "comment" {
            // A comment inside of a list is stored as an item of the list; it is no value and not hashed.
            self.changes
                .push((node.bytes.clone(), Zeroizing::new("null".to_owned())));
            return Ok(());
        }
        self.mac.update(&clear);
        self.changes
            .push((node.bytes.clone(), cipher::as_yaml(&value.kind, clear_text)));
        Ok(())
    }
}

/// What sops hashes for a value that is not encrypted: its Go value printed again (go-yaml v3's resolution).
fn plain_bytes(text: &str, plain: bool, tag: Option<&str>) -> String {
    if !plain || tag == Some("str") {
        return text.to_owned();
    }
    match text {
        "true" | "True" | "TRUE" => return "True".to_owned(),
        "false" | "False" | "FALSE" => return "False".to_owned(),
        _ => {}
    }
    if let Some(integer) = scalar::integer(text) {
        return integer.to_string();
    }
    match scalar::float(text) {
        Some(float) => format!("{float}"),
        None => date(text).unwrap_or_else(|| text.to_owned()),
    }
}

/// Dates and times are hashed as RFC 3339.
fn date(text: &str) -> Option<String> {
    let at: jiff::Timestamp = match text.parse::<jiff::civil::Date>() {
        Ok(date) if text.len() <= 10 => date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp(),
        _ => text.parse().ok()?,
    };
    Some(at.to_string())
}

/// A digest of an identity set or the like, as a cache's key.
pub(crate) fn digest(bytes: &[u8]) -> String {
    hex_upper(&Sha256::digest(bytes)[..8])
}

/// A short hash of secret bytes, to see whether they changed.
pub fn fingerprint(bytes: &[u8]) -> String {
    digest(bytes)
}
