//! A secret that is planted in an input and must not come out again, in whatever form.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Digits that are told apart from chance: shorter pieces are in every long output.
const PIECE: usize = 16;

pub struct Canary {
    /// A text that JSON and YAML must escape.
    pub secret: String,
    /// A secret that may stand for a name, a key or an anchor.
    pub word: String,
    /// A secret number.
    pub number: u64,
    forms: Vec<String>,
}

impl Canary {
    pub fn new() -> Self {
        let word = format!("canary-{:016x}", fastrand::u64(1 << 60..));
        let secret = format!("{word}-\"q");
        // A float holds it exactly, so that no rounding can hide it.
        let number = fastrand::u64(1 << 52..1 << 53);
        let mut forms = vec![
            word[word.len() - PIECE..].to_owned(),
            number.to_string(),
            serde_json::to_string(&secret).unwrap(),
        ];
        for text in [&secret, &word, &number.to_string()] {
            forms.push(text.bytes().map(|byte| format!("{byte:02x}")).collect());
            // What base64 makes of it depends on how many bytes stand before; the ends depend on the neighbours.
            for before in 0..3 {
                let whole = format!("{}{text}", "x".repeat(before));
                for packed in [STANDARD_NO_PAD.encode(&whole), URL_SAFE_NO_PAD.encode(&whole)] {
                    forms.push(packed[4..packed.len() - 4].to_owned());
                }
            }
        }
        Self {
            secret,
            word,
            number,
            forms,
        }
    }

    /// Whether a text holds the secret in any form.
    pub fn is_in(&self, text: &str) -> bool {
        let small = text.to_lowercase();
        self.forms
            .iter()
            .any(|form| text.contains(form.as_str()) || small.contains(&form.to_lowercase()))
    }

    pub fn assert_absent(&self, text: &str) {
        let lines: Vec<&str> = text.lines().filter(|line| self.is_in(line)).take(9).collect();
        assert!(lines.is_empty(), "a secret came out in {}", lines.join("\n"));
        assert!(!self.is_in(text), "a secret came out in {text}");
    }
}
