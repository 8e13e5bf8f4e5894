//! `mark`: the firewall marks of this machine, which group ports into one service.
//!
//! All state is in the kernel: the owner's table of nftables, or its chains of iptables.

mod args;
mod check;

use std::time::Duration;

use fwmark::{
    Backend, BackendError, CommandLine, FirewallMark, Hook, Iptables, MarkRule, MarksInUse, Nftables, Owner, SetMark,
    Survey, Variant,
};
use ipvs::Report;
use ipvs::desired::parts::Fields;

use crate::arguments::packets::{Packets, written};
use crate::desired::group;
use crate::exit::Exit;
use crate::session::guard::ChangeGuard;
use crate::session::journal::{LogOutcome, Logging, Record};
use crate::session::json;
use crate::session::{Session, Trouble, Wait};
use crate::subcommands::findings::marks;

use self::args::{Add, Choice, Conditions, Delete, List, Task, Wanted};

pub(super) use args::Marks;

pub(super) fn run(marks: &Marks, session: &mut Session<'_, '_>) -> Exit {
    let done = match &marks.task {
        Task::Add(add) => marks.add(add, session),
        Task::List(list) => marks.list(list, session),
        Task::Delete(delete) => marks.delete(delete, session),
        Task::Check(check) => marks.open().and_then(|mut backend| check::check(&mut backend, check.json, session)),
    };
    session.finish(done, Exit::Trouble)
}

impl Marks {
    fn open(&self) -> Result<Backend, Trouble> {
        let owner = self.owner.clone();
        let opened = match self.backend {
            Choice::Auto => Backend::detect(owner),
            Choice::Nftables => Nftables::open(owner).map(Backend::Nftables),
            Choice::Iptables => Iptables::open(owner).map(Backend::Iptables),
            Choice::IptablesLegacy => Iptables::open_variant(owner, Variant::Legacy).map(Backend::Iptables),
            Choice::IptablesNft => Iptables::open_variant(owner, Variant::Nft).map(Backend::Iptables),
        };
        opened.map_err(trouble)
    }

    /// Takes the lock. If that fails, missing rights or a missing back end are reported instead.
    fn guard(&self, wait: Duration, session: &mut Session<'_, '_>) -> Result<ChangeGuard, Trouble> {
        let check = || self.open()?.list().map(drop).map_err(trouble);
        session.guard(&Wait { check: &check, is_for_ipvs: false, ..Wait::new(wait) })
    }

    fn add(&self, add: &Add, session: &mut Session<'_, '_>) -> Result<Exit, Trouble> {
        let mut guard = self.guard(add.common.wait, session)?;
        let mut backend = self.open()?;
        let mut rules = backend.list().map_err(trouble)?;
        let mark = match add.mark {
            Wanted::This(mark) => mark,
            Wanted::Free => free_mark(&rules, backend.owner(), session)?,
        };
        let set = match add.mask {
            None => SetMark::from(mark),
            Some(mask) => SetMark::masked(mark, mask).map_err(|_| {
                let mark = mark.get();
                Trouble::Other(format!("--mask {mask:#x} must have all bits of the mark {mark}, which is {mark:#x}"))
            })?,
        };
        let known = rules.len();
        for packets in &add.packets {
            let rule = rule(packets, set, &add.conditions)?;
            if !rules.contains(&rule) {
                rules.push(rule);
            }
        }
        guard.protect(session.environment);
        let change = backend.apply(&rules);
        log(session, &add.common.logging, "added", &rules[known..], &change);
        let change = change.map_err(trouble)?;
        for earlier in &rules[..known] {
            if let Some(later) = rules[known..].iter().find(|later| later.overrides(earlier)) {
                let (earlier, later) = (written(earlier), written(later));
                session.note(format!("the rule {earlier} has no effect any more: the later rule {later} decides"));
            }
        }
        match (add.mark, change) {
            // It is what was asked for, so --quiet does not leave it out.
            (Wanted::Free, _) => session.print(mark),
            (Wanted::This(_), false) => session.report("nothing to change"),
            (Wanted::This(_), true) => {}
        }
        Ok(Exit::Success)
    }

    fn list(&self, list: &List, session: &mut Session<'_, '_>) -> Result<Exit, Trouble> {
        let rules = self.open()?.list().map_err(trouble)?;
        for rule in rules {
            if list.json {
                session.print(json::object(fields(&rule)));
            } else if list.iptables {
                session.report(CommandLine { action: fwmark::Action::Append, rule });
            } else {
                session.report(written(&rule));
            }
        }
        Ok(Exit::Success)
    }

    fn delete(&self, delete: &Delete, session: &mut Session<'_, '_>) -> Result<Exit, Trouble> {
        let mut guard = self.guard(delete.common.wait, session)?;
        let mut backend = self.open()?;
        guard.protect(session.environment);
        if delete.all {
            // Also rules that another program has made unreadable.
            let rules = backend.list().unwrap_or_default();
            let change = backend.remove();
            log(session, &delete.common.logging, "deleted", &rules, &change);
            if !change.map_err(trouble)? {
                session.error(format!("the owner {} has no rules here", backend.owner()));
                return Ok(Exit::No);
            }
            return Ok(Exit::Success);
        }
        let rules = backend.list().map_err(trouble)?;
        let is_meant = |rule: &MarkRule| {
            delete.mark.is_none_or(|mark| rule.set().mark() == mark)
                && (delete.packets.is_empty() || is_one_of(rule, delete))
        };
        let (deleted, kept): (Vec<_>, Vec<_>) = rules.into_iter().partition(is_meant);
        if deleted.is_empty() {
            session.error("there is no such rule; `ipvs-cli mark list` shows those that there are");
            return Ok(Exit::No);
        }
        let change = backend.apply(&kept);
        log(session, &delete.common.logging, "deleted", &deleted, &change);
        change.map(|_| Exit::Success).map_err(trouble)
    }
}

/// Writes the change to the system's log.
fn log(
    session: &Session<'_, '_>,
    logging: &Logging,
    verb: &str,
    rules: &[MarkRule],
    change: &Result<bool, BackendError>,
) {
    let rules = rules.iter().map(written).collect::<Vec<_>>().join("; ");
    let (outcome, detail) = match change {
        Ok(false) => return,
        Ok(true) => (LogOutcome::Done, format!("{verb}: {rules}")),
        Err(error) => (LogOutcome::Failed, format!("{error}; to be {verb}: {rules}")),
    };
    session.log(logging, &Record { subcommand: "mark", file: None, outcome, detail: &detail });
}

fn is_one_of(rule: &MarkRule, delete: &Delete) -> bool {
    let same = |packets| self::rule(packets, rule.set(), &delete.conditions).is_ok_and(|wanted| wanted == *rule);
    delete.packets.iter().any(same)
}

fn rule(packets: &Packets, set: SetMark, conditions: &Conditions) -> Result<MarkRule, Trouble> {
    let hook = match conditions.output {
        true => Hook::Output,
        false => Hook::Prerouting { interface: conditions.interface },
    };
    let rule = MarkRule::new(packets.destination, set).with_traffic(packets.traffic.clone()).with_hook(hook);
    match conditions.source {
        None => Ok(rule),
        Some(source) => rule.with_source(source).map_err(|error| Trouble::Other(error.to_string())),
    }
}

/// For programs: the mark, and the packets under the keys of a desired state.
fn fields(rule: &MarkRule) -> Fields {
    let mut fields = vec![("mark", rule.set().mark().get().into())];
    fields.extend(group::fields(rule));
    fields
}

/// The lowest mark that no rule and no service uses.
fn free_mark(rules: &[MarkRule], owner: &Owner, session: &mut Session<'_, '_>) -> Result<FirewallMark, Trouble> {
    let survey = Survey::of_others(owner);
    for error in &survey.unread {
        session.note(format!("not looked at: {error}"));
    }
    let mut in_use = MarksInUse::new();
    in_use.add_rules(rules);
    in_use.add_foreign(&survey.rules);
    match session.director.table() {
        Ok(table) => marks::service_marks(&table).for_each(|mark| in_use.add(mark)),
        Err(error) => session.note(format!("the marks of services are not known: {}", Report::new(&error))),
    }
    in_use.free().ok_or_else(|| Trouble::Other("no mark is free: rules of other programs use all bits".to_owned()))
}

fn trouble(error: BackendError) -> Trouble {
    Trouble::Other(error.to_string())
}
