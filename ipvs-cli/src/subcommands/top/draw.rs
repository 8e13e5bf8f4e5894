//! Draws the screen of `top`. Only what fits is looked at.

use std::collections::HashMap;
use std::net::SocketAddr;

use ipvs::{DestinationState, Forwarding, ServiceKey, Weight, proc::Connection};
use ipvs_text::escape;
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};

use super::model::{Column, Model, Pane, Prompt, Row, SORTS};
use super::reader::{Details, InUse, STATES, is_full};
use crate::subcommands::live::{PerSecond, Window, short};

/// What is to be seen beside the model.
pub(super) struct Scene<'s> {
    pub(super) details: Option<&'s Details>,
    /// How the destinations of the services on the screen are.
    pub(super) in_use: &'s HashMap<ServiceKey, InUse>,
    /// The last change of the director, in a line.
    pub(super) change: Option<&'s str>,
    pub(super) rates: &'s Window<(ServiceKey, SocketAddr)>,
    /// What is wrong, or what became of a change, in a line.
    pub(super) trouble: Option<&'s str>,
    /// The terminal can show the little curves.
    pub(super) is_unicode: bool,
    /// No other service is shown.
    pub(super) only: Option<ServiceKey>,
}

const PLAIN: Style = Style::new();
const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const INVERSE: Style = Style::new().add_modifier(Modifier::REVERSED);
const FAINT: Style = Style::new().add_modifier(Modifier::DIM);
/// Clients are refused, or get no answer.
const BAD: Style = Style::new().fg(Color::Red);
/// A server takes no new clients.
const ODD: Style = Style::new().fg(Color::Yellow);

/// The title, the heads of columns, and the keys.
const FRAME_LINES: u16 = 3;
/// With fewer lines there are no details.
const ENOUGH_FOR_DETAILS: u16 = 10;

/// Names have what others leave, but not less, nor more than the longest needs.
const NAME: std::ops::RangeInclusive<usize> = 14..=50;
/// The curve at the end of a service, with a space, if the screen is wide enough.
const CURVE: usize = 10;
const ENOUGH_FOR_CURVES: u16 = 60;

const KEYS: &str = "q quit  ? help  ↑↓ select  s sort  / filter  c conns  v states  Tab servers";
const KEYS_ASCII: &str = "q quit  ? help  j k select  s sort  / filter  c conns  v states  Tab servers";

const HELP: [&str; 15] = [
    "arrows, j k, PageUp, PageDown, Home, End   select",
    "s S   sort by the next or previous column",
    "r     reverse the order",
    "/     show only lines with all words; Esc: all again",
    "Enter hide or show the lower part",
    "c     connections; v: connections by server and state",
    "Tab   go to the lower part, and back: the keys above are for it",
    "w     set the weight of the selected server",
    "d     drain it: weight 0, connections go on",
    "u     give a drained server its weight back",
    "space pause    Ctrl-L draw again    q quit",
    "UP    servers that take new clients, of all",
    "red   no server takes new clients, or a server is full",
    "      (at its upper threshold) or silent (gets packets,",
    "      sends none; NAT); yellow: a server has weight 0",
];

/// The heads of a column, and its width. It is there if the screen is at least `needs` wide.
struct Cell {
    width: usize,
    needs: u16,
    text: String,
}

fn cell(width: usize, needs: u16, text: impl Into<String>) -> Cell {
    Cell { width, needs, text: text.into() }
}

/// A line of a table: its first column takes what the others leave.
fn line(lead: &str, first: &str, cells: &[Cell], reserve: usize, width: u16) -> String {
    let shown = || cells.iter().filter(|cell| width >= cell.needs);
    let others: usize = shown().map(|cell| cell.width + 1).sum();
    let room = usize::from(width).saturating_sub(others + reserve + lead.len()).clamp(*NAME.start(), *NAME.end());
    let mut text = format!("{lead}{}", fitting(first, room));
    for cell in shown() {
        text += &format!(" {:>1$}", cell.text, cell.width);
    }
    text
}

/// Exactly so wide. Of an address that does not fit, the port stays.
fn fitting(text: &str, width: usize) -> String {
    if text.len() <= width {
        return format!("{text:<width$}");
    }
    let port = text.rfind(':').filter(|colon| text.len() - colon <= 6 && text.is_ascii()).unwrap_or(text.len());
    let tail = if text[..port].ends_with(']') { &text[port - 1..] } else { &text[port..] };
    let head: String = text.chars().take(width.saturating_sub(tail.len() + 1)).collect();
    format!("{head}~{tail}")
}

pub(super) fn has_room_for_details(height: u16) -> bool {
    height >= ENOUGH_FOR_DETAILS
}

/// How many lines the lower part has.
pub(super) fn lines_for_details(height: u16, model: &Model) -> u16 {
    if model.shows_details && has_room_for_details(height) { (height - FRAME_LINES) * 2 / 5 } else { 0 }
}

/// How many services fit beside it.
pub(super) fn lines_for_services(height: u16, model: &Model) -> u16 {
    (height + 1).saturating_sub(FRAME_LINES + lines_for_details(height, model))
}

pub(super) fn draw(frame: &mut Frame<'_>, model: &mut Model, scene: &Scene<'_>) {
    let area = frame.area();
    let buffer = frame.buffer_mut();
    if area.height < FRAME_LINES || area.width < 20 {
        return put(buffer, area, 0, "too small", PLAIN);
    }
    let details = lines_for_details(area.height, model);
    put(buffer, area, 0, &title(model), BOLD);
    put(buffer, area, 1, &heads(model, area.width), BOLD);
    // The last change is above the keys.
    let change = scene.change.filter(|_| area.height > FRAME_LINES + 1);
    let above = area.height - 1 - u16::from(change.is_some());
    let lines = above + 1 - FRAME_LINES - details;
    if model.counts().0 == 0 && model.is_read() {
        let text = match scene.only {
            Some(key) => format!("there is no service {key} any more"),
            None => "no services: `ipvs-cli apply FILE` makes those of a file".to_owned(),
        };
        put(buffer, area, 2, &text, PLAIN);
    }
    let is_focused = model.is_focused;
    for (number, (row, is_selected)) in (2..).zip(model.visible(lines.into())) {
        let in_use = scene.in_use.get(&row.key);
        let style = match in_use {
            Some(InUse { up: 0, .. }) => BAD,
            Some(InUse { up, total, .. }) if up < total => ODD,
            _ => PLAIN,
        };
        let style = if is_selected { style.patch(if is_focused { BOLD } else { INVERSE }) } else { style };
        put(buffer, area, number, &service(row, in_use, area.width, scene.is_unicode), style);
    }
    if details > 0 {
        let place = Rect { y: area.y + above - details, height: details, ..area };
        draw_details(buffer, place, model, scene);
    }
    if let Some(change) = change {
        put(buffer, area, above, change, PLAIN);
    }
    if model.shows_help {
        let first = area.height.saturating_sub(HELP.len() as u16 + 1).min(2);
        for (number, text) in (first..area.height - 1).zip(HELP) {
            put(buffer, area, number, &format!(" {text}"), PLAIN);
        }
    }
    let bottom = bottom(model, scene);
    put(buffer, area, area.height - 1, &bottom, if model.prompt.is_some() { BOLD } else { FAINT });
}

/// A line, cut at the right edge and filled up to it, so that its style goes all the way.
fn put(buffer: &mut Buffer, area: Rect, line: u16, text: &str, style: Style) {
    let width = usize::from(area.width);
    let text = format!("{:<width$}", escape::text(text));
    buffer.set_stringn(area.x, area.y + line, text, width, style);
}

fn title(model: &Model) -> String {
    let (all, shown) = model.counts();
    let PerSecond { connections, packets_in, packets_out, bytes_in, bytes_out } = model.total;
    let shown = if shown == all { String::new() } else { format!("{shown} of ") };
    let paused = if model.is_paused { "  PAUSED" } else { "" };
    format!(
        "ipvs  {shown}{all} services  {} conn/s  in {} pkt/s {} B/s  out {} pkt/s {} B/s{paused}",
        short(connections),
        short(packets_in),
        short(bytes_in),
        short(packets_out),
        short(bytes_out),
    )
}

/// Of a service: what is sorted by is the column.
const COLUMNS: [(Option<Column>, &str, usize, u16); 9] = [
    (None, "SCHED", 5, 100),
    (None, "UP", 5, 0),
    (None, "ACTIVE", 6, 34),
    (None, "INACT", 6, 50),
    (Some(Column::Connections), "CONN/s", 7, 60),
    (Some(Column::PacketsIn), "PKT/s IN", 9, 110),
    (Some(Column::PacketsOut), "OUT", 6, 110),
    (Some(Column::BytesIn), "B/s IN", 8, 70),
    (Some(Column::BytesOut), "OUT", 6, 78),
];

/// The one that is sorted by has an arrow.
fn heads(model: &Model, width: u16) -> String {
    let arrow = |column: Option<Column>| match (column == Some(model.sort), model.reverse) {
        (false, _) => "",
        (true, false) => "v",
        (true, true) => "^",
    };
    let cells = COLUMNS.map(|(column, head, width, needs)| cell(width, needs, format!("{head}{}", arrow(column))));
    line("", &format!("SERVICE{}", arrow(Some(Column::Service))), &cells, curve_of(width), width)
}

fn curve_of(width: u16) -> usize {
    if width >= ENOUGH_FOR_CURVES { CURVE } else { 0 }
}

fn service(row: &Row, in_use: Option<&InUse>, width: u16, is_unicode: bool) -> String {
    let Row { name, scheduler, rates, history, .. } = row;
    let known = |of: fn(&InUse) -> String| in_use.map_or_else(|| "-".to_owned(), of);
    let cells = COLUMNS.map(|(column, head, width, needs)| {
        let text = match (column, head) {
            (Some(column), _) => rates.map_or_else(|| "-".to_owned(), |rates| short(column.of(rates))),
            (None, "SCHED") => scheduler.clone(),
            (None, "UP") => known(|in_use| format!("{}/{}", in_use.up, in_use.total)),
            (None, "ACTIVE") => known(|in_use| short(in_use.active as f64)),
            (None, _) => known(|in_use| short(in_use.inactive as f64)),
        };
        cell(width, needs, text)
    });
    let text = line("", name, &cells, curve_of(width), width);
    let room = usize::from(width).saturating_sub(text.len() + 1);
    text + " " + &curve(history.iter().copied().skip(history.len().saturating_sub(room)), is_unicode)
}

/// The latest is at the right; the largest fills its place.
fn curve(values: impl DoubleEndedIterator<Item = f64> + Clone, is_unicode: bool) -> String {
    const UNICODE: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    const ASCII: [char; 9] = [' ', '.', '.', ':', ':', '-', '=', '#', '#'];
    let letters = if is_unicode { UNICODE } else { ASCII };
    let largest = values.clone().fold(0.0, f64::max);
    let letter = |value: f64| {
        let height = if largest > 0.0 { (value / largest * 8.0).ceil() } else { 0.0 };
        letters[(height as usize).min(8)]
    };
    values.map(letter).collect()
}

fn draw_details(buffer: &mut Buffer, area: Rect, model: &mut Model, scene: &Scene<'_>) {
    let Some(key) = model.selected() else { return };
    let Some(details) = scene.details.filter(|details| details.key == key) else {
        return put(buffer, area, 0, &format!("-- {key}"), BOLD);
    };
    let width = area.width;
    let room = usize::from(area.height.saturating_sub(1));
    let name = key.to_string();
    let is_mark = matches!(key, ServiceKey::Mark { .. });
    let selected = model.is_focused.then_some(model.pane_at);
    // The selected line stays in sight.
    let first = model.pane_at.saturating_sub(room.saturating_sub(1));
    let mut lines: Vec<(String, Style)> = Vec::new();
    let (head, first) = match (model.pane, &details.connections, &details.states) {
        (Pane::Connections, Some(listed), _) => {
            let counted = match &listed.trouble {
                Some(trouble) => trouble.clone(),
                // The kernel shows no mark of a connection.
                None if is_mark => format!("{} of {} templates", listed.matching, listed.total),
                None if listed.matching as u64 == listed.total => format!("{} entries", listed.total),
                None => format!("{} of {} entries", listed.matching, listed.total),
            };
            lines.extend(listed.some.iter().map(|entry| (connection(entry, width), PLAIN)));
            let heads =
                [("SERVER", 1), ("STATE", 2), ("EXPIRES", 3)].map(|(head, sort)| (head, sort_arrow(model, sort)));
            let [server, state, expires] = heads.map(|(head, arrow)| format!("{head}{arrow}"));
            let first = format!("{name}: {counted}{}", sort_arrow(model, 0));
            (line("-- ", &first, &connection_cells(&server, &state, &expires, width), 0, width), listed.first)
        }
        (Pane::States, _, Some(states)) => {
            let heads = STATES.into_iter().chain(["OTHER"]).map(|head| head.to_owned());
            let cells = |texts: Vec<String>| -> Vec<Cell> {
                texts
                    .into_iter()
                    .zip([11, 8, 8, 9, 6])
                    .zip([0, 44, 60, 50, 66])
                    .map(|((text, width), needs)| cell(width, needs, text))
                    .collect()
            };
            let row = |(server, counts): (&SocketAddr, &[u64; 5])| {
                let is_stuck = counts[0] == 0 && counts[1] > 0;
                let counts = counts.iter().map(|count| short(*count as f64)).collect();
                (line("   ", &server.to_string(), &cells(counts), 0, width), if is_stuck { BAD } else { PLAIN })
            };
            lines.extend(states.of.iter().skip(first).take(room).map(row));
            let trouble = match &states.trouble {
                Some(trouble) => format!(": {trouble}"),
                None if is_mark => ": the kernel shows no mark of a connection".to_owned(),
                None => String::new(),
            };
            (line("-- ", &format!("{name}{trouble}"), &cells(heads.collect()), 0, width), first)
        }
        _ => {
            let shown = details.destinations.iter().skip(first).take(room);
            lines.extend(shown.map(|state| {
                let at = state.destination.address;
                let rates = scene.rates.rates(&(key, at));
                destination(state, details.drained.contains(&at), rates, width)
            }));
            let heads = ["FORWARD", "WEIGHT", "ACTIVE", "INACT", "PERS", "CONN/s", "B/s IN"].map(str::to_owned);
            (line("-- ", &name, &server_cells(heads), 0, width), first)
        }
    };
    put(buffer, area, 0, &head, BOLD);
    for (number, (text, style)) in (0..room).zip(lines) {
        let style = if selected == Some(first + number) { style.patch(INVERSE) } else { style };
        put(buffer, area, number as u16 + 1, &text, style);
    }
}

fn sort_arrow(model: &Model, place: usize) -> &'static str {
    match (SORTS[model.pane_sort] == SORTS[place], model.pane_reverse) {
        (false, _) => "",
        (true, false) => "v",
        (true, true) => "^",
    }
}

fn server_cells([forward, weight, active, inactive, templates, connections, bytes]: [String; 7]) -> [Cell; 7] {
    [
        cell(7, 56, forward),
        cell(6, 0, weight),
        cell(6, 36, active),
        cell(6, 48, inactive),
        cell(6, 76, templates),
        cell(6, 64, connections),
        cell(6, 72, bytes),
    ]
}

fn destination(state: &DestinationState, is_drained: bool, rates: Option<PerSecond>, width: u16) -> (String, Style) {
    let forwarding = match state.destination.forwarding {
        Forwarding::Masquerade => "masq",
        Forwarding::DirectRoute => "route",
        Forwarding::Tunnel(_) => "tunnel",
        Forwarding::Local => "local",
        Forwarding::Bypass => "bypass",
        _ => "?",
    };
    // The replies of other kinds of forwarding do not come by here.
    let is_silent = state.destination.forwarding == Forwarding::Masquerade
        && rates.is_some_and(|rates| rates.packets_in >= 1.0 && rates.packets_out == 0.0);
    let rate = |of: fn(&PerSecond) -> f64| rates.as_ref().map_or_else(|| "-".to_owned(), |rates| short(of(rates)));
    let (weight, style) = match state.destination.weight {
        _ if is_drained => ("drain".to_owned(), ODD),
        Weight::ZERO => ("0".to_owned(), ODD),
        _ if is_full(state) => ("full".to_owned(), BAD),
        _ if is_silent => ("silent".to_owned(), BAD),
        weight => (weight.to_string(), PLAIN),
    };
    let cells = server_cells([
        forwarding.to_owned(),
        weight,
        state.active_connections.to_string(),
        state.inactive_connections.to_string(),
        state.persistent_connections.to_string(),
        rate(|rates| rates.connections),
        rate(|rates| rates.bytes_in),
    ]);
    (line("   ", &state.destination.address.to_string(), &cells, 0, width), style)
}

/// The server has half of what two columns leave.
fn connection_cells(server: &str, state: &str, expires: &str, width: u16) -> [Cell; 3] {
    let room = (usize::from(width).saturating_sub(26) / 2).clamp(14, 47);
    [
        Cell { width: 11, needs: 0, text: format!("{state:<11}") },
        cell(8, 60, expires),
        Cell { width: room, needs: 46, text: fitting(server, room) },
    ]
}

fn connection(connection: &Connection, width: u16) -> String {
    let client = if connection.is_template() {
        format!("{} (template)", connection.client.ip())
    } else {
        connection.client.to_string()
    };
    let Connection { state, expires, destination, .. } = connection;
    let cells = connection_cells(&destination.to_string(), &state.to_string(), &expires.to_string(), width);
    line("   ", &client, &cells, 0, width)
}

fn bottom(model: &Model, scene: &Scene<'_>) -> String {
    let filter = if model.is_focused { &model.pane_filter } else { &model.filter };
    match &model.prompt {
        Some(Prompt::Weight(_, server, written)) => return format!("weight of {server}: {written}_   (Esc: as it is)"),
        Some(Prompt::Sure(deed)) => return deed.question(),
        None => {}
    }
    match (model.note, scene.trouble) {
        (Some(note), _) => note.to_owned(),
        (None, Some(trouble)) => trouble.to_owned(),
        _ if model.shows_help => "any key goes on".to_owned(),
        _ if model.is_writing => format!("filter: {filter}_"),
        _ if !filter.is_empty() => format!("filter: {filter}   (/ changes it, Esc takes it away)"),
        _ if model.is_focused => {
            "Tab back  w weight  d drain  u undrain  s sort  / filter  c conns  v states  ? help".to_owned()
        }
        _ if scene.is_unicode => KEYS.to_owned(),
        _ => KEYS_ASCII.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ipvs::{Destination, Service, ServiceState, Statistics, proc::Connections};
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::model::Wish;
    use super::super::reader::{Listed, States};
    use super::*;

    /// Services 1 to `count`: number N had 7 N connections per second, in the end 14 N.
    fn model(services: u32) -> Model {
        let mut model = Model::new(false);
        for (second, factor) in [(0, 0), (2, 2), (4, 6)] {
            let services: Vec<_> = (1..=services)
                .map(|number| {
                    let service =
                        Service::new(format!("tcp 10.0.{}.{}:80", number / 250, number % 250).parse().unwrap());
                    let mut state = ServiceState::new(service);
                    let connections = u64::from(number) * 7 * factor;
                    let mut counted = Statistics::default();
                    counted.connections = connections;
                    (counted.bytes_in, counted.packets_in) = (connections * 1234, connections * 9);
                    state.statistics = Some(counted);
                    state
                })
                .collect();
            model.look(Duration::from_secs(second), &services);
        }
        model
    }

    fn details(key: ServiceKey) -> Details {
        let state = |host: u8| {
            let server = Destination::new(SocketAddr::from(([192, 0, 2, host], 8080)));
            let mut state = DestinationState::new(server.with_weight(Weight::new(host.into()).unwrap()));
            state.active_connections = 1200;
            state
        };
        let destinations = (1..=20).map(state).collect();
        Details { key, destinations, drained: Vec::new(), connections: None, states: None }
    }

    /// The text of each line, and the colors that are on it.
    fn screen_of(model: &mut Model, scene: &Scene<'_>, width: u16, height: u16) -> Vec<(String, Vec<Color>)> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, model, scene)).unwrap();
        let buffer = terminal.backend().buffer();
        let line = |y| {
            let mut colors: Vec<Color> =
                (0..width).map(|x| buffer[(x, y)].fg).filter(|color| *color != Color::Reset).collect();
            colors.dedup();
            let text = (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
            (text.trim_end().to_owned(), colors)
        };
        (0..height).map(line).collect()
    }

    fn in_use_of(details: Option<&Details>) -> HashMap<ServiceKey, InUse> {
        details.map(|details| (details.key, InUse::of(&details.destinations))).into_iter().collect()
    }

    fn screen(model: &mut Model, details: Option<&Details>, width: u16, height: u16) -> Vec<String> {
        screen_after(model, details, None, width, height)
    }

    fn screen_after(
        model: &mut Model,
        details: Option<&Details>,
        change: Option<&str>,
        width: u16,
        height: u16,
    ) -> Vec<String> {
        let (in_use, rates) = (in_use_of(details), Window::new());
        let scene =
            Scene { details, in_use: &in_use, change, rates: &rates, trouble: None, is_unicode: true, only: None };
        screen_of(model, &scene, width, height).into_iter().map(|(text, _)| text).collect()
    }

    #[test]
    fn everything_has_its_place() {
        let mut model = model(10_000);
        let details = details("tcp 10.0.40.0:80".parse().unwrap());
        for (width, height, expected) in [
            (40, 10, include_str!("screen-40x10.txt")),
            (80, 24, include_str!("screen-80x24.txt")),
            (132, 43, include_str!("screen-132x43.txt")),
        ] {
            let shown = screen(&mut model, Some(&details), width, height).join("\n");
            assert_eq!(shown, expected.trim_end(), "{width}x{height}");
        }
    }

    /// What takes no new clients, and what gives no answer, in words and in colors.
    #[test]
    fn trouble_is_seen() {
        let mut model = model(1);
        let key = "tcp 10.0.0.1:80".parse().unwrap();
        let mut details = details(key);
        details.destinations.truncate(5);
        let servers = &mut details.destinations;
        servers.iter_mut().for_each(|state| state.destination.forwarding = Forwarding::Masquerade);
        servers[0].destination.weight = Weight::ZERO;
        servers[1].destination.weight = Weight::ZERO;
        servers[2].destination.upper_threshold = 1200;
        details.drained = vec![servers[1].destination.address];
        let mut rates = Window::new();
        for second in 0..3u64 {
            let counted = servers.iter().enumerate().map(|(at, state)| {
                let mut counted = Statistics::default();
                counted.packets_in = 10 * second;
                counted.packets_out = if at == 3 { 0 } else { 10 * second };
                ((key, state.destination.address), counted)
            });
            rates.look(Duration::from_secs(second), counted);
        }
        let shown = |model: &mut Model, details: &Details| {
            let in_use = in_use_of(Some(details));
            let scene = Scene {
                details: Some(details),
                in_use: &in_use,
                change: None,
                rates: &rates,
                trouble: None,
                is_unicode: true,
                only: None,
            };
            screen_of(model, &scene, 80, 24)
        };
        let lines = shown(&mut model, &details);
        let service = &lines[2];
        assert!(service.0.contains(" 2/5 ") && service.1 == [Color::Yellow], "{service:?}");
        let servers: Vec<_> = lines.iter().filter(|(text, _)| text.contains("192.0.2.")).collect();
        let expected = [
            ("0", Some(Color::Yellow)),
            ("drain", Some(Color::Yellow)),
            ("full", Some(Color::Red)),
            ("silent", Some(Color::Red)),
            ("5", None),
        ];
        for ((text, colors), (weight, color)) in servers.iter().zip(expected) {
            assert_eq!(text.split_whitespace().nth(2), Some(weight), "{text}");
            assert_eq!(colors.first().copied(), color, "{text}");
        }
        details.destinations.truncate(3);
        let lines = shown(&mut model, &details);
        assert!(lines[2].0.contains(" 0/3 ") && lines[2].1 == [Color::Red], "{:?}", lines[2]);
        details.destinations.clear();
        let lines = shown(&mut model, &details);
        assert!(lines[2].0.contains(" 0/0 ") && lines[2].1 == [Color::Red], "{:?}", lines[2]);
    }

    #[test]
    fn other_sizes_do_no_harm() {
        let mut model = model(30);
        let details = details("tcp 10.0.0.1:80".parse().unwrap());
        for wish in [Wish::Details, Wish::Details, Wish::Connections, Wish::States, Wish::Focus, Wish::Help] {
            model.wish(wish);
            for (width, height) in [(1, 1), (20, 3), (20, 11), (20, 12), (80, 5), (200, 60), (80, 1), (5, 50)] {
                let lines = screen(&mut model, Some(&details), width, height);
                assert_eq!(lines.len(), usize::from(height));
            }
        }
        model.wish(Wish::Escape);
        model.wish(Wish::Escape);
        let wide = screen(&mut model, None, 120, 40);
        assert!(wide.last().unwrap().starts_with("q quit"), "{wide:?}");
    }

    #[test]
    fn a_director_without_services_says_so() {
        let mut model = Model::new(false);
        assert!(screen(&mut model, None, 80, 24)[2].is_empty());
        model.look(Duration::ZERO, &[]);
        assert!(screen(&mut model, None, 80, 24)[2].starts_with("no services: "));
        let (in_use, rates, only) = (HashMap::new(), Window::new(), "mark 7".parse().ok());
        let scene = Scene {
            details: None,
            in_use: &in_use,
            change: None,
            rates: &rates,
            trouble: None,
            is_unicode: true,
            only,
        };
        assert_eq!(screen_of(&mut model, &scene, 80, 24)[2].0, "there is no service mark 7 any more");
    }

    #[test]
    fn connections_take_the_place_of_destinations() {
        let key: ServiceKey = "tcp 10.0.0.1:80".parse().unwrap();
        let table = "TCP CB007109 9C41 0A000001 0050 C000020B 1F90 ESTABLISHED     899\n";
        let some = Connections::new(table.as_bytes()).map(Result::unwrap).collect();
        let mut details = details(key);
        details.connections = Some(Listed { total: 7, matching: 1, first: 0, some, trouble: None });
        let mut model = model(1);
        model.wish(Wish::Connections);
        let lines = screen(&mut model, Some(&details), 100, 24);
        let at = lines.iter().position(|line| line.starts_with("-- tcp 10.0.0.1:80: 1 of 7 entriesv")).unwrap();
        assert_eq!(lines[at].split_whitespace().skip(7).collect::<Vec<_>>(), ["STATE", "EXPIRES", "SERVER"]);
        let words: Vec<_> = lines[at + 1].split_whitespace().collect();
        assert_eq!(words, ["203.0.113.9:40001", "ESTABLISHED", "899", "192.0.2.11:8080"]);
        model.wish(Wish::Details);
        assert!(!screen(&mut model, Some(&details), 100, 24).iter().any(|line| line.starts_with("--")));
    }

    #[test]
    fn of_a_mark_only_templates_are_known() {
        let key: ServiceKey = "mark 7".parse().unwrap();
        let mut model = Model::new(false);
        model.look(Duration::ZERO, &[ServiceState::new(Service::new(key))]);
        let mut details = details(key);
        details.connections = Some(Listed { total: 2, matching: 1, ..Listed::default() });
        details.states = Some(States::default());
        for (wish, head) in [
            (Wish::Connections, "-- mark 7: 1 of 2 templates"),
            (Wish::States, "-- mark 7: the kernel shows no mark of a connection"),
        ] {
            model.wish(wish);
            let lines = screen(&mut model, Some(&details), 132, 24);
            assert!(lines.iter().any(|line| line.starts_with(head)), "{lines:?}");
        }
    }

    #[test]
    fn states_are_counted_by_server() {
        let key: ServiceKey = "tcp 10.0.0.1:80".parse().unwrap();
        let mut details = details(key);
        let mut states = States::default();
        states.of.insert("192.0.2.11:80".parse().unwrap(), [3, 1, 0, 2, 0]);
        states.of.insert("192.0.2.12:80".parse().unwrap(), [0, 60, 0, 0, 0]);
        details.states = Some(states);
        let mut model = model(1);
        model.wish(Wish::States);
        let (in_use, rates) = (HashMap::new(), Window::new());
        let scene = Scene {
            details: Some(&details),
            in_use: &in_use,
            change: None,
            rates: &rates,
            trouble: None,
            is_unicode: true,
            only: None,
        };
        let lines = screen_of(&mut model, &scene, 80, 24);
        let at = lines.iter().position(|(text, _)| text.starts_with("-- ")).unwrap();
        let words = |at: usize| lines[at].0.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(words(at), "-- tcp 10.0.0.1:80 ESTABLISHED SYN_RECV FIN_WAIT TIME_WAIT OTHER");
        assert_eq!((words(at + 1).as_str(), lines[at + 1].1.len()), ("192.0.2.11:80 3 1 0 2 0", 0));
        assert_eq!(
            (words(at + 2).as_str(), lines[at + 2].1[0]),
            ("192.0.2.12:80 0 60 0 0 0", Color::Red),
            "nobody answers"
        );
    }

    #[test]
    fn the_last_change_is_above_the_keys() {
        let mut model = model(30);
        let details = details("tcp 10.0.0.1:80".parse().unwrap());
        let change = "last change 03:29:24Z ipvsadm[4711]: -D -t 192.0.2.1:80";
        for (width, height) in [(40, 10), (80, 24), (132, 43), (80, 5)] {
            let lines = screen_after(&mut model, Some(&details), Some(change), width, height);
            let cut = change.get(..width.into()).unwrap_or(change);
            assert_eq!(lines[usize::from(height) - 2], cut.trim_end());
            assert!(lines.last().unwrap().starts_with("q quit"), "{lines:?}");
            // The services and the details stay.
            assert!(lines[2].starts_with("tcp 10.0.0."), "{lines:?}");
            assert_eq!(lines.iter().any(|line| line.starts_with("-- ")), height >= ENOUGH_FOR_DETAILS);
        }
        assert!(screen_after(&mut model, None, Some(change), 80, 4).iter().all(|line| !line.contains("last change")));
    }

    #[test]
    fn an_address_that_is_cut_keeps_its_port() {
        for (text, width, cut) in [
            ("tcp [2001:db8:0:1:2:3:4:5]:443", 24, "tcp [2001:db8:0:1:~]:443"),
            ("[2001:db8::11]:8080", 19, "[2001:db8::11]:8080"),
            ("192.0.2.111:65535", 14, "192.0.2~:65535"),
            ("2001:db8:0:1:2:3:4:5 (template)", 14, "2001:db8:0:1:~"),
        ] {
            assert_eq!(fitting(text, width), cut);
        }
    }

    #[test]
    fn curves_end_with_the_latest() {
        assert_eq!(curve([0.0, 1.0, 4.0, 8.0].into_iter(), true), " ▁▄█");
        assert_eq!(curve([0.0, 1.0, 4.0, 8.0].into_iter(), false), " .:#");
        assert_eq!(curve([0.0, 0.0].into_iter(), true), "  ");
    }
}
