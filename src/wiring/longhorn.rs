//! Longhorn as the hands of the journal, and which engine a volume is of.

use super::adapters::EngineAdapter;
use crate::execute::engine::{EngineError, StorageEngine};
use crate::execute::journal::{Act, Late, Reading};
use crate::io::longhorn::{Longhorn, LonghornError};
use crate::model::engine::{Abilities, longhorn_name};

/// The hands for all volumes: the id of a volume says whose it is.
pub struct Hands<'a> {
    /// For Mayastor's.
    pub mayastor: EngineAdapter<'a>,
    /// For Longhorn's.
    pub longhorn: LonghornAdapter<'a>,
}

impl StorageEngine for Hands<'_> {
    async fn reading(&self, volume_uuid: &str) -> Result<Reading, EngineError> {
        match longhorn_name(volume_uuid) {
            Some(name) => self.longhorn.reading(name).await,
            None => self.mayastor.reading(volume_uuid).await,
        }
    }

    async fn act(&self, volume_uuid: &str, act: &Act) -> Result<(), EngineError> {
        match longhorn_name(volume_uuid) {
            Some(name) => self.longhorn.act(name, act).await,
            None => self.mayastor.act(volume_uuid, act).await,
        }
    }

    fn late(&self, volume_uuid: &str) -> Late {
        match longhorn_name(volume_uuid) {
            Some(name) => self.longhorn.late(name),
            None => self.mayastor.late(volume_uuid),
        }
    }
}

/// Longhorn as the hands of the journal, by the names of its volumes.
pub struct LonghornAdapter<'a>(pub &'a Longhorn);

impl StorageEngine for LonghornAdapter<'_> {
    async fn reading(&self, volume: &str) -> Result<Reading, EngineError> {
        let look = self.0.look(volume).await.map_err(engine_error)?;
        Ok(Reading {
            volume: look.volume,
            pools: look.pools,
            nodes: look.nodes,
            rebuilds: None,
            abilities: Abilities::LONGHORN,
        })
    }

    async fn act(&self, volume: &str, act: &Act) -> Result<(), EngineError> {
        match act {
            Act::SetReplicas(count) => self.0.set_replica_count(volume, *count).await,
            Act::CordonPool(pool) => self.0.cordon_disk(pool).await,
            // A node's cordon makes its copy the first to go; here the copy itself is marked, which keeps nothing else off the node.
            Act::CordonNode(node, label) => self.0.mark(volume, node, label).await,
            Act::Release(window, label) => {
                for pool in &window.pools {
                    self.0.uncordon_disk(pool).await.map_err(engine_error)?;
                }
                for node in window.all_nodes() {
                    self.0.unmark(volume, node, label).await.map_err(engine_error)?;
                }
                Ok(())
            }
        }
        .map_err(engine_error)
    }
}

fn engine_error(error: LonghornError) -> EngineError {
    let said = error.to_string();
    match error {
        LonghornError::AlreadyCordoned(_) => EngineError::AlreadyCordoned(said),
        LonghornError::CountAchieved => EngineError::CountAchieved(said),
        LonghornError::Refused(_) => EngineError::Refused(said),
        LonghornError::Indeterminate(_) => EngineError::Indeterminate(said),
        LonghornError::Absent | LonghornError::Unreachable(_) | LonghornError::Unreadable(_) => {
            EngineError::Unreachable(said)
        }
    }
}
