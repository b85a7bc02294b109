//! Mutated inputs never make a reader panic, and what it says of them holds. Runs on stable over kept inputs;
//! `COUCHESTOR_FUZZ_ITERATIONS` makes it run longer, `COUCHESTOR_SEED` repeats a run.

use crate::canaries::all_forms;
use crate::support::canary::Canary;
use crate::support::seal::Sealer;
use couchestor::formats::overlay::{self, Files, InMemory};
use couchestor::formats::sops::{self, Identities, SopsError};
use couchestor::formats::yaml::{self, YamlError, edit, emit, scalar};
use couchestor::formats::{cron, duration, quantity};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeSet;

/// What authority hangs on: signatures, sealed lines, rules, ranges, variables.
mod trust;

/// Names, whole objects, patches, folders, messages.
mod parts;

/// Inputs of one target without the environment variable.
const ITERATIONS: usize = 1_500;

/// Largest input: mutation must not drown the run in long texts.
const BYTES_MAX: usize = 4_096;

const YAML: &[&str] = &[
    "a: &x {b: [1, 'two', \"3\\u00e9\"]} # c\nl:\n- <<: *x\n  k: |\n    text\n---\nsops: null\n",
    "apiVersion: couchestor.io/v1\nkind: StoragePolicy\nmetadata:\n  name: p\nspec:\n  highWatermark: 1_000\n  window: 1h\n",
    "\u{feff}a:\r\n  b: 0o17\r\n  c: .inf\r\n...\r\n",
    "{\"a\": [true, null, -1.5e3, {\"b\": {}}], \"c\": \"\\ud83d\\ude00\"}",
];

const KUSTOMIZATIONS: &[&str] = &[
    "resources: [a.yaml]\nnamePrefix: x-\ncommonLabels: {a: b}\n",
    "resources: [a.yaml]\npatches:\n- target: {kind: A}\n  patch: |\n    - op: replace\n      path: /spec/x\n      value: 2\n",
    "resources: [a.yaml]\npatches:\n- patch: |\n    apiVersion: v1\n    kind: A\n    metadata: {name: a}\n    spec: {$patch: replace, y: 1}\n",
    "resources: [a.yaml]\nreplacements:\n- source: {kind: A, fieldPath: spec.x}\n  targets:\n  - select: {kind: A}\n    fieldPaths: [spec.z]\n",
];

const SOPS: &[&str] = &[
    "a: ENC[AES256_GCM,data:AA==,iv:AA==,tag:AA==,type:str]\nsops:\n  age:\n  - recipient: age1x\n    enc: |\n      -----BEGIN AGE ENCRYPTED FILE-----\n      AA==\n      -----END AGE ENCRYPTED FILE-----\n  mac: ENC[AES256_GCM,data:AA==,iv:AA==,tag:AA==,type:str]\n  lastmodified: \"2024-01-01T00:00:00Z\"\n  version: 3.9.0\n",
];

/// Pieces that steer a reader into its corners.
const TOKENS: &[&str] = &[
    "\n",
    "\r\n",
    "\t",
    "  ",
    "- ",
    ": ",
    "? ",
    "&a ",
    "*a",
    "<<: ",
    "!!int ",
    "!!binary ",
    "!",
    "|\n",
    ">-\n",
    "---\n",
    "...\n",
    "# ",
    "{",
    "}",
    "[",
    "]",
    "'",
    "\"",
    "\\x",
    "~",
    "yes",
    "0x",
    "1e999",
    ".nan",
    "\u{feff}",
    "\u{2028}",
    "\u{0}",
    "%YAML 1.1\n",
    "*/",
    "@every ",
    "Gi",
    "h",
    "-",
    "99999999999999999999",
    "$patch: delete",
    "../",
    "/",
    "~1",
    "\u{202e}",
    "ENC[",
];

fn mutate(corpus: &[&str], random: &mut fastrand::Rng) -> String {
    let mut bytes = corpus[random.usize(..corpus.len())].as_bytes().to_vec();
    for _ in 0..random.usize(1..6) {
        let at = random.usize(..=bytes.len());
        match random.u8(..6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.u8(..8),
            1 => bytes.truncate(at),
            2 => {
                let end = random.usize(at..=bytes.len());
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            3 => {
                let end = random.usize(at..=bytes.len());
                bytes.drain(at..end);
            }
            4 => {
                let other = corpus[random.usize(..corpus.len())].as_bytes();
                bytes.splice(at.., other[random.usize(..=other.len())..].iter().copied());
            }
            _ => drop(bytes.splice(at..at, TOKENS[random.usize(..TOKENS.len())].bytes())),
        }
        bytes.truncate(BYTES_MAX);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The kept inputs of a target, `tests/corpus/<target>/*`; whoever finds a failure adds its input there.
fn kept(target: &str) -> Vec<String> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/corpus")
        .join(target.replace(' ', "-"));
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let texts = paths
        .iter()
        .map(|path| String::from_utf8(std::fs::read(path).unwrap()).unwrap());
    texts.collect()
}

/// Runs a claim over mutated inputs; a panic inside names the input by seed.
fn fuzz(target: &str, corpus: &[&str], claim: impl Fn(&str, &mut fastrand::Rng)) {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seed = number("COUCHESTOR_SEED").unwrap_or_else(|| fastrand::u64(..));
    let iterations = number("COUCHESTOR_FUZZ_ITERATIONS").map_or(ITERATIONS, |n| usize::try_from(n).unwrap());
    crate::support::say(&format!("{target}: COUCHESTOR_SEED={seed}, {iterations} inputs"));
    let mut random = fastrand::Rng::with_seed(seed);
    let kept = kept(target);
    let mut seeds: Vec<&str> = corpus.to_vec();
    seeds.extend(kept.iter().map(String::as_str));
    // What once was found is replayed first.
    for text in &seeds {
        claim(text, &mut random);
    }
    for _ in 0..iterations {
        let text = mutate(&seeds, &mut random);
        claim(&text, &mut random);
    }
    crate::support::say(&format!(
        "{target}: {} kept inputs replayed, {iterations} made up, no claim broken",
        seeds.len()
    ));
}

fn pointers(value: &Value, pointer: &str, all: &mut Vec<String>) {
    all.push(pointer.to_owned());
    match value {
        Value::Object(entries) => entries
            .iter()
            .for_each(|(key, value)| pointers(value, &format!("{pointer}/{}", yaml::escape(key)), all)),
        Value::Array(items) => (0..)
            .zip(items)
            .for_each(|(index, item)| pointers(item, &format!("{pointer}/{index}"), all)),
        _ => {}
    }
}

#[test]
fn yaml_errors_lie_in_the_text() {
    fuzz("yaml load", YAML, |text, _| {
        if let Err(error) = yaml::load(text) {
            let lines =
                u32::try_from(text.split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).count()).unwrap();
            assert!(
                error.line >= 1 && error.line <= lines + 1,
                "{error} of {lines} in {text:?}"
            );
        }
    });
}

#[test]
fn what_was_read_is_written_and_read_as_the_same() {
    fuzz("emit", YAML, |text, _| {
        for document in yaml::load(text).unwrap_or_default() {
            let Ok(value) = document.to_json() else { continue };
            let written = emit::emit(&value);
            let again = yaml::load(&written).unwrap_or_else(|error| panic!("{error}: {written:?}"));
            let again = again
                .first()
                .map_or(Value::Null, |document| document.to_json().unwrap());
            assert_eq!(again, value, "{written:?}");
        }
    });
}

/// Sets the value at a pointer as an edit does: at the end of a list by `-`, in maps that are made on the way.
fn put(value: &mut Value, pointer: &str, new: Value) {
    let mut at = value;
    for part in pointer.split('/').skip(1) {
        let part = part.replace("~1", "/").replace("~0", "~");
        if !at.is_array() && !at.is_object() {
            *at = json!({});
        }
        at = match at {
            Value::Array(items) => {
                let index = part.parse().unwrap_or(items.len());
                if index == items.len() {
                    items.push(Value::Null);
                }
                &mut items[index]
            }
            other => &mut other[part.as_str()],
        };
    }
    *at = new;
}

/// Takes the value at a pointer out.
fn take(value: &mut Value, pointer: &str) {
    let Some((parent, part)) = pointer.rsplit_once('/') else {
        *value = Value::Null;
        return;
    };
    let part = part.replace("~1", "/").replace("~0", "~");
    match value.pointer_mut(parent) {
        Some(Value::Object(map)) => drop(map.remove(&part)),
        Some(Value::Array(items)) => drop(items.remove(part.parse().unwrap())),
        _ => {}
    }
}

/// How many bytes two texts share at their starts, and then at their ends.
fn shared(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let start = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let ends = a[start..].iter().rev().zip(b[start..].iter().rev());
    start + ends.take_while(|(a, b)| a == b).count()
}

/// Every byte that does not belong to a value is where it was.
fn assert_only_within(text: &str, edited: &str, node: &yaml::Node) {
    let range = node.bytes();
    let old = &text[range.clone()];
    // The mark of a block scalar stands before it, and a value that is not there is put behind its colon.
    let is_block =
        matches!(&node.kind, yaml::Kind::Scalar { plain: false, .. }) && !old.starts_with(['"', '\'']);
    let start = match is_block {
        true => text[..range.start].rfind(['|', '>']).unwrap_or(range.start),
        false => range.start,
    };
    let end = match old.is_empty() && text[range.end..].starts_with(':') {
        true => range.end + 1,
        false => range.end,
    };
    assert!(
        edited.starts_with(&text[..start]) && edited.ends_with(&text[end..]),
        "bytes outside of {start}..{end} were changed: {text:?} {edited:?}"
    );
}

/// The nearest value that there is on the way to a pointer.
fn nearest<'a>(root: &'a yaml::Node, mut pointer: &str) -> Option<&'a yaml::Node> {
    loop {
        pointer = &pointer[..pointer.rfind('/')?];
        if let Some(node) = root.pointer(pointer) {
            return Some(node);
        }
    }
}

/// A value that was set is the only thing that changed; one that was added leaves everything that there was.
fn assert_set_keeps(text: &str, edited: &str, root: &yaml::Node, pointer: &str) {
    match (root.pointer(pointer), nearest(root, pointer)) {
        (Some(node), _) => assert_only_within(text, edited, node),
        (None, Some(parent)) if matches!(parent.kind, yaml::Kind::Scalar { .. }) => {
            assert_only_within(text, edited, parent);
        }
        _ => assert!(
            shared(text, edited) >= text.len(),
            "an addition took something away: {pointer} {text:?} {edited:?}"
        ),
    }
}

/// What is left by a removal was there before, in this order; the last entry leaves an empty map or list.
fn assert_removal_keeps(text: &str, edited: &str, root: &yaml::Node, pointer: &str) {
    let parent = nearest(root, pointer).expect("it had an entry");
    let count = match &parent.kind {
        yaml::Kind::Map(entries) => entries.len(),
        yaml::Kind::List(items) => items.len(),
        yaml::Kind::Scalar { .. } => 0,
    };
    match count {
        1 => assert_only_within(text, edited, parent),
        _ => assert!(
            shared(text, edited) >= edited.len(),
            "a removal added something: {pointer} {text:?} {edited:?}"
        ),
    }
}

#[test]
fn an_edit_touches_its_own_path_only() {
    fuzz("yaml edit", YAML, |text, random| {
        let Ok(documents) = yaml::load(text) else { return };
        let Some(Ok(value)) = documents.first().map(yaml::Node::to_json) else {
            return;
        };
        let mut all = Vec::new();
        pointers(&value, "", &mut all);
        let pointer = format!(
            "{}{}",
            all[random.usize(..all.len())],
            ["", "/-", "/new", "/new/er"][random.usize(..4)]
        );
        let new = [json!("yes"), json!(7), json!({"k": [1]}), json!("a\nb")][random.usize(..4)].clone();
        if let Ok(edited) = edit::set(text, 0, &pointer, &new) {
            assert_set_keeps(text, &edited, &documents[0], &pointer);
            let after = yaml::load(&edited).unwrap();
            assert_eq!(after.len(), documents.len());
            let mut expected = value.clone();
            put(&mut expected, &pointer, new);
            let after = after[0].to_json().unwrap();
            assert_eq!(after, expected, "{text:?} {pointer} {edited:?}");
        }
        if let Ok(edited) = edit::remove(text, 0, &pointer) {
            assert_removal_keeps(text, &edited, &documents[0], &pointer);
            let mut expected = value.clone();
            take(&mut expected, &pointer);
            let after = yaml::load(&edited).unwrap();
            let after = after.first().map_or(Value::Null, |one| one.to_json().unwrap());
            assert_eq!(filled(after), filled(expected), "{text:?} {pointer} {edited:?}");
        }
    });
}

#[test]
fn a_string_is_quoted_so_that_it_stays_a_string() {
    fuzz(
        "quote",
        &["yes", "0644", "a: b", "- x", "1e3", "2001-01-01"],
        |text, _| {
            let read = yaml::load(&format!("k: {}\n", emit::quote(text)))
                .unwrap_or_else(|error| panic!("{error}: {text:?}"));
            assert_eq!(read[0].to_json().unwrap(), json!({"k": text}));
        },
    );
}

#[test]
fn scalars_are_read_whatever_they_are() {
    fuzz(
        "scalar",
        &[
            "0x1F",
            "1_000.5e+3",
            ".inf",
            "2001-01-01T00:00:00.1+02:00",
            "aGk=",
        ],
        |text, random| {
            let tag = [None, Some("int"), Some("binary"), Some("float"), Some("!")][random.usize(..5)];
            let _ = scalar::resolve(text, random.bool(), tag);
            let _ = scalar::hashed(text, random.bool(), tag);
        },
    );
}

#[test]
fn cron_expressions_are_checked_whatever_they_are() {
    fuzz(
        "cron",
        &[
            "*/5 1-3,7 * JAN-MAR mon",
            "@every 1h30m",
            "CRON_TZ=Europe/Berlin 0 0 * * *",
        ],
        |text, _| drop(cron::check(text)),
    );
}

#[test]
fn quantities_are_read_whatever_they_are() {
    fuzz("quantity", &["10Gi", "1.5e3", "100m", "0", "+1E"], |text, _| {
        drop(quantity::parse_ceil(text))
    });
}

#[test]
fn durations_read_back() {
    fuzz(
        "duration",
        &["1h30m", "1.5h", "100ms", "0", "720h0m0.5s"],
        |text, _| {
            if let Ok(read) = duration::parse(text) {
                let whole = std::time::Duration::from_secs(read.as_secs());
                assert_eq!(duration::parse(&duration::format(whole)), Ok(whole), "{text:?}");
            }
        },
    );
}

/// These texts with a canary in them.
fn with_canary(texts: &[&str], canary: &Canary) -> Vec<String> {
    let fill = |text: &&str| text.replace("CANARY", &canary.word);
    texts.iter().map(fill).collect()
}

/// An error of a file of YAML says nothing of what stands in it but the key that it is about.
fn assert_names_keys_alone(canary: &Canary, error: &YamlError) {
    if error.key.as_ref().is_none_or(|key| !canary.is_in(key)) {
        canary.assert_absent(&format!("{error} {error:?}"));
    }
}

#[test]
fn encrypted_files_that_are_broken_are_errors_that_say_nothing_of_them() {
    let canary = Canary::new();
    let mut texts = with_canary(
        &[
            "a: CANARY\nsops:\n  age:\n  - recipient: age1x\n    enc: |\n      -----BEGIN AGE ENCRYPTED FILE-----\n      CANARY\n      -----END AGE ENCRYPTED FILE-----\n  mac: CANARY\n  lastmodified: CANARY\n  version: 3.9.0\n",
            "a: &x CANARY\nb: [*x, !y CANARY, 'CANARY']\nsops:\n  encrypted_regex: ^(CANARY\n  shamir_threshold: CANARY\n  mac: ENC[AES256_GCM,data:CANARY,iv:CANARY,tag:CANARY,type:CANARY]\n  version: CANARY\n",
        ],
        &canary,
    );
    texts.extend(SOPS.iter().map(|text| (*text).to_owned()));
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let refused = Cell::new(0);
    fuzz("sops", &texts, |text, _| {
        let is_sops = yaml::load(text).is_ok_and(|documents| sops::is_sops(&documents));
        match sops::decrypt(text, &Identities::default()).map(|_| ()) {
            Ok(()) => assert!(!is_sops, "{text:?}"),
            Err(SopsError::Yaml(error)) => assert_names_keys_alone(&canary, &error),
            // To whom a file is sealed is said.
            Err(SopsError::NoKey { recipients }) if canary.is_in(&recipients) => {}
            Err(error) => {
                refused.set(refused.get() + 1);
                canary.assert_absent(&format!("{error} {error:?}"));
            }
        }
    });
    assert!(refused.get() > 100, "{} were refused", refused.get());
}

/// A value without what is empty: that is in no MAC (see `sops::Opened::unbound`).
fn filled(value: Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::String(text) if text.is_empty() => None,
        Value::Array(items) => Some(items.into_iter().filter_map(filled).collect::<Vec<_>>())
            .filter(|items| !items.is_empty())
            .map(Value::Array),
        Value::Object(map) => Some(
            map.into_iter()
                .filter_map(|(key, value)| Some((key, filled(value)?)))
                .collect::<serde_json::Map<_, _>>(),
        )
        .filter(|map| !map.is_empty())
        .map(Value::Object),
        other => Some(other),
    }
}

#[test]
fn sealed_files_open_as_they_were_sealed_or_not_at_all() {
    let sealer = Sealer::new();
    let identities = Identities::parse([("key", sealer.key.as_str())]).unwrap();
    let canary = Canary::new();
    let clear = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\nstringData: {{a: {}, b: two, list: [{}, {}, y]}}\n",
        canary.word,
        json!(canary.secret),
        canary.number
    );
    let sealed = sealer.yaml(&clear);
    let read = |text: &str| -> Vec<Option<Value>> {
        let documents = yaml::load(text).unwrap();
        let value = |one: &yaml::Node| one.to_json().unwrap_or_else(|error| panic!("{error} in {text}"));
        documents.iter().map(|one| filled(value(one))).collect()
    };
    let expected = read(&clear);
    let (opened, refused) = (Cell::new(0), Cell::new(0));
    fuzz("sealed", &[&sealed], |text, _| {
        match sops::open_file("f.yaml", text.as_bytes(), &identities) {
            Ok(Some(clear)) => {
                opened.set(opened.get() + 1);
                assert_eq!(read(clear.expose_str().unwrap()), expected, "{text}");
            }
            Ok(None) => {}
            Err(error) => {
                refused.set(refused.get() + 1);
                canary.assert_absent(&format!("{error} {error:?}"));
            }
        }
    });
    assert!(opened.get() > 0, "not even the file as it was sealed was opened");
    assert!(refused.get() > 100, "{} were refused", refused.get());
}

#[test]
fn identities_are_read_or_refused_without_a_word_of_them() {
    let canary = Canary::new();
    let texts = with_canary(
        &[
            "# public key: age1x\nAGE-SECRET-KEY-1QQ\n",
            "# CANARY\nAGE-SECRET-KEY-1CANARY\nAGE-PLUGIN-CANARY\nAGE-SECRET-KEY-PQ-1CANARY\nCANARY\n",
            "-----BEGIN OPENSSH PRIVATE KEY-----\nAA==\n",
            "-----BEGIN OPENSSH PRIVATE KEY-----\nCANARY\n-----END OPENSSH PRIVATE KEY-----\n",
            "-----BEGIN CANARY-----\nCANARY\n-----END CANARY-----\n",
            "-----BEGIN PGP PRIVATE KEY BLOCK-----\nComment: CANARY\n\nCANARY\n-----END PGP PRIVATE KEY BLOCK-----\n",
        ],
        &canary,
    );
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let refused = Cell::new(0);
    fuzz("identities", &texts, |text, _| {
        if let Err(error) = Identities::parse([("key", text)]).map(|_| ()) {
            refused.set(refused.get() + 1);
            canary.assert_absent(&error);
        }
    });
    assert!(refused.get() > 100, "{} were refused", refused.get());
}

#[test]
fn overlays_are_built_or_refused() {
    fuzz("kustomization", KUSTOMIZATIONS, |text, _| {
        let mut files = InMemory::default();
        files.add("p/kustomization.yaml", text);
        files.add(
            "p/a.yaml",
            "apiVersion: v1\nkind: A\nmetadata: {name: a}\nspec: {x: 1}\n",
        );
        drop(overlay::needed_files("p", &files));
        let (_, diagnostics) = overlay::build("p", &files);
        assert!(diagnostics.iter().all(|diagnostic| !diagnostic.rule.is_empty()));
    });
}

/// Files of which one was encrypted.
struct Sealed(InMemory);

impl Files for Sealed {
    fn paths(&self) -> &BTreeSet<String> {
        self.0.paths()
    }

    fn text(&self, path: &str) -> Option<Cow<'_, str>> {
        self.0.text(path)
    }

    fn secret(&self, path: &str) -> bool {
        path == "p/a.yaml"
    }
}

#[test]
fn resources_under_an_overlay_are_read_or_refused_and_nothing_is_said_of_what_was_encrypted() {
    let canary = Canary::new();
    // As a name, a key, a tag, an anchor and a value.
    let mut texts = with_canary(
        &[
            "apiVersion: v1\nkind: A\nmetadata: {name: a, namespace: CANARY, labels: {CANARY: CANARY}}\nspec: {x: CANARY, y: [CANARY, {name: CANARY}], CANARY: 1}\n",
            "apiVersion: CANARY\nkind: CANARY\nmetadata: {name: CANARY}\n---\napiVersion: CANARY\nkind: CANARY\nmetadata: {name: CANARY}\n",
            "CANARY: &CANARY [1]\nx: *CANARY\nCANARY: !CANARY 2\n? {CANARY: CANARY}\n: \"CANARY\n",
            "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: A, metadata: {name: CANARY}}\n- CANARY\n- {kind: CANARY}\n",
        ],
        &canary,
    );
    texts.extend(YAML.iter().map(|text| (*text).to_owned()));
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let refused = Cell::new(0);
    fuzz("resources", &texts, |text, random| {
        let mut files = InMemory::default();
        files.add(
            "p/kustomization.yaml",
            KUSTOMIZATIONS[random.usize(..KUSTOMIZATIONS.len())],
        );
        files.add("p/a.yaml", text);
        let _ = overlay::build("p", &files);
        let (_, mut diagnostics) = overlay::build("p", &Sealed(files));
        diagnostics.extend(overlay::read_objects("p/a.yaml", text, true).err());
        refused.set(refused.get() + usize::from(!diagnostics.is_empty()));
        canary.assert_absent(&all_forms(&diagnostics));
    });
    assert!(refused.get() > 100, "{} were refused", refused.get());
}
