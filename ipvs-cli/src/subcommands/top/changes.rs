//! The last change of the director and who made it, where netlink can be watched.

use std::io::{PipeReader, PipeWriter};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Instant, SystemTime};

use ipvs::monitor::{Event, EventKind, Monitor, Outcome};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::subcommands::live::utc;

/// Watches in a thread, so that a program is looked at before it ends.
#[derive(Clone, Default)]
pub(super) struct Changes(Arc<Mutex<Shared>>);

#[derive(Default)]
struct Shared {
    last: Option<String>,
    is_new: bool,
    watching: Option<(PipeWriter, JoinHandle<()>)>,
}

impl Changes {
    /// Begins to watch. Without the right to, or a kernel that can, there is never a change.
    pub(super) fn watch() -> Self {
        let changes = Changes::default();
        if let Ok((end, begin)) = std::io::pipe() {
            let watched = changes.clone();
            let thread = thread::Builder::new().name("changes".to_owned()).spawn(move || watched.run(&end));
            changes.with(|shared| shared.watching = thread.ok().map(|thread| (begin, thread)));
        }
        changes
    }

    /// The last change, and whether it is another one than at the last call.
    pub(super) fn last(&self) -> (Option<String>, bool) {
        self.with(|shared| (shared.last.clone(), std::mem::take(&mut shared.is_new)))
    }

    /// Ends the watching, and removes its device.
    pub(super) fn end(&self) {
        if let Some((pipe, thread)) = self.with(|shared| shared.watching.take()) {
            drop(pipe);
            let _ = thread.join();
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Shared) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn run(&self, end: &PipeReader) {
        let Ok(mut monitor) = Monitor::builder().without_comparison().open() else { return };
        let mut last = None;
        loop {
            match monitor.next_before(Instant::now()) {
                Ok(Some(event)) => last = Some(event).filter(is_change).or(last),
                Ok(None) => {
                    // Of many, only the last is shown.
                    if let Some(event) = last.take() {
                        self.with(|shared| (shared.last, shared.is_new) = (Some(line(&event)), true));
                    }
                    if is_over(&monitor, end) {
                        return;
                    }
                }
                Err(error) if error.is_transient() => {}
                Err(_) => return,
            }
        }
    }
}

/// Did it change the table, or may it have?
fn is_change(event: &Event) -> bool {
    matches!(&event.kind, EventKind::Request { action, outcome, .. }
        if action.command().is_some() && !matches!(outcome, Outcome::Refused(_)))
}

fn line(event: &Event) -> String {
    let EventKind::Request { sender, action, outcome } = &event.kind else { return String::new() };
    let since_epoch = event.time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let time = utc(since_epoch);
    let command = action.command().map(ToString::to_string).unwrap_or_default();
    let doubt = if *outcome == Outcome::Accepted { "" } else { " - outcome unknown" };
    format!("last change {} {sender}: {command}{doubt}", time.get(11..).unwrap_or(&time))
}

/// Waits for more. Is it the end?
fn is_over(monitor: &Monitor, end: &PipeReader) -> bool {
    let until = monitor.deadline().map(|deadline| deadline.saturating_duration_since(Instant::now()));
    // A moment later rather than earlier, so that the time is over then.
    let until = until.and_then(|until| Timespec::try_from(until + std::time::Duration::from_micros(1)).ok());
    let descriptors: Vec<BorrowedFd<'_>> = [end.as_fd()].into_iter().chain(monitor.descriptors()).collect();
    let mut polled: Vec<_> = descriptors.iter().map(|descriptor| PollFd::new(descriptor, PollFlags::IN)).collect();
    let _ = poll(&mut polled, until.as_ref());
    polled.first().is_some_and(|end| !end.revents().is_empty())
}
