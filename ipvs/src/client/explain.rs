//! Asking why a command was refused.

use super::{Client, Pipeline};
use crate::cause::Cause;
use crate::command::Command;
use crate::errno::Errno;
use crate::error::Error;
use crate::session::block_on_ready;

impl Client {
    /// Why the kernel refused this command with this error number, as far as can be found out:
    /// reads the table, asks the kernel for what no table has ([`probe`](Self::probe)), and checks
    /// the command against it.
    ///
    /// The cause always fits the number. Where the table has changed since the refusal, there may
    /// be none, or none that is as precise.
    ///
    /// ```
    /// use ipvs::{Client, Command, Error, Table};
    /// let mut director = Client::fake(Table::new());
    /// let command = Command::DeleteService("tcp 192.0.2.1:80".parse()?);
    /// if let Err(Error::Refused(refusal)) = director.execute(&command) {
    ///     let cause = director.explain(&command, refusal.errno)?;
    ///     assert_eq!(cause.unwrap().to_string(), "there is no service tcp 192.0.2.1:80");
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`table`](Self::table).
    pub fn explain(&mut self, command: &Command, errno: Errno) -> Result<Option<Cause>, Error> {
        block_on_ready(self.session.explain(command, errno))
    }
}

impl Pipeline<'_> {
    /// As [`Client::explain`], between commands; what is pending stays so.
    ///
    /// # Errors
    /// Those of [`Client::table`].
    pub fn explain(&mut self, command: &Command, errno: Errno) -> Result<Option<Cause>, Error> {
        self.client().explain(command, errno)
    }
}
