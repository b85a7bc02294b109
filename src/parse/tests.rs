//! Claims about parsing.
