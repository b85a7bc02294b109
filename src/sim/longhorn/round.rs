//! One round of the controllers: nodes, replicas and engines, then each volume.

use super::{LonghornSim, NAMESPACE, Seen, address, is_going, name, text};
use crate::io::cluster::ClusterError;
use crate::io::longhorn::{ENGINES, NODES, REPLICAS, VOLUMES};
use serde_json::{Value, json};

/// When things happened; nobody reads more of it than whether it is there.
const NOW: &str = "2026-01-02T00:00:00Z";

impl LonghornSim {
    /// One round. Each controller reads what the one before has written.
    ///
    /// # Errors
    /// Any [`ClusterError`].
    pub async fn step(&self) -> Result<(), ClusterError> {
        self.nodes().await?;
        self.replicas_that_go().await?;
        self.engines().await?;
        let seen = self.seen().await?;
        for volume in &seen.volumes {
            if volume["status"]["state"] == "attached" {
                self.volume(&seen, volume).await?;
            }
        }
        Ok(())
    }

    /// The node controller: promises of disks, and wishes to drive copies off.
    async fn nodes(&self) -> Result<(), ClusterError> {
        let seen = self.seen().await?;
        for replica in &seen.replicas {
            let should = seen.should_go(replica);
            if replica["spec"]["evictionRequested"] != should {
                let change = json!({"spec": {"evictionRequested": should}});
                self.change(&REPLICAS, name(replica), &change).await?;
            }
        }
        for node in &seen.nodes {
            let disks = node["status"]["diskStatus"].as_object().into_iter().flatten();
            for (disk, status) in disks {
                let on_it = seen.replicas.iter().filter(|one| {
                    status["diskUUID"] == text(one, "diskID") && text(one, "nodeID") == name(node)
                });
                let promised: i64 = on_it.map(|one| seen.size_of(text(one, "volumeName"))).sum();
                if status["storageScheduled"] != promised {
                    let change = json!({"diskStatus": {disk: {"storageScheduled": promised}}});
                    self.status(&NODES, name(node), &change).await?;
                }
            }
        }
        Ok(())
    }

    /// A replica that is deleted leaves its engine first, then it is gone.
    async fn replicas_that_go(&self) -> Result<(), ClusterError> {
        let seen = self.seen().await?;
        for replica in seen.replicas.iter().filter(|one| is_going(one)) {
            if let Some(engine) = seen.engine_of(text(replica, "volumeName")) {
                self.forget(engine, name(replica)).await?;
            }
            let change = json!({"metadata": {"finalizers": null}});
            self.change(&REPLICAS, name(replica), &change).await?;
        }
        Ok(())
    }

    async fn forget(&self, engine: &Value, replica: &str) -> Result<(), ClusterError> {
        let change = json!({"replicaModeMap": {replica: null}, "currentReplicaAddressMap": {replica: null},
            "rebuildStatus": {format!("tcp://{}", address(replica)): null}});
        self.status(&ENGINES, name(engine), &change).await
    }

    /// The engines: new copies are taken in, filled, and given up.
    async fn engines(&self) -> Result<(), ClusterError> {
        let seen = self.seen().await?;
        for engine in &seen.engines {
            if engine["status"]["currentState"] != "running" {
                continue;
            }
            for replica in seen.replicas_of(text(engine, "volumeName")) {
                self.copy(&seen, engine, replica).await?;
            }
        }
        Ok(())
    }

    async fn copy(&self, seen: &Seen, engine: &Value, replica: &Value) -> Result<(), ClusterError> {
        let own = name(replica);
        let mode = engine["status"]["replicaModeMap"][own].as_str();
        let dead = self.memory().broken.contains(own) || !seen.is_ready(text(replica, "nodeID"));
        let failed = !text(replica, "failedAt").is_empty();
        if failed || is_going(replica) {
            return Ok(());
        }
        let tcp = format!("tcp://{}", address(own));
        let (mode, progress) = match mode {
            _ if dead => ("ERR", None),
            None => ("WO", Some(0)),
            Some("WO") => {
                let filled = engine["status"]["rebuildStatus"][&tcp]["progress"].as_i64();
                let filled = filled.unwrap_or_default().saturating_add(self.fill);
                if filled >= 100 {
                    ("RW", None)
                } else {
                    ("WO", Some(filled))
                }
            }
            Some(_) => return Ok(()),
        };
        let change = json!({"replicaModeMap": {own: mode}, "currentReplicaAddressMap": {own: address(own)},
            "rebuildStatus": {&tcp: progress.map(|progress| json!({"progress": progress, "isRebuilding": true}))}});
        self.status(&ENGINES, name(engine), &change).await?;
        let (spec, state) = match mode {
            "ERR" => (json!({"failedAt": NOW}), "error"),
            "RW" => (json!({"healthyAt": NOW}), "running"),
            _ => (json!({}), "running"),
        };
        self.change(&REPLICAS, own, &json!({"spec": spec})).await?;
        self.status(&REPLICAS, own, &json!({"currentState": state}))
            .await?;
        if mode == "ERR" {
            self.forget(engine, own).await?;
        }
        Ok(())
    }

    /// The volume controller (`ReconcileEngineReplicaState`, then `cleanupReplicas`).
    async fn volume(&self, seen: &Seen, volume: &Value) -> Result<(), ClusterError> {
        let own = name(volume);
        let asked = volume["spec"]["numberOfReplicas"].as_u64().unwrap_or_default();
        let asked = usize::try_from(asked).unwrap_or(usize::MAX);
        let complete: Vec<&Value> = seen
            .replicas_of(own)
            .filter(|one| seen.is_complete(own, one))
            .collect();
        {
            let mut memory = self.memory();
            let fewest = memory.fewest.entry(own.to_owned()).or_insert(complete.len());
            *fewest = complete.len().min(*fewest);
        }
        let robust = match complete.len() {
            0 => "faulted",
            some if some < asked => "degraded",
            _ => "healthy",
        };
        if volume["status"]["robustness"] != robust {
            self.status(&VOLUMES, own, &json!({"robustness": robust})).await?;
        }
        let staying = complete
            .iter()
            .filter(|one| one["spec"]["evictionRequested"] != true);
        if !complete.is_empty() && staying.count() < asked {
            self.replenish(seen, volume).await?;
        }
        if let Some(extra) = seen.extra(volume) {
            self.delete(extra).await?;
        }
        Ok(())
    }

    /// One copy at a time; one that failed on a node that is there is used again before a new one is made.
    async fn replenish(&self, seen: &Seen, volume: &Value) -> Result<(), ClusterError> {
        let own = name(volume);
        let coming = seen
            .replicas_of(own)
            .any(|one| !is_going(one) && text(one, "failedAt").is_empty() && !seen.is_complete(own, one));
        if coming {
            return Ok(());
        }
        let reusable = seen.replicas_of(own).find(|one| {
            let broken = self.memory().broken.contains(name(one));
            !text(one, "failedAt").is_empty()
                && !is_going(one)
                && !broken
                && seen.is_ready(text(one, "nodeID"))
        });
        if let Some(replica) = reusable {
            let change = json!({"spec": {"failedAt": "", "healthyAt": ""}});
            return self.change(&REPLICAS, name(replica), &change).await;
        }
        let Some(place) = seen.place(volume) else {
            return Ok(());
        };
        let number = {
            let mut memory = self.memory();
            memory.made += 1;
            memory.made
        };
        let replica = format!("{own}-r-new{number}");
        self.add_replica(own, &replica, &place.node, &place.disk, true, false)
            .await
    }

    async fn delete(&self, replica: &Value) -> Result<(), ClusterError> {
        let field = |field: &str| replica["metadata"][field].as_str().unwrap_or_default();
        let (uid, version) = (field("uid"), field("resourceVersion"));
        let deleted = self
            .cluster
            .delete_foreign(&REPLICAS, NAMESPACE, name(replica), uid, version)
            .await;
        match deleted {
            // Somebody wrote it since it was read; the next round looks again.
            Err(ClusterError::Conflict { .. }) => Ok(()),
            other => other,
        }
    }
}

impl Seen {
    fn size_of(&self, volume: &str) -> i64 {
        let found = self.volumes.iter().find(|one| name(one) == volume);
        found
            .and_then(|volume| text(volume, "size").parse().ok())
            .unwrap_or_default()
    }
}
