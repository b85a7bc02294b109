//! [`Checkout`](crate::model::tree::Checkout) → [`ClearTree`](crate::model::tree::ClearTree): reads the blobs that the policy path needs and decrypts those that are encrypted.
//!
//! Blobs that were read before are not read again, and clear text lives in memory only.

use crate::formats::overlay::{self, Files};
use crate::formats::sops::{self, Identities};
use crate::formats::yaml;
use crate::model::diagnostic::{Diagnostic, Place};
use crate::model::ids::BlobId;
use crate::model::secret::SecretText;
use crate::model::tree::{Checkout, ClearFile, ClearTree, EntryKind};
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Largest file that is read: Flux's limit for encrypted files.
pub const FILE_BYTES_MAX: usize = 5 << 20;

/// Clear files by blob and key set, as the newest tree needed them.
#[derive(Default)]
pub struct ClearCache {
    files: HashMap<(BlobId, String), ClearFile>,
    /// How many files were decrypted, ever.
    pub decryptions: u64,
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
    cache: &mut ClearCache,
) -> Result<ClearTree, Vec<Diagnostic>> {
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
    };
    let mut needed = overlay::needed_files(root, &listing)?;
    if needed.is_empty() && !listing.paths.iter().any(|path| inside(path, root)) && !root.is_empty() {
        let place = Place::file(root);
        return Err(vec![Diagnostic::error(
            place,
            "missing-path",
            "the commit has no such folder",
            "correct spec.path",
        )]);
    }
    let yaml = |path: &&String| path.ends_with(".yaml") || path.ends_with(".yml");
    needed.extend(
        checkout
            .entries
            .keys()
            .filter(|path| inside(path, assignments))
            .filter(yaml)
            .cloned(),
    );
    let mut diagnostics = Vec::new();
    let mut files = BTreeMap::new();
    let mut kept = HashMap::new();
    for path in needed {
        let Some(entry) = checkout.entries.get(&path) else {
            continue;
        };
        if entry.kind != EntryKind::File {
            let message = "symbolic links and submodules are not read";
            diagnostics.push(Diagnostic::error(
                Place::file(&path),
                "not-a-file",
                message,
                "put the file itself here",
            ));
            continue;
        }
        let key = (entry.blob.clone(), identities.id().to_owned());
        let file = match cache.files.get(&key) {
            Some(file) => Ok(file.clone()),
            None => open(&path, &entry.blob, &listing, identities, &mut cache.decryptions),
        };
        match file {
            Ok(file) => {
                kept.insert(key, file.clone());
                files.insert(path, file);
            }
            Err(diagnostic) => diagnostics.push(diagnostic),
        }
    }
    if !diagnostics.is_empty() {
        return Err(diagnostics);
    }
    cache.files = kept;
    Ok(ClearTree {
        revision: checkout.revision.clone(),
        root: root.to_owned(),
        assignments: assignments.to_owned(),
        files,
        introduced: checkout.introduced.clone(),
        removed: checkout.removed.clone(),
    })
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
        None => (listing.read)(blob).map_err(|error| {
            refuse(
                "unreadable",
                error,
                "make the file smaller, or fix the repository",
            )
        })?,
    };
    let text = SecretText::new(bytes);
    let clear = ClearFile {
        blob: blob.clone(),
        text: text.clone(),
        secret: false,
    };
    let Ok(source) = text.expose_str() else {
        return Ok(clear);
    };
    // Most files say nothing of sops; those need no second look.
    let encrypted =
        source.contains("sops") && yaml::load(source).is_ok_and(|documents| sops::is_sops(&documents));
    if !encrypted {
        return Ok(clear);
    }
    *decryptions += 1;
    let text = sops::decrypt(source, identities).map_err(|error| refuse("sops", error.to_string(), ""))?;
    Ok(ClearFile {
        blob: blob.clone(),
        text,
        secret: true,
    })
}

/// The commit's files, read as the overlay asks for them.
struct Listing<'a> {
    paths: BTreeSet<String>,
    checkout: &'a Checkout,
    read: &'a Read<'a>,
    texts: RefCell<HashMap<String, Vec<u8>>>,
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
        let bytes = (self.read)(&entry.blob).ok()?;
        let text = String::from_utf8(bytes.clone()).ok()?;
        self.texts.borrow_mut().insert(path.to_owned(), bytes);
        Some(Cow::Owned(text))
    }

    fn secret(&self, _path: &str) -> bool {
        false
    }
}
