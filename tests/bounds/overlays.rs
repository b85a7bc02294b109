//! Bounds on folders and on what is built of them.

use super::*;

fn patched(target: &str) -> String {
    let kustomization =
        format!("resources: [a.yaml]\npatches:\n- patch: '{{data: {{a: c}}}}'\n  target: {{{target}}}\n");
    built(&[
        ("p/kustomization.yaml", kustomization),
        ("p/a.yaml", MAP.to_owned()),
    ])
}

pub(super) fn of_overlays() -> Vec<Row> {
    let mut rows = vec![
        (
            "bytes of a pattern",
            "more than 1000 bytes",
            patched(&format!("name: '{}'", ".".repeat(1001))),
        ),
        (
            "program of a pattern",
            "becomes more than 131072 bytes",
            patched("name: '\\w{100}'"),
        ),
        (
            "bytes of a selector",
            "more than 1000 bytes",
            patched(&format!("labelSelector: '{}'", "a".repeat(1001))),
        ),
        (
            "requirements of a selector",
            "more than 64 requirements",
            patched(&format!("labelSelector: '{}'", "a,".repeat(64) + "a")),
        ),
        (
            "entries of a kustomization",
            "more than 10000 entries",
            built(&[
                (
                    "p/kustomization.yaml",
                    format!("resources:\n{}", "- a.yaml\n".repeat(10_001)),
                ),
                ("p/a.yaml", MAP.to_owned()),
            ]),
        ),
        (
            "bytes of a path",
            "longer than 4096 bytes",
            built(&[(
                "p/kustomization.yaml",
                format!("resources: ['{}a.yaml']\n", "./".repeat(2100)),
            )]),
        ),
        (
            "bytes of a generated key",
            "longer than 253 bytes",
            built(&[(
                "p/kustomization.yaml",
                format!(
                    "configMapGenerator: [{{name: m, literals: [{}=v]}}]\n",
                    "k".repeat(254)
                ),
            )]),
        ),
        (
            "bytes of a generated object",
            "more than 1048576 bytes",
            built(&[
                (
                    "p/kustomization.yaml",
                    "configMapGenerator: [{name: m, files: [f]}]\n".to_owned(),
                ),
                ("p/f", "x".repeat((1 << 20) + 8)),
            ]),
        ),
        (
            "bytes of all that is generated",
            "more than 67108864 bytes",
            built(&[
                ("p/kustomization.yaml", {
                    let one = |number: usize| format!("- {{name: m{number}, files: [f]}}\n");
                    format!("configMapGenerator:\n{}", (0..66).map(one).collect::<String>())
                }),
                ("p/f", "x".repeat(1 << 20)),
            ]),
        ),
        (
            "objects, also of files that were read before",
            "more than 100000 objects",
            built(&[
                (
                    "p/kustomization.yaml",
                    format!("resources:\n{}", "- a.yaml\n".repeat(1001)),
                ),
                ("p/a.yaml", format!("{MAP}---\n").repeat(100)),
            ]),
        ),
        (
            "folders that are built",
            "more than 1000 folders",
            built(&[
                (
                    "p/kustomization.yaml",
                    format!("resources:\n{}", "- b\n".repeat(1000)),
                ),
                ("p/b/kustomization.yaml", "namePrefix: x\n".to_owned()),
            ]),
        ),
    ];
    rows.extend(patches::of_patches());
    let maps: String = (0..2000)
        .map(|n| format!("{}---\n", MAP.replace("name: m", &format!("name: m{n}"))))
        .collect();
    let patch = "- {target: {kind: 'N.*'}, patch: '{data: {a: c}}'}\n".repeat(151);
    let looks = built(&[
        (
            "p/kustomization.yaml",
            format!("resources: [a.yaml]\npatches:\n{patch}"),
        ),
        ("p/a.yaml", maps),
    ]);
    rows.push(("looks at objects", "more than 1200000 times", looks));
    let large = format!(
        "- {{target: {{name: 'm.*'}}, patch: '{{data: {{a: {}}}}}'}}\n",
        "x".repeat(9000)
    );
    let few: String = (0..2000)
        .map(|n| format!("{}---\n", MAP.replace("name: m", &format!("name: m{n}"))))
        .collect();
    rows.push((
        "bytes that patches write",
        "more than 16777216 bytes",
        built(&[
            (
                "p/kustomization.yaml",
                format!("resources: [a.yaml]\npatches:\n{large}"),
            ),
            ("p/a.yaml", few.clone()),
        ]),
    ));
    let value = format!(
        "replacements:\n- sourceValue: {}\n  targets: [{{select: {{kind: ConfigMap}}, fieldPaths: [data.a]}}]\n",
        "x".repeat(9000)
    );
    rows.push((
        "bytes that replacements write",
        "more than 16777216 bytes",
        built(&[
            ("p/kustomization.yaml", format!("resources: [a.yaml]\n{value}")),
            ("p/a.yaml", few),
        ]),
    ));
    let pairs: String = (0..20).map(|n| format!("l{n}: {}, ", "x".repeat(1000))).collect();
    rows.push((
        "bytes that labels write",
        "more than 16777216 bytes",
        built(&[
            (
                "p/kustomization.yaml",
                format!("resources: [a.yaml]\ncommonLabels: {{{pairs}}}\n"),
            ),
            (
                "p/a.yaml",
                (0..1000)
                    .map(|n| format!("{}---\n", MAP.replace("name: m", &format!("name: m{n}"))))
                    .collect(),
            ),
        ]),
    ));
    let mut deep = InMemory::default();
    deep.add("p/kustomization.yaml", "resources: [../d1]\n");
    for level in 1..21 {
        deep.add(
            format!("d{level}/kustomization.yaml"),
            format!("resources: [../d{}]\n", level + 1),
        );
    }
    deep.add("d21/kustomization.yaml", "resources: [a.yaml]\n");
    deep.add("d21/a.yaml", MAP);
    rows.push(("folders one by one", "more than 20 folders", built_from(&deep)));
    let mut many = InMemory::default();
    for number in 0..20_001 {
        many.add(format!("p/{number}.yaml"), "");
    }
    rows.push(("files of a build", "more than 20000 files", built_from(&many)));
    let mut objects = InMemory::default();
    let item = "- {apiVersion: v1, kind: A, metadata: {name: x}}\n".repeat(9_300);
    for name in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"] {
        objects.add(format!("p/{name}.yaml"), format!("kind: List\nitems:\n{item}"));
    }
    rows.push((
        "objects of a build",
        "more than 100000 objects",
        built_from(&objects),
    ));
    rows
}
