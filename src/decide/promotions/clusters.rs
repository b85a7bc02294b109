//! Which Clusters of CloudNativePG have claims that are to get volumes of a class, and what speaks against making their instances anew.

use super::groups::{class_missing, namespace_gone, refusal};
use crate::decide::restores::CLAIMS_MAX;
use crate::model::cnpg::{CLUSTER_LABEL, Seen};
use crate::model::kinds::workload_move::KindName;
use crate::model::promotions::Group;
use crate::model::restores::{Facts, Refusal};
use std::collections::{BTreeMap, BTreeSet};

/// The Cluster of a claim; empty where it is of none.
pub(super) fn cluster_of<'f>(facts: &'f Facts, claim: &str) -> &'f str {
    let live = facts.claims.iter().find(|live| live.claim.claim.name == claim);
    live.and_then(|live| live.claim.labels.get(CLUSTER_LABEL))
        .map_or("", String::as_str)
}

/// One group for each Cluster that has any of these claims, in order of their names, and one for claims of none.
pub(super) fn groups(namespace: &str, facts: &Facts, claims: &BTreeSet<&str>, class: &str) -> Vec<Group> {
    let mut of: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for claim in claims {
        of.entry(cluster_of(facts, claim)).or_default().insert(claim);
    }
    of.into_iter()
        .map(|(cluster, claims)| group(namespace, facts, (cluster, &claims), class))
        .collect()
}

/// One Cluster, whose claims that are elsewhere should be just these.
fn group(namespace: &str, facts: &Facts, (cluster, claims): (&str, &BTreeSet<&str>), class: &str) -> Group {
    let mut found = Group {
        namespace: namespace.to_owned(),
        claims: claims.iter().map(|one| (*one).to_owned()).collect(),
        ..Group::default()
    };
    found.refusals.extend(namespace_gone(namespace, facts));
    found.refusals.extend(class_missing(class, facts));
    if claims.len() > CLAIMS_MAX {
        let words = format!(
            "{} claims are more than the {CLAIMS_MAX} that one move takes",
            claims.len()
        );
        found.refusals.push(refusal("TooMany", words));
    }
    let seen = facts.clusters.get(cluster).filter(|_| !cluster.is_empty());
    let Some(seen) = seen else {
        let first = claims.first().copied().unwrap_or_default();
        let words = format!(
            "claim {first} is of no Cluster of CloudNativePG (label {CLUSTER_LABEL}); move it by `method: copy`, in a phase of its own"
        );
        found.refusals.push(refusal("NoCluster", words));
        return found;
    };
    found.workloads = vec![KindName {
        kind: "Cluster".to_owned(),
        name: cluster.to_owned(),
    }];
    found.pods = i64::try_from(seen.pods.len()).unwrap_or_default();
    found.refusals.extend(seen.refusals(class));
    found.refusals.extend(left_out(seen, claims, class));
    found.waits = seen.waits();
    found
}

/// A claim of the Cluster that is elsewhere too and nobody has promoted: its instance is made anew as a whole.
fn left_out(seen: &Seen, claims: &BTreeSet<&str>, class: &str) -> Option<Refusal> {
    let mut of_it = seen.claims.iter();
    let (claim, _) = of_it.find(|(name, one)| one.class != class && !claims.contains(name.as_str()))?;
    let words = format!(
        "claim {claim} of Cluster {} would be made anew too, and is not of the phase; let its workloads name {CLUSTER_LABEL}: {} and nothing else",
        seen.name, seen.name
    );
    Some(refusal("ClaimLeftOut", words))
}
