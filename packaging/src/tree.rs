//! A directory with files as they will be on a machine: fixed modes, whatever the umask.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use crate::{
    archive,
    error::{Context, Error, Result},
};

/// The directory.
#[derive(Debug)]
pub(crate) struct Tree {
    root: PathBuf,
}

/// What a file is for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mode {
    /// To be read.
    Data,
    /// To be run.
    Program,
}

impl Mode {
    /// The permissions.
    pub(crate) fn bits(self) -> u32 {
        match self {
            Self::Data => 0o644,
            Self::Program => 0o755,
        }
    }
}

impl Tree {
    /// A new, empty one.
    pub(crate) fn create(root: &Path) -> Result<Self> {
        if root.exists() {
            return Err(Error::Exists(root.to_owned()));
        }
        let tree = Self { root: root.to_owned() };
        tree.directory(root)?;
        Ok(tree)
    }

    /// Writes a file; `path` begins at the root, without slash.
    pub(crate) fn file(&self, path: &str, bytes: impl AsRef<[u8]>, mode: Mode) -> Result<()> {
        let path = self.place(path)?;
        fs::write(&path, bytes).context(|| format!("write {}", path.display()))?;
        set_mode(&path, mode.bits())
    }

    /// Writes a file compressed, as documentation is shipped; `path` ends in `.gz`.
    pub(crate) fn compressed(&self, path: &str, text: &str) -> Result<()> {
        self.file(path, archive::gzip(text.as_bytes())?, Mode::Data)
    }

    /// Makes a link.
    pub(crate) fn link(&self, path: &str, target: &str) -> Result<()> {
        let path = self.place(path)?;
        symlink(target, &path).context(|| format!("link {}", path.display()))
    }

    /// Kilobytes that it takes on a disk, as Debian counts them: each file and directory by itself.
    pub(crate) fn kilobytes(&self) -> Result<u64> {
        let mut sum = 0;
        self.each_file(&mut |_, path| {
            let length = fs::symlink_metadata(path).context(|| format!("examine {}", path.display()))?.len();
            sum += length.div_ceil(1024).max(1);
            Ok(())
        })?;
        Ok(sum)
    }

    /// Calls a function with each file, in an order that never changes: its path from the root, and
    /// the whole one.
    pub(crate) fn each_file(&self, visit: &mut dyn FnMut(&Path, &Path) -> Result<()>) -> Result<()> {
        walk(&self.root, &self.root, visit)
    }

    fn place(&self, path: &str) -> Result<PathBuf> {
        let path = self.root.join(path);
        self.directory(path.parent().unwrap_or(&self.root))?;
        Ok(path)
    }

    /// Makes a directory and those above it, down to the root.
    fn directory(&self, path: &Path) -> Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        if path != self.root
            && let Some(parent) = path.parent()
        {
            self.directory(parent)?;
        }
        fs::create_dir(path).context(|| format!("make {}", path.display()))?;
        set_mode(path, 0o755)
    }
}

fn set_mode(path: &Path, mode: u32) -> Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .context(|| format!("set the mode of {}", path.display()))
}

fn walk(root: &Path, directory: &Path, visit: &mut dyn FnMut(&Path, &Path) -> Result<()>) -> Result<()> {
    let entries = fs::read_dir(directory).context(|| format!("read {}", directory.display()))?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() && !path.is_symlink() {
            walk(root, &path, visit)?;
        } else {
            visit(path.strip_prefix(root).unwrap_or(&path), &path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_fixed_and_files_come_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::create(&dir.path().join("root")).unwrap();
        tree.file("usr/sbin/program", "x", Mode::Program).unwrap();
        tree.file("etc/settings", "x".repeat(1025), Mode::Data).unwrap();
        tree.link("usr/link", "sbin/program").unwrap();
        let mut seen = Vec::new();
        tree.each_file(&mut |path, whole| {
            seen.push((path.display().to_string(), fs::symlink_metadata(whole).unwrap().permissions().mode() & 0o777));
            Ok(())
        })
        .unwrap();
        let expected = [("etc/settings", 0o644), ("usr/link", 0o777), ("usr/sbin/program", 0o755)];
        assert_eq!(seen, expected.map(|(path, mode)| (path.to_owned(), mode)));
        assert_eq!(tree.kilobytes().unwrap(), 2 + 1 + 1);
        assert_eq!(fs::metadata(dir.path().join("root/usr")).unwrap().permissions().mode() & 0o777, 0o755);
    }

    #[test]
    fn a_directory_that_is_in_use_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let error = Tree::create(dir.path()).unwrap_err();
        assert!(matches!(error, Error::Exists(_)), "{error}");
    }
}
