//! `cargo lab pc`: tests of marks where nftables and IPVS are in one kernel.
//!
//! The lab's kernels have no nftables. Debian's kernel for virtual machines has both, and runs on
//! an emulated PC: there the test program `marks` is all that there is, with what it calls, and
//! this program as process 1.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::Duration,
};

use clap::Args;
use rustix::{
    mount::{MountFlags, mount},
    system::{RebootCommand, reboot},
};

use crate::{
    bench::{initrd::Initrd, machines, pc::Pc},
    cache::Cache,
    error::{Context, Error, Result},
    guest,
    kernel::Kernel,
    packages,
    workspace::Workspace,
};

/// Far more than it takes, which is a minute.
const DEADLINE: Duration = Duration::from_secs(900);
const TESTS: &str = "marks";
const PROGRAMS: [&str; 2] = ["ip", "nft"];
const MODULES: [&str; 7] = ["ip_vs", "ip_vs_rr", "ip_vs_wlc", "nf_tables", "nft_ct", "nft_hash", "veth"];
/// The kernel puts parameters that it does not know into its process 1's environment: which test
/// program, and where the tools are.
const TESTS_VARIABLE: &str = "IPVS_LAB_PC_TESTS";
const TOOLS_VARIABLE: &str = "IPVS_LAB_PC_TOOLS";
/// The last line.
const ENDED: &str = "lab: the tests ended with status ";
/// nft names protocols by it.
const PROTOCOLS: &str = "tcp 6 TCP\nudp 17 UDP\nsctp 132 SCTP\n";

/// Arguments of `cargo lab pc`.
#[derive(Debug, Args)]
pub(crate) struct PcTests {
    /// Which of Debian's releases the kernel is of, by the lab's kernel of the same
    #[arg(long, value_enum, default_value = "6.1")]
    kernel: Kernel,
    /// Only tests with this in their names
    #[arg(value_name = "FILTER")]
    filter: Option<String>,
}

impl PcTests {
    /// Boots, and prints what the tests print.
    pub(crate) fn run(self) -> Result<ExitCode> {
        let cache = Cache::open()?;
        cache.ensure(&[self.kernel])?;
        machines::ensure(&cache, &[self.kernel])?;
        let tests = Workspace::find()?.build_kernel_tests()?.into_iter().find(|program| program.name == TESTS);
        let tests = tests.ok_or_else(|| Error::Missing(PathBuf::from(format!("test program {TESTS}"))))?.path;
        let directory = guest::job_directory()?;
        let initrd = directory.path().join("initrd");
        root_file_system(&cache, self.kernel, &tests)?.write(&initrd)?;
        let mut words = vec![
            format!("{TESTS_VARIABLE}={}", tests.display()),
            format!("{TOOLS_VARIABLE}={}", cache.tools().display()),
            "--".to_owned(),
        ];
        words.extend(self.filter);
        let pc = Pc { cache: &cache, kernel: self.kernel, initrd, is_timed: false, words };
        let mut status = None;
        let is_in_time = pc.run(directory.path(), DEADLINE, |line| {
            println!("{line}");
            status = status.or_else(|| line.strip_prefix(ENDED)?.parse().ok());
        })?;
        if !is_in_time {
            eprintln!("lab: not done after {} s", DEADLINE.as_secs());
        }
        Ok(if status == Some(0) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn root_file_system(cache: &Cache, kernel: Kernel, tests: &Path) -> Result<Initrd> {
    let mut initrd = Initrd::default();
    let this = env::current_exe().context(|| "find this program".into())?;
    initrd.add_program(&this)?;
    initrd.add_copy(&this, Path::new("/init"))?;
    initrd.add_program(tests)?;
    initrd.add_program(&machines::modprobe(cache))?;
    for name in PROGRAMS {
        initrd.add_program(&cache.tools().join("lab-bin").join(name))?;
    }
    for (file, at) in machines::module_files(cache, kernel, &MODULES)? {
        initrd.add_copy(&file, &at)?;
    }
    initrd.add_text(PROTOCOLS, Path::new("/etc/protocols"));
    Ok(initrd)
}

/// Does not return in an emulated PC's process 1; does nothing anywhere else.
pub(crate) fn init_if_process_1() {
    let Some(tests) = env::var_os(TESTS_VARIABLE).filter(|_| std::process::id() == 1) else { return };
    match prepare().and_then(|()| run_tests(tests)) {
        Ok(status) => println!("{ENDED}{status}"),
        Err(error) => println!("lab: {error}"),
    }
    let _ = reboot(RebootCommand::PowerOff);
    // Ending process 1 is a kernel panic, which is the right way to say that even this failed.
}

fn prepare() -> Result<()> {
    for (kind, path) in [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev")] {
        fs::create_dir_all(path).context(|| format!("make {path}"))?;
        let mounted = mount(kind, path, kind, MountFlags::empty(), None::<&std::ffi::CStr>);
        mounted.context(|| format!("mount {kind} on {path}"))?;
    }
    for path in ["/tmp", "/run"] {
        fs::create_dir_all(path).context(|| format!("make {path}"))?;
    }
    packages::run(Command::new(tools().join("lab-kmod/modprobe")).arg("-a").args(MODULES))
}

fn tools() -> PathBuf {
    env::var_os(TOOLS_VARIABLE).unwrap_or_default().into()
}

fn run_tests(program: OsString) -> Result<i32> {
    let mut tests = Command::new(&program);
    tests.args(["--color=never", "--test-threads=1"]).args(env::args_os().skip(1)).env("PATH", tools().join("lab-bin"));
    let status = tests.status().context(|| format!("run {}", program.display()))?;
    Ok(status.code().unwrap_or(-1))
}
