//! `couchestor secrets`, through the binary, on files of the real sops command, and as git's textconv driver.

use crate::support::canary::Canary;
use crate::support::servers;
use std::path::Path;
use std::process::{Command, Output};

const SEALED: &str = "ENC[AES256_GCM,";

/// `.sops.yaml` read by us and by sops.
mod rules;

fn couchestor(folder: &Path, key: Option<&str>, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_couchestor"));
    command
        .current_dir(folder)
        .arg("secrets")
        .args(arguments)
        .env("HOME", folder);
    for name in ["SOPS_AGE_KEY", "SOPS_AGE_KEY_FILE", "XDG_CONFIG_HOME"] {
        command.env_remove(name);
    }
    if let Some(key) = key {
        command.env("SOPS_AGE_KEY", key);
    }
    command.output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn sops(folder: &Path, arguments: &[&str]) {
    let output = Command::new(servers::sops())
        .current_dir(folder)
        .args(arguments)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn git(folder: &Path, key: &str, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .current_dir(folder)
        .args(["-c", "user.name=Anna", "-c", "user.email=anna@example.org"])
        .args(arguments)
        .env("HOME", folder)
        .env("SOPS_AGE_KEY", key)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn check_diff_and_textconv_say_what_people_need_and_no_secret() {
    if servers::left_out("check_diff_and_textconv_say_what_people_need_and_no_secret") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let [ours, other] = ["ours", "other"].map(|name| {
        let made = Command::new(servers::age_keygen())
            .current_dir(folder)
            .args(["-o", name])
            .output()
            .unwrap();
        assert!(made.status.success());
        let key = std::fs::read_to_string(folder.join(name)).unwrap();
        std::fs::remove_file(folder.join(name)).unwrap();
        let public = key
            .lines()
            .find_map(|line| line.strip_prefix("# public key: "))
            .unwrap()
            .to_owned();
        (key, public)
    });
    let canary = Canary::new();
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    git(folder, &ours.0, &["init", "-q"]);
    write(
        ".sops.yaml",
        &format!(
            "creation_rules:\n- path_regex: \\.env$\n  age: {}\n- path_regex: \\.sops\\.yaml$\n  encrypted_regex: ^stringData$\n  age: {}\n",
            ours.1, ours.1
        ),
    );
    let secret = |name: &str, more: &str| {
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata:\n  name: {name}\nstringData:\n  token: {}\n{more}",
            canary.secret
        )
    };
    write("a.sops.yaml", &secret("a", ""));
    write("b.sops.yaml", &secret("b", "  more: x\n"));
    write("c.env", &format!("TOKEN={}\n", canary.secret));
    write("strange.sops.yaml", &secret("strange", ""));
    for name in ["a.sops.yaml", "b.sops.yaml", "c.env"] {
        sops(folder, &["encrypt", "--in-place", name]);
    }
    sops(
        folder,
        &[
            "encrypt",
            "--in-place",
            "--encrypted-regex",
            "^stringData$",
            "--age",
            &other.1,
            "strange.sops.yaml",
        ],
    );
    let clean = couchestor(folder, Some(&ours.0), &["check", "a.sops.yaml"]);
    assert_eq!(clean.status.code(), Some(0), "{}", text(&clean));
    write("forgotten.sops.yaml", &secret("forgotten", ""));
    write("plain.yaml", &secret("plain", ""));
    write("config.yaml", "kind: ConfigMap\n");
    let broken = std::fs::read_to_string(folder.join("b.sops.yaml"))
        .unwrap()
        .replace("name: b", "name: changed");
    write("broken.sops.yaml", &broken);
    let mac = broken
        .lines()
        .position(|line| line.trim_start().starts_with("mac: "));
    let mac = format!("{}:5", mac.unwrap() + 1);
    let checked = couchestor(folder, Some(&ours.0), &["check", "."]);
    let told = text(&checked);
    assert_eq!(checked.status.code(), Some(1));
    for words in [
        "forgotten.sops.yaml: rule 2 of .sops.yaml is for it, and it is not encrypted",
        "plain.yaml: it holds a Secret in plain text",
        "strange.sops.yaml: its recipients are not those of rule 2",
        &format!("broken.sops.yaml:{mac}: the MAC does not match"),
        &ours.1,
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    let row = |name: &str| {
        told.lines()
            .find(|line| line.starts_with(name))
            .unwrap_or_default()
            .to_owned()
    };
    assert!(
        row("a.sops.yaml").ends_with("2   OPENS") || row("a.sops.yaml").ends_with("yes"),
        "{told}"
    );
    assert!(
        row("c.env").contains("1") && row("c.env").ends_with("yes"),
        "{told}"
    );
    assert!(row("strange.sops.yaml  ").ends_with("no"), "{told}");
    assert!(!told.contains("config.yaml"), "{told}");
    canary.assert_absent(&told);

    let different = couchestor(folder, Some(&ours.0), &["diff", "a.sops.yaml", "b.sops.yaml"]);
    let told = text(&different);
    assert_eq!(different.status.code(), Some(1));
    assert!(
        told.contains("stringData.more") && told.contains("metadata.name"),
        "{told}"
    );
    assert!(
        !told.contains("stringData.token"),
        "equal values are no difference: {told}"
    );
    canary.assert_absent(&told);
    // The same key with another value, and the same value sealed anew.
    let fresh = Canary::new();
    for (name, value) in [("a2.sops.yaml", &fresh.secret), ("a3.sops.yaml", &canary.secret)] {
        write(name, &secret("a", "").replace(&canary.secret, value));
        sops(folder, &["encrypt", "--in-place", name]);
    }
    let changed = couchestor(folder, Some(&ours.0), &["diff", "a.sops.yaml", "a2.sops.yaml"]);
    let told = text(&changed);
    assert_eq!(changed.status.code(), Some(1), "{told}");
    let rows: Vec<&str> = told.lines().filter(|line| line.contains("stringData")).collect();
    assert!(
        rows.len() == 1 && rows[0].starts_with("changed") && rows[0].contains("stringData.token"),
        "{told}"
    );
    assert_eq!(
        rows[0].matches("•••").count(),
        2,
        "both values are masked: {told}"
    );
    canary.assert_absent(&told);
    fresh.assert_absent(&told);
    let anew = couchestor(folder, Some(&ours.0), &["diff", "a.sops.yaml", "a3.sops.yaml"]);
    assert_eq!((anew.status.code(), text(&anew)), (Some(0), String::new()));
    let same = couchestor(folder, Some(&ours.0), &["diff", "a.sops.yaml", "a.sops.yaml"]);
    assert_eq!((same.status.code(), text(&same)), (Some(0), String::new()));
    let blind = couchestor(folder, None, &["diff", "a.sops.yaml", "b.sops.yaml"]);
    assert!(text(&blind).contains("it does not open") && text(&blind).contains("stringData.token"));

    // As git's driver: a value that is sealed anew is no change, another value is.
    let driver = format!("{} secrets textconv", env!("CARGO_BIN_EXE_couchestor"));
    git(folder, &ours.0, &["config", "diff.couchestor.textconv", &driver]);
    write(".gitattributes", "*.sops.yaml diff=couchestor\n");
    git(folder, &ours.0, &["add", "a.sops.yaml", ".gitattributes"]);
    git(folder, &ours.0, &["commit", "-q", "-m", "first"]);
    write("a.sops.yaml", &secret("a", "  fresh: new\n"));
    sops(folder, &["encrypt", "--in-place", "a.sops.yaml"]);
    let shown = git(folder, &ours.0, &["diff", "--", "a.sops.yaml"]);
    let changed: Vec<&str> = shown
        .lines()
        .filter(|line| line.starts_with(['+', '-']) && !line.starts_with("+++") && !line.starts_with("---"))
        .collect();
    assert_eq!(changed.len(), 1, "{shown}");
    assert!(changed[0].starts_with("+stringData.fresh: •••"), "{shown}");
    canary.assert_absent(&shown);
}

#[test]
fn the_example_is_encrypted_as_its_rules_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let checked = couchestor(
        root,
        None,
        &["check", "policies", "--age-key", "policies/demo.agekey"],
    );
    let told = text(&checked);
    assert_eq!(checked.status.code(), Some(0), "{told}");
    assert!(
        told.contains("policies/base/velero-s3.sops.yaml") && told.contains("yes"),
        "{told}"
    );
}

/// Bytes with a secret in the place of the word that stands for it.
fn planted(bytes: &[u8], canary: &Canary) -> Vec<u8> {
    const WORD: &[u8] = b"canary";
    match bytes.windows(WORD.len()).position(|part| part == WORD) {
        Some(at) => [&bytes[..at], canary.word.as_bytes(), &bytes[at + WORD.len()..]].concat(),
        None => bytes.to_vec(),
    }
}

#[test]
fn secrets_that_cannot_be_read_are_told_outside_of_any_rule() {
    let folder = tempfile::tempdir().unwrap();
    let sealed = include_str!("../policies/base/velero-s3.sops.yaml");
    let block = sealed.find("sops:").unwrap();
    let canary = Canary::new();
    let utf16: Vec<u8> = format!("kind: Secret\nstringData: {{a: {}}}\n", canary.word)
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let large = format!("{{\"kind\": \"Secret\"}}{}", " ".repeat(6 << 20));
    let plain = "it seems to hold a Secret in plain text, and is no YAML";
    for (name, bytes, words) in [
        (
            "broken.yaml",
            &b"kind: Secret\nstringData: {a: [canary\n"[..],
            plain,
        ),
        (
            "broken.json",
            b"{\"kind\": \"Secret\", \"data\": {\"a\": \"canary\"",
            plain,
        ),
        ("quoted.yaml", b"kind: 'Secret'\nstringData: {a: [canary\n", plain),
        (
            "latin.yaml",
            b"kind: Secret\nstringData: {a: canary\xe4}\n",
            plain,
        ),
        ("utf16.yaml", &utf16, plain),
        ("large.json", large.as_bytes(), "bytes"),
        ("lost.yaml", &sealed.as_bytes()[..block], "no `sops` block"),
        (
            "mixed.yaml",
            b"a: ENC[AES256_GCM,data:AA==]\nb: [\n",
            "it holds encrypted values, and is no YAML",
        ),
        ("ConfigMap.yaml", b"kind: ConfigMap\ndata: [\n", ""),
        ("SecretStore.yaml", b"kind: SecretStore\ndata: [\n", ""),
        ("about.md", b"Write `kind: Secret` and: [\n\t- so", ""),
        ("bytes", b"\xff\xfe\x00", ""),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, planted(bytes, &canary)).unwrap();
        for target in [".", name] {
            let checked = couchestor(folder.path(), None, &["check", target]);
            let told = text(&checked);
            assert_eq!(
                checked.status.code(),
                Some(i32::from(!words.is_empty())),
                "{name}: {told}"
            );
            let found = told
                .lines()
                .any(|line| line.starts_with(&format!("{name}:")) && line.contains(words));
            assert_eq!(found, !words.is_empty(), "{name}: {told}");
            canary.assert_absent(&told);
        }
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn errors_of_encrypted_files_point_to_the_line_that_they_are_about() {
    let sealed = include_str!("../policies/base/velero-s3.sops.yaml");
    let key = include_str!("../policies/demo.agekey");
    let line_of = |text: &str, start: &str| {
        let found = text.lines().position(|line| line.trim_start().starts_with(start));
        found.unwrap_or_else(|| panic!("no {start}")) + 1
    };
    let value = sealed.lines().find(|line| line.contains(SEALED)).unwrap();
    let (value_line, value_column) = (
        line_of(sealed, value.trim_start()),
        value.find(SEALED).unwrap() + 1,
    );
    let flipped = {
        let (at, letter) = sealed
            .match_indices(SEALED)
            .next()
            .map(|(at, _)| (at + SEALED.len() + 6, 'A'))
            .unwrap();
        let other = if sealed[at..].starts_with(letter) {
            "B"
        } else {
            "A"
        };
        format!("{}{other}{}", &sealed[..at], &sealed[at + 1..])
    };
    let canary = Canary::new();
    let plain = sealed.replacen(&value[value.find(SEALED).unwrap()..], &canary.word, 1);
    let renamed = sealed.replacen("name: ", "name: other-", 1);
    let without_mac = {
        let mac = sealed
            .lines()
            .find(|line| line.trim_start().starts_with("mac: "))
            .unwrap();
        sealed.replacen(&format!("{mac}\n"), "", 1)
    };
    let block = line_of(sealed, "sops:");
    let inside = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &renamed);
    let inside = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: a, namespace: b}}\ndata:\n  a.yaml: {inside}\n"
    );
    for (what, text, keys, line, column, words) in [
        ("no key", sealed, None, block, 1, "no key opens it"),
        (
            "MAC",
            &renamed,
            Some(key),
            line_of(&renamed, "mac: "),
            5,
            "the MAC does not match",
        ),
        (
            "value",
            &flipped,
            Some(key),
            value_line,
            value_column,
            "does not decrypt",
        ),
        ("plain", &plain, Some(key), value_line, 1, "should be encrypted"),
        ("no MAC", &without_mac, Some(key), block, 1, "has no `mac`"),
        (
            "no block",
            &sealed[..sealed.find("sops:").unwrap()],
            Some(key),
            value_line,
            value_column,
            "no `sops` block",
        ),
        (
            "inside",
            &inside,
            Some(key),
            5,
            1,
            "inside of this value: the MAC does not match",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.yaml"), text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_couchestor"));
        command
            .current_dir(folder.path())
            .args(["validate", ".", "-o", "json"]);
        command
            .env("HOME", folder.path())
            .env("SOPS_AGE_KEY", keys.unwrap_or_default());
        for name in ["SOPS_AGE_KEY_FILE", "XDG_CONFIG_HOME"] {
            command.env_remove(name);
        }
        let output = command.output().unwrap();
        let told = self::text(&output);
        let findings: serde_json::Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{what}: {told}"));
        let one = &findings[0];
        assert_eq!(findings.as_array().map(Vec::len), Some(1), "{what}: {told}");
        assert!(
            one["message"].as_str().unwrap_or_default().contains(words),
            "{what}: {told}"
        );
        let place = (one["place"]["line"].as_u64(), one["place"]["column"].as_u64());
        assert_eq!(place, (Some(line as u64), Some(column as u64)), "{what}: {told}");
        canary.assert_absent(&told);
        assert!(!told.contains("AGE-SECRET"), "{what}: {told}");
    }
}
