//! What the program touches outside of itself: ports and files.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Command;

use super::world::{World, program, scratch, strace};

/// What a director is asked for in a day. Each with what it reads.
const DAY: [(&str, &str); 12] = [
    ("apply -", "-A -t 192.0.2.1:80 -s rr\n-a -t 192.0.2.1:80 -r 192.0.2.11 -m\n-A -f 7\n"),
    ("diff -", "-C\n"),
    ("show --json", ""),
    ("-L -n", ""),
    ("-S -n", ""),
    ("conns", ""),
    ("metrics --destinations --connections", ""),
    ("watch --interval 0.1 --count 1", ""),
    ("drain --force tcp:192.0.2.1:80 192.0.2.11:80", ""),
    ("undrain tcp:192.0.2.1:80 192.0.2.11:80", ""),
    ("doctor", ""),
    ("restore --line-by-line", "-A -f 7\n"),
];

/// The system calls of a run, a line each.
fn calls(world: &World, trace: &str, arguments: &str, input: &str) -> String {
    let log = scratch("outside");
    let mut command = strace(&[&format!("trace={trace}")], &log);
    command.arg(program()).args(arguments.split(' '));
    let done = world.start(command, input).wait_with_output().unwrap();
    assert!(
        done.status.code().is_some_and(|status| status < 2),
        "{arguments}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    let text = fs::read_to_string(&log).unwrap();
    fs::remove_file(&log).unwrap();
    text
}

#[test]
fn only_metrics_listen_opens_a_port() {
    let world = World::new();
    let mut is_seen = false;
    for (arguments, input) in DAY {
        let text = calls(&world, "socket,bind,listen", arguments, input);
        let opens = |line: &str| line.contains("listen(") || line.contains("bind(") && line.contains("AF_INET");
        assert!(!text.lines().any(opens), "{arguments}: {text}");
        is_seen |= text.contains("socket(");
    }
    assert!(is_seen);
    let mut command = Command::new(program());
    command.args(["metrics", "--listen", "0"]);
    let mut child = world.start(command, "");
    // By then it listens.
    child.stdout.as_mut().unwrap().read_exact(&mut [0; 16]).unwrap();
    let sockets = fs::read_to_string(format!("/proc/{}/net/tcp", child.id())).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let is_listening = |line: &str| line.split_ascii_whitespace().nth(3) == Some("0A");
    assert_eq!(sockets.lines().filter(|line| is_listening(line)).count(), 1, "{sockets}");
}

/// A security module may refuse to accept connections. Clients that are there are served all the
/// same, and others when it no longer does.
#[test]
fn a_refusal_to_accept_drops_no_client() {
    let world = World::new();
    // The second call and some more, of which the second is the one that finds no further client.
    let mut command = strace(&["trace=accept4", "inject=accept4:error=EPERM:when=2..5"], "/dev/null");
    // So that it is the program itself that is ended below.
    command.arg("-D").arg(program()).args(["metrics", "--listen", "0"]);
    let mut child = world.start(command, "");
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let at = line.trim_end().strip_prefix("listening on http://").and_then(|rest| rest.strip_suffix("/metrics"));
    let at = at.unwrap_or_else(|| panic!("{line}"));
    let ask = |connection: &mut TcpStream| connection.write_all(b"GET / HTTP/1.1\r\n");
    let mut first = TcpStream::connect(at).unwrap();
    ask(&mut first).unwrap();
    let mut second = TcpStream::connect(at).unwrap();
    ask(&mut second).unwrap();
    // The one that is accepted last is served first: by then all refusals were.
    for mut client in [second, first] {
        client.write_all(b"\r\n").unwrap();
        let mut response = String::new();
        client.read_to_string(&mut response).unwrap();
        assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response:?}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn only_the_state_directory_is_written() {
    let world = World::new();
    let mut is_seen = false;
    for (arguments, input) in DAY {
        let text = calls(&world, "open,openat,creat,rename,renameat,renameat2,unlink,unlinkat,mkdir", arguments, input);
        for line in text.lines() {
            let opens = line.contains("O_WRONLY") || line.contains("O_RDWR") || line.contains("O_CREAT");
            let changes = ["creat(", "rename", "unlink", "mkdir("].iter().any(|call| line.contains(call));
            if opens || changes {
                // Files of the state directory are opened by its descriptor, and their names begin
                // with a number.
                let name = line.split('"').nth(1).unwrap_or_default();
                let is_state = name.starts_with("/run/ipvs-cli")
                    || name.trim_start_matches('.').starts_with(|first: char| first.is_ascii_digit());
                assert!(is_state || name == "/dev/null", "{arguments}: {line}");
                is_seen |= is_state;
            }
        }
    }
    assert!(is_seen);
}
