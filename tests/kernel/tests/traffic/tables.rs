//! Tables made by the original and by `ipvs-cli`, and what the director remembers of its clients.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use ipvs::{
    Client, Timeouts,
    proc::{Connection, Connections},
};
use kernel_tests::network::Network;
use kernel_tests::target::Target;

/// Both programs, the original first: what is shown must hold with its table, too.
pub(crate) const BOTH: [Target; 2] = [Target::Ipvsadm, Target::IpvsCli];

/// Has a program make a table of these lines on the director.
#[track_caller]
pub(crate) fn make(network: &Network, program: Target, lines: &str) {
    let path = program.program().unwrap_or_else(|error| panic!("{error}"));
    let output = network.director.run(|| {
        let mut command = Command::new(path);
        command.arg("-R").stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program can be started");
        child.stdin.take().expect("a pipe").write_all(lines.as_bytes()).expect("it reads");
        child.wait_with_output().expect("a child can be waited for")
    });
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.is_empty(), "{program:?}: {} {stderr}", output.status);
}

/// The director's persistence templates.
pub(crate) fn templates(network: &Network) -> Vec<Connection> {
    connections(network).into_iter().filter(Connection::is_template).collect()
}

/// All that the director tracks.
pub(crate) fn connections(network: &Network) -> Vec<Connection> {
    network.director.run(|| Connections::open().unwrap().map(Result::unwrap).collect())
}

/// Makes the director forget a connection one second after the client has ended it; else it is two
/// minutes, and a template stays as long as a connection of it.
pub(crate) fn forget_soon(network: &Network) {
    let second = Duration::from_secs(1);
    let timeouts = Timeouts::new().with_tcp_fin(second.as_secs() as u32);
    network.director.run(|| Client::connect().unwrap().set_timeouts(timeouts)).unwrap();
}

/// Waits until the director has forgotten every client.
///
/// A template that still has a connection when its time is over lives for another minute: then so
/// long does this take.
pub(crate) fn wait_until_forgotten(network: &Network) {
    for _try in 0..1200 {
        if templates(network).is_empty() {
            return;
        }
        thread::sleep(Duration::from_millis(100));
    }
    panic!("still remembered: {:?}", templates(network));
}

/// The one server of all these answers.
#[track_caller]
pub(crate) fn the_one(servers: impl IntoIterator<Item = String>) -> String {
    let different: BTreeSet<String> = servers.into_iter().collect();
    assert_eq!(different.len(), 1, "one server should have given all answers: {different:?}");
    different.into_iter().next().unwrap_or_default()
}
