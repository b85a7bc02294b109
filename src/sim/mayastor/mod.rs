//! A simulated Mayastor control plane: its REST API over loopback, its placement, its removal order and a rebuild clock.
//!
//! The rules are those of openebs/mayastor-control-plane (`controller/scheduling`, `volume/specs.rs`), by release: what
//! matters is that neither placement nor removal does what a caller means unless the caller steers it.
//!
//! A test drives a [`State`](crate::sim::mayastor::State) by itself, or the same state behind [`MayastorSim`](crate::sim::mayastor::MayastorSim)'s server, on the real clock or on its own.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

/// What the API does when it is asked.
mod calls;

/// Copies that come and go.
mod copies;

/// What goes wrong.
mod faults;

/// What a test asks in the end.
mod judge;

/// What happens by itself.
mod life;

/// What others do.
mod others;

/// What was.
mod past;

/// Releases.
mod profile;

/// Which copy goes.
mod remove;

/// The HTTP face.
mod rest;

/// Where a copy goes.
mod schedule;

/// What a simulator is started from.
mod seed;

/// What the API tells.
mod show;

/// Nodes, pools, volumes.
mod state;

#[cfg(test)]
mod tests;

pub use calls::Refusal;
pub use faults::{At, Fault, Faults, How, Route, Stale};
pub use judge::{Actor, Cordoned, Held, Judge, Removal};
pub use profile::{Capabilities, Profile};
pub use schedule::Filter;
pub use seed::{NodeSeed, PoolSeed, Setup, Times, VolumeSeed};
pub use show::View;
pub use state::{
    Copy, Drain, PoolCordon, PoolStatus, Reason, Rebuild, RebuildState, SimNode, SimPool, SimVolume,
    Snapshot, State,
};

/// What tells the server the time.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The machine's clock.
    #[default]
    Real,
    /// Milliseconds since the start, as a test sets them: hours pass at once.
    Driven(Arc<AtomicU64>),
}

/// The running simulator; it ends when it is dropped.
pub struct MayastorSim {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: tokio::task::JoinHandle<()>,
}

pub(crate) struct Shared {
    state: Mutex<State>,
    started: Instant,
    clock: Clock,
}

impl Shared {
    /// The state, brought up to the present.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.advance(match &self.clock {
            Clock::Real => self.started.elapsed(),
            Clock::Driven(millis) => Duration::from_millis(millis.load(Ordering::SeqCst)),
        });
        state
    }
}

impl MayastorSim {
    /// Starts 2.10 with nodes, pools and volumes on the real clock; a rebuild takes `rebuild`.
    ///
    /// # Errors
    /// When no port can be opened, or the seed does not fit together.
    pub async fn start(
        nodes: &[NodeSeed],
        pools: &[PoolSeed],
        volumes: &[VolumeSeed],
        rebuild: Duration,
    ) -> Result<Self, String> {
        let setup = Setup {
            nodes: nodes.to_vec(),
            pools: pools.to_vec(),
            volumes: volumes.to_vec(),
            rebuild,
            ..Setup::default()
        };
        Self::start_as(setup, Clock::Real).await
    }

    /// Starts any release on either clock.
    ///
    /// # Errors
    /// When no port can be opened, or the setup does not fit together.
    pub async fn start_as(setup: Setup, clock: Clock) -> Result<Self, String> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State::new(setup)?),
            started: Instant::now(),
            clock,
        });
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .map_err(|error| error.to_string())?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let routes = rest::routes(shared.clone());
        let server = tokio::spawn(async move {
            // The server ends with its task; there is nobody to tell of an error of accept().
            let _ = axum::serve(listener, routes).await;
        });
        Ok(Self {
            address,
            shared,
            server,
        })
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Looks at or changes its state.
    pub fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.shared.state())
    }
}

impl Drop for MayastorSim {
    fn drop(&mut self) {
        self.server.abort();
    }
}
