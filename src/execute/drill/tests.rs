//! A drill from its first step to its last, and everything that can come between them.

use super::*;
use crate::model::drills::PodSeen;
use crate::model::kinds::drill::{DRILL_LABEL, DrillSpec, Sentinel};
use std::collections::BTreeMap;

fn time(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn run(phase: DrillPhase) -> DrillRun {
    DrillRun {
        id: "0f3a".into(),
        phase,
        backup: "daily-backup-20261129020000".into(),
        location: "s3".into(),
        namespace: "database".into(),
        scratch: "drill-database-0f3a".into(),
        started_at: time(0).to_string(),
        ..DrillRun::default()
    }
}

fn rules() -> Rules {
    Rules {
        timeout_seconds: 3600,
        jobs: vec![("drill-sentinel-0".into(), "sentinel data/ok".into())],
        withdrawn: None,
    }
}

/// A small cluster: what the acts make appears, and Velero does its part at once.
#[derive(Default)]
struct Scene {
    seen: DrillSeen,
    acts: Vec<Act>,
    /// Volumes as Velero restores them.
    volume: VolumeSeen,
    job: Option<JobSeen>,
    restore: RestoreSeen,
}

impl Scene {
    fn good() -> Self {
        Self {
            seen: DrillSeen {
                held: Some(BTreeMap::from([("data".to_owned(), 42)])),
                ..DrillSeen::default()
            },
            volume: VolumeSeen {
                phase: "Completed".into(),
                done: 42,
                total: 42,
                message: String::new(),
            },
            job: Some(JobSeen::Succeeded),
            restore: RestoreSeen {
                phase: "Completed".into(),
                items: (7, 7),
                created: time(10).to_string(),
                completed: Some(time(70).to_string()),
                ..RestoreSeen::default()
            },
            ..Self::default()
        }
    }

    fn carry_out(&mut self, act: Act) {
        self.acts.push(act);
        let seen = &mut self.seen;
        match act {
            Act::Prepare => {
                seen.scratch.get_or_insert(ScratchSeen {
                    ours: true,
                    going: false,
                });
                (seen.prepared, seen.leftovers) = (true, Leftovers::Something);
            }
            Act::Restore => {
                seen.restore = Some(self.restore.clone());
                seen.restored.insert("data".into(), self.volume.clone());
            }
            Act::Check => {
                if let Some(job) = &self.job {
                    seen.jobs.insert("drill-sentinel-0".into(), job.clone());
                }
            }
            Act::CleanUp => {
                (seen.scratch, seen.restore, seen.leftovers) = (None, None, Leftovers::Nothing);
            }
        }
    }

    /// To the end, or to what it waits for.
    fn play(&mut self, mut run: DrillRun, rules: &Rules) -> Result<DrillRecord, Box<DrillRun>> {
        for _ in 0..20 {
            match next(&run, rules, &self.seen, time(100)) {
                Step::Record(after) => {
                    assert_ne!(after, run, "what is written down is something new");
                    run = after;
                }
                Step::Act(act) => self.carry_out(act),
                Step::Wait(after) => return Err(Box::new(after)),
                Step::End(record) => return Ok(record),
            }
        }
        panic!("it goes round and round at {run:#?}");
    }
}

#[test]
fn a_drill_prepares_restores_checks_cleans_up_and_leaves_its_evidence() {
    let mut scene = Scene::good();
    let record = scene.play(run(DrillPhase::Pending), &rules()).unwrap();
    assert_eq!(scene.acts, [Act::Prepare, Act::Restore, Act::Check, Act::CleanUp]);
    assert!(record.passed, "{record:#?}");
    assert_eq!(record.restore_seconds, Some(60));
    let names: Vec<&str> = record.checks.iter().map(|check| check.name.as_str()).collect();
    assert_eq!(names, ["objects", "volume data", "sentinel data/ok"]);
    assert_eq!(record.volumes, ["data"]);
    assert_eq!(scene.seen.scratch, None);
}

/// What goes wrong with a scene, and a word of what is said of it.
type Wrong = (&'static str, fn(&mut Scene), &'static str);

#[test]
fn whatever_goes_wrong_fails_the_drill_and_leaves_nothing() {
    let wrong: [Wrong; 10] = [
        (
            "nothing was in the backup",
            |scene| scene.restore.items = (0, 0),
            "0 of 0 objects",
        ),
        (
            "Velero fails",
            |scene| {
                scene.restore.phase = "Failed".into();
                scene.restore.reason =
                    "found a restore with status InProgress during the server starting".into();
            },
            "server starting",
        ),
        (
            "it fails in part",
            |scene| {
                scene.restore.phase = "PartiallyFailed".into();
                scene.restore.errors = 2;
            },
            "2 errors",
        ),
        (
            "objects are missing",
            |scene| scene.restore.items = (6, 7),
            "6 of 7 objects",
        ),
        (
            "bytes are missing",
            |scene| (scene.volume.done, scene.volume.total) = (41, 41),
            "the backup has 42",
        ),
        (
            "a volume failed",
            |scene| scene.volume.phase = "Failed".into(),
            "volume data: Failed",
        ),
        (
            "a volume was not restored",
            |scene| scene.seen.held = Some(BTreeMap::from([("data".into(), 42), ("logs".into(), 1)])),
            "volume logs: the backup holds it",
        ),
        (
            "more was restored than the backup holds",
            |scene| scene.seen.held = Some(BTreeMap::new()),
            "the backup does not hold",
        ),
        (
            "the backup expired",
            |scene| scene.seen.held = None,
            "the backup is gone",
        ),
        (
            "a sentinel is missing",
            |scene| scene.job = Some(JobSeen::Failed("BackoffLimitExceeded".into())),
            "sentinel data/ok: BackoffLimitExceeded",
        ),
    ];
    for (what, spoil, said) in wrong {
        let mut scene = Scene::good();
        spoil(&mut scene);
        let record = scene.play(run(DrillPhase::Pending), &rules()).unwrap();
        assert!(!record.passed, "{what}");
        let why = record.failure.unwrap();
        assert!(why.contains(said), "{what}: {why}");
        assert_eq!(scene.acts.last(), Some(&Act::CleanUp), "{what}");
        assert!(
            scene.seen.scratch.is_none() && scene.seen.leftovers == Leftovers::Nothing,
            "{what}"
        );
    }
}

#[test]
fn a_namespace_that_somebody_else_made_is_never_touched() {
    let mut scene = Scene::good();
    let others = Some(ScratchSeen::default());
    scene.seen.scratch.clone_from(&others);
    let record = scene.play(run(DrillPhase::Pending), &rules()).unwrap();
    assert!(record.failure.unwrap().contains("did not make"));
    assert_eq!((scene.acts.len(), scene.seen.scratch), (0, others));
}

#[test]
fn a_drill_stops_when_it_is_withdrawn_deleted_under_its_feet_or_too_slow() {
    let scratch = |going| Some(ScratchSeen { ours: true, going });
    for (rules, scratch, now, said) in [
        (
            Rules {
                withdrawn: Some("its policy is gone".into()),
                ..rules()
            },
            scratch(false),
            100,
            "its policy is gone",
        ),
        (rules(), scratch(true), 100, "somebody deletes"),
        (rules(), None, 100, "is gone"),
        (
            rules(),
            scratch(false),
            3601,
            "given up after 1 h: waiting for Velero",
        ),
    ] {
        let seen = DrillSeen {
            scratch,
            leftovers: Leftovers::Something,
            ..DrillSeen::default()
        };
        let mut under_way = run(DrillPhase::Restore);
        under_way.message = Some("waiting for Velero".into());
        let Step::Record(after) = next(&under_way, &rules, &seen, time(now)) else {
            panic!("{said}: it goes on");
        };
        let why = after.failure.clone().unwrap();
        assert!(why.contains(said), "{why}");
        assert_eq!(after.phase, DrillPhase::CleanUp);
        let step = next(&after, &rules, &seen, time(now));
        assert_eq!(step, Step::Act(Act::CleanUp), "{said}");
    }
}

#[test]
fn a_restore_that_is_deleted_after_it_was_seen_is_not_made_again() {
    let mut scene = Scene::good();
    scene.restore.phase = "InProgress".into();
    let waiting = scene.play(run(DrillPhase::Pending), &rules()).unwrap_err();
    assert!(waiting.message.as_ref().unwrap().contains("InProgress, 7 of 7"));
    scene.seen.restore = None;
    let record = scene.play(*waiting, &rules()).unwrap();
    assert!(record.failure.unwrap().contains("deleted the Restore"));
    assert_eq!(scene.acts.iter().filter(|act| **act == Act::Restore).count(), 1);
}

/// Whatever was done or not when the process died: the same step is taken again, or the next one, and the end is the same.
#[test]
fn a_process_that_dies_at_any_step_is_followed_by_one_that_comes_to_the_same_end() {
    let mut undisturbed = Scene::good();
    let expected = undisturbed.play(run(DrillPhase::Pending), &rules()).unwrap();
    for death in 0..12 {
        for done in [false, true] {
            let mut scene = Scene::good();
            let mut written = run(DrillPhase::Pending);
            for step in 0..=death {
                match next(&written, &rules(), &scene.seen, time(100)) {
                    Step::Record(after) if step < death || done => written = after,
                    Step::Act(act) if step < death || done => scene.carry_out(act),
                    _ => {}
                }
            }
            let record = scene.play(written, &rules()).unwrap();
            assert_eq!(record, expected, "dead at {death}, done: {done}");
        }
    }
}

#[test]
fn what_a_drill_makes_reads_as_it_should() {
    let spec = DrillSpec {
        schedule: "@weekly".into(),
        namespaces: vec![],
        evidence_age: "168h".into(),
        window: 10,
        timeout: "1h".into(),
        sentinels: vec![
            Sentinel {
                namespace: "database".into(),
                claim: "data".into(),
                path: "/ok; rm -rf /".into(),
                sha256: Some("ab".repeat(32)),
            },
            Sentinel {
                namespace: "monitoring".into(),
                claim: "other".into(),
                path: "x".into(),
                sha256: None,
            },
        ],
        job: None,
        image: "busybox:1.37".into(),
    };
    let owner = objects::Owner {
        policy: "daily",
        namespace: "velero",
    };
    let run = run(DrillPhase::Prepare);
    let pods = [PodSeen {
        name: "pg.0".into(),
        init_containers: 1,
    }];
    let mut all = vec![objects::scratch(&run, owner)];
    all.extend(objects::surroundings(&run, owner, &spec, &pods));
    all.push(objects::restore(&run, owner));
    let jobs = objects::jobs(&run, owner, &spec, None);
    assert_eq!(
        jobs.len(),
        1,
        "sentinels of other namespaces are looked for in their drills"
    );
    let command = &jobs[0]["spec"]["template"]["spec"]["containers"][0]["command"];
    assert_eq!(command[4], "ok; rm -rf /", "a path is an argument");
    assert!(!command[2].as_str().unwrap().contains("rm"));
    all.extend(jobs);
    for object in &all {
        assert_eq!(object["metadata"]["labels"][DRILL_LABEL], "0f3a", "{object}");
    }
    let modifiers = all[3]["data"]["modifiers.yaml"].as_str().unwrap();
    for said in [
        "initContainers/1/command",
        "^pg\\\\.0$",
        "\"volumeName\\\":null",
        "sleep 86400",
    ] {
        assert!(modifiers.contains(said), "{said}: {modifiers}");
    }
    let restored = &all[4]["spec"];
    assert_eq!(restored["namespaceMapping"]["database"], "drill-database-0f3a");
    assert!(
        !restored["includedResources"]
            .to_string()
            .contains("persistentvolumes")
    );
}
