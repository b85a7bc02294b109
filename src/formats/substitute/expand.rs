//! Expressions and their functions: a text with `${…}` → the text that they stand for.

use super::trim::{How, trim};
use super::work::{NAME_STEPS, Trouble, Work};
use super::{Variables, is_name};
use std::borrow::Cow;

/// Functions inside of functions: real ones have two levels.
const DEPTH_MAX: usize = 10;

/// Longest text that a substitution may make of one value.
const TEXT_MAX: usize = 1 << 20;

/// What is substituted with, and what came of it.
pub(super) struct Expanding<'a> {
    variables: &'a Variables,
    pub(super) work: &'a mut Work,
    /// Whether a secret variable was used.
    pub(super) secret: bool,
}

fn wrong(what: impl Into<String>) -> Trouble {
    ("substitution", what.into(), "correct it in the file")
}

/// Adds to a text that may not become too long.
fn push(fresh: &mut String, more: &str) -> Result<(), Trouble> {
    fits(fresh.len() + more.len())?;
    fresh.push_str(more);
    Ok(())
}

fn fits(bytes: usize) -> Result<(), Trouble> {
    match bytes > TEXT_MAX {
        true => Err(wrong(format!(
            "the substitution makes more than {TEXT_MAX} bytes"
        ))),
        false => Ok(()),
    }
}

impl<'a> Expanding<'a> {
    pub(super) fn new(variables: &'a Variables, work: &'a mut Work) -> Self {
        Self {
            variables,
            work,
            secret: false,
        }
    }

    /// Expands every `${…}` of a text; `$$` before a brace stands for `$`.
    pub(super) fn expand(&mut self, text: &str, depth: usize) -> Result<String, Trouble> {
        if depth > DEPTH_MAX {
            return Err(wrong(format!(
                "the substitution has more than {DEPTH_MAX} levels"
            )));
        }
        if depth == 0 {
            self.work.text(text.len());
        }
        self.work.step(text.len())?;
        let mut fresh = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            push(&mut fresh, &rest[..at])?;
            rest = &rest[at..];
            if let Some(after) = rest.strip_prefix("$$") {
                // The second dollar is itself and begins nothing.
                push(&mut fresh, "$")?;
                rest = after;
                if let Some(after) = rest.strip_prefix('{') {
                    push(&mut fresh, "{")?;
                    rest = after;
                }
            } else if let Some(after) = rest.strip_prefix("${") {
                let end = closing(after)
                    .ok_or_else(|| wrong("a `${` has no `}`; write `$${` for the characters themselves"))?;
                self.work.step(end)?;
                let value = self.function(&after[..end], depth)?;
                // To copy is several times faster than to look.
                self.work.step(value.len() / 8)?;
                push(&mut fresh, &value)?;
                rest = &after[end + 1..];
            } else {
                push(&mut fresh, "$")?;
                rest = &rest[1..];
            }
        }
        push(&mut fresh, rest)?;
        Ok(fresh)
    }

    /// What stands between the braces.
    fn function(&mut self, inside: &str, depth: usize) -> Result<Cow<'a, str>, Trouble> {
        let (length, inside) = match inside.strip_prefix('#') {
            Some(rest) => (true, rest),
            None => (false, inside),
        };
        let end = inside
            .find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
            .unwrap_or(inside.len());
        let (name, rest) = inside.split_at(end);
        if !is_name(name) {
            return Err(wrong(
                "a `${` is followed by no name of a variable; write `$${` for the characters themselves",
            ));
        }
        self.work.step(NAME_STEPS)?;
        let variables = self.variables;
        self.secret |= variables.secret.contains(name);
        let value = variables.values.get(name).map_or("", |value| value.as_str());
        if length {
            return match rest.is_empty() {
                true => Ok(Cow::Owned(value.len().to_string())),
                false => Err(wrong("a substitution cannot be read")),
            };
        }
        for operator in [":-", ":=", ":?", ":+", "="] {
            if let Some(default) = rest.strip_prefix(operator) {
                return match value.is_empty() {
                    true => self.expand(default, depth + 1).map(Cow::Owned),
                    false => Ok(Cow::Borrowed(value)),
                };
            }
        }
        match rest {
            "" => Ok(Cow::Borrowed(value)),
            "," | ",," | "^" | "^^" => self.case(value, rest).map(Cow::Owned),
            _ => self.part(value, rest, depth),
        }
    }

    fn case(&mut self, value: &str, how: &str) -> Result<String, Trouble> {
        // A letter outside of ASCII is looked up in tables, and may become three.
        self.work.step(value.len().saturating_mul(4))?;
        Ok(match how {
            "," => first(value, |letter| letter.to_lowercase().collect()),
            ",," => value.to_lowercase(),
            "^" => first(value, |letter| letter.to_uppercase().collect()),
            _ => value.to_uppercase(),
        })
    }

    /// The functions that take or change a part of the value.
    fn part(&mut self, value: &'a str, rest: &str, depth: usize) -> Result<Cow<'a, str>, Trouble> {
        if let Some(range) = rest.strip_prefix(':') {
            let (position, length) = range.split_once(':').map_or((range, None), |(a, b)| (a, Some(b)));
            let length = length.map(|length| self.expand(length, depth + 1)).transpose()?;
            let position = self.expand(position, depth + 1)?;
            return Ok(slice(value, &position, length.as_deref()));
        }
        if let Some(how) = rest.strip_prefix('/') {
            return self.replace(value, how, depth);
        }
        for (operator, from_start, longest) in [
            ("##", true, true),
            ("#", true, false),
            ("%%", false, true),
            ("%", false, false),
        ] {
            if let Some(pattern) = rest.strip_prefix(operator) {
                let pattern = self.expand(pattern, depth + 1)?;
                let how = How { from_start, longest };
                return trim(value, &pattern, how, self.work).map(Cow::Borrowed);
            }
        }
        Err(wrong(
            "a substitution cannot be read; write `${NAME}` or `${NAME:-default}`",
        ))
    }

    /// `${NAME/from/to}` and its kin. Texts stand for themselves.
    fn replace(&mut self, value: &'a str, how: &str, depth: usize) -> Result<Cow<'a, str>, Trouble> {
        let (kind, pair) = match how.chars().next() {
            Some(kind @ ('/' | '#' | '%')) => (kind, &how[1..]),
            _ => (' ', how),
        };
        let (from, to) = pair.split_once('/').unwrap_or((pair, ""));
        let (from, to) = (self.expand(from, depth + 1)?, self.expand(to, depth + 1)?);
        self.work.step(value.len().saturating_mul(2) + from.len())?;
        let count = match kind {
            '/' => value.matches(from.as_str()).count(),
            _ => 1,
        };
        let added = count.saturating_mul(to.len().saturating_sub(from.len()));
        fits(value.len().saturating_add(added))?;
        // Each place is a step or two of its own, also where nothing is put into it.
        self.work.step(count.saturating_mul(8).saturating_add(added))?;
        let fresh = match kind {
            '/' => Some(value.replace(&from, &to)),
            '#' => value.strip_prefix(&from).map(|rest| format!("{to}{rest}")),
            '%' => value.strip_suffix(&from).map(|rest| format!("{rest}{to}")),
            _ => Some(value.replacen(&from, &to, 1)),
        };
        Ok(fresh.map_or(Cow::Borrowed(value), Cow::Owned))
    }
}

/// Where the brace closes that was opened just before a text.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0;
    let mut bytes = text.bytes().enumerate().peekable();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'$' if bytes.peek().is_some_and(|(_, next)| *next == b'{') => {
                bytes.next();
                depth += 1;
            }
            b'}' if depth == 0 => return Some(at),
            b'}' => depth -= 1,
            _ => {}
        }
    }
    None
}

fn first(text: &str, change: impl Fn(char) -> String) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map_or_else(String::new, |letter| change(letter) + letters.as_str())
}

/// `${NAME:position:length}`; a position before the start counts from the end.
fn slice<'a>(text: &'a str, position: &str, length: Option<&str>) -> Cow<'a, str> {
    let Ok(position) = position.trim().parse::<i64>() else {
        return Cow::Borrowed(text);
    };
    let bytes = text.as_bytes();
    let total = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
    let start = if position < 0 {
        (total + position).max(0)
    } else {
        position
    };
    let end = match length.map(|length| length.trim().parse::<i64>()) {
        None => total,
        Some(Err(_)) => return Cow::Borrowed(text),
        Some(Ok(length)) => start.saturating_add(length.max(0)).min(total),
    };
    let range = usize::try_from(start).unwrap_or(0)..usize::try_from(end).unwrap_or(0);
    bytes.get(range).map(String::from_utf8_lossy).unwrap_or_default()
}
