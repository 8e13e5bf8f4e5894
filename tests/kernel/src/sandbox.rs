//! A private world for one case: an empty network with a loopback, host and service names that are
//! the same everywhere, and an `ipvsadm` where the original's wrapper scripts look for one.

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::chdir;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::Once;
use std::{fs, io};

/// What `/etc` holds inside.
const ETC: [(&str, &str); 3] = [
    ("hosts", include_str!("../cases/etc/hosts")),
    ("services", include_str!("../cases/etc/services")),
    ("nsswitch.conf", include_str!("../cases/etc/nsswitch.conf")),
];

/// What programs need of the machine's own `/etc` to start; any of it may be missing.
const KEPT: [&str; 3] = ["ld.so.cache", "passwd", "group"];

/// The schedulers whose modules the kernel must not have to load beside the end of a network
/// namespace.
///
/// Linux before 7 can hang then, for good: a command that names such a scheduler waits for its
/// module while it holds IPVS' only lock, the module waits for the list of what each namespace has,
/// and the end of a namespace, which holds that, for the lock. Other schedulers keep nothing in a
/// namespace.
const LOADED_BEFORE: [&str; 2] = ["ip_vs_lblc", "ip_vs_lblcr"];

/// The wrapper scripts set their own PATH, in which this directory stands.
const SCRIPTS_LOOK_HERE: &str = "/usr/local/sbin";

/// Why the private world could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// No new namespaces.
    #[error("cannot make a network namespace of its own for the case ({0}): run as root, as the lab's guest does")]
    Namespace(nix::Error),
    /// No way to the root directory.
    #[error("cannot change to /: {0}")]
    Directory(nix::Error),
    /// A mount was refused.
    #[error("cannot mount on {place}: {error}")]
    Mount {
        /// Where.
        place: &'static str,
        /// Why.
        error: nix::Error,
    },
    /// A file could not be written.
    #[error("cannot fill {place}: {error}")]
    Fill {
        /// Where.
        place: &'static str,
        /// Why.
        error: io::Error,
    },
    /// The loopback stayed down.
    #[error("cannot bring up the loopback interface: {0}")]
    Loopback(io::Error),
}

/// Moves the calling thread, and whatever it starts from now on, into a world of its own.
///
/// # Errors
/// What could not be set up.
pub fn enter(ipvsadm: &Path) -> Result<(), SandboxError> {
    enter_network_and_mounts()?;
    // The thread has a working directory of its own now. Telling each program where to work would
    // make starting it twice as slow, as then the process is copied for it.
    chdir("/").map_err(SandboxError::Directory)?;
    replace_etc()?;
    mount_tmpfs(SCRIPTS_LOOK_HERE)?;
    symlink(ipvsadm, Path::new(SCRIPTS_LOOK_HERE).join("ipvsadm"))
        .map_err(|error| SandboxError::Fill { place: SCRIPTS_LOOK_HERE, error })
}

/// Moves the calling thread, and whatever it starts from now on, into an empty network with a
/// loopback, where nobody else sees its mounts.
///
/// # Errors
/// What could not be set up.
pub fn enter_network_and_mounts() -> Result<(), SandboxError> {
    load_schedulers();
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).map_err(SandboxError::Namespace)?;
    let flags = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, flags, None::<&str>)
        .map_err(|error| SandboxError::Mount { place: "/", error })?;
    loopback_up().map_err(SandboxError::Loopback)
}

/// Moves the calling thread, and whatever it starts from now on, into an empty network with a
/// loopback.
///
/// # Errors
/// What could not be set up.
pub fn enter_network() -> Result<(), SandboxError> {
    load_schedulers();
    unshare(CloneFlags::CLONE_NEWNET).map_err(SandboxError::Namespace)?;
    loopback_up().map_err(SandboxError::Loopback)
}

/// Does what the kernel would do by itself: runs its loader. Without a loader, or the right to
/// load, it loads nothing either.
fn load_schedulers() {
    static LOADED: Once = Once::new();
    LOADED.call_once(|| {
        let loader = fs::read_to_string("/proc/sys/kernel/modprobe").unwrap_or_default();
        for module in LOADED_BEFORE {
            let _ = Command::new(loader.trim_end()).args(["-q", "--", module]).output();
        }
    });
}

fn replace_etc() -> Result<(), SandboxError> {
    let etc = Path::new("/etc");
    let mut files: Vec<_> = ETC.iter().map(|(name, text)| (*name, text.as_bytes().to_vec())).collect();
    files.extend(KEPT.iter().filter_map(|name| Some((*name, fs::read(etc.join(name)).ok()?))));
    mount_tmpfs("/etc")?;
    for (name, bytes) in files {
        fs::write(etc.join(name), bytes).map_err(|error| SandboxError::Fill { place: "/etc", error })?;
    }
    Ok(())
}

/// Makes `program` the `/sbin/modprobe` of the calling thread's world, which has none otherwise.
///
/// Its `/sbin` holds nothing else then.
///
/// # Errors
/// What could not be set up.
pub fn install_modprobe(program: &Path) -> Result<(), SandboxError> {
    const SBIN: &str = "/usr/sbin";
    mount_tmpfs(SBIN)?;
    symlink(program, Path::new(SBIN).join("modprobe")).map_err(|error| SandboxError::Fill { place: SBIN, error })
}

/// Puts an empty directory in memory over one that is there.
///
/// # Errors
/// The mount was refused.
pub fn mount_tmpfs(place: &'static str) -> Result<(), SandboxError> {
    mount(Some("tmpfs"), place, Some("tmpfs"), MsFlags::empty(), None::<&str>)
        .map_err(|error| SandboxError::Mount { place, error })
}

/// Sets the flag "up" of interface 1, which is the loopback in every network namespace.
///
/// By hand, because a fresh machine need not have the program `ip`.
fn loopback_up() -> io::Result<()> {
    const RTM_NEWLINK: u16 = 16;
    const REQUEST_WITH_ACK: u16 = 5;
    const UP: u32 = 1;
    let mut message = Vec::new();
    message.extend(32_u32.to_ne_bytes()); // length
    message.extend(RTM_NEWLINK.to_ne_bytes());
    message.extend(REQUEST_WITH_ACK.to_ne_bytes());
    message.extend([0; 8]); // sequence number, port
    message.extend([0; 4]); // any family, any type
    message.extend(1_i32.to_ne_bytes()); // interface
    message.extend(UP.to_ne_bytes()); // flags
    message.extend(UP.to_ne_bytes()); // which of them to change
    let socket = Socket::new(NETLINK_ROUTE)?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.send(&message, 0)?;
    let mut reply = Vec::with_capacity(4096);
    socket.recv(&mut reply, 0)?;
    match reply.get(16..20).and_then(|code| code.try_into().ok()).map(i32::from_ne_bytes) {
        Some(0) => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(-code)),
        None => Err(io::Error::other("the kernel's answer is cut short")),
    }
}
