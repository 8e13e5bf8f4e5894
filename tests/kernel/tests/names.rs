//! How often names are asked for: each once, however often it stands in a listing or a script. What
//! they look like is in the cases.

use kernel_tests::case::Status;
use kernel_tests::target::Target;
use std::collections::{BTreeMap, BTreeSet};
use std::net::UdpSocket;
use std::sync::{Arc, Mutex};
use std::{fs, thread};

#[path = "shell/mod.rs"]
mod shell;

/// Writes down what is asked, then asks.
const WATCHED_GETENT: &str = r#"cat >/usr/local/sbin/getent <<'END'
#!/bin/sh
for word in "$@"; do echo "$word" >>/run/asked; done
exec /usr/bin/getent "$@"
END
chmod 755 /usr/local/sbin/getent"#;

/// The questions of one command, each with how often it was asked.
fn asked(line: &str) -> BTreeMap<String, usize> {
    shell::with(Target::IpvsCli, |shell| {
        shell.type_in(WATCHED_GETENT, b"");
        let mut script = String::new();
        for port in 1..=150 {
            script +=
                &format!("-A -t www.example.net:{port}\n-a -t www.example.net:{port} -r app1.example.net:http -m\n");
            script +=
                &format!("-a -t www.example.net:{port} -r app2.example.net:http -m\n-A -t [2001:db8::1]:{port}\n");
        }
        fs::write("/run/script", script).expect("/run is the guest's own");
        shell.type_in("ipvsadm -R </run/script; : >/run/asked", b"");
        assert_eq!(
            shell.table()[0].stdout.split(|&byte| byte == b'\n').count(),
            4 * 150 + 1,
            "the script was carried out"
        );
        let outcome = shell.type_in(line, b"");
        assert_eq!((outcome.status, &*outcome.stderr), (Status::Exit(0), &b""[..]), "{line}");
        let mut count = BTreeMap::new();
        for word in fs::read_to_string("/run/asked").expect("something was asked").lines() {
            *count.entry(word.to_owned()).or_default() += 1;
        }
        count
    })
}

#[track_caller]
fn once(asked: &BTreeMap<String, usize>, names: &[&str]) {
    let of = |name: &&str| asked.get(*name).copied().unwrap_or(0);
    assert!(names.iter().map(of).all(|count| count == 1), "each of {names:?} once: {asked:?}");
    // The databases' names and the options stand there as often as getent runs.
    let is_question = |word: &str| !["hosts", "ahostsv4", "services"].contains(&word) && !word.starts_with('-');
    let twice: Vec<_> = asked.iter().filter(|(word, count)| **count > 1 && is_question(word)).collect();
    assert!(twice.is_empty(), "asked for more than once: {twice:?}");
}

#[test]
fn in_a_listing() {
    for listing in ["ipvsadm -L", "ipvsadm -S", "ipvsadm -L --stats"] {
        once(&asked(listing), &["192.0.2.1", "192.0.2.11", "192.0.2.12", "2001:db8::1", "80/tcp", "150/tcp"]);
    }
}

#[test]
fn in_a_script() {
    once(
        &asked("ipvsadm -C; ipvsadm -R </run/script"),
        &["www.example.net", "app1.example.net", "app2.example.net", "http/tcp"],
    );
}

/// Answers, but has somebody add a service first.
const SLOW_GETENT: &str = r#"cat >/usr/local/sbin/getent <<'END'
#!/bin/sh
ipvsadm -A -f 9 2>/dev/null
exec /usr/bin/getent "$@"
END
chmod 755 /usr/local/sbin/getent"#;

#[test]
fn a_director_that_changes_while_names_are_looked_up_is_read_again() {
    shell::with(Target::IpvsCli, |shell| {
        shell.type_in(SLOW_GETENT, b"");
        let outcome = shell.type_in("ipvs-cli apply --quiet -", b"-A -t www.example.net:80 -s rr\n");
        assert_eq!((outcome.status, &*outcome.stderr), (Status::Exit(0), &b""[..]));
        let saved = shell.type_in("ipvsadm -S -n", b"").stdout;
        assert_eq!(String::from_utf8_lossy(&saved), "-A -t 192.0.2.1:80 -s rr\n");
    });
}

/// Addresses of every kind in a file, and a DNS server behind it.
const HOSTS: &str = "127.0.0.1 localhost\n192.0.2.1 v4.test\n2001:db8::1 v6.test\n192.0.2.2 both.test\n\
    2001:db8::2 both.test\n::ffff:192.0.2.9 mapped.test\n::1 six-local.test\n";

/// What is asked, and nobody answers, or somebody does: `v4.dns.test` and `both.dns.test` have an
/// address of IPv4, `v6.dns.test` and `both.dns.test` one of IPv6, and `many.dns.test` has three of
/// IPv4. Writes down each question once.
struct Dns {
    asked: Arc<Mutex<BTreeSet<String>>>,
}

impl Dns {
    /// In this thread's network, until its sockets are gone with it.
    fn start(answers: bool) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:53").expect("the network is the test's own");
        let asked = Arc::new(Mutex::new(BTreeSet::new()));
        let book = Arc::clone(&asked);
        thread::spawn(move || {
            let mut packet = [0; 512];
            while let Ok((length, client)) = socket.recv_from(&mut packet) {
                let (question, end, kind) = question(&packet[..length]);
                book.lock().unwrap().insert(format!("{question} {kind}"));
                if answers {
                    let reply = reply(&packet[..end], &question, kind);
                    socket.send_to(&reply, client).expect("the client waits");
                }
            }
        });
        Dns { asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().cloned().collect()
    }
}

const A: u16 = 1;
const AAAA: u16 = 28;

/// RFC 1035, 4.1.2: the name, where the question ends, and its type.
fn question(packet: &[u8]) -> (String, usize, u16) {
    let (mut labels, mut at) = (Vec::new(), 12);
    while packet[at] != 0 {
        let end = at + 1 + usize::from(packet[at]);
        labels.push(String::from_utf8_lossy(&packet[at + 1..end]).into_owned());
        at = end;
    }
    (labels.join("."), at + 5, u16::from_be_bytes([packet[at + 1], packet[at + 2]]))
}

fn reply(query: &[u8], name: &str, kind: u16) -> Vec<u8> {
    let v4 = |last| vec![192, 0, 2, last];
    let v6 = || vec![0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x77];
    let addresses = match (name, kind) {
        ("v4.dns.test", A) => vec![v4(77)],
        ("both.dns.test", A) => vec![v4(78)],
        ("many.dns.test", A) => vec![v4(93), v4(91), v4(92)],
        ("v6.dns.test" | "both.dns.test", AAAA) => vec![v6()],
        _ => Vec::new(),
    };
    let mut reply = query.to_vec();
    // An answer without an error; one question, and this number of answers.
    reply[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, u8::try_from(addresses.len()).unwrap(), 0, 0, 0, 0]);
    for address in addresses {
        reply.extend([0xc0, 12]);
        reply.extend(kind.to_be_bytes());
        reply.extend([0, 1, 0, 0, 0, 60, 0, u8::try_from(address.len()).unwrap()]);
        reply.extend(address);
    }
    reply
}

/// What a command ends with and makes, and what DNS is asked for it.
type Resolved = (Status, String, String, Vec<String>);

fn resolved(target: Target, answers: bool, line: &str) -> Resolved {
    shell::with(target, |shell| {
        fs::write("/etc/hosts", HOSTS).expect("/etc is the test's own");
        fs::write("/etc/nsswitch.conf", "hosts: files dns\nservices: files\n").expect("/etc is the test's own");
        // As short as can be: a name that nobody answers is waited for.
        let resolver = "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n";
        fs::write("/etc/resolv.conf", resolver).expect("/etc is the test's own");
        let dns = Dns::start(answers);
        let outcome = shell.type_in(line, b"");
        let table = String::from_utf8_lossy(&shell.table()[0].stdout).into_owned();
        (outcome.status, String::from_utf8_lossy(&outcome.stderr).into_owned(), table, dns.asked())
    })
}

/// A name in a file is found without DNS, which may be silent; and IPv6 is never asked for, as by
/// `gethostbyname`.
#[test]
fn dns_is_asked_what_ipvsadm_asks_it() {
    let all = ["v4", "v6", "both", "mapped", "six-local", "none"];
    let batch = all.map(|name| format!("-A -t {name}.test:80\n")).concat();
    let batch = format!("printf '{batch}' | ipvsadm -R");
    let real = "ipvsadm -A -t [2001:db8::9]:80; ipvsadm -a -t [2001:db8::9]:80 -r both.test:80 -i";
    for (answers, line) in [
        (false, "ipvsadm -A -t v4.test:80"),
        (false, "ipvsadm -A -t [v4.test]:80"),
        (false, "ipvsadm -A -t [v6.test]:80"),
        (false, "ipvsadm -A -6 -t v6.test:80"),
        (false, &batch),
        (false, real),
        (true, "ipvsadm -A -t v4.dns.test:80"),
        (true, "ipvsadm -A -t v6.dns.test:80"),
        (true, "ipvsadm -A -t both.dns.test:80"),
        (true, "ipvsadm -A -t none.dns.test:80"),
        (true, &batch),
    ] {
        let original = resolved(Target::Ipvsadm, answers, line);
        assert!(original.3.iter().all(|question| question.ends_with(" 1")), "only IPv4: {:?}", original.3);
        assert_eq!(resolved(Target::IpvsCli, answers, line), original, "{line}");
    }
    let names = resolved(Target::IpvsCli, false, "ipvsadm -A -t v4.test:80; ipvsadm -A -t both.test:80").3;
    assert_eq!(names, [""; 0], "both stand in /etc/hosts");
}

/// Of several addresses the first is taken, in the order in which DNS has them.
#[test]
fn of_several_addresses_it_is_the_first() {
    let line = "ipvsadm -A -t many.dns.test:80";
    let of = |target| resolved(target, true, line).2;
    assert_eq!(of(Target::IpvsCli), of(Target::Ipvsadm));
}
