//! Annotations: on volumes as their record, and on objects of ours as people's orders.

use super::{Annotated, Cluster, ClusterError};
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
            .map_err(|error| self.translate(&format!("PersistentVolume {volume}"), error))
    }

    /// Takes a finalizer off a cluster-scoped object, if nobody has written the object since it was read.
    ///
    /// # Errors
    /// [`ClusterError::Conflict`] when somebody has.
    pub async fn let_go<K>(&self, object: &K, finalizer: &str) -> Result<K, ClusterError>
    where
        K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
    {
        self.wrote()?;
        let api: Api<K> = Api::all(self.client.clone());
        let meta = object.meta();
        let name = meta.name.clone().unwrap_or_default();
        let others = meta.finalizers.iter().flatten();
        let left: Vec<&String> = others.filter(|one| *one != finalizer).collect();
        let patch =
            serde_json::json!({"metadata": {"resourceVersion": meta.resource_version, "finalizers": left}});
        let params = PatchParams {
            field_manager: Some(crate::model::kinds::FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        api.patch(&name, &params, &Patch::Merge(patch))
            .await
            .map_err(|error| self.translate(&format!("{} {name}", K::kind(&())), error))
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
            .map_err(|error| self.translate(&format!("{} {}", K::kind(&()), object.name), error))
    }
}
