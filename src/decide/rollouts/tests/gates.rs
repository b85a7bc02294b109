//! Claims about gates: each fails closed, and proves something of the very claims of its phase.

use super::*;

/// What is changed in the scene, which gate fails by it, and a part of what is said.
type Row = (&'static str, fn(&mut Scene), &'static str, &'static str);

#[test]
fn a_gate_that_does_not_hold_or_cannot_be_known_keeps_its_phase_open() {
    let rows: [Row; 28] = [
        (
            "a claim is not in the backup",
            |s| drop(s.report().covered.as_mut().unwrap().volumes.pop()),
            "coverage",
            "does not hold test/a",
        ),
        (
            "its upload failed",
            |s| {
                let gap = Verdict::Uncovered {
                    gap: Gap::UploadFailed,
                    message: "x".into(),
                };
                s.report().covered.as_mut().unwrap().volumes[2].1 = gap;
            },
            "coverage",
            "does not hold test/a",
        ),
        (
            "it was made anew since",
            |s| s.claims[0].created = Some(at(60)),
            "coverage",
            "does not hold test/a",
        ),
        (
            "it was made anew since",
            |s| s.claims[0].created = Some(at(60)),
            "rpo",
            "does not hold test/a",
        ),
        (
            "nobody knows when it was made",
            |s| s.claims[0].created = None,
            "rpo",
            "does not hold test/a",
        ),
        (
            "the backup is of tomorrow",
            |s| s.report().covered.as_mut().unwrap().backup.started = Some(at(-DAY)),
            "rpo",
            "no backup holds every volume",
        ),
        (
            "the drill is of tomorrow",
            |s| s.report().drills[0] = drilled("test", true, -DAY, 9),
            "drill",
            "proves something for",
        ),
        (
            "no backup is whole",
            |s| s.report().covered = None,
            "coverage",
            "no backup holds every volume",
        ),
        (
            "no backup is whole",
            |s| s.report().covered = None,
            "rpo",
            "no backup holds every volume",
        ),
        (
            "it is old",
            |s| s.report().covered.as_mut().unwrap().backup.started = Some(at(2 * DAY)),
            "rpo",
            "older than 24h",
        ),
        (
            "it never started",
            |s| s.report().covered.as_mut().unwrap().backup.started = None,
            "rpo",
            "no backup holds every volume",
        ),
        (
            "no drill",
            |s| s.report().drills.clear(),
            "drill",
            "never restored",
        ),
        (
            "a drill of another namespace",
            |s| drop(s.report().drills.remove(0)),
            "drill",
            "namespace test was never",
        ),
        (
            "the last one failed",
            |s| s.report().drills.insert(0, drilled("test", false, 60, 9)),
            "drill",
            "job checks failed",
        ),
        (
            "it is long ago",
            |s| s.report().drills[0] = drilled("test", true, 8 * DAY, 9),
            "drill",
            "proves something for 168h",
        ),
        (
            "it brought another volume back",
            |s| s.report().drills[0].volumes = vec!["b".into()],
            "drill",
            "did not restore test/a",
        ),
        (
            "it brought another volume back",
            |s| s.report().drills[0].volumes = vec!["b".into()],
            "rto",
            "did not restore test/a",
        ),
        (
            "it was before the claim was moved",
            |s| s.claims[0].created = Some(at(DAY)),
            "drill",
            "did not restore test/a as it is now",
        ),
        (
            "nobody knows of when its backup was",
            |s| s.report().drills[0].backup_started_at = None,
            "drill",
            "did not restore test/a",
        ),
        (
            "the policy exempts all of it",
            |s| exempt(s, 2),
            "coverage",
            "exempts every claim",
        ),
        (
            "the policy exempts all of it",
            |s| exempt(s, 2),
            "drill",
            "exempts every claim",
        ),
        (
            "it is slow",
            |s| s.report().drills[0] = drilled("test", true, 60, 901),
            "rto",
            "15m is promised",
        ),
        (
            "it never said how long it took",
            |s| s.report().drills[0].restore_seconds = None,
            "rto",
            "not known how long",
        ),
        (
            "Velero is not seen",
            |s| s.backups.as_mut().unwrap().unseen = Some(Unseen::Absent),
            "coverage",
            "install Velero",
        ),
        (
            "nothing is known of backups",
            |s| s.backups = None,
            "drill",
            "nothing is known",
        ),
        (
            "the figure is too great",
            |s| drop(s.figures.insert("q".into(), Ok(1.0))),
            "metric alerts",
            "it is 1 and must be below 1",
        ),
        (
            "Prometheus is gone",
            |s| drop(s.figures.insert("q".into(), Err("gone".into()))),
            "metric alerts",
            "gone",
        ),
        (
            "Prometheus was not asked",
            |s| s.figures.clear(),
            "metric alerts",
            "was not asked",
        ),
    ];
    for (what, change, gate, says) in rows {
        let phases = Scene::with(change).phases();
        assert_eq!(states(&phases), [PhaseState::Open, PhaseState::Waiting], "{what}");
        let failing: Vec<&GateStatus> = phases[0].gates.iter().filter(|one| !one.holds).collect();
        let found = failing.iter().find(|one| one.gate.starts_with(gate));
        let found = found.unwrap_or_else(|| panic!("{what}: {failing:#?}"));
        assert!(found.message.contains(says), "{what}: {}", found.message);
        assert!(
            phases[0].waits_for.contains(says),
            "{what}: {}",
            phases[0].waits_for
        );
    }
}

/// The policy exempts one of the claims that the backup found.
fn exempt(scene: &mut Scene, index: usize) {
    let reason = "a cache".to_owned();
    scene.report().covered.as_mut().unwrap().volumes[index].1 = Verdict::Exempt { reason };
}

#[test]
fn a_claim_that_is_exempt_needs_no_proof_beside_one_that_has_it() {
    let gates = json!([{"coverage": {"policy": "daily"}}, {"drill": {"policy": "daily"}}, {"rto": {"policy": "daily"}}]);
    let mut scene = Scene::with(|scene| scene.rollout["phases"][1]["gates"] = gates);
    scene.report().drills[1].volumes = vec!["b".into()];
    let holds = |scene: &Scene| -> Vec<bool> {
        let candidate = &scene.judged(&[], 0).candidates[1];
        assert_eq!(candidate.elsewhere.iter().next().unwrap().name, "a");
        candidate.gates.iter().map(|gate| gate.holds).collect()
    };
    assert_eq!(holds(&scene), [true, false, false]);
    exempt(&mut scene, 0);
    // It is the only one that is elsewhere, and the phase has another that is proved.
    assert_eq!(holds(&scene), [true, true, true]);
    exempt(&mut scene, 1);
    assert_eq!(holds(&scene), [false, false, false]);
}

#[test]
fn no_gate_of_backups_holds_while_their_location_cannot_be_reached() {
    let trouble = || Trouble::LocationUnavailable("location s3: no route to host".into());
    let phases = Scene::with(|scene| scene.report().trouble = Some(trouble())).phases();
    let gates = phases[0]
        .gates
        .iter()
        .filter(|gate| gate.gate.contains("velero/daily"));
    let gates: Vec<(bool, &str)> = gates.map(|gate| (gate.holds, &*gate.message)).collect();
    assert_eq!(gates, [(false, "location s3: no route to host"); 4]);
}
