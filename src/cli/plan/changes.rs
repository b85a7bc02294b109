//! Which objects an apply would create or change.

use super::super::Failed;
use crate::io::cluster::Cluster;
use crate::model::ids::ObjectId;
use crate::model::rendering::RenderedObject;
use serde::Serialize;

/// An object that an apply would create or change.
#[derive(Serialize)]
pub(super) struct Change {
    #[serde(flatten)]
    pub(super) object: ObjectId,
    /// What would be done: `created`, `configured`, or `refused`.
    pub(super) action: String,
    /// Why the server would refuse it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
}

/// What an apply would create or change, asked of the server without changing anything.
pub(super) async fn changes(cluster: &Cluster, objects: &[RenderedObject]) -> Result<Vec<Change>, Failed> {
    let mut changes = Vec::new();
    for object in objects {
        let (action, error) = match crate::apply::difference(cluster, object).await {
            Ok(crate::apply::Action::Unchanged) => continue,
            Ok(action) => (format!("{action:?}").to_lowercase(), None),
            Err(error) => {
                let help = crate::apply::help(object, &error);
                let error = if object.secret { error.masked() } else { error };
                let told = match help.is_empty() {
                    true => error.to_string(),
                    false => format!("{error}; {help}"),
                };
                ("refused".to_owned(), Some(told))
            }
        };
        let object = object.id.clone();
        changes.push(Change {
            object,
            action,
            error,
        });
    }
    Ok(changes)
}
