//! A reading of the kernel's connection table that leaves out no entry that was there all the time.
//!
//! The kernel shows one page at a time, and finds the next one by counting entries: from the start
//! of the table, also those of other network namespaces, or since Linux 6.17 from the start of a
//! bucket (`ip_vs_conn_array`). For each entry before that place which ends between two pages, one
//! entry is left out. So the table is read twice at once, half a page apart. Two pages that share
//! an entry leave out none between them, as the order of entries stays; where they share none, one
//! of the readings goes back.

use std::collections::{HashSet, VecDeque};
use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, BufRead, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// What the kernel shows at a time, at least, in bytes: a page of memory.
const PAGE: usize = 4096;

/// The kernel's lines have at most some 400 bytes.
const LONGEST_LINE: usize = 512;

/// The number of entries, given out last, that are recognized.
const REMEMBERED: usize = 1 << 14;

/// How often a reading goes back without a new entry, or to the start.
const RETURNS: u32 = 64;

/// How often the table may get another size while it is read.
const SIZES: u32 = 16;

/// The kernel moves a table of a million entries to another size in less.
const MOVED: Duration = Duration::from_millis(200);

/// The text of the kernel's file. An entry may be in it twice.
#[derive(Debug)]
pub(in crate::subcommands) struct Whole<F> {
    readings: [Reading<F>; 2],
    remembered: Remembered,
    buffer: Vec<u8>,
    /// What is given out, and how much of it was taken.
    out: Vec<u8>,
    taken: usize,
    has_title: bool,
    is_over: bool,
    returns: u32,
    starts: u32,
    sizes: u32,
    size: Size,
}

#[derive(Debug)]
struct Reading<F> {
    file: F,
    /// The first part of its next line.
    rest: Vec<u8>,
    /// Of what was given out, the bytes that it has still before it, roughly.
    behind: usize,
    /// How far it has gone back.
    back: usize,
    is_at_start: bool,
    /// Within a line, of which the first part is not known.
    is_midway: bool,
}

impl Whole<File> {
    /// Of the kernel's file.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Whole::new([File::open(path)?, File::open(path)?], Size::of(path.with_file_name("ip_vs_status"))))
    }
}

impl<F: Read + Seek> Whole<F> {
    fn new(files: [F; 2], size: Size) -> Self {
        let readings = files.map(|file| Reading {
            file,
            rest: Vec::new(),
            behind: 0,
            back: 0,
            is_at_start: true,
            is_midway: false,
        });
        Whole {
            readings,
            remembered: Remembered::default(),
            buffer: vec![0; PAGE],
            out: Vec::new(),
            taken: 0,
            has_title: false,
            is_over: false,
            returns: 0,
            starts: 0,
            sizes: 0,
            size,
        }
    }

    /// Reads a page. Gives out what is new in it.
    fn advance(&mut self) -> io::Result<()> {
        self.out.clear();
        self.taken = 0;
        let half = PAGE / 2;
        let turn = usize::from(self.readings[1].behind > self.readings[0].behind);
        let [reading, other] = match &mut self.readings {
            [first, second] if turn == 0 => [first, second],
            [first, second] => [second, first],
        };
        // So far that the page has half a page that is new, and half a page that is not.
        let near = reading.behind <= half + half / 2;
        let wanted = if near { reading.behind + half } else { reading.behind - half }.min(PAGE);
        let length = read(&mut reading.file, &mut self.buffer[..wanted])?;
        // The kernel ends a page, too, where the next line does not fit.
        let is_end = length < wanted && length + LONGEST_LINE <= PAGE;
        // The rest of a line belongs to the page before.
        let mut is_of_page = reading.rest.is_empty();
        let mut text = std::mem::take(&mut reading.rest);
        text.extend_from_slice(&self.buffer[..length]);
        let last =
            if is_end { text.len() } else { text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1) };
        reading.rest = text.split_off(last);
        if reading.rest.len() > 2 * PAGE {
            return Err(io::Error::new(ErrorKind::InvalidData, "a line without end"));
        }
        let mut shares = reading.is_at_start;
        let mut keys = Vec::new();
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            if std::mem::take(&mut reading.is_midway) {
                continue;
            }
            if line.starts_with(b"Pro ") {
                if !std::mem::replace(&mut self.has_title, true) {
                    self.out.extend_from_slice(line);
                }
                continue;
            }
            let key = self.remembered.key(line);
            let is_known = self.remembered.has(key);
            shares |= is_known && is_of_page;
            is_of_page = true;
            if !is_known {
                self.out.extend_from_slice(line);
                keys.push(key);
            }
        }
        if !shares {
            self.out.clear();
            reading.go_back(length)?;
            self.returns += 1;
            self.starts += u32::from(reading.is_at_start);
            if self.returns.max(self.starts) > RETURNS {
                return Err(io::Error::other("the table changes faster than it can be read"));
            }
            return Ok(());
        }
        (reading.is_at_start, reading.back) = (false, 0);
        if keys.is_empty() {
            reading.behind = reading.behind.saturating_sub(length).max(half);
        } else {
            reading.behind = 0;
            other.behind += self.out.len();
            self.returns = 0;
        }
        keys.into_iter().for_each(|key| self.remembered.add(key));
        if is_end {
            self.end()?;
        }
        Ok(())
    }

    /// While the kernel moves the table to another size, it shows only a part of it.
    fn end(&mut self) -> io::Result<()> {
        if !self.size.has_changed() {
            self.is_over = true;
            return Ok(());
        }
        self.sizes += 1;
        if self.sizes > SIZES {
            return Err(io::Error::other("the table changed its size each time that it was read"));
        }
        thread::sleep(MOVED);
        self.size.take();
        self.remembered = Remembered::default();
        for reading in &mut self.readings {
            reading.go_to(0)?;
            reading.behind = 0;
        }
        Ok(())
    }
}

impl<F: Read + Seek> Reading<F> {
    /// Before a page of this length, further each time. A later page shall begin before that place
    /// and end behind it.
    fn go_back(&mut self, length: usize) -> io::Result<()> {
        if self.back == 0 {
            self.behind = 0;
        }
        self.back = (self.back * 2).max(PAGE);
        self.behind += self.back;
        let at = self.file.stream_position()?;
        self.go_to(at.saturating_sub((length + self.back) as u64))
    }

    fn go_to(&mut self, at: u64) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(at))?;
        self.rest.clear();
        (self.is_at_start, self.is_midway) = (at == 0, at != 0);
        Ok(())
    }
}

impl<F: Read + Seek> Read for Whole<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.fill_buf()?.read(buffer)?;
        self.consume(length);
        Ok(length)
    }
}

impl<F: Read + Seek> BufRead for Whole<F> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.taken == self.out.len() && !self.is_over {
            self.advance()?;
        }
        Ok(&self.out[self.taken..])
    }

    fn consume(&mut self, length: usize) {
        self.taken = (self.taken + length).min(self.out.len());
    }
}

fn read(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match file.read(buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// Entries by a hash of what makes an entry the one it is.
#[derive(Debug, Default)]
struct Remembered {
    hasher: RandomState,
    order: VecDeque<u64>,
    keys: HashSet<u64>,
}

impl Remembered {
    /// All of its line but its state and its time.
    fn key(&self, line: &[u8]) -> u64 {
        const STATE: usize = 7;
        const EXPIRES: usize = 8;
        let mut hasher = self.hasher.build_hasher();
        let words = line.split(|byte| byte.is_ascii_whitespace()).filter(|word| !word.is_empty());
        for (_, word) in words.enumerate().filter(|(at, _)| ![STATE, EXPIRES].contains(at)) {
            hasher.write(word);
            hasher.write_u8(b' ');
        }
        hasher.finish()
    }

    fn has(&self, key: u64) -> bool {
        self.keys.contains(&key)
    }

    fn add(&mut self, key: u64) {
        if self.order.len() == REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.keys.remove(&oldest);
        }
        self.order.push_back(key);
        self.keys.insert(key);
    }
}

/// The size of a table that grows and shrinks, as it does since Linux 7.
#[derive(Debug)]
struct Size {
    status: PathBuf,
    buckets: Option<u64>,
}

impl Size {
    fn of(status: PathBuf) -> Self {
        let mut size = Size { status, buckets: None };
        size.take();
        size
    }

    /// What it is from now on.
    fn take(&mut self) {
        self.buckets = self.now().map(|(buckets, _)| buckets);
    }

    fn has_changed(&self) -> bool {
        self.now().is_some_and(|(buckets, is_moving)| is_moving || self.buckets != Some(buckets))
    }

    /// The number of buckets, and whether there are two tables. `None`: an older kernel, or no
    /// rights.
    fn now(&self) -> Option<(u64, bool)> {
        buckets(&fs::read_to_string(&self.status).ok()?)
    }
}

fn buckets(status: &str) -> Option<(u64, bool)> {
    let number = |value: &str| value.split_ascii_whitespace().next()?.parse::<u64>().ok();
    let lines = status.lines().filter_map(|line| line.strip_prefix("Conn buckets")?.split_once(':'));
    let (mut all, mut counted) = (None, 0);
    for (name, value) in lines {
        // By the number of entries in them, of both tables.
        if name.is_empty() { all = number(value) } else { counted += number(value)? }
    }
    all.map(|all| (all, counted > all))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    /// The kernel's file: it shows a page at a time, and counts entries to find the next one.
    struct Shown {
        table: Rc<RefCell<Changing>>,
        index: usize,
        /// What was shown, but not read.
        left: Vec<u8>,
        at: u64,
    }

    /// A table that changes each time that it is read.
    struct Changing {
        entries: Vec<String>,
        change: Change,
    }

    type Change = Box<dyn FnMut(&mut Vec<String>)>;

    impl Read for Shown {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let mut table = self.table.borrow_mut();
            let Changing { entries, change } = &mut *table;
            change(entries);
            let mut text = std::mem::take(&mut self.left);
            let before = text.len();
            while text.len() < buffer.len() {
                let Some(line) = line(entries, self.index) else { break };
                if text.len() - before + line.len() > PAGE {
                    break;
                }
                self.index += 1;
                text.extend_from_slice(line);
            }
            let length = text.len().min(buffer.len());
            buffer[..length].copy_from_slice(&text[..length]);
            self.left = text.split_off(length);
            self.at += length as u64;
            Ok(length)
        }
    }

    impl Seek for Shown {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            if let SeekFrom::Start(to) = to {
                let table = self.table.borrow();
                (self.index, self.at) = (0, 0);
                self.left.clear();
                while self.at < to {
                    let Some(line) = line(&table.entries, self.index) else { break };
                    self.index += 1;
                    self.at += line.len() as u64;
                    if self.at > to {
                        self.left = line[line.len() - (self.at - to) as usize..].to_vec();
                        self.at = to;
                    }
                }
            }
            Ok(self.at)
        }
    }

    fn line(entries: &[String], index: usize) -> Option<&[u8]> {
        match index {
            0 => Some(b"Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData\n"),
            _ => entries.get(index - 1).map(String::as_bytes),
        }
    }

    fn entry(number: u32) -> String {
        match number % 3 {
            0 => format!(
                "TCP 2001:0db8:0000:0000:0000:0000:0000:{number:04x} 0409 2001:0db8:0000:0000:0000:0000:0000:0001 01BB \
                 0000:0000:0000:0000:0000:0000:0000:0001 01BB ESTABLISHED     899\n"
            ),
            _ => format!("TCP {number:08X} 0400 C0000201 0050 7F000001 0050 ESTABLISHED     899\n"),
        }
    }

    fn whole(entries: Vec<String>, change: impl FnMut(&mut Vec<String>) + 'static) -> Whole<Shown> {
        let table = Rc::new(RefCell::new(Changing { entries, change: Box::new(change) }));
        let shown = || Shown { table: table.clone(), index: 0, left: Vec::new(), at: 0 };
        Whole::new([shown(), shown()], Size { status: PathBuf::new(), buckets: None })
    }

    fn read_all(mut whole: Whole<Shown>) -> Vec<String> {
        let mut text = String::new();
        whole.read_to_string(&mut text).unwrap();
        let mut lines = text.split_inclusive('\n').map(str::to_owned);
        assert!(lines.next().unwrap().starts_with("Pro FromIP "));
        lines.collect()
    }

    #[test]
    fn a_table_that_stays_is_read_once_in_its_order() {
        for count in [0, 1, 30, 59, 60, 61, 120, 5000] {
            let entries: Vec<_> = (0..count).map(entry).collect();
            assert_eq!(read_all(whole(entries.clone(), |_| ())), entries, "{count}");
        }
    }

    #[test]
    fn what_was_there_all_the_time_is_read_while_others_come_and_go() {
        for seed in 1..60u32 {
            // The multiples of five stay.
            let stays = |entry: &String, all: &[String]| all.contains(entry);
            let staying: Vec<_> = (0..3000).filter(|number| number % 5 == 0).map(entry).collect();
            let (kept, mut random) = (staying.clone(), seed);
            let mut next = move |below: usize| {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (random >> 8) as usize % below
            };
            let mut number = 10_000;
            let most = [2, 20, 60, 300][seed as usize % 4];
            let change = move |entries: &mut Vec<String>| {
                for _ in 0..next(most) {
                    let at = next(entries.len());
                    if !stays(&entries[at], &kept) {
                        entries.remove(at);
                    } else if seed % 2 == 0 {
                        number += 1;
                        entries.insert(at, entry(number));
                    }
                }
            };
            let read = read_all(whole((0..3000).map(entry).collect(), change));
            let read: HashSet<_> = read.into_iter().collect();
            let missing: Vec<_> = staying.iter().filter(|entry| !read.contains(*entry)).collect();
            assert!(missing.is_empty(), "{seed}: {missing:?}");
        }
    }

    #[test]
    fn many_entries_that_end_at_once_leave_out_no_other() {
        let mut reads = 0;
        let change = move |entries: &mut Vec<String>| {
            reads += 1;
            if reads == 60 {
                // Of another network namespace, in part.
                entries.drain(100..1500);
            }
        };
        let all: Vec<_> = (0..5000).map(entry).collect();
        let read: HashSet<_> = read_all(whole(all.clone(), change)).into_iter().collect();
        assert!(all[..100].iter().chain(&all[1500..]).all(|entry| read.contains(entry)));
    }

    #[test]
    fn a_table_that_ends_faster_than_it_is_read_is_an_error() {
        let mut number = 0;
        let change = move |entries: &mut Vec<String>| {
            number += 5000;
            *entries = (number..number + 5000).map(entry).collect();
        };
        let error = whole((0..5000).map(entry).collect(), change).read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.to_string(), "the table changes faster than it can be read");
    }

    #[test]
    fn two_tables_are_seen_in_their_buckets() {
        let status = "Conns:\t9401\nConn buckets:\t524288 (19 bits, lfactor -5)\nConn buckets empty:\t505633 (96%)\n\
                      Conn buckets len-1:\t18322 (98%)\nConn buckets len-2:\t329 (1%)\nConn buckets len-3:\t3 (0%)\n\
                      Conn buckets len-4:\t1 (0%)\nServices:\t12\n";
        assert_eq!(buckets(status), Some((524_288, false)));
        assert_eq!(buckets(&status.replace("505633", "505634")), Some((524_288, true)));
        assert_eq!(buckets("Conns:\t0\nConn buckets:\t0 (0 bits, lfactor 0)\n"), Some((0, false)));
        assert_eq!(buckets(""), None);
    }
}
