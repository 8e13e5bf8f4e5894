//! The terminal: taken for a while, and given back as it was.

use std::io::{self, BufWriter, Write};

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode, size,
};
use ratatui::layout::{Position, Rect, Size};
use ratatui::{Frame, Terminal, TerminalOptions, Viewport};

use crate::io::Output;

/// A frame is written in one piece, so that nothing flickers. A larger frame takes several.
const FRAME: usize = 64 << 10;

/// The size of a terminal that does not know its own, as on a serial line.
const USUAL: Size = Size { width: 80, height: 24 };

pub(super) struct Screen {
    terminal: Terminal<CrosstermBackend<BufWriter<Output>>>,
    /// What the terminal has now: ratatui would draw on one of no lines, too.
    area: Rect,
}

impl Screen {
    pub(super) fn take() -> io::Result<Self> {
        enable_raw_mode()?;
        // From here on it is given back, whatever fails.
        let backend = CrosstermBackend::new(BufWriter::with_capacity(FRAME, Output::stdout()));
        let area =
            size().map_or(Rect::from((Position::ORIGIN, USUAL)), |(width, height)| known(Size { width, height }));
        let options = TerminalOptions { viewport: Viewport::Fixed(area) };
        let taken = Terminal::with_options(backend, options).map(|terminal| Screen { terminal, area });
        if taken.is_err() {
            let _ = disable_raw_mode();
        }
        let mut screen = taken?;
        execute!(screen.terminal.backend_mut(), EnterAlternateScreen, Clear(ClearType::All), Hide)?;
        Ok(screen)
    }

    pub(super) fn height(&self) -> io::Result<u16> {
        Ok(known(self.terminal.size()?).height)
    }

    /// Writes what has changed since the last time.
    pub(super) fn draw(&mut self, paint: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        let area = known(self.terminal.size()?);
        if area != self.area {
            self.area = area;
            self.terminal.resize(area)?;
        }
        self.terminal.draw(paint)?;
        self.terminal.backend_mut().flush()
    }

    /// All of it is written next time.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        // `Terminal::clear' would ask the terminal where its cursor is, which not each of them
        // answers.
        self.terminal.resize(self.area)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone need not be put in order.
        let _ = execute!(self.terminal.backend_mut(), LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
    }
}

/// The whole terminal, also after its size changes; 80x24 if it does not know its size.
fn known(size: Size) -> Rect {
    let is_known = size.width != 0 && size.height != 0;
    Rect::from((Position::ORIGIN, if is_known { size } else { USUAL }))
}

/// Whether the terminal can't move its cursor.
pub(super) fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|name| name == "dumb")
}

/// By the first of the settings that say it.
pub(super) fn is_unicode() -> bool {
    let setting =
        ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(std::env::var_os).find(|value| !value.is_empty());
    let setting = setting.unwrap_or_default().to_string_lossy().to_lowercase();
    setting.contains("utf-8") || setting.contains("utf8")
}
