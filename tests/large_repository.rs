//! A repository as large as people have: 10,000 files and 5,000 commits. It is read whole and right, what is unchanged costs
//! one look, and history that grows does not grow the process.

use crate::support::import::Made;
use crate::support::{say, seed};
use couchestor::decrypt::{ClearCache, FILE_BYTES_MAX, Vouched, decrypt};
use couchestor::fetch::{Fetched, Follow, fetch};
use couchestor::formats::sops::Identities;
use couchestor::io::git::{Credentials, Repository};
use couchestor::model::ids::{BlobId, Revision};
use couchestor::model::tree::Checkout;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

const FILES: usize = 10_000;
const COMMITS: usize = 5_000;

/// Claims that have an assignment.
const ASSIGNMENTS: usize = 50;

/// New tips, one after the other, each looked at by the controller.
const TIPS: usize = 20;

/// What the process may grow by while it looks at all of them. A clone of the whole history is larger.
const GROWTH_MIB_MAX: usize = 8;

/// What the first look may take at most: the pack of the whole history, its index, and every file in the clear.
const COLD_MIB_MAX: usize = 256;

const ROOT: &str = "p";
const FOLDER: &str = "p/assignments";

fn path(number: usize) -> String {
    format!("{ROOT}/{:02}/{number:05}.yaml", number % 100)
}

fn assigned(claim: usize) -> String {
    format!("{FOLDER}/db/c{claim:02}.yaml")
}

fn assignment(made: &mut Made, claim: usize, text: &str) {
    made.file(&assigned(claim), text);
}

fn class(number: usize, provisioner: &str) -> String {
    format!(
        "apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {{name: c{number}}}\nprovisioner: {provisioner}\n"
    )
}

/// All files in the first commit, then assignments that come, change and go; every fiftieth comes by a merge.
fn made(path_of: PathBuf, random: &mut fastrand::Rng) -> Made {
    let mut made = Made::new(path_of);
    made.commit("main", &[]);
    for number in 0..FILES {
        made.file(&path(number), &class(number, "x"));
    }
    while made.commits < COMMITS {
        let (claim, before) = (random.usize(..ASSIGNMENTS), made.last());
        let text = format!("tier: t{}\n", made.commits);
        if made.commits.is_multiple_of(50) {
            made.commit("side", &before);
            assignment(&mut made, claim, &text);
            let both = [before[0].clone(), format!(":{}", made.mark)];
            made.commit("main", &both);
            assignment(&mut made, claim, &text);
        } else if made.commits % 20 == 3 {
            made.commit("main", &before);
            made.remove(&assigned(claim));
        } else {
            made.commit("main", &before);
            assignment(&mut made, claim, &text);
        }
    }
    // Some say the same in the end: one blob in many places.
    for claim in 0..ASSIGNMENTS {
        if claim % 5 == 0 {
            let before = made.last();
            made.commit("main", &before);
            assignment(&mut made, claim, "tier: last\n");
        }
    }
    made.import();
    made
}

/// Memory of this process that is in use, in MiB.
fn resident() -> usize {
    told("VmRSS:")
}

/// What the system says of this process, in MiB.
fn told(name: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.split_whitespace().next().unwrap().parse::<usize>().unwrap() / 1024
}

/// The controller's first stages on this repository.
struct Reader {
    repository: Repository,
    clear: ClearCache,
    known: Option<Revision>,
}

impl Reader {
    /// Looks at the remote; a changed tip is read, decrypted and kept.
    async fn look(&mut self) -> Option<Checkout> {
        let fetched = fetch(
            &self.repository,
            "main",
            &Follow::Branch,
            None,
            FOLDER,
            self.known.as_ref(),
        )
        .await
        .unwrap();
        let checkout = match fetched {
            Fetched::Unchanged(_) => return None,
            Fetched::Changed(checkout, ..) => *checkout,
            Fetched::Unverified(_, _, why) => panic!("{why}"),
        };
        let blobs = self.repository.blobs().unwrap();
        let read = |id: &_| blobs.read(id, FILE_BYTES_MAX);
        let keys = Identities::default();
        let tree = decrypt(
            &checkout,
            ROOT,
            FOLDER,
            &read,
            &keys,
            Vouched::No,
            &mut self.clear,
        );
        let tree = tree.unwrap_or_else(|errors| panic!("{:?}", errors.diagnostics));
        assert_eq!(tree.files.len(), checkout.entries.len());
        self.known = Some(checkout.revision.clone());
        Some(checkout)
    }
}

/// Every listed path and blob, as Git itself lists them.
fn assert_listed(made: &Made, checkout: &Checkout) {
    let ours: Vec<String> = checkout
        .entries
        .iter()
        .map(|(path, entry)| format!("{} {path}", entry.blob))
        .collect();
    let format = ["ls-tree", "-r", "--format=%(objectname) %(path)", "main"];
    let theirs = made.git(&format);
    assert!(
        theirs.lines().eq(ours.iter().map(String::as_str)),
        "ls-tree lists something else"
    );
}

/// Where assignments come from, as Git itself says.
fn assert_provenance(made: &Made, checkout: &Checkout, claims: &[usize]) {
    for claim in claims {
        let path = assigned(*claim);
        let says = |commit: &couchestor::model::tree::Provenance| {
            format!(
                "{} {} {} {}",
                commit.commit,
                commit.author,
                commit.committed_at.as_second(),
                commit.summary
            )
        };
        let ours = match (checkout.introduced.get(&path), checkout.removed.get(&path)) {
            (Some(commit), None) | (None, Some(commit)) => says(commit),
            (one, other) => panic!("{path}: {one:?} {other:?}"),
        };
        let present = checkout.entries.contains_key(&path);
        assert_eq!(checkout.introduced.contains_key(&path), present, "{path}");
        let log = [
            "log",
            "-1",
            "--first-parent",
            "--format=%H %an <%ae> %ct %s",
            "main",
            "--",
            &path,
        ];
        assert_eq!(ours, made.git(&log).trim(), "{path}");
    }
}

/// Memory is that of a process, so this has one to itself.
#[test]
fn a_large_repository_is_read_right_and_only_what_changes_is_read_again() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "large_repository::alone", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let text =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    let figures = text.lines().filter(|line| line.starts_with("large repository: "));
    say(&figures.collect::<Vec<_>>().join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the test above runs it in a process of its own"]
async fn alone() {
    let mut random = fastrand::Rng::with_seed(seed("large repository"));
    let folder = tempfile::tempdir().unwrap();
    let began = Instant::now();
    let mut made = made(folder.path().join("repository.git"), &mut random);
    let built = began.elapsed();
    let url = format!("file://{}", made.path.display());
    let clone = folder.path().join("clone");
    let limit = Duration::from_secs(300);
    let repository = Repository::new(&url, &clone, Credentials::default(), limit, true).unwrap();
    let mut reader = Reader {
        repository,
        clear: ClearCache::default(),
        known: None,
    };

    // From here on the greatest is looked for.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let before = resident();
    let began = Instant::now();
    let checkout = reader.look().await.unwrap();
    let cold = began.elapsed();
    let peak = told("VmHWM:").saturating_sub(before);
    assert!(peak <= COLD_MIB_MAX, "the first look took {peak} MiB");
    assert_eq!(checkout.revision.commit.as_str(), made.tip());
    assert_listed(&made, &checkout);
    let claims: Vec<usize> = (0..ASSIGNMENTS).collect();
    assert_provenance(&made, &checkout, &claims);
    let reads = |reader: &Reader| (reader.repository.blob_reads(), reader.clear.reads);
    let first = reads(&reader);
    let blobs: BTreeSet<&BlobId> = checkout.entries.values().map(|entry| &entry.blob).collect();
    let once = (blobs.len() as u64, blobs.len() as u64);
    assert_eq!(first, once, "each blob is read once");

    let began = Instant::now();
    for _ in 0..10 {
        assert!(reader.look().await.is_none());
    }
    let unchanged = began.elapsed() / 10;
    assert_eq!(reads(&reader), first, "an unchanged tip reads nothing");

    let before = made.last();
    made.commit("main", &before);
    for number in 0..10 {
        let number = number * 997;
        made.file(&path(number), &class(number, "changed"));
    }
    made.import();
    let began = Instant::now();
    let checkout = reader.look().await.unwrap();
    let changed = began.elapsed();
    assert_eq!(reads(&reader), (first.0 + 10, first.1 + 10), "ten files changed");
    assert_listed(&made, &checkout);
    say(&format!(
        "large repository: {FILES} files and {} commits, built in {built:?}; cold {cold:?} with {peak} MiB at most, unchanged {unchanged:?}, ten changed files {changed:?}",
        made.commits
    ));
    grow(&mut made, &mut reader, &mut random).await;
}

/// New tips one after the other: as many reads as files changed, and the process stays as large as it is.
async fn grow(made: &mut Made, reader: &mut Reader, random: &mut fastrand::Rng) {
    let mut before = 0;
    let began = Instant::now();
    for tip in 0..TIPS {
        let (reads, walked) = (reader.repository.blob_reads(), reader.repository.commits_walked());
        let claim = random.usize(..ASSIGNMENTS);
        for step in 0..5 {
            let parent = made.last();
            made.commit("main", &parent);
            assignment(made, claim, &format!("tier: n{tip}-{step}\n"));
        }
        made.import();
        let checkout = reader.look().await.unwrap();
        assert_eq!(reader.repository.blob_reads(), reads + 1);
        assert_eq!(reader.repository.commits_walked(), walked + 5);
        assert_provenance(made, &checkout, &[claim, random.usize(..ASSIGNMENTS)]);
        // The first few may still fill caches that are bounded.
        if tip == TIPS / 4 {
            before = resident();
        }
    }
    let after = resident();
    say(&format!(
        "large repository: {TIPS} new tips of five commits in {:?}; {before} MiB before and {after} MiB after",
        began.elapsed()
    ));
    assert!(
        after <= before + GROWTH_MIB_MAX,
        "{before} MiB grew to {after} MiB"
    );
}
