//! The process: its signals, its terminal, and pipes that nobody reads any more.

pub(crate) mod broken_pipe;
pub(crate) mod hangup;
pub(crate) mod signals;
