//! What it costs to see that nothing changed: one request, beside the real git command in the same run.

use super::tls::{Authority, front};
use super::{BASIC, bare, open, place, secret, serve};
use crate::support::say;
use couchestor::fetch::{Fetched, Follow, fetch};
use couchestor::io::git::{Credentials, init_bare};
use couchestor::model::ids::Revision;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;

/// Looks at a tip that is known.
const TURNS: usize = 5;

/// References beside the branch that is followed.
const REFERENCES: usize = 10_000;

fn with_references(repository: &Path, tip: &str) {
    let mut lines = String::new();
    for number in 0..REFERENCES {
        let _ = writeln!(lines, "create refs/heads/b{number:05} {tip}");
    }
    let mut child = Command::new("git")
        .current_dir(repository)
        .args(["update-ref", "--stdin"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("this test needs git");
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    let packed = Command::new("git")
        .current_dir(repository)
        .args(["pack-refs", "--all"])
        .status();
    assert!(packed.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_tip_costs_one_request_also_beside_ten_thousand_references() {
    let folder = tempfile::tempdir().unwrap();
    let (_, tip) = bare(folder.path()).await;
    with_references(&folder.path().join("repository.git"), tip.as_str());
    let (plain, came) = serve(folder.path(), BASIC).await;
    let ours = Authority::new();
    let (address, connections) = front(&ours, None, place(&plain)).await;
    let url = format!("https://{address}/repository.git");
    let pairs = [
        ("ca.crt", ours.pem.as_str()),
        ("username", "ops"),
        ("password", "right"),
    ];
    let credentials = Credentials::from_secret(&secret(&pairs), &url).unwrap();
    let repository = open(&url, &folder.path().join("clone"), credentials);
    let look = async |known: Option<&Revision>| {
        fetch(&repository, "main", &Follow::Branch, None, "p/assignments", known)
            .await
            .unwrap()
    };
    let Fetched::Changed(checkout, ..) = look(None).await else {
        panic!("the first look finds the tip");
    };
    assert_eq!(checkout.revision.commit, tip);
    let known = checkout.revision.clone();
    // The connection of the first look is kept: no turn makes another one.
    connections.store(0, Ordering::SeqCst);
    for turn in 0..TURNS {
        came.lock().unwrap().clear();
        let before = repository.blob_reads();
        assert!(
            matches!(look(Some(&known)).await, Fetched::Unchanged(_)),
            "turn {turn}"
        );
        assert_eq!(came.lock().unwrap().len(), 1, "requests of turn {turn}");
        assert_eq!(
            connections.load(Ordering::SeqCst),
            0,
            "new connections until turn {turn}"
        );
        assert_eq!(repository.blob_reads(), before, "turn {turn}");
    }
    // The real command, in the same run.
    came.lock().unwrap().clear();
    let theirs = Command::new("git")
        .env("HOME", folder.path())
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .args([
            "-c",
            &format!("http.extraHeader=Authorization: {BASIC}"),
            "ls-remote",
            &plain,
            "refs/heads/main",
        ])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&theirs.stdout).into_owned();
    assert!(said.starts_with(tip.as_str()), "{said}");
    let requests = came.lock().unwrap().len();
    say(&format!(
        "an unchanged tip beside {REFERENCES} references, {TURNS} times: 1 request of ours each on a kept connection, and {requests} of git ls-remote"
    ));
}

/// The same repository, cloned by us and by the real command: what lies on the disk then.
#[tokio::test(flavor = "multi_thread")]
async fn a_clone_is_no_larger_than_that_of_the_real_command() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("repository.git");
    init_bare(&path).unwrap();
    let mut made = crate::support::import::Made::new(path.clone());
    for number in 0..500 {
        let parents = if number == 0 { Vec::new() } else { made.last() };
        made.commit("main", &parents);
        made.file(
            &format!("p/{:03}.yaml", number % 200),
            &format!("kind: A\nspec: {{number: {number}}}\n"),
        );
    }
    made.import();
    let size = |folder: &Path| -> u64 {
        fn below(folder: &Path) -> u64 {
            let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
            entries
                .map(|entry| match entry.file_type().unwrap().is_dir() {
                    true => below(&entry.path()),
                    false => entry.metadata().unwrap().len(),
                })
                .sum()
        }
        below(&folder.join("objects"))
    };
    let (url, _) = serve(folder.path(), "").await;
    let ours = folder.path().join("ours");
    open(&url, &ours, Credentials::default())
        .fetch("main")
        .await
        .unwrap();
    let theirs = folder.path().join("theirs");
    let cloned = Command::new("git")
        .env("HOME", folder.path())
        .args(["clone", "-q", "--bare", &url])
        .arg(&theirs)
        .status();
    assert!(cloned.unwrap().success());
    let (ours, theirs) = (size(&ours), size(&theirs));
    say(&format!(
        "a clone of 500 commits: {ours} bytes of ours, {theirs} of git's"
    ));
    assert!(ours <= theirs * 3 / 2, "{ours} bytes against {theirs}");
}
