//! The subcommands' options.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Parser, ValueEnum};
use ipvs::ServiceKey;

use super::conns::Conns;
use super::doctor::Doctor;
use super::drain::{Drain, SetWeight, Undrain};
use super::journal::Logging;
use super::mark::Marks;
use super::metrics::Metrics;
use super::ownership::Ownership;
use super::service_argument::Selection;
use super::top::Top;
use super::watch::Watch;

/// Change and watch an IPVS director
#[derive(Parser, Debug)]
#[command(name = "ipvs-cli", arg_required_else_help = true, after_help = LANGUAGE, max_term_width = 80)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) subcommand: Subcommand,
    /// Use the director of this network namespace: a name of `ip netns`, a
    /// process number, or a path
    #[arg(long, global = true, value_name = "NAMESPACE")]
    pub(super) netns: Option<String>,
    /// Keep lock, owners and drained weights here, not in /run/ipvs-cli
    #[arg(long, global = true, value_name = "DIRECTORY")]
    pub(super) state_dir: Option<PathBuf>,
}

const LANGUAGE: &str = "\
ipvs-cli also takes every command line of ipvsadm: `ipvs-cli -h` lists the
options. --dry-run before one shows what it would change. Installed under the
name ipvsadm, ipvsadm-save or ipvsadm-restore, it is that program.

Examples:
  ipvs-cli show
  ipvs-cli diff shop.toml
  ipvs-cli drain tcp:192.0.2.1:80 192.0.2.11
  ipvs-cli -A -t 192.0.2.1:80 -s rr
  ipvs-cli --dry-run -D -t 192.0.2.1:80";

#[derive(clap::Subcommand, Debug)]
pub(super) enum Subcommand {
    /// Bring the director to the state that a file describes, by the smallest change
    #[command(after_help = APPLY_STATUS)]
    Apply(Apply),
    /// Show what `apply` would change, or how two files differ
    #[command(after_help = DIFF_STATUS)]
    Diff(Diff),
    /// Check a file, without a director and without privileges
    #[command(after_help = CHECK_STATUS)]
    Check(Check),
    /// Write a file in another notation, without a director
    #[command(after_help = CONVERT_STATUS)]
    Convert(Convert),
    /// Show what the director holds
    #[command(after_help = SHOW_EXAMPLES)]
    Show(Show),
    /// Show the connection table, entry by entry or counted
    #[command(after_help = CONNS_EXAMPLES)]
    Conns(Conns),
    /// Show services and their rates on the terminal, as they change
    #[command(after_help = TOP_KEYS)]
    Top(Top),
    /// Print services and their rates as lines, at intervals
    #[command(after_help = WATCH_EXAMPLES)]
    Watch(Watch),
    /// Write counters, connections and settings for Prometheus
    #[command(after_help = METRICS_EXAMPLES)]
    Metrics(Metrics),
    /// Set real servers to weight 0, and wait until their connections have ended
    #[command(after_help = DRAIN_STATUS)]
    Drain(Drain),
    /// Give drained real servers their weights back
    #[command(after_help = UNDRAIN_EXAMPLES)]
    Undrain(Undrain),
    /// Set the weight of real servers, and change nothing else
    #[command(after_help = WEIGHT_EXAMPLE)]
    Weight(SetWeight),
    /// Replace the table by what a file describes: all of it, or nothing
    #[command(after_help = RESTORE_STATUS)]
    Restore(Restore),
    /// Show which services have an owner: who applied them with `apply --owner`
    #[command(after_help = OWNERS_STATUS)]
    Owners(Owners),
    /// Mark packets, so that several ports are one service
    Mark(Marks),
    /// Find what keeps packets from their service, and the commands that mend it
    Doctor(Doctor),
}

const APPLY_STATUS: &str = "\
Exit status: 0 done, or nothing to change; 1 wrong file, refused, over
--max-deletions or answered no: the director is as it was; 2 wrong usage; 3 the
director is between two states, its state is unknown, or the list of owners was
not written: run it again; 128 + signal: interrupted, and undone.

Examples:
  ipvs-cli apply shop.toml
  ipvs-cli apply --dry-run shop.toml
  ipvs-cli apply --max-deletions 10 --wait=30 shop.toml";

const OWNERS_STATUS: &str = "\
Exit status: 0; 1 the director or the list of owners can't be read; 2 wrong
usage.

Examples:
  ipvs-cli owners
  ipvs-cli owners --json";

const RESTORE_STATUS: &str = "\
Exit status: as of `ipvs-cli apply`; with --line-by-line, as of ipvsadm-restore.

Examples:
  ipvs-cli restore /etc/ipvsadm.rules
  ipvs-cli restore --dry-run shop.toml
  ipvsadm-save -n | ipvs-cli restore --netns blue";

const CHECK_STATUS: &str = "\
Exit status: 0 right; 1 wrong: each line of the output names FILE:LINE; 2 wrong
usage.

Examples:
  ipvs-cli check shop.toml
  ipvs-cli check --quiet /etc/ipvsadm.rules";

const CONVERT_STATUS: &str = "\
Exit status: 0 written; 1 wrong file, or the notation can't say the same; 2
wrong usage.

Examples:
  ipvs-cli convert --toml /etc/ipvsadm.rules > shop.toml
  ipvs-cli convert --rules shop.json";

const SHOW_EXAMPLES: &str = "\
Exit status: 0 shown; 1 trouble; 2 wrong usage.

Examples:
  ipvs-cli show
  ipvs-cli show --toml > shop.toml
  ipvs-cli show --json --statistics tcp:192.0.2.1:80";

const DIFF_STATUS: &str = "\
Exit status: 0 nothing differs; 1 something does; 2 trouble.

Examples:
  ipvs-cli diff shop.toml
  ipvs-cli diff --rules shop.toml
  ipvs-cli diff yesterday.toml today.toml";

const TOP_KEYS: &str = "\
Keys:
  arrows, PageUp, PageDown, Home, End   select
  s, S                                  sort by the next or previous column
  r                                     reverse the order
  /                                     show services that contain a word;
                                        Esc shows all again
  Enter                                 hide or show the destinations
  c                                     show the connections
  space                                 pause
  q                                     quit

Exit status: 0; 1 no terminal, or the director can't be read; 2 wrong usage.

Examples:
  ipvs-cli top
  ipvs-cli top --interval 5";

const CONNS_EXAMPLES: &str = "\
Exit status: 0 shown; 1 the table can't be read; 2 wrong usage.

Examples:
  ipvs-cli conns --service tcp:192.0.2.1:80 --state ESTABLISHED
  ipvs-cli conns --client 203.0.113.0/24 --sort expires --limit 20
  ipvs-cli conns --by server";

const WATCH_EXAMPLES: &str = "\
Exit status: 0 after --count rounds; 1 the director can't be read; 2 wrong
usage.

Examples:
  ipvs-cli watch --busy
  ipvs-cli watch --interval 10 --count 6 --json tcp:192.0.2.1:80";

const METRICS_EXAMPLES: &str = "\
Exit status: 0 written; 1 trouble; 2 wrong usage.

Examples:
  ipvs-cli metrics --destinations
  ipvs-cli metrics --output /var/lib/node_exporter/ipvs.prom
  ipvs-cli metrics --listen 192.0.2.1:9875";

const DRAIN_STATUS: &str = "\
Exit status: 0 drained; 1 not drained, or not in time: what was set to weight 0
stays there, and the command can be run again; 2 wrong usage; 128 + signal:
interrupted, as for 1.

Examples:
  ipvs-cli drain tcp:192.0.2.1:80 192.0.2.11
  ipvs-cli drain --timeout 600 --delete mark:10 192.0.2.11 192.0.2.12
  ipvs-cli drain --all 192.0.2.11";

const UNDRAIN_EXAMPLES: &str = "\
Exit status: 0 done; 1 a weight is not known, or was refused; 2 wrong usage.

Examples:
  ipvs-cli undrain tcp:192.0.2.1:80 192.0.2.11
  ipvs-cli undrain --all 192.0.2.11 --weight 5";

const WEIGHT_EXAMPLE: &str = "\
Exit status: 0 done; 1 not done, or not all of it; 2 wrong usage.

Examples:
  ipvs-cli weight tcp:192.0.2.1:80 192.0.2.11 192.0.2.12:8080 5
  ipvs-cli weight --all 192.0.2.11 5";

#[derive(Args, Debug)]
pub(super) struct Apply {
    #[command(flatten)]
    pub(super) wanted: Wanted,
    #[command(flatten)]
    pub(super) manner: Manner,
}

#[derive(Args, Debug)]
pub(super) struct Check {
    /// Desired state: rules of ipvsadm, TOML or JSON; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(super) file: PathBuf,
    /// Print only what is wrong
    #[arg(long)]
    pub(super) quiet: bool,
}

#[derive(Args, Debug)]
#[command(group = ArgGroup::new("notation").required(true))]
pub(super) struct Convert {
    /// Desired state: rules of ipvsadm, TOML or JSON; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(super) file: PathBuf,
    /// Write JSON
    #[arg(long, group = "notation")]
    pub(super) json: bool,
    /// Write TOML
    #[arg(long, group = "notation")]
    pub(super) toml: bool,
    /// Write rules of ipvsadm
    #[arg(long, group = "notation")]
    pub(super) rules: bool,
    /// Leave out timeouts and sync daemons
    #[arg(long)]
    pub(super) services_only: bool,
}

#[derive(Args, Debug)]
pub(super) struct Diff {
    #[command(flatten)]
    pub(super) wanted: Wanted,
    /// A second file: show what changes from FILE to NEW; no director is asked
    #[arg(value_name = "NEW")]
    pub(super) new: Option<PathBuf>,
    /// Colour removed lines red and added ones green; auto: on a terminal,
    /// unless NO_COLOR is set
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub(super) color: Color,
    /// Print as JSON, an object on each line
    #[arg(long)]
    pub(super) json: bool,
    /// Print each old and new line as a rule, without totals
    #[arg(long, conflicts_with = "json")]
    pub(super) rules: bool,
}

#[derive(Args, Debug)]
pub(super) struct Show {
    /// Show only this service, such as tcp:192.0.2.1:80 or "mark 10 ipv6"
    #[arg(value_name = "SERVICE", num_args = 0..=3)]
    pub(super) service: Vec<String>,
    /// Print JSON, which `apply` reads
    #[arg(long, group = "notation")]
    pub(super) json: bool,
    /// Print TOML, which `apply` reads
    #[arg(long, group = "notation")]
    pub(super) toml: bool,
    /// Print rules of ipvsadm, without timeouts and sync daemons
    #[arg(long, group = "notation")]
    pub(super) rules: bool,
    /// Add the sync daemons, which belong to this director alone
    ///
    /// With --json or --toml. Applied to another director, they run there, too: a backup becomes a second master.
    #[arg(long, conflicts_with_all = ["rules", "service"])]
    pub(super) daemons: bool,
    /// Add counters, rates and connections
    #[arg(long, requires = "json")]
    pub(super) statistics: bool,
}

#[derive(Args, Debug)]
pub(super) struct Owners {
    /// Print as JSON, an object on each line
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Args, Debug)]
pub(super) struct Restore {
    /// Desired state: rules of ipvsadm, TOML or JSON; standard input without it
    #[arg(value_name = "FILE", default_value = "-", hide_default_value = true)]
    pub(super) file: PathBuf,
    /// Clear the table, then run line by line, as ipvsadm-restore does
    #[arg(long, conflicts_with_all = ["wait", "timeout", "json", "max_deletions", "yes", "undrain", "owner", "take"])]
    pub(super) line_by_line: bool,
    /// Give drained destinations the weights that the file gives them
    #[arg(long)]
    pub(super) undrain: bool,
    /// All or nothing: the default
    #[arg(long, conflicts_with = "line_by_line")]
    atomic: bool,
    #[command(flatten)]
    pub(super) ownership: Ownership,
    #[command(flatten)]
    pub(super) manner: Manner,
}

/// What is desired.
#[derive(Args, Debug)]
pub(super) struct Wanted {
    /// Desired state: rules of ipvsadm, TOML or JSON; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(super) file: PathBuf,
    #[command(flatten)]
    pub(super) restrictions: Restrictions,
}

/// What of the difference is left alone.
#[derive(Args, Debug, Default)]
pub(super) struct Restrictions {
    /// Leave the weights of destinations that are there as they are
    #[arg(long)]
    pub(super) keep_weights: bool,
    /// Only add what is missing; neither edit nor delete
    #[arg(long, conflicts_with_all = ["no_deletions", "keep_weights"])]
    pub(super) only_additions: bool,
    /// Add and edit, but leave what is not in the file
    #[arg(long)]
    pub(super) no_deletions: bool,
    /// Leave timeouts and sync daemons alone, even if the file has them
    #[arg(long)]
    pub(super) services_only: bool,
    /// Give drained destinations the weights that the file gives them
    #[arg(long)]
    pub(super) undrain: bool,
    /// Only this service, or those of a network, such as 192.0.2.0/24; repeatable
    #[arg(long, value_name = "SERVICE|NETWORK", value_parser = Selection::parse)]
    pub(super) only: Vec<Selection>,
    #[command(flatten)]
    pub(super) ownership: Ownership,
}

impl Restrictions {
    /// Whether `--only` leaves this service in.
    pub(super) fn selects(&self, key: &ServiceKey) -> bool {
        self.only.is_empty() || self.only.iter().any(|selection| selection.contains(key))
    }
}

/// How a change is made.
#[derive(Args, Debug, Default)]
pub(super) struct Manner {
    /// Show what would change, and change nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Change nothing if more than N services and destinations would go
    #[arg(long, value_name = "N")]
    pub(super) max_deletions: Option<usize>,
    /// Do not ask on a terminal before services are deleted
    #[arg(long)]
    pub(super) yes: bool,
    #[command(flatten)]
    turn: Turn,
    /// Print as JSON what was done, or would be: an object on each line
    #[arg(long)]
    pub(super) json: bool,
    /// Print only what is wrong
    #[arg(long)]
    pub(super) quiet: bool,
    /// Give up after SECONDS, and undo what was done
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(super) timeout: Option<Duration>,
    #[command(flatten)]
    pub(super) logging: Logging,
}

impl Manner {
    /// How long to wait for another: `None` is as long as it takes.
    pub(super) fn patience(&self) -> Option<Duration> {
        match (self.turn.patience(Duration::ZERO), self.timeout) {
            (Some(patience), Some(limit)) => Some(patience.min(limit)),
            (patience, limit) => patience.or(limit),
        }
    }
}

/// Whether to wait for the lock.
#[derive(Args, Debug, Default)]
pub(super) struct Turn {
    /// Wait for another ipvs-cli that is changing this director
    ///
    /// Wait at most SECONDS, or without a limit, instead of failing.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, value_parser = seconds)]
    wait: Option<Option<Duration>>,
}

impl Turn {
    /// How long to wait, if nothing is said of it `unsaid`: `None` is as long as it takes.
    pub(super) fn patience(&self, unsaid: Duration) -> Option<Duration> {
        self.wait.unwrap_or(Some(unsaid))
    }
}

/// When output is coloured.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Color {
    Auto,
    Always,
    Never,
}

pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or_else(|| "a number of seconds, such as 10 or 0.5".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_fit_together() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn waiting_is_for_ever_for_a_time_or_not_at_all() {
        let patience = |words: &[&str]| {
            let words = ["ipvs-cli", "apply", "file"].iter().chain(words);
            let Subcommand::Apply(apply) = Cli::try_parse_from(words).unwrap().subcommand else { panic!() };
            apply.manner.patience()
        };
        assert_eq!(patience(&[]), Some(Duration::ZERO));
        assert_eq!(patience(&["--wait"]), None);
        assert_eq!(patience(&["--wait=1.5"]), Some(Duration::from_millis(1500)));
        assert!(Cli::try_parse_from(["ipvs-cli", "apply", "file", "--wait=-1"]).is_err());
        assert!(Cli::try_parse_from(["ipvs-cli", "apply", "file", "--timeout", "nan"]).is_err());
    }
}
