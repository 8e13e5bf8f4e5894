//! An emulated PC whose time is the number of instructions it has executed.

use std::{
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use super::{
    Programs, Workload,
    initrd::Initrd,
    machines::{self, Machine},
    peer::Peer,
    results::Results,
};
use crate::{
    cache::Cache,
    error::{Context, Error, Result},
    guest,
    kernel::{Architecture, Kernel},
    signals,
};

/// Emulation takes some 15 ns an instruction, and a large table some thousand million of them.
const DEADLINE: Duration = Duration::from_secs(3600);
/// The modules to load: the others are loaded with them.
const MODULES: [&str; 5] = ["ip_vs", "ip_vs_rr", "nlmon", "sch_ingress", "cls_bpf"];
const TICK: Duration = Duration::from_millis(200);

/// Boots a PC and measures.
pub(super) fn measure(cache: &Cache, kernel: Kernel, programs: &Programs, workload: &Workload) -> Result<Results> {
    let machine = Machine::ordinary(kernel);
    let directory = guest::job_directory()?;
    let initrd = directory.path().join("initrd");
    root_file_system(cache, machine, programs)?.write(&initrd)?;
    // A constant layout in memory, a clock that needs no calibration, no records of what happens.
    let line = "loglevel=1 tsc=reliable no_timer_check nokaslr norandmaps audit=0 -- bench-guest";
    let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    words.extend(programs.arguments(workload));
    words.push(format!("modprobe={}", machines::modprobe(cache).display()));
    words.push(format!("ip={}", cache.ip().display()));
    words.extend(programs.peer.iter().map(Peer::argument));
    let pc = Pc { cache, machine, initrd, is_timed: true, has_kvm: false, memory: 1024, words };
    pc.measure(directory.path(), workload)
}

/// `bench-guest` as process 1, what it runs, and the modules.
fn root_file_system(cache: &Cache, machine: Machine, programs: &Programs) -> Result<Initrd> {
    let mut initrd = Initrd::default();
    initrd.add_copy(&programs.guest, Path::new("/init"))?;
    for program in programs.tools.iter().map(|(_, program)| program).chain(&programs.follow) {
        initrd.add_program(program)?;
    }
    initrd.add_program(&machines::modprobe(cache))?;
    initrd.add_program(&cache.ip())?;
    if let Some(peer) = &programs.peer {
        peer.add_to(&mut initrd)?;
    }
    for (file, at) in machines::module_files(cache, machine, &MODULES)? {
        initrd.add_copy(&file, &at)?;
    }
    Ok(initrd)
}

/// A PC about to be switched on.
pub(crate) struct Pc<'a> {
    pub(crate) cache: &'a Cache,
    pub(crate) machine: Machine,
    pub(crate) initrd: PathBuf,
    /// Its time is the number of instructions it has executed.
    pub(crate) is_timed: bool,
    /// This machine's processor runs it, by KVM.
    pub(crate) has_kvm: bool,
    /// In megabytes.
    pub(crate) memory: u32,
    /// Words of the kernel's command line; what is behind `--` is for its process 1.
    pub(crate) words: Vec<String>,
}

impl Pc<'_> {
    fn measure(&self, directory: &Path, workload: &Workload) -> Result<Results> {
        let start = Instant::now();
        let mut results = Results::default();
        let is_in_time = self.run(directory, DEADLINE, |line| {
            if let Some(progress) = results.take(line) {
                let (kernel, size, seconds) = (self.machine.kernel, workload.size, start.elapsed().as_secs());
                eprintln!("lab: kernel {kernel}, {size}: {progress} ({seconds} s)");
            }
        })?;
        if !is_in_time {
            results.fail(format!("not done after {} s", DEADLINE.as_secs()));
        }
        Ok(results)
    }

    /// Runs it until it is off, or past the deadline, and hands its lines to `take`. Gives whether
    /// it was in time.
    pub(crate) fn run(&self, directory: &Path, deadline: Duration, mut take: impl FnMut(&str)) -> Result<bool> {
        let mut machine = self.start(directory)?;
        let lines = read_lines(machine.child.stdout.take());
        let start = Instant::now();
        loop {
            signals::check()?;
            match lines.recv_timeout(TICK) {
                Ok(line) => take(line.trim_end()),
                Err(RecvTimeoutError::Disconnected) => return Ok(true),
                Err(RecvTimeoutError::Timeout) if start.elapsed() > deadline => return Ok(false),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Below a supervisor, so that it never outlives the lab.
    fn start(&self, directory: &Path) -> Result<Running> {
        let this = guest::own_program(directory)?;
        let tree = self.machine.emulator_tree(self.cache);
        let mut command = Command::new(this);
        command.arg("supervise").arg(directory).arg(self.machine.emulator(self.cache)).args(self.emulator_arguments()?);
        command.env("QEMU_MODULE_DIR", tree.join("usr/lib/x86_64-linux-gnu/qemu"));
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        Ok(Running { child: child.context(|| "start the emulator".into())? })
    }

    fn emulator_arguments(&self) -> Result<Vec<String>> {
        let tree = self.machine.emulator_tree(self.cache);
        let share = |name: &str| tree.join("usr/share").join(name).display().to_string();
        let kernel = self.machine.kernel_tree(self.cache).join("vmlinuz");
        let (kernel, initrd) = (kernel.display().to_string(), self.initrd.display().to_string());
        let (qemu, seabios, line) = (share("qemu"), share("seabios"), self.kernel_command_line()?);
        let memory = format!("{}M", self.memory);
        let mut words = vec!["-L", &qemu, "-L", &seabios, "-smp", "1", "-m", &memory];
        words.extend(processor(self.machine.architecture, self.has_kvm));
        if self.is_timed {
            // One instruction is one nanosecond; when the PC is idle its time jumps to the next
            // timer.
            words.extend(["-icount", "shift=0,sleep=off,align=off"]);
        }
        let board = match self.machine.architecture {
            Architecture::Amd64 => "q35,usb=off,smbus=off,sata=off",
            Architecture::Arm64 => "virt",
        };
        words.extend(["-machine", board, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
        words.extend(["-serial", "stdio", "-kernel", &kernel, "-initrd", &initrd, "-append", &line]);
        Ok(words.into_iter().map(str::to_owned).collect())
    }

    fn kernel_command_line(&self) -> Result<String> {
        let console = match self.machine.architecture {
            Architecture::Amd64 => "ttyS0",
            Architecture::Arm64 => "ttyAMA0",
        };
        let mut line = format!("console={console} quiet panic=-1 rdinit=/init");
        for word in &self.words {
            if word.contains(|c: char| c.is_whitespace() || "\"'\\".contains(c)) {
                return Err(Error::PathForKernel(word.into()));
            }
            line.push(' ');
            line.push_str(word);
        }
        Ok(line)
    }
}

/// What the emulator is told about the processor.
fn processor(of: Architecture, has_kvm: bool) -> [&'static str; 4] {
    let (accelerator, kind) = match of {
        _ if has_kvm => ("kvm", "host"),
        // Without "enhanced rep movsb", which the emulator counts by the byte.
        Architecture::Amd64 => ("tcg,thread=single", "max,-erms"),
        // All that newer ones have to emulate would only be slower.
        Architecture::Arm64 => ("tcg,thread=single", "cortex-a57"),
    };
    ["-accel", accelerator, "-cpu", kind]
}

/// A running PC, switched off when dropped.
struct Running {
    child: Child,
}

impl Drop for Running {
    fn drop(&mut self) {
        // Closes its stdin, which is the supervisor's sign.
        let _ = self.child.wait();
    }
}

fn read_lines(console: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let Some(console) = console else { return };
        for line in BufReader::new(console).split(b'\n').map_while(std::io::Result::ok) {
            if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                return;
            }
        }
    });
    receiver
}
