//! Claims about the parts of reading SOPS; files of the real sops command are read in `tests/sops_real.rs`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::{Identities, SopsError, cipher, decrypt, is_sops, may_name_block, metadata, open};
use crate::canary::Canary;
use crate::formats::yaml::load;
use crate::model::secret::SecretText;
use crate::model::secret::witness::wiped;
use age::secrecy::ExposeSecret;
use zeroize::Zeroizing;

#[test]
fn a_text_that_only_speaks_of_sops_is_not_read_for_it() {
    for (text, read) in [
        ("sops: {mac: x}\n", true),
        ("a: 1\nsops:\n  age: []\n", true),
        ("\"sops\": {\"mac\": 1}\n", true),
        ("'sops' : {mac: x}\n", true),
        ("{\"a\": 1, \"sops\": {\"mac\": 1}}", true),
        ("{a: 1, sops : {mac: 1}}", true),
        ("? sops\n: {mac: x}\n", true),
        ("? sops # the block\n: {mac: x}\n", true),
        ("!!str sops: {mac: x}\n", true),
        ("&key sops: {mac: x}\n", true),
        // Too often is no harm.
        ("a: see sops: it encrypts\n", true),
        ("# encrypted with sops\na: 1\n", false),
        ("a: b.sops.yaml\n", false),
        ("image: getsops/sops\n", false),
        ("keys: [sops, age]\n", false),
        ("sops-secrets: 1\n", false),
        ("a: 1\n", false),
    ] {
        assert_eq!(may_name_block(text), read, "{text}");
        let block = load(text).is_ok_and(|documents| is_sops(&documents));
        assert!(read || !block, "{text}");
        let opened = open("a.yaml", text.as_bytes(), &Identities::default());
        assert_eq!(opened.is_err(), block, "{text}");
    }
}

#[test]
fn a_value_is_written_as_its_type_or_not_at_all() {
    for (kind, clear, yaml, hashed) in [
        ("str", "a\n\"b\": c", "\"a\\n\\\"b\\\": c\"", "a\n\"b\": c"),
        ("str", "yes", "\"yes\"", "yes"),
        ("int", "-7", "-7", "-7"),
        ("float", "1.50", "1.5", "1.5"),
        ("float", "+Inf", ".inf", "+Inf"),
        ("bool", "True", "true", "True"),
        ("bool", "f", "false", "False"),
        (
            "time",
            "2024-01-02T00:00:00Z",
            "\"2024-01-02T00:00:00Z\"",
            "2024-01-02T00:00:00Z",
        ),
    ] {
        let typed = cipher::typed(kind, Zeroizing::new(clear.as_bytes().to_vec())).unwrap();
        assert_eq!(typed.yaml.unwrap().as_str(), yaml, "{kind} {clear}");
        assert_eq!(typed.hashed.as_slice(), hashed.as_bytes(), "{kind} {clear}");
    }
    for (kind, clear) in [
        ("int", "1\nkind: Secret"),
        ("int", "1.5"),
        ("float", "1 # x"),
        ("bool", "yes"),
        ("unknown", "x"),
    ] {
        assert!(
            cipher::typed(kind, Zeroizing::new(clear.as_bytes().to_vec())).is_none(),
            "{kind} {clear}"
        );
    }
}

#[test]
fn a_file_whose_mac_was_taken_out_is_still_encrypted_and_refused() {
    let canary = Canary::new();
    for text in [
        "a: CANARY\nsops:\n  lastmodified: now\n",
        "a: CANARY\nsops:\n  age: []\n",
        "a: CANARY\nsops:\n  version: 3.9.0\n",
    ] {
        let text = &text.replace("CANARY", &canary.word);
        assert!(is_sops(&load(text).unwrap()));
        let error = decrypt(text, &Identities::default()).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("has no `mac`"), "{error}");
        canary.assert_absent(&format!("{error} {error:?}"));
    }
    for text in [
        "a: 1\n",
        "sops: yes\n",
        "sops: {enabled: true}\n",
        "a: {sops: {mac: x}}\n",
    ] {
        assert!(!is_sops(&load(text).unwrap()), "{text}");
    }
}

#[test]
fn what_is_not_read_is_refused_by_name() {
    let canary = Canary::new();
    let block = |more: &str| {
        let text = format!(
            "a: CANARY\nsops:\n  mac: CANARY\n  lastmodified: CANARY\n  age: [{{recipient: age1x, enc: CANARY}}]\n{more}"
        );
        text.replace("CANARY", &canary.word)
    };
    for (more, named) in [
        ("  encrypted_regex: '(CANARY'\n", "no regular expression"),
        (
            "  encrypted_regex: CANARY\n  encrypted_suffix: CANARY\n",
            "more than one rule",
        ),
    ] {
        let text = block(more);
        let documents = load(&text).unwrap();
        let error = metadata::Metadata::read(documents[0].get("sops").unwrap())
            .map(|_| ())
            .unwrap_err();
        assert!(error.to_string().contains(named), "{error}");
        canary.assert_absent(&format!("{error} {error:?}"));
    }
    let error = decrypt(
        &block("  kms: [{arn: CANARY}]\n  pgp: [{fp: ABC, enc: CANARY}]\n"),
        &Identities::default(),
    )
    .map(|_| ())
    .unwrap_err();
    assert!(
        matches!(&error, SopsError::NoKey { recipients } if recipients.contains("OpenPGP key ABC") && recipients.contains("kms")),
        "{error}"
    );
    canary.assert_absent(&format!("{error} {error:?}"));
}

#[test]
fn key_files_may_have_comments_and_a_bad_one_is_named_without_its_text() {
    let key = age::x25519::Identity::generate().to_string();
    let key = key.expose_secret();
    let file = format!("# created: today\n\n# public key: age1x\r\n{key}\r\n");
    let one = Identities::parse([("a.agekey", file.as_str())]).unwrap();
    assert!(!one.is_empty());
    assert_eq!(
        one.id(),
        Identities::parse([("b.agekey", file.as_str())]).unwrap().id()
    );
    assert_ne!(one.id(), Identities::default().id());
    let wrong = file.replace(key, &format!("{key}X"));
    let error = Identities::parse([("a.agekey", wrong.as_str())])
        .map(|_| ())
        .unwrap_err();
    assert!(error.contains("a.agekey") && !error.contains(key), "{error}");
}

#[test]
fn the_trees_in_which_something_encrypted_is_looked_for_are_wiped() {
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {k: canary}\n";
    let count = wiped("canary", || {
        let inside = super::open_inside(secret, &Identities::default());
        assert!(inside.is_ok_and(|inside| inside.is_none()));
    });
    assert_eq!(count, 1, "the tree of a Secret");
    let data = SecretText::new(b"data: canary\n".to_vec());
    let count = wiped("canary", || {
        assert!(super::binary(&data).is_ok_and(|bytes| bytes.expose() == b"canary"));
    });
    assert_eq!(count, 1, "the tree around bytes");
}
