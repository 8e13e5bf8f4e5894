//! What keys mean.

use ratatui::crossterm::event::{Event, KeyCode, KeyEventKind, KeyModifiers};

use super::model::Wish;

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pressed {
    Quit,
    Redraw,
    Wish(Wish),
    Nothing,
}

/// `is_writing`: letters go into the filter. A page has `page` lines.
pub(super) fn pressed(event: &Event, is_writing: bool, page: usize) -> Pressed {
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
    let wish = match (key.code, is_writing) {
        (KeyCode::Up, _) => Wish::Up(1),
        (KeyCode::Down, _) => Wish::Down(1),
        (KeyCode::PageUp, _) => Wish::Up(page),
        (KeyCode::PageDown, _) => Wish::Down(page),
        (KeyCode::Home, _) => Wish::First,
        (KeyCode::End, _) => Wish::Last,
        (KeyCode::Esc, _) => Wish::Escape,
        (KeyCode::Enter, true) => Wish::Enter,
        (KeyCode::Backspace, true) => Wish::Backspace,
        (KeyCode::Char(letter), true) => Wish::Letter(letter),
        (KeyCode::Enter, false) => Wish::Details,
        (KeyCode::Char('q'), false) => return Pressed::Quit,
        (KeyCode::Char('k'), false) => Wish::Up(1),
        (KeyCode::Char('j'), false) => Wish::Down(1),
        (KeyCode::Char('g'), false) => Wish::First,
        (KeyCode::Char('G'), false) => Wish::Last,
        (KeyCode::Char('s' | '>'), false) => Wish::NextColumn,
        (KeyCode::Char('S' | '<'), false) => Wish::PreviousColumn,
        (KeyCode::Char('r'), false) => Wish::Reverse,
        (KeyCode::Char(' '), false) => Wish::Pause,
        (KeyCode::Char('c'), false) => Wish::Connections,
        (KeyCode::Char('/'), false) => Wish::Filter,
        _ => return Pressed::Nothing,
    };
    Pressed::Wish(wish)
}
