//! Whether the outside may be changed now. Each client asks right before each change, so that no stage can forget to.

use std::sync::Arc;
use std::time::Duration;

/// Says how long a change that begins now may take; `None`: none may begin.
type Left = dyn Fn() -> Option<Duration> + Send + Sync;

/// Asked before each change; without a rule everything may be changed.
#[derive(Clone, Default)]
pub struct Guard(Option<Arc<Left>>);

/// It may not be changed: another controller leads, or may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not done: this controller does not lead any more")]
pub struct NotLeading;

impl Guard {
    /// A guard with a rule.
    pub fn new(left: impl Fn() -> Option<Duration> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(left)))
    }

    /// How long a change that begins now may take.
    ///
    /// # Errors
    /// [`NotLeading`] when none may begin.
    pub fn pass(&self) -> Result<Duration, NotLeading> {
        self.0
            .as_ref()
            .map_or(Some(Duration::MAX), |left| left())
            .ok_or(NotLeading)
    }
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Guard({:?})", self.pass())
    }
}
