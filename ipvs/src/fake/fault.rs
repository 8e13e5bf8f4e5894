//! What can go wrong with one call on a socket of the in-memory kernel.

use crate::errno::Errno;

/// What goes wrong with one call on the socket of a fake: see
/// [`FakeKernel::fail_calls`](crate::FakeKernel::fail_calls).
///
/// These are the faults that netlink sockets have. They keep the order of replies, and report a
/// loss once; then they drop all further replies until those that wait were received. Only
/// [`Vanished`](Self::Vanished) is worse than any netlink.
///
/// After a fault that cuts a dump short, the next call of a client may fail once, with
/// [`Error::Deadline`](crate::Error::Deadline) or `EBUSY`, as on a kernel: it waits for the end of
/// that dump first. A deadline passes at once on the in-memory kernel.
///
/// ```
/// use ipvs::{Client, Error, FakeKernel, Fault, Service, Table};
/// let kernel = FakeKernel::new(Table::new());
/// let mut director = kernel.client();
/// kernel.fail_calls([None, Some(Fault::Lost)]); // it is sent, and its reply is lost
/// let error = director.add_service(&Service::new("mark 1".parse()?)).unwrap_err();
/// assert!(matches!(error, Error::OutcomeUnknown { .. }));
/// assert_eq!(kernel.table().services().len(), 1, "it was carried out");
/// # Ok::<(), ipvs::InvalidValue>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// The call fails with this error number: nothing is sent, and replies that wait are not lost.
    Fails(Errno),
    /// Less is sent than asked; the kernel carries all of it out.
    ShortSend,
    /// All replies that wait are lost, and the socket reports it (`ENOBUFS`).
    Lost,
    /// All replies that wait are lost, and nothing reports it.
    Vanished,
    /// No reply comes now; it comes with the next call.
    Late,
    /// The reply is longer than the receive buffer, which has this many bytes of it.
    Truncated(usize),
    /// The same reply comes with the next call, too.
    Twice,
    /// A refusal with the sequence number of an earlier request comes first.
    Stale(Errno),
}
