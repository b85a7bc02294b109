//! The walk over all values of a file in the order of its text: opens what is encrypted and sums up the MAC.

use super::metadata::Metadata;
use super::{SEALED, SopsError, cipher};
use crate::formats::yaml::{Key, Kind, Node, Tag, scalar};
use sha2::{Digest, Sha512};
use std::ops::Range;
use zeroize::Zeroizing;

/// SHA-256 of "sops": what the MAC starts with under `mac_only_encrypted`.
const MAC_ONLY_ENCRYPTED_START: [u8; 32] = [
    0x8a, 0x3f, 0xd2, 0xad, 0x54, 0xce, 0x66, 0x52, 0x7b, 0x10, 0x34, 0xf3, 0xd1, 0x47, 0xbe, 0x0b, 0x0b,
    0x97, 0x5b, 0x3b, 0xf4, 0x4f, 0x72, 0xc6, 0xfd, 0xad, 0xec, 0x81, 0x76, 0xf2, 0x7d, 0x69,
];

/// Encrypted values of one file: a hundred times as many as large files have.
const VALUES_MAX: usize = 10_000;

fn too_many() -> SopsError {
    SopsError::Unsupported {
        what: format!("more than {VALUES_MAX} encrypted values"),
    }
}

/// Bytes of the text and what stands there in the clear.
pub(super) type Change = (Range<usize>, Zeroizing<String>);

/// A value of a format without a tree.
pub(super) struct Leaf<'a> {
    /// The keys on the way to it.
    pub(super) path: &'a [String],
    /// The comments directly before it.
    pub(super) comments: &'a [String],
    /// Its line.
    pub(super) line: u32,
}

/// Something that the MAC does not bind to its place: see [`super::Opened::unbound`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unbound {
    /// The line.
    pub line: u32,
    /// The keys on the way to it.
    pub path: Vec<String>,
}

/// The walk.
pub(super) struct Walk<'a> {
    metadata: &'a Metadata,
    key: &'a [u8],
    text: &'a str,
    mac: Sha512,
    changes: Vec<Change>,
    /// The keys on the way to the value.
    path: Vec<String>,
    /// How many of the entries and items on the way have a comment that the rule looks for.
    commented: usize,
    pub(super) unbound: Vec<Unbound>,
    /// How many values were opened.
    opened: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn new(metadata: &'a Metadata, key: &'a [u8], text: &'a str) -> Self {
        let mut mac = Sha512::new();
        if metadata.mac_only_encrypted {
            mac.update(MAC_ONLY_ENCRYPTED_START);
        }
        Self {
            metadata,
            key,
            text,
            mac,
            changes: Vec::new(),
            path: Vec::new(),
            commented: 0,
            unbound: Vec::new(),
            opened: 0,
        }
    }

    /// The MAC, what changes in the text, and what the MAC does not bind.
    pub(super) fn finish(self) -> (Vec<u8>, Vec<Change>, Vec<Unbound>) {
        (self.mac.finalize().to_vec(), self.changes, self.unbound)
    }

    /// Puts something in the place of some bytes.
    pub(super) fn replace(&mut self, range: Range<usize>, fresh: Zeroizing<String>) {
        self.changes.push((range, fresh));
    }

    /// A comment of a format without a tree, opened if it is encrypted.
    pub(super) fn comment(
        &self,
        path: &[String],
        text: &str,
        line: u32,
    ) -> Result<Option<Zeroizing<String>>, SopsError> {
        let Some(value) = cipher::Value::parse(text).filter(|value| value.kind == "comment") else {
            return Ok(None);
        };
        let aad = format!("{}:", path.join(":"));
        let clear = value.open(self.key, &aad).ok_or(SopsError::Value { line })?;
        let text = std::str::from_utf8(&clear).map_err(|_| SopsError::Value { line })?;
        Ok(Some(Zeroizing::new(text.to_owned())))
    }

    /// A text of a format without a tree: the clear one, if it is encrypted.
    pub(super) fn text(
        &mut self,
        leaf: &Leaf<'_>,
        text: &str,
    ) -> Result<Option<Zeroizing<String>>, SopsError> {
        let commented = self.metadata.rule.looks_for(leaf.comments);
        if !self.metadata.rule.encrypts(leaf.path, commented) {
            if !self.metadata.mac_only_encrypted {
                self.mac.update(text.as_bytes());
            }
            if !text.is_empty() {
                self.unbound.push(Unbound {
                    line: leaf.line,
                    path: leaf.path.to_vec(),
                });
            }
            return Ok(None);
        }
        // Sops leaves an empty value as it is under any rule, and honest files of these formats have many: one is let pass, unless it
        // could stand for a sealed one of the same name, which is looked at when all lines were read. It changes no other value, takes none
        // away, and holds nothing itself; a YAML policy, whose fields are ours, has no need of one, so there it is refused.
        if text.is_empty() {
            return Ok(None);
        }
        self.count()?;
        let line = leaf.line;
        let value = cipher::Value::parse(text).ok_or(SopsError::Plain { line })?;
        let aad = format!("{}:", leaf.path.join(":"));
        let clear = value
            .open(self.key, &aad)
            .and_then(|bytes| cipher::typed(&value.kind, bytes))
            .ok_or(SopsError::Value { line })?;
        self.mac.update(&*clear.hashed);
        let text = std::str::from_utf8(&clear.hashed).map_err(|_| SopsError::Value { line })?;
        Ok(Some(Zeroizing::new(text.to_owned())))
    }

    /// Counts a value that is opened.
    fn count(&mut self) -> Result<(), SopsError> {
        self.opened += 1;
        if self.opened <= VALUES_MAX {
            return Ok(());
        }
        Err(too_many())
    }

    /// Refuses documents that surely have too many encrypted values, before any is opened.
    pub(super) fn check_count(documents: &[Node]) -> Result<(), SopsError> {
        fn sealed(node: &Node) -> usize {
            match &node.kind {
                Kind::Scalar { text, .. } => usize::from(text.starts_with(SEALED)),
                Kind::List(items) => items.iter().map(sealed).sum(),
                Kind::Map(entries) => entries.iter().map(|(_, value)| sealed(value)).sum(),
            }
        }
        // The block has one for itself, which is the MAC.
        match documents.iter().map(sealed).sum::<usize>() <= VALUES_MAX + documents.len() {
            true => Ok(()),
            false => Err(too_many()),
        }
    }

    fn loose(&mut self, node: &Node) {
        self.unbound.push(Unbound {
            line: node.line,
            path: self.path.clone(),
        });
    }

    /// One document; its `sops` block is taken out.
    pub(super) fn document(&mut self, document: &Node) -> Result<(), SopsError> {
        let Kind::Map(entries) = &document.kind else {
            return self.node(document);
        };
        for (index, (key, value)) in entries.iter().enumerate() {
            if key.text == "sops" {
                self.remove(document, entries, index);
            } else {
                self.entry(key, value)?;
            }
        }
        Ok(())
    }

    /// Takes the `sops` block out and leaves its line breaks, so that whatever follows keeps its line.
    fn remove(&mut self, document: &Node, entries: &[(Key, Node)], index: usize) {
        let (key, value) = &entries[index];
        let flow = self.text[document.bytes().start..].starts_with('{');
        let next = entries.get(index + 1).map(|(next, _)| next.start as usize);
        let before = index
            .checked_sub(1)
            .and_then(|before| entries.get(before))
            .map(|(_, value)| value.bytes().end);
        let range = match (flow, next, before) {
            // The comma goes with it.
            (true, None, Some(before)) => before..value.bytes().end,
            _ => key.start as usize..next.unwrap_or(value.bytes().end),
        };
        let breaks = self.breaks(&range);
        self.changes.push((range, Zeroizing::new(breaks)));
    }

    fn breaks(&self, range: &Range<usize>) -> String {
        self.text[range.clone()].chars().filter(|c| *c == '\n').collect()
    }

    fn entry(&mut self, key: &Key, value: &Node) -> Result<(), SopsError> {
        self.path.push(key.text.clone());
        self.child(value)?;
        self.path.pop();
        Ok(())
    }

    fn child(&mut self, node: &Node) -> Result<(), SopsError> {
        let commented = self.metadata.rule.looks_for(node.comments());
        self.commented += usize::from(commented);
        self.node(node)?;
        self.commented -= usize::from(commented);
        Ok(())
    }

    fn node(&mut self, node: &Node) -> Result<(), SopsError> {
        match &node.kind {
            // What is empty is in no MAC, wherever it stands.
            Kind::Map(entries) if entries.is_empty() => {
                self.loose(node);
                Ok(())
            }
            Kind::List(items) if items.is_empty() => {
                self.loose(node);
                Ok(())
            }
            Kind::Map(entries) => entries.iter().try_for_each(|(key, value)| self.entry(key, value)),
            Kind::List(items) => items.iter().try_for_each(|item| self.child(item)),
            Kind::Scalar { text, plain, tag } => {
                self.scalar(node, text, scalar::hashed(text, *plain, tag.map(Tag::name)))
            }
        }
    }

    fn scalar(&mut self, node: &Node, text: &str, hashed: Option<Vec<u8>>) -> Result<(), SopsError> {
        let Some(hashed) = hashed else {
            self.loose(node);
            return Ok(());
        };
        if !self.metadata.rule.encrypts(&self.path, self.commented > 0) {
            self.loose(node);
            if !self.metadata.mac_only_encrypted {
                self.mac.update(&hashed);
            }
            return Ok(());
        }
        let line = node.line;
        // The sops command leaves an empty string as it is.
        if text.is_empty() {
            self.loose(node);
            return Ok(());
        }
        self.count()?;
        let value = cipher::Value::parse(text).ok_or(SopsError::Plain { line })?;
        // sops writes none before what it encrypts, and no MAC sees it: `!!binary` would make another text of the clear one.
        if matches!(node.kind, Kind::Scalar { tag: Some(_), .. }) {
            return Err(SopsError::Value { line });
        }
        let aad = format!("{}:", self.path.join(":"));
        let clear = value
            .open(self.key, &aad)
            .and_then(|bytes| cipher::typed(&value.kind, bytes))
            .ok_or(SopsError::Value { line })?;
        let end = node.bytes().start + self.text[node.bytes()].trim_end().len();
        let range = node.bytes().start..end;
        let Some(mut yaml) = clear.yaml else {
            return self.drop_comment(range);
        };
        self.mac.update(&*clear.hashed);
        let breaks = self.breaks(&range);
        if !breaks.is_empty() {
            yaml = Zeroizing::new([yaml.as_str(), breaks.as_str()].concat());
        }
        self.changes.push((range, yaml));
        Ok(())
    }

    /// A comment inside of a list is stored as an item of the list: it is no value, and not hashed.
    fn drop_comment(&mut self, range: Range<usize>) -> Result<(), SopsError> {
        let before = self.text[..range.start].trim_end_matches(' ');
        if !before.ends_with('-') {
            return Err(SopsError::Unsupported {
                what: "an encrypted comment that is no item of a block list".to_owned(),
            });
        }
        let breaks = self.breaks(&range);
        self.changes
            .push((before.len() - 1..range.end, Zeroizing::new(breaks)));
        Ok(())
    }
}
