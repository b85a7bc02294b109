//! GitHub Apps of a simulated GitHub: tokens of an installation, which run out and can be taken back.

use super::Shared;
use super::door::Answer;
use crate::model::pull_request::ForgeKind;
use axum::http::{HeaderMap, Method};
use jiff::SignedDuration;
use serde_json::json;
use std::sync::PoisonError;

/// Who an App's comments are of.
pub(super) const LOGIN_OF_APP: &str = "couchestor-app[bot]";

/// How long a token is good for.
const LIFETIME: SignedDuration = SignedDuration::from_hours(1);

/// The tokens that were given; only the newest is good, and none after it was taken back.
#[derive(Default)]
pub(super) struct Tokens {
    given: u64,
    good: Option<String>,
}

impl Tokens {
    pub(super) fn take_back(&mut self) {
        self.good = None;
    }

    pub(super) fn given(&self) -> u64 {
        self.given
    }
}

/// Answers what an App asks as itself. Its proof is not verified here: a test of the client does that.
pub(super) fn answer(shared: &Shared, method: &Method, path: &str, headers: &HeaderMap) -> Option<Answer> {
    let path = path
        .strip_prefix("/api/v3/app")
        .filter(|_| shared.kind == ForgeKind::Github)?;
    let proof = headers.get("authorization").and_then(|value| value.to_str().ok());
    if proof.is_none_or(|proof| proof.split('.').count() != 3) {
        return Some(Answer::of(
            401,
            json!({"message": "A JSON web token could not be decoded"}),
        ));
    }
    match (method, path) {
        (&Method::GET, "") => Some(Answer::ok(json!({"slug": "couchestor-app", "id": 42}))),
        (&Method::POST, path) if path.ends_with("/access_tokens") => {
            let mut tokens = shared.tokens.lock().unwrap_or_else(PoisonError::into_inner);
            tokens.given += 1;
            let token = format!("{}-installation-{}", shared.token, tokens.given);
            tokens.good = Some(token.clone());
            let until = crate::io::clock::now() + LIFETIME;
            Some(Answer::of(
                201,
                json!({"token": token, "expires_at": until.to_string()}),
            ))
        }
        _ => Some(Answer::not_found()),
    }
}

/// Whether a token is good.
pub(super) fn is_installation(shared: &Shared, token: &str) -> bool {
    let tokens = shared.tokens.lock().unwrap_or_else(PoisonError::into_inner);
    tokens.good.as_deref() == Some(token)
}
