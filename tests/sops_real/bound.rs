//! What a MAC does not bind is refused where no signature vouches for it, and what is encrypted inside of a Secret is opened.

use super::{key, sops};
use crate::support::servers;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use couchestor::decrypt::{ClearCache, Vouched, decrypt};
use couchestor::formats::sops::{Identities, fingerprint, open_inside};
use couchestor::model::diagnostic::{Diagnostic, Severity};
use couchestor::model::ids::{BlobId, Revision};
use couchestor::model::tree::{Checkout, ClearTree, Entry, EntryKind};
use std::collections::BTreeMap;

/// Reads a commit of one file.
fn read(
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
    .map_err(|refused| refused.diagnostics)
}

const POLICY: &str = "apiVersion: storage.billyronks.io/v1\nkind: StoragePolicy\nmetadata:\n  name: p\nspec:\n  highWatermarkIOPS: 5000\n  lowWatermarkIOPS: 500\n  storageClassName: m\n";
const SECRET: &str = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: s\nstringData:\n  a: canary\n";

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
        (SECRET, "encrypted_regex: '^stringData$'", None),
        (
            SECRET,
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
    ];
    for (name, plain) in files {
        std::fs::write(folder.path().join(name), plain).unwrap();
        let sealed = sops(folder.path(), &["encrypt", "--age", &ours.public, name], None);
        data.push_str(&format!("  {name}: {}\n", STANDARD.encode(sealed)));
    }
    let plain = STANDARD.encode("left as it is");
    let text =
        format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\ndata:\n{data}  plain: {plain}\n");
    let opened = open_inside(&text, &identities)
        .unwrap()
        .expect("something is encrypted inside");
    let document = super::values(opened.expose_str().unwrap()).remove(0);
    for (name, _) in files {
        let clear = STANDARD.decode(document["data"][name].as_str().unwrap()).unwrap();
        let clear = String::from_utf8(clear).unwrap();
        assert!(
            clear.contains("canary") && !clear.contains("sops"),
            "{name}: {clear}"
        );
    }
    assert_eq!(document["data"]["plain"], plain);
    // Without the key it is an error that says whose it is; a ConfigMap's data are left alone, as Flux leaves them.
    let error = open_inside(&text, &Identities::default())
        .map(|_| ())
        .unwrap_err()
        .to_string();
    assert!(error.contains(&ours.public), "{error}");
    assert!(
        open_inside(&text.replace("kind: Secret", "kind: ConfigMap"), &identities)
            .unwrap()
            .is_none()
    );
    // In a tree the file counts as secret, and the controller applies what Flux would apply.
    let tree = read("s.yaml", &text, &identities, Vouched::No).unwrap_or_else(|errors| panic!("{errors:?}"));
    assert!(tree.files["p/s.yaml"].secret);
}
