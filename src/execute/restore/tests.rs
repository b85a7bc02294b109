//! What never happens to data, whatever a restore sees.

use super::*;
use crate::model::drills::Leftovers;
use crate::model::restores::run::{ClaimSeen, FluxRun, VolumeNow, WorkloadRun};
use serde_json::json;

fn volume(policy: &str, namespace: &str, uid: &str) -> VolumeNow {
    VolumeNow {
        policy: policy.into(),
        claim: (namespace.into(), "data".into()),
        claim_uid: uid.into(),
        ..VolumeNow::default()
    }
}

fn claim(volume: &str) -> ClaimSeen {
    ClaimSeen {
        volume: volume.into(),
        phase: "Bound".into(),
        going: false,
        manifest: json!({"metadata": {"name": "data"}}),
    }
}

/// A restore whose data is there, with everything down.
fn exchange_begins() -> (RestoreRun, Seen) {
    let run = RestoreRun {
        id: "0f3a".into(),
        phase: Phase::Exchange,
        way: Way::Volumes,
        backup: "b".into(),
        namespace: "db".into(),
        scratch: "restore-db-0f3a".into(),
        claims: vec![ClaimRun {
            name: "data".into(),
            bytes: 42,
            there: true,
            old_volume: Some("old".into()),
            old_policy: Some("Delete".into()),
            old_claim: Some(json!({"metadata": {"name": "data"}})),
            new_volume: Some("new".into()),
            new_policy: Some("Delete".into()),
            new_claim: Some(json!({"metadata": {"name": "data"}})),
        }],
        workloads: vec![WorkloadRun {
            kind: "StatefulSet".into(),
            name: "pg".into(),
            replicas: Some(3),
        }],
        flux: vec![FluxRun {
            kind: "Kustomization".into(),
            namespace: "flux-system".into(),
            name: "db".into(),
            was_suspended: Some(false),
        }],
        ..RestoreRun::default()
    };
    let seen = Seen {
        scratch: Some(ScratchSeen {
            ours: true,
            going: false,
        }),
        scratch_claims: [("data".to_owned(), claim("new"))].into(),
        claims: [("data".to_owned(), claim("old"))].into(),
        volumes: [
            ("old".to_owned(), volume("Retain", "db", "u1")),
            ("new".to_owned(), volume("Retain", "restore-db-0f3a", "u2")),
        ]
        .into(),
        workloads: vec![Some(0)],
        flux: vec![Some(true)],
        leftovers: Leftovers::Something,
        ..Seen::default()
    };
    (run, seen)
}

fn act(act: Act) -> Step {
    Step::Act(act)
}

/// What is seen, and what comes of it.
type Row = (&'static str, fn(&mut RestoreRun, &mut Seen), fn() -> Step);

#[test]
fn a_claim_is_deleted_only_when_both_volumes_stay_without_it_and_nobody_uses_it() {
    let rows: [Row; 12] = [
        (
            "all is well",
            |_, _| {},
            || act(Act::DeleteClaim(0, "old".into())),
        ),
        (
            "the old volume would go",
            |_, seen| seen.volumes.get_mut("old").unwrap().policy = "Delete".into(),
            || act(Act::Retain("old".into())),
        ),
        (
            "the new volume would go",
            |_, seen| seen.volumes.get_mut("new").unwrap().policy = "Delete".into(),
            || act(Act::Retain("new".into())),
        ),
        (
            "the new volume is gone",
            |_, seen| drop(seen.volumes.remove("new")),
            || Step::Stopped("volume new of claim data is gone or being deleted".into()),
        ),
        (
            "the old volume goes with its claim",
            |_, seen| seen.volumes.get_mut("old").unwrap().going = true,
            || Step::Stopped("volume old of claim data is gone or being deleted".into()),
        ),
        (
            "somebody uses the new volume",
            |_, seen| drop(seen.volumes.insert("new".into(), volume("Retain", "web", "u3"))),
            || Step::Stopped("volume new is for claim web/data now; somebody uses it".into()),
        ),
        (
            "the backup is gone",
            |_, seen| seen.backup_lost = Some("backup b is gone".into()),
            || Step::Stopped("backup b is gone".into()),
        ),
        (
            "a pod uses it",
            |_, seen| seen.users = ["pg-0".to_owned()].into(),
            || Step::Wait("waiting for pods that use the claims to end: pg-0".into()),
        ),
        (
            "somebody scaled up",
            |_, seen| seen.workloads = vec![Some(1)],
            || act(Act::ScaleDown(0)),
        ),
        (
            "somebody resumed Flux",
            |_, seen| seen.flux = vec![Some(false)],
            || act(Act::Suspend(0)),
        ),
        (
            "it is going already",
            |_, seen| seen.claims.get_mut("data").unwrap().going = true,
            || Step::Wait("waiting for claim data to be gone".into()),
        ),
        (
            "taken back, the backup may be gone",
            |run, seen| {
                run.aborted = true;
                seen.claims.insert("data".into(), claim("new"));
                seen.backup_lost = Some("backup b is gone".into());
            },
            || act(Act::DeleteClaim(0, "new".into())),
        ),
    ];
    for (what, change, expected) in rows {
        let (mut run, mut seen) = exchange_begins();
        change(&mut run, &mut seen);
        assert_eq!(next(&run, &seen), expected(), "{what}");
    }
}

#[test]
fn a_claim_of_a_volume_that_nobody_knows_is_left_alone() {
    for volume in ["third", ""] {
        let (run, mut seen) = exchange_begins();
        seen.claims.insert("data".into(), claim(volume));
        let Step::Stopped(why) = next(&run, &seen) else {
            panic!("{volume:?} is touched");
        };
        assert!(why.contains("does not know"), "{why}");
    }
}

#[test]
fn a_claim_is_made_only_when_its_volume_is_for_it_alone() {
    let (run, mut seen) = exchange_begins();
    seen.claims.clear();
    assert_eq!(next(&run, &seen), act(Act::DeleteScratchClaim(0)));
    seen.scratch_claims.get_mut("data").unwrap().going = true;
    assert!(matches!(next(&run, &seen), Step::Wait(_)));
    seen.scratch_claims.clear();
    assert_eq!(next(&run, &seen), act(Act::Reserve(0, "new".into())));
    seen.volumes.insert("new".into(), volume("Retain", "db", "u2"));
    assert_eq!(
        next(&run, &seen),
        act(Act::Reserve(0, "new".into())),
        "of an older claim"
    );
    for (spoil, words) in [
        (volume("Retain", "web", "u3"), "for claim web/data now"),
        (
            VolumeNow {
                going: true,
                ..volume("Retain", "db", "")
            },
            "gone or being deleted",
        ),
    ] {
        seen.volumes.insert("new".into(), spoil);
        assert!(
            matches!(next(&run, &seen), Step::Stopped(why) if why.contains(words)),
            "{words}"
        );
    }
    seen.volumes.insert("new".into(), volume("Retain", "db", ""));
    assert_eq!(next(&run, &seen), act(Act::MakeClaim(0, Some("new".into()))));
    seen.claims.insert("data".into(), claim("new"));
    assert_eq!(next(&run, &seen), at(&run, Phase::ScaleUp));
}

#[test]
fn only_what_was_up_is_scaled_up_and_only_what_ran_is_resumed() {
    for (replicas, was_suspended, expected) in [
        (3, false, vec![act(Act::ScaleUp(0)), act(Act::Resume(0))]),
        (0, true, vec![]),
    ] {
        let (mut run, mut seen) = exchange_begins();
        run.workloads[0].replicas = Some(replicas);
        run.flux[0].was_suspended = Some(was_suspended);
        run.phase = Phase::ScaleUp;
        let mut acts = Vec::new();
        for _ in 0..6 {
            match next(&run, &seen) {
                Step::Record(after) if after.phase == Phase::CleanUp => break,
                Step::Record(after) => run = *after,
                step => {
                    if step == act(Act::ScaleUp(0)) {
                        seen.workloads = vec![Some(replicas)];
                    } else {
                        seen.flux = vec![Some(false)];
                    }
                    acts.push(step);
                }
            }
        }
        assert_eq!(acts, expected);
    }
}

#[test]
fn what_was_found_is_written_down_before_it_is_changed() {
    let (mut run, mut seen) = exchange_begins();
    (run.phase, run.flux[0].was_suspended, run.workloads[0].replicas) = (Phase::Suspend, None, None);
    (seen.flux, seen.workloads) = (vec![Some(false)], vec![Some(3)]);
    let Step::Record(after) = next(&run, &seen) else {
        panic!("Flux is changed first")
    };
    assert_eq!(after.flux[0].was_suspended, Some(false));
    run = *after;
    assert_eq!(next(&run, &seen), act(Act::Suspend(0)));
    seen.flux = vec![Some(true)];
    run.phase = Phase::ScaleDown;
    let Step::Record(after) = next(&run, &seen) else {
        panic!("workloads are changed first")
    };
    assert_eq!(after.workloads[0].replicas, Some(3));
    assert_eq!(next(&after, &seen), act(Act::ScaleDown(0)));
}

#[test]
fn a_namespace_that_somebody_else_made_is_never_touched() {
    let (mut run, mut seen) = exchange_begins();
    run.phase = Phase::Prepare;
    seen.scratch = Some(ScratchSeen::default());
    seen.leftovers = Leftovers::Nothing;
    let Step::Record(after) = next(&run, &seen) else {
        panic!("it goes on")
    };
    assert!(after.failure.as_ref().unwrap().contains("did not make"));
    run = *after;
    run.claims.clear();
    (run.workloads[0].replicas, run.flux[0].was_suspended) = (None, None);
    assert_eq!(next(&run, &seen), Step::End);
}

#[test]
fn what_is_not_whole_never_gets_as_far_as_the_claims() {
    let whole = VolumeSeen {
        phase: "Completed".into(),
        done: 42,
        total: 42,
        message: String::new(),
    };
    let other = |change: fn(&mut VolumeSeen)| {
        let mut volume = whole.clone();
        change(&mut volume);
        Some(volume)
    };
    for (volume, fails) in [
        (Some(whole.clone()), false),
        (None, true),
        (other(|one| one.phase = "Failed".into()), true),
        (other(|one| one.done = 41), true),
        (other(|one| (one.done, one.total) = (41, 41)), true),
    ] {
        let (mut run, mut seen) = exchange_begins();
        run.phase = Phase::Check;
        seen.restored = volume.map(|one| ("data".to_owned(), one)).into_iter().collect();
        let Step::Record(after) = next(&run, &seen) else {
            panic!("nothing is written down")
        };
        assert_eq!(after.failure.is_some(), fails, "{after:#?}");
        assert_eq!(after.phase, if fails { Phase::CleanUp } else { Phase::Keep });
    }
}

#[test]
fn taking_back_leads_back_from_everywhere() {
    for (phase, expected) in [
        (Phase::Prepare, Phase::CleanUp),
        (Phase::Restore, Phase::CleanUp),
        (Phase::Keep, Phase::CleanUp),
        (Phase::Suspend, Phase::ScaleUp),
        (Phase::Drain, Phase::ScaleUp),
        (Phase::Exchange, Phase::Exchange),
        (Phase::ScaleUp, Phase::Suspend),
        (Phase::CleanUp, Phase::Suspend),
    ] {
        let (mut run, _) = exchange_begins();
        run.phase = phase;
        let back = abort(&run);
        assert_eq!((back.phase, back.aborted), (expected, true), "{phase:?}");
        assert_eq!(abort(&back), back, "{phase:?}: twice is once");
    }
}

/// Workloads may have written to the new volume by then.
#[test]
fn what_was_written_since_is_set_aside_and_not_deleted() {
    for phase in [Phase::Exchange, Phase::ScaleUp, Phase::Resume, Phase::CleanUp] {
        let (mut run, mut seen) = exchange_begins();
        run.phase = phase;
        let mut back = abort(&run);
        let written = phase != Phase::Exchange;
        back.phase = Phase::CleanUp;
        seen.volumes.get_mut("old").unwrap().policy = "Delete".into();
        let released = next(&back, &seen) == act(Act::Release("new".into(), "Delete".into()));
        assert_eq!(released, !written, "{phase:?}");
    }
}

#[test]
fn nothing_ends_while_something_is_down_nor_touches_what_is_somebody_s() {
    let (mut run, mut seen) = exchange_begins();
    (run.phase, run.failure, run.aborted) = (Phase::CleanUp, Some("it was taken back".into()), true);
    (seen.scratch, seen.leftovers) = (None, Leftovers::Nothing);
    seen.volumes.insert("old".into(), volume("Delete", "db", "u1"));
    seen.volumes.insert("new".into(), volume("Retain", "web", "u3"));
    assert_eq!(
        next(&run, &seen),
        act(Act::ScaleUp(0)),
        "and no volume of another claim is released"
    );
    seen.workloads = vec![Some(3)];
    assert_eq!(next(&run, &seen), act(Act::Resume(0)));
    seen.flux = vec![Some(false)];
    assert_eq!(next(&run, &seen), Step::End);
    // A claim that is not bound yet is not known to have its volume.
    seen.volumes.insert("old".into(), volume("Retain", "db", "u1"));
    assert_eq!(
        next(&run, &seen),
        act(Act::Release("old".into(), "Delete".into()))
    );
    seen.claims.get_mut("data").unwrap().phase = "Pending".into();
    assert_eq!(next(&run, &seen), Step::End);
}

/// A restore of everything, with Flux suspended.
fn everything(phase: Phase) -> (RestoreRun, Seen) {
    let (mut run, mut seen) = exchange_begins();
    (run.way, run.phase) = (Way::Everything, phase);
    run.workloads.clear();
    seen.workloads.clear();
    seen.claims.clear();
    (run, seen)
}

#[test]
fn velero_is_not_let_into_a_namespace_that_is_empty_no_more() {
    let (run, mut seen) = everything(Phase::Restore);
    assert_eq!(next(&run, &seen), act(Act::Restore));
    for filled in [true, false] {
        if filled {
            seen.claims.insert("data".into(), claim("third"));
        } else {
            seen.claims.clear();
            seen.users.insert("pg-0".into());
        }
        let Step::Record(after) = next(&run, &seen) else {
            panic!("Velero writes over what is there")
        };
        assert!(
            after.failure.as_ref().unwrap().contains("meanwhile"),
            "{after:#?}"
        );
        assert!(matches!(next(&after, &seen), Step::Stopped(_)));
    }
}

#[test]
fn flux_is_not_resumed_under_velero_s_running_restore() {
    let (run, mut seen) = everything(Phase::Restore);
    let restore = |phase: &str| crate::model::drills::RestoreSeen {
        phase: phase.into(),
        ..Default::default()
    };
    seen.restore = Some(restore("InProgress"));
    let back = abort(&run);
    assert!(matches!(next(&back, &seen), Step::Wait(why) if why.contains("cannot be broken off")));
    seen.restore = Some(restore("PartiallyFailed"));
    assert_eq!(next(&back, &seen), act(Act::Resume(0)));
}
