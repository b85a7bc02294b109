//! Encrypted files inside of a Secret's `data`, which Flux opens too: base64 of what the sops command wrote.

use super::{Identities, SopsError, open_file};
use crate::formats::yaml::{self, Kind, Node};
use crate::model::secret::SecretText;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// `AES256_GCM` in base64, at each of the three places where it can begin.
const MARKS: [&str; 3] = ["QUVTMjU2X0dDT", "FFUzI1Nl9HQ0", "BRVMyNTZfR0NN"];

/// Whether a text may hold such a value; a quick look that says yes too often and never no too often.
pub fn may_hold(text: &str) -> bool {
    MARKS.iter().any(|mark| text.contains(mark))
}

/// Opens every value of every Secret's `data` that is itself an encrypted file; its key's ending says the format, as with
/// Flux. `None` when there is none.
///
/// # Errors
/// [`SopsError`], for the first that cannot be opened.
pub fn open_inside(text: &str, identities: &Identities) -> Result<Option<SecretText>, SopsError> {
    let documents = yaml::load(text).map_err(yaml::YamlError::masked)?;
    let mut changes: Vec<(std::ops::Range<usize>, Zeroizing<String>)> = Vec::new();
    for document in &documents {
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
            let Some(opened) = open_file(name, &bytes, identities)? else {
                continue;
            };
            let breaks = text[value.bytes.clone()].chars().filter(|one| *one == '\n');
            let mut fresh = Zeroizing::new(format!("\"{}\"", STANDARD.encode(opened.expose())));
            fresh.extend(breaks);
            changes.push((value.bytes.clone(), fresh));
        }
    }
    if changes.is_empty() {
        return Ok(None);
    }
    super::splice(text, changes).map(Some)
}

fn decoded(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    if !may_hold(text) {
        return None;
    }
    let joined: Zeroizing<String> = Zeroizing::new(text.split_whitespace().collect());
    STANDARD.decode(joined.as_bytes()).ok().map(Zeroizing::new)
}
