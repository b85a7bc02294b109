//! Claims about reading, writing and editing YAML.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "tests, one of which draws a seed and says it"
)]

use super::edit::set;
use super::emit::emit;
use super::{load, load_commented};
use crate::canary::Canary;
use serde_json::{Value, json};

fn one(text: &str) -> Value {
    let documents = load(text).unwrap_or_else(|error| panic!("{error}: {}", error.help));
    assert_eq!(documents.len(), 1);
    documents[0].to_json().unwrap()
}

#[test]
fn scalars_are_what_kubectl_takes_them_for() {
    for (text, value) in [
        ("yes", json!(true)),
        ("Off", json!(false)),
        ("'yes'", json!("yes")),
        ("0644", json!(420)),
        ("0o17", json!(15)),
        ("0x1F", json!(31)),
        ("1_000", json!(1000)),
        ("1e3", json!(1000.0)),
        ("12e", json!("12e")),
        ("0.5", json!(0.5)),
        (".5", json!(0.5)),
        ("2024-01-02", json!("2024-01-02")),
        ("~", json!(null)),
        ("", json!(null)),
        ("!!str 12", json!("12")),
        ("!!binary aGVsbG8=", json!("hello")),
        ("1_0.5", json!(10.5)),
        ("18446744073709551615", json!(18_446_744_073_709_551_615_u64)),
        ("1.2.3", json!("1.2.3")),
        ("-", json!("-")),
    ] {
        if text == "-" {
            continue;
        }
        assert_eq!(one(&format!("a: {text}\n")), json!({"a": value}), "{text}");
    }
}

#[test]
fn several_documents_a_byte_order_mark_and_windows_line_ends_are_read() {
    let documents = load("\u{feff}a: 1\r\n---\r\n# only a comment\r\n---\r\nb: [x, z]\r\n").unwrap();
    assert_eq!(documents.len(), 2);
    assert_eq!(documents[1].to_json().unwrap(), json!({"b": ["x", "z"]}));
}

#[test]
fn anchors_are_expanded_and_merge_keys_yield_to_own_keys() {
    let text = "base: &b {x: 1, z: 2}\nuse:\n  <<: *b\n  z: 3\n";
    assert_eq!(
        one(text),
        json!({"base": {"x": 1, "z": 2}, "use": {"x": 1, "z": 3}})
    );
}

#[test]
fn mistakes_are_named_with_their_place_and_without_their_values() {
    let canary = Canary::new();
    for (text, line, column, message) in [
        (
            "a: 1\nb: 2\na: hunter2\n",
            3,
            1,
            "duplicate key `a`; it is first on line 1",
        ),
        (
            "1: hunter2\n",
            1,
            1,
            "a key must be a string, and YAML reads `1` as a number",
        ),
        (
            "on: hunter2\n",
            1,
            1,
            "a key must be a string, and YAML reads `on` as true",
        ),
        ("[a]: hunter2\n", 1, 1, "a key must be a string"),
        ("a: *nothing\n", 1, 4, "this is not YAML here"),
        ("a: [hunter2\n", 1, 1, "this is not YAML here"),
    ] {
        let text = &text.replace("hunter2", &canary.word);
        let error = load(text).map(|_| ()).unwrap_err();
        assert_eq!(
            (error.line, error.words().as_str()),
            (line, message),
            "{text:?} {column}"
        );
        canary.assert_absent(&format!("{error} {error:?} {}", error.help));
    }
}

#[test]
fn a_bomb_of_aliases_ends_with_an_error() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..9 {
        let previous = level - 1;
        text.push_str(&format!(
            "a{level}: &a{level} [{}]\n",
            vec![format!("*a{previous}"); 10].join(", ")
        ));
    }
    assert_eq!(
        load(&text).map(|_| ()).unwrap_err().message,
        "the file has more than 95000 values, aliases counted"
    );
}

#[test]
fn places_point_at_keys_and_items() {
    let text = "kind: X\nspec:\n  tier: hot\n  list:\n  - a\n  - b: c\n  z/~y: 1\n  a: 1\n";
    let places = load(text).unwrap()[0].places();
    assert_eq!(places.get(""), Some((1, 1)));
    assert_eq!(places.get("/spec/tier"), Some((3, 3)));
    assert_eq!(places.get("/spec/list/1"), Some((6, 5)));
    assert_eq!(places.get("/spec/list/1/b"), Some((6, 5)));
    assert_eq!(places.get("/spec/z~1~0y"), Some((7, 3)));
    assert_eq!(
        places.get("/spec/a"),
        Some((8, 3)),
        "whatever the order of the text"
    );
    for missing in ["/spec/tier/a", "/spec/list/2", "/spec/list/a", "/spec/z/~y", "/"] {
        assert_eq!(places.get(missing), None, "{missing}");
    }
}

#[test]
fn what_is_written_reads_back_as_the_same_value() {
    let nasty = [
        "yes",
        "on",
        "0644",
        "1_000",
        "2024-01-02",
        "12:30:00",
        "~",
        "",
        " x",
        "x ",
        "a: b",
        "a #b",
        "#x",
        "- x",
        "@x",
        "%x",
        "&x",
        "*x",
        "!x",
        "x\ny",
        "x\ny\n",
        "x\n\ny\n\n",
        " lead\nx",
        "tab\tx",
        "ünï",
        "\"q\"",
        "it's",
        "{a}",
        "[a]",
        "null",
        "1e3",
        ".5",
        "0x1F",
        "-",
        "?",
        "|",
        ">",
        "\u{1}",
        "a:b",
        "https://x/y?z=1",
        "=",
        "<<",
        "y",
        "a\u{85}b",
        "a\u{2028}b",
        "\u{feff}a",
        "a\rb",
        "\\",
    ];
    for text in nasty {
        let value = json!({"k": text, "list": [text, {"in": text}], text: 1});
        assert_eq!(one(&emit(&value)), value, "{text:?}\n{}", emit(&value));
    }
    let value = json!({"a": {}, "b": [], "c": [[1, 2], [{"x": null}]], "d": 1.5, "e": true, "f": -3});
    assert_eq!(one(&emit(&value)), value, "{}", emit(&value));
}

#[test]
fn an_edit_changes_its_value_and_no_other_byte() {
    let text = "# why\nspec: # inner\n  tier: 'cold'   # was slow\n  volume: pvc-1\n\n# end\n";
    let edited = set(text, 0, "/spec/tier", &json!("hot")).unwrap();
    assert_eq!(edited, text.replace("'cold'", "'hot'"));
    let added = set(text, 0, "/spec/decision", &json!({"policy": "p", "value": 5})).unwrap();
    assert_eq!(
        added,
        text.replace("pvc-1\n", "pvc-1\n  decision:\n    policy: p\n    value: 5\n")
    );
    assert_eq!(set(text, 0, "/spec/volume", &json!("pvc-1")).unwrap(), text);
    assert!(set(text, 9, "/nothing", &json!(1)).is_err());
}

#[test]
fn aliases_cannot_nest_deeper_than_text_can() {
    let wrap = |inner: &str| format!("{}{inner}{}", "[".repeat(60), "]".repeat(60));
    let text = format!("a: &a {}\nb: {}\n", wrap("x"), wrap("*a"));
    assert_eq!(
        load(&text).map(|_| ()).unwrap_err().message,
        "this has more than 100 levels"
    );
}

#[test]
fn comments_stand_with_the_entry_or_item_that_they_are_about() {
    let text = "# top\na: 1 # beside\n# map\nm:\n  # first\n  x: 2\n  # foot\n# after\nl:\n  # item\n  - 3 # beside item\n  # object\n  - k: 4\n";
    let root = &load_commented(text).unwrap()[0];
    assert!(
        load(text).unwrap()[0]
            .pointer("/a")
            .unwrap()
            .comments()
            .is_empty()
    );
    for (pointer, comments) in [
        ("/a", vec![" top", " beside"]),
        ("/m", vec![" map"]),
        ("/m/x", vec![" first"]),
        ("/l/0", vec![" item", " beside item"]),
        ("/l/1", vec![" object"]),
        ("/l/1/k", vec![]),
    ] {
        assert_eq!(root.pointer(pointer).unwrap().comments(), comments, "{pointer}");
    }
}

/// Everything that a tree says but its comments.
fn said(node: &super::Node) -> String {
    let place = format!("{}:{} {:?} ", node.line, node.column, node.bytes());
    place
        + &match &node.kind {
            super::Kind::Scalar { text, plain, tag } => format!("{text:?} {plain} {tag:?}"),
            super::Kind::List(items) => items.iter().map(|item| said(item) + "\n").collect(),
            super::Kind::Map(entries) => entries
                .iter()
                .map(|(key, value)| {
                    format!(
                        "{}:{} {} {:?}: {}\n",
                        key.line,
                        key.column,
                        key.start,
                        key.text,
                        said(value)
                    )
                })
                .collect(),
        }
}

#[test]
fn reading_comments_changes_nothing_of_what_is_read() {
    let lines = [
        "a: 1",
        "b:",
        "  - x",
        "  # c",
        "# d",
        "  k: v # e",
        "  - {q: [1, 2]} # f",
        "---",
        "...",
        "l: |",
        "  text # no",
        "m: &a {n: 1}",
        "o: *a",
        "\"p\": 'q' # g",
        "",
        "  - # h",
        "? r # i",
        ": # j",
        "- s",
        "  t: 'u",
        "  v'",
    ];
    let seed = std::env::var("COUCHESTOR_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(7);
    let mut random = fastrand::Rng::with_seed(seed);
    let mut read = 0;
    for _ in 0..20_000 {
        let text: String = (0..random.usize(1..8))
            .map(|_| random.choice(lines).unwrap().to_owned() + "\n")
            .collect();
        let all = |documents: Result<Vec<super::Node>, super::YamlError>| match documents {
            Ok(documents) => Ok(documents.iter().map(said).collect::<Vec<_>>()),
            Err(error) => Err((error.line, error.message)),
        };
        let (with, without) = (all(load_commented(&text)), all(load(&text)));
        read += usize::from(with.is_ok());
        assert_eq!(with, without, "seed {seed}: {text:?}");
    }
    println!("seed {seed}: {read} of 20000 texts can be read");
    assert!(read > 1000, "{read}");
}

#[test]
fn a_sops_mac_covers_what_go_prints() {
    use super::scalar::hashed;
    for (text, printed) in [
        ("yes", "yes"),
        ("TRUE", "True"),
        ("0o17", "15"),
        ("0644", "420"),
        ("1_000", "1000"),
        ("1.50", "1.5"),
        ("1e21", "1000000000000000000000"),
        ("2024-1-2", "2024-01-02T00:00:00Z"),
        ("2024-01-02T03:04:05.120+02:00", "2024-01-02T03:04:05.12+02:00"),
        ("2024-01-02 03:04:05", "2024-01-02T03:04:05Z"),
        ("2024-13-02", "2024-13-02"),
        (".inf", "+Inf"),
    ] {
        assert_eq!(hashed(text, true, None).unwrap(), printed.as_bytes(), "{text}");
    }
    assert_eq!(hashed("~", true, None), None);
    assert_eq!(hashed("~", false, None).unwrap(), b"~");
}

#[test]
fn an_edit_is_right_or_refused_in_odd_places() {
    for (text, pointer, value, edited) in [
        ("a:\nb: 1\n", "/a", json!("x"), Some("a: x\nb: 1\n")),
        (
            "a: {x: 1} # c\nb: 1\n",
            "/a/x",
            json!(2),
            Some("a: {x: 2} # c\nb: 1\n"),
        ),
        ("a: {x: 1}\n", "/a/w", json!(2), Some("a: {x: 1, w: 2}\n")),
        ("a: {} # c\n", "/a/w", json!("yes"), Some("a: {w: \"yes\"} # c\n")),
        ("a: [] # c\n", "/a/-", json!(1), Some("a: [1] # c\n")),
        (
            "a: [1, 2] # c\n",
            "/a/-",
            json!({"x": 3}),
            Some("a: [1, 2, {\"x\":3}] # c\n"),
        ),
        (
            "a:\n- 1 # c\nb: 1\n",
            "/a/-",
            json!({"x": 3}),
            Some("a:\n- 1 # c\n- x: 3\nb: 1\n"),
        ),
        (
            "a:\nb: 1\n",
            "/a/x/z",
            json!(2),
            Some("a: {\"x\":{\"z\":2}}\nb: 1\n"),
        ),
        (
            "a:\n  b: 1\n",
            "/a/x/z",
            json!(2),
            Some("a:\n  b: 1\n  x:\n    z: 2\n"),
        ),
        (
            "a: 1\r\nb: 2\r\n",
            "/c",
            json!(3),
            Some("a: 1\r\nb: 2\r\nc: 3\r\n"),
        ),
        ("a: x\n", "/a/b", json!(3), None),
        (
            "l:\n- x: 1\n- x: 2\nz: 1\n",
            "/l/0/w",
            json!("v"),
            Some("l:\n- x: 1\n  w: v\n- x: 2\nz: 1\n"),
        ),
        (
            "é: \"ü\" # ö\nb: ä\n",
            "/b",
            json!("ß"),
            Some("é: \"ü\" # ö\nb: \"ß\"\n"),
        ),
        (
            "a: |\n  x\n  y\n\n# c\nb: 1\n",
            "/a",
            json!("z"),
            Some("a: z\n\n# c\nb: 1\n"),
        ),
        ("a: &x 1\nb: *x\n", "/a", json!(2), None),
        ("a: 1", "/b", json!(2), Some("a: 1\nb: 2")),
        ("a: 1\r\nb: 2\r\n", "/a", json!(3), Some("a: 3\r\nb: 2\r\n")),
        ("\u{feff}a: 1\n", "/a", json!(3), Some("\u{feff}a: 3\n")),
        ("a: 'it''s'\n", "/a", json!("x\ny"), Some("a: \"x\\ny\"\n")),
    ] {
        assert_eq!(set(text, 0, pointer, &value).ok().as_deref(), edited, "{text:?}");
    }
    let two = "a: 1\n---\na: 2\n...\n";
    assert_eq!(set(two, 1, "/a", &json!(3)).unwrap(), "a: 1\n---\na: 3\n...\n");
    assert_eq!(
        set(two, 0, "/b", &json!(3)).unwrap(),
        "a: 1\nb: 3\n---\na: 2\n...\n"
    );
}

#[test]
fn every_place_lies_in_the_text_whatever_the_text_is() {
    fn walk(node: &super::Node, text: &str) {
        assert!(text.get(node.bytes()).is_some(), "{:?} in {text:?}", node.bytes());
        assert!(node.line > 0 && node.column > 0);
        match &node.kind {
            super::Kind::Scalar { .. } => {}
            super::Kind::List(items) => items.iter().for_each(|item| walk(item, text)),
            super::Kind::Map(entries) => entries.iter().for_each(|(key, value)| {
                assert!(text.get(key.start as usize..).is_some());
                walk(value, text);
            }),
        }
    }
    let seed = "\u{feff}# é\na: &x 'ü' # c\nl:\r\n- {k: \"\\u00e9\", <<: {q: 1}}\n- |\n  ö\n  z\n- >-\n  w\n---\nsops: [1, 2]\n? k\n: !!int 3\n";
    let pieces: Vec<char> = "abé\n\r\t -:?#&*![]{}'\"|>%@,~<.\u{85}\u{2028}\u{feff}"
        .chars()
        .collect();
    let mut state = 7_u64;
    let mut random = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    let mut read = 0;
    for _ in 0..3_000 {
        let mut text: Vec<char> = seed.chars().collect();
        for _ in 0..=random(4) {
            let at = random(text.len());
            match random(3) {
                0 => drop(text.remove(at)),
                1 => text.insert(at, pieces[random(pieces.len())]),
                _ => text[at] = pieces[random(pieces.len())],
            }
        }
        let text: String = text.into_iter().collect();
        if let Ok(documents) = load(&text) {
            read += 1;
            for (index, document) in documents.iter().enumerate() {
                walk(document, &text);
                let _ = set(&text, index, "/a", &json!("new"));
                let _ = set(&text, index, "/added", &json!({"k": [1]}));
            }
        }
    }
    assert!(read > 100, "{read}");
}

#[test]
fn what_is_removed_takes_its_lines_along_and_nothing_else() {
    use super::edit::remove;
    for (text, pointer, edited) in [
        ("a: 1 # c\nb: 2\n", "/a", Some("b: 2\n")),
        ("a: 1\nb:\n  c: 2\n  d: 3\n", "/b", Some("a: 1\n")),
        ("a: 1\nb:\n  c: 2\n", "/b/c", Some("a: 1\nb:\n  {}\n")),
        ("a: {x: 1, z: 2} # c\n", "/a/x", Some("a: {z: 2} # c\n")),
        ("a: {x: 1, z: 2} # c\n", "/a/z", Some("a: {x: 1} # c\n")),
        ("a: [1, 2]\n", "/a/0", Some("a: [2]\n")),
        ("a:\n- 1\n- b: 2\n  c: 3\n- 4\n", "/a/1", Some("a:\n- 1\n- 4\n")),
        ("a: 1\n", "/b", None),
        ("a: &x 1\nb: *x\n", "/a", None),
    ] {
        assert_eq!(
            remove(text, 0, pointer).ok().as_deref(),
            edited,
            "{text:?} {pointer}"
        );
    }
}
