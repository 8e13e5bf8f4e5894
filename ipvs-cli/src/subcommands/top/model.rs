//! What `top` shows: services, their order and rates, and the selected one. No terminal here.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use ipvs::{ServiceKey, ServiceState};

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
    /// Begin to write a filter.
    Filter,
    Letter(char),
    Backspace,
    /// The filter is written.
    Enter,
    /// Away with the filter.
    Escape,
}

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
    pub(super) shows_connections: bool,
    selected: Option<ServiceKey>,
    /// Nobody has chosen it: it is the first, whichever that is.
    is_first: bool,
    /// The place in `order` that is the first on the screen.
    top: usize,
    pub(super) total: PerSecond,
}

impl Model {
    pub(super) fn new() -> Self {
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
            shows_connections: false,
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
        for state in services {
            let key = state.service.key();
            let mut row = known.remove(&key).unwrap_or_else(|| Row::new(key));
            row.look(state, self.window.rates(&key));
            self.total += row.rates.unwrap_or_default();
            self.rows.push(row);
        }
        self.arrange();
    }

    pub(super) fn wish(&mut self, wish: Wish) {
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
            Wish::Connections => self.shows_connections = !self.shows_connections,
            Wish::Filter => self.is_writing = true,
            Wish::Letter(letter) => self.filter.push(letter),
            Wish::Backspace => drop(self.filter.pop()),
            Wish::Enter => self.is_writing = false,
            Wish::Escape => {
                self.is_writing = false;
                self.filter.clear();
            }
        }
        if !matches!(wish, Wish::Up(_) | Wish::Down(_) | Wish::First | Wish::Last) {
            self.arrange();
        }
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
        self.selected = self.order.get(place).map(|place| self.rows[*place].key);
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
        let mut model = Model::new();
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
        "192.0.2 UDP".chars().for_each(|letter| model.wish(Wish::Letter(letter)));
        assert_eq!(shown(&mut model, 9), "*udp 192.0.2.2:53");
        assert_eq!((model.counts(), model.is_writing), ((3, 1), true));
        (0..4).for_each(|_| model.wish(Wish::Backspace));
        model.wish(Wish::Enter);
        assert_eq!((model.counts(), model.is_writing), ((3, 2), false));
        model.wish(Wish::Escape);
        assert_eq!(model.counts(), (3, 3));
        assert_eq!(model.selected(), Some("udp 192.0.2.2:53".parse().unwrap()));
    }

    #[test]
    fn history_is_of_late() {
        let mut model = Model::new();
        for second in 0..40 {
            model.look(Duration::from_secs(second), &[state("mark 7", second * 3)]);
        }
        let (row, _) = model.visible(1).next().unwrap();
        assert_eq!((row.history.len(), row.history.back()), (HISTORY, Some(&3.0)));
    }
}
