//! Objects that the API server refuses, quoting them.
