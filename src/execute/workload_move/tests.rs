//! Claims about moves of workloads: where each comes to when it is broken off at any write, when somebody interferes, and when it cannot
//! succeed. The cluster is played, with the bytes of each volume.

use super::*;
use crate::model::kinds::workload_move::{FluxName, KindName, MOVE_LABEL, MovedClaim};
use crate::model::restores::run::{ClaimSeen, VolumeNow};
use crate::model::workload_moves::{JobNow, JobOutcome, WorkloadNow};
use serde_json::json;
use std::collections::BTreeMap;

/// What goes wrong.
mod faults;

/// The way back.
mod back;

/// Pods that come late.
mod late;

const NOW: i64 = 1_800_000_000;

/// Looks and writes of a move: far more than it needs.
const STEPS: usize = 400;

/// A cluster with one StatefulSet of two claims, and Flux that would scale it up again.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct World {
    pub(super) spec: WorkloadMoveSpec,
    pub(super) status: WorkloadMoveStatus,
    pub(super) claims: BTreeMap<String, ClaimSeen>,
    pub(super) volumes: BTreeMap<String, VolumeNow>,
    /// What is on each volume.
    pub(super) data: BTreeMap<String, String>,
    pub(super) jobs: BTreeMap<usize, JobNow>,
    pub(super) replicas: i64,
    pub(super) generation: i64,
    pub(super) ready: bool,
    pub(super) pods: bool,
    /// Whether a pod that nobody knows uses the claims.
    pub(super) visitor: bool,
    pub(super) suspended: bool,
    pub(super) now: i64,
    pub(super) withdrawn: Option<String>,
    /// Whether the class makes volumes, and copies succeed.
    pub(super) provisions: bool,
    pub(super) copies: Result<(), String>,
    /// Writes until the controller dies; none when it lives.
    pub(super) dies_in: Option<usize>,
    pub(super) writes: usize,
}

pub(super) fn name() -> String {
    "db-data-0-abc".to_owned()
}

fn claim(name: &str, volume: &str, class: &str) -> ClaimSeen {
    ClaimSeen {
        volume: volume.to_owned(),
        phase: "Bound".to_owned(),
        going: false,
        manifest: json!({"metadata": {"name": name, "labels": {"app": "db"}},
            "spec": {"storageClassName": class, "resources": {"requests": {"storage": "1Gi"}}}}),
    }
}

fn volume(policy: &str, claim: &str) -> VolumeNow {
    VolumeNow {
        policy: policy.to_owned(),
        claim: ("db".to_owned(), claim.to_owned()),
        claim_uid: format!("uid-{claim}"),
        phase: "Bound".to_owned(),
        ..VolumeNow::default()
    }
}

impl World {
    pub(super) fn new() -> Self {
        let moved = |name: &str, volume: &str| MovedClaim {
            name: name.to_owned(),
            volume: volume.to_owned(),
            bytes: 1 << 30,
            from: "slow".to_owned(),
            to: "fast".to_owned(),
            onto: None,
            policy: None,
        };
        let named = |kind: &str, name: &str| KindName {
            kind: kind.to_owned(),
            name: name.to_owned(),
        };
        let mut spec: WorkloadMoveSpec = serde_json::from_value(json!({
            "source": {"namespace": "s", "name": "s"}, "rollout": "r", "rolloutPhase": "p", "fingerprint": "f", "method": "copy",
            "namespace": "db", "told": "StatefulSet/db", "claims": [], "from": "slow", "to": "fast", "image": "i", "timeoutSeconds": 3600,
            "approved": {"revision": "r", "commit": "c", "author": "a", "at": "t", "path": "p"},
        }))
        .unwrap();
        spec.claims = vec![moved("data-0", "old-0"), moved("data-1", "old-1")];
        spec.workloads = vec![named("StatefulSet", "db")];
        spec.flux = vec![FluxName {
            kind: "Kustomization".to_owned(),
            namespace: "flux".to_owned(),
            name: "db".to_owned(),
        }];
        let both = |of: fn(&str) -> ClaimSeen| ["0", "1"].map(|one| (format!("data-{one}"), of(one)));
        Self {
            spec,
            status: WorkloadMoveStatus::default(),
            claims: both(|one| claim(&format!("data-{one}"), &format!("old-{one}"), "slow")).into(),
            volumes: ["0", "1"]
                .map(|one| (format!("old-{one}"), volume("Delete", &format!("data-{one}"))))
                .into(),
            data: ["0", "1"]
                .map(|one| (format!("old-{one}"), format!("data {one}")))
                .into(),
            jobs: BTreeMap::new(),
            replicas: 2,
            generation: 1,
            ready: true,
            pods: true,
            visitor: false,
            suspended: false,
            now: NOW,
            withdrawn: None,
            provisions: true,
            copies: Ok(()),
            dies_in: None,
            writes: 0,
        }
    }

    pub(super) fn id() -> String {
        objects::id(&name())
    }

    fn seen(&self) -> Seen {
        let pods = [("db-0", self.pods), ("by-hand", self.visitor)];
        let pods = pods.into_iter().filter(|(_, there)| *there);
        Seen {
            claims: self.claims.clone(),
            volumes: self.volumes.clone(),
            jobs: self.jobs.clone(),
            workloads: vec![Some(WorkloadNow {
                replicas: self.replicas,
                generation: self.generation,
                ready: self.ready,
            })],
            flux: vec![Some(self.suspended)],
            users: pods.map(|(name, _)| name.to_owned()).collect(),
            carriers: Default::default(),
            classes: ["slow".to_owned(), "fast".to_owned()].into(),
        }
    }

    /// A moment of everybody else: Flux, controllers, the provisioner, and Jobs.
    fn lives(&mut self) {
        self.now += 5;
        if !self.suspended && self.replicas == 0 {
            (self.replicas, self.generation) = (2, self.generation + 1);
        }
        self.pods = self.replicas > 0;
        self.goes();
        if self.pods {
            for name in ["data-0", "data-1"] {
                // A StatefulSet makes what is not there, of the class of its template.
                self.claims.entry(name.to_owned()).or_insert_with(|| ClaimSeen {
                    phase: "Pending".to_owned(),
                    ..claim(name, "", "slow")
                });
                let on = self.claims[name].volume.clone();
                if let Some(data) = self.data.get_mut(&on).filter(|data| !data.ends_with('+')) {
                    // It writes while it is up; once is enough to be missed.
                    *data += "+";
                }
            }
        }
        for place in 0..2 {
            let (own, copy) = (
                format!("data-{place}"),
                objects::copy_claim(&format!("data-{place}"), &Self::id()),
            );
            let job = self
                .jobs
                .get(&place)
                .is_some_and(|job| job.outcome == JobOutcome::Runs);
            if !job || !self.provisions {
                continue;
            }
            let Some(beside) = self.claims.get_mut(&copy) else {
                continue;
            };
            if beside.volume.is_empty() {
                beside.volume = format!("new-{place}");
                self.volumes
                    .insert(beside.volume.clone(), volume("Delete", &copy));
            }
            beside.phase = "Bound".to_owned();
            let (to, from) = (beside.volume.clone(), self.claims[&own].volume.clone());
            let outcome = match &self.copies {
                Ok(()) => {
                    self.data.insert(to, self.data[&from].clone());
                    JobOutcome::Succeeded
                }
                Err(why) => JobOutcome::Failed(why.clone()),
            };
            self.jobs.get_mut(&place).unwrap().outcome = outcome;
        }
    }

    /// The controller writes, or dies before or after it did.
    fn written(&mut self, act: impl FnOnce(&mut Self)) -> bool {
        self.writes += 1;
        if let Some(left) = &mut self.dies_in {
            if *left <= 1 {
                let after = *left == 1;
                self.dies_in = None;
                if after {
                    act(self);
                }
                return false;
            }
            *left -= 2;
        }
        act(self);
        true
    }

    fn bound(&mut self, name: &str, volume: &str) {
        let of = self.volumes.get_mut(volume).unwrap();
        assert_eq!(
            of.claim,
            ("db".to_owned(), name.to_owned()),
            "{volume} is not for {name}"
        );
        of.claim_uid = format!("uid-{name}");
        of.phase = "Bound".to_owned();
    }

    /// Claims that are being deleted go once no pod uses them, and some of their volumes with them.
    fn goes(&mut self) {
        if self.pods || self.visitor || !self.jobs.is_empty() {
            return;
        }
        let going = self.claims.extract_if(.., |_, claim| claim.going);
        for (_, gone) in going.collect::<Vec<_>>() {
            match self.volumes.get_mut(&gone.volume) {
                Some(volume) if volume.policy == "Delete" => {
                    self.volumes.remove(&gone.volume);
                    self.data.remove(&gone.volume);
                }
                Some(volume) => volume.phase = "Released".to_owned(),
                None => {}
            }
        }
    }

    /// A claim that is deleted lingers for as long as a pod uses it.
    fn deleted(&mut self, name: &str) {
        if let Some(claim) = self.claims.get_mut(name) {
            claim.going = true;
        }
    }

    fn act(&mut self, act: &Act) {
        let own = |place: &usize| format!("data-{place}");
        let copy = |place: &usize| objects::copy_claim(&format!("data-{place}"), &Self::id());
        match act {
            Act::MakeCopyClaim(place, onto) => {
                let mut made = claim(
                    &copy(place),
                    onto.as_deref().unwrap_or(""),
                    &self.spec.claims[*place].to,
                );
                made.manifest["metadata"]["labels"] = json!({MOVE_LABEL: Self::id()});
                made.phase = if onto.is_some() { "Bound" } else { "Pending" }.to_owned();
                if let Some(onto) = onto {
                    self.bound(&copy(place), onto);
                }
                self.claims.entry(copy(place)).or_insert(made);
            }
            Act::Suspend(_) => self.suspended = true,
            Act::Resume(_) => self.suspended = false,
            Act::ScaleDown(_) => (self.replicas, self.generation) = (0, self.generation + 1),
            Act::ScaleUp(_) => {
                (self.replicas, self.generation) = (self.status.workloads[0].replicas, self.generation + 1)
            }
            Act::MakeJob(place) => {
                let made = JobNow {
                    ours: true,
                    ..JobNow::default()
                };
                self.jobs.entry(*place).or_insert(made);
            }
            Act::DeleteJob(place) => drop(self.jobs.remove(place)),
            Act::Retain(volume) => self.volumes.get_mut(volume).unwrap().policy = RETAIN.to_owned(),
            Act::Release(volume, policy) => self.volumes.get_mut(volume).unwrap().policy.clone_from(policy),
            Act::Mark(_, volume) => self.volumes.get_mut(volume).unwrap().mark = Self::id(),
            Act::DeleteClaim(place, bound) => {
                assert_eq!(self.claims[&own(place)].volume, *bound);
                assert_eq!(
                    self.volumes[bound].policy, RETAIN,
                    "a claim goes only when its volume stays"
                );
                self.deleted(&own(place));
            }
            Act::DeleteCopyClaim(place, bound) => {
                assert_eq!(self.volumes[bound].policy, RETAIN);
                self.deleted(&copy(place));
            }
            Act::DropCopyClaim(place) => self.deleted(&copy(place)),
            Act::Reserve(place, volume) => {
                let of = self.volumes.get_mut(volume).unwrap();
                (of.claim, of.claim_uid) = (("db".to_owned(), own(place)), String::new());
            }
            Act::ReserveCopy(place, volume) => {
                let of = self.volumes.get_mut(volume).unwrap();
                (of.claim, of.claim_uid) = (("db".to_owned(), copy(place)), String::new());
            }
            Act::MakeClaim(place, volume) => {
                self.bound(&own(place), volume);
                let of = &self.spec.claims[*place];
                let class = if *volume == of.volume { &of.from } else { &of.to };
                let made = claim(&own(place), volume, class);
                self.claims.entry(own(place)).or_insert(made);
            }
        }
    }

    /// One look and what follows; whether the move has ended.
    pub(super) fn step(&mut self) -> bool {
        if self.status.phase.is_final() {
            return true;
        }
        let context = Context {
            name: name(),
            epoch: 1,
            withdrawn: self.withdrawn.clone(),
            now: Timestamp::from_second(self.now).unwrap(),
        };
        match next(&self.spec, &self.status, &self.seen(), &context) {
            Step::Record(after) | Step::Wait(after) => drop(self.written(|world| world.status = *after)),
            Step::Act(after, act) => {
                if self.written(|world| world.status = *after) {
                    self.written(|world| world.act(&act));
                }
            }
            Step::Fenced => panic!("nobody else leads"),
        }
        self.status.phase.is_final()
    }

    /// Goes on to the end while everybody else lives.
    pub(super) fn ended(mut self) -> Self {
        for _ in 0..STEPS {
            if self.step() {
                return self;
            }
            self.lives();
        }
        panic!("it never ended: {:#?}", self.status);
    }

    /// Everybody but the controller, once more.
    pub(super) fn settled(mut self) -> Self {
        self.lives();
        self
    }

    pub(super) fn data_of(&self, claim: &str) -> &str {
        self.claims
            .get(claim)
            .and_then(|one| self.data.get(&one.volume))
            .map_or("lost", String::as_str)
    }
}

pub(super) fn assert_completed(world: &World, what: &str) {
    assert_eq!(
        world.status.phase,
        MovePhase::Completed,
        "{what}: {:#?}",
        world.status
    );
}

/// The claims are on the new class with all that was written, the old volumes are kept, and everything else is as it was.
pub(super) fn assert_moved(world: &World, what: &str) {
    assert_completed(world, what);
    for place in 0..2 {
        let claim = format!("data-{place}");
        let (old, new) = (format!("old-{place}"), world.claims[&claim].volume.clone());
        assert_ne!(new, old, "{what}");
        assert_eq!(
            world.volumes[&old].policy, RETAIN,
            "{what}: the old volume is kept"
        );
        assert_eq!(world.volumes[&old].mark, World::id(), "{what}");
        assert_eq!(world.volumes[&new].policy, "Delete", "{what}: as its class says");
        // Nothing that was written before is missing, and it is this claim's.
        let (before, after) = (&world.data[&old], world.data_of(&claim));
        assert!(
            before.starts_with(&format!("data {place}")) && after.starts_with(before.as_str()),
            "{what}: {before:?} became {after:?}"
        );
    }
    assert_rest(world, what);
}

pub(super) fn assert_rest(world: &World, what: &str) {
    assert_eq!((world.replicas, world.suspended), (2, false), "{what}");
    assert!(world.jobs.is_empty(), "{what}: {:?}", world.jobs);
    assert_eq!(world.claims.len(), 2, "{what}: {:?}", world.claims.keys());
}

/// Everything is as if nobody had asked.
pub(super) fn assert_untouched(world: &World, what: &str) {
    for place in 0..2 {
        let (claim, old) = (format!("data-{place}"), format!("old-{place}"));
        assert_eq!(world.claims[&claim].volume, old, "{what}");
        assert_eq!(world.volumes[&old].policy, "Delete", "{what}");
    }
    assert_eq!(world.volumes.len(), 2, "{what}: {:?}", world.volumes.keys());
    assert_rest(world, what);
}

#[test]
fn workloads_move_with_their_data_and_the_old_volumes_are_kept() {
    let world = World::new().ended();
    assert_moved(&world, "undisturbed");
    assert_eq!(world.status.copied_again, 0);
    let phases: Vec<&str> = world.status.journal.iter().map(|one| one.step.as_str()).collect();
    assert_eq!(
        phases,
        [
            "Provision",
            "Suspend",
            "ScaleDown",
            "Drain",
            "Copy",
            "Keep",
            "Exchange",
            "ScaleUp",
            "Resume",
            "Ready",
            "CleanUp",
            "Completed"
        ]
    );
}

#[test]
fn broken_off_before_or_after_any_write_it_comes_to_the_same_end() {
    let all = World::new().ended().writes;
    assert!(all > 40, "{all}");
    for place in 0..2 * all {
        let mut world = World::new();
        world.dies_in = Some(place);
        let world = world.ended();
        assert_eq!(world.dies_in, None, "it died at {place}");
        assert_moved(&world, &format!("died at {place} of {all}"));
    }
}
