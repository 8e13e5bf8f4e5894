//! The options of a change: what is desired, what is left alone, and how it is made.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use ipvs::ServiceKey;

use super::claims::Ownership;
use crate::arguments::number::{seconds, whole};
use crate::arguments::service::Selection;
use crate::foreign::Format;
use crate::session::journal::Logging;

/// What program a file is of.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ForeignArgs {
    /// FILE is a configuration of this program: the state while all its checks
    /// succeed
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) from: Option<Format>,
    /// The word that keepalived compares with conditions such as @main; without
    /// it, the host's name up to a dot
    #[arg(long, value_name = "ID", requires = "from")]
    pub(crate) config_id: Option<String>,
}

/// What is desired.
#[derive(Args, Debug)]
pub(crate) struct DesiredArgs {
    /// Desired state: rules of ipvsadm, TOML or JSON; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) restrictions: Restrictions,
}

/// What of the difference is left alone.
#[derive(Args, Debug, Default)]
pub(crate) struct Restrictions {
    /// Do not change the weights of existing destinations
    #[arg(long)]
    pub(crate) keep_weights: bool,
    /// Only add what is missing; neither edit nor delete
    #[arg(long, conflicts_with_all = ["no_deletions", "keep_weights"])]
    pub(crate) only_additions: bool,
    /// Add and edit, but leave what is not in the file
    #[arg(long)]
    pub(crate) no_deletions: bool,
    /// Leave timeouts and sync daemons alone, even if the file has them
    #[arg(long)]
    pub(crate) services_only: bool,
    /// Give drained destinations the weights that the file gives them
    #[arg(long, conflicts_with_all = ["keep_weights", "only_additions"])]
    pub(crate) undrain: bool,
    /// Only this service, or those of a network, such as 192.0.2.0/24; repeatable
    #[arg(long, value_name = "SERVICE|NETWORK", value_parser = Selection::parse)]
    pub(crate) only: Vec<Selection>,
    #[command(flatten)]
    pub(crate) ownership: Ownership,
}

impl Restrictions {
    /// Whether `--only` leaves this service in.
    pub(crate) fn selects(&self, key: &ServiceKey) -> bool {
        self.only.is_empty() || self.only.iter().any(|selection| selection.contains(key))
    }
}

/// How a change is made.
#[derive(Args, Debug, Default)]
pub(crate) struct Manner {
    /// Show what would change, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Change nothing if more than N services and destinations would be deleted
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole::<usize>(0, u32::MAX))]
    pub(crate) max_deletions: Option<usize>,
    /// Do not ask on a terminal before services are deleted
    #[arg(long)]
    pub(crate) yes: bool,
    /// Print as JSON what was done, or would be: an object on each line
    #[arg(long)]
    pub(crate) json: bool,
    /// Give up after SECONDS, and undo what was done
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true, value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,
    #[command(flatten)]
    pub(crate) common: ChangeArgs,
}

impl Manner {
    /// How long to wait for the lock.
    pub(crate) fn patience(&self) -> Duration {
        self.common.wait.min(self.timeout.unwrap_or(Duration::MAX))
    }
}

/// The options of each subcommand that changes something.
#[derive(Args, Debug, Default)]
pub(crate) struct ChangeArgs {
    /// Wait at most SECONDS for another ipvs-cli that is changing this director
    #[arg(long, value_name = "SECONDS", default_value = "30", allow_negative_numbers = true, value_parser = seconds)]
    pub(crate) wait: Duration,
    /// Print only what is wrong
    #[arg(long)]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) logging: Logging,
}
