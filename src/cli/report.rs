//! Findings as people read them, with the line that is meant, and as SARIF 2.1.0 for forges and editors.

use super::data;
use crate::decrypt::FILE_BYTES_MAX;
use crate::formats::sops::SEALED;
use crate::model::diagnostic::{Diagnostic, Severity};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// How much of a long line is shown.
const SHOWN_MAX: usize = 160;

/// Prints each finding with its line and the place underlined. Nothing is shown of a file that is encrypted: the line on disk
/// says nothing, and the clear one is nobody's business.
pub(super) fn text(diagnostics: &[Diagnostic], root: &Path) {
    let mut files: BTreeMap<&str, Option<String>> = BTreeMap::new();
    for diagnostic in diagnostics {
        data(&diagnostic.to_string());
        let path = diagnostic.place.path.as_str();
        let file = files.entry(path).or_insert_with(|| {
            // A link's target is none of the repository's.
            let file = root.join(path);
            let kind = std::fs::symlink_metadata(&file).ok()?;
            if !kind.is_file() || kind.len() > FILE_BYTES_MAX as u64 {
                return None;
            }
            let text = std::fs::read_to_string(&file).ok()?;
            // Nor is a Secret that somebody forgot to encrypt printed into the log of a pipeline.
            let secret = [SEALED, "kind: Secret", "\"Secret\"", "stringData"]
                .iter()
                .any(|mark| text.contains(mark));
            (!secret).then_some(text)
        });
        if let Some(shown) = file.as_deref().and_then(|text| underlined(text, diagnostic)) {
            data(&shown);
        }
    }
}

/// The line, and carets below what is meant.
fn underlined(text: &str, diagnostic: &Diagnostic) -> Option<String> {
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
    let from = column.saturating_sub(SHOWN_MAX / 2);
    // Control characters could move the cursor of whoever looks.
    let clean = |one: &char| if one.is_control() { '\u{fffd}' } else { *one };
    let shown: String = line.iter().skip(from).take(SHOWN_MAX).map(clean).collect();
    let label = number.to_string();
    let margin = " ".repeat(label.len());
    let carets = "^".repeat(length.min(SHOWN_MAX));
    Some(format!(
        "  {label} | {shown}\n  {margin} | {}{carets}",
        " ".repeat(column - from)
    ))
}

/// The findings as one SARIF log.
pub(super) fn sarif(diagnostics: &[Diagnostic]) -> Value {
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
                    "artifactLocation": {"uri": one.place.path, "uriBaseId": "%SRCROOT%"},
                    "region": {"startLine": one.place.line.max(1), "startColumn": one.place.column.max(1)},
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
        let text = "a: 1\nspec: {b: 2}\n\u{1b}[2Jx: 1\n";
        for (line, column, expected) in [
            (2, 8, Some("  2 | spec: {b: 2}\n    |        ^")),
            (2, 1, Some("  2 | spec: {b: 2}\n    | ^^^^")),
            (3, 1, Some("  3 | \u{fffd}[2Jx: 1\n    | ^^^^^")),
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
        let log = sarif(&[finding(2, 8)]);
        assert_eq!(log["version"], "2.1.0");
        let run = &log["runs"][0];
        assert_eq!(run["tool"]["driver"]["rules"][0]["id"], "unknown-field");
        let result = &run["results"][0];
        assert_eq!(
            (&result["ruleId"], &result["level"]),
            (&json!("unknown-field"), &json!("error"))
        );
        let place = &result["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "p/a.yaml");
        assert_eq!(
            (&place["region"]["startLine"], &place["region"]["startColumn"]),
            (&json!(2), &json!(8))
        );
    }
}
