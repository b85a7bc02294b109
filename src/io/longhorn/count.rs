//! How many copies a volume is to have, and which one goes: the writes whose order matters.

use super::raw::{RawReplica, Settings};
use super::records::Whole;
use super::{
    LOWERED, Longhorn, LonghornError, REMOVING, REPLICAS, SETTINGS, TRIES_MAX, VOLUMES, Wrote, busy, wrote,
};
use crate::io::cluster::Which;
use crate::model::engine::Obstacle;
use serde_json::json;
use std::time::Duration;

/// How long a copy may take to get its place: calls of the journal end within 30 seconds, and Longhorn's controllers need about two.
const PLACED_SECS: u32 = 20;

/// The pause between two looks at whether it has.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// So many looks fit in.
const PLACED_LOOKS: u32 = PLACED_SECS * 4;

impl Longhorn {
    /// Asks for one copy more or one less. Of the copies the marked one goes; without a mark the one that is not complete.
    ///
    /// # Errors
    /// Refused when the volume would not keep its complete copies, or when it cannot be told which copy is to go.
    pub async fn set_replica_count(&self, volume: &str, count: u8) -> Result<(), LonghornError> {
        for _ in 0..TRIES_MAX {
            match self.try_count(volume, i64::from(count)).await {
                Err(Wrote::Conflict) => {}
                Err(Wrote::Failed(error)) => return Err(error),
                Ok(()) => return Ok(()),
            }
        }
        Err(busy())
    }

    async fn try_count(&self, volume: &str, count: i64) -> Result<(), Wrote> {
        let whole = self.there(volume).await?;
        let (set, have) = (whole.volume.spec.number_of_replicas, whole.count());
        if count == have {
            return Err(Wrote::Failed(LonghornError::CountAchieved));
        }
        if count == have.saturating_add(1) && set == have {
            return self.raise(&whole, count).await;
        }
        if count.saturating_add(1) != have {
            let said = format!("the volume has {have} copies, and a count changes by one");
            return Err(Wrote::Failed(LonghornError::Refused(said)));
        }
        if i64::try_from(whole.staying().count()).unwrap_or(i64::MAX) <= count {
            return self.lower_before_placed(&whole, count).await;
        }
        self.check_own_ways(&whole).await?;
        let victim = victim(&whole, count)?.metadata.clone();
        if victim.annotations.get(LOWERED) != Some(&count.to_string()) {
            let change = json!({"metadata": {
                "resourceVersion": victim.resource_version,
                "annotations": {LOWERED: count.to_string()},
            }});
            self.write(&REPLICAS, &victim, &change).await?;
        }
        if set != count {
            self.put_count(&whole, count).await?;
        }
        // The state may have changed since: what is deleted is decided on what is there now.
        let now = self.there(volume).await?;
        let still = victim_now(&now, &victim.name, count);
        let Ok(still) = still else {
            self.raise_again(&now).await?;
            return still.map(drop).map_err(Wrote::Failed);
        };
        let (namespace, name) = (&still.metadata.namespace, &still.metadata.name);
        let (uid, version) = (&still.metadata.uid, &still.metadata.resource_version);
        let deleted = self.0.delete_foreign(&REPLICAS, namespace, name, uid, version);
        deleted.await.map_err(wrote)
    }

    /// While the count is lower than the copies are, Longhorn must not choose one by itself.
    async fn check_own_ways(&self, whole: &Whole) -> Result<(), LonghornError> {
        let settings = Settings::read(&self.list(&SETTINGS, &Which::default()).await?);
        match whole.obstacle(&settings) {
            Some(chooses @ (Obstacle::AutoBalance | Obstacle::DataLocality | Obstacle::Eviction)) => {
                Err(LonghornError::Refused(chooses.to_string()))
            }
            _ => Ok(()),
        }
    }

    /// Asks for one copy more and waits until it has its place: the cordons that steer it are held for this call only. What finds no
    /// place is taken back.
    async fn raise(&self, whole: &Whole, count: i64) -> Result<(), Wrote> {
        let volume = &whole.volume.metadata.name;
        let is_new = |one: &RawReplica| {
            let mut before = whole.replicas.iter();
            !one.spec.node.is_empty() && before.all(|old| old.metadata.name != one.metadata.name)
        };
        if let Err(error) = self.put_count(whole, count).await {
            let Wrote::Failed(LonghornError::Indeterminate(_)) = &error else {
                return Err(error);
            };
            let now = self.there(volume).await.map_err(unclear)?;
            if now.volume.spec.number_of_replicas != count {
                return Err(error);
            }
        }
        for _ in 0..PLACED_LOOKS {
            let now = self.there(volume).await.map_err(unclear)?;
            if now.staying().any(is_new) {
                return Ok(());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        let now = self.there(volume).await.map_err(unclear)?;
        if now.volume.spec.number_of_replicas == count && !now.staying().any(is_new) {
            self.put_count(&now, count - 1).await?;
            let now = self.there(volume).await.map_err(unclear)?;
            match now.staying().any(is_new) {
                true => self.put_count(&now, count).await?,
                false => {
                    let said = format!("Longhorn placed no copy within {PLACED_SECS} seconds");
                    return Err(Wrote::Failed(LonghornError::Refused(said)));
                }
            }
        }
        Ok(())
    }

    /// Lowers the count again before the copy was made that was asked for. If it was made meanwhile it is the one that goes.
    async fn lower_before_placed(&self, whole: &Whole, count: i64) -> Result<(), Wrote> {
        self.put_count(whole, count).await?;
        let now = self.there(&whole.volume.metadata.name).await?;
        if i64::try_from(now.staying().count()).unwrap_or(i64::MAX) <= count {
            return Ok(());
        }
        let made = victim(&now, count)?;
        let change = json!({"metadata": {"annotations": {LOWERED: count.to_string()}}});
        self.write(&REPLICAS, &made.metadata, &change).await?;
        Err(Wrote::Conflict)
    }

    async fn put_count(&self, whole: &Whole, count: i64) -> Result<(), Wrote> {
        let change = json!({
            "metadata": {"resourceVersion": whole.volume.metadata.resource_version},
            "spec": {"numberOfReplicas": count},
        });
        self.write(&VOLUMES, &whole.volume.metadata, &change).await
    }

    /// Sets a count back that was lowered while the copy that was to go stayed.
    pub(super) async fn raise_again(&self, whole: &Whole) -> Result<(), Wrote> {
        match whole.count() == whole.volume.spec.number_of_replicas {
            true => Ok(()),
            false => self.put_count(whole, whole.count()).await,
        }
    }
}

/// The copy that goes: the marked one, else the only one that is not complete.
fn victim(whole: &Whole, count: i64) -> Result<&RawReplica, LonghornError> {
    let is_marked = |one: &&RawReplica| one.metadata.annotations.contains_key(REMOVING);
    let incomplete = |one: &&RawReplica| !whole.is_complete(one);
    let mut marked = whole.staying().filter(is_marked);
    let found = match (marked.next(), marked.next()) {
        (Some(one), None) => Some(one),
        (Some(_), Some(_)) => None,
        (None, _) => {
            let mut incomplete = whole.staying().filter(incomplete);
            incomplete.next().filter(|_| incomplete.next().is_none())
        }
    };
    let said = "it cannot be told which copy is to go";
    let found = found.ok_or_else(|| LonghornError::Refused(said.to_owned()))?;
    victim_now(whole, &found.metadata.name, count)
}

/// A copy by its name, if the volume keeps its complete copies without it and nobody else takes copies away.
fn victim_now<'a>(whole: &'a Whole, name: &str, count: i64) -> Result<&'a RawReplica, LonghornError> {
    let refused = |said: &str| LonghornError::Refused(said.to_owned());
    let found = whole.staying().find(|one| one.metadata.name == name);
    let found = found.ok_or_else(|| refused("the copy that was to go is gone"))?;
    if whole.staying().any(|one| one.spec.eviction_requested) {
        return Err(refused(
            "a copy of the volume is being evicted, and Longhorn takes that one away",
        ));
    }
    let others = whole.staying().filter(|one| one.metadata.name != name);
    let complete = others.filter(|one| whole.is_complete(one)).count();
    match count > 0 && i64::try_from(complete).unwrap_or_default() >= count {
        true => Ok(found),
        false => Err(refused("the volume would not keep its complete copies")),
    }
}

/// After a write that was not clearly answered nothing is clear but what is read.
fn unclear(error: LonghornError) -> Wrote {
    Wrote::Failed(LonghornError::Indeterminate(error.to_string()))
}
