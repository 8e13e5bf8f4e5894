//! Asking why a command was refused.

use super::{Session, Transport};
use crate::cause::Cause;
use crate::command::Command;
use crate::errno::Errno;
use crate::error::Error;
use crate::netns::NamespaceError;
use crate::service::Service;
use crate::wire::Detail;

impl<T: Transport> Session<T> {
    pub(crate) async fn explain(&mut self, command: &Command, errno: Errno) -> Result<Option<Cause>, Error> {
        let mut table = self.table(Detail::NoStatistics).await?;
        if errno == Errno::ENOENT {
            // Then the kernel may lack what every kernel is expected to have.
            self.probe_modules(&mut table, command.service().into_iter().flat_map(Service::modules)).await?;
        }
        self.probe(&mut table, [command]).await?;
        let link = self.transport.link();
        let mut asked = Ok(None);
        let cause = table.cause_of(command, errno, |address| {
            asked = link.why_no_host(address);
            asked.as_ref().ok().copied().flatten()
        });
        match asked {
            // This thread must not go on as if it were where it was.
            Err(error @ NamespaceError::Leave { .. }) => Err(error.into()),
            _ => Ok(cause),
        }
    }
}
