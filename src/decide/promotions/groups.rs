//! Which claims move together, with which workloads, and which of them cannot be moved by copying: those are refused by name.

use crate::decide::restores::{CLAIMS_MAX, OTHERS_MAX, users};
use crate::model::kinds::workload_move::{FluxName, KindName};
use crate::model::promotions::Group;
use crate::model::restores::{ClaimFacts, Facts, NamespaceSeen, Refusal};
use std::collections::BTreeSet;

/// What the namespace must not demand of pods: those that copy run as root.
const RESTRICTED: &str = "restricted";

pub(super) fn refusal(reason: &'static str, message: String) -> Refusal {
    Refusal { reason, message }
}

/// That nothing can be made in a namespace.
pub(super) fn namespace_gone(namespace: &str, facts: &Facts) -> Option<Refusal> {
    let words = || format!("namespace {namespace} is being deleted, or is gone");
    (facts.namespace != NamespaceSeen::Active).then(|| refusal("NamespaceTerminating", words()))
}

/// That the class makes no volumes.
pub(super) fn class_missing(class: &str, facts: &Facts) -> Option<Refusal> {
    let words = || format!("there is no StorageClass {class} in this cluster; declare it first");
    (!facts.classes.contains(class)).then(|| refusal("StorageClassMissing", words()))
}

/// Claims, and the workloads that use any of them by kind and name.
type Joined<'a> = (BTreeSet<&'a str>, BTreeSet<(String, String)>);

/// The groups of some claims of a namespace that are to get volumes of a class, in order of their first claims.
pub fn groups(namespace: &str, facts: &Facts, claims: &BTreeSet<&str>, class: &str) -> Vec<Group> {
    let mut found: Vec<Joined> = Vec::new();
    for claim in claims {
        let plan = users::of(facts, &BTreeSet::from([*claim]));
        let workloads = plan.workloads.into_iter().map(|one| (one.kind, one.name));
        let mut joined = (BTreeSet::from([*claim]), workloads.collect::<BTreeSet<_>>());
        let (shares, rest): (Vec<_>, Vec<_>) = found
            .into_iter()
            .partition(|(_, workloads)| workloads.iter().any(|one| joined.1.contains(one)));
        for (claims, workloads) in shares {
            joined.0.extend(claims);
            joined.1.extend(workloads);
        }
        found = rest;
        found.push(joined);
    }
    let mut groups: Vec<Group> = found
        .iter()
        .map(|(claims, _)| group(namespace, facts, claims, Some(class)))
        .collect();
    groups.sort_by(|a, b| a.claims.cmp(&b.claims));
    groups
}

/// These claims with what uses them, and everything that speaks against exchanging their volumes; `class` is the one that has to make the
/// new volumes, where they are not there already.
pub fn group(namespace: &str, facts: &Facts, claims: &BTreeSet<&str>, class: Option<&str>) -> Group {
    let plan = users::of(facts, claims);
    let mut refusals = plan.refusals;
    refusals.extend(namespace_gone(namespace, facts));
    if facts.enforces == RESTRICTED {
        let words = format!(
            "namespace {namespace} lets no pod run as root (pod-security.kubernetes.io/enforce: restricted), and the Job that copies must; \
             write `baseline` for the time of the move"
        );
        refusals.push(refusal("PodSecurity", words));
    }
    for claim in claims {
        let live = facts.claims.iter().find(|live| live.claim.claim.name == **claim);
        match live {
            Some(live) => refusals.extend(unfit(claim, live, facts)),
            None => refusals.push(refusal(
                "ClaimMissing",
                format!("there is no claim {claim} any more"),
            )),
        }
    }
    refusals.extend(class.and_then(|class| class_missing(class, facts)));
    if claims.len() > CLAIMS_MAX || plan.workloads.len() + plan.flux.len() > OTHERS_MAX {
        let words = format!(
            "{} claims share workloads; one move takes at most {CLAIMS_MAX} claims, and {OTHERS_MAX} workloads and Flux objects",
            claims.len()
        );
        refusals.push(refusal("TooMany", words));
    }
    Group {
        namespace: namespace.to_owned(),
        claims: claims.iter().map(|one| (*one).to_owned()).collect(),
        pods: plan
            .workloads
            .iter()
            .filter(|one| one.kind != "CronJob")
            .map(|one| one.replicas)
            .sum(),
        workloads: plan
            .workloads
            .into_iter()
            .map(|one| KindName {
                kind: one.kind,
                name: one.name,
            })
            .collect(),
        flux: plan
            .flux
            .into_iter()
            .map(|one| FluxName {
                kind: one.kind,
                namespace: one.namespace,
                name: one.name,
            })
            .collect(),
        refusals,
        waits: None,
    }
}

/// What speaks against exchanging the volume of a claim.
fn unfit(name: &str, live: &ClaimFacts, facts: &Facts) -> Vec<Refusal> {
    let mut out = Vec::new();
    if live.volume.is_empty() || !live.bound || live.going {
        let words = format!("claim {name} is not bound to a volume, or is being deleted");
        out.push(refusal("NotBound", words));
        return out;
    }
    if live.volume_gone || live.volume_going {
        let words = format!("volume {} of claim {name} is gone or being deleted", live.volume);
        out.push(refusal("VolumeGone", words));
    }
    if live.claim.block {
        let words = format!("claim {name} is a raw block device, which is not copied file by file");
        out.push(refusal("RawBlock", words));
    }
    if live.claim.host_path {
        let words = format!("claim {name} is on a hostPath volume, which others may use too");
        out.push(refusal("HostPath", words));
    }
    let shared = |mode: &&String| matches!(mode.as_str(), "ReadWriteMany" | "ReadOnlyMany");
    if let Some(mode) = live.modes.iter().find(shared) {
        let words = format!("claim {name} may be mounted on several nodes at once ({mode}); move it by hand");
        out.push(refusal("Shared", words));
    }
    if live.bytes == 0 {
        let words = format!("claim {name} does not say how large it is");
        out.push(refusal("NoSize", words));
    }
    let keeps = |one: &&crate::model::restores::FluxFacts| {
        one.volumes.contains(&live.volume) || one.keeps.contains(&format!("PersistentVolumeClaim/{name}"))
    };
    for flux in facts.flux.iter().filter(keeps) {
        let (kind, of) = (&flux.kind, format!("{}/{}", flux.namespace, flux.name));
        if flux.volumes.contains(&live.volume) {
            let words = format!(
                "volume {} of claim {name} is declared in Git, by {kind} {of}; move it by hand",
                live.volume
            );
            out.push(refusal("VolumeFromGit", words));
        } else if !live.left_alone_by_flux {
            let words = format!(
                "claim {name} is kept by {kind} {of}, which would not take it with another class, or would make it anew and empty; have Git \
                 give the claim the annotation `kustomize.toolkit.fluxcd.io/ssa: IfNotPresent` first, and change its class there after the move"
            );
            out.push(refusal("ClaimFromGit", words));
        }
    }
    out
}
