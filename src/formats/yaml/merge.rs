//! `<<`: a mapping that takes the entries of others.

use super::keys::{Keys, Secret};
use super::load::wrong;
use super::{Key, Kind, Node, YamlError};
use crate::model::secret::MASK;

/// Refuses a `<<` that brings a key which stands before it: kubectl takes the merged value, kustomize the other one.
pub(super) fn overridden(
    before: &[(Key, Node)],
    merged: &Node,
    keys: &mut Keys,
    secret: &Secret,
) -> Result<(), YamlError> {
    let sources = match &merged.kind {
        Kind::List(items) => items.as_slice(),
        Kind::Map(_) | Kind::Scalar { .. } => std::slice::from_ref(merged),
    };
    for source in sources {
        let Kind::Map(entries) = &source.kind else {
            continue;
        };
        let known = |(key, _): &&(Key, Node)| keys.has(secret, &key.text, before);
        if let Some((key, _)) = entries.iter().find(known) {
            let what = format!(
                "`<<` brings {MASK}, which stands before it; readers of YAML disagree which one counts"
            );
            return Err(YamlError {
                key: Some(key.text.clone()),
                ..wrong(merged, &what, "write `<<` as the first key of its mapping")
            });
        }
    }
    Ok(())
}

/// Applies `<<`: keys that the mapping has itself win, then the first merged mapping.
pub(super) fn merge(node: &mut Node, secret: &Secret) -> Result<(), YamlError> {
    let Kind::Map(entries) = &mut node.kind else {
        return Ok(());
    };
    if !entries.iter().any(|(key, _)| key.merge) {
        return Ok(());
    }
    let (merges, mut own): (Vec<_>, Vec<_>) = std::mem::take(entries)
        .into_iter()
        .partition(|(key, _)| key.merge);
    // Not searched one by one: a merge of many keys would cost their square.
    let mut keys = Keys::default();
    for (_, value) in merges {
        let sources = match value.kind {
            Kind::Map(_) => vec![value],
            Kind::List(items) => items,
            Kind::Scalar { .. } => {
                return Err(wrong(&value, "`<<` needs a mapping", "give it an alias of one"));
            }
        };
        for source in sources {
            let Kind::Map(more) = source.kind else {
                return Err(wrong(&source, "`<<` needs a mapping", "give it an alias of one"));
            };
            for (key, value) in more {
                if keys.keep(secret, &key.text, &own).is_none() {
                    own.push((key, value));
                }
            }
        }
    }
    *entries = own;
    Ok(())
}
