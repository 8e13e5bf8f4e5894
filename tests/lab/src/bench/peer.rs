//! pyroute2, a library for IPVS in Python, fetched at first use: its Python from Debian, itself
//! from the Python Package Index.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::initrd::Initrd;
use crate::{
    cache::Cache,
    error::{Context, Error, Result},
    kernel::Suite,
    packages::{Session, Tree, run},
};

/// Grows when the way in which these trees are made, or the version below, changes.
const RECIPE: u32 = 1;
/// Debian's releases, up to 13, have one that does not know IPVS.
const REQUIREMENT: &str =
    "pyroute2==0.9.7 --hash=sha256:01a2a3afe565a6acb0a0d5d8ac86c9682b6564407e3d9589070191ae94b737e8\n";
/// What the packages have and nothing here uses.
const SUPERFLUOUS: [&str; 7] =
    ["etc", "sbin", "usr/sbin", "usr/share", "usr/lib/apt", "usr/lib/x86_64-linux-gnu/perl-base", "var"];
/// Where Python's own modules have libraries that they load.
const LIBRARY_DIRS: [&str; 2] = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"];

/// Python and the directory with pyroute2.
#[derive(Debug)]
pub(crate) struct Peer {
    tree: PathBuf,
    python: PathBuf,
    directory: PathBuf,
}

impl Peer {
    /// The peer; `None` where it can't be had, after the reason was printed.
    pub(crate) fn find(cache: &Cache) -> Result<Option<Self>> {
        match Self::ensure(cache) {
            Ok(peer) => Ok(Some(peer)),
            Err(Error::Interrupted) => Err(Error::Interrupted),
            Err(reason) => {
                eprintln!("lab: pyroute2 is left out: {reason}");
                Ok(None)
            }
        }
    }

    /// The directory with pyroute2.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    fn ensure(cache: &Cache) -> Result<Self> {
        let [tree, directory] = ["python", "pyroute2"].map(|name| cache.dir().join(format!("{name}.{RECIPE}")));
        let _lock = cache.lock()?;
        if !tree.exists() {
            make_python(cache, &tree)?;
        }
        let link = tree.join("lab-bin/python3");
        // By this name Python finds its modules.
        let python = link.canonicalize().context(|| format!("find {}", link.display()))?;
        let peer = Self { tree, python, directory };
        if !peer.directory.exists() {
            peer.install(cache)?;
        }
        Ok(peer)
    }

    /// Fetches pyroute2. An emulated PC would need a minute to compile all the modules, so this is
    /// done here.
    fn install(&self, cache: &Cache) -> Result<()> {
        let made = tempfile::Builder::new().prefix("tree-").tempdir_in(cache.dir());
        let made = made.context(|| format!("make a directory in {}", cache.dir().display()))?;
        let (requirements, target) = (made.path().join("requirements"), made.path().join("pyroute2"));
        fs::write(&requirements, REQUIREMENT).context(|| format!("write {}", requirements.display()))?;
        eprintln!("lab: downloading pyroute2 …");
        let mut pip = self.python();
        pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes"]);
        run(pip.args(["--no-compile", "--target"]).arg(&target).arg("--requirement").arg(&requirements))?;
        // Files have no dates in an initrd, so Python must not look whether its own are older.
        let mut compile = self.python();
        compile.args(["-m", "compileall", "-q", "--invalidation-mode=unchecked-hash"]);
        run(compile.args([&self.modules(), &target]))?;
        fs::rename(&target, &self.directory).context(|| format!("make {}", self.directory.display()))
    }

    fn python(&self) -> Command {
        let mut command = Command::new(&self.python);
        command.env("PYTHONPATH", self.tree.join("usr/lib/python3/dist-packages")).env("PYTHONNOUSERSITE", "1");
        command
    }

    /// Python's own modules, in a directory with its version in its name, as its program has.
    fn modules(&self) -> PathBuf {
        self.tree.join("usr/lib").join(self.python.file_name().unwrap_or_default())
    }

    /// Adds it to an emulated PC.
    pub(super) fn add_to(&self, initrd: &mut Initrd) -> Result<()> {
        initrd.add_program(&self.python)?;
        initrd.add_directory(&self.modules())?;
        initrd.add_directory(&self.directory)?;
        LIBRARY_DIRS.iter().try_for_each(|dir| add_libraries(initrd, &self.tree.join(dir)))
    }

    /// The arguments for `bench-guest`.
    pub(super) fn argument(&self) -> String {
        format!("peer={}:{}", self.python.display(), self.directory.display())
    }
}

fn make_python(cache: &Cache, home: &Path) -> Result<()> {
    cache.require_room()?;
    let session = Session::open(Suite::Bookworm, cache.dir())?;
    let tree = Tree::unpack(&session, &["python3", "python3-pip"], home)?.without(&SUPERFLUOUS);
    tree.expose("lab-bin", &["python3"], &cache.tools())?;
    tree.settle()
}

/// Those in the directory itself.
fn add_libraries(initrd: &mut Initrd, dir: &Path) -> Result<()> {
    let entries = fs::read_dir(dir).context(|| format!("read {}", dir.display()))?;
    let mut files = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_file());
    files.try_for_each(|file| initrd.add_copy(&file, &file))
}
