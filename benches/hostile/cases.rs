//! The files: each is small beside what it asks for, or as large as a file may be.

use super::support::seal::Sealer;
use couchestor::formats::substitute::Variables;
use std::collections::BTreeMap;

/// Kustomizations and folders.
#[path = "overlays.rs"]
mod overlays;

/// Variables.
#[path = "substitutions.rs"]
mod substitutions;

/// Encrypted files.
#[path = "sealed.rs"]
mod sealed;

/// How each of them ends.
#[path = "ends.rs"]
mod ends;

pub use ends::{ENDS, Ends};

/// Files by path.
pub struct Case {
    pub name: &'static str,
    pub files: BTreeMap<String, Vec<u8>>,
    /// Objects in it that are honest, each of which may take its time to be read.
    pub objects: usize,
    /// Those of them for each of which the entries of kustomizations may do what their budget allows.
    pub overlaid: usize,
    /// How many of its files are as hostile as one may be, each of which may take its time.
    pub hostile: usize,
}

impl Case {
    fn of(self, objects: usize) -> Self {
        Self { objects, ..self }
    }

    fn overlaid(self, objects: usize) -> Self {
        Self {
            objects,
            overlaid: objects,
            ..self
        }
    }
}

fn case(name: &'static str, files: Vec<(String, String)>) -> Case {
    let bytes = files.into_iter().map(|(path, text)| (path, text.into_bytes()));
    bytes_case(name, bytes.collect())
}

fn bytes_case(name: &'static str, files: BTreeMap<String, Vec<u8>>) -> Case {
    Case {
        name,
        files,
        objects: 0,
        overlaid: 0,
        hostile: 1,
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
    variables.set("SHORT", "short".to_owned(), false).unwrap();
    variables
}

const POLICY: &str = "apiVersion: storage.billyronks.io/v1\nkind: StoragePolicy\nmetadata: {name: p}\nspec:\n  highWatermarkIOPS: 5000\n  lowWatermarkIOPS: 500\n  samplingWindow: 1h\n  nvmePoolSelector: {matchLabels: {a: b}}\n  sataPoolSelector: {matchLabels: {a: c}}\n";

/// As large as a file may be.
const FULL: usize = (5 << 20) - 1000;

/// Nearly as many words as a file may have.
const WORDS: usize = 999_000;

fn head(kind: &str, name: &str) -> String {
    format!("apiVersion: v1\nkind: {kind}\nmetadata: {{name: {name}}}\n")
}

fn map(number: usize) -> String {
    format!("{}data: {{a: b}}\n", head("ConfigMap", &format!("m{number}")))
}

/// An object whose data the API server does not have to be texts.
fn source() -> String {
    format!("{}data: {{a: b}}\n", head("Source", "s"))
}

fn maps(count: usize) -> String {
    let all: Vec<String> = (0..count).map(map).collect();
    all.join("---\n")
}

/// As often as a file may be large, and have words.
fn full(piece: &str) -> String {
    let twice = piece.repeat(2).split_whitespace().count();
    let words = twice - piece.split_whitespace().count();
    let most = WORDS.checked_div(words).unwrap_or(usize::MAX);
    piece.repeat((FULL / piece.len()).min(most))
}

/// As often as a file may be large.
fn flood(piece: &str) -> String {
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
    all.extend(overlays::overlays());
    all.extend(overlays::folders());
    all.extend(sealed::sealed());
    all.extend(fields());
    all.extend(substitutions::substitutions());
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
        |_| one("plain scalar of words", flood("word ")),
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
        |_| {
            let bytes = vec![0xff; FULL];
            bytes_case("bad UTF-8", BTreeMap::from([("p/a.yaml".to_owned(), bytes)]))
        },
        |_| {
            let bytes = [full("a: 1\n").into_bytes(), vec![0xff]].concat();
            bytes_case(
                "bad UTF-8 at the end",
                BTreeMap::from([("p/a.yaml".to_owned(), bytes)]),
            )
        },
        |_| one("zero bytes", full("\0")),
        |_| one("a file beyond the largest", "x".repeat((5 << 20) + 1)),
    ]
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
        |_| one("giant schedule", schedule(&flood("* "))),
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
                format!("{POLICY}{}", numbered(45_000, |n| format!("  unknown{n}: 1\n"))),
            )
        },
        |_| {
            one(
                "many fields of a wrong type",
                format!("{POLICY}  tiers: [{}]\n", "1, ".repeat(90_000)),
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
    ]
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
