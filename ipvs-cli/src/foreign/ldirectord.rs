//! `ldirectord.cf`, from ldirectord(8) and from what ldirectord 4.12 does.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipvs::desired::{Place, Source};
use ipvs::{
    Destination, Family, FirewallMark, Forwarding, Netmask, Persistence, Protocol, Scheduler, Service, ServiceKey,
    Tunnel, Weight,
};
use ipvs_text::ipvsadm::value::{self, Resolve};

use super::Output;

/// Reads a configuration.
pub(super) fn read(source: &Source, names: &mut dyn Resolve, output: &mut Output) {
    let mut reader = Reader { names, output, section: None, fallback: None, is_skipped: false, seen: BTreeSet::new() };
    let (text, mut start) = (source.text(), 0);
    while start < text.len() && !reader.output.is_full() {
        let line = text[start..].split(|&byte| byte == b'\n').next().unwrap_or_default();
        reader.line(&String::from_utf8_lossy(line), &source.line(start));
        start += line.len() + 1;
    }
    reader.end_section();
}

struct Reader<'r> {
    names: &'r mut dyn Resolve,
    output: &'r mut Output,
    section: Option<Section>,
    /// The fallback of services that have none of their own.
    fallback: Option<(Place, String)>,
    /// The lines of a virtual service that is wrong itself.
    is_skipped: bool,
    seen: BTreeSet<String>,
}

/// `virtual =` and the lines below it. What its values mean depends on its protocol, which may come
/// last.
#[derive(Debug)]
struct Section {
    place: Place,
    address: String,
    is_v6: bool,
    protocol: Option<(Place, String)>,
    servers: Vec<(Place, String)>,
    scheduler: Option<(Place, String)>,
    persistence: Option<(Place, String)>,
    netmask: Option<(Place, String)>,
    one_packet: bool,
    is_off: Option<Place>,
    fallback: Option<(Place, String)>,
}

const CHECKS: &str = "real servers are checked by ldirectord only; all are taken as up";
/// Directives that say nothing about the table: of all services, or of one.
const ANYWHERE: [&str; 11] = [
    "checktimeout",
    "negotiatetimeout",
    "checkinterval",
    "checkcount",
    "failurecount",
    "quiescent",
    "cleanstop",
    "smtp",
    "emailalert",
    "emailalertfreq",
    "emailalertstatus",
];
/// As those, but not of one service.
const GLOBAL: [&str; 8] =
    ["autoreload", "callback", "emailalertfrom", "fork", "logfile", "maintenancedir", "readdquiescent", "supervised"];
/// As those, of one service only.
const OF_ONE: [&str; 14] = [
    "service",
    "checkcommand",
    "checkport",
    "request",
    "receive",
    "httpmethod",
    "virtualhost",
    "login",
    "passwd",
    "database",
    "secret",
    "monitorfile",
    "servicename",
    "comment",
];

impl Reader<'_> {
    fn line(&mut self, line: &str, place: &Place) {
        if line.contains('\0') {
            return self.output.problem(place, "there is a NUL in this line");
        }
        if line.trim_start().starts_with('#') {
            return;
        }
        if line.trim().is_empty() {
            self.end_section();
            self.is_skipped = false;
            return;
        }
        let line = line.split('#').next().unwrap_or_default().trim_end();
        let content = line.trim_start();
        let is_indented = line.starts_with('\t') || line.starts_with("    ");
        let (key, value) = content.split_once('=').unwrap_or((content, ""));
        let (key, value) = (key.trim(), value.trim());
        if !is_indented {
            self.end_section();
            self.is_skipped = false;
            return self.global(key, value, place);
        }
        match &mut self.section {
            Some(section) => of_section(section, key, value, place, self.output),
            None if self.is_skipped => {}
            None => self
                .output
                .problem(place, "an indented line must follow `virtual = …`, and an empty line ends a virtual service"),
        }
    }

    fn global(&mut self, key: &str, value: &str, place: &Place) {
        match key {
            "virtual" | "virtual6" => {
                self.section = Some(Section {
                    place: place.clone(),
                    address: value.to_owned(),
                    is_v6: key == "virtual6",
                    protocol: None,
                    servers: Vec::new(),
                    scheduler: None,
                    persistence: None,
                    netmask: None,
                    one_packet: false,
                    is_off: None,
                    fallback: self.fallback.clone(),
                });
            }
            "fallback" | "fallback6" => {
                self.fallback = Some((place.clone(), value.to_owned()));
                fallback(key, value, place, self.output);
            }
            "fallbackcommand" => fallback(key, value, place, self.output),
            "execute" => {
                let reason = "another ldirectord is started for that configuration, which has services of its own";
                self.output.note(place, format!("execute = {value}: {reason}"));
            }
            key if ANYWHERE.contains(&key) || GLOBAL.contains(&key) => {}
            key => self.output.problem(place, format!("'{key}' is not a directive of ldirectord")),
        }
    }

    /// Writes the service of the section.
    fn end_section(&mut self) {
        let Some(section) = self.section.take() else { return };
        let Some(key) = self.key(&section) else {
            self.is_skipped = true;
            return;
        };
        if !self.seen.insert(key.to_string()) {
            return self.output.problem(&section.place, format!("the service {key} is there twice"));
        }
        let service = self.service(&section, key);
        self.output.service(&section.place, service);
        if let Some(place) = &section.is_off {
            self.output.note(place, "checktype = off: ldirectord activates no real server");
            return;
        }
        if let Some((place, _)) = section.fallback.as_ref().filter(|_| section.servers.is_empty()) {
            let reason = format!("{key} has no real server: ldirectord has the fallback in the table");
            self.output.problem(place, reason);
        }
        let fallback = section.fallback.as_ref().and_then(|(_, text)| text.split_whitespace().next());
        let fallback = fallback.and_then(|word| self.addresses(&section, key, word));
        let mut addresses = BTreeSet::new();
        for (place, text) in &section.servers {
            for destination in self.servers(&section, key, text, place) {
                if self.output.is_full() {
                    return;
                }
                let at = (destination.address.ip(), destination.address.port());
                if fallback.is_some_and(|((ip, _), port)| at == (ip, port)) {
                    let reason =
                        "this real server is the fallback, too: ldirectord removes both when it removes the fallback";
                    self.output.problem(place, reason);
                } else if addresses.insert(destination.address) {
                    self.output.destination(place, key, destination);
                } else {
                    self.output.problem(place, format!("the real server {} is there twice", destination.address));
                }
            }
        }
    }

    fn key(&mut self, section: &Section) -> Option<ServiceKey> {
        let text = section.address.as_str();
        if let Ok(mark) = text.parse() {
            if let Some((place, name)) = section.protocol.as_ref().filter(|(_, name)| name != "fwm") {
                self.output.problem(place, format!("protocol of a firewall mark must be fwm, not {name}"));
            }
            let family = if section.is_v6 { Family::V6 } else { Family::V4 };
            return match FirewallMark::new(mark) {
                Ok(mark) => Some(ServiceKey::Mark { mark, family }),
                Err(error) => {
                    self.output.problem(&section.place, error.to_string());
                    None
                }
            };
        }
        let protocol = match section.protocol.as_ref().map(|(place, name)| (place, name.as_str())) {
            Some((_, "tcp")) => Protocol::TCP,
            Some((_, "udp")) => Protocol::UDP,
            Some((place, name)) => {
                self.output.problem(place, format!("protocol of an address must be tcp or udp, not {name}"));
                return None;
            }
            None if text.ends_with(":53") => Protocol::UDP,
            None => Protocol::TCP,
        };
        match value::address(text.as_bytes(), Some(protocol), self.names) {
            Some((address, Some(port))) if address.is_ipv6() == section.is_v6 => {
                Some(ServiceKey::Address { protocol, at: SocketAddr::new(address, port) })
            }
            _ => {
                let reason = if section.is_v6 {
                    "virtual6 must be an IPv6 address in brackets and a port, such as [2001:db8::1]:80"
                } else {
                    "virtual must be an address or a host's name and a port, such as 192.0.2.1:80, or a firewall mark"
                };
                self.output.problem(&section.place, reason);
                None
            }
        }
    }

    fn service(&mut self, section: &Section, key: ServiceKey) -> Service {
        let mut service = Service::new(key);
        let name = section.scheduler.as_ref().map_or("wrr", |(_, name)| name.as_str());
        match Scheduler::new(name) {
            Ok(scheduler) => service.scheduler = scheduler,
            Err(error) => self.output.problem(&section.place, format!("scheduler: {error}")),
        }
        service.one_packet = section.one_packet;
        if let Some((place, text)) = &section.persistence {
            match text.parse().ok().and_then(|seconds| Persistence::new(seconds).ok()) {
                Some(persistence) => service.persistence = Some(persistence),
                None => {
                    self.output.problem(place, format!("persistent must be from 1 to {} seconds", Persistence::MAX))
                }
            }
        }
        if let Some((place, _)) = section.netmask.as_ref().filter(|_| section.persistence.is_none()) {
            self.output.note(place, "netmask: without `persistent`, it has no effect");
        }
        if let Some((place, text)) = section.netmask.as_ref().filter(|_| section.persistence.is_some()) {
            let netmask = match key.family() {
                Family::V4 => text.parse::<Ipv4Addr>().ok().map(Netmask::v4),
                Family::V6 => text.parse().ok().and_then(|prefix| Netmask::v6(prefix).ok()),
            };
            match netmask.and_then(|netmask| service.with_netmask(netmask).ok()) {
                Some(with) => service = with,
                None => self
                    .output
                    .problem(place, "netmask must be one such as 255.255.255.0, or for IPv6 a length from 1 to 128"),
            }
        }
        service
    }

    /// `ADDRESS[->ADDRESS][:PORT] gate|masq|ipip [WEIGHT] ["REQUEST", "RECEIVE"] [l:N] [u:N]`
    fn servers(&mut self, section: &Section, key: ServiceKey, text: &str, place: &Place) -> Vec<Destination> {
        let mut words = text.split_whitespace();
        let addresses = words.next().and_then(|word| self.addresses(section, key, word));
        let forwarding = words.next().and_then(|word| match word {
            "gate" => Some(Forwarding::DirectRoute),
            "masq" => Some(Forwarding::Masquerade),
            "ipip" => Some(Forwarding::Tunnel(Tunnel::Ipip)),
            _ => None,
        });
        let (Some(((first, last), port)), Some(forwarding)) = (addresses, forwarding) else {
            let reason = "real must have an address, perhaps a port, and gate, masq or ipip: 192.0.2.11:80 masq 3";
            self.output.problem(place, reason);
            return Vec::new();
        };
        let (mut weight, mut upper, mut lower) = (1, 0, 0);
        for (index, word) in words.enumerate() {
            let bare = word.trim_matches('"');
            let threshold = |prefix: &str| bare.strip_prefix(prefix)?.parse::<u32>().ok();
            match (index, word.parse::<u32>(), threshold("l:"), threshold("u:")) {
                (0, Ok(number), ..) => weight = number,
                (_, _, Some(number), _) => lower = number,
                (_, _, _, Some(number)) => upper = number,
                // Request and answer of a check, which may have several words.
                _ => {}
            }
        }
        let Ok(weight) = Weight::new(weight) else {
            self.output.problem(place, format!("the weight must be at most {}", i32::MAX));
            return Vec::new();
        };
        let destination = |address: IpAddr| {
            let port = match key {
                // Only masquerading can change the port. ipvsadm leaves that of a mark as it is.
                ServiceKey::Address { at, .. } if forwarding != Forwarding::Masquerade => at.port(),
                _ => port,
            };
            Destination::new(SocketAddr::new(address, port))
                .with_forwarding(forwarding)
                .with_weight(weight)
                .with_upper_threshold(upper)
                .with_lower_threshold(lower)
        };
        match (first, last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => {
                let range = first.to_bits()..=last.to_bits();
                range.take(super::MOST).map(|bits| destination(Ipv4Addr::from_bits(bits).into())).collect()
            }
            (first, _) => vec![destination(first)],
        }
    }

    /// First and last address, and the port, which is 0 without one.
    fn addresses(&mut self, section: &Section, key: ServiceKey, word: &str) -> Option<((IpAddr, IpAddr), u16)> {
        let protocol = match key {
            ServiceKey::Address { protocol, .. } => Some(protocol),
            ServiceKey::Mark { .. } => None,
        };
        let (first, last) = word.split_once("->").map_or((None, word), |(first, last)| (Some(first), last));
        let (last, port) = match last.strip_prefix('[').and_then(|last| last.strip_suffix(']')) {
            // Without a port.
            Some(address) => (address.parse().ok()?, None),
            None => value::address(last.as_bytes(), protocol, self.names)?,
        };
        let first = match first {
            Some(first) => value::address(first.as_bytes(), protocol, self.names)?.0,
            None => last,
        };
        let is_range = first.is_ipv4() || first == last;
        let is_family = [first, last].iter().all(|address| address.is_ipv6() == section.is_v6);
        (is_family && is_range && first <= last).then_some(((first, last), port.unwrap_or(0)))
    }
}

fn of_section(section: &mut Section, key: &str, value: &str, place: &Place, output: &mut Output) {
    let given = Some((place.clone(), value.trim_matches('"').to_owned()));
    match key {
        "real" | "real6" => section.servers.push((place.clone(), value.to_owned())),
        "protocol" => section.protocol = given,
        "scheduler" => section.scheduler = given,
        "persistent" => section.persistence = given,
        "netmask" => section.netmask = given,
        "ops" => match value {
            "yes" => section.one_packet = true,
            "no" => section.one_packet = false,
            _ => output.problem(place, "ops must be yes or no"),
        },
        "checktype" => {
            section.is_off = (value == "off").then(|| place.clone());
            output.remark(place, "checktype", CHECKS);
        }
        "fallback" | "fallback6" => {
            section.fallback = Some((place.clone(), value.to_owned()));
            fallback(key, value, place, output);
        }
        "fallbackcommand" => fallback(key, value, place, output),
        key if ANYWHERE.contains(&key) || OF_ONE.contains(&key) => {}
        key => output.problem(place, format!("'{key}' is not a directive of a virtual service of ldirectord")),
    }
}

fn fallback(key: &str, value: &str, place: &Place, output: &mut Output) {
    output.note(place, format!("{key} = {value}: only ldirectord puts it in place of real servers that are down"));
}

#[cfg(test)]
mod tests {
    use super::super::{Format, NoFiles, Surroundings, read};
    use ipvs::desired::Source;
    use ipvs_text::ipvsadm::value::NoNames;

    fn commands(text: &str) -> Result<String, String> {
        let surroundings =
            Surroundings { path: std::path::Path::new("l.cf"), files: &NoFiles, names: &mut NoNames, config_id: "" };
        let lines = |problems: Vec<ipvs::desired::Problem>| {
            problems.iter().map(|problem| format!("{problem}\n")).collect::<String>()
        };
        let read = read(Format::Ldirectord, &Source::new("l.cf", text), surroundings).map_err(lines)?;
        let notes = read.notes.iter().map(|note| format!("# {note}\n"));
        Ok(read.desired.commands.iter().map(|located| format!("{}\n", located.command)).chain(notes).collect())
    }

    #[test]
    fn services_and_real_servers_are_read() {
        let text = "checktimeout=3\n# comment\nvirtual=192.0.2.1:80\n\treal=192.0.2.11->192.0.2.12:8080 masq 3 l:10 u:100\n\
            \x20   real=192.0.2.13:8080 gate\n\tfallback=127.0.0.1:80 gate\n\tpersistent=300\n\tnetmask=255.255.255.0\n\
            virtual = 7\n\treal = 192.0.2.11 ipip 2 \".a.html\", \"alive\"\n\treal = 192.0.2.12:80 gate\n\tscheduler = sh\n\
            virtual6 = [2001:db8::1]:53\n\treal6 = [2001:db8::11]:53 masq\n\tops = yes\n";
        let expected = "\
            -A -t 192.0.2.1:80 -s wrr -p 300 -M 255.255.255.0\n\
            -a -t 192.0.2.1:80 -r 192.0.2.11:8080 -m -w 3 -x 100 -y 10\n\
            -a -t 192.0.2.1:80 -r 192.0.2.12:8080 -m -w 3 -x 100 -y 10\n\
            -a -t 192.0.2.1:80 -r 192.0.2.13:80 -g -w 1\n\
            -A -f 7 -s sh\n\
            -a -f 7 -r 192.0.2.11:0 -i -w 2 --tun-type ipip\n\
            -a -f 7 -r 192.0.2.12:80 -g -w 1\n\
            -A -u [2001:db8::1]:53 -s wrr -o\n\
            -a -u [2001:db8::1]:53 -r [2001:db8::11]:53 -m -w 1\n\
            # l.cf:6: fallback = 127.0.0.1:80 gate: only ldirectord puts it in place of real servers that are down\n";
        assert_eq!(commands(text).unwrap(), expected);
    }

    #[test]
    fn a_comment_may_follow_a_value() {
        let text = "virtual = 192.0.2.1:80 # web\n\tscheduler = rr # in turn\n\t# first\n\treal = 192.0.2.11:80 masq 3 # 7\n\
            # later\n\treal = 192.0.2.12:80 masq\n\tchecktype = on # none\n";
        let expected = "-A -t 192.0.2.1:80 -s rr\n-a -t 192.0.2.1:80 -r 192.0.2.11:80 -m -w 3\n\
            -a -t 192.0.2.1:80 -r 192.0.2.12:80 -m -w 1\n";
        let written = commands(text).unwrap();
        assert!(written.starts_with(expected), "{written}");
    }

    #[test]
    fn a_netmask_without_persistence_has_no_effect() {
        let text = "virtual = 192.0.2.1:80\n\tnetmask = 255.255.255.0\n\treal = 192.0.2.11:80 masq\n";
        let written = commands(text).unwrap();
        assert!(written.starts_with("-A -t 192.0.2.1:80 -s wrr\n") && written.contains("l.cf:2: netmask"), "{written}");
    }

    /// From the sample of ldirectord 4.12, which adds it, and deletes it with the fallback.
    #[test]
    fn a_real_server_that_is_the_fallback_is_an_error() {
        let service = "virtual = 192.0.2.1:80\n\treal = 127.0.0.1:80 masq\n\tfallback = 127.0.0.1:80 gate\n";
        let wrong = commands(service).unwrap_err();
        assert!(wrong.starts_with("l.cf:2: this real server is the fallback, too"), "{wrong}");
        assert!(commands(&service.replace("127.0.0.1:80 gate", "127.0.0.1:81 gate")).is_ok());
    }

    /// ldirectord refuses the file.
    #[test]
    fn an_empty_line_ends_a_virtual_service() {
        let wrong = commands("virtual = 192.0.2.1:80\n\n\treal = 192.0.2.11:80 masq\n").unwrap_err();
        assert!(wrong.starts_with("l.cf:3: ") && wrong.contains("an empty line ends"), "{wrong}");
        assert!(commands("virtual = 192.0.2.1:80\n\treal = 192.0.2.11:80 masq\n\nvirtual = 7\n").is_ok());
    }

    #[test]
    fn a_configuration_without_services_is_an_error() {
        for text in ["", "# nothing\n", "checktimeout = 3\n"] {
            let wrong = commands(text).unwrap_err();
            assert!(wrong.starts_with("l.cf:1: there is no virtual server"), "{text}: {wrong}");
        }
    }

    /// ldirectord refuses the file.
    #[test]
    fn a_directive_has_its_place() {
        let service = "virtual = 192.0.2.1:80\n\treal = 192.0.2.11:80 masq\n";
        assert!(commands(&format!("quiescent = no\n{service}\tquiescent = yes\n")).is_ok());
        for (text, place) in [
            (format!("checktype = on\n{service}"), "l.cf:1"),
            (format!("service = http\n{service}"), "l.cf:1"),
            (format!("{service}\tautoreload = no\n"), "l.cf:3"),
        ] {
            let wrong = commands(&text).unwrap_err();
            assert!(wrong.starts_with(place) && wrong.contains("is not a directive"), "{wrong}");
        }
    }

    #[test]
    fn what_is_wrong_has_its_place() {
        let text = "virtul = 192.0.2.1:80\nvirtual = 192.0.2.1\n\treal = 192.0.2.9:80 masq\nvirtual = 192.0.2.2:80\n\treal = 192.0.2.9:80 nat\n";
        let wrong = commands(text).unwrap_err();
        let places: Vec<_> = wrong.lines().map(|line| line.split(": ").next().unwrap_or_default()).collect();
        assert_eq!(places, ["l.cf:1", "l.cf:2", "l.cf:5"], "{wrong}");
    }
}
