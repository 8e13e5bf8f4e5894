//! Other addresses in place of those of a director, the same in all files of a report.
//!
//! Two addresses whose first n bits are the same get addresses whose first n bits are the same, so
//! that networks, routes and neighbours still fit together.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How a file writes addresses beside those that are read as such everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Text,
    /// Eight hexadecimal digits are an address of IPv4, 32 one of IPv6.
    Hexadecimal,
    /// `/proc/net/route`: networks and masks, their bytes in the order of this machine.
    Routes,
    /// `/proc/net/ipv6_route`: networks, and the lengths of their prefixes.
    Routes6,
}

/// What is put in place of what. No two reports do it alike.
#[derive(Debug)]
pub(super) struct Pseudonyms {
    keys: RandomState,
    /// The host's name, and what of it stands before the domain.
    hosts: Vec<String>,
}

/// The name of every host.
const HOST: &str = "director";

impl Pseudonyms {
    /// `host` is the name that nobody shall read.
    pub(super) fn new(host: &str) -> Self {
        let short = host.split('.').next().unwrap_or_default();
        let mut hosts: Vec<_> = [host, short].map(str::to_owned).into();
        hosts.dedup();
        hosts.retain(|host| !host.is_empty() && host != HOST);
        Pseudonyms { keys: RandomState::new(), hosts }
    }

    /// Each of the bits behind the first ones is changed or not, as the bits before it say.
    fn scramble(&self, address: u128, width: u32, kept: u32) -> u128 {
        (kept..width).fold(address, |scrambled, bit| {
            let shift = width - 1 - bit;
            let before = (address >> shift) >> 1;
            scrambled ^ (u128::from(self.keys.hash_one((width, bit, before)) & 1) << shift)
        })
    }

    fn v4(&self, address: Ipv4Addr) -> Ipv4Addr {
        let is_special = matches!(address.octets()[0], 0 | 127 | 224..);
        if is_special { address } else { Ipv4Addr::from_bits(self.scramble(address.to_bits().into(), 32, 8) as u32) }
    }

    fn v6(&self, address: Ipv6Addr) -> Ipv6Addr {
        if let Some(mapped) = address.to_ipv4_mapped() {
            return self.v4(mapped).to_ipv6_mapped();
        }
        // The unspecified one, the loopback, and prefixes alone.
        let is_special = address.is_multicast() || address.to_bits() >> 8 == 0;
        if is_special { address } else { Ipv6Addr::from_bits(self.scramble(address.to_bits(), 128, 16)) }
    }

    fn address(&self, address: IpAddr) -> IpAddr {
        match address {
            IpAddr::V4(address) => self.v4(address).into(),
            IpAddr::V6(address) => self.v6(address).into(),
        }
    }

    /// The same for an address in front of `/length`: a network has no bits behind its length.
    fn network(&self, address: IpAddr, length: Option<u32>) -> IpAddr {
        let pseudonym = self.address(address);
        let Some(length) = length else { return pseudonym };
        match (address, pseudonym) {
            (IpAddr::V4(address), IpAddr::V4(pseudonym)) => {
                let host = u32::MAX.checked_shr(length).unwrap_or(0);
                let is_network = address.to_bits() & host == 0;
                Ipv4Addr::from_bits(pseudonym.to_bits() & if is_network { !host } else { u32::MAX }).into()
            }
            (IpAddr::V6(address), IpAddr::V6(pseudonym)) => {
                let host = u128::MAX.checked_shr(length).unwrap_or(0);
                let is_network = address.to_bits() & host == 0;
                Ipv6Addr::from_bits(pseudonym.to_bits() & if is_network { !host } else { u128::MAX }).into()
            }
            _ => pseudonym,
        }
    }

    /// A hardware address, of six bytes or more.
    fn hardware(&self, bytes: &[u8]) -> Vec<u8> {
        let is_special = bytes[0] & 1 == 1 || bytes.iter().all(|byte| *byte == 0);
        let changed = |at: usize| self.keys.hash_one((at, bytes)) as u8;
        match is_special {
            true => bytes.to_vec(),
            // The mark of an address that no manufacturer gave.
            false => std::iter::once(2).chain((1..bytes.len()).map(changed)).collect(),
        }
    }

    /// A network, its gateway, and its mask after four other columns.
    fn route(&self, line: &str) -> Option<String> {
        let read = |text: &str| Some(Ipv4Addr::from_bits(u32::from_be(u32::from_str_radix(text, 16).ok()?)));
        let mut columns: Vec<String> = line.split('\t').map(str::to_owned).collect();
        let length = read(columns.get(7)?)?.to_bits().leading_ones();
        for (at, length) in [(1, Some(length)), (2, None)] {
            let IpAddr::V4(pseudonym) = self.network(read(&columns[at])?.into(), length) else { return None };
            columns[at] = format!("{:08X}", pseudonym.to_bits().to_be());
        }
        Some(columns.join("\t"))
    }

    /// Two networks with their lengths, and a gateway.
    fn route6(&self, line: &str) -> Option<String> {
        let mut columns: Vec<String> = line.split(' ').map(str::to_owned).collect();
        for (at, length_at) in [(0, Some(1)), (2, Some(3)), (4, None)] {
            let address = Ipv6Addr::from_bits(u128::from_str_radix(columns.get(at)?, 16).ok()?);
            let length = length_at.map(|at: usize| u32::from_str_radix(columns.get(at)?, 16).ok());
            let IpAddr::V6(pseudonym) = self.network(address.into(), length.flatten()) else { return None };
            columns[at] = format!("{:032x}", pseudonym.to_bits());
        }
        Some(columns.join(" "))
    }

    /// The same text with pseudonyms.
    pub(super) fn text(&self, text: &str, form: Form) -> String {
        let text = self.hosts.iter().fold(text.to_owned(), |text, host| without(host, &text));
        let text = self.without_hardware_names(&text);
        let text = text.as_str();
        let of_line = match form {
            Form::Text | Form::Hexadecimal => return self.words(text, form),
            Form::Routes => Self::route,
            Form::Routes6 => Self::route6,
        };
        let changed = |line: &str| of_line(self, line).unwrap_or_else(|| self.words(line, Form::Hexadecimal));
        text.lines().map(|line| changed(line) + "\n").collect()
    }

    /// The same for a text that has addresses anywhere.
    fn words(&self, text: &str, form: Form) -> String {
        let is_part = |char: char| char.is_ascii_hexdigit() || matches!(char, ':' | '.');
        let mut changed = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find(is_part) {
            let (before, from) = rest.split_at(start);
            let (run, after) = from.split_at(from.find(|char| !is_part(char)).unwrap_or(from.len()));
            changed.push_str(before);
            let is_word = |char: Option<char>| char.is_none_or(|char| !char.is_alphanumeric() && char != '_');
            let stands_alone = is_word(changed.chars().next_back()) && is_word(after.chars().next());
            let is_mark = changed.trim_end().ends_with("FWM");
            let form = if stands_alone && !is_mark { form } else { Form::Text };
            self.run(run, form, length_of(after), &mut changed);
            rest = after;
        }
        changed.push_str(rest);
        changed
    }

    /// Hexadecimal digits, colons and dots.
    fn run(&self, run: &str, form: Form, length: Option<u32>, out: &mut String) {
        let whole = run.trim_end_matches(['.', ':']);
        for (word, end) in [(run, ""), (whole, &run[whole.len()..])] {
            if let Some(pseudonym) = self.word(word, form, length) {
                out.push_str(&pseudonym);
                out.push_str(end);
                return;
            }
        }
        // A port, or another word before a colon.
        for (number, part) in run.split(':').enumerate() {
            if number > 0 {
                out.push(':');
            }
            let whole = part.trim_end_matches('.');
            match self.word(whole, form, length) {
                Some(pseudonym) => {
                    out.push_str(&pseudonym);
                    out.push_str(&part[whole.len()..]);
                }
                None => out.push_str(part),
            }
        }
    }

    /// What stands for an address; `None`: it is none.
    fn word(&self, word: &str, form: Form, length: Option<u32>) -> Option<String> {
        if let Ok(address) = word.parse::<IpAddr>() {
            let pseudonym = self.network(address, length);
            return Some(match pseudonym {
                // As /proc/net/ip_vs writes it.
                IpAddr::V6(address) if word.len() == 39 => {
                    let groups = address.segments().map(|group| format!("{group:04x}"));
                    groups.join(":")
                }
                address => address.to_string(),
            });
        }
        if form != Form::Text && word.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            match word.len() {
                8 => {
                    let address = u32::from_str_radix(word, 16).ok()?;
                    return Some(format!("{:08X}", self.v4(Ipv4Addr::from_bits(address)).to_bits()));
                }
                32 => {
                    let address = u128::from_str_radix(word, 16).ok()?;
                    return Some(format!("{:032x}", self.v6(Ipv6Addr::from_bits(address)).to_bits()));
                }
                _ => {}
            }
        }
        // A bridge's priority stands before its hardware address.
        if let Some((priority, address)) = word.split_once('.') {
            let is_priority = priority.len() == 4 && priority.bytes().all(|byte| byte.is_ascii_hexdigit());
            return is_priority.then(|| self.hardware_text(address))?.map(|address| format!("{priority}.{address}"));
        }
        self.hardware_text(word)
    }

    /// What stands for a hardware address; `None`: it is none. Some programs leave out leading
    /// zeros.
    fn hardware_text(&self, word: &str) -> Option<String> {
        let byte = |pair: &str| u8::from_str_radix(pair, 16).ok().filter(|_| pair.len() <= 2);
        let bytes: Option<Vec<u8>> = word.split(':').map(byte).collect();
        let hardware = self.hardware(&bytes.filter(|bytes| bytes.len() >= 6)?);
        Some(hardware.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":"))
    }

    /// Without hardware addresses in interfaces' names: udev names them `enx525400123456`.
    fn without_hardware_names(&self, text: &str) -> String {
        const START: &str = "enx";
        let mut changed = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find(START) {
            let (before, name) = rest.split_at(at + START.len());
            changed.push_str(before);
            rest = name;
            let end = name.find(|char: char| !char.is_ascii_alphanumeric()).unwrap_or(name.len());
            let Some(address) = u64::from_str_radix(&name[..end], 16).ok().filter(|_| end == 12) else { continue };
            self.hardware(&address.to_be_bytes()[2..]).iter().for_each(|byte| changed.push_str(&format!("{byte:02x}")));
            rest = &name[end..];
        }
        changed.push_str(rest);
        changed
    }
}

/// Without this name of the host, where it is a word of its own.
fn without(host: &str, text: &str) -> String {
    let is_part = |char: char| char.is_alphanumeric() || matches!(char, '_' | '-');
    let mut changed = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(host) {
        let (before, from) = rest.split_at(at);
        let after = &from[host.len()..];
        changed.push_str(before);
        let stands_alone = !changed.ends_with(is_part) && !after.starts_with(is_part);
        changed.push_str(if stands_alone { HOST } else { host });
        rest = after;
    }
    changed.push_str(rest);
    changed
}

/// The number in `/24` at the start.
fn length_of(text: &str) -> Option<u32> {
    let digits = text.strip_prefix('/')?;
    digits[..digits.find(|char: char| !char.is_ascii_digit()).unwrap_or(digits.len())].parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pseudonyms() -> Pseudonyms {
        Pseudonyms::new("lb1")
    }

    #[test]
    fn each_form_of_an_address_has_the_same_pseudonym() {
        let pseudonyms = pseudonyms();
        let v4 = pseudonyms.v4("192.0.2.1".parse().unwrap());
        let v6 = pseudonyms.v6("2001:db8::1".parse().unwrap());
        assert!(v4.to_string() != "192.0.2.1" && v6.to_string() != "2001:db8::1");
        let (big, full) = (format!("{:08X}", v4.to_bits()), format!("{:032x}", v6.to_bits()));
        let own = format!("{:08X}", v4.to_bits().to_be());
        let own_network = format!("{:08X}", (v4.to_bits() >> 8 << 8).to_be());
        let full_network = format!("{:032x}", v6.to_bits() >> 64 << 64);
        let groups = v6.segments().map(|group| format!("{group:04x}")).join(":");
        for (text, form, expected) in [
            ("-A -t 192.0.2.1:80 -s rr", Form::Text, format!("-A -t {v4}:80 -s rr")),
            ("src:192.0.2.1: gone", Form::Text, format!("src:{v4}: gone")),
            ("to 192.0.2.1.", Form::Text, format!("to {v4}.")),
            ("\"[2001:db8::1]:80\"", Form::Text, format!("\"[{v6}]:80\"")),
            ("via 2001:db8::1: x", Form::Text, format!("via {v6}: x")),
            ("::ffff:192.0.2.1", Form::Text, format!("::ffff:{v4}")),
            ("TCP  C0000201:0050 rr", Form::Hexadecimal, format!("TCP  {big}:0050 rr")),
            ("FWM  C0000201 rr", Form::Hexadecimal, "FWM  C0000201 rr".to_owned()),
            ("TCP  [2001:0db8:0000:0000:0000:0000:0000:0001]:0050", Form::Hexadecimal, format!("TCP  [{groups}]:0050")),
            ("20010db8000000000000000000000001 80", Form::Hexadecimal, format!("{full} 80")),
            (
                "eth0\t000200C0\t010200C0\t0003\t0\t0\t0\t00FFFFFF\t0\t0\t0\n",
                Form::Routes,
                format!("eth0\t{own_network}\t{own}\t0003\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"),
            ),
            (
                "20010db8000000000000000000000000 40 00000000000000000000000000000000 00 \
                 20010db8000000000000000000000001 00000400 00000001 00000000 00000001     eth0\n",
                Form::Routes6,
                format!(
                    "{full_network} 40 00000000000000000000000000000000 00 {full} 00000400 00000001 00000000 00000001     \
                     eth0\n"
                ),
            ),
            ("C0000201 is a word of text", Form::Text, "C0000201 is a word of text".to_owned()),
        ] {
            assert_eq!(pseudonyms.text(text, form), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_of_this_network_stays() {
        let pseudonyms = pseudonyms();
        for text in [
            "127.0.0.1 0.0.0.0/0 255.255.255.0 224.0.0.18 :: ::1 ff02::1 default via lo",
            "Linux 6.12.101 at 12:30:45, added face.feed eth0.5 size=4096 weight 10",
            "00:00:00:00:00:00 ff:ff:ff:ff:ff:ff 01:00:5e:00:00:12 33:33:00:00:00:01",
            "{\"version\": 1, \"conns\": 12}",
            "lb12 my-lb1 xlb1",
        ] {
            assert_eq!(pseudonyms.text(text, Form::Hexadecimal), text);
        }
        assert_eq!(pseudonyms.text("lb1: lb1.example", Form::Text), "director: director.example");
        let hardware = pseudonyms.text("link/ether 52:54:00:12:34:56 brd", Form::Text);
        assert!(hardware.starts_with("link/ether 02:") && !hardware.contains("12:34:56"), "{hardware}");
        assert_eq!(pseudonyms.text("link/ether 52:54:00:12:34:56 brd", Form::Text), hardware);
        assert!(pseudonyms.text("10.1.2.0/24", Form::Text).ends_with(".0/24"));
        assert!(!pseudonyms.text("10.1.2.3/24", Form::Text).contains("10.1.2."));
    }

    #[test]
    fn no_hardware_address_is_left_in_other_forms() {
        let pseudonyms = pseudonyms();
        let hardware = pseudonyms.text("52:54:00:02:34:56", Form::Text);
        for (text, form, expected) in [
            ("bridge_id 8000.52:54:0:2:34:56 root", Form::Text, format!("bridge_id 8000.{hardware} root")),
            ("altname enx525400023456\n", Form::Text, format!("altname enx{}\n", hardware.replace(':', ""))),
            ("dev enx525400023456.7", Form::Text, format!("dev enx{}.7", hardware.replace(':', ""))),
            (
                "enx525400023456\t00000000\t00000000\t0003\t0\t0\t0\t00000000\t0\t0\t0\n",
                Form::Routes,
                format!("enx{}\t00000000\t00000000\t0003\t0\t0\t0\t00000000\t0\t0\t0\n", hardware.replace(':', "")),
            ),
            ("enx52540002345 enx5254000234567 enxx enx", Form::Text, "enx52540002345 enx5254000234567 enxx enx".into()),
        ] {
            assert_eq!(pseudonyms.text(text, form), expected, "{text}");
        }
    }

    #[test]
    fn the_host_has_no_name_with_or_without_its_domain() {
        let pseudonyms = Pseudonyms::new("lb1.shop.example");
        let text = "lb1.shop.example[7] lb1: on lb1-old";
        assert_eq!(pseudonyms.text(text, Form::Text), "director[7] director: on lb1-old");
        assert_eq!(Pseudonyms::new("").text(text, Form::Text), text);
    }

    proptest! {
        #[test]
        fn addresses_that_begin_alike_get_pseudonyms_that_begin_alike(a: u128, b: u128, length in 17u32..=128) {
            let pseudonyms = pseudonyms();
            let [a, b] = [a | 1 << 120, b | 1 << 120];
            let b = if length == 128 { a } else { a >> (128 - length) << (128 - length) | b & (u128::MAX >> length) };
            let same = |a: u128, b: u128| (a ^ b).leading_zeros();
            let [of_a, of_b] = [a, b].map(|bits| pseudonyms.v6(Ipv6Addr::from_bits(bits)).to_bits());
            prop_assert_eq!(same(of_a, of_b), same(a, b));
            let [a, b] = [a, b].map(|bits| ((bits >> 96) as u32 % (223 << 24)) | (1 << 24));
            let [of_a, of_b] = [a, b].map(|bits| pseudonyms.v4(Ipv4Addr::from_bits(bits)).to_bits());
            prop_assert_eq!((of_a ^ of_b).leading_zeros(), (a ^ b).leading_zeros());
        }

        #[test]
        fn no_address_is_left_in_any_form(address: [u8; 4], last: u16) {
            let v4 = Ipv4Addr::from([198, address[1], address[2], address[3]]);
            let v6 = Ipv6Addr::new(0x2001, 0xdb8, last, 2, 3, 4, 5, last);
            let text = format!("{v4} {v4}:80 [{v6}]:80 {v6}/128 tcp:{v4}:80, -> {v4}.");
            let pseudonyms = pseudonyms();
            // One of 2^24 addresses is its own pseudonym.
            prop_assume!(pseudonyms.v4(v4) != v4);
            let changed = pseudonyms.text(&text, Form::Text);
            prop_assert!(!changed.contains(&v4.to_string()) && !changed.contains(&v6.to_string()), "{}", changed);
        }
    }
}
