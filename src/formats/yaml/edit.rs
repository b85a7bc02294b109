//! Changes to a text that keep all other bytes: comments, quotes, order and layout survive.

use super::emit::{double_quoted, emit, quote};
use super::{Kind, Node, load};
use serde_json::Value;

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

/// Sets the value at a JSON pointer in one document, adding the key to its mapping when it is missing, and checks by
/// reading the result that nothing else has changed.
///
/// # Errors
/// [`EditError`]; the text is then as it was.
pub fn set(text: &str, document: usize, pointer: &str, value: &Value) -> Result<String, EditError> {
    let before = load(text)?;
    let root = before
        .get(document)
        .ok_or_else(|| EditError::NotFound(pointer.to_owned()))?;
    let mut wanted = root.to_json()?;
    let changed = match root.pointer(pointer) {
        Some(node) if node.to_json()? == *value => return Ok(text.to_owned()),
        Some(node) => replace(text, node, value),
        None => add(text, root, pointer, value).ok_or_else(|| EditError::NotFound(pointer.to_owned()))?,
    };
    put(&mut wanted, pointer, value.clone());
    let after = load(&changed).map_err(|_| EditError::NotIsolated(pointer.to_owned()))?;
    let others_same = after.len() == before.len()
        && before.iter().zip(&after).enumerate().all(|(index, (old, new))| {
            let new = new.to_json().ok();
            if index == document {
                new.as_ref() == Some(&wanted)
            } else {
                old.to_json().ok() == new
            }
        });
    if others_same {
        Ok(changed)
    } else {
        Err(EditError::NotIsolated(pointer.to_owned()))
    }
}

fn put(root: &mut Value, pointer: &str, value: Value) {
    if let Some(place) = root.pointer_mut(pointer) {
        *place = value;
    } else if let Some((parent, key)) = pointer.rsplit_once('/')
        && let Some(Value::Object(parent)) = root.pointer_mut(parent)
    {
        parent.insert(key.replace("~1", "/").replace("~0", "~"), value);
    }
}

fn replace(text: &str, node: &Node, value: &Value) -> String {
    let end = node.bytes.start + text[node.bytes.clone()].trim_end().len();
    let old = &text[node.bytes.start..end];
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
    format!("{}{new}{}", &text[..node.bytes.start], &text[end..])
}

fn add(text: &str, root: &Node, pointer: &str, value: &Value) -> Option<String> {
    let (parent, key) = pointer.rsplit_once('/')?;
    let Kind::Map(entries) = &root.pointer(parent)?.kind else {
        return None;
    };
    let (first, _) = entries.first()?;
    let (_, last) = entries.last()?;
    let indent = " ".repeat(first.column as usize - 1);
    let value_end = last.bytes.start + text.get(last.bytes.clone())?.trim_end().len();
    let line_end = text[value_end..]
        .find('\n')
        .map_or(text.len(), |offset| value_end + offset);
    let mut entry = serde_json::Map::new();
    entry.insert(key.replace("~1", "/").replace("~0", "~"), value.clone());
    let lines: Vec<String> = emit(&Value::Object(entry))
        .trim_end()
        .lines()
        .map(|line| format!("{indent}{line}"))
        .collect();
    Some(format!(
        "{}\n{}{}",
        &text[..line_end],
        lines.join("\n"),
        &text[line_end..]
    ))
}
