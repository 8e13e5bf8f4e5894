//! Draws the screen of `top`. Only what fits is looked at.

use ipvs::{DestinationState, Forwarding, proc::Connection};
use ipvs_text::escape;
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

use super::model::{Column, Model, Row};
use super::reader::Details;
use crate::subcommands::live::{PerSecond, Window, short};

/// What is to be seen beside the model.
pub(super) struct Scene<'s> {
    pub(super) details: Option<&'s Details>,
    /// The last change of the director, in a line.
    pub(super) change: Option<&'s str>,
    pub(super) rates: &'s Window<(ipvs::ServiceKey, std::net::SocketAddr)>,
    /// What is wrong, in a line.
    pub(super) trouble: Option<&'s str>,
    /// The terminal can show the little curves.
    pub(super) is_unicode: bool,
}

const PLAIN: Style = Style::new();
const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const INVERSE: Style = Style::new().add_modifier(Modifier::REVERSED);
const FAINT: Style = Style::new().add_modifier(Modifier::DIM);

/// The title, the heads of columns, and the keys.
const FRAME_LINES: u16 = 3;
/// With fewer lines there are no details.
const ENOUGH_FOR_DETAILS: u16 = 12;

/// The names of services have what others leave, but not less, nor more than the longest needs.
const NAME: std::ops::RangeInclusive<usize> = 24..=50;

const COLUMNS: [(Column, &str, usize); 6] = [
    (Column::Service, "SERVICE", 0),
    (Column::Connections, "CONN/s", 7),
    (Column::PacketsIn, "PKT/s IN", 9),
    (Column::PacketsOut, "OUT", 6),
    (Column::BytesIn, "B/s IN", 8),
    (Column::BytesOut, "OUT", 6),
];

/// All but the name, with the scheduler and a short curve.
const OTHERS: usize = {
    let (mut all, mut at) = (15, 1);
    while at < COLUMNS.len() {
        all += 1 + COLUMNS[at].2;
        at += 1;
    }
    all
};

const KEYS: &str = "q quit  ↑↓ select  s sort  r reverse  / filter  ⏎ details  c conns  space pause";
const KEYS_ASCII: &str = "q quit  j k select  s sort  r reverse  / filter  Enter details  c conns";

/// How many lines the destinations and connections have.
pub(super) fn lines_for_details(height: u16, model: &Model) -> u16 {
    if model.shows_details && height >= ENOUGH_FOR_DETAILS { (height - FRAME_LINES) * 2 / 5 } else { 0 }
}

pub(super) fn draw(frame: &mut Frame<'_>, model: &mut Model, scene: &Scene<'_>) {
    let area = frame.area();
    let buffer = frame.buffer_mut();
    if area.height < FRAME_LINES || area.width < 20 {
        return put(buffer, area, 0, "too small", PLAIN);
    }
    let details = lines_for_details(area.height, model);
    put(buffer, area, 0, &title(model), BOLD);
    heads(buffer, area, model);
    // The last change is above the keys.
    let change = scene.change.filter(|_| area.height > FRAME_LINES + 1);
    let above = area.height - 1 - u16::from(change.is_some());
    let lines = above + 1 - FRAME_LINES - details;
    for (line, (row, is_selected)) in (2..).zip(model.visible(lines.into())) {
        put(
            buffer,
            area,
            line,
            &service(row, area.width.into(), scene.is_unicode),
            if is_selected { INVERSE } else { PLAIN },
        );
    }
    if details > 0 {
        let place = Rect { y: area.y + above - details, height: details, ..area };
        draw_details(buffer, place, model, scene);
    }
    if let Some(change) = change {
        put(buffer, area, above, change, PLAIN);
    }
    put(buffer, area, area.height - 1, &bottom(model, scene), FAINT);
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

/// The one that is sorted by has an arrow.
fn heads(buffer: &mut Buffer, area: Rect, model: &Model) {
    let mut text = String::new();
    for (column, head, width) in COLUMNS {
        let arrow = match (column == model.sort, model.reverse) {
            (false, _) => "",
            (true, false) => "v",
            (true, true) => "^",
        };
        let head = format!("{head}{arrow}");
        text += &match column {
            Column::Service => format!("{} SCHED", fitting(&head, name_width(area.width.into()))),
            _ => format!(" {head:>width$}"),
        };
    }
    put(buffer, area, 1, &text, BOLD);
}

fn name_width(width: usize) -> usize {
    width.saturating_sub(OTHERS).clamp(*NAME.start(), *NAME.end())
}

/// Exactly so wide. What does not fit ends with a mark.
fn fitting(text: &str, width: usize) -> String {
    if text.len() <= width { format!("{text:<width$}") } else { format!("{:.*}~", width - 1, text) }
}

fn service(row: &Row, room: usize, is_unicode: bool) -> String {
    let Row { name, scheduler, rates, history, .. } = row;
    let mut text = format!("{} {scheduler:<5}", fitting(name, name_width(room)));
    for (column, _, width) in &COLUMNS[1..] {
        let rate = rates.map_or_else(|| "-".to_owned(), |rates| short(column.of(rates)));
        text += &format!(" {rate:>width$}");
    }
    let room = room.saturating_sub(text.len() + 1);
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

fn draw_details(buffer: &mut Buffer, area: Rect, model: &Model, scene: &Scene<'_>) {
    let Some(key) = model.selected() else { return };
    let Some(details) = scene.details.filter(|details| details.key == key) else {
        return put(buffer, area, 0, &format!("-- {key}"), BOLD);
    };
    let lines = match &details.connections {
        Some(listed) if model.shows_connections => {
            let trouble = listed.trouble.clone().unwrap_or_else(|| format!("{} entries", listed.total));
            let head = format!("-- {key}: {trouble}");
            let head = format!("{head:<48} STATE       EXPIRES SERVER");
            std::iter::once(head).chain(listed.some.iter().map(connection)).collect::<Vec<_>>()
        }
        _ => {
            let head = fitting(&format!("-- {key}"), 29);
            let head = format!(
                "{head} {:<7} {:>6} {:>6} {:>6} {:>6} {:>6} {:>6}",
                "FORWARD", "WEIGHT", "ACTIVE", "INACT", "PERS", "CONN/s", "B/s IN"
            );
            let rates = |state: &DestinationState| scene.rates.rates(&(key, state.destination.address));
            let shown = details.destinations.iter().take(area.height.into());
            std::iter::once(head)
                .chain(shown.map(|state| {
                    let is_drained = details.drained.contains(&state.destination.address);
                    destination(state, is_drained, rates(state))
                }))
                .collect()
        }
    };
    for (line, text) in (0..area.height).zip(lines) {
        put(buffer, area, line, &text, if line == 0 { BOLD } else { PLAIN });
    }
}

fn destination(state: &DestinationState, is_drained: bool, rates: Option<PerSecond>) -> String {
    let forwarding = match state.destination.forwarding {
        Forwarding::Masquerade => "masq",
        Forwarding::DirectRoute => "route",
        Forwarding::Tunnel(_) => "tunnel",
        Forwarding::Local => "local",
        Forwarding::Bypass => "bypass",
        _ => "?",
    };
    let rate = |of: fn(&PerSecond) -> f64| rates.as_ref().map_or_else(|| "-".to_owned(), |rates| short(of(rates)));
    format!(
        "   {:<26} {forwarding:<7} {:>6} {:>6} {:>6} {:>6} {:>6} {:>6}",
        state.destination.address.to_string(),
        if is_drained { "drain".to_owned() } else { state.destination.weight.to_string() },
        state.active_connections,
        state.inactive_connections,
        state.persistent_connections,
        rate(|rates| rates.connections),
        rate(|rates| rates.bytes_in),
    )
}

fn connection(connection: &Connection) -> String {
    let client = if connection.is_template() {
        format!("{} (template)", connection.client.ip())
    } else {
        connection.client.to_string()
    };
    let Connection { state, expires, destination, .. } = connection;
    format!("   {client:<45} {state:<11} {expires:>7} {destination}")
}

fn bottom(model: &Model, scene: &Scene<'_>) -> String {
    match scene.trouble {
        Some(trouble) => trouble.to_owned(),
        None if model.is_writing => format!("filter: {}_", model.filter),
        None if !model.filter.is_empty() => format!("filter: {}   (/ changes it, Esc takes it away)", model.filter),
        None if scene.is_unicode => KEYS.to_owned(),
        None => KEYS_ASCII.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ipvs::{Destination, Service, ServiceKey, ServiceState, Statistics, Weight, proc::Connections};
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::model::Wish;
    use super::super::reader::Listed;
    use super::*;

    /// Services 1 to `count`: number N had 7 N connections per second, in the end 14 N.
    fn model(services: u32) -> Model {
        let mut model = Model::new();
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
            let server = Destination::new(std::net::SocketAddr::from(([192, 0, 2, host], 8080)));
            let mut state = DestinationState::new(server.with_weight(Weight::new(host.into()).unwrap()));
            state.active_connections = 1200;
            state
        };
        Details { key, destinations: (1..=20).map(state).collect(), drained: Vec::new(), connections: None }
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
        let scene = Scene { details, change, rates: &Window::new(), trouble: None, is_unicode: true };
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, model, &scene)).unwrap();
        let buffer = terminal.backend().buffer();
        let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
        (0..height).map(line).collect()
    }

    #[test]
    fn everything_has_its_place() {
        let mut model = model(10_000);
        let details = details("tcp 10.0.40.0:80".parse().unwrap());
        assert_eq!(screen(&mut model, Some(&details), 80, 24), include_str!("screen.txt").lines().collect::<Vec<_>>());
    }

    #[test]
    fn a_drained_destination_differs_from_one_of_weight_0() {
        let mut model = model(1);
        let mut details = details("tcp 10.0.0.1:80".parse().unwrap());
        details.destinations.truncate(3);
        details.destinations.iter_mut().for_each(|state| state.destination.weight = Weight::ZERO);
        details.drained = vec![details.destinations[1].destination.address];
        let lines = screen(&mut model, Some(&details), 80, 24);
        let weights: Vec<_> = lines
            .iter()
            .filter(|line| line.contains("192.0.2."))
            .map(|line| line.split_whitespace().nth(2).unwrap())
            .collect();
        assert_eq!(weights, ["0", "drain", "0"]);
    }

    #[test]
    fn other_sizes_do_no_harm() {
        let mut model = model(30);
        let details = details("tcp 10.0.0.1:80".parse().unwrap());
        for (width, height) in [(1, 1), (20, 3), (20, 11), (20, 12), (80, 5), (200, 60), (80, 1), (5, 50)] {
            let lines = screen(&mut model, Some(&details), width, height);
            assert_eq!(lines.len(), usize::from(height));
        }
        let wide = screen(&mut model, None, 120, 40);
        assert!(wide.last().unwrap().starts_with("q quit"), "{wide:?}");
    }

    #[test]
    fn connections_take_the_place_of_destinations() {
        let key: ServiceKey = "tcp 10.0.0.1:80".parse().unwrap();
        let table = "TCP CB007109 9C41 0A000001 0050 C000020B 1F90 ESTABLISHED     899\n";
        let some = Connections::new(table.as_bytes()).map(Result::unwrap).collect();
        let mut details = details(key);
        details.connections = Some(Listed { total: 1, some, trouble: None });
        let mut model = model(1);
        model.wish(Wish::Connections);
        let lines = screen(&mut model, Some(&details), 100, 24);
        let at = lines.iter().position(|line| line.starts_with("-- tcp 10.0.0.1:80: 1 entries")).unwrap();
        assert!(lines[at].ends_with("STATE       EXPIRES SERVER"), "{}", lines[at]);
        assert_eq!(
            lines[at + 1],
            "   203.0.113.9:40001                             ESTABLISHED     899 192.0.2.11:8080"
        );
        model.wish(Wish::Details);
        assert!(!screen(&mut model, Some(&details), 100, 24).iter().any(|line| line.starts_with("--")));
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
    fn curves_end_with_the_latest() {
        assert_eq!(curve([0.0, 1.0, 4.0, 8.0].into_iter(), true), " ▁▄█");
        assert_eq!(curve([0.0, 1.0, 4.0, 8.0].into_iter(), false), " .:#");
        assert_eq!(curve([0.0, 0.0].into_iter(), true), "  ");
    }
}
