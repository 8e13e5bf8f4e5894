//! Tests that need a kernel.

pub mod behaviors;
pub mod case;
pub mod connection_table;
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

/// What kernels don't differ for. In the lab it is the oldest because each test makes and ends
/// network namespaces, and Linux 6.12 has died of many, in a thread of its own that estimates
/// rates.
pub fn on_one_kernel() -> bool {
    is_in_guest_of("6.1")
}

/// The same, where starting programs takes the time: the lab's newest kernel starts them fastest.
pub fn on_the_fastest_kernel() -> bool {
    is_in_guest_of("7.2")
}

/// Is this the lab's guest of that name, or no guest of the lab?
fn is_in_guest_of(kernel: &str) -> bool {
    std::env::var("LAB_KERNEL").map_or(true, |here| here == kernel)
}
