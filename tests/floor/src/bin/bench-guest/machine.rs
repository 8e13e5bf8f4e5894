//! Process 1 of an emulated PC that has nothing but this program: file systems, modules, and the
//! way out.

use std::{env, fs, path::Path, process::Command, thread, time::Duration};

use nix::{
    mount::{MsFlags, mount},
    sys::reboot::{RebootMode, reboot},
};

/// The kernel's own work after booting would be in the first figures.
const SETTLE: Duration = Duration::from_secs(3);

/// The kernel passes parameters that it does not know to process 1; those of this program follow
/// this word.
const ARGUMENTS_FOLLOW: &str = "bench-guest";

/// Our part of the kernel's command line.
pub(crate) fn arguments() -> impl Iterator<Item = String> {
    env::args().skip_while(|argument| argument != ARGUMENTS_FOLLOW).skip(1)
}

/// Does the work and powers off, whatever comes of it.
pub(crate) fn run(work: impl FnOnce() -> Result<bool, String>) -> ! {
    crate::conclude(work());
    nix::unistd::sync();
    let refused = reboot(RebootMode::RB_POWER_OFF);
    println!("wrong power-off bench-guest: {refused:?}");
    loop {
        thread::park();
    }
}

/// Mounts what programs expect and loads IPVS.
pub(crate) fn prepare(modprobe: &Path) -> Result<(), String> {
    for (kind, place) in [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev")] {
        fs::create_dir_all(place).map_err(|error| format!("cannot make {place}: {error}"))?;
        mount(Some(kind), place, Some(kind), MsFlags::empty(), None::<&str>)
            .map_err(|error| format!("cannot mount {place}: {error}"))?;
    }
    // No mounts: the whole root is memory, and this machine's programs may be below /tmp too. In
    // /run is the lock of `apply`.
    for place in ["/tmp", "/run"] {
        fs::create_dir_all(place).map_err(|error| format!("cannot make {place}: {error}"))?;
    }
    let output = Command::new(modprobe).args(["-a", "ip_vs", "ip_vs_rr", "nlmon", "sch_ingress", "cls_bpf"]).output();
    let output = output.map_err(|error| format!("cannot run {}: {error}", modprobe.display()))?;
    if !output.status.success() {
        return Err(format!("modprobe: {} {}", output.status, String::from_utf8_lossy(&output.stderr)));
    }
    thread::sleep(SETTLE);
    Ok(())
}
