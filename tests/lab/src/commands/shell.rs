//! `cargo lab shell`: a director, two real servers and a client to play with.

use std::{
    io::{self, Read},
    process::ExitCode,
    time::Duration,
};

use clap::Args;

use super::scene;
use crate::{
    cli::GuestOptions,
    error::{Context, Result},
    guest::{Streams, input_file},
    stage::{Limits, Stage, conclude},
    terminal,
};

/// Long enough for a day's work; the deadline is for guests that hang with nobody there.
const DEADLINE: Duration = Duration::from_secs(24 * 60 * 60);

/// Arguments of `cargo lab shell`.
#[derive(Debug, Args)]
pub(crate) struct Shell {
    #[command(flatten)]
    guest: GuestOptions,
    /// Put the real ipvsadm into the PATH in place of `ipvs-cli`
    #[arg(long)]
    ipvsadm: bool,
}

impl Shell {
    /// Runs the shell, on the terminal or on commands from stdin.
    pub(crate) fn run(self) -> Result<ExitCode> {
        let mut raw = None;
        let streams = |stage: &Stage| match terminal::size() {
            Some((columns, rows)) => {
                raw = Some(terminal::RawMode::enter()?);
                Ok(Streams::Terminal(columns, rows))
            }
            None => Ok(Streams::Input(commands(stage)?)),
        };
        let (stage, ending) = scene::play("shell.sh", &self.guest, self.ipvsadm, streams, &Limits::through(DEADLINE))?;
        drop(raw); // before anything is printed
        Ok(conclude(stage.kernel(), ending))
    }
}

fn commands(stage: &Stage) -> Result<std::path::PathBuf> {
    let mut text = Vec::new();
    io::stdin().read_to_end(&mut text).context(|| "read commands from stdin".into())?;
    input_file(stage.directory(), &text)
}
