//! The part of `status` about assignments that are merged and not carried out: what people ask about after a merge.

use super::super::Failed;
use super::super::table::table;
use crate::io::cluster::Cluster;
use crate::model::conditions;
use crate::model::kinds::TierAssignment;

/// Rows that are shown; a fleet that is reshaped may have thousands.
const ROWS_MAX: usize = 20;

/// Assignments whose volume is neither where it is to be nor being moved there.
pub(super) async fn all(cluster: &Cluster) -> Result<Vec<TierAssignment>, Failed> {
    let mut all: Vec<TierAssignment> = cluster.list_if_installed().await?;
    all.retain(|one| phase(one).is_some());
    Ok(all)
}

/// `Waiting` or `Failed`; none for all others, and for those that no turn has looked at.
fn phase(one: &TierAssignment) -> Option<&str> {
    let phase = one.status.as_ref()?.phase.as_deref()?;
    ["Waiting", "Failed"].contains(&phase).then_some(phase)
}

/// The table, or none when nothing waits.
pub(super) fn listed(waiting: &[TierAssignment]) -> Option<String> {
    let row = |one: &TierAssignment| {
        let list = one.status.as_ref().map(|status| &*status.conditions);
        let ready = conditions::find(list.unwrap_or_default(), "Ready");
        let namespace = one.metadata.namespace.as_deref().unwrap_or_default();
        vec![
            one.metadata.name.clone().unwrap_or_default(),
            format!("{namespace}/{}", one.spec.claim),
            one.spec.tier.clone(),
            phase(one).unwrap_or("-").to_owned(),
            ready.map_or_else(|| "-".to_owned(), |ready| ready.message.clone()),
        ]
    };
    let mut rows: Vec<Vec<String>> = waiting.iter().take(ROWS_MAX).map(row).collect();
    if let more @ 1.. = waiting.len().saturating_sub(ROWS_MAX) {
        rows.push(vec![format!("{more} more")]);
    }
    let head = ["ASSIGNMENT", "CLAIM", "TO", "PHASE", "WHY"];
    (!rows.is_empty()).then(|| table(&head, &rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn assignment(name: &str, phase: &str) -> TierAssignment {
        serde_json::from_value(json!({
            "apiVersion": "storage.billyronks.io/v1", "kind": "TierAssignment",
            "metadata": {"name": name, "namespace": "db"},
            "spec": {"claim": "data", "volume": "pvc-1", "tier": "hot"},
            "status": {"phase": phase, "conditions": [{"type": "Ready", "status": "False", "reason": "NoRoom",
                "message": "no pool of hot has room for 40 GiB", "lastTransitionTime": "2026-11-30T12:00:00Z"}]},
        }))
        .unwrap()
    }

    #[test]
    fn what_waits_is_listed_with_what_it_waits_for_and_not_without_end() {
        assert_eq!(listed(&[]), None);
        assert_eq!(
            listed(&[assignment("db-data", "Waiting")]).unwrap(),
            "ASSIGNMENT   CLAIM     TO    PHASE     WHY\n\
             db-data      db/data   hot   Waiting   no pool of hot has room for 40 GiB\n"
        );
        let many: Vec<TierAssignment> = (0..23).map(|_| assignment("db-data", "Failed")).collect();
        let page = listed(&many).unwrap();
        assert_eq!(page.lines().count(), ROWS_MAX + 2, "{page}");
        assert!(page.ends_with("3 more\n"), "{page}");
        for phase in ["Placed", "Moving"] {
            assert_eq!(super::phase(&assignment("db-data", phase)), None);
        }
    }
}
