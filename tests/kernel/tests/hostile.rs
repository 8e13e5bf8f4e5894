//! Bad input: the original and `ipvs-cli` get the same, and must answer with the same text and
//! status and leave the same table.
//!
//! Random input is `differential`'s. A missing module is another file, `no_module.rs`, because it
//! is missing for everybody in the machine.

use hostile::side_by_side::{assert_sound, describe, equal};
use kernel_tests::case::Status;
use kernel_tests::sandbox;
use kernel_tests::target::Target;
use std::fmt::Write;
use std::path::Path;

#[path = "shell/mod.rs"]
mod shell;

mod hostile {
    #[path = "open_pipe.rs"]
    mod open_pipe;
    #[path = "side_by_side.rs"]
    pub(crate) mod side_by_side;
}

const NOT_PERMITTED: &str = "Can't initialize ipvs: Permission denied (you must be root)\n\
     Are you sure that IP Virtual Server is built in the kernel or as module?\n";

/// What needs rights, and what would be wrong even with them.
const ANYTHING: [&str; 6] = ["", "-L -n", "-A -t 192.0.2.1:80", "-C", "-R", "--bogus"];

#[test]
fn without_rights() {
    equal(|world| try_without_rights(|line| world.types(line)));
}

/// As on an ordinary machine, whose modprobe finds that the module is there already.
#[test]
fn without_rights_where_modprobe_is_installed() {
    let loader = std::fs::read_to_string("/proc/sys/kernel/modprobe").expect("the kernel has modules");
    equal(|world| {
        sandbox::install_modprobe(Path::new(loader.trim_end())).unwrap_or_else(|error| panic!("{error}"));
        try_without_rights(|line| world.types(line));
    });
}

/// As in a container, which has the package kmod but none of its kernel's modules. ipvsadm runs
/// modprobe whatever the kernel refused; ipvs-cli only where the module is missing.
#[test]
fn without_rights_where_modprobe_finds_no_modules() {
    let kmod = shell::find("kmod").expect("the lab brings kmod");
    let [ipvsadm, ipvs_cli] = [Target::Ipvsadm, Target::IpvsCli].map(|target| {
        shell::with(target, |shell| {
            sandbox::install_modprobe(&kmod).unwrap_or_else(|error| panic!("{error}"));
            let mut done = Vec::new();
            try_without_rights(|line| done.push((line.to_owned(), shell.type_in(line, b""))));
            done
        })
    });
    for ((line, ipvsadm), (_, ipvs_cli)) in ipvsadm.iter().zip(&ipvs_cli) {
        let said = String::from_utf8_lossy(&ipvsadm.stderr);
        let (first, rest) = said.split_once('\n').unwrap_or_default();
        assert!(first.starts_with("modprobe: FATAL: Module ip_vs not found"), "{line}: {said}");
        assert_eq!(rest, String::from_utf8_lossy(&ipvs_cli.stderr), "{line}");
        assert_eq!((&ipvsadm.stdout, ipvsadm.status), (&ipvs_cli.stdout, ipvs_cli.status), "{line}");
    }
}

fn try_without_rights(mut types: impl FnMut(&str)) {
    for arguments in ANYTHING {
        // Root of a user namespace is not the root that may administer IPVS, not even that of its
        // own network.
        types(&format!("unshare -U -r ipvsadm {arguments}"));
        types(&format!("unshare -U -r -n ipvsadm {arguments}"));
        types(&format!("unshare -U ipvsadm {arguments}"));
    }
}

#[test]
fn as_nobody() {
    shell::with(Target::IpvsCli, |shell| {
        // Where it was built, only root may get.
        shell.type_in("mkdir -m 755 /usr/local/sbin/copy; cp -L /usr/local/sbin/ipvsadm /usr/local/sbin/copy/", b"");
        shell.type_in("chmod 755 /usr/local/sbin/copy/ipvsadm", b"");
        for arguments in ANYTHING {
            let line =
                format!("setpriv --reuid=65534 --regid=65534 --clear-groups /usr/local/sbin/copy/ipvsadm {arguments}");
            let outcome = shell.type_in(&line, b"-A -t 192.0.2.1:80\n");
            let said = String::from_utf8_lossy(&outcome.stderr);
            assert_eq!((&*said, outcome.status), (NOT_PERMITTED, Status::Exit(2)), "{line}");
        }
        assert_eq!(shell.table()[0].stdout, b"");
    });
}

#[test]
fn without_file_descriptors() {
    shell::with(Target::IpvsCli, |shell| {
        for arguments in ["-L -n", "-A -t 192.0.2.1:80", "-C"] {
            let outcome = shell.type_in(&format!("ulimit -n 3; ipvsadm {arguments}"), b"");
            assert_sound(arguments, &outcome);
            let said = String::from_utf8_lossy(&outcome.stderr);
            assert!(
                said.contains("Too many open files") && outcome.status != Status::Exit(0),
                "{}",
                describe(&outcome)
            );
        }
    });
}

#[test]
fn refusals_of_the_kernel() {
    equal(|world| {
        world.types("ipvsadm -A -t 192.0.2.1:80 -s rr");
        world.types("ipvsadm -a -t 192.0.2.1:80 -r 192.0.2.11");
        for line in [
            "-A -t 192.0.2.2:80 -s unknown",
            "-E -t 192.0.2.1:80 -s unknown",
            "-A -t 192.0.2.2:80 -p --pe unknown",
            "-A -t 192.0.2.1:80",
            "-E -t 192.0.2.9:80",
            "-D -t 192.0.2.9:80",
            "-Z -t 192.0.2.9:80",
            "-L -t 192.0.2.9:80",
            "-a -t 192.0.2.9:80 -r 192.0.2.11",
            "-a -t 192.0.2.1:80 -r 192.0.2.11",
            "-e -t 192.0.2.1:80 -r 192.0.2.99",
            "-d -t 192.0.2.1:80 -r 192.0.2.99",
            "-a -t 192.0.2.1:80 -r 224.0.0.1",
            "-a -t 192.0.2.1:80 -r 192.0.2.12 -x 1 -y 2",
            "-a -t 192.0.2.1:80 -r [2001:db8::1]:80 -m",
            "--start-daemon master --mcast-interface nowhere0",
            "--stop-daemon master",
        ] {
            world.types(&format!("ipvsadm {line}"));
        }
    });
}

/// An option that takes a value, last on a line that is right otherwise.
const OPTIONS: &[&str] = &[
    "-A -t",
    "-A -u",
    "-A --sctp-service",
    "-A -f",
    "-E -t 192.0.2.1:80 -s",
    "-E -t 192.0.2.1:80 -p",
    "-E -t 192.0.2.1:80 -p 9 -M",
    "-E -t [2001:db8::1]:80 -p 9 -M",
    "-E -t 192.0.2.1:80 -p 9 --pe",
    "-E -t 192.0.2.1:80 -s sh -b",
    "-a -t 192.0.2.1:80 -r",
    "-e -t 192.0.2.1:80 -r 192.0.2.11 -w",
    "-e -t 192.0.2.1:80 -r 192.0.2.11 -x",
    "-e -t 192.0.2.1:80 -r 192.0.2.11 -x 99 -y",
    "-e -t 192.0.2.1:80 -r 192.0.2.11 -i --tun-type",
    "-e -t 192.0.2.1:80 -r 192.0.2.11 -i --tun-type gue --tun-port",
    "--set 1 2",
    "--start-daemon",
    "--stop-daemon",
    "--start-daemon master --mcast-interface",
    "--start-daemon master --syncid",
    "--start-daemon master --mcast-group",
    "--start-daemon master --mcast-port",
    "--start-daemon master --mcast-ttl",
    "--start-daemon master --sync-maxlen",
];

#[test]
fn values_that_are_no_text() {
    values(&[b"\xff\xfe\x80", b"\x01\x1b[31m", b"\xf0\x9f", "５".as_bytes(), "é:80".as_bytes(), b"[", b"[::1", b"\n"]);
}

#[test]
fn values_that_are_no_numbers() {
    values(&[b"", b"-1", b"+5", b" 5", b"5 ", b"0x10", b"99999999999999999999999", b"4294967297", b"%s%n%x", b"="]);
}

#[test]
fn values_that_are_long() {
    values(&[&b"x".repeat(300), &b"7".repeat(100_000)]);
}

fn values(values: &[&[u8]]) {
    equal(|world| {
        world.feeds("ipvsadm -R", b"-A -t 192.0.2.1:80\n-a -t 192.0.2.1:80 -r 192.0.2.11\n-A -t [2001:db8::1]:80\n");
        for option in OPTIONS {
            for value in values {
                let words: Vec<&[u8]> = option.split(' ').map(str::as_bytes).chain([*value]).collect();
                world.ipvsadm(&words);
            }
        }
    });
}

#[test]
fn ten_thousand_arguments() {
    equal(|world| {
        for word in ["x", "-n", "--sort", "-L", "192.0.2.1:80", "-nnnnnnnnn", "--", "!#:+"] {
            world.ipvsadm(&[&b"-L"[..]].into_iter().chain(vec![word.as_bytes(); 10_000]).collect::<Vec<_>>());
        }
        world.ipvsadm(&vec![&b"x"[..]; 10_000]);
        world.ipvsadm(&[b"-L", format!("-{}", "n".repeat(100_000)).as_bytes()]);
    });
}

#[test]
fn strange_names_and_environments() {
    equal(|world| {
        for line in [
            "exec -a '' ipvsadm --bogus",
            "exec -a $'\\xff/ipvsadm' ipvsadm --bogus -L",
            "exec -a $'\\xff/ipvsadm' ipvsadm word",
            "env -i /usr/local/sbin/ipvsadm -L -n",
            "LC_ALL=$'\\xff' LANG=C.BOGUS TZ=x ipvsadm -L -n",
        ] {
            world.types(line);
        }
    });
}

#[test]
fn input_that_is_not_there() {
    equal(|world| {
        for redirection in ["</dev/null", "<&-", "<&- >&- 2>&-"] {
            world.types(&format!("ipvsadm -R {redirection}"));
        }
    });
}

/// ipvsadm takes an input that it cannot read for an empty one, and succeeds. `ipvs-cli` reports
/// the error.
#[test]
fn input_that_cannot_be_read_is_reported() {
    let unreadable = [("</", "Is a directory"), ("0>/dev/null", "Bad file descriptor")];
    for (redirection, why) in unreadable {
        let line = format!("ipvsadm -R {redirection}");
        let ipvsadm = shell::with(Target::Ipvsadm, |shell| shell.type_in(&line, b""));
        assert_eq!((&*ipvsadm.stderr, ipvsadm.status), (&b""[..], Status::Exit(0)), "the original: {line}");
        let ipvs_cli = shell::with(Target::IpvsCli, |shell| shell.type_in(&line, b""));
        let said = String::from_utf8_lossy(&ipvs_cli.stderr).into_owned();
        assert_eq!((said, ipvs_cli.status), (format!("standard input: {why}\n"), Status::Exit(1)), "{line}");
    }
}

#[test]
fn output_that_cannot_be_written() {
    equal(|world| {
        world.feeds("ipvsadm -R", services(MORE_THAN_A_PIPE_HOLDS).as_bytes());
        for listing in ["-L -n", "-S -n"] {
            world.types(&format!("ipvsadm {listing} | head -1; echo ${{PIPESTATUS[0]}}"));
            world.types(&format!("ipvsadm {listing} >/dev/full; echo $?"));
            world.types(&format!("ipvsadm {listing} >&-; echo $?"));
        }
        world.types("ipvsadm --bogus 2>/dev/full");
        world.types("ipvsadm --bogus 2>&-");
        // Nobody reads the pipe any more.
        world.types("exec 9> >(:); wait $!; ipvsadm --bogus 2>&9; echo $?");
        // A closed number must not become the kernel's socket, to which a message would then go.
        world.types("ipvsadm -A -t 192.0.2.1:80 -s unknown <&- >&- 2>&-");
        world.types("ipvsadm -A -t 198.51.100.1:80 <&- >&- 2>&-");
    });
}

#[test]
fn a_reader_that_goes_away_where_sigpipe_is_ignored() {
    equal(|world| {
        world.feeds("ipvsadm -R", services(MORE_THAN_A_PIPE_HOLDS).as_bytes());
        world.types("trap '' PIPE; ipvsadm -S -n | head -1; echo ${PIPESTATUS[0]}");
    });
    let subcommand = shell::with(Target::IpvsCli, |shell| {
        shell.type_in("ipvsadm -R", services(MORE_THAN_A_PIPE_HOLDS).as_bytes());
        shell.type_in("trap '' PIPE; ipvs-cli show | head -1 >/dev/null; echo ${PIPESTATUS[0]}", b"")
    });
    assert_eq!((&*subcommand.stdout, &*subcommand.stderr), (&b"141\n"[..], &b""[..]));
}

#[test]
fn megabytes_of_one_line() {
    equal(|world| {
        let first = "-A -t 192.0.2.1:80\n";
        for piece in ["x", " ", "\0", "word ", "-n ", "ipvsadm "] {
            let line = piece.repeat((1 << 20) / piece.len());
            world.feeds("ipvsadm -R", format!("{first}{line}\n").as_bytes());
            world.feeds("ipvsadm -R", format!("-A -t 192.0.2.2:80 {line}").as_bytes());
        }
        world.feeds("ipvsadm -R", "\n".repeat(1 << 20).as_bytes());
    });
}

/// More lines than are sent to the kernel at once, with bad ones between them.
#[test]
fn a_bad_line_among_thousands() {
    equal(|world| {
        for bad in ["-A -t 192.0.2.1:80 -w x", "--bogus", "-D -t 203.0.113.1:80"] {
            for at in [0, 700, 1_000] {
                world.feeds("ipvsadm -R", with_line(&services(1_000), at, bad).as_bytes());
                world.types("ipvsadm -S -n | cksum");
                world.types("ipvsadm -C");
            }
        }
    });
}

#[test]
fn thousands_of_refusals() {
    equal(|world| {
        world.feeds("ipvsadm -R", services(1_500).as_bytes());
        world.feeds("ipvsadm -R", services(1_500).as_bytes());
        world.feeds("ipvsadm -R", (services(1_500) + "-A -t 203.0.113.1:80\n").as_bytes());
        world.feeds("ipvsadm -R", services(1_500).replace("-A", "-E").replace("192.0.2.1", "192.0.2.2").as_bytes());
    });
}

/// The listing of this many services is longer than the 64 KiB that a pipe takes before its reader
/// has read anything.
const MORE_THAN_A_PIPE_HOLDS: usize = 5_000;

/// Commands that add this many services.
fn services(count: usize) -> String {
    (0..count).fold(String::new(), |mut script, port| {
        let _ = writeln!(script, "-A -t 192.0.2.1:{} -s rr", port + 1);
        script
    })
}

fn with_line(script: &str, at: usize, line: &str) -> String {
    let mut lines: Vec<&str> = script.lines().collect();
    lines.insert(at, line);
    lines.join("\n") + "\n"
}
