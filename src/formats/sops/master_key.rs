//! Whom a file is sealed to: the entries of a `sops` block and of `.sops.yaml`, under one name.

use crate::formats::yaml::{Kind, Node};
use std::fmt;

/// Characters of a key's start and end that tell it from others to the eye.
const SHOWN: (usize, usize) = (10, 5);

/// Where a key lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyKind {
    /// age and ssh keys.
    Age,
    /// OpenPGP keys.
    Pgp,
    /// AWS.
    Kms,
    /// Google Cloud.
    GcpKms,
    /// Azure.
    AzureKv,
    /// HashiCorp Vault and OpenBao.
    HcVault,
    /// Huawei Cloud.
    HcKms,
}

impl KeyKind {
    /// All of them, in the order of sops.
    pub const ALL: [Self; 7] = [
        Self::Age,
        Self::Pgp,
        Self::Kms,
        Self::GcpKms,
        Self::HcKms,
        Self::AzureKv,
        Self::HcVault,
    ];

    /// Its name in the `sops` block.
    pub fn name(self) -> &'static str {
        match self {
            Self::Age => "age",
            Self::Pgp => "pgp",
            Self::Kms => "kms",
            Self::GcpKms => "gcp_kms",
            Self::AzureKv => "azure_kv",
            Self::HcVault => "hc_vault",
            Self::HcKms => "hckms",
        }
    }
}

/// Something that opens files.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MasterKey {
    /// Where it lives.
    pub kind: KeyKind,
    /// Its public name, as sops compares it (`ToString` of each `keysource.go`).
    pub id: String,
}

impl MasterKey {
    /// Names one.
    pub fn new(kind: KeyKind, id: impl Into<String>) -> Self {
        Self { kind, id: id.into() }
    }

    /// The keys of one group of a `sops` block.
    pub(super) fn of_group(group: &Node) -> Vec<Self> {
        let mut keys = Vec::new();
        for kind in KeyKind::ALL {
            if let Some(Kind::List(items)) = group.get(kind.name()).map(|node| &node.kind) {
                keys.extend(items.iter().filter_map(|item| Self::of_block(kind, item)));
            }
        }
        keys
    }

    fn of_block(kind: KeyKind, item: &Node) -> Option<Self> {
        let part = |names: &[&str]| {
            names
                .iter()
                .find_map(|name| item.get(name).and_then(Node::text))
                .map(str::to_owned)
        };
        let id = match kind {
            KeyKind::Age => part(&["recipient"])?,
            KeyKind::Pgp => part(&["fp"])?,
            KeyKind::Kms => kms(
                &part(&["arn"])?,
                &part(&["role"]).unwrap_or_default(),
                item.get("context"),
                &part(&["aws_profile"]).unwrap_or_default(),
            ),
            KeyKind::GcpKms => part(&["resource_id"])?,
            KeyKind::AzureKv => azure(
                &part(&["vault_url", "vaultUrl"])?,
                &part(&["name", "key"])?,
                &part(&["version"]).unwrap_or_default(),
            ),
            KeyKind::HcVault => vault(
                &part(&["vault_address"])?,
                &part(&["engine_path"])?,
                &part(&["key_name"])?,
            ),
            KeyKind::HcKms => part(&["key_id"])?,
        };
        Some(Self { kind, id })
    }

    /// Whether a key of a file is the one that a rule names. sops asks Azure for the newest version when a rule names none; we
    /// take any.
    pub fn is(&self, of_rule: &Self) -> bool {
        self.kind == of_rule.kind
            && (self.id == of_rule.id
                || self.kind == KeyKind::AzureKv
                    && of_rule.id.ends_with('/')
                    && self.id.starts_with(&of_rule.id))
    }

    /// Enough of it to know it by.
    pub fn short(&self) -> String {
        let cut = |text: &str| {
            let all: Vec<char> = text.chars().collect();
            if all.len() <= SHOWN.0 + SHOWN.1 + 1 {
                return text.to_owned();
            }
            let start: String = all[..SHOWN.0].iter().collect();
            let end: String = all[all.len() - SHOWN.1..].iter().collect();
            format!("{start}…{end}")
        };
        match self.kind {
            KeyKind::Age if self.id.starts_with("ssh-") => {
                let mut parts = self.id.split_whitespace();
                let (kind, key) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
                match parts.next() {
                    Some(comment) => format!("{kind} {comment}"),
                    None => format!("{kind} {}", cut(key)),
                }
            }
            KeyKind::Age => cut(&self.id),
            kind => format!("{} {}", kind.name(), cut(&self.id)),
        }
    }
}

impl fmt::Display for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            KeyKind::Age => f.write_str(&self.id),
            kind => write!(f, "{} {}", kind.name(), self.id),
        }
    }
}

/// `arn+role|context|profile`.
pub(super) fn kms(arn: &str, role: &str, context: Option<&Node>, profile: &str) -> String {
    let mut id = arn.to_owned();
    if !role.is_empty() {
        id = format!("{id}+{role}");
    }
    let mut pairs: Vec<String> = match context.map(|node| &node.kind) {
        Some(Kind::Map(entries)) => entries
            .iter()
            .map(|(key, value)| format!("{}:{}", key.text, value.text().unwrap_or_default()))
            .collect(),
        _ => Vec::new(),
    };
    pairs.sort();
    let context = pairs.join(",");
    match (context.is_empty(), profile.is_empty()) {
        (_, false) => format!("{id}|{context}|{profile}"),
        (false, true) => format!("{id}|{context}"),
        (true, true) => id,
    }
}

/// `vault/keys/name/version`; without a version it ends with `/`.
pub(super) fn azure(vault: &str, name: &str, version: &str) -> String {
    format!("{vault}/keys/{name}/{version}")
}

/// `address/v1/engine/keys/name`.
pub(super) fn vault(address: &str, engine: &str, name: &str) -> String {
    format!("{address}/v1/{engine}/keys/{name}")
}

/// What one group of a file has too few and too many of, against the rule's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Keys that the rule names and the file is not sealed to.
    pub missing: Vec<MasterKey>,
    /// Keys that the file is sealed to and the rule does not name.
    pub extra: Vec<MasterKey>,
}

/// Compares group by group, as `sops updatekeys` does.
pub fn differences(file: &[Vec<MasterKey>], rule: &[Vec<MasterKey>]) -> Difference {
    let mut all = Difference::default();
    let none = Vec::new();
    for index in 0..file.len().max(rule.len()) {
        let (ours, theirs) = (file.get(index).unwrap_or(&none), rule.get(index).unwrap_or(&none));
        let missing = theirs.iter().filter(|key| !ours.iter().any(|one| one.is(key)));
        all.missing.extend(missing.cloned());
        let extra = ours.iter().filter(|key| !theirs.iter().any(|one| key.is(one)));
        all.extra.extend(extra.cloned());
    }
    all
}
