//! What keeps a source's moves from starting or going on: what people said, failures one after the other, nodes that have just returned.

use crate::model::engine::Health;
use crate::model::ids::NodeName;
use crate::model::kinds::moves::{MovesStatus, NodeSeen, because};
use crate::model::migration_brief::MigrationBrief;
use crate::model::moves::{Rules, Stop};
use crate::model::observation::Fleet;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// Nodes that are remembered: where more are away at once, hardly any move could start anyhow, and a status must stay small.
const NODES_MAX: usize = 200;

/// Failed migrations that are named; the others can be listed.
const NAMED_MAX: usize = 5;

/// What is remembered from now on: what was remembered, and what people have said since. `frozen` is why the followed commit freezes
/// all moves.
pub fn remembered(
    before: Option<&MovesStatus>,
    rules: &Rules,
    frozen: Option<String>,
    now: Timestamp,
) -> MovesStatus {
    let mut status = before.cloned().unwrap_or_default();
    status.frozen = frozen;
    let ordered = rules.resume.is_some() && rules.resume != status.last_handled_resume;
    // What failed before anybody counted stops nothing: people have looked at that long ago.
    if ordered || status.counted_since.is_none() {
        status.counted_since = Some(now.to_string());
    }
    if ordered {
        status.last_handled_resume.clone_from(&rules.resume);
    }
    status
}

/// Why no approved move of a source starts, if one thing or the other says so; `own` are the source's migrations.
pub fn stop(status: &MovesStatus, rules: &Rules, own: &[MigrationBrief]) -> Option<Stop> {
    if let Some(why) = &status.frozen {
        return Some(Stop::Frozen(why.as_str().into()));
    }
    if let Some(why) = &rules.paused {
        return Some(Stop::Paused(because(why).into()));
    }
    let since = status.counted_since.as_ref()?.parse().ok()?;
    let failed = in_a_row(own, rules.stop_after, since)?;
    let mut named = failed[..failed.len().min(NAMED_MAX)].join(", ");
    if failed.len() > NAMED_MAX {
        named.push_str(&format!(" and {} more", failed.len() - NAMED_MAX));
    }
    Some(Stop::Failures(named.into()))
}

/// The migrations that failed one after the other, if that were ever so many since then: a later success does not undo it, for only a
/// person does. What was cancelled or superseded says nothing either way.
fn in_a_row(own: &[MigrationBrief], max: u32, since: Timestamp) -> Option<Vec<&str>> {
    let mut ended: Vec<(Timestamp, &MigrationBrief)> = own
        .iter()
        .filter(|one| one.phase.is_final())
        .filter_map(|one| Some((one.ended()?, one)))
        // Times are whole seconds: what ended in the second of the order may have ended after it, and one order more does no harm.
        .filter(|(at, _)| *at >= since)
        .collect();
    ended.sort_by(|a, b| (a.0, &a.1.name).cmp(&(b.0, &b.1.name)));
    let (mut row, mut found): (Vec<&str>, _) = (Vec::new(), None);
    for (_, one) in ended {
        if one.failed() {
            row.push(&one.name);
            if max > 0 && row.len() >= max as usize {
                found = Some(row.clone());
            }
        } else if one.succeeded() {
            row.clear();
        }
    }
    found
}

/// Which nodes are away or have just returned, after one more look.
pub fn nodes(known: &[NodeSeen], fleet: &Fleet, quarantine: Duration, now: Timestamp) -> Vec<NodeSeen> {
    let online = |name: &str| {
        let node = fleet.nodes.get(fleet.node(&NodeName(name.to_owned())) as usize);
        node.map(|node| node.state == Health::Online)
    };
    let mut nodes: Vec<NodeSeen> = Vec::new();
    for one in known {
        let away = NodeSeen {
            returned_at: None,
            ..one.clone()
        };
        match (online(&one.name), one.returned()) {
            (Some(true), None) => nodes.push(NodeSeen {
                returned_at: Some(now.to_string()),
                ..away
            }),
            (Some(true), Some(at)) if now < after(at, quarantine) => nodes.push(one.clone()),
            (Some(true), Some(_)) => {}
            (Some(false), Some(_)) => nodes.push(NodeSeen {
                away_since: now.to_string(),
                ..away
            }),
            (Some(false), None) => nodes.push(away),
            // Taken out of the engine: when it is put back, it is a new one.
            (None, _) => {}
        }
    }
    let fresh = fleet.nodes.iter().filter(|node| node.state != Health::Online);
    let fresh = fresh.filter(|node| known.iter().all(|one| one.name != node.name.as_str()));
    nodes.extend(fresh.map(|node| NodeSeen {
        name: node.name.to_string(),
        away_since: now.to_string(),
        returned_at: None,
    }));
    // Those that rest come first: of those that are away nothing is asked yet.
    nodes.sort_by(|a, b| (a.returned_at.is_none(), &a.name).cmp(&(b.returned_at.is_none(), &b.name)));
    nodes.truncate(NODES_MAX);
    nodes
}

/// Until when each node rests that has returned.
pub fn resting(nodes: &[NodeSeen], quarantine: Duration) -> BTreeMap<NodeName, Timestamp> {
    let of = |one: &NodeSeen| Some((NodeName(one.name.clone()), after(one.returned()?, quarantine)));
    nodes.iter().filter_map(of).collect()
}

fn after(at: Timestamp, span: Duration) -> Timestamp {
    at.checked_add(span).unwrap_or(Timestamp::MAX)
}
