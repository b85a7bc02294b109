//! The JSON schema that editors get: it takes what `validate` takes, and refuses what is wrong in one object.

use jsonschema::Validator;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

const MODELINE: &str = "# yaml-language-server: $schema=";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn couchestor(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_couchestor"))
        .current_dir(root())
        .args(arguments)
        .output()
        .unwrap()
}

fn printed(arguments: &[&str]) -> Value {
    let output = couchestor(arguments);
    assert!(output.status.success(), "{arguments:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn validator(schema: &Value) -> Validator {
    jsonschema::draft7::meta::validate(schema).unwrap_or_else(|error| panic!("{error}"));
    jsonschema::draft7::new(schema).unwrap()
}

/// The documents of a text, each as JSON.
fn documents(text: &str) -> Vec<Value> {
    let read = couchestor::formats::yaml::load(text).unwrap();
    read.iter().map(|node| node.to_json().unwrap()).collect()
}

#[test]
fn our_own_policies_refer_to_the_schema_and_fit_it() {
    let mut seen = 0;
    for name in ["tiers.yaml", "policies.yaml", "backups.yaml"] {
        let folder = root().join("policies/base");
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        // The language server knows a modeline's schema for one document only (redhat-developer/yaml-language-server#946).
        for part in text.split("---\n").filter(|part| part.contains("kind:")) {
            let path = part.lines().find_map(|line| line.strip_prefix(MODELINE));
            let path = path.unwrap_or_else(|| panic!("{name}: a document without a modeline:\n{part}"));
            let schema = std::fs::read_to_string(folder.join(path)).unwrap();
            let validator = validator(&serde_json::from_str(&schema).unwrap());
            for document in documents(part) {
                let errors: Vec<String> = validator
                    .iter_errors(&document)
                    .map(|error| error.to_string())
                    .collect();
                assert!(errors.is_empty(), "{name}: {errors:?}\n{part}");
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 8);
}

const TIER: &str = "apiVersion: storage.billyronks.io/v1\nkind: StorageTier\nmetadata: {name: hot}\nspec:\n  rank: 2\n  poolSelector: {matchLabels: {tier: hot}}\n";

/// Objects of the kinds that our own policies have none of.
const OTHERS: &str = "apiVersion: storage.billyronks.io/v1
kind: TierAssignment
metadata: {name: data-0, namespace: db}
spec: {claim: data-0, volume: pvc-5f3c1c6e-0b1d-4c86-9d5e-2b8f6f0a0001, tier: hot}
---
apiVersion: storage.billyronks.io/v1
kind: Rollout
metadata: {name: r}
spec: {storageClassName: mayastor, phases: [{name: one, workloads: [{namespace: db}]}]}
---
apiVersion: storage.billyronks.io/v1
kind: RolloutPromotion
metadata: {name: r.one}
spec: {rollout: r, phase: one, fingerprint: a0112233, claims: [db/data-0]}
";

/// A kind, and a field of it that gets a value of another type, or that does not exist.
const MISTAKES: [(&str, &str); 13] = [
    ("StorageTier", "/spec/rank=\"fast\""),
    ("StoragePolicy", "/spec/enabled=\"sometimes\""),
    ("StoragePolicy", "/spec/highWatermark=5"),
    ("TierAssignment", "/spec/tier=7"),
    ("BackupLocation", "/spec/credentials=\"velero-s3\""),
    ("BackupLocation", "/spec/bukkit=\"b\""),
    ("BackupPolicy", "/spec/schedules/0/schedule=5"),
    ("BackupPolicy", "/spec/includedNamespaces=\"db\""),
    ("PolicySource", "/spec/prune=\"yes\""),
    ("PolicySource", "/spec/secretRef=\"homelab-git\""),
    ("Rollout", "/spec/phases={}"),
    ("Rollout", "/spec/copy={\"imege\": \"debian\"}"),
    ("RolloutPromotion", "/spec/keepOldVolumes=\"yes\""),
];

#[test]
fn editors_and_validate_agree_about_objects() {
    let all = validator(&printed(&["schema"]));
    let one = validator(&printed(&["schema", "storagetier"]));
    for (what, text, fits) in [
        ("as it should be", TIER.to_owned(), true),
        (
            "null where a field may be left out",
            TIER.to_owned() + "  poolReserve: null\n",
            true,
        ),
        ("an unknown field", TIER.to_owned() + "  pools: 3\n", false),
        (
            "an unknown field deeper down",
            TIER.replace("{matchLabels: ", "{matchExpressions: [], matchLabels: "),
            false,
        ),
        ("another type", TIER.replace("rank: 2", "rank: fast"), false),
        ("a missing field", TIER.replace("  rank: 2\n", ""), false),
        ("no spec", TIER.split("spec:").next().unwrap().to_owned(), false),
        (
            "an unknown kind",
            TIER.replace("StorageTier", "StorageTear"),
            false,
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.yaml"), &text).unwrap();
        let path = folder.path().to_str().unwrap();
        let valid = couchestor(&["validate", path]).status.success();
        assert_eq!(valid, fits, "validate: {what}");
        let document = &documents(&text)[0];
        assert_eq!(all.is_valid(document), fits, "the schema of all kinds: {what}");
        assert_eq!(one.is_valid(document), fits, "the kind's own schema: {what}");
    }
    // One of every kind, whole and with one mistake.
    let policies = [
        include_str!("../policies/base/tiers.yaml"),
        include_str!("../policies/base/policies.yaml"),
        include_str!("../policies/base/backups.yaml"),
        include_str!("../flux/apps/couchestor-system/couchestor/source/policysource.yaml"),
        OTHERS,
    ]
    .map(documents)
    .concat();
    for (kind, mistake) in MISTAKES {
        let good = policies
            .iter()
            .find(|object| object["kind"] == kind)
            .unwrap_or_else(|| panic!("no {kind}"));
        let mut bad = good.clone();
        let (pointer, value) = mistake.split_once('=').unwrap();
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        bad.pointer_mut(parent)
            .unwrap_or_else(|| panic!("{kind}{parent}"))[field] = serde_json::from_str(value).unwrap();
        let own = validator(&printed(&["schema", kind]));
        for (object, fits) in [(good, true), (&bad, false)] {
            assert_eq!(
                all.is_valid(object),
                fits,
                "the schema of all kinds: {kind}, {mistake}"
            );
            assert_eq!(
                own.is_valid(object),
                fits,
                "the kind's own schema: {kind}, {mistake}"
            );
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("a.yaml"), object.to_string()).unwrap();
            let output = couchestor(&["validate", folder.path().to_str().unwrap()]);
            let told = String::from_utf8_lossy(&output.stdout).into_owned()
                + &String::from_utf8_lossy(&output.stderr);
            let named = ["wrong-type", "unknown-field"]
                .iter()
                .any(|rule| told.contains(rule));
            assert_eq!(named, !fits, "validate: {kind}, {mistake}: {told}");
        }
    }
    let schema = printed(&["schema"]).to_string();
    for kind in couchestor::model::kinds::all_crds() {
        let kind = kind.spec.names.kind;
        let tried = MISTAKES.iter().any(|(tried, _)| *tried == kind);
        assert!(
            tried || !schema.contains(&format!("\"const\":\"{kind}\"")),
            "no mistake is made in a {kind}"
        );
    }
    let secret = &documents("apiVersion: v1\nkind: Secret\nmetadata: {name: x}\nsops: {mac: x}\n")[0];
    assert!(all.is_valid(secret), "objects of others are left alone");
}

#[test]
fn a_kind_that_does_not_exist_or_is_not_written_by_hand_has_no_schema() {
    for kind in ["StorageTear", "VolumeMigration", "WorkloadMove"] {
        let output = couchestor(&["schema", kind]);
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success());
        assert!(told.contains("StorageTier") && output.stdout.is_empty(), "{told}");
    }
}

#[test]
fn shells_complete_every_command() {
    let help = String::from_utf8(couchestor(&["--help"]).stdout).unwrap();
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| line.starts_with("  "))
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|word| !word.is_empty())
        .collect();
    assert!(commands.len() > 10, "{help}");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = couchestor(&["completions", shell]);
        let script = String::from_utf8(output.stdout).unwrap();
        for command in &commands {
            assert!(script.contains(command), "{shell} does not know {command}");
        }
    }
    // A shell reads it.
    let script = couchestor(&["completions", "bash"]).stdout;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), script).unwrap();
    let read = Command::new("bash").arg("-n").arg(file.path()).status().unwrap();
    assert!(read.success());
}

/// The schema of SARIF 2.1.0, from the package that is there for it.
fn schema_of_sarif() -> Value {
    let output = Command::new(env!("CARGO"))
        .current_dir(root())
        .args(["metadata", "--format-version", "1", "--locked"])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let package = packages.iter().find(|one| one["name"] == "serde-sarif").unwrap();
    let manifest = Path::new(package["manifest_path"].as_str().unwrap());
    let schema = manifest.with_file_name("src").join("schema.json");
    let mut schema: Value = serde_json::from_str(&std::fs::read_to_string(schema).unwrap()).unwrap();
    // Its pattern of languages closes a bracket that it never opened, and is none to strict readers.
    for kind in ["run", "toolComponent"] {
        let language = &mut schema["definitions"][kind]["properties"]["language"];
        assert!(language.as_object_mut().unwrap().remove("pattern").is_some());
    }
    schema
}

#[test]
fn what_forges_read_fits_the_schema_of_sarif() {
    let validator = validator(&schema_of_sarif());
    for (path, results) in [("tests/golden/mistakes", 1..), ("policies", 0..)] {
        let log: Value =
            serde_json::from_slice(&couchestor(&["validate", path, "-o", "sarif"]).stdout).unwrap();
        let errors: Vec<String> = validator
            .iter_errors(&log)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{path}: {errors:#?}");
        let found = log["runs"][0]["results"].as_array().unwrap().len();
        assert!(results.contains(&found), "{path}: {found}");
        // It does refuse what is none.
        let mut other = log.clone();
        other["runs"][0]["tool"]["driver"]["name"] = Value::Null;
        assert!(!validator.is_valid(&other), "{path}");
    }
}
