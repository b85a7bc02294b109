//! Bounds of encrypted files.

use super::{Row, words};
use crate::support::canary::Canary;
use crate::support::seal::Sealer;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use couchestor::formats::sops::creation_rules::CreationRules;
use couchestor::formats::sops::{self, Identities};

fn block(more: &str) -> String {
    let text = format!("a: ENC[AES256_GCM,data:AA==]\nsops:\n  mac: x\n  lastmodified: y\n{more}");
    words(sops::decrypt(&text, &Identities::default()))
}

fn lines(more: &str) -> String {
    let text = format!("A=ENC[AES256_GCM,data:AA==]\nsops_mac=x\n{more}\n");
    words(sops::open_file("a.env", text.as_bytes(), &Identities::default()))
}

/// Recipients whose age headers have so many stanzas each.
fn stanzas(each: usize, recipients: usize) -> String {
    let stanza = format!("-> X25519 {0}\n{0}\n", "A".repeat(43));
    let header = format!("age-encryption.org/v1\n{}---", stanza.repeat(each));
    let body = STANDARD.encode(header);
    let lines: Vec<&str> = body
        .as_bytes()
        .chunks(64)
        .filter_map(|line| std::str::from_utf8(line).ok())
        .collect();
    let one = format!(
        "  - recipient: age1x\n    enc: |\n      -----BEGIN AGE ENCRYPTED FILE-----\n      {}\n      -----END AGE ENCRYPTED FILE-----\n",
        lines.join("\n      ")
    );
    one.repeat(recipients)
}

fn inside(files: usize) -> String {
    let (sealer, canary) = (Sealer::new(), Canary::new());
    let one = STANDARD.encode(sealer.yaml(&format!("a: {}\n", canary.word)));
    let data: String = (0..files).map(|n| format!("  k{n}.yaml: {one}\n")).collect();
    let text = format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\ndata:\n{data}");
    let identities = Identities::parse([("key", sealer.key.as_str())]).unwrap();
    let said = words(sops::open_inside(&text, &identities).map(|_| ()));
    canary.assert_absent(&said);
    said
}

fn sealed(values: usize) -> String {
    let (sealer, canary) = (Sealer::new(), Canary::new());
    let all: Vec<String> = (0..values)
        .map(|n| format!("\"k{n}\": \"{}\"", canary.word))
        .collect();
    let identities = Identities::parse([("key", sealer.key.as_str())]).unwrap();
    let said = words(sops::decrypt(
        &sealer.yaml(&format!("{{{}}}", all.join(", "))),
        &identities,
    ));
    canary.assert_absent(&said);
    said
}

/// What is wrong with `.sops.yaml`.
fn rules(text: &str) -> String {
    match CreationRules::read(text) {
        Ok(rules) => rules.problems().map(|problem| format!("{problem}\n")).collect(),
        Err(error) => error.to_string(),
    }
}

fn of_rules() -> Vec<Row> {
    vec![
        (
            "bytes of the rules",
            "larger than 1048576 bytes",
            rules(&"#".repeat((1 << 20) + 1)),
        ),
        (
            "rules",
            "more than 10000 rules",
            rules(&format!("creation_rules:\n{}", "- {age: a}\n".repeat(10_001))),
        ),
        (
            "keys of a rule",
            "more than 1000 keys",
            rules(&format!(
                "creation_rules: [{{key_groups: [{{pgp: [{}]}}]}}]\n",
                (0..1001).map(|n| format!("A{n}, ")).collect::<String>()
            )),
        ),
        (
            "levels of a rule's groups",
            "more than 16 levels",
            rules(&format!(
                "creation_rules: [{{key_groups: [{}{{age: [a]}}{}]}}]\n",
                "{merge: [".repeat(17),
                "]}".repeat(17)
            )),
        ),
        (
            "repetitions in a rule's pattern",
            "more than 1000 times",
            rules("creation_rules: [{path_regex: 'a{1001}', age: a}]\n"),
        ),
    ]
}

pub(super) fn of_sops() -> Vec<Row> {
    let mut rows = of_rules();
    rows.extend(of_files());
    rows
}

fn of_files() -> Vec<Row> {
    vec![
        (
            "key groups",
            "more than 255 key groups",
            block(&format!("  key_groups:\n{}", "  - age: []\n".repeat(256))),
        ),
        (
            "bytes of a rule",
            "more than 1000 bytes",
            block(&format!("  encrypted_regex: '{}'\n", "a".repeat(1001))),
        ),
        (
            "program of a rule",
            "becomes more than 131072 bytes",
            block("  encrypted_regex: '\\pL{100}'\n"),
        ),
        (
            "levels of a flattened key",
            "more than 16 levels",
            lines(&format!("sops_a{}=x", "__map_a".repeat(16))),
        ),
        (
            "items of a flattened list",
            "more than 1000 items",
            lines("sops_age__list_1000__map_enc=x"),
        ),
        (
            "entries of a flattened block",
            "more than 4000 entries",
            lines(&(0..4001).map(|n| format!("sops_k{n}=x\n")).collect::<String>()),
        ),
        (
            "recipients",
            "more than 256 recipients",
            block(&format!(
                "  age:\n{}",
                "  - {recipient: age1x, enc: x}\n".repeat(257)
            )),
        ),
        (
            "bytes of what is sealed to a recipient",
            "more than 8192 bytes",
            block(&format!(
                "  age:\n  - {{recipient: age1x, enc: {}}}\n",
                "x".repeat(8193)
            )),
        ),
        (
            "headers of age",
            "more than 512 stanzas",
            block(&format!("  age:\n{}", stanzas(60, 9))),
        ),
        (
            "encrypted files inside of Secrets",
            "more than 200 encrypted files inside of Secrets",
            inside(201),
        ),
        (
            "encrypted values of a file",
            "more than 10000 encrypted values",
            sealed(10_001),
        ),
    ]
}
