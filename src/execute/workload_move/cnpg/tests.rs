//! Claims about making a Cluster's instances anew: where it comes to when it is broken off at any write, when the primary fails over, when
//! somebody interferes, and when it cannot succeed. The operator is played, with what is on each volume.

use super::*;
use crate::execute::workload_move::RETAIN;
use crate::model::cnpg::{HEALTHY, Storage};
use crate::model::kinds::workload_move::{KindName, MovedClaim};
use crate::model::restores::run::VolumeNow;
use jiff::Timestamp;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// What goes wrong, and who interferes.
mod faults;

const NOW: i64 = 1_800_000_000;

/// Looks and writes of a move: far more than it needs.
const STEPS: usize = 3000;

/// Two roles of claims, as a Cluster with a volume for its WAL has them.
const ROLES: [(&str, &str); 2] = [(DATA, ""), ("PG_WAL", "-wal")];

#[derive(Clone, Debug, PartialEq)]
struct World {
    spec: WorkloadMoveSpec,
    status: WorkloadMoveStatus,
    seen: Seen,
    /// What is on each volume.
    data: BTreeMap<String, String>,
    now: i64,
    withdrawn: Option<String>,
    /// Whether the operator lives, and whether what it clones becomes ready.
    operator: bool,
    clones: bool,
    /// Whether it gives new instances new serials, as before 1.30.
    new_serials: bool,
    made: usize,
    /// Deletions, switch-overs and everything that was written, in order.
    acts: Vec<Act>,
    writes: usize,
    dies_in: Option<usize>,
}

fn name() -> String {
    "db-x-1-abc".to_owned()
}

impl World {
    fn of(instances: usize) -> Self {
        let mut spec: WorkloadMoveSpec = serde_json::from_value(json!({
            "source": {"namespace": "s", "name": "s"}, "rollout": "r", "rolloutPhase": "p", "fingerprint": "f", "method": "cnpg",
            "namespace": "db", "told": "Cluster/x", "claims": [], "from": "slow", "to": "fast", "image": "i", "timeoutSeconds": 3600,
            "approved": {"revision": "r", "commit": "c", "author": "a", "at": "t", "path": "p"},
        }))
        .unwrap();
        spec.workloads = vec![KindName {
            kind: "Cluster".to_owned(),
            name: "x".to_owned(),
        }];
        let storage = |place: &str| Storage {
            place: format!("{place}.storageClass"),
            class: "slow".to_owned(),
            bytes: 1 << 30,
            resizes: true,
        };
        let cluster = ClusterNow {
            wanted: i64::try_from(instances).unwrap(),
            storage: [
                (DATA.to_owned(), storage("spec.storage")),
                ("PG_WAL".to_owned(), storage("spec.walStorage")),
            ]
            .into(),
            primary: "x-1".to_owned(),
            target: "x-1".to_owned(),
            ..ClusterNow::default()
        };
        let mut world = Self {
            spec,
            status: WorkloadMoveStatus::default(),
            seen: Seen {
                name: "x".to_owned(),
                cluster: Some(cluster),
                ..Seen::default()
            },
            data: BTreeMap::new(),
            now: NOW,
            withdrawn: None,
            operator: true,
            clones: true,
            new_serials: false,
            made: 0,
            acts: Vec::new(),
            writes: 0,
            dies_in: None,
        };
        for serial in 1..=instances {
            world.make(&format!("x-{serial}"), "rows");
        }
        world.ticks(8);
        let claims = world.seen.claims.iter().map(|(name, one)| MovedClaim {
            name: name.clone(),
            volume: one.volume.clone(),
            bytes: 1 << 30,
            from: "slow".to_owned(),
            to: "fast".to_owned(),
            ..MovedClaim::default()
        });
        world.spec.claims = claims.collect();
        assert_eq!(world.seen.waits(), None);
        world.class("fast");
        world
    }

    fn cluster(&mut self) -> &mut ClusterNow {
        self.seen.cluster.as_mut().unwrap()
    }

    /// What Git says of the Cluster.
    fn class(&mut self, class: &str) {
        for storage in self.cluster().storage.values_mut() {
            storage.class = class.to_owned();
        }
    }

    /// Claims of an instance are made, and volumes for them, with the Cluster's class.
    fn make(&mut self, instance: &str, rows: &str) {
        for (role, ends) in ROLES {
            let claim = format!("{instance}{ends}");
            if self.seen.claims.contains_key(&claim) {
                continue;
            }
            self.made += 1;
            let (uid, volume) = (format!("uid-{}", self.made), format!("pv-{}", self.made));
            let class = self.cluster().storage[role].class.clone();
            self.data.insert(volume.clone(), rows.to_owned());
            self.seen.volumes.insert(
                volume.clone(),
                VolumeNow {
                    policy: "Delete".to_owned(),
                    claim: ("db".to_owned(), claim.clone()),
                    claim_uid: uid.clone(),
                    phase: "Bound".to_owned(),
                    ..VolumeNow::default()
                },
            );
            let made = ClaimNow {
                uid,
                volume,
                class,
                bytes: 1 << 30,
                instance: instance.to_owned(),
                role: role.to_owned(),
                bound: true,
                ..ClaimNow::default()
            };
            self.seen.claims.insert(claim, made);
        }
    }

    fn ticks(&mut self, count: usize) {
        for _ in 0..count {
            self.tick();
        }
    }

    /// One moment of everybody else.
    fn tick(&mut self) {
        self.now += 5;
        self.seen.pods.retain(|_, pod| !pod.going);
        let pods: BTreeSet<String> = self.seen.pods.keys().cloned().collect();
        let gone = |one: &ClaimNow| one.going && !pods.contains(&one.instance);
        let released: Vec<String> = self
            .seen
            .claims
            .values()
            .filter(|one| gone(one))
            .map(|one| one.volume.clone())
            .collect();
        self.seen.claims.retain(|_, one| !gone(one));
        for volume in released {
            if self.seen.volumes[&volume].policy == "Delete" {
                self.seen.volumes.remove(&volume);
                self.data.remove(&volume);
            } else {
                self.seen.volumes.get_mut(&volume).unwrap().phase = "Released".to_owned();
            }
        }
        if self.operator {
            self.operate();
        }
    }

    fn operate(&mut self) {
        let (primary, target) = (self.cluster().primary.clone(), self.cluster().target.clone());
        if primary != target && self.seen.pods.get(&target).is_some_and(|pod| pod.ready) {
            self.cluster().primary.clone_from(&target);
            self.ticked();
            return;
        }
        if !self.seen.pods.contains_key(&primary) && !self.seen.pods.is_empty() {
            let other = self.seen.pods.iter().find(|(_, pod)| pod.ready);
            let other = other.map(|(name, _)| name.clone()).unwrap();
            (self.cluster().primary, self.cluster().target) = (other.clone(), other);
        }
        let whole: BTreeSet<String> = self.groups();
        // Every instance with claims has a pod, which is ready a moment later.
        let fresh = self.clones;
        for (name, pod) in &mut self.seen.pods {
            pod.ready |= fresh && whole.contains(name);
        }
        let podless: Vec<&String> = whole
            .iter()
            .filter(|one| !self.seen.pods.contains_key(*one))
            .collect();
        if let Some(one) = podless.first() {
            self.made += 1;
            let pod = PodNow {
                uid: format!("pod-{}", self.made),
                claims: ROLES.map(|(_, ends)| format!("{one}{ends}")).into(),
                ..PodNow::default()
            };
            self.seen.pods.insert((*one).clone(), pod);
        } else if i64::try_from(whole.len()).unwrap() < self.cluster().wanted
            && self.seen.pods.values().all(|pod| pod.ready)
        {
            let first = if self.new_serials { 10 + self.made } else { 1 };
            let mut names = (first..).map(|serial| format!("x-{serial}"));
            let free = names.find(|one| !whole.contains(one)).unwrap();
            // One whose claims are on their way out is waited for.
            let mut going = self.seen.claims.values().filter(|one| one.going);
            if going.any(|one| one.instance == free) || self.seen.pods.contains_key(&free) {
                self.ticked();
                return;
            }
            let primary = self.cluster().primary.clone();
            let of_primary = self.seen.claims.get(&primary).map(|one| one.volume.clone());
            let rows = of_primary.map_or("rows".to_owned(), |volume| self.data[&volume].clone());
            self.make(&free, &rows);
        }
        self.ticked();
    }

    /// Instances with all of their claims.
    fn groups(&self) -> BTreeSet<String> {
        let has = |instance: &str, role: &str| {
            let mut all = self.seen.claims.values();
            all.any(|one| one.instance == instance && one.role == role && !one.going)
        };
        let all = self.seen.claims.values().map(|one| one.instance.clone());
        all.filter(|one| ROLES.iter().all(|(role, _)| has(one, role)))
            .collect()
    }

    /// The Cluster's status, as the operator writes it.
    fn ticked(&mut self) {
        let whole = self.groups();
        let ready = self
            .seen
            .pods
            .values()
            .filter(|pod| pod.ready && !pod.going)
            .count();
        let primary = self.cluster().primary.clone();
        let reported = self
            .seen
            .pods
            .keys()
            .map(|one| (one.clone(), (*one == primary, 1)));
        let reported: BTreeMap<String, (bool, i64)> = reported.collect();
        for (name, pod) in &mut self.seen.pods {
            pod.primary = *name == primary;
        }
        let all = usize::try_from(self.cluster().wanted).unwrap();
        let well = whole.len() == all && ready == all && self.seen.pods.len() == all;
        let cluster = self.cluster();
        cluster.instances = i64::try_from(whole.len()).unwrap();
        cluster.ready = i64::try_from(ready).unwrap();
        cluster.names = whole;
        cluster.reported = reported;
        cluster.phase = if well { HEALTHY } else { "Creating a new replica" }.to_owned();
    }

    /// What the driver does, which never does what must not be done.
    fn act(&mut self, act: &Act) {
        self.acts.push(act.clone());
        match act {
            Act::Retain(volume) => self.seen.volumes.get_mut(volume).unwrap().policy = RETAIN.to_owned(),
            Act::Release(volume, policy) => {
                self.seen
                    .volumes
                    .get_mut(volume)
                    .unwrap()
                    .policy
                    .clone_from(policy);
            }
            Act::Mark { volume, .. } => {
                self.seen.volumes.get_mut(volume).unwrap().mark = objects::id(&name());
            }
            Act::DeleteClaim { claim, uid, first } => {
                let found = self.seen.claims[claim].clone();
                assert_eq!(found.uid, *uid);
                assert!(
                    !self.seen.leads(&found.instance),
                    "a claim of the primary: {claim}"
                );
                assert!(
                    self.seen.others_are_ready(&found.instance),
                    "{claim}: {:#?}",
                    self.seen.pods
                );
                let volume = &self.seen.volumes[&found.volume];
                assert!(volume.policy == RETAIN && volume.claim_uid == *uid, "{volume:?}");
                if *first {
                    assert_eq!(self.seen.waits(), None);
                    assert!(self.seen.refusals("fast").is_empty());
                }
                self.seen.claims.get_mut(claim).unwrap().going = true;
            }
            Act::DeletePod { pod, uid } => {
                assert_eq!(self.seen.pods[pod].uid, *uid);
                assert!(!self.seen.leads(pod), "the primary: {pod}");
                assert!(self.seen.others_are_ready(pod), "{pod}");
                let pod = self.seen.pods.get_mut(pod).unwrap();
                (pod.going, pod.ready) = (true, false);
            }
            Act::SwitchOver { from, to } => {
                assert!(self.seen.pods[to].ready);
                let mut claims = self.seen.claims.values().filter(|one| one.instance == *to);
                assert!(claims.all(|one| !one.going), "{to} has claims that do not stay");
                let cluster = self.cluster();
                assert_eq!((&cluster.primary, &cluster.target), (from, from));
                cluster.target.clone_from(to);
                cluster.phase = "Switchover in progress".to_owned();
            }
        }
    }

    /// Whether the controller dies at this moment; everybody else goes on for some time before it is there again.
    fn dies(&mut self) -> bool {
        self.writes += 1;
        let dies = self.dies_in == Some(self.writes);
        if dies {
            self.ticks(8);
        }
        dies
    }

    /// One step.
    fn step(&mut self) {
        let context = Context {
            name: name(),
            epoch: 1,
            withdrawn: self.withdrawn.clone(),
            now: Timestamp::from_second(self.now).unwrap(),
        };
        match next(&self.spec, &self.status, &self.seen, &context) {
            Step::Fenced => panic!("nobody else leads"),
            Step::Wait(after) => {
                self.status = *after;
                self.tick();
            }
            Step::Record(after) => {
                if !self.dies() {
                    self.status = *after;
                }
            }
            Step::Act(after, act) => {
                if self.dies() {
                    return;
                }
                self.status = *after;
                if self.dies() {
                    return;
                }
                self.act(&act);
                self.dies();
            }
        }
    }

    fn until(&mut self, ends: impl Fn(&Self) -> bool) {
        for _ in 0..STEPS {
            if ends(self) {
                return;
            }
            self.step();
        }
        panic!("it never came: {:#?} {:#?}", self.status, self.seen);
    }

    fn ended(mut self) -> Self {
        self.until(|world| world.status.phase.is_final());
        self
    }

    /// Everything before the nth write.
    fn at(mut self, place: usize) -> Self {
        self.until(|world| world.writes >= place || world.status.phase.is_final());
        self
    }

    fn said(&self) -> &str {
        &self.status.message
    }
}

/// All instances are on the class, with all rows, and every old volume is kept.
fn assert_moved(world: &World, what: &str) {
    assert_eq!(
        world.status.phase,
        MovePhase::Completed,
        "{what}: {:#?}",
        world.status
    );
    assert_eq!(world.seen.waits(), None, "{what}");
    assert!(world.seen.elsewhere("fast").is_empty(), "{what}");
    for claim in world.seen.claims.values() {
        assert_eq!(world.data[&claim.volume], "rows", "{what}");
        assert_eq!(
            world.seen.volumes[&claim.volume].policy, "Delete",
            "{what}: as its class has it"
        );
    }
    for claim in &world.spec.claims {
        let old = &world.seen.volumes[&claim.volume];
        assert_eq!(old.policy, RETAIN, "{what}: {claim:?}");
        assert_eq!(old.mark, objects::id(&name()), "{what}: {claim:?}");
        assert_eq!(world.data[&claim.volume], "rows", "{what}");
        assert!(world.said().contains(&claim.volume), "{what}: {}", world.said());
    }
    assert!(
        world.status.instance.is_none() && world.status.switch.is_none(),
        "{what}"
    );
}

fn deleted(world: &World) -> Vec<String> {
    let pods = world.acts.iter().filter_map(|act| match act {
        Act::DeletePod { pod, .. } => Some(pod.clone()),
        _ => None,
    });
    pods.collect()
}

#[test]
fn replicas_are_made_anew_one_after_the_other_and_the_old_primary_last() {
    for instances in [2, 3] {
        let world = World::of(instances).ended();
        assert_moved(&world, "undisturbed");
        let mut order: Vec<String> = (2..=instances).map(|one| format!("x-{one}")).collect();
        order.push("x-1".to_owned());
        assert_eq!(deleted(&world), order);
        let switches = world
            .acts
            .iter()
            .filter(|act| matches!(act, Act::SwitchOver { .. }));
        assert_eq!(switches.count(), 1);
        assert_eq!(world.seen.cluster.as_ref().unwrap().primary, "x-2");
        let steps: Vec<&str> = world.status.journal.iter().map(|one| one.step.as_str()).collect();
        assert_eq!(
            steps.iter().filter(|one| **one == "SwitchOver").count(),
            1,
            "{steps:?}"
        );
        for (claim, journal) in world.spec.claims.iter().zip(&world.status.claims) {
            assert_eq!(journal.old_policy.as_deref(), Some("Delete"));
            assert_eq!(
                journal.new_volume.as_ref(),
                Some(&world.seen.claims[&claim.name].volume)
            );
        }
    }
}

#[test]
fn an_operator_that_gives_new_serials_is_followed() {
    let mut world = World::of(3);
    world.new_serials = true;
    let world = world.ended();
    assert_moved(&world, "new serials");
    assert!(!world.seen.pods.contains_key("x-2"), "{:#?}", world.seen.pods);
}

#[test]
fn broken_off_at_any_moment_it_comes_to_the_same_end() {
    let all = World::of(3).ended();
    assert!(all.writes > 40, "{}", all.writes);
    for place in 1..=all.writes {
        let mut world = World::of(3);
        world.dies_in = Some(place);
        assert_moved(&world.ended(), &format!("died at {place}"));
    }
}
