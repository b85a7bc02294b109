//! Whether backups can be written to a location, and whether what is there is kept in order.

use crate::model::backups::{FoundLocation, FoundRepository, VeleroState};
use crate::model::coverage::LocationReport;
use crate::model::quantities::span;
use jiff::Timestamp;

/// How long a repository may go without maintenance, in seconds. Velero maintains each every hour by default, one after the other and
/// not while backups run; repositories that nobody maintained for weeks while they were called Ready are what has been seen in the field.
const UNMAINTAINED_SECS_MIN: u64 = 24 * 3600;

/// The same as a multiple of how often Velero means to maintain it.
const UNMAINTAINED_TIMES: u64 = 3;

pub(super) fn report(state: &VeleroState, now: Timestamp) -> Vec<LocationReport> {
    let one = |location: &FoundLocation| {
        let own =
            |one: &&FoundRepository| one.namespace == location.namespace && one.location == location.name;
        let (available, reason, message) = match location.phase.as_str() {
            "Available" => {
                let mut repositories = state.repositories.iter().filter(own);
                match repositories.find_map(|one| wrong(one, now)) {
                    Some((reason, message)) => (false, reason, message),
                    None => (true, "Available", "Velero reaches it".to_owned()),
                }
            }
            "" => (
                false,
                "NotLookedAt",
                "Velero has not looked at it yet; does it run?".to_owned(),
            ),
            phase => {
                let why = match location.message.as_str() {
                    "" => "it does not say why",
                    why => why,
                };
                (false, "Unavailable", format!("Velero calls it {phase}: {why}"))
            }
        };
        LocationReport {
            namespace: location.namespace.clone(),
            name: location.name.clone(),
            available,
            reason,
            message,
        }
    };
    state.locations.iter().map(one).collect()
}

/// What is wrong with a repository. Ages are left out of the words, which would change with each look.
fn wrong(repository: &FoundRepository, now: Timestamp) -> Option<(&'static str, String)> {
    let name = &repository.name;
    if repository.phase == "NotReady" {
        let why = &repository.message;
        return Some((
            "RepositoryNotReady",
            format!("BackupRepository {name} is not ready: {why}"),
        ));
    }
    let frequency = repository.frequency.map_or(0, |frequency| frequency.as_secs());
    let allowed = UNMAINTAINED_SECS_MIN.max(frequency.saturating_mul(UNMAINTAINED_TIMES));
    let since = repository.maintained.or(repository.created)?;
    let past = now.as_second().saturating_sub(since.as_second());
    if u64::try_from(past).unwrap_or(0) <= allowed {
        return None;
    }
    let why = match repository.refusal.as_str() {
        "" => String::new(),
        why => format!("; its last maintenance failed: {why}"),
    };
    let message = format!(
        "BackupRepository {name} has not been maintained since {since}, for more than {}, so what expires there is not freed{why}",
        span(allowed)
    );
    Some(("MaintenanceStale", message))
}
