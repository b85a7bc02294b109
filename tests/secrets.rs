//! `couchestor secrets`, through the binary, on files of the real sops command, and as git's textconv driver.

use crate::support::canary::Canary;
use crate::support::servers;
use std::path::Path;
use std::process::{Command, Output};

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
    let checked = couchestor(folder, Some(&ours.0), &["check", "."]);
    let told = text(&checked);
    assert_eq!(checked.status.code(), Some(1));
    for words in [
        "forgotten.sops.yaml: rule 2 of .sops.yaml is for it, and it is not encrypted",
        "plain.yaml: it holds a Secret in plain text",
        "strange.sops.yaml: its recipients are not those of rule 2",
        "broken.sops.yaml: the MAC does not match",
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
    assert!(text(&blind).contains("no key opens it") && text(&blind).contains("stringData.token"));

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
