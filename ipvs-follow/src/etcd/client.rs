//! Requests and their answers.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine};
use ipvs_cli::escape;
use rustls::crypto::ring;
use serde_json::{Value, json};
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, BodyReader};

use super::Address;

/// A member that does not accept a connection for so long is not there, unless all are slow.
const CONNECTING: Duration = Duration::from_secs(2);

/// How long a member may take to answer, before the next is asked. One that has lost its leader
/// does not know it at first, and answers when another is elected, or never. If no member answers,
/// all of them get twice the time, up to [`MOST_PATIENCE`].
const PATIENCE: Duration = Duration::from_secs(1);
const MOST_PATIENCE: Duration = Duration::from_secs(8);

/// Members that are there and do not answer are asked again for as long. By etcd's defaults, an
/// election takes one to two seconds.
const ENOUGH: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 10 });

/// The pause after all members have said that they have no leader.
const PAUSE: Duration = Duration::from_millis(200);

/// The same of one that has a whole state in it.
const TRANSFERRING: Duration = Duration::from_secs(60);

/// A watch is opened again after so long, so that one whose other end is gone does not last.
pub(crate) const WATCHING: Duration = Duration::from_secs(60);

/// No answer is longer: all statuses of a large fleet, or one state in base64.
const LONGEST: u64 = 64 << 20;

/// What gRPC calls an error that another member, or the same one later, may not have: deadline
/// exceeded, internal, unavailable.
const PASSING: [i64; 3] = [4, 13, 14];
const UNAUTHENTICATED: i64 = 16;
const OUT_OF_RANGE: i64 = 11;

/// Asks a member to refuse what it can't do without a leader.
const HAS_LEADER: (&str, &str) = ("Grpc-Metadata-hasleader", "true");

/// How etcd is reached.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct Access {
    /// Trust etcd if a certificate of this file signed its own (etcds://)
    #[arg(long, global = true, value_name = "FILE", help_heading = "etcd")]
    pub(crate) cacert: Option<PathBuf>,
    /// Show etcd this certificate
    #[arg(long, global = true, value_name = "FILE", requires = "key", help_heading = "etcd")]
    pub(crate) cert: Option<PathBuf>,
    /// The key of the certificate
    #[arg(long, global = true, value_name = "FILE", requires = "cert", help_heading = "etcd")]
    pub(crate) key: Option<PathBuf>,
    /// Be this user of etcd
    #[arg(long, global = true, value_name = "NAME", requires = "password_file", help_heading = "etcd")]
    pub(crate) user: Option<String>,
    /// The user's password: the first line of this file
    #[arg(long, global = true, value_name = "FILE", requires = "user", help_heading = "etcd")]
    pub(crate) password_file: Option<PathBuf>,
}

impl Access {
    pub(crate) fn is_empty(&self) -> bool {
        let Access { cacert, cert, key, user, password_file } = self;
        [cacert, cert, key, password_file].iter().all(|file| file.is_none()) && user.is_none()
    }

    /// A client of this cluster. Nothing is sent yet.
    ///
    /// # Errors
    /// A file can't be read, or the options do not fit the address.
    pub(crate) fn client(&self, address: &Address) -> Result<Client, String> {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // etcd is a machine of the same site. A proxy in the environment is meant for others.
            .proxy(None)
            .max_redirects(0)
            .timeout_connect(Some(CONNECTING));
        let config = match address.is_encrypted {
            true => config.https_only(true).tls_config(self.tls()?),
            false if self.cacert.is_some() || self.cert.is_some() => {
                return Err("--cacert, --cert and --key need TLS: write etcds:// in place of etcd://".to_owned());
            }
            false if self.user.is_some() && !address.endpoints.iter().all(|endpoint| is_local(endpoint)) => {
                return Err("a password needs TLS: write etcds:// in place of etcd://".to_owned());
            }
            false => config,
        };
        let login = match (&self.user, &self.password_file) {
            (Some(user), Some(file)) => Some(Login { user: user.clone(), password: password(file)? }),
            _ => None,
        };
        let scheme = if address.is_encrypted { "https" } else { "http" };
        let endpoints = address.endpoints.iter().map(|endpoint| format!("{scheme}://{endpoint}")).collect();
        Ok(Client { agent: config.build().into(), endpoints, at: 0, patience: PATIENCE, login, token: None })
    }

    fn tls(&self) -> Result<TlsConfig, String> {
        let Some(cacert) = &self.cacert else {
            return Err("etcds:// needs --cacert FILE, with the certificate that signed etcd's".to_owned());
        };
        let authorities = certificates(cacert)?;
        let client = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => {
                let read = PrivateKey::from_pem(&read(key)?);
                let read = read.map_err(|_| format!("{}: it must have a private key in PEM", escape::path(key)))?;
                Some(ClientCert::new_with_certs(&certificates(cert)?, read))
            }
            _ => None,
        };
        Ok(TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(&authorities))
            .client_cert(client)
            .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()))
            .build())
    }
}

/// A name that only begins like an address of this machine may be that of another.
fn is_local(endpoint: &str) -> bool {
    let is_loopback = |at: SocketAddr| at.ip().is_loopback();
    endpoint.starts_with("localhost:") || endpoint.parse().is_ok_and(is_loopback)
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    fs::read(file).map_err(|error| format!("{}: {error}", escape::path(file)))
}

fn certificates(file: &Path) -> Result<Vec<Certificate<'static>>, String> {
    let text = read(file)?;
    let certificates: Vec<_> = parse_pem(&text)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    match certificates.is_empty() {
        true => Err(format!("{}: it must have a certificate in PEM", escape::path(file))),
        false => Ok(certificates),
    }
}

fn password(file: &Path) -> Result<String, String> {
    let text = String::from_utf8(read(file)?).map_err(|_| format!("{}: it must be UTF-8", escape::path(file)))?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        _ => Err(format!("{}: the first line must be the password", escape::path(file))),
    }
}

#[derive(Clone)]
struct Login {
    user: String,
    password: String,
}

/// Why a request was not carried out, or is not known to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EtcdError {
    /// No member answers, or none has a leader: each with its reason.
    Unreachable(String),
    /// etcd refuses it.
    Refused(String),
    /// A revision that was asked for is no longer kept.
    Compacted,
}

impl std::fmt::Display for EtcdError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            EtcdError::Unreachable(reason) => write!(f, "etcd cannot be reached: {reason}"),
            EtcdError::Refused(reason) => write!(f, "etcd refuses the request: {reason}"),
            EtcdError::Compacted => f.write_str("etcd has compacted the revision that was read"),
        }
    }
}

/// Of one member.
enum Failure {
    /// Of the way to it.
    Member { message: String, is_late: bool },
    /// Its answer.
    Answer { code: i64, message: String },
}

/// Of all members.
struct Failures {
    error: EtcdError,
    /// Another leader may be elected.
    may_pass: bool,
    /// Has one of them not answered in time?
    is_late: bool,
}

impl From<EtcdError> for Failures {
    fn from(error: EtcdError) -> Self {
        Failures { error, may_pass: false, is_late: false }
    }
}

/// The members of a cluster, one of which is asked until it fails.
#[derive(Clone)]
pub(crate) struct Client {
    agent: Agent,
    endpoints: Vec<String>,
    at: usize,
    /// How long each may take to answer.
    patience: Duration,
    login: Option<Login>,
    /// Of a login; etcd forgets it after some minutes.
    token: Option<String>,
}

impl Client {
    /// Sends a request, to one member after the other until one answers. While they elect a leader,
    /// all of them are asked again.
    ///
    /// It may be carried out twice, and after an error, it may have been carried out all the same.
    pub(crate) fn ask(&mut self, path: &str, body: &Value) -> Result<Value, EtcdError> {
        let end = Instant::now() + ENOUGH;
        loop {
            let asked = Instant::now();
            match self.ask_each(path, body, self.patience) {
                Ok(answer) => {
                    if asked.elapsed() < self.patience / 4 {
                        self.patience = (self.patience / 2).max(PATIENCE);
                    }
                    return Ok(answer);
                }
                Err(Failures { error, may_pass, is_late }) => {
                    if is_late {
                        if self.patience > PATIENCE {
                            // A restored cluster waits for a login that is not in its log.
                            self.token = None;
                        }
                        self.patience = (self.patience * 2).min(MOST_PATIENCE);
                    }
                    if !may_pass || Instant::now() > end {
                        return Err(error);
                    }
                    if !is_late {
                        thread::sleep(PAUSE);
                    }
                }
            }
        }
    }

    /// The same of a request that has a state in it, or in its answer, which may take its time. It
    /// goes to the member that has answered a smaller one before.
    pub(crate) fn transfer(&mut self, path: &str, body: &Value) -> Result<Value, EtcdError> {
        self.ask_each(path, body, TRANSFERRING).map_err(|failures| failures.error)
    }

    fn ask_each(&mut self, path: &str, body: &Value, limit: Duration) -> Result<Value, Failures> {
        let mut reasons: Vec<String> = Vec::new();
        let (mut may_log_in, mut may_pass, mut is_any_late) = (true, false, false);
        // Twice, if there is one only: it may have closed the connection that was kept.
        let mut left = self.endpoints.len().max(2);
        while left > 0 {
            let failure = match self.log_in(limit).and_then(|()| self.send(path, body, limit)) {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let message = match failure {
                Failure::Answer { code, message }
                    if may_log_in
                        && self.token.is_some()
                        && (code == UNAUTHENTICATED || message.contains("auth store is old")) =>
                {
                    (self.token, may_log_in) = (None, false);
                    continue;
                }
                Failure::Answer { code: OUT_OF_RANGE, .. } => return Err(EtcdError::Compacted.into()),
                Failure::Answer { code, message } if !PASSING.contains(&code) => {
                    return Err(EtcdError::Refused(message).into());
                }
                Failure::Answer { message, .. } => {
                    may_pass = true;
                    message
                }
                Failure::Member { message, is_late } => {
                    (may_pass, is_any_late) = (may_pass || is_late, is_any_late || is_late);
                    message
                }
            };
            let reason = format!("{}: {message}", self.endpoints[self.at]);
            if !reasons.contains(&reason) {
                reasons.push(reason);
            }
            self.at = (self.at + 1) % self.endpoints.len();
            left -= 1;
        }
        Err(Failures { error: EtcdError::Unreachable(reasons.join("; ")), may_pass, is_late: is_any_late })
    }

    /// Notices changes of keys from `from` to before `to`, after this revision, at the member that
    /// answered last. It lasts at most for the time `limit`, or one minute.
    pub(crate) fn watch(&self, from: &str, to: &str, revision: i64, limit: Duration) -> Result<Watch, String> {
        let request =
            json!({"key": encode(from), "range_end": encode(to), "start_revision": (revision + 1).to_string()});
        let mut post = self.agent.post(format!("{}/v3/watch", self.endpoints[self.at]));
        if let Some(token) = &self.token {
            post = post.header("Authorization", token);
        }
        // The watch ends if this member loses its leader.
        let post = post.header(HAS_LEADER.0, HAS_LEADER.1);
        let post = post.config().timeout_recv_response(Some(MOST_PATIENCE));
        let post = post.timeout_recv_body(Some(limit.min(WATCHING))).build();
        let response = post.send(json!({"create_request": request}).to_string()).map_err(|error| error.to_string())?;
        let reader = response.into_body().into_with_config().limit(u64::MAX).reader();
        let mut watch = Watch { lines: BufReader::new(reader) };
        // That it was created.
        watch.next().map(|_| watch)
    }

    fn log_in(&mut self, limit: Duration) -> Result<(), Failure> {
        let Some(Login { user, password }) = self.login.clone().filter(|_| self.token.is_none()) else { return Ok(()) };
        // A member takes its time to hash a password, also for a request that was given up.
        let body = json!({"name": user, "password": password});
        let answer = self.send("/v3/auth/authenticate", &body, 3 * limit)?;
        self.token = Some(answer["token"].as_str().unwrap_or_default().to_owned());
        Ok(())
    }

    fn send(&self, path: &str, body: &Value, limit: Duration) -> Result<Value, Failure> {
        let member = |error: ureq::Error| Failure::Member {
            message: error.to_string(),
            is_late: matches!(error, ureq::Error::Timeout(_)),
        };
        let other = |message: String| Failure::Member { message, is_late: false };
        let mut post = self.agent.post(format!("{}{path}", self.endpoints[self.at]));
        if let Some(token) = &self.token {
            post = post.header("Authorization", token);
        }
        // One without a leader says so at once, if it knows it.
        let post = post.header(HAS_LEADER.0, HAS_LEADER.1);
        let connecting = limit.clamp(CONNECTING, MOST_PATIENCE);
        let config = post.config().timeout_connect(Some(connecting)).timeout_recv_response(Some(limit));
        let post = config.timeout_global(Some(connecting + 2 * limit)).build();
        let mut response = post.send(body.to_string()).map_err(member)?;
        let status = response.status();
        let mut text = response.body_mut().with_config().limit(LONGEST).reader();
        let mut bytes = Vec::new();
        // Of a stream, such as that of a lease, the first answer is of interest.
        text.read_to_end(&mut bytes).map_err(|error| member(error.into()))?;
        let first = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let Ok(answer) = serde_json::from_slice::<Value>(first) else {
            return Err(other(format!("it does not answer as etcd 3.4 or later does: HTTP status {status}")));
        };
        let error = if answer["error"].is_object() { &answer["error"] } else { &answer };
        let message = error["message"].as_str().or(error["error"].as_str());
        match message {
            Some(message) => {
                let code = if error["grpc_code"].is_null() { &error["code"] } else { &error["grpc_code"] };
                Err(Failure::Answer { code: integer(code), message: message.to_owned() })
            }
            None if !status.is_success() => Err(other(format!("HTTP status {status}"))),
            // A proxy's, of which nothing may be concluded.
            None if answer["header"].is_null() && answer["result"]["header"].is_null() => Err(other(format!(
                "the answer is not one of etcd: {}",
                String::from_utf8_lossy(&first[..first.len().min(80)])
            ))),
            None => Ok(answer),
        }
    }
}

/// A stream of changes.
pub(crate) struct Watch {
    lines: BufReader<BodyReader<'static>>,
}

impl Watch {
    /// Waits for the next change, for some time. What it is has to be read.
    ///
    /// # Errors
    /// Why the watch is over.
    pub(crate) fn next(&mut self) -> Result<(), String> {
        let mut line = Vec::new();
        self.lines.read_until(b'\n', &mut line).map_err(|error| error.to_string())?;
        let answer: Value = serde_json::from_slice(&line).map_err(|_| "the connection was closed".to_owned())?;
        let (result, error) = (&answer["result"], &answer["error"]);
        match error["message"].as_str() {
            Some(message) => Err(message.to_owned()),
            None if integer(&result["compact_revision"]) > 0 => Err("the revision was compacted".to_owned()),
            None if result["canceled"] == true => {
                Err(result["cancel_reason"].as_str().unwrap_or("etcd has ended it").to_owned())
            }
            None => Ok(()),
        }
    }
}

/// A key and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) value: Vec<u8>,
    /// When it was last written.
    pub(crate) revision: i64,
    /// The lease that it goes with; 0 is none.
    pub(crate) lease: i64,
}

impl Entry {
    /// Those of a range's answer.
    pub(crate) fn all(answer: &Value) -> Vec<Self> {
        let entry = |entry: &Value| Entry {
            key: String::from_utf8_lossy(&decode(&entry["key"])).into_owned(),
            value: decode(&entry["value"]),
            revision: integer(&entry["mod_revision"]),
            lease: integer(&entry["lease"]),
        };
        answer["kvs"].as_array().into_iter().flatten().map(entry).collect()
    }

    /// Those of each range of a transaction's answer.
    pub(crate) fn of_each(answer: &Value) -> Vec<Vec<Self>> {
        let responses = answer["responses"].as_array().into_iter().flatten();
        responses.map(|response| Entry::all(&response["response_range"])).collect()
    }
}

/// Numbers of 64 bits are strings, and 0 is left out.
pub(crate) fn integer(value: &Value) -> i64 {
    value.as_str().and_then(|text| text.parse().ok()).or_else(|| value.as_i64()).unwrap_or(0)
}

fn encode(text: &str) -> String {
    BASE64_STANDARD.encode(text)
}

fn decode(value: &Value) -> Vec<u8> {
    BASE64_STANDARD.decode(value.as_str().unwrap_or_default()).unwrap_or_default()
}

/// Reads a key, or with `to` all keys before that. A part of a transaction.
pub(crate) fn range(key: &str, to: Option<&str>) -> Value {
    json!({"request_range": {"key": encode(key), "range_end": to.map(encode).unwrap_or_default()}})
}

/// Writes a key. A part of a transaction.
pub(crate) fn put(key: &str, value: &[u8]) -> Value {
    json!({"request_put": {"key": encode(key), "value": BASE64_STANDARD.encode(value)}})
}

/// Removes a key. A part of a transaction.
pub(crate) fn remove(key: &str) -> Value {
    json!({"request_delete_range": {"key": encode(key)}})
}

/// A transaction is made only if the key was last written then; 0: if it is not there.
pub(crate) fn compare(key: &str, revision: i64) -> Value {
    json!({"key": encode(key), "target": "MOD", "result": "EQUAL", "mod_revision": revision.to_string()})
}

/// A transaction is made only if no key from the first to before the second was written since.
pub(crate) fn unchanged((from, to): &(String, String), revision: i64) -> Value {
    let later = (revision + 1).to_string();
    json!({"key": encode(from), "range_end": encode(to), "target": "MOD", "result": "LESS", "mod_revision": later})
}

/// A transaction is made only if the key is not there.
pub(crate) fn absent(key: &str) -> Value {
    compare(key, 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etcd::Fake;

    const RANGES: &str = "/v3/kv/txn";

    #[test]
    fn a_password_leaves_this_machine_only_encrypted() {
        let access = Access { user: Some("me".into()), password_file: Some("/nowhere".into()), ..Access::default() };
        for (endpoint, reason) in [
            ("127.0.0.1", "/nowhere"),
            ("[::1]:4001", "/nowhere"),
            ("localhost", "/nowhere"),
            ("127.lb1.example", "needs TLS"),
            ("localhost.example", "needs TLS"),
            ("127.0.0.1,lb1", "needs TLS"),
        ] {
            let address = format!("etcd://{endpoint}/ipvs").parse().unwrap();
            let error = access.client(&address).err().unwrap();
            assert!(error.contains(reason), "{endpoint}: {error}");
        }
    }

    #[test]
    fn a_member_that_does_not_answer_is_passed_over() {
        let (stuck, other) = (Fake::start(), Fake::start());
        stuck.change(|store| store.is_stuck = true);
        let mut address = stuck.address.clone();
        address.endpoints.extend(other.address.endpoints.clone());
        let mut client = Access::default().client(&address).unwrap();
        client.ask(RANGES, &json!({})).unwrap();
        assert_eq!((client.at, client.patience), (1, PATIENCE));
        // Nobody answers in time: the next time there is more of it.
        other.change(|store| store.is_stuck = true);
        let error = client.ask(RANGES, &json!({})).unwrap_err();
        assert!(matches!(error, EtcdError::Unreachable(_)), "{error}");
        assert!(client.patience > PATIENCE);
        other.change(|store| store.is_stuck = false);
        for _ in 0..8 {
            client.ask(RANGES, &json!({})).unwrap();
        }
        assert_eq!((client.at, client.patience), (1, PATIENCE));
    }

    /// A restored cluster waits for the login of a token that it will never have.
    #[test]
    fn a_client_logs_in_again_at_a_cluster_that_does_not_answer() {
        let fake = Fake::start();
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, "secret\n").unwrap();
        let access =
            Access { user: Some("me".into()), password_file: Some(file.path().to_owned()), ..Access::default() };
        let mut client = access.client(&fake.address).unwrap();
        fake.change(|store| store.logins = 90);
        client.ask(RANGES, &json!({})).unwrap();
        fake.change(|store| store.logins = 3);
        assert!((0..3).any(|_| client.ask(RANGES, &json!({})).is_ok()));
        assert_eq!(client.token.as_deref(), Some("4"));
    }

    #[test]
    fn members_without_a_leader_are_asked_until_they_have_one() {
        let fake = Fake::start();
        fake.change(|store| store.is_silent = true);
        let mut client = Access::default().client(&fake.address).unwrap();
        thread::scope(|scope| {
            let asked = scope.spawn(|| client.ask(RANGES, &json!({})));
            while fake.store().refusals < 2 {
                thread::yield_now();
            }
            fake.change(|store| store.is_silent = false);
            asked.join().unwrap().unwrap();
        });
    }
}
