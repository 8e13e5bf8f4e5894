//! Who uses the kernel's module, as sysfs shows it.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use crate::kernel::KernelVersion;
use crate::name::Scheduler;

const MODULES: &str = "/sys/module";

/// Modules that need the kernel's, and are no persistence engines, beside those of schedulers.
const HELPERS: [&str; 2] = ["ip_vs_ftp", "xt_ipvs"];

/// What refers to the kernel's module: each service of each network namespace does once, each sync
/// daemon, and other modules. Whatever else does so only makes it more.
#[derive(Debug)]
pub(crate) struct ModuleUsers {
    /// None of an in-memory kernel, which counts by itself.
    references: Option<File>,
    /// How often other modules refer to it, at least.
    modules: usize,
}

impl ModuleUsers {
    /// `None` where sysfs does not tell, there is a module that may be a persistence engine, or the
    /// kernel is newer than this crate, and may count otherwise.
    pub(crate) fn find() -> Option<Self> {
        if KernelVersion::running() > KernelVersion::NEWEST {
            return None;
        }
        // Not there if IPVS is built into the kernel, or nothing is mounted.
        let references = File::open(format!("{MODULES}/ip_vs/refcnt")).ok()?;
        Some(ModuleUsers { references: Some(references), modules: by_modules()? })
    }

    /// Those of an in-memory kernel.
    pub(crate) fn none() -> Self {
        ModuleUsers { references: None, modules: 0 }
    }

    pub(crate) fn modules(&self) -> usize {
        self.modules
    }

    /// Do other modules still refer to it so often? None was a persistence engine meanwhile.
    pub(crate) fn are_the_same(&self) -> bool {
        self.references.is_none() || by_modules() == Some(self.modules)
    }

    /// The number of references now.
    pub(crate) fn references(&self) -> Option<usize> {
        let mut text = [0; 24];
        let length = self.references.as_ref()?.read_at(&mut text, 0).ok()?;
        std::str::from_utf8(text.get(..length)?).ok()?.trim_end().parse().ok()
    }
}

/// How often other modules refer to the kernel's; `None` if one comes or goes, or may be a
/// persistence engine.
fn by_modules() -> Option<usize> {
    let mut references = 0;
    for entry in fs::read_dir(format!("{MODULES}/ip_vs/holders")).ok()? {
        let name = entry.ok()?.file_name();
        let name = name.to_str()?;
        references += references_of(name)?;
        if fs::read(format!("{MODULES}/{name}/initstate")).ok()? != b"live\n" {
            return None;
        }
    }
    Some(references)
}

/// A module refers to the other whose functions it calls, and a scheduler once more, as it
/// registers.
fn references_of(module: &str) -> Option<usize> {
    let scheduler = module.strip_prefix("ip_vs_").and_then(|name| name.parse::<Scheduler>().ok());
    match scheduler {
        Some(name) if Scheduler::IN_TREE.contains(&name) => Some(2),
        _ => HELPERS.contains(&module).then_some(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_an_engine_is_not_counted() {
        for (module, expected) in [
            ("ip_vs_rr", Some(2)),
            ("ip_vs_ftp", Some(1)),
            ("ip_vs_pe_sip", None),
            ("ip_vs_fastest", None),
            ("sip", None),
        ] {
            assert_eq!(references_of(module), expected, "{module}");
        }
    }
}
