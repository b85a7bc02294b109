//! How Flux writes a text into the YAML that it substitutes in, and how it reads the text again: what is put in meets the quotes that
//! stand around it.
//!
//! The rules of writing are those of go-yaml v2.4.4 (`yaml_emitter_analyze_scalar`), which sigs.k8s.io/yaml 1.6 writes with.

use super::work::{Trouble, Work};
use crate::formats::yaml::{self, Kind, Node};
use serde_json::Value;
use zeroize::Zeroizing;

/// Where a text stands, which decides what YAML can be read out of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seat {
    /// A mapping's value.
    Entry,
    /// An item of a list.
    Item,
    /// A mapping's key.
    Key,
}

/// How a text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// As it is: what is put in is read as YAML.
    Plain,
    /// Between `'`.
    Single,
    /// Between `"`, with escapes.
    Double,
    /// Below `|`, line by line.
    Literal,
}

/// Whether go-yaml writes a character only as an escape.
fn is_special(one: char) -> bool {
    let printable = matches!(one, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}');
    !printable || one == '\u{feff}'
}

/// Whether YAML ends a line here, or holds no such character outside of escapes.
fn is_foreign(one: char) -> bool {
    matches!(one, '\u{85}' | '\u{2028}' | '\u{2029}') || (one.is_control() && !matches!(one, '\t' | '\n'))
}

impl Style {
    /// The style in which Flux writes a text.
    pub(super) fn of(text: &str) -> Self {
        let special = text.chars().any(is_special);
        let lines = text.contains('\n');
        if special || text.contains(" \n") || (lines && text.ends_with(' ')) {
            return Self::Double;
        }
        if lines {
            return Self::Literal;
        }
        let mut letters = text.chars();
        let (first, second) = (letters.next(), letters.next());
        let odd_start = match first {
            Some('-' | '?' | ':') => second.is_none_or(|next| next == ' '),
            Some(first) => " #,[]{}&*!|>'\"%@`".contains(first),
            None => false,
        };
        let quoted = odd_start
            || text.ends_with([' ', ':'])
            || text.contains(": ")
            || text.contains(" #")
            || text.starts_with("---")
            || text.starts_with("...");
        if quoted { Self::Single } else { Self::Plain }
    }

    /// A text as it is written in this style, without what stands around it.
    pub(super) fn write(self, text: &str) -> String {
        match self {
            Self::Plain | Self::Literal => text.to_owned(),
            Self::Single => text.replace('\'', "''"),
            Self::Double => {
                let mut written = String::with_capacity(text.len() + 8);
                for one in text.chars() {
                    match one {
                        '"' => written.push_str("\\\""),
                        '\\' => written.push_str("\\\\"),
                        '\n' => written.push_str("\\n"),
                        '\t' => written.push_str("\\t"),
                        '\r' => written.push_str("\\r"),
                        one if is_foreign(one) => written.push_str(&format!("\\u{:04X}", u32::from(one))),
                        one => written.push(one),
                    }
                }
                written
            }
        }
    }

    /// What is read of a text in this style in which variables were put; `before` is the text without them.
    ///
    /// # Errors
    /// When it is no longer one value.
    pub(super) fn read(
        self,
        fresh: String,
        before: &str,
        seat: Seat,
        work: &mut Work,
    ) -> Result<Value, Trouble> {
        work.step(fresh.len() / 4)?;
        let fresh = Zeroizing::new(fresh);
        if fresh.chars().any(is_foreign) {
            return Err(broken());
        }
        match self {
            Self::Plain => plain(fresh, seat, work),
            Self::Single => single(&fresh).map(Value::String),
            Self::Double => double(&fresh).map(Value::String),
            Self::Literal => literal(&fresh, before).map(Value::String),
        }
    }
}

fn broken() -> Trouble {
    (
        "substitution",
        "with its variables this is no longer one text to YAML: Flux refuses it, or reads something else"
            .to_owned(),
        "see that no `: `, ` #`, bracket or quote of a variable's value meets the text around it, or put that text in quotes",
    )
}

/// Whether a text is what it is, and needs not be read as YAML: letters, digits and some signs, a letter first, and longer than any
/// word that YAML takes for something else (`false` is the longest).
fn is_word(text: &[u8]) -> bool {
    let harmless =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'_' | b'-' | b'.');
    // Piece by piece without a way out between bytes, which takes a fraction of the time.
    let all = |piece: &[u8]| piece.iter().fold(true, |all, byte| all & harmless(*byte));
    text.len() > 8 && text[0].is_ascii_alphabetic() && text.chunks(64).all(all)
}

fn plain(mut text: Zeroizing<String>, seat: Seat, work: &mut Work) -> Result<Value, Trouble> {
    // A whole number as a key becomes a text again; what YAML reads as something else is no key here.
    let whole = seat == Seat::Key
        && text
            .parse::<i64>()
            .is_ok_and(|number| number.to_string() == *text);
    if whole || is_word(text.as_bytes()) {
        return Ok(Value::String(std::mem::take(&mut text)));
    }
    // Anchors, aliases, tags of their own and tabs that indent are read in more than one way, and nobody puts them into a variable.
    let tab = text.trim_start_matches([' ', '-', '?', ':']).starts_with('\t');
    if tab
        || text.trim_start().starts_with(['&', '*'])
        || (text.starts_with('!') && !text.starts_with("!!str "))
    {
        return Err(broken());
    }
    work.read(text.len())?;
    let (before, after) = match seat {
        Seat::Entry => ("v: ", "\n"),
        Seat::Item => ("- ", "\n"),
        // Not at the start of a line, where more means something else.
        Seat::Key => ("v:\n  ", ": 0\n"),
    };
    let mut around = Zeroizing::new(String::with_capacity(before.len() + text.len() + after.len()));
    around.push_str(before);
    around.push_str(&text);
    around.push_str(after);
    let documents = yaml::load_wiped(&around).map_err(|_| broken())?;
    let value = match documents.as_slice() {
        [document] => inside(document, seat).ok_or_else(broken)?,
        _ => return Err(broken()),
    };
    work.keep(&value)?;
    Ok(value)
}

/// The one value that stands in a seat, and nothing beside it.
fn inside(document: &Node, seat: Seat) -> Option<Value> {
    match (seat, &document.kind) {
        (Seat::Item, Kind::List(items)) => match items.as_slice() {
            [item] => item.to_json().ok(),
            _ => None,
        },
        (Seat::Entry, Kind::Map(entries)) => match entries.as_slice() {
            [(key, value)] if key.text == "v" => value.to_json().ok(),
            _ => None,
        },
        (Seat::Key, Kind::Map(_)) => match document.get("v").map(|value| &value.kind) {
            Some(Kind::Map(entries)) => match entries.as_slice() {
                // A comment in it would take the value away.
                [(key, value)] if !key.merge && value.text() == Some("0") => {
                    Some(Value::String(key.text.clone()))
                }
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

fn single(text: &str) -> Result<String, Trouble> {
    let mut read = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(one) = letters.next() {
        if one == '\'' && letters.next() != Some('\'') {
            return Err(broken());
        }
        read.push(one);
    }
    Ok(read)
}

/// Reads the escapes that are written here, and no others: one that a value brings along is told of.
fn double(text: &str) -> Result<String, Trouble> {
    let mut read = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(one) = letters.next() {
        read.push(match one {
            '"' => return Err(broken()),
            '\\' => match letters.next() {
                Some(same @ ('"' | '\\')) => same,
                Some('n') => '\n',
                Some('t') => '\t',
                Some('r') => '\r',
                Some('u') => {
                    let digits: String = letters.by_ref().take(4).collect();
                    let code = u32::from_str_radix(&digits, 16)
                        .ok()
                        .filter(|_| digits.len() == 4);
                    code.and_then(char::from_u32).ok_or_else(broken)?
                }
                _ => return Err(broken()),
            },
            one => one,
        });
    }
    Ok(read)
}

/// Reads lines below `|`: the first decides how far they are indented, and what ends the text says which line breaks stay.
fn literal(text: &str, before: &str) -> Result<String, Trouble> {
    let blank = |one: char| matches!(one, ' ' | '\t' | '\n');
    let start = text.find(|one| !blank(one)).unwrap_or(text.len());
    // A text that begins with a blank is written with a number that says how far it is indented.
    if !before.starts_with([' ', '\n']) && text[..start].contains([' ', '\t']) {
        return Err(broken());
    }
    let kept = text.trim_end_matches('\n');
    Ok(if before.ends_with("\n\n") {
        text.to_owned()
    } else if before.ends_with('\n') && !kept.is_empty() {
        format!("{kept}\n")
    } else {
        kept.to_owned()
    })
}
