//! A file, or a directory of files.
//!
//! Nothing is read by halves. A file is read under a lease, while nobody has it open for writing
//! (`lease`); where there are no leases, after it has been the same for a while. A reading counts
//! only if all of its files, and the directory, were the same before and after. The last line must
//! have its end, as a disk that was full leaves a file without it.

mod lease;
mod watch;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ipvs::desired::Source;
use ipvs_cli::escape;
use ipvs_cli::io::read_whole;

use self::lease::{Lease, Leased};
use self::watch::Watch;
use super::SourceFault;

/// A file of a directory that is gone for so long was removed, and not replaced by an editor.
const GONE: Duration = Duration::from_secs(2);

/// A file that nobody has changed for so long is whole, where the kernel can't say so; and a
/// directory.
const STILL: Duration = Duration::from_secs(2);

/// How soon a file is tried again that a program writes.
const WRITING: Duration = Duration::from_millis(500);

/// Which files of a directory are read.
const ENDINGS: [&str; 3] = ["rules", "toml", "json"];

/// How often everything may have changed during a reading.
const ATTEMPTS: usize = 5;

/// What tells one content of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Identity {
    fn of(metadata: &fs::Metadata) -> Self {
        Identity {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// A file or directory that is followed.
#[derive(Debug)]
pub(crate) struct Files {
    path: PathBuf,
    watch: Option<Watch>,
    /// The files of the last reading.
    names: Vec<PathBuf>,
    /// Those of them that are missing, and since when.
    missing: BTreeMap<PathBuf, Instant>,
    /// Since when a file is as it is, where there are no leases.
    seen: BTreeMap<PathBuf, (Identity, Instant)>,
    /// What the last reading of a directory has found, and since when it is so.
    last: Option<(Vec<(PathBuf, Identity)>, Instant)>,
}

impl Files {
    pub(crate) fn new(path: &Path) -> io::Result<Self> {
        Ok(Files {
            path: std::path::absolute(path)?,
            watch: None,
            names: Vec::new(),
            missing: BTreeMap::new(),
            seen: BTreeMap::new(),
            last: None,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Notices changes from now on. Afterwards it has to be read.
    pub(crate) fn watch(&mut self) -> Result<(), String> {
        let watch = match self.watch.take() {
            Some(watch) => watch,
            None => Watch::new().map_err(|error| self.unwatchable(&error))?,
        };
        let armed = self.watch.insert(watch).arm(&self.path);
        armed.map_err(|error| self.unwatchable(&error))
    }

    fn unwatchable(&self, error: &io::Error) -> String {
        let hint = match error.raw_os_error() {
            Some(libc::ENOSPC) => ": `sysctl fs.inotify.max_user_watches` is the limit",
            Some(libc::EMFILE) => ": `sysctl fs.inotify.max_user_instances` is the limit",
            _ => "",
        };
        format!("{} can't be watched, and is read at the interval only: {error}{hint}", escape::path(&self.path))
    }

    /// Takes notice of what has happened. May the source have changed?
    pub(crate) fn has_changed(&mut self) -> bool {
        self.watch.as_mut().is_some_and(Watch::has_news)
    }

    /// What becomes readable when something happens.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.watch.as_ref().map(Watch::as_fd)
    }

    /// When a directory that has just changed will have been still long enough. Programs write its
    /// files one after the other, so a service may be in no file or in two for a while.
    pub(crate) fn still_at(&self, now: Instant) -> Option<Instant> {
        self.last.as_ref().map(|(_, since)| *since + STILL).filter(|then| now < *then)
    }

    /// Reads all of it.
    pub(crate) fn read(&mut self, now: Instant) -> Result<Vec<Source>, SourceFault> {
        for _ in 0..ATTEMPTS {
            if let Some(sources) = self.read_once(now)? {
                return Ok(sources);
            }
        }
        let reason = format!("{} changes all the time", escape::path(&self.path));
        Err(SourceFault::Unfinished { reason, again: now + WRITING })
    }

    /// `None`: something changed meanwhile.
    fn read_once(&mut self, now: Instant) -> Result<Option<Vec<Source>>, SourceFault> {
        let names = self.list()?;
        self.wait_for_missing(&names, now)?;
        let mut sources = Vec::new();
        let mut identities = Vec::new();
        for name in &names {
            let Some((source, identity)) = self.read_file(name, now)? else { return Ok(None) };
            sources.push(source);
            identities.push(identity);
        }
        // Each was whole; were they there at the same time?
        let is_still = |(name, identity): (&PathBuf, &Identity)| {
            fs::metadata(name).is_ok_and(|metadata| Identity::of(&metadata) == *identity)
        };
        if self.list()? != names || !names.iter().zip(&identities).all(is_still) {
            return Ok(None);
        }
        self.seen.retain(|name, _| names.contains(name));
        let found: Vec<_> = names.iter().cloned().zip(identities).collect();
        let is_directory = names != [self.path.as_path()];
        let since = self.last.take().filter(|(last, _)| *last == found).map_or(now, |(_, since)| since);
        self.last = is_directory.then_some((found, since));
        self.names = names;
        self.missing.clear();
        Ok(Some(sources))
    }

    /// The files to be read, in the order of their names.
    fn list(&self) -> Result<Vec<PathBuf>, SourceFault> {
        let failed = |error: io::Error| format!("{}: {error}", escape::path(&self.path));
        if !fs::metadata(&self.path).map_err(failed)?.is_dir() {
            return Ok(vec![self.path.clone()]);
        }
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            if is_meant(&name) {
                names.push(self.path.join(name));
            }
        }
        names.sort();
        if names.is_empty() {
            let path = escape::path(&self.path);
            return Err(format!("{path} has no files *.rules, *.toml or *.json").into());
        }
        Ok(names)
    }

    /// An editor may be about to write a file again that is gone.
    fn wait_for_missing(&mut self, names: &[PathBuf], now: Instant) -> Result<(), SourceFault> {
        self.missing.retain(|name, _| !names.contains(name));
        for name in self.names.iter().filter(|name| !names.contains(name)) {
            self.missing.entry(name.clone()).or_insert(now);
        }
        // Each has its own time: the last one may have gone just now.
        let Some((gone, since)) = self.missing.iter().max_by_key(|(_, since)| **since) else { return Ok(()) };
        let again = *since + GONE;
        if now >= again {
            return Ok(());
        }
        Err(SourceFault::Unfinished { reason: format!("{} is gone", escape::path(gone)), again })
    }

    fn read_file(&mut self, name: &Path, now: Instant) -> Result<Option<(Source, Identity)>, SourceFault> {
        let shown = escape::path(name).to_string();
        let failed = |error: io::Error| format!("{shown}: {error}");
        // Not waiting for a writer of a FIFO.
        let file = match OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(name) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(writing(&shown, now)),
            Err(error) => return Err(failed(error).into()),
        };
        let before = file.metadata().map_err(failed)?;
        if !before.is_file() {
            return Err(format!("{shown}: it must be a regular file").into());
        }
        let identity = Identity::of(&before);
        let _lease = match Lease::take(&file) {
            Leased::Held(lease) => Some(lease),
            Leased::Writing => return Err(writing(&shown, now)),
            Leased::Unknown => {
                self.wait_until_still(name, identity, now)?;
                None
            }
        };
        let mut text = Vec::new();
        read_whole(&mut &file, &mut text).map_err(failed)?;
        if Identity::of(&file.metadata().map_err(failed)?) != identity {
            return Ok(None);
        }
        complete(&shown, &text)?;
        Ok(Some((Source::new(shown, text), identity)))
    }

    fn wait_until_still(&mut self, name: &Path, identity: Identity, now: Instant) -> Result<(), SourceFault> {
        let since = match self.seen.get(name) {
            Some((seen, since)) if *seen == identity => *since,
            _ => now,
        };
        self.seen.insert(name.to_owned(), (identity, since));
        let again = since + STILL;
        if now >= again {
            return Ok(());
        }
        let reason = format!("{} has just changed", escape::path(name));
        Err(SourceFault::Unfinished { reason, again })
    }
}

fn writing(name: &str, now: Instant) -> SourceFault {
    SourceFault::Unfinished {
        reason: format!("{name} is open for writing by a program; it is read when that closes it"),
        again: now + WRITING,
    }
}

/// A file of a directory, as people and editors name it. Hidden files are an editor's.
fn is_meant(name: &OsStr) -> bool {
    let ending = Path::new(name).extension().and_then(OsStr::to_str);
    !name.as_bytes().starts_with(b".") && ending.is_some_and(|ending| ENDINGS.contains(&ending))
}

/// Refuses what a program leaves behind that could not write all.
pub(crate) fn complete(name: &str, text: &[u8]) -> Result<(), String> {
    if text.is_empty() {
        return Err(format!("{name}: the file is empty"));
    }
    let is_json = text.trim_ascii_start().starts_with(b"{");
    if !is_json && !text.ends_with(b"\n") {
        return Err(format!("{name}: the last line has no end, so the file may be cut off: end it with a newline"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
