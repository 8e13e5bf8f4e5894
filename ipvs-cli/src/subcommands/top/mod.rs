//! `top`: services and their rates on a terminal.
//!
//! `model` is the content, `draw` its look, `reader` reads the kernel, `keys` maps keys, `screen`
//! is the terminal, `changes` watches other programs.

mod args;
mod changes;
mod draw;
mod keys;
mod model;
mod reader;
mod screen;

use std::net::SocketAddr;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use ipvs::{Error, ServiceKey};
use ratatui::crossterm::event::{self, Event};

use self::changes::Changes;
use self::draw::Scene;
use self::keys::Pressed;
use self::model::Model;
use self::reader::{Details, Reading, Wanted};
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
    let begun = Instant::now();
    let changes = Changes::watch();
    let at_hangup = changes.clone();
    end_with_terminal(move || at_hangup.end());
    let done = thread::scope(|scope| {
        let (ask, asked) = mpsc::channel();
        let (answer, answers) = mpsc::channel();
        scope.spawn(move || reader::serve(client, connections, state_directory, begun, &asked, &answer));
        let mut screen = Screen::take().map_err(failed)?;
        let mut view = View::new(top.interval, begun, ask, answers, changes.clone());
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
    rates: Window<(ServiceKey, SocketAddr)>,
    changes: Changes,
    trouble: Option<String>,
    is_unicode: bool,
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
        interval: Duration,
        begun: Instant,
        ask: Sender<Wanted>,
        answers: Receiver<Result<Reading, Error>>,
        changes: Changes,
    ) -> Self {
        View {
            model: Model::new(),
            details: None,
            rates: Window::new(),
            changes,
            trouble: None,
            is_unicode: screen::is_unicode(),
            interval,
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
            is_stale = self.receive() | self.changes.last().1;
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
        let lines = draw::lines_for_details(height, &self.model);
        let details = self.model.selected().filter(|_| lines > 0);
        let connections = self.model.shows_connections.then_some(lines.into());
        self.is_reading = self.ask.send(Wanted { services: is_due, details, connections }).is_ok();
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
        if let Some(details) = reading.details {
            if self.details.as_ref().is_none_or(|earlier| earlier.key != details.key) {
                self.rates = Window::new();
            }
            let counters = details.destinations.iter();
            let counters =
                counters.filter_map(|state| Some(((details.key, state.destination.address), state.statistics?)));
            self.rates.look(reading.at, counters);
            self.details = Some(details);
        }
        self.wants_details |= self.model.selected() != before;
    }

    fn draw(&mut self, screen: &mut Screen) -> std::io::Result<()> {
        let (change, _) = self.changes.last();
        let scene = Scene {
            change: change.as_deref(),
            details: self.details.as_ref(),
            rates: &self.rates,
            trouble: self.trouble.as_deref(),
            is_unicode: self.is_unicode,
        };
        screen.draw(|frame| draw::draw(frame, &mut self.model, &scene))
    }

    /// Handles a key. Returns whether it quits.
    fn obey(&mut self, event: Event, screen: &mut Screen) -> std::io::Result<bool> {
        let page = usize::from(screen.height()?.saturating_sub(3));
        match keys::pressed(&event, self.model.is_writing, page) {
            Pressed::Quit => return Ok(true),
            Pressed::Redraw => screen.clear()?,
            Pressed::Wish(wish) => {
                let before = (self.model.selected(), self.model.shows_details, self.model.shows_connections);
                self.model.wish(wish);
                self.wants_details |=
                    before != (self.model.selected(), self.model.shows_details, self.model.shows_connections);
            }
            Pressed::Nothing => {}
        }
        Ok(false)
    }
}
