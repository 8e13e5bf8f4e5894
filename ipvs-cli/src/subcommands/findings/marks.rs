//! What keeps marked packets from their service.

use std::collections::BTreeSet;
use std::fmt;

use fwmark::Conflict as InTheWay;
use fwmark::{Backend, BackendError, Effect, MarkRule, Survey};
use ipvs::{Family, FirewallMark, ServiceKey, Table};

use super::Finding;
use crate::arguments::packets::written;

/// The owner's rules, and the faults of marks.
pub(crate) struct Looked {
    pub(crate) rules: Vec<MarkRule>,
    pub(crate) wrong: Vec<Wrong>,
}

/// Something wrong with marks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// A rule of another program conflicts.
    InTheWay(Box<fwmark::Conflict>),
    /// No packet has the mark of the first rule: the second one, which comes later, replaces it or
    /// some of its bits.
    Overridden(Box<[MarkRule; 2]>),
    /// Rules of other programs could not be read.
    Unread(String),
    /// A rule of the owner sets the mark, and there is no such service.
    NoService(FirewallMark, Family),
    /// A service has the mark, and no rule gives it.
    NoRule(FirewallMark, Family),
}

/// Reads the rules of all programs, and compares the owner's with the services.
pub(crate) fn look(backend: &mut Backend, table: Option<&Table>) -> Result<Looked, BackendError> {
    let rules = backend.list()?;
    let survey = Survey::of_others(backend.owner());
    let in_the_way = fwmark::check(&rules, &survey.rules).into_iter();
    let mut wrong: Vec<Wrong> = in_the_way.map(|conflict| Wrong::InTheWay(Box::new(conflict))).collect();
    let is_served = |rule: &MarkRule| {
        table.is_some_and(|table| served(table).any(|marked| marked == (rule.set().mark(), rule.family())))
    };
    for (at, rule) in rules.iter().enumerate() {
        // Rules with masks may make a mark together, which no rule alone has. That is only wrong if
        // there is a service of the rule's own mark.
        let mark = rule.set().mark().get();
        let takes_all = |later: &&MarkRule| {
            later.overrides(rule) || is_served(rule) && later.covers(rule) && later.set().applied_to(mark) != mark
        };
        let later = rules[at + 1..].iter().find(takes_all);
        wrong.extend(later.map(|later| Wrong::Overridden(Box::new([rule.clone(), later.clone()]))));
    }
    wrong.extend(survey.unread.iter().map(|error| Wrong::Unread(error.to_string())));
    if let Some(table) = table {
        let served: BTreeSet<Marked> = served(table).collect();
        let set: BTreeSet<Marked> = rules.iter().map(|rule| (rule.set().mark(), rule.family())).collect();
        let unmarked = served.difference(&set).filter(|(mark, _)| !is_set_by_others(*mark, &survey));
        wrong.extend(unmarked.map(|(mark, family)| Wrong::NoRule(*mark, *family)));
        wrong.extend(set.difference(&served).map(|(mark, family)| Wrong::NoService(*mark, *family)));
    }
    Ok(Looked { rules, wrong })
}

/// What is wrong where nothing can mark packets.
pub(crate) fn without_backend(table: &Table) -> Vec<Wrong> {
    served(table).map(|(mark, family)| Wrong::NoRule(mark, family)).collect()
}

/// A mark, and the packets that have it.
type Marked = (FirewallMark, Family);

/// The marks of services.
pub(crate) fn service_marks(table: &Table) -> impl Iterator<Item = FirewallMark> + '_ {
    served(table).map(|(mark, _)| mark)
}

fn served(table: &Table) -> impl Iterator<Item = Marked> + '_ {
    table.services().filter_map(|entry| match entry.state().service.key() {
        ServiceKey::Mark { mark, family } => Some((mark, family)),
        ServiceKey::Address { .. } => None,
    })
}

/// As far as their rules are understood.
fn is_set_by_others(mark: FirewallMark, survey: &Survey) -> bool {
    survey.rules.iter().any(|rule| match *rule.effect() {
        Effect::Set { value, mask } => mark.get() & mask == value,
        _ => true,
    })
}

impl Wrong {
    pub(crate) fn finding(&self) -> Finding {
        let what = self.to_string();
        match self {
            Wrong::InTheWay(finding) => {
                let why = "a packet has one mark, and IPVS compares all of its bits: with another mark it misses its service, or \
                    reaches a service that it is not for";
                match **finding {
                    InTheWay::OtherMark { certain: false, .. }
                    | InTheWay::SharedBits { certain: false, .. }
                    | InTheWay::Unclear { .. } => Finding::hint("mark-conflict", what, why),
                    _ => Finding::problem("mark-conflict", what, why),
                }
            }
            Wrong::Overridden(_) => {
                let why = "each rule that matches writes over the mark, the later ones last, and IPVS compares all of its bits";
                Finding::problem("mark-overridden", what, why)
            }
            Wrong::Unread(_) => Finding::hint("rules-unread", what, "rules that are not read may mark packets, too"),
            Wrong::NoService(..) => {
                let why = "IPVS takes such packets to the service of their address and port; without one, this machine takes them \
                    for itself. A service of the mark refuses them until it has real servers, so add both at once";
                Finding::hint("mark-without-service", what, why)
            }
            Wrong::NoRule(mark, _) => {
                let why = format!("`ipvs-cli mark add {mark} tcp:ADDRESS:PORTS` gives it to packets");
                Finding::problem("service-without-rule", what, why)
            }
        }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wrong::InTheWay(finding) => write!(f, "{finding}"),
            Wrong::Overridden(rules) => {
                let [earlier, later] = rules.each_ref().map(written);
                let mark = rules[0].set().mark();
                write!(f, "no packet gets mark {mark} by the rule {earlier}: the later rule {later} marks them all")
            }
            Wrong::Unread(error) => write!(f, "not checked: {error}"),
            Wrong::NoService(mark, family) => {
                let name = name(*family);
                write!(f, "mark {mark} has no service for {name}")
            }
            Wrong::NoRule(mark, family) => {
                let name = name(*family);
                write!(f, "the {name} service of mark {mark} gets no packets: no rule gives them this mark")
            }
        }
    }
}

const fn name(family: Family) -> &'static str {
    match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    }
}
