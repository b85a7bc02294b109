//! Reads, writes the intent, acts, reads again: the hands of the journal.

use super::journal::{self, Act, Context, Reading, Step};
use super::start::cordon_label;
use crate::model::kinds::volume_migration::{VolumeMigration, VolumeMigrationStatus};
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::future::Future;

/// Steps of one migration in one turn: a move of one copy takes about ten, so this ends any loop of our own making.
const STEPS_MAX: usize = 64;

/// Why a call to the engine did not simply succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// It may have been done or not; only a reading can tell.
    #[error("no clear answer: {0}")]
    Indeterminate(String),
    /// It was refused and not done.
    #[error("refused: {0}")]
    Refused(String),
    /// The pool was cordoned by somebody else in the meantime.
    #[error("already cordoned: {0}")]
    AlreadyCordoned(String),
    /// It could not be asked.
    #[error("not reachable: {0}")]
    Unreachable(String),
}

/// Why the journal could not be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Somebody else wrote it since it was read.
    #[error("the VolumeMigration was changed by somebody else; reading it again")]
    Conflict,
    /// It could not be written.
    #[error("{0}")]
    Failed(String),
}

/// What executing needs of the storage engine.
pub trait StorageEngine: Sync {
    /// Reads the volume, all pools and all nodes, now.
    fn reading(&self, volume_uuid: &str) -> impl Future<Output = Result<Reading, EngineError>> + Send;
    /// Makes one call.
    fn act(&self, volume_uuid: &str, act: &Act) -> impl Future<Output = Result<(), EngineError>> + Send;
}

/// Where journals are kept.
pub trait JournalStore: Sync {
    /// Writes the status if nobody has written it since it was read, and takes over the new resourceVersion.
    fn write(&self, migration: &mut VolumeMigration) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// What one turn did with one migration.
#[derive(Clone, Debug)]
pub struct Advanced {
    /// The migration as it stands.
    pub migration: VolumeMigration,
    /// Why it did not go further, when that was an error.
    pub error: Option<String>,
}

/// What the migrations of one turn are to go by.
#[derive(Clone, Debug, Default)]
pub struct Orders {
    /// Names of the migrations that the base tree still approves.
    pub approved: BTreeSet<String>,
    /// Whether a migration that is not here holds cordons.
    pub others_cordon: bool,
    /// The epoch of the leadership that acts.
    pub epoch: u64,
}

/// Advances every unfinished migration as far as it goes without waiting, one after the other: cordons are felt by
/// the whole cluster, so no two windows may overlap.
pub async fn execute(
    engine: &impl StorageEngine,
    store: &impl JournalStore,
    migrations: Vec<VolumeMigration>,
    orders: &Orders,
    clock: impl Fn() -> Timestamp,
) -> Vec<Advanced> {
    let mut holders: BTreeSet<String> = migrations
        .iter()
        .filter(|migration| holds_cordons(migration))
        .map(|migration| name(migration).to_owned())
        .collect();
    let mut advanced = Vec::with_capacity(migrations.len());
    for mut migration in migrations {
        let name = name(&migration).to_owned();
        holders.remove(&name);
        let context = Context {
            approved: orders.approved.contains(&name),
            others_cordon: orders.others_cordon || !holders.is_empty(),
            label: cordon_label(&name),
            epoch: orders.epoch,
            now: clock(),
        };
        let error = advance(engine, store, &mut migration, context, &clock)
            .await
            .err();
        if holds_cordons(&migration) {
            holders.insert(name);
        }
        advanced.push(Advanced { migration, error });
    }
    advanced
}

fn name(migration: &VolumeMigration) -> &str {
    migration.metadata.name.as_deref().unwrap_or_default()
}

/// Whether a migration's journal says that cordons of its own may be set.
pub fn holds_cordons(migration: &VolumeMigration) -> bool {
    migration
        .status
        .as_ref()
        .is_some_and(|status| status.window.is_some())
}

async fn advance(
    engine: &impl StorageEngine,
    store: &impl JournalStore,
    migration: &mut VolumeMigration,
    mut context: Context,
    clock: &impl Fn() -> Timestamp,
) -> Result<(), String> {
    for _ in 0..STEPS_MAX {
        let status = migration.status.clone().unwrap_or_default();
        if status.phase.is_final() {
            return Ok(());
        }
        if let Some(ended) = journal::superseded(&migration.spec, &status, clock()) {
            return write(store, migration, ended).await;
        }
        let uuid = migration.spec.volume_uuid.clone();
        let reading = engine.reading(&uuid).await.map_err(|error| error.to_string())?;
        context.now = clock();
        match journal::next(&migration.spec, &status, &reading, &context) {
            Step::Record(next) => write(store, migration, next).await?,
            Step::Wait(next) => {
                if next != status {
                    write(store, migration, next).await?;
                }
                return Ok(());
            }
            Step::Act(next, act) => {
                if next != status {
                    write(store, migration, next).await?;
                }
                if let Err(error) = engine.act(&uuid, &act).await {
                    note_failure(store, migration, &act, error).await?;
                    return Ok(());
                }
            }
        }
    }
    Err(format!(
        "{} took more than {STEPS_MAX} steps in one turn; going on with the next turn",
        name(migration)
    ))
}

async fn write(
    store: &impl JournalStore,
    migration: &mut VolumeMigration,
    status: VolumeMigrationStatus,
) -> Result<(), String> {
    migration.status = Some(status);
    store.write(migration).await.map_err(|error| error.to_string())
}

/// A refusal counts as an attempt; an unclear answer does not, for the next reading tells what became of it.
async fn note_failure(
    store: &impl JournalStore,
    migration: &mut VolumeMigration,
    act: &Act,
    error: EngineError,
) -> Result<(), String> {
    let mut status = migration.status.clone().unwrap_or_default();
    match &error {
        EngineError::AlreadyCordoned(_) => {
            if let (Act::CordonPool(pool), Some(window)) = (act, &mut status.window) {
                window.pools.retain(|held| held != pool);
            }
        }
        EngineError::Refused(_) => status.attempts = status.attempts.saturating_add(1),
        EngineError::Indeterminate(_) | EngineError::Unreachable(_) => {}
    }
    status.message = format!("Mayastor: {error}");
    write(store, migration, status).await
}
