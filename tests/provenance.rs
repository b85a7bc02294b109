//! Which commit brought which file: a new tip costs the commits since the last one, and says what a walk of the whole history says.

use crate::support::import::Made;
use crate::support::{say, seed};
use couchestor::io::git::{Credentials, Repository};
use couchestor::model::ids::CommitId;
use std::path::Path;
use std::time::Duration;

const FOLDER: &str = "p/a";

/// Random histories, and tips of each that are asked for one after the other.
const HISTORIES: usize = 15;
const TIPS: usize = 12;

fn open(made: &Made, clone: &Path) -> Repository {
    let url = format!("file://{}", made.path.display());
    let limit = Duration::from_secs(120);
    Repository::new(&url, clone, Credentials::default(), limit, true).unwrap()
}

/// Fetches, and gives the tip.
async fn tip(repository: &Repository) -> CommitId {
    repository.fetch("main").await.unwrap().branches["main"].clone()
}

/// A history of one folder, one commit after the other.
fn grow(made: &mut Made, commits: usize, text: &str) {
    for number in 0..commits {
        let before = match made.commits {
            0 => Vec::new(),
            _ => made.last(),
        };
        made.commit("main", &before);
        made.file(
            &format!("{FOLDER}/{:02}.yaml", number % 40),
            &format!("{text} {number}\n"),
        );
    }
    made.import();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_tip_costs_the_commits_since_the_last_and_a_forced_push_the_whole_history() {
    const COMMITS: usize = 5_000;
    let folder = tempfile::tempdir().unwrap();
    let clone = folder.path().join("clone");
    let mut made = Made::new(folder.path().join("repository.git"));
    grow(&mut made, COMMITS, "old");
    let repository = open(&made, &clone);
    let first = tip(&repository).await;
    repository.history(&first, FOLDER).await.unwrap();
    assert_eq!(repository.commits_walked(), COMMITS as u64);
    repository.history(&first, FOLDER).await.unwrap();
    assert_eq!(
        repository.commits_walked(),
        COMMITS as u64,
        "the same tip costs nothing"
    );

    grow(&mut made, 1, "new");
    let second = tip(&repository).await;
    let history = repository.history(&second, FOLDER).await.unwrap();
    assert_eq!(repository.commits_walked(), COMMITS as u64 + 1);
    assert_eq!(history.introduced["p/a/00.yaml"].commit, second);
    assert_eq!(history.introduced["p/a/39.yaml"].commit, first);
    // Another folder is another history, and is not mixed up with this one.
    let other = repository.history(&second, "p/none").await.unwrap();
    assert!(other.introduced.is_empty() && other.removed.is_empty());
    repository.history(&second, FOLDER).await.unwrap();

    // Somebody rewrites the last ten commits.
    let walked = repository.commits_walked();
    made.commit("main", &["refs/heads/main~10".to_owned()]);
    made.file("p/a/07.yaml", "rewritten\n");
    made.import();
    let third = tip(&repository).await;
    let history = repository.history(&third, FOLDER).await.unwrap();
    assert_eq!(repository.commits_walked(), walked + COMMITS as u64 - 8);
    assert_eq!(history.introduced["p/a/07.yaml"].commit, third);
    let whole = open(&made, &clone).history(&third, FOLDER).await.unwrap();
    assert_eq!(history, whole);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_that_is_too_large_to_remember_is_walked_anew() {
    let folder = tempfile::tempdir().unwrap();
    let mut made = Made::new(folder.path().join("repository.git"));
    made.commit("main", &[]);
    for number in 0..50_001 {
        made.file(
            &format!("{FOLDER}/{}/{number}.yaml", number % 200),
            &format!("{number}\n"),
        );
    }
    made.import();
    grow(&mut made, 1, "new");
    let repository = open(&made, &folder.path().join("clone"));
    let at = tip(&repository).await;
    for walks in 1..3 {
        let history = repository.history(&at, FOLDER).await.unwrap();
        assert_eq!(history.introduced.len(), 50_002);
        assert_eq!(repository.commits_walked(), walks * 2);
    }
}

/// Some commits of a random kind: files that come, change, go and come back, folders that become files, merges, and histories
/// that leave out what was there.
fn extend(made: &mut Made, random: &mut fastrand::Rng) {
    let forced = made.commits > 3 && random.u8(..5) == 0;
    for number in 0..random.usize(1..8) {
        let mut before = match made.commits {
            0 => Vec::new(),
            _ => made.last(),
        };
        if number == 0 && forced {
            before = vec![format!("refs/heads/main~{}", random.usize(1..3))];
        }
        if !before.is_empty() && random.u8(..5) == 0 {
            made.commit("side", &before);
            change(made, random);
            before.push(format!(":{}", made.mark));
        }
        made.commit("main", &before);
        for _ in 0..random.usize(..4) {
            change(made, random);
        }
    }
    made.import();
}

fn change(made: &mut Made, random: &mut fastrand::Rng) {
    const PATHS: [&str; 8] = [
        "p/a/x.yaml",
        "p/a/y.yaml",
        "p/a/deep/z.yaml",
        "p/a/deep",
        "p/a",
        "p/other.yaml",
        "README.md",
        "p/a/deep/er/w.yaml",
    ];
    let path = random.choice(PATHS).expect("there are paths");
    match random.u8(..4) {
        0 => made.remove(path),
        _ => made.file(path, &format!("{}\n", random.u8(..3))),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn random_histories_give_the_same_answer_however_much_is_remembered() {
    let mut random = fastrand::Rng::with_seed(seed("provenance"));
    let (mut answers, mut spared) = (0, 0);
    for _ in 0..HISTORIES {
        let folder = tempfile::tempdir().unwrap();
        let clone = folder.path().join("clone");
        let mut made = Made::new(folder.path().join("repository.git"));
        let repository = open(&made, &clone);
        for _ in 0..TIPS {
            // A root alone has no ancestors to go back to.
            if made.commits == 0 {
                grow(&mut made, 3, "first");
            }
            extend(&mut made, &mut random);
            let at = tip(&repository).await;
            let before = repository.commits_walked();
            let remembered = repository.history(&at, FOLDER).await.unwrap();
            let fresh = open(&made, &clone);
            let whole = fresh.history(&at, FOLDER).await.unwrap();
            assert_eq!(remembered, whole, "{at}");
            answers += whole.introduced.len() + whole.removed.len();
            spared += fresh.commits_walked() - (repository.commits_walked() - before);
            let both = whole.introduced.iter().chain(&whole.removed);
            if let Some((path, commit)) = random.choice(both.collect::<Vec<_>>()) {
                let log = ["log", "-1", "--first-parent", "--format=%H", "main", "--", path];
                // A file may have stood where a folder is; Git then counts what happened in the folder too.
                let folder = made.git(&["ls-tree", "-d", "main", path]);
                if folder.is_empty() && !path.ends_with("deep") {
                    assert_eq!(made.git(&log).trim(), commit.commit.as_str(), "{path}");
                }
            }
        }
    }
    say(&format!(
        "provenance: {HISTORIES} histories of {TIPS} tips, {answers} answers, {spared} commits not looked at again"
    ));
    assert!(answers > 500 && spared > 1_000, "{answers} {spared}");
}
