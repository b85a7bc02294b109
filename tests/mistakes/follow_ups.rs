//! What only follows from another finding is not told beside it: one mistake, one finding.

use super::{POLICY, TIER, findings};

const ASSIGNMENT: &str = "apiVersion: storage.billyronks.io/v1
kind: TierAssignment
metadata: {name: data-0, namespace: db}
spec: {claim: data-0, volume: v, tier: hot, decision: {policy: p, from: cold, signal: iops, value: 1, watermark: 1, window: 1h}}
";

const BACKUP: &str = "apiVersion: storage.billyronks.io/v1
kind: BackupPolicy
metadata: {name: daily, namespace: velero}
spec:
  location: s3
  includedNamespaces: [db]
  schedules: [{name: night, schedule: 0 2 * * *, ttl: 720h}]
";

fn tiers() -> String {
    format!(
        "{TIER}---\n{}",
        TIER.replace("hot", "cold").replace("rank: 2", "rank: 1")
    )
}

fn policy(fields: &str) -> String {
    let text = POLICY
        .replace("NAME", "p")
        .replace("CLASS", "m")
        .replace("{LABELS}", "{a: b}");
    let selectors =
        "  nvmePoolSelector: {matchLabels: {tier: hot}}\n  sataPoolSelector: {matchLabels: {tier: cold}}\n";
    assert!(text.contains(selectors));
    text.replace(selectors, "  tiers: [hot, cold]\n") + fields
}

#[test]
fn one_mistake_is_one_finding() {
    let kustomization = |resources: &str| format!("resources: [{resources}]\n");
    let namespace = |name: &str| format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n");
    let source = "apiVersion: storage.billyronks.io/v1\nkind: PolicySource\nmetadata: {name: s, namespace: c}\nspec: {url: 'https://git.example.org/a', path: nowhere, postBuild: {substitute: {A: b}}}\n";
    let assignment = "assignments/db/data-0.yaml";
    let table = [
        (
            "a file with tiers is not there",
            vec![
                ("kustomization.yaml", kustomization("tiers.yaml, p.yaml")),
                ("p.yaml", policy("")),
                (assignment, ASSIGNMENT.to_owned()),
            ],
            vec!["kustomization.yaml:1:13 error missing-file"],
        ),
        (
            "a tier's kind is misspelt",
            vec![
                (
                    "a.yaml",
                    tiers().replacen("kind: StorageTier", "kind: StorageTeir", 1),
                ),
                ("p.yaml", policy("")),
                (assignment, ASSIGNMENT.to_owned()),
            ],
            vec!["a.yaml:2:1 error unknown-kind"],
        ),
        (
            "a tier's group is misspelt",
            vec![
                ("a.yaml", tiers().replacen("billyronks", "billyronk", 1)),
                ("p.yaml", policy("")),
            ],
            vec!["a.yaml:1:1 error unknown-kind"],
        ),
        (
            "a policy is wrong, and an assignment names it",
            vec![
                ("a.yaml", tiers()),
                ("p.yaml", policy("  dryRun: often\n")),
                (assignment, ASSIGNMENT.to_owned()),
            ],
            vec!["p.yaml:13:3 error wrong-type"],
        ),
        (
            "a location's kind is misspelt",
            vec![(
                "a.yaml",
                format!(
                    "{BACKUP}---\napiVersion: storage.billyronks.io/v1\nkind: BackupLocatoin\nmetadata: {{name: s3, namespace: velero}}\n"
                ),
            )],
            vec!["a.yaml:10:1 error unknown-kind"],
        ),
        (
            "a file with namespaces is not there",
            vec![
                ("kustomization.yaml", kustomization("db.yaml, web.yaml, b.yaml")),
                ("web.yaml", namespace("web")),
                ("b.yaml", BACKUP.to_owned()),
            ],
            vec!["kustomization.yaml:1:13 error missing-file"],
        ),
        (
            "the field that gives objects their namespaces is misspelt",
            vec![
                (
                    "kustomization.yaml",
                    "resources: [b.yaml]\nnamspace: velero\n".to_owned(),
                ),
                ("b.yaml", BACKUP.replace(", namespace: velero", "")),
            ],
            vec!["kustomization.yaml:2:1 error kustomization-field"],
        ),
        (
            "the field that tells two of one base apart is misspelt",
            vec![
                ("kustomization.yaml", kustomization("one, two")),
                (
                    "one/kustomization.yaml",
                    "resources: [../base]\nnamPrefix: a-\n".to_owned(),
                ),
                ("two/kustomization.yaml", kustomization("../base")),
                ("base/kustomization.yaml", kustomization("n.yaml")),
                ("base/n.yaml", namespace("web")),
            ],
            vec!["one/kustomization.yaml:2:1 error kustomization-field"],
        ),
        (
            "an expression is wrong where a number belongs",
            vec![
                ("a.yaml", tiers().replacen("rank: 2", "rank: '${RANK'", 1)),
                ("s.yaml", source.to_owned()),
            ],
            vec!["a.yaml:4:8 error substitution"],
        ),
    ];
    for (what, files, expected) in table {
        assert_eq!(findings(&files).0, expected, "{what}");
    }
}

#[test]
fn a_name_that_points_nowhere_is_told_while_everything_can_be_read() {
    let files = [
        ("a.yaml", TIER.to_owned()),
        ("p.yaml", policy("")),
        (
            "assignments/db/data-0.yaml",
            ASSIGNMENT.replace("policy: p", "policy: q"),
        ),
    ];
    let expected = [
        "assignments/db/data-0.yaml:4:56 warning reference",
        "p.yaml:10:16 error reference",
    ];
    assert_eq!(findings(&files).0, expected);
}
