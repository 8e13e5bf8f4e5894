//! How clients are connected.

use std::time::Duration;

use super::Client;
use crate::error::Error;
use crate::link::Link;
use crate::netns::Namespace;

/// How long a call waits for the kernel by default. The kernel replies at once unless it has to
/// load a module.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);

/// How a [`Client`] is to be connected.
///
/// ```no_run
/// use std::time::Duration;
/// let client = ipvs::Client::builder().deadline(Duration::from_secs(2)).connect()?;
/// # Ok::<(), ipvs::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ClientBuilder {
    pub(super) deadline: Duration,
    pub(super) namespace: Option<Namespace>,
}

impl Default for ClientBuilder {
    fn default() -> Self {
        ClientBuilder { deadline: DEADLINE, namespace: None }
    }
}

impl ClientBuilder {
    /// How long a call waits for a reply of the kernel: by default 10 seconds, at least 1 ms.
    ///
    /// What can't be bounded is the time that the kernel takes to run a request, as it does so
    /// inside `send`: some 20 to 45 ms while it looks for a scheduler's module.
    #[must_use]
    pub fn deadline(self, deadline: Duration) -> Self {
        // A timeout of 0 means none to a socket.
        ClientBuilder { deadline: deadline.max(Duration::from_millis(1)), ..self }
    }

    /// The director of this network namespace, in place of that of the thread that connects. The
    /// thread is in it while the sockets are opened, and back in its own then.
    ///
    /// ```no_run
    /// use ipvs::{Client, netns::Namespace};
    /// let container = Namespace::of_process(4711)?;
    /// let mut director = Client::builder().namespace(container).connect()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn namespace(self, namespace: Namespace) -> Self {
        ClientBuilder { namespace: Some(namespace), ..self }
    }

    /// Opens the socket and looks up the kernel's IPVS family. The kernel loads the module `ip_vs`
    /// then, if it has it.
    ///
    /// # Errors
    /// [`Error::ModuleMissing`], or [`Error::Io`] if there is no socket to be had. Missing
    /// privileges show at the first request only, as a [`Refusal`](crate::Refusal) with
    /// [`Errno::EPERM`](crate::Errno::EPERM). [`Error::Namespace`] if the network namespace can't
    /// be entered.
    pub fn connect(self) -> Result<Client, Error> {
        let link = Link::open(self.deadline, self.namespace.as_ref())?;
        Client::over(link, self.deadline)
    }
}
