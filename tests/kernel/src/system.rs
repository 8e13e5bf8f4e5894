//! A whole Debian of its own for one test: its programs in their places, with the original or
//! `ipvs-cli` as its `ipvsadm`, in an empty network. All of it can be written, and nothing of it
//! stays.

use crate::case::Status;
use crate::sandbox::{self, SandboxError};
use crate::target::{self, Outcome, Target, TargetError};
use nix::mount::{MsFlags, mount};
use nix::unistd::chroot;
use std::ffi::OsStr;
use std::net::UdpSocket;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, io, thread};

/// Where the system is put together, before it becomes the root directory.
const PLACE: &str = "/tmp/debian";

/// Where Debian's package puts ipvsadm and its wrapper scripts.
const IPVSADM: &str = "usr/sbin/ipvsadm";
const WRAPPERS: [&str; 2] = ["usr/sbin/ipvsadm-save", "usr/sbin/ipvsadm-restore"];

/// The original, out of everybody's way, to look at the kernel's table with.
pub const OBSERVER: &str = "/opt/original/ipvsadm";

/// Where pyroute2 is, if it could be fetched.
pub const PYROUTE2: &str = "/opt/pyroute2";

/// How long a single command may take. A busy machine is slow to start Perl.
const DEADLINE: Duration = Duration::from_secs(60);

/// How long a change may take, which for ldirectord is many commands: every look at a table costs
/// it two.
const PATIENCE: Duration = Duration::from_secs(300);

/// How often something is looked at that should change.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Part of what the original shows, for next to no time.
const GLANCE: &str = "/proc/thread-self/net/ip_vs";

/// Which `ipvsadm`, `ipvsadm-save` and `ipvsadm-restore` a system has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Installation {
    /// Whose ipvsadm.
    pub ipvsadm: Target,
    /// Whose wrappers.
    pub wrappers: Target,
}

impl Installation {
    /// All three are the same one's.
    #[must_use]
    pub fn of(target: Target) -> Self {
        Self { ipvsadm: target, wrappers: target }
    }
}

/// Which Debian's programs a system has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// Bookworm: all programs.
    Debian12,
    /// Trixie: keepalived.
    Debian13,
}

impl Release {
    /// The variable that says where they are.
    fn variable(self) -> &'static str {
        match self {
            Self::Debian12 => "LAB_PROGRAMS",
            Self::Debian13 => "LAB_PROGRAMS_13",
        }
    }
}

/// Why there is no system to run a test in.
#[derive(Debug, thiserror::Error)]
pub enum SystemError {
    /// Nobody said where the programs are.
    #[error(
        "set {0} to a root directory with Debian's programs, as `cargo lab test` and `cargo lab run --programs` do"
    )]
    NotNamed(&'static str),
    /// No namespaces.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The program to install is not known.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// A mount was refused.
    #[error("cannot mount {what}: {error}")]
    Mount {
        /// What.
        what: &'static str,
        /// Why.
        error: nix::Error,
    },
    /// A file could not be put in its place.
    #[error("cannot put {} in its place: {error}", path.display())]
    Install {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The root directory could not be changed.
    #[error("cannot make {PLACE}/root the root directory: {0}")]
    Root(io::Error),
}

/// A running system. It ends with the thread that [`System::on`] gave it.
#[derive(Debug)]
pub struct System {
    _private: (),
}

impl System {
    /// Runs `work` on a system of its own with Debian 12's programs, in a thread of its own.
    ///
    /// # Panics
    /// When there is none to be had; and as `work` does.
    pub fn on<T: Send>(installation: Installation, work: impl FnOnce(&System) -> T + Send) -> T {
        Self::of(Release::Debian12, installation, work)
    }

    /// The same with the programs of a release.
    ///
    /// # Panics
    /// When there is none to be had; and as `work` does.
    pub fn of<T: Send>(release: Release, installation: Installation, work: impl FnOnce(&System) -> T + Send) -> T {
        let world = || {
            enter(release, installation).unwrap_or_else(|error| panic!("{error}"));
            work(&System { _private: () })
        };
        thread::scope(|scope| scope.spawn(world).join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// A command that has the environment of a daemon, and no more.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C.UTF-8").current_dir("/");
        command
    }

    /// Runs a program to its end.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn run<A: AsRef<OsStr>>(&self, program: &str, arguments: impl IntoIterator<Item = A>) -> Outcome {
        self.run_with(program, arguments, b"")
    }

    /// Runs a program that reads `stdin` to its end.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn run_with<A: AsRef<OsStr>>(
        &self,
        program: &str,
        arguments: impl IntoIterator<Item = A>,
        stdin: &[u8],
    ) -> Outcome {
        let mut command = self.command(program);
        command.args(arguments).stdout(Stdio::piped());
        target::execute(command, Command::spawn, stdin, DEADLINE).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Runs a line of a shell.
    pub fn sh(&self, line: &str) -> Outcome {
        self.run("/bin/sh", ["-c", line])
    }

    /// The kernel's services and servers as the original saves them.
    pub fn table(&self) -> String {
        self.observe(&["-S", "-n"])
    }

    /// What the original prints now.
    pub fn observe(&self, arguments: &[&str]) -> String {
        let outcome = self.run(OBSERVER, arguments);
        String::from_utf8_lossy(&[outcome.stdout, outcome.stderr].concat()).into_owned()
    }

    /// Waits until the kernel's table is this one.
    ///
    /// # Errors
    /// What the table is instead, when patience is at its end.
    pub fn wait_for_table(&self, expected: &str) -> Result<(), String> {
        let mut seen = None;
        let mut looks: u8 = 0;
        // The original is a program, and who is waited for has the same processor: it is asked when
        // there is news, or seldom.
        let holds = || {
            let glance = Some(self.read(GLANCE));
            looks = looks.wrapping_add(1);
            let news = glance != seen || looks.is_multiple_of(16);
            seen = glance;
            (news && self.table() == expected).then_some(())
        };
        self.wait_for(holds).ok_or_else(|| format!("the table should be\n{expected}but is\n{}", self.table()))
    }

    /// Tries again and again, as long as patience lasts.
    pub fn wait_for<T>(&self, mut what: impl FnMut() -> Option<T>) -> Option<T> {
        let end = Instant::now() + PATIENCE;
        loop {
            let found = what();
            if found.is_some() || Instant::now() > end {
                return found;
            }
            thread::sleep(LOOK_AGAIN);
        }
    }

    /// Writes a file.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, path: &str, text: &str) {
        fs::write(path, text).unwrap_or_else(|error| panic!("{path}: {error}"));
    }

    /// Writes a program.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write_program(&self, path: &str, text: &str) {
        self.write(path, text);
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(path, executable).unwrap_or_else(|error| panic!("{path}: {error}"));
    }

    /// Gives the machine an address.
    ///
    /// # Panics
    /// When the system refuses it.
    pub fn add_address(&self, address: &str) {
        let known = if address.contains(':') { "nodad" } else { "noprefixroute" };
        let outcome = self.run("/bin/ip", ["address", "add", address, "dev", "lo", known]);
        assert!(outcome.status == Status::Exit(0), "{address}: {}", String::from_utf8_lossy(&outcome.stderr));
    }

    /// Reads a file; one that is not there is empty.
    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(path).unwrap_or_default()
    }
}

/// Moves the calling thread onto a system of its own.
fn enter(release: Release, installation: Installation) -> Result<(), SystemError> {
    let variable = release.variable();
    let programs = env::var_os(variable).ok_or(SystemError::NotNamed(variable))?;
    let ipvs_cli = target::Target::IpvsCli.program()?;
    // The kernel loads IPv6 at the first sight of a socket; an address alone does not do it.
    let _ = UdpSocket::bind("[::1]:0");
    sandbox::enter_network_and_mounts()?;
    let root = mount_writable(Path::new(&programs))?;
    mount_system(&root)?;
    install(&root, Path::new(&programs), installation, &ipvs_cli)?;
    if let Some(pyroute2) = env::var_os("LAB_PYROUTE2") {
        let place = root.join(&PYROUTE2[1..]);
        put(&place, |path| fs::create_dir_all(path))?;
        bind(Path::new(&pyroute2), &place)?;
    }
    chroot(&root).map_err(|error| SystemError::Root(error.into()))?;
    env::set_current_dir("/").map_err(SystemError::Root)
}

/// Lays a layer in memory over the programs, which takes all that is written.
fn mount_writable(programs: &Path) -> Result<PathBuf, SystemError> {
    let make =
        |path: &Path| fs::create_dir_all(path).map_err(|error| SystemError::Install { path: path.into(), error });
    make(Path::new(PLACE))?;
    sandbox::mount_tmpfs(PLACE)?;
    let [upper, work, root] = ["upper", "work", "root"].map(|name| Path::new(PLACE).join(name));
    for directory in [&upper, &work, &root] {
        make(directory)?;
    }
    let layers = format!("lowerdir={},upperdir={},workdir={}", programs.display(), upper.display(), work.display());
    mount(Some("overlay"), &root, Some("overlay"), MsFlags::empty(), Some(layers.as_str()))
        .map_err(|error| SystemError::Mount { what: "the system's overlay", error })?;
    Ok(root)
}

/// Mounts what a running system has, and makes the files that are made when Debian is installed.
fn mount_system(root: &Path) -> Result<(), SystemError> {
    let bind = MsFlags::MS_BIND | MsFlags::MS_REC;
    for (what, kind, flags) in [
        ("/proc", "", bind),
        ("/dev", "", bind),
        ("/sys", "sysfs", MsFlags::empty()),
        ("/run", "tmpfs", MsFlags::empty()),
        ("/tmp", "tmpfs", MsFlags::empty()),
    ] {
        let target = root.join(&what[1..]);
        mount(Some(what), &target, Some(kind), flags, None::<&str>)
            .map_err(|error| SystemError::Mount { what, error })?;
    }
    for (link, target) in [("var/run", "/run"), ("var/lock", "/run/lock")] {
        put(&root.join(link), |path| fs::remove_dir(path).and_then(|()| symlink(target, path)))?;
    }
    put(&root.join("run/lock"), |path| fs::create_dir(path))?;
    put(&root.join("etc/passwd"), |path| fs::write(path, "root:x:0:0:root:/root:/bin/sh\n"))?;
    put(&root.join("etc/group"), |path| fs::write(path, "root:x:0:\n"))
}

/// Replaces programs by `ipvs-cli`. By mounts, as a file that was just written can't always be run:
/// a program that another thread is starting may still hold it open.
fn install(root: &Path, programs: &Path, installation: Installation, ipvs_cli: &Path) -> Result<(), SystemError> {
    let observer = root.join(&OBSERVER[1..]);
    put(&observer, |path| {
        fs::create_dir_all(path.parent().unwrap_or(root))?;
        fs::write(path, "")
    })?;
    bind(&programs.join(IPVSADM), &observer)?;
    if installation.ipvsadm == Target::IpvsCli {
        bind(ipvs_cli, &root.join(IPVSADM))?;
    }
    if installation.wrappers == Target::IpvsCli {
        WRAPPERS.iter().try_for_each(|wrapper| bind(ipvs_cli, &root.join(wrapper)))?;
    }
    Ok(())
}

fn bind(file: &Path, over: &Path) -> Result<(), SystemError> {
    mount(Some(file), over, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .map_err(|error| SystemError::Mount { what: "a program", error })
}

fn put(path: &Path, how: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), SystemError> {
    how(path).map_err(|error| SystemError::Install { path: path.into(), error })
}
