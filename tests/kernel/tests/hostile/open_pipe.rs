//! `-R` fed by hand: what is typed is done, and refused, before the next line comes.

use crate::shell::{self, Shell};
use kernel_tests::target::Target;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take.
const DEADLINE: Duration = Duration::from_secs(60);

#[test]
fn the_original() {
    feed_line_by_line(Target::Ipvsadm);
}

#[test]
fn ipvs_cli() {
    feed_line_by_line(Target::IpvsCli);
}

fn feed_line_by_line(target: Target) {
    shell::with(target, |shell| {
        let mut command = Command::new(shell::program(target));
        let mut child = command.arg("-R").stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let messages = lines_of(&mut child);
        say(&mut child, "-A -t 192.0.2.1:80 -s rr\n");
        wait_for(shell, "-A -t 192.0.2.1:80 -s rr\n");
        say(&mut child, "-A -t 192.0.2.1:80 -s rr\n");
        assert_eq!(messages.recv_timeout(DEADLINE).as_deref(), Ok("Service already exists"));
        say(&mut child, "-a -t 192.0.2.1:80 -r 192.0.2.11:80 -m\n-A -t 192.0.2.2");
        wait_for(shell, "-a -t 192.0.2.1:80 -r 192.0.2.11:80 -m -w 1\n");
        // The half line is done when its other half comes.
        say(&mut child, ":80 -s wlc\n");
        wait_for(shell, "-A -t 192.0.2.2:80 -s wlc\n");
        drop(child.stdin.take());
        assert_eq!(end(&mut child), Some(0));
    });
}

/// A name that takes long to look up holds back no line before it.
#[test]
fn a_slow_name_service() {
    shell::with(Target::IpvsCli, |shell| {
        let slow = Path::new("/run/slow");
        fs::create_dir_all(slow).expect("/run is the guest's own");
        fs::write(slow.join("getent"), "#!/bin/sh\nwhile ! [ -e /run/slow/answer ]; do sleep 0.05; done\n")
            .expect("/run can be written");
        fs::set_permissions(slow.join("getent"), Permissions::from_mode(0o755)).expect("this process owns it");
        let path = format!("{}:{}", slow.display(), std::env::var("PATH").unwrap_or_default());
        let mut command = Command::new(shell::program(Target::IpvsCli));
        command.arg("-R").env("PATH", path).stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        say(&mut child, "-A -t 192.0.2.1:80 -s rr\n-A -t slow.example.net:80 -s rr\n");
        wait_for(shell, "-A -t 192.0.2.1:80 -s rr\n");
        fs::write(slow.join("answer"), "").expect("/run can be written");
        drop(child.stdin.take());
        assert_eq!(end(&mut child), Some(2));
    });
}

fn say(child: &mut Child, text: &str) {
    let stdin = child.stdin.as_mut().expect("the pipe is open");
    stdin.write_all(text.as_bytes()).expect("it reads");
}

/// Its messages as they come.
fn lines_of(child: &mut Child) -> Receiver<String> {
    let stderr = child.stderr.take().expect("a pipe");
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || BufReader::new(stderr).lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    receiver
}

fn wait_for(shell: &mut Shell, saved: &str) {
    let end = Instant::now() + DEADLINE;
    loop {
        let table = String::from_utf8_lossy(&shell.table()[0].stdout).into_owned();
        if table.contains(saved) {
            return;
        }
        assert!(Instant::now() < end, "{saved:?} is not done while the pipe stays open; the table is {table:?}");
    }
}

fn end(child: &mut Child) -> Option<i32> {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(status) = child.try_wait().expect("it can be waited for") {
            return status.code();
        }
        if Instant::now() >= end {
            let _ = child.kill();
            panic!("it does not end when its input does");
        }
        thread::sleep(Duration::from_millis(5));
    }
}
