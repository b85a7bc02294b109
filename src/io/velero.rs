//! Velero's objects, read as compact records: Backups that tell a policy, their uploads, locations, schedules and repositories.
//!
//! Only reads. A cluster without Velero's kinds is told as such ([`crate::io::velero::VeleroError::Absent`]).

use crate::io::cluster::{Cluster, ClusterError, Foreign, Which};
use crate::model::backups::{
    EXCLUDE_LABEL, FoundBackup, FoundLocation, FoundPod, Method, POLICY_LABEL, Unseen, Upload, VeleroState,
};
use crate::model::desired::text_at;
use crate::model::failure::{Class, Failure};
use crate::model::restores::run::{RESTORE_LABEL, RESTORE_OF_LABEL};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeSet;

/// Objects as they are read.
mod raw;

pub(super) const fn velero(kind: &'static str, plural: &'static str) -> Foreign {
    Foreign::of("velero.io", "v1", kind, plural)
}

/// Backups.
pub const BACKUPS: Foreign = velero("Backup", "backups");
/// Uploads of pods' volumes, file by file.
pub const POD_VOLUME_BACKUPS: Foreign = velero("PodVolumeBackup", "podvolumebackups");
/// Uploads of snapshots.
pub const DATA_UPLOADS: Foreign = Foreign::of("velero.io", "v2alpha1", "DataUpload", "datauploads");
/// Locations.
pub const LOCATIONS: Foreign = velero("BackupStorageLocation", "backupstoragelocations");
/// Schedules.
pub const SCHEDULES: Foreign = velero("Schedule", "schedules");
/// Restores.
pub const RESTORES: Foreign = velero("Restore", "restores");
/// Repositories.
pub const REPOSITORIES: Foreign = velero("BackupRepository", "backuprepositories");

/// What uploads volumes, one pod on each node.
const DAEMON_SETS: Foreign = Foreign::of("apps", "v1", "DaemonSet", "daemonsets");

/// The DaemonSet by which Velero finds its node agent (`pkg/nodeagent/node_agent.go`); that of Windows ends differently.
const NODE_AGENT: &str = "metadata.name=node-agent";

pub(super) const NAMESPACES: Foreign = core("Namespace", "namespaces");
pub(super) const PODS: Foreign = core("Pod", "pods");

pub(super) const fn core(kind: &'static str, plural: &'static str) -> Foreign {
    Foreign::of("", "v1", kind, plural)
}

/// Whether an object is being deleted.
pub(super) fn is_going(object: &Value) -> bool {
    !text_at(object, &["metadata", "deletionTimestamp"]).is_empty()
}

/// The label of what belongs to a Backup, with its uid: a name that is longer than a label's value stands there as a hash.
pub(super) const BACKUP_UID: &str = "velero.io/backup-uid";

/// The label of an upload with the uid of its claim.
const CLAIM_UID: &str = "velero.io/pvc-uid";

/// The annotation of pods with the names of volumes that fs-backup leaves out.
const EXCLUDED_VOLUMES: &str = "backup.velero.io/backup-volumes-excludes";

/// Why nothing is known of backups.
#[derive(Debug, thiserror::Error)]
pub enum VeleroError {
    /// Its kinds are not there.
    #[error("the cluster has no kinds of velero.io/v1; is Velero installed?")]
    Absent,
    /// They could not be read.
    #[error("Velero's objects could not be read: {0}")]
    Cluster(#[from] ClusterError),
    /// What they say cannot be read.
    #[error("an object of Velero cannot be read: {0}")]
    Unreadable(String),
}

impl Failure for VeleroError {
    fn class(&self) -> Class {
        match self {
            Self::Absent => Class::Waiting,
            Self::Cluster(error) => error.class(),
            Self::Unreadable(_) => Class::Retry,
        }
    }

    fn reason(&self) -> &'static str {
        "VeleroUnavailable"
    }
}

impl From<VeleroError> for Unseen {
    fn from(error: VeleroError) -> Self {
        match error {
            VeleroError::Absent => Self::Absent,
            VeleroError::Cluster(error) => Self::Unreadable(error.to_string()),
            VeleroError::Unreadable(words) => Self::Unreadable(words),
        }
    }
}

/// Velero of one cluster.
#[derive(Clone)]
pub struct Velero(Cluster);

impl Velero {
    /// Velero of a cluster; nothing is asked yet.
    pub fn of(cluster: &Cluster) -> Self {
        Self(cluster.clone())
    }

    /// Everything but uploads and pods.
    ///
    /// # Errors
    /// [`VeleroError::Absent`] when it is not installed.
    pub async fn state(&self) -> Result<VeleroState, VeleroError> {
        let all = Which::default();
        let (of_policies, left_out) = (labelled(POLICY_LABEL), labelled(&format!("{EXCLUDE_LABEL}=true")));
        let ours = labelled(RESTORE_OF_LABEL);
        let restores = async { Ok(self.0.list_foreign(&RESTORES, &ours).await?.unwrap_or_default()) };
        let (of_none, not_ours) = (
            labelled(&format!("!{POLICY_LABEL}")),
            labelled(&format!("!{RESTORE_OF_LABEL}")),
        );
        let others = async {
            let restores = self.0.list_foreign(&RESTORES, &not_ours).await?;
            read::<raw::Others>(&RESTORES, restores.unwrap_or_default())
        };
        let (backups, locations, schedules, repositories, namespaces, restores, agents, of_none, others) = tokio::try_join!(
            self.all::<raw::Backup>(&BACKUPS, &of_policies),
            self.all::<raw::Location>(&LOCATIONS, &all),
            self.all::<raw::Schedule>(&SCHEDULES, &all),
            self.all::<raw::Repository>(&REPOSITORIES, &all),
            self.all::<raw::Named>(&NAMESPACES, &left_out),
            restores,
            self.node_agents(),
            self.all::<raw::Others>(&BACKUPS, &of_none),
            others,
        )?;
        let backing_up = of_none.into_iter().filter_map(|one| one.busy(false));
        let busy = backing_up.chain(others.into_iter().filter_map(|one| one.busy(true)));
        let label = |one: &Value, key: &str| text_at(one, &["metadata", "labels", key]).to_owned();
        Ok(VeleroState {
            backups: backups.into_iter().map(FoundBackup::from).collect(),
            locations: locations.into_iter().map(Into::into).collect(),
            schedules: schedules.into_iter().map(Into::into).collect(),
            repositories: repositories.into_iter().map(Into::into).collect(),
            excluded_namespaces: namespaces.into_iter().map(|one| one.metadata.name).collect(),
            restoring: restores
                .iter()
                .map(|one| (label(one, RESTORE_OF_LABEL), label(one, RESTORE_LABEL)))
                .collect(),
            node_agents: agents,
            busy: busy.collect(),
        })
    }

    /// Namespaces with a node agent; `None` where nobody may look.
    async fn node_agents(&self) -> Result<Option<BTreeSet<String>>, VeleroError> {
        let which = Which {
            labels: None,
            fields: Some(NODE_AGENT.to_owned()),
        };
        let found = match self.0.list_foreign(&DAEMON_SETS, &which).await {
            Err(error) if error.class() == Class::Stalled => return Ok(None),
            found => found?,
        };
        let namespace = |one: &Value| text_at(one, &["metadata", "namespace"]).to_owned();
        Ok(found.map(|all| all.iter().map(namespace).collect()))
    }

    /// The uploads of a Backup.
    ///
    /// # Errors
    /// Any [`VeleroError`].
    pub async fn uploads(&self, namespace: &str, backup_uid: &str) -> Result<Vec<Upload>, VeleroError> {
        let of_it = labelled(&format!("{BACKUP_UID}={backup_uid}"));
        let (files, snapshots) = tokio::try_join!(
            self.list_in(&POD_VOLUME_BACKUPS, namespace, &of_it),
            self.list_in(&DATA_UPLOADS, namespace, &of_it),
        )?;
        // Velero without the data mover's kind has no uploads of it.
        let files = read::<raw::Upload>(&POD_VOLUME_BACKUPS, files.unwrap_or_default())?;
        let snapshots = read::<raw::Upload>(&DATA_UPLOADS, snapshots.unwrap_or_default())?;
        let files = files.into_iter().map(|one| one.record(Method::FsBackup));
        let snapshots = snapshots.into_iter().map(|one| one.record(Method::SnapshotMove));
        Ok(files.chain(snapshots).collect())
    }

    /// The pods of a namespace.
    ///
    /// # Errors
    /// Any [`VeleroError`].
    pub async fn pods(&self, namespace: &str) -> Result<Vec<FoundPod>, VeleroError> {
        let found = self.list_in(&PODS, namespace, &Which::default()).await?;
        let pods = read::<raw::Pod>(&PODS, found.unwrap_or_default())?;
        Ok(pods.into_iter().map(Into::into).collect())
    }

    async fn list_in(
        &self,
        kind: &Foreign,
        namespace: &str,
        which: &Which,
    ) -> Result<Option<Vec<Value>>, VeleroError> {
        Ok(self.0.list_foreign_in(kind, namespace, which).await?)
    }

    async fn all<T: DeserializeOwned>(&self, kind: &Foreign, which: &Which) -> Result<Vec<T>, VeleroError> {
        let found = self.0.list_foreign(kind, which).await?;
        read(kind, found.ok_or(VeleroError::Absent)?)
    }
}

/// A Backup, as coverage judges it.
pub(super) fn backup(value: Value) -> Result<FoundBackup, VeleroError> {
    Ok(one::<raw::Backup>(&BACKUPS, value)?.into())
}

/// A location.
pub(super) fn location(value: Value) -> Result<FoundLocation, VeleroError> {
    Ok(one::<raw::Location>(&LOCATIONS, value)?.into())
}

/// An upload.
pub(super) fn upload(value: Value, method: Method) -> Result<Upload, VeleroError> {
    let kind = match method {
        Method::FsBackup => &POD_VOLUME_BACKUPS,
        Method::SnapshotMove => &DATA_UPLOADS,
    };
    Ok(one::<raw::Upload>(kind, value)?.record(method))
}

fn labelled(selector: &str) -> Which {
    Which {
        labels: Some(selector.to_owned()),
        fields: None,
    }
}

fn read<T: DeserializeOwned>(kind: &Foreign, found: Vec<Value>) -> Result<Vec<T>, VeleroError> {
    found.into_iter().map(|value| one(kind, value)).collect()
}

fn one<T: DeserializeOwned>(kind: &Foreign, value: Value) -> Result<T, VeleroError> {
    serde_json::from_value(value)
        .map_err(|error| VeleroError::Unreadable(format!("{}: {error}", kind.plural)))
}

/// Names that an annotation lists.
fn names(text: Option<&String>) -> BTreeSet<String> {
    let parts = text.into_iter().flat_map(|text| text.split(','));
    parts
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}
