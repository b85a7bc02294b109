//! What files of the real sops command hold more rarely: comments, rules by comment, times, bytes, JSON, ssh keys.

use super::{key, sops, values};
use crate::support::canary::Canary;
use crate::support::{say, servers};
use couchestor::formats::sops::{Identities, decrypt};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Encrypts a text under a creation rule, with a file name that says its format.
fn encrypted(folder: &Path, rule: &str, name: &str, plain: &str) -> String {
    std::fs::write(folder.join(name), plain).unwrap();
    std::fs::write(
        folder.join("rule.yaml"),
        format!("creation_rules: [{{{rule}}}]\n"),
    )
    .unwrap();
    sops(folder, &["--config", "rule.yaml", "encrypt", name], None)
}

/// Types that are rare: times, bytes that are no text, numbers that Go prints in its own way, and comments everywhere.
const RARE: &str = r#"# top
text: !!binary aGVsbG8=
bytes: !!binary gIGC
time: 2024-01-02T10:11:12.5+02:00
date: 2024-1-2
octal: 0o17
old_octal: 0644
float: 1.50
large: 1e21
small: 1e-7
string: "a\rb\u0085c\u2028d\te\"f\\"
# about c
c: # beside c
  # about d
  d: x # beside d
  # behind d

list:
  - one
  - # nested
    - deep
    - {k: v}
  - key: value # beside value
"#;

#[test]
fn rare_types_and_comments_read_as_sops_reads_them() {
    if servers::left_out("rare_types_and_comments_read_as_sops_reads_them") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let ours = key(folder.path(), "ours");
    let identities = Identities::parse([("ours", ours.file.as_str())]).unwrap();
    let mut compared = 0;
    for rule in [
        "",
        "encrypted_regex: ^nothing$, ",
        "encrypted_regex: '^(c|list)$', ",
        "mac_only_encrypted: true, encrypted_regex: ^c$, ",
    ] {
        let text = encrypted(
            folder.path(),
            &format!("{rule}age: {}", ours.public),
            "rare.yaml",
            RARE,
        );
        std::fs::write(folder.path().join("secret.yaml"), &text).unwrap();
        let theirs = sops(folder.path(), &["decrypt", "secret.yaml"], Some(&ours));
        let clear = decrypt(&text, &identities).unwrap_or_else(|error| panic!("{rule}: {error}\n{text}"));
        // Bytes that are no text have no JSON; they have to be written alike.
        let (bytes, rest): (Vec<_>, Vec<_>) = clear
            .expose_str()
            .unwrap()
            .lines()
            .partition(|line| line.starts_with("bytes:"));
        assert_eq!(bytes, ["bytes: !!binary gIGC"], "{rule}");
        let theirs = theirs.replace("bytes: !!binary gIGC\n", "");
        assert_eq!(values(&rest.join("\n")), values(&theirs), "{rule}");
        compared += 1;
    }
    say(&format!(
        "sops rare: {} lines of rare types and comments under {compared} rules",
        RARE.lines().count()
    ));
}

#[test]
fn comments_inside_of_lists_are_no_items_and_not_under_the_mac() {
    if servers::left_out("comments_inside_of_lists_are_no_items_and_not_under_the_mac") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let ours = key(folder.path(), "ours");
    let identities = Identities::parse([("ours", ours.file.as_str())]).unwrap();
    let plain =
        "list:\n  # first\n  - a\n  # second\n  - b # beside\n  # third\n  - k: v\n  # last\nend: z\n";
    let text = encrypted(
        folder.path(),
        &format!("age: {}", ours.public),
        "plain.yaml",
        plain,
    );
    assert!(text.contains("type:comment"), "{text}");
    let clear = decrypt(&text, &identities).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let clear = clear.expose_str().unwrap();
    assert_eq!(
        values(clear),
        [serde_json::json!({"list": ["a", "b", {"k": "v"}], "end": "z"})],
        "{clear}"
    );
}

/// Comments on every level, some of which a rule looks for.
const COMMENTED: &str = r#"# top
a: 1 # plain
# mark: b
b: hidden
c: # mark: c
  d: x
  e: [y, z]
f:
  # mark: g
  g: x
  h: y
  # mark: behind h

i: after
list:
  - one
  # mark: two
  - two
  - three # mark: three
  # mark: object
  - k: v
    l: w
  - m: n
o: "2" # mark: o
p: null
q: ""
"#;

#[test]
fn rules_by_comment_read_as_sops_reads_them() {
    if servers::left_out("rules_by_comment_read_as_sops_reads_them") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let ours = key(folder.path(), "ours");
    let identities = Identities::parse([("ours", ours.file.as_str())]).unwrap();
    for rule in ["encrypted_comment_regex", "unencrypted_comment_regex"] {
        let text = encrypted(
            folder.path(),
            &format!("{rule}: 'mark:', age: {}", ours.public),
            "plain.yaml",
            COMMENTED,
        );
        assert!(text.contains("ENC["), "{text}");
        std::fs::write(folder.path().join("secret.yaml"), &text).unwrap();
        let theirs = sops(folder.path(), &["decrypt", "secret.yaml"], Some(&ours));
        let clear = decrypt(&text, &identities).unwrap_or_else(|error| panic!("{rule}: {error}\n{text}"));
        assert_eq!(values(clear.expose_str().unwrap()), values(&theirs), "{rule}");
    }
    say(&format!(
        "sops rare: {} lines under 2 rules by comment",
        COMMENTED.lines().count()
    ));
}

#[test]
fn json_reads_as_sops_reads_it_and_loses_its_block() {
    if servers::left_out("json_reads_as_sops_reads_it_and_loses_its_block") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let ours = key(folder.path(), "ours");
    let identities = Identities::parse([("ours", ours.file.as_str())]).unwrap();
    let plain =
        r#"{"kind": "Secret", "data": {"a": "hunter2", "n": 1.5, "t": true, "l": ["x", 2, null, ""]}}"#;
    let text = encrypted(
        folder.path(),
        &format!("age: {}", ours.public),
        "plain.json",
        plain,
    );
    std::fs::write(folder.path().join("secret.json"), &text).unwrap();
    let theirs = sops(folder.path(), &["decrypt", "secret.json"], Some(&ours));
    let clear = decrypt(&text, &identities).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let ours: Value = serde_json::from_str(clear.expose_str().unwrap()).unwrap();
    assert_eq!(ours, serde_json::from_str::<Value>(&theirs).unwrap());
}

#[test]
fn an_ssh_key_among_several_recipients_opens_a_file_and_strange_recipients_are_passed_over() {
    if servers::left_out(
        "an_ssh_key_among_several_recipients_opens_a_file_and_strange_recipients_are_passed_over",
    ) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (ours, other) = (key(folder.path(), "ours"), key(folder.path(), "other"));
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "x", "-f"])
        .arg(folder.path().join("ssh"))
        .status()
        .unwrap();
    assert!(made.success());
    let public = std::fs::read_to_string(folder.path().join("ssh.pub")).unwrap();
    let private = std::fs::read_to_string(folder.path().join("ssh")).unwrap();
    let recipients = format!("age: '{},{},{}'", other.public, public.trim(), ours.public);
    let text = encrypted(folder.path(), &recipients, "plain.yaml", "a: hunter2\n");
    let strange = text.replacen(
        "    age:\n",
        "    age:\n        - recipient: age1pq1strange\n          enc: nothing\n",
        1,
    );
    assert_ne!(text, strange);
    for (name, file) in [("ssh", &private), ("ours", &ours.file)] {
        let identities = Identities::parse([(name, file.as_str())]).unwrap();
        for text in [&text, &strange] {
            let clear = decrypt(text, &identities).unwrap_or_else(|error| panic!("{name}: {error}\n{text}"));
            assert_eq!(
                values(clear.expose_str().unwrap()),
                [serde_json::json!({"a": "hunter2"})]
            );
        }
    }
}

#[test]
fn a_value_that_is_not_of_its_stated_type_is_refused() {
    if servers::left_out("a_value_that_is_not_of_its_stated_type_is_refused") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let ours = key(folder.path(), "ours");
    let identities = Identities::parse([("ours", ours.file.as_str())]).unwrap();
    let canary = Canary::new();
    let plain = format!("a: |-\n  1\n  b: {}\n", canary.word);
    let text = encrypted(
        folder.path(),
        &format!("age: {}", ours.public),
        "plain.yaml",
        &plain,
    );
    for kind in ["int", "float", "bool", "comment", "other"] {
        let tampered = text.replacen("type:str]", &format!("type:{kind}]"), 1);
        let error = decrypt(&tampered, &identities)
            .map(|_| ())
            .expect_err(kind)
            .to_string();
        canary.assert_absent(&error);
    }
}

#[test]
fn a_tag_before_an_encrypted_value_is_refused_as_what_the_mac_does_not_see() {
    if servers::left_out("a_tag_before_an_encrypted_value_is_refused_as_what_the_mac_does_not_see") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let ours = key(folder.path(), "ours");
    let identities = Identities::parse([("ours", ours.file.as_str())]).unwrap();
    let canary = Canary::new();
    let text = encrypted(
        folder.path(),
        &format!("age: {}", ours.public),
        "plain.yaml",
        &format!("a: aHVudGVyMg==\nb: {}\n", canary.word),
    );
    assert!(decrypt(&text, &identities).is_ok());
    // Go reads no value of YAML's other types from an encrypted one, and drops `!!str` and tags of one's own. We keep what we do not
    // change, and such a tag would be kept before the clear value.
    for (tag, by_sops) in [
        ("!!binary", false),
        ("!!int", false),
        ("!!float", false),
        ("!!bool", false),
        ("!!timestamp", false),
        ("!!str", true),
        ("!own", true),
    ] {
        let tagged = text.replacen("a: ENC", &format!("a: {tag} ENC"), 1);
        assert_ne!(tagged, text);
        std::fs::write(folder.path().join("tagged.yaml"), &tagged).unwrap();
        let theirs = Command::new(servers::sops())
            .current_dir(folder.path())
            .args(["decrypt", "tagged.yaml"])
            .env("HOME", folder.path())
            .env("SOPS_AGE_KEY", &ours.file)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&theirs.stderr);
        assert_eq!(theirs.status.success(), by_sops, "{tag}: {said}");
        let error = decrypt(&tagged, &identities).map(|_| ()).expect_err(tag);
        assert!(error.to_string().contains("changed by hand"), "{tag}: {error}");
        canary.assert_absent(&format!("{error} {error:?}"));
    }
}

#[test]
fn mac_only_encrypted_cannot_be_dropped_or_added() {
    if servers::left_out("mac_only_encrypted_cannot_be_dropped_or_added") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let ours = key(folder.path(), "ours");
    let identities = Identities::parse([("ours", ours.file.as_str())]).unwrap();
    let line = "    mac_only_encrypted: true\n";
    let rule = format!("encrypted_regex: ^b$, age: {}", ours.public);
    let canary = Canary::new();
    let plain = format!("a: x\nb: {}\n", canary.word);
    let with = encrypted(
        folder.path(),
        &format!("mac_only_encrypted: true, {rule}"),
        "plain.yaml",
        &plain,
    );
    let without = encrypted(folder.path(), &rule, "plain.yaml", &plain);
    assert!(with.contains(line) && !without.contains(line));
    assert!(decrypt(&with.replace("a: x", "a: z"), &identities).is_ok());
    for tampered in [with.replace(line, ""), format!("{without}{line}")] {
        let error = decrypt(&tampered, &identities).map(|_| ()).unwrap_err();
        canary.assert_absent(&format!("{error} {error:?}"));
    }
}
