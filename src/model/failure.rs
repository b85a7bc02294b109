//! What kind of failure an error is: that alone decides when the work is tried again and how loudly it is said.

/// The class of a failure, after Flux's stalling, waiting and generic errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A person must change something; trying again changes nothing.
    Stalled,
    /// Something else has to happen first and will happen by itself; look again at the usual interval.
    Waiting,
    /// The world hiccupped; try again soon, with growing pauses.
    Retry,
}

/// An error that knows its class and its reason.
pub trait Failure: std::error::Error {
    /// The class, which decides the requeue.
    fn class(&self) -> Class;
    /// The reason as Kubernetes conditions write it: one CamelCase word.
    fn reason(&self) -> &'static str;
}
