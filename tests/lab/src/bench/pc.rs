//! An emulated PC whose time is the number of instructions it has executed.

use std::{
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use super::{Programs, Workload, initrd::Initrd, machines, results::Results};
use crate::{
    cache::Cache,
    error::{Context, Error, Result},
    guest,
    kernel::Kernel,
    signals,
};

/// Emulation takes some 15 ns an instruction, and a large table some thousand million of them.
const DEADLINE: Duration = Duration::from_secs(3600);
const TICK: Duration = Duration::from_millis(200);

/// Boots a PC and measures.
pub(super) fn measure(cache: &Cache, kernel: Kernel, programs: &Programs, workload: &Workload) -> Result<Results> {
    let directory = guest::job_directory()?;
    let initrd = directory.path().join("initrd");
    root_file_system(cache, kernel, programs)?.write(&initrd)?;
    let mut arguments = programs.arguments(workload);
    arguments.push(format!("modprobe={}", machines::modprobe(cache).display()));
    let pc = Pc { cache, kernel, initrd, arguments };
    pc.run(directory.path(), workload)
}

/// `bench-guest` as process 1, what it runs, and the modules.
fn root_file_system(cache: &Cache, kernel: Kernel, programs: &Programs) -> Result<Initrd> {
    let mut initrd = Initrd::default();
    initrd.add_copy(&programs.guest, Path::new("/init"))?;
    for (_, program) in &programs.tools {
        initrd.add_program(program)?;
    }
    initrd.add_program(&machines::modprobe(cache))?;
    for (file, at) in machines::module_files(cache, kernel)? {
        initrd.add_copy(&file, &at)?;
    }
    Ok(initrd)
}

/// A PC about to be switched on.
struct Pc<'a> {
    cache: &'a Cache,
    kernel: Kernel,
    initrd: PathBuf,
    /// For `bench-guest`.
    arguments: Vec<String>,
}

impl Pc<'_> {
    fn run(&self, directory: &Path, workload: &Workload) -> Result<Results> {
        let mut machine = self.start(directory)?;
        let lines = read_lines(machine.child.stdout.take());
        let start = Instant::now();
        let mut results = Results::default();
        loop {
            signals::check()?;
            match lines.recv_timeout(TICK) {
                Ok(line) => {
                    if let Some(progress) = results.take(line.trim_end()) {
                        let (kernel, size, seconds) = (self.kernel, workload.size, start.elapsed().as_secs());
                        eprintln!("lab: kernel {kernel}, {size}: {progress} ({seconds} s)");
                    }
                }
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) if start.elapsed() > DEADLINE => {
                    results.fail(format!("not done after {} s", DEADLINE.as_secs()));
                    break;
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
        Ok(results)
    }

    /// Below a supervisor, so that it never outlives the lab.
    fn start(&self, directory: &Path) -> Result<Machine> {
        let this = guest::own_program(directory)?;
        let tree = machines::emulator_tree(self.cache);
        let mut command = Command::new(this);
        command.arg("supervise").arg(directory).arg(machines::emulator(self.cache)).args(self.emulator_arguments()?);
        command.env("QEMU_MODULE_DIR", tree.join("usr/lib/x86_64-linux-gnu/qemu"));
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        Ok(Machine { child: child.context(|| "start the emulator".into())? })
    }

    fn emulator_arguments(&self) -> Result<Vec<String>> {
        let tree = machines::emulator_tree(self.cache);
        let share = |name: &str| tree.join("usr/share").join(name).display().to_string();
        let kernel = machines::kernel_tree(self.cache, self.kernel).join("vmlinuz");
        let (kernel, initrd) = (kernel.display().to_string(), self.initrd.display().to_string());
        let (qemu, seabios, line) = (share("qemu"), share("seabios"), self.kernel_command_line()?);
        let mut words = vec!["-L", &qemu, "-L", &seabios];
        // One instruction is one nanosecond; when the PC is idle its time jumps to the next timer.
        words.extend(["-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off,align=off", "-smp", "1"]);
        // Without "enhanced rep movsb", which the emulator counts by the byte.
        words.extend(["-machine", "q35,usb=off,smbus=off,sata=off", "-cpu", "max,-erms", "-m", "1024M"]);
        words.extend(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio"]);
        words.extend(["-kernel", &kernel, "-initrd", &initrd, "-append", &line]);
        Ok(words.into_iter().map(str::to_owned).collect())
    }

    fn kernel_command_line(&self) -> Result<String> {
        // A constant layout in memory, a clock that needs no calibration, no records of what happens.
        let mut line = "console=ttyS0 quiet loglevel=1 panic=-1 rdinit=/init tsc=reliable no_timer_check nokaslr \
                        norandmaps audit=0 -- bench-guest"
            .to_owned();
        for argument in &self.arguments {
            if argument.contains(|c: char| c.is_whitespace() || "\"'\\".contains(c)) {
                return Err(Error::PathForKernel(argument.into()));
            }
            line.push(' ');
            line.push_str(argument);
        }
        Ok(line)
    }
}

/// A running PC, switched off when dropped.
struct Machine {
    child: Child,
}

impl Drop for Machine {
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
