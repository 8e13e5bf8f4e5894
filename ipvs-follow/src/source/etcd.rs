//! A generation in etcd.
//!
//! A thread reads and watches etcd, so that no etcd that is silent keeps the director from being
//! repaired. It hands over what it read, and wakes the follower when that is different.
//!
//! The pointers and the state are read at one revision, by a reading that a majority of the cluster
//! confirms. A watch says when to read again; what it says is not used. So compaction, a lost
//! leader or lost events cost time only: everything is read again at each heartbeat.
//!
//! A cluster with another id, or with a lower revision than before, was restored or made anew. What
//! it says is not followed until a person writes a pointer or asks for a reload.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ipvs::desired::Source;
use serde_json::json;

use super::SourceFault;
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
}

impl Etcd {
    /// Begins to read.
    pub(crate) fn open(address: Address, client: Client, membership: Membership) -> io::Result<Self> {
        let (wake, woken) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        let (orders, received) = mpsc::channel();
        let latest = Arc::new(Mutex::new(Latest::default()));
        let keys = Keys::new(&address.prefix);
        let reader = Reader {
            client,
            keys: keys.clone(),
            membership,
            orders: orders.clone(),
            latest: Arc::clone(&latest),
            wake: woken,
            known: None,
            distrust: None,
            failures: 0,
            watch: None,
            watches: 0,
            lease: None,
            status: None,
            last: None,
            kept: None,
        };
        thread::Builder::new().name("etcd".to_owned()).spawn(move || reader.run(&received))?;
        Ok(Etcd { address, keys, latest, orders, wake, reported: None, at: None })
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
            Some(Ok(Snapshot { key, is_canary, text })) => {
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
    /// The cluster's id, and its last revision.
    known: Option<(String, i64)>,
    /// Since this revision a cluster answers that has lost its past, and why that is known.
    distrust: Option<(i64, String)>,
    /// Readings that failed in a row.
    failures: u32,
    /// The number of the watch that is open, and since when.
    watch: Option<(u64, Instant)>,
    watches: u64,
    lease: Option<String>,
    status: Option<Status>,
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
                self.hand_over(|latest| latest.read = Some(read));
                self.open_watch(revision);
                self.renew();
                self.heartbeat()
            }
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                // The watch may be at a member that is cut off.
                self.watch = None;
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
        let before = latest.clone();
        change(&mut latest);
        if *latest != before {
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
        let mut ranges = vec![range(&canary, None), range(&current, None)];
        if let Some(kept) = &self.kept {
            let mut unread = range(&kept.key, None);
            unread["request_range"]["keys_only"] = true.into();
            ranges.push(unread);
        }
        let answer = self.client.ask("/v3/kv/txn", &json!({"success": ranges}))?;
        let revision = integer(&answer["header"]["revision"]);
        self.compare(answer["header"]["cluster_id"].as_str().unwrap_or_default(), revision);
        let found = Entry::of_each(&answer);
        let Some(pointer) = found.iter().take(2).flatten().next() else {
            return Ok((wrong(format!("{current} does not exist in etcd")), revision));
        };
        let Some(number) = generation(&pointer.value) else {
            let reason = format!("{}: the value must be the number of a generation", pointer.key);
            return Ok((wrong(reason), revision));
        };
        let key = self.keys.generation(number);
        let is_kept = |kept: &Entry| kept.key == key && found.get(2).is_some_and(|now| is_same(now, kept));
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
        let snapshot = Snapshot { is_canary: pointer.key == canary, key, text: state.value.clone() };
        Ok((self.trusted(snapshot, pointer), revision))
    }

    /// Is this the cluster of before, with all that it held?
    fn compare(&mut self, id: &str, revision: i64) {
        let reason = match &self.known {
            Some((known, _)) if known != id => format!("its cluster id was {known}, and is {id}"),
            Some((_, last)) if *last > revision => format!("its revision was {last}, and is {revision}"),
            _ => String::new(),
        };
        if !reason.is_empty() {
            self.distrust = Some((revision, reason));
            self.kept = None;
        }
        self.known = Some((id.to_owned(), revision));
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
        let Some(lease) = &self.lease else { return self.put_status() };
        let answer = self.client.ask("/v3/lease/keepalive", &json!({"ID": lease}));
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
        let text = status.to_json().to_string();
        let done = self.put_text(&text);
        let reason = done.err().map(|error| error.to_string());
        self.remark(STATUS, reason.as_deref());
    }

    fn put_text(&mut self, text: &str) -> Result<(), EtcdError> {
        let lease = match self.lease.take() {
            Some(lease) => lease,
            None => {
                let seconds = self.membership.lease.as_secs();
                let answer = self.client.ask("/v3/lease/grant", &json!({"TTL": seconds.to_string()}))?;
                answer["ID"].as_str().unwrap_or_default().to_owned()
            }
        };
        let mut request = put(&self.keys.status(&self.membership.host), text.as_bytes())["request_put"].take();
        request["lease"] = lease.clone().into();
        // After an error, a new lease: this one may be over.
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
const RESTORED: &str = "etcd was restored or made anew";

#[cfg(test)]
mod tests;
