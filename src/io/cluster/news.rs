//! Events on objects, and news that an object changed.

use super::{Cluster, ClusterError};
use crate::model::conditions;
use crate::model::kinds::{BackupPolicy, GROUP, PolicySource, VolumeMigration, WorkloadMove};
use futures::{StreamExt, TryStreamExt};
use kube::runtime::WatchStreamExt;
use kube::runtime::events::{Event, EventType};
use kube::runtime::watcher;
use kube::{Api, Resource};
use std::fmt::Debug;
use tokio::sync::mpsc;

/// Kubernetes refuses events with longer notes; it counts bytes (`NoteLengthLimit` of its validation of events).
const NOTE_BYTES_MAX: usize = 1024;

impl Cluster {
    /// Publishes an Event, and says what it says in the log if it is about an object of ours. Repeats are counted on the first one.
    ///
    /// # Errors
    /// Any [`ClusterError`]. Nothing depends on events, so callers log and go on.
    pub async fn publish<K>(
        &self,
        about: &K,
        warning: bool,
        reason: &str,
        note: &str,
    ) -> Result<(), ClusterError>
    where
        K: Resource<DynamicType = ()>,
    {
        self.wrote()?;
        let note = conditions::fitted(note, NOTE_BYTES_MAX);
        if K::group(&()) == GROUP {
            let (kind, name) = (K::kind(&()), about.meta().name.as_deref().unwrap_or_default());
            match warning {
                true => tracing::warn!(%kind, name, reason, "{note}"),
                false => tracing::info!(%kind, name, reason, "{note}"),
            }
        }
        let event = Event {
            type_: match warning {
                true => EventType::Warning,
                false => EventType::Normal,
            },
            reason: reason.to_owned(),
            note: Some(note),
            action: reason.to_owned(),
            secondary: None,
        };
        self.events
            .publish(&event, &about.object_ref(&()))
            .await
            .map_err(|error| self.translate("an Event", error))
    }

    /// Says when a PolicySource, a VolumeMigration, a WorkloadMove or a BackupPolicy has changed. The channel holds one message: many
    /// changes at once are one piece of news. The watch goes on until the receiver is dropped.
    pub fn news(&self) -> mpsc::Receiver<()> {
        let (sender, receiver) = mpsc::channel(1);
        self.spawn_watch::<PolicySource>(sender.clone());
        self.spawn_watch::<VolumeMigration>(sender.clone());
        self.spawn_watch::<WorkloadMove>(sender.clone());
        self.spawn_watch::<BackupPolicy>(sender);
        receiver
    }

    fn spawn_watch<K>(&self, sender: mpsc::Sender<()>)
    where
        K: Resource<DynamicType = ()> + Clone + Debug + Send + serde::de::DeserializeOwned + 'static,
    {
        let api: Api<K> = Api::all(self.client.clone());
        // The generation changes with the spec only, so our own status writes are no news; annotations are looked at
        // because that is how people poke.
        let changes = watcher(api, watcher::Config::default())
            .default_backoff()
            .applied_objects();
        tokio::spawn(async move {
            let mut changes = Box::pin(changes.map_ok(|object: K| {
                let meta = object.meta();
                (
                    meta.namespace.clone(),
                    meta.name.clone(),
                    meta.generation,
                    meta.annotations.clone(),
                )
            }));
            let mut seen = std::collections::HashMap::new();
            while let Some(change) = changes.next().await {
                if sender.is_closed() {
                    return;
                }
                match change {
                    Ok((namespace, name, generation, annotations)) => {
                        let now = (generation, annotations);
                        if seen.insert((namespace, name), now.clone()) != Some(now) {
                            // A full channel already says that there is news.
                            let _ = sender.try_send(());
                        }
                    }
                    Err(error) => tracing::debug!(%error, kind = %K::kind(&()), "watch interrupted"),
                }
            }
        });
    }
}
