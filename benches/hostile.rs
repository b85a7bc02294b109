//! What hostile files cost, file by file: `cargo bench --bench hostile`. Every case must end as it says that it ends, within 50 ms of
//! CPU time for each hostile file and 32 MiB beside its own bytes, or this program ends with 1. What the honest objects that a case
//! says it has may take besides is part of what is allowed, and is printed next to what was taken. `COUCHESTOR_BENCH_ONLY=word` runs
//! those whose name has the word, and `COUCHESTOR_BENCH_RUNS=n` makes n runs of each, so that the least of them is told.
//!
//! `cargo test` runs the same cases once each and holds how they end and how much memory they took: of files the bytes that our
//! allocator counted, which are the same on every machine; of commits how far the resident memory rose, since libgit2 is C. The time
//! is held here only.
//!
//! Some cases end well ([`Ends::Objects`]), and that is what is claimed of them: a quoted text of 5 MiB, a file of comments, a
//! kustomization with thousands of patches of one object, a pattern of many stars are odd but mean one thing, kubectl and kustomize
//! read them, and they are read within the same limits as what is refused. A bound that refused them would refuse honest files.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    dead_code,
    reason = "a benchmark prints, and stops at the first surprise"
)]

#[path = "../tests/support/mod.rs"]
mod support;

/// The files.
#[path = "hostile/cases.rs"]
mod cases;

/// Commits, object by object.
#[path = "../tests/hostile_git/commits.rs"]
mod commits;

/// What they cost.
#[path = "hostile/git.rs"]
mod git;

/// Bytes and CPU time.
mod measure;

use cases::{Case, ENDS, Ends};
use couchestor::decrypt::{ClearCache, Vouched, decrypt};
use couchestor::formats::sops::Identities;
use couchestor::formats::substitute::Variables;
use couchestor::model::diagnostic::Diagnostic;
use couchestor::model::ids::{BlobId, Revision};
use couchestor::model::tree::{Checkout, Entry, EntryKind};
use couchestor::parse::{ParseCache, parse};
use measure::cpu_millis;
use std::collections::{BTreeMap, BTreeSet};

const MIB: f64 = (1 << 20) as f64;

/// The promise.
const MILLIS_MAX: f64 = 50.0;
const MIB_MAX: f64 = 32.0;

/// What it takes to read an honest object, where a case says how many it has.
const OBJECT_MILLIS: f64 = 0.009;
const OBJECT_MIB: f64 = 0.003;

/// What the entries of kustomizations may do for each honest object: 600 looks of 60 ns, and 4 KiB that they write.
const OVERLAID_MILLIS: f64 = 0.036;
const OVERLAID_MIB: f64 = 0.004;

/// What a case may take.
struct Allowed {
    millis: f64,
    mib: f64,
}

impl Allowed {
    fn of(case: &Case, size: f64) -> Self {
        let (objects, overlaid) = (case.objects as f64, case.overlaid as f64);
        Self {
            millis: MILLIS_MAX * case.hostile as f64 + objects * OBJECT_MILLIS + overlaid * OVERLAID_MILLIS,
            mib: MIB_MAX + size + objects * OBJECT_MIB + overlaid * OVERLAID_MIB,
        }
    }
}

/// The fastest of so many runs counts, as others may use the machine too; all but the first are made only while it is not fast
/// enough.
const RUNS: usize = 30;

fn checkout(case: &Case) -> Checkout {
    let entry = |path: &String| Entry {
        blob: BlobId(path.clone()),
        kind: EntryKind::File,
    };
    Checkout {
        revision: Revision {
            branch: "main".into(),
            commit: "0123456789012345678901234567890123456789".into(),
        },
        entries: case
            .files
            .keys()
            .map(|path| (path.clone(), entry(path)))
            .collect(),
        introduced: BTreeMap::new(),
        removed: BTreeMap::new(),
    }
}

/// What a turn does with a commit before it looks at the cluster.
fn read(
    case: &Case,
    checkout: &Checkout,
    identities: &Identities,
    variables: &Variables,
) -> Result<usize, Vec<Diagnostic>> {
    let bytes = |id: &BlobId| Ok(case.files[id.as_str()].clone());
    let tree = decrypt(
        checkout,
        "p",
        "p/assignments",
        &bytes,
        identities,
        Vouched::Yes,
        &mut ClearCache::default(),
    )
    .map_err(|refused| refused.diagnostics)?;
    let parsed = parse(&tree, &[], variables, &mut ParseCache::default());
    match parsed.desired {
        Some(desired) => Ok(couchestor::render::render(&desired).len()),
        None => Err(parsed.diagnostics),
    }
}

/// What running a case took, and how it ended.
struct Taken {
    millis: f64,
    mib: f64,
    outcome: Result<usize, Vec<Diagnostic>>,
}

/// How many runs are made of a case that is fast enough, and of one that is not.
fn runs() -> (usize, usize) {
    let asked = std::env::var("COUCHESTOR_BENCH_RUNS").ok();
    match asked.and_then(|runs| runs.parse().ok()) {
        Some(runs) => (runs, runs),
        None => (1, RUNS),
    }
}

fn take(
    case: &Case,
    allowed: &Allowed,
    identities: &Identities,
    variables: &Variables,
    (least, most): (usize, usize),
) -> Taken {
    let checkout = checkout(case);
    let mut taken = Taken {
        millis: f64::MAX,
        mib: 0.0,
        outcome: Ok(0),
    };
    for run in 1..=most {
        // What was said the last time takes no room this time.
        taken.outcome = Ok(0);
        let live = measure::mark();
        let began = cpu_millis();
        taken.outcome = read(case, &checkout, identities, variables);
        taken.millis = taken.millis.min(cpu_millis() - began);
        let peak = measure::peak().saturating_sub(live);
        taken.mib = taken.mib.max(peak as f64 / MIB);
        let fast_enough = taken.millis < allowed.millis && run >= least;
        if fast_enough || taken.millis > 20.0 * allowed.millis {
            break;
        }
    }
    taken
}

/// Whether a case ended as it says that it does.
fn is_expected(ends: Ends, outcome: &Result<usize, Vec<Diagnostic>>) -> bool {
    match (ends, outcome) {
        (Ends::Objects(count), Ok(found)) => count == *found,
        (Ends::Error(words), Err(all)) => all.iter().any(|one| one.to_string().contains(words)),
        _ => false,
    }
}

fn main() {
    // cargo tells a benchmark that it is one; as a test it is given what the tests are filtered by.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_bench = arguments.iter().any(|one| one == "--bench");
    // Only the first: what follows an option of the harness is its value.
    let filter = arguments.into_iter().next().filter(|one| !one.starts_with('-'));
    let only = std::env::var("COUCHESTOR_BENCH_ONLY")
        .ok()
        .or(filter)
        .unwrap_or_default();
    println!(
        "{:>8} {:>8} {:>8} {:>8} {:>8}  CASE",
        "CPU ms", "ALLOWED", "PEAK MiB", "ALLOWED", "FILES"
    );
    let of_git = git::run(&only, is_bench);
    if !is_bench && !ENDS.iter().any(|(name, _)| name.contains(&only)) && of_git.cases == 0 {
        return;
    }
    let sealer = support::seal::Sealer::new();
    let identities = Identities::parse([("key", sealer.key.as_str())]).unwrap();
    let variables = cases::variables();
    // What is made once and kept counts for nobody.
    let plain = cases::plain();
    take(&plain, &Allowed::of(&plain, 0.0), &identities, &variables, (1, 1));
    let (mut beyond, mut surprising, mut seen) = (0, 0, BTreeSet::new());
    for make in cases::all() {
        let case = make(&sealer);
        assert!(seen.insert(case.name), "two cases are called {}", case.name);
        if !case.name.contains(&only) {
            continue;
        }
        let size = case.files.values().map(Vec::len).sum::<usize>() as f64 / MIB;
        let allowed = Allowed::of(&case, size);
        let taken = take(
            &case,
            &allowed,
            &identities,
            &variables,
            if is_bench { runs() } else { (1, 1) },
        );
        let ends = ENDS.iter().find(|(name, _)| *name == case.name);
        let over = is_bench && taken.millis > allowed.millis || taken.mib > allowed.mib;
        let surprise = !ends.is_some_and(|(_, ends)| is_expected(*ends, &taken.outcome));
        beyond += usize::from(over);
        surprising += usize::from(surprise);
        let said = match &taken.outcome {
            Ok(objects) => format!("{objects} objects"),
            Err(diagnostics) => format!("{} errors: {}", diagnostics.len(), diagnostics[0]),
        };
        println!(
            "{:>8.1} {:>8.1} {:>8.1} {:>8.1} {size:>8.1}  {}{}{}\n{:46}{}",
            taken.millis,
            allowed.millis,
            taken.mib,
            allowed.mib,
            case.name,
            if over { "  BEYOND" } else { "" },
            if surprise { "  ENDS OTHERWISE" } else { "" },
            "",
            said.chars().take(150).collect::<String>()
        );
    }
    for (name, _) in ENDS.iter().filter(|(name, _)| !seen.contains(name)) {
        println!("there is no case {name}");
        surprising += 1;
    }
    beyond += of_git.beyond;
    surprising += of_git.surprising;
    println!(
        "{} cases, {beyond} beyond what is allowed, {surprising} that end otherwise than they say",
        seen.len() + of_git.cases
    );
    if beyond + surprising > 0 {
        std::process::exit(1);
    }
}
