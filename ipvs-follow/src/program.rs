//! The program: its arguments, its signals, and the loop that waits for what comes first.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ipvs::Report;
use ipvs::monitor::Monitor;
use ipvs::netns::Namespace;
use ipvs_cli::director::Director;
use ipvs_cli::http;
use ipvs_cli::io::Output;
use ipvs_cli::keep::{self, Fault, Hold, SystemNames};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::{SIGHUP, SIGINT, SIGIO, SIGTERM};
use signal_hook::{flag, low_level::pipe};

use crate::args::{Act, Cli, Options, SourceName, written};
use crate::etcd::{Access, Host};
use crate::exit::{Ending, NO, TROUBLE};
use crate::figures::Figures;
use crate::fleet;
use crate::follower::{Follower, Surroundings};
use crate::messages::{Level, Messages, Topic};
use crate::pace::Pace;
use crate::source::{Etcd, Files, Followed, Membership};

/// The directory of locks, owners and holds: that of `ipvs-cli`.
const STATE: &str = "/run/ipvs-cli";

/// At most this many events are taken in before anything else is looked at.
const BURST: usize = 10_000;

/// Runs the program with these words, its name included. Returns the exit status.
///
/// ```
/// assert_eq!(ipvs_follow::run(["ipvs-follow", "--help"].map(Into::into)), 0);
/// ```
pub fn run(words: impl IntoIterator<Item = OsString>) -> u8 {
    let cli = match Cli::parse_words(words) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { TROUBLE } else { 0 };
        }
    };
    let mut messages = Messages::of_this_process();
    if let Some(directory) = &cli.state_dir
        && let Err(error) = keep::check_state_directory(directory)
    {
        messages.say(Level::Warning, &format!("--state-dir {error}; nothing was changed"));
        return TROUBLE;
    }
    let state_directory = cli.state_dir.as_deref().unwrap_or(Path::new(STATE));
    let surroundings =
        Surroundings { state_directory: Some(state_directory), proc: Some(Path::new("/proc")), names: &SystemNames };
    let within = |act: &mut dyn FnMut() -> Ending| match &cli.netns {
        None => act(),
        Some(name) => match name.parse::<Namespace>().and_then(|namespace| namespace.within(act)) {
            Ok(done) => done,
            Err(error) => Err((TROUBLE, Report::new(&error).to_string())),
        },
    };
    let done = match (&cli.act, &cli.source) {
        (Some(_), Some(_)) => Err((TROUBLE, "a source and a subcommand at once: one of them".to_owned())),
        (Some(Act::Fleet(fleet)), _) => fleet::run(fleet, &cli.access),
        (Some(act), _) => within(&mut || make(act, surroundings, cli.wait)),
        (None, Some(source)) => {
            // Outside of the director's network namespace, which may have no way to etcd.
            let mut opened = Some((open_source(source, &cli.options, &cli.access), messages));
            within(&mut || match opened.take() {
                Some((source, messages)) => follow(source?, &cli.options, surroundings, cli.wait, messages),
                None => Ok(()),
            })
        }
        (None, None) => Err((TROUBLE, "name a SOURCE".to_owned())),
    };
    match done {
        Ok(()) => 0,
        Err((status, reason)) => {
            Messages::of_this_process().say(Level::Warning, &reason);
            status
        }
    }
}

/// Begins or ends a hold.
fn make(act: &Act, surroundings: Surroundings<'_>, wait: Duration) -> Ending {
    let mut director = Director::of_this_machine();
    let (done, _) = surroundings.with(&mut director, |keeper| match act {
        Act::Hold { time, reason } => {
            let followers = keeper.hold(&Hold { left: *time, reason: reason.clone() }, wait)?;
            let who = match followers {
                0 => "no follower runs here".to_owned(),
                1 => "1 follower changes nothing until then".to_owned(),
                count => format!("{count} followers change nothing until then"),
            };
            Ok(format!("held for {}: {who}", written(*time)))
        }
        Act::Release => keeper.release(wait).map(|was_held| match was_held {
            true => "released".to_owned(),
            false => "there was no hold".to_owned(),
        }),
        Act::Fleet(_) => Ok(String::new()),
    });
    match done {
        Ok(text) => {
            // A closed standard output is no error.
            let _ = writeln!(Output::stdout(), "{text}");
            Ok(())
        }
        Err(Fault::Kernel(reason)) => Err((TROUBLE, reason)),
        Err(fault) => Err((NO, fault.reason())),
    }
}

/// Signals, noted by flags, and a socket that becomes readable with each.
struct Signals {
    stop: Arc<AtomicBool>,
    reload: Arc<AtomicBool>,
    wake: UnixStream,
}

impl Signals {
    fn register() -> io::Result<Self> {
        let (wake, sent) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        let (stop, reload) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        for (signal, noted) in [(SIGTERM, &stop), (SIGINT, &stop), (SIGHUP, &reload)] {
            flag::register(signal, Arc::clone(noted))?;
            pipe::register(signal, sent.try_clone()?)?;
        }
        // A program waits for the end of a lease. It ends by itself, soon.
        flag::register(SIGIO, Arc::new(AtomicBool::new(false)))?;
        Ok(Signals { stop, reload, wake })
    }

    /// Empties the socket.
    fn take(&self) {
        let mut bytes = [0; 64];
        while matches!((&self.wake).read(&mut bytes), Ok(1..)) {}
    }
}

fn open_source(name: &SourceName, options: &Options, access: &Access) -> Result<Followed, (u8, String)> {
    let trouble = |reason: String| (TROUBLE, reason);
    match name {
        SourceName::Path(_) if !access.is_empty() || options.host.is_some() || options.copy.is_some() => {
            Err(trouble("--cacert, --cert, --key, --user, --host and --copy need a source in etcd".to_owned()))
        }
        SourceName::Path(path) => {
            let files = Files::new(path).map_err(|error| trouble(format!("{}: {error}", path.display())))?;
            Ok(Followed::Files(files))
        }
        SourceName::Etcd(address) => {
            let client = access.client(address).map_err(trouble)?;
            let host = match &options.host {
                Some(host) => host.clone(),
                None => machine().map_err(|reason| trouble(format!("{reason}: name this director by --host")))?,
            };
            let membership = Membership { host, lease: options.lease };
            let opened = Etcd::open(address.clone(), client, membership, options.copy.clone());
            opened.map(Box::new).map(Followed::Etcd).map_err(|error| trouble(format!("cannot read etcd: {error}")))
        }
    }
}

fn machine() -> Result<Host, String> {
    let name = rustix::system::uname();
    let name = name.nodename().to_string_lossy();
    name.parse().map_err(|reason| format!("the machine's name '{name}' {reason}"))
}

fn follow(
    source: Followed,
    options: &Options,
    surroundings: Surroundings<'_>,
    wait: Duration,
    messages: Messages,
) -> Ending {
    let trouble = |reason: String| (TROUBLE, reason);
    let signals = Signals::register().map_err(|error| trouble(format!("cannot handle signals: {error}")))?;
    let limits = options.limits(wait);
    let mut director = Director::of_this_machine();
    let owner = limits.owner.clone();
    keep::check_access(&mut director).map_err(trouble)?;
    let (following, _) = surroundings.with(&mut director, |keeper| keeper.follow(owner.as_ref()));
    let _following = following.map_err(|reason| (NO, reason))?;
    let pace = Pace::new(options.recheck, Instant::now());
    let mut follower = Follower::new(source, director, limits, surroundings, pace, messages);
    if let Some(at) = options.listen {
        serve(at, follower.figures.clone()).map_err(|error| trouble(format!("{at}: {error}")))?;
    }
    watch(&mut follower, &signals, options.recheck);
    Ok(())
}

/// Serves the figures, in a thread that ends with the process.
fn serve(at: SocketAddr, figures: Figures) -> io::Result<()> {
    let listener = TcpListener::bind(at)?;
    let at = listener.local_addr()?;
    // The port may be of interest. A closed standard output is no error.
    let _ = writeln!(Output::stdout(), "listening on http://{at}/metrics");
    let page = move |format| Ok(figures.page(format));
    thread::Builder::new().name("metrics".to_owned()).spawn(move || http::serve(&listener, page))?;
    Ok(())
}

/// The loop.
fn watch(follower: &mut Follower<'_>, signals: &Signals, recheck: Duration) {
    let mut monitor = None;
    let heartbeat = std::rc::Rc::clone(&follower.service.heartbeat);
    let is_over = || {
        heartbeat.beat(Instant::now());
        signals.stop.load(Ordering::SeqCst)
    };
    while !is_over() {
        let now = Instant::now();
        signals.take();
        if signals.reload.swap(false, Ordering::SeqCst) {
            follower.messages.say(Level::Notice, "SIGHUP: reading the source and the director again");
            follower.source.reload();
            follower.pace.reload(now);
        }
        if follower.source.has_changed() {
            follower.pace.source_changed(now);
        }
        if let Some(watching) = &mut monitor
            && !take_events(follower, watching, now)
        {
            monitor = None;
        }
        if follower.pace.due() <= now {
            // Before the director is read, so that nothing is missed in between.
            if monitor.is_none() {
                monitor = open(follower, recheck);
            }
            follower.check(now, &is_over);
            continue;
        }
        let times = [Some(follower.pace.due()), heartbeat.beat(now), monitor.as_ref().and_then(Monitor::deadline)];
        let until = times.into_iter().flatten().min().unwrap_or(now);
        let seen = monitor.iter().flat_map(Monitor::descriptors);
        let descriptors: Vec<BorrowedFd<'_>> =
            seen.chain(follower.source.descriptor()).chain([signals.wake.as_fd()]).collect();
        sleep(&descriptors, until);
    }
    follower.service.stopping();
    follower.messages.say(Level::Notice, "ended; the director stays as it is");
}

/// Waits until one of them is readable, a signal comes, or it is time.
fn sleep(descriptors: &[BorrowedFd<'_>], until: Instant) {
    // A moment later rather than earlier, so that the time is over then.
    let pause = until.saturating_duration_since(Instant::now()) + Duration::from_micros(1);
    let mut polled: Vec<_> =
        descriptors.iter().map(|descriptor| PollFd::from_borrowed_fd(*descriptor, PollFlags::IN)).collect();
    // Whatever ended it, everything is looked at.
    let _ = poll(&mut polled, Timespec::try_from(pause).ok().as_ref());
}

/// Sees what other programs do from now on.
fn open(follower: &mut Follower<'_>, recheck: Duration) -> Option<Monitor> {
    let opened = Monitor::builder().without_comparison().open();
    follower.figures.counts().sees_changes = opened.is_ok();
    match opened {
        Ok(monitor) => {
            if follower.messages.over(Topic::Monitor) {
                follower.messages.say(Level::Notice, "other programs' changes are seen again");
            }
            Some(monitor)
        }
        Err(error) => {
            let seconds = recheck.as_secs_f64();
            let text = format!("{}; what other programs change is found every {seconds} s only", Report::new(&error));
            follower.messages.holds(Topic::Monitor, Level::Warning, &text);
            None
        }
    }
}

/// Takes in what was seen. Does the monitor go on?
fn take_events(follower: &mut Follower<'_>, monitor: &mut Monitor, now: Instant) -> bool {
    for _ in 0..BURST {
        match monitor.next_before(now) {
            Ok(Some(event)) => follower.saw(&event, now),
            Ok(None) => return true,
            Err(error) if error.is_transient() => {}
            Err(error) => {
                follower.messages.holds(Topic::Monitor, Level::Warning, &Report::new(&error).to_string());
                // Something may have been missed.
                follower.pace.disturbed(now);
                return false;
            }
        }
    }
    true
}
