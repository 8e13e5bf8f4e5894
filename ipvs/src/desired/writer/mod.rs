//! A table as a desired state: what [`read`](super::read) reads.

pub(super) mod fields;
mod json;
pub(super) mod scalar;
mod toml;

use std::collections::HashMap;
use std::io::{self, Write};
use std::net::SocketAddr;

use self::scalar::Fields;
use super::{Packets, Scope};
use crate::daemon::Daemon;
use crate::destination::Weight;
use crate::service::ServiceKey;
use crate::table::{Table, TableEntry};
use crate::timeouts::Timeouts;

/// What is written of a table. By default all of it, but for statistics.
///
/// ```
/// use ipvs::Table;
/// use ipvs::desired::{Scope, WriteOptions, write_toml};
/// let mut options = WriteOptions::default();
/// options.parts = Scope { services: true, ..Scope::default() };
/// let mut text = Vec::new();
/// write_toml(&mut text, &Table::new(), options)?;
/// assert_eq!(text, b"version = 1\nservices = []\n");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WriteOptions<'r> {
    /// The parts of the director that are written.
    pub parts: Scope,
    /// These timeouts instead of the table's, for a file that does not set all of them.
    pub timeouts: Option<Timeouts>,
    /// In JSON, counters, rates and connections too, and what the kernel says of itself. They are
    /// for information: reading ignores them.
    pub statistics: bool,
    /// Only this service, if it is there. As a desired state, the text means that the director has
    /// no other service: applying it as it is deletes all others.
    pub only: Option<ServiceKey>,
    /// The packets that get the marks of services: the `group` of each of these services.
    pub groups: &'r [(ServiceKey, Packets)],
    /// Drained destinations, and the weights that they had before. For information: in JSON the key
    /// `weight_before`, which reading ignores, in TOML a comment.
    pub drained: &'r [(ServiceKey, SocketAddr, Weight)],
}

impl Default for WriteOptions<'_> {
    fn default() -> Self {
        let (groups, drained) = (&[], &[]);
        WriteOptions { parts: Scope::EVERYTHING, timeouts: None, statistics: false, only: None, groups, drained }
    }
}

impl WriteOptions<'_> {
    /// The timeouts that are shown.
    fn timeouts(self, table: &Table) -> Option<Fields> {
        let timeouts = fields::timeouts(self.timeouts.unwrap_or_else(|| table.timeouts()));
        Some(timeouts).filter(|timeouts| self.parts.timeouts && !timeouts.is_empty())
    }

    /// The list of sync daemons, if it is shown. It is complete: a role that is not in it does not
    /// run.
    fn daemons(self, table: &Table) -> Option<&[Daemon]> {
        Some(table.daemons()).filter(|_| self.parts.master || self.parts.backup)
    }

    /// The services that are shown, ordered by identity, so that equal tables are equal texts.
    fn services(self, table: &Table) -> Vec<&TableEntry> {
        let is_shown = |entry: &&TableEntry| self.only.is_none_or(|key| key == entry.service().key());
        let mut services: Vec<_> = table.services().filter(is_shown).collect();
        services.sort_unstable_by_key(|entry| entry.service().key());
        services
    }
}

/// What is written beside a table, by what it is about.
struct Beside<'r> {
    groups: HashMap<ServiceKey, Vec<&'r Packets>>,
    drained: HashMap<(ServiceKey, SocketAddr), Weight>,
}

impl<'r> Beside<'r> {
    fn of(options: WriteOptions<'r>) -> Self {
        let mut groups: HashMap<_, Vec<_>> = HashMap::new();
        options.groups.iter().for_each(|(key, packets)| groups.entry(*key).or_default().push(packets));
        let drained = options.drained.iter().map(|&(key, server, weight)| ((key, server), weight)).collect();
        Beside { groups, drained }
    }

    /// The group of the service, in its order.
    fn group(&self, service: ServiceKey) -> impl Iterator<Item = Fields> {
        self.groups.get(&service).into_iter().flatten().map(|packets| fields::packets(packets))
    }

    /// The weight that this destination had before it was drained.
    fn weight_before(&self, service: ServiceKey, server: SocketAddr) -> Option<Weight> {
        self.drained.get(&(service, server)).copied()
    }
}

/// Writes a table as JSON: a line for each service and each destination, so that two tables can be
/// compared by lines. Services are ordered by protocol, address and mark, destinations by address.
///
/// # Errors
/// Those of `out`.
///
/// ```
/// use ipvs::desired::{WriteOptions, write_json};
/// use ipvs::{Command, Service, Table};
/// let mut table = Table::new();
/// table.apply(&Command::AddService(Service::new("mark 10".parse().unwrap()))).unwrap();
/// let mut text = Vec::new();
/// write_json(&mut text, &table, WriteOptions::default())?;
/// assert!(
///     String::from_utf8_lossy(&text)
///         .contains(r#"{"mark": 10, "scheduler": "wlc", "destinations": []}"#)
/// );
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn write_json(out: &mut dyn Write, table: &Table, options: WriteOptions<'_>) -> io::Result<()> {
    json::write(out, table, options)
}

/// Writes a table as TOML: a section for each service and each destination, in the order of
/// [`write_json`].
///
/// # Errors
/// Those of `out`.
///
/// ```
/// use ipvs::Table;
/// use ipvs::desired::{WriteOptions, write_toml};
/// let mut text = Vec::new();
/// write_toml(&mut text, &Table::new(), WriteOptions::default())?;
/// assert_eq!(
///     String::from_utf8_lossy(&text),
///     "version = 1\ndaemons = []\nservices = []\n\n\
///      [timeouts]\ntcp = 900\ntcp_fin = 120\nudp = 300\n"
/// );
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn write_toml(out: &mut dyn Write, table: &Table, options: WriteOptions<'_>) -> io::Result<()> {
    toml::write(out, table, options)
}
