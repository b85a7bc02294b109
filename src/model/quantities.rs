//! Loads and times as people read them.

use super::kinds::tier_assignment::DecisionNote;

/// A signal's value as people read it.
pub fn measured(signal: &str, value: f64) -> String {
    match signal {
        "iops" => format!("{value:.0} IOPS"),
        "throughput" => format!("{:.1} MiB/s", value / f64::from(1 << 20)),
        "latency" | "readLatency" | "writeLatency" => format!("{signal} {value:.2} ms"),
        "requestSize" => format!("a request size of {:.0} KiB", value / 1024.0),
        "readRatio" => format!("{:.0} % reads", value * 100.0),
        _ if value.abs() >= 100.0 => format!("{signal} {value:.0}"),
        _ => format!("{signal} {value:.3}"),
    }
}

/// What a decision rests on: the value of each signal, and over which time. `name` is how a signal's name may be shown.
pub fn observed(note: &DecisionNote, name: impl Fn(&str) -> String) -> String {
    let of =
        |percentile: Option<f64>| percentile.map_or_else(String::new, |percent| format!(" (p{percent})"));
    let mut told = measured(&name(&note.signal), note.value) + &of(note.percentile);
    if let Some(window) = &note.window {
        told.push_str(&format!(" over {}", name(window)));
    }
    for also in &note.also {
        told.push_str(&format!(
            ", {}{}",
            measured(&name(&also.signal), also.value),
            of(also.percentile)
        ));
    }
    told
}

/// Seconds as people read them: the two largest units.
pub fn span(seconds: u64) -> String {
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3600 % 24, "h"),
        (seconds / 60 % 60, "min"),
        (seconds % 60, "s"),
    ];
    let from = parts.iter().position(|(number, _)| *number > 0).unwrap_or(3);
    let shown = parts[from..].iter().take(2).filter(|(number, _)| *number > 0);
    let shown: Vec<String> = shown.map(|(number, unit)| format!("{number} {unit}")).collect();
    if shown.is_empty() {
        "0 s".to_owned()
    } else {
        shown.join(" ")
    }
}

/// Seconds that are an estimate: one unit, rounded up, since nobody knows more than that.
pub fn roughly(seconds: u64) -> String {
    match seconds {
        ..=5400 => format!("{} min", seconds.div_ceil(60)),
        5401..=129_600 => format!("{} h", seconds.div_ceil(3600)),
        _ => format!("{} d", seconds.div_ceil(86_400)),
    }
}
