//! What an encrypted file says of its encryption to anybody, without a key: recipients, threshold, and what is encrypted.

use super::lines::{self, Lines};
use super::master_key::MasterKey;
use super::metadata::{self, Metadata, Selection};
use super::{Format, SopsError, is_binary, is_sops};
use crate::formats::yaml::{Kind, Node, load};

/// What is seen from outside.
pub struct Inspection {
    /// Whom it is sealed to, by group.
    pub groups: Vec<Vec<MasterKey>>,
    /// The same in words.
    pub words: Vec<Vec<String>>,
    /// How many groups it takes to open it.
    pub threshold: usize,
    /// Which values are encrypted; `None` for a file that is one value, in which all is.
    pub selection: Option<Selection>,
    /// Whether the MAC covers encrypted values only.
    pub mac_only_encrypted: bool,
}

/// Looks at a file; `None` if it is not encrypted.
///
/// # Errors
/// [`SopsError`], when its block or its text cannot be read.
pub fn inspect(path: &str, text: &str) -> Result<Option<Inspection>, SopsError> {
    let format = Format::of(path);
    let lines = [Lines::Dotenv, Lines::Ini].into_iter().find(|lines| {
        !text.trim_start().starts_with('{') && lines.holds_block(text) && text.contains(super::SEALED)
    });
    if let Some(lines) = lines.filter(|_| !matches!(format, Format::Yaml | Format::Json)) {
        return read(&lines::block(lines, text)?, false).map(Some);
    }
    let documents = load(text)?;
    let block = documents.iter().find_map(|document| document.get("sops"));
    match block.filter(|_| is_sops(&documents)) {
        Some(block) => read(block, format == Format::Binary && is_binary(&documents)).map(Some),
        None => Ok(None),
    }
}

fn read(block: &Node, binary: bool) -> Result<Inspection, SopsError> {
    let metadata = Metadata::read(block)?;
    let groups = match block.get("key_groups").map(|node| &node.kind) {
        Some(Kind::List(items)) if !items.is_empty() => items.iter().map(MasterKey::of_group).collect(),
        _ => vec![MasterKey::of_group(block)],
    };
    let said = metadata::SELECTIONS.into_iter().find_map(|name| {
        let value = block
            .get(name)
            .and_then(Node::text)
            .filter(|value| !value.is_empty())?;
        Some(Selection {
            name,
            value: value.to_owned(),
        })
    });
    Ok(Inspection {
        groups,
        words: metadata.groups.iter().map(metadata::Group::words).collect(),
        threshold: metadata.threshold,
        selection: (!binary).then(|| said.unwrap_or_default()),
        mac_only_encrypted: metadata.mac_only_encrypted,
    })
}
