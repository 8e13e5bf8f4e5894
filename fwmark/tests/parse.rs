//! What `parse` reads, and where it stops.

use std::num::NonZeroU32;

use fwmark::{Action, Reason, parse};

/// A line around a part of it.
fn line(part: &str) -> String {
    format!("iptables -t mangle -A PREROUTING {part} -j MARK --set-mark 10")
}

#[track_caller]
fn prints(written: &str, printed: &str) {
    assert_eq!(parse(written).unwrap().to_string(), printed);
}

#[track_caller]
fn stops(written: &str, word: &str, message: &str) {
    let error = parse(written).unwrap_err();
    assert_eq!(error.word(), word, "{error}");
    assert_eq!(error.reason().to_string(), message);
}

#[test]
fn lines_of_iptables_save_are_read() {
    prints(
        "iptables-legacy -t mangle -A PREROUTING -d 172.16.2.100/32 -i eth0 -p tcp -m tcp --dport 80 -j MARK --set-xmark 0x6/0xffffffff",
        "iptables -t mangle -A PREROUTING -i eth0 -d 172.16.2.100 -p tcp --dport 80 -j MARK --set-mark 6",
    );
}

#[test]
fn long_names_and_other_spellings_mean_the_same() {
    prints(
        "/usr/sbin/ip6tables --table=mangle --source 2001:db8:1::/48 --insert OUTPUT 7 --dst=2001:db8::1 --proto 17 --match multiport --destination-ports 53,1000:2000 --jump MARK --set-mark 0x10/0xff",
        "ip6tables -t mangle -I OUTPUT 7 -s 2001:db8:1::/48 -d 2001:db8::1 -p udp -m multiport --dports 53,1000:2000 -j MARK --set-xmark 0x10/0xff",
    );
}

#[test]
fn an_insertion_goes_to_the_first_place() {
    let read = |text: &str| parse(&line("").replace("-A PREROUTING", text)).map(|line| line.action);
    assert_eq!(read("-I PREROUTING"), Ok(Action::Insert(NonZeroU32::MIN)));
    assert_eq!(read("-I PREROUTING 1"), Ok(Action::Insert(NonZeroU32::MIN)));
    assert_eq!(read("-D PREROUTING"), Ok(Action::Delete));
    assert_eq!(read("-I PREROUTING 0").unwrap_err().word(), "0");
    assert_eq!(read("-D PREROUTING 3").unwrap_err().word(), "3");
}

#[test]
fn other_conditions_are_refused() {
    let unknown = Reason::Unknown.to_string();
    stops(&line("! -d 192.0.2.1"), "!", &unknown);
    stops(&line("-o eth1"), "-o", &unknown);
    stops(&line("-p tcp --sport 80"), "--sport", &unknown);
    stops(&line("-p tcp --syn"), "--syn", &unknown);
    stops(&line("-m mark --mark 1"), "mark", &Reason::Match.to_string());
    stops(&line("-p tcp -m udp"), "udp", &Reason::Match.to_string());
}

#[test]
fn values_are_checked_where_they_stand() {
    stops(&line("-p tcp --dport http"), "http", "invalid port, expected a number from 0 to 65535, or FIRST:LAST");
    stops(&line("-p icmp"), "icmp", "invalid protocol, expected tcp, udp or sctp");
    stops(
        &line("-d shop.example"),
        "shop.example",
        "invalid address, expected an IPv4 or IPv6 address, with /PREFIX for a network",
    );
    stops(
        &line("-d 2001:db8::1"),
        "2001:db8::1",
        "must be an IPv4 address for iptables, an IPv6 address for ip6tables",
    );
    stops(
        &line("").replace("set-mark 10", "set-xmark 0x100/0xff"),
        "0x100/0xff",
        "invalid mark and mask, expected a mark that has no bit outside of the mask",
    );
}

#[test]
fn options_need_those_that_bring_them() {
    stops(&line("--dport 80 -p tcp"), "--dport", "needs -p tcp, udp or sctp before it");
    stops(&line("-p tcp --dports 80"), "--dports", "needs -m multiport before it");
    stops(&line("-p tcp -m multiport --dport 80"), "multiport", "needs --dports after it");
    stops("iptables -t mangle --set-mark 10", "--set-mark", "needs -j MARK before it");
    stops(
        &line("-i eth0").replace("PREROUTING", "OUTPUT"),
        "-i",
        "not possible in the chain OUTPUT, whose packets come in by no interface",
    );
}

#[test]
fn an_option_given_twice_is_refused() {
    stops(&line("-d 192.0.2.1 --dst 192.0.2.2"), "--dst", "given twice");
    stops(&line("-I OUTPUT"), "-I", "given twice");
    stops(&line("-p tcp -m multiport --dports 80 --dport 81"), "--dport", "given twice");
}

#[test]
fn a_line_that_ends_too_early_says_what_is_missing() {
    stops("", "", "a line must start with iptables or ip6tables");
    stops("iptables", "", "-t mangle is missing");
    stops("iptables -t mangle", "", "-A, -I or -D with a chain is missing");
    stops("iptables -t mangle -A OUTPUT", "", "-j MARK is missing");
    stops("iptables -t mangle -A OUTPUT -j MARK", "", "--set-mark is missing");
    stops("iptables -t mangle -A", "-A", "its value is missing");
    let error = parse("iptables -t mangle").unwrap_err();
    assert_eq!(error.to_string(), "column 19, end of the line: -A, -I or -D with a chain is missing");
}
