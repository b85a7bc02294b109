//! Objects whose kinds are known only by name: what a repository holds.

use super::{Cluster, ClusterError};
use crate::model::ids::ObjectId;
use crate::model::kinds::{FIELD_MANAGER, PAUSE_MANAGER};
use kube::Api;
use kube::api::{
    DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy,
};
use kube::core::{GroupVersionKind, TypeMeta};
use kube::discovery::{ApiResource, Discovery, Scope};
use serde_json::{Value, json};

/// Namespaced objects without a namespace go here, as kubectl has it.
const DEFAULT_NAMESPACE: &str = "default";

/// A live object as the API server shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Live(pub Value);

impl Live {
    /// The object's uid.
    pub fn uid(&self) -> Option<&str> {
        self.0.pointer("/metadata/uid").and_then(Value::as_str)
    }

    /// Whether a field manager has applied it.
    pub fn is_applied_by(&self, manager: &str) -> bool {
        self.applied().any(|(one, _)| one == manager)
    }

    /// Who has applied it, and which of its fields.
    pub fn applied(&self) -> impl Iterator<Item = (&str, &Value)> {
        let entries = self
            .0
            .pointer("/metadata/managedFields")
            .and_then(Value::as_array);
        let applied = entries
            .into_iter()
            .flatten()
            .filter(|entry| entry["operation"] == "Apply");
        applied.filter_map(|entry| Some((entry["manager"].as_str()?, &entry["fieldsV1"])))
    }

    /// An annotation's value.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.0.get("metadata")?.get("annotations")?.get(key)?.as_str()
    }
}

impl Cluster {
    async fn resource(&self, api_version: &str, kind: &str) -> Result<(ApiResource, Scope), ClusterError> {
        let types = TypeMeta {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
        };
        let unknown = || ClusterError::UnknownKind {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
        };
        let wanted = GroupVersionKind::try_from(&types).map_err(|_| unknown())?;
        let mut known = self.discovery.lock().await;
        if let Some((resource, capabilities)) = known.as_ref().and_then(|known| known.resolve_gvk(&wanted)) {
            return Ok((resource, capabilities.scope));
        }
        // A miss asks the server once more: the kind may have been installed since.
        self.read();
        let fresh = Discovery::new(self.client.clone())
            .run()
            .await
            .map_err(|error| self.translate("the list of kinds", error))?;
        let found = fresh
            .resolve_gvk(&wanted)
            .map(|(resource, capabilities)| (resource, capabilities.scope));
        *known = Some(fresh);
        found.ok_or_else(unknown)
    }

    async fn api(&self, api_version: &str, id: &ObjectId) -> Result<Api<DynamicObject>, ClusterError> {
        let (resource, scope) = self.resource(api_version, &id.kind).await?;
        Ok(match scope {
            Scope::Cluster => Api::all_with(self.client.clone(), &resource),
            Scope::Namespaced => {
                let namespace = Some(id.namespace.as_str()).filter(|name| !name.is_empty());
                Api::namespaced_with(
                    self.client.clone(),
                    namespace.unwrap_or(DEFAULT_NAMESPACE),
                    &resource,
                )
            }
        })
    }

    /// Reads an object.
    ///
    /// # Errors
    /// Any [`ClusterError`]; `None` when it does not exist.
    pub async fn get_object(&self, api_version: &str, id: &ObjectId) -> Result<Option<Live>, ClusterError> {
        let api = self.api(api_version, id).await?;
        self.read();
        let found = api
            .get_opt(&id.name)
            .await
            .map_err(|error| self.translate(&id.to_string(), error))?;
        found.map(|object| live(id, object)).transpose()
    }

    /// Applies an object on the server, as the field manager `couchestor`, and takes fields over from other managers:
    /// Git decides about what it holds.
    ///
    /// # Errors
    /// Any [`ClusterError`].
    pub async fn apply_object(
        &self,
        api_version: &str,
        id: &ObjectId,
        object: &Value,
        dry_run: bool,
    ) -> Result<Live, ClusterError> {
        self.apply_as(FIELD_MANAGER, api_version, id, object, dry_run)
            .await
    }

    /// Sets `spec.paused` of the object with this uid, and no other field.
    ///
    /// # Errors
    /// Any [`ClusterError`]; where the object has gone since, none is made.
    pub async fn pause_object(
        &self,
        api_version: &str,
        id: &ObjectId,
        uid: &str,
    ) -> Result<(), ClusterError> {
        let mut pause = json!({"apiVersion": api_version, "kind": id.kind,
            "metadata": {"name": id.name, "uid": uid}, "spec": {"paused": true}});
        if !id.namespace.is_empty() {
            pause["metadata"]["namespace"] = json!(id.namespace);
        }
        self.apply_as(PAUSE_MANAGER, api_version, id, &pause, false)
            .await
            .map(drop)
    }

    async fn apply_as(
        &self,
        manager: &str,
        api_version: &str,
        id: &ObjectId,
        object: &Value,
        dry_run: bool,
    ) -> Result<Live, ClusterError> {
        let api = self.api(api_version, id).await?;
        if dry_run {
            self.read();
        } else {
            self.wrote()?;
        }
        let params = PatchParams {
            dry_run,
            ..PatchParams::apply(manager).force()
        };
        let applied = api
            .patch(&id.name, &params, &Patch::Apply(object))
            .await
            .map_err(|error| self.translate(&id.to_string(), error))?;
        live(id, applied)
    }

    /// Creates an object, which must not be there yet.
    ///
    /// # Errors
    /// [`ClusterError::Exists`] when it is.
    pub async fn create_object(
        &self,
        api_version: &str,
        id: &ObjectId,
        object: &Value,
    ) -> Result<(), ClusterError> {
        let api = self.api(api_version, id).await?;
        let invalid = |error: serde_json::Error| ClusterError::Invalid {
            what: id.to_string(),
            detail: error.to_string(),
        };
        let object: DynamicObject = serde_json::from_value(object.clone()).map_err(invalid)?;
        self.wrote()?;
        let params = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        api.create(&params, &object)
            .await
            .map(drop)
            .map_err(|error| self.translate(&id.to_string(), error))
    }

    /// Deletes an object if it is still the one with this uid. That it is gone already is no error.
    ///
    /// # Errors
    /// Any [`ClusterError`].
    pub async fn delete_object(
        &self,
        api_version: &str,
        id: &ObjectId,
        uid: &str,
    ) -> Result<(), ClusterError> {
        self.delete_as(api_version, id, uid, None).await
    }

    /// The same with what it owns: of a Job the API server would leave the pods there otherwise.
    ///
    /// # Errors
    /// Any [`ClusterError`].
    pub async fn delete_with_owned(
        &self,
        api_version: &str,
        id: &ObjectId,
        uid: &str,
    ) -> Result<(), ClusterError> {
        let owned = Some(PropagationPolicy::Background);
        self.delete_as(api_version, id, uid, owned).await
    }

    async fn delete_as(
        &self,
        api_version: &str,
        id: &ObjectId,
        uid: &str,
        propagation_policy: Option<PropagationPolicy>,
    ) -> Result<(), ClusterError> {
        let api = self.api(api_version, id).await?;
        self.wrote()?;
        let preconditions = Preconditions {
            uid: Some(uid.to_owned()),
            resource_version: None,
        };
        let params = DeleteParams {
            preconditions: Some(preconditions),
            propagation_policy,
            ..DeleteParams::default()
        };
        match api.delete(&id.name, &params).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(self.translate(&id.to_string(), error)),
        }
    }
}

fn live(id: &ObjectId, object: DynamicObject) -> Result<Live, ClusterError> {
    serde_json::to_value(object)
        .map(Live)
        .map_err(|error| ClusterError::Invalid {
            what: id.to_string(),
            detail: error.to_string(),
        })
}
