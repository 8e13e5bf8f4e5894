//! The lab's files: kernels and tools, fetched at first use and kept.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    env,
    fs::{self, File},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    error::{Context, Error, Result},
    kernel::{Kernel, Suite},
    packages::{self, Session, Tree},
};

/// Grows when the way in which the trees are made changes, so that old ones are left alone and new
/// ones made.
const RECIPE: u32 = 1;
/// The same, for the tools: they are few megabytes beside the kernels.
const TOOLS_RECIPE: u32 = 2;
/// The same, for the root directory of guests.
const ROOT_RECIPE: u32 = 1;
/// The same, for the programs.
const PROGRAMS_RECIPE: u32 = 4;
/// The same of [`Cache::next_programs`].
const NEXT_PROGRAMS_RECIPE: u32 = 2;
/// The same, for the Debian that packages are installed in.
const DEBIAN_RECIPE: u32 = 2;
/// Megabytes that one tree takes while it is made: lists, packages, and what is in them.
const ROOM: u64 = 550;
/// The same, for Debian's Rust.
const OLD_RUST_ROOM: u64 = 950;
/// Debian's Rust needs a C compiler, which this machine has.
const C_COMPILER: [&str; 3] = ["usr/include", "usr/libexec", "usr/lib/gcc"];

const TOOL_PACKAGES: [&str; 7] = ["ipvsadm", "iptables", "nftables", "iproute2", "kmod", "patchelf", "strace"];
/// The tools on a guest's PATH. `iptables` is the legacy one: what articles mean, and what the
/// kernels have.
const TOOL_COMMANDS: [&str; 28] = [
    "iptables=iptables-legacy",
    "iptables-save=iptables-legacy-save",
    "iptables-restore=iptables-legacy-restore",
    "ip6tables=ip6tables-legacy",
    "ip6tables-save=ip6tables-legacy-save",
    "ip6tables-restore=ip6tables-legacy-restore",
    "iptables-legacy",
    "iptables-legacy-save",
    "iptables-legacy-restore",
    "ip6tables-legacy",
    "ip6tables-legacy-save",
    "ip6tables-legacy-restore",
    "iptables-nft",
    "iptables-nft-save",
    "iptables-nft-restore",
    "ip6tables-nft",
    "ip6tables-nft-save",
    "ip6tables-nft-restore",
    "nft",
    "ip",
    "ss",
    "tc",
    "bridge",
    "lsmod",
    "modinfo",
    "rmmod",
    "kmod",
    "strace",
];
/// The original, in a directory of its own: it must not be found by accident where `ipvs-cli` is
/// meant.
const ORIGINALS: [&str; 3] = ["ipvsadm", "ipvsadm-save", "ipvsadm-restore"];

/// Programs that call the ipvsadm on a director, or work beside it; and what every Debian has,
/// which is why no package says that it needs it.
const PROGRAM_PACKAGES: [&str; 12] = [
    "ldirectord",
    "keepalived",
    "python3-prometheus-client",
    "prometheus",
    "prometheus-node-exporter",
    "ipvsadm",
    "bash",
    "coreutils",
    "dash",
    "grep",
    "libc-bin",
    "sed",
];

/// The programs of which a second release is tested.
const NEXT_PROGRAM_PACKAGES: [&str; 9] =
    ["keepalived", "iproute2", "ipvsadm", "bash", "coreutils", "dash", "grep", "libc-bin", "sed"];

/// Where the lab's files are.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    dir: PathBuf,
}

impl Cache {
    /// `$IPVS_LAB`, else `ipvs-lab` in the user's cache directory.
    pub(crate) fn open() -> Result<Self> {
        let dir = directory()?;
        fs::create_dir_all(&dir)
            .context(|| format!("make {} (IPVS_LAB=/another/dir puts it elsewhere)", dir.display()))?;
        let dir = dir.canonicalize().context(|| format!("find {}", dir.display()))?;
        Ok(Self { dir })
    }

    /// The directory itself.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The tree of tools.
    pub(crate) fn tools(&self) -> PathBuf {
        self.dir.join(format!("tools.{TOOLS_RECIPE}"))
    }

    /// Where the tools' iptables has its extensions: `XTABLES_LIBDIR`.
    pub(crate) fn xtables(&self) -> PathBuf {
        self.tools().join("usr/lib/x86_64-linux-gnu/xtables")
    }

    /// The program ip.
    pub(crate) fn ip(&self) -> PathBuf {
        self.tools().join("lab-bin/ip")
    }

    /// The real ipvsadm.
    pub(crate) fn ipvsadm(&self) -> PathBuf {
        self.originals().join("ipvsadm")
    }

    /// The directory with the real ipvsadm, ipvsadm-save and ipvsadm-restore.
    pub(crate) fn originals(&self) -> PathBuf {
        self.tools().join("lab-original")
    }

    /// The root directory of guests.
    pub(crate) fn root(&self) -> PathBuf {
        self.dir.join(format!("root.{ROOT_RECIPE}"))
    }

    /// A small Debian with the programs that people run beside ipvsadm, to be the root directory of
    /// a test.
    pub(crate) fn programs(&self) -> PathBuf {
        self.dir.join(format!("programs.{PROGRAMS_RECIPE}"))
    }

    /// The same of Debian 13.
    pub(crate) fn next_programs(&self) -> PathBuf {
        self.dir.join(format!("programs-13.{NEXT_PROGRAMS_RECIPE}"))
    }

    /// Debian's etcd and etcdctl, for the tests of a fleet.
    pub(crate) fn etcd(&self) -> PathBuf {
        self.dir.join(format!("etcd.{RECIPE}"))
    }

    /// Debian 13's Rust, to be run in place. Programs are linked by this machine's `cc`.
    pub(crate) fn old_rust(&self) -> PathBuf {
        self.dir.join(format!("rust-13.{RECIPE}"))
    }

    /// A small Debian 12 with a package database, to be the root directory of a test that installs
    /// packages.
    pub(crate) fn debian(&self) -> PathBuf {
        self.dir.join(format!("debian-12.{DEBIAN_RECIPE}"))
    }

    /// A kernel's tree.
    pub(crate) fn kernel(&self, kernel: Kernel) -> PathBuf {
        self.dir.join(format!("kernel-{kernel}.{RECIPE}"))
    }

    /// The kernel to use when none is asked for: the newest that is here, else the one that needs
    /// the least download.
    pub(crate) fn default_kernel(&self) -> Kernel {
        let here = Kernel::ALL.into_iter().rev().find(|kernel| self.kernel(*kernel).exists());
        here.unwrap_or(Kernel::V6_1)
    }

    /// Fetches what is missing for these kernels. Several labs may ask at once: one works, the
    /// others wait.
    pub(crate) fn ensure(&self, kernels: &[Kernel]) -> Result<()> {
        match self.ensure_available(kernels)?.pop() {
            Some((_, gone)) => Err(gone),
            None => Ok(()),
        }
    }

    /// The same, but that the mirror no longer has a kernel is no failure: returns those kernels,
    /// and why they are missing.
    pub(crate) fn ensure_available(&self, kernels: &[Kernel]) -> Result<Vec<(Kernel, Error)>> {
        let mut gone = Vec::new();
        if self.missing(kernels).is_empty() && self.tools().exists() && self.root().exists() {
            return Ok(gone);
        }
        let _lock = self.begin()?;
        let mut sessions = BTreeMap::new();
        if !self.tools().exists() {
            self.make_tools(self.session(&mut sessions, Suite::Bookworm)?)?;
        }
        if !self.root().exists() {
            packages::root::make(self.session(&mut sessions, Suite::Bookworm)?, &self.root())?;
        }
        for kernel in self.missing(kernels) {
            let made =
                self.session(&mut sessions, kernel.suite()).and_then(|session| self.make_kernel(kernel, session));
            match made {
                Err(error @ Error::Gone { .. }) => gone.push((kernel, error)),
                made => made?,
            }
        }
        Ok(gone)
    }

    /// Fetches the programs of both releases, which most jobs can do without, if they are missing.
    pub(crate) fn ensure_programs(&self) -> Result<()> {
        let releases = [
            (Suite::Bookworm, PROGRAM_PACKAGES.as_slice(), self.programs()),
            (Suite::Trixie, &NEXT_PROGRAM_PACKAGES, self.next_programs()),
        ];
        if releases.iter().all(|(_, _, home)| home.exists()) {
            return Ok(());
        }
        let _lock = self.begin()?;
        for (suite, packages, home) in releases.iter().filter(|(_, _, home)| !home.exists()) {
            self.require_room()?;
            Tree::unpack(&Session::open(*suite, &self.dir)?, packages, home)?.merge_usr()?.settle()?;
        }
        Ok(())
    }

    /// Fetches etcd, which only the tests of a fleet need, if it is missing.
    pub(crate) fn ensure_etcd(&self) -> Result<()> {
        if self.etcd().exists() {
            return Ok(());
        }
        let _lock = self.begin()?;
        if !self.etcd().exists() {
            self.require_room()?;
            let archives = tempfile::Builder::new()
                .prefix("debs-")
                .tempdir_in(&self.dir)
                .context(|| format!("make a directory in {}", self.dir.display()))?;
            // Guests have the C library, and no users to be added.
            let session = Session::open(Suite::Bookworm, &self.dir)?;
            let debs = session.download_alone(&["etcd-server", "etcd-client"], archives.path())?;
            Tree::of_files(&debs, &self.etcd())?.settle()?;
        }
        Ok(())
    }

    /// Fetches Debian 13's Rust, which only the test on the oldest Rust needs, if it is missing.
    pub(crate) fn ensure_old_rust(&self) -> Result<()> {
        if self.old_rust().exists() {
            return Ok(());
        }
        let _lock = self.begin()?;
        if !self.old_rust().exists() {
            self.require_megabytes(OLD_RUST_ROOM)?;
            let tree = Tree::unpack(&Session::open(Suite::Trixie, &self.dir)?, &["rustc", "cargo"], &self.old_rust())?;
            let tree = tree.without(&C_COMPILER);
            tree.expose("lab-bin", &["rustc", "rustdoc", "cargo"], &self.tools())?;
            // Where LLVM's library looks for its own libraries, and nowhere else.
            let beside = tree.path().join("usr/lib/lib");
            symlink("x86_64-linux-gnu", &beside).context(|| format!("link {}", beside.display()))?;
            tree.settle()?;
        }
        Ok(())
    }

    /// Makes [`Cache::debian`], which only tests of packages need, if it is missing.
    pub(crate) fn ensure_debian(&self) -> Result<()> {
        if self.debian().exists() {
            return Ok(());
        }
        let _lock = self.begin()?;
        if !self.debian().exists() {
            self.require_room()?;
            let [release, next] = [Suite::Bookworm, Suite::Trixie].map(|suite| Session::open(suite, &self.dir));
            packages::system::make(&release?, &next?, &self.debian())?;
        }
        Ok(())
    }

    /// Begins to fill the cache: nobody else does, and nothing half made is left.
    fn begin(&self) -> Result<File> {
        packages::require_machine()?;
        let lock = self.lock()?;
        // All users of a guest read what is made now.
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
        self.remove_leftovers()?;
        Ok(lock)
    }

    fn missing(&self, kernels: &[Kernel]) -> Vec<Kernel> {
        kernels.iter().copied().filter(|kernel| !self.kernel(*kernel).exists()).collect()
    }

    /// Keeps other labs from fetching meanwhile, and from removing what is half made.
    pub(crate) fn lock(&self) -> Result<File> {
        let path = self.dir.join("lock");
        let file = File::create(&path).context(|| format!("write {}", path.display()))?;
        if file.try_lock().is_err() {
            eprintln!("lab: waiting for another lab that is fetching its files …");
            file.lock().context(|| format!("lock {}", path.display()))?;
        }
        Ok(file)
    }

    /// What an interrupted lab left: this process has the lock, so nobody is using it.
    fn remove_leftovers(&self) -> Result<()> {
        let entries = fs::read_dir(&self.dir).context(|| format!("read {}", self.dir.display()))?;
        for entry in entries.flatten() {
            let name = entry.file_name();
            if ["debs-", "tree-"].iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        Ok(())
    }

    /// The package lists of a release, fetched once for all trees made from it.
    fn session<'a>(&self, open: &'a mut BTreeMap<Suite, Session>, suite: Suite) -> Result<&'a Session> {
        self.require_room()?;
        Ok(match open.entry(suite) {
            Entry::Occupied(session) => session.into_mut(),
            Entry::Vacant(place) => place.insert(Session::open(suite, &self.dir)?),
        })
    }

    /// An error when there is too little room to make a tree.
    pub(crate) fn require_room(&self) -> Result<()> {
        self.require_megabytes(ROOM)
    }

    /// The same for a tree that takes this many megabytes.
    pub(crate) fn require_megabytes(&self, needed: u64) -> Result<()> {
        let stat = rustix::fs::statvfs(&self.dir).context(|| format!("examine {}", self.dir.display()))?;
        let free = stat.f_bavail * stat.f_frsize / 1_000_000;
        if free < needed {
            return Err(Error::Space { dir: self.dir.clone(), free, needed });
        }
        Ok(())
    }

    fn make_tools(&self, session: &Session) -> Result<()> {
        let tree = Tree::unpack(session, &TOOL_PACKAGES, &self.tools())?;
        tree.expose("lab-bin", &TOOL_COMMANDS, tree.path())?;
        tree.expose("lab-original", &ORIGINALS, tree.path())?;
        tree.expose("lab-kmod", &["modprobe"], tree.path())?;
        tree.settle()
    }

    fn make_kernel(&self, kernel: Kernel, session: &Session) -> Result<()> {
        let home = self.kernel(kernel);
        let tree = Tree::unpack(session, &["user-mode-linux", "libc6"], &home)?;
        tree.expose("lab-bin", &["linux.uml"], &self.tools())?;
        self.put_modules(kernel, &tree)?;
        tree.settle()
    }

    /// Puts the modules where modprobe looks, below a directory of our own, and a modprobe that
    /// looks there: the host's /lib/modules is not touched.
    fn put_modules(&self, kernel: Kernel, tree: &Tree) -> Result<()> {
        let packaged = tree.path().join("usr/lib/uml/modules");
        let version = only_entry(&packaged)?;
        if !version.starts_with(&format!("{kernel}.")) {
            eprintln!(
                "lab: Debian's {} now has kernel {version}: it is used in place of {kernel}",
                kernel.suite().name()
            );
        }
        let modules = tree.path().join("lab-modules/lib/modules");
        fs::create_dir_all(&modules).context(|| format!("make {}", modules.display()))?;
        let home = self.kernel(kernel);
        let target = home.join("usr/lib/uml/modules").join(&version);
        symlink(&target, modules.join(&version)).context(|| format!("link {}", target.display()))?;
        let wrapper = tree.path().join("lab-bin/modprobe");
        let modprobe = self.tools().join("lab-kmod/modprobe");
        let text = format!("#!/bin/sh\nexec '{}' -d '{}/lab-modules' \"$@\"\n", modprobe.display(), home.display());
        fs::write(&wrapper, text).context(|| format!("write {}", wrapper.display()))?;
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&wrapper, executable).context(|| format!("make {} executable", wrapper.display()))
    }

    /// The preload library for old kernels on new CPUs (see `xstate.c`), compiled at first use;
    /// none where it isn't needed.
    pub(crate) fn register_shim(&self, kernel: Kernel) -> Result<Option<PathBuf>> {
        if !kernel.has_small_register_buffer() || !cpu_has_large_registers() {
            return Ok(None);
        }
        let library = self.dir.join(format!("xstate.{RECIPE}.so"));
        if library.exists() {
            return Ok(Some(library));
        }
        let _lock = self.lock()?;
        if !crate::packages::is_program("cc") {
            let purpose = "compiles a helper without which this kernel cannot start on a CPU with AMX";
            return Err(Error::MissingProgram { program: "cc", purpose, package: "gcc libc6-dev" });
        }
        let dir = tempfile::tempdir_in(&self.dir).context(|| format!("make a directory in {}", self.dir.display()))?;
        let [source, made] = ["xstate.c", "xstate.so"].map(|name| dir.path().join(name));
        fs::write(&source, include_str!("xstate.c")).context(|| format!("write {}", source.display()))?;
        let mut cc = Command::new("cc");
        crate::packages::run(cc.args(["-shared", "-fPIC", "-O2", "-Wall", "-o"]).arg(&made).arg(&source).arg("-ldl"))?;
        fs::rename(&made, &library).context(|| format!("write {}", library.display()))?;
        Ok(Some(library))
    }
}

fn directory() -> Result<PathBuf> {
    let named = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(dir) = named("IPVS_LAB") {
        return std::path::absolute(&dir).context(|| format!("find {}", dir.display()));
    }
    let caches = named("XDG_CACHE_HOME").or_else(|| Some(named("HOME")?.join(".cache")));
    let caches = caches.ok_or(std::io::Error::other("neither IPVS_LAB nor HOME is set"));
    Ok(caches.context(|| "find a place for the lab's files".into())?.join("ipvs-lab"))
}

fn only_entry(dir: &Path) -> Result<String> {
    let first = fs::read_dir(dir).ok().and_then(|mut entries| entries.next()?.ok());
    let name = first.map(|entry| entry.file_name().to_string_lossy().into_owned());
    name.ok_or_else(|| Error::Missing(dir.into()))
}

/// AMX makes a process's registers larger than old user-mode kernels' buffer for them.
fn cpu_has_large_registers() -> bool {
    fs::read_to_string("/proc/cpuinfo").is_ok_and(|info| info.contains(" amx_tile"))
}
