//! `ipvs-cli monitor`.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command as Program, Stdio};

use ipvs::{Client, Command, Service};
use kernel_tests::sandbox;
use netlink_sys::protocols::{NETLINK_GENERIC, NETLINK_XFRM};
use netlink_sys::{Socket, SocketAddr};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::library::{devices, ipvs_cli, ipvsadm, run};

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
    while devices().len() == before || bound() == 0 {
        assert!(child.try_wait().unwrap().is_none(), "{}", stderr(&mut child));
        std::thread::yield_now();
    }
    let output = BufReader::new(child.stdout.take().unwrap());
    Running { child, output }
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
    let ends = [": -a -t 192.0.2.1:80 -r 192.0.2.12:80 -m -w 1\n", "-w 1 - refused: Destination already exists\n"];
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
    assert_eq!(replay("mark:8").lines().map(untimed).filter(|line| line.contains("No such service")).count(), 1);
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
fn a_device_that_is_not_there_is_an_error() {
    sandbox::enter_network().unwrap();
    let mut command = Program::new(ipvs_cli());
    let output = command.arg0("ipvs-cli").args(["monitor", "--device", "nlmon9"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let message = "ipvs-cli: there is no nlmon device nlmon9: ip link add nlmon9 type nlmon; ip link set nlmon9 up\n";
    assert_eq!(String::from_utf8(output.stderr).unwrap(), message);
}
