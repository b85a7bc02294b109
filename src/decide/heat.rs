//! Whether a volume is hot or cold: its signals against the policy's thresholds. What is not known is neither.

use super::place;
use super::questions;
use crate::model::decision::Why;
use crate::model::desired::{Desired, Policy, Signal, Tier};
use crate::model::observation::Observation;
use crate::model::policies::{Digest, Rule};
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
    /// The signal's name.
    pub(super) signal: &'a str,
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
    /// The policy in short: the policies themselves lie far apart.
    pub(super) rule: &'a Rule,
    pub(super) kind: Rc<Kind<'a>>,
}

/// Tiers and answers of policies that ask the same.
pub(super) struct Kind<'a> {
    /// Their tiers from the coldest to the hottest, by their places in order of name.
    pub(super) tiers: Vec<usize>,
    /// The same as bits.
    pub(super) mask: u64,
    /// `None` when they are switched off.
    pub(super) answers: Option<Answers<'a>>,
    /// Coverage and values, when they are known and there is one signal.
    columns: Option<(&'a [f64], &'a [f64])>,
}

/// Every policy, in order of name, with what its questions were answered; they were asked at the time of the observation.
pub(super) fn measured<'a>(
    policies: &[&'a Policy],
    desired: &'a Desired,
    observation: &'a Observation,
    tiers: &[&Tier],
) -> Plainly<'a> {
    let digest = desired.policies.digest();
    let place = |name| tiers.binary_search_by(|tier| tier.name.cmp(name)).ok();
    let kind = |first: &u32| {
        let policy = policies[*first as usize];
        let tiers: Vec<usize> = policy.tiers.iter().filter_map(place).collect();
        let answers = policy.enabled.then(|| answers(policy, observation));
        Rc::new(Kind {
            mask: tiers.iter().fold(0, |mask, tier| mask | place::bit(*tier)),
            columns: answers.as_ref().and_then(Answers::columns),
            tiers,
            answers,
        })
    };
    Plainly {
        digest,
        kinds: digest.kinds.iter().map(kind).collect(),
        all: policies.to_vec(),
    }
}

/// What most policies are, told in short and close together: to look at one policy of ten thousand for each volume takes most of the
/// time of a plan.
pub(super) struct Plainly<'a> {
    pub(super) all: Vec<&'a Policy>,
    digest: &'a Digest,
    kinds: Vec<Rc<Kind<'a>>>,
}

impl<'a> Plainly<'a> {
    /// A policy in full; to make all of them so would take longer than what most plans look at.
    pub(super) fn measured(&self, policy: usize) -> Measured<'a> {
        let rule = &self.digest.rules[policy];
        Measured {
            policy: self.all[policy],
            rule,
            kind: self.kinds[rule.kind as usize].clone(),
        }
    }

    /// The place of a policy by its name.
    pub(super) fn place(&self, name: &str) -> Option<usize> {
        self.digest.place(name)
    }

    /// The tiers and answers of a policy, which is given by its place, and what [`Measured::points`] says of a volume of which nothing is
    /// decided yet; `None` when the policy cannot be told in short. It is asked for each volume, and its answer, handed over in
    /// memory, took longer than what it does.
    #[inline(always)]
    pub(super) fn of(
        &self,
        policy: usize,
        volume: usize,
    ) -> Option<(&Kind<'a>, Result<Pointed<'a>, Why<'a>>)> {
        let plain = self.digest.plain.get(policy)?.as_ref()?;
        let kind = &*self.kinds[plain.kind as usize];
        let (coverage, values) = kind.columns?;
        let (coverage, value) = (*coverage.get(volume)?, *values.get(volume)?);
        let signal = || self.digest.signal(plain);
        let (direction, threshold) = if coverage.is_finite() && coverage < plain.min_coverage {
            let why = Why::LowCoverage {
                percent: percent(coverage),
                needed_percent: percent(plain.min_coverage),
            };
            return Some((kind, Err(why)));
        } else if !coverage.is_finite() || !value.is_finite() {
            return Some((kind, Err(Why::NoData { signal: signal() })));
        } else if value >= plain.above {
            (Direction::Hotter, plain.above)
        } else if value < plain.below {
            (Direction::Colder, plain.below)
        } else {
            let signal = signal();
            return Some((kind, Err(Why::BetweenWatermarks { signal, value })));
        };
        let pointed = Pointed {
            direction,
            signal: signal(),
            value,
            threshold,
        };
        Some((kind, Ok(pointed)))
    }
}

impl<'a> Answers<'a> {
    /// Coverage and the values of the only signal, when they are known.
    fn columns(&self) -> Option<(&'a [f64], &'a [f64])> {
        match (&self.trouble, &self.coverage, &*self.signals) {
            (
                None,
                Ok(coverage),
                [
                    Columns {
                        value: Ok(values), ..
                    },
                ],
            ) => Some((coverage, values)),
            _ => None,
        }
    }
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
    /// One is beyond it, but was not for long enough; its value then, if that is known.
    Short(&'a Signal, Option<f64>),
    /// None has a threshold there.
    NoThreshold,
}

impl<'a> Measured<'a> {
    /// Which way a volume's signals point.
    pub(super) fn points(&self, volume: usize, held: Held) -> Result<Pointed<'a>, Why<'a>> {
        let policy = self.policy;
        let Some(answers) = &self.kind.answers else {
            return Err(Why::PolicyDisabled);
        };
        if let Some(error) = &answers.trouble {
            return Err(Why::HeatUnknown { error: error.clone() });
        }
        let coverage = known(&answers.coverage, volume).ok_or_else(|| Why::NoData {
            signal: self.first_signal(),
        })?;
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
            // Nothing could make it cold: what is missing for hot is all that there is to say.
            (Way::NoThreshold, Way::Silent(_)) => Err(self.why(answers, volume, hot)),
            (Way::Unknown(_) | Way::Short(..), _) | (_, Way::Silent(_)) => {
                Err(self.why(answers, volume, cold))
            }
            // The signal that keeps it from being hot is the one that people ask about.
            _ => Err(self.why(answers, volume, hot)),
        }
    }

    fn first_signal(&self) -> &'a str {
        let first = self.policy.signals.first();
        first.map_or("iops", |signal| &signal.name)
    }

    fn why(&self, answers: &Answers, volume: usize, way: Way<'a>) -> Why<'a> {
        match way {
            Way::Beyond(pointed) => Why::BetweenWatermarks {
                signal: pointed.signal,
                value: pointed.value,
            },
            Way::Between(signal, value) => Why::BetweenWatermarks {
                signal: &signal.name,
                value,
            },
            Way::Silent(signal) | Way::Unknown(signal) => Why::NoData { signal: &signal.name },
            Way::Short(signal, value) => {
                let needed_seconds = u32::try_from(self.policy.sustained.as_secs()).unwrap_or(u32::MAX);
                let signal = &*signal.name;
                match value {
                    Some(value) => Why::NotSustained {
                        signal,
                        value,
                        needed_seconds,
                    },
                    None => Why::SustainedUnknown {
                        signal,
                        needed_seconds,
                    },
                }
            }
            Way::NoThreshold => {
                let first = answers.signals.first();
                let signal = self.first_signal();
                match first.and_then(|one| known(&one.value, volume)) {
                    Some(value) => Why::BetweenWatermarks { signal, value },
                    None => Why::NoData { signal },
                }
            }
        }
    }

    /// The signal that has gone back past its threshold by more than the hysteresis, and its value; `None` when the move still makes
    /// sense.
    ///
    /// # Errors
    /// Why that is not known now.
    pub(super) fn gone_back(
        &self,
        volume: usize,
        direction: Direction,
    ) -> Result<Option<(&'a str, f64)>, Why<'a>> {
        let Some(answers) = &self.kind.answers else {
            return Err(Why::PolicyDisabled);
        };
        if let Some(error) = &answers.trouble {
            return Err(Why::HeatUnknown { error: error.clone() });
        }
        let way = self.one_way(answers, volume, direction, true);
        match (way, self.why(answers, volume, way)) {
            (Way::Between(..) | Way::NoThreshold, Why::BetweenWatermarks { signal, value }) => {
                Ok(Some((signal, value)))
            }
            (Way::Silent(_) | Way::Unknown(_), why) => Err(why),
            _ => Ok(None),
        }
    }

    /// The signals with a threshold on a side whose values are known, with both.
    pub(super) fn thresholds(
        &self,
        volume: usize,
        direction: Direction,
    ) -> impl Iterator<Item = (&'a Signal, f64, f64)> {
        let columns = self.kind.answers.iter().flat_map(|answers| &answers.signals);
        let all = self.policy.signals.iter().zip(columns);
        all.filter_map(move |(signal, columns)| {
            let threshold = match direction {
                Direction::Hotter => signal.above,
                Direction::Colder => signal.below,
            };
            Some((signal, known(&columns.value, volume)?, threshold?))
        })
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
                    short.get_or_insert(Way::Short(signal, value));
                }
            }
            pointed.get_or_insert(Pointed {
                direction,
                signal: &signal.name,
                value,
                threshold,
            });
        }
        short.or(pointed.map(Way::Beyond)).unwrap_or(Way::NoThreshold)
    }

    fn not_excepted(
        &self,
        answers: &Answers,
        volume: usize,
        hot: Pointed<'a>,
    ) -> Result<Pointed<'a>, Why<'a>> {
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
                signal: &signal.name,
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
