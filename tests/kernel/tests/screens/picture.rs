//! The screen of the README's picture: services with traffic. `cargo lab pictures` draws it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ipvs::{Client, Destination, Forwarding, Scheduler, Service, ServiceKey, Table, Weight, change::Planner};
use kernel_tests::sandbox;

const VIRTUAL: &str = "192.0.2.1";

/// A service: its scheduler, the weights of its servers, how many clients it has, and how long each
/// waits between requests.
type Shape = (&'static str, Scheduler, &'static [u32], u64, u64);

const SHAPES: [Shape; 5] = [
    ("tcp 192.0.2.1:80", Scheduler::WLC, &[3, 2, 1], 4, 50),
    ("tcp 192.0.2.1:443", Scheduler::WRR, &[1, 1], 2, 90),
    ("tcp 192.0.2.1:8080", Scheduler::SH, &[1, 1], 1, 150),
    ("udp 192.0.2.1:53", Scheduler::RR, &[1, 1], 1, 60),
    ("tcp 192.0.2.1:25", Scheduler::LC, &[1], 1, 400),
];

/// Traffic goes up and down in this time.
const TIDE: f64 = 14.0;

/// How long an answer is.
const ANSWER: usize = 6000;

/// Traffic until it is dropped.
pub(crate) struct Traffic(Arc<AtomicBool>);

impl Drop for Traffic {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A director that is its own client, and has its servers on it, too.
pub(crate) fn begin() -> Traffic {
    sandbox::enter_network().unwrap_or_else(|error| panic!("{error}"));
    for address in std::iter::once(VIRTUAL.to_owned()).chain((1..=3).map(|number| server(number, 0).ip().to_string())) {
        let added = Command::new("ip").args(["address", "add", &format!("{address}/32"), "dev", "lo"]).status();
        assert!(added.is_ok_and(|status| status.success()), "{address}");
    }
    let stop = Arc::new(AtomicBool::new(false));
    let mut table = Table::new();
    let idle = Service::new("mark 10".parse().unwrap()).with_scheduler(Scheduler::SH);
    table.apply(&ipvs::Command::AddService(idle)).unwrap();
    for (name, scheduler, weights, clients, pause) in SHAPES {
        let key: ServiceKey = name.parse().unwrap();
        table.apply(&ipvs::Command::AddService(Service::new(key).with_scheduler(scheduler))).unwrap();
        let at: SocketAddr = name[4..].parse().unwrap();
        for (number, weight) in (1..).zip(weights) {
            let server = server(number, at.port());
            let destination = Destination::new(server).with_forwarding(Forwarding::Masquerade);
            let destination = destination.with_weight(Weight::new(*weight).unwrap());
            table.apply(&ipvs::Command::AddDestination(key, destination)).unwrap();
            if name.starts_with("tcp") { serve_tcp(server) } else { serve_udp(server) }
        }
        for number in 0..clients {
            let (stop, pause) = (Arc::clone(&stop), Duration::from_millis(pause + number * 7));
            let begun = Instant::now();
            let ask = if name.starts_with("tcp") { ask_tcp } else { ask_udp };
            thread::spawn(move || {
                let mut kept = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    kept.extend(ask(at, kept.len()));
                    let tide =
                        (begun.elapsed().as_secs_f64() / TIDE * std::f64::consts::TAU + f64::from(at.port())).sin();
                    thread::sleep(pause.mul_f64(1.0 + 0.7 * tide));
                }
            });
        }
    }
    Client::connect().unwrap().reconcile(&table, &Planner::new().only_services()).unwrap();
    Traffic(stop)
}

fn server(number: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 10 + number], port))
}

/// Answers each client, and keeps the connection until the client ends it.
fn serve_tcp(at: SocketAddr) {
    let listener = TcpListener::bind(at).unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let _ = stream.write_all(&[b'.'; ANSWER]).and_then(|()| stream.read(&mut [0; 8]));
            });
        }
    });
}

fn serve_udp(at: SocketAddr) {
    let socket = UdpSocket::bind(at).unwrap();
    thread::spawn(move || {
        while let Ok((_, client)) = socket.recv_from(&mut [0; 64]) {
            let _ = socket.send_to(&[b'.'; 300], client);
        }
    });
}

/// The first few connections are kept.
fn ask_tcp(at: SocketAddr, kept: usize) -> Option<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&at, Duration::from_secs(10)).ok()?;
    stream.read_exact(&mut [0; ANSWER]).ok()?;
    (kept < 5).then_some(stream)
}

fn ask_udp(at: SocketAddr, _: usize) -> Option<TcpStream> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.set_read_timeout(Some(Duration::from_millis(100))).ok()?;
    socket.send_to(b"?", at).ok()?;
    // An answer that is lost is no matter.
    let _ = socket.recv(&mut [0; 512]);
    None
}
