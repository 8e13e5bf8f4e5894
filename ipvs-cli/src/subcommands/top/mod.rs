//! `top`: services and their rates on a terminal.
//!
//! `model` is the content, `draw` its look, `reader` reads the kernel, `keys` maps keys, `screen`
//! is the terminal, `changes` watches other programs, `deed` changes a real server.

mod args;
mod changes;
mod deed;
mod draw;
mod keys;
mod model;
mod reader;
mod screen;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use ipvs::{Error, ServiceKey};
use ratatui::crossterm::event::{self, Event};

use self::changes::Changes;
use self::draw::Scene;
use self::keys::Pressed;
use self::model::{Model, Pane, SORTS};
use self::reader::{Details, InUse, Page, Reading, Wanted};
use self::screen::Screen;
use crate::env::hangup::end_with_terminal;
use crate::env::signals::Signals;
use crate::exit::Exit;
use crate::session::{Session, Trouble};
use crate::subcommands::live::Window;

pub(super) use args::Top;

/// How often readings and signals are checked while no key is pressed.
const BLINK: Duration = Duration::from_millis(50);

pub(super) fn run(top: &Top, session: &mut Session<'_, '_>) -> Exit {
    let done = show(top, session);
    session.finish(done, Exit::No)
}

fn show(top: &Top, session: &mut Session<'_, '_>) -> Result<Exit, Trouble> {
    if !session.environment.has_screen() {
        return Err(Trouble::Other("top needs a terminal; `ipvs-cli watch` prints lines".to_owned()));
    }
    if screen::is_dumb() {
        let message = "this terminal can't move its cursor (TERM is dumb); `ipvs-cli watch` prints lines";
        return Err(Trouble::Other(message.to_owned()));
    }
    session.display.end();
    let failed = |error: std::io::Error| Trouble::Other(format!("the terminal: {error}"));
    let signals = Signals::register().ok();
    let (connections, state_directory) = (session.environment.connections, session.environment.state_directory);
    // A kernel without IPVS is reported before the screen is taken.
    let client = session.director.client()?;
    client.info()?;
    if let Some(key) = top.service
        && let Err(error) = client.service(&key)
    {
        let is_missing = error.errno() == Some(ipvs::Errno::ESRCH);
        let missing = || Trouble::Other(format!("there is no service {key}"));
        return Err(if is_missing { missing() } else { error.into() });
    }
    let begun = Instant::now();
    let changes = Changes::watch();
    let at_hangup = changes.clone();
    end_with_terminal(move || at_hangup.end());
    let done = thread::scope(|scope| {
        let (ask, asked) = mpsc::channel();
        let (answer, answers) = mpsc::channel();
        let only = top.service;
        scope.spawn(move || reader::serve(client, connections, state_directory, only, begun, &asked, &answer));
        let mut screen = Screen::take().map_err(failed)?;
        let mut view = View::new(top, begun, ask, answers, changes.clone());
        // The default one may have to be made, which `--state-dir` does not do.
        view.state_directory = state_directory.filter(|directory| directory.is_dir()).map(Into::into);
        let done = view.run(&mut screen, signals.as_ref());
        drop(screen);
        done.map_err(failed)
    });
    changes.end();
    done
}

/// Connects the model, the reader and the terminal.
struct View {
    model: Model,
    details: Option<Details>,
    /// How the destinations of the services on the screen are.
    in_use: HashMap<ServiceKey, InUse>,
    rates: Window<(ServiceKey, SocketAddr)>,
    changes: Changes,
    trouble: Option<String>,
    /// A change that was begun, and what became of the last one.
    deed: Option<Receiver<String>>,
    said: Option<String>,
    state_directory: Option<PathBuf>,
    is_unicode: bool,
    /// No other service is shown.
    only: Option<ServiceKey>,
    interval: Duration,
    begun: Instant,
    /// When to look at all services again.
    due: Duration,
    /// A reading was requested.
    is_reading: bool,
    /// The selected service is another, or another page of it is wanted.
    wants_details: bool,
    ask: Sender<Wanted>,
    answers: Receiver<Result<Reading, Error>>,
}

impl View {
    fn new(
        top: &Top,
        begun: Instant,
        ask: Sender<Wanted>,
        answers: Receiver<Result<Reading, Error>>,
        changes: Changes,
    ) -> Self {
        View {
            model: Model::new(top.read_only),
            details: None,
            in_use: HashMap::new(),
            rates: Window::new(),
            changes,
            trouble: None,
            deed: None,
            said: None,
            state_directory: None,
            is_unicode: screen::is_unicode(),
            only: top.service,
            interval: top.interval,
            begun,
            due: Duration::ZERO,
            is_reading: false,
            wants_details: false,
            ask,
            answers,
        }
    }

    /// Runs until the user quits. Returns the exit status.
    fn run(&mut self, screen: &mut Screen, signals: Option<&Signals>) -> std::io::Result<Exit> {
        let mut is_stale = true;
        loop {
            self.request(screen.height()?);
            if is_stale {
                self.draw(screen)?;
            }
            is_stale = self.receive() | self.changes.last().1 | self.hear();
            if let Some(signal) = signals.and_then(Signals::received) {
                return Ok(Exit::Signal(signal));
            }
            // All events that came meanwhile make one frame.
            let mut pause = BLINK;
            while event::poll(pause)? {
                is_stale = true;
                pause = Duration::ZERO;
                if self.obey(event::read()?, screen)? {
                    return Ok(Exit::Success);
                }
            }
        }
    }

    /// Requests what is missing, one thing at a time.
    fn request(&mut self, height: u16) {
        let is_due = !self.model.is_paused && self.begun.elapsed() >= self.due;
        if self.is_reading || !is_due && !self.wants_details {
            return;
        }
        self.model.look_at_room(draw::has_room_for_details(height));
        let lines: usize = draw::lines_for_details(height, &self.model).into();
        let visible = self.model.keys_in_sight(draw::lines_for_services(height, &self.model).into());
        let details = self.model.selected().filter(|_| lines > 0);
        let model = &self.model;
        let page = || Page {
            first: model.pane_at.saturating_sub(lines.saturating_sub(2)),
            lines: lines.saturating_sub(1),
            sort: SORTS[model.pane_sort],
            reverse: model.pane_reverse,
            words: model.pane_filter.split_whitespace().map(str::to_lowercase).collect(),
        };
        let connections = (model.pane == Pane::Connections).then(page);
        let states = model.pane == Pane::States;
        self.is_reading = self.ask.send(Wanted { services: is_due, visible, details, connections, states }).is_ok();
        self.wants_details = false;
        if is_due {
            self.due = self.begun.elapsed() + self.interval;
        }
    }

    /// Takes a reading. Returns whether the screen changes.
    fn receive(&mut self) -> bool {
        let Ok(answer) = self.answers.try_recv() else { return false };
        self.is_reading = false;
        match answer {
            Ok(reading) => self.take(reading),
            Err(error) => {
                self.trouble = Some(Trouble::Kernel(error).text().lines().next().unwrap_or_default().to_owned())
            }
        }
        true
    }

    fn take(&mut self, reading: Reading) {
        let before = self.model.selected();
        self.trouble = (reading.took > self.interval).then(|| {
            format!("reading the kernel takes {:.1} s: --interval makes it rarer", reading.took.as_secs_f64())
        });
        if let Some(services) = &reading.services {
            self.model.look(reading.at, services);
        }
        let destinations = &reading.destinations;
        self.in_use = destinations.iter().map(|(key, found)| (*key, InUse::of(found))).collect();
        if let Some(details) = reading.details {
            if reading.services.is_some() {
                let counters = details.destinations.iter();
                let counters =
                    counters.filter_map(|state| Some(((details.key, state.destination.address), state.statistics?)));
                self.rates.look(reading.at, counters);
            }
            let servers = details.destinations.iter().map(|state| state.destination.address).collect();
            self.model.look_at_servers(details.key, servers);
            let lines = match (&details.connections, &details.states) {
                (Some(listed), _) => listed.matching,
                (_, Some(states)) => states.of.len(),
                _ => details.destinations.len(),
            };
            self.model.look_at_pane(lines);
            self.details = Some(details);
        }
        // Those that were sorted to other places come to sight with the next reading.
        self.wants_details |= reading.services.is_some() && self.in_use.is_empty();
        self.wants_details |= self.model.selected() != before;
    }

    /// What became of the change that was begun. Returns whether the screen changes.
    fn hear(&mut self) -> bool {
        let Some(deed) = &self.deed else { return false };
        let said = match deed.try_recv() {
            Ok(said) => said,
            Err(TryRecvError::Empty) => return false,
            Err(TryRecvError::Disconnected) => "what became of the change is unknown".to_owned(),
        };
        (self.said, self.deed, self.wants_details) = (Some(said), None, true);
        true
    }

    fn draw(&mut self, screen: &mut Screen) -> std::io::Result<()> {
        let (change, _) = self.changes.last();
        let at_work = self.deed.as_ref().map(|_| "at work ...");
        let scene = Scene {
            change: change.as_deref(),
            details: self.details.as_ref(),
            in_use: &self.in_use,
            rates: &self.rates,
            trouble: self.said.as_deref().or(at_work).or(self.trouble.as_deref()),
            only: self.only,
            is_unicode: self.is_unicode,
        };
        screen.draw(|frame| draw::draw(frame, &mut self.model, &scene))
    }

    /// Handles a key. Returns whether it quits.
    fn obey(&mut self, event: Event, screen: &mut Screen) -> std::io::Result<bool> {
        let page = usize::from(screen.height()?.saturating_sub(3));
        match keys::pressed(&event, self.model.mode(), page) {
            Pressed::Quit => return Ok(true),
            Pressed::Redraw => screen.clear()?,
            Pressed::Wish(wish) => {
                self.said = None;
                match self.model.wish(wish) {
                    Some(_) if self.deed.is_some() => {
                        self.said = Some("nothing was changed: the change before is still at work".to_owned());
                    }
                    Some(deed) => self.deed = Some(deed.start(self.state_directory.clone())),
                    None => {}
                }
                // What is in sight or in the lower part may be another now.
                self.wants_details = true;
            }
            Pressed::Nothing => {}
        }
        Ok(false)
    }
}
