//! The client that keeps its thread waiting.

use ipvs::Client;

#[path = "suite.rs"]
mod suite;
