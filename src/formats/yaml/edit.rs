//! Changes to a text that keep all other bytes: comments, quotes, order and layout survive.

use super::emit::{double_quoted, emit, quote};
use super::{Key, Kind, Node, load, unescape};
use serde_json::{Map, Value};

/// Why a text could not be changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The text is not YAML.
    #[error("the file is not YAML: {0}")]
    Unreadable(#[from] super::YamlError),
    /// The path leads nowhere.
    #[error("there is no {0} to be changed")]
    NotFound(String),
    /// The change would change something else too.
    #[error("changing {0} would change something else too; edit the file by hand")]
    NotIsolated(String),
}

/// Sets the value at a JSON pointer in one document, and checks by reading the result that nothing else has changed.
/// What is missing of the path is added: a key to its mapping, or with a last part `-` an item to its list.
///
/// # Errors
/// [`EditError`]; the text is then as it was.
pub fn set(text: &str, document: usize, pointer: &str, value: &Value) -> Result<String, EditError> {
    let missing = || EditError::NotFound(pointer.to_owned());
    let before = load(text)?;
    let root = before.get(document).ok_or_else(missing)?;
    if let Some(node) = root.pointer(pointer) {
        if node.to_json()? == *value {
            return Ok(text.to_owned());
        }
        let mut wanted = root.to_json()?;
        *wanted.pointer_mut(pointer).ok_or_else(missing)? = value.clone();
        return checked(&before, document, pointer, &wanted, replace(text, node, value));
    }
    let (parent, rest) = nearest(root, pointer).ok_or_else(missing)?;
    let (key, value) = nested(rest, value);
    let node = root.pointer(parent).ok_or_else(missing)?;
    let changed = match &node.kind {
        Kind::Map(entries) => add_key(text, node, entries, &key, &value),
        Kind::List(items) if key == "-" => add_item(text, node, items, &value),
        Kind::Scalar { .. } if node.to_json()?.is_null() => Some(replace(text, node, &object(&key, &value))),
        Kind::List(_) | Kind::Scalar { .. } => None,
    };
    let mut wanted = root.to_json()?;
    match wanted.pointer_mut(parent).ok_or_else(missing)? {
        Value::Object(entries) => drop(entries.insert(key, value)),
        Value::Array(items) => items.push(value),
        other => *other = object(&key, &value),
    }
    checked(&before, document, pointer, &wanted, changed.ok_or_else(missing)?)
}

/// Takes the entry or item at a JSON pointer out of one document, with the lines that it stands on.
///
/// # Errors
/// [`EditError`]; the text is then as it was.
pub fn remove(text: &str, document: usize, pointer: &str) -> Result<String, EditError> {
    let missing = || EditError::NotFound(pointer.to_owned());
    let before = load(text)?;
    let root = before.get(document).ok_or_else(missing)?;
    let (parent, last) = pointer.rsplit_once('/').ok_or_else(missing)?;
    let (last, node) = (unescape(last), root.pointer(parent).ok_or_else(missing)?);
    // Where each entry starts and ends.
    let spans: Vec<(usize, usize)> = match &node.kind {
        Kind::Map(entries) => entries
            .iter()
            .map(|(key, value)| (key.start as usize, end(text, value)))
            .collect(),
        Kind::List(items) => items
            .iter()
            .map(|item| (item.bytes().start, end(text, item)))
            .collect(),
        Kind::Scalar { .. } => return Err(missing()),
    };
    let index = match &node.kind {
        Kind::Map(entries) => entries.iter().position(|(key, _)| key.text == last),
        Kind::List(_) | Kind::Scalar { .. } => last.parse().ok(),
    };
    let index = index.filter(|index| *index < spans.len()).ok_or_else(missing)?;
    let (mut start, mut stop) = spans[index];
    let flow = text[node.bytes().start..].starts_with(['{', '[']);
    if flow && let Some((next, _)) = spans.get(index + 1) {
        stop = *next;
    } else if flow && index > 0 {
        start = spans[index - 1].1;
    } else if !flow {
        let line = text[..start].rfind('\n').map_or(0, |at| at + 1);
        if text[line..start].chars().all(|c| c == ' ' || c == '-') {
            start = line;
            stop = text[stop..].find('\n').map_or(text.len(), |at| stop + at + 1);
        }
    }
    let changed = if spans.len() == 1 {
        let empty = if matches!(node.kind, Kind::Map(_)) {
            Value::Object(Map::new())
        } else {
            Value::Array(Vec::new())
        };
        replace(text, node, &empty)
    } else {
        format!("{}{}", &text[..start], text.get(stop..).unwrap_or_default())
    };
    let mut wanted = root.to_json()?;
    match wanted.pointer_mut(parent).ok_or_else(missing)? {
        Value::Object(entries) => drop(entries.remove(&last)),
        Value::Array(items) => drop(items.remove(index)),
        _ => return Err(missing()),
    }
    checked(&before, document, pointer, &wanted, changed)
}

/// Gives the text out only if reading it again shows the wanted document, and the others as they were.
fn checked(
    before: &[Node],
    document: usize,
    pointer: &str,
    wanted: &Value,
    changed: String,
) -> Result<String, EditError> {
    let apart = || EditError::NotIsolated(pointer.to_owned());
    let after = load(&changed).map_err(|_| apart())?;
    let same = after.len() == before.len()
        && before.iter().zip(&after).enumerate().all(|(index, (old, new))| {
            let new = new.to_json().ok();
            if index == document {
                new.as_ref() == Some(wanted)
            } else {
                old.to_json().ok() == new
            }
        });
    same.then_some(changed).ok_or_else(apart)
}

/// The longest part of a pointer that leads somewhere, and what follows it.
fn nearest<'a>(root: &Node, pointer: &'a str) -> Option<(&'a str, &'a str)> {
    let mut parent = pointer;
    loop {
        parent = &parent[..parent.rfind('/')?];
        if root.pointer(parent).is_some() {
            return Some((parent, &pointer[parent.len() + 1..]));
        }
    }
}

/// The first part of a path, and the value with the other parts around it.
fn nested(rest: &str, value: &Value) -> (String, Value) {
    match rest.split_once('/') {
        None => (unescape(rest), value.clone()),
        Some((first, rest)) => {
            let (key, value) = nested(rest, value);
            (unescape(first), object(&key, &value))
        }
    }
}

fn object(key: &str, value: &Value) -> Value {
    Value::Object(Map::from_iter([(key.to_owned(), value.clone())]))
}

/// Where a value ends, without the blanks behind it.
fn end(text: &str, node: &Node) -> usize {
    node.bytes().start + text.get(node.bytes()).unwrap_or_default().trim_end().len()
}

fn replace(text: &str, node: &Node, value: &Value) -> String {
    let end = node.bytes().start + text[node.bytes()].trim_end().len();
    let old = &text[node.bytes().start..end];
    let new = match value {
        Value::String(string) if old.starts_with('"') => {
            let mut quoted = String::new();
            double_quoted(string, &mut quoted);
            quoted
        }
        Value::String(string) if old.starts_with('\'') && !string.contains(char::is_control) => {
            format!("'{}'", string.replace('\'', "''"))
        }
        Value::String(string) => quote(string),
        other => other.to_string(),
    };
    if old.is_empty() {
        // The place of a value that is not there is that of its colon.
        let colon = usize::from(text[end..].starts_with(':'));
        let (before, after) = text.split_at(end + colon);
        return format!("{before} {new}{after}");
    }
    let start = match &node.kind {
        // A block scalar's place is that of its first line; its mark stands before.
        Kind::Scalar { plain: false, .. } if !old.starts_with(['"', '\'']) => text[..node.bytes().start]
            .rfind(['|', '>'])
            .unwrap_or(node.bytes().start),
        _ => node.bytes().start,
    };
    format!("{}{new}{}", &text[..start], &text[end..])
}

fn add_key(text: &str, node: &Node, entries: &[(Key, Node)], key: &str, value: &Value) -> Option<String> {
    if text[node.bytes().start..].starts_with('{') {
        let entry = format!("{}: {value}", quote(key));
        return add_flow(text, node, entries.last().map(|(_, value)| value), &entry);
    }
    let (first, _) = entries.first()?;
    let (_, last) = entries.last()?;
    Some(add_lines(
        text,
        first.column,
        end(text, last),
        &emit(&object(key, value)),
    ))
}

fn add_item(text: &str, node: &Node, items: &[Node], value: &Value) -> Option<String> {
    if text[node.bytes().start..].starts_with('[') {
        return add_flow(text, node, items.last(), &value.to_string());
    }
    let last = items.last()?;
    let dash = text[..last.bytes().start].rfind('-')?;
    let line = text[..dash].rfind('\n').map_or(0, |at| at + 1);
    let column = u32::try_from(dash - line + 1).ok()?;
    let item = emit(&Value::Array(vec![value.clone()]));
    Some(add_lines(text, column, end(text, last), &item))
}

/// Within brackets, behind the last one or right before the closing bracket.
fn add_flow(text: &str, node: &Node, last: Option<&Node>, entry: &str) -> Option<String> {
    let (at, comma) = match last {
        Some(last) => (end(text, last), ", "),
        None => (end(text, node).checked_sub(1)?, ""),
    };
    Some(format!("{}{comma}{entry}{}", text.get(..at)?, text.get(at..)?))
}

/// Below the line on which something ends, with the line ends that the text has there.
fn add_lines(text: &str, column: u32, after: usize, lines: &str) -> String {
    let indent = " ".repeat(column as usize - 1);
    let at = text[after..]
        .find('\n')
        .map_or(text.len(), |offset| after + offset);
    let at = if text[..at].ends_with('\r') { at - 1 } else { at };
    let newline = if text[at..].starts_with('\r') {
        "\r\n"
    } else {
        "\n"
    };
    let mut added = String::new();
    for line in lines.trim_end().lines() {
        added.push_str(newline);
        if !line.is_empty() {
            added.push_str(&indent);
            added.push_str(line);
        }
    }
    format!("{}{added}{}", &text[..at], &text[at..])
}
