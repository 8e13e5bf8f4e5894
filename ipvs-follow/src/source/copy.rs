//! A copy on disk of the state that was made last: what a follower starts from while etcd can't be
//! read.
//!
//! It is the memory of an earlier follower. So it also says of which cluster it is, and a restored
//! etcd is noticed by a follower that starts after that. The file's time is when the director was
//! last as etcd says.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use ipvs::desired::Source;
use ipvs_cli::{escape, keep};
use serde_json::{Value, json};

/// What a copy has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Copied {
    /// The generation's key.
    pub(super) key: String,
    pub(super) text: String,
    /// The cluster's id.
    pub(super) cluster: String,
    /// When the pointer to it was written.
    pub(super) revision: i64,
}

/// The file of a copy.
#[derive(Debug)]
pub(super) struct Copy {
    path: PathBuf,
    /// What it has.
    copied: Option<Copied>,
}

impl Copy {
    /// Reads what there is. The error says why it can't be used.
    pub(super) fn open(path: PathBuf, is_own: impl Fn(&str) -> bool) -> (Self, Result<(), String>) {
        let read = read(&path).and_then(|copied| match copied {
            Some(copied) if !is_own(&copied.key) => {
                Err(format!("{}: it is a copy of {}", escape::path(&path), escape::text(&copied.key)))
            }
            copied => Ok(copied),
        });
        let (copied, done) = match read {
            Ok(copied) => (copied, Ok(())),
            Err(reason) => (None, Err(reason)),
        };
        (Copy { path, copied }, done)
    }

    pub(super) fn copied(&self) -> Option<&Copied> {
        self.copied.as_ref()
    }

    /// As a source.
    pub(super) fn source(&self) -> Option<Source> {
        self.copied.as_ref().map(|Copied { key, text, .. }| Source::new(key.clone(), text.clone()))
    }

    /// When the director was last as etcd says.
    pub(super) fn confirmed(&self) -> Option<SystemTime> {
        fs::metadata(&self.path).and_then(|metadata| metadata.modified()).ok()
    }

    /// The director holds this, as etcd says.
    ///
    /// # Errors
    /// Why there is no copy of it. There is no older one either, which would be made in its place.
    pub(super) fn keep(&mut self, copied: Copied) -> Result<(), String> {
        let is_there = self.copied.as_ref() == Some(&copied);
        let touch = || File::options().write(true).open(&self.path)?.set_modified(SystemTime::now());
        if is_there && touch().is_ok() {
            return Ok(());
        }
        let Copied { key, text, cluster, revision } = &copied;
        let json = json!({"version": 1, "key": key, "cluster": cluster, "revision": revision, "text": text});
        let written = keep::write_private(&self.path, &format!("{json}\n"));
        self.copied = Some(copied).filter(|_| written.is_ok());
        written.map_err(|reason| match fs::remove_file(&self.path) {
            Err(error) if self.path.exists() => format!("{reason}; and an old copy stays: {error}"),
            _ => reason,
        })
    }
}

fn read(path: &Path) -> Result<Option<Copied>, String> {
    let Some(text) = keep::read_private(path)? else { return Ok(None) };
    let damaged = || format!("{}: it is no copy that this version has written", escape::path(path));
    let value: Value = serde_json::from_str(&text).map_err(|_| damaged())?;
    let string = |name: &str| value[name].as_str().map(str::to_owned);
    let copied = || {
        let revision = value["revision"].as_i64().filter(|_| value["version"] == 1)?;
        Some(Copied { key: string("key")?, text: string("text")?, cluster: string("cluster")?, revision })
    };
    copied().map(Some).ok_or_else(damaged)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn copied(number: u32) -> Copied {
        let (key, text) = (format!("/ipvs/generations/{number}"), format!("-C\n-A -f {number} -s rr\n"));
        Copied { key, text, cluster: "17".to_owned(), revision: 5 }
    }

    #[test]
    fn a_copy_is_read_as_it_was_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new/shop");
        let open = |path: &PathBuf| Copy::open(path.clone(), |key| key.starts_with("/ipvs/"));
        let (mut copy, read) = open(&path);
        assert!(read.is_ok() && copy.copied().is_none() && copy.confirmed().is_none());
        copy.keep(copied(4)).unwrap();
        let (mut copy, read) = open(&path);
        assert_eq!((read, copy.copied()), (Ok(()), Some(&copied(4))));
        File::options().write(true).open(&path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(copy.confirmed(), Some(SystemTime::UNIX_EPOCH));
        copy.keep(copied(4)).unwrap();
        assert!(copy.confirmed() > Some(SystemTime::UNIX_EPOCH));
        copy.keep(copied(5)).unwrap();
        assert_eq!(open(&path).0.copied(), Some(&copied(5)));
        let (other, read) = Copy::open(path.clone(), |key| key.starts_with("/other/"));
        assert!(other.copied().is_none() && read.unwrap_err().ends_with("it is a copy of /ipvs/generations/5"));
    }

    #[test]
    fn what_is_no_copy_is_not_used() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("shop");
        let (mut copy, _) = Copy::open(path.clone(), |_| true);
        copy.keep(copied(4)).unwrap();
        let whole = fs::read_to_string(&path).unwrap();
        for wrong in ["", &whole[..whole.len() / 2], "{}", &whole.replace("\"version\":1", "\"version\":2")] {
            fs::write(&path, wrong).unwrap();
            let (copy, read) = Copy::open(path.clone(), |_| true);
            assert!(copy.copied().is_none() && read.unwrap_err().contains("it is no copy"), "{wrong}");
        }
    }

    /// The old one would be made at the next start, in place of what was made since.
    #[test]
    fn a_copy_that_can_not_be_written_leaves_no_older_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("shop");
        let (mut copy, _) = Copy::open(path.clone(), |_| true);
        copy.keep(copied(4)).unwrap();
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(copy.keep(copied(5)).unwrap_err().contains("a directory"));
        assert_eq!(copy.copied(), None);
        fs::remove_dir(&path).unwrap();
        copy.keep(copied(5)).unwrap();
        // A directory that others may write to is not written to.
        fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o777)).unwrap();
        assert!(copy.keep(copied(6)).unwrap_err().contains("others may write to it"));
        assert!(!path.exists() && copy.copied().is_none());
    }
}
