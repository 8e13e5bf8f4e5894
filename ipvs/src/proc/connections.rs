//! The connections that the kernel tracks: `/proc/net/ip_vs_conn`, since netlink does not offer
//! them.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use crate::invalid_value::InvalidValue;
use crate::name::{Name, PersistenceEngine};
use crate::service::{Family, FirewallMark, Protocol, ServiceKey};

/// One entry of the kernel's connection table: a connection, or a template.
///
/// A template is what persistence remembers of a client: its later connections go to the same
/// destination.
///
/// ```
/// use ipvs::{ServiceKey, proc::Connections};
/// let table = "TCP 7F000001 9C41 7F00000A 0050 7F00000A 1F90 ESTABLISHED     899\n";
/// let connection = Connections::new(table.as_bytes()).next().unwrap()?;
/// assert_eq!(connection.client, "127.0.0.1:40001".parse()?);
/// assert_eq!(connection.target, "tcp 127.0.0.10:80".parse::<ServiceKey>()?);
/// assert_eq!(connection.destination, "127.0.0.10:8080".parse()?);
/// assert_eq!(connection.state.to_string(), "ESTABLISHED");
/// assert_eq!(connection.expires, 899);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Connection {
    /// Who connected. Of a template the port is 0 and the address is cut to the service's netmask.
    pub client: SocketAddr,
    /// What it connected to: the virtual address and its protocol; the firewall mark only in a
    /// template of a mark's service.
    pub target: ServiceKey,
    /// Where the packets go. It may be of the other family, behind a tunnel.
    pub destination: SocketAddr,
    /// Its state; `NONE` or `ASSURED` of a template.
    pub state: ConnectionState,
    /// Gauge: the seconds until the kernel forgets this entry, if no packet comes.
    pub expires: u32,
    /// What the persistence engine found, in a template of a service that has one.
    pub engine: Option<EngineData>,
}

impl Connection {
    /// Is it a template?
    pub fn is_template(&self) -> bool {
        self.client.port() == 0
    }
}

/// What a persistence engine distinguishes clients by.
///
/// ```
/// use ipvs::proc::Connections;
/// let table = "UDP 7F000001 0000 7F00000A 13C4 7F00000A 13C4 NONE 59 sip 12345@example.net\n";
/// let template = Connections::new(table.as_bytes()).next().unwrap()?;
/// assert_eq!(template.engine.unwrap().data, b"12345@example.net");
/// # Ok::<(), ipvs::proc::ConnectionsError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct EngineData {
    /// The engine.
    pub engine: PersistenceEngine,
    /// Its data, as the engine writes it: SIP's is the Call-ID. It comes from the network.
    pub data: Vec<u8>,
}

/// The state of a connection by the kernel's name for it, such as `ESTABLISHED` or `SYN_RECV`;
/// `NONE` or `ASSURED` of a template. [`names`](Self::names) lists them.
///
/// ```
/// use ipvs::proc::{Connection, ConnectionState};
/// let established: ConnectionState = "ESTABLISHED".parse()?;
/// let is_open = |connection: &Connection| connection.state == established;
/// # let _ = is_open;
/// # Ok::<(), ipvs::InvalidValue>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionState(Name<31>);

impl ConnectionState {
    /// The state of this name.
    pub(crate) fn from_name(name: &[u8]) -> Option<Self> {
        Name::new(name).map(Self)
    }

    /// The name's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Display for ConnectionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&String::from_utf8_lossy(self.as_bytes()))
    }
}

impl FromStr for ConnectionState {
    type Err = InvalidValue;

    /// Any name of 1 to 31 bytes without NUL: the kernel decides which there are.
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let name = Name::new(text.as_bytes()).map(ConnectionState);
        name.ok_or_else(|| InvalidValue::new("state of a connection", text, "1 to 31 bytes without NUL"))
    }
}

impl fmt::Debug for ConnectionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnectionState({self})")
    }
}

/// Why the connections could not be read.
///
/// ```
/// let error =
///     ipvs::proc::Connections::new(&b"TCP 7F000001 9C41\n"[..]).next().unwrap().unwrap_err();
/// let text = "line 1 of the connection table has no virtual address: \"TCP 7F000001 9C41\"";
/// assert_eq!(error.to_string(), text);
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionsError {
    /// The kernel's table can't be opened: [`io::ErrorKind::NotFound`] if the kernel has no IPVS.
    #[error("cannot open {}", .path.display())]
    Open {
        /// Its file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The table could not be read any further, or it has a line of more than 4096 bytes, which is
    /// none of the kernel's.
    #[error("cannot read line {line} of the connection table")]
    Read {
        /// Counted from 1.
        line: u64,
        /// Why.
        source: io::Error,
    },
    /// A line is not as the kernel writes it. The next one may be.
    #[error("line {line} of the connection table has no {missing}: {text:?}")]
    Line {
        /// Counted from 1.
        line: u64,
        /// The first part that is missing or wrong.
        missing: &'static str,
        /// The line, without its end.
        text: String,
    },
}

/// In bytes. The kernel's lines have at most some 400, of which 255 are a persistence engine's data
/// (`IP_VS_PEDATA_MAXLEN`).
const LONGEST_LINE: u64 = 4096;

/// Reads a connection table one entry at a time, so that a table of millions needs no memory.
///
/// The table changes while it is read: an entry may appear twice or not at all.
///
/// ```no_run
/// for connection in ipvs::proc::Connections::open()? {
///     let connection = connection?;
///     println!("{} -> {}", connection.client, connection.destination);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Connections<R> {
    /// `None` once reading has failed.
    input: Option<R>,
    line: u64,
    text: Vec<u8>,
}

impl Connections<BufReader<File>> {
    /// Where the kernel shows the table of the network namespace of the thread that reads.
    pub const PATH: &str = "/proc/thread-self/net/ip_vs_conn";

    /// The kernel's table, of the network namespace of this thread. The file needs no privileges.
    ///
    /// # Errors
    /// [`ConnectionsError::Open`].
    pub fn open() -> Result<Self, ConnectionsError> {
        let unopened = |source| ConnectionsError::Open { path: Self::PATH.into(), source };
        Ok(Self::new(BufReader::with_capacity(64 << 10, File::open(Self::PATH).map_err(unopened)?)))
    }
}

impl<R: BufRead> Connections<R> {
    /// A table in the form of `/proc/net/ip_vs_conn`, with or without its title.
    pub fn new(input: R) -> Self {
        Connections { input: Some(input), line: 0, text: Vec::new() }
    }

    /// Reads the next line into `text`, without its end; false: there is none.
    fn read_line(&mut self) -> io::Result<bool> {
        let Some(input) = &mut self.input else { return Ok(false) };
        self.text.clear();
        self.line += 1;
        if input.by_ref().take(LONGEST_LINE + 1).read_until(b'\n', &mut self.text)? == 0 {
            return Ok(false);
        }
        if self.text.last() == Some(&b'\n') {
            self.text.pop();
        } else if self.text.len() as u64 > LONGEST_LINE {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a line of more than 4096 bytes"));
        }
        Ok(true)
    }
}

impl<R: BufRead> Iterator for Connections<R> {
    type Item = Result<Connection, ConnectionsError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.read_line() {
                Ok(false) => return None,
                Ok(true) if self.line == 1 && self.text.starts_with(b"Pro ") => {}
                Ok(true) => break,
                Err(source) => {
                    self.input = None;
                    return Some(Err(ConnectionsError::Read { line: self.line, source }));
                }
            }
        }
        Some(connection(&self.text).map_err(|missing| ConnectionsError::Line {
            line: self.line,
            missing,
            text: String::from_utf8_lossy(&self.text).into_owned(),
        }))
    }
}

/// One line; the error is what it lacks.
fn connection(line: &[u8]) -> Result<Connection, &'static str> {
    let mut words = Words(line);
    let protocol = words.next().and_then(protocol).ok_or("protocol")?;
    let client = words.endpoint().ok_or("client address")?;
    let at = words.endpoint().ok_or("virtual address")?;
    let destination = words.endpoint().ok_or("destination")?;
    let state = words.next().and_then(ConnectionState::from_name).ok_or("state")?;
    let expires = words.next().and_then(decimal).ok_or("time to expiry")?;
    let engine = words.engine().ok_or("persistence data")?;
    Ok(Connection { client, target: target_of(protocol, at), destination, state, expires, engine })
}

/// The template of a mark's service has protocol IP, port 0 and the mark in its virtual address.
pub(crate) fn target_of(protocol: u16, at: SocketAddr) -> ServiceKey {
    let mark = (protocol == 0 && at.port() == 0).then(|| mark(at.ip())).flatten();
    match mark {
        Some(mark) => ServiceKey::Mark { mark, family: Family::of(at.ip()) },
        None => ServiceKey::Address { protocol: Protocol::from_number(protocol), at },
    }
}

/// The mark is the first word of the address; the other words of an IPv6 address are 0.
fn mark(address: IpAddr) -> Option<FirewallMark> {
    let mark = match address {
        IpAddr::V4(v4) => v4.to_bits(),
        IpAddr::V6(v6) => u32::try_from(v6.to_bits() >> 96).ok().filter(|_| v6.to_bits() << 32 == 0)?,
    };
    FirewallMark::new(mark).ok()
}

/// The kernel's names for protocols (`ip_vs_proto_name`).
fn protocol(name: &[u8]) -> Option<u16> {
    match name {
        b"TCP" => Some(6),
        b"UDP" => Some(17),
        b"SCTP" => Some(132),
        b"IP" => Some(0),
        b"ICMP" => Some(1),
        b"ICMPv6" => Some(58),
        _ => decimal(name.strip_prefix(b"IP_")?)?.try_into().ok(),
    }
}

fn decimal(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u32, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| digit - b'0')?;
        number.checked_mul(10)?.checked_add(digit.into())
    })
}

/// What a byte is worth as a hexadecimal digit; 16 and more: it is none. Most of a table is such
/// digits.
static HEX: [u8; 256] = {
    let mut table = [0xff; 256];
    let mut value = 0;
    while value < 16 {
        table[b"0123456789abcdef"[value] as usize] = value as u8;
        table[b"0123456789ABCDEF"[value] as usize] = value as u8;
        value += 1;
    }
    table
};

/// Up to eight digits.
fn hex(digits: &[u8]) -> Option<u32> {
    let mut number = 0;
    let mut wrong = 0;
    for &digit in digits {
        let value = HEX[usize::from(digit)];
        wrong |= value & 0xf0;
        number = number << 4 | u32::from(value & 0xf);
    }
    (wrong == 0).then_some(number)
}

/// Eight hexadecimal digits, or eight groups of four with colons between them.
fn address(text: &[u8]) -> Option<IpAddr> {
    match text.len() {
        8 => Some(Ipv4Addr::from_bits(hex(text)?).into()),
        39 => {
            let mut bits = 0u128;
            for group in text.split(|&byte| byte == b':') {
                bits = bits << 16 | u128::from(hex(group).filter(|_| group.len() == 4)?);
            }
            Some(Ipv6Addr::from_bits(bits).into())
        }
        _ => None,
    }
}

/// The words of a line: some have several blanks between them.
struct Words<'a>(&'a [u8]);

impl<'a> Words<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        let start = self.0.iter().position(|&byte| byte != b' ')?;
        let rest = &self.0[start..];
        let end = rest.iter().position(|&byte| byte == b' ').unwrap_or(rest.len());
        self.0 = &rest[end..];
        Some(&rest[..end])
    }

    fn endpoint(&mut self) -> Option<SocketAddr> {
        let address = self.next().and_then(address)?;
        let port = self.next().filter(|digits| digits.len() == 4).and_then(hex)?;
        Some(SocketAddr::new(address, port.try_into().ok()?))
    }

    /// The rest of the line: nothing, or a name, one blank and the data. `None`: something else.
    fn engine(&mut self) -> Option<Option<EngineData>> {
        let Some(name) = self.next() else { return Some(None) };
        let engine = PersistenceEngine::new(name).ok()?;
        let data = self.0.strip_prefix(b" ").unwrap_or_default().to_vec();
        Some(Some(EngineData { engine, data }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::report::Report;

    /// As Linux 6.1 wrote it.
    const RECORDED: &str = "\
Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData
SCTP 7F000001 9C40 7F00000A 0B58 7F00000A 0B58 INIT1             3
UDP 7F000001 9C46 7F00000D 0037 2001:0db8:0000:0000:0000:0000:0000:0011 0037 UDP             299
UDP 0000:0000:0000:0000:0000:0000:0000:0001 9C47 0000:0000:0000:0000:0000:0000:0000:0001 0038 C0000209 0038 UDP             299
UDP 0000:0000:0000:0000:0000:0000:0000:0001 0000 0000:0000:0000:0000:0000:0000:0000:0001 0036 0000:0000:0000:0000:0000:0000:0000:0001 0036 NONE        2678399
IP  0000:0000:0000:0000:0000:0000:0000:0001 0000 ffff:fffa:0000:0000:0000:0000:0000:0000 0000 0000:0000:0000:0000:0000:0000:0000:0001 0000 NONE             59
IP  7F000001 0000 FFFFFFFA 0000 7F00000A 0000 NONE             59
UDP 7F000001 0000 7F00000A 13C4 7F00000A 13C4 NONE             59 sip 12345@example.net
";

    fn shown(connection: &Connection) -> String {
        let Connection { client, target, destination, state, expires, .. } = connection;
        format!("{client} {target} {destination} {state} {expires}")
    }

    fn one(line: &str) -> Result<Connection, ConnectionsError> {
        Connections::new(line.as_bytes()).next().expect("a line")
    }

    /// Such as `/dev/zero`.
    #[test]
    fn a_line_without_end_is_an_error_and_ends_it() {
        let endless = BufReader::new(std::io::repeat(b'x'));
        let mut connections = Connections::new(endless);
        let error = connections.next().unwrap().unwrap_err();
        assert_eq!(
            Report::new(&error).to_string(),
            "cannot read line 1 of the connection table: a line of more than 4096 bytes"
        );
        assert!(connections.next().is_none());
        let longest = [b'x'; LONGEST_LINE as usize];
        assert!(matches!(Connections::new(&longest[..]).next(), Some(Err(ConnectionsError::Line { .. }))));
    }

    #[test]
    fn what_kernels_write_is_read() {
        let read: Vec<_> = Connections::new(RECORDED.as_bytes()).map(|line| shown(&line.unwrap())).collect();
        assert_eq!(
            read,
            [
                "127.0.0.1:40000 sctp 127.0.0.10:2904 127.0.0.10:2904 INIT1 3",
                "127.0.0.1:40006 udp 127.0.0.13:55 [2001:db8::11]:55 UDP 299",
                "[::1]:40007 udp [::1]:56 192.0.2.9:56 UDP 299",
                "[::1]:0 udp [::1]:54 [::1]:54 NONE 2678399",
                "[::1]:0 mark 4294967290 ipv6 [::1]:0 NONE 59",
                "127.0.0.1:0 mark 4294967290 127.0.0.10:0 NONE 59",
                "127.0.0.1:0 udp 127.0.0.10:5060 127.0.0.10:5060 NONE 59",
            ]
        );
    }

    #[test]
    fn only_a_persistence_engine_has_data() {
        let engines: Vec<_> = Connections::new(RECORDED.as_bytes()).map(|line| line.unwrap().engine).collect();
        let sip = EngineData { engine: PersistenceEngine::SIP, data: b"12345@example.net".to_vec() };
        assert_eq!(engines, [None, None, None, None, None, None, Some(sip)]);
    }

    #[test]
    fn templates_are_distinguished_from_connections() {
        let templates: Vec<_> = Connections::new(RECORDED.as_bytes()).map(|line| line.unwrap().is_template()).collect();
        assert_eq!(templates, [false, false, false, true, true, true, true]);
    }

    #[test]
    fn protocol_ip_without_a_mark_is_an_address() {
        for (at, target) in [("00000000 0000", "0 0.0.0.0:0"), ("00000007 0050", "0 0.0.0.7:80")] {
            let line = format!("IP 7F000001 0000 {at} 7F00000A 0000 NONE 59");
            assert_eq!(one(&line).unwrap().target.to_string(), target);
        }
    }

    #[test]
    fn a_wrong_line_is_named_and_the_next_one_read() {
        let table = "UDP 7F000001 0000 7F00000A 13C4 7F00000A 13C4 NONE\nIP_51 7F000001 0001 7F00000A 0002 7F00000A 0003 NONE 1";
        let mut connections = Connections::new(table.as_bytes());
        let error = connections.next().unwrap().unwrap_err();
        assert!(matches!(error, ConnectionsError::Line { line: 1, missing: "time to expiry", .. }), "{error}");
        assert_eq!(shown(&connections.next().unwrap().unwrap()), "127.0.0.1:1 51 127.0.0.10:2 127.0.0.10:3 NONE 1");
        assert!(connections.next().is_none());
    }

    #[test]
    fn each_part_is_checked() {
        for (line, wrong) in [
            ("", "protocol"),
            ("IP_ 7F000001 0001", "protocol"),
            ("IP_65536 7F000001 0001", "protocol"),
            ("TCP 7F00000G 0001", "client address"),
            ("TCP 7F000001 001", "client address"),
            ("TCP 7F000001 0001 0000:0000:0000:0000:0000:0000:00000:001 0001", "virtual address"),
            ("TCP 7F000001 0001 7F000001 0001 7F000001", "destination"),
            ("TCP 7F000001 0001 7F000001 0001 7F000001 0001 a-state-that-has-more-than-31-bytes 1", "state"),
            ("TCP 7F000001 0001 7F000001 0001 7F000001 0001 NONE 4294967296", "time to expiry"),
            ("TCP 7F000001 0001 7F000001 0001 7F000001 0001 NONE 1 a-name-of-17-bytes data", "persistence data"),
        ] {
            match one(&format!("{line}\n")) {
                Err(ConnectionsError::Line { missing, .. }) => assert_eq!(missing, wrong, "{line}"),
                other => panic!("{line}: {other:?}"),
            }
        }
    }

    #[test]
    fn reading_ends_where_it_fails() {
        struct Broken;
        impl io::Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::PermissionDenied.into())
            }
        }
        let mut connections = Connections::new(BufReader::new(Broken));
        assert!(matches!(connections.next(), Some(Err(ConnectionsError::Read { line: 1, .. }))));
        assert!(connections.next().is_none());
    }

    proptest! {
        #[test]
        fn garbage_is_no_panic(bytes: Vec<u8>) {
            let lines = bytes.split(|&byte| byte == b'\n').count();
            prop_assert!(Connections::new(&bytes[..]).count() <= lines);
        }

        #[test]
        fn a_damaged_line_is_no_panic(at in 0..600usize, byte: u8, cut in 0..600usize) {
            let mut bytes = RECORDED.as_bytes()[..cut].to_vec();
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
            prop_assert!(Connections::new(&bytes[..]).count() <= 9);
        }
    }
}
