//! Why a director can't be watched.

use std::io;

use crate::errno::Errno;
use crate::error::Error;
use crate::name::InterfaceName;
use crate::netns::NamespaceError;

/// Why a [`Monitor`](crate::monitor::Monitor) could not be opened, or a call of it failed.
///
/// ```
/// use ipvs::monitor::{Monitor, MonitorError};
/// let monitor = match Monitor::open() {
///     Err(MonitorError::NlmonMissing) => Monitor::builder().open_polling(),
///     opened => opened,
/// };
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MonitorError {
    /// The kernel has no nlmon devices and could not load the module.
    #[error(
        "this kernel can't show netlink's datagrams: load the module nlmon (modprobe nlmon), or use a kernel built with CONFIG_NLMON"
    )]
    NlmonMissing,
    /// The process may not watch netlink: that takes `CAP_NET_ADMIN` and `CAP_NET_RAW` in the user
    /// namespace that owns the network namespace.
    #[error("cannot {what}: watching netlink needs CAP_NET_ADMIN and CAP_NET_RAW")]
    NotPermitted {
        /// What was tried.
        what: &'static str,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// The process may not read the director: the kernel answers only those who have
    /// `CAP_NET_ADMIN` in the initial user namespace.
    #[error(
        "the kernel shows IPVS only to those who have CAP_NET_ADMIN in the initial user namespace, outside of containers"
    )]
    NotReadable,
    /// The device that was named can't be used.
    #[error("{}", of_device(*.name, *.fault))]
    Device {
        /// Its name.
        name: InterfaceName,
        /// What is wrong with it.
        fault: DeviceFault,
    },
    /// The device was removed, or set down, by another program. Nothing more is seen: open another
    /// monitor.
    #[error("the nlmon device was removed or set down: changes are no longer seen")]
    DeviceGone,
    /// The director could not be read. The monitor goes on, and reads it again later.
    #[error("cannot read the director to compare it")]
    Client(#[from] Error),
    /// The network namespace could not be entered, or not be left.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// An asynchronous monitor was used outside of a tokio runtime.
    #[error("there is no tokio runtime here: use the asynchronous monitor inside one, with time and I/O enabled")]
    NoRuntime,
    /// A socket failed.
    #[error("cannot {what}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// What the system says.
        #[source]
        error: io::Error,
    },
}

/// Why a device can't be watched.
///
/// ```
/// use ipvs::monitor::{DeviceFault, MonitorError};
/// fn can_be_made(error: &MonitorError) -> bool {
///     matches!(error, MonitorError::Device { fault: DeviceFault::Missing, .. })
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceFault {
    /// No device has the name.
    Missing,
    /// The device is not an nlmon device.
    OtherKind,
    /// It is down.
    Down,
}

fn of_device(name: InterfaceName, fault: DeviceFault) -> String {
    match fault {
        DeviceFault::Missing => {
            format!("there is no nlmon device {name}: ip link add {name} type nlmon; ip link set {name} up")
        }
        DeviceFault::OtherKind => format!("{name} is not an nlmon device"),
        DeviceFault::Down => format!("the device {name} is down: ip link set {name} up"),
    }
}

impl MonitorError {
    pub(super) fn io(what: &'static str, error: io::Error) -> Self {
        MonitorError::Io { what, error }
    }

    /// An error of something that needs privileges.
    #[cfg(target_os = "linux")]
    pub(super) fn privileged(what: &'static str, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::PermissionDenied => MonitorError::NotPermitted { what, error },
            _ => MonitorError::Io { what, error },
        }
    }

    /// An error of the first reading.
    pub(super) fn of_reading(error: Error) -> Self {
        match error.errno() {
            Some(Errno::EPERM) => MonitorError::NotReadable,
            _ => MonitorError::Client(error),
        }
    }

    /// Does the monitor continue after this error?
    pub fn is_transient(&self) -> bool {
        matches!(self, MonitorError::Client(_))
    }
}
