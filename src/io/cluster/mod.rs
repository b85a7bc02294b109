//! The Kubernetes API: the only folder that calls kube's client.

use crate::io::guard::{Guard, NotLeading};
use crate::model::failure::{Class, Failure};
use crate::model::secret::SecretText;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolume, PersistentVolumeClaim, Secret};
use kube::api::{ApiResource, DynamicObject, ListParams, PostParams};
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The way to it.
mod connect;

/// Objects whose kinds are known only by name.
mod dynamic;

/// Annotations.
mod annotate;

/// The Lease of the leader election.
mod lease;

/// Objects of other systems.
mod foreign;

/// Events, and news of changed objects.
mod news;

pub use dynamic::Live;
pub use foreign::{Foreign, Which};

/// Objects per page of a list: keeps one answer at a few megabytes.
const PAGE: u32 = 500;

/// Pages of one list: half a million objects, far beyond what one cluster holds of volumes.
const PAGES_MAX: usize = 1000;

/// Why the cluster did not do what was asked. Texts about Secrets carry no values.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// There is no way to the cluster.
    #[error("no way to the Kubernetes API: {detail}; check --kubeconfig")]
    Config {
        /// What is wrong.
        detail: String,
    },
    /// The request was not answered.
    #[error(
        "the Kubernetes API at {server} did not answer: {detail}; see that it runs and can be reached from here, and that --kubeconfig names the right cluster"
    )]
    Unreachable {
        /// Where it is looked for.
        server: String,
        /// What went wrong.
        detail: String,
    },
    /// Somebody else changed the object since it was read.
    #[error("{what} was changed by somebody else meanwhile")]
    Conflict {
        /// The object.
        what: String,
    },
    /// It is there already.
    #[error("{what} exists already")]
    Exists {
        /// The object.
        what: String,
    },
    /// The service account may not do that.
    #[error("not allowed: {detail}; compare the ClusterRole with `couchestor manifests`")]
    Forbidden {
        /// The API server's words: they name verb and resource.
        detail: String,
    },
    /// The API server finds the object wrong.
    #[error("{what}: {detail}")]
    Invalid {
        /// The object.
        what: String,
        /// The API server's words.
        detail: String,
    },
    /// It was made once, and another one would do harm.
    #[error("{what} is not changed: {why}")]
    MadeOnce {
        /// The object.
        what: String,
        /// The harm, and what to do.
        why: &'static str,
    },
    /// The cluster does not know the kind.
    #[error(
        "the cluster does not know {kind} of {api_version}; install its CRD, or put it into the repository"
    )]
    UnknownKind {
        /// apiVersion.
        api_version: String,
        /// kind.
        kind: String,
    },
    /// Another controller leads, or may.
    #[error(transparent)]
    NotLeading(#[from] NotLeading),
    /// The API server answered with another error.
    #[error("{what}: the API server answered {code}: {detail}")]
    Api {
        /// The object.
        what: String,
        /// HTTP status.
        code: u16,
        /// Its words.
        detail: String,
    },
}

impl ClusterError {
    /// The same without the API server's words, which may quote the object's values. That a right is missing says who and
    /// what, and is kept; a webhook's refusal is not.
    #[must_use]
    pub fn masked(self) -> Self {
        let hidden = |reason: &str| format!("{reason} (details of secret objects are not shown)");
        match self {
            Self::Invalid { what, .. } => Self::Invalid {
                what,
                detail: hidden("the API server finds it wrong"),
            },
            Self::Api { what, code, .. } => Self::Api {
                what,
                code,
                detail: hidden("it was not applied"),
            },
            Self::Forbidden { detail } if !is_about_rights(&detail) => Self::Forbidden {
                detail: hidden("the API server refuses it"),
            },
            Self::Unreachable { server, .. } => Self::Unreachable {
                server,
                detail: hidden("the request failed"),
            },
            other => other,
        }
    }
}

/// Whether a refusal is the authorizer's own: `x is forbidden: User "y" cannot …`.
fn is_about_rights(detail: &str) -> bool {
    detail
        .split_once(" is forbidden: ")
        .is_some_and(|(_, rest)| rest.starts_with("User \"") && rest.contains(" cannot "))
        && !detail.contains("admission")
}

impl Failure for ClusterError {
    fn class(&self) -> Class {
        match self {
            Self::Config { .. } | Self::Forbidden { .. } | Self::Invalid { .. } | Self::MadeOnce { .. } => {
                Class::Stalled
            }
            Self::UnknownKind { .. } => Class::Waiting,
            Self::Unreachable { .. }
            | Self::Conflict { .. }
            | Self::Exists { .. }
            | Self::NotLeading(_)
            | Self::Api { .. } => Class::Retry,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Config { .. } => "InvalidKubeconfig",
            Self::Unreachable { .. } => "ClusterUnreachable",
            Self::Conflict { .. } => "Conflict",
            Self::Exists { .. } => "AlreadyExists",
            Self::Forbidden { .. } => "Forbidden",
            Self::Invalid { .. } => "Invalid",
            Self::MadeOnce { .. } => "MadeOnce",
            Self::UnknownKind { .. } => "UnknownKind",
            Self::NotLeading(_) => "NotLeading",
            Self::Api { .. } => "ApiError",
        }
    }
}

/// An object that is annotated.
#[derive(Clone, Copy, Debug)]
pub struct Annotated<'a> {
    /// Its namespace, if its kind has any.
    pub namespace: Option<&'a str>,
    /// Its name.
    pub name: &'a str,
}

/// Requests by what they do, for tests and metrics.
#[derive(Debug, Default)]
pub struct Requests {
    /// Gets, lists and dry runs.
    pub reads: AtomicU64,
    /// Creates, patches, replacements and deletions.
    pub writes: AtomicU64,
}

/// A client of one cluster; clones share everything.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    server: Arc<str>,
    /// After how long without a word a request is given up; `None`: never.
    patience: Option<Duration>,
    requests: Arc<Requests>,
    discovery: Arc<tokio::sync::Mutex<Option<kube::discovery::Discovery>>>,
    events: kube::runtime::events::Recorder,
    guard: Guard,
}

impl Cluster {
    /// How many requests were made.
    pub fn requests(&self) -> &Requests {
        &self.requests
    }

    fn read(&self) {
        self.requests.reads.fetch_add(1, Ordering::Relaxed);
    }

    /// Asked right before each write.
    fn wrote(&self) -> Result<(), ClusterError> {
        self.guard.pass()?;
        self.count_write();
        Ok(())
    }

    fn count_write(&self) {
        self.requests.writes.fetch_add(1, Ordering::Relaxed);
    }

    /// The same client with a rule about when it may write.
    #[must_use]
    pub fn guarded(&self, guard: Guard) -> Self {
        Self {
            guard,
            ..self.clone()
        }
    }

    /// Asks for the server's version: whether it answers.
    ///
    /// # Errors
    /// Any [`ClusterError`].
    pub async fn version(&self) -> Result<String, ClusterError> {
        self.read();
        let info = self
            .client
            .apiserver_version()
            .await
            .map_err(|error| self.translate("the server", error))?;
        Ok(info.git_version)
    }

    /// Lists all objects of a kind, in all namespaces, page by page.
    ///
    /// # Errors
    /// Any [`ClusterError`]. A list that is cut short is an error, never a short list.
    pub async fn list<K>(&self) -> Result<Vec<K>, ClusterError>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        let api: Api<K> = Api::all(self.client.clone());
        let mut params = ListParams::default().limit(PAGE);
        let mut items = Vec::new();
        for _ in 0..PAGES_MAX {
            self.read();
            let page = api
                .list(&params)
                .await
                .map_err(|error| self.translate(&K::plural(&()), error))?;
            items.extend(page.items);
            match page.metadata.continue_ {
                Some(token) if !token.is_empty() => params.continue_token = Some(token),
                _ => return Ok(items),
            }
        }
        Err(self.unreachable(format!("a list of {} never ended", K::plural(&()))))
    }

    /// Lists all objects of one of our kinds; there are none where it is not installed.
    ///
    /// # Errors
    /// Those of [`Cluster::list`], but not that the kind is unknown.
    pub async fn list_if_installed<K>(&self) -> Result<Vec<K>, ClusterError>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        match self.list().await {
            // A plan may be made before any of our kinds is installed, and an older release has fewer of them.
            Err(ClusterError::Api { code: 404, .. }) => Ok(Vec::new()),
            found => found,
        }
    }

    /// Creates a cluster-scoped object.
    ///
    /// # Errors
    /// [`ClusterError::Exists`] when it is there already.
    pub async fn create<K>(&self, object: &K) -> Result<K, ClusterError>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Serialize,
    {
        self.wrote()?;
        let api: Api<K> = Api::all(self.client.clone());
        let name = object.meta().name.clone().unwrap_or_default();
        api.create(&PostParams::default(), object)
            .await
            .map_err(|error| self.translate(&format!("{} {name}", K::kind(&())), error))
    }

    /// Writes an object's status, if nobody has written the object since it was read.
    ///
    /// # Errors
    /// [`ClusterError::Conflict`] when somebody has.
    pub async fn replace_status<K>(&self, object: &K) -> Result<K, ClusterError>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Serialize,
    {
        self.wrote()?;
        let resource = ApiResource::erase::<K>(&());
        let api: Api<DynamicObject> = match object.meta().namespace.as_deref() {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        };
        let name = object.meta().name.clone().unwrap_or_default();
        let what = format!("{} {name}", K::kind(&()));
        let unreadable = |error: serde_json::Error| ClusterError::Invalid {
            what: what.clone(),
            detail: error.to_string(),
        };
        let params = PostParams {
            field_manager: Some(crate::model::kinds::STATUS_MANAGER.to_owned()),
            ..PostParams::default()
        };
        let body: DynamicObject = serde_json::to_value(object)
            .and_then(serde_json::from_value)
            .map_err(unreadable)?;
        let written = api
            .replace_status(&name, &params, &body)
            .await
            .map_err(|error| self.translate(&what, error))?;
        serde_json::to_value(written)
            .and_then(serde_json::from_value)
            .map_err(unreadable)
    }

    /// Reads a Secret's values.
    ///
    /// # Errors
    /// Any [`ClusterError`]; `None` when the Secret does not exist.
    pub async fn secret(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<BTreeMap<String, SecretText>>, ClusterError> {
        self.read();
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let what = format!("Secret {namespace}/{name}");
        let found = api
            .get_opt(name)
            .await
            .map_err(|error| self.translate(&what, error))?;
        Ok(found.map(|secret| {
            secret
                .data
                .unwrap_or_default()
                .into_iter()
                .map(|(key, value)| (key, SecretText::new(value.0)))
                .collect()
        }))
    }

    /// Reads a ConfigMap's texts.
    ///
    /// # Errors
    /// Any [`ClusterError`]; `None` when the ConfigMap does not exist.
    pub async fn config_map(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<BTreeMap<String, String>>, ClusterError> {
        self.read();
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        let what = format!("ConfigMap {namespace}/{name}");
        let found = api
            .get_opt(name)
            .await
            .map_err(|error| self.translate(&what, error))?;
        Ok(found.map(|map| map.data.unwrap_or_default()))
    }

    /// Reads a PersistentVolumeClaim.
    ///
    /// # Errors
    /// Any [`ClusterError`]; `None` when the claim does not exist.
    pub async fn claim(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<PersistentVolumeClaim>, ClusterError> {
        self.read();
        let api: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), namespace);
        let what = format!("PersistentVolumeClaim {namespace}/{name}");
        api.get_opt(name)
            .await
            .map_err(|error| self.translate(&what, error))
    }

    /// Reads all PersistentVolumes and claims.
    ///
    /// # Errors
    /// Any [`ClusterError`].
    pub async fn volumes(&self) -> Result<(Vec<PersistentVolume>, Vec<PersistentVolumeClaim>), ClusterError> {
        futures::future::try_join(self.list(), self.list()).await
    }

    /// Translates kube's errors. The words of the API server about a Secret may quote its values, so of those only the
    /// reason is kept.
    fn translate(&self, what: &str, error: kube::Error) -> ClusterError {
        let what = what.to_owned();
        match error {
            kube::Error::Api(status) => {
                let detail = match status.message.contains("Secret in version")
                    || what.starts_with("Secret") && matches!(status.code, 400 | 422 | 500)
                {
                    true => format!("{} (details of Secrets are not shown)", status.reason),
                    false => status.message.clone(),
                };
                match status.code {
                    403 => ClusterError::Forbidden { detail },
                    409 if status.reason == "AlreadyExists" => ClusterError::Exists { what },
                    409 => ClusterError::Conflict { what },
                    400 | 422 => ClusterError::Invalid { what, detail },
                    code => ClusterError::Api { what, code, detail },
                }
            }
            other => self.unanswered(&other),
        }
    }
}
