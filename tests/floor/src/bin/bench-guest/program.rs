//! One run of a program: its time from start to end, and all that it said.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
    process::{Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

/// What a run left.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) took: Duration,
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a program. Input and output are files, as serving a pipe would cost this program time.
pub(crate) fn run(program: &Path, arguments: &[&str], input: &str) -> io::Result<Run> {
    let [mut stdout, mut stderr] = [scratch("")?, scratch("")?];
    let mut command = Command::new(program);
    command.args(arguments).env_clear().env("LC_ALL", "C");
    command.stdin(Stdio::from(scratch(input)?)).stdout(stdout.try_clone()?).stderr(stderr.try_clone()?);
    let start = Instant::now();
    let status = command.spawn()?.wait()?;
    let took = start.elapsed();
    Ok(Run { took, status, stdout: text(&mut stdout)?, stderr: text(&mut stderr)? })
}

/// A nameless file in memory that holds this.
fn scratch(text: &str) -> io::Result<File> {
    use std::io::Write;
    let mut file = tempfile::tempfile()?;
    file.write_all(text.as_bytes())?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}

fn text(file: &mut File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
