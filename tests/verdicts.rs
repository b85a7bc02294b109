//! From the files of a policy repository and the objects of a cluster to what becomes of a volume: every step in between is the real one.

use couchestor::decide::{self, InFlight, Limits};
use couchestor::formats::substitute::Variables;
use couchestor::model::desired::Desired;
use couchestor::model::engine::{EngineState, Health, Node, Pool, Replica, Volume};
use couchestor::model::ids::Revision;
use couchestor::model::observation::{Observation, RawAnswer};
use couchestor::model::secret::SecretText;
use couchestor::model::tree::{ClearFile, ClearTree, Provenance};
use couchestor::observe::volumes::join;
use couchestor::parse::{ParseCache, parse};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};

const GIB: u64 = 1 << 30;
const NOW: i64 = 1_800_000_000;
/// An hour before and after that.
const PAST: &str = "2027-01-15T07:00:00Z";
const FUTURE: &str = "2027-01-15T09:00:00Z";

const POLICIES: &str = "\
apiVersion: storage.billyronks.io/v1
kind: StorageTier
metadata: {name: cold}
spec: {rank: 10, poolSelector: {matchLabels: {tier: cold}}}
---
apiVersion: storage.billyronks.io/v1
kind: StorageTier
metadata: {name: hot}
spec: {rank: 100, poolSelector: {matchLabels: {tier: hot}}}
---
apiVersion: storage.billyronks.io/v1
kind: StoragePolicy
metadata: {name: p}
spec:
  tiers: [cold, hot]
  signals: [{name: iops, above: 5000, below: 500}]
  cooldownPeriod: 24h
";

/// An assignment of the volume with more of its spec.
fn assignment(says: &str) -> String {
    format!(
        "apiVersion: storage.billyronks.io/v1\nkind: TierAssignment\nmetadata: {{name: data-0, namespace: db}}\n\
         spec: {{claim: data-0, volume: pvc-u{says}}}\n"
    )
}

fn desired(files: &[(&str, &str)]) -> Desired {
    let at = Timestamp::from_second(NOW - 3600).unwrap();
    let provenance = || Provenance {
        commit: "c".into(),
        author: "Ann <ann@example.org>".into(),
        committed_at: at,
        summary: String::new(),
    };
    let clear = |text: &str| ClearFile {
        blob: "b".into(),
        text: SecretText::new(text.as_bytes().to_vec()),
        secret: false,
        doubts: Vec::new(),
    };
    let introduced = files.iter().map(|(path, _)| ((*path).to_owned(), provenance()));
    let tree = ClearTree {
        revision: Revision {
            branch: "main".into(),
            commit: "c".into(),
        },
        root: "p".into(),
        assignments: "p/assignments".into(),
        files: files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), clear(text)))
            .collect(),
        broken: Default::default(),
        doubts: Vec::new(),
        introduced: introduced.collect(),
        removed: BTreeMap::new(),
    };
    let parsed = parse(&tree, &[], &Variables::default(), &mut ParseCache::default());
    parsed
        .desired
        .unwrap_or_else(|| panic!("{:?}", parsed.diagnostics))
}

/// A volume of 10 GiB on a cold pool, and a hot pool with room.
fn engine() -> EngineState {
    let volume = Volume {
        uuid: "u".to_owned(),
        size: 10 * GIB,
        num_replicas: 1,
        created: true,
        busy: false,
        state: Health::Online,
        target_node: Some("n1".into()),
        target_state: Some(Health::Online),
        rebuilds: 0,
        replicas: vec![Replica {
            id: "r".to_owned().into(),
            node: "n1".into(),
            pool: "cold-1".into(),
            state: Health::Online,
            child: Some(Health::Online),
            healthy: Some(true),
            rebuild_progress: None,
        }],
        self_heal: true,
        thin: false,
        snapshots: 0,
        cloned: false,
        affinity_group: None,
        encrypted: false,
        pool_inclusion: BTreeMap::new(),
        node_inclusion: BTreeMap::new(),
        allowed_nodes: Vec::new(),
        obstacle: None,
    };
    let pools = [("cold-1", "n1", "cold"), ("hot-2", "n2", "hot")].map(|(name, node, tier)| Pool {
        name: name.into(),
        node: node.into(),
        labels: BTreeMap::from([("tier".to_owned(), tier.to_owned())]),
        state: Health::Online,
        capacity: 100 * GIB,
        used: 10 * GIB,
        committed: None,
        cordoned: false,
        encrypted: false,
    });
    let node = |name: &str| Node {
        name: name.into(),
        labels: BTreeMap::new(),
        state: Health::Online,
        cordons: Vec::new(),
        draining: false,
        version: Some("v2.10.1".to_owned()),
    };
    EngineState {
        volumes: [("u".to_owned(), volume)].into(),
        pools: pools.map(|pool| (pool.name.clone(), pool)).into(),
        nodes: ["n1", "n2"].map(|name| (name.into(), node(name))).into(),
    }
}

/// What becomes of the volume at 6000 IOPS, by the annotations of its claim and of the PersistentVolume.
fn verdict(files: &[(&str, &str)], of_claim: Value, of_volume: Value) -> String {
    let desired = desired(files);
    let volume: PersistentVolume = serde_json::from_value(json!({
        "metadata": {"name": "pvc-u", "annotations": of_volume},
        "spec": {"storageClassName": "mayastor", "claimRef": {"namespace": "db", "name": "data-0"},
            "csi": {"driver": "io.openebs.csi-mayastor", "volumeHandle": "u"}},
    }))
    .unwrap();
    let claim: PersistentVolumeClaim = serde_json::from_value(json!({
        "metadata": {"namespace": "db", "name": "data-0", "annotations": of_claim},
        "spec": {"storageClassName": "mayastor", "volumeName": "pvc-u"},
    }))
    .unwrap();
    let joined = join(vec![volume], vec![claim]);
    let now = Timestamp::from_second(NOW).unwrap();
    let answers = decide::questions(&desired, now).into_iter().map(|question| {
        let value = match question.starts_with("count_over_time(") {
            true => 1.0,
            false => 6000.0,
        };
        let answer: RawAnswer = Ok(HashMap::from([("pvc-u".to_owned(), value)]));
        (question, answer)
    });
    let observation = Observation::assemble(
        now,
        joined.volumes,
        joined.classes_in_use,
        Ok(engine()),
        answers.collect(),
    );
    let (in_flight, limits) = (
        InFlight::default(),
        Limits {
            max_open: 3,
            rejections_expire: None,
            max_concurrent: 2,
            dry_run: false,
        },
    );
    let decision = decide::decide(&desired, &observation, &in_flight, limits, now);
    match (&*decision.proposals, &*decision.starts, &*decision.left_alone) {
        ([one], [], []) => format!("proposed for {}", one.to),
        ([], [one], []) => format!("starts for {}", one.approved.what().to),
        ([], [], [one]) => format!("{}: {}", one.why.reason(), one.words()),
        _ => panic!("{decision:?}"),
    }
}

#[test]
fn an_annotation_on_the_claim_keeps_its_volume_where_it_is() {
    let files = [("p/policies.yaml", POLICIES)];
    let key = "storage.billyronks.io/pinned";
    for (says, expected) in [
        (None, "proposed for hot"),
        (Some("false"), "proposed for hot"),
        (
            Some("true"),
            "Kept: an annotation on the claim keeps it where it is",
        ),
        (
            Some(FUTURE),
            "Kept: an annotation on the claim keeps it where it is until 2027-01-15T09:00:00Z",
        ),
        (Some(PAST), "proposed for hot"),
        (
            Some("until the migration"),
            "Kept: the claim's annotation storage.billyronks.io/pinned is neither `true` nor a time; it stays until that is mended",
        ),
    ] {
        let annotations = says.map_or(json!({}), |says| json!({key: says}));
        assert_eq!(verdict(&files, annotations, json!({})), expected, "{says:?}");
    }
}

#[test]
fn an_assignment_keeps_its_volume_where_it_is() {
    for (says, expected) in [
        (", tier: cold".to_owned(), "proposed for hot".to_owned()),
        (
            ", tier: cold, pinned: true".to_owned(),
            "Kept: its assignment keeps it where it is".to_owned(),
        ),
        (
            format!(", tier: cold, pinned: true, until: {FUTURE}"),
            format!("Kept: its assignment keeps it where it is until {FUTURE}"),
        ),
        (
            format!(", tier: cold, pinned: true, until: {PAST}"),
            "proposed for hot".to_owned(),
        ),
        // What is assigned elsewhere is moved there, and kept then.
        (
            ", tier: hot, pinned: true".to_owned(),
            "starts for hot".to_owned(),
        ),
    ] {
        let text = assignment(&says);
        let files = [
            ("p/policies.yaml", POLICIES),
            ("p/assignments/db/data-0.yaml", &text),
        ];
        assert_eq!(verdict(&files, json!({}), json!({})), expected, "{says}");
    }
}

#[test]
fn a_volume_rests_for_as_long_as_its_annotation_and_the_policy_say() {
    let files = [("p/policies.yaml", POLICIES)];
    let key = "storage.billyronks.io/last-migration";
    for (moved, expected) in [
        (None, "proposed for hot"),
        (Some(PAST), "CoolingDown: moved lately; rests 23 h more"),
        (Some("2027-01-14T08:00:00Z"), "proposed for hot"),
    ] {
        let annotations = moved.map_or(json!({}), |moved| json!({key: moved}));
        assert_eq!(verdict(&files, json!({}), annotations), expected, "{moved:?}");
    }
}
