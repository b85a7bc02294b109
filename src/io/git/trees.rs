//! The files of a tree. Whoever may push decides what stands in a tree, so nothing here trusts its names, its order or its size.

use super::{GitError, failed};
use crate::model::diagnostic::shown;
use crate::model::ids::BlobId;
use crate::model::tree::{Entry, EntryKind};
use git2::{ErrorClass, ObjectType, Oid, Tree, TreeEntry};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Files and folders of one commit: ten times as many as the largest repositories of this kind. The same folder in many places
/// counts as often: ten levels of ten each are ten thousand million files in a few hundred bytes.
const ENTRIES_MAX: usize = 1_000_000;

/// From how many entries on all are counted before more are listed: as many as the largest repositories of this kind have.
const COUNTED_FROM: usize = 20_000;

/// Longest path in a tree, as in Linux.
const PATH_MAX: usize = 4096;

/// Largest listing of one folder; a million entries of common names.
const TREE_BYTES_MAX: usize = 64 << 20;

/// How much of a path a message shows.
const SHOWN_MAX: usize = 200;

/// What is done about a tree that Git itself would not check out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    /// The commit is refused.
    Refused,
    /// The entry is left out: nothing of an old commit is applied, and history cannot be changed any more.
    LeftOut,
}

/// Lists all files below a tree by their paths, which begin with `prefix`.
///
/// # Errors
/// [`GitError::Tree`] for what Git refuses or is too large, [`GitError::Damaged`] when trees are missing.
pub(super) fn files(
    repository: &git2::Repository,
    root: Oid,
    prefix: &str,
    names: Names,
) -> Result<BTreeMap<String, Entry>, GitError> {
    let mut found = BTreeMap::new();
    let mut seen = 0_usize;
    let mut folders = vec![(root, prefix.to_owned())];
    while let Some((id, folder)) = folders.pop() {
        let tree = open(repository, id, &folder)?;
        if let Err((name, rule, what)) = check(&tree)
            && names == Names::Refused
        {
            return Err(refused(&format!("{folder}{name}"), rule, what));
        }
        for entry in &tree {
            seen += 1;
            // Before a long list is made of what a few small folders say over and over.
            if seen == COUNTED_FROM && count(repository, root) > ENTRIES_MAX {
                let what = format!("the commit has more than {ENTRIES_MAX} files and folders");
                return Err(refused(prefix, "too-many-files", &what));
            }
            // A name that is not UTF-8 cannot be a policy's; it is left out as kubectl would not find it either.
            let Ok(name) = entry.name() else {
                continue;
            };
            if bad_name(name.as_bytes()).is_some() {
                continue;
            }
            let path = format!("{folder}{name}");
            if path.len() > PATH_MAX {
                let what = format!("the path has {} bytes; {PATH_MAX} are read at most", path.len());
                return Err(refused(&path, "long-path", &what));
            }
            match kind(&entry) {
                Some(kind) => {
                    let blob = BlobId(entry.id().to_string());
                    found.insert(path, Entry { blob, kind });
                }
                None => folders.push((entry.id(), path + "/")),
            }
        }
    }
    Ok(found)
}

/// The entries of a folder, and the folders in it that are listed.
type Listed = (usize, Vec<Oid>);

/// How many entries a tree has at all levels. Each folder is looked at once, in however many places it stands.
fn count(repository: &git2::Repository, root: Oid) -> usize {
    let mut listed: HashMap<Oid, Listed> = HashMap::new();
    let mut counts: HashMap<Oid, usize> = HashMap::new();
    let mut stack = vec![root];
    while let Some(&id) = stack.last() {
        if counts.contains_key(&id) {
            stack.pop();
            continue;
        }
        let (own, folders) = listed.entry(id).or_insert_with(|| list(repository, id));
        let below: Vec<Option<&usize>> = folders.iter().map(|folder| counts.get(folder)).collect();
        if below.iter().all(Option::is_some) {
            let all = below
                .into_iter()
                .flatten()
                .fold(*own, |sum, count| sum.saturating_add(*count));
            counts.insert(id, all);
            stack.pop();
        } else {
            let open = folders.iter().filter(|folder| !counts.contains_key(folder));
            stack.extend(open.copied());
        }
    }
    counts.get(&root).copied().unwrap_or_default()
}

/// What a folder that cannot be read has is told by who reads it.
fn list(repository: &git2::Repository, id: Oid) -> Listed {
    let Ok(tree) = open(repository, id, "") else {
        return (0, Vec::new());
    };
    let is_listed = |entry: &TreeEntry| entry.name().is_ok_and(|name| bad_name(name.as_bytes()).is_none());
    let folders = tree
        .iter()
        .filter(|entry| kind(entry).is_none() && is_listed(entry));
    (tree.len(), folders.map(|entry| entry.id()).collect())
}

/// What an entry is, unless it is a folder.
fn kind(entry: &TreeEntry) -> Option<EntryKind> {
    match (entry.kind(), entry.filemode()) {
        (Some(ObjectType::Tree), _) => None,
        (_, 0o120_000) => Some(EntryKind::Symlink),
        (Some(ObjectType::Blob), _) => Some(EntryKind::File),
        _ => Some(EntryKind::Submodule),
    }
}

fn open<'a>(repository: &'a git2::Repository, id: Oid, folder: &str) -> Result<Tree<'a>, GitError> {
    let named = |error: git2::Error| match error.class() {
        // The object is there and whole, but not a folder's listing.
        ErrorClass::Tree | ErrorClass::Object | ErrorClass::Invalid => {
            refused(folder, "bad-tree", error.message())
        }
        _ => match failed(error) {
            GitError::Damaged { detail } => GitError::Damaged {
                detail: format!("{}: {detail}", brief(folder)),
            },
            error => error,
        },
    };
    let (size, _) = repository
        .odb()
        .and_then(|database| database.read_header(id))
        .map_err(named)?;
    if size > TREE_BYTES_MAX {
        let what = format!("the folder's listing has {size} bytes; {TREE_BYTES_MAX} are read at most");
        return Err(refused(folder, "too-many-files", &what));
    }
    repository.find_tree(id).map_err(named)
}

/// What is wrong with a listing: the first entry, the rule, and words. Lookups by name search in halves, so an order that Git does
/// not write would hide entries from some readers and not from others.
fn check(tree: &Tree) -> Result<(), (String, &'static str, &'static str)> {
    let mut known = HashSet::new();
    let mut last: Option<Vec<u8>> = None;
    for entry in tree {
        let name = entry.name_bytes();
        let wrong = |rule, what| Err((String::from_utf8_lossy(name).into_owned(), rule, what));
        if let Some(what) = bad_name(name) {
            return wrong("bad-name", what);
        }
        if !known.insert(name.to_vec()) {
            return wrong("duplicate-name", "the folder lists this name twice");
        }
        let mut key = name.to_vec();
        if entry.kind() == Some(ObjectType::Tree) {
            key.push(b'/');
        }
        if last.as_ref().is_some_and(|last| *last >= key) {
            return wrong("tree-order", "the folder is not sorted as Git sorts");
        }
        last = Some(key);
    }
    Ok(())
}

/// Why Git would not check a name out (`verify_path` in its read-cache.c, with `core.protectNTFS` as it is by default).
fn bad_name(name: &[u8]) -> Option<&'static str> {
    if name.is_empty() {
        return Some("the name is empty");
    }
    if name.contains(&b'/') {
        return Some("the name has a slash in it");
    }
    if name == b"." || name == b".." {
        return Some("the name leads out of its folder");
    }
    let starts = |with: &[u8]| {
        let start = name.get(..with.len())?;
        start.eq_ignore_ascii_case(with).then_some(&name[with.len()..])
    };
    // Windows leaves out spaces and dots at the end, and takes what follows a colon for a stream.
    let rest = starts(b".git").or_else(|| starts(b"git~1"))?;
    let rest = rest.iter().find(|byte| !matches!(byte, b' ' | b'.'));
    matches!(rest, None | Some(b':' | b'\\'))
        .then_some("the name is, or is on Windows, that of Git's own folder")
}

fn refused(path: &str, rule: &'static str, what: &str) -> GitError {
    GitError::Tree {
        path: brief(path),
        rule,
        what: what.to_owned(),
    }
}

/// A path for a message.
fn brief(path: &str) -> String {
    let short: String = path.chars().take(SHOWN_MAX).collect();
    let more = if short.len() < path.len() { "…" } else { "" };
    match short.is_empty() {
        true => "the root folder".to_owned(),
        false => format!("{}{more}", shown(&short)),
    }
}
