//! Who opens a file of the real sops command: strange recipients beside ours, groups, keys that cannot be used, and the blocks and
//! values of early versions.

use super::bound::sealed;
use super::{Key, key, sops, values};
use crate::support::seal::Sealer;
use crate::support::servers;
use couchestor::formats::sops::{Identities, decrypt, open_file};
use serde_json::json;
use std::path::Path;
use std::process::{Command, Output};

const PLAIN: &str = "a: canary\nb: 7\n";

fn identities(keys: &[&Key]) -> Identities {
    Identities::parse(keys.iter().map(|key| ("keys.agekey", key.file.as_str()))).unwrap()
}

/// What opens a text; `Err` in words.
fn opened(text: &str, identities: &Identities) -> Result<Vec<serde_json::Value>, String> {
    let clear = decrypt(text, identities).map_err(|error| error.to_string())?;
    Ok(values(clear.expose_str().unwrap()))
}

/// Whether the sops command opens a file with a key.
fn theirs(folder: &Path, name: &str, text: &str, key: &str) -> Output {
    std::fs::write(folder.join(name), text).unwrap();
    Command::new(servers::sops())
        .current_dir(folder)
        .args(["decrypt", name])
        .env("HOME", folder)
        .env("SOPS_AGE_KEY", key)
        .env_remove("SOPS_AGE_KEY_FILE")
        .output()
        .unwrap()
}

#[test]
fn recipients_that_need_a_service_do_not_stand_in_the_way() {
    if servers::left_out("recipients_that_need_a_service_do_not_stand_in_the_way") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (ours, other) = (key(folder.path(), "ours"), key(folder.path(), "other"));
    let text = sealed(
        folder.path(),
        &ours.public,
        "a.yaml",
        PLAIN,
        "encrypted_regex: ''",
    );
    let kms = "sops:\n    kms:\n        - arn: arn:aws:kms:eu-west-1:1:key/x\n          created_at: \"2024-01-01T00:00:00Z\"\n          \
        enc: AQICAHh\n          aws_profile: \"\"\n    hc_vault:\n        - vault_address: https://vault.example.org\n          \
        engine_path: sops\n          key_name: k\n          created_at: \"2024-01-01T00:00:00Z\"\n          enc: vault:v1:x\n";
    let beside = text.replacen("sops:\n", kms, 1);
    assert_ne!(beside, text);
    let there = theirs(folder.path(), "beside.yaml", &beside, &ours.file);
    assert!(
        there.status.success(),
        "{}",
        String::from_utf8_lossy(&there.stderr)
    );
    assert_eq!(
        opened(&beside, &identities(&[&ours])),
        Ok(vec![json!({"a": "canary", "b": 7})])
    );
    let told = opened(&beside, &identities(&[&other])).unwrap_err();
    for words in [
        ours.public.as_str(),
        "recipients of kind kms",
        "recipients of kind hc_vault",
    ] {
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn what_early_versions_wrote_is_read() {
    if servers::left_out("what_early_versions_wrote_is_read") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let ours = key(folder.path(), "ours");
    // Kinds without a recipient were written as null.
    std::fs::write(folder.path().join("a.json"), "{\"a\": \"canary\", \"b\": 7}").unwrap();
    let text = sops(folder.path(), &["encrypt", "--age", &ours.public, "a.json"], None);
    let nulls =
        "\"sops\": {\"kms\": null, \"gcp_kms\": null, \"azure_kv\": null, \"hc_vault\": null, \"pgp\": null,";
    let early = text.replacen("\"sops\": {", nulls, 1);
    assert_ne!(early, text);
    assert!(
        theirs(folder.path(), "b.json", &early, &ours.file)
            .status
            .success()
    );
    let clear = open_file("b.json", early.as_bytes(), &identities(&[&ours]))
        .unwrap()
        .unwrap();
    assert_eq!(
        values(clear.expose_str().unwrap()),
        [json!({"a": "canary", "b": 7})]
    );

    // Nonces had twelve bytes.
    let mut sealer = Sealer::new();
    sealer.short_nonces = true;
    let text = sealer.yaml(PLAIN);
    let iv = text.split(",iv:").nth(1).unwrap().split(',').next().unwrap();
    assert_eq!(iv.len(), 16, "twelve bytes in base64");
    let there = theirs(folder.path(), "c.yaml", &text, &sealer.key);
    assert!(
        there.status.success(),
        "{}",
        String::from_utf8_lossy(&there.stderr)
    );
    let keys = Identities::parse([("k", sealer.key.as_str())]).unwrap();
    assert_eq!(opened(&text, &keys), Ok(vec![json!({"a": "canary", "b": 7})]));
}

#[test]
fn a_file_of_several_groups_opens_with_enough_of_them_only() {
    if servers::left_out("a_file_of_several_groups_opens_with_enough_of_them_only") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let [a, b, c] = ["a", "b", "c"].map(|name| key(folder.path(), name));
    let config = format!(
        "creation_rules:\n- shamir_threshold: 2\n  key_groups:\n  - age: [{}]\n  - age: [{}]\n  - age: [{}]\n",
        a.public, b.public, c.public
    );
    std::fs::write(folder.path().join("rule.yaml"), config).unwrap();
    std::fs::write(folder.path().join("plain.yaml"), PLAIN).unwrap();
    let text = sops(
        folder.path(),
        &["--config", "rule.yaml", "encrypt", "plain.yaml"],
        None,
    );
    for (what, keys) in [
        ("the first", vec![&a]),
        ("the last", vec![&c]),
        ("one twice", vec![&b, &b]),
        ("two", vec![&a, &c]),
        ("the others", vec![&c, &b]),
        ("all", vec![&a, &b, &c]),
    ] {
        let files: String = keys.iter().map(|key| key.file.as_str()).collect();
        let there = theirs(folder.path(), "secret.yaml", &text, &files)
            .status
            .success();
        let here = opened(&text, &identities(&keys));
        match here {
            Ok(clear) => {
                assert_eq!(clear, [json!({"a": "canary", "b": 7})], "{what}");
                assert!(there, "{what}: sops does not open it");
            }
            Err(told) => {
                assert!(!there, "{what}: sops opens it, and here {told}");
                for words in ["2 of the groups", &a.public, &b.public, &c.public] {
                    assert!(told.contains(words), "{what}: {told}");
                }
            }
        }
    }
}

#[test]
fn keys_that_cannot_be_used_are_passed_over_and_named_when_they_may_be_the_one() {
    if servers::left_out("keys_that_cannot_be_used_are_passed_over_and_named_when_they_may_be_the_one") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (ours, other) = (key(folder.path(), "ours"), key(folder.path(), "other"));
    let text = sealed(
        folder.path(),
        &ours.public,
        "a.yaml",
        PLAIN,
        "encrypted_regex: ''",
    );
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "open sesame", "-C", "x", "-f"])
        .arg(folder.path().join("ssh"))
        .status();
    assert!(made.unwrap().success());
    let ssh = std::fs::read_to_string(folder.path().join("ssh")).unwrap();
    let pgp = locked_openpgp_key(folder.path());
    for (name, file, words) in [
        ("ssh.agekey", ssh.as_str(), "ssh key with a passphrase"),
        ("key.asc", &pgp, "an OpenPGP key with a passphrase"),
        (
            "yubikey.agekey",
            "AGE-PLUGIN-YUBIKEY-1QQPQQQQ\n",
            "an identity of an age plugin",
        ),
    ] {
        let with = |key: &Key| Identities::parse([(name, file), ("k.agekey", key.file.as_str())]).unwrap();
        assert!(opened(&text, &with(&ours)).is_ok(), "{name} stands in the way");
        let told = opened(&text, &with(&other)).unwrap_err();
        assert!(
            told.contains(&ours.public) && told.contains(name) && told.contains(words),
            "{name}: {told}"
        );
        let alone = Identities::parse([(name, file)]).map(|_| ()).unwrap_err();
        assert!(alone.contains(name) && alone.contains(words), "{alone}");
    }
}

/// An armored private key that gpg keeps behind a passphrase.
fn locked_openpgp_key(folder: &Path) -> String {
    let home = folder.join("g");
    std::fs::create_dir(&home).unwrap();
    std::fs::set_permissions(&home, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let gpg = |arguments: &[&str]| {
        let output = Command::new("gpg")
            .env("GNUPGHOME", &home)
            .args([
                "--batch",
                "--quiet",
                "--pinentry-mode",
                "loopback",
                "--passphrase",
                "open sesame",
            ])
            .args(arguments)
            .output()
            .expect("this test needs gnupg");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    };
    gpg(&[
        "--quick-generate-key",
        "x@example.org",
        "rsa2048",
        "encr",
        "never",
    ]);
    let key = gpg(&["--armor", "--export-secret-keys"]);
    let _ = Command::new("gpgconf")
        .env("GNUPGHOME", &home)
        .args(["--kill", "gpg-agent"])
        .output();
    key
}
