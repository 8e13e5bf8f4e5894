//! `ipvs-follow SOURCE` keeps an IPVS director as a source says, until it is stopped.
//!
//! It adds a source, a view of other programs' changes and a sense of time to what `ipvs-cli apply`
//! does. Planning, owners, lock and the change itself are [`ipvs_cli::keep`].
//!
//! ```text
//!  inotify ──► Files ──► texts ──► State (names looked up) ──┐
//!  etcd ──► Etcd ──► text ──► State (without names) ─────────┤
//!  nlmon ──► Monitor ──► Standing: does it disturb? ──► Pace: when? ──► Follower::check
//!  signals, clock ───────────────┘                                        │
//!         the table ◄── Keeper::keep (lock, plan, change, owners) ◄── State, Limits
//! ```
//!
//! - `source::Files` reads a file or a directory as one consistent snapshot, `source::Etcd` a
//!   fleet's state, or says why there is none: then the last good state stays.
//! - `pace::Pace` decides when the director is looked at: after a change of the source,
//!   after a command of another program that disturbs, at the interval, and, after a failure or
//!   when another program undoes the work again and again, later each time. It has no clock.
//! - `follower::Follower` makes one check. It reads the source, brings the director to
//!   it, and says what has changed since it last said something.
//! - [`run`] waits for what comes first.
//!
//! `fleet` is for people: it shows the directors of a fleet, and changes what they are to hold.
//!
//! Between two checks nothing is read from the kernel. All state but the lock, the owners and the
//! hold is in memory, so a killed follower leaves nothing behind that its successor would need.

mod args;
mod etcd;
mod exit;
mod figures;
mod fleet;
mod follower;
mod messages;
mod pace;
mod program;
mod service;
mod source;
mod who;

pub use args::command;
pub use program::run;
