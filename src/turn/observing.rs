//! The world is looked at: volumes, engines, load, and the backups of what policies promise to back up.

use super::{TurnFailure, World};
use crate::decide::coverage::{self, Evidence};
use crate::decide::rollouts;
use crate::io::cluster::{Cluster, ClusterError};
use crate::io::longhorn::Longhorn;
use crate::io::velero::{Velero, VeleroError};
use crate::model::backups::{BackupClaim, BackupRules, FoundBackup, PolicyKey, Unseen, Upload};
use crate::model::coverage::BackupReading;
use crate::model::desired::Desired;
use crate::model::ids::CommitId;
use crate::model::kinds::BackupPolicy;
use crate::model::kinds::drill::BackupPolicyStatus;
use crate::model::observation::Observation;
use crate::observe::{self, claims, volumes};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How often Velero's objects are read while nothing asks for it: its scheduler looks once a minute, so nothing new is there sooner, and
/// a turn may come every five seconds while a move runs.
const LOOK_SECS: i64 = 60;

/// Namespaces whose pods are read in one look, to say why volumes have no upload: a gap is mended by a person, one after the other.
const POD_NAMESPACES_MAX: usize = 20;

/// What is remembered of backups between turns.
#[derive(Default)]
pub struct BackupMemory {
    /// The last look, and the commit whose policies it was about.
    last: Option<(CommitId, Arc<BackupReading>)>,
    /// Uploads of backups that ended, by uid. They change no more, so each backup is asked about once.
    uploads: BTreeMap<String, Arc<Vec<Upload>>>,
}

/// What was seen of volumes.
pub(super) struct Seen {
    pub(super) observation: Observation,
    /// Bound claims that backup policies may take.
    pub(super) claims: Vec<BackupClaim>,
}

pub(super) async fn observe_all(
    world: &World,
    desired: &Desired,
    asked: &BTreeSet<String>,
    rules: &[Arc<BackupRules>],
    now: Timestamp,
) -> Result<Seen, TurnFailure> {
    let found = world.cluster.volumes().await;
    let (volumes, bound) = found.map_err(|error: ClusterError| TurnFailure::from(&error))?;
    let claims = claims::bound(rules, &volumes, &bound);
    let beside = rollouts::asked(desired);
    let unbound = claims::unbound(&beside.namespaces, &bound);
    let joined = volumes::join(volumes, bound);
    let engines = observe::Engines {
        mayastor: &world.mayastor,
        longhorn: &Longhorn::of(&world.cluster),
    };
    let prometheus = world.prometheus.as_ref();
    let mut observation = observe::observe(joined, engines, prometheus, asked, now).await;
    observation.unbound = unbound;
    observation.figures = observe::figures(prometheus, &beside.figures, now).await;
    Ok(Seen { observation, claims })
}

/// Looks at backups, or remembers the last look where that is as good. Nothing is asked where no policy speaks of backups. `at_once` has
/// it look now: somebody asks, or a move could start that a backup would keep.
pub(super) async fn backups(
    cluster: &Cluster,
    desired: &Desired,
    rules: &[Arc<BackupRules>],
    claims: &[BackupClaim],
    at_once: bool,
    memory: &mut BackupMemory,
    now: Timestamp,
) -> Option<Arc<BackupReading>> {
    if rules.is_empty() {
        *memory = BackupMemory::default();
        return None;
    }
    let commit = &desired.revision.commit;
    let recent = |(of, last): &&(CommitId, Arc<BackupReading>)| {
        let age = now.as_second().saturating_sub(last.at.as_second());
        of == commit && !at_once && (0..LOOK_SECS).contains(&age)
    };
    if let Some((_, last)) = memory.last.as_ref().filter(recent) {
        return Some(last.clone());
    }
    let reading = Arc::new(look(cluster, rules, claims, &mut memory.uploads, now).await);
    memory.last = Some((commit.clone(), reading.clone()));
    Some(reading)
}

/// One look at the backups of policies.
pub(crate) async fn look(
    cluster: &Cluster,
    rules: &[Arc<BackupRules>],
    claims: &[BackupClaim],
    known: &mut BTreeMap<String, Arc<Vec<Upload>>>,
    now: Timestamp,
) -> BackupReading {
    match judged(cluster, rules, claims, known, now).await {
        Ok(reading) => reading,
        Err(error) => {
            let unseen = Unseen::from(error);
            coverage::report(rules, Err(&unseen), now).0
        }
    }
}

async fn judged(
    cluster: &Cluster,
    rules: &[Arc<BackupRules>],
    claims: &[BackupClaim],
    known: &mut BTreeMap<String, Arc<Vec<Upload>>>,
    now: Timestamp,
) -> Result<BackupReading, VeleroError> {
    let velero = Velero::of(cluster);
    let (state, statuses) = tokio::try_join!(velero.state(), statuses(cluster))?;
    let ended = |uid: &String| {
        let mut all = state.backups.iter();
        all.any(|backup| backup.uid == *uid && backup.has_ended())
    };
    known.retain(|uid, _| ended(uid));
    let mut evidence = Evidence {
        claims: claims.to_vec(),
        uploads: known.clone(),
        state,
        statuses,
        pods: BTreeMap::new(),
    };
    loop {
        let (reading, mut asked) = coverage::report(rules, Ok(&evidence), now);
        // What pods would say is told no more once enough of them were read.
        let left = POD_NAMESPACES_MAX.saturating_sub(evidence.pods.len());
        asked.pods = asked.pods.into_iter().take(left).collect();
        if asked.is_empty() {
            let of_ended = |backup: &&FoundBackup| backup.has_ended();
            for backup in evidence.state.backups.iter().filter(of_ended) {
                if let Some(uploads) = evidence.uploads.get(&backup.uid) {
                    known.insert(backup.uid.clone(), uploads.clone());
                }
            }
            return Ok(reading);
        }
        for (namespace, uid) in asked.uploads {
            let uploads = velero.uploads(&namespace, &uid).await?;
            evidence.uploads.insert(uid, Arc::new(uploads));
        }
        for namespace in asked.pods {
            let pods = velero.pods(&namespace).await?;
            evidence.pods.insert(namespace, pods);
        }
    }
}

/// What is remembered of policies in the cluster: their drills.
async fn statuses(cluster: &Cluster) -> Result<BTreeMap<PolicyKey, BackupPolicyStatus>, VeleroError> {
    let policies: Vec<BackupPolicy> = cluster.list_if_installed().await?;
    let of = |policy: BackupPolicy| {
        let key = PolicyKey {
            namespace: policy.metadata.namespace.unwrap_or_default(),
            name: policy.metadata.name.unwrap_or_default(),
        };
        Some((key, policy.status?))
    };
    Ok(policies.into_iter().filter_map(of).collect())
}
