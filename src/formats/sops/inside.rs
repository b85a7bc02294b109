//! Encrypted files inside of a Secret's `data`, which Flux opens too: base64 of what the sops command wrote.
//!
//! As kustomize-controller 1.9.5 has it (`internal/decryptor`): an object may say that it is left as it is, and a key's ending says which
//! format comes out, whatever went in.

use super::{Format, Identities, SopsError, open};
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

/// Set to `disabled` among an object's annotations, leaves all of it sealed.
pub const OPT_OUT: &str = "kustomize.toolkit.fluxcd.io/decrypt";

/// Whether an object says that it is to be left as it is, with Flux in letters of any case.
pub fn opts_out(document: &Node) -> bool {
    let annotations = document
        .get("metadata")
        .and_then(|metadata| metadata.get("annotations"));
    let says = annotations.and_then(|all| all.get(OPT_OUT)).and_then(Node::text);
    says.is_some_and(|says| says.eq_ignore_ascii_case("disabled"))
}

/// What is in the way of opening a file under a key: another format comes out than stands there, which Flux writes anew, or cannot.
fn odd_format(key: &str, wanted: Format, opened: &super::Opened) -> Option<SopsError> {
    let is_json = opened
        .text
        .expose_str()
        .is_ok_and(|text| text.trim_start().starts_with('{'));
    let fits = match (wanted, opened.format) {
        (Format::Json, Format::Yaml | Format::Json) => is_json,
        // JSON is YAML.
        (Format::Yaml, Format::Yaml | Format::Json) => true,
        (wanted, found) => wanted == found,
    };
    let name = |format| match format {
        Format::Yaml | Format::Json if is_json => "JSON",
        Format::Yaml | Format::Json => "YAML",
        Format::Dotenv => "dotenv",
        Format::Ini => "INI",
        Format::Binary => "binary",
    };
    let ending = match wanted {
        Format::Yaml => "YAML",
        Format::Json => "JSON",
        other => name(other),
    };
    (!fits).then(|| SopsError::Unsupported {
        what: format!(
            "the format {} under the key `{key}`, whose ending asks for {ending} (give the key the ending of the file)",
            name(opened.format)
        ),
    })
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
        if opts_out(document) {
            continue;
        }
        for (key, value) in entries {
            let Some(bytes) = value.text().and_then(decoded) else {
                continue;
            };
            // A Docker configuration is JSON without saying so.
            let name = if key.text.ends_with(".dockerconfigjson") {
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
            if let Some(error) = odd_format(&key.text, Format::of(name), &opened) {
                let error = Box::new(error);
                return Err(SopsError::Inside {
                    line: value.line,
                    error,
                });
            }
            mac_only_encrypted |= opened.mac_only_encrypted;
            let breaks = text[value.bytes()].chars().filter(|one| *one == '\n');
            let clear = opened.text.expose();
            let written = super::as_written(name, clear);
            let clear = written.as_deref().map_or(clear, Vec::as_slice);
            let mut fresh = Zeroizing::new(format!("\"{}\"", STANDARD.encode(clear)));
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
