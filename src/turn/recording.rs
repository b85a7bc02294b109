//! What became of migrations: told, recorded, and let go.

use super::{Source, TurnFailure, Turned, World, leaving};
use crate::model::failure::Class;
use crate::model::kinds::volume_migration::VolumeMigration;
use crate::model::migration_brief::MigrationBrief;
use crate::record;

/// A migration in brief.
pub(super) fn brief(migration: &VolumeMigration) -> MigrationBrief {
    MigrationBrief::from(migration)
}

/// How many have ended.
pub(super) fn ended(migrations: &[VolumeMigration]) -> usize {
    let statuses = migrations.iter().filter_map(|one| one.status.as_ref());
    statuses.filter(|status| status.phase.is_final()).count()
}

pub(super) async fn record_outcomes(
    world: &World,
    source: &Source<'_>,
    migrations: &mut [VolumeMigration],
    turned: &mut Turned,
) {
    for migration in migrations {
        let now = (world.clock)();
        if let Err(error) = record::events::tell(&world.cluster, migration, &world.metrics, now).await {
            tracing::warn!(%error, "what became of a migration is told with the next turn");
        }
        match record::record(
            &world.cluster,
            source.repository,
            &source.audit,
            migration,
            &world.metrics,
        )
        .await
        {
            Ok(outcome) => {
                turned.outcomes.extend(outcome);
                if let Err(error) = leaving::let_go(world, migration).await {
                    tracing::warn!(%error, "an ended migration is let go with the next turn");
                }
            }
            Err(error) => {
                let message = error.to_string();
                turned.failures.push(TurnFailure {
                    class: Class::Retry,
                    reason: "RecordFailed".to_owned(),
                    message,
                });
            }
        }
    }
}
