//! The kernels of the lab and the Debian releases that package them.

use std::fmt;

use clap::ValueEnum;

/// A kernel the lab can boot, named by its series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Kernel {
    /// Long-term kernel of Debian bullseye, which mirrors drop one day.
    #[value(name = "5.10")]
    V5_10,
    /// Long-term kernel of Debian bookworm.
    #[value(name = "6.1")]
    V6_1,
    /// Long-term kernel of Debian trixie.
    #[value(name = "6.12")]
    V6_12,
    /// The kernel of Debian sid.
    #[value(name = "7.2")]
    V7_2,
    /// The newest of trixie-backports, which has no user-mode Linux: for emulated PCs only.
    #[value(skip)]
    V7_3,
}

impl Kernel {
    /// All that are user-mode Linux, oldest first.
    pub(crate) const ALL: [Self; 4] = [Self::V5_10, Self::V6_1, Self::V6_12, Self::V7_2];

    /// The series, as `--kernel` and the guest's `LAB_KERNEL` spell it.
    pub(crate) fn series(self) -> &'static str {
        match self {
            Self::V5_10 => "5.10",
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
            Self::V7_2 => "7.2",
            Self::V7_3 => "7.3",
        }
    }

    /// The Debian release whose package `user-mode-linux` is this kernel.
    pub(crate) fn suite(self) -> Suite {
        match self {
            Self::V5_10 => Suite::Bullseye,
            Self::V6_1 => Suite::Bookworm,
            Self::V6_12 => Suite::Trixie,
            Self::V7_2 => Suite::Sid,
            Self::V7_3 => Suite::TrixieBackports,
        }
    }

    /// Whether the kernel loads the module `ip_vs` when a program asks for IPVS. That of Linux 5.10
    /// does not say that it is what the program asks for.
    pub(crate) fn loads_ipvs_itself(self) -> bool {
        self > Self::V5_10
    }

    /// Whether `iptables-legacy` works: Debian builds newer kernels without the old tables.
    pub(crate) fn has_legacy_iptables(self) -> bool {
        self < Self::V7_2
    }

    /// Whether the kernel writes its processes' registers with a buffer too small for CPUs with
    /// AMX; see `xstate.c`.
    pub(crate) fn has_small_register_buffer(self) -> bool {
        self < Self::V7_2
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.series())
    }
}

/// A kernel that an emulated PC can boot: one of Debian's for virtual machines.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum PcKernel {
    /// Of Debian bullseye.
    #[value(name = "5.10")]
    V5_10,
    /// Of Debian bookworm.
    #[value(name = "6.1")]
    V6_1,
    /// Of Debian trixie.
    #[value(name = "6.12")]
    V6_12,
    /// The newest of trixie-backports.
    #[value(name = "7.3")]
    V7_3,
}

impl From<PcKernel> for Kernel {
    fn from(kernel: PcKernel) -> Self {
        match kernel {
            PcKernel::V5_10 => Self::V5_10,
            PcKernel::V6_1 => Self::V6_1,
            PcKernel::V6_12 => Self::V6_12,
            PcKernel::V7_3 => Self::V7_3,
        }
    }
}

/// A processor that an emulated PC can have, and that Debian's packages are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Architecture {
    /// As most servers have.
    #[value(name = "x86_64")]
    Amd64,
    /// 64-bit ARM.
    #[value(name = "aarch64")]
    Arm64,
}

impl Architecture {
    /// This machine's, if it is one of them.
    pub(crate) fn host() -> Option<Self> {
        Self::value_variants().iter().copied().find(|one| one.machine() == std::env::consts::ARCH)
    }

    /// The name that Linux has for it.
    pub(crate) fn machine(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64",
            Self::Arm64 => "aarch64",
        }
    }

    /// The name that Debian has for it.
    pub(crate) fn debian(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }
}

/// A Debian release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Suite {
    /// Debian 11: kernel 5.10.
    Bullseye,
    /// Debian 12: kernel 6.1 and all tools.
    Bookworm,
    /// Debian 13: kernel 6.12.
    Trixie,
    /// What is newer than Debian 13's and made for it: kernel 7.3, and the sources of newer Rusts.
    TrixieBackports,
    /// The rolling release: kernel 7.2.
    Sid,
}

impl Suite {
    /// The name in the archive.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bullseye => "bullseye",
            Self::Bookworm => "bookworm",
            Self::Trixie => "trixie",
            Self::TrixieBackports => "trixie-backports",
            Self::Sid => "sid",
        }
    }

    /// The release whose packages it adds to.
    pub(crate) fn base(self) -> Option<Self> {
        (self == Self::TrixieBackports).then_some(Self::Trixie)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_mode_kernels_can_be_chosen_by_their_series() {
        let named = |kernel: Kernel| Kernel::from_str(kernel.series(), false);
        assert!(Kernel::ALL.into_iter().all(|kernel| named(kernel) == Ok(kernel)));
        assert!(named(Kernel::V7_3).is_err(), "it is no user-mode Linux");
    }

    #[test]
    fn pc_kernels_have_the_series_by_which_they_are_chosen() {
        for kernel in PcKernel::value_variants() {
            assert_eq!(kernel.to_possible_value().unwrap().get_name(), Kernel::from(*kernel).series());
        }
    }
}
