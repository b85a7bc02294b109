//! `backtest`: what policies would have done with the load that Prometheus recorded, beside three other ways.

use super::table::table;
use super::{ClusterArguments, EngineArguments, Failed, Output, data, folder, value, words};
use crate::backtest::report::{Outcome, Report};
use crate::backtest::{self, Desires, History, Settings, page, shown};
use crate::formats::duration;
use crate::io::longhorn::Longhorn;
use crate::io::mayastor::Mayastor;
use crate::io::prometheus::{self, Prometheus};
use crate::model::observation::Observation;
use crate::model::timeline::Span;
use crate::observe::{self, volumes};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Evaluations that are made unless `--step` says otherwise.
const EVALUATIONS: i64 = 1000;

/// Evaluations that are made at all.
const EVALUATIONS_MAX: i64 = 50_000;

/// Steps that are chosen from, in seconds.
const STEPS: [i64; 8] = [900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400];

/// Numbers that are kept: 800 MB.
const VALUES_MAX: i64 = 100_000_000;

/// Requests of one replay; more are a day's load for a Prometheus that others use too.
const REQUESTS_MAX: usize = 20_000;

/// Moves that are shown; all are in JSON.
const SHOWN: usize = 40;

const DAY_SECS: i64 = 86_400;

/// Options of `backtest`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    folder: folder::FolderArguments,
    #[command(flatten)]
    cluster: ClusterArguments,
    #[command(flatten)]
    engine: EngineArguments,
    /// How many days are replayed.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=1000))]
    days: u16,
    /// When the replay ends, as `2026-11-21T00:00:00Z`; now, unless it is given.
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
    /// How often policies are evaluated, such as `15m`; unless it is given, so that there are at most a thousand evaluations.
    #[arg(long, value_name = "DURATION")]
    step: Option<String>,
    /// How long a proposal waits for its approval.
    #[arg(long, value_name = "DURATION", default_value = "4h")]
    approval_delay: String,
    /// A recorded world instead of a cluster, written by `plan --record`.
    #[arg(long, value_name = "FILE")]
    observation: Option<PathBuf>,
    /// Write a page with plots, which needs nothing beside itself.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// `backtest`.
pub async fn backtest(arguments: Arguments) -> Result<u8, Failed> {
    super::no_sarif(arguments.folder.output)?;
    let settings = settings(&arguments, crate::io::clock::now())?;
    let urls = arguments
        .engine
        .prometheus_url
        .as_deref()
        .filter(|urls| !urls.trim().is_empty());
    let urls = urls.ok_or_else(|| {
        Failed("give --prometheus-url: what is replayed is the load that Prometheus recorded".to_owned())
    })?;
    let (desired, diagnostics) = folder::read(&arguments.folder)?;
    folder::complain(&diagnostics);
    let Some(desired) = desired else { return Ok(1) };
    if !desired.policies.values().any(|policy| policy.enabled) {
        return Err(Failed(format!(
            "{} holds no enabled StoragePolicy, so there is nothing to replay",
            arguments.folder.path.display()
        )));
    }
    let desires = Desires::of(desired);
    let observation = observation(&arguments).await?;
    if let Err(error) = &observation.engine {
        return Err(Failed(format!(
            "without the storage engine nothing can be replayed: {error}"
        )));
    }
    let history = history(&Prometheus::new(urls)?, &desires, &observation, settings).await?;
    let report = backtest::replay(&desires, &observation, &history, settings);
    refuse_nothing(&report, settings.span)?;
    if let Some(path) = &arguments.html {
        std::fs::write(path, page::page(&report))
            .map_err(|error| Failed(format!("{}: {error}", path.display())))?;
        words(&format!("wrote {}", path.display()));
    }
    match arguments.folder.output {
        Output::Text => print(&report),
        output => value(&serde_json::to_value(&report)?, output),
    }
    Ok(0)
}

fn settings(arguments: &Arguments, now: Timestamp) -> Result<Settings, Failed> {
    let read = |name: &str, text: &str| {
        let read = duration::parse(text).map_err(|error| Failed(format!("{name} {text}: {error}")))?;
        Ok::<i64, Failed>(i64::try_from(read.as_secs()).unwrap_or(i64::MAX))
    };
    let approval_delay = read("--approval-delay", &arguments.approval_delay)?;
    let length = i64::from(arguments.days) * DAY_SECS;
    let step = match arguments.step.as_deref() {
        Some(text) => read("--step", text)?,
        None => default_step(length),
    };
    if !(60..=DAY_SECS).contains(&step) {
        return Err(Failed("--step: choose between 1m and 24h".to_owned()));
    }
    if length / step > EVALUATIONS_MAX {
        return Err(Failed(format!(
            "{} evaluations are more than {EVALUATIONS_MAX}: choose a longer --step, or fewer --days",
            length / step
        )));
    }
    let until = arguments.until.unwrap_or(now).as_second();
    let last = until - until.rem_euclid(step);
    let span = Span {
        first: last - length / step * step,
        last,
        step,
    };
    Ok(Settings { span, approval_delay })
}

/// The shortest step with which there are not too many evaluations.
fn default_step(length: i64) -> i64 {
    let fits = |step: &&i64| length / **step <= EVALUATIONS;
    STEPS.iter().find(fits).copied().unwrap_or(DAY_SECS)
}

async fn observation(arguments: &Arguments) -> Result<Observation, Failed> {
    if let Some(path) = &arguments.observation {
        return super::plan::recorded(path);
    }
    let cluster = arguments.cluster.connect().await?;
    let mayastor = Mayastor::new(&arguments.engine.mayastor_url)?;
    let (found, claims) = cluster.volumes().await?;
    let joined = volumes::join(found, claims);
    let engines = observe::Engines {
        mayastor: &mayastor,
        longhorn: &Longhorn::of(&cluster),
    };
    Ok(observe::observe(joined, engines, None, &BTreeSet::new(), crate::io::clock::now()).await)
}

/// Asks all that the replay needs; an answer that fails or is complete in part only ends it, since a gap would look like rest.
async fn history(
    prometheus: &Prometheus,
    desires: &Desires,
    observation: &Observation,
    settings: Settings,
) -> Result<History, Failed> {
    let asked = desires.asked(settings.span);
    let volumes = observation.volumes.len();
    let requests: Vec<(&String, Span)> = asked
        .iter()
        .flat_map(|(query, spans)| spans.iter().map(move |span| (query, *span)))
        .flat_map(|(query, span)| {
            prometheus::parts(span, volumes)
                .into_iter()
                .map(move |part| (query, part))
        })
        .collect();
    let steps: i64 = requests.iter().map(|(_, span)| span.steps()).sum();
    let values = steps.saturating_mul(i64::try_from(volumes).unwrap_or(i64::MAX));
    affordable(values, requests.len()).map_err(|too_much| {
        let (evaluations, questions) = (settings.span.steps(), asked.len());
        Failed(format!(
            "{volumes} volumes and {evaluations} evaluations of {questions} questions are {too_much}: choose a longer --step, or fewer \
             --days"
        ))
    })?;
    // Drawn on a terminal only.
    let bar = ProgressBar::new(requests.len() as u64);
    bar.set_style(
        ProgressStyle::with_template("asking Prometheus {bar:40} {pos} of {len}, {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let mut history = History::of(observation);
    for (query, span) in requests {
        let ranges = prometheus.ask_range(query, span).await;
        let ranges = ranges.map_err(|error| {
            bar.abandon();
            Failed(format!("{error}\n  it was asked: {query}"))
        })?;
        history.put(query, span, ranges);
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(history)
}

fn refuse_nothing(report: &Report, span: Span) -> Result<(), Failed> {
    if report.taken == 0 {
        return Err(Failed(format!(
            "no policy takes any of the {} volumes that were seen; `couchestor plan` says why",
            report.volumes
        )));
    }
    if report.known == 0.0 {
        return Err(Failed(format!(
            "Prometheus has no samples of volume_num_read_ops and volume_num_write_ops for these volumes between {} and {}: check that \
             it scrapes Mayastor's metrics exporter, and how long it keeps samples",
            shown::time(span.first),
            shown::time(span.last)
        )));
    }
    Ok(())
}

fn print(report: &Report) {
    data(&format!(
        "{} volumes of {} from {} to {}, evaluated {} times, every {}; a proposal waits {} for its approval",
        report.taken,
        report.volumes,
        shown::time(report.first),
        shown::time(report.last),
        report.evaluations,
        shown::seconds(report.step_seconds),
        shown::seconds(report.approval_delay_seconds),
    ));
    data(&format!(
        "Load is known for {:.1} % of these volumes' time\n",
        report.known * 100.0
    ));
    let head: Vec<&str> = std::iter::once("")
        .chain(report.strategies.iter().map(shown::title))
        .collect();
    let rows: Vec<Vec<String>> = shown::figures(report)
        .into_iter()
        .map(|(name, cells)| std::iter::once(name.to_owned()).chain(cells).collect())
        .collect();
    data(&table(&head, &rows));
    if let Some(ours) = report.ours() {
        moves(ours);
    }
    let left: Vec<Vec<String>> = shown::reasons(report);
    if !left.is_empty() {
        data("\nWhy volumes were left alone, of all evaluations of all volumes");
        data(&table(&["REASON", "PART"], &left));
    }
    data("\nWhat this takes for granted");
    for line in &report.assumptions {
        data(&format!("- {line}"));
    }
}

fn moves(ours: &Outcome) {
    if ours.moves.is_empty() {
        data("\nNo move would have been carried out.");
        return;
    }
    let row = |moved: &backtest::report::Moved| {
        vec![
            shown::time(moved.moved_at),
            moved.claim.clone(),
            format!("{} → {}", moved.from, moved.to),
            shown::value(&moved.signal, moved.value),
            shown::threshold(&moved.signal, moved.threshold),
            shown::gibs(moved.bytes),
        ]
    };
    let rows: Vec<Vec<String>> = ours.moves.iter().take(SHOWN).map(row).collect();
    data("\nMoves of the policies");
    data(&table(
        &["MOVED", "CLAIM", "MOVE", "MEASURED", "THRESHOLD", "BYTES"],
        &rows,
    ));
    if ours.moves.len() > SHOWN {
        data(&format!("and {} more, in -o json", ours.moves.len() - SHOWN));
    }
}

/// Whether so much may be asked for and kept.
fn affordable(values: i64, requests: usize) -> Result<(), String> {
    if values > VALUES_MAX {
        return Err(format!("{values} values, and {VALUES_MAX} are kept"));
    }
    if requests > REQUESTS_MAX {
        return Err(format!("{requests} requests, and {REQUESTS_MAX} are made"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_keeps_and_asks_for_so_much_and_no_more() {
        assert_eq!(affordable(VALUES_MAX, REQUESTS_MAX), Ok(()));
        let said = affordable(VALUES_MAX + 1, 1).map_err(|words| words.contains("100000000"));
        assert_eq!(said, Err(true));
        let said = affordable(1, REQUESTS_MAX + 1).map_err(|words| words.contains("20000"));
        assert_eq!(said, Err(true));
    }

    #[test]
    fn unless_told_there_are_at_most_a_thousand_evaluations() {
        for (days, minutes) in [
            (1, 15),
            (10, 15),
            (11, 30),
            (30, 60),
            (90, 180),
            (365, 720),
            (1000, 1440),
        ] {
            let step = default_step(days * DAY_SECS);
            assert_eq!(step, minutes * 60, "{days} days");
            assert!(days * DAY_SECS / step <= EVALUATIONS);
        }
    }
}
