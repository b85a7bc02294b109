//! The situations: decrypted text that cannot be used, with canaries where each error looks.

use super::As::{Lines, Plain, Whole, Yaml};
use super::{As, Case};
use crate::support::canary::Canary;

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
    all.extend(patches());
    all.extend(replacements());
    all.extend(generators());
    all.extend(elsewhere());
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
            "has no metadata.name",
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

const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata: {a: b}\n";

/// Patches, whose text or object was encrypted.
fn patches() -> Vec<Case> {
    let targeted = "resources: [a.yaml]\npatches:\n- path: patch.txt\n  target: {kind: ConfigMap}\n";
    let bare = "resources: [a.yaml]\npatches:\n- path: patch.txt\n";
    let mut all: Vec<Case> = [
        (
            "patch of nothing",
            bare,
            "apiVersion: v1\nkind: WORD\nmetadata: {name: WORD2}\n",
            "no object matches",
        ),
        (
            "patch without a name",
            bare,
            "apiVersion: v1\nkind: WORD\n",
            "needs apiVersion, kind and metadata.name",
        ),
        ("patch that is a text", targeted, "WORD\n", "this is no patch"),
        ("patch that is no YAML", targeted, "a: [WORD\n", "error"),
        (
            "patch with a duplicate key",
            targeted,
            "WORD: 1\nWORD: 2\n",
            "duplicate key •••",
        ),
        ("patch with a bad number", targeted, "WORD: .nan\n", "error"),
        (
            "unknown directive of a patch",
            targeted,
            "data: {$patch: WORD}\n",
            "the patch does not fit",
        ),
        (
            "patch of another kind",
            targeted,
            "data: {a: {WORD: 1}}\n",
            "the patch does not fit",
        ),
        (
            "patch of a map with a text",
            targeted,
            "data: WORD\n",
            "the patch does not fit",
        ),
        (
            "operation unknown",
            targeted,
            "- {op: WORD, path: /data/a, value: TEXT}\n",
            "this is no JSON patch",
        ),
        (
            "operation without a path",
            targeted,
            "- {op: add, value: TEXT}\n",
            "this is no JSON patch",
        ),
        (
            "path that is no pointer",
            targeted,
            "- {op: add, path: WORD, value: TEXT}\n",
            "error",
        ),
        (
            "remove what is not there",
            targeted,
            "- {op: remove, path: /data/WORD}\n",
            "operation 0 at •••",
        ),
        (
            "replace what is not there",
            targeted,
            "- {op: replace, path: /WORD/x, value: TEXT}\n",
            "fails on",
        ),
        (
            "test that fails",
            targeted,
            "- {op: test, path: /data/a, value: TEXT}\n",
            "fails on",
        ),
        (
            "move from nowhere",
            targeted,
            "- {op: move, from: /WORD, path: /data/a}\n",
            "fails on",
        ),
        (
            "two lists",
            targeted,
            "- {op: test, path: /data/a, value: WORD}\n---\n- {op: WORD}\n",
            "one list of operations",
        ),
        (
            "two documents with a target",
            targeted,
            "data: {a: WORD}\n---\ndata: {a: WORD2}\n",
            "one document",
        ),
        (
            "no target",
            bare,
            "- {op: add, path: /data/WORD, value: TEXT}\n",
            "needs a target",
        ),
    ]
    .into_iter()
    .map(|(name, kustomization, patch, says)| {
        let files = [
            ("p/kustomization.yaml", Plain, kustomization),
            ("p/a.yaml", Plain, MAP),
            ("p/patch.txt", Whole, patch),
        ];
        Case::new(name, says, &files)
    })
    .collect();
    let inline = "resources: [a.yaml]\npatches:\n- target: {kind: ConfigMap}\n  patch: |\n    - {op: test, path: /data/a, value: x}\n";
    let secret = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: WORD}\ndata: {a: TEXT, WORD: TEXT}\n";
    all.push(patched(
        "a plain patch that fails on an encrypted object",
        inline,
        secret,
        "fails on an object that was encrypted",
    ));
    let shape =
        "resources: [a.yaml]\npatches:\n- target: {kind: ConfigMap}\n  patch: |\n    data: {a: {b: c}}\n";
    all.push(patched(
        "a plain merge that does not fit an encrypted object",
        shape,
        secret,
        "the patch does not fit",
    ));
    let labels = "resources: [a.yaml]\ncommonLabels: {a: b}\n";
    let odd = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: WORD, labels: TEXT}\n";
    all.push(patched("labels that are a text", labels, odd, "is no map"));
    let list = "resources: [a.yaml]\npatches:\n- path: patch.txt\n";
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {containers: [{name: a}]}\n";
    let nameless = "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {containers: [{image: TEXT}]}\n";
    all.push(Case::new(
        "item without its key",
        "the patch does not fit",
        &[
            ("p/kustomization.yaml", Plain, list),
            ("p/a.yaml", Plain, pod),
            ("p/patch.txt", Whole, nameless),
        ],
    ));
    all
}

fn patched(name: &str, kustomization: &str, object: &str, says: &'static str) -> Case {
    Case::new(
        name,
        says,
        &[
            ("p/kustomization.yaml", Plain, kustomization),
            ("p/a.yaml", Yaml, object),
        ],
    )
}

/// Replacements: the file of replacements was encrypted, or the source.
fn replacements() -> Vec<Case> {
    let kustomization = "resources: [a.yaml]\nreplacements:\n- path: r.txt\n";
    let from = |source: &str, target: &str| format!("source: {{{source}}}\ntargets: [{{{target}}}]\n");
    let all = "select: {kind: ConfigMap}, fieldPaths: [data.a]";
    let mut cases: Vec<Case> = [
        (
            "source path",
            from("kind: ConfigMap, fieldPath: data.WORD", all),
            "has no field `•••`",
        ),
        (
            "source name",
            from("kind: ConfigMap, name: WORD", all),
            "is not one object",
        ),
        (
            "target path",
            from(
                "kind: ConfigMap",
                "select: {kind: ConfigMap}, fieldPaths: [spec.WORD]",
            ),
            "has no field `•••`",
        ),
        (
            "selector",
            from("kind: ConfigMap", "select: {kind: '(WORD'}"),
            "is no regular expression",
        ),
        (
            "label selector",
            from("kind: ConfigMap", "select: {labelSelector: 'WORD (x'}"),
            "is no selector",
        ),
        (
            "field of a replacement",
            "WORD: 1\ntargets: []\n".to_owned(),
            "`•••` of a replacement is not read",
        ),
        (
            "field of a source",
            from("WORD: x", all),
            "`•••` of a source is not read",
        ),
        (
            "field of a target",
            from("kind: ConfigMap", "WORD: x"),
            "`•••` of a target is not read",
        ),
        (
            "field of a selector",
            from("kind: ConfigMap", "select: {WORD: x}"),
            "`•••` of a target is not read",
        ),
        (
            "pattern of an unknown field",
            from("kind: ConfigMap", "select: {WORD: '(x'}"),
            "is no regular expression",
        ),
        (
            "text for a list",
            "source: WORD\ntargets: WORD\n".to_owned(),
            "a mapping is needed here",
        ),
        ("no YAML", "source: {WORD\n".to_owned(), "error"),
        (
            "duplicate key of replacements",
            "WORD: 1\nWORD: 2\n".to_owned(),
            "duplicate key •••",
        ),
        (
            "number for a text",
            from("kind: NUMBER", all),
            "a text is needed here",
        ),
    ]
    .into_iter()
    .map(|(name, text, says)| {
        let files = [
            ("p/kustomization.yaml", Plain, kustomization),
            ("p/a.yaml", Plain, MAP),
            ("p/r.txt", Whole, text.as_str()),
        ];
        Case::new(&format!("replacement: {name}"), says, &files)
    })
    .collect();
    let plain = |path: &str, options: &str| {
        format!("resources: [a.yaml, b.yaml]\nreplacements:\n- source: {{kind: Secret, fieldPath: stringData.WORD, options: {{{options}}}}}\n  targets: [{{select: {{kind: Counter}}, fieldPaths: [{path}]}}]\n").replace("WORD", "a")
    };
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: WORD}\nstringData: {a: TEXT}\n";
    let counter = "apiVersion: x.org/v1\nkind: Counter\nmetadata: {name: c}\nspec: {count: 5}\n";
    for (name, text, says) in [
        (
            "secret for a number",
            plain("spec.count", ""),
            "the new value is none of its kind",
        ),
        (
            "part that is not there",
            plain("spec.count", "delimiter: '-', index: 40"),
            "`index` is 40",
        ),
        (
            "field that is not there",
            plain("spec.none", ""),
            "has no field `spec.none`",
        ),
    ] {
        cases.push(Case::new(
            &format!("replacement from a Secret: {name}"),
            says,
            &[
                ("p/kustomization.yaml", Plain, &text),
                ("p/a.yaml", Yaml, secret),
                ("p/b.yaml", Plain, counter),
            ],
        ));
    }
    cases
}

/// Generators: what they read was encrypted.
fn generators() -> Vec<Case> {
    let envs = "secretGenerator:\n- {name: s, envs: [v.txt]}\n";
    let two = "secretGenerator:\n- {name: s, envs: [v.txt], literals: [A=1]}\n";
    let whole = |name: &str, kustomization: &str, text: &str, says: &'static str| {
        Case::new(
            &format!("generator: {name}"),
            says,
            &[
                ("p/kustomization.yaml", Plain, kustomization),
                ("p/v.txt", Whole, text),
            ],
        )
    };
    vec![
        whole(
            "name with a blank",
            envs,
            "WORD WORD2=x\n",
            "line 1: this is no name of a variable",
        ),
        whole(
            "name with a digit",
            envs,
            "A=1\n5WORD=x\n",
            "line 2: this is no name of a variable",
        ),
        whole(
            "name with a quote",
            envs,
            "TEXT=x\n",
            "`•••` is no key of a ConfigMap or Secret",
        ),
        whole(
            "a line that is a value",
            envs,
            "A=1\nWORD+/\n",
            "`•••` is no key of a ConfigMap or Secret",
        ),
        whole(
            "name twice",
            envs,
            "WORD=1\nWORD=TEXT\n",
            "the key `•••` is given twice",
        ),
        whole(
            "name of a literal again",
            two,
            "B=WORD\nA=TEXT\n",
            "the key `A` is given twice",
        ),
        Case::new(
            "generator: lines of sops",
            "the key `•••` is given twice",
            &[
                (
                    "p/kustomization.yaml",
                    Plain,
                    "secretGenerator:\n- {name: s, envs: [a.env, b.env]}\n",
                ),
                ("p/a.env", Lines, "WORD=TEXT\n"),
                ("p/b.env", Lines, "WORD=TEXT\n"),
            ],
        ),
        Case::new(
            "generator: merge with nothing",
            "there is no",
            &[
                (
                    "p/kustomization.yaml",
                    Plain,
                    "secretGenerator:\n- {name: s, behavior: merge, files: [v.txt]}\n",
                ),
                ("p/v.txt", Whole, "TEXT"),
            ],
        ),
    ]
}

/// Names, kustomizations, variables.
fn elsewhere() -> Vec<Case> {
    let base = "resources: [m.yaml]\nnamespace: ";
    let account = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: WORD}\n";
    let binding = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: WORD}\nsubjects: [{kind: ServiceAccount, name: WORD}]\n";
    let mut all = vec![
        Case::new(
            "reference to two",
            "fits several objects",
            &[
                ("p/kustomization.yaml", Plain, "resources: [a, b, binding.yaml]\n"),
                ("p/a/kustomization.yaml", Plain, &format!("{base}a-\n")),
                ("p/a/m.yaml", Yaml, account),
                ("p/b/kustomization.yaml", Plain, &format!("{base}b-\n")),
                ("p/b/m.yaml", Yaml, account),
                ("p/binding.yaml", Yaml, binding),
            ],
        ),
        Case::new(
            "encrypted kustomization",
            "kustomization files are not decrypted",
            &[
                (
                    "p/kustomization.yaml",
                    Yaml,
                    "resources: [WORD]\nnamePrefix: WORD\nsecretGenerator: [{name: s, literals: [TEXT]}]\n",
                ),
                ("p/a.yaml", Plain, MAP),
            ],
        ),
        Case::new(
            "kustomization that is encrypted as a whole",
            "kustomization files are not decrypted",
            &[
                ("p/Kustomization", Whole, "resources: [WORD]\n"),
                ("p/a.yaml", Plain, MAP),
            ],
        ),
        Case::new(
            "encrypted component",
            "kustomization files are not decrypted",
            &[
                (
                    "p/kustomization.yaml",
                    Plain,
                    "resources: [a.yaml]\ncomponents: [c]\n",
                ),
                ("p/a.yaml", Plain, MAP),
                (
                    "p/c/kustomization.yaml",
                    Yaml,
                    "kind: Component\napiVersion: WORD\nnamePrefix: WORD\n",
                ),
            ],
        ),
    ];
    let policy = |rest: &str| object("StoragePolicy", &format!("spec: {{{rest}}}\n"));
    let object_with = |how: As, name: &str, text: &str, says: &'static str| {
        Case::new(&format!("variable: {name}"), says, &[("p/a.yaml", how, text)])
    };
    let config = |value: &str| {
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m}}\ndata: {{a: {value}}}\n")
    };
    all.extend([
        object_with(
            Yaml,
            "unclosed",
            &config("'TEXT ${WORD TEXT'").replace("TEXT", "WORD2"),
            "a `${` has no `}`",
        ),
        object_with(
            Yaml,
            "no name",
            &config("'WORD ${-} NUMBER'"),
            "is followed by no name",
        ),
        object_with(
            Yaml,
            "unknown function",
            &config("'WORD2 ${SECRET@WORD2}'"),
            "a substitution cannot be read",
        ),
        object_with(
            Plain,
            "secret text for a number",
            &policy("highWatermarkIOPS: '${SECRET}'"),
            "`highWatermarkIOPS` needs a whole number",
        ),
        object_with(
            Plain,
            "secret number out of range",
            &policy("minCoveragePercent: '${NUMBER}'"),
            "is out of range",
        ),
        object_with(
            Plain,
            "secret duration",
            &policy("samplingWindow: '${SECRET}'"),
            "is no duration",
        ),
        object_with(
            Plain,
            "secret key",
            &policy("'${SECRET}': 1"),
            "`•••` is no field",
        ),
        object_with(
            Plain,
            "secret tier",
            &policy("tiers: ['${WORD}', '${WORD}2']"),
            "there is no StorageTier •••",
        ),
        object_with(
            Plain,
            "secret kind",
            &format!("{OURS}kind: '${{WORD}}'\nmetadata: {{name: x}}\n"),
            "there is no kind •••",
        ),
        object_with(
            Plain,
            "secret version",
            "apiVersion: 'storage.billyronks.io/${WORD}'\nkind: X\nmetadata: {name: x}\n",
            "••• does not exist",
        ),
    ]);
    all
}
