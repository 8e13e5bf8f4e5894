//! The text of `keepalived.conf` as statements and braces: comments, quotes, `include`, conditions,
//! parameters, sequences and lists.
//!
//! keepalived's rules: a line is compared with `include` before anything else is done with it.
//! Then come its condition, `~SEQ` and `~LST`, a definition, and the replacement of parameters,
//! whose values may have several lines. Braces end a statement, as the end of a line does.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ipvs::desired::{Place, Source};

use super::super::{Files, Output};

/// A part of the text.
#[derive(Debug, PartialEq)]
pub(super) enum Token {
    Words(Vec<String>),
    Open,
    Close,
}

/// Takes the tokens.
pub(super) trait Sink {
    fn token(&mut self, token: Token, place: &Place, output: &mut Output);
}

/// Files within files.
const DEEPEST_FILE: usize = 16;
/// Values within values, and sequences within sequences.
const DEEPEST_VALUE: usize = 32;
/// Bytes of all lines, and of each as often as a value is put into it: a bound for memory and time.
const LONGEST: usize = 64 << 20;
/// What a line that a sequence or a value of several lines makes counts for, and an included file.
const REPEATED: usize = 256;
/// Bytes of the path of a file.
const LONGEST_PATH: usize = 4096;
/// Bytes of one line after replacement.
const LONGEST_LINE: usize = 1 << 20;

/// Reads a text with all that it includes.
pub(super) struct Lines<'l> {
    pub(super) files: &'l dyn Files,
    pub(super) config_id: &'l str,
    pub(super) sink: &'l mut dyn Sink,
    pub(super) output: &'l mut Output,
    pub(super) values: BTreeMap<String, String>,
    /// Files that are being read, the innermost last.
    pub(super) open: Vec<PathBuf>,
    /// How many bytes may still be read.
    pub(super) budget: usize,
}

impl<'l> Lines<'l> {
    pub(super) fn new(
        files: &'l dyn Files,
        config_id: &'l str,
        sink: &'l mut dyn Sink,
        output: &'l mut Output,
    ) -> Self {
        Lines { files, config_id, sink, output, values: BTreeMap::new(), open: Vec::new(), budget: LONGEST }
    }

    /// Reads a file, the main one or an included one.
    pub(super) fn file(&mut self, source: &Source, path: PathBuf) {
        self.open.push(path);
        let (text, mut start) = (source.text(), 0);
        // The name and the value so far of a definition that goes on in the next line.
        let mut unfinished: Option<(String, String)> = None;
        while start < text.len() && !self.is_over() {
            let rest = &text[start..];
            let line = rest.split(|&byte| byte == b'\n').next().unwrap_or_default();
            let place = source.line(start);
            start += line.len() + 1;
            let line = String::from_utf8_lossy(line);
            if line.contains('\0') {
                self.output.problem(&place, "there is a NUL in this line");
                continue;
            }
            let line = without_comment(&line).trim();
            let (line, goes_on) = line.strip_suffix('\\').map_or((line, false), |line| (line.trim_end(), true));
            if let Some((name, mut value)) = unfinished.take() {
                value.push_str(line);
                value.push('\n');
                match goes_on {
                    true if value.len() <= LONGEST_LINE => unfinished = Some((name, value)),
                    true => self.output.problem(&place, "this definition is longer than 1 MiB"),
                    false => _ = self.values.insert(name, value),
                }
                continue;
            }
            match (definition(line), goes_on) {
                (Some((name, "")), true) => unfinished = Some((name.to_owned(), String::new())),
                (Some(_), true) => self.output.problem(
                    &place,
                    "keepalived takes nothing behind the '=' of a definition of several lines but '\\'",
                ),
                (None, true) => self.output.problem(
                    &place,
                    "keepalived continues only definitions such as $NAME= in the next line: remove the '\\'",
                ),
                _ => match include(line) {
                    Some(pattern) => self.include(&place, pattern),
                    None => self.line(line, &place, 0),
                },
            }
        }
        if let Some((name, value)) = unfinished {
            self.values.insert(name, value);
        }
        self.open.pop();
    }

    fn is_over(&self) -> bool {
        self.output.is_full() || self.budget == 0
    }

    fn include(&mut self, place: &Place, pattern: &str) {
        if pattern.is_empty() {
            return self.output.problem(place, "include: the name of a file is missing");
        }
        if pattern.len() > LONGEST_PATH {
            return self.output.problem(place, format!("include: this is longer than {LONGEST_PATH} bytes"));
        }
        if self.open.len() >= DEEPEST_FILE {
            let reason = format!("include: files are included {DEEPEST_FILE} deep, and here it stops");
            return self.output.problem(place, reason);
        }
        let Some(patterns) = alternatives(pattern) else {
            return self.output.problem(place, "include: this has too many braces");
        };
        for pattern in patterns {
            let directory = self.directory().to_owned();
            self.spend(REPEATED, place);
            let found = match self.files.matching(&directory, &pattern) {
                Ok(found) => found,
                Err(error) => return self.output.problem(place, format!("include {pattern}: {error}")),
            };
            if found.is_empty() {
                self.output.note(place, format!("include {pattern}: no such file, so keepalived reads nothing here"));
            }
            for path in found {
                if self.is_over() {
                    return;
                }
                self.include_file(place, path);
            }
        }
    }

    fn include_file(&mut self, place: &Place, path: PathBuf) {
        let shown = path.display().to_string();
        if self.open.contains(&path) {
            return self.output.problem(place, format!("include: {shown} includes itself"));
        }
        match self.files.read(&path) {
            Ok(text) => {
                self.spend(REPEATED, place);
                self.file(&Source::new(shown, text), path);
            }
            Err(error) => self.output.problem(place, format!("include: {shown}: {error}")),
        }
    }

    /// The directory of the current file.
    fn directory(&self) -> &Path {
        self.open.last().and_then(|path| path.parent()).unwrap_or(Path::new(""))
    }

    fn spend(&mut self, bytes: usize, place: &Place) {
        if self.budget > 0 {
            self.budget = self.budget.saturating_sub(bytes);
            if self.budget == 0 {
                self.output.problem(place, "with all that is included and repeated, there are more than 64 MiB");
            }
        }
    }

    /// A line of a file or of a parameter's value.
    fn line(&mut self, line: &str, place: &Place, depth: usize) {
        let mut line = line.trim();
        self.spend(line.len() + if depth == 0 { 1 } else { REPEATED }, place);
        if self.is_over() {
            return;
        }
        if depth > DEEPEST_VALUE || line.len() > LONGEST_LINE {
            return self.output.problem(place, "parameters contain one another too deeply or grow too long");
        }
        while let Some(condition) = line.strip_prefix('@') {
            let (is_negated, rest) = condition.strip_prefix('^').map_or((false, condition), |rest| (true, rest));
            let (id, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            if id.is_empty() {
                return self.output.problem(place, "a word must follow '@' at once, such as @main");
            }
            if (id == self.config_id) == is_negated {
                return;
            }
            line = rest.trim();
        }
        if line.starts_with("~SEQ") || line.starts_with("~LST") {
            return self.repeat(line, place, depth);
        }
        if let Some((name, value)) = definition(line) {
            self.values.insert(name.to_owned(), value.to_owned());
            return;
        }
        let replaced = self.replaced(line);
        // It costs as much as the line is long for each value.
        self.spend(replaced.as_ref().map_or(0, |(_, cost)| *cost), place);
        match replaced.map(|(replaced, _)| replaced) {
            Err(reason) => self.output.problem(place, reason),
            Ok(replaced) if replaced.contains('\n') => {
                for part in replaced.split('\n') {
                    if self.is_over() {
                        return;
                    }
                    self.line(part, place, depth + 1);
                }
            }
            Ok(replaced) if replaced.starts_with(['@', '~']) && !line.starts_with(['@', '~']) => {
                self.output.problem(place, "keepalived misreads a condition or sequence that is a parameter's value");
            }
            Ok(replaced) => self.tokens(&replaced, place),
        }
    }

    /// `~SEQ(NAME, first, step, last) rest` and `~LST(NAME, value, value) rest`.
    fn repeat(&mut self, line: &str, place: &Place, depth: usize) {
        let is_wrong = "this must be ~SEQ(NAME, first, step, last) or ~LST(NAME, value, …) and a line";
        let Some((head, rest)) = line.split_once(')') else { return self.output.problem(place, is_wrong) };
        let Some((kind, arguments)) = head.split_once('(') else { return self.output.problem(place, is_wrong) };
        let Ok((arguments, cost)) = self.replaced(arguments) else { return self.output.problem(place, is_wrong) };
        self.spend(cost, place);
        let arguments = split_list(&arguments);
        let Some((name, values)) = arguments.split_first() else { return self.output.problem(place, is_wrong) };
        let names = group(name);
        if values.is_empty() || names.iter().any(|name| !is_name(name)) {
            return self.output.problem(place, is_wrong);
        }
        match kind {
            "~SEQ" | "~SEQx" if names.len() == 1 => {
                let Some((first, step, last)) = sequence(values) else { return self.output.problem(place, is_wrong) };
                let mut value = first;
                while !self.is_over() && if step > 0 { value <= last } else { value >= last } {
                    let text = if kind == "~SEQx" { format!("{value:x}") } else { value.to_string() };
                    self.values.insert(names[0].to_owned(), text);
                    self.line(rest, place, depth + 1);
                    let Some(next) = value.checked_add(step) else { break };
                    value = next;
                }
            }
            "~LST" => {
                for value in values {
                    let of_each = group(value);
                    if of_each.len() != names.len() {
                        return self.output.problem(place, "each group of ~LST must have a value for each name");
                    }
                    if self.is_over() {
                        return;
                    }
                    let pairs = names.iter().zip(of_each);
                    self.values.extend(pairs.map(|(name, value)| ((*name).to_owned(), value.to_owned())));
                    self.line(rest, place, depth + 1);
                }
            }
            _ => self.output.problem(place, is_wrong),
        }
    }

    /// The line with the values of its parameters, and how many bytes were moved for it. It ends at
    /// the first value that has several lines, as these may define what follows.
    fn replaced(&self, line: &str) -> Result<(String, usize), String> {
        let mut line = line.to_owned();
        let (mut from, mut replacements, mut cost) = (0, 0, 0);
        while let Some(at) = line[from..].find('$').map(|at| from + at) {
            let Some((name, end)) = parameter(&line, at) else {
                from = at + 1;
                continue;
            };
            let value = match name {
                "_PWD" => Some(self.directory().display().to_string()),
                "_INSTANCE" => Some(self.config_id.to_owned()),
                // They would start a comment.
                "_HASH" => Some("#".to_owned()),
                "_BANG" => Some("!".to_owned()),
                name => self.values.get(name).cloned(),
            };
            let Some(value) = value else {
                from = end;
                continue;
            };
            replacements += 1;
            if replacements > 10 * DEEPEST_VALUE || line.len() + value.len() > LONGEST_LINE {
                return Err("parameters contain one another too deeply or grow too long".to_owned());
            }
            line.replace_range(at..end, &value);
            cost += line.len();
            if value.contains('\n') {
                break;
            }
            from = at;
        }
        Ok((line, cost))
    }

    /// Words and braces of a line without parameters.
    fn tokens(&mut self, line: &str, place: &Place) {
        let mut words: Vec<String> = Vec::new();
        let mut word: Option<String> = None;
        let mut letters = line.char_indices().peekable();
        while let Some((at, letter)) = letters.next() {
            match letter {
                '"' => {
                    let word = word.get_or_insert_default();
                    let mut is_closed = false;
                    while let Some((_, quoted)) = letters.next() {
                        match quoted {
                            '"' => {
                                is_closed = true;
                                break;
                            }
                            '\\' => {
                                word.push('\\');
                                word.extend(letters.next().map(|(_, escaped)| escaped));
                            }
                            quoted => word.push(quoted),
                        }
                    }
                    if !is_closed {
                        return self.output.problem(place, "the closing '\"' is missing in this line");
                    }
                }
                '$' if line[at..].starts_with("${") => {
                    let name = line[at + 2..].split('}').next().unwrap_or_default();
                    let reason = match name.split(' ').next() {
                        Some("_RANDOM") => "a random number is another one in each run of keepalived".to_owned(),
                        _ => format!("the parameter '{name}' is not defined at this point"),
                    };
                    return self.output.problem(place, reason);
                }
                '{' | '}' => {
                    words.extend(word.take());
                    self.emit(&mut words, place);
                    let brace = if letter == '{' { Token::Open } else { Token::Close };
                    self.sink.token(brace, place, self.output);
                }
                letter if letter.is_whitespace() => words.extend(word.take()),
                letter => word.get_or_insert_default().push(letter),
            }
        }
        words.extend(word);
        self.emit(&mut words, place);
    }

    fn emit(&mut self, words: &mut Vec<String>, place: &Place) {
        if !words.is_empty() {
            self.sink.token(Token::Words(std::mem::take(words)), place, self.output);
        }
    }
}

/// The line up to a `#` or `!` that is not quoted.
fn without_comment(line: &str) -> &str {
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, letter) in line.char_indices() {
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            '#' | '!' if !is_quoted => return &line[..at],
            _ => {}
        }
    }
    line
}

/// The pattern of a line that includes files.
fn include(line: &str) -> Option<&str> {
    let (word, pattern) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    ["include", "includer", "includem", "includew", "includeb", "includea"].contains(&word).then(|| pattern.trim())
}

/// The name and the value of a definition.
fn definition(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.strip_prefix('$')?.split_once('=')?;
    is_name(name).then(|| (name, value.trim()))
}

fn is_name(name: &str) -> bool {
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    !name.is_empty() && !name.starts_with(|letter: char| letter.is_ascii_digit()) && name.chars().all(is_letter)
}

/// The name of a parameter at a `$`, and the end of what its value replaces.
fn parameter(line: &str, at: usize) -> Option<(&str, usize)> {
    let rest = &line[at + 1..];
    if let Some(braced) = rest.strip_prefix('{') {
        let (name, _) = braced.split_once('}')?;
        return is_name(name).then_some((name, at + name.len() + 3));
    }
    let name = rest.split(char::is_whitespace).next()?;
    is_name(name).then_some((name, at + 1 + name.len()))
}

/// What is between commas outside of braces.
fn split_list(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0usize);
    for (at, letter) in text.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    parts
}

/// The members of `{a, b}`, or what has no braces.
fn group(text: &str) -> Vec<&str> {
    match text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) {
        Some(members) => members.split(',').map(str::trim).collect(),
        None => vec![text],
    }
}

/// First value, step and last value of `~SEQ`.
fn sequence(values: &[&str]) -> Option<(i64, i64, i64)> {
    let number = |text: &str| {
        let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
        let value = match digits.strip_prefix("0x") {
            Some(digits) => i64::from_str_radix(digits, 16),
            None => digits.parse(),
        };
        value.ok().map(|value| sign * value)
    };
    let numbers: Vec<i64> = values.iter().map(|text| number(text)).collect::<Option<_>>()?;
    let step = |first, last| if last >= first { 1 } else { -1 };
    match numbers[..] {
        [last] => {
            let first = if last > 0 { 1 } else { -1 };
            Some((first, step(first, last), last))
        }
        [first, last] => Some((first, step(first, last), last)),
        [first, by, last] if by != 0 => Some((first, by, last)),
        _ => None,
    }
}

/// The patterns that braces stand for; `None`: too many.
fn alternatives(pattern: &str) -> Option<Vec<String>> {
    const MOST: usize = 1000;
    let (mut open, mut done) = (vec![pattern.to_owned()], Vec::new());
    while let Some(pattern) = open.pop() {
        // An innermost pair.
        let close = pattern.find('}');
        let pair = close.and_then(|close| Some((pattern[..close].rfind('{')?, close)));
        let Some((start, close)) = pair else {
            done.push(pattern);
            continue;
        };
        for choice in pattern[start + 1..close].split(',').rev() {
            open.push(format!("{}{choice}{}", &pattern[..start], &pattern[close + 1..]));
        }
        if open.len() + done.len() > MOST {
            return None;
        }
    }
    Some(done)
}
