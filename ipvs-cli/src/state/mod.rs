//! Names and first lines of the files in the state directory.

pub(crate) mod daemons;
pub(crate) mod file;
pub(crate) mod hold;
pub(crate) mod lock;
pub(crate) mod notes;

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;

use ipvs::Report;
use ipvs::netns::NamespaceId;

/// The number of this thread's network namespace, unique while the namespace exists.
pub(crate) fn number() -> u64 {
    fs::metadata("/proc/thread-self/ns/net").map_or(0, |file| file.ino())
}

/// The file of this kind that belongs to this thread's network namespace.
pub(crate) fn file_name(kind: &str) -> String {
    format!("{}.{kind}", number())
}

/// The error of a file without boot and namespace in its first line.
pub(crate) const NO_EPOCH: &str = "the file is damaged: its first line must name a boot and a network namespace";

/// The first line of files of this boot and this network namespace. A file with another first line
/// is about a table that is gone.
pub(crate) fn epoch() -> io::Result<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let namespace = NamespaceId::of_this_thread().map_err(|error| io::Error::other(Report::new(&error).to_string()))?;
    Ok(format!("boot:{} {namespace}", boot.trim()))
}
