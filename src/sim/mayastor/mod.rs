//! A simulated Mayastor control plane: its REST API over loopback, its placement, its removal order and a rebuild clock.
//!
//! The rules are those of openebs/mayastor-control-plane (`controller/scheduling`, `volume/specs.rs`), 2.10 and later: what
//! matters is that neither placement nor removal does what a caller means unless the caller steers it.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

/// The HTTP face.
mod rest;

/// Placement, removal, rebuilds.
mod state;

#[cfg(test)]
mod tests;

pub use state::{Fault, State};

/// A storage node.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeSeed {
    /// Its name.
    pub name: String,
}

/// A disk pool.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PoolSeed {
    /// Its name.
    pub name: String,
    /// Its node.
    pub node: String,
    /// Its labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Capacity in GiB.
    pub capacity_gib: u64,
    /// Used before any volume is placed, in GiB.
    #[serde(default)]
    pub used_gib: u64,
}

/// A volume.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VolumeSeed {
    /// Its uuid.
    pub uuid: String,
    /// Size in GiB.
    pub size_gib: u64,
    /// Pools that hold a copy.
    pub pools: Vec<String>,
    /// The node of its target; absent for a volume that no pod uses.
    #[serde(default)]
    pub target: Option<String>,
    /// Pool labels that its topology demands; an empty value means any.
    #[serde(default)]
    pub pool_inclusion: BTreeMap<String, String>,
    /// Snapshots.
    #[serde(default)]
    pub snapshots: u32,
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
}

impl Shared {
    /// The state, brought up to the present.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self
            .state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        state.advance(self.started.elapsed());
        state
    }
}

impl MayastorSim {
    /// Starts with nodes, pools and volumes; a rebuild takes `rebuild`.
    ///
    /// # Errors
    /// When no port can be opened, or the seed does not fit together.
    pub async fn start(
        nodes: &[NodeSeed],
        pools: &[PoolSeed],
        volumes: &[VolumeSeed],
        rebuild: Duration,
    ) -> Result<Self, String> {
        let state = State::new(nodes, pools, volumes, rebuild)?;
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            started: Instant::now(),
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
