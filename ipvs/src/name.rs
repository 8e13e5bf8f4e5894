//! The kernel's short names: scheduler, persistence engine, network interface.
//!
//! They live in fixed arrays in the kernel, so they live in fixed arrays here: no allocation for
//! the thousands that a listing reads. The kernel allows any bytes but NUL, and so do these types.

use std::fmt;
use std::str::FromStr;

use crate::invalid_value::InvalidValue;

/// At most `N` bytes, none of them NUL.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Name<const N: usize> {
    bytes: [u8; N],
    len: u8,
}

impl<const N: usize> Name<N> {
    pub(crate) const fn new(name: &[u8]) -> Option<Self> {
        if name.is_empty() || name.len() > N {
            return None;
        }
        let mut bytes = [0; N];
        let mut i = 0;
        while i < name.len() {
            if name[i] == 0 {
                return None;
            }
            bytes[i] = name[i];
            i += 1;
        }
        Some(Name { bytes, len: name.len() as u8 })
    }

    /// For the constants below, whose names are known to fit.
    const fn known(name: &str) -> Self {
        match Self::new(name.as_bytes()) {
            Some(name) => name,
            None => panic!("a constant name that does not fit"),
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $max:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(Name<$max>);

        impl $type {
            /// The longest name that the kernel can hold, in bytes.
            pub const MAX_LEN: usize = $max;

            /// The name given by its bytes.
            ///
            /// # Errors
            /// [`InvalidValue`] when empty, longer than [`MAX_LEN`](Self::MAX_LEN) or containing a
            /// NUL.
            pub fn new(name: impl AsRef<[u8]>) -> Result<Self, InvalidValue> {
                let name = name.as_ref();
                Name::new(name).map(Self).ok_or_else(|| {
                    InvalidValue::new($what, String::from_utf8_lossy(name), concat!("1 to ", $max, " bytes without NUL"))
                })
            }

            /// The name's bytes, without the NUL that ends it on the wire.
            pub fn as_bytes(&self) -> &[u8] {
                self.0.as_bytes()
            }
        }

        impl fmt::Display for $type {
            /// The name; bytes that are not UTF-8 are shown as U+FFFD.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match std::str::from_utf8(self.as_bytes()) {
                    Ok(name) => f.pad(name),
                    Err(_) => f.pad(&String::from_utf8_lossy(self.as_bytes())),
                }
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({:?})", stringify!($type), String::from_utf8_lossy(self.as_bytes()))
            }
        }

        impl FromStr for $type {
            type Err = InvalidValue;

            fn from_str(name: &str) -> Result<Self, InvalidValue> {
                Self::new(name)
            }
        }
    };
}

name! {
    /// The algorithm that picks a destination for a new connection, by the name of its kernel
    /// module.
    ///
    /// `rr` stands for the module `ip_vs_rr`, which the kernel loads when it is first asked for.
    /// Any name is sent as it is: a kernel with another scheduler needs no new version of this
    /// crate. The kernel refuses an unknown name with [`Errno::ENOENT`](crate::Errno::ENOENT).
    /// Kernel: `IPVS_SVC_ATTR_SCHED_NAME`.
    ///
    /// ```
    /// use ipvs::Scheduler;
    /// let scheduler: Scheduler = "mh".parse()?;
    /// assert_eq!(scheduler, Scheduler::MH);
    /// assert!("a name that is too long".parse::<Scheduler>().is_err());
    /// # Ok::<(), ipvs::InvalidValue>(())
    /// ```
    Scheduler, 15, "scheduler"
}

impl Scheduler {
    /// Round robin: each destination in turn, whatever its weight above 0.
    pub const RR: Self = Self(Name::known("rr"));
    /// Weighted round robin: each in turn, in proportion to the weights.
    pub const WRR: Self = Self(Name::known("wrr"));
    /// Least connections, whatever the weights above 0; an active one counts as 256 inactive ones.
    pub const LC: Self = Self(Name::known("lc"));
    /// Weighted least connections: what ipvsadm takes when none is named.
    pub const WLC: Self = Self(Name::known("wlc"));
    /// Locality-based least connections, for caches: packets to one address go to one destination,
    /// until it is overloaded.
    pub const LBLC: Self = Self(Name::known("lblc"));
    /// The same with replication: packets to one address go to a set of destinations, which grows
    /// when they are overloaded.
    pub const LBLCR: Self = Self(Name::known("lblcr"));
    /// Destination hashing: by the address to which packets go.
    pub const DH: Self = Self(Name::known("dh"));
    /// Source hashing: by the client's address.
    pub const SH: Self = Self(Name::known("sh"));
    /// Shortest expected delay: the least of active connections plus one, divided by the weight.
    pub const SED: Self = Self(Name::known("sed"));
    /// Never queue: a destination without active connections if there is one, otherwise as
    /// [`SED`](Self::SED).
    pub const NQ: Self = Self(Name::known("nq"));
    /// Weighted failover: the destination of the highest weight that is available.
    pub const FO: Self = Self(Name::known("fo"));
    /// Weighted overflow: fill one destination until it has more connections than its weight, then
    /// the next.
    pub const OVF: Self = Self(Name::known("ovf"));
    /// Maglev hashing: by the client's address, and few clients move when destinations change.
    pub const MH: Self = Self(Name::known("mh"));
    /// Power of two choices: the less loaded of two destinations that are drawn by weight.
    pub const TWOS: Self = Self(Name::known("twos"));
    /// No scheduler: new connections are not served. (`none`, understood by the kernel itself.)
    pub const NONE: Self = Self(Name::known("none"));

    /// All schedulers of the Linux tree, as of 7.2; [`NONE`](Self::NONE) is not among them.
    pub const IN_TREE: [Self; 14] = [
        Self::RR,
        Self::WRR,
        Self::LC,
        Self::WLC,
        Self::LBLC,
        Self::LBLCR,
        Self::DH,
        Self::SH,
        Self::SED,
        Self::NQ,
        Self::FO,
        Self::OVF,
        Self::MH,
        Self::TWOS,
    ];
}

impl Default for Scheduler {
    /// [`WLC`](Self::WLC), as ipvsadm.
    fn default() -> Self {
        Self::WLC
    }
}

name! {
    /// A module that finds the client's identity inside the packets, for persistence.
    ///
    /// Linux has one, [`SIP`](Self::SIP) (the SIP Call-ID). Kernel: `IPVS_SVC_ATTR_PE_NAME`.
    ///
    /// ```
    /// use ipvs::PersistenceEngine;
    /// assert_eq!("sip".parse(), Ok(PersistenceEngine::SIP));
    /// ```
    PersistenceEngine, 16, "persistence engine"
}

impl PersistenceEngine {
    /// Persistence by the Call-ID of SIP over UDP: module `ip_vs_pe_sip`.
    pub const SIP: Self = Self(Name::known("sip"));
}

/// What a service needs of its kernel beside IPVS itself: a scheduler or a persistence engine, each
/// a kernel module.
///
/// ```
/// use ipvs::{Module, Scheduler};
/// assert_eq!(Module::from(Scheduler::MH).to_string(), "scheduler mh (module ip_vs_mh)");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Module {
    /// A scheduler.
    Scheduler(Scheduler),
    /// A persistence engine.
    Engine(PersistenceEngine),
}

impl Module {
    /// Is it in the Linux tree?
    pub(crate) fn is_in_tree(self) -> bool {
        match self {
            Module::Scheduler(scheduler) => scheduler == Scheduler::NONE || Scheduler::IN_TREE.contains(&scheduler),
            Module::Engine(engine) => engine == PersistenceEngine::SIP,
        }
    }

    /// Is it expected of every kernel? Some distributions build their kernels without `twos`.
    pub(crate) fn is_everywhere(self) -> bool {
        self.is_in_tree() && self != Module::Scheduler(Scheduler::TWOS)
    }
}

impl From<Scheduler> for Module {
    fn from(scheduler: Scheduler) -> Self {
        Module::Scheduler(scheduler)
    }
}

impl From<PersistenceEngine> for Module {
    fn from(engine: PersistenceEngine) -> Self {
        Module::Engine(engine)
    }
}

impl fmt::Display for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Module::Scheduler(name) => write!(f, "scheduler {name} (module ip_vs_{name})"),
            Module::Engine(name) => write!(f, "persistence engine {name} (module ip_vs_pe_{name})"),
        }
    }
}

name! {
    /// A network interface, by name, as a sync daemon uses it. Kernel:
    /// `IPVS_DAEMON_ATTR_MCAST_IFN`.
    ///
    /// ```
    /// use ipvs::InterfaceName;
    /// assert_eq!(InterfaceName::new("eth0")?.to_string(), "eth0");
    /// assert!(InterfaceName::new("sixteen-bytes-xx").is_err());
    /// # Ok::<(), ipvs::InvalidValue>(())
    /// ```
    InterfaceName, 15, "interface"
}

impl InterfaceName {
    /// The loopback, which every network namespace has.
    pub const LOOPBACK: Self = Self(Name::known("lo"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_and_free_of_nul() {
        assert!(Scheduler::new("").is_err());
        assert!(Scheduler::new([b'x'; 15]).is_ok());
        assert!(Scheduler::new([b'x'; 16]).is_err());
        assert!(Scheduler::new(b"r\0r").is_err());
        assert!(PersistenceEngine::new([b'x'; 16]).is_ok());
    }

    #[test]
    fn bytes_outside_utf8_survive() {
        let odd = Scheduler::new([0xff, b'r']).unwrap();
        assert_eq!(odd.as_bytes(), [0xff, b'r']);
        assert_eq!(odd.to_string(), "\u{fffd}r");
    }
}
