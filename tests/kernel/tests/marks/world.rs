//! A network of its own for each test, or the reason why there is none.

use kernel_tests::sandbox;
use libtest_mimic::{Completion, Failed};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};
use std::{fs, thread};

/// A test: it may find out that this machine lacks something.
pub(crate) type Test = fn() -> Result<(), Lacking>;

/// What this machine or its kernel lacks.
#[derive(Clone, Debug)]
pub(crate) struct Lacking(pub(crate) String);

/// Becomes root of a user namespace, unless the process is root already. Call it before there is a
/// second thread.
pub(crate) fn enter() -> Result<(), Lacking> {
    let (user, group) = (geteuid(), getegid());
    if user.is_root() {
        return Ok(());
    }
    let refused = |error: &dyn std::fmt::Display| Lacking(format!("no user namespace for an ordinary user: {error}"));
    unshare(CloneFlags::CLONE_NEWUSER).map_err(|error| refused(&error))?;
    let write =
        |name: &str, text: String| fs::write(format!("/proc/self/{name}"), text).map_err(|error| refused(&error));
    write("setgroups", "deny".into())?;
    write("uid_map", format!("0 {user} 1"))?;
    write("gid_map", format!("0 {group} 1"))
}

/// Runs a test in a network of its own.
pub(crate) fn run(allowed: Result<(), Lacking>, test: Test) -> Result<Completion, Failed> {
    // Namespaces belong to a thread.
    let in_thread = || {
        allowed?;
        sandbox::enter_network().map_err(|error| Lacking(error.to_string()))?;
        test()
    };
    match thread::scope(|scope| scope.spawn(in_thread).join()) {
        Ok(Ok(())) => Ok(Completion::Completed),
        Ok(Err(Lacking(why))) => {
            println!("not tested: {why}");
            Ok(Completion::ignored_with(why))
        }
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            Err(text.unwrap_or("it panicked").into())
        }
    }
}
