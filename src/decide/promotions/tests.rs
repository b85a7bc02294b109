//! Claims about promotions: what starts, what waits for what, and what is refused by name.

use super::*;
use crate::decide::tests::world::world;
use crate::model::approval::Approval;
use crate::model::backups::BackupClaim;
use crate::model::ids::{CommitId, Revision};
use crate::model::kinds::rollout::{CopySpec, GateStatus, PhaseStatus};
use crate::model::kinds::workload_move::{WorkloadMoveSpec, WorkloadMoveStatus};
use crate::model::observation::{ClusterVolume, Provider};
use crate::model::promotions::Withdrawn;
use crate::model::restores::{FluxFacts, NamespaceSeen, Owner, WorkloadFacts};
use serde_json::json;

/// What is looked at.
mod looks;

/// Clusters of CloudNativePG.
mod clusters;

fn at() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn claim(name: &str) -> ClaimRef {
    ClaimRef {
        namespace: "db".into(),
        name: name.into(),
    }
}

fn live(name: &str, class: &str) -> ClaimFacts {
    ClaimFacts {
        claim: BackupClaim {
            claim: claim(name),
            storage_class: class.into(),
            ..BackupClaim::default()
        },
        volume: format!("pv-{name}"),
        bound: true,
        bytes: 1 << 30,
        modes: ["ReadWriteOnce".to_owned()].into(),
        ..ClaimFacts::default()
    }
}

fn workload(name: &str, claims: &[&str]) -> WorkloadFacts {
    WorkloadFacts {
        itself: Owner {
            group: "apps".into(),
            kind: "Deployment".into(),
            name: name.into(),
        },
        replicas: 1,
        claims: claims.iter().map(|one| (*one).to_owned()).collect(),
        ..WorkloadFacts::default()
    }
}

/// A phase of three claims, two of which one workload shares, whose promotion stands in Git and whose gates hold.
struct Scene {
    promotion: Option<Promotion>,
    gone: bool,
    report: Report,
    facts: Facts,
    moves: Vec<WorkloadMove>,
    in_flight: InFlight,
    dry_run: bool,
}

fn scene() -> Scene {
    let names = ["a", "b", "c"];
    let all: BTreeSet<ClaimRef> = names.iter().map(|one| claim(one)).collect();
    let phase = |name: &str, state| PhaseStatus {
        name: name.into(),
        state,
        ..PhaseStatus::default()
    };
    Scene {
        promotion: Some(Promotion {
            rollout: "r".into(),
            phase: "second".into(),
            fingerprint: "f".into(),
            claims: all.clone(),
            keep_old_volumes: true,
            secret: false,
        }),
        gone: false,
        report: Report {
            name: "r".into(),
            class: "fast".into(),
            secret: false,
            phases: vec![
                phase("first", PhaseState::Done),
                phase("second", PhaseState::Open),
            ],
            candidates: vec![
                Candidate::default(),
                Candidate {
                    class: "fast".into(),
                    fingerprint: "f".into(),
                    claims: all.clone(),
                    elsewhere: all,
                    gates: vec![GateStatus {
                        gate: "coverage velero/daily".into(),
                        holds: true,
                        message: String::new(),
                    }],
                    ..Candidate::default()
                },
            ],
            copy: CopySpec::default(),
        },
        facts: Facts {
            namespace: NamespaceSeen::Active,
            claims: names.iter().map(|one| live(one, "slow")).collect(),
            workloads: vec![workload("two", &["a", "c"]), workload("one", &["b"])],
            classes: ["slow".to_owned(), "fast".to_owned()].into(),
            ..Facts::default()
        },
        moves: Vec::new(),
        in_flight: InFlight::default(),
        dry_run: false,
    }
}

fn approval(commit: &str) -> Approval {
    Approval {
        revision: Revision {
            branch: "main".into(),
            commit: CommitId(commit.into()),
        },
        commit: CommitId(commit.into()),
        author: "Anna".into(),
        at: at(),
        path: "assignments/rollouts/r/second.yaml".into(),
    }
}

impl Scene {
    fn decided(&self) -> Decided {
        self.seen(decide)
    }

    fn seen<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        let mut desired = world().desired;
        #[expect(clippy::disallowed_methods, reason = "what parse would mint")]
        {
            let standing = self
                .promotion
                .clone()
                .map(|one| Approved::read_from_verified_tree(one, approval("c1")));
            desired.promotions.standing = standing.into_iter().collect();
            let gone = Withdrawn {
                rollout: "r".into(),
                phase: "second".into(),
            };
            let gone = self
                .gone
                .then(|| Approved::read_from_verified_tree(gone, approval("c2")));
            desired.promotions.withdrawn = gone.into_iter().collect();
        }
        let volumes = self.facts.claims.iter().map(|one| ClusterVolume {
            name: one.volume.clone().into(),
            claim: one.claim.claim.clone(),
            claim_labels: BTreeMap::new(),
            storage_class: one.claim.storage_class.clone(),
            provider: Provider::Local,
            last_migration: None,
            created: None,
            pin: None,
        });
        let engine = Err("not asked".to_owned());
        let observation =
            Observation::assemble(at(), volumes.collect(), BTreeSet::new(), engine, BTreeMap::new());
        let source = SourceRef {
            namespace: "s".into(),
            name: "s".into(),
        };
        let facts = BTreeMap::from([("db".to_owned(), Ok(self.facts.clone()))]);
        let reports = [self.report.clone()];
        look(&Seen {
            source: &source,
            desired: &desired,
            observation: &observation,
            in_flight: &self.in_flight,
            limits: Limits {
                max_open: 1,
                rejections_expire: None,
                max_concurrent: 1,
                dry_run: self.dry_run,
            },
            reports: &reports,
            moves: &self.moves,
            facts: &facts,
            now: at(),
        })
    }

    fn moved(&mut self, phase: MovePhase, claims: &[&str], back: Option<&str>, commit: &str) {
        let claims: Vec<MovedClaim> = claims
            .iter()
            .map(|name| MovedClaim {
                name: (*name).to_owned(),
                volume: format!("old-{name}"),
                from: "slow".into(),
                to: "fast".into(),
                bytes: 5,
                ..MovedClaim::default()
            })
            .collect();
        let spec: WorkloadMoveSpec = serde_json::from_value(json!({
            "source": {"namespace": "s", "name": "s"}, "rollout": "r", "rolloutPhase": "second", "fingerprint": "f", "method": "copy",
            "namespace": "db", "told": "x", "claims": claims, "from": "slow", "to": "fast", "image": "i", "timeoutSeconds": 3600, "back": back,
            "approved": {"revision": "r", "commit": commit, "author": "a", "at": "t", "path": "p"},
        }))
        .unwrap();
        let mut one = WorkloadMove::new(&format!("move-{}", self.moves.len()), spec);
        let journal = |claim: &MovedClaim| crate::model::kinds::workload_move::ClaimJournal {
            new_volume: Some(format!("pv-{}", claim.name)),
            old_policy: Some("Delete".into()),
            ..Default::default()
        };
        one.status = Some(WorkloadMoveStatus {
            phase,
            message: "why it ended".into(),
            claims: one.spec.claims.iter().map(journal).collect(),
            ..WorkloadMoveStatus::default()
        });
        self.moves.push(one);
    }
}

fn started(decided: &Decided) -> Vec<&str> {
    let claims = decided.start.iter().flat_map(|start| &start.claims);
    claims.map(|claim| claim.name.as_str()).collect()
}

#[test]
fn claims_that_a_workload_shares_move_together_and_one_group_at_a_time() {
    let decided = scene().decided();
    assert_eq!(started(&decided), ["a", "c"]);
    let start = decided.start.unwrap();
    assert_eq!(
        start
            .workloads
            .iter()
            .map(|one| one.name.as_str())
            .collect::<Vec<_>>(),
        ["two"]
    );
    assert_eq!(start.claims[0].volume, "pv-a");
    assert_eq!((&*start.claims[0].from, &*start.claims[0].to), ("slow", "fast"));
    let mut scene = scene();
    scene.moved(MovePhase::Copy, &["a", "c"], None, "c1");
    let decided = scene.decided();
    assert_eq!(started(&decided), Vec::<&str>::new());
    assert_eq!(
        decided.standings[0].stands,
        Stands::Moves("WorkloadMove move-0 is in phase Copy".into())
    );
}

/// What is changed, and what is said of the promotion.
type Row = (&'static str, fn(&mut Scene), &'static str);

#[test]
fn everything_that_a_promotion_rests_on_is_looked_at_again_before_each_move() {
    let rows: [Row; 18] = [
        (
            "a gate",
            |s| s.report.candidates[1].gates[0].holds = false,
            "Waits: coverage velero/daily",
        ),
        (
            "the phase before",
            |s| s.report.phases[0].state = PhaseState::Soaking,
            "Waits: phase first is not done",
        ),
        (
            "what it proved",
            |s| s.report.phases[0].waits_for = "a drill".into(),
            "Waits: phase first no longer holds",
        ),
        (
            "written anew",
            |s| s.report.candidates[1].fingerprint = "g".into(),
            "Superseded: the phase is written differently",
        ),
        (
            "a new claim",
            |s| s.report.candidates[1].claims.extend([claim("d")]),
            "Superseded: the phase has other claims",
        ),
        (
            "a claim gone",
            |s| s.report.candidates[1].claims.retain(|one| *one != claim("b")),
            "Superseded: the phase has other claims",
        ),
        (
            "no rollout",
            |s| s.report.name = "other".into(),
            "Superseded: the repository has no such Rollout",
        ),
        (
            "no phase",
            |s| s.report.phases[1].name = "other".into(),
            "Superseded: the Rollout has no such phase",
        ),
        (
            "new workloads",
            |s| s.report.candidates[1].method = PhaseMethod::New,
            "Superseded: nothing of the phase is moved",
        ),
        (
            "a drill",
            |s| s.facts.busy = vec!["drill x of namespace db is under way".into()],
            "Waits: drill x",
        ),
        (
            "a dry run",
            |s| s.dry_run = true,
            "Waits: nothing is started in a dry run",
        ),
        (
            "frozen",
            |s| s.in_flight.control.stop = Some(crate::model::moves::Stop::Frozen("holidays".into())),
            "Waits: the file FREEZE in Git stops all moves: holidays",
        ),
        (
            "a bare pod",
            |s| {
                s.facts.pods = ["a", "b"]
                    .map(|one| crate::model::restores::PodFacts {
                        name: one.into(),
                        claims: [one.to_owned()].into(),
                        ..Default::default()
                    })
                    .into();
            },
            "Waits: refused (BarePod): pod a",
        ),
        (
            "raw blocks",
            |s| s.facts.claims.iter_mut().for_each(|one| one.claim.block = true),
            "Waits: refused (RawBlock)",
        ),
        (
            "shared",
            |s| {
                s.facts
                    .claims
                    .iter_mut()
                    .for_each(|one| one.modes.extend(["ReadWriteMany".to_owned()]))
            },
            "Waits: refused (Shared): claim a may be mounted on several nodes",
        ),
        (
            "no root",
            |s| s.facts.enforces = "restricted".into(),
            "Waits: refused (PodSecurity)",
        ),
        (
            "no class",
            |s| s.facts.classes.retain(|one| one != "fast"),
            "Waits: refused (StorageClassMissing)",
        ),
        (
            "claims from Git",
            |s| {
                s.facts.flux = vec![FluxFacts {
                    kind: "Kustomization".into(),
                    name: "apps".into(),
                    keeps: ["a", "b"]
                        .map(|one| format!("PersistentVolumeClaim/{one}"))
                        .into(),
                    ..FluxFacts::default()
                }];
            },
            "Waits: refused (ClaimFromGit): claim a is kept by Kustomization",
        ),
    ];
    for (what, change, words) in rows {
        let mut scene = scene();
        change(&mut scene);
        let decided = scene.decided();
        assert_eq!(started(&decided), Vec::<&str>::new(), "{what}");
        let said = match &decided.standings[0].stands {
            Stands::Waits(why) => format!("Waits: {why}"),
            Stands::Superseded(why) => format!("Superseded: {why}"),
            other => format!("{other:?}"),
        };
        assert!(said.starts_with(words), "{what}: {said}");
    }
}

#[test]
fn a_move_that_failed_is_not_tried_again_by_the_same_approval_and_keeps_no_other_group() {
    let mut scene = scene();
    scene.moved(MovePhase::RolledBack, &["a", "c"], None, "c1");
    assert_eq!(started(&scene.decided()), ["b"]);
    scene.moves.clear();
    scene.moved(MovePhase::RolledBack, &["a", "c"], None, "c0");
    assert_eq!(
        started(&scene.decided()),
        ["a", "c"],
        "another commit approves anew"
    );
}

#[test]
fn what_is_promoted_and_on_the_class_moves_nothing() {
    let mut scene = scene();
    scene.report.candidates[1].elsewhere.clear();
    let decided = scene.decided();
    assert_eq!(
        (started(&decided), &decided.standings[0].stands),
        (Vec::new(), &Stands::Moved)
    );
}

#[test]
fn taking_a_promotion_out_takes_back_what_it_moved_while_the_phase_is_as_it_was() {
    let mut scene = scene();
    scene.promotion = None;
    scene.gone = true;
    assert_eq!(scene.decided(), Decided::default(), "nothing was moved");
    scene.moved(MovePhase::Completed, &["a", "c"], None, "c1");
    let start = scene.decided().start.expect("a move back");
    assert_eq!(start.back.as_deref(), Some("move-0"));
    let one = &start.claims[0];
    assert_eq!(
        (
            &*one.volume,
            one.onto.as_deref(),
            &*one.from,
            &*one.to,
            one.policy.as_deref()
        ),
        ("pv-a", Some("old-a"), "fast", "slow", Some("Delete"))
    );
    // Written differently since: whoever changes or ends a rollout wants nothing moved.
    scene.report.candidates[1].fingerprint = "g".into();
    assert_eq!(scene.decided().start, None);
    scene.report.candidates[1].fingerprint = "f".into();
    // The claim has another volume by now.
    scene.facts.claims[0].volume = "pv-other".into();
    let decided = scene.decided();
    assert_eq!(decided.start, None);
    assert!(
        matches!(&decided.standings[0].stands, Stands::Waits(why) if why.contains("is not on volume pv-a any more"))
    );
    scene.facts.claims[0].volume = "pv-a".into();
    // Once.
    scene.moved(MovePhase::Completed, &["a", "c"], Some("move-0"), "c2");
    let decided = scene.decided();
    assert_eq!(
        (decided.start, &decided.standings[0].stands),
        (None, &Stands::Moved)
    );
    // What another source has moved for a rollout of the same name is none of this one's.
    for one in &mut scene.moves {
        one.spec.source.name = "other".into();
    }
    assert_eq!(scene.decided(), Decided::default());
}
