//! `sidegate health`: asks a running gateway whether it is ready. For container health checks and probes where there is
//! no shell and no curl.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use bytes::BytesMut;
use http::StatusCode;
use serde_json::Value;

use crate::clock;
use crate::net::http1::head::Scan;
use crate::upstream::http1::head::{self, Head};

/// From the first attempt to connect to the last byte.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Longest answer that is read.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// Ask a running gateway whether it is ready; exit code 0 if it is
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  sidegate health --url http://127.0.0.1:9902")]
pub(crate) struct Args {
    /// Base URL of an admin or health listener
    #[arg(long = "url", value_name = "URL", default_value = "http://127.0.0.1:9901", value_parser = authority)]
    authority: String,
}

pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { authority } = args;
    let answer =
        ask(&authority, clock::monotonic() + TIMEOUT).with_context(|| format!("{authority} gives no answer"))?;
    match cause(&answer)? {
        None => Ok(ExitCode::SUCCESS),
        Some(cause) => Err(anyhow!("not ready: {cause}")),
    }
}

/// `host:port` of a base URL.
fn authority(url: &str) -> anyhow::Result<String> {
    let wrong = || format!("{url:?} is no base URL such as http://127.0.0.1:9901");
    let rest = url.strip_prefix("http://").with_context(wrong)?;
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.is_empty() || authority.contains(|char: char| !char.is_ascii_graphic() || "/?#@\\".contains(char)) {
        bail!(wrong());
    }
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
    Ok(if has_port { authority.to_owned() } else { format!("{authority}:80") })
}

fn ask(authority: &str, deadline: Instant) -> io::Result<Vec<u8>> {
    let mut stream = connect(authority, deadline)?;
    stream.set_write_timeout(Some(remaining(deadline)?))?;
    write!(stream, "GET /readyz HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n")?;
    read_to_end(&mut stream, deadline)
}

fn connect(authority: &str, deadline: Instant) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in authority.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, remaining(deadline)?) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The answer: we asked to close after it. A peer that drips bytes does not get more time.
fn read_to_end(stream: &mut TcpStream, deadline: Instant) -> io::Result<Vec<u8>> {
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    while answer.len() as u64 <= ANSWER_BYTES_MAX {
        stream.set_read_timeout(Some(remaining(deadline)?))?;
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(answer),
            Ok(count) => answer.extend_from_slice(buffer.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(too_slow()),
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "the answer is too long"))
}

fn remaining(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(clock::monotonic());
    if left.is_zero() { Err(too_slow()) } else { Ok(left) }
}

fn too_slow() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("not within {} s", TIMEOUT.as_secs()))
}

/// Why the gateway is not ready; `None` if it is.
fn cause(answer: &[u8]) -> anyhow::Result<Option<String>> {
    let mut answer = BytesMut::from(answer);
    let head =
        head::take(&mut answer, &mut Scan::default()).map_err(|error| anyhow!("the answer is no HTTP: {error}"))?;
    let Some(Head { status, .. }) = head else { bail!("the answer ends too early") };
    if status == StatusCode::OK {
        return Ok(None);
    }
    let body: Option<Value> = serde_json::from_slice(&answer).ok();
    let cause = body.as_ref().and_then(|body| body.get("cause")?.as_str());
    Ok(Some(cause.map_or_else(|| format!("status {}", status.as_u16()), |cause| cause.escape_debug().to_string())))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    #[test]
    fn base_urls_are_read_as_people_write_them() {
        for (url, expected) in [
            ("http://127.0.0.1:9901", "127.0.0.1:9901"),
            ("http://gateway:9902/", "gateway:9902"),
            ("http://gateway", "gateway:80"),
            ("http://[::1]", "[::1]:80"),
            ("http://[::1]:9901", "[::1]:9901"),
        ] {
            assert_eq!(authority(url).unwrap(), expected);
        }
        for url in ["", "127.0.0.1:9901", "https://gateway", "http://", "http://a/readyz", "http://u@a", "http://a b"] {
            let error = authority(url).unwrap_err().to_string();
            assert!(error.contains("is no base URL such as http://127.0.0.1:9901"), "{error}");
        }
    }

    fn asking(url: &str) -> Args {
        Args { authority: authority(url).unwrap() }
    }

    /// Answers one request with `answer` and hands back what was asked.
    fn serve(answer: &'static str) -> (String, thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = Vec::new();
            let mut byte = [0];
            while !asked.ends_with(b"\r\n\r\n") {
                stream.read_exact(&mut byte).unwrap();
                asked.push(byte[0]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(asked).unwrap()
        });
        (url, server)
    }

    fn health(answer: &'static str) -> (anyhow::Result<ExitCode>, String) {
        let (url, server) = serve(answer);
        (run(asking(&url)), server.join().unwrap())
    }

    #[test]
    fn ready_is_success() {
        let (result, asked) = health("HTTP/1.1 200 OK\r\nContent-Length: 18\r\n\r\n{\"status\":\"ready\"}");
        assert_eq!(result.unwrap(), ExitCode::SUCCESS);
        assert!(asked.starts_with("GET /readyz HTTP/1.1\r\nHost: 127.0.0.1:"), "{asked}");
    }

    #[test]
    fn unready_tells_the_cause() {
        let answers = [
            ("HTTP/1.1 503 X\r\n\r\n{\"status\":\"unready\",\"cause\":\"draining\"}", "not ready: draining"),
            ("HTTP/1.1 503 X\r\n\r\nbusy", "not ready: status 503"),
            ("HTTP/1.1 404 X\r\n\r\n", "not ready: status 404"),
            ("SSH-2.0-OpenSSH\r\n", "the answer is no HTTP: "),
            ("HTTP/1.1 200", "the answer ends too early"),
        ];
        for (answer, expected) in answers {
            let error = health(answer).0.unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn nobody_there_is_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let error = run(asking(&url)).unwrap_err().to_string();
        assert!(error.ends_with(" gives no answer"), "{error}");
    }

    #[test]
    fn a_silent_peer_is_not_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let error = ask(&address, clock::monotonic() + Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
