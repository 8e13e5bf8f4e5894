//! What keeps a word from being an address.

use super::show;

/// What keeps the word from being `host[:port]`.
pub(super) fn address(word: &[u8]) -> String {
    if word.iter().all(u8::is_ascii_digit) {
        return "this is neither an address nor a name; a port stands behind its address, as in 192.0.2.1:80"
            .to_owned();
    }
    if let Some(rest) = word.strip_prefix(b"[") {
        return bracketed(rest);
    }
    match word.iter().rposition(|&byte| byte == b':') {
        Some(colon) if word[..colon].contains(&b':') => {
            "an IPv6 address with a port is written in brackets, as in [2001:db8::1]:80".to_owned()
        }
        Some(colon) => host(&word[..colon]).unwrap_or_else(|| port(&word[colon + 1..])),
        None => host(word).unwrap_or_else(|| unknown(word)),
    }
}

fn bracketed(rest: &[u8]) -> String {
    let Some(end) = rest.iter().position(|&byte| byte == b']') else {
        return "the bracket `]' is missing".to_owned();
    };
    match rest[end + 1..].split_first() {
        Some((b':', text)) if is_ipv6(&rest[..end]) => port(text),
        Some((b':', _)) => format!("`{}' is not an IPv6 address", show(&rest[..end])),
        _ => "a port must follow the brackets, as in [2001:db8::1]:80; without a port there are no brackets".to_owned(),
    }
}

fn is_ipv6(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok())
}

/// What is wrong with a host; nothing if it looks like an address.
fn host(host: &[u8]) -> Option<String> {
    if host.is_empty() {
        return Some("the address is missing".to_owned());
    }
    if !host.iter().all(|&byte| byte.is_ascii_digit() || byte == b'.') {
        return Some(unknown(host)).filter(|_| !host[0].is_ascii_digit());
    }
    let parts: Vec<&[u8]> = host.split(|&byte| byte == b'.').collect();
    let wrong = |part: &&&[u8]| std::str::from_utf8(part).map_or(true, |part| part.parse::<u8>().is_err());
    match parts.iter().find(wrong) {
        Some(part) => Some(format!("`{}' is not a number from 0 to 255", show(part))),
        None if parts.len() > 4 => Some("an IPv4 address has four numbers".to_owned()),
        None => None,
    }
}

fn unknown(host: &[u8]) -> String {
    format!("no host `{}' with an IPv4 address is known", show(host))
}

fn port(port: &[u8]) -> String {
    if port.is_empty() {
        return "the port is missing".to_owned();
    }
    format!("the port `{}' is neither a number from 0 to 65535 nor the name of a service of this protocol", show(port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wrong_part_is_named() {
        for (word, part) in [
            ("912.168.0.1", "`912' is not a number from 0 to 255"),
            ("192.168.0.1.5:80", "four numbers"),
            ("192.168..1:80", "`' is not a number"),
            ("10.0.0.1:http2", "the port `http2'"),
            ("10.0.0.1:65536", "the port `65536'"),
            ("10.0.0.1:", "the port is missing"),
            (":80", "the address is missing"),
            ("80", "a port stands behind its address"),
            ("nowhere:80", "no host `nowhere'"),
            ("nowhere", "no host `nowhere'"),
            ("2001:db8::1:http", "in brackets"),
            ("[2001:db8::1]", "without a port there are no brackets"),
            ("[2001:db8::1]:x", "the port `x'"),
            ("[2001:db8::1", "`]' is missing"),
            ("[fe80::1%lo]:80", "`fe80::1%lo' is not an IPv6 address"),
        ] {
            let hint = address(word.as_bytes());
            assert!(hint.contains(part), "{word}: {hint}");
        }
    }
}
