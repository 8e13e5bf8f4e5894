//! A directory with unpacked packages, used in place: commands run from it with the libraries in
//! it.

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use super::{Session, deb, elf};
use crate::{
    error::{Context, Error, Result},
    signals,
};

/// Directories of commands, in the order in which a shell would look.
const COMMAND_DIRS: [&str; 4] = ["usr/sbin", "usr/bin", "sbin", "bin"];
/// Documentation that nobody reads in a cache.
const SUPERFLUOUS: [&str; 4] = ["usr/share/man", "usr/share/locale", "usr/share/lintian", "usr/share/info"];
/// Packages whose documentation has sample configurations, which tests read.
const SAMPLES: [&str; 2] = ["keepalived", "ldirectord"];

/// Directories that are links into `usr` on an installed system, though packages still name them.
const MERGED: [&str; 4] = ["bin", "sbin", "lib", "lib64"];

/// Unpacked packages on their way to a place of their own.
#[derive(Debug)]
pub(crate) struct Tree {
    dir: TempDir,
    home: PathBuf,
}

impl Tree {
    /// Downloads and unpacks the packages. The tree will live in `home`: until [`Tree::settle`] it
    /// is somewhere beside it.
    pub(crate) fn unpack(session: &Session, packages: &[&str], home: &Path) -> Result<Self> {
        let archives = directory_beside(home, "debs-")?;
        let debs = session.download(packages, archives.path())?;
        let tree = Self::of_files(&debs, home)?.without(&SUPERFLUOUS);
        for document in fs::read_dir(tree.path().join("usr/share/doc")).into_iter().flatten().flatten() {
            if !SAMPLES.iter().any(|name| document.file_name() == *name) {
                let _ = fs::remove_dir_all(document.path());
            }
        }
        Ok(tree)
    }

    /// Unpacks package files that are here already.
    pub(crate) fn of_files(debs: &[PathBuf], home: &Path) -> Result<Self> {
        let dir = directory_beside(home, "tree-")?;
        debs.iter().try_for_each(|deb| deb::unpack(deb, dir.path()))?;
        Ok(Self { dir, home: home.to_owned() })
    }

    /// Leaves out directories that nobody needs.
    pub(crate) fn without(self, directories: &[&str]) -> Self {
        for name in directories {
            let _ = fs::remove_dir_all(self.path().join(name));
        }
        self
    }

    /// Where the tree is now.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Makes commands runnable from the tree's home by links to them in its directory `bin`. Each
    /// is a name in the packages, or `name=target` for a name of our own. `patchelf_in` is a tree
    /// (this or another) that has patchelf.
    pub(crate) fn expose(&self, bin: &str, commands: &[&str], patchelf_in: &Path) -> Result<()> {
        let bin = self.path().join(bin);
        fs::create_dir_all(&bin).context(|| format!("make {}", bin.display()))?;
        let mut patched = Vec::new();
        for command in commands {
            let (name, target) = command.split_once('=').unwrap_or((command, command));
            let file = self.find(target)?;
            if elf::is_dynamic_program(&file) && !patched.contains(&file) {
                elf::Patcher::new(patchelf_in)?.adopt(&file, self.path(), &self.home)?;
                patched.push(file.clone());
            }
            let inside = file.strip_prefix(self.path()).unwrap_or(&file);
            symlink(self.home.join(inside), bin.join(name)).context(|| format!("link {name} in {}", bin.display()))?;
        }
        Ok(())
    }

    /// Makes the tree fit to be a root directory: `/bin` and the like become links into `/usr`, as
    /// on every Debian.
    pub(crate) fn merge_usr(self) -> Result<Self> {
        for name in MERGED {
            let (from, to) = (self.path().join(name), self.path().join("usr").join(name));
            if from.is_symlink() {
                continue; // Debian 13's packages have it so
            }
            move_into(&from, &to).context(|| format!("move {} to {}", from.display(), to.display()))?;
            symlink(Path::new("usr").join(name), &from).context(|| format!("link {}", from.display()))?;
        }
        Ok(self)
    }

    /// The file behind a command, all links followed inside the tree.
    fn find(&self, command: &str) -> Result<PathBuf> {
        let candidates = COMMAND_DIRS.iter().map(|dir| self.path().join(dir).join(command));
        let found = candidates.filter_map(|path| self.follow(path)).next();
        found.ok_or_else(|| Error::Missing(command.into()))
    }

    /// Absolute links mean the tree's root, not the host's.
    fn follow(&self, mut path: PathBuf) -> Option<PathBuf> {
        for _ in 0..8 {
            let Ok(target) = fs::read_link(&path) else { return path.is_file().then_some(path) };
            path = match target.strip_prefix("/") {
                Ok(inside) => self.path().join(inside),
                Err(_) => path.parent()?.join(target),
            };
        }
        None
    }

    /// Moves the finished tree to its home, in one step: who sees it there sees all of it.
    pub(crate) fn settle(self) -> Result<()> {
        let from = self.dir.keep();
        // mkdtemp makes it private; other users may share a cache.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&from, mode).context(|| format!("open up {}", from.display()))?;
        fs::rename(&from, &self.home).context(|| format!("move {} to {}", from.display(), self.home.display()))
    }
}

/// A temporary directory in the same file system, with a name by which leftovers are known.
pub(super) fn directory_beside(home: &Path, prefix: &str) -> Result<TempDir> {
    let parent = home.parent().unwrap_or(Path::new("/"));
    let made = tempfile::Builder::new().prefix(prefix).tempdir_in(parent);
    made.context(|| format!("make a directory in {}", parent.display()))
}

/// Moves all that a directory holds, if there is one, into another, and the directory away.
fn move_into(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    if !from.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            move_into(&path, &target)?;
        } else {
            fs::rename(path, target)?;
        }
    }
    fs::remove_dir(from)
}

/// Runs a helper whose output matters only when it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    output(command).map(drop)
}

/// Runs a helper, and gives what it printed.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    signals::check()?;
    let what = format!("{command:?}");
    let output = command.output().context(|| format!("run {what}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = format!("\n{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Err(Error::Command { command: what, status: output.status, output: said.trim_end().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_moved_with_all_that_is_in_them() {
        let dir = tempfile::tempdir().unwrap();
        let [from, to] = ["lib", "usr/lib"].map(|name| dir.path().join(name));
        fs::create_dir_all(from.join("deep/er")).unwrap();
        fs::create_dir_all(to.join("deep")).unwrap();
        fs::write(from.join("deep/er/file"), "moved").unwrap();
        fs::write(to.join("deep/file"), "was there").unwrap();
        symlink("deep/er/file", from.join("link")).unwrap();
        move_into(&from, &to).unwrap();
        assert!(!from.exists());
        assert_eq!(fs::read_to_string(to.join("link")).unwrap(), "moved");
        assert_eq!(fs::read_to_string(to.join("deep/file")).unwrap(), "was there");
    }
}
