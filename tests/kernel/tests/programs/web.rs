//! Real servers: web servers that can go down and come back.

use lab_web::answer;
use nix::sys::socket::{Shutdown, shutdown};
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

/// A web server that gives one page to everybody, as long as it lives.
pub(crate) struct Web {
    listener: Arc<TcpListener>,
    thread: Option<JoinHandle<()>>,
}

impl Web {
    /// Starts to serve in the network of the calling thread.
    pub(crate) fn serve(address: &str, page: &'static str) -> Self {
        let listener = TcpListener::bind(address).unwrap_or_else(|error| panic!("{address}: {error}"));
        let listener = Arc::new(listener);
        let port = Arc::clone(&listener);
        let thread = thread::spawn(move || {
            while let Ok((visitor, _)) = port.accept() {
                // Who comes only to see whether the port is open doesn't stay to read.
                let _ = visitor.set_read_timeout(Some(PATIENCE)).and_then(|()| answer(&visitor, page));
            }
        });
        Self { listener, thread: Some(thread) }
    }
}

impl Drop for Web {
    /// Afterwards connections are refused.
    fn drop(&mut self) {
        // Closing would not do: a program that is just being started may hold a copy for a moment.
        let _ = shutdown(self.listener.as_raw_fd(), Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
