//! A copy on disk of the state that was made last: what a follower starts from while etcd can't be
//! read.
//!
//! It is the memory of an earlier follower. So it also says of which cluster it is and what that
//! had then, and a restored etcd is noticed by a follower that starts after that. The file's time
//! is when the director was last as etcd says.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use ipvs::desired::Source;
use ipvs_cli::{escape, keep};
use serde_json::{Value, json};

/// What a cluster had when it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Past {
    /// The cluster's id.
    pub(super) cluster: String,
    /// Its revision then.
    pub(super) revision: i64,
    /// The pointers that there were, and the revision at which each was written.
    pub(super) pointers: BTreeMap<String, i64>,
}

impl Past {
    /// Why this is not the same cluster at the same or a later revision.
    ///
    /// A cluster that is restored from a backup has the same id, if it has the same members, and
    /// soon the same revision. But a pointer of the backup is older than the earlier reading, which
    /// did not find it.
    pub(super) fn is_not_after(&self, before: &Past) -> Option<String> {
        let Past { cluster, revision, pointers } = before;
        if *cluster != self.cluster {
            return Some(format!("its cluster id was {cluster}, and is {}", self.cluster));
        }
        if *revision > self.revision {
            return Some(format!("its revision was {revision}, and is {}", self.revision));
        }
        let is_new = |(key, at): &(&String, &i64)| *at <= revision && pointers.get(*key) != Some(*at);
        let (key, at) = self.pointers.iter().find(is_new)?;
        Some(format!("{key} was written at revision {at}, but was not so at revision {revision}"))
    }
}

/// What a copy has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Copied {
    /// The generation's key.
    pub(super) key: String,
    pub(super) text: String,
    /// Of the last reading before it was written.
    pub(super) past: Past,
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
    /// Why there is no copy of it. There is none of another state either, which would be made in
    /// its place. Or another program writes to the file, too.
    pub(super) fn keep(&mut self, copied: Copied) -> Result<(), String> {
        // What is no copy is not replaced.
        let there = read(&self.path).inspect_err(|_| self.copied = None)?;
        let is_disturbed = self.copied.is_some() && there.is_some() && there != self.copied;
        let touch = || File::options().write(true).open(&self.path)?.set_modified(SystemTime::now());
        if !is_disturbed && there.as_ref() == Some(&copied) && touch().is_ok() {
            self.copied = there;
            return Ok(());
        }
        let Copied { key, text, past: Past { cluster, revision, pointers } } = &copied;
        let json = json!({
            "version": 1, "key": key, "cluster": cluster, "revision": revision, "pointers": pointers, "text": text,
        });
        if let Err(reason) = keep::write_private(&self.path, &format!("{json}\n")) {
            self.copied = there.filter(|old| (&old.key, &old.text) == (key, text));
            return match self.copied.is_none().then(|| fs::remove_file(&self.path)) {
                Some(Err(error)) if self.path.exists() => Err(format!("{reason}; and an old copy stays: {error}")),
                _ => Err(reason),
            };
        }
        self.copied = Some(copied);
        match is_disturbed {
            false => Ok(()),
            true => Err(format!(
                "{}: another program has written to it: give each follower a --copy of its own",
                escape::path(&self.path)
            )),
        }
    }
}

fn read(path: &Path) -> Result<Option<Copied>, String> {
    let Some(text) = keep::read_private(path)?.filter(|text| !text.is_empty()) else { return Ok(None) };
    let name = escape::path(path);
    let damaged = || format!("{name}: it is no copy that this version has written: remove it, or name another file");
    let value: Value = serde_json::from_str(&text).map_err(|_| damaged())?;
    let string = |name: &str| value[name].as_str().map(str::to_owned);
    let copied = || {
        let revision = value["revision"].as_i64().filter(|_| value["version"] == 1)?;
        let pointers = value["pointers"].as_object()?.iter().map(|(key, at)| Some((key.clone(), at.as_i64()?)));
        let past = Past { cluster: string("cluster")?, revision, pointers: pointers.collect::<Option<_>>()? };
        Some(Copied { key: string("key")?, text: string("text")?, past })
    };
    copied().map(Some).ok_or_else(damaged)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::os::unix::net::UnixListener;

    use super::*;

    fn copied(number: u32) -> Copied {
        let (key, text) = (format!("/ipvs/generations/{number}"), format!("-C\n-A -f {number} -s rr\n"));
        let pointers = BTreeMap::from([("/ipvs/current".to_owned(), 5)]);
        Copied { key, text, past: Past { cluster: "17".to_owned(), revision: 7, pointers } }
    }

    #[test]
    fn a_past_that_was_rewritten_is_noticed() {
        let past = |cluster: u8, revision, pointers: &[(&str, i64)]| Past {
            cluster: cluster.to_string(),
            revision,
            pointers: pointers.iter().map(|(key, at)| ((*key).to_owned(), *at)).collect(),
        };
        let before = past(1, 90, &[("canary", 80), ("current", 70)]);
        for later in [
            past(1, 90, &[("canary", 80), ("current", 70)]),
            past(1, 95, &[("canary", 80), ("current", 91)]),
            past(1, 95, &[("canary", 95)]),
            past(1, 95, &[("current", 70)]),
            past(1, 95, &[]),
        ] {
            assert_eq!(later.is_not_after(&before), None, "{later:?}");
        }
        for (other, reason) in [
            (past(2, 95, &[]), "its cluster id was 1, and is 2"),
            (past(1, 89, &[]), "its revision was 90, and is 89"),
            (past(1, 95, &[("current", 60)]), "current was written at revision 60, but was not so at revision 90"),
            (past(1, 95, &[("current", 90)]), "current was written at revision 90, but"),
            (past(1, 95, &[("canary", 79), ("current", 70)]), "canary was written at revision 79, but"),
        ] {
            let found = other.is_not_after(&before).unwrap();
            assert!(found.starts_with(reason), "{found}");
        }
        let without_canary = past(1, 90, &[("current", 70)]);
        assert!(before.is_not_after(&without_canary).is_some());
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
        for wrong in ["\n", &whole[..whole.len() / 2], "{}", &whole.replace("\"version\":1", "\"version\":2")] {
            fs::write(&path, wrong).unwrap();
            let (copy, read) = Copy::open(path.clone(), |_| true);
            assert!(copy.copied().is_none() && read.unwrap_err().contains("it is no copy"), "{wrong}");
        }
    }

    /// A copy in a file that can be read and removed, but not replaced: the name is too long for
    /// the one beside it.
    fn unwritable(directory: &Path, number: u32) -> (PathBuf, Copy) {
        let (short, path) = (directory.join("shop"), directory.join("x".repeat(250)));
        Copy::open(short.clone(), |_| true).0.keep(copied(number)).unwrap();
        fs::copy(&short, &path).unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        let (copy, _) = Copy::open(path.clone(), |_| true);
        assert_eq!(copy.copied(), Some(&copied(number)));
        (path, copy)
    }

    /// The old one would be made at the next start, in place of what was made since.
    #[test]
    fn a_copy_that_can_not_be_written_leaves_no_older_one() {
        let directory = tempfile::tempdir().unwrap();
        let (path, mut copy) = unwritable(directory.path(), 4);
        assert!(copy.keep(copied(5)).unwrap_err().contains("too long"));
        assert!(!path.exists() && copy.copied().is_none());
    }

    /// Its time does not advance.
    #[test]
    fn a_copy_of_the_same_state_stays_if_a_newer_one_can_not_be_written() {
        let directory = tempfile::tempdir().unwrap();
        let (path, mut copy) = unwritable(directory.path(), 4);
        let mut later = copied(4);
        later.past.revision += 1;
        assert!(copy.keep(later.clone()).unwrap_err().contains("too long"));
        assert_eq!((copy.copied(), copy.confirmed()), (Some(&copied(4)), Some(SystemTime::UNIX_EPOCH)));
        assert_eq!(Copy::open(path, |_| true).0.copied(), Some(&copied(4)));
    }

    #[test]
    fn what_is_no_copy_is_neither_replaced_nor_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("shop.toml"), "version = 1\nservices = []\n").unwrap();
        symlink("shop.toml", path("link")).unwrap();
        symlink("nowhere", path("dangling")).unwrap();
        fs::create_dir(path("directory")).unwrap();
        let _socket = UnixListener::bind(path("socket")).unwrap();
        for (name, reason) in [
            ("shop.toml", "it is no copy"),
            ("link", "a symbolic link"),
            ("dangling", "a symbolic link"),
            ("directory", "a directory"),
            ("socket", "socket"),
        ] {
            let before = fs::symlink_metadata(path(name)).unwrap();
            let (mut copy, read) = Copy::open(path(name), |_| true);
            assert!(read.is_err());
            for number in [4, 5] {
                let error = copy.keep(copied(number)).unwrap_err();
                assert!(error.contains(reason), "{error}");
            }
            assert_eq!(copy.copied(), None);
            assert_eq!(fs::symlink_metadata(path(name)).unwrap().ino(), before.ino(), "{name}");
        }
        assert_eq!(fs::read_to_string(path("shop.toml")).unwrap(), "version = 1\nservices = []\n");
        // A directory that others may write to is neither read nor written to.
        fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o777)).unwrap();
        let (mut copy, _) = Copy::open(path("new"), |_| true);
        assert!(copy.keep(copied(4)).unwrap_err().contains("others may write to it"));
        fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o700)).unwrap();
        copy.keep(copied(4)).unwrap();
        // Nothing is lost with an empty file.
        fs::write(path("new"), "").unwrap();
        copy.keep(copied(4)).unwrap();
    }

    #[test]
    fn followers_with_one_copy_notice_each_other() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("shop");
        let open = |prefix: &'static str| Copy::open(path.clone(), move |key| key.starts_with(prefix)).0;
        let (mut one, mut other) = (open("/ipvs/"), open("/other/"));
        one.keep(copied(4)).unwrap();
        other.keep(Copied { key: "/other/generations/4".to_owned(), ..copied(4) }).unwrap();
        let error = one.keep(copied(4)).unwrap_err();
        assert!(error.contains("another program has written to it"), "{error}");
        assert_eq!(open("/ipvs/").copied(), Some(&copied(4)));
        one.keep(copied(4)).unwrap();
        // A person who removes it wants a new one.
        fs::remove_file(&path).unwrap();
        one.keep(copied(4)).unwrap();
    }
}
