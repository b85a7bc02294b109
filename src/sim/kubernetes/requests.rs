//! What was asked over HTTP, so that a test can count reads and writes.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many requests are remembered: more than any test makes, few enough to forget.
const KEPT: usize = 10_000;

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `apply`, `delete`, `deletecollection` or `discovery`.
    pub verb: String,
    /// `storageclasses.storage.k8s.io`, `pods/status`; the path for `discovery`.
    pub resource: String,
    /// The namespace in the path.
    pub namespace: String,
    /// The name in the path.
    pub name: String,
    /// The field manager.
    pub manager: String,
    /// Whether it was a dry run.
    pub dry_run: bool,
    /// The HTTP code of the answer; 0 if the connection was cut.
    pub code: u16,
}

/// The newest requests.
#[derive(Debug, Default)]
pub struct RequestLog {
    kept: Mutex<VecDeque<Request>>,
}

impl RequestLog {
    /// How many requests of a verb there were on a resource.
    pub fn count(&self, verb: &str, resource: &str) -> usize {
        self.lock()
            .iter()
            .filter(|request| request.verb == verb && request.resource == resource)
            .count()
    }

    /// How many requests changed objects or tried to; dry runs are left out.
    pub fn writes(&self) -> usize {
        let writes = ["create", "update", "patch", "apply", "delete", "deletecollection"];
        self.lock()
            .iter()
            .filter(|request| writes.contains(&request.verb.as_str()) && !request.dry_run)
            .count()
    }

    /// How many requests were gets and lists.
    pub fn reads(&self) -> usize {
        self.lock()
            .iter()
            .filter(|request| matches!(request.verb.as_str(), "get" | "list"))
            .count()
    }

    /// All that are remembered, the oldest first.
    pub fn all(&self) -> Vec<Request> {
        self.lock().iter().cloned().collect()
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.lock().clear();
    }

    pub(super) fn note(&self, request: Request) {
        let mut kept = self.lock();
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(request);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Request>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
