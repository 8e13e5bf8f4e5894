//! Programs that people run against ipvsadm, with the original in its place, and with ours.

#[path = "programs/ldirectord.rs"]
mod ldirectord;
#[path = "programs/protocol.rs"]
mod protocol;
#[path = "programs/web.rs"]
mod web;
