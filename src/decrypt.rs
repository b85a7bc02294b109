//! [`Checkout`](crate::model::tree::Checkout) → [`ClearTree`](crate::model::tree::ClearTree): reads the blobs that the policy path needs and decrypts those that are encrypted.
//!
//! Blobs that were read before are not read again, and clear text lives in memory only.
//!
//! # What the MAC of an encrypted file binds, and what it does not
//!
//! The MAC sums up the values of a file in their order, and each encrypted value is sealed to the keys on its path. So a value that
//! was changed, added, taken out or moved is refused, and so is a changed rule or date. But the format keeps quiet about some
//! edits, the sops command accepts them, and whoever knows the public recipients can write a new file with a right MAC. Who wrote
//! a file is what a signed commit says (`spec.verify`). Without one:
//!
//! - A file with `mac_only_encrypted` is refused: all of its clear part can be changed unseen.
//! - A policy of ours is refused when anything but `apiVersion`, `kind` and `metadata` stands in it in the clear or is empty: keys
//!   of clear values can be renamed, their characters can move from one to the next, and empty values can be added.
//! - Names and labels, and the clear part of everybody else's objects, are trusted as the plain files of the same commit are:
//!   whoever could edit them could as well commit a plain object.
//! - The type of an encrypted value (`type:str`) is not bound either. A value must read as the type that is stated, and what does
//!   not fit the field (a number in a Secret's `stringData`, a text for a watermark) is refused, in signed commits too. In an
//!   object whose fields nobody here knows, the text "42" can be made the number 42: its schema is with the API server, which refuses
//!   what does not fit.
//! - `null`, empty texts, maps and lists are in no MAC, so they can be added to an object of somebody else's, as they can stand in any
//!   plain object; where a Secret's own rules have no room for them they are refused.
//!
//! A commit that is signed by somebody who is trusted closes all of these: the edits would be the signer's own.
//!
//! `tests/sops_real/unseen.rs` is the table of these edits, each with its verdict.

use crate::formats::overlay::{self, Files};
use crate::formats::sops::{self, Format, Identities};
use crate::formats::yaml;
use crate::model::diagnostic::{Diagnostic, Place, Severity};
use crate::model::ids::BlobId;
use crate::model::secret::SecretText;
use crate::model::tree::{Checkout, ClearFile, ClearTree, EntryKind, Refused};
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Largest file that is read: Flux's limit for encrypted files.
pub const FILE_BYTES_MAX: usize = 5 << 20;

/// Files of one tree: as many as an overlay may have, and the assignments.
const FILES_MAX: usize = 40_000;

/// Clear files by blob and format, as the newest tree needed them.
#[derive(Default)]
pub struct ClearCache {
    /// The keys with which they were opened; with others all are opened again.
    keys: String,
    files: HashMap<ReadAs, ClearFile>,
    /// How many blobs were read, ever.
    pub reads: u64,
    /// How many files were decrypted, ever.
    pub decryptions: u64,
}

/// What decides how a file is read, beside the keys: its blob, and the format that its name stands for.
type ReadAs = (BlobId, Format);

/// Whether the commit's signature was checked, and holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vouched {
    /// Somebody who is trusted signed it.
    Yes,
    /// Nobody did: what a file's MAC does not bind is refused.
    No,
    /// It is a folder on disk: what the MAC does not bind is a warning.
    Unknown,
}

/// How blobs are read.
pub type Read<'a> = dyn Fn(&BlobId) -> Result<Vec<u8>, String> + 'a;

/// Brings the files of a policy path into the clear.
///
/// # Errors
/// Everything that stands in the way; a tree is never given out in part.
pub fn decrypt(
    checkout: &Checkout,
    root: &str,
    assignments: &str,
    read: &Read,
    identities: &Identities,
    vouched: Vouched,
    cache: &mut ClearCache,
) -> Result<ClearTree, Refused> {
    if cache.keys != identities.id() {
        identities.id().clone_into(&mut cache.keys);
        cache.files.clear();
    }
    let listing = Listing {
        paths: checkout
            .entries
            .keys()
            .filter(|path| !inside(path, assignments))
            .cloned()
            .collect(),
        checkout,
        read,
        texts: RefCell::default(),
        known: &cache.files,
        reads: Cell::default(),
    };
    let linked: Vec<Diagnostic> = [root, assignments]
        .into_iter()
        .filter_map(|folder| link_to(folder, checkout))
        .collect::<BTreeSet<&str>>()
        .into_iter()
        .map(not_a_file)
        .collect();
    let nothing = |diagnostics| Refused {
        diagnostics,
        rest: None,
    };
    if !linked.is_empty() {
        return Err(nothing(linked));
    }
    let (needed, mut diagnostics) = needed(root, assignments, &listing).map_err(nothing)?;
    let mut broken = BTreeSet::new();
    let refused: BTreeSet<String> = diagnostics.iter().map(|one| one.place.path.clone()).collect();
    let told = |path: &String| refused.contains(path);
    let mut doubts = Vec::new();
    let mut files = BTreeMap::new();
    let mut kept = HashMap::new();
    let mut decryptions = 0;
    for path in needed {
        let Some(entry) = checkout.entries.get(&path) else {
            continue;
        };
        if entry.kind != EntryKind::File {
            diagnostics.push(not_a_file(&path));
            broken.insert(path);
            continue;
        }
        let key = (entry.blob.clone(), Format::of(&path));
        let file = match kept.get(&key).or_else(|| cache.files.get(&key)) {
            Some(file) => {
                let mut file = file.clone();
                // It may have been read under another name.
                for doubt in &mut file.doubts {
                    doubt.place.path.clone_from(&path);
                }
                Ok(file)
            }
            None => open(&path, &entry.blob, &listing, identities, &mut decryptions),
        };
        match file {
            // An encrypted kustomization is refused, and nothing of it may be said.
            Ok(file) if file.secret && told(&path) => drop(broken.insert(path)),
            Ok(file) => {
                match vouched {
                    Vouched::Yes => {}
                    Vouched::No => diagnostics.extend(file.doubts.clone()),
                    Vouched::Unknown => doubts.extend(file.doubts.iter().map(|doubt| Diagnostic {
                        severity: Severity::Warning,
                        ..doubt.clone()
                    })),
                }
                kept.insert(key, file.clone());
                files.insert(path, file);
            }
            Err(diagnostic) => {
                diagnostics.push(diagnostic);
                broken.insert(path);
            }
        }
    }
    let reads = listing.reads.get();
    cache.reads += reads;
    cache.decryptions += decryptions;
    cache.files = kept;
    let tree = ClearTree {
        revision: checkout.revision.clone(),
        root: root.to_owned(),
        assignments: assignments.to_owned(),
        files,
        broken,
        doubts,
        introduced: checkout.introduced.clone(),
        removed: checkout.removed.clone(),
    };
    if diagnostics.is_empty() {
        Ok(tree)
    } else {
        Err(Refused {
            diagnostics,
            rest: Some(Box::new(tree)),
        })
    }
}

/// The files that the overlay needs, and the assignments.
fn needed(
    root: &str,
    assignments: &str,
    listing: &Listing,
) -> Result<(BTreeSet<String>, Vec<Diagnostic>), Vec<Diagnostic>> {
    let overlay::Needed {
        files: mut needed,
        diagnostics,
    } = overlay::needed_files(root, listing);
    // A folder may hold nothing but assignments, which are no part of the overlay.
    let mut all = listing.checkout.entries.keys();
    if needed.is_empty() && !all.any(|path| inside(path, root)) && !root.is_empty() {
        return Err(vec![Diagnostic::error(
            Place::file(root),
            "missing-path",
            "the commit has no such folder",
            "correct spec.path",
        )]);
    }
    let yaml = |path: &&String| path.ends_with(".yaml") || path.ends_with(".yml");
    needed.extend(
        listing
            .checkout
            .entries
            .keys()
            .filter(|path| inside(path, assignments))
            .filter(yaml)
            .cloned(),
    );
    if needed.len() > FILES_MAX {
        return Err(vec![Diagnostic::error(
            Place::file(root),
            "too-many-files",
            format!("more than {FILES_MAX} files belong to this path and its assignments"),
            "point spec.path at a smaller folder",
        )]);
    }
    Ok((needed, diagnostics))
}

/// The link or submodule that stands where a folder, or one above it, is looked for: what is behind it would be missing without
/// a word.
fn link_to<'a>(folder: &'a str, checkout: &Checkout) -> Option<&'a str> {
    let ends = folder.match_indices('/').map(|(at, _)| at);
    ends.chain([folder.len()]).map(|end| &folder[..end]).find(|path| {
        let entry = checkout.entries.get(*path);
        entry.is_some_and(|entry| entry.kind != EntryKind::File)
    })
}

fn not_a_file(path: &str) -> Diagnostic {
    let message = "symbolic links and submodules are not read";
    Diagnostic::error(
        Place::file(path),
        "not-a-file",
        message,
        "put the file itself here",
    )
}

fn inside(path: &str, folder: &str) -> bool {
    !folder.is_empty()
        && path
            .strip_prefix(folder)
            .is_some_and(|rest| rest.starts_with('/'))
}

fn open(
    path: &str,
    blob: &BlobId,
    listing: &Listing,
    identities: &Identities,
    decryptions: &mut u64,
) -> Result<ClearFile, Diagnostic> {
    let refuse =
        |rule: &str, message: String, help: &str| Diagnostic::error(Place::file(path), rule, message, help);
    let bytes = match listing.texts.borrow_mut().remove(path) {
        Some(bytes) => bytes,
        None => listing.read(blob).map_err(|error| {
            refuse(
                "unreadable",
                error,
                "see that it can be read, and make it smaller if it is too large",
            )
        })?,
    };
    let broken = |lost: sops::Lost| {
        let place = Place::at(path, lost.line, lost.column);
        Diagnostic::error(place, "sops", lost.error.to_string(), "")
    };
    let opened = match left_sealed(path, &bytes)? {
        true => None,
        false => sops::open_or_place(path, &bytes, identities).map_err(broken)?,
    };
    let secret = opened.is_some();
    *decryptions += u64::from(secret);
    let mut doubts = Vec::new();
    let mut text = match opened {
        Some(opened) => {
            doubts = self::doubts(path, &opened);
            opened.text
        }
        None => SecretText::new(bytes),
    };
    // Flux opens what is encrypted inside of a Secret too.
    let mut inside = false;
    if let Ok(source) = text.expose_str()
        && sops::may_hold(source)
        && let Some(clear) =
            sops::open_inside(source, identities).map_err(|error| broken(sops::Lost::of(error)))?
    {
        *decryptions += 1;
        inside = true;
        if clear.mac_only_encrypted {
            doubts.push(mac_only_encrypted(path));
        }
        text = clear.text;
    }
    Ok(ClearFile {
        blob: blob.clone(),
        text,
        secret: secret || inside,
        doubts,
    })
}

/// Whether all encrypted objects of a file say that they are to be left as they are. Flux asks each object; a file whose objects differ
/// has one sum over all of them, and is refused.
fn left_sealed(path: &str, bytes: &[u8]) -> Result<bool, Diagnostic> {
    let text = std::str::from_utf8(bytes).ok();
    let Some(text) = text.filter(|text| text.contains(sops::OPT_OUT) && text.contains(sops::SEALED)) else {
        return Ok(false);
    };
    let Ok(documents) = yaml::load(text) else {
        return Ok(false);
    };
    let sealed = |one: &&yaml::Node| sops::is_sops(std::slice::from_ref(*one));
    let sealed: Vec<&yaml::Node> = documents.iter().filter(sealed).collect();
    let said: Vec<&&yaml::Node> = sealed.iter().filter(|one| sops::opts_out(one)).collect();
    let refuse = |line, message: &str, help: &str| {
        Err(Diagnostic::error(Place::at(path, line, 1), "sops", message, help))
    };
    let is_secret = |one: &&&&yaml::Node| one.get("kind").and_then(yaml::Node::text) == Some("Secret");
    if let Some(secret) = said.iter().find(is_secret) {
        return refuse(
            secret.line,
            "this Secret is encrypted and not to be decrypted: its ciphertext would be what is read in the cluster",
            "take the annotation kustomize.toolkit.fluxcd.io/decrypt out, or the object",
        );
    }
    match said.first() {
        Some(first) if said.len() < sealed.len() => refuse(
            first.line,
            "this object is not to be decrypted, and others of the same file are: one MAC is over all of them",
            "put it into a file of its own",
        ),
        first => Ok(first.is_some()),
    }
}

/// Longest list of doubts that one file gives; the first few say enough.
const DOUBTS_MAX: usize = 5;

/// What of an encrypted file nobody vouches for but a signed commit: values outside of the MAC, and, in policies of ours,
/// everything that stands in the clear beside what is encrypted. A Secret's own clear part is its name and its labels, which
/// the MAC binds to nothing either; but those are not more trusted than any other object of the repository.
fn doubts(path: &str, opened: &sops::Opened) -> Vec<Diagnostic> {
    if opened.mac_only_encrypted {
        return vec![mac_only_encrypted(path)];
    }
    // A Secret under a name with another ending is read as what it is.
    let heads: &[&str] = match opened.format {
        Format::Yaml | Format::Json if opened.text.expose_str().is_ok_and(somebody_elses) => {
            return Vec::new();
        }
        Format::Yaml | Format::Json => &["apiVersion", "kind", "metadata"],
        Format::Dotenv | Format::Ini | Format::Binary => &[],
    };
    let inside = |one: &&sops::Unbound| one.path.first().is_some_and(|key| !heads.contains(&key.as_str()));
    let loose = opened.unbound.iter().filter(inside).take(DOUBTS_MAX);
    loose
        .map(|one| {
            let place = Place::at(path, one.line, 1);
            let message = format!(
                "`{}` is not encrypted, or empty, in an encrypted policy: its MAC does not bind it to its place",
                one.path.join(".")
            );
            let help = "encrypt the whole spec (encrypted_regex: ^spec$) and leave out what is empty, or sign commits and set spec.verify";
            Diagnostic::error(place, "sops-unbound", message, help)
        })
        .collect()
}

/// Whether all objects of a text are surely none of ours. One without an apiVersion may be a patch of ours, and one with a variable
/// may become ours.
fn somebody_elses(text: &str) -> bool {
    let Ok(documents) = yaml::load_wiped(text) else {
        return false;
    };
    documents.iter().all(|document| {
        let version = document.get("apiVersion").and_then(yaml::Node::text);
        version.is_some_and(|version| {
            !version.is_empty() && !version.contains(crate::model::kinds::GROUP) && !version.contains("${")
        })
    })
}

fn mac_only_encrypted(path: &str) -> Diagnostic {
    Diagnostic::error(
        Place::file(path),
        "sops-unbound",
        "the file was encrypted with mac_only_encrypted: everything in it that is not encrypted can be changed unseen",
        "sign commits and set spec.verify, or encrypt without it",
    )
}

/// The commit's files, read as the overlay asks for them.
struct Listing<'a> {
    paths: BTreeSet<String>,
    checkout: &'a Checkout,
    read: &'a Read<'a>,
    texts: RefCell<HashMap<String, Vec<u8>>>,
    known: &'a HashMap<ReadAs, ClearFile>,
    reads: Cell<u64>,
}

impl Listing<'_> {
    fn read(&self, blob: &BlobId) -> Result<Vec<u8>, String> {
        self.reads.set(self.reads.get() + 1);
        let bytes = (self.read)(blob)?;
        if bytes.len() > FILE_BYTES_MAX {
            return Err(format!("the file is larger than {FILE_BYTES_MAX} bytes"));
        }
        Ok(bytes)
    }
}

impl Files for Listing<'_> {
    fn paths(&self) -> &BTreeSet<String> {
        &self.paths
    }

    fn text(&self, path: &str) -> Option<Cow<'_, str>> {
        let entry = self
            .checkout
            .entries
            .get(path)
            .filter(|entry| entry.kind == EntryKind::File)?;
        if let Some(known) = self.known.get(&(entry.blob.clone(), Format::of(path))) {
            // Borrowed: a copy of what was encrypted would have to be wiped.
            return known.text.expose_str().ok().map(Cow::Borrowed);
        }
        let bytes = self.read(&entry.blob).ok()?;
        let text = String::from_utf8(bytes.clone()).ok()?;
        self.texts.borrow_mut().insert(path.to_owned(), bytes);
        Some(Cow::Owned(text))
    }

    fn secret(&self, _path: &str) -> bool {
        false
    }
}

#[cfg(test)]
mod tests;
