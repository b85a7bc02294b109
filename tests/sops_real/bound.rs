//! What a MAC does not bind is refused where no signature vouches for it, and what is encrypted inside of a Secret is opened.

use super::{key, sops};
use crate::support::canary::Canary;
use crate::support::servers;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use couchestor::decrypt::{ClearCache, Vouched, decrypt};
use couchestor::formats::sops::{Identities, fingerprint, open_inside};
use couchestor::model::diagnostic::{Diagnostic, Severity};
use couchestor::model::ids::{BlobId, Revision};
use couchestor::model::tree::{Checkout, ClearTree, Entry, EntryKind};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

/// What must be in no error.
static CANARY: LazyLock<Canary> = LazyLock::new(Canary::new);

/// What is wrong, which has nothing of what was encrypted.
fn told_clean(told: Vec<Diagnostic>) -> Vec<Diagnostic> {
    CANARY.assert_absent(&format!("{told:?}"));
    CANARY.assert_absent(&told.iter().map(ToString::to_string).collect::<String>());
    told
}

/// Reads a commit of one file.
pub(super) fn read(
    name: &str,
    text: &str,
    identities: &Identities,
    vouched: Vouched,
) -> Result<ClearTree, Vec<Diagnostic>> {
    let blob = BlobId(fingerprint(text.as_bytes()));
    let entry = Entry {
        blob,
        kind: EntryKind::File,
    };
    let checkout = Checkout {
        revision: Revision {
            branch: "main".into(),
            commit: "0123456789012345678901234567890123456789".into(),
        },
        entries: BTreeMap::from([(format!("p/{name}"), entry)]),
        introduced: BTreeMap::new(),
        removed: BTreeMap::new(),
    };
    let bytes = |_: &BlobId| Ok(text.as_bytes().to_vec());
    decrypt(
        &checkout,
        "p",
        "p/assignments",
        &bytes,
        identities,
        vouched,
        &mut ClearCache::default(),
    )
    .map_err(|refused| told_clean(refused.diagnostics))
}

const POLICY: &str = "apiVersion: storage.billyronks.io/v1\nkind: StoragePolicy\nmetadata:\n  name: p\nspec:\n  highWatermarkIOPS: 5000\n  lowWatermarkIOPS: 500\n  storageClassName: m\n";
static SECRET: LazyLock<String> = LazyLock::new(|| {
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: s\nstringData:\n  a: {}\n",
        CANARY.word
    )
});

#[test]
fn what_no_mac_binds_needs_a_signature() {
    if servers::left_out("what_no_mac_binds_needs_a_signature") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let ours = key(folder.path(), "ours");
    let identities = Identities::parse([("ours", ours.file.as_str())]).unwrap();
    for (plain, rule, refused) in [
        (
            POLICY,
            "encrypted_regex: '^highWatermarkIOPS$'",
            Some("`spec.lowWatermarkIOPS` is not encrypted"),
        ),
        (POLICY, "encrypted_regex: '^spec$'", None),
        (SECRET.as_str(), "encrypted_regex: '^stringData$'", None),
        (
            SECRET.as_str(),
            "encrypted_regex: '^stringData$', mac_only_encrypted: true",
            Some("mac_only_encrypted"),
        ),
    ] {
        std::fs::write(folder.path().join("plain.yaml"), plain).unwrap();
        let config = format!("creation_rules: [{{{rule}, age: {}}}]\n", ours.public);
        std::fs::write(folder.path().join("rule.yaml"), config).unwrap();
        let sealed = sops(
            folder.path(),
            &["--config", "rule.yaml", "encrypt", "plain.yaml"],
            None,
        );
        assert!(
            read("f.yaml", &sealed, &identities, Vouched::Yes).is_ok(),
            "{rule}"
        );
        let alone = read("f.yaml", &sealed, &identities, Vouched::No).map(|_| ());
        let doubtful = read("f.yaml", &sealed, &identities, Vouched::Unknown)
            .map(|tree| tree.doubts)
            .unwrap();
        match refused {
            None => assert!(alone.is_ok() && doubtful.is_empty(), "{rule}: {alone:?}"),
            Some(words) => {
                let told = alone.unwrap_err();
                assert!(told.iter().all(|one| one.rule == "sops-unbound"), "{told:?}");
                assert!(told.iter().any(|one| one.message.contains(words)), "{told:?}");
                assert!(doubtful.iter().all(|one| one.severity == Severity::Warning) && !doubtful.is_empty());
            }
        }
    }
    // An empty map that somebody adds to an encrypted spec is seen.
    std::fs::write(folder.path().join("plain.yaml"), POLICY).unwrap();
    let config = format!(
        "creation_rules: [{{encrypted_regex: '^spec$', age: {}}}]\n",
        ours.public
    );
    std::fs::write(folder.path().join("rule.yaml"), config).unwrap();
    let sealed = sops(
        folder.path(),
        &["--config", "rule.yaml", "encrypt", "plain.yaml"],
        None,
    );
    for added in ["{}", "[]", "\"\"", "null"] {
        let changed = sealed.replacen("spec:\n", &format!("spec:\n    enabled: {added}\n"), 1);
        assert_ne!(changed, sealed);
        let told = read("f.yaml", &changed, &identities, Vouched::No)
            .map(|_| ())
            .unwrap_err();
        assert!(told[0].message.contains("spec.enabled"), "{told:?}");
    }
}

#[test]
fn files_that_are_encrypted_inside_of_a_secret_are_opened_by_the_ending_of_their_keys() {
    if servers::left_out("files_that_are_encrypted_inside_of_a_secret_are_opened_by_the_ending_of_their_keys")
    {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let ours = key(folder.path(), "ours");
    let identities = Identities::parse([("ours", ours.file.as_str())]).unwrap();
    let mut data = String::new();
    let files = [
        ("a.yaml", "k: canary\n"),
        ("b.env", "K=canary\n"),
        ("c.ini", "[s]\nk = canary\n"),
        ("d.json", "{\"k\": \"canary\"}"),
        ("e.bin", "canary bytes"),
        (
            ".dockerconfigjson",
            "{\"auths\": {\"r.example.org\": {\"auth\": \"canary\"}}}",
        ),
    ];
    for (name, plain) in files {
        let plain = plain.replace("canary", &CANARY.word);
        // sops tells the format by the ending of a file's name.
        let file = name.replace(".dockerconfigjson", "config.json");
        std::fs::write(folder.path().join(&file), plain).unwrap();
        let sealed = sops(folder.path(), &["encrypt", "--age", &ours.public, &file], None);
        data.push_str(&format!("  {name}: {}\n", STANDARD.encode(sealed)));
    }
    let plain = STANDARD.encode("left as it is");
    let text =
        format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\ndata:\n{data}  plain: {plain}\n");
    let opened = open_inside(&text, &identities)
        .unwrap()
        .expect("something is encrypted inside");
    assert!(!opened.mac_only_encrypted);
    let document = super::values(opened.text.expose_str().unwrap()).remove(0);
    for (name, _) in files {
        let clear = STANDARD.decode(document["data"][name].as_str().unwrap()).unwrap();
        let clear = String::from_utf8(clear).unwrap();
        assert!(
            clear.contains(&CANARY.word) && !clear.contains("sops"),
            "{name}: {clear}"
        );
    }
    let docker = document["data"][".dockerconfigjson"].as_str().unwrap();
    let docker: serde_json::Value = serde_json::from_slice(&STANDARD.decode(docker).unwrap()).unwrap();
    assert_eq!(
        docker,
        serde_json::json!({"auths": {"r.example.org": {"auth": CANARY.word}}})
    );
    assert_eq!(document["data"]["plain"], plain);
    // Without the key it is an error that says whose it is; a ConfigMap's data are left alone, as Flux leaves them.
    let error = open_inside(&text, &Identities::default())
        .map(|_| ())
        .unwrap_err()
        .to_string();
    assert!(error.contains(&ours.public), "{error}");
    CANARY.assert_absent(&error);
    assert!(
        open_inside(&text.replace("kind: Secret", "kind: ConfigMap"), &identities)
            .unwrap()
            .is_none()
    );
    // In a tree the file counts as secret, and the controller applies what Flux would apply.
    let tree = read("s.yaml", &text, &identities, Vouched::No).unwrap_or_else(|errors| panic!("{errors:?}"));
    assert!(tree.files["p/s.yaml"].secret);
}

/// A file under a creation rule, as sops seals it.
pub(super) fn sealed(folder: &Path, public: &str, name: &str, plain: &str, rule: &str) -> String {
    std::fs::write(folder.join(name), plain).unwrap();
    let config = format!("creation_rules: [{{{rule}, age: {public}}}]\n");
    std::fs::write(folder.join("rule.yaml"), config).unwrap();
    sops(folder, &["--config", "rule.yaml", "encrypt", name], None)
}

#[test]
fn no_spelling_hides_an_unbound_policy() {
    if servers::left_out("no_spelling_hides_an_unbound_policy") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let ours = key(folder.path(), "ours");
    let identities = Identities::parse([("ours", ours.file.as_str())]).unwrap();
    let one = "encrypted_regex: '^highWatermarkIOPS$'";
    let policy = sealed(folder.path(), &ours.public, "a.yaml", POLICY, one);
    // The MAC sums up the value, not its spelling.
    let escaped = policy.replace(
        "apiVersion: storage.billyronks.io/v1",
        "apiVersion: \"storage\\x2ebillyronks.io/v1\"",
    );
    assert_ne!(policy, escaped);
    let patch = "spec:\n  highWatermarkIOPS: 5000\n  lowWatermarkIOPS: 500\n";
    let variable = POLICY.replace("storage.billyronks.io/v1", "${GROUP}/v1");
    let foreign = POLICY.replace("storage.billyronks.io/v1", "example.org/v1");
    let make = |name: &str, plain: &str, rule: &str| sealed(folder.path(), &ours.public, name, plain, rule);
    for (what, name, text, refused) in [
        ("another spelling", "f.yaml", escaped, true),
        (
            "a patch without a kind",
            "f.yaml",
            make("b.yaml", patch, one),
            true,
        ),
        (
            "a variable in the group",
            "f.yaml",
            make("c.yaml", &variable, one),
            true,
        ),
        (
            "somebody else's object",
            "f.yaml",
            make("d.yaml", &foreign, one),
            false,
        ),
    ] {
        let told = read(name, &text, &identities, Vouched::No).map(|_| ());
        let unbound = |all: &Vec<Diagnostic>| all.iter().all(|one| one.rule == "sops-unbound");
        assert_eq!(told.as_ref().is_err_and(unbound), refused, "{what}: {told:?}");
        assert!(read(name, &text, &identities, Vouched::Yes).is_ok(), "{what}");
    }
}

/// Reads a commit whose generator takes these files.
pub(super) fn generated(
    files: &[(&str, &str)],
    identities: &Identities,
    vouched: Vouched,
) -> Result<ClearTree, Vec<Diagnostic>> {
    let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
    let kustomization = format!("secretGenerator:\n- name: s\n  files: [{}]\n", names.join(", "));
    let mut entries = BTreeMap::new();
    let mut blobs = BTreeMap::new();
    for (name, text) in files
        .iter()
        .copied()
        .chain([("kustomization.yaml", kustomization.as_str())])
    {
        let blob = BlobId(fingerprint(text.as_bytes()));
        blobs.insert(blob.clone(), text.as_bytes().to_vec());
        let kind = EntryKind::File;
        entries.insert(format!("p/{name}"), Entry { blob, kind });
    }
    let checkout = Checkout {
        revision: Revision {
            branch: "main".into(),
            commit: "0123456789012345678901234567890123456789".into(),
        },
        entries,
        introduced: BTreeMap::new(),
        removed: BTreeMap::new(),
    };
    decrypt(
        &checkout,
        "p",
        "p/assignments",
        &|blob: &BlobId| Ok(blobs[blob].clone()),
        identities,
        vouched,
        &mut ClearCache::default(),
    )
    .map_err(|refused| told_clean(refused.diagnostics))
}

#[test]
fn what_generators_take_is_opened_by_its_own_name_and_never_passed_on_sealed() {
    if servers::left_out("what_generators_take_is_opened_by_its_own_name_and_never_passed_on_sealed") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let ours = key(folder.path(), "ours");
    let identities = Identities::parse([("ours", ours.file.as_str())]).unwrap();
    let all = "encrypted_regex: ''";
    let make = |name: &str, plain: &str, rule: &str| sealed(folder.path(), &ours.public, name, plain, rule);
    // One blob, two names: as bytes, and as the JSON that holds them.
    let canary = &CANARY.word;
    let bytes = make("a.bin", canary, all);
    let tree = generated(&[("x.bin", &bytes), ("x.json", &bytes)], &identities, Vouched::No);
    let tree = tree.unwrap_or_else(|errors| panic!("{errors:?}"));
    let text = |path: &str| tree.files[path].text.expose_str().unwrap().to_owned();
    assert_eq!(&text("p/x.bin"), canary);
    assert!(
        text("p/x.json").contains(&format!("\"data\": \"{canary}\"")),
        "{}",
        text("p/x.json")
    );
    // A key that was doubled by hand makes it no YAML: it is refused, not generated from as it stands.
    let yaml = make("b.yaml", &format!("a: {canary}\nb: other\n"), all);
    let line = yaml.lines().next().unwrap();
    let doubled = format!("{line}\n{yaml}");
    for name in ["x.yaml", "x.txt"] {
        let told = generated(&[(name, &doubled)], &identities, Vouched::Yes).map(|_| ());
        let told = told.expect_err("it is encrypted and cannot be read");
        assert!(told.iter().any(|one| one.rule == "sops"), "{told:?}");
    }
    // Nor is a file that lost its block.
    let orphan = yaml.replace("sops:", "note:");
    let told = generated(&[("x.yaml", &orphan)], &identities, Vouched::Yes).map(|_| ());
    let told = told.expect_err("its values are encrypted");
    assert!(
        told.iter().any(|one| one.message.contains("no `sops` block")),
        "{told:?}"
    );
    // Lines: a value outside of the rule is bound to nothing; an empty one is let pass.
    let some = "encrypted_regex: '^SECRET'";
    let lines = make("c.env", &format!("SECRET={canary}\nNAME=x\n"), some);
    let told = generated(&[("x.env", &lines)], &identities, Vouched::No).map(|_| ());
    assert!(
        told.expect_err("NAME is unbound")
            .iter()
            .all(|one| one.rule == "sops-unbound")
    );
    assert!(generated(&[("x.env", &lines)], &identities, Vouched::Yes).is_ok());
    let empty = make("d.env", &format!("SECRET={canary}\nNAME=\n"), some);
    assert!(generated(&[("x.env", &empty)], &identities, Vouched::No).is_ok());
}

#[test]
fn a_mac_of_encrypted_values_only_is_doubted_inside_of_secrets_too() {
    if servers::left_out("a_mac_of_encrypted_values_only_is_doubted_inside_of_secrets_too") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let ours = key(folder.path(), "ours");
    let identities = Identities::parse([("ours", ours.file.as_str())]).unwrap();
    let rule = "encrypted_regex: '^a$', mac_only_encrypted: true";
    let inner = sealed(
        folder.path(),
        &ours.public,
        "a.yaml",
        &format!("a: {}\nb: plain\n", CANARY.word),
        rule,
    );
    let data = STANDARD.encode(inner);
    let text = format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\ndata:\n  a.yaml: {data}\n");
    let told = read("s.yaml", &text, &identities, Vouched::No).map(|_| ());
    assert!(
        told.expect_err("nobody vouches")
            .iter()
            .all(|one| one.rule == "sops-unbound")
    );
    assert!(read("s.yaml", &text, &identities, Vouched::Yes).is_ok());
}

#[test]
fn a_key_that_cannot_be_used_is_passed_over_and_named_when_nothing_else_opens_a_file() {
    if servers::left_out("a_key_that_cannot_be_used_is_passed_over_and_named_when_nothing_else_opens_a_file")
    {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (ours, other) = (key(folder.path(), "ours"), key(folder.path(), "other"));
    let quantum = "AGE-SECRET-KEY-PQ-1QQQQ\n";
    let text = sealed(
        folder.path(),
        &ours.public,
        "a.yaml",
        &format!("a: {}\n", CANARY.word),
        "encrypted_regex: ''",
    );
    let both = Identities::parse([("keys.txt", format!("{quantum}{}", ours.file).as_str())]).unwrap();
    assert!(read("f.yaml", &text, &both, Vouched::Yes).is_ok());
    let wrong = Identities::parse([("keys.txt", format!("{quantum}{}", other.file).as_str())]).unwrap();
    let told = read("f.yaml", &text, &wrong, Vouched::Yes)
        .map(|_| ())
        .unwrap_err();
    assert!(
        told[0].message.contains(&ours.public) && told[0].message.contains("post-quantum"),
        "{told:?}"
    );
    let alone = Identities::parse([("keys.txt", quantum)])
        .map(|_| ())
        .unwrap_err();
    assert!(
        alone.contains("keys.txt") && alone.contains("post-quantum"),
        "{alone}"
    );
    assert!(Identities::parse([("keys.txt", "AGE-SECRET-KEY-1BROKEN\n")]).is_err());
}
