//! What uses the volumes that would be exchanged: workloads that can be scaled down meanwhile, Flux, which would scale them up again, and
//! whatever else would start pods at the wrong moment, which is refused by name.

use super::refusal;
use crate::model::restores::{
    Facts, Fate, FluxFacts, Owner, Plan, PlannedClaim, PlannedFlux, PlannedWorkload, PodFacts, Refusal, Way,
    WorkloadFacts,
};
use std::collections::BTreeSet;

/// Kinds that are scaled by their field `replicas`, or suspended.
const SCALED: [&str; 4] = ["Deployment", "StatefulSet", "ReplicaSet", "CronJob"];

/// Links of the chain from a pod to what a person wrote: pod, ReplicaSet, Deployment, and one more.
const LINKS_MAX: usize = 5;

/// What uses these claims of a namespace: what would be scaled down and suspended for their exchange, and what cannot be.
pub(in crate::decide) fn of(facts: &Facts, claims: &BTreeSet<&str>) -> Plan {
    let planned = claims.iter().map(|claim| PlannedClaim {
        claim: (*claim).to_owned(),
        method: None,
        bytes: Some(0),
        missing: None,
        exists: true,
        volume: String::new(),
        storage_class: String::new(),
        used_by: Vec::new(),
        fate: Fate::Replaced,
    });
    let mut plan = Plan {
        way: Way::Volumes,
        claims: planned.collect(),
        ..Plan::default()
    };
    add(facts, &mut plan);
    plan
}

/// Adds to a plan what would be scaled down and suspended, and what cannot be.
pub(super) fn add(facts: &Facts, plan: &mut Plan) {
    let mut kept: BTreeSet<String> = BTreeSet::new();
    if plan.way == Way::Volumes {
        let claims: BTreeSet<&str> = plan
            .claims
            .iter()
            .filter(|one| one.bytes.is_some() && (one.fate != Fate::LeftAlone || one.exists))
            .map(|one| one.claim.as_str())
            .collect();
        kept.extend(
            claims
                .iter()
                .map(|claim| format!("PersistentVolumeClaim/{claim}")),
        );
        let mut refusals = Vec::new();
        let workloads = using(facts, &claims, &mut refusals);
        for workload in &workloads {
            kept.insert(told(&workload.itself));
            refusals.extend(driven(facts, workload));
            plan.notes.extend(at_rest(facts, workload));
            plan.workloads.push(PlannedWorkload {
                kind: workload.itself.kind.clone(),
                name: workload.itself.name.clone(),
                replicas: workload.replicas,
            });
        }
        plan.refusals.extend(refusals);
    }
    let concerned = |flux: &&FluxFacts| match plan.way {
        Way::Everything => flux.installs || !flux.keeps.is_empty(),
        Way::Volumes => flux.keeps.iter().any(|one| kept.contains(one)),
    };
    let planned = facts.flux.iter().filter(concerned).map(|flux| PlannedFlux {
        kind: flux.kind.clone(),
        namespace: flux.namespace.clone(),
        name: flux.name.clone(),
        suspended: flux.suspended,
    });
    plan.flux = planned.collect();
}

fn told(owner: &Owner) -> String {
    format!("{}/{}", owner.kind, owner.name)
}

/// The workloads whose pods use claims, now or as soon as they start any.
fn using<'f>(
    facts: &'f Facts,
    claims: &BTreeSet<&str>,
    refusals: &mut Vec<Refusal>,
) -> Vec<&'f WorkloadFacts> {
    let mut found: BTreeSet<&Owner> = BTreeSet::new();
    let mut refused: BTreeSet<(&str, String)> = BTreeSet::new();
    let mounting = facts.workloads.iter().filter(|one| mounts(one, claims));
    let mut starts: Vec<&Owner> = mounting
        .map(|one| &one.itself)
        .filter(|one| one.kind != "Job")
        .collect();
    for pod in facts.pods.iter().filter(|pod| uses(pod, claims)) {
        if pod.ended {
            let words = format!(
                "pod {} has ended, and its claim does not go before it; delete it first",
                pod.name
            );
            refused.insert(("EndedPod", words));
            continue;
        }
        match &pod.owner {
            Some(owner) if owner.kind == "Job" => {
                let words = format!(
                    "Job {} runs with a claim; wait for its end, or delete it",
                    owner.name
                );
                refused.insert(("JobRuns", words));
            }
            Some(owner) => starts.push(owner),
            None => {
                let words = format!(
                    "pod {} uses a claim, and nothing would start it again; delete it first, and make it again afterwards",
                    pod.name
                );
                refused.insert(("BarePod", words));
            }
        }
    }
    for start in starts {
        match top(facts, start) {
            Ok(workload) if workload.deletes_claims => {
                let words = format!(
                    "{} deletes its claims when it is scaled down (persistentVolumeClaimRetentionPolicy), those with it that are not \
                     restored; set whenScaled: Retain first",
                    told(&workload.itself)
                );
                refused.insert(("ScalingDeletesClaims", words));
            }
            Ok(workload) if SCALED.contains(&workload.itself.kind.as_str()) => {
                found.insert(&workload.itself);
            }
            Ok(workload) => {
                let of = told(&workload.itself);
                let words = format!(
                    "{of} uses a claim, and it cannot be scaled down; delete it first, and let Git make it again afterwards"
                );
                refused.insert(("CannotScale", words));
            }
            Err(operator) => {
                let words = format!(
                    "pods that use a claim are made for {}, whose operator would make them again at once; restore it the operator's way, \
                     or stop the operator and delete the workload first",
                    told(operator)
                );
                refused.insert(("Operator", words));
            }
        }
    }
    refusals.extend(refused.into_iter().map(|(reason, words)| refusal(reason, words)));
    let used = facts.workloads.iter().filter(|one| found.contains(&one.itself));
    used.collect()
}

fn uses(pod: &PodFacts, claims: &BTreeSet<&str>) -> bool {
    pod.claims.iter().any(|claim| claims.contains(claim.as_str()))
}

/// Whether pods of a workload mount any of the claims.
fn mounts(workload: &WorkloadFacts, claims: &BTreeSet<&str>) -> bool {
    let ordinal = |rest: &str| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit());
    let of_template = |claim: &str| {
        let mut all = workload.templates.iter();
        all.any(|template| claim.strip_prefix(template.as_str()).is_some_and(ordinal))
    };
    claims
        .iter()
        .any(|claim| workload.claims.contains(*claim) || of_template(claim))
}

/// What a person wrote, of what was made from it; or what a workload is made for that is none itself.
fn top<'f>(facts: &'f Facts, start: &'f Owner) -> Result<&'f WorkloadFacts, &'f Owner> {
    let mut at = start;
    for _ in 0..LINKS_MAX {
        let found = facts.workloads.iter().find(|one| one.itself == *at);
        match found {
            None => break,
            Some(workload) => match &workload.owner {
                None => return Ok(workload),
                Some(owner) => at = owner,
            },
        }
    }
    Err(at)
}

/// A HorizontalPodAutoscaler leaves alone what has no replicas.
fn at_rest(facts: &Facts, workload: &WorkloadFacts) -> Vec<String> {
    let target = told(&workload.itself);
    let of_it = facts
        .scalers
        .iter()
        .filter(|one| one.kind == "HorizontalPodAutoscaler" && one.target == target);
    let words = |name: &str| {
        format!(
            "HorizontalPodAutoscaler {name} does nothing while {target} is scaled to 0, and goes on afterwards"
        )
    };
    of_it.map(|one| words(&one.name)).collect()
}

/// What would scale a workload up again while it is down.
fn driven(facts: &Facts, workload: &WorkloadFacts) -> Vec<Refusal> {
    let target = told(&workload.itself);
    let of_it = facts
        .scalers
        .iter()
        .filter(|one| one.kind == "ScaledObject" && one.target == target);
    let awake = of_it.filter(|one| !one.paused);
    let words = |name: &str| {
        format!(
            "ScaledObject {name} would scale {target} up again; pause it first: `kubectl annotate scaledobject {name} \
             autoscaling.keda.sh/paused=true`"
        )
    };
    awake
        .map(|one| refusal("ScaledByKeda", words(&one.name)))
        .collect()
}
