//! The clients as the execute stage wants them: hands for the journal, and a place to keep it.

use crate::execute::engine::{EngineError, JournalStore, StorageEngine, StoreError};
use crate::execute::journal::{Act, Late, Reading};
use crate::io::cluster::{Cluster, ClusterError};
use crate::io::mayastor::{Mayastor, MayastorError};
use crate::model::engine::Abilities;
use crate::model::ids::{NodeName, PoolName};
use crate::model::kinds::volume_migration::VolumeMigration;

/// Mayastor as the hands of the journal.
pub struct EngineAdapter<'a>(pub &'a Mayastor);

impl StorageEngine for EngineAdapter<'_> {
    fn late(&self, _: &str) -> Late {
        Late::of(self.0.timeout())
    }

    async fn reading(&self, volume_uuid: &str) -> Result<Reading, EngineError> {
        let (volume, rebuilds, pools, nodes) = tokio::try_join!(
            self.0.volume(volume_uuid),
            self.0.rebuilds(volume_uuid),
            self.0.pools(),
            self.0.nodes()
        )
        .map_err(engine_error)?;
        Ok(Reading {
            abilities: Abilities::of(nodes.values()),
            volume,
            pools,
            nodes,
            rebuilds,
        })
    }

    async fn act(&self, volume_uuid: &str, act: &Act) -> Result<(), EngineError> {
        match act {
            Act::SetReplicas(count) => self
                .0
                .set_replica_count(volume_uuid, *count)
                .await
                .map_err(engine_error),
            Act::CordonPool(pool) => match self.0.cordon_pool(pool).await {
                Err(MayastorError::Refused { kind, message }) if kind == "AlreadyExists" => {
                    Err(EngineError::AlreadyCordoned(message))
                }
                // The pool was in the reading: what does not exist is the call.
                Err(MayastorError::NotFound) => Err(EngineError::Unsupported("cordons of pools".to_owned())),
                other => other.map_err(engine_error),
            },
            Act::CordonNode(node, label) => match self.0.cordon_node(node, label).await {
                // The label is ours alone, so the cordon is the one that we wanted.
                Err(MayastorError::Refused { kind, .. }) if kind == "AlreadyExists" => Ok(()),
                other => other.map_err(engine_error),
            },
            Act::Release(window, label) => {
                for pool in &window.pools {
                    if let Err(error) = self.0.uncordon_pool(pool).await {
                        let error = unless_it_may_come(error)?;
                        let held = self.0.pools().await.map_err(engine_error)?;
                        let held = held
                            .get(&PoolName(pool.clone()))
                            .is_some_and(|pool| pool.cordoned);
                        gone_is_fine(error, held)?;
                    }
                }
                for node in window.all_nodes() {
                    if let Err(error) = self.0.uncordon_node(node, label).await {
                        let error = unless_it_may_come(error)?;
                        let held = self.0.nodes().await.map_err(engine_error)?;
                        let held = held.get(&NodeName(node.clone()));
                        gone_is_fine(error, held.is_some_and(|node| node.cordons.contains(label)))?;
                    }
                }
                Ok(())
            }
        }
    }
}

/// An error of a call that can do nothing any more. One that may still be carried out is told as that, whatever is seen next.
fn unless_it_may_come(error: MayastorError) -> Result<MayastorError, EngineError> {
    match error {
        MayastorError::Indeterminate { detail } => Err(EngineError::Indeterminate(detail)),
        error => Ok(error),
    }
}

/// Nobody documents how the engine answers when there is no cordon to take back, so what is there afterwards decides.
fn gone_is_fine(error: MayastorError, held: bool) -> Result<(), EngineError> {
    match error {
        MayastorError::NotFound | MayastorError::Refused { .. } if !held => Ok(()),
        error => Err(engine_error(error)),
    }
}

fn engine_error(error: MayastorError) -> EngineError {
    match error {
        MayastorError::Refused { kind, message } if kind == "ReplicaCountAchieved" => {
            EngineError::CountAchieved(message)
        }
        MayastorError::Refused { kind, message } => EngineError::Refused(format!("{kind}: {message}")),
        // Nothing was sent.
        MayastorError::NotLeading(error) => EngineError::Unreachable(error.to_string()),
        MayastorError::NotFound => EngineError::Refused("not found".to_owned()),
        MayastorError::Indeterminate { detail } => EngineError::Indeterminate(detail),
        other => EngineError::Unreachable(other.to_string()),
    }
}

/// The cluster as the place of journals.
pub struct StoreAdapter<'a>(pub &'a Cluster);

impl JournalStore for StoreAdapter<'_> {
    async fn write(&self, migration: &mut VolumeMigration) -> Result<(), StoreError> {
        match self.0.replace_status(migration).await {
            Ok(written) => {
                *migration = written;
                Ok(())
            }
            Err(ClusterError::Conflict { .. }) => Err(StoreError::Conflict),
            Err(error) => Err(StoreError::Failed(error.to_string())),
        }
    }
}
