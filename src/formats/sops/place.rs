//! Where in a file a [`SopsError`] is: its value, or the `sops` block, or the MAC in it.

use super::lines::Lines;
use super::{SopsError, cipher};
use crate::formats::yaml::{Key, Kind, Node, load};

/// What stands in the way of opening a file, and where.
pub struct Lost {
    /// What it is.
    pub error: SopsError,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
}

impl Lost {
    /// With the line that the error itself knows, without a look at the text.
    pub fn of(error: SopsError) -> Self {
        Self::among(&[], error)
    }

    /// In a text that was not read yet, or cannot be.
    pub(super) fn within(text: &str, error: SopsError) -> Self {
        let (line, column) = place(text, &error);
        Self { error, line, column }
    }

    /// In a text that was read: to read a large one again takes as long as all else that is done with it.
    pub(super) fn among(documents: &[Node], error: SopsError) -> Self {
        let (line, column) = place_among(documents, &error);
        Self { error, line, column }
    }
}

/// Line and column, from 1; the start of the file where nothing nearer is known. Only looked for when there is an error: the text is
/// read once more.
pub fn place(text: &str, error: &SopsError) -> (u32, u32) {
    if let Some(entry) = entry_of(error) {
        let lines = [Lines::Dotenv, Lines::Ini]
            .into_iter()
            .find(|lines| lines.holds_block(text));
        if let Some(line) = lines.and_then(|lines| lines.line_of_block(text, entry)) {
            return (line, 1);
        }
    }
    match error {
        SopsError::Yaml(_) | SopsError::Line { .. } | SopsError::Plain { .. } | SopsError::Inside { .. } => {
            place_among(&[], error)
        }
        _ => place_among(&load(text).unwrap_or_default(), error),
    }
}

fn place_among(documents: &[Node], error: &SopsError) -> (u32, u32) {
    match error {
        SopsError::Yaml(error) => (error.line, error.column),
        SopsError::Value { line } | SopsError::Orphan { line } => (*line, value_on(documents, *line)),
        SopsError::Line { line } | SopsError::Plain { line } | SopsError::Inside { line, .. } => (*line, 1),
        SopsError::Mac
        | SopsError::Metadata { .. }
        | SopsError::Unsupported { .. }
        | SopsError::NoKey { .. } => block(documents, entry_of(error).flatten()),
    }
}

/// Whether an error is about the `sops` block, and about which entry of it.
fn entry_of(error: &SopsError) -> Option<Option<&'static str>> {
    match error {
        SopsError::Mac => Some(Some("mac")),
        SopsError::Metadata { .. } | SopsError::Unsupported { .. } | SopsError::NoKey { .. } => Some(None),
        _ => None,
    }
}

/// The column of the encrypted value of a line, if the line has one and no second.
fn value_on(documents: &[Node], line: u32) -> u32 {
    fn gather(node: &Node, line: u32, found: &mut Vec<u32>) {
        match &node.kind {
            Kind::Scalar { text, .. } => {
                if node.line == line && cipher::Value::parse(text).is_some() {
                    found.push(node.column);
                }
            }
            Kind::List(items) => items.iter().for_each(|item| gather(item, line, found)),
            Kind::Map(entries) => entries.iter().for_each(|(_, value)| gather(value, line, found)),
        }
    }
    let mut found = Vec::new();
    for document in documents {
        gather(document, line, &mut found);
    }
    match found.as_slice() {
        [column] => *column,
        _ => 1,
    }
}

/// The `sops` block, or an entry of it.
fn block(documents: &[Node], entry: Option<&str>) -> (u32, u32) {
    fn named<'a>(node: &'a Node, name: &str) -> Option<(&'a Key, &'a Node)> {
        match &node.kind {
            Kind::Map(entries) => entries
                .iter()
                .find(|(key, _)| key.text == name)
                .map(|(key, value)| (key, value)),
            _ => None,
        }
    }
    let found = documents.iter().find_map(|document| named(document, "sops"));
    let key = found.map(|(key, block)| {
        let inner = entry.and_then(|name| named(block, name));
        inner.map_or(key, |(key, _)| key)
    });
    key.map_or((1, 1), |key| (key.line, key.column))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_lines_and_of_trees_are_found() {
        let no_key = SopsError::NoKey {
            recipients: String::new(),
        };
        for (text, block, mac) in [
            ("A=b\nsops_age__list_0=x\nsops_mac=y\n", (2, 1), (3, 1)),
            (
                "[a]\nmac = c\n[sops]\nversion = 3\nmac = y\n[z]\nmac = q\n",
                (3, 1),
                (5, 1),
            ),
            ("a: 1\nsops:\n  version: 3\n  mac: x\n", (2, 1), (4, 3)),
            ("{\"a\": 1, \"sops\": {\"mac\": \"x\"}}", (1, 10), (1, 19)),
            ("a: 1\n---\nb: 1\nsops:\n  version: 3\n", (4, 1), (4, 1)),
            ("a: 1\n", (1, 1), (1, 1)),
            ("a: [\n", (1, 1), (1, 1)),
        ] {
            assert_eq!(place(text, &no_key), block, "{text}");
            assert_eq!(place(text, &SopsError::Mac), mac, "{text}");
        }
        let sealed = "a: {b: 1, c: \"ENC[AES256_GCM,data:AA==,iv:AA==,tag:AA==,type:str]\"}\n";
        assert_eq!(place(sealed, &SopsError::Value { line: 1 }), (1, 14));
    }
}
