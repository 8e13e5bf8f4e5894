//! What files of the state directory are called, and what they are of.

pub(crate) mod file;
pub(crate) mod lock;
pub(crate) mod notes;

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;

use ipvs::Report;
use ipvs::netns::NamespaceId;

/// A number of this thread's network namespace, which no other has as long as this one is there.
pub(crate) fn number() -> u64 {
    fs::metadata("/proc/thread-self/ns/net").map_or(0, |file| file.ino())
}

/// The file of this kind that belongs to this thread's network namespace.
pub(crate) fn file_name(kind: &str) -> String {
    format!("{}.{kind}", number())
}

/// What is wrong with a file whose first line has none.
pub(crate) const NO_EPOCH: &str =
    "the first line does not say of which boot and network namespace it is. To continue without it, remove the file";

/// What a file of this boot and this network namespace starts with. A file that starts with anything else is of the past: the
/// table that it was about is gone.
pub(crate) fn epoch() -> io::Result<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let namespace = NamespaceId::of_this_thread().map_err(|error| io::Error::other(Report::new(&error).to_string()))?;
    Ok(format!("boot:{} {namespace}", boot.trim()))
}
