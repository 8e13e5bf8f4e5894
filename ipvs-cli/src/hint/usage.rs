//! What would mend a line, by what is wrong with it.
//!
//! Each hint says one of few things: write this instead of that, leave this out, add this, a value
//! is from this to that. What is written, left out or added was tried.

use ipvs_text::ipvsadm::Usage;
use ipvs_text::ipvsadm::grammar::{self, Item, ROWS, Takes};
use ipvs_text::ipvsadm::rules::{self, Slot, Verb};
use strsim::osa_distance;

use super::line::{
    Check, Text, either, options_of, quoted, row, spelled, unbundled, values, with, with_other_value, with_value,
};
use super::values::{Allowed, KINDS, Kind, SCHEDULERS, sample};
use super::{address, foreign, show};

/// The first remedy that mends the line.
pub(super) fn hint(text: &Text, usage: &Usage, check: &mut Check<'_, '_>) -> Option<String> {
    check.look(text);
    if let Some(says) = foreign::line(&text.join(&b' ')) {
        return Some(says.to_owned());
    }
    if let Some(says) = long_name_with_one_dash(text, check) {
        return Some(says);
    }
    let text = &unbundled(text);
    match usage {
        Usage::NoCommand => no_command(text, check),
        Usage::UnknownOption(word) => respelled(text, word, check),
        Usage::NoValue(word) => no_value(text, word, check),
        Usage::UnwantedValue(word) => without_value(text, word, check),
        Usage::SecondCommand(word) => second_command(text, word, check),
        Usage::Multiple(slot) => {
            let or = left_out(text, &options_of(text, slot.name()), check)?;
            let why = if or.contains(" or ") { "they exclude each other" } else { "it is there twice" };
            Some(format!("{or}: {why}"))
        }
        Usage::UnexpectedWord(word) => unexpected(text, word, check),
        Usage::Illegal(what) => value(text, what, None, check),
        Usage::Invalid(what, word) => {
            written_otherwise(text, word, check).or_else(|| value(text, what, Some(word), check))
        }
        Usage::Address(_, word) => address::hint(text, word, check),
        Usage::Group(_, word) => value(text, "mcast-group", Some(word), check),
        Usage::Flag(how, word) => flag(text, how, word, check),
        Usage::Ipv6BeforeMark => ipv6_before_mark(text, check),
        Usage::TooFewTimeouts => timeouts(text, check),
        Usage::Needed { option, .. } => needed(text, option, check),
        Usage::NotAllowed { option, .. } => not_allowed(text, option, check),
        Usage::Conflict { option, other, .. } => {
            let both: Vec<_> = [option, other].into_iter().flat_map(|name| options_of(text, name)).collect();
            left_out(text, &both, check).map(|or| format!("{or}: they exclude each other"))
        }
        Usage::ZeroPort => address::without_port(text, check),
        Usage::OnePacketNotUdp => {
            let or = left_out(text, &options_of(text, Slot::Ops.name()), check)?;
            Some(format!("{or}: it is for UDP and firewall marks"))
        }
        Usage::MixedFamilies | Usage::NotATunnel => tunnel(text, check),
        Usage::ListConflict => {
            let all: Vec<_> =
                [Slot::Connection, Slot::Timeout, Slot::Daemon, Slot::Stats, Slot::Rate, Slot::Thresholds]
                    .into_iter()
                    .chain([Slot::PersistentConn])
                    .flat_map(|slot| options_of(text, slot.name()))
                    .collect();
            left_out(text, &all, check).map(|or| format!("{or}: they are different listings"))
        }
    }
}

fn place(text: &Text, word: &[u8]) -> Option<usize> {
    text.iter().rposition(|other| other == word)
}

/// The options that can be left out, one of them.
fn left_out(text: &Text, options: &[std::ops::Range<usize>], check: &mut Check<'_, '_>) -> Option<String> {
    let mut words = Vec::new();
    for range in options {
        if check.mends(&with(text, range.clone(), &[])) {
            words.push(show(&text[range.clone()].join(&b' ')));
        }
    }
    words.dedup();
    (!words.is_empty()).then(|| format!("leave out {}", either(&words)))
}

fn no_command(text: &Text, check: &mut Check<'_, '_>) -> Option<String> {
    let first = text.first()?;
    if first.starts_with(b"#") {
        return Some("leave out the line: only `ipvsadm-restore` takes comments, whose '#' begins the line".to_owned());
    }
    // sudo /sbin/ipvsadm -A …
    if let Some(start) = text.iter().position(|word| word.first() == Some(&b'-')).filter(|start| *start > 0)
        && check.mends(&with(text, 0..start, &[]))
    {
        return Some(format!("leave out {}: a line begins with its command", quoted(&text[..start])));
    }
    let verb = |word: &[u8]| matches!(row(word)?.item, Item::Verb(_) | Item::Help | Item::Version).then_some(());
    for at in 1..text.len() {
        if verb(&text[at]).is_none() {
            continue;
        }
        let range = with_value(text, at);
        let command: Vec<&[u8]> = text[range.clone()].iter().map(Vec::as_slice).collect();
        let first = with(&with(text, range, &[]), 0..0, &command);
        if check.mends(&first) {
            return Some(format!("the command comes first: write the line as {}", quoted(&first)));
        }
    }
    if let Some(row) = row(first).filter(|row| matches!(row.takes, Takes::Value(_))) {
        let roles = check.instead(text, &(1..1), ["master", "backup"]);
        if matches!(row.item, Item::Verb(_)) && !roles.is_empty() {
            return Some(format!("add {} behind {}", either(&roles), quoted(&text[..1])));
        }
    }
    if let Some(says) = respelled(text, first, check) {
        return Some(says);
    }
    let is_plain = |row: &&grammar::Row| matches!(row.item, Item::Verb(_)) && row.takes == Takes::Nothing;
    let commands: Vec<String> = ROWS.iter().filter(is_plain).map(spelled).collect();
    if row(first).is_some() {
        // With another fault left, nearly each command could stand there.
        let mends = |command: &String| check.mends_all(&with(text, 0..0, &[command.as_bytes()]));
        let commands: Vec<String> = commands.into_iter().filter(mends).collect();
        return (!commands.is_empty()).then(|| format!("a command comes first: add {} in front", either(&commands)));
    }
    let named = [b"--".as_slice(), first].concat();
    let is_command = grammar::by_long(first).is_some() && check.mends(&with(text, 0..1, &[&named]));
    is_command.then(|| format!("write '{}' instead of {}", show(&named), quoted(&text[..1])))
}

/// An option that is nearly one.
fn respelled(text: &Text, word: &[u8], check: &mut Check<'_, '_>) -> Option<String> {
    let at = place(text, word)?;
    let word = std::str::from_utf8(word).ok().filter(|word| word.starts_with('-'))?;
    let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
    let bare = name.trim_start_matches('-');
    let is_long = name.starts_with("--");
    let mut meant = Vec::new();
    if is_long && bare.len() > 1 {
        let mut near: Vec<_> = ROWS
            .iter()
            .filter(|row| row.long.starts_with(bare) || osa_distance(row.long, bare) <= 2)
            .map(|row| (osa_distance(row.long, bare), row.long))
            .collect();
        if near.iter().any(|(_, long)| long.starts_with(bare)) {
            near.retain(|(_, long)| long.starts_with(bare));
        } else {
            let least = near.iter().map(|(distance, _)| *distance).min();
            near.retain(|(distance, _)| Some(*distance) == least && *distance <= 1 + bare.len() / 5);
        }
        near.sort_unstable();
        meant.extend(near.into_iter().map(|(_, long)| format!("--{long}")));
    }
    if bare.len() > 1 && grammar::by_long(bare.as_bytes()).is_some() {
        meant.push(format!("--{bare}"));
    }
    if is_long && bare.len() == 1 {
        meant.push(format!("-{bare}"));
    }
    // -T, -N, -LN
    let swapped = |letter: char| {
        if letter.is_ascii_lowercase() { letter.to_ascii_uppercase() } else { letter.to_ascii_lowercase() }
    };
    if !is_long && bare.is_ascii() {
        let is_known = |letter: char| u8::try_from(letter).is_ok_and(|letter| grammar::by_short(letter).is_some());
        meant.push(format!(
            "-{}",
            bare.chars().map(|letter| if is_known(letter) { letter } else { swapped(letter) }).collect::<String>()
        ));
    }
    let meant: Vec<_> = meant
        .into_iter()
        .filter(|meant| meant != name)
        .map(|meant| value.map_or_else(|| meant.clone(), |value| format!("{meant}={value}")))
        .collect();
    let mut meant = check.instead(text, &(at..at + 1), meant.iter().map(String::as_str));
    meant.dedup();
    meant.truncate(3);
    (!meant.is_empty()).then(|| format!("write {} instead of {}", either(&meant), quoted(&text[at..=at])))
}

/// `-weight 5` is `-w eight 5`.
fn long_name_with_one_dash(text: &Text, check: &mut Check<'_, '_>) -> Option<String> {
    for (at, word) in text.iter().enumerate() {
        let [b'-', name @ ..] = word.as_slice() else { continue };
        let long = name.split(|byte| *byte == b'=').next().unwrap_or_default();
        if long.len() < 2 || grammar::by_long(long).is_none() {
            continue;
        }
        let meant = [b"-".as_slice(), word].concat();
        if check.mends(&with(text, at..at + 1, &[&meant])) {
            return Some(format!("write '{}' instead of {}", show(&meant), quoted(&text[at..=at])));
        }
    }
    None
}

fn no_value(text: &Text, word: &[u8], check: &mut Check<'_, '_>) -> Option<String> {
    let sample = sample(row(word)?)?;
    let at = place(text, word)?;
    let is_mended = check.mends(&with(text, at + 1..at + 1, &[sample.as_bytes()]));
    is_mended
        .then(|| format!("a value follows {}: it is written as in '{} {sample}'", quoted(&text[at..=at]), show(word)))
}

/// `--numeric=yes` is `--numeric`.
fn without_value(text: &Text, word: &[u8], check: &mut Check<'_, '_>) -> Option<String> {
    let bare = word.split(|byte| *byte == b'=').next().unwrap_or_default();
    let at = place(text, word)?;
    let is_mended = check.mends(&with(text, at..at + 1, &[bare]));
    is_mended.then(|| format!("write '{}' instead of {}", show(bare), quoted(&text[at..=at])))
}

/// What was not typed stays as it is on the director.
fn timeouts(text: &Text, check: &mut Check<'_, '_>) -> Option<String> {
    let words = text.iter().flat_map(|word| word.split(|letter| *letter == b',')).filter(|word| !word.is_empty());
    let mut line: Text = words.map(<[u8]>::to_vec).collect();
    line.resize(line.len().max(4), b"0".to_vec());
    let says = "seconds for TCP, for TCP after a FIN, and for UDP; 0 leaves one as it is";
    check.mends(&line).then(|| format!("write the line as {}: {says}", quoted(&line)))
}

fn second_command(text: &Text, word: &[u8], check: &mut Check<'_, '_>) -> Option<String> {
    let at = text.iter().skip(1).position(|other| other == word)? + 1;
    // -R for -r
    let swapped: Vec<u8> =
        word.iter().map(|letter| letter ^ if letter.is_ascii_alphabetic() { 0x20 } else { 0 }).collect();
    if word.len() == 2 && check.mends_all(&with(text, at..at + 1, &[&swapped])) {
        return Some(format!("write '{}' instead of {}", show(&swapped), quoted(&text[at..=at])));
    }
    let (mut one, other) = (text[..at].to_vec(), text[at..].to_vec());
    one.pop_if(|last| last == b";" || last == b"&&");
    // Not `-L -A`: of a command without options the other one may be a slip.
    if other.len() > 1 && check.mends_all(&one) && check.mends_all(&other) {
        return Some(format!("these are two commands: {} and {}", quoted(&one), quoted(&other)));
    }
    left_out(text, &[0..1, at..at + 1], check).map(|or| format!("{or}: a line has one command"))
}

fn unexpected(text: &Text, word: &[u8], check: &mut Check<'_, '_>) -> Option<String> {
    // What a shell would have taken, or an editor.
    const SHELL: [&str; 9] = ["<", ">", ">>", "|", "&&", "||", ";", "&", "2>&1"];
    let is_for_shell = |word: &Vec<u8>| {
        SHELL.iter().any(|sign| sign.as_bytes() == word.as_slice()) || matches!(word.as_slice(), [b'<' | b'>', ..])
    };
    if let Some(start) = text.iter().position(is_for_shell)
        && check.mends(&text[..start].to_vec())
    {
        let sign = quoted(&text[start..=start]);
        return Some(format!("leave out {}: only a shell understands {sign}", quoted(&text[start..])));
    }
    if let Some(start) = text.iter().position(|word| word.first() == Some(&b'#'))
        && check.mends(&text[..start].to_vec())
    {
        return Some(format!("leave out {}: a comment has a line of its own", quoted(&text[start..])));
    }
    let at = place(text, word)?;
    let here = at..at + 1;
    let without = check.mends(&with(text, here.clone(), &[]));
    if without && word == b"\\" {
        return Some("leave out '\\': a line can't be continued, so what follows belongs behind it".to_owned());
    }
    if without && row(&text[0]).is_some_and(|row| row.item == Item::Verb(Verb::Restore)) {
        return Some(format!("leave out {}: -R reads standard input, so a shell writes '< FILE'", quoted(&text[here])));
    }
    if let Some(says) = address::joined(text, at, check) {
        return Some(says);
    }
    // The option before it is missing.
    let name = std::str::from_utf8(word).unwrap_or_default();
    let options: &[&str] = match name {
        name if SCHEDULERS.contains(&name) => &["-s"],
        name if name.parse::<u32>().is_ok() => &["-w", "-p", "-f"],
        _ => &["-t", "-u", "-r"],
    };
    let written: Vec<String> = options.iter().map(|option| format!("{option} {name}")).collect();
    let written = check.instead(text, &here, written.iter().map(String::as_str));
    if !written.is_empty() {
        return Some(format!("write {} instead of {}", either(&written), quoted(&text[here])));
    }
    let why = if at == 0 { "a line begins with its command" } else { "no option takes it" };
    without.then(|| format!("leave out {}: {why}", quoted(&text[at..=at])))
}

/// The kind's range or words, if each end of it mends the line. `word`: the value, if it is known.
fn value(text: &Text, what: &str, word: Option<&[u8]>, check: &mut Check<'_, '_>) -> Option<String> {
    if let Some(says) = written_for_people(text, what, check) {
        return Some(says);
    }
    // The option that follows was taken for the role.
    if what.starts_with("start") && text.get(1).is_some_and(|word| word.first() == Some(&b'-')) {
        let roles = check.instead(text, &(1..1), ["master", "backup"]);
        if !roles.is_empty() {
            return Some(format!("add {} behind {}", either(&roles), quoted(&text[..1])));
        }
    }
    let places: Vec<_> =
        values(text).filter(|(at, start)| word.is_none_or(|word| text[*at][*start..] == *word)).collect();
    for place in places {
        for kind in KINDS.iter().filter(|kind| kind.named == what) {
            let typed = show(&text[place.0][place.1..]);
            let mends = |value: &str| check.mends(&with_other_value(text, place, value.as_bytes()));
            if let Some(allowed) = allowed(kind, mends) {
                return Some(format!("'{typed}': {} {allowed}{}", kind.is, kind.remark));
            }
        }
    }
    None
}

/// The values of this kind that mend the line, as a hint says them.
fn allowed(kind: &Kind, mut mends: impl FnMut(&str) -> bool) -> Option<String> {
    let mut among = |words: &[&str]| {
        let words: Vec<_> = words.iter().filter(|word| mends(word)).map(|word| (*word).to_owned()).collect();
        (!words.is_empty()).then(|| either(&words))
    };
    match kind.allowed {
        Allowed::Number(least, most) => {
            let both = [least.to_string(), most.to_string()];
            let are_taken = both.iter().all(|number| mends(number));
            are_taken.then(|| format!("from {} to {}", both[0], both[1]))
        }
        Allowed::Words(words) => among(words),
        Allowed::Like(words) => among(words).map(|words| format!("as in {words}")),
    }
}

/// `-p 10m`, `-M /24`
fn written_for_people(text: &Text, what: &str, check: &mut Check<'_, '_>) -> Option<String> {
    for place in values(text) {
        let word = std::str::from_utf8(&text[place.0][place.1..]).ok()?;
        let prefix = || word.trim_start_matches('/').parse().ok().filter(|bits| (1..=32).contains(bits));
        let meant = match what {
            "virtual server persistent mask" => {
                prefix().map(|bits: u32| std::net::Ipv4Addr::from_bits(u32::MAX << (32 - bits)).to_string())
            }
            "ipv6 netmask" => word.strip_prefix('/').map(str::to_owned),
            _ => None,
        };
        if let Some(meant) = meant.filter(|meant| check.mends(&with_other_value(text, place, meant.as_bytes()))) {
            return Some(format!("write '{meant}' instead of '{}'", show(word.as_bytes())));
        }
    }
    // What a mask is depends on the service before it.
    let mask = options_of(text, Slot::Netmask.name()).into_iter().next()?;
    let words: Vec<&[u8]> = text[mask.clone()].iter().map(Vec::as_slice).collect();
    let shorter = with(text, mask, &[]);
    let moved = with(&shorter, shorter.len()..shorter.len(), &words);
    let is_mended = what.ends_with("mask") && moved != *text && check.mends(&moved);
    is_mended.then(|| format!("the service comes before '-M': write the line as {}", quoted(&moved)))
}

/// A number in another notation: hexadecimal, or with a unit of time.
fn written_otherwise(text: &Text, word: &[u8], check: &mut Check<'_, '_>) -> Option<String> {
    let typed = std::str::from_utf8(word).ok()?;
    let hexadecimal = typed.strip_prefix("0x").or_else(|| typed.strip_prefix("0X"));
    let number = hexadecimal.and_then(|digits| u32::from_str_radix(digits, 16).ok()).or_else(|| {
        const UNITS: [(&str, u32); 9] =
            [("sec", 1), ("min", 60), ("ms", 0), ("s", 1), ("m", 60), ("h", 3600), ("d", 86_400), (",", 1), (";", 1)];
        let (digits, seconds) = UNITS.iter().find_map(|(unit, seconds)| Some((typed.strip_suffix(unit)?, seconds)))?;
        digits.parse::<u32>().ok()?.checked_mul(*seconds)
    })?;
    let place = values(text).find(|(at, start)| text[*at][*start..] == *word)?;
    let meant = number.to_string();
    let is_mended = check.mends(&with_other_value(text, place, meant.as_bytes()));
    is_mended.then(|| format!("write '{meant}' instead of '{}'", show(word)))
}

fn flag(text: &Text, how: &str, word: &[u8], check: &mut Check<'_, '_>) -> Option<String> {
    if how != "incompatible" {
        return value_within(text, word, check);
    }
    let scheduler = std::str::from_utf8(word).ok()?.split('-').next()?;
    let options = options_of(text, Slot::Scheduler.name());
    let with_scheduler = match options.first() {
        Some(range) => with(text, range.clone(), &[b"-s", scheduler.as_bytes()]),
        None => with(text, text.len()..text.len(), &[b"-s", scheduler.as_bytes()]),
    };
    let mut says = Vec::new();
    if check.mends(&with_scheduler) {
        says.push(match options.first() {
            Some(range) => format!("write '-s {scheduler}' instead of {}", quoted(&text[range.clone()])),
            None => format!("add '-s {scheduler}'"),
        });
    }
    says.extend(left_out(text, &options_of(text, Slot::SchedFlags.name()), check));
    (!says.is_empty()).then(|| format!("'{}' is of another scheduler: {}", show(word), says.join(", or ")))
}

/// Flags are separated by commas; one of them is wrong.
fn value_within(text: &Text, word: &[u8], check: &mut Check<'_, '_>) -> Option<String> {
    let kind = KINDS.iter().find(|kind| kind.named == "scheduler flag")?;
    let place = values(text).find(|(at, start)| {
        let mut flags = text[*at][*start..].split(|byte| *byte == b',');
        text[*at][*start..] == *word || flags.any(|flag| flag == word)
    })?;
    let all = &text[place.0][place.1..];
    let allowed = allowed(kind, |value| {
        let flags: Vec<&[u8]> =
            all.split(|byte| *byte == b',').map(|flag| if flag == word { value.as_bytes() } else { flag }).collect();
        check.mends(&with_other_value(text, place, &flags.join(&b',')))
    })?;
    Some(format!("'{}': {} {allowed}", show(word), kind.is))
}

fn ipv6_before_mark(text: &Text, check: &mut Check<'_, '_>) -> Option<String> {
    let at = text.iter().position(|word| word == b"-6" || word == b"--ipv6")?;
    let shorter = with(text, at..at + 1, &[]);
    let moved = with(&shorter, shorter.len()..shorter.len(), &[b"-6"]);
    if check.mends(&moved) {
        return Some(format!("the mark comes before '-6': write the line as {}", quoted(&moved)));
    }
    check
        .mends(&shorter)
        .then(|| format!("leave out {}: it belongs to the number of a firewall mark", quoted(&text[at..=at])))
}

fn needed(text: &Text, option: &str, check: &mut Check<'_, '_>) -> Option<String> {
    let rows = ROWS.iter().filter(|row| matches!(row.item, Item::Opt(_, Some(slot)) if slot.name() == option));
    let samples: Vec<String> = rows.filter_map(|row| Some(format!("{} {}", spelled(row), sample(row)?))).collect();
    // The port and protocol of a server are those of a service before it.
    let places = [text.len(), 1];
    let found = places.into_iter().find_map(|at| {
        let found = check.instead(text, &(at..at), samples.iter().map(String::as_str));
        (!found.is_empty()).then_some((at, found))
    });
    let (at, samples) = found?;
    let place = if at == 1 && text.len() > 1 { " behind the command" } else { "" };
    Some(format!("add one{place}, as in {}", either(&samples)))
}

/// Commands of which one is taken for the other.
const MISTAKEN: [(&str, &str); 7] =
    [("-A", "-a"), ("-a", "-A"), ("-E", "-e"), ("-e", "-E"), ("-D", "-d"), ("-d", "-D"), ("-C", "-D")];

fn not_allowed(text: &Text, option: &str, check: &mut Check<'_, '_>) -> Option<String> {
    let command = row(&text[0]).map(spelled)?;
    let meant = MISTAKEN.iter().filter(|(typed, _)| *typed == command).map(|(_, meant)| *meant);
    let meant = check.instead(text, &(0..1), meant);
    if !meant.is_empty() {
        return Some(format!("write {} instead of {}", either(&meant), quoted(&text[..1])));
    }
    // Less is more with -C: it clears the table.
    if command == "-C" && option == Slot::ServiceAddress.name() {
        return None;
    }
    let or = left_out(text, &options_of(text, option), check)?;
    let takers = takers(option);
    Some(if takers.is_empty() { or } else { format!("{or}: it goes with {takers}") })
}

/// The commands, or kinds of tunnels, that take the option.
fn takers(option: &str) -> String {
    let slot = Slot::ALL.iter().find(|slot| slot.name() == option);
    let takes = |rule: &rules::Rule| slot.is_some_and(|slot| rule.takes(*slot));
    let commands = ROWS.iter().filter_map(|row| match row.item {
        Item::Verb(verb) => takes(rules::of_command(verb)).then(|| spelled(row)),
        _ => None,
    });
    let tunnels = [(&rules::GUE, "gue"), (&rules::GRE, "gre")].into_iter();
    let is_of_tunnels = slot.is_some_and(|slot| rules::TUNNEL_DETAILS.has(*slot));
    let tunnels =
        tunnels.filter(|(rule, _)| is_of_tunnels && takes(rule)).map(|(_, name)| format!("--tun-type {name}"));
    if is_of_tunnels { tunnels.collect::<Vec<_>>().join(" and ") } else { commands.collect::<Vec<_>>().join(", ") }
}

fn tunnel(text: &Text, check: &mut Check<'_, '_>) -> Option<String> {
    let mut says = Vec::new();
    match options_of(text, Slot::ForwardingMethod.name()).into_iter().next() {
        Some(method) if check.mends(&with(text, method.clone(), &[b"-i"])) => {
            says.push(format!("write '-i' instead of {}", quoted(&text[method])));
        }
        None if check.mends(&with(text, text.len()..text.len(), &[b"-i"])) => says.push("add '-i'".to_owned()),
        _ => {}
    }
    let tunnels: Vec<_> = Slot::ALL
        .iter()
        .filter(|slot| rules::TUNNEL.has(**slot))
        .flat_map(|slot| options_of(text, slot.name()))
        .collect();
    says.extend(left_out(text, &tunnels, check));
    (!says.is_empty()).then(|| says.join(", or "))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use ipvs::Protocol;
    use ipvs_text::ipvsadm::value::Resolve;
    use ipvs_text::ipvsadm::{Parser, Posix, Words};

    /// A system that knows one host and two ports, and is asked for no other while a hint is made.
    #[derive(Debug, Default)]
    struct FewNames {
        hasty: bool,
    }

    impl Resolve for FewNames {
        fn host(&mut self, name: &[u8]) -> Option<Ipv4Addr> {
            (name == b"localhost").then_some(Ipv4Addr::LOCALHOST)
        }

        fn port(&mut self, name: &[u8], protocol: Protocol) -> Option<u16> {
            match (name, protocol) {
                (b"http", Protocol::TCP) => Some(80),
                (b"domain", Protocol::UDP) => Some(53),
                _ => None,
            }
        }

        fn set_hasty(&mut self, hasty: bool) -> bool {
            self.hasty = hasty;
            false
        }
    }

    fn hint(line: &str) -> String {
        let mut names = FewNames::default();
        let mut parser = Parser::new(&mut names, Posix(false));
        let words: Words = line.split_ascii_whitespace().collect();
        let usage = parser.parse(&words).expect_err(line);
        crate::hint::usage(&words, &usage, &mut parser).unwrap_or_default()
    }

    /// By a name that is known, the other part is the wrong one.
    #[test]
    fn the_wrong_part_of_an_address_is_named() {
        for (word, part) in [
            ("912.168.0.1:80", "'912' is not a number from 0 to 255"),
            ("localhost:htp", "the port 'htp'"),
            ("nowhere.example:80", "a host 'nowhere.example'"),
            ("nowhere.example:http", "a host 'nowhere.example'"),
            ("nowhere.example:htp", "'nowhere.example:htp' is no address"),
            ("10.0.0.1:domain", "the port 'domain'"),
            ("10.0.0.1:65536", "the port '65536'"),
            ("2001:db8::1:http", "write '[2001:db8::1]:http' instead"),
            ("[2001:db8::1]:htp", "the port 'htp'"),
            ("http://localhost:http/", "write 'localhost:http' instead"),
        ] {
            let hint = hint(&format!("-A -t {word}"));
            assert!(hint.contains(part), "{word}: {hint}");
        }
    }
}
