//! The kernel's settings for IPVS: the files of `/proc/sys/net/ipv4/vs`, with typed names and
//! values.
//!
//! ```no_run
//! use ipvs::sysctl::{Sysctl, SysctlValue, Sysctls};
//! let sysctls = Sysctls::new();
//! sysctls.set(Sysctl::Conntrack, &SysctlValue::Number(1))?;
//! for (sysctl, value) in sysctls.all()? {
//!     println!("net.ipv4.vs.{sysctl} = {value}");
//! }
//! # Ok::<(), ipvs::sysctl::SysctlError>(())
//! ```

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::invalid_value::InvalidValue;
use crate::kernel::KernelVersion;

/// What a [`Sysctl`] holds.
///
/// ```
/// use ipvs::sysctl::{Sysctl, SysctlKind};
/// assert_eq!(Sysctl::Conntrack.kind(), SysctlKind::Switch);
/// assert_eq!(Sysctl::SyncThreshold.kind(), SysctlKind::Pair);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum SysctlKind {
    /// 0 or 1; the kernel takes other numbers for 1, or refuses them.
    Switch,
    /// A number.
    Number,
    /// Two numbers.
    Pair,
    /// A list of CPUs, such as `0-3,8`.
    Cpus,
}

/// The value of a [`Sysctl`].
///
/// Prints and parses as the kernel writes it.
///
/// ```
/// use ipvs::sysctl::SysctlValue;
/// assert_eq!("3\t50".parse(), Ok(SysctlValue::Pair(3, 50)));
/// assert_eq!(SysctlValue::Number(-4).to_string(), "-4");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(untagged))]
pub enum SysctlValue {
    /// Of a switch or a number.
    Number(i64),
    /// Of a pair.
    Pair(i64, i64),
    /// Of a list of CPUs.
    Text(String),
}

impl fmt::Display for SysctlValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SysctlValue::Number(number) => write!(f, "{number}"),
            SysctlValue::Pair(one, two) => write!(f, "{one}\t{two}"),
            SysctlValue::Text(text) => f.write_str(text),
        }
    }
}

impl FromStr for SysctlValue {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let text = text.trim();
        if text.contains(['\n', '\0']) {
            return Err(InvalidValue::new("value of a sysctl", text, "one line"));
        }
        let numbers: Option<Vec<i64>> = text.split_ascii_whitespace().map(|word| word.parse().ok()).collect();
        Ok(match numbers.as_deref() {
            Some([number]) => SysctlValue::Number(*number),
            Some([one, two]) => SysctlValue::Pair(*one, *two),
            _ => SysctlValue::Text(text.to_owned()),
        })
    }
}

/// Why a [`Sysctl`] could not be read or set.
///
/// ```
/// use ipvs::sysctl::{Sysctl, Sysctls};
/// let error = Sysctls::at("/nowhere").get(Sysctl::Conntrack).unwrap_err();
/// let text = ipvs::Report::new(&error).to_string();
/// assert_eq!(text, "cannot read /nowhere/conntrack: No such file or directory (os error 2)");
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SysctlError {
    /// The file can't be read. If it is not there: the module is not loaded, the kernel is too old
    /// ([`Sysctl::since`]), or was built without what it is about.
    #[error("cannot read {}", .path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file can't be written; nothing was set. If it is not there, as for [`Read`](Self::Read).
    #[error("cannot set {}", .path.display())]
    Set {
        /// The file.
        path: PathBuf,
        /// What the system says: the kernel refuses values out of range with `EINVAL`.
        source: io::Error,
    },
    /// The file holds something else than it should, or the value is of another kind than the
    /// sysctl.
    #[error("{}: {value:?} is not {}", .sysctl.name(), wanted(.sysctl.kind()))]
    Kind {
        /// Which.
        sysctl: Sysctl,
        /// The value.
        value: String,
    },
}

fn wanted(kind: SysctlKind) -> &'static str {
    match kind {
        SysctlKind::Switch => "0 or 1",
        SysctlKind::Number => "a number",
        SysctlKind::Pair => "two numbers",
        SysctlKind::Cpus => "a list of CPUs",
    }
}

macro_rules! sysctls {
    ($($(#[$doc:meta])* $variant:ident $name:literal $kind:ident $since:expr;)*) => {
        /// One of the kernel's settings for IPVS, of a network namespace.
        ///
        /// `docs` of the kernel: `Documentation/networking/ipvs-sysctl.rst`.
        ///
        /// ```
        /// use ipvs::{KernelVersion, sysctl::Sysctl};
        /// assert_eq!(Sysctl::ExpireNodestConn.name(), "expire_nodest_conn");
        /// assert_eq!("est_nice".parse(), Ok(Sysctl::EstNice));
        /// assert_eq!(Sysctl::EstNice.since(), Some(KernelVersion { major: 6, minor: 2 }));
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Sysctl { $($(#[$doc])* $variant,)* }

        impl Sysctl {
            /// All that Linux 7.2 has.
            pub const ALL: &[Sysctl] = &[$(Sysctl::$variant),*];

            /// The name of its file.
            pub const fn name(self) -> &'static str {
                match self { $(Sysctl::$variant => $name,)* }
            }

            /// What it holds.
            pub const fn kind(self) -> SysctlKind {
                match self { $(Sysctl::$variant => SysctlKind::$kind,)* }
            }

            /// The first release of Linux that is known to have it; `None` if Linux 6.1, the oldest
            /// that this crate is tested on, does. A stable release of an older series may have it,
            /// too: whether a kernel has it, [`Sysctls::get`] says.
            pub const fn since(self) -> Option<KernelVersion> {
                match self { $(Sysctl::$variant => $since,)* }
            }
        }
    };
}

/// In Linux 6.1 already.
const ALWAYS: Option<KernelVersion> = None;

const fn version(major: u16, minor: u16) -> Option<KernelVersion> {
    Some(KernelVersion { major, minor })
}

sysctls! {
    /// One packet in this number is dropped in mode 3 of `drop_packet`. Default 10.
    AmDroprate "am_droprate" Number ALWAYS;
    /// Pages of free memory below which the automatic modes of the defences against overload act.
    /// Default 1024.
    Amemthresh "amemthresh" Number ALWAYS;
    /// Only take part in synchronisation as a backup: keeps a director that is also a real server
    /// from balancing again.
    BackupOnly "backup_only" Switch ALWAYS;
    /// A connection without destination in a service of `lblc`, `lblcr` or `dh` goes out along the
    /// ordinary route.
    CacheBypass "cache_bypass" Switch ALWAYS;
    /// How densely the connection table may be filled before it grows: a power of 2, -8 to 8.
    /// Default -4.
    ConnLfactor "conn_lfactor" Number version(7, 2);
    /// The most connections that there may be.
    ConnMax "conn_max" Number version(7, 2);
    /// What happens when a client uses a port again: bits 1 (schedule it anew if it may be) and 2
    /// (of connections in FIN wait, too). Default 1.
    ConnReuseMode "conn_reuse_mode" Number ALWAYS;
    /// Netfilter tracks the connections, too. Needs a kernel with `CONFIG_IP_VS_NFCT`.
    Conntrack "conntrack" Switch ALWAYS;
    /// How much the kernel says in its log. Needs a kernel with `CONFIG_IP_VS_DEBUG`; of the whole
    /// machine, and can be set in its first network namespace only.
    DebugLevel "debug_level" Number ALWAYS;
    /// Defence against overload by forgetting half-open connections: 0 never, 1 and 2 when memory
    /// is short, 3 always.
    DropEntry "drop_entry" Number ALWAYS;
    /// Defence against overload by dropping packets: 0 never, 1 and 2 when memory is short, 3
    /// always.
    DropPacket "drop_packet" Number ALWAYS;
    /// The CPUs that estimate rates.
    EstCpulist "est_cpulist" Cpus version(6, 2);
    /// The niceness of the threads that estimate rates, -20 to 19.
    EstNice "est_nice" Number version(6, 2);
    /// A connection whose destination was deleted ends at its next packet, in place of dropping its
    /// packets in silence.
    ExpireNodestConn "expire_nodest_conn" Switch ALWAYS;
    /// Persistence no longer sends clients to a destination whose weight is 0.
    ExpireQuiescentTemplate "expire_quiescent_template" Switch ALWAYS;
    /// Packets in IPIP tunnels are taken as they are, not by what is wrapped in them.
    IgnoreTunneled "ignore_tunneled" Switch ALWAYS;
    /// Seconds after which scheduler `lblc` forgets an address that nobody asks for. Only where its
    /// module is loaded.
    LblcExpiration "lblc_expiration" Number ALWAYS;
    /// The same of scheduler `lblcr`.
    LblcrExpiration "lblcr_expiration" Number ALWAYS;
    /// A destination behind NAT that can't be reached is reported to the client by ICMP.
    NatIcmpSend "nat_icmp_send" Switch ALWAYS;
    /// Packets too long for a tunnel are refused by ICMP in place of being cut. Default 1.
    PmtuDisc "pmtu_disc" Switch ALWAYS;
    /// Counters are refreshed and rates estimated. Default 1.
    RunEstimation "run_estimation" Switch version(5, 16);
    /// ICMP packets that belong to no connection are scheduled, too.
    ScheduleIcmp "schedule_icmp" Switch ALWAYS;
    /// Defence against half-open TCP connections by shorter timeouts: 0 never, 1 and 2 when memory
    /// is short, 3 always.
    SecureTcp "secure_tcp" Number ALWAYS;
    /// A connection of SCTP may begin with any packet.
    SloppySctp "sloppy_sctp" Switch ALWAYS;
    /// A connection of TCP may begin with any packet, so that another director can take over.
    SloppyTcp "sloppy_tcp" Switch ALWAYS;
    /// Replies of NAT are routed anew by their new source address. Default 1.
    SnatReroute "snat_reroute" Switch ALWAYS;
    /// How densely the table of services may be filled before it grows: a power of 2, -8 to 8.
    /// Default -3.
    SvcLfactor "svc_lfactor" Number version(7, 2);
    /// Only templates of persistence are synchronised.
    SyncPersistMode "sync_persist_mode" Switch ALWAYS;
    /// How many threads, and ports, a sync daemon has: 1 to 64. Default 1.
    SyncPorts "sync_ports" Number ALWAYS;
    /// How many messages may wait to be sent. The default depends on the machine's memory.
    SyncQlenMax "sync_qlen_max" Number ALWAYS;
    /// A connection is synchronised again after this number of seconds; 0: by packets only.
    SyncRefreshPeriod "sync_refresh_period" Number ALWAYS;
    /// How often a synchronisation is repeated, 0 to 3.
    SyncRetries "sync_retries" Number ALWAYS;
    /// The size of the buffers of synchronisation, in bytes; 0: the system's usual.
    SyncSockSize "sync_sock_size" Number ALWAYS;
    /// A connection is synchronised for the first time after the first number of packets, and then
    /// each time after the second. Default 3 and 50.
    SyncThreshold "sync_threshold" Pair ALWAYS;
    /// The protocol of synchronisation, 1 by default. 0 is that of Linux before 2.6.39.
    SyncVersion "sync_version" Switch ALWAYS;
}

impl Sysctl {
    fn fits(self, value: &SysctlValue) -> bool {
        matches!(
            (self.kind(), value),
            (SysctlKind::Switch | SysctlKind::Number, SysctlValue::Number(_))
                | (SysctlKind::Pair, SysctlValue::Pair(..))
                // A single CPU looks like a number.
                | (SysctlKind::Cpus, SysctlValue::Text(_) | SysctlValue::Number(_))
        )
    }
}

impl fmt::Display for Sysctl {
    /// Its name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Sysctl {
    type Err = InvalidValue;

    fn from_str(name: &str) -> Result<Self, InvalidValue> {
        let found = Self::ALL.iter().find(|sysctl| sysctl.name() == name);
        found.copied().ok_or_else(|| InvalidValue::new("sysctl", name, "a name as in /proc/sys/net/ipv4/vs"))
    }
}

/// The kernel's settings for IPVS.
///
/// They belong to the network namespace of the thread that reads and sets them; of another:
/// [`Namespace::within`](crate::netns::Namespace::within). There are none before the module `ip_vs`
/// is loaded, which [`Client::connect`](crate::Client::connect) asks for. Reading needs no
/// privileges, setting needs root's.
///
/// ```no_run
/// use ipvs::sysctl::{Sysctl, SysctlValue, Sysctls};
/// let sysctls = Sysctls::new();
/// if sysctls.get(Sysctl::ExpireNodestConn)? == SysctlValue::Number(0) {
///     sysctls.set(Sysctl::ExpireNodestConn, &SysctlValue::Number(1))?;
/// }
/// # Ok::<(), ipvs::sysctl::SysctlError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sysctls {
    directory: PathBuf,
}

impl Default for Sysctls {
    fn default() -> Self {
        Self::new()
    }
}

impl Sysctls {
    /// The settings of `/proc/sys/net/ipv4/vs`.
    pub fn new() -> Self {
        Self::at("/proc/sys/net/ipv4/vs")
    }

    /// The settings in this directory: for tests, or where `/proc` is mounted elsewhere.
    ///
    /// ```
    /// use ipvs::sysctl::Sysctls;
    /// assert!(Sysctls::at("/not-there").all().is_err());
    /// ```
    pub fn at(directory: impl Into<PathBuf>) -> Self {
        Sysctls { directory: directory.into() }
    }

    /// The value of one.
    ///
    /// ```no_run
    /// use ipvs::sysctl::{Sysctl, SysctlValue, Sysctls};
    /// let has_conntrack = Sysctls::new().get(Sysctl::Conntrack)? == SysctlValue::Number(1);
    /// # Ok::<(), ipvs::sysctl::SysctlError>(())
    /// ```
    ///
    /// # Errors
    /// See [`SysctlError`].
    pub fn get(&self, sysctl: Sysctl) -> Result<SysctlValue, SysctlError> {
        let path = self.path(sysctl);
        let text = fs::read_to_string(&path).map_err(|source| SysctlError::Read { path, source })?;
        let value = text.parse::<SysctlValue>().ok().filter(|value| sysctl.fits(value));
        value.ok_or_else(|| SysctlError::Kind { sysctl, value: text.trim().to_owned() })
    }

    /// Sets one.
    ///
    /// ```
    /// use ipvs::sysctl::{Sysctl, SysctlError, SysctlValue, Sysctls};
    /// let error = Sysctls::new().set(Sysctl::SyncThreshold, &SysctlValue::Number(3)).unwrap_err();
    /// assert!(matches!(error, SysctlError::Kind { .. }));
    /// assert_eq!(error.to_string(), "sync_threshold: \"3\" is not two numbers");
    /// ```
    ///
    /// # Errors
    /// See [`SysctlError`]; nothing was set then.
    pub fn set(&self, sysctl: Sysctl, value: &SysctlValue) -> Result<(), SysctlError> {
        if !sysctl.fits(value) {
            return Err(SysctlError::Kind { sysctl, value: value.to_string() });
        }
        let path = self.path(sysctl);
        // A file that is not there is not made.
        let written = fs::OpenOptions::new().write(true).open(&path).and_then(|mut file| {
            use std::io::Write;
            file.write_all(value.to_string().as_bytes())
        });
        written.map_err(|source| SysctlError::Set { path, source })
    }

    /// All that are there and can be read, with their values.
    ///
    /// # Errors
    /// [`SysctlError::Read`] if there is not even the directory.
    pub fn all(&self) -> Result<Vec<(Sysctl, SysctlValue)>, SysctlError> {
        let unreadable = |source| SysctlError::Read { path: self.directory.clone(), source };
        fs::metadata(&self.directory).map_err(unreadable)?;
        Ok(Sysctl::ALL.iter().filter_map(|sysctl| Some((*sysctl, self.get(*sysctl).ok()?))).collect())
    }

    fn path(&self, sysctl: Sysctl) -> PathBuf {
        Path::new(&self.directory).join(sysctl.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_what_they_name() {
        for (at, sysctl) in Sysctl::ALL.iter().enumerate() {
            assert_eq!(sysctl.name().parse(), Ok(*sysctl));
            assert!(Sysctl::ALL[at + 1..].iter().all(|other| other.name() > sysctl.name()), "{sysctl} is out of order");
        }
        assert!("conn".parse::<Sysctl>().is_err());
    }

    #[test]
    fn values_print_as_they_parse() {
        for text in ["0", "-4", "3\t50", "0-3,8", ""] {
            assert_eq!(text.parse::<SysctlValue>().unwrap().to_string(), text);
        }
        assert!("1\n2".parse::<SysctlValue>().is_err());
    }

    #[test]
    fn a_value_of_another_kind_is_not_written() {
        let sysctls = Sysctls::at("/nowhere");
        let pair = SysctlValue::Pair(1, 2);
        let error = sysctls.set(Sysctl::Conntrack, &pair).unwrap_err();
        assert_eq!(error.to_string(), "conntrack: \"1\\t2\" is not 0 or 1");
        assert!(matches!(sysctls.set(Sysctl::SyncThreshold, &pair), Err(SysctlError::Set { .. })));
        assert!(sysctls.all().is_err());
    }
}
