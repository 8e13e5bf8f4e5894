//! A network namespace with our program in it.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use ipvs::{Client, Destination, Forwarding, Scheduler, Service, ServiceKey, Table, Weight, change::Planner};
use kernel_tests::sandbox;
use kernel_tests::target::Target;

/// One for each test: a network namespace belongs to a thread, and goes with it.
pub(crate) struct World {
    pub(crate) client: Client,
}

/// What a call did. The status of one that ended by a signal is 128 and the signal, as a shell has
/// it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Done {
    fn from(Output { status, stdout, stderr }: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let status = status.code().unwrap_or_else(|| 128 + status.signal().unwrap());
        Done { status, stdout: text(stdout), stderr: text(stderr) }
    }
}

impl World {
    pub(crate) fn new() -> Self {
        sandbox::enter_network().unwrap_or_else(|error| panic!("{error}"));
        World { client: Client::connect().unwrap() }
    }

    /// Brings the director to this table, by the library.
    pub(crate) fn hold(&mut self, table: &Table) {
        self.client.reconcile(table, &Planner::new().only_services()).unwrap();
    }

    /// Makes this address one that no packet can be sent to, but that looks like any other.
    pub(crate) fn has_no_host(&self, address: &str) {
        let route = ["route", "add", "broadcast", address, "dev", "lo", "table", "local"];
        assert!(Command::new("ip").args(route).status().unwrap().success());
    }

    pub(crate) fn holds(&mut self, table: &Table) -> bool {
        Planner::new().only_services().plan(&self.client.table().unwrap(), table).is_empty()
    }

    /// Runs `ipvs-cli` with these arguments and this input.
    pub(crate) fn run(&self, arguments: &str, input: &str) -> Done {
        run(arguments, input)
    }

    /// The same, while strace does this to its system calls.
    pub(crate) fn injecting(&self, inject: &str, arguments: &str, input: &str) -> Done {
        let mut command = strace(&[&format!("inject={inject}")], "/dev/null");
        command.arg(program()).args(arguments.split(' '));
        self.start(command, input).wait_with_output().unwrap().into()
    }

    /// Starts a program with this input, which it need not read.
    pub(crate) fn start(&self, command: Command, input: &str) -> Child {
        start(command, input)
    }
}

/// Runs `ipvs-cli` with these arguments and this input in this thread's namespace.
pub(crate) fn run(arguments: &str, input: &str) -> Done {
    start(ipvs_cli(arguments), input).wait_with_output().unwrap().into()
}

/// Starts a program with this input, which it need not read, in this thread's namespace.
pub(crate) fn start(mut command: Command, input: &str) -> Child {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child
}

pub(crate) fn program() -> PathBuf {
    Target::IpvsCli.program().unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn ipvs_cli(arguments: &str) -> Command {
    let mut command = Command::new(program());
    command.arg0("ipvs-cli").args(arguments.split(' '));
    command
}

/// strace, with these expressions, to be followed by a program.
pub(crate) fn strace(expressions: &[&str], log: &str) -> Command {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", log]);
    expressions.iter().for_each(|expression| {
        command.args(["-e", expression]);
    });
    command
}

/// How often a run calls this system call.
pub(crate) fn calls(world: &World, call: &str, arguments: &str, input: &str) -> usize {
    let log = scratch("calls");
    let mut command = strace(&[&format!("trace={call}")], &log);
    command.arg(program()).args(arguments.split(' '));
    world.start(command, input).wait_with_output().unwrap();
    let calls = fs::read_to_string(&log).unwrap().lines().filter(|line| line.contains(&format!("{call}("))).count();
    fs::remove_file(&log).unwrap();
    calls
}

/// The name of a file that is nobody else's.
pub(crate) fn scratch(name: &str) -> String {
    static FILES: AtomicUsize = AtomicUsize::new(0);
    let number = FILES.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("operate-{name}-{}-{number}", std::process::id()));
    path.into_os_string().into_string().unwrap()
}

pub(crate) fn key(number: u32) -> ServiceKey {
    format!("tcp 10.{}.{}.1:80", number / 250, number % 250).parse().unwrap()
}

/// Services of two destinations each.
pub(crate) fn table(services: impl IntoIterator<Item = u32>, weight: u32) -> Table {
    let mut table = Table::new();
    for number in services {
        let service = Service::new(key(number)).with_scheduler(Scheduler::WRR);
        table.apply(&ipvs::Command::AddService(service)).unwrap();
        for host in 1..=2 {
            let at = SocketAddr::from(([127, 0, 0, host], 80));
            let server = Destination::new(at).with_forwarding(Forwarding::Masquerade);
            let server = server.with_weight(Weight::new(weight).unwrap());
            table.apply(&ipvs::Command::AddDestination(key(number), server)).unwrap();
        }
    }
    table
}

/// The same as rules.
pub(crate) fn rules(services: impl IntoIterator<Item = u32>, weight: u32) -> String {
    let mut text = String::from("-C\n");
    for number in services {
        let at = key(number).to_string().replace("tcp ", "-t ");
        text += &format!("-A {at} -s wrr\n");
        for host in 1..=2 {
            text += &format!("-a {at} -r 127.0.0.{host}:80 -m -w {weight}\n");
        }
    }
    text
}
