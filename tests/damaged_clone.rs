//! A clone that lost objects, or whose objects are broken, is made anew once; a remote that lacks them itself is named.

use crate::support::follow::Follow;
use crate::support::import::Made;
use crate::support::{say, seed};
use couchestor::decrypt::{ClearCache, FILE_BYTES_MAX, Vouched, decrypt};
use couchestor::formats::sops::Identities;
use couchestor::io::git::{Credentials, GitError, Lease, Repository};
use couchestor::model::failure::{Class, Failure};
use couchestor::model::ids::{CommitId, Revision};
use couchestor::model::rendering::FileChange;
use couchestor::model::tree::Checkout;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const FOLDER: &str = "p/assignments";

fn open(made: &Made, clone: &Path) -> Repository {
    let url = format!("file://{}", made.path.display());
    let limit = Duration::from_secs(60);
    Repository::new(&url, clone, Credentials::default(), limit, true).unwrap()
}

/// Twenty commits of some files.
fn made(folder: &Path) -> Made {
    let mut made = Made::new(folder.join("repository.git"));
    for number in 0..20 {
        let before = match number {
            0 => Vec::new(),
            _ => made.last(),
        };
        made.commit("main", &before);
        made.file(
            "p/class.yaml",
            "apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {name: c}\n",
        );
        made.file(
            &format!("{FOLDER}/db/c{}.yaml", number % 7),
            &format!("tier: t{number}\n"),
        );
    }
    made.import();
    made
}

/// Warnings of this thread.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<u8>>>);

impl Write for Warnings {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Warnings {
    fn listen(&self) -> tracing::subscriber::DefaultGuard {
        let to = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || to.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    fn thrown_away(&self) -> usize {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.matches("the clone is damaged; it is thrown away and cloned anew")
            .count()
    }
}

/// All files below a folder whose names end like this.
fn below(folder: &Path, end: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false if path.to_string_lossy().ends_with(end) => found.push(path),
                false => {}
            }
        }
    }
    found
}

fn overwrite(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).unwrap();
    change(&mut bytes);
    // Git writes its files read-only.
    std::fs::remove_file(path).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// What happens to the folder on disk.
type Damage = fn(&Path);

const DAMAGES: [(&str, Damage); 8] = [
    ("packs are gone", |clone| {
        for pack in below(clone, ".pack") {
            std::fs::remove_file(pack).unwrap();
        }
    }),
    ("packs and their indexes are gone", |clone| {
        std::fs::remove_dir_all(clone.join("objects/pack")).unwrap();
    }),
    ("indexes are gone", |clone| {
        for index in below(clone, ".idx") {
            std::fs::remove_file(index).unwrap();
        }
    }),
    ("bytes of a pack are others", |clone| {
        for pack in below(clone, ".pack") {
            overwrite(&pack, |bytes| {
                let end = bytes.len() - 20;
                for byte in &mut bytes[20..end] {
                    *byte = !*byte;
                }
            });
        }
    }),
    ("a pack is cut short", |clone| {
        for pack in below(clone, ".pack") {
            overwrite(&pack, |bytes| bytes.truncate(bytes.len() / 2));
        }
    }),
    ("a pack is empty", |clone| {
        for pack in below(clone, ".pack") {
            overwrite(&pack, Vec::clear);
        }
    }),
    ("an index is empty", |clone| {
        for index in below(clone, ".idx") {
            overwrite(&index, Vec::clear);
        }
    }),
    ("all objects are gone", |clone| {
        std::fs::remove_dir_all(clone.join("objects")).unwrap();
        std::fs::create_dir(clone.join("objects")).unwrap();
    }),
];

/// What the controller reads of a tip, from the listing to the last file.
async fn read(repository: &Repository, tip: &CommitId) -> Result<usize, GitError> {
    let entries = repository.entries(tip).await?;
    let history = repository.history(tip, FOLDER).await?;
    let checkout = Checkout {
        revision: Revision {
            branch: "main".to_owned(),
            commit: tip.clone(),
        },
        entries,
        introduced: history.introduced,
        removed: history.removed,
    };
    let mut mended = false;
    loop {
        let (tree, damage) = {
            let blobs = repository.blobs()?;
            let tree = decrypt(
                &checkout,
                "p",
                FOLDER,
                &|id: &_| blobs.read(id, FILE_BYTES_MAX),
                &Identities::default(),
                Vouched::No,
                &mut ClearCache::default(),
            );
            (tree, blobs.damage())
        };
        match (tree, damage) {
            (Ok(tree), None) => return Ok(tree.files.len()),
            (_, Some(detail)) if !mended => {
                repository.mend(&detail).await?;
                mended = true;
            }
            (tree, damage) => panic!("{:?} {damage:?}", tree.map(|tree| tree.files.len())),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_to_the_clone_it_is_made_anew_once_and_read_whole() {
    let both = |(what, damage)| [(what, damage, false), (what, damage, true)];
    for (what, damage, running) in DAMAGES.into_iter().flat_map(both) {
        let folder = tempfile::tempdir().unwrap();
        let made = made(folder.path());
        let clone = folder.path().join("clone");
        let repository = open(&made, &clone);
        let tip = repository.fetch("main").await.unwrap().branches["main"].clone();
        let whole = read(&repository, &tip).await.unwrap();
        assert_eq!(whole, 8);
        damage(&clone);
        let warnings = Warnings::default();
        let _guard = warnings.listen();
        // One that runs meets the damage as it reads; one that starts looks for it first.
        let fresh = match running {
            true => repository,
            false => open(&made, &clone),
        };
        let again = fresh
            .fetch("main")
            .await
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(again.branches["main"], tip, "{what}");
        let files = read(&fresh, &tip)
            .await
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(files, whole, "{what}");
        say(&format!("{what}: thrown away {} times", warnings.thrown_away()));
        assert!(warnings.thrown_away() <= 1, "{what}");
        assert!(!folder.path().join("clone~new").exists(), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_between_two_steps_is_mended_where_it_is_met() {
    let folder = tempfile::tempdir().unwrap();
    let made = made(folder.path());
    for step in ["entries", "history", "blobs", "push", "object", "has"] {
        let clone = folder.path().join(step);
        let repository = open(&made, &clone);
        let tip = repository.fetch("main").await.unwrap().branches["main"].clone();
        DAMAGES[0].1(&clone);
        let warnings = Warnings::default();
        let _guard = warnings.listen();
        match step {
            "entries" => assert_eq!(repository.entries(&tip).await.unwrap().len(), 8),
            "history" => assert_eq!(
                repository.history(&tip, FOLDER).await.unwrap().introduced.len(),
                7
            ),
            "blobs" => {
                repository.mend("a test says so").await.unwrap();
                assert_eq!(read(&repository, &tip).await.unwrap(), 8);
            }
            "push" => {
                let file = FileChange {
                    path: "p/new.yaml".into(),
                    content: Some(b"new\n".to_vec()),
                };
                let now = couchestor::io::clock::now();
                repository
                    .push("other", Lease::Absent, Some(tip), vec![file], "new\n".into(), now)
                    .await
                    .unwrap();
                made.git(&["fsck", "--strict"]);
                assert_eq!(made.git(&["show", "other:p/new.yaml"]), "new\n");
            }
            "object" => {
                let object = repository.object(tip.as_str(), 10_000).await.unwrap();
                assert!(object.starts_with(b"tree "));
            }
            _ => {
                // A commit that is not here is fetched, as one that never was.
                assert!(!repository.has(&tip).await.unwrap());
                repository.fetch_all().await.unwrap();
                assert!(repository.has(&tip).await.unwrap());
                assert_eq!(read(&repository, &tip).await.unwrap(), 8);
            }
        }
        assert_eq!(warnings.thrown_away(), 1, "{step}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_that_comes_back_is_not_answered_with_clone_after_clone() {
    let folder = tempfile::tempdir().unwrap();
    let made = made(folder.path());
    let clone = folder.path().join("clone");
    let repository = open(&made, &clone);
    let tip = repository.fetch("main").await.unwrap().branches["main"].clone();
    let warnings = Warnings::default();
    let _guard = warnings.listen();
    for time in 0..5 {
        DAMAGES[7].1(&clone);
        let outcome = repository.entries(&tip).await;
        assert_eq!(warnings.thrown_away(), 1, "{time}");
        if time == 0 {
            assert_eq!(outcome.unwrap().len(), 8);
            continue;
        }
        let error = outcome.unwrap_err();
        assert_eq!(
            (error.class(), error.reason()),
            (Class::Retry, "CloneDamaged"),
            "{error}"
        );
        let text = error.to_string();
        assert!(
            text.contains("made anew less than 60 minutes ago") && text.contains("git fsck"),
            "{text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remote_that_lacks_an_object_is_named_and_the_old_clone_stays() {
    let folder = tempfile::tempdir().unwrap();
    let made = made(folder.path());
    let clone = folder.path().join("clone");
    let repository = open(&made, &clone);
    let tip = repository.fetch("main").await.unwrap().branches["main"].clone();
    // Loose objects can go one by one.
    unpack(&made.path, folder.path());
    let lost = made.git(&["rev-parse", "main:p/class.yaml"]);
    let (two, rest) = lost.trim().split_at(2);
    std::fs::remove_file(made.path.join("objects").join(two).join(rest)).unwrap();

    let warnings = Warnings::default();
    let _guard = warnings.listen();
    // The old clone is whole; nothing is thrown away for what the remote lacks.
    assert_eq!(read(&repository, &tip).await.unwrap(), 8);
    assert_eq!(warnings.thrown_away(), 0);
    // Then it is damaged, and the remote cannot help.
    let index = below(&clone, ".idx").remove(0);
    std::fs::rename(&index, folder.path().join("kept.idx")).unwrap();
    for _ in 0..3 {
        let error = repository.entries(&tip).await.unwrap_err();
        let text = error.to_string();
        assert_eq!(error.reason(), "CloneDamaged", "{text}");
        assert!(text.contains("git fsck"), "{text}");
        assert_eq!(warnings.thrown_away(), 1);
    }
    std::fs::rename(folder.path().join("kept.idx"), &index).unwrap();
    assert_eq!(read(&repository, &tip).await.unwrap(), 8, "the old clone stayed");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_lost_object_is_enough() {
    for what in [
        "main:p/class.yaml",
        "main:p/assignments",
        "main^{tree}",
        "main",
        "main~4",
        "main~4:p/assignments",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let made = made(folder.path());
        let clone = folder.path().join("clone");
        let repository = open(&made, &clone);
        let tip = repository.fetch("main").await.unwrap().branches["main"].clone();
        drop(repository);
        pack_without(&made.path, &clone, what);
        let warnings = Warnings::default();
        let _guard = warnings.listen();
        let fresh = open(&made, &clone);
        let again = fresh
            .fetch("main")
            .await
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(again.branches["main"], tip, "{what}");
        let files = read(&fresh, &tip)
            .await
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!((files, warnings.thrown_away()), (8, 1), "{what}");
    }
}

/// Bytes of packs and indexes change, wherever: what is read is whole and right, or the error says what is damaged.
#[tokio::test(flavor = "multi_thread")]
async fn random_bytes_of_a_clone_are_never_believed() {
    let mut random = fastrand::Rng::with_seed(seed("damaged clone"));
    let folder = tempfile::tempdir().unwrap();
    let made = made(folder.path());
    for round in 0..40 {
        let clone = folder.path().join(format!("clone-{round}"));
        let repository = open(&made, &clone);
        let tip = repository.fetch("main").await.unwrap().branches["main"].clone();
        let entries = repository.entries(&tip).await.unwrap();
        let history = repository.history(&tip, FOLDER).await.unwrap();
        drop(repository);
        let end = *random.choice(&[".pack", ".idx"]).unwrap();
        for file in below(&clone, end) {
            for _ in 0..random.usize(1..4) {
                overwrite(&file, |bytes| {
                    let at = random.usize(..bytes.len());
                    bytes[at] ^= random.u8(1..);
                });
            }
            if random.bool() {
                overwrite(&file, |bytes| bytes.truncate(random.usize(..bytes.len())));
            }
        }
        let warnings = Warnings::default();
        let _guard = warnings.listen();
        let fresh = open(&made, &clone);
        fresh.fetch("main").await.unwrap();
        assert_eq!(fresh.entries(&tip).await.unwrap(), entries);
        assert_eq!(fresh.history(&tip, FOLDER).await.unwrap(), history);
        assert_eq!(read(&fresh, &tip).await.unwrap(), 8);
        assert!(warnings.thrown_away() <= 1);
        let fsck = std::process::Command::new("git")
            .current_dir(&clone)
            .args(["fsck", "--full", "--strict"])
            .output();
        assert!(fsck.unwrap().status.success(), "round {round}");
    }
}

/// libgit2 would read the end of a loose object that is cut short for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_clone_with_loose_objects_is_begun_anew_and_our_own_commits_make_none() {
    let folder = tempfile::tempdir().unwrap();
    let made = made(folder.path());
    let clone = folder.path().join("clone");
    let repository = open(&made, &clone);
    let tip = repository.fetch("main").await.unwrap().branches["main"].clone();
    unpack(&clone, folder.path());
    for object in below(&clone.join("objects"), "") {
        overwrite(&object, |bytes| bytes.truncate(bytes.len() / 2));
    }
    let again = repository.fetch("main").await.unwrap();
    assert_eq!(again.branches["main"], tip);
    assert_eq!(read(&repository, &tip).await.unwrap(), 8);

    let file = |path: &str, text: Option<&str>| FileChange {
        path: path.into(),
        content: text.map(|text| text.as_bytes().to_vec()),
    };
    let now = couchestor::io::clock::now();
    let files = vec![
        file("p/assignments/db/c1.yaml", Some("tier: new\n")),
        file("p/assignments/deep/er/c9.yaml", Some("tier: new\n")),
        file("p/assignments/db/c2.yaml", None),
    ];
    let ours = repository
        .push("other", Lease::Absent, Some(tip), files, "ours\n".into(), now)
        .await
        .unwrap();
    let next = repository
        .push(
            "other",
            Lease::At(ours.clone()),
            Some(ours),
            vec![file("p/assignments/db/c3.yaml", None)],
            "again\n".into(),
            now,
        )
        .await
        .unwrap();
    made.git(&["fsck", "--strict"]);
    assert_eq!(made.git(&["rev-parse", "other"]).trim(), next.as_str());
    assert_eq!(
        made.git(&["show", "other:p/assignments/deep/er/c9.yaml"]),
        "tier: new\n"
    );
    let listed = made.git(&["ls-tree", "-r", "--name-only", "other"]);
    let ours: Vec<String> = repository.entries(&next).await.unwrap().into_keys().collect();
    assert!(listed.lines().eq(ours.iter().map(String::as_str)), "{listed}");
    let loose = std::fs::read_dir(clone.join("objects"))
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().len() == 2);
    assert_eq!(loose.count(), 0);
}

/// Makes loose objects of all packs of a clone.
fn unpack(clone: &Path, outside: &Path) {
    for pack in below(clone, ".pack") {
        let outside = outside.join("outside.pack");
        std::fs::rename(&pack, &outside).unwrap();
        std::fs::remove_dir_all(clone.join("objects/pack")).unwrap();
        let status = std::process::Command::new("git")
            .current_dir(clone)
            .args(["unpack-objects", "-q"])
            .stdin(std::fs::File::open(&outside).unwrap())
            .status()
            .unwrap();
        assert!(status.success());
    }
}

/// Puts one pack with all objects of a repository but one into a clone, in the place of its packs.
fn pack_without(from: &Path, clone: &Path, what: &str) {
    let git = |arguments: &[&str]| {
        let mut command = std::process::Command::new("git");
        command.current_dir(from).args(arguments);
        command
    };
    let text = |arguments: &[&str]| String::from_utf8(git(arguments).output().unwrap().stdout).unwrap();
    let lost = text(&["rev-parse", what]);
    let all = text(&["cat-file", "--batch-all-objects", "--batch-check=%(objectname)"]);
    let rest: Vec<&str> = all.lines().filter(|id| *id != lost.trim()).collect();
    assert!(rest.len() < all.lines().count());
    std::fs::remove_dir_all(clone.join("objects/pack")).unwrap();
    std::fs::create_dir(clone.join("objects/pack")).unwrap();
    let mut child = git(&["pack-objects", "-q"])
        .arg(clone.join("objects/pack/pack"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all((rest.join("\n") + "\n").as_bytes()).unwrap();
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

/// The whole controller: a file is missing in the clone that it finds when it starts.
#[tokio::test(flavor = "multi_thread")]
async fn a_controller_that_finds_a_damaged_clone_becomes_ready() {
    let class = |name: &str| {
        format!(
            "apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {{name: {name}}}\nprovisioner: x\n"
        )
    };
    let mut follow = Follow::new().await;
    let first = follow.commit("p/a.yaml", &class("one"), &[]);
    follow.source(serde_json::json!({}));
    follow.run().await;
    follow.until("Ready", &["True", &first]).await;
    follow.halt().await;
    let clone = follow.folder.path().join("clones/couchestor-system/homelab");
    pack_without(&follow.folder.path().join("repository"), &clone, "HEAD:p/a.yaml");
    let blob = follow.git(&["rev-parse", "HEAD:p/a.yaml"]);
    let has = || {
        let mut command = std::process::Command::new("git");
        command.current_dir(&clone).args(["cat-file", "-e", &blob]);
        command.output().unwrap().status.success()
    };
    assert!(!has());
    let second = follow.commit("p/b.yaml", &class("two"), &[]);
    follow.run().await;
    follow.until("Ready", &["True", &second]).await;
    assert!(has());
    follow.halt().await;
}
