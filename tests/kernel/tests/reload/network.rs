//! A client, a director and real servers, each in a network namespace of its own.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::Duration;

use nix::sched::{CloneFlags, setns};

/// The virtual service.
pub(crate) const VIRTUAL: SocketAddr = at([10, 0, 0, 100], 80);

/// The real servers, which answer by way of the director.
pub(crate) const SERVERS: [SocketAddr; 3] =
    [at([10, 0, 1, 11], 8080), at([10, 0, 1, 12], 8080), at([10, 0, 1, 13], 8080)];

const fn at([a, b, c, d]: [u8; 4], port: u16) -> SocketAddr {
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), port))
}

const SETUP: &str = "
set -e
for name in $C $D $S; do ip netns add $name; ip -n $name link set lo up; done
ip link add $C-d netns $C type veth peer name client netns $D
ip link add $S-d netns $S type veth peer name servers netns $D
ip -n $C addr add 10.0.0.2/24 dev $C-d; ip -n $C link set $C-d up
ip -n $D addr add 10.0.0.1/24 dev client; ip -n $D addr add 10.0.0.100/24 dev client; ip -n $D link set client up
ip -n $D addr add 10.0.1.1/24 dev servers; ip -n $D link set servers up
for host in 11 12 13; do ip -n $S addr add 10.0.1.$host/24 dev $S-d; done
ip -n $S link set $S-d up; ip -n $S route add default via 10.0.1.1
ip netns exec $D sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward'
# A client makes thousands of connections.
ip netns exec $C sh -c 'echo 1 > /proc/sys/net/ipv4/tcp_tw_reuse; echo 10000 65000 > /proc/sys/net/ipv4/ip_local_port_range'
";

/// A connection that waits this long for its echo is lost: longer than a busy machine leaves a
/// guest without a processor, after which all the guest's timers end at once. A director without
/// the service refuses within milliseconds.
const LOST: Duration = Duration::from_secs(240);

/// The namespaces; gone when it is dropped.
pub(crate) struct Network {
    names: [String; 3],
}

impl Network {
    /// Makes them, with names that no other test has.
    pub(crate) fn build() -> Self {
        let unique = format!("{:?}", thread::current().id()).replace(|c: char| !c.is_ascii_digit(), "");
        let names = ["c", "d", "s"].map(|role| format!("{role}{}-{unique}", std::process::id()));
        let network = Network { names };
        network.shell(SETUP);
        network
    }

    fn shell(&self, script: &str) {
        let [client, director, servers] = &self.names;
        let status = Command::new("sh")
            .args(["-c", script])
            .envs([("C", client), ("D", director), ("S", servers)])
            .status()
            .unwrap();
        assert!(status.success(), "the network could not be set up: {status}");
    }

    /// Runs it, and what it starts, on the director.
    pub(crate) fn on_director<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let worker = scope.spawn(|| {
                self.enter(1);
                work()
            });
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Moves this thread to the client.
    pub(crate) fn enter_client(&self) {
        self.enter(0);
    }

    /// Starts real servers that echo; their threads end with the process.
    pub(crate) fn serve(&self) {
        let start = || {
            self.enter(2);
            for server in SERVERS {
                let listener = TcpListener::bind(server).unwrap();
                thread::spawn(move || {
                    for connection in listener.incoming().flatten() {
                        thread::spawn(move || drop(echo(connection)));
                    }
                });
            }
        };
        thread::scope(|scope| scope.spawn(start).join().unwrap());
    }

    fn enter(&self, which: usize) {
        let namespace = File::open(format!("/run/netns/{}", self.names[which])).unwrap();
        setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
    }
}

fn echo(mut connection: TcpStream) -> io::Result<()> {
    connection.set_nodelay(true)?;
    let mut buffer = [0; 64];
    loop {
        match connection.read(&mut buffer)? {
            0 => return Ok(()),
            length => connection.write_all(&buffer[..length])?,
        }
    }
}

/// Connects this thread's machine to the virtual service.
pub(crate) fn connect() -> io::Result<TcpStream> {
    let connection = TcpStream::connect_timeout(&VIRTUAL, LOST)?;
    connection.set_nodelay(true)?;
    connection.set_read_timeout(Some(LOST))?;
    Ok(connection)
}

/// Has one byte echoed.
pub(crate) fn ask(connection: &mut TcpStream) -> io::Result<()> {
    connection.write_all(b"?")?;
    connection.read_exact(&mut [0])
}

impl Drop for Network {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = Command::new("ip").args(["netns", "delete", name]).status();
        }
    }
}
