//! A Kubernetes API server in memory, over loopback HTTP: what `kube` clients and `kubectl` need of one, with faults to order.
//!
//! No controllers run, and nobody is refused: authentication, RBAC, CEL rules and conversion between versions are left out.
//! What is here answers as kube-apiserver 1.34 does; a contract test asks both the same questions.

mod admit;
mod apply;
mod delete;
mod discovery;
mod faults;
mod fields;
mod kinds;
mod listener;
mod ownership;
mod patch;
mod requests;
mod route;
mod schema;
mod selectors;
mod server;
mod status;
mod store;
#[cfg(test)]
mod tests;
mod typed;
mod validate;
mod view;
mod watch;
mod write;

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use faults::{Faults, On, What};
pub use requests::{Request, RequestLog};

use listener::{CuttableListener, Scissors};
use server::Shared;
use store::Store;

/// Why the simulation cannot do what was asked of it in process.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// No port on the loopback interface.
    #[error("the simulated API server cannot listen on 127.0.0.1; is the loopback interface up?")]
    Listen {
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The kind is not served.
    #[error(
        "the simulated API server serves no {kind} of {api_version}; put its CustomResourceDefinition first"
    )]
    UnknownKind {
        /// `apiVersion` of the object.
        api_version: String,
        /// `kind` of the object.
        kind: String,
    },
    /// The object has no name.
    #[error("a {kind} without metadata.name was put into the simulated API server; name it")]
    Nameless {
        /// `kind` of the object.
        kind: String,
    },
}

/// A running server; it ends when this is dropped.
#[derive(Debug)]
pub struct KubernetesSim {
    shared: Arc<Shared>,
    url: String,
    task: JoinHandle<()>,
}

impl KubernetesSim {
    /// Starts a server on a free port. The clock gives the times that objects carry.
    ///
    /// # Errors
    ///
    /// If there is no free port on the loopback interface.
    pub async fn start(clock: impl Fn() -> Timestamp + Send + Sync + 'static) -> Result<Self, SimError> {
        let listen = |source| SimError::Listen { source };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .map_err(listen)?;
        let url = format!("http://{}", listener.local_addr().map_err(listen)?);
        let shared = Arc::new(Shared {
            store: Mutex::new(Store::new()),
            clock: Box::new(clock),
            faults: Faults::default(),
            requests: RequestLog::default(),
            changes: tokio::sync::watch::Sender::new(0),
            cuts: tokio::sync::watch::Sender::new(0),
            gone: AtomicBool::new(false),
        });
        let app = Router::new()
            .fallback(server::serve)
            .with_state(Arc::clone(&shared));
        let service = app.into_make_service_with_connect_info::<Scissors>();
        let task = tokio::spawn(async move {
            // It runs until the task is aborted; accepting never fails for good.
            let _ = axum::serve(CuttableListener(listener), service).await;
        });
        let sim = KubernetesSim { shared, url, task };
        for namespace in ["default", "kube-node-lease", "kube-public", "kube-system"] {
            sim.ensure_namespace(namespace);
        }
        Ok(sim)
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A kubeconfig for this server, as YAML.
    pub fn kubeconfig(&self) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: sim\n\
             clusters:\n- name: sim\n  cluster: {{server: \"{}\"}}\n\
             users:\n- name: sim\n  user: {{token: sim}}\n\
             contexts:\n- name: sim\n  context: {{cluster: sim, user: sim, namespace: default}}\n",
            self.url
        )
    }

    /// Writes a whole object, status and all, as no client could: for setting a world up.
    ///
    /// # Errors
    ///
    /// If the kind is not served or the object has no name.
    pub fn put(&self, mut object: Value) -> Result<Value, SimError> {
        let text = |at: &Value| at.as_str().unwrap_or_default().to_owned();
        let (api_version, kind_name) = (text(&object["apiVersion"]), text(&object["kind"]));
        let (name, mut namespace) = (
            text(&object["metadata"]["name"]),
            text(&object["metadata"]["namespace"]),
        );
        let kind = self.shared.store().kind_of(&api_version, &kind_name);
        let Some(kind) = kind else {
            return Err(SimError::UnknownKind {
                api_version,
                kind: kind_name,
            });
        };
        if name.is_empty() {
            return Err(SimError::Nameless { kind: kind_name });
        }
        if kind.namespaced {
            if namespace.is_empty() {
                "default".clone_into(&mut namespace);
                object["metadata"]["namespace"] = json!(namespace);
            }
            self.ensure_namespace(&namespace);
        }
        let now = self.shared.now();
        let kept = self.shared.with_store(|store| {
            let key = Store::key(&kind, &namespace, &name);
            let live = store.get(&key);
            let version = api_version.rsplit('/').next().unwrap_or_default();
            let status = object.get("status").cloned();
            admit::complete(&kind, version, &mut object, live.is_none());
            if kind.plural == "customresourcedefinitions" {
                admit::establish(&mut object, live.as_deref(), &now);
            } else if let Some(status) = status {
                object["status"] = status;
            }
            let before = |name: &str| live.as_ref().and_then(|live| live["metadata"].get(name)).cloned();
            let number = if live.is_none() { store.next_number() } else { 0 };
            let metadata = &mut object["metadata"];
            for (name, new) in [("uid", write::uid(number)), ("creationTimestamp", now)] {
                if metadata[name].is_null() {
                    metadata[name] = before(name).unwrap_or_else(|| json!(new));
                }
            }
            if kind.generation && metadata["generation"].is_null() {
                metadata["generation"] = before("generation").unwrap_or_else(|| json!(1));
            }
            store.put(key, object)
        });
        Ok(Value::clone(&kept))
    }

    /// One object. The kind is `Kind`, or `Kind.group` where two groups share one.
    pub fn get(&self, kind: &str, namespace: Option<&str>, name: &str) -> Option<Value> {
        let store = self.shared.store();
        let kind = store.kind_named(kind)?;
        store
            .get(&Store::key(&kind, namespace.unwrap_or_default(), name))
            .map(|object| Value::clone(&object))
    }

    /// All objects of a kind, by namespace and name.
    pub fn list(&self, kind: &str) -> Vec<Value> {
        let store = self.shared.store();
        let objects = store
            .kind_named(kind)
            .map(|kind| store.list(&kind, None))
            .unwrap_or_default();
        objects.iter().map(|object| Value::clone(object)).collect()
    }

    /// Takes an object away, whatever its finalizers say.
    pub fn remove(&self, kind: &str, namespace: Option<&str>, name: &str) -> Option<Value> {
        self.shared.with_store(|store| {
            let kind = store.kind_named(kind)?;
            delete::vanish(store, &Store::key(&kind, namespace.unwrap_or_default(), name))
        })
    }

    /// The newest version of anything.
    pub fn revision(&self) -> u64 {
        self.shared.store().revision()
    }

    /// The failures to come.
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// What was asked over HTTP.
    pub fn requests(&self) -> &RequestLog {
        &self.shared.requests
    }

    /// Ends every open watch.
    pub fn cut_watches(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Forgets what happened so far: every watch, open or from an older version, is told that it expired.
    pub fn forget_history(&self) {
        self.shared.with_store(Store::forget);
    }

    fn ensure_namespace(&self, name: &str) {
        if self.get("Namespace", None, name).is_none() {
            let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
            self.put(namespace)
                .expect("namespaces are built in, and this one is named");
        }
    }
}

impl Drop for KubernetesSim {
    fn drop(&mut self) {
        // Connections that are open outlive the listener's task.
        self.shared.gone.store(true, Ordering::SeqCst);
        self.cut_watches();
        self.task.abort();
    }
}
