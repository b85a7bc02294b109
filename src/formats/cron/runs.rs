//! When an expression is due: the search of robfig/cron v3 (`spec.go`, `SpecSchedule.Next`), with Go's reading of local times.

use super::{Cron, Times, When, has};
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan};
use std::time::Duration;

/// Years after which robfig/cron gives up.
const SEARCH_YEARS: i16 = 5;

/// Years that are searched for gaps and meetings: twice the four years to the next 29 February, and one.
pub const HORIZON_YEARS: i16 = 9;

/// Days that are searched for gaps of schedules that every week is the same for: all changes of the clock of one year.
const WEEKLY_HORIZON: i64 = 400;

/// Runs that are merged to find a gap; beyond it the gap is what was seen: half a year of hourly runs.
const STEPS: usize = 5000;

/// The shortest and the longest time between two runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gaps {
    /// The shortest.
    pub shortest: Duration,
    /// The longest.
    pub longest: Duration,
}

impl Gaps {
    fn take(&mut self, seconds: i64) {
        let gap = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        self.shortest = self.shortest.min(gap);
        self.longest = self.longest.max(gap);
    }
}

impl Cron {
    /// The first run after a time: `None` when there is none within five years. `@every` counts from that time, as Velero counts it from the
    /// last backup.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let after = after.as_second();
        let seconds = match self.when {
            When::Every(seconds) => after.checked_add(seconds)?,
            When::At(times) => Clock(&self.zone).search(times, after)?,
        };
        Timestamp::from_second(seconds).ok()
    }

    /// The next runs after a time, the soonest first.
    pub fn runs(&self, after: Timestamp, count: usize) -> Vec<Timestamp> {
        std::iter::successors(self.next(after), |last| self.next(*last))
            .take(count)
            .collect()
    }

    /// The gaps between runs in the years after a time; `None` when fewer than two are found.
    pub fn gaps(&self, from: Timestamp) -> Option<Gaps> {
        let times = match self.when {
            When::Every(seconds) => {
                let every = Duration::from_secs(u64::try_from(seconds).ok()?);
                return Some(Gaps {
                    shortest: every,
                    longest: every,
                });
            }
            When::At(times) => times,
        };
        let clock = Clock(&self.zone);
        let weekly = times.months.count_ones() == 12 && times.days.count_ones() == 31;
        let days = match weekly {
            true => WEEKLY_HORIZON,
            false => i64::from(HORIZON_YEARS) * 366,
        };
        let end = from.as_second() + days * DAY;
        let mut gaps = Gaps {
            shortest: Duration::MAX,
            longest: Duration::ZERO,
        };
        let within = within_a_day(times);
        let mut at = clock.search(times, from.as_second())?;
        while at < end {
            let midnight = clock.midnight(at);
            // On a day whose clock does not change, only the step to the next day has to be searched.
            let last = match (clock.is_plain(midnight), at == midnight + within.first) {
                (true, true) if within.last > within.first => {
                    gaps.take(within.shortest);
                    gaps.take(within.longest);
                    midnight + within.last
                }
                _ => at,
            };
            let Some(next) = clock.search(times, last) else {
                break;
            };
            gaps.take(next - last);
            at = next;
        }
        (gaps.longest > Duration::ZERO).then_some(gaps)
    }
}

/// The first time within the years after `from` at which both run in the same minute. `@every` runs at no time that is known beforehand. Each
/// look at a run takes one of `looks`; when none is left, schedules are taken to keep apart.
pub fn meeting(one: &Cron, other: &Cron, from: Timestamp, looks: &mut usize) -> Option<Timestamp> {
    let (When::At(a), When::At(b)) = (one.when, other.when) else {
        return None;
    };
    if one.zone == other.zone
        && (a.minutes & b.minutes == 0 || a.hours & b.hours == 0 || a.months & b.months == 0)
    {
        return None;
    }
    let end = from.as_second() + i64::from(HORIZON_YEARS) * 366 * DAY;
    let (mut first, mut second) = (one.next(from)?, other.next(from)?);
    while *looks > 0 {
        *looks -= 1;
        if first == second {
            return Some(first);
        }
        if first.max(second).as_second() >= end {
            return None;
        }
        // The one that is behind jumps to the other, or beyond.
        match first < second {
            true => first = one.next(before(second))?,
            false => second = other.next(before(first))?,
        }
    }
    None
}

fn before(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second() - 1).unwrap_or(at)
}

/// The longest time without a run of any of them.
pub fn longest_gap(all: &[&Cron], from: Timestamp) -> Option<Duration> {
    let end = from.as_second() + i64::from(HORIZON_YEARS) * 366 * DAY;
    let following = |at: Timestamp| all.iter().filter_map(|cron| cron.next(at)).min();
    let (mut at, mut longest) = (following(from)?, 0);
    for _ in 0..STEPS {
        let Some(next) = following(at).filter(|next| next.as_second() < end) else {
            break;
        };
        longest = longest.max(next.as_second() - at.as_second());
        at = next;
    }
    u64::try_from(longest)
        .ok()
        .filter(|longest| *longest > 0)
        .map(Duration::from_secs)
}

const MINUTE: i64 = 60;
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// The runs of a day whose clock does not change, in seconds from midnight.
struct Within {
    first: i64,
    last: i64,
    shortest: i64,
    longest: i64,
}

fn within_a_day(times: Times) -> Within {
    let of_hour = |hour: u32| {
        (0..60)
            .filter(|minute| has(times.minutes, *minute))
            .map(move |minute| i64::from(hour * 60 + minute) * MINUTE)
    };
    let all: Vec<i64> = (0..24)
        .filter(|hour| has(times.hours, *hour))
        .flat_map(of_hour)
        .collect();
    let steps = || all.windows(2).map(|pair| pair[1] - pair[0]);
    Within {
        first: all.first().copied().unwrap_or(0),
        last: all.last().copied().unwrap_or(0),
        shortest: steps().min().unwrap_or(0),
        longest: steps().max().unwrap_or(0),
    }
}

/// A time zone as Go reads it: seconds since 1970 to local times and back.
struct Clock<'a>(&'a TimeZone);

impl Clock<'_> {
    fn offset(&self, at: i64) -> i64 {
        // What lies beyond the years that a timestamp can say is no time of a backup.
        Timestamp::from_second(at).map_or(0, |at| i64::from(self.0.to_offset(at).seconds()))
    }

    fn local(&self, at: i64) -> DateTime {
        let shown = Timestamp::from_second(at + self.offset(at)).unwrap_or(Timestamp::UNIX_EPOCH);
        TimeZone::UTC.to_datetime(shown)
    }

    /// Go's `time.Date`: a local time that does not exist, or exists twice, is read by the offset that was found last.
    fn date(&self, local: DateTime) -> i64 {
        let as_utc = TimeZone::UTC.to_timestamp(local).map_or(0, |at| at.as_second());
        as_utc - self.offset(as_utc - self.offset(as_utc))
    }

    fn midnight(&self, at: i64) -> i64 {
        self.date(DateTime::from_parts(self.local(at).date(), Time::midnight()))
    }

    /// Whether the clock changes neither on this day nor at its ends.
    fn is_plain(&self, midnight: i64) -> bool {
        let offset = self.offset(midnight);
        offset == self.offset(midnight - 1)
            && offset == self.offset(midnight + DAY)
            && self.local(midnight).time() == Time::midnight()
    }

    fn add(&self, at: i64, span: Span) -> Option<i64> {
        Some(self.date(self.local(at).checked_add(span).ok()?))
    }

    fn start_of(&self, date: Date) -> i64 {
        self.date(DateTime::from_parts(date, Time::midnight()))
    }

    /// Steps to the next number of a field, to the end of the field at most, by as many units as the clock allows at once.
    fn step(&self, at: i64, bits: u64, now: i8, end: u32, unit: i64) -> i64 {
        let now = u32::try_from(now).unwrap_or(0);
        let wanted = (now + 1..end).find(|number| has(bits, *number)).unwrap_or(end);
        let far = at + i64::from(wanted - now) * unit;
        match self.offset(far) == self.offset(at) {
            true => far,
            false => at + unit,
        }
    }

    fn search(&self, times: Times, after: i64) -> Option<i64> {
        let mut at = after + 1;
        let last_year = self.local(at).year() + SEARCH_YEARS;
        // Whether the smaller parts of the time have been set to their first numbers.
        let mut begun = false;
        'again: loop {
            if self.local(at).year() > last_year {
                return None;
            }
            while !has(times.months, number(self.local(at).month())) {
                if !begun {
                    begun = true;
                    at = self.start_of(self.local(at).date().first_of_month());
                }
                at = self.add(at, 1.month())?;
                if self.local(at).month() == 1 {
                    continue 'again;
                }
            }
            while !fits(times, self.local(at).date()) {
                if !begun {
                    begun = true;
                    at = self.midnight(at);
                }
                at = self.add(at, 1.day())?;
                // Where a change of the clock leaves midnight out.
                let hour = i64::from(self.local(at).hour());
                if hour != 0 {
                    at += if hour > 12 { 24 - hour } else { -hour } * HOUR;
                }
                if self.local(at).day() == 1 {
                    continue 'again;
                }
            }
            while !has(times.hours, number(self.local(at).hour())) {
                if !begun {
                    begun = true;
                    let local = self.local(at);
                    at = self.date(DateTime::from_parts(
                        local.date(),
                        Time::constant(local.hour(), 0, 0, 0),
                    ));
                }
                at = self.step(at, times.hours, self.local(at).hour(), 24, HOUR);
                if self.local(at).hour() == 0 {
                    continue 'again;
                }
            }
            while !has(times.minutes, number(self.local(at).minute())) {
                if !begun {
                    begun = true;
                    at -= at.rem_euclid(MINUTE);
                }
                at = self.step(at, times.minutes, self.local(at).minute(), 60, MINUTE);
                if self.local(at).minute() == 0 {
                    continue 'again;
                }
            }
            // Runs are at the first second of a minute.
            let second = i64::from(self.local(at).second());
            if second == 0 {
                return Some(at);
            }
            begun = true;
            at += MINUTE - second;
        }
    }
}

fn number(part: i8) -> u32 {
    u32::try_from(part).unwrap_or(0)
}

fn fits(times: Times, date: Date) -> bool {
    let day = has(times.days, number(date.day()));
    let weekday = has(times.weekdays, number(date.weekday().to_sunday_zero_offset()));
    day && weekday
}
