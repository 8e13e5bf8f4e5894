//! Boots real kernels.
fn main() {}
