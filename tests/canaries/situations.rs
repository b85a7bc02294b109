//! The situations: decrypted text that cannot be used, with canaries where each error looks.

use super::As::{Plain, Whole, Yaml};
use super::Case;
use crate::support::canary::Canary;

/// Situations of overlays and variables.
mod overlays;

const OURS: &str = "apiVersion: storage.billyronks.io/v1\n";

/// All of them.
pub fn all(canary: &Canary) -> Vec<Case> {
    let fill = |text: &str| {
        text.replace("WORD2", &format!("{}-2", canary.word))
            .replace("WORD", &canary.word)
            .replace("TEXT", &serde_json::to_string(&canary.secret).unwrap())
            .replace("NUMBER", &canary.number.to_string())
    };
    let mut all = syntax();
    all.extend(schema());
    all.extend(overlays::patches());
    all.extend(overlays::replacements());
    all.extend(overlays::generators());
    all.extend(overlays::elsewhere());
    for case in &mut all {
        for (_, _, text) in &mut case.files {
            // The variables' names are not their values.
            *text = fill(text)
                .replace(&format!("${{{}", canary.word), "${WORD")
                .replace(&format!("${{{}", canary.number), "${NUMBER");
        }
    }
    all
}

/// A text that is encrypted as a whole, so that it can be no YAML.
fn syntax() -> Vec<Case> {
    [
        ("bad indent", "kind: A\n  TEXT: WORD\n", "error"),
        ("unclosed double quote", "a: \"WORD\nb: WORD2\n", "error"),
        ("unclosed single quote", "a: 'WORD\nb: WORD2\n", "error"),
        ("tab", "a:\n\tWORD: 1\n", "error"),
        (
            "duplicate key",
            "WORD: 1\nb: 2\nWORD: 3\n",
            "duplicate key •••; it is first on line 1",
        ),
        ("quoted duplicate key", "TEXT: 1\nTEXT: 3\n", "duplicate key •••"),
        (
            "duplicate key in a large mapping",
            "DUPLICATES",
            "duplicate key •••",
        ),
        ("alias of nothing", "a: *WORD\n", "error"),
        ("alias of itself", "a: &WORD [*WORD]\n", "error"),
        ("anchor of an anchor", "a: &WORD &WORD2 x\n", "error"),
        ("list as key", "[WORD]: 1\n", "a key must be a string"),
        ("map as key", "{WORD: 1}: 2\n", "a key must be a string"),
        ("number as key", "a: WORD\nNUMBER: 1\n", "a key must be a string"),
        ("tagged key", "!!int NUMBER: 1\n", "a key must be a string"),
        ("no int", "a: !!int WORD\n", "error"),
        ("no float", "a: !!float WORD\n", "error"),
        ("no binary", "a: !!binary TEXT\n", "error"),
        ("own tag", "a: !WORD x\n", "error"),
        ("unknown handle", "a: !WORD!x y\n", "error"),
        ("unknown directive", "%WORD x\n---\na: [\n", "error"),
        ("broken directive", "%YAML WORD\n---\na: 1\n", "error"),
        ("merge of a text", "<<: WORD\n", "`<<` needs a mapping"),
        ("merge of texts", "<<: [WORD]\n", "`<<` needs a mapping"),
        ("late merge", "WORD: 1\n<<: {WORD: 2}\n", "`<<` brings •••"),
        ("block header", "a: |WORD\n  x\n", "error"),
        ("unclosed list", "a: [WORD, WORD2\n", "error"),
        ("unclosed map", "a: {WORD: WORD2\nb: 1\n", "error"),
        ("bad escape", "a: \"\\WORD\"\n", "error"),
        ("bad hex escape", "a: \"\\xWORD\"\n", "error"),
        ("reserved character", "a: @WORD\n", "error"),
        ("backtick", "a: `WORD`\n", "error"),
        ("text after a text", "a: 'x' WORD\n", "error"),
        ("text after a list", "a: [x] WORD\n", "error"),
        ("missing colon", "a: 1\nWORD\nb: 2\n", "error"),
        ("two colons", "a: WORD: WORD2\n", "error"),
        ("document end", "a: 1\n... WORD\n", "error"),
        ("list in a map", "a: 1\n- WORD\n", "error"),
        ("not a number of JSON", "WORD: .inf\n", "error"),
        ("a list", "- WORD\n", "this document has no apiVersion"),
        ("a text", "WORD\n", "this document has no apiVersion"),
        (
            "no kind",
            "apiVersion: WORD\nmetadata: {name: WORD}\n",
            "has no kind",
        ),
        (
            "no name",
            "apiVersion: WORD\nkind: WORD\nmetadata: {name: NUMBER}\n",
            "`metadata.name` is no text",
        ),
        ("nested too deeply", "NESTED", "error"),
        ("control character", "a: \u{7}WORD\n", "error"),
    ]
    .into_iter()
    .map(|(name, text, says)| {
        let many: String = (0..40).map(|number| format!("k{number}: 1\n")).collect();
        let text = text
            .replace("DUPLICATES", &format!("WORD: 1\n{many}WORD: 2\n"))
            .replace("NESTED", &format!("a: {}", "[WORD, ".repeat(300)));
        Case::new(
            name,
            says,
            &[
                ("p/kustomization.yaml", Plain, "resources: [a.txt]\n"),
                ("p/a.txt", Whole, &text),
            ],
        )
    })
    .collect()
}

fn object(kind: &str, rest: &str) -> String {
    format!("{OURS}kind: {kind}\nmetadata: {{name: x, namespace: n}}\n{rest}")
}

/// Objects of our kinds that are not as they must be.
fn schema() -> Vec<Case> {
    let policy = |rest: &str| object("StoragePolicy", &format!("spec: {{{rest}}}\n"));
    let tier = |rest: &str| object("StorageTier", &format!("spec: {{{rest}}}\n"));
    let backup = |schedule: &str| {
        object(
            "BackupPolicy",
            &format!(
                "spec: {{location: WORD, includedNamespaces: [\"*\"], schedules: [{{name: s, schedule: {schedule}, ttl: 24h}}]}}\n"
            ),
        )
    };
    let cases = vec![
        (
            "wrong type",
            policy("highWatermarkIOPS: WORD"),
            "`highWatermarkIOPS` needs a whole number",
        ),
        ("wrong type in a list", policy("tiers: [NUMBER]"), "needs a text"),
        (
            "out of range",
            policy("minCoveragePercent: NUMBER"),
            "`minCoveragePercent` is out of range",
        ),
        ("unknown field", policy("WORD: 1"), "`•••` is no field"),
        (
            "nearly a field",
            policy("WORDIOPS: 1, highWatermarkIOP: 2"),
            "write `highWatermarkIOPS`",
        ),
        (
            "unknown field below",
            tier("rank: 1, storageClass: {name: x, WORD: 1}"),
            "`•••` is no field",
        ),
        (
            "no label",
            tier("rank: 1, poolSelector: {matchLabels: {WORD: 5}}"),
            "`•••` needs a text",
        ),
        (
            "bad enum",
            tier("rank: 1, storageClass: {name: x, reclaimPolicy: WORD}"),
            "has no such value",
        ),
        (
            "bad pattern",
            tier("rank: 1, local: {hostpath: {basePath: WORD}}"),
            "is not of the form",
        ),
        (
            "bad duration",
            policy("samplingWindow: WORD"),
            "`samplingWindow` is no duration",
        ),
        (
            "duration in days",
            policy("cooldownPeriod: NUMBERd"),
            "`cooldownPeriod` is no duration",
        ),
        (
            "bad quantity",
            tier("rank: 1, poolSelector: {matchLabels: {a: b}}, poolReserve: WORD"),
            "is no quantity",
        ),
        (
            "quantity with B",
            tier("rank: 1, poolSelector: {matchLabels: {a: b}}, poolReserve: 10GB NUMBER"),
            "is no quantity",
        ),
        (
            "cron word",
            backup("WORD * * * *"),
            "is not one that Velero reads",
        ),
        ("cron words", backup("TEXT"), "is not one that Velero reads"),
        (
            "cron number",
            backup("0 NUMBER * * *"),
            "is not one that Velero reads",
        ),
        (
            "cron step",
            backup("'*/WORD * * * *'"),
            "is not one that Velero reads",
        ),
        (
            "cron range",
            backup("0 5-WORD * * *"),
            "is not one that Velero reads",
        ),
        (
            "cron zone",
            backup("CRON_TZ=WORD 0 0 * * *"),
            "is not one that Velero reads",
        ),
        (
            "cron descriptor",
            backup("'@WORD'"),
            "is not one that Velero reads",
        ),
        (
            "cron every",
            backup("'@every NUMBERd'"),
            "is not one that Velero reads",
        ),
        (
            "no location",
            backup("0 0 * * *"),
            "there is no BackupLocation •••",
        ),
        (
            "kept too briefly",
            backup("0 0 * * *"),
            "up to ••• pass between two backups",
        ),
        (
            "a hook elsewhere",
            object(
                "BackupPolicy",
                "spec: {location: WORD, includedNamespaces: [WORD2], hooks: [{name: WORD, namespaces: [WORD]}], schedules: [{name: s, schedule: '@daily'}]}\n",
            ),
            "no backup of this policy holds namespace •••",
        ),
        (
            "a rarer backup than promised",
            object(
                "BackupPolicy",
                "spec: {location: WORD, includedNamespaces: [a], rpo: 25h, schedules: [{name: s, schedule: '@weekly'}]}\n",
            ),
            "up to ••• pass between two backups, which is longer than `rpo`",
        ),
        (
            "a drill of nothing",
            object(
                "BackupPolicy",
                "spec: {location: WORD, includedNamespaces: [a], schedules: [{name: s, schedule: '@daily'}], drill: {schedule: '@weekly', namespaces: [WORD], job: {name: WORD, key: WORD2}}}\n",
            ),
            "this repository has no ConfigMap •••",
        ),
        (
            "no credentials",
            object(
                "BackupLocation",
                "spec: {bucket: WORD, credentials: {name: WORD}}\n",
            ),
            "this repository has no Secret •••",
        ),
        (
            "no volume policy",
            object(
                "BackupPolicy",
                "spec: {location: WORD, includedNamespaces: [a], volumePolicy: {name: WORD}, schedules: [{name: s, schedule: '@daily'}]}\n",
            ),
            "this repository has no ConfigMap •••",
        ),
        (
            "no tier",
            policy("tiers: [WORD, WORD2]"),
            "there is no StorageTier •••",
        ),
        (
            "unknown version",
            "apiVersion: storage.billyronks.io/WORD\nkind: WORD\nmetadata: {name: WORD}\n".to_owned(),
            "••• does not exist",
        ),
        (
            "unknown kind",
            format!("{OURS}kind: WORD\nmetadata: {{name: WORD}}\n"),
            "there is no kind •••",
        ),
        (
            "no spec",
            object("StoragePolicy", "WORD: 1\n"),
            "there is no `spec`",
        ),
        (
            "a migration",
            object("VolumeMigration", "spec: {claim: WORD}\n"),
            "not written by hand",
        ),
        (
            "watermarks",
            policy("highWatermarkIOPS: 5, lowWatermarkIOPS: NUMBER"),
            "must be below",
        ),
        (
            "local tier",
            tier("rank: NUMBER, local: {hostpath: {basePath: WORD}}"),
            "is not of the form",
        ),
        (
            "bad endpoint",
            object(
                "BackupLocation",
                "spec: {bucket: WORD, endpoint: WORD, credentials: {name: WORD}}\n",
            ),
            "is not of the form",
        ),
        (
            "bad soak",
            object(
                "Rollout",
                "spec: {storageClassName: WORD, phases: [{name: WORD, workloads: [], soak: WORD}]}\n",
            ),
            "is no duration",
        ),
        (
            "long schedule name",
            backup("0 0 * * *").replace("name: s,", &format!("name: WORD-{},", "x".repeat(60))),
            "too long together",
        ),
    ];
    let mut all: Vec<Case> = Vec::new();
    for (name, text, says) in &cases {
        all.push(Case::new(name, says, &[("p/a.yaml", Yaml, text)]));
    }
    let twice = "{apiVersion: v1, kind: ConfigMap, metadata: {name: WORD, namespace: WORD2}}\n";
    all.push(Case::new(
        "twice",
        "is defined twice",
        &[("p/a.yaml", Yaml, twice), ("p/b.yaml", Yaml, twice)],
    ));
    let rank = |name: &str| {
        format!(
            "{OURS}kind: StorageTier\nmetadata: {{name: {name}}}\nspec: {{rank: 5, poolSelector: {{matchLabels: {{WORD: WORD}}}}}}\n"
        )
    };
    all.push(Case::new(
        "two tiers of one rank, the first encrypted",
        "tier ••• has the same rank",
        &[
            ("p/a.yaml", Yaml, &rank("WORD")),
            ("p/b.yaml", Plain, &rank("b").replace("WORD", "plain")),
        ],
    ));
    let local = format!(
        "{OURS}kind: StorageTier\nmetadata: {{name: WORD}}\nspec: {{rank: 1, local: {{hostpath: {{basePath: /x}}}}}}\n"
    );
    all.push(Case::new(
        "policy of a local tier",
        "tier ••• is local",
        &[
            ("p/a.yaml", Yaml, &local),
            ("p/b.yaml", Yaml, &policy("tiers: [WORD, WORD2]")),
        ],
    ));
    let assignment = format!(
        "{OURS}kind: TierAssignment\nmetadata: {{name: WORD, namespace: WORD2}}\nspec: {{claim: WORD, volume: WORD, tier: WORD}}\n"
    );
    all.push(Case::new(
        "assignment elsewhere",
        "an assignment belongs into",
        &[
            ("p/k.yaml", Plain, ""),
            ("p/assignments/n/a.yaml", Yaml, &assignment),
        ],
    ));
    all.push(Case::new(
        "claim assigned twice",
        "••• is assigned twice",
        &[
            ("p/k.yaml", Plain, ""),
            ("p/assignments/n/a.yaml", Yaml, &assignment),
            ("p/assignments/n/b.yaml", Yaml, &assignment),
        ],
    ));
    all.push(Case::new(
        "assignment with an unknown field",
        "`•••` is no field",
        &[
            ("p/k.yaml", Plain, ""),
            (
                "p/assignments/n/a.yaml",
                Yaml,
                &assignment.replace("claim:", "WORD: 1, claim:"),
            ),
        ],
    ));
    all
}
