//! Tables of the elector: what a candidate knows, what happens, what it does.

use super::{Action, Event, Moment, Purpose, State, Write, next};
use crate::ha::{LEASE_DURATION, RENEW_DEADLINE, RETRY_PERIOD};
use crate::model::lease::LeaseRecord;
use jiff::Timestamp;
use std::time::{Duration, Instant};

struct Play {
    state: State,
    begin: Instant,
    now: Duration,
    wall: Timestamp,
}

impl Play {
    fn new() -> Self {
        Self {
            state: State::new("me".to_owned()),
            begin: Instant::now(),
            now: Duration::ZERO,
            wall: Timestamp::from_second(1_800_000_000).unwrap(),
        }
    }

    fn after(&mut self, seconds: u64, event: Event) -> Action {
        self.now += Duration::from_secs(seconds);
        let at = self.begin + self.now;
        let (state, action) = next(&self.state, event, Moment { at, wall: self.wall });
        self.state = state;
        action
    }

    /// Takes a Lease that nobody holds, in a cluster in which no epoch is known.
    fn lead(&mut self) -> LeaseRecord {
        assert_eq!(self.after(0, Event::Wake), Action::Read);
        assert_eq!(self.after(0, Event::Read(None)), Action::Survey);
        let write = write(self.after(0, Event::Surveyed(0)));
        assert_eq!(
            (write.purpose, write.record.version.as_deref()),
            (Purpose::Take, None)
        );
        let stored = stored(&write, "1");
        assert_eq!(
            self.after(0, Event::Wrote(write, stored.clone())),
            Action::Pause(RETRY_PERIOD)
        );
        stored
    }

    fn leads(&self) -> Option<u64> {
        self.state.term().map(|term| term.epoch)
    }
}

fn write(action: Action) -> Write {
    match action {
        Action::Write(write) => write,
        other => panic!("{other:?} is no write"),
    }
}

fn stored(write: &Write, version: &str) -> LeaseRecord {
    LeaseRecord {
        version: Some(version.to_owned()),
        ..write.record.clone()
    }
}

fn of_other(epoch: u64, renewed: i64, version: &str) -> LeaseRecord {
    LeaseRecord {
        holder: Some("other".to_owned()),
        epoch,
        duration: LEASE_DURATION,
        acquired: None,
        renewed: Timestamp::from_second(renewed).ok(),
        version: Some(version.to_owned()),
    }
}

#[test]
fn a_lease_that_nobody_holds_is_taken_with_an_epoch_above_all_that_stand_anywhere() {
    let nobody = |epoch| LeaseRecord {
        epoch,
        version: Some("9".to_owned()),
        ..LeaseRecord::default()
    };
    for (found, floor, epoch) in [
        (None, 0, 1),
        (None, 7, 8),
        (Some(nobody(4)), 0, 5),
        (Some(nobody(4)), 7, 8),
    ] {
        let mut play = Play::new();
        play.after(0, Event::Wake);
        assert_eq!(play.after(0, Event::Read(found.clone())), Action::Survey);
        let write = write(play.after(0, Event::Surveyed(floor)));
        assert_eq!(write.record.epoch, epoch, "{found:?} {floor}");
        assert_eq!(write.record.version, found.and_then(|found| found.version));
        assert_eq!(play.leads(), None, "nothing is led before the answer");
    }
}

#[test]
fn another_ones_lease_is_left_alone_until_it_has_not_changed_for_its_whole_time() {
    let mut play = Play::new();
    play.after(0, Event::Wake);
    let pause = Action::Pause(RETRY_PERIOD);
    assert_eq!(play.after(0, Event::Read(Some(of_other(3, 100, "1")))), pause);
    assert_eq!(play.after(14, Event::Read(Some(of_other(3, 100, "1")))), pause);
    // It is renewed: the time begins anew. That its clock is far behind ours says nothing.
    assert_eq!(play.after(1, Event::Read(Some(of_other(3, 101, "2")))), pause);
    // Somebody writes an annotation: the version changes, and the holder has said nothing.
    assert_eq!(play.after(14, Event::Read(Some(of_other(3, 101, "3")))), pause);
    assert_eq!(
        play.after(1, Event::Read(Some(of_other(3, 101, "3")))),
        Action::Survey
    );
    assert_eq!(write(play.after(0, Event::Surveyed(0))).record.epoch, 4);
}

#[test]
fn a_longer_time_that_its_holder_asked_for_is_kept() {
    let mut play = Play::new();
    let long = LeaseRecord {
        duration: Duration::from_secs(60),
        ..of_other(3, 100, "1")
    };
    play.after(0, Event::Read(Some(long.clone())));
    assert_eq!(
        play.after(59, Event::Read(Some(long.clone()))),
        Action::Pause(RETRY_PERIOD)
    );
    assert_eq!(play.after(1, Event::Read(Some(long))), Action::Survey);
}

#[test]
fn a_term_is_counted_from_before_the_write_was_sent() {
    let mut play = Play::new();
    play.lead();
    let renewal = write(play.after(2, Event::Wake));
    let sent = play.begin + play.now;
    let record = stored(&renewal, "2");
    play.after(4, Event::Wrote(renewal, record));
    let term = play.state.term().unwrap();
    assert_eq!(
        (term.valid_until, term.ends),
        (sent + RENEW_DEADLINE, sent + LEASE_DURATION)
    );
    assert_eq!(term.epoch, 1, "a renewal keeps the epoch");
}

#[test]
fn a_lost_reply_to_a_renewal_is_read_again_before_anything_is_assumed() {
    for done in [true, false] {
        let mut play = Play::new();
        let before = play.lead();
        let renewal = write(play.after(2, Event::Wake));
        let sent = play.begin + play.now;
        assert_eq!(play.after(5, Event::Unclear(renewal.clone())), Action::Read);
        let found = if done { stored(&renewal, "2") } else { before };
        assert_eq!(
            play.after(0, Event::Read(Some(found))),
            Action::Pause(RETRY_PERIOD)
        );
        let until = play.state.term().unwrap().valid_until;
        let began = if done { sent } else { play.begin };
        assert_eq!(until, began + RENEW_DEADLINE, "done: {done}");
        let again = write(play.after(2, Event::Wake));
        assert_eq!(again.purpose, Purpose::Renew);
        assert_eq!(
            again.record.version.as_deref(),
            Some(if done { "2" } else { "1" })
        );
    }
}

#[test]
fn a_leader_that_cannot_renew_leads_no_more_and_takes_the_lease_again_with_a_higher_epoch_only() {
    let mut play = Play::new();
    let mine = play.lead();
    let renewal = write(play.after(2, Event::Wake));
    assert_eq!(play.after(5, Event::Unclear(renewal.clone())), Action::Read);
    assert_eq!(play.after(2, Event::NotRead), Action::Pause(RETRY_PERIOD));
    assert_eq!(play.leads(), Some(1));
    assert_eq!(play.after(1, Event::Wake), Action::Read);
    assert_eq!(play.leads(), None, "ten seconds are over");
    // Even the late news that the renewal was done brings the old leadership back no more.
    play.after(0, Event::Read(Some(stored(&renewal, "2"))));
    assert_eq!(play.leads(), None);
    play.after(2, Event::Wake);
    assert_eq!(
        play.after(
            0,
            Event::Read(Some(LeaseRecord {
                version: Some("2".to_owned()),
                ..mine
            }))
        ),
        Action::Survey
    );
    let write = write(play.after(0, Event::Surveyed(1)));
    assert_eq!((write.purpose, write.record.epoch), (Purpose::Take, 2));
}

#[test]
fn a_leader_stops_at_once_when_the_lease_names_another_leadership_or_is_gone() {
    let mine_but_later = LeaseRecord {
        holder: Some("me".to_owned()),
        ..of_other(2, 100, "5")
    };
    for found in [Some(of_other(2, 100, "5")), Some(mine_but_later), None] {
        let mut play = Play::new();
        play.lead();
        write(play.after(2, Event::Wake));
        assert_eq!(
            play.after(0, Event::Refused(Purpose::Renew)),
            Action::Pause(RETRY_PERIOD)
        );
        assert_eq!(
            play.after(2, Event::Wake),
            Action::Read,
            "a conflict is looked into first"
        );
        play.after(0, Event::Read(found.clone()));
        assert_eq!(play.leads(), None, "{found:?}");
    }
}

#[test]
fn an_old_answer_takes_no_leadership_away() {
    let mut play = Play::new();
    play.lead();
    let renewal = write(play.after(2, Event::Wake));
    play.after(0, Event::Unclear(renewal));
    let old = LeaseRecord {
        holder: None,
        ..of_other(0, 100, "0")
    };
    assert_eq!(play.after(0, Event::Read(Some(old))), Action::Pause(RETRY_PERIOD));
    assert_eq!(play.leads(), Some(1));
    assert_eq!(play.after(2, Event::Wake), Action::Read);
}

#[test]
fn each_renewal_differs_from_the_one_before_though_the_clock_stands_still_or_is_set_back() {
    for back in [0, 3600] {
        let mut play = Play::new();
        let first = play.lead();
        play.wall = Timestamp::from_second(1_800_000_000 - back).unwrap();
        let renewal = write(play.after(2, Event::Wake));
        assert!(renewal.record.renewed > first.renewed, "{back}");
    }
}

#[test]
fn a_lost_renewal_that_arrives_late_is_not_taken_for_the_one_after_it() {
    let mut play = Play::new();
    let before = play.lead();
    play.wall = Timestamp::from_second(1_700_000_000).unwrap();
    let lost = write(play.after(2, Event::Wake));
    play.after(0, Event::Unclear(lost.clone()));
    play.after(0, Event::Read(Some(before)));
    let second = write(play.after(2, Event::Wake));
    assert!(!second.record.says_the_same_as(&lost.record));
    play.after(0, Event::Unclear(second));
    play.after(0, Event::Read(Some(stored(&lost, "2"))));
    assert_eq!(
        play.state.term().unwrap().valid_until,
        play.begin + RENEW_DEADLINE
    );
}

#[test]
fn at_the_end_a_leader_gives_the_lease_up_and_a_follower_writes_nothing() {
    let mut play = Play::new();
    play.lead();
    let release = write(play.after(1, Event::Release));
    assert_eq!(play.leads(), None, "nothing is done once others may hear of it");
    assert_eq!(
        (release.purpose, &release.record.holder, release.record.epoch),
        (Purpose::Release, &None, 1)
    );
    let record = stored(&release, "2");
    assert_eq!(play.after(0, Event::Wrote(release, record)), Action::Done);
    assert_eq!(play.leads(), None);

    let mut play = Play::new();
    play.after(0, Event::Read(Some(of_other(3, 100, "1"))));
    assert_eq!(play.after(0, Event::Release), Action::Done);
}
