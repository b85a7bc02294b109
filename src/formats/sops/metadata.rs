//! The `sops` block: recipients, the rule that says what is encrypted, and the MAC.

use super::{SopsError, cipher};
use crate::formats::yaml::{Kind, Node};
use regex::Regex;
use zeroize::Zeroizing;

/// Longest regular expression that is compiled; real ones have a few dozen characters.
const REGEX_MAX: usize = 4096;

/// The block.
pub(super) struct Metadata {
    /// age recipients with the data key sealed to each.
    pub(super) age: Vec<Recipient>,
    /// Kinds of recipients that are not age, such as `pgp`.
    pub(super) others: Vec<String>,
    /// Which values are encrypted.
    pub(super) rule: Rule,
    /// Whether the MAC covers encrypted values only.
    pub(super) mac_only_encrypted: bool,
    mac: String,
    lastmodified: String,
}

/// One age recipient.
pub(super) struct Recipient {
    /// Its public key.
    pub(super) recipient: String,
    /// The data key, as an armored age file.
    pub(super) enc: String,
}

/// Which values are encrypted. A rule looks at every key on a value's path.
pub(super) enum Rule {
    /// All but those below a key with this ending.
    UnencryptedSuffix(String),
    /// Those below a key with this ending.
    EncryptedSuffix(String),
    /// All but those below a matching key.
    UnencryptedRegex(Regex),
    /// Those below a matching key.
    EncryptedRegex(Regex),
    /// All but those that a matching comment stands before, on any level.
    UnencryptedComment(Regex),
    /// Those that a matching comment stands before, on any level.
    EncryptedComment(Regex),
}

impl Rule {
    /// Whether a value at a path is encrypted.
    pub(super) fn encrypts(&self, path: &[String], commented: bool) -> bool {
        match self {
            Self::UnencryptedSuffix(suffix) => !path.iter().any(|key| key.ends_with(suffix)),
            Self::EncryptedSuffix(suffix) => path.iter().any(|key| key.ends_with(suffix)),
            Self::UnencryptedRegex(regex) => !path.iter().any(|key| regex.is_match(key)),
            Self::EncryptedRegex(regex) => path.iter().any(|key| regex.is_match(key)),
            Self::UnencryptedComment(_) => !commented,
            Self::EncryptedComment(_) => commented,
        }
    }

    /// Whether comments hold what the rule looks for.
    pub(super) fn looks_for(&self, comments: &[String]) -> bool {
        match self {
            Self::UnencryptedComment(regex) | Self::EncryptedComment(regex) => {
                comments.iter().any(|comment| regex.is_match(comment))
            }
            _ => false,
        }
    }
}

impl Metadata {
    pub(super) fn read(block: &Node) -> Result<Self, SopsError> {
        let wrong = |what: &str| SopsError::Metadata {
            what: what.to_owned(),
        };
        let text = |key: &str| {
            block
                .get(key)
                .and_then(Node::text)
                .map(str::to_owned)
                .filter(|text| !text.is_empty())
        };
        let filled = |key: &str| matches!(block.get(key).map(|node| &node.kind), Some(Kind::List(items)) if !items.is_empty());
        if filled("key_groups") || text("shamir_threshold").is_some_and(|count| count != "0") {
            return Err(SopsError::Unsupported {
                what: "key groups (Shamir's secret sharing)".to_owned(),
            });
        }
        let age = match block.get("age").map(|node| &node.kind) {
            Some(Kind::List(items)) => items
                .iter()
                .filter_map(|item| {
                    let part = |key: &str| item.get(key).and_then(Node::text).map(str::to_owned);
                    Some(Recipient {
                        recipient: part("recipient")?,
                        enc: part("enc")?,
                    })
                })
                .collect(),
            _ => Vec::new(),
        };
        let others = ["pgp", "kms", "gcp_kms", "azure_kv", "hc_vault", "hckms"]
            .into_iter()
            .filter(|kind| filled(kind))
            .map(str::to_owned)
            .collect();
        Ok(Self {
            age,
            others,
            rule: rule(&text)?,
            mac_only_encrypted: text("mac_only_encrypted")
                .is_some_and(|value| value.eq_ignore_ascii_case("true")),
            mac: text("mac").ok_or_else(|| wrong("has no `mac`; files without one are not trusted"))?,
            lastmodified: text("lastmodified").ok_or_else(|| wrong("has no `lastmodified`"))?,
        })
    }

    /// Opens the MAC that the file states.
    pub(super) fn mac(&self, key: &[u8]) -> Result<Zeroizing<Vec<u8>>, SopsError> {
        let value = cipher::Value::parse(&self.mac).ok_or_else(|| SopsError::Metadata {
            what: "has a `mac` that is not an encrypted value".to_owned(),
        })?;
        value.open(key, &self.lastmodified).ok_or(SopsError::Mac)
    }
}

fn rule(text: &dyn Fn(&str) -> Option<String>) -> Result<Rule, SopsError> {
    let regex = |pattern: String| match pattern.len() <= REGEX_MAX {
        true => Regex::new(&pattern).map_err(|_| SopsError::Metadata {
            what: "has a rule that is no regular expression".to_owned(),
        }),
        false => Err(SopsError::Metadata {
            what: "has a regular expression that is too long".to_owned(),
        }),
    };
    let mut rules = Vec::new();
    if let Some(suffix) = text("unencrypted_suffix") {
        rules.push(Rule::UnencryptedSuffix(suffix));
    }
    if let Some(suffix) = text("encrypted_suffix") {
        rules.push(Rule::EncryptedSuffix(suffix));
    }
    if let Some(pattern) = text("unencrypted_regex") {
        rules.push(Rule::UnencryptedRegex(regex(pattern)?));
    }
    if let Some(pattern) = text("encrypted_regex") {
        rules.push(Rule::EncryptedRegex(regex(pattern)?));
    }
    if let Some(pattern) = text("unencrypted_comment_regex") {
        rules.push(Rule::UnencryptedComment(regex(pattern)?));
    }
    if let Some(pattern) = text("encrypted_comment_regex") {
        rules.push(Rule::EncryptedComment(regex(pattern)?));
    }
    match (rules.pop(), rules.is_empty()) {
        // The sops command's default when the block names no rule.
        (None, _) => Ok(Rule::UnencryptedSuffix("_unencrypted".to_owned())),
        (Some(rule), true) => Ok(rule),
        (Some(_), false) => Err(SopsError::Metadata {
            what: "has more than one rule of what is encrypted".to_owned(),
        }),
    }
}
