//! The subcommands' options.

use std::path::PathBuf;

use clap::Parser;

use super::apply::Apply;
use super::check::Check;
use super::completions::Completions;
use super::conns::Conns;
use super::convert::Convert;
use super::diff::Diff;
use super::doctor::Doctor;
use super::drain::Drain;
use super::man::Man;
use super::mark::Marks;
use super::metrics::Metrics;
use super::monitor::Watched;
use super::owners::Owners;
use super::report::Report;
use super::restore::Restore;
use super::show::Show;
use super::sync::Sync;
use super::top::Top;
use super::undrain::Undrain;
use super::watch::Watch;
use super::weight::SetWeight;

/// Change and watch an IPVS director
#[derive(Parser, Debug)]
#[command(name = "ipvs-cli", arg_required_else_help = true, after_help = LANGUAGE, max_term_width = 80)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) subcommand: Subcommand,
    /// Use the director of this network namespace: a name of `ip netns`, a
    /// process number, or a path
    #[arg(long, global = true, value_name = "NAMESPACE")]
    pub(super) netns: Vec<String>,
    /// Keep lock, owners and drained weights here, not in /run/ipvs-cli
    #[arg(long, global = true, value_name = "DIRECTORY")]
    pub(super) state_dir: Option<PathBuf>,
}

const LANGUAGE: &str = "\
ipvs-cli also takes every command line of ipvsadm: `ipvs-cli -h` lists the
options. --dry-run before one shows what it would change. Installed under the
name ipvsadm, ipvsadm-save or ipvsadm-restore, it is that program. A program of
its own, ipvs-follow, keeps a director as a file says.

Examples:
  ipvs-cli show
  ipvs-cli diff shop.toml
  ipvs-cli drain tcp:192.0.2.1:80 192.0.2.11
  ipvs-cli -A -t 192.0.2.1:80 -s rr
  ipvs-cli --dry-run -D -t 192.0.2.1:80";

#[derive(clap::Subcommand, Debug)]
pub(super) enum Subcommand {
    /// Make the director as a file says, by the smallest change
    Apply(Apply),
    /// Show what `apply` would change, or how two files differ
    Diff(Diff),
    /// Check a file, without a director and without privileges
    Check(Check),
    /// Write a file in another notation, without a director
    Convert(Convert),
    /// Show services and real servers, also as rules, TOML or JSON
    Show(Show),
    /// Show the connection table, entry by entry or counted
    Conns(Conns),
    /// Compare the connections of two directors, and show what a master announces
    Sync(Sync),
    /// Show services and their rates on the terminal, as they change
    Top(Top),
    /// Print services and their rates as lines, at intervals
    Watch(Watch),
    /// Show every change as it happens, and who makes it
    Monitor(Watched),
    /// Write counters, connections and settings for Prometheus
    Metrics(Metrics),
    /// Set real servers to weight 0, and wait until their connections have ended
    Drain(Drain),
    /// Give drained real servers their weights back
    Undrain(Undrain),
    /// Set the weight of real servers, and change nothing else
    Weight(SetWeight),
    /// Replace the table by the state in a file, all of it or nothing
    Restore(Restore),
    /// Show which services have an owner: who applied them with `apply --owner`
    Owners(Owners),
    /// Mark packets, so that several ports are one service
    Mark(Marks),
    /// Find what keeps packets from their service, and the commands that mend it
    Doctor(Doctor),
    /// Write an archive for a support case: table, settings, findings, journal
    Report(Report),
    /// Print the completions of command lines for a shell
    Completions(Completions),
    /// Write the manual pages into a directory
    Man(Man),
}

/// The subcommands that never ask a director.
pub(super) const OFFLINE: [&str; 4] = ["check", "convert", "completions", "man"];

impl Subcommand {
    /// Does it read or change a director, or the firewall beside it?
    pub(super) fn uses_director(&self) -> bool {
        match self {
            Subcommand::Check(_) | Subcommand::Convert(_) | Subcommand::Completions(_) | Subcommand::Man(_) => false,
            Subcommand::Diff(diff) => diff.new.is_none(),
            Subcommand::Monitor(watched) => watched.replay.is_none(),
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_options_fit_together() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn a_lock_is_waited_for_as_long_as_the_options_say() {
        let patience = |words: &[&str]| {
            let words = ["ipvs-cli", "apply", "file"].iter().chain(words);
            let Subcommand::Apply(apply) = Cli::try_parse_from(words).unwrap().subcommand else { panic!() };
            apply.manner.patience()
        };
        assert_eq!(patience(&[]), Duration::from_secs(30));
        assert_eq!(patience(&["--wait", "1.5"]), Duration::from_millis(1500));
        assert_eq!(patience(&["--wait=1.5"]), Duration::from_millis(1500));
        assert_eq!(patience(&["--wait=5", "--timeout", "2"]), Duration::from_secs(2));
    }
}
