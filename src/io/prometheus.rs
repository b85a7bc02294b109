//! Prometheus' query API: one aggregated query per signal, whatever the number of volumes.

use crate::model::failure::{Class, Failure};
use jiff::Timestamp;
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// One answer: a hundred thousand series are about 20 MB.
const BODY_MAX: usize = 64 << 20;

/// Prometheus' own default for a query is two minutes; a turn should not wait that long.
const TIMEOUT: Duration = Duration::from_secs(30);

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
    /// In order of preference.
    urls: Vec<String>,
}

impl Prometheus {
    /// Makes a client for servers in order of preference, separated by commas.
    ///
    /// # Errors
    /// [`PrometheusError::Unreachable`] when the TLS set-up fails.
    pub fn new(urls: &str) -> Result<Self, PrometheusError> {
        let trimmed = urls
            .split(',')
            .map(|url| url.trim().trim_end_matches('/').to_owned());
        let urls: Vec<String> = trimmed.filter(|url| !url.is_empty()).collect();
        let http = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .connect_timeout(Duration::from_secs(5))
            .build()
            .map_err(|error| PrometheusError::Unreachable {
                url: urls.join(", "),
                detail: error.to_string(),
            })?;
        Ok(Self { http, urls })
    }

    /// Asks one query at a time, and reads the value of each volume. A volume without a value is not in the answer. Of several
    /// servers the first that answers is believed.
    ///
    /// # Errors
    /// The last server's [`PrometheusError`], also when an answer is complete in part only: then nothing may be decided.
    pub async fn ask(&self, query: &str, at: Timestamp) -> Result<HashMap<String, f64>, PrometheusError> {
        let mut failed = None;
        for url in &self.urls {
            match self.ask_one(url, query, at).await {
                // Another server would refuse the same text.
                Err(error @ PrometheusError::Refused { .. }) => return Err(error),
                Err(error) => failed = Some(error),
                Ok(values) => return Ok(values),
            }
        }
        Err(failed.unwrap_or_else(|| PrometheusError::Unreachable {
            url: String::new(),
            detail: "no address is given".to_owned(),
        }))
    }

    async fn ask_one(
        &self,
        url: &str,
        query: &str,
        at: Timestamp,
    ) -> Result<HashMap<String, f64>, PrometheusError> {
        let unreachable = |detail: String| PrometheusError::Unreachable {
            url: url.to_owned(),
            detail,
        };
        // By POST: a query that leaves out many windows is longer than addresses may be.
        let mut response = self
            .http
            .post(format!("{url}/api/v1/query"))
            .form(&[("query", query), ("time", &at.as_second().to_string())])
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
            return Err(match response.status().is_server_error() {
                true => unreachable(answer.error),
                false => PrometheusError::Refused { detail: answer.error },
            });
        }
        if !answer.warnings.is_empty() {
            return Err(PrometheusError::Partial {
                detail: answer.warnings.join("; "),
            });
        }
        let mut values = HashMap::new();
        for series in answer.data.result {
            let value = series
                .value
                .1
                .parse()
                .ok()
                .filter(|value: &f64| value.is_finite());
            let (Some(value), Some(volume)) = (value, series.metric.get("pv_name")) else {
                continue;
            };
            if values.insert(volume.clone(), value).is_some() {
                return Err(PrometheusError::Unreadable {
                    detail: format!(
                        "it has several values for {volume}; bring them together, as in `max by (pv_name) (…)`"
                    ),
                });
            }
        }
        Ok(values)
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
