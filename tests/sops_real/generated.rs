//! Made-up documents in every format, encrypted by the real sops command under made-up rules to made-up recipients: what we
//! open is what sops opens.

use super::{Key, key};
use crate::support::canary::Canary;
use crate::support::gpg::Gpg;
use crate::support::{say, seed, servers};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use couchestor::formats::sops::{Identities, open_file};
use couchestor::formats::yaml;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Files of one run.
const FILES: u64 = 300;

/// Everything that opens and everything that is sealed to.
pub(super) struct Keys {
    folder: PathBuf,
    gpg: Gpg,
    ours: Key,
    other: Key,
    ssh: [String; 2],
    /// The fingerprint of an OpenPGP key of RSA.
    pgp: String,
    /// The same of a key as gpg makes them when nobody says what kind: Ed25519, and X25519 for what is sealed.
    pub(super) ecdh: String,
    /// That key itself, armored.
    pub(super) ecdh_secret: String,
    identities: Identities,
    /// What stands for `hunter2` in every file.
    canary: Canary,
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| {
        panic!("{command:?} did not start ({error}): this test needs openssh-client")
    });
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout)
        .expect("tools speak UTF-8")
        .trim()
        .to_owned()
}

impl Keys {
    pub(super) fn make(folder: &Path) -> Self {
        let ssh = ["ed25519", "rsa"].map(|kind| {
            let path = folder.join(kind);
            run(Command::new("ssh-keygen")
                .args(["-q", "-N", "", "-C", "", "-t", kind, "-f"])
                .arg(&path));
            std::fs::read_to_string(folder.join(format!("{kind}.pub")))
                .expect("ssh-keygen wrote it")
                .trim()
                .to_owned()
        });
        let gpg = Gpg::new(folder.join("gnupg"), "");
        gpg.make("couchestor@example.org", "rsa2048", "encr");
        gpg.make("default@example.org", "future-default", "default");
        let [pgp, ecdh] = ["couchestor@example.org", "default@example.org"].map(|who| gpg.fingerprint(who));
        let [secret, ecdh_secret] = [&pgp, &ecdh].map(|key| gpg.secret(key));
        let (ours, other) = (key(folder, "ours"), key(folder, "other"));
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).expect("ssh-keygen wrote it");
        let identities = Identities::parse([
            ("ours.agekey", ours.file.as_str()),
            ("ed25519.agekey", read("ed25519").as_str()),
            ("rsa.agekey", read("rsa").as_str()),
            ("key.asc", secret.as_str()),
            ("default.asc", ecdh_secret.as_str()),
        ])
        .unwrap_or_else(|error| panic!("{error}"));
        Self {
            folder: folder.to_owned(),
            gpg,
            ours,
            other,
            ssh,
            pgp,
            ecdh,
            ecdh_secret,
            identities,
            canary: Canary::new(),
        }
    }

    /// Runs sops on a file with keys to open it; `None` when sops itself refuses.
    pub(super) fn sops(&self, arguments: &[&str], ssh: &str) -> Result<Vec<u8>, String> {
        let output = Command::new(servers::sops())
            .current_dir(&self.folder)
            .args(arguments)
            .env("HOME", &self.folder)
            .env("GNUPGHOME", &self.gpg.home)
            .env("SOPS_AGE_KEY", &self.ours.file)
            .env("SOPS_AGE_SSH_PRIVATE_KEY_FILE", self.folder.join(ssh))
            .env_remove("SOPS_AGE_KEY_FILE")
            .output()
            .expect("sops was built");
        if output.status.success() {
            Ok(output.stdout)
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }
}

/// Makes one file.
struct Maker {
    random: fastrand::Rng,
    /// What the file has, in words of [`WANTED`].
    has: BTreeSet<&'static str>,
    /// Whether comments stand before items of its lists.
    comments_in_lists: bool,
}

/// What must be in files that sops and we read alike, each in some of one run: formats, rules, recipients, what is written, and the
/// types under which sops sealed it.
const WANTED: [&str; 48] = [
    "format yaml",
    "format json",
    "format dotenv",
    "format ini",
    "format binary",
    "several documents",
    "no rule",
    "encrypted_regex",
    "unencrypted_regex",
    "encrypted_suffix",
    "unencrypted_suffix",
    "encrypted_comment_regex",
    "unencrypted_comment_regex",
    "mac_only_encrypted",
    "to an age key",
    "to two age keys",
    "to ssh-ed25519",
    "to ssh-rsa",
    "to OpenPGP of RSA",
    "to OpenPGP of X25519",
    "to two OpenPGP keys",
    "to OpenPGP and age",
    "to two of three groups",
    "to two groups",
    "a text",
    "a text of several lines",
    "an empty text",
    "a whole number",
    "a float",
    "a truth",
    "null",
    "bytes",
    "bytes that are a text",
    "a time",
    "a date",
    "a list",
    "an empty list",
    "a list in a list",
    "a map in a list",
    "a comment",
    "a comment in a list",
    "sealed str",
    "sealed int",
    "sealed float",
    "sealed bool",
    "sealed time",
    "sealed comment",
    "a sealed comment in a list",
];

/// Bytes that are no text, and bytes that are one.
const BYTES: [(&str, &str); 4] = [
    ("bytes", "gIGC"),
    ("bytes", "AP+A/g=="),
    ("bytes that are a text", "aGVsbG8="),
    ("bytes that are a text", "dHdvIHdvcmRz"),
];

/// Times as sops writes them again.
const TIMES: [&str; 4] = [
    "2024-01-02T10:11:12Z",
    "2024-01-02T10:11:12.5+02:00",
    "2001-02-03T04:05:06.789-07:30",
    "1969-12-31T23:59:59Z",
];

/// Dates, which sops writes as times.
const DATES: [&str; 3] = ["2024-01-02", "2024-1-2", "2001-12-31 10:00:00"];

const KEYS: [&str; 9] = [
    "data",
    "password",
    "user",
    "note_unencrypted",
    "spec",
    "metadata",
    "token",
    "a:b",
    "x-ata",
];
const TEXTS: [&str; 14] = [
    "hunter2",
    "",
    "true",
    "0644",
    "two words",
    " leading",
    "trailing ",
    "quote\" and 'quote'",
    "line one\nline two\n",
    "ünïcödé ☃",
    "# no comment",
    "a=b",
    "ENC[not really]",
    "back\\slash \\n",
];

impl Maker {
    fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.random.usize(0..all.len())]
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.random.u32(0..100) < percent
    }

    fn scalar(&mut self) -> Value {
        match self.random.u32(0..10) {
            0 => Value::from(self.random.i32(..)),
            1 => Value::from(f64::from(self.random.i32(-1000..1000)) / 8.0),
            2 => Value::from(self.random.bool()),
            3 => Value::Null,
            _ => Value::from(self.pick(&TEXTS)),
        }
    }

    /// Notes what a text of YAML or JSON is about to hold.
    fn note(&mut self, value: &Value) {
        let what = match value {
            Value::Null => "null",
            Value::Bool(_) => "a truth",
            Value::Number(number) if number.is_f64() => "a float",
            Value::Number(_) => "a whole number",
            Value::String(text) if text.is_empty() => "an empty text",
            Value::String(text) if text.contains('\n') => "a text of several lines",
            Value::String(_) => "a text",
            Value::Array(items) => {
                self.note_list(items);
                return items.iter().for_each(|item| self.note(item));
            }
            Value::Object(map) => return map.values().for_each(|value| self.note(value)),
        };
        self.has.insert(what);
    }

    fn note_list(&mut self, items: &[Value]) {
        self.has.insert(match items.is_empty() {
            true => "an empty list",
            false => "a list",
        });
        if items.iter().any(Value::is_array) {
            self.has.insert("a list in a list");
        }
        if items.iter().any(Value::is_object) {
            self.has.insert("a map in a list");
        }
    }

    /// Words of a comment, of which some are what rules look for.
    fn words(&mut self) -> &'static str {
        self.has.insert("a comment");
        self.pick(&["some words", "secret stuff", "plain words"])
    }

    /// A scalar that JSON has no word for, now and then.
    fn tagged(&mut self) -> Option<String> {
        match self.random.u32(0..100) {
            0..=4 => {
                let (what, bytes) = self.pick(&BYTES);
                self.has.insert(what);
                Some(format!("!!binary {bytes}"))
            }
            5..=7 => {
                self.has.insert("a time");
                Some(self.pick(&TIMES).to_owned())
            }
            8..=9 => {
                self.has.insert("a date");
                Some(self.pick(&DATES).to_owned())
            }
            _ => None,
        }
    }

    fn value(&mut self, depth: usize) -> Value {
        match self.random.u32(0..10) {
            0..=2 if depth < 3 => Value::Object(self.map(depth + 1)),
            3..=4 if depth < 3 => (0..self.random.usize(0..4))
                .map(|_| self.value(depth + 1))
                .collect(),
            _ => self.scalar(),
        }
    }

    fn map(&mut self, depth: usize) -> serde_json::Map<String, Value> {
        (0..1 + self.random.usize(0..4))
            .map(|_| (self.pick(&KEYS).to_owned(), self.value(depth)))
            .collect()
    }

    /// YAML in a form of our own, with comments by chance.
    fn yaml(&mut self, value: &Value, indent: usize, text: &mut String) {
        let pad = "  ".repeat(indent);
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    if self.chance(15) {
                        let _ = writeln!(text, "{pad}# {}", self.words());
                    }
                    let _ = write!(text, "{pad}\"{key}\":");
                    self.child(value, indent, text);
                }
            }
            Value::Array(items) => {
                for item in items {
                    if self.comments_in_lists && self.chance(40) {
                        self.has.insert("a comment in a list");
                        let _ = writeln!(text, "{pad}# {}", self.words());
                    }
                    let _ = write!(text, "{pad}-");
                    self.child(item, indent, text);
                }
            }
            _ => {}
        }
    }

    fn child(&mut self, value: &Value, indent: usize, text: &mut String) {
        match value {
            Value::Object(map) if !map.is_empty() => {
                text.push('\n');
                self.yaml(value, indent + 1, text);
            }
            Value::Array(items) if !items.is_empty() => {
                self.note_list(items);
                text.push('\n');
                self.yaml(value, indent + 1, text);
            }
            other => {
                let tagged = match other {
                    Value::Array(_) | Value::Object(_) => None,
                    _ => self.tagged(),
                };
                match tagged {
                    Some(tagged) => {
                        let _ = writeln!(text, " {tagged}");
                    }
                    None => {
                        self.note(other);
                        let _ = writeln!(text, " {other}");
                    }
                }
            }
        }
    }

    /// A file's name and content.
    fn file(&mut self) -> (&'static str, Vec<u8>) {
        match self.random.u32(0..10) {
            0..=3 => {
                let mut text = String::new();
                self.has.insert("format yaml");
                self.comments_in_lists = self.chance(40);
                for document in 0..1 + usize::from(self.chance(25)) {
                    if document > 0 {
                        self.has.insert("several documents");
                        text.push_str("---\n");
                    }
                    let map = Value::Object(self.map(0));
                    self.yaml(&map, 0, &mut text);
                }
                ("file.yaml", text.into_bytes())
            }
            4..=5 => {
                self.has.insert("format json");
                let value = Value::Object(self.map(0));
                self.note(&value);
                ("file.json", value.to_string().into_bytes())
            }
            6..=7 => {
                let mut text = String::new();
                self.has.insert("format dotenv");
                for number in 0..1 + self.random.usize(0..5) {
                    if self.chance(20) {
                        let words = self.words();
                        let _ = writeln!(text, "# {words}");
                    }
                    let value = self.pick(&TEXTS).replace('\n', "\\n");
                    let _ = writeln!(
                        text,
                        "NAME_{number}{}={value}",
                        self.pick(&["", "_ata", "_unencrypted"])
                    );
                }
                ("file.env", text.into_bytes())
            }
            8 => {
                let mut text = String::new();
                self.has.insert("format ini");
                for section in 0..1 + self.random.usize(0..3) {
                    if self.chance(20) {
                        let words = self.words();
                        let _ = writeln!(text, "; {words}");
                    }
                    let _ = writeln!(text, "[section{section}]");
                    for number in 0..1 + self.random.usize(0..3) {
                        if self.chance(15) {
                            let words = self.words();
                            let _ = writeln!(text, "; {words}");
                        }
                        let value = self.pick(&["hunter2", "two words", "a=b", "1.5", "true", "ünï", "x:y"]);
                        let _ = writeln!(
                            text,
                            "key{number}{} = {value}",
                            self.pick(&["", "_ata", "_unencrypted"])
                        );
                    }
                }
                ("file.ini", text.into_bytes())
            }
            _ => {
                self.has.insert("format binary");
                let length = self.random.usize(1..200);
                let text: Vec<u8> = match self.random.bool() {
                    true => (0..length).map(|_| self.random.u8(..)).collect(),
                    false => self
                        .pick(&[
                            "plain text with hunter2\n",
                            "-----BEGIN CERTIFICATE-----\nAA==\n",
                            "{\"json\": 1}",
                        ])
                        .into(),
                };
                ("file.bin", text)
            }
        }
    }

    /// A creation rule, and which ssh key sops needs to open the file.
    fn rule(&mut self, keys: &Keys, name: &str) -> (String, &'static str) {
        let lines = name.ends_with("env") || name.ends_with("ini");
        let comments = [
            "encrypted_comment_regex: secret",
            "unencrypted_comment_regex: plain",
        ];
        let mut rules = vec![
            "",
            "encrypted_regex: '^(data|password|NAME_1.*|key1.*)$'",
            "unencrypted_regex: '^(metadata|user)$'",
            "encrypted_suffix: ata",
            "unencrypted_suffix: _unencrypted",
            "encrypted_regex: '^spec$'\n  mac_only_encrypted: true",
        ];
        if name.ends_with("yaml") || lines {
            rules.extend(comments);
        }
        if lines {
            rules.push("encrypted_suffix: ata\n  mac_only_encrypted: true");
        }
        // There is one value, and no other rule can reach it.
        if name.ends_with("bin") {
            rules.truncate(1);
        }
        let what = self.pick(&rules);
        for line in what.lines() {
            let name = line.trim().split(':').next().unwrap_or_default();
            let known = WANTED.iter().find(|one| **one == name);
            self.has.insert(known.copied().expect("it is wanted"));
        }
        if what.is_empty() {
            self.has.insert("no rule");
        }
        let (age, foreign) = (&keys.ours.public, &keys.other.public);
        let [ed25519, rsa] = &keys.ssh;
        let (to, who, ssh) = match self.random.u32(0..10) {
            0 => ("to an age key", format!("age: {age}"), "ed25519"),
            1 => ("to two age keys", format!("age: '{foreign},{age}'"), "ed25519"),
            2 => ("to ssh-ed25519", format!("age: '{ed25519}'"), "ed25519"),
            3 => ("to ssh-rsa", format!("age: '{rsa}'"), "rsa"),
            4 => ("to OpenPGP of RSA", format!("pgp: {}", keys.pgp), "ed25519"),
            5 => (
                "to two of three groups",
                format!(
                    "shamir_threshold: 2\n  key_groups:\n  - age: [{age}]\n  - age: [{foreign}, '{ed25519}']\n  - age: [{foreign}]"
                ),
                "ed25519",
            ),
            6 => (
                "to two groups",
                format!("key_groups:\n  - age: [{age}]\n  - pgp: [{}]", keys.pgp),
                "ed25519",
            ),
            7 => ("to OpenPGP of X25519", format!("pgp: {}", keys.ecdh), "ed25519"),
            8 => (
                "to two OpenPGP keys",
                format!("pgp: '{},{}'", keys.ecdh, keys.pgp),
                "ed25519",
            ),
            _ => (
                "to OpenPGP and age",
                format!("pgp: {}\n  age: {foreign}", keys.pgp),
                "ed25519",
            ),
        };
        self.has.insert(to);
        (
            format!("creation_rules:\n- path_regex: .*\n  {who}\n  {what}\n"),
            ssh,
        )
    }
}

/// Bytes that are no text have no JSON; they are compared as they are spelled.
fn spelled(text: &str) -> String {
    let none = |encoded: &str| {
        let bytes = STANDARD.decode(encoded).expect("base64");
        String::from_utf8(bytes).is_err()
    };
    let mut spelled = text.to_owned();
    for (_, encoded) in BYTES.iter().filter(|(_, encoded)| none(encoded)) {
        spelled = spelled.replace(&format!("!!binary {encoded}"), &format!("bytes {encoded}"));
    }
    spelled
}

/// What a clear text says, so that two spellings of it compare equal.
fn meaning(name: &str, clear: &[u8]) -> Vec<Value> {
    let text = || std::str::from_utf8(clear).expect("a text format");
    match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("yaml" | "json") => yaml::load(&spelled(text()))
            .expect("clear YAML")
            .iter()
            .map(|document| document.to_json().expect("clear YAML"))
            .collect(),
        Some("env") => text()
            .lines()
            .filter(|line| !line.is_empty())
            .map(Value::from)
            .collect(),
        Some("ini") => vec![ini(text())],
        _ => vec![Value::from(clear.to_vec())],
    }
}

fn ini(text: &str) -> Value {
    let mut sections: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    let mut section = "DEFAULT".to_owned();
    for line in text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with([';', '#']))
    {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
        } else if let Some((key, value)) = line.split_once('=') {
            let value = value.trim().trim_matches('`').trim_matches('"');
            sections
                .entry(section.clone())
                .or_default()
                .insert(key.trim().to_owned(), value.to_owned());
        }
    }
    serde_json::to_value(sections).expect("a map of maps")
}

/// What both sops and we made of a file.
struct Agreed {
    path: PathBuf,
    content: Value,
}

/// Whether two values are the same, whichever way a float without a fraction is spelled.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) if a.is_f64() || b.is_f64() => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            let fits = |(key, value): (&String, &Value)| b.get(key).is_some_and(|other| same(value, other));
            a.len() == b.len() && a.iter().all(fits)
        }
        _ => a == b,
    }
}

/// Asks rops about files of one document, and tells how many it read and found the same in. It knows fewer features than sops
/// does; what it reads must be the same.
fn rops_agrees(keys: &Keys, agreed: &[Agreed]) -> (usize, Vec<String>) {
    let identity = keys.ours.file.lines().find(|line| line.starts_with("AGE-"));
    let identity = identity.expect("age-keygen wrote one");
    let mut child = Command::new(servers::rops())
        .env("HOME", &keys.folder)
        .env("ROPS_AGE", identity)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it was built");
    let mut paths = child.stdin.take().expect("piped");
    let lines: String = agreed
        .iter()
        .map(|one| format!("{}\n", one.path.display()))
        .collect();
    // Written from a thread: it answers while it reads.
    let writer = std::thread::spawn(move || paths.write_all(lines.as_bytes()));
    let output = child.wait_with_output().expect("it ends with its input");
    writer
        .join()
        .expect("no panic inside")
        .expect("it reads to the end");
    let answers = String::from_utf8(output.stdout).expect("JSON");
    assert_eq!(answers.lines().count(), agreed.len(), "one answer for each file");
    let mut differences = Vec::new();
    let mut read = 0;
    for (one, answer) in agreed.iter().zip(answers.lines()) {
        let answer: Value = serde_json::from_str(answer).expect("JSON");
        if answer.is_null() {
            continue;
        }
        read += 1;
        if !same(&answer, &one.content) {
            let sealed = std::fs::read_to_string(&one.path).expect("our own file");
            differences.push(format!("{sealed}\n--- ours\n{}\n--- rops\n{answer}", one.content));
        }
    }
    (read, differences)
}

/// What is said of a file that does not open, for want of a key or because it was changed, says nothing of what is in it.
fn assert_silent(keys: &Keys, name: &str, sealed: &[u8]) {
    let start = b"ENC[AES256_GCM,data:";
    let starts: Vec<usize> = sealed
        .windows(start.len())
        .enumerate()
        .filter_map(|(at, bytes)| (bytes == start).then_some(at + start.len()))
        .collect();
    // The first digit of base64 of the first value, which stops everything, and of the last, which is the MAC: then all is open. A
    // comment may be either, which nobody needs.
    for at in starts.first().into_iter().chain(starts.last()) {
        let mut changed = sealed.to_vec();
        changed[*at] = if changed[*at] == b'A' { b'B' } else { b'A' };
        if let Err(error) = open_file(name, &changed, &keys.identities).map(|_| ()) {
            keys.canary.assert_absent(&format!("{error} {error:?}"));
        }
    }
    let opened = open_file(name, sealed, &Identities::default()).map(|_| ());
    let error = opened.expect_err("there is no key");
    keys.canary.assert_absent(&format!("{error} {error:?}"));
}

/// What came of all files.
#[derive(Default)]
struct Found {
    agreed: Vec<Agreed>,
    /// How many of those that were read alike have what.
    seen: BTreeMap<&'static str, usize>,
}

fn one(keys: &Keys, number: u64, seed: u64, found: &Mutex<Found>) -> Result<&'static str, String> {
    let mut maker = Maker {
        random: fastrand::Rng::with_seed(seed),
        has: BTreeSet::new(),
        comments_in_lists: false,
    };
    let (name, mut plain) = maker.file();
    if let Ok(text) = std::str::from_utf8(&plain) {
        plain = text.replace("hunter2", &keys.canary.word).into_bytes();
    }
    let (rule, ssh) = maker.rule(keys, name);
    let mut has = maker.has;
    let (plain_name, rule_name, secret_name) = (
        format!("{number}-plain-{name}"),
        format!("{number}-rule.yaml"),
        format!("{number}-{name}"),
    );
    let write =
        |name: &str, bytes: &[u8]| std::fs::write(keys.folder.join(name), bytes).expect("our own folder");
    write(&plain_name, &plain);
    write(&rule_name, rule.as_bytes());
    let Ok(sealed) = keys.sops(&["--config", &rule_name, "encrypt", &plain_name], ssh) else {
        return Ok("refused by sops");
    };
    write(&secret_name, &sealed);
    let theirs = keys.sops(&["decrypt", &secret_name], ssh);
    let ours = open_file(name, &sealed, &keys.identities);
    assert_silent(keys, name, &sealed);
    let told = || {
        format!(
            "seed {seed}\n--- rule\n{rule}\n--- plain {name}\n{}\n--- sealed\n{}",
            String::from_utf8_lossy(&plain),
            String::from_utf8_lossy(&sealed)
        )
    };
    match (ours, theirs) {
        (Ok(Some(ours)), Ok(theirs)) => {
            let mut content = meaning(name, ours.expose());
            if content == meaning(name, &theirs) {
                let text = String::from_utf8_lossy(&sealed);
                let types = WANTED.iter().filter(|one| {
                    let kind = one.strip_prefix("sealed ");
                    kind.is_some_and(|kind| text.contains(&format!(",type:{kind}]")))
                });
                has.extend(types);
                // sops makes an item of a comment in a list.
                let item =
                    |line: &str| line.trim_start().starts_with("- ENC[") && line.ends_with(",type:comment]");
                if text.lines().any(item) {
                    has.insert("a sealed comment in a list");
                }
                let bytes = has.contains("bytes");
                let mut found = found.lock().expect("no panic inside");
                for one in has {
                    *found.seen.entry(one).or_default() += 1;
                }
                // rops takes bytes for the text that they are spelled in.
                if let ("file.yaml" | "file.json", [_], false) = (name, content.as_slice(), bytes) {
                    found.agreed.push(Agreed {
                        path: keys.folder.join(&secret_name),
                        content: content.remove(0),
                    });
                }
                return Ok(name);
            }
            let (ours, theirs) = (
                String::from_utf8_lossy(ours.expose()).into_owned(),
                String::from_utf8_lossy(&theirs).into_owned(),
            );
            Err(format!("{}\n--- ours\n{ours}\n--- theirs\n{theirs}", told()))
        }
        (Err(error), Err(_)) => {
            keys.canary.assert_absent(&format!("{error} {error:?}"));
            Ok("refused by both")
        }
        (Ok(None), _) => Err(format!("not seen as encrypted\n{}", told())),
        (Ok(Some(_)), Err(error)) => Err(format!("we opened what sops does not: {error}\n{}", told())),
        (Err(error), Ok(_)) => Err(format!("we do not open it: {error}\n{}", told())),
    }
}

#[test]
fn made_up_files_open_as_sops_opens_them() {
    if servers::left_out("made_up_files_open_as_sops_opens_them") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let keys = Keys::make(folder.path());
    let seed = seed("sops files");
    let next = AtomicU64::new(0);
    let counts = Mutex::new(BTreeMap::<&str, usize>::new());
    let failures = Mutex::new(Vec::new());
    let found = Mutex::new(Found::default());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= FILES || failures.lock().expect("no panic inside").len() >= 3 {
                        return;
                    }
                    match one(&keys, number, seed.wrapping_add(number), &found) {
                        Ok(verdict) => {
                            *counts
                                .lock()
                                .expect("no panic inside")
                                .entry(verdict)
                                .or_default() += 1
                        }
                        Err(difference) => failures.lock().expect("no panic inside").push(difference),
                    }
                }
            });
        }
    });
    let counts = counts.into_inner().expect("no panic inside");
    say(&format!("sops files: {counts:?}"));
    let failures = failures.into_inner().expect("no panic inside");
    assert!(failures.is_empty(), "{}", failures.join("\n=======\n"));
    let compared: usize = counts
        .iter()
        .filter_map(|(name, count)| name.starts_with("file.").then_some(*count))
        .sum();
    assert!(compared >= 200, "only {compared} were compared: {counts:?}");
    let Found { agreed, seen } = found.into_inner().expect("no panic inside");
    say(&format!(
        "sops files that are read alike, by what they have: {seen:?}"
    ));
    let unseen: Vec<&&str> = WANTED.iter().filter(|one| !seen.contains_key(*one)).collect();
    assert!(unseen.is_empty(), "no file has {unseen:?}");
    let (read, differences) = rops_agrees(&keys, &agreed);
    say(&format!(
        "sops files: of {} with one document rops reads {read}, {} of them differently",
        agreed.len(),
        differences.len()
    ));
    assert!(differences.is_empty(), "{}", differences.join("\n=======\n"));
    assert!(read >= 10, "rops read only {read} of {}", agreed.len());
    for name in ["file.yaml", "file.json", "file.env", "file.ini", "file.bin"] {
        assert!(
            counts.get(name).is_some_and(|count| *count >= 5),
            "too few of {name}: {counts:?}"
        );
    }
}
