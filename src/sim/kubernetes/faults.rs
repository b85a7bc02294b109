//! Failures that a test orders, used up in the order they were given.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Which requests a fault waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum On {
    /// Any request but discovery and health.
    Any,
    /// Get and list.
    Reads,
    /// Watches when they are opened.
    Watches,
    /// Everything that changes objects, dry runs too.
    Writes,
    /// Writes through the status subresource.
    StatusWrites,
    /// One verb on one resource, as [`super::Request`] names them.
    Verb(String, String),
}

/// What happens to the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// It is refused with this HTTP code; nothing is written.
    Answer(u16),
    /// It is refused as a conflict (409); nothing is written.
    Conflict,
    /// It is carried out, then the connection is cut before a byte of the answer.
    LoseReply,
    /// It is carried out, then half of the answer comes.
    Torn,
    /// The connection is cut; nothing is written.
    Drop,
    /// It is carried out after this time.
    Delay(Duration),
    /// A read is answered as the world was so many versions ago.
    Stale(u64),
}

/// The faults that are still to come.
#[derive(Debug, Default)]
pub struct Faults {
    ordered: Mutex<VecDeque<(On, What)>>,
}

impl On {
    /// One verb (`get`, `list`, `watch`, `create`, `update`, `patch`, `apply`, `delete`) on one resource.
    pub fn of(verb: &str, resource: &str) -> Self {
        On::Verb(verb.to_owned(), resource.to_owned())
    }

    fn takes(&self, verb: &str, resource: &str) -> bool {
        let read = matches!(verb, "get" | "list");
        let write = !read && verb != "watch";
        match self {
            On::Any => true,
            On::Reads => read,
            On::Watches => verb == "watch",
            On::Writes => write,
            On::StatusWrites => write && resource.ends_with("/status"),
            On::Verb(wanted, on) => wanted == verb && on == resource,
        }
    }
}

impl Faults {
    /// Orders the fault for the next `times` requests that match.
    pub fn order(&self, on: On, times: usize, what: What) {
        self.lock().extend(std::iter::repeat_n((on, what), times));
    }

    /// How many ordered faults have not happened yet.
    pub fn left(&self) -> usize {
        self.lock().len()
    }

    /// Takes all orders back.
    pub fn clear(&self) {
        self.lock().clear();
    }

    /// The fault for this request, if one is ordered.
    pub(super) fn take(&self, verb: &str, resource: &str) -> Option<What> {
        let mut ordered = self.lock();
        let at = ordered.iter().position(|(on, _)| on.takes(verb, resource))?;
        ordered.remove(at).map(|(_, what)| what)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(On, What)>> {
        self.ordered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
