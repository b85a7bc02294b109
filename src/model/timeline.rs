//! Times at an even distance.

/// Times at an even distance, in seconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first.
    pub first: i64,
    /// The last; a whole number of steps later.
    pub last: i64,
    /// What lies between two.
    pub step: i64,
}

impl Span {
    /// One time only.
    pub fn once(at: i64, step: i64) -> Self {
        Self {
            first: at,
            last: at,
            step: step.max(1),
        }
    }

    /// How many times there are.
    pub fn steps(self) -> i64 {
        (self.last - self.first) / self.step.max(1) + 1
    }

    /// Each time.
    pub fn times(self) -> impl Iterator<Item = i64> {
        (0..self.steps()).map(move |index| self.first + index * self.step)
    }

    /// The same in parts of at most so many times.
    pub fn parts(self, most: i64) -> Vec<Self> {
        let length = most.max(1).saturating_mul(self.step);
        let firsts = std::iter::successors(Some(self.first), |first| first.checked_add(length));
        firsts
            .take_while(|first| *first <= self.last)
            .map(|first| Self {
                first,
                last: self.last.min(first.saturating_add(length) - self.step),
                step: self.step,
            })
            .collect()
    }
}
