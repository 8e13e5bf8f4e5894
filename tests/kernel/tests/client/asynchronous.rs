//! The client for tokio.

use kernel_tests::on_one_kernel as is_tried_here;
use kernel_tests::waits::Waits as Client;

#[path = "suite.rs"]
#[expect(clippy::duplicate_mod, reason = "the same tests for another client")]
mod suite;
