//! The examples in `policies/`, read as users read them: `render` equals `kubectl kustomize`.

use crate::support::servers;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
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

/// The password of Velero's repositories in a folder's Secret, which is made once and then never changed.
fn repository_password(folder: &str) -> String {
    let output = couchestor(&["render", folder, "--show-secrets", "-o", "json"]);
    let objects: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let named =
        |one: &&Value| one["kind"] == "Secret" && one["metadata"]["name"] == "velero-repo-credentials";
    let secret = objects.iter().find(named).unwrap();
    if let Some(clear) = secret["stringData"]["repository-password"].as_str() {
        return clear.to_owned();
    }
    let encoded = secret["data"]["repository-password"].as_str().unwrap();
    String::from_utf8(STANDARD.decode(encoded).unwrap()).unwrap()
}

#[test]
fn what_flux_installs_and_the_example_that_it_follows_agree_on_the_password_of_backups() {
    let of_flux = repository_password("flux/apps/velero/velero/config");
    assert_eq!(repository_password("policies/homelab"), of_flux);
    assert!(!of_flux.is_empty());
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

/// What a golden file holds.
fn golden(name: &str) -> String {
    std::fs::read_to_string(root().join("tests/golden").join(name)).unwrap_or_default()
}

#[test]
fn what_the_example_renders_is_what_was_read_last() {
    let output = couchestor(&["render", "policies/homelab"]);
    let rendered = String::from_utf8(output.stdout).unwrap();
    assert!(
        rendered == golden("render.yaml"),
        "another text: run `couchestor render policies/homelab > tests/golden/render.yaml` and read what differs\n{rendered}"
    );
}

/// An hour that everything is dated by.
const NOON: &str = r#"{"at": "2026-11-21T12:00:00Z", "volumes": [], "groups": [], "classes_in_use": [], "engine": {"Err": "nobody asked"}, "answers": {}}"#;

/// What a plan of the example says at that hour.
fn planned_at_noon(more: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let observation = folder.path().join("noon.json");
    std::fs::write(&observation, NOON).unwrap();
    let asked = [
        "plan",
        "policies/homelab",
        "--observation",
        observation.to_str().unwrap(),
    ];
    let plan = couchestor(&[&asked[..], more].concat());
    String::from_utf8(plan.stdout).unwrap()
}

#[test]
fn a_plan_tells_of_each_phase_its_gates_and_what_they_wait_for() {
    let text = planned_at_noon(&[]);
    let (_, rollouts) = text
        .split_once("Rollout local-disks")
        .unwrap_or_else(|| panic!("{text}"));
    assert_eq!(format!("Rollout local-disks{rollouts}"), golden("rollouts.txt"));
    let widest = golden("rollouts.txt").lines().map(str::len).max();
    assert!(widest.is_some_and(|widest| widest <= 100), "{widest:?}");
}

#[test]
fn a_plan_tells_when_backups_are_made_and_what_they_keep() {
    let text = planned_at_noon(&[]);
    let (_, backups) = text
        .split_once("Backup schedules:")
        .unwrap_or_else(|| panic!("{text}"));
    let (backups, _) = backups.split_once("\nMoves that").unwrap();
    assert_eq!(format!("Backup schedules:{backups}\n"), golden("backups.txt"));
    let plan = planned_at_noon(&["-o", "json"]);
    let json: Value = serde_json::from_str(&plan).unwrap();
    let schedules = json["backups"]["schedules"].as_array().unwrap();
    let daily = schedules
        .iter()
        .find(|one| one["schedule"] == "velero/daily-backup")
        .unwrap();
    assert_eq!(
        daily,
        &serde_json::json!({
            "makes": "backups", "policy": "velero/daily", "schedule": "velero/daily-backup", "cron": "0 2 * * *", "paused": false,
            "location": "s3", "bucket": "openebs-backups", "kept": "720h", "serves": ["rpo 26h"],
            "next": (22..27).map(|day| format!("2026-11-{day}T02:00:00Z")).collect::<Vec<_>>(),
        })
    );
    assert_eq!(json["backups"]["hidden"], 0);
}
