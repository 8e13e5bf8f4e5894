//! Frames that come back, of any contents.

use std::net::{IpAddr, SocketAddr};

use etherparse::icmpv4::DestUnreachableHeader as Unreachable4;
use etherparse::icmpv6::DestUnreachableCode as Unreachable6;
use etherparse::{
    ArpOperation, ArpPacket, EtherType, Ethernet2Header, Icmpv4Header, Icmpv4Type, Icmpv6Header, Icmpv6Type, IpNumber,
    Ipv4Header, Ipv6Header, TcpHeader, TcpOptionElement, UdpHeader,
};

use super::packet::{Mac, Mark};

/// A frame, as far as the probe understands it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    /// Who sent the frame.
    pub(crate) mac: Mac,
    /// The hop limit, or the time to live, that is left.
    pub(crate) hop_limit: u8,
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// This machine has the address.
    Neighbour { ip: IpAddr, mac: Mac },
    Echo { from: IpAddr, to: IpAddr, identifier: u16, index: u16 },
    Tcp { from: SocketAddr, to: SocketAddr, segment: Segment },
    Udp { from: SocketAddr, to: SocketAddr },
    Sctp { from: SocketAddr, to: SocketAddr, tag: u32, chunk: Chunk },
    /// An error about a packet, which it quotes.
    Error { from: IpAddr, source: IpAddr, target: IpAddr, index: u16, error: Failure },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// A connection is accepted.
    pub(crate) is_open: bool,
    pub(crate) is_reset: bool,
    pub(crate) acknowledged: u32,
    /// The longest segment that the sender takes.
    pub(crate) longest: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chunk {
    /// An association is accepted; the tag of the other end.
    InitAck(u32),
    Abort,
}

/// What an error of ICMP says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    Port,
    Protocol,
    /// No such machine or network, or no route to it.
    Unreachable,
    /// A firewall's answer.
    Prohibited,
    /// The packet was passed on, and its hop limit was used up.
    PassedOn,
    TooLong { mtu: u32 },
}

/// The bytes of a whole frame.
pub(crate) fn read(frame: &[u8]) -> Option<Reply> {
    let (header, rest) = Ethernet2Header::from_slice(frame).ok()?;
    let (hop_limit, kind) = match header.ether_type {
        EtherType::ARP => (u8::MAX, arp(rest)?),
        EtherType::IPV4 | EtherType::IPV6 => {
            let (ip, rest) = ip(rest)?;
            (ip.hop_limit, transport(&ip, rest)?)
        }
        _ => return None,
    };
    Some(Reply { mac: header.source, hop_limit, kind })
}

struct Ip {
    source: IpAddr,
    target: IpAddr,
    protocol: IpNumber,
    hop_limit: u8,
    index: u16,
}

/// The header, which may be quoted, and what is there of the rest.
fn ip(bytes: &[u8]) -> Option<(Ip, &[u8])> {
    if bytes.first()? >> 4 == 4 {
        let (header, rest) = Ipv4Header::from_slice(bytes).ok()?;
        // Behind a short packet there may be padding.
        let length = usize::from(header.payload_len().ok()?).min(rest.len());
        let ip = Ip {
            source: header.source.into(),
            target: header.destination.into(),
            protocol: header.protocol,
            hop_limit: header.time_to_live,
            index: header.identification,
        };
        (header.fragment_offset.value() == 0).then(|| (ip, &rest[..length]))
    } else {
        let (header, rest) = Ipv6Header::from_slice(bytes).ok()?;
        let ip = Ip {
            source: header.source.into(),
            target: header.destination.into(),
            protocol: header.next_header,
            hop_limit: header.hop_limit,
            index: (header.flow_label.value() & 0xffff) as u16,
        };
        Some((ip, &rest[..usize::from(header.payload_length).min(rest.len())]))
    }
}

fn arp(bytes: &[u8]) -> Option<Kind> {
    let packet = ArpPacket::from_slice(bytes).ok()?.try_eth_ipv4().ok()?;
    let is_reply = packet.operation == ArpOperation::REPLY;
    is_reply.then(|| Kind::Neighbour { ip: packet.sender_ipv4.into(), mac: packet.sender_mac })
}

fn transport(ip: &Ip, bytes: &[u8]) -> Option<Kind> {
    let (from, to) = (ip.source, ip.target);
    match ip.protocol {
        IpNumber::ICMP if from.is_ipv4() => icmp(from, to, bytes),
        IpNumber::IPV6_ICMP if from.is_ipv6() => icmpv6(ip, bytes),
        IpNumber::TCP => {
            let (header, _) = TcpHeader::from_slice(bytes).ok()?;
            let longest = header.options_iterator().find_map(|option| match option {
                Ok(TcpOptionElement::MaximumSegmentSize(longest)) => Some(longest),
                _ => None,
            });
            let segment = Segment {
                is_open: header.syn && header.ack && !header.rst,
                is_reset: header.rst,
                acknowledged: header.acknowledgment_number,
                longest,
            };
            // A reset of something else has no acknowledgement.
            let ports = (header.source_port, header.destination_port);
            header.ack.then(|| Kind::Tcp { from: (from, ports.0).into(), to: (to, ports.1).into(), segment })
        }
        IpNumber::UDP => {
            let (header, _) = UdpHeader::from_slice(bytes).ok()?;
            Some(Kind::Udp { from: (from, header.source_port).into(), to: (to, header.destination_port).into() })
        }
        IpNumber::SCTP => {
            let number = |at: usize| bytes.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
            let port = |at: usize| bytes.get(at..)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes));
            let chunk = match bytes.get(12)? {
                2 => Chunk::InitAck(number(16)?),
                6 => Chunk::Abort,
                _ => return None,
            };
            Some(Kind::Sctp { from: (from, port(0)?).into(), to: (to, port(2)?).into(), tag: number(4)?, chunk })
        }
        _ => None,
    }
}

fn icmp(from: IpAddr, to: IpAddr, bytes: &[u8]) -> Option<Kind> {
    let (header, rest) = Icmpv4Header::from_slice(bytes).ok()?;
    let error = match header.icmp_type {
        Icmpv4Type::EchoReply(echo) => {
            return Some(Kind::Echo { from, to, identifier: echo.id, index: echo.seq });
        }
        Icmpv4Type::TimeExceeded(_) => Failure::PassedOn,
        Icmpv4Type::DestinationUnreachable(what) => match what {
            Unreachable4::Port => Failure::Port,
            Unreachable4::Protocol => Failure::Protocol,
            Unreachable4::FragmentationNeeded { next_hop_mtu } => Failure::TooLong { mtu: next_hop_mtu.into() },
            Unreachable4::NetworkProhibited
            | Unreachable4::HostProhibited
            | Unreachable4::FilterProhibited
            | Unreachable4::HostPrecedenceViolation
            | Unreachable4::PrecedenceCutoff => Failure::Prohibited,
            _ => Failure::Unreachable,
        },
        _ => return None,
    };
    about(from, rest, error)
}

fn icmpv6(own: &Ip, bytes: &[u8]) -> Option<Kind> {
    let from = own.source;
    let (header, rest) = Icmpv6Header::from_slice(bytes).ok()?;
    let error = match header.icmp_type {
        Icmpv6Type::EchoReply(echo) => {
            return Some(Kind::Echo { from, to: own.target, identifier: echo.id, index: echo.seq });
        }
        Icmpv6Type::NeighborAdvertisement(_) => {
            let ip: [u8; 16] = *rest.first_chunk()?;
            // The option with the sender's own address.
            let mac = rest.get(16..)?.strip_prefix(&[2, 1])?.first_chunk()?;
            return (own.hop_limit == u8::MAX).then(|| Kind::Neighbour { ip: ip.into(), mac: *mac });
        }
        Icmpv6Type::TimeExceeded(_) => Failure::PassedOn,
        Icmpv6Type::PacketTooBig { mtu } => Failure::TooLong { mtu },
        Icmpv6Type::DestinationUnreachable(Unreachable6::Port) => Failure::Port,
        Icmpv6Type::DestinationUnreachable(Unreachable6::Prohibited) => Failure::Prohibited,
        Icmpv6Type::DestinationUnreachable(_) => Failure::Unreachable,
        // An unknown next header: what another machine says for an unknown protocol.
        Icmpv6Type::ParameterProblem(_) => Failure::Protocol,
        _ => return None,
    };
    about(from, rest, error)
}

fn about(from: IpAddr, quoted: &[u8], error: Failure) -> Option<Kind> {
    let (Ip { source, target, index, .. }, _) = ip(quoted)?;
    Some(Kind::Error { from, source, target, index, error })
}

impl Kind {
    /// Which question it may be the answer to, by what the packet of the question had in it.
    /// `None` for those that only addresses and ports tell.
    pub(crate) fn index(&self, secret: u32) -> Option<u16> {
        match *self {
            Kind::Echo { identifier, index, .. } => (identifier == Mark::identifier(secret)).then_some(index),
            // The SYN itself is counted, too.
            Kind::Tcp { segment, .. } => Mark::of_sequence(secret, segment.acknowledged.wrapping_sub(1)),
            Kind::Sctp { tag, .. } => Mark::of_sequence(secret, tag),
            Kind::Error { index, .. } => Some(index),
            Kind::Neighbour { .. } | Kind::Udp { .. } => None,
        }
    }
}
