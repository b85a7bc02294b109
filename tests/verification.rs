//! A source that demands signatures: what is not signed by its signers is neither applied nor carried out.

use crate::support::follow::Follow;
use crate::support::gpg::Gpg;
use serde_json::json;
use std::process::Command;
use std::time::{Duration, Instant};

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

/// Two tiers, and a policy that may move volumes from one to the other.
const TIERS: &str = "apiVersion: storage.billyronks.io/v1
kind: StorageTier
metadata: {name: hot}
spec: {rank: 100, poolSelector: {matchLabels: {storage-tier: hot}}}
---
apiVersion: storage.billyronks.io/v1
kind: StorageTier
metadata: {name: cold}
spec: {rank: 10, poolSelector: {matchLabels: {storage-tier: cold}}}
---
apiVersion: storage.billyronks.io/v1
kind: StoragePolicy
metadata: {name: production}
spec:
  highWatermarkIOPS: 5000
  lowWatermarkIOPS: 500
  storageClassName: mayastor
  nvmePoolSelector: {matchLabels: {storage-tier: hot}}
  sataPoolSelector: {matchLabels: {storage-tier: cold}}
  enabled: true
";

/// The volume of `policies/world.yaml` that is on a cold pool belongs on a hot one.
const ASSIGNMENT: &str = "apiVersion: storage.billyronks.io/v1
kind: TierAssignment
metadata: {name: data-0, namespace: db}
spec: {claim: data-0, volume: pvc-5f3c1c6e-0b1d-4c86-9d5e-2b8f6f0a0001, tier: hot}
";

/// More turns than the controller needs from a commit to a move, which the end of the test below counts again.
const WATCHED: u64 = 5;

#[tokio::test(flavor = "multi_thread")]
async fn an_unverified_tip_moves_no_volume_until_somebody_trusted_signs_it() {
    let mut follow = Follow::new().await;
    let anna = key(&follow, "anna");
    key(&follow, "eve");
    sign_with(&follow, "anna");
    let first = follow.commit("p/tiers.yaml", TIERS, &["-S"]);
    follow.secret("signers", json!({"anna.sshpub": anna}));
    follow.source(json!({"verify": {"mode": "HEAD", "secretRef": {"name": "signers"}}}));
    follow.run().await;
    follow.until("Ready", &["True", &first]).await;

    // Unsigned, signed by a stranger, and after a restart that knows nothing of what was verified.
    let count = |follow: &Follow, kind: &str| follow.running.kubernetes.list(kind).len();
    let unsigned = follow.commit("p/assignments/db/data-0.yaml", ASSIGNMENT, &["--no-gpg-sign"]);
    sign_with(&follow, "eve");
    for round in 0..3 {
        let tip = match round {
            0 => unsigned.clone(),
            1 => follow.commit("p/assignments/readme.txt", "signed by a stranger", &["-S"]),
            _ => {
                follow.run().await;
                follow.git(&["rev-parse", "HEAD"])
            }
        };
        follow.until("SourceVerified", &["False/Failed", &tip]).await;
        for _ in 0..WATCHED {
            follow.turns(1).await;
            for kind in ["VolumeMigration", "TierAssignment"] {
                assert_eq!(count(&follow, kind), 0, "round {round}: {kind}");
            }
        }
    }

    // The same files, signed by somebody who is trusted, are carried out: nothing else held them back.
    sign_with(&follow, "anna");
    let signed = follow.commit("p/assignments/readme.txt", "signed by Anna", &["-S"]);
    follow.until("SourceVerified", &["True/Succeeded", &signed]).await;
    let (began, before) = (Instant::now(), follow.taken());
    while count(&follow, "VolumeMigration") == 0 {
        let status = follow.status();
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "no volume is moved: {status}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let needed = follow.taken() - before;
    assert!(
        needed < WATCHED,
        "the rounds above watched for too few turns: {needed} were needed"
    );
    follow.halt().await;
}

/// Keys that sign, of Anna and of a stranger, in the home that `Follow::git` has; and their public halves.
fn signers(follow: &Follow) -> (Gpg, [String; 2]) {
    let gpg = Gpg::new(follow.folder.path().join(".gnupg"), "");
    let public = ["anna@example.org", "eve@example.org"].map(|who| {
        gpg.make(who, "ed25519", "sign");
        gpg.public(who)
    });
    (gpg, public)
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_signed_with_openpgp_are_believed_by_their_keys() {
    let mut follow = Follow::new().await;
    let (_gpg, [anna, eve]) = signers(&follow);
    assert!(anna.starts_with("-----BEGIN PGP PUBLIC KEY BLOCK-----"));
    let sign_with = |follow: &Follow, user: &str| {
        follow.git(&["config", "gpg.format", "openpgp"]);
        follow.git(&["config", "user.signingkey", user]);
    };
    sign_with(&follow, "anna@example.org");
    let first = follow.commit("p/a.yaml", &class("one"), &["-S"]);
    follow.secret("signers", json!({"anna.asc": anna}));
    follow.source(json!({"verify": {"mode": "HEAD", "secretRef": {"name": "signers"}}}));
    follow.run().await;
    let verified = follow.until("SourceVerified", &["True/Succeeded", &first]).await;
    assert!(verified.contains("anna.asc"), "{verified}");
    follow.until("Ready", &["True", &first]).await;

    sign_with(&follow, "eve@example.org");
    let second = follow.commit("p/a.yaml", &class("two"), &["-S"]);
    let refused = follow.until("SourceVerified", &["False/Failed", &second]).await;
    assert!(refused.contains("none of the keys"), "{refused}");
    follow
        .until("Ready", &["False/VerificationFailed", &second])
        .await;
    let there = |follow: &Follow, name: &str| {
        let all = follow.running.kubernetes.list("StorageClass");
        all.iter().any(|class| class["metadata"]["name"] == name)
    };
    assert!(there(&follow, "one") && !there(&follow, "two"));

    // Both at once, in one file, as `gpg --export` writes them.
    follow.secret("signers", json!({"both.asc": format!("{anna}{eve}")}));
    follow
        .until("SourceVerified", &["True/Succeeded", &second, "both.asc"])
        .await;
    follow.until("Ready", &["True", &second]).await;
    assert!(there(&follow, "two") && !there(&follow, "one"));
    follow.halt().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_signed_with_openpgp_are_believed_by_their_keys_and_with_their_commits_where_both_are_demanded()
{
    let mut follow = Follow::new().await;
    let (_gpg, [anna, eve]) = signers(&follow);
    follow.git(&["config", "gpg.format", "openpgp"]);
    let tag = |follow: &Follow, name: &str, user: &str| {
        follow.git(&["config", "user.signingkey", user]);
        follow.git(&["tag", "-s", "-m", name, name]);
    };
    // The commit is nobody's; its tags are Anna's and a stranger's, and one is not signed at all.
    let unsigned = follow.commit("p/a.yaml", &class("one"), &["--no-gpg-sign"]);
    tag(&follow, "by-anna", "anna@example.org");
    tag(&follow, "by-eve", "eve@example.org");
    follow.git(&["tag", "-a", "-m", "plain", "plain"]);
    // The next commit is Anna's.
    follow.git(&["config", "user.signingkey", "anna@example.org"]);
    let signed = follow.commit("p/a.yaml", &class("two"), &["-S"]);
    tag(&follow, "both", "anna@example.org");
    follow.secret("signers", json!({"anna.asc": anna}));
    let source = |follow: &Follow, mode: &str, name: &str| {
        follow.source(json!({
            "ref": {"tag": name},
            "verify": {"mode": mode, "secretRef": {"name": "signers"}},
        }));
    };
    let there = |follow: &Follow, name: &str| {
        let all = follow.running.kubernetes.list("StorageClass");
        all.iter().any(|class| class["metadata"]["name"] == name)
    };
    source(&follow, "Tag", "by-eve");
    follow.run().await;
    for (mode, name, words) in [
        ("Tag", "by-eve", ["False/Failed", "none of the keys"]),
        ("Tag", "plain", ["False/Failed", "not signed"]),
        ("TagAndHEAD", "by-anna", ["False/Failed", "not signed"]),
        ("TagAndHEAD", "by-eve", ["False/Failed", "none of the keys"]),
    ] {
        source(&follow, mode, name);
        follow.turns(2).await;
        follow.until("SourceVerified", &words).await;
        assert!(!there(&follow, "one") && !there(&follow, "two"), "{mode} {name}");
    }
    source(&follow, "Tag", "by-anna");
    follow
        .until("SourceVerified", &["True/Succeeded", "anna.asc"])
        .await;
    follow.until("Ready", &["True", &unsigned]).await;
    assert!(there(&follow, "one"));
    source(&follow, "TagAndHEAD", "both");
    follow.until("Ready", &["True", &signed]).await;
    follow
        .until("SourceVerified", &["True/Succeeded", "anna.asc"])
        .await;
    assert!(there(&follow, "two"));
    // A stranger who becomes a signer is believed for what he signed before.
    follow.secret("signers", json!({"eve.asc": eve}));
    source(&follow, "Tag", "by-eve");
    follow
        .until("SourceVerified", &["True/Succeeded", "eve.asc"])
        .await;
    follow.until("Ready", &["True", &unsigned]).await;
    follow.halt().await;
}
