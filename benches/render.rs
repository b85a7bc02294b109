//! Rendering against the real kustomize, and opening against the real sops command, in one run and by CPU time: `cargo bench
//! --bench render`. Ours is what a turn does from the list of files to the rendered objects; theirs is the whole command, start and output
//! counted. Sizes: `COUCHESTOR_BENCH_SIZES=1000,5000` (kustomize takes minutes for 10,000); `COUCHESTOR_BENCH_PEERS=no` leaves the
//! commands out, for a look at ours alone.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    dead_code,
    reason = "a benchmark starts programs, prints, and stops at the first surprise"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use couchestor::decrypt::{ClearCache, Vouched, decrypt};
use couchestor::formats::sops::{self, Identities};
use couchestor::model::ids::{BlobId, Revision};
use couchestor::model::tree::{Checkout, Entry, EntryKind};
use couchestor::parse::{ParseCache, parse};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// How often ours is run; the fastest counts, since everything else is noise.
const RUNS: usize = 15;

/// CPU seconds of this process, or of its children that have ended.
fn cpu(children: bool) -> f64 {
    let who = if children {
        libc::RUSAGE_CHILDREN
    } else {
        libc::RUSAGE_SELF
    };
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::uninit();
    #[expect(unsafe_code, reason = "the standard library has no clock of CPU time")]
    // SAFETY: getrusage fills the structure that it is given.
    let usage = unsafe {
        libc::getrusage(who, usage.as_mut_ptr());
        usage.assume_init()
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

fn object(number: usize) -> String {
    match number % 3 {
        0 => format!(
            "apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata:\n  name: class-{number}\n  labels:\n    tier: hot\nprovisioner: io.openebs.csi-mayastor\nparameters:\n  protocol: nvmf\n  repl: \"2\"\n  fsType: xfs\nallowVolumeExpansion: true\nreclaimPolicy: Retain\nvolumeBindingMode: WaitForFirstConsumer\n"
        ),
        1 => format!(
            "apiVersion: velero.io/v1\nkind: Schedule\nmetadata:\n  name: nightly-{number}\n  namespace: velero\nspec:\n  schedule: \"0 2 * * *\"\n  template:\n    ttl: 720h0m0s\n    includedNamespaces:\n    - db\n    - media\n    storageLocation: default\n    snapshotVolumes: true\n"
        ),
        _ => format!(
            "apiVersion: storage.billyronks.io/v1\nkind: StoragePolicy\nmetadata:\n  name: policy-{number}\nspec:\n  highWatermarkIOPS: 5000\n  lowWatermarkIOPS: 500\n  samplingWindow: 1h\n  cooldownPeriod: 24h\n  storageClassName: mayastor-{number}\n  nvmePoolSelector:\n    matchLabels:\n      storage-tier: hot\n  sataPoolSelector:\n    matchLabels:\n      storage-tier: cold\n  maxConcurrentMigrations: 2\n  migrationTimeout: 30m\n  enabled: true\n"
        ),
    }
}

/// Files below `p/`, and a commit that names them by what is in them.
struct Repository {
    files: BTreeMap<String, String>,
}

impl Repository {
    fn new(objects: usize) -> Self {
        let mut files = BTreeMap::new();
        let mut list = String::from("resources:\n");
        for number in 0..objects {
            let name = format!("{number:05}.yaml");
            list.push_str(&format!("- {name}\n"));
            files.insert(format!("p/{name}"), object(number));
        }
        files.insert("p/kustomization.yaml".into(), list);
        Self { files }
    }

    fn write(&self, folder: &Path) {
        std::fs::create_dir_all(folder.join("p")).unwrap();
        for (path, text) in &self.files {
            std::fs::write(folder.join(path), text).unwrap();
        }
    }

    fn checkout(&self) -> Checkout {
        let entry = |(path, text): (&String, &String)| {
            let blob = BlobId(format!("{path}:{}", sops::fingerprint(text.as_bytes())));
            let kind = EntryKind::File;
            (path.clone(), Entry { blob, kind })
        };
        Checkout {
            revision: Revision {
                branch: "main".into(),
                commit: "0123456789012345678901234567890123456789".into(),
            },
            entries: self.files.iter().map(entry).collect(),
            introduced: BTreeMap::new(),
            removed: BTreeMap::new(),
        }
    }
}

/// What a turn does with a commit before it looks at the cluster; the files are read from disk.
fn ours(checkout: &Checkout, folder: &Path, clear: &mut ClearCache, parsed: &mut ParseCache) -> usize {
    let read = |id: &BlobId| {
        let path = id.as_str().split(':').next().unwrap_or_default();
        std::fs::read(folder.join(path)).map_err(|error| error.to_string())
    };
    let tree = decrypt(
        checkout,
        "p",
        "p/assignments",
        &read,
        &Identities::default(),
        Vouched::No,
        clear,
    );
    let tree = tree.unwrap_or_else(|errors| panic!("{:?}", errors.diagnostics));
    let found = parse(&tree, &[], &Default::default(), parsed);
    let desired = found
        .desired
        .unwrap_or_else(|| panic!("{:?}", &found.diagnostics[..1]));
    couchestor::render::render(&desired).len()
}

/// Prints the ratio for a size; gives the seconds that an object took, and whether the ratio is as wanted.
fn render(size: usize) -> (f64, bool) {
    let folder = tempfile::tempdir().unwrap();
    let mut repository = Repository::new(size);
    repository.write(folder.path());
    let checkout = repository.checkout();
    let mut best = f64::MAX;
    for _ in 0..RUNS {
        // The caches live as long as the controller, so what it takes to drop them is no part of a turn.
        let (mut clear, mut parsed) = (ClearCache::default(), ParseCache::default());
        let before = cpu(false);
        let count = ours(&checkout, folder.path(), &mut clear, &mut parsed);
        best = best.min(cpu(false) - before);
        assert!(count >= size, "{count} objects");
    }
    let wanted = match size {
        1000 => 25.0,
        5000 => 100.0,
        _ => 200.0,
    };
    let mut enough = true;
    if peers() {
        let mut kustomize = Command::new(support::servers::kustomize());
        let theirs = theirs(kustomize.arg("build").arg(folder.path().join("p")));
        println!(
            "{size:>6} objects: ours {:>8.1} ms, kustomize {:>9.1} ms CPU: {:>4.0} times less (wanted: {wanted})",
            best * 1e3,
            theirs * 1e3,
            theirs / best
        );
        enough = theirs / best >= wanted;
    } else {
        println!("{size:>6} objects: ours {:>8.1} ms", best * 1e3);
    }

    // Ten files change, again and again.
    let (mut clear, mut parsed) = (ClearCache::default(), ParseCache::default());
    ours(&checkout, folder.path(), &mut clear, &mut parsed);
    let mut best_again = f64::MAX;
    for round in 1..=RUNS {
        let (reads, parses) = (clear.reads, parsed.parses);
        for number in 0..10 {
            let path = format!("p/{:05}.yaml", number * (size / 10));
            let changed = object(number * (size / 10))
                .replace("labels:\n", &format!("labels:\n    changed: round-{round}\n"))
                .replace("0 2 * * *", &format!("{round} 3 * * *"))
                .replace("5000", &format!("{}", 5000 + round));
            assert_ne!(changed, object(number * (size / 10)));
            std::fs::write(folder.path().join(&path), &changed).unwrap();
            repository.files.insert(path, changed);
        }
        let checkout = repository.checkout();
        let before = cpu(false);
        ours(&checkout, folder.path(), &mut clear, &mut parsed);
        best_again = best_again.min(cpu(false) - before);
        let (reads, parses) = (clear.reads - reads, parsed.parses - parses);
        assert_eq!((reads, parses), (10, 10), "work is in proportion to what changed");
    }
    println!(
        "               ten files changed: {:.1} ms, 10 files read, 10 parsed",
        best_again * 1e3
    );
    (best / size as f64, enough)
}

/// CPU seconds of a command that does what it should.
fn theirs(command: &mut Command) -> f64 {
    let before = cpu(true);
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    cpu(true) - before
}

/// Whether the commands that we are measured against are run.
fn peers() -> bool {
    std::env::var("COUCHESTOR_BENCH_PEERS").as_deref() != Ok("no")
}

/// Files, each with a data key of its own; the sops command opens the first of them, since each takes it a process.
const OPENED: usize = 1000;
const OPENED_BY_SOPS: usize = 20;

/// CPU seconds in which they are to be opened.
const OPEN_SECONDS_MAX: f64 = 0.15;

/// How much more one object may take in the largest tree than in the smallest.
const GROWTH_MAX: f64 = 1.5;

/// Prints what opening takes, and whether it is as wanted.
fn open() -> bool {
    let folder = tempfile::tempdir().unwrap();
    let sealer = support::seal::Sealer::new();
    let sealed: Vec<String> = (0..OPENED)
        .map(|number| {
            let values: BTreeMap<String, String> = (0..10)
                .map(|value| (format!("key{value}"), format!("value {value} of file {number}")))
                .collect();
            sealer.anew().secret(&serde_json::json!({
                "apiVersion": "v1", "kind": "Secret", "metadata": {"name": format!("s{number}")}, "stringData": values,
            }))
        })
        .collect();
    let identities = Identities::parse([("key", sealer.key.as_str())]).unwrap();
    let mut best = f64::MAX;
    for _ in 0..RUNS {
        let before = cpu(false);
        for file in &sealed {
            let opened = sops::open("f.yaml", file.as_bytes(), &identities).unwrap();
            assert!(opened.is_some());
        }
        best = best.min(cpu(false) - before);
    }
    if !peers() {
        println!("{OPENED:>6} SOPS files of ten values, each opened once: ours {best:.3} s CPU");
        return best <= OPEN_SECONDS_MAX;
    }
    let command = support::servers::sops();
    let opened = sealed.iter().take(OPENED_BY_SOPS).enumerate();
    let each = opened.map(|(number, file)| {
        let path = folder.path().join(format!("{number}.yaml"));
        std::fs::write(&path, file).unwrap();
        let mut sops = Command::new(&command);
        theirs(sops.arg("decrypt").arg(path).env("SOPS_AGE_KEY", &sealer.key))
    });
    let theirs = each.sum::<f64>() * OPENED as f64 / OPENED_BY_SOPS as f64;
    println!(
        "{OPENED:>6} SOPS files of ten values, each opened once: ours {best:.3} s CPU (wanted: {OPEN_SECONDS_MAX:.3}), the sops command \
         {theirs:.1} s, its start counted (in proportion to {OPENED_BY_SOPS} of them): {:.0} times less",
        theirs / best
    );
    best <= OPEN_SECONDS_MAX
}

fn main() {
    let sizes = std::env::var("COUCHESTOR_BENCH_SIZES").unwrap_or_else(|_| "1000,5000,10000".to_owned());
    let mut good = open();
    let mut each = Vec::new();
    for size in sizes.split(',').filter_map(|size| size.trim().parse().ok()) {
        let (seconds, enough) = render(size);
        each.push(seconds);
        good &= enough;
    }
    if let [first, .., last] = each.as_slice() {
        println!(
            "one object takes {:.2} times as long in the largest tree as in the smallest (wanted: at most {GROWTH_MAX})",
            last / first
        );
        good &= last / first <= GROWTH_MAX;
    }
    if !good {
        println!("not what is wanted");
        std::process::exit(1);
    }
}
