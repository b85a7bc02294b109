//! Files that do not open: changed, moved, cut, sealed to others.
