//! The floor: the least that can be done through netlink for a few of ipvsadm's commands.
//!
//! It is what `cargo lab bench` measures tools against, no product: it knows IPv4 TCP services and
//! nothing else, and gives up at the first refusal. Its commands are spelled as ipvsadm's and its
//! output is ipvsadm's: `-R`, `-S -n`, `-L -n`, `-C`, and one `-A`, `-a` or `-e`.

mod listing;
mod netlink;
mod rules;

use std::{
    env,
    io::{self, Read, Write},
    process::ExitCode,
};

use netlink::Kernel;

/// Enough to be rare, few enough that all replies fit into a socket's default buffer if every
/// command fails.
const COMMANDS_A_DATAGRAM: usize = 128;

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Kernel(#[from] netlink::Error),
    #[error("line {line}: {source}")]
    Line { line: usize, source: rules::Error },
    #[error("cannot read or write: {0}")]
    Io(#[from] io::Error),
    #[error("usage: floor -R < RULES | -S -n | -L -n | -C | -A … | -a … | -e …")]
    Usage,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("floor: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Error> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["-R"] => {
            let mut text = String::new();
            io::stdin().lock().read_to_string(&mut text)?;
            restore(&text)
        }
        ["-S", "-n"] => print(listing::save(&mut Kernel::connect()?)?),
        ["-L", "-n"] => print(listing::list(&mut Kernel::connect()?)?),
        ["-C"] => Ok(Kernel::connect()?.flush()?),
        ["-A" | "-a" | "-e", ..] => restore(&words.join(" ")),
        _ => Err(Error::Usage),
    }
}

fn restore(text: &str) -> Result<(), Error> {
    let mut kernel = Kernel::connect()?;
    for (index, line) in text.lines().enumerate() {
        let change = rules::parse(line).map_err(|source| Error::Line { line: index + 1, source })?;
        kernel.push(&change);
        if kernel.pending() == COMMANDS_A_DATAGRAM {
            kernel.send()?;
        }
    }
    Ok(kernel.send()?)
}

fn print(text: String) -> Result<(), Error> {
    Ok(io::stdout().write_all(text.as_bytes())?)
}
