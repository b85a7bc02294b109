//! Claims about bringing files into the clear.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::*;
use crate::canary::Canary;
use crate::model::ids::Revision;
use crate::model::tree::Entry;

type Contents = BTreeMap<BlobId, Vec<u8>>;

/// A commit of these files; a blob is named by a digest of its text.
fn commit(files: &[(&str, &str, EntryKind)]) -> (Checkout, Contents) {
    let mut entries = BTreeMap::new();
    let mut contents = Contents::new();
    for (path, text, kind) in files {
        let blob = BlobId(sops::fingerprint(text.as_bytes()));
        contents.insert(blob.clone(), text.as_bytes().to_vec());
        entries.insert((*path).to_owned(), Entry { blob, kind: *kind });
    }
    let revision = Revision {
        branch: "main".to_owned(),
        commit: "0123456789012345678901234567890123456789".into(),
    };
    let checkout = Checkout {
        revision,
        entries,
        introduced: BTreeMap::new(),
        removed: BTreeMap::new(),
    };
    (checkout, contents)
}

fn run((checkout, contents): &(Checkout, Contents), cache: &mut ClearCache) -> Result<ClearTree, Refused> {
    let read = |blob: &BlobId| contents.get(blob).cloned().ok_or("no such blob".to_owned());
    decrypt(
        checkout,
        "policies",
        "assignments",
        &read,
        &Identities::default(),
        Vouched::Unknown,
        cache,
    )
}

const FILE: EntryKind = EntryKind::File;
const KUSTOMIZATION: &str = "resources: [a.yaml]\n";

#[test]
fn only_what_is_needed_is_read_and_nothing_twice() {
    let first = commit(&[
        ("policies/kustomization.yaml", KUSTOMIZATION, FILE),
        ("policies/a.yaml", "kind: A\n", FILE),
        ("policies/unused.yaml", "kind: B\n", FILE),
        ("assignments/x.yaml", "kind: C\n", FILE),
        ("README.md", "words", FILE),
    ]);
    let mut cache = ClearCache::default();
    let tree = run(&first, &mut cache).unwrap_or_else(|refused| panic!("{:?}", refused.diagnostics));
    let paths: Vec<&String> = tree.files.keys().collect();
    assert_eq!(
        paths,
        [
            "assignments/x.yaml",
            "policies/a.yaml",
            "policies/kustomization.yaml"
        ]
    );
    assert_eq!((cache.reads, cache.decryptions), (3, 0));
    assert!(run(&first, &mut cache).is_ok());
    assert_eq!(cache.reads, 3);
    let second = commit(&[
        ("policies/kustomization.yaml", KUSTOMIZATION, FILE),
        ("policies/a.yaml", "kind: Changed\n", FILE),
    ]);
    assert!(run(&second, &mut cache).is_ok());
    assert_eq!((cache.reads, cache.files.len()), (4, 2));
}

#[test]
fn a_folder_that_holds_nothing_but_assignments_is_there() {
    let read = |path: &str, assignments: &str| {
        let (checkout, contents) = commit(&[(path, "kind: C\n", FILE)]);
        let read = |blob: &BlobId| contents.get(blob).cloned().ok_or("no such blob".to_owned());
        let (nobody, cache) = (&Identities::default(), &mut ClearCache::default());
        let read = decrypt(
            &checkout,
            "p",
            assignments,
            &read,
            nobody,
            Vouched::Unknown,
            cache,
        );
        read.map(|tree| tree.files.into_keys().collect::<Vec<_>>())
            .map_err(|refused| refused.diagnostics[0].rule.clone())
    };
    let path = "p/assignments/db/a.yaml";
    assert_eq!(read(path, "p/assignments"), Ok(vec![path.to_owned()]));
    assert_eq!(read("q/a.yaml", "p/assignments"), Err("missing-path".to_owned()));
}

#[test]
fn what_stands_in_the_way_is_named_and_no_tree_is_given_out() {
    let canary = Canary::new();
    let large = "x".repeat(FILE_BYTES_MAX + 1);
    let unreadable = "a: ENC[AES256_GCM,data:AA==,iv:AA==,tag:AA==,type:str]\nb: CANARY\nsops:\n  age:\n  - recipient: age1them\n    enc: x\n  mac: ENC[]\n  lastmodified: now\n";
    for (text, kind, message) in [
        ("a.yaml", EntryKind::Symlink, "symbolic links"),
        ("a.yaml", EntryKind::Submodule, "submodules"),
        (large.as_str(), FILE, "larger"),
        (unreadable, FILE, "age1them"),
        ("a: CANARY\nsops:\n  lastmodified: now\n", FILE, "has no `mac`"),
        (
            "A=ENC[AES256_GCM,data:AA==]\nB=CANARY\nsops_mac=x\n",
            FILE,
            "lastmodified",
        ),
    ] {
        let text = &text.replace("CANARY", &canary.word);
        let commit = commit(&[
            ("policies/kustomization.yaml", KUSTOMIZATION, FILE),
            ("policies/a.yaml", text, kind),
        ]);
        let refused = run(&commit, &mut ClearCache::default()).map(|_| ()).unwrap_err();
        let errors = refused.diagnostics;
        canary.assert_absent(&format!("{errors:?}"));
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].message.contains(message), "{errors:?}");
        assert_eq!(errors[0].place.path, "policies/a.yaml");
    }
}
