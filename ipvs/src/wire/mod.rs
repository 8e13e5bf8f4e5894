//! Bytes to types and types to bytes, both ways for everything: the client writes requests and
//! reads replies, the in-memory kernel reads requests and writes replies.
//!
//! One file a noun. Numbers are those of `include/uapi/linux/ip_vs.h`, which has been the same from
//! Linux 3.18 to 7.2 in all that is used here. Integers are in native order but for ports and
//! addresses of services and destinations.

mod attr;
mod command;
mod daemon;
mod destination;
mod info;
#[cfg(target_os = "linux")]
mod link;
mod message;
mod observed;
mod service;
pub(crate) mod sockopt;
mod stats;
mod timeouts;

#[cfg(test)]
mod allocation_tests;
#[cfg(test)]
mod reply_tests;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use command::{
    Read, Request, decode_family_id, decode_request, encode_change, encode_family_id, encode_read, encode_resolve,
};
pub(crate) use daemon::{decode_daemon, encode_daemon};
pub(crate) use destination::{decode_destination, encode_destination};
pub(crate) use info::{decode_info, encode_info};
#[cfg(target_os = "linux")]
pub(crate) use link::{
    Link, NLMON, decode_link, encode_delete_link, encode_links, encode_new_clsact, encode_new_filter, encode_new_nlmon,
    encode_up,
};
pub(crate) use message::{
    Body, Header, REPLY, encode_ack, encode_done, encode_error, messages, readdress, request_ack,
};
#[cfg(target_os = "linux")]
pub(crate) use observed::layout;
pub(crate) use observed::{Announced, Envelope, Observed, Piece, announcements, observe};
pub(crate) use service::{decode_service, encode_service};
pub(crate) use timeouts::{decode_timeouts, encode_timeouts};

/// The kernel's name for the family; its number is asked for, [`encode_resolve`].
pub(crate) const FAMILY_NAME: &[u8] = b"IPVS";

/// Commands of the family.
mod cmd {
    pub(super) const NEW_SERVICE: u8 = 1;
    pub(super) const SET_SERVICE: u8 = 2;
    pub(super) const DEL_SERVICE: u8 = 3;
    pub(super) const GET_SERVICE: u8 = 4;
    pub(super) const NEW_DEST: u8 = 5;
    pub(super) const SET_DEST: u8 = 6;
    pub(super) const DEL_DEST: u8 = 7;
    pub(super) const GET_DEST: u8 = 8;
    pub(super) const NEW_DAEMON: u8 = 9;
    pub(super) const DEL_DAEMON: u8 = 10;
    pub(super) const GET_DAEMON: u8 = 11;
    pub(super) const SET_CONFIG: u8 = 12;
    pub(super) const GET_CONFIG: u8 = 13;
    pub(super) const SET_INFO: u8 = 14;
    pub(super) const GET_INFO: u8 = 15;
    pub(super) const ZERO: u8 = 16;
    pub(super) const FLUSH: u8 = 17;
}

/// Attributes beside the nests, `IPVS_CMD_ATTR_*`.
mod top {
    pub(super) const SERVICE: u16 = 1;
    pub(super) const DEST: u16 = 2;
    pub(super) const DAEMON: u16 = 3;
    pub(super) const TIMEOUT_TCP: u16 = 4;
    pub(super) const TIMEOUT_TCP_FIN: u16 = 5;
    pub(super) const TIMEOUT_UDP: u16 = 6;
}

/// How much is wanted to be known of services and destinations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    /// All but statistics, which are most of what a reply holds, and of the work to read it.
    NoStatistics,
    /// Everything.
    Statistics,
}

/// Bytes that don't say what they should.
///
/// Unknown attributes, schedulers, flags and protocols are never among the reasons: they are
/// carried through or skipped.
///
/// ```
/// fn worth_a_report(error: &ipvs::Error) -> bool { matches!(error, ipvs::Error::Decode(_)) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// A message whose length is impossible.
    #[error("a netlink message with an impossible length")]
    Message,
    /// An attribute whose length is impossible.
    #[error("a netlink attribute with an impossible length")]
    Attribute,
    /// An attribute too short for its type.
    #[error("attribute {attribute} has only {length} bytes")]
    Short {
        /// The kernel's name for it.
        attribute: &'static str,
        /// Its length in bytes.
        length: usize,
    },
    /// An attribute that should be there.
    #[error("attribute {0} is missing")]
    Missing(&'static str),
    /// A value outside of what the kernel can mean.
    #[error("attribute {attribute} has the impossible value {value}")]
    Value {
        /// The kernel's name for it.
        attribute: &'static str,
        /// The value found.
        value: u32,
    },
    /// A message of this type was not expected.
    #[error("an unexpected netlink message of type {0}")]
    Unexpected(u16),
    /// The reply to this option of `getsockopt` is not what the kernel writes.
    #[error("the reply to {0} is not what the kernel writes")]
    InvalidReply(&'static str),
}
