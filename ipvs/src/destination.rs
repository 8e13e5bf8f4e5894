//! Destinations: the real servers behind a virtual service.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::str::FromStr;

use crate::invalid_value::InvalidValue;
use crate::service::{Family, has_stayed, hash_address, without_scope_id};

/// Share of new connections that a destination gets, relative to the other destinations of its
/// service.
///
/// 0 to 2,147,483,647; ipvsadm's default is 1. 0 means quiesced: no new connections, known clients
/// may stay. Kernel: `IPVS_DEST_ATTR_WEIGHT`.
///
/// ```
/// use ipvs::Weight;
/// assert_eq!(Weight::default().get(), 1);
/// assert!(Weight::new(1 << 31).is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weight(u32);

impl Weight {
    /// No new connections.
    pub const ZERO: Self = Weight(0);
    /// The largest.
    pub const MAX: Self = Weight(i32::MAX as u32);
    const ALLOWED: &'static str = "a number from 0 to 2147483647";

    /// The weight of this value.
    ///
    /// # Errors
    /// [`InvalidValue`] above 2,147,483,647; the kernel refuses it with
    /// [`Errno::ERANGE`](crate::Errno::ERANGE).
    #[inline]
    pub fn new(weight: u32) -> Result<Self, InvalidValue> {
        if weight <= Self::MAX.0 {
            Ok(Weight(weight))
        } else {
            Err(InvalidValue::new("weight", weight.to_string(), Self::ALLOWED))
        }
    }

    /// As read from the kernel.
    pub(crate) fn from_kernel(weight: u32) -> Self {
        Weight(weight)
    }

    /// Its value.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl Default for Weight {
    /// 1, as ipvsadm.
    fn default() -> Self {
        Weight(1)
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for Weight {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        text.parse()
            .ok()
            .and_then(|weight| Weight::new(weight).ok())
            .ok_or_else(|| InvalidValue::new("weight", text, Self::ALLOWED))
    }
}

bitflags::bitflags! {
    /// Checksums of a tunnel's outer header.
    ///
    /// Empty means none (`--tun-nocsum`). Bits without a name here stay as the
    /// kernel gave them. Kernel: `IPVS_DEST_ATTR_TUN_FLAGS`.
    ///
    /// ```
    /// assert!(ipvs::TunnelFlags::default().is_empty());
    /// ```
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct TunnelFlags: u16 {
        /// Checksum over the packet (`--tun-csum`).
        const CHECKSUM = 0x1;
        /// Checksum left to the far end (`--tun-remcsum`); GUE only.
        const REMOTE_CHECKSUM = 0x2;
        const _ = !0;
    }
}

/// How packets are wrapped on their way to a destination behind a tunnel.
///
/// Prints and parses as `ipip`, `gre` or `gue:6080`, with flags as in `gre+checksum` and
/// `gue:6080+remote-checksum`. What this crate has no name for is written in numbers: `type-7:0` is
/// the kernel's type 7 without a port, `gre+0x8` has flag 8. Kernel: `IPVS_DEST_ATTR_TUN_TYPE`,
/// `_TUN_PORT` and `_TUN_FLAGS`.
///
/// ```
/// use std::num::NonZeroU16;
/// use ipvs::{Tunnel, TunnelFlags};
/// let gue =
///     Tunnel::Gue { port: NonZeroU16::new(6080).unwrap(), flags: TunnelFlags::REMOTE_CHECKSUM };
/// assert_eq!(gue.to_string(), "gue:6080+remote-checksum");
/// assert_eq!("gue:6080+remote-checksum".parse(), Ok(gue));
/// assert!("gue".parse::<Tunnel>().is_err(), "it needs a port");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Tunnel {
    /// IP in IP.
    #[default]
    Ipip,
    /// Generic UDP encapsulation.
    Gue {
        /// The UDP port at which the destination takes packets. The kernel refuses 0 with
        /// [`Errno::EINVAL`](crate::Errno::EINVAL).
        port: NonZeroU16,
        /// Checksums.
        flags: TunnelFlags,
    },
    /// Generic routing encapsulation.
    Gre {
        /// Checksums.
        flags: TunnelFlags,
    },
    /// A type that a newer kernel knows, or one of the above with a port or flags that mean nothing
    /// to it.
    Other(OtherTunnel),
}

impl Tunnel {
    /// The tunnel of these numbers of the kernel.
    pub(crate) fn from_numbers(kind: u8, port: u16, flags: TunnelFlags) -> Self {
        match (kind, NonZeroU16::new(port)) {
            (0, None) if flags.is_empty() => Tunnel::Ipip,
            (1, Some(port)) => Tunnel::Gue { port, flags },
            (2, None) => Tunnel::Gre { flags },
            _ => Tunnel::Other(OtherTunnel { kind, port, flags }),
        }
    }
}

/// A tunnel that this crate has no name for, as the kernel gave it. It can be sent back to the
/// kernel; only reading makes one.
///
/// ```
/// fn describe(tunnel: &ipvs::OtherTunnel) -> String {
///     format!("type {}, port {}, flags {:?}", tunnel.kind(), tunnel.port(), tunnel.flags())
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OtherTunnel {
    pub(crate) kind: u8,
    pub(crate) port: u16,
    pub(crate) flags: TunnelFlags,
}

impl OtherTunnel {
    /// The kernel's number for it: `IPVS_DEST_ATTR_TUN_TYPE`.
    pub fn kind(&self) -> u8 {
        self.kind
    }

    /// Its port, or 0.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its flags.
    pub fn flags(&self) -> TunnelFlags {
        self.flags
    }
}

impl fmt::Display for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = match self {
            Tunnel::Ipip => return f.write_str("ipip"),
            Tunnel::Gue { port, flags } => write!(f, "gue:{port}").map(|()| *flags)?,
            Tunnel::Gre { flags } => f.write_str("gre").map(|()| *flags)?,
            Tunnel::Other(other) => write!(f, "type-{}:{}", other.kind, other.port).map(|()| other.flags)?,
        };
        for (name, _) in TUNNEL_FLAGS.iter().filter(|(_, flag)| flags.contains(*flag)) {
            write!(f, "+{name}")?;
        }
        let unnamed = TUNNEL_FLAGS.iter().fold(flags, |flags, (_, flag)| flags.difference(*flag));
        if unnamed.is_empty() { Ok(()) } else { write!(f, "+{:#x}", unnamed.bits()) }
    }
}

const TUNNEL_FLAGS: [(&str, TunnelFlags); 2] =
    [("checksum", TunnelFlags::CHECKSUM), ("remote-checksum", TunnelFlags::REMOTE_CHECKSUM)];

impl FromStr for Tunnel {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let mut parts = text.split('+');
        let kind = parts.next().unwrap_or_default();
        let flags = parts.map(|part| match TUNNEL_FLAGS.iter().find(|(name, _)| *name == part) {
            Some((_, flag)) => Some(*flag),
            None => u16::from_str_radix(part.strip_prefix("0x")?, 16).ok().map(TunnelFlags::from_bits_retain),
        });
        let tunnel = flags.collect::<Option<TunnelFlags>>().and_then(|flags| match kind {
            "ipip" if flags.is_empty() => Some(Tunnel::Ipip),
            "gre" => Some(Tunnel::Gre { flags }),
            _ => match kind.split_once(':')? {
                ("gue", port) => Some(Tunnel::Gue { port: port.parse().ok()?, flags }),
                (kind, port) => {
                    Some(Tunnel::from_numbers(kind.strip_prefix("type-")?.parse().ok()?, port.parse().ok()?, flags))
                }
            },
        });
        tunnel.ok_or_else(|| {
            InvalidValue::new("tunnel", text, "ipip, gre, gre+checksum, gue:6080 or gue:6080+remote-checksum")
        })
    }
}

/// How packets reach a destination. Kernel: `IPVS_DEST_ATTR_FWD_METHOD`.
///
/// Prints and parses as `masquerade`, `direct-route`, `local`, `bypass`, `tunnel ` and the
/// [`Tunnel`], and `reserved-5` for the numbers that the kernel only reserves.
///
/// ```
/// use ipvs::{Forwarding, Tunnel};
/// assert_eq!(Forwarding::default(), Forwarding::DirectRoute);
/// assert_eq!("tunnel ipip".parse(), Ok(Forwarding::Tunnel(Tunnel::Ipip)));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Forwarding {
    /// Network address translation (`-m`): replies come back through the director.
    Masquerade,
    /// To the director itself. The kernel does this by itself for its own addresses; ipvsadm can't
    /// ask for it.
    Local,
    /// Wrapped into another packet (`-i`); the destination replies to the client directly.
    Tunnel(Tunnel),
    /// Unchanged, to the destination's link-layer address (`-g`): the destination has the virtual
    /// address too.
    #[default]
    DirectRoute,
    /// Past the load balancer, along the ordinary route.
    Bypass,
    /// A number that the kernel only reserves (5 to 7), found in its table.
    Reserved(ReservedForwarding),
}

/// A forwarding method without meaning, as the kernel gave it. It can be sent back to the kernel;
/// only reading makes one.
///
/// ```
/// fn show(method: ipvs::ReservedForwarding) -> u32 { method.number() }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReservedForwarding(pub(crate) u32);

impl ReservedForwarding {
    /// The kernel's number.
    pub fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Forwarding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Forwarding::Masquerade => f.write_str("masquerade"),
            Forwarding::Local => f.write_str("local"),
            Forwarding::Tunnel(tunnel) => write!(f, "tunnel {tunnel}"),
            Forwarding::DirectRoute => f.write_str("direct-route"),
            Forwarding::Bypass => f.write_str("bypass"),
            Forwarding::Reserved(number) => write!(f, "reserved-{}", number.0),
        }
    }
}

impl FromStr for Forwarding {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        const ALLOWED: &str = "masquerade, direct-route, local, bypass or a tunnel, as in \"tunnel ipip\"";
        match text {
            "masquerade" => Ok(Forwarding::Masquerade),
            "local" => Ok(Forwarding::Local),
            "direct-route" => Ok(Forwarding::DirectRoute),
            "bypass" => Ok(Forwarding::Bypass),
            "reserved-5" => Ok(Forwarding::Reserved(ReservedForwarding(5))),
            "reserved-6" => Ok(Forwarding::Reserved(ReservedForwarding(6))),
            "reserved-7" => Ok(Forwarding::Reserved(ReservedForwarding(7))),
            _ => match text.strip_prefix("tunnel ") {
                Some(tunnel) => tunnel.parse().map(Forwarding::Tunnel),
                None => Err(InvalidValue::new("forwarding method", text, ALLOWED)),
            },
        }
    }
}

/// A destination of a virtual service: its address, which is its identity there, and how it is
/// used.
///
/// What [`new`](Self::new) makes is what `ipvsadm -a` makes when only the address is given. Two are
/// equal if the kernel's table would have the same of both: flow label and zone of an IPv6 address
/// don't count.
///
/// ```
/// use ipvs::{Destination, Forwarding, Weight};
/// let server = Destination::new("192.0.2.11:80".parse()?)
///     .with_forwarding(Forwarding::Masquerade)
///     .with_weight(Weight::new(5)?)
///     .with_upper_threshold(1000);
/// assert_eq!(server.upper_threshold, 1000);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Destination {
    /// Address and port. For a firewall mark with direct routing or a tunnel the port has no
    /// meaning and is 0. The flow label and zone of an IPv6 address are not part of the kernel's
    /// table: they are not sent.
    pub address: SocketAddr,
    /// How packets get there. An address of the service's other family needs a
    /// [`Forwarding::Tunnel`].
    pub forwarding: Forwarding,
    /// Its share of new connections, relative to the others of the service; 0: none.
    pub weight: Weight,
    /// No new connections above this many; 0: no limit. The kernel refuses more than 2,147,483,647
    /// ([`Errno::EINVAL`](crate::Errno::EINVAL)). Kernel: `IPVS_DEST_ATTR_U_THRESH`.
    pub upper_threshold: u32,
    /// After the upper threshold was reached, new connections again below this many; 0: below three
    /// quarters of `upper_threshold`. Must not be above it
    /// ([`Errno::ERANGE`](crate::Errno::ERANGE)). Kernel: `IPVS_DEST_ATTR_L_THRESH`.
    pub lower_threshold: u32,
}

impl Destination {
    /// The destination at this address with ipvsadm's defaults: direct routing, weight 1, no
    /// thresholds.
    pub fn new(address: SocketAddr) -> Self {
        Destination {
            address,
            forwarding: Forwarding::default(),
            weight: Weight::default(),
            upper_threshold: 0,
            lower_threshold: 0,
        }
    }

    /// Its address family.
    pub fn family(&self) -> Family {
        Family::of(self.address.ip())
    }

    /// What a kernel without [`Behaviors::TUNNEL_KINDS`](crate::Behaviors::TUNNEL_KINDS) makes of
    /// it.
    pub(crate) fn without_tunnel_kind(&self) -> Self {
        match self.tunnel_with_kind() {
            Some(_) => self.with_forwarding(Forwarding::Tunnel(Tunnel::Ipip)),
            None => *self,
        }
    }

    /// Its tunnel, if that is not the one kind that every kernel knows.
    pub(crate) fn tunnel_with_kind(&self) -> Option<Tunnel> {
        match self.forwarding {
            Forwarding::Tunnel(tunnel) if tunnel != Tunnel::Ipip => Some(tunnel),
            _ => None,
        }
    }

    /// The same destination with this forwarding method.
    #[must_use]
    pub fn with_forwarding(self, forwarding: Forwarding) -> Self {
        Destination { forwarding, ..self }
    }

    /// The same destination with this weight.
    #[must_use]
    pub fn with_weight(self, weight: Weight) -> Self {
        Destination { weight, ..self }
    }

    /// The same destination with this [`upper_threshold`](Self::upper_threshold), in connections.
    #[must_use]
    pub fn with_upper_threshold(self, upper_threshold: u32) -> Self {
        Destination { upper_threshold, ..self }
    }

    /// The same destination with this [`lower_threshold`](Self::lower_threshold), in connections.
    #[must_use]
    pub fn with_lower_threshold(self, lower_threshold: u32) -> Self {
        Destination { lower_threshold, ..self }
    }

    /// Is a value that an edit changed still as edited?
    pub(crate) fn keeps_edit(&self, former: &Self, edited: &Self) -> bool {
        let Destination { address: _, forwarding, weight, upper_threshold, lower_threshold } = *self;
        has_stayed(former.forwarding, edited.forwarding, forwarding)
            || has_stayed(former.weight, edited.weight, weight)
            || has_stayed(former.upper_threshold, edited.upper_threshold, upper_threshold)
            || has_stayed(former.lower_threshold, edited.lower_threshold, lower_threshold)
    }

    fn parts(&self) -> (SocketAddr, Forwarding, Weight, u32, u32) {
        let Destination { address, forwarding, weight, upper_threshold, lower_threshold } = *self;
        (without_scope_id(address), forwarding, weight, upper_threshold, lower_threshold)
    }
}

impl PartialEq for Destination {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for Destination {}

impl Hash for Destination {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (address, forwarding, weight, upper, lower) = self.parts();
        hash_address(address, 0, state);
        (forwarding, weight, upper, lower).hash(state);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::strategies;

    proptest! {
        #[test]
        fn forwarding_prints_as_it_parses(server in strategies::destination()) {
            prop_assert_eq!(server.forwarding.to_string().parse(), Ok(server.forwarding));
        }

        #[test]
        fn forwarding_that_parses_prints_what_parses(text in "(tunnel )?(masquerade|local|bypass|reserved-[0-9]|ipip|gre|gue:[0-9]{0,5}|type-[0-9]{0,3}:[0-9]{0,5})([+](checksum|remote-checksum|0x[0-9a-f]{0,4})){0,3}") {
            if let Ok(forwarding) = text.parse::<Forwarding>() {
                prop_assert_eq!(forwarding.to_string().parse(), Ok(forwarding));
            }
        }
    }
}
