//! Objects of a repository that are larger than anything that is read of it.

use super::{Remote, around};
use crate::support::follow::Follow as Controller;
use couchestor::io::git::{Credentials, Repository};
use couchestor::model::failure::{Class, Failure};
use serde_json::json;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_that_is_too_large_is_not_read() {
    let remote = Remote::new();
    let listing = remote.listing(&vec![0; (64 << 20) + 1]);
    let (_, commit) = remote.git(
        &[
            "commit-tree",
            "-m",
            "eve",
            &around(&remote, &[("40000", b"b".to_vec(), listing)]),
        ],
        b"",
    );
    remote.commit(&around(&remote, &[]));
    assert_eq!(remote.read(false).await.unwrap(), ["p/a.yaml"]);
    // A server that looks at nothing gives it out.
    let all = ["cat-file", "--batch-all-objects", "--batch-check=%(objectname)"];
    let (_, objects) = remote.git(&all, b"");
    let clone = remote.folder.path().join("clone");
    let pack = clone.join("objects/pack/pack");
    let pack = ["pack-objects", "-q", &pack.to_string_lossy()];
    assert!(remote.git(&pack, (objects + "\n").as_bytes()).0);
    let url = format!("file://{}", remote.path().display());
    let limit = Duration::from_secs(60);
    let repository = Repository::new(&url, &clone, Credentials::default(), limit, true).unwrap();
    let error = repository.entries(&commit.as_str().into()).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with("p/b/: ") && text.contains("67108864 are read at most"),
        "{text}"
    );
    assert_eq!((error.class(), error.reason()), (Class::Stalled, "InvalidTree"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_too_large_to_have_its_signature_checked_is_not_believed() {
    let mut follow = Controller::new().await;
    let made = std::process::Command::new("ssh-keygen")
        .current_dir(follow.folder.path())
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", "anna"])
        .status();
    assert!(made.unwrap().success());
    let key = follow.folder.path().join("anna");
    let public = std::fs::read_to_string(key.with_extension("pub")).unwrap();
    follow.git(&["config", "gpg.format", "ssh"]);
    follow.git(&["config", "user.signingkey", &key.display().to_string()]);
    let class = super::CLASS.replace("NAME", "one");
    let message = follow.folder.path().join("message");
    for (bytes, words) in [
        ((1 << 20) - 5_000, ["True", ""]),
        ((1 << 20) + 1, ["False", "1048576 are read at most"]),
    ] {
        std::fs::write(&message, "m".repeat(bytes)).unwrap();
        follow.commit("p/a.yaml", &format!("{class}# {bytes}\n"), &[]);
        follow.git(&[
            "commit",
            "-q",
            "--amend",
            "-S",
            "-F",
            &message.display().to_string(),
        ]);
        follow.secret("signers", json!({"anna.sshpub": public}));
        follow.source(json!({"verify": {"mode": "HEAD", "secretRef": {"name": "signers"}}}));
        follow.run().await;
        follow.until("Ready", &words).await;
    }
    follow.halt().await;
}
