//! Events of the parser → a tree with places.

use super::keys::{Keys, Secret};
use super::merge::{merge, overridden};
use super::{Key, Kind, Node, Tag, YamlError, scalar, shape};
use crate::model::secret::MASK;
use granit_parser::{
    Event, Options, Parser, Placement, ScalarStyle, ScanError, Span, TryLoadError, TrySpannedEventReceiver,
};
use std::collections::HashMap;

/// Values of one file, keys and what aliases copy counted, and an end to "billion laughs". The parser alone takes 0.3 µs for each.
/// The largest real file that we know, all definitions of prometheus-operator 0.93 in 4.5 MB, has 91,557.
const NODES_MAX: usize = 95_000;

/// Lists and mappings among them: each takes the parser as long as two texts. That file has 16,944.
const COLLECTIONS_MAX: usize = 20_000;

/// Nesting: real objects stay below 30.
const DEPTH_MAX: usize = 100;

/// Documents of one file, empty ones counted.
const DOCUMENTS_MAX: usize = 10_000;

/// Anchors of one file: a name and a copy of the value are kept of each, and people write a handful.
const ANCHORS_MAX: usize = 10_000;

/// Comments of one file, where they are read: each costs as much as a value.
const COMMENTS_MAX: usize = 20_000;

/// Bytes of text that anchors and aliases copy within one file: a megabyte that a hundred thousand aliases repeat must not
/// become a hundred gigabytes.
const COPIED_BYTES_MAX: usize = 8 << 20;

/// Reads a text of any number of documents; empty ones are left out, and so are comments.
///
/// # Errors
/// The first thing that is wrong.
pub fn load(text: &str) -> Result<Vec<Node>, YamlError> {
    read(text, false)
}

/// Reads a text with its comments, which costs more.
///
/// # Errors
/// The first thing that is wrong.
pub fn load_commented(text: &str) -> Result<Vec<Node>, YamlError> {
    read(text, true)
}

fn read(text: &str, comments: bool) -> Result<Vec<Node>, YamlError> {
    let bom = '\u{feff}'.len_utf8();
    let (body, offset) = match text.strip_prefix('\u{feff}') {
        Some(rest) => (rest, bom),
        None => (text, 0),
    };
    shape::check(body)?;
    let mut builder = Builder {
        offset,
        unended: (!body.ends_with(['\n', '\r'])).then_some(body.len()),
        ..Builder::default()
    };
    let mut options = Options::default();
    options.set_emit_comments(comments);
    // The events are handed over one by one: an iterator's would be copied once more, and each takes 256 bytes.
    match Parser::new_from_str_with_options(body, options).try_load(&mut builder, true) {
        Ok(()) => Ok(builder.documents),
        Err(TryLoadError::Receiver(wrong)) => Err(wrong),
        Err(TryLoadError::Scan(error)) => Err(not_yaml(&error)),
    }
}

fn not_yaml(error: &ScanError) -> YamlError {
    YamlError {
        line: clamp(error.marker().line()),
        column: clamp(error.marker().col() + 1),
        message: "this is not YAML here".to_owned(),
        help: parser_help(&error.info()),
        key: None,
    }
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
    /// Lists and mappings among them.
    collections: usize,
    /// Documents so far, empty ones counted.
    started: usize,
    anchored: usize,
    commented: usize,
    /// Bytes that anchors and aliases copied.
    copied: usize,
    offset: usize,
    /// Where the text ends, if its last line does not.
    unended: Option<usize>,
    /// Comments, with their columns, that wait for the entry or item which they stand before.
    comments: Vec<(u32, String)>,
    secret: Secret,
}

struct Open {
    node: Node,
    anchor: usize,
    key: Option<Key>,
    keys: Keys,
    /// Comments of the entry or item that is being read.
    comments: Vec<String>,
}

/// Adds to a list; the longest do not double, which would take room for values that the file may not have.
fn push<T>(list: &mut Vec<T>, item: T) {
    const LONG: usize = 1 << 15;
    if list.len() == list.capacity() && list.len() >= LONG {
        list.reserve_exact((list.len() / 2).min(NODES_MAX.saturating_sub(list.len()) + 1));
    }
    list.push(item);
}

impl<'input> TrySpannedEventReceiver<'input> for Builder {
    type Error = YamlError;

    fn on_event(&mut self, event: Event<'input>, span: Span) -> Result<(), YamlError> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let mut text = text.into_owned();
                // A block has the line break that the text has: none at its end, whatever the parser adds there.
                let block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
                if block
                    && self
                        .unended
                        .is_some_and(|end| span.byte_range().is_some_and(|range| range.end >= end))
                    && text.ends_with('\n')
                {
                    text.pop();
                }
                let kind = Kind::Scalar {
                    text,
                    plain: style == ScalarStyle::Plain,
                    tag: tag.as_ref().and_then(|tag| meant(tag)),
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
                done.node.end = self.range(span).1.max(done.node.start);
                merge(&mut done.node, &self.secret)?;
                // What stands behind the last entry, as deep as it, is not said of what follows outside.
                self.comments.retain(|(column, _)| *column < done.node.column);
                self.add(done.node, done.anchor)
            }
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::Comment(text, placement) => self.comment(&text, placement, span),
            Event::UnresolvedAlias(_) => {
                let node = self.node(Kind::List(Vec::new()), span);
                Err(wrong(
                    &node,
                    "this alias has no anchor",
                    "define the anchor before it",
                ))
            }
            Event::DocumentStart(..) => self.document(),
            _ => Ok(()),
        }
    }
}

impl Builder {
    fn document(&mut self) -> Result<(), YamlError> {
        self.started += 1;
        if self.started <= DOCUMENTS_MAX {
            return Ok(());
        }
        Err(YamlError {
            line: 1,
            column: 1,
            message: format!("the file has more than {DOCUMENTS_MAX} documents"),
            help: "split the file".to_owned(),
            key: None,
        })
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), YamlError> {
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

    /// A comment on a value's line belongs to that value, any other to what follows.
    fn comment(&mut self, text: &str, placement: Placement, span: Span) -> Result<(), YamlError> {
        self.commented += 1;
        if self.commented > COMMENTS_MAX {
            let node = self.node(Kind::List(Vec::new()), span);
            return Err(wrong(
                &node,
                &format!("the file has more than {COMMENTS_MAX} comments, and a rule that looks at each"),
                "split it, or use a rule that looks at keys",
            ));
        }
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
                value.comments.get_or_insert_default().push(text.to_owned());
            }
            _ => self.comments.push((clamp(span.start.col() + 1), text.to_owned())),
        }
        Ok(())
    }

    fn waiting(&mut self) -> Vec<String> {
        if self.comments.is_empty() {
            return Vec::new();
        }
        std::mem::take(&mut self.comments)
            .into_iter()
            .map(|(_, text)| text)
            .collect()
    }

    fn range(&self, span: Span) -> (u32, u32) {
        let range = span.byte_range().unwrap_or(0..0);
        (clamp(range.start + self.offset), clamp(range.end + self.offset))
    }

    fn node(&self, kind: Kind, span: Span) -> Node {
        let (start, end) = self.range(span);
        Node {
            kind,
            start,
            end,
            line: clamp(span.start.line()),
            column: clamp(span.start.col() + 1),
            comments: None,
        }
    }

    fn open(&mut self, kind: Kind, anchor: usize, span: Span) -> Result<(), YamlError> {
        let node = self.node(kind, span);
        self.collections += 1;
        if self.collections > COLLECTIONS_MAX {
            let what = format!("the file has more than {COLLECTIONS_MAX} lists and mappings");
            return Err(wrong(&node, &what, "split it"));
        }
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
            keys: Keys::default(),
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
        } else if self.anchored > ANCHORS_MAX {
            format!("the file has more than {ANCHORS_MAX} anchors")
        } else {
            return Ok(());
        };
        Err(wrong(node, &what, "split it"))
    }

    fn add(&mut self, mut node: Node, anchor: usize) -> Result<(), YamlError> {
        self.nodes += 1;
        self.check_copies(&node)?;
        if anchor > 0 {
            // The anchor keeps a copy, which counts like one.
            let (values, bytes) = weight(&node);
            self.nodes += values;
            self.copied += bytes;
            self.anchored += 1;
            self.check_copies(&node)?;
            self.anchors.insert(anchor, node.clone());
        }
        let takes = match self.open.last() {
            _ if self.comments.is_empty() => false,
            Some(parent) if matches!(parent.node.kind, Kind::Map(_)) => parent.key.is_none(),
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
            return Ok(());
        };
        let mut commented = std::mem::take(&mut parent.comments);
        match &mut parent.node.kind {
            Kind::List(items) => {
                commented.append(&mut waiting);
                node.say(commented);
                push(items, node);
            }
            Kind::Map(entries) => match parent.key.take() {
                None => {
                    parent.key = Some(key(node)?);
                    parent.comments = waiting;
                }
                Some(key) => {
                    if key.merge {
                        overridden(entries, &node, &mut parent.keys, &self.secret)?;
                    } else if let Some(first) = parent.keys.keep(&self.secret, &key.text, entries) {
                        return Err(duplicate(key, first));
                    }
                    node.say(commented);
                    push(entries, (key, node));
                }
            },
            Kind::Scalar { .. } => {}
        }
        Ok(())
    }
}

impl Node {
    fn say(&mut self, comments: Vec<String>) {
        // Those of an alias are not those of its anchor.
        self.comments = (!comments.is_empty()).then(|| Box::new(comments));
    }
}

fn duplicate(key: Key, first: u32) -> YamlError {
    YamlError {
        line: key.line,
        column: key.column,
        message: format!("duplicate key {MASK}; it is first on line {first}"),
        help: "keep one of the two".to_owned(),
        key: Some(key.text),
    }
}

fn key(node: Node) -> Result<Key, YamlError> {
    let refuse = |node: &Node, help: &str| Err(wrong(node, "a key must be a string", help));
    let (line, column, start) = (node.line, node.column, node.start);
    let Kind::Scalar { text, plain, tag } = &node.kind else {
        return refuse(&node, "a list or mapping cannot be a key");
    };
    let merge = *plain && text == "<<";
    // kubectl makes "true" of `y:` and "1" of `1:`; whoever wrote them meant what is written.
    if *plain && tag.is_none() && !scalar::is_text(text) {
        let read = match scalar::resolve(text, true, None) {
            Some(serde_json::Value::Bool(true)) => "true",
            Some(serde_json::Value::Bool(false)) => "false",
            Some(serde_json::Value::Null) => "nothing",
            _ => "a number",
        };
        return Err(YamlError {
            line,
            column,
            message: format!("a key must be a string, and YAML reads {MASK} as {read}"),
            help: "put it in quotes".to_owned(),
            key: Some(text.clone()),
        });
    }
    let other = match tag {
        None | Some(Tag::Str) => None,
        Some(tag) => match scalar::resolve(text, false, Some(tag.name())) {
            Some(serde_json::Value::String(text)) => Some(text),
            _ => return refuse(&node, "put it in quotes, without a tag"),
        },
    };
    let text = match (other, node.kind) {
        (Some(other), _) => other,
        (None, Kind::Scalar { text, .. }) => text,
        (None, _) => String::new(),
    };
    Ok(Key {
        text,
        line,
        column,
        start,
        merge,
    })
}

/// What a tag means; `!` alone means nothing.
fn meant(tag: &granit_parser::Tag) -> Option<Tag> {
    let (handle, suffix) = tag.parts();
    let full = format!("{handle}{suffix}");
    full.strip_prefix("tag:yaml.org,2002:")
        .or_else(|| full.strip_prefix("!!"))
        .map(Tag::core)
        .or((full != "!").then_some(Tag::Own))
}

/// Values and bytes of text of a value.
fn weight(node: &Node) -> (usize, usize) {
    let sum =
        |(values, bytes): (usize, usize), (more, longer): (usize, usize)| (values + more, bytes + longer);
    let comments: usize = node.comments().iter().map(String::len).sum();
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

pub(super) fn wrong(node: &Node, message: &str, help: &str) -> YamlError {
    YamlError {
        line: node.line,
        column: node.column,
        message: message.to_owned(),
        help: help.to_owned(),
        key: None,
    }
}
