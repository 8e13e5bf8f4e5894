//! Tests that need a kernel.

pub mod behaviors;
pub mod case;
pub mod contents;
pub mod diff;
mod directors;
pub mod harness;
pub mod network;
pub mod record;
pub mod runner;
pub mod sandbox;
pub mod system;
pub mod target;
pub mod text;
pub mod traffic;
pub mod waits;
pub mod words;

/// What most tests are tried on.
pub fn on_every_kernel() -> bool {
    true
}

/// What kernels don't differ for. It is the oldest because each test makes and ends network namespaces, and Linux 6.12 has died of
/// many, in a thread of its own that estimates rates.
pub fn on_one_kernel() -> bool {
    ipvs::KernelVersion::running() == ipvs::KernelVersion { major: 6, minor: 1 }
}

/// The first number of the running kernel's version.
///
/// # Panics
/// When there is no /proc.
pub fn kernel_major() -> u32 {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("/proc is mounted");
    release.split('.').next().and_then(|major| major.parse().ok()).expect("a kernel release starts with a number")
}
