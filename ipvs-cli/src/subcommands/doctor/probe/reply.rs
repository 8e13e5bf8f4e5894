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
    Neighbour {
        ip: IpAddr,
        mac: Mac,
    },
    Echo {
        from: IpAddr,
        to: IpAddr,
        identifier: u16,
        index: u16,
    },
    Tcp {
        from: SocketAddr,
        to: SocketAddr,
        segment: Segment,
    },
    Udp {
        from: SocketAddr,
        to: SocketAddr,
    },
    Sctp {
        from: SocketAddr,
        to: SocketAddr,
        tag: u32,
        chunk: Chunk,
    },
    /// An error about a packet, which it quotes.
    Error {
        from: IpAddr,
        source: IpAddr,
        target: IpAddr,
        index: u16,
        error: Failure,
    },
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
    TooLong {
        mtu: u32,
    },
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

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use etherparse::checksum::Sum16BitWords;
    use proptest::prelude::*;

    use super::super::packet::{Contents, Packet, Tunnel, TunnelKind, Way, frame, who_has};
    use super::*;

    const OWN: Mac = [2, 0, 0, 0, 0, 1];
    const HOP: Mac = [2, 0, 0, 0, 0, 2];

    fn v4() -> impl Strategy<Value = IpAddr> {
        any::<u32>().prop_map(|bits| Ipv4Addr::from_bits(bits).into())
    }

    fn v6() -> impl Strategy<Value = IpAddr> {
        any::<u128>().prop_map(|bits| Ipv6Addr::from_bits(bits).into())
    }

    fn pair() -> impl Strategy<Value = (IpAddr, IpAddr)> {
        prop_oneof![(v4(), v4()), (v6(), v6())]
    }

    fn tunnels() -> impl Strategy<Value = Option<Tunnel>> {
        let kind = prop_oneof![
            Just(TunnelKind::Ipip),
            (any::<u16>(), any::<bool>()).prop_map(|(port, checksum)| TunnelKind::Gue { port, checksum }),
            any::<bool>().prop_map(|checksum| TunnelKind::Gre { checksum }),
        ];
        let tunnel = (pair(), kind).prop_map(|((source, server), kind)| Tunnel { source, server, kind });
        prop::option::of(tunnel)
    }

    fn packets() -> impl Strategy<Value = Packet> {
        let contents = prop_oneof![
            Just(Contents::Echo),
            Just(Contents::Syn),
            any::<u32>().prop_map(Contents::Reset),
            Just(Contents::Datagram),
            Just(Contents::Init),
            any::<u32>().prop_map(Contents::Abort),
        ];
        let ports = (any::<u16>(), prop_oneof![any::<u16>(), Just(53), Just(123)]);
        (pair(), ports, 1..=64_u8, 0..=1500_u16, contents).prop_map(
            |((source, target), (from, port), hop_limit, length, contents)| Packet {
                source,
                from,
                target,
                port,
                hop_limit,
                length,
                contents,
            },
        )
    }

    fn marks() -> impl Strategy<Value = Mark> {
        (any::<u32>(), any::<u16>()).prop_map(|(secret, index)| Mark { secret, index })
    }

    /// The sum over what a checksum covers is that of all ones.
    fn is_whole(parts: &[&[u8]]) -> bool {
        let sum = parts.iter().fold(Sum16BitWords::new(), |sum, part| sum.add_slice(part));
        sum.ones_complement() == 0
    }

    /// The addresses, protocol and length that checksums of transports cover.
    fn pseudo_header(packet: &[u8], protocol: u8) -> (Vec<u8>, &[u8]) {
        let is_v4 = packet[0] >> 4 == 4;
        let (addresses, payload) =
            if is_v4 { (&packet[12..20], &packet[20..]) } else { (&packet[8..40], &packet[40..]) };
        let length = (payload.len() as u32).to_be_bytes();
        ([addresses, &length, &[0, 0, 0, protocol]].concat(), payload)
    }

    fn is_sound(packet: &[u8]) -> bool {
        let is_v4 = packet[0] >> 4 == 4;
        let protocol = if is_v4 { packet[9] } else { packet[6] };
        let (header, payload) = pseudo_header(packet, protocol);
        let length = if is_v4 { packet.len() } else { packet.len() - 40 };
        let said = usize::from(u16::from_be_bytes(if is_v4 { [packet[2], packet[3]] } else { [packet[4], packet[5]] }));
        let is_ip = said == length && (!is_v4 || is_whole(&[&packet[..20]]));
        is_ip
            && match protocol {
                1 => is_whole(&[payload]),
                6 | 58 => is_whole(&[&header, payload]),
                // Zero is none.
                17 => payload[6..8] == [0, 0] || is_whole(&[&header, payload]),
                47 => payload[0] & 0x80 == 0 || is_whole(&[payload]),
                _ => true,
            }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0..4_usize) {
            let kind = [[8, 0], [0x86, 0xdd], [8, 6], [0, 0]][kind];
            let _ = read(&bytes);
            let _ = read(&[&[0; 12][..], &kind, &bytes].concat());
        }

        #[test]
        fn packets_have_right_lengths_and_checksums(packet in packets(), tunnel in tunnels(), mark in marks()) {
            let way = Way { own: OWN, hop: HOP, tunnel };
            let frame = frame(&way, &packet, mark).unwrap();
            prop_assert_eq!(&frame[..12], &[HOP, OWN].concat()[..]);
            let outer = &frame[14..];
            prop_assert!(is_sound(outer), "{outer:?}");
            let overhead = usize::from(tunnel.map_or(0, |tunnel| tunnel.overhead()));
            let inner = &outer[overhead..];
            prop_assert!(is_sound(inner), "{inner:?}");
            if matches!(packet.contents, Contents::Syn | Contents::Echo) && packet.length > 100 {
                prop_assert_eq!(inner.len(), usize::from(packet.length));
            }
        }

        #[test]
        fn an_error_names_the_packet_that_it_quotes(packet in packets(), tunnel in tunnels(), mark in marks()) {
            let way = Way { own: OWN, hop: HOP, tunnel };
            let frame = frame(&way, &packet, mark).unwrap();
            // As much as IPv4 must quote.
            let quoted = &frame[14..frame.len().min(14 + 48)];
            let (source, target) = tunnel.map_or((packet.source, packet.target), |tunnel| (tunnel.source, tunnel.server));
            let router: IpAddr = if source.is_ipv4() { [192, 0, 2, 1].into() } else { Ipv6Addr::LOCALHOST.into() };
            let builder = etherparse::PacketBuilder::ethernet2(HOP, OWN);
            let mut bytes = Vec::new();
            match (router, source) {
                (IpAddr::V4(router), IpAddr::V4(source)) => {
                    let error = builder.ipv4(router.octets(), source.octets(), 64).icmpv4_raw(11, 0, [0; 4]);
                    error.write(&mut bytes, quoted).unwrap();
                }
                (IpAddr::V6(router), IpAddr::V6(source)) => {
                    let error = builder.ipv6(router.octets(), source.octets(), 64).icmpv6_raw(3, 0, [0; 4]);
                    error.write(&mut bytes, quoted).unwrap();
                }
                _ => unreachable!(),
            }
            let reply = read(&bytes).unwrap();
            let kind = Kind::Error { from: router, source, target, index: mark.index, error: Failure::PassedOn };
            prop_assert_eq!(reply, Reply { mac: HOP, hop_limit: 64, kind });
            prop_assert_eq!(reply.kind.index(mark.secret), Some(mark.index));
        }

        #[test]
        fn numbers_of_a_syn_lead_back_to_its_question(mark in marks(), data in 0..1460_u32) {
            let acknowledged = mark.sequence().wrapping_add(1 + data);
            prop_assert_eq!(Mark::of_sequence(mark.secret, acknowledged.wrapping_sub(1)), Some(mark.index));
        }

        #[test]
        fn who_has_asks_for_the_address((source, target) in pair()) {
            let frame = who_has(OWN, source, target).unwrap();
            if source.is_ipv6() {
                prop_assert!(is_sound(&frame[14..]), "{frame:?}");
                prop_assert_eq!(&frame[62..78], &Vec::from(match target { IpAddr::V6(ip) => ip.octets(), IpAddr::V4(_) => unreachable!() })[..]);
            }
            // A question is no answer.
            prop_assert_eq!(read(&frame), None);
        }
    }

    /// The answer of Linux 6.1 to a SYN, with its options.
    #[test]
    fn an_accepted_connection_says_how_long_segments_may_be() {
        let mut bytes = Vec::new();
        let builder = etherparse::PacketBuilder::ethernet2(HOP, OWN).ipv4([192, 0, 2, 1], [10, 0, 0, 1], 64);
        let builder = builder.tcp(80, 40_000, 7, 64_240).syn().ack(12).options(&[
            TcpOptionElement::MaximumSegmentSize(1360),
            TcpOptionElement::SelectiveAcknowledgementPermitted,
        ]);
        builder.unwrap().write(&mut bytes, &[]).unwrap();
        // A short frame is padded.
        bytes.resize(bytes.len() + 6, 0);
        let segment = Segment { is_open: true, is_reset: false, acknowledged: 12, longest: Some(1360) };
        let (from, to) = ("192.0.2.1:80".parse().unwrap(), "10.0.0.1:40000".parse().unwrap());
        assert_eq!(read(&bytes), Some(Reply { mac: HOP, hop_limit: 64, kind: Kind::Tcp { from, to, segment } }));
    }
}
