//! An advisory lock, so that runs of `ipvs-cli` change a director one after the other.
//!
//! A lock on a file for each network namespace, which the kernel releases when its holder ends. It
//! works among runs with the same state directory. Other programs, such as ipvsadm, do not take it.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::time::{Duration, Instant};
use std::{fmt, thread};

use ipvs_text::escape;

use crate::state;
use crate::state::file::{FileError, StateDirectory};

/// How often the lock is tried.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The lock, held until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock(File);

/// Why the lock was not taken.
#[derive(Debug)]
pub(crate) enum Denied {
    /// Another run has it.
    Held(Holder),
    /// Its file can't be created or locked.
    Unavailable(FileError),
}

/// The run that has the lock, as its file names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    text: String,
    /// For how long.
    held: Option<Duration>,
    /// Its process, if that is stopped by a signal and will not go on by itself.
    stopped: Option<u32>,
}

impl Holder {
    /// What it does: how long it has had the lock, and whether it is stopped.
    pub(crate) fn state(&self) -> String {
        let held = self.held.map_or_else(
            || "is changing this director".to_owned(),
            |held| format!("has been changing this director for {} s", held.as_secs()),
        );
        let stopped = self.stopped.map(|pid| format!(", but is stopped: `kill -CONT {pid}` lets it go on"));
        held + &stopped.unwrap_or_default()
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Lock {
    /// Takes the lock of this thread's network namespace. Waits until `until`, or without a limit.
    /// `waiting` is called with the holder before each pause, and ends the wait by returning false.
    pub(crate) fn take(
        directory: &Path,
        until: Option<Instant>,
        waiting: &mut dyn FnMut(&Holder) -> bool,
    ) -> Result<Self, Denied> {
        Self::take_at(&directory.join(state::file_name("lock")), until, waiting)
    }

    /// Takes another lock of this network namespace, if it is free.
    pub(crate) fn take_other(directory: &Path, kind: &str) -> Result<Self, Denied> {
        // Longer than `holders` takes, which has it for a moment.
        let until = Instant::now() + Duration::from_millis(200);
        Self::take_at(&directory.join(state::file_name(kind)), Some(until), &mut |_| true)
    }

    /// The other locks of this network namespace whose kind begins with this, and is the same or
    /// goes on with `-`: the rest of the kind, and who has the lock now.
    pub(crate) fn holders(directory: &Path, kind: &str) -> Vec<(String, Holder)> {
        let start = state::file_name(kind);
        let names = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.file_name());
        let mut held = Vec::new();
        for name in names {
            let Some(rest) = name.to_str().and_then(|name| name.strip_prefix(&start)) else { continue };
            let owner = rest.strip_prefix('-').unwrap_or(rest);
            if !rest.is_empty() && owner.len() == rest.len() {
                continue;
            }
            let Ok(mut file) = File::open(directory.join(&name)) else { continue };
            match file.try_lock_shared() {
                Err(TryLockError::WouldBlock) => held.push((owner.to_owned(), holder(&mut file))),
                Ok(()) => _ = file.unlock(),
                Err(TryLockError::Error(_)) => {}
            }
        }
        held.sort_by(|(one, _), (other, _)| one.cmp(other));
        held
    }

    fn take_at(path: &Path, until: Option<Instant>, waiting: &mut dyn FnMut(&Holder) -> bool) -> Result<Self, Denied> {
        let unavailable = |error| Denied::Unavailable(FileError::Io { path: path.to_owned(), error });
        // Locking needs the right to write.
        let mut file = open(path).map_err(Denied::Unavailable)?;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(error)) => return Err(unavailable(error)),
                Err(TryLockError::WouldBlock) => {
                    let holder = holder(&mut file);
                    if until.is_some_and(|until| Instant::now() >= until) || !waiting(&holder) {
                        return Err(Denied::Held(holder));
                    }
                    thread::sleep(LOOK_AGAIN);
                }
            }
        }
        // Others only read it for their messages, so an error is ignored.
        let _ = sign(&mut file);
        Ok(Lock(file))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = self.0.set_len(0);
        // Closing is not enough if another thread is starting a program, which inherits the
        // descriptor.
        let _ = self.0.unlock();
    }
}

fn open(path: &Path) -> Result<File, FileError> {
    let (directory, name) = (path.parent().unwrap_or(Path::new("/")), path.file_name().unwrap_or_default());
    StateDirectory::open(directory)?.open_or_make(&name.to_string_lossy())
}

fn sign(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    // In one write, as others may read it at any time.
    let words = std::env::args_os().map(|word| word.as_encoded_bytes().to_vec());
    file.write_all(signature(std::process::id(), words).as_bytes())
}

fn signature(pid: u32, words: impl Iterator<Item = Vec<u8>>) -> String {
    format!("process {pid} ({})", escape::bytes(&words.collect::<Vec<_>>().join(&b' ')))
}

fn holder(file: &mut File) -> Holder {
    let mut text = String::new();
    let read = file.rewind().and_then(|()| Read::by_ref(file).take(4096).read_to_string(&mut text));
    match read {
        Ok(1..) => {
            let signed = file.metadata().and_then(|file| file.modified()).ok();
            let held = signed.map(|signed| signed.elapsed().unwrap_or_default());
            let stopped = stopped_process(&text);
            Holder { text, held, stopped }
        }
        // It has just taken the lock, and not signed yet.
        _ => Holder { text: "another ipvs-cli".to_owned(), held: None, stopped: None },
    }
}

/// The process that wrote this text, if it is stopped.
fn stopped_process(text: &str) -> Option<u32> {
    let pid: u32 = text.strip_prefix("process ")?.split(' ').next()?.parse().ok()?;
    let words = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words = words.strip_suffix(b"\0")?.split(|&byte| byte == 0).map(<[u8]>::to_vec);
    // The number may be that of another process if the holder is in a container.
    if signature(pid, words) != text {
        return None;
    }
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The state follows the name, which may contain anything.
    stat.rsplit_once(") ")?.1.starts_with('T').then_some(pid)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::DirBuilderExt;
    use std::path::PathBuf;

    use super::*;

    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Self {
            let directory = std::env::temp_dir().join(format!("ipvs-cli-lock-{name}-{}", std::process::id()));
            std::fs::DirBuilder::new().mode(0o700).create(&directory).unwrap();
            Place(directory.join("lock"))
        }

        fn take(&self, until: Option<Instant>) -> Result<Lock, Denied> {
            Lock::take_at(&self.0, until, &mut |_| true)
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(self.0.parent().unwrap());
        }
    }

    #[test]
    fn a_second_run_learns_who_holds_the_lock() {
        let place = Place::new("one");
        let now = Some(Instant::now());
        let first = place.take(now).unwrap();
        let Err(Denied::Held(holder)) = place.take(now) else { panic!("it is held") };
        assert!(holder.to_string().starts_with(&format!("process {} (", std::process::id())), "{holder}");
        drop(first);
        place.take(now).unwrap();
    }

    #[test]
    fn holders_are_named_and_not_disturbed() {
        let place = Place::new("others");
        let directory = place.0.parent().unwrap();
        let owners = || Lock::holders(directory, "follow").into_iter().map(|(owner, _)| owner).collect::<Vec<_>>();
        assert!(owners().is_empty());
        let locks = ["follow", "follow-shop", "following"].map(|kind| Lock::take_other(directory, kind).unwrap());
        assert_eq!(owners(), ["", "shop"]);
        let Err(Denied::Held(_)) = Lock::take_other(directory, "follow") else { panic!("it is held") };
        drop(locks);
        assert!(owners().is_empty());
        Lock::take_other(directory, "follow").unwrap();
    }

    #[test]
    fn a_waiting_run_gets_the_lock() {
        let place = Place::new("wait");
        let first = place.take(None).unwrap();
        let mut first = Some(first);
        let mut waits = 0;
        Lock::take_at(&place.0, None, &mut |_| {
            waits += 1;
            first = None;
            true
        })
        .unwrap();
        assert_eq!(waits, 1);
        let _held = place.take(None).unwrap();
        assert!(matches!(Lock::take_at(&place.0, None, &mut |_| false), Err(Denied::Held(_))), "it may give up");
    }

    #[test]
    fn a_lock_needs_a_directory() {
        let nowhere = Path::new("/proc/nowhere/lock");
        assert!(matches!(Lock::take_at(nowhere, None, &mut |_| true), Err(Denied::Unavailable { .. })));
    }
}
