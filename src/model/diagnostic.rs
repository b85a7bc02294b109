//! What is wrong in a file, where, and what to write instead.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing from this revision is applied while it stands.
    Error,
    /// Works, but is probably not what was meant.
    Warning,
}

/// A place in a file of the repository. Lines and columns start at 1; a file-wide finding has line 1, column 1.
#[derive(Default, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// Path from the root of the repository, with `/`.
    pub path: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl Place {
    /// The start of a file.
    pub fn file(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            line: 1,
            column: 1,
        }
    }

    /// A place in a file.
    pub fn at(path: impl Into<String>, line: u32, column: u32) -> Self {
        let path = path.into();
        Self { path, line, column }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", shown(&self.path), self.line, self.column)
    }
}

/// Whether a letter would move the cursor, colour a terminal, begin a line of a log or turn the text around.
pub fn hidden(letter: char) -> bool {
    let turns = matches!(letter, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    letter.is_control() || turns
}

/// A name as it may be shown: what is [`hidden`] is escaped.
pub fn shown(name: &str) -> Cow<'_, str> {
    if !name.contains(hidden) {
        return Cow::Borrowed(name);
    }
    let escape = |letter: char| match hidden(letter) {
        true => letter.escape_default().to_string(),
        false => letter.to_string(),
    };
    Cow::Owned(name.chars().map(escape).collect())
}

/// One finding. Its texts never quote a decrypted value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Diagnostic {
    /// Where.
    pub place: Place,
    /// How bad.
    pub severity: Severity,
    /// The rule's stable name, such as `unknown-field`.
    pub rule: String,
    /// What is wrong.
    pub message: String,
    /// What to write or do instead.
    pub help: String,
}

impl Diagnostic {
    /// An error at a place.
    pub fn error(place: Place, rule: &str, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            place,
            severity: Severity::Error,
            rule: rule.to_owned(),
            message: shown(&message.into()).into_owned(),
            help: shown(&help.into()).into_owned(),
        }
    }

    /// A warning at a place.
    pub fn warning(place: Place, rule: &str, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(place, rule, message, help)
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{}: {severity}[{}]: {}", self.place, self.rule, self.message)?;
        if !self.help.is_empty() {
            write!(f, "; {}", self.help)?;
        }
        Ok(())
    }
}
