//! A simulated Prometheus: its query API over a load that is scripted volume by volume.
//!
//! It understands the two shapes of query that couchestor sends, and refuses everything else as Prometheus refuses a typo.

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use regex::Regex;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;

/// One volume's load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// Operations per second.
    pub iops: f64,
    /// Part of every window that has samples.
    pub coverage: f64,
}

/// What it answers.
#[derive(Debug, Default)]
struct Script {
    loads: BTreeMap<String, Load>,
    failure: Option<String>,
    warning: Option<String>,
}

/// The running simulator; it ends when it is dropped.
pub struct PrometheusSim {
    address: SocketAddr,
    script: Arc<Mutex<Script>>,
    server: tokio::task::JoinHandle<()>,
}

impl PrometheusSim {
    /// Starts without any series.
    ///
    /// # Errors
    /// When no port can be opened.
    pub async fn start() -> Result<Self, String> {
        let script: Arc<Mutex<Script>> = Arc::default();
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .map_err(|error| error.to_string())?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let routes = Router::new()
            .route("/api/v1/query", get(query))
            .route("/-/healthy", get(|| async { "Prometheus Server is Healthy.\n" }))
            .with_state(script.clone());
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, routes).await;
        });
        Ok(Self {
            address,
            script,
            server,
        })
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Scripts the load of a PersistentVolume; `None` takes its series away.
    pub fn set(&self, volume: &str, load: Option<Load>) {
        let mut script = self.script.lock().unwrap_or_else(PoisonError::into_inner);
        match load {
            Some(load) => script.loads.insert(volume.to_owned(), load),
            None => script.loads.remove(volume),
        };
    }

    /// Makes every query fail, or be answered with a warning.
    pub fn fail(&self, failure: Option<&str>, warning: Option<&str>) {
        let mut script = self.script.lock().unwrap_or_else(PoisonError::into_inner);
        script.failure = failure.map(str::to_owned);
        script.warning = warning.map(str::to_owned);
    }
}

impl Drop for PrometheusSim {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn query(
    State(script): State<Arc<Mutex<Script>>>,
    Query(parameters): Query<BTreeMap<String, String>>,
) -> Response {
    let script = script.lock().unwrap_or_else(PoisonError::into_inner);
    let refuse = |status: StatusCode, kind: &str, error: &str| {
        (
            status,
            Json(json!({"status": "error", "errorType": kind, "error": error})),
        )
            .into_response()
    };
    if let Some(failure) = &script.failure {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "timeout", failure);
    }
    let text = parameters.get("query").map(String::as_str).unwrap_or_default();
    let matches = |pattern: &str| Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(text));
    let window = r"[0-9a-z.]+";
    let rate = |name: &str| format!(r"sum by \(pv_name\) \(rate\({name}\[{window}\]\)\)");
    let iops = format!(
        "^{} \\+ {}$",
        rate("volume_num_read_ops"),
        rate("volume_num_write_ops")
    );
    let coverage = format!(
        r"^count_over_time\(\(sum by \(pv_name\) \(volume_num_read_ops\)\)\[{window}:\d+s\]\) / \d+$"
    );
    let value: fn(&Load) -> f64 = if matches(&iops) {
        |load| load.iops
    } else if matches(&coverage) {
        |load| load.coverage
    } else {
        return refuse(
            StatusCode::BAD_REQUEST,
            "bad_data",
            "invalid parameter \"query\": parse error",
        );
    };
    let result: Vec<Value> = script
        .loads
        .iter()
        .map(|(volume, load)| json!({"metric": {"pv_name": volume}, "value": [0, value(load).to_string()]}))
        .collect();
    let mut answer = json!({"status": "success", "data": {"resultType": "vector", "result": result}});
    if let Some(warning) = &script.warning {
        answer["warnings"] = json!([warning]);
    }
    Json(answer).into_response()
}
