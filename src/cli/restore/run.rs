//! Restores, carried out step by step: what is about to be done is written down in the cluster first, so that whoever runs the same command
//! again goes on where it was.

use super::super::{Failed, data, words};
use super::{AskedFor, How, plan};
use crate::execute::restore::{self, Step, objects};
use crate::formats::duration;
use crate::io::cluster::Cluster;
use crate::io::drills::Drills;
use crate::io::restores::{Driver, Restores};
use crate::model::desired::text_at;
use crate::model::quantities::span;
use crate::model::restores::run::{Act, ClaimRun, FluxRun, Phase, RestoreRun, WorkloadRun};
use crate::model::restores::{Asked, Plan, Way};
use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::io::{BufRead, IsTerminal, Write};
use std::time::{Duration, Instant};

/// The pause after the first look that finds nothing to do; each that follows is twice as long.
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// The longest name of a namespace.
const NAME_MAX: usize = 63;

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
    let run = serde_json::from_str(text).map_err(|error| {
        let name = text_at(object, &["metadata", "name"]);
        Failed(format!(
            "ConfigMap {name}: record.json cannot be read: {error}; is it of another release?"
        ))
    })?;
    Ok(Recorded {
        run,
        velero: text_at(object, &["metadata", "namespace"]).to_owned(),
        version: text_at(object, &["metadata", "resourceVersion"]).to_owned(),
    })
}

/// `restore run`.
pub(super) async fn run(asked_for: &AskedFor, yes: bool, how: &How) -> Result<u8, Failed> {
    let timeout = timeout(how)?;
    let cluster = Cluster::connect(asked_for.cluster.kubeconfig.as_deref()).await?;
    let asked = asked_for.asked();
    let records = Restores::of(&cluster).records(Some(&asked.namespace)).await?;
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
    let recorded = begin(&cluster, &plan, now).await?;
    words(&format!("restore {} begins", recorded.run.id));
    drive(&cluster, recorded, timeout, &how.image).await
}

/// `restore abort`.
pub(super) async fn abort(id: &str, how: &How, cluster: &Cluster) -> Result<u8, Failed> {
    let timeout = timeout(how)?;
    for one in &Restores::of(cluster).records(None).await? {
        let mut recorded = recorded(one)?;
        if recorded.run.id == id {
            recorded.run = restore::abort(&recorded.run);
            write(cluster, &mut recorded).await?;
            return drive(cluster, recorded, timeout, &how.image).await;
        }
    }
    Err(Failed(format!(
        "no restore {id} is under way; one that has ended is not taken back: its old volumes are still there, and were told"
    )))
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
    let claims = run.claims.iter().map(|one| one.name.clone()).collect();
    let other = !asked.claims.is_empty() && asked.claims != claims
        || asked.backup.as_ref().is_some_and(|backup| *backup != run.backup);
    match other {
        false => Ok(()),
        true => Err(Failed(format!(
            "restore {} of namespace {} is under way, from backup {}; let it end, or take it back with `couchestor restore abort {}`",
            run.id, run.namespace, run.backup, run.id
        ))),
    }
}

/// Writes the record of a new restore.
async fn begin(cluster: &Cluster, plan: &Plan, now: Timestamp) -> Result<Recorded, Failed> {
    let Some(backup) = &plan.backup else {
        return Err(Failed("no backup was chosen".to_owned()));
    };
    let digest = Sha256::digest(format!("{} {now} {}", plan.namespace, std::process::id()));
    let id: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let room = NAME_MAX.saturating_sub("restore--".len() + id.len());
    let kept: String = plan.namespace.chars().take(room).collect();
    let held = plan.claims.iter().filter_map(|one| Some((one, one.bytes?)));
    let run = RestoreRun {
        scratch: format!("restore-{}-{id}", kept.trim_end_matches('-')),
        id,
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

async fn write(cluster: &Cluster, recorded: &mut Recorded) -> Result<(), Failed> {
    let driver = Driver {
        cluster,
        velero: &recorded.velero,
    };
    let object = objects::record(&recorded.run, &recorded.velero);
    recorded.version = driver.record(&object, &recorded.version).await?;
    Ok(())
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
    loop {
        let step = step(cluster, &mut recorded, image).await;
        let step = step.map_err(|Failed(why)| stands(&recorded.run, &why))?;
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
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

async fn step(cluster: &Cluster, recorded: &mut Recorded, image: &str) -> Result<Step, Failed> {
    let velero = recorded.velero.clone();
    let driver = Driver {
        cluster,
        velero: &velero,
    };
    let seen = driver.look(&recorded.run, crate::io::clock::now()).await?;
    let step = restore::next(&recorded.run, &seen);
    match &step {
        Step::Record(after) => {
            recorded.run.clone_from(after);
            write(cluster, recorded).await?;
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
        Step::Act(act) => driver.act(&recorded.run, act).await?,
        Step::Wait(_) | Step::Stopped(_) | Step::End => {}
    }
    Ok(step)
}

fn say(told: &mut String, what: &str) {
    if told != what {
        words(what);
        what.clone_into(told);
    }
}

fn doing(phase: Phase) -> &'static str {
    match phase {
        Phase::Prepare => "making the scratch namespace",
        Phase::Restore => "having Velero restore",
        Phase::Check => "comparing what was restored with what the backup holds",
        Phase::Keep => "keeping volumes from being deleted with their claims",
        Phase::Suspend => "suspending Flux",
        Phase::ScaleDown => "scaling workloads down",
        Phase::Drain => "waiting for pods to end",
        Phase::Exchange => "binding claims to their other volumes",
        Phase::ScaleUp => "scaling workloads up",
        Phase::Resume => "resuming Flux",
        Phase::CleanUp => "deleting what the restore made",
    }
}

/// Why it does not go on, what is not as it was, and what to do.
fn stands(run: &RestoreRun, why: &str) -> Failed {
    let mut text = format!("restore {} stands at {:?}: {why}\n", run.id, run.phase);
    let asleep = run.flux.iter().filter(|one| one.was_suspended == Some(false));
    let mut down: Vec<String> = asleep
        .map(|one| format!("{} {}/{} is suspended", one.kind, one.namespace, one.name))
        .collect();
    for one in &run.workloads {
        match (one.kind.as_str(), one.replicas) {
            (_, None | Some(0)) => {}
            ("CronJob", _) => down.push(format!("CronJob {} is suspended", one.name)),
            (kind, Some(count)) => down.push(format!("{kind} {} is scaled down from {count}", one.name)),
        }
    }
    match (
        run.phase < Phase::Suspend && run.way == Way::Volumes || down.is_empty(),
        run.phase,
    ) {
        (true, _) => text += "Flux and workloads are as they were.\n",
        (false, Phase::ScaleUp | Phase::Resume | Phase::CleanUp) => {
            text += &format!("What may not be as it was yet: {}.\n", down.join("; "));
        }
        (false, _) => text += &format!("What is not as it was: {}.\n", down.join("; ")),
    }
    text += &format!(
        "Run the same command again to go on, or take it back with `couchestor restore abort {}`.",
        run.id
    );
    Failed(text)
}

/// Tells what came of it.
fn ended(run: &RestoreRun) -> u8 {
    let now = crate::io::clock::now().as_second();
    let since: Option<Timestamp> = run.started_at.parse().ok();
    let took = since
        .and_then(|since| u64::try_from(now - since.as_second()).ok())
        .map(span);
    let took = took.map_or(String::new(), |took| format!(" after {took}"));
    let (id, namespace) = (&run.id, &run.namespace);
    match (run.aborted, &run.failure) {
        (true, _) => {
            data(&format!(
                "restore {id} of namespace {namespace} was taken back{took}"
            ));
            0
        }
        (false, Some(why)) => {
            words(&format!(
                "restore {id} of namespace {namespace} failed{took}, and nothing of the namespace was touched: {why}"
            ));
            1
        }
        (false, None) => {
            data(&format!(
                "restored namespace {namespace} from backup {}{took}",
                run.backup
            ));
            for claim in &run.claims {
                data(&format!("  claim {}: {} bytes", claim.name, claim.bytes));
            }
            let old: Vec<&str> = run
                .claims
                .iter()
                .filter_map(|one| one.old_volume.as_deref())
                .collect();
            if !old.is_empty() {
                data("What the claims held before is kept; when nobody needs it any more, let it go:");
            }
            for volume in old {
                data(&format!(
                    "  kubectl patch pv {volume} -p '{{\"spec\":{{\"persistentVolumeReclaimPolicy\":\"Delete\"}}}}'"
                ));
            }
            0
        }
    }
}
