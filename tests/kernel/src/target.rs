//! The programs a case is played on, and the one way a case talks to them: a request in, an outcome
//! back.

use crate::case::{Case, CommandLine, Status, Transcript};
use crate::text;

use crate::traffic::Traffic;
use ipvs::{Client, Table};
use ipvs_cli::director::Director;
use ipvs_cli::env::Environment;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{ioctl_fionbio, retry_on_intr};
use rustix::thread::{CapabilitySet, remove_capability_from_bounding_set};
use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

/// How often a program is looked at that has closed its output but has not ended.
const LOOK_AGAIN: Duration = Duration::from_micros(100);

/// How long the pipes of a program are read that had to be ended.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// `@powerless COMMAND` runs the command as a root that may not administer the network.
///
/// Not as another user, because the programs may lie where only root gets.
pub const POWERLESS: &str = "@powerless";

/// Which implementation plays a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The original `ipvsadm`, the program `$IPVSADM`, with its wrapper scripts beside it.
    Ipvsadm,
    /// `ipvs-cli`, the program `$IPVS_CLI`.
    IpvsCli,
    /// `ipvs-cli`, in this process, on an in-memory kernel.
    Fake,
}

impl Target {
    /// The name in front of a trial's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ipvsadm => "ipvsadm",
            Self::IpvsCli => "ipvs-cli",
            Self::Fake => "fake",
        }
    }

    /// Can it play this case? Only a real kernel has packets and other programs.
    #[must_use]
    pub fn plays(self, case: &Case) -> bool {
        let playable = || case.steps.iter().all(|step| InProcess::runs(&step.command));
        self != Self::Fake || (!case.needs_kernel && !case.needs_names && playable())
    }

    /// The program's path.
    ///
    /// # Errors
    /// The variable that names it is not set, or the target is none.
    pub fn program(self) -> Result<PathBuf, TargetError> {
        let (variable, meaning) = match self {
            Self::Fake => return Err(TargetError::NoProgram),
            Self::Ipvsadm => ("IPVSADM", "the original ipvsadm, with its wrapper scripts beside it"),
            Self::IpvsCli => ("IPVS_CLI", "the ipvs-cli to be tested"),
        };
        env::var_os(variable).map(PathBuf::from).ok_or(TargetError::NotNamed { variable, meaning })
    }

    /// Starts a session: what one case does to this target.
    ///
    /// # Errors
    /// The program is not known.
    pub fn session(self) -> Result<Box<dyn Session>, TargetError> {
        Ok(match self {
            Self::Fake => Box::new(InProcess::new()),
            _ => Box::new(Programs { target: self, program: self.program()?, traffic: Traffic::default() }),
        })
    }
}

/// Why a target cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// A variable is missing.
    #[error("set {variable} to the path of {meaning}")]
    NotNamed {
        /// The variable's name.
        variable: &'static str,
        /// What it must name.
        meaning: &'static str,
    },
    /// The in-memory kernel's commands run in this process.
    #[error("the in-memory kernel is no program")]
    NoProgram,
    /// A program cannot be started.
    #[error("cannot start {}: {error}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The pipes to a program broke in a way that is not the program's doing.
    #[error("cannot talk to the program: {0}")]
    Pipe(#[from] io::Error),
}

/// One command to run.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The command line.
    pub command: &'a CommandLine,
    /// What it reads.
    pub stdin: &'a [u8],
    /// After this time it is ended.
    pub deadline: Duration,
}

/// What a command did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// The end.
    pub status: Status,
}

impl Outcome {
    /// The same as lines to be read and compared.
    #[must_use]
    pub fn transcript(&self) -> Transcript {
        Transcript { stdout: text::to_lines(&self.stdout), stderr: text::to_lines(&self.stderr), status: self.status }
    }
}

/// What keeps its state between the commands of one case: here the kernel of the thread's network
/// namespace.
pub trait Session {
    /// Runs one command.
    ///
    /// # Errors
    /// The command could not be run at all; what it says itself is an [`Outcome`].
    fn run(&mut self, request: Request<'_>) -> Result<Outcome, TargetError>;
}

/// Our program as a function, on an in-memory kernel that lasts as long as the case.
struct InProcess {
    kernel: Director,
}

impl InProcess {
    fn new() -> Self {
        InProcess { kernel: Director::with(Client::fake(Table::new())) }
    }

    /// Is this a command for it? Variables and files belong to real processes.
    fn runs(line: &CommandLine) -> bool {
        line.env.is_empty() && line.stdout.is_none()
    }
}

impl Session for InProcess {
    fn run(&mut self, request: Request<'_>) -> Result<Outcome, TargetError> {
        let (mut stdin, mut stdout, mut stderr) = (request.stdin, Vec::new(), Vec::new());
        let mut environment = Environment::new(&mut stdin, &mut stdout, &mut stderr);
        let status = ipvs_cli::run(&request.command.argv, &mut environment, &mut self.kernel);
        Ok(Outcome { stdout, stderr, status: Status::Exit(status.into()) })
    }
}

/// Real programs on a real kernel.
struct Programs {
    target: Target,
    program: PathBuf,
    traffic: Traffic,
}

impl Session for Programs {
    fn run(&mut self, request: Request<'_>) -> Result<Outcome, TargetError> {
        if let Some(outcome) = self.traffic.run(&request.command.argv) {
            return Ok(outcome);
        }
        let mut command = self.command(request.command);
        command.stdout(stdout(request.command)?);
        let powerless = request.command.argv.first().is_some_and(|word| word == POWERLESS);
        let spawn = if powerless { spawn_powerless } else { Command::spawn };
        execute(command, spawn, request.stdin, request.deadline)
    }
}

/// Runs a program to its end, or for as long as it may take. The command says where its standard
/// output goes: into a pipe, to be collected, or elsewhere.
///
/// # Errors
/// The program could not be run at all.
pub fn execute(
    mut command: Command,
    spawn: impl FnOnce(&mut Command) -> io::Result<Child>,
    stdin: &[u8],
    deadline: Duration,
) -> Result<Outcome, TargetError> {
    command.stdin(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let child = spawn(&mut command);
    let child = child.map_err(|error| TargetError::Start { program: command.get_program().into(), error })?;
    // The command holds its own copy of what stands behind `>`.
    drop(command);
    Ok(attend(child, stdin, deadline)?)
}

impl Programs {
    fn command(&self, line: &CommandLine) -> Command {
        let skip = usize::from(line.argv.first().is_some_and(|word| word == POWERLESS));
        let argv = &line.argv[skip..];
        let typed = argv.first().map_or(OsStr::new(""), |word| word.as_os_str());
        let mut command = Command::new(self.resolve(Path::new(typed)));
        command.arg0(typed).args(argv.iter().skip(1));
        command.env_remove("POSIXLY_CORRECT").env_remove("POSIX_ME_HARDER").envs(line.env.iter().map(|(k, v)| (k, v)));
        command
    }

    /// The file that a typed program name stands for.
    fn resolve(&self, typed: &Path) -> PathBuf {
        let name = typed.file_name().and_then(OsStr::to_str);
        match (self.target, name) {
            (_, Some("ipvsadm")) => self.program.clone(),
            (Target::IpvsCli, Some("ipvsadm-save" | "ipvsadm-restore")) => self.program.clone(),
            (Target::Ipvsadm, Some(script @ ("ipvsadm-save" | "ipvsadm-restore"))) => {
                self.program.with_file_name(script)
            }
            _ => typed.to_path_buf(),
        }
    }
}

/// Starts the program from a thread that has given up the right for good; the thread ends with it.
fn spawn_powerless(command: &mut Command) -> io::Result<Child> {
    let start = || {
        remove_capability_from_bounding_set(CapabilitySet::NET_ADMIN)?;
        command.spawn()
    };
    thread::scope(|scope| scope.spawn(start).join()).unwrap_or_else(|_| Err(io::Error::other("the thread panicked")))
}

fn stdout(line: &CommandLine) -> io::Result<Stdio> {
    match line.stdout.as_deref() {
        None => Ok(Stdio::piped()),
        Some(path) if path == Path::new("@closed") => Ok(io::pipe()?.1.into()),
        Some(path) => Ok(OpenOptions::new().write(true).open(path)?.into()),
    }
}

/// Feeds a program, collects what it prints, and ends it when its time is over.
///
/// One thread does it all: starting one takes as long as starting a program, in a guest.
fn attend(mut child: Child, input: &[u8], deadline: Duration) -> io::Result<Outcome> {
    let end = Instant::now() + deadline;
    let mut pipes = Pipes::of(&mut child, input)?;
    pipes.serve(end)?;
    let status = wait(&mut child, end)?;
    if status == Status::NoAnswer {
        // What it had written before.
        pipes.serve(Instant::now() + LAST_WORDS)?;
    }
    let Pipes { stdout, stderr, .. } = pipes;
    Ok(Outcome { stdout: stdout.bytes, stderr: stderr.bytes, status })
}

/// Our ends of a program's three streams; those at their end are gone.
struct Pipes<'a> {
    stdin: Option<ChildStdin>,
    input: &'a [u8],
    stdout: Reader<ChildStdout>,
    stderr: Reader<ChildStderr>,
}

struct Reader<R> {
    pipe: Option<R>,
    bytes: Vec<u8>,
}

impl<'a> Pipes<'a> {
    fn of(child: &mut Child, input: &'a [u8]) -> io::Result<Self> {
        let stdin = child.stdin.take().filter(|_| !input.is_empty());
        if let Some(pipe) = &stdin {
            ioctl_fionbio(pipe, true)?;
        }
        let stdout = Reader { pipe: child.stdout.take(), bytes: Vec::new() };
        Ok(Self { stdin, input, stdout, stderr: Reader { pipe: child.stderr.take(), bytes: Vec::new() } })
    }

    /// Until the program has closed what it prints to, or the time is over.
    fn serve(&mut self, end: Instant) -> io::Result<()> {
        while self.stdout.pipe.is_some() || self.stderr.pipe.is_some() {
            let [write, out, err] = self.wait(end)?;
            if !(write || out || err) {
                break;
            }
            if write {
                self.feed();
            }
            if out {
                self.stdout.read()?;
            }
            if err {
                self.stderr.read()?;
            }
        }
        Ok(())
    }

    /// Which of them can go on; none when the time is over.
    fn wait(&self, end: Instant) -> io::Result<[bool; 3]> {
        let left = end.saturating_duration_since(Instant::now());
        let left = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
        let fds = [
            self.stdin.as_ref().map(|pipe| (pipe.as_fd(), PollFlags::OUT)),
            self.stdout.pipe.as_ref().map(|pipe| (pipe.as_fd(), PollFlags::IN)),
            self.stderr.pipe.as_ref().map(|pipe| (pipe.as_fd(), PollFlags::IN)),
        ];
        let mut polled: Vec<PollFd<'_>> =
            fds.iter().flatten().map(|(fd, flags)| PollFd::from_borrowed_fd(*fd, *flags)).collect();
        retry_on_intr(|| poll(&mut polled, Some(&left)))?;
        let mut ready = polled.iter().map(|fd| !fd.revents().is_empty());
        Ok(fds.map(|fd| fd.is_some() && ready.next().unwrap_or(false)))
    }

    /// Writes what goes into the pipe.
    fn feed(&mut self) {
        let Some(pipe) = &mut self.stdin else { return };
        match pipe.write(self.input) {
            Ok(count) => self.input = &self.input[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            // A program need not read its input to the end, so a broken pipe is no fault.
            Err(_) => self.input = &[],
        }
        if self.input.is_empty() {
            self.stdin = None;
        }
    }
}

impl<R: Read> Reader<R> {
    fn read(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        let count = self.pipe.as_mut().map_or(Ok(0), |pipe| pipe.read(&mut buffer))?;
        self.bytes.extend_from_slice(&buffer[..count]);
        if count == 0 {
            self.pipe = None;
        }
        Ok(())
    }
}

/// Waits for the end itself, which comes soon after both streams are closed.
fn wait(child: &mut Child, end: Instant) -> io::Result<Status> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.code().map_or_else(|| Status::Signal(status.signal().unwrap_or(0)), Status::Exit));
        }
        if Instant::now() >= end {
            // The whole group: a wrapper script's child holds the pipes, too.
            killpg(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL)?;
            child.wait()?;
            return Ok(Status::NoAnswer);
        }
        thread::sleep(LOOK_AGAIN);
    }
}
