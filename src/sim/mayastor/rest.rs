//! The HTTP face of the simulated Mayastor.

use super::calls::Refusal;
use super::faults::{How, Route};
use super::show::View;
use super::state::{PoolCordon, State};
use super::{Clock, Shared};
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State as Extract};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, put};
use axum::{Json, Router};
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

type Sim = Extract<Arc<Shared>>;

pub(super) fn routes(shared: Arc<Shared>) -> Router {
    let cordon = "/v0/nodes/{id}/cordon/{*label}";
    Router::new()
        .route("/v0/volumes", get(volumes))
        .route("/v0/volumes/snapshots", get(all_snapshots))
        .route("/v0/volumes/{id}", get(volume))
        .route("/v0/volumes/{id}/replica_count/{count}", put(replica_count))
        .route("/v0/volumes/{id}/property", put(property))
        .route("/v0/volumes/{id}/target", put(publish).delete(unpublish))
        .route("/v0/volumes/{id}/rebuild-history", get(rebuild_history))
        .route("/v0/volumes/{id}/snapshots", get(snapshots))
        .route("/v0/volumes/{id}/snapshots/{snapshot}", put(take_snapshot))
        .route("/v0/specs", get(specs))
        .route("/v0/pools", get(pools))
        .route("/v0/pools/{id}", get(pool))
        .route("/v0/pools/{id}/cordon", put(cordon_pool).delete(uncordon_pool))
        .route("/v0/pools/{id}/label/{*label}", labels(Of::Pool))
        .route("/v0/pools/{id}/replicas/{replica}", delete(delete_replica))
        .route("/v0/nodes", get(nodes))
        .route("/v0/nodes/{id}", get(node))
        .route(cordon, put(cordon_node).delete(uncordon_node))
        .route("/v0/nodes/{id}/drain/{*label}", put(drain_node))
        .route("/v0/nodes/{id}/label/{*label}", labels(Of::Node))
        .fallback(|| async { refuse(&Refusal::new(404, "NotFound", "there is no such route")) })
        .with_state(shared)
}

/// `RestJsonError`, or the end of the connection.
fn refuse(refusal: &Refusal) -> Response {
    if refusal.status == 0 {
        return broken(Vec::new(), 1000);
    }
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = json!({"kind": refusal.kind, "message": refusal.message, "details": refusal.message});
    (status, Json(body)).into_response()
}

/// An answer that ends before its announced length.
fn broken(begin: Vec<u8>, length: usize) -> Response {
    let begun = stream::iter((!begin.is_empty()).then(|| Ok(Bytes::from(begin))));
    let end = stream::once(async {
        // What was sent goes out before the connection ends: hyper flushes when it is asked again.
        tokio::task::yield_now().await;
        Err::<Bytes, _>(std::io::Error::other("cut"))
    });
    let mut response = Response::new(Body::from_stream(begun.chain(end)));
    response
        .headers_mut()
        .insert(header::CONTENT_LENGTH, length.into());
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("application/json"),
    );
    response
}

/// Half of an answer.
fn torn(value: &Value) -> Response {
    let text = value.to_string().into_bytes();
    let half = text.len() / 2;
    broken(text.get(..half).unwrap_or_default().to_vec(), text.len())
}

fn answer(how: Option<How>, outcome: Result<Value, Refusal>) -> Response {
    match outcome {
        Err(refusal) => refuse(&refusal),
        Ok(value) if how == Some(How::Torn) => torn(&value),
        Ok(Value::Null) => StatusCode::NO_CONTENT.into_response(),
        Ok(value) => Json(value).into_response(),
    }
}

/// A fault as the rest of a call sees it: torn answers are torn here, once they are known.
fn beneath(how: Option<How>) -> Option<How> {
    how.filter(|how| *how != How::Torn)
}

/// A late answer takes its time by the simulator's clock.
async fn wait(sim: &Shared, how: Option<How>) {
    let Some(How::Late(time)) = how else { return };
    match &sim.clock {
        Clock::Real => tokio::time::sleep(time).await,
        Clock::Driven(millis) => {
            let more = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            millis.fetch_add(more, Ordering::SeqCst);
        }
    }
}

async fn read(sim: &Shared, route: Route, look: impl FnOnce(View<'_>) -> Result<Value, Refusal>) -> Response {
    let how = sim.state().fault(route);
    wait(sim, how).await;
    let outcome = sim.state().read_under(beneath(how), look).and_then(|found| found);
    answer(how, outcome)
}

/// Half of the time that a change takes.
async fn half(sim: &Shared) {
    let takes = sim.state().change_takes;
    tokio::time::sleep(takes / 2).await;
}

/// Lets a change take its time before and after it is done, so that tests can end the caller on either side of it.
async fn change(
    sim: &Shared,
    route: Route,
    act: impl FnOnce(&mut State) -> Result<Value, Refusal>,
) -> Response {
    let how = sim.state().fault(route);
    half(sim).await;
    wait(sim, how).await;
    let outcome = sim.state().under(beneath(how), |state| state.recorded(act));
    half(sim).await;
    answer(how, outcome)
}

fn found(what: &str, name: &str, value: Option<Value>) -> Result<Value, Refusal> {
    value.ok_or_else(|| Refusal::not_found(what, name))
}

async fn volumes(Extract(sim): Sim, Query(query): Query<BTreeMap<String, String>>) -> Response {
    let number = |name: &str| query.get(name).and_then(|text| text.parse::<usize>().ok());
    let Some(most) = number("max_entries") else {
        return refuse(&Refusal::new(400, "InvalidArgument", "max_entries is required"));
    };
    let start = number("starting_token").unwrap_or(0);
    let one = query.get("volume_id");
    read(&sim, Route::Volumes, |view| match one {
        Some(id) => Ok(json!({"entries": view.volume(id).into_iter().collect::<Vec<_>>()})),
        None => Ok(view.volumes(most, start)),
    })
    .await
}

async fn volume(Extract(sim): Sim, Path(id): Path<String>) -> Response {
    read(&sim, Route::Volume, |view| found("Volume", &id, view.volume(&id))).await
}

async fn rebuild_history(Extract(sim): Sim, Path(id): Path<String>) -> Response {
    read(&sim, Route::RebuildHistory, |view| {
        match view.rebuild_history(&id) {
            None => Err(Refusal::not_found("Volume", &id)),
            Some(None) => Err(Refusal::precondition(format!("volume {id} has no target"))),
            Some(Some(history)) => Ok(history),
        }
    })
    .await
}

async fn snapshots(Extract(sim): Sim, Path(id): Path<String>) -> Response {
    read(&sim, Route::Snapshots, |view| {
        found("Volume", &id, view.snapshots(&id))
    })
    .await
}

async fn all_snapshots(Extract(sim): Sim) -> Response {
    read(&sim, Route::Snapshots, |view| Ok(view.all_snapshots())).await
}

async fn specs(Extract(sim): Sim) -> Response {
    read(&sim, Route::Specs, |view| Ok(view.specs())).await
}

async fn pools(Extract(sim): Sim) -> Response {
    read(&sim, Route::Pools, |view| Ok(view.pools())).await
}

async fn pool(Extract(sim): Sim, Path(id): Path<String>) -> Response {
    read(&sim, Route::Pools, |view| found("Pool", &id, view.pool(&id))).await
}

async fn nodes(Extract(sim): Sim) -> Response {
    read(&sim, Route::Nodes, |view| Ok(view.nodes())).await
}

async fn node(Extract(sim): Sim, Path(id): Path<String>) -> Response {
    read(&sim, Route::Nodes, |view| found("Node", &id, view.node(&id))).await
}

async fn replica_count(Extract(sim): Sim, Path((id, count)): Path<(String, u8)>) -> Response {
    change(&sim, Route::ReplicaCount, |state| {
        state.scale(&id, count)?;
        found("Volume", &id, state.show_volume(&id))
    })
    .await
}

/// `max_snapshots` or `encrypted`, and nothing else: topology can't be changed.
async fn property(Extract(sim): Sim, Path(id): Path<String>, body: Option<Json<Value>>) -> Response {
    let known = body.as_ref().is_some_and(|Json(body)| {
        let fields = body.as_object().filter(|fields| fields.len() == 1);
        fields.is_some_and(|fields| fields.contains_key("max_snapshots") || fields.contains_key("encrypted"))
    });
    change(&sim, Route::Other, |state| match known {
        true => found("Volume", &id, state.show_volume(&id)),
        false => Err(Refusal::new(
            400,
            "InvalidArgument",
            "the property is max_snapshots or encrypted",
        )),
    })
    .await
}

async fn publish(Extract(sim): Sim, Path(id): Path<String>, body: Option<Json<Value>>) -> Response {
    let wanted = body.and_then(|Json(body)| Some(body.get("node")?.as_str()?.to_owned()));
    change(&sim, Route::Other, |state| {
        state.give_target(&id, wanted.as_deref())?;
        found("Volume", &id, state.show_volume(&id))
    })
    .await
}

async fn unpublish(Extract(sim): Sim, Path(id): Path<String>) -> Response {
    change(&sim, Route::Other, |state| {
        state.take_target(&id)?;
        found("Volume", &id, state.show_volume(&id))
    })
    .await
}

async fn take_snapshot(Extract(sim): Sim, Path((id, snapshot)): Path<(String, String)>) -> Response {
    change(&sim, Route::Other, |state| {
        state.snapshot(&id, snapshot.clone())?;
        let all = state.view().snapshots(&id).unwrap_or_default();
        let taken = all["entries"].as_array().and_then(|all| all.last().cloned());
        found("VolumeSnapshot", &snapshot, taken)
    })
    .await
}

fn bits(body: Option<Json<Value>>) -> Result<PoolCordon, Refusal> {
    let wrong = || {
        Refusal::new(
            400,
            "InvalidArgument",
            "replicas, snapshots, restores and import are required",
        )
    };
    let Some(Json(body)) = body else {
        return Err(wrong());
    };
    let bit = |name: &str| body.get(name).and_then(Value::as_bool).ok_or_else(wrong);
    Ok(PoolCordon {
        replicas: bit("replicas")?,
        snapshots: bit("snapshots")?,
        restores: bit("restores")?,
        import: bit("import")?,
    })
}

async fn cordon_pool(Extract(sim): Sim, Path(id): Path<String>, body: Option<Json<Value>>) -> Response {
    change(&sim, Route::CordonPool, |state| {
        state.set_pool_cordon(&id, bits(body)?, true)?;
        found("Pool", &id, state.view().pool(&id))
    })
    .await
}

async fn uncordon_pool(Extract(sim): Sim, Path(id): Path<String>, body: Option<Json<Value>>) -> Response {
    change(&sim, Route::UncordonPool, |state| {
        state.set_pool_cordon(&id, bits(body)?, false)?;
        found("Pool", &id, state.view().pool(&id))
    })
    .await
}

async fn cordon_node(Extract(sim): Sim, Path((id, label)): Path<(String, String)>) -> Response {
    change(&sim, Route::CordonNode, |state| {
        state.set_node_cordon(&id, &label, true)?;
        found("Node", &id, state.view().node(&id))
    })
    .await
}

async fn uncordon_node(Extract(sim): Sim, Path((id, label)): Path<(String, String)>) -> Response {
    change(&sim, Route::UncordonNode, |state| {
        state.set_node_cordon(&id, &label, false)?;
        found("Node", &id, state.view().node(&id))
    })
    .await
}

async fn drain_node(Extract(sim): Sim, Path((id, label)): Path<(String, String)>) -> Response {
    change(&sim, Route::Other, |state| {
        state.drain(&id, &label)?;
        found("Node", &id, state.view().node(&id))
    })
    .await
}

/// A replica that belongs to a volume can't be taken away from under it.
async fn delete_replica(Extract(sim): Sim, Path((_, replica)): Path<(String, String)>) -> Response {
    change(&sim, Route::Other, |state| {
        let owned = state
            .volumes
            .values()
            .any(|volume| volume.copies.iter().any(|copy| copy.id == replica));
        Err(match owned {
            true => Refusal::new(409, "InUse", format!("replica {replica} belongs to a volume")),
            false => Refusal::not_found("Replica", &replica),
        })
    })
    .await
}

#[derive(Clone, Copy)]
enum Of {
    Pool,
    Node,
}

impl Of {
    fn label(self, state: &mut State, id: &str, key: &str, value: Option<&str>) -> Result<Value, Refusal> {
        match self {
            Self::Pool => {
                state.set_pool_label(id, key, value)?;
                found("Pool", id, state.view().pool(id))
            }
            Self::Node => {
                state.set_node_label(id, key, value)?;
                found("Node", id, state.view().node(id))
            }
        }
    }
}

/// `PUT …/label/{key}={value}` and `DELETE …/label/{key}`.
fn labels(of: Of) -> MethodRouter<Arc<Shared>> {
    let set = move |Extract(sim): Sim, Path((id, label)): Path<(String, String)>| async move {
        change(&sim, Route::Other, |state| match label.split_once('=') {
            Some((key, value)) => of.label(state, &id, key, Some(value)),
            None => Err(Refusal::new(400, "InvalidArgument", "a label is key=value")),
        })
        .await
    };
    let unset = move |Extract(sim): Sim, Path((id, label)): Path<(String, String)>| async move {
        change(&sim, Route::Other, |state| of.label(state, &id, &label, None)).await
    };
    put(set).delete(unset)
}
