//! SOPS documents encrypted to age recipients: read as the `sops` command reads them, with the MAC always checked.
//!
//! The format is that of getsops/sops 3.13 (`sops.go`, `aes/cipher.go`, `stores/yaml`). A MAC that holds says that nobody
//! changed the file since somebody encrypted it; it does not say who: authenticity comes from signed commits.

use crate::formats::yaml::{Node, Tag, YamlError, load, load_commented, load_wiped};
use crate::model::secret::SecretText;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// One encrypted value.
mod cipher;

/// `.sops.yaml`.
pub mod creation_rules;

/// Go's regular expressions.
mod go_regex;

/// Keys that open files.
mod identities;

/// Encrypted files inside of Secrets.
mod inside;

/// What anybody sees of an encrypted file.
mod inspect;

/// dotenv and INI.
mod lines;

/// Recipients under one name.
pub mod master_key;

/// The `sops` block: recipients, rules, MAC.
mod metadata;

/// OpenPGP keys.
mod openpgp;

/// Where an error is.
mod place;

/// The recipients of a rule.
mod rule_keys;

/// Data keys that are split between groups.
mod shamir;

/// The walk over all values.
mod walk;

/// The bytes of the sops command.
mod written;

#[cfg(test)]
mod tests;

pub use identities::Identities;
pub use inside::{Inside, OPT_OUT, may_hold, open_inside, opts_out};
pub use inspect::{Inspection, inspect};
use lines::Lines;
use metadata::Metadata;
pub use metadata::Selection;
pub use place::{Lost, place};
pub use walk::Unbound;
use walk::{Change, Walk};
pub use written::as_written;

/// What every encrypted value begins with.
pub const SEALED: &str = "ENC[AES256_GCM,";

/// Why a file could not be opened. No text quotes a value; [`place()`] says where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SopsError {
    /// It is not YAML.
    #[error("{}", .0.words())]
    Yaml(#[from] YamlError),
    /// A line of dotenv or INI that cannot be read.
    #[error("this is no line of such a file; write `NAME=value`")]
    Line {
        /// Its number.
        line: u32,
    },
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
    #[error("a value does not decrypt; it was moved, renamed or changed by hand: use `sops edit`")]
    Value {
        /// Its line.
        line: u32,
    },
    /// A value that should be encrypted is not.
    #[error("this value should be encrypted and is not; run `sops encrypt --in-place` on the clear file")]
    Plain {
        /// Its line.
        line: u32,
    },
    /// A value is encrypted, and nothing says how.
    #[error("this value is encrypted, and the file has no `sops` block; restore the block")]
    Orphan {
        /// Its line.
        line: u32,
    },
    /// A file inside of a Secret's value cannot be opened.
    #[error("in the encrypted file inside of this value: {error}")]
    Inside {
        /// The value's line.
        line: u32,
        /// What is wrong with that file.
        error: Box<SopsError>,
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

/// The formats in which the sops command writes files; the ending of a file's name says which, as with sops and Flux.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// YAML, of one or several documents.
    Yaml,
    /// JSON.
    Json,
    /// `NAME=value` lines.
    Dotenv,
    /// INI.
    Ini,
    /// Anything else: its bytes are one encrypted value in a JSON file.
    Binary,
}

impl Format {
    /// The format that a file's name stands for.
    pub fn of(path: &str) -> Self {
        match path.rsplit_once('.').map_or("", |(_, ending)| ending) {
            "yaml" | "yml" => Self::Yaml,
            "json" => Self::Json,
            "env" => Self::Dotenv,
            "ini" => Self::Ini,
            _ => Self::Binary,
        }
    }
}

/// An opened file.
pub struct Opened {
    /// Its clear text.
    pub text: SecretText,
    /// How it was read, which its name need not say.
    pub format: Format,
    /// Whether the MAC covers encrypted values only: then everything else may have been changed by anybody.
    pub mac_only_encrypted: bool,
    /// What the MAC does not bind to its place: values that are not encrypted (their keys can be renamed, and characters moved
    /// between neighbours), and what is empty (it can be added and taken away). The format has no place for more; who must
    /// be sure of these asks for signed commits. Nor does it bind the stated type of an encrypted value: a text `42` can be
    /// made a number, which the schemas of Secrets and of our kinds then refuse; a text that is no number cannot. An empty value of
    /// dotenv and INI is told only where a sealed one has its name: sops seals none, and files of these formats often have some.
    pub unbound: Vec<Unbound>,
}

/// Opens a file if it is encrypted; the clear text has the file's own format, and keeps its lines where it has lines.
///
/// # Errors
/// [`SopsError`], when the file is encrypted and not opened in full: never a part of it.
pub fn open_file(path: &str, bytes: &[u8], identities: &Identities) -> Result<Option<SecretText>, SopsError> {
    open(path, bytes, identities).map(|opened| opened.map(|opened| opened.text))
}

/// Opens a file if it is encrypted, and says what of it is not bound.
///
/// # Errors
/// See [`open_file`].
pub fn open(path: &str, bytes: &[u8], identities: &Identities) -> Result<Option<Opened>, SopsError> {
    open_or_place(path, bytes, identities).map_err(|lost| lost.error)
}

/// The same, which says too where it is that something stands in the way.
///
/// # Errors
/// See [`open_file`].
pub fn open_or_place(path: &str, bytes: &[u8], identities: &Identities) -> Result<Option<Opened>, Lost> {
    // Most files say nothing of sops; those need no second look.
    let Some(text) = std::str::from_utf8(bytes)
        .ok()
        .filter(|text| text.contains("sops") || text.contains(SEALED))
    else {
        return Ok(None);
    };
    let lines = match Format::of(path) {
        Format::Dotenv => Some(Lines::Dotenv),
        Format::Ini => Some(Lines::Ini),
        // A generator may give any name to a file of lines.
        _ if text.contains(SEALED) && !text.trim_start().starts_with('{') => [Lines::Dotenv, Lines::Ini]
            .into_iter()
            .find(|lines| lines.holds_block(text)),
        _ => None,
    };
    if let Some(lines) = lines {
        return if lines.holds_block(text) {
            let opened = open_lines(lines, text, identities);
            opened.map(Some).map_err(|error| Lost::within(text, error))
        } else {
            Ok(None)
        };
    }
    if !text.contains(SEALED) && !may_name_block(text) {
        return Ok(None);
    }
    let documents = match load(text) {
        Ok(documents) => documents,
        // What was encrypted and then broken must not pass for a clear file.
        Err(error) if looks_encrypted(text) => return Err(Lost::within(text, error.into())),
        Err(_) => return Ok(None),
    };
    if !is_sops(&documents) {
        return match documents.iter().find_map(sealed_value) {
            // Its block was lost or renamed: the ciphertext would be applied as if it were the value.
            Some(line) => Err(Lost::among(&documents, SopsError::Orphan { line })),
            None => Ok(None),
        };
    }
    let mut opened = open_documents(text, &documents, identities);
    if Format::of(path) == Format::Binary && is_binary(&documents) {
        opened = opened.and_then(|opened| {
            let text = binary(&opened.text)?;
            let format = Format::Binary;
            Ok(Opened {
                text,
                format,
                ..opened
            })
        });
    }
    opened.map(Some).map_err(|error| Lost::among(&documents, error))
}

/// The line of a value that is encrypted as a whole.
fn sealed_value(node: &Node) -> Option<u32> {
    match &node.kind {
        crate::formats::yaml::Kind::Scalar { text, .. } => cipher::Value::parse(text).map(|_| node.line),
        crate::formats::yaml::Kind::List(items) => items.iter().find_map(sealed_value),
        crate::formats::yaml::Kind::Map(entries) => entries.iter().find_map(|(_, value)| sealed_value(value)),
    }
}

/// Whether `sops` may be a key of a text without encrypted values, such as one whose MAC was taken out: the word stands before a
/// colon. Says yes too often; a text that only speaks of sops is read once less.
fn may_name_block(text: &str) -> bool {
    text.match_indices("sops").any(|(at, word)| {
        let rest = text[at + word.len()..].trim_start_matches(['"', '\'']);
        // A comment may stand between a key and its colon.
        rest.trim_start().starts_with([':', '#'])
    })
}

/// Whether a text that cannot be read holds encrypted values and a `sops` block.
fn looks_encrypted(text: &str) -> bool {
    let block = |line: &str| {
        let line = line.trim_start_matches([' ', '\t', '{', ',', '"', '\'']);
        line.strip_prefix("sops")
            .is_some_and(|rest| rest.starts_with([':', '"', '\'', ' ']))
    };
    text.contains(SEALED) && text.lines().any(block)
}

/// Opens an encrypted text of YAML or JSON. Every value keeps its line; the `sops` block is gone.
///
/// # Errors
/// [`SopsError`], when the file is not opened in full: never a part of it.
pub fn decrypt(text: &str, identities: &Identities) -> Result<SecretText, SopsError> {
    let documents = load(text)?;
    open_documents(text, &documents, identities).map(|opened| opened.text)
}

fn open_documents(text: &str, documents: &[Node], identities: &Identities) -> Result<Opened, SopsError> {
    let block = documents
        .iter()
        .find_map(|document| document.get("sops"))
        .ok_or_else(|| SopsError::Metadata {
            what: "is missing".to_owned(),
        })?;
    Walk::check_count(documents)?;
    let metadata = Metadata::read(block)?;
    let data_key = identities.open(&metadata)?;
    let mut walk = Walk::new(&metadata, &data_key, text);
    // Comments are read only where a rule looks at them.
    let commented = match metadata.rule.about_comments() {
        true => Some(load_commented(text)?),
        false => None,
    };
    for document in commented.as_deref().unwrap_or(documents) {
        walk.document(document)?;
    }
    finish(text, Format::Yaml, walk, &metadata, &data_key)
}

fn open_lines(lines: Lines, text: &str, identities: &Identities) -> Result<Opened, SopsError> {
    let metadata = lines::metadata(lines, text)?;
    let data_key = identities.open(&metadata)?;
    let mut walk = Walk::new(&metadata, &data_key, text);
    lines::walk(lines, text, &mut walk)?;
    let format = match lines {
        Lines::Dotenv => Format::Dotenv,
        Lines::Ini => Format::Ini,
    };
    finish(text, format, walk, &metadata, &data_key)
}

fn finish(
    text: &str,
    format: Format,
    walk: Walk<'_>,
    metadata: &Metadata,
    data_key: &[u8],
) -> Result<Opened, SopsError> {
    let (mac, changes, unbound) = walk.finish();
    let computed = hex_upper(&mac);
    let stated = metadata.mac(data_key)?;
    if !bool::from(computed.as_bytes().ct_eq(stated.as_slice())) {
        return Err(SopsError::Mac);
    }
    Ok(Opened {
        text: splice(text, changes)?,
        format,
        mac_only_encrypted: metadata.mac_only_encrypted,
        unbound,
    })
}

/// Whether a file is what sops makes of bytes that are none of its formats: `data` and nothing else.
fn is_binary(documents: &[Node]) -> bool {
    match documents {
        [document] => match &document.kind {
            crate::formats::yaml::Kind::Map(entries) => {
                entries
                    .iter()
                    .all(|(key, _)| key.text == "data" || key.text == "sops")
                    && document.get("data").is_some()
            }
            _ => false,
        },
        _ => false,
    }
}

/// The bytes that stand in `data`.
fn binary(clear: &SecretText) -> Result<SecretText, SopsError> {
    let broken = || SopsError::Metadata {
        what: "is that of a binary file, and `data` is no text".to_owned(),
    };
    let text = clear.expose_str().map_err(|_| broken())?;
    let documents = load_wiped(text).map_err(|_| broken())?;
    let data = documents
        .first()
        .and_then(|document| document.get("data"))
        .ok_or_else(broken)?;
    let bytes = match &data.kind {
        crate::formats::yaml::Kind::Scalar { text, tag, .. } if *tag == Some(Tag::Binary) => {
            base64::Engine::decode(&base64::engine::general_purpose::STANDARD, text).map_err(|_| broken())?
        }
        crate::formats::yaml::Kind::Scalar { text, .. } => text.as_bytes().to_vec(),
        _ => return Err(broken()),
    };
    Ok(SecretText::new(bytes))
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
