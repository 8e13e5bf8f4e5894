//! `mark`: the firewall marks of this machine, which group ports into one service.
//!
//! All state is in the kernel: the owner's table of nftables, or its chains of iptables.

mod check;

use clap::{Args, ValueEnum};
use fwmark::{
    Backend, BackendError, CommandLine, FirewallMark, Hook, InterfacePattern, InvalidValue, Iptables, MarkRule,
    MarksInUse, Network, Nftables, Owner, SetMark, Survey, Variant, parse_mark,
};
use ipvs::Report;
use ipvs::desired::parts::Fields;

use crate::arguments::packets::{Packets, written};
use crate::change::args::ChangeArgs;
use crate::desired::group;
use crate::exit::Exit;
use crate::session::journal::{Logging, Outcome, Record};
use crate::session::json;
use crate::session::{Session, Trouble, Wait};
use crate::subcommands::findings::marks;

/// Mark packets, so that several ports are one service
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(super) struct Marks {
    #[command(subcommand)]
    task: Task,
    /// Where the rules are kept; auto: where there are some, else nftables if
    /// the kernel has it
    #[arg(long, value_name = "WHERE", default_value = "auto", global = true)]
    backend: Choice,
    /// Owner of the rules: part of the name of their table or chains
    #[arg(long, value_name = "NAME", default_value_t, global = true)]
    owner: Owner,
}

const HELP: &str = "\
PACKETS is one of
  tcp:ADDRESS:PORTS   these ports; also udp: and sctp:
  tcp:ADDRESS         all ports
  any:ADDRESS         all protocols
ADDRESS may be a network; IPv6 is in brackets. PORTS are ports and ranges, such
as 80,443,8000:8080.

Exit status: 0 done, or nothing to do; 1 check found something, or nothing to
delete; 2 trouble.

Examples:
  ipvs-cli mark add 10 tcp:192.0.2.1:80,443
  ipvs-cli mark list
  ipvs-cli mark check";

const ADD_EXAMPLES: &str = "\
Examples:
  ipvs-cli mark add 10 tcp:192.0.2.1:80,443 udp:192.0.2.1:443
  ipvs-cli mark add auto any:[2001:db8::1] --interface eth0";

const LIST_EXAMPLES: &str = "\
Examples:
  ipvs-cli mark list
  ipvs-cli mark list --iptables";

const DELETE_EXAMPLES: &str = "\
Examples:
  ipvs-cli mark delete 10 tcp:192.0.2.1:443
  ipvs-cli mark delete --all";

const CHECK_EXAMPLES: &str = "\
Examples:
  ipvs-cli mark check
  ipvs-cli mark check --json";

#[derive(clap::Subcommand, Debug)]
enum Task {
    /// Mark packets, besides those that are marked already
    #[command(after_help = ADD_EXAMPLES)]
    Add(Add),
    /// List the rules, as arguments of add
    #[command(after_help = LIST_EXAMPLES)]
    List(List),
    /// Delete the rules of a mark, or some of them
    #[command(after_help = DELETE_EXAMPLES)]
    Delete(Delete),
    /// Find conflicting rules, marks without a service, services without a rule
    #[command(after_help = CHECK_EXAMPLES)]
    Check(Check),
}

#[derive(Args, Debug)]
struct Add {
    /// 1 to 4294967295, or auto: the lowest that is not in use, which is printed
    #[arg(value_name = "MARK", value_parser = Wanted::parse)]
    mark: Wanted,
    /// What to mark, such as tcp:192.0.2.1:80,443 (see `ipvs-cli mark --help`)
    #[arg(value_name = "PACKETS", required = true)]
    packets: Vec<Packets>,
    #[command(flatten)]
    conditions: Conditions,
    /// Replace only these bits of the mark; a service compares all 32
    #[arg(long, value_name = "BITS", value_parser = bits)]
    mask: Option<u32>,
    #[command(flatten)]
    common: ChangeArgs,
}

#[derive(Args, Debug)]
struct List {
    /// Print as command lines of iptables
    #[arg(long)]
    iptables: bool,
    /// Print as JSON, an object on each line
    #[arg(long, conflicts_with = "iptables")]
    json: bool,
}

#[derive(Args, Debug)]
struct Check {
    /// Print as JSON, as doctor does
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct Delete {
    /// The mark
    #[arg(value_name = "MARK", required_unless_present = "all", value_parser = parse_mark)]
    mark: Option<FirewallMark>,
    /// Only the rules for exactly these, written as list prints them
    #[arg(value_name = "PACKETS")]
    packets: Vec<Packets>,
    #[command(flatten)]
    conditions: Conditions,
    /// Delete all rules of this owner
    #[arg(long, conflicts_with_all = ["mark", "packets", "source", "interface", "output"])]
    all: bool,
    #[command(flatten)]
    common: ChangeArgs,
}

#[derive(Args, Debug, Clone)]
struct Conditions {
    /// Only packets from these addresses
    #[arg(long, value_name = "NETWORK", requires = "packets")]
    source: Option<Network>,
    /// Only packets from this interface; eth+: all whose names begin with eth
    #[arg(long, value_name = "INTERFACE", requires = "packets")]
    interface: Option<InterfacePattern>,
    /// Packets of the director itself instead of those of clients
    #[arg(long, conflicts_with = "interface", requires = "packets")]
    output: bool,
}

/// The mark that is asked for.
#[derive(Clone, Copy, Debug)]
enum Wanted {
    Free,
    This(FirewallMark),
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum Choice {
    Auto,
    Nftables,
    /// Whatever the machine calls iptables
    Iptables,
    IptablesLegacy,
    IptablesNft,
}

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
    /// Does it change rules?
    pub(super) fn is_change(&self) -> bool {
        matches!(self.task, Task::Add(_) | Task::Delete(_))
    }

    pub(super) fn is_quiet(&self) -> bool {
        match &self.task {
            Task::Add(add) => add.common.quiet,
            Task::Delete(delete) => delete.common.quiet,
            Task::List(_) | Task::Check(_) => false,
        }
    }

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

    fn add(&self, add: &Add, session: &mut Session<'_, '_>) -> Result<Exit, Trouble> {
        let mut turn = session.take_turn(&Wait::new(add.common.wait))?;
        let mut backend = self.open()?;
        let mut rules = backend.list().map_err(trouble)?;
        let mark = match add.mark {
            Wanted::This(mark) => mark,
            Wanted::Free => free_mark(&rules, backend.owner(), session)?,
        };
        let set = match add.mask {
            None => SetMark::from(mark),
            Some(mask) => SetMark::masked(mark, mask).map_err(|error| Trouble::Other(error.to_string()))?,
        };
        let known = rules.len();
        for packets in &add.packets {
            let rule = rule(packets, set, &add.conditions)?;
            if !rules.contains(&rule) {
                rules.push(rule);
            }
        }
        turn.protect(session.environment);
        let change = backend.apply(&rules);
        log(session, &add.common.logging, "added", &rules[known..], &change);
        let change = change.map_err(trouble)?;
        match (add.mark, change) {
            // It is the answer.
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
        let mut turn = session.take_turn(&Wait::new(delete.common.wait))?;
        let mut backend = self.open()?;
        turn.protect(session.environment);
        if delete.all {
            // Even what another program has made unreadable.
            let rules = backend.list().unwrap_or_default();
            let change = backend.remove();
            log(session, &delete.common.logging, "deleted", &rules, &change);
            return change.map(|is_changed| if is_changed { Exit::Success } else { Exit::No }).map_err(trouble);
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
        Ok(true) => (Outcome::Done, format!("{verb}: {rules}")),
        Err(error) => (Outcome::Failed, format!("{error}; to be {verb}: {rules}")),
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

/// The lowest mark that no rule of anybody and no service uses.
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
    in_use.free().ok_or_else(|| Trouble::Other("no mark is free: others use all of their bits".to_owned()))
}

fn trouble(error: BackendError) -> Trouble {
    Trouble::Other(error.to_string())
}

impl Wanted {
    fn parse(text: &str) -> Result<Self, InvalidValue> {
        if text == "auto" { Ok(Wanted::Free) } else { parse_mark(text).map(Wanted::This) }
    }
}

/// Bits are read as marks are.
fn bits(text: &str) -> Result<u32, InvalidValue> {
    parse_mark(text).map(FirewallMark::get)
}
