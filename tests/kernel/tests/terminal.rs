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

/// A line that is refused on a terminal.
struct Refused {
    line: &'static str,
    /// What `ipvs-cli` adds; nothing, where the message says it all.
    hint: &'static str,
    /// What went before.
    before: &'static [&'static str],
    /// What the hint says to do: with it, all succeeds.
    mended: &'static [&'static str],
}

const REFUSED: [Refused; 14] = [
    Refused {
        line: "-a -t 10.0.0.1:80 -r 224.0.0.1",
        hint: "224.0.0.1 is a multicast address, and a destination is one host",
        before: &["-A -t 10.0.0.1:80"],
        mended: &["-a -t 10.0.0.1:80 -r 192.0.2.1"],
    },
    Refused {
        line: "-a -t 10.0.0.1:80 -r [::1]:80 -i",
        hint: "tcp 10.0.0.1:80 is ipv4, its destination [::1]:80 is ipv6: that is impossible while a sync daemon (master) runs",
        before: &["-A -t 10.0.0.1:80", "--start-daemon master --mcast-interface lo"],
        mended: &["--stop-daemon master", "-a -t 10.0.0.1:80 -r [::1]:80 -i"],
    },
    Refused {
        line: "-a -t 10.0.0.1:80 -r 127.0.0.1 -x 1 -y 2",
        hint: "the lower threshold, 2, is above the upper one, 1",
        before: &["-A -t 10.0.0.1:80"],
        mended: &["-a -t 10.0.0.1:80 -r 127.0.0.1 -x 2 -y 2"],
    },
    Refused {
        line: "-D -u 10.0.0.1:80",
        hint: "there is no service udp 10.0.0.1:80, but tcp 10.0.0.1:80",
        before: &["-A -t 10.0.0.1:80"],
        mended: &["-D -t 10.0.0.1:80"],
    },
    Refused {
        line: "-L -n -t 10.0.0.1:8080",
        hint: "there is no service tcp 10.0.0.1:8080, but tcp 10.0.0.1:80",
        before: &["-A -t 10.0.0.1:80"],
        mended: &["-L -n -t 10.0.0.1:80"],
    },
    Refused {
        line: "-d -t 10.0.0.1:80 -r 127.0.0.1:8080",
        hint: "tcp 10.0.0.1:80 has no destination 127.0.0.1:8080, but 127.0.0.1:80",
        before: &["-A -t 10.0.0.1:80", "-a -t 10.0.0.1:80 -r 127.0.0.1"],
        mended: &["-d -t 10.0.0.1:80 -r 127.0.0.1:80"],
    },
    Refused {
        line: "-A -f 1 -s lbclr",
        hint: "the kernel says that it has no scheduler lbclr (module ip_vs_lbclr); Linux has rr wrr lc wlc lblc lblcr \
            dh sh sed nq fo ovf mh twos",
        before: &[],
        mended: &["-A -f 1 -s lblcr"],
    },
    Refused {
        line: "-A -f 1 --pe sap",
        hint: "the kernel says that it has no persistence engine sap (module ip_vs_pe_sap); Linux has sip",
        before: &[],
        mended: &["-A -f 1 --pe sip"],
    },
    Refused {
        line: "--start-daemon backup",
        hint: "there is no network interface eth0",
        before: &[],
        mended: &["--start-daemon backup --mcast-interface lo"],
    },
    Refused {
        line: "--start-daemon master --mcast-interface lo",
        hint: "a master daemon runs already, on lo with sync id 9",
        before: &["--start-daemon master --mcast-interface lo --syncid 9"],
        mended: &["--stop-daemon master", "--start-daemon master --mcast-interface lo"],
    },
    Refused {
        line: "-A -t 912.168.0.1:80",
        hint: "'912.168.0.1:80': '912' is not a number from 0 to 255",
        before: &[],
        mended: &["-A -t 255.168.0.1:80"],
    },
    Refused {
        line: "-A -t 10.0.0.1",
        hint: "'10.0.0.1' has no port: it is written as in '10.0.0.1:80', or add '-p' for all ports",
        before: &[],
        mended: &["-A -t 10.0.0.1:80", "-A -t 10.0.0.1 -p"],
    },
    Refused {
        line: "-A -6 -f 1",
        hint: "the mark comes before '-6': write the line as '-A -f 1 -6'",
        before: &[],
        mended: &["-A -f 1 -6"],
    },
    Refused { line: "-A -f 1 -Q", hint: "", before: &[], mended: &[] },
];

#[test]
fn the_words_are_the_originals_and_a_hint_follows() {
    for Refused { line, hint, before, mended } in REFUSED {
        let said = |target, sink| said(target, sink, before, line, "");
        let ipvsadm = said(Target::Ipvsadm, Sink::Terminal);
        assert!(!ipvsadm.is_empty(), "{line}");
        let hint = if hint.is_empty() { String::new() } else { format!("hint: {hint}\n") };
        assert_eq!(said(Target::IpvsCli, Sink::Terminal), ipvsadm.clone() + &hint, "{line}");
        assert_eq!(said(Target::IpvsCli, Sink::Pipe), ipvsadm, "{line}, into a pipe");
        let Some((last, first)) = mended.split_last() else { continue };
        let before = [before, first].concat();
        assert_eq!(self::said(Target::IpvsCli, Sink::Terminal, &before, last, ""), "", "{line}: {hint}");
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

/// What `-S` without `-n` writes may be another table when it is read.
#[test]
fn names_that_can_not_be_restored_are_named() {
    let server = |line: &'static str| ["-A -t 192.0.2.1:80", line];
    let all = "hint: this makes another table when it is restored: ";
    let end = "; `-S -n` writes numbers\n";
    for (before, reason) in [
        (server("-a -t 192.0.2.1:80 -r 192.0.2.11"), None),
        (
            server("-a -t 192.0.2.1:80 -r 192.0.2.14"),
            Some(
                "'a-name-that-is-longer-than-all-that-a-listing-can-hold-at-a' is cut after 59 characters, as ipvsadm cuts it",
            ),
        ),
        (
            server("-A -t [2001:db8::1]:80"),
            Some("2001:db8::1 is written as '[six.example.net]', and names are read as addresses of IPv4 only"),
        ),
        (
            server("-a -t 192.0.2.1:80 -r 192.0.2.21"),
            Some("192.0.2.1 and 192.0.2.21 are both written as 'www.example.net', which is read as one address"),
        ),
    ] {
        let said = |target, sink, line| {
            std::thread::scope(|scope| {
                let world = scope.spawn(|| {
                    let program = Target::program(target).unwrap();
                    sandbox::enter(&program).unwrap();
                    let mut hosts = File::options().append(true).open("/etc/hosts").unwrap();
                    hosts.write_all(b"192.0.2.21 www.example.net\n").unwrap();
                    before.iter().for_each(|line| assert_eq!(run(&program, Sink::Pipe, line, ""), "", "{line}"));
                    run(&program, sink, line, "")
                });
                world.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
        };
        let expected = reason.map_or_else(String::new, |reason| format!("{all}{reason}{end}"));
        assert_eq!(said(Target::IpvsCli, Sink::Terminal, "-S"), expected, "{before:?}");
        assert_eq!(said(Target::IpvsCli, Sink::Pipe, "-S"), "", "{before:?}: into a pipe");
        assert_eq!(said(Target::IpvsCli, Sink::Terminal, "-S -n"), "", "{before:?}");
        assert_eq!(said(Target::Ipvsadm, Sink::Terminal, "-S"), "", "{before:?}");
    }
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
