//! `plan`: what would change, be proposed and be moved, and why everything else would not.

use super::explanation;
use super::folder;
use super::table::table;
use super::{ClusterArguments, EngineArguments, Failed, Output, about, data, value, words};
use crate::decide::{self, InFlight, Limits, explain};
use crate::io::longhorn::Longhorn;
use crate::io::mayastor::Mayastor;
use crate::io::prometheus::Prometheus;
use crate::model::coverage::BackupReading;
use crate::model::decision::{Decision, Start, roughly};
use crate::model::desired::Desired;
use crate::model::engine::gib;
use crate::model::ids::ClaimRef;
use crate::model::kinds::volume_migration::Phase;
use crate::model::kinds::{PolicySource, VolumeMigration};
use crate::model::migration_brief::MigrationBrief;
use crate::model::moves::Stop;
use crate::model::observation::Observation;
use crate::model::pace::Pace;
use crate::model::quantities::observed;
use crate::model::rollouts::Report;
use crate::observe::{self, claims, volumes};
use crate::render::backups::PlannedBackups;
use crate::render::delivery::Changes as Delivery;
use crate::turn::holding::{FREEZE, first_line};
use jiff::Timestamp;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// When backups are made.
mod backups;

/// Which objects would change.
mod changes;

/// What a delivery by pull request would change.
mod delivery;

/// Which phases are open.
mod rollouts;

/// What the cluster's sources say.
mod sources;

/// What proposals would say.
mod template;

use changes::{Change, changes, leaving};
use sources::{delivers, demands, limited, remembered, stands};

/// Options of `plan`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    folder: folder::FolderArguments,
    #[command(flatten)]
    cluster: ClusterArguments,
    #[command(flatten)]
    engine: EngineArguments,
    /// Explain one volume in full, by its claim: `namespace/name`.
    #[arg(long, value_name = "NAMESPACE/CLAIM")]
    volume: Option<String>,
    /// Print what the proposals would say by this template instead of the plan.
    #[arg(long, value_name = "FILE", conflicts_with = "volume")]
    template: Option<PathBuf>,
    /// The folder that manifests are delivered to (`spec.delivery.path`): say what the pull request would change there.
    #[arg(long, value_name = "FOLDER")]
    deliver: Option<PathBuf>,
    /// A recorded world instead of a cluster.
    #[arg(long)]
    observation: Option<PathBuf>,
    /// Write what was observed to a file, for `--observation`.
    #[arg(long)]
    record: Option<PathBuf>,
}

/// `plan`.
pub async fn plan(arguments: Arguments) -> Result<u8, Failed> {
    super::no_sarif(arguments.folder.output)?;
    if arguments.template.is_some() && arguments.folder.output != super::Output::Text {
        return Err(Failed("--template prints Markdown; leave -o out".to_owned()));
    }
    let (desired, tree, diagnostics) = folder::read_with_files(&arguments.folder)?;
    folder::complain(&diagnostics);
    let Some(desired) = desired else { return Ok(1) };
    let wanted = arguments.volume.as_deref().map(claim).transpose()?;
    let objects = crate::render::render(&desired);
    let mut demanding = Vec::new();
    let mut standing = Vec::new();
    let mut phases = BTreeMap::new();
    let mut beside = rollouts::Beside::default();
    let (observation, mut in_flight, changes) = match &arguments.observation {
        Some(path) => (recorded(path)?, InFlight::default(), None),
        None => {
            let cluster = arguments.cluster.connect().await?;
            let mayastor = Mayastor::new(&arguments.engine.mayastor_url)?;
            let prometheus = arguments
                .engine
                .prometheus_url
                .as_deref()
                .map(Prometheus::new)
                .transpose()?;
            let (found, claims) = cluster.volumes().await?;
            let now = crate::io::clock::now();
            let backups = backups::known(&cluster, &desired, &found, &claims, now).await;
            let asked = decide::rollouts::asked(&desired);
            let unbound = claims::unbound(&asked.namespaces, &claims);
            let joined = volumes::join(found, claims);
            let questions = decide::questions(&desired, now);
            let engines = observe::Engines {
                mayastor: &mayastor,
                longhorn: &Longhorn::of(&cluster),
            };
            let prometheus = prometheus.as_ref();
            let mut observation = observe::observe(joined, engines, prometheus, &questions, now).await;
            observation.unbound = unbound;
            observation.figures = observe::figures(prometheus, &asked.figures, now).await;
            let migrations: Vec<VolumeMigration> = cluster.list().await?;
            phases = rollouts::remembered(&cluster).await?;
            beside = rollouts::Beside::read(&cluster, &desired, &asked).await?;
            let sources: Vec<PolicySource> = cluster.list().await?;
            demanding.extend(sources.iter().filter_map(demands));
            standing.extend(sources.iter().filter_map(stands));
            standing.extend(sources.iter().map(limited));
            standing.extend(sources.iter().filter_map(delivers));
            let changes = match arguments.deliver {
                Some(_) => None,
                None => {
                    let mut changes = changes(&cluster, &objects).await?;
                    changes.extend(leaving(&cluster, &sources, &objects).await?);
                    Some(changes)
                }
            };
            let in_flight = InFlight {
                migrations: migrations.iter().map(MigrationBrief::from).collect(),
                proposals: sources
                    .into_iter()
                    .flat_map(|source| remembered(source, now))
                    .collect(),
                backups,
                workload_moves: beside.busy(),
                ..InFlight::default()
            };
            (observation, in_flight, changes)
        }
    };
    if let Some(path) = &arguments.record {
        std::fs::write(path, serde_json::to_vec_pretty(&observation)?).map_err(about(path))?;
        words(&format!("wrote {}", path.display()));
    }
    in_flight.control.stop = stopped(&arguments.folder.path);
    if let Some(stop) = &in_flight.control.stop {
        words(&stop.to_string());
    }
    for still in &standing {
        words(still);
    }
    let limits = Limits {
        max_open: u32::MAX,
        rejections_expire: None,
        max_concurrent: u32::MAX,
        dry_run: false,
    };
    let decision = decide::decide(&desired, &observation, &in_flight, limits, observation.at);
    for still in tried_before(&decision, &in_flight.migrations) {
        words(&still);
    }
    if let Some(wanted) = wanted {
        let at = observation.at;
        let explained = explain::explain(&desired, &observation, &in_flight, limits, at, &wanted, &decision);
        let explained = explained.ok_or_else(|| Failed(format!("no volume is bound to a claim {wanted}")))?;
        explanation::print(&explained, arguments.folder.output);
        if !demanding.is_empty() {
            words(&format!("a merged move{}", condition(&demanding)));
        }
        let moves = decision.proposals.iter().any(|one| one.claim == wanted)
            || decision
                .starts
                .iter()
                .any(|one| one.approved.what().claim == wanted);
        return blind(&desired, &observation).map_or(Ok(if moves { 2 } else { 0 }), Err);
    }
    let pace = Pace::of(&in_flight.migrations);
    if let Some(path) = &arguments.template {
        return template::proposals(path, &desired, &decision, &pace);
    }
    let backups = crate::render::backups::planned(&desired, observation.at);
    let seen = decide::rollouts::Seen {
        desired: &desired,
        observation: &observation,
        backups: in_flight.backups.as_deref(),
        now: observation.at,
    };
    let mut rollouts = decide::rollouts::judge(&seen, &phases);
    beside.tell(&desired, &observation, &in_flight, limits, &mut rollouts);
    let delivery = match (&arguments.deliver, &tree) {
        (Some(to), Some(tree)) => Some(delivery::changes(
            to,
            &arguments.folder,
            &objects,
            tree,
            &observation,
        )?),
        _ => None,
    };
    let shown = Shown {
        delivery: delivery.as_ref(),
        rollouts: &rollouts,
        decision: &decision,
        changes: changes.as_deref(),
        demanding: &demanding,
        pace: &pace,
        backups: &backups,
        desired: &desired,
        backed_up: in_flight.backups.as_deref(),
        at: observation.at,
    };
    print(&shown, arguments.folder.output);
    let delivers = delivery.is_some_and(|changes| !changes.is_nothing());
    let changed = delivers || changes.is_some_and(|changes| !changes.is_empty());
    let nothing = decision.proposals.is_empty() && decision.starts.is_empty() && !changed;
    blind(&desired, &observation).map_or(Ok(if nothing { 0 } else { 2 }), Err)
}

/// Why too little is known of moves that policies or assignments ask for: the engine could not be read, or a signal that was asked for.
/// "Nothing to do" would be said of a world that nobody saw.
fn blind(desired: &Desired, observation: &Observation) -> Option<Failed> {
    let measured = observation.answers.values().any(Result::is_ok);
    let unread = observation
        .answers
        .values()
        .find_map(|answer| answer.as_ref().err());
    let moves = !desired.policies.is_empty() || !desired.assignments.is_empty();
    let said = match (&observation.engine, unread) {
        _ if !moves => return None,
        (Err(engine), Some(signals)) => format!(
            "neither Mayastor nor Prometheus could be read, so nothing is known of moves; check --mayastor-url and --prometheus-url \
             (Mayastor: {engine}; Prometheus: {signals})"
        ),
        (Err(engine), None) => {
            format!(
                "Mayastor could not be read, so nothing is known of moves; check --mayastor-url ({engine})"
            )
        }
        (Ok(_), Some(signal)) if measured => {
            format!("a signal could not be read, so what it decides is not known; mend its query ({signal})")
        }
        (Ok(_), Some(signals)) => {
            format!("no signal could be read, so no load is known; check --prometheus-url ({signals})")
        }
        (Ok(_), None) => return None,
    };
    Some(Failed(said))
}

/// A world that `--record` wrote.
pub(super) fn recorded(path: &Path) -> Result<Observation, Failed> {
    let text = std::fs::read_to_string(path).map_err(about(path))?;
    serde_json::from_str(&text).map_err(|error| {
        Failed(format!(
            "{}: {error}; write it with `couchestor plan --record`",
            path.display()
        ))
    })
}

/// A claim as people write it.
fn claim(text: &str) -> Result<ClaimRef, Failed> {
    let parts = text
        .split_once('/')
        .filter(|(namespace, name)| !namespace.is_empty() && !name.is_empty());
    let (namespace, name) =
        parts.ok_or_else(|| Failed(format!("{text} is no claim; write NAMESPACE/CLAIM")))?;
    Ok(ClaimRef {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    })
}

/// Why the folder freezes all moves, if it does.
fn stopped(folder: &Path) -> Option<Stop> {
    let why = match std::fs::read(folder.join(FREEZE)) {
        Ok(bytes) => first_line(&bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        // Whatever it is, the controller stops at it.
        Err(error) => error.to_string(),
    };
    Some(Stop::Frozen(why.into()))
}

/// What moves wait for beside the plan, as the end of a sentence.
fn condition(demanding: &[String]) -> String {
    match demanding {
        [] => String::new(),
        sources => format!(
            " starts once it has the approvals that `proposals.approvals` of {} demands",
            sources.join(", ")
        ),
    }
}

/// Cents are the last digits that anybody pays.
fn cents(cost: f64) -> f64 {
    // Adding zero takes the sign of what is rounded to nothing from below.
    (cost * 100.0).round() / 100.0 + 0.0
}

/// All that is printed.
struct Shown<'a> {
    delivery: Option<&'a Delivery>,
    rollouts: &'a [Report],
    decision: &'a Decision<'a>,
    changes: Option<&'a [Change]>,
    demanding: &'a [String],
    pace: &'a Pace,
    backups: &'a PlannedBackups,
    desired: &'a Desired,
    backed_up: Option<&'a BackupReading>,
    at: Timestamp,
}

fn print(shown: &Shown, output: Output) {
    let Shown {
        delivery,
        rollouts,
        decision,
        changes,
        demanding,
        pace,
        backups,
        desired,
        backed_up,
        at,
    } = *shown;
    if output != Output::Text {
        let report = json!({
            "objects": changes,
            "delivery": delivery.map(delivery::value),
            "backups": backups,
            "proposals": decision.proposals.iter().map(|one| json!({
                "claim": one.claim.to_string(), "volume": one.volume, "from": one.from, "to": one.to, "decision": one.note,
                "candidates": one.candidates, "bytes": one.bytes,
                "expectedSeconds": pace.seconds(&one.to, one.bytes), "monthlyCost": one.monthly_cost.map(cents),
            })).collect::<Vec<_>>(),
            "approvalsDemandedBy": demanding,
            "starts": decision.starts.iter().map(|one| json!({
                "claim": one.approved.what().claim.to_string(), "from": one.from, "to": one.approved.what().to,
            })).collect::<Vec<_>>(),
            "leftAlone": decision.left_alone.iter().map(|left| json!({
                "claim": format!("{}/{}", left.claim().0, left.claim().1), "volume": left.volume(),
                "policy": left.policy.map(|policy| policy.name.as_str()), "tier": left.tier, "reason": left.why.reason(),
                "message": left.words(),
            })).collect::<Vec<_>>(),
            "coverage": backed_up.map(|reading| super::backups::value(desired, reading)),
            "rollouts": rollouts::value(rollouts),
        });
        return value(&report, output);
    }
    if let Some(delivery) = delivery {
        data(&delivery::text(delivery));
    } else if let Some(changes) = changes {
        let rows: Vec<_> = changes
            .iter()
            .map(|one| {
                let action = one.error.as_ref().unwrap_or(&one.action);
                vec![action.clone(), one.object.to_string()]
            })
            .collect();
        data(&format!("Objects that would change: {}\n", rows.len()));
        if !rows.is_empty() {
            data(&table(&["ACTION", "OBJECT"], &rows));
        }
    } else {
        data("Objects are not compared: a recorded observation holds volumes only.\n");
    }
    if let Some(text) = backups::text(backups, at) {
        data(&text);
    }
    let rows: Vec<_> = decision
        .proposals
        .iter()
        .map(|one| {
            vec![
                one.claim.to_string(),
                format!("{} → {}", one.from, one.to),
                observed(&one.note, str::to_owned),
                gib(one.bytes),
                pace.seconds(&one.to, one.bytes)
                    .map_or_else(|| "-".to_owned(), roughly),
                one.monthly_cost
                    .map_or_else(|| "-".to_owned(), |cost| format!("{:+.2}", cents(cost))),
                one.policy.to_string(),
            ]
        })
        .collect();
    data(&format!("Moves that would be proposed: {}", rows.len()));
    if !rows.is_empty() {
        data(&table(
            &["CLAIM", "MOVE", "HEAT", "TO COPY", "TAKES", "A MONTH", "POLICY"],
            &rows,
        ));
    }
    let rows: Vec<_> = decision
        .starts
        .iter()
        .map(|one| {
            vec![
                one.approved.what().claim.to_string(),
                format!("{} → {}", one.from, one.approved.what().to),
            ]
        })
        .collect();
    data(&format!("Approved moves that would start: {}", rows.len()));
    if !rows.is_empty() {
        data(&table(&["CLAIM", "MOVE"], &rows));
        if !demanding.is_empty() {
            data(&format!("Each of them{}.\n", condition(demanding)));
        }
    }
    let rows: Vec<_> = decision
        .left_alone
        .iter()
        .map(|left| {
            let tier = left.tier.map_or("-".to_owned(), ToString::to_string);
            let (namespace, claim) = left.claim();
            vec![
                format!("{namespace}/{claim}"),
                tier,
                left.why.reason().to_owned(),
                left.words(),
            ]
        })
        .collect();
    data(&format!("Volumes that are left alone: {}", rows.len()));
    if !rows.is_empty() {
        data(&table(&["CLAIM", "TIER", "REASON", "WHY"], &rows));
    }
    if let Some(reading) = backed_up {
        data(&super::backups::text(desired, reading));
    }
    if let Some(text) = rollouts::text(rollouts) {
        data(&text);
    }
}

/// What a folder does not tell of moves that would start: by which commit each was approved, and so whether it was tried already.
fn tried_before(decision: &Decision, migrations: &[MigrationBrief]) -> Vec<String> {
    let last = |start: &Start| {
        let what = start.approved.what();
        let same = migrations
            .iter()
            .filter(|one| one.volume == what.volume && one.to == what.to);
        let last = same.max_by(|one, other| one.finished.cmp(&other.finished))?;
        let ordered = last.retry.is_some() || matches!(last.phase, Phase::Completed | Phase::Superseded);
        let over = last.phase.is_final() && !ordered;
        over.then(|| {
            format!(
                "{}: {} ended as {}; unless a later commit has approved the move anew, it starts only after `couchestor migrations retry {}`",
                what.claim,
                last.name,
                last.phase.as_str(),
                last.name
            )
        })
    };
    decision.starts.iter().filter_map(last).collect()
}
