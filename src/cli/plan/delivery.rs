//! What a delivery by pull request would change in a folder on disk.

use super::super::folder::{self, FolderArguments, located};
use super::super::table::table;
use super::super::{Failed, about};
use crate::decrypt::FILE_BYTES_MAX;
use crate::io::git::blob_id;
use crate::model::ids::BlobId;
use crate::model::observation::Observation;
use crate::model::rendering::RenderedObject;
use crate::model::tree::{ClearTree, Entry, EntryKind};
use crate::render::delivery::{self as rendered, Changes};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Whose kustomization a new folder gets, where nobody says which source delivers into it.
const NOBODY: &str = "a PolicySource";

/// Compares what is rendered with the folder, as the controller compares it with the branch.
pub(super) fn changes(
    to: &Path,
    arguments: &FolderArguments,
    objects: &[RenderedObject],
    tree: &ClearTree,
    observation: &Observation,
) -> Result<Changes, Failed> {
    let (path, root) = located(&arguments.path, false)?;
    // It may have yet to be made.
    let to = std::path::absolute(to).map_err(about(to))?;
    let below = to.strip_prefix(&root).map_err(|_| {
        Failed(format!(
            "{} lies outside of {}; name a folder of the repository",
            to.display(),
            root.display()
        ))
    })?;
    if path.starts_with(&to) || to.starts_with(&path) {
        return Err(Failed(format!(
            "{} overlaps {}, so what is written there would be read again; name a folder of its own for the manifests",
            to.display(),
            path.display()
        )));
    }
    let folder = below.to_string_lossy().into_owned();
    let mut sealed = BTreeMap::new();
    let encrypted = objects.iter().filter(|object| object.origin.secret);
    let encrypted: BTreeSet<&str> = encrypted.map(|object| &*object.origin.path).collect();
    for path in encrypted {
        sealed.insert(path.to_owned(), bounded(&root.join(path))?);
    }
    let manifests = rendered::manifests(objects, tree, &sealed, &folder).map_err(|refused| {
        let all: Vec<String> = refused
            .iter()
            .map(|one| format!("{}: {}", one.place, one.why))
            .collect();
        Failed(format!(
            "nothing can be delivered to {folder}:\n{}",
            all.join("\n")
        ))
    })?;
    let (entries, contents) = on_disk(&root, &to)?;
    let read = |blob: &BlobId| {
        contents
            .get(blob)
            .cloned()
            .ok_or_else(|| "it is too large".to_owned())
    };
    let (standing, source) = rendered::standing(&entries, &folder, None, read)
        .map_err(|why| Failed(format!("{why} (--deliver)")))?;
    let source = source.as_deref().unwrap_or(NOBODY);
    let used = &observation.classes_in_use;
    let changes = rendered::changes(&manifests, &standing, used, (&folder, source), blob_id);
    match changes.taken.as_slice() {
        [] => Ok(changes),
        taken => Err(Failed(format!(
            "{} in {folder} is not couchestor's and stands where a manifest should; move it",
            taken.join(", ")
        ))),
    }
}

/// What a folder on disk holds, as a commit would: its files by their paths in the repository, and contents by their names.
type OnDisk = (BTreeMap<String, Entry>, BTreeMap<BlobId, Vec<u8>>);

fn on_disk(root: &Path, folder: &Path) -> Result<OnDisk, Failed> {
    let (mut entries, mut contents) = (BTreeMap::new(), BTreeMap::new());
    if folder.is_dir() {
        folder::list(root, folder, &mut entries)?;
    } else if folder.exists() {
        return Err(Failed(format!("{} is no folder", folder.display())));
    }
    for (path, entry) in entries
        .iter_mut()
        .filter(|(_, entry)| entry.kind == EntryKind::File)
    {
        let content = bounded(&root.join(path))?;
        entry.blob = BlobId(blob_id(&content));
        contents.insert(entry.blob.clone(), content);
    }
    Ok((entries, contents))
}

/// A file's bytes; one that is too large to be one of ours has none.
fn bounded(file: &Path) -> Result<Vec<u8>, Failed> {
    let length = std::fs::metadata(file).map_err(about(file))?.len();
    match length <= FILE_BYTES_MAX as u64 {
        true => std::fs::read(file).map_err(about(file)),
        false => Ok(Vec::new()),
    }
}

/// Each file with what is done with it and what it holds.
fn rows(changes: &Changes) -> Vec<Vec<String>> {
    let row =
        |action: &str, path: &str, what: &str| vec![action.to_owned(), path.to_owned(), what.to_owned()];
    let with = |action: &'static str| move |(path, what): &(String, String)| row(action, path, what);
    let mut rows: Vec<_> = changes.added.iter().map(with("new")).collect();
    rows.extend(changes.changed.iter().map(with("changed")));
    rows.extend(
        changes
            .removed
            .iter()
            .map(|path| row("removed", path, "left Git")),
    );
    rows.extend(changes.kept.iter().map(|(path, why)| row("stays", path, why)));
    rows
}

pub(super) fn text(changes: &Changes) -> String {
    let (rows, writes) = (rows(changes), changes.writes.len());
    let head = format!("Files that a pull request would write or remove: {writes}\n");
    match rows.as_slice() {
        [] => head,
        rows => format!("{head}\n{}", table(&["ACTION", "FILE", "HOLDS"], rows)),
    }
}

pub(super) fn value(changes: &Changes) -> Value {
    let rows = rows(changes);
    let files: Vec<Value> = rows
        .iter()
        .map(|row| json!({"action": row[0], "file": row[1], "holds": row[2]}))
        .collect();
    json!({"writes": changes.writes.len(), "files": files})
}
