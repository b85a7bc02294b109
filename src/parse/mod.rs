//! [`ClearTree`](crate::model::tree::ClearTree) → [`Desired`](crate::model::desired::Desired) and diagnostics, all of them at once. Pure, and the only place that makes an
//! [`Approved`](crate::model::approval::Approved).

use crate::formats::overlay::{self, Files};
use crate::formats::substitute::{self, Variables};
use crate::formats::yaml;
use crate::model::desired::{Desired, Resource};
use crate::model::diagnostic::{Diagnostic, Place, Severity};
use crate::model::ids::BlobId;
use crate::model::kinds::GROUP;
use crate::model::migration_brief::MigrationBrief;
use crate::model::resources::Resources;
use crate::model::tree::{ClearTree, Refused};
use serde_json::Value;
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Fields and types, against the schemas of the kinds.
mod schema;

/// What is left of a spec without its mistakes.
mod mend;

/// Objects as written → as understood.
mod understand;

pub use understand::drill_job;

/// What is wrong with an object, whatever others say.
mod alone;

/// What objects say about each other.
mod cross;

/// What is allowed, and is probably not meant.
mod doubts;

/// Misspelt kinds of others.
mod near;

/// Objects of other systems that are known to fail.
mod others;

/// CloudNativePG's group.
const GROUP_CNPG: &str = "postgresql.cnpg.io";

/// What is wrong with a PolicySource by itself.
pub mod source;

/// What the base tree approves.
mod approve;

#[cfg(test)]
mod tests;

/// What a tree says.
#[must_use = "diagnostics that nobody reads help nobody"]
pub struct Parsed {
    /// What it asks for; `None` when anything in it is wrong.
    pub desired: Option<Desired>,
    /// Everything that is wrong or doubtful, in the order of files and lines.
    pub diagnostics: Vec<Diagnostic>,
}

/// Objects of files that were read before, by path; a file whose blob changed is read again. A cache: without it everything is
/// only slower.
#[derive(Default)]
pub struct ParseCache {
    files: HashMap<String, Known>,
    /// How many files were read, ever.
    pub parses: u64,
}

struct Known {
    blob: BlobId,
    secret: bool,
    objects: Arc<Vec<Resource>>,
}

/// Parses. `past` are the migrations that the cluster knows: an assignment that was taken out again after it moved a volume
/// approves the way back.
pub fn parse(
    tree: &ClearTree,
    past: &[MigrationBrief],
    variables: &Variables,
    cache: &mut ParseCache,
) -> Parsed {
    let view = View {
        paths: tree
            .files
            .keys()
            .chain(&tree.broken)
            .filter(|path| !below(path, &tree.assignments))
            .cloned()
            .collect(),
        tree,
        known: RefCell::new(std::mem::take(&mut cache.files)),
        parses: Cell::new(cache.parses),
    };
    let (mut resources, mut diagnostics) = overlay::build(&tree.root, &view);
    diagnostics.extend(tree.doubts.iter().cloned());
    let mut work = substitute::Work::default();
    let mut unexpanded: BTreeSet<Place> = BTreeSet::new();
    for resource in &mut resources {
        if let Err(wrong) = substitute::substitute(resource, variables, &mut work) {
            let place = resource.origin.place(&wrong.pointer);
            diagnostics.push(Diagnostic::error(place, wrong.rule, wrong.what, wrong.help));
            unexpanded.extend(left_as_written(resource));
        }
    }
    let substituted = diagnostics.len();
    for path in tree.files.keys().filter(|path| below(path, &tree.assignments)) {
        match view.assignment(path) {
            Ok(read) => resources.extend(read.iter().cloned()),
            Err(diagnostic) => diagnostics.push(diagnostic),
        }
    }
    cache.parses = view.parses.get();
    cache.files = view.known.take();
    // What the tree does not hold any more is forgotten.
    cache.files.retain(|path, _| tree.files.contains_key(path));
    let resources = Resources::from(resources);
    for resource in &resources {
        alone::check(resource, tree, &mut diagnostics);
    }
    let understood = understand::understand(&resources, tree, &mut diagnostics);
    cross::check(&resources, &understood, &mut diagnostics);
    doubts::check(&resources, &understood, &mut diagnostics);
    others::check(&resources, &mut diagnostics);
    let approved = approve::approvals(&understood.assignments, tree, past);
    let promotions = approve::promotions(&understood.promotions, tree);
    // Of an expression that stands where its value should be nobody can say anything.
    let mut later = diagnostics.split_off(substituted);
    later.retain(|one| !unexpanded.contains(&one.place));
    diagnostics.append(&mut later);
    // What stands in the way of those was told when they were opened.
    diagnostics.retain(|diagnostic| !tree.broken.contains(&diagnostic.place.path));
    drop_follow_ups(&mut diagnostics, &view);
    diagnostics.sort();
    diagnostics.dedup();
    let wrong = !tree.broken.is_empty()
        || diagnostics
            .iter()
            .any(|diagnostic| diagnostic.severity == Severity::Error);
    let desired = (!wrong).then(|| Desired {
        revision: tree.revision.clone(),
        resources,
        tiers: understood.tiers,
        policies: understood.policies.into(),
        assignments: understood.assignments,
        reverted: approved.reverted,
        approved: approved.approved,
        promotions,
    });
    Parsed { desired, diagnostics }
}

/// Expressions of one object that are looked for when one of them is wrong.
const UNEXPANDED_MAX: usize = 100;

/// Where expressions stand in an object that was not substituted to its end.
fn left_as_written(resource: &Resource) -> Vec<Place> {
    fn find(value: &Value, pointer: &str, found: &mut Vec<String>) {
        match value {
            _ if found.len() >= UNEXPANDED_MAX => {}
            Value::String(text) if text.contains("${") => found.push(pointer.to_owned()),
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    find(item, &format!("{pointer}/{index}"), found);
                }
            }
            Value::Object(fields) => {
                for (key, value) in fields {
                    let key = yaml::escape(key);
                    find(value, &format!("{pointer}/{key}"), found);
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    find(&resource.value, "", &mut found);
    found
        .iter()
        .map(|pointer| resource.origin.place(pointer))
        .collect()
}

/// Everything that is wrong with a commit that is refused: what stood in the way, and what is wrong with the rest of it.
pub fn findings(refused: Refused, variables: &Variables) -> Vec<Diagnostic> {
    let mut all = refused.diagnostics;
    if let Some(rest) = &refused.rest {
        all.extend(parse(rest, &[], variables, &mut ParseCache::default()).diagnostics);
    }
    all.sort();
    all.dedup();
    all
}

/// Rules that say that something is not there: it may be in a file that cannot be read.
const FOLLOW_UPS: [&str; 9] = [
    "empty-kustomization",
    "patch-target",
    "replacement",
    "replicas",
    "generator",
    "name-reference",
    "credentials",
    "repository-password",
    "volume-policy",
];

/// The same, of objects of our own kinds.
const OUR_FOLLOW_UPS: [&str; 2] = ["reference", "tier-pools"];

/// Drops what may be said only because a file cannot be read.
fn drop_follow_ups(diagnostics: &mut Vec<Diagnostic>, view: &View) {
    let broken = |diagnostic: &&Diagnostic| {
        let rule = diagnostic.rule.as_str();
        UNREADABLE.contains(&rule) || UNREACHED.contains(&rule)
    };
    let unread: Vec<String> = diagnostics
        .iter()
        .filter(broken)
        .map(|one| one.place.path.clone())
        .collect();
    let sealed = !view.tree.broken.is_empty();
    if sealed || !unread.is_empty() {
        let nowhere = |one: &Diagnostic| one.rule == "namespace" && one.severity == Severity::Warning;
        diagnostics.retain(|one| !FOLLOW_UPS.contains(&one.rule.as_str()) && !nowhere(one));
    }
    if diagnostics.iter().any(|one| one.rule == "kustomization-field") {
        // The field may be the one that gives objects their namespaces, or that tells them apart.
        let follows = |one: &Diagnostic| match one.rule.as_str() {
            "duplicate-object" => true,
            "missing-field" => one.message.contains(understand::NAMESPACE),
            _ => false,
        };
        diagnostics.retain(|one| !follows(one));
    }
    let ours = |path: &String| view.text(path).is_none_or(|text| text.contains(GROUP));
    let unreached = diagnostics
        .iter()
        .any(|one| UNREACHED.contains(&one.rule.as_str()));
    if sealed || unreached || unread.iter().any(ours) {
        diagnostics.retain(|one| !OUR_FOLLOW_UPS.contains(&one.rule.as_str()));
    }
}

/// Rules that say that files are not reached: what was to be in them nobody knows.
const UNREACHED: [&str; 6] = [
    "kustomization",
    "kustomization-field",
    "missing-file",
    "not-a-file",
    "path",
    "remote-base",
];

/// Rules that say that something cannot be read.
const UNREADABLE: [&str; 3] = ["yaml", "duplicate-key", "unreadable"];

fn below(path: &str, folder: &str) -> bool {
    !folder.is_empty()
        && path
            .strip_prefix(folder)
            .is_some_and(|rest| rest.starts_with('/'))
}

fn not_text(path: &str) -> Diagnostic {
    let place = crate::model::diagnostic::Place::file(path);
    Diagnostic::error(place, "unreadable", "the file is no text", "save it as UTF-8")
}

/// Whether a text is a part of a name that the API server takes, whatever its length.
fn word(part: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    part.bytes().all(|byte| plain(byte) || byte == b'-')
        && part.bytes().next().is_some_and(plain)
        && part.bytes().last().is_some_and(plain)
}

/// Whether the API server takes a label (`validation.IsQualifiedName` and `IsValidLabelValue` of apimachinery).
fn is_label(key: &str, value: &str) -> bool {
    const NAME_MAX: usize = 63;
    const PREFIX_MAX: usize = 253;
    let name = |text: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let ends = [text.bytes().next(), text.bytes().last()];
        text.len() <= NAME_MAX
            && text.bytes().all(inner)
            && ends
                .iter()
                .all(|byte| byte.is_some_and(|byte| byte.is_ascii_alphanumeric()))
    };
    let (prefix, own) = match key.split_once('/') {
        Some((prefix, own)) => (Some(prefix), own),
        None => (None, key),
    };
    let domain = |prefix: &str| prefix.len() <= PREFIX_MAX && prefix.split('.').all(word);
    prefix.is_none_or(domain) && name(own) && (value.is_empty() || name(value))
}

/// The tree without the assignments folder, which is read whole beside the overlay.
struct View<'a> {
    paths: BTreeSet<String>,
    tree: &'a ClearTree,
    known: RefCell<HashMap<String, Known>>,
    parses: Cell<u64>,
}

impl View<'_> {
    /// The objects of a file beside the overlay.
    fn assignment(&self, path: &str) -> Result<Arc<Vec<Resource>>, Diagnostic> {
        if let Some(known) = self.objects(path) {
            return Ok(known);
        }
        let text = self.text(path).ok_or_else(|| not_text(path))?;
        let read = overlay::read_objects(path, &text, self.secret(path))?;
        self.keep(path, &read);
        Ok(Arc::new(read))
    }
}

impl Files for View<'_> {
    fn paths(&self) -> &BTreeSet<String> {
        &self.paths
    }

    fn text(&self, path: &str) -> Option<Cow<'_, str>> {
        if self.tree.broken.contains(path) {
            // It was told of already.
            return Some(Cow::Borrowed(""));
        }
        self.tree
            .files
            .get(path)?
            .text
            .expose_str()
            .ok()
            .map(Cow::Borrowed)
    }

    fn bytes(&self, path: &str) -> Option<Cow<'_, [u8]>> {
        if self.tree.broken.contains(path) {
            return Some(Cow::Borrowed(&[]));
        }
        let file = self.tree.files.get(path)?;
        Some(Cow::Borrowed(file.text.expose()))
    }

    fn secret(&self, path: &str) -> bool {
        self.tree.files.get(path).is_some_and(|file| file.secret)
    }

    fn objects(&self, path: &str) -> Option<Arc<Vec<Resource>>> {
        let file = self.tree.files.get(path)?;
        let known = self.known.borrow();
        known
            .get(path)
            .filter(|known| known.blob == file.blob && known.secret == file.secret)
            .map(|known| known.objects.clone())
    }

    fn keep(&self, path: &str, objects: &[Resource]) {
        self.parses.set(self.parses.get() + 1);
        if let Some(file) = self.tree.files.get(path) {
            let known = Known {
                blob: file.blob.clone(),
                secret: file.secret,
                objects: Arc::new(objects.to_vec()),
            };
            self.known.borrow_mut().insert(path.to_owned(), known);
        }
    }
}
