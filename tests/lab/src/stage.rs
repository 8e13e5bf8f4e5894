//! A guest made ready for one job: its private directory, the commands on its PATH, its
//! environment.

use std::{
    collections::BTreeMap,
    env, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use tempfile::TempDir;

use crate::{
    bench::peer::Peer,
    cache::Cache,
    cli::GuestOptions,
    error::{Context, Result},
    guest::{self, Boot, Ending, Job, Output, SCRATCH, Streams},
    kernel::Kernel,
    workspace::Workspace,
};

/// Exit statuses of the lab when a job did not end by itself; those of `timeout` and of a shell.
const DEADLINE: u8 = 124;
const GUEST_DIED: u8 = 125;
const BROKEN_PIPE: u8 = 128 + 13;

/// What `ipvsadm` means in the guest.
#[derive(Debug, Clone)]
pub(crate) enum Tool {
    /// Our release binary, under all its names.
    IpvsCli(PathBuf),
    /// The original.
    Ipvsadm,
}

/// A prepared guest. Its files are gone when it is dropped.
#[derive(Debug)]
pub(crate) struct Stage {
    cache: Cache,
    kernel: Kernel,
    memory: u32,
    directory: TempDir,
    environment: BTreeMap<String, String>,
    keep: Vec<PathBuf>,
    writable: Option<PathBuf>,
}

impl Stage {
    /// Fetches what is missing and lays out the guest's own directory.
    pub(crate) fn new(options: &GuestOptions, tool: &Tool) -> Result<Self> {
        let kernel = options.fetch()?;
        let cache = Cache::open()?;
        let directory = guest::job_directory()?;
        let this = guest::own_program(directory.path())?;
        let bin = directory.path().join("bin");
        fs::create_dir(&bin).context(|| format!("make {}", bin.display()))?;
        let mut keep = vec![cache.dir().to_owned(), directory.path().to_owned()];
        keep.push(Workspace::find()?.root().to_owned());
        link(&this, &bin.join("lab"))?;
        if let Tool::IpvsCli(binary) = tool {
            // A copy, because users in the guest can't pass through a home directory of this
            // machine.
            let copy = bin.join("ipvs-cli");
            fs::copy(binary, &copy).context(|| format!("copy {} to {}", binary.display(), copy.display()))?;
            for name in ["ipvsadm", "ipvsadm-save", "ipvsadm-restore"] {
                link(&copy, &bin.join(name))?;
            }
            keep.push(binary.clone());
        }
        let environment = environment(options, &cache, kernel, tool, &bin);
        Ok(Self { cache, kernel, memory: options.memory, directory, environment, keep, writable: None })
    }

    /// The kernel that was chosen.
    pub(crate) fn kernel(&self) -> Kernel {
        self.kernel
    }

    /// The guest's own directory.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Makes a path of this machine visible in the guest.
    pub(crate) fn keep(&mut self, path: &Path) {
        self.keep.push(path.to_owned());
    }

    /// Lets the job write to a directory of this machine.
    pub(crate) fn open_to_writes(&mut self, directory: &Path) {
        self.writable = Some(directory.to_owned());
    }

    /// Gives the job the programs that people run beside ipvsadm: `LAB_PROGRAMS` is the directory,
    /// `LAB_PROGRAMS_13` that of Debian 13's, and `LAB_PYROUTE2` that of pyroute2, if it can be
    /// had.
    pub(crate) fn bring_programs(&mut self) -> Result<()> {
        self.cache.ensure_programs()?;
        self.set("LAB_PROGRAMS", self.cache.programs().display().to_string());
        self.set("LAB_PROGRAMS_13", self.cache.next_programs().display().to_string());
        if let Some(pyroute2) = Peer::find(&self.cache)? {
            self.set("LAB_PYROUTE2", pyroute2.directory().display().to_string());
        }
        Ok(())
    }

    /// Gives the job etcd and etcdctl: `LAB_ETCD` is the directory with both.
    pub(crate) fn bring_etcd(&mut self) -> Result<()> {
        self.cache.ensure_etcd()?;
        self.set("LAB_ETCD", self.cache.etcd().join("usr/bin").display().to_string());
        Ok(())
    }

    /// Gives the job a small Debian in which dpkg works: `LAB_DEBIAN` is the directory.
    pub(crate) fn bring_debian(&mut self) -> Result<()> {
        self.cache.ensure_debian()?;
        self.set("LAB_DEBIAN", self.cache.debian().display().to_string());
        Ok(())
    }

    /// Adds to the job's environment.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.environment.insert(name.into(), value.into());
    }

    /// Boots, runs the command, and says how it ended.
    pub(crate) fn run(
        &self,
        command: Vec<String>,
        directory: &Path,
        streams: Streams,
        limits: &Limits,
    ) -> Result<Ending> {
        let mut environment = self.environment.clone();
        if let (Streams::Terminal(..), Ok(name)) = (&streams, env::var("TERM")) {
            environment.insert("TERM".into(), name);
        }
        let job = Job {
            command,
            environment,
            directory: directory.to_owned(),
            root: self.cache.root(),
            keep: visible(&self.keep, &self.cache.root()),
            writable: self.writable.clone(),
            modprobe: self.cache.kernel(self.kernel).join("lab-bin/modprobe"),
            modules: if self.kernel.loads_ipvs_itself() { Vec::new() } else { vec!["ip_vs".into()] },
            streams,
        };
        let boot = Boot {
            cache: &self.cache,
            kernel: self.kernel,
            memory: self.memory,
            deadline: limits.deadline,
            out: limits.out.clone(),
            err: limits.err.clone(),
        };
        boot.run(&job, self.directory.path())
    }
}

/// How long a job may take, and where its output goes.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// When the guest is ended.
    pub(crate) deadline: Duration,
    /// Where stdout goes.
    pub(crate) out: Output,
    /// Where stderr goes.
    pub(crate) err: Output,
}

impl Limits {
    /// To our own stdout and stderr.
    pub(crate) fn through(deadline: Duration) -> Self {
        Self { deadline, out: Output::Stdout, err: Output::Stderr }
    }
}

/// What a guest sees of these paths: each also by its true name, which may be another behind links,
/// and none that is inside another.
///
/// Not what the guest has itself, such as `/etc` or `/bin/sh`, empty directories apart.
fn visible(paths: &[PathBuf], root: &Path) -> Vec<PathBuf> {
    let is_of_the_guest = |path: &Path| {
        let inside = path.strip_prefix("/").map_or_else(|_| root.to_owned(), |path| root.join(path));
        let is_empty = || fs::read_dir(&inside).is_ok_and(|mut entries| entries.next().is_none());
        SCRATCH.iter().any(|dir| path == Path::new(dir)) || inside.exists() && !is_empty()
    };
    let true_names = paths.iter().filter_map(|path| path.canonicalize().ok());
    let mut paths: Vec<_> = paths.iter().cloned().chain(true_names).filter(|path| !is_of_the_guest(path)).collect();
    paths.sort();
    paths.dedup_by(|later, earlier| later.starts_with(earlier));
    paths
}

/// Nothing of the host's environment gets in unless asked for: a run means the same everywhere.
fn environment(
    options: &GuestOptions,
    cache: &Cache,
    kernel: Kernel,
    tool: &Tool,
    bin: &Path,
) -> BTreeMap<String, String> {
    let tools = cache.tools();
    let mut path = vec![bin.to_owned()];
    if let Tool::Ipvsadm = tool {
        path.push(cache.originals());
    }
    path.extend([cache.kernel(kernel).join("lab-bin"), tools.join("lab-bin")]);
    path.extend(["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(PathBuf::from));
    let path: Vec<_> = path.iter().map(|dir| dir.to_string_lossy()).collect();
    let ipvs_cli = match tool {
        Tool::IpvsCli(binary) => binary.display().to_string(),
        Tool::Ipvsadm => String::new(),
    };
    let fixed = [
        ("PATH", path.join(":")),
        ("HOME", "/tmp/home".into()),
        ("USER", "root".into()),
        ("LANG", "C.UTF-8".into()),
        ("TERM", "dumb".into()),
        ("TMPDIR", "/tmp".into()),
        ("XTABLES_LIBDIR", cache.xtables().display().to_string()),
        ("IPVSADM", cache.ipvsadm().display().to_string()),
        ("IPVS_CLI", ipvs_cli),
        ("LAB_KERNEL", kernel.series().into()),
    ];
    let fixed = fixed.into_iter().map(|(name, value)| (name.to_owned(), value));
    let asked = options.env.iter().filter_map(|setting| match setting.split_once('=') {
        Some((name, value)) => Some((name.to_owned(), value.to_owned())),
        None => Some((setting.clone(), env::var(setting).ok()?)),
    });
    fixed.chain(asked).filter(|(_, value)| !value.is_empty()).collect()
}

fn link(target: &Path, at: &Path) -> Result<()> {
    symlink(target, at).context(|| format!("link {}", at.display()))
}

/// Says what happened when a job did not end by itself, and gives the lab's exit status.
pub(crate) fn conclude(kernel: Kernel, ending: Ending) -> ExitCode {
    let (status, message, console) = match ending {
        Ending::Exited(status) => return ExitCode::from(status),
        Ending::Unread => return ExitCode::from(BROKEN_PIPE),
        Ending::NotStarted(why) => (GUEST_DIED, format!("the guest could not start the job: {why}"), String::new()),
        Ending::Deadline { console } => {
            (DEADLINE, "the deadline has passed, the guest was ended (--timeout SECONDS moves it)".into(), console)
        }
        Ending::Died { status, console } => (GUEST_DIED, format!("kernel {kernel} died ({status})"), console),
    };
    show_console(&console);
    eprintln!("lab: {message}");
    ExitCode::from(status)
}

/// The last of what the kernel said.
pub(crate) fn show_console(console: &str) {
    const LINES: usize = 200;
    if console.is_empty() {
        return;
    }
    let lines: Vec<_> = console.lines().collect();
    eprintln!("lab: the guest's console, last {LINES} lines:");
    for line in &lines[lines.len().saturating_sub(LINES)..] {
        eprintln!("| {line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_visible_once_and_by_its_true_name_and_does_not_cover_the_guests_own_files() {
        let root = tempfile::tempdir().unwrap();
        for dir in ["etc/default", "home", "tmp", "var/tmp"] {
            fs::create_dir_all(root.path().join(dir)).unwrap();
        }
        fs::write(root.path().join("etc/hosts"), "").unwrap();
        let at = |names: &[&str]| visible(&names.iter().map(PathBuf::from).collect::<Vec<_>>(), root.path());
        let paths = ["/tmp/w/target", "/tmp/w", "/home/u/w", "/tmp", "/var/tmp/x/y", "/tmp/w2"];
        assert_eq!(at(&paths), ["/home/u/w", "/tmp/w", "/tmp/w2", "/var/tmp/x/y"].map(PathBuf::from));
        let paths = ["/", "/etc", "/etc/file", "/etc/hosts", "/var", "/var/tmp", "/home"];
        assert_eq!(at(&paths), ["/etc/file", "/home"].map(PathBuf::from));
        let place = tempfile::tempdir().unwrap();
        let link = place.path().join("link");
        symlink("/bin", &link).unwrap();
        let bin = Path::new("/bin").canonicalize().unwrap();
        let mut both = [link.clone(), bin];
        both.sort();
        assert_eq!(at(&[link.to_str().unwrap()]), both);
    }
}
