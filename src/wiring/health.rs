//! Whether the process can do its work, and why not: what `/readyz` says.

use super::named;
use crate::model::kinds::policy_source::PolicySource;
use std::sync::{Mutex, PoisonError};

/// What the health endpoints say.
pub struct Health {
    why_not: Mutex<Option<String>>,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            why_not: Mutex::new(Some("the cluster has not been looked at yet".to_owned())),
        }
    }
}

impl Health {
    /// Why it cannot do its work; `None` when it can.
    pub fn why_not(&self) -> Option<String> {
        self.why_not
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Says why it cannot do its work, or that it can.
    pub(super) fn tell(&self, why_not: Option<String>) {
        *self.why_not.lock().unwrap_or_else(PoisonError::into_inner) = why_not;
    }
}

/// Why a controller of an epoch does nothing any more, when another one has taken its sources over. It stays so: its own epoch never
/// rises.
pub(super) fn superseded(sources: &[PolicySource], ours: u64) -> Option<String> {
    let epoch = |source: &PolicySource| source.status.as_ref().and_then(|status| status.epoch);
    let theirs = sources.iter().filter_map(|source| Some((epoch(source)?, source)));
    let (epoch, source) = theirs
        .filter(|(epoch, _)| *epoch > ours)
        .max_by_key(|(epoch, _)| *epoch)?;
    Some(format!(
        "superseded: another controller, of epoch {epoch}, has taken over {}, and this one, of epoch {ours}, does nothing there any \
         more; stop one of the two, or run both with --leader-election lease",
        named(source)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn source(name: &str, epoch: Option<u64>) -> PolicySource {
        let object = json!({"apiVersion": "storage.billyronks.io/v1", "kind": "PolicySource",
            "metadata": {"name": name, "namespace": "ns"}, "spec": {"url": "https://git.example.org/a", "path": "p"},
            "status": {"epoch": epoch}});
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn only_a_higher_epoch_supersedes_and_the_highest_is_named() {
        let sources = [source("a", None), source("b", Some(4)), source("c", Some(6))];
        for (ours, named) in [
            (3, Some("epoch 6, has taken over ns/c")),
            (5, Some("ns/c")),
            (6, None),
        ] {
            let said = superseded(&sources, ours);
            assert_eq!(said.is_some(), named.is_some(), "{said:?}");
            let said = said.unwrap_or_default();
            assert!(said.contains(named.unwrap_or_default()), "{said}");
        }
        let mut fresh = source("a", None);
        fresh.status = None;
        assert_eq!(superseded(&[fresh], 0), None);
    }
}
