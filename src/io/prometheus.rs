//! Prometheus' query API: one aggregated query per signal, whatever the number of volumes.
//!
//! Mayastor's `volume_num_*_ops` are declared as gauges but only ever grow, so `rate()` is right for them; they are summed
//! by `pv_name` so that a target that moves does not split a volume's series.

use crate::model::failure::{Class, Failure};
use crate::model::ids::VolumeName;
use crate::model::observation::Heat;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// One answer: a hundred thousand series are about 20 MB.
const BODY_MAX: usize = 64 << 20;

/// Prometheus' own default for a query is two minutes; a turn should not wait that long.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Steps in which coverage is counted: a gap of a sixtieth of the window is seen.
const STEPS: u64 = 60;

/// Why there is no heat.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrometheusError {
    /// It did not answer.
    #[error("Prometheus at {url} did not answer: {detail}; check --prometheus-url")]
    Unreachable {
        /// Where.
        url: String,
        /// What happened.
        detail: String,
    },
    /// It refused the query.
    #[error("Prometheus refused the query: {detail}")]
    Refused {
        /// Its words.
        detail: String,
    },
    /// It answered in part.
    #[error("Prometheus answered in part only: {detail}")]
    Partial {
        /// Its warnings.
        detail: String,
    },
    /// Its answer cannot be read.
    #[error("Prometheus' answer cannot be read: {detail}")]
    Unreadable {
        /// Why.
        detail: String,
    },
}

impl Failure for PrometheusError {
    fn class(&self) -> Class {
        Class::Retry
    }

    fn reason(&self) -> &'static str {
        "PrometheusUnavailable"
    }
}

/// A client.
#[derive(Clone)]
pub struct Prometheus {
    http: reqwest::Client,
    url: String,
}

/// The query for mean operations per second.
pub fn iops_query(window: &str) -> String {
    format!(
        "sum by (pv_name) (rate(volume_num_read_ops[{window}])) + sum by (pv_name) (rate(volume_num_write_ops[{window}]))"
    )
}

/// The query for the part of the window that has samples: in how many of sixty steps the series is there. It does not
/// depend on the scrape interval.
pub fn coverage_query(window: &str, window_secs: u64) -> String {
    let step = (window_secs / STEPS).max(1);
    format!(
        "count_over_time((sum by (pv_name) (volume_num_read_ops))[{window}:{step}s]) / {}",
        window_secs / step
    )
}

impl Prometheus {
    /// Makes a client.
    ///
    /// # Errors
    /// [`PrometheusError::Unreachable`] when the TLS set-up fails.
    pub fn new(url: &str) -> Result<Self, PrometheusError> {
        let url = url.trim_end_matches('/').to_owned();
        let http = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .connect_timeout(Duration::from_secs(5))
            .build()
            .map_err(|error| PrometheusError::Unreachable {
                url: url.clone(),
                detail: error.to_string(),
            })?;
        Ok(Self { http, url })
    }

    /// Reads the heat of every volume over a window. A volume without samples is not in the table.
    ///
    /// # Errors
    /// Any [`PrometheusError`], also when the answer is complete in part only: then nothing may be decided.
    pub async fn heat(
        &self,
        window: &str,
        window_secs: u64,
    ) -> Result<BTreeMap<VolumeName, Heat>, PrometheusError> {
        let (iops_text, coverage_text) = (iops_query(window), coverage_query(window, window_secs));
        let (iops, coverage) = tokio::try_join!(self.query(&iops_text), self.query(&coverage_text))?;
        Ok(iops
            .into_iter()
            .map(|(volume, iops)| {
                let coverage = coverage.get(&volume).copied().unwrap_or(0.0).clamp(0.0, 1.0);
                (VolumeName(volume), Heat { iops, coverage })
            })
            .collect())
    }

    async fn query(&self, query: &str) -> Result<BTreeMap<String, f64>, PrometheusError> {
        let unreachable = |detail: String| PrometheusError::Unreachable {
            url: self.url.clone(),
            detail,
        };
        let mut response = self
            .http
            .get(format!("{}/api/v1/query", self.url))
            .query(&[("query", query)])
            .send()
            .await
            .map_err(|error| unreachable(error.without_url().to_string()))?;
        let mut body = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| unreachable(error.without_url().to_string()))?
        {
            body.extend_from_slice(&chunk);
            if body.len() > BODY_MAX {
                return Err(PrometheusError::Unreadable {
                    detail: format!("it is larger than {BODY_MAX} bytes"),
                });
            }
        }
        let answer: Answer =
            serde_json::from_slice(&body).map_err(|error| match response.status().is_success() {
                true => PrometheusError::Unreadable {
                    detail: error.to_string(),
                },
                false => unreachable(response.status().to_string()),
            })?;
        if answer.status != "success" {
            return Err(PrometheusError::Refused { detail: answer.error });
        }
        if !answer.warnings.is_empty() {
            return Err(PrometheusError::Partial {
                detail: answer.warnings.join("; "),
            });
        }
        Ok(answer
            .data
            .result
            .into_iter()
            .filter_map(|series| {
                let value: f64 = series
                    .value
                    .1
                    .parse()
                    .ok()
                    .filter(|value: &f64| value.is_finite())?;
                Some((series.metric.get("pv_name")?.clone(), value))
            })
            .collect())
    }
}

#[derive(Deserialize)]
struct Answer {
    status: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    warnings: Vec<String>,
    #[serde(default)]
    data: Data,
}

#[derive(Deserialize, Default)]
struct Data {
    #[serde(default)]
    result: Vec<Series>,
}

#[derive(Deserialize)]
struct Series {
    #[serde(default)]
    metric: BTreeMap<String, String>,
    value: (f64, String),
}
