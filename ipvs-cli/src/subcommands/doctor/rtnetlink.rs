//! Interfaces, addresses and routes, asked of the kernel of this thread's network namespace.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use rustix::net::sockopt::{Timeout, set_socket_timeout};

use super::machine::{Address, Link, LinkKind, Neighbour, NeighbourAnswer, Route};

/// A reply is queued when `send` returns. This only bounds a lost one.
const DEADLINE: Duration = Duration::from_secs(10);
/// The longest datagram of a dump.
const RECEIVE: usize = 32 << 10;
const HEADER: usize = 16;

pub(super) struct Connection {
    socket: Socket,
    sequence: u32,
}

impl Connection {
    pub(super) fn open() -> io::Result<Self> {
        let socket = Socket::new(NETLINK_ROUTE)?;
        // Nobody but the kernel can answer then.
        socket.connect(&SocketAddr::new(0, 0))?;
        for timeout in [Timeout::Recv, Timeout::Send] {
            set_socket_timeout(&socket, timeout, Some(DEADLINE)).map_err(io::Error::from)?;
        }
        Ok(Connection { socket, sequence: 0 })
    }

    pub(super) fn links(&mut self) -> io::Result<Vec<Link>> {
        // A header of zeros: all families, all interfaces.
        let answers = self.ask(libc::RTM_GETLINK, true, &[0; 16])?;
        Ok(answers.iter().filter_map(|body| link(body)).collect())
    }

    pub(super) fn addresses(&mut self) -> io::Result<Vec<Address>> {
        let answers = self.ask(libc::RTM_GETADDR, true, &[0; 8])?;
        Ok(answers.iter().filter_map(|body| address(body)).collect())
    }

    pub(super) fn neighbours(&mut self) -> io::Result<Vec<Neighbour>> {
        let answers = self.ask(libc::RTM_GETNEIGH, true, &[0; 12])?;
        Ok(answers.iter().filter_map(|body| neighbour(body)).collect())
    }

    /// Where a packet of this machine's own with this mark would go.
    pub(super) fn route(&mut self, to: IpAddr, mark: u32) -> io::Result<Route> {
        let mut body = [0; 12].to_vec();
        (body[0], body[1]) = match to {
            IpAddr::V4(_) => (libc::AF_INET as u8, 32),
            IpAddr::V6(_) => (libc::AF_INET6 as u8, 128),
        };
        match to {
            IpAddr::V4(v4) => attribute(&mut body, libc::RTA_DST, &v4.octets()),
            IpAddr::V6(v6) => attribute(&mut body, libc::RTA_DST, &v6.octets()),
        }
        if mark != 0 {
            attribute(&mut body, libc::RTA_MARK, &mark.to_ne_bytes());
        }
        match self.ask(libc::RTM_GETROUTE, false, &body) {
            Ok(answers) => Ok(answers.first().and_then(|body| route(body)).unwrap_or(Route::Nowhere)),
            Err(error) if is_no_route(&error) => Ok(Route::Nowhere),
            Err(error) => Err(error),
        }
    }

    /// The bodies of all answers.
    fn ask(&mut self, kind: u16, is_dump: bool, body: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        self.sequence += 1;
        let flags = libc::NLM_F_REQUEST | if is_dump { libc::NLM_F_DUMP } else { 0 };
        let mut datagram = Vec::with_capacity(HEADER + body.len());
        datagram.extend(u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX).to_ne_bytes());
        datagram.extend(kind.to_ne_bytes());
        datagram.extend(u16::try_from(flags).unwrap_or_default().to_ne_bytes());
        datagram.extend(self.sequence.to_ne_bytes());
        datagram.extend([0; 4]);
        datagram.extend(body);
        self.socket.send(&datagram, 0)?;
        let mut answers = Vec::new();
        loop {
            let mut reply = Vec::with_capacity(RECEIVE);
            self.socket.recv(&mut reply, 0)?;
            for message in messages(&reply).filter(|message| message.sequence == self.sequence) {
                match i32::from(message.kind) {
                    libc::NLMSG_DONE => return Ok(answers),
                    libc::NLMSG_ERROR => return refusal(message.body).map(|()| answers),
                    _ => answers.push(message.body.to_vec()),
                }
            }
            if !is_dump && !answers.is_empty() {
                return Ok(answers);
            }
        }
    }
}

fn is_no_route(error: &io::Error) -> bool {
    let no_route = [libc::ENETUNREACH, libc::EHOSTUNREACH, libc::EACCES, libc::EINVAL, libc::EAFNOSUPPORT];
    // The last one is a machine without IPv6.
    error.raw_os_error().is_some_and(|code| no_route.contains(&code) || code == libc::EOPNOTSUPP)
}

struct Message<'d> {
    kind: u16,
    sequence: u32,
    body: &'d [u8],
}

/// The messages of a datagram, up to where it is damaged.
fn messages(mut datagram: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let length = usize::try_from(u32_at(datagram, 0)?).ok()?;
        let body = datagram.get(HEADER..length)?;
        let message = Message { kind: u16_at(datagram, 4)?, sequence: u32_at(datagram, 8)?, body };
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

fn refusal(body: &[u8]) -> io::Result<()> {
    match u32_at(body, 0).unwrap_or_default().cast_signed() {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(code.saturating_neg())),
    }
}

/// `struct ifinfomsg` and its attributes.
fn link(body: &[u8]) -> Option<Link> {
    const INFO_DATA: u16 = 2;
    const GRE_INPUT_FLAGS: u16 = 2;
    const GRE_CHECKSUM: u16 = 0x8000;
    const TUNNEL_PROTOCOL: u16 = 9;
    let attributes = body.get(16..)?;
    let flags = u32_at(body, 8)?;
    let kind = match u16_at(body, 2)? {
        libc::ARPHRD_LOOPBACK => LinkKind::Loopback,
        libc::ARPHRD_TUNNEL => LinkKind::Ipip,
        libc::ARPHRD_SIT => LinkKind::Sit,
        libc::ARPHRD_TUNNEL6 => LinkKind::Ip6Tunnel,
        libc::ARPHRD_IPGRE => LinkKind::Gre,
        IP6GRE => LinkKind::Ip6Gre,
        _ if flags & libc::IFF_NOARP.cast_unsigned() != 0 => LinkKind::Quiet,
        _ => LinkKind::Wire,
    };
    let name = find(attributes, libc::IFLA_IFNAME)?;
    let data = find(attributes, libc::IFLA_LINKINFO).and_then(|info| find(info, INFO_DATA));
    let gre = data.filter(|_| matches!(kind, LinkKind::Gre | LinkKind::Ip6Gre));
    let gre_flags = gre.and_then(|data| find(data, GRE_INPUT_FLAGS)?.first_chunk().copied());
    let tunnel = data.filter(|_| kind == LinkKind::Ip6Tunnel);
    Some(Link {
        index: u32_at(body, 4)?,
        name: String::from_utf8_lossy(name.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned(),
        kind,
        is_up: flags & libc::IFF_UP.cast_unsigned() != 0,
        mtu: find(attributes, libc::IFLA_MTU).and_then(|value| u32_at(value, 0)).unwrap_or_default(),
        wants_checksum: gre_flags.is_some_and(|flags| u16::from_be_bytes(flags) & GRE_CHECKSUM != 0),
        protocol: tunnel.and_then(|data| find(data, TUNNEL_PROTOCOL)?.first().copied()).unwrap_or_default(),
    })
}

/// `ARPHRD_IP6GRE`, which libc does not have for every system.
const IP6GRE: u16 = 823;

/// `struct ifaddrmsg` and its attributes.
fn address(body: &[u8]) -> Option<Address> {
    const FLAGS: u16 = 8;
    let attributes = body.get(8..)?;
    // Of a link between two, the other end is in the other attribute.
    let own = find(attributes, libc::IFA_LOCAL).or_else(|| find(attributes, libc::IFA_ADDRESS))?;
    let flags = find(attributes, FLAGS).and_then(|value| u32_at(value, 0)).unwrap_or_default();
    Some(Address {
        ip: ip(own)?,
        prefix: *body.get(1)?,
        link: u32_at(body, 4)?,
        is_deprecated: flags & libc::IFA_F_DEPRECATED != 0,
        is_secondary: body.first() == Some(&(libc::AF_INET as u8)) && flags & libc::IFA_F_SECONDARY != 0,
    })
}

/// `struct ndmsg` and its attributes. None of what needs no answer: groups, the machine itself.
fn neighbour(body: &[u8]) -> Option<Neighbour> {
    let attributes = body.get(12..)?;
    let answer = match u16_at(body, 8)? {
        libc::NUD_FAILED => NeighbourAnswer::Missing,
        libc::NUD_INCOMPLETE => NeighbourAnswer::Awaited,
        libc::NUD_REACHABLE | libc::NUD_STALE | libc::NUD_DELAY | libc::NUD_PROBE => NeighbourAnswer::Came,
        _ => return None,
    };
    // The third word of `struct nda_cacheinfo`, in hundredths of a second.
    let age = find(attributes, libc::NDA_CACHEINFO).and_then(|value| u32_at(value, 8)).unwrap_or_default() / 100;
    Some(Neighbour { ip: ip(find(attributes, libc::NDA_DST)?)?, link: u32_at(body, 4)?, answer, age })
}

/// `struct rtmsg` and its attributes.
fn route(body: &[u8]) -> Option<Route> {
    let attributes = body.get(12..)?;
    Some(match *body.get(7)? {
        libc::RTN_LOCAL => Route::Local,
        libc::RTN_UNICAST => Route::Out {
            link: u32_at(find(attributes, libc::RTA_OIF)?, 0)?,
            gateway: find(attributes, libc::RTA_GATEWAY).and_then(ip),
        },
        _ => Route::Nowhere,
    })
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        _ => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
    }
}

/// The value of the attribute of this number.
fn find(attributes: &[u8], kind: u16) -> Option<&[u8]> {
    let mut rest = attributes;
    while !rest.is_empty() {
        let length = usize::from(u16_at(rest, 0)?);
        let value = rest.get(4..length)?;
        if u16_at(rest, 2)? & !(NESTED | NETWORK_ORDER) == kind {
            return Some(value);
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    None
}

const NESTED: u16 = 0x8000;
const NETWORK_ORDER: u16 = 0x4000;

fn attribute(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    body.extend(u16::try_from(4 + value.len()).unwrap_or_default().to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|chunk| u16::from_ne_bytes(*chunk))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|chunk| u32::from_ne_bytes(*chunk))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn this_machine_has_a_loopback() {
        let mut kernel = Connection::open().unwrap();
        let links = kernel.links().unwrap();
        let loopback = links.iter().find(|link| link.kind == LinkKind::Loopback).unwrap();
        assert_eq!(loopback.name, "lo");
        let local: IpAddr = [127, 0, 0, 1].into();
        if let Some(address) = kernel.addresses().unwrap().iter().find(|address| address.ip == local) {
            assert_eq!((address.prefix, address.link), (8, loopback.index));
            assert_eq!(kernel.route(local, 0).unwrap(), Route::Local);
            assert_eq!(kernel.route(local, 7).unwrap(), Route::Local);
        }
        assert!(kernel.route([240, 0, 0, 1].into(), 0).is_ok());
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..96)) {
            let _ = (link(&bytes), address(&bytes), route(&bytes), neighbour(&bytes), refusal(&bytes));
            prop_assert!(messages(&bytes).count() <= bytes.len() / HEADER);
        }
    }
}
