//! Which traits the public types have: what this test compiles, users rely on.

#![cfg(all(feature = "desired", feature = "tokio"))]

use std::error::Error as StdError;
use std::fmt::{Debug, Display};
use std::hash::Hash;
use std::io;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Sub};
use std::str::FromStr;

use ipvs::change::*;
use ipvs::desired::{self, Desired};
use ipvs::drain::{Drain, DrainStep, InUse};
use ipvs::monitor::{self, AsyncMonitor, Monitor, MonitorBuilder, MonitorError};
use ipvs::netns::{Namespace, NamespaceError, NamespaceId};
use ipvs::owners::{Claim, Conflict, Conflicts, Ledger, LedgerError, Owner, Writer};
use ipvs::proc::{self, Connection, ConnectionState, Connections, ConnectionsError, EngineData};
use ipvs::sync;
use ipvs::sysctl::{Sysctl, SysctlError, SysctlKind, SysctlValue, Sysctls};
use ipvs::*;

/// A call for each type, which is compiled and does nothing.
macro_rules! have {
    ($bounds:path: $($type:ty),* $(,)?) => {{
        fn has<T: ?Sized + $bounds>() {}
        $(has::<$type>();)*
    }};
}

trait Any: Send + Sync + Unpin + Debug + 'static {}
impl<T: Send + Sync + Unpin + Debug + 'static> Any for T {}

/// What can be compared and kept in sets.
trait Value: Any + Clone + Eq + Hash {}
impl<T: Any + Clone + Eq + Hash> Value for T {}

/// What has an order.
trait Ordered: Value + Copy + Ord {}
impl<T: Value + Copy + Ord> Ordered for T {}

/// What prints as it parses.
trait Text: Display + FromStr {}
impl<T: Display + FromStr> Text for T {}

trait Failure: Any + StdError + Display {}
impl<T: Any + StdError + Display> Failure for T {}

trait Countable:
    Copy + Default + Add<Output = Self> + AddAssign + Sub<Output = Self> + Sum + for<'s> Sum<&'s Self>
{
}
impl<T: Copy + Default + Add<Output = T> + AddAssign + Sub<Output = T> + Sum + for<'s> Sum<&'s T>> Countable for T {}

#[test]
fn types_have_their_traits() {
    have!(Ordered: Family, Protocol, FirewallMark, ServiceKey, Netmask, Persistence, Scheduler, PersistenceEngine, InterfaceName,
        Module, Weight, DaemonRole, Errno, KernelVersion, Version, SchedulerFlags, TunnelFlags, EntryKey, ConnectionState);
    have!(Value: Fault, Service, Destination, Forwarding, Tunnel, OtherTunnel, ReservedForwarding, Daemon, Timeouts, Statistics, Rates,
        Info, Behaviors, Command, CommandKind, Refusal, Cause, ServiceState, DestinationState, FamilyMismatch,
        Drain, DrainStep, InUse, Connection, EngineData, proc::Key, proc::Persistence, proc::Destination, proc::Forwarding,
        Sysctl, SysctlKind, SysctlValue, Owner, Namespace, NamespaceId);
    have!(PartialEq: Table, TableEntry, Plan, Rejected, Applied, ChangeReport, Kept, KeptReason, RefusedCommand, DeletionsError,
        Phase, Progress, DirectorState, Ledger, LedgerError, Claim, Conflict, Conflicts, Writer, Sysctls, WireError,
        InvalidValue, proc::Table, proc::Service, sockopt::Table, desired::Scope, desired::Packets);
    have!(Clone: FakeKernel, Table, TableEntry, Plan, Planner, Change, ClientBuilder, Rejected, Applied, Ledger, Writer, Sysctls, Desired,
        desired::Source, desired::Place, desired::Problem, desired::Problems, desired::Group, desired::Located);
    have!(Any: Client, AsyncClient, FakeKernel, ClientBuilder, Table, TableEntry, Plan, Planner, Change, Applied, ChangeReport, Kept, KeptReason,
        RefusedCommand, StopReason, Phase, Progress, DirectorState, Ledger, Claim, Conflict, Writer, Sysctls, Desired,
        proc::Table, proc::Service, sockopt::Table, Connections<io::Empty>, desired::Scope, desired::Packets, desired::Source,
        desired::Place, desired::Group, desired::Located);
    have!(Failure: Error, Refusal, InvalidValue, WireError, FamilyMismatch, ChangeError, ReconcileError, Rejected, DeletionsError,
        NamespaceError, ConnectionsError, proc::Error, SysctlError, LedgerError, Conflicts, desired::Problem, desired::Problems);
    have!(Text: Family, Protocol, FirewallMark, ServiceKey, Netmask, Scheduler, PersistenceEngine, InterfaceName, Weight, Forwarding,
        Tunnel, DaemonRole, CommandKind, KernelVersion, Version, Behaviors, Sysctl, SysctlValue, Owner, Ledger, Namespace,
        ConnectionState, proc::Forwarding);
    have!(Default: Scheduler, Persistence, Weight, Forwarding, Tunnel, SchedulerFlags, TunnelFlags, Timeouts, Statistics, Rates,
        Behaviors, Table, Planner, Plan, ClientBuilder, Owner, Ledger, Writer, Sysctls, InUse, desired::Scope,
        desired::WriteOptions<'static>);
    have!(Countable: Statistics, Rates);
    have!(Into<io::Error>: Error, Errno);
    have!(Value: sync::Entry, sync::EntryFlags, sync::SequenceOffset, sync::SequenceOffsets);
    have!(PartialEq: monitor::Event, monitor::EventKind, monitor::Action, monitor::Outcome, monitor::Sender, monitor::Process,
        sync::Message, sync::Received, sync::DecodeError, sync::EncodeError, sync::EntryFault, sync::ConversionError);
    have!(Clone: monitor::Event, MonitorBuilder, sync::Message, sync::Received, sync::Datagram);
    have!(Any: Monitor, AsyncMonitor, MonitorBuilder, monitor::Event, sync::Sender, sync::Receiver, sync::AsyncSender,
        sync::AsyncReceiver, sync::Datagram, sync::Message, sync::Received);
    have!(Failure: MonitorError, sync::DecodeError, sync::EncodeError, sync::EntryFault, sync::ConversionError, sync::ReceiveError);
    have!(Default: monitor::Sender, MonitorBuilder, sync::Message, sync::EntryFlags);
    have!(Send: Listing<'static>, Pipeline<'static>, AsyncPipeline<'static>);
}
