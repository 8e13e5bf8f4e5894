//! The owner's chains in the table `mangle` of one family, and the text that changes them.

use std::fmt::Write;

use ipvs::owners::Owner;
use ipvs::{Family, FirewallMark};

use super::save::{Saved, rules};
use crate::command_line::matches;
use crate::failure::BackendError;
use crate::foreign::Effect;
use crate::mark::SetMark;
use crate::rule::{Hook, MarkRule};
use crate::selector::Selector;

/// The table that marks are set in.
pub(super) const TABLE: &str = "mangle";

/// One of the owner's two chains: for packets of other machines, or of the director itself.
struct ChainKind {
    /// The chain that jumps to the owner's.
    base: &'static str,
    /// The end of the chain's name.
    suffix: &'static str,
    is_director: bool,
}

const KINDS: [ChainKind; 2] = [
    ChainKind { base: "PREROUTING", suffix: "in", is_director: false },
    ChainKind { base: "OUTPUT", suffix: "out", is_director: true },
];

/// A rule with its number among all rules of the owner, of both families.
pub(super) type Numbered = (u32, MarkRule);

/// The owner's chains, as iptables-save writes them.
#[derive(Debug, Default)]
pub(super) struct State {
    chains: [Chain; 2],
}

/// One of the owner's chains.
#[derive(Debug, Default)]
struct Chain {
    exists: bool,
    /// The rules that jump to it, as saved.
    jumps: Vec<String>,
    rules: Vec<Result<Numbered, String>>,
    is_foreign: bool,
}

impl ChainKind {
    fn chain(&self, owner: &Owner) -> String {
        format!("{owner}-{}", self.suffix)
    }

    fn has(&self, rule: &MarkRule) -> bool {
        self.is_director == (rule.hook() == Hook::Output)
    }

    fn read(&self, owner: &Owner, family: Family, saved: &str, all: &[Saved<'_>]) -> Chain {
        let name = self.chain(owner);
        let declaration = format!(":{name} ");
        let own: Vec<_> = all.iter().filter(|rule| rule.chain == name).collect();
        let jumps = all.iter().filter(|rule| rule.target() == Some(&*name)).map(|rule| rule.line.trim().to_owned());
        let packets = Selector::all(!self.is_director, self.is_director, Some(family));
        Chain {
            exists: saved.lines().any(|line| line.starts_with(&declaration)),
            jumps: jumps.collect(),
            is_foreign: !own.is_empty() && !own.iter().any(|rule| number(rule, owner).is_some()),
            rules: own.iter().map(|rule| numbered(rule, owner, packets.clone())).collect(),
        }
    }

    /// The rule that jumps to the chain.
    fn jump(&self, owner: &Owner) -> String {
        format!("-A {} -m comment --comment {owner}: -j {}", self.base, self.chain(owner))
    }
}

/// The number of a rule, from its comment.
fn number(rule: &Saved<'_>, owner: &Owner) -> Option<u32> {
    rule.comment()?.strip_prefix(owner.as_str())?.strip_prefix(':')?.parse().ok()
}

fn numbered(rule: &Saved<'_>, owner: &Owner, packets: Selector) -> Result<Numbered, String> {
    let unknown = || rule.line.trim().to_owned();
    let set = match rule.effect() {
        Some(Effect::Set { value, mask }) => FirewallMark::new(value).and_then(|mark| SetMark::masked(mark, mask)).ok(),
        _ => None,
    };
    let read = set.and_then(|set| rule.selector(packets).to_rule(set));
    number(rule, owner).zip(read).ok_or_else(unknown)
}

impl State {
    /// Finds the owner's chains in the output of iptables-save for the table.
    pub(super) fn read(owner: &Owner, family: Family, saved: &str) -> Self {
        let all: Vec<_> = rules(saved).into_iter().filter(|rule| rule.table == TABLE).collect();
        State { chains: KINDS.each_ref().map(|kind| kind.read(owner, family, saved, &all)) }
    }

    /// The chains' rules, by chains.
    pub(super) fn rules(&self) -> Result<Vec<Numbered>, BackendError> {
        let all = self.chains.iter().flat_map(|chain| &chain.rules).cloned();
        all.collect::<Result<_, _>>()
            .map_err(|what| BackendError::Altered { place: "a chain of the owner".to_owned(), what })
    }

    /// An error if another program made a chain of this name.
    pub(super) fn refuse_foreign(&self, owner: &Owner) -> Result<(), BackendError> {
        match KINDS.iter().zip(&self.chains).find(|(_, chain)| chain.is_foreign) {
            Some((kind, _)) => Err(BackendError::Foreign { what: "chain", name: kind.chain(owner) }),
            None => Ok(()),
        }
    }

    /// The text for iptables-restore that leaves the owner with these rules; `None` if it has them.
    pub(super) fn changes_to(&self, owner: &Owner, rules: &[Numbered]) -> Option<String> {
        let mut text = format!("*{TABLE}\n");
        let mut is_changed = false;
        for (kind, chain) in KINDS.iter().zip(&self.chains) {
            let wanted: Vec<&Numbered> = rules.iter().filter(|(_, rule)| kind.has(rule)).collect();
            if !chain.is_as(&wanted) {
                is_changed = true;
                chain.change(kind, owner, &wanted, &mut text);
            }
        }
        text.push_str("COMMIT\n");
        is_changed.then_some(text)
    }
}

impl Chain {
    fn is_as(&self, wanted: &[&Numbered]) -> bool {
        let is_wanted = !wanted.is_empty();
        let same = self.rules.iter().map(Result::as_ref).eq(wanted.iter().map(|rule| Ok(*rule)));
        same && self.exists == is_wanted && self.jumps.len() == usize::from(is_wanted)
    }

    /// Writes the changes. iptables-restore makes all of them or none, so their order does not
    /// matter.
    fn change(&self, kind: &ChainKind, owner: &Owner, wanted: &[&Numbered], text: &mut String) {
        let name = kind.chain(owner);
        // Other jumps than the wanted one are replaced.
        let keep = self.jumps.len() == 1 && !wanted.is_empty();
        for jump in self.jumps.iter().filter(|_| !keep) {
            let _ = writeln!(text, "-D{}", jump.trim_start_matches(|c| c != ' '));
        }
        if wanted.is_empty() {
            if self.exists {
                let _ = writeln!(text, "-F {name}\n-X {name}");
            }
            return;
        }
        // Creates the chain, or empties it.
        let _ = writeln!(text, ":{name} - [0:0]");
        for (number, rule) in wanted {
            let tag = format!("-m comment --comment {owner}:{number}");
            let _ = writeln!(text, "-A {name}{} {tag} -j MARK {}", matches(rule), xmark(rule.set()));
        }
        if !keep {
            let _ = writeln!(text, "{}", kind.jump(owner));
        }
    }
}

/// The option that iptables-save writes.
fn xmark(set: SetMark) -> String {
    format!("--set-xmark {:#x}/{:#x}", set.mark().get(), set.mask())
}

/// Is the rule in a chain of the owner?
pub(super) fn is_own(rule: &Saved<'_>, owner: &Owner) -> bool {
    rule.table == TABLE && KINDS.iter().any(|kind| rule.chain == kind.chain(owner))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(line: &str) -> MarkRule {
        crate::parse(&format!("iptables -t mangle {line}")).unwrap().rule
    }

    const WEB: &str = "-A PREROUTING -d 192.0.2.1 -p tcp -m multiport --dports 80,443 -j MARK --set-mark 10";
    const SAVED: &str = "*mangle
:PREROUTING ACCEPT [0:0]
:ipvs-fwmark-in - [0:0]
-A PREROUTING -m comment --comment \"ipvs-fwmark:\" -j ipvs-fwmark-in
-A ipvs-fwmark-in -d 192.0.2.1/32 -p tcp -m multiport --dports 80,443 -m comment --comment \"ipvs-fwmark:0\" -j MARK --set-xmark 0xa/0xffffffff
COMMIT
";

    fn changes(saved: &str, rules: &[Numbered]) -> Option<String> {
        State::read(&Owner::default(), Family::V4, saved).changes_to(&Owner::default(), rules)
    }

    #[test]
    fn the_first_rules_make_a_chain_and_a_jump() {
        let expected = "*mangle
:ipvs-fwmark-in - [0:0]
-A ipvs-fwmark-in -d 192.0.2.1 -p tcp -m multiport --dports 80,443 -m comment --comment ipvs-fwmark:0 -j MARK --set-xmark 0xa/0xffffffff
-A PREROUTING -m comment --comment ipvs-fwmark: -j ipvs-fwmark-in
COMMIT
";
        assert_eq!(
            changes("*mangle\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n", &[(0, rule(WEB))]).as_deref(),
            Some(expected)
        );
    }

    #[test]
    fn unchanged_rules_need_no_change() {
        assert_eq!(changes(SAVED, &[(0, rule(WEB))]), None);
        assert_eq!(changes("*mangle\nCOMMIT\n", &[]), None);
    }

    #[test]
    fn the_chain_goes_with_its_last_rule() {
        let expected = "*mangle
-D PREROUTING -m comment --comment \"ipvs-fwmark:\" -j ipvs-fwmark-in
-F ipvs-fwmark-in
-X ipvs-fwmark-in
COMMIT
";
        assert_eq!(changes(SAVED, &[]).as_deref(), Some(expected));
    }

    #[test]
    fn a_second_jump_is_deleted() {
        let jump = "-A PREROUTING -m comment --comment \"ipvs-fwmark:\" -j ipvs-fwmark-in\n";
        let text = changes(&SAVED.replace(jump, &jump.repeat(2)), &[(0, rule(WEB))]).unwrap();
        assert_eq!((text.matches("-D PREROUTING").count(), text.matches("-A PREROUTING").count()), (2, 1));
    }

    #[test]
    fn rules_changed_by_another_program_are_reported_and_replaced() {
        let saved = SAVED.replace("-p tcp -m multiport", "-m mark --mark 0x1 -p tcp -m multiport");
        let state = State::read(&Owner::default(), Family::V4, &saved);
        assert!(matches!(state.rules(), Err(BackendError::Altered { .. })));
        assert!(state.refuse_foreign(&Owner::default()).is_ok());
        assert!(changes(&saved, &[(0, rule(WEB))]).is_some());
    }

    #[test]
    fn a_chain_without_the_owners_comments_is_foreign() {
        let saved = SAVED.replace("ipvs-fwmark:0", "mine");
        let state = State::read(&Owner::default(), Family::V4, &saved);
        assert!(matches!(state.refuse_foreign(&Owner::default()), Err(BackendError::Foreign { .. })));
    }
}
