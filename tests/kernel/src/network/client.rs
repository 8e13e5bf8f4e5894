//! What clients do: each connects from an address of its own, and learns which server answered.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use ipvs::Protocol;
use lab_web::Site;
use nix::sys::socket::{SockaddrStorage, bind, connect, setsockopt, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, socket_with};

use super::Network;

/// Nothing takes so long, not even in a slow kernel on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a real server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its name: `rs1`.
    pub server: String,
    /// Whom it sees.
    pub seen: SocketAddr,
    /// Who asked.
    pub asked: SocketAddr,
}

/// A connection that is held until this is dropped.
#[derive(Debug)]
pub struct Conversation {
    /// Who is at the other end.
    pub answer: Answer,
    connection: TcpStream,
    is_http: bool,
}

impl Conversation {
    /// Sends something, and receives it repeated; or fetches the page again by HTTP.
    ///
    /// # Errors
    /// The connection was cut, or nobody answers.
    pub fn go_on(&mut self) -> io::Result<()> {
        if self.is_http {
            let text = lab_web::fetch_and_keep(&self.connection, "shop")?;
            let answer = answer(&text, self.answer.asked)?;
            return if answer == self.answer { Ok(()) } else { Err(io::Error::other(format!("{answer:?}"))) };
        }
        let said = [b'.'];
        let mut heard = [0];
        self.connection.write_all(&said)?;
        self.connection.read_exact(&mut heard)?;
        if heard == said { Ok(()) } else { Err(io::Error::other(format!("heard {heard:?}"))) }
    }
}

impl Drop for Conversation {
    /// The client is the first to end it.
    fn drop(&mut self) {
        let _ = self.connection.shutdown(Shutdown::Write);
    }
}

/// Goes on with each. Returns how many still could: a director that took over and does not know a
/// connection has the server reset it.
///
/// # Panics
/// If anything else is wrong, such as no reply.
pub fn go_on(conversations: &mut [Conversation]) -> usize {
    let is_alive = |conversation: &mut Conversation| match conversation.go_on() {
        Ok(()) => true,
        Err(error) if [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe].contains(&error.kind()) => false,
        Err(error) => panic!("{error}"),
    };
    conversations.iter_mut().map(|conversation| usize::from(is_alive(conversation))).sum()
}

impl Network {
    /// Connects to a port that greets, and holds the connection.
    ///
    /// # Errors
    /// No connection, or no greeting.
    pub fn hold(&self, protocol: Protocol, from: IpAddr, to: SocketAddr) -> io::Result<Conversation> {
        let connection = self.connect(protocol, SocketAddr::new(from, 0), to)?;
        let mut line = String::new();
        BufReader::new(&connection).read_line(&mut line)?;
        let answer = answer(&line, connection.local_addr()?)?;
        Ok(Conversation { answer, connection, is_http: false })
    }

    /// Fetches a page by HTTP, and holds the connection for more.
    ///
    /// # Errors
    /// No connection, or no answer.
    pub fn hold_http(&self, from: IpAddr, to: SocketAddr) -> io::Result<Conversation> {
        let connection = self.connect(Protocol::TCP, SocketAddr::new(from, 0), to)?;
        let answer = answer(&lab_web::fetch_and_keep(&connection, "shop")?, connection.local_addr()?)?;
        Ok(Conversation { answer, connection, is_http: true })
    }

    /// Connects from this port.
    ///
    /// # Errors
    /// The port is in use, or nobody answers.
    pub fn connect(&self, protocol: Protocol, from: SocketAddr, to: SocketAddr) -> io::Result<TcpStream> {
        self.client.run(|| stream(protocol, from, to))
    }

    /// Tries to connect, and gives up after this time.
    pub fn attempt(&self, from: IpAddr, to: SocketAddr, patience: Duration) -> bool {
        self.client.run(|| connect_within(Protocol::TCP, SocketAddr::new(from, 0), to, patience).is_ok())
    }

    /// Asks a port that greets, once.
    ///
    /// # Errors
    /// No answer.
    pub fn ask(&self, protocol: Protocol, from: IpAddr, to: SocketAddr) -> io::Result<Answer> {
        if protocol == Protocol::UDP {
            return self.client.run(|| datagram(from, to));
        }
        Ok(self.hold(protocol, from, to)?.answer.clone())
    }

    /// Asks for a page by HTTP; by HTTPS with a site, whose certificate the server must have.
    ///
    /// # Errors
    /// No answer, or one of somebody else.
    pub fn fetch(&self, from: IpAddr, to: SocketAddr, site: Option<&Site>) -> io::Result<Answer> {
        self.client.run(|| {
            let connection = stream(Protocol::TCP, SocketAddr::new(from, 0), to)?;
            let asked = connection.local_addr()?;
            let text = match site {
                None => lab_web::fetch(connection, "shop")?,
                Some(site) => lab_web::fetch(site.client()?.connect(connection)?, "shop")?,
            };
            answer(&text, asked)
        })
    }
}

/// A socket, bound to an address.
pub(super) fn open(protocol: Protocol, at: SocketAddr) -> io::Result<OwnedFd> {
    let family = if at.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let (kind, number) = match protocol {
        Protocol::UDP => (SocketType::DGRAM, ipproto::UDP),
        Protocol::SCTP => (SocketType::STREAM, ipproto::SCTP),
        _ => (SocketType::STREAM, ipproto::TCP),
    };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC, Some(number))?;
    bind(socket.as_raw_fd(), &SockaddrStorage::from(at))?;
    Ok(socket)
}

fn stream(protocol: Protocol, from: SocketAddr, to: SocketAddr) -> io::Result<TcpStream> {
    connect_within(protocol, from, to, PATIENCE)
}

fn connect_within(protocol: Protocol, from: SocketAddr, to: SocketAddr, patience: Duration) -> io::Result<TcpStream> {
    let socket = open(protocol, from)?;
    // It is what limits a connect.
    let patience = TimeVal::milliseconds(i64::try_from(patience.as_millis()).unwrap_or(i64::MAX));
    setsockopt(&socket, sockopt::SendTimeout, &patience)?;
    connect(socket.as_raw_fd(), &SockaddrStorage::from(to))?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn datagram(from: IpAddr, to: SocketAddr) -> io::Result<Answer> {
    let socket = UdpSocket::bind(SocketAddr::new(from, 0))?;
    socket.connect(to)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.send(b"?")?;
    let mut buffer = [0; 256];
    let length = socket.recv(&mut buffer)?;
    answer(&String::from_utf8_lossy(&buffer[..length]), socket.local_addr()?)
}

fn answer(line: &str, asked: SocketAddr) -> io::Result<Answer> {
    let words = line.trim_end().split_once(' ').and_then(|(server, seen)| Some((server, seen.parse().ok()?)));
    let Some((server, seen)) = words else { return Err(io::Error::other(format!("no greeting: {line:?}"))) };
    Ok(Answer { server: server.into(), seen, asked })
}
