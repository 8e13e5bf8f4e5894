//! Notices that a path may lead to something else, by inotify.
//!
//! Watched are the directories on the way to the file, each for the one name that matters there:
//! where a symbolic link is exchanged, the one that has the link. A ConfigMap changes only by such
//! a link. Whatever happens, the source is read again, so an event need not say what it was.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

/// As many as the kernel follows.
const LINKS: usize = 40;

/// Another program may make events faster than they are read.
const MOST: usize = 1000;

/// The names that matter in a directory.
#[derive(Clone, Debug, Default)]
struct Names {
    all: bool,
    some: BTreeSet<OsString>,
    /// Is one of them a file that is read? If not, it does not matter what is written there.
    has_text: bool,
}

impl Names {
    fn flags(&self) -> WatchFlags {
        let written = if self.has_text { WatchFlags::CLOSE_WRITE } else { WatchFlags::empty() };
        WatchFlags::ATTRIB
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR
            | written
    }
}

#[derive(Debug)]
pub(super) struct Watch {
    inotify: OwnedFd,
    /// By the number of the watch.
    watched: BTreeMap<i32, Names>,
}

impl Watch {
    pub(super) fn new() -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        Ok(Watch { inotify, watched: BTreeMap::new() })
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }

    /// Watches the way to this file or directory, as it is now.
    pub(super) fn arm(&mut self, path: &Path) -> io::Result<()> {
        let mut wanted: BTreeMap<PathBuf, Names> = BTreeMap::new();
        let end = walk(path, &mut wanted);
        if let Some(directory) = end.filter(|end| end.is_dir()) {
            // Files of it may be links.
            for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
                    walk(&entry.path(), &mut wanted);
                }
            }
            let names = wanted.entry(directory).or_default();
            (names.all, names.has_text) = (true, true);
        }
        let mut watched: BTreeMap<i32, Names> = BTreeMap::new();
        let mut failed = Ok(());
        for (directory, names) in wanted {
            match inotify::add_watch(&self.inotify, &directory, names.flags()) {
                Ok(number) => {
                    let known = watched.entry(number).or_default();
                    known.all |= names.all;
                    known.some.extend(names.some);
                }
                // It is gone since. Its parent is watched.
                Err(Errno::NOENT | Errno::NOTDIR) => {}
                // On the way to the file it is enough to watch where one may look.
                Err(Errno::ACCESS) if !names.all => {}
                Err(error) => failed = Err(error.into()),
            }
        }
        for number in self.watched.keys().filter(|number| !watched.contains_key(number)) {
            // The kernel may have removed it already.
            let _ = inotify::remove_watch(&self.inotify, *number);
        }
        self.watched = watched;
        failed
    }

    /// Has anything happened that matters?
    pub(super) fn has_news(&mut self) -> bool {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = Reader::new(&self.inotify, &mut buffer);
        let mut has_news = false;
        for _ in 0..MOST {
            match events.next() {
                Ok(event) => {
                    // Events were lost.
                    has_news |= event.events().contains(ReadFlags::QUEUE_OVERFLOW);
                    let name = event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()));
                    has_news |= self.watched.get(&event.wd()).is_some_and(|names| match name {
                        Some(name) => names.all || names.some.contains(name),
                        // The directory itself.
                        None => true,
                    });
                }
                Err(Errno::INTR) => {}
                Err(_) => return has_news,
            }
        }
        // What the buffer still has goes with it.
        true
    }
}

/// Notes each directory on the way, with the name that is looked up there. Returns the end, without
/// links; `None` if it does not exist.
fn walk(path: &Path, wanted: &mut BTreeMap<PathBuf, Names>) -> Option<PathBuf> {
    let mut left: VecDeque<OsString> = components(path);
    let mut at = PathBuf::from("/");
    let mut links = 0;
    while let Some(name) = left.pop_front() {
        if name == ".." {
            at.pop();
            continue;
        }
        wanted.entry(at.clone()).or_default().some.insert(name.clone());
        let next = at.join(&name);
        let kind = fs::symlink_metadata(&next).ok()?.file_type();
        if !kind.is_symlink() {
            wanted.entry(at).or_default().has_text |= kind.is_file();
            at = next;
            continue;
        }
        links += 1;
        if links > LINKS {
            return None;
        }
        let target = fs::read_link(&next).ok()?;
        if target.is_absolute() {
            at = PathBuf::from("/");
        }
        components(&target).into_iter().rev().for_each(|name| left.push_front(name));
    }
    Some(at)
}

fn components(path: &Path) -> VecDeque<OsString> {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    });
    names.collect()
}
