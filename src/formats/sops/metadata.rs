//! The `sops` block: recipients, the rule that says what is encrypted, and the MAC.

use super::go_regex::GoRegex;
use super::{SopsError, cipher};
use crate::formats::yaml::{Kind, Node};
use zeroize::Zeroizing;

/// A share names its group with one byte.
const GROUPS_MAX: usize = 255;

/// Recipients of one file: to try one costs as much as to read hundreds of values, and no team is so large.
const RECIPIENTS_MAX: usize = 256;

/// Bytes of what is sealed to one recipient: 32 bytes and their envelope, below 2 KiB for the largest RSA keys.
const ENC_BYTES_MAX: usize = 8192;

/// The ways to say which values are encrypted.
pub(super) const SELECTIONS: [&str; 6] = [
    "unencrypted_suffix",
    "encrypted_suffix",
    "unencrypted_regex",
    "encrypted_regex",
    "unencrypted_comment_regex",
    "encrypted_comment_regex",
];

/// Which values are encrypted, as a block or a rule of `.sops.yaml` says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// `encrypted_regex` and the like.
    pub name: &'static str,
    /// The pattern or ending.
    pub value: String,
}

impl Default for Selection {
    /// The sops command's, when nothing is said.
    fn default() -> Self {
        Self {
            name: "unencrypted_suffix",
            value: "_unencrypted".to_owned(),
        }
    }
}

/// The block.
pub(super) struct Metadata {
    /// The groups of recipients. With one group each recipient opens the file; with several, one of each of enough groups.
    pub(super) groups: Vec<Group>,
    /// How many groups it takes.
    pub(super) threshold: usize,
    /// Which values are encrypted.
    pub(super) rule: Rule,
    /// Whether the MAC covers encrypted values only.
    pub(super) mac_only_encrypted: bool,
    mac: String,
    lastmodified: String,
}

/// Recipients of which one is enough.
#[derive(Default)]
pub(super) struct Group {
    /// age recipients, each with the data key (or its part) as an armored age file.
    pub(super) age: Vec<Recipient>,
    /// OpenPGP keys by fingerprint, each with the same as an armored message.
    pub(super) pgp: Vec<Recipient>,
    /// Kinds of recipients that need a service, such as `kms`.
    pub(super) others: Vec<String>,
}

/// One recipient.
pub(super) struct Recipient {
    /// Its public key or fingerprint.
    pub(super) recipient: String,
    /// What is sealed to it.
    pub(super) enc: String,
}

impl Group {
    fn read(node: &Node) -> Self {
        let list = |field: &str| match node.get(field).map(|node| &node.kind) {
            Some(Kind::List(items)) => items.as_slice(),
            _ => &[],
        };
        let recipients = |field: &str, name: &str| {
            list(field)
                .iter()
                .filter_map(|item| {
                    let part = |key: &str| item.get(key).and_then(Node::text).map(str::to_owned);
                    Some(Recipient {
                        recipient: part(name)?,
                        enc: part("enc")?,
                    })
                })
                .collect()
        };
        Self {
            age: recipients("age", "recipient"),
            pgp: recipients("pgp", "fp"),
            others: ["kms", "gcp_kms", "azure_kv", "hc_vault", "hckms"]
                .into_iter()
                .filter(|kind| !list(kind).is_empty())
                .map(str::to_owned)
                .collect(),
        }
    }

    /// The recipients in words.
    pub(super) fn words(&self) -> Vec<String> {
        let age = self.age.iter().map(|one| one.recipient.clone());
        let pgp = self
            .pgp
            .iter()
            .map(|one| format!("OpenPGP key {}", one.recipient));
        let others = self
            .others
            .iter()
            .map(|kind| format!("recipients of kind {kind}"));
        age.chain(pgp).chain(others).collect()
    }
}

/// Which values are encrypted. A rule looks at every key on a value's path.
pub(super) enum Rule {
    /// All but those below a key with this ending.
    UnencryptedSuffix(String),
    /// Those below a key with this ending.
    EncryptedSuffix(String),
    /// All but those below a matching key.
    UnencryptedRegex(GoRegex),
    /// Those below a matching key.
    EncryptedRegex(GoRegex),
    /// All but those that a matching comment stands before, on any level.
    UnencryptedComment(GoRegex),
    /// Those that a matching comment stands before, on any level.
    EncryptedComment(GoRegex),
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

    /// Whether it looks at comments.
    pub(super) fn about_comments(&self) -> bool {
        matches!(self, Self::UnencryptedComment(_) | Self::EncryptedComment(_))
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
        let groups: Vec<Group> = match block.get("key_groups").map(|node| &node.kind) {
            Some(Kind::List(items)) if !items.is_empty() => items.iter().map(Group::read).collect(),
            _ => vec![Group::read(block)],
        };
        if groups.len() > GROUPS_MAX {
            return Err(wrong(&format!("has more than {GROUPS_MAX} key groups")));
        }
        let recipients = || groups.iter().flat_map(|group| group.age.iter().chain(&group.pgp));
        if recipients().count() > RECIPIENTS_MAX {
            return Err(wrong(&format!("has more than {RECIPIENTS_MAX} recipients")));
        }
        if recipients().any(|one| one.enc.len() > ENC_BYTES_MAX) {
            return Err(wrong(&format!("has an `enc` of more than {ENC_BYTES_MAX} bytes")));
        }
        let threshold = match text("shamir_threshold").and_then(|count| count.parse().ok()) {
            None | Some(0) => groups.len(),
            Some(threshold) => threshold,
        };
        Ok(Self {
            groups,
            threshold,
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
    let regex = |text: String| {
        GoRegex::new(&text).map_err(|what| SopsError::Metadata {
            what: format!("has a rule that {what}"),
        })
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
