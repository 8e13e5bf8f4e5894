//! Two network namespaces of one kernel: in one the original works, in the other `ipvs-cli`.

use crate::wanted;
use ipvs::Client;
use kernel_tests::case::CommandLine;
use kernel_tests::contents::Contents;
use kernel_tests::sandbox;
use kernel_tests::target::{Outcome, Request, Session, Target};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

/// How long a command may take before it counts as one that never answers.
const DEADLINE: Duration = Duration::from_secs(60);

/// Views of everything that the original can show of a kernel's state, as lines of `-R`: one
/// process shows them all.
pub(crate) const VIEWS: &[u8] = b"-S -n
-L -n
-L -n --thresholds
-L -n --tun-info
-L -n --persistent-conn
-L -n --stats
-L --timeout
-L --daemon
";

/// Something to do inside.
type Job = Box<dyn FnOnce(&mut Inside) + Send>;

/// One namespace, and the thread that lives in it.
pub(crate) struct World {
    jobs: Sender<Job>,
}

struct Inside {
    ipvsadm: Box<dyn Session>,
    ipvs_cli: Box<dyn Session>,
    client: Client,
}

impl World {
    /// A world whose `ipvsadm`, for scripts that look for one, is the target.
    pub(crate) fn of(target: Target) -> Self {
        let (jobs, receiver) = mpsc::channel::<Job>();
        thread::spawn(move || {
            let program = target.program().unwrap_or_else(|error| panic!("{error}"));
            sandbox::enter(&program).unwrap_or_else(|error| panic!("{error}"));
            let [ipvsadm, ipvs_cli] =
                [Target::Ipvsadm, Target::IpvsCli].map(|target| target.session().expect("it is named"));
            let mut inside = Inside { ipvsadm, ipvs_cli, client: connect() };
            receiver.into_iter().for_each(|job| job(&mut inside));
        });
        Self { jobs }
    }

    /// Begins anew with an empty table.
    pub(crate) fn renew(&self) {
        self.ask(|inside| {
            sandbox::enter_network().unwrap_or_else(|error| panic!("{error}"));
            inside.client = connect();
        });
    }

    /// Runs a command with this program.
    pub(crate) fn run(&self, target: Target, command: &CommandLine, stdin: &[u8]) -> Outcome {
        let (command, stdin) = (command.clone(), stdin.to_vec());
        self.ask(move |inside| {
            let session = if target == Target::Ipvsadm { &mut inside.ipvsadm } else { &mut inside.ipvs_cli };
            let request = Request { command: &command, stdin: &stdin, deadline: DEADLINE };
            let outcome = session.run(request).unwrap_or_else(|error| panic!("{:?}: {error}", command.argv));
            wanted::without_size(outcome)
        })
    }

    /// The kernel's state as the original prints it.
    pub(crate) fn views(&self) -> Outcome {
        self.run(Target::Ipvsadm, &views(), VIEWS)
    }

    /// The kernel's state as our library reads it: quicker, and with what the original prints
    /// nowhere.
    pub(crate) fn contents(&self) -> Contents {
        self.ask(|inside| Contents::of(&inside.client.table().unwrap_or_else(|error| panic!("{error}"))))
    }

    fn ask<T: Send + 'static>(&self, job: impl FnOnce(&mut Inside) -> T + Send + 'static) -> T {
        let (answer, answers) = mpsc::sync_channel(1);
        let job: Job = Box::new(move |inside| answer.send(job(inside)).unwrap_or_default());
        self.jobs.send(job).expect("the world's thread has panicked; its message stands above");
        answers.recv().expect("the world's thread has panicked; its message stands above")
    }
}

/// The command that shows the state.
pub(crate) fn views() -> CommandLine {
    CommandLine { argv: ["ipvsadm", "-R"].map(Into::into).to_vec(), ..CommandLine::default() }
}

fn connect() -> Client {
    Client::connect().unwrap_or_else(|error| panic!("{error}"))
}

/// The two worlds.
pub(crate) struct Pair {
    /// Where the original works.
    pub(crate) ipvsadm: World,
    /// Where `ipvs-cli` works.
    pub(crate) ipvs_cli: World,
}

impl Pair {
    /// Two new ones, on a kernel that has loaded all its schedulers.
    pub(crate) fn new() -> Self {
        let pair = Self { ipvsadm: World::of(Target::Ipvsadm), ipvs_cli: World::of(Target::IpvsCli) };
        pair.ipvsadm.run(Target::Ipvsadm, &views(), LOAD_ALL.as_bytes());
        pair
    }

    /// Empties both.
    pub(crate) fn renew(&self) {
        self.ipvsadm.renew();
        self.ipvs_cli.renew();
    }
}

/// A scheduler or engine is loaded when it is first used, which takes long.
const LOAD_ALL: &str = "-A -f 1 -s rr
-A -f 2 -s wrr
-A -f 3 -s lc
-A -f 4 -s wlc
-A -f 5 -s lblc
-A -f 6 -s lblcr
-A -f 7 -s dh
-A -f 8 -s sh
-A -f 9 -s sed
-A -f 10 -s nq
-A -f 11 -s fo
-A -f 12 -s ovf
-A -f 13 -s mh
-A -f 14 -p --pe sip
";
