//! Findings as people read them, with the line that is meant, and as SARIF 2.1.0 for forges and editors.

use super::data;
use crate::decrypt::FILE_BYTES_MAX;
use crate::formats::sops::SEALED;
use crate::model::diagnostic::{Diagnostic, Severity, hidden};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// How much of a long line is shown.
const SHOWN_MAX: usize = 160;

/// The texts of the files that findings are about, as far as they may be shown.
struct Texts<'a> {
    root: &'a Path,
    known: BTreeMap<&'a str, Option<String>>,
}

impl<'a> Texts<'a> {
    fn new(root: &'a Path) -> Self {
        Self {
            root,
            known: BTreeMap::new(),
        }
    }

    /// Nothing is shown of a file that is encrypted: the line on disk says nothing, and the clear one is nobody's business.
    fn of(&mut self, diagnostic: &'a Diagnostic) -> Option<&str> {
        let path = diagnostic.place.path.as_str();
        let root = self.root;
        let file = self.known.entry(path).or_insert_with(|| {
            // A link's target is none of the repository's.
            let file = root.join(path);
            let kind = std::fs::symlink_metadata(&file).ok()?;
            if !kind.is_file() || kind.len() > FILE_BYTES_MAX as u64 {
                return None;
            }
            let text = std::fs::read_to_string(&file).ok()?;
            // The lines of YAML: a return alone ends one too, and a mark of the encoding stands on none.
            let text = text
                .trim_start_matches('\u{feff}')
                .replace("\r\n", "\n")
                .replace('\r', "\n");
            (!text.contains(SEALED)).then_some(text)
        });
        let text = file.as_deref()?;
        (!in_secret(text, diagnostic.place.line)).then_some(text)
    }
}

/// Whether a line stands in a document that may be a Secret: one that somebody forgot to encrypt is not printed into the log of a
/// pipeline.
fn in_secret(text: &str, line: u32) -> bool {
    let says = |line: &&str| {
        let named = line.contains("Secret") && (line.contains("kind") || line.trim() == "Secret");
        named || line.contains("\"Secret\"") || line.contains("'Secret'") || line.contains("stringData")
    };
    let lines: Vec<&str> = text.lines().collect();
    let at = usize::try_from(line).unwrap_or(usize::MAX).saturating_sub(1);
    let at = at.min(lines.len());
    let begins = |line: &&str| line.starts_with("---");
    let start = lines[..at].iter().rposition(begins).unwrap_or(0);
    let end = lines[at..].iter().skip(1).position(begins);
    let end = end.map_or(lines.len(), |end| at + 1 + end);
    lines[start..end].iter().any(says)
}

/// Prints each finding with its line and the place underlined.
pub(super) fn text(diagnostics: &[Diagnostic], root: &Path) {
    let mut texts = Texts::new(root);
    for diagnostic in diagnostics {
        data(&diagnostic.to_string());
        if let Some(shown) = texts.of(diagnostic).and_then(|text| underlined(text, diagnostic)) {
            data(&shown);
        }
    }
}

/// What is meant: its line, and from where to where, in characters from 0.
fn meant(text: &str, diagnostic: &Diagnostic) -> Option<(Vec<char>, usize, usize)> {
    let number = usize::try_from(diagnostic.place.line).ok()?;
    let column = usize::try_from(diagnostic.place.column).ok()?.checked_sub(1)?;
    // A finding about a whole file has no line to show.
    if (number, column) == (1, 0)
        && diagnostic.rule != "yaml"
        && !text.starts_with(|one: char| one.is_alphanumeric())
    {
        return None;
    }
    let line: Vec<char> = text
        .lines()
        .nth(number.checked_sub(1)?)?
        .trim_end()
        .chars()
        .collect();
    if line.is_empty() {
        return None;
    }
    // A column that is not known is that of the first word.
    let indent = line.iter().take_while(|one| **one == ' ').count();
    let column = column.max(indent).min(line.len());
    let length = line.get(column..).map_or(1, |rest| {
        let end = rest
            .iter()
            .position(|one| matches!(one, ':' | ',' | ' ' | '}' | ']'));
        end.unwrap_or(rest.len()).max(1)
    });
    Some((line, column, column + length))
}

/// The line, and carets below what is meant.
fn underlined(text: &str, diagnostic: &Diagnostic) -> Option<String> {
    let (line, column, end) = meant(text, diagnostic)?;
    let from = column.saturating_sub(SHOWN_MAX / 2);
    // Some letters could move the cursor of whoever looks, or turn the line around.
    let clean = |one: &char| match one {
        '\t' => ' ',
        one if hidden(*one) => '\u{fffd}',
        one => *one,
    };
    let shown: String = line.iter().skip(from).take(SHOWN_MAX).map(clean).collect();
    let label = diagnostic.place.line.to_string();
    let margin = " ".repeat(label.len());
    let carets = "^".repeat((end - column).min(SHOWN_MAX));
    Some(format!(
        "  {label} | {shown}\n  {margin} | {}{carets}",
        " ".repeat(column - from)
    ))
}

/// A path as a relative reference of RFC 3986, which is what SARIF takes.
fn uri(path: &str) -> String {
    path.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// Where a finding is. Columns are counted in characters, as `columnKind` says; the end is the first one after what is meant.
fn region(diagnostic: &Diagnostic, text: Option<&str>) -> Value {
    let line = diagnostic.place.line.max(1);
    match text.and_then(|text| meant(text, diagnostic)) {
        Some((shown, from, end)) => json!({
            "startLine": line, "startColumn": from + 1, "endLine": line, "endColumn": end.min(shown.len()) + 1,
        }),
        None => json!({"startLine": line, "startColumn": diagnostic.place.column.max(1)}),
    }
}

/// The findings as one SARIF log.
pub(super) fn sarif(diagnostics: &[Diagnostic], root: &Path) -> Value {
    let mut texts = Texts::new(root);
    let level = |severity: Severity| match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let rules: BTreeSet<&str> = diagnostics.iter().map(|one| one.rule.as_str()).collect();
    let results: Vec<Value> = diagnostics
        .iter()
        .map(|one| {
            let text = if one.help.is_empty() {
                one.message.clone()
            } else {
                format!("{}; {}", one.message, one.help)
            };
            json!({
                "ruleId": one.rule,
                "level": level(one.severity),
                "message": {"text": text},
                "locations": [{"physicalLocation": {
                    "artifactLocation": {"uri": uri(&one.place.path), "uriBaseId": "%SRCROOT%"},
                    "region": region(one, texts.of(one)),
                }}],
            })
        })
        .collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "couchestor",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules.iter().map(|rule| json!({"id": rule})).collect::<Vec<_>>(),
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::diagnostic::Place;

    fn finding(line: u32, column: u32) -> Diagnostic {
        let place = Place {
            path: "p/a.yaml".into(),
            line,
            column,
        };
        Diagnostic::error(place, "unknown-field", "there is no field `b`", "drop it")
    }

    #[test]
    fn the_place_is_underlined_and_nothing_moves_the_cursor() {
        let text = "a: 1\nspec: {b: 2}\n\u{1b}[2Jx: 1\n\ty: 1\n";
        for (line, column, expected) in [
            (2, 8, Some("  2 | spec: {b: 2}\n    |        ^")),
            (2, 1, Some("  2 | spec: {b: 2}\n    | ^^^^")),
            (3, 1, Some("  3 | \u{fffd}[2Jx: 1\n    | ^^^^^")),
            (4, 2, Some("  4 |  y: 1\n    |  ^")),
            (9, 1, None),
            (2, 99, Some("  2 | spec: {b: 2}")),
        ] {
            let shown = underlined(text, &finding(line, column));
            match expected {
                None => assert_eq!(shown, None),
                Some(words) => assert!(
                    shown.as_deref().is_some_and(|shown| shown.starts_with(words)),
                    "{shown:?}"
                ),
            }
        }
        let long = format!("{}key: 1\n", " ".repeat(1000));
        let shown = underlined(&long, &finding(1, 1001)).unwrap_or_default();
        assert!(shown.contains("key: 1") && shown.len() < 400, "{shown}");
    }

    #[test]
    fn sarif_names_tool_rules_and_places() {
        let log = sarif(&[finding(2, 8)], Path::new("/nonexistent"));
        assert_eq!(log["version"], "2.1.0");
        let run = &log["runs"][0];
        assert_eq!(run["columnKind"], "unicodeCodePoints");
        assert_eq!(run["tool"]["driver"]["rules"][0]["id"], "unknown-field");
        let result = &run["results"][0];
        assert_eq!(
            (&result["ruleId"], &result["level"]),
            (&json!("unknown-field"), &json!("error"))
        );
        let place = &result["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "p/a.yaml");
        assert_eq!(place["region"], json!({"startLine": 2, "startColumn": 8}));
    }

    #[test]
    fn places_are_uris_and_regions_in_characters() {
        for (path, expected) in [
            ("p/a.yaml", "p/a.yaml"),
            ("my files/a#b%c?.yaml", "my%20files/a%23b%25c%3F.yaml"),
            ("ä/日.yaml", "%C3%A4/%E6%97%A5.yaml"),
            ("c:a\\b\n.yaml", "c%3Aa%5Cb%0A.yaml"),
        ] {
            assert_eq!(uri(path), expected);
        }
        let text = "a: 1\n  ä: {é𝄞: 2}\n";
        for (line, column, expected) in [
            (
                2,
                7,
                json!({"startLine": 2, "startColumn": 7, "endLine": 2, "endColumn": 9}),
            ),
            (
                2,
                1,
                json!({"startLine": 2, "startColumn": 3, "endLine": 2, "endColumn": 4}),
            ),
            (
                2,
                99,
                json!({"startLine": 2, "startColumn": 13, "endLine": 2, "endColumn": 13}),
            ),
            (9, 4, json!({"startLine": 9, "startColumn": 4})),
            (0, 0, json!({"startLine": 1, "startColumn": 1})),
        ] {
            assert_eq!(region(&finding(line, column), Some(text)), expected);
        }
    }

    #[test]
    fn sarif_says_nothing_that_the_format_does_not_know() {
        // The properties of SARIF 2.1.0 (OASIS standard, §3) that we write, by the object that they stand in; `!` marks those
        // without which it is no such object, or GitHub refuses it.
        let known: BTreeMap<&str, &[&str]> = BTreeMap::from([
            ("", &["$schema", "!version", "!runs"][..]),
            ("runs", &["!tool", "columnKind", "!results"]),
            ("tool", &["!driver"]),
            ("driver", &["!name", "version", "rules"]),
            ("rules", &["!id"]),
            ("results", &["!ruleId", "level", "!message", "!locations"]),
            ("message", &["!text"]),
            ("locations", &["!physicalLocation"]),
            ("physicalLocation", &["!artifactLocation", "region"]),
            ("artifactLocation", &["!uri", "uriBaseId"]),
            ("region", &["!startLine", "startColumn", "endLine", "endColumn"]),
        ]);
        fn look(name: &str, value: &Value, known: &BTreeMap<&str, &[&str]>, seen: &mut BTreeSet<String>) {
            match value {
                Value::Array(items) => items.iter().for_each(|item| look(name, item, known, seen)),
                Value::Object(fields) => {
                    let all = known.get(name).copied().unwrap_or_default();
                    for field in fields.keys() {
                        let listed = all.iter().any(|one| one.trim_start_matches('!') == field);
                        assert!(listed, "{name}.{field}");
                    }
                    let missing: Vec<&&str> = all
                        .iter()
                        .filter(|one| one.strip_prefix('!').is_some_and(|one| !fields.contains_key(one)))
                        .collect();
                    assert!(missing.is_empty(), "{name}: {missing:?}");
                    seen.insert(name.to_owned());
                    fields
                        .iter()
                        .for_each(|(field, value)| look(field, value, known, seen));
                }
                _ => {}
            }
        }
        let mut seen = BTreeSet::new();
        let log = sarif(&[finding(2, 8), finding(1, 1)], Path::new("/nonexistent"));
        look("", &log, &known, &mut seen);
        assert_eq!(seen.len(), known.len());
        look("", &sarif(&[], Path::new("/nonexistent")), &known, &mut seen);
    }
}
