//! Looks now and then for cordons that bear a label of ours and that no journal speaks for, and takes them back.

use super::adapters::EngineAdapter;
use crate::execute::engine::StorageEngine;
use crate::execute::journal::Act;
use crate::execute::sweep::{self, Leaked};
use crate::io::cluster::ClusterError;
use crate::model::kinds::policy_source::PolicySource;
use crate::model::kinds::volume_migration::{VolumeMigration, Window};
use crate::turn::World;
use std::time::{Duration, Instant};

/// Between two looks, of which the first is made when a leadership begins. A leaked cordon is rare and keeps new copies off a node; where
/// nothing is cordoned a look costs one request.
const SWEEP_EVERY: Duration = Duration::from_secs(600);

/// How long the engine may take for its nodes: sources and webhooks wait meanwhile. The next look tries again.
const NODES_MAX: Duration = Duration::from_secs(5);

/// When it was looked last.
#[derive(Debug, Default)]
pub(super) struct Sweeper(Option<Instant>);

impl Sweeper {
    /// Looks, if it is time. An Event of what is taken back goes to its migration, or to a source where there is none any more.
    pub(super) async fn look(&mut self, world: &World, source: Option<&PolicySource>) {
        if self.0.is_some_and(|last| last.elapsed() < SWEEP_EVERY) {
            return;
        }
        self.0 = Some(Instant::now());
        if let Err(error) = sweep(world, source).await {
            tracing::warn!(%error, "cannot look for cordons that nobody speaks for");
        }
    }
}

async fn sweep(world: &World, source: Option<&PolicySource>) -> Result<(), ClusterError> {
    // Before the journals: what is cordoned now has a journal that says so, or has been let go by the time that it is read.
    let nodes = match tokio::time::timeout(NODES_MAX, world.mayastor.nodes()).await {
        Ok(Ok(nodes)) => nodes,
        Ok(Err(error)) => {
            tracing::debug!(%error, "Mayastor's nodes are not seen");
            return Ok(());
        }
        Err(_) => {
            tracing::debug!("Mayastor's nodes are not seen in time");
            return Ok(());
        }
    };
    // As a rule nothing is cordoned, and then no journal is asked for.
    if sweep::leaked(&nodes, &[]).is_empty() {
        world.metrics.leaked(0);
        return Ok(());
    }
    let journals: Vec<VolumeMigration> = world.cluster.list().await?;
    let leaked = sweep::leaked(&nodes, &journals);
    let mut left = 0;
    for one in &leaked {
        let Leaked { node, label } = one;
        let window = Window {
            node: Some(node.to_string()),
            ..Window::default()
        };
        let release = Act::Release(window, label.clone());
        let (warning, note) = match EngineAdapter(&world.mayastor).act("", &release).await {
            Ok(()) => (
                false,
                format!(
                    "node {node} was cordoned under {label}, and no journal spoke for that; it is not any more"
                ),
            ),
            Err(error) => {
                left += 1;
                (
                    true,
                    format!(
                        "node {node} is cordoned under {label}, no journal speaks for that, and it could not be taken back: {error}"
                    ),
                )
            }
        };
        let owner = |journal: &&VolumeMigration| sweep::label_of(journal).as_ref() == Some(label);
        let told = match (journals.iter().find(owner), source) {
            (Some(owner), _) => world.cluster.publish(owner, warning, "CordonSwept", &note).await,
            (None, Some(source)) => world.cluster.publish(source, warning, "CordonSwept", &note).await,
            (None, None) => {
                tracing::warn!("{note}");
                Ok(())
            }
        };
        if let Err(error) = told {
            tracing::warn!(%error, note, "an Event is not published");
        }
    }
    world.metrics.leaked(left);
    Ok(())
}
