//! Migrations that are under way go on.

use super::{Memory, Source, TurnFailure, Turned, World, brief, holding};
use crate::execute::engine::{self, Advanced, Orders};
use crate::io::longhorn::Longhorn;
use crate::model::failure::Class;
use crate::model::kinds::volume_migration::VolumeMigration;
use crate::model::moves::Stop;
use crate::wiring::{EngineAdapter, Hands, LonghornAdapter, StoreAdapter};
use std::collections::{BTreeMap, BTreeSet};

/// The source's own migrations, and those of others: they count for budgets and are never touched.
pub(super) async fn migrations_of(
    world: &World,
    source: &Source<'_>,
) -> Result<(Vec<VolumeMigration>, Vec<VolumeMigration>), TurnFailure> {
    let all: Vec<VolumeMigration> = world
        .cluster
        .list()
        .await
        .map_err(|error| TurnFailure::from(&error))?;
    let ours = |migration: &VolumeMigration| migration.spec.source.is(&source.name);
    Ok(all.into_iter().partition(ours))
}

/// Advances what is unfinished. A migration goes on for as long as the base tree approves it; while no tree could be read
/// since the start, what was approved stays approved. Says too whether cordons may be set for one of them.
pub(super) async fn advance(
    world: &World,
    source: &Source<'_>,
    memory: &Memory,
    migrations: Vec<VolumeMigration>,
    (others_cordon, stop): (bool, Option<&Stop>),
    turned: &mut Turned,
) -> (Vec<VolumeMigration>, bool) {
    let approves = |migration: &VolumeMigration| match &memory.desired {
        None => true,
        Some((desired, _)) => desired.approved.iter().any(|approved| {
            let what = approved.what();
            what.volume.as_str() == migration.spec.volume && what.to.as_str() == migration.spec.to
        }),
    };
    let (unfinished, mut done): (Vec<_>, Vec<_>) = migrations
        .into_iter()
        .partition(|one| !brief(one).phase.is_final());
    let approved: BTreeSet<String> = unfinished
        .iter()
        .filter(|one| approves(one))
        .filter_map(|one| one.metadata.name.clone())
        .collect();
    let before: BTreeMap<String, u64> = unfinished.iter().filter_map(copied).collect();
    let mut orders = Orders {
        approved,
        others_cordon,
        epoch: world.leadership.epoch(),
        ..Orders::default()
    };
    holding::say(&mut orders, stop, source.limits.dry_run, &unfinished);
    let mut cordons = false;
    for advanced in execute(world, unfinished, &orders).await {
        if let Some(error) = advanced.error {
            let name = advanced.migration.metadata.name.clone().unwrap_or_default();
            turned.failures.push(TurnFailure {
                class: Class::Retry,
                reason: "MigrationWaits".to_owned(),
                message: format!("{name}: {error}"),
            });
        }
        if let Some((name, now)) = copied(&advanced.migration) {
            // A copy that is begun anew counts from nothing; what was copied before was copied nevertheless.
            let bytes = now.saturating_sub(before.get(&name).copied().unwrap_or(0));
            let spec = &advanced.migration.spec;
            world.metrics.copied(&spec.from, &spec.to, bytes);
        }
        cordons |= advanced.may_hold_cordons;
        done.push(advanced.migration);
    }
    (done, cordons)
}

/// Makes sure that no older leadership opens a window for one of these, and says whether cordons may be set for one.
pub(super) async fn claim(world: &World, migrations: &mut [VolumeMigration]) -> bool {
    let longhorn = Longhorn::of(&world.cluster);
    let hands = hands(world, &longhorn);
    let (store, epoch) = (StoreAdapter(&world.cluster), world.leadership.epoch());
    let holders = engine::claim(&hands, &store, migrations, epoch, world.clock).await;
    !holders.is_empty()
}

/// The world's engines.
fn hands<'a>(world: &'a World, longhorn: &'a Longhorn) -> Hands<'a> {
    Hands {
        mayastor: EngineAdapter(&world.mayastor),
        longhorn: LonghornAdapter(longhorn),
    }
}

/// Carries migrations on with the world's engines and journals.
pub(super) async fn execute(
    world: &World,
    migrations: Vec<VolumeMigration>,
    orders: &Orders,
) -> Vec<Advanced> {
    let longhorn = Longhorn::of(&world.cluster);
    let hands = hands(world, &longhorn);
    let store = StoreAdapter(&world.cluster);
    let all = engine::execute(&hands, &store, migrations, orders, world.clock).await;
    for one in &all {
        if let Some(error) = &one.error {
            let name = one.migration.metadata.name.as_deref().unwrap_or_default();
            tracing::warn!(migration = name, error, "migration waits");
        }
    }
    all
}

/// A migration's name, and how many bytes it has copied.
fn copied(migration: &VolumeMigration) -> Option<(String, u64)> {
    let name = migration.metadata.name.clone()?;
    Some((name, migration.status.as_ref()?.bytes_copied?))
}
