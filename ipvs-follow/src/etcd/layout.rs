//! The keys of a fleet, and what they hold.
//!
//! | key | value |
//! |---|---|
//! | `PREFIX/generations/N` | a desired state; never written again |
//! | `PREFIX/current` | N: what all directors are to hold |
//! | `PREFIX/previous` | N: what `current` was before |
//! | `PREFIX/canary/HOST` | N: what this director is to hold |
//! | `PREFIX/status/HOST` | what it holds, written by itself under a lease |

use std::fmt;
use std::str::FromStr;

use serde_json::{Value, json};

/// A director's name in keys.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Host(String);

impl FromStr for Host {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
        match !text.is_empty() && text.len() <= 253 && text.chars().all(is_plain) {
            true => Ok(Host(text.to_owned())),
            false => Err("must be a host name: letters, digits, '.', '_' and '-'".to_owned()),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // With the width, if one is asked for.
        self.0.fmt(f)
    }
}

/// The keys of a fleet.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    prefix: String,
}

impl Keys {
    pub(crate) fn new(prefix: &str) -> Self {
        Keys { prefix: prefix.to_owned() }
    }

    pub(crate) fn current(&self) -> String {
        format!("{}/current", self.prefix)
    }

    pub(crate) fn previous(&self) -> String {
        format!("{}/previous", self.prefix)
    }

    pub(crate) fn generation(&self, number: u64) -> String {
        format!("{}/generations/{number}", self.prefix)
    }

    pub(crate) fn canary(&self, host: &Host) -> String {
        format!("{}/canary/{host}", self.prefix)
    }

    pub(crate) fn status(&self, host: &Host) -> String {
        format!("{}/status/{host}", self.prefix)
    }

    /// The first key of a kind, and the one after the last.
    pub(crate) fn all(&self, kind: &str) -> (String, String) {
        (format!("{}/{kind}/", self.prefix), format!("{}/{kind}0", self.prefix))
    }

    /// The first key of the fleet, and the one after the last.
    pub(crate) fn everything(&self) -> (String, String) {
        (format!("{}/", self.prefix), format!("{}0", self.prefix))
    }

    /// All pointers, and no other keys: from the first canary to the key after `current`.
    pub(crate) fn pointers(&self) -> (String, String) {
        (format!("{}/canary/", self.prefix), format!("{}/current\0", self.prefix))
    }

    /// What a key of this kind is about.
    pub(crate) fn name<'k>(&self, kind: &str, key: &'k str) -> Option<&'k str> {
        key.strip_prefix(&self.prefix)?.strip_prefix('/')?.strip_prefix(kind)?.strip_prefix('/')
    }
}

/// Reads the number of a generation, as it is written in keys and pointers.
pub(crate) fn generation(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    // `echo 7 | etcdctl put` writes a newline.
    let text = text.strip_suffix('\n').unwrap_or(text);
    let number = text.parse().ok().filter(|number| *number > 0)?;
    (u64::to_string(&number) == text).then_some(number)
}

/// What a director says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Status {
    /// What it was last brought to.
    pub(crate) generation: Option<u64>,
    /// SHA-256 of its table as sorted rules, in hex.
    pub(crate) holds: String,
    /// Is it as its generation says, as far as was seen?
    pub(crate) is_as_desired: bool,
    /// What is wrong, or who holds it.
    pub(crate) reason: String,
    /// How often what other programs changed was put back.
    pub(crate) drift: u64,
    /// Of `ipvs-follow`.
    pub(crate) version: String,
    /// The machine's name, which need not be that of the director.
    pub(crate) machine: String,
}

impl Status {
    pub(crate) fn to_json(&self) -> Value {
        let Status { generation, holds, is_as_desired, reason, drift, version, machine } = self;
        json!({
            "generation": generation, "holds": holds, "as_desired": is_as_desired, "reason": reason,
            "drift": drift, "version": version, "machine": machine,
        })
    }

    /// What is missing is empty, as of another version.
    pub(crate) fn from_json(text: &[u8]) -> Self {
        let value: Value = serde_json::from_slice(text).unwrap_or_default();
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        Status {
            generation: value["generation"].as_u64(),
            holds: text("holds"),
            is_as_desired: value["as_desired"].as_bool().unwrap_or(false),
            reason: text("reason"),
            drift: value["drift"].as_u64().unwrap_or(0),
            version: text("version"),
            machine: text("machine"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_is_a_number_and_nothing_else() {
        assert_eq!((generation(b"7"), generation(b"12\n")), (Some(7), Some(12)));
        for wrong in ["", "0", "07", "+7", "7\n\n", " 7", "7x", "-1", "99999999999999999999"] {
            assert_eq!(generation(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(generation(b"\xff"), None);
    }

    #[test]
    fn keys_are_told_apart() {
        let keys = Keys::new("/ipvs/shop");
        let host: Host = "lb1.example.net".parse().unwrap();
        assert_eq!(keys.name("generations", &keys.generation(7)), Some("7"));
        assert_eq!(keys.name("status", &keys.status(&host)), Some("lb1.example.net"));
        assert_eq!(keys.name("status", &keys.canary(&host)), None);
        let (from, to) = keys.pointers();
        let is_pointer = |key: &String| (&from..&to).contains(&key);
        assert!([keys.current(), keys.canary(&host)].iter().all(is_pointer));
        assert!(![keys.previous(), keys.generation(1), keys.status(&host)].iter().any(is_pointer));
        assert!(["", "a/b", "a b", "ä"].iter().all(|wrong| wrong.parse::<Host>().is_err()));
    }

    #[test]
    fn a_status_is_read_as_it_was_written() {
        let status = Status { generation: Some(7), holds: "ab".into(), drift: 2, ..Status::default() };
        assert_eq!(Status::from_json(status.to_json().to_string().as_bytes()), status);
        assert_eq!(Status::from_json(b"nonsense"), Status::default());
    }
}
