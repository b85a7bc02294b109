//! Generated documents are read by us and by the real kubectl: the same values, and the same refusals.

use crate::support::{say, seed, servers};
use couchestor::formats::yaml;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// Documents of one run.
const DOCUMENTS: usize = 2_000;

/// What we refuse and kubectl reads, by a part of our message, with the reason.
const STRICTER: [(&str, &str); 3] = [
    (
        "`<<` brings",
        "kubectl takes the merged value, kustomize the one before it",
    ),
    (
        "duplicate key",
        "kubectl silently keeps the last one of two equal keys",
    ),
    (
        "a key must be a string",
        "kubectl silently turns 1, true and null into strings",
    ),
];

/// What kubectl refuses and we read, by a part of the text, with the reason.
const LAXER: [(&str, &str); 8] = [
    (
        "&a:",
        "YAML 1.2 lets an anchor end with a colon, go-yaml does not",
    ),
    ("!!str]", "go-yaml takes the bracket for a part of the tag"),
    ("!!str,", "go-yaml takes the comma for a part of the tag"),
    ("!!str:", "go-yaml takes the colon for a part of the tag"),
    (
        "- \t",
        "YAML allows a tab between the dash and the value, go-yaml does not",
    ),
    ("[:x", "YAML 1.2 allows it within brackets"),
    (" :x", "the same"),
    ("?x", "the same; go-yaml reads a key"),
];

/// Tags that go-yaml reads with the mark behind them, so that the value after it is another one, which may be one that we refuse.
const LONGER_TAGS: [&str; 3] = ["!!str]", "!!str,", "!!str:"];

/// Scalars in the spellings that readers disagree about.
const SCALARS: &[&str] = &[
    "yes",
    "no",
    "on",
    "off",
    "y",
    "n",
    "Y",
    "N",
    "Yes",
    "NO",
    "On",
    "oFF",
    "true",
    "True",
    "TRUE",
    "tRue",
    "False",
    "~",
    "null",
    "Null",
    "NULL",
    "nUll",
    "",
    "0644",
    "0o17",
    "0O17",
    "089",
    "0_7",
    "0x1F",
    "0X1f",
    "0x1_F",
    "0b1",
    "-0b11",
    "0B1",
    "1_000",
    "1__0",
    "_1",
    "1_",
    "1e3",
    "1E3",
    "1e+3",
    "1.5e3",
    "1e400",
    "-1e400",
    ".5",
    "5.",
    "-.5",
    "+.5",
    ".",
    "..",
    ".e3",
    ".inf",
    "-.inf",
    "+.Inf",
    ".nan",
    ".NaN",
    "inf",
    "nan",
    "+1",
    "-1",
    "-0",
    "-0.0",
    "+",
    "--1",
    "0x",
    "0b",
    "0o",
    "00",
    "1:30",
    "190:20:30",
    "2001-01-01",
    "2001-01-01T00:00:00Z",
    "2001-13-41",
    "=",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "18446744073709551615",
    "18446744073709551616",
    "123456789012345678901234567890",
    "1e21",
    "0.1e-7",
    "1.0",
    "!!str 3",
    "!!str yes",
    "!!str",
    "!!int 3",
    "!!int \"3\"",
    "!!int x",
    "!!float 3",
    "!!float x",
    "!!bool yes",
    "!!bool \"yes\"",
    "!!null x",
    "!!null ~",
    "!!binary aGk=",
    "!!binary \"aGk=\"",
    "!foo 3",
    "'yes'",
    "\"0644\"",
    "'it''s'",
    "\"\\x41\\u00e9\\t\\n\"",
    "\"a\\\n    b\"",
    "a b",
    "a # c",
    "a#b",
    "a:b",
    "\u{e9}",
    "|\n  x\n  y",
    "|-\n  x",
    "|+\n  x\n",
    ">\n  x\n  y\n\n  z",
    ">-\n  x",
    "|2\n    x",
    "%x",
    "-x",
    "?x",
    ":x",
    "1,000",
    "1 2",
    "0.0.0.0",
    "1.2.3",
    "1k",
    "10Gi",
    "0x1p3",
    "1_000.5",
    "1._5",
    "1.5_0",
    "0x_1",
    "0b2",
    "0o8",
    "010.5",
    "1e1_0",
    "Infinity",
    "NaN",
    "0e0",
    "-0x1F",
    "+0x1F",
    "-010",
    "+010",
    "-0o17",
    "1e",
    "e1",
    "@x",
    "`x`",
    "\"\\q\"",
    "\t1",
    "1\t",
    "*none",
    "&a 1",
    "&a",
    "{}",
    "[]",
    "[1, yes]",
    "{k: 1}",
    "{k: }",
    "[a, [b, {c: d}]]",
    "{k: 1, k: 2}",
    "{1: x}",
    "{yes: x}",
    "{~: x}",
    "{0x1: x}",
    "{1.5: x}",
    "{\"1\": x}",
    "{[a]: x}",
    "{? a : b}",
    "[,]",
    "[a,]",
    "{a}",
    "{a, b: 1}",
    "[a: 1]",
    "{a: 1",
    "[1",
    "'x",
    "\"x",
    "x: y",
    "{<<: {a: 1}, a: 2}",
    "{a: 2, <<: {a: 1}}",
    "{<<: [{a: 1}, {a: 2, b: 3}]}",
    "{<<: 1}",
    "{<<: [1]}",
    "{'<<': {a: 1}}",
    "{m: &m {a: 1, b: 2}, o: {<<: *m, b: 3}}",
    "{m: &m [1, 2], o: *m}",
    "{m: &m {a: 1}, n: &n {a: 2, c: 4}, o: {<<: [*m, *n]}}",
    "{m: &m {a: &m 1, b: *m}}",
];

/// Whole values under `v:` over several lines.
const BLOCKS: &[&str] = &[
    "v:\n  a: 1\n  b:\n  - x\n  -  y: 1\n     z: 2\n",
    "v:\n- a\n-\n- - b\n  - c\n",
    "v: # c\n  a: 1 # d\n  # e\n  b: 2\n",
    "v:\n  base: &b\n    x: 1\n    y: 2\n  o:\n    <<: *b\n    y: 3\n",
    "v:\n  ? a\n  : b\n",
    "v:\n\ta: 1\n",
    "v:\n  a: 1\n b: 2\n",
    "v:\n  a: x\n   y\n    z\n",
    "v: a\n b\n",
    "v:\n  'a': 1\n  \"b\": 2\n",
    "v:\n  a: 1\n  a: 2\n",
    "v: 1\n...\n",
    "v: 1\nw: 2\nv: 3\n",
    "v:\n  - a\n - b\n",
    "v: [\n  1,\n  2 # c\n]\n",
    "v: {\n  a: 1,\n  b: 2\n}\n",
    "v: 'a\n\n  b'\n",
    "v: \"a\n  b\"\n",
    "v:\n  a:\n  b: ~\n",
    "v:\n  l: &l [1]\n  m: *l\n  n: *l\n",
    "v: >\n  a\n   b\n  c\n",
    "v: |\n  a\n\n\n",
    "v: |+\n  a\n\n\n",
    "v: |\n\n  a\n",
];

fn body(random: &mut fastrand::Rng) -> String {
    let scalar = |random: &mut fastrand::Rng| SCALARS[random.usize(..SCALARS.len())];
    match random.u8(..10) {
        0..=4 => format!("v: {}\n", scalar(random)),
        5 => format!("v:\n- {}\n- {}\n", flat(scalar(random)), flat(scalar(random))),
        6 => format!("v:\n  {}: {}\n", flat(scalar(random)), flat(scalar(random))),
        7 => format!("v: [{}, {}]\n", flat(scalar(random)), flat(scalar(random))),
        _ => BLOCKS[random.usize(..BLOCKS.len())].to_owned(),
    }
}

/// On one line.
fn flat(scalar: &str) -> &str {
    if scalar.contains('\n') { "x" } else { scalar }
}

/// One file: its ending, and its text in one of the forms in which files come.
fn file(number: usize, random: &mut fastrand::Rng) -> (&'static str, String) {
    let document = |name: String, body: &str| {
        format!("apiVersion: x.io/v1\nkind: Foo\nmetadata: {{name: {name}}}\n{body}")
    };
    let mut text = document(format!("d{number}"), &body(random));
    let mut ending = "yaml";
    match random.u8(..12) {
        0 => text = text.replace('\n', "\r\n"),
        1 => text.insert(0, '\u{feff}'),
        2 => text = format!("---\n{text}"),
        3 => text = format!("# words\n\n{text}# words\n"),
        4 => text = format!("{text}---\n{}", document(format!("e{number}"), &body(random))),
        5 => text = format!("---\n---\n{text}---\n# nothing\n"),
        6 => {
            let value = serde_json::json!({"apiVersion": "x.io/v1", "kind": "Foo", "metadata": {"name": format!("d{number}")},
                "v": [random.i64(..), random.f64(), "yes\n\u{e9}\"", null_or(random), {"": [], "0": {}}]});
            text = serde_json::to_string_pretty(&value).unwrap();
            // kubectl takes both endings from a folder, and knows JSON by its first letter.
            if random.u8(..4) > 0 {
                ending = "json";
            }
        }
        _ => {}
    }
    (ending, text)
}

fn null_or(random: &mut fastrand::Rng) -> Value {
    if random.bool() {
        Value::Null
    } else {
        Value::Bool(true)
    }
}

/// kubectl's reading: objects by name, and the files that it refuses.
fn kubectl(folder: &Path) -> (BTreeMap<String, Value>, String) {
    let output = Command::new(servers::kubectl())
        .args(["patch", "--local", "--type=merge", "-p", "{}", "-o", "json", "-f"])
        .arg(folder)
        .env("KUBECONFIG", folder.join("none"))
        .output()
        .unwrap();
    let mut objects = BTreeMap::new();
    for value in serde_json::Deserializer::from_slice(&output.stdout).into_iter::<Value>() {
        let value = value.unwrap();
        objects.insert(value["metadata"]["name"].as_str().unwrap().to_owned(), value);
    }
    (objects, String::from_utf8_lossy(&output.stderr).into_owned())
}

/// The same but for how numbers are printed: kubectl prints floats of whole numbers as integers.
fn same(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Number(a), Value::Number(b)) => a == b || close(a.as_f64(), b.as_f64()),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => ours == theirs,
    }
}

/// serde_json reads what kubectl prints to within a last digit.
fn close(a: Option<f64>, b: Option<f64>) -> bool {
    let (Some(a), Some(b)) = (a, b) else { return false };
    (a - b).abs() <= a.abs() * 4.0 * f64::EPSILON
}

fn laxer(text: &str) -> bool {
    LAXER.iter().any(|(part, _)| text.contains(part))
}

fn ours(text: &str) -> Result<Vec<Value>, String> {
    let documents = yaml::load(text).map_err(|error| error.to_string())?;
    documents
        .iter()
        .map(|document| document.to_json().map_err(|error| error.to_string()))
        .collect()
}

#[test]
fn values_and_refusals_are_those_of_kubectl() {
    if servers::left_out("values_and_refusals_are_those_of_kubectl") {
        return;
    }
    let seed = seed("yaml documents");
    let mut random = fastrand::Rng::with_seed(seed);
    let folder = tempfile::tempdir().unwrap();
    let texts: Vec<(&str, String)> = (0..DOCUMENTS).map(|number| file(number, &mut random)).collect();
    for (number, (ending, text)) in texts.iter().enumerate() {
        std::fs::write(folder.path().join(format!("{number}.{ending}")), text).unwrap();
    }
    let (objects, errors) = kubectl(folder.path());
    let (mut equal, mut refused, mut stricter, mut meant, mut wrong) = (0, 0, 0, 0, Vec::new());
    let mut json = 0;
    for (number, (ending, text)) in texts.iter().enumerate() {
        let theirs_refuse = errors.contains(&format!("/{number}.{ending}:"));
        match ours(text) {
            Ok(values) if !theirs_refuse => {
                let all = values.iter().all(|value| {
                    let name = value["metadata"]["name"].as_str().unwrap_or_default();
                    objects.get(name).is_some_and(|theirs| same(value, theirs))
                });
                // As many as kubectl finds: a document that is lost is no equal reading.
                let theirs = ["d", "e"].iter();
                let theirs = theirs.filter(|name| objects.contains_key(&format!("{name}{number}")));
                if all && !values.is_empty() && values.len() == theirs.count() {
                    equal += 1;
                    json += usize::from(*ending == "json");
                } else if laxer(text) {
                    meant += 1;
                } else {
                    let theirs = objects.get(&format!("d{number}"));
                    wrong.push(format!("{text:?}\n  ours {values:?}\n  kubectl {theirs:?}"));
                }
            }
            Ok(_) if laxer(text) => meant += 1,
            Ok(values) => wrong.push(format!("{text:?}\n  ours {values:?}\n  kubectl refuses")),
            Err(_) if theirs_refuse => refused += 1,
            Err(_) if LONGER_TAGS.iter().any(|tag| text.contains(tag)) => meant += 1,
            Err(error) if STRICTER.iter().any(|(part, _)| error.contains(part)) => stricter += 1,
            Err(error) => wrong.push(format!(
                "{text:?}\n  ours {error}\n  kubectl reads {:?}",
                objects.get(&format!("d{number}"))
            )),
        }
    }
    say(&format!(
        "yaml documents: {equal} as kubectl ({json} of them files of JSON), {refused} refused by both, {stricter} refused by us only, {meant} read otherwise for a reason that is listed"
    ));
    wrong.sort();
    wrong.dedup();
    assert!(
        wrong.is_empty(),
        "{} differ; seed {seed}\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(meant < DOCUMENTS / 50, "{meant} read otherwise");
    assert!(equal > DOCUMENTS / 2 && refused > 50 && stricter > 20 && json > 50);
}

#[test]
fn a_block_ends_as_the_text_does() {
    for (text, value) in [
        ("a: |\n  x\n", "x\n"),
        ("a: |\n  x", "x"),
        ("a: |\n  x\n  z", "x\nz"),
        ("a: |+\n  x", "x"),
        ("a: |-\n  x", "x"),
        ("a: >\n  x\n  z", "x z"),
        ("a: |\n  x\n# comment", "x\n"),
        ("a: |\n  x\n\n# comment", "x\n"),
        ("a: |\n  x\n...", "x\n"),
        ("a: |\n  x\n---\nb: 1", "x\n"),
        ("a: |\r\n  x\r\n", "x\n"),
        ("a: |\r\n  x", "x"),
    ] {
        let found = couchestor::formats::yaml::load(text).unwrap()[0]
            .get("a")
            .unwrap()
            .to_json()
            .unwrap();
        assert_eq!(found, serde_json::json!(value), "{text:?}");
    }
}
