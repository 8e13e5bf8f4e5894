//! The demo and the shell, with the real ipvsadm; the scenes of the other pictures, with ipvs-cli.

use std::{
    fs::{self, File},
    io::{Read, Write},
    os::fd::OwnedFd,
    path::Path,
    process::{Command, Output, Stdio},
    thread,
};

use rustix::{
    fs::{Mode, OFlags},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize},
};

fn lab(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lab"));
    command.args(arguments).arg("--ipvsadm");
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_demo_shows_the_table_and_who_answered() {
    for kernel in ["6.1", "6.12"] {
        let Output { status, stdout, stderr } = lab(&["demo", "--kernel", kernel]).output().unwrap();
        let shown = text(&stdout);
        assert!(status.success(), "kernel {kernel}: {shown}{}", text(&stderr));
        assert!(shown.contains("[root@Director ~]# ipvsadm -A -f 6 -s rr\n"), "{shown}");
        assert!(
            shown.contains("FWM  6 rr\n  -> 172.16.2.12:0                Route   1      0          3         \n"),
            "{shown}"
        );
        for server in ["RS1 (172.16.2.12)\n", "RS2 (172.16.2.14)\n"] {
            assert_eq!(shown.matches(server).count(), 3, "{shown}");
        }
        if kernel == "6.1" {
            assert_eq!(in_order(&shown), in_order(&pictured("demo")), "`cargo lab pictures` draws it anew");
        }
    }
}

/// The lines behind the first, which has the kernel's release. Who answers first is not said.
fn in_order(shown: &str) -> Vec<&str> {
    let mut lines: Vec<_> = shown.lines().map(str::trim_end).skip(1).collect();
    lines.sort_unstable();
    lines
}

/// The text of a picture in docs/pictures.
fn pictured(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/pictures").join(name).with_extension("svg");
    let picture = fs::read_to_string(path).unwrap();
    let text = picture.split_once("<desc>").unwrap().1.split_once("</desc>").unwrap().0;
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

/// Without the colours of a terminal.
fn uncoloured(shown: &str) -> String {
    let mut pieces = shown.split("\x1b[");
    let first = pieces.next().unwrap().to_owned();
    pieces.fold(first, |text, piece| text + piece.split_once('m').unwrap().1)
}

#[test]
fn scenes_are_as_in_their_pictures() {
    let scenes = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenes");
    for name in ["diff", "drain", "doctor"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lab"));
        command.args(["run", "--kernel", "6.1"]).arg(scenes.join(name).with_extension("sh"));
        let Output { status, stdout, stderr } = command.output().unwrap();
        let shown = uncoloured(&text(&stdout));
        assert!(status.success(), "{name}: {shown}{}", text(&stderr));
        let [shown, drawn] = [shown, pictured(name)].map(|text| {
            let lines: Vec<_> = text.trim_end().lines().map(|line| line.trim_end().to_owned()).collect();
            // Which of the real servers answers is not said.
            lines.into_iter().filter(|line| name != "doctor" || !line.starts_with("RS")).collect::<Vec<_>>()
        });
        assert_eq!(shown, drawn, "`cargo lab pictures` draws {name} anew");
    }
}

#[test]
fn the_demo_refuses_a_kernel_without_the_tables_it_needs() {
    let output = lab(&["demo", "--kernel", "7.2"]).output().unwrap();
    assert_eq!(output.status.code(), Some(125));
    assert!(text(&output.stderr).contains("iptables-legacy"));
}

#[test]
fn the_shell_takes_commands_from_a_pipe() {
    let mut command = lab(&["shell"]);
    let mut shell = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let commands = b"ipvsadm -A -t $VIP:80 -s rr\nipvsadm -a -t $VIP:80 -r $RIP2 -g\n\
                     client lab http-get $VIP:80\nipvsadm -S -n\nexit 4\n";
    shell.stdin.take().unwrap().write_all(commands).unwrap();
    let output = shell.wait_with_output().unwrap();
    let said = text(&output.stdout);
    let expected = "RS2 (172.16.2.14)\n-A -t 172.16.2.100:80 -s rr\n-a -t 172.16.2.100:80 -r 172.16.2.14:80 -g -w 1\n";
    assert!(said.ends_with(expected), "{said}");
    assert_eq!(output.status.code(), Some(4));
}

/// A terminal of 111 columns and 33 rows: the user's end and the lab's.
fn terminal() -> (File, OwnedFd) {
    let user = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&user).unwrap();
    unlockpt(&user).unwrap();
    let name = ptsname(&user, Vec::new()).unwrap();
    let lab = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
    tcsetwinsize(&lab, Winsize { ws_row: 33, ws_col: 111, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    (user.into(), lab)
}

#[test]
fn the_shell_has_a_terminal_with_job_control_and_gives_it_back() {
    let (mut user, terminal) = terminal();
    let duplicate = || Stdio::from(terminal.try_clone().unwrap());
    let mut command = lab(&["shell"]);
    let mut shell = command.stdin(duplicate()).stdout(duplicate()).stderr(duplicate()).spawn().unwrap();
    drop(command);
    let mut seen = String::new();
    let mut read_until = |mark: &str, mut user: &File| {
        let mut buffer = [0; 4096];
        while !seen.contains(mark) {
            let count = user.read(&mut buffer).unwrap();
            seen.push_str(&text(&buffer[..count]));
        }
        std::mem::take(&mut seen)
    };
    read_until("Director ~]# ", &user);
    assert!(
        !tcgetattr(&terminal).unwrap().local_modes.contains(LocalModes::ICANON),
        "keys should go through one by one"
    );
    user.write_all(b"stty size; sleep 1000\r").unwrap();
    read_until("33 111", &user);
    thread::sleep(std::time::Duration::from_millis(500));
    user.write_all(b"\x03").unwrap(); // Ctrl-C is for the sleep
    read_until("Director ~]# ", &user);
    user.write_all(b"exit 5\r").unwrap();
    assert_eq!(shell.wait().unwrap().code(), Some(5));
    assert!(tcgetattr(&terminal).unwrap().local_modes.contains(LocalModes::ICANON), "the terminal should be as before");
}
