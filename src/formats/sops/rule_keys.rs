//! The keys that a rule of `.sops.yaml` names, in each of the ways in which sops lets them be written.

use super::creation_rules::{is_null, wrong, wrong_at};
use super::master_key::{self, KeyKind, MasterKey};
use crate::formats::yaml::{Kind, Node, Tag, YamlError, scalar};

/// Groups may hold groups (`merge`); nobody nests them deeper.
const DEPTH_MAX: usize = 16;

/// Keys of one rule.
const KEYS_MAX: usize = 1000;

/// The groups of a rule. The outer error is one that sops has with the whole file, the inner one with files of this rule.
pub(super) fn groups(item: &Node) -> Result<Result<Vec<Vec<MasterKey>>, YamlError>, YamlError> {
    // These two are typed in sops, so that the whole file is refused.
    for name in ["key_groups", "hckms"] {
        let node = item.get(name).filter(|node| !is_null(node));
        if node.is_some_and(|node| !matches!(node.kind, Kind::List(_))) {
            return Err(wrong_at(item, name, "is no list", "begin each entry with `-`"));
        }
    }
    let groups = match item.get("key_groups").map(|node| &node.kind) {
        Some(Kind::List(groups)) if !groups.is_empty() => groups.iter().map(|one| group(one, 0)).collect(),
        _ => flat(item).map(|keys| vec![keys]),
    };
    Ok(groups.and_then(|groups: Vec<Vec<MasterKey>>| {
        if groups.iter().all(Vec::is_empty) {
            let help = "add `age: age1…`";
            return Err(wrong(item, "the rule names nobody to encrypt to", help));
        }
        if groups.iter().map(Vec::len).sum::<usize>() > KEYS_MAX {
            return Err(wrong(
                item,
                &format!("the rule names more than {KEYS_MAX} keys"),
                "a few dozen are enough",
            ));
        }
        Ok(groups)
    }))
}

/// Keys that stand in the rule itself.
fn flat(item: &Node) -> Result<Vec<MasterKey>, YamlError> {
    let mut keys = Vec::new();
    for id in listed(item, "age")? {
        keys.push(age(item, "age", &id)?);
    }
    for id in listed(item, "pgp")? {
        keys.push(MasterKey::new(KeyKind::Pgp, id.replace(' ', "")));
    }
    let profile = item.get("aws_profile").and_then(Node::text).unwrap_or_default();
    for arn in listed(item, "kms")? {
        let id = master_key::kms(&arn.replace(' ', ""), "", None, profile);
        keys.push(MasterKey::new(KeyKind::Kms, id));
    }
    for id in listed(item, "gcp_kms")? {
        keys.push(MasterKey::new(KeyKind::GcpKms, id.replace(' ', "")));
    }
    for id in listed(item, "hckms")? {
        keys.push(MasterKey::new(KeyKind::HcKms, id));
    }
    for url in listed(item, "azure_keyvault")? {
        keys.push(azure(&url).ok_or_else(|| {
            let help = "write https://VAULT/keys/NAME/VERSION";
            wrong_at(item, "azure_keyvault", "holds what is no key of Azure", help)
        })?);
    }
    for uri in listed(item, "hc_vault_transit_uri")? {
        keys.push(vault(item, "hc_vault_transit_uri", &uri)?);
    }
    Ok(keys)
}

/// The entries of a list, or of a string with commas.
fn listed(item: &Node, name: &str) -> Result<Vec<String>, YamlError> {
    let Some(node) = item.get(name).filter(|node| !is_null(node)) else {
        return Ok(Vec::new());
    };
    let string = |node: &Node| match &node.kind {
        Kind::Scalar { text, plain, tag } => match scalar::resolve(text, *plain, tag.map(Tag::name)) {
            Some(serde_json::Value::Number(_)) | None => None,
            _ => Some(text.clone()),
        },
        _ => None,
    };
    let no_string = || wrong_at(item, name, "holds what is no string", "put it in quotes");
    let texts = match &node.kind {
        Kind::List(items) => items.iter().map(string).collect::<Option<Vec<_>>>(),
        _ => string(node).map(|one| vec![one]),
    };
    let texts = texts.ok_or_else(no_string)?;
    // sops joins a list with commas before it cuts it up again.
    let parts = texts.iter().flat_map(|text| text.split(',')).map(str::trim);
    Ok(parts.filter(|part| !part.is_empty()).map(str::to_owned).collect())
}

/// Keys of one of `key_groups`, without those that stand there twice.
fn group(node: &Node, depth: usize) -> Result<Vec<MasterKey>, YamlError> {
    if depth > DEPTH_MAX {
        let message = format!("groups are merged over more than {DEPTH_MAX} levels");
        return Err(wrong(node, &message, "write the keys out"));
    }
    let items = |name: &str| match node.get(name).map(|node| &node.kind) {
        Some(Kind::List(items)) => items.as_slice(),
        _ => &[],
    };
    let mut keys = Vec::new();
    for merged in items("merge") {
        keys.extend(group(merged, depth + 1)?);
    }
    for id in listed(node, "age")? {
        keys.push(age(node, "age", &id)?);
    }
    for id in listed(node, "pgp")? {
        keys.push(MasterKey::new(KeyKind::Pgp, id.replace(' ', "")));
    }
    for item in items("kms") {
        let part = |name: &str| item.get(name).and_then(Node::text).unwrap_or_default();
        let id = master_key::kms(
            part("arn"),
            part("role"),
            item.get("context"),
            part("aws_profile"),
        );
        keys.push(MasterKey::new(KeyKind::Kms, id));
    }
    for item in items("gcp_kms") {
        let id = item.get("resource_id").and_then(Node::text).unwrap_or_default();
        keys.push(MasterKey::new(KeyKind::GcpKms, id.replace(' ', "")));
    }
    for item in items("hckms") {
        let id = item.get("key_id").and_then(Node::text).unwrap_or_default();
        keys.push(MasterKey::new(KeyKind::HcKms, id));
    }
    for item in items("azure_keyvault") {
        let part = |name: &str| item.get(name).and_then(Node::text).unwrap_or_default();
        let id = master_key::azure(part("vaultUrl"), part("key"), part("version"));
        keys.push(MasterKey::new(KeyKind::AzureKv, id));
    }
    for uri in listed(node, "hc_vault")? {
        keys.push(vault(node, "hc_vault", &uri)?);
    }
    let mut unique: Vec<MasterKey> = Vec::new();
    for key in keys {
        if !unique.contains(&key) {
            unique.push(key);
        }
    }
    Ok(unique)
}

/// An age recipient: X25519 and ssh keys are checked, those of plugins and of post-quantum keys taken as they are.
fn age(item: &Node, name: &str, id: &str) -> Result<MasterKey, YamlError> {
    let good = if id.starts_with("ssh-") {
        id.parse::<age::ssh::Recipient>().is_ok()
    } else if id.starts_with("age1") && id.matches('1').count() == 1 {
        id.parse::<age::x25519::Recipient>().is_ok()
    } else {
        id.starts_with("age1")
    };
    if good {
        return Ok(MasterKey::new(KeyKind::Age, id));
    }
    // Not quoted: whoever takes a private key for a public one must not see it in a log.
    let help = "write the public key that `age-keygen -y` prints (age1…), or an ssh-ed25519 or ssh-rsa one";
    Err(wrong_at(item, name, "holds what is no age recipient", help))
}

/// `https://VAULT/keys/NAME/VERSION`, where the version may be missing.
fn azure(url: &str) -> Option<MasterKey> {
    let (vault, rest) = url.split_once("/keys/")?;
    let host = vault.strip_prefix("https://")?;
    let (name, version) = rest.split_once('/').unwrap_or((rest, ""));
    let good = !host.is_empty() && !host.contains('/') && !name.is_empty() && !version.contains('/');
    good.then(|| MasterKey::new(KeyKind::AzureKv, master_key::azure(vault, name, version)))
}

/// `https://HOST/v1/ENGINE/keys/NAME`.
fn vault(item: &Node, name: &str, uri: &str) -> Result<MasterKey, YamlError> {
    let read = || {
        let (scheme, rest) = uri.split_once("://")?;
        let (host, path) = rest.split_once('/')?;
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let version = parts.first()?.strip_prefix('v')?;
        let good = version.bytes().all(|one| one.is_ascii_digit()) && parts.len() >= 4;
        let engine = parts.get(1..parts.len().checked_sub(2)?)?.join("/");
        let key = parts.last()?;
        good.then(|| master_key::vault(&format!("{scheme}://{host}"), &engine, key))
    };
    let help = "write https://HOST:8200/v1/ENGINE/keys/NAME";
    let id = read().ok_or_else(|| wrong_at(item, name, "holds what is no key of Vault", help))?;
    Ok(MasterKey::new(KeyKind::HcVault, id))
}
