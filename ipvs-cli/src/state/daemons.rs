//! Which sync daemon this program runs for a while, and which one ran before.
//!
//! The note is written before a daemon is stopped or started, and removed when all is as it was. So
//! what ran before runs again after the program was killed: the next one that takes the lock reads
//! it. It starts with the boot and the network namespace that it is of; with those of another it is
//! void, as the daemons went with them.

use std::fmt::Write;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;

use ipvs::{Daemon, DaemonRole, InterfaceName};

use crate::state;
use crate::state::file::{FileError, StateDirectory};

const KIND: &str = "daemon";

/// What is noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DaemonNote {
    /// The temporary backup daemon.
    pub(crate) temporary: Daemon,
    /// The backup daemon that ran before, with all its settings.
    pub(crate) before: Option<Daemon>,
}

impl DaemonNote {
    /// Is there a file, void or not? To know it costs next to nothing.
    pub(crate) fn may_be_there(directory: &Path) -> bool {
        directory.join(state::file_name(KIND)).exists()
    }

    /// Reads it. `None`: there is none, or it is void.
    pub(crate) fn read(directory: &Path) -> Result<Option<Self>, FileError> {
        let name = state::file_name(KIND);
        let Some(text) = StateDirectory::read_if_there(directory, &name)? else { return Ok(None) };
        let path = directory.join(&name);
        let mut lines = text.lines();
        if lines.next() != Some(&*first_line(directory)?) {
            return Ok(None);
        }
        let mut note = (None, None);
        for (number, line) in (2..).zip(lines) {
            let damaged = || FileError::Damaged { path: path.clone(), line: number, reason: SHAPE.to_owned() };
            let (whose, daemon) = line.split_once(' ').ok_or_else(damaged)?;
            let daemon = Some(daemon.parse::<Line>().map_err(|()| damaged())?.0);
            match whose {
                "temporary" => note.0 = daemon,
                "before" => note.1 = daemon,
                _ => return Err(damaged()),
            }
        }
        match note {
            (Some(temporary), before) => Ok(Some(DaemonNote { temporary, before })),
            (None, _) => Err(FileError::Damaged { path, line: 2, reason: SHAPE.to_owned() }),
        }
    }

    /// Writes it.
    pub(crate) fn write(&self, directory: &Path) -> Result<(), FileError> {
        let name = state::file_name(KIND);
        let mut text = format!("{}\ntemporary {}\n", first_line(directory)?, Line(self.temporary));
        if let Some(before) = self.before {
            // Into memory.
            let _ = writeln!(text, "before {}", Line(before));
        }
        StateDirectory::open(directory)?.write(&name, &text)
    }

    /// Removes it, if it is there.
    pub(crate) fn remove(directory: &Path) -> Result<(), FileError> {
        StateDirectory::open(directory)?.remove(&state::file_name(KIND))
    }
}

const SHAPE: &str = "the line should be `temporary` or `before`, and INTERFACE SYNCID MAXLEN GROUP PORT TTL of a backup daemon. \
    To continue without it, remove the file; `ipvsadm -L --daemon` shows which daemons run";

fn first_line(directory: &Path) -> Result<String, FileError> {
    let failed = |error: io::Error| FileError::Io { path: directory.join(state::file_name(KIND)), error };
    Ok(format!("daemons {}", state::epoch().map_err(failed)?))
}

/// A backup daemon as a line. An interface's name has neither spaces nor slashes; `-` is a value
/// that the kernel chooses.
struct Line(Daemon);

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        fn or_dash<T: ToString>(value: Option<T>) -> String {
            value.map_or_else(|| "-".to_owned(), |value| value.to_string())
        }
        let Daemon { interface, sync_id, max_len, group, port, ttl, .. } = self.0;
        let [max_len, group, port, ttl] = [or_dash(max_len), or_dash(group), or_dash(port), or_dash(ttl)];
        write!(f, "{interface} {sync_id} {max_len} {group} {port} {ttl}")
    }
}

impl FromStr for Line {
    type Err = ();

    fn from_str(line: &str) -> Result<Self, ()> {
        fn unless_dash<T: FromStr>(word: &str) -> Result<Option<T>, ()> {
            if word == "-" { Ok(None) } else { word.parse().map(Some).map_err(|_| ()) }
        }
        let words: Vec<_> = line.split(' ').collect();
        let [interface, sync_id, max_len, group, port, ttl] = words[..] else { return Err(()) };
        let daemon = Daemon::new(DaemonRole::Backup, InterfaceName::new(interface).map_err(|_| ())?)
            .with_sync_id(sync_id.parse().map_err(|_| ())?)
            .with_max_len(unless_dash::<u16>(max_len)?)
            .with_group(unless_dash::<IpAddr>(group)?)
            .with_port(unless_dash::<u16>(port)?)
            .with_ttl(unless_dash::<u8>(ttl)?);
        Ok(Line(daemon))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    struct Place(PathBuf);

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn what_is_noted_is_read_again_unless_it_is_of_another_boot() {
        let place = Place(std::env::temp_dir().join(format!("ipvs-cli-daemons-{}", std::process::id())));
        let directory = &place.0;
        assert_eq!(DaemonNote::read(directory).unwrap(), None);
        let temporary = Daemon::new(DaemonRole::Backup, InterfaceName::LOOPBACK);
        let before = Daemon::new(DaemonRole::Backup, InterfaceName::new("eth0").unwrap())
            .with_sync_id(7)
            .with_max_len(1472)
            .with_group("ff02::81".parse::<IpAddr>().unwrap())
            .with_port(8848)
            .with_ttl(1);
        for before in [None, Some(before)] {
            let note = DaemonNote { temporary, before };
            note.write(directory).unwrap();
            assert_eq!(DaemonNote::read(directory).unwrap(), Some(note));
        }
        let file = directory.join(state::file_name(KIND));
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.replace("8848", "88480")).unwrap();
        let error = DaemonNote::read(directory).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{}:3: ", file.display())), "{error}");
        fs::write(&file, text.replace("boot:", "boot:0")).unwrap();
        assert_eq!(DaemonNote::read(directory).unwrap(), None, "it went with that boot");
        DaemonNote::remove(directory).unwrap();
        DaemonNote::remove(directory).unwrap();
        assert!(!file.exists());
    }
}
