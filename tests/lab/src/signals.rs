//! Ctrl-C and its like: the lab ends its guests and removes its files before it goes.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::error::{Context, Error, Result};

static INTERRUPTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// From now on these signals are only noted.
pub(crate) fn catch() -> Result<()> {
    let flag = INTERRUPTED.get_or_init(Arc::default);
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(flag)).context(|| "catch signals".into())?;
    }
    Ok(())
}

/// As if Ctrl-C had been pressed.
pub(crate) fn interrupt() {
    INTERRUPTED.get_or_init(Arc::default).store(true, Ordering::Relaxed);
}

/// An error once one of them has come.
pub(crate) fn check() -> Result<()> {
    match INTERRUPTED.get() {
        Some(flag) if flag.load(Ordering::Relaxed) => Err(Error::Interrupted),
        _ => Ok(()),
    }
}
