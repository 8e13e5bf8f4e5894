//! Debian's init script of ipvsadm: every word that it knows, with every way to configure it.

use crate::protocol::{self, Protocol};
use kernel_tests::case::Transcript;
use kernel_tests::system::{Installation, System};
use kernel_tests::target::Target;

const SCRIPT: &str = "/etc/init.d/ipvsadm";
const CONFIGURED: &str = "/etc/default/ipvsadm";
const RULES: &str = "/etc/ipvsadm.rules";

/// Words in an order in which each has something to do.
const WORDS: [&str; 10] =
    ["status", "save", "rate", "start", "force-reload", "restart", "stop", "load", "condrestart", ""];

/// Nothing that `ipvs-cli` saves otherwise: docs/compatibility.md lists that.
const TABLE: &str = "\
-A -t 192.0.2.1:80 -s wrr -p 300 -M 255.255.255.0
-a -t 192.0.2.1:80 -r 192.0.2.11:8080 -m -w 3
-a -t 192.0.2.1:80 -r 192.0.2.12:80 -i -w 0 --tun-type gue --tun-port 6080 --tun-csum
-A -u 192.0.2.1:53 -s rr -o
-a -u 192.0.2.1:53 -r 192.0.2.11:53 -g -w 1
-A -t [2001:db8::1]:443 -s sh -b sh-port
-a -t [2001:db8::1]:443 -r [2001:db8::11]:443 -g -w 100
-A -f 9 -s mh
-a -f 9 -r 192.0.2.13:0 -g -w 7
";

#[test]
fn as_it_is_shipped() {
    check(&[]);
}

#[test]
fn started_at_boot() {
    check(&["AUTO=\"true\""]);
}

#[test]
fn with_a_sync_daemon() {
    check(&["DAEMON=\"master\"", "IFACE=\"lo\""]);
    check(&["AUTO=\"true\"", "DAEMON=\"backup\"", "IFACE=\"lo\"", "SYNCID=\"17\""]);
}

#[test]
fn with_both_sync_daemons() {
    check(&["AUTO=\"true\"", "DAEMON=\"both\"", "IFACE=\"lo\"", "SYNCID=\"3\""]);
}

#[test]
fn with_an_interface_that_is_not_there() {
    check(&["AUTO=\"true\"", "DAEMON=\"both\"", "IFACE=\"eth7\""]);
}

#[test]
fn with_rules_that_are_wrong() {
    let rules = "# mine\n-A -t 192.0.2.1:80 -s rr\n\n# not an address:\n-a -t 192.0.2.1:80 -r 912.168.0.1 -m\n\
        -a -t 192.0.2.1:80 -r 192.0.2.11 -m\n-A -t 192.0.2.1:80\n-A -f 4 -s no-such\r\n-A -f 5 -s rr";
    let play = |system: &System| {
        let mut protocol = Protocol::default();
        for text in [rules, "", "#\n", "-C\n-A -f 6\nnonsense\n"] {
            system.write(RULES, text);
            say(system, "load", &mut protocol);
        }
        protocol
    };
    protocol::assert_same(&[Installation::of(Target::IpvsCli)], play);
}

/// With these lines at the end of the configuration, all words do the same.
fn check(configured: &[&str]) {
    let play = |system: &System| {
        let shipped = system.read(CONFIGURED);
        assert!(shipped.contains("AUTO="), "the package has another {CONFIGURED}: {shipped}");
        system.write(CONFIGURED, &format!("{shipped}\n{}\n", configured.join("\n")));
        let filled = system.run_with("/sbin/ipvsadm", ["-R"], TABLE.as_bytes());
        assert_eq!(filled.transcript(), Transcript::default());
        let mut protocol = Protocol::default();
        WORDS.iter().for_each(|word| say(system, word, &mut protocol));
        protocol
    };
    protocol::assert_same(&[Installation::of(Target::IpvsCli)], play);
}

/// Says a word to the script, and looks at what has become of the table and of the saved rules.
fn say(system: &System, word: &str, protocol: &mut Protocol) {
    let arguments = Some(word).filter(|word| !word.is_empty());
    protocol.add(format!("{SCRIPT} {word}"), &system.run(SCRIPT, arguments));
    protocol.add_table(word, system);
    protocol.add_lines(format!("{word}: {RULES}"), system.read(RULES).lines().map(str::to_owned).collect());
}
