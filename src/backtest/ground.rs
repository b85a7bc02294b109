//! What all strategies have in common: the volumes that policies take, the tiers, their prices, and how a placement is judged.

use crate::decide;
use crate::model::desired::Desired;
use crate::model::engine::GIB;
use crate::model::ids::TierName;
use crate::model::observation::{Backing, MayastorVolume, Observation};

/// The tier of each volume by its place in [`Ground::tiers`]; `None` for one that is on no tier, or on several.
pub(super) type Placed = Vec<Option<usize>>;

/// A volume that a policy takes.
pub(super) struct Taken {
    /// Bytes of all copies.
    pub(super) bytes: u64,
    /// The policy's tiers from the coldest to the hottest.
    pub(super) ladder: Vec<usize>,
    /// How long it rests after a move, in seconds.
    pub(super) cooldown: u64,
    /// Whether it could be moved at all as it is now.
    pub(super) movable: bool,
    /// When it was made, in seconds since the epoch; always there when that is not known.
    created: Option<i64>,
}

impl Taken {
    /// Whether it was there at that time, in seconds since the epoch.
    pub(super) fn exists(&self, at: i64) -> bool {
        self.created.is_none_or(|created| created <= at)
    }
}

/// What all strategies have in common.
pub(super) struct Ground {
    /// In order of name.
    pub(super) tiers: Vec<TierName>,
    prices: Vec<Option<f64>>,
    /// In the order of the observation; `None` for what no policy takes.
    pub(super) volumes: Vec<Option<Taken>>,
}

impl Ground {
    pub(super) fn of(desired: &Desired, observation: &Observation) -> Self {
        let tiers: Vec<TierName> = desired.tiers.keys().cloned().collect();
        let takers = decide::takers(desired, observation);
        let volumes = observation.volumes.iter().zip(takers).map(|(bound, taker)| {
            let policy = taker.filter(|policy| policy.enabled)?;
            let Backing::Mayastor(volume) = &bound.backing else {
                return None;
            };
            let place = |name: &TierName| tiers.binary_search(name).ok();
            Some(Taken {
                bytes: bytes(volume),
                ladder: policy.tiers.iter().filter_map(place).collect(),
                cooldown: policy.cooldown.as_secs(),
                movable: volume.unfit.is_none() && bound.pin.is_none(),
                created: bound.created.map(std::num::NonZeroI64::get),
            })
        });
        Self {
            volumes: volumes.collect(),
            prices: desired
                .tiers
                .values()
                .map(|tier| tier.cost_per_gib_month)
                .collect(),
            tiers,
        }
    }

    pub(super) fn placed(&self, desired: &Desired, world: &Observation) -> Placed {
        let places = decide::placements(desired, world);
        let number = |name: Option<&TierName>| self.tiers.binary_search(name?).ok();
        places.into_iter().map(number).collect()
    }

    /// The volumes that policies take, with their place in the observation.
    pub(super) fn taken(&self) -> impl Iterator<Item = (usize, &Taken)> {
        let all = self.volumes.iter().enumerate();
        all.filter_map(|(index, taken)| Some((index, taken.as_ref()?)))
    }

    /// Operations per second in all, and those that the hottest tier of each volume's policy serves.
    pub(super) fn served(&self, placed: &Placed, load: &[f64]) -> (f64, f64) {
        let mut sums = (0.0, 0.0);
        for (index, taken) in self.taken() {
            let Some(rate) = load.get(index).filter(|rate| rate.is_finite()) else {
                continue;
            };
            sums.0 += rate;
            if placed[index].is_some() && placed[index] == taken.ladder.last().copied() {
                sums.1 += rate;
            }
        }
        sums
    }

    /// What a placement costs in a month; `None` when a price is not known.
    pub(super) fn cost(&self, placed: &Placed) -> Option<f64> {
        let mut sum = 0.0;
        for (index, taken) in self.taken() {
            sum += self.prices[placed[index]?]? * taken.bytes as f64 / GIB as f64;
        }
        Some(sum)
    }
}

/// Bytes of all copies of a volume.
pub(super) fn bytes(volume: &MayastorVolume) -> u64 {
    volume.size.saturating_mul(u64::from(volume.wanted_copies))
}

/// What a strategy came to, evaluation by evaluation.
#[derive(Default)]
pub(super) struct Tally {
    all: f64,
    hot: f64,
    cost: Option<f64>,
    steps: u32,
    /// The share of each step; `None` when no load is known.
    pub(super) shares: Vec<Option<f64>>,
}

impl Tally {
    /// Counts the time before an evaluation.
    pub(super) fn add(&mut self, ground: &Ground, placed: &Placed, load: &[f64]) {
        let (all, hot) = ground.served(placed, load);
        (self.all, self.hot) = (self.all + all, self.hot + hot);
        self.shares.push((all > 0.0).then(|| hot / all));
        let cost = ground.cost(placed);
        self.cost = match self.steps {
            0 => cost,
            _ => self.cost.zip(cost).map(|(sum, more)| sum + more),
        };
        self.steps += 1;
    }

    /// Part of all operations that the hottest tier served.
    pub(super) fn share(&self) -> Option<f64> {
        (self.all > 0.0).then(|| self.hot / self.all)
    }

    /// Sums of operations per second: all, and those of the hottest tier.
    pub(super) fn sums(&self) -> (f64, f64) {
        (self.all, self.hot)
    }

    /// Mean cost of a month.
    pub(super) fn monthly_cost(&self) -> Option<f64> {
        Some(self.cost? / f64::from(self.steps.max(1)))
    }
}
