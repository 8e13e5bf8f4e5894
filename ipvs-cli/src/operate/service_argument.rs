//! A service as a word of the command line.

use ipvs::{InvalidValue, ServiceKey};

/// As [`ServiceKey`] reads it, or with a colon for each blank, which needs no quotes: `tcp:192.0.2.1:80`,
/// `udp:[2001:db8::1]:53`, `mark:10`, `mark:10:ipv6`.
pub(super) fn parse(text: &str) -> Result<ServiceKey, InvalidValue> {
    if text.contains(' ') {
        return text.parse();
    }
    match text.split_once(':') {
        Some(("mark", rest)) => format!("mark {}", rest.replacen(':', " ", 1)).parse(),
        Some((protocol, at)) => format!("{protocol} {at}").parse(),
        None => text.parse(),
    }
}

/// The form without blanks.
pub(super) fn word(key: &ServiceKey) -> String {
    key.to_string().replace(' ', ":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_may_be_colons() {
        for (text, is) in [
            ("tcp:192.0.2.1:80", "tcp 192.0.2.1:80"),
            ("udp:[2001:db8::1]:53", "udp [2001:db8::1]:53"),
            ("sctp 192.0.2.1:80", "sctp 192.0.2.1:80"),
            ("mark:10", "mark 10"),
            ("mark:10:ipv6", "mark 10 ipv6"),
            ("mark 10 ipv6", "mark 10 ipv6"),
        ] {
            assert_eq!(parse(text).unwrap().to_string(), is);
            assert_eq!(parse(&word(&is.parse().unwrap())).unwrap().to_string(), is);
        }
        for text in ["", "tcp", "192.0.2.1:80", "mark:", "mark:10:ipv5", "mark:10:ipv6:", "tcp:192.0.2.1"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
