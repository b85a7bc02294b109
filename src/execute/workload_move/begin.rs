//! From a move that starts to a WorkloadMove with a name that can be made only once.

use crate::execute::start::{approved_by, named, named_source, short_hash};
use crate::model::ids::SourceRef;
use crate::model::kinds::UNFINISHED_MOVE;
use crate::model::kinds::merges::MergeStatus;
use crate::model::kinds::rollout::PhaseMethod;
use crate::model::kinds::workload_move::{WorkloadMove, WorkloadMoveSpec};
use crate::model::promotions::Start;
use std::collections::BTreeSet;

/// Makes the WorkloadMove. Its name depends on the phase, the claims and the approving commit, so that making it twice is refused by the
/// cluster, while a new approval makes a new one.
pub fn workload_move(
    source: &SourceRef,
    start: Start,
    timeout_seconds: u64,
    merge: Option<&MergeStatus>,
) -> WorkloadMove {
    let claims: Vec<&str> = start.claims.iter().map(|claim| claim.name.as_str()).collect();
    let mut identity = format!(
        "{}|{}|{}|{}|{}|{}|{}",
        start.rollout,
        start.phase,
        start.fingerprint,
        start.namespace,
        claims.join(","),
        start.approval.commit,
        start.back.as_deref().unwrap_or_default()
    );
    if start.method == PhaseMethod::Cnpg {
        // Names of claims come back with other volumes, and those may have to be left again.
        let volumes = start.claims.iter().map(|claim| claim.volume.as_str());
        identity.extend(volumes.flat_map(|volume| ["|", volume]));
    }
    let first = claims.first().copied().unwrap_or_default();
    let name = named(&start.namespace, first, &short_hash(&identity));
    let classes = |of: fn(&crate::model::kinds::workload_move::MovedClaim) -> &String| {
        let all: BTreeSet<&str> = start.claims.iter().map(|claim| of(claim).as_str()).collect();
        all.into_iter().collect::<Vec<&str>>().join(",")
    };
    let workloads = start
        .workloads
        .iter()
        .map(|one| format!("{}/{}", one.kind, one.name));
    let told = match start.workloads.is_empty() {
        true => format!("claims {}", claims.join(", ")),
        false => workloads.collect::<Vec<String>>().join(", "),
    };
    let spec = WorkloadMoveSpec {
        source: named_source(source),
        from: classes(|claim| &claim.from),
        to: classes(|claim| &claim.to),
        told,
        method: start.method,
        approved: approved_by(&start.approval, merge),
        rollout: start.rollout,
        rollout_phase: start.phase,
        fingerprint: start.fingerprint,
        namespace: start.namespace,
        claims: start.claims,
        workloads: start.workloads,
        flux: start.flux,
        image: start.image,
        timeout_seconds,
        back: start.back,
        secret: start.secret,
    };
    let mut made = WorkloadMove::new(&name, spec);
    made.metadata.finalizers = Some(vec![UNFINISHED_MOVE.to_owned()]);
    made
}
