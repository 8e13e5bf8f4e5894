//! The client for tokio.

use ipvs::KernelVersion;
use kernel_tests::waits::Waits as Client;

/// Kernels don't differ for it, so one does. It is the oldest because each test makes and ends a network namespace, and Linux
/// 6.12 has died of that many, in a thread of its own that estimates rates.
fn is_tried_here() -> bool {
    KernelVersion::running() == KernelVersion { major: 6, minor: 1 }
}

#[path = "suite.rs"]
#[expect(clippy::duplicate_mod, reason = "the same tests for another client")]
mod suite;
