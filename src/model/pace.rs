//! How long a move takes, going by how long moves took.

use super::ids::TierName;
use super::kinds::volume_migration::Phase;
use super::migration_brief::MigrationBrief;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// Moves that are looked at, the newest first: enough for a median that one slow night does not change, and few enough to notice new
/// disks soon.
const LOOKED_AT: usize = 9;

/// Bytes per second that moves have copied, by the tier that they went to and of all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pace {
    by_tier: BTreeMap<TierName, f64>,
    of_all: Option<f64>,
}

impl Pace {
    /// Of the moves that succeeded, from their beginning to their end: also looking and settling take time.
    pub fn of(migrations: &[MigrationBrief]) -> Self {
        let mut known: Vec<(&str, &TierName, f64)> = migrations.iter().filter_map(rate).collect();
        known.sort_by(|a, b| b.0.cmp(a.0));
        let mut by_tier: BTreeMap<TierName, Vec<f64>> = BTreeMap::new();
        for (_, to, rate) in &known {
            let rates = by_tier.entry((*to).clone()).or_default();
            if rates.len() < LOOKED_AT {
                rates.push(*rate);
            }
        }
        let all = known.iter().take(LOOKED_AT).map(|(.., rate)| *rate);
        Self {
            of_all: median(all.collect()),
            by_tier: by_tier
                .into_iter()
                .filter_map(|(tier, rates)| Some((tier, median(rates)?)))
                .collect(),
        }
    }

    /// How many seconds copying so many bytes to a tier takes; unknown before the first move.
    pub fn seconds(&self, to: &TierName, bytes: u64) -> Option<u64> {
        let rate = self.by_tier.get(to).copied().or(self.of_all)?;
        let seconds = (bytes as f64 / rate).ceil();
        // Beyond a hundred years nobody waits, and a number that is none is no time.
        (1.0..=3.2e9).contains(&seconds).then_some(seconds as u64)
    }
}

/// When a move ended, where it went and how fast.
fn rate(migration: &MigrationBrief) -> Option<(&str, &TierName, f64)> {
    if !matches!(migration.phase, Phase::Completed | Phase::Preserved) {
        return None;
    }
    let finished = migration.finished.as_deref()?;
    let at = |text: &str| text.parse::<Timestamp>().ok();
    let seconds = at(finished)?.as_second() - at(migration.started.as_deref()?)?.as_second();
    let copied = migration.copied.filter(|copied| *copied > 0)?;
    Some((finished, &migration.to, copied as f64 / seconds.max(1) as f64))
}

/// The one in the middle; of an even number the slower of the two, since a reviewer would rather be told too much.
fn median(mut rates: Vec<f64>) -> Option<f64> {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len().checked_sub(1)? / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A move that copied so many MiB in so many seconds, and ended in that minute.
    fn moved(to: &str, mib: u64, seconds: i64, minute: i64) -> MigrationBrief {
        let end = 1_800_000_000 + minute * 60;
        let at = |second| Timestamp::from_second(second).unwrap().to_string();
        MigrationBrief {
            name: "m".into(),
            claim: crate::model::ids::ClaimRef {
                namespace: "db".into(),
                name: "data-0".into(),
            },
            volume: "pvc-u".into(),
            from: "cold".into(),
            to: to.into(),
            policy: None,
            phase: Phase::Completed,
            approved_in: "a".into(),
            latency_before: None,
            attempt: 1,
            retry: None,
            started: Some(at(end - seconds)),
            finished: Some(at(end)),
            copied: Some(mib << 20),
        }
    }

    fn seconds(past: &[MigrationBrief], to: &str, mib: u64) -> Option<u64> {
        Pace::of(past).seconds(&to.into(), mib << 20)
    }

    #[test]
    fn a_move_takes_as_long_as_moves_to_its_tier_took_and_else_as_all() {
        assert_eq!(seconds(&[], "hot", 100), None, "nothing was ever moved");
        let past = [
            moved("hot", 100, 10, 1),
            moved("hot", 1000, 50, 2),
            moved("hot", 10, 10, 3),
            moved("cold", 100, 100, 4),
        ];
        // 10, 20 and 1 MiB a second: the median is 10.
        assert_eq!(seconds(&past, "hot", 1000), Some(100));
        assert_eq!(seconds(&past, "cold", 1000), Some(1000));
        // Of 1, 1, 10 and 20 the slower of the two in the middle.
        assert_eq!(seconds(&past, "warm", 1000), Some(1000));
        assert_eq!(seconds(&past, "hot", 0), None, "nothing is copied");
    }

    #[test]
    fn only_the_last_moves_that_succeeded_count() {
        let mut past: Vec<_> = (0..9).map(|minute| moved("hot", 100, 1, minute)).collect();
        // Newer, slower: five of the last nine.
        past.extend((10..15).map(|minute| moved("hot", 100, 100, minute)));
        assert_eq!(seconds(&past, "hot", 100), Some(100));
        for one in &mut past[9..] {
            one.phase = Phase::RolledBack;
        }
        assert_eq!(seconds(&past, "hot", 100), Some(1));
        for one in &mut past {
            one.copied = None;
        }
        assert_eq!(seconds(&past, "hot", 100), None, "made by an older release");
    }
}
