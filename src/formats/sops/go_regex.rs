//! Go's regular expressions, which `.sops.yaml` and the `sops` block are written in.
//!
//! Both engines are of RE2's family; what differs is in the notation (Go's `regexp/syntax/parse.go`, Go 1.25):
//! - `\d`, `\s`, `\w` and `\b` mean ASCII in Go, Unicode in Rust; `\s` has no vertical tab in Go;
//! - `[` and `&&` inside of a class are themselves in Go, set operations in Rust;
//! - a `{` that begins no repetition is itself in Go, an error in Rust;
//! - `\Q…\E`, octal escapes and `\<` (a plain `<`) are Go's; `x*+`, `\b{start}` and the flags `x`, `u` and `R` are not.
//!
//! So a pattern is written anew, with all that is literal as code points, before Rust reads it.

use crate::formats::pattern::{PROGRAM_BYTES_MAX, TEXT_BYTES_MAX};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt::Write;

/// How many compiled patterns are remembered.
const KEPT: usize = 8;

/// Most repetitions that Go allows.
const REPEAT_MAX: u32 = 1000;

/// Classes such as `[[:alpha:]]`.
const POSIX: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
    "upper", "word", "xdigit",
];

/// A pattern as Go reads it.
#[derive(Clone, Debug)]
pub struct GoRegex(regex::bytes::Regex);

impl GoRegex {
    /// Compiles a pattern, or takes it from those that this thread compiled last: see [`crate::formats::pattern::compile`].
    ///
    /// # Errors
    /// What is wrong with it, in words that follow its name: the pattern itself may be a secret and is not quoted.
    pub fn new(pattern: &str) -> Result<Self, String> {
        thread_local! {
            static LAST: RefCell<VecDeque<(String, GoRegex)>> = const { RefCell::new(VecDeque::new()) };
        }
        LAST.with_borrow_mut(|last| {
            if let Some((_, known)) = last.iter().find(|(text, _)| text == pattern) {
                return Ok(known.clone());
            }
            let fresh = Self::fresh(pattern)?;
            last.truncate(KEPT - 1);
            last.push_front((pattern.to_owned(), fresh.clone()));
            Ok(fresh)
        })
    }

    fn fresh(pattern: &str) -> Result<Self, String> {
        if pattern.len() > TEXT_BYTES_MAX {
            return Err(format!(
                "is a regular expression of more than {TEXT_BYTES_MAX} bytes"
            ));
        }
        let rust = Translation::new(pattern)
            .run()
            .map_err(|why| format!("is no regular expression of Go: {why}"))?;
        // `\B` on ASCII is for bytes only: it could stand inside of a character.
        let built = regex::bytes::RegexBuilder::new(&rust)
            .size_limit(PROGRAM_BYTES_MAX)
            .dfa_size_limit(PROGRAM_BYTES_MAX)
            .build();
        built.map(Self).map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => {
                format!("is a regular expression that becomes more than {PROGRAM_BYTES_MAX} bytes")
            }
            _ => "is no regular expression of Go".to_owned(),
        })
    }

    /// Whether the text holds a match.
    pub fn is_match(&self, text: &str) -> bool {
        self.0.is_match(text.as_bytes())
    }
}

/// One reading of a pattern.
struct Translation<'a> {
    rest: &'a str,
    out: String,
}

/// Classes of one letter in Go, as they stand in brackets.
fn perl(letter: char) -> Option<(&'static str, bool)> {
    Some(match letter {
        'd' => ("0-9", false),
        'D' => ("0-9", true),
        's' => ("\\t\\n\\x0C\\r ", false),
        'S' => ("\\t\\n\\x0C\\r ", true),
        'w' => ("0-9A-Za-z_", false),
        'W' => ("0-9A-Za-z_", true),
        _ => return None,
    })
}

impl<'a> Translation<'a> {
    fn new(pattern: &'a str) -> Self {
        Self {
            rest: pattern,
            out: String::new(),
        }
    }

    fn next(&mut self) -> Option<char> {
        let next = self.rest.chars().next()?;
        self.rest = &self.rest[next.len_utf8()..];
        Some(next)
    }

    fn take(&mut self, prefix: &str) -> bool {
        match self.rest.strip_prefix(prefix) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn literal(&mut self, one: char) {
        // Writing to a string does not fail.
        let _ = write!(self.out, "\\x{{{:x}}}", u32::from(one));
    }

    fn run(mut self) -> Result<String, String> {
        let mut repeated = false;
        while let Some(first) = self.rest.chars().next() {
            let is_repeat = match first {
                '*' | '+' | '?' => {
                    self.next();
                    self.out.push(first);
                    true
                }
                '{' => match bounds(self.rest) {
                    Some((whole, from, to)) => {
                        if from > REPEAT_MAX || to.is_some_and(|to| to > REPEAT_MAX || from > to) {
                            return Err(format!("it repeats more than {REPEAT_MAX} times, or backwards"));
                        }
                        self.out.push_str(whole);
                        self.rest = &self.rest[whole.len()..];
                        true
                    }
                    None => {
                        self.next();
                        self.literal('{');
                        false
                    }
                },
                _ => {
                    self.one(first)?;
                    false
                }
            };
            if is_repeat {
                if repeated {
                    return Err("it repeats a repetition".to_owned());
                }
                if self.take("?") {
                    self.out.push('?');
                }
            }
            repeated = is_repeat;
        }
        Ok(self.out)
    }

    /// Anything but a repetition.
    fn one(&mut self, first: char) -> Result<(), String> {
        match first {
            '[' => return self.class(),
            '(' if self.rest.starts_with("(?") => return self.flags(),
            '(' | ')' | '|' | '^' | '$' | '.' => {
                self.next();
                self.out.push(first);
            }
            '\\' => return self.escape(),
            _ => {
                self.next();
                self.literal(first);
            }
        }
        Ok(())
    }

    fn escape(&mut self) -> Result<(), String> {
        for (go, rust) in [
            (r"\A", r"\A"),
            (r"\z", r"\z"),
            (r"\b", r"(?-u:\b)"),
            (r"\B", r"(?-u:\B)"),
        ] {
            if self.take(go) {
                self.out.push_str(rust);
                return Ok(());
            }
        }
        if self.take(r"\Q") {
            let end = self.rest.find(r"\E");
            let quoted = &self.rest[..end.unwrap_or(self.rest.len())];
            for one in quoted.chars() {
                self.literal(one);
            }
            self.rest = end.map_or("", |end| &self.rest[end + 2..]);
            return Ok(());
        }
        if let Some(class) = self.unicode()? {
            self.out.push_str(&class);
            return Ok(());
        }
        if let Some((inside, negated)) = self.rest[1..].chars().next().and_then(perl) {
            self.rest = &self.rest[2..];
            let caret = if negated { "^" } else { "" };
            // Writing to a string does not fail.
            let _ = write!(self.out, "[{caret}{inside}]");
            return Ok(());
        }
        let one = self.escaped()?;
        self.literal(one);
        Ok(())
    }

    /// `\pL`, `\p{Greek}`, `\P{^Greek}`.
    fn unicode(&mut self) -> Result<Option<String>, String> {
        let negated = if self.take(r"\p") {
            false
        } else if self.take(r"\P") {
            true
        } else {
            return Ok(None);
        };
        let wrong = || "`\\p` needs the name of a class".to_owned();
        let name = if self.take("{") {
            let end = self.rest.find('}').ok_or_else(wrong)?;
            let name = &self.rest[..end];
            self.rest = &self.rest[end + 1..];
            name.to_owned()
        } else {
            self.next().ok_or_else(wrong)?.to_string()
        };
        let (name, negated) = match name.strip_prefix('^') {
            Some(name) => (name, !negated),
            None => (name.as_str(), negated),
        };
        if name.is_empty() || !name.chars().all(|one| one.is_ascii_alphanumeric() || one == '_') {
            return Err(wrong());
        }
        Ok(Some(format!("\\{}{{{name}}}", if negated { 'P' } else { 'p' })))
    }

    /// An escape that stands for one character.
    fn escaped(&mut self) -> Result<char, String> {
        let wrong = || "it has an escape that Go does not know".to_owned();
        self.next();
        let one = self.next().ok_or("it ends with a backslash")?;
        match one {
            'a' => Ok('\u{7}'),
            'f' => Ok('\u{c}'),
            'n' => Ok('\n'),
            'r' => Ok('\r'),
            't' => Ok('\t'),
            'v' => Ok('\u{b}'),
            'x' => {
                let digits = if self.take("{") {
                    let end = self.rest.find('}').ok_or_else(wrong)?;
                    let digits = &self.rest[..end];
                    self.rest = &self.rest[end + 1..];
                    digits
                } else {
                    let digits = self.rest.get(..2).ok_or_else(wrong)?;
                    self.rest = &self.rest[2..];
                    digits
                };
                if !digits.bytes().all(|one| one.is_ascii_hexdigit()) {
                    return Err(wrong());
                }
                let code = u32::from_str_radix(digits, 16).map_err(|_| wrong())?;
                char::from_u32(code).ok_or_else(wrong)
            }
            '0'..='7' => {
                let more = self.rest.bytes().take(2);
                let count = more.take_while(|one| (b'0'..=b'7').contains(one)).count();
                if one != '0' && count == 0 {
                    return Err("it refers back to a group, which Go does not do".to_owned());
                }
                let digits = format!("{one}{}", &self.rest[..count]);
                self.rest = &self.rest[count..];
                let code = u32::from_str_radix(&digits, 8).map_err(|_| wrong())?;
                char::from_u32(code).ok_or_else(wrong)
            }
            _ if one.is_ascii() && !one.is_ascii_alphanumeric() => Ok(one),
            _ => Err(wrong()),
        }
    }

    /// `(?:`, `(?i)`, `(?i-s:`, `(?P<name>`, `(?<name>`.
    fn flags(&mut self) -> Result<(), String> {
        if self.take("(?P<") || self.take("(?<") {
            let end = self.rest.find('>').ok_or("a group's name has no `>`")?;
            let name = &self.rest[..end];
            let word = |one: char| one.is_ascii_alphanumeric() || one == '_';
            if name.is_empty() || !name.chars().all(word) {
                return Err("a group's name is none".to_owned());
            }
            self.rest = &self.rest[end + 1..];
            self.out.push('(');
            return Ok(());
        }
        self.take("(?");
        let wrong = || "it has flags that Go does not know; there are i, m, s and U".to_owned();
        let mut set: Vec<(char, bool)> = Vec::new();
        let (mut on, mut dangling) = (true, false);
        loop {
            match self.next().ok_or_else(wrong)? {
                flag @ ('i' | 'm' | 's' | 'U') => {
                    set.retain(|(other, _)| *other != flag);
                    set.push((flag, on));
                    dangling = false;
                }
                '-' if on => (on, dangling) = (false, true),
                end @ (':' | ')') if !dangling => {
                    self.write_flags(&set, end);
                    return Ok(());
                }
                _ => return Err(wrong()),
            }
        }
    }

    fn write_flags(&mut self, set: &[(char, bool)], end: char) {
        if set.is_empty() && end == ')' {
            return;
        }
        let which = |wanted: bool| set.iter().filter(move |(_, on)| *on == wanted);
        let (on, off): (String, String) = (
            which(true).map(|(flag, _)| *flag).collect(),
            which(false).map(|(flag, _)| *flag).collect(),
        );
        let dash = if off.is_empty() { "" } else { "-" };
        // Writing to a string does not fail.
        let _ = write!(self.out, "(?{on}{dash}{off}{end}");
    }

    fn class(&mut self) -> Result<(), String> {
        let wrong = || "a `[` has no `]`".to_owned();
        self.next();
        self.out.push('[');
        if self.take("^") {
            self.out.push('^');
        }
        let mut first = true;
        while first || !self.rest.starts_with(']') {
            first = false;
            if self.rest.is_empty() {
                return Err(wrong());
            }
            if self.rest.starts_with("[:")
                && let Some(end) = self.rest.find(":]")
            {
                let name = &self.rest[2..end];
                if !POSIX.contains(&name.strip_prefix('^').unwrap_or(name)) {
                    return Err("it names a class that Go does not know".to_owned());
                }
                self.out.push_str(&self.rest[..end + 2]);
                self.rest = &self.rest[end + 2..];
                continue;
            }
            if let Some(class) = self.unicode()? {
                self.out.push_str(&class);
                continue;
            }
            let letter = self.rest.strip_prefix('\\').and_then(|rest| rest.chars().next());
            if let Some((inside, negated)) = letter.and_then(perl) {
                self.rest = &self.rest[2..];
                let (open, close) = if negated { ("[^", "]") } else { ("", "") };
                // Writing to a string does not fail.
                let _ = write!(self.out, "{open}{inside}{close}");
                continue;
            }
            let low = self.member()?;
            self.literal(low);
            let mut after = self.rest.chars();
            if after.next() == Some('-') && after.next().is_some_and(|next| next != ']') {
                self.next();
                let high = self.member()?;
                self.out.push('-');
                self.literal(high);
            }
        }
        self.next();
        self.out.push(']');
        Ok(())
    }

    /// One character of a class.
    fn member(&mut self) -> Result<char, String> {
        if self.rest.starts_with('\\') {
            return self.escaped();
        }
        self.next().ok_or_else(|| "a `[` has no `]`".to_owned())
    }
}

/// `{2}`, `{2,}` or `{2,5}` at the start of a text: the whole, and its bounds.
fn bounds(text: &str) -> Option<(&str, u32, Option<u32>)> {
    let end = text.find('}')?;
    let inside = &text[1..end];
    let number = |digits: &str| {
        let plain = !digits.is_empty() && digits.bytes().all(|one| one.is_ascii_digit());
        if !plain || digits.len() > 1 && digits.starts_with('0') {
            return None;
        }
        // What is too large for a number is too large for Go as well.
        Some(digits.parse().unwrap_or(u32::MAX))
    };
    let (from, to) = match inside.split_once(',') {
        None => {
            let count = number(inside)?;
            (count, Some(count))
        }
        Some((from, "")) => (number(from)?, None),
        Some((from, to)) => (number(from)?, Some(number(to)?)),
    };
    Some((&text[..=end], from, to))
}

#[cfg(test)]
mod tests;
