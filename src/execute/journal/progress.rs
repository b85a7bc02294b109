//! How far a move has come, and when it will be done at that speed.

use super::{Reading, later};
use crate::execute::safety::{last_rebuild, synced};
use crate::model::engine::{RebuildState, Replica, Volume};
use crate::model::kinds::volume_migration::VolumeMigrationStatus;
use jiff::Timestamp;

/// Notes how much is still to be copied, before each copy is added: what was filled already, and `left` whole copies.
pub(super) fn expect(status: &mut VolumeMigrationStatus, volume: &Volume, left: usize) {
    let left = u64::try_from(left).unwrap_or(u64::MAX);
    let done = filled(status).saturating_mul(volume.size);
    status.bytes_copied = Some(done);
    status.bytes_total = Some(done.saturating_add(volume.size.saturating_mul(left)));
    status.progress_percent = None;
}

/// Copies that were filled and whose predecessors are gone.
fn filled(status: &VolumeMigrationStatus) -> u64 {
    let gone = status
        .removals
        .iter()
        .filter(|removal| removal.was_complete && removal.gone.as_ref() == Some(&removal.replica.id));
    u64::try_from(gone.count()).unwrap_or(u64::MAX)
}

/// Follows the copy that is being filled, by the target's memory of rebuilds where that can be read, else by its percentage.
pub(super) fn follow(
    status: &mut VolumeMigrationStatus,
    volume: &Volume,
    reading: &Reading,
    new: &Replica,
    now: Timestamp,
) {
    let whole = synced(new);
    let percent = new.rebuild_progress.or(whole.then_some(100));
    // A target that tells only of what has ended would show the copy where its last try broke off.
    let rebuild = last_rebuild(reading, new.id.as_str()).filter(|last| last.state == RebuildState::Running);
    let by_percent = percent.map(|percent| volume.size / 100 * u64::from(percent));
    let of_this = match (whole, rebuild) {
        (true, _) => Some(volume.size),
        (false, Some(rebuild)) => Some(rebuild.recovered.min(volume.size)),
        (false, None) => by_percent,
    };
    let copied = of_this.map(|bytes| bytes.saturating_add(filled(status).saturating_mul(volume.size)));
    if percent != status.progress_percent || copied > status.bytes_copied {
        status.progress_percent = percent;
        status.progress_at = Some(now.to_string());
    }
    status.bytes_copied = copied.or(status.bytes_copied);
    // Once it is whole, its phase may have begun anew, and says nothing of how fast it was filled.
    if !whole {
        status.estimated_end = estimate(status, of_this, now);
    }
}

/// When the rest will be copied at the speed of the copy that is being filled.
fn estimate(status: &VolumeMigrationStatus, of_this: Option<u64>, now: Timestamp) -> Option<String> {
    let since: Timestamp = status.phase_since.as_deref()?.parse().ok()?;
    let passed = u64::try_from(now.as_second() - since.as_second()).ok()?;
    let of_this = of_this.filter(|bytes| *bytes > 0 && passed > 0)?;
    let left = status.bytes_total?.saturating_sub(status.bytes_copied?);
    let seconds = u128::from(left) * u128::from(passed) / u128::from(of_this);
    Some(later(now, i64::try_from(seconds).ok()?).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::execute::fake::Fake;
    use crate::model::engine::{Health, Rebuild};
    use crate::model::kinds::volume_migration::{Removal, ReplicaPlace};

    const SIZE: u64 = 100_000;
    /// When the copy began to be filled.
    const BEGAN: &str = "2027-01-15T08:00:00Z";
    /// Forty seconds later.
    const NOW: &str = "2027-01-15T08:00:40Z";

    /// A copy that is filled so far in percent, or whole.
    fn copy(percent: Option<u8>) -> Replica {
        Replica {
            id: "new".to_owned().into(),
            node: "h1".into(),
            pool: "hot-1".into(),
            state: Health::Online,
            child: Some(percent.map_or(Health::Online, |_| Health::Degraded)),
            healthy: Some(percent.is_none()),
            rebuild_progress: percent,
        }
    }

    fn rebuild(state: RebuildState, recovered: u64, started: &str) -> Rebuild {
        Rebuild {
            child: "nvmf://127.0.0.1/new?uuid=new".to_owned(),
            state,
            total: SIZE,
            recovered,
            started: started.to_owned(),
        }
    }

    /// A move of `copies` copies, of which `moved` are where they are to be; it expected its end at `expected`.
    fn under_way(copies: usize, moved: usize, expected: Option<&str>) -> (VolumeMigrationStatus, Volume) {
        let fake = Fake::with_copies(1);
        let mut volume = fake.state().volume.clone();
        volume.size = SIZE;
        let removals = (0..moved).map(|number| Removal {
            at: BEGAN.to_owned(),
            replica: ReplicaPlace {
                id: format!("old-{number}"),
                node: "c1".to_owned(),
                pool: "cold-1".to_owned(),
            },
            why: String::new(),
            copies: 1,
            complete: Vec::new(),
            was_complete: true,
            complete_since: None,
            epoch: None,
            asked: true,
            gone: Some(format!("old-{number}")),
        });
        let mut status = VolumeMigrationStatus {
            removals: removals.collect(),
            phase_since: Some(BEGAN.to_owned()),
            ..VolumeMigrationStatus::default()
        };
        expect(&mut status, &volume, copies - moved);
        status.estimated_end = expected.map(str::to_owned);
        (status, volume)
    }

    #[test]
    fn bytes_percent_and_the_end_follow_the_copy_that_is_being_filled() {
        use RebuildState::{Completed, Failed, Running};
        let (early, late) = ("2027-01-15T07:00:00Z", BEGAN);
        let minutes = |minutes: i64| Some(format!("2027-01-15T08:0{minutes}:40Z"));
        // What; copies and how many were moved; the copy; what the target remembers; bytes copied, percent and the expected end.
        for (what, (copies, moved), percent, rebuilds, (bytes, shown, end)) in [
            (
                "by percent",
                (1, 0),
                Some(40),
                None,
                (40_000, Some(40), minutes(1)),
            ),
            ("nothing yet", (1, 0), Some(0), None, (0, Some(0), None)),
            (
                "by the target's memory, which is finer",
                (1, 0),
                Some(40),
                Some(vec![rebuild(Running, 25_000, late)]),
                (25_000, Some(40), minutes(2)),
            ),
            (
                "the try before this one broke off",
                (1, 0),
                Some(40),
                Some(vec![rebuild(Failed, 99_000, early)]),
                (40_000, Some(40), minutes(1)),
            ),
            (
                "the newest counts",
                (1, 0),
                Some(40),
                Some(vec![
                    rebuild(Running, 25_000, late),
                    rebuild(Failed, 99_000, early),
                ]),
                (25_000, Some(40), minutes(2)),
            ),
            (
                "more than there is",
                (1, 0),
                Some(99),
                Some(vec![rebuild(Running, 2 * SIZE, late)]),
                (SIZE, Some(99), Some(NOW.to_owned())),
            ),
            (
                "whole, with the end that was expected",
                (1, 0),
                None,
                Some(vec![rebuild(Completed, 99_000, late)]),
                (SIZE, Some(100), Some(early.to_owned())),
            ),
            (
                "the second of two",
                (2, 1),
                Some(40),
                None,
                (SIZE + 40_000, Some(40), minutes(1)),
            ),
            // 160,000 bytes at a thousand each second.
            (
                "the first of two",
                (2, 0),
                Some(40),
                None,
                (40_000, Some(40), Some("2027-01-15T08:03:20Z".to_owned())),
            ),
        ] {
            let (mut status, volume) = under_way(copies, moved, Some(early));
            let total = SIZE * u64::try_from(copies).unwrap();
            assert_eq!(status.bytes_total, Some(total), "{what}");
            let reading = Reading {
                rebuilds,
                ..Reading::default()
            };
            follow(
                &mut status,
                &volume,
                &reading,
                &copy(percent),
                NOW.parse().unwrap(),
            );
            assert_eq!(status.bytes_copied, Some(bytes), "{what}");
            assert_eq!(status.progress_percent, shown, "{what}");
            assert_eq!(status.estimated_end, end, "{what}");
        }
    }

    #[test]
    fn only_what_goes_on_counts_as_progress() {
        let (mut status, volume) = under_way(1, 0, None);
        let reading = Reading::default();
        let at = |seconds: &str| format!("2027-01-15T08:00:{seconds}Z");
        for (seconds, percent, since) in [
            ("10", 20, "10"),
            ("20", 20, "10"),
            ("30", 30, "30"),
            ("40", 30, "30"),
        ] {
            let now = at(seconds).parse().unwrap();
            follow(&mut status, &volume, &reading, &copy(Some(percent)), now);
            assert_eq!(status.progress_at, Some(at(since)), "at {seconds}");
        }
    }
}
