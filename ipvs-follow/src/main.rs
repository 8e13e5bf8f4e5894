//! Keeps an IPVS director as a source says.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(ipvs_follow::run(std::env::args_os()))
}
