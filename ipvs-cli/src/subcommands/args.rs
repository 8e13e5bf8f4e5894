//! Options that several subcommands have. Those of changes are in `change::args`.

use clap::Args;

/// How a desired state is written.
#[derive(Args, Clone, Copy, Debug, Default)]
#[group(id = "notation", multiple = false)]
pub(super) struct NotationArgs {
    /// Write JSON, which `apply` reads
    #[arg(long)]
    json: bool,
    /// Write TOML, which `apply` reads
    #[arg(long)]
    toml: bool,
    /// Write rules of ipvsadm
    #[arg(long)]
    rules: bool,
}

/// A notation of desired states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notation {
    Json,
    Toml,
    Rules,
}

impl NotationArgs {
    /// The one that is asked for.
    pub(super) fn get(self) -> Option<Notation> {
        match self {
            NotationArgs { json: true, .. } => Some(Notation::Json),
            NotationArgs { toml: true, .. } => Some(Notation::Toml),
            NotationArgs { rules: true, .. } => Some(Notation::Rules),
            NotationArgs { .. } => None,
        }
    }
}
