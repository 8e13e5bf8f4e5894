//! How a change affects the mark rules of ipvs-cli. Pure functions of plain values.

use std::collections::{HashMap, HashSet};

use fwmark::MarkRule;
use ipvs::{Command, ServiceKey, change::Plan};

use crate::change::args::Restrictions;
use crate::desired::Desired;
use crate::desired::group::service_of;

/// All mark rules of ipvs-cli, before and after.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MarkChange {
    pub(crate) before: Vec<MarkRule>,
    pub(crate) after: Vec<MarkRule>,
}

/// Could the change affect mark rules? If not, they need not be read.
pub(crate) fn is_about_marks(desired: &Desired, plan: &Plan) -> bool {
    !desired.groups.is_empty() || (desired.state.scope.marks && deleted(plan).next().is_some())
}

impl MarkChange {
    /// Rules follow the groups of the file and go with deleted services. All others keep their
    /// place.
    pub(crate) fn new(before: Vec<MarkRule>, desired: &Desired, plan: &Plan, restrictions: &Restrictions) -> Self {
        let is_meant = |key: &ServiceKey| restrictions.selects(key);
        let mut wanted: HashMap<ServiceKey, HashSet<&MarkRule>> = HashMap::new();
        if desired.state.scope.marks {
            wanted.extend(deleted(plan).map(|key| (key, HashSet::new())));
        }
        let groups = || desired.groups.iter().filter(|group| is_meant(&group.service));
        wanted.extend(groups().map(|group| (group.service, group.rules.iter().collect())));
        let only_grows = restrictions.only_additions || restrictions.no_deletions;
        let stays =
            |rule: &&MarkRule| only_grows || wanted.get(&service_of(rule)).is_none_or(|rules| rules.contains(rule));
        let mut after: Vec<MarkRule> = before.iter().filter(stays).cloned().collect();
        let there: HashSet<&MarkRule> = before.iter().collect();
        after.extend(groups().flat_map(|group| &group.rules).filter(|rule| !there.contains(rule)).cloned());
        MarkChange { before, after }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.before == self.after
    }

    /// The rules that are removed.
    pub(crate) fn removed(&self) -> impl Iterator<Item = &MarkRule> {
        without(&self.before, &self.after)
    }

    /// The rules that are added.
    pub(crate) fn added(&self) -> impl Iterator<Item = &MarkRule> {
        without(&self.after, &self.before)
    }
}

fn without<'r>(rules: &'r [MarkRule], others: &'r [MarkRule]) -> impl Iterator<Item = &'r MarkRule> {
    let others: HashSet<&MarkRule> = others.iter().collect();
    rules.iter().filter(move |rule| !others.contains(rule))
}

/// The services of marks that the plan deletes.
fn deleted(plan: &Plan) -> impl Iterator<Item = ServiceKey> + '_ {
    plan.commands().iter().filter_map(|command| match command {
        Command::DeleteService(key @ ServiceKey::Mark { .. }) => Some(*key),
        _ => None,
    })
}
