//! Frames as the probe sends them. They are addressed and wrapped as IPVS sends the packets of
//! clients.

use std::net::{IpAddr, Ipv6Addr};

use etherparse::checksum::Sum16BitWords;
use etherparse::{
    ArpEthIpv4Packet, ArpOperation, EtherType, Ethernet2Header, IcmpEchoHeader, Icmpv4Header, Icmpv4Type, Icmpv6Header,
    Icmpv6Type, IpNumber, Ipv4Header, Ipv6FlowLabel, Ipv6Header, TcpHeader, TcpOptionElement, UdpHeader,
};

/// An address of Ethernet.
pub(crate) type Mac = [u8; 6];

/// The longest packet of a client: what the internet and most networks carry.
pub(crate) const LONGEST: u16 = 1500;
const LENGTH_OF_UDP: usize = 8;
const LENGTH_OF_GUE: usize = 4;

/// How packets get to a real server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    /// The interface's own address, and that of the next machine.
    pub(crate) own: Mac,
    pub(crate) hop: Mac,
    pub(crate) tunnel: Option<Tunnel>,
}

/// The outer packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tunnel {
    pub(crate) source: IpAddr,
    pub(crate) server: IpAddr,
    pub(crate) kind: TunnelKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TunnelKind {
    Ipip,
    Gue { port: u16, checksum: bool },
    Gre { checksum: bool },
}

impl Tunnel {
    /// How much longer a packet becomes.
    pub(crate) fn overhead(&self) -> u16 {
        let outer = if self.server.is_ipv4() { 20 } else { 40 };
        outer
            + match self.kind {
                TunnelKind::Ipip => 0,
                TunnelKind::Gue { .. } => (LENGTH_OF_UDP + LENGTH_OF_GUE) as u16,
                TunnelKind::Gre { checksum } => 4 + if checksum { 4 } else { 0 },
            }
    }
}

/// What a packet asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contents {
    Echo,
    Syn,
    /// Ends what a SYN opened; the sequence number that the other end expects.
    Reset(u32),
    Datagram,
    Init,
    /// Ends what an INIT opened; the other end's verification tag.
    Abort(u32),
}

/// A packet, as the real server sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) source: IpAddr,
    pub(crate) from: u16,
    pub(crate) target: IpAddr,
    pub(crate) port: u16,
    pub(crate) hop_limit: u8,
    /// Filled up to this length.
    pub(crate) length: u16,
    pub(crate) contents: Contents,
}

/// Marks a question, so that a reply shows which one it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Differs in each run.
    pub(crate) secret: u32,
    pub(crate) index: u16,
}

impl Mark {
    /// The sequence number of a SYN, and the tag of an INIT. Behind it there is room for the
    /// numbers of its data, which a reset counts.
    pub(crate) fn sequence(self) -> u32 {
        self.secret.wrapping_add(u32::from(self.index) << 12)
    }

    /// The question whose number, or that of its data, this is.
    pub(crate) fn of_sequence(secret: u32, sequence: u32) -> Option<u16> {
        u16::try_from(sequence.wrapping_sub(secret) >> 12).ok()
    }

    /// The identifier of all echo requests of a run.
    pub(crate) fn identifier(secret: u32) -> u16 {
        (secret >> 16) as u16
    }
}

/// A frame with this packet. `None` if the families of its addresses differ or it is too long.
pub(crate) fn frame(way: &Way, packet: &Packet, mark: Mark) -> Option<Vec<u8>> {
    let mut bytes = inner(packet, mark)?;
    if let Some(tunnel) = &way.tunnel {
        bytes = outer(tunnel, bytes, mark)?;
    }
    let ether_type = if bytes.first()? >> 4 == 4 { EtherType::IPV4 } else { EtherType::IPV6 };
    Some(ethernet(way.own, way.hop, ether_type, &bytes))
}

/// A frame that asks the network which machine has an address.
pub(crate) fn who_has(own: Mac, source: IpAddr, target: IpAddr) -> Option<Vec<u8>> {
    match (source, target) {
        (IpAddr::V4(source), IpAddr::V4(target)) => {
            let request = ArpEthIpv4Packet {
                operation: ArpOperation::REQUEST,
                sender_mac: own,
                sender_ipv4: source.octets(),
                target_mac: [0; 6],
                target_ipv4: target.octets(),
            };
            Some(ethernet(own, [0xff; 6], EtherType::ARP, &request.to_bytes()))
        }
        (IpAddr::V6(source), IpAddr::V6(target)) => {
            let [.., a, b, c] = target.octets();
            let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), u16::from_be_bytes([b, c]));
            // The option with the sender's own address: type 1, one unit of 8 bytes.
            let options = [&target.octets()[..], &[1, 1], &own].concat();
            let header = Icmpv6Type::NeighborSolicitation;
            let header = Icmpv6Header::with_checksum(header, source.octets(), group.octets(), &options).ok()?;
            let request = [&header.to_bytes()[..], &options].concat();
            let packet = ip(source.into(), group.into(), IpNumber::IPV6_ICMP, 255, 0, &request)?;
            Some(ethernet(own, [0x33, 0x33, 0xff, a, b, c], EtherType::IPV6, &packet))
        }
        _ => None,
    }
}

fn ethernet(source: Mac, destination: Mac, ether_type: EtherType, payload: &[u8]) -> Vec<u8> {
    let header = Ethernet2Header { source, destination, ether_type };
    [&header.to_bytes()[..], payload].concat()
}

fn ip(
    source: IpAddr,
    target: IpAddr,
    protocol: IpNumber,
    hop_limit: u8,
    index: u16,
    payload: &[u8],
) -> Option<Vec<u8>> {
    let length = u16::try_from(payload.len()).ok()?;
    match (source, target) {
        (IpAddr::V4(source), IpAddr::V4(target)) => {
            let mut header = Ipv4Header::new(length, hop_limit, protocol, source.octets(), target.octets()).ok()?;
            // Errors quote it: they tell which question they are about.
            header.identification = index;
            header.header_checksum = header.calc_header_checksum();
            Some([&header.to_bytes()[..], payload].concat())
        }
        (IpAddr::V6(source), IpAddr::V6(target)) => {
            let header = Ipv6Header {
                traffic_class: 0,
                flow_label: Ipv6FlowLabel::try_new(index.into()).ok()?,
                payload_length: length,
                next_header: protocol,
                hop_limit,
                source: source.octets(),
                destination: target.octets(),
            };
            Some([&header.to_bytes()[..], payload].concat())
        }
        _ => None,
    }
}

fn inner(packet: &Packet, mark: Mark) -> Option<Vec<u8>> {
    let Packet { source, from, target, port, hop_limit, length, contents } = *packet;
    let header = if source.is_ipv4() { 20 } else { 40 };
    let room = |used: usize| vec![0; usize::from(length).saturating_sub(header + used)];
    let (protocol, payload) = match contents {
        Contents::Echo => {
            let echo = IcmpEchoHeader { id: Mark::identifier(mark.secret), seq: mark.index };
            let data = room(8);
            match (source, target) {
                (IpAddr::V4(_), IpAddr::V4(_)) => {
                    let header = Icmpv4Header::with_checksum(Icmpv4Type::EchoRequest(echo), &data);
                    (IpNumber::ICMP, [&header.to_bytes()[..], &data].concat())
                }
                (IpAddr::V6(source), IpAddr::V6(target)) => {
                    let kind = Icmpv6Type::EchoRequest(echo);
                    let header = Icmpv6Header::with_checksum(kind, source.octets(), target.octets(), &data).ok()?;
                    (IpNumber::IPV6_ICMP, [&header.to_bytes()[..], &data].concat())
                }
                _ => return None,
            }
        }
        Contents::Syn => {
            let mut header = TcpHeader::new(from, port, mark.sequence(), u16::MAX);
            header.syn = true;
            let segment = LONGEST - if source.is_ipv4() { 40 } else { 60 };
            header.set_options(&[TcpOptionElement::MaximumSegmentSize(segment)]).ok()?;
            let data = room(header.header_len());
            (IpNumber::TCP, tcp(header, source, target, &data)?)
        }
        Contents::Reset(sequence) => {
            let mut header = TcpHeader::new(from, port, sequence, 0);
            header.rst = true;
            (IpNumber::TCP, tcp(header, source, target, &[])?)
        }
        Contents::Datagram => (IpNumber::UDP, udp(from, port, source, target, &question(port, mark), true)?),
        Contents::Init => {
            let tag = mark.sequence().to_be_bytes();
            // Type, flags, length; tag, receive window, streams out and in, first number.
            let chunk = [[1, 0, 0, 20], tag, [0, 0, 0xff, 0xff], [0, 1, 0, 1], tag].concat();
            (IpNumber::SCTP, sctp(from, port, 0, &chunk))
        }
        Contents::Abort(tag) => (IpNumber::SCTP, sctp(from, port, tag, &[6, 0, 0, 4])),
    };
    ip(source, target, protocol, hop_limit, mark.index, &payload)
}

/// A question that servers of well-known ports answer. Others get a packet without contents.
fn question(port: u16, mark: Mark) -> Vec<u8> {
    match port {
        // DNS: the name servers of the root.
        53 => {
            let [a, b] = mark.index.to_be_bytes();
            vec![a, b, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1]
        }
        // NTP: version 4, from a client.
        123 => {
            let mut question = vec![0; 48];
            question[0] = 0x23;
            question
        }
        _ => Vec::new(),
    }
}

/// Whether a server of this port must answer a packet of UDP.
pub(crate) fn must_answer(port: u16) -> bool {
    [53, 123].contains(&port)
}

fn tcp(mut header: TcpHeader, source: IpAddr, target: IpAddr, data: &[u8]) -> Option<Vec<u8>> {
    header.checksum = match (source, target) {
        (IpAddr::V4(source), IpAddr::V4(target)) => {
            header.calc_checksum_ipv4_raw(source.octets(), target.octets(), data).ok()?
        }
        (IpAddr::V6(source), IpAddr::V6(target)) => {
            header.calc_checksum_ipv6_raw(source.octets(), target.octets(), data).ok()?
        }
        _ => return None,
    };
    Some([&header.to_bytes()[..], data].concat())
}

fn udp(from: u16, port: u16, source: IpAddr, target: IpAddr, data: &[u8], checksum: bool) -> Option<Vec<u8>> {
    let length = u16::try_from(LENGTH_OF_UDP + data.len()).ok()?;
    let mut header = UdpHeader { source_port: from, destination_port: port, length, checksum: 0 };
    if checksum {
        header.checksum = match (source, target) {
            (IpAddr::V4(source), IpAddr::V4(target)) => {
                header.calc_checksum_ipv4_raw(source.octets(), target.octets(), data).ok()?
            }
            (IpAddr::V6(source), IpAddr::V6(target)) => {
                header.calc_checksum_ipv6_raw(source.octets(), target.octets(), data).ok()?
            }
            _ => return None,
        };
    }
    Some([&header.to_bytes()[..], data].concat())
}

fn sctp(from: u16, port: u16, tag: u32, chunk: &[u8]) -> Vec<u8> {
    let mut packet = [&from.to_be_bytes()[..], &port.to_be_bytes(), &tag.to_be_bytes(), &[0; 4], chunk].concat();
    let sum = crc32c(&packet).to_le_bytes();
    packet[8..12].copy_from_slice(&sum);
    packet
}

/// The checksum of SCTP, bit by bit: packets are few and short.
fn crc32c(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let bit = |sum: u32, _| (sum >> 1) ^ if sum & 1 == 1 { POLYNOMIAL } else { 0 };
    !bytes.iter().fold(u32::MAX, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), bit))
}

/// Wraps a packet as IPVS does. IPVS writes a remote checksum only for packets of the director
/// itself, so the probe never does.
fn outer(tunnel: &Tunnel, inner: Vec<u8>, mark: Mark) -> Option<Vec<u8>> {
    let is_v4 = inner.first()? >> 4 == 4;
    let protocol = if is_v4 { IpNumber::IPV4 } else { IpNumber::IPV6 };
    let (protocol, payload) = match tunnel.kind {
        TunnelKind::Ipip => (protocol, inner),
        TunnelKind::Gue { port, checksum } => {
            let data = [&[0, protocol.0, 0, 0], &inner[..]].concat();
            let from = 0xc000 | mark.index;
            (IpNumber::UDP, udp(from, port, tunnel.source, tunnel.server, &data, checksum)?)
        }
        TunnelKind::Gre { checksum } => {
            let kind = if is_v4 { EtherType::IPV4 } else { EtherType::IPV6 }.0.to_be_bytes();
            let flags = [if checksum { 0x80 } else { 0 }, 0];
            let mut data = [flags, kind].concat();
            data.extend(checksum.then_some([0; 4]).iter().flatten());
            data.extend(&inner);
            if checksum {
                let sum = Sum16BitWords::new().add_slice(&data).ones_complement().to_be();
                data[4..6].copy_from_slice(&sum.to_be_bytes());
            }
            (IpNumber::GRE, data)
        }
    };
    ip(tunnel.source, tunnel.server, protocol, 64, mark.index, &payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_of_sctp_is_that_of_rfc_3720() {
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }
}
