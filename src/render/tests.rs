//! Claims about rendering.
