//! Overlays, built by us and by the real kustomize: generated trees by the hundred, and the situations that people meet. A
//! difference is a failure, unless [`intended`] says why it is meant.

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

/// One tree for every row of the tables.
mod rows;

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

/// Differences that are meant: what of our message or of the tree tells them, and why.
const INTENDED: [(&str, &str); 3] = [
    (
        "is defined twice",
        "kustomize tells objects of one kind apart by API version; the API server holds only one of them",
    ),
    (
        "values inside of texts are not replaced",
        "JSON or YAML inside of a text is its reader's; changing it by a path breaks its formatting",
    ),
    (
        "to know it by",
        "an item of a keyed list without its key cannot be merged; kustomize makes an object of it that the API refuses",
    ),
];

fn intended(ours: &Result<Vec<Value>, String>, theirs: &Result<Vec<Value>, String>) -> Option<&'static str> {
    match (ours, theirs) {
        (Ok(ours), Ok(theirs)) => {
            let left = |value: &Value| value.to_string().contains("\"$patch\"");
            let (ours, theirs) = (unordered(ours, true), unordered(theirs, true));
            let fits = |(a, b): (&Value, &Value)| match left(b) {
                true => !left(a) && same_but_directives(a, b),
                false => a == b,
            };
            (ours.len() == theirs.len() && theirs.iter().any(left) && ours.iter().zip(&theirs).all(fits))
                .then_some(
                    "kustomize leaves a directive where the list that it is for was not there, and loses what stands beside it",
                )
        }
        (Err(message), Ok(_)) => INTENDED
            .iter()
            .find(|(words, _)| message.lines().all(|line| line.contains(words)))
            .map(|(_, why)| *why),
        _ => None,
    }
}

/// Whether two values are the same but for the lists of which kustomize left a directive only.
fn same_but_directives(ours: &Value, theirs: &Value) -> bool {
    let lost = |value: &Value| {
        value
            .as_array()
            .is_some_and(|items| items.iter().any(|item| item.get("$patch").is_some()))
    };
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) => {
            let fits = |(key, b): (&String, &Value)| match a.get(key) {
                Some(a) if lost(b) => a.is_array(),
                Some(a) => same_but_directives(a, b),
                None => lost(b),
            };
            b.iter().all(fits) && a.keys().all(|key| b.contains_key(key))
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_but_directives(a, b))
        }
        (a, b) => a == b,
    }
}

/// Compares one tree; a difference is told with everything that it takes to look into it.
fn compare(what: &str, tree: &Tree, root: &str) -> Result<&'static str, String> {
    let (mut our, mut their) = (ours(tree, root), theirs(tree, root));
    if let (Ok(our), Ok(their)) = (&mut our, &mut their) {
        without_lost_origins(our, their);
    }
    let same = match (&our, &their) {
        (Ok(our), Ok(their)) => {
            let replaces = tree.values().any(|text| text.contains("replacements:"));
            our == their || unordered(our, replaces) == unordered(their, replaces)
        }
        (Err(_), Err(_)) => true,
        _ => false,
    };
    if let (Ok(our), Ok(their), false) = (&our, &their, same)
        && tree.values().any(|text| text.contains("ports.0"))
        && without_ports(our) == without_ports(their)
    {
        // A replacement by position, in a list whose order is not theirs to rely on (see `unordered`).
        return Ok("intended");
    }
    if same {
        return Ok(if our.is_ok() { "same" } else { "refused by both" });
    }
    if intended(&our, &their).is_some() {
        return Ok("intended");
    }
    let show = |result: &Result<Vec<Value>, String>| match result {
        Ok(values) => values
            .iter()
            .map(|value| serde_json::to_string_pretty(value).expect("JSON"))
            .collect::<Vec<_>>()
            .join("\n"),
        Err(error) => format!("refused: {error}"),
    };
    let files: Vec<String> = tree
        .iter()
        .map(|(path, text)| format!("--- {path}\n{text}"))
        .collect();
    let pair = match (&our, &their) {
        (Ok(our), Ok(their)) => our
            .iter()
            .zip(their)
            .find(|(a, b)| a != b)
            .map(|(a, b)| format!("first difference:\nours {a}\ntheirs {b}\n"))
            .unwrap_or_else(|| format!("{} objects against {}\n", our.len(), their.len())),
        _ => String::new(),
    };
    Err(format!(
        "{what}\n{}\n=== ours\n{}\n=== theirs\n{}\n{pair}",
        files.join("\n"),
        show(&our),
        show(&their)
    ))
}

/// Takes the origin out of objects of which kustomize says that a patch made them, because a JSON patch replaced all their
/// annotations: the file that they came from is the better answer.
fn without_lost_origins(our: &mut [Value], their: &mut [Value]) {
    const POINTER: &str = "/metadata/annotations";
    const ORIGIN: &str = "config.kubernetes.io/origin";
    for (our, their) in our.iter_mut().zip(their) {
        let lost = |value: &Value| {
            let origin = value
                .pointer(POINTER)
                .and_then(|all| all.get(ORIGIN))
                .and_then(Value::as_str);
            origin.is_some_and(|text| text.contains("PatchTransformer"))
        };
        if lost(their) {
            for value in [our, their] {
                if let Some(Value::Object(all)) = value.pointer_mut(POINTER) {
                    all.remove(ORIGIN);
                }
            }
        }
    }
}

/// Objects whose lists with two keys are sorted: kustomize puts merged ports with and without a protocol into an order that
/// depends on how often each key is missing, which nobody can want and no API server sees. With `untyped`, numbers are texts
/// too: kustomize forgets the quotes of what a replacement puts into a new field, so that "1" becomes 1.
fn unordered(objects: &[Value], untyped: bool) -> Vec<Value> {
    fn sort(value: &mut Value, untyped: bool) {
        match value {
            Value::Number(_) | Value::Bool(_) if untyped => *value = Value::String(value.to_string()),
            Value::Object(map) => {
                for (key, value) in map.iter_mut() {
                    sort(value, untyped);
                    if let ("ports" | "topologySpreadConstraints", Value::Array(items)) =
                        (key.as_str(), value)
                    {
                        items.sort_by_key(ToString::to_string);
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| sort(item, untyped)),
            _ => {}
        }
    }
    let mut objects = objects.to_vec();
    objects.iter_mut().for_each(|object| sort(object, untyped));
    objects
}

/// Objects without their `ports`.
fn without_ports(objects: &[Value]) -> Vec<Value> {
    fn drop_ports(value: &mut Value) {
        match value {
            Value::Object(map) => {
                map.remove("ports");
                map.values_mut().for_each(drop_ports);
            }
            Value::Array(items) => items.iter_mut().for_each(drop_ports),
            _ => {}
        }
    }
    let mut objects = unordered(objects, true);
    objects.iter_mut().for_each(drop_ports);
    objects
}

/// The file of a fixture: `name` then text, for readability of the tables.
fn tree(files: &[(&str, &str)]) -> Tree {
    files
        .iter()
        .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
        .collect()
}
