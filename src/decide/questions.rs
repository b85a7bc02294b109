//! What Prometheus is asked for each policy: one aggregated query per signal, whatever the number of volumes.
//!
//! Mayastor's counters are declared as gauges but only ever grow, so `rate()` is right for them; they are summed by `pv_name` so
//! that a target that moves does not split a volume's series. The text of a query is also the key of its answer.

use crate::model::desired::{Desired, Measure, Policy, Signal};
use crate::model::week::merged;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeSet;
use std::time::Duration;

/// Steps in which a window is looked at: a gap of a sixtieth of the window is seen.
const STEPS: u64 = 60;

/// The shortest step: no scrape interval of a monitored cluster is much shorter.
const STEP_SECS_MIN: u64 = 30;

/// Over how long rates inside of a window are taken: four to ten scrape intervals of most clusters.
const RATE_SECS: u64 = 300;

/// What is asked about one signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Its value over the window.
    pub value: String,
    /// Its least and its greatest value in the time for which it must be sustained.
    pub extremes: Option<(String, String)>,
}

/// Every query of the enabled policies.
pub fn questions(desired: &Desired, now: Timestamp) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for policy in desired.policies.values().filter(|policy| policy.enabled) {
        all.insert(coverage(policy, now));
        for signal in &policy.signals {
            let asked = signal_of(policy, signal, now);
            all.insert(asked.value);
            if let Some((least, greatest)) = asked.extremes {
                all.extend([least, greatest]);
            }
        }
        for signal in &policy.not_heat_when {
            all.insert(value(policy, signal, now));
        }
    }
    all
}

/// The queries for a signal of a policy.
pub fn signal_of(policy: &Policy, signal: &Signal, now: Timestamp) -> Asked {
    let extremes = (!policy.sustained.is_zero()).then(|| {
        // An hour of samples says nothing about a day: who was not watched for long enough has no extremes.
        let text = format!("{}s", policy.sustained.as_secs());
        let watched = covered(policy, policy.sustained, &text, now);
        let over = |function: &str| {
            let extreme = aggregated(policy, signal, function, policy.sustained, now);
            format!(
                "{extreme} and on (pv_name) ({watched} >= {})",
                policy.min_coverage
            )
        };
        (over("min_over_time("), over("max_over_time("))
    });
    Asked {
        value: value(policy, signal, now),
        extremes,
    }
}

/// The query for a signal's value over the policy's window.
pub fn value(policy: &Policy, signal: &Signal, now: Timestamp) -> String {
    match signal.percentile {
        None if policy.excluded_windows.is_empty() => expression(&signal.measure, &policy.window_text),
        None => aggregated(policy, signal, "avg_over_time(", policy.window, now),
        Some(part) => aggregated(
            policy,
            signal,
            &format!("quantile_over_time({part}, "),
            policy.window,
            now,
        ),
    }
}

/// The query for the mean latency over the policy's window, whatever its signals are.
pub fn latency(policy: &Policy, now: Timestamp) -> String {
    let mean = Signal {
        name: "latency".into(),
        measure: Measure::Latency,
        percentile: None,
        above: None,
        below: None,
    };
    value(policy, &mean, now)
}

/// The query for operations per second, over so many seconds: what is served, whatever a policy asks.
pub fn operations(seconds: u64) -> String {
    expression(&Measure::Iops, &format!("{}s", RATE_SECS.max(seconds)))
}

/// The query for the part of the window that has samples, of what is counted: in how many of sixty steps the series is there. It
/// does not depend on the scrape interval.
pub fn coverage(policy: &Policy, now: Timestamp) -> String {
    covered(policy, policy.window, &policy.window_text, now)
}

/// The same of another time before now; `text` is how it is written.
fn covered(policy: &Policy, over: Duration, text: &str, now: Timestamp) -> String {
    let window = over.as_secs();
    let step = (window / STEPS).max(1);
    let excluded = excluded(policy, over, now);
    // Prometheus puts the steps of a subquery on multiples of the step.
    let (end, step_secs) = (now.as_second(), i64::try_from(step).unwrap_or(i64::MAX));
    let first = end - i64::try_from(window).unwrap_or(i64::MAX);
    let count = |from: i64, to: i64| to.div_euclid(step_secs) - from.div_euclid(step_secs);
    let counted = match excluded.is_empty() {
        true => i64::try_from(window / step).unwrap_or(i64::MAX),
        false => {
            // Steps in [from, to) are those in (from - 1, to - 1].
            let lost: i64 = excluded.iter().map(|(from, to)| count(from - 1, to - 1)).sum();
            count(first, end) - lost
        }
    };
    format!(
        "count_over_time(({})[{}:{step}s]) / {}",
        without("sum by (pv_name) (volume_num_read_ops)".to_owned(), &excluded),
        text,
        counted.max(1)
    )
}

/// A signal step by step, brought together by a function.
fn aggregated(policy: &Policy, signal: &Signal, function: &str, over: Duration, now: Timestamp) -> String {
    let step = (over.as_secs() / STEPS).max(STEP_SECS_MIN);
    let range = RATE_SECS.max(step);
    let inner = expression(&signal.measure, &format!("{range}s"));
    let inner = match signal.measure {
        Measure::Iops | Measure::Throughput | Measure::Query(_) => inner,
        // In a step without operations these are not a number, and one such step would make the whole mean unknown.
        _ => format!("({inner}) >= 0"),
    };
    // A rate at a time speaks of the range before it: it is left out while any of that lies in a window that is not counted.
    let reach = i64::try_from(range).unwrap_or(i64::MAX);
    let excluded: Vec<(i64, i64)> = excluded(policy, over + Duration::from_secs(range), now)
        .into_iter()
        .map(|(from, to)| (from + 1, to.saturating_add(reach)))
        .collect();
    let excluded = merged(excluded);
    format!(
        "{function}({})[{}s:{step}s])",
        without(inner, &excluded),
        over.as_secs()
    )
}

/// The parts of the time before now that are not counted.
fn excluded(policy: &Policy, over: Duration, now: Timestamp) -> Vec<(i64, i64)> {
    let Ok(from) = SignedDuration::try_from(over).map(|over| now.saturating_sub(over)) else {
        return Vec::new();
    };
    let Ok(from) = from else { return Vec::new() };
    let parts = policy
        .excluded_windows
        .iter()
        .flat_map(|window| window.within(from, now));
    merged(parts.collect())
}

fn without(expression: String, excluded: &[(i64, i64)]) -> String {
    if excluded.is_empty() {
        return expression;
    }
    let parts: Vec<String> = excluded
        .iter()
        .map(|(from, to)| format!("(vector(time()) >= {from} < {to})"))
        .collect();
    format!("({expression}) unless on () ({})", parts.join(" or "))
}

/// A measure's value per volume, with rates over a range.
fn expression(measure: &Measure, range: &str) -> String {
    let rate = |metric: &str| format!("sum by (pv_name) (rate(volume_{metric}[{range}]))");
    let both = |read: &str, write: &str| format!("{} + {}", rate(read), rate(write));
    let operations = || both("num_read_ops", "num_write_ops");
    let bytes = || both("bytes_read", "bytes_written");
    match measure {
        Measure::Iops => operations(),
        Measure::Throughput => bytes(),
        Measure::Latency => {
            let times = both("read_latency_us", "write_latency_us");
            format!("({times}) / ({}) / 1000", operations())
        }
        Measure::ReadLatency => format!("{} / {} / 1000", rate("read_latency_us"), rate("num_read_ops")),
        Measure::WriteLatency => format!("{} / {} / 1000", rate("write_latency_us"), rate("num_write_ops")),
        Measure::RequestSize => format!("({}) / ({})", bytes(), operations()),
        Measure::ReadRatio => format!("{} / ({})", rate("num_read_ops"), operations()),
        Measure::Query(text) => text.replace("$window", range),
    }
}
