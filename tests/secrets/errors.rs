//! Errors about encrypted files point to their lines.

use super::{SEALED, text};
use crate::support::canary::Canary;
use crate::support::say;
use std::process::Command;

#[test]
fn errors_of_encrypted_files_point_to_the_line_that_they_are_about() {
    let sealed = include_str!("../../policies/base/velero-s3.sops.yaml");
    let key = include_str!("../../policies/demo.agekey");
    let line_of = |text: &str, start: &str| {
        let found = text.lines().position(|line| line.trim_start().starts_with(start));
        found.unwrap_or_else(|| panic!("no {start}")) + 1
    };
    let value = sealed.lines().find(|line| line.contains(SEALED)).unwrap();
    let (value_line, value_column) = (
        line_of(sealed, value.trim_start()),
        value.find(SEALED).unwrap() + 1,
    );
    let flipped = {
        let (at, letter) = sealed
            .match_indices(SEALED)
            .next()
            .map(|(at, _)| (at + SEALED.len() + 6, 'A'))
            .unwrap();
        let other = if sealed[at..].starts_with(letter) {
            "B"
        } else {
            "A"
        };
        format!("{}{other}{}", &sealed[..at], &sealed[at + 1..])
    };
    let canary = Canary::new();
    let plain = sealed.replacen(&value[value.find(SEALED).unwrap()..], &canary.word, 1);
    let renamed = sealed.replacen("name: ", "name: other-", 1);
    let without_mac = {
        let mac = sealed
            .lines()
            .find(|line| line.trim_start().starts_with("mac: "))
            .unwrap();
        sealed.replacen(&format!("{mac}\n"), "", 1)
    };
    let block = line_of(sealed, "sops:");
    let inside = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &renamed);
    let inside = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: a, namespace: b}}\ndata:\n  a.yaml: {inside}\n"
    );
    let mut errors = 0;
    for (what, text, keys, line, column, words) in [
        ("no key", sealed, None, block, 1, "no key opens it"),
        (
            "MAC",
            &renamed,
            Some(key),
            line_of(&renamed, "mac: "),
            5,
            "the MAC does not match",
        ),
        (
            "value",
            &flipped,
            Some(key),
            value_line,
            value_column,
            "does not decrypt",
        ),
        ("plain", &plain, Some(key), value_line, 1, "should be encrypted"),
        ("no MAC", &without_mac, Some(key), block, 1, "has no `mac`"),
        (
            "no block",
            &sealed[..sealed.find("sops:").unwrap()],
            Some(key),
            value_line,
            value_column,
            "no `sops` block",
        ),
        (
            "inside",
            &inside,
            Some(key),
            5,
            1,
            "inside of this value: the MAC does not match",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.yaml"), text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_couchestor"));
        command
            .current_dir(folder.path())
            .args(["validate", ".", "-o", "json"]);
        command
            .env("HOME", folder.path())
            .env("SOPS_AGE_KEY", keys.unwrap_or_default());
        for name in ["SOPS_AGE_KEY_FILE", "XDG_CONFIG_HOME"] {
            command.env_remove(name);
        }
        let output = command.output().unwrap();
        let told = self::text(&output);
        let findings: serde_json::Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{what}: {told}"));
        let one = &findings[0];
        assert_eq!(findings.as_array().map(Vec::len), Some(1), "{what}: {told}");
        assert!(
            one["message"].as_str().unwrap_or_default().contains(words),
            "{what}: {told}"
        );
        let place = (one["place"]["line"].as_u64(), one["place"]["column"].as_u64());
        assert_eq!(place, (Some(line as u64), Some(column as u64)), "{what}: {told}");
        canary.assert_absent(&told);
        errors += 1;
        assert!(!told.contains("AGE-SECRET"), "{what}: {told}");
    }
    say(&format!("{errors} errors of encrypted files, each at its line"));
}
