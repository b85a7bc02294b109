//! The files: each is small beside what it asks for, or as large as a file may be.

use super::support::seal::Sealer;
use couchestor::formats::substitute::Variables;
use std::collections::BTreeMap;

/// Files by path.
pub struct Case {
    pub name: &'static str,
    pub files: BTreeMap<String, Vec<u8>>,
}

fn case(name: &'static str, files: Vec<(String, String)>) -> Case {
    let bytes = files.into_iter().map(|(path, text)| (path, text.into_bytes()));
    Case {
        name,
        files: bytes.collect(),
    }
}

fn one(name: &'static str, text: String) -> Case {
    case(name, vec![("p/a.yaml".to_owned(), text)])
}

fn overlay(name: &'static str, kustomization: String, more: &[(&str, String)]) -> Case {
    let mut files = vec![("p/kustomization.yaml".to_owned(), kustomization)];
    files.extend(
        more.iter()
            .map(|(path, text)| (format!("p/{path}"), text.clone())),
    );
    case(name, files)
}

/// Nothing special.
pub fn plain() -> Case {
    one("plain", format!("{}---\n{POLICY}", map(1)))
}

/// Variables that a substitution could multiply.
pub fn variables() -> Variables {
    let mut variables = Variables::default();
    variables.set("LONG", "x".repeat(100_000), false).unwrap();
    variables.set("SHORT", "y".to_owned(), false).unwrap();
    variables
}

const POLICY: &str = "apiVersion: storage.billyronks.io/v1\nkind: StoragePolicy\nmetadata: {name: p}\nspec:\n  highWatermarkIOPS: 5000\n  lowWatermarkIOPS: 500\n  samplingWindow: 1h\n  nvmePoolSelector: {matchLabels: {a: b}}\n  sataPoolSelector: {matchLabels: {a: c}}\n";

/// As large as a file may be.
const FULL: usize = (5 << 20) - 1000;

fn head(kind: &str, name: &str) -> String {
    format!("apiVersion: v1\nkind: {kind}\nmetadata: {{name: {name}}}\n")
}

fn map(number: usize) -> String {
    format!("{}data: {{a: b}}\n", head("ConfigMap", &format!("m{number}")))
}

fn maps(count: usize) -> String {
    let all: Vec<String> = (0..count).map(map).collect();
    all.join("---\n")
}

fn full(piece: &str) -> String {
    piece.repeat(FULL / piece.len())
}

fn numbered(count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).map(line).collect()
}

fn laughs(levels: usize, width: usize) -> String {
    let mut text = format!("{}data:\n  a0: &a0 [x, x]\n", head("ConfigMap", "m"));
    for level in 1..levels {
        let again = vec![format!("*a{}", level - 1); width].join(", ");
        text.push_str(&format!("  a{level}: &a{level} [{again}]\n"));
    }
    text
}

/// Makers of all cases: each is made when its turn comes, so that they do not fill the memory together.
pub fn all() -> Vec<fn(&Sealer) -> Case> {
    let mut all: Vec<fn(&Sealer) -> Case> = Vec::new();
    all.extend(yaml());
    all.extend(overlays());
    all.extend(folders());
    all.extend(sealed());
    all.extend(fields());
    all
}

fn yaml() -> Vec<fn(&Sealer) -> Case> {
    vec![
        |_| one("aliases of aliases", laughs(12, 10)),
        |_| {
            one("aliases of one large value", {
                let big = "x, ".repeat(1000);
                format!(
                    "{}a: &a [{big}]\nb: [{}]\n",
                    head("ConfigMap", "m"),
                    "*a, ".repeat(100_000)
                )
            })
        },
        |_| {
            one("merges of aliases", {
                let keys = numbered(1000, |n| format!("  k{n}: 1\n"));
                let more = numbered(2000, |n| format!("b{n}: {{<<: *a}}\n"));
                format!("{}a: &a\n{keys}{more}", head("ConfigMap", "m"))
            })
        },
        |_| {
            one("merge of many", {
                let keys = numbered(20_000, |n| format!("  k{n}: 1\n"));
                format!(
                    "{}a: &a\n{keys}b:\n  <<: [{}]\n",
                    head("ConfigMap", "m"),
                    "*a, ".repeat(20)
                )
            })
        },
        |_| {
            one("anchor of everything", {
                let open = numbered(90, |n| format!("{{k: &a{n} "));
                format!(
                    "{}a: {open}{}{}\n",
                    head("ConfigMap", "m"),
                    full("x").chars().take(2 << 20).collect::<String>(),
                    "}".repeat(90)
                )
            })
        },
        |_| {
            one("anchors in anchors of many values", {
                let open = numbered(90, |n| format!("[&a{n} "));
                format!(
                    "{}a: {open}[{}]{}\n",
                    head("ConfigMap", "m"),
                    "x, ".repeat(200_000),
                    "]".repeat(90)
                )
            })
        },
        |_| one("flow nesting", full("[")),
        |_| one("flow maps", full("{a: ")),
        |_| one("block nesting", full("- ")),
        |_| one("block maps", numbered(3000, |n| format!("{}a:\n", " ".repeat(n)))),
        |_| one("keys that are lists", full("? - ")),
        |_| one("plain scalar", full("x")),
        |_| one("plain scalar of words", full("word ")),
        |_| {
            one(
                "double quoted",
                format!(
                    "{}data: {{a: \"{}\"}}\n",
                    head("ConfigMap", "m"),
                    full("\\n\\x41\\u00e9")
                ),
            )
        },
        |_| {
            one(
                "single quoted",
                format!("{}data: {{a: '{}'}}\n", head("ConfigMap", "m"), full("''")),
            )
        },
        |_| {
            one(
                "block scalar",
                format!("{}data:\n  a: |\n{}", head("ConfigMap", "m"), full("   text\n")),
            )
        },
        |_| {
            one(
                "folded scalar",
                format!(
                    "{}data:\n  a: >\n{}",
                    head("ConfigMap", "m"),
                    full("   te xt\n\n")
                ),
            )
        },
        |_| {
            one(
                "scalar of empty lines",
                format!("{}data:\n  a: |\n{}", head("ConfigMap", "m"), full("\n")),
            )
        },
        |_| one("quoted over empty lines", format!("a: \"{}\"", full("\n"))),
        |_| {
            one(
                "binary",
                format!(
                    "{}data: {{a: !!binary \"{}\"}}\n",
                    head("ConfigMap", "m"),
                    full("QUJD")
                ),
            )
        },
        |_| one("unclosed quote", format!("a: \"{}", full("x\n"))),
        |_| {
            one(
                "huge object",
                format!("{}data:\n  a: {}\n", head("ConfigMap", "m"), full("x")),
            )
        },
        |_| one("many documents", full("---\na: 1\n")),
        |_| one("many empty documents", full("---\n")),
        |_| one("many objects", maps(60_000)),
        |_| {
            one("one list of objects", {
                let items = full("- {apiVersion: v1, kind: A, metadata: {name: x}}\n");
                format!("apiVersion: v1\nkind: List\nitems:\n{items}")
            })
        },
        |_| one("many anchors", numbered(200_000, |n| format!("- &a{n} x\n"))),
        |_| one("many comments", full("# comment\n")),
        |_| one("comment", format!("# {}", full("x"))),
        |_| one("many values", format!("a: [{}]\n", full("1,"))),
        |_| one("many lines of values", full("- 1\n")),
        |_| one("many empty values", full("-\n")),
        |_| one("wide map", numbered(330_000, |n| format!("k{n:07}: 1\n"))),
        |_| {
            one(
                "wide map with a duplicate at the end",
                format!("{}k5: 2\n", numbered(100_000, |n| format!("k{n}: 1\n"))),
            )
        },
        |_| {
            one(
                "wide maps in a map",
                numbered(9000, |n| {
                    format!("k{n}: {{{}}}\n", numbered(24, |m| format!("a{m}: 1, ")))
                }),
            )
        },
        |_| {
            one(
                "very long key",
                format!(
                    "{}: 1\n{}: 1\n",
                    full("k").chars().take(2 << 20).collect::<String>(),
                    full("k").chars().take(2 << 20).collect::<String>()
                ),
            )
        },
        |_| one("very long anchor", format!("a: &{} x\n", full("k"))),
        |_| one("very long tag", format!("a: !{} x\n", full("k"))),
        |_| {
            one(
                "very long directive",
                format!("%TAG ! {}\n---\na: 1\n", full("k")),
            )
        },
        |_| one("many directives", full("%X y\n")),
        |_| one("many tabs", full("\t")),
        |_| one("many blanks", full(" ")),
        |_| one("many question marks", full("? ")),
        |_| one("many colons", full(": ")),
        |_| one("many dashes", full("-")),
        |_| one("many stars", full("*a ")),
        |_| one("many quotes", full("'' ")),
        |_| one("many numbers", full("- 0x1_f\n- 1e9\n- 0o7\n- 1:2:3\n")),
        |_| one("long number", format!("a: {}\n", full("9"))),
        |_| one("long float", format!("a: 0.{}\n", full("9"))),
        |_| one("long exponent", format!("a: 1e{}\n", full("9"))),
        |_| Case {
            name: "bad UTF-8",
            files: BTreeMap::from([("p/a.yaml".to_owned(), vec![0xff; FULL])]),
        },
        |_| Case {
            name: "bad UTF-8 at the end",
            files: BTreeMap::from([(
                "p/a.yaml".to_owned(),
                [full("a: 1\n").into_bytes(), vec![0xff]].concat(),
            )]),
        },
        |_| one("zero bytes", full("\0")),
        |_| one("a file beyond the largest", "x".repeat((5 << 20) + 1)),
    ]
}

fn overlays() -> Vec<fn(&Sealer) -> Case> {
    vec![
        |_| {
            overlay(
                "many patches of one",
                {
                    let patch = "- {target: {kind: ConfigMap}, patch: \"{data: {a: c}}\"}\n".repeat(9_900);
                    format!("resources: [a.yaml]\npatches:\n{patch}")
                },
                &[("a.yaml", map(1))],
            )
        },
        |_| {
            overlay(
                "many patches of many",
                {
                    let patch = "- {target: {kind: ConfigMap}, patch: \"{data: {a: c}}\"}\n".repeat(9_900);
                    format!("resources: [a.yaml]\npatches:\n{patch}")
                },
                &[("a.yaml", maps(9_000))],
            )
        },
        |_| {
            overlay(
                "many operations of many",
                {
                    let operations = "  {op: add, path: /data/x, value: 1},\n".repeat(50_000);
                    format!(
                        "resources: [a.yaml]\npatches:\n- target: {{kind: ConfigMap}}\n  patch: |-\n   [\n{}   ]\n",
                        operations.replace("  {", "   {")
                    )
                },
                &[("a.yaml", maps(5_000))],
            )
        },
        |_| {
            overlay(
                "copies that double",
                {
                    let operations = numbered(40, |_| {
                        "    - {op: copy, from: /data, path: /data/x}\n".to_owned()
                    });
                    format!(
                        "resources: [a.yaml]\npatches:\n- target: {{kind: ConfigMap}}\n  patch: |\n{operations}"
                    )
                },
                &[("a.yaml", map(1))],
            )
        },
        |_| {
            overlay(
                "a large value into many",
                {
                    let value = "x".repeat(1 << 20);
                    format!(
                        "resources: [a.yaml]\npatches:\n- target: {{kind: ConfigMap}}\n  patch: '{{data: {{b: {value}}}}}'\n"
                    )
                },
                &[("a.yaml", maps(5_000))],
            )
        },
        |_| {
            overlay(
                "many replacements of many",
                {
                    let one = "- source: {kind: Source, fieldPath: data.a}\n  targets: [{select: {kind: ConfigMap}, fieldPaths: [data.a]}]\n".repeat(9_000);
                    format!("resources: [a.yaml]\nreplacements:\n{one}")
                },
                &[(
                    "a.yaml",
                    format!("{}---\n{}data: {{a: x}}\n", maps(5_000), head("Source", "s")),
                )],
            )
        },
        |_| {
            overlay(
                "replacements that double",
                {
                    let one = "- source: {kind: ConfigMap, fieldPath: data}\n  targets: [{select: {kind: ConfigMap}, fieldPaths: [data.x], options: {create: true}}]\n".repeat(40);
                    format!("resources: [a.yaml]\nreplacements:\n{one}")
                },
                &[("a.yaml", map(1))],
            )
        },
        |_| {
            overlay(
                "a replacement of many paths",
                {
                    let paths = "data.a, ".repeat(100_000);
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
        },
        |_| {
            overlay(
                "many entries of labels over many",
                {
                    let labels = "- {pairs: {a: b}, includeSelectors: true}\n".repeat(9_000);
                    format!("resources: [a.yaml]\nlabels:\n{labels}")
                },
                &[("a.yaml", maps(5_000))],
            )
        },
        |_| {
            overlay(
                "many images over many",
                {
                    let images = numbered(9_000, |n| format!("- {{name: i{n}, newTag: x}}\n"));
                    format!("resources: [a.yaml]\nimages:\n{images}")
                },
                &[("a.yaml", maps(5_000))],
            )
        },
        |_| {
            overlay(
                "many replicas over many",
                {
                    let replicas = numbered(9_000, |n| format!("- {{name: m{n}, count: 1}}\n"));
                    format!("resources: [a.yaml]\nreplicas:\n{replicas}")
                },
                &[("a.yaml", maps(5_000))],
            )
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
                    .repeat(1000);
                    format!("resources: [a.yaml]\npatches:\n{one}")
                },
                &[("a.yaml", maps(1_000))],
            )
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
                    let literals = numbered(200_000, |n| format!("k{n}=v, "));
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
                    let pods: Vec<String> = (0..300)
                        .map(|n| {
                            format!(
                                "{}spec: {{volumes: [{}]}}\n",
                                head("Pod", &format!("p{n}")),
                                "{name: v, configMap: {name: m}}, ".repeat(100)
                            )
                        })
                        .collect();
                    pods.join("---\n")
                })],
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
            )
        },
        |_| {
            overlay(
                "duplicates",
                "resources: [a.yaml]\n".to_owned(),
                &[(
                    "a.yaml",
                    map(1).replace("m1", "m1") + &format!("---\n{}", map(1)).repeat(9_000),
                )],
            )
        },
    ]
}

fn folders() -> Vec<fn(&Sealer) -> Case> {
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
            case("a file many times", {
                let all = numbered(9_000, |_| "- a.yaml\n".to_owned());
                vec![
                    ("p/kustomization.yaml".to_owned(), format!("resources:\n{all}")),
                    ("p/a.yaml".to_owned(), maps(1000)),
                ]
            })
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
        |_| {
            case(
                "many full files",
                (0..6).map(|n| (format!("p/f{n}.yaml"), full("- 1\n"))).collect(),
            )
        },
    ]
}

fn sealed() -> Vec<fn(&Sealer) -> Case> {
    fn block(recipients: &str) -> String {
        format!(
            "a: ENC[AES256_GCM,data:AA==,iv:AA==,tag:AA==,type:str]\nsops:\n  mac: x\n  lastmodified: y\n{recipients}"
        )
    }
    vec![
        |sealer| {
            one("10,000 recipients", {
                let enc = sealer.yaml("a: b\n");
                let value: serde_json::Value = serde_json::from_str(&enc).unwrap();
                let enc = value["sops"]["age"][0]["enc"]
                    .as_str()
                    .unwrap()
                    .replace('\n', "\n      ");
                let other = Sealer::new();
                let _ = other;
                let one = format!("  - recipient: age1x\n    enc: |\n      {enc}\n").replace("YWdl", "YWdm");
                let count = FULL / one.len();
                block(&format!("  age:\n{}", one.repeat(count.min(10_000))))
            })
        },
        |_| {
            one("10,000 recipients that are others", {
                let sealed = Sealer::new().yaml("a: b\n");
                let value: serde_json::Value = serde_json::from_str(&sealed).unwrap();
                let enc = value["sops"]["age"][0]["enc"]
                    .as_str()
                    .unwrap()
                    .replace('\n', "\n      ");
                let one = format!("  - recipient: age1x\n    enc: |\n      {enc}\n");
                let count = FULL / one.len();
                block(&format!("  age:\n{}", one.repeat(count.min(10_000))))
            })
        },
        |_| {
            one("scrypt with a huge work factor", {
                let mut text = String::from("-----BEGIN AGE ENCRYPTED FILE-----\n");
                let body = base64(b"age-encryption.org/v1\n-> scrypt bBjlhJVYZeE4aqUdmtRHfw 40\nZV/AhotwSGqaPCU43cepl4WYUouAa17a3xpu4G2yi5k\n--- AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n0123456789012345");
                text.push_str(&body);
                text.push_str("\n-----END AGE ENCRYPTED FILE-----");
                let one = format!(
                    "  - recipient: age1x\n    enc: |\n      {}\n",
                    text.replace('\n', "\n      ")
                );
                block(&format!("  age:\n{}", one.repeat(1000)))
            })
        },
        |_| {
            one("1 MiB of an age header", {
                let stanzas = "-> X25519 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n".repeat(9_000);
                let body = base64(format!("age-encryption.org/v1\n{stanzas}---").as_bytes());
                let lines: Vec<&str> = body
                    .as_bytes()
                    .chunks(64)
                    .map(|line| std::str::from_utf8(line).unwrap())
                    .collect();
                let armored = format!(
                    "-----BEGIN AGE ENCRYPTED FILE-----\n{}\n-----END AGE ENCRYPTED FILE-----",
                    lines.join("\n")
                );
                block(&format!(
                    "  age:\n  - recipient: age1x\n    enc: |\n      {}\n",
                    armored.replace('\n', "\n      ")
                ))
            })
        },
        |_| {
            one(
                "1 MiB of metadata",
                block(&format!("  age: []\n  x: {}\n", "y".repeat(1 << 20))),
            )
        },
        |_| {
            one(
                "a recipient of 4 MiB",
                block(&format!(
                    "  age:\n  - {{recipient: {}, enc: x}}\n",
                    "y".repeat(4 << 20)
                )),
            )
        },
        |_| {
            one(
                "a rule of 1 MiB",
                block(&format!("  encrypted_regex: '{}'\n", "a?".repeat(1 << 19))),
            )
        },
        |_| {
            one(
                "an expensive rule",
                block(&format!(
                    "  encrypted_regex: '{}'\n",
                    "(\\w{1,90}){1,90}".repeat(200)
                )),
            )
        },
        |_| {
            one(
                "many key groups",
                block(&format!(
                    "  shamir_threshold: 200\n  key_groups:\n{}",
                    "  - age: []\n".repeat(100_000)
                )),
            )
        },
        |sealer| {
            one("many encrypted values", {
                let all: Vec<String> = (0..20_000).map(|n| format!("\"k{n}\": {n}")).collect();
                sealer.yaml(&format!("{{{}}}", all.join(", ")))
            })
        },
        |sealer| {
            one(
                "one huge encrypted value",
                sealer.yaml(&format!("a: {}\n", "x".repeat(3 << 20))),
            )
        },
        |sealer| {
            one("many encrypted values that are broken", {
                let good = sealer.yaml("a: 1\n");
                let more = numbered(20_000, |n| {
                    format!("\"z{n}\": \"ENC[AES256_GCM,data:AAAA,iv:AAAA,tag:AAAA,type:str]\",\n")
                });
                good.replacen('{', &format!("{{{more}"), 1)
            })
        },
        |_| {
            case(
                "lines of a huge block",
                vec![
                    (
                        "p/kustomization.yaml".to_owned(),
                        "secretGenerator: [{name: s, envs: [v.env]}]\n".to_owned(),
                    ),
                    (
                        "p/v.env".to_owned(),
                        format!(
                            "A=ENC[AES256_GCM,data:AA==]\nsops_mac=x\nsops_lastmodified=y\n{}",
                            numbered(100_000, |n| format!("sops_age__list_{n}__map_recipient=x\n"))
                        ),
                    ),
                ],
            )
        },
        |_| {
            case(
                "deep flattened keys",
                vec![
                    (
                        "p/kustomization.yaml".to_owned(),
                        "secretGenerator: [{name: s, envs: [v.env]}]\n".to_owned(),
                    ),
                    (
                        "p/v.env".to_owned(),
                        format!(
                            "A=ENC[AES256_GCM,data:AA==]\nsops_mac=x\nsops_a{}=x\n",
                            "__list_999".repeat(100_000)
                        ),
                    ),
                ],
            )
        },
        |_| {
            case(
                "lists of lists in flattened keys",
                vec![
                    (
                        "p/kustomization.yaml".to_owned(),
                        "secretGenerator: [{name: s, envs: [v.env]}]\n".to_owned(),
                    ),
                    (
                        "p/v.env".to_owned(),
                        format!(
                            "A=ENC[AES256_GCM,data:AA==]\nsops_mac=x\n{}",
                            numbered(20_000, |n| format!(
                                "sops_a__list_{}__list_999__list_999=x\n",
                                n % 1000
                            ))
                        ),
                    ),
                ],
            )
        },
        |_| {
            case(
                "many flattened keys",
                vec![
                    (
                        "p/kustomization.yaml".to_owned(),
                        "secretGenerator: [{name: s, envs: [v.env]}]\n".to_owned(),
                    ),
                    (
                        "p/v.env".to_owned(),
                        format!(
                            "A=ENC[AES256_GCM,data:AA==]\nsops_mac=x\n{}",
                            numbered(200_000, |n| format!("sops_k{n}=x\n"))
                        ),
                    ),
                ],
            )
        },
        |sealer| {
            one("many encrypted files inside of a Secret", {
                let inner = base64(sealer.yaml("a: b\n").as_bytes());
                let data = numbered(2_000, |n| format!("  k{n}.yaml: {inner}\n"));
                format!("{}data:\n{data}", head("Secret", "s"))
            })
        },
    ]
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn fields() -> Vec<fn(&Sealer) -> Case> {
    fn policy(field: &str, text: &str) -> String {
        format!("{POLICY}  {field}: '{text}'\n")
    }
    fn schedule(text: &str) -> String {
        format!(
            "apiVersion: storage.billyronks.io/v1\nkind: BackupPolicy\nmetadata: {{name: b, namespace: n}}\nspec: {{location: l, includedNamespaces: ['*'], schedules: [{{name: s, schedule: '{text}', ttl: 1h}}]}}\n"
        )
    }
    vec![
        |_| one("giant duration", policy("cooldownPeriod", &full("1h"))),
        |_| {
            one(
                "giant number of a duration",
                policy("cooldownPeriod", &format!("{}h", full("9"))),
            )
        },
        |_| {
            one(
                "giant duration in days",
                policy("cooldownPeriod", &format!("{}d", full("9"))),
            )
        },
        |_| {
            one(
                "giant quantity",
                format!(
                    "apiVersion: storage.billyronks.io/v1\nkind: StorageTier\nmetadata: {{name: t}}\nspec: {{rank: 1, poolSelector: {{matchLabels: {{a: b}}}}, poolReserve: '{}'}}\n",
                    full("9")
                ),
            )
        },
        |_| {
            one(
                "quantity of many B",
                format!(
                    "apiVersion: storage.billyronks.io/v1\nkind: StorageTier\nmetadata: {{name: t}}\nspec: {{rank: 1, poolSelector: {{matchLabels: {{a: b}}}}, poolReserve: '1{}'}}\n",
                    "B".repeat(100_000)
                ),
            )
        },
        |_| one("giant schedule", schedule(&full("* "))),
        |_| {
            one(
                "giant list in a schedule",
                schedule(&format!("{}1 * * * *", "*,".repeat(1_000_000))),
            )
        },
        |_| {
            one(
                "giant step in a schedule",
                schedule(&format!("*/{} * * * *", full("9"))),
            )
        },
        |_| {
            one(
                "giant zone",
                schedule(&format!("CRON_TZ={} * * * * *", full("a"))),
            )
        },
        |_| {
            one(
                "giant path",
                format!(
                    "apiVersion: storage.billyronks.io/v1\nkind: StorageTier\nmetadata: {{name: t}}\nspec: {{rank: 1, local: {{hostpath: {{basePath: '/{}'}}}}}}\n",
                    full("a")
                ),
            )
        },
        |_| {
            one(
                "giant field name",
                format!(
                    "{POLICY}  ? {}\n  : 1\n",
                    full("a").chars().take(4 << 20).collect::<String>()
                ),
            )
        },
        |_| {
            one(
                "many unknown fields",
                format!("{POLICY}{}", numbered(50_000, |n| format!("  unknown{n}: 1\n"))),
            )
        },
        |_| {
            one(
                "many fields of a wrong type",
                format!("{POLICY}  tiers: [{}]\n", "1, ".repeat(100_000)),
            )
        },
        |_| {
            one("many tiers of one rank", {
                let tiers: Vec<String> = (0..9_000).map(|n| format!("apiVersion: storage.billyronks.io/v1\nkind: StorageTier\nmetadata: {{name: t{n}}}\nspec: {{rank: 1, poolSelector: {{matchLabels: {{a: b}}}}}}\n")).collect();
                tiers.join("---\n")
            })
        },
        |_| {
            one(
                "many phases",
                format!(
                    "apiVersion: storage.billyronks.io/v1\nkind: Rollout\nmetadata: {{name: r}}\nspec:\n  storageClassName: x\n  phases:\n{}",
                    "  - {name: a, workloads: [], soak: x}\n".repeat(20_000)
                ),
            )
        },
        |_| {
            one(
                "a value of many variables",
                format!(
                    "{}data: {{a: '{}'}}\n",
                    head("ConfigMap", "m"),
                    "${LONG}".repeat(100_000)
                ),
            )
        },
        |_| {
            one(
                "many values of a variable",
                format!(
                    "{}data:\n{}",
                    head("ConfigMap", "m"),
                    numbered(20_000, |n| format!("  k{n}: '${{LONG}}'\n"))
                ),
            )
        },
        |_| {
            one(
                "defaults in defaults",
                format!(
                    "{}data: {{a: '{}x{}'}}\n",
                    head("ConfigMap", "m"),
                    "${A:-".repeat(500_000),
                    "}".repeat(500_000)
                ),
            )
        },
        |_| {
            one(
                "unclosed variables",
                format!(
                    "{}data: {{a: '{}'}}\n",
                    head("ConfigMap", "m"),
                    "${".repeat(1_000_000)
                ),
            )
        },
        |_| {
            one(
                "replacing every letter",
                format!(
                    "{}data: {{a: '${{LONG//x/${{LONG}}}}'}}\n",
                    head("ConfigMap", "m")
                ),
            )
        },
        |_| {
            one(
                "replacing again and again",
                format!(
                    "{}data: {{a: '{}'}}\n",
                    head("ConfigMap", "m"),
                    "${LONG//x/zzzzzzzzzz}".repeat(2_000)
                ),
            )
        },
        |_| {
            one(
                "patterns of many stars",
                format!(
                    "{}data: {{a: '${{LONG##{}b}}'}}\n",
                    head("ConfigMap", "m"),
                    "*x".repeat(1000)
                ),
            )
        },
        |_| {
            one(
                "patterns over and over",
                format!(
                    "{}data:\n{}",
                    head("ConfigMap", "m"),
                    numbered(1000, |n| format!("  k{n}: '${{LONG%%*y*}}'\n"))
                ),
            )
        },
    ]
}
