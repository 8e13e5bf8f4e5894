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
    kernel::{Kernel, Suite},
    packages::{Session, Tree, run},
};

/// Grows when the way in which these trees are made changes.
const RECIPE: u32 = 1;
/// The same, for the kernels.
const KERNEL_RECIPE: u32 = 3;
const EMULATOR: &str = "qemu-system-x86_64";
const KERNEL_PACKAGE: &str = "linux-image-cloud-amd64";
/// Where packages have their modules, before and after Debian merged /lib into /usr/lib.
const MODULE_DIRS: [&str; 2] = ["lib/modules", "usr/lib/modules"];
/// What IPVS needs is below these.
const MODULES_KEPT: [&str; 3] = ["net", "lib", "crypto"];
/// And of network drivers, what a monitor and a second machine need.
const DRIVERS_KEPT: [&str; 2] = ["nlmon.ko", "veth.ko"];
/// What the emulator's packages have and nothing here uses.
const SUPERFLUOUS: [&str; 4] = ["usr/libexec", "usr/bin/qemu-system-i386", "usr/lib/ipxe", "usr/share/iso-codes"];

/// The emulator's tree.
pub(super) fn emulator_tree(cache: &Cache) -> PathBuf {
    cache.dir().join(format!("emulator.{RECIPE}"))
}

/// The emulator.
pub(super) fn emulator(cache: &Cache) -> PathBuf {
    emulator_tree(cache).join("lab-bin").join(EMULATOR)
}

/// A kernel's tree: `vmlinuz` and `modules/lib/modules/VERSION`.
pub(super) fn kernel_tree(cache: &Cache, kernel: Kernel) -> PathBuf {
    cache.dir().join(format!("pc-kernel-{kernel}.{KERNEL_RECIPE}"))
}

/// Loads modules: a program of the lab's tools.
pub(crate) fn modprobe(cache: &Cache) -> PathBuf {
    cache.tools().join("lab-kmod/modprobe")
}

/// Fetches what is missing. The cache's tools must be there.
pub(crate) fn ensure(cache: &Cache, kernels: &[Kernel]) -> Result<()> {
    let missing = || kernels.iter().copied().filter(|kernel| !kernel_tree(cache, *kernel).exists());
    if emulator_tree(cache).exists() && missing().next().is_none() {
        return Ok(());
    }
    let _lock = cache.lock()?;
    if !emulator_tree(cache).exists() {
        make_emulator(cache)?;
    }
    missing().try_for_each(|kernel| make_kernel(cache, kernel))
}

fn make_emulator(cache: &Cache) -> Result<()> {
    cache.require_room()?;
    let session = Session::open(Suite::Bookworm, cache.dir())?;
    let tree = Tree::unpack(&session, &["qemu-system-x86"], &emulator_tree(cache))?;
    tree.expose("lab-bin", &[EMULATOR], &cache.tools())?;
    for name in SUPERFLUOUS {
        let path = tree.path().join(name);
        let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
    }
    tree.settle()
}

fn make_kernel(cache: &Cache, kernel: Kernel) -> Result<()> {
    cache.require_room()?;
    let session = Session::open(kernel.suite(), cache.dir())?;
    let tree = Tree::unpack(&session, &[KERNEL_PACKAGE], &kernel_tree(cache, kernel))?;
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
pub(crate) fn module_files(cache: &Cache, kernel: Kernel, modules: &[&str]) -> Result<Vec<(PathBuf, PathBuf)>> {
    let root = kernel_tree(cache, kernel).join("modules");
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
