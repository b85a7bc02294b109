//! One migration as a page for people: what it is, where its copies are, what was removed and why that was safe, its journal.

use super::{in_force, name_of, status_of};
use crate::cli::table::table;
use crate::model::kinds::volume_migration::{
    Phase, Removal, ReplicaPlace, VolumeMigration, VolumeMigrationStatus,
};
use crate::model::kinds::{CANCEL, PAUSED, RETRY};

/// What people say of it by annotations.
pub(super) fn orders(one: &VolumeMigration) -> Vec<String> {
    let all = [(PAUSED, "paused"), (CANCEL, "cancel"), (RETRY, "retry")];
    let mut orders: Vec<String> = all
        .iter()
        .filter_map(|(key, word)| in_force(one, key, word))
        .collect();
    if orders.is_empty() {
        orders.push("-".to_owned());
    }
    orders
}

fn facts(one: &VolumeMigration, status: &VolumeMigrationStatus) -> Vec<(&'static str, String)> {
    let (spec, approved) = (&one.spec, &one.spec.approved);
    let mut facts = vec![
        ("Migration", name_of(one).to_owned()),
        ("Claim", format!("{}/{}", spec.claim.namespace, spec.claim.name)),
        ("Volume", spec.volume.clone()),
        (
            "Source",
            format!("{}/{}", spec.source.namespace, spec.source.name),
        ),
        ("Move", format!("{} → {}", spec.from, spec.to)),
        ("Phase", status.phase.as_str().to_owned()),
    ];
    let mut add = |name: &'static str, value: Option<String>| {
        facts.extend(value.filter(|value| !value.is_empty()).map(|value| (name, value)));
    };
    add("Message", Some(status.message.clone()));
    add("Attempt", spec.attempt.map(|attempt| attempt.to_string()));
    add(
        "Held",
        status
            .held
            .as_ref()
            .map(|held| format!("since {}: {}", held.since, held.why)),
    );
    let orders = orders(one).join(", ");
    add("Orders", (orders != "-").then_some(orders));
    let running = !status.phase.is_final();
    add(
        "Synced",
        status
            .progress_percent
            .filter(|_| running)
            .map(|percent| format!("{percent} %")),
    );
    add("Started", status.started_at.clone());
    // While it is held its deadline moves along, and on its way back there is none.
    let running = running && status.held.is_none() && status.phase != Phase::RollingBack;
    add("Ends", status.estimated_end.clone().filter(|_| running));
    add(
        "Rolled back",
        status
            .deadline
            .clone()
            .filter(|_| running)
            .map(|at| format!("at {at}, if it has not ended")),
    );
    add("Ended", status.finished_at.clone());
    add("Reads", reads(status));
    add(
        "Approved by",
        Some(format!("{} in {}", approved.author, approved.commit)),
    );
    let merged = approved.pull_request.map(|number| match &approved.merged_by {
        Some(who) => format!("{number}, merged by {who}"),
        None => number.to_string(),
    });
    add("Pull request", merged);
    add("Policy", spec.policy.clone());
    add("Recorded", status.audit_commit.clone());
    facts
}

/// Whether reads go over the network: that a volume is on a faster tier helps less when it is read from another node.
fn reads(status: &VolumeMigrationStatus) -> Option<String> {
    let words = |local: bool| match local {
        true => "from a copy on the node of the volume's target",
        false => "over the network: no copy is on the node of the volume's target",
    };
    match (status.local_before, status.local_after) {
        (Some(before), Some(after)) if before != after => {
            Some(format!("{}; before: {}", words(after), words(before)))
        }
        (_, Some(after)) => Some(words(after).to_owned()),
        (Some(before), None) => Some(format!("before the move {}", words(before))),
        (None, None) => None,
    }
}

/// The copies before and now: those that were there at the begin, and those that are known to be there.
fn copies(status: &VolumeMigrationStatus) -> Vec<Vec<String>> {
    let gone = |copy: &ReplicaPlace| {
        status
            .removals
            .iter()
            .any(|one| one.gone.as_deref() == Some(copy.id.as_str()))
    };
    let row = |copy: &ReplicaPlace, stands: &str| {
        vec![
            stands.to_owned(),
            copy.pool.clone(),
            copy.node.clone(),
            copy.id.clone(),
        ]
    };
    let mut rows = Vec::new();
    let known = |id: &str| status.baseline.iter().any(|old| old.id == id);
    let ended = status.phase.is_final() && !status.result.is_empty();
    for old in &status.baseline {
        let here = match ended {
            true => status.result.iter().any(|copy| copy.id == old.id),
            false => !gone(old),
        };
        rows.push(row(old, if here { "kept" } else { "removed" }));
    }
    match ended {
        true => rows.extend(
            status
                .result
                .iter()
                .filter(|copy| !known(&copy.id))
                .map(|copy| row(copy, "new")),
        ),
        false => rows.extend(status.added.iter().map(|copy| row(copy, "being filled"))),
    }
    rows
}

fn removal(one: &Removal) -> Vec<String> {
    let stands = match (&one.gone, one.was_complete) {
        (None, _) => "asked".to_owned(),
        (Some(gone), true) if *gone == one.replica.id => "gone".to_owned(),
        (Some(gone), false) if *gone == one.replica.id => "gone, was incomplete".to_owned(),
        (Some(other), _) => format!("{other} went instead"),
    };
    vec![
        one.at.clone(),
        format!("{} on {}", one.replica.pool, one.replica.node),
        stands,
        format!("{} of {}", one.complete.len(), one.copies),
        one.complete_since.clone().unwrap_or_else(|| "-".to_owned()),
        one.why.clone(),
    ]
}

/// The page.
pub(super) fn page(one: &VolumeMigration) -> String {
    let status = status_of(one);
    let facts = facts(one, &status);
    let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut text: String = facts
        .iter()
        .map(|(name, value)| format!("{name:width$}   {value}\n"))
        .collect();
    let mut part = |title: &str, head: &[&str], rows: Vec<Vec<String>>| {
        if !rows.is_empty() {
            text.push_str(&format!("\n{title}\n{}", table(head, &rows)));
        }
    };
    part("Copies", &["STANDS", "POOL", "NODE", "REPLICA"], copies(&status));
    let removals = status.removals.iter().map(removal).collect();
    let head = ["DECIDED", "COPY", "STANDS", "COMPLETE WITHOUT IT", "SINCE", "WHY"];
    part(
        "Removals, each with the copies that held everything without it",
        &head,
        removals,
    );
    let journal = status.journal.iter();
    let journal = journal
        .map(|one| vec![one.at.clone(), one.step.clone(), one.note.clone()])
        .collect();
    part("Journal", &["AT", "STEP", "WHAT"], journal);
    text
}

#[cfg(test)]
mod tests {
    use super::{page, reads};
    use crate::model::kinds::volume_migration::VolumeMigrationStatus;
    use serde_json::json;

    #[test]
    fn it_is_told_whether_reads_go_over_the_network_and_whether_they_did_before() {
        let (local, remote) = (
            "from a copy on the node of the volume's target",
            "over the network: no copy is on the node of the volume's target",
        );
        let changed = format!("{remote}; before: {local}");
        let begun = format!("before the move {local}");
        for (before, after, expected) in [
            (None, None, None),
            (Some(true), None, Some(begun.as_str())),
            (Some(true), Some(true), Some(local)),
            (Some(true), Some(false), Some(&changed)),
            (None, Some(false), Some(remote)),
        ] {
            let status = VolumeMigrationStatus {
                local_before: before,
                local_after: after,
                ..VolumeMigrationStatus::default()
            };
            assert_eq!(reads(&status).as_deref(), expected, "{before:?}, {after:?}");
        }
    }

    #[test]
    fn a_page_says_what_moved_what_went_and_why_that_was_safe() {
        let one = json!({
            "apiVersion": "storage.billyronks.io/v1", "kind": "VolumeMigration",
            "metadata": {"name": "db-data-0-1a2b-2", "annotations": {"storage.billyronks.io/paused": "disks are hot"}},
            "spec": {
                "source": {"namespace": "s", "name": "s"}, "claim": {"namespace": "db", "name": "data-0"}, "volume": "pvc-u",
                "volumeUuid": "u", "from": "cold", "to": "hot", "toPoolLabels": {}, "timeoutSeconds": 60, "attempt": 2,
                "approved": {"revision": "r", "commit": "c0ffee", "author": "Ada", "at": "2027-01-01T00:00:00Z", "path": "x",
                    "pullRequest": 7, "mergedBy": "bo"},
            },
            "status": {
                "phase": "ScaleDown", "message": "the old copy goes", "startedAt": "2027-01-02T00:00:00Z", "progressPercent": 100,
                "deadline": "2027-01-02T00:30:00Z", "estimatedEnd": "2027-01-02T00:06:00Z",
                "held": {"since": "2027-01-02T00:05:00Z", "why": "paused by a person"},
                "baseline": [{"id": "r1", "node": "n1", "pool": "cold-1"}], "added": {"id": "r2", "node": "n2", "pool": "hot-2"},
                "removals": [{"at": "2027-01-02T00:04:00Z", "replica": {"id": "r1", "node": "n1", "pool": "cold-1"},
                    "why": "it is not on hot", "copies": 1, "complete": ["r2"], "wasComplete": true,
                    "completeSince": "2027-01-02T00:03:00Z"}],
                "journal": [{"at": "2027-01-02T00:01:00Z", "step": "add", "note": "a copy on hot"}],
            },
        });
        let shown = page(&serde_json::from_value(one).unwrap());
        for line in [
            "Migration      db-data-0-1a2b-2",
            "Source         s/s",
            "Attempt        2",
            "Held           since 2027-01-02T00:05:00Z: paused by a person",
            "Orders         paused: disks are hot",
            "Pull request   7, merged by bo",
            "kept           cold-1   n1     r1",
            "being filled   hot-2    n2     r2",
            "2027-01-02T00:04:00Z   cold-1 on n1   asked    1 of 1                2027-01-02T00:03:00Z   it is not on hot",
            "2027-01-02T00:01:00Z   add    a copy on hot",
        ] {
            assert!(shown.lines().any(|own| own == line), "{line}\n{shown}");
        }
        assert!(
            !shown.contains("Rolled back") && !shown.contains("Ends "),
            "its clock stands still\n{shown}"
        );
    }
}
