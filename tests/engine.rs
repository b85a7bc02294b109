//! The migration engine: every interleaving, every fault, and what each guard is for.

/// One volume of a Mayastor in a few bytes.
mod mini;

/// Journals and engines by number.
mod states;

/// The guards, and how each is taken out.
mod guards;

/// The exhaustive search.
mod model;

/// Many worlds by seed.
mod worlds;

/// The engine in this process.
mod play;

/// What stands in a volume's way.
mod preflight;

/// Every write that can be struck.
mod matrix;

/// What must hold in the end.
pub(crate) mod verdict;

use crate::support::{say, seed};
use couchestor::model::kinds::volume_migration::Phase;
use couchestor::sim::mayastor::Profile;
use guards::Without;
use mini::Ground;
use model::{Budget, Found, search, uncovered};
use std::collections::BTreeMap;

/// Nothing goes wrong but that leadership changes.
const QUIET: &str = "00000";

/// Each kind of trouble alone, as often as the searches go; see [`budget`].
const ALONE: [&str; 5] = ["20000", "02000", "00100", "00010", "00001"];

/// Two kinds of trouble together.
const TOGETHER: [&str; 10] = [
    "11000", "10100", "10010", "10001", "01100", "01010", "01001", "00110", "00101", "00011",
];

/// How many crashes, stale reads, unclear replies, broken copies and withdrawals, by a digit each.
fn budget(digits: &str) -> Budget {
    let digit = |index: usize| digits.as_bytes().get(index).map_or(0, |byte| byte - b'0');
    Budget {
        crashes: digit(0),
        stale_reads: digit(1),
        unclear_replies: digit(2),
        broken_copies: digit(3),
        withdrawals: digit(4),
    }
}

/// One search at a time: two of them would take both cores from the tests that wait for real servers.
static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

fn alone() -> std::sync::MutexGuard<'static, ()> {
    ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn told(what: &str, found: &Found) {
    let finals: BTreeMap<String, usize> = found
        .finals
        .iter()
        .map(|(phase, count)| (phase.as_str().to_owned(), *count))
        .collect();
    say(&format!(
        "{what}: {} states, {} transitions, {} journals, {} removals judged, ends {finals:?}",
        found.states, found.transitions, found.journals, found.removals
    ));
}

/// Searches one ground, and stops at what must never be.
fn holds(copies: u8, release: Profile, target: u8, digits: &str) {
    let ground = Ground {
        copies,
        release,
        target,
    };
    let what = format!("{copies}/{digits}, {release:?}, target on node {target}");
    let found = search(ground, budget(digits), None);
    told(&what, &found);
    if let Some(violation) = &found.violation {
        panic!("{what}: {violation}");
    }
    // Where cordons do not steer, only a copy that is the single remote one can be moved.
    if ground.heeds_cordons() || (copies == 1 && target == copies) {
        assert!(
            found.finals.contains_key(&Phase::Completed) && found.removals > 0,
            "{what}: nothing ever moves, which proves nothing"
        );
    }
}

#[test]
fn each_trouble_alone_loses_no_copy_and_leaves_no_cordon_in_any_release() {
    let _one = alone();
    // Before 2.9 only a copy that is the single remote one can be moved: the target is beside the new one.
    for (release, target) in [(Profile::V2_7, 1), (Profile::V2_9, 0), (Profile::V2_10, 0)] {
        for digits in ALONE {
            holds(1, release, target, digits);
        }
    }
}

#[test]
fn two_troubles_together_lose_no_copy_and_leave_no_cordon() {
    let _one = alone();
    for digits in TOGETHER {
        holds(1, Profile::V2_10, 0, digits);
    }
}

#[test]
fn two_and_three_copies_move_one_after_the_other_whatever_two_controllers_do() {
    let _one = alone();
    for digits in [QUIET, "20000", "00100"] {
        holds(2, Profile::V2_10, 0, digits);
    }
    // Steered by cordons of nodes, before there were any of pools.
    holds(2, Profile::V2_9, 0, QUIET);
    holds(3, Profile::V2_10, 0, QUIET);
}

/// What the search does not follow up is covered by what it does: held against searches that leave nothing out, with so many
/// leaderships.
#[test]
fn what_is_left_out_is_covered() {
    let _one = alone();
    let small = [
        (QUIET, 3),
        ("10000", 2),
        ("01000", 2),
        ("00100", 2),
        ("00010", 1),
        ("00001", 2),
    ];
    for (release, target) in [(Profile::V2_7, 1), (Profile::V2_10, 0)] {
        for (digits, leaderships) in small {
            let ground = Ground {
                copies: 1,
                release,
                target,
            };
            match uncovered(ground, budget(digits), leaderships) {
                Ok((all, reduced)) => say(&format!(
                    "1/{digits}, {release:?}, {leaderships} leaderships: {all} states, covered by {reduced} of any number of them"
                )),
                Err(wrong) => panic!("1/{digits}, {release:?}: {wrong}"),
            }
        }
    }
}

/// Every release, with the target beside each kind of copy: one copy and a crash, or what the environment asks for.
///
/// `COUCHESTOR_MODEL=2/21110 cargo test --release engine::every_release -- --nocapture` searches two copies with two crashes, two stale
/// reads, one unclear reply, one broken copy and no withdrawal, for as long and with as much memory as that takes.
#[test]
fn every_release_loses_no_copy_wherever_the_target_is() {
    let _one = alone();
    let asked = std::env::var("COUCHESTOR_MODEL").unwrap_or_else(|_| "1/10000".to_owned());
    let (copies, digits) = asked
        .split_once('/')
        .expect("COUCHESTOR_MODEL is such as 2/21110");
    let copies = copies
        .parse()
        .expect("COUCHESTOR_MODEL begins with a number of copies");
    for release in Profile::ALL {
        for target in [0, copies] {
            holds(copies, release, target, digits);
        }
    }
}

#[test]
fn each_guard_is_needed() {
    let _one = alone();
    let budgets = [QUIET].into_iter().chain(ALONE).chain(TOGETHER);
    for without in Without::ALL {
        let ground = Ground {
            copies: 1,
            release: Profile::V2_10,
            target: 0,
        };
        let found = budgets.clone().find_map(|digits| {
            let found = search(ground, budget(digits), Some(without));
            Some((digits, found.states, found.violation?))
        });
        let Some((digits, states, violation)) = found else {
            panic!("without {without:?} nothing goes wrong");
        };
        say(&format!(
            "without {without:?}, with 1/{digits}, {states} states: {violation}"
        ));
        assert!(
            violation.contains(without.prevents()),
            "without {without:?} it should go wrong otherwise: {}",
            without.prevents()
        );
    }
}

/// Strikes a move once for each of the points, and shares them among some servers.
async fn strike_each(of: &matrix::Bench, all: Vec<Vec<matrix::Point>>) -> verdict::Ended {
    let all = std::sync::Arc::new(all);
    let (profile, withdrawn) = (of.profile, of.withdrawn);
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    let tasks = (0..workers).map(|worker| {
        let all = std::sync::Arc::clone(&all);
        tokio::spawn(async move {
            let bench = match withdrawn {
                true => matrix::Bench::withdrawn(profile).await,
                false => matrix::Bench::set(profile).await,
            };
            let mut told = verdict::Ended::default();
            for points in all.iter().skip(worker).step_by(workers) {
                match bench.strike(points).await {
                    Ok(ended) => told.add(ended),
                    Err(wrong) => panic!("{profile:?}, struck at {points:?}: {wrong}"),
                }
            }
            told
        })
    });
    let mut told = verdict::Ended::default();
    for task in tasks.collect::<Vec<_>>() {
        told.add(task.await.unwrap());
    }
    told
}

/// Of the other releases so many blows, by the seed: they differ in how they are steered, not in how calls get lost.
const OTHER_RELEASES: usize = 60;

/// Pairs of blows of one run; `COUCHESTOR_PAIRS` asks for another number, or for `all` of them.
const PAIRS: usize = 250;

#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_is_struck_once_at_any_write_is_completed_all_the_same() {
    let mut rng = fastrand::Rng::with_seed(seed("blows"));
    for profile in [Profile::V2_10, Profile::V2_7, Profile::V2_9, Profile::V2_12] {
        let bench = matrix::Bench::set(profile).await;
        let writes = bench.writes().await;
        let mut points = matrix::points(writes);
        let all = points.len();
        if profile == Profile::V2_10 {
            assert_eq!((writes, all), (25, 600), "README.md and docs/safety.md say so");
        }
        if profile != Profile::V2_10 {
            rng.shuffle(&mut points);
            points.truncate(OTHER_RELEASES);
        }
        let count = points.len();
        let told = strike_each(&bench, points.into_iter().map(|point| vec![point]).collect()).await;
        say(&format!(
            "{profile:?}: {count} of all {all} single blows to {writes} writes: ends {:?}, {} removals justified",
            told.finals, told.removals
        ));
        assert_eq!(
            told.finals,
            BTreeMap::from([("Completed", count)]),
            "{:?}",
            told.said
        );
    }
}

/// `COUCHESTOR_PAIRS=all cargo test --release engine::a_move_that_is_struck_twice -- --nocapture` tries every pair.
#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_is_struck_twice_loses_nothing_and_leaves_nothing() {
    let profile = Profile::V2_10;
    let bench = matrix::Bench::set(profile).await;
    let writes = bench.writes().await;
    let points = matrix::points(writes);
    let mut pairs: Vec<Vec<matrix::Point>> = Vec::new();
    for first in &points {
        let later = points.iter().filter(|second| second.write > first.write);
        pairs.extend(later.map(|second| vec![*first, *second]));
    }
    let all = pairs.len();
    assert_eq!(all, 172_800, "docs/safety.md says so");
    match std::env::var("COUCHESTOR_PAIRS").as_deref() {
        Ok("all") => {}
        asked => {
            fastrand::Rng::with_seed(seed("pairs of blows")).shuffle(&mut pairs);
            pairs.truncate(asked.ok().and_then(|text| text.parse().ok()).unwrap_or(PAIRS));
        }
    }
    let count = pairs.len();
    let told = strike_each(&bench, pairs).await;
    say(&format!(
        "{profile:?}: {count} of all {all} pairs of blows, {} blows in all: ends {:?}, {} removals justified; of those that were not \
         completed it was said: {:#?}",
        told.faults, told.finals, told.removals, told.said
    ));
    // Two blows can keep a move from its end, as a rule they do not.
    let completed = told.finals.get("Completed").copied().unwrap_or(0);
    assert!(completed * 2 > count, "{:#?}", told.said);
}

/// Blows to moves that are taken back, of one run.
const BLOWS_BACK: usize = 120;

#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_is_taken_back_is_taken_back_wherever_it_is_struck() {
    let bench = matrix::Bench::withdrawn(Profile::V2_10).await;
    let writes = bench.writes().await;
    let mut points = matrix::points(writes);
    let all = points.len();
    fastrand::Rng::with_seed(seed("blows to a way back")).shuffle(&mut points);
    points.truncate(BLOWS_BACK);
    let count = points.len();
    let told = strike_each(&bench, points.into_iter().map(|point| vec![point]).collect()).await;
    say(&format!(
        "{count} of all {all} single blows to the {writes} writes of a move whose approval is withdrawn while its copy is filled: ends \
         {:?}, {} removals justified",
        told.finals, told.removals
    ));
    assert_eq!(
        told.finals,
        BTreeMap::from([("Cancelled", count)]),
        "{:?}",
        told.said
    );
    assert!(told.removals > 0, "what was added goes again");
}

/// Seeds of worlds that are run each time, with what is worth keeping of them.
const KEPT: [(u64, &str); 13] = [
    (
        20_274_610,
        "the new copy vanishes, another comes in its place and is filled unseen, and the old one goes instead of the one that is gone",
    ),
    (
        20_271_675,
        "a copy that is to be taken back has vanished, and a complete one that nobody counted on goes in its place",
    ),
    (
        7_000_265,
        "a copy breaks while one that is not filled is taken back, and goes instead",
    ),
    (
        1_005_135,
        "a copy breaks while the removal of another is asked for, and goes instead",
    ),
    (
        9_004_657,
        "the copy that is taken back is filled just then, and a complete one goes instead, of one too many",
    ),
    (
        20_261_387,
        "a pool's cordon is refused, and then set by somebody else: it is theirs",
    ),
    (
        1_020,
        "the answer is lost that a pool's cordon is gone, and somebody else sets one",
    ),
    (
        2_132,
        "a leadership that was followed opens a window while the next has one open",
    ),
    (3_111, "the same, with nodes"),
    (
        177,
        "a leadership that followed has cordons of its own answered, gives them back, and somebody else sets one",
    ),
    (
        20_262_059,
        "the same with cordons that the one before had had answered",
    ),
    (
        761,
        "one dies with the answer, and somebody else cordons the pool: whose that is nobody can tell",
    ),
    (4_000, "volumes of all kinds, cancelled and moved"),
];

#[test]
fn worlds_that_were_worth_keeping_end_well() {
    let _one = alone();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for (seed, why) in KEPT {
        if let Err(wrong) = runtime.block_on(worlds::run(seed)) {
            panic!("the world of seed {seed} ({why}): {wrong}");
        }
    }
}

/// Worlds of one run; `COUCHESTOR_WORLDS` asks for another number.
const WORLDS: u64 = 1000;

/// Worlds that may end badly before no more are tried.
const BAD_MAX: usize = 10;

#[test]
fn seeded_worlds_end_without_a_lost_copy_a_cordon_or_a_removal_that_nothing_justifies() {
    let _one = alone();
    let asked = std::env::var("COUCHESTOR_WORLDS").ok();
    let worlds = asked.and_then(|text| text.parse().ok()).unwrap_or(WORLDS);
    let first = seed("worlds");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut all = verdict::Ended::default();
    let mut bad = Vec::new();
    for seed in first..first + worlds {
        match runtime.block_on(worlds::run(seed)) {
            Ok(ended) => all.add(ended),
            Err(wrong) => bad.push(format!(
                "COUCHESTOR_SEED={seed} COUCHESTOR_WORLDS=1 replays this: {wrong}"
            )),
        }
        assert!(bad.len() < BAD_MAX, "{}", bad.join("\n"));
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
    say(&format!(
        "{worlds} worlds: ends {:?}, {} removals justified, {} of them of another copy than was meant that could be spared as well, {} \
         calls went wrong",
        all.finals, all.removals, all.others, all.faults
    ));
    assert!(
        all.removals > 0 && all.faults > 0,
        "worlds in which nothing happens prove nothing"
    );
}
