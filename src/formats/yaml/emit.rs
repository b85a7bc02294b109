//! A value → block YAML that kubectl reads back as the same value. The same value gives the same text.

use super::scalar;
use crate::model::diagnostic::hidden;
use serde_json::Value;

/// Writes a value as one document.
pub fn emit(value: &Value) -> String {
    let mut text = String::new();
    write(value, 0, &mut text);
    text
}

fn write(value: &Value, indent: usize, text: &mut String) {
    match value {
        Value::Object(entries) if !entries.is_empty() => {
            for (index, (key, value)) in ordered(entries).into_iter().enumerate() {
                if index > 0 {
                    text.push_str(&" ".repeat(indent));
                }
                text.push_str(&quote(key));
                text.push(':');
                write_value(value, indent, text);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push_str(&" ".repeat(indent));
                }
                text.push_str("- ");
                write(item, indent + 2, text);
            }
        }
        _ => {
            text.push_str(&inline(value, indent));
            text.push('\n');
        }
    }
}

fn write_value(value: &Value, indent: usize, text: &mut String) {
    match value {
        Value::Object(entries) if !entries.is_empty() => {
            text.push('\n');
            text.push_str(&" ".repeat(indent + 2));
            write(value, indent + 2, text);
        }
        Value::Array(items) if !items.is_empty() => {
            text.push('\n');
            text.push_str(&" ".repeat(indent + 2));
            write(value, indent + 2, text);
        }
        _ => {
            text.push(' ');
            text.push_str(&inline(value, indent));
            text.push('\n');
        }
    }
}

/// apiVersion, kind and metadata first, and a name before all else: the order in which people write objects.
fn ordered(entries: &serde_json::Map<String, Value>) -> Vec<(&String, &Value)> {
    let rank = |key: &str| match key {
        "apiVersion" => 0,
        "kind" => 1,
        "metadata" => 2,
        "name" => 3,
        "namespace" => 4,
        _ => 5,
    };
    let mut all: Vec<_> = entries.iter().collect();
    all.sort_by_key(|(key, _)| (rank(key), *key));
    all
}

fn inline(value: &Value, indent: usize) -> String {
    match value {
        Value::String(text) if block(text) => {
            let pad = " ".repeat(indent + 2);
            let chomp = if text.ends_with('\n') { "" } else { "-" };
            let body: Vec<String> = text
                .trim_end_matches('\n')
                .split('\n')
                .map(|line| {
                    if line.is_empty() {
                        String::new()
                    } else {
                        format!("{pad}{line}")
                    }
                })
                .collect();
            format!("|{chomp}\n{}", body.join("\n"))
        }
        Value::String(text) => quote(text),
        other => other.to_string(),
    }
}

/// Whether a text can stand as a literal block without an indentation mark and with plain chomping.
fn block(text: &str) -> bool {
    let body = text.strip_suffix('\n').unwrap_or(text);
    body.contains('\n')
        && !body.ends_with('\n')
        && !body.starts_with([' ', '\n', '\t'])
        && body.chars().all(|c| c == '\n' || c == '\t' || !hidden(c))
        && !body.contains([
            '\u{85}', '\u{2028}', '\u{2029}', '\u{feff}', '\u{fffe}', '\u{ffff}',
        ])
}

/// A string as a scalar that every reader of YAML 1.1 and 1.2 reads back as this string.
pub fn quote(text: &str) -> String {
    let safe = text
        .chars()
        .next()
        .is_some_and(|first| first.is_ascii_alphanumeric() || first == '/' || first == '.')
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_./@+-:%=^~ ".contains(c))
        && !text.contains(": ")
        && !text.ends_with([':', ' '])
        && !text.contains(" #")
        && matches!(scalar::resolve(text, true, None), Some(Value::String(_)))
        && !looks_like_another_type(text);
    if safe {
        text.to_owned()
    } else {
        let mut quoted = String::new();
        double_quoted(text, &mut quoted);
        marked(quoted)
    }
}

/// A text between double quotes, YAML or JSON, whose letters that would turn a terminal's text around, or move its cursor, are escaped:
/// it reads as the same.
pub fn marked(text: String) -> String {
    let odd = |letter: char| hidden(letter) && !matches!(letter, '\n' | '\r' | '\t');
    if !text.contains(odd) {
        return text;
    }
    let escape = |letter: char| match odd(letter) {
        true => format!("\\u{:04x}", u32::from(letter)),
        false => letter.to_string(),
    };
    text.chars().map(escape).collect()
}

/// Writes a string on one line between double quotes, as YAML 1.1, YAML 1.2 and JSON read it alike. One character takes
/// at most six times its bytes, so that a caller can reserve.
pub fn double_quoted(text: &str, to: &mut String) {
    to.push('"');
    for c in text.chars() {
        match c {
            '"' => to.push_str("\\\""),
            '\\' => to.push_str("\\\\"),
            '\n' => to.push_str("\\n"),
            '\r' => to.push_str("\\r"),
            '\t' => to.push_str("\\t"),
            // Line breaks and marks to YAML 1.1, which a reader would fold or drop, and what YAML has no place for.
            '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                to.push_str(&format!("\\u{:04x}", u32::from(c)))
            }
            c if c.is_control() => to.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => to.push(c),
        }
    }
    to.push('"');
}

/// Dates, sexagesimal numbers and the like, which some reader or other takes for something else than a string.
fn looks_like_another_type(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && text
            .chars()
            .all(|c| c.is_ascii_digit() || "_.:-+TZtzeExXoObBaAcCdDfF ".contains(c))
}
