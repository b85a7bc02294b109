//! Reads, writes the intent, acts, reads again: the hands of the journal.

use super::journal::{self, Act, ActFailure, Context, Late, Reading, Step};
use super::start::cordon_label;
use crate::model::engine::engine_of;
use crate::model::kinds::volume_migration::{VolumeMigration, VolumeMigrationStatus};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
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
    /// It has that number of copies already.
    #[error("the number of copies was that already: {0}")]
    CountAchieved(String),
    /// This release has no such call.
    #[error("this release cannot do that: {0}")]
    Unsupported(String),
    /// It could not be asked.
    #[error("not reachable: {0}")]
    Unreachable(String),
    /// This leadership has no time left in which to ask.
    #[error("the leadership has ended: {0}")]
    NotLeading(String),
}

impl EngineError {
    fn failure(&self) -> ActFailure {
        match self {
            Self::Indeterminate(_) => ActFailure::Unclear,
            Self::Refused(_) => ActFailure::Refused,
            Self::AlreadyCordoned(_) => ActFailure::AlreadyCordoned,
            Self::CountAchieved(_) => ActFailure::CountAchieved,
            Self::Unsupported(_) => ActFailure::NoPoolCordons,
            Self::Unreachable(_) | Self::NotLeading(_) => ActFailure::NotAsked,
        }
    }
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
    /// How long a call that was not answered can still be carried out.
    fn late(&self, volume_uuid: &str) -> Late {
        let _ = volume_uuid;
        Late::default()
    }
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
    /// Whether cordons may be set for it: it has a window, or somebody else has written it since.
    pub may_hold_cordons: bool,
    /// Why it did not go further, when that was an error.
    pub error: Option<String>,
}

/// What the migrations of one turn are to go by.
#[derive(Clone, Debug, Default)]
pub struct Orders {
    /// Names of the migrations that the base tree still approves.
    pub approved: BTreeSet<String>,
    /// Names of migrations that begin nothing new at present, and why.
    pub holds: BTreeMap<String, String>,
    /// Names of migrations that a person had cancelled, and why.
    pub cancels: BTreeMap<String, String>,
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
    mut migrations: Vec<VolumeMigration>,
    orders: &Orders,
    clock: impl Fn() -> Timestamp,
) -> Vec<Advanced> {
    // One alone is taken over by its own first step.
    let mut holders = match migrations.len() {
        1 => BTreeSet::new(),
        _ => claim(engine, store, &mut migrations, orders.epoch, &clock).await,
    };
    let mut advanced = Vec::with_capacity(migrations.len());
    for mut migration in migrations {
        let name = name(&migration).to_owned();
        holders.remove(&name);
        let context = Context {
            approved: orders.approved.contains(&name),
            cancel: orders.cancels.get(&name).cloned(),
            hold: orders.holds.get(&name).cloned(),
            others_cordon: orders.others_cordon || !holders.is_empty(),
            label: cordon_label(&name),
            epoch: orders.epoch,
            late: engine.late(&migration.spec.volume_uuid),
            now: clock(),
        };
        let stopped = advance(engine, store, &mut migration, context, &clock)
            .await
            .err();
        // Who has written it since may have set cordons for it, and nothing of that is known here.
        let overtaken = stopped.as_ref().is_some_and(|stopped| stopped.overtaken);
        let may_hold_cordons = overtaken || holds_cordons(&migration);
        if may_hold_cordons {
            holders.insert(name);
        }
        advanced.push(Advanced {
            migration,
            may_hold_cordons,
            error: stopped.map(|stopped| stopped.why),
        });
    }
    advanced
}

/// Writes the epoch of this leadership into every unfinished journal, so that an older one can open a window in none of them any more, and
/// says which may hold cordons nevertheless: those that have a window, and those that somebody else has written since they were read.
pub async fn claim(
    engine: &impl StorageEngine,
    store: &impl JournalStore,
    migrations: &mut [VolumeMigration],
    epoch: u64,
    clock: impl Fn() -> Timestamp,
) -> BTreeSet<String> {
    let mut holders = BTreeSet::new();
    let fresh = VolumeMigrationStatus::default();
    for migration in migrations {
        let status = migration.status.as_ref().unwrap_or(&fresh);
        // What was superseded ends without a call to the engine.
        if status.phase.is_final() || migration.spec.superseded.is_some() {
            continue;
        }
        let newer = status.epoch.is_some_and(|theirs| theirs > epoch);
        let late = engine.late(&migration.spec.volume_uuid);
        let taken = journal::taken_over(status, epoch, late, clock()).filter(|_| !newer);
        let failed = match taken {
            Some(taken) => write(store, migration, taken).await.is_err(),
            None => newer,
        };
        if failed || holds_cordons(migration) {
            holders.insert(name(migration).to_owned());
        }
    }
    holders
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

/// Why a migration did not go further.
struct Stopped {
    why: String,
    /// Whether somebody else goes on with it.
    overtaken: bool,
}

fn fenced() -> Stopped {
    Stopped {
        why: "a newer leadership goes on with it".to_owned(),
        overtaken: true,
    }
}

impl From<String> for Stopped {
    fn from(why: String) -> Self {
        Self {
            why,
            overtaken: false,
        }
    }
}

async fn advance(
    engine: &impl StorageEngine,
    store: &impl JournalStore,
    migration: &mut VolumeMigration,
    mut context: Context,
    clock: &impl Fn() -> Timestamp,
) -> Result<(), Stopped> {
    for _ in 0..STEPS_MAX {
        let status = migration.status.clone().unwrap_or_default();
        if status.phase.is_final() {
            return Ok(());
        }
        if status.epoch.is_some_and(|epoch| epoch > context.epoch) {
            return Err(fenced());
        }
        if let Some(ended) = journal::superseded(&migration.spec, &status, context.epoch, clock()) {
            return write(store, migration, ended).await;
        }
        let uuid = migration.spec.volume_uuid.clone();
        let reading = engine.reading(&uuid).await.map_err(|error| error.to_string())?;
        context.now = clock();
        match journal::next(&migration.spec, &status, &reading, &context) {
            Step::Fenced => return Err(fenced()),
            Step::Record(next) => write(store, migration, next).await?,
            Step::Wait(next) => {
                if next != status {
                    write(store, migration, next).await?;
                }
                return Ok(());
            }
            Step::Act(next, act) => {
                // Written each time, also when nothing in it is new: the write fails if somebody else has written since.
                write(store, migration, next).await?;
                let outcome = engine.act(&uuid, &act).await;
                let status = migration.status.clone().unwrap_or_default();
                match outcome {
                    Ok(()) => {
                        if let Some(next) = journal::done(&status, &act, clock()) {
                            write(store, migration, next).await?;
                        }
                    }
                    Err(error) => {
                        let mut failed =
                            journal::failed(&status, &act, error.failure(), context.late, clock());
                        failed.message = format!("{}: {error}", engine_of(&uuid));
                        return write(store, migration, failed).await;
                    }
                }
            }
        }
    }
    Err(format!(
        "{} took more than {STEPS_MAX} steps in one turn; going on with the next turn",
        name(migration)
    )
    .into())
}

async fn write(
    store: &impl JournalStore,
    migration: &mut VolumeMigration,
    status: VolumeMigrationStatus,
) -> Result<(), Stopped> {
    let before = migration.status.replace(status);
    store.write(migration).await.map_err(|error| {
        // What was not written is not how it stands.
        migration.status = before;
        Stopped {
            overtaken: error == StoreError::Conflict,
            why: error.to_string(),
        }
    })
}
