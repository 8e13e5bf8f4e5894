//! What keeps a word from being `host[:port]`.

use std::net::Ipv6Addr;

use ipvs_text::ipvsadm::grammar::{Item, Row};
use ipvs_text::ipvsadm::rules::Slot;

use super::line::{Check, Text, quoted, row, values, with_other_value};
use super::show;

/// The hint about this word.
pub(super) fn hint(text: &Text, word: &[u8], check: &mut Check<'_, '_>) -> Option<String> {
    let place = values(text).find(|(at, start)| text[*at][*start..] == *word)?;
    let mut mends = |value: &str| check.mends(&with_other_value(text, place, value.as_bytes()));
    let shown = show(word);
    let word = std::str::from_utf8(word).ok()?;
    for meant in respelled(word) {
        if mends(&meant) {
            return Some(format!("write '{meant}' instead of '{shown}'"));
        }
    }
    let doubtful = Parts::of(word).doubtful(word);
    let has_number = doubtful.iter().any(|(.., says)| matches!(says, Says::Number));
    for (part, (start, end), says) in doubtful {
        let with = |new: &str| format!("{}{new}{}", &word[..start], &word[end..]);
        let says = match says {
            Says::HostUnknown if mends(&with("192.0.2.1")) => format!("no IPv4 address of a host '{part}' is known"),
            Says::PortUnknown if mends(&with("80")) => {
                format!(
                    "the port '{part}' is neither a number from 0 to 65535 nor the name of a service of this protocol"
                )
            }
            Says::Number if mends(&with("0")) && mends(&with("255")) => {
                format!("'{part}' is not a number from 0 to 255")
            }
            _ => continue,
        };
        return Some(if part == word { says } else { format!("'{shown}': {says}") });
    }
    // With another fault elsewhere, that number may still be what is wrong here.
    if has_number && !check.is_relaxed() {
        return None;
    }
    let mut examples = ["192.0.2.1:80", "[2001:db8::1]:80"];
    if word.contains("::") || word.contains('[') {
        examples.reverse();
    }
    let mut mends = |value: &str| check.mends(&with_other_value(text, place, value.as_bytes()));
    let example = examples.into_iter().find(|example| mends(example))?;
    Some(format!("'{shown}' is no address: it is written as in '{example}'"))
}

/// A service without a port.
pub(super) fn without_port(text: &Text, check: &mut Check<'_, '_>) -> Option<String> {
    let mut found = None;
    for place in values(text) {
        let Ok(word) = std::str::from_utf8(&text[place.0][place.1..]) else { continue };
        let Some(meant) = with_port(word) else { continue };
        if check.mends(&with_other_value(text, place, meant.as_bytes())) {
            found = Some((word, meant));
            break;
        }
    }
    let (word, meant) = found?;
    let shown = show(word.as_bytes());
    if word.parse::<Ipv6Addr>().is_ok() && !meant.starts_with(&format!("[{word}]")) {
        return Some(format!("'{shown}' is an address without a port: with one, write '{meant}' instead"));
    }
    let mut all_ports = text.clone();
    all_ports.push(b"-p".to_vec());
    let all_ports = if check.mends(&all_ports) { ", or add '-p' for all ports" } else { "" };
    Some(format!("'{shown}' has no port: it is written as in '{meant}'{all_ports}"))
}

/// The same address with a port: its last group, if that looks like one.
fn with_port(word: &str) -> Option<String> {
    if word.parse::<Ipv6Addr>().is_ok() {
        let (host, last) = word.rsplit_once(':')?;
        let is_port = last.len() > 1 && last.bytes().all(|byte| byte.is_ascii_digit());
        let is_host = host.parse::<Ipv6Addr>().is_ok();
        return Some(if is_port && is_host { format!("[{host}]:{last}") } else { format!("[{word}]:80") });
    }
    let host = word.strip_suffix(":0").unwrap_or(word);
    (host.len() > 1 && !host.starts_with('-')).then(|| format!("{host}:80"))
}

/// What may have been meant.
fn respelled(word: &str) -> Vec<String> {
    const LEADS: [&str; 8] = ["http://", "https://", "tcp://", "udp://", "//", "tcp:", "udp:", "sctp:"];
    let mut meant = Vec::new();
    let bare = word.trim_matches(|letter: char| "\"'`,;<>()“”‘’ ".contains(letter));
    let bare = LEADS.iter().find_map(|lead| bare.strip_prefix(lead)).unwrap_or(bare);
    let bare = match bare.split_once('/') {
        // A prefix length, with a port behind it.
        Some((host, rest)) => rest.split_once(':').map_or(host.to_owned(), |(_, port)| format!("{host}:{port}")),
        None => bare.to_owned(),
    };
    let bare = bare.as_str();
    meant.push(bare.to_owned());
    // 192.0.2.1.80, 192.0.2.1::80, 192,0,2,1:80
    if let Some((host, port)) = bare.rsplit_once('.').filter(|(host, _)| host.matches('.').count() == 3) {
        meant.push(format!("{host}:{port}"));
    }
    meant.push(bare.replacen("::", ":", 1));
    meant.push(bare.replace(',', "."));
    meant.push(bare.replace(" :", ":").replace(": ", ":").replace(' ', ":"));
    // IPv6 needs brackets with a port, and has none without.
    if let Some((host, port)) = bare.rsplit_once(':') {
        let host = host.trim_matches(|letter| letter == '[' || letter == ']');
        if host.parse::<Ipv6Addr>().is_ok() {
            meant.push(format!("[{host}]:{port}"));
        }
    }
    meant.push(bare.trim_matches(|letter| letter == '[' || letter == ']').to_owned());
    if let Some((host, _)) = bare.split_once('%') {
        meant.push(host.to_owned());
        let port = bare.rsplit_once("]:").map(|(_, port)| format!("{host}]:{port}"));
        meant.extend(port);
    }
    // The last resort for addresses: a number alone is none of these.
    meant.retain(|meant| meant != word && !meant.is_empty() && !meant.bytes().all(|byte| byte.is_ascii_digit()));
    meant
}

/// Where the host and the port of a word are.
struct Parts {
    host: (usize, usize),
    port: Option<(usize, usize)>,
}

#[derive(Clone, Copy)]
enum Says {
    HostUnknown,
    PortUnknown,
    Number,
}

impl Parts {
    fn of(word: &str) -> Self {
        match word.rfind(':') {
            Some(colon) => Parts { host: (0, colon), port: Some((colon + 1, word.len())) },
            None => Parts { host: (0, word.len()), port: None },
        }
    }

    /// The parts that may be wrong.
    fn doubtful<'w>(&self, word: &'w str) -> Vec<(&'w str, (usize, usize), Says)> {
        let part = |(start, end): (usize, usize), says| (&word[start..end], (start, end), says);
        let host = &word[self.host.0..self.host.1];
        let mut doubtful = Vec::new();
        let is_numeric = host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        if is_numeric || host.is_empty() {
            let mut start = 0;
            for number in host.split('.') {
                let end = start + number.len();
                if host.contains('.') && !number.is_empty() && number.parse::<u8>().is_err() {
                    doubtful.push(part((start, end), Says::Number));
                }
                start = end + 1;
            }
        } else if !host.starts_with('[') && !host.contains(':') {
            doubtful.push(part(self.host, Says::HostUnknown));
        }
        doubtful.extend(self.port.filter(|(start, end)| start < end).map(|port| part(port, Says::PortUnknown)));
        doubtful
    }
}

fn takes_address(row: &Row) -> bool {
    matches!(
        row.item,
        Item::Opt(_, Some(Slot::ServiceAddress | Slot::RealServer)) if !row.letters.starts_with('f')
    )
}

/// The two words as one address, if that mends the line.
pub(super) fn joined(text: &Text, at: usize, check: &mut Check<'_, '_>) -> Option<String> {
    let before = at.checked_sub(1)?;
    let host = std::str::from_utf8(&text[before]).ok()?;
    let is_host = host.parse::<std::net::IpAddr>().is_ok() || at > 1 && row(&text[at - 2]).is_some_and(takes_address);
    if !is_host {
        return None;
    }
    let word = [text[before].as_slice(), text[at].as_slice()].join(&b':');
    let mended = super::line::with(text, before..at + 1, &[&word]);
    let says = || format!("write '{}' instead of {}", show(&word), quoted(&text[before..=at]));
    check.mends(&mended).then(says)
}
