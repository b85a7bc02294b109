//! A Cluster of CloudNativePG as it is seen: what speaks against making its instances anew, and what has to be waited for first. Pure.
//!
//! What is said of the operator here is of CloudNativePG 1.30: `docs/src/storage.md` ("Re-creating storage"), `api/v1/cluster_types.go`,
//! `internal/controller/cluster_create.go` and `internal/cmd/plugin/promote`. An instance is its claims: where they are gone the operator
//! makes others with the classes that the Cluster names by then, and clones the primary into them (`joinReplicaInstance`). Since 1.30 the
//! new instance has the lowest serial that is free, mostly the old one's (`generateNodeSerial`); before that it had a new one.

use super::restores::Refusal;
use super::restores::run::VolumeNow;
use std::collections::{BTreeMap, BTreeSet};

#[cfg(test)]
mod tests;

/// The label that names the Cluster of a claim or a pod.
pub const CLUSTER_LABEL: &str = "cnpg.io/cluster";

/// The role of the claim without which no database runs.
pub const DATA: &str = "PG_DATA";

/// `status.phase` of a Cluster to which nothing is being done (`PhaseHealthy`).
pub const HEALTHY: &str = "Cluster in healthy state";

/// With fewer instances none can be without its data.
const INSTANCES_MIN: i64 = 2;

/// What a Cluster says of the claims of one role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Storage {
    /// Where in its spec.
    pub place: String,
    /// The class; empty is the cluster's default, whichever that is.
    pub class: String,
    /// How large, in bytes.
    pub bytes: u64,
    /// Whether the operator makes claims larger that are there (`resizeInUseVolumes`).
    pub resizes: bool,
}

/// A Cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterNow {
    /// Its version.
    pub version: String,
    /// Whether it is being deleted.
    pub going: bool,
    /// How many instances it is to have.
    pub wanted: i64,
    /// What it says of claims, by their roles.
    pub storage: BTreeMap<String, Storage>,
    /// Whether people switch over, and nobody else (`primaryUpdateStrategy: supervised`).
    pub supervised: bool,
    /// Whether it is hibernated.
    pub hibernated: bool,
    /// Whether any instance is fenced.
    pub fenced: bool,
    /// Whether its operator is told to leave it alone.
    pub left_alone: bool,
    /// Whether a maintenance window for nodes is open, in which no instance is made anew.
    pub maintained: bool,
    /// Whether it follows another Cluster.
    pub replica: bool,
    /// Replicas that have to confirm each commit, whatever comes; 0 when commits go on without.
    pub synchronous: i64,
    /// Whether replicas may be made from VolumeSnapshots, which are of the old class.
    pub from_snapshots: bool,
    /// How many instances there are.
    pub instances: i64,
    /// How many of them are ready.
    pub ready: i64,
    /// Their names.
    pub names: BTreeSet<String>,
    /// What is done to it now, in the operator's words.
    pub phase: String,
    /// The primary.
    pub primary: String,
    /// The instance that is to be the primary.
    pub target: String,
    /// What instances report: whether they are the primary, and their timeline.
    pub reported: BTreeMap<String, (bool, i64)>,
    /// Claims that are not in use: dangling, initializing, resizing, unusable.
    pub unsettled: BTreeSet<String>,
    /// Conditions that are false and should not be.
    pub failing: BTreeSet<String>,
}

/// A claim of an instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimNow {
    /// Its uid.
    pub uid: String,
    /// Its version.
    pub version: String,
    /// The volume that it names; empty while it names none.
    pub volume: String,
    /// The class of that volume, or the one that it asks for.
    pub class: String,
    /// What it asks for, in bytes.
    pub bytes: u64,
    /// The instance.
    pub instance: String,
    /// Its role: [`DATA`], `PG_WAL`, or `PG_TABLESPACE/` with the tablespace's name.
    pub role: String,
    /// Whether it is bound.
    pub bound: bool,
    /// Whether it is being deleted.
    pub going: bool,
}

/// The pod of an instance, which has its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodNow {
    /// Its uid.
    pub uid: String,
    /// Its version, which is another one when its role is.
    pub version: String,
    /// Whether it is ready.
    pub ready: bool,
    /// Whether it is being deleted.
    pub going: bool,
    /// Claims that it mounts.
    pub claims: BTreeSet<String>,
    /// Whether its label says that it is the primary.
    pub primary: bool,
}

/// Everything that is known of a Cluster, read at one time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// Its name.
    pub name: String,
    /// The Cluster; nothing when it is gone.
    pub cluster: Option<ClusterNow>,
    /// Claims of its instances.
    pub claims: BTreeMap<String, ClaimNow>,
    /// PersistentVolumes.
    pub volumes: BTreeMap<String, VolumeNow>,
    /// Pods of its instances.
    pub pods: BTreeMap<String, PodNow>,
    /// Its Backups that are under way.
    pub backups: BTreeSet<String>,
}

/// What is done. Each of them may be done again; claims and pods are named with their uids, and no other is touched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Keep a volume when its claim goes.
    Retain(String),
    /// Say again what becomes of a volume after its claim.
    Release(String, String),
    /// Write on a volume that is kept which claim had it.
    Mark {
        /// The volume.
        volume: String,
        /// The claim.
        claim: String,
    },
    /// Delete a claim of a replica, whose volume stays.
    DeleteClaim {
        /// Its name.
        claim: String,
        /// Its uid.
        uid: String,
        /// Whether it is the first of its instance, before which all instances must be well.
        first: bool,
    },
    /// Delete the pod of a replica whose claims are being deleted.
    DeletePod {
        /// Its name, which is the instance's.
        pod: String,
        /// Its uid.
        uid: String,
    },
    /// Let another instance be the primary.
    SwitchOver {
        /// The primary.
        from: String,
        /// The one that is to be it.
        to: String,
    },
}

impl Seen {
    /// Whether an instance is the primary, or is about to be.
    pub fn leads(&self, instance: &str) -> bool {
        let leads = |one: &ClusterNow| one.primary == instance || one.target == instance;
        let says = self.pods.get(instance).is_some_and(|pod| pod.primary);
        says || self.cluster.as_ref().is_some_and(leads)
    }

    /// Instances any of whose claims is not on a class.
    pub fn elsewhere(&self, class: &str) -> BTreeSet<&str> {
        let claims = self.claims.values().filter(|one| one.class != class);
        claims.map(|one| one.instance.as_str()).collect()
    }

    /// Whether all instances but this one are there and ready: those that are left when it is taken away.
    pub fn others_are_ready(&self, instance: &str) -> bool {
        let wanted = self.cluster.as_ref().map_or(0, |one| one.wanted);
        let others = self.pods.iter().filter(|(name, _)| *name != instance);
        let ready = others.filter(|(_, pod)| pod.ready && !pod.going).count();
        i64::try_from(ready).is_ok_and(|ready| ready >= wanted - 1)
    }

    /// What a person has to change before instances can be made anew on a class.
    pub fn refusals(&self, class: &str) -> Vec<Refusal> {
        let name = &self.name;
        let refusal = |reason: &'static str, message: String| Refusal { reason, message };
        let Some(cluster) = self.cluster.as_ref().filter(|one| !one.going) else {
            let words = format!("Cluster {name} is gone or being deleted");
            return vec![refusal("ClusterMissing", words)];
        };
        let mut found = Vec::new();
        if cluster.wanted < INSTANCES_MIN {
            let words = format!(
                "Cluster {name} has {} instance, and while it is made anew there would be none; set spec.instances to {INSTANCES_MIN} at least",
                cluster.wanted
            );
            found.push(refusal("TooFewInstances", words));
        }
        for storage in cluster.storage.values().filter(|one| one.class != class) {
            let words = format!(
                "Cluster {name} makes claims of {} ({}); let Git say {class} there first. The operator changes no claim that is there for it",
                match storage.class.as_str() {
                    "" => "whatever class is the default",
                    class => class,
                },
                storage.place
            );
            found.push(refusal("ClusterClass", words));
        }
        if cluster.replica {
            let words = format!("Cluster {name} follows another one (spec.replica); move it by hand");
            found.push(refusal("ReplicaCluster", words));
        }
        if cluster.synchronous > 0 && cluster.synchronous > cluster.wanted - INSTANCES_MIN {
            let words = format!(
                "Cluster {name} commits nothing without {} synchronous replicas, and would stand still while one is made anew; add an \
                 instance, or set spec.postgresql.synchronous.dataDurability: preferred",
                cluster.synchronous
            );
            found.push(refusal("SynchronousReplicas", words));
        }
        if cluster.from_snapshots {
            let words = format!(
                "the operator would make replicas of Cluster {name} from VolumeSnapshots, which are of the old class; delete its Backups of \
                 method volumeSnapshot first"
            );
            found.push(refusal("VolumeSnapshots", words));
        }
        for (claim, one) in &self.claims {
            match cluster.storage.get(&one.role) {
                None => {
                    let words = format!("Cluster {name} says nothing of claim {claim} ({})", one.role);
                    found.push(refusal("UnknownClaim", words));
                }
                Some(storage) if storage.resizes && one.class != class && one.bytes < storage.bytes => {
                    let words = format!(
                        "claim {claim} is smaller than Cluster {name} asks for, and its operator goes on making it larger; set \
                         resizeInUseVolumes: false beside {}",
                        storage.place
                    );
                    found.push(refusal("Resizes", words));
                }
                Some(_) => {}
            }
        }
        found
    }

    /// Why it is not the time to take an instance away: anything but all of them there, ready and following one primary.
    pub fn waits(&self) -> Option<String> {
        let name = &self.name;
        let Some(cluster) = self.cluster.as_ref().filter(|one| !one.going) else {
            return Some(format!("Cluster {name} is gone or being deleted"));
        };
        let told = [
            (cluster.hibernated, "is hibernated"),
            (cluster.fenced, "has fenced instances"),
            (cluster.maintained, "is in a maintenance window of its nodes"),
            (
                cluster.left_alone,
                "is left alone by its operator (cnpg.io/reconciliationLoop)",
            ),
        ];
        if let Some((_, words)) = told.iter().find(|(holds, _)| *holds) {
            return Some(format!("Cluster {name} {words}"));
        }
        if let Some(backup) = self.backups.first() {
            return Some(format!("Backup {backup} of Cluster {name} is under way"));
        }
        if cluster.primary.is_empty() || cluster.primary != cluster.target {
            return Some(format!(
                "Cluster {name} switches over from {:?} to {:?}",
                cluster.primary, cluster.target
            ));
        }
        if cluster.phase != HEALTHY {
            return Some(format!("Cluster {name} says: {}", cluster.phase));
        }
        if let Some(condition) = cluster.failing.first() {
            return Some(format!("condition {condition} of Cluster {name} does not hold"));
        }
        if cluster.ready != cluster.wanted || cluster.instances != cluster.wanted {
            return Some(format!(
                "{} of {} instances of Cluster {name} are ready, and {} are there",
                cluster.ready, cluster.wanted, cluster.instances
            ));
        }
        if let Some(claim) = cluster.unsettled.first() {
            return Some(format!("claim {claim} of Cluster {name} is in no use yet"));
        }
        self.unready(cluster).or_else(|| self.unbound(cluster))
    }

    /// What is not well with its pods, which are looked at themselves: an operator that has died says nothing new.
    fn unready(&self, cluster: &ClusterNow) -> Option<String> {
        let pods: BTreeSet<&String> = self.pods.keys().collect();
        if pods != cluster.names.iter().collect() || i64::try_from(pods.len()).ok() != Some(cluster.wanted) {
            return Some(format!(
                "Cluster {} has not all of its pods, or others",
                self.name
            ));
        }
        let timeline = cluster
            .reported
            .get(&cluster.primary)
            .map(|(_, timeline)| *timeline);
        for (instance, pod) in &self.pods {
            if !pod.ready || pod.going {
                return Some(format!("instance {instance} is not ready"));
            }
            let leads = *instance == cluster.primary;
            let report = cluster.reported.get(instance);
            if report.map(|(primary, timeline)| (*primary, Some(*timeline))) != Some((leads, timeline))
                || pod.primary != leads
            {
                return Some(format!(
                    "instance {instance} does not report that it {} on the primary's timeline",
                    if leads { "leads" } else { "follows" }
                ));
            }
        }
        None
    }

    /// What is not well with its claims: each instance has one of each role, which its pod uses.
    fn unbound(&self, cluster: &ClusterNow) -> Option<String> {
        for (claim, one) in &self.claims {
            if !one.bound || one.going {
                return Some(format!("claim {claim} is not bound, or is being deleted"));
            }
            // Whoever may label a claim must not have it deleted.
            let pod = self.pods.get(&one.instance);
            if pod.is_none_or(|pod| !pod.claims.contains(claim)) {
                let (name, instance) = (&self.name, &one.instance);
                return Some(format!(
                    "claim {claim} says that it is of instance {instance} of Cluster {name}, whose pod does not use it"
                ));
            }
        }
        for instance in self.pods.keys() {
            for role in cluster.storage.keys() {
                let of_it = |one: &&ClaimNow| one.instance == *instance && one.role == *role;
                if self.claims.values().filter(of_it).count() != 1 {
                    return Some(format!("instance {instance} has no claim {role}, or several"));
                }
            }
        }
        None
    }
}

/// Those of a namespace, by their names.
pub type Clusters = BTreeMap<String, Seen>;
