//! Starts couchestor: everything is in the library.

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    couchestor::cli::main(couchestor::cli::Cli::parse())
}
