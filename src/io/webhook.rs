//! The listener for forges' webhooks: each believed delivery is a hint to fetch now, and nothing else.

use crate::formats::webhook::{Delivery, Refused, Sender, verify};
use crate::model::secret::SecretText;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use sha2::{Digest, Sha256};
use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};

/// Largest delivery that is read: a push of thousands of commits. GitHub sends 25 MB at most, and not for such repositories.
pub const BODY_MAX: usize = 4 << 20;

/// Deliveries that are read at one time: what they hold together is bounded by this.
const AT_ONCE: usize = 8;

/// How long a delivery may take to arrive; forges themselves give up after ten seconds.
const ARRIVAL_MAX: Duration = Duration::from_secs(10);

/// Deliveries that are remembered to be known again.
pub const REMEMBERED_MAX: usize = 4096;

/// Where deliveries go.
pub const PATH: &str = "/hook";

/// A believed delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Poke {
    /// The name that its secret has here, such as that of a PolicySource.
    pub name: String,
    /// Who sent it.
    pub sender: Sender,
    /// What happened, in the forge's words.
    pub event: String,
}

/// Deliveries so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deliveries {
    /// Believed and handed on, or known to be waiting already.
    pub accepted: u64,
    /// Believed, and seen before.
    pub repeated: u64,
    /// Not believed.
    pub refused: u64,
}

/// The listener. No Debug: it holds secrets.
#[derive(Clone)]
pub struct Webhooks {
    inner: Arc<Inner>,
}

struct Inner {
    secrets: Mutex<(Vec<String>, Vec<SecretText>)>,
    seen: Mutex<Seen>,
    room: Semaphore,
    poke: mpsc::Sender<Poke>,
    accepted: AtomicU64,
    repeated: AtomicU64,
    refused: AtomicU64,
}

/// What was seen, oldest first.
#[derive(Default)]
struct Seen {
    order: VecDeque<[u8; 32]>,
    known: BTreeSet<[u8; 32]>,
}

impl Seen {
    /// Whether a delivery is new. Its number is not signed, so its text alone is enough to know it again.
    fn is_new(&mut self, delivery: &Delivery, body: &[u8]) -> bool {
        let text = Sha256::new()
            .chain_update(b"text")
            .chain_update(delivery.event.as_bytes())
            .chain_update([0])
            .chain_update(body)
            .finalize();
        let number = delivery.id.as_ref().map(|id| {
            let number = Sha256::new().chain_update(b"number").chain_update(id.as_bytes());
            number.finalize()
        });
        let keys: Vec<[u8; 32]> = std::iter::once(text).chain(number).map(Into::into).collect();
        let new = keys.iter().all(|key| !self.known.contains(key));
        for key in keys {
            if self.known.insert(key) {
                self.order.push_back(key);
            }
        }
        while self.order.len() > 2 * REMEMBERED_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.known.remove(&oldest);
            }
        }
        new
    }
}

impl Webhooks {
    /// A listener that has no secret yet, and so believes nobody. What finds the queue full is
    /// refused, so that the forge says so and may deliver it once more: the hints that wait may be of other sources.
    pub fn new(poke: mpsc::Sender<Poke>) -> Self {
        Self {
            inner: Arc::new(Inner {
                secrets: Mutex::default(),
                seen: Mutex::default(),
                room: Semaphore::new(AT_ONCE),
                poke,
                accepted: AtomicU64::new(0),
                repeated: AtomicU64::new(0),
                refused: AtomicU64::new(0),
            }),
        }
    }

    /// The secrets that are believed from now on, each with a name.
    pub fn set_secrets(&self, secrets: Vec<(String, SecretText)>) {
        *self.inner.secrets.lock().unwrap_or_else(PoisonError::into_inner) = secrets.into_iter().unzip();
    }

    /// Deliveries so far.
    pub fn deliveries(&self) -> Deliveries {
        Deliveries {
            accepted: self.inner.accepted.load(Ordering::Relaxed),
            repeated: self.inner.repeated.load(Ordering::Relaxed),
            refused: self.inner.refused.load(Ordering::Relaxed),
        }
    }

    /// Its one address, to be served.
    pub fn routes(&self) -> Router {
        Router::new()
            .route(PATH, post(receive))
            .with_state(self.inner.clone())
    }
}

async fn receive(
    State(inner): State<Arc<Inner>>,
    headers: HeaderMap,
    body: Body,
) -> (StatusCode, &'static str) {
    let answer = take(&inner, &headers, body).await;
    let count = match answer.0 {
        StatusCode::ACCEPTED => &inner.accepted,
        StatusCode::OK => &inner.repeated,
        _ => &inner.refused,
    };
    count.fetch_add(1, Ordering::Relaxed);
    answer
}

async fn take(inner: &Inner, headers: &HeaderMap, body: Body) -> (StatusCode, &'static str) {
    let (names, secrets) = inner
        .secrets
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    if secrets.iter().all(|secret| secret.expose().is_empty()) {
        return (StatusCode::FORBIDDEN, "no webhook secret is set here\n");
    }
    let Ok(_room) = inner.room.try_acquire() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many deliveries at once\n");
    };
    let body = match tokio::time::timeout(ARRIVAL_MAX, axum::body::to_bytes(body, BODY_MAX)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return (StatusCode::PAYLOAD_TOO_LARGE, "the delivery is too large\n"),
        Err(_) => return (StatusCode::REQUEST_TIMEOUT, "the delivery took too long\n"),
    };
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let now = crate::io::clock::now().as_second();
    let delivery = match verify(&secrets, header, &body, now) {
        Ok(delivery) => delivery,
        Err(Refused::Unknown) => return (StatusCode::BAD_REQUEST, "no forge that is known sends this\n"),
        Err(Refused::Unsigned) => return (StatusCode::UNAUTHORIZED, "the delivery is not signed\n"),
        Err(_) => return (StatusCode::UNAUTHORIZED, "the signature is wrong\n"),
    };
    // What finds no room is not remembered either, so that the forge's next try counts.
    let Ok(room) = inner.poke.try_reserve() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many hints wait already\n");
    };
    let new = inner
        .seen
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .is_new(&delivery, &body);
    if !new {
        return (StatusCode::OK, "seen before\n");
    }
    room.send(Poke {
        name: names.get(delivery.secret).cloned().unwrap_or_default(),
        sender: delivery.sender,
        event: delivery.event,
    });
    (StatusCode::ACCEPTED, "thank you\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use super::*;

    #[test]
    fn what_is_remembered_is_bounded_and_the_oldest_is_forgotten_first() {
        let mut seen = Seen::default();
        let delivery = |number: usize| Delivery {
            sender: Sender::Gitea,
            event: "push".to_owned(),
            id: Some(number.to_string()),
            secret: 0,
        };
        let first = 3;
        for number in 0..REMEMBERED_MAX + first {
            assert!(seen.is_new(&delivery(number), &number.to_le_bytes()));
        }
        assert_eq!(seen.order.len(), 2 * REMEMBERED_MAX);
        assert_eq!(seen.known.len(), seen.order.len());
        assert!(
            !seen.is_new(&delivery(first), b"another text"),
            "the number is known"
        );
        assert!(
            !seen.is_new(&delivery(usize::MAX), &(first + 9).to_le_bytes()),
            "the text is known"
        );
        assert!(
            seen.is_new(&delivery(0), &0_usize.to_le_bytes()),
            "the oldest is forgotten"
        );
    }
}
