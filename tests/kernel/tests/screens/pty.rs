//! A program on a terminal of its own, and what is to be seen there.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use kernel_tests::target::Target;
use nix::fcntl::OFlag;
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::unistd::Pid;
use rustix::termios::{Winsize, tcsetwinsize};

/// In a minute something is wrong.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Terminal {
    child: Child,
    /// The program's end, kept to look at its settings.
    slave: File,
    keyboard: File,
    shown: Arc<Mutex<Shown>>,
    reader: Option<JoinHandle<()>>,
    is_closing: Arc<AtomicBool>,
}

/// Both ends of a terminal. No program that is started meanwhile has either of them: a terminal is
/// closed with the last.
fn pair() -> (File, File) {
    let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let slave =
        File::options().read(true).write(true).custom_flags(OFlag::O_NOCTTY.bits()).open(ptsname_r(&master).unwrap());
    (master.as_fd().try_clone_to_owned().unwrap().into(), slave.unwrap())
}

fn set_size(terminal: &File, height: u16, width: u16) {
    tcsetwinsize(terminal, Winsize { ws_row: height, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
}

/// The size of a terminal that does not know its own.
fn known(height: u16, width: u16) -> (u16, u16) {
    if height == 0 || width == 0 { (24, 80) } else { (height, width) }
}

struct Shown {
    screen: vt100::Parser,
    bytes: usize,
}

impl Terminal {
    /// Starts `ipvs-cli` on a terminal of this size, which is its controlling one: so the kernel
    /// signals another size.
    pub(crate) fn start(arguments: &str, height: u16, width: u16) -> Self {
        Self::start_as(arguments, height, width, "xterm-256color")
    }

    /// On one that calls itself so. One of no size does not know its own, but has the usual one.
    pub(crate) fn start_as(arguments: &str, height: u16, width: u16, name: &str) -> Self {
        Self::start_by(&[], arguments, height, width, name)
    }

    /// With this program, which is given the words of the other one.
    pub(crate) fn start_by(by: &[&str], arguments: &str, height: u16, width: u16, name: &str) -> Self {
        let (keyboard, slave) = pair();
        set_size(&keyboard, height, width);
        let [stdin, stdout, stderr] = [(); 3].map(|()| slave.try_clone().unwrap());
        let mut command = Command::new("setsid");
        command.arg("--ctty").args(by).arg(Target::IpvsCli.program().unwrap()).args(arguments.split(' '));
        command.env("TERM", name).env("LC_ALL", "C.UTF-8").stdin(stdin).stdout(stdout).stderr(stderr);
        let child = command.spawn().unwrap();
        let (height, width) = known(height, width);
        let shown = Arc::new(Mutex::new(Shown { screen: vt100::Parser::new(height, width, 0), bytes: 0 }));
        let (mut output, also) = (keyboard.try_clone().unwrap(), Arc::clone(&shown));
        let is_closing = Arc::new(AtomicBool::new(false));
        let closing = Arc::clone(&is_closing);
        let reader = thread::spawn(move || {
            let mut chunk = [0; 16 << 10];
            // It ends with an error when nobody has the other end any more.
            while let Ok(count @ 1..) = output.read(&mut chunk) {
                if closing.load(Ordering::SeqCst) {
                    break;
                }
                let mut shown = also.lock().unwrap();
                shown.screen.process(&chunk[..count]);
                shown.bytes += count;
            }
        });
        Terminal { child, slave, keyboard, shown, reader: Some(reader), is_closing }
    }

    /// The screen, without blanks at the ends of lines.
    pub(crate) fn text(&self) -> String {
        let shown = self.shown.lock().unwrap();
        let lines: Vec<_> = shown.screen.screen().contents().lines().map(|line| line.trim_end().to_owned()).collect();
        lines.join("\n")
    }

    /// What a terminal needs to show this screen: its letters, and how they look.
    pub(crate) fn formatted(&self) -> String {
        let shown = self.shown.lock().unwrap();
        String::from_utf8(shown.screen.screen().contents_formatted()).unwrap()
    }

    /// How many bytes the program has written so far.
    pub(crate) fn bytes(&self) -> usize {
        self.shown.lock().unwrap().bytes
    }

    /// Waits until the screen is so, and returns it.
    #[track_caller]
    pub(crate) fn wait(&self, is_so: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let text = self.text();
            if is_so(&text) {
                return text;
            }
            assert!(begun.elapsed() < PATIENCE, "the screen is\n{text}");
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits until the program has a thread of this name.
    #[track_caller]
    pub(crate) fn wait_for_thread(&self, name: &str) {
        let begun = Instant::now();
        let has_it = || {
            let threads = std::fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap().flatten();
            let mut names = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("comm")).ok());
            names.any(|comm| comm.trim_end() == name)
        };
        while !has_it() {
            assert!(begun.elapsed() < PATIENCE, "there is no thread {name}");
            thread::sleep(Duration::from_millis(2));
        }
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    pub(crate) fn resize(&self, height: u16, width: u16) {
        let (lines, columns) = known(height, width);
        self.shown.lock().unwrap().screen.screen_mut().set_size(lines, columns);
        set_size(&self.keyboard, height, width);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    /// Processor time of the program so far.
    pub(crate) fn processor_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        // Behind the name, which may have blanks: the 12th and 13th, in hundredths of a second.
        let numbers = stat.rsplit_once(')').unwrap().1.split_whitespace().skip(11).take(2);
        Duration::from_millis(numbers.map(|ticks| ticks.parse::<u64>().unwrap() * 10).sum())
    }

    /// Closes the terminal, as a window or a connection is closed, and waits for the program's end.
    pub(crate) fn close(self) -> ExitStatus {
        let Terminal { mut child, slave, keyboard, reader, .. } = self;
        drop(slave);
        // The reader has this end, too, and lets it go when it has read something.
        self.is_closing.store(true, Ordering::SeqCst);
        (&keyboard).write_all(b"r").unwrap();
        reader.unwrap().join().unwrap();
        drop(keyboard);
        child.wait().unwrap()
    }

    /// Waits for the program's end: its status, and whether the terminal is as it was.
    pub(crate) fn end(mut self) -> (ExitStatus, bool) {
        let status = self.child.wait().unwrap();
        let settings = tcgetattr(&self.slave).unwrap();
        let is_cooked = settings.local_flags.contains(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG);
        drop(self.slave);
        self.reader.take().unwrap().join().unwrap();
        let shown = self.shown.lock().unwrap();
        let screen = shown.screen.screen();
        (status, is_cooked && !screen.alternate_screen() && !screen.hide_cursor())
    }
}
