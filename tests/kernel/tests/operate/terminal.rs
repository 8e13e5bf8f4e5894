//! The line on the terminal that says what goes on.

use std::fs::File;
use std::io::{Read, Write};
use std::process::Stdio;

use nix::errno::Errno;
use nix::pty::openpty;

use super::world::{World, calls, program, rules, strace};

const BY_LINE: &str = "restore --line-by-line";

/// What is said on a terminal while the first change takes this many microseconds.
fn said(world: &World, microseconds: u32, arguments: &str) -> String {
    let wanted = rules(1..=200, 1);
    // As ipvsadm does, it asks for the version before it reads.
    let first = calls(world, "sendto", "diff -", &wanted) + if arguments == BY_LINE { 2 } else { 1 };
    let pair = openpty(None, None).unwrap();
    let mut command = strace(&[&format!("inject=sendto:delay_enter={microseconds}:when={first}")], "/dev/null");
    command.arg(program()).args(arguments.split(' '));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(pair.slave).spawn().unwrap();
    // With it goes our copy of the other end.
    drop(command);
    child.stdin.take().unwrap().write_all(wanted.as_bytes()).unwrap();
    let mut text = Vec::new();
    match File::from(pair.master).read_to_end(&mut text) {
        Ok(_) => {}
        // So ends a terminal that nobody holds any more.
        Err(error) if error.raw_os_error() == Some(Errno::EIO as i32) => {}
        Err(error) => panic!("{error}"),
    }
    assert!(child.wait().unwrap().success());
    String::from_utf8(text).unwrap()
}

#[test]
fn progress_is_shown_and_erased() {
    let mut world = World::new();
    for arguments in ["apply -", "restore", BY_LINE] {
        let said = said(&world, 2_500_000, arguments);
        assert!(said.contains("\rapplying: 0 of 600\x1b[K"), "{arguments}: {said:?}");
        assert!(said.ends_with("\r\x1b[K"), "{arguments}: nothing of it stays: {said:?}");
        world.client.flush().unwrap();
    }
}

#[test]
fn silence_is_silence() {
    let world = World::new();
    assert_eq!(said(&world, 2_500_000, "apply --quiet -"), "");
}
