//! What would have been understood.

use super::address::address;
use super::show;
use crate::ipvsadm::Usage;
use crate::ipvsadm::grammar::{Item, ROWS};
use crate::ipvsadm::rules::{self, Rule, Slot, Verb};

/// What the message leaves open, if it does.
pub fn usage(usage: &Usage) -> Option<String> {
    Some(match usage {
        Usage::Address(_, word) => format!("`{}': {}", show(word), address(word)),
        Usage::NoCommand => "a command comes first, such as -A, -a or -L, and its options follow".to_owned(),
        Usage::SecondCommand(word) => format!("one command at a time: `{}' has a second one", show(word)),
        Usage::Illegal(what) => value(what)?.to_owned(),
        Usage::Invalid("fwmark", word) => mark(word),
        Usage::Invalid(_, word) => format!("`{}': a timeout is a number of seconds, at most 2678400 (31 days)", show(word)),
        Usage::Group(..) => "a group is an address from 224.0.0.0 to 239.255.255.255, or one that begins with ff".to_owned(),
        Usage::Flag(how, _) => flag(how).to_owned(),
        Usage::Ipv6BeforeMark => "-6 says of what family a firewall mark is, and stands behind it, as in -f 10 -6".to_owned(),
        Usage::TooFewTimeouts => {
            "these are TCP, TCP after a FIN, and UDP, in seconds, as in --set 900 120 300; 0 leaves one as it is".to_owned()
        }
        Usage::ZeroPort => "give a port, as in 192.0.2.1:80; only with -p a service can be for all ports".to_owned(),
        Usage::OnePacketNotUdp => "-o goes with -u or -f".to_owned(),
        Usage::MixedFamilies => "such a server needs -i".to_owned(),
        Usage::NotATunnel => "they go with -i".to_owned(),
        Usage::ListConflict => {
            "-c, --timeout and --daemon list something else than services, so --stats, --rate and --thresholds have no place there"
                .to_owned()
        }
        Usage::Multiple(slot) => alternatives(slot.name())?,
        Usage::Needed { option, .. } => format!("that is {}", options(option).join(" or ")),
        Usage::NotAllowed { option, by } => elsewhere(option, by),
        Usage::UnknownOption(_) | Usage::NoValue(_) | Usage::UnwantedValue(_) => return None,
        Usage::UnexpectedWord(_) | Usage::Conflict { .. } => return None,
    })
}

/// The range of a value.
fn value(what: &str) -> Option<&'static str> {
    Some(match what {
        "weight" => "a weight is a number from 0 to 2147483647; 0 takes no new connections",
        "u_threshold" | "l_threshold" => {
            "a threshold is a number of connections from 0 to 2147483647; 0 is no threshold"
        }
        "virtual server persistent mask" => {
            "an IPv4 mask is written as 255.255.255.0; for the prefix length of an IPv6 service, the service stands before -M"
        }
        "ipv6 netmask" => "for an IPv6 service it is a prefix length, 1 to 128, as in -M 64",
        "tunnel type" => "there are ipip, gue and gre",
        "tunnel port" | "mcast-port" => "a port here is a number from 1 to 65535",
        "syncid" => "a sync id is a number from 0 to 255; 0 takes all",
        "mcast-ttl" => "a time to live is a number from 1 to 255",
        "sync-maxlen" => "a length is a number of bytes from 1 to 65507",
        "start-daemon parameter" | "start_daemon" => "a daemon is master or backup",
        _ => return None,
    })
}

fn mark(word: &[u8]) -> String {
    let digits = word.strip_prefix(b"0x").or_else(|| word.strip_prefix(b"0X"));
    let number = digits.and_then(|digits| u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
    match number.filter(|number| *number > 0) {
        Some(number) => format!("a firewall mark is written in decimal digits: {number}"),
        None => "a firewall mark is a decimal number from 1 to 4294967295".to_owned(),
    }
}

fn flag(how: &str) -> &'static str {
    match how {
        "incompatible" => "sh-fallback and sh-port go with -s sh, mh-fallback and mh-port with -s mh",
        _ => {
            "there are sh-fallback, sh-port, mh-fallback, mh-port, flag-1, flag-2 and flag-3, with commas between them"
        }
    }
}

/// The options that the name in a message stands for, as they are typed.
fn options(name: &str) -> Vec<String> {
    let rows = ROWS.iter().filter(|row| matches!(row.item, Item::Opt(_, Some(slot)) if slot.name() == name));
    rows.map(|row| match row.letters.chars().next() {
        Some(letter) => format!("-{letter}"),
        None => format!("--{}", row.long),
    })
    .collect()
}

/// Options that exclude each other, where several have one name.
fn alternatives(name: &str) -> Option<String> {
    let options = options(name);
    (options.len() > 1).then(|| format!("{} exclude each other", options.join(", ")))
}

/// What takes the option that is not allowed here.
fn elsewhere(option: &str, by: &str) -> String {
    let commands = Verb::ALL.map(rules::of_command);
    let tunnels = [&rules::IPIP, &rules::GUE, &rules::GRE];
    let all: &[&Rule] = if commands.iter().any(|rule| rule.name() == by) { &commands } else { &tunnels };
    let slot = Slot::ALL.iter().find(|slot| slot.name() == option);
    let takers = all.iter().filter(|rule| slot.is_some_and(|slot| rule.takes(*slot)));
    let names: Vec<_> = takers.filter_map(|rule| rule.name().split('\'').nth(1)).collect();
    format!("{} goes with {}", options(option).join(", "), names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipvsadm::testing;

    #[test]
    fn a_hint_shows_the_right_form() {
        for (line, part) in [
            ("-n -L", "a command comes first"),
            ("-L -A", "`-A' has a second one"),
            ("-A -t 10.0.0.1:80 -t 10.0.0.1:81", "-t, -u, --sctp-service, -f exclude each other"),
            ("-a -f 1 -r 10.0.0.1 -g -m", "exclude each other"),
            ("-A -t 10.0.0.1 -M 1.2.3.4.5", "an IPv4 mask"),
            ("-A -f 1 -6 -M 129", "1 to 128"),
            ("-A -f 0x10", "decimal digits: 16"),
            ("-A -f 0", "1 to 4294967295"),
            ("-A -f 1 -p 10.0.0.1", "a number of seconds"),
            ("-A -f 1 -s sh -b mh-port", "with -s mh"),
            ("-A -f 1 -b port", "sh-fallback, sh-port"),
            ("-A -6 -f 1", "-f 10 -6"),
            ("-A -t 10.0.0.1", "give a port"),
            ("-A -t 10.0.0.1:80 -o", "-o goes with -u"),
            ("-A", "that is -t or -u or --sctp-service or -f"),
            ("-A -f 1 -w 5", "-w goes with add-server, edit-server"),
            ("-a -f 1 -r 10.0.0.1 -w x", "0 to 2147483647"),
            ("-a -f 1 -r 10.0.0.1 -x -1", "a number of connections"),
            ("-a -f 1 -r [::1]:80", "needs -i"),
            ("-a -f 1 -r 10.0.0.1 --tun-type gue", "with -i"),
            ("-a -f 1 -r 10.0.0.1 -i --tun-type gtp", "ipip, gue and gre"),
            ("-a -f 1 -r 10.0.0.1 -i --tun-type gue", "--tun-port"),
            ("-a -f 1 -r 10.0.0.1 -i --tun-type gue --tun-port 0", "1 to 65535"),
            ("-a -f 1 -r 10.0.0.1 -i --tun-port 5", "--tun-port goes with gue"),
            ("--set 1 2", "--set 900 120 300"),
            ("--set 1 2 x", "`x': a timeout"),
            ("-L -c --stats", "no place there"),
            ("--start-daemon slave", "master or backup"),
            ("--stop-daemon slave", "master or backup"),
            ("--start-daemon master --syncid 256", "0 to 255"),
            ("--start-daemon master --mcast-group 10.0.0.1", "239.255.255.255"),
            ("--start-daemon master --mcast-port 0", "1 to 65535"),
            ("--start-daemon master --mcast-ttl 0", "1 to 255"),
            ("--start-daemon master --sync-maxlen 0", "1 to 65507"),
        ] {
            let wrong = testing::parse(line).unwrap_err();
            let hint = usage(&wrong).unwrap_or_else(|| panic!("{line}: {wrong}"));
            assert!(hint.contains(part), "{line}: {hint}");
        }
    }
}
