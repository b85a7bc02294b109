//! Files that the real sops command wrote are read as it reads them, and tampered ones are refused.

use crate::support::canary::Canary;
use crate::support::{say, servers};
use couchestor::formats::sops::{Identities, decrypt};
use couchestor::formats::yaml;
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Comments, times, bytes, JSON, ssh keys.
mod rare;

/// What no MAC binds; files inside of Secrets.
mod bound;

/// Recipients and keys of every kind, and blocks of early versions.
mod recipients;

/// The bytes of opened files.
mod written;

/// What a MAC does not see.
mod unseen;

/// A controller with keys in its decryption Secret.
mod followed;

/// Made-up files in every format, by the hundred.
mod generated;

struct Key {
    public: String,
    file: String,
}

fn key(folder: &Path, name: &str) -> Key {
    let path = folder.join(name);
    let output = Command::new(servers::age_keygen())
        .arg("-o")
        .arg(&path)
        .output()
        .unwrap();
    assert!(output.status.success());
    let file = std::fs::read_to_string(&path).unwrap();
    let public = file
        .lines()
        .find_map(|line| line.strip_prefix("# public key: "))
        .unwrap()
        .to_owned();
    Key { public, file }
}

fn sops(folder: &Path, arguments: &[&str], key: Option<&Key>) -> String {
    let mut command = Command::new(servers::sops());
    command
        .current_dir(folder)
        .args(arguments)
        .env("HOME", folder)
        .env_remove("SOPS_AGE_KEY_FILE");
    if let Some(key) = key {
        command.env("SOPS_AGE_KEY", &key.file);
    }
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "sops {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

fn values(text: &str) -> Vec<Value> {
    yaml::load(text)
        .unwrap()
        .iter()
        .map(|document| document.to_json().unwrap())
        .collect()
}

const PLAIN: &str = r#"# a comment
apiVersion: v1
kind: Secret
metadata:
  name: x
  labels: {a: "1"}
stringData:
  text: hunter2
  lines: |
    first
    second: "quoted"
  empty: ""
  number_as_text: "0644"
data:
  int: 42
  negative: -7
  float: 1.5
  yes: true
  no: false
  nothing: null
  list: [a, 2, {deep: [3.25, "x: y"]}]
  date: "2024-01-02"
  key_unencrypted: plain
"#;

#[test]
fn every_rule_and_every_type_reads_as_sops_reads_it() {
    if servers::left_out("every_rule_and_every_type_reads_as_sops_reads_it") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (ours, other) = (key(folder.path(), "ours"), key(folder.path(), "other"));
    let both = format!("{},{}", other.public, ours.public);
    let rules: [&[&str]; 7] = [
        &[],
        &["--encrypted-regex", "^(data|stringData)$"],
        &["--unencrypted-regex", "^(metadata|kind|apiVersion)$"],
        &["--encrypted-suffix", "ata"],
        &["--unencrypted-suffix", "_unencrypted"],
        &["--config", "mac-only.yaml"],
        &["--age", &both],
    ];
    let identities = Identities::parse([("ours", ours.file.as_str())]).unwrap();
    let config = format!(
        "creation_rules: [{{encrypted_regex: ^data$, mac_only_encrypted: true, age: {}}}]\n",
        ours.public
    );
    std::fs::write(folder.path().join("mac-only.yaml"), config).unwrap();
    let two = format!("{PLAIN}---\nkind: Second\nspec:\n  secret: s3cret\n");
    for plain in [PLAIN, two.as_str()] {
        std::fs::write(folder.path().join("plain.yaml"), plain).unwrap();
        for rule in rules {
            let configured = rule.contains(&"--config");
            let mut arguments: Vec<&str> = if configured { rule.to_vec() } else { Vec::new() };
            arguments.push("encrypt");
            if !configured && !rule.contains(&"--age") {
                arguments.extend(["--age", &ours.public]);
            }
            if !configured {
                arguments.extend(rule);
            }
            arguments.push("plain.yaml");
            let encrypted = sops(folder.path(), &arguments, None);
            assert!(
                yaml::load(&encrypted).is_ok_and(|documents| couchestor::formats::sops::is_sops(&documents))
            );
            std::fs::write(folder.path().join("secret.yaml"), &encrypted).unwrap();
            let theirs = sops(folder.path(), &["decrypt", "secret.yaml"], Some(&ours));
            let clear = decrypt(&encrypted, &identities)
                .unwrap_or_else(|error| panic!("{rule:?}: {error}\n{encrypted}"));
            assert_eq!(values(clear.expose_str().unwrap()), values(&theirs), "{rule:?}");
        }
    }
    say(&format!(
        "sops rules: 2 texts under each of {} rules",
        rules.len()
    ));
}

#[test]
fn values_keep_their_lines() {
    if servers::left_out("values_keep_their_lines") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let ours = key(folder.path(), "ours");
    std::fs::write(folder.path().join("plain.yaml"), PLAIN).unwrap();
    let encrypted = sops(
        folder.path(),
        &["encrypt", "--age", &ours.public, "plain.yaml"],
        None,
    );
    let identities = Identities::parse([("ours", ours.file.as_str())]).unwrap();
    let clear = decrypt(&encrypted, &identities).unwrap_or_else(|error| panic!("{error}"));
    let line = |text: &str, key: &str| {
        text.lines()
            .position(|line| line.trim_start().starts_with(key))
            .unwrap()
    };
    for key in ["text:", "lines:", "float:", "date:"] {
        assert_eq!(
            line(&encrypted, key),
            line(clear.expose_str().unwrap(), key),
            "{key}"
        );
    }
}

#[test]
fn every_edit_by_hand_is_refused_and_no_error_shows_a_value() {
    if servers::left_out("every_edit_by_hand_is_refused_and_no_error_shows_a_value") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let ours = key(folder.path(), "ours");
    let (canary, second) = (Canary::new(), Canary::new());
    let plain = "kind: Secret\nmetadata:\n    name: x\nstringData:\n    a: FIRST\n    b: SECOND\n    list:\n        - one\n        - two\n";
    let plain = plain
        .replace("FIRST", &canary.word)
        .replace("SECOND", &second.word);
    std::fs::write(folder.path().join("plain.yaml"), plain).unwrap();
    let rule = [
        "encrypt",
        "--age",
        &ours.public,
        "--encrypted-regex",
        "^stringData$",
        "plain.yaml",
    ];
    let encrypted = sops(folder.path(), &rule, None);
    let identities = Identities::parse([("ours", ours.file.as_str())]).unwrap();
    assert!(decrypt(&encrypted, &identities).is_ok());
    let line = |start: &str| {
        encrypted
            .lines()
            .find(|line| line.trim_start().starts_with(start))
            .unwrap()
            .to_owned()
    };
    let (a, b, mac, modified) = (
        line("a: ENC"),
        line("b: ENC"),
        line("mac: "),
        line("lastmodified: "),
    );
    let items: Vec<&str> = encrypted
        .lines()
        .filter(|line| line.trim_start().starts_with("- ENC"))
        .collect();
    let swap = |x: &str, y: &str| encrypted.replace(x, "\u{1}").replace(y, x).replace('\u{1}', y);
    let value = |line: &str| line.split_once(": ").unwrap().1.to_owned();
    // One digit of base64, whose other bits stay as they are.
    let flipped = {
        let at = encrypted.find("ENC[AES256_GCM,data:").unwrap() + "ENC[AES256_GCM,data:".len();
        let digit = if &encrypted[at..=at] == "A" { "B" } else { "A" };
        format!("{}{digit}{}", &encrypted[..at], &encrypted[at + 1..])
    };
    let (sum, shut) = ("the MAC does not match", "a value does not decrypt");
    let mut edits = 0;
    for (what, tampered, words) in [
        (
            "a clear value changed",
            encrypted.replace("name: x", "name: y"),
            sum,
        ),
        (
            "a clear value added",
            encrypted.replace("    name: x", "    name: x\n    more: z"),
            sum,
        ),
        (
            "an encrypted key renamed",
            encrypted.replace("    a: ENC", "    c: ENC"),
            shut,
        ),
        (
            "an encrypted value deleted",
            encrypted.replace(&format!("{b}\n"), ""),
            sum,
        ),
        ("two encrypted values swapped", swap(&value(&a), &value(&b)), shut),
        ("a list reordered", swap(items[0], items[1]), sum),
        ("ciphertext flipped", flipped, shut),
        (
            "the time changed",
            encrypted.replace(&modified, "    lastmodified: \"2020-01-01T00:00:00Z\""),
            sum,
        ),
        (
            "the mac removed",
            encrypted.replace(&format!("{mac}\n"), ""),
            "has no `mac`",
        ),
        (
            "the rule widened",
            encrypted.replace("^stringData$", "^(stringData|metadata)$"),
            "should be encrypted and is not",
        ),
        (
            "the rule narrowed",
            encrypted.replace("^stringData$", "^nothing$"),
            sum,
        ),
        (
            "a key doubled",
            encrypted.replace(&a, &format!("{a}\n{a}")),
            "duplicate key",
        ),
    ] {
        assert_ne!(tampered, encrypted, "{what}");
        let error = decrypt(&tampered, &identities)
            .map(|_| ())
            .expect_err(what)
            .to_string();
        assert!(error.contains(words), "{what}: {error}");
        edits += 1;
        canary.assert_absent(&error);
        second.assert_absent(&error);
    }
    let stranger = key(folder.path(), "stranger");
    let stranger = Identities::parse([("stranger", stranger.file.as_str())]).unwrap();
    let error = decrypt(&encrypted, &stranger)
        .map(|_| ())
        .unwrap_err()
        .to_string();
    assert!(error.contains(&ours.public), "{error}");
    canary.assert_absent(&error);
    second.assert_absent(&error);
    say(&format!("sops edits: {edits} refused"));
}
