//! The part of `status` about the controller: all that is shown is what it wrote last, and nothing of that says whether it still lives.

use crate::io::cluster::Cluster;
use crate::model::lease::LeaseRecord;
use crate::model::quantities::span;
use jiff::Timestamp;

/// A Lease is renewed every two seconds, and taken by another after fifteen; two machines' clocks may differ besides.
const SILENT_SECS: i64 = 60;

/// Where the Lease is.
#[derive(clap::Args, Debug)]
pub(super) struct ControllerArguments {
    /// The namespace in which couchestor runs: its Lease there tells whether it lives.
    #[arg(long, default_value = "couchestor-system")]
    controller_namespace: String,
    /// The Lease of its leader election.
    #[arg(long, env = "LEADER_ELECTION_LEASE_NAME", default_value = "couchestor")]
    leader_election_lease_name: String,
}

impl ControllerArguments {
    /// Says that no controller leads, where that is known. Whoever may not read Leases is told the rest all the same.
    pub(super) async fn silence(&self, cluster: &Cluster) -> Option<String> {
        let (namespace, name) = (&self.controller_namespace, &self.leader_election_lease_name);
        let lease = cluster.lease(namespace, name).await.ok().flatten()?;
        silence(&lease, &format!("{namespace}/{name}"), crate::io::clock::now())
    }
}

fn silence(lease: &LeaseRecord, place: &str, now: Timestamp) -> Option<String> {
    let renewed = lease.renewed?;
    // Without election it is taken once and never renewed: it does not tell.
    if lease.acquired > Some(renewed) {
        return None;
    }
    let age = now.as_second() - renewed.as_second();
    let ago = span(u64::try_from(age).unwrap_or(0));
    let what = match &lease.holder {
        None => format!("the last one gave Lease {place} back {ago} ago"),
        Some(holder) if age > SILENT_SECS => {
            let holder = holder.escape_debug();
            format!("{holder} renewed Lease {place} {ago} ago for the last time")
        }
        Some(_) => return None,
    };
    Some(format!(
        "No controller leads: {what}. What follows is what it left.\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_tells_whether_a_controller_leads_where_one_was_elected() {
        let now: Timestamp = "2026-11-30T12:00:00Z".parse().unwrap();
        let ago = |seconds: i64| Some(Timestamp::from_second(now.as_second() - seconds).unwrap());
        let rows = [
            ("it leads", Some("a_1"), ago(3600), ago(2), None),
            ("its clock is ahead", Some("a_1"), ago(3600), ago(-30), None),
            (
                "it has died",
                Some("a_1"),
                ago(3600),
                ago(700),
                Some("a_1 renewed Lease ns/couchestor 11 min 40 s ago for the last time"),
            ),
            (
                "it has ended",
                None,
                ago(3600),
                ago(2),
                Some("the last one gave Lease ns/couchestor back 2 s ago"),
            ),
            ("there was no election", None, ago(3600), None, None),
            (
                "one followed without election",
                Some("a_1"),
                ago(60),
                ago(700),
                None,
            ),
        ];
        for (what, holder, acquired, renewed, told) in rows {
            let lease = LeaseRecord {
                holder: holder.map(str::to_owned),
                acquired,
                renewed,
                ..LeaseRecord::default()
            };
            let wanted =
                told.map(|told| format!("No controller leads: {told}. What follows is what it left.\n"));
            assert_eq!(silence(&lease, "ns/couchestor", now), wanted, "{what}");
        }
    }
}
