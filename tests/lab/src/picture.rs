//! What a terminal shows, as an SVG picture. It brings its own ground, so it can be read on light
//! pages and dark ones.

use std::fmt::Write;

use vt100::{Cell, Color, Screen};

/// The size of a letter's place, in pixels, and of the letters.
const WIDTH: f32 = 8.0;
const HEIGHT: f32 = 17.0;
const LETTERS: f32 = 13.0;

/// Around the text.
const MARGIN: f32 = 12.0;

const GROUND: &str = "#0d1117";
const BORDER: &str = "#30363d";
const INK: &str = "#e6edf3";
const FAINT: &str = "#9198a1";
const RED: &str = "#ff7b72";
const GREEN: &str = "#7ee787";
const YELLOW: &str = "#e3b341";

/// How letters look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Look {
    bold: bool,
    faint: bool,
    inverse: bool,
    color: Color,
    /// Drawn by another font, perhaps, so in a piece of its own.
    odd: bool,
}

impl Look {
    fn of(cell: Option<&Cell>) -> Self {
        cell.map_or_else(Look::default, |cell| Look {
            bold: cell.bold(),
            faint: cell.dim(),
            inverse: cell.inverse(),
            color: cell.fgcolor(),
            odd: !cell.contents().is_ascii(),
        })
    }
}

/// A screen of this width with this text on it, as high as that needs.
pub(crate) fn screen(text: &str, columns: u16) -> vt100::Parser {
    let text = text.trim_end();
    let rows = text.lines().map(|line| line.chars().count().div_ceil(usize::from(columns)).max(1)).sum::<usize>();
    let mut parser = vt100::Parser::new(u16::try_from(rows).unwrap_or(u16::MAX).max(1), columns, 0);
    parser.process(text.replace('\n', "\r\n").as_bytes());
    parser
}

/// The picture. Who can't see it is read the title, and then the text.
pub(crate) fn svg(title: &str, screen: &Screen) -> String {
    let (rows, columns) = screen.size();
    let [width, height] = [f32::from(columns) * WIDTH + 2.0 * MARGIN, f32::from(rows) * HEIGHT + 2.0 * MARGIN];
    let mut svg = format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img">
<title>{}</title>
<desc>{}</desc>
<rect x="0.5" y="0.5" width="{}" height="{}" rx="8" fill="{GROUND}" stroke="{BORDER}"/>
<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', 'Liberation Mono', monospace" font-size="{LETTERS}" fill="{INK}" xml:space="preserve">
"#,
        escaped(title),
        escaped(&text(screen)),
        width - 1.0,
        height - 1.0,
    );
    (0..rows).for_each(|row| draw_row(&mut svg, screen, row, columns));
    svg + "</g>\n</svg>\n"
}

/// Without blanks at the ends of lines.
fn text(screen: &Screen) -> String {
    let lines: Vec<_> = screen.contents().lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}

/// In pieces that look the same.
fn draw_row(svg: &mut String, screen: &Screen, row: u16, columns: u16) {
    let mut column = 0;
    while column < columns {
        let look = Look::of(screen.cell(row, column));
        let first = column;
        let mut piece = String::new();
        while column < columns && Look::of(screen.cell(row, column)) == look {
            let letter = screen.cell(row, column).map(Cell::contents).filter(|letter| !letter.is_empty());
            piece.push_str(letter.unwrap_or(" "));
            column += 1;
        }
        draw_piece(svg, row, first, &piece, look);
    }
}

fn draw_piece(svg: &mut String, row: u16, column: u16, piece: &str, look: Look) {
    let x = MARGIN + f32::from(column) * WIDTH;
    let y = MARGIN + f32::from(row) * HEIGHT;
    let width = |text: &str| text.chars().count() as f32 * WIDTH;
    if look.inverse {
        let _ = writeln!(svg, r#"<rect x="{x}" y="{y}" width="{}" height="{HEIGHT}" fill="{INK}"/>"#, width(piece));
    }
    // Blanks at the ends are not drawn; the others stay where they are.
    let begun = piece.trim_start();
    let x = x + width(&piece[..piece.len() - begun.len()]);
    let drawn = begun.trim_end();
    if drawn.is_empty() {
        return;
    }
    let mut style = if look.bold { r#" font-weight="600""#.to_owned() } else { String::new() };
    match look {
        Look { inverse: true, .. } => style += &format!(r#" fill="{GROUND}""#),
        Look { faint: true, .. } => style += &format!(r#" fill="{FAINT}""#),
        Look { color: Color::Idx(1), .. } => style += &format!(r#" fill="{RED}""#),
        Look { color: Color::Idx(2), .. } => style += &format!(r#" fill="{GREEN}""#),
        Look { color: Color::Idx(3), .. } => style += &format!(r#" fill="{YELLOW}""#),
        _ => {}
    }
    let (baseline, length, drawn) = (y + 0.75 * HEIGHT, width(drawn), escaped(drawn));
    // Whatever the font, letters stand below each other.
    let _ = writeln!(svg, r#"<text x="{x}" y="{baseline}" textLength="{length}"{style}>{drawn}</text>"#);
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_where_they_were() {
        let parser = screen("a <b>  c\n\x1b[1;7mhead \x1b[m x", 40);
        let svg = svg("A & B", parser.screen());
        assert!(svg.contains("<title>A &amp; B</title>\n<desc>a &lt;b&gt;  c\nhead  x</desc>"), "{svg}");
        assert!(svg.contains(r#"<text x="12" y="24.75" textLength="64">a &lt;b&gt;  c</text>"#), "{svg}");
        assert!(svg.contains(r#"<rect x="12" y="29" width="40" height="17""#), "{svg}");
        assert!(svg.contains(r##"textLength="32" font-weight="600" fill="#0d1117">head</text>"##), "{svg}");
        assert!(svg.contains(r#"<text x="60" y="41.75" textLength="8">x</text>"#), "{svg}");
    }

    #[test]
    fn deleted_lines_are_red_and_added_ones_green() {
        let svg = svg("", screen("\x1b[31m- a\x1b[m\n\x1b[32m+ b\x1b[m\nc", 40).screen());
        assert!(svg.contains(r##"fill="#ff7b72">- a</text>"##), "{svg}");
        assert!(svg.contains(r##"fill="#7ee787">+ b</text>"##), "{svg}");
        assert!(svg.contains(r#"textLength="8">c</text>"#), "{svg}");
    }

    #[test]
    fn a_long_line_is_broken_and_read_in_one() {
        let parser = screen("12345678901234\n\nend", 10);
        let svg = svg("", parser.screen());
        assert_eq!(parser.screen().size(), (4, 10));
        assert!(svg.contains("<desc>12345678901234\n\nend</desc>"), "{svg}");
        assert!(svg.contains(">1234</text>"), "{svg}");
    }

    #[test]
    fn curves_are_pieces_of_their_own() {
        let parser = screen("1.9M ▅▆█", 40);
        let svg = svg("", parser.screen());
        assert!(svg.contains(r#"textLength="32">1.9M</text>"#), "{svg}");
        assert!(svg.contains(r#"<text x="52" y="24.75" textLength="24">▅▆█</text>"#), "{svg}");
    }
}
