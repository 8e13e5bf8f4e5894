//! Files that are replaced in one step, and the directory of the program's state.
//!
//! The programs run as root, and a directory may belong to another user, who may place symbolic
//! links in it. So the text is written to a new file (`O_EXCL`, `O_NOFOLLOW`) with a random name,
//! which is then renamed. Only a regular file is replaced.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use ipvs_text::escape;
use rustix::fs::{self, Access, AtFlags, FileType, Gid, Mode, OFlags, RawMode, Stat, Uid};
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

/// The largest file of a state directory that is read.
const LARGEST: u64 = 16 << 20;

/// Why a file was not read or not written.
#[derive(Debug)]
pub(crate) enum FileError {
    /// It is not a regular file.
    NotRegular {
        /// Its name.
        path: PathBuf,
        /// Its kind.
        kind: &'static str,
    },
    /// Users other than root and the one who runs this may write to the directory.
    UnsafeDirectory {
        /// Its name.
        path: PathBuf,
        /// Why.
        reason: &'static str,
    },
    /// A line of the file was not written by this program.
    Damaged {
        /// The file.
        path: PathBuf,
        /// The number of the line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// The system refused.
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl FileError {
    fn io(path: &Path, error: impl Into<io::Error>) -> Self {
        FileError::Io { path: path.to_owned(), error: error.into() }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FileError::NotRegular { path, kind } => {
                let path = escape::path(path);
                write!(f, "{path}: it is {kind}, but must be a regular file or not there")
            }
            FileError::UnsafeDirectory { path, reason } => {
                let path = escape::path(path);
                write!(f, "{path}: {reason}; the directory must be writable only by the user who runs this, or by root")
            }
            FileError::Damaged { path, line, reason } => write!(f, "{}:{line}: {reason}", escape::path(path)),
            FileError::Io { path, error } => write!(f, "{}: {error}", escape::path(path)),
        }
    }
}

impl std::error::Error for FileError {}

/// Replaces the file: readers see the old text or the new one, also after a crash.
///
/// An existing file keeps its permissions, and its owner if this user may change it; a new one gets
/// `mode`. If `mode` lets nobody else read it, it gets that and this user in any case: another user
/// may have laid the file there to read what comes.
///
/// # Errors
/// [`FileError::NotRegular`] for a device, a FIFO, a socket, a symbolic link or a directory. After
/// any error, `path` is unchanged.
pub(crate) fn write(path: &Path, text: &[u8], mode: RawMode) -> Result<(), FileError> {
    write_with(path, mode, |file| file.write_all(text))
}

/// As [`write`](self::write()), with what this function writes.
pub(crate) fn write_with(
    path: &Path,
    mode: RawMode,
    text: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<(), FileError> {
    let name = path.file_name().ok_or_else(|| FileError::NotRegular { path: path.to_owned(), kind: "a directory" })?;
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let directory = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = fs::open(parent, directory, Mode::empty()).map_err(|error| FileError::io(path, error))?;
    replace(&directory, path, name, mode, text)
}

fn replace(
    directory: &OwnedFd,
    path: &Path,
    name: &OsStr,
    mode: RawMode,
    text: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<(), FileError> {
    let failed = |error| FileError::io(path, error);
    let old = match fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(old) => Some(old),
        Err(Errno::NOENT) => None,
        Err(error) => return Err(failed(error)),
    };
    if let Some(kind) = old.as_ref().and_then(other_kind) {
        return Err(FileError::NotRegular { path: path.to_owned(), kind });
    }
    let (draft, file) = draft(directory, name).map_err(failed)?;
    let written = fill(file, old.as_ref(), mode, text)
        .and_then(|()| Ok(fs::renameat(directory, &draft, directory, name)?))
        .and_then(|()| Ok(fs::fsync(directory)?));
    written.map_err(|error| {
        // After the rename there is no draft, and a second error adds nothing.
        let _ = fs::unlinkat(directory, &draft, AtFlags::empty());
        FileError::io(path, error)
    })
}

/// Creates a file with a random name.
fn draft(directory: &OwnedFd, name: &OsStr) -> rustix::io::Result<(OsString, File)> {
    loop {
        let mut random = [0; 8];
        // Few bytes are never returned in part.
        getrandom(&mut random, GetRandomFlags::empty())?;
        let mut draft = OsString::from(".");
        draft.push(name);
        draft.push(format!(".{:016x}.new", u64::from_ne_bytes(random)));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match fs::openat(directory, &draft, flags, Mode::RUSR | Mode::WUSR) {
            Err(Errno::EXIST) => {}
            opened => return opened.map(|file| (draft, file.into())),
        }
    }
}

fn fill(
    mut file: File,
    old: Option<&Stat>,
    mode: RawMode,
    text: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    const PERMISSIONS: RawMode = 0o777;
    text(&mut file)?;
    let old = old.filter(|_| mode & 0o077 != 0);
    if let Some(old) = old {
        // Only root may do this. A failure is no reason not to write.
        let _ = fs::fchown(&file, Some(Uid::from_raw(old.st_uid)), Some(Gid::from_raw(old.st_gid)));
    }
    fs::fchmod(&file, Mode::from_raw_mode(old.map_or(mode, |old| old.st_mode & PERMISSIONS)))?;
    file.sync_all()
}

/// The kind, if it is not a regular file.
fn other_kind(stat: &Stat) -> Option<&'static str> {
    Some(match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => return None,
        FileType::Directory => "a directory",
        FileType::Symlink => "a symbolic link",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        FileType::Unknown => "something unknown",
    })
}

/// A directory for trusted files: only root or the user who runs this can write to it.
#[derive(Debug)]
pub(crate) struct StateDirectory {
    path: PathBuf,
    directory: OwnedFd,
}

impl StateDirectory {
    /// Opens the directory; creates it with mode 0700 if only the last component is missing.
    ///
    /// # Errors
    /// [`FileError::UnsafeDirectory`] if another user owns it or may write to it.
    pub(crate) fn open(path: &Path) -> Result<Self, FileError> {
        let failed = |error: Errno| FileError::io(path, error);
        let made = fs::mkdir(path, Mode::RWXU);
        match made {
            Ok(()) | Err(Errno::EXIST) => {}
            // On a read-only file system the directory may exist; `open` finds out.
            Err(Errno::ROFS | Errno::ACCESS) => {}
            Err(error) => return Err(failed(error)),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = fs::open(path, flags, Mode::empty()).map_err(|error| match made {
            Err(cause) if error == Errno::NOENT => failed(cause),
            _ => failed(error),
        })?;
        let stat = fs::fstat(&directory).map_err(failed)?;
        let others = Mode::WGRP | Mode::WOTH;
        let reason = if stat.st_uid != 0 && stat.st_uid != rustix::process::geteuid().as_raw() {
            Some("it belongs to another user")
        } else if Mode::from_raw_mode(stat.st_mode).intersects(others) {
            Some("others may write to it")
        } else {
            None
        };
        match reason {
            Some(reason) => Err(FileError::UnsafeDirectory { path: path.to_owned(), reason }),
            None => Ok(StateDirectory { path: path.to_owned(), directory }),
        }
    }

    /// Is the directory there, and can it be read, or written to? Does not create it.
    ///
    /// # Errors
    /// As [`open`](Self::open), and if there is none, or this user or a read-only file system does
    /// not allow it.
    pub(crate) fn check(path: &Path, is_written: bool) -> Result<(), FileError> {
        path.metadata().map_err(|error| FileError::io(path, error))?;
        let access = if is_written { Access::WRITE_OK | Access::EXEC_OK } else { Access::EXEC_OK };
        fs::accessat(&Self::open(path)?.directory, ".", access, AtFlags::empty())
            .map_err(|error| FileError::io(path, error))
    }

    /// Reads a file without creating the directory; `None`: no such file.
    ///
    /// # Errors
    /// As [`open`](Self::open) and [`read`](Self::read), also if this user may not search the
    /// directory.
    pub(crate) fn read_if_there(path: &Path, name: &str) -> Result<Option<String>, FileError> {
        match path.join(name).symlink_metadata() {
            Ok(_) => StateDirectory::open(path)?.read(name),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(FileError::io(&path.join(name), error)),
        }
    }

    /// The path of a file in it.
    pub(crate) fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Reads a file; `None`: no such file. Neither follows a symbolic link nor waits for a FIFO's
    /// writer.
    ///
    /// # Errors
    /// [`FileError::NotRegular`]; [`FileError::Io`] also if it is not UTF-8 or is larger than 16
    /// MiB.
    pub(crate) fn read(&self, name: &str) -> Result<Option<String>, FileError> {
        let Some(file) = self.open_file(name, OFlags::RDONLY)? else { return Ok(None) };
        let mut text = String::new();
        let read = file.take(LARGEST + 1).read_to_string(&mut text).and_then(|_| match text.len() as u64 {
            ..=LARGEST => Ok(()),
            _ => Err(io::ErrorKind::FileTooLarge.into()),
        });
        read.map_err(|error| FileError::io(&self.path_of(name), error))?;
        Ok(Some(text))
    }

    /// Replaces the file, with mode 0600.
    ///
    /// # Errors
    /// As [`write`](self::write()).
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<(), FileError> {
        replace(&self.directory, &self.path_of(name), OsStr::new(name), 0o600, |file| file.write_all(text.as_bytes()))
    }

    /// Opens a file for locking; creates it with mode 0600 if it is missing.
    ///
    /// # Errors
    /// [`FileError::NotRegular`] and [`FileError::Io`].
    pub(crate) fn open_or_make(&self, name: &str) -> Result<File, FileError> {
        let file = self.open_file(name, OFlags::RDWR | OFlags::CREATE)?;
        file.ok_or_else(|| FileError::io(&self.path_of(name), Errno::NOENT))
    }

    /// Removes the file if it exists.
    ///
    /// # Errors
    /// [`FileError::Io`].
    pub(crate) fn remove(&self, name: &str) -> Result<(), FileError> {
        match fs::unlinkat(&self.directory, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(FileError::io(&self.path_of(name), error)),
        }
    }

    fn open_file(&self, name: &str, how: OFlags) -> Result<Option<File>, FileError> {
        let path = self.path_of(name);
        let not_regular = |kind| FileError::NotRegular { path: path.clone(), kind };
        let flags = how | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = match fs::openat(&self.directory, name, flags, Mode::RUSR | Mode::WUSR) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => return Err(not_regular("a symbolic link")),
            Err(Errno::ISDIR) => return Err(not_regular("a directory")),
            Err(error) => return Err(FileError::io(&path, error)),
        };
        let stat = fs::fstat(&file).map_err(|error| FileError::io(&path, error))?;
        other_kind(&stat).map_or_else(|| Ok(Some(file.into())), |kind| Err(not_regular(kind)))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::path::Path;
    use std::{env, process};

    use super::*;

    /// A directory of the test's own.
    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Self {
            let path = env::temp_dir().join(format!("ipvs-cli-atomic-{name}-{}", process::id()));
            let _ = std::fs::remove_dir_all(&path);
            std::fs::create_dir(&path).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o700)).unwrap();
            Place(path)
        }

        fn names(&self) -> Vec<OsString> {
            let mut names: Vec<_> = self.0.read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn make_fifo(path: &Path) {
        fs::mknodat(fs::CWD, path, FileType::Fifo, Mode::RWXU, 0).unwrap();
    }

    #[test]
    fn a_file_is_replaced_with_its_mode_and_nothing_stays_beside_it() {
        let place = Place::new("replaced");
        let file = place.0.join("file");
        write(&file, b"one", 0o644).unwrap();
        assert_eq!(file.metadata().unwrap().mode() & 0o7777, 0o644);
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o4640)).unwrap();
        write(&file, b"two", 0o644).unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"two");
        assert_eq!(file.metadata().unwrap().mode() & 0o7777, 0o640, "not setuid");
        write(&file, b"secret", 0o600).unwrap();
        assert_eq!(file.metadata().unwrap().mode() & 0o7777, 0o600, "also if another user made the file");
        assert_eq!(place.names(), ["file"]);
    }

    #[test]
    fn only_a_regular_file_is_replaced() {
        let place = Place::new("regular");
        let target = place.0.join("target");
        std::fs::write(&target, "kept").unwrap();
        let [link, dangling, fifo, directory] =
            ["link", "dangling", "fifo", "directory"].map(|name| place.0.join(name));
        symlink(&target, &link).unwrap();
        symlink(place.0.join("nowhere"), &dangling).unwrap();
        make_fifo(&fifo);
        std::fs::create_dir(&directory).unwrap();
        let before = place.names();
        for (path, kind) in [
            (&*link, "a symbolic link"),
            (&*dangling, "a symbolic link"),
            (&*fifo, "a FIFO"),
            (&*directory, "a directory"),
            (Path::new("/dev/null"), "a device"),
            (Path::new("/"), "a directory"),
            (Path::new("/dev/stdout"), "a symbolic link"),
        ] {
            let error = write(path, b"text", 0o644).unwrap_err();
            assert!(matches!(error, FileError::NotRegular { kind: of, .. } if of == kind), "{error}");
        }
        assert_eq!(place.names(), before);
        assert_eq!(std::fs::read(&target).unwrap(), b"kept");
        assert!(matches!(write(&place.0.join("none/file"), b"", 0o644), Err(FileError::Io { .. })));
    }

    #[test]
    fn a_state_directory_that_others_may_write_to_is_refused() {
        let place = Place::new("state");
        let state = StateDirectory::open(&place.0.join("made")).unwrap();
        assert_eq!(place.0.join("made").metadata().unwrap().mode() & 0o7777, 0o700);
        assert_eq!(state.read("note").unwrap(), None);
        state.write("note", "text\n").unwrap();
        assert_eq!(state.read("note").unwrap().as_deref(), Some("text\n"));
        assert_eq!(StateDirectory::read_if_there(&place.0.join("made"), "note").unwrap().as_deref(), Some("text\n"));
        assert_eq!(StateDirectory::read_if_there(&place.0.join("none"), "note").unwrap(), None);
        StateDirectory::check(&place.0.join("made"), true).unwrap();
        for wrong in ["none", "none/made", "made/note", "made/note/none"] {
            assert!(StateDirectory::check(&place.0.join(wrong), false).is_err(), "{wrong}");
        }
        assert!(!place.0.join("none").exists());
        assert!(StateDirectory::read_if_there(&place.0.join("made/note"), "note").is_err(), "it can't be looked for");
        state.open_or_make("note").unwrap();
        state.remove("note").unwrap();
        state.remove("note").unwrap();
        state.open_or_make("lock").unwrap();
        assert_eq!(state.path_of("lock").metadata().unwrap().mode() & 0o7777, 0o600);
        for mode in [0o770, 0o707, 0o1777] {
            std::fs::set_permissions(&place.0, PermissionsExt::from_mode(mode)).unwrap();
            assert!(matches!(StateDirectory::open(&place.0), Err(FileError::UnsafeDirectory { .. })), "{mode:o}");
        }
    }

    #[test]
    fn a_state_file_that_is_not_a_file_is_refused_at_once() {
        let place = Place::new("hang");
        let state = StateDirectory::open(&place.0).unwrap();
        make_fifo(&state.path_of("fifo"));
        symlink("/etc/passwd", state.path_of("link")).unwrap();
        std::fs::create_dir(state.path_of("directory")).unwrap();
        for name in ["fifo", "link", "directory"] {
            let errors = [state.read(name).map(drop), state.open_or_make(name).map(drop), state.write(name, "x")];
            for error in errors {
                assert!(matches!(error, Err(FileError::NotRegular { .. })), "{name}: {error:?}");
            }
        }
    }
}
