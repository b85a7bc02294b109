//! All that is wrong with one object in one run, and what is allowed and hardly meant.

use super::{Row, TIER, findings, policy};

/// An object with mistakes of many kinds, and the findings: what its schema says hides nothing of the rest, and is not said twice.
#[test]
fn all_findings_of_an_object_are_told_in_one_run_in_the_order_of_the_file() {
    let tier = "apiVersion: storage.billyronks.io/v1
kind: StorageTier
metadata: {name: hot}
spec:
  rank: fast
  poolSelecter: {matchLabels: {tier: hot}}
  costPerGiBMonth: much
  maxConcurrentMoves: -1
  storageClass: {nam: a}
  poolReserve: 10GB
  colour: red
";
    let two = "apiVersion: storage.billyronks.io/v1
kind: StoragePolicy
metadata: {name: p}
spec:
  storageClassName: m
  highWatermarkIOPS: many
  lowWatermarkIOPS: 9000
  samplingWindow: soon
  sustainedFor: 2d
  signals: [{name: heat, above: -1}, {name: latency, below: 5, above: 2}]
  excludedWindows: [{from: 9:00, to: '10:00'}]
  tiers: [hot]
";
    let backups = "apiVersion: storage.billyronks.io/v1
kind: BackupPolicy
metadata: {name: b, namespace: n}
spec:
  location: nowhere
  includedNamespaces: no
  schedules:
  - {name: a, schedule: daily, ttl: 720}
  - {name: b, schedule: '@daily', ttl: 30d}
  rpo: 1 day
";
    let large = TIER.replace("rank: 2", "rank: 3000000000");
    let slips = TIER.replace("metadata: {", "metadata: {lables: {a: b}, Namespace: x, ");
    let both = TIER
        .replace("billyronks.io", "billyronk.io")
        .replace("StorageTier", "StorageTeir");
    let list = "resources: [a.yaml, b.yaml]\nnamPrefix: x\nimages: [{nme: y}]\n".to_owned();
    let table: Vec<Row> = vec![
        (
            "a number that is larger than its type: without a word the tier would be none",
            vec![("a.yaml", large.clone())],
            vec!["a.yaml:4:8 error value"],
        ),
        (
            "what stands in no object's metadata",
            vec![("a.yaml", slips)],
            vec![
                "a.yaml:3:12 error unknown-field",
                "a.yaml:3:28 error unknown-field",
            ],
        ),
        (
            "a group and a kind that are misspelt both",
            vec![("a.yaml", both)],
            vec!["a.yaml:1:1 error unknown-kind"],
        ),
        (
            "fields of a kustomization hide nothing of the files",
            vec![
                ("kustomization.yaml", list),
                ("a.yaml", large),
                (
                    "b.yaml",
                    TIER.replace("poolSelector", "poolSelecter")
                        .replace("{name: hot}", "{name: cold}"),
                ),
            ],
            vec![
                "a.yaml:4:8 error value",
                "b.yaml:4:17 error unknown-field",
                "kustomization.yaml:2:1 error kustomization-field",
                "kustomization.yaml:3:11 error kustomization-field",
            ],
        ),
        (
            "a tier",
            vec![("a.yaml", tier.to_owned())],
            vec![
                "a.yaml:5:3 error wrong-type",
                "a.yaml:6:3 error unknown-field",
                "a.yaml:7:3 error wrong-type",
                "a.yaml:8:3 error value",
                "a.yaml:9:3 error missing-field",
                "a.yaml:9:18 error unknown-field",
                "a.yaml:10:3 error quantity",
                "a.yaml:11:3 error unknown-field",
            ],
        ),
        (
            "a policy; nothing is said of a watermark beside one that is no number, nor of a tier that is wrong in itself",
            vec![("a.yaml", tier.to_owned()), ("b.yaml", two.to_owned())],
            vec![
                "a.yaml:5:3 error wrong-type",
                "a.yaml:6:3 error unknown-field",
                "a.yaml:7:3 error wrong-type",
                "a.yaml:8:3 error value",
                "a.yaml:9:3 error missing-field",
                "a.yaml:9:18 error unknown-field",
                "a.yaml:10:3 error quantity",
                "a.yaml:11:3 error unknown-field",
                "b.yaml:6:3 error wrong-type",
                "b.yaml:8:3 error duration",
                "b.yaml:9:3 error duration",
                "b.yaml:10:14 error signal",
                "b.yaml:10:26 error signal",
                "b.yaml:10:54 error watermarks",
                "b.yaml:11:22 error window",
                "b.yaml:12:3 error value",
            ],
        ),
        (
            "backups",
            vec![("a.yaml", backups.to_owned())],
            vec![
                // The namespace is written; but it is no text.
                "a.yaml:3:21 error metadata-text",
                "a.yaml:5:3 error reference",
                "a.yaml:6:3 error wrong-type",
                "a.yaml:8:15 error schedule",
                "a.yaml:8:32 error wrong-type",
                "a.yaml:9:35 error duration",
                "a.yaml:10:3 error duration",
            ],
        ),
    ];
    for (what, files, expected) in table {
        assert_eq!(
            findings(&files),
            (expected.into_iter().map(str::to_owned).collect(), Some(1)),
            "{what}"
        );
    }
}

const DOUBTED: &str = "apiVersion: storage.billyronks.io/v1
kind: StorageTier
metadata: {name: local}
spec: {rank: 1, local: {hostpath: {}}, storageClass: {name: m}}
---
apiVersion: storage.billyronks.io/v1
kind: TierAssignment
metadata: {name: a, namespace: db}
spec:
";

#[test]
fn what_is_allowed_and_hardly_meant_is_a_warning() {
    let with = |line: &str| vec![("a.yaml", policy("x", "m", "") + line)];
    let timeout = |text: &str| vec![("a.yaml", policy("x", "m", "").replace("30m", text))];
    let cooldown = |text: &str| vec![("a.yaml", policy("x", "m", "").replace("24h", text))];
    let class = |class: &str, beside: String| vec![("a.yaml", policy("x", class, "")), ("b.yaml", beside)];
    let fast = || TIER.replace("rank: 2,", "rank: 2, storageClass: {name: fast},");
    let made = "apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {name: made}\nprovisioner: p\n";
    let assigned = |spec: &str| {
        let (tier, assignment) = DOUBTED.split_once("---\n").unwrap();
        vec![
            (
                "a.yaml",
                format!("{tier}---\n{TIER}---\n{}", policy("x", "m", "")),
            ),
            ("assignments/db/a.yaml", format!("{assignment}{spec}")),
        ]
    };
    let decision = |policy: &str| {
        format!(
            "  {{claim: a, volume: v, tier: hot,\n  decision: {{from: hot, signal: iops, value: 1, policy: {policy}}}}}\n"
        )
    };
    let table: Vec<Row> = vec![
        (
            "kinds of others that are misspelt",
            vec![(
                "a.yaml",
                [
                    ("storage.k8s.io/v1", "Storageclass"),
                    ("velero.io/v1", "Schedul"),
                    ("v1", "Configmap"),
                    ("apps/v1", "StatefullSet"),
                    ("velero.io/v1", "Schedule"),
                    ("v1", "Service"),
                    ("example.org/v1", "Storageclass"),
                    ("velero.io/v1", "Anything"),
                ]
                .map(|(version, kind)| {
                    format!(
                        "apiVersion: {version}\nkind: {kind}\nmetadata: {{name: x-{}}}\n---\n",
                        kind.to_lowercase()
                    )
                })
                .concat(),
            )],
            vec![
                "a.yaml:2:1 warning unknown-kind",
                "a.yaml:6:1 warning unknown-kind",
                "a.yaml:10:1 warning unknown-kind",
                "a.yaml:14:1 warning unknown-kind",
            ],
        ),
        (
            "percent for a part",
            with("  signals: [{name: readRatio, above: 95}]\n"),
            vec!["a.yaml:14:31 warning signal"],
        ),
        (
            "every volume",
            with("  signals: [{name: readRatio, below: 1.5}]\n"),
            vec!["a.yaml:14:31 warning signal"],
        ),
        (
            "all reads",
            with("  signals: [{name: readRatio, above: 1}]\n"),
            vec![],
        ),
        (
            "at or above nothing",
            with("  signals: [{name: iops, above: 0}]\n"),
            vec!["a.yaml:14:26 warning signal"],
        ),
        (
            "below nothing",
            with("  signals: [{name: latency, below: 0, above: 1}]\n"),
            vec!["a.yaml:14:29 warning signal"],
        ),
        (
            "an exception",
            with("  notHeatWhen: [{name: readRatio, above: 90}]\n"),
            vec!["a.yaml:14:35 warning signal"],
        ),
        (
            "of one's own",
            with("  signals: [{name: mine, query: q, above: 95, below: 0}]\n"),
            vec![],
        ),
        (
            "a whole week",
            with("  excludedWindows: [{from: '08:00', to: '08:00'}]\n"),
            vec!["a.yaml:14:3 warning window"],
        ),
        (
            "a whole week in parts",
            with(
                "  excludedWindows: [{days: [Mon-Fri], from: '00:00', to: '24:00'}, {days: [Sat], from: '00:00', to: '20:00'}, {days: [Sat], from: '20:00', to: '12:00'}, {days: [Sun], from: '11:00', to: '24:00'}]\n",
            ),
            vec!["a.yaml:14:3 warning window"],
        ),
        (
            "a minute is left",
            with("  excludedWindows: [{from: '00:01', to: '00:00'}]\n"),
            vec![],
        ),
        (
            "moves at any time",
            with("  moveWindows: [{from: '08:00', to: '08:00'}]\n"),
            vec![],
        ),
        (
            "a nanosecond",
            timeout("1ns"),
            vec!["a.yaml:12:3 warning duration"],
        ),
        (
            "no time at all",
            timeout("0s"),
            vec!["a.yaml:12:3 warning duration"],
        ),
        (
            "less than a minute",
            timeout("59s"),
            vec!["a.yaml:12:3 warning duration"],
        ),
        ("a minute", timeout("60s"), vec![]),
        (
            "a rest of a nanosecond",
            cooldown("1ns"),
            vec!["a.yaml:8:3 warning duration"],
        ),
        ("no rest", cooldown("0s"), vec![]),
        ("a second", cooldown("1s"), vec![]),
        (
            "no bytes",
            with("  budgets: {bytesPerHour: '0'}\n"),
            vec!["a.yaml:14:13 warning quantity"],
        ),
        ("some bytes", with("  budgets: {bytesPerHour: '1'}\n"), vec![]),
        (
            "another class",
            class("fest", fast()),
            vec!["a.yaml:9:3 warning reference"],
        ),
        ("a tier's class", class("fast", fast()), vec![]),
        ("a class as it is", class("made", made.to_owned()), vec![]),
        (
            "not that class",
            class("fast", made.to_owned()),
            vec!["a.yaml:9:3 warning reference"],
        ),
        (
            "classes are made elsewhere",
            class("fest", TIER.to_owned()),
            vec![],
        ),
        (
            "nothing is moved to a local tier",
            assigned("  {claim: a, volume: v, tier: local}\n"),
            vec!["assignments/db/a.yaml:5:25 warning reference"],
        ),
        (
            "no volume",
            assigned("  {claim: a, volume: '', tier: hot}\n"),
            vec!["assignments/db/a.yaml:5:14 warning value"],
        ),
        ("a policy", assigned(&decision("x")), vec![]),
        (
            "no policy of that name",
            assigned(&decision("other")),
            vec!["assignments/db/a.yaml:6:49 warning reference"],
        ),
        (
            "for ever",
            assigned("  {claim: a, volume: v, tier: hot, pinned: true, until: '9999-12-31T23:59:59Z'}\n"),
            vec![],
        ),
        (
            "no time",
            assigned("  {claim: a, volume: v, tier: hot, pinned: true, until: '9999-12-32T00:00:00Z'}\n"),
            vec!["assignments/db/a.yaml:5:50 error value"],
        ),
    ];
    for (what, files, expected) in table {
        let (found, code) = findings(&files);
        assert_eq!(found, expected, "{what}");
        assert_eq!(code, Some(i32::from(!expected.is_empty())), "{what}");
    }
}

#[test]
fn policies_whose_classes_are_made_elsewhere_are_told_of_one_by_one_to_a_bound() {
    let class = "apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {name: a}\nprovisioner: x\n";
    let policies = |count: usize| {
        let of = |number: usize| policy(&format!("p{number:02}"), &format!("elsewhere-{number}"), "a: b");
        let all: Vec<String> = (0..count).map(of).collect();
        [("a.yaml", class.to_owned()), ("b.yaml", all.join("---\n"))]
    };
    let told = |count: usize| {
        let (found, code) = findings(&policies(count));
        assert_eq!(code, Some(1), "{found:?}");
        let about = |one: &&String| one.starts_with("b.yaml") && one.contains("warning reference");
        found.iter().filter(about).count()
    };
    assert_eq!(told(20), 20);
    assert_eq!(told(200), 21, "the last one counts the rest");
}
