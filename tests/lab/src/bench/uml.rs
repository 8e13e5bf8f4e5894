//! The same in user-mode Linux: wall time, a second clock that favours few system calls, and their
//! number.

use std::{path::Path, time::Duration};

use super::{Programs, Size, Workload, results::Results};
use crate::{
    cache::Cache,
    cli::GuestOptions,
    error::Result,
    guest::{Capture, Ending, Output, Streams},
    kernel::Kernel,
    stage::{Limits, Stage, Tool, show_console},
};

const DEADLINE: Duration = Duration::from_secs(1800);
const MEMORY: u32 = 1024;
/// A million connections take half of it.
const MEMORY_OF_CONNECTIONS: u32 = 2048;

/// Wall time, in nanoseconds.
pub(super) fn measure(kernel: Kernel, programs: &Programs, workload: &Workload) -> Result<Results> {
    eprintln!("lab: kernel {kernel}, {}: wall time in user-mode Linux …", workload.size);
    run(kernel, programs, programs.arguments(workload), MEMORY)
}

/// System calls, counted by strace.
pub(super) fn count_calls(kernel: Kernel, programs: &Programs, workload: &Workload) -> Result<Results> {
    eprintln!("lab: kernel {kernel}: system calls …");
    let strace = Cache::open()?.tools().join("lab-bin/strace");
    let mut arguments = programs.arguments(workload);
    arguments.push(format!("strace={}", strace.display()));
    run(kernel, programs, arguments, MEMORY)
}

/// A connection table of this number of entries is loaded.
pub(super) fn load(kernel: Kernel, programs: &Programs, entries: u32) -> Result<Results> {
    eprintln!("lab: kernel {kernel}, {entries} entries: wall time in user-mode Linux …");
    // Of services it has its own.
    let size = Size { services: 1, destinations: 1 };
    let workload = Workload { size, rounds: 1, additions: 0, reload: None, growth: false, watched: None };
    let mut arguments = programs.arguments(&workload);
    arguments.push(format!("load={entries}"));
    run(kernel, programs, arguments, MEMORY_OF_CONNECTIONS)
}

fn run(kernel: Kernel, programs: &Programs, arguments: Vec<String>, memory: u32) -> Result<Results> {
    let options = GuestOptions { kernel: Some(kernel), memory, env: Vec::new() };
    let mut stage = Stage::new(&options, &Tool::Ipvsadm)?;
    stage.keep(&programs.guest);
    programs.tools.iter().for_each(|(_, program)| stage.keep(program));
    let mut command = vec![programs.guest.display().to_string()];
    command.extend(arguments);
    let output = Capture::default();
    let limits = Limits { deadline: DEADLINE, out: Output::Capture(output.clone()), err: Output::Stderr };
    let ending = stage.run(command, Path::new("/"), Streams::Apart, &limits)?;
    let mut results = Results::read(&output.text());
    note(ending, &mut results);
    Ok(results)
}

/// `bench-guest` says itself what is wrong; a guest that fails can't.
fn note(ending: Ending, results: &mut Results) {
    match ending {
        Ending::Exited(_) => {}
        Ending::NotStarted(why) => results.fail(why),
        Ending::Unread => results.fail("its output could not be kept".into()),
        Ending::Deadline { console } => {
            show_console(&console);
            results.fail(format!("not done after {} s", DEADLINE.as_secs()));
        }
        Ending::Died { status, console } => {
            show_console(&console);
            results.fail(format!("the kernel died ({status})"));
        }
    }
}
