//! What `top` shows: services, their order and rates, and the selected one. No terminal here.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use ipvs::{ServiceKey, ServiceState, Weight};

use crate::subcommands::entries::order::Sort;
use crate::subcommands::live::{PerSecond, Window};

/// The number of readings in the small curve.
pub(super) const HISTORY: usize = 16;

/// One service.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) key: ServiceKey,
    pub(super) name: String,
    pub(super) scheduler: String,
    /// `None`: it was seen only once so far.
    pub(super) rates: Option<PerSecond>,
    /// New connections a second, the latest last.
    pub(super) history: VecDeque<f64>,
}

/// A column that one can sort by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Service,
    Connections,
    PacketsIn,
    PacketsOut,
    BytesIn,
    BytesOut,
}

impl Column {
    pub(super) const ALL: [Column; 6] = [
        Column::Service,
        Column::Connections,
        Column::PacketsIn,
        Column::PacketsOut,
        Column::BytesIn,
        Column::BytesOut,
    ];

    fn after(self, steps: usize) -> Self {
        let at = Self::ALL.iter().position(|column| *column == self).unwrap_or(0);
        Self::ALL[(at + steps) % Self::ALL.len()]
    }

    /// Its value among these rates.
    pub(super) fn of(self, rates: PerSecond) -> f64 {
        match self {
            Column::Service => 0.0,
            Column::Connections => rates.connections,
            Column::PacketsIn => rates.packets_in,
            Column::PacketsOut => rates.packets_out,
            Column::BytesIn => rates.bytes_in,
            Column::BytesOut => rates.bytes_out,
        }
    }
}

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Up(usize),
    Down(usize),
    First,
    Last,
    NextColumn,
    PreviousColumn,
    Reverse,
    Pause,
    Details,
    Connections,
    States,
    /// The keys that select go to the lower part, or back.
    Focus,
    Help,
    Weight,
    Drain,
    Undrain,
    /// The question is answered with yes.
    Yes,
    /// Begin to write a filter.
    Filter,
    Letter(char),
    Backspace,
    /// The filter is written.
    Enter,
    /// Away with the filter.
    Escape,
}

/// What the lower part shows of the selected service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pane {
    Servers,
    Connections,
    /// Connections by server and state.
    States,
}

/// A change of a real server that a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Deed {
    pub(super) service: ServiceKey,
    pub(super) server: SocketAddr,
    pub(super) what: Change,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Weight(Weight),
    Drain,
    Undrain,
}

/// What is asked below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Prompt {
    /// For a weight, of which this is written.
    Weight(ServiceKey, SocketAddr, String),
    /// Whether it is meant.
    Sure(Deed),
}

/// What letters are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Keys,
    Writing,
    Asking,
    Help,
}

/// The orders of connections.
pub(super) const SORTS: [Sort; 4] = [Sort::Client, Sort::Server, Sort::State, Sort::Expires];

#[derive(Debug)]
pub(super) struct Model {
    rows: Vec<Row>,
    /// Those that are shown, in order: places in `rows`.
    order: Vec<usize>,
    window: Window<ServiceKey>,
    pub(super) sort: Column,
    /// Small ones first; of names, the last first.
    pub(super) reverse: bool,
    pub(super) filter: String,
    /// Letters go into the filter.
    pub(super) is_writing: bool,
    pub(super) is_paused: bool,
    pub(super) shows_details: bool,
    pub(super) pane: Pane,
    /// Keys that select are for the lower part.
    pub(super) is_focused: bool,
    /// The selected line of the lower part, and how many it has.
    pub(super) pane_at: usize,
    pub(super) pane_lines: usize,
    /// The place in [`SORTS`].
    pub(super) pane_sort: usize,
    pub(super) pane_reverse: bool,
    pub(super) pane_filter: String,
    /// The real servers of the selected service.
    servers: Vec<SocketAddr>,
    /// The screen has room for the lower part.
    has_pane: bool,
    pub(super) prompt: Option<Prompt>,
    pub(super) shows_help: bool,
    /// Nothing can be changed.
    is_read_only: bool,
    is_read: bool,
    /// Why a key did nothing.
    pub(super) note: Option<&'static str>,
    selected: Option<ServiceKey>,
    /// Nobody has chosen it: it is the first, whichever that is.
    is_first: bool,
    /// The place in `order` that is the first on the screen.
    top: usize,
    pub(super) total: PerSecond,
}

impl Model {
    pub(super) fn new(is_read_only: bool) -> Self {
        Model {
            rows: Vec::new(),
            order: Vec::new(),
            window: Window::new(),
            sort: Column::Connections,
            reverse: false,
            filter: String::new(),
            is_writing: false,
            is_paused: false,
            shows_details: true,
            pane: Pane::Servers,
            is_focused: false,
            pane_at: 0,
            pane_lines: 0,
            pane_sort: 0,
            pane_reverse: false,
            pane_filter: String::new(),
            servers: Vec::new(),
            has_pane: true,
            prompt: None,
            shows_help: false,
            is_read_only,
            is_read: false,
            note: None,
            selected: None,
            is_first: true,
            top: 0,
            total: PerSecond::default(),
        }
    }

    /// Takes what the kernel says now.
    pub(super) fn look(&mut self, at: Duration, services: &[ServiceState]) {
        self.window.look(at, services.iter().filter_map(|state| Some((state.service.key(), state.statistics?))));
        let mut known: HashMap<ServiceKey, Row> = self.rows.drain(..).map(|row| (row.key, row)).collect();
        self.total = PerSecond::default();
        self.is_read = true;
        for state in services {
            let key = state.service.key();
            let mut row = known.remove(&key).unwrap_or_else(|| Row::new(key));
            row.look(state, self.window.rates(&key));
            self.total += row.rates.unwrap_or_default();
            self.rows.push(row);
        }
        self.arrange();
    }

    pub(super) fn mode(&self) -> Mode {
        match self.prompt {
            _ if self.shows_help => Mode::Help,
            Some(Prompt::Weight(..)) => Mode::Writing,
            Some(Prompt::Sure(_)) => Mode::Asking,
            None if self.is_writing => Mode::Writing,
            None => Mode::Keys,
        }
    }

    /// Obeys. Returns the change that was asked for and affirmed.
    pub(super) fn wish(&mut self, wish: Wish) -> Option<Deed> {
        self.note = None;
        if std::mem::take(&mut self.shows_help) {
            return None;
        }
        if let Some(prompt) = self.prompt.take() {
            return self.answer(prompt, wish);
        }
        match wish {
            Wish::Help => self.shows_help = true,
            Wish::Focus => {
                self.is_focused = !self.is_focused && self.shows_details && self.has_pane;
                // The service whose real servers are chosen from stays that one.
                self.is_first = false;
            }
            Wish::Connections => self.show(Pane::Connections),
            Wish::States => self.show(Pane::States),
            Wish::Weight | Wish::Drain | Wish::Undrain => self.ask(wish),
            wish if self.is_focused => self.wish_of_pane(wish),
            wish => self.wish_of_services(wish),
        }
        None
    }

    /// Shows it in the lower part, or the real servers again.
    fn show(&mut self, pane: Pane) {
        self.pane = if self.pane == pane { Pane::Servers } else { pane };
        self.shows_details = true;
        (self.pane_at, self.pane_lines) = (0, 0);
    }

    fn ask(&mut self, wish: Wish) {
        let server = self.servers.get(self.pane_at).filter(|_| self.is_focused && self.pane == Pane::Servers);
        let (Some(service), Some(server)) = (self.selected, server.copied()) else {
            self.note = Some("Tab goes to the real servers; select one there");
            return;
        };
        if self.is_read_only {
            self.note = Some("--read-only: nothing is changed from here");
            return;
        }
        let sure = |what| Prompt::Sure(Deed { service, server, what });
        self.prompt = Some(match wish {
            Wish::Drain => sure(Change::Drain),
            Wish::Undrain => sure(Change::Undrain),
            _ => Prompt::Weight(service, server, String::new()),
        });
    }

    fn answer(&mut self, prompt: Prompt, wish: Wish) -> Option<Deed> {
        match (prompt, wish) {
            (Prompt::Sure(deed), Wish::Yes) => return Some(deed),
            (Prompt::Sure(_), _) | (_, Wish::Escape) => self.note = Some("nothing was changed"),
            (Prompt::Weight(service, server, written), Wish::Enter) => match written.parse() {
                Ok(weight) => {
                    self.prompt = Some(Prompt::Sure(Deed { service, server, what: Change::Weight(weight) }));
                }
                Err(_) => self.note = Some("a weight is a whole number from 0 to 2147483647; nothing was changed"),
            },
            (Prompt::Weight(service, server, mut written), wish) => {
                match wish {
                    Wish::Letter(letter) => written.push(letter),
                    Wish::Backspace => drop(written.pop()),
                    _ => {}
                }
                self.prompt = Some(Prompt::Weight(service, server, written));
            }
        }
        None
    }

    fn wish_of_pane(&mut self, wish: Wish) {
        let last = self.pane_lines.saturating_sub(1);
        match wish {
            Wish::NextColumn | Wish::PreviousColumn | Wish::Reverse | Wish::Filter
                if self.pane != Pane::Connections =>
            {
                self.note = Some("only connections are sorted and filtered: c shows them");
            }
            Wish::Up(steps) => self.pane_at = self.pane_at.saturating_sub(steps),
            Wish::Down(steps) => self.pane_at = self.pane_at.saturating_add(steps).min(last),
            Wish::First => self.pane_at = 0,
            Wish::Last => self.pane_at = last,
            Wish::NextColumn => self.pane_sort = (self.pane_sort + 1) % SORTS.len(),
            Wish::PreviousColumn => self.pane_sort = (self.pane_sort + SORTS.len() - 1) % SORTS.len(),
            Wish::Reverse => self.pane_reverse = !self.pane_reverse,
            Wish::Pause => self.is_paused = !self.is_paused,
            Wish::Details => (self.shows_details, self.is_focused) = (false, false),
            Wish::Filter => self.is_writing = true,
            Wish::Letter(letter) => self.pane_filter.push(letter),
            Wish::Backspace => drop(self.pane_filter.pop()),
            Wish::Enter => self.is_writing = false,
            Wish::Escape if self.is_writing || !self.pane_filter.is_empty() => {
                self.is_writing = false;
                self.pane_filter.clear();
            }
            Wish::Escape => self.is_focused = false,
            _ => {}
        }
        if matches!(wish, Wish::Letter(_) | Wish::Backspace | Wish::Escape) {
            self.pane_at = 0;
        }
    }

    fn wish_of_services(&mut self, wish: Wish) {
        let at = self.position();
        self.is_first = match wish {
            Wish::First => true,
            Wish::Up(_) | Wish::Down(_) | Wish::Last => false,
            _ => self.is_first,
        };
        match wish {
            Wish::Up(steps) => self.select(at.saturating_sub(steps)),
            Wish::Down(steps) => self.select(at.saturating_add(steps)),
            Wish::First => self.select(0),
            Wish::Last => self.select(usize::MAX),
            Wish::NextColumn => self.sort = self.sort.after(1),
            Wish::PreviousColumn => self.sort = self.sort.after(Column::ALL.len() - 1),
            Wish::Reverse => self.reverse = !self.reverse,
            Wish::Pause => self.is_paused = !self.is_paused,
            Wish::Details => self.shows_details = !self.shows_details,
            Wish::Filter => self.is_writing = true,
            Wish::Letter(letter) => self.filter.push(letter),
            Wish::Backspace => drop(self.filter.pop()),
            Wish::Enter => self.is_writing = false,
            Wish::Escape => {
                self.is_writing = false;
                self.filter.clear();
            }
            _ => {}
        }
        if !matches!(wish, Wish::Up(_) | Wish::Down(_) | Wish::First | Wish::Last) {
            self.arrange();
        }
    }

    /// The lower part has this number of lines now.
    pub(super) fn look_at_pane(&mut self, lines: usize) {
        self.pane_lines = lines;
        self.pane_at = self.pane_at.min(lines.saturating_sub(1));
    }

    /// The real servers of a service that were read. The selected one stays selected.
    pub(super) fn look_at_servers(&mut self, service: ServiceKey, servers: Vec<SocketAddr>) {
        // Another service may have been selected since they were asked for.
        if self.selected != Some(service) {
            return;
        }
        if self.is_focused
            && self.pane == Pane::Servers
            && let Some(selected) = self.servers.get(self.pane_at)
            && let Some(place) = servers.iter().position(|server| server == selected)
        {
            self.pane_at = place;
        }
        self.servers = servers;
    }

    /// Whether the screen has room for the lower part.
    pub(super) fn look_at_room(&mut self, has_pane: bool) {
        self.has_pane = has_pane;
        self.is_focused &= has_pane;
    }

    /// Those on a screen of this number of lines: the selected one is among them.
    pub(super) fn visible(&mut self, lines: usize) -> impl Iterator<Item = (&Row, bool)> {
        let at = self.position();
        // No empty lines below the last.
        let latest = self.order.len().saturating_sub(lines);
        self.top = self.top.min(at).max((at + 1).saturating_sub(lines)).min(latest);
        let selected = self.selected;
        let rows = &self.rows;
        let shown = self.order.iter().skip(self.top).take(lines);
        shown.map(move |place| &rows[*place]).map(move |row| (row, Some(row.key) == selected))
    }

    /// The services that a screen of this number of lines shows.
    pub(super) fn keys_in_sight(&mut self, lines: usize) -> Vec<ServiceKey> {
        self.visible(lines).map(|(row, _)| row.key).collect()
    }

    /// Was the director read?
    pub(super) fn is_read(&self) -> bool {
        self.is_read
    }

    pub(super) fn selected(&self) -> Option<ServiceKey> {
        self.selected
    }

    /// How many there are, and how many of them are shown.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.rows.len(), self.order.len())
    }

    fn position(&self) -> usize {
        let is_selected = |place: &usize| Some(self.rows[*place].key) == self.selected;
        self.order.iter().position(is_selected).unwrap_or(0)
    }

    fn select(&mut self, place: usize) {
        let place = place.min(self.order.len().saturating_sub(1));
        let selected = self.order.get(place).map(|place| self.rows[*place].key);
        if selected != self.selected {
            (self.pane_at, self.pane_lines) = (0, 0);
            self.servers.clear();
        }
        self.selected = selected;
    }

    /// Filters and sorts. The selected service stays selected; if it is gone, the one at its place
    /// is.
    fn arrange(&mut self) {
        let words: Vec<String> = self.filter.split_whitespace().map(str::to_lowercase).collect();
        let rows = &self.rows;
        let is_shown = |row: &Row| words.iter().all(|word| row.name.contains(word.as_str()));
        self.order = (0..rows.len()).filter(|place| is_shown(&rows[*place])).collect();
        let (sort, reverse) = (self.sort, self.reverse);
        self.order.sort_unstable_by(|one, other| {
            let (one, other) = (&rows[*one], &rows[*other]);
            let by_name = one.key.cmp(&other.key);
            let order = match sort {
                Column::Service => by_name,
                // Large ones first.
                column => {
                    let value = |row: &Row| column.of(row.rates.unwrap_or_default());
                    value(other).total_cmp(&value(one))
                }
            };
            // Equal ones stay in one order, however it is sorted.
            (if reverse { order.reverse() } else { order }).then(by_name)
        });
        let is_there = self.order.iter().any(|place| Some(self.rows[*place].key) == self.selected);
        if self.is_first || !is_there {
            self.select(if self.is_first { 0 } else { self.top });
        }
    }
}

impl Row {
    fn new(key: ServiceKey) -> Self {
        let history = VecDeque::with_capacity(HISTORY);
        Row { key, name: key.to_string(), scheduler: String::new(), rates: None, history }
    }

    fn look(&mut self, state: &ServiceState, rates: Option<PerSecond>) {
        self.scheduler = state.service.scheduler.to_string();
        self.rates = rates;
        if let Some(rates) = rates {
            if self.history.len() == HISTORY {
                self.history.pop_front();
            }
            self.history.push_back(rates.connections);
        }
    }
}

#[cfg(test)]
mod tests {
    use ipvs::{Service, Statistics};

    use super::*;

    fn state(name: &str, connections: u64) -> ServiceState {
        let mut state = ServiceState::new(Service::new(name.parse().unwrap()));
        let mut counted = Statistics::default();
        (counted.connections, counted.bytes_in) = (connections, 1000 - connections);
        state.statistics = Some(counted);
        state
    }

    /// Three services: 10, 30 and 20 connections a second.
    fn model() -> Model {
        let mut model = Model::new(false);
        for (second, factor) in [(0, 0), (1, 1)] {
            let services = [("tcp 192.0.2.1:80", 10), ("udp 192.0.2.2:53", 30), ("mark 7", 20)]
                .map(|(name, rate)| state(name, rate * factor));
            model.look(Duration::from_secs(second), &services);
        }
        model
    }

    fn shown(model: &mut Model, lines: usize) -> String {
        let mark = |(row, selected): (&Row, bool)| format!("{}{}", if selected { "*" } else { "" }, row.name);
        model.visible(lines).map(mark).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn the_busiest_come_first() {
        let mut model = model();
        assert_eq!(shown(&mut model, 9), "*udp 192.0.2.2:53, mark 7, tcp 192.0.2.1:80");
        assert_eq!(model.total.connections, 60.0);
        model.wish(Wish::Reverse);
        assert_eq!(shown(&mut model, 9), "*tcp 192.0.2.1:80, mark 7, udp 192.0.2.2:53");
        model.wish(Wish::PreviousColumn);
        assert_eq!(shown(&mut model, 9), "*mark 7, udp 192.0.2.2:53, tcp 192.0.2.1:80");
        model.wish(Wish::Reverse);
        assert_eq!(shown(&mut model, 9), "*tcp 192.0.2.1:80, udp 192.0.2.2:53, mark 7");
    }

    #[test]
    fn the_selected_one_stays_selected_and_in_sight() {
        let mut model = model();
        model.wish(Wish::Down(1));
        assert_eq!(shown(&mut model, 2), "udp 192.0.2.2:53, *mark 7");
        model.wish(Wish::Up(1));
        model.wish(Wish::Reverse);
        assert_eq!(shown(&mut model, 2), "mark 7, *udp 192.0.2.2:53");
        model.wish(Wish::Up(1));
        assert_eq!(shown(&mut model, 1), "*mark 7");
        model.wish(Wish::Down(100));
        assert_eq!(shown(&mut model, 1), "*udp 192.0.2.2:53");
        assert_eq!(shown(&mut model, 9), "tcp 192.0.2.1:80, mark 7, *udp 192.0.2.2:53", "no empty lines");
        model.look(Duration::from_secs(2), &[state("tcp 192.0.2.1:80", 20), state("mark 7", 40)]);
        assert_eq!(shown(&mut model, 9), "*tcp 192.0.2.1:80, mark 7", "it is gone");
        model.look(Duration::from_secs(3), &[]);
        assert_eq!((shown(&mut model, 9).as_str(), model.selected()), ("", None));
        model.wish(Wish::Down(1));
        assert_eq!(shown(&mut model, 0), "");
    }

    #[test]
    fn a_filter_is_words_that_all_occur() {
        let mut model = model();
        model.wish(Wish::Last);
        model.wish(Wish::Filter);
        for letter in "192.0.2 UDP".chars() {
            model.wish(Wish::Letter(letter));
        }
        assert_eq!(shown(&mut model, 9), "*udp 192.0.2.2:53");
        assert_eq!((model.counts(), model.is_writing), ((3, 1), true));
        for _ in 0..4 {
            model.wish(Wish::Backspace);
        }
        model.wish(Wish::Enter);
        assert_eq!((model.counts(), model.is_writing), ((3, 2), false));
        model.wish(Wish::Escape);
        assert_eq!(model.counts(), (3, 3));
        assert_eq!(model.selected(), Some("udp 192.0.2.2:53".parse().unwrap()));
    }

    #[test]
    fn a_change_takes_a_selected_server_and_a_yes() {
        let mut model = model();
        let (one, other): (SocketAddr, SocketAddr) =
            ("192.0.2.11:80".parse().unwrap(), "192.0.2.12:80".parse().unwrap());
        model.look_at_servers(model.selected().unwrap(), vec![one, other]);
        model.look_at_pane(2);
        assert_eq!((model.wish(Wish::Drain), model.note.is_some()), (None, true), "no server is selected");
        model.wish(Wish::Focus);
        model.wish(Wish::Down(9));
        let service = model.selected().unwrap();
        for (wish, what) in [(Wish::Drain, Change::Drain), (Wish::Undrain, Change::Undrain)] {
            assert_eq!((model.wish(wish), model.mode()), (None, Mode::Asking));
            assert_eq!(model.wish(Wish::Yes), Some(Deed { service, server: other, what }));
            model.wish(wish);
            assert_eq!(
                (model.wish(Wish::Escape), model.mode(), model.note),
                (None, Mode::Keys, Some("nothing was changed"))
            );
        }
        model.wish(Wish::Weight);
        for letter in ['5', '7'] {
            model.wish(Wish::Letter(letter));
        }
        model.wish(Wish::Backspace);
        assert_eq!((model.wish(Wish::Enter), model.mode()), (None, Mode::Asking));
        let what = Change::Weight(Weight::new(5).unwrap());
        assert_eq!(model.wish(Wish::Yes), Some(Deed { service, server: other, what }));
        model.wish(Wish::Weight);
        model.wish(Wish::Letter('x'));
        assert_eq!((model.wish(Wish::Enter), model.mode()), (None, Mode::Keys));
        assert!(model.note.unwrap().contains("a whole number"));
        model.is_read_only = true;
        for wish in [Wish::Drain, Wish::Undrain, Wish::Weight] {
            assert_eq!((model.wish(wish), model.prompt.clone()), (None, None));
            assert!(model.note.unwrap().contains("--read-only"));
        }
    }

    /// Between two keys the screen may change.
    #[test]
    fn a_change_is_of_the_server_that_was_selected() {
        let mut model = model();
        let [one, two, three] = ["192.0.2.11:80", "192.0.2.12:80", "192.0.2.13:80"].map(|at| at.parse().unwrap());
        let service = model.selected().unwrap();
        let drained = |model: &mut Model| {
            model.wish(Wish::Drain);
            model.wish(Wish::Yes).map(|deed| (deed.service, deed.server))
        };
        model.look_at_servers(service, vec![one, two, three]);
        model.look_at_pane(3);
        model.wish(Wish::Focus);
        // Another service has the most connections now.
        let services = [state("tcp 192.0.2.1:80", 1000), state("udp 192.0.2.2:53", 30), state("mark 7", 20)];
        model.look(Duration::from_secs(2), &services);
        assert_eq!(model.selected(), Some(service), "whose servers have the keys");
        model.wish(Wish::Down(1));
        assert_eq!(drained(&mut model), Some((service, two)));
        // Another program has deleted the first.
        model.look_at_servers(service, vec![two, three]);
        model.look_at_pane(2);
        assert_eq!(drained(&mut model), Some((service, two)));
        // What was read of one service comes when another is selected.
        model.wish(Wish::Focus);
        model.wish(Wish::First);
        model.look_at_servers(service, vec![two, three]);
        model.wish(Wish::Focus);
        assert_eq!(drained(&mut model), None);
    }

    #[test]
    fn without_room_the_lower_part_has_no_keys() {
        let mut model = model();
        model.wish(Wish::Focus);
        assert!(model.is_focused);
        model.look_at_room(false);
        assert!(!model.is_focused);
        model.wish(Wish::Focus);
        assert!(!model.is_focused);
    }

    #[test]
    fn only_connections_are_sorted_and_filtered() {
        let mut model = model();
        model.wish(Wish::Focus);
        for wish in [Wish::NextColumn, Wish::PreviousColumn, Wish::Reverse, Wish::Filter] {
            model.wish(wish);
            assert!(model.note.is_some_and(|note| note.contains("c shows them")), "{wish:?}");
        }
        assert_eq!((model.mode(), model.pane_sort, model.pane_reverse), (Mode::Keys, 0, false));
    }

    /// The keys that select, sort and filter services do so with connections, where those are.
    #[test]
    fn the_lower_part_is_scrolled_sorted_and_filtered() {
        let mut model = model();
        let before = shown(&mut model, 9);
        model.wish(Wish::Connections);
        model.look_at_pane(100);
        model.wish(Wish::Focus);
        model.wish(Wish::Down(60));
        model.wish(Wish::NextColumn);
        model.wish(Wish::Reverse);
        assert_eq!((model.pane_at, SORTS[model.pane_sort], model.pane_reverse), (60, Sort::Server, true));
        model.wish(Wish::Last);
        assert_eq!(model.pane_at, 99);
        model.look_at_pane(10);
        assert_eq!(model.pane_at, 9, "there are fewer now");
        model.wish(Wish::Filter);
        model.wish(Wish::Letter('8'));
        assert_eq!((model.pane_at, model.pane_filter.as_str(), model.filter.as_str()), (0, "8", ""));
        model.wish(Wish::Enter);
        model.wish(Wish::Escape);
        assert_eq!((model.pane_filter.as_str(), model.is_focused), ("", true));
        model.wish(Wish::Escape);
        assert!(!model.is_focused);
        assert_eq!(shown(&mut model, 9), before);
        model.wish(Wish::Help);
        assert_eq!((model.mode(), model.wish(Wish::Reverse), model.mode()), (Mode::Help, None, Mode::Keys));
        assert_eq!(shown(&mut model, 9), before, "a key ends the help, and does nothing else");
    }

    #[test]
    fn history_is_of_late() {
        let mut model = Model::new(false);
        for second in 0..40 {
            model.look(Duration::from_secs(second), &[state("mark 7", second * 3)]);
        }
        let (row, _) = model.visible(1).next().unwrap();
        assert_eq!((row.history.len(), row.history.back()), (HISTORY, Some(&3.0)));
    }
}
