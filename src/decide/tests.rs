//! Claims about deciding.
