//! Programs from one Debian release on a host of another: they get the loader and the libraries
//! they were built with.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    process::Command,
};

use super::tree::run;
use crate::error::{Error, Result};

/// Where packages put libraries, before and after Debian merged /lib into /usr/lib.
const LIBRARY_DIRS: [&str; 2] = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"];
const LOADER: &str = "ld-linux-x86-64.so.2";

/// `patchelf` of a tree of packages, run with that tree's libraries.
#[derive(Debug)]
pub(crate) struct Patcher<'a> {
    tree: &'a Path,
    loader: PathBuf,
}

impl<'a> Patcher<'a> {
    /// `tree` must hold patchelf and its libraries.
    pub(crate) fn new(tree: &'a Path) -> Result<Self> {
        let (_, loader) = loader(tree)?;
        Ok(Self { tree, loader })
    }

    /// Binds a program to the loader and libraries of its tree, which is now in `tree` and will
    /// live in `home`.
    pub(crate) fn adopt(&self, program: &Path, tree: &Path, home: &Path) -> Result<()> {
        let (inside, _) = loader(tree)?;
        // DT_RPATH, unlike its successor, also serves the libraries' own dependencies and dlopen.
        self.patch(&["--force-rpath", "--set-rpath", &library_path(home)], program)?;
        // At once with the path, patchelf would put the dynamic section of kernel 5.10 into a page
        // that can't be written.
        self.patch(&["--set-interpreter", &home.join(inside).display().to_string()], program)
    }

    fn patch(&self, arguments: &[&str], program: &Path) -> Result<()> {
        let mut command = Command::new(&self.loader);
        command.arg("--library-path").arg(library_path(self.tree)).arg(self.tree.join("usr/bin/patchelf"));
        run(command.args(arguments).arg(program))
    }
}

/// The dynamic loader: inside the tree, and as a whole path.
fn loader(tree: &Path) -> Result<(PathBuf, PathBuf)> {
    let candidates = LIBRARY_DIRS.iter().map(|dir| Path::new(dir).join(LOADER));
    let found = candidates.map(|inside| (inside.clone(), tree.join(inside))).find(|(_, path)| path.exists());
    found.ok_or_else(|| Error::Missing(tree.join(LOADER)))
}

fn library_path(tree: &Path) -> String {
    LIBRARY_DIRS.map(|dir| tree.join(dir).display().to_string()).join(":")
}

/// Whether the file is a program that names a loader (not a script, not a static program).
pub(crate) fn is_dynamic_program(path: &Path) -> bool {
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(4096).read_to_end(&mut start));
    read.is_ok()
        && start.starts_with(b"\x7fELF")
        && start.windows(LOADER.len()).any(|window| window == LOADER.as_bytes())
}
