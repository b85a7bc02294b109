//! Rollouts of which a phase could never open, found when they are committed; one row for each rule.

use super::findings;

const API: &str = "apiVersion: storage.billyronks.io/v1\n";

/// A tree without a finding: a backup policy that promises and drills, and a rollout with a gate of each kind.
fn tree() -> String {
    format!(
        "{API}kind: BackupLocation
metadata: {{name: s3, namespace: velero}}
spec: {{bucket: b, credentials: {{name: s}}}}
---
{{apiVersion: v1, kind: Secret, metadata: {{name: s, namespace: velero}}, stringData: {{cloud: null}}}}
---
{{apiVersion: v1, kind: Secret, metadata: {{name: velero-repo-credentials, namespace: velero}}, stringData: {{repository-password: null}}}}
---
{API}kind: BackupPolicy
metadata: {{name: p, namespace: velero}}
spec:
  location: s3
  includedNamespaces: [db, web]
  volumes: fs-backup
  schedules: [{{name: day, schedule: 0 2 * * *, ttl: 720h}}]
  rpo: 26h
  rto: 15m
  drill: {{schedule: '@weekly', namespaces: [db]}}
---
{API}kind: Rollout
metadata: {{name: r}}
spec:
  storageClassName: fast
  phases:
  - name: one
    workloads: [{{namespace: db}}]
    gates:
    - coverage: {{policy: p}}
    - rpo: {{policy: p}}
    - drill: {{policy: p, within: 72h}}
    - rto: {{policy: p, namespace: velero}}
    - metric: {{name: alerts, query: up, below: 1}}
    soak: 24h
  - name: two
    workloads: [{{namespace: web}}]
    gates: [{{coverage: {{policy: p}}}}]
"
    )
}

/// What is said of the tree with a text in the place of another.
fn told(from: &str, to: &str) -> Vec<String> {
    let tree = tree();
    assert!(tree.contains(from), "{from}");
    findings(&[("a.yaml", tree.replacen(from, to, 1))]).0
}

/// What a promotion of the first phase names it by.
fn fingerprint() -> String {
    let tree = tree();
    let text = tree.rsplit("---\n").next().unwrap();
    let rollout: serde_json::Value = serde_saphyr::from_str(text).unwrap();
    let phase = serde_json::from_value(rollout["spec"]["phases"][0].clone()).unwrap();
    couchestor::model::rollouts::fingerprint("fast", &phase)
}

#[test]
fn a_promotion_that_has_no_effect_is_told_of_with_why() {
    let print = fingerprint();
    for (rollout, phase, fingerprint, claims, expected) in [
        ("r", "one", print.as_str(), "[db/data-0]", None),
        ("q", "one", print.as_str(), "[db/data-0]", Some("reference")),
        ("r", "three", print.as_str(), "[db/data-0]", Some("reference")),
        ("r", "two", print.as_str(), "[web/data-0]", Some("promotion")),
        ("r", "one", "zz", "[db/data-0]", Some("promotion")),
        (
            "r",
            "one",
            print.as_str(),
            "[db/data-0, web/x]",
            Some("promotion"),
        ),
    ] {
        let text = format!(
            "{API}kind: RolloutPromotion\nmetadata: {{name: {rollout}.{phase}}}\nspec: {{rollout: {rollout}, phase: {phase}, fingerprint: {fingerprint:?}, claims: {claims}}}\n"
        );
        let path = format!("assignments/rollouts/{rollout}/{phase}.yaml");
        let (found, _) = findings(&[("a.yaml", tree()), (&path, text)]);
        match expected {
            None => assert_eq!(found, Vec::<String>::new(), "{rollout} {phase}"),
            Some(rule) => {
                assert_eq!(
                    found.len(),
                    1,
                    "{rollout} {phase} {fingerprint} {claims}: {found:?}"
                );
                assert!(found[0].contains(&format!("warning {rule}")), "{found:?}");
            }
        }
    }
    // A Rollout that cannot be read is told of for that.
    let text = format!(
        "{API}kind: RolloutPromotion\nmetadata: {{name: r.one}}\nspec: {{rollout: r, phase: one, fingerprint: x, claims: [db/a]}}\n"
    );
    let broken = tree().replace("storageClassName: fast", "storageClassname: fast");
    let (found, _) = findings(&[("a.yaml", broken), ("assignments/rollouts/r/one.yaml", text)]);
    assert!(
        !found.is_empty() && found.iter().all(|one| one.starts_with("a.yaml")),
        "{found:?}"
    );
}

#[test]
fn a_promotion_stands_in_its_own_file_and_names_claims() {
    let promotion = |claims: &str| {
        let fingerprint = fingerprint();
        format!(
            "{API}kind: RolloutPromotion\nmetadata: {{name: r.one}}\nspec: {{rollout: r, phase: one, fingerprint: {fingerprint:?}, claims: {claims}}}\n"
        )
    };
    let (home, claims) = ("assignments/rollouts/r/one.yaml", "[db/data-0]");
    for (path, claims, rule) in [
        (home, claims, None),
        ("assignments/rollouts/r/two.yaml", claims, Some("promotion-path")),
        ("promotion.yaml", claims, Some("promotion-path")),
        (home, "[data-0]", Some("value")),
        (home, "[DB/data-0]", Some("value")),
        (home, "[]", Some("value")),
    ] {
        let (found, _) = findings(&[("a.yaml", tree()), (path, promotion(claims))]);
        match rule {
            None => assert_eq!(found, Vec::<String>::new(), "{path} {claims}"),
            Some(rule) => {
                let told = found.iter().any(|one| one.contains(&format!("error {rule}")));
                assert!(told, "{path} {claims}: {found:?}");
            }
        }
    }
    let made = format!("{API}kind: WorkloadMove\nmetadata: {{name: x}}\nspec: {{}}\n");
    let (found, _) = findings(&[("a.yaml", tree()), ("b.yaml", made)]);
    assert!(
        found.iter().any(|one| one.contains("error unknown-kind")),
        "{found:?}"
    );
}

#[test]
fn a_gate_that_can_never_hold_is_found_at_its_line() {
    assert_eq!(told("name: one", "name: one"), Vec::<String>::new());
    // The text that is changed, what it becomes, the rule.
    let rows = [
        (
            "- coverage: {policy: p}",
            "- coverage: {policy: other}",
            "reference",
        ),
        (
            "- coverage: {policy: p}",
            "- coverage: {policy: p, namespace: db}",
            "reference",
        ),
        (
            "- coverage: {policy: p}",
            "- coverage: {policy: p, within: 1h}",
            "gate",
        ),
        ("- coverage: {policy: p}", "- {}", "gate"),
        (
            "- coverage: {policy: p}",
            "- {coverage: {policy: p}, rpo: {policy: p}}",
            "gate",
        ),
        ("[{namespace: db}]", "[{namespace: cache}]", "gate"),
        ("[{namespace: db}]", "[{namespace: web}]", "gate"),
        ("  rpo: 26h\n", "", "gate"),
        ("  rto: 15m\n", "", "gate"),
        ("  drill: {schedule: '@weekly', namespaces: [db]}\n", "", "gate"),
        ("within: 72h", "within: three days", "duration"),
        ("soak: 24h", "soak: a day", "duration"),
        ("query: up, below: 1", "query: ' ', below: 1", "value"),
        ("query: up, below: 1", "query: up", "gate"),
        ("query: up, below: 1", "query: up, above: 1, below: 1", "gate"),
        ("volumes: fs-backup", "volumes: none", "gate"),
        ("name: two", "name: one", "name"),
        ("name: two", "name: Two of them", "name"),
        ("soak: 24h", "soak: 24h\n    method: rsync", "value"),
        ("  phases:\n", "  copy: {timeout: 1m}\n  phases:\n", "value"),
        ("  phases:\n", "  copy: {timeout: soon}\n  phases:\n", "duration"),
        ("  phases:\n", "  copy: {timeout: 0s}\n  phases:\n", "value"),
        ("  phases:\n", "  copy: {image: ' '}\n  phases:\n", "value"),
        ("  phases:\n", "  copy: {image: Busy Box}\n  phases:\n", "value"),
        ("[{namespace: web}]", "[]", "missing-field"),
    ];
    for (from, to, rule) in rows {
        let found = told(from, to);
        let is_told = found.iter().any(|one| one.contains(&format!("error {rule}")));
        assert!(is_told, "{from} → {to}: {found:?}");
    }
}

/// A Cluster of CloudNativePG in `db`.
fn cluster(instances: &str) -> String {
    format!(
        "---\napiVersion: postgresql.cnpg.io/v1\nkind: Cluster\nmetadata: {{name: main, namespace: db}}\nspec: {{{instances}}}\n"
    )
}

/// A StorageClass.
fn class(name: &str) -> String {
    format!(
        "---\napiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {{name: {name}}}\nprovisioner: x.csi.example.org\n"
    )
}

/// A second rollout.
fn other(class: &str, workloads: &str) -> String {
    format!(
        "---\n{API}kind: Rollout\nmetadata: {{name: s}}\nspec: {{storageClassName: {class}, phases: [{{name: x, method: new, workloads: [{workloads}]}}]}}\n"
    )
}

#[test]
fn a_phase_that_opens_on_nothing_or_can_never_be_done_is_told_of() {
    const NO_GATES: &str = "    gates: [{coverage: {policy: p}}]\n";
    // What is changed, what stands behind the tree, and what is said of it.
    type Row<'a> = (&'a [(&'a str, &'a str)], String, &'a [&'a str]);
    let rows: [Row; 32] = [
        (&[], String::new(), &[]),
        (&[(NO_GATES, "")], String::new(), &["warning phase"]),
        (&[(NO_GATES, "    method: new\n")], String::new(), &[]),
        (&[("    soak: 24h\n", "")], String::new(), &["warning phase"]),
        (
            &[(
                "  - name: one\n",
                "  - name: zero\n    method: new\n    workloads: [{namespace: db}]\n  - name: one\n",
            )],
            String::new(),
            &["warning phase"],
        ),
        (
            &[(
                "  - name: one\n",
                "  - name: zero\n    workloads: [{namespace: db}]\n  - name: one\n",
            )],
            String::new(),
            &["warning phase"],
        ),
        (&[("soak: 24h", "soak: 0s")], String::new(), &["warning phase"]),
        // Gates that do not hold until the next backup or drill.
        (
            &[("- rpo: {policy: p}", "- rpo: {policy: p, within: 2h}")],
            String::new(),
            &["warning gate"],
        ),
        (
            &[
                ("- rpo: {policy: p}", "- rpo: {policy: p, within: 2h}"),
                ("soak: 24h", "soak: 0s"),
            ],
            String::new(),
            &["warning phase"],
        ),
        (
            &[
                ("- rpo: {policy: p}", "- rpo: {policy: p, within: 0s}"),
                ("soak: 24h", "soak: 0s"),
            ],
            String::new(),
            &["warning phase", "warning gate"],
        ),
        (
            &[("within: 72h", "within: 24h")],
            String::new(),
            &["warning gate"],
        ),
        // Classes that nobody makes.
        (
            &[("storageClassName: fast", "storageClassName: ''")],
            String::new(),
            &["error value"],
        ),
        (
            &[(
                "[{namespace: web}]",
                "[{namespace: web}]\n    storageClassName: ''",
            )],
            String::new(),
            &["error value"],
        ),
        (&[], class("fast"), &[]),
        (&[], class("slow"), &["warning reference"]),
        (
            &[(
                "[{namespace: web}]",
                "[{namespace: web}]\n    storageClassName: slow",
            )],
            class("fast"),
            &["warning reference"],
        ),
        // Two classes for one claim, in one rollout or in two.
        (&[], other("slow", "{namespace: web}"), &["error phase"]),
        (&[], other("fast", "{namespace: web}"), &[]),
        (&[], other("slow", "{namespace: mail}"), &[]),
        (
            &[(
                "[{namespace: web}]",
                "[{namespace: db}]\n    storageClassName: slow",
            )],
            String::new(),
            &["error phase"],
        ),
        (
            &[(
                "[{namespace: web}]",
                "[{namespace: db}]\n    storageClassName: fast",
            )],
            String::new(),
            &[],
        ),
        (
            &[(
                "[{namespace: web}]",
                "[{namespace: db, selector: {matchLabels: {a: b}}}]\n    storageClassName: slow",
            )],
            String::new(),
            &["error phase"],
        ),
        (
            &[
                (
                    "[{namespace: db}]\n    gates",
                    "[{namespace: db, selector: {matchLabels: {a: c}}}]\n    gates",
                ),
                (
                    "[{namespace: web}]",
                    "[{namespace: db, selector: {matchLabels: {a: b}}}]\n    storageClassName: slow",
                ),
            ],
            String::new(),
            &[],
        ),
        // Databases.
        (
            &[("soak: 24h", "soak: 24h\n    method: cnpg")],
            cluster("instances: 2"),
            &["warning database-backup"],
        ),
        (
            &[("soak: 24h", "soak: 24h\n    method: cnpg")],
            cluster("instances: 1"),
            &["warning database-backup", "error phase"],
        ),
        (
            &[("soak: 24h", "soak: 24h\n    method: cnpg")],
            cluster(""),
            &["warning database-backup", "error phase"],
        ),
        (
            &[
                ("soak: 24h", "soak: 24h\n    method: cnpg"),
                (
                    "[{namespace: db}]\n    gates",
                    "[{namespace: db, selector: {matchLabels: {cnpg.io/cluster: other}}}]\n    gates",
                ),
            ],
            cluster("instances: 1"),
            &["warning database-backup", "warning reference"],
        ),
        (
            &[],
            cluster("instances: 2"),
            &["warning database-backup", "warning phase"],
        ),
        (
            &[(
                "[{namespace: web}]",
                "[{namespace: web, selector: {matchLabels: {cnpg.io/cluster: some}}}]",
            )],
            String::new(),
            &["warning phase"],
        ),
        (
            &[(
                "[{namespace: web}]",
                "[{namespace: web, selector: {matchLabels: {cnpg.io/cluster: some}}}]\n    method: cnpg",
            )],
            String::new(),
            &[],
        ),
        (
            &[
                ("soak: 24h", "soak: 24h\n    method: cnpg"),
                (
                    "  volumes: fs-backup\n",
                    "  volumes: fs-backup\n  volumeRules:\n  - {claimLabels: {cnpg.io/pvcRole: PG_DATA}, method: skip, reason: own}\n",
                ),
            ],
            cluster("instances: 2"),
            &[],
        ),
        (
            &[
                ("soak: 24h", "soak: 24h\n    method: cnpg"),
                (
                    "  volumes: fs-backup\n",
                    "  volumes: fs-backup\n  volumeRules:\n  - {claimLabels: {cnpg.io/pvcRole: PG_DATA}, method: skip, reason: own}\n  \
                     - {claimLabels: {cnpg.io/pvcRole: PG_WAL}, method: skip, reason: own}\n",
                ),
            ],
            cluster("instances: 2"),
            &[
                "warning database-backup",
                "warning gate",
                "warning gate",
                "warning gate",
                "warning gate",
            ],
        ),
    ];
    for (changes, more, expected) in rows {
        let mut tree = tree();
        for (from, to) in changes {
            assert!(tree.contains(from), "{from}");
            tree = tree.replacen(from, to, 1);
        }
        let found = findings(&[("a.yaml", tree + &more)]).0;
        let told: Vec<String> = found
            .iter()
            .map(|one| one.split(' ').skip(1).collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(told, expected, "{changes:?} {more}: {found:?}");
    }
}
