//! Every wait has a limit, and says what it waits for.

use std::process::Command;
use std::time::Duration;
use std::{fs, thread};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::world::{World, ipvs_cli, program, rules, start, strace};

fn state(pid: u32) -> String {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").map_or_else(String::new, |(_, rest)| rest[..1].to_owned())
}

/// An `apply` that was stopped with the lock in its hand.
fn stopped(world: &World) -> std::process::Child {
    // It may be done before it is stopped: then once more, with something else to do.
    for services in (2000..).step_by(500) {
        let mut child = start(ipvs_cli("apply -"), &rules(1..=services, 1));
        let holds = || world.run("apply --wait 0 -", "-A -f 9").stderr.contains("changing this director");
        while child.try_wait().unwrap().is_none() {
            if holds() {
                kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGSTOP).unwrap();
                while !["T", "Z"].contains(&&*state(child.id())) {
                    thread::sleep(Duration::from_millis(1));
                }
                if holds() {
                    return child;
                }
                kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGCONT).unwrap();
            }
        }
    }
    unreachable!()
}

#[test]
fn restore_gives_up_on_a_stopped_apply_and_says_what_to_do() {
    let world = World::new();
    let mut apply = stopped(&world);
    let pid = apply.id();
    let before = world.run("show --rules", "").stdout;
    let done = world.run("restore --line-by-line", "-A -f 7\n");
    assert_eq!((done.status, &*done.stdout), (255, ""), "{}", done.stderr);
    let advice = format!("kill -CONT {pid}");
    assert!(
        done.stderr.starts_with(&format!("process {pid} (ipvs-cli apply -) has been changing this director for ")),
        "{}",
        done.stderr
    );
    let end = format!(" s, but is stopped: `{advice}` lets it go on; nothing was changed\n");
    assert!(done.stderr.ends_with(&end), "{}", done.stderr);
    assert_eq!(world.run("show --rules", "").stdout, before);
    assert!(Command::new("sh").args(["-c", &advice]).status().unwrap().success());
    assert!(apply.wait().unwrap().success());
    assert_eq!(world.run("restore --line-by-line", "-A -f 7\n").status, 0);
    assert_eq!(world.run("show --rules", "").stdout, "-A -f 7 -s wlc\n");
}

/// A system whose calls do nothing but be interrupted.
#[test]
fn endless_interruptions_end() {
    let world = World::new();
    for call in ["sendto", "recvfrom", "recvmsg", "write"] {
        for words in [&["show"][..], &["-L", "-n"], &["-A", "-f", "1"], &["metrics"], &["nonsense"]] {
            let traced = strace(&[&format!("inject={call}:error=EINTR")], "/dev/null");
            let mut command = Command::new("timeout");
            command
                .args(["-s", "KILL", "120"])
                .arg(traced.get_program())
                .args(traced.get_args())
                .arg(program())
                .args(words);
            let done = world.start(command, "").wait_with_output().unwrap();
            // By the signal it would have none.
            let status = done.status.code();
            assert!(status.is_some_and(|status| status != 137), "{call}, {words:?}: {:?}", done.status);
        }
    }
}

/// What is no network namespace, and what somebody would have to write to first.
#[test]
fn a_fifo_is_no_network_namespace() {
    let world = World::new();
    let path = super::world::scratch("fifo");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let done = world.run(&format!("--netns {path} show"), "");
    assert_eq!(done.status, 2, "{}", done.stderr);
    assert!(done.stderr.contains(&path), "{}", done.stderr);
    fs::remove_file(&path).unwrap();
}

/// A sync daemon goes on when its interface is deleted, and a file that says so is as good as
/// before.
#[test]
fn a_file_whose_daemon_runs_needs_no_interface() {
    let world = World::new();
    let ip = |words: &str| assert!(Command::new("ip").args(words.split(' ')).status().unwrap().success(), "{words}");
    ip("link add gone type dummy");
    ip("address add 192.0.2.1/24 dev gone");
    ip("link set gone up");
    let daemon = "--start-daemon backup --mcast-interface gone --syncid 3\n";
    let done = world.run("apply -", &format!("-A -f 1\n{daemon}"));
    assert_eq!(done.status, 0, "{}", done.stderr);
    ip("link delete gone");
    let running = world.run("-L --daemon", "").stdout;
    assert!(running.contains("gone"), "{running}");
    let done = world.run("apply -", &format!("-A -f 1\n-A -f 2\n{daemon}"));
    assert_eq!((done.status, &*done.stdout, &*done.stderr), (0, "1 service added\n", ""));
    let done = world.run("apply -", &format!("-A -f 1\n{}", daemon.replace('3', "4")));
    assert_eq!(done.status, 1);
    assert!(done.stderr.contains("there is no network interface gone"), "{}", done.stderr);
    assert_eq!(world.run("-L --daemon", "").stdout, running);
}

/// A weight that can't be noted is not taken away.
#[test]
fn on_a_full_disk_no_server_is_drained() {
    let world = World::new();
    assert_eq!(world.run("apply --quiet -", &rules([1], 5)).status, 0);
    let before = world.run("show --rules", "").stdout;
    let directory = super::world::scratch("full");
    fs::create_dir(&directory).unwrap();
    let mut command = Command::new("unshare");
    let script = "mount -t tmpfs -o size=4k,mode=700 none $1 && ! head -c 8192 /dev/zero 2>/dev/null >$1/all &&
        exec $2 --state-dir $1 drain --all 127.0.0.1";
    command.args(["-m", "sh", "-c", script, "sh", &directory]).arg(program());
    let done = world.start(command, "").wait_with_output().unwrap();
    let said = String::from_utf8(done.stderr).unwrap();
    assert_eq!((done.status.code(), done.stdout.as_slice()), (Some(1), &b""[..]), "{said}");
    assert!(said.contains("No space left on device") && said.contains("; nothing was changed; "), "{said}");
    assert_eq!(world.run("show --rules", "").stdout, before);
    fs::remove_dir(&directory).unwrap();
}
