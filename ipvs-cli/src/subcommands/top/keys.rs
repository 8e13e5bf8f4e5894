//! What keys mean.

use ratatui::crossterm::event::{Event, KeyCode, KeyEventKind, KeyModifiers};

use super::model::{Mode, Wish};

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pressed {
    Quit,
    Redraw,
    Wish(Wish),
    Nothing,
}

/// A page has `page` lines.
pub(super) fn pressed(event: &Event, mode: Mode, page: usize) -> Pressed {
    let Event::Key(key) = event else { return Pressed::Nothing };
    if key.kind == KeyEventKind::Release {
        return Pressed::Nothing;
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return match key.code {
            KeyCode::Char('c') => Pressed::Quit,
            KeyCode::Char('l') => Pressed::Redraw,
            _ => Pressed::Nothing,
        };
    }
    Pressed::Wish(match (mode, key.code) {
        // Any other key is a no.
        (Mode::Asking, KeyCode::Char('y' | 'Y')) => Wish::Yes,
        (Mode::Asking | Mode::Help, _) => Wish::Escape,
        (_, KeyCode::Up) => Wish::Up(1),
        (_, KeyCode::Down) => Wish::Down(1),
        (_, KeyCode::PageUp) => Wish::Up(page),
        (_, KeyCode::PageDown) => Wish::Down(page),
        (_, KeyCode::Home) => Wish::First,
        (_, KeyCode::End) => Wish::Last,
        (_, KeyCode::Esc) => Wish::Escape,
        (Mode::Writing, KeyCode::Enter) => Wish::Enter,
        (Mode::Writing, KeyCode::Backspace) => Wish::Backspace,
        (Mode::Writing, KeyCode::Char(letter)) => Wish::Letter(letter),
        (Mode::Keys, KeyCode::Enter) => Wish::Details,
        (Mode::Keys, KeyCode::Tab) => Wish::Focus,
        (Mode::Keys, KeyCode::Char(letter)) => match letter {
            'q' => return Pressed::Quit,
            'k' => Wish::Up(1),
            'j' => Wish::Down(1),
            'g' => Wish::First,
            'G' => Wish::Last,
            's' | '>' => Wish::NextColumn,
            'S' | '<' => Wish::PreviousColumn,
            'r' => Wish::Reverse,
            ' ' => Wish::Pause,
            'c' => Wish::Connections,
            'v' => Wish::States,
            '/' => Wish::Filter,
            '?' | 'h' => Wish::Help,
            'w' => Wish::Weight,
            'd' => Wish::Drain,
            'u' => Wish::Undrain,
            _ => return Pressed::Nothing,
        },
        _ => return Pressed::Nothing,
    })
}
