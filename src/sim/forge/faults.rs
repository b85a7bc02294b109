//! What goes wrong with a simulated forge, by order or from a seed.

use std::collections::BTreeMap;
use std::time::Duration;

/// One thing that goes wrong with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// It is done and the answer is cut off.
    LostReply,
    /// It is done and the answer is 502.
    ErrorAfter,
    /// It is done and the answer comes too late.
    Slow(Duration),
    /// It is not done and the answer is 500.
    ErrorBefore,
    /// It is not done and the connection is cut.
    Cut,
    /// A list shows what it showed before the last change.
    Stale,
    /// Somebody else does the same a moment earlier: it is done, and refused with "already exists".
    Race,
    /// It is not done: 429 with so many seconds of `retry-after`.
    TooMany(u32),
    /// It is not done: GitHub's 403 of its secondary limit.
    Secondary(u32),
}

/// What was ordered.
#[derive(Default)]
pub(super) struct Faults {
    ordered: BTreeMap<usize, Fault>,
    random: Option<Random>,
    count: usize,
    happened: Vec<String>,
}

struct Random {
    state: u64,
    one_in: u64,
    of: Vec<Fault>,
}

impl Random {
    /// SplitMix64, so that a seed is all that a test has to print.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

impl Faults {
    /// Orders a fault for a request to come; 0 is the next one.
    pub(super) fn order(&mut self, after: usize, fault: Fault) {
        self.ordered.insert(self.count + after, fault);
    }

    /// Orders faults by chance.
    pub(super) fn chance(&mut self, seed: u64, one_in: u64, of: &[Fault]) {
        self.random = (one_in > 0 && !of.is_empty()).then(|| Random {
            state: seed,
            one_in,
            of: of.to_vec(),
        });
    }

    pub(super) fn none(&mut self) {
        self.ordered.clear();
        self.random = None;
    }

    /// The fault of the request that just came.
    pub(super) fn take(&mut self, request: &str) -> Option<Fault> {
        let at = self.count;
        self.count += 1;
        let fault = self.ordered.remove(&at).or_else(|| {
            let random = self.random.as_mut()?;
            if random.next() % random.one_in != 0 {
                return None;
            }
            let at = usize::try_from(random.next() % random.of.len() as u64).unwrap_or(0);
            random.of.get(at).copied()
        });
        if let Some(fault) = fault {
            self.happened.push(format!("{request}: {fault:?}"));
        }
        fault
    }

    pub(super) fn happened(&self) -> Vec<String> {
        self.happened.clone()
    }
}
