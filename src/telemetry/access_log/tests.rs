//! What stands in the log, and what happens when it cannot be written.

use std::net::Ipv4Addr;
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver, Sender};

use serde_json::{Value, json};

use super::*;

fn entry() -> Entry<'static> {
    Entry {
        time_ms: 1_795_305_600_042,
        request_id: "req-1",
        peer: Ipv4Addr::LOCALHOST.into(),
        method: "GET",
        host: "api.example.com",
        path: "/v1/users",
        status: 403,
        reason: Some("scope_missing"),
        detail: Some("users:write is not granted"),
        shadowed: false,
        route: Some("GET /v1/users"),
        issuer: Some("partner"),
        client_id: Some("acme"),
        tenant: Some("tänant 1".as_bytes()),
        duration: Duration::from_micros(1_204_005),
        upstream: Some(Upstream { name: "users", duration: Some(Duration::from_micros(50)) }),
        bytes_in: 0,
        bytes_out: 212,
    }
}

fn json_line(entry: &Entry<'_>) -> Value {
    let mut line = Vec::new();
    entry.write_json(&mut line);
    assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
    assert_eq!(line.last(), Some(&b'\n'));
    serde_json::from_slice(&line).unwrap()
}

#[test]
fn a_json_line_holds_every_field() {
    assert_eq!(
        json_line(&entry()),
        json!({
            "time": "2026-11-22T00:00:00.042Z",
            "request_id": "req-1",
            "method": "GET",
            "host": "api.example.com",
            "path": "/v1/users",
            "status": 403,
            "reason": "scope_missing",
            "detail": "users:write is not granted",
            "route": "GET /v1/users",
            "issuer": "partner",
            "client_id": "acme",
            "tenant": "tänant 1",
            "upstream": "users",
            "upstream_ms": 0.05,
            "duration_ms": 1204.005,
            "bytes_in": 0,
            "bytes_out": 212,
            "peer": "127.0.0.1",
        })
    );
    assert_eq!(json_line(&Entry { shadowed: true, ..entry() })["mode"], "shadow");
}

#[test]
fn the_documentation_has_every_field() {
    let documentation = include_str!("../../../docs/operating.md");
    let (_, section) = documentation.split_once("## Access log").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split('|').next());
    let mut documented: Vec<&str> =
        rows.flat_map(|names| names.split(['`', ' '])).filter(|name| !name.is_empty()).collect();
    let line = json_line(&Entry { shadowed: true, ..entry() });
    let mut written: Vec<&str> = line.as_object().unwrap().keys().map(String::as_str).collect();
    documented.sort_unstable();
    written.sort_unstable();
    assert_eq!(documented, written);
}

#[test]
fn a_text_line_is_for_reading() {
    let mut line = Vec::new();
    let entry = Entry { reason: None, detail: None, upstream: None, tenant: None, host: "", ..entry() };
    entry.write_text(&mut line);
    assert_eq!(
        String::from_utf8(line).unwrap(),
        "2026-11-22T00:00:00.042Z request_id=req-1 method=GET path=/v1/users status=403 route=\"GET /v1/users\" \
         issuer=partner client_id=acme duration_ms=1204.005 bytes_in=0 bytes_out=212 peer=127.0.0.1\n"
    );
}

#[test]
fn only_the_path_of_a_target_is_logged() {
    for (target, path) in [
        ("/a/b?token=secret", "/a/b"),
        ("/a#secret", "/a"),
        ("http://user:secret@host/a?secret", "/a"),
        ("http://user:secret@host?secret/x", ""),
        ("user:secret@host:443", ""),
        ("*", ""),
        ("?secret=/a", ""),
        ("http://host", ""),
    ] {
        assert_eq!(loggable_path(target), path, "{target}");
    }
}

#[test]
fn a_line_is_bounded_whatever_the_client_sends() {
    let long = "\u{1b}".repeat(100_000);
    let entry = Entry { path: &long, method: &long, client_id: Some(&long), host: &long, ..entry() };
    let mut line = Vec::new();
    entry.write_json(&mut line);
    assert!(line.len() < 32 * 1024, "{}", line.len());
    assert!(json_line(&entry)["path"].as_str().unwrap().ends_with('…'));
}

fn counter() -> IntCounter {
    IntCounter::new("dropped", "dropped").unwrap()
}

#[test]
fn a_file_is_appended_to_by_all_workers() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.log");
    std::fs::write(&path, "before\n").unwrap();
    let dropped = counter();
    let log = AccessLog::start(&Destination::File(path.clone()), Format::Json, dropped.clone()).unwrap();
    let workers: Vec<_> = (0..4).map(|_| log.worker()).collect();
    let threads =
        workers.into_iter().map(|worker| std::thread::spawn(move || (0..500).for_each(|_| worker.record(&entry()))));
    threads.collect::<Vec<_>>().into_iter().for_each(|thread| thread.join().unwrap());
    log.close(Duration::from_secs(10));
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "before");
    assert_eq!(lines.len() as u64 - 1 + dropped.get(), 2000);
    assert!(lines[1..].iter().all(|line| serde_json::from_str::<Value>(line).is_ok()));
}

#[test]
fn a_file_that_cannot_be_opened_is_named() {
    let path = PathBuf::from("/nonexistent/access.log");
    let error = AccessLog::start(&Destination::File(path), Format::Json, counter()).unwrap_err();
    // Whoever prints an error prints its cause as well.
    assert_eq!(error.to_string(), "cannot open the access log /nonexistent/access.log");
    let cause = std::error::Error::source(&error).map(ToString::to_string);
    assert!(cause.is_some_and(|cause| cause.starts_with("No such file or directory")));
}

/// A destination that reports each write and does not finish it before it is told to.
struct Stuck {
    reached: Sender<usize>,
    go_on: Mutex<Receiver<()>>,
}

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.reached.send(bytes.len()).unwrap();
        // Disconnected means: no longer stuck.
        _ = self.go_on.lock().unwrap().recv();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_stuck_destination_costs_lines_and_not_time() {
    let (reached, writes) = mpsc::channel();
    let (go_on, go_on_receiver) = mpsc::channel();
    let dropped = counter();
    let sink = Stuck { reached, go_on: Mutex::new(go_on_receiver) };
    let log = AccessLog::to_sink(Box::new(sink), Format::Json, dropped.clone()).unwrap();
    let worker = log.worker();
    worker.record(&entry());
    let line_bytes = writes.recv().unwrap();
    // The writer hangs in its first write. One buffer's worth more is kept, the rest is dropped.
    let sent = 3 * 256 * 1024 / line_bytes;
    for _ in 0..sent {
        worker.record(&entry());
    }
    let kept = sent - dropped.get() as usize;
    assert_eq!(kept, (256 * 1024usize).div_ceil(line_bytes));

    // Ending does not hang either.
    log.close(Duration::from_millis(1));
    worker.record(&entry());
    assert_eq!(sent - kept + 1, dropped.get() as usize);
    drop(go_on);
    assert_eq!(writes.recv().unwrap(), kept * line_bytes);
}

struct Full;

impl Write for Full {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::StorageFull.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn lines_that_cannot_be_written_are_counted() {
    let dropped = counter();
    let log = AccessLog::to_sink(Box::new(Full), Format::Text, dropped.clone()).unwrap();
    let worker = log.worker();
    (0..3).for_each(|_| worker.record(&entry()));
    log.close(Duration::from_secs(10));
    assert_eq!(dropped.get(), 3);
}

#[test]
fn no_log_is_no_log() {
    let log = AccessLog::start(&Destination::None, Format::Json, counter()).unwrap();
    assert!(!log.worker().is_on());
    log.worker().record(&entry());
    log.close(Duration::ZERO);
}
