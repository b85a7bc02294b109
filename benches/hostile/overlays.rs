//! Kustomizations that ask for more than they say, and folders that multiply.

use super::*;

pub fn overlays() -> Vec<fn(&Sealer) -> Case> {
    vec![
        |_| {
            overlay(
                "many patches of one",
                {
                    let patch = "- {target: {kind: ConfigMap}, patch: \"{data: {a: c}}\"}\n".repeat(4_500);
                    format!("resources: [a.yaml]\npatches:\n{patch}")
                },
                &[("a.yaml", map(1))],
            )
        },
        |_| {
            overlay(
                "many patches of many",
                {
                    let patch = "- {target: {kind: ConfigMap}, patch: \"{data: {a: c}}\"}\n".repeat(4_500);
                    format!("resources: [a.yaml]\npatches:\n{patch}")
                },
                &[("a.yaml", maps(6_600))],
            )
            .overlaid(6_600)
        },
        |_| {
            overlay(
                "many operations of many",
                {
                    let operations = "  {op: add, path: /data/x, value: 1},\n".repeat(6_000);
                    format!(
                        "resources: [a.yaml]\npatches:\n- target: {{kind: ConfigMap}}\n  patch: |-\n   [\n{}   ]\n",
                        operations.replace("  {", "   {")
                    )
                },
                &[("a.yaml", maps(5_000))],
            ).overlaid(5_000)
        },
        |_| {
            overlay(
                "copies that double",
                {
                    let operations = numbered(40, |_| {
                        "    - {op: copy, from: /data, path: /data/x}\n".to_owned()
                    });
                    format!(
                        "resources: [a.yaml]\npatches:\n- target: {{kind: Source}}\n  patch: |\n{operations}"
                    )
                },
                &[("a.yaml", source())],
            )
        },
        |_| {
            overlay(
                "a large value into many",
                {
                    let value = "x".repeat(200_000);
                    format!(
                        "resources: [a.yaml]\npatches:\n- target: {{kind: ConfigMap}}\n  patch: '{{data: {{b: {value}}}}}'\n"
                    )
                },
                &[("a.yaml", maps(5_000))],
            ).overlaid(5_000)
        },
        |_| {
            overlay(
                "many replacements of many",
                {
                    let one = "- source: {kind: Source, fieldPath: data.a}\n  targets: [{select: {kind: ConfigMap}, fieldPaths: [data.a]}]\n".repeat(1_800);
                    format!("resources: [a.yaml]\nreplacements:\n{one}")
                },
                &[(
                    "a.yaml",
                    format!("{}---\n{}data: {{a: x}}\n", maps(5_000), head("Source", "s")),
                )],
            ).overlaid(5_000)
        },
        |_| {
            overlay(
                "replacements that double",
                {
                    let one = "- source: {kind: Source, fieldPath: data}\n  targets: [{select: {kind: Source}, fieldPaths: [data.x], options: {create: true}}]\n".repeat(40);
                    format!("resources: [a.yaml]\nreplacements:\n{one}")
                },
                &[("a.yaml", source())],
            )
        },
        |_| {
            overlay(
                "a replacement of many paths",
                {
                    let paths = "data.a, ".repeat(30_000);
                    format!(
                        "resources: [a.yaml]\nreplacements:\n- source: {{kind: ConfigMap, fieldPath: data.a}}\n  targets: [{{select: {{kind: ConfigMap}}, fieldPaths: [{paths}]}}]\n"
                    )
                },
                &[("a.yaml", map(1))],
            )
        },
        |_| {
            overlay(
                "parts that multiply",
                {
                    let one = "- source: {kind: ConfigMap, fieldPath: data.a}\n  targets: [{select: {kind: ConfigMap}, fieldPaths: [data.a], options: {delimiter: ',', index: -1}}]\n".repeat(60);
                    format!("resources: [a.yaml]\nreplacements:\n{one}")
                },
                &[("a.yaml", map(1).replace("b}", "'x,y,z'}"))],
            )
        },
        |_| {
            overlay(
                "many labels over many",
                {
                    let labels = numbered(5_000, |n| format!("  l{n}: x\n"));
                    format!("resources: [a.yaml]\ncommonLabels:\n{labels}")
                },
                &[("a.yaml", maps(5_000))],
            )
            .overlaid(5_000)
        },
        |_| {
            overlay(
                "many entries of labels over many",
                {
                    let labels = "- {pairs: {a: b}, includeSelectors: true}\n".repeat(3_000);
                    let labels = labels
                        + &"- {pairs: {a: b}, includeSelectors: true}\n- {pairs: {a: b}}\n".repeat(2_000);
                    format!("resources: [a.yaml]\nlabels:\n{labels}")
                },
                &[("a.yaml", maps(5_000))],
            )
            .overlaid(5_000)
        },
        |_| {
            overlay(
                "many images over many",
                {
                    let images = numbered(7_500, |n| format!("- {{name: i{n}, newTag: x}}\n"));
                    format!("resources: [a.yaml]\nimages:\n{images}")
                },
                &[("a.yaml", maps(5_000))],
            )
            .overlaid(5_000)
        },
        |_| {
            overlay(
                "many replicas over many",
                {
                    let replicas = numbered(7_500, |n| format!("- {{name: m{n}, count: 1}}\n"));
                    format!("resources: [a.yaml]\nreplicas:\n{replicas}")
                },
                &[("a.yaml", maps(5_000))],
            )
            .overlaid(5_000)
        },
        |_| {
            overlay(
                "an expensive image name",
                {
                    format!(
                        "resources: [a.yaml]\nimages: [{{name: '{}', newTag: x}}]\n",
                        "(a{1,100}){1,100}".repeat(50)
                    )
                },
                &[("a.yaml", maps(100))],
            )
        },
        |_| {
            overlay(
                "expensive selectors",
                {
                    let one = "- {target: {name: '(m{1,60}){1,20}x?.*.*.*'}, patch: '{data: {a: c}}'}\n"
                        .repeat(200);
                    format!("resources: [a.yaml]\npatches:\n{one}")
                },
                &[("a.yaml", maps(1_000))],
            )
            .overlaid(1_000)
        },
        |_| {
            overlay(
                "selectors that compile to much",
                {
                    let one = "- {target: {name: '\\w{100}\\w{100}\\w{100}'}, patch: '{data: {a: c}}'}\n"
                        .repeat(500);
                    format!("resources: [a.yaml]\npatches:\n{one}")
                },
                &[("a.yaml", maps(10))],
            )
        },
        |_| {
            overlay(
                "many label selectors",
                {
                    let selector: Vec<String> = (0..64).map(|n| format!("a{n} notin (b)")).collect();
                    let one = format!(
                        "- {{target: {{labelSelector: '{}'}}, patch: '{{data: {{a: c}}}}'}}\n",
                        selector.join(",")
                    )
                    .repeat(240);
                    format!("resources: [a.yaml]\npatches:\n{one}")
                },
                &[("a.yaml", maps(1_000))],
            )
            .overlaid(1_000)
        },
        |_| {
            overlay(
                "a generator of huge files",
                {
                    let files = numbered(500, |n| format!("k{n}=big.bin, "));
                    format!("configMapGenerator:\n- {{name: m, files: [{files}]}}\n")
                },
                &[("big.bin", "x".repeat(FULL))],
            )
        },
        |_| {
            overlay(
                "many generators of a huge file",
                {
                    let all = numbered(200, |n| format!("- {{name: m{n}, files: [big.bin]}}\n"));
                    format!("secretGenerator:\n{all}")
                },
                &[("big.bin", "x".repeat(FULL))],
            )
        },
        |_| {
            overlay(
                "a generator of many variables",
                "configMapGenerator:\n- {name: m, envs: [v.env]}\n".to_owned(),
                &[("v.env", numbered(300_000, |n| format!("K{n}=v\n")))],
            )
        },
        |_| {
            overlay(
                "a generator of many literals",
                {
                    let literals = numbered(20_000, |n| format!("k{n}=v, "));
                    format!("configMapGenerator:\n- {{name: m, literals: [{literals}]}}\n")
                },
                &[],
            )
        },
        |_| {
            overlay(
                "prefixes on references of many",
                "resources: [a.yaml]\nnamePrefix: x-\n".to_owned(),
                &[("a.yaml", {
                    let pods: Vec<String> = (0..100)
                        .map(|n| {
                            format!(
                                "{}spec: {{volumes: [{}]}}\n",
                                head("Pod", &format!("p{n}")),
                                "{name: v, configMap: {name: m}}, ".repeat(90)
                            )
                        })
                        .collect();
                    pods.join("---\n")
                })],
            )
            .overlaid(100)
        },
        |_| {
            overlay(
                "twenty patches of all",
                {
                    let patches = numbered(20, |n| {
                        format!("- {{target: {{kind: ConfigMap}}, patch: '{{data: {{p{n}: c}}}}'}}\n")
                    });
                    format!("resources: [a.yaml]\npatches:\n{patches}")
                },
                &[("a.yaml", maps(6_600))],
            )
            .overlaid(6_600)
        },
        |_| {
            overlay(
                "twenty operations of all",
                {
                    let patches = numbered(20, |n| format!("- {{target: {{name: m.*}}, patch: '[{{op: add, path: /data/p{n}, value: c}}]'}}\n"));
                    format!("resources: [a.yaml]\npatches:\n{patches}")
                },
                &[("a.yaml", maps(6_600))],
            )
            .overlaid(6_600)
        },
        |_| {
            let pod = |turn: usize| {
                let items = numbered(5_000, |n| {
                    format!("{{name: e{}, value: x}}, ", (n * 7 + turn) % 5_000)
                });
                format!(
                    "{}spec: {{containers: [{{name: c, env: [{items}]}}]}}\n",
                    head("Pod", "p")
                )
            };
            overlay(
                "keyed lists of many items",
                "resources: [a.yaml]\npatches: [{path: p.yaml}]\n".to_owned(),
                &[("a.yaml", pod(0)), ("p.yaml", pod(5))],
            )
        },
        |_| {
            overlay(
                "one name for many",
                "resources: [a.yaml]\nnamePrefix: x-\n".to_owned(),
                &[("a.yaml", {
                    let maps: Vec<String> = (0..2000)
                        .map(|n| {
                            format!(
                                "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m, namespace: n{n}}}\n"
                            )
                        })
                        .collect();
                    let pods: Vec<String> = (0..2000).map(|n| format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: p, namespace: n{n}}}\nspec: {{volumes: [{{configMap: {{name: m}}}}]}}\n")).collect();
                    [maps, pods].concat().join("---\n")
                })],
            ).overlaid(4_000)
        },
        |_| {
            overlay(
                "duplicates",
                "resources: [a.yaml]\n".to_owned(),
                &[("a.yaml", map(1) + &format!("---\n{}", map(1)).repeat(6_600))],
            )
            .overlaid(6_600)
        },
    ]
}

pub fn folders() -> Vec<fn(&Sealer) -> Case> {
    vec![
        |_| {
            case("a fan of bases", {
                let mut files = Vec::new();
                for level in 0..18 {
                    let next = level + 1;
                    files.push((
                        format!("p/l{level}/kustomization.yaml"),
                        format!("resources: [../l{next}/a, ../l{next}/b]\n"),
                    ));
                    for side in ["a", "b"] {
                        let text = format!("namePrefix: {side}\nresources: [../../l{next}]\n");
                        files.push((format!("p/l{level}/{side}/kustomization.yaml"), text));
                    }
                }
                for side in ["l18/a", "l18/b"] {
                    let text = "resources: [../../l18]\n".to_owned();
                    files.push((format!("p/{side}/kustomization.yaml"), text));
                }
                files.push((
                    "p/l18/kustomization.yaml".to_owned(),
                    "resources: [a.yaml]\n".to_owned(),
                ));
                files.push(("p/l18/a.yaml".to_owned(), map(1)));
                files.push(("p/kustomization.yaml".to_owned(), "resources: [l0]\n".to_owned()));
                files
            })
        },
        |_| {
            case("a diamond of folders", {
                let mut files = vec![("p/kustomization.yaml".to_owned(), "resources: [d0]\n".to_owned())];
                for level in 0..18 {
                    let next = format!("../d{}", level + 1);
                    files.push((
                        format!("p/d{level}/kustomization.yaml"),
                        format!("resources: [{next}, {next}]\n"),
                    ));
                }
                files.push((
                    "p/d18/kustomization.yaml".to_owned(),
                    "resources: [a.yaml]\n".to_owned(),
                ));
                files.push(("p/d18/a.yaml".to_owned(), maps(100)));
                files
            })
        },
        |_| {
            case("a base a thousand times", {
                let all = numbered(9_000, |_| "- base\n".to_owned());
                vec![
                    ("p/kustomization.yaml".to_owned(), format!("resources:\n{all}")),
                    (
                        "p/base/kustomization.yaml".to_owned(),
                        "resources: [a.yaml]\n".to_owned(),
                    ),
                    ("p/base/a.yaml".to_owned(), maps(100)),
                ]
            })
        },
        |_| {
            case("a base of generators many times", {
                let variants = numbered(450, |n| format!("- v{n}\n"));
                let maps = numbered(5_000, |n| format!("- {{name: m{n}}}\n"));
                let variant = |n: usize| {
                    (
                        format!("p/v{n}/kustomization.yaml"),
                        format!("namePrefix: v{n}-\nresources: [../b]\n"),
                    )
                };
                let mut files: Vec<(String, String)> = (0..450).map(variant).collect();
                files.push((
                    "p/kustomization.yaml".to_owned(),
                    format!("resources:\n{variants}"),
                ));
                files.push((
                    "p/b/kustomization.yaml".to_owned(),
                    format!("configMapGenerator:\n{maps}"),
                ));
                files
            })
            .overlaid(5_000)
        },
        |_| {
            case("a file many times", {
                let all = numbered(9_000, |_| "- a.yaml\n".to_owned());
                vec![
                    ("p/kustomization.yaml".to_owned(), format!("resources:\n{all}")),
                    ("p/a.yaml".to_owned(), maps(1000)),
                ]
            })
            .overlaid(1_000)
        },
        |_| {
            case("components that multiply", {
                let all = numbered(900, |_| "- c\n".to_owned());
                vec![
                    (
                        "p/kustomization.yaml".to_owned(),
                        format!("resources: [a.yaml]\ncomponents:\n{all}"),
                    ),
                    ("p/a.yaml".to_owned(), maps(1000)),
                    (
                        "p/c/kustomization.yaml".to_owned(),
                        "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nnamePrefix: x\n"
                            .to_owned(),
                    ),
                ]
            })
            .overlaid(1_000)
        },
        |_| {
            case("deep folders", {
                let mut files = Vec::new();
                let mut path = "p".to_owned();
                for _ in 0..2000 {
                    path.push_str("/d");
                }
                files.push((format!("{path}/a.yaml"), map(1)));
                files
            })
        },
        |_| {
            case("long references", {
                vec![
                    (
                        "p/kustomization.yaml".to_owned(),
                        format!("resources: [{}a.yaml]\n", full("./")),
                    ),
                    ("p/a.yaml".to_owned(), map(1)),
                ]
            })
        },
        |_| {
            case("many missing files", {
                let all = numbered(9_900, |n| format!("- f{n}.yaml\n"));
                vec![("p/kustomization.yaml".to_owned(), format!("resources:\n{all}"))]
            })
        },
        |_| {
            case(
                "many small files",
                (0..20_500)
                    .map(|n| (format!("p/f{n}.yaml"), "a: 1\n".to_owned()))
                    .collect(),
            )
        },
        |_| full_files("2 full files", 2),
        |_| full_files("6 full files", 6),
        |_| full_files("12 full files", 12),
    ]
}

/// As many files with more values than a file may have: what they take grows with their number and no faster.
fn full_files(name: &'static str, count: usize) -> Case {
    let files = (0..count).map(|n| (format!("p/f{n}.yaml"), full("- 1\n")));
    Case {
        hostile: count,
        ..case(name, files.collect())
    }
}
