//! Annotations: on volumes as their record, and on objects of ours as people's orders.

use super::{Annotated, Cluster, ClusterError, translate};
use k8s_openapi::api::core::v1::PersistentVolume;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::{Api, Resource};

impl Cluster {
    /// Sets an annotation on a PersistentVolume.
    ///
    /// # Errors
    /// Any [`ClusterError`].
    pub async fn annotate_volume(&self, volume: &str, key: &str, value: &str) -> Result<(), ClusterError> {
        self.wrote()?;
        let api: Api<PersistentVolume> = Api::all(self.client.clone());
        let patch = serde_json::json!({"metadata": {"annotations": {key: value}}});
        let params = PatchParams {
            field_manager: Some(crate::model::kinds::FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        api.patch_metadata(volume, &params, &Patch::Merge(patch))
            .await
            .map(drop)
            .map_err(|error| translate(&format!("PersistentVolume {volume}"), error))
    }

    /// Sets an annotation on an object, or takes it away.
    ///
    /// # Errors
    /// Any [`ClusterError`].
    pub async fn annotate<K>(
        &self,
        object: &Annotated<'_>,
        key: &str,
        value: Option<&str>,
    ) -> Result<(), ClusterError>
    where
        K: Resource<DynamicType = ()>,
    {
        self.wrote()?;
        let resource = ApiResource::erase::<K>(&());
        let api: Api<DynamicObject> = match object.namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        };
        let patch = serde_json::json!({"metadata": {"annotations": {key: value}}});
        let params = PatchParams {
            field_manager: Some(crate::model::kinds::PERSON_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        api.patch_metadata(object.name, &params, &Patch::Merge(patch))
            .await
            .map(drop)
            .map_err(|error| translate(&format!("{} {}", K::kind(&()), object.name), error))
    }
}
