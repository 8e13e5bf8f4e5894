//! The host's side of a guest: start the kernel, carry its output, and end it whatever happens.

use std::{
    env,
    fs::{self, File},
    io::{self, ErrorKind, PipeReader, PipeWriter, Write},
    os::{fd::OwnedFd, unix::fs::symlink},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use command_fds::{CommandFdExt, FdMapping};
use tempfile::TempDir;

use super::{
    blocked::list_blocked_tasks,
    console::{Log, Report, find_report},
    job::{JOB_VARIABLE, Job, Streams},
    relay::{Output, each_piece, relay},
    supervisor::PRELOAD,
};
use crate::{
    cache::Cache,
    error::{Context, Error, Result},
    kernel::Kernel,
    signals, workers,
};

/// Inherited file descriptors of the kernel's process: the job's streams.
const JOB_IN: i32 = 3;
const JOB_OUT: i32 = 4;
const JOB_ERR: i32 = 5;
/// Ctrl-], as in telnet: the way out of a guest that hangs, for which Ctrl-C is a key like any
/// other.
const END_KEY: u8 = 0x1d;
/// How often the host looks whether the guest has ended.
const TICK: Duration = Duration::from_millis(5);

/// A guest about to be started.
#[derive(Debug)]
pub(crate) struct Boot<'a> {
    /// The lab's files.
    pub(crate) cache: &'a Cache,
    /// Which kernel.
    pub(crate) kernel: Kernel,
    /// Memory in megabytes; taken from the host only as it is used.
    pub(crate) memory: u32,
    /// When to give up.
    pub(crate) deadline: Duration,
    /// Where the job's stdout goes.
    pub(crate) out: Output,
    /// Where its stderr goes.
    pub(crate) err: Output,
}

/// How a guest ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The job ended by itself, with this status.
    Exited(u8),
    /// The deadline came first.
    Deadline {
        /// What the kernel said, in the end which of its tasks were blocked.
        console: String,
    },
    /// The kernel died: a panic, or it could not start.
    Died {
        /// How its process ended.
        status: ExitStatus,
        /// What it said.
        console: String,
    },
    /// Process 1 could not start the job.
    NotStarted(String),
    /// Nobody reads the output any more.
    Unread,
}

/// A directory for one guest, with a unique name; removed when dropped.
pub(crate) fn job_directory() -> Result<TempDir> {
    // The guest has a /dev of its own: nothing in the host's /dev/shm can be seen there.
    let parent = Some(env::temp_dir()).filter(|dir| !dir.starts_with("/dev")).unwrap_or_else(|| "/tmp".into());
    let dir = tempfile::Builder::new().prefix("ipvs-lab-").tempdir_in(&parent);
    let dir = dir.context(|| format!("make a directory in {}", parent.display()))?;
    let plain = |c: char| !c.is_whitespace() && !"\"'\\".contains(c);
    if !dir.path().to_string_lossy().chars().all(plain) {
        return Err(Error::PathForKernel(dir.path().to_owned()));
    }
    Ok(dir)
}

/// This program, as a file in the guest's directory.
///
/// A copy, because cargo may put a new build in the place of the file that is running:
/// `cargo lab test` builds this package, too.
pub(crate) fn own_program(directory: &Path) -> Result<PathBuf> {
    let program = directory.join("lab");
    if !program.exists() {
        fs::copy("/proc/self/exe", &program).context(|| format!("copy this program to {}", program.display()))?;
    }
    Ok(program)
}

impl Boot<'_> {
    /// Runs the job in a new guest. `directory` is the guest's, from [`job_directory`].
    pub(crate) fn run(&self, job: &Job, directory: &Path) -> Result<Ending> {
        signals::check()?;
        job.write(directory)?;
        let this = own_program(directory)?;
        symlink(&this, directory.join("init")).context(|| format!("link in {}", directory.display()))?;
        let terminal = matches!(job.streams, Streams::Terminal(..));
        let mut guest = self.start(&this, directory, terminal)?;
        let verdict = guest.wait(Instant::now() + self.deadline);
        if let Ok(Verdict::Deadline) = verdict {
            // Only to help: a kernel that can't answer says nothing.
            let _ = list_blocked_tasks(directory);
        }
        let status = guest.end()?;
        let console = guest.console_text();
        Ok(match (find_report(&guest.name, &console), verdict?) {
            (Some(Report::Exited(status)), _) => Ending::Exited(status),
            (Some(Report::Failed(why)), _) => Ending::NotStarted(why.to_owned()),
            (None, Verdict::Ended) => Ending::Died { status, console },
            (None, Verdict::Deadline) => Ending::Deadline { console },
            (None, Verdict::Unread) => Ending::Unread,
        })
    }

    fn start(&self, this: &Path, directory: &Path, terminal: bool) -> Result<Guest> {
        let pipe = || io::pipe().context(|| "make a pipe".into());
        let (console, console_end) = pipe()?;
        let (out, out_end) = pipe()?;
        let (err, err_end) = pipe()?;
        let mut ends: Vec<(i32, OwnedFd)> = vec![(JOB_OUT, out_end.into()), (JOB_ERR, err_end.into())];
        let mut keys = None;
        if terminal {
            let (in_end, keyboard) = pipe()?;
            ends.push((JOB_IN, in_end.into()));
            keys = Some(keyboard);
        }
        let child = self.spawn(this, directory, &console_end, ends)?;
        drop(console_end);
        let unread = Arc::new(AtomicBool::new(false));
        let log = Arc::new(Mutex::new(Log::default()));
        let relays = vec![
            collect(console, Arc::clone(&log)),
            relay(out, self.out.clone(), Arc::clone(&unread)),
            relay(err, self.err.clone(), Arc::clone(&unread)),
        ];
        keys.map(carry_keys);
        let name = name_of(directory);
        Ok(Guest { name, child, status: None, relays, log, unread })
    }

    /// Starts the kernel, with a supervisor above it that notices when this program is no more.
    fn spawn(&self, this: &Path, directory: &Path, console: &PipeWriter, ends: Vec<(i32, OwnedFd)>) -> Result<Child> {
        let keyboard = ends.iter().any(|(fd, _)| *fd == JOB_IN);
        let console = || console.try_clone().context(|| "duplicate a pipe".into());
        let tree = self.cache.kernel(self.kernel);
        let mut command = Command::new(this);
        command
            .arg("supervise")
            .arg(directory)
            .arg(tree.join("lab-bin/linux.uml"))
            .args(self.kernel_arguments(directory, keyboard));
        command.stdin(Stdio::piped()).stdout(console()?).stderr(console()?);
        command.current_dir(directory).env("HOME", directory).env("TMPDIR", self.memory_directory(directory));
        if let Some(shim) = self.cache.register_shim(self.kernel)? {
            command.env(PRELOAD, shim);
        }
        let mappings = ends.into_iter().map(|(child_fd, parent_fd)| FdMapping { parent_fd, child_fd });
        command
            .fd_mappings(mappings.collect())
            .map_err(io::Error::other)
            .context(|| "hand pipes to the kernel".into())?;
        spawn(&mut command).context(|| format!("start kernel {} from {}", self.kernel, tree.display()))
    }

    fn kernel_arguments(&self, directory: &Path, keyboard: bool) -> Vec<String> {
        let dir = directory.display();
        // A console whose input ends is hung up: without a keyboard it has none.
        let job_in = if keyboard { format!("fd:{JOB_IN}") } else { "null".into() };
        vec![
            format!("mem={}M", self.memory),
            "root=/dev/root".into(),
            "rootfstype=hostfs".into(),
            "rootflags=/".into(),
            "ro".into(),
            // Where user-mode Linux puts a control socket, by default in the user's home.
            format!("uml_dir={dir}/"),
            format!("init={dir}/init"),
            format!("{JOB_VARIABLE}={dir}"),
            "con=null".into(),
            "ssl=null".into(),
            "con0=null,fd:1".into(),
            format!("con1={job_in},fd:{JOB_OUT}"),
            format!("con2=null,fd:{JOB_ERR}"),
        ]
    }

    /// Where the guest's memory is kept: in the host's memory, unless there is too little room (a
    /// container's /dev/shm) for it and those that run side by side with it, of tests on this
    /// machine as many as of test programs. A page that finds no room kills the kernel.
    fn memory_directory(&self, otherwise: &Path) -> PathBuf {
        let shm = Path::new("/dev/shm");
        let at_a_time = workers::guests_at_a_time() + workers::at_a_time();
        let wanted = u64::from(self.memory) * at_a_time as u64;
        let roomy = rustix::fs::statvfs(shm).is_ok_and(|stat| {
            let free = stat.f_bavail * stat.f_frsize / (1 << 20);
            free > wanted && !stat.f_flag.contains(rustix::fs::StatVfsMountFlags::NOEXEC)
        });
        let writable = roomy && rustix::fs::access(shm, rustix::fs::Access::WRITE_OK).is_ok();
        if writable { shm.to_owned() } else { otherwise.to_owned() }
    }
}

/// Starts a program whose file this process wrote a moment ago.
///
/// Where another thread was starting a program meanwhile, the new process has the file open until
/// it has become that program, and nothing can run the file: on a busy machine that takes a while.
fn spawn(command: &mut Command) -> io::Result<Child> {
    const PATIENCE: Duration = Duration::from_secs(60);
    let end = Instant::now() + PATIENCE;
    loop {
        match command.spawn() {
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy && Instant::now() < end => thread::sleep(TICK),
            spawned => return spawned,
        }
    }
}

enum Verdict {
    Ended,
    Deadline,
    Unread,
}

/// A running guest. Whatever happens, dropping it ends the kernel.
struct Guest {
    name: String,
    child: Child,
    status: Option<ExitStatus>,
    relays: Vec<JoinHandle<()>>,
    log: Arc<Mutex<Log>>,
    unread: Arc<AtomicBool>,
}

impl Guest {
    fn wait(&mut self, deadline: Instant) -> Result<Verdict> {
        loop {
            self.status = self.child.try_wait().context(|| "wait for the kernel".into())?;
            if self.status.is_some() {
                return Ok(Verdict::Ended);
            }
            if self.unread.load(Ordering::Relaxed) {
                return Ok(Verdict::Unread);
            }
            if Instant::now() >= deadline {
                return Ok(Verdict::Deadline);
            }
            signals::check()?;
            thread::sleep(TICK);
        }
    }

    /// Ends every process of the guest and waits until all its output has been carried.
    fn end(&mut self) -> Result<ExitStatus> {
        let status = match self.status {
            Some(status) => status,
            // Closes its stdin, which is the supervisor's sign to end everything.
            None => self.child.wait().context(|| "wait for the kernel".into())?,
        };
        self.status = Some(status);
        for relay in self.relays.drain(..) {
            let _ = relay.join();
        }
        Ok(status)
    }

    fn console_text(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).text()
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if self.status.is_none() {
            let _ = self.end();
        }
    }
}

fn collect(console: PipeReader, log: Arc<Mutex<Log>>) -> JoinHandle<()> {
    each_piece(console, move |bytes| log.lock().unwrap_or_else(PoisonError::into_inner).push(bytes))
}

/// Carries key presses into the guest, but for the one that ends it. The thread ends with this
/// program: a read from a terminal cannot be called off.
fn carry_keys(mut keys: PipeWriter) -> JoinHandle<()> {
    each_piece(io::stdin(), move |bytes| {
        if bytes.contains(&END_KEY) {
            signals::interrupt();
        }
        let _ = keys.write_all(bytes);
    })
}

fn name_of(directory: &Path) -> String {
    directory.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A file for a job's stdin, written into the guest's directory.
pub(crate) fn input_file(directory: &Path, contents: &[u8]) -> Result<PathBuf> {
    let path = directory.join("stdin");
    let file = File::create(&path).and_then(|mut file| file.write_all(contents));
    file.context(|| format!("write {}", path.display()))?;
    Ok(path)
}
