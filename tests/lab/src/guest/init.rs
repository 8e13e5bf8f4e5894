//! Process 1 of the guest: lays out file systems and streams, runs the job, reports how it ended,
//! powers off.
//!
//! The kernel starts it with this machine's files as the root file system. They are left at once:
//! the job's root directory is the lab's small Debian, and of this machine it has only the paths
//! that the job names.

use std::{
    env,
    ffi::CString,
    fs,
    fs::{File, OpenOptions, Permissions},
    io::{self, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::{
            fs::{PermissionsExt, symlink},
            process::{CommandExt, ExitStatusExt},
        },
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use rustix::{
    mount::{
        MountFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount, mount_remount, move_mount, open_tree, unmount,
    },
    process::{WaitOptions, pivot_root, wait},
    system::{RebootCommand, reboot, sethostname},
    termios::{OptionalActions, Winsize, tcdrain, tcgetattr, tcsetattr, tcsetwinsize},
};

use super::{
    console::{Report, ending_line},
    job::{JOB_VARIABLE, Job, Streams},
};
use crate::error::{Context, Error, Result};

/// Directories that are empty and writable in the guest.
pub(crate) const SCRATCH: [&str; 3] = ["/tmp", "/var/tmp", "/run"];

/// Does not return in a guest's process 1; does nothing anywhere else.
pub(crate) fn init_if_process_1() {
    let Some(directory) = env::var_os(JOB_VARIABLE).filter(|_| std::process::id() == 1) else { return };
    let directory = PathBuf::from(directory);
    let name = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let result = Job::read(&directory).and_then(|job| run(&job));
    let line = match &result {
        Ok(status) => ending_line(&name, Report::Exited(*status)),
        Err(error) => ending_line(&name, Report::Failed(&error.to_string())),
    };
    let _ = report(&line);
    let _ = reboot(RebootCommand::PowerOff);
    // Ending process 1 is a kernel panic, which is the right way to say that even this failed.
}

fn report(line: &str) -> io::Result<()> {
    let mut console = OpenOptions::new().write(true).open("/dev/tty0")?;
    console.write_all(line.as_bytes())?;
    Ok(tcdrain(&console)?)
}

fn run(job: &Job) -> Result<u8> {
    let shown = job.keep.iter().map(|path| Shown::hold(path)).collect::<Result<Vec<_>>>()?;
    mount_system()?;
    enter_root(job)?;
    mount_system()?;
    make_scratch()?;
    for (path, shown) in job.keep.iter().zip(&shown) {
        shown.put_at(path).context(|| format!("show {}", path.display()))?;
    }
    job.writable.as_deref().map_or(Ok(()), open_to_writes)?;
    // A test that writes to it by accident would change what the next one sees.
    mount_remount("/", MountFlags::BIND | MountFlags::RDONLY, c"").context(|| "make / read-only".into())?;
    let _ = sethostname(b"lab");
    use_modprobe(job)?;
    let mut loopback = Command::new("ip");
    loopback.args(["link", "set", "lo", "up"]).envs(&job.environment);
    crate::packages::run(&mut loopback)?;
    match job.streams {
        Streams::Terminal(columns, rows) => run_on_terminal(job, columns, rows),
        _ => run_on_pipes(job),
    }
}

/// Has the kernel load modules by the lab's program: there is no other.
fn use_modprobe(job: &Job) -> Result<()> {
    let setting = "/proc/sys/kernel/modprobe";
    fs::write(setting, job.modprobe.as_os_str().as_encoded_bytes()).context(|| format!("write {setting}"))?;
    job.modules.iter().try_for_each(|module| crate::packages::run(Command::new(&job.modprobe).arg(module)))
}

/// Makes the root directory of what the lab's small Debian has and what this machine has at the
/// paths to keep. This machine's own root file system is gone then.
fn enter_root(job: &Job) -> Result<()> {
    let root = Path::new("/tmp/root");
    mount_at("tmpfs", "/tmp")?;
    fs::create_dir(root).context(|| format!("make {}", root.display()))?;
    mount_at("tmpfs", "/tmp/root")?;
    show_inside(&job.root, Path::new("/"), root, &job.keep)?;
    let change = || -> io::Result<()> {
        env::set_current_dir(root)?;
        pivot_root(".", ".")?; // the old one is over the new one now
        unmount(".", UnmountFlags::DETACH)?;
        env::set_current_dir("/")
    };
    change().context(|| "change the root directory".into())
}

/// Shows what is in `base`/`path` at the same path of `root`. A directory in which there is a path
/// to keep is one in memory, as the kernel can't make that path's place in `base`. (It could in a
/// layer over it, but Linux 5.10 opens no file of hostfs through a layer.)
fn show_inside(base: &Path, path: &Path, root: &Path, keep: &[PathBuf]) -> Result<()> {
    let of = |tree: &Path, path: &Path| tree.join(path.strip_prefix("/").unwrap_or(path));
    let directory = of(base, path);
    let entries = fs::read_dir(&directory).context(|| format!("read {}", directory.display()))?;
    for entry in entries.flatten() {
        let path = path.join(entry.file_name());
        let (from, to) = (entry.path(), of(root, &path));
        let show = || -> io::Result<bool> {
            let kind = entry.metadata()?;
            if kind.is_symlink() {
                symlink(fs::read_link(&from)?, &to)?;
            } else if kind.is_dir() && keep.iter().any(|kept| kept.starts_with(&path)) {
                fs::create_dir(&to)?;
                fs::set_permissions(&to, kind.permissions())?;
                return Ok(true);
            } else {
                Shown::hold(&from).map_err(io::Error::other)?.put_at(&to)?;
            }
            Ok(false)
        };
        if show().context(|| format!("show {}", from.display()))? {
            show_inside(base, &path, root, keep)?;
        }
    }
    Ok(())
}

pub(crate) fn mount_system() -> Result<()> {
    match mount_at("devtmpfs", "/dev") {
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::ResourceBusy => {} // the kernel has done it already
        mounted => mounted?,
    }
    mount_at("proc", "/proc")?;
    mount_at("sysfs", "/sys")?;
    for (kind, path) in [("devpts", "/dev/pts"), ("tmpfs", "/dev/shm")] {
        fs::create_dir_all(path).context(|| format!("make {path}"))?;
        mount_at(kind, path)?;
    }
    for (target, link) in [("/proc/self/fd", "fd"), ("fd/0", "stdin"), ("fd/1", "stdout"), ("fd/2", "stderr")] {
        let link = Path::new("/dev").join(link);
        if !link.exists() {
            symlink(target, &link).context(|| format!("link {}", link.display()))?;
        }
    }
    Ok(())
}

fn mount_at(kind: &str, path: &str) -> Result<()> {
    mount(kind, path, kind, MountFlags::empty(), None::<&std::ffi::CStr>).context(|| format!("mount {kind} on {path}"))
}

pub(crate) fn make_scratch() -> Result<()> {
    for path in SCRATCH {
        mount_at("tmpfs", path)?;
    }
    // As on other machines: a tmpfs is everybody's to write to, and /run is root's.
    fs::set_permissions("/run", Permissions::from_mode(0o755)).context(|| "set the mode of /run".into())?;
    for path in ["/run/lock", "/run/netns", "/tmp/home"] {
        fs::create_dir_all(path).context(|| format!("make {path}"))?;
    }
    Ok(())
}

/// A file or directory of this machine that the guest has, too.
struct Shown {
    tree: OwnedFd,
    is_dir: bool,
}

impl Shown {
    fn hold(path: &Path) -> Result<Self> {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
        let tree = open_tree(rustix::fs::CWD, path, flags).context(|| format!("hold {}", path.display()))?;
        Ok(Self { tree, is_dir: path.is_dir() })
    }

    fn put_at(&self, path: &Path) -> io::Result<()> {
        if self.is_dir {
            fs::create_dir_all(path)?;
        } else {
            fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
            File::create(path)?;
        }
        Ok(move_mount(&self.tree, "", rustix::fs::CWD, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
    }
}

/// A directory of the host once more, over itself: the root file system is read-only.
fn open_to_writes(directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).context(|| format!("make {}", directory.display()))?;
    let options = CString::new(directory.as_os_str().as_encoded_bytes()).unwrap_or_default();
    mount("none", directory, "hostfs", MountFlags::empty(), options.as_c_str())
        .context(|| format!("open {} to writes", directory.display()))
}

fn command(job: &Job) -> Command {
    let mut command = Command::new(&job.command[0]);
    command.args(&job.command[1..]).env_clear().envs(&job.environment).current_dir(&job.directory);
    command
}

/// The job sees pipes, as in any test or script: no colours, no columns.
fn run_on_pipes(job: &Job) -> Result<u8> {
    let pipe = || io::pipe().context(|| "make a pipe".into());
    let mut command = command(job);
    command.stdin(match &job.streams {
        Streams::Input(path) => Stdio::from(File::open(path).context(|| format!("read {}", path.display()))?),
        _ => Stdio::null(),
    });
    let (out, out_end) = pipe()?;
    let mut streams = vec![(out, raw_line("/dev/tty1")?)];
    if job.streams == Streams::Merged {
        command.stderr(out_end.try_clone().context(|| "duplicate a pipe".into())?);
    } else {
        let (err, err_end) = pipe()?;
        streams.push((err, raw_line("/dev/tty2")?));
        command.stderr(err_end);
    }
    command.stdout(out_end);
    let child = command.spawn().context(|| format!("run {}", job.command[0]))?;
    drop(command); // holds the pipes' other ends
    let carriers: Vec<_> = streams.into_iter().map(|(from, to)| thread::spawn(move || carry(from, to))).collect();
    let status = reap_until(child.id())?;
    // Ends all other processes: one in the background would hold the pipes for ever.
    fs::write("/proc/sysrq-trigger", "i").context(|| "end the remaining processes".into())?;
    for carrier in carriers {
        let _ = carrier.join();
    }
    Ok(status)
}

fn carry(mut from: io::PipeReader, mut to: File) -> io::Result<()> {
    io::copy(&mut from, &mut to)?;
    Ok(tcdrain(&to)?)
}

/// A line to the host that carries bytes as they are.
fn raw_line(path: &str) -> Result<File> {
    let open = || -> io::Result<File> {
        let line = OpenOptions::new().read(true).write(true).open(path)?;
        let mut mode = tcgetattr(&line)?;
        mode.make_raw();
        tcsetattr(&line, OptionalActions::Now, &mode)?;
        Ok(line)
    };
    open().context(|| format!("open {path}"))
}

/// The job gets the terminal for its own, with job control.
fn run_on_terminal(job: &Job, columns: u16, rows: u16) -> Result<u8> {
    let open = || OpenOptions::new().read(true).write(true).open("/dev/tty1");
    let terminal = open().context(|| "open /dev/tty1".into())?;
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&terminal, size).context(|| "set the terminal's size".into())?;
    let duplicate = || terminal.try_clone().context(|| "duplicate the terminal".into());
    let mut command = Command::new("/proc/self/exe");
    command.arg("exec-session").args(&job.command).env_clear().envs(&job.environment).current_dir(&job.directory);
    command.stdin(duplicate()?).stdout(duplicate()?).stderr(duplicate()?);
    let child = command.spawn().context(|| format!("run {}", job.command[0]))?;
    let status = reap_until(child.id())?;
    let _ = tcdrain(&terminal);
    Ok(status)
}

/// The hidden subcommand that makes its stdin the terminal of a new session, and becomes the given
/// program in it.
pub(crate) fn exec_in_session(command: &[String]) -> Result<()> {
    rustix::process::setsid().context(|| "begin a session".into())?;
    rustix::process::ioctl_tiocsctty(io::stdin().as_fd()).context(|| "take the terminal".into())?;
    Err(Command::new(&command[0]).args(&command[1..]).exec()).context(|| format!("run {}", command[0]))
}

/// Process 1 inherits every orphan: waits for all of them until the job itself ends.
fn reap_until(job: u32) -> Result<u8> {
    loop {
        let ended = wait(WaitOptions::empty()).context(|| "wait for the job".into())?;
        let Some((pid, status)) = ended else { continue };
        if u32::try_from(pid.as_raw_nonzero().get()) == Ok(job) {
            return Ok(shell_status(std::process::ExitStatus::from_raw(status.as_raw())));
        }
    }
}

/// As a shell reports it: 128 and the signal.
fn shell_status(status: std::process::ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(255)
}
