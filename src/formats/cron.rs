//! Cron expressions as Velero reads them: the standard parser of robfig/cron v3.
//!
//! Accepting more than that parser is as bad as accepting less: a Schedule that Velero refuses, or one that it takes for
//! something else, is found out when the backup is needed.

/// Names of the weekdays and months, from 0 and 1.
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];

/// Days of each month in a leap year: a day that even then does not exist never comes.
const MONTH_DAYS: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// Longest expression that is read: one that lists every minute has some 160 characters.
const TEXT_MAX: usize = 1000;

/// Checks an expression.
///
/// # Errors
/// What is wrong, and what to write.
pub fn check(text: &str) -> Result<(), String> {
    if text.len() > TEXT_MAX {
        return Err(format!("it is longer than {TEXT_MAX} bytes; write five fields"));
    }
    let mut rest = text;
    for prefix in ["CRON_TZ=", "TZ="] {
        if let Some(zoned) = text.strip_prefix(prefix) {
            let (zone, fields) = zoned
                .split_once(' ')
                .ok_or("five fields must follow the time zone")?;
            let known = jiff::tz::TimeZone::get(zone).map_err(|_| format!("there is no time zone {zone}"))?;
            // Velero looks zones up as files, whose names have one spelling.
            if let Some(name) = known.iana_name().filter(|name| *name != zone) {
                return Err(format!("write the time zone as {name}"));
            }
            rest = fields.trim_start();
        }
    }
    if rest.starts_with('@') {
        return descriptor(rest);
    }
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let [minute, hour, day, month, weekday] = fields[..] else {
        return Err(format!(
            "five fields are needed (minute, hour, day of month, month, day of week), {} were given",
            fields.len()
        ));
    };
    field(minute, "minute", 0, 59, &[])?;
    field(hour, "hour", 0, 23, &[])?;
    let days = field(day, "day of month", 1, 31, &[])?;
    let months = field(month, "month", 1, 12, &MONTHS)?;
    field(weekday, "day of week", 0, 6, &DAYS)?;
    let comes = |month: u32| {
        MONTH_DAYS
            .get(month as usize - 1)
            .is_some_and(|last| days.iter().any(|day| day <= last))
    };
    // A restricted weekday matches by itself (day of month OR day of week), so only a free one leaves it to the date.
    if is_free(weekday) && !months.iter().copied().any(comes) {
        return Err("that day never comes; Velero would take it for due every minute".to_owned());
    }
    Ok(())
}

/// Whether a field is unrestricted to robfig/cron: one of its parts is a star whose step is at most 1.
fn is_free(field: &str) -> bool {
    field
        .split(',')
        .any(|part| matches!(part, "*" | "?" | "*/1" | "?/1"))
}

fn descriptor(text: &str) -> Result<(), String> {
    match text {
        "@yearly" | "@annually" | "@monthly" | "@weekly" | "@daily" | "@midnight" | "@hourly" => Ok(()),
        _ => match text.strip_prefix("@every ") {
            Some(every) => match super::duration::parse(every) {
                Ok(every) if every.as_secs() >= 1 => Ok(()),
                Ok(_) => Err("it must be at least a second".to_owned()),
                Err(help) => Err(help),
            },
            None => Err("write @hourly, @daily, @weekly, @monthly, @yearly or `@every 6h`".to_owned()),
        },
    }
}

/// The numbers that a field stands for.
fn field(text: &str, name: &str, low: u32, high: u32, names: &[&str]) -> Result<Vec<u32>, String> {
    let mut all = Vec::new();
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
        all.extend((from..=to).step_by(step.unwrap_or(1) as usize));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_those_of_velero() {
        for text in [
            "0 2 * * *",
            "@daily",
            "@midnight",
            "@every 6h",
            "CRON_TZ=Europe/Berlin 0 3 * * *",
            "30 4 1,15 * 5",
            "5/15 * * * *",
            "0 0 ? * MON-FRI",
            "0 2 29 2 *",
            "0 2 30 2 1",
            "0 2 30 2 */2",
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
            "TZ=europe/berlin 0 2 * * *",
            "*/0 * * * *",
            "@every 30d",
        ] {
            assert!(check(text).is_err(), "{text}");
        }
    }
}
