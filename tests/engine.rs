//! The migration engine: every interleaving, every fault, and what each guard is for.

/// One volume of a Mayastor in a few bytes.
mod mini;

/// Journals and engines by number.
mod states;

/// The guards, and how each is taken out.
mod guards;

/// The exhaustive search.
mod model;

use guards::Without;
use mini::{Ground, Release};
use model::{Budget, Found, search};
use std::collections::BTreeMap;

/// What may go wrong in one run of the exhaustive search: all of it in each run.
const TROUBLE: Budget = Budget {
    crashes: 2,
    stale_reads: 2,
    unclear_replies: 1,
    broken_copies: 1,
    withdrawals: 1,
};

fn told(what: &str, found: &Found) {
    let finals: BTreeMap<String, usize> = found
        .finals
        .iter()
        .map(|(phase, count)| (phase.as_str().to_owned(), *count))
        .collect();
    eprintln!(
        "{what}: {} states, {} transitions, {} removals judged, ends {finals:?}",
        found.states, found.transitions, found.removals
    );
}

#[test]
fn no_interleaving_of_two_controllers_and_their_troubles_loses_a_copy_or_leaves_a_cordon() {
    for copies in 1..=1 {
        for release in Release::ALL {
            let ground = Ground {
                copies,
                release,
                target: 0,
            };
            let found = search(ground, TROUBLE, None);
            told(&format!("{copies} copies, {release:?}"), &found);
            if let Some(violation) = &found.violation {
                panic!("{copies} copies, {release:?}: {violation}");
            }
        }
    }
}

#[test]
fn each_guard_is_needed() {
    for without in Without::ALL {
        let ground = Ground {
            copies: 2,
            release: Release::V2_10,
            target: 0,
        };
        let found = search(ground, TROUBLE, Some(without));
        let Some(violation) = found.violation else {
            panic!(
                "without {without:?} nothing goes wrong in {} states",
                found.states
            );
        };
        let trace: Vec<&str> = violation.lines().take(1).collect();
        eprintln!(
            "without {without:?}: {} ({} states)",
            trace.join(" "),
            found.states
        );
    }
}
