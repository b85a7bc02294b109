//! A source that demands signatures: what is not signed by its signers is neither applied nor carried out.

use crate::support::follow::Follow;
use serde_json::json;
use std::process::Command;

fn class(name: &str) -> String {
    format!(
        "apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {{name: {name}}}\nprovisioner: local.csi.openebs.io\n"
    )
}

fn key(follow: &Follow, name: &str) -> String {
    let status = Command::new("ssh-keygen")
        .current_dir(follow.folder.path())
        .args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f", name])
        .status()
        .expect("this test needs openssh-client");
    assert!(status.success());
    std::fs::read_to_string(follow.folder.path().join(format!("{name}.pub"))).expect("ssh-keygen wrote it")
}

fn sign_with(follow: &Follow, name: &str) {
    follow.git(&["config", "gpg.format", "ssh"]);
    let path = follow.folder.path().join(name).display().to_string();
    follow.git(&["config", "user.signingkey", &path]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unverified_tip_is_not_applied_and_the_last_verified_one_stays() {
    let mut follow = Follow::new().await;
    let anna = key(&follow, "anna");
    let eve = key(&follow, "eve");
    sign_with(&follow, "anna");
    let first = follow.commit("p/a.yaml", &class("one"), &["-S"]);
    follow.secret("signers", json!({"anna.sshpub": anna}));
    follow.source(json!({"verify": {"mode": "HEAD", "secretRef": {"name": "signers"}}}));
    follow.run().await;
    let verified = follow.until("SourceVerified", &["True/Succeeded", &first]).await;
    assert!(
        verified.contains("SHA256:") && verified.contains("anna.sshpub"),
        "{verified}"
    );
    follow.until("Ready", &["True", &first]).await;

    // Unsigned, then signed by a stranger: each is refused by its id and its reason.
    let second = follow.commit("p/a.yaml", &class("two"), &["--no-gpg-sign"]);
    let refused = follow.until("SourceVerified", &["False/Failed", &second]).await;
    assert!(refused.contains("not signed"), "{refused}");
    follow
        .until("Ready", &["False/VerificationFailed", &second])
        .await;
    follow.until("Stalled", &["True/VerificationFailed"]).await;
    sign_with(&follow, "eve");
    let third = follow.commit("p/a.yaml", &class("three"), &["-S"]);
    let refused = follow.until("SourceVerified", &["False/Failed", &third]).await;
    assert!(refused.contains("none of the keys"), "{refused}");
    let status = follow.status();
    assert_eq!(status["lastAppliedRevision"], format!("main@sha1:{first}"));
    assert_eq!(status["lastAttemptedRevision"], format!("main@sha1:{third}"));
    let classes = |follow: &Follow| -> Vec<String> {
        let all = follow.running.kubernetes.list("StorageClass");
        all.iter()
            .filter_map(|class| Some(class["metadata"]["name"].as_str()?.to_owned()))
            .filter(|name| ["one", "two", "three"].contains(&name.as_str()))
            .collect()
    };
    assert_eq!(classes(&follow), ["one"]);

    // A restart knows nothing of what was verified, and still applies and prunes nothing.
    follow.run().await;
    follow.until("SourceVerified", &["False/Failed", &third]).await;
    assert_eq!(classes(&follow), ["one"]);

    // Trusting the stranger is a change of the Secret, which is looked at again.
    follow.secret("signers", json!({"eve.sshpub": eve}));
    follow.until("SourceVerified", &["True/Succeeded", &third]).await;
    follow.until("Ready", &["True", &third]).await;
    assert_eq!(classes(&follow), ["three"]);

    // A Secret without keys stops the source, and says what belongs there.
    follow.secret("signers", json!({"readme": "nothing"}));
    follow.until("Ready", &["False/InvalidSigners", "*.sshpub"]).await;
    follow.halt().await;
}
