//! A controller opens what is sealed to the keys of its decryption Secret: `*.agekey`, and `*.asc` for OpenPGP.

use super::generated::Keys;
use crate::support::follow::Follow;
use crate::support::servers;
use serde_json::json;

const SECRET: &str =
    "apiVersion: v1\nkind: Secret\nmetadata: {name: sealed, namespace: default}\nstringData: {a: opened}\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_file_sealed_to_an_openpgp_key_is_opened_by_the_asc_key_of_the_secret() {
    if servers::left_out("a_file_sealed_to_an_openpgp_key_is_opened_by_the_asc_key_of_the_secret") {
        return;
    }
    let mut follow = Follow::new().await;
    // gpg's socket needs a short path.
    let folder = tempfile::tempdir().expect("a folder");
    let keys = Keys::make(folder.path());
    std::fs::write(folder.path().join("plain.yaml"), SECRET).expect("our own folder");
    let rule = [
        "encrypt",
        "--pgp",
        &keys.ecdh,
        "--encrypted-regex",
        "^stringData$",
        "plain.yaml",
    ];
    let sealed = keys
        .sops(&rule, "ed25519")
        .unwrap_or_else(|error| panic!("{error}"));
    let sealed = String::from_utf8(sealed).expect("sops writes text");
    assert!(sealed.contains("ENC[") && sealed.contains("BEGIN PGP MESSAGE") && !sealed.contains("age1"));
    follow.commit("p/a.yaml", &sealed, &[]);
    // Another ending is no key, and the refusal names who could open it.
    follow.secret("keys", json!({"k.txt": keys.ecdh_secret}));
    follow.source(json!({"decryption": {"secretRef": {"name": "keys"}}}));
    follow.run().await;
    let said = follow.until("Ready", &["False", "no key opens it"]).await;
    assert!(said.contains(&keys.ecdh), "{said}");

    follow.secret("keys", json!({"k.asc": keys.ecdh_secret}));
    follow.until("Ready", &["True"]).await;
    let secret = follow.running.kubernetes.get("Secret", Some("default"), "sealed");
    let secret = secret.expect("it was applied");
    assert!(
        secret["stringData"]["a"] == "opened" || secret["data"]["a"] == "b3BlbmVk",
        "it was applied as {:?}",
        secret.as_object().map(|secret| secret.keys().collect::<Vec<_>>())
    );
    follow.halt().await;
}
