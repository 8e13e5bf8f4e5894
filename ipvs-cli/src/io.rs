//! The three standard streams, as parameters: tests give others.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::os::fd::BorrowedFd;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::{stdio, termios};

use crate::sigpipe;

/// What is read, and where the output goes.
#[expect(missing_debug_implementations, reason = "what stands behind the traits need not have one")]
pub struct Streams<'s> {
    /// Command lines, for `-R`.
    pub stdin: &'s mut dyn Input,
    /// Listings. In the language of ipvsadm, errors of writing them are ignored, as it does.
    pub stdout: &'s mut dyn Write,
    /// What went wrong.
    pub stderr: &'s mut dyn Write,
    /// Does a person read `stderr`? Then some messages are followed by a hint. Asked when there is one.
    pub hints: fn() -> bool,
    /// Does a person read `stdout`? Then what is different may be coloured. Asked when there is something.
    pub colors: fn() -> bool,
}

impl Streams<'_> {
    /// The same, for a shorter time.
    pub(crate) fn reborrow(&mut self) -> Streams<'_> {
        Streams {
            stdin: &mut *self.stdin,
            stdout: &mut *self.stdout,
            stderr: &mut *self.stderr,
            hints: self.hints,
            colors: self.colors,
        }
    }

    /// The same, but for what is read.
    pub(crate) fn reading<'a>(&'a mut self, stdin: &'a mut dyn Input) -> Streams<'a> {
        Streams { stdin, ..self.reborrow() }
    }
}

/// Something to read from that may make its reader wait.
pub trait Input: Read {
    /// Would the next read have to wait for data?
    fn would_block(&self) -> bool;

    /// Does a person type it? Then a question can be asked.
    fn is_terminal(&self) -> bool {
        false
    }
}

impl Input for &[u8] {
    fn would_block(&self) -> bool {
        false
    }
}

/// A file in the place of standard input.
#[derive(Debug)]
pub(crate) struct FileInput(pub(crate) File);

impl Read for FileInput {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Input for FileInput {
    fn would_block(&self) -> bool {
        false
    }
}

/// The standard input of this process, without a buffer.
#[derive(Debug)]
pub struct Stdin;

impl Read for Stdin {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::retry_on_intr(|| rustix::io::read(stdio::stdin(), &mut *buffer))?)
    }
}

impl Input for Stdin {
    fn would_block(&self) -> bool {
        let stdin = stdio::stdin();
        let mut polled = [PollFd::new(&stdin, PollFlags::IN)];
        // When it can't be known, the answer that costs a little time is the safe one.
        !matches!(rustix::event::poll(&mut polled, Some(&Timespec::default())), Ok(1..))
    }

    fn is_terminal(&self) -> bool {
        termios::isatty(stdio::stdin())
    }
}

/// An output of this process, without a buffer. When its reader is gone the process ends by `SIGPIPE`, unless it changes a
/// director, or its caller has the signal ignored and it is called as ipvsadm.
#[derive(Debug)]
pub struct Output(BorrowedFd<'static>);

impl Output {
    /// Standard output.
    pub fn stdout() -> Self {
        Output(stdio::stdout())
    }

    /// Standard error.
    pub fn stderr() -> Self {
        Output(stdio::stderr())
    }

    /// Is it a terminal?
    pub fn is_terminal(&self) -> bool {
        termios::isatty(self.0)
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match rustix::io::retry_on_intr(|| rustix::io::write(self.0, bytes)) {
            Err(rustix::io::Errno::PIPE) if sigpipe::is_fatal() => Ok(rustix::io::write(self.0, bytes)?),
            result => Ok(result?),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Standard output with a buffer, from the first write on: a command that succeeds says nothing.
#[derive(Debug, Default)]
pub struct BufferedStdout(Option<BufWriter<Output>>);

/// In bytes.
const BUFFER: usize = 32 << 10;

impl Write for BufferedStdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.get_or_insert_with(|| BufWriter::with_capacity(BUFFER, Output::stdout())).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.as_mut().map_or(Ok(()), Write::flush)
    }
}
