//! Claims about what is looked at before promotions are decided, and about what is decided where something could not be.

use super::*;
use crate::model::kinds::policy_source::{ProposalState, ProposalStatus};

#[test]
fn a_promotion_whose_claim_is_gone_for_its_own_move_is_under_way_and_not_superseded() {
    let mut scene = scene();
    scene.moved(MovePhase::Exchange, &["a", "c"], None, "c1");
    scene.report.candidates[1].claims.retain(|one| *one != claim("a"));
    scene.report.candidates[1]
        .elsewhere
        .retain(|one| *one != claim("a"));
    let words = "WorkloadMove move-0 is in phase Exchange".to_owned();
    assert_eq!(scene.decided().standings[0].stands, Stands::Moves(words));
    // Another phase's move says nothing of its claims.
    scene.moves[0].spec.rollout_phase = "third".into();
    assert!(matches!(
        &scene.decided().standings[0].stands,
        Stands::Superseded(_)
    ));
}

#[test]
fn what_was_moved_before_the_phase_was_written_differently_is_not_taken_back_with_the_rest() {
    let mut scene = scene();
    (scene.promotion, scene.gone) = (None, true);
    scene.moved(MovePhase::Completed, &["b"], None, "c0");
    scene.moves[0].spec.fingerprint = "older".into();
    scene.moved(MovePhase::Completed, &["a", "c"], None, "c1");
    let back = |scene: &Scene| scene.decided().start.and_then(|start| start.back);
    assert_eq!(
        back(&scene).as_deref(),
        Some("move-1"),
        "an older move keeps none from going back"
    );
    scene.moves.swap(0, 1);
    scene.moves[0].status.as_mut().unwrap().let_go_at = Some("2027-01-01T00:00:00Z".into());
    assert_eq!(
        back(&scene),
        None,
        "nor goes it back in the place of one that cannot"
    );
}

#[test]
fn a_namespace_that_was_not_looked_at_keeps_no_other_waiting() {
    let mut scene = scene();
    let other = ClaimRef {
        namespace: "aa".into(),
        name: "x".into(),
    };
    scene.promotion.as_mut().unwrap().claims.insert(other.clone());
    let candidate = &mut scene.report.candidates[1];
    candidate.claims.insert(other.clone());
    candidate.elsewhere.insert(other);
    assert_eq!(started(&scene.decided()), ["a", "c"]);
    // And where nobody could look, nobody says that nothing is to be proposed.
    scene.promotion = None;
    let proposing = scene.seen(|seen| proposals(seen, &decide(seen)));
    assert_eq!(proposing.unknown, ["r".to_owned()].into());
    assert_eq!((proposing.wanted, proposing.not), (Vec::new(), Vec::new()));
}

#[test]
fn nobody_looks_at_namespaces_while_a_move_runs_or_after_a_no() {
    let mut scene = scene();
    let looks = |scene: &Scene| scene.seen(asked).into_iter().collect::<Vec<String>>();
    assert_eq!(looks(&scene), ["db"], "it is promoted");
    scene.moved(MovePhase::Copy, &["a", "c"], None, "c1");
    assert!(looks(&scene).is_empty(), "a move runs");
    scene.moves.clear();
    scene.promotion = None;
    assert_eq!(looks(&scene), ["db"], "it may be proposed");
    let no: ProposalStatus = serde_json::from_value(json!({
        "branch": "moves/rollout/r", "policy": "rollout/r", "state": "Declined", "key": "k", "commit": "c", "base": "b", "title": "t",
        "since": at().to_string(),
        "moves": [{"namespace": "db", "claim": "a", "volume": "pv-a", "from": "slow", "to": "fast",
            "decision": {"policy": "rollout/r", "from": "slow", "signal": "phase second f", "value": 0.0}}],
    }))
    .unwrap();
    assert_eq!(no.state, ProposalState::Declined);
    scene.in_flight.proposals = vec![no];
    assert!(looks(&scene).is_empty(), "a person has said no");
    scene.report.candidates[1].fingerprint = "g".into();
    assert_eq!(looks(&scene), ["db"], "to another question");
}
