//! A change from the screen: done by `weight`, `drain` and `undrain`, with their locks, notes,
//! checks and log.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use super::model::{Change, Deed};
use crate::arguments::service::word;

impl Deed {
    /// What is asked before it.
    pub(super) fn question(&self) -> String {
        let Deed { service, server, what } = self;
        match what {
            Change::Weight(weight) => format!("set weight {weight} of {server} at {service}? y/N"),
            Change::Drain => format!("drain {server} at {service}: weight 0, connections go on? y/N"),
            Change::Undrain => format!("give {server} at {service} its weight back? y/N"),
        }
    }

    fn arguments(&self) -> Vec<String> {
        let (service, server) = (word(&self.service), self.server.to_string());
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        match self.what {
            Change::Weight(weight) => words(&["weight", &service, &server, &weight.to_string()]),
            // The screen shows how its connections end.
            Change::Drain => words(&["drain", "--timeout", "0", &service, &server]),
            Change::Undrain => words(&["undrain", &service, &server]),
        }
    }

    /// Does it in a process of its own, in the network namespace of this thread. The receiver gets
    /// what it says at its end.
    pub(super) fn start(&self, state_directory: Option<PathBuf>) -> Receiver<String> {
        let (sender, receiver) = mpsc::channel();
        let mut command = Command::new("/proc/self/exe");
        command.arg0("ipvs-cli").args(self.arguments()).stdin(Stdio::null());
        if let Some(directory) = state_directory {
            command.arg("--state-dir").arg(directory);
        }
        let unstarted = sender.clone();
        let started = thread::Builder::new().name("deed".to_owned()).spawn(move || {
            let said = match command.output() {
                Ok(output) => {
                    let text = [output.stderr, output.stdout].concat();
                    String::from_utf8_lossy(&text).lines().rfind(|line| !line.is_empty()).unwrap_or("done").to_owned()
                }
                Err(error) => format!("/proc/self/exe: {error}"),
            };
            // Without a screen nobody reads it.
            let _ = sender.send(said);
        });
        if let Err(error) = started {
            let _ = unstarted.send(format!("nothing was changed: no thread can be made: {error}"));
        }
        receiver
    }
}
