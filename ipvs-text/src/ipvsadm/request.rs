//! What a listing is to show: made by the parser, read by the renderer.

use ipvs::ServiceKey;

/// A listing as asked for on the command line (`-L` and its options).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListRequest {
    /// Of what.
    pub what: Listed,
    /// Which columns. For [`Listed::Connections`] only [`View::PersistentConn`] makes a difference.
    pub view: View,
    /// Numbers instead of host and service names (`-n`).
    pub numeric: bool,
    /// Counters in full instead of scaled (`--exact`).
    pub exact: bool,
    /// The kernel's order instead of the sorted one (`--nosort`).
    pub nosort: bool,
}

/// What is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed {
    /// All services.
    All,
    /// One service.
    Service(ServiceKey),
    /// The connection timeouts (`--timeout`).
    Timeouts,
    /// The sync daemons (`--daemon`).
    Daemons,
    /// The connections (`-c`).
    Connections,
}

/// The columns of a listing.
///
/// The order is the precedence: of several views asked for on one line, the smallest is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum View {
    /// Counters (`--stats`).
    Stats,
    /// Rates (`--rate`).
    Rate,
    /// Connection thresholds (`--thresholds`).
    Thresholds,
    /// Persistent connections, or the persistence engine's data in a listing of connections
    /// (`--persistent-conn`).
    PersistentConn,
    /// Kinds of tunnels (`--tun-info`).
    TunInfo,
    /// Forwarding method, weight and connections.
    Plain,
}

impl View {
    /// Does it show statistics? Without them there is much less to read.
    pub fn has_statistics(self) -> bool {
        matches!(self, View::Stats | View::Rate)
    }
}

impl ListRequest {
    /// What `ipvsadm` without arguments shows: everything, plain, with names.
    pub const ALL: Self =
        ListRequest { what: Listed::All, view: View::Plain, numeric: false, exact: false, nosort: false };
}
