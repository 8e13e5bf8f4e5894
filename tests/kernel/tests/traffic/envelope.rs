//! How the director's packets look when they arrive at a real server, as read from its interface.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, OwnedFd};

use ipvs::Family;
use kernel_tests::network::{Machine, VIRTUAL4, VIRTUAL6};
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{AddressFamily, LinkAddr, SockFlag, SockProtocol, SockType, recvfrom, socket};

/// Where GUE goes.
pub(crate) const GUE_PORT: u16 = 6080;

/// What is around a packet for the virtual service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Envelope {
    /// Nothing: it is for the virtual address.
    None,
    /// Nothing: it is for the real server's address and this port.
    Translated(u16),
    /// Another IP header.
    Ipip,
    /// UDP and GUE.
    Gue { checksum: bool, remote_checksum: bool },
    /// GRE.
    Gre { checksum: bool },
}

impl Envelope {
    /// Another one that a packet may come in whose checksum was there before: nothing is left for
    /// the remote end to do.
    ///
    /// Linux computes the checksum of an ACK in `TIME_WAIT` at once, of other packets as late as it
    /// can.
    pub(crate) fn of_a_complete_packet(self) -> Option<Envelope> {
        let is_remote = matches!(self, Envelope::Gue { remote_checksum: true, .. });
        is_remote.then_some(Envelope::Gue { checksum: true, remote_checksum: false })
    }
}

/// What arrives at a real server from now on.
pub(crate) struct Capture {
    socket: OwnedFd,
    interface: u32,
}

impl Capture {
    pub(crate) fn begin(server: &Machine) -> Self {
        server.run(|| {
            let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
            let socket = socket(AddressFamily::Packet, SockType::Datagram, flags, SockProtocol::EthAll).unwrap();
            Capture { socket, interface: if_nametoindex("eth0").unwrap() }
        })
    }

    /// The kinds of packets from these clients that came since this was last asked, and the family
    /// of the outermost header.
    pub(crate) fn seen(&self, clients: &[IpAddr]) -> BTreeSet<(Family, Envelope)> {
        const FOR_THIS_HOST: u8 = 0;
        let mut seen = BTreeSet::new();
        let mut packet = [0; 2048];
        while let Ok((length, Some(from))) = recvfrom::<LinkAddr>(self.socket.as_raw_fd(), &mut packet) {
            if from.ifindex() != self.interface as usize || from.pkttype() != FOR_THIS_HOST {
                continue;
            }
            let read = read(&packet[..length]).filter(|(.., client)| clients.contains(client));
            seen.extend(read.map(|(family, envelope, _)| (family, envelope)));
        }
        seen
    }
}

/// The outermost header's family, what is around the packet, and which client sent it.
///
/// None: it has nothing to do with the service, or is cut short.
fn read(packet: &[u8]) -> Option<(Family, Envelope, IpAddr)> {
    let outer = Header::read(packet)?;
    let (envelope, inside) = match outer.protocol {
        4 | 41 => (Envelope::Ipip, outer.payload),
        17 if outer.port()? == GUE_PORT => gue(outer.payload)?,
        47 => gre(outer.payload)?,
        6 | 17 | 132 if [IpAddr::from(VIRTUAL4), VIRTUAL6.into()].contains(&outer.to) => (Envelope::None, packet),
        6 | 17 | 132 => (Envelope::Translated(outer.port()?), packet),
        _ => return None,
    };
    Some((outer.family, envelope, Header::read(inside)?.from))
}

/// UDP's header of 8 bytes, then GUE's, whose private flags begin with that of the remote checksum.
fn gue(udp: &[u8]) -> Option<(Envelope, &[u8])> {
    const PRIVATE_FLAGS: u8 = 1;
    let checksum = udp.get(6..8)? != [0, 0];
    let header = udp.get(8..12)?;
    let options = usize::from(header[0] & 31) * 4;
    let envelope = Envelope::Gue { checksum, remote_checksum: header[3] & PRIVATE_FLAGS != 0 };
    Some((envelope, udp.get(12 + options..)?))
}

fn gre(gre: &[u8]) -> Option<(Envelope, &[u8])> {
    let checksum = gre.first()? & 0x80 != 0;
    Some((Envelope::Gre { checksum }, gre.get(if checksum { 8 } else { 4 }..)?))
}

/// What we want of an IP header.
struct Header<'a> {
    family: Family,
    protocol: u8,
    from: IpAddr,
    to: IpAddr,
    payload: &'a [u8],
}

impl<'a> Header<'a> {
    fn read(packet: &'a [u8]) -> Option<Self> {
        let v4 = |at| Some(Ipv4Addr::from(<[u8; 4]>::try_from(packet.get(at..at + 4)?).ok()?).into());
        let v6 = |at| Some(Ipv6Addr::from(<[u8; 16]>::try_from(packet.get(at..at + 16)?).ok()?).into());
        let start = *packet.first()?;
        match start >> 4 {
            4 => {
                let payload = packet.get(usize::from(start & 15) * 4..)?;
                Some(Header { family: Family::V4, protocol: *packet.get(9)?, from: v4(12)?, to: v4(16)?, payload })
            }
            6 => {
                let payload = packet.get(40..)?;
                Some(Header { family: Family::V6, protocol: *packet.get(6)?, from: v6(8)?, to: v6(24)?, payload })
            }
            _ => None,
        }
    }

    /// The destination's port, which is at the same place in all protocols that have ports.
    fn port(&self) -> Option<u16> {
        Some(u16::from_be_bytes(self.payload.get(2..4)?.try_into().ok()?))
    }
}
