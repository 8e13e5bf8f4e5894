//! `ipvs-cli top`, `watch` and `conns` on a terminal: screens as text.
//!
//! Prints what refreshing costs; the figures are in docs/performance.md. `TOP_SERVICES` makes the
//! table larger.

use std::fs::File;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ipvs::{Client, Destination, Forwarding, Scheduler, Service, ServiceKey, Table, change::Planner};
use kernel_tests::target::Target;
use kernel_tests::{on_the_fastest_kernel, sandbox};
use nix::sys::signal::Signal;

use pty::Terminal;

#[path = "screens/entries.rs"]
mod entries;
#[path = "screens/picture.rs"]
mod picture;
#[path = "screens/pty.rs"]
mod pty;

/// No kernel differs in what is drawn.
fn is_elsewhere() -> bool {
    if !on_the_fastest_kernel() {
        println!("skipped: what is drawn depends on no kernel");
    }
    !on_the_fastest_kernel()
}

/// A network with these services, each with this number of servers.
fn director(services: impl IntoIterator<Item = String>, servers: u8) -> Client {
    sandbox::enter_network().unwrap_or_else(|error| panic!("{error}"));
    let mut table = Table::new();
    for service in services {
        let key: ServiceKey = service.parse().unwrap();
        table.apply(&ipvs::Command::AddService(Service::new(key).with_scheduler(Scheduler::RR))).unwrap();
        for host in 1..=servers {
            let server = Destination::new(SocketAddr::from(([127, 0, 0, host], 5300)));
            let server = server.with_forwarding(Forwarding::Masquerade);
            table.apply(&ipvs::Command::AddDestination(key, server)).unwrap();
        }
    }
    let mut client = Client::connect().unwrap();
    client.reconcile(&table, &Planner::new().only_services()).unwrap();
    client
}

const SERVICES: [&str; 3] = ["tcp 192.0.2.1:80", "udp 192.0.2.1:53", "mark 7"];

#[test]
fn top_is_drawn_and_obeys() {
    if is_elsewhere() {
        return;
    }
    director(SERVICES.map(str::to_owned), 2);
    let mut top = Terminal::start("top --interval 0.2", 24, 80);
    // By name, so that nothing moves; and the third look has been taken.
    top.press("S");
    let quiet = include_str!("screens/top-80x24.txt").trim_end();
    assert_eq!(top.wait(|text| text == quiet || text.contains("panic")), quiet);
    top.press("j\x1b[B");
    top.wait(|text| text.contains("-- mark 7"));
    top.press("/UDP");
    let filtered = top.wait(|text| text.contains("filter: UDP_") && text.contains("1 of 3 services"));
    assert!(
        filtered.lines().nth(2).unwrap().starts_with("udp 192.0.2.1:53") && filtered.lines().nth(3).unwrap().is_empty()
    );
    top.press("\x1b");
    top.wait(|text| text.contains("ipvs  3 services") && text.contains("q quit"));
    // Smaller: no details; larger: wider names, more servers.
    top.resize(8, 60);
    top.wait(|text| {
        text.lines().count() == 8 && !text.contains("--") && text.lines().last().unwrap().starts_with("q quit")
    });
    top.resize(40, 120);
    let large = top.wait(|text| text.lines().count() == 40 && text.contains("q quit"));
    assert!(large.lines().nth(1).unwrap().starts_with(&format!("{:<43} SCHED", "SERVICEv")), "{large}");
    top.press("?");
    top.wait(|text| text.contains("set the weight of the selected server") && text.contains("any key goes on"));
    top.press("x");
    top.wait(|text| !text.contains("any key goes on") && text.contains("q quit"));
    for (height, width, expected) in
        [(10, 40, include_str!("screens/top-40x10.txt")), (43, 132, include_str!("screens/top-132x43.txt"))]
    {
        top.resize(height, width);
        top.wait(|text| text.lines().count() == usize::from(height));
        top.press("g");
        let expected = expected.trim_end();
        assert_eq!(top.wait(|text| text == expected || text.contains("panic")), expected, "{height}x{width}");
    }
    top.resize(1, 10);
    top.wait(|text| text.trim() == "too small");
    top.resize(24, 80);
    // A key that comes in the same moment as the signal may be heard only with the next one:
    // crossterm asks once for both.
    top.wait(|text| text.lines().count() == 24 && text.contains("q quit"));
    top.press("g");
    assert_eq!(top.wait(|text| text == quiet), quiet);
    top.press("q");
    let (status, is_restored) = top.end();
    assert!(status.success() && is_restored, "{status}");
}

/// By the subcommands, which hold the lock and note what was drained; after a question.
#[test]
fn top_sets_weights_and_drains() {
    if is_elsewhere() {
        return;
    }
    let mut client = director(SERVICES.map(str::to_owned), 2);
    let key: ServiceKey = SERVICES[0].parse().unwrap();
    let mut weights = || -> Vec<u32> {
        let mut found = client.destinations(&key).unwrap();
        found.sort_by_key(|state| state.destination.address);
        found.iter().map(|state| state.destination.weight.get()).collect()
    };
    let weight_of_second = |text: &str, weight: &str| {
        let line = text.lines().find(|line| line.contains("127.0.0.2:5300"));
        line.is_some_and(|line| line.split_whitespace().nth(2) == Some(weight))
    };
    let mut top = Terminal::start("top --interval 0.2", 24, 80);
    top.press("S");
    top.wait(|text| text.contains("-- tcp 192.0.2.1:80") && weight_of_second(text, "1"));
    top.press("d");
    top.wait(|text| text.contains("Tab goes to the real servers"));
    top.press("\tj");
    top.wait(|text| text.contains("Tab back"));
    top.press("w");
    top.wait(|text| text.contains("weight of 127.0.0.2:5300: _"));
    top.press("7\r");
    top.wait(|text| text.contains("set weight 7 of 127.0.0.2:5300 at tcp 192.0.2.1:80? y/N"));
    top.press("n");
    top.wait(|text| text.contains("nothing was changed"));
    assert_eq!(weights(), [1, 1]);
    top.press("w7\ry");
    top.wait(|text| weight_of_second(text, "7"));
    assert_eq!(weights(), [1, 7]);
    top.press("d");
    top.wait(|text| text.contains("drain 127.0.0.2:5300 at tcp 192.0.2.1:80: weight 0, connections go on? y/N"));
    top.press("y");
    let drained = top.wait(|text| weight_of_second(text, "drain"));
    assert!(drained.contains("tcp 192.0.2.1:80             1/2"), "{drained}");
    assert_eq!(weights(), [1, 0]);
    top.press("uy");
    top.wait(|text| weight_of_second(text, "7"));
    assert_eq!(weights(), [1, 7]);
    top.press("q");
    assert!(top.end().0.success());
    let mut reader = Terminal::start("top --interval 0.2 --read-only tcp:192.0.2.1:80", 24, 80);
    reader.wait(|text| text.contains("ipvs  1 services") && weight_of_second(text, "7"));
    for key in ["\td", "w", "u"] {
        reader.press(key);
        reader.wait(|text| text.contains("--read-only: nothing is changed from here"));
    }
    reader.press("q");
    assert!(reader.end().0.success());
    assert_eq!(weights(), [1, 7]);
    let missing = Terminal::start("top tcp:192.0.2.1:81", 24, 80);
    missing.wait(|text| text.contains("there is no service tcp 192.0.2.1:81"));
    assert_eq!(missing.end().0.code(), Some(1));
}

/// Between the question and the end, another program is at work.
#[test]
fn top_reports_what_kept_a_change() {
    if is_elsewhere() {
        return;
    }
    let mut client = director(SERVICES.map(str::to_owned), 2);
    std::fs::create_dir_all("/run/ipvs-cli").unwrap();
    let namespace = std::fs::metadata("/proc/thread-self/ns/net").unwrap().ino();
    let lock = File::create(format!("/run/ipvs-cli/{namespace}.lock")).unwrap();
    lock.lock().unwrap();
    let mut top = Terminal::start("top --interval 0.2 tcp:192.0.2.1:80", 24, 80);
    top.wait(|text| text.contains("127.0.0.2:5300"));
    top.press("\tjw7\ry");
    top.wait(|text| text.contains("at work ..."));
    top.press("dy");
    top.wait(|text| text.contains("nothing was changed: the change before is still at work"));
    drop(lock);
    top.wait(|text| text.contains("127.0.0.2:5300 at tcp 192.0.2.1:80: weight 7, was 1"));
    top.press("d");
    top.wait(|text| text.contains("drain 127.0.0.2:5300 at tcp 192.0.2.1:80: weight 0, connections go on? y/N"));
    client.delete_service(&SERVICES[0].parse().unwrap()).unwrap();
    top.wait(|text| text.contains("there is no service tcp 192.0.2.1:80 any more"));
    top.press("y");
    top.wait(|text| text.lines().last().is_some_and(|line| line.starts_with("ipvs-cli: there is no service tcp ")));
    top.press("q");
    assert!(top.end().0.success());
}

#[test]
fn what_is_awaited_of_a_fifo_is_said() {
    if is_elsewhere() {
        return;
    }
    director(SERVICES.map(str::to_owned), 2);
    let fifo = "/tmp/desired.fifo";
    nix::unistd::mkfifo(fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let apply = Terminal::start(&format!("apply --dry-run --only mark:7 {fifo}"), 24, 132);
    apply.wait(|text| text.contains("waiting for a program that writes into /tmp/desired.fifo, which is a FIFO"));
    std::fs::write(fifo, "-A -f 7 -s rr\n").unwrap();
    apply.wait(|text| text.contains("deleted") && !text.contains("waiting for"));
    assert!(apply.end().0.success());
}

/// Without the right to watch netlink it is as ever.
#[test]
fn top_shows_the_last_change_and_who_made_it() {
    if is_elsewhere() {
        return;
    }
    let mut client = director(SERVICES.map(str::to_owned), 2);
    let devices = || {
        let text = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap();
        text.lines().filter(|line| line.trim_start().starts_with("ipvsmon")).count()
    };
    let client = std::cell::RefCell::new(&mut client);
    let add =
        |service: &str| client.borrow_mut().execute(&ipvs::Command::AddService(Service::new(service.parse().unwrap())));
    let delete = |key: &str| client.borrow_mut().execute(&ipvs::Command::DeleteService(key.parse().unwrap()));
    let mut top = Terminal::start("top", 24, 80);
    top.wait(|text| text.contains("3 services"));
    // Until it watches.
    let shown = top.wait(|text| {
        let _ = (add("mark 9"), delete("mark 9"));
        text.contains("last change ")
    });
    let shown = shown.lines().nth(22).unwrap();
    let own = std::fs::read_to_string("/proc/self/comm").unwrap();
    let start = format!("Z {}[{}]: -", own.trim_end(), std::process::id());
    assert!(shown.starts_with("last change ") && shown.contains(&start) && shown.contains(" -f 9"), "{shown}");
    // What is refused is no change.
    delete(SERVICES[1]).unwrap();
    assert!(add(SERVICES[0]).is_err());
    top.wait(|text| text.lines().nth(22).is_some_and(|line| line.ends_with(": -D -u 192.0.2.1:53")));
    top.press("q");
    assert!(top.end().0.success());
    assert_eq!(devices(), 0);
    let top = Terminal::start("top", 24, 80);
    while devices() == 0 {
        thread::yield_now();
    }
    top.close();
    assert_eq!(devices(), 0);
    let without = ["setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw"];
    let mut top = Terminal::start_by(&without, "top --interval 0.2", 24, 80, "xterm");
    top.wait(|text| text.contains("2 services"));
    delete(SERVICES[2]).unwrap();
    let shown = top.wait(|text| text.contains("1 services"));
    assert!(!shown.contains("last change") && shown.contains("q quit"), "{shown}");
    assert_eq!(devices(), 0);
    top.press("q");
    assert!(top.end().0.success());
}

#[test]
fn top_bears_odd_terminals() {
    if is_elsewhere() {
        return;
    }
    director(SERVICES.map(str::to_owned), 2);
    let quiet = include_str!("screens/top-80x24.txt").trim_end();
    for (height, width) in [(0, 0), (0, 80), (24, 0)] {
        let mut sizeless = Terminal::start("top --interval 0.2", height, width);
        sizeless.press("S");
        assert_eq!(sizeless.wait(|text| text == quiet), quiet, "{height}x{width}");
        sizeless.resize(8, 60);
        sizeless.wait(|text| text.lines().count() == 8 && text.contains("q quit"));
        for (height, width) in [(0, 60), (8, 0), (0, 0)] {
            sizeless.resize(height, width);
            assert_eq!(sizeless.wait(|text| text == quiet), quiet, "{height}x{width}");
            sizeless.resize(8, 60);
            sizeless.wait(|text| text.lines().count() == 8 && text.contains("q quit"));
        }
        sizeless.press("q");
        assert!(sizeless.end().0.success());
    }
    let dumb = Terminal::start_as("top", 24, 80, "dumb");
    dumb.wait(|text| text.contains("TERM is dumb"));
    assert_eq!(dumb.end().0.code(), Some(1));
}

/// Also if its caller ignores the signal, as nohup does.
#[test]
fn a_live_view_ends_when_its_terminal_is_closed() {
    if is_elsewhere() {
        return;
    }
    director(SERVICES.map(str::to_owned), 2);
    const HUP: i32 = 1;
    let nohup = ["sh", "-c", r#"trap "" HUP; exec "$0" "$@""#];
    let start = |by, words| Terminal::start_by(by, words, 24, 80, "xterm");
    let top = start(&[], "top --interval 0.2");
    top.wait(|text| text.contains("q quit"));
    let ended = top.close();
    assert!(ended.code() == Some(128 + HUP) || ended.signal() == Some(HUP), "{ended}");
    let top = start(&nohup, "top --interval 0.2");
    top.wait(|text| text.contains("q quit"));
    assert_eq!(top.close().code(), Some(128 + HUP));
    // It has nothing to say, so no write of it fails.
    let watch = start(&nohup, "watch --busy --interval 0.2");
    watch.wait_for_thread("hangup");
    assert_eq!(watch.close().code(), Some(128 + HUP));
}

/// The README's picture has the services, columns and keys of today. `cargo lab pictures` asks for
/// the screen, with curves: those take a while.
#[test]
fn top_is_as_in_its_picture() {
    let is_wanted = std::env::var_os("LAB_PICTURE").is_some();
    if !is_wanted && is_elsewhere() {
        return;
    }
    let _traffic = picture::begin();
    let mut top = Terminal::start("top --interval 2", 18, 100);
    let is_busy = |text: &str| {
        // The destinations of another service are read when that has become the first.
        text.contains("FORWARD") && text.contains("ipvs  6 services") && !text.contains("  0 conn/s")
    };
    let curve = if is_wanted { 8 } else { 0 };
    // The selected service's line ends with its curve.
    let curved = |text: &str| {
        text.lines()
            .nth(2)
            .is_some_and(|line| line.chars().rev().take_while(|letter| !letter.is_ascii()).count() >= curve)
    };
    let shown = top.wait(|text| is_busy(text) && curved(text));
    if is_wanted {
        println!("screen: {}", serde_json::to_string(&top.formatted()).unwrap());
    }
    top.press("q");
    assert!(top.end().0.success());
    // The heads of its columns and its keys. Of the destinations' table only the heads: which
    // service is first, traffic says.
    let frame = |screen: &str| {
        let lines: Vec<_> = screen.lines().map(str::trim_end).collect();
        let heads = lines.iter().find_map(|line| line.strip_prefix("-- ")).expect("destinations");
        let heads = heads.split_once("FORWARD").expect("their heads").1;
        [lines[1], heads, lines[lines.len() - 1]].map(str::to_owned)
    };
    let picture = std::fs::read_to_string("../../docs/pictures/top.svg").unwrap();
    let text = picture.split_once("<desc>").and_then(|(_, rest)| rest.split_once("</desc>")).expect("a description").0;
    assert_eq!(frame(text), frame(&shown), "`cargo lab pictures` draws it anew");
}

#[test]
fn top_gives_the_terminal_back() {
    if is_elsewhere() {
        return;
    }
    director(SERVICES.map(str::to_owned), 1);
    for (signal, keys, expected) in
        [(Some(Signal::SIGTERM), "", 143), (Some(Signal::SIGHUP), "", 129), (None, "\x03", 0)]
    {
        let mut top = Terminal::start("top", 24, 80);
        top.wait(|text| text.contains("3 services"));
        if let Some(signal) = signal {
            top.signal(signal);
        }
        top.press(keys);
        let (status, is_restored) = top.end();
        assert_eq!((status.code(), is_restored), (Some(expected), true), "{signal:?}");
    }
}

#[test]
fn top_refreshes() {
    let services = std::env::var("TOP_SERVICES").map_or(300, |text| text.parse().unwrap());
    if is_elsewhere() {
        return;
    }
    director((0..services).map(|number: u32| format!("tcp 10.{}.{}.1:80", number / 250, number % 250)), 5);
    let begun = Instant::now();
    let mut top = Terminal::start("top --interval 1", 24, 80);
    top.wait(|text| text.contains(&format!("ipvs  {services} services")) && text.contains("127.0.0.5:5300"));
    let first = begun.elapsed();
    let mut slowest = Duration::ZERO;
    // Down to the middle of the second page, and a look at each key's effect.
    for number in 1..=20 {
        let begun = Instant::now();
        top.press("j");
        top.wait(|text| text.contains(&format!("-- tcp 10.0.{number}.1:80")));
        slowest = slowest.max(begun.elapsed());
    }
    let begun = Instant::now();
    top.press("G");
    top.wait(|text| text.contains(&format!("-- tcp 10.{}.{}.1:80", (services - 1) / 250, (services - 1) % 250)));
    slowest = slowest.max(begun.elapsed());
    let (before, time, begun) = (top.bytes(), top.processor_time(), Instant::now());
    thread::sleep(Duration::from_secs(4));
    let (bytes, time, rounds) = (top.bytes() - before, top.processor_time() - time, begun.elapsed().as_secs_f64());
    println!(
        "{services} services x 5: first screen after {} ms, a key obeyed in at most {} ms; each second's refresh {:.0} ms of \
         processor, {:.0} bytes where nothing changes",
        first.as_millis(),
        slowest.as_millis(),
        time.as_millis() as f64 / rounds,
        bytes as f64 / rounds,
    );
    top.press("q");
    assert!(top.end().0.success());
}

/// A UDP service of this machine that three clients use, and a look at its connections, by `conns`
/// and in `top`.
#[test]
fn connections_are_seen() {
    if is_elsewhere() {
        return;
    }
    let _client = director(["udp 127.0.0.10:53".to_owned()], 1);
    let server = UdpSocket::bind("127.0.0.1:5300").unwrap();
    for client in ["127.0.0.21:4001", "127.0.0.22:4002", "127.0.0.23:4003"] {
        let socket = UdpSocket::bind(client).unwrap();
        socket.send_to(b"?", "127.0.0.10:53").unwrap();
        server.recv(&mut [0; 8]).unwrap();
    }
    let conns = Terminal::start("conns --sort client --server 127.0.0.1:5300", 24, 90);
    let seen = conns.wait(|text| text.contains("127.0.0.23:4003"));
    assert!(conns.end().0.success());
    // But for the seconds that pass.
    let seen: Vec<_> = seen.lines().map(|line| line.rsplit_once(' ').unwrap().0.trim_end()).collect();
    assert_eq!(
        seen,
        [
            "CLIENT                SERVICE                    SERVER                STATE",
            "127.0.0.21:4001       udp 127.0.0.10:53          127.0.0.1:5300        UDP",
            "127.0.0.22:4002       udp 127.0.0.10:53          127.0.0.1:5300        UDP",
            "127.0.0.23:4003       udp 127.0.0.10:53          127.0.0.1:5300        UDP",
        ]
    );
    let mut top = Terminal::start("top", 24, 100);
    top.press("c");
    let seen = top.wait(|text| text.contains("-- udp 127.0.0.10:53: 3 entries"));
    assert!(
        ["127.0.0.21:4001", "127.0.0.22:4002", "127.0.0.23:4003"].iter().all(|client| seen.contains(client)),
        "{seen}"
    );
    for port in 5001..=5040 {
        let socket = UdpSocket::bind(("127.0.0.24", port)).unwrap();
        socket.send_to(b"?", "127.0.0.10:53").unwrap();
        server.recv(&mut [0; 8]).unwrap();
    }
    // To the last, and back to the first by the reverse order.
    top.press("\tG");
    top.wait(|text| text.contains(": 43 entries"));
    top.press("G");
    top.wait(|text| text.contains("127.0.0.24:5040") && !text.contains("127.0.0.21:4001"));
    top.press("r");
    top.wait(|text| text.contains("127.0.0.21:4001") && !text.contains("127.0.0.24:5040"));
    top.press("/5033");
    let found = top.wait(|text| text.contains(": 1 of 43 entries"));
    assert!(found.contains("127.0.0.24:5033") && !found.contains("4001"), "{found}");
    // Together they would be one key, Alt-v.
    top.press("\x1b");
    top.wait(|text| text.contains(": 43 entries"));
    top.press("v");
    let states = top.wait(|text| text.contains("SYN_RECV") && text.contains("127.0.0.1:5300"));
    let line = states.lines().find(|line| line.contains("127.0.0.1:5300")).unwrap();
    assert_eq!(line.split_whitespace().collect::<Vec<_>>(), ["127.0.0.1:5300", "0", "0", "0", "0", "43"]);
    top.press("q");
    assert!(top.end().0.success());
}

#[test]
fn watch_prints_what_happens() {
    if is_elsewhere() {
        return;
    }
    let _client = director(["udp 127.0.0.10:53".to_owned(), "mark 9".to_owned()], 1);
    let _server = UdpSocket::bind("127.0.0.1:5300").unwrap();
    let client = UdpSocket::bind("127.0.0.21:4001").unwrap();
    let stop = AtomicBool::new(false);
    let output = thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                client.send_to(b"?", "127.0.0.10:53").unwrap();
                thread::sleep(Duration::from_millis(5));
            }
        });
        let mut watch = Command::new(Target::IpvsCli.program().unwrap());
        let output = watch.args("watch --interval 2.5 --count 2 --busy".split(' ')).output();
        stop.store(true, Ordering::Relaxed);
        output.unwrap()
    });
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let last = text.lines().last().unwrap_or_default();
    assert!(last.contains("Z udp 127.0.0.10:53: ") && last.contains(" 0 active, 1 inactive"), "{text}");
    let packets = last.split_once("in ").unwrap().1.split(' ').next().unwrap().parse::<u32>().unwrap();
    assert!(packets > 0 && packets <= 200, "{text}");
    assert!(!text.contains("mark 9"), "it is idle: {text}");
}
