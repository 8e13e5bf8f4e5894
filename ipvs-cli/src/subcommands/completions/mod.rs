//! `completions`: what a shell needs to complete command lines.

mod args;

use clap::Command;

use crate::completions::script;
use crate::exit::Exit;
use crate::session::Session;

pub(super) use args::Completions;

pub(super) fn run(completions: &Completions, all: &Command, session: &mut Session<'_, '_>) -> Exit {
    session.display.end();
    let script = script(completions.shell, completions.program, all);
    // An error of writing is reported at the end of the run.
    let _ = session.environment.stdout.write_all(script.as_bytes());
    Exit::Success
}
