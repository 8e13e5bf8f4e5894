//! A guest on an emulated PC. All that it has is in its initial RAM file system: a small Debian for
//! its processor with the lab's tools, and of this machine the files that its job names, at their
//! own paths. Its process 1 is this program, and its serial port carries what the job prints.

use std::{
    collections::BTreeMap,
    env, fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use rustix::system::{RebootCommand, reboot};
use serde::{Deserialize, Serialize};

use crate::{
    bench::{
        initrd::Initrd,
        machines::{self, Machine},
        pc::Pc,
    },
    cache::{Cache, ORIGINALS, TOOL_COMMANDS},
    cross::{Cross, Target},
    error::{Context, Error, Result},
    guest,
    kernel::{Architecture, Suite},
    packages::{self, Session, Tree},
    workspace::{TestBinary, Workspace},
};

/// Grows when the way in which the root directories are made changes.
const RECIPE: u32 = 1;
/// As the lab's tools, but for what changes programs so that they run anywhere.
const TOOL_PACKAGES: [&str; 6] = ["ipvsadm", "iptables", "nftables", "iproute2", "kmod", "strace"];
/// Where the guest has the tools, ipvsadm, the loader of modules, and the lab's own programs.
const BIN: &str = "lab/bin";
const ORIGINAL: &str = "lab/original";
const MODPROBE: &str = "lab/kmod/modprobe";
const OWN: &str = "/lab/own";
/// What process 1 is to do.
const JOB: &str = "/lab/job.json";
/// A line of the guest's about a command that has ended.
const ENDED: &str = "lab: ended with status ";
/// Megabytes of memory beside the files, which are there twice while they are unpacked.
const MEMORY: u64 = 768;

/// Commands to run one after the other.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Commands {
    /// Program and arguments of each.
    pub(crate) commands: Vec<Vec<String>>,
    /// Where they start.
    pub(crate) directory: PathBuf,
    /// Modules that are loaded before.
    pub(crate) modules: Vec<String>,
    /// Beside what every job has.
    pub(crate) environment: BTreeMap<String, String>,
}

/// An emulated PC with the programs that run there.
#[derive(Debug)]
pub(crate) struct Emulated {
    cache: Cache,
    machine: Machine,
    has_kvm: bool,
    workspace: Workspace,
    cross: Option<Cross>,
    lab: PathBuf,
    ipvs_cli: PathBuf,
}

impl Emulated {
    /// Fetches what is missing, and builds the programs for the PC's processor. With KVM, that is
    /// this machine's own.
    pub(crate) fn prepare(machine: Machine, has_kvm: bool) -> Result<Self> {
        let cache = Cache::open()?;
        cache.ensure(&[])?;
        machines::ensure(&cache, &[machine])?;
        ensure_root(&cache, machine.architecture)?;
        let cross = match Target::of(machine.architecture) {
            _ if Architecture::host() == Some(machine.architecture) => None,
            Some(target) => Some(Cross::ensure(&cache, target)?),
            None => {
                let missing = format!("a processor {}: programs can't be built for it", machine.architecture.machine());
                return Err(Error::Machine { missing: vec![missing] });
            }
        };
        let workspace = match &cross {
            Some(cross) => cross.workspace()?,
            None => Workspace::find()?,
        };
        let mut this =
            Self { cache, machine, has_kvm, workspace, cross, lab: PathBuf::new(), ipvs_cli: PathBuf::new() };
        this.lab = match this.cross {
            Some(_) => this.built("lab", &["build", "-p", "lab"])?,
            None => env::current_exe().context(|| "find this program".into())?,
        };
        this.ipvs_cli = this.built("ipvs-cli", &["build", "--release", "-p", "ipvs-cli"])?;
        Ok(this)
    }

    fn built(&self, name: &str, arguments: &[&str]) -> Result<PathBuf> {
        let found = self.build(arguments)?.into_iter().find(|program| program.name == name);
        Ok(found.ok_or_else(|| Error::Missing(name.into()))?.path)
    }

    /// Builds for the PC. Gives the programs.
    fn build(&self, arguments: &[&str]) -> Result<Vec<TestBinary>> {
        let more = self.cross.as_ref().map(Cross::arguments);
        let all: Vec<&str> = arguments.iter().copied().chain(more.into_iter().flatten()).collect();
        self.workspace.build(&all)
    }

    /// Builds these test programs.
    pub(crate) fn tests(&self, names: &[String]) -> Result<Vec<TestBinary>> {
        let named = names.iter().flat_map(|name| ["--test", name]);
        let arguments: Vec<_> = ["test", "--no-run", "-p", "kernel-tests"].into_iter().chain(named).collect();
        self.build(&arguments)
    }

    /// The workspace's directory.
    pub(crate) fn workspace(&self) -> &Path {
        self.workspace.root()
    }

    /// Boots, and hands each line of the commands to `take`. Gives their statuses, as many as have
    /// ended.
    pub(crate) fn run(
        &self,
        mut job: Commands,
        files: &[PathBuf],
        deadline: Duration,
        mut take: impl FnMut(&str),
    ) -> Result<Vec<i32>> {
        let directory = guest::job_directory()?;
        let initrd = directory.path().join("initrd");
        job.environment.extend(self.environment());
        self.root_file_system(&job, files)?.write(&initrd)?;
        let size = fs::metadata(&initrd).context(|| format!("examine {}", initrd.display()))?.len() / 1_000_000;
        let memory = u32::try_from(MEMORY + 2 * size).unwrap_or(u32::MAX);
        // A message of the kernel would come into the middle of a line.
        let words = vec!["loglevel=1".to_owned()];
        let pc = Pc {
            cache: &self.cache,
            machine: self.machine,
            initrd,
            is_timed: false,
            has_kvm: self.has_kvm,
            memory,
            words,
        };
        let mut statuses = Vec::new();
        let is_in_time = pc.run(directory.path(), deadline, |line| match line.strip_prefix(ENDED) {
            Some(status) => statuses.extend(status.parse::<i32>()),
            None => take(line),
        })?;
        if !is_in_time {
            eprintln!("lab: not done after {} s (--timeout SECONDS moves it)", deadline.as_secs());
        }
        Ok(statuses)
    }

    fn environment(&self) -> BTreeMap<String, String> {
        let path = format!("{OWN}:/{BIN}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin");
        let fixed = [
            ("PATH", path),
            ("HOME", "/tmp/home".into()),
            ("USER", "root".into()),
            ("LANG", "C.UTF-8".into()),
            ("TERM", "dumb".into()),
            ("TMPDIR", "/tmp".into()),
            ("IPVSADM", format!("/{ORIGINAL}/ipvsadm")),
            ("IPVS_CLI", format!("{OWN}/ipvs-cli")),
            ("LAB_KERNEL", self.machine.kernel.series().into()),
        ];
        fixed.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    fn root_file_system(&self, job: &Commands, files: &[PathBuf]) -> Result<Initrd> {
        let mut initrd = Initrd::default();
        initrd.add_tree(&root(&self.cache, self.machine.architecture), Path::new("/"))?;
        initrd.add_tree(&self.machine.modules(&self.cache), Path::new("/usr/lib/modules"))?;
        initrd.add_copy(&self.lab, Path::new("/init"))?;
        initrd.add_link(Path::new("/init"), &Path::new(OWN).join("lab"));
        initrd.add_copy(&self.ipvs_cli, &Path::new(OWN).join("ipvs-cli"))?;
        for name in ORIGINALS {
            initrd.add_link(Path::new("ipvs-cli"), &Path::new(OWN).join(name));
        }
        for file in files {
            if file.is_dir() { initrd.add_tree(file, file)? } else { initrd.add_copy(file, file)? }
        }
        let text = serde_json::to_string(job).map_err(|source| Error::Json { what: "the job", source })?;
        initrd.add_text(&text, Path::new(JOB));
        Ok(initrd)
    }
}

fn root(cache: &Cache, architecture: Architecture) -> PathBuf {
    cache.dir().join(format!("root-{}.{RECIPE}", architecture.machine()))
}

/// A guest's root directory for this processor, with the tools where its own loader finds them.
fn ensure_root(cache: &Cache, architecture: Architecture) -> Result<()> {
    let home = root(cache, architecture);
    if home.exists() {
        return Ok(());
    }
    let _lock = cache.lock()?;
    cache.require_room()?;
    let session = Session::open_for(Suite::Bookworm, architecture, cache.dir())?;
    let tree = packages::root::unpack(&session, &TOOL_PACKAGES, &home)?;
    for command in TOOL_COMMANDS {
        let (name, target) = command.split_once('=').unwrap_or((command, command));
        link(&find(&tree, target)?, &tree.path().join(BIN).join(name))?;
    }
    // They must not be found by accident: a guest's root directory has none of them.
    for name in ORIGINALS {
        let (from, to) = (tree.path().join("usr/sbin").join(name), tree.path().join(ORIGINAL).join(name));
        make_parent(&to)?;
        fs::rename(&from, &to).context(|| format!("move {} to {}", from.display(), to.display()))?;
    }
    let modprobe = tree.path().join("usr/sbin/modprobe");
    fs::remove_file(&modprobe).context(|| format!("remove {}", modprobe.display()))?;
    link(Path::new("/usr/bin/kmod"), &tree.path().join(MODPROBE))?;
    tree.settle()
}

/// Where a command is in a guest.
fn find(tree: &Tree, name: &str) -> Result<PathBuf> {
    let mut places = ["usr/sbin", "usr/bin"].iter().map(|dir| Path::new(dir).join(name));
    let found = places.find(|inside| tree.path().join(inside).symlink_metadata().is_ok());
    Ok(Path::new("/").join(found.ok_or_else(|| Error::Missing(name.into()))?))
}

fn link(target: &Path, at: &Path) -> Result<()> {
    make_parent(at)?;
    std::os::unix::fs::symlink(target, at).context(|| format!("link {}", at.display()))
}

fn make_parent(path: &Path) -> Result<()> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(parent).context(|| format!("make {}", parent.display()))
}

/// Does not return in an emulated PC's process 1; does nothing anywhere else.
pub(crate) fn init_if_process_1() {
    if std::process::id() != 1 || !Path::new(JOB).exists() {
        return;
    }
    if let Err(error) = run_job() {
        println!("lab: {error}");
    }
    let _ = io::stdout().flush();
    let _ = reboot(RebootCommand::PowerOff);
    // Ending process 1 is a kernel panic, which is the right way to say that even this failed.
}

fn run_job() -> Result<()> {
    guest::mount_system()?;
    guest::make_scratch()?;
    let text = fs::read(JOB).context(|| format!("read {JOB}"))?;
    let job: Commands = serde_json::from_slice(&text).map_err(|source| Error::Json { what: "the job", source })?;
    let (setting, modprobe) = ("/proc/sys/kernel/modprobe", Path::new("/").join(MODPROBE));
    fs::write(setting, modprobe.as_os_str().as_encoded_bytes()).context(|| format!("write {setting}"))?;
    packages::run(Command::new(&modprobe).arg("-a").args(&job.modules))?;
    packages::run(Command::new(Path::new("/").join(BIN).join("ip")).args(["link", "set", "lo", "up"]))?;
    for words in &job.commands {
        let status = run_command(&job, words)?;
        println!("{ENDED}{status}");
    }
    Ok(())
}

/// The command sees a pipe, as in any script: no colours, no columns.
fn run_command(job: &Commands, words: &[String]) -> Result<i32> {
    let (mut out, end) = io::pipe().context(|| "make a pipe".into())?;
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).env_clear().envs(&job.environment).current_dir(&job.directory).stdin(Stdio::null());
    command.stderr(end.try_clone().context(|| "duplicate a pipe".into())?).stdout(end);
    let mut child = command.spawn().context(|| format!("run {}", words[0]))?;
    drop(command); // holds the pipe's other ends
    let carrier = thread::spawn(move || io::copy(&mut out, &mut io::stdout()));
    let status = child.wait().context(|| format!("wait for {}", words[0]))?;
    // Ends all other processes: one in the background would hold the pipe for ever.
    fs::write("/proc/sysrq-trigger", "i").context(|| "end the remaining processes".into())?;
    let _ = carrier.join();
    Ok(status.code().unwrap_or(-1))
}
