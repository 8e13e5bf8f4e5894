//! A generation in etcd.
//!
//! A thread reads and watches etcd, so that no etcd that is silent keeps the director from being
//! repaired. It hands over what it read, and wakes the follower when that is different.
//!
//! The pointers and the state are read at one revision, by a reading that a majority of the cluster
//! confirms. A watch says when to read again; what it says is not used. So compaction, a lost
//! leader or lost events cost time only: everything is read again at each heartbeat.
//!
//! A cluster was restored or made anew if it has another id, a lower revision than before, or a
//! pointer that is older than the last reading and was not there then. What it says is not followed
//! until a person writes a pointer or asks for a reload.
//!
//! Of two directors with one name, each finds that the other has written its status.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use ipvs::desired::Source;
use serde_json::json;

use super::SourceFault;
use super::copy::{Copied, Copy, Past};
use crate::args::written;
use crate::etcd::{Address, Client, Entry, EtcdError, Host, Keys, Status, WATCHING, generation, integer, put, range};

/// How soon the follower looks again at an etcd that does not answer. It is woken before, when that
/// has changed.
const AGAIN: Duration = Duration::from_secs(6);

/// A watch that ends sooner is not opened again before the next heartbeat.
const SHORT: Duration = Duration::from_secs(5);

/// An etcd that did not answer is asked again after this, however long a lease lasts.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A state may be compacted between two readings.
const ATTEMPTS: usize = 3;

/// A director as a member of a fleet.
#[derive(Clone, Debug)]
pub(crate) struct Membership {
    pub(crate) host: Host,
    /// How long its status lasts after its last sign of life.
    pub(crate) lease: Duration,
}

/// What was read of etcd.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Snapshot {
    /// The generation's key.
    key: String,
    is_canary: bool,
    text: Vec<u8>,
}

/// Why nothing was.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Trouble {
    /// What is there is no state.
    Wrong(String),
    /// It may pass.
    Silent(String),
}

/// What the thread hands over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Latest {
    /// `None`: nothing yet.
    read: Option<Result<Snapshot, Trouble>>,
    /// Of the same reading.
    past: Option<Past>,
    /// What else is wrong.
    remarks: BTreeSet<String>,
}

/// What the thread is asked for.
enum Order {
    Report(Box<Status>),
    Reload,
    /// The watch of this number has seen a change.
    Seen(u64),
    /// It is over.
    Over(u64, String),
}

/// What a director held last, of a copy.
pub(crate) struct OldState {
    pub(crate) source: Source,
    /// In words, with its age.
    pub(crate) name: String,
    pub(crate) confirmed: SystemTime,
}

/// A fleet's state that is followed.
pub(crate) struct Etcd {
    address: Address,
    keys: Keys,
    latest: Arc<Mutex<Latest>>,
    orders: Sender<Order>,
    wake: UnixStream,
    reported: Option<Status>,
    /// The last snapshot that was read, for its name.
    at: Option<(u64, bool)>,
    copy: Option<Copy>,
}

impl Etcd {
    /// Begins to read.
    ///
    /// A copy that can't be used is a remark.
    pub(crate) fn open(
        address: Address,
        client: Client,
        membership: Membership,
        copy: Option<PathBuf>,
    ) -> io::Result<Self> {
        let (wake, woken) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        let (orders, received) = mpsc::channel();
        let keys = Keys::new(&address.prefix);
        let copy = copy.map(|path| Copy::open(path, |key| keys.name("generations", key).is_some()));
        let (copy, read) = copy.map_or((None, Ok(())), |(copy, read)| (Some(copy), read));
        let remarks = read.err().map(|reason| format!("{COPY}: {reason}")).into_iter().collect();
        let latest = Arc::new(Mutex::new(Latest { remarks, ..Latest::default() }));
        let copied = copy.as_ref().and_then(Copy::copied);
        let reader = Reader {
            client,
            keys: keys.clone(),
            membership,
            orders: orders.clone(),
            latest: Arc::clone(&latest),
            wake: woken,
            known: copied.map(|copied| copied.past.clone()),
            distrust: None,
            failures: 0,
            watch: None,
            watches: 0,
            lease: None,
            status: None,
            namesakes: 0,
            last: copied.map(|copied| copied.text.clone().into_bytes()),
            kept: None,
        };
        thread::Builder::new().name("etcd".to_owned()).spawn(move || reader.run(&received))?;
        Ok(Etcd { address, keys, latest, orders, wake, reported: None, at: None, copy })
    }

    pub(super) fn name(&self) -> String {
        match self.at {
            Some((number, false)) => format!("{} (generation {number})", self.address),
            Some((number, true)) => format!("{} (generation {number}, canary)", self.address),
            None => self.address.to_string(),
        }
    }

    pub(super) fn remarks(&self) -> Result<(), String> {
        let remarks = Vec::from_iter(lock(&self.latest).remarks.clone());
        if remarks.is_empty() { Ok(()) } else { Err(remarks.join("\n")) }
    }

    pub(super) fn has_changed(&self) -> bool {
        let mut bytes = [0; 64];
        let mut has_changed = false;
        while matches!((&self.wake).read(&mut bytes), Ok(1..)) {
            has_changed = true;
        }
        has_changed
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    pub(super) fn read(&mut self, now: Instant) -> Result<Vec<Source>, SourceFault> {
        let read = lock(&self.latest).read.clone();
        let again = now + AGAIN;
        match read {
            Some(Ok(Snapshot { key, is_canary, text, .. })) => {
                self.at = self.generation(&key).map(|number| (number, is_canary));
                if text.is_empty() {
                    return Err(format!("{key}: the value is empty").into());
                }
                Ok(vec![Source::new(key, text)])
            }
            Some(Err(Trouble::Wrong(reason))) => Err(reason.into()),
            Some(Err(Trouble::Silent(reason))) => Err(SourceFault::Unfinished { reason, again }),
            None => Err(SourceFault::Unfinished { reason: "etcd has not answered yet".to_owned(), again }),
        }
    }

    /// The number of a generation that was read as this text.
    pub(crate) fn generation(&self, key: &str) -> Option<u64> {
        self.keys.name("generations", key).and_then(|number| generation(number.as_bytes()))
    }

    /// The state that the director held last, according to the copy.
    pub(crate) fn copy(&self) -> Option<OldState> {
        let copy = self.copy.as_ref()?;
        let (source, confirmed) = (copy.source()?, copy.confirmed()?);
        let number = self.generation(source.name()).map_or_else(String::new, |number| number.to_string());
        let age = match confirmed.elapsed() {
            Ok(age) if age.as_secs() > 0 => format!("{} ago", written(age)),
            Ok(_) => "just now".to_owned(),
            Err(_) => "at a time that has not come yet".to_owned(),
        };
        let name = format!("the copy of generation {number}, which etcd confirmed last {age}");
        Some(OldState { source, name, confirmed })
    }

    /// The director holds this text of a generation, as etcd says. Copies it.
    ///
    /// # Errors
    /// Why there is no copy.
    pub(crate) fn keep_copy(&mut self, source: &Source) -> Result<(), String> {
        let Some(copy) = &mut self.copy else { return Ok(()) };
        let latest = lock(&self.latest).clone();
        let copied = match (latest.read, latest.past) {
            (Some(Ok(Snapshot { key, text, .. })), Some(past)) if key == source.name() && text == source.text() => {
                let text = String::from_utf8(text).map_err(|_| "the state is not UTF-8".to_owned())?;
                Copied { key, text, past }
            }
            // It has changed by now, and will be made.
            _ => return Ok(()),
        };
        copy.keep(copied)?;
        lock(&self.latest).remarks.retain(|remark| !remark.starts_with(COPY));
        Ok(())
    }

    pub(super) fn reload(&self) {
        let _ = self.orders.send(Order::Reload);
    }

    /// Lets the fleet know.
    pub(crate) fn report(&mut self, status: Status) {
        if self.reported.as_ref() != Some(&status) {
            let _ = self.orders.send(Order::Report(Box::new(status.clone())));
            self.reported = Some(status);
        }
    }
}

fn lock(latest: &Mutex<Latest>) -> MutexGuard<'_, Latest> {
    latest.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Was the key not written since?
fn is_same(now: &[Entry], before: &Entry) -> bool {
    matches!(now, [now] if now.key == before.key && now.revision == before.revision)
}

/// The thread.
struct Reader {
    client: Client,
    keys: Keys,
    membership: Membership,
    orders: Sender<Order>,
    latest: Arc<Mutex<Latest>>,
    wake: UnixStream,
    /// Of the last reading.
    known: Option<Past>,
    /// Since this revision a cluster answers that has lost its past, and why that is known.
    distrust: Option<(i64, String)>,
    /// Readings that failed in a row.
    failures: u32,
    /// The number of the watch that is open, and since when.
    watch: Option<(u64, Instant)>,
    watches: u64,
    lease: Option<i64>,
    status: Option<Status>,
    /// How many heartbeats in a row another has written the status.
    namesakes: u32,
    /// The last state that was handed over.
    last: Option<Vec<u8>>,
    /// The generation that was read last, so that it is not transferred at each heartbeat.
    kept: Option<Entry>,
}

impl Reader {
    fn run(mut self, orders: &Receiver<Order>) {
        let mut due = Instant::now();
        loop {
            match orders.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(Order::Report(status)) => {
                    self.status = Some(*status);
                    self.put_status();
                }
                Ok(Order::Reload) => {
                    self.distrust = None;
                    due = Instant::now();
                }
                Ok(Order::Seen(number)) if self.is_watch(number) => due = Instant::now(),
                Ok(Order::Over(number, reason)) if self.is_watch(number) => {
                    let is_short = self.watch.take().is_some_and(|(_, since)| since.elapsed() < SHORT);
                    if is_short {
                        self.remark(WATCH, Some(&reason));
                    } else {
                        due = Instant::now();
                    }
                }
                Ok(Order::Seen(_) | Order::Over(..)) => {}
                Err(RecvTimeoutError::Timeout) => due = Instant::now() + self.beat(),
                // Not while this has a sender itself.
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn heartbeat(&self) -> Duration {
        self.membership.lease / 3
    }

    fn is_watch(&self, number: u64) -> bool {
        self.watch.is_some_and(|(open, _)| open == number)
    }

    /// Reads, and gives a sign of life. Returns the pause until the next.
    fn beat(&mut self) -> Duration {
        match self.read() {
            Ok((read, revision)) => {
                self.failures = 0;
                self.hand_over(|latest| (latest.read, latest.past) = (Some(read), self.known.clone()));
                self.open_watch(revision);
                self.renew();
                self.heartbeat()
            }
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                // The watch may be at a member that is cut off. Before etcd is back, it may be
                // restored, and have another state of the number that was transferred.
                (self.watch, self.kept) = (None, None);
                let trouble = match error {
                    EtcdError::Refused(_) => Trouble::Wrong(error.to_string()),
                    EtcdError::Unreachable(_) | EtcdError::Compacted => Trouble::Silent(error.to_string()),
                };
                self.hand_over(|latest| latest.read = Some(Err(trouble)));
                pause(self.failures).min(self.heartbeat())
            }
        }
    }

    /// Changes what is handed over, and wakes the follower if it is different then.
    fn hand_over(&self, change: impl FnOnce(&mut Latest)) {
        let mut latest = lock(&self.latest);
        let (read, remarks) = (latest.read.clone(), latest.remarks.clone());
        change(&mut latest);
        // The revision is another one whenever anything is written.
        if (&latest.read, &latest.remarks) != (&read, &remarks) {
            // If it is full, the follower is awake.
            let _ = (&self.wake).write(&[0]);
        }
    }

    fn remark(&self, topic: &str, reason: Option<&str>) {
        self.hand_over(|latest| {
            latest.remarks.retain(|remark| !remark.starts_with(topic));
            latest.remarks.extend(reason.map(|reason| format!("{topic}: {reason}")));
        });
    }

    /// The state that this director is to have, and the revision at which it was read.
    fn read(&mut self) -> Result<(Result<Snapshot, Trouble>, i64), EtcdError> {
        for _ in 0..ATTEMPTS {
            match self.read_once() {
                Err(EtcdError::Compacted) => {}
                done => return done,
            }
        }
        Err(EtcdError::Compacted)
    }

    fn read_once(&mut self) -> Result<(Result<Snapshot, Trouble>, i64), EtcdError> {
        let wrong = |reason: String| Err(Trouble::Wrong(reason));
        let (canary, current) = (self.keys.canary(&self.membership.host), self.keys.current());
        let status = self.keys.status(&self.membership.host);
        let mut ranges = vec![range(&canary, None), range(&current, None), range(&status, None)];
        if let Some(kept) = &self.kept {
            let mut unread = range(&kept.key, None);
            unread["request_range"]["keys_only"] = true.into();
            ranges.push(unread);
        }
        let answer = self.client.ask("/v3/kv/txn", &json!({"success": ranges}))?;
        let revision = integer(&answer["header"]["revision"]);
        let cluster = answer["header"]["cluster_id"].as_str().unwrap_or_default();
        let found = Entry::of_each(&answer);
        let pointers: Vec<&Entry> = found.iter().take(2).flatten().collect();
        self.compare(Past {
            cluster: cluster.to_owned(),
            revision,
            pointers: pointers.iter().map(|pointer| (pointer.key.clone(), pointer.revision)).collect(),
        });
        self.look_for_namesake(found.get(2).and_then(|found| found.first()));
        let Some(pointer) = pointers.first() else {
            return Ok((wrong(format!("{current} does not exist in etcd")), revision));
        };
        let Some(number) = generation(&pointer.value) else {
            let reason = format!("{}: the value must be the number of a generation", pointer.key);
            return Ok((wrong(reason), revision));
        };
        let key = self.keys.generation(number);
        let is_kept = |kept: &Entry| kept.key == key && found.get(3).is_some_and(|now| is_same(now, kept));
        if !self.kept.as_ref().is_some_and(is_kept) {
            let mut asked = range(&key, None)["request_range"].take();
            asked["revision"] = revision.to_string().into();
            let answer = self.client.transfer("/v3/kv/range", &asked)?;
            self.kept = Entry::all(&answer).into_iter().next();
        }
        let Some(state) = &self.kept else {
            let reason = format!("{key} does not exist in etcd, but {} points to it", pointer.key);
            return Ok((wrong(reason), revision));
        };
        let snapshot = Snapshot { key, is_canary: pointer.key == canary, text: state.value.clone() };
        Ok((self.trusted(snapshot, pointer), revision))
    }

    /// Does another write this director's status? Once may have been a request of its own that took
    /// its time.
    fn look_for_namesake(&mut self, written: Option<&Entry>) {
        let Some(lease) = self.lease else { return };
        let Some(other) = written.filter(|written| written.lease != lease) else {
            self.namesakes = 0;
            self.remark(NAMESAKE, None);
            if written.is_none() {
                // A person has deleted it.
                self.put_status();
            }
            return;
        };
        self.namesakes += 1;
        if self.namesakes >= 2 {
            let machine = Status::from_json(&other.value).machine;
            let reason = format!("'{machine}' writes its status, too: give each director a --host of its own");
            self.remark(NAMESAKE, Some(&reason));
        }
        // The other one is to notice it, too.
        self.put_status();
    }

    /// Is this the cluster of before, with all that it held?
    fn compare(&mut self, now: Past) {
        if let Some(reason) = self.known.as_ref().and_then(|before| now.is_not_after(before)) {
            self.distrust = Some((now.revision, reason));
            self.kept = None;
        }
        self.known = Some(now);
    }

    /// Refuses a state of a restored cluster that nobody has confirmed.
    fn trusted(&mut self, snapshot: Snapshot, pointer: &Entry) -> Result<Snapshot, Trouble> {
        self.distrust.take_if(|(since, _)| pointer.revision > *since);
        let reason = self.distrust.as_ref().map(|(_, reason)| reason.clone());
        self.remark(RESTORED, reason.as_deref());
        match reason {
            Some(reason) if self.last.as_ref().is_some_and(|last| *last != snapshot.text) => {
                Err(Trouble::Wrong(format!(
                    "{} is not followed, as etcd was restored or made anew: {reason}. If it is right, set it again by \
                     `ipvs-follow fleet`, or send SIGHUP to the follower",
                    pointer.key
                )))
            }
            _ => {
                self.last = Some(snapshot.text.clone());
                Ok(snapshot)
            }
        }
    }

    fn open_watch(&mut self, revision: i64) {
        if self.watch.is_some() {
            return;
        }
        self.watches += 1;
        let (number, client, orders) = (self.watches, self.client.clone(), self.orders.clone());
        let (from, to) = self.keys.pointers();
        let watching = move || {
            let over = match client.watch(&from, &to, revision, WATCHING) {
                Err(reason) => reason,
                Ok(mut watch) => loop {
                    match watch.next() {
                        Ok(()) if orders.send(Order::Seen(number)).is_err() => return,
                        Ok(()) => {}
                        Err(reason) => break reason,
                    }
                },
            };
            // Without a reader, nobody waits for it.
            let _ = orders.send(Order::Over(number, over));
        };
        match thread::Builder::new().name("etcd watch".to_owned()).spawn(watching) {
            Ok(_) => {
                self.watch = Some((number, Instant::now()));
                self.remark(WATCH, None);
            }
            Err(error) => self.remark(WATCH, Some(&error.to_string())),
        }
    }

    /// Keeps the status alive.
    fn renew(&mut self) {
        let Some(lease) = self.lease else { return self.put_status() };
        let answer = self.client.ask("/v3/lease/keepalive", &json!({"ID": lease.to_string()}));
        match answer {
            Ok(answer) if integer(&answer["result"]["TTL"]) > 0 => {}
            // It is over, or of another cluster.
            Ok(_) | Err(EtcdError::Refused(_)) => {
                self.lease = None;
                self.put_status();
            }
            Err(error) => self.remark(STATUS, Some(&error.to_string())),
        }
    }

    fn put_status(&mut self) {
        let Some(status) = &self.status else { return };
        let mut status = status.clone();
        if self.namesakes >= 2 {
            // Which of them the status is of, nobody knows.
            status.is_as_desired = false;
            status.reason = format!("{NAMESAKE}, '{}' one of them", status.machine);
        }
        let text = status.to_json().to_string();
        let done = self.put_text(&text);
        let reason = done.err().map(|error| error.to_string());
        self.remark(STATUS, reason.as_deref());
    }

    fn put_text(&mut self, text: &str) -> Result<(), EtcdError> {
        // After an error, a new lease: this one may be over, as after a time without etcd.
        match self.lease.take().map(|lease| self.put_under(text, lease)) {
            None | Some(Err(EtcdError::Refused(_))) => {}
            Some(done) => return done,
        }
        let seconds = self.membership.lease.as_secs();
        let answer = self.client.ask("/v3/lease/grant", &json!({"TTL": seconds.to_string()}))?;
        self.put_under(text, integer(&answer["ID"]))
    }

    fn put_under(&mut self, text: &str, lease: i64) -> Result<(), EtcdError> {
        let mut request = put(&self.keys.status(&self.membership.host), text.as_bytes())["request_put"].take();
        request["lease"] = lease.to_string().into();
        self.client.ask("/v3/kv/put", &request)?;
        self.lease = Some(lease);
        Ok(())
    }
}

/// After this many readings in a row that failed.
fn pause(failures: u32) -> Duration {
    Duration::from_secs(2_u64.saturating_pow(failures - 1)).min(LONGEST_PAUSE)
}

const WATCH: &str = "etcd is read at each heartbeat only, as it can't be watched";
const STATUS: &str = "this director's status can't be written";
const NAMESAKE: &str = "several directors of the fleet have this name";
const COPY: &str = "there is no copy to start from";
const RESTORED: &str = "etcd was restored or made anew";

#[cfg(test)]
mod tests;
