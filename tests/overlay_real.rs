//! Overlays, built by us and by the real kustomize: generated trees by the hundred, and the situations that people meet. A
//! difference is a failure, unless a row of [`INTENDED`] says why it is meant; and how often each row was needed is printed.

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

/// What each of kustomize's own tests is stood for by.
mod fixtures;

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

/// A difference that is meant.
struct Intended {
    /// What it is called where it is counted.
    name: &'static str,
    /// The words of our message, where we refuse what kustomize builds; "" where both build.
    says: &'static str,
    /// Why it is meant.
    why: &'static str,
    /// How many of the generated trees may need it at most: what is excused must stay rare.
    most: usize,
}

/// All of them; nothing else is forgiven.
const INTENDED: [Intended; 8] = [
    Intended {
        name: "defined twice",
        says: "is defined twice",
        why: "kustomize tells objects of one kind apart by API version; the API server holds only one of them",
        most: 15,
    },
    Intended {
        name: "values inside of texts",
        says: "values inside of texts are not replaced",
        why: "JSON or YAML inside of a text is its reader's; changing it by a path breaks its formatting",
        most: 15,
    },
    Intended {
        name: "items without their key",
        says: "to know it by",
        why: "an item of a keyed list without its key cannot be merged; kustomize makes an object of it that the API refuses",
        most: 15,
    },
    Intended {
        name: DIRECTIVE,
        says: "",
        why: "kustomize leaves a directive where the list that it is for was not there, and loses what stands beside it",
        most: 15,
    },
    Intended {
        name: ORDER,
        says: "",
        why: "kustomize puts merged items of such lists into an order that depends on how many of them have which key, which nobody can \
              want and no API server sees",
        most: 40,
    },
    Intended {
        name: POSITION,
        says: "",
        why: "a replacement by position, in a list whose order is not to be relied on for that reason",
        most: 15,
    },
    Intended {
        name: QUOTES,
        says: "",
        why: "kustomize forgets the quotes of a text that a replacement puts somewhere, so that \"1\" becomes 1, which the API refuses in a text's place",
        most: 15,
    },
    Intended {
        name: ORIGIN,
        says: "",
        why: "where a JSON patch replaced all annotations kustomize says that the patch made the object; the file that it came from is the \
              better answer",
        most: 15,
    },
];

const DIRECTIVE: &str = "a directive that is left";
const ORDER: &str = "order of items with two keys";
const POSITION: &str = "replaced by position in such a list";
const QUOTES: &str = "quotes that a replacement loses";
const ORIGIN: &str = "origin that a patch took";

/// What a comparison found.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    /// The same objects in the same order.
    Same,
    /// Both refuse it.
    Refused,
    /// Differences that are meant, by name.
    Intended(BTreeSet<&'static str>),
}

/// What the replacements of a tree may have touched.
#[derive(Default)]
struct Replaced {
    /// The kinds of objects that they put something into.
    kinds: BTreeSet<String>,
    /// Those of them in whose ports they do so by position.
    by_position: BTreeSet<String>,
}

impl Replaced {
    fn of(tree: &Tree) -> Self {
        let mut found = Self::default();
        for text in tree.values() {
            for document in couchestor::formats::yaml::load(text).unwrap_or_default() {
                let Ok(value) = document.to_json() else { continue };
                let entries = value["replacements"].as_array().cloned().unwrap_or_default();
                // A file of replacements is a list of them, or one.
                let alone = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
                for target in entries
                    .iter()
                    .chain(&alone)
                    .flat_map(|one| one["targets"].as_array())
                    .flatten()
                {
                    let kind = target["select"]["kind"].as_str().unwrap_or_default().to_owned();
                    if target["fieldPaths"].to_string().contains("ports.0") {
                        found.by_position.insert(kind.clone());
                    }
                    found.kinds.insert(kind);
                }
            }
        }
        found
    }

    fn holds(kinds: &BTreeSet<String>, object: &Value) -> bool {
        // A target without a kind is for all.
        kinds.contains("") || object["kind"].as_str().is_some_and(|kind| kinds.contains(kind))
    }
}

/// Compares two values, and notes what has to be forgiven for them to be the same.
struct Comparison {
    /// Whether a replacement may have put something into this object.
    replaced: bool,
    /// Whether into its ports by position.
    by_position: bool,
    forgiven: BTreeSet<&'static str>,
}

impl Comparison {
    /// Lists whose items have two keys.
    const KEYED_TWICE: [&'static str; 2] = ["ports", "topologySpreadConstraints"];

    fn same(&mut self, ours: &Value, theirs: &Value) -> bool {
        match (ours, theirs) {
            (Value::Object(a), Value::Object(b)) => {
                a.keys().all(|key| b.contains_key(key))
                    && b.iter()
                        .all(|(key, theirs)| self.same_entry(key, a.get(key), theirs))
            }
            (Value::Array(a), Value::Array(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| self.same(a, b))
            }
            (Value::String(text), Value::Number(_) | Value::Bool(_))
                if self.replaced && theirs.to_string().eq(text) =>
            {
                self.forgive(QUOTES)
            }
            (a, b) => a == b,
        }
    }

    fn forgive(&mut self, name: &'static str) -> bool {
        self.forgiven.insert(name);
        true
    }

    fn same_entry(&mut self, key: &str, ours: Option<&Value>, theirs: &Value) -> bool {
        let directive = |value: &Value| {
            let items = value.as_array().into_iter().flatten();
            items.into_iter().any(|item| item.get("$patch").is_some())
        };
        if directive(theirs) && ours.is_none_or(|ours| ours.is_array() && !directive(ours)) {
            return self.forgive(DIRECTIVE);
        }
        let Some(ours) = ours else { return false };
        if key == "config.kubernetes.io/origin" && ours != theirs {
            let says = |value: &Value, words: &str| value.as_str().is_some_and(|text| text.contains(words));
            return says(theirs, "PatchTransformer") && says(ours, "path: ") && self.forgive(ORIGIN);
        }
        let before = self.forgiven.clone();
        if self.same(ours, theirs) {
            return true;
        }
        self.forgiven = before;
        let (Value::Array(a), Value::Array(b)) = (ours, theirs) else {
            return false;
        };
        if !Self::KEYED_TWICE.contains(&key) {
            return false;
        }
        if self.by_position && key == "ports" && a.len() == b.len() {
            return self.forgive(POSITION);
        }
        self.same_in_some_order(a, b) && self.forgive(ORDER)
    }

    fn same_in_some_order(&mut self, ours: &[Value], theirs: &[Value]) -> bool {
        let sorted = |items: &[Value]| {
            let mut items = items.to_vec();
            items.sort_by_key(ToString::to_string);
            items
        };
        let (a, b) = (sorted(ours), sorted(theirs));
        a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| self.same(a, b))
    }
}

/// Whether two objects are the same, and what was forgiven.
fn same_object(ours: &Value, theirs: &Value, replaced: &Replaced) -> Option<BTreeSet<&'static str>> {
    let mut comparison = Comparison {
        replaced: Replaced::holds(&replaced.kinds, ours),
        by_position: Replaced::holds(&replaced.by_position, ours),
        forgiven: BTreeSet::new(),
    };
    comparison.same(ours, theirs).then_some(comparison.forgiven)
}

/// What two outcomes have in common, if they may differ as they do.
fn verdict(
    tree: &Tree,
    ours: &Result<Vec<Value>, String>,
    theirs: &Result<Vec<Value>, String>,
) -> Option<Verdict> {
    match (ours, theirs) {
        (Ok(ours), Ok(theirs)) => {
            if ours.len() != theirs.len() {
                return None;
            }
            let replaced = Replaced::of(tree);
            let pairs = ours.iter().zip(theirs);
            let forgiven: Option<Vec<_>> = pairs.map(|(a, b)| same_object(a, b, &replaced)).collect();
            let all: BTreeSet<_> = forgiven?.into_iter().flatten().collect();
            Some(match all.is_empty() {
                true => Verdict::Same,
                false => Verdict::Intended(all),
            })
        }
        (Err(_), Err(_)) => Some(Verdict::Refused),
        (Err(message), Ok(_)) => {
            let fits =
                |one: &&Intended| !one.says.is_empty() && message.lines().all(|line| line.contains(one.says));
            let found = INTENDED.iter().find(fits)?;
            Some(Verdict::Intended(BTreeSet::from([found.name])))
        }
        (Ok(_), Err(_)) => None,
    }
}

/// Compares one tree; a difference is told with everything that it takes to look into it.
fn compare(what: &str, tree: &Tree, root: &str) -> Result<Verdict, String> {
    let (our, their) = (ours(tree, root), theirs(tree, root));
    if let Some(verdict) = verdict(tree, &our, &their) {
        return Ok(verdict);
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
    let replaced = Replaced::of(tree);
    let pair = match (&our, &their) {
        (Ok(our), Ok(their)) => our
            .iter()
            .zip(their)
            .find(|(a, b)| same_object(a, b, &replaced).is_none())
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

/// How often each verdict came, in words.
#[derive(Default)]
struct Counts {
    same: usize,
    refused: usize,
    /// Trees of which something is forgiven.
    intended: usize,
    /// By the name of what is forgiven.
    by_name: BTreeMap<&'static str, usize>,
}

impl Counts {
    fn add(&mut self, verdict: &Verdict) {
        match verdict {
            Verdict::Same => self.same += 1,
            Verdict::Refused => self.refused += 1,
            Verdict::Intended(names) => {
                self.intended += 1;
                for name in names {
                    *self.by_name.entry(name).or_default() += 1;
                }
            }
        }
    }

    fn words(&self) -> String {
        let mut words = format!(
            "{} the same, {} refused by both, {} that differ as intended",
            self.same, self.refused, self.intended
        );
        for one in INTENDED.iter().filter(|one| self.by_name.contains_key(one.name)) {
            words += &format!("\n  {}: {} ({})", one.name, self.by_name[one.name], one.why);
        }
        words
    }
}

/// The file of a fixture: `name` then text, for readability of the tables.
fn tree(files: &[(&str, &str)]) -> Tree {
    files
        .iter()
        .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
        .collect()
}
