//! A table in the typed notation, as `typed` reads it.

pub(crate) mod fields;
mod json;
pub(crate) mod scalar;
mod toml;

use std::io::{self, Write};
use std::net::SocketAddr;

use fwmark::MarkRule;
use ipvs::{Daemon, ServiceKey, Table, TableEntry, Timeouts, Weight};

use self::scalar::Fields;
use super::Scope;
use super::group::service_of;

/// What is written of a table.
///
/// ```
/// use ipvs::Table;
/// use ipvs_cli::desired::{self, Shown};
/// let mut text = Vec::new();
/// desired::write_toml(&mut text, &Table::new(), Shown::default())?;
/// assert_eq!(
///     String::from_utf8(text)?,
///     "version = 1\ndaemons = []\nservices = []\n\n[timeouts]\ntcp = 900\ntcp_fin = 120\nudp = 300\n"
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown<'r> {
    /// These parts of the director. By default all of them.
    pub parts: Scope,
    /// These timeouts in place of the table's, of a file that does not set all of them.
    pub timeouts: Option<Timeouts>,
    /// Counters, rates and connections too, and what the kernel says of itself: for information, reading passes over them.
    /// In JSON only.
    pub statistics: bool,
    /// Of the services this one alone.
    pub only: Option<ServiceKey>,
    /// Our rules that mark packets: each stands at the service that its packets are for.
    pub marks: &'r [MarkRule],
    /// Destinations that `drain` has given weight 0, and the weights that they had. For information: in JSON a key that reading
    /// passes over, in TOML a comment.
    pub drained: &'r [(ServiceKey, SocketAddr, Weight)],
}

impl Default for Shown<'_> {
    fn default() -> Self {
        Shown { parts: Scope::EVERYTHING, timeouts: None, statistics: false, only: None, marks: &[], drained: &[] }
    }
}

impl Shown<'_> {
    /// The timeouts that are shown.
    fn timeouts(self, table: &Table) -> Option<Fields> {
        let timeouts = fields::timeouts(self.timeouts.unwrap_or_else(|| table.timeouts()));
        Some(timeouts).filter(|timeouts| self.parts.timeouts && !timeouts.is_empty())
    }

    /// The list of sync daemons, if it is shown. It is complete: a role that is not in it does not run.
    fn daemons(self, table: &Table) -> Option<&[Daemon]> {
        Some(table.daemons()).filter(|_| self.parts.master || self.parts.backup)
    }

    /// The services that are shown, ordered by identity, so that equal tables are equal texts.
    fn services(self, table: &Table) -> Vec<&TableEntry> {
        let is_shown = |entry: &&TableEntry| self.only.is_none_or(|key| key == entry.service().key());
        let mut services: Vec<_> = table.services().filter(is_shown).collect();
        services.sort_by_key(|entry| entry.service().key());
        services
    }

    /// The weight that this destination had before it was drained.
    fn weight_before(self, service: ServiceKey, server: SocketAddr) -> Option<Weight> {
        self.drained.iter().find(|(key, at, _)| (*key, *at) == (service, server)).map(|(.., weight)| *weight)
    }

    /// The rules for the service, in their order.
    fn group(&self, service: ServiceKey) -> Vec<Fields> {
        let of_service = self.marks.iter().filter(|rule| service_of(rule) == Some(service));
        of_service.map(fields::member).collect()
    }
}

/// Writes a table as JSON: a line for each service and each destination.
///
/// # Errors
/// Those of `out`.
pub fn write_json(out: &mut dyn Write, table: &Table, shown: Shown<'_>) -> io::Result<()> {
    json::write(out, table, shown)
}

/// Writes a table as TOML.
///
/// # Errors
/// Those of `out`.
pub fn write_toml(out: &mut dyn Write, table: &Table, shown: Shown<'_>) -> io::Result<()> {
    toml::write(out, table, shown)
}
