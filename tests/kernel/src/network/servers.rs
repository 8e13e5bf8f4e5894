//! What runs on the real servers: each answers with its name and with whom it sees.

use std::io::{self, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::thread;

use ipvs::{Family, Protocol};
use lab_web::Site;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::Backlog;

use super::client::open;
use super::{Machine, Network, server, virtual_address};

/// What is spoken on a port.
#[derive(Clone, Debug)]
pub enum Speaks {
    /// The server greets at once, as SSH does, and then repeats what it receives until the client
    /// goes. Over UDP it answers each datagram.
    Greeting(Protocol),
    /// HTTP.
    Http,
    /// HTTPS, with the site's certificate.
    Https(Box<Site>),
}

/// Servers on every real server of a network; they end when this is dropped, conversations when the
/// client goes.
#[derive(Debug)]
pub struct Servers {
    /// Closing these ends them.
    _stop: Vec<io::PipeWriter>,
}

enum Socket {
    Stream(TcpListener, Speaks),
    Datagram(UdpSocket),
}

impl Network {
    /// Starts servers on each real server's own addresses and the virtual ones.
    ///
    /// # Panics
    /// When a port can't be listened on.
    #[must_use]
    pub fn serve(&self, ports: &[(u16, Speaks)]) -> Servers {
        let start = |(number, machine): (u16, &Machine)| {
            let listen = || ports.iter().flat_map(|(port, speaks)| listen(number, *port, speaks)).collect::<Vec<_>>();
            let sockets = machine.run(listen);
            let (stopped, stop) = io::pipe().expect("a pipe");
            let name = machine.name.clone();
            thread::spawn(move || attend(&name, &sockets, &stopped));
            stop
        };
        Servers { _stop: (1..).zip(&self.servers).map(start).collect() }
    }
}

/// The sockets for one port of the real server of this number.
fn listen(number: u16, port: u16, speaks: &Speaks) -> Vec<Socket> {
    let protocol = match speaks {
        Speaks::Greeting(protocol) => *protocol,
        Speaks::Http | Speaks::Https(_) => Protocol::TCP,
    };
    // Only TCP answers from the address that was asked, whatever the socket is bound to.
    let addresses = match protocol {
        Protocol::TCP => vec![SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))],
        _ => [Family::V4, Family::V6].into_iter().flat_map(|family| own(number, family, port)).collect(),
    };
    let listen = |address| {
        let socket = open(protocol, address).expect("a free port");
        if protocol == Protocol::UDP {
            return Socket::Datagram(socket.into());
        }
        nix::sys::socket::listen(&socket, Backlog::MAXCONN).expect("a socket that can listen");
        Socket::Stream(socket.into(), speaks.clone())
    };
    addresses.into_iter().map(listen).collect()
}

fn own(number: u16, family: Family, port: u16) -> [SocketAddr; 2] {
    [SocketAddr::new(server(number, family), port), virtual_address(family, port)]
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Socket::Stream(listener, _) => listener.as_fd(),
            Socket::Datagram(socket) => socket.as_fd(),
        }
    }
}

/// Takes what comes, until the other end of the pipe is closed.
fn attend(name: &str, sockets: &[Socket], stopped: &io::PipeReader) {
    loop {
        let all = sockets.iter().map(AsFd::as_fd).chain([stopped.as_fd()]);
        let mut ready: Vec<_> = all.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        if poll(&mut ready, PollTimeout::NONE).is_err() {
            continue;
        }
        let ready: Vec<bool> = ready.iter().map(|fd| fd.any().unwrap_or(true)).collect();
        if ready.last() == Some(&true) {
            return;
        }
        for (socket, _) in sockets.iter().zip(ready).filter(|(_, ready)| *ready) {
            // A client that has gone meanwhile is no fault of the server.
            let _ = take(name, socket);
        }
    }
}

fn take(name: &str, socket: &Socket) -> io::Result<()> {
    match socket {
        Socket::Stream(listener, speaks) => {
            let (connection, peer) = listener.accept()?;
            let (line, speaks) = (line(name, peer), speaks.clone());
            thread::spawn(move || converse(connection, &line, &speaks));
        }
        Socket::Datagram(socket) => {
            let (_, peer) = socket.recv_from(&mut [0; 64])?;
            socket.send_to(line(name, peer).as_bytes(), peer)?;
        }
    }
    Ok(())
}

/// The server's name and whom it sees.
fn line(name: &str, peer: SocketAddr) -> String {
    format!("{name} {}", SocketAddr::new(peer.ip().to_canonical(), peer.port()))
}

fn converse(mut connection: TcpStream, line: &str, speaks: &Speaks) -> io::Result<()> {
    match speaks {
        Speaks::Http => lab_web::answer(connection, line),
        Speaks::Https(site) => lab_web::answer(site.server()?.accept(connection)?, line),
        Speaks::Greeting(_) => {
            connection.write_all(format!("{line}\n").as_bytes())?;
            io::copy(&mut connection.try_clone()?, &mut connection).map(drop)
        }
    }
}
