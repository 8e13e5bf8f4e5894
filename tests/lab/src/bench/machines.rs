//! What an emulated PC is made of, fetched at first use: the emulator and Debian's kernels for
//! virtual machines.

use std::{
    ffi::OsStr,
    fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    cache::Cache,
    error::{Context, Error, Result},
    kernel::{Architecture, Kernel, Suite},
    packages::{Session, Tree, run},
};

/// Grows when the way in which these trees are made changes.
const RECIPE: u32 = 1;
/// The same, for the kernels.
const KERNEL_RECIPE: u32 = 4;
/// Where packages have their modules, before and after Debian merged /lib into /usr/lib.
const MODULE_DIRS: [&str; 2] = ["lib/modules", "usr/lib/modules"];
/// What IPVS needs is below these.
const MODULES_KEPT: [&str; 3] = ["net", "lib", "crypto"];
/// And of network drivers, what a monitor and a second machine need.
const DRIVERS_KEPT: [&str; 3] = ["dummy.ko", "nlmon.ko", "veth.ko"];
/// What the emulator's packages have and nothing here uses.
const SUPERFLUOUS: [&str; 4] = ["usr/libexec", "usr/bin/qemu-system-i386", "usr/lib/ipxe", "usr/share/iso-codes"];

/// An emulated PC: its processor, and the kernel that it boots.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Machine {
    pub(crate) kernel: Kernel,
    pub(crate) architecture: Architecture,
}

impl Machine {
    /// An ordinary PC.
    pub(crate) fn ordinary(kernel: Kernel) -> Self {
        Self { kernel, architecture: Architecture::Amd64 }
    }

    /// The emulator's tree.
    pub(super) fn emulator_tree(self, cache: &Cache) -> PathBuf {
        let name = match self.architecture {
            Architecture::Amd64 => "emulator",
            Architecture::Arm64 => "emulator-aarch64",
        };
        cache.dir().join(format!("{name}.{RECIPE}"))
    }

    /// The emulator.
    pub(super) fn emulator(self, cache: &Cache) -> PathBuf {
        self.emulator_tree(cache).join("lab-bin").join(self.emulator_name())
    }

    fn emulator_name(self) -> String {
        format!("qemu-system-{}", self.architecture.machine())
    }

    fn emulator_package(self) -> &'static str {
        match self.architecture {
            Architecture::Amd64 => "qemu-system-x86",
            Architecture::Arm64 => "qemu-system-arm",
        }
    }

    /// The kernel's tree: `vmlinuz` and `modules/lib/modules/VERSION`.
    pub(super) fn kernel_tree(self, cache: &Cache) -> PathBuf {
        let (kernel, of) = (self.kernel, self.architecture);
        let name = match of {
            Architecture::Amd64 => format!("pc-kernel-{kernel}"),
            Architecture::Arm64 => format!("pc-kernel-{}-{kernel}", of.machine()),
        };
        cache.dir().join(format!("{name}.{KERNEL_RECIPE}"))
    }

    /// The directory with the kernel's modules and their index.
    pub(crate) fn modules(self, cache: &Cache) -> PathBuf {
        self.kernel_tree(cache).join("modules/lib/modules")
    }
}

/// Loads modules: a program of the lab's tools.
pub(crate) fn modprobe(cache: &Cache) -> PathBuf {
    cache.tools().join("lab-kmod/modprobe")
}

/// Fetches what is missing. The cache's tools must be there.
pub(crate) fn ensure(cache: &Cache, machines: &[Machine]) -> Result<()> {
    let is_whole = |machine: &Machine| machine.emulator_tree(cache).exists() && machine.kernel_tree(cache).exists();
    if machines.iter().all(is_whole) {
        return Ok(());
    }
    let _lock = cache.lock()?;
    for machine in machines {
        if !machine.emulator_tree(cache).exists() {
            make_emulator(cache, *machine)?;
        }
        if !machine.kernel_tree(cache).exists() {
            make_kernel(cache, *machine)?;
        }
    }
    Ok(())
}

fn make_emulator(cache: &Cache, machine: Machine) -> Result<()> {
    cache.require_room()?;
    let session = Session::open(Suite::Bookworm, cache.dir())?;
    let tree = Tree::unpack(&session, &[machine.emulator_package()], &machine.emulator_tree(cache))?;
    tree.expose("lab-bin", &[&machine.emulator_name()], &cache.tools())?;
    for name in SUPERFLUOUS {
        let path = tree.path().join(name);
        let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
    }
    tree.settle()
}

fn make_kernel(cache: &Cache, machine: Machine) -> Result<()> {
    cache.require_room()?;
    let session = Session::open_for(machine.kernel.suite(), machine.architecture, cache.dir())?;
    let package = format!("linux-image-cloud-{}", machine.architecture.debian());
    let tree = Tree::unpack(&session, &[&package], &machine.kernel_tree(cache))?;
    let packaged = entries(tree.path())?;
    let modules = keep_modules(tree.path())?;
    let image = find_image(tree.path(), &modules)?;
    rename(&image, &tree.path().join("vmlinuz"))?;
    for path in packaged {
        let _ = if path.is_symlink() { fs::remove_file(&path) } else { fs::remove_dir_all(&path) };
    }
    index_modules(cache, &tree.path().join("modules"), &version(&modules)?)?;
    tree.settle()
}

/// Moves the modules that may be needed to the tree's `modules`. Gives their directory.
fn keep_modules(tree: &Path) -> Result<PathBuf> {
    let found = MODULE_DIRS.iter().filter_map(|dir| entries(&tree.join(dir)).ok()?.into_iter().next()).next();
    let packaged = found.ok_or_else(|| Error::Missing(MODULE_DIRS[0].into()))?;
    let kept = tree.join("modules/lib/modules").join(version(&packaged)?);
    fs::create_dir_all(kept.parent().unwrap_or(tree)).context(|| format!("make {}", kept.display()))?;
    rename(&packaged, &kept)?;
    for driver in entries(&kept.join("kernel/drivers/net"))? {
        // They may be compressed.
        let is_kept = |name: &&OsStr| DRIVERS_KEPT.iter().any(|kept| name.to_string_lossy().starts_with(kept));
        if let Some(name) = driver.file_name().filter(is_kept) {
            rename(&driver, &kept.join("kernel/net").join(name))?;
        }
    }
    for path in entries(&kept.join("kernel"))? {
        if !MODULES_KEPT.iter().any(|name| path.ends_with(name)) {
            let _ = fs::remove_dir_all(path);
        }
    }
    Ok(kept)
}

/// In `boot`, or, in newer releases, among the modules.
fn find_image(tree: &Path, modules: &Path) -> Result<PathBuf> {
    let places = [tree.join("boot"), modules.to_owned()];
    let mut files = places.iter().filter_map(|dir| entries(dir).ok()).flatten();
    let is_image = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz"));
    files.find(is_image).ok_or_else(|| Error::Missing("boot/vmlinuz".into()))
}

/// Writes the index that modprobe reads.
fn index_modules(cache: &Cache, root: &Path, version: &str) -> Result<()> {
    // All tools of kmod are one program, which looks at its own name.
    let mut depmod = Command::new(modprobe(cache));
    run(depmod.arg0("depmod").arg("-b").arg(root).arg(version))
}

/// The index, these modules and those that they need: each file, and where it belongs below the
/// guest's root.
pub(super) fn module_files(cache: &Cache, machine: Machine, modules: &[&str]) -> Result<Vec<(PathBuf, PathBuf)>> {
    let root = machine.kernel_tree(cache).join("modules");
    let dirs = entries(&root.join("lib/modules"))?;
    let dir = dirs.first().ok_or_else(|| Error::Missing(root.clone()))?;
    let mut files: Vec<_> = entries(dir)?.into_iter().filter(|path| path.is_file() && !is_image(path)).collect();
    files.extend(needed_modules(cache, &root, &version(dir)?, modules)?);
    let inside = |file: PathBuf| {
        let at = Path::new("/").join(file.strip_prefix(&root).unwrap_or(&file));
        (file, at)
    };
    Ok(files.into_iter().map(inside).collect())
}

fn is_image(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "vmlinuz")
}

/// Asks modprobe, which says `insmod /a/b.ko` for each, in order.
fn needed_modules(cache: &Cache, root: &Path, version: &str, modules: &[&str]) -> Result<Vec<PathBuf>> {
    let mut command = Command::new(modprobe(cache));
    command.arg("-d").arg(root).args(["-S", version, "--show-depends", "-a"]).args(modules);
    let output = command.output().context(|| "run modprobe".into())?;
    if !output.status.success() {
        let said = format!("\n{}", String::from_utf8_lossy(&output.stderr));
        return Err(Error::Command { command: format!("{command:?}"), status: output.status, output: said });
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let paths = text.lines().filter_map(|line| line.strip_prefix("insmod "));
    Ok(paths.map(|path| PathBuf::from(path.trim())).collect())
}

fn version(modules: &Path) -> Result<String> {
    let name = modules.file_name().ok_or_else(|| Error::Missing(modules.to_owned()))?;
    Ok(name.to_string_lossy().into_owned())
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).context(|| format!("read {}", dir.display()))?;
    Ok(entries.filter_map(|entry| Some(entry.ok()?.path())).collect())
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).context(|| format!("move {} to {}", from.display(), to.display()))
}
