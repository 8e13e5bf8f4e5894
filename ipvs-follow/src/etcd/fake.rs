//! An etcd in this process, as far as this program uses one.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;

use base64::prelude::{BASE64_STANDARD, Engine};
use serde_json::{Value, json};

use super::{Address, integer};

#[derive(Default)]
pub(crate) struct Store {
    pub(crate) cluster: u64,
    pub(crate) revision: i64,
    pub(crate) keys: BTreeMap<String, (Vec<u8>, i64)>,
    /// It answers as a member without a leader does.
    pub(crate) is_silent: bool,
    /// How often it has.
    pub(crate) refusals: usize,
    /// It answers nothing at all.
    pub(crate) is_stuck: bool,
    /// All leases are over when the next key is written.
    pub(crate) are_leases_over: bool,
    /// Not it answers, but another server.
    pub(crate) is_a_proxy: bool,
    /// How often a whole state was read.
    pub(crate) transfers: usize,
    /// The place of the last login in the cluster's log.
    pub(crate) logins: u64,
    /// The keys that go with a lease.
    leases: BTreeMap<String, i64>,
    /// How many leases there were.
    granted: i64,
}

impl Store {
    pub(crate) fn put(&mut self, key: &str, value: impl Into<Vec<u8>>) {
        self.revision += 1;
        self.keys.insert(key.to_owned(), (value.into(), self.revision));
    }

    pub(crate) fn remove(&mut self, key: &str) {
        self.revision += 1;
        self.keys.remove(key);
    }

    fn header(&self) -> Value {
        json!({"cluster_id": self.cluster.to_string(), "revision": self.revision.to_string()})
    }

    fn range(&self, asked: &Value) -> Value {
        let (from, to) = (text(&asked["key"]), text(&asked["range_end"]));
        let is_in = |key: &String| if to.is_empty() { *key == from } else { (&from..&to).contains(&key) };
        let entry = |(key, (value, revision)): (&String, &(Vec<u8>, i64))| {
            let value = if asked["keys_only"] == true { "".to_owned() } else { BASE64_STANDARD.encode(value) };
            let lease = self.leases.get(key).copied().unwrap_or(0).to_string();
            let key = BASE64_STANDARD.encode(key);
            json!({"key": key, "value": value, "mod_revision": revision.to_string(), "lease": lease})
        };
        let found: Vec<Value> = self.keys.iter().filter(|(key, _)| is_in(key)).map(entry).collect();
        json!({"header": self.header(), "kvs": found})
    }

    fn answer(&mut self, path: &str, body: &Value) -> Value {
        match path {
            _ if self.is_a_proxy => json!({}),
            _ if self.is_silent => {
                self.refusals += 1;
                json!({"error": "etcdserver: no leader", "code": 14, "message": "etcdserver: no leader"})
            }
            "/v3/kv/range" => {
                self.transfers += 1;
                self.range(body)
            }
            "/v3/kv/put" if self.are_leases_over && integer(&body["lease"]) <= self.granted => {
                self.are_leases_over = false;
                let message = "etcdserver: requested lease not found";
                json!({"error": message, "code": 5, "message": message})
            }
            "/v3/kv/put" => {
                self.put(&text(&body["key"]), bytes(&body["value"]));
                self.leases.insert(text(&body["key"]), integer(&body["lease"]));
                json!({"header": self.header()})
            }
            "/v3/kv/txn" => {
                let is_met = |compare: &Value| {
                    let expected = integer(&compare["mod_revision"]);
                    if compare["result"] == "LESS" {
                        let (from, to) = (text(&compare["key"]), text(&compare["range_end"]));
                        return self.keys.range(from..to).all(|(_, (_, revision))| *revision < expected);
                    }
                    self.keys.get(&text(&compare["key"])).map_or(0, |(_, revision)| *revision) == expected
                };
                if !body["compare"].as_array().into_iter().flatten().all(is_met) {
                    return json!({"header": self.header()});
                }
                let mut responses = Vec::new();
                for operation in body["success"].as_array().into_iter().flatten() {
                    if operation["request_range"].is_object() {
                        responses.push(json!({"response_range": self.range(&operation["request_range"])}));
                    } else if operation["request_put"].is_object() {
                        let put = &operation["request_put"];
                        self.put(&text(&put["key"]), bytes(&put["value"]));
                    } else {
                        self.remove(&text(&operation["request_delete_range"]["key"]));
                    }
                }
                json!({"header": self.header(), "succeeded": true, "responses": responses})
            }
            "/v3/auth/authenticate" => {
                self.logins += 1;
                json!({"header": self.header(), "token": self.logins.to_string()})
            }
            "/v3/lease/grant" => {
                self.granted += 1;
                json!({"header": self.header(), "ID": self.granted.to_string(), "TTL": body["TTL"]})
            }
            "/v3/lease/keepalive" => json!({"result": {"header": self.header(), "ID": body["ID"], "TTL": "30"}}),
            _ => panic!("{path}"),
        }
    }
}

fn bytes(value: &Value) -> Vec<u8> {
    BASE64_STANDARD.decode(value.as_str().unwrap_or_default()).unwrap()
}

fn text(value: &Value) -> String {
    String::from_utf8(bytes(value)).unwrap()
}

/// The server; its threads end with the process.
pub(crate) struct Fake {
    pub(crate) address: Address,
    shared: Arc<(Mutex<Store>, Condvar)>,
}

impl Fake {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("etcd://{}/ipvs", listener.local_addr().unwrap()).parse().unwrap();
        let shared = Arc::new((Mutex::new(Store { cluster: 1, ..Store::default() }), Condvar::new()));
        let served = Arc::clone(&shared);
        thread::spawn(move || {
            for connection in listener.incoming() {
                let served = Arc::clone(&served);
                // A client that closes the connection wants no answer.
                thread::spawn(move || _ = serve(&connection.unwrap(), &served));
            }
        });
        Fake { address, shared }
    }

    pub(crate) fn store(&self) -> MutexGuard<'_, Store> {
        self.shared.0.lock().unwrap()
    }

    /// Changes what it holds, which watches see.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Store)) {
        change(&mut self.store());
        self.shared.1.notify_all();
    }
}

fn serve(connection: &TcpStream, shared: &(Mutex<Store>, Condvar)) -> std::io::Result<()> {
    let mut reader = BufReader::new(connection);
    let mut out = connection;
    loop {
        let (mut first, mut length, mut token) = (String::new(), 0, 0);
        if reader.read_line(&mut first)? == 0 {
            return Ok(());
        }
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("authorization:") {
                token = value.trim().parse().unwrap();
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let body: Value = serde_json::from_slice(&body).unwrap();
        let path = first.split(' ').nth(1).unwrap();
        if path == "/v3/watch" {
            out.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            let mut say = |text: &str| write!(out, "{:x}\r\n{text}\r\n", text.len());
            say("{\"result\":{\"created\":true}}\n")?;
            let mut store = shared.0.lock().unwrap();
            loop {
                store = shared.1.wait(store).unwrap();
                say("{\"result\":{\"events\":[{}]}}\n")?;
            }
        }
        let mut store = shared.0.lock().unwrap();
        // A login that is not in the log yet is waited for.
        while store.is_stuck || token > store.logins {
            store = shared.1.wait(store).unwrap();
        }
        let answer = store.answer(path, &body).to_string();
        drop(store);
        write!(out, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{answer}", answer.len())?;
    }
}
