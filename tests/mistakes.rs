//! A folder with planted mistakes: `validate` names each with file and line, and exits with 1.

use std::path::Path;
use std::process::Command;

#[test]
fn validate_names_all_planted_mistakes_with_file_and_line() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(env!("CARGO_BIN_EXE_couchestor"))
        .current_dir(root)
        .args(["validate", "tests/golden/mistakes"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for (place, rule) in [
        ("tiers.yaml:6:3", "wrong-type"),
        ("tiers.yaml:16:3", "unknown-field"),
        ("tiers.yaml:28:3", "quantity"),
        ("policies.yaml:7:3", "watermarks"),
        ("policies.yaml:8:3", "duration"),
        ("policies.yaml:9:17", "reference"),
        ("policies.yaml:12:1", "unknown-kind"),
        ("backups.yaml:7:3", "reference"),
        ("backups.yaml:11:7", "schedule"),
        ("twice.yaml:7:3", "duplicate-key"),
    ] {
        let line = format!("tests/golden/mistakes/{place}: error[{rule}]");
        assert!(text.contains(&line), "{line} is missing in\n{text}");
    }
    assert_eq!(output.status.code(), Some(1));
}
