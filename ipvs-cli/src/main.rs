//! `ipvsadm`, `ipvsadm-save`, `ipvsadm-restore` and `ipvs-cli` in one program, selected by argv[0].
#![no_main]

mod start;

use std::ffi::OsString;
use std::io::Write;

use ipvs_cli::director::Director;
use ipvs_cli::env::Environment;
use ipvs_cli::io::{BufferedStdout, Output, Stdin};

/// Runs the command line and returns the exit status.
fn program(argv: &[OsString]) -> u8 {
    let mut stdout = BufferedStdout::default();
    let mut stderr = Output::stderr();
    let mut stdin = Stdin;
    let mut environment = Environment::of_this_process(&mut stdin, &mut stdout, &mut stderr);
    let status = ipvs_cli::run(argv, &mut environment, &mut Director::of_this_machine());
    // As in ipvsadm, a listing that could not be written is no error.
    let _ = stdout.flush();
    status
}
