//! Objects that contradict each other: two policies for one claim, tiers that nothing serves, secrets for all to read.

use super::{POOL, Row, SECRET, TIER, findings, policy};

#[test]
fn objects_that_contradict_each_other_are_told_of() {
    let two = |one: String, other: String| vec![("a.yaml", one), ("b.yaml", other)];
    let overlap = "b.yaml:9:3 error policy-overlap";
    let table: Vec<Row> = vec![
        (
            "two policies for all claims of a class",
            two(policy("a", "m", ""), policy("b", "m", "")),
            vec![overlap],
        ),
        (
            "the second only takes claims that the first takes",
            two(policy("a", "m", "app: x"), policy("b", "m", "app: x, zone: east")),
            vec![overlap],
        ),
        (
            "labels that one claim can have both of",
            two(policy("a", "m", "app: x"), policy("b", "m", "zone: east")),
            vec!["b.yaml:9:3 warning policy-overlap"],
        ),
        (
            "the same, with a label that both have",
            two(
                policy("a", "m", "app: x, zone: east"),
                policy("b", "m", "app: x, size: s"),
            ),
            vec!["b.yaml:9:3 warning policy-overlap"],
        ),
        (
            "labels that exclude each other",
            two(
                policy("a", "m", "app: x, zone: east"),
                policy("b", "m", "app: z, size: s"),
            ),
            vec![],
        ),
        (
            "such labels in two classes",
            two(policy("a", "m", "app: x"), policy("b", "other", "zone: east")),
            vec![],
        ),
        (
            "such labels, where one is refused for another already",
            vec![
                ("a.yaml", policy("a", "m", "app: x")),
                ("b.yaml", policy("b", "m", "app: x, zone: east")),
                ("c.yaml", policy("c", "m", "app: x, zone: east, size: s")),
            ],
            vec![overlap, "c.yaml:9:3 error policy-overlap"],
        ),
        (
            "other labels",
            two(policy("a", "m", "app: x"), policy("b", "m", "app: z")),
            vec![],
        ),
        (
            "other classes",
            two(policy("a", "m", ""), policy("b", "other", "")),
            vec![],
        ),
        (
            "one is switched off",
            two(policy("a", "m", ""), policy("b", "m", "") + "  enabled: false\n"),
            vec![],
        ),
        (
            "no pool of the tree has the tier's labels",
            two(TIER.to_owned(), POOL.replace("WHICH", "cold")),
            vec!["a.yaml:4:17 warning tier-pools"],
        ),
        (
            "one has",
            two(TIER.to_owned(), POOL.replace("WHICH", "hot")),
            vec![],
        ),
        ("the tree has no pools", vec![("a.yaml", TIER.to_owned())], vec![]),
        (
            "a secret for all to read",
            vec![("a.yaml", format!("{SECRET}stringData: {{password: x}}\n"))],
            vec!["a.yaml:4:1 warning plain-secret"],
        ),
        (
            "a secret made of a plain file",
            vec![
                (
                    "kustomization.yaml",
                    "secretGenerator:\n- name: s\n  files: [p.txt]\n".to_owned(),
                ),
                ("p.txt", "password".to_owned()),
            ],
            vec!["kustomization.yaml:2:1 warning plain-secret"],
        ),
        ("an empty secret", vec![("a.yaml", SECRET.to_owned())], vec![]),
    ];
    for (what, files, expected) in table {
        let (found, code) = findings(&files);
        assert_eq!(found, expected, "{what}");
        assert_eq!(code, Some(i32::from(!expected.is_empty())), "{what}");
    }
}
