//! Objects of other systems' kinds, by what their paths are made of: no list of kinds has to be read first, and a kind that is not
//! installed is an answer, not an error.

use super::{Cluster, ClusterError, PAGE, PAGES_MAX};
use crate::model::kinds::FIELD_MANAGER;
use kube::Api;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::discovery::ApiResource;
use serde_json::Value;

/// A kind of another system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// Its group.
    pub group: &'static str,
    /// The version in which it is read and written.
    pub version: &'static str,
    /// Its kind.
    pub kind: &'static str,
    /// Its plural.
    pub plural: &'static str,
}

impl Foreign {
    /// A kind.
    pub const fn of(
        group: &'static str,
        version: &'static str,
        kind: &'static str,
        plural: &'static str,
    ) -> Self {
        Self {
            group,
            version,
            kind,
            plural,
        }
    }

    /// Its group and version, as objects write them; the core group has no name.
    pub fn api_version(&self) -> String {
        match self.group {
            "" => self.version.to_owned(),
            group => format!("{group}/{}", self.version),
        }
    }

    fn resource(&self) -> ApiResource {
        ApiResource {
            group: self.group.to_owned(),
            version: self.version.to_owned(),
            api_version: self.api_version(),
            kind: self.kind.to_owned(),
            plural: self.plural.to_owned(),
        }
    }

    fn named(&self, namespace: &str, name: &str) -> String {
        format!("{} {namespace}/{name}", self.kind)
    }
}

/// Which objects a list holds.
#[derive(Clone, Debug, Default)]
pub struct Which {
    /// A label selector.
    pub labels: Option<String>,
    /// A field selector.
    pub fields: Option<String>,
}

impl Cluster {
    /// Without a namespace: objects that are in none.
    fn foreign(&self, kind: &Foreign, namespace: &str) -> Api<DynamicObject> {
        match namespace {
            "" => Api::all_with(self.client.clone(), &kind.resource()),
            namespace => Api::namespaced_with(self.client.clone(), namespace, &kind.resource()),
        }
    }

    /// Lists objects in all namespaces; `None` when the cluster does not have the kind.
    ///
    /// # Errors
    /// Any [`ClusterError`]. A list that is cut short is an error, never a short list.
    pub async fn list_foreign(
        &self,
        kind: &Foreign,
        which: &Which,
    ) -> Result<Option<Vec<Value>>, ClusterError> {
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &kind.resource());
        self.list_by(api, kind, which).await
    }

    /// Lists objects of one namespace; `None` when the cluster does not have the kind.
    ///
    /// # Errors
    /// Any [`ClusterError`]. A list that is cut short is an error, never a short list.
    pub async fn list_foreign_in(
        &self,
        kind: &Foreign,
        namespace: &str,
        which: &Which,
    ) -> Result<Option<Vec<Value>>, ClusterError> {
        self.list_by(self.foreign(kind, namespace), kind, which).await
    }

    async fn list_by(
        &self,
        api: Api<DynamicObject>,
        kind: &Foreign,
        which: &Which,
    ) -> Result<Option<Vec<Value>>, ClusterError> {
        let mut params = ListParams {
            label_selector: which.labels.clone(),
            field_selector: which.fields.clone(),
            ..ListParams::default()
        }
        .limit(PAGE);
        let mut items = Vec::new();
        for _ in 0..PAGES_MAX {
            self.read();
            let page = match api.list(&params).await {
                Err(kube::Error::Api(status)) if status.code == 404 => return Ok(None),
                other => other.map_err(|error| self.translate(kind.plural, error))?,
            };
            for item in page.items {
                items.push(plain(kind, item)?);
            }
            match page.metadata.continue_ {
                Some(token) if !token.is_empty() => params.continue_token = Some(token),
                _ => return Ok(Some(items)),
            }
        }
        Err(self.unreachable(format!("a list of {} never ended", kind.plural)))
    }

    /// Merges a change into an object, and answers its new version. With `metadata.resourceVersion` in it, it is refused when somebody has
    /// written since.
    ///
    /// # Errors
    /// [`ClusterError::Conflict`] when somebody has.
    pub async fn patch_foreign(
        &self,
        kind: &Foreign,
        namespace: &str,
        name: &str,
        change: &Value,
    ) -> Result<String, ClusterError> {
        self.wrote()?;
        let api = self.foreign(kind, namespace);
        api.patch(name, &manager(), &Patch::Merge(change))
            .await
            .map(|written| written.metadata.resource_version.unwrap_or_default())
            .map_err(|error| self.translate(&kind.named(namespace, name), error))
    }

    /// Merges a change into an object's status.
    ///
    /// # Errors
    /// [`ClusterError::Conflict`] when somebody has written since.
    pub async fn patch_foreign_status(
        &self,
        kind: &Foreign,
        namespace: &str,
        name: &str,
        change: &Value,
    ) -> Result<(), ClusterError> {
        self.wrote()?;
        let api = self.foreign(kind, namespace);
        api.patch_status(name, &manager(), &Patch::Merge(change))
            .await
            .map(drop)
            .map_err(|error| self.translate(&kind.named(namespace, name), error))
    }

    /// Creates an object.
    ///
    /// # Errors
    /// [`ClusterError::Exists`] when it is there already.
    pub async fn create_foreign(
        &self,
        kind: &Foreign,
        namespace: &str,
        object: Value,
    ) -> Result<(), ClusterError> {
        self.wrote()?;
        let object: DynamicObject =
            serde_json::from_value(object).map_err(|error| ClusterError::Invalid {
                what: kind.kind.to_owned(),
                detail: error.to_string(),
            })?;
        let api = self.foreign(kind, namespace);
        api.create(&PostParams::default(), &object)
            .await
            .map(drop)
            .map_err(|error| self.translate(kind.kind, error))
    }

    /// Deletes an object, if it is still the one with this uid and nobody has written it since this version.
    ///
    /// # Errors
    /// [`ClusterError::Conflict`] when somebody has. That it is gone already is no error.
    pub async fn delete_foreign(
        &self,
        kind: &Foreign,
        namespace: &str,
        name: &str,
        uid: &str,
        version: &str,
    ) -> Result<(), ClusterError> {
        self.wrote()?;
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: Some(uid.to_owned()),
                resource_version: Some(version.to_owned()),
            }),
            ..DeleteParams::default()
        };
        match self.foreign(kind, namespace).delete(name, &params).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(self.translate(&kind.named(namespace, name), error)),
        }
    }
}

fn manager() -> PatchParams {
    PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    }
}

fn plain(kind: &Foreign, object: DynamicObject) -> Result<Value, ClusterError> {
    serde_json::to_value(object).map_err(|error| ClusterError::Invalid {
        what: kind.kind.to_owned(),
        detail: error.to_string(),
    })
}
