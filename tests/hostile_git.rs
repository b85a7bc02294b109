//! Hostile commits, made as real Git objects: each is read as Git itself reads it, or refused with its path and a rule. Nothing of
//! them reaches the disk but as objects.

use crate::git_remote::serve;
use couchestor::decrypt::{ClearCache, FILE_BYTES_MAX, Vouched, decrypt};
use couchestor::fetch::{Fetched, Follow, fetch};
use couchestor::formats::sops::Identities;
use couchestor::formats::substitute::Variables;
use couchestor::io::git::{Credentials, Repository, init_bare};
use couchestor::model::failure::{Class, Failure};
use couchestor::parse::{ParseCache, parse};
use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// One entry of a tree: mode, name, object.
type Entry = (&'static str, Vec<u8>, String);

/// A remote whose objects are written byte by byte.
struct Remote {
    folder: tempfile::TempDir,
}

const CLASS: &str =
    "apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {name: NAME}\nprovisioner: x\n";

impl Remote {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        init_bare(&folder.path().join("repository.git")).unwrap();
        Self { folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("repository.git")
    }

    /// What Git answers, and whether it was content.
    fn git(&self, arguments: &[&str], input: &[u8]) -> (bool, String) {
        let mut child = Command::new("git")
            .current_dir(self.path())
            .env("GIT_INDEX_FILE", self.path().join("index"))
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("HOME", self.folder.path())
            .args(["-c", "user.name=Eve", "-c", "user.email=eve@example.org"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("this test needs git");
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        (output.status.success(), text)
    }

    fn blob(&self, content: &[u8]) -> String {
        self.git(&["hash-object", "-w", "--stdin"], content).1
    }

    fn class(&self, name: &str) -> String {
        self.blob(CLASS.replace("NAME", name).as_bytes())
    }

    /// A tree of these bytes.
    fn listing(&self, bytes: &[u8]) -> String {
        let options = ["hash-object", "-t", "tree", "--literally", "-w", "--stdin"];
        self.git(&options, bytes).1
    }

    /// A tree with these entries, in this order, whatever they are.
    fn tree(&self, entries: &[Entry]) -> String {
        let mut bytes = Vec::new();
        for (mode, name, id) in entries {
            bytes.extend_from_slice(mode.as_bytes());
            bytes.push(b' ');
            bytes.extend_from_slice(name);
            bytes.push(0);
            for at in (0..40).step_by(2) {
                bytes.push(u8::from_str_radix(&id[at..at + 2], 16).unwrap());
            }
        }
        self.listing(&bytes)
    }

    fn commit(&self, tree: &str) {
        let (_, commit) = self.git(&["commit-tree", "-m", "eve", tree], b"");
        assert!(self.git(&["update-ref", "refs/heads/main", &commit], b"").0);
    }

    /// Whether Git itself would bring the commit into an index.
    fn git_reads_it(&self) -> bool {
        self.git(&["read-tree", "main"], b"").0
    }

    /// What the controller makes of the tip: what it renders from, or how it ends.
    async fn read(&self, http: bool) -> Result<Vec<String>, String> {
        let url = match http {
            true => serve(self.folder.path(), "").await.0,
            false => format!("file://{}", self.path().display()),
        };
        let _ = rustls::crypto::ring::default_provider().install_default();
        let clone = self.folder.path().join("clone");
        let limit = Duration::from_secs(60);
        let repository = Repository::new(&url, &clone, Credentials::default(), limit, true).unwrap();
        let fetched = fetch(&repository, "main", &Follow::Branch, None, "p/assignments", None).await;
        let outcome = match fetched {
            Ok(Fetched::Changed(checkout, ..)) => {
                let blobs = repository.blobs().unwrap();
                let read = |id: &_| blobs.read(id, FILE_BYTES_MAX);
                let keys = Identities::default();
                let mut cache = ClearCache::default();
                let tree = decrypt(
                    &checkout,
                    "p",
                    "p/assignments",
                    &read,
                    &keys,
                    Vouched::No,
                    &mut cache,
                );
                tree.map_err(|refused| refused.diagnostics)
                    .and_then(|tree| {
                        let parsed = parse(&tree, &[], &Variables::default(), &mut ParseCache::default());
                        match parsed.desired {
                            Some(_) => Ok(tree.files.into_keys().collect()),
                            None => Err(parsed.diagnostics),
                        }
                    })
                    .map_err(|errors| {
                        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
                        lines.join("\n")
                    })
            }
            Ok(_) => Err("nothing was fetched".to_owned()),
            Err(error) => Err(format!("{} {error}", error.reason())),
        };
        self.assert_nothing_else_was_written();
        outcome
    }

    /// Besides the remote and the clone there is nothing, and the clone holds what a bare repository holds.
    fn assert_nothing_else_was_written(&self) {
        let names = |folder: &Path| -> BTreeSet<String> {
            std::fs::read_dir(folder)
                .into_iter()
                .flatten()
                .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
                .collect()
        };
        let around = names(self.folder.path());
        let known = ["clone", "clone~new", "repository.git"];
        assert!(
            around.iter().all(|name| known.contains(&name.as_str())),
            "{around:?}"
        );
        let inside = names(&self.folder.path().join("clone"));
        let known = [
            "FETCH_HEAD",
            "HEAD",
            "config",
            "description",
            "hooks",
            "info",
            "objects",
            "refs",
        ];
        assert!(
            inside.iter().all(|name| known.contains(&name.as_str())),
            "{inside:?}"
        );
    }
}

/// How a case ends.
enum Ends {
    /// Git reads it, and so do we: these files besides the harmless one.
    Read(&'static [&'static str]),
    /// Git refuses it too; the message says all of this.
    Refused(&'static [&'static str]),
    /// Git takes it, we do not; the message says all of this.
    Stricter(&'static [&'static str]),
}

/// Entries that stand in `p/`, after `a.yaml`, which is harmless.
fn cases(remote: &Remote) -> Vec<(&'static str, Vec<Entry>, Ends)> {
    use Ends::{Read, Refused, Stricter};
    let class = remote.class("b");
    let empty = remote.tree(&[]);
    let folder = remote.tree(&[("100644", b"c.yaml".to_vec(), remote.class("c"))]);
    let file = |name: &[u8]| vec![("100644", name.to_vec(), class.clone())];
    let link = |name: &str, to: &str| vec![("120000", name.as_bytes().to_vec(), remote.blob(to.as_bytes()))];
    let below = |name: &[u8]| vec![("40000", name.to_vec(), folder.clone())];
    let mut cases = vec![
        ("dot dot", file(b".."), Refused(&["p/..", "bad-name"])),
        ("dot dot folder", below(b".."), Refused(&["p/..", "bad-name"])),
        ("dot", file(b"."), Refused(&["p/.", "bad-name"])),
        (".git", file(b".git"), Refused(&["p/.git", "bad-name"])),
        (".git folder", below(b".git"), Refused(&["p/.git", "bad-name"])),
        (".GIT", below(b".GIT"), Refused(&["p/.GIT", "bad-name"])),
        ("git~1", below(b"git~1"), Refused(&["p/git~1", "bad-name"])),
        (".git and spaces", below(b".git . "), Refused(&["bad-name"])),
        ("a stream", file(b".git:x"), Refused(&["bad-name"])),
        (
            "slash",
            file(b"x/../../etc/b.yaml"),
            Refused(&["p/x/../../etc/b.yaml", "bad-name"]),
        ),
        (
            "absolute",
            file(b"/etc/b.yaml"),
            Refused(&["p//etc/b.yaml", "bad-name"]),
        ),
        (".gitmodules", file(b".gitmodules"), Read(&[])),
        (".gitx", file(b".gitx"), Read(&[])),
        (
            "control characters",
            file(b"b\x1b[31m\n\r.yaml"),
            Read(&["p/b\x1b[31m\n\r.yaml"]),
        ),
        ("not UTF-8", file(b"b\xff.yaml"), Read(&[])),
        ("folder not UTF-8", below(b"b\xff"), Read(&[])),
        ("device", file(b"CON"), Read(&[])),
        ("device with an end", file(b"aux.yaml"), Read(&["p/aux.yaml"])),
        ("backslash", file(b"b\\..\\c.yaml"), Read(&["p/b\\..\\c.yaml"])),
        ("long", file(&[b'b'; 5_000]), Stricter(&["p/bbb", "long-path"])),
        (
            "link out",
            link("b.yaml", "/etc/passwd"),
            Stricter(&["p/b.yaml", "not-a-file"]),
        ),
        (
            "link up",
            link("b.yaml", "../../../x.yaml"),
            Stricter(&["p/b.yaml", "not-a-file"]),
        ),
        ("link that nobody reads", link("b", "/etc/passwd"), Read(&[])),
        (
            "assignments elsewhere",
            link("assignments", "../q"),
            Stricter(&["p/assignments", "not-a-file"]),
        ),
        ("empty folder", vec![("40000", b"b".to_vec(), empty)], Read(&[])),
        ("folder", below(b"b"), Read(&["p/b/c.yaml"])),
        (
            "out of order",
            file(b"Z.yaml"),
            Stricter(&["p/Z.yaml", "tree-order"]),
        ),
        (
            "twice",
            [file(b"b.yaml"), file(b"b.yaml")].concat(),
            Stricter(&["p/b.yaml", "duplicate-name"]),
        ),
        (
            "file and folder",
            [file(b"b"), file(b"b.yaml"), below(b"b")].concat(),
            Stricter(&["p/b", "duplicate-name"]),
        ),
    ];
    let broken = remote.blob(b"kind: [\n");
    cases.push((
        "a mistake behind a hostile name",
        vec![("100644", "b\x1b[2J\u{202e}\n.yaml".as_bytes().to_vec(), broken)],
        Stricter(&["p/b\\u{1b}[2J\\u{202e}\\n.yaml:", "error["]),
    ));
    let commit = "1234567890123456789012345678901234567890".to_owned();
    cases.push((
        "submodule",
        vec![("160000", b"b.yaml".to_vec(), commit.clone())],
        Stricter(&["p/b.yaml", "not-a-file"]),
    ));
    cases.push((
        "submodule that nobody reads",
        vec![("160000", b"b".to_vec(), commit)],
        Read(&[]),
    ));
    cases
}

/// `p/` with the harmless file and these entries.
fn around(remote: &Remote, entries: &[Entry]) -> String {
    let mut all = vec![("100644", b"a.yaml".to_vec(), remote.class("a"))];
    all.extend_from_slice(entries);
    // As Git sorts, unless the case is about the order: then its name is above all others.
    if entries.iter().all(|entry| entry.1 != b"Z.yaml") {
        all.sort_by_key(|(mode, name, _)| {
            let mut key = name.clone();
            if *mode == "40000" {
                key.push(b'/');
            }
            key
        });
    }
    remote.tree(&[("40000", b"p".to_vec(), remote.tree(&all))])
}

fn assert_printable(text: &str, what: &str) {
    let bad = |letter: char| letter.is_control() && letter != '\n';
    assert!(!text.contains(bad) && text.len() < 2_000, "{what}: {text:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_names_are_read_as_git_reads_them_or_refused_by_path_and_rule() {
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
                }
                (Ends::Refused(words), Err(text)) => {
                    assert!(words.iter().all(|word| text.contains(word)), "{what}: {text}");
                    assert_printable(text, &what);
                    assert!(!git, "{what}: git reads it");
                }
                (Ends::Stricter(words), Err(text)) => {
                    assert!(words.iter().all(|word| text.contains(word)), "{what}: {text}");
                    assert_printable(text, &what);
                }
                _ => panic!("{what}: {outcome:?}"),
            }
        }
    }
}

type Make = fn(&Remote) -> String;

/// Listings that are none: how libgit2 and Git's own server say so.
const BROKEN: [(&str, Make, &str, &str); 6] = [
    (
        "a folder that is a file",
        |remote| around(remote, &[("40000", b"b".to_vec(), remote.class("b"))]),
        "requested type does not match",
        "bad tree object",
    ),
    (
        "an empty name",
        |remote| around(remote, &[("100644", b"".to_vec(), remote.class("b"))]),
        "can't parse filename",
        "empty filename in tree entry",
    ),
    (
        "no mode",
        |remote| around(remote, &[("", b"b".to_vec(), remote.class("b"))]),
        "can't parse filemode",
        "malformed mode in tree entry",
    ),
    (
        "a mode of letters",
        |remote| around(remote, &[("rwxrwx", b"b".to_vec(), remote.class("b"))]),
        "can't parse filemode",
        "malformed mode in tree entry",
    ),
    (
        "a listing that is cut short",
        |remote| {
            let folder = remote.listing(b"100644 b.yaml\0short");
            remote.tree(&[("40000", b"p".to_vec(), folder)])
        },
        "can't parse OID",
        "too-short tree object",
    ),
    (
        "noise",
        |remote| {
            let folder = remote.listing(&[7; 100]);
            remote.tree(&[("40000", b"p".to_vec(), folder)])
        },
        "can't parse filemode",
        "too-short tree object",
    ),
];

const ABSENT: &str = "1234567890123456789012345678901234567890";

/// What the remote's object database cannot give out.
const ABSENCES: [(&str, Make, &str, &str); 3] = [
    (
        "a file that is a folder",
        |remote| around(remote, &[("100644", b"b.yaml".to_vec(), remote.tree(&[]))]),
        "p/b.yaml:1:1: error[unreadable]",
        "p/b.yaml:1:1: error[unreadable]",
    ),
    (
        "a file that is missing",
        |remote| around(remote, &[("100644", b"b.yaml".to_vec(), ABSENT.to_owned())]),
        "git fsck",
        "unable to read 1234567890",
    ),
    (
        "a folder that is missing",
        |remote| around(remote, &[("40000", b"b".to_vec(), ABSENT.to_owned())]),
        "git fsck",
        "bad tree object 1234567890",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_cannot_give_out_ends_with_its_words_and_no_loop() {
    for http in [false, true] {
        for (what, make, libgit2, server) in BROKEN.into_iter().chain(ABSENCES) {
            let remote = Remote::new();
            remote.commit(&make(&remote));
            let outcome = remote.read(http).await;
            let text = outcome.map(|files| files.join(" ")).unwrap_err();
            let words = if http { server } else { libgit2 };
            assert!(text.contains(words), "{what} (http: {http}): {text}");
            assert_printable(&text, what);
        }
    }
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
