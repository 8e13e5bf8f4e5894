//! Does one operation of the library's codec over and over: `cargo lab bench --codec` counts the
//! instructions.
//!
//! `codec` alone says, a line each, what the operations are called and how many are done a round;
//! `codec OPERATION ROUNDS` does one. An operation that gives a wrong result ends in a panic: a
//! wrong answer is no fast answer.
//!
//! The codec is private. Its door is open only with `--cfg fuzzing`, as for the targets in `fuzz/`.

#[cfg(fuzzing)]
mod operations;

use std::process::ExitCode;

#[cfg(fuzzing)]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => {
            operations::ALL.iter().for_each(|operation| println!("{} {}", operation.name, operations::TOGETHER));
            ExitCode::SUCCESS
        }
        [name, rounds] => {
            let operation = operations::ALL.iter().find(|operation| operation.name == *name);
            match (operation, rounds.parse()) {
                (Some(operation), Ok(rounds)) => (operation.run)(rounds),
                _ => return usage(),
            }
            ExitCode::SUCCESS
        }
        _ => usage(),
    }
}

#[cfg(fuzzing)]
fn usage() -> ExitCode {
    eprintln!("usage: codec [OPERATION ROUNDS]");
    ExitCode::from(2)
}

#[cfg(not(fuzzing))]
fn main() -> ExitCode {
    eprintln!(
        "codec: compiled without --cfg fuzzing, it does not get at the codec; `cargo lab bench --codec` compiles it right"
    );
    ExitCode::from(2)
}
