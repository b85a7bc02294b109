//! Events of the parser → a tree with places.

use super::{Key, Kind, Node, YamlError};
use granit_parser::{Event, Parser, ScalarStyle, Span, Tag};
use std::borrow::Cow;
use std::collections::HashMap;

/// Nodes of one file after aliases are expanded: a few megabytes of YAML, and an end to "billion laughs".
const NODES_MAX: usize = 500_000;

/// Nesting: real objects stay below 30.
const DEPTH_MAX: usize = 100;

/// Documents of one file.
const DOCUMENTS_MAX: usize = 10_000;

/// Reads a text of any number of documents; empty ones are left out.
///
/// # Errors
/// The first thing that is wrong.
pub fn load(text: &str) -> Result<Vec<Node>, YamlError> {
    let bom = '\u{feff}'.len_utf8();
    let (body, offset) = match text.strip_prefix('\u{feff}') {
        Some(rest) => (rest, bom),
        None => (text, 0),
    };
    let mut builder = Builder {
        offset,
        ..Builder::default()
    };
    for next in Parser::new_from_str(body) {
        let (event, span) = next.map_err(|error| YamlError {
            line: clamp(error.marker().line()),
            column: clamp(error.marker().col() + 1),
            message: "this is not YAML here".to_owned(),
            help: parser_help(&error.info()),
        })?;
        builder.take(event, span)?;
    }
    Ok(builder.documents)
}

/// The parser's words, unless they could quote the text.
fn parser_help(info: &str) -> String {
    let quotes = info.contains(['\'', '"', '`', '\n']);
    if quotes {
        "check indentation, quotes and brackets".to_owned()
    } else {
        info.to_owned()
    }
}

fn clamp(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[derive(Default)]
struct Builder {
    documents: Vec<Node>,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    offset: usize,
}

struct Open {
    node: Node,
    anchor: usize,
    key: Option<Key>,
}

impl Builder {
    fn take(&mut self, event: Event, span: Span) -> Result<(), YamlError> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let kind = Kind::Scalar {
                    text: text.into_owned(),
                    plain: style == ScalarStyle::Plain,
                    tag: core_tag(tag.as_ref()),
                };
                let node = self.node(kind, span);
                self.add(node, anchor)
            }
            Event::SequenceStart(_, anchor, _) => self.open(Kind::List(Vec::new()), anchor, span),
            Event::MappingStart(_, anchor, _) => self.open(Kind::Map(Vec::new()), anchor, span),
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(mut done) = self.open.pop() else {
                    return Ok(());
                };
                done.node.bytes.end = self.range(span).end.max(done.node.bytes.start);
                merge(&mut done.node)?;
                self.add(done.node, done.anchor)
            }
            Event::Alias(anchor) => {
                let node = self.node(Kind::List(Vec::new()), span);
                let Some(target) = self.anchors.get(&anchor).cloned() else {
                    return Err(wrong(
                        &node,
                        "this alias is used inside of its own anchor",
                        "write the value out",
                    ));
                };
                self.nodes += count(&target);
                self.add(target, 0)
            }
            Event::UnresolvedAlias(_) => {
                let node = self.node(Kind::List(Vec::new()), span);
                Err(wrong(
                    &node,
                    "this alias has no anchor",
                    "define the anchor before it",
                ))
            }
            _ => Ok(()),
        }
    }

    fn range(&self, span: Span) -> std::ops::Range<usize> {
        let range = span.byte_range().unwrap_or(0..0);
        range.start + self.offset..range.end + self.offset
    }

    fn node(&self, kind: Kind, span: Span) -> Node {
        Node {
            kind,
            bytes: self.range(span),
            line: clamp(span.start.line()),
            column: clamp(span.start.col() + 1),
        }
    }

    fn open(&mut self, kind: Kind, anchor: usize, span: Span) -> Result<(), YamlError> {
        let node = self.node(kind, span);
        if self.open.len() >= DEPTH_MAX {
            return Err(wrong(
                &node,
                "this is nested too deeply",
                "no Kubernetes object needs more than 100 levels",
            ));
        }
        self.open.push(Open {
            node,
            anchor,
            key: None,
        });
        Ok(())
    }

    fn add(&mut self, node: Node, anchor: usize) -> Result<(), YamlError> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(wrong(
                &node,
                "the file is too large",
                "split it; one file may have 500000 values, aliases counted",
            ));
        }
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(parent) = self.open.last_mut() else {
            self.anchors.clear();
            let empty = matches!(&node.kind, Kind::Scalar { text, plain: true, .. } if text.is_empty() || text == "~" || text == "null");
            if !empty {
                self.documents.push(node);
            }
            if self.documents.len() > DOCUMENTS_MAX {
                return Err(YamlError {
                    line: 1,
                    column: 1,
                    message: "too many documents".to_owned(),
                    help: "split the file".to_owned(),
                });
            }
            return Ok(());
        };
        match &mut parent.node.kind {
            Kind::List(items) => items.push(node),
            Kind::Map(entries) => match parent.key.take() {
                None => parent.key = Some(key(&node)?),
                Some(key) => {
                    if !key.merge
                        && let Some((first, _)) = entries.iter().find(|(other, _)| other.text == key.text)
                    {
                        return Err(YamlError {
                            line: key.line,
                            column: key.column,
                            message: format!(
                                "duplicate key `{}`; it is first on line {}",
                                key.text, first.line
                            ),
                            help: "keep one of the two".to_owned(),
                        });
                    }
                    entries.push((key, node));
                }
            },
            Kind::Scalar { .. } => {}
        }
        Ok(())
    }
}

fn key(node: &Node) -> Result<Key, YamlError> {
    match &node.kind {
        Kind::Scalar { text, plain, tag } => {
            let merge_key = *plain && text == "<<";
            // `on:` and `y:` are strings to every reader of JSON-bound YAML once they are keys; numbers are not.
            let number =
                *plain && tag.is_none() && (super::scalar::integer(text).is_some() || text.is_empty());
            if number && !merge_key {
                return Err(wrong(node, "a key must be a string", "put it in quotes"));
            }
            Ok(Key {
                text: text.clone(),
                line: node.line,
                column: node.column,
                start: node.bytes.start,
                merge: merge_key,
            })
        }
        Kind::List(_) | Kind::Map(_) => Err(wrong(
            node,
            "a key must be a string",
            "a list or mapping cannot be a key",
        )),
    }
}

fn core_tag(tag: Option<&Cow<Tag>>) -> Option<String> {
    let tag = tag?;
    let (handle, suffix) = tag.parts();
    let full = format!("{handle}{suffix}");
    full.strip_prefix("tag:yaml.org,2002:")
        .or_else(|| full.strip_prefix("!!"))
        .map(str::to_owned)
}

fn count(node: &Node) -> usize {
    match &node.kind {
        Kind::Scalar { .. } => 1,
        Kind::List(items) => 1 + items.iter().map(count).sum::<usize>(),
        Kind::Map(entries) => 1 + entries.iter().map(|(_, value)| count(value)).sum::<usize>(),
    }
}

/// Applies `<<`: keys that the mapping has itself win, then the first merged mapping.
fn merge(node: &mut Node) -> Result<(), YamlError> {
    let Kind::Map(entries) = &mut node.kind else {
        return Ok(());
    };
    if !entries.iter().any(|(key, _)| key.merge) {
        return Ok(());
    }
    let (merges, mut own): (Vec<_>, Vec<_>) = std::mem::take(entries)
        .into_iter()
        .partition(|(key, _)| key.merge);
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
                if !own.iter().any(|(other, _)| other.text == key.text) {
                    own.push((key, value));
                }
            }
        }
    }
    *entries = own;
    Ok(())
}

fn wrong(node: &Node, message: &str, help: &str) -> YamlError {
    YamlError {
        line: node.line,
        column: node.column,
        message: message.to_owned(),
        help: help.to_owned(),
    }
}
