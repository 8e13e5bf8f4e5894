//! `cargo lab`: boots real kernels with IPVS as ordinary processes, to show, try, test and measure
//! this project's tools on them. Needs no privileges; see the workspace's README.

mod bench;
mod cache;
mod cargo_tool;
mod cli;
mod commands;
mod cross;
mod emulated;
mod error;
mod guest;
mod kernel;
mod packages;
mod picture;
mod signals;
mod stage;
mod terminal;
mod web;
mod workers;
mod workspace;

use std::process::ExitCode;

use clap::Parser;

/// The lab itself failed: what `timeout`, `env` and `docker run` say in this case.
const LAB_FAILED: u8 = 125;

fn main() -> ExitCode {
    guest::init_if_process_1();
    emulated::init_if_process_1();
    let cli = cli::Cli::parse();
    match signals::catch().and_then(|()| cli.command.run()) {
        Ok(status) => status,
        Err(error) => {
            eprintln!("lab: {error}");
            ExitCode::from(LAB_FAILED)
        }
    }
}
