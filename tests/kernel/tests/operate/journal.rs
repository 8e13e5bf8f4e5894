//! The line that a change writes to the system's log.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use kernel_tests::sandbox;
use nix::mount::{MsFlags, mount};

use super::world::{Done, run, scratch};

/// A log daemon that only this thread's programs have, at /dev/log.
struct Daemon(UnixDatagram);

impl Daemon {
    /// In a network and with mounts of its own.
    fn new() -> Self {
        sandbox::enter_network_and_mounts().unwrap();
        // Nobody may replace the machine's: so this thread gets another /dev, with the devices of
        // the old one.
        let old = scratch("dev");
        fs::create_dir(&old).unwrap();
        mount(Some("/dev"), old.as_str(), None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>).unwrap();
        sandbox::mount_tmpfs("/dev").unwrap();
        for device in ["null", "zero", "urandom", "random", "tty", "fd", "stdin", "stdout", "stderr"] {
            let _ = symlink(Path::new(&old).join(device), Path::new("/dev").join(device));
        }
        let socket = UnixDatagram::bind("/dev/log").unwrap();
        socket.set_nonblocking(true).unwrap();
        Daemon(socket)
    }

    /// The one line that was written since the last call, behind what names program and process;
    /// none if there is none.
    #[track_caller]
    fn line(&self) -> Option<String> {
        let mut bytes = [0; 4096];
        let line = self.0.recv(&mut bytes).ok().map(|len| String::from_utf8(bytes[..len].to_vec()).unwrap())?;
        assert!(self.0.recv(&mut bytes).is_err(), "there is a second line after {line:?}");
        let (head, text) = line.split_once("]: ").unwrap();
        let (priority, process) = head.split_once("ipvs-cli[").unwrap();
        assert!(process.parse::<u32>().is_ok(), "{line:?}");
        Some(format!("{priority} {text}"))
    }
}

/// What is the same in each line: this test's users.
fn users() -> String {
    let login = fs::read_to_string("/proc/self/loginuid").unwrap_or_default();
    let login = match login.trim() {
        "" | "4294967295" => "none",
        uid => uid,
    };
    format!("login_uid={login} uid=0")
}

#[test]
fn a_change_writes_one_line_and_everything_else_none() {
    let daemon = Daemon::new();
    let users = users();
    let directory = scratch("journal");
    fs::create_dir(&directory).unwrap();
    let file = format!("{directory}/shop.rules");
    fs::write(&file, "-A -f 1\n-a -f 1 -r 127.0.0.1\n").unwrap();
    let done = |line: &str, input: &str| {
        let Done { status, stderr, .. } = run(line, input);
        assert_eq!((status, stderr.as_str()), (0, ""), "{line}");
    };
    done(&format!("apply {file}"), "");
    let expected = format!("<29> apply: {users} file={file:?} outcome=done: 1 service added; 1 destination added");
    assert_eq!(daemon.line(), Some(expected));
    // Nothing to change, nothing changed, not wanted.
    done(&format!("apply {file}"), "");
    done("apply --dry-run -", "-C");
    done("restore --no-log", "-A -f 2");
    assert_eq!(run("apply -", "-A -f 0").status, 1);
    assert_eq!(run("apply --max-deletions 0 -", "-C").status, 1);
    assert_eq!(run("diff -", "-C").status, 1);
    assert_eq!(daemon.line(), None);
    done("restore", "-A -f 3");
    let expected = format!("<29> restore: {users} outcome=done: 1 service added, 1 deleted");
    assert_eq!(daemon.line(), Some(expected));
    done("restore --line-by-line", "-A -f 4");
    assert_eq!(daemon.line(), Some(format!("<29> restore: {users} outcome=done: line by line")));
    assert_eq!(run("restore --line-by-line", "-A -f 4\n-A -f 4\n").status, 255);
    let expected =
        format!("<28> restore: {users} outcome=failed: line by line, exit status 255; part of it may be done");
    assert_eq!(daemon.line(), Some(expected));
    // The drop-in writes none, as ipvsadm.
    done("-A -f 5", "");
    assert_eq!(daemon.line(), None);
    // Without a daemon, and with something else in its place, the change is made all the same.
    fs::remove_file("/dev/log").unwrap();
    done("apply -", "-A -f 6");
    File::create("/dev/log").unwrap();
    done("apply -", "-A -f 7");
}

#[test]
fn a_change_that_fails_midway_says_where() {
    let daemon = Daemon::new();
    let route = ["route", "add", "broadcast", "198.51.100.7", "dev", "lo", "table", "local"];
    assert!(std::process::Command::new("ip").args(route).status().unwrap().success());
    let refused = run("apply -", "-A -t 10.0.0.1:80\n-a -t 10.0.0.1:80 -r 198.51.100.7:80 -m\n");
    assert_eq!(refused.status, 1);
    let expected = format!("<28> apply: {} outcome=failed: {}", users(), refused.stderr.trim_end());
    assert_eq!(daemon.line(), Some(expected));
}
