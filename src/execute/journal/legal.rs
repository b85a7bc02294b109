//! Which phase may follow which. Whatever the steps say, the journal goes no other way.

use super::{At, Step};
use crate::model::kinds::volume_migration::Phase;

/// Whether a migration may go from one phase to another. Nothing leaves a final phase.
pub fn allows(from: Phase, to: Phase) -> bool {
    use Phase::{
        Analyze, Cancelled, Completed, NeedsPerson, Pending, Preserved, RolledBack, RollingBack, ScaleDown,
        ScaleUp, Superseded, WaitSync,
    };
    match (from, to) {
        (from, to) if from == to => !from.is_final(),
        (Pending, Analyze | Cancelled | Superseded | NeedsPerson) => true,
        (Analyze, ScaleUp | Completed | RolledBack | Cancelled | Superseded | NeedsPerson) => true,
        (ScaleUp, Analyze | WaitSync | RollingBack | Superseded | NeedsPerson) => true,
        (WaitSync, ScaleDown | RollingBack | Preserved | Superseded | NeedsPerson) => true,
        (ScaleDown, Analyze | WaitSync | RollingBack | Completed | RolledBack | Cancelled) => true,
        (ScaleDown, Superseded | NeedsPerson) => true,
        (RollingBack, Analyze | RolledBack | Cancelled | Superseded | NeedsPerson) => true,
        _ => false,
    }
}

impl At<'_> {
    /// What is done instead of going to a phase that must not follow: that would be a fault of this program's, which a person has to look
    /// at. All copies are kept.
    pub(super) fn barred(&mut self, to: Phase, note: &str) -> Option<Step> {
        let from = self.status.phase;
        let why = format!(
            "the journal was about to go from {} to {}, which must not be: please report that with this journal, and look at the volume; \
             it was about to say: {note}",
            from.as_str(),
            to.as_str()
        );
        (!allows(from, to)).then(|| self.stopped(&why))
    }

    /// Does nothing of what was about to be done: a person has to look, and cordons are given back before.
    pub(super) fn stopped(&mut self, why: &str) -> Step {
        match self.status.phase.is_final() {
            true => Step::Wait(self.status.clone()),
            false => self.finish_released(Phase::NeedsPerson, why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::execute::fake::Fake;
    use crate::execute::journal::{Act, Context, Late, Reading};
    use crate::model::kinds::volume_migration::{VolumeMigrationStatus, Window};

    /// What comes of going from one phase straight to `Completed`.
    fn straight_to_the_end(from: Phase, window: Option<Window>) -> Step {
        let fake = Fake::with_copies(1);
        let spec = fake.state().stored.spec.clone();
        let context = Context {
            approved: true,
            cancel: None,
            hold: None,
            others_cordon: false,
            label: "couchestor-m".to_owned(),
            epoch: 1,
            late: Late::default(),
            now: fake.now(),
        };
        let mut at = At {
            spec: &spec,
            status: VolumeMigrationStatus {
                phase: from,
                window,
                ..VolumeMigrationStatus::default()
            },
            reading: &Reading::default(),
            context: &context,
            before: None,
        };
        at.finish(Phase::Completed, "all copies are there")
    }

    #[test]
    fn a_way_that_must_not_be_gone_ends_with_a_person_once_cordons_are_given_back() {
        for from in [Phase::Pending, Phase::ScaleUp, Phase::WaitSync] {
            let Step::Record(status) = straight_to_the_end(from, None) else {
                unreachable!("it is told")
            };
            assert_eq!(status.phase, Phase::NeedsPerson, "{from:?}");
            assert!(
                status.finished_at.is_some() && status.message.contains("Completed"),
                "{}",
                status.message
            );
            let window = Window {
                node: Some("c1".to_owned()),
                ..Window::default()
            };
            let step = straight_to_the_end(from, Some(window));
            assert!(matches!(step, Step::Act(_, Act::Release(..))), "{step:?}");
        }
        let step = straight_to_the_end(Phase::RolledBack, None);
        assert!(
            matches!(&step, Step::Wait(status) if status.phase == Phase::RolledBack),
            "{step:?}"
        );
    }

    #[test]
    fn from_each_phase_in_which_something_goes_on_a_person_can_be_asked_for_and_from_no_final_one_anything() {
        use Phase::{Analyze, Cancelled, Completed, NeedsPerson, Pending, Preserved, RolledBack};
        use Phase::{RollingBack, ScaleDown, ScaleUp, Superseded, WaitSync};
        let going = [Pending, Analyze, ScaleUp, WaitSync, ScaleDown, RollingBack];
        let ended = [
            Completed,
            Preserved,
            RolledBack,
            Superseded,
            Cancelled,
            NeedsPerson,
        ];
        for from in going {
            assert!(allows(from, NeedsPerson), "{from:?}");
        }
        for from in ended {
            for to in going.into_iter().chain(ended) {
                assert!(!allows(from, to), "{from:?} leads to {to:?}");
            }
        }
    }

    #[test]
    fn no_copy_goes_without_having_been_waited_for() {
        use Phase::{Analyze, Completed, Pending, ScaleDown, ScaleUp, WaitSync};
        for (from, to) in [
            (Pending, ScaleDown),
            (Analyze, ScaleDown),
            (ScaleUp, ScaleDown),
            (ScaleUp, Completed),
            (WaitSync, Completed),
        ] {
            assert!(!allows(from, to), "{from:?} leads to {to:?}");
        }
    }
}
