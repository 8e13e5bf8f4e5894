//! On a terminal `ipvs-cli` says more than the original, behind the same words; into a pipe it does
//! not.

use kernel_tests::sandbox;
use kernel_tests::target::Target;
use nix::errno::Errno;
use nix::pty::openpty;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// What was refused, what `ipvs-cli` adds (nothing, where the message says it all), and what went
/// before.
const REFUSED: [(&str, &str, &[&str]); 14] = [
    (
        "-a -t 10.0.0.1:80 -r 224.0.0.1",
        "224.0.0.1 is a multicast address, and a destination is one host",
        &["-A -t 10.0.0.1:80"],
    ),
    (
        "-a -t 10.0.0.1:80 -r [::1]:80 -i",
        "tcp 10.0.0.1:80 is ipv4, its destination [::1]:80 is ipv6: that is impossible while a sync daemon (master) runs",
        &["-A -t 10.0.0.1:80", "--start-daemon master --mcast-interface lo"],
    ),
    (
        "-a -t 10.0.0.1:80 -r 127.0.0.1 -x 1 -y 2",
        "the lower threshold, 2, is above the upper one, 1",
        &["-A -t 10.0.0.1:80"],
    ),
    ("-D -u 10.0.0.1:80", "there is no service udp 10.0.0.1:80, but tcp 10.0.0.1:80", &["-A -t 10.0.0.1:80"]),
    ("-L -n -t 10.0.0.1:8080", "there is no service tcp 10.0.0.1:8080, but tcp 10.0.0.1:80", &["-A -t 10.0.0.1:80"]),
    (
        "-d -t 10.0.0.1:80 -r 127.0.0.1:8080",
        "tcp 10.0.0.1:80 has no destination 127.0.0.1:8080, but 127.0.0.1:80",
        &["-A -t 10.0.0.1:80", "-a -t 10.0.0.1:80 -r 127.0.0.1"],
    ),
    (
        "-A -f 1 -s lbclr",
        "the kernel says that it has no scheduler lbclr (module ip_vs_lbclr); Linux has rr wrr lc wlc lblc lblcr dh sh \
         sed nq fo ovf mh twos",
        &[],
    ),
    (
        "-A -f 1 --pe sap",
        "the kernel says that it has no persistence engine sap (module ip_vs_pe_sap); Linux has sip",
        &[],
    ),
    ("--start-daemon backup", "there is no network interface eth0", &[]),
    (
        "--start-daemon master --mcast-interface lo",
        "a master daemon runs already, on lo with sync id 9",
        &["--start-daemon master --mcast-interface lo --syncid 9"],
    ),
    ("-A -t 912.168.0.1:80", "'912.168.0.1:80': '912' is not a number from 0 to 255", &[]),
    ("-A -t 10.0.0.1", "'10.0.0.1' has no port: it is written as in '10.0.0.1:80', or add '-p' for all ports", &[]),
    ("-A -6 -f 1", "the mark comes before '-6': write the line as '-A -f 1 -6'", &[]),
    ("-A -f 1 -Q", "", &[]),
];

#[test]
fn the_words_are_the_originals_and_a_hint_follows() {
    for (line, hint, before) in REFUSED {
        let said = |target, sink| said(target, sink, before, line, "");
        let ipvsadm = said(Target::Ipvsadm, Sink::Terminal);
        assert!(!ipvsadm.is_empty(), "{line}");
        let hint = if hint.is_empty() { String::new() } else { format!("hint: {hint}\n") };
        assert_eq!(said(Target::IpvsCli, Sink::Terminal), ipvsadm.clone() + &hint, "{line}");
        assert_eq!(said(Target::IpvsCli, Sink::Pipe), ipvsadm, "{line}, into a pipe");
    }
}

#[test]
fn restore_names_the_line() {
    const FILE: &str = "-A -t 10.0.0.1:80\n\
                        -D -f 7\n\
                        \n\
                        -a -t 10.0.0.1:80 -r 127.0.0.1:80\n\
                        -a -t 10.0.0.1:80 -r 127.0.0.1:80\n\
                        -A -f 0\n\
                        -A -f 1\n";
    let hints = [
        "line 2: '-D -f 7': there is no service mark 7",
        "line 5: '-a -t 10.0.0.1:80 -r 127.0.0.1:80': tcp 10.0.0.1:80 has a destination 127.0.0.1:80 already",
        "line 6: '-A -f 0': '0': a firewall mark is a decimal number from 1 to 4294967295",
    ];
    let ipvsadm = said(Target::Ipvsadm, Sink::Terminal, &[], "-R", FILE);
    let messages: Vec<_> = ipvsadm.lines().collect();
    let expected: String = messages.iter().zip(hints).map(|(line, hint)| format!("{line}\nhint: {hint}\n")).collect();
    assert_eq!(messages.len(), hints.len(), "{ipvsadm}");
    assert_eq!(said(Target::IpvsCli, Sink::Terminal, &[], "-R", FILE), expected);
    assert_eq!(said(Target::IpvsCli, Sink::Pipe, &[], "-R", FILE), ipvsadm);
}

/// Where standard error goes.
#[derive(Clone, Copy)]
enum Sink {
    Terminal,
    Pipe,
}

/// What the target's program says about the last line, in a fresh network.
fn said(target: Target, sink: Sink, before: &[&str], line: &str, input: &str) -> String {
    std::thread::scope(|scope| {
        // Namespaces belong to a thread.
        let world = scope.spawn(|| {
            let program = target.program().unwrap();
            sandbox::enter(&program).unwrap();
            before.iter().for_each(|line| assert_eq!(run(&program, Sink::Pipe, line, ""), "", "{line}"));
            run(&program, sink, line, input)
        });
        world.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn run(program: &Path, sink: Sink, line: &str, input: &str) -> String {
    match sink {
        Sink::Terminal => {
            let pair = openpty(None, None).unwrap();
            start(program, line, input, pair.slave.into(), File::from(pair.master))
        }
        Sink::Pipe => {
            let (reader, writer) = std::io::pipe().unwrap();
            start(program, line, input, writer.into(), reader)
        }
    }
}

fn start(program: &Path, line: &str, input: &str, stderr: Stdio, mut said: impl Read) -> String {
    let mut command = Command::new(program);
    command.arg0("ipvsadm").args(line.split(' ')).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(stderr);
    let mut child = command.spawn().unwrap();
    // With it goes our copy of the other end.
    drop(command);
    // Not each of them reads.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let mut text = Vec::new();
    match said.read_to_end(&mut text) {
        Ok(_) => {}
        // So ends a terminal that nobody holds any more.
        Err(error) if error.raw_os_error() == Some(Errno::EIO as i32) => {}
        Err(error) => panic!("{error}"),
    }
    child.wait().unwrap();
    String::from_utf8(text).unwrap().replace("\r\n", "\n")
}
