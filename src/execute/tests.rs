//! Claims about executing.
