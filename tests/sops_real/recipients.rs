//! Who opens a file of the real sops command: strange recipients beside ours, groups, keys that cannot be used, and the blocks and
//! values of early versions.

use super::bound::sealed;
use super::{Key, key, sops, values};
use crate::support::canary::Canary;
use crate::support::gpg::Gpg;
use crate::support::seal::Sealer;
use crate::support::{say, servers};
use couchestor::formats::sops::{Identities, decrypt, open_file};
use serde_json::json;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::LazyLock;

/// What must be in no error.
static CANARY: LazyLock<Canary> = LazyLock::new(Canary::new);

static PLAIN: LazyLock<String> = LazyLock::new(|| format!("a: {}\nb: 7\n", CANARY.word));

/// What a file says once it is open.
fn clear() -> serde_json::Value {
    json!({"a": CANARY.word, "b": 7})
}

fn identities(keys: &[&Key]) -> Identities {
    Identities::parse(keys.iter().map(|key| ("keys.agekey", key.file.as_str()))).unwrap()
}

/// What opens a text; `Err` in words, which have nothing of it.
fn opened(text: &str, identities: &Identities) -> Result<Vec<serde_json::Value>, String> {
    let clear = decrypt(text, identities).map_err(|error| {
        CANARY.assert_absent(&format!("{error} {error:?}"));
        error.to_string()
    })?;
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
fn what_early_versions_wrote_is_read() {
    if servers::left_out("what_early_versions_wrote_is_read") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let ours = key(folder.path(), "ours");
    // Kinds without a recipient were written as null.
    std::fs::write(folder.path().join("a.json"), clear().to_string()).unwrap();
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
    let opened_file = open_file("b.json", early.as_bytes(), &identities(&[&ours]))
        .unwrap()
        .unwrap();
    assert_eq!(values(opened_file.expose_str().unwrap()), [clear()]);

    // Nonces had twelve bytes.
    let mut sealer = Sealer::new();
    sealer.short_nonces = true;
    let text = sealer.yaml(&PLAIN);
    let iv = text.split(",iv:").nth(1).unwrap().split(',').next().unwrap();
    assert_eq!(iv.len(), 16, "twelve bytes in base64");
    let there = theirs(folder.path(), "c.yaml", &text, &sealer.key);
    assert!(
        there.status.success(),
        "{}",
        String::from_utf8_lossy(&there.stderr)
    );
    let keys = Identities::parse([("k", sealer.key.as_str())]).unwrap();
    assert_eq!(opened(&text, &keys), Ok(vec![clear()]));
}

/// Other tests and benches seal files in this process, since a command for each would take too long.
#[test]
fn what_the_tests_seal_themselves_opens_with_the_sops_command_too() {
    if servers::left_out("what_the_tests_seal_themselves_opens_with_the_sops_command_too") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let sealer = Sealer::new();
    let object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"},
        "stringData": {"a": CANARY.word, "b": "7"}});
    let word = &CANARY.word;
    let files = [
        ("a.yaml", sealer.anew().yaml(&PLAIN)),
        ("b.yaml", sealer.anew().secret(&object)),
        ("c.env", sealer.anew().dotenv(&format!("A={word}\nB=7\n"))),
        ("d.ini", sealer.anew().ini(&format!("[s]\na = {word}\n"))),
        ("e.bin", sealer.anew().binary(word)),
    ];
    let keys = Identities::parse([("k", sealer.key.as_str())]).unwrap();
    for (name, text) in &files {
        let there = theirs(folder.path(), name, text, &sealer.key);
        let said = String::from_utf8_lossy(&there.stderr).into_owned();
        assert!(there.status.success(), "{name}: {said}");
        let there = String::from_utf8(there.stdout).unwrap();
        let here = open_file(name, text.as_bytes(), &keys).unwrap().unwrap();
        let here = here.expose_str().unwrap();
        assert!(there.contains(word) && here.contains(word), "{name}");
        if name.ends_with("yaml") {
            assert_eq!(values(here), values(&there), "{name}");
        }
    }
    say(&format!(
        "sops recipients: {} files of our own sealing open with sops",
        files.len()
    ));
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
    std::fs::write(folder.path().join("plain.yaml"), PLAIN.as_str()).unwrap();
    let text = sops(
        folder.path(),
        &["--config", "rule.yaml", "encrypt", "plain.yaml"],
        None,
    );
    let (mut open, mut shut) = (0, 0);
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
            Ok(found) => {
                assert_eq!(found, [clear()], "{what}");
                assert!(there, "{what}: sops does not open it");
                open += 1;
            }
            Err(told) => {
                assert!(!there, "{what}: sops opens it, and here {told}");
                shut += 1;
                for words in ["2 of the groups", &a.public, &b.public, &c.public] {
                    assert!(told.contains(words), "{what}: {told}");
                }
            }
        }
    }
    say(&format!(
        "sops recipients: {open} sets of groups open a file as with sops, {shut} do not"
    ));
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
        &PLAIN,
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
    let gpg = Gpg::new(folder.join("g"), "open sesame");
    gpg.make("x@example.org", "rsa2048", "encr");
    gpg.secret("x@example.org")
}

#[test]
fn openpgp_keys_of_every_usual_kind_open_what_sops_and_gpg_seal_to_them() {
    if servers::left_out("openpgp_keys_of_every_usual_kind_open_what_sops_and_gpg_seal_to_them") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let gpg = Gpg::new(folder.path().join("g"), "");
    std::fs::write(folder.path().join("plain.yaml"), PLAIN.as_str()).unwrap();
    let stranger = {
        gpg.make("stranger@example.org", "future-default", "default");
        let key = gpg.secret("stranger@example.org");
        Identities::parse([("stranger.asc", key.as_str())]).unwrap()
    };
    let mut kinds = 0;
    for (kind, signs, seals) in [
        ("RSA", "rsa3072", "rsa3072"),
        ("X25519, as gpg makes them by itself", "ed25519", "cv25519"),
        ("ECDH on P-256", "nistp256", "nistp256"),
        ("ECDH on P-384", "nistp384", "nistp384"),
    ] {
        let who = format!("{seals}@example.org");
        gpg.make(&who, signs, "sign");
        let key = gpg.fingerprint(&who);
        gpg.run(&["--quick-add-key", &key, seals, "encr", "never"]);
        let output = Command::new(servers::sops())
            .current_dir(folder.path())
            .args(["encrypt", "--pgp", &key, "plain.yaml"])
            .env("HOME", folder.path())
            .env("GNUPGHOME", &gpg.home)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{kind}: {said}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(
            text.contains("BEGIN PGP MESSAGE") && !text.contains(&CANARY.word),
            "{kind}"
        );
        let secret = gpg.secret(&key);
        let ours = Identities::parse([("key.asc", secret.as_str())]).unwrap();
        assert_eq!(opened(&text, &ours), Ok(vec![clear()]), "{kind}");
        let told = opened(&text, &stranger).unwrap_err();
        assert!(told.contains(&key), "{kind}: {told}");
        kinds += 1;
    }
    say(&format!("sops recipients: {kinds} kinds of OpenPGP keys"));
}

#[test]
fn recipients_of_services_are_skipped_and_named() {
    if servers::left_out("recipients_of_services_are_skipped_and_named") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (ours, other) = (key(folder.path(), "ours"), key(folder.path(), "other"));
    let rule = "encrypted_regex: ''";
    let text = sealed(folder.path(), &ours.public, "a.yaml", &PLAIN, rule);
    let when = "created_at: \"2024-01-01T00:00:00Z\"";
    let mut kinds = 0;
    for (kind, entry) in [
        (
            "kms",
            format!("arn: arn:aws:kms:eu-west-1:1:key/x, {when}, enc: AQICAHh, aws_profile: \"\""),
        ),
        (
            "gcp_kms",
            format!("resource_id: projects/p/locations/global/keyRings/r/cryptoKeys/k, {when}, enc: CiQA"),
        ),
        (
            "azure_kv",
            format!("vault_url: https://v.vault.azure.net, name: k, version: \"1\", {when}, enc: x"),
        ),
        (
            "hc_vault",
            format!(
                "vault_address: https://vault.example.org, engine_path: sops, key_name: k, {when}, enc: vault:v1:x"
            ),
        ),
        ("hckms", format!("key_id: \"eu-west-1:x\", {when}, enc: x")),
    ] {
        let beside = text.replacen("sops:\n", &format!("sops:\n    {kind}: [{{{entry}}}]\n"), 1);
        assert_ne!(beside, text);
        // The sops command passes them over as well when another recipient opens the file.
        let there = theirs(folder.path(), "beside.yaml", &beside, &ours.file);
        let said = String::from_utf8_lossy(&there.stderr).into_owned();
        assert!(there.status.success(), "{kind}: {said}");
        assert_eq!(
            opened(&beside, &identities(&[&ours])),
            Ok(vec![clear()]),
            "{kind}"
        );
        let told = opened(&beside, &identities(&[&other])).unwrap_err();
        for words in [ours.public.clone(), format!("recipients of kind {kind}")] {
            assert!(told.contains(&words), "{kind}: {told}");
        }
        kinds += 1;
    }
    say(&format!(
        "sops recipients: {kinds} kinds of services passed over as sops does, and named"
    ));
}

/// The places in which the sops command looks for ssh keys are places in which our commands look, and a key there that nobody can
/// use stands in nobody's way.
#[test]
fn commands_find_ssh_keys_where_sops_finds_them() {
    if servers::left_out("commands_find_ssh_keys_where_sops_finds_them") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    std::fs::create_dir_all(home.join(".ssh")).unwrap();
    let keygen = |name: &str, kind: &str, phrase: &str| {
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", kind, "-N", phrase, "-C", "x", "-f"])
            .arg(folder.path().join(name))
            .status();
        assert!(made.unwrap().success());
        std::fs::read_to_string(folder.path().join(format!("{name}.pub"))).unwrap()
    };
    keygen("locked", "ed25519", "open sesame");
    let write = |to: &Path, from: &str| {
        std::fs::copy(folder.path().join(from), to).unwrap();
    };
    for (name, kind, usual) in [
        ("elliptic", "ed25519", ".ssh/id_ed25519"),
        ("rsa", "rsa", ".ssh/id_rsa"),
    ] {
        let public = keygen(name, kind, "");
        let repository = folder.path().join(format!("{name}-repository"));
        std::fs::create_dir_all(&repository).unwrap();
        let plain = format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: s, namespace: n}}\nstringData: {{a: {}}}\n",
            CANARY.word
        );
        let rule = "encrypted_regex: '^stringData$'";
        let quoted = format!("'{}'", public.trim());
        let text = sealed(folder.path(), &quoted, "a.yaml", &plain, rule);
        std::fs::write(repository.join("a.yaml"), text).unwrap();
        let check = |variable: Option<&str>| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_couchestor"));
            command.arg("validate").arg(&repository).env("HOME", &home);
            for one in [
                "SOPS_AGE_KEY",
                "SOPS_AGE_KEY_FILE",
                "SOPS_AGE_SSH_PRIVATE_KEY_FILE",
                "XDG_CONFIG_HOME",
            ] {
                command.env_remove(one);
            }
            if let Some(key) = variable {
                command.env("SOPS_AGE_SSH_PRIVATE_KEY_FILE", folder.path().join(key));
            }
            let output = command.output().unwrap();
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said).into_owned();
            CANARY.assert_absent(&said);
            (output.status.code(), said)
        };
        let (code, said) = check(None);
        assert!(
            code == Some(1) && said.contains("no key opens it"),
            "{name}: {said}"
        );
        // One with a passphrase is named, and no more.
        write(&home.join(usual), "locked");
        let (code, said) = check(None);
        assert!(
            code == Some(1) && said.contains(usual) && said.contains("passphrase"),
            "{name}: {said}"
        );
        assert_eq!(check(Some(name)).0, Some(0), "{name}, named by the variable");
        write(&home.join(usual), name);
        assert_eq!(check(None).0, Some(0), "{name}, in its usual place");
        // What somebody names must be a key that can be used.
        let (code, said) = check(Some("locked"));
        assert!(code == Some(1) && said.contains("passphrase"), "{name}: {said}");
        std::fs::remove_file(home.join(usual)).unwrap();
    }
}
