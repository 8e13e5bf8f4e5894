//! Which program did what, in a line.

use ipvs::Command;
use ipvs::monitor::Sender;

/// At most this many commands are named.
const NAMED: usize = 3;

/// The commands of other programs that disturbed the director since the last check.
#[derive(Debug, Default)]
pub(crate) struct Suspects {
    named: Vec<String>,
    more: usize,
}

impl Suspects {
    pub(crate) fn add(&mut self, sender: &Sender, command: &Command) {
        if self.named.len() < NAMED {
            self.named.push(format!("{}: {command}", describe(sender)));
        } else {
            self.more += 1;
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Suspects::default();
    }

    /// In a line. Nobody: it was not seen, or it was before the follower began.
    pub(crate) fn describe(&self) -> String {
        let mut text = match self.named.is_empty() {
            true => "a change that was not seen".to_owned(),
            false => self.named.join("; "),
        };
        if self.more > 0 {
            text += &format!("; and {} more", self.more);
        }
        text
    }
}

/// `ipvsadm[4711] (bash, login 1000)`.
pub(crate) fn describe(sender: &Sender) -> String {
    let process = sender.process.as_ref();
    let parent = process.and_then(|process| process.parent.clone());
    let login = process.and_then(|process| process.login_uid).map(|uid| format!("login {uid}"));
    let details: Vec<String> = parent.into_iter().chain(login).collect();
    match details.is_empty() {
        true => sender.to_string(),
        false => format!("{sender} ({})", details.join(", ")),
    }
}
