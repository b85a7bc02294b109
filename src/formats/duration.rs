//! Go durations (`1h30m`), the only ones that Kubernetes and Velero read.

use std::time::Duration;

/// Longest duration that is accepted: a hundred years, so that no sum of times overflows.
const MAX: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Longest text that is read; real ones have a dozen characters.
const TEXT_MAX: usize = 100;

/// Reads a Go duration.
///
/// # Errors
/// What to write instead.
pub fn parse(text: &str) -> Result<Duration, String> {
    if text.len() > TEXT_MAX {
        return Err(format!(
            "it is longer than {TEXT_MAX} bytes; write a Go duration such as 1h30m"
        ));
    }
    if let Some(days) = text
        .strip_suffix(['d', 'w'])
        .and_then(|number| number.parse::<u64>().ok())
    {
        let hours = days.saturating_mul(if text.ends_with('w') { 168 } else { 24 });
        return Err(format!(
            "write {hours}h: Go durations have neither days nor weeks"
        ));
    }
    if text.starts_with('-') {
        return Err("it cannot be negative".to_owned());
    }
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let hint = || "write a Go duration such as 30s, 5m, 1h30m or 720h".to_owned();
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest.is_empty() {
        return Err(hint());
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or_else(hint)?;
        let number: f64 = rest[..digits].parse().map_err(|_| hint())?;
        rest = &rest[digits..];
        let unit_end = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        let seconds = match &rest[..unit_end] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" | "μs" => 1e-6,
            "ns" => 1e-9,
            _ => return Err(hint()),
        };
        rest = &rest[unit_end..];
        let part = Duration::try_from_secs_f64(number * seconds).map_err(|_| hint())?;
        total = total
            .checked_add(part)
            .filter(|total| *total <= MAX)
            .ok_or("it is longer than a hundred years")?;
    }
    Ok(total)
}

/// Writes a duration as Go reads it, in whole seconds: `1h30m`, `45s`.
pub fn format(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let parts = [
        (seconds / 3600, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
    ];
    let text: String = parts
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, unit)| format!("{number}{unit}"))
        .collect();
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_go() {
        for (text, seconds) in [
            ("1h30m", 5400.0),
            ("720h0m0s", 2_592_000.0),
            ("1.5h", 5400.0),
            ("100ms", 0.1),
            ("0", 0.0),
            ("0s", 0.0),
            ("1m1s", 61.0),
        ] {
            assert_eq!(
                parse(text).map(|duration| duration.as_secs_f64()),
                Ok(seconds),
                "{text}"
            );
        }
        for text in ["", "5", "1h 30m", "-5m", "h", "1x", "1..5h", "10000000h"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(
            parse("30d"),
            Err("write 720h: Go durations have neither days nor weeks".to_owned())
        );
    }

    #[test]
    fn what_is_written_is_short_and_reads_back() {
        for (seconds, text) in [(0, "0s"), (45, "45s"), (5400, "1h30m"), (86400, "24h")] {
            assert_eq!(format(Duration::from_secs(seconds)), text);
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)));
        }
    }
}
