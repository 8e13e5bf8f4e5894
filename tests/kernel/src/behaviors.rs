//! What the running kernel does where kernels differ. It is probed: a point release may do
//! otherwise than the one before.

use std::sync::OnceLock;

use ipvs::{Behaviors, KernelVersion, sysctl::Sysctl};

/// Each behaviour, and what is said of a kernel that has it, and of one that has not.
const SENTENCES: [(Behaviors, &str, &str); 3] = [
    (
        Behaviors::SIGNED_UPPER_THRESHOLD,
        "upper thresholds above 2^31-1 are refused",
        "upper thresholds above 2^31-1 are accepted",
    ),
    (
        Behaviors::CONNECTION_TABLE_ON_DEMAND,
        "the connection table is made on demand",
        "the connection table is always there",
    ),
    (Behaviors::TUNNEL_KINDS, "kinds of tunnels are kept", "kinds of tunnels are ignored"),
];

/// What this kernel does.
///
/// # Panics
/// It can't be asked: run as root on a kernel with ip_vs, as the lab's guest does.
pub fn of_this_kernel() -> Behaviors {
    static PROBED: OnceLock<Behaviors> = OnceLock::new();
    *PROBED.get_or_init(|| Behaviors::probe().unwrap_or_else(|error| panic!("the kernel's behaviours: {error}")))
}

/// Prints in what this kernel differs from the default of its version, and what of it is not known,
/// for the lab's summary.
pub fn report() {
    let differences = differences(of_this_kernel(), Behaviors::of_running_version());
    if !differences.is_empty() {
        let version = KernelVersion::running();
        println!("figures: kernel {}: {}, unlike what is known of {version}", release(), differences.join(", "));
    }
    let unknown = unknown_sysctls();
    if !unknown.is_empty() {
        println!("figures: kernel {}: sysctls that are not known: {}", release(), unknown.join(", "));
    }
}

/// The settings of this kernel's IPVS that the library has no name for.
fn unknown_sysctls() -> Vec<String> {
    let files = std::fs::read_dir("/proc/sys/net/ipv4/vs").into_iter().flatten().flatten();
    let names = files.map(|file| file.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.parse::<Sysctl>().is_err()).collect()
}

fn differences(found: Behaviors, expected: Behaviors) -> Vec<&'static str> {
    let differing = SENTENCES.into_iter().filter(|(behavior, ..)| (found ^ expected).contains(*behavior));
    differing.map(|(behavior, has, has_not)| if found.contains(behavior) { has } else { has_not }).collect()
}

fn release() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_difference_has_a_sentence() {
        for behavior in Behaviors::all() {
            let [has, has_not] = [(behavior, Behaviors::empty()), (Behaviors::empty(), behavior)];
            let said = [has, has_not].map(|(found, expected)| differences(found, expected));
            assert!(said.iter().all(|said| said.len() == 1) && said[0] != said[1], "{behavior}: {said:?}");
        }
        assert!(differences(Behaviors::all(), Behaviors::all()).is_empty());
    }
}
