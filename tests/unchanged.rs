//! An unchanged tip costs one look at the remote: counted through the real stages, against the simulated servers.

use crate::support::line;
use couchestor::formats::sops::Identities;
use couchestor::model::kinds::policy_source::PolicySourceStatus;
use couchestor::model::rendering::FileChange;
use couchestor::turn::{Memory, turn};
use std::path::Path;
use std::sync::atomic::Ordering;

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_tip_reads_no_blob_decrypts_renders_and_writes_nothing() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let read = |name: &str| std::fs::read_to_string(root.join(name)).unwrap();
    let running = line::servers().await;
    let folder = tempfile::tempdir().unwrap();
    // No Velero here, so the backup files stay out; the SOPS file and the tiers are what counts.
    let kustomization = "resources: [tiers.yaml, policies.yaml, velero-s3.sops.yaml]\n".to_owned();
    let mut files = vec![FileChange {
        path: "p/kustomization.yaml".into(),
        content: Some(kustomization.into_bytes()),
    }];
    for name in ["tiers.yaml", "policies.yaml", "velero-s3.sops.yaml"] {
        files.push(FileChange {
            path: format!("p/{name}"),
            content: Some(read(&format!("base/{name}")).into_bytes()),
        });
    }
    let world = line::outside(&running, None).await;
    let repository = line::pushed(folder.path(), files).await;
    let key = read("demo.agekey");
    let identities = Identities::parse([("demo", key.as_str())]).unwrap();
    let source = line::source(&repository, &identities);
    let mut memory = Memory::default();
    let mut status = PolicySourceStatus::default();
    let counts = |memory: &Memory| {
        let writes = world.cluster.requests().writes.load(Ordering::Relaxed);
        (
            repository.blob_reads(),
            memory.clear.decryptions,
            memory.renders,
            writes,
            running.kubernetes.requests().writes(),
        )
    };
    for _ in 0..2 {
        let turned = turn(&world, &source, &status, &mut memory)
            .await
            .unwrap_or_else(|failure| panic!("{failure:?}"));
        assert!(turned.failures.is_empty(), "{:?}", turned.failures);
        assert!(turned.applied);
        status.inventory = turned.inventory.or(status.inventory);
    }
    let settled = counts(&memory);
    assert!(
        settled.0 >= 4 && settled.1 == 1 && settled.2 == 1 && settled.3 > 0,
        "{settled:?}"
    );
    for _ in 0..3 {
        turn(&world, &source, &status, &mut memory)
            .await
            .unwrap_or_else(|failure| panic!("{failure:?}"));
    }
    assert_eq!(counts(&memory), settled);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_tip_that_is_delivered_by_pull_request_costs_no_more() {
    let running = line::servers().await;
    let folder = tempfile::tempdir().unwrap();
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: default}\n";
    let files = vec![FileChange {
        path: "p/map.yaml".into(),
        content: Some(map.into()),
    }];
    let world = line::outside(&running, None).await;
    let repository = line::pushed(folder.path(), files).await;
    let identities = Identities::default();
    let mut source = line::source(&repository, &identities);
    source.delivery = Some(couchestor::model::delivery::Target {
        path: "rendered".into(),
        branch: "main".into(),
    });
    let (mut memory, mut status) = (Memory::default(), PolicySourceStatus::default());
    let mut settled = None;
    for turns in 0..5 {
        let turned = turn(&world, &source, &status, &mut memory)
            .await
            .unwrap_or_else(|failure| panic!("{failure:?}"));
        assert!(
            turned.failures.is_empty() && !turned.applied,
            "{:?}",
            turned.failures
        );
        let delivered = turned.delivered.expect("it is delivered by pull request");
        assert_eq!(
            delivered.proposed.done.len(),
            usize::from(turns == 0),
            "{:?}",
            delivered.proposed
        );
        status.delivery = Some(delivered.status);
        let counts = (
            repository.blob_reads(),
            memory.renders,
            repository.list().await.unwrap(),
        );
        if turns > 0 {
            assert_eq!(settled.get_or_insert(counts.clone()), &counts);
        }
    }
    assert_eq!(settled.unwrap().1, 1);
}

#[test]
fn ten_changed_files_of_many_are_the_only_ones_that_are_read_decrypted_and_parsed() {
    use couchestor::decrypt::{ClearCache, Vouched, decrypt};
    use couchestor::formats::sops::fingerprint;
    use couchestor::formats::substitute::Variables;
    use couchestor::model::ids::{BlobId, Revision};
    use couchestor::model::tree::{Checkout, Entry, EntryKind};
    use couchestor::parse::{ParseCache, parse};
    use std::collections::BTreeMap;

    const FILES: usize = 10_000;
    /// One of so many files is encrypted.
    const SEALED: usize = 40;
    const CHANGED: usize = 10;
    let sealer = crate::support::seal::Sealer::new();
    let keys = Identities::parse([("key", sealer.key.as_str())]).unwrap();
    let class = |number: usize, more: &str| {
        let text = format!(
            "apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {{name: c{number}}}\nprovisioner: x{more}\n"
        );
        match number % SEALED {
            0 => sealer.anew().yaml(&text),
            _ => text,
        }
    };
    let mut files: BTreeMap<String, String> = (0..FILES)
        .map(|number| (format!("p/{number:05}.yaml"), class(number, "")))
        .collect();
    let (mut clear, mut parsed) = (ClearCache::default(), ParseCache::default());
    let mut turn = |files: &BTreeMap<String, String>| {
        let blob = |text: &str| BlobId(fingerprint(text.as_bytes()));
        let by_blob: BTreeMap<BlobId, &String> = files.values().map(|text| (blob(text), text)).collect();
        let entry = |text: &String| Entry {
            blob: blob(text),
            kind: EntryKind::File,
        };
        let checkout = Checkout {
            revision: Revision {
                branch: "main".into(),
                commit: "0123456789012345678901234567890123456789".into(),
            },
            entries: files
                .iter()
                .map(|(path, text)| (path.clone(), entry(text)))
                .collect(),
            introduced: BTreeMap::new(),
            removed: BTreeMap::new(),
        };
        let read = |id: &BlobId| Ok(by_blob[id].clone().into_bytes());
        let tree = decrypt(
            &checkout,
            "p",
            "p/assignments",
            &read,
            &keys,
            Vouched::No,
            &mut clear,
        );
        let tree = tree.unwrap_or_else(|errors| panic!("{:?}", errors.diagnostics));
        let found = parse(&tree, &[], &Variables::default(), &mut parsed);
        assert_eq!(found.desired.unwrap().resources.len(), files.len());
        (clear.reads, clear.decryptions, parsed.parses)
    };
    let (all, sealed) = (FILES as u64, (FILES / SEALED) as u64);
    assert_eq!(turn(&files), (all, sealed, all));
    assert_eq!(turn(&files), (all, sealed, all));
    // Of these ten every second one is encrypted.
    let changed: Vec<usize> = (0..CHANGED).map(|number| number * SEALED * 49 / 2).collect();
    let opened = changed.iter().filter(|number| *number % SEALED == 0).count() as u64;
    assert_eq!(opened, 5);
    for number in changed {
        files.insert(format!("p/{number:05}.yaml"), class(number, "y"));
    }
    let began = std::time::Instant::now();
    let ten = CHANGED as u64;
    assert_eq!(turn(&files), (all + ten, sealed + opened, all + ten));
    crate::support::say(&format!(
        "{CHANGED} of {FILES} files changed: {ten} read, {opened} decrypted, {ten} parsed, in {:?}",
        began.elapsed()
    ));
    files.remove("p/00500.yaml");
    assert_eq!(turn(&files), (all + ten, sealed + opened, all + ten));
}

#[test]
fn what_one_set_of_keys_opened_is_not_given_to_another() {
    use crate::support::canary::Canary;
    use crate::support::seal::Sealer;
    use couchestor::decrypt::{ClearCache, Vouched, decrypt};
    use couchestor::model::ids::{BlobId, Revision};
    use couchestor::model::tree::{Checkout, Entry, EntryKind};
    use std::collections::BTreeMap;

    let (sealer, other, canary) = (Sealer::new(), Sealer::new(), Canary::new());
    let text = sealer.yaml(&format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\nstringData: {{a: {}}}\n",
        canary.word
    ));
    let entry = Entry {
        blob: BlobId("the same blob".to_owned()),
        kind: EntryKind::File,
    };
    let checkout = Checkout {
        revision: Revision {
            branch: "main".into(),
            commit: "0123456789012345678901234567890123456789".into(),
        },
        entries: BTreeMap::from([("p/a.yaml".to_owned(), entry)]),
        introduced: BTreeMap::new(),
        removed: BTreeMap::new(),
    };
    let keys = |files: &[&str]| Identities::parse(files.iter().map(|file| ("key", *file))).unwrap();
    let (ours, strange, both, none) = (
        keys(&[&sealer.key]),
        keys(&[&other.key]),
        keys(&[&sealer.key, &other.key]),
        Identities::default(),
    );
    let mut cache = ClearCache::default();
    let read = |_: &BlobId| Ok(text.clone().into_bytes());
    // Whose keys, whether they open it, and how many files were decrypted and read by then.
    for (turn, (keys, opens, decryptions, reads)) in [
        (&ours, true, 1, 1),
        (&ours, true, 1, 1),
        (&strange, false, 1, 2),
        (&ours, true, 2, 3),
        (&none, false, 2, 4),
        (&both, true, 3, 5),
        (&both, true, 3, 5),
        (&ours, true, 4, 6),
    ]
    .into_iter()
    .enumerate()
    {
        let tree = decrypt(
            &checkout,
            "p",
            "p/assignments",
            &read,
            keys,
            Vouched::Yes,
            &mut cache,
        );
        match tree {
            Ok(tree) => {
                let clear = tree.files["p/a.yaml"]
                    .text
                    .expose_str()
                    .unwrap()
                    .contains(&canary.word);
                assert!(opens && clear, "turn {turn}");
            }
            Err(refused) => {
                canary.assert_absent(&format!("{:?}", refused.diagnostics));
                let told = &refused.diagnostics[0].message;
                assert!(
                    !opens && told.contains("no key opens it") && told.contains(&sealer.public),
                    "turn {turn}: {told}"
                );
                assert!(
                    refused.rest.is_none_or(|rest| rest.files.is_empty()),
                    "turn {turn}"
                );
            }
        }
        assert_eq!(
            (cache.decryptions, cache.reads),
            (decryptions, reads),
            "turn {turn}"
        );
    }
}
