//! What a source follows: a branch, a tag, the newest version in a range, any reference, one commit.

use crate::support::canary::Canary;
use crate::support::follow::Follow;
use crate::support::say;
use serde_json::json;
use std::process::Command;

fn class(name: &str) -> String {
    format!(
        "apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {{name: {name}}}\nprovisioner: local.csi.openebs.io\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_ranges_references_and_commits_are_followed() {
    let mut follow = Follow::new().await;
    let one = follow.commit("p/a.yaml", &class("one"), &[]);
    follow.git(&["tag", "v1.0.0"]);
    follow.git(&["tag", "-a", "-m", "annotated", "v1.1.0"]);
    let two = follow.commit("p/a.yaml", &class("two"), &[]);
    follow.git(&["tag", "-a", "-m", "annotated", "v2.0.0"]);
    follow.git(&["update-ref", "refs/pull/7/head", &one]);
    let ready = async |follow: &Follow, revision: &str| follow.until("Ready", &["True", revision]).await;
    follow.source(json!({}));
    follow.run().await;
    ready(&follow, &format!("main@sha1:{two}")).await;
    let (mut followed, mut refused) = (0, 0);
    for (reference, revision) in [
        (json!({"tag": "v1.0.0"}), format!("v1.0.0@sha1:{one}")),
        (json!({"tag": "v2.0.0"}), format!("v2.0.0@sha1:{two}")),
        (json!({"semver": "1.x"}), format!("v1.1.0@sha1:{one}")),
        (json!({"semver": ">=1.0.0"}), format!("v2.0.0@sha1:{two}")),
        (
            json!({"name": "refs/pull/7/head"}),
            format!("refs/pull/7/head@sha1:{one}"),
        ),
        (
            json!({"tag": "v2.0.0", "commit": one}),
            format!("main@sha1:{one}"),
        ),
    ] {
        follow.source(json!({"ref": reference}));
        ready(&follow, &revision).await;
        assert_eq!(follow.status()["lastAppliedRevision"], revision, "{reference}");
        followed += 1;
    }
    // A new tag in the range is a new tip.
    follow.source(json!({"ref": {"semver": "2.x"}}));
    ready(&follow, &format!("v2.0.0@sha1:{two}")).await;
    let three = follow.commit("p/a.yaml", &class("three"), &[]);
    follow.git(&["tag", "v2.5.0"]);
    ready(&follow, &format!("v2.5.0@sha1:{three}")).await;
    for (reference, words) in [
        (json!({"tag": "gone"}), "there is no refs/tags/gone"),
        (json!({"semver": "9.x"}), "there is no tag in the range"),
        (json!({"semver": "!"}), "is no range of versions"),
        (json!({"name": "main"}), "write the full name"),
        (json!({"commit": "abc"}), "all 40 digits"),
        (
            json!({"commit": "0123456789012345678901234567890123456789"}),
            "there is no commit",
        ),
    ] {
        follow.source(json!({"ref": reference}));
        follow.until("Ready", &["False", words]).await;
        let stays = follow.running.kubernetes.get("StorageClass", None, "three");
        assert!(stays.is_some(), "what was applied last stays: {reference}");
        refused += 1;
    }
    follow.halt().await;
    say(&format!(
        "references: {followed} followed, {refused} refused with what was applied last kept"
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_tag_vouches_for_its_own_commit_and_name_only() {
    let mut follow = Follow::new().await;
    let status = Command::new("ssh-keygen")
        .current_dir(follow.folder.path())
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "anna", "-f", "anna"])
        .status()
        .expect("this test needs openssh-client");
    assert!(status.success());
    let public = std::fs::read_to_string(follow.folder.path().join("anna.pub")).unwrap();
    let key = follow.folder.path().join("anna").display().to_string();
    follow.git(&["config", "gpg.format", "ssh"]);
    follow.git(&["config", "user.signingkey", &key]);
    follow.secret("signers", json!({"anna.sshpub": public}));
    let verify = |mode: &str| json!({"mode": mode, "secretRef": {"name": "signers"}});
    let one = follow.commit("p/a.yaml", &class("one"), &[]);
    follow.git(&["tag", "-s", "-m", "first", "v1.0.0"]);
    follow.source(json!({"ref": {"tag": "v1.0.0"}, "verify": verify("Tag")}));
    follow.run().await;
    follow.until("SourceVerified", &["True", "tag v1.0.0"]).await;
    // The tag is signed, its commit is not.
    follow.source(json!({"ref": {"tag": "v1.0.0"}, "verify": verify("TagAndHEAD")}));
    follow
        .until("SourceVerified", &["False", "not signed", &one])
        .await;
    let two = follow.commit("p/a.yaml", &class("two"), &["-S"]);
    follow.git(&["tag", "-s", "-m", "second", "v2.0.0"]);
    follow.source(json!({"ref": {"semver": ">=1.0.0"}, "verify": verify("TagAndHEAD")}));
    follow
        .until("SourceVerified", &["True", "tag v2.0.0", &two])
        .await;
    // The old release under a new name: the signature holds, and is of something else.
    let old = follow.git(&["rev-parse", "v1.0.0"]);
    follow.git(&["update-ref", "refs/tags/v3.0.0", &old]);
    follow
        .until("SourceVerified", &["False", "it was signed as tag v1.0.0"])
        .await;
    follow.source(json!({"ref": {"tag": "v2.0.0"}, "verify": verify("Tag")}));
    follow.until("SourceVerified", &["True", "v2.0.0"]).await;
    follow.git(&["tag", "plain", &two]);
    follow.source(json!({"ref": {"tag": "plain"}, "verify": verify("Tag")}));
    follow.until("SourceVerified", &["False", "not signed"]).await;
    follow.source(json!({"verify": verify("Tag")}));
    follow
        .until("SourceVerified", &["False", "needs spec.ref.tag"])
        .await;
    follow.halt().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_are_substituted_from_the_source_from_config_maps_and_from_secrets() {
    let mut follow = Follow::new().await;
    let object = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: made\n  namespace: default\ndata:\n  own: a-${OWN}\n  map: a-${MAP}\n  secret: a-${SECRET}\n  gone: a-${GONE:-b}\n  kept: $${OWN}\n";
    follow.commit("p/a.yaml", object, &[]);
    follow.put(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "vars", "namespace": "couchestor-system"},
        "data": {"MAP": "from-map", "OWN": "from-map"}}));
    let from = json!([{"kind": "ConfigMap", "name": "vars"}, {"kind": "Secret", "name": "hidden"}, {"kind": "Secret", "name": "no", "optional": true}]);
    follow.source(json!({"postBuild": {"substitute": {"OWN": "own"}, "substituteFrom": from}}));
    follow.run().await;
    follow
        .until("Ready", &["False/VariablesNotFound", "couchestor-system/hidden"])
        .await;
    let (first, second) = (Canary::new(), Canary::new());
    follow.secret("hidden", json!({"SECRET": first.word}));
    follow.until("Ready", &["True"]).await;
    let made = follow
        .running
        .kubernetes
        .get("ConfigMap", Some("default"), "made")
        .unwrap();
    assert_eq!(
        made["data"],
        json!({"own": "a-own", "map": "a-from-map", "secret": format!("a-{}", first.word), "gone": "a-b", "kept": "${OWN}"})
    );
    // A changed variable is a change, without a commit.
    follow.secret("hidden", json!({"SECRET": second.word}));
    for _ in 0..200 {
        let made = follow
            .running
            .kubernetes
            .get("ConfigMap", Some("default"), "made")
            .unwrap();
        if made["data"]["secret"] == format!("a-{}", second.word) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let made = follow
        .running
        .kubernetes
        .get("ConfigMap", Some("default"), "made")
        .unwrap();
    assert_eq!(made["data"]["secret"], format!("a-{}", second.word));
    let broken = follow.commit("p/a.yaml", &object.replace("${MAP}", "${MAP"), &[]);
    let told = follow
        .until("Ready", &["False/BuildFailed", "p/a.yaml:8", "no `}`"])
        .await;
    assert!(!broken.is_empty());
    first.assert_absent(&told);
    second.assert_absent(&told);
    follow.halt().await;
}
