//! Fetching from a mirror that lies, which is a thread of the test.

use std::{
    collections::HashMap,
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    path::Path,
    thread,
};

use jiff::{Timestamp, ToSpan};
use liblzma::write::XzEncoder;
use ring::digest::{SHA256, digest};
use tar::{Builder, EntryType, Header};

use super::{
    Refusal, Session, deb,
    mirror::Mirror,
    openpgp::{Distrust, Key, signer::Signer},
};
use crate::{error::Error, kernel::Architecture};

const SUITE: &str = "sid";
const LIST: &str = "main/binary-amd64/Packages";

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut writer = XzEncoder::new(Vec::new(), 0);
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

fn sha256(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An entry of a tar archive, whose path is not looked at.
fn entry(archive: &mut Builder<Vec<u8>>, path: &str, kind: EntryType, link: &str, content: &[u8]) {
    let mut header = Header::new_gnu();
    header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(0o755);
    header.set_size(content.len() as u64);
    header.as_gnu_mut().unwrap().linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_cksum();
    archive.append(&header, content).unwrap();
}

/// A package with these files beside one that is good.
fn package(entries: &[(&str, EntryType, &str)]) -> Vec<u8> {
    let mut archive = Builder::new(Vec::new());
    entry(&mut archive, "./usr/bin/", EntryType::Directory, "", b"");
    entry(&mut archive, "./usr/bin/good", EntryType::Regular, "", b"good");
    for (path, kind, link) in entries {
        entry(&mut archive, path, *kind, link, if *kind == EntryType::Regular { b"bad" } else { b"" });
    }
    let data = packed(&archive.into_inner().unwrap());
    let mut control = Builder::new(Vec::new());
    entry(&mut control, "./control", EntryType::Regular, "", b"Package: good\nArchitecture: all\n");
    let control = packed(&control.into_inner().unwrap());
    let mut deb = ar::Builder::new(Vec::new());
    for (name, bytes) in [("debian-binary", &b"2.0\n"[..]), ("control.tar.xz", &control), ("data.tar.xz", &data)] {
        deb.append(&ar::Header::new(name.into(), bytes.len() as u64), bytes).unwrap();
    }
    deb.into_inner().unwrap()
}

/// A mirror with one package, and the key that it is signed with.
struct Forged {
    signer: Signer,
    files: HashMap<String, Vec<u8>>,
    codename: &'static str,
    date: Timestamp,
    valid_until: Timestamp,
    more: &'static str,
}

impl Forged {
    fn new() -> Self {
        let now = Timestamp::now();
        Self {
            signer: Signer::new(1),
            files: HashMap::from([("pool/good.deb".into(), package(&[]))]),
            codename: SUITE,
            date: now,
            valid_until: now + 24.hours(),
            more: "",
        }
    }

    /// Makes the list and the release fit what is there.
    fn signed(mut self) -> Self {
        let deb = &self.files["pool/good.deb"];
        let list = format!(
            "Package: good\nVersion: 1-1\nFilename: pool/good.deb\nSize: {}\nSHA256: {}\n\n",
            deb.len(),
            sha256(deb)
        );
        let xz = packed(list.as_bytes());
        let time = |time: Timestamp| time.strftime("%a, %d %b %Y %H:%M:%S UTC").to_string();
        let release = format!(
            "Codename: {}\nDate: {}\nValid-Until: {}\n{}SHA256:\n {} {} {LIST}\n {} {} {LIST}.xz\n",
            self.codename,
            time(self.date),
            time(self.valid_until),
            self.more,
            sha256(list.as_bytes()),
            list.len(),
            sha256(&xz),
            xz.len()
        );
        self.put("InRelease", self.signer.sign(&release).into_bytes());
        self.put(&format!("main/binary-amd64/by-hash/SHA256/{}", sha256(&xz)), xz.clone());
        self.put(&format!("{LIST}.xz"), xz);
        self
    }

    fn put(&mut self, name: &str, content: Vec<u8>) {
        self.files.insert(format!("dists/{SUITE}/{name}"), content);
    }

    /// Replaces a piece of a file that is there.
    fn tampered(mut self, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> Self {
        change(self.files.get_mut(name).unwrap());
        self
    }

    /// Serves it from now on.
    fn serve(self) -> Mirror {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/debian", listener.local_addr().unwrap());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut stream = BufReader::new(stream);
                let mut request = String::new();
                while stream.read_line(&mut request).is_ok_and(|length| length > 2) {}
                let path = request.split(' ').nth(1).unwrap_or_default().trim_start_matches("/debian/");
                let (status, body) = match self.files.get(path) {
                    Some(body) => ("200 OK", body.as_slice()),
                    None => ("404 Not Found", &b""[..]),
                };
                let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
                let _ = stream.get_mut().write_all(&[head.as_bytes(), body].concat());
            }
        });
        Mirror { address, ..Mirror::default() }
    }
}

/// Fetches the list and the package, and unpacks it.
fn fetch(mirror: &Mirror, keys: &[Key], cache: &Path) -> Result<(), Error> {
    let session = Session::fetch(SUITE, Architecture::Amd64, mirror, keys, cache)?;
    let debs = session.download(&["good"], cache)?;
    let tree = tempfile::tempdir_in(cache).unwrap();
    deb::unpack(&debs[0], tree.path())?;
    assert_eq!(fs::read(tree.path().join("usr/bin/good")).unwrap(), b"good");
    assert_eq!(deb::control(&debs[0])?, "Package: good\nArchitecture: all\n");
    assert_eq!(deb::names(&debs[0])?[..2], ["./usr/bin/", "./usr/bin/good"]);
    Ok(())
}

/// Why this mirror's content is refused.
fn refusal(forged: Forged) -> Refusal {
    let cache = tempfile::tempdir().unwrap();
    let keys = [Signer::new(1).key()];
    match fetch(&forged.serve(), &keys, cache.path()).unwrap_err() {
        Error::Refused { why, url } => {
            assert!(url.starts_with("http://127.0.0.1:") || url.starts_with('/'), "{url}");
            why
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_package_comes_from_a_mirror_with_and_without_hashes_for_names() {
    let cache = tempfile::tempdir().unwrap();
    for more in ["", "Acquire-By-Hash: yes\n"] {
        let mirror = Forged { more, ..Forged::new() }.signed().serve();
        fetch(&mirror, &[Signer::new(1).key()], cache.path()).unwrap();
    }
}

#[test]
fn a_release_by_another_key_is_refused() {
    let forged = Forged { signer: Signer::new(2), ..Forged::new() }.signed();
    assert!(matches!(refusal(forged), Refusal::Distrusted(Distrust::UnknownKeys(_))));
}

#[test]
fn a_changed_release_is_refused() {
    let forged = Forged::new().signed().tampered("dists/sid/InRelease", |file| {
        let text = String::from_utf8(file.clone()).unwrap().replace("Codename: sid", "Codename: Sid");
        *file = text.into_bytes();
    });
    assert!(matches!(refusal(forged), Refusal::Distrusted(Distrust::BadSignature(_))));
    let unsigned = Forged::new().signed().tampered("dists/sid/InRelease", |file| *file = b"Codename: sid\n".to_vec());
    assert_eq!(refusal(unsigned), Refusal::Distrusted(Distrust::NotSigned));
}

#[test]
fn a_changed_list_is_refused() {
    let forged = Forged::new().signed().tampered(&format!("dists/sid/{LIST}.xz"), |file| file[20] ^= 1);
    assert_eq!(refusal(forged), Refusal::OtherContent);
}

#[test]
fn a_changed_or_cut_package_is_refused() {
    for change in [|file: &mut Vec<u8>| file[200] ^= 1, |file: &mut Vec<u8>| file.truncate(200)] {
        assert_eq!(refusal(Forged::new().signed().tampered("pool/good.deb", change)), Refusal::OtherContent);
    }
}

#[test]
fn more_than_was_signed_is_not_read() {
    let forged = Forged::new().signed().tampered("pool/good.deb", |file| file.push(0));
    assert!(matches!(refusal(forged), Refusal::TooLarge { .. }));
    let forged = Forged::new().signed().tampered("dists/sid/InRelease", |file| file.resize(2_000_001, b'\n'));
    assert_eq!(refusal(forged), Refusal::TooLarge { limit: 2_000_000 });
}

#[test]
fn another_release_is_refused() {
    assert_eq!(refusal(Forged { codename: "sarge", ..Forged::new() }.signed()), Refusal::OtherRelease("sarge".into()));
}

#[test]
fn an_expired_release_is_refused_unless_it_is_accepted() {
    let expired = || Forged { valid_until: Timestamp::now() - 1.hours(), ..Forged::new() }.signed();
    assert!(matches!(refusal(expired()), Refusal::Expired(_)));
    let cache = tempfile::tempdir().unwrap();
    let lax = Mirror { accept_expired: true, ..expired().serve() };
    fetch(&lax, &[Signer::new(1).key()], cache.path()).unwrap();
}

#[test]
fn an_older_release_than_the_last_one_is_refused() {
    let cache = tempfile::tempdir().unwrap();
    let keys = [Signer::new(1).key()];
    let of = |hours: i64| Forged { date: Timestamp::now() - hours.hours(), ..Forged::new() }.signed().serve();
    fetch(&of(1), &keys, cache.path()).unwrap();
    fetch(&of(0), &keys, cache.path()).unwrap();
    let error = fetch(&of(2), &keys, cache.path()).unwrap_err();
    assert!(matches!(&error, Error::Refused { why: Refusal::RolledBack { .. }, .. }), "{error}");
    // As the message says.
    fs::remove_file(cache.path().join("releases/sid")).unwrap();
    fetch(&of(2), &keys, cache.path()).unwrap();
}

#[test]
fn nothing_in_a_package_leaves_its_directory() {
    let (file, link) = (EntryType::Regular, EntryType::Symlink);
    let outside = tempfile::tempdir().unwrap();
    let place = outside.path().to_str().unwrap();
    let cases: [&[(&str, EntryType, &str)]; 6] = [
        &[("../bad", file, "")],
        &[("usr/../../bad", file, "")],
        &[("usr/lib", link, place), ("usr/lib/bad", file, "")],
        &[("usr/lib", link, "../.."), ("usr/lib/bad", file, "")],
        &[("usr/bad", EntryType::Link, "../../../bad"), ("usr/bad", file, "")],
        &[("dev/bad", EntryType::Char, "")],
    ];
    for entries in cases {
        let mut forged = Forged::new();
        forged.files.insert("pool/good.deb".into(), package(entries));
        let cache = tempfile::tempdir().unwrap();
        let error = fetch(&forged.signed().serve(), &[Signer::new(1).key()], cache.path()).unwrap_err();
        assert!(matches!(error, Error::Refused { why: Refusal::Entry(_), .. } | Error::Io { .. }), "{error}");
        assert!(!cache.path().join("bad").exists() && fs::read_dir(outside.path()).unwrap().next().is_none());
    }
}

#[test]
fn an_absolute_path_stays_inside() {
    let directory = tempfile::tempdir().unwrap();
    let (deb, tree) = (directory.path().join("a.deb"), directory.path().join("tree"));
    fs::write(&deb, package(&[("/bad", EntryType::Regular, "")])).unwrap();
    fs::create_dir(&tree).unwrap();
    deb::unpack(&deb, &tree).unwrap();
    assert!(tree.join("bad").exists() && !Path::new("/bad").exists());
}

#[test]
fn what_is_no_package_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let deb = directory.path().join("a.deb");
    for content in [&b""[..], b"!<arch>\n", b"!<arch>\ngarbage", b"no archive at all"] {
        fs::write(&deb, content).unwrap();
        deb::unpack(&deb, directory.path()).unwrap_err();
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
    /// A package is only unpacked after its hash was checked, so this is a second defence.
    #[test]
    fn a_damaged_package_does_no_harm(at in 0_usize..4000, byte in 1_u8..=255) {
        let directory = tempfile::tempdir().unwrap();
        let (deb, tree) = (directory.path().join("a.deb"), directory.path().join("tree"));
        let mut content = package(&[("usr/bin/link", EntryType::Symlink, "good")]);
        let at = at % content.len();
        content[at] ^= byte;
        fs::write(&deb, content).unwrap();
        fs::create_dir(&tree).unwrap();
        let _ = deb::unpack(&deb, &tree);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    }
}
