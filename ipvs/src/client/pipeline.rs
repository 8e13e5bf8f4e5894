//! Streams of commands.

use super::Client;
use crate::command::Command;
use crate::error::Error;
use crate::refusal::Outcome;
use crate::session::block_on_ready;

/// A stream of commands, many of them in one system call.
///
/// A command that was pushed is sent when enough have gathered, or at [`flush`](Self::flush). Every
/// push gets its outcome from this or a later call, in the order of the pushes. What is still
/// pending when the pipeline is dropped is not sent.
///
/// ```
/// use ipvs::{Client, Command, Service, Table};
/// let mut client = Client::fake(Table::new());
/// let mut pipeline = client.pipeline();
/// let mut outcomes = pipeline.push(&Command::Flush)?;
/// outcomes.extend(pipeline.push(&Command::DeleteService("mark 1".parse()?))?);
/// outcomes.extend(pipeline.flush()?);
/// assert!(outcomes[0].is_ok() && outcomes[1].is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Pipeline<'c> {
    pub(super) client: &'c mut Client,
}

impl Pipeline<'_> {
    /// Adds a command. Returns nothing until enough commands have gathered; then it sends them, and
    /// returns the outcome of each.
    ///
    /// # Errors
    /// See [`Error`]; a refusal is an outcome, not an error.
    pub fn push(&mut self, command: &Command) -> Result<Vec<Outcome>, Error> {
        if self.client.session.enqueue(command) { self.flush() } else { Ok(Vec::new()) }
    }

    /// Sends what is pending and returns its outcomes.
    ///
    /// # Errors
    /// See [`Error`]; a refusal is an outcome, not an error.
    pub fn flush(&mut self) -> Result<Vec<Outcome>, Error> {
        block_on_ready(self.client.session.flush())
    }

    /// How many commands wait to be sent.
    pub fn pending(&self) -> usize {
        self.client.session.enqueued()
    }

    /// For what else is asked between commands.
    pub(crate) fn client(&mut self) -> &mut Client {
        self.client
    }
}
