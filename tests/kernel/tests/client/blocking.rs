//! The client that keeps its thread waiting.

use ipvs::Client;
use kernel_tests::on_every_kernel as is_tried_here;

#[path = "suite.rs"]
mod suite;
