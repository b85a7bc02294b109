//! Bounds on what patches, replacements and generators put together.

use super::{MAP, Row, built};

/// Accounts of one name, each in a namespace of its own, and as many that name them, which may be from anywhere.
fn namesakes(count: usize) -> String {
    let one = |n: usize| {
        format!(
            "apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: m, namespace: n{n}}}\n---\napiVersion: v1\nkind: Pod\n\
             metadata: {{name: p, namespace: n{n}}}\nspec: {{serviceAccountName: m}}\n---\n"
        )
    };
    built(&[
        (
            "p/kustomization.yaml",
            "resources: [a.yaml]\nnamePrefix: x-\n".to_owned(),
        ),
        ("p/a.yaml", (0..count).map(one).collect()),
    ])
}

/// Nothing but generators: so many folders, each with as many ConfigMaps of its own.
fn generated(folders: usize, maps: usize) -> String {
    let mut files = Vec::new();
    let mut root = "resources:\n".to_owned();
    for folder in 0..folders {
        root += &format!("- f{folder}\n");
        let maps: String = (0..maps)
            .map(|n| format!("- {{name: m{folder}-{n}}}\n"))
            .collect();
        files.push((
            format!("p/f{folder}/kustomization.yaml"),
            format!("generatorOptions: {{disableNameSuffixHash: true}}\nconfigMapGenerator:\n{maps}"),
        ));
    }
    files.push(("p/kustomization.yaml".to_owned(), root));
    built(&files)
}

/// A base of generators that so many variants refer to.
fn variants(count: usize, maps: usize) -> String {
    let mut files = Vec::new();
    let mut root = "resources:\n".to_owned();
    for variant in 0..count {
        root += &format!("- v{variant}\n");
        files.push((
            format!("p/v{variant}/kustomization.yaml"),
            format!("namePrefix: v{variant}-\nresources: [../b]\n"),
        ));
    }
    let maps: String = (0..maps).map(|n| format!("- {{name: m{n}}}\n")).collect();
    files.push((
        "p/b/kustomization.yaml".to_owned(),
        format!("configMapGenerator:\n{maps}"),
    ));
    files.push(("p/kustomization.yaml".to_owned(), root));
    built(&files)
}

/// What a patch or a replacement may put together.
pub fn of_patches() -> Vec<Row> {
    let with = |kustomization: String| {
        built(&[
            (
                "p/kustomization.yaml",
                format!("resources: [a.yaml]\n{kustomization}"),
            ),
            ("p/a.yaml", MAP.to_owned()),
            ("p/b.yaml", format!("data: {{a: {}}}\n", "x".repeat(1 << 20))),
        ])
    };
    let operations = |all: String| {
        with(format!(
            "patches:\n- target: {{kind: ConfigMap}}\n  patch: |\n{all}"
        ))
    };
    let regexes: String = (0..101)
        .map(|n| format!("- {{target: {{name: 'm{n}.*'}}, patch: '{{data: {{a: c}}}}'}}\n"))
        .collect();
    let deeper: String = (0..160)
        .map(|_| "    - {op: copy, from: /data, path: /data/x}\n")
        .collect();
    let twice: String = (0..20)
        .map(|_| "    - {op: copy, from: /data, path: /data/x}\n    - {op: copy, from: /data, path: /data/y}\n")
        .collect();
    let parts = "- source: {kind: ConfigMap, fieldPath: data.a}\n  targets: [{select: {kind: ConfigMap}, fieldPaths: [data.a], options: {delimiter: ',', index: -1}}]\n";
    let variables: String = (0..10_001).map(|n| format!("K{n}=v\n")).collect();
    let copies: String = (0..101).map(|_| format!("---\n{MAP}")).collect();
    vec![
        (
            "bytes of a kustomization",
            "more than 262144 bytes",
            with(format!("# {}\n", "x".repeat(1 << 18))),
        ),
        (
            "bytes of a patch",
            "more than 1048576 bytes",
            with("patches: [{path: b.yaml, target: {kind: ConfigMap}}]\n".to_owned()),
        ),
        (
            "regular expressions of a kustomization",
            "more than 100 different regular expressions",
            with(format!("patches:\n{regexes}")),
        ),
        (
            "levels that patches put together",
            "more than 150 levels",
            operations(deeper),
        ),
        (
            "values that patches copy",
            "more than 200000 times",
            operations(twice),
        ),
        (
            "bytes that parts make",
            "more than 1048576 bytes",
            with(format!("replacements:\n{}", parts.repeat(25))),
        ),
        (
            "patches of a kustomization",
            "more than 10000 entries",
            with(format!("patches:\n{}", "- {path: b.yaml}\n".repeat(10_001))),
        ),
        (
            "objects that are generated",
            "more than 100000 objects",
            generated(11, 9_100),
        ),
        (
            "objects that are generated again and again",
            "look at objects more than",
            variants(450, 100),
        ),
        (
            "entries of a generated object",
            "more than 10000 entries",
            built(&[
                (
                    "p/kustomization.yaml",
                    "configMapGenerator: [{name: m, envs: [v.env]}]\n".to_owned(),
                ),
                ("p/v.env", variables),
            ]),
        ),
        (
            "objects that are told as defined twice",
            "the first 100 are told",
            built(&[("p/a.yaml", format!("{MAP}{copies}"))]),
        ),
        (
            "prefixes of many objects",
            "more than 16777216 bytes",
            built(&[
                (
                    "p/kustomization.yaml",
                    format!("resources: [a.yaml]\nnamePrefix: {}\n", "x".repeat(5000)),
                ),
                (
                    "p/a.yaml",
                    (0..2000)
                        .map(|n| format!("{}---\n", MAP.replace("name: m", &format!("name: m{n}"))))
                        .collect(),
                ),
            ]),
        ),
        (
            "objects of one name",
            "more than 100000 objects of the same name",
            namesakes(350),
        ),
    ]
}
