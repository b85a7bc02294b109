//! Which disk a copy gets, and which copy goes, by the rules of the scheduler and of the volume controller.

use super::{Seen, is_going, is_so, name, text};
use serde_json::Value;

/// A disk that could take a copy.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Candidate {
    room: i64,
    pub(super) node: String,
    pub(super) disk: String,
}

fn words(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// `IsSelectorsInTags`: all of the selector; without one any disk, unless the setting wants untagged ones.
fn matches(tags: &Value, selector: &Value, empty_allowed: bool) -> bool {
    let mut wanted = words(selector).peekable();
    match wanted.peek() {
        None => empty_allowed || words(tags).next().is_none(),
        Some(_) => wanted.all(|one| words(tags).any(|tag| tag == one)),
    }
}

impl Seen {
    /// `FindDiskCandidates`: ready, schedulable nodes without a copy of the volume, their open disks with the tags and the room; the
    /// roomiest is taken (`getDiskWithMostBalanceScore`, in short).
    pub(super) fn place(&self, volume: &Value) -> Option<Candidate> {
        let own = name(volume);
        let holds = |node: &str| self.replicas_of(own).any(|one| text(one, "nodeID") == node);
        let allowed = |setting| self.setting(setting) != Some("false");
        let (any_node, any_disk) = (
            allowed("allow-empty-node-selector-volume"),
            allowed("allow-empty-disk-selector-volume"),
        );
        let open = self.nodes.iter().filter(|node| {
            let conditions = &node["status"]["conditions"];
            node["spec"]["allowScheduling"] == true
                && is_so(conditions, "Ready")
                && is_so(conditions, "Schedulable")
                && matches(&node["spec"]["tags"], &volume["spec"]["nodeSelector"], any_node)
                && !holds(name(node))
        });
        let disks = open.flat_map(|node| {
            let disks = node["spec"]["disks"].as_object().into_iter().flatten();
            disks.filter_map(move |(disk, spec)| self.candidate(volume, node, disk, spec, any_disk))
        });
        disks.max()
    }

    fn candidate(
        &self,
        volume: &Value,
        node: &Value,
        disk: &str,
        spec: &Value,
        any: bool,
    ) -> Option<Candidate> {
        let status = &node["status"]["diskStatus"][disk];
        let open = spec["allowScheduling"] == true && spec["evictionRequested"] != true;
        let fits = matches(&spec["tags"], &volume["spec"]["diskSelector"], any);
        if !open || !fits || !is_so(&status["conditions"], "Schedulable") {
            return None;
        }
        let number = |field: &str| status[field].as_i64().unwrap_or_default();
        let size: i64 = text(volume, "size").parse().ok()?;
        let room = number("storageMaximum") - number("storageScheduled");
        let really = number("storageAvailable") - number("storageMaximum") / 4;
        let uuid = status["diskUUID"].as_str()?;
        (size <= room && really > 0).then(|| Candidate {
            room,
            node: name(node).to_owned(),
            disk: uuid.to_owned(),
        })
    }

    /// `cleanupExtraHealthyReplicas`: the copy that Longhorn itself takes away while there are more healthy ones than asked for.
    pub(super) fn extra<'a>(&'a self, volume: &'a Value) -> Option<&'a Value> {
        let own = name(volume);
        let healthy = |one: &&Value| {
            !text(one, "healthyAt").is_empty() && text(one, "failedAt").is_empty() && !is_going(one)
        };
        let mut all: Vec<&Value> = self.replicas_of(own).filter(healthy).collect();
        let asked = volume["spec"]["numberOfReplicas"].as_i64().unwrap_or_default();
        if i64::try_from(all.len()).unwrap_or_default() <= asked {
            return None;
        }
        all.sort_by_key(|one| name(one));
        let evicted = |one: &&&Value| one["spec"]["evictionRequested"] == true;
        if let Some(evicted) = all.iter().find(evicted)
            && all.iter().any(|one| one["spec"]["evictionRequested"] != true)
        {
            return Some(evicted);
        }
        let here = volume["status"]["currentNodeID"].as_str().unwrap_or_default();
        let near = all.iter().any(|one| text(one, "nodeID") == here);
        if !matches!(text(volume, "dataLocality"), "" | "disabled") && near {
            return all.into_iter().find(|one| text(one, "nodeID") != here);
        }
        let balance = match text(volume, "replicaAutoBalance") {
            "" | "ignored" => self.setting("replica-auto-balance").unwrap_or("disabled"),
            own => own,
        };
        // The one on the disk with the least room (`getSortedReplicasByAscendingStorageAvailable`).
        let room = |one: &&Value| {
            let disks = self
                .node(text(one, "nodeID"))
                .map(|node| &node["status"]["diskStatus"]);
            let mut disks = disks.and_then(Value::as_object).into_iter().flatten();
            let found = disks.find(|(_, status)| status["diskUUID"] == text(one, "diskID"));
            found.and_then(|(_, status)| status["storageAvailable"].as_i64())
        };
        match balance {
            "disabled" => None,
            _ => all.into_iter().min_by_key(room),
        }
    }

    /// Whether node or disk ask for a copy to be driven off (`shouldEvictReplica`); no other wish lasts.
    pub(super) fn should_go(&self, replica: &Value) -> bool {
        let Some(node) = self.node(text(replica, "nodeID")) else {
            return false;
        };
        let pool = self.pool_of(replica);
        let disk = pool.split_once('/').map_or("", |(_, disk)| disk);
        node["spec"]["evictionRequested"] == true || node["spec"]["disks"][disk]["evictionRequested"] == true
    }
}
