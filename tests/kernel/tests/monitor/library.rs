//! The library's monitor. Many programs at once: `programs/monitor.rs`.

use std::io::Write;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command as Program, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use ipvs::monitor::{Action, DeviceFault, Event, EventKind, Monitor, MonitorBuilder, MonitorError, Outcome, Sender};
use ipvs::netns::Namespace;
use ipvs::{Client, Command, CommandKind, Errno, InterfaceName, Service, ServiceKey, change::Planner};
use kernel_tests::sandbox;
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

/// No test waits for as long, unless something is wrong.
const PATIENCE: Duration = Duration::from_secs(120);

pub(super) fn ipvsadm() -> PathBuf {
    std::env::var_os("IPVSADM").expect("the lab sets IPVSADM").into()
}

pub(super) fn ipvs_cli() -> PathBuf {
    std::env::var_os("IPVS_CLI").expect("the lab sets IPVS_CLI").into()
}

/// Runs a program with these words and this input, and returns its process id.
pub(super) fn run(path: &PathBuf, words: &str, input: &str) -> u32 {
    let mut command = Program::new(path);
    command.arg0("ipvsadm").args(words.split(' ')).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait().unwrap();
    child.id()
}

pub(super) fn ip(words: &str) {
    let output = Program::new("ip").args(words.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {words}: {}", String::from_utf8_lossy(&output.stderr));
}

fn key(number: u32) -> ServiceKey {
    format!("tcp 192.0.2.{}:{}", number / 50_000, number % 50_000 + 1).parse().unwrap()
}

fn add(number: u32) -> Command {
    Command::AddService(Service::new(key(number)))
}

fn monitor() -> MonitorBuilder {
    Monitor::builder().without_comparison()
}

/// The next events, as many as asked for.
fn next(monitor: &mut Monitor, count: usize) -> Vec<Event> {
    let end = Instant::now() + PATIENCE;
    let mut events = Vec::new();
    while events.len() < count {
        let event = monitor.next_before(end).unwrap();
        assert!(event.is_some() || Instant::now() < end, "only {events:?}");
        events.extend(event);
    }
    events
}

fn request(event: &Event) -> (&Sender, &Action, Outcome) {
    match &event.kind {
        EventKind::Request { sender, action, outcome } => (sender, action, *outcome),
        other => panic!("{other:?}"),
    }
}

/// Commands and outcomes.
fn changes(events: &[Event]) -> Vec<(String, Outcome)> {
    let change = |event| {
        let (_, action, outcome) = request(event);
        (action.command().unwrap_or_else(|| panic!("{action:?}")).to_string(), outcome)
    };
    events.iter().map(change).collect()
}

fn is_quiet(monitor: &mut Monitor) -> bool {
    monitor.next_before(Instant::now() + Duration::from_millis(200)).unwrap().is_none()
}

/// The interfaces of this thread's network namespace.
pub(super) fn devices() -> Vec<String> {
    let text = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap();
    let name = |line: &str| Some(line.split_once(':')?.0.trim().to_owned());
    text.lines().filter_map(name).filter(|name| name.contains("mon")).collect()
}

#[test]
fn each_command_of_each_program_is_seen_with_its_outcome() {
    sandbox::enter_network().unwrap();
    let mut monitor = monitor().open().unwrap();
    let refused = Outcome::Refused;
    for (path, words, input, expected) in [
        (ipvsadm(), "-A -t 192.0.2.1:80 -s rr", "", vec![("-A -t 192.0.2.1:80 -s rr", Outcome::Accepted)]),
        (ipvsadm(), "-A -t 192.0.2.1:80", "", vec![("-A -t 192.0.2.1:80 -s wlc", refused(Errno::EEXIST))]),
        (ipvs_cli(), "-D -t 192.0.2.1:81", "", vec![("-D -t 192.0.2.1:81", refused(Errno::ESRCH))]),
        (ipvs_cli(), "--set 60 0 0", "", vec![("--set 60 0 0", Outcome::Accepted)]),
        (
            ipvs_cli(),
            "-R",
            "-A -f 1\n-A -f 1\n-a -f 1 -r 192.0.2.9 -i\n-a -f 2 -r 192.0.2.9\n-E -f 1 -s sed\n",
            vec![
                ("-A -f 1 -s wlc", Outcome::Accepted),
                ("-A -f 1 -s wlc", refused(Errno::EEXIST)),
                ("-a -f 1 -r 192.0.2.9:0 -i -w 1 --tun-type ipip", Outcome::Accepted),
                ("-a -f 2 -r 192.0.2.9:0 -g -w 1", refused(Errno::ESRCH)),
                ("-E -f 1 -s sed", Outcome::Accepted),
            ],
        ),
        (ipvsadm(), "-Z", "", vec![("-Z", Outcome::Accepted)]),
        (ipvsadm(), "-C", "", vec![("-C", Outcome::Accepted)]),
    ] {
        let pid = run(&path, words, input);
        let events = next(&mut monitor, expected.len());
        let expected: Vec<_> = expected.into_iter().map(|(rule, outcome)| (rule.to_owned(), outcome)).collect();
        assert_eq!(changes(&events), expected, "{words}");
        for event in &events {
            // The program is gone by now, or was seen in time; it is never taken for another.
            let (sender, ..) = request(event);
            assert!(sender.port.is_some() && sender.process.as_ref().is_none_or(|process| process.pid == pid));
        }
    }
    // One that lives is named.
    let mut client = Client::connect().unwrap();
    client.execute(&add(1)).unwrap();
    let events = next(&mut monitor, 1);
    let process = request(&events[0]).0.process.clone().unwrap();
    assert_eq!(process.pid, std::process::id());
    assert_eq!(process.name, std::fs::read_to_string("/proc/self/comm").unwrap().trim_end());
    assert!(process.parent.is_some());
    assert!(is_quiet(&mut monitor));
}

#[test]
fn readings_are_seen_on_request() {
    sandbox::enter_network().unwrap();
    let mut client = Client::connect().unwrap();
    client.execute(&add(1)).unwrap();
    client.add_destination(&key(1), &ipvs::Destination::new("127.0.0.1:80".parse().unwrap())).unwrap();
    let mut monitor = Monitor::builder().reads(true).compare_every(Duration::from_millis(100)).open().unwrap();
    run(&ipvsadm(), "-L -n", "");
    let kinds = |events: &[Event]| -> Vec<CommandKind> {
        let kind = |event| match request(event).1 {
            Action::Read { what, .. } => *what,
            other => panic!("{other:?}"),
        };
        events.iter().map(kind).collect()
    };
    let expected = [CommandKind::GetInfo, CommandKind::GetService, CommandKind::GetDestinations];
    assert_eq!(kinds(&next(&mut monitor, 3)), expected);
}

#[test]
fn all_that_a_client_sends_at_once_is_seen() {
    sandbox::enter_network().unwrap();
    let mut monitor = monitor().open().unwrap();
    let commands: Vec<_> = (0..1000).map(add).collect();
    let mut client = Client::connect().unwrap();
    client.execute_all(&commands).unwrap();
    let seen: Vec<_> =
        next(&mut monitor, commands.len()).iter().map(|event| request(event).1.command().copied()).collect();
    assert_eq!(seen, commands.into_iter().map(Some).collect::<Vec<_>>());
    assert!(is_quiet(&mut monitor));
}

#[test]
fn a_device_goes_with_its_monitor_and_a_left_over_one_with_the_next() {
    sandbox::enter_network().unwrap();
    ip("link add nlmon0 type nlmon");
    ip("link add ipvsmon999999 type nlmon");
    ip("link add ipvsmon7 type dummy");
    let first = monitor().open().unwrap();
    let own = format!("ipvsmon{}", std::process::id());
    assert_eq!(devices(), ["nlmon0", "ipvsmon7", &own]);
    let second = monitor().open().unwrap();
    assert_eq!(devices(), ["nlmon0", "ipvsmon7", &own, &format!("{own}a")]);
    drop(first);
    assert_eq!(devices(), ["nlmon0", "ipvsmon7", &format!("{own}a")]);
    drop(second);
    assert_eq!(devices(), ["nlmon0", "ipvsmon7"]);
}

#[test]
fn a_device_that_is_there_is_used() {
    sandbox::enter_network().unwrap();
    let nlmon = InterfaceName::new("nlmon7").unwrap();
    let open = || monitor().device(nlmon).open();
    assert!(matches!(open(), Err(MonitorError::Device { fault: DeviceFault::Missing, .. })));
    ip("link add nlmon7 type nlmon");
    assert!(matches!(open(), Err(MonitorError::Device { fault: DeviceFault::Down, .. })));
    ip("link set nlmon7 up");
    let (mut one, mut two) = (open().unwrap(), open().unwrap());
    Client::connect().unwrap().execute(&add(1)).unwrap();
    for monitor in [&mut one, &mut two] {
        assert_eq!(changes(&next(monitor, 1)), [("-A -t 192.0.2.0:2 -s wlc".to_owned(), Outcome::Accepted)]);
    }
    drop(one);
    ip("link del nlmon7");
    let error = two.next().unwrap().unwrap_err();
    assert!(matches!(error, MonitorError::DeviceGone), "{error}");
    assert!(two.next().is_none());
}

/// Adds a service as old versions of ipvsadm do.
fn add_by_setsockopt(port: u16) {
    let mut service = [0_u8; 44];
    service[..2].copy_from_slice(&6_u16.to_ne_bytes());
    service[4..8].copy_from_slice(&Ipv4Addr::new(192, 0, 2, 1).octets());
    service[8..10].copy_from_slice(&port.to_be_bytes());
    service[16..18].copy_from_slice(b"rr");
    service[40..44].copy_from_slice(&[255; 4]);
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let add = 64 + 1024 + 64 + 2;
    // SAFETY: the socket is open, and the kernel reads as many bytes as are there.
    #[allow(unsafe_code)]
    let status = unsafe { libc::setsockopt(socket.as_raw_fd(), libc::IPPROTO_IP, add, service.as_ptr().cast(), 44) };
    assert_eq!(status, 0, "{}", std::io::Error::last_os_error());
}

#[test]
fn a_change_by_setsockopt_is_found_by_comparing() {
    sandbox::enter_network().unwrap();
    Client::connect().unwrap().execute(&add(1)).unwrap();
    let mut monitor = Monitor::builder().compare_every(Duration::from_millis(300)).open().unwrap();
    add_by_setsockopt(80);
    let events = next(&mut monitor, 1);
    let service: Service = Service::new("tcp 192.0.2.1:80".parse().unwrap()).with_scheduler(ipvs::Scheduler::RR);
    assert_eq!(events[0].kind, EventKind::Found(Command::AddService(service)));
    // What was seen is not found again, while the table is read all the time.
    let mut client = Client::connect().unwrap();
    for number in 2..100 {
        client.execute(&add(number)).unwrap();
        thread::sleep(Duration::from_millis(10));
    }
    for event in next(&mut monitor, 98) {
        assert!(matches!(event.kind, EventKind::Request { .. }), "{event:?}");
    }
    assert!(is_quiet(&mut monitor));
}

/// Times of events are the clock's, and nothing else depends on it.
#[test]
fn a_clock_that_jumps_ends_nothing() {
    sandbox::enter_network().unwrap();
    let mut monitor = Monitor::builder().compare_every(Duration::from_millis(300)).open().unwrap();
    let mut client = Client::connect().unwrap();
    let set = |seconds: i64| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let then = format!("@{}", now.cast_signed() + seconds);
        assert!(Program::new("date").args(["-s", &then]).stdout(Stdio::null()).status().unwrap().success());
    };
    for (number, jump) in (1..).zip([-100_000, 300_000, -200_000]) {
        let before = std::time::SystemTime::now();
        set(jump);
        client.execute(&add(number)).unwrap();
        let events = next(&mut monitor, 1);
        assert_eq!(changes(&events), [(add(number).to_string(), Outcome::Accepted)]);
        assert_eq!(events[0].time < before, jump < 0);
        add_by_setsockopt(number.try_into().unwrap());
        assert!(matches!(next(&mut monitor, 1)[0].kind, EventKind::Found(Command::AddService(_))));
    }
}

#[test]
fn only_the_namespace_that_was_asked_for_is_watched() {
    sandbox::enter_network().unwrap();
    let there = Namespace::of_this_thread().unwrap();
    sandbox::enter_network().unwrap();
    let mut monitor = Monitor::builder().namespace(there.clone()).open().unwrap();
    assert_eq!(devices(), [""; 0]);
    Client::connect().unwrap().execute(&add(1)).unwrap();
    let mut client = there.within(|| Client::connect().unwrap()).unwrap();
    client.execute(&add(2)).unwrap();
    let events = next(&mut monitor, 1);
    assert_eq!(changes(&events), [("-A -t 192.0.2.0:3 -s wlc".to_owned(), Outcome::Accepted)]);
    assert_eq!(request(&events[0]).0.process.as_ref().unwrap().pid, std::process::id());
    assert!(is_quiet(&mut monitor));
    drop(monitor);
    assert_eq!(there.within(devices).unwrap(), [""; 0]);
}

#[test]
fn a_missing_capability_is_named() {
    sandbox::enter_network().unwrap();
    for lost in [CapabilitySet::NET_RAW, CapabilitySet::NET_ADMIN] {
        let check = move || {
            let mut sets = capabilities(None).unwrap();
            sets.effective -= lost;
            sets.permitted -= lost;
            set_capabilities(None, sets).unwrap();
            let error = monitor().open().unwrap_err();
            assert!(matches!(error, MonitorError::NotPermitted { .. }), "{error}");
            assert_eq!(devices(), [""; 0]);
        };
        thread::spawn(check).join().unwrap();
    }
    // Polling takes what reading takes.
    let mut monitor = Monitor::builder().compare_every(Duration::from_millis(100)).open_polling().unwrap();
    let mut client = Client::connect().unwrap();
    client.execute(&add(1)).unwrap();
    assert_eq!(next(&mut monitor, 1)[0].kind, EventKind::Found(add(1)));
    client.reconcile(&ipvs::Table::new(), &Planner::new().only_services()).unwrap();
    assert_eq!(next(&mut monitor, 1)[0].kind, EventKind::Found(Command::DeleteService(key(1))));
}

#[test]
fn tasks_see_the_same() {
    sandbox::enter_network().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let monitor = Monitor::builder().compare_every(Duration::from_millis(200)).open().unwrap();
        let mut monitor = monitor.into_async().unwrap();
        let mut client = ipvs::AsyncClient::connect().await.unwrap();
        for number in 1..200 {
            client.execute(&add(number)).await.unwrap();
            let event = tokio::time::timeout(PATIENCE, monitor.next_event()).await.unwrap().unwrap().unwrap();
            let (sender, action, outcome) = request(&event);
            assert_eq!((action.command(), outcome), (Some(&add(number)), Outcome::Accepted));
            assert_eq!(sender.process.as_ref().unwrap().pid, std::process::id());
        }
        add_by_setsockopt(80);
        let event = tokio::time::timeout(PATIENCE, monitor.next_event()).await.unwrap().unwrap().unwrap();
        assert!(matches!(event.kind, EventKind::Found(Command::AddService(_))), "{event:?}");
    });
}
