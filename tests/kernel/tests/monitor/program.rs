//! `ipvs-cli monitor`.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command as Program, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use ipvs::{Client, Command, Service};
use kernel_tests::sandbox;
use netlink_sys::protocols::{NETLINK_GENERIC, NETLINK_XFRM};
use netlink_sys::{Socket, SocketAddr};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::library::{devices, ip, ipvs_cli, ipvsadm, run};

/// A monitor that has begun to watch.
struct Running {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

fn start(words: &str) -> Running {
    start_under(Program::new(ipvs_cli()), words)
}

fn start_under(mut program: Program, words: &str) -> Running {
    let before = devices().len();
    program.args(words.split(' ')).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = program.spawn().unwrap();
    // By then it receives all that comes.
    while devices().len() == before || bound() == 0 || !all_are_up() {
        assert!(child.try_wait().unwrap().is_none(), "{}", stderr(&mut child));
        std::thread::yield_now();
    }
    let output = BufReader::new(child.stdout.take().unwrap());
    Running { child, output }
}

/// A device is set up after its socket is bound.
fn all_are_up() -> bool {
    let list = Program::new("ip").args(["-o", "link", "show", "type", "nlmon"]).output().unwrap();
    String::from_utf8(list.stdout).unwrap().lines().all(|line| line.contains(",UP"))
}

/// How many packet sockets are bound.
fn bound() -> usize {
    let text = fs::read_to_string("/proc/thread-self/net/packet").unwrap();
    text.lines().skip(1).filter(|line| line.split_ascii_whitespace().nth(4) != Some("0")).count()
}

fn stderr(child: &mut Child) -> String {
    let mut text = String::new();
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    text
}

impl Running {
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    /// Its exit status; by then its device is gone.
    fn end(mut self) -> Option<i32> {
        let status = self.child.wait().unwrap();
        assert_eq!(stderr(&mut self.child), "");
        status.code()
    }
}

/// Without the time in it.
fn untimed(line: &str) -> String {
    let (sign, rest) = line.split_at(2);
    let (time, rest) = rest.split_once(' ').unwrap();
    assert!(time.ends_with('Z') && time.len() == 24, "{line}");
    format!("{sign}{rest}")
}

fn scratch(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("monitor-{name}-{}", std::process::id()))
}

#[test]
fn a_signal_ends_it_and_removes_its_device() {
    sandbox::enter_network().unwrap();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let mut monitor = start("monitor");
        let mut client = Client::connect().unwrap();
        let own = fs::read_to_string("/proc/self/comm").unwrap();
        client.flush().unwrap();
        let line = untimed(&monitor.line());
        assert!(line.starts_with(&format!("  {}[{}]", own.trim_end(), std::process::id())), "{line}");
        assert!(line.ends_with(": -C\n"), "{line}");
        monitor.signal(signal);
        assert_eq!(monitor.end(), Some(0));
        assert_eq!(devices(), [""; 0], "{signal}");
    }
}

#[test]
fn a_killed_one_leaves_a_device_that_the_next_removes() {
    sandbox::enter_network().unwrap();
    let killed = start("monitor");
    killed.signal(Signal::SIGKILL);
    assert_eq!(killed.end(), None);
    assert_eq!(devices().len(), 1);
    let before = devices();
    let mut child = Program::new(ipvs_cli()).args(["monitor"]).stdout(Stdio::null()).spawn().unwrap();
    while devices() == before || devices().len() != 1 {
        std::thread::yield_now();
    }
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
    child.wait().unwrap();
    assert_eq!(devices(), [""; 0]);
}

#[test]
fn a_closed_pipe_ends_it_and_removes_its_device() {
    sandbox::enter_network().unwrap();
    let Running { mut child, output } = start("monitor");
    drop(output);
    Client::connect().unwrap().flush().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!((stderr(&mut child), devices()), (String::new(), Vec::new()));
}

#[test]
fn two_see_the_same_and_a_recording_leads_to_the_same_table() {
    sandbox::enter_network().unwrap();
    let file = scratch("record");
    let _ = fs::remove_file(&file);
    let mut recording = start(&format!("monitor --json --record {}", file.display()));
    let mut filtered = start("monitor --compare 0 --server 192.0.2.12 --count 2");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let lines = [
        "-A -t 192.0.2.1:80 -s rr",
        "-a -t 192.0.2.1:80 -r 192.0.2.11 -m -w 3",
        "-a -t 192.0.2.1:80 -r 192.0.2.12 -m",
        "-a -t 192.0.2.1:80 -r 192.0.2.12 -m",
        "-A -f 7 -s sh -p 60",
        "-D -f 8",
    ];
    for (number, line) in lines.into_iter().enumerate() {
        run(&if number % 2 == 0 { ipvsadm() } else { ipvs_cli() }, line, "");
        assert!(recording.line().starts_with("{\"version\": 1, \"time\": \""));
    }
    let ends = [": -a -t 192.0.2.1:80 -r 192.0.2.12:80 -m -w 1\n", "-w 1 - refused: the destination exists already\n"];
    for (sign, end) in [' ', '!'].into_iter().zip(ends) {
        let line = filtered.line();
        assert!(line.starts_with(sign) && line.ends_with(end), "{line}");
    }
    assert_eq!(filtered.end(), Some(0));
    recording.signal(Signal::SIGTERM);
    assert_eq!(recording.end(), Some(0));
    let saved = || Program::new(ipvsadm()).args(["-S", "-n"]).output().unwrap().stdout;
    let table = saved();
    sandbox::enter_network().unwrap();
    let replay = |words: &str| {
        let words = format!("monitor --replay {} {words}", file.display());
        let output = Program::new(ipvs_cli()).args(words.trim_end().split(' ')).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(replay("").lines().count(), lines.len());
    assert_eq!(
        replay("mark:8").lines().map(untimed).filter(|line| line.contains("there is no such service")).count(),
        1
    );
    run(&ipvs_cli(), "-R", &replay("--rules"));
    assert_eq!(String::from_utf8(saved()).unwrap(), String::from_utf8(table).unwrap());
    // What is there is not written over.
    let words = format!("monitor --record {}", file.display());
    let output = Program::new(ipvs_cli()).args(words.split(' ')).output().unwrap();
    assert_eq!((output.status.code(), devices()), (Some(2), Vec::new()));
    assert!(String::from_utf8_lossy(&output.stderr).contains("File exists"), "{output:?}");
    fs::remove_file(file).unwrap();
}

/// A message of this type with this text in it, to a protocol of netlink.
fn send(protocol: isize, kind: u16, text: &str) {
    let mut message = Vec::new();
    message.extend(u32::try_from(20 + text.len()).unwrap().to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    // A request with an acknowledgement, which repeats it.
    message.extend(5_u16.to_ne_bytes());
    message.extend(1_u32.to_ne_bytes());
    message.extend([0; 4]);
    message.extend([0; 4]);
    message.extend(text.as_bytes());
    let socket = Socket::new(protocol).unwrap();
    socket.connect(&SocketAddr::new(0, 0)).unwrap();
    socket.send(&message, 0).unwrap();
}

/// The packets that reach the process, by strace.
#[test]
fn no_message_but_those_of_ipvs_reaches_the_process() {
    sandbox::enter_network().unwrap();
    let log = scratch("strace");
    let mut strace = Program::new("strace");
    strace
        .args(["-f", "-qq", "-s", "65536", "-e", "trace=recvfrom,recvmsg,recvmmsg,read", "-o"])
        .arg(&log)
        .arg(ipvs_cli());
    let mut monitor = start_under(strace, "monitor --count 2");
    for _ in 0..10 {
        // The controller, a family that there may be and one that there is not; IPsec:
        // XFRM_MSG_NEWSA.
        for kind in [0x10, 0x11, 0x12, 0x13, 0x3ff] {
            send(NETLINK_GENERIC, kind, "THE-PRIVATE-KEY-OF-WIREGUARD");
        }
        send(NETLINK_XFRM, 0x10, "THE-PRIVATE-KEY-OF-IPSEC");
    }
    // This reaches it, so the log would show the others.
    run(&ipvsadm(), "-A -t 192.0.2.1:80 -s seen-by-strace", "");
    Client::connect().unwrap().execute(&Command::AddService(Service::new("mark 1".parse().unwrap()))).unwrap();
    assert!(monitor.line().contains("seen-by-strac"));
    monitor.line();
    assert_eq!(monitor.end(), Some(0));
    let text = fs::read_to_string(&log).unwrap();
    assert!(text.contains("seen-by-strac"), "{text}");
    assert!(!text.contains("PRIVATE"), "{text}");
    fs::remove_file(log).unwrap();
}

#[test]
fn what_is_missing_is_named() {
    sandbox::enter_network().unwrap();
    let output = Program::new("unshare").args(["-Urn"]).arg(ipvs_cli()).arg("monitor").output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("CAP_NET_ADMIN in the initial user namespace"), "{stderr}");
    // Without raw sockets it polls, and says why.
    let mut polling = Program::new("setpriv");
    polling.args(["--bounding-set=-net_raw", "--inh-caps=-net_raw"]).arg(ipvs_cli());
    polling.args(["monitor", "--compare", "0.1", "--count", "1"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = polling.spawn().unwrap();
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    errors.read_line(&mut line).unwrap();
    assert!(line.contains("CAP_NET_RAW") && line.contains("compared at intervals"), "{line}");
    // The first reading may not have been made yet.
    let mut number = 0;
    while child.try_wait().unwrap().is_none() {
        number += 1;
        let service = Service::new(format!("mark {number}").parse().unwrap());
        Client::connect().unwrap().execute(&Command::AddService(service)).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert!(untimed(&text).starts_with("? found by comparing: -A -f "), "{text}");
}

#[test]
fn a_device_of_another_program_is_used_with_a_warning() {
    sandbox::enter_network().unwrap();
    ip("link add nlmon7 type nlmon");
    ip("link set nlmon7 up");
    let mut command = Program::new(ipvs_cli());
    command.args("monitor --device nlmon7 --count 1".split(' ')).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ipvs-cli: with a device that is not its own, any user here can forge outcomes and senders\n");
    Client::connect().unwrap().flush().unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(devices(), ["nlmon7"]);
}

#[test]
fn a_device_that_is_not_there_is_an_error() {
    sandbox::enter_network().unwrap();
    let mut command = Program::new(ipvs_cli());
    let output = command.arg0("ipvs-cli").args(["monitor", "--device", "nlmon9"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let message = "ipvs-cli: there is no nlmon device nlmon9: ip link add nlmon9 type nlmon; ip link set nlmon9 up\n";
    assert_eq!(String::from_utf8(output.stderr).unwrap(), message);
    let output = Program::new(ipvs_cli()).arg0("ipvs-cli").args(["monitor", "--device", "lo"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "ipvs-cli: lo is not an nlmon device\n");
}

/// What a monitor says that can't go on, and its status.
fn end_of(mut monitor: Running) -> (Option<i32>, String) {
    let status = monitor.child.wait().unwrap();
    (status.code(), stderr(&mut monitor.child))
}

#[test]
fn a_device_that_is_removed_or_set_down_ends_it() {
    sandbox::enter_network().unwrap();
    for words in ["link del ", "link set down "] {
        let monitor = start("monitor");
        ip(&format!("{words}{}", devices()[0]));
        let message = "ipvs-cli: the nlmon device was removed or set down: changes are no longer seen\n";
        assert_eq!(end_of(monitor), (Some(2), message.to_owned()), "{words}");
        assert_eq!(devices(), [""; 0]);
    }
}

#[test]
fn a_network_namespace_may_be_deleted_while_it_is_watched() {
    sandbox::enter_network_and_mounts().unwrap();
    fs::create_dir_all("/run/netns").unwrap();
    ip("netns add watched");
    let mut program = Program::new(ipvs_cli());
    program
        .args("--netns watched monitor".split(' '))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = program.spawn().unwrap();
    let inside = |words: &str| {
        let program = ipvs_cli();
        let words = format!("netns exec watched {} {words}", program.display());
        let output = Program::new("ip").args(words.split(' ')).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    // It sees the first change that is made after it has begun.
    let is_seen = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_seen.load(Ordering::Relaxed) {
                inside("-C");
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
        });
        output.read_line(&mut line).unwrap();
        is_seen.store(true, Ordering::Relaxed);
    });
    assert!(line.ends_with(": -C\n"), "{line}");
    ip("netns del watched");
    let monitor = Running { child, output };
    monitor.signal(Signal::SIGTERM);
    assert_eq!(monitor.end(), Some(0));
}

#[test]
fn a_full_disk_ends_it_with_an_error_and_without_a_device() {
    sandbox::enter_network_and_mounts().unwrap();
    let place = "/tmp/small";
    fs::create_dir_all(place).unwrap();
    let mounted = Program::new("mount").args(["-t", "tmpfs", "-o", "size=4k", "tmpfs", place]).status().unwrap();
    assert!(mounted.success());
    let monitor = start(&format!("monitor --record {place}/changes.jsonl"));
    let mut client = Client::connect().unwrap();
    // Some have room.
    for _ in 0..100 {
        client.flush().unwrap();
    }
    let message = format!("ipvs-cli: {place}/changes.jsonl: No space left on device (os error 28)\n");
    assert_eq!(end_of(monitor), (Some(2), message));
    assert_eq!(devices(), [""; 0]);
    let recorded = fs::read_to_string(format!("{place}/changes.jsonl")).unwrap();
    assert!(recorded.starts_with("{\"version\": 1, "), "{recorded}");
}

#[test]
fn nothing_that_is_there_is_recorded_into() {
    sandbox::enter_network().unwrap();
    let (directory, target) = (scratch("places"), scratch("target"));
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir(&directory).unwrap();
    fs::write(&target, "kept").unwrap();
    let place = |name: &str| directory.join(name);
    fs::write(place("file"), "kept").unwrap();
    std::os::unix::fs::symlink(&target, place("link")).unwrap();
    std::os::unix::fs::symlink(place("nowhere"), place("dangling")).unwrap();
    nix::unistd::mkfifo(&place("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    fs::create_dir(place("directory")).unwrap();
    for name in ["file", "link", "dangling", "fifo", "directory"] {
        let output = Program::new(ipvs_cli()).args(["monitor", "--record"]).arg(place(name)).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains("File exists"), "{name}: {said}");
        assert_eq!(devices(), [""; 0], "{name}");
    }
    assert_eq!([fs::read_to_string(&target).unwrap(), fs::read_to_string(place("file")).unwrap()], ["kept", "kept"]);
    assert!(!place("nowhere").exists());
    fs::remove_dir_all(directory).unwrap();
    fs::remove_file(target).unwrap();
}

/// It does nothing while more comes than fits.
#[test]
fn what_comes_too_fast_is_reported_as_lost_and_found_by_comparing() {
    sandbox::enter_network().unwrap();
    let mut monitor = start("monitor");
    let mut client = Client::connect().unwrap();
    client.flush().unwrap();
    assert!(monitor.line().ends_with(": -C\n"));
    monitor.signal(Signal::SIGSTOP);
    let lost = || {
        let text = fs::read_to_string("/proc/thread-self/net/packet").unwrap();
        let queued = |line: &str| line.split_ascii_whitespace().nth(6).unwrap().parse::<u64>().unwrap();
        text.lines().skip(1).map(queued).max().unwrap()
    };
    let mut before = 0;
    // Until its buffer does not grow any more.
    loop {
        for _ in 0..2000 {
            client.zero(None).unwrap();
        }
        let now = lost();
        if now == before {
            break;
        }
        before = now;
    }
    let service = Service::new("mark 9".parse().unwrap());
    client.execute(&Command::AddService(service)).unwrap();
    monitor.signal(Signal::SIGCONT);
    let lines = std::iter::from_fn(|| Some(monitor.line()));
    let mut rest = lines.skip_while(|line| !line.contains(" packets were lost: "));
    assert!(rest.next().unwrap().starts_with("? "));
    let found = rest.find(|line| line.contains("found by comparing")).unwrap();
    drop(rest);
    assert!(found.ends_with(": -A -f 9 -s wlc\n"), "{found}");
    monitor.signal(Signal::SIGTERM);
    assert_eq!(monitor.end(), Some(0));
}
