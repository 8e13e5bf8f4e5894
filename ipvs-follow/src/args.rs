//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{CommandFactory, Parser, Subcommand};
use ipvs::owners::Owner;
use ipvs_cli::http::listen_at;
use ipvs_cli::keep::Limits;

const HELP: &str = "\
SOURCE is a file with a desired state (rules of ipvsadm, TOML or JSON), or a
directory: its files *.rules, *.toml and *.json are one state together. A source
that can't be read, is wrong, empty or half written changes nothing: the last
good state stays.

Exit status: 0 ended by SIGTERM or SIGINT, the director stays as it is; 1
another program follows already, or the hold can't be kept; 2 wrong usage, or no
access to IPVS.

Examples:
  ipvs-follow --owner shop --max-deletions 5 /etc/ipvs/shop.toml
  ipvs-follow hold 30m --reason 'new network card'
  ipvs-follow release";

/// Keep an IPVS director as a file or directory says
#[derive(Parser, Debug)]
#[command(name = "ipvs-follow", version, after_help = HELP, max_term_width = 80)]
#[command(subcommand_negates_reqs = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) act: Option<Act>,
    /// What the director is to hold: a file or a directory
    #[arg(required = true, value_name = "SOURCE")]
    pub(crate) source: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) options: Options,
    /// Use the director of this network namespace: a name of `ip netns`, a
    /// process number, or a path
    #[arg(long, global = true, value_name = "NAMESPACE")]
    pub(crate) netns: Option<String>,
    /// Keep lock, owners and holds here, not in /run/ipvs-cli
    #[arg(long, global = true, value_name = "DIRECTORY")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Wait at most TIME for another program that is changing this director
    #[arg(long, global = true, value_name = "TIME", default_value = "30s", value_parser = period)]
    pub(crate) wait: Duration,
}

/// The options, for a manual page.
///
/// ```
/// assert!(ipvs_follow::command().find_subcommand("hold").is_some());
/// ```
pub fn command() -> clap::Command {
    Cli::command()
}

/// How a source is followed.
#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// Delete only what this owner applied before; refuse what others have
    #[arg(long, value_name = "NAME")]
    owner: Option<Owner>,
    /// Take over services of the source that others own or nobody owns
    #[arg(long)]
    take: bool,
    /// Leave the weights of destinations that are there as they are
    #[arg(long)]
    keep_weights: bool,
    /// Change nothing if more than N services and destinations would go
    #[arg(long, value_name = "N")]
    max_deletions: Option<usize>,
    /// Read source and director again after TIME, even if nothing is seen to change
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = recheck)]
    pub(crate) recheck: Duration,
    /// Serve http://ADDRESS/metrics: an address with a port, or a port, which
    /// then only this machine can reach
    #[arg(long, value_name = "ADDRESS", value_parser = listen_at)]
    pub(crate) listen: Option<SocketAddr>,
}

impl Options {
    pub(crate) fn limits(&self, wait: Duration) -> Limits {
        let Options { owner, take, keep_weights, max_deletions, .. } = self;
        Limits { owner: owner.clone(), take: *take, keep_weights: *keep_weights, max_deletions: *max_deletions, wait }
    }
}

#[derive(Subcommand, Debug)]
pub(crate) enum Act {
    /// Keep all followers of this director from changing it, for TIME
    Hold {
        /// How long, such as 90s, 30m or 2h
        #[arg(value_name = "TIME", value_parser = period)]
        time: Duration,
        /// Say why, for those who look at the follower
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
    },
    /// End a hold
    Release,
}

/// Reads a time: a number of seconds, or of `s`, `m`, `h` or `d`.
fn period(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.find(|letter: char| letter.is_ascii_alphabetic()) {
        Some(at) => text.split_at(at),
        None => (text, "s"),
    };
    let seconds = match unit {
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86400.0,
        _ => f64::NAN,
    };
    let time = number.parse::<f64>().ok().and_then(|number| Duration::try_from_secs_f64(number * seconds).ok());
    time.ok_or_else(|| "must be a time, such as 90s, 30m, 2h or 1d".to_owned())
}

fn recheck(text: &str) -> Result<Duration, String> {
    period(text)?
        .checked_sub(Duration::from_secs(1))
        .map(|_| period(text))
        .unwrap_or_else(|| Err("must be at least 1s".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_time_has_a_unit_or_is_in_seconds() {
        for (text, seconds) in [("90", 90.0), ("90s", 90.0), ("1.5m", 90.0), ("2h", 7200.0), ("1d", 86400.0)] {
            assert_eq!(period(text), Ok(Duration::from_secs_f64(seconds)), "{text}");
        }
        for text in ["", "m", "1w", "-1s", "inf", "nan", "1 m", "1e400s"] {
            assert!(period(text).is_err(), "{text}");
        }
        assert!(recheck("0.5").is_err());
        assert_eq!(recheck("1s"), Ok(Duration::from_secs(1)));
    }

    #[test]
    fn a_source_and_the_words_for_a_hold_are_distinguished() {
        let parse = |line: &str| Cli::try_parse_from(line.split(' '));
        let cli = parse("ipvs-follow --owner shop --max-deletions 5 shop.toml").unwrap();
        assert_eq!((cli.source, cli.act.is_none()), (Some("shop.toml".into()), true));
        let cli = parse("ipvs-follow --netns lb hold 30m").unwrap();
        assert!(matches!(cli.act, Some(Act::Hold { time, .. }) if time == Duration::from_secs(1800)));
        assert!(parse("ipvs-follow").is_err(), "a source is needed");
        assert!(parse("ipvs-follow hold").is_err());
    }
}
