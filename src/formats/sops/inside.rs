//! Encrypted files inside of a Secret's `data`, which Flux opens too: base64 of what the sops command wrote.

use super::{Identities, SopsError, open};
use crate::formats::yaml::{self, Kind, Node};
use crate::model::secret::SecretText;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// `AES256_GCM` in base64, at each of the three places where it can begin.
const MARKS: [&str; 3] = ["QUVTMjU2X0dDT", "FFUzI1Nl9HQ0", "BRVMyNTZfR0NN"];

/// Encrypted files inside of the Secrets of one file: each has recipients of its own to be tried.
const FILES_MAX: usize = 200;

/// Whether a text may hold such a value; a quick look that says yes too often and never no too often.
pub fn may_hold(text: &str) -> bool {
    MARKS.iter().any(|mark| text.contains(mark))
}

/// A text whose encrypted values of Secrets are open.
pub struct Inside {
    /// The text.
    pub text: SecretText,
    /// Whether the MAC of any of the files covered encrypted values only.
    pub mac_only_encrypted: bool,
}

/// Opens every value of every Secret's `data` that is itself an encrypted file; its key's ending says the format, as with
/// Flux. `None` when there is none.
///
/// # Errors
/// [`SopsError`], for the first that cannot be opened.
pub fn open_inside(text: &str, identities: &Identities) -> Result<Option<Inside>, SopsError> {
    // The file itself may have been encrypted too.
    let documents = yaml::load_wiped(text).map_err(yaml::YamlError::masked)?;
    let mut mac_only_encrypted = false;
    let mut changes: Vec<(std::ops::Range<usize>, Zeroizing<String>)> = Vec::new();
    for document in documents.iter() {
        let is_secret = document.get("kind").and_then(Node::text) == Some("Secret")
            && document.get("apiVersion").and_then(Node::text) == Some("v1");
        let Some(Kind::Map(entries)) = document.get("data").filter(|_| is_secret).map(|data| &data.kind)
        else {
            continue;
        };
        for (key, value) in entries {
            let Some(bytes) = value.text().and_then(decoded) else {
                continue;
            };
            // A Docker configuration is JSON without saying so.
            let name = if key.text == ".dockerconfigjson" {
                "config.json"
            } else {
                &key.text
            };
            if changes.len() >= FILES_MAX {
                return Err(SopsError::Unsupported {
                    what: format!("more than {FILES_MAX} encrypted files inside of Secrets"),
                });
            }
            let opened = open(name, &bytes, identities).map_err(|error| SopsError::Inside {
                line: value.line,
                error: Box::new(error),
            })?;
            let Some(opened) = opened else {
                continue;
            };
            mac_only_encrypted |= opened.mac_only_encrypted;
            let breaks = text[value.bytes()].chars().filter(|one| *one == '\n');
            let mut fresh = Zeroizing::new(format!("\"{}\"", STANDARD.encode(opened.text.expose())));
            fresh.extend(breaks);
            changes.push((value.bytes(), fresh));
        }
    }
    if changes.is_empty() {
        return Ok(None);
    }
    Ok(Some(Inside {
        text: super::splice(text, changes)?,
        mac_only_encrypted,
    }))
}

fn decoded(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    if !may_hold(text) {
        return None;
    }
    let joined: Zeroizing<String> = Zeroizing::new(text.split_whitespace().collect());
    STANDARD.decode(joined.as_bytes()).ok().map(Zeroizing::new)
}
