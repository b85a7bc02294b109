//! Claims about assignments that are taken back after their moves failed.

use super::world::*;
use crate::decide::rollback::failed;
use crate::model::ids::CommitId;
use crate::model::kinds::policy_source::ProposalState;
use crate::model::kinds::volume_migration::Phase;

type Case = (&'static str, fn(&mut World), bool);

const CASES: &[Case] = &[
    ("rolled back", |_| {}, true),
    (
        "stopped, and whole on one tier",
        |w| w.in_flight.migrations[0].phase = Phase::NeedsPerson,
        true,
    ),
    (
        "still under way",
        |w| w.in_flight.migrations[0].phase = Phase::WaitSync,
        false,
    ),
    (
        "superseded: what was merged may be right again",
        |w| w.in_flight.migrations[0].phase = Phase::Superseded,
        false,
    ),
    (
        "somebody tries again",
        |w| w.in_flight.migrations[0].approved_in = CommitId("older".into()),
        false,
    ),
    (
        "nobody knows where it is",
        |w| w.engine = Err("down".into()),
        false,
    ),
    (
        "it is where base says by now",
        |w| w.desired.assignments.clear(),
        false,
    ),
    ("another volume", |w| w.bound().name = "pvc-z".into(), false),
    (
        "a no to the very same",
        |w| refuse(w, ProposalState::Declined, "failed m"),
        false,
    ),
    (
        "taken out before the merge",
        |w| refuse(w, ProposalState::Merged, "failed m"),
        false,
    ),
    (
        "a no to an earlier one",
        |w| refuse(w, ProposalState::Declined, "failed l"),
        true,
    ),
    ("it is open", |w| refuse(w, ProposalState::Open, "failed m"), true),
];

fn refuse(world: &mut World, state: ProposalState, signal: &str) {
    world.declined(0.0);
    let record = &mut world.in_flight.proposals[0];
    record.state = state;
    (record.moves[0].to, record.moves[0].decision.signal) = ("cold".into(), signal.into());
}

#[test]
fn a_failed_move_is_taken_back_once_and_not_after_a_no() {
    for (what, change, wanted) in CASES {
        let mut world = world();
        world.approve("hot");
        world.assigned("hot", None);
        world.migrated(Phase::RolledBack);
        change(&mut world);
        let returns = failed(&world.desired, &world.observation(), &world.in_flight);
        let back: Vec<_> = returns.into_iter().collect();
        assert_eq!(back.len(), usize::from(*wanted), "{what}: {back:?}");
        if let Some((identity, moves)) = back.first() {
            let one = &moves[0].back;
            assert_eq!(identity.as_str(), "rollback/p", "{what}");
            assert_eq!(
                (one.from.as_str(), one.to.as_str(), one.hotter),
                ("hot", "cold", false)
            );
        }
    }
}
