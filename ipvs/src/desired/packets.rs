//! Which packets get the mark of a service, as plain data. The crate `fwmark` makes firewall rules
//! of it.

use std::ops::RangeInclusive;

use ipnet::IpNet;

use super::Place;
use crate::name::InterfaceName;
use crate::service::{Protocol, ServiceKey};

/// The key `group` of a service: these packets get its mark, and no others.
///
/// ```
/// use ipvs::desired::{self, Source};
/// let text = "version = 1\n[[services]]\nmark = 10\ngroup = [{ address = '192.0.2.1' }]";
/// let desired = desired::read(&Source::new("shop.toml", text))?;
/// let group = &desired.groups[0];
/// assert_eq!(group.service.to_string(), "mark 10");
/// assert_eq!(group.packets[0].1.address.to_string(), "192.0.2.1/32");
/// # Ok::<(), ipvs::desired::Problems>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Group {
    /// The place of the key.
    pub place: Place,
    /// The service, which is one of a mark.
    pub service: ServiceKey,
    /// The members of the list, each with its place.
    pub packets: Vec<(Place, Packets)>,
}

/// Packets that get a mark: all that match each of the fields.
///
/// ```
/// use ipvs::Protocol;
/// use ipvs::desired::Packets;
/// let mut https = Packets::new("192.0.2.1/32".parse()?);
/// https.protocol = Some(Protocol::TCP);
/// https.ports = vec![443..=443];
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Packets {
    /// Their destination address or network.
    pub address: IpNet,
    /// TCP, UDP or SCTP; `None` is every protocol.
    pub protocol: Option<Protocol>,
    /// Destination ports; empty is all of them.
    pub ports: Vec<RangeInclusive<u16>>,
    /// Their source address or network; `None` is any.
    pub source: Option<IpNet>,
    /// The interface by which they come in; `None` is any. A `+` at the end stands for any rest.
    pub interface: Option<InterfaceName>,
    /// Packets that the director itself sends, instead of those that arrive.
    pub output: bool,
    /// The bits of the packet's mark that are replaced, `u32::MAX` by default. The bits of the
    /// service's mark are among them.
    pub mask: u32,
}

impl Packets {
    /// All packets to this address or network that arrive at the director.
    ///
    /// ```
    /// use ipvs::desired::Packets;
    /// assert!(Packets::new("192.0.2.0/24".parse()?).ports.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(address: IpNet) -> Self {
        Packets {
            address,
            protocol: None,
            ports: Vec::new(),
            source: None,
            interface: None,
            output: false,
            mask: u32::MAX,
        }
    }
}
