//! Flux's post-build substitution: `${NAME}` in the built objects, with defaults and the string functions of bash that its
//! library reads (fluxcd/pkg/envsubst 1.4).
//!
//! Flux works on each object's YAML text, so a value that stands alone may become a number, a boolean or a list; so it is here.

use super::yaml;
use crate::model::desired::Resource;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Functions inside of functions: real ones have two levels.
const DEPTH_MAX: usize = 10;

/// Longest text that a substitution may make of one value.
const TEXT_MAX: usize = 1 << 20;

/// An object with this label or annotation, set to `disabled`, is left as it is.
pub const OPT_OUT: &str = "kustomize.toolkit.fluxcd.io/substitute";

/// Variables by name.
#[derive(Clone, Default)]
pub struct Variables {
    values: BTreeMap<String, String>,
    /// Those whose values nobody may see.
    secret: BTreeSet<String>,
}

impl Variables {
    /// Adds a variable, or puts it in the place of one.
    ///
    /// # Errors
    /// For a name that is none.
    pub fn set(&mut self, name: &str, value: String, secret: bool) -> Result<(), String> {
        if !is_name(name) {
            return Err(format!(
                "`{name}` is no name of a variable; use letters, digits and underscores, no digit first"
            ));
        }
        if secret {
            self.secret.insert(name.to_owned());
        } else {
            self.secret.remove(name);
        }
        self.values.insert(name.to_owned(), value);
        Ok(())
    }

    /// Tells one set from another without telling what is in it.
    pub fn fingerprint(&self) -> String {
        let all: zeroize::Zeroizing<String> = zeroize::Zeroizing::new(
            self.values
                .iter()
                .map(|(name, value)| format!("{name}={value:?}\n"))
                .collect(),
        );
        let secret: Vec<&String> = self.secret.iter().collect();
        format!("{}{secret:?}", super::sops::fingerprint(all.as_bytes()))
    }

    /// Whether there is none; then nothing is substituted at all.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

fn is_name(name: &str) -> bool {
    !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Substitutes in an object. An object that a secret variable went into is secret from then on.
///
/// # Errors
/// What is wrong with an expression, and the JSON pointer of its value. No value is quoted.
pub fn substitute(resource: &mut Resource, variables: &Variables) -> Result<(), (String, String)> {
    let marked = |field: &str| {
        let map = resource
            .value
            .get("metadata")
            .and_then(|metadata| metadata.get(field));
        map.and_then(|map| map.get(OPT_OUT)).and_then(Value::as_str) == Some("disabled")
    };
    if variables.is_empty() || marked("labels") || marked("annotations") {
        return Ok(());
    }
    if !mentions(&resource.value) {
        return Ok(());
    }
    let mut used = BTreeSet::new();
    walk(resource.value_mut(), variables, &mut used, &mut String::new())?;
    resource.origin.secret |= used.iter().any(|name| variables.secret.contains(name));
    Ok(())
}

/// Whether an expression stands anywhere: most objects have none, and what is not changed is not copied.
fn mentions(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains("${"),
        Value::Array(items) => items.iter().any(mentions),
        Value::Object(map) => map.iter().any(|(key, item)| key.contains("${") || mentions(item)),
        _ => false,
    }
}

fn walk(
    value: &mut Value,
    variables: &Variables,
    used: &mut BTreeSet<String>,
    pointer: &mut String,
) -> Result<(), (String, String)> {
    let length = pointer.len();
    match value {
        Value::String(text) if text.contains("${") => {
            let fresh =
                expand(text, variables, used, 0).map_err(|what| (what.to_owned(), pointer.clone()))?;
            if fresh.len() > TEXT_MAX {
                let what = format!("the substitution makes more than {TEXT_MAX} bytes");
                return Err((what, pointer.clone()));
            }
            if fresh != *text {
                *value = if is_plain(text) {
                    typed(fresh)
                } else {
                    Value::String(fresh)
                };
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                pointer.push_str(&format!("/{index}"));
                walk(item, variables, used, pointer)?;
                pointer.truncate(length);
            }
        }
        Value::Object(map) => {
            for (key, item) in map.iter_mut() {
                pointer.push_str(&format!("/{}", yaml::escape(key)));
                walk(item, variables, used, pointer)?;
                pointer.truncate(length);
            }
            let keys: Vec<String> = map.keys().filter(|key| key.contains("${")).cloned().collect();
            for key in keys {
                let fresh =
                    expand(&key, variables, used, 0).map_err(|what| (what.to_owned(), pointer.clone()))?;
                if let Some(item) = map.remove(&key) {
                    map.insert(fresh, item);
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// Whether YAML writes a text without quotes, so that what is put into it is read as YAML again.
fn is_plain(text: &str) -> bool {
    let odd_start = [
        '-', '?', ':', ',', '[', ']', '{', '}', '#', '&', '*', '!', '|', '>', '\'', '"', '%', '@', '`', ' ',
    ];
    !text.starts_with(odd_start)
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.contains('\n')
}

fn typed(text: String) -> Value {
    let documents = yaml::load(&text).unwrap_or_default();
    match documents.as_slice() {
        [] if text.trim().is_empty() || matches!(text.as_str(), "~" | "null") => Value::Null,
        [document] => document.to_json().unwrap_or(Value::String(text)),
        _ => Value::String(text),
    }
}

/// Expands every `${…}` of a text; `$$` before a brace stands for `$`.
fn expand(
    text: &str,
    variables: &Variables,
    used: &mut BTreeSet<String>,
    depth: usize,
) -> Result<String, &'static str> {
    if depth > DEPTH_MAX {
        return Err("the substitution has more than 10 levels");
    }
    let mut fresh = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        fresh.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("$$") {
            // The second dollar is itself and begins nothing.
            fresh.push('$');
            rest = after;
            if let Some(after) = rest.strip_prefix('{') {
                fresh.push('{');
                rest = after;
            }
        } else if let Some(after) = rest.strip_prefix("${") {
            let end = closing(after).ok_or("a `${` has no `}`; write `$${` for the characters themselves")?;
            fresh.push_str(&function(&after[..end], variables, used, depth)?);
            rest = &after[end + 1..];
        } else {
            fresh.push('$');
            rest = &rest[1..];
        }
        if fresh.len() > TEXT_MAX {
            return Ok(fresh);
        }
    }
    fresh.push_str(rest);
    Ok(fresh)
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

/// What stands between the braces.
fn function(
    inside: &str,
    variables: &Variables,
    used: &mut BTreeSet<String>,
    depth: usize,
) -> Result<String, &'static str> {
    let (length, inside) = match inside.strip_prefix('#') {
        Some(rest) => (true, rest),
        None => (false, inside),
    };
    let end = inside
        .find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
        .unwrap_or(inside.len());
    let (name, rest) = inside.split_at(end);
    if !is_name(name) {
        return Err("a `${` is followed by no name of a variable; write `$${` for the characters themselves");
    }
    used.insert(name.to_owned());
    let value = variables.values.get(name).cloned().unwrap_or_default();
    if length {
        return if rest.is_empty() {
            Ok(value.len().to_string())
        } else {
            Err("a substitution cannot be read")
        };
    }
    let mut more = |text: &str| expand(text, variables, used, depth + 1);
    for operator in [":-", ":=", ":?", ":+", "="] {
        if let Some(default) = rest.strip_prefix(operator) {
            return if value.is_empty() {
                more(default)
            } else {
                Ok(value)
            };
        }
    }
    match rest {
        "" => return Ok(value),
        "," => return Ok(first(&value, |letter| letter.to_lowercase().collect())),
        ",," => return Ok(value.to_lowercase()),
        "^" => return Ok(first(&value, |letter| letter.to_uppercase().collect())),
        "^^" => return Ok(value.to_uppercase()),
        _ => {}
    }
    if let Some(range) = rest.strip_prefix(':') {
        let (position, length) = range.split_once(':').map_or((range, None), |(a, b)| (a, Some(b)));
        let length = length.map(&mut more).transpose()?;
        return Ok(slice(&value, &more(position)?, length.as_deref()));
    }
    if let Some(how) = rest.strip_prefix('/') {
        let (kind, pair) = match how.chars().next() {
            Some(kind @ ('/' | '#' | '%')) => (kind, &how[1..]),
            _ => (' ', how),
        };
        let (from, to) = pair.split_once('/').unwrap_or((pair, ""));
        let (from, to) = (more(from)?, more(to)?);
        return Ok(match kind {
            '/' => value.replace(&from, &to),
            '#' => value
                .strip_prefix(&from)
                .map_or(value.clone(), |rest| format!("{to}{rest}")),
            '%' => value
                .strip_suffix(&from)
                .map_or(value.clone(), |rest| format!("{rest}{to}")),
            _ => value.replacen(&from, &to, 1),
        });
    }
    for (operator, from_start, longest) in [
        ("##", true, true),
        ("#", true, false),
        ("%%", false, true),
        ("%", false, false),
    ] {
        if let Some(pattern) = rest.strip_prefix(operator) {
            return Ok(trim(&value, &more(pattern)?, from_start, longest));
        }
    }
    Err("a substitution cannot be read; write `${NAME}` or `${NAME:-default}`")
}

fn first(text: &str, change: impl Fn(char) -> String) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map_or_else(String::new, |letter| change(letter) + letters.as_str())
}

/// `${NAME:position:length}`; a position before the start counts from the end.
fn slice(text: &str, position: &str, length: Option<&str>) -> String {
    let Ok(position) = position.trim().parse::<i64>() else {
        return text.to_owned();
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
        Some(Err(_)) => return text.to_owned(),
        Some(Ok(length)) => start.saturating_add(length.max(0)).min(total),
    };
    let range = usize::try_from(start).unwrap_or(0)..usize::try_from(end).unwrap_or(0);
    bytes
        .get(range)
        .map(|part| String::from_utf8_lossy(part).into_owned())
        .unwrap_or_default()
}

/// Takes a pattern with `*` and `?` off one end.
fn trim(text: &str, pattern: &str, from_start: bool, longest: bool) -> String {
    let cuts = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    let fits = |cut: &usize| {
        let part = if from_start { &text[..*cut] } else { &text[*cut..] };
        matches(pattern.as_bytes(), part.as_bytes())
    };
    let mut found = cuts.filter(fits);
    // A cut further on is longer from the start, and shorter from the end.
    let cut = if from_start == longest {
        found.next_back()
    } else {
        found.next()
    };
    match cut {
        None => text.to_owned(),
        Some(cut) if from_start => text[cut..].to_owned(),
        Some(cut) => text[..cut].to_owned(),
    }
}

/// Whether a text fits a pattern; the last star is tried again further on, which needs no recursion.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(one) if *one == b'?' || *one == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, seen)) => {
                    star = Some((at, seen + 1));
                    p = at + 1;
                    t = seen + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|one| *one == b'*')
}

#[cfg(test)]
mod tests;
