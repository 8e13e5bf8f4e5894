//! A process between the lab and a guest's kernel, so that the kernel never outlives the lab, not
//! even one that is killed.
//!
//! Older kernels of user-mode Linux trace a host process for each guest process. When such a kernel
//! is killed, these processes stay for ever, stopped: somebody must still be there to end the whole
//! process group.

use std::{
    env, fs,
    io::{self, Read},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::Path,
    process::{Command, ExitCode, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process_group, setrlimit, setsid};

use crate::error::{Context, Result};

/// Variable with the library to preload into the kernel, and only there.
pub(super) const PRELOAD: &str = "IPVS_LAB_PRELOAD";

/// The hidden subcommand: runs the kernel as long as its own stdin is open, which the lab holds,
/// and ends all of it then. `directory` is the guest's own.
pub(crate) fn supervise(directory: &Path, kernel: &Path, arguments: &[String]) -> Result<ExitCode> {
    // Out of reach of the terminal's keys: Ctrl-C is the lab's to handle.
    setsid().context(|| "begin a session".into())?;
    // A kernel that panics would write a core file of its whole memory.
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none).context(|| "forbid core files".into())?;
    let mut command = Command::new(kernel);
    command.args(arguments).stdin(Stdio::null()).process_group(0);
    if let Some(library) = env::var_os(PRELOAD) {
        command.env("LD_PRELOAD", library);
    }
    let mut child = command.spawn().context(|| format!("run {}", kernel.display()))?;
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let end_all = move || group.map(|group| kill_process_group(group, Signal::KILL));
    let abandoned = Arc::new(AtomicBool::new(false));
    let note = Arc::clone(&abandoned);
    thread::spawn(move || {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        note.store(true, Ordering::Relaxed);
        end_all()
    });
    let status = child.wait().context(|| "wait for the kernel".into())?;
    end_all(); // a panic leaves guest processes behind
    if abandoned.load(Ordering::Relaxed) {
        // The lab does this itself, unless it was killed.
        let _ = fs::remove_dir_all(directory);
    }
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    Ok(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX).into())
}
