//! The user's terminal, lent to a guest.

use std::io;

use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};

use crate::error::{Context, Result};

/// Puts the terminal into raw mode: every key goes to the guest as it is. Dropping it restores the
/// terminal.
#[derive(Debug)]
pub(crate) struct RawMode {
    before: Termios,
}

impl RawMode {
    /// From now on.
    pub(crate) fn enter() -> Result<Self> {
        let stdin = io::stdin();
        let before = tcgetattr(&stdin).context(|| "examine the terminal".into())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(&stdin, OptionalActions::Now, &raw).context(|| "set up the terminal".into())?;
        Ok(Self { before })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

/// Columns and rows, when both our stdin and stdout are a terminal.
pub(crate) fn size() -> Option<(u16, u16)> {
    if !isatty(io::stdin()) || !isatty(io::stdout()) {
        return None;
    }
    let size = tcgetwinsize(io::stdout()).ok()?;
    Some((size.ws_col, size.ws_row))
}
