//! Commands of a case that make real packets: `@listen`, `@connect`, `@udp`, `@send`, `@mark`,
//! `@close`. They need no other program on the machine.

use crate::case::Status;
use crate::target::{Outcome, POWERLESS};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, setsockopt, socket, sockopt,
};
use std::ffi::OsString;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};

const USAGE: &str =
    "usage: @listen tcp|udp AT, @connect FROM TO, @udp FROM TO COUNT SIZE, @send FROM TO TEXT, @mark N, @close";

/// The sockets a case has opened, and the firewall mark that the next ones put on their packets.
///
/// The sockets live until `@close` or the end of the case.
#[derive(Debug, Default)]
pub struct Traffic {
    listeners: Vec<OwnedFd>,
    connections: Vec<OwnedFd>,
    mark: u32,
}

impl Traffic {
    /// Runs the command if it is one of these; `None` if it is some other program.
    pub fn run(&mut self, argv: &[OsString]) -> Option<Outcome> {
        let words: Vec<&str> = argv.iter().map(|word| word.to_str().unwrap_or_default()).collect();
        let done = match words[..] {
            ["@listen", "tcp", at] => self.listen_tcp(at),
            ["@listen", "udp", at] => self.listen_udp(at),
            ["@connect", from, to] => self.connect(from, to),
            ["@udp", from, to, count, size] => self.send_zeros(from, to, count, size),
            ["@send", from, to, text] => self.send(from, to, 1, text.as_bytes()),
            ["@mark", mark] => mark.parse().map(|mark| self.mark = mark).map_err(io::Error::other),
            ["@close"] => {
                self.connections.clear();
                Ok(())
            }
            [name, ..] if name.starts_with('@') && name != POWERLESS => Err(io::Error::other(USAGE)),
            _ => return None,
        };
        Some(outcome(done))
    }

    fn listen_tcp(&mut self, at: &str) -> io::Result<()> {
        self.listeners.push(TcpListener::bind(at)?.into());
        Ok(())
    }

    fn listen_udp(&mut self, at: &str) -> io::Result<()> {
        self.listeners.push(UdpSocket::bind(at)?.into());
        Ok(())
    }

    /// The client's port is fixed, so that the connection's line in a listing is the same every
    /// time.
    fn connect(&mut self, from: &str, to: &str) -> io::Result<()> {
        let (from, to) = (address(from)?, address(to)?);
        let family = if to.is_ipv6() { AddressFamily::Inet6 } else { AddressFamily::Inet };
        let client = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
        setsockopt(&client, sockopt::ReuseAddr, &true)?;
        setsockopt(&client, sockopt::Mark, &self.mark)?;
        bind(client.as_raw_fd(), &SockaddrStorage::from(from))?;
        connect(client.as_raw_fd(), &SockaddrStorage::from(to))?;
        self.connections.push(client);
        Ok(())
    }

    fn send_zeros(&self, from: &str, to: &str, count: &str, size: &str) -> io::Result<()> {
        let number = |text: &str| text.parse::<usize>().map_err(io::Error::other);
        self.send(from, to, number(count)?, &vec![0; number(size)?])
    }

    fn send(&self, from: &str, to: &str, count: usize, payload: &[u8]) -> io::Result<()> {
        let socket = UdpSocket::bind(address(from)?)?;
        setsockopt(&socket, sockopt::Mark, &self.mark)?;
        for _ in 0..count {
            socket.send_to(payload, address(to)?)?;
        }
        Ok(())
    }
}

fn address(text: &str) -> io::Result<SocketAddr> {
    text.parse().map_err(|_| io::Error::other(format!("`{text}' is no ADDRESS:PORT")))
}

fn outcome(done: io::Result<()>) -> Outcome {
    let (stderr, status) = match done {
        Ok(()) => (Vec::new(), Status::Exit(0)),
        Err(error) => (format!("{error}\n").into_bytes(), Status::Exit(1)),
    };
    Outcome { stdout: Vec::new(), stderr, status }
}
