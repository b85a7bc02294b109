//! Hostile commits, written object by object, and how each ends.

use couchestor::decrypt::{ClearCache, FILE_BYTES_MAX, Vouched, decrypt};
use couchestor::fetch::{Fetched, Follow, fetch};
use couchestor::formats::sops::Identities;
use couchestor::formats::substitute::Variables;
use couchestor::io::git::{Credentials, Repository, init_bare};
use couchestor::model::failure::Failure;
use couchestor::parse::{ParseCache, parse};
use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// One entry of a tree: mode, name, object.
pub type Entry = (&'static str, Vec<u8>, String);

/// A remote whose objects are written byte by byte.
pub struct Remote {
    /// The remote and its clone.
    pub folder: tempfile::TempDir,
}

pub const CLASS: &str =
    "apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {name: NAME}\nprovisioner: x\n";

impl Remote {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        init_bare(&folder.path().join("repository.git")).unwrap();
        Self { folder }
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("repository.git")
    }

    /// What Git answers, and whether it was content.
    pub fn git(&self, arguments: &[&str], input: &[u8]) -> (bool, String) {
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

    pub fn blob(&self, content: &[u8]) -> String {
        self.git(&["hash-object", "-w", "--stdin"], content).1
    }

    pub fn class(&self, name: &str) -> String {
        self.blob(CLASS.replace("NAME", name).as_bytes())
    }

    /// A tree of these bytes.
    pub fn listing(&self, bytes: &[u8]) -> String {
        let options = ["hash-object", "-t", "tree", "--literally", "-w", "--stdin"];
        self.git(&options, bytes).1
    }

    /// A tree with these entries, in this order, whatever they are.
    pub fn tree(&self, entries: &[Entry]) -> String {
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

    pub fn commit(&self, tree: &str) {
        let (_, commit) = self.git(&["commit-tree", "-m", "eve", tree], b"");
        assert!(self.git(&["update-ref", "refs/heads/main", &commit], b"").0);
    }

    /// Whether Git itself would bring the commit into an index.
    pub fn git_reads_it(&self) -> bool {
        self.git(&["read-tree", "main"], b"").0
    }

    /// What the controller makes of the tip that is found at this address: what it renders from, or how it ends.
    pub async fn read_at(&self, url: &str) -> Result<Vec<String>, String> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let clone = self.folder.path().join("clone");
        let limit = Duration::from_secs(60);
        let repository = Repository::new(url, &clone, Credentials::default(), limit, true).unwrap();
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
    pub fn assert_nothing_else_was_written(&self) {
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
pub enum Ends {
    /// Git reads it, and so do we: these files besides the harmless one.
    Read(&'static [&'static str]),
    /// Git refuses it too; the message says all of this.
    Refused(&'static [&'static str]),
    /// Git takes it, we do not; the message says all of this.
    Stricter(&'static [&'static str]),
}

/// Entries that stand in `p/`, after `a.yaml`, which is harmless.
pub fn cases(remote: &Remote) -> Vec<(&'static str, Vec<Entry>, Ends)> {
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
pub fn around(remote: &Remote, entries: &[Entry]) -> String {
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

pub type Make = fn(&Remote) -> String;

/// Listings that are none: how libgit2 and Git's own server say so.
pub const BROKEN: [(&str, Make, &str, &str); 6] = [
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
pub const ABSENCES: [(&str, Make, &str, &str); 3] = [
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
