//! The examples in `policies/`, read as users read them: `render` equals `kubectl kustomize`.

use crate::support::servers;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn couchestor(arguments: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_couchestor"))
        .current_dir(root())
        .args(arguments)
        .env("SOPS_AGE_KEY_FILE", root().join("policies/demo.agekey"))
        .output()
        .unwrap()
}

fn id(object: &Value) -> String {
    let text = |pointer: &str| {
        object
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    format!(
        "{} {}/{}",
        text("/kind"),
        text("/metadata/namespace"),
        text("/metadata/name")
    )
}

#[test]
fn the_examples_are_valid() {
    for folder in ["policies/homelab", "policies/second"] {
        let output = couchestor(&["validate", folder]);
        assert!(
            output.status.success(),
            "{folder}: {}",
            String::from_utf8_lossy(&output.stdout)
        );
    }
}

#[test]
fn render_of_each_example_holds_what_kubectl_kustomize_makes_of_it() {
    if servers::left_out("render_of_each_example_holds_what_kubectl_kustomize_makes_of_it") {
        return;
    }
    for folder in ["policies/homelab", "policies/second"] {
        let output = couchestor(&["render", folder, "--show-secrets", "-o", "json"]);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let ours: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        let ours: BTreeMap<String, Value> = ours.into_iter().map(|object| (id(&object), object)).collect();
        let theirs = Command::new(servers::kubectl())
            .current_dir(root())
            .args(["kustomize", folder])
            .output()
            .unwrap();
        assert!(
            theirs.status.success(),
            "{}",
            String::from_utf8_lossy(&theirs.stderr)
        );
        let mut compared = 0;
        for document in couchestor::formats::yaml::load(&String::from_utf8(theirs.stdout).unwrap()).unwrap() {
            let mut theirs = document.to_json().unwrap();
            let ours = ours
                .get(&id(&theirs))
                .unwrap_or_else(|| panic!("{folder}: {} is missing", id(&theirs)));
            if theirs.get("sops").is_some() {
                // kustomize cannot open it; what it can see must be the same all the same.
                assert_eq!(theirs["metadata"], ours["metadata"]);
                continue;
            }
            compared += 1;
            assert_eq!(&mut theirs, ours, "{folder}");
        }
        assert!(compared >= 7, "{folder}: only {compared} objects were compared");
    }
}

#[test]
fn secrets_are_masked_unless_they_are_asked_for() {
    let masked = couchestor(&["render", "policies/homelab"]);
    assert!(masked.status.success() && !String::from_utf8_lossy(&masked.stdout).contains("protects-nothing"));
    let shown = couchestor(&["render", "policies/homelab", "--show-secrets"]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("aws_secret_access_key=protects-nothing"));
}
