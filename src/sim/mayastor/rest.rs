//! The HTTP face of the simulated Mayastor.

use super::Shared;
use super::state::{Refusal, SimVolume, State};
use axum::extract::{Path, Query, State as Extract};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

type Sim = Extract<Arc<Shared>>;

pub(super) fn routes(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/v0/volumes", get(volumes))
        .route("/v0/volumes/{id}", get(volume))
        .route("/v0/volumes/{id}/replica_count/{count}", put(replica_count))
        .route("/v0/pools", get(pools))
        .route("/v0/pools/{id}/cordon", put(cordon_pool).delete(uncordon_pool))
        .route("/v0/nodes", get(nodes))
        .route(
            "/v0/nodes/{id}/cordon/{label}",
            put(cordon_node).delete(uncordon_node),
        )
        .with_state(shared)
}

fn refuse((status, kind, message): Refusal) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (
        status,
        Json(json!({"kind": kind, "message": message, "details": message})),
    )
        .into_response()
}

fn not_found() -> Response {
    refuse((404, "NotFound", "no such thing".to_owned()))
}

async fn volumes(Extract(sim): Sim, Query(query): Query<BTreeMap<String, String>>) -> Response {
    let Some(max) = query.get("max_entries").and_then(|max| max.parse::<usize>().ok()) else {
        return refuse((400, "InvalidArgument", "max_entries is required".to_owned()));
    };
    let start = query
        .get("starting_token")
        .and_then(|token| token.parse::<usize>().ok())
        .unwrap_or(0);
    let state = sim.state();
    let take = if max == 0 { usize::MAX } else { max };
    let entries: Vec<Value> = state
        .volumes
        .iter()
        .skip(start)
        .take(take)
        .map(|(id, volume)| show(&state, id, volume))
        .collect();
    let next = start + entries.len();
    let next_token = (next < state.volumes.len()).then_some(next);
    Json(json!({"entries": entries, "next_token": next_token})).into_response()
}

async fn volume(Extract(sim): Sim, Path(id): Path<String>) -> Response {
    let state = sim.state();
    match state.volumes.get(&id) {
        Some(volume) => Json(show(&state, &id, volume)).into_response(),
        None => not_found(),
    }
}

/// Half of the time that a change takes.
async fn half(sim: &Shared) {
    let takes = sim.state().change_takes;
    tokio::time::sleep(takes / 2).await;
}

/// Lets a change take its time before and after it is done, so that tests can end the caller on either side of it.
async fn slowly(sim: &Shared, change: impl FnOnce(&mut State) -> Response) -> Response {
    half(sim).await;
    let answer = change(&mut sim.state());
    half(sim).await;
    answer
}

async fn replica_count(Extract(sim): Sim, Path((id, count)): Path<(String, u8)>) -> Response {
    slowly(&sim, |state| match state.set_replica_count(&id, count) {
        Ok(()) => match state.volumes.get(&id) {
            Some(volume) => Json(show(state, &id, volume)).into_response(),
            None => not_found(),
        },
        Err(refusal) => refuse(refusal),
    })
    .await
}

fn show(state: &State, id: &str, volume: &SimVolume) -> Value {
    let online = state.is_online(volume);
    let rebuilds = volume
        .copies
        .iter()
        .filter(|copy| !copy.faulted && copy.filled < 1.0)
        .count();
    let status = if online { "Online" } else { "Degraded" };
    let replicas: serde_json::Map<String, Value> = volume
        .copies
        .iter()
        .map(|copy| {
            let node = state.pools.get(&copy.pool).map(|pool| pool.node.clone());
            // An empty copy is Online like any other; only its state as a child of the target tells.
            let mut shown = json!({
                "node": node, "pool": copy.pool, "state": if copy.faulted { "Faulted" } else { "Online" },
                "healthy": copy.synced(),
            });
            if volume.target.is_some() {
                let child = if copy.faulted {
                    "Faulted"
                } else if copy.synced() {
                    "Online"
                } else {
                    "Degraded"
                };
                shown["child-status"] = json!(child);
                if copy.filled < 1.0 && !copy.faulted {
                    shown["rebuild-progress"] = json!((copy.filled * 100.0) as u8);
                }
            }
            (copy.id.clone(), shown)
        })
        .collect();
    let target = volume.target.as_ref().map(|node| {
        json!({"node": node, "state": status, "rebuilds": rebuilds, "protocol": "nvmf", "children": []})
    });
    json!({
        "spec": {
            "uuid": id, "size": volume.size, "num_replicas": volume.num_replicas, "status": "Created",
            "policy": {"self_heal": true}, "thin": false, "num_snapshots": volume.snapshots,
            "target": volume.target.as_ref().map(|node| json!({"node": node})),
            "topology": {"pool_topology": {"labelled": {"inclusion": volume.pool_inclusion, "exclusion": {}}}},
        },
        "state": {"uuid": id, "size": volume.size, "status": status, "target": target, "replica_topology": replicas},
    })
}

async fn pools(Extract(sim): Sim) -> Response {
    let state = sim.state();
    let all: Vec<Value> = state
        .pools
        .iter()
        .map(|(name, pool)| {
            let status = if pool.online && !state.offline.contains(&pool.node) { "Online" } else { "Unknown" };
            json!({
                "id": name,
                "spec": {"id": name, "node": pool.node, "labels": pool.labels, "disks": [], "status": "Created",
                         "cordonDrain": {"cordoned": pool.cordoned}},
                "state": {"id": name, "node": pool.node, "capacity": pool.capacity, "used": state.used(name),
                          "committed": state.used(name), "disks": [], "status": status},
            })
        })
        .collect();
    Json(all).into_response()
}

async fn nodes(Extract(sim): Sim) -> Response {
    let state = sim.state();
    let all: Vec<Value> = state
        .nodes
        .iter()
        .map(|(name, labels)| {
            let mut spec = json!({"id": name, "grpcEndpoint": "127.0.0.1:10124", "version": "v2.10.0"});
            if !labels.is_empty() {
                spec["cordondrainstate"] = json!({"cordonedstate": {"cordonlabels": labels}});
            }
            let status = if state.offline.contains(name) {
                "Offline"
            } else {
                "Online"
            };
            json!({"id": name, "spec": spec, "state": {"id": name, "status": status, "version": "v2.10.0"}})
        })
        .collect();
    Json(all).into_response()
}

async fn cordon_pool(Extract(sim): Sim, Path(id): Path<String>) -> Response {
    slowly(&sim, |state| match state.pools.get_mut(&id) {
        None => not_found(),
        Some(pool) if pool.cordoned => {
            refuse((422, "AlreadyExists", "the pool is cordoned already".to_owned()))
        }
        Some(pool) => {
            pool.cordoned = true;
            StatusCode::NO_CONTENT.into_response()
        }
    })
    .await
}

async fn uncordon_pool(Extract(sim): Sim, Path(id): Path<String>) -> Response {
    slowly(&sim, |state| match state.pools.get_mut(&id) {
        None => not_found(),
        Some(pool) => {
            pool.cordoned = false;
            StatusCode::NO_CONTENT.into_response()
        }
    })
    .await
}

async fn cordon_node(Extract(sim): Sim, Path((id, label)): Path<(String, String)>) -> Response {
    slowly(&sim, |state| match state.nodes.get_mut(&id) {
        None => not_found(),
        Some(labels) if labels.contains(&label) => {
            refuse((422, "AlreadyExists", "the node has this cordon".to_owned()))
        }
        Some(labels) => {
            labels.insert(label);
            StatusCode::NO_CONTENT.into_response()
        }
    })
    .await
}

async fn uncordon_node(Extract(sim): Sim, Path((id, label)): Path<(String, String)>) -> Response {
    slowly(&sim, |state| match state.nodes.get_mut(&id) {
        None => not_found(),
        Some(labels) => match labels.remove(&label) {
            true => StatusCode::NO_CONTENT.into_response(),
            false => refuse((
                412,
                "FailedPrecondition",
                "the node has no such cordon".to_owned(),
            )),
        },
    })
    .await
}
