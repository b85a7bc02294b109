//! Claims about which expressions are read, and when they are due.

use super::*;
use jiff::Timestamp;

#[test]
fn expressions_are_those_of_velero() {
    for text in [
        "0 2 * * *",
        "@daily",
        "@midnight",
        "@every 6h",
        "CRON_TZ=Europe/Berlin 0 3 * * *",
        "30 4 1,15 * *",
        "30 4 1,15 * ?",
        "5/15 * * * *",
        "0 0 ? * MON-FRI",
        "0 2 29 2 *",
        "0 2 */10 * *",
        "0 2 * * */6",
        "*/59 */23 * * *",
        "58/1 * * * *",
        "*/10 1-5 * jan,feb sun",
    ] {
        assert_eq!(check(text), Ok(()), "{text}");
    }
    for text in [
        "",
        "0 2 * *",
        "0 0 2 * * *",
        "61 25 * * *",
        "0 2 * * 7",
        "0 2 L * *",
        "0 2 * * 5#2",
        "H 2 * * *",
        "@reboot",
        "0 22-2 * * *",
        "CRON_TZ=UTC",
        "CRON_TZ=Nowhere/Else 0 2 * * *",
        "0 2 30 2 *",
        "0 2 30 2 1,*",
        // One Velero runs them on days that fit either field, the other on days that fit both, such as never.
        "30 4 1,15 * 5",
        "0 2 30 2 1",
        "0 4 1-7 * */2",
        // A step that leads out of its range at once.
        "0 2 1-31/40 * *",
        "*/60 * * * *",
        "58/2 * * * *",
        "TZ=europe/berlin 0 2 * * *",
        "*/0 * * * *",
        "@every 30d",
    ] {
        assert!(check(text).is_err(), "{text}");
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The next run after a time, as the time itself; empty when there is none.
fn next(cron: &str, after: &str) -> String {
    let next = parse(cron).unwrap().next(at(after));
    next.map(|next| next.to_string()).unwrap_or_default()
}

#[test]
fn runs_are_those_of_robfig_cron() {
    for (cron, after, wanted) in [
        ("0 2 * * *", "2026-11-21T02:00:00Z", "2026-11-22T02:00:00Z"),
        ("0 2 * * *", "2026-11-21T01:59:59Z", "2026-11-21T02:00:00Z"),
        ("*/15 * * * *", "2026-11-21T00:00:30Z", "2026-11-21T00:15:00Z"),
        ("59 23 31 12 *", "2026-12-31T23:59:00Z", "2027-12-31T23:59:00Z"),
        ("@monthly", "2026-12-31T23:59:59Z", "2027-01-01T00:00:00Z"),
        ("@weekly", "2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z"),
        ("0 4 15 * *", "2026-11-13T04:00:00Z", "2026-11-15T04:00:00Z"),
        ("0 4 */20 * *", "2026-11-15T04:00:00Z", "2026-11-21T04:00:00Z"),
        ("0 4 * * 5", "2026-11-15T04:00:00Z", "2026-11-20T04:00:00Z"),
        // A leap day is four years away, or eight around 2100.
        ("0 2 29 2 *", "2026-01-01T00:00:00Z", "2028-02-29T02:00:00Z"),
        ("0 2 29 2 *", "2096-02-29T02:00:00Z", ""),
        // Counted from where one asks.
        ("@every 90m", "2026-11-21T00:10:07.5Z", "2026-11-21T01:40:07Z"),
        // The hour that the clock leaves out is not run, and the one that comes twice is run twice.
        (
            "TZ=America/New_York 0 2 * * *",
            "2012-03-11T05:00:00Z",
            "2012-03-12T06:00:00Z",
        ),
        (
            "TZ=America/New_York 0 3 * * *",
            "2012-03-11T05:00:00Z",
            "2012-03-11T07:00:00Z",
        ),
        (
            "TZ=America/New_York 0 1 * * *",
            "2012-11-04T04:00:00Z",
            "2012-11-04T05:00:00Z",
        ),
        (
            "TZ=America/New_York 0 1 * * *",
            "2012-11-04T05:00:00Z",
            "2012-11-04T06:00:00Z",
        ),
        (
            "TZ=America/New_York 0 1 * * *",
            "2012-11-04T06:00:00Z",
            "2012-11-05T06:00:00Z",
        ),
        (
            "CRON_TZ=Europe/Berlin 30 2 * * *",
            "2027-03-27T12:00:00Z",
            "2027-03-29T00:30:00Z",
        ),
        (
            "CRON_TZ=Europe/Berlin 30 2 * * *",
            "2027-10-30T12:00:00Z",
            "2027-10-31T00:30:00Z",
        ),
        (
            "CRON_TZ=Europe/Berlin 30 2 * * *",
            "2027-10-31T00:30:00Z",
            "2027-10-31T01:30:00Z",
        ),
        (
            "CRON_TZ=Europe/Berlin 30 2 * * *",
            "2027-10-31T01:30:00Z",
            "2027-11-01T01:30:00Z",
        ),
        (
            "CRON_TZ=Europe/Berlin @daily",
            "2027-06-01T00:00:00Z",
            "2027-06-01T22:00:00Z",
        ),
    ] {
        assert_eq!(next(cron, after), wanted, "{cron} after {after}");
    }
}

#[test]
fn the_next_runs_stand_in_order() {
    let runs = parse("0 2 * * 1-5").unwrap().runs(at("2026-11-20T00:00:00Z"), 5);
    let days: Vec<String> = runs.iter().map(|run| run.to_string()[5..10].to_owned()).collect();
    assert_eq!(days, ["11-20", "11-23", "11-24", "11-25", "11-26"]);
}

#[test]
fn gaps_are_known_through_weekends_months_and_changes_of_the_clock() {
    let from = at("2027-01-01T00:00:00Z");
    let hours = |text: &str| {
        let gaps = parse(text).unwrap().gaps(from).unwrap();
        (
            gaps.shortest.as_secs_f64() / 3600.0,
            gaps.longest.as_secs_f64() / 3600.0,
        )
    };
    for (cron, wanted) in [
        ("0 2 * * *", (24.0, 24.0)),
        ("@hourly", (1.0, 1.0)),
        ("0,30 * * * *", (0.5, 0.5)),
        ("*/20 8-17 * * *", (20.0 / 60.0, 14.0 + 20.0 / 60.0)),
        ("0 2 * * 1-5", (24.0, 72.0)),
        ("0 2 * * 0", (168.0, 168.0)),
        ("@monthly", (28.0 * 24.0, 31.0 * 24.0)),
        ("* * * 1 *", (1.0 / 60.0, 335.0 * 24.0 + 1.0 / 60.0)),
        ("0 2 29 2 *", (1461.0 * 24.0, 1461.0 * 24.0)),
        ("@every 6h", (6.0, 6.0)),
        // One night is missing, and once there are two runs within an hour.
        ("CRON_TZ=Europe/Berlin 30 2 * * *", (1.0, 47.0)),
        ("CRON_TZ=Europe/Berlin 0 4 * * *", (23.0, 25.0)),
        ("TZ=America/New_York 30 1 * * *", (1.0, 24.0)),
        ("TZ=America/New_York 0 2 * * *", (24.0, 47.0)),
    ] {
        let found = hours(cron);
        let near = |a: f64, b: f64| (a - b).abs() < 1e-6;
        assert!(
            near(found.0, wanted.0) && near(found.1, wanted.1),
            "{cron}: {found:?}, not {wanted:?}"
        );
    }
}

#[test]
fn gaps_are_those_between_all_runs_one_by_one() {
    let from = at("2027-01-01T00:00:00Z");
    for text in [
        "*/7 3-5 * * *",
        "5 1,2 1-7 3,10 *",
        "CRON_TZ=Europe/Berlin */20 1-3 * * *",
        "TZ=America/New_York 10 0-3 * * 0",
        "TZ=Africa/Cairo 15 0 * * *",
        "TZ=America/Havana 0,59 0,23 * * 6",
    ] {
        let cron = parse(text).unwrap();
        let end = at("2028-01-20T00:00:00Z");
        let all: Vec<Timestamp> = cron
            .runs(from, 20_000)
            .into_iter()
            .take_while(|run| *run < end)
            .collect();
        let steps = || {
            all.windows(2)
                .map(|pair| pair[1].duration_since(pair[0]).unsigned_abs())
        };
        let gaps = cron.gaps(from).unwrap();
        assert_eq!(Some(gaps.shortest), steps().min(), "{text}");
        assert!(Some(gaps.longest) >= steps().max(), "{text}");
    }
}

#[test]
fn schedules_that_are_ever_due_in_the_same_minute_meet() {
    let from = at("2027-01-01T00:00:00Z");
    for (one, other, wanted) in [
        ("0 2 * * *", "0 2 * * 0", "2027-01-03T02:00:00Z"),
        ("0 2 * * 1-6", "0 2 * * 0", ""),
        ("0 2 * * *", "30 2 * * *", ""),
        ("*/2 * * * *", "1-59/2 * * * *", ""),
        ("0 2 1 * *", "0 2 * * 0", "2027-08-01T02:00:00Z"),
        ("0 2 29 2 *", "0 2 * * 2", "2028-02-29T02:00:00Z"),
        (
            "CRON_TZ=Europe/Berlin 0 3 * * *",
            "0 2 * * *",
            "2027-01-01T02:00:00Z",
        ),
        (
            "CRON_TZ=Europe/Berlin 0 4 * * *",
            "0 2 1 7 *",
            "2027-07-01T02:00:00Z",
        ),
        ("@every 1h", "@hourly", ""),
    ] {
        let meets = |a: &str, b: &str| {
            let found = meeting(&parse(a).unwrap(), &parse(b).unwrap(), from, &mut 10_000);
            found.map(|at| at.to_string()).unwrap_or_default()
        };
        assert_eq!(meets(one, other), wanted, "{one} and {other}");
        assert_eq!(meets(other, one), wanted, "{other} and {one}");
    }
}

#[test]
fn schedules_that_take_turns_leave_short_gaps_together() {
    let from = at("2027-01-01T00:00:00Z");
    let (weekdays, sundays) = (parse("0 2 * * 1-6").unwrap(), parse("0 2 * * 0").unwrap());
    let hours = |all: &[&Cron]| longest_gap(all, from).unwrap().as_secs() / 3600;
    assert_eq!(hours(&[&weekdays]), 48);
    assert_eq!(hours(&[&weekdays, &sundays]), 24);
    assert_eq!(hours(&[&sundays, &parse("@monthly").unwrap()]), 168);
}
