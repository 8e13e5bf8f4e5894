//! Network namespaces: whose director is meant.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::error::InvalidValue;

/// A network namespace: each has a table, timeouts, sync daemons and sysctls of its own.
///
/// Parses from the name that `ip netns` knows it by, the number of a process that is in it, or, if there is a slash in the text,
/// the path of its file. Entering one needs `CAP_SYS_ADMIN`, in the user namespace that owns it and in one's own.
///
/// ```
/// use ipvs::Namespace;
/// assert_eq!("blue".parse::<Namespace>()?, Namespace::named("blue")?);
/// assert_eq!("4711".parse::<Namespace>()?, Namespace::of_process(4711));
/// assert_eq!("/run/netns/blue".parse::<Namespace>()?, Namespace::named("blue")?);
/// # Ok::<(), ipvs::InvalidValue>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Namespace {
    path: PathBuf,
}

/// Why work could not be done in a [`Namespace`].
///
/// ```
/// use ipvs::{Client, Error, Namespace};
/// let missing = Namespace::at("/nowhere/blue");
/// let error = Client::builder().namespace(missing).connect().unwrap_err();
/// assert!(matches!(&error, Error::Namespace(_)));
/// assert_eq!(error.to_string(), "cannot enter the network namespace /nowhere/blue: No such file or directory (os error 2)");
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NamespaceError {
    /// It is not there, is no network namespace, or may not be entered. Nothing was done.
    #[error("cannot enter the network namespace {}: {error}", .path.display())]
    Enter {
        /// Its file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The thread can't go back to where it was, and is in the other namespace from now on.
    #[error("the thread is left in the network namespace {}, and can't go back: {error}", .path.display())]
    Leave {
        /// The file of the namespace that it is in.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

impl Namespace {
    /// Where `ip netns` keeps the files of those that have names.
    const NAMED: &str = "/run/netns";
    /// That of the thread that looks.
    const OWN: &str = "/proc/thread-self/ns/net";

    /// The one of this file, such as `/proc/4711/ns/net`.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Namespace { path: path.into() }
    }

    /// The one that this process is in.
    pub fn of_process(pid: u32) -> Self {
        Self::at(format!("/proc/{pid}/ns/net"))
    }

    /// The one that `ip netns` calls so.
    ///
    /// # Errors
    /// [`InvalidValue`] if it is empty, `.`, `..`, or has a slash or a NUL in it.
    pub fn named(name: &str) -> Result<Self, InvalidValue> {
        if matches!(name, "" | "." | "..") || name.contains(['/', '\0']) {
            return Err(InvalidValue::new(
                "network namespace",
                name,
                "a name as in `ip netns`, a process's number, or a path",
            ));
        }
        Ok(Self::at(Path::new(Self::NAMED).join(name)))
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Does something with this thread in the namespace, and takes the thread back to where it was.
    ///
    /// Other threads stay where they are, but those that are started meanwhile are in it for good. Sockets and files of
    /// `/proc/net` belong to the namespace in which they are opened, wherever they are used.
    ///
    /// ```no_run
    /// use ipvs::{Client, Namespace};
    /// let blue = Namespace::named("blue")?;
    /// let services = blue.within(|| Client::connect()?.services())??;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`NamespaceError::Enter`], and then nothing was done, or [`NamespaceError::Leave`].
    pub fn within<T>(&self, work: impl FnOnce() -> T) -> Result<T, NamespaceError> {
        let failed = |error| NamespaceError::Enter { path: self.path.clone(), error };
        let home = File::open(Self::OWN).map_err(failed)?;
        enter(&File::open(&self.path).map_err(failed)?).map_err(failed)?;
        let visit = Visit { home: Some(home) };
        let done = work();
        visit.end().map_err(|error| NamespaceError::Leave { path: self.path.clone(), error })?;
        Ok(done)
    }
}

/// Ends when the work is done, and if it panics, too.
struct Visit {
    home: Option<File>,
}

impl Visit {
    fn end(mut self) -> io::Result<()> {
        self.home.take().map_or(Ok(()), |home| enter(&home))
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if let Some(home) = &self.home {
            // There is nobody any more to tell that it failed.
            let _ = enter(home);
        }
    }
}

fn enter(namespace: &File) -> io::Result<()> {
    Ok(move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?)
}

impl FromStr for Namespace {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        if text.contains('/') {
            return Ok(Self::at(text));
        }
        match text.parse() {
            Ok(pid) if text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(Self::of_process(pid)),
            _ => Self::named(text),
        }
    }
}

impl fmt::Display for Namespace {
    /// Its name, if it is one of `ip netns`, or else its file: what it parses from.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.path.strip_prefix(Self::NAMED).ok().and_then(Path::to_str);
        match name.filter(|name| name.parse::<Namespace>().as_ref() == Ok(self)) {
            Some(name) => f.pad(name),
            None => self.path.display().fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_numbers_and_paths_are_told_apart() {
        for (text, path, shown) in [
            ("blue", "/run/netns/blue", "blue"),
            ("/run/netns/blue", "/run/netns/blue", "blue"),
            ("/run/netns/7", "/run/netns/7", "/run/netns/7"),
            ("7", "/proc/7/ns/net", "/proc/7/ns/net"),
            ("+7", "/run/netns/+7", "+7"),
            ("99999999999", "/run/netns/99999999999", "99999999999"),
            ("./blue", "./blue", "./blue"),
        ] {
            let namespace: Namespace = text.parse().unwrap();
            assert_eq!((namespace.path(), namespace.to_string().as_str()), (Path::new(path), shown), "{text}");
        }
        for text in ["", ".", "..", "a\0b"] {
            assert!(text.parse::<Namespace>().is_err(), "{text:?}");
        }
        assert!(Namespace::named("a/b").is_err());
    }

    #[test]
    fn what_is_no_namespace_is_not_entered() {
        for path in ["/nowhere", "/dev/null", "/"] {
            let result = Namespace::at(path).within(|| panic!("nothing may be done"));
            assert!(matches!(result, Err(NamespaceError::Enter { .. })), "{path}");
        }
    }
}
