//! A program on a terminal of its own, and what is to be seen there.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use kernel_tests::target::Target;
use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::unistd::Pid;
use rustix::termios::{Winsize as Size, tcsetwinsize};

/// In a minute something is wrong.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Terminal {
    child: Child,
    /// The program's end, kept to look at its settings.
    slave: File,
    keyboard: File,
    shown: Arc<Mutex<Shown>>,
    reader: Option<JoinHandle<()>>,
}

struct Shown {
    screen: vt100::Parser,
    bytes: usize,
}

impl Terminal {
    /// Starts `ipvs-cli` on a terminal of this size, which is its controlling one: so the kernel tells it of another size.
    pub(crate) fn start(arguments: &str, height: u16, width: u16) -> Self {
        Self::start_as(arguments, height, width, "xterm-256color")
    }

    /// On one that calls itself so. One of no size does not know its own, but has the usual one.
    pub(crate) fn start_as(arguments: &str, height: u16, width: u16, name: &str) -> Self {
        let size = Winsize { ws_row: height, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 };
        let pair = openpty(Some(&size), None).unwrap();
        let [stdin, stdout, stderr] = [(); 3].map(|()| pair.slave.try_clone().unwrap());
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg(Target::Ours.program().unwrap()).args(arguments.split(' '));
        command.env("TERM", name).env("LC_ALL", "C.UTF-8").stdin(stdin).stdout(stdout).stderr(stderr);
        let child = command.spawn().unwrap();
        let keyboard = File::from(pair.master);
        let (height, width) = if height == 0 { (24, 80) } else { (height, width) };
        let shown = Arc::new(Mutex::new(Shown { screen: vt100::Parser::new(height, width, 0), bytes: 0 }));
        let (mut output, also) = (keyboard.try_clone().unwrap(), Arc::clone(&shown));
        let reader = thread::spawn(move || {
            let mut chunk = [0; 16 << 10];
            // It ends with an error when nobody has the other end any more.
            while let Ok(count @ 1..) = output.read(&mut chunk) {
                let mut shown = also.lock().unwrap();
                shown.screen.process(&chunk[..count]);
                shown.bytes += count;
            }
        });
        Terminal { child, slave: pair.slave.into(), keyboard, shown, reader: Some(reader) }
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

    pub(crate) fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    pub(crate) fn resize(&self, height: u16, width: u16) {
        self.shown.lock().unwrap().screen.screen_mut().set_size(height, width);
        tcsetwinsize(&self.keyboard, Size { ws_row: height, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
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
