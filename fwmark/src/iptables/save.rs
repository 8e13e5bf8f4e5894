//! The output of iptables-save: rules of all programs, as far as this crate understands them.

use std::collections::BTreeMap;

use ipvs::Family;

use crate::foreign::{Effect, ForeignRule};
use crate::network::Network;
use crate::number;
use crate::ports::Ports;
use crate::selector::Selector;

/// The rules in the output of iptables-save or ip6tables-save that write marks of packets before
/// IPVS sees them.
///
/// A rule with unknown conditions matches fewer packets than it says. Lines that are no rules are
/// ignored.
///
/// ```
/// use fwmark::{Effect, Family, foreign_rules_of_save};
/// let saved = "*mangle
/// :PREROUTING ACCEPT [0:0]
/// :shop - [0:0]
/// -A PREROUTING -i eth0 -j shop
/// -A shop -d 192.0.2.1/32 -p tcp -m tcp --dport 80 -m limit --limit 1/sec \
/// -j MARK --set-xmark 0xa/0xffffffff
/// COMMIT
/// ";
/// let foreign = foreign_rules_of_save(saved, Family::V4);
/// assert_eq!(foreign[0].effect(), &Effect::Set { value: 10, mask: u32::MAX });
/// assert_eq!(foreign[0].packets(), "-d 192.0.2.1 -p tcp --dports 80 and more");
/// assert!(!foreign[0].is_understood());
/// ```
pub fn foreign_rules_of_save(saved: &str, family: Family) -> Vec<ForeignRule> {
    foreign_rules(saved, family, |_| true)
}

/// The same for some of the rules.
pub(super) fn foreign_rules(saved: &str, family: Family, is_meant: impl Fn(&Saved<'_>) -> bool) -> Vec<ForeignRule> {
    let rules = rules(saved);
    rules.iter().filter(|rule| is_meant(rule)).flat_map(|rule| rule.foreign(family, &rules)).collect()
}

/// A line of iptables-save that adds a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Saved<'a> {
    pub(super) table: &'a str,
    pub(super) chain: String,
    /// The options after the chain.
    words: Vec<String>,
    /// The line itself.
    pub(super) line: &'a str,
}

/// All rules of all tables.
pub(super) fn rules(saved: &str) -> Vec<Saved<'_>> {
    let mut table = "";
    let mut rules = Vec::new();
    for line in saved.lines() {
        if let Some(name) = line.strip_prefix('*') {
            table = name.trim();
        }
        // With -c, a rule starts with counters.
        let rule = if line.starts_with('[') { line.split_once(' ').map_or(line, |(_, rule)| rule) } else { line };
        let mut words = words(rule).into_iter();
        if let (Some("-A"), Some(chain)) = (words.next().as_deref(), words.next()) {
            rules.push(Saved { table, chain, words: words.collect(), line });
        }
    }
    rules
}

/// The words of a line, as iptables-save quotes them.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line.chars();
    let mut word: Option<String> = None;
    let mut is_quoted = false;
    while let Some(c) = rest.next() {
        match c {
            '"' => {
                is_quoted = !is_quoted;
                word.get_or_insert_default();
            }
            '\\' if is_quoted => word.get_or_insert_default().extend(rest.next()),
            c if c.is_ascii_whitespace() && !is_quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

impl Saved<'_> {
    /// The chain or target to which the rule sends packets.
    pub(super) fn target(&self) -> Option<&str> {
        self.value_of("-j").or(self.value_of("-g"))
    }

    /// The comment, if there is one.
    pub(super) fn comment(&self) -> Option<&str> {
        self.value_of("--comment")
    }

    fn value_of(&self, option: &str) -> Option<&str> {
        let place = self.words.iter().position(|word| word == option)?;
        self.words.get(place + 1).map(String::as_str)
    }

    /// What the rule does to marks, if anything.
    pub(super) fn effect(&self) -> Option<Effect> {
        let pair = |option: &str| self.value_of(option).and_then(pair);
        let effect = match self.target()? {
            "MARK" => None
                .or_else(|| pair("--set-xmark").map(|(value, mask)| Effect::of_bits(!mask, value)))
                .or_else(|| pair("--set-mark").map(|(value, mask)| Effect::Set { value, mask: mask | value }))
                .or_else(|| pair("--or-mark").map(|(bits, _)| Effect::Set { value: bits, mask: bits }))
                .or_else(|| pair("--and-mark").map(|(bits, _)| Effect::Set { value: 0, mask: !bits })),
            "TPROXY" => match pair("--tproxy-mark") {
                Some((value, mask)) => Some(Effect::of_bits(!mask, value)),
                None => return None,
            },
            // Otherwise it writes the connection's mark.
            "CONNMARK" if self.has("--restore-mark") => Some(Effect::FromConnection),
            "SET" if self.has("--map-mark") => None,
            _ => return None,
        };
        Some(effect.unwrap_or_else(|| Effect::Unknown(self.target().unwrap_or_default().to_owned())))
    }

    fn has(&self, option: &str) -> bool {
        self.words.iter().any(|word| word == option)
    }

    fn foreign(&self, family: Family, all: &[Saved<'_>]) -> Option<ForeignRule> {
        let effect = self.effect()?;
        let (outside, director) = hooks(self, all);
        let program = if family == Family::V4 { "iptables" } else { "ip6tables" };
        let is_base = BASE_CHAINS.iter().any(|(name, ..)| *name == self.chain);
        let mut selector = self.selector(Selector::all(outside, director, Some(family)));
        // The rules that jump here may have conditions of their own.
        selector.is_narrower |= !is_base;
        let place = format!("{program}, table {}, {}", self.table, self.line.trim());
        (outside || director).then_some(ForeignRule { place, selector, effect })
    }

    /// The packets that the rule matches.
    pub(super) fn selector(&self, all: Selector) -> Selector {
        let mut selector = all;
        let mut words = self.words.iter().map(String::as_str);
        while let Some(option) = words.next() {
            let is_known = match option {
                "-s" => words.next().is_some_and(|value| put(&mut selector.source, network(value))),
                "-d" => words.next().is_some_and(|value| put(&mut selector.destination, network(value))),
                "-i" => words.next().is_some_and(|value| put(&mut selector.interface, value.parse().ok())),
                "-p" => words.next().is_some_and(|value| put(&mut selector.protocol, protocol(value))),
                "--dport" | "--dports" => {
                    words.next().is_some_and(|value| put(&mut selector.ports, value.parse::<Ports>().ok()))
                }
                "-m" => words.next().is_some_and(|name| HARMLESS_MATCHES.contains(&name)),
                "--comment" => words.next().is_some(),
                // The rest are options of the target.
                "-j" | "-g" => break,
                _ => false,
            };
            selector.is_narrower |= !is_known;
        }
        selector
    }
}

/// Chains before IPVS: for packets of other machines, or of the director itself.
const BASE_CHAINS: [(&str, bool, bool); 3] =
    [("PREROUTING", true, false), ("INPUT", true, false), ("OUTPUT", false, true)];

/// Matches without a condition of their own.
const HARMLESS_MATCHES: [&str; 5] = ["tcp", "udp", "sctp", "multiport", "comment"];

/// Which packets reach a rule through jumps: of other machines, of the director.
fn hooks(rule: &Saved<'_>, all: &[Saved<'_>]) -> (bool, bool) {
    let mut reached: BTreeMap<&str, (bool, bool)> =
        BASE_CHAINS.iter().map(|(name, outside, director)| (*name, (*outside, *director))).collect();
    let jumps: Vec<(&str, &str)> = all
        .iter()
        .filter(|other| other.table == rule.table)
        .filter_map(|other| Some((other.chain.as_str(), other.target()?)))
        .collect();
    loop {
        let before = reached.clone();
        for (from, to) in &jumps {
            let (outside, director) = reached.get(from).copied().unwrap_or_default();
            let there = reached.entry(to).or_default();
            *there = (there.0 | outside, there.1 | director);
        }
        if reached == before {
            return reached.get(rule.chain.as_str()).copied().unwrap_or_default();
        }
    }
}

/// Keeps a known value, if it is the first of its kind.
fn put<T>(slot: &mut Option<T>, value: Option<T>) -> bool {
    let is_new = slot.is_none() && value.is_some();
    if is_new {
        *slot = value;
    }
    is_new
}

fn network<T: From<Network>>(text: &str) -> Option<T> {
    text.parse::<Network>().ok().map(T::from)
}

/// iptables-save has names for the protocols that it finds in /etc/protocols; these are the usual
/// ones.
fn protocol(text: &str) -> Option<u8> {
    const NAMES: [(&str, u8); 10] = [
        ("icmp", 1),
        ("tcp", 6),
        ("udp", 17),
        ("dccp", 33),
        ("gre", 47),
        ("esp", 50),
        ("ah", 51),
        ("ipv6-icmp", 58),
        ("sctp", 132),
        ("udplite", 136),
    ];
    let named = NAMES.iter().find(|(name, _)| *name == text).map(|(_, number)| *number);
    named.or_else(|| text.parse().ok())
}

/// `VALUE` or `VALUE/MASK`.
fn pair(text: &str) -> Option<(u32, u32)> {
    match text.split_once('/') {
        None => Some((number::unsigned(text)?, u32::MAX)),
        Some((value, mask)) => Some((number::unsigned(value)?, number::unsigned(mask)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn reads(lines: &str, expected: &[&str]) {
        let foreign = foreign_rules_of_save(&format!("*mangle\n{lines}\nCOMMIT\n"), Family::V4);
        let found: Vec<_> =
            foreign.iter().map(|foreign| format!("{} ({})", foreign.effect, foreign.selector)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn rules_that_write_marks_are_found() {
        reads("-A PREROUTING -j MARK --set-xmark 0x6/0xffffffff", &["sets the mark 6 (all packets)"]);
        reads(
            "-A PREROUTING -j MARK --set-xmark 0x4000/0x4000",
            &["sets the mark's bits 0x4000 to 0x4000 (all packets)"],
        );
        reads("-A PREROUTING -j MARK --set-xmark 0x0/0xff", &["sets the mark's bits 0xff to 0x0 (all packets)"]);
        reads(
            "-A PREROUTING -j MARK --set-xmark 0x1/0x0",
            &["sets a mark that is not understood: flips the bits 0x1 (all packets)"],
        );
        reads("-A OUTPUT -j CONNMARK --restore-mark", &["sets the mark that the connection has (all packets)"]);
        reads(
            "-A PREROUTING -p tcp -j TPROXY --on-port 1 --tproxy-mark 0x1/0x1",
            &["sets the mark's bits 0x1 to 0x1 (-p tcp)"],
        );
    }

    #[test]
    fn rules_after_ipvs_or_without_marks_are_ignored() {
        reads("-A POSTROUTING -j MARK --set-xmark 0x6/0xffffffff", &[]);
        reads("-A FORWARD -j MARK --set-xmark 0x6/0xffffffff", &[]);
        reads("-A nobody-jumps-here -j MARK --set-xmark 0x6/0xffffffff", &[]);
        reads("-A PREROUTING -j CONNMARK --save-mark", &[]);
        reads("-A PREROUTING -m mark --mark 0x1 -j ACCEPT", &[]);
    }

    #[test]
    fn unknown_conditions_make_a_rule_narrower() {
        for more in ["! -s 192.0.2.0/24", "-m mark --mark 0x1", "-p tcp --sport 80", "-s 192.0.2.0/255.0.255.0"] {
            let line = format!("-A PREROUTING {more} -j MARK --set-xmark 0x6/0xffffffff");
            let foreign = foreign_rules_of_save(&format!("*mangle\n{line}\n"), Family::V4);
            assert!(!foreign[0].is_understood(), "{more}");
        }
    }

    #[test]
    fn jumps_are_followed() {
        let line = "[3:180] -A b -m comment --comment \"a \\\"b\\\" -j c\" -j MARK --set-xmark 0x6/0xffffffff";
        reads(&format!("-A OUTPUT -j a\n-A a -g b\n{line}"), &["sets the mark 6 (and more)"]);
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in any::<String>()) {
            foreign_rules_of_save(&text, Family::V4);
            foreign_rules_of_save(&format!("*mangle\n-A PREROUTING {text} -j MARK --set-xmark 1"), Family::V6);
        }
    }
}
