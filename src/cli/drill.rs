//! `drill`: people have a backup restored in a drill now, and see what drills have proved.

use super::table::table;
use super::{ClusterArguments, Failed, Output, data, value, words};
use crate::decide::drills as decided;
use crate::formats::duration;
use crate::io::cluster::{Annotated, Cluster};
use crate::model::kinds::BackupPolicy;
use crate::model::kinds::drill::{BackupPolicyStatus, DRILL_REQUESTED, DrillRecord, DrillRun};
use crate::model::quantities::span;
use serde_json::json;
use std::time::{Duration, Instant};

/// The pause between two looks of `run --wait`.
const PAUSE: Duration = Duration::from_secs(2);

/// A controller hears of a request at once; one that does not within this time does not run, or waits for another drill.
const TAKEN_UP: Duration = Duration::from_secs(600);

/// How long after its timeout a drill may take to be taken away.
const TAKEN_AWAY: Duration = Duration::from_secs(1800);

/// `drill` and what follows it.
#[derive(clap::Subcommand, Debug)]
pub enum Command {
    /// Ask for a drill of a BackupPolicy now. The controller carries it out: the newest backup that holds every volume is restored into a
    /// scratch namespace, checked, and taken away again.
    Run {
        /// The BackupPolicy.
        policy: String,
        /// Its namespace, where several have one of this name.
        #[arg(short, long)]
        namespace: Option<String>,
        /// The namespace to restore; otherwise the one whose last drill is the longest ago.
        #[arg(long, value_name = "NAMESPACE")]
        of: Option<String>,
        /// Wait for its end, and fail when it fails.
        #[arg(long)]
        wait: bool,
        #[command(flatten)]
        cluster: ClusterArguments,
    },
    /// List drills: those under way, and those that ended, the newest first.
    List {
        #[command(flatten)]
        cluster: ClusterArguments,
        /// How to print.
        #[arg(short, long, value_enum, default_value = "text")]
        output: Output,
    },
}

/// `drill`.
pub async fn drill(command: Command) -> Result<u8, Failed> {
    match command {
        Command::Run {
            policy,
            namespace,
            of,
            wait,
            cluster,
        } => {
            let cluster = cluster.connect().await?;
            run(&cluster, (namespace.as_deref(), &policy), of, wait).await
        }
        Command::List { cluster, output } => {
            super::no_sarif(output)?;
            list(&cluster.connect().await?, output).await
        }
    }
}

fn name(policy: &BackupPolicy) -> &str {
    policy.metadata.name.as_deref().unwrap_or_default()
}

fn namespace(policy: &BackupPolicy) -> &str {
    policy.metadata.namespace.as_deref().unwrap_or_default()
}

/// The policy of that name, or words that lead to it.
async fn find(cluster: &Cluster, within: Option<&str>, wanted: &str) -> Result<BackupPolicy, Failed> {
    let all: Vec<BackupPolicy> = cluster.list().await?;
    let known: Vec<String> = all
        .iter()
        .map(|one| format!("{}/{}", namespace(one), name(one)))
        .collect();
    let mut found = all
        .into_iter()
        .filter(|one| name(one) == wanted && within.is_none_or(|within| namespace(one) == within));
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (Some(_), Some(_)) => Err(Failed(format!(
            "several namespaces have a BackupPolicy {wanted}; choose one with --namespace"
        ))),
        (None, _) if known.is_empty() => Err(Failed("there is no BackupPolicy in this cluster".to_owned())),
        (None, _) => Err(Failed(format!(
            "there is no BackupPolicy {wanted}; there are {}",
            known.join(", ")
        ))),
    }
}

async fn run(
    cluster: &Cluster,
    (within, wanted): (Option<&str>, &str),
    of: Option<String>,
    wait: bool,
) -> Result<u8, Failed> {
    let policy = find(cluster, within, wanted).await?;
    let Some(drill) = &policy.spec.drill else {
        return Err(Failed(format!(
            "BackupPolicy {wanted} says nothing of drills; add `drill` to it in Git"
        )));
    };
    let known = decided::namespaces(&policy.spec, drill);
    if let Some(of) = of.as_ref().filter(|of| !known.contains(&of.as_str())) {
        return Err(Failed(format!(
            "BackupPolicy {wanted} does not drill namespace {of}; it drills {}",
            known.join(", ")
        )));
    }
    let status = policy.status.clone().unwrap_or_default();
    if let Some(under_way) = &status.drill {
        return Err(Failed(format!(
            "drill {} of namespace {} is under way: {}",
            under_way.id,
            under_way.namespace,
            doing(under_way)
        )));
    }
    if status.covered.is_none() {
        return Err(Failed(format!(
            "no backup of BackupPolicy {wanted} holds every volume, so that there is nothing to drill; `couchestor status` says what is missing"
        )));
    }
    let now = crate::io::clock::now().to_string();
    let request = match of {
        Some(of) => format!("{now}/{of}"),
        None => now,
    };
    let about = Annotated {
        namespace: policy.metadata.namespace.as_deref(),
        name: wanted,
    };
    cluster
        .annotate::<BackupPolicy>(&about, DRILL_REQUESTED, Some(&request))
        .await?;
    if !wait {
        words("asked for a drill; `couchestor drill list` shows it");
        return Ok(0);
    }
    let timeout = duration::parse(&drill.timeout).unwrap_or_default();
    follow(cluster, &policy, &request, timeout).await
}

/// Waits for the drill of a request to end.
async fn follow(
    cluster: &Cluster,
    policy: &BackupPolicy,
    request: &str,
    timeout: Duration,
) -> Result<u8, Failed> {
    let mut told = String::new();
    let mut id = None;
    let began = Instant::now();
    loop {
        let patience = match id.is_some() {
            true => TAKEN_UP + timeout + TAKEN_AWAY,
            false => TAKEN_UP,
        };
        if began.elapsed() > patience {
            return Err(Failed(match id {
                Some(id) => format!(
                    "drill {id} has not ended in time; `couchestor drill list` says what it waits for"
                ),
                None => "the controller has not taken it up; does it run, and is another drill under way?"
                    .to_owned(),
            }));
        }
        let now = find(cluster, Some(namespace(policy)), name(policy)).await?;
        let status = now.status.clone().unwrap_or_default();
        if let Some(run) = &status.drill {
            id.get_or_insert_with(|| run.id.clone());
            let doing = doing(run);
            if doing != told {
                words(&format!("{}: {doing}", run.id));
                told = doing;
            }
        }
        if let Some(record) = status.drills.iter().find(|one| Some(&one.id) == id.as_ref()) {
            data(&ended(record));
            return Ok(u8::from(!record.passed));
        }
        if id.is_none() && status.handled_request.as_deref() == Some(request) && status.drill.is_none() {
            // It began and ended between two looks, or it was refused.
            let newest = status
                .drills
                .first()
                .filter(|one| one.started_at.as_str() >= request.split('/').next().unwrap_or_default());
            return match newest {
                Some(record) => {
                    data(&ended(record));
                    Ok(u8::from(!record.passed))
                }
                None => Err(Failed(
                    "the controller refused it; the events of the BackupPolicy say why".to_owned(),
                )),
            };
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn doing(run: &DrillRun) -> String {
    match &run.message {
        Some(message) => format!("{:?}, {message}", run.phase),
        None => format!("{:?}", run.phase),
    }
}

fn ended(record: &DrillRecord) -> String {
    let result = if record.passed { "passed" } else { "failed" };
    let took = record.restore_seconds.map_or(String::new(), |seconds| {
        format!(", restored in {}", span(seconds))
    });
    let mut text = format!(
        "drill {} {result}: {} from {}{took}\n",
        record.id, record.namespace, record.backup
    );
    for check in &record.checks {
        let sign = if check.passed { "ok  " } else { "FAIL" };
        text.push_str(&format!("  {sign} {}: {}\n", check.name, check.message));
    }
    if let Some(failure) = &record.failure {
        text.push_str(&format!("  {failure}\n"));
    }
    text
}

async fn list(cluster: &Cluster, output: Output) -> Result<u8, Failed> {
    let all: Vec<BackupPolicy> = cluster.list().await?;
    let with = |one: &BackupPolicy| -> BackupPolicyStatus { one.status.clone().unwrap_or_default() };
    if output != Output::Text {
        let drills = all.iter().map(|one| {
            let status = with(one);
            json!({"namespace": namespace(one), "policy": name(one), "underWay": status.drill, "ended": status.drills})
        });
        value(&drills.collect::<Vec<_>>().into(), output);
        return Ok(0);
    }
    let mut rows = Vec::new();
    for one in &all {
        let status = with(one);
        let policy = format!("{}/{}", namespace(one), name(one));
        if let Some(run) = &status.drill {
            rows.push((
                run.started_at.clone(),
                vec![
                    run.id.clone(),
                    policy.clone(),
                    run.namespace.clone(),
                    run.backup.clone(),
                    format!("{:?}", run.phase),
                    "-".to_owned(),
                    run.started_at.clone(),
                    run.message.clone().unwrap_or_default(),
                ],
            ));
        }
        for record in &status.drills {
            rows.push((
                record.started_at.clone(),
                vec![
                    record.id.clone(),
                    policy.clone(),
                    record.namespace.clone(),
                    record.backup.clone(),
                    if record.passed { "Passed" } else { "Failed" }.to_owned(),
                    record.restore_seconds.map_or("-".to_owned(), span),
                    record.started_at.clone(),
                    record.failure.clone().unwrap_or_default(),
                ],
            ));
        }
    }
    if rows.is_empty() {
        words("there are no drills: no BackupPolicy with `drill` had one yet");
        return Ok(0);
    }
    rows.sort_by(|a, b| b.0.cmp(&a.0));
    let rows: Vec<_> = rows.into_iter().map(|(_, row)| row).collect();
    let head = [
        "DRILL",
        "POLICY",
        "NAMESPACE",
        "BACKUP",
        "RESULT",
        "RESTORED IN",
        "STARTED",
        "MESSAGE",
    ];
    data(&table(&head, &rows));
    Ok(0)
}
