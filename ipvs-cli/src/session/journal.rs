//! One line in the system's log for each change: who changed the director, from which file, and how
//! it ended.

use std::fmt::{self, Display};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use clap::Args;
use ipvs_text::escape;

/// How long a log daemon that does not read may delay a change.
const PATIENCE: Duration = Duration::from_secs(1);

/// In characters. Traditional daemons cut lines at 1024 bytes.
const LONGEST_DETAIL: usize = 600;

/// The option of each subcommand that changes something.
#[derive(Args, Debug, Default)]
pub(crate) struct Logging {
    /// Write no line about the change to the system's log
    #[arg(long)]
    no_log: bool,
}

/// What is logged about one run of a subcommand.
#[derive(Debug)]
pub(crate) struct Record<'r> {
    pub(crate) subcommand: &'r str,
    /// The desired state, if there is one.
    pub(crate) file: Option<&'r str>,
    pub(crate) outcome: LogOutcome,
    /// What was changed, or what went wrong.
    pub(crate) detail: &'r str,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogOutcome {
    Done,
    Failed,
}

impl Record<'_> {
    /// Sends it to the log daemon. A missing daemon is no error.
    pub(crate) fn send(&self, logging: &Logging, socket: &Path) {
        if !logging.no_log {
            let _ = send_to(socket, &self.datagram());
        }
    }

    /// In the format of RFC 3164, without time and host, which a local daemon adds.
    fn datagram(&self) -> String {
        const DAEMON: u8 = 3;
        let severity = match self.outcome {
            LogOutcome::Done => 5,   // notice
            LogOutcome::Failed => 4, // warning
        };
        let priority = DAEMON * 8 + severity;
        format!("<{priority}>ipvs-cli[{}]: {self}", std::process::id())
    }
}

impl Display for Record<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Record { subcommand, file, outcome, detail } = self;
        write!(f, "{subcommand}: login_uid={} uid={}", login_uid(), uid())?;
        if let Some(file) = file {
            // In quotes, as it may have spaces.
            write!(f, " file={file:?}")?;
        }
        let outcome = match outcome {
            LogOutcome::Done => "done",
            LogOutcome::Failed => "failed",
        };
        let detail: String = escape::text(detail.trim_end()).to_string().chars().take(LONGEST_DETAIL).collect();
        write!(f, " outcome={outcome}: {detail}")
    }
}

/// The user who logged in, unchanged by `su` and `sudo`. A service has none.
fn login_uid() -> String {
    let text = fs::read_to_string("/proc/self/loginuid").unwrap_or_default();
    match text.trim().parse::<u32>() {
        Ok(uid) if uid != u32::MAX => uid.to_string(),
        _ => "none".to_owned(),
    }
}

/// The user of this process.
fn uid() -> String {
    fs::metadata("/proc/self").map_or_else(|_| "unknown".to_owned(), |process| process.uid().to_string())
}

fn send_to(socket: &Path, datagram: &str) -> io::Result<()> {
    let sender = UnixDatagram::unbound()?;
    sender.set_write_timeout(Some(PATIENCE))?;
    sender.send_to(datagram.as_bytes(), socket).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record<'r>(file: &'r str, detail: &'r str) -> Record<'r> {
        Record { subcommand: "apply", file: Some(file), outcome: LogOutcome::Done, detail }
    }

    #[test]
    fn a_record_is_one_line_that_begins_with_priority_and_name() {
        let datagram = record("/etc/a \"b\"\n.toml", "refused:\n\x1b[2J1 service added\n").datagram();
        let rest = datagram.strip_prefix(&format!("<29>ipvs-cli[{}]: apply: login_uid=", std::process::id())).unwrap();
        assert!(
            rest.contains(" file=\"/etc/a \\\"b\\\"\\n.toml\" outcome=done: refused:\\n\\x1b[2J1 service added"),
            "{rest}"
        );
        assert!(!datagram.contains(char::is_control), "{datagram:?}");
        let failed = Record { outcome: LogOutcome::Failed, ..record("", "") }.datagram();
        assert!(failed.starts_with("<28>") && failed.contains(" outcome=failed: "), "{failed}");
        assert!(record("", &"x".repeat(5000)).datagram().len() < 1024);
    }

    #[test]
    fn a_log_daemon_that_does_not_read_delays_a_change_briefly() {
        let directory = tempfile_directory();
        let path = directory.join("log");
        assert!(send_to(&path, "nobody is there").is_err());
        let daemon = UnixDatagram::bind(&path).unwrap();
        // Until its queue is full. It never reads, so the last call ends by its limit.
        while send_to(&path, "line").is_ok() {}
        let mut text = [0; 16];
        assert_eq!(daemon.recv(&mut text).map(|len| text[..len].to_vec()).unwrap(), b"line");
        fs::remove_dir_all(&directory).unwrap();
    }

    fn tempfile_directory() -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("ipvs-cli-journal-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        path
    }
}
