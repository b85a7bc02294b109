//! What hostile files cost, file by file: `cargo bench --bench hostile`. Every one must end within 50 ms of CPU time and 32 MiB
//! beside its own bytes (and what the honest objects take that it says it has), or this program ends with 1. `COUCHESTOR_BENCH_ONLY=word` runs those whose name has the word.
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

/// Bytes and CPU time.
mod measure;

use cases::Case;
use couchestor::decrypt::{ClearCache, Vouched, decrypt};
use couchestor::formats::sops::Identities;
use couchestor::formats::substitute::Variables;
use couchestor::model::diagnostic::Diagnostic;
use couchestor::model::ids::{BlobId, Revision};
use couchestor::model::tree::{Checkout, Entry, EntryKind};
use couchestor::parse::{ParseCache, parse};
use measure::cpu_millis;
use std::collections::BTreeMap;

/// The promise.
const MILLIS_MAX: f64 = 50.0;
const MIB_MAX: f64 = 32.0;

/// What an honest object may take besides, where a case says how many it has, in proportion to their number: to read one takes 9 µs,
/// and the overlay may look at each for 4 µs.
const OBJECT_MILLIS: f64 = 0.013;
const OBJECT_MIB: f64 = 0.003;

/// The fastest of so many runs counts: everything else is noise.
const RUNS: usize = 3;

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

fn main() {
    let only = std::env::var("COUCHESTOR_BENCH_ONLY").unwrap_or_default();
    let sealer = support::seal::Sealer::new();
    let identities = Identities::parse([("key", sealer.key.as_str())]).unwrap();
    let variables = cases::variables();
    let plain = cases::plain();
    // What is made once and kept counts for nobody.
    let _ = read(&plain, &checkout(&plain), &identities, &variables);
    let (mut beyond, mut count) = (0, 0);
    println!("{:>9} {:>9} {:>9}  CASE", "CPU ms", "PEAK MiB", "FILES MiB");
    for make in cases::all() {
        let case = make(&sealer);
        if !case.name.contains(&only) {
            continue;
        }
        count += 1;
        let checkout = checkout(&case);
        let size: usize = case.files.values().map(Vec::len).sum();
        let (mut millis, mut mib) = (f64::MAX, 0.0_f64);
        let mut said = String::new();
        for _ in 0..RUNS {
            let live = measure::mark();
            let began = cpu_millis();
            let outcome = read(&case, &checkout, &identities, &variables);
            millis = millis.min(cpu_millis() - began);
            mib = mib.max(measure::peak().saturating_sub(live) as f64 / f64::from(1 << 20));
            said = match outcome {
                Ok(objects) => format!("{objects} objects"),
                Err(diagnostics) => format!("{} errors: {}", diagnostics.len(), diagnostics[0]),
            };
            if millis > 5_000.0 {
                break;
            }
        }
        let objects = case.objects as f64;
        let over = millis > MILLIS_MAX + objects * OBJECT_MILLIS || mib > MIB_MAX + objects * OBJECT_MIB;
        beyond += usize::from(over);
        let mark = if over { "  BEYOND" } else { "" };
        let said: String = said.chars().take(150).collect();
        println!(
            "{millis:>9.1} {mib:>9.1} {:>9.1}  {}{mark}\n{:33}{said}",
            size as f64 / f64::from(1 << 20),
            case.name,
            ""
        );
    }
    println!("{count} cases, {beyond} beyond {MILLIS_MAX} ms or {MIB_MAX} MiB");
    if beyond > 0 {
        std::process::exit(1);
    }
}
