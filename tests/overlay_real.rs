//! Overlays, built by us and by the real kustomize: generated trees by the hundred, and the situations that people meet. A
//! difference is a failure, unless a row of [`verdicts::INTENDED`] says why it is meant; and how often each row was needed is printed.

use crate::support::servers;
use couchestor::formats::overlay::{self, Files};
use couchestor::model::diagnostic::Severity;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Trees that are generated and compared.
mod generated;

/// Situations that people meet, each by name.
mod situations;

/// What is refused by name.
mod refused;

/// One tree for every row of the tables.
mod rows;

/// Ports of one number under several protocols.
mod ports;

/// Operations of JSON patches.
mod operations;

/// What each of kustomize's own tests is stood for by.
mod fixtures;

/// What two outcomes have in common.
mod verdicts;

/// Files by path. Those that end in `.bin` have one byte for each character.
type Tree = BTreeMap<String, String>;

/// What a file of a tree holds.
fn content(path: &str, text: &str) -> Vec<u8> {
    match path.ends_with(".bin") {
        true => text
            .chars()
            .map(|one| u8::try_from(u32::from(one)).expect("a byte"))
            .collect(),
        false => text.as_bytes().to_vec(),
    }
}

/// A tree as the overlay reads it.
struct Given {
    paths: BTreeSet<String>,
    contents: BTreeMap<String, Vec<u8>>,
}

impl Given {
    fn new(tree: &Tree) -> Self {
        let contents = tree
            .iter()
            .map(|(path, text)| (path.clone(), content(path, text)));
        Self {
            paths: tree.keys().cloned().collect(),
            contents: contents.collect(),
        }
    }
}

impl Files for Given {
    fn paths(&self) -> &BTreeSet<String> {
        &self.paths
    }

    fn text(&self, path: &str) -> Option<Cow<'_, str>> {
        std::str::from_utf8(self.contents.get(path)?)
            .ok()
            .map(Cow::Borrowed)
    }

    fn bytes(&self, path: &str) -> Option<Cow<'_, [u8]>> {
        self.contents
            .get(path)
            .map(|bytes| Cow::Borrowed(bytes.as_slice()))
    }

    fn secret(&self, _path: &str) -> bool {
        false
    }
}

/// What the real kustomize makes of a tree: the objects in order, or its words.
fn theirs(tree: &Tree, root: &str) -> Result<Vec<Value>, String> {
    let folder = tempfile::tempdir().expect("a folder");
    for (path, text) in tree {
        let bytes = content(path, text);
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a file has a folder")).expect("our own folder");
        std::fs::write(path, bytes).expect("our own folder");
    }
    let mut command = Command::new(servers::kustomize());
    command
        .args(["build", "--load-restrictor", "LoadRestrictionsNone"])
        .arg(folder.path().join(root));
    // The command sorts unless it is told not to; as a library, in Flux, it keeps the order, and so do we.
    let sorts = tree
        .get(&format!("{root}/kustomization.yaml"))
        .is_some_and(|text| text.contains("sortOptions"));
    if !sorts {
        command.args(["--reorder", "none"]);
    }
    let output = command.output().expect("kustomize was built");
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let text = String::from_utf8(output.stdout).expect("kustomize writes UTF-8");
    let documents = couchestor::formats::yaml::load(&text).expect("kustomize writes YAML");
    let values = documents
        .iter()
        .map(|one| one.to_json().expect("kustomize writes plain YAML"));
    Ok(values.filter(|value| !value.is_null()).collect())
}

/// What we make of it.
fn ours(tree: &Tree, root: &str) -> Result<Vec<Value>, String> {
    let files = Given::new(tree);
    let (resources, diagnostics) = overlay::build(root, &files);
    // Asking which files are needed must come to the same verdict about them.
    let needed = overlay::needed_files(root, &files);
    let errors: Vec<String> = diagnostics
        .iter()
        .filter(|one| one.severity == Severity::Error)
        .map(ToString::to_string)
        .collect();
    if !errors.is_empty() {
        return Err(errors.join("\n"));
    }
    assert!(
        needed.diagnostics.is_empty(),
        "a tree that can be built names its files"
    );
    for path in &needed.files {
        assert!(tree.contains_key(path), "{path} is needed and does not exist");
    }
    Ok(resources
        .into_iter()
        .map(|one| Value::clone(&one.value))
        .collect())
}

/// The file of a fixture: `name` then text, for readability of the tables.
fn tree(files: &[(&str, &str)]) -> Tree {
    files
        .iter()
        .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
        .collect()
}
