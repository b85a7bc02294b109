//! What a replay is known to come to, for loads that are made up hour by hour.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "tests"
)]

use super::page::page;
use super::report::Report;
use super::{Desires, History, Settings, replay, shown};
use crate::decide::tests::world::{World, world};
use crate::model::desired::Desired;
use crate::model::timeline::Span;
use jiff::Timestamp;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

const HOUR: i64 = 3600;
const FIRST: i64 = 1_800_000_000;

/// Load by volume: operations per second in each hour.
type Loads<'a> = BTreeMap<&'a str, Box<dyn Fn(i64) -> f64>>;

/// Answers as Prometheus would give them for loads that are constant within an hour and windows of an hour.
fn answered(desires: &Desires, world: &World, span: Span, loads: &Loads) -> History {
    answered_in_parts(desires, world, span, loads, i64::MAX)
}

/// The same in answers of so many times at most.
fn answered_in_parts(desires: &Desires, world: &World, span: Span, loads: &Loads, most: i64) -> History {
    let mut history = History::of(&world.observation());
    for (query, spans) in desires.asked(span) {
        for span in spans.into_iter().flat_map(|span| span.parts(most)) {
            let of = |name: &str, load: &dyn Fn(i64) -> f64| {
                let value = |at: i64| {
                    let hour = |back: i64| load((at - FIRST) / HOUR - back);
                    let longer = |pick: fn(f64, f64) -> f64| (0..6).map(hour).reduce(pick).unwrap();
                    match query.as_str() {
                        query if query.starts_with("count_over_time") => 1.0,
                        query if query.starts_with("min_over_time") => longer(f64::min),
                        query if query.starts_with("max_over_time") => longer(f64::max),
                        _ => hour(0),
                    }
                };
                (name.to_owned(), span.times().map(|at| (at, value(at))).collect())
            };
            let values: HashMap<String, Vec<(i64, f64)>> =
                loads.iter().map(|(name, load)| of(name, load)).collect();
            history.put(&query, span, values);
        }
    }
    history
}

fn ran(world: &World, hours: i64, delay: i64, loads: Loads) -> Report {
    let span = Span {
        first: FIRST,
        last: FIRST + hours * HOUR,
        step: HOUR,
    };
    let desires = Desires::of(world.desired.clone());
    let history = answered(&desires, world, span, &loads);
    let settings = Settings {
        span,
        approval_delay: delay,
    };
    replay(&desires, &world.observation(), &history, settings)
}

fn one(load: impl Fn(i64) -> f64 + 'static) -> Loads<'static> {
    BTreeMap::from([("pvc-u", Box::new(load) as Box<dyn Fn(i64) -> f64>)])
}

/// What each strategy moved, in their order.
fn moved(report: &Report) -> Vec<u64> {
    report.strategies.iter().map(|one| one.moved).collect()
}

fn flapping(report: &Report) -> Vec<Option<usize>> {
    let count = |flapping: &Vec<String>| flapping.len();
    let all = report.strategies.iter();
    all.map(|one| one.flapping.as_ref().map(count)).collect()
}

#[test]
fn a_volume_that_is_hot_for_two_days_is_moved_once() {
    let mut world = world();
    world.tier("hot").cost_per_gib_month = Some(0.5);
    world.tier("cold").cost_per_gib_month = Some(0.1);
    // A day between the watermarks, two hot days, a day between the watermarks.
    let load = |hour: i64| if (24..72).contains(&hour) { 6000.0 } else { 1000.0 };
    let report = ran(&world, 96, 4 * HOUR, one(load));
    assert_eq!(moved(&report), [1, 0, 1, 1]);
    let ours = report.ours().unwrap();
    let first = &ours.moves[0];
    assert_eq!(
        (first.from.as_str(), first.to.as_str(), first.hotter),
        ("cold", "hot", true)
    );
    assert_eq!(first.proposed_at, FIRST + 24 * HOUR);
    assert_eq!(first.moved_at, FIRST + 28 * HOUR);
    assert_eq!((first.value, first.threshold), (6000.0, Some(5000.0)));
    assert_eq!(
        (ours.proposed, ours.withdrawn, ours.bytes_moved),
        (Some(1), Some(0), 10 << 30)
    );
    // 44 hours from 29 to 72 hot at 6000 less one that was counted before hour 72, and 24 at 1000, out of 48 and 48.
    let served = 43.0 * 6000.0 + 25.0 * 1000.0;
    let all = 48.0 * 6000.0 + 48.0 * 1000.0;
    assert!(
        (ours.hot_share.unwrap() - served / all).abs() < 1e-9,
        "{:?}",
        ours.hot_share
    );
    assert!((report.operations - all * 3600.0).abs() < 1.0);
    // Ten GiB at 0.1 for 28 hours, then at 0.5 for 68.
    let cost = (28.0 * 1.0 + 68.0 * 5.0) / 96.0;
    assert!(
        (ours.monthly_cost.unwrap() - cost).abs() < 1e-9,
        "{:?}",
        ours.monthly_cost
    );
    assert_eq!(report.strategies[1].monthly_cost, Some(1.0));
    assert_eq!(report.strategies[1].hot_share, Some(0.0));
    assert_eq!(report.strategies[3].hot_share, Some(1.0));
}

#[test]
fn a_swinging_volume_flaps_under_plain_watermarks_and_not_under_policies() {
    // Eight hours hot, eight hours cold.
    let swing = |hour: i64| if hour.rem_euclid(16) < 8 { 6000.0 } else { 100.0 };
    let mut world = world();
    world.policy().cooldown = Duration::from_secs(72 * 3600);
    // A cool-down alone makes it rare; it still goes to and fro.
    let rested = ran(&world, 10 * 24, 2 * HOUR, one(swing));
    assert_eq!(flapping(&rested)[2], Some(1), "{:?}", moved(&rested));
    assert!(rested.ours().unwrap().moved <= 4 && rested.strategies[2].moved >= 20);
    // What must be sustained for longer than it ever is, is not moved at all.
    world.policy().sustained = Duration::from_secs(12 * 3600);
    let load = move |hour: i64| if hour.rem_euclid(6) < 3 { 6000.0 } else { 100.0 };
    let sustained = ran(&world, 10 * 24, HOUR, one(load));
    assert_eq!(flapping(&sustained), [Some(0), Some(0), Some(1), None]);
    assert_eq!(moved(&sustained)[0], 0);
    assert!(
        sustained.left_alone.contains_key("NotSustained"),
        "{:?}",
        sustained.left_alone
    );
}

#[test]
fn a_proposal_that_no_longer_holds_is_taken_back_and_nothing_is_moved() {
    let brief = |hour: i64| if (24..27).contains(&hour) { 6000.0 } else { 1000.0 };
    let report = ran(&world(), 48, 4 * HOUR, one(brief));
    let ours = report.ours().unwrap();
    assert_eq!((ours.proposed, ours.withdrawn, ours.moved), (Some(1), Some(1), 0));
    let at_once = ran(&world(), 48, 0, one(brief));
    assert_eq!(moved(&at_once)[0], 1);
    assert_eq!(at_once.ours().unwrap().moves[0].moved_at, FIRST + 24 * HOUR);
}

#[test]
fn windows_and_budgets_hold_moves_back() {
    let mut world = world();
    world
        .desired
        .policies
        .values_mut()
        .for_each(|policy| policy.max_concurrent = 10);
    for name in ["a", "b", "c"] {
        world.beside(name, 10, "cold-1", "n1", 6000.0);
    }
    world.policy().budgets.moves_per_hour = Some(1);
    let names = ["pvc-u", "pvc-a", "pvc-b", "pvc-c"];
    let loads = || -> Loads {
        let load = |_: i64| 6000.0;
        names
            .map(|name| (name, Box::new(load) as Box<dyn Fn(i64) -> f64>))
            .into()
    };
    let report = ran(&world, 48, 0, loads());
    let times: Vec<i64> = report
        .ours()
        .unwrap()
        .moves
        .iter()
        .map(|moved| (moved.moved_at - FIRST) / HOUR)
        .collect();
    assert_eq!(times, [0, 1, 2, 3]);
    // 1_800_000_000 is 08:00 in UTC: the window opens eighteen hours later.
    let window = world.window("02:00", "04:00");
    world.policy().move_windows = vec![window];
    let report = ran(&world, 48, 0, loads());
    let times: Vec<i64> = report
        .ours()
        .unwrap()
        .moves
        .iter()
        .map(|moved| (moved.moved_at - FIRST) / HOUR)
        .collect();
    assert_eq!(times, [18, 19, 42, 43]);
}

#[test]
fn the_oracle_is_never_worse_than_the_others() {
    let seed = std::env::var("COUCHESTOR_SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(0..1 << 40));
    let mut random = fastrand::Rng::with_seed(seed);
    let mut better = 0;
    for round in 0..60 {
        let mut world = world();
        world.policy().cooldown = Duration::from_secs(random.u64(0..24) * 3600);
        world.policy().max_concurrent = random.u32(1..6);
        let room = random.u64(20..120);
        world.pool("hot-2").capacity = room << 30;
        let mut loads = one(move |hour| f64::from(u32::try_from(hour * 37 % 7000).unwrap_or(0)));
        let names: Vec<String> = (0..random.usize(1..7)).map(|index| format!("v{index}")).collect();
        for name in &names {
            world.beside(name, random.u64(1..40), "cold-1", "n1", 1000.0);
            let (period, high, phase) = (random.i64(2..30), random.f64() * 12_000.0, random.i64(0..30));
            let name: &'static str = Box::leak(format!("pvc-{name}").into_boxed_str());
            let load = move |hour: i64| {
                if (hour + phase).rem_euclid(period) * 2 < period {
                    high
                } else {
                    50.0
                }
            };
            loads.insert(name, Box::new(load));
        }
        world.pool("cold-1").capacity = 1000 << 30;
        let report = ran(&world, 72, random.i64(0..6) * HOUR, loads);
        let share = |index: usize| report.strategies[index].hot_share.unwrap();
        for other in 0..3 {
            assert!(
                share(3) >= share(other) - 1e-12,
                "round {round}, COUCHESTOR_SEED={seed}: {:?}",
                report
                    .strategies
                    .iter()
                    .map(|one| one.hot_share)
                    .collect::<Vec<_>>()
            );
        }
        better += usize::from(share(3) > share(0));
    }
    println!("the oracle was better than the policies in {better} of 60 rounds; COUCHESTOR_SEED={seed}");
    assert!(better > 0);
}

#[test]
fn a_history_that_comes_in_many_answers_is_replayed_as_one() {
    let mut world = world();
    let night = world.window("02:00", "04:00");
    world.policy().excluded_windows = vec![night];
    let span = Span {
        first: FIRST,
        last: FIRST + 96 * HOUR,
        step: HOUR,
    };
    let loads = || one(|hour| if hour % 40 < 25 { 6000.0 } else { 100.0 });
    let desires = Desires::of(world.desired.clone());
    let settings = Settings {
        span,
        approval_delay: HOUR,
    };
    let replayed = |most: i64| {
        let history = answered_in_parts(&desires, &world, span, &loads(), most);
        let report = replay(&desires, &world.observation(), &history, settings);
        assert!(report.ours().unwrap().moves.len() > 1);
        serde_json::to_string(&report).unwrap()
    };
    let whole = replayed(i64::MAX);
    for most in [1, 7, 50] {
        assert_eq!(replayed(most), whole, "answers of {most} times");
    }
}

#[test]
fn the_oracle_leaves_volumes_alone_until_they_are_made() {
    for (made, moved) in [(Some(FIRST + 60 * HOUR), 2), (None, 4)] {
        let mut world = world();
        // Room for one of both: the one that is always there is busy at first, the other one is on the hot tier and busier later.
        world.pool("hot-2").capacity = 5 << 30;
        world.beside("late", 10, "hot-2", "n2", 0.0);
        world.seen.last_mut().unwrap().created = made.map(|at| Timestamp::from_second(at).unwrap());
        let mut loads = one(|hour| if hour < 48 { 6000.0 } else { 10.0 });
        loads.insert("pvc-late", Box::new(|hour| if hour < 60 { 0.0 } else { 9000.0 }));
        let report = ran(&world, 96, HOUR, loads);
        assert_eq!(report.strategies[3].moved, moved, "made at {made:?}");
    }
}

#[test]
fn what_was_never_asked_or_not_answered_moves_nothing() {
    let world = world();
    let span = Span {
        first: FIRST,
        last: FIRST + 10 * HOUR,
        step: HOUR,
    };
    let desires = Desires::of(world.desired.clone());
    let settings = Settings {
        span,
        approval_delay: 0,
    };
    let nothing = History::of(&world.observation());
    let report = replay(&desires, &world.observation(), &nothing, settings);
    assert_eq!((moved(&report), report.known), (vec![0, 0, 0, 0], 0.0));
    assert!(
        report.left_alone.contains_key("HeatUnknown"),
        "{:?}",
        report.left_alone
    );
    let silent = answered(&desires, &world, span, &Loads::new());
    let report = replay(&desires, &world.observation(), &silent, settings);
    assert_eq!((moved(&report), report.known), (vec![0, 0, 0, 0], 0.0));
    assert!(
        report.left_alone.contains_key("NoData"),
        "{:?}",
        report.left_alone
    );
}

#[test]
fn only_the_text_of_a_time_is_asked_and_times_in_a_row_share_a_request() {
    let day = |world: &World| {
        let span = Span {
            first: FIRST,
            last: FIRST + 24 * HOUR - 900,
            step: 900,
        };
        let desired: Desired = world.desired.clone();
        let asked = super::asked(&[&desired], span);
        for at in span.times() {
            let now = Timestamp::from_second(at).unwrap();
            for question in crate::decide::questions(&desired, now) {
                let runs = &asked[&question];
                assert!(
                    runs.iter().any(|run| run.times().any(|time| time == at)),
                    "{question} at {now}"
                );
            }
        }
        (asked.len(), asked.values().map(Vec::len).sum::<usize>())
    };
    let mut world = world();
    // The mean and the coverage, and the operations that are served.
    assert_eq!(day(&world), (3, 3));
    let nights = world.window("01:00", "03:00");
    world.policy().excluded_windows = vec![nights];
    // While a night is within the last hour, each time has texts of its own; all others share theirs.
    let (texts, runs) = day(&world);
    assert!(
        (20..40).contains(&texts) && runs <= texts + 4,
        "{texts} texts, {runs} requests"
    );
}

#[test]
fn names_on_the_page_are_only_names() {
    let mut world = world();
    world
        .desired
        .tiers
        .values_mut()
        .for_each(|tier| tier.cost_per_gib_month = None);
    let mut report = ran(&world, 48, 0, one(|_| 6000.0));
    let evil = "db/<script>alert(1)</script>\"'&\u{202e}";
    report.busiest[0].claim = evil.to_owned();
    report.strategies[0].moves[0].claim = evil.to_owned();
    report.strategies[0].flapping = Some(vec![evil.to_owned()]);
    let page = page(&report);
    assert!(page.contains("db/&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;\u{fffd}"));
    for word in [
        "<script", "\u{202e}", "http://", "https://", "url(", "@import", " src=", " href=",
    ] {
        assert!(!page.contains(word), "{word}");
    }
    // Every attribute's quotes are closed and every element that is opened is closed.
    for element in [
        "svg", "table", "div", "tr", "td", "th", "h2", "h3", "span", "text", "path", "main",
    ] {
        let opened = page.matches(&format!("<{element}")).count();
        let closed = page.matches(&format!("</{element}>")).count() + page.matches("/>").count();
        assert!(opened > 0 && opened <= closed, "{element}: {opened} opened");
    }
    let figures = shown::figures(&report);
    assert!(figures.iter().all(|(_, cells)| cells.len() == 4));
    assert_eq!(figures[7].1, ["-", "-", "-", "-"], "no price is known");
}

#[test]
fn an_encrypted_policy_shows_no_threshold() {
    let mut world = world();
    world.policy().secret = true;
    world.policy().signals[0].above = Some(4321.0);
    let report = ran(&world, 48, 0, one(|_| 6000.0));
    assert_eq!(moved(&report)[0], 1);
    let told = page(&report) + &serde_json::to_string(&report).unwrap();
    assert!(told.contains("(encrypted)") && !told.contains("4321"), "{told}");
}

#[test]
fn what_is_long_is_folded() {
    let mut report = ran(&world(), 48, 0, one(|_| 6000.0));
    let ours = &mut report.strategies[0];
    ours.flapping = Some((0..8).map(|number| format!("db/v{number}")).collect());
    ours.moves = vec![ours.moves[0].clone(); 540];
    let page = page(&report);
    for words in [
        "<details><summary>470 more</summary>",
        "And 40 that this page leaves out",
        "<details><summary>And 3 more</summary>db/v5, db/v6, db/v7</details>",
        "6,000 IOPS",
    ] {
        assert!(page.contains(words), "{words}");
    }
}

#[test]
fn numbers_are_told_in_groups_or_short() {
    for (text, grouped) in [
        ("7", "7"),
        ("999", "999"),
        ("1000", "1,000"),
        ("1234567.25", "1,234,567.25"),
        ("12.34567", "12.34567"),
        ("-", "-"),
        ("IOPS", "IOPS"),
    ] {
        assert_eq!(shown::grouped(text), grouped);
    }
    for (value, short) in [
        (0.0, "0"),
        (999_999.0, "999,999"),
        (1e6, "1.0 M"),
        (23_587_913_249.0, "23.6 G"),
        (2e12, "2.0 T"),
    ] {
        assert_eq!(shown::short(value), short);
    }
    assert_eq!(shown::value("iops", 12_000.0), "12,000 IOPS");
}
