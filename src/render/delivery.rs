//! Rendered objects → files for somebody else to apply, and the proposal that writes them. Nothing that was decrypted is written: what
//! was encrypted is delivered as it lies in Git, byte for byte, or not at all.

use super::markdown::counted;
use crate::formats::yaml::{self, emit::emit};
use crate::model::delivery::{Manifest, Manifests, Standing, Undeliverable};
use crate::model::diagnostic::Place;
use crate::model::ids::{BlobId, ObjectId, hex};
use crate::model::kinds::policy_source::Inventory;
use crate::model::kinds::{MADE_ONCE, NEVER_PRUNED, PRUNE, is_repository_secret};
use crate::model::rendering::{FileChange, RenderedObject};
use crate::model::secret::Wiped;
use crate::model::tree::{ClearTree, Entry, EntryKind};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// The proposal that writes them.
mod proposal;

use proposal::IDENTITY;
pub use proposal::{branch, identity, proposal};

/// The folder of encrypted files, below that of the delivery. No namespace has such a name.
const SEALED: &str = "_sealed";

/// What lists the files for Flux, and says which of them are ours.
pub const KUSTOMIZATION: &str = "kustomization.yaml";

/// What the first line of our kustomization begins with; the source's name follows, and a colon.
const MARK: &str = "# Written by couchestor for ";

/// Longest file name; file systems take 255 bytes.
const NAME_BYTES_MAX: usize = 200;

/// Bytes of a name that is cut, before the hash that tells it from others.
const NAME_BYTES_KEPT: usize = 170;

/// Names by which kustomize knows a kustomization; a folder may hold one of them.
const KUSTOMIZATIONS: [&str; 3] = [KUSTOMIZATION, "kustomization.yml", "Kustomization"];

/// The files that hold what is rendered. Encrypted files are taken from `sealed`, as they lie in Git, by path.
///
/// # Errors
/// Everything that cannot be delivered: of a part Flux would take the rest away.
pub fn manifests(
    objects: &[RenderedObject],
    tree: &ClearTree,
    sealed: &BTreeMap<String, Vec<u8>>,
    folder: &str,
) -> Result<Manifests, Vec<Undeliverable>> {
    let (mut manifests, mut refused) = (Manifests::default(), Vec::new());
    let mut originals: BTreeMap<&str, Vec<&RenderedObject>> = BTreeMap::new();
    for object in objects {
        let path = &*object.origin.path;
        let refusal = if path
            .strip_prefix(folder)
            .is_some_and(|rest| rest.starts_with('/'))
        {
            "it lies in the folder that manifests are delivered to; take that folder out of the kustomization"
        } else if !object.secret {
            manifests.files.insert(name(&object.id), manifest(object));
            ""
        } else if !object.origin.secret {
            "it is a Secret in plain text, which is written nowhere else; encrypt its file with SOPS"
        } else if object.made_from.is_some() {
            "it is made from a file that was encrypted, and would stand in Git in plain text; decrypt that file, or let couchestor apply \
             (delivery.mode: apply)"
        } else {
            originals.entry(path).or_default().push(object);
            ""
        };
        if !refusal.is_empty() {
            refused.push(undeliverable(object.origin.place(""), refusal));
        }
    }
    for (path, objects) in originals {
        match original(path, &objects, tree, sealed) {
            Ok(manifest) => drop(manifests.files.insert(format!("{SEALED}/{path}"), manifest)),
            Err(why) => refused.push(undeliverable(objects[0].origin.place(""), why)),
        }
    }
    if objects.is_empty() {
        let why = "nothing is rendered, and an empty folder would take everything away; let it hold an object, or take `delivery` out";
        refused.push(undeliverable(Place::file(&tree.root), why));
    }
    if !refused.is_empty() {
        return Err(refused);
    }
    let entries = objects.iter().map(RenderedObject::inventory_entry);
    manifests.inventory = Inventory {
        entries: entries.collect(),
    };
    manifests.inventory.entries.sort();
    Ok(manifests)
}

fn undeliverable(place: Place, why: &str) -> Undeliverable {
    Undeliverable {
        place,
        why: why.to_owned(),
    }
}

/// An object in a file of its own. What couchestor would never remove, Flux does not remove either.
fn manifest(object: &RenderedObject) -> Manifest {
    let mut value = Value::clone(&object.value);
    let id = &object.id;
    if NEVER_PRUNED.contains(&(id.group.as_str(), id.kind.as_str()))
        && let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut)
    {
        let mut annotations = metadata
            .get("annotations")
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default();
        annotations.insert(PRUNE[1].to_owned(), json!("disabled"));
        metadata.insert("annotations".to_owned(), Value::Object(annotations));
    }
    let what = match &object.made_from {
        Some(made_from) => format!("{id}, made from {made_from}"),
        None => id.to_string(),
    };
    let head = format!(
        "# Rendered by couchestor from {}; proposals overwrite this.\n",
        one_line(&object.origin.path)
    );
    Manifest {
        content: format!("{head}{}", emit(&value)).into_bytes(),
        what,
    }
}

fn one_line(text: &str) -> String {
    text.chars().filter(|one| !one.is_control()).collect()
}

/// An encrypted file as it lies in Git. It will do when all that it holds is delivered as it stands there: nobody but Flux opens it.
fn original(
    path: &str,
    objects: &[&RenderedObject],
    tree: &ClearTree,
    sealed: &BTreeMap<String, Vec<u8>>,
) -> Result<Manifest, &'static str> {
    const CHANGED: &str = "the overlay, a variable or a list changes what was encrypted, and would have to be written in plain text; put what \
        it changes into the encrypted file, or let couchestor apply (delivery.mode: apply)";
    let file = tree.files.get(path).filter(|file| file.secret);
    let (Some(file), Some(content)) = (file, sealed.get(path)) else {
        return Err(CHANGED);
    };
    let clear = file.text.expose_str().map_err(|_| CHANGED)?;
    let documents = yaml::load_wiped(clear).map_err(|_| CHANGED)?;
    let mut documents: Vec<Wiped> = documents
        .iter()
        .map(|document| document.to_json().map(Wiped))
        .collect::<Result<_, _>>()
        .map_err(|_| CHANGED)?;
    documents.retain(|document| !document.0.is_null());
    let same = documents.len() == objects.len()
        && objects
            .iter()
            .all(|object| documents.iter().any(|document| document.0 == *object.value));
    if !same {
        return Err(CHANGED);
    }
    // What Flux reads before it opens anything.
    let heads = |document: &Value| ["apiVersion", "kind", "metadata"].map(|key| document.get(key).cloned());
    let sealed = std::str::from_utf8(content).map_err(|_| CHANGED)?;
    let sealed = yaml::load(sealed).map_err(|_| CHANGED)?;
    let mut heads_in_clear = Vec::new();
    for document in &sealed {
        heads_in_clear.push(heads(&document.to_json().map_err(|_| CHANGED)?));
    }
    if objects
        .iter()
        .any(|object| !heads_in_clear.contains(&heads(&object.value)))
    {
        return Err(
            "its kind or metadata is encrypted too, by which Flux knows it; encrypt only what is secret of it \
            (encrypted_regex: ^(data|stringData)$)",
        );
    }
    let says = |object: &RenderedObject, key: &str, value: &str| {
        let annotations = object.value.pointer("/metadata/annotations");
        annotations.and_then(|all| all.get(key)).and_then(Value::as_str) == Some(value)
    };
    let (once, if_absent) = MADE_ONCE;
    let mut passwords = objects.iter().filter(|object| is_repository_secret(&object.id));
    if passwords.any(|object| !says(object, once, if_absent)) {
        return Err(
            "backups can be read only with the password that they were made with, and Flux would write another one over it; give it the \
            annotation kustomize.toolkit.fluxcd.io/ssa: IfNotPresent (sops set)",
        );
    }
    let bare = objects
        .iter()
        .filter(|object| !says(object, PRUNE[1], "disabled"));
    if let Some(why) = bare.filter_map(|object| outlives_its_file(&object.id)).next() {
        return Err(why);
    }
    Ok(Manifest {
        content: content.clone(),
        what: format!(
            "{}, encrypted as it lies in Git",
            counted(objects.len(), "object")
        ),
    })
}

/// Why an object must not go with its file, where nothing can be written into that file; `None` where it may.
fn outlives_its_file(id: &ObjectId) -> Option<&'static str> {
    let (group, kind) = (id.group.as_str(), id.kind.as_str());
    if is_repository_secret(id) {
        Some(
            "backups can be read only with it, and Flux would remove it together with its file; give it the annotation \
            kustomize.toolkit.fluxcd.io/prune: disabled (sops set)",
        )
    } else if NEVER_PRUNED.contains(&(group, kind)) || (group, kind) == CLASS {
        Some(
            "data may lie behind it, or volumes be of it, and Flux would remove it together with its file; move it out of the encrypted \
            file, or give it the annotation kustomize.toolkit.fluxcd.io/prune: disabled",
        )
    } else {
        None
    }
}

/// Group and kind of what is not removed while volumes are of it.
const CLASS: (&str, &str) = ("storage.k8s.io", "StorageClass");

/// The file of an object, below the folder: in one of its namespace's name, and there by kind and name. No two objects have the same.
fn name(id: &ObjectId) -> String {
    let kind = match id.group.as_str() {
        "" => id.kind.to_lowercase(),
        group => format!("{}.{group}", id.kind.to_lowercase()),
    };
    let mut name = format!("{}_{}", escaped(&kind), escaped(&id.name));
    if name.len() > NAME_BYTES_MAX {
        let hash = hex(&Sha256::digest(name.as_bytes())[..8]);
        name.truncate(NAME_BYTES_KEPT);
        name = format!("{name}_{hash}");
    }
    match id.namespace.as_str() {
        "" => format!("{name}.yaml"),
        namespace => format!("{}/{name}.yaml", escaped(namespace)),
    }
}

/// A name without what means something to a file system: everything else is written as `=` and two digits for each byte.
fn escaped(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    let first = name.starts_with('.');
    let bytes = name.bytes().enumerate();
    bytes
        .map(|(at, byte)| match plain(byte) && !(at == 0 && first) {
            true => char::from(byte).to_string(),
            false => format!("={byte:02x}"),
        })
        .collect()
}

/// The source for which a kustomization of ours was written.
fn marked(kustomization: &str) -> Option<&str> {
    let (first, _) = kustomization.split_once('\n')?;
    first.strip_prefix(MARK)?.split(':').next()
}

/// What our kustomization of the folder lists; `None` when it is somebody else's.
pub(crate) fn listed(kustomization: &str, source: &str) -> Option<BTreeSet<String>> {
    let (_, rest) = kustomization.split_once('\n')?;
    if marked(kustomization)? != source {
        return None;
    }
    let documents = yaml::load(rest).ok()?;
    let value = documents.first()?.to_json().ok()?;
    let all = value
        .get("resources")?
        .as_array()?
        .iter()
        .filter_map(Value::as_str);
    // A line that a person has added is none of ours.
    let ours = |path: &&str| {
        let file = path.rsplit('/').next().unwrap_or_default();
        path.starts_with(&format!("{SEALED}/")) || file.contains('_')
    };
    let inside = |path: &&str| path.split('/').all(|part| !matches!(part, "" | "." | ".."));
    Some(all.filter(ours).filter(inside).map(str::to_owned).collect())
}

fn kustomization(source: &str, files: &BTreeSet<&str>) -> Vec<u8> {
    let value =
        json!({"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": files});
    let words =
        "proposals overwrite this file, and remove files that it lists; keep your own in another folder.";
    format!("{MARK}{source}: {words}\n{}", emit(&value)).into_bytes()
}

/// What a delivery would change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Names the manifests: the same key means the same ones.
    pub key: String,
    /// Files that are new, with what they hold.
    pub added: Vec<(String, String)>,
    /// Files that change.
    pub changed: Vec<(String, String)>,
    /// Files that go.
    pub removed: Vec<String>,
    /// Files whose objects left Git and that stay, and why.
    pub kept: Vec<(String, &'static str)>,
    /// Files of the folder as they should be, those that differ.
    pub writes: Vec<FileChange>,
    /// Files of somebody else's that stand where one of ours should.
    pub taken: Vec<String>,
}

impl Changes {
    /// Whether the folder is as it should be.
    pub fn is_nothing(&self) -> bool {
        self.writes.is_empty()
    }
}

/// Compares manifests with what lies in the folder. `id` names a content as [`Standing::files`] does. The file of a StorageClass that
/// volumes still use stays: when it is not known which are used, all do.
pub fn changes(
    manifests: &Manifests,
    standing: &Standing,
    classes_in_use: &BTreeSet<String>,
    (folder, source): (&str, &str),
    id: impl Fn(&[u8]) -> String,
) -> Changes {
    let mut changes = Changes::default();
    let in_use: BTreeSet<String> = classes_in_use.iter().map(|class| class_file(class)).collect();
    let mut listed: BTreeSet<&str> = manifests.files.keys().map(String::as_str).collect();
    let mut hash = Sha256::new();
    let write = |path: &str, content: Option<&[u8]>| FileChange {
        path: format!("{folder}/{path}"),
        content: content.map(<[u8]>::to_vec),
    };
    for (path, manifest) in &manifests.files {
        let new = id(&manifest.content);
        hash.update(format!("{path}\n{new}\n").as_bytes());
        let said = (path.clone(), manifest.what.clone());
        if let Some(other) = in_the_way(path, standing) {
            changes.taken.push(other);
            continue;
        }
        match standing.files.get(path) {
            Some(old) if *old == new => continue,
            Some(_) if !standing.ours.contains(path) => changes.taken.push(path.clone()),
            Some(_) => changes.changed.push(said),
            None => changes.added.push(said),
        }
        changes.writes.push(write(path, Some(&manifest.content)));
    }
    for path in standing
        .ours
        .iter()
        .filter(|path| !manifests.files.contains_key(*path))
    {
        if !standing.files.contains_key(path) {
            continue;
        }
        if in_use.contains(path) {
            listed.insert(path);
            hash.update(format!("{path}\nkept\n").as_bytes());
            changes
                .kept
                .push((path.clone(), "volumes or claims still use the class"));
        } else {
            changes.removed.push(path.clone());
            changes.writes.push(write(path, None));
        }
    }
    let list = kustomization(source, &listed);
    if standing.files.get(KUSTOMIZATION) != Some(&id(&list)) {
        changes.writes.push(write(KUSTOMIZATION, Some(&list)));
    }
    changes.key = format!("{IDENTITY}manifests/{}", hex(&hash.finalize()[..8]));
    changes
}

/// What lies in a folder, by the files of its repository, and what of it is ours; and the source that has written there. Without a
/// `source` whoever has written there is meant. `read` reads a file.
///
/// # Errors
/// Why nothing can be delivered there, in words.
pub fn standing(
    entries: &BTreeMap<String, Entry>,
    folder: &str,
    source: Option<&str>,
    read: impl Fn(&BlobId) -> Result<Vec<u8>, String>,
) -> Result<(Standing, Option<String>), String> {
    let ends = folder.match_indices('/').map(|(at, _)| at);
    for end in ends.chain([folder.len()]) {
        let path = &folder[..end];
        if entries.contains_key(path) {
            return Err(format!(
                "{path} is no folder; give spec.delivery.path another one"
            ));
        }
    }
    let mut standing = Standing {
        files: below(folder, entries),
        ours: BTreeSet::new(),
    };
    let mut whose = None;
    for name in KUSTOMIZATIONS {
        let path = format!("{folder}/{name}");
        let Some(entry) = entries.get(&path) else { continue };
        let mut text = String::new();
        if name == KUSTOMIZATION && entry.kind == EntryKind::File {
            let bytes = read(&entry.blob).map_err(|error| format!("{path}: {error}"))?;
            text = String::from_utf8(bytes).unwrap_or_default();
        }
        let written = source.or_else(|| marked(&text));
        let Some((written, listed)) = written.and_then(|one| Some((one, listed(&text, one)?))) else {
            let of = source.map_or_else(
                || "a PolicySource".to_owned(),
                |one| format!("PolicySource {one}"),
            );
            return Err(format!(
                "{path} was not written for {of}; give spec.delivery.path a folder of its own"
            ));
        };
        whose = Some(written.to_owned());
        standing.ours = listed;
    }
    Ok((standing, whose))
}

/// The files of the folder in a commit's listing.
pub fn below(folder: &str, entries: &BTreeMap<String, Entry>) -> BTreeMap<String, String> {
    let inside = |path: &str| path.strip_prefix(folder)?.strip_prefix('/').map(str::to_owned);
    let of = |(path, entry): (&String, &Entry)| Some((inside(path)?, entry.blob.to_string()));
    entries.iter().filter_map(of).collect()
}

/// A file that stands where a folder of ours should be, or in a folder where a file of ours should be.
fn in_the_way(path: &str, standing: &Standing) -> Option<String> {
    let mut folders = path.match_indices('/').map(|(at, _)| &path[..at]);
    let file = folders.find(|folder| standing.files.contains_key(*folder));
    let below = format!("{path}/");
    let within = || {
        let next = standing.files.range(below.clone()..).next();
        next.map(|(other, _)| other)
            .filter(|other| other.starts_with(&below))
    };
    file.map(str::to_owned).or_else(|| within().cloned())
}

/// The file of a StorageClass.
fn class_file(class: &str) -> String {
    name(&ObjectId {
        group: CLASS.0.to_owned(),
        kind: CLASS.1.to_owned(),
        namespace: String::new(),
        name: class.to_owned(),
    })
}

#[cfg(test)]
mod tests;
