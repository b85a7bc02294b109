//! Hostile commits, made as real Git objects: each is read as Git itself reads it, or refused with its path and a rule. Nothing of
//! them reaches the disk but as objects.

use crate::git_remote::serve;
use crate::support::say;
use commits::{ABSENCES, BROKEN, CLASS, Ends, Entry, Remote, around, cases};
use couchestor::io::git::{Credentials, Repository};
use couchestor::model::failure::{Class, Failure};
use std::collections::BTreeSet;
use std::time::Duration;

/// The commits.
pub mod commits;

impl Remote {
    /// What the controller makes of the tip, over http or from the folder.
    async fn read(&self, http: bool) -> Result<Vec<String>, String> {
        let url = match http {
            true => serve(self.folder.path(), "").await.0,
            false => format!("file://{}", self.path().display()),
        };
        self.read_at(&url).await
    }
}

fn assert_printable(text: &str, what: &str) {
    let bad = |letter: char| letter.is_control() && letter != '\n';
    assert!(!text.contains(bad) && text.len() < 2_000, "{what}: {text:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_names_are_read_as_git_reads_them_or_refused_by_path_and_rule() {
    let (mut read_alike, mut refused, mut stricter) = (0, 0, 0);
    for http in [false, true] {
        let count = cases(&Remote::new()).len();
        for index in 0..count {
            let remote = Remote::new();
            let (what, entries, ends) = cases(&remote).swap_remove(index);
            remote.commit(&around(&remote, &entries));
            let what = format!("{what} (http: {http})");
            let outcome = remote.read(http).await;
            let git = remote.git_reads_it();
            match (ends, &outcome) {
                (Ends::Read(files), Ok(read)) => {
                    let mut wanted = BTreeSet::from(["p/a.yaml".to_owned()]);
                    wanted.extend(files.iter().map(|file| (*file).to_owned()));
                    assert_eq!(read.iter().cloned().collect::<BTreeSet<_>>(), wanted, "{what}");
                    assert!(git, "{what}: git does not read it");
                    read_alike += 1;
                }
                (Ends::Refused(words), Err(text)) => {
                    assert!(words.iter().all(|word| text.contains(word)), "{what}: {text}");
                    assert_printable(text, &what);
                    assert!(!git, "{what}: git reads it");
                    refused += 1;
                }
                (Ends::Stricter(words), Err(text)) => {
                    assert!(words.iter().all(|word| text.contains(word)), "{what}: {text}");
                    assert_printable(text, &what);
                    stricter += 1;
                }
                _ => panic!("{what}: {outcome:?}"),
            }
        }
    }
    say(&format!(
        "hostile commits: {read_alike} read as git reads them, {refused} refused by both, {stricter} by us only"
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_cannot_give_out_ends_with_its_words_and_no_loop() {
    let mut ended = 0;
    for http in [false, true] {
        for (what, make, libgit2, server) in BROKEN.into_iter().chain(ABSENCES) {
            let remote = Remote::new();
            remote.commit(&make(&remote));
            let outcome = remote.read(http).await;
            let text = outcome.map(|files| files.join(" ")).unwrap_err();
            let words = if http { server } else { libgit2 };
            assert!(text.contains(words), "{what} (http: {http}): {text}");
            assert_printable(&text, what);
            ended += 1;
        }
    }
    say(&format!(
        "hostile commits: {ended} that the server cannot give out"
    ));
}

/// A server that looks at nothing gives such listings out: then they are in the clone.
#[tokio::test(flavor = "multi_thread")]
async fn broken_listings_in_the_clone_are_named_by_their_folder() {
    for (what, make, libgit2, _) in BROKEN {
        let remote = Remote::new();
        let (_, broken) = remote.git(&["commit-tree", "-m", "eve", &make(&remote)], b"");
        remote.commit(&around(&remote, &[]));
        assert_eq!(remote.read(false).await.unwrap(), ["p/a.yaml"]);
        let all = ["cat-file", "--batch-all-objects", "--batch-check=%(objectname)"];
        let (_, objects) = remote.git(&all, b"");
        let clone = remote.folder.path().join("clone");
        let pack = clone.join("objects/pack/pack");
        let pack = ["pack-objects", "-q", &pack.to_string_lossy()];
        assert!(remote.git(&pack, (objects + "\n").as_bytes()).0, "{what}");
        let url = format!("file://{}", remote.path().display());
        let limit = Duration::from_secs(60);
        let repository = Repository::new(&url, &clone, Credentials::default(), limit, true).unwrap();
        let error = repository.entries(&broken.as_str().into()).await.unwrap_err();
        let text = error.to_string();
        let named = text.starts_with("p/: ") || text.starts_with("p/b/: ");
        assert!(
            named && text.contains("error[bad-tree]") && text.contains(libgit2),
            "{what}: {text}"
        );
        assert_eq!((error.class(), error.reason()), (Class::Stalled, "InvalidTree"));
        assert_printable(&text, what);
        remote.assert_nothing_else_was_written();
    }
    say(&format!(
        "hostile commits: {} broken listings in the clone",
        BROKEN.len()
    ));
}

/// Objects that are larger than any should be.
mod large;

/// Folders in folders, each ten times: more files than fit into the world, in a few hundred bytes.
#[tokio::test(flavor = "multi_thread")]
async fn folders_that_are_many_are_counted_and_folders_that_are_deep_are_read() {
    let names: Vec<String> = (0..10).map(|number| format!("d{number}")).collect();
    for (leaf, http) in [("100644", true), ("40000", false)] {
        let remote = Remote::new();
        let mut id = match leaf {
            "40000" => remote.tree(&[]),
            _ => remote.class("b"),
        };
        for level in 0..9 {
            let mode = if level == 0 { leaf } else { "40000" };
            let entries: Vec<Entry> = names
                .iter()
                .map(|name| (mode, name.as_bytes().to_vec(), id.clone()))
                .collect();
            id = remote.tree(&entries);
        }
        remote.commit(&around(&remote, &[("40000", b"b".to_vec(), id)]));
        let text = remote.read(http).await.unwrap_err();
        let words = ["too-many-files", "1000000"];
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
        assert_printable(&text, leaf);
    }

    let remote = Remote::new();
    let mut id = remote.tree(&[("100644", b"c.yaml".to_vec(), remote.class("c"))]);
    for _ in 0..200 {
        id = remote.tree(&[("40000", b"d".to_vec(), id)]);
    }
    remote.commit(&around(&remote, &[("40000", b"b".to_vec(), id)]));
    let files = remote.read(true).await.unwrap();
    assert_eq!(
        files,
        ["p/a.yaml".to_owned(), format!("p/b/{}c.yaml", "d/".repeat(200))]
    );
    assert!(remote.git_reads_it());

    // Deeper than any path may be.
    let mut id = remote.tree(&[("100644", b"c.yaml".to_vec(), remote.class("c"))]);
    for _ in 0..3_000 {
        id = remote.tree(&[("40000", b"d".to_vec(), id)]);
    }
    remote.commit(&around(&remote, &[("40000", b"b".to_vec(), id)]));
    let text = remote.read(true).await.unwrap_err();
    assert!(text.contains("long-path") && text.contains("p/b/d/d/"), "{text}");
    assert_printable(&text, "deep");
}

/// A folder with more files than a policy repository has; it is read as it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_huge_folder_beside_the_policies_is_listed() {
    let remote = Remote::new();
    let class = remote.class("b");
    let entries: Vec<Entry> = (0..200_000)
        .map(|number| ("100644", format!("{number:06}.yaml").into_bytes(), class.clone()))
        .collect();
    let huge = remote.tree(&entries);
    let harmless = remote.tree(&[("100644", b"a.yaml".to_vec(), remote.class("a"))]);
    remote.commit(&remote.tree(&[
        ("40000", b"huge".to_vec(), huge),
        ("40000", b"p".to_vec(), harmless),
    ]));
    assert_eq!(remote.read(true).await.unwrap(), ["p/a.yaml"]);
}

/// What is refused at the tip is left out of the past: history is there to say who brought what.
#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_commit_of_the_past_does_no_harm() {
    let remote = Remote::new();
    let folder = |name: &[u8]| {
        let file = ("100644", name.to_vec(), remote.class("b"));
        let assignments = remote.tree(&[file]);
        around(&remote, &[("40000", b"assignments".to_vec(), assignments)])
    };
    remote.commit(&folder(b".."));
    assert!(remote.read(true).await.unwrap_err().contains("p/assignments/.."));
    let (_, parent) = remote.git(&["rev-parse", "main"], b"");
    let tree = around(&remote, &[]);
    let (_, tip) = remote.git(&["commit-tree", "-p", &parent, "-m", "good", &tree], b"");
    assert!(remote.git(&["update-ref", "refs/heads/main", &tip], b"").0);
    assert_eq!(remote.read(true).await.unwrap(), ["p/a.yaml"]);
}
