//! The program, called in this process on an in-memory kernel that remembers from call to call.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStringExt;
use std::rc::Rc;

use ipvs::{Client, Table};
use ipvs_cli::env::Environment;
use ipvs_cli::io::Input;

/// A director with its table.
struct Director {
    kernel: ipvs_cli::director::Director,
    hints: fn() -> bool,
}

/// What a call did.
#[derive(Debug, PartialEq, Eq)]
struct Done {
    status: u8,
    stdout: String,
    stderr: String,
}

fn done(status: u8, stdout: &str, stderr: &str) -> Done {
    Done { status, stdout: stdout.to_owned(), stderr: stderr.to_owned() }
}

impl Director {
    fn new() -> Self {
        Director { kernel: ipvs_cli::director::Director::with(Client::fake(Table::new())), hints: || false }
    }

    fn run(&mut self, line: &str) -> Done {
        self.feed(line, b"")
    }

    /// Calls it with this on standard input.
    fn feed(&mut self, line: &str, mut stdin: &[u8]) -> Done {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let mut environment =
            Environment { hints: self.hints, ..Environment::new(&mut stdin, &mut stdout, &mut stderr) };
        let status = ipvs_cli::run(&argv(line), &mut environment, &mut self.kernel);
        Done { status, stdout: String::from_utf8(stdout).unwrap(), stderr: String::from_utf8(stderr).unwrap() }
    }

    #[track_caller]
    fn must(&mut self, line: &str) {
        assert_eq!(self.run(line), done(0, "", ""), "{line}");
    }

    fn saved(&mut self) -> String {
        self.run("ipvsadm -S -n").stdout
    }
}

fn argv(line: &str) -> Vec<OsString> {
    line.split(' ').map(|word| OsString::from_vec(word.as_bytes().to_vec())).collect()
}

#[test]
fn the_usual_day_of_a_director() {
    let mut director = Director::new();
    director.must("ipvsadm -A -t 192.0.2.1:80 -s rr -p 300");
    director.must("ipvsadm -a -t 192.0.2.1:80 -r 192.0.2.11:8080 -m -w 5");
    director.must("ipvsadm -a -t 192.0.2.1:80 -r 192.0.2.12 -g");
    director.must("ipvsadm -e -t 192.0.2.1:80 -r 192.0.2.12 -i");
    director.must("ipvsadm -A -f 10 -s wlc");
    director.must("ipvsadm --set 900 0 60");
    let listing = "IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
TCP  192.0.2.1:80 rr persistent 300
  -> 192.0.2.11:8080              Masq    5      0          0         
  -> 192.0.2.12:80                Tunnel  1      0          0         
FWM  10 wlc
";
    assert_eq!(director.run("ipvsadm -L -n"), done(0, listing, ""));
    let one = director.run("ipvsadm -Ln -f 10").stdout;
    assert!(one.starts_with("Prot") && one.ends_with("FWM  10 wlc\n"), "{one}");
    assert_eq!(director.run("ipvsadm -L --timeout").stdout, "Timeout (tcp tcpfin udp): 900 120 60\n");
    director.must("ipvsadm -d -t 192.0.2.1:80 -r 192.0.2.11:8080");
    director.must("ipvsadm -D -f 10");
    let saved = "-A -t 192.0.2.1:80 -s rr -p 300\n-a -t 192.0.2.1:80 -r 192.0.2.12:80 -i -w 1 --tun-type ipip\n";
    assert_eq!(director.saved(), saved);
    director.must("ipvsadm -Z");
    director.must("ipvsadm -C");
    assert_eq!(director.saved(), "");
}

#[test]
fn refusals_of_the_kernel_have_ipvsadms_messages() {
    let mut director = Director::new();
    director.must("ipvsadm -A -f 1");
    director.must("ipvsadm -a -f 1 -r 192.0.2.11");
    for (line, status, text) in [
        ("ipvsadm -A -f 1", 255, "Service already exists"),
        ("ipvsadm -A -f 2 -s bogus", 255, "Scheduler or persistence engine not found"),
        ("ipvsadm -E -f 2", 255, "No such service"),
        ("ipvsadm -D -f 2", 255, "No such service"),
        ("ipvsadm -Z -f 2", 255, "No such service"),
        ("ipvsadm -a -f 1 -r 192.0.2.11", 255, "Destination already exists"),
        ("ipvsadm -d -f 1 -r 192.0.2.12", 255, "No such destination"),
        ("ipvsadm -d -f 2 -r 192.0.2.12", 255, "Service not defined"),
        ("ipvsadm -a -f 1 -r 192.0.2.12 -x 5 -y 6", 255, "Numerical result out of range"),
        ("ipvsadm --stop-daemon master", 255, "No daemon is running"),
        ("ipvsadm -L -f 2", 1, "No such service"),
    ] {
        assert_eq!(director.run(line), done(status, "", &format!("{text}\n")), "{line}");
    }
}

#[test]
fn what_is_not_understood() {
    let mut director = Director::new();
    let text = "Try `./ipvsadm -h' or './ipvsadm --help' for more information.\n";
    assert_eq!(director.run("./ipvsadm -n"), done(255, "", text));
    assert_eq!(director.run("ipvsadm -L -Q"), done(255, "", "-Q: unknown option\n"));
    assert_eq!(director.run("ipvsadm -L x"), done(2, "", "unexpected argument x\n"));
}

#[test]
fn help_and_version() {
    let mut director = Director::new();
    let version = "ipvsadm v1.31 2019/12/24 (compiled with popt and IPVS v1.2.1)\n";
    assert_eq!(director.run("ipvsadm -v"), done(0, version, ""));
    assert_eq!(director.run("/opt/ipvsadm-1.31 -v"), done(0, version, ""));
    let version_of_ipvs_cli = format!("{version}spoken by ipvs-cli v{}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(director.run("/usr/bin/ipvs-cli -v"), done(0, &version_of_ipvs_cli, ""));
    let help = director.run("/sbin/ipvsadm -h");
    assert_eq!((help.status, help.stdout.matches("  /sbin/ipvsadm ").count()), (0, 13));
}

#[test]
fn no_arguments_list_everything() {
    let mut director = Director::new();
    let listing = director.run("ipvsadm");
    assert_eq!((listing.status, listing.stdout.lines().count()), (0, 3));
    assert_eq!(director.run("/usr/sbin/ipvsadm"), listing);
}

#[test]
fn a_terminal_shows_which_part_is_wrong() {
    let mut director = Director::new();
    let text = "illegal virtual server address[:port] specified\n";
    assert_eq!(director.run("ipvsadm -A -t 912.168.0.1"), done(2, "", text));
    director.hints = || true;
    let hint = "hint: '912.168.0.1': '912' is not a number from 0 to 255\n";
    assert_eq!(director.run("ipvsadm -A -t 912.168.0.1"), done(2, "", &format!("{text}{hint}")));
}

#[test]
fn a_terminal_shows_why_the_kernel_refused() {
    let mut director = Director::new();
    director.must("ipvsadm -A -t 192.0.2.1:80");
    director.must("ipvsadm -a -t 192.0.2.1:80 -r 192.0.2.11:80");
    director.hints = || true;
    let riddle = "Invalid operation.  Possibly wrong module version, address not unicast, ...";
    for (line, status, text, cause) in [
        ("-A -t 192.0.2.1:80", 255, "Service already exists", "there is a service tcp 192.0.2.1:80 already"),
        ("-D -u 192.0.2.1:80", 255, "No such service", "there is no service udp 192.0.2.1:80, but tcp 192.0.2.1:80"),
        ("-L -f 1", 1, "No such service", "there is no service mark 1"),
        (
            "-d -t 192.0.2.1:80 -r 192.0.2.11:8080",
            255,
            "No such destination",
            "tcp 192.0.2.1:80 has no destination 192.0.2.11:8080, but 192.0.2.11:80",
        ),
        (
            "-a -t 192.0.2.1:80 -r 224.0.0.1",
            255,
            riddle,
            "224.0.0.1 is a multicast address, and a destination is one host",
        ),
        ("--start-daemon master", 255, "No such device", "there is no network interface eth0"),
    ] {
        let expected = done(status, "", &format!("{text}\nhint: {cause}\n"));
        assert_eq!(director.run(&format!("ipvsadm {line}")), expected, "{line}");
    }
    assert_eq!(director.run("ipvsadm -L -Q"), done(255, "", "-Q: unknown option\n"));
}

#[test]
fn a_terminal_shows_the_line_of_a_file() {
    let mut director = Director::new();
    let input = b"-A -f 1\n\n-D -f 2\n-L -Q\n-a  -f 1 -r 192.0.2.11 -x 1 -y 2\n-A -f 1 -w 5\n-A -f 3\n";
    let plain = "No such service\n-Q: unknown option\nNumerical result out of range\n\
                 Illegal 'weight' option with the 'add-service' command\n";
    assert_eq!(director.feed("ipvsadm -R", input), done(2, "", plain));
    director.must("ipvsadm -C");
    director.hints = || true;
    let expected = "No such service\n\
                hint: line 3: '-D -f 2': there is no service mark 2\n\
                -Q: unknown option\n\
                hint: line 4: '-L -Q'\n\
                Numerical result out of range\n\
                hint: line 5: '-a -f 1 -r 192.0.2.11 -x 1 -y 2': the lower threshold, 2, is above the upper one, 1\n\
                Illegal 'weight' option with the 'add-service' command\n\
                hint: line 6: '-A -f 1 -w 5': leave out '-w 5': it goes with -a, -e\n";
    assert_eq!(director.feed("ipvsadm -R", input), done(2, "", expected));
    let expected = "No such service\nhint: line 3: '-L -f 9': there is no service mark 9\n";
    assert_eq!(director.feed("ipvsadm-restore", b"# saved\n-A -f 1\n-L -f 9\n-A -f 2\n"), done(1, "", expected));
}

#[test]
fn not_each_of_many_refusals_is_explained() {
    let mut director = Director::new();
    director.hints = || true;
    let Done { status, stderr, .. } = director.feed("ipvsadm -R", "-D -f 1\n".repeat(1000).as_bytes());
    let count = |text| stderr.matches(text).count();
    assert_eq!(
        (status, count("No such service\n"), count("hint: line "), count("no service mark 1")),
        (255, 1000, 1000, 10)
    );
    assert!(stderr.ends_with("\nhint: line 1000: '-D -f 1'\n"), "{stderr}");
}

#[test]
fn pasted_lines_are_carried_out_with_a_warning() {
    let mut director = Director::new();
    let warning = "warning: `–A' read as `-A': its dash is not the `-' of the keyboard\n";
    assert_eq!(director.run("ipvsadm –A -f 1"), done(0, "", warning));
    let refused = format!("Service already exists\n{warning}Service already exists\n");
    assert_eq!(director.feed("ipvsadm -R", "-A -f 1\n–A -f 1\n".as_bytes()), done(255, "", &refused));
    assert_eq!(director.saved(), "-A -f 1 -s wlc\n");
}

#[test]
fn restore_says_things_in_the_order_of_the_lines() {
    let lines = b"-A -f 1\n-A -f 1\n-L -n -f 1\n-A -Q\n-A -f 1 -s bogus\nipvsadm -A -f 2\n\n-D -f 9\n  \n";
    let said = "Service already exists\n-Q: unknown option\nService already exists\nNo such service\n";
    let listed = "Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
FWM  1 wlc
";
    let mut director = Director::new();
    assert_eq!(director.feed("ipvsadm -R", lines), done(255, listed, said));
    assert_eq!(director.saved(), "-A -f 1 -s wlc\n-A -f 2 -s wlc\n");
}

#[test]
fn restores_status_is_that_of_the_last_line_with_words() {
    for (lines, status) in [
        ("", 0),
        ("\n", 0),
        ("-A -f 1\n-A -f 1\n", 255),
        ("-A -f 1\n-A -f 1\n-A -f 2\n", 0),
        ("-A -f 1\n-A -f 1\n\n \n", 255),
        ("-A -Q\n", 255),
        ("-A -Q\n-C", 0),
        ("-A -f 1\n-A -f 1\n-S\n", 0),
        ("-D -f 1  ", 0), // dropped
        ("-D -f 1 ", 255),
    ] {
        assert_eq!(Director::new().feed("ipvsadm -R", lines.as_bytes()).status, status, "{lines:?}");
    }
}

#[test]
fn some_lines_end_a_restore() {
    const TRY: &str = "Try `ipvsadm -h' or 'ipvsadm --help' for more information.\n";
    for (line, status, said) in [
        ("-R", 255, TRY),
        ("# no comments", 255, TRY),
        ("-A", 2, "You need to supply the 'service-address' option for the 'add-service' command\n"),
        ("-L -f 9", 1, "No such service\n"),
    ] {
        let lines = format!("-A -f 1\n-A -f 1\n{line}\n-A -f 2\n");
        let mut director = Director::new();
        let said = format!("Service already exists\n{said}");
        assert_eq!(director.feed("ipvsadm -R", lines.as_bytes()), done(status, "", &said), "{line}");
        assert_eq!(director.saved(), "-A -f 1 -s wlc\n", "{line}");
    }
    let mut director = Director::new();
    let version = "ipvsadm v1.31 2019/12/24 (compiled with popt and IPVS v1.2.1)\n";
    assert_eq!(director.feed("ipvsadm -R", b"-A -Q\n-v\n-A -f 1\n"), done(0, version, "-Q: unknown option\n"));
    assert_eq!(director.saved(), "");
}

#[test]
fn a_large_restore_is_the_same_as_many_calls() {
    let mut lines = String::new();
    for mark in 1..=700 {
        lines += &format!("-A -f {mark} -s rr\n-a -f {mark} -r 10.0.0.1:80 -m\n-A -f {mark}\n");
    }
    let mut director = Director::new();
    let restored = director.feed("ipvsadm -R", lines.as_bytes());
    assert_eq!((restored.status, restored.stderr), (255, "Service already exists\n".repeat(700)));
    let saved = director.saved();
    assert_eq!(saved.lines().count(), 1400);
    let mut other = Director::new();
    assert_eq!(other.feed("ipvsadm -R", saved.as_bytes()), done(0, "", ""));
    assert_eq!(other.saved(), saved);
}

/// The names of links decide.
#[test]
fn the_scripts() {
    let mut director = Director::new();
    director.must("ipvsadm -A -f 7");
    let lines = b"# a comment\n-A -f 1\n#-A -f 2\n-A -f 3  ";
    assert_eq!(director.feed("/sbin/ipvsadm-restore --any -x", lines), done(0, "", ""));
    let saved = done(0, "-A -f 1 -s wlc\n-A -f 3 -s wlc\n", "");
    assert_eq!(director.run("ipvsadm-save"), saved);
    assert_eq!(director.run("ipvsadm-save word -n"), saved);
    let help = director.run("ipvsadm-save -n --help");
    assert_eq!((help.status, help.stdout.as_str()), (1, ""));
    assert!(help.stderr.starts_with("ipvsadm-save: Script to save"));
    let refused = "Try `ipvsadm -h' or 'ipvsadm --help' for more information.\n";
    assert_eq!(director.feed("ipvsadm-restore", b" # no comment\n"), done(255, "", refused));
    assert_eq!(director.saved(), "");
}

#[test]
fn by_its_own_name_it_speaks_the_same_language() {
    let mut director = Director::new();
    director.must("ipvs-cli -A -f 1");
    assert_eq!(director.run("target/ipvs-cli -S"), done(0, "-A -f 1 -s wlc\n", ""));
    let other = director.run("ipvs-cli frobnicate");
    assert_eq!(other.status, 2);
    assert!(other.stderr.contains("unrecognized subcommand 'frobnicate'"), "{}", other.stderr);
}

/// Standard error that others may look at.
#[derive(Clone, Default)]
struct Shared(Rc<RefCell<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Gives a line a read, and notes what had been said by then.
struct Typist {
    lines: VecDeque<io::Result<&'static str>>,
    slow: bool,
    stderr: Shared,
    said: Vec<String>,
}

impl Read for Typist {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.said.push(String::from_utf8(self.stderr.0.borrow().clone()).unwrap());
        let line = self.lines.pop_front().unwrap_or(Ok(""))?;
        buffer[..line.len()].copy_from_slice(line.as_bytes());
        Ok(line.len())
    }
}

impl Input for Typist {
    fn would_block(&self) -> bool {
        self.slow
    }
}

/// Restores what is typed; returns the status and what was said at each read and in the end.
fn typed(slow: bool, lines: impl IntoIterator<Item = io::Result<&'static str>>) -> (u8, Vec<String>) {
    let stderr = Shared::default();
    let lines = lines.into_iter().collect();
    let mut typist = Typist { lines, slow, stderr: stderr.clone(), said: Vec::new() };
    let (mut stdout, mut shared) = (io::sink(), stderr.clone());
    let mut environment = Environment::new(&mut typist, &mut stdout, &mut shared);
    let status = ipvs_cli::run(&argv("ipvsadm -R"), &mut environment, &mut Director::new().kernel);
    typist.said.push(String::from_utf8(stderr.0.take()).unwrap());
    (status, typist.said)
}

#[test]
fn lines_are_carried_out_before_more_is_waited_for() {
    let lines = || [Ok("-D -f 1\n-D"), Ok(" -f 1\n")];
    let refused = "No such service\n";
    let (status, said) = typed(true, lines());
    assert_eq!((status, said), (255, vec![String::new(), refused.into(), refused.repeat(2), refused.repeat(2)]));
    // Who does not make us wait gets many lines carried out together.
    let (status, said) = typed(false, lines());
    assert_eq!((status, said), (255, vec![String::new(), String::new(), String::new(), refused.repeat(2)]));
}

#[test]
fn an_input_that_cannot_be_read_is_reported() {
    let is_directory = io::Error::from_raw_os_error(21);
    let (status, said) = typed(false, [Ok("-D -f 1\n"), Err(is_directory)]);
    assert_eq!((status, said.last().unwrap().as_str()), (1, "No such service\nstandard input: Is a directory\n"));
}

#[test]
fn a_limit_that_ends_before_connections_are_killed_is_refused() {
    let mut director = Director::new();
    let refused = "ipvs-cli: --kill-after 600 would end nothing, as --timeout 60 is not longer\n";
    let line = "ipvs-cli drain --kill-after 600 --timeout 60 --all 192.0.2.11";
    assert_eq!(director.run(line), done(2, "", refused));
    assert!(director.run(&line.replace("600", "60")).stderr.contains("is not longer"));
    assert!(!director.run(&line.replace("600", "59")).stderr.contains("is not longer"));
}

#[test]
fn wrong_words_are_refused_with_what_is_expected() {
    let mut director = Director::new();
    for (line, expected) in [
        ("--state-dir /tmp -C", "ipvs-cli: only subcommands have --netns and --state-dir; "),
        ("--netns=blue --state-dir=/tmp -L -n", "ipvs-cli: only subcommands have --netns and --state-dir; "),
        ("--state-dir /tmp show -C", "error: unexpected argument '-C' found"),
        ("diff - -", "ipvs-cli: only one of FILE and NEW can be `-`\n"),
        ("sync verify - -", "ipvs-cli: only one of MASTER and BACKUP can be `-`\n"),
        ("weight --all 192.0.2.11 -1", "ipvs-cli: WEIGHT must be a number from 0 to 2147483647, not '-1'\n"),
        (
            "sync listen --interface lo --group 192.0.2.1",
            "error: invalid value '192.0.2.1' for '--group <ADDRESS>': must be a multicast address, such as",
        ),
        (
            "conns --all",
            "error: the following required arguments were not provided:\n  <--save <FILE>|--load <FILE>|--kill|--move-to <SERVER>>\n",
        ),
    ] {
        let Done { status, stdout, stderr } = director.run(&format!("ipvs-cli {line}"));
        assert_eq!((status, &*stdout), (2, ""), "{line}");
        assert!(stderr.starts_with(expected), "{line}: {stderr}");
    }
}
