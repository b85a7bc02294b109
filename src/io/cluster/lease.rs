//! The Lease of the leader election.

use super::{Cluster, ClusterError};
use crate::model::lease::LeaseRecord;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use std::time::Duration;

impl Cluster {
    /// Reads a Lease, as it is now: a read without a resourceVersion is not answered from a cache.
    ///
    /// # Errors
    /// Any [`ClusterError`]; `None` when it does not exist.
    pub async fn lease(&self, namespace: &str, name: &str) -> Result<Option<LeaseRecord>, ClusterError> {
        self.read();
        let api: Api<Lease> = Api::namespaced(self.client.clone(), namespace);
        let found = api
            .get_opt(name)
            .await
            .map_err(|error| self.translate(&format!("Lease {namespace}/{name}"), error))?;
        Ok(found.map(record))
    }

    /// Writes a Lease if it still has the record's version; creates it when the record has none. Nothing guards this write: the Lease
    /// itself does.
    ///
    /// # Errors
    /// [`ClusterError::Conflict`] or [`ClusterError::Exists`] when somebody else was first.
    pub async fn write_lease(
        &self,
        namespace: &str,
        name: &str,
        wanted: &LeaseRecord,
    ) -> Result<LeaseRecord, ClusterError> {
        self.count_write();
        let api: Api<Lease> = Api::namespaced(self.client.clone(), namespace);
        let what = format!("Lease {namespace}/{name}");
        let too_many = |_| ClusterError::Invalid {
            what: what.clone(),
            detail: "spec.leaseTransitions cannot count any further".to_owned(),
        };
        let lease = Lease {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                namespace: Some(namespace.to_owned()),
                resource_version: wanted.version.clone(),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(wanted.holder.clone().unwrap_or_default()),
                // The API server refuses a Lease of no duration.
                lease_duration_seconds: i32::try_from(wanted.duration.as_secs().max(1)).ok(),
                lease_transitions: Some(i32::try_from(wanted.epoch).map_err(too_many)?),
                acquire_time: wanted.acquired.map(MicroTime),
                renew_time: wanted.renewed.map(MicroTime),
                ..LeaseSpec::default()
            }),
        };
        let params = PostParams {
            field_manager: Some(crate::model::kinds::STATUS_MANAGER.to_owned()),
            ..PostParams::default()
        };
        let written = match wanted.version {
            Some(_) => api.replace(name, &params, &lease).await,
            None => api.create(&params, &lease).await,
        };
        written.map(record).map_err(|error| self.translate(&what, error))
    }
}

fn record(lease: Lease) -> LeaseRecord {
    let spec = lease.spec.unwrap_or_default();
    LeaseRecord {
        holder: spec.holder_identity.filter(|holder| !holder.is_empty()),
        epoch: spec
            .lease_transitions
            .and_then(|count| u64::try_from(count).ok())
            .unwrap_or_default(),
        duration: spec
            .lease_duration_seconds
            .and_then(|seconds| u64::try_from(seconds).ok())
            .map_or(Duration::ZERO, Duration::from_secs),
        acquired: spec.acquire_time.map(|at| at.0),
        renewed: spec.renew_time.map(|at| at.0),
        version: lease.metadata.resource_version,
    }
}
