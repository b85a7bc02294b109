//! `couchestor secrets`, through the binary, on files of the real sops command, and as git's textconv driver.

use crate::support::canary::Canary;
use crate::support::{say, servers};
use std::path::Path;
use std::process::{Command, Output};

const SEALED: &str = "ENC[AES256_GCM,";

/// Where errors point to.
mod errors;

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
    let rows = [
        ["a.sops.yaml", &ours.1, "2", "yes"],
        ["b.sops.yaml", &ours.1, "2", "yes"],
        ["broken.sops.yaml", &ours.1, "2", "broken"],
        ["c.env", &ours.1, "1", "yes"],
        ["forgotten.sops.yaml", "nobody", "2", "plain"],
        ["plain.yaml", "nobody", "-", "plain"],
        ["strange.sops.yaml", &other.1, "2", "no"],
    ];
    let head = ["FILE", "ENCRYPTED TO", "RULE", "OPENS"];
    // The longest cell of a column, and three blanks.
    let (file, to) = ("forgotten.sops.yaml".len() + 3, ours.1.len() + 3);
    let table: Vec<String> = [head]
        .iter()
        .chain(&rows)
        .map(|[a, b, c, d]| format!("{a:file$}{b:to$}{c:7}{d}"))
        .collect();
    let printed = String::from_utf8_lossy(&checked.stdout).into_owned();
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines[..table.len()], table, "{told}");
    assert_eq!(lines.len() - table.len(), 4, "a line for each finding: {told}");
    say(&format!(
        "secrets check: {} files of the sops command, 4 findings",
        rows.len()
    ));
    canary.assert_absent(&told);
    let json = couchestor(folder, Some(&ours.0), &["check", ".", "-o", "json"]);
    assert_eq!(json.status.code(), Some(1));
    canary.assert_absent(&text(&json));
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    let files: Vec<serde_json::Value> = rows
        .iter()
        .map(|[file, to, rule, opens]| {
            serde_json::json!({"file": file, "encryptedTo": to, "rule": rule, "opens": opens})
        })
        .collect();
    assert_eq!(json["files"], serde_json::json!(files));
    let found: Vec<&str> = json["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["file"].as_str().unwrap())
        .collect();
    assert_eq!(
        found,
        [
            "broken.sops.yaml",
            "forgotten.sops.yaml",
            "plain.yaml",
            "strange.sops.yaml"
        ]
    );

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
    let (mut told_of, mut harmless) = (0, 0);
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
        match words.is_empty() {
            true => harmless += 1,
            false => told_of += 1,
        }
    }
    say(&format!(
        "secrets check: {told_of} files that cannot be read told of, {harmless} harmless ones let be"
    ));
}

#[test]
fn a_difference_is_told_by_path_and_type_and_no_secret_of_either_side_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let canary = Canary::new();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let mut compared = 0;
    for (old, new, rows) in [
        // A key with a dot is not the way through two keys.
        (
            "{a.b: 1, a: {b: 2}}",
            "{a.b: 3, a: {b: 2}}",
            &["changed a\\.b 1 3"][..],
        ),
        ("{a.b: 1}", "{a: {b: 1}}", &["added a.b 1", "removed a\\.b 1"]),
        ("{a: \"42\"}", "{a: 42}", &["changed a \"42\" 42"]),
        ("{a: 'yes'}", "{a: yes}", &["changed a \"yes\" yes"]),
        ("{a: \"\"}", "{a: }", &["changed a \"\" ~"]),
        ("{a: 'text'}", "{a: text}", &[]),
        ("{a: 1, m: {}}", "{a: 1}", &["removed m {}"]),
        ("{a: 1, m: {}}", "{a: 1, m: []}", &["changed m {} []"]),
        ("[a]", "[a, b]", &["added 1 b"]),
    ] {
        write("a.yaml", old);
        write("b.yaml", new);
        let told = couchestor(folder.path(), None, &["diff", "a.yaml", "b.yaml"]);
        let found: Vec<String> = text(&told)
            .lines()
            .skip(1)
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(found, rows, "{old} against {new}");
        compared += 1;
        assert_eq!(
            told.status.code(),
            Some(i32::from(!rows.is_empty())),
            "{old} against {new}"
        );
    }
    // A plain file beside its sealed form: what is secret in one is secret in both.
    let sealer = crate::support::seal::Sealer::new();
    let plain = format!("kind: Mine\npassword: {}\n", canary.word);
    write("plain.yaml", &plain);
    write("sealed.yaml", &sealer.yaml(&plain));
    for files in [["plain.yaml", "sealed.yaml"], ["sealed.yaml", "plain.yaml"]] {
        for key in [Some(sealer.key.as_str()), None] {
            let told = couchestor(folder.path(), key, &["diff", files[0], files[1]]);
            canary.assert_absent(&text(&told));
        }
    }
    // Keys that lie in the clear are not shown either, and what one side has not is nothing.
    let identity = sealer.key.lines().find(|line| line.starts_with("AGE-")).unwrap();
    write("key.txt", &format!("{identity}\n"));
    write("none.txt", "");
    for arguments in [&["textconv", "key.txt"][..], &["diff", "none.txt", "key.txt"]] {
        let told = text(&couchestor(folder.path(), None, arguments));
        assert!(!told.contains(identity) && told.contains("•••"), "{told}");
    }
    write("more.yaml", &sealer.yaml(&format!("{plain}other: x\n")));
    let told = couchestor(
        folder.path(),
        Some(&sealer.key),
        &["diff", "sealed.yaml", "more.yaml", "-o", "json"],
    );
    let told: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!(
        told,
        serde_json::json!([{"key": "other", "change": "added", "old": null, "new": "•••"}])
    );
    // Where only one of two opens, both are compared as they stand.
    let sealed = std::fs::read_to_string(folder.path().join("sealed.yaml")).unwrap();
    write("spoiled.yaml", &sealed.replacen(",data:", ",data:AAAA", 1));
    let told = couchestor(
        folder.path(),
        Some(&sealer.key),
        &["diff", "sealed.yaml", "spoiled.yaml", "-o", "json"],
    );
    let told: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!(told.as_array().unwrap().len(), 1, "{told:#}");
    say(&format!("secrets diff: {compared} pairs"));
}

#[test]
fn keys_and_environments_in_plain_text_are_told_outside_of_any_rule() {
    let folder = tempfile::tempdir().unwrap();
    let sealer = crate::support::seal::Sealer::new();
    let identity = sealer.key.lines().find(|line| line.starts_with("AGE-")).unwrap();
    let pem = |what: &str| format!("-----BEGIN {what}-----\nAAAA\n-----END {what}-----\n");
    let (mut told_of, mut harmless) = (0, 0);
    for (name, content, words) in [
        (
            "age.agekey",
            format!("# created\n{identity}\n"),
            "an age identity",
        ),
        ("values.yaml", format!("key: {identity}\n"), "an age identity"),
        ("tls.key", pem("RSA PRIVATE KEY"), "a private key"),
        ("id", pem("OPENSSH PRIVATE KEY"), "a private key"),
        ("gpg.asc", pem("PGP PRIVATE KEY BLOCK"), "a private key"),
        (
            "a.yaml",
            format!("k: |\n  {}", pem("PRIVATE KEY").replace('\n', "\n  ")),
            "a private key",
        ),
        (".env", "# words\nTOKEN=x\n".to_owned(), "an environment"),
        ("prod.env", "A=\nTOKEN='x'\n".to_owned(), "an environment"),
        ("empty.env", "# A=1\nTOKEN=\nB=\"\"\n".to_owned(), ""),
        ("tls.crt", pem("CERTIFICATE"), ""),
        (
            "about.md",
            "Identities begin with AGE-SECRET-KEY-1, keys with BEGIN PRIVATE KEY.\n".to_owned(),
            "",
        ),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        let checked = couchestor(folder.path(), None, &["check", "."]);
        let told = text(&checked);
        let found = told
            .lines()
            .any(|line| line.starts_with(&format!("{name}: ")) && line.contains(words));
        assert_eq!(found, !words.is_empty(), "{name}: {told}");
        assert_eq!(
            checked.status.code(),
            Some(i32::from(!words.is_empty())),
            "{name}: {told}"
        );
        assert!(!told.contains(identity), "{told}");
        std::fs::remove_file(path).unwrap();
        match words.is_empty() {
            true => harmless += 1,
            false => told_of += 1,
        }
    }
    say(&format!(
        "secrets check: {told_of} keys and environments told of, {harmless} harmless files let be"
    ));
}

#[test]
fn a_sealed_secret_is_judged_by_what_it_is_and_not_by_its_ending() {
    let folder = tempfile::tempdir().unwrap();
    let sealed = include_str!("../policies/base/velero-s3.sops.yaml");
    for name in ["a.enc", "a.yaml.sops", "a.sops", "a.yaml", "a"] {
        std::fs::write(folder.path().join(name), sealed).unwrap();
        let kustomization = format!("resources: [{name}]\n");
        std::fs::write(folder.path().join("kustomization.yaml"), kustomization).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_couchestor"));
        command
            .args(["validate", "-o", "json"])
            .arg(folder.path())
            .env("HOME", folder.path())
            .env("SOPS_AGE_KEY", include_str!("../policies/demo.agekey"));
        for name in ["SOPS_AGE_KEY_FILE", "XDG_CONFIG_HOME"] {
            command.env_remove(name);
        }
        let found = text(&command.output().unwrap());
        assert_eq!(found.trim(), "[]", "{name}");
        std::fs::remove_file(folder.path().join(name)).unwrap();
    }
}
