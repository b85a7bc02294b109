//! When a pin ends, out of the text that people write.

use super::observation::Pin;
use jiff::Timestamp;

impl Pin {
    /// Until the time of a text, RFC 3339. What lies beyond the last time that can be told (two days before the year 10000, which
    /// people write for "ever") is that last time.
    pub fn until(text: &str) -> Option<Self> {
        let last = || {
            // The same day and hour a year before: whether it is a time at all.
            let earlier = format!("9998-{}", text.strip_prefix("9999-")?);
            let _: Timestamp = earlier.parse().ok()?;
            Some(Timestamp::MAX)
        };
        let until = text.parse().ok().or_else(last)?;
        Some(Self::Until(until.as_second()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_may_end_as_late_as_people_write() {
        let last = Some(Timestamp::MAX.as_second());
        for (text, expected) in [
            ("2027-01-31T00:00:00Z", Some(1_801_353_600)),
            ("2027-01-31T01:00:00+01:00", Some(1_801_353_600)),
            ("1970-01-01T00:00:00Z", Some(0)),
            ("9999-12-30T22:00:00Z", last),
            ("9999-12-30T23:00:00Z", last),
            ("9999-12-31T23:59:59Z", last),
            ("9999-12-31T23:59:59.999Z", last),
            ("9999-12-31T23:59:59-12:00", last),
            ("9999-12-32T00:00:00Z", None),
            ("9999-02-29T00:00:00Z", None),
            ("9999-12-31", None),
            ("10000-01-01T00:00:00Z", None),
            ("for ever", None),
            ("", None),
        ] {
            let expected = expected.map(Pin::Until);
            assert_eq!(Pin::until(text), expected, "{text}");
        }
    }
}
