//! The standard streams of the process, and what replaces them.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::os::fd::BorrowedFd;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::{stdio, termios};

/// An input that may have to be waited for.
pub trait Input: Read {
    /// Would the next read have to wait for data?
    fn would_block(&self) -> bool;

    /// Does a person type it? Then questions can be asked.
    fn is_terminal(&self) -> bool {
        false
    }
}

impl Input for &[u8] {
    fn would_block(&self) -> bool {
        false
    }
}

/// A file instead of standard input.
#[derive(Debug)]
pub(crate) struct FileInput(pub(crate) File);

impl Read for FileInput {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        again_if_interrupted(|| rustix::io::read(&self.0, &mut *buffer))
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
        again_if_interrupted(|| rustix::io::read(stdio::stdin(), &mut *buffer))
    }
}

/// Retries after signals, but not for ever.
fn again_if_interrupted(mut call: impl FnMut() -> rustix::io::Result<usize>) -> io::Result<usize> {
    const MOST: usize = 1000;
    for _ in 0..MOST {
        match call() {
            Err(rustix::io::Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
    // Not `Interrupted`, after which the standard library tries again.
    Err(io::Error::other(format!("interrupted {MOST} times in a row")))
}

/// The largest desired state that is read: some four million rules.
const LARGEST: u64 = 256 << 20;

/// Reads a desired state to its end.
///
/// # Errors
/// Those of reading; and [`io::ErrorKind::FileTooLarge`] for one that is larger than 256 MiB, or
/// has no end.
pub fn read_whole(input: &mut dyn Read, text: &mut Vec<u8>) -> io::Result<()> {
    input.take(LARGEST + 1).read_to_end(text)?;
    if text.len() as u64 > LARGEST {
        text.clear();
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 256 MiB"));
    }
    Ok(())
}

impl Input for Stdin {
    fn would_block(&self) -> bool {
        let stdin = stdio::stdin();
        let mut polled = [PollFd::new(&stdin, PollFlags::IN)];
        // If polling fails, assume that it would block, which only costs time.
        !matches!(rustix::event::poll(&mut polled, Some(&Timespec::default())), Ok(1..))
    }

    fn is_terminal(&self) -> bool {
        termios::isatty(stdio::stdin())
    }
}

/// An unbuffered output of this process. A write without a reader ends the process by `SIGPIPE`,
/// unless a subcommand is changing a director, or ipvsadm's parent process ignores the signal.
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
        again_if_interrupted(|| rustix::io::write(self.0, bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Standard output with a buffer, which is allocated by the first write, as most commands print
/// nothing.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interruptions_end_and_so_does_an_endless_input() {
        let mut left = 1000;
        let mut call = |most: i32| {
            again_if_interrupted(|| {
                left -= 1;
                if left > most { Err(rustix::io::Errno::INTR) } else { Ok(7) }
            })
        };
        assert_eq!(call(900).unwrap(), 7);
        assert_ne!(call(-9999).unwrap_err().kind(), io::ErrorKind::Interrupted, "read_to_end would go on");
        let mut text = Vec::new();
        let error = read_whole(&mut io::repeat(0), &mut text).unwrap_err();
        assert_eq!((error.kind(), text.len()), (io::ErrorKind::FileTooLarge, 0));
    }
}
