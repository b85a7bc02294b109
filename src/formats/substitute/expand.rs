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

    /// Expands every `${…}` of a text; `$$` stands for `$`, which begins nothing.
    pub(super) fn expand(&mut self, text: &str) -> Result<String, Trouble> {
        self.work.text(text.len());
        self.work.step(text.len().saturating_mul(2))?;
        let mut fresh = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            push(&mut fresh, &rest[..at])?;
            rest = &rest[at..];
            if let Some(after) = rest.strip_prefix("${") {
                rest = after;
                let value = self.function(&mut rest, 0)?;
                // To copy is several times faster than to look.
                self.work.step(value.len() / 8)?;
                push(&mut fresh, &value)?;
            } else {
                push(&mut fresh, "$")?;
                rest = rest.strip_prefix("$$").unwrap_or(&rest[1..]);
            }
        }
        push(&mut fresh, rest)?;
        Ok(fresh)
    }

    /// What stands between the braces, of which the first was read; the second is read too.
    fn function(&mut self, rest: &mut &str, depth: usize) -> Result<Cow<'a, str>, Trouble> {
        if depth > DEPTH_MAX {
            return Err(wrong(format!(
                "the substitution has more than {DEPTH_MAX} levels"
            )));
        }
        let length = eat(rest, "#");
        let end = rest
            .find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
            .unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        if !is_name(name) {
            return Err(wrong(
                "a `${` is followed by no name of a variable; write `$${` for the characters themselves",
            ));
        }
        *rest = after;
        self.work.step(NAME_STEPS)?;
        let variables = self.variables;
        if variables.unreadable.contains(name) {
            return Err(wrong(format!("the value of `{name}` is no text")));
        }
        self.secret |= variables.secret.contains(name);
        let known = variables.values.get(name);
        let value = known.map_or("", |value| value.as_str());
        let defaults = [":-", ":=", ":?", ":+", "="];
        let has_default = !length && defaults.iter().any(|operator| rest.starts_with(operator));
        if variables.complete && known.is_none() && !has_default {
            return Err(wrong(format!(
                "no variable is called `{name}`; add it to `postBuild`, or write a default: `${{{name}:=}}`"
            )));
        }
        if length {
            return close(rest).map(|()| Cow::Owned(value.len().to_string()));
        }
        if defaults.iter().any(|operator| eat(rest, operator)) {
            let secret = self.secret;
            let fallback = self.fallback(rest, depth)?;
            return Ok(match value.is_empty() {
                true => Cow::Owned(fallback),
                false => {
                    self.secret = secret;
                    Cow::Borrowed(value)
                }
            });
        }
        for how in [",,", "^^", ",", "^"] {
            if eat(rest, how) {
                close(rest)?;
                return self.case(value, how).map(Cow::Owned);
            }
        }
        let value = match rest.chars().next() {
            Some(':') => self.range(value, rest, depth)?,
            Some('/') => self.replace(value, rest, depth)?,
            Some('#' | '%') => self.without(value, rest, depth)?,
            Some('-' | '+' | '?') => {
                return Err(wrong(
                    "Flux reads no `${NAME-default}` and its kin; write `${NAME:-default}`",
                ));
            }
            _ => Cow::Borrowed(value),
        };
        close(rest)?;
        Ok(value)
    }

    /// The text of a default, to the brace: of texts and expressions.
    fn fallback(&mut self, rest: &mut &str, depth: usize) -> Result<String, Trouble> {
        let mut all = String::new();
        while !eat(rest, "}") {
            if rest.is_empty() {
                return Err(unclosed());
            }
            let part = self.argument(rest, depth, false, |letter| letter == '}')?;
            push(&mut all, &part)?;
        }
        Ok(all)
    }

    /// One argument: a single expression, or a text to where it ends. In some a backslash takes `/` and itself as they are.
    fn argument(
        &mut self,
        rest: &mut &str,
        depth: usize,
        escapes: bool,
        ends: fn(char) -> bool,
    ) -> Result<String, Trouble> {
        if eat(rest, "${") {
            return self.function(rest, depth + 1).map(Cow::into_owned);
        }
        let mut text = String::new();
        while let Some(letter) = rest.chars().next() {
            if rest.starts_with("${") {
                break;
            }
            if escapes && ["$$", "\\/", "\\\\"].iter().any(|pair| rest.starts_with(pair)) {
                text.push_str(&rest[1..2]);
                *rest = &rest[2..];
            } else if ends(letter) {
                break;
            } else {
                text.push(letter);
                *rest = &rest[letter.len_utf8()..];
            }
        }
        match text.is_empty() {
            true if rest.is_empty() => Err(unclosed()),
            true => Err(wrong("an argument of a substitution is missing")),
            false => Ok(text),
        }
    }

    fn case(&mut self, value: &str, how: &str) -> Result<String, Trouble> {
        // A letter outside of ASCII is looked up in tables, and may become three.
        self.work.step(value.len().saturating_mul(4))?;
        let up = how.starts_with('^');
        let mut changed = String::with_capacity(value.len());
        for (index, letter) in value.chars().enumerate() {
            changed.push(match how.len() == 2 || index == 0 {
                true => cased(letter, up)?,
                false => letter,
            });
        }
        Ok(changed)
    }

    /// `:position` and `:position:length`.
    fn range(&mut self, value: &'a str, rest: &mut &str, depth: usize) -> Result<Cow<'a, str>, Trouble> {
        eat(rest, ":");
        if rest.starts_with(|letter: char| !letter.is_ascii()) {
            return Err(wrong("a position in a substitution is no number"));
        }
        let position = self.argument(rest, depth, false, |letter| matches!(letter, ':' | '}'))?;
        let mut length = None;
        if rest.starts_with(':') {
            *rest = rest.trim_start_matches(':');
            length = Some(self.argument(rest, depth, false, |letter| letter == '}')?);
        }
        slice(value, &position, length.as_deref()).map(Cow::Borrowed)
    }

    /// `#pattern`, `%pattern`, and the same with two signs.
    fn without(&mut self, value: &'a str, rest: &mut &str, depth: usize) -> Result<Cow<'a, str>, Trouble> {
        let from_start = rest.starts_with('#');
        let longest = eat(rest, "##") || eat(rest, "%%");
        *rest = if longest { rest } else { &rest[1..] };
        let pattern = self.argument(rest, depth, false, |letter| letter == '}')?;
        let how = How { from_start, longest };
        trim(value, &pattern, how, self.work).map(Cow::Borrowed)
    }

    /// `/from/to` and its kin. Texts stand for themselves; what is to be replaced may hold a brace.
    fn replace(&mut self, value: &'a str, rest: &mut &str, depth: usize) -> Result<Cow<'a, str>, Trouble> {
        eat(rest, "/");
        let kind = ['/', '#', '%'].into_iter().find(|kind| rest.starts_with(*kind));
        let kind = kind.unwrap_or(' ');
        if kind != ' ' {
            *rest = &rest[1..];
        }
        let from = self.argument(rest, depth, true, |letter| letter == '/')?;
        if !rest.starts_with('/') {
            return Err(wrong(
                "a substitution has no second `/`, which Flux looks for beyond its brace; write `${NAME/from/to}`",
            ));
        }
        *rest = rest.trim_start_matches('/');
        let to = match rest.starts_with('}') {
            // Without a text to put there, Flux leaves the two ends of a value as they are.
            true if matches!(kind, '#' | '%') => return Ok(Cow::Borrowed(value)),
            true => String::new(),
            false => self.argument(rest, depth, true, |letter| letter == '}')?,
        };
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

/// Reads a sign, if it stands there.
fn eat(rest: &mut &str, sign: &str) -> bool {
    match rest.strip_prefix(sign) {
        Some(after) => {
            *rest = after;
            true
        }
        None => false,
    }
}

/// Reads the brace that ends an expression.
fn close(rest: &mut &str) -> Result<(), Trouble> {
    match eat(rest, "}") {
        true => Ok(()),
        false if !rest.contains('}') => Err(unclosed()),
        false => Err(wrong(
            "a substitution cannot be read; write `${NAME}` or `${NAME:-default}`",
        )),
    }
}

fn unclosed() -> Trouble {
    wrong("a `${` has no `}`; write `$${` for the characters themselves")
}

/// One letter in the other case. Letters that become several are none to Go, which has `ß` as it is.
fn cased(letter: char, up: bool) -> Result<char, Trouble> {
    let only = |mut letters: Box<dyn ExactSizeIterator<Item = char>>| match letters.len() {
        1 => letters.next(),
        _ => None,
    };
    let changed = match (letter.is_ascii(), up) {
        (true, true) => Some(letter.to_ascii_uppercase()),
        (true, false) => Some(letter.to_ascii_lowercase()),
        (false, _) if letter == 'ß' => Some(letter),
        (false, true) => only(Box::new(letter.to_uppercase())),
        (false, false) => only(Box::new(letter.to_lowercase())),
    };
    changed.ok_or_else(|| wrong("a letter of a value has no single letter of the other case"))
}

/// `${NAME:position:length}`, in bytes: a position below zero counts from the end, and so does a length below zero. A number that is
/// none leaves the value as it is.
fn slice<'a>(text: &'a str, position: &str, length: Option<&str>) -> Result<&'a str, Trouble> {
    let (Ok(position), Ok(length)) = (position.parse::<i64>(), length.map(str::parse::<i64>).transpose())
    else {
        return Ok(text);
    };
    let total = i64::try_from(text.len()).unwrap_or(i64::MAX);
    let start = match position < 0 {
        true => total.saturating_add(position).max(0),
        false => position,
    };
    let end = match length {
        None => total,
        Some(length) if length < 0 => total.saturating_add(length),
        Some(length) => start
            .checked_add(length)
            .ok_or_else(|| wrong("a length in a substitution is too large"))?
            .min(total),
    };
    if start >= end {
        return Ok("");
    }
    let range = usize::try_from(start).unwrap_or(0)..usize::try_from(end).unwrap_or(0);
    text.get(range)
        .ok_or_else(|| wrong("a substitution cuts a letter of more than one byte in two"))
}
