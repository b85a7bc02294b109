//! Cron expressions as every Velero reads them: what the standard parsers of robfig/cron v3 (to 1.18.2) and of netresearch/go-cron (since)
//! both take, and take for the same.
//!
//! Accepting more than those parsers is as bad as accepting less: a Schedule that Velero refuses, or one that it takes for
//! something else, is found out when the backup is needed. The same holds for when it runs next: no crate reads exactly this grammar, and
//! those that come near it run jobs in hours that a change of the clock leaves out, as only the newer Velero does.

use jiff::tz::TimeZone;

/// When an expression is due.
mod runs;

pub use runs::{Gaps, HORIZON_YEARS, longest_gap, meeting};

/// Names of the weekdays and months, from 0 and 1.
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];

/// Days of each month in a leap year: a day that even then does not exist never comes.
const MONTH_DAYS: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// Longest expression that is read: one that lists every minute has some 160 characters.
const TEXT_MAX: usize = 1000;

/// An expression, understood.
#[derive(Clone, Debug)]
pub struct Cron {
    when: When,
    /// Velero's pod runs in UTC unless somebody set `TZ` there.
    zone: TimeZone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// At these times.
    At(Times),
    /// So many whole seconds after the last run.
    Every(i64),
}

/// Bits of the numbers that a field stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Times {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    /// From Sunday, 0.
    weekdays: u64,
}

/// Reads an expression.
///
/// # Errors
/// What is wrong, and what to write.
pub fn parse(text: &str) -> Result<Cron, String> {
    if text.len() > TEXT_MAX {
        return Err(format!("it is longer than {TEXT_MAX} bytes; write five fields"));
    }
    let (mut rest, mut zone) = (text, TimeZone::UTC);
    for prefix in ["CRON_TZ=", "TZ="] {
        if let Some(zoned) = text.strip_prefix(prefix) {
            let (name, fields) = zoned
                .split_once(' ')
                .ok_or("five fields must follow the time zone")?;
            let known = TimeZone::get(name).map_err(|_| format!("there is no time zone {name}"))?;
            // Velero looks zones up as files, whose names have one spelling.
            if let Some(spelled) = known.iana_name().filter(|spelled| *spelled != name) {
                return Err(format!("write the time zone as {spelled}"));
            }
            zone = known;
            rest = fields.trim_start();
        }
    }
    let when = match rest.starts_with('@') {
        true => descriptor(rest)?,
        false => When::At(times(rest)?),
    };
    Ok(Cron { when, zone })
}

/// Checks an expression.
///
/// # Errors
/// What is wrong, and what to write.
pub fn check(text: &str) -> Result<(), String> {
    parse(text).map(drop)
}

fn times(text: &str) -> Result<Times, String> {
    let fields: Vec<&str> = text.split_whitespace().collect();
    let [minute, hour, day, month, weekday] = fields[..] else {
        return Err(format!(
            "five fields are needed (minute, hour, day of month, month, day of week), {} were given",
            fields.len()
        ));
    };
    let times = Times {
        minutes: field(minute, "minute", 0, 59, &[])?,
        hours: field(hour, "hour", 0, 23, &[])?,
        days: field(day, "day of month", 1, 31, &[])?,
        months: field(month, "month", 1, 12, &MONTHS)?,
        weekdays: field(weekday, "day of week", 0, 6, &DAYS)?,
    };
    // robfig/cron runs on days of either, go-cron on days of both: on fewer, or on none at all.
    if !is_free(day) && !is_free(weekday) {
        return Err(
            "leave day of month or day of week free (`*`): up to 1.18.2 Velero runs on days that fit either, since then on those that fit both; \
             for either of them write two schedules"
                .to_owned(),
        );
    }
    let comes =
        |(month, last): (u32, &u32)| has(times.months, month) && (1..=*last).any(|day| has(times.days, day));
    if !(1..).zip(&MONTH_DAYS).any(comes) {
        return Err("that day never comes; Velero would take it for due every minute".to_owned());
    }
    Ok(times)
}

fn has(bits: u64, number: u32) -> bool {
    bits & (1 << number) != 0
}

/// Whether a field is unrestricted: one of its parts is a star whose step is at most 1.
fn is_free(field: &str) -> bool {
    field
        .split(',')
        .any(|part| matches!(part, "*" | "?" | "*/1" | "?/1"))
}

fn descriptor(text: &str) -> Result<When, String> {
    let fields = match text {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        _ => {
            let every = text
                .strip_prefix("@every ")
                .ok_or("write @hourly, @daily, @weekly, @monthly, @yearly or `@every 6h`")?;
            let seconds = super::duration::parse(every)?.as_secs();
            return match i64::try_from(seconds) {
                Ok(seconds) if seconds >= 1 => Ok(When::Every(seconds)),
                _ => Err("it must be at least a second".to_owned()),
            };
        }
    };
    Ok(When::At(times(fields)?))
}

/// The numbers that a field stands for, as bits.
fn field(text: &str, name: &str, low: u32, high: u32, names: &[&str]) -> Result<u64, String> {
    let mut all = 0;
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => {
                let step: u32 = step.parse().map_err(|_| format!("{name}: `{step}` is no step"))?;
                if step == 0 {
                    return Err(format!("{name}: a step of 0 never ends"));
                }
                (range, Some(step))
            }
            None => (part, None),
        };
        let number = |text: &str| -> Result<u32, String> {
            let named = names.iter().position(|name| text.eq_ignore_ascii_case(name));
            let found = match named {
                Some(index) => u32::try_from(index).unwrap_or(0) + low,
                None => text
                    .parse()
                    .map_err(|_| format!("{name}: `{text}` is not read by Velero; write {low} to {high}"))?,
            };
            if (low..=high).contains(&found) {
                Ok(found)
            } else {
                Err(format!("{name}: {found} is not within {low} to {high}"))
            }
        };
        let (from, to) = match range {
            "*" | "?" => (low, high),
            _ => match range.split_once('-') {
                Some((from, to)) => (number(from)?, number(to)?),
                None => {
                    let from = number(range)?;
                    (from, if step.is_some() { high } else { from })
                }
            },
        };
        if from > to {
            return Err(format!("{name}: {from}-{to} runs backwards"));
        }
        // robfig/cron takes the first number alone; go-cron refuses.
        if let Some(step) = step.filter(|step| *step > 1 && *step > to - from) {
            return Err(format!(
                "{name}: a step of {step} leads out of {from}-{to}; write {from} alone"
            ));
        }
        for number in (from..=to).step_by(step.unwrap_or(1) as usize) {
            all |= 1 << number;
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests;
