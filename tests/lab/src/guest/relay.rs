//! Carries a guest's output from pipes to where it belongs, byte for byte, as it comes.

use std::{
    io::{self, ErrorKind, Read, Write},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

/// Where one stream of the guest goes.
#[derive(Debug, Clone)]
pub(crate) enum Output {
    /// Our stdout.
    Stdout,
    /// Our stderr.
    Stderr,
    /// Memory.
    Capture(Capture),
}

/// Output kept in memory; clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Capture(Arc<Mutex<Vec<u8>>>);

impl Capture {
    /// What came so far.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl Output {
    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(bytes).and_then(|()| out.flush())
            }
            Self::Stderr => io::stderr().write_all(bytes),
            Self::Capture(Capture(memory)) => {
                memory.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
                Ok(())
            }
        }
    }
}

/// Copies `from` until its end. When nobody reads the output any more (`| head`), says so in
/// `unread` and goes on reading, so that the guest is not stuck until somebody ends it.
pub(crate) fn relay(from: impl Read + Send + 'static, to: Output, unread: Arc<AtomicBool>) -> JoinHandle<()> {
    each_piece(from, move |bytes| {
        if !unread.load(Ordering::Relaxed) && to.write(bytes).is_err() {
            unread.store(true, Ordering::Relaxed);
        }
    })
}

/// Calls `take` with each piece that comes, in a thread of its own, until the end.
pub(crate) fn each_piece(
    mut from: impl Read + Send + 'static,
    mut take: impl FnMut(&[u8]) + Send + 'static,
) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => take(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
    })
}
