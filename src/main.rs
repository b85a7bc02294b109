//! Starts couchestor: everything is in the library.

fn main() {}
