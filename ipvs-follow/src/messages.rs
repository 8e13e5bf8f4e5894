//! What the follower says, once: a line for each thing that has become different.

use std::collections::BTreeMap;
use std::env;
use std::io::Write;

use ipvs_cli::escape;
use rustix::fs::fstat;
use rustix::stdio;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// Something is wrong.
    Warning,
    /// The director or the source has changed.
    Notice,
}

/// What a lasting message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Topic {
    /// The director holds a copy, or there is none.
    Copy,
    /// The source can't be read, or is wrong.
    Source,
    /// The source can't be watched.
    Watch,
    /// Other programs' changes can't be seen.
    Monitor,
    /// The director can't be brought to the source.
    Director,
    /// Remarks of the change.
    Notes,
    /// Another program undoes the work.
    Rival,
    /// A person is at work.
    Hold,
}

/// Writes lines to a log. What lasts is written once.
pub(crate) struct Messages {
    out: Box<dyn Write>,
    /// With the level in front, as journald reads it.
    with_level: bool,
    lasting: BTreeMap<Topic, String>,
}

impl Messages {
    /// Standard error.
    pub(crate) fn of_this_process() -> Self {
        Messages { with_level: is_journal(), ..Messages::to(Box::new(ipvs_cli::io::Output::stderr())) }
    }

    pub(crate) fn to(out: Box<dyn Write>) -> Self {
        Messages { out, with_level: false, lasting: BTreeMap::new() }
    }

    /// Writes a message, each of its lines by itself.
    pub(crate) fn say(&mut self, level: Level, text: &str) {
        let mut lines = String::new();
        for line in text.lines() {
            lines += match (self.with_level, level) {
                (false, _) => "",
                (true, Level::Warning) => "<4>",
                (true, Level::Notice) => "<5>",
            };
            lines += &format!("ipvs-follow: {}\n", escape::text(line));
        }
        // Nothing is left to report an error to.
        let _ = self.out.write_all(lines.as_bytes());
    }

    /// Writes what holds from now on, unless it did already. Is it new?
    pub(crate) fn holds(&mut self, topic: Topic, level: Level, text: &str) -> bool {
        let is_new = self.lasting.get(&topic).is_none_or(|said| said != text);
        if is_new {
            self.say(level, text);
            self.lasting.insert(topic, text.to_owned());
        }
        is_new
    }

    /// What was said on this topic holds no longer. Did it?
    pub(crate) fn over(&mut self, topic: Topic) -> bool {
        self.lasting.remove(&topic).is_some()
    }

    /// What is wrong now, for people who ask for the status.
    pub(crate) fn worst(&self) -> Option<&str> {
        self.lasting.iter().find(|(topic, _)| **topic != Topic::Notes).map(|(_, text)| text.as_str())
    }
}

/// Does standard error go to journald? The variable alone may be that of a parent process.
fn is_journal() -> bool {
    let Some(stream) = env::var("JOURNAL_STREAM").ok() else { return false };
    fstat(stdio::stderr()).is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}
