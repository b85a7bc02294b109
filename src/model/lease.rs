//! A Kubernetes Lease as couchestor reads and writes it: who leads, in which epoch, and when that was last said.

use jiff::Timestamp;
use std::time::Duration;

/// One state of the Lease.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaseRecord {
    /// `spec.holderIdentity`; `None` when nobody leads.
    pub holder: Option<String>,
    /// `spec.leaseTransitions`: the epoch. It rises with each leadership.
    pub epoch: u64,
    /// `spec.leaseDurationSeconds`: how long others wait after it was last renewed.
    pub duration: Duration,
    /// `spec.acquireTime`: for people.
    pub acquired: Option<Timestamp>,
    /// `spec.renewTime`: that it changes is what counts, never how it compares with another machine's clock.
    pub renewed: Option<Timestamp>,
    /// The resourceVersion that this was read at, which a write must name; `None` for a Lease that does not exist.
    pub version: Option<String>,
}

impl LeaseRecord {
    /// Whether both say the same, whatever else was changed on the object.
    pub fn says_the_same_as(&self, other: &Self) -> bool {
        let said = |one: &Self| Self {
            version: None,
            ..one.clone()
        };
        said(self) == said(other)
    }
}
