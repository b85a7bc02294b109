//! Claims about the shapes of answers: no field that the published schema doesn't have, none that a release lacks.

use super::*;
use crate::sim::mayastor::{Clock, MayastorSim, PoolStatus, Profile, Reason};
use serde_json::{Value, json};

/// Fields by schema of `control-plane/rest/openapi-specs/v0_api_spec.yaml` (openebs/mayastor-control-plane, mid-2026); a `?`
/// marks those that need not be there.
const SCHEMAS: [(&str, &str); 13] = [
    ("Volume", "spec state"),
    (
        "VolumeSpec",
        "uuid size num_replicas status policy thin? as_thin? num_snapshots? encrypted? labels? topology? target? \
         affinity_group? content_source? max_snapshots? operation?",
    ),
    (
        "VolumeState",
        "uuid size status replica_topology usage target? health?",
    ),
    (
        "ReplicaTopology",
        "state node? pool? usage? encrypted? healthy? child-status? child-status-reason? rebuild-progress?",
    ),
    (
        "Nexus",
        "uuid node state children rebuilds protocol size deviceUri",
    ),
    ("Child", "uri state state_reason? rebuildProgress?"),
    (
        "VolumeHealth",
        "cleanShutdown healthyReplicas cleanReplicas onlineHealthyReplicas onlineCleanReplicas liveHealthyReplicas",
    ),
    ("Pool", "id spec? state? diag?"),
    (
        "PoolSpec",
        "id node disks status labels? encryption? cordonDrain? clusterSize? maxExpansion?",
    ),
    (
        "PoolState",
        "id node capacity used disks status committed? encrypted? clusterSize? diskCapacity? maxExpandableSize? \
         errorInfo?",
    ),
    ("NodeSpec", "id grpcEndpoint version? labels? cordondrainstate?"),
    (
        "RebuildRecord",
        "childUri srcUri rebuildJobState blocksTotal blocksRecovered blocksTransferred blocksRemaining blockSize \
         isPartial startTime endTime",
    ),
    ("RestJsonError", "details message kind"),
];

fn check(schema: &str, value: &Value) {
    let (_, fields) = SCHEMAS.iter().find(|(name, _)| *name == schema).unwrap();
    let object = value.as_object().unwrap_or_else(|| panic!("{schema}: {value}"));
    let known: Vec<&str> = fields.split_whitespace().collect();
    for field in object.keys() {
        let optional = format!("{field}?");
        assert!(
            known.contains(&field.as_str()) || known.contains(&optional.as_str()),
            "{schema} has no {field}"
        );
    }
    for field in known.iter().filter(|field| !field.ends_with('?')) {
        assert!(object.contains_key(*field), "{schema} lacks {field}: {value}");
    }
}

fn check_volume(shown: &Value) {
    check("Volume", shown);
    check("VolumeSpec", &shown["spec"]);
    check("VolumeState", &shown["state"]);
    for replica in shown["state"]["replica_topology"].as_object().unwrap().values() {
        check("ReplicaTopology", replica);
    }
    if let Some(target) = shown["state"].get("target") {
        check("Nexus", target);
        for child in target["children"].as_array().unwrap() {
            check("Child", child);
        }
    }
    if let Some(health) = shown["state"].get("health") {
        check("VolumeHealth", health);
    }
}

#[test]
fn answers_have_the_fields_of_the_schema_and_no_others() {
    for profile in Profile::ALL {
        let mut setup = Setup { profile, ..setup() };
        setup.nodes[1].labels = labels(&[("zone", "a")]);
        setup.pools[2].encrypted = true;
        setup.volumes.push(VolumeSeed {
            thin: true,
            affinity_group: Some("g".to_owned()),
            cloned_from: Some("s".to_owned()),
            pool_inclusion: labels(&[("tier", "")]),
            node_inclusion: labels(&[("zone", "")]),
            ..volume("w", &["cold-1", "cold-2"], None)
        });
        let mut state = State::new(setup).unwrap();
        state.set_operation("w", Some("Publish"));
        state.set_replica_count("v", 2).unwrap();
        state.cordon_node("n3", "x").unwrap();
        let _ = state.cordon_pool("cold-2");
        for _ in 0..3 {
            for shown in state.show_volumes()["entries"].as_array().unwrap() {
                check_volume(shown);
            }
            for pool in state.show_pools().as_array().unwrap() {
                check("Pool", pool);
                check("PoolSpec", &pool["spec"]);
                check("PoolState", &pool["state"]);
            }
            for node in state.show_nodes().as_array().unwrap() {
                check("NodeSpec", &node["spec"]);
            }
            state.pass(seconds(5));
            let copy = state.volumes["v"].copies[1].id.clone();
            state.fault_copy("v", &copy, Reason::IoError);
            state.return_copy("v", &copy);
        }
        let history = state.view().rebuild_history("v").unwrap().unwrap();
        for record in history["records"].as_array().unwrap() {
            check("RebuildRecord", record);
        }
        assert!(!history["records"].as_array().unwrap().is_empty());
    }
}

#[test]
fn old_releases_say_nothing_of_health_and_know_no_suspicion() {
    for profile in Profile::ALL {
        let mut state = State::new(Setup { profile, ..setup() }).unwrap();
        let shown = state.show_volume("v").unwrap();
        let old = profile == Profile::V2_7;
        let copy = state.volumes["v"].copies[0].id.clone();
        assert_eq!(shown["state"].get("health").is_none(), old, "{profile:?}");
        assert_eq!(
            shown["state"]["replica_topology"][&copy].get("healthy").is_none(),
            old
        );
        state.set_pool_status("hot-3", PoolStatus::Suspected);
        let expected = if profile == Profile::V2_12 {
            "Suspected"
        } else {
            "Degraded"
        };
        assert_eq!(state.show_pools()[2]["state"]["status"], expected, "{profile:?}");
    }
}

#[test]
fn an_empty_copy_is_online_and_only_its_child_says_what_it_is() {
    let mut state = world();
    state.set_replica_count("v", 2).unwrap();
    state.advance(seconds(4));
    let shown = state.show_volume("v").unwrap();
    let copy = &shown["state"]["replica_topology"][&state.volumes["v"].copies[1].id];
    assert_eq!(copy["state"], "Online");
    assert_eq!(
        (&copy["child-status"], &copy["rebuild-progress"], &copy["healthy"]),
        (&json!("Degraded"), &json!(40), &json!(false))
    );
    assert_eq!(shown["state"]["target"]["rebuilds"], 1);
}

async fn ask(sim: &MayastorSim, method: reqwest::Method, path: &str, body: Option<Value>) -> (u16, Value) {
    let request = reqwest::Client::new().request(method, format!("{}/v0{path}", sim.url()));
    let request = match body {
        Some(body) => request.json(&body),
        None => request,
    };
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (status, response.json().await.unwrap_or_default())
}

#[tokio::test]
async fn routes_answer_by_release() {
    use reqwest::Method;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let bits = json!({"replicas": true, "snapshots": false, "restores": false, "import": false});
    // Status in 2.7, 2.9, 2.10 and 2.12.
    let rows: [(Method, &str, Option<Value>, [u16; 4]); 14] = [
        (
            Method::PUT,
            "/pools/hot-3/cordon",
            Some(bits.clone()),
            [404, 404, 200, 200],
        ),
        (
            Method::PUT,
            "/pools/hot-3/cordon",
            Some(bits.clone()),
            [404, 404, 422, 422],
        ),
        (
            Method::PUT,
            "/pools/hot-3/cordon",
            Some(json!({"replicas": true})),
            [400; 4],
        ),
        (
            Method::DELETE,
            "/pools/hot-3/cordon",
            Some(bits.clone()),
            [404, 404, 200, 200],
        ),
        (Method::PUT, "/nodes/n3/cordon/couchestor-1", None, [200; 4]),
        (Method::PUT, "/nodes/n3/cordon/a/b", None, [404, 404, 404, 200]),
        (Method::PUT, "/nodes/n3/cordon/a%2Fc", None, [404, 404, 404, 200]),
        (Method::PUT, "/pools/hot-3/label/tier=warm", None, [200; 4]),
        (Method::DELETE, "/pools/hot-3/label/tier", None, [200; 4]),
        (
            Method::PUT,
            "/volumes/v/property",
            Some(json!({"topology": {}})),
            [400; 4],
        ),
        (Method::GET, "/volumes/v/rebuild-history", None, [200; 4]),
        (Method::GET, "/volumes", None, [400; 4]),
        (Method::GET, "/volumes/none", None, [404; 4]),
        (Method::PUT, "/nodes/n2/cordon/couchestor-1", None, [200; 4]),
    ];
    for (index, profile) in Profile::ALL.into_iter().enumerate() {
        let sim = MayastorSim::start_as(Setup { profile, ..setup() }, Clock::Real)
            .await
            .unwrap();
        for (method, path, body, expected) in &rows {
            let (status, answer) = ask(&sim, method.clone(), path, body.clone()).await;
            assert_eq!(status, expected[index], "{profile:?} {method} {path}: {answer}");
            if status >= 400 {
                check("RestJsonError", &answer);
            }
        }
        let held = sim.with(|state| state.judge.held_by(crate::sim::mayastor::Actor::Caller).count());
        assert_eq!(held, if profile == Profile::V2_12 { 4 } else { 2 });
        sim.with(|state| state.unpublish("v").unwrap());
        let (status, _) = ask(&sim, Method::GET, "/volumes/v/rebuild-history", None).await;
        assert_eq!(status, 412);
        let owned = sim.with(|state| state.volumes["v"].copies[0].id.clone());
        let path = format!("/pools/cold-1/replicas/{owned}");
        let (status, answer) = ask(&sim, Method::DELETE, &path, None).await;
        assert_eq!((status, &answer["kind"]), (409, &json!("InUse")));
    }
}
