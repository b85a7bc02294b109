//! `migrations`: people see moves, hold them, take them back and have them tried again. Each order is an annotation, which kubectl sets as
//! well; the controller acts upon it.

use super::table::table;
use super::{ClusterArguments, Failed, Output, data, value, words};
use crate::io::cluster::{Annotated, Cluster};
use crate::model::conditions;
use crate::model::kinds::moves::{because, said};
use crate::model::kinds::volume_migration::{Phase, VolumeMigration, VolumeMigrationStatus};
use crate::model::kinds::{CANCEL, PAUSED, PolicySource, RESUME_MOVES, RETRY};
use serde_json::json;

/// One migration, shown.
mod page;

/// `migrations` and what follows it.
#[derive(clap::Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    shown: Shown,
}

#[derive(clap::Args, Debug)]
struct Shown {
    #[command(flatten)]
    cluster: ClusterArguments,
    /// How to print.
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

#[derive(clap::Args, Debug)]
struct One {
    /// The VolumeMigration.
    name: String,
    #[command(flatten)]
    cluster: ClusterArguments,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// List all migrations, the unfinished first.
    List(Shown),
    /// Show one: its copies, what was removed and why that was safe, its journal.
    Show {
        /// The VolumeMigration.
        name: String,
        #[command(flatten)]
        shown: Shown,
    },
    /// Let one begin nothing new; what it has begun with the engine is closed first.
    Pause {
        #[command(flatten)]
        one: One,
        /// Why, for whoever looks at it next.
        #[arg(long)]
        why: Option<String>,
    },
    /// Let one that was paused go on.
    Resume(One),
    /// Take one back: the volume gets the copies that it began with.
    Cancel {
        #[command(flatten)]
        one: One,
        /// Why, for whoever looks at it next.
        #[arg(long)]
        why: Option<String>,
    },
    /// Have one that failed tried again, as long as the base branch approves it.
    Retry(One),
    /// Have new moves start again where failures stopped them.
    ResumeAll(ClusterArguments),
}

/// `migrations`.
pub async fn migrations(arguments: Arguments) -> Result<u8, Failed> {
    match arguments.command {
        None => list(&arguments.shown).await,
        Some(Command::List(shown)) => list(&shown).await,
        Some(Command::Show { name, shown }) => show(&name, &shown).await,
        Some(Command::Pause { one, why }) => order(&one, Order::Pause, why).await,
        Some(Command::Resume(one)) => order(&one, Order::Resume, None).await,
        Some(Command::Cancel { one, why }) => order(&one, Order::Cancel, why).await,
        Some(Command::Retry(one)) => order(&one, Order::Retry, None).await,
        Some(Command::ResumeAll(cluster)) => resume_all(&cluster).await,
    }
}

async fn read(arguments: &ClusterArguments) -> Result<(Cluster, Vec<VolumeMigration>), Failed> {
    let cluster = arguments.connect().await?;
    let mut all: Vec<VolumeMigration> = cluster.list().await?;
    let key = |one: &VolumeMigration| {
        let status = status_of(one);
        (
            status.phase.is_final(),
            status.started_at,
            name_of(one).to_owned(),
        )
    };
    all.sort_by_key(key);
    Ok((cluster, all))
}

fn name_of(one: &VolumeMigration) -> &str {
    one.metadata.name.as_deref().unwrap_or_default()
}

fn status_of(one: &VolumeMigration) -> VolumeMigrationStatus {
    one.status.clone().unwrap_or_default()
}

async fn list(shown: &Shown) -> Result<u8, Failed> {
    super::no_sarif(shown.output)?;
    let (_, all) = read(&shown.cluster).await?;
    if shown.output != Output::Text {
        value(&json!(all), shown.output);
        return Ok(0);
    }
    if all.is_empty() {
        words("there are no migrations: no approved move has started yet");
        return Ok(0);
    }
    let row = |one: &VolumeMigration| {
        let (spec, status) = (&one.spec, status_of(one));
        let percent = status.progress_percent.filter(|_| !status.phase.is_final());
        vec![
            name_of(one).to_owned(),
            format!("{}/{}", spec.claim.namespace, spec.claim.name),
            format!("{} → {}", spec.from, spec.to),
            status.phase.as_str().to_owned(),
            percent.map_or_else(|| "-".to_owned(), |percent| format!("{percent} %")),
            page::orders(one).join(", "),
            status.message,
        ]
    };
    let rows: Vec<_> = all.iter().map(row).collect();
    let head = [
        "MIGRATION",
        "CLAIM",
        "MOVE",
        "PHASE",
        "SYNCED",
        "ORDERS",
        "MESSAGE",
    ];
    data(&table(&head, &rows));
    Ok(0)
}

async fn show(name: &str, shown: &Shown) -> Result<u8, Failed> {
    super::no_sarif(shown.output)?;
    let (_, all) = read(&shown.cluster).await?;
    let one = find(&all, name)?;
    match shown.output {
        Output::Text => data(&page::page(one)),
        output => value(&json!(one), output),
    }
    Ok(0)
}

/// The migration of that name, or words that lead to it.
fn find<'a>(all: &'a [VolumeMigration], name: &str) -> Result<&'a VolumeMigration, Failed> {
    if let Some(found) = all.iter().find(|one| name_of(one) == name) {
        return Ok(found);
    }
    let near = all
        .iter()
        .map(|one| (strsim::levenshtein(name_of(one), name), name_of(one)))
        .min_by_key(|(far, _)| *far);
    Err(Failed(match near {
        None => format!("there is no migration {name}, nor any other"),
        Some((_, near)) => {
            format!("there is no migration {name}; did you mean {near}? `couchestor migrations` lists all")
        }
    }))
}

/// What a person may say of one migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Pause,
    Resume,
    Cancel,
    Retry,
}

/// Why an order would have no effect, with what can be done instead.
fn refused(order: Order, one: &VolumeMigration, all: &[VolumeMigration]) -> Option<String> {
    let (name, phase) = (name_of(one), status_of(one).phase);
    let ended = phase.is_final();
    let says = |key: &str| said(one.metadata.annotations.as_ref(), key).is_some();
    let over = format!("{name} has ended as {}", phase.as_str());
    match order {
        Order::Pause | Order::Cancel if ended => Some(match phase {
            Phase::Completed => format!(
                "{over}; to move the volume back, revert the commit that approved it ({})",
                one.spec.approved.commit
            ),
            Phase::RolledBack | Phase::NeedsPerson | Phase::Cancelled => {
                format!(
                    "{over}; nothing runs any more, and `couchestor migrations retry {name}` tries it again"
                )
            }
            _ => format!("{over}; nothing runs any more"),
        }),
        Order::Resume if !says(PAUSED) => Some(format!(
            "{name} is not paused by itself; where all moves of its source stand still, `couchestor status` says why"
        )),
        Order::Retry if !ended => Some(format!(
            "{name} still runs, in phase {}; `couchestor migrations cancel {name}` takes it back",
            phase.as_str()
        )),
        Order::Retry => later(one, all)
            .map(|later| format!("{name} was tried again already: see {later}"))
            .or_else(|| not_retried(phase, &over)),
        _ => None,
    }
}

/// Why an ended migration is not tried again.
fn not_retried(phase: Phase, over: &str) -> Option<String> {
    match phase {
        Phase::Superseded => Some(format!(
            "{over}: what was approved made no sense any more; it is proposed again when it does"
        )),
        Phase::Preserved => Some(format!(
            "{over}: the new copies are complete, and the old ones were kept as asked"
        )),
        _ => None,
    }
}

/// The latest attempt of the same approval, when it is a later one.
fn later<'a>(one: &VolumeMigration, all: &'a [VolumeMigration]) -> Option<&'a str> {
    let key = |one: &VolumeMigration| {
        let spec = &one.spec;
        (spec.volume.clone(), spec.to.clone(), spec.approved.commit.clone())
    };
    let same = all.iter().filter(|other| key(other) == key(one));
    let latest = same.max_by_key(|other| other.spec.attempt)?;
    (latest.spec.attempt > one.spec.attempt).then(|| name_of(latest))
}

async fn order(which: &One, order: Order, why: Option<String>) -> Result<u8, Failed> {
    let (cluster, all) = read(&which.cluster).await?;
    let one = find(&all, &which.name)?;
    if let Some(why) = refused(order, one, &all) {
        return Err(Failed(why));
    }
    let name = name_of(one);
    let why = why.map(|why| why.trim().to_owned()).filter(|why| !why.is_empty());
    // Who says it once more without a reason does not take back the one that was given.
    let why = |key: &str| {
        let given = said(one.metadata.annotations.as_ref(), key).map(str::to_owned);
        Some(why.clone().or(given).unwrap_or_else(|| "true".to_owned()))
    };
    let now = crate::io::clock::now().to_string();
    let (key, said, done) = match order {
        Order::Pause => (PAUSED, why(PAUSED), "begins nothing new until it is resumed"),
        Order::Resume => (PAUSED, None, "goes on"),
        Order::Cancel => (
            CANCEL,
            why(CANCEL),
            "is taken back; the volume gets the copies that it began with",
        ),
        Order::Retry if status_of(one).phase == Phase::Completed => (
            RETRY,
            Some(now),
            "is made again as a new migration once copies of the volume are on another tier; while all are where it took them there is nothing \
             to do",
        ),
        Order::Retry => (
            RETRY,
            Some(now),
            "is tried again as a new migration with the next turn, if base still approves it and nothing else keeps it",
        ),
    };
    cluster
        .annotate::<VolumeMigration>(
            &Annotated {
                namespace: None,
                name,
            },
            key,
            said.as_deref(),
        )
        .await?;
    words(&format!("{name} {done}"));
    // What was asked for is not what keeps it.
    if order == Order::Resume
        && let Some(held) = status_of(one).held
        && !held.why.contains(PAUSED)
    {
        words(&format!("but it is still held: {}", held.why));
    }
    if order == Order::Cancel
        && let Some(held) = status_of(one).held
    {
        words(&format!("but its way back is held too: {}", held.why));
    }
    Ok(0)
}

async fn resume_all(arguments: &ClusterArguments) -> Result<u8, Failed> {
    let cluster = arguments.connect().await?;
    let sources: Vec<PolicySource> = cluster.list().await?;
    let (mut resumed, mut others) = (0, Vec::new());
    for source in &sources {
        let (namespace, name) = (
            source.metadata.namespace.as_deref(),
            source.metadata.name.as_deref(),
        );
        let what = format!("{}/{}", namespace.unwrap_or_default(), name.unwrap_or_default());
        let status = source.status.clone().unwrap_or_default();
        let Some(stopped) = conditions::find(&status.conditions, crate::wiring::MOVING) else {
            continue;
        };
        match (stopped.status.as_str(), stopped.reason.as_str()) {
            ("False", "StoppedAfterFailures") => {
                let now = crate::io::clock::now().to_string();
                let object = Annotated {
                    namespace,
                    name: name.unwrap_or_default(),
                };
                cluster
                    .annotate::<PolicySource>(&object, RESUME_MOVES, Some(&now))
                    .await?;
                words(&format!("{what}: moves start again with the next turn"));
                resumed += 1;
            }
            ("False", _) => others.push(format!("{what}: {}", stopped.message)),
            _ => {}
        }
    }
    for other in &others {
        words(other);
    }
    if resumed == 0 && others.is_empty() {
        words("no source's moves were stopped");
    }
    Ok(u8::from(!others.is_empty()))
}

/// The order of a person that is in force, as `list` shows it.
fn in_force(one: &VolumeMigration, key: &str, word: &str) -> Option<String> {
    let value = said(one.metadata.annotations.as_ref(), key)?;
    Some(match value.eq_ignore_ascii_case("true") || key == RETRY {
        true => word.to_owned(),
        false => format!("{word}: {}", because(value)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn migration(name: &str, phase: Phase, attempt: u32) -> VolumeMigration {
        let spec = json!({
            "source": {"namespace": "s", "name": "s"}, "claim": {"namespace": "db", "name": "data-0"}, "volume": "pvc-u",
            "volumeUuid": "u", "from": "cold", "to": "hot", "toPoolLabels": {}, "timeoutSeconds": 60, "attempt": attempt,
            "approved": {"revision": "r", "commit": "c0ffee", "author": "Ada", "at": "2027-01-01T00:00:00Z", "path": "x"},
        });
        let object = json!({"apiVersion": "storage.billyronks.io/v1", "kind": "VolumeMigration", "metadata": {"name": name},
            "spec": spec, "status": {"phase": phase.as_str()}});
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn an_order_without_effect_is_refused_with_what_can_be_done() {
        let cases = [
            (Order::Pause, Phase::WaitSync, None),
            (Order::Cancel, Phase::Pending, None),
            (Order::Retry, Phase::RolledBack, None),
            (Order::Retry, Phase::NeedsPerson, None),
            (Order::Retry, Phase::Cancelled, None),
            (Order::Retry, Phase::Completed, None),
            (Order::Pause, Phase::RolledBack, Some("retry m")),
            (
                Order::Cancel,
                Phase::Completed,
                Some("revert the commit that approved it (c0ffee)"),
            ),
            (Order::Resume, Phase::WaitSync, Some("not paused by itself")),
            (Order::Retry, Phase::ScaleUp, Some("cancel m")),
            (Order::Retry, Phase::Superseded, Some("proposed again")),
            (Order::Retry, Phase::Preserved, Some("kept as asked")),
        ];
        for (order, phase, expected) in cases {
            let all = [migration("m", phase, 1)];
            let said = refused(order, &all[0], &all);
            match expected {
                None => assert_eq!(said, None, "{order:?} {phase:?}"),
                Some(words) => assert!(
                    said.as_ref().is_some_and(|said| said.contains(words)),
                    "{order:?} {phase:?}: {said:?}"
                ),
            }
        }
    }

    #[test]
    fn only_the_latest_attempt_is_tried_again() {
        let all = [
            migration("m", Phase::RolledBack, 1),
            migration("m-2", Phase::RolledBack, 2),
        ];
        assert_eq!(
            refused(Order::Retry, &all[0], &all).unwrap(),
            "m was tried again already: see m-2"
        );
        assert_eq!(refused(Order::Retry, &all[1], &all), None);
    }

    #[test]
    fn an_unknown_name_leads_to_the_nearest() {
        let all = [
            migration("db-data-0-1a2b", Phase::Pending, 1),
            migration("web-uploads-77", Phase::Pending, 1),
        ];
        for (name, expected) in [
            ("db-data-0-1a2c", "did you mean db-data-0-1a2b?"),
            ("uploads", "did you mean web-uploads-77?"),
        ] {
            let Err(Failed(said)) = find(&all, name) else {
                unreachable!("{name} is found")
            };
            assert!(said.contains(expected), "{said}");
        }
        assert!(find(&all, "web-uploads-77").is_ok());
        let Err(Failed(said)) = find(&[], "x") else {
            unreachable!("nothing is there")
        };
        assert_eq!(said, "there is no migration x, nor any other");
    }
}
