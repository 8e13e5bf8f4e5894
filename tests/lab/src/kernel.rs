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
    /// The kernel of Debian sid, the newest there is.
    #[value(name = "7.2")]
    V7_2,
}

impl Kernel {
    /// All kernels, oldest first.
    pub(crate) const ALL: [Self; 4] = [Self::V5_10, Self::V6_1, Self::V6_12, Self::V7_2];

    /// The series, as `--kernel` and the guest's `LAB_KERNEL` spell it.
    pub(crate) fn series(self) -> &'static str {
        match self {
            Self::V5_10 => "5.10",
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
            Self::V7_2 => "7.2",
        }
    }

    /// The Debian release whose package `user-mode-linux` is this kernel.
    pub(crate) fn suite(self) -> Suite {
        match self {
            Self::V5_10 => Suite::Bullseye,
            Self::V6_1 => Suite::Bookworm,
            Self::V6_12 => Suite::Trixie,
            Self::V7_2 => Suite::Sid,
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

/// A Debian release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Suite {
    /// Debian 11: kernel 5.10.
    Bullseye,
    /// Debian 12: kernel 6.1 and all tools.
    Bookworm,
    /// Debian 13: kernel 6.12.
    Trixie,
    /// What is newer than Debian 13's and made for it, such as the sources of newer Rusts.
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
}
