//! Mayastor's REST API (`/v0`), as far as moving replicas needs it.
//!
//! The schema is that of openebs/mayastor-control-plane's OpenAPI document. Fields that came with later versions are
//! optional here, and words that are not known are read as "unknown", never as a good sign.

use crate::io::guard::{Guard, NotLeading};
use crate::model::engine::{EngineState, Node, Pool, Rebuild, Volume};
use crate::model::failure::{Class, Failure};
use crate::model::ids::{NodeName, PoolName};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// Its answers as they are written, and as records.
mod records;

use records::{RawNode, RawPool, RawVolume, RebuildHistory, Volumes, nodes, pools, rebuild, volume};
pub use records::{read_nodes, read_pools, read_volume};

/// One answer: fifty thousand volumes are about 100 MB.
const BODY_MAX: usize = 128 << 20;

/// A call that takes longer is given up, unless the operator says otherwise; the server may still finish it.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Volumes per page.
const PAGE: usize = 500;

/// Pages of one list.
const PAGES_MAX: usize = 1000;

/// Why Mayastor did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MayastorError {
    /// It was refused, and not done.
    #[error("{kind}: {message}")]
    Refused {
        /// The kind of refusal, such as `ReplicaIncrease`.
        kind: String,
        /// In words.
        message: String,
    },
    /// It may have been done or not.
    #[error("no clear answer: {detail}")]
    Indeterminate {
        /// What happened.
        detail: String,
    },
    /// It does not exist.
    #[error("not found")]
    NotFound,
    /// It could not be asked.
    #[error("Mayastor's REST API at {url} did not answer: {detail}; check --mayastor-url")]
    Unreachable {
        /// Where.
        url: String,
        /// What happened.
        detail: String,
    },
    /// Another controller leads, or may.
    #[error(transparent)]
    NotLeading(#[from] NotLeading),
    /// Its answer cannot be read.
    #[error("the answer of Mayastor's REST API cannot be read: {detail}")]
    Unreadable {
        /// Why.
        detail: String,
    },
}

impl Failure for MayastorError {
    fn class(&self) -> Class {
        Class::Retry
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::NotLeading(_) => "NotLeading",
            _ => "MayastorUnavailable",
        }
    }
}

/// A client.
#[derive(Clone)]
pub struct Mayastor {
    http: reqwest::Client,
    base: String,
    guard: Guard,
    timeout: Duration,
}

impl Mayastor {
    /// Makes a client of the API at an address such as `http://openebs-api-rest.openebs:8081`.
    ///
    /// # Errors
    /// [`MayastorError::Unreachable`] when the TLS set-up fails.
    pub fn new(url: &str) -> Result<Self, MayastorError> {
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| MayastorError::Unreachable {
                url: url.to_owned(),
                detail: error.to_string(),
            })?;
        Ok(Self {
            http,
            base: format!("{}/v0", url.trim_end_matches('/')),
            guard: Guard::default(),
            timeout: TIMEOUT,
        })
    }

    /// The same client with another time after which a call is given up.
    #[must_use]
    pub fn patient_for(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// After which time a call is given up.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The same client with a rule about when it may change something, and for how long.
    #[must_use]
    pub fn guarded(&self, guard: Guard) -> Self {
        Self {
            guard,
            ..self.clone()
        }
    }

    /// Reads everything.
    ///
    /// # Errors
    /// Any [`MayastorError`]; never a part of it.
    pub async fn state(&self) -> Result<EngineState, MayastorError> {
        let (volumes, pools, nodes) = tokio::try_join!(self.volumes(), self.pools(), self.nodes())?;
        Ok(EngineState {
            volumes,
            pools,
            nodes,
        })
    }

    async fn volumes(&self) -> Result<BTreeMap<String, Volume>, MayastorError> {
        let mut volumes = BTreeMap::new();
        let mut token = 0_i64;
        for _ in 0..PAGES_MAX {
            let path = format!("/volumes?max_entries={PAGE}&starting_token={token}");
            let page: Volumes = self.get(&path).await?;
            volumes.extend(
                page.entries
                    .into_iter()
                    .map(|raw| (raw.spec.uuid.clone(), volume(raw))),
            );
            match page.next_token {
                Some(next) if next > token => token = next,
                _ => return Ok(volumes),
            }
        }
        Err(MayastorError::Unreadable {
            detail: "the list of volumes never ended".to_owned(),
        })
    }

    /// Reads one volume; `None` if it does not exist.
    ///
    /// # Errors
    /// Any other [`MayastorError`].
    pub async fn volume(&self, uuid: &str) -> Result<Option<Volume>, MayastorError> {
        match self.get::<RawVolume>(&format!("/volumes/{uuid}")).await {
            Ok(raw) => Ok(Some(volume(raw))),
            Err(MayastorError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads all pools.
    ///
    /// # Errors
    /// Any [`MayastorError`].
    pub async fn pools(&self) -> Result<BTreeMap<PoolName, Pool>, MayastorError> {
        let raw: Vec<RawPool> = self.get("/pools").await?;
        Ok(pools(raw))
    }

    /// Reads all nodes.
    ///
    /// # Errors
    /// Any [`MayastorError`].
    pub async fn nodes(&self) -> Result<BTreeMap<NodeName, Node>, MayastorError> {
        let raw: Vec<RawNode> = self.get("/nodes").await?;
        Ok(nodes(raw))
    }

    /// Asks for a number of replicas.
    ///
    /// # Errors
    /// Any [`MayastorError`].
    pub async fn set_replica_count(&self, uuid: &str, count: u8) -> Result<(), MayastorError> {
        let path = format!("/volumes/{uuid}/replica_count/{count}");
        self.change(Method::PUT, &path, None).await
    }

    /// What the volume's target remembers of rebuilds; `None` for a volume without a target, and where this release tells nothing.
    ///
    /// # Errors
    /// Any [`MayastorError`] but those that mean that there is none.
    pub async fn rebuilds(&self, uuid: &str) -> Result<Option<Vec<Rebuild>>, MayastorError> {
        let sent = self
            .http
            .get(format!("{}/volumes/{uuid}/rebuild-history", self.base))
            .timeout(self.timeout)
            .send()
            .await;
        let (status, body) = self
            .answer(sent)
            .await
            .map_err(|detail| self.unreachable(detail))?;
        if status != StatusCode::OK {
            return Ok(None);
        }
        // What cannot be read is as good as nothing: the copies' own states decide, this only confirms them.
        let history: Option<RebuildHistory> = serde_json::from_slice(&body).ok();
        Ok(history.map(|history| history.records.into_iter().map(rebuild).collect()))
    }

    /// Keeps new replicas off a pool (Mayastor 2.10 and later).
    ///
    /// # Errors
    /// Refused with kind `AlreadyExists` when it is cordoned already.
    pub async fn cordon_pool(&self, pool: &str) -> Result<(), MayastorError> {
        self.change(Method::PUT, &format!("/pools/{pool}/cordon"), Some(cordon()))
            .await
    }

    /// Takes a pool's cordon back.
    ///
    /// # Errors
    /// Any [`MayastorError`].
    pub async fn uncordon_pool(&self, pool: &str) -> Result<(), MayastorError> {
        self.change(Method::DELETE, &format!("/pools/{pool}/cordon"), Some(cordon()))
            .await
    }

    /// Keeps new replicas and targets off a node, under a label.
    ///
    /// # Errors
    /// Any [`MayastorError`].
    pub async fn cordon_node(&self, node: &str, label: &str) -> Result<(), MayastorError> {
        self.change(Method::PUT, &format!("/nodes/{node}/cordon/{label}"), None)
            .await
    }

    /// Takes a node's cordon of this label back.
    ///
    /// # Errors
    /// Any [`MayastorError`].
    pub async fn uncordon_node(&self, node: &str, label: &str) -> Result<(), MayastorError> {
        self.change(Method::DELETE, &format!("/nodes/{node}/cordon/{label}"), None)
            .await
    }

    async fn get<T: for<'de> Deserialize<'de>>(&self, path: &str) -> Result<T, MayastorError> {
        let request = self.http.get(format!("{}{path}", self.base));
        let sent = request.timeout(self.timeout).send().await;
        let (status, body) = self
            .answer(sent)
            .await
            .map_err(|detail| self.unreachable(detail))?;
        match status {
            StatusCode::OK => serde_json::from_slice(&body).map_err(|error| MayastorError::Unreadable {
                detail: format!("{path}: {error}"),
            }),
            StatusCode::NOT_FOUND => Err(MayastorError::NotFound),
            status => Err(self.unreachable(format!("{path}: {status}"))),
        }
    }

    async fn change(&self, method: Method, path: &str, body: Option<Value>) -> Result<(), MayastorError> {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(body) = body {
            request = request.json(&body);
        }
        // The answer is given up before another may lead. Mayastor may still finish what it was asked for.
        let left = self.guard.pass()?;
        let sent = request.timeout(left.min(self.timeout)).send().await;
        if let Err(error) = &sent
            && error.is_connect()
        {
            return Err(self.unreachable(error.to_string()));
        }
        // A cut connection or a timeout after the request was sent says nothing about what the server did.
        let (status, body) = self
            .answer(sent)
            .await
            .map_err(|detail| MayastorError::Indeterminate { detail })?;
        if status.is_success() {
            return Ok(());
        }
        let said: RestError = serde_json::from_slice(&body).unwrap_or_default();
        match status.as_u16() {
            404 => Err(MayastorError::NotFound),
            408 | 500 | 502 | 503 | 504 => Err(MayastorError::Indeterminate {
                detail: format!("{status} {} {}", said.kind, said.message),
            }),
            _ => Err(MayastorError::Refused {
                kind: said.kind,
                message: if said.message.is_empty() {
                    said.details
                } else {
                    said.message
                },
            }),
        }
    }

    async fn answer(
        &self,
        sent: Result<reqwest::Response, reqwest::Error>,
    ) -> Result<(StatusCode, Vec<u8>), String> {
        let mut response = sent.map_err(|error| error.without_url().to_string())?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| error.without_url().to_string())?
        {
            body.extend_from_slice(&chunk);
            if body.len() > BODY_MAX {
                return Err(format!("the answer is larger than {BODY_MAX} bytes"));
            }
        }
        Ok((status, body))
    }

    fn unreachable(&self, detail: impl Into<String>) -> MayastorError {
        MayastorError::Unreachable {
            url: self.base.clone(),
            detail: detail.into(),
        }
    }
}

fn cordon() -> Value {
    json!({"replicas": true, "snapshots": false, "restores": false, "import": false})
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RestError {
    details: String,
    message: String,
    kind: String,
}
