//! Figures of a replay as people read them, for the terminal and the page alike.

use super::report::{Outcome, Report};
use crate::model::decision::{measured, span};
use crate::model::engine::GIB;
use jiff::Timestamp;

/// What a strategy is called.
pub fn title(outcome: &Outcome) -> &'static str {
    match outcome.name {
        "policies" => "POLICIES",
        "nothing" => "NOTHING DONE",
        "watermarks" => "PLAIN WATERMARKS",
        _ => "ORACLE",
    }
}

/// A time in UTC, to the minute.
pub fn time(at: i64) -> String {
    let read = Timestamp::from_second(at).map(|at| at.strftime("%Y-%m-%d %H:%M").to_string());
    read.unwrap_or_default()
}

/// A length of time in seconds.
pub fn seconds(seconds: i64) -> String {
    span(u64::try_from(seconds).unwrap_or(0))
}

/// Bytes in GiB: columns are compared, so all have one unit.
pub fn gibs(bytes: u64) -> String {
    grouped(&format!("{:.1} GiB", bytes as f64 / GIB as f64))
}

/// A number with a comma before every three digits.
pub fn grouped(text: &str) -> String {
    let end = text
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + rest
}

/// A great number in few digits: thousands, millions, and so on.
pub fn short(value: f64) -> String {
    for (size, sign) in [(1e12, "T"), (1e9, "G"), (1e6, "M")] {
        if value >= size {
            return format!("{:.1} {sign}", value / size);
        }
    }
    grouped(&format!("{value:.0}"))
}

/// A signal's value as people read it, its digits in groups.
pub fn value(signal: &str, value: f64) -> String {
    let text = measured(signal, value);
    let words: Vec<String> = text.split(' ').map(grouped).collect();
    words.join(" ")
}

/// A signal's threshold, unless it is secret.
pub fn threshold(signal: &str, threshold: Option<f64>) -> String {
    threshold.map_or_else(|| "(encrypted)".to_owned(), |threshold| value(signal, threshold))
}

/// The comparison: the name of each figure with one cell for each strategy.
pub fn figures(report: &Report) -> Vec<(&'static str, Vec<String>)> {
    let none = || "-".to_owned();
    let count = |count: Option<usize>| count.map_or_else(none, |count| grouped(&count.to_string()));
    type Cell<'a> = Box<dyn Fn(&Outcome) -> String + 'a>;
    let rows: [(&'static str, Cell); 8] = [
        (
            "I/O served by the hottest tier",
            Box::new(move |one| {
                one.hot_share
                    .map_or_else(none, |share| format!("{:.1} %", share * 100.0))
            }),
        ),
        (
            "operations served by it",
            Box::new(|one| short(one.hot_operations)),
        ),
        ("moves proposed", Box::new(move |one| count(one.proposed))),
        (
            "taken back before approval",
            Box::new(move |one| count(one.withdrawn)),
        ),
        (
            "moves carried out",
            Box::new(|one| grouped(&one.moved.to_string())),
        ),
        ("bytes copied", Box::new(|one| gibs(one.bytes_moved))),
        (
            "volumes that flap",
            Box::new(move |one| count(one.flapping.as_ref().map(Vec::len))),
        ),
        (
            "cost a month, in your currency",
            Box::new(move |one| {
                one.monthly_cost
                    .map_or_else(none, |cost| grouped(&format!("{cost:.2}")))
            }),
        ),
    ];
    rows.into_iter()
        .map(|(name, cell)| (name, report.strategies.iter().map(cell).collect()))
        .collect()
}

/// Why volumes were left alone, the most frequent reason first, with its part of all evaluations of all volumes.
pub fn reasons(report: &Report) -> Vec<Vec<String>> {
    let all = report.volumes as f64 * report.evaluations as f64;
    let mut reasons: Vec<(&&str, &u64)> = report.left_alone.iter().collect();
    reasons.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    reasons
        .into_iter()
        .map(|(reason, count)| {
            let part = *count as f64 / all.max(1.0) * 100.0;
            vec![(*reason).to_owned(), format!("{part:.1} %")]
        })
        .collect()
}
