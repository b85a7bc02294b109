//! An approved move as tests of the engine carry it out.

use couchestor::model::kinds::volume_migration::{ApprovedBy, Named, VolumeMigrationSpec};
use std::collections::BTreeMap;

/// A move of a volume from cold to hot within five minutes; tests change what they speak of.
pub fn spec(volume_uuid: &str) -> VolumeMigrationSpec {
    let named = |name: &str| Named {
        namespace: "db".into(),
        name: name.into(),
    };
    VolumeMigrationSpec {
        source: named("source"),
        claim: named("data-0"),
        volume: format!("pvc-{volume_uuid}"),
        volume_uuid: volume_uuid.into(),
        from: "cold".into(),
        to: "hot".into(),
        to_pool_labels: BTreeMap::from([("tier".to_owned(), "hot".to_owned())]),
        pool_reserve_bytes: 0,
        policy: None,
        timeout_seconds: 300,
        latency_before_ms: None,
        preserve: false,
        accept_snapshots_stay: false,
        superseded: None,
        attempt: None,
        approved: ApprovedBy {
            revision: "main@sha1:x".into(),
            commit: "x".into(),
            author: "Ada".into(),
            at: String::new(),
            path: "p".into(),
            pull_request: None,
            merged_by: None,
            reviewed_by: Vec::new(),
        },
    }
}
