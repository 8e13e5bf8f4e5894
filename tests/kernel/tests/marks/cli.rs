//! `ipvs-cli mark`, with the rules in this kernel and services in an in-memory one, or in this one
//! where it has IPVS.

use super::packets::mark_of;
use super::schema::objects;
use super::world::{Lacking, Test};
use fwmark::{Backend, BackendError, Owner};
use ipvs::{Client, Table};
use ipvs_cli::director::Director;
use ipvs_cli::env::Environment;
use serde_json::json;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::Duration;

pub(crate) const TESTS: &[(&str, Test)] = &[
    ("rules_are_added_listed_and_deleted", rules_are_added_listed_and_deleted),
    ("a_free_mark_is_chosen", a_free_mark_is_chosen),
    ("check_finds_what_is_in_the_way", check_finds_what_is_in_the_way),
    ("two_ports_are_one_service", two_ports_are_one_service),
    ("a_file_is_the_whole_setup", a_file_is_the_whole_setup),
];

/// What a call did.
#[derive(Debug, PartialEq, Eq)]
struct Done {
    status: u8,
    stdout: String,
    stderr: String,
}

fn done(status: u8, stdout: &str) -> Done {
    Done { status, stdout: stdout.to_owned(), stderr: String::new() }
}

/// Calls ipvs-cli. It needs a back end, of whichever kind.
fn call(kernel: &mut Director, line: &str) -> Done {
    feed(kernel, line, "")
}

/// The same, with this on standard input.
fn feed(kernel: &mut Director, line: &str, input: &str) -> Done {
    let argv: Vec<OsString> = format!("ipvs-cli {line}").split(' ').map(OsString::from).collect();
    let (mut stdin, mut stdout, mut stderr) = (input.as_bytes(), Vec::new(), Vec::new());
    let mut environment = Environment::new(&mut stdin, &mut stdout, &mut stderr);
    let status = ipvs_cli::run(&argv, &mut environment, kernel);
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Done { status, stdout: text(stdout), stderr: text(stderr) }
}

fn needs_backend() -> Result<Director, Lacking> {
    match Backend::detect(Owner::default()) {
        Err(error @ BackendError::Unavailable { .. }) => Err(Lacking(error.to_string())),
        result => {
            result.expect("a network of our own");
            Ok(Director::with(Client::fake(Table::new())))
        }
    }
}

fn rules_are_added_listed_and_deleted() -> Result<(), Lacking> {
    let mut kernel = needs_backend()?;
    let mut call = |line: &str| self::call(&mut kernel, line);
    assert_eq!(call("mark list"), done(0, ""));
    assert_eq!(call("mark add 10 tcp:127.0.0.1:80,443 tcp:127.0.0.2:80"), done(0, ""));
    assert_eq!(call("mark add 0xa tcp:127.0.0.1:80,443"), done(0, "nothing to change\n"));
    assert_eq!(call("mark add 11 any:[2001:db8::/64] --output --mask 0xff"), done(0, ""));
    assert_eq!(call("mark add 12 udp:127.0.0.0/8 --source 127.0.0.1 --interface eth+"), done(0, ""));
    let all = "10 tcp:127.0.0.1:80,443
10 tcp:127.0.0.2:80
11 any:[2001:db8::/64] --output --mask 0xff
12 udp:127.0.0.0/8 --source 127.0.0.1 --interface eth+
";
    assert_eq!(call("mark list"), done(0, all));
    let objects = objects("mark", &call("mark list --json").stdout);
    assert_eq!(objects.len(), 4);
    assert_eq!(
        objects[0],
        json!({"version": 1, "mark": 10, "address": "127.0.0.1", "protocol": "tcp", "ports": [80, 443]})
    );
    let expected = json!({"version": 1, "mark": 11, "address": "2001:db8::/64", "output": true, "mask": 255});
    assert_eq!(objects[2], expected);
    let as_lines = call("mark list --iptables").stdout;
    let read: Vec<_> = as_lines.lines().map(|line| fwmark::parse(line).expect("a line").rule).collect();
    assert_eq!(Backend::detect(Owner::default()).unwrap().list().unwrap(), read);
    assert_eq!(mark_of("127.0.0.1".parse().unwrap(), "127.0.0.1:443".parse().unwrap()), 10);

    assert_eq!(call("mark delete 10 tcp:127.0.0.2:80"), done(0, ""));
    assert_eq!(call("mark delete 12"), done(0, ""));
    assert_eq!(call("mark delete 12").status, 1);
    assert_eq!(call("mark list").stdout.lines().count(), 2);
    assert_eq!(call("mark delete --quiet --all"), done(0, ""));
    assert_eq!(call("mark list"), done(0, ""));
    assert_eq!(call("mark add --quiet auto tcp:127.0.0.1:80"), done(0, "1\n"), "the mark is the answer");
    assert_eq!(call("mark add --quiet 1 tcp:127.0.0.1:80"), done(0, ""), "nothing to change");
    assert_eq!(call("mark delete --quiet --all"), done(0, ""));
    let none = call("mark delete --all");
    assert_eq!((none.status, &*none.stderr), (1, "ipvs-cli: the owner ipvs-fwmark has no rules here\n"));
    assert_eq!(call("mark add 10 tcp:127.0.0.1:http").status, 2);
    assert_eq!(call("mark add 10 tcp:2001:db8::1:80").status, 2);
    assert_eq!(call("mark list"), done(0, ""));
    assert_eq!(call("mark add 0 tcp:127.0.0.1:80").status, 2);
    Ok(())
}

fn a_free_mark_is_chosen() -> Result<(), Lacking> {
    let mut kernel = needs_backend()?;
    let mut call = |line: &str| self::call(&mut kernel, line);
    assert_eq!(call("-A -f 1 -s rr"), done(0, ""));
    assert_eq!(call("mark add 2 any:127.0.0.1 --owner other"), done(0, ""));
    assert_eq!(call("mark add 4 any:127.0.0.1 --mask 0x4 --owner other"), done(0, ""));
    assert_eq!(call("mark add auto tcp:127.0.0.1:80"), done(0, "3\n"));
    assert_eq!(call("mark add auto tcp:127.0.0.1:81"), done(0, "8\n"));
    Ok(())
}

fn check_finds_what_is_in_the_way() -> Result<(), Lacking> {
    let mut kernel = needs_backend()?;
    let mut call = |line: &str| self::call(&mut kernel, line);
    assert_eq!(call("-A -f 10 -s rr"), done(0, ""));
    assert_eq!(
        call("mark check"),
        done(1, "the IPv4 service of mark 10 gets no packets: no rule gives them this mark\n")
    );
    assert_eq!(call("mark add 10 tcp:127.0.0.1:80,443"), done(0, ""));
    assert_eq!(call("mark check"), done(0, ""));
    assert_eq!(call("mark add 11 tcp:[::1]:80"), done(0, ""));
    assert_eq!(call("mark check"), done(1, "mark 11 has no service for IPv6\n"));
    let answer = call("mark check --json");
    let found = &objects("findings", &answer.stdout)[0];
    assert_eq!(
        (answer.status, &found["role"], &found["findings"][0]["id"]),
        (1, &json!("marks"), &json!("mark-without-service"))
    );
    assert_eq!(call("mark delete 11"), done(0, ""));
    assert_eq!(call("mark add 5 any:127.0.0.0/8 --owner other"), done(0, ""));
    let found = call("mark check");
    assert_eq!((found.status, found.stdout.lines().count()), (1, 1), "{found:?}");
    assert!(found.stdout.contains("also marked 5"), "{found:?}");
    assert_eq!(call("mark delete --all --owner other"), done(0, ""));
    assert_eq!(call("-A -f 11 -s rr"), done(0, ""));
    let added = call("mark add 11 tcp:127.0.0.1");
    let note =
        "ipvs-cli: the rule 10 tcp:127.0.0.1:80,443 has no effect any more: the later rule 11 tcp:127.0.0.1 decides\n";
    assert_eq!((added.status, &*added.stderr), (0, note));
    let found =
        "no packet gets mark 10 by the rule 10 tcp:127.0.0.1:80,443: the later rule 11 tcp:127.0.0.1 marks them all\n";
    assert_eq!(call("mark check"), done(1, found));
    let found = &objects("findings", &call("mark check --json").stdout)[0];
    assert_eq!(found["findings"][0]["id"], json!("mark-overridden"));
    assert_eq!(call("mark delete 11"), done(0, ""));
    // The rules make mark 14 together, and the service of mark 10 gets none of the packets.
    assert_eq!(call("mark add 4 tcp:127.0.0.1 --mask 0x4"), done(0, ""));
    let found = call("mark check").stdout;
    let expected = "the rule 10 tcp:127.0.0.1:80,443: the later rule 4 tcp:127.0.0.1 --mask 0x4 marks them all\n";
    assert!(found.contains(&format!("no packet gets mark 10 by {expected}")), "{found}");
    Ok(())
}

/// The director is its own client, and the servers are on it too: that is all that a packet needs
/// to be balanced.
fn director() -> Result<Director, Lacking> {
    needs_backend()?;
    Client::connect().map_err(|error| Lacking(error.to_string()))?;
    for address in ["10.9.0.1", "10.9.0.11", "10.9.0.12"] {
        let added = Command::new("ip").args(["addr", "add", &format!("{address}/32"), "dev", "lo"]).status();
        assert!(added.is_ok_and(|status| status.success()), "ip addr add {address}");
    }
    for server in ["10.9.0.11", "10.9.0.12"] {
        [80, 443].into_iter().for_each(|port| serve(SocketAddr::new(server.parse().expect("an address"), port)));
    }
    Ok(Director::of_this_machine())
}

fn is_one_server() {
    let persistent: Vec<_> = [80, 443, 80, 443].map(answer).into();
    assert!(persistent.iter().all(|server| *server == persistent[0]), "{persistent:?}");
}

fn two_ports_are_one_service() -> Result<(), Lacking> {
    let mut kernel = director()?;
    let mut call = |line: &str| self::call(&mut kernel, line);
    for line in ["-A -f 10 -s rr -p 600", "-a -f 10 -r 10.9.0.11 -m", "-a -f 10 -r 10.9.0.12 -m"] {
        assert_eq!(call(line), done(0, ""), "{line}");
    }
    assert!(TcpStream::connect("10.9.0.1:80").is_err(), "without a mark, nobody listens at the virtual address");
    assert_eq!(call("mark add 10 tcp:10.9.0.1:80,443 --output"), done(0, ""));
    is_one_server();
    assert_eq!(call("mark delete --all"), done(0, ""));
    assert!(TcpStream::connect("10.9.0.1:80").is_err(), "the mark is gone");
    Ok(())
}

const SETUP: &str = "version = 1
[[services]]
mark = 10
persistence = 600
group = [{ address = '10.9.0.1', protocol = 'tcp', ports = [80, 443], output = true }]
destinations = [
    { address = '10.9.0.11', forwarding = 'masquerade' },
    { address = '10.9.0.12', forwarding = 'masquerade' },
]
";

fn a_file_is_the_whole_setup() -> Result<(), Lacking> {
    let mut kernel = director()?;
    let mut feed = |line: &str, input: &str| self::feed(&mut kernel, line, input);
    let other = feed("mark add 5 tcp:10.9.0.1:81 --owner other", "");
    assert_eq!(other, done(0, ""));
    assert_eq!(feed("apply -", SETUP), done(0, "1 service added; 2 destinations added; 1 mark rule added\n"));
    is_one_server();
    assert_eq!(feed("apply -", SETUP), done(0, "nothing to change\n"));
    for notation in ["--json", "--toml"] {
        let shown = feed(&format!("show {notation}"), "").stdout;
        assert!(shown.contains("443"), "{shown}");
        assert_eq!(feed("apply -", &shown), done(0, "nothing to change\n"), "{shown}");
    }
    let moved = SETUP.replace("mark = 10", "mark = 20");
    let summary =
        "1 service added, 1 deleted with 2 destinations; 2 destinations added; 1 mark rule added, 1 deleted\n";
    assert_eq!(feed("apply -", &moved), done(0, summary));
    is_one_server();
    assert_eq!(feed("mark list", ""), done(0, "20 tcp:10.9.0.1:80,443 --output\n"));
    assert_eq!(
        feed("apply -", "version = 1\nservices = []"),
        done(0, "1 service deleted with 2 destinations; 1 mark rule deleted\n")
    );
    assert_eq!(feed("mark list", ""), done(0, ""));
    assert_eq!(feed("mark list --owner other", ""), done(0, "5 tcp:10.9.0.1:81\n"), "of another owner");
    assert!(TcpStream::connect("10.9.0.1:80").is_err(), "mark and service are gone");
    Ok(())
}

/// Sends its name to each client.
fn serve(at: SocketAddr) {
    let listener = TcpListener::bind(at).expect("an address of this machine");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = stream.and_then(|mut stream| stream.write_all(at.ip().to_string().as_bytes()));
        }
    });
}

fn answer(port: u16) -> String {
    let at = SocketAddr::new("10.9.0.1".parse().expect("an address"), port);
    let mut stream = TcpStream::connect_timeout(&at, Duration::from_secs(10)).expect("the service answers");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("a server says its name");
    text
}
