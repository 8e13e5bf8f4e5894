//! A hold: until when followers leave the director alone, as a person is at work on it.
//!
//! A file of the state directory, for all followers of a network namespace. Its time is the one
//! since boot, so a clock that is set neither ends nor prolongs a hold.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use crate::state;
use crate::state::file::{FileError, StateDirectory};

/// The file's kind.
const KIND: &str = "hold";

/// The time that is left of a hold, and what it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// How long it still lasts.
    pub left: Duration,
    /// What the person said; may be empty.
    pub reason: String,
}

/// The time since boot, sleep included.
fn now() -> Result<Duration, FileError> {
    let path = Path::new("/proc/uptime");
    let failed = |error| FileError::Io { path: path.to_owned(), error };
    let text = fs::read_to_string(path).map_err(failed)?;
    let seconds = text.split(' ').next().and_then(|word| word.parse().ok());
    let uptime = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    uptime.ok_or_else(|| failed(io::ErrorKind::InvalidData.into()))
}

fn first_line(directory: &Path) -> Result<String, FileError> {
    let epoch =
        state::epoch().map_err(|error| FileError::Io { path: directory.join(state::file_name(KIND)), error })?;
    Ok(format!("hold {epoch}"))
}

impl Hold {
    /// The hold of this thread's network namespace; `None` if there is none, or it is over.
    pub(crate) fn read(directory: &Path) -> Result<Option<Self>, FileError> {
        let Some(text) = StateDirectory::read_if_there(directory, &state::file_name(KIND))? else { return Ok(None) };
        let mut lines = text.lines();
        if lines.next() != Some(&*first_line(directory)?) {
            // Of another boot or namespace.
            return Ok(None);
        }
        let end = lines.next().and_then(|line| line.parse().ok()).map(Duration::from_millis);
        let now = now()?;
        let Some(left) = end.and_then(|end| end.checked_sub(now)).filter(|left| !left.is_zero()) else {
            return Ok(None);
        };
        Ok(Some(Hold { left, reason: lines.next().unwrap_or_default().to_owned() }))
    }

    /// Begins it, in place of an earlier one.
    pub(crate) fn write(&self, directory: &Path) -> Result<(), FileError> {
        let (first, end) = (first_line(directory)?, now()?.saturating_add(self.left).as_millis());
        let reason = self.reason.replace(['\n', '\r'], " ");
        StateDirectory::open(directory)?.write(&state::file_name(KIND), &format!("{first}\n{end}\n{reason}\n"))
    }

    /// Ends it.
    pub(crate) fn remove(directory: &Path) -> Result<(), FileError> {
        StateDirectory::open(directory)?.remove(&state::file_name(KIND))
    }
}
