//! Sockets: those that send and see frames, and those that keep the kernel silent.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::{fmt, io};

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::SockaddrStorage;
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use super::packet::Mac;

/// The number of source ports. They tell questions to one address and port apart where nothing else
/// does.
pub(super) const PORTS: u16 = 32;
/// Frames that wait to be read: some 1,000 short ones.
const BUFFER: usize = 1 << 20;
const ETHERNET: u16 = 1;

/// An interface of Ethernet, with a packet socket that sees only what the probe waits for.
#[derive(Debug)]
pub(super) struct Wire {
    socket: Socket,
    pub(super) mac: Mac,
}

/// Why an interface can't be used.
#[derive(Debug)]
pub(super) enum WireError {
    NotEthernet(String),
    Forbidden,
    Unsupported,
    Other(String, io::Error),
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WireError::NotEthernet(name) => {
                write!(f, "{name} is not an interface of Ethernet")
            }
            WireError::Forbidden => f.write_str("Permission denied (you must be root): --probe needs CAP_NET_RAW"),
            WireError::Unsupported => {
                f.write_str("this kernel has no packet sockets, which --probe needs: modprobe af_packet")
            }
            WireError::Other(name, error) => write!(f, "{name}: {error}"),
        }
    }
}

impl std::error::Error for WireError {}

impl Wire {
    /// `identifier` is that of echo requests, `base` the first of the source ports.
    pub(super) fn open(name: &str, identifier: u16, base: u16) -> Result<Self, WireError> {
        let failed = |error| WireError::Other(name.to_owned(), error);
        let addresses = getifaddrs().map_err(|errno| failed(errno.into()))?;
        let of_link = |address: SockaddrStorage| address.as_link_addr().copied();
        let mut own = addresses.filter(|address| address.interface_name == name);
        let address = own.find_map(|address| of_link(address.address?)).filter(|address| address.hatype() == ETHERNET);
        let not_ethernet = || WireError::NotEthernet(name.to_owned());
        let address = address.ok_or_else(not_ethernet)?;
        let mac = address.addr().filter(|mac| *mac != [0; 6]).ok_or_else(not_ethernet)?;
        let protocol = (libc::ETH_P_ALL as u16).to_be();
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(i32::from(protocol))));
        let socket = socket.map_err(|error| match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => WireError::Forbidden,
            Some(libc::EAFNOSUPPORT) => WireError::Unsupported,
            _ => failed(error),
        })?;
        // Until it is bound, it may get frames of other interfaces: they answer no question.
        socket.attach_filter(&filter(identifier, base)).map_err(failed)?;
        nix::sys::socket::bind(socket.as_raw_fd(), &address).map_err(|errno| failed(errno.into()))?;
        socket.set_nonblocking(true).map_err(failed)?;
        // Too small is better than none.
        let _ = socket.set_recv_buffer_size(BUFFER);
        Ok(Wire { socket, mac })
    }

    pub(super) fn send(&self, frame: &[u8]) -> io::Result<()> {
        self.socket.send(frame).map(drop)
    }

    /// The next frame; `None` if there is none yet.
    pub(super) fn receive<'b>(&self, buffer: &'b mut [u8]) -> io::Result<Option<&'b [u8]>> {
        match io::Read::read(&mut &self.socket, buffer) {
            Ok(length) => Ok(Some(&buffer[..length])),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Sockets that own the probe's source ports and drop what comes: otherwise the kernel would send a
/// reset or an error to the real server, and enter it into its table of neighbours for that.
#[derive(Debug)]
pub(super) struct Ports {
    _sockets: Vec<Socket>,
    pub(super) base: u16,
}

/// The source addresses of packets, by protocol.
#[derive(Clone, Debug, Default)]
pub(super) struct Sources {
    pub(super) tcp: BTreeSet<IpAddr>,
    pub(super) udp: BTreeSet<IpAddr>,
    pub(super) sctp: BTreeSet<IpAddr>,
}

impl Ports {
    /// Ports that are free at all these addresses of this machine.
    pub(super) fn reserve(sources: &Sources, random: u16) -> io::Result<Self> {
        const FIRST: u16 = 33_000;
        let mut last = io::ErrorKind::AddrInUse.into();
        for attempt in 0..100_u16 {
            let base = FIRST + random.wrapping_add(attempt.wrapping_mul(251)) % (60_000 - FIRST);
            match Self::at(sources, base) {
                Ok(sockets) => return Ok(Ports { _sockets: sockets, base }),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    fn at(sources: &Sources, base: u16) -> io::Result<Vec<Socket>> {
        let mut sockets = Vec::new();
        let each = |ips: &BTreeSet<IpAddr>| -> Vec<(IpAddr, u16)> {
            ips.iter().flat_map(|ip| (base..base + PORTS).map(|port| (*ip, port))).collect()
        };
        for (ip, port) in each(&sources.tcp) {
            sockets.push(listening(silent(ip, port, Type::STREAM, Protocol::TCP)?)?);
        }
        for (ip, port) in each(&sources.udp) {
            sockets.push(silent(ip, port, Type::DGRAM, Protocol::UDP)?);
        }
        for (ip, port) in each(&sources.sctp) {
            sockets.push(match silent(ip, port, Type::STREAM, Protocol::SCTP).and_then(listening) {
                // Without the module, the kernel answers that it does not know the protocol.
                Err(error) if is_unknown(&error) => silent(ip, 0, Type::RAW, Protocol::SCTP)?,
                socket => socket?,
            });
        }
        Ok(sockets)
    }
}

fn listening(socket: Socket) -> io::Result<Socket> {
    socket.listen(1)?;
    Ok(socket)
}

fn is_unknown(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EPROTONOSUPPORT | libc::ESOCKTNOSUPPORT))
}

/// A socket that drops each packet.
fn silent(ip: IpAddr, port: u16, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let domain = if ip.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let socket = Socket::new(domain, kind, Some(protocol))?;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    socket.attach_filter(&[SockFilter::new(RETURN, 0, 0, 0)])?;
    socket.bind(&SocketAddr::new(ip, port).into())?;
    Ok(socket)
}

/// The address that the kernel takes for packets to this one. It sends none.
pub(super) fn source(to: IpAddr) -> Option<IpAddr> {
    let any = if to.is_ipv4() { IpAddr::from([0; 4]) } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = std::net::UdpSocket::bind((any, 0)).ok()?;
    socket.connect((to, 9)).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}

const DROP: &str = "drop";
const TAKE: &str = "take";

/// A line of a program for the kernel's filter.
enum Line {
    /// Loads a value.
    Load(u32, u32),
    /// Where to go if the comparison is true. If it is false, the next line.
    If(u32, u32, &'static str),
    Go(&'static str),
    Label(&'static str),
}

/// Lets pass what may answer the probe, and nothing else: on a busy director, each frame that
/// passes takes time.
fn filter(identifier: u16, base: u16) -> Vec<SockFilter> {
    use libc::{BPF_ABS, BPF_B, BPF_H, BPF_IND, BPF_JEQ, BPF_JGE, BPF_JGT, BPF_JSET, BPF_LD, BPF_LDX, BPF_MSH};
    // Of the frame itself and not of its bytes: `SKF_AD_OFF` and the number.
    const KIND: u32 = 0xffff_f000 + 4;
    const IN_VLAN: u32 = 0xffff_f000 + 48;
    let byte = |at| Line::Load(BPF_LD | BPF_B | BPF_ABS, at);
    let half = |at| Line::Load(BPF_LD | BPF_H | BPF_ABS, at);
    // Behind a header of IPv4 of any length.
    let header = || Line::Load(BPF_LDX | BPF_B | BPF_MSH, 14);
    let byte_behind = |at| Line::Load(BPF_LD | BPF_B | BPF_IND, at);
    let half_behind = |at| Line::Load(BPF_LD | BPF_H | BPF_IND, at);
    let is = |value: u32, label| Line::If(BPF_JEQ, value, label);
    let ports = || {
        [
            Line::If(BPF_JGT, u32::from(base) + u32::from(PORTS) - 1, DROP),
            Line::If(BPF_JGE, base.into(), TAKE),
            Line::Go(DROP),
        ]
    };
    let mut lines = vec![
        // For this machine only, and not of the VLANs of the interface.
        byte(KIND),
        is(0, "for us"),
        Line::Go(DROP),
        Line::Label("for us"),
        byte(IN_VLAN),
        is(1, DROP),
        half(12),
        is(libc::ETH_P_IP as u32, "ipv4"),
        is(libc::ETH_P_IPV6 as u32, "ipv6"),
        is(libc::ETH_P_ARP as u32, "arp"),
        Line::Go(DROP),
        Line::Label("arp"),
        half(20),
        is(2, TAKE),
        Line::Go(DROP),
        Line::Label("ipv4"),
        // Later fragments.
        half(20),
        Line::If(BPF_JSET, 0x1fff, DROP),
        header(),
        byte(23),
        is(1, "icmp"),
        is(6, "ports"),
        is(17, "ports"),
        is(132, "ports"),
        Line::Go(DROP),
        Line::Label("icmp"),
        byte_behind(14),
        is(3, TAKE),
        is(11, TAKE),
        is(0, "echo"),
        Line::Go(DROP),
        Line::Label("echo"),
        half_behind(18),
        is(identifier.into(), TAKE),
        Line::Go(DROP),
        Line::Label("ports"),
        half_behind(16),
    ];
    lines.extend(ports());
    lines.extend([
        Line::Label("ipv6"),
        byte(20),
        is(58, "icmpv6"),
        is(6, "ports of ipv6"),
        is(17, "ports of ipv6"),
        is(132, "ports of ipv6"),
        Line::Go(DROP),
        Line::Label("icmpv6"),
        byte(54),
        is(136, TAKE),
        is(129, "echo of ipv6"),
        Line::If(BPF_JGT, 4, DROP),
        Line::If(BPF_JGE, 1, TAKE),
        Line::Go(DROP),
        Line::Label("echo of ipv6"),
        half(58),
        is(identifier.into(), TAKE),
        Line::Go(DROP),
        Line::Label("ports of ipv6"),
        half(56),
    ]);
    lines.extend(ports());
    assemble(lines)
}

fn assemble(lines: Vec<Line>) -> Vec<SockFilter> {
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let mut labels = BTreeMap::new();
    let mut count = 0_u8;
    for line in &lines {
        match line {
            Line::Label(name) => drop(labels.insert(*name, count)),
            _ => count += 1,
        }
    }
    labels.extend([(DROP, count), (TAKE, count + 1)]);
    let mut program = Vec::new();
    for line in &lines {
        // The distance from the next instruction.
        let to = |name: &str| labels[name] - (program.len() as u8 + 1);
        program.push(match *line {
            Line::Load(code, at) => SockFilter::new(code as u16, 0, 0, at),
            Line::If(what, value, name) => {
                SockFilter::new((libc::BPF_JMP | what | libc::BPF_K) as u16, to(name), 0, value)
            }
            Line::Go(name) => SockFilter::new((libc::BPF_JMP | libc::BPF_JA) as u16, 0, 0, to(name).into()),
            Line::Label(_) => continue,
        });
    }
    program.extend([SockFilter::new(RETURN, 0, 0, 0), SockFilter::new(RETURN, 0, 0, u32::MAX)]);
    program
}
