//! `cargo debian`: builds the packages of ipvs-cli.
//!
//! Manual pages and completions are those of `ipvs-cli man` and `ipvs-cli completions`.
//! `packaging/common`, `packaging/debian` and `packaging/redhat` have what is shipped as it stands.

mod archive;
mod build;
mod cli;
mod clock;
mod contents;
mod control;
mod error;
mod manual;
mod tree;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match cli::Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("packaging: {error}");
            ExitCode::FAILURE
        }
    }
}
