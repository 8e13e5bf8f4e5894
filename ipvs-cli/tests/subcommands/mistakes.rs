//! What people type wrongly: each hint is true, or there is none.
//!
//! `mistakes.txt` has a command line that fails, and below it what is printed about it. The hint is
//! read as a person reads it: what it says is changed in the line, and the line works then. So a
//! hint that names something that is not the cause fails.

use ipvs_cli::ipvsadm::{Invocation, Words, with_parser};

use crate::director::{Director, Done};

/// What the director of each line has.
const SETUP: [&str; 8] = [
    "-A -t 192.0.2.1:80 -s wrr",
    "-a -t 192.0.2.1:80 -r 192.0.2.11 -m -w 3",
    "-a -t 192.0.2.1:80 -r 192.0.2.12 -m -w 3",
    "-A -f 10 -s rr -p 600",
    "-a -f 10 -r 192.0.2.11 -i",
    "-A -u 192.0.2.1:53 -s rr",
    "-A -t [2001:db8::1]:80 -s rr",
    "-a -t [2001:db8::1]:80 -r [2001:db8::11]:80 -m",
];

fn director() -> Director {
    let mut director = Director::new();
    for line in SETUP {
        director.must(&format!("ipvsadm {line}"));
    }
    director
}

/// A command line, with what is on its standard input.
#[derive(Clone, Debug)]
struct Call {
    line: String,
    stdin: String,
}

impl Call {
    /// `command << text`, with `\n` for newlines.
    fn parse(text: &str) -> Self {
        let (line, stdin) = text.split_once(" <<").unwrap_or((text, ""));
        let stdin = stdin.strip_prefix(' ').unwrap_or(stdin).replace(r"\\", "\u{1}");
        let stdin = stdin.replace(r"\n", "\n").replace(r"\e", "\u{7f}").replace('\u{1}', "\\");
        Call { line: line.to_owned(), stdin }
    }

    fn run(&self) -> Done {
        director().pipe(&self.line, self.stdin.as_bytes())
    }

    /// The same with another line of the standard input, or with another command line.
    fn with(&self, number: Option<usize>, text: &str) -> Self {
        match number {
            None => Call { line: format!("ipvsadm {text}"), ..self.clone() },
            Some(number) => {
                let mut lines: Vec<&str> = self.stdin.lines().collect();
                lines[number - 1] = text;
                Call { stdin: lines.iter().map(|line| format!("{line}\n")).collect(), ..self.clone() }
            }
        }
    }

    /// The line that the hint is about, without the program.
    fn text(&self, number: Option<usize>) -> String {
        match number {
            None => self.line.split_once(' ').unwrap_or_default().1.to_owned(),
            Some(number) => self.stdin.lines().nth(number - 1).unwrap().to_owned(),
        }
    }
}

/// What is printed, in the file's form.
fn shown(done: &Done) -> String {
    let lines: Vec<_> = done.stderr.lines().map(|line| format!("    {line}").trim_end().to_owned()).collect();
    lines.join("\n")
}

#[test]
fn each_hint_is_true_or_absent() {
    let mut blocks: Vec<(String, Vec<&str>)> = Vec::new();
    for line in include_str!("mistakes.txt").lines().filter(|line| !line.starts_with("## ")) {
        match line.strip_prefix("    ") {
            Some(said) => blocks.last_mut().unwrap().1.push(said),
            None if line.is_empty() => blocks.last_mut().unwrap().1.push(line),
            None => blocks.push((line.to_owned(), Vec::new())),
        }
    }
    let (mut hints, mut new, mut wrong, mut false_hints) = (0, String::new(), Vec::new(), Vec::new());
    for (text, expected) in &blocks {
        let call = Call::parse(text);
        let done = call.run();
        let said = shown(&done);
        new += &format!("{text}\n{said}\n");
        let expected: Vec<_> = expected.iter().map(|line| format!("    {line}").trim_end().to_owned()).collect();
        if said != expected.join("\n") {
            wrong.push(format!("{text}\n{said}\nand not\n{}", expected.join("\n")));
        }
        match std::panic::catch_unwind(|| obeyed(&call, &done)) {
            Ok(obeyed) => hints += usize::from(obeyed),
            Err(error) => false_hints.push(error.downcast::<String>().map_or_else(|_| text.clone(), |text| *text)),
        }
    }
    assert!(false_hints.is_empty(), "{}", false_hints.join("\n\n"));
    if !wrong.is_empty() {
        // For a look at it, and for the file, where it is right.
        let path = std::env::temp_dir().join("mistakes.txt");
        std::fs::write(&path, new).unwrap();
        panic!("{}\n\n{}", wrong.join("\n\n"), path.display());
    }
    println!("{} mistakes, {hints} with a hint that was followed", blocks.len());
    assert!(hints >= 300, "{hints}");
}

/// Follows the first hint of a call, and those after it, until it works. Is there one?
fn obeyed(call: &Call, done: &Done) -> bool {
    let Some(hint) = done.stderr.lines().find_map(|line| Hint::find(call, line)) else { return false };
    let attempts = hint.attempts(call);
    assert!(!attempts.is_empty(), "this hint says nothing that can be done: {call:?}\n{hint:?}");
    attempts.iter().for_each(|attempt| works(attempt, &hint, 3));
    true
}

/// Does it work, or is there another fault, whose hint is followed then?
fn works(attempt: &Attempt, hint: &Hint, faults: u8) {
    let done = attempt.run();
    let is_done = done.status == 0;
    // A correct line may meet what the director has: of `-A`, `-E` and `-D` not all can succeed.
    let is_understood = attempt.call.line.starts_with("ipvsadm") && attempt.call.stdin.is_empty() && {
        let words: Words = attempt.call.line.split(' ').skip(1).collect();
        matches!(with_parser(|parser| parser.parse(&words)), Ok(Invocation::Change(_))) && !hint.is_of_the_kernel
    };
    if is_done || is_understood {
        return;
    }
    let next = done.stderr.lines().find_map(|line| Hint::find(&attempt.call, line));
    let next = next.filter(|next| next.text != hint.text && faults > 0);
    let next = next.unwrap_or_else(|| panic!("a false hint:\n{hint:#?}\n{attempt:#?}\n{done:#?}"));
    for attempt in next.attempts(&attempt.call) {
        works(&attempt, &next, faults - 1);
    }
}

/// A call after what is to be done before it.
#[derive(Debug)]
struct Attempt {
    before: Vec<String>,
    call: Call,
}

impl Attempt {
    fn run(&self) -> Done {
        let mut director = director();
        for line in &self.before {
            let done = director.run(line);
            assert_eq!(done.status, 0, "{line}: {done:?}: {:?}", self.call);
        }
        director.pipe(&self.call.line, self.call.stdin.as_bytes())
    }
}

#[derive(Debug)]
struct Hint {
    text: String,
    /// The line of standard input that it is about.
    number: Option<usize>,
    is_of_the_kernel: bool,
}

impl Hint {
    /// The hint in a line of standard error.
    fn find(call: &Call, line: &str) -> Option<Self> {
        let made = |text: &str, number| {
            let is_of_the_kernel = [
                "there is ",
                "no sync daemon",
                "the kernel says",
                " has a destination",
                " has no destination",
                "a destination is one host",
                "the lower threshold",
            ];
            let is_of_the_kernel = is_of_the_kernel.iter().any(|part| text.contains(part));
            Some(Hint { text: text.to_owned(), number, is_of_the_kernel })
        };
        if let Some(hint) = line.strip_prefix("hint: line ") {
            let (number, rest) = hint.split_once(": ").unwrap();
            let number: usize = number.parse().unwrap();
            // The line in quotes, and what follows.
            let quoted = Words::from_iter(call.text(Some(number)).split_whitespace());
            let length: usize = (0..quoted.len())
                .filter_map(|at| quoted.get(at))
                .filter(|word| *word != b"ipvsadm")
                .map(|word| word.len() + 1)
                .sum();
            return rest.get(length + 1..)?.strip_prefix(": ").and_then(|text| made(text, Some(number)));
        }
        if let Some(hint) = line.strip_prefix("hint: ") {
            return made(hint, None);
        }
        if let Some(tip) = line.strip_prefix("  tip: ") {
            return made(tip, None);
        }
        if let Some(rest) = line.strip_prefix("standard input:") {
            let (number, message) = rest.split_once(": ")?;
            let number = number.split(':').next()?.parse().ok()?;
            if message.starts_with("this is not TOML") {
                return None;
            }
            // Behind ipvsadm's message.
            let is_whole = message.starts_with("this ") || message.starts_with("these are rules");
            let text = message.split_once("; ").filter(|_| !is_whole).map_or(message, |(_, hint)| hint);
            return made(text, Some(number));
        }
        let rest = line.strip_prefix("ipvs-cli: ")?;
        (rest.contains("write it as ")).then(|| Hint { text: rest.to_owned(), number: None, is_of_the_kernel: false })
    }

    /// All that it says to do, each by itself.
    fn attempts(&self, call: &Call) -> Vec<Attempt> {
        let text = &self.text;
        if call.line.starts_with("ipvs-cli") && self.number.is_none() {
            return self.of_subcommands(call);
        }
        if let Some(file) = self.of_another_program(call) {
            return file;
        }
        let line = call.text(self.number);
        let make = |line: String| Attempt { before: Vec::new(), call: call.with(self.number, &line) };
        let after = |before: String| Attempt { before: vec![format!("ipvsadm {before}")], call: call.clone() };
        if self.is_of_the_kernel {
            return self.of_the_kernel(call, &make, &after);
        }
        // What stands before a colon or a comma is about words of the line.
        let mut attempts = Vec::new();
        if let Some((_, whole)) = text.split_once("write the line as ") {
            attempts.extend(quotes(whole).into_iter().take(1).map(|line| make(line.replace('\u{2}', "'"))));
        } else if let Some((_, lines)) = text.split_once("these are two commands: ") {
            let [one, other] = &quotes(lines)[..] else { panic!("{text}") };
            let mut attempt = make(other.clone());
            match self.number {
                None => attempt.before.push(format!("ipvsadm {one}")),
                Some(_) => attempt = make(format!("{one}\n{other}")),
            }
            attempts.push(attempt);
        } else if text.starts_with("a comment must have its '#' at the beginning") {
            attempts.push(make(line.trim_start().to_owned()));
        } else if text.contains("a desired state must have only commands that change something") {
            attempts.push(make("-C".to_owned()));
        } else if text.contains("what follows belongs behind it") {
            let mut attempt = make(replaced(&line, "\\", ""));
            let mut lines = attempt.call.stdin.lines();
            if let Some((first, rest)) = lines.next().map(|first| (first, lines.collect::<String>())) {
                attempt.call.stdin = format!("{first} {}\n", rest.trim_start());
            }
            attempts.push(attempt);
        } else if text.starts_with("leave out the line") {
            attempts.push(make(String::new()));
        } else if let Some((words, rest)) =
            text.split_once("write ").and_then(|(_, rest)| rest.split_once(" instead of "))
        {
            let old = quotes(rest).remove(0);
            for new in quotes(words) {
                attempts.push(make(replaced(&line, &old, &new)));
            }
            if let Some((_, out)) = rest.split_once("leave out ") {
                attempts
                    .extend(quotes(out.split(": ").next().unwrap()).iter().map(|word| make(replaced(&line, word, ""))));
            }
        } else if let Some((before, _)) = text.split_once(" instead").filter(|_| text.contains("with one, write ")) {
            let [old, new] = &quotes(before)[..] else { panic!("{text}") };
            attempts.push(make(replaced(&line, old, new)));
        } else if let Some((_, rest)) = text.split_once("leave out ") {
            if let Some((_, added)) = text.split_once("add ").filter(|(before, _)| !before.contains("leave")) {
                let words = added.split(", or leave").next().unwrap();
                attempts.extend(quotes(words).iter().map(|word| make(format!("{line} {word}"))));
            }
            let words = rest.split(": ").next().unwrap();
            attempts.extend(quotes(words).iter().map(|word| make(replaced(&line, word, ""))));
        } else if let Some(range) =
            text.split_once(" from ").and_then(|(before, range)| Some((before, numbers(range)?)))
        {
            let (before, (least, most)) = range;
            // The last word in quotes is the wrong one: a part of the first.
            let old = quotes(before).pop().unwrap();
            for number in [least, most] {
                attempts.push(make(replaced(&line, &old, &number.to_string())));
            }
            // And no more than that.
            for number in least.checked_sub(1).into_iter().chain(most.checked_add(1)) {
                let refused = make(replaced(&line, &old, &number.to_string())).run();
                assert!(refused.status != 0, "{text}: {number} is taken, too");
            }
        } else if let Some((before, examples)) = text.split_once("as in ") {
            let new = quotes(examples.split(", or add").next().unwrap());
            for new in new {
                attempts.push(match before {
                    _ if before.starts_with("add one behind the command") => {
                        let (command, rest) = line.split_once(' ').unwrap_or((&line, ""));
                        make(format!("{command} {new} {rest}").trim_end().to_owned())
                    }
                    _ if before.starts_with("add one") => make(format!("{line} {new}")),
                    _ => make(replaced(&line, &quotes(before).remove(0), &new)),
                });
            }
            if let Some((_, added)) = examples.split_once(", or add ") {
                attempts.extend(quotes(added).iter().map(|word| make(format!("{line} {word}"))));
            }
        } else if let Some((_, host)) = text.split_once("no IPv4 address of a host ") {
            attempts.push(make(replaced(&line, &quotes(host)[0], "192.0.2.200")));
        } else if let Some((_, rest)) = text.split_once("a command comes first: add ") {
            attempts.extend(quotes(rest).iter().map(|word| make(format!("{word} {line}"))));
        } else if let Some((words, place)) = text.split_once("add ").and_then(|(_, rest)| rest.split_once(" behind ")) {
            let place = quotes(place).remove(0);
            attempts.extend(quotes(words).iter().map(|word| make(replaced(&line, &place, &format!("{place} {word}")))));
        } else if let Some((_, words)) = text.split_once("add ") {
            attempts.extend(quotes(words).iter().map(|word| make(format!("{line} {word}"))));
        } else if let Some((wrong, allowed)) = text.split_once(" is ").filter(|(wrong, _)| wrong.starts_with('\'')) {
            let wrong = quotes(wrong).remove(0);
            attempts.extend(quotes(allowed).iter().map(|word| make(replaced(&line, &wrong, word))));
        }
        attempts
    }

    /// The cause is taken away.
    fn of_the_kernel(
        &self,
        call: &Call,
        make: &dyn Fn(String) -> Attempt,
        after: &dyn Fn(String) -> Attempt,
    ) -> Vec<Attempt> {
        let text = &self.text;
        let line = call.text(self.number);
        let option = |key: &str| match key.split(' ').collect::<Vec<_>>()[..] {
            ["tcp", at] => format!("-t {at}"),
            ["udp", at] => format!("-u {at}"),
            ["sctp", at] => format!("--sctp-service {at}"),
            ["mark", mark] => format!("-f {mark}"),
            ["mark", mark, "ipv6"] => format!("-f {mark} -6"),
            _ => panic!("{key}"),
        };
        if let Some(key) = text.strip_prefix("there is a service ") {
            let key = option(key.strip_suffix(" already").unwrap());
            return match self.number {
                // An earlier line of the file has made it.
                Some(number) => vec![Attempt { before: Vec::new(), call: call.with(Some(number), "") }],
                None => vec![after(format!("-D {key}"))],
            };
        }
        if let Some(key) = text.strip_prefix("there is no service ") {
            let (key, near) = key.split_once(", but ").map_or((key, None), |(key, near)| (key, Some(near)));
            let mut attempts = vec![after(format!("-A {}", option(key)))];
            if line.starts_with("-e ") || line.starts_with("-d ") {
                let server = line.split(" -r ").nth(1).unwrap().split(' ').next().unwrap();
                attempts[0].before.push(format!("ipvsadm -a {} -r {server} -m", option(key)));
            }
            attempts.extend(near.map(|near| make(replaced(&line, &option(key), &option(near)))));
            return attempts;
        }
        if let Some((key, at)) = text.split_once(" has a destination ") {
            let at = at.strip_suffix(" already").unwrap();
            return vec![after(format!("-d {} -r {at}", option(key)))];
        }
        if let Some((key, at)) = text.split_once(" has no destination ") {
            let (at, near) = at.split_once(", but ").map_or((at, None), |(at, near)| (at, Some(near)));
            let mut attempts = vec![after(format!("-a {} -r {at} -m", option(key)))];
            attempts.extend(near.map(|near| make(replaced(&line, at, near))));
            return attempts;
        }
        if let Some((address, _)) = text.split_once(" is ").filter(|_| text.ends_with("a destination is one host")) {
            return vec![make(replaced(&line, address, "192.0.2.200"))];
        }
        if let Some(numbers) = text.strip_prefix("the lower threshold, ") {
            let (lower, upper) = numbers.split_once(", is above the upper one, ").unwrap();
            return vec![make(replaced(&line, &format!("-y {lower}"), &format!("-y {upper}")))];
        }
        if let Some((_, rest)) = text.split_once("it has no scheduler ") {
            let (name, known) = rest.split_once(" (").unwrap();
            let known = known.split_once("Linux has ").unwrap().1;
            return known.split(' ').map(|scheduler| make(replaced(&line, name, scheduler))).collect();
        }
        if let Some((_, rest)) = text.split_once("it has no persistence engine ") {
            let (name, known) = rest.split_once(" (").unwrap();
            let known = known.split_once("Linux has ").unwrap().1;
            return vec![make(replaced(&line, name, known))];
        }
        if let Some(role) = text.strip_prefix("no sync daemon runs, so no ") {
            return vec![after(format!("--start-daemon {role} --mcast-interface lo"))];
        }
        if let Some(name) = text.strip_prefix("there is no network interface ") {
            let given = line.contains("--mcast-interface");
            let lo = if given { replaced(&line, name, "lo") } else { format!("{line} --mcast-interface lo") };
            return vec![make(lo)];
        }
        panic!("an unknown cause: {text}")
    }

    /// What the hint says to do with a file of another program: the program's name is on its lines,
    /// and what it tells to run has rules in it.
    fn of_another_program(&self, call: &Call) -> Option<Vec<Attempt>> {
        let text = &self.text;
        let begins = |name: &str| call.stdin.contains(name);
        let is_true = match text {
            text if text.starts_with("this is a listing") => {
                begins("IP Virtual") || begins("LocalAddress") || begins("TCP")
            }
            text if text.starts_with("this is a list of connections") => begins("IPVS connection"),
            text if text.contains("configuration of keepalived") => {
                begins("keepalived") || begins("virtual_server") || begins("global_defs") || begins("vrrp_")
            }
            text if text.contains("configuration of ldirectord") => begins("virtual") || begins("check"),
            text if text.starts_with("these are rules of iptables") => begins("iptables") || begins("PREROUTING"),
            text if text.starts_with("these are rules of nftables") => begins("table ip"),
            text if text.starts_with("this is a script") => begins("#!"),
            text if text.starts_with("this is a page") => begins("<"),
            text if text.starts_with("this is a program") => begins("ELF"),
            text if text.starts_with("The file is empty") => call.stdin.trim().is_empty(),
            _ => return None,
        };
        assert!(is_true, "{call:?}: {text}");
        // Its commands exist, and what they print is taken.
        let printed = |line: &str| director().run(line).stdout;
        let mut attempts = Vec::new();
        for command in text.split('`').skip(1).step_by(2) {
            let stdin = match command {
                "ipvsadm -S -n" | "ipvs-cli show --toml" => printed(command),
                "-C" => "-C\n".to_owned(),
                "version = 1" => "version = 1\nservices = []\n".to_owned(),
                _ => continue,
            };
            // The lines of a file are for an empty director.
            let before = vec!["ipvsadm -C".to_owned()];
            let line = if command.contains("toml") { "ipvs-cli check -".to_owned() } else { call.line.clone() };
            attempts.push(Attempt { before, call: Call { line, stdin } });
        }
        // A page of the web and a program have no remedy.
        if attempts.is_empty() {
            attempts.push(Attempt {
                before: Vec::new(),
                call: Call { line: "ipvsadm -L".to_owned(), stdin: String::new() },
            });
        }
        Some(attempts)
    }

    /// A subcommand, option or value, in the place of the one that was typed.
    fn of_subcommands(&self, call: &Call) -> Vec<Attempt> {
        let text = &self.text;
        let make = |line: String| Attempt { before: Vec::new(), call: Call { line, ..call.clone() } };
        let words: Vec<&str> = call.line.split(' ').collect();
        if text.contains("leave out ") {
            return quotes(text).iter().map(|word| make(replaced(&call.line, word, ""))).collect();
        }
        if let Some((new, old)) = text.strip_prefix("write ").and_then(|rest| rest.split_once(" instead of ")) {
            return vec![make(replaced(&call.line, &quotes(old)[0], &quotes(new)[0]))];
        }
        if let Some((wrong, rest)) = text.split_once(" is not a service: write it as ") {
            let wrong = quotes(wrong).remove(0);
            let forms = rest.split(", with").next().unwrap();
            let forms = forms.split([' ', ',']).filter(|form| form.contains(':'));
            // Each form is one of a service; the first one is there.
            forms
                .map(|form| make(replaced(&call.line, &wrong, form).replace("mark:10:ipv6", "mark:10")))
                .take(1)
                .collect()
        } else {
            let meant = quotes(text);
            let kinds = ["subcommand", "argument", "value"];
            assert!(kinds.iter().any(|kind| text.contains(kind)), "{text}");
            let typed = words.iter().find(|word| {
                let is_subcommand = text.contains("subcommand") && **word == words[1];
                let is_argument = text.contains("argument")
                    && word.starts_with("--")
                    && !director().run(&call.line).stderr.is_empty();
                let is_value = text.contains("value") && (word.starts_with("ESTAB") || **word == "clients");
                is_subcommand || is_argument || is_value
            });
            let typed = typed.unwrap_or_else(|| panic!("{call:?}: {text}"));
            // A subcommand exists, whatever it needs.
            let ending = if text.contains("subcommand") { " --help" } else { "" };
            let keep = if text.contains("subcommand") { 2 } else { words.len() };
            let line = words[..keep].join(" ");
            meant.iter().map(|word| make(format!("{}{ending}", replaced(&line, typed, word)))).collect()
        }
    }
}

/// What stands in quotes. A quote inside is one that no space or comma follows.
fn quotes(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find('\'') {
        let inside = &rest[start + 1..];
        let is_end = |(at, _): &(usize, &str)| {
            let after = &inside[at + 1..];
            *at > 0 && !after.starts_with('\'') && (after.is_empty() || after.starts_with([' ', ',', ':', ';', '.']))
        };
        let Some((end, _)) = inside.match_indices('\'').find(is_end) else { break };
        found.push(inside[..end].to_owned());
        rest = &inside[end + 1..];
    }
    found
}

/// `0 to 255`
fn numbers(text: &str) -> Option<(u64, u64)> {
    let (least, rest) = text.split_once(" to ")?;
    let most: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some((least.parse().ok()?, most.parse().ok()?))
}

/// The line with these words, or this part of a word, in another form: where it stands last as
/// whole words, else where it stands last.
fn replaced(line: &str, old: &str, new: &str) -> String {
    // A line of a file may have more spaces than are shown.
    let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
    let padded = format!(" {line} ");
    let whole = format!(" {old} ");
    let made = match padded.rfind(&whole) {
        Some(at) => format!("{} {new} {}", &padded[..at], &padded[at + whole.len()..]),
        None if old.contains(' ') => unbundled(&padded).replacen(&whole, &format!(" {new} "), 1),
        None => match padded.rfind(old) {
            Some(at) => format!("{}{new}{}", &padded[..at], &padded[at + old.len()..]),
            None => unbundled(&padded).replacen(&whole, &format!(" {new} "), 1),
        },
    };
    made.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `-gm` as `-g -m`
fn unbundled(line: &str) -> String {
    let words = line.split_whitespace().map(|word| match word.strip_prefix('-') {
        Some(letters) if letters.len() > 1 && letters.chars().all(|letter| letter.is_ascii_alphabetic()) => {
            letters.chars().map(|letter| format!("-{letter}")).collect::<Vec<_>>().join(" ")
        }
        _ => word.to_owned(),
    });
    format!(" {} ", words.collect::<Vec<_>>().join(" "))
}
