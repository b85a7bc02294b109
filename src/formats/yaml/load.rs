//! Events of the parser → a tree with places.

use super::{Key, Kind, Node, YamlError};
use crate::model::secret::MASK;
use granit_parser::{Event, Parser, Placement, ScalarStyle, Span, Tag};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

/// Nodes of one file after aliases are expanded: a few megabytes of YAML, and an end to "billion laughs".
const NODES_MAX: usize = 200_000;

/// Nesting: real objects stay below 30.
const DEPTH_MAX: usize = 100;

/// Documents of one file.
const DOCUMENTS_MAX: usize = 10_000;

/// Bytes of text that anchors and aliases copy within one file: a megabyte that a hundred thousand aliases repeat must not
/// become a hundred gigabytes.
const COPIED_BYTES_MAX: usize = 8 << 20;

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
            key: None,
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

/// Mappings of fewer entries are searched for a key; larger ones keep a table, so that no mapping costs its square.
const SMALL: usize = 24;

#[derive(Default)]
struct Builder {
    documents: Vec<Node>,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    /// Bytes that anchors and aliases copied.
    copied: usize,
    offset: usize,
    /// Comments, with their columns, that wait for the entry or item which they stand before.
    comments: Vec<(u32, String)>,
}

struct Open {
    node: Node,
    anchor: usize,
    key: Option<Key>,
    /// The line of every key so far, in a large mapping.
    lines: HashMap<String, u32>,
    /// Comments of the entry or item that is being read.
    comments: Vec<String>,
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
                // What stands behind the last entry, as deep as it, is not said of what follows outside.
                self.comments.retain(|(column, _)| *column < done.node.column);
                self.add(done.node, done.anchor)
            }
            Event::Alias(anchor) => {
                let node = self.node(Kind::List(Vec::new()), span);
                let Some(target) = self.anchors.get(&anchor) else {
                    return Err(wrong(
                        &node,
                        "this alias is used inside of its own anchor",
                        "write the value out",
                    ));
                };
                let (values, bytes) = weight(target);
                self.nodes += values;
                self.copied += bytes;
                self.check_copies(&node)?;
                let Some(target) = self.anchors.get(&anchor).cloned() else {
                    return Ok(());
                };
                if self.open.len() + depth(&target) > DEPTH_MAX {
                    return Err(too_deep(&node));
                }
                self.add(target, 0)
            }
            Event::Comment(text, placement) => {
                self.comment(&text, placement, span);
                Ok(())
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

    /// A comment on a value's line belongs to that value, any other to what follows.
    fn comment(&mut self, text: &str, placement: Placement, span: Span) {
        let line = clamp(span.start.line());
        let last = match self.open.last_mut() {
            Some(Open { node, key: None, .. }) => match &mut node.kind {
                Kind::List(items) => items.last_mut(),
                Kind::Map(entries) => entries.last_mut().map(|(_, value)| value),
                Kind::Scalar { .. } => None,
            },
            _ => None,
        };
        match last {
            Some(value) if placement == Placement::Right && value.line == line => {
                value.comments.push(text.to_owned());
            }
            _ => self.comments.push((clamp(span.start.col() + 1), text.to_owned())),
        }
    }

    fn waiting(&mut self) -> Vec<String> {
        std::mem::take(&mut self.comments)
            .into_iter()
            .map(|(_, text)| text)
            .collect()
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
            comments: Vec::new(),
        }
    }

    fn open(&mut self, kind: Kind, anchor: usize, span: Span) -> Result<(), YamlError> {
        let node = self.node(kind, span);
        if self.open.len() >= DEPTH_MAX {
            return Err(too_deep(&node));
        }
        // The comments before a list's item stay with the item; the first entry inside gets those that come after.
        let waiting = match self.open.last() {
            Some(parent) if matches!(parent.node.kind, Kind::List(_)) => self.waiting(),
            _ => Vec::new(),
        };
        if let Some(parent) = self.open.last_mut()
            && !waiting.is_empty()
        {
            parent.comments = waiting;
        }
        self.open.push(Open {
            node,
            anchor,
            key: None,
            lines: HashMap::new(),
            comments: Vec::new(),
        });
        Ok(())
    }

    /// Refuses a file that is, or becomes by its aliases, too large.
    fn check_copies(&self, node: &Node) -> Result<(), YamlError> {
        let what = if self.nodes > NODES_MAX {
            format!("the file has more than {NODES_MAX} values, aliases counted")
        } else if self.copied > COPIED_BYTES_MAX {
            format!("anchors and aliases copy more than {COPIED_BYTES_MAX} bytes")
        } else {
            return Ok(());
        };
        Err(wrong(node, &what, "split it"))
    }

    fn add(&mut self, node: Node, anchor: usize) -> Result<(), YamlError> {
        self.nodes += 1;
        self.check_copies(&node)?;
        if anchor > 0 {
            // The anchor keeps a copy, which counts like one.
            let (values, bytes) = weight(&node);
            self.nodes += values;
            self.copied += bytes;
            self.check_copies(&node)?;
            self.anchors.insert(anchor, node.clone());
        }
        let in_mapping = |open: &Open| matches!(open.node.kind, Kind::Map(_));
        let takes = match self.open.last() {
            Some(parent) if in_mapping(parent) => parent.key.is_none(),
            Some(_) => matches!(node.kind, Kind::Scalar { .. }),
            None => true,
        };
        let mut waiting = if takes { self.waiting() } else { Vec::new() };
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
                    message: format!("the file has more than {DOCUMENTS_MAX} documents"),
                    help: "split the file".to_owned(),
                    key: None,
                });
            }
            return Ok(());
        };
        let mut node = node;
        match &mut parent.node.kind {
            Kind::List(items) => {
                node.comments = std::mem::take(&mut parent.comments);
                node.comments.append(&mut waiting);
                items.push(node);
            }
            Kind::Map(entries) => match parent.key.take() {
                None => {
                    parent.key = Some(key(&node)?);
                    parent.comments = waiting;
                }
                Some(key) => {
                    if key.merge && !entries.is_empty() {
                        overridden(entries, &node)?;
                    }
                    let first = if key.merge {
                        None
                    } else if entries.len() < SMALL {
                        entries
                            .iter()
                            .find(|(other, _)| !other.merge && other.text == key.text)
                            .map(|(other, _)| other.line)
                    } else {
                        if parent.lines.is_empty() {
                            let known = entries.iter().filter(|(other, _)| !other.merge);
                            parent
                                .lines
                                .extend(known.map(|(other, _)| (other.text.clone(), other.line)));
                        }
                        parent.lines.insert(key.text.clone(), key.line)
                    };
                    if let Some(first) = first {
                        return Err(YamlError {
                            line: key.line,
                            column: key.column,
                            message: format!("duplicate key {MASK}; it is first on line {first}"),
                            help: "keep one of the two".to_owned(),
                            key: Some(key.text),
                        });
                    }
                    node.comments = std::mem::take(&mut parent.comments);
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
            // kubectl makes "true" of `y:` and "1" of `1:`; whoever wrote them meant what is written.
            let plain = *plain && tag.is_none();
            if plain
                && !matches!(
                    super::scalar::resolve(text, true, None),
                    Some(serde_json::Value::String(_))
                )
            {
                return Err(wrong(node, "a key must be a string", "put it in quotes"));
            }
            let text = match tag.as_deref() {
                None | Some("str") => text.clone(),
                tag => match super::scalar::resolve(text, false, tag) {
                    Some(serde_json::Value::String(text)) => text,
                    _ => {
                        return Err(wrong(
                            node,
                            "a key must be a string",
                            "put it in quotes, without a tag",
                        ));
                    }
                },
            };
            Ok(Key {
                text,
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
        .or((full != "!").then_some(super::scalar::OWN_TAG))
        .map(str::to_owned)
}

/// Values and bytes of text of a value.
fn weight(node: &Node) -> (usize, usize) {
    let sum =
        |(values, bytes): (usize, usize), (more, longer): (usize, usize)| (values + more, bytes + longer);
    let comments: usize = node.comments.iter().map(String::len).sum();
    match &node.kind {
        Kind::Scalar { text, .. } => (1, text.len() + comments),
        Kind::List(items) => items.iter().map(weight).fold((1, comments), sum),
        Kind::Map(entries) => entries
            .iter()
            .map(|(key, value)| sum(weight(value), (0, key.text.len())))
            .fold((1, comments), sum),
    }
}

/// Levels of a value: aliases of aliases must not build what could not be written.
fn depth(node: &Node) -> usize {
    match &node.kind {
        Kind::Scalar { .. } => 1,
        Kind::List(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Kind::Map(entries) => 1 + entries.iter().map(|(_, value)| depth(value)).max().unwrap_or(0),
    }
}

fn too_deep(node: &Node) -> YamlError {
    wrong(
        node,
        &format!("this has more than {DEPTH_MAX} levels"),
        "no Kubernetes object needs so many",
    )
}

/// Refuses a `<<` that brings a key which stands before it: kubectl takes the merged value, kustomize the other one.
fn overridden(before: &[(Key, Node)], merged: &Node) -> Result<(), YamlError> {
    let sources = match &merged.kind {
        Kind::List(items) => items.as_slice(),
        Kind::Map(_) | Kind::Scalar { .. } => std::slice::from_ref(merged),
    };
    for source in sources {
        let Kind::Map(entries) = &source.kind else {
            continue;
        };
        let known = |(key, _): &&(Key, Node)| before.iter().any(|(own, _)| own.text == key.text);
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
    // Not searched one by one: a merge of many keys would cost their square.
    let mut known: HashSet<String> = own.iter().map(|(key, _)| key.text.clone()).collect();
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
                if known.insert(key.text.clone()) {
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
        key: None,
    }
}
