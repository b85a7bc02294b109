//! Several Prometheus servers in order of preference: the first that answers is believed, and what one refuses none is asked.

use couchestor::io::prometheus::{Prometheus, PrometheusError};
use couchestor::model::timeline::Span;
use couchestor::sim::prometheus::{Load, PrometheusSim};
use jiff::Timestamp;

const VOLUME: &str = "pvc-u";

/// What couchestor asks for the signal iops.
const IOPS: &str =
    "sum by (pv_name) (rate(volume_num_read_ops[1h])) + sum by (pv_name) (rate(volume_num_write_ops[1h]))";

async fn server(iops: f64) -> PrometheusSim {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let server = PrometheusSim::start().await.unwrap();
    server.set(VOLUME, Some(Load::random(iops, 1.0)));
    server
}

/// The value at a time, and the only one of a span.
async fn asked(urls: &str, query: &str) -> (Result<f64, PrometheusError>, Result<f64, PrometheusError>) {
    let client = Prometheus::new(urls).unwrap();
    let at = Timestamp::from_second(1_800_000_000).unwrap();
    let span = Span {
        first: 1_800_000_000,
        last: 1_800_000_000,
        step: 60,
    };
    let now = client.ask(query, at).await;
    let then = client.ask_range(query, span).await;
    (
        now.map(|values| values[VOLUME]),
        then.map(|ranges| ranges[VOLUME][0].1),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_that_answers_is_believed() {
    let (first, second) = (server(1000.0).await, server(2000.0).await);
    let urls = format!("{}, {}/", first.url(), second.url());
    assert_eq!(asked(&urls, IOPS).await, (Ok(1000.0), Ok(1000.0)));
    first.fail(Some("it is starting"), None);
    assert_eq!(
        asked(&urls, IOPS).await,
        (Ok(2000.0), Ok(2000.0)),
        "an error of its own"
    );
    // What is known in part only is not believed either.
    first.fail(None, Some("a store did not answer"));
    assert_eq!(
        asked(&urls, IOPS).await,
        (Ok(2000.0), Ok(2000.0)),
        "an answer in part"
    );
    first.fail(None, None);
    assert_eq!(asked(&urls, IOPS).await, (Ok(1000.0), Ok(1000.0)), "it is back");
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let urls = format!("{gone},{}", second.url());
    assert_eq!(
        asked(&urls, IOPS).await,
        (Ok(2000.0), Ok(2000.0)),
        "nobody listens"
    );
    second.fail(Some("so is this one"), None);
    let (now, then) = asked(&urls, IOPS).await;
    for error in [now.unwrap_err(), then.unwrap_err()] {
        let words = error.to_string();
        assert!(
            words.contains("so is this one") && words.contains(&second.url()),
            "the last one's: {words}"
        );
    }
}

/// Another server would refuse the same text, and a second answer would hide a mistake in a policy.
#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_the_first_refuses_is_asked_of_no_other() {
    let (first, second) = (server(1000.0).await, server(2000.0).await);
    // It would be noticed if the second one were asked: it fails otherwise.
    second.fail(Some("nobody should ask this one"), None);
    let urls = format!("{},{}", first.url(), second.url());
    let (now, then) = asked(&urls, "no_such{").await;
    for error in [now.unwrap_err(), then.unwrap_err()] {
        assert!(
            matches!(&error, PrometheusError::Refused { detail } if detail.contains("invalid parameter")),
            "{error}"
        );
    }
}
