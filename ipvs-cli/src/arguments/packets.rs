//! The packets of a mark as a word: `tcp:192.0.2.1:80,443`.

use std::fmt;
use std::str::FromStr;

use fwmark::{Hook, InvalidValue, MarkRule, Network, Ports, Protocol, Traffic};

/// Where packets go, and of what protocol and to which ports they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packets {
    pub(crate) destination: Network,
    pub(crate) traffic: Traffic,
}

impl FromStr for Packets {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const FORMS: &str = "write PROTOCOL:ADDRESS or PROTOCOL:ADDRESS:PORTS; PROTOCOL is tcp, udp, sctp or any";
        let described = |error: InvalidValue| error.to_string();
        let (protocol, rest) = text.split_once(':').ok_or(FORMS)?;
        if protocol != "any" && protocol.parse::<Protocol>().is_err() {
            return Err(FORMS.to_owned());
        }
        let readings = ipv6_without_brackets(rest);
        if !readings.is_empty() {
            let forms: Vec<_> = readings.iter().map(|reading| format!("{protocol}:{reading}")).collect();
            return Err(format!("IPv6 must be in brackets: write {}", forms.join(" or ")));
        }
        let (address, ports) = address_and_ports(rest);
        let destination = address.parse().map_err(described)?;
        let traffic = match (protocol, ports) {
            ("any", None) => Traffic::Any,
            ("any", Some(_)) => return Err("ports are those of a protocol: tcp, udp or sctp".to_owned()),
            (protocol, None) => Traffic::Protocol(protocol.parse().map_err(described)?),
            (protocol, Some(ports)) => {
                Traffic::Ports(protocol.parse().map_err(described)?, ports.parse().map_err(described)?)
            }
        };
        Ok(Packets { destination, traffic })
    }
}

fn address_and_ports(text: &str) -> (&str, Option<&str>) {
    match text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        Some((address, "")) => (address, None),
        Some((address, rest)) => match rest.strip_prefix(':') {
            Some(ports) => (address, Some(ports)),
            // No address at all, and refused as such.
            None => (text, None),
        },
        None => match text.split_once(':') {
            Some((address, ports)) => (address, Some(ports)),
            None => (text, None),
        },
    }
}

/// What an address of IPv6 may mean that is not in brackets: its last group may be a port.
fn ipv6_without_brackets(text: &str) -> Vec<String> {
    let is_ipv6 = |text: &str| text.contains(':') && text.parse::<Network>().is_ok();
    let with_ports =
        text.rsplit_once(':').filter(|(address, ports)| is_ipv6(address) && ports.parse::<Ports>().is_ok());
    let with_ports = with_ports.map(|(address, ports)| format!("[{address}]:{ports}"));
    with_ports.into_iter().chain(is_ipv6(text).then(|| format!("[{text}]"))).collect()
}

impl fmt::Display for Packets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.traffic.protocol() {
            None => write!(f, "any:")?,
            Some(protocol) => write!(f, "{protocol}:")?,
        }
        if self.destination.address().is_ipv6() {
            write!(f, "[{}]", self.destination)?;
        } else {
            write!(f, "{}", self.destination)?;
        }
        match &self.traffic {
            Traffic::Ports(_, ports) => write!(f, ":{ports}"),
            _ => Ok(()),
        }
    }
}

/// As arguments of `add`.
pub(crate) fn written(rule: &MarkRule) -> String {
    let packets = Packets { destination: rule.destination(), traffic: rule.traffic().clone() };
    let mut text = format!("{} {packets}", rule.set().mark());
    if !rule.source().is_any() {
        text.push_str(&format!(" --source {}", rule.source()));
    }
    match rule.hook() {
        Hook::Output => text.push_str(" --output"),
        Hook::Prerouting { interface: Some(name) } => text.push_str(&format!(" --interface {name}")),
        Hook::Prerouting { interface: None } => {}
    }
    if rule.set().mask() != u32::MAX {
        text.push_str(&format!(" --mask {:#x}", rule.set().mask()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_and_written_the_same() {
        for text in [
            "tcp:192.0.2.1:80,443,8000:8080",
            "udp:[2001:db8::1]:53",
            "sctp:[2001:db8::/64]",
            "tcp:192.0.2.0/24",
            "any:192.0.2.1",
            "any:[::1]",
        ] {
            assert_eq!(text.parse::<Packets>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn other_words_are_refused() {
        for text in [
            "",
            "tcp",
            "192.0.2.1:80",
            "icmp:192.0.2.1",
            "any:192.0.2.1:80",
            "tcp:192.0.2.1:http",
            "tcp:[::1]80",
            "tcp::80",
        ] {
            assert!(text.parse::<Packets>().is_err(), "{text}");
        }
        for text in ["192.0.2.1:80", "icmp:192.0.2.1"] {
            assert!(text.parse::<Packets>().unwrap_err().ends_with("PROTOCOL is tcp, udp, sctp or any"), "{text}");
        }
        assert_eq!(
            "tcp:192.0.2.1:http".parse::<Packets>().unwrap_err(),
            "invalid port \"http\": a number from 0 to 65535, or FIRST:LAST"
        );
    }

    /// Without brackets nobody knows whether the last group is a port.
    #[test]
    fn ipv6_without_brackets_is_refused_with_what_to_write() {
        for (text, forms) in [
            ("tcp:2001:db8::1:80", "tcp:[2001:db8::1]:80 or tcp:[2001:db8::1:80]"),
            ("tcp:2001:db8::1:80,443", "tcp:[2001:db8::1]:80,443"),
            ("udp:2001:db8:0:0:0:0:0:1:53", "udp:[2001:db8:0:0:0:0:0:1]:53"),
            ("tcp:2001:db8::/32:80", "tcp:[2001:db8::/32]:80"),
            ("any:2001:db8::ab", "any:[2001:db8::ab]"),
            ("tcp:2001:db8::/64", "tcp:[2001:db8::/64]"),
            ("tcp:::1", "tcp:[::1]"),
        ] {
            let error = text.parse::<Packets>().unwrap_err();
            assert_eq!(error, format!("IPv6 must be in brackets: write {forms}"), "{text}");
        }
    }
}
