//! What keeps marked packets from their service.

use std::collections::BTreeSet;

use fwmark::{Backend, Effect, Family, Mark, Survey};
use ipvs::{ServiceKey, Table};

use super::super::session::{Session, Trouble};
use super::trouble;

const FOUND: u8 = 1;

/// Says what was found, a line each. Gives the exit status.
pub(super) fn check(backend: &mut Backend, session: &mut Session<'_, '_>) -> Result<u8, Trouble> {
    let rules = backend.list().map_err(trouble)?;
    let survey = Survey::of_others(backend.owner());
    let mut found: Vec<String> = fwmark::check(&rules, &survey.setters).iter().map(ToString::to_string).collect();
    found.extend(survey.unread.iter().map(|error| format!("not looked at: {error}")));
    match session.kernel.table() {
        Ok(table) => {
            let served: BTreeSet<Marked> = served(&table).collect();
            let ours: BTreeSet<Marked> = rules.iter().map(|rule| (rule.set().mark(), rule.family())).collect();
            found.extend(without_rule(&served, &ours, &survey));
            found.extend(ours.difference(&served).map(without_service));
        }
        Err(error) => session.note(format!("services are not looked at: {error}")),
    }
    for line in &found {
        session.report(line);
    }
    Ok(if found.is_empty() { 0 } else { FOUND })
}

/// A mark, and the packets that have it.
type Marked = (Mark, Family);

/// The marks of services.
pub(super) fn service_marks(table: &Table) -> impl Iterator<Item = Mark> + '_ {
    served(table).map(|(mark, _)| mark)
}

fn served(table: &Table) -> impl Iterator<Item = Marked> + '_ {
    table.services().filter_map(|entry| match entry.state().service.key() {
        ServiceKey::Mark { mark, family } => Some((Mark::new(mark.get()).ok()?, of_ipvs(family))),
        ServiceKey::Address { .. } => None,
    })
}

const fn of_ipvs(family: ipvs::Family) -> Family {
    match family {
        ipvs::Family::V4 => Family::V4,
        ipvs::Family::V6 => Family::V6,
    }
}

/// What ipvsadm and people call it.
const fn names(family: Family) -> (&'static str, &'static str) {
    match family {
        Family::V4 => ("", "IPv4"),
        Family::V6 => (" -6", "IPv6"),
    }
}

fn without_service((mark, family): &Marked) -> String {
    let (option, name) = names(*family);
    format!("mark {mark} has no service for {name}: ipvsadm -A -f {mark}{option} adds one")
}

/// Services whose mark no rule gives, as far as rules are understood.
fn without_rule<'a>(
    served: &'a BTreeSet<Marked>,
    ours: &'a BTreeSet<Marked>,
    survey: &'a Survey,
) -> impl Iterator<Item = String> + 'a {
    let by_others = |mark: Mark| {
        survey.setters.iter().any(|setter| match *setter.effect() {
            Effect::Set { value, mask } => mark.get() & mask == value,
            _ => true,
        })
    };
    served.difference(ours).filter(move |(mark, _)| !by_others(*mark)).map(|(mark, family)| {
        let (_, name) = names(*family);
        format!("the {name} service of mark {mark} gets no packets: no rule gives them this mark")
    })
}
