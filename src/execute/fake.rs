//! A storage engine in memory, with faults in the order of a seed.
