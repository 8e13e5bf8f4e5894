//! The options of `mark`.

use clap::{Args, ValueEnum};
use fwmark::{FirewallMark, InterfacePattern, Network, Owner, parse_mark};

use crate::arguments::packets::Packets;
use crate::arguments::value::value;
use crate::change::args::ChangeArgs;

/// Mark packets, so that several ports are one service
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(in crate::subcommands) struct Marks {
    #[command(subcommand)]
    pub(super) task: Task,
    /// Where the rules are kept; auto: where there are some, else nftables if
    /// the kernel has it
    #[arg(long, value_name = "WHERE", default_value = "auto", global = true)]
    pub(super) backend: Choice,
    /// Owner of the rules: part of the name of their table or chains
    #[arg(long, value_name = "NAME", default_value_t, global = true, value_parser = value::<Owner>)]
    pub(super) owner: Owner,
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
pub(super) enum Task {
    /// Add rules that mark packets
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
pub(super) struct Add {
    /// 1 to 4294967295, or auto: the lowest that is not in use, which is printed
    #[arg(value_name = "MARK", value_parser = Wanted::parse)]
    pub(super) mark: Wanted,
    /// What to mark, such as tcp:192.0.2.1:80,443 (see `ipvs-cli mark --help`)
    #[arg(value_name = "PACKETS", required = true)]
    pub(super) packets: Vec<Packets>,
    #[command(flatten)]
    pub(super) conditions: Conditions,
    /// Replace only these bits of the mark; a service compares all 32
    #[arg(long, value_name = "BITS", value_parser = bits)]
    pub(super) mask: Option<u32>,
    #[command(flatten)]
    pub(super) common: ChangeArgs,
}

#[derive(Args, Debug)]
pub(super) struct List {
    /// Print as command lines of iptables
    #[arg(long)]
    pub(super) iptables: bool,
    /// Print as JSON, an object on each line
    #[arg(long, conflicts_with = "iptables")]
    pub(super) json: bool,
}

#[derive(Args, Debug)]
pub(super) struct Check {
    /// Print as JSON, as doctor does
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Args, Debug)]
pub(super) struct Delete {
    /// The mark
    #[arg(value_name = "MARK", required_unless_present = "all", value_parser = mark)]
    pub(super) mark: Option<FirewallMark>,
    /// Only the rules for exactly these, written as list prints them
    #[arg(value_name = "PACKETS")]
    pub(super) packets: Vec<Packets>,
    #[command(flatten)]
    pub(super) conditions: Conditions,
    /// Delete all rules of this owner
    #[arg(long, conflicts_with_all = ["mark", "packets", "source", "interface", "output"])]
    pub(super) all: bool,
    #[command(flatten)]
    pub(super) common: ChangeArgs,
}

#[derive(Args, Debug, Clone)]
pub(super) struct Conditions {
    /// Only packets from these addresses
    #[arg(long, value_name = "NETWORK", requires = "packets", value_parser = value::<Network>)]
    pub(super) source: Option<Network>,
    /// Only packets from this interface; eth+: all whose names begin with eth
    #[arg(long, value_name = "INTERFACE", requires = "packets", value_parser = value::<InterfacePattern>)]
    pub(super) interface: Option<InterfacePattern>,
    /// Packets of the director itself instead of those of clients
    #[arg(long, conflicts_with = "interface", requires = "packets")]
    pub(super) output: bool,
}

/// The mark that is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wanted {
    Free,
    This(FirewallMark),
}

#[derive(ValueEnum, Clone, Copy, Debug)]
pub(super) enum Choice {
    Auto,
    Nftables,
    /// What is called iptables on this machine
    Iptables,
    IptablesLegacy,
    IptablesNft,
}

impl Marks {
    /// Does it change rules?
    pub(in crate::subcommands) fn is_change(&self) -> bool {
        matches!(self.task, Task::Add(_) | Task::Delete(_))
    }

    pub(in crate::subcommands) fn is_quiet(&self) -> bool {
        match &self.task {
            Task::Add(add) => add.common.quiet,
            Task::Delete(delete) => delete.common.quiet,
            Task::List(_) | Task::Check(_) => false,
        }
    }
}

impl Wanted {
    fn parse(text: &str) -> Result<Self, String> {
        if text == "auto" { Ok(Wanted::Free) } else { mark(text).map(Wanted::This) }
    }
}

fn mark(text: &str) -> Result<FirewallMark, String> {
    parse_mark(text).map_err(|error| format!("must be {}", error.allowed()))
}

/// Bits are read as marks are.
fn bits(text: &str) -> Result<u32, String> {
    mark(text).map(FirewallMark::get)
}
