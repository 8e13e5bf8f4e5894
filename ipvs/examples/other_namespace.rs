//! The director of another network namespace, such as a container's, and its settings. As root:
//!
//! ```sh
//! cargo run --example other_namespace -- blue
//! ```
//!
//! The namespace is a name as in `ip netns`, the number of a process, or a path. There are none in
//! memory: it always asks the kernel, with or without `--kernel`.

use std::env;
use std::error::Error;
use std::io::{self, Write};

use ipvs::{Client, netns::Namespace, sysctl::Sysctls};

fn main() -> Result<(), Box<dyn Error>> {
    let name = env::args().skip(1).find(|word| word != "--kernel").ok_or("give the network namespace")?;
    let namespace = name.parse()?;
    run(&namespace, &mut io::stdout())
}

/// Shows how many services it has, and its settings. This thread stays where it is.
pub(crate) fn run(namespace: &Namespace, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let mut director = Client::builder().namespace(namespace.clone()).connect()?;
    writeln!(out, "{namespace}: {} services", director.services_without_statistics()?.len())?;
    for (sysctl, value) in namespace.within(|| Sysctls::new().all())?? {
        writeln!(out, "{sysctl} = {value}")?;
    }
    Ok(())
}
