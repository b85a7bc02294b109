//! Regular expressions that users write: bounded in their length and in what they become when they are compiled, because a
//! few characters can ask for megabytes.

use regex::{Regex, RegexBuilder};
use std::cell::RefCell;
use std::collections::VecDeque;

/// Longest pattern; real ones have a few dozen characters.
pub const TEXT_BYTES_MAX: usize = 1000;

/// Largest program that a pattern may become, which takes half a millisecond to make: `\w` of Unicode needs 10 KiB.
pub const PROGRAM_BYTES_MAX: usize = 1 << 17;

/// Patterns that mean more than themselves, in one file.
pub const PATTERNS_MAX: usize = 100;

/// How many wrong patterns of a file are told; the rest is not even read.
pub const MISTAKES_MAX: usize = 20;

/// How many compiled patterns are remembered.
const KEPT: usize = 8;

/// Compiles a pattern, or takes it from those that this thread compiled last: the encrypted files of a repository have one or two
/// between them, and to compile one takes a third of the time in which a file is opened.
///
/// # Errors
/// What is wrong with it, in words that follow its name: the pattern itself may be a secret and is not quoted.
pub fn compile(text: &str) -> Result<Regex, String> {
    thread_local! {
        static LAST: RefCell<VecDeque<(String, Result<Regex, String>)>> = const { RefCell::new(VecDeque::new()) };
    }
    LAST.with_borrow_mut(|last| {
        if let Some((_, known)) = last.iter().find(|(known, _)| known == text) {
            return known.clone();
        }
        let fresh = fresh(text);
        last.truncate(KEPT - 1);
        // What is too long is told from its length alone, and is not kept.
        if text.len() <= TEXT_BYTES_MAX {
            last.push_front((text.to_owned(), fresh.clone()));
        }
        fresh
    })
}

fn fresh(text: &str) -> Result<Regex, String> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(format!(
            "is a regular expression of more than {TEXT_BYTES_MAX} bytes"
        ));
    }
    let built = RegexBuilder::new(text)
        .size_limit(PROGRAM_BYTES_MAX)
        .dfa_size_limit(PROGRAM_BYTES_MAX)
        .build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => {
            format!("is a regular expression that becomes more than {PROGRAM_BYTES_MAX} bytes")
        }
        _ => "is no regular expression".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use super::*;

    #[test]
    fn what_is_long_or_becomes_large_is_refused_by_the_bound() {
        for (text, words) in [
            ("a".repeat(1001), "more than 1000 bytes"),
            (r"\w{100}".to_owned(), "more than 131072 bytes"),
            ("(a{1,100}){1,100}".repeat(2), "more than 131072 bytes"),
            ("(".to_owned(), "is no regular expression"),
        ] {
            assert!(compile(&text).unwrap_err().contains(words), "{text}");
        }
        for text in ["^(data|stringData)$", r"\w+-\d{1,5}", "(?i)é.*"] {
            assert!(compile(text).is_ok(), "{text}");
        }
    }
}
