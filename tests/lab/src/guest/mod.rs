//! A guest: a real kernel as an ordinary process. Its root directory is a small Debian from the
//! lab's cache, and of this machine it has, read-only, only what the job names.
//!
//! [`boot`] is the host's side, [`init`] is process 1 of the guest (this same program), [`job`] is
//! what the one sends the other. They talk through three of user-mode Linux's consoles, each tied
//! to a pipe:
//!
//! | console | guest | carries |
//! |---|---|---|
//! | 0 | `/dev/tty0` | the kernel's messages and, as a line of its own, how the job ended |
//! | 1 | `/dev/tty1` | the job's stdout (and keyboard, in a shell) |
//! | 2 | `/dev/tty2` | the job's stderr |

mod blocked;
mod boot;
mod console;
mod init;
mod job;
mod relay;
mod supervisor;

pub(crate) use boot::{Boot, Ending, input_file, job_directory, own_program};
pub(crate) use console::last_words;
pub(crate) use init::{SCRATCH, exec_in_session, init_if_process_1, make_scratch, mount_system};
pub(crate) use job::{Job, Streams};
pub(crate) use relay::{Capture, Output};
pub(crate) use supervisor::supervise;
