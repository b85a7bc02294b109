//! Cordons that bear a label of ours and belong to no unfinished move: left by a journal that somebody deleted by force, or by a call that
//! came later than it could be waited for. Pure.

use super::start::{cordon_label, is_cordon_label};
use crate::model::engine::Node;
use crate::model::ids::NodeName;
use crate::model::kinds::volume_migration::{Phase, VolumeMigration};
use std::collections::{BTreeMap, BTreeSet};

/// A cordon of a node that nobody speaks for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Leaked {
    /// The node.
    pub node: NodeName,
    /// The label under which it is cordoned.
    pub label: String,
}

/// Cordons of ours that no unfinished move speaks for. Pools bear no labels: whose cordon of a pool it is, only a journal tells.
///
/// A move that goes on speaks for its label whether its window is open or not: another controller may close the window and open it
/// again between two of our readings. One that has ended never sets a cordon again, and its next attempt has a name and a label of its
/// own. The journals must have been read after the nodes were, for a journal is there before its cordons.
pub fn leaked(nodes: &BTreeMap<NodeName, Node>, journals: &[VolumeMigration]) -> Vec<Leaked> {
    let phase = |one: &VolumeMigration| one.status.as_ref().map_or(Phase::Pending, |status| status.phase);
    let unfinished = journals.iter().filter(|one| !phase(one).is_final());
    let spoken_for: BTreeSet<String> = unfinished.filter_map(label_of).collect();
    let cordons = nodes
        .values()
        .flat_map(|node| node.cordons.iter().map(move |label| (node, label)));
    cordons
        .filter(|(_, label)| is_cordon_label(label) && !spoken_for.contains(*label))
        .map(|(node, label)| Leaked {
            node: node.name.clone(),
            label: label.clone(),
        })
        .collect()
}

/// The label of a migration's cordons.
pub fn label_of(migration: &VolumeMigration) -> Option<String> {
    migration.metadata.name.as_deref().map(cordon_label)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::execute::fake::Fake;

    #[test]
    fn what_no_unfinished_move_speaks_for_is_leaked_and_labels_of_others_are_left_alone() {
        let fake = Fake::with_copies(1);
        let node = fake.state().nodes["c1"].clone();
        let journal = fake.state().stored.clone();
        let ours = label_of(&journal).unwrap();
        let other = cordon_label("deleted");
        for (what, labels, phase, expected) in [
            ("nothing is cordoned", vec![], Phase::Completed, vec![]),
            ("its move goes on", vec![ours.clone()], Phase::WaitSync, vec![]),
            (
                "its move has not begun",
                vec![ours.clone()],
                Phase::Pending,
                vec![],
            ),
            (
                "its move has ended",
                vec![ours.clone()],
                Phase::RolledBack,
                vec![ours.clone()],
            ),
            (
                "its journal is gone",
                vec![ours.clone(), other.clone()],
                Phase::ScaleUp,
                vec![other],
            ),
            (
                "others have cordoned it",
                vec![
                    "maintenance".to_owned(),
                    "couchestor-of-mine".to_owned(),
                    "couchestor-".to_owned(),
                ],
                Phase::Completed,
                vec![],
            ),
        ] {
            let nodes = BTreeMap::from([(
                node.name.clone(),
                Node {
                    cordons: labels,
                    ..node.clone()
                },
            )]);
            let mut journal = journal.clone();
            journal.status.get_or_insert_default().phase = phase;
            let found = leaked(&nodes, &[journal]);
            assert!(found.iter().all(|one| one.node == node.name), "{what}");
            let found: Vec<String> = found.into_iter().map(|one| one.label).collect();
            assert_eq!(found, expected, "{what}");
        }
    }
}
