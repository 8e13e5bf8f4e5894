//! A rule as a command line of iptables; reading one is in `parse.rs`.

use std::fmt;
use std::num::NonZeroU32;

use ipvs::Family;

use crate::rule::{Hook, MarkRule, Traffic};

/// What a line does with its rule.
///
/// ```
/// use std::num::NonZeroU32;
/// assert_ne!(fwmark::Action::Append, fwmark::Action::Insert(NonZeroU32::MIN));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// `-A`: appends it to its chain.
    Append,
    /// `-I`: inserts it at this position of its chain, 1 being the first.
    Insert(NonZeroU32),
    /// `-D`: deletes the first rule of the chain that is equal.
    ///
    /// iptables compares the options, not their meaning: a rule that was added with
    /// `-m multiport --dports 80` is not equal to one with `--dport 80`, which a [`CommandLine`]
    /// prints.
    Delete,
}

impl Action {
    /// The option's letter.
    const fn letter(self) -> char {
        match self {
            Action::Append => 'A',
            Action::Insert(_) => 'I',
            Action::Delete => 'D',
        }
    }
}

/// A command line of iptables or ip6tables that sets a mark.
///
/// Lines that mean the same print the same, and a printed line is read as the same value.
///
/// ```
/// let line: fwmark::CommandLine =
///     "iptables -tmangle -I OUTPUT 1 --dst 192.0.2.1/32 -p6 -j MARK --set-xmark 0xa".parse()?;
/// assert_eq!(
///     line.to_string(),
///     "iptables -t mangle -I OUTPUT -d 192.0.2.1 -p tcp -j MARK --set-mark 10"
/// );
/// # Ok::<(), fwmark::ParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CommandLine {
    /// What the line does with the rule.
    pub action: Action,
    /// The rule.
    pub rule: MarkRule,
}

impl fmt::Display for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CommandLine { action, rule } = self;
        let program = match rule.family() {
            Family::V4 => "iptables",
            Family::V6 => "ip6tables",
        };
        write!(f, "{program} -t mangle -{} {}", action.letter(), rule.hook().chain())?;
        match action {
            Action::Insert(place) if place.get() > 1 => write!(f, " {place}")?,
            _ => {}
        }
        write!(f, "{} -j MARK {}", matches(rule), rule.set())
    }
}

/// The options that match packets, each after a space.
pub(crate) fn matches(rule: &MarkRule) -> String {
    let mut words = String::new();
    let mut say = |option: &str, value: &dyn fmt::Display| words.push_str(&format!(" {option} {value}"));
    if let Hook::Prerouting { interface: Some(interface) } = rule.hook() {
        say("-i", &interface);
    }
    if !rule.source().is_any() {
        say("-s", &rule.source());
    }
    if !rule.destination().is_any() {
        say("-d", &rule.destination());
    }
    if let Some(protocol) = rule.traffic().protocol() {
        say("-p", &protocol);
    }
    match rule.traffic() {
        Traffic::Ports(_, ports) if ports.ranges().len() == 1 => say("--dport", ports),
        Traffic::Ports(_, ports) => say("-m multiport --dports", ports),
        Traffic::Any | Traffic::Protocol(_) => {}
    }
    words
}
