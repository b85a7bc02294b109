//! A folder with planted mistakes: `validate` names each with file and line, and exits with 1.

use crate::support::canary::Canary;
use std::path::Path;
use std::process::Command;

/// Everything of one run, and what is only doubted.
mod doubts;

/// What Velero would find wrong only when a backup runs.
mod backups;

/// Objects that contradict each other.
mod contradictions;

/// One mistake, one finding.
mod follow_ups;

/// Phases that could never open.
mod rollouts;

/// What a source could not go by.
mod sources;

/// Tiers of local disks, and tiers beside each other.
mod tiers;

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
        ("backups.yaml:20:3", "endpoint"),
        ("backups.yaml:29:31", "value"),
        ("backups.yaml:32:7", "missing-field"),
        ("backups.yaml:40:7", "retention"),
        ("backups.yaml:42:7", "schedule-overlap"),
        ("backups.yaml:44:3", "rpo"),
        ("backups.yaml:47:18", "drill"),
        ("twice.yaml:7:3", "duplicate-key"),
    ] {
        let line = format!("tests/golden/mistakes/{place}: error[{rule}]");
        assert!(text.contains(&line), "{line} is missing in\n{text}");
    }
    // What was probably meant, of a kind and of a field, and the place underlined.
    for words in [
        "there is no kind StoragePolice; write StoragePolicy\n  12 | kind: StoragePolice\n     | ^^^^",
        "`poolSelecter` is no field; write `poolSelector`\n  16 |   poolSelecter:\n     |   ^^^^^^^^^^^^",
    ] {
        assert!(text.contains(words), "{words} is missing in\n{text}");
    }
    assert_eq!(output.status.code(), Some(1));
    // The same for forges, with the end of what is meant.
    let sarif = Command::new(env!("CARGO_BIN_EXE_couchestor"))
        .current_dir(root)
        .args(["validate", "tests/golden/mistakes", "-o", "sarif"])
        .output()
        .unwrap();
    let log: serde_json::Value = serde_json::from_slice(&sarif.stdout).unwrap();
    let region = serde_json::json!({"startLine": 16, "startColumn": 3, "endLine": 16, "endColumn": 15});
    let places = log["runs"][0]["results"].as_array().unwrap();
    let found = places.iter().any(|one| {
        let place = &one["locations"][0]["physicalLocation"];
        place["artifactLocation"]["uri"] == "tests/golden/mistakes/tiers.yaml" && place["region"] == region
    });
    assert!(found, "{log:#}");
    assert_eq!(sarif.status.code(), Some(1));
}

const POLICY: &str = "apiVersion: storage.billyronks.io/v1
kind: StoragePolicy
metadata: {name: NAME}
spec:
  highWatermarkIOPS: 5000
  lowWatermarkIOPS: 500
  samplingWindow: 1h
  cooldownPeriod: 24h
  storageClassName: CLASS
  nvmePoolSelector: {matchLabels: {tier: hot}}
  sataPoolSelector: {matchLabels: {tier: cold}}
  migrationTimeout: 30m
  volumeSelector: {matchLabels: {LABELS}}
";

fn policy(name: &str, class: &str, labels: &str) -> String {
    POLICY
        .replace("NAME", name)
        .replace("CLASS", class)
        .replace("LABELS", labels)
}

const TIER: &str = "apiVersion: storage.billyronks.io/v1\nkind: StorageTier\nmetadata: {name: hot}\nspec: {rank: 2, poolSelector: {matchLabels: {tier: hot}}}\n";
const POOL: &str = "apiVersion: openebs.io/v1beta3\nkind: DiskPool\nmetadata: {name: p, namespace: openebs}\nspec: {node: n, disks: [/dev/sdb], topology: {labelled: {tier: WHICH}}}\n";
const SECRET: &str = "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: a}\n";

/// A folder, and what is wrong with it.
type Row<'a> = (&'a str, Vec<(&'a str, String)>, Vec<&'a str>);

/// What `validate` says of a folder, as `file:line:column severity rule`, and how it ends.
fn findings(files: &[(&str, String)]) -> (Vec<String>, Option<i32>) {
    told(files, None)
}

/// The same of files in which a secret is planted, which nothing that is printed holds.
fn findings_without(files: &[(&str, String)], canary: &Canary) -> (Vec<String>, Option<i32>) {
    let planted = files.iter().any(|(_, text)| text.contains(&canary.word));
    assert!(planted, "the canary is in no file");
    told(files, Some(canary))
}

fn told(files: &[(&str, String)], canary: Option<&Canary>) -> (Vec<String>, Option<i32>) {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let output = Command::new(env!("CARGO_BIN_EXE_couchestor"))
        .args(["validate", "-o", "json"])
        .arg(folder.path())
        .env_remove("SOPS_AGE_KEY_FILE")
        .output()
        .unwrap();
    for printed in [&output.stdout, &output.stderr] {
        canary
            .iter()
            .for_each(|canary| canary.assert_absent(&String::from_utf8_lossy(printed)));
    }
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let found = found.as_array().unwrap_or_else(|| panic!("{found}")).iter();
    for one in found.clone() {
        let help = one["help"].as_str().unwrap_or_default();
        // The form of an address leads nowhere.
        let own = ["https://VAULT", "https://HOST", "^https?://"]
            .iter()
            .any(|own| help.contains(own));
        assert!(own || !help.contains("http"), "{help} leads outside");
    }
    let word = |one: &serde_json::Value, pointer: &str| match one.pointer(pointer) {
        Some(serde_json::Value::String(text)) => text.clone(),
        other => other.map(ToString::to_string).unwrap_or_default(),
    };
    let found = found.map(|one| {
        let place = ["/place/path", "/place/line", "/place/column"].map(|pointer| word(one, pointer));
        format!(
            "{} {} {}",
            place.join(":"),
            word(one, "/severity"),
            word(one, "/rule")
        )
    });
    (found.collect(), output.status.code())
}

const BACKUPS: &str = "apiVersion: storage.billyronks.io/v1
kind: BackupLocation
metadata: {name: s3, namespace: velero}
spec: {bucket: b, credentials: {name: s, key: k}}
---
apiVersion: storage.billyronks.io/v1
kind: BackupPolicy
metadata: {name: all, namespace: velero}
spec:
  location: s3
  includedNamespaces: ['*']
  schedules:
  - {name: daily, schedule: '@daily', ttl: 48h}
---
{apiVersion: v1, kind: Secret, metadata: {name: s, namespace: velero}, stringData: {k: null}}
---
{apiVersion: v1, kind: Secret, metadata: {name: velero-repo-credentials, namespace: velero}, stringData: {repository-password: null}}
";

#[test]
fn a_pin_that_has_passed_is_told_of() {
    let assignment = "apiVersion: storage.billyronks.io/v1
kind: TierAssignment
metadata: {name: c, namespace: db}
spec: {claim: c, volume: pvc-u, tier: hot, pinned: true, until: 'YEAR-01-31T00:00:00Z'}
";
    for (year, expected) in [
        ("2999", None),
        ("2020", Some("assignments/db/c.yaml:4:58 warning pin")),
    ] {
        let files = [
            ("tier.yaml", TIER.to_owned()),
            ("assignments/db/c.yaml", assignment.replace("YEAR", year)),
        ];
        assert_eq!(findings(&files).0, Vec::from_iter(expected), "{year}");
    }
}

#[test]
fn schedules_have_names_of_their_own() {
    let daily = "  - {name: daily, schedule: '@daily', ttl: 48h}\n";
    let with = |name: &str| {
        let more = format!("{daily}  - {{name: {name}, schedule: 30 4 * * 0, ttl: 336h}}\n");
        BACKUPS.replace(daily, &more)
    };
    for (name, expected) in [
        ("weekly", None),
        ("daily", Some("a.yaml:14:6 error name")),
        ("Week_ly", Some("a.yaml:14:6 error name")),
        ("''", Some("a.yaml:14:6 error name")),
        ("a.b", Some("a.yaml:14:6 error name")),
    ] {
        let found = findings(&[("a.yaml", with(name))]).0;
        assert_eq!(found, Vec::from_iter(expected), "{name}");
    }
}

#[test]
fn one_run_tells_everything_also_beside_files_that_cannot_be_read() {
    let canary = Canary::new();
    // What is in the clear in a file that was encrypted was to be encrypted.
    let sealed = format!(
        "{SECRET}stringData: {{a: \"ENC[AES256_GCM,data:AA==,iv:AA==,tag:AA==,type:str]\", b: {}}}\nsops: {{age: [{{recipient: age1them, enc: x}}], mac: \"ENC[]\", lastmodified: now}}\n",
        canary.word
    );
    let files = [
        (
            "kustomization.yaml",
            "resources: [tier.yaml, broken.yaml, policy.yaml, sealed.yaml]\npatches:\n- path: patch.yaml\n- path: sealed-patch.yaml\n".to_owned(),
        ),
        ("tier.yaml", TIER.replace("rank: 2", "rnk: 2")),
        ("broken.yaml", "a: [\n".to_owned()),
        ("policy.yaml", policy("x", "m", "").replace("24h", "soon")),
        ("sealed.yaml", sealed.clone()),
        ("sealed-patch.yaml", sealed),
        // It is for the object in sealed.yaml: nothing is said of a target that may be there.
        ("patch.yaml", format!("{SECRET}stringData: {{a: {}}}\n", canary.word)),
    ];
    let (found, code) = findings_without(&files, &canary);
    assert_eq!(
        found,
        [
            "broken.yaml:1:4 error yaml",
            "policy.yaml:8:3 error duration",
            "sealed-patch.yaml:5:1 error sops",
            "sealed.yaml:5:1 error sops",
            "tier.yaml:4:1 error missing-field",
            "tier.yaml:4:8 error unknown-field",
        ]
    );
    assert_eq!(code, Some(1));
}

#[test]
fn what_a_patch_wrote_is_told_at_the_patch() {
    let base = || ("policy.yaml", policy("x", "m", ""));
    let kustomization = |patches: &str| {
        (
            "kustomization.yaml",
            format!("resources: [policy.yaml]\npatches:\n{patches}"),
        )
    };
    let inline = "- target: {kind: StoragePolicy}\n  patch: |-\n    - op: replace\n      path: /spec/highWatermarkIOPS\n      value: \"4000\"\n";
    let one_line = "- target: {kind: StoragePolicy}\n  patch: '[{op: replace, path: /spec/cooldownPeriod, value: soon}]'\n";
    let strategic = "apiVersion: storage.billyronks.io/v1\nkind: StoragePolicy\nmetadata: {name: x}\nspec:\n  coolDown: 1h\n  samplingWindow: 2d\n";
    let table: Vec<Row> = vec![
        (
            "an operation in a block",
            vec![base(), kustomization(inline)],
            vec!["kustomization.yaml:7:1 error wrong-type"],
        ),
        (
            "an operation on one line",
            vec![base(), kustomization(one_line)],
            vec!["kustomization.yaml:4:10 error duration"],
        ),
        (
            "a strategic merge from a file",
            vec![
                base(),
                kustomization("- path: patch.yaml\n"),
                ("patch.yaml", strategic.to_owned()),
            ],
            vec![
                "patch.yaml:5:3 error unknown-field",
                "patch.yaml:6:3 error duration",
            ],
        ),
    ];
    for (what, files, expected) in table {
        assert_eq!(findings(&files).0, expected, "{what}");
    }
}

#[test]
fn what_the_cluster_would_refuse_or_ignore_is_refused_before() {
    let tier = |from: &str, to: &str| TIER.replace(from, to);
    let class = |class: &str| TIER.replace("rank: 2,", &format!("rank: 2, storageClass: {class},"));
    let two = |spec: &str| {
        let cold = TIER.replace("hot", "cold").replace("rank: 2", "rank: 1");
        let selectors = "  nvmePoolSelector: {matchLabels: {tier: hot}}\n  sataPoolSelector: {matchLabels: {tier: cold}}\n";
        format!(
            "{TIER}---\n{cold}---\n{}",
            policy("x", "m", "").replace(selectors, spec)
        )
    };
    for (what, text, expected) in [
        (
            "a slip in the group",
            tier("billyronks", "billyronk"),
            "1:1 unknown-kind",
        ),
        (
            "no group",
            tier("storage.billyronks.io/v1", "v1"),
            "1:1 unknown-kind",
        ),
        (
            "capitals in a name",
            tier("name: hot", "name: Hot_Tier"),
            "3:12 name",
        ),
        ("a class with a bad name", class("{name: A_b}"), "4:32 name"),
        (
            "a file system that Mayastor lacks",
            class("{name: a, mayastor: {fsType: zfs}}"),
            "4:52 value",
        ),
        ("a tier named twice", two("  tiers: [hot, hot]\n"), "20:16 value"),
        (
            "an empty window",
            policy("x", "m", "").replace("samplingWindow: 1h", "samplingWindow: 0s"),
            "7:3 duration",
        ),
        (
            "a rollback that looks at no whole window",
            policy("x", "m", "") + "  rollback: {latencyWorsePercent: 50, within: 1h}\n",
            "14:39 duration",
        ),
        (
            "no base64",
            format!("{SECRET}data: {{a: 'not base64!'}}\n"),
            "4:8 secret-value",
        ),
        (
            "a number in a Secret",
            format!("{SECRET}stringData: {{a: 5}}\n"),
            "4:14 secret-value",
        ),
        (
            "a namespace that YAML reads as true",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: y}\n".to_owned(),
            "3:21 metadata-text",
        ),
        (
            "a name that YAML reads as false",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: no}\n".to_owned(),
            "3:12 metadata-text",
        ),
        (
            "a number for a name",
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  labels: {a: b}\n  name: 123\n".to_owned(),
            "5:3 metadata-text",
        ),
        (
            "a name with a line break",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: \"a\\nb\"}\n".to_owned(),
            "3:12 name",
        ),
        (
            "a namespace that turns the text around",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: \"a\\u202eb\"}\n".to_owned(),
            "3:21 name",
        ),
        (
            "a name that leads elsewhere",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a/b}\n".to_owned(),
            "3:12 name",
        ),
        (
            "no name at all",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: }\n".to_owned(),
            "1:1 not-an-object",
        ),
        (
            "a watermark below the other's default",
            policy("x", "m", "")
                .replace("5000", "100")
                .replace("  lowWatermarkIOPS: 500\n", ""),
            "5:3 watermarks",
        ),
        (
            "watermarks that stand as they should not",
            policy("x", "m", "").replace("5000", "100") + "  signals: [{name: iops}]\n",
            "6:3 watermarks",
        ),
        (
            "a value of a ConfigMap that YAML reads as true",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  k: \"yes\"\n  l: yes\n"
                .to_owned(),
            "6:3 config-map-value",
        ),
        (
            "a number in a ConfigMap",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: 5}\n".to_owned(),
            "4:8 config-map-value",
        ),
        (
            "a number for a label",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, labels: {b: 1}}\n".to_owned(),
            "3:30 metadata-text",
        ),
    ] {
        let (found, code) = findings(&[("a.yaml", text)]);
        let errors: Vec<String> = found
            .iter()
            .filter_map(|one| Some(one.strip_prefix("a.yaml:")?.replace(" error", "")))
            .filter(|one| !one.contains("warning"))
            .collect();
        assert_eq!(errors, [expected], "{what}");
        assert_eq!(code, Some(1), "{what}");
    }
}

#[test]
fn a_tier_that_is_wrong_in_itself_is_there_all_the_same() {
    let wrong = TIER.replace("rank: 2, ", "");
    let text = format!("{wrong}---\n{}", policy("x", "m", "").replace(
        "  nvmePoolSelector: {matchLabels: {tier: hot}}\n  sataPoolSelector: {matchLabels: {tier: cold}}\n",
        "  tiers: [hot, gone]\n",
    ));
    let (found, _) = findings(&[("a.yaml", text)]);
    assert_eq!(
        found,
        ["a.yaml:4:1 error missing-field", "a.yaml:15:16 error reference"]
    );
}
