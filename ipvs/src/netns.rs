//! Network namespaces: each has a director of its own. A [`Namespace`] chooses it for a client, a
//! monitor, or anything else that is read from the kernel.
//!
//! ```no_run
//! use ipvs::{Client, netns::Namespace};
//! for name in ["blue", "green"] {
//!     let mut director = Client::builder().namespace(Namespace::named(name)?).connect()?;
//!     println!("{name}: {} services", director.services()?.len());
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;
use std::fs::{File, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

#[cfg(target_os = "linux")]
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

#[cfg(target_os = "linux")]
use crate::errno::Errno;
#[cfg(target_os = "linux")]
use crate::getsockopt::{getsockopt, namespace_of_socket};
use crate::invalid_value::InvalidValue;

/// A network namespace: each has a table, timeouts, sync daemons and sysctls of its own.
///
/// It is an open descriptor, shared by its clones. So it stays the same namespace, even after its
/// process has ended or its name was deleted (`ip netns del`) and given to another. The kernel
/// keeps the namespace alive as long as the descriptor, or a socket of a
/// [`Client`](crate::Client), is open. To follow a name to a new namespace, make a new value and a
/// new client.
///
/// Parses from the name that `ip netns` knows it by, the number of a process that is in it, or, if
/// there is a slash in the text, the path of its file. Two are equal if they are the same
/// namespace. Entering one needs `CAP_SYS_ADMIN`, in the user namespace that owns it and in one's
/// own.
///
/// ```
/// use ipvs::netns::Namespace;
/// let home = Namespace::of_this_thread()?;
/// assert_eq!(home, Namespace::of_process(std::process::id())?);
/// assert_eq!(home, "/proc/self/ns/net".parse()?);
/// # Ok::<(), ipvs::netns::NamespaceError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Namespace {
    file: Arc<File>,
    /// Device and inode, which no other has as long as this one is open.
    id: (u64, u64),
    /// What it was found by, if that was no descriptor.
    path: Option<PathBuf>,
}

/// Why a [`Namespace`] could not be found, or work could not be done in it.
///
/// ```
/// use ipvs::netns::{Namespace, NamespaceError};
/// let error = Namespace::at("/nowhere/blue").unwrap_err();
/// assert!(matches!(&error, NamespaceError::Open { .. }));
/// assert_eq!(error.to_string(), "cannot open the network namespace /nowhere/blue");
/// let cause = std::error::Error::source(&error).unwrap();
/// assert_eq!(cause.to_string(), "No such file or directory (os error 2)");
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NamespaceError {
    /// The text can't name any.
    #[error(transparent)]
    Name(#[from] InvalidValue),
    /// Its file is not there, or may not be opened.
    #[error("cannot open the network namespace {}", .path.display())]
    Open {
        /// Its file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There can be no new one: making one needs `CAP_SYS_ADMIN`. Nothing was done.
    #[error("cannot make a network namespace")]
    Create(#[source] io::Error),
    /// It is no network namespace, or may not be entered. Nothing was done.
    #[error("cannot enter the network namespace {name}")]
    Enter {
        /// The namespace, as [`Namespace`] is displayed.
        name: String,
        /// What the system says.
        source: io::Error,
    },
    /// The thread can't go back to where it was, and is in the other namespace from now on.
    #[error("the thread is left in the network namespace {name}, and can't go back")]
    Leave {
        /// The namespace that it is in, as [`Namespace`] is displayed.
        name: String,
        /// What the system says.
        source: io::Error,
    },
    /// The kernel does not say in which network namespace a client is: that needs `CAP_NET_ADMIN`
    /// there, and an in-memory kernel is in none.
    #[error("cannot find out the network namespace of the client")]
    Unknown(#[source] io::Error),
}

impl Namespace {
    /// Where `ip netns` keeps the files of those that have names.
    const NAMED: &str = "/run/netns";
    /// That of the thread that looks.
    const OWN: &str = "/proc/thread-self/ns/net";

    /// The namespace of this file, such as `/proc/4711/ns/net`.
    ///
    /// ```
    /// use ipvs::netns::Namespace;
    /// let namespace = Namespace::at("/proc/self/ns/net")?;
    /// assert_eq!(namespace, Namespace::of_this_thread()?);
    /// # Ok::<(), ipvs::netns::NamespaceError>(())
    /// ```
    ///
    /// # Errors
    /// [`NamespaceError::Open`].
    pub fn at(path: impl Into<PathBuf>) -> Result<Self, NamespaceError> {
        let path = path.into();
        // Opening a FIFO or a terminal must neither wait nor change anything.
        let opened = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(&path);
        match opened.and_then(|file| Ok((id_of(&file)?, file))) {
            Ok((id, file)) => Ok(Namespace { file: Arc::new(file), id, path: Some(path) }),
            Err(source) => Err(NamespaceError::Open { path, source }),
        }
    }

    /// The namespace of this process.
    ///
    /// ```
    /// use ipvs::netns::Namespace;
    /// let namespace = Namespace::of_process(std::process::id())?;
    /// assert_eq!(namespace.to_string(), format!("/proc/{}/ns/net", std::process::id()));
    /// # Ok::<(), ipvs::netns::NamespaceError>(())
    /// ```
    ///
    /// # Errors
    /// [`NamespaceError::Open`]: there is no such process, or it belongs to another user.
    pub fn of_process(pid: u32) -> Result<Self, NamespaceError> {
        Self::at(format!("/proc/{pid}/ns/net"))
    }

    /// The namespace of the calling thread.
    ///
    /// # Errors
    /// [`NamespaceError::Open`]: there is no `/proc`.
    pub fn of_this_thread() -> Result<Self, NamespaceError> {
        // Later the same path would be that of another.
        Ok(Namespace { path: None, ..Self::at(Self::OWN)? })
    }

    /// The namespace of this name, as `ip netns list` has it: `/run/netns/NAME`.
    ///
    /// ```
    /// use ipvs::netns::{Namespace, NamespaceError};
    /// assert!(matches!(Namespace::named("a/b"), Err(NamespaceError::Name(_))));
    /// assert!(matches!(Namespace::named("not-there"), Err(NamespaceError::Open { .. })));
    /// ```
    ///
    /// # Errors
    /// [`NamespaceError::Name`] if it is empty, `.`, `..`, or has a slash or a NUL in it;
    /// [`NamespaceError::Open`].
    pub fn named(name: &str) -> Result<Self, NamespaceError> {
        if matches!(name, "" | "." | "..") || name.contains(['/', '\0']) {
            let allowed = "a name as in `ip netns`, a process's number, or a path";
            return Err(InvalidValue::new("network namespace", name, allowed).into());
        }
        Self::at(Path::new(Self::NAMED).join(name))
    }

    /// The namespace of a socket.
    #[cfg(target_os = "linux")]
    pub(crate) fn of_socket(socket: BorrowedFd<'_>) -> Result<Self, NamespaceError> {
        let unknown = |errno: Errno| NamespaceError::Unknown(io::Error::from_raw_os_error(errno.raw()));
        namespace_of_socket(socket).map_err(unknown)?.try_into()
    }

    /// Does something with this thread in the namespace, and takes the thread back to where it was.
    ///
    /// Other threads stay where they are, but those that are started meanwhile are in it for good.
    /// Sockets and files of `/proc/net` belong to the namespace in which they are opened, wherever
    /// they are used.
    ///
    /// ```no_run
    /// use ipvs::{Client, netns::Namespace};
    /// let blue = Namespace::named("blue")?;
    /// let services = blue.within(|| Client::connect()?.services())??;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// The work must be done when the closure returns: what an `async` block does, it does when it
    /// is polled, and then this thread is back. `AsyncClient::connect()` and `connect_async()` open
    /// their socket when they are called, so they may be called within, and awaited outside. In
    /// `async` code, [`ClientBuilder::namespace`](crate::ClientBuilder::namespace) needs no care.
    ///
    /// # Errors
    /// [`NamespaceError::Enter`], and then nothing was done, or [`NamespaceError::Leave`].
    pub fn within<T>(&self, work: impl FnOnce() -> T) -> Result<T, NamespaceError> {
        let failed = |source| NamespaceError::Enter { name: self.to_string(), source };
        let home = File::open(Self::OWN).map_err(failed)?;
        enter(&self.file).map_err(failed)?;
        let visit = Visit { home: Some(home) };
        let done = work();
        visit.end().map_err(|source| NamespaceError::Leave { name: self.to_string(), source })?;
        Ok(done)
    }
}

/// A descriptor of a namespace, such as another program sends, or `pidfd_open` and `ioctl` give.
///
/// ```
/// use std::{fs::File, os::fd::OwnedFd};
/// use ipvs::netns::Namespace;
/// let descriptor: OwnedFd = File::open("/proc/thread-self/ns/net")?.into();
/// assert_eq!(Namespace::try_from(descriptor)?, Namespace::of_this_thread()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl TryFrom<OwnedFd> for Namespace {
    type Error = NamespaceError;

    fn try_from(descriptor: OwnedFd) -> Result<Self, NamespaceError> {
        let file = File::from(descriptor);
        let id = id_of(&file).map_err(NamespaceError::Unknown)?;
        Ok(Namespace { file: Arc::new(file), id, path: None })
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl PartialEq for Namespace {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Namespace {}

impl Hash for Namespace {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

fn id_of(file: &File) -> io::Result<(u64, u64)> {
    let metadata = file.metadata()?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Which network namespace it is, for what is kept outside the kernel.
///
/// Since Linux 5.14 the kernel gives each namespace a number that no other has until the next boot
/// (`SO_NETNS_COOKIE`). Before that there are only the device and inode numbers of its file, which
/// a later namespace may get once this one has ended.
///
/// ```
/// use ipvs::netns::NamespaceId;
/// let id = NamespaceId::of_this_thread()?;
/// assert_eq!(id, NamespaceId::of_this_thread()?);
/// # Ok::<(), ipvs::netns::NamespaceError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NamespaceId {
    cookie: Option<u64>,
    device: u64,
    inode: u64,
}

impl NamespaceId {
    /// That of the thread that asks.
    ///
    /// # Errors
    /// [`NamespaceError::Open`] if there is no `/proc`.
    pub fn of_this_thread() -> Result<Self, NamespaceError> {
        let unreadable = |source| NamespaceError::Open { path: Namespace::OWN.into(), source };
        let file = std::fs::metadata(Namespace::OWN).map_err(unreadable)?;
        Ok(NamespaceId { cookie: cookie_of_this_thread(), device: file.dev(), inode: file.ino() })
    }
}

/// A socket in this thread's network namespace that nothing is sent over.
#[cfg(target_os = "linux")]
pub(crate) fn datagram_socket() -> Result<OwnedFd, Errno> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
    socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)
        .map_err(|error| Errno::new(error.raw_os_error()))
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn datagram_socket() -> Result<OwnedFd, Errno> {
    Err(Errno::EOPNOTSUPP)
}

/// A number that no network namespace but that of this socket has until the machine is started
/// again.
#[cfg(target_os = "linux")]
pub(crate) fn cookie(socket: BorrowedFd<'_>) -> Option<[u8; 8]> {
    let mut cookie = [0; 8];
    getsockopt(socket, libc::SOL_SOCKET, libc::SO_NETNS_COOKIE, &mut cookie).ok()?;
    Some(cookie)
}

#[cfg(target_os = "linux")]
fn cookie_of_this_thread() -> Option<u64> {
    cookie(datagram_socket().ok()?.as_fd()).map(u64::from_ne_bytes)
}

#[cfg(not(target_os = "linux"))]
fn cookie_of_this_thread() -> Option<u64> {
    None
}

impl fmt::Display for NamespaceId {
    /// `cookie:4711`, or `file:4:4026531840` where the kernel has no cookies.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cookie {
            Some(cookie) => write!(f, "cookie:{cookie}"),
            None => write!(f, "file:{}:{}", self.device, self.inode),
        }
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
            // The error can't be returned from here.
            let _ = enter(home);
        }
    }
}

#[cfg(target_os = "linux")]
fn enter(namespace: &File) -> io::Result<()> {
    Ok(move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?)
}

/// Other systems have none.
#[cfg(not(target_os = "linux"))]
fn enter(_: &File) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

impl FromStr for Namespace {
    type Err = NamespaceError;

    fn from_str(text: &str) -> Result<Self, NamespaceError> {
        if text.contains('/') {
            return Self::at(text);
        }
        match process_number(text) {
            Some(pid) => Self::of_process(pid),
            None => Self::named(text),
        }
    }
}

fn process_number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

impl fmt::Display for Namespace {
    /// The name that `ip netns` has for it, or the file, that it was found by; its inode where it
    /// was found by neither.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => f.pad(&shown(path)),
            None => write!(f, "net:[{}]", self.id.1),
        }
    }
}

/// What it parses from.
fn shown(path: &Path) -> String {
    let name = path.strip_prefix(Namespace::NAMED).ok().and_then(Path::to_str);
    match name.filter(|name| !name.is_empty() && !name.contains('/') && process_number(name).is_none()) {
        Some(name) => name.to_owned(),
        None => path.display().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_numbers_and_paths_are_distinguished() {
        for (text, path, display) in [
            ("blue-gone", "/run/netns/blue-gone", "blue-gone"),
            ("/run/netns/blue-gone", "/run/netns/blue-gone", "blue-gone"),
            ("/run/netns/7", "/run/netns/7", "/run/netns/7"),
            ("4294967295", "/proc/4294967295/ns/net", "/proc/4294967295/ns/net"),
            ("+7", "/run/netns/+7", "+7"),
            ("99999999999", "/run/netns/99999999999", "99999999999"),
            ("./blue-gone", "./blue-gone", "./blue-gone"),
        ] {
            let error = text.parse::<Namespace>().unwrap_err();
            assert!(
                matches!(&error, NamespaceError::Open { path: opened, .. } if opened == Path::new(path)),
                "{error}"
            );
            assert_eq!(shown(Path::new(path)), display, "{text}");
        }
        for text in ["", ".", "..", "a\0b"] {
            assert!(matches!(text.parse::<Namespace>(), Err(NamespaceError::Name(_))), "{text:?}");
        }
        assert!(matches!(Namespace::named("a/b"), Err(NamespaceError::Name(_))));
    }

    #[test]
    fn what_is_no_namespace_is_not_entered() {
        for path in ["/dev/null", "/", "/proc/self/ns/mnt"] {
            let result = Namespace::at(path).unwrap().within(|| panic!("nothing may be done"));
            assert!(matches!(result, Err(NamespaceError::Enter { .. })), "{path}");
        }
    }

    #[test]
    fn it_is_what_it_was_when_it_was_found() {
        let home = Namespace::of_this_thread().unwrap();
        let descriptor: OwnedFd = File::open(Namespace::OWN).unwrap().into();
        let number = std::os::fd::AsRawFd::as_raw_fd(&descriptor);
        let found = Namespace::at(format!("/proc/self/fd/{number}")).unwrap();
        // Now the number is free for something else.
        drop(descriptor);
        assert_eq!((&found, found.to_string()), (&home, format!("/proc/self/fd/{number}")));
        assert!(home.to_string().starts_with("net:["));
        assert_ne!(home, Namespace::at("/dev/null").unwrap());
    }

    #[test]
    fn a_fifo_is_refused_without_waiting_for_its_writer() {
        let path = std::env::temp_dir().join(format!("ipvs-namespace-fifo-{}", std::process::id()));
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let result = Namespace::at(&path).map(|namespace| namespace.within(|| ()));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(result, Ok(Err(NamespaceError::Enter { .. }))), "{result:?}");
    }
}
