//! Virtual services: what clients connect to.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::str::FromStr;

use crate::invalid_value::InvalidValue;
use crate::name::{Module, PersistenceEngine, Scheduler};

/// An address family. Prints and parses as `ipv4` and `ipv6`.
///
/// ```
/// use ipvs::Family;
/// assert_eq!(Family::of("2001:db8::1".parse().unwrap()), Family::V6);
/// assert_eq!("ipv4".parse(), Ok(Family::V4));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Family {
    /// IPv4 (`AF_INET`, 2).
    V4,
    /// IPv6 (`AF_INET6`, 10).
    V6,
}

impl Family {
    /// The family of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Family::V4 } else { Family::V6 }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Family::V4 => "ipv4",
            Family::V6 => "ipv6",
        })
    }
}

impl FromStr for Family {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        match text {
            "ipv4" => Ok(Family::V4),
            "ipv6" => Ok(Family::V6),
            _ => Err(InvalidValue::new("address family", text, "ipv4 or ipv6")),
        }
    }
}

/// A transport protocol, by its number in the IP header.
///
/// IPVS balances TCP, UDP and SCTP. Other numbers are allowed, so that a table which has them can
/// be read and written back. Kernel: `IPVS_SVC_ATTR_PROTOCOL`.
///
/// Prints and parses as `tcp`, `udp`, `sctp` or a number; upper case parses, too.
///
/// ```
/// use ipvs::Protocol;
/// assert_eq!("sctp".parse(), Ok(Protocol::SCTP));
/// assert_eq!("TCP".parse(), Ok(Protocol::TCP));
/// assert_eq!(Protocol::from_number(6), Protocol::TCP);
/// assert_eq!(Protocol::from_number(51).to_string(), "51");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Protocol(u16);

impl Protocol {
    /// TCP, number 6.
    pub const TCP: Self = Protocol(6);
    /// UDP, number 17.
    pub const UDP: Self = Protocol(17);
    /// SCTP, number 132.
    pub const SCTP: Self = Protocol(132);
    /// The number of no protocol, of which nobody has a service.
    pub(crate) const RESERVED: Self = Protocol(255);

    /// The protocol of this number.
    pub const fn from_number(number: u16) -> Self {
        Protocol(number)
    }

    /// Its number.
    pub const fn number(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Protocol::TCP => f.pad("tcp"),
            Protocol::UDP => f.pad("udp"),
            Protocol::SCTP => f.pad("sctp"),
            Protocol(number) => fmt::Display::fmt(&number, f),
        }
    }
}

impl FromStr for Protocol {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let named = [("tcp", Protocol::TCP), ("udp", Protocol::UDP), ("sctp", Protocol::SCTP)];
        match named.into_iter().find(|(name, _)| text.eq_ignore_ascii_case(name)) {
            Some((_, protocol)) => Ok(protocol),
            None => text
                .parse()
                .map(Protocol)
                .map_err(|_| InvalidValue::new("protocol", text, "tcp, udp, sctp or a number to 65535")),
        }
    }
}

/// The mark that a firewall rule puts on packets: 1 to 4,294,967,295.
///
/// All 32 bits are compared (`skb->mark`), so a mark that shares the word with another use of marks
/// never matches. Kernel: `IPVS_SVC_ATTR_FWMARK`. Mark 0 does not exist here; the kernel takes it
/// for "no mark" and would make a TCP service of address 0.0.0.0.
///
/// ```
/// use ipvs::FirewallMark;
/// assert_eq!(FirewallMark::new(10)?.get(), 10);
/// assert!(FirewallMark::new(0).is_err());
/// # Ok::<(), ipvs::InvalidValue>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FirewallMark(NonZeroU32);

impl FirewallMark {
    const ALLOWED: &'static str = "a number from 1 to 4294967295";

    /// The mark of this value.
    ///
    /// # Errors
    /// [`InvalidValue`] for 0.
    pub fn new(mark: u32) -> Result<Self, InvalidValue> {
        NonZeroU32::new(mark).map(FirewallMark).ok_or_else(|| InvalidValue::new("firewall mark", "0", Self::ALLOWED))
    }

    /// Its value.
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

impl From<NonZeroU32> for FirewallMark {
    fn from(mark: NonZeroU32) -> Self {
        FirewallMark(mark)
    }
}

impl From<FirewallMark> for NonZeroU32 {
    fn from(mark: FirewallMark) -> Self {
        mark.0
    }
}

impl fmt::Display for FirewallMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for FirewallMark {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        text.parse().map(FirewallMark).map_err(|_| InvalidValue::new("firewall mark", text, Self::ALLOWED))
    }
}

/// What makes a virtual service the one it is; everything else about it can be edited.
///
/// Prints and parses as `tcp 192.0.2.1:80`, `udp [2001:db8::1]:53`, `mark 10` and `mark 10 ipv6`;
/// with colons in place of spaces, as in `tcp:192.0.2.1:80` and `mark:10:ipv6`, it parses, too.
///
/// There will be no other kind of key without a new major version: a program that does not know it
/// could not distinguish services. So this is one of the few enums here that a `match` may cover
/// whole.
///
/// ```
/// use ipvs::{Family, FirewallMark, Protocol, ServiceKey};
/// let web: ServiceKey = "tcp 192.0.2.1:80".parse()?;
/// assert_eq!(
///     web,
///     ServiceKey::Address { protocol: Protocol::TCP, at: "192.0.2.1:80".parse().unwrap() }
/// );
/// let shop = ServiceKey::Mark { mark: FirewallMark::new(10)?, family: Family::V6 };
/// assert_eq!(shop.to_string(), "mark 10 ipv6");
/// # Ok::<(), ipvs::InvalidValue>(())
/// ```
///
/// Keys are compared and hashed as the kernel compares them: without flow label and zone of an IPv6
/// address.
///
/// ```
/// use std::net::SocketAddrV6;
/// use ipvs::ServiceKey;
/// let with_zone = ServiceKey::tcp(SocketAddrV6::new("fe80::1".parse()?, 80, 0, 2));
/// assert_eq!(with_zone, "tcp [fe80::1]:80".parse()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub enum ServiceKey {
    /// Packets to one address, protocol and port.
    Address {
        /// The transport protocol.
        protocol: Protocol,
        /// Virtual address and port. Port 0, with persistence, stands for all ports. The flow label
        /// and zone of an IPv6 address are not part of the kernel's table: they are not sent.
        at: SocketAddr,
    },
    /// Packets that bear a firewall mark, of one address family; port and protocol don't matter.
    Mark {
        /// The mark.
        mark: FirewallMark,
        /// The packets' family.
        family: Family,
    },
}

/// What is compared of a key: an address without flow label and zone.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Identity {
    Address(Protocol, IpAddr, u16),
    Mark(FirewallMark, Family),
}

impl ServiceKey {
    fn identity(&self) -> Identity {
        match *self {
            ServiceKey::Address { protocol, at } => Identity::Address(protocol, at.ip(), at.port()),
            ServiceKey::Mark { mark, family } => Identity::Mark(mark, family),
        }
    }
}

impl PartialEq for ServiceKey {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for ServiceKey {}

impl PartialOrd for ServiceKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ServiceKey {
    /// Addresses before marks; by protocol, address and port, or by mark and family.
    fn cmp(&self, other: &Self) -> Ordering {
        self.identity().cmp(&other.identity())
    }
}

/// Tables look services up several times for each command, so a key is hashed as the one number
/// that it mostly is.
impl Hash for ServiceKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match *self {
            ServiceKey::Address { protocol, at } => hash_address(at, protocol.number(), state),
            ServiceKey::Mark { mark, family } => state.write_u64(u64::from(mark.get()) << 1 | family as u64),
        }
    }
}

/// Hashes an address and what belongs to it.
pub(crate) fn hash_address<H: Hasher>(at: SocketAddr, with: u16, state: &mut H) {
    let (port, with) = (u64::from(at.port()), u64::from(with));
    match at.ip() {
        IpAddr::V4(ip) => state.write_u64(with << 48 | port << 32 | u64::from(ip.to_bits())),
        IpAddr::V6(ip) => {
            state.write_u128(ip.to_bits());
            state.write_u64(with << 16 | port);
        }
    }
}

/// The address without flow label and zone, which the kernel's tables don't have.
pub(crate) fn without_scope_id(at: SocketAddr) -> SocketAddr {
    SocketAddr::new(at.ip(), at.port())
}

/// Writes an address as the kernel's table has it.
#[cfg(feature = "serde")]
pub(crate) fn serialize_without_scope_id<S: serde::Serializer>(
    at: &SocketAddr,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serde::Serialize::serialize(&without_scope_id(*at), serializer)
}

impl ServiceKey {
    /// As the kernel's table has it.
    pub(crate) fn without_scope_id(self) -> Self {
        match self {
            ServiceKey::Address { protocol, at } => ServiceKey::Address { protocol, at: without_scope_id(at) },
            mark => mark,
        }
    }

    /// The TCP service at this address.
    pub fn tcp(at: impl Into<SocketAddr>) -> Self {
        ServiceKey::Address { protocol: Protocol::TCP, at: at.into() }
    }

    /// The UDP service at this address.
    pub fn udp(at: impl Into<SocketAddr>) -> Self {
        ServiceKey::Address { protocol: Protocol::UDP, at: at.into() }
    }

    /// The SCTP service at this address.
    pub fn sctp(at: impl Into<SocketAddr>) -> Self {
        ServiceKey::Address { protocol: Protocol::SCTP, at: at.into() }
    }

    /// The family of the packets that it takes.
    pub fn family(&self) -> Family {
        match self {
            ServiceKey::Address { at, .. } => Family::of(at.ip()),
            ServiceKey::Mark { family, .. } => *family,
        }
    }
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServiceKey::Address { protocol, at } => write!(f, "{protocol} {at}"),
            ServiceKey::Mark { mark, family: Family::V4 } => write!(f, "mark {mark}"),
            ServiceKey::Mark { mark, family: Family::V6 } => write!(f, "mark {mark} ipv6"),
        }
    }
}

impl FromStr for ServiceKey {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let invalid = || {
            InvalidValue::new(
                "service",
                text,
                "\"tcp 192.0.2.1:80\", \"udp [2001:db8::1]:53\", \"mark 10\" or \"mark 10 ipv6\"",
            )
        };
        let is_between = |letter: char| letter == ':' || letter.is_ascii_whitespace();
        let (kind, rest) = text.trim().split_once(is_between).ok_or_else(invalid)?;
        let rest = rest.trim_start();
        if kind == "mark" {
            let (mark, family) = rest.split_once(is_between).unwrap_or((rest, "ipv4"));
            let family = family.trim_start().parse().map_err(|_| invalid())?;
            return Ok(ServiceKey::Mark { mark: mark.parse()?, family });
        }
        let at = rest.parse().map_err(|_| invalid())?;
        if at != without_scope_id(at) {
            return Err(invalid());
        }
        Ok(ServiceKey::Address { protocol: kind.parse()?, at })
    }
}

/// How long the kernel remembers which destination a client was sent to: the persistence timeout,
/// in seconds.
///
/// All connections of one client (see [`Netmask`] for what counts as one) reach the same
/// destination until this long after the last of them. Kernel: `IP_VS_SVC_F_PERSISTENT` and
/// `IPVS_SVC_ATTR_TIMEOUT`.
///
/// ```
/// use ipvs::Persistence;
/// assert_eq!(Persistence::default().seconds(), 360);
/// assert!(Persistence::new(0).is_err());
/// # assert!(Persistence::new(Persistence::MAX).is_ok());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Persistence(u32);

impl Persistence {
    /// The longest timeout that no kernel misunderstands: beyond it the kernel's count of clock
    /// ticks wraps around where a second has 1,000 of them. (ipvsadm stops at 31 days, 2,678,400
    /// s.)
    pub const MAX: u32 = u32::MAX / 1000;

    /// A timeout in seconds, from 1 to [`MAX`](Self::MAX).
    ///
    /// # Errors
    /// [`InvalidValue`] outside of that range, which the kernel would accept and misunderstand.
    pub fn new(seconds: u32) -> Result<Self, InvalidValue> {
        if (1..=Self::MAX).contains(&seconds) {
            Ok(Persistence(seconds))
        } else {
            Err(InvalidValue::new("persistence timeout", seconds.to_string(), "1 to 4294967 seconds"))
        }
    }

    /// As read from the kernel, which may hold what [`new`](Self::new) refuses.
    pub(crate) fn from_kernel(seconds: u32) -> Self {
        Persistence(seconds)
    }

    /// The timeout in seconds.
    pub const fn seconds(self) -> u32 {
        self.0
    }
}

impl Default for Persistence {
    /// 360 seconds, what `ipvsadm -p` takes. (Its manual page says 300.)
    fn default() -> Self {
        Persistence(360)
    }
}

/// Which clients count as one for persistence: those whose addresses agree in these bits.
///
/// Kernel: `IPVS_SVC_ATTR_NETMASK`.
///
/// ```
/// use ipvs::{Family, Netmask};
/// assert_eq!("255.255.255.0".parse(), Ok(Netmask::v4([255, 255, 255, 0])));
/// assert_eq!(Netmask::v6(64)?.to_string(), "64");
/// assert!(Netmask::v6(129).is_err());
/// assert!(Netmask::whole(Family::V4).is_whole());
/// # Ok::<(), ipvs::InvalidValue>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Netmask(Mask);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Mask {
    V4(Ipv4Addr),
    V6(u32),
}

impl Netmask {
    /// An IPv4 mask. The kernel takes any bits, contiguous or not.
    pub fn v4(mask: impl Into<Ipv4Addr>) -> Self {
        Netmask(Mask::V4(mask.into()))
    }

    /// An IPv6 prefix length, 1 to 128.
    ///
    /// # Errors
    /// [`InvalidValue`] outside of that range; the kernel refuses it with
    /// [`Errno::EINVAL`](crate::Errno::EINVAL).
    pub fn v6(prefix: u32) -> Result<Self, InvalidValue> {
        if (1..=128).contains(&prefix) {
            Ok(Netmask(Mask::V6(prefix)))
        } else {
            Err(InvalidValue::new("IPv6 prefix length", prefix.to_string(), "1 to 128"))
        }
    }

    /// As read from the kernel.
    pub(crate) fn from_kernel_v6(prefix: u32) -> Self {
        Netmask(Mask::V6(prefix))
    }

    /// The mask that distinguishes all addresses: the default.
    pub fn whole(family: Family) -> Self {
        Netmask(match family {
            Family::V4 => Mask::V4(Ipv4Addr::BROADCAST),
            Family::V6 => Mask::V6(128),
        })
    }

    /// Does it distinguish all addresses?
    pub fn is_whole(self) -> bool {
        self == Netmask::whole(self.family())
    }

    /// The family that it is for.
    pub fn family(self) -> Family {
        match self.0 {
            Mask::V4(_) => Family::V4,
            Mask::V6(_) => Family::V6,
        }
    }

    /// The mask of an IPv4 service; `None` of one of IPv6.
    pub fn as_v4(self) -> Option<Ipv4Addr> {
        match self.0 {
            Mask::V4(mask) => Some(mask),
            Mask::V6(_) => None,
        }
    }

    /// The prefix length of an IPv6 service; `None` of one of IPv4.
    pub fn as_v6(self) -> Option<u32> {
        match self.0 {
            Mask::V4(_) => None,
            Mask::V6(prefix) => Some(prefix),
        }
    }
}

impl fmt::Display for Netmask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Mask::V4(mask) => fmt::Display::fmt(&mask, f),
            Mask::V6(prefix) => fmt::Display::fmt(&prefix, f),
        }
    }
}

impl FromStr for Netmask {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        match (text.parse::<Ipv4Addr>(), text.parse()) {
            (Ok(mask), _) => Ok(Netmask::v4(mask)),
            (_, Ok(prefix)) => Netmask::v6(prefix),
            _ => Err(InvalidValue::new(
                "netmask",
                text,
                "an IPv4 mask such as 255.255.255.0 or an IPv6 prefix length, 1 to 128",
            )),
        }
    }
}

bitflags::bitflags! {
    /// Options that the scheduler of a service gives a meaning to.
    ///
    /// Flags of the service that this crate has no name for are kept here too, so that reading and
    /// writing back loses nothing. Kernel: `IPVS_SVC_ATTR_FLAGS`.
    ///
    /// ```
    /// use ipvs::SchedulerFlags;
    /// assert_eq!(SchedulerFlags::SH_FALLBACK, SchedulerFlags::FLAG_1);
    /// ```
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct SchedulerFlags: u32 {
        /// First of three flags whose meaning is the scheduler's: `IP_VS_SVC_F_SCHED1`.
        const FLAG_1 = 0x08;
        /// The second: `IP_VS_SVC_F_SCHED2`.
        const FLAG_2 = 0x10;
        /// The third: `IP_VS_SVC_F_SCHED3`.
        const FLAG_3 = 0x20;
        /// Scheduler `sh`: choose another destination when the one found is not available.
        const SH_FALLBACK = 0x08;
        /// Scheduler `sh`: the source port counts too.
        const SH_PORT = 0x10;
        /// Scheduler `mh`: choose another destination when the one found is not available.
        const MH_FALLBACK = 0x08;
        /// Scheduler `mh`: the source port counts too.
        const MH_PORT = 0x10;
        // What a newer kernel adds is kept.
        const _ = !0;
    }
}

/// A netmask of one family was given to a service of the other.
///
/// ```
/// use ipvs::{Netmask, Service};
/// let service = Service::new("tcp [2001:db8::1]:80".parse()?);
/// let error = service.with_netmask(Netmask::v4([255, 255, 0, 0])).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "the netmask 255.255.0.0 is ipv4, the service tcp [2001:db8::1]:80 is ipv6"
/// );
/// # Ok::<(), ipvs::InvalidValue>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
#[error("the netmask {netmask} is {}, the service {key} is {}", netmask.family(), key.family())]
pub struct FamilyMismatch {
    /// The service.
    pub key: ServiceKey,
    /// The netmask that does not fit it.
    pub netmask: Netmask,
}

/// A virtual service: its identity and how it is configured.
///
/// What [`new`](Self::new) makes is what `ipvsadm -A` makes when only the address is given.
///
/// ```
/// use ipvs::{Netmask, Persistence, Scheduler, Service};
/// let mut service = Service::new("tcp 192.0.2.1:0".parse()?);
/// service.scheduler = Scheduler::RR;
/// service.persistence = Some(Persistence::new(300)?);
/// let service = service.with_netmask(Netmask::v4([255, 255, 255, 0]))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Service {
    key: ServiceKey,
    netmask: Netmask,
    /// How the destination of a new connection is chosen.
    pub scheduler: Scheduler,
    /// Options of the scheduler.
    pub scheduler_flags: SchedulerFlags,
    /// Clients stay with their destination for this long; `None`: every connection is scheduled
    /// anew.
    pub persistence: Option<Persistence>,
    /// What distinguishes clients instead of their address. Without persistence it is stored, but
    /// of no effect.
    pub engine: Option<PersistenceEngine>,
    /// Each datagram of UDP is scheduled by itself, without a connection. Kernel:
    /// `IP_VS_SVC_F_ONEPACKET`.
    pub one_packet: bool,
}

/// Did an edit change a value, and is the value still as edited?
pub(crate) fn has_stayed<T: PartialEq>(former: T, edited: T, present: T) -> bool {
    edited != former && present == edited
}

impl Service {
    /// The service of this identity with ipvsadm's defaults: scheduler `wlc`, not persistent.
    pub fn new(key: ServiceKey) -> Self {
        Service {
            key: key.without_scope_id(),
            netmask: Netmask::whole(key.family()),
            scheduler: Scheduler::default(),
            scheduler_flags: SchedulerFlags::empty(),
            persistence: None,
            engine: None,
            one_packet: false,
        }
    }

    /// Is a value that an edit changed still as edited?
    pub(crate) fn keeps_edit(&self, former: &Self, edited: &Self) -> bool {
        let Service { key: _, netmask, scheduler, scheduler_flags, persistence, engine, one_packet } = *self;
        has_stayed(former.netmask, edited.netmask, netmask)
            || has_stayed(former.scheduler, edited.scheduler, scheduler)
            || has_stayed(former.scheduler_flags, edited.scheduler_flags, scheduler_flags)
            || has_stayed(former.persistence, edited.persistence, persistence)
            || has_stayed(former.engine, edited.engine, engine)
            || has_stayed(former.one_packet, edited.one_packet, one_packet)
    }

    /// Its identity.
    pub fn key(&self) -> ServiceKey {
        self.key
    }

    /// Which clients count as one while the service is persistent.
    pub fn netmask(&self) -> Netmask {
        self.netmask
    }

    /// The same service with this netmask.
    ///
    /// # Errors
    /// [`FamilyMismatch`] when it is of the other address family.
    pub fn with_netmask(self, netmask: Netmask) -> Result<Self, FamilyMismatch> {
        if netmask.family() == self.key.family() {
            Ok(Service { netmask, ..self })
        } else {
            Err(FamilyMismatch { key: self.key, netmask })
        }
    }

    /// What it needs of the kernel, in the order in which the kernel looks for it.
    pub(crate) fn modules(&self) -> impl Iterator<Item = Module> + use<> {
        [Module::from(self.scheduler)].into_iter().chain(self.engine.map(Module::from))
    }

    /// The same service with this scheduler.
    #[must_use]
    pub fn with_scheduler(self, scheduler: Scheduler) -> Self {
        Service { scheduler, ..self }
    }

    /// The same service with these scheduler options.
    #[must_use]
    pub fn with_scheduler_flags(self, scheduler_flags: SchedulerFlags) -> Self {
        Service { scheduler_flags, ..self }
    }

    /// The same service with this persistence engine.
    #[must_use]
    pub fn with_engine(self, engine: PersistenceEngine) -> Self {
        Service { engine: Some(engine), ..self }
    }

    /// The same service with every packet scheduled by itself.
    #[must_use]
    pub fn with_one_packet(self) -> Self {
        Service { one_packet: true, ..self }
    }

    /// The same service, persistent.
    #[must_use]
    pub fn with_persistence(self, persistence: Persistence) -> Self {
        Service { persistence: Some(persistence), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_print_as_they_parse() {
        for text in [
            "tcp 192.0.2.1:80",
            "udp [2001:db8::1]:53",
            "sctp 0.0.0.0:0",
            "51 10.0.0.1:1",
            "mark 4294967295",
            "mark 1 ipv6",
        ] {
            let key: ServiceKey = text.parse().unwrap();
            assert_eq!(key.to_string(), text);
            assert_eq!(text.replace(' ', ":").parse(), Ok(key));
            assert_eq!(text.replace(' ', " \t ").parse(), Ok(key));
        }
        assert_eq!("TCP 192.0.2.1:80".parse(), Ok(ServiceKey::tcp(([192, 0, 2, 1], 80))));
    }

    #[test]
    fn wrong_keys_are_refused() {
        for text in [
            "",
            "tcp",
            "tcp 192.0.2.1",
            "tcp 192.0.2.1:80 x",
            "mark 0",
            "mark 4294967296",
            "mark 1 ipv5",
            "mark 1 ipv6 x",
            "mark:1:ipv6:x",
            "tcp:192.0.2.1",
            "192.0.2.1:80",
            "[2001:db8::1]:53",
            "tcp [fe80::1%2]:80",
            "icmp 1.2.3.4:5",
        ] {
            assert!(text.parse::<ServiceKey>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_netmask_must_be_of_the_services_family() {
        let v4 = Service::new("tcp 192.0.2.1:80".parse().unwrap());
        assert!(v4.with_netmask(Netmask::v6(64).unwrap()).is_err());
        assert!(v4.with_netmask(Netmask::v4([0, 0, 0, 0])).is_ok());
    }
}
