//! The loop around the elector: asks and writes the Lease, waits, and tells how it stands.

use super::elector::{self, Action, Event, Moment, Purpose, State, Write};
use super::{JITTER_PERCENT, RENEW_DEADLINE, RETRY_PERIOD, Standing};
use crate::model::lease::LeaseRecord;
use jiff::Timestamp;
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// One call of the API server: half of what a leader has for a renewal, so that one lost call can be followed by another.
const CALL_MAX: Duration = Duration::from_secs(RENEW_DEADLINE.as_secs() / 2);

/// How long giving the Lease up may take: it runs out by itself.
const RELEASE_MAX: Duration = Duration::from_secs(5);

/// How often an epoch is tried to be taken without election: others that start at the same moment come first a few times at most.
const TAKE_TRIES: usize = 5;

/// Why the store did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It was not done, because somebody else wrote it since it was read.
    #[error("somebody else wrote the Lease first")]
    Conflict,
    /// It was not done.
    #[error("{0}")]
    Refused(String),
    /// It may have been done or not.
    #[error("no clear answer: {0}")]
    Unclear(String),
}

/// Where the Lease is kept.
pub trait LeaseStore: Send + Sync + 'static {
    /// Reads it; `None`: there is none.
    fn read(&self) -> impl Future<Output = Result<Option<LeaseRecord>, StoreError>> + Send;
    /// Writes it if it has the record's version still, or creates it for a record without a version.
    fn write(&self, record: &LeaseRecord) -> impl Future<Output = Result<LeaseRecord, StoreError>> + Send;
    /// The highest epoch that stands in anything that a leader wrote. Someone may have deleted the Lease, and the epoch must not fall.
    fn highest_epoch(&self) -> impl Future<Output = Result<u64, StoreError>> + Send;
}

/// A controller that leads or waits to lead.
pub struct Candidate {
    standing: watch::Receiver<Standing>,
    release: mpsc::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

impl Candidate {
    /// Begins to stand for the Lease under a name that nobody else has.
    pub fn start(store: impl LeaseStore, me: String, clock: fn() -> Timestamp) -> Self {
        let (tell, standing) = watch::channel(Standing::default());
        let (release, released) = mpsc::channel(1);
        let task = tokio::spawn(stand(store, State::new(me), clock, tell, released));
        Self {
            standing,
            release,
            task,
        }
    }

    /// How it stands, and news of that.
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.clone()
    }

    /// Gives the Lease up, so that another may take it at once. Nothing may be done under it any more.
    pub async fn release(self) {
        let _ = self.release.try_send(());
        if tokio::time::timeout(RELEASE_MAX, self.task).await.is_err() {
            tracing::warn!("the Lease could not be given up; it runs out by itself");
        }
    }
}

async fn stand(
    store: impl LeaseStore,
    mut state: State,
    clock: fn() -> Timestamp,
    tell: watch::Sender<Standing>,
    mut released: mpsc::Receiver<()>,
) {
    let mut event = Event::Wake;
    let mut able = false;
    loop {
        let now = Moment {
            at: Instant::now(),
            wall: clock(),
        };
        able = match &event {
            Event::NotRead => false,
            Event::Refused(purpose) => able && *purpose != Purpose::Take,
            Event::Read(_) => true,
            _ => able,
        };
        let (after, action) = elector::next(&state, event, now);
        state = after;
        let standing = Standing {
            term: state.term(),
            holder: state.holder().map(str::to_owned),
            able,
        };
        tell.send_if_modified(|told| std::mem::replace(told, standing.clone()) != standing);
        event = match action {
            Action::Read => match bounded(store.read()).await {
                Ok(found) => Event::Read(found),
                Err(error) => not_read("the Lease", &error),
            },
            Action::Survey => match bounded(store.highest_epoch()).await {
                Ok(floor) => Event::Surveyed(floor),
                Err(error) => not_read("the epochs of earlier leaders", &error),
            },
            Action::Write(write) => written(&store, write).await,
            Action::Pause(pause) => tokio::select! {
                () = tokio::time::sleep(jittered(pause)) => Event::Wake,
                _ = released.recv() => Event::Release,
            },
            Action::Done => return,
        };
    }
}

async fn written(store: &impl LeaseStore, write: Write) -> Event {
    match bounded(store.write(&write.record)).await {
        Ok(record) => Event::Wrote(write, record),
        Err(StoreError::Conflict) => {
            tracing::debug!(purpose = ?write.purpose, "somebody else wrote the Lease first");
            Event::Refused(write.purpose)
        }
        Err(StoreError::Refused(detail)) => {
            tracing::warn!(purpose = ?write.purpose, detail, "the Lease cannot be written");
            Event::Refused(write.purpose)
        }
        Err(StoreError::Unclear(detail)) => {
            tracing::debug!(purpose = ?write.purpose, detail, "no clear answer; the Lease is read again");
            Event::Unclear(write)
        }
    }
}

fn not_read(what: &str, error: &StoreError) -> Event {
    tracing::warn!(%error, "{what} cannot be read");
    Event::NotRead
}

async fn bounded<T>(call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    tokio::time::timeout(CALL_MAX, call)
        .await
        .unwrap_or_else(|_| Err(StoreError::Unclear(format!("no answer within {CALL_MAX:?}"))))
}

/// The pause, and up to a fifth of it more.
fn jittered(pause: Duration) -> Duration {
    // Each hasher of the standard library has keys of its own: enough chance to keep candidates apart.
    let random = RandomState::new().hash_one(0_u8) % (JITTER_PERCENT + 1);
    pause + pause * u32::try_from(random).unwrap_or_default() / 100
}

/// Takes an epoch without holding the Lease: for a controller that runs without election, so that one from before its start is fenced.
/// Gives the epoch, and who holds the Lease.
///
/// # Errors
/// [`StoreError`]: there is no epoch, and without one nothing may be written.
pub async fn take_epoch(
    store: &impl LeaseStore,
    clock: fn() -> Timestamp,
) -> Result<(u64, Option<String>), StoreError> {
    let mut outcome = Err(StoreError::Conflict);
    for attempt in 0..TAKE_TRIES {
        if attempt > 0 {
            tokio::time::sleep(jittered(RETRY_PERIOD)).await;
        }
        outcome = take_once(store, clock).await;
        // Whether an unclear one was done does not matter: the next number is higher still.
        if matches!(outcome, Ok(_) | Err(StoreError::Refused(_))) {
            break;
        }
    }
    outcome
}

async fn take_once(
    store: &impl LeaseStore,
    clock: fn() -> Timestamp,
) -> Result<(u64, Option<String>), StoreError> {
    let before = bounded(store.read()).await?.unwrap_or_default();
    let floor = bounded(store.highest_epoch()).await?;
    let epoch = before.epoch.max(floor).saturating_add(1);
    let holder = before.holder.clone();
    let record = LeaseRecord {
        epoch,
        acquired: Some(clock()),
        ..before
    };
    bounded(store.write(&record)).await?;
    Ok((epoch, holder))
}
