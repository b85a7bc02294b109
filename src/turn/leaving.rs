//! Migrations that are deleted, and those whose source is: what they hold of the engine is given back before they go.

use super::{World, advancing};
use crate::execute::engine::Orders;
use crate::io::cluster::ClusterError;
use crate::model::ids::SourceRef;
use crate::model::kinds::UNFINISHED_MOVE;
use crate::model::kinds::volume_migration::VolumeMigration;
use crate::record::events;
use std::collections::BTreeSet;

fn is_final(migration: &VolumeMigration) -> bool {
    migration
        .status
        .as_ref()
        .is_some_and(|status| status.phase.is_final())
}

/// Lets an ended migration be deleted.
///
/// # Errors
/// Any [`ClusterError`]; it is tried again with the next turn.
pub(super) async fn let_go(world: &World, migration: &mut VolumeMigration) -> Result<(), ClusterError> {
    let held = |all: &Vec<String>| all.iter().any(|one| one == UNFINISHED_MOVE);
    if !is_final(migration) || !migration.metadata.finalizers.as_ref().is_some_and(held) {
        return Ok(());
    }
    match world.cluster.let_go(migration, UNFINISHED_MOVE).await {
        Ok(written) => *migration = written,
        // Nothing is left to be let go.
        Err(ClusterError::Api { code: 404, .. }) => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Takes back the unfinished migrations of sources that are gone, and says how many of them are left: nobody approves them any more, and
/// there is no repository in which their end could be recorded.
///
/// # Errors
/// When the migrations cannot be listed.
pub async fn orphans(world: &World, sources: &BTreeSet<SourceRef>) -> Result<usize, ClusterError> {
    let all: Vec<VolumeMigration> = world.cluster.list().await?;
    let (mut owned, orphaned): (Vec<_>, Vec<_>) = all
        .into_iter()
        .partition(|one| sources.iter().any(|known| one.spec.source.is(known)));
    let (mut ended, unfinished): (Vec<_>, Vec<_>) = orphaned.into_iter().partition(is_final);
    let why = |one: &VolumeMigration| {
        let source = &one.spec.source;
        format!("PolicySource {}/{} was deleted", source.namespace, source.name)
    };
    let named = |one: &VolumeMigration| Some((one.metadata.name.clone()?, why(one)));
    let orders = Orders {
        cancels: unfinished.iter().filter_map(named).collect(),
        // Nothing is to be known of others where nothing is taken back.
        others_cordon: !unfinished.is_empty() && advancing::claim(world, &mut owned).await,
        epoch: world.leadership.epoch(),
        ..Orders::default()
    };
    let advanced = advancing::execute(world, unfinished, &orders).await;
    ended.extend(advanced.into_iter().map(|one| one.migration));
    let mut left = 0;
    for mut migration in ended {
        if !is_final(&migration) {
            left += 1;
            continue;
        }
        let now = (world.clock)();
        if let Err(error) = events::tell(&world.cluster, &mut migration, &world.metrics, now).await {
            tracing::warn!(%error, "what became of a migration is not told");
        }
        if let Err(error) = let_go(world, &mut migration).await {
            tracing::warn!(%error, "a migration of a deleted source could not be let go");
            left += 1;
        }
    }
    Ok(left + super::moving::orphans(world, sources).await?)
}
