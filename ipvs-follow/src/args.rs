//! The command line.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use ipvs::owners::Owner;
use ipvs_cli::http::listen_at;
use ipvs_cli::keep::{self, Limits};

use crate::etcd::{Access, Address, Host, generation};

const HELP: &str = "\
SOURCE is a file with a desired state (rules of ipvsadm, TOML or JSON), a
directory, whose files *.rules, *.toml and *.json are one state together, or
etcd://HOST:PORT,HOST:PORT/PREFIX (etcds:// with TLS), the state of a fleet. A
source that can't be read, is wrong, empty or half written changes nothing: the
last good state stays.

Exit status: 0 ended by SIGTERM or SIGINT, the director stays as it is; 1
another program follows already, or the hold can't be kept; 2 wrong usage, or no
access to IPVS. `hold` and `release` apply to all followers of this director.

Examples:
  ipvs-follow --owner shop --max-deletions 5 /etc/ipvs/shop.toml
  ipvs-follow --cacert ca.pem etcds://etcd1,etcd2,etcd3/ipvs/shop
  ipvs-follow fleet --cacert ca.pem etcds://etcd1,etcd2,etcd3/ipvs/shop
  ipvs-follow hold 30m --reason 'new network card'
  ipvs-follow release";

/// Keep an IPVS director as a file, a directory or etcd says
#[derive(Parser, Debug)]
#[command(name = "ipvs-follow", version, after_help = HELP, max_term_width = 80)]
#[command(subcommand_negates_reqs = true)]
#[command(override_usage = "ipvs-follow [OPTIONS] SOURCE
       ipvs-follow hold [--reason TEXT] TIME
       ipvs-follow release
       ipvs-follow fleet [OPTIONS] SOURCE
       ipvs-follow fleet push|current|rollback|canary|prune …")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) act: Option<Act>,
    /// The desired state: a file, a directory or a prefix in etcd
    #[arg(required = true, value_name = "SOURCE")]
    pub(crate) source: Option<SourceName>,
    #[command(flatten)]
    pub(crate) access: Access,
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

impl Cli {
    /// Parses these words, the program's name included.
    ///
    /// # Errors
    /// What is wrong with them, or the help.
    pub(crate) fn parse_words(words: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let mut command = Cli::command();
        let matches = command.try_get_matches_from_mut(words)?;
        if let Some(act) = matches.subcommand_name() {
            let of_following = Options::augment_args(clap::Command::new(""))
                .get_arguments()
                .map(clap::Arg::get_id)
                .cloned()
                .collect::<Vec<_>>();
            let is_given = |id: &&clap::Id| matches.value_source(id.as_str()) == Some(ValueSource::CommandLine);
            let ignored: &[&str] = match act {
                "fleet" => &["netns", "state_dir", "wait"],
                _ => &["cacert", "cert", "key", "user", "password_file"],
            };
            if let Some(id) = ignored.iter().find(|id| matches.value_source(id) == Some(ValueSource::CommandLine)) {
                let text = format!("'--{}' does not go with `{act}`", id.replace('_', "-"));
                return Err(command.error(ErrorKind::ArgumentConflict, text));
            }
            if let Some(id) = of_following.iter().find(is_given) {
                let text =
                    format!("'--{}' is for following a SOURCE: `{act}` follows none", id.as_str().replace('_', "-"));
                return Err(command.error(ErrorKind::ArgumentConflict, text));
            }
            if matches.contains_id("source") {
                return Err(
                    command.error(ErrorKind::ArgumentConflict, format!("a SOURCE and '{act}' can't be used together"))
                );
            }
        }
        Cli::from_arg_matches(&matches)
    }
}

/// What was named as the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SourceName {
    Path(PathBuf),
    Etcd(Address),
}

impl FromStr for SourceName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match Address::is_meant(text) {
            true => text.parse().map(SourceName::Etcd),
            false => Ok(SourceName::Path(text.into())),
        }
    }
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
    /// Delete only services that this owner applied before; fail if the
    /// source has services of others
    #[arg(long, value_name = "NAME", value_parser = keep::owner)]
    owner: Option<Owner>,
    /// Take over services of the source that have another owner or none
    #[arg(long)]
    take: bool,
    /// Do not change the weights of existing destinations
    #[arg(long)]
    keep_weights: bool,
    /// Change nothing if more than N services and destinations would be deleted
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = count)]
    max_deletions: Option<usize>,
    /// Read source and director again after TIME, even if no change was seen
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = from_a_second)]
    pub(crate) recheck: Duration,
    /// Serve http://ADDRESS/metrics: an address with a port, or a port, which
    /// then only this machine can reach
    #[arg(long, value_name = "ADDRESS", value_parser = listen_at)]
    pub(crate) listen: Option<SocketAddr>,
    /// The director's name in the fleet [default: the machine's name]
    #[arg(long, value_name = "HOST", help_heading = "etcd")]
    pub(crate) host: Option<Host>,
    /// Time after which the fleet counts a silent director as missing
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = lease, help_heading = "etcd")]
    pub(crate) lease: Duration,
    /// Keep a copy of the last good state here, to start from while etcd can't be
    /// read; it deletes nothing, or at most what --max-deletions says
    #[arg(long, value_name = "FILE", help_heading = "etcd")]
    pub(crate) copy: Option<PathBuf>,
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
        #[arg(value_name = "TIME", value_parser = from_a_second)]
        time: Duration,
        /// The reason, which the followers report
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
    },
    /// End a hold
    Release,
    /// Show the directors of a fleet, or change their desired state
    Fleet(Fleet),
}

const FLEET: &str = "\
Exit status: 0 each director has its generation, or the change was made; 1 a
director has not, or the change was refused; 2 wrong usage, or etcd can't be
reached.

Examples, with SOURCE=etcds://etcd1,etcd2,etcd3/ipvs/shop:
  ipvs-follow fleet $SOURCE --expect lb1,lb2,lb3
  number=$(ipvs-follow fleet push $SOURCE shop.toml)
  ipvs-follow fleet canary $SOURCE lb3 $number
  ipvs-follow fleet $SOURCE --within 30s
  ipvs-follow fleet current $SOURCE $number
  ipvs-follow fleet canary $SOURCE lb3 --remove
  ipvs-follow fleet rollback $SOURCE
  ipvs-follow fleet prune $SOURCE --keep 20";

/// A fleet in etcd.
#[derive(clap::Args, Debug)]
#[command(subcommand_negates_reqs = true, after_help = FLEET)]
pub(crate) struct Fleet {
    #[command(subcommand)]
    pub(crate) act: Option<FleetAct>,
    /// etcd://HOST:PORT,HOST:PORT/PREFIX, or etcds://… with TLS
    #[arg(required = true, value_name = "SOURCE")]
    pub(crate) source: Option<Address>,
    /// Fail if one of these directors is missing
    #[arg(long, value_name = "HOST,…", value_delimiter = ',')]
    pub(crate) expect: Vec<Host>,
    /// Wait at most TIME until each director has its generation
    #[arg(long, value_name = "TIME", value_parser = period)]
    pub(crate) within: Option<Duration>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Subcommand, Debug)]
pub(crate) enum FleetAct {
    /// Check a desired state and store it as the next generation; print its number
    Push {
        /// etcd://HOST:PORT,HOST:PORT/PREFIX, or etcds://… with TLS
        #[arg(value_name = "SOURCE")]
        source: Address,
        /// The file; `-` is standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Select the generation of all directors without a canary
    Current {
        /// etcd://HOST:PORT,HOST:PORT/PREFIX, or etcds://… with TLS
        #[arg(value_name = "SOURCE")]
        source: Address,
        /// The number that `push` printed
        #[arg(value_name = "N", value_parser = number)]
        number: u64,
    },
    /// Select the generation before the current one
    Rollback {
        /// etcd://HOST:PORT,HOST:PORT/PREFIX, or etcds://… with TLS
        #[arg(value_name = "SOURCE")]
        source: Address,
    },
    /// Select the generation of one director, as a canary
    Canary {
        /// etcd://HOST:PORT,HOST:PORT/PREFIX, or etcds://… with TLS
        #[arg(value_name = "SOURCE")]
        source: Address,
        /// The director's name, as `fleet SOURCE` shows it
        #[arg(value_name = "HOST")]
        host: Host,
        /// The number that `push` printed
        #[arg(value_name = "N", value_parser = number, required_unless_present = "remove", conflicts_with = "remove")]
        number: Option<u64>,
        /// Give it the generation of the others again
        #[arg(long)]
        remove: bool,
    },
    /// Remove old generations that no pointer and no director has
    Prune {
        /// etcd://HOST:PORT,HOST:PORT/PREFIX, or etcds://… with TLS
        #[arg(value_name = "SOURCE")]
        source: Address,
        /// Keep the N newest, in any case
        #[arg(long, value_name = "N")]
        keep: NonZeroUsize,
    },
}

/// Reads the number of a generation.
fn number(text: &str) -> Result<u64, String> {
    generation(text.as_bytes()).ok_or_else(|| "must be the number of a generation, such as 7".to_owned())
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

fn count(text: &str) -> Result<usize, String> {
    let expected = |_| format!("must be a whole number from 0 to {}", u32::MAX);
    text.parse::<u32>().map_err(expected).map(|count| count as usize)
}

/// A year is as good as for ever, and no clock ends before it is over.
const LONGEST: Duration = Duration::from_secs(365 * 86400);

fn from_a_second(text: &str) -> Result<Duration, String> {
    let time = period(text)?;
    let is_allowed = (Duration::from_secs(1)..=LONGEST).contains(&time);
    if is_allowed { Ok(time) } else { Err("must be from 1s to 365d".to_owned()) }
}

/// A time in words that [`period`] reads: `1h30m`.
pub(crate) fn written(time: Duration) -> String {
    let mut left = time.as_secs();
    let mut text = String::new();
    for (seconds, unit) in [(86400, 'd'), (3600, 'h'), (60, 'm'), (1, 's')] {
        if left >= seconds {
            text += &format!("{}{unit}", left / seconds);
            left %= seconds;
        }
    }
    text
}

fn lease(text: &str) -> Result<Duration, String> {
    let least = Duration::from_secs(3);
    from_a_second(text).and_then(|time| if time < least { Err("must be at least 3s".to_owned()) } else { Ok(time) })
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
        for text in ["0", "0.5", "366d", "300000000000d"] {
            assert_eq!(from_a_second(text), Err("must be from 1s to 365d".to_owned()), "{text}");
        }
        for (text, same) in [("1s", "1s"), ("90m", "1h30m"), ("365d", "365d"), ("90061", "1d1h1m1s")] {
            assert_eq!(from_a_second(text).map(written), Ok(same.to_owned()));
        }
    }

    #[test]
    fn a_source_and_the_words_for_a_hold_are_distinguished() {
        let parse = |line: &str| Cli::parse_words(line.split(' ').map(OsString::from));
        let cli = parse("ipvs-follow --owner shop --max-deletions 5 shop.toml").unwrap();
        assert_eq!((cli.source, cli.act.is_none()), (Some(SourceName::Path("shop.toml".into())), true));
        let cli = parse("ipvs-follow --netns lb hold 30m").unwrap();
        assert!(matches!(cli.act, Some(Act::Hold { time, .. }) if time == Duration::from_secs(1800)));
        assert!(parse("ipvs-follow").is_err(), "a source is needed");
        assert!(parse("ipvs-follow hold").is_err());
        let error = parse("ipvs-follow --max-deletions -3 shop.toml").unwrap_err().to_string();
        assert!(error.contains("must be a whole number from 0 to 4294967295"), "{error}");
        for (line, wrong) in [
            ("--owner shop hold 1m", "'--owner' is for following"),
            ("--recheck 5m hold 1m", "'--recheck' is for following"),
            ("--keep-weights release", "'--keep-weights' is for following"),
            ("shop.toml hold 1m", "a SOURCE and 'hold'"),
            ("fleet etcd://lb1/ipvs --netns lb", "'--netns' does not go with `fleet`"),
            ("--wait 3 fleet push etcd://lb1/ipvs x", "'--wait' does not go with `fleet`"),
            ("hold 1m --cacert ca.pem", "'--cacert' does not go with `hold`"),
        ] {
            let error = parse(&format!("ipvs-follow {line}")).unwrap_err().to_string();
            assert!(error.contains(wrong) && error.contains("Usage: ipvs-follow [OPTIONS] SOURCE\n"), "{error}");
        }
        let cli = parse("ipvs-follow --cacert ca.pem etcds://lb1/ipvs").unwrap();
        assert!(matches!(cli.source, Some(SourceName::Etcd(address)) if address.is_encrypted));
        assert!(parse("ipvs-follow etcd://lb1").is_err(), "without a prefix");
    }

    #[test]
    fn a_fleet_is_shown_or_changed() {
        let parse = |line: &str| match Cli::try_parse_from(line.split(' ')).map(|cli| cli.act) {
            Ok(Some(Act::Fleet(fleet))) => Ok(fleet),
            other => Err(format!("{other:?}")),
        };
        let fleet = parse("ipvs-follow fleet etcd://lb1/ipvs --expect a,b --cacert ca.pem").unwrap();
        assert_eq!((fleet.act.is_none(), fleet.expect.len()), (true, 2));
        for line in [
            "push etcd://lb1/ipvs -",
            "current etcd://lb1/ipvs 7",
            "rollback etcd://lb1/ipvs",
            "canary etcd://lb1/ipvs lb2 7",
            "--cacert ca.pem push etcd://lb1/ipvs x",
            "canary etcd://lb1/ipvs lb2 --remove",
            "prune etcd://lb1/ipvs --keep 20",
        ] {
            assert!(parse(&format!("ipvs-follow fleet {line}")).unwrap().act.is_some(), "{line}");
        }
        for line in [
            "",
            "/etc/ipvs",
            "push etcd://lb1/ipvs",
            "canary etcd://lb1/ipvs lb2",
            "canary etcd://lb1/ipvs lb2 7 --remove",
            "current etcd://lb1/ipvs x",
            "current etcd://lb1/ipvs 0",
            "canary etcd://lb1/ipvs lb2 07",
            "prune etcd://lb1/ipvs",
            "prune etcd://lb1/ipvs --keep 0",
        ] {
            assert!(parse(&format!("ipvs-follow fleet {line}")).is_err(), "{line}");
        }
    }
}
