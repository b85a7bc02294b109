//! Whether a volume is hot or cold: its signals against the policy's thresholds. What is not known is neither.

use super::place;
use super::questions;
use crate::model::decision::Why;
use crate::model::desired::{Desired, Measure, Policy, Signal, Tier};
use crate::model::ids::TierName;
use crate::model::observation::Observation;
use crate::model::quick::Table;
use std::hash::{Hash, Hasher};
use std::rc::Rc;
use std::sync::Arc;

/// Where a move would lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Hotter,
    Colder,
}

/// Which way the signals point, and what the decision rests on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pointed<'a> {
    pub(super) direction: Direction,
    pub(super) signal: &'a Signal,
    pub(super) value: f64,
    pub(super) threshold: f64,
}

/// Which way is decided already: then the thresholds are those at which it would be taken back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) hotter: bool,
    pub(super) colder: bool,
}

/// Answers in the order of the volumes; `Err` says why there are none.
pub(super) type Column<'a> = Result<&'a [f64], Arc<str>>;

/// The answers about a signal.
pub(super) struct Columns<'a> {
    pub(super) value: Column<'a>,
    /// Least and greatest value in the time for which it must be sustained.
    pub(super) extremes: Option<(Column<'a>, Column<'a>)>,
}

/// All answers that a policy needs.
pub(super) struct Answers<'a> {
    pub(super) coverage: Column<'a>,
    pub(super) signals: Vec<Columns<'a>>,
    pub(super) exceptions: Vec<Column<'a>>,
    /// The first thing that could not be read.
    trouble: Option<Arc<str>>,
}

/// A policy with its tiers and answers found.
pub(super) struct Measured<'a> {
    pub(super) policy: &'a Policy,
    /// Its tiers from the coldest to the hottest, by their places in order of name.
    pub(super) tiers: Rc<[usize]>,
    /// The same as bits.
    pub(super) mask: u64,
    pub(super) answers: Option<Rc<Answers<'a>>>,
    /// The same in short, when it needs no more.
    pub(super) plain: Option<Plain<'a>>,
}

/// What a policy asks of a volume without a past when it has one signal and neither exceptions nor a time for which that must be
/// sustained: most have no more, and a hundred thousand volumes are looked at.
#[derive(Clone, Copy)]
pub(super) struct Plain<'a> {
    coverage: &'a [f64],
    values: &'a [f64],
    min_coverage: f64,
    above: f64,
    below: f64,
    signal: &'a Arc<str>,
}

/// Which way a plain policy points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum PlainWay {
    Hotter,
    Colder,
    Between(f64),
}

impl<'a> Plain<'a> {
    fn of(policy: &'a Policy, answers: &Answers<'a>) -> Option<Self> {
        let ([signal], [columns]) = (&*policy.signals, &*answers.signals) else {
            return None;
        };
        let plain =
            policy.not_heat_when.is_empty() && columns.extremes.is_none() && answers.trouble.is_none();
        Some(Self {
            coverage: answers.coverage.as_ref().ok().filter(|_| plain)?,
            values: columns.value.as_ref().ok()?,
            min_coverage: policy.min_coverage,
            above: signal.above.unwrap_or(f64::INFINITY),
            below: signal.below.unwrap_or(f64::NEG_INFINITY),
            signal: &signal.name,
        })
    }

    /// The signal.
    pub(super) fn signal(&self) -> Arc<str> {
        self.signal.clone()
    }

    /// What [`Measured::points`] says of a volume of which nothing is decided yet; `None` where something is not known.
    pub(super) fn points(&self, volume: usize) -> Option<PlainWay> {
        let (coverage, value) = (*self.coverage.get(volume)?, *self.values.get(volume)?);
        if !(coverage.is_finite() && coverage >= self.min_coverage && value.is_finite()) {
            return None;
        }
        Some(if value >= self.above {
            PlainWay::Hotter
        } else if value < self.below {
            PlainWay::Colder
        } else {
            PlainWay::Between(value)
        })
    }
}

/// Policies that ask the same have the same answers, and ten thousand policies mostly do.
struct Asks<'a>(&'a Policy);

impl Asks<'_> {
    fn measures(&self) -> impl Iterator<Item = (&Measure, Option<u64>)> {
        let of = |signal: &'_ Signal| signal.percentile.map(f64::to_bits);
        let all = self.0.signals.iter().chain(&self.0.not_heat_when);
        all.map(move |signal| (&signal.measure, of(signal)))
    }
}

impl Hash for Asks<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.window_text.hash(state);
        self.0.sustained.hash(state);
        self.0.signals.len().hash(state);
        for (measure, percentile) in self.measures() {
            std::mem::discriminant(measure).hash(state);
            percentile.hash(state);
        }
    }
}

impl PartialEq for Asks<'_> {
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (self.0, other.0);
        a.window_text == b.window_text
            && a.sustained == b.sustained
            && a.signals.len() == b.signals.len()
            && a.excluded_windows == b.excluded_windows
            && self.measures().eq(other.measures())
    }
}

impl Eq for Asks<'_> {}

/// Every policy with its answers; questions were asked at the time of the observation.
pub(super) fn measured<'a>(
    desired: &'a Desired,
    observation: &'a Observation,
    tiers: &[&Tier],
) -> Vec<Measured<'a>> {
    let mut known: Table<Asks<'a>, Rc<Answers<'a>>> = Table::default();
    let place = |name| tiers.binary_search_by(|tier| tier.name.cmp(name)).ok();
    // Most policies ask what the one before them asked, of the same tiers.
    let mut last: Option<(&Policy, Rc<Answers>)> = None;
    let mut tiers_of: Option<(&[TierName], Rc<[usize]>)> = None;
    let mut all = Vec::with_capacity(desired.policies.len());
    for policy in desired.policies.values() {
        let tiers = match &tiers_of {
            Some((names, tiers)) if **names == *policy.tiers => tiers.clone(),
            _ => policy.tiers.iter().filter_map(place).collect(),
        };
        tiers_of = Some((&policy.tiers, tiers.clone()));
        let answers = policy.enabled.then(|| match &last {
            Some((same, answers)) if Asks(same) == Asks(policy) => answers.clone(),
            _ => {
                let entry = known.entry(Asks(policy));
                let answers = entry.or_insert_with(|| Rc::new(answers(policy, observation)));
                last = Some((policy, answers.clone()));
                answers.clone()
            }
        });
        let plain = answers.as_deref().and_then(|answers| Plain::of(policy, answers));
        all.push(Measured {
            plain,
            policy,
            mask: tiers.iter().fold(0, |mask, tier| mask | place::bit(*tier)),
            tiers,
            answers,
        });
    }
    all
}

fn answers<'a>(policy: &Policy, observation: &'a Observation) -> Answers<'a> {
    let column = |query: &str| -> Column<'a> {
        match observation.answers.get(query) {
            Some(Ok(values)) => Ok(values.as_slice()),
            Some(Err(error)) => Err(error.as_str().into()),
            None => Err("nothing was asked for this window and signal".into()),
        }
    };
    let at = observation.at;
    let signals: Vec<Columns> = policy
        .signals
        .iter()
        .map(|signal| {
            let asked = questions::signal_of(policy, signal, at);
            let extremes = asked.extremes.as_ref();
            Columns {
                value: column(&asked.value),
                extremes: extremes.map(|(least, greatest)| (column(least), column(greatest))),
            }
        })
        .collect();
    let exceptions: Vec<Column> = policy
        .not_heat_when
        .iter()
        .map(|signal| column(&questions::value(policy, signal, at)))
        .collect();
    let coverage = column(&questions::coverage(policy, at));
    let each = |columns: &Columns<'a>| {
        let (least, greatest) = match &columns.extremes {
            Some((least, greatest)) => (Some(least.clone()), Some(greatest.clone())),
            None => (None, None),
        };
        [Some(columns.value.clone()), least, greatest]
            .into_iter()
            .flatten()
    };
    let mut all = std::iter::once(coverage.clone())
        .chain(signals.iter().flat_map(each))
        .chain(exceptions.iter().cloned());
    let trouble = all.find_map(Result::err);
    Answers {
        coverage,
        signals,
        exceptions,
        trouble,
    }
}

/// A value that is known.
pub(super) fn known(column: &Column, volume: usize) -> Option<f64> {
    let value = column.as_ref().ok()?.get(volume).copied()?;
    value.is_finite().then_some(value)
}

fn percent(part: f64) -> u32 {
    // Rounded down, so that 74.9 % never reads as the 75 % that would have been enough.
    (part.clamp(0.0, 1.0) * 100.0) as u32
}

/// Whether the signals speak for one direction.
#[derive(Clone, Copy)]
enum Way<'a> {
    /// All that have a threshold there are beyond it.
    Beyond(Pointed<'a>),
    /// One is not.
    Between(&'a Signal, f64),
    /// One is not known, and the others are: some are silent without load, as latency is.
    Silent(&'a Signal),
    /// One is not known.
    Unknown(&'a Signal),
    /// One is beyond it, but was not for long enough.
    Short(&'a Signal, f64),
    /// None has a threshold there.
    NoThreshold,
}

impl<'a> Measured<'a> {
    /// Which way a volume's signals point.
    pub(super) fn points(&self, volume: usize, held: Held) -> Result<Pointed<'a>, Why> {
        let policy = self.policy;
        let Some(answers) = &self.answers else {
            return Err(Why::PolicyDisabled);
        };
        if let Some(error) = &answers.trouble {
            return Err(Why::HeatUnknown { error: error.clone() });
        }
        let first = || {
            policy
                .signals
                .first()
                .map_or_else(|| "iops".into(), |signal| signal.name.clone())
        };
        let coverage = known(&answers.coverage, volume).ok_or_else(|| Why::NoData { signal: first() })?;
        if coverage < policy.min_coverage {
            return Err(Why::LowCoverage {
                percent: percent(coverage),
                needed_percent: percent(policy.min_coverage),
            });
        }
        let hot = self.one_way(answers, volume, Direction::Hotter, held.hotter);
        match hot {
            Way::Beyond(pointed) => return self.not_excepted(answers, volume, pointed),
            Way::Unknown(_) | Way::Short(..) => return Err(self.why(answers, volume, hot)),
            Way::Between(..) | Way::Silent(_) | Way::NoThreshold => {}
        }
        let cold = self.one_way(answers, volume, Direction::Colder, held.colder);
        match (cold, hot) {
            (Way::Beyond(pointed), _) => Ok(pointed),
            (Way::Unknown(_) | Way::Short(..), _) | (_, Way::Silent(_)) => {
                Err(self.why(answers, volume, cold))
            }
            // The signal that keeps it from being hot is the one that people ask about.
            _ => Err(self.why(answers, volume, hot)),
        }
    }

    fn why(&self, answers: &Answers, volume: usize, way: Way) -> Why {
        match way {
            Way::Beyond(pointed) => Why::BetweenWatermarks {
                signal: pointed.signal.name.clone(),
                value: pointed.value,
            },
            Way::Between(signal, value) => Why::BetweenWatermarks {
                signal: signal.name.clone(),
                value,
            },
            Way::Silent(signal) | Way::Unknown(signal) => Why::NoData {
                signal: signal.name.clone(),
            },
            Way::Short(signal, value) => Why::NotSustained {
                signal: signal.name.clone(),
                value,
                needed_seconds: self.policy.sustained.as_secs(),
            },
            Way::NoThreshold => Why::BetweenWatermarks {
                signal: self
                    .policy
                    .signals
                    .first()
                    .map_or_else(|| "iops".into(), |signal| signal.name.clone()),
                value: answers
                    .signals
                    .first()
                    .and_then(|one| known(&one.value, volume))
                    .unwrap_or(0.0),
            },
        }
    }

    /// The signal that has gone back past its threshold by more than the hysteresis, and its value; `None` when the move still makes
    /// sense, or nothing is known.
    pub(super) fn gone_back(&self, volume: usize, direction: Direction) -> Option<(Arc<str>, f64)> {
        let answers = self
            .answers
            .as_ref()
            .filter(|answers| answers.trouble.is_none())?;
        let way = self.one_way(answers, volume, direction, true);
        match (way, self.why(answers, volume, way)) {
            (Way::Between(..) | Way::NoThreshold, Why::BetweenWatermarks { signal, value }) => {
                Some((signal, value))
            }
            _ => None,
        }
    }

    /// Whether all signals with a threshold on that side are beyond it.
    fn one_way(&self, answers: &Answers, volume: usize, direction: Direction, held: bool) -> Way<'a> {
        let policy = self.policy;
        let mut pointed: Option<Pointed<'a>> = None;
        let mut short: Option<Way<'a>> = None;
        for (signal, columns) in policy.signals.iter().zip(&answers.signals) {
            let threshold = match direction {
                Direction::Hotter => signal.above,
                Direction::Colder => signal.below,
            };
            let Some(threshold) = threshold else { continue };
            let Some(value) = known(&columns.value, volume) else {
                // Such a volume is not hot, and may be cold.
                let silent = direction == Direction::Hotter && anything_known(answers, volume);
                return if silent {
                    Way::Silent(signal)
                } else {
                    Way::Unknown(signal)
                };
            };
            let slack = if held { policy.hysteresis } else { 0.0 };
            if !beyond(direction, value, threshold, slack) {
                return Way::Between(signal, value);
            }
            if let (Some((least, greatest)), false) = (&columns.extremes, held) {
                let column = match direction {
                    Direction::Hotter => least,
                    Direction::Colder => greatest,
                };
                let value = known(column, volume);
                if !value.is_some_and(|value| beyond(direction, value, threshold, 0.0)) {
                    short.get_or_insert(Way::Short(signal, value.unwrap_or(0.0)));
                }
            }
            pointed.get_or_insert(Pointed {
                direction,
                signal,
                value,
                threshold,
            });
        }
        short.or(pointed.map(Way::Beyond)).unwrap_or(Way::NoThreshold)
    }

    fn not_excepted(&self, answers: &Answers, volume: usize, hot: Pointed<'a>) -> Result<Pointed<'a>, Why> {
        let mut first = None;
        for (signal, column) in self.policy.not_heat_when.iter().zip(&answers.exceptions) {
            let Some(value) = known(column, volume) else {
                return Ok(hot);
            };
            let holds = signal.above.is_some_and(|above| value >= above)
                || signal.below.is_some_and(|below| value < below);
            if !holds {
                return Ok(hot);
            }
            first.get_or_insert((signal, value));
        }
        match first {
            None => Ok(hot),
            Some((signal, value)) => Err(Why::NotHeat {
                signal: signal.name.clone(),
                value,
            }),
        }
    }
}

fn anything_known(answers: &Answers, volume: usize) -> bool {
    let mut signals = answers.signals.iter();
    signals.any(|columns| known(&columns.value, volume).is_some())
}

/// Whether a value is beyond a threshold that gives way by a part of itself.
pub(super) fn beyond(direction: Direction, value: f64, threshold: f64, slack: f64) -> bool {
    match direction {
        Direction::Hotter => value >= threshold * (1.0 - slack),
        Direction::Colder => value < threshold / (1.0 - slack),
    }
}
