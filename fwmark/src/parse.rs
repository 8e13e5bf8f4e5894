//! Reading command lines of iptables. Printing them is in `command_line.rs`.

use std::num::NonZeroU32;
use std::str::FromStr;

use ipvs::{Family, InvalidValue};

use crate::command_line::{Action, CommandLine};
use crate::interface::InterfacePattern;
use crate::mark::SetMark;
use crate::network::Network;
use crate::number;
use crate::ports::{PortRange, Ports};
use crate::protocol::Protocol;
use crate::rule::{Hook, MarkRule, Traffic};

/// Reads a command line of iptables or ip6tables that sets a mark.
///
/// It knows `-t mangle`; `-A`, `-I` and `-D` in the chains `PREROUTING` and `OUTPUT`; `-d`, `-s`,
/// `-i`, `-p tcp|udp|sctp`; `--dport`, and `--dports` after `-m multiport`; `-j MARK` with
/// `--set-mark` or `--set-xmark`. Options may have their long names, and values may follow without
/// a space (`-d192.0.2.1`, `--dport=80`), as in iptables. A rule with another condition is refused,
/// never read as a wider rule.
///
/// # Errors
/// [`ParseError`]: the unknown word, its position, and what is expected there.
///
/// ```
/// let line =
///     "iptables -t mangle -A PREROUTING -d 192.0.2.1 -p tcp --dport 80 -j MARK --set-mark 10";
/// assert_eq!(fwmark::parse(line)?.rule.set().mark().get(), 10);
///
/// let error = fwmark::parse("iptables -t mangle -A PREROUTING-d 192.0.2.1").unwrap_err();
/// assert_eq!(error.word(), "PREROUTING-d");
/// assert!(error.to_string().starts_with("column 23, \"PREROUTING-d\": must be the chain"));
/// # Ok::<(), fwmark::ParseError>(())
/// ```
pub fn parse(line: &str) -> Result<CommandLine, ParseError> {
    let mut words = Words { line, at: 0 };
    words.refuse_false_spaces()?;
    let mut draft = Draft::new(family_of_program(&mut words)?);
    while let Some(word) = words.next() {
        let (option, value) = split_option(word).ok_or_else(|| word.refused(Reason::Unknown))?;
        let value = value.or_else(|| words.next()).ok_or_else(|| word.refused(Reason::NoValue))?;
        draft.take(option, word, value, &mut words)?;
    }
    draft.finish(words.end())
}

impl FromStr for CommandLine {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        parse(text)
    }
}

/// Why a line can't be read: the word where reading stopped, its position, and the reason.
///
/// ```
/// let error = fwmark::parse("iptables -t mangel -A PREROUTING").unwrap_err();
/// assert_eq!((error.word(), error.offset(), error.column()), ("mangel", 12, 13));
/// assert_eq!(error.reason(), &fwmark::Reason::Table);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column {column}, {}: {reason}", named(word))]
pub struct ParseError {
    word: String,
    offset: usize,
    column: usize,
    reason: Reason,
}

impl ParseError {
    /// The word; if an option and its value are one word, the wrong part. Empty if the line ended
    /// too early.
    ///
    /// ```
    /// let error = fwmark::parse("iptables -t mangle -A OUTPUT -d912.168.0.1").unwrap_err();
    /// assert_eq!(error.word(), "912.168.0.1");
    /// ```
    pub fn word(&self) -> &str {
        &self.word
    }

    /// Where the word starts in the line, in bytes from 0.
    ///
    /// ```
    /// let line = "iptables -t mangle -X";
    /// let error = fwmark::parse(line).unwrap_err();
    /// assert!(line[error.offset()..].starts_with(error.word()));
    /// ```
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Where the word starts in the line, in characters from 1.
    ///
    /// ```
    /// assert_eq!(fwmark::parse("iptables –t mangle").unwrap_err().column(), 10);
    /// ```
    pub fn column(&self) -> usize {
        self.column
    }

    /// The reason.
    ///
    /// ```
    /// assert_eq!(
    ///     fwmark::parse("nft list tables").unwrap_err().reason(),
    ///     &fwmark::Reason::Program
    /// );
    /// ```
    pub fn reason(&self) -> &Reason {
        &self.reason
    }
}

/// The word as a message shows it: white space and control characters as escapes.
fn named(word: &str) -> String {
    if word.is_empty() {
        return "end of the line".to_owned();
    }
    let shown = word.chars().map(|c| match c {
        c if c.is_whitespace() || c.is_control() => c.escape_unicode().to_string(),
        c => c.to_string(),
    });
    format!("\"{}\"", shown.collect::<String>())
}

/// Why a word can't be read.
///
/// ```
/// use fwmark::Reason;
/// let error = fwmark::parse("iptables -t mangle -A OUTPUT ! -d 192.0.2.1").unwrap_err();
/// assert!(matches!(error.reason(), Reason::Unknown));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// The line is not one of iptables.
    #[error("a line must start with iptables or ip6tables")]
    Program,
    /// A character that looks like a space.
    #[error("not a space for a shell, although it looks like one, as on web pages")]
    FalseSpace,
    /// Another table.
    #[error("must be mangle, the table in which marks are set")]
    Table,
    /// Another chain.
    #[error("must be the chain PREROUTING, or OUTPUT for packets of the director itself")]
    Chain,
    /// Another target than `MARK`.
    #[error("must be MARK, the target that sets a mark")]
    Target,
    /// A match with another condition than ports.
    #[error("unknown match, expected multiport or the protocol of -p")]
    Match,
    /// An invalid value.
    #[error("invalid {}, expected {}", .0.what(), .0.allowed())]
    Value(#[from] InvalidValue),
    /// An address of the other family.
    #[error("must be an IPv4 address for iptables, an IPv6 address for ip6tables")]
    Family,
    /// An interface for packets of the director itself.
    #[error("not possible in the chain OUTPUT, whose packets come in by no interface")]
    Interface,
    /// An unknown option, or a word in place of an option.
    #[error("unknown in a rule that sets a mark")]
    Unknown,
    /// An option without its value.
    #[error("its value is missing")]
    NoValue,
    /// An option that was given before, perhaps in another spelling.
    #[error("given twice")]
    Repeated,
    /// An option that needs another one.
    #[error("needs {0}")]
    Without(&'static str),
    /// A part that every rule must have.
    #[error("{0} is missing")]
    Missing(&'static str),
}

/// A word of the line.
#[derive(Clone, Copy, Debug)]
struct Word<'a> {
    line: &'a str,
    offset: usize,
    text: &'a str,
}

impl<'a> Word<'a> {
    fn refused(self, reason: impl Into<Reason>) -> ParseError {
        let column = self.line[..self.offset].chars().count() + 1;
        ParseError { word: self.text.to_owned(), offset: self.offset, column, reason: reason.into() }
    }

    fn parse<T: FromStr<Err = InvalidValue>>(self) -> Result<T, ParseError> {
        self.text.parse().map_err(|error| self.refused(Reason::Value(error)))
    }

    /// The word without its first bytes.
    fn after(self, bytes: usize) -> Word<'a> {
        Word { offset: self.offset + bytes, text: &self.text[bytes..], ..self }
    }
}

/// The words of a line, separated by white space. Quotes and escapes are not interpreted.
#[derive(Clone, Copy)]
struct Words<'a> {
    line: &'a str,
    at: usize,
}

impl<'a> Words<'a> {
    /// The next word, unless it is an option.
    fn next_plain(&mut self) -> Option<Word<'a>> {
        let mut ahead = *self;
        let word = ahead.next().filter(|word| !word.text.starts_with('-'))?;
        *self = ahead;
        Some(word)
    }

    /// Refuses characters that only look like spaces: the words around them would be one word.
    fn refuse_false_spaces(&self) -> Result<(), ParseError> {
        match self.line.char_indices().find(|(_, c)| c.is_whitespace() && !c.is_ascii()) {
            None => Ok(()),
            Some((offset, c)) => {
                let text = &self.line[offset..offset + c.len_utf8()];
                Err(Word { line: self.line, offset, text }.refused(Reason::FalseSpace))
            }
        }
    }

    fn end(&self) -> Word<'a> {
        Word { line: self.line, offset: self.line.len(), text: "" }
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = Word<'a>;

    fn next(&mut self) -> Option<Word<'a>> {
        let rest = self.line[self.at..].trim_start_matches(|c: char| c.is_ascii_whitespace());
        let offset = self.line.len() - rest.len();
        let text = rest.split(|c: char| c.is_ascii_whitespace()).next().filter(|text| !text.is_empty())?;
        self.at = offset + text.len();
        Some(Word { line: self.line, offset, text })
    }
}

fn family_of_program(words: &mut Words<'_>) -> Result<Family, ParseError> {
    let Some(word) = words.next() else { return Err(words.end().refused(Reason::Program)) };
    let program = word.text.rsplit('/').next().unwrap_or_default();
    match program.strip_suffix("-legacy").or_else(|| program.strip_suffix("-nft")).unwrap_or(program) {
        "iptables" => Ok(Family::V4),
        "ip6tables" => Ok(Family::V6),
        _ => Err(word.refused(Reason::Program)),
    }
}

/// The known options; each has a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opt {
    Table,
    Append,
    Insert,
    Delete,
    Destination,
    Source,
    Interface,
    Protocol,
    Match,
    Port,
    PortList,
    Jump,
    SetMark,
    SetXmark,
}

/// Their spellings. The value is in the next word, or in the same one: after `=` for a long option.
const OPTIONS: &[(Opt, &[&str])] = &[
    (Opt::Table, &["-t", "--table"]),
    (Opt::Append, &["-A", "--append"]),
    (Opt::Insert, &["-I", "--insert"]),
    (Opt::Delete, &["-D", "--delete"]),
    (Opt::Destination, &["-d", "--destination", "--dst"]),
    (Opt::Source, &["-s", "--source", "--src"]),
    (Opt::Interface, &["-i", "--in-interface"]),
    (Opt::Protocol, &["-p", "--protocol", "--proto"]),
    (Opt::Match, &["-m", "--match"]),
    (Opt::Port, &["--dport", "--destination-port"]),
    (Opt::PortList, &["--dports", "--destination-ports"]),
    (Opt::Jump, &["-j", "--jump"]),
    (Opt::SetMark, &["--set-mark"]),
    (Opt::SetXmark, &["--set-xmark"]),
];

/// The option, and its value if it is in the same word.
fn split_option(word: Word<'_>) -> Option<(Opt, Option<Word<'_>>)> {
    let (name, value) = if word.text.starts_with("--") {
        match word.text.find('=') {
            Some(at) => (&word.text[..at], Some(word.after(at + 1))),
            None => (word.text, None),
        }
    } else {
        let name = word.text.get(..2)?;
        (name, Some(word.after(2)).filter(|value| !value.text.is_empty()))
    };
    let (option, _) = OPTIONS.iter().find(|(_, names)| names.contains(&name))?;
    Some((*option, value))
}

/// The options read so far.
struct Draft<'a> {
    family: Family,
    table: Option<()>,
    action: Option<Action>,
    is_output: bool,
    interface: Option<(Word<'a>, InterfacePattern)>,
    source: Option<Network>,
    destination: Option<Network>,
    protocol: Option<Protocol>,
    /// `-m multiport`, which needs `--dports` after it.
    multiport: Option<Word<'a>>,
    has_list: bool,
    ports: Option<Ports>,
    target: Option<()>,
    set: Option<SetMark>,
}

impl<'a> Draft<'a> {
    fn new(family: Family) -> Self {
        Draft {
            family,
            table: None,
            action: None,
            is_output: false,
            interface: None,
            source: None,
            destination: None,
            protocol: None,
            multiport: None,
            has_list: false,
            ports: None,
            target: None,
            set: None,
        }
    }

    /// Takes an option, written as `word`, with its value.
    fn take(&mut self, option: Opt, word: Word<'a>, value: Word<'a>, rest: &mut Words<'a>) -> Result<(), ParseError> {
        match option {
            Opt::Table => once(&mut self.table, word, expect(value, "mangle", Reason::Table)?),
            Opt::Append | Opt::Insert | Opt::Delete => self.take_action(option, word, value, rest),
            Opt::Destination => once(&mut self.destination, word, network(self.family, value)?),
            Opt::Source => once(&mut self.source, word, network(self.family, value)?),
            Opt::Interface => once(&mut self.interface, word, (word, value.parse()?)),
            Opt::Protocol => once(&mut self.protocol, word, value.parse()?),
            Opt::Match => self.take_match(value),
            Opt::Port | Opt::PortList => self.take_ports(option, word, value),
            Opt::Jump => once(&mut self.target, word, expect(value, "MARK", Reason::Target)?),
            Opt::SetMark => self.take_mark(word, value, SetMark::parse_set_mark),
            Opt::SetXmark => self.take_mark(word, value, SetMark::parse_set_xmark),
        }
    }

    fn take_action(
        &mut self,
        option: Opt,
        word: Word<'a>,
        chain: Word<'a>,
        rest: &mut Words<'a>,
    ) -> Result<(), ParseError> {
        self.is_output = match chain.text {
            "PREROUTING" => false,
            "OUTPUT" => true,
            _ => return Err(chain.refused(Reason::Chain)),
        };
        let action = match option {
            Opt::Insert => Action::Insert(rest.next_plain().map_or(Ok(NonZeroU32::MIN), place)?),
            Opt::Delete => Action::Delete,
            _ => Action::Append,
        };
        once(&mut self.action, word, action)
    }

    fn take_match(&mut self, name: Word<'a>) -> Result<(), ParseError> {
        match name.text {
            "multiport" => once(&mut self.multiport, name, name),
            // iptables-save writes `-m tcp`, too.
            text if self.protocol.is_some_and(|protocol| protocol.to_string() == text) => Ok(()),
            _ => Err(name.refused(Reason::Match)),
        }
    }

    /// iptables knows these options only after `-p` and `-m multiport`.
    fn take_ports(&mut self, option: Opt, word: Word<'a>, value: Word<'a>) -> Result<(), ParseError> {
        if self.protocol.is_none() {
            return Err(word.refused(Reason::Without("-p tcp, udp or sctp before it")));
        }
        if option == Opt::Port {
            return once(&mut self.ports, word, value.parse::<PortRange>()?.into());
        }
        if self.multiport.is_none() {
            return Err(word.refused(Reason::Without("-m multiport before it")));
        }
        self.has_list = true;
        once(&mut self.ports, word, value.parse()?)
    }

    fn take_mark(
        &mut self,
        word: Word<'a>,
        value: Word<'a>,
        read: impl FnOnce(&str) -> Result<SetMark, InvalidValue>,
    ) -> Result<(), ParseError> {
        if self.target.is_none() {
            return Err(word.refused(Reason::Without("-j MARK before it")));
        }
        once(&mut self.set, word, read(value.text).map_err(|error| value.refused(error))?)
    }

    fn finish(self, end: Word<'a>) -> Result<CommandLine, ParseError> {
        let missing = |what| move || end.refused(Reason::Missing(what));
        self.table.ok_or_else(missing("-t mangle"))?;
        let action = self.action.ok_or_else(missing("-A, -I or -D with a chain"))?;
        self.target.ok_or_else(missing("-j MARK"))?;
        let set = self.set.ok_or_else(missing("--set-mark"))?;
        if let Some(word) = self.multiport.filter(|_| !self.has_list) {
            return Err(word.refused(Reason::Without("--dports after it")));
        }
        let any = Network::any(self.family);
        let source = self.source.unwrap_or(any);
        let rule = MarkRule::new(self.destination.unwrap_or(any), set)
            .with_source(source)
            .map_err(|_| end.refused(Reason::Family))?
            .with_traffic(traffic(self.protocol, self.ports))
            .with_hook(hook(self.is_output, self.interface)?);
        Ok(CommandLine { action, rule })
    }
}

fn network(family: Family, value: Word<'_>) -> Result<Network, ParseError> {
    let network: Network = value.parse()?;
    if network.family() == family { Ok(network) } else { Err(value.refused(Reason::Family)) }
}

fn traffic(protocol: Option<Protocol>, ports: Option<Ports>) -> Traffic {
    match (protocol, ports) {
        (None, _) => Traffic::Any,
        (Some(protocol), None) => Traffic::Protocol(protocol),
        (Some(protocol), Some(ports)) => Traffic::Ports(protocol, ports),
    }
}

fn hook(is_output: bool, interface: Option<(Word<'_>, InterfacePattern)>) -> Result<Hook, ParseError> {
    match (is_output, interface) {
        (false, interface) => Ok(Hook::Prerouting { interface: interface.map(|(_, name)| name) }),
        (true, None) => Ok(Hook::Output),
        (true, Some((word, _))) => Err(word.refused(Reason::Interface)),
    }
}

fn place(word: Word<'_>) -> Result<NonZeroU32, ParseError> {
    number::unsigned(word.text).and_then(NonZeroU32::new).ok_or_else(|| {
        word.refused(InvalidValue::new("position in the chain", word.text, "a number from 1 to 4294967295"))
    })
}

fn once<T>(slot: &mut Option<T>, word: Word<'_>, value: T) -> Result<(), ParseError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(word.refused(Reason::Repeated)),
    }
}

fn expect(value: Word<'_>, only: &str, reason: Reason) -> Result<(), ParseError> {
    if value.text == only { Ok(()) } else { Err(value.refused(reason)) }
}
