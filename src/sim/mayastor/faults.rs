//! What goes wrong between a caller and the simulated Mayastor, by order or from a seed.

use super::calls::Refusal;
use super::show::View;
use super::state::State;
use std::collections::BTreeMap;
use std::time::Duration;

/// A route, as far as faults tell routes apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Route {
    /// The list of volumes.
    Volumes,
    /// One volume.
    Volume,
    /// A volume's rebuilds.
    RebuildHistory,
    /// Pools.
    Pools,
    /// Nodes.
    Nodes,
    /// Snapshots.
    Snapshots,
    /// `/specs`.
    Specs,
    /// A change of a replica count.
    ReplicaCount,
    /// A pool's cordon.
    CordonPool,
    /// Its end.
    UncordonPool,
    /// A node's cordon.
    CordonNode,
    /// Its end.
    UncordonNode,
    /// Labels, targets, properties, snapshots that are taken: the other changes.
    Other,
}

impl Route {
    /// Those that read.
    pub const READS: [Self; 7] = [
        Self::Volumes,
        Self::Volume,
        Self::RebuildHistory,
        Self::Pools,
        Self::Nodes,
        Self::Snapshots,
        Self::Specs,
    ];

    /// Those that change something.
    pub const CHANGES: [Self; 6] = [
        Self::ReplicaCount,
        Self::CordonPool,
        Self::UncordonPool,
        Self::CordonNode,
        Self::UncordonNode,
        Self::Other,
    ];

    /// Whether it only reads.
    pub fn reads(self) -> bool {
        Self::READS.contains(&self)
    }
}

/// Which call; counting starts with the next one, at 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum At {
    /// The nth call that changes something.
    Change(u64),
    /// The nth call that reads.
    Read(u64),
    /// The nth call of a route.
    Route(Route, u64),
}

/// How old a read's answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stale {
    /// As before the last so many changes.
    Changes(usize),
    /// As it was so long ago.
    Time(Duration),
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum How {
    /// Not done; 503.
    Unavailable,
    /// Done; 503.
    DoneButUnavailable,
    /// Not done; 408.
    Timeout,
    /// Done; 408.
    DoneButTimeout,
    /// Done; 504.
    DoneButDeadlineExceeded,
    /// Not done; 409.
    Conflict,
    /// Not done; 507.
    Exhausted,
    /// Not done; the connection is closed without an answer.
    CutBefore,
    /// Done; the connection is closed without an answer.
    CutAfter,
    /// Done; half of the answer comes.
    Torn,
    /// Done, and answered, after so long.
    Late(Duration),
    /// A read tells of the past. A change is done as if nothing were wrong.
    Stale(Stale),
}

impl How {
    /// Every way in which a change can go wrong: on either side of its being done, answered or not.
    pub const OF_CHANGES: [Self; 10] = [
        Self::Unavailable,
        Self::DoneButUnavailable,
        Self::Timeout,
        Self::DoneButTimeout,
        Self::DoneButDeadlineExceeded,
        Self::Conflict,
        Self::Exhausted,
        Self::CutBefore,
        Self::CutAfter,
        Self::Torn,
    ];

    /// The refusal with which the call ends before it is done.
    fn before(self) -> Option<Refusal> {
        let (status, kind) = match self {
            Self::Unavailable => (503, "Unavailable"),
            Self::Timeout => (408, "Timeout"),
            Self::Conflict => (409, "Conflict"),
            Self::Exhausted => (507, "ResourceExhausted"),
            Self::CutBefore => return Some(Refusal::unanswered()),
            _ => return None,
        };
        Some(Refusal::new(status, kind, "ordered by a test; not done"))
    }

    /// The refusal with which the call ends after it is done.
    fn after(self) -> Option<Refusal> {
        let (status, kind) = match self {
            Self::DoneButUnavailable => (503, "Unavailable"),
            Self::DoneButTimeout => (408, "Timeout"),
            Self::DoneButDeadlineExceeded => (504, "DeadlineExceeded"),
            Self::CutAfter | Self::Torn => return Some(Refusal::unanswered()),
            _ => return None,
        };
        Some(Refusal::new(status, kind, "ordered by a test; done"))
    }
}

/// A fault that a test orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fault {
    /// Which call it befalls.
    pub at: At,
    /// What happens to it.
    pub how: How,
}

/// SplitMix64, so that a seed is all that a test has to print.
#[derive(Clone, Debug)]
struct Chance {
    state: u64,
    one_in: u64,
    of: Vec<How>,
}

impl Chance {
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// What was ordered, and what came of it.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    ordered: BTreeMap<At, How>,
    chance: Option<Chance>,
    changes: u64,
    reads: u64,
    routes: BTreeMap<Route, u64>,
    /// Faults that have befallen calls, in order.
    pub happened: Vec<(Route, How)>,
}

impl Faults {
    /// Orders a fault for a call to come.
    pub fn order(&mut self, fault: Fault) {
        let at = match fault.at {
            At::Change(after) => At::Change(self.changes + after),
            At::Read(after) => At::Read(self.reads + after),
            At::Route(route, after) => {
                At::Route(route, self.routes.get(&route).copied().unwrap_or(0) + after)
            }
        };
        self.ordered.insert(at, fault.how);
    }

    /// Lets one call in so many go wrong in one of these ways, out of a seed.
    pub fn by_chance(&mut self, seed: u64, one_in: u64, of: &[How]) {
        self.chance = (one_in > 0 && !of.is_empty()).then(|| Chance {
            state: seed,
            one_in,
            of: of.to_vec(),
        });
    }

    /// Takes back what was ordered and has not happened yet.
    pub fn none(&mut self) {
        self.ordered.clear();
        self.chance = None;
    }

    /// Calls that changed something, or tried to, since the start.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// The fault of a call that has just come.
    pub(super) fn take(&mut self, route: Route) -> Option<How> {
        let of_route = self.routes.entry(route).or_default();
        let by_route = At::Route(route, *of_route);
        *of_route += 1;
        let count = if route.reads() {
            &mut self.reads
        } else {
            &mut self.changes
        };
        let by_count = if route.reads() {
            At::Read(*count)
        } else {
            At::Change(*count)
        };
        *count += 1;
        let (first, second) = (self.ordered.remove(&by_route), self.ordered.remove(&by_count));
        let how = first.or(second).or_else(|| {
            let chance = self.chance.as_mut()?;
            if chance.next() % chance.one_in != 0 {
                return None;
            }
            let pick = usize::try_from(chance.next() % chance.of.len() as u64).unwrap_or(0);
            chance.of.get(pick).copied()
        })?;
        self.happened.push((route, how));
        Some(how)
    }
}

impl State {
    /// Orders a fault.
    pub fn order(&mut self, at: At, how: How) {
        if matches!(how, How::Stale(_)) {
            self.remember_past();
        }
        self.faults.order(Fault { at, how });
    }

    /// The fault of a call that has just come. People and reconcilers have none.
    pub(super) fn fault(&mut self, route: Route) -> Option<How> {
        self.is_under_test().then(|| self.faults.take(route)).flatten()
    }

    /// Makes a call of a route, with the fault that was ordered for it.
    pub(super) fn call<T>(
        &mut self,
        route: Route,
        act: impl FnOnce(&mut Self) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let how = self.fault(route);
        if let Some(How::Late(time)) = how {
            let now = self.now();
            self.advance(now + time);
        }
        self.under(how, act)
    }

    /// Makes a call with a fault.
    pub(super) fn under<T>(
        &mut self,
        how: Option<How>,
        act: impl FnOnce(&mut Self) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        if let Some(refusal) = how.and_then(How::before) {
            return Err(refusal);
        }
        let done = act(self)?;
        match how.and_then(How::after) {
            Some(refusal) => Err(refusal),
            None => Ok(done),
        }
    }

    /// Reads as the API's `GET` of a route does: with the fault that was ordered for it, and as late as `lag` says.
    ///
    /// # Errors
    /// The fault that was ordered.
    pub fn read<T>(&mut self, route: Route, look: impl FnOnce(View<'_>) -> T) -> Result<T, Refusal> {
        let how = self.fault(route);
        if let Some(How::Late(time)) = how {
            self.pass(time);
        }
        self.read_under(how, look)
    }

    /// Reads with a fault.
    pub(super) fn read_under<T>(
        &mut self,
        how: Option<How>,
        look: impl FnOnce(View<'_>) -> T,
    ) -> Result<T, Refusal> {
        let stale = match how {
            Some(How::Stale(stale)) => Some(stale),
            _ => self.lag,
        };
        self.under(how, |state| {
            Ok(look(match stale {
                Some(stale) => state.view_of(stale),
                None => state.view(),
            }))
        })
    }

    /// From now on every read is so old; `None` is as it should be.
    pub fn set_lag(&mut self, lag: Option<Stale>) {
        if lag.is_some() {
            self.remember_past();
        }
        self.lag = lag;
    }
}
