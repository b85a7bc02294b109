//! Restores, carried out step by step: what is about to be done is written down in the cluster first, so that whoever runs the same command
//! again goes on where it was.

use super::super::{Failed, words};
use super::{AskedFor, How, plan};
use crate::execute::restore::{self, Step, objects};
use crate::formats::duration;
use crate::io::cluster::{Cluster, ClusterError};
use crate::io::drills::Drills;
use crate::io::restores::{Driver, Restores};
use crate::model::desired::text_at;
use crate::model::ids::hex;
use crate::model::quantities::span;
use crate::model::restores::run::{
    Act, ClaimRun, FluxRun, RESTORE_LABEL, RESTORE_OF_LABEL, RestoreRun, WorkloadRun,
};
use crate::model::restores::{Asked, Plan};
use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::io::{BufRead, IsTerminal, Write};
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};
use told::{doing, ended, say, stands};

/// The pause after the first look that finds nothing to do; each that follows is twice as long.
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// How often `abort` tries to write beside a `run` that writes too.
const TRIES_MAX: usize = 10;

/// What a person is told.
mod told;

/// A restore with its record.
struct Recorded {
    run: RestoreRun,
    /// Velero's namespace.
    velero: String,
    /// The version of the record.
    version: String,
}

fn recorded(object: &Value) -> Result<Recorded, Failed> {
    let text = text_at(object, &["data", "record.json"]);
    let name = text_at(object, &["metadata", "name"]);
    let run: RestoreRun = serde_json::from_str(text).map_err(|error| {
        Failed(format!(
            "ConfigMap {name}: record.json cannot be read: {error}; is it of another release?"
        ))
    })?;
    // A record leads to deleted claims and namespaces: one that does not fit its own labels was written by somebody else.
    let label = |key: &str| text_at(object, &["metadata", "labels", key]);
    let fits = label(RESTORE_OF_LABEL) == run.namespace
        && label(RESTORE_LABEL) == run.id
        && name == run.object_name()
        && run.scratch == run.scratch_name();
    if !fits {
        return Err(Failed(format!(
            "ConfigMap {name}: its record is not of the restore that its name and labels tell; nothing was done. Look who wrote it, and delete it"
        )));
    }
    Ok(Recorded {
        run,
        velero: text_at(object, &["metadata", "namespace"]).to_owned(),
        version: text_at(object, &["metadata", "resourceVersion"]).to_owned(),
    })
}

/// `restore run`.
pub(super) async fn run(asked_for: &AskedFor, yes: bool, how: &How) -> Result<u8, Failed> {
    let timeout = timeout(how)?;
    let cluster = asked_for.cluster.connect().await?;
    let asked = asked_for.asked();
    let records = Restores::of(&cluster).records(Some(&asked.namespace)).await?;
    if records.len() > 1 {
        let names: Vec<&str> = records
            .iter()
            .map(|one| text_at(one, &["metadata", "name"]))
            .collect();
        return Err(Failed(format!(
            "several restores of namespace {} are under way: ConfigMaps {}; take back all but one with `couchestor restore abort`",
            asked.namespace,
            names.join(", ")
        )));
    }
    if let Some(first) = records.first() {
        let recorded = recorded(first)?;
        same(&asked, &recorded.run)?;
        let goes = if recorded.run.aborted {
            "is being taken back"
        } else {
            "goes on"
        };
        words(&format!(
            "restore {} of namespace {} {goes}",
            recorded.run.id, asked.namespace
        ));
        if !yes && !confirmed()? {
            return Err(Failed("nothing more was changed".to_owned()));
        }
        return drive(&cluster, recorded, timeout, &how.image).await;
    }
    let now = crate::io::clock::now();
    let plan = plan::made(&cluster, &asked, now).await?;
    words(&plan::text(&plan, now));
    if !plan.refusals.is_empty() {
        return Err(Failed("refused; nothing was changed".to_owned()));
    }
    if !yes && !confirmed()? {
        return Err(Failed("nothing was changed".to_owned()));
    }
    // Whoever was asked may have thought for long.
    if !yes && plan::made(&cluster, &asked, crate::io::clock::now()).await? != plan {
        return Err(Failed(
            "the cluster is not as it was shown any more; nothing was changed: run it again".to_owned(),
        ));
    }
    let recorded = begin(&cluster, &asked, &plan, now).await?;
    words(&format!("restore {} begins", recorded.run.id));
    drive(&cluster, recorded, timeout, &how.image).await
}

/// `restore abort`.
pub(super) async fn abort(id: &str, how: &How, cluster: &Cluster) -> Result<u8, Failed> {
    let timeout = timeout(how)?;
    let settle = duration::parse(&how.settle).map_err(|error| Failed(format!("--settle: {error}")))?;
    let mut tries = 0;
    loop {
        let records = Restores::of(cluster).records(None).await?;
        let label = |one: &&Value| text_at(one, &["metadata", "labels", RESTORE_LABEL]) == id;
        let Some(found) = records.iter().find(label) else {
            return Err(Failed(format!(
                "no restore {id} is under way; one that has ended is not taken back: its old volumes are still there, and were told"
            )));
        };
        let mut recorded = recorded(found)?;
        if !recorded.run.aborted {
            recorded.run = restore::abort(&recorded.run);
            tries += 1;
            match write(cluster, &mut recorded).await {
                Ok(()) => {}
                // A `run` beside it has just written: what it wrote is taken back.
                Err(ClusterError::Conflict { .. }) if tries < TRIES_MAX => continue,
                Err(error) => return Err(error.into()),
            }
            // A `run` beside it sees the record with its next step, and what it has sent by then has come to pass.
            tokio::time::sleep(settle).await;
        }
        return drive(cluster, recorded, timeout, &how.image).await;
    }
}

fn timeout(how: &How) -> Result<Duration, Failed> {
    duration::parse(&how.timeout).map_err(|error| Failed(format!("--timeout {}: {error}", how.timeout)))
}

fn confirmed() -> Result<bool, Failed> {
    if !std::io::stdin().is_terminal() {
        return Err(Failed(
            "nobody can be asked here; with --yes it is done without asking".to_owned(),
        ));
    }
    let mut out = anstream::stderr().lock();
    let _ = write!(out, "Go on? [y/N] ").and_then(|()| out.flush());
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Refuses what asks for something else than what is under way.
fn same(asked: &Asked, run: &RestoreRun) -> Result<(), Failed> {
    match *asked == run.asked {
        true => Ok(()),
        false => Err(Failed(format!(
            "restore {} of namespace {} is under way, from backup {}, and was asked for otherwise ({}); let it end, or take it back with \
             `couchestor restore abort {}`",
            run.id,
            run.namespace,
            run.backup,
            told::asked(&run.asked),
            run.id
        ))),
    }
}

/// Writes the record of a new restore.
async fn begin(cluster: &Cluster, asked: &Asked, plan: &Plan, now: Timestamp) -> Result<Recorded, Failed> {
    let Some(backup) = &plan.backup else {
        return Err(Failed("no backup was chosen".to_owned()));
    };
    let digest = Sha256::digest(format!("{} {now} {}", plan.namespace, std::process::id()));
    let held = plan.claims.iter().filter_map(|one| Some((one, one.bytes?)));
    let mut run = RestoreRun {
        id: hex(&digest[..4]),
        asked: asked.clone(),
        way: plan.way,
        backup: backup.name.clone(),
        namespace: plan.namespace.clone(),
        started_at: now.to_string(),
        claims: held
            .map(|(one, bytes)| ClaimRun {
                name: one.claim.clone(),
                bytes,
                there: one.exists,
                ..ClaimRun::default()
            })
            .collect(),
        workloads: plan
            .workloads
            .iter()
            .map(|one| WorkloadRun {
                kind: one.kind.clone(),
                name: one.name.clone(),
                replicas: None,
            })
            .collect(),
        flux: plan
            .flux
            .iter()
            .map(|one| FluxRun {
                kind: one.kind.clone(),
                namespace: one.namespace.clone(),
                name: one.name.clone(),
                was_suspended: None,
            })
            .collect(),
        ..RestoreRun::default()
    };
    run.scratch = run.scratch_name();
    let driver = Driver {
        cluster,
        velero: &backup.namespace,
    };
    driver.create(&objects::record(&run, &backup.namespace)).await?;
    let all = Restores::of(cluster).records(Some(&plan.namespace)).await?;
    let mut all = all.iter().map(recorded).collect::<Result<Vec<_>, _>>()?;
    // Two people at the same moment: neither goes on blindly.
    if all.len() > 1 {
        driver.forget(&run).await?;
        return Err(Failed(
            "somebody else began a restore of this namespace at the same moment; run it again".to_owned(),
        ));
    }
    all.pop()
        .ok_or_else(|| Failed("the record of the restore is gone; somebody deleted it".to_owned()))
}

async fn write(cluster: &Cluster, recorded: &mut Recorded) -> Result<(), ClusterError> {
    let driver = Driver {
        cluster,
        velero: &recorded.velero,
    };
    let object = objects::record(&recorded.run, &recorded.velero);
    recorded.version = driver.record(&object, &recorded.version).await?;
    Ok(())
}

/// Why a step was not taken.
enum Off {
    /// Something failed.
    Failed(Failed),
    /// The record is not as this process wrote it: it is somebody else's to go on.
    Fenced,
}

impl<E: Into<Failed>> From<E> for Off {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Ends when somebody wants this process to end, and says so: what is down by then must not stay untold.
async fn signals() -> String {
    let (Ok(mut ends), Ok(mut hangs_up)) = (signal(SignalKind::terminate()), signal(SignalKind::hangup()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        Ok(()) = tokio::signal::ctrl_c() => {}
        Some(()) = ends.recv() => {}
        Some(()) = hangs_up.recv() => {}
        else => std::future::pending().await,
    }
    "it was broken off".to_owned()
}

/// Goes on to the end, or to what keeps it.
async fn drive(
    cluster: &Cluster,
    mut recorded: Recorded,
    timeout: Duration,
    image: &str,
) -> Result<u8, Failed> {
    let began = Instant::now();
    let (mut pause, mut told, mut last) = (PAUSE_MIN, String::new(), None);
    say(&mut told, doing(recorded.run.phase));
    let mut signals = std::pin::pin!(signals());
    loop {
        let step = tokio::select! {
            step = step(cluster, &mut recorded, image) => step,
            why = &mut signals => return Err(stands(&recorded.run, &why)),
        };
        let step = match step {
            Ok(step) => step,
            Err(Off::Failed(Failed(why))) => return Err(stands(&recorded.run, &why)),
            Err(Off::Fenced) => {
                return Err(Failed(
                    "somebody else goes on with this restore, or its record is gone; nothing more is done here".to_owned(),
                ));
            }
        };
        let waits = match step {
            Step::End => {
                let driver = Driver {
                    cluster,
                    velero: &recorded.velero,
                };
                driver.forget(&recorded.run).await?;
                return Ok(ended(&recorded.run));
            }
            Step::Stopped(why) => return Err(stands(&recorded.run, &why)),
            Step::Record(_) => {
                say(&mut told, doing(recorded.run.phase));
                pause = PAUSE_MIN;
                continue;
            }
            Step::Act(act) => {
                // What was done is looked at at once; what has to be done again has not come to pass yet.
                let again = last.as_ref() == Some(&act);
                last = Some(act);
                if !again {
                    pause = PAUSE_MIN;
                    continue;
                }
                doing(recorded.run.phase).to_owned()
            }
            Step::Wait(what) => what,
        };
        say(&mut told, &waits);
        if began.elapsed() > timeout {
            let why = format!("it has not ended within {}: {waits}", span(timeout.as_secs()));
            return Err(stands(&recorded.run, &why));
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            why = &mut signals => return Err(stands(&recorded.run, &why)),
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

async fn step(cluster: &Cluster, recorded: &mut Recorded, image: &str) -> Result<Step, Off> {
    let velero = recorded.velero.clone();
    let driver = Driver {
        cluster,
        velero: &velero,
    };
    let seen = driver.look(&recorded.run, crate::io::clock::now()).await?;
    let step = restore::next(&recorded.run, &seen);
    // What follows from a record that somebody has changed since, such as `abort`, would undo what he does.
    if !matches!(step, Step::Record(_))
        && driver.version(&recorded.run).await?.as_ref() != Some(&recorded.version)
    {
        return Err(Off::Fenced);
    }
    match &step {
        Step::Record(after) => {
            let before = std::mem::replace(&mut recorded.run, (**after).clone());
            if let Err(error) = write(cluster, recorded).await {
                recorded.run = before;
                return Err(match error {
                    ClusterError::Conflict { .. } | ClusterError::Api { code: 404, .. } => Off::Fenced,
                    error => error.into(),
                });
            }
        }
        Step::Act(Act::Prepare) => {
            let run = &recorded.run;
            driver.create(&objects::scratch(run)).await?;
            let pods = Drills::of(cluster, &velero)
                .pods(&run.backup, &run.namespace)
                .await?;
            for object in objects::surroundings(run, &velero, image, &pods) {
                driver.create(&object).await?;
            }
        }
        Step::Act(Act::Restore) => driver.create(&objects::restore(&recorded.run, &velero)).await?,
        Step::Act(act) => driver.act(&recorded.run, &seen, act).await?,
        Step::Wait(_) | Step::Stopped(_) | Step::End => {}
    }
    Ok(step)
}
