//! The root file system of an emulated PC: an archive that the kernel unpacks into memory.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use crate::error::{Context, Error, Result};

const DIRECTORY: u32 = 0o040_755;
const FILE: u32 = 0o100_755;
const LINK: u32 = 0o120_777;

/// An archive in the making, in the format "newc" of cpio.
#[derive(Debug, Default)]
pub(crate) struct Initrd {
    bytes: Vec<u8>,
    paths: BTreeSet<PathBuf>,
}

impl Initrd {
    /// Adds a program at the path it has here, with the libraries it needs.
    pub(crate) fn add_program(&mut self, program: &Path) -> Result<()> {
        for file in libraries(program)?.iter().map(PathBuf::as_path).chain([program]) {
            self.add_copy(file, file)?;
        }
        Ok(())
    }

    /// Adds a copy of `file` at the path `at`.
    pub(crate) fn add_copy(&mut self, file: &Path, at: &Path) -> Result<()> {
        let bytes = fs::read(file).context(|| format!("read {}", file.display()))?;
        self.add_parents(at);
        self.add(at, FILE, &bytes);
        Ok(())
    }

    /// Adds all files below a directory, at the paths that they have here.
    pub(crate) fn add_directory(&mut self, directory: &Path) -> Result<()> {
        for path in sorted_entries(directory)? {
            if path.is_dir() {
                self.add_directory(&path)?;
            } else if path.is_file() {
                self.add_copy(&path, &path)?;
            }
        }
        Ok(())
    }

    /// Adds all that is below a directory at the path `at`, links as links.
    pub(crate) fn add_tree(&mut self, directory: &Path, at: &Path) -> Result<()> {
        self.add_parents(&at.join("entry"));
        for path in sorted_entries(directory)? {
            let at = at.join(path.file_name().unwrap_or_default());
            if path.is_symlink() {
                let target = fs::read_link(&path).context(|| format!("read {}", path.display()))?;
                self.add_link(&target, &at);
            } else if path.is_dir() {
                self.add_tree(&path, &at)?;
            } else if path.is_file() {
                self.add_copy(&path, &at)?;
            }
        }
        Ok(())
    }

    /// Adds a link.
    pub(crate) fn add_link(&mut self, target: &Path, at: &Path) {
        self.add_parents(at);
        self.add(at, LINK, target.as_os_str().as_encoded_bytes());
    }

    /// Adds a file of this text at the path `at`.
    pub(crate) fn add_text(&mut self, text: &str, at: &Path) {
        self.add_parents(at);
        self.add(at, FILE, text.as_bytes());
    }

    /// Ends the archive and writes it.
    pub(crate) fn write(mut self, to: &Path) -> Result<()> {
        self.entry("TRAILER!!!", 0, &[]);
        let written = File::create(to).and_then(|mut file| file.write_all(&self.bytes));
        written.context(|| format!("write {}", to.display()))
    }

    fn add_parents(&mut self, path: &Path) {
        let mut parents: Vec<_> = path.ancestors().skip(1).filter(|path| path.parent().is_some()).collect();
        parents.reverse();
        parents.into_iter().for_each(|parent| self.add(parent, DIRECTORY, &[]));
    }

    fn add(&mut self, path: &Path, mode: u32, bytes: &[u8]) {
        if self.paths.insert(path.to_owned()) {
            let name = path.strip_prefix("/").unwrap_or(path).to_string_lossy().into_owned();
            self.entry(&name, mode, bytes);
        }
    }

    fn entry(&mut self, name: &str, mode: u32, bytes: &[u8]) {
        let inode = self.paths.len() as u32;
        let (size, name_size) = (bytes.len() as u32, name.len() as u32 + 1);
        // inode mode uid gid links time size device(2) special(2) name's size, checksum
        let fields = [inode, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(bytes);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// The order of a directory differs from machine to machine.
fn sorted_entries(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).context(|| format!("read {}", directory.display()))?;
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort_unstable();
    Ok(paths)
}

/// What the loader would load, itself included; nothing for a static program.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let bytes = fs::read(program).context(|| format!("read {}", program.display()))?;
    if !has_interpreter(&bytes) {
        return Ok(Vec::new());
    }
    let mut command = Command::new(program);
    // The loader prints what it would do and does not start the program; this is what ldd does.
    let output = command.env("LD_TRACE_LOADED_OBJECTS", "1").output();
    let output = output.context(|| format!("run {}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() || text.contains("not found") {
        let (command, output, status) = (format!("ldd {}", program.display()), format!("\n{text}"), output.status);
        return Err(Error::Command { command, status, output });
    }
    Ok(text.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect())
}

/// Whether a program names a loader. Its header must be asked: patchelf moves the name anywhere.
fn has_interpreter(program: &[u8]) -> bool {
    const INTERPRETER: u32 = 3;
    let number = |at: usize| Some(u16::from_le_bytes(*program.get(at..)?.first_chunk()?));
    let long = |at: usize| Some(u64::from_le_bytes(*program.get(at..)?.first_chunk()?));
    let kinds = || {
        let (start, size, count) = (long(32)? as usize, number(54)?, number(56)?);
        let headers = (0..count).map(move |index| start + usize::from(index) * usize::from(size));
        Some(headers.filter_map(|at| Some(u32::from_le_bytes(*program.get(at..)?.first_chunk()?))))
    };
    program.starts_with(b"\x7fELF") && kinds().is_some_and(|mut kinds| kinds.any(|kind| kind == INTERPRETER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_has_each_directory_once_and_is_aligned() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        fs::write(&file, "hello").unwrap();
        let mut initrd = Initrd::default();
        initrd.add_copy(&file, Path::new("/a/b/one")).unwrap();
        initrd.add_copy(&file, Path::new("/a/b/two")).unwrap();
        let archive = dir.path().join("initrd");
        initrd.write(&archive).unwrap();
        let bytes = fs::read(&archive).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        let names: Vec<_> =
            text.split("070701").skip(1).map(|entry| entry[104..].split('\0').next().unwrap()).collect();
        assert_eq!(names, ["a", "a/b", "a/b/one", "a/b/two", "TRAILER!!!"]);
        assert_eq!(bytes.len() % 4, 0);
    }

    #[test]
    fn a_directory_comes_with_all_that_is_below_it() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("deep/er")).unwrap();
        let files = ["deep/er/one", "two"].map(|name| dir.path().join(name));
        files.iter().for_each(|file| fs::write(file, "hello").unwrap());
        std::os::unix::fs::symlink("nowhere", dir.path().join("dangling")).unwrap();
        let mut initrd = Initrd::default();
        initrd.add_directory(dir.path()).unwrap();
        let added: Vec<_> = initrd.paths.iter().filter(|path| path.is_file()).cloned().collect();
        assert_eq!(added, files);
    }

    #[test]
    fn a_tree_keeps_its_links_and_its_empty_directories() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("usr/empty")).unwrap();
        std::os::unix::fs::symlink("usr/empty", dir.path().join("link")).unwrap();
        let mut initrd = Initrd::default();
        initrd.add_tree(dir.path(), Path::new("/")).unwrap();
        let added: Vec<_> = initrd.paths.iter().map(|path| path.to_str().unwrap()).collect();
        assert_eq!(added, ["/link", "/usr", "/usr/empty"]);
        let text = String::from_utf8_lossy(&initrd.bytes).into_owned();
        assert!(text.contains("link\0") && text.contains("usr/empty\0"), "{text}");
    }

    #[test]
    fn a_dynamic_program_brings_its_libraries() {
        let found = libraries(Path::new("/bin/sh")).unwrap();
        assert!(found.iter().all(|path| path.exists()));
        assert!(found.iter().any(|path| path.to_string_lossy().contains("libc")));
    }

    #[test]
    fn a_static_program_and_a_script_bring_none() {
        let this = std::env::current_exe().unwrap();
        assert_eq!(libraries(&this).unwrap(), Vec::<PathBuf>::new());
        assert!(!has_interpreter(b"#!/bin/sh"));
    }
}
