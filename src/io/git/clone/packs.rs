//! The packs of a clone: whether they are whole, and fewer of them. Each fetch and each commit adds one, and libgit2 never merges
//! any, so that a look for one object would ask thousands of them.

use super::super::{GitError, failed};
use git2::Oid;
use sha1::{Digest, Sha1};
use std::collections::BTreeSet;
use std::io::{Error, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// SHA-1.
const HASH_BYTES: usize = 20;

/// So many small packs may be there; one more, and all of them become one.
const SMALL_PACKS_MAX: usize = 50;

/// A pack of more bytes than this is not small. It is never written again, so no merge has more than fifty times this to do.
const SMALL_BYTES: u64 = 1 << 20;

/// Where the ids begin in an index of version 2, after its head and the 256 numbers of which the last is how many ids there are
/// (<https://git-scm.com/docs/gitformat-pack>).
const IDS_AT: usize = 8 + 256 * 4;

/// Makes one pack of the small ones if they are too many. All of their objects are kept, reachable or not: a commit that is not
/// pushed yet is in no branch. Readers that are open find the objects in the new pack, as they do after `git gc`.
pub(super) fn merge(repository: &git2::Repository, deadline: Instant) -> Result<(), GitError> {
    let folder = repository.path().join("objects/pack");
    let small = small(&folder).map_err(|error| unreadable(&folder, &error))?;
    if small.len() <= SMALL_PACKS_MAX {
        return Ok(());
    }
    let mut ids = BTreeSet::new();
    for pack in &small {
        let index = pack.with_extension("idx");
        ids.extend(ids_of(&index).map_err(|error| unreadable(&index, &error))?);
    }
    let mut builder = repository.packbuilder().map_err(failed)?;
    builder
        .set_progress_callback(|_, _, _| Instant::now() < deadline)
        .map_err(failed)?;
    for id in &ids {
        builder.insert_object(*id, None).map_err(failed)?;
    }
    builder.write(&folder, 0).map_err(failed)?;
    let name = builder.name().map_err(failed)?;
    let merged = folder.join(format!("pack-{}.pack", name.unwrap_or_default()));
    if !hold_both(&merged) {
        return Err(GitError::Failed {
            detail: format!("{} is not whole", merged.display()),
        });
    }
    for pack in small.iter().filter(|pack| **pack != merged) {
        for file in [pack.with_extension("idx"), pack.clone()] {
            std::fs::remove_file(&file).map_err(|error| unreadable(&file, &error))?;
        }
    }
    Ok(())
}

fn unreadable(path: &Path, error: &Error) -> GitError {
    GitError::Failed {
        detail: format!("{}: {error}", path.display()),
    }
}

/// The packs that are small.
fn small(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(found),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        if path.extension().is_some_and(|end| end == "pack") && entry.metadata()?.len() <= SMALL_BYTES {
            found.push(path);
        }
    }
    Ok(found)
}

/// The objects that an index names.
fn ids_of(index: &Path) -> std::io::Result<Vec<Oid>> {
    let bytes = std::fs::read(index)?;
    let odd = || Error::new(ErrorKind::InvalidData, "this is no index of version 2");
    if !bytes.starts_with(b"\xfftOc\x00\x00\x00\x02") {
        return Err(odd());
    }
    let count = bytes
        .get(IDS_AT - 4..IDS_AT)
        .and_then(|last| last.try_into().ok());
    let count = u32::from_be_bytes(count.ok_or_else(odd)?) as usize;
    let ids = bytes
        .get(IDS_AT..)
        .and_then(|rest| rest.get(..count.checked_mul(HASH_BYTES)?))
        .ok_or_else(odd)?;
    let ids = ids.chunks_exact(HASH_BYTES);
    ids.map(|id| Oid::from_bytes(id).map_err(|_| odd())).collect()
}

/// Whether a pack and its index are there and whole.
fn hold_both(pack: &Path) -> bool {
    [pack.to_owned(), pack.with_extension("idx")]
        .iter()
        .all(|file| ends_with_hash(file).unwrap_or(false))
}

/// Whether each pack has its index, and both end with the hash of what stands before
/// (<https://git-scm.com/docs/gitformat-pack>).
pub(super) fn hold(folder: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return true;
    };
    entries.flatten().all(|entry| {
        let path = entry.path();
        let partner = match path.extension().and_then(|end| end.to_str()) {
            Some("pack") => "idx",
            Some("idx") => "pack",
            // What a fetch that was cut short leaves behind; nobody reads it.
            _ => return true,
        };
        path.with_extension(partner).is_file() && ends_with_hash(&path).unwrap_or(false)
    })
}

fn ends_with_hash(path: &Path) -> std::io::Result<bool> {
    let mut file = std::fs::File::open(path)?;
    let mut left = file.metadata()?.len().saturating_sub(HASH_BYTES as u64);
    let mut hash = Sha1::new();
    let mut buffer = vec![0; 1 << 16];
    while left > 0 {
        let most = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let read = file.read(&mut buffer[..most])?;
        if read == 0 {
            return Ok(false);
        }
        hash.update(&buffer[..read]);
        left -= read as u64;
    }
    let mut end = [0; HASH_BYTES];
    file.read_exact(&mut end)?;
    Ok(hash.finalize().as_slice() == end)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use crate::io::git::{Credentials, Repository, init_bare};
    use crate::model::ids::{BlobId, CommitId};
    use std::path::Path;
    use std::time::Duration;

    /// A commit of one more file, on top of what `main` is.
    fn commit(source: &git2::Repository, number: usize) -> (CommitId, BlobId) {
        let parent = source.revparse_single("refs/heads/main").ok();
        let parent = parent.map(|parent| parent.peel_to_commit().unwrap());
        let before = parent.as_ref().map(|parent| parent.tree().unwrap());
        let blob = source.blob(format!("file {number}\n").as_bytes()).unwrap();
        let mut tree = source.treebuilder(before.as_ref()).unwrap();
        tree.insert(format!("f{number}"), blob, 0o100_644).unwrap();
        let tree = source.find_tree(tree.write().unwrap()).unwrap();
        let who = git2::Signature::new("A", "a@example.org", &git2::Time::new(0, 0)).unwrap();
        let parents: Vec<&git2::Commit> = parent.iter().collect();
        let id = source.commit(Some("refs/heads/main"), &who, &who, "more", &tree, &parents);
        (CommitId(id.unwrap().to_string()), BlobId(blob.to_string()))
    }

    fn packs(clone: &Path) -> usize {
        let files = std::fs::read_dir(clone.join("objects/pack")).unwrap();
        let names = files.map(|file| file.unwrap().file_name());
        names
            .filter(|name| name.to_string_lossy().ends_with(".pack"))
            .count()
    }

    #[tokio::test]
    async fn two_hundred_fetches_leave_few_packs_and_everything_in_them() {
        let folder = tempfile::tempdir().unwrap();
        let (at, clone) = (folder.path().join("source"), folder.path().join("clone"));
        init_bare(&at).unwrap();
        let source = git2::Repository::open_bare(&at).unwrap();
        let url = format!("file://{}", at.display());
        let open = || {
            let limit = Duration::from_secs(60);
            Repository::new(&url, &clone, Credentials::default(), limit, true).unwrap()
        };
        let repository = open();
        let first = commit(&source, 0);
        repository.fetch("main").await.unwrap();
        // It is open before the first merge and reads after the last.
        let reader = repository.blobs().unwrap();
        let (mut made, mut most) = (vec![first], 0);
        for number in 1..200 {
            made.push(commit(&source, number));
            let tips = repository.fetch("main").await.unwrap();
            assert_eq!(tips.branches["main"], made[number].0);
            most = most.max(packs(&clone));
        }
        assert_eq!(most, super::SMALL_PACKS_MAX, "at once");
        let afresh = open();
        for (number, (commit, blob)) in made.iter().enumerate() {
            let content = format!("file {number}\n").into_bytes();
            assert_eq!(reader.read(blob, 100).unwrap(), content);
            assert_eq!(afresh.blobs().unwrap().read(blob, 100).unwrap(), content);
            assert_eq!(afresh.entries(commit).await.unwrap().len(), number + 1);
        }
    }
}
