//! Overlays whose parts were encrypted: patches, replacements, generators, references, kustomizations, variables.

use super::super::As::{Lines, Plain, Whole, Yaml};
use super::super::{As, Case};
use super::{OURS, object};

const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata: {a: b}\n";

/// Patches, whose text or object was encrypted.
pub fn patches() -> Vec<Case> {
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
            "`op` is none of",
        ),
        (
            "operation without a path",
            targeted,
            "- {op: add, value: TEXT}\n",
            "an operation needs `path`",
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
            "••• is not there",
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
pub fn replacements() -> Vec<Case> {
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
        (
            "secret for metadata.name",
            plain("metadata.name", ""),
            "a part of what an object is called",
        ),
        (
            "secret for kind",
            plain("kind", ""),
            "a part of what an object is called",
        ),
        (
            "secret for apiVersion",
            plain("apiVersion", ""),
            "a part of what an object is called",
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
pub fn generators() -> Vec<Case> {
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
pub fn elsewhere() -> Vec<Case> {
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
