//! Reading no more of a director than decides about a change.

use super::plan::Planner;
use crate::error::Error;
use crate::session::{Session, Transport};
use crate::table::Table;
use crate::timeouts::Timeouts;
use crate::wire::Detail;

impl<C: Transport> Session<C> {
    /// As much of the table as decides what `planner` does to make it as desired; what was not read
    /// is not in it, or `None`.
    pub(crate) async fn table_for(&mut self, planner: &Planner, desired: &Table) -> Result<Table, Error> {
        let Some(part) = planner.part_of(desired) else { return self.table(Detail::NoStatistics).await };
        let mut entries = Vec::with_capacity(part.services.len());
        for key in part.services {
            entries.extend(self.entry(&key, Detail::NoStatistics).await?);
        }
        let timeouts = if part.timeouts { self.timeouts().await? } else { Timeouts::default() };
        let daemons = if part.daemons { self.daemons().await? } else { Vec::new() };
        let info = self.info().await?;
        let table = Table::read(Vec::new(), timeouts, daemons, info).with_behaviors(self.transport.link().behaviors());
        Ok(self.filled(table, entries).await)
    }
}
