//! What people do with a fleet: look at it, store a generation, set and remove pointers.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::Path;
use std::slice;
use std::thread;
use std::time::{Duration, Instant};

use ipvs::desired::Source;
use ipvs_cli::escape;
use ipvs_cli::io::{Output, read_whole};
use ipvs_cli::keep::State as DirectorState;
use serde_json::{Value, json};

use crate::args::{Fleet, FleetAct};
use crate::etcd::{
    Access, Address, Client, Entry, EtcdError, Host, Keys, Status, absent, compare, generation, integer, put, range,
    remove, unchanged,
};
use crate::exit::{Ending, NO, TROUBLE};
use crate::source::complete;

/// etcd takes requests of 1.5 MiB (`--max-request-bytes`). The key and the rest of the transaction
/// are small.
const MOST: usize = (3 << 19) - 1024;

/// How often another person may push at the same time.
const ATTEMPTS: usize = 10;

/// etcd takes transactions of 128 changes (`--max-txn-ops`).
const AT_ONCE: usize = 100;

/// A watch that fails is tried again after this.
const PAUSE: Duration = Duration::from_secs(1);

/// An exit status, and why.
type Failed = (u8, String);

impl From<EtcdError> for Failed {
    fn from(error: EtcdError) -> Self {
        (TROUBLE, error.to_string())
    }
}

fn no(reason: impl Into<String>) -> Failed {
    (NO, reason.into())
}

/// Does what the command line says.
pub(crate) fn run(fleet: &Fleet, access: &Access) -> Ending {
    let open = |address: &Address| {
        let client = access.client(address).map_err(|reason| (TROUBLE, reason))?;
        Ok::<_, Failed>(Desk { client, keys: Keys::new(&address.prefix) })
    };
    let is_shown = fleet.source.is_some() || fleet.json || fleet.within.is_some() || !fleet.expect.is_empty();
    match (&fleet.act, &fleet.source) {
        (Some(_), _) if is_shown => {
            Err((TROUBLE, "a subcommand takes SOURCE behind it, and neither --expect, --within nor --json".to_owned()))
        }
        (None, Some(source)) => open(source)?.show(fleet),
        (None, None) => Err((TROUBLE, "name a SOURCE".to_owned())),
        (Some(FleetAct::Push { source, file }), _) => open(source)?.push(file),
        (Some(FleetAct::Current { source, number }), _) => open(source)?.set_current(*number),
        (Some(FleetAct::Rollback { source }), _) => open(source)?.roll_back(),
        (Some(FleetAct::Canary { source, host, number: Some(number), .. }), _) => {
            open(source)?.set_canary(host, *number)
        }
        (Some(FleetAct::Canary { source, host, number: None, .. }), _) => open(source)?.remove_canary(host),
        (Some(FleetAct::Prune { source, keep }), _) => open(source)?.prune(*keep),
    }
}

/// For the person, beside what a script reads.
fn note(text: &str) {
    let _ = writeln!(Output::stderr(), "{}", escape::text(text));
}

fn print(text: &str) -> Ending {
    match Output::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err((TROUBLE, format!("standard output: {error}"))),
        _ => Ok(()),
    }
}

struct Desk {
    client: Client,
    keys: Keys,
}

impl Desk {
    /// Stores a file as the next generation.
    fn push(&mut self, file: &Path) -> Ending {
        let (name, text) = read(file)?;
        complete(&name, &text).map_err(no)?;
        if text.len() > MOST {
            return Err(no(format!("{name}: it has {} bytes, and etcd takes {MOST}", text.len())));
        }
        let contents = contents(&name, &text)?;
        for _ in 0..ATTEMPTS {
            let newest = self.state()?.generations.last().copied().unwrap_or(0);
            if newest > 0 && self.generation(newest)?.value == text {
                note(&format!("generation {newest} has this text already: {contents}"));
                return print(&format!("{newest}\n"));
            }
            let number = newest.checked_add(1).ok_or_else(|| no("there is no number above the newest generation"))?;
            let key = self.keys.generation(number);
            let body = json!({"compare": [absent(&key)], "success": [put(&key, &text)]});
            if Self::changed(self.client.transfer("/v3/kv/txn", &body))? {
                note(&format!("generation {number}: {contents}"));
                return print(&format!("{number}\n"));
            }
        }
        Err(no("other people push all the time: try again"))
    }

    fn set_current(&mut self, number: u64) -> Ending {
        let state = self.state()?;
        self.point(&state, number)
    }

    /// Sets the pointer, unless another person has since this state.
    fn point(&mut self, state: &State, number: u64) -> Ending {
        let is_there = self.check(number)?;
        let (current, text) = (self.keys.current(), number.to_string());
        let mut puts = vec![put(&current, text.as_bytes())];
        if let Some(before) = state.current.filter(|before| *before != number) {
            puts.push(put(&self.keys.previous(), before.to_string().as_bytes()));
        }
        // Or it was done, and the answer was lost.
        let compared = [compare(&current, state.pointed), is_there];
        if !self.change(&compared, &puts)? && self.state()?.current != Some(number) {
            return Err(no(
                "another person has just set it, or removed the generation: look at the fleet, and try again",
            ));
        }
        let before = state.current.map_or("none".to_owned(), |before| before.to_string());
        note(&format!("current generation: {number} (was {before})"));
        for (host, canary) in state.canaries.iter().filter(|(_, canary)| **canary != Some(number)) {
            let canary = canary.map_or("none".to_owned(), |canary| canary.to_string());
            note(&format!("{host} keeps generation {canary} by its canary"));
        }
        Ok(())
    }

    fn roll_back(&mut self) -> Ending {
        let state = self.state()?;
        let number =
            state.previous.ok_or_else(|| no("there was no other generation before: name one by `fleet current`"))?;
        self.point(&state, number)
    }

    fn set_canary(&mut self, host: &Host, number: u64) -> Ending {
        let state = self.state()?;
        let is_there = self.check(number)?;
        if !self.change(&[is_there], &[put(&self.keys.canary(host), number.to_string().as_bytes())])? {
            return Err(no(format!("another person has just removed generation {number}")));
        }
        note(&format!("{host}: generation {number}, whatever the others hold"));
        if !state.statuses.contains_key(host) {
            note(&format!("{host} gives no sign of life: no follower with this name uses the fleet now"));
        }
        Ok(())
    }

    fn remove_canary(&mut self, host: &Host) -> Ending {
        let state = self.state()?;
        self.change(&[], &[remove(&self.keys.canary(host))])?;
        match state.canaries.contains_key(host) {
            true => note(&format!("{host}: what the others hold")),
            false => note(&format!("{host} had no canary")),
        }
        Ok(())
    }

    /// Removes all generations but the newest, and those that a pointer or a director has.
    fn prune(&mut self, keep: NonZeroUsize) -> Ending {
        let state = self.state()?;
        let canaries = state.canaries.values().copied();
        let held = state.statuses.values().map(|status| status.generation);
        let used: BTreeSet<u64> = canaries.chain(held).chain([state.current, state.previous]).flatten().collect();
        let old = state.generations.iter().rev().skip(keep.get()).filter(|number| !used.contains(number));
        let old: Vec<u64> = old.copied().collect();
        let pointers = unchanged(&self.keys.pointers(), state.revision);
        for some in old.chunks(AT_ONCE) {
            let removals: Vec<Value> = some.iter().map(|number| remove(&self.keys.generation(*number))).collect();
            if !self.change(slice::from_ref(&pointers), &removals)? {
                return Err(no("another person has just set a pointer: look at the fleet, and try again"));
            }
        }
        let (removed, left) = (old.len(), state.generations.len() - old.len());
        note(&format!("generations removed: {removed}, left: {left}"));
        Ok(())
    }

    /// Refuses a generation that no director would make. A transaction that compares this is made
    /// only if the generation is still there, as `prune` may remove it.
    fn check(&mut self, number: u64) -> Result<Value, Failed> {
        let Entry { key, value, revision, .. } = self.generation(number)?;
        contents(&key, &value)?;
        Ok(compare(&key, revision))
    }

    fn generation(&mut self, number: u64) -> Result<Entry, Failed> {
        let key = self.keys.generation(number);
        let asked = range(&key, None)["request_range"].take();
        let entry = Entry::all(&self.client.transfer("/v3/kv/range", &asked)?).into_iter().next();
        entry.ok_or_else(|| no(format!("there is no generation {number}: {key}")))
    }

    /// Makes a small transaction, perhaps twice. Was the state as it was compared to? A second one
    /// finds the work of the first.
    fn change(&mut self, compared: &[Value], changes: &[Value]) -> Result<bool, Failed> {
        let answer = self.client.ask("/v3/kv/txn", &json!({"compare": compared, "success": changes}));
        Self::changed(answer)
    }

    fn changed(answer: Result<Value, EtcdError>) -> Result<bool, Failed> {
        match answer {
            Ok(answer) => Ok(answer["succeeded"] == true),
            Err(EtcdError::Refused(reason)) => Err(no(format!("etcd refuses it: {reason}"))),
            Err(error) => Err((TROUBLE, format!("{error}; it may have been done all the same: look at the fleet"))),
        }
    }

    /// All but the texts, at one revision.
    fn state(&mut self) -> Result<State, EtcdError> {
        let all = |kind| {
            let (from, to) = self.keys.all(kind);
            range(&from, Some(&to))
        };
        let mut generations = all("generations");
        generations["request_range"]["keys_only"] = true.into();
        let single = |key: String| range(&key, None);
        let ranges =
            [single(self.keys.current()), single(self.keys.previous()), all("canary"), all("status"), generations];
        let answer = self.client.ask("/v3/kv/txn", &json!({"success": ranges}))?;
        Ok(State::read(&self.keys, &answer))
    }

    fn show(&mut self, fleet: &Fleet) -> Ending {
        let end = fleet.within.map(|within| Instant::now() + within);
        let state = loop {
            let state = self.state()?;
            let left = end.map_or(Duration::ZERO, |end| end.saturating_duration_since(Instant::now()));
            if left.is_zero() || is_settled(&state.directors(&fleet.expect)) {
                break state;
            }
            self.wait(state.revision, left);
        };
        let directors = state.directors(&fleet.expect);
        let is_settled = is_settled(&directors);
        print(&match fleet.json {
            true => format!("{}\n", state.to_json(&directors, is_settled)),
            false => state.to_text(&directors),
        })?;
        match is_settled {
            true => Ok(()),
            false if directors.is_empty() => Err(no("no director gives a sign of life")),
            false => Err(no("not every director holds what it is to hold")),
        }
    }

    /// Waits for a change of any key after this revision.
    fn wait(&self, revision: i64, left: Duration) {
        let (from, to) = self.keys.everything();
        let seen = self.client.watch(&from, &to, revision, left).and_then(|mut watch| watch.next());
        if seen.is_err() {
            thread::sleep(PAUSE.min(left));
        }
    }
}

/// What a text has, in a few words, if a director can make it.
fn contents(name: &str, text: &[u8]) -> Result<String, Failed> {
    let read = DirectorState::read_shared(&[Source::new(name, text)]);
    read.map(|(_, contents)| contents).map_err(|unread| no(unread.reason))
}

fn read(file: &Path) -> Result<(String, Vec<u8>), Failed> {
    let mut text = Vec::new();
    let (name, read) = match file == Path::new("-") {
        true => ("standard input".to_owned(), read_whole(&mut io::stdin().lock(), &mut text)),
        false => {
            let read = File::open(file).and_then(|mut file| read_whole(&mut file, &mut text));
            (escape::path(file).to_string(), read)
        }
    };
    read.map_err(|error| (TROUBLE, format!("{name}: {error}")))?;
    Ok((name, text))
}

/// What a fleet is to hold, and what it says that it holds.
#[derive(Debug, Default)]
struct State {
    revision: i64,
    current: Option<u64>,
    /// When `current` was last written.
    pointed: i64,
    previous: Option<u64>,
    /// In order.
    generations: BTreeSet<u64>,
    /// `None`: the value is no number.
    canaries: BTreeMap<Host, Option<u64>>,
    statuses: BTreeMap<Host, Status>,
}

/// A line about a director.
#[derive(Debug)]
struct Line<'s> {
    host: Host,
    wanted: Option<u64>,
    is_canary: bool,
    /// `None`: no sign of life.
    status: Option<&'s Status>,
}

impl Line<'_> {
    fn is_settled(&self) -> bool {
        let is_there = |status: &Status| status.is_as_desired && status.generation == self.wanted;
        self.wanted.is_some() && self.status.is_some_and(is_there)
    }

    fn state(&self) -> String {
        match self.status {
            None => "no sign of life".to_owned(),
            Some(_) if self.is_settled() => "as desired".to_owned(),
            Some(status) if !status.reason.is_empty() => status.reason.clone(),
            Some(_) => "not yet as desired".to_owned(),
        }
    }
}

fn is_settled(directors: &[Line<'_>]) -> bool {
    !directors.is_empty() && directors.iter().all(Line::is_settled)
}

impl State {
    fn read(keys: &Keys, answer: &Value) -> Self {
        let mut state = State { revision: integer(&answer["header"]["revision"]), ..State::default() };
        for entry in Entry::of_each(answer).into_iter().flatten() {
            let host = |kind: &str| keys.name(kind, &entry.key).and_then(|name| name.parse::<Host>().ok());
            if entry.key == keys.current() {
                (state.current, state.pointed) = (generation(&entry.value), entry.revision);
            } else if entry.key == keys.previous() {
                state.previous = generation(&entry.value);
            } else if let Some(host) = host("canary") {
                state.canaries.insert(host, generation(&entry.value));
            } else if let Some(host) = host("status") {
                state.statuses.insert(host, Status::from_json(&entry.value));
            } else if let Some(number) = keys.name("generations", &entry.key) {
                state.generations.extend(generation(number.as_bytes()));
            }
        }
        state
    }

    fn directors(&self, expected: &[Host]) -> Vec<Line<'_>> {
        let hosts: BTreeSet<&Host> = self.statuses.keys().chain(self.canaries.keys()).chain(expected).collect();
        let line = |host: &Host| {
            let canary = self.canaries.get(host);
            Line {
                host: host.clone(),
                wanted: canary.copied().unwrap_or(self.current),
                is_canary: canary.is_some(),
                status: self.statuses.get(host),
            }
        };
        hosts.into_iter().map(line).collect()
    }

    fn to_text(&self, directors: &[Line<'_>]) -> String {
        let shown = |number: Option<u64>| number.map_or("-".to_owned(), |number| number.to_string());
        let mut text = format!("current generation: {}", shown(self.current));
        if let Some(previous) = self.previous {
            text += &format!(" (was {previous})");
        }
        text += &format!(", newest: {}\n", shown(self.generations.last().copied()));
        let width = directors.iter().map(|line| line.host.to_string().len()).max().unwrap_or(0).max(8);
        text +=
            &format!("{:width$}  {:>6}  {:>5}  {:12}  {:>5}  STATE\n", "DIRECTOR", "WANTED", "HOLDS", "TABLE", "DRIFT");
        for line in directors {
            let wanted = format!("{}{}", shown(line.wanted), if line.is_canary { "*" } else { "" });
            let (holds, table, drift) = match line.status {
                Some(status) => {
                    let holds: String = status.holds.chars().take(12).collect();
                    (shown(status.generation), escape::text(&holds).to_string(), status.drift.to_string())
                }
                None => ("-".to_owned(), "-".to_owned(), "-".to_owned()),
            };
            let (host, state) = (&line.host, line.state());
            let state = escape::text(&state);
            text += &format!("{host:width$}  {wanted:>6}  {holds:>5}  {table:12}  {drift:>5}  {state}\n");
        }
        if !self.canaries.is_empty() {
            text += "*: by a canary\n";
        }
        text
    }

    fn to_json(&self, directors: &[Line<'_>], is_settled: bool) -> Value {
        let directors: Vec<Value> = directors
            .iter()
            .map(|line| {
                json!({
                    "host": line.host.to_string(), "wanted": line.wanted, "canary": line.is_canary,
                    "settled": line.is_settled(), "status": line.status.map(Status::to_json),
                })
            })
            .collect();
        json!({
            "version": 1, "current": self.current, "previous": self.previous, "generations": self.generations,
            "settled": is_settled, "directors": directors,
        })
    }
}

#[cfg(test)]
mod tests {
    use base64::prelude::{BASE64_STANDARD, Engine};

    use super::*;

    /// As etcd answers.
    fn state(entries: &[(&str, &str)]) -> State {
        let keys = Keys::new("/ipvs");
        let entry = |(key, value): &(&str, &str)| {
            let key = BASE64_STANDARD.encode(format!("/ipvs/{key}"));
            json!({"key": key, "value": BASE64_STANDARD.encode(value), "mod_revision": "9"})
        };
        let kvs: Vec<Value> = entries.iter().map(entry).collect();
        let answer = json!({"header": {"revision": "12"}, "responses": [{"response_range": {"kvs": kvs}}]});
        State::read(&keys, &answer)
    }

    fn status(generation: u64, is_as_desired: bool, reason: &str) -> String {
        let status = Status {
            generation: Some(generation),
            holds: "0123456789abcdef".to_owned(),
            is_as_desired,
            reason: reason.to_owned(),
            drift: 2,
            version: "0.1.0".to_owned(),
            machine: "rack7".to_owned(),
        };
        status.to_json().to_string()
    }

    #[test]
    fn each_director_is_compared_with_its_pointer() {
        let (seven, eight) = (status(7, true, ""), status(8, true, ""));
        let refused = status(7, false, "/ipvs/generations/8:3: no such scheduler");
        let entries = [
            ("canary/lb1", "8"),
            ("canary/lb4", "x"),
            ("current", "7"),
            ("generations/10", ""),
            ("generations/7", ""),
            ("generations/8", ""),
            ("previous", "6"),
            ("status/lb1", &*refused),
            ("status/lb2", &*seven),
            ("status/lb3", &*eight),
        ];
        let state = state(&entries);
        assert_eq!((state.current, state.pointed, state.revision), (Some(7), 9, 12));
        let directors = state.directors(&["lb5".parse().unwrap()]);
        assert_eq!(
            state.to_text(&directors),
            "current generation: 7 (was 6), newest: 10\n\
             DIRECTOR  WANTED  HOLDS  TABLE         DRIFT  STATE\n\
             lb1           8*      7  0123456789ab      2  /ipvs/generations/8:3: no such scheduler\n\
             lb2            7      7  0123456789ab      2  as desired\n\
             lb3            7      8  0123456789ab      2  not yet as desired\n\
             lb4           -*      -  -                 -  no sign of life\n\
             lb5            7      -  -                 -  no sign of life\n\
             *: by a canary\n"
        );
        assert!(!is_settled(&directors));
        let json = state.to_json(&directors, false);
        assert_eq!(json["directors"][1]["settled"], true);
        assert_eq!(json["directors"][4]["status"], Value::Null);
        assert_eq!(json["generations"], json!([7, 8, 10]));
    }

    #[test]
    fn a_status_does_not_write_to_the_terminal() {
        let hostile = json!({"generation": 7, "holds": "\x1b[2J\u{9b}0m", "reason": "\x1b]0;x\x07"}).to_string();
        let state = state(&[("current", "7"), ("status/lb1", &hostile)]);
        let text = state.to_text(&state.directors(&[]));
        assert!(!text.contains(['\x1b', '\u{9b}', '\x07']), "{text:?}");
    }

    #[test]
    fn what_is_no_state_is_refused_before_etcd_is_asked() {
        let address: Address = "etcd://127.0.0.1:1/ipvs".parse().unwrap();
        let client = Access::default().client(&address).unwrap();
        let mut desk = Desk { client, keys: Keys::new("/ipvs") };
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("new");
        let mut push = |text: &str| {
            std::fs::write(&file, text).unwrap();
            desk.push(&file).unwrap_err()
        };
        for (wrong, reason) in [
            ("", "the file is empty"),
            ("nonsense\n", "new:1"),
            ("-A -t localhost:80 -s rr\n", "new:1"),
            ("-A -t 192.0.2.1:http -s rr\n", "new:1"),
            ("-A -t 192.0.2.1:80 -s rr", "the last line has no end"),
            ("-A -f 1 -s rr\n-A -f 1 -s rr\n", "new:2"),
            ("--start-daemon master --mcast-interface eth0\n", "sync daemons"),
            (&("# x\n".repeat(MOST / 4 + 1) + "-C\n"), "etcd takes"),
        ] {
            let (status, said) = push(wrong);
            assert!(status == NO && said.contains(reason), "{said}");
        }
        let (status, said) = push("-C\n");
        assert!(status == TROUBLE && said.starts_with("etcd cannot be reached: http://127.0.0.1:1: "), "{said}");
    }

    #[test]
    fn generations_are_pushed_pointed_to_and_rolled_back() {
        let fake = crate::etcd::Fake::start();
        let client = Access::default().client(&fake.address).unwrap();
        let mut desk = Desk { client, keys: Keys::new("/ipvs") };
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("new");
        for text in ["-C\n", "-C\n-A -f 1 -s rr\n", "-C\n-A -f 1 -s rr\n"] {
            std::fs::write(&file, text).unwrap();
            desk.push(&file).unwrap();
        }
        let value = |key: &str| fake.store().keys.get(key).map(|(value, _)| String::from_utf8(value.clone()).unwrap());
        assert_eq!(value("/ipvs/generations/2").unwrap(), "-C\n-A -f 1 -s rr\n");
        assert_eq!(value("/ipvs/generations/3"), None, "the same text twice");
        assert_eq!(desk.roll_back().unwrap_err().0, NO, "nowhere to go");
        desk.set_current(1).unwrap();
        desk.set_current(2).unwrap();
        assert_eq!((value("/ipvs/current").unwrap(), value("/ipvs/previous").unwrap()), ("2".into(), "1".into()));
        desk.roll_back().unwrap();
        assert_eq!((value("/ipvs/current").unwrap(), value("/ipvs/previous").unwrap()), ("1".into(), "2".into()));
        let seen = desk.state().unwrap();
        desk.set_current(2).unwrap();
        assert_eq!(desk.point(&seen, 1).unwrap_err().0, NO, "another person was faster");
        desk.point(&seen, 2).unwrap();
        desk.set_current(1).unwrap();
        let host = "lb1".parse().unwrap();
        desk.set_canary(&host, 2).unwrap();
        assert_eq!(value("/ipvs/canary/lb1").unwrap(), "2");
        desk.remove_canary(&host).unwrap();
        assert_eq!(value("/ipvs/canary/lb1"), None);
        for number in [3, 4] {
            fake.change(|store| store.put("/ipvs/generations/4", "nonsense\n"));
            assert_eq!(desk.set_current(number).unwrap_err().0, NO);
            assert_eq!(desk.set_canary(&host, number).unwrap_err().0, NO);
        }
        assert_eq!(value("/ipvs/current").unwrap(), "1");
        fake.change(|store| store.put(&format!("/ipvs/generations/{}", u64::MAX), "-C\n"));
        std::fs::write(&file, "-C\n-A -f 2 -s rr\n").unwrap();
        assert_eq!(desk.push(&file).unwrap_err().0, NO, "no number is left");
    }

    #[test]
    fn old_generations_are_pruned_but_for_those_in_use() {
        let fake = crate::etcd::Fake::start();
        let client = Access::default().client(&fake.address).unwrap();
        let mut desk = Desk { client, keys: Keys::new("/ipvs") };
        fake.change(|store| {
            (1..=300).for_each(|number| store.put(&format!("/ipvs/generations/{number}"), "-C\n"));
            for (key, value) in [("current", "7"), ("previous", "3"), ("canary/lb1", "150")] {
                store.put(&format!("/ipvs/{key}"), value);
            }
            store.put("/ipvs/status/lb2", status(99, true, ""));
        });
        let generations = |desk: &mut Desk| Vec::from_iter(desk.state().unwrap().generations);
        desk.prune(NonZeroUsize::new(2).unwrap()).unwrap();
        assert_eq!(generations(&mut desk), [3, 7, 99, 150, 299, 300]);
        desk.prune(NonZeroUsize::MIN).unwrap();
        assert_eq!(generations(&mut desk), [3, 7, 99, 150, 300]);
        // A pointer that is set at that moment may be to one of them.
        let pointers = unchanged(&desk.keys.pointers(), desk.state().unwrap().revision);
        fake.change(|store| store.put("/ipvs/canary/lb3", "3"));
        assert!(!desk.change(&[pointers], &[remove("/ipvs/generations/3")]).unwrap());
        assert_eq!(generations(&mut desk), [3, 7, 99, 150, 300]);
    }

    /// By `prune`, while nobody points to it yet.
    #[test]
    fn a_generation_that_is_removed_meanwhile_is_not_pointed_to() {
        let fake = crate::etcd::Fake::start();
        let client = Access::default().client(&fake.address).unwrap();
        let mut desk = Desk { client, keys: Keys::new("/ipvs") };
        fake.change(|store| store.put("/ipvs/generations/1", "-C\n"));
        let there = desk.check(1).unwrap();
        assert!(desk.change(slice::from_ref(&there), &[put("/ipvs/current", b"1")]).unwrap());
        fake.change(|store| store.remove("/ipvs/generations/1"));
        assert!(!desk.change(&[there], &[put("/ipvs/current", b"1")]).unwrap());
    }

    #[test]
    fn a_fleet_without_directors_is_not_settled() {
        assert!(!is_settled(&state(&[("current", "7")]).directors(&[])));
        let seven = status(7, true, "");
        assert!(is_settled(&state(&[("current", "7"), ("status/a", &seven)]).directors(&[])));
        assert!(!is_settled(&state(&[("status/a", &seven)]).directors(&[])), "without a pointer");
    }
}
