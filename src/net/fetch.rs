//! Fetches small documents over HTTP: key sets, and the metadata that says where they are; asks for tokens, and opens feeds.
//!
//! Whoever answers is not trusted to be well: time, head and body are bounded whatever the answer claims, a redirect is
//! an error (it would move the trust to a host that nobody configured), and no error repeats what a body holds.

use std::convert::Infallible;
use std::fmt;
use std::future::pending;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use form_urlencoded::byte_serialize;
use http::header::{self, HeaderMap, HeaderValue, InvalidHeaderValue};
use http::uri::{PathAndQuery, Scheme};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::Builder;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::OnceCell;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use zeroize::Zeroizing;

use super::tls::{ClientTls, system_roots};
use crate::core::keyset::KEYSET_BYTES_MAX;

/// Longest time for one document, from the look-up of the name to the last byte.
pub const TIMEOUT: Duration = Duration::from_secs(10);
/// Longest time to connect to one address: a name may have others that work.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest document in bytes.
const BODY_BYTES_MAX: usize = KEYSET_BYTES_MAX;
/// Longest response head in bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Most fields of a response head.
const FIELDS_MAX: usize = 100;
/// The media type of event streams (HTML Living Standard section 9.2).
const EVENT_STREAM: &str = "text/event-stream";
/// Longest name of a host that an error repeats, in bytes (RFC 1035 section 2.3.4).
const HOST_SHOWN_MAX: usize = 253;

/// Fetches documents. One serves for all.
#[derive(Debug, Default)]
pub struct Fetcher {
    /// Made at the first `https` document: reading the operating system's roots takes a while.
    tls: OnceCell<ClientTls>,
}

/// A document.
#[derive(Debug, Clone)]
pub struct Document {
    /// What it holds.
    pub body: Bytes,
    /// How long it is fresh: `max-age` of its `Cache-Control` (RFC 9111 section 5.2.2.1).
    pub max_age: Option<Duration>,
}

/// Why there is no document. The text is for operators; it holds nothing of a body or of a query.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// It is not a URL that can be fetched.
    #[error("the URL {0}")]
    Url(&'static str),
    /// No address of the host takes connections.
    #[error("cannot connect to {host}: {cause}")]
    Connect {
        /// The host's name.
        host: Box<str>,
        /// What came of the last address.
        cause: io::Error,
    },
    /// The handshake failed, or the certificate is not the host's.
    #[error("no TLS with {host}: {cause}")]
    Tls {
        /// The host's name.
        host: Box<str>,
        /// What failed.
        cause: io::Error,
    },
    /// It took too long.
    #[error("no whole answer within {} s", TIMEOUT.as_secs())]
    Timeout,
    /// What came is no HTTP, or it broke off.
    #[error("the answer is no whole HTTP message: {0}")]
    Http(#[from] hyper::Error),
    /// The document is elsewhere.
    #[error("the answer is a redirect to {host}, and redirects are not followed")]
    Redirect {
        /// The host that `Location` names.
        host: Box<str>,
    },
    /// The answer is no success.
    #[error("the answer has status {}", .0.as_u16())]
    Status(StatusCode),
    /// The answer is no event stream.
    #[error("the answer is no text/event-stream")]
    NotEvents,
    /// The document is too long.
    #[error("the answer is longer than {BODY_BYTES_MAX} bytes")]
    TooLarge,
}

impl Fetcher {
    /// The document at `uri`, by GET.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn get(&self, uri: &Uri) -> Result<Document, FetchError> {
        let target = Target::of(uri)?;
        let (_, document) = self.ask(&target, target.request()?, Statuses::Ok).await?;
        Ok(document)
    }

    /// What a form gets for an answer that is sent to `uri` by POST, be it a refusal. `authorization` says who sends it.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn post_form(
        &self,
        uri: &Uri,
        authorization: HeaderValue,
        form: String,
    ) -> Result<(StatusCode, Bytes), FetchError> {
        let target = Target::of(uri)?;
        let mut request = target.request()?;
        *request.method_mut() = Method::POST;
        *request.body_mut() = Full::from(form);
        let headers = request.headers_mut();
        headers.insert(header::AUTHORIZATION, authorization);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        let (status, document) = self.ask(&target, request, Statuses::Any).await?;
        Ok((status, document.body))
    }

    /// Opens the event stream at `uri` (HTML Living Standard section 9.2) by GET. `authorization` says who reads it.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn events(&self, uri: &Uri, authorization: HeaderValue) -> Result<Events, FetchError> {
        let target = Target::of(uri)?;
        let mut request = target.request()?;
        let headers = request.headers_mut();
        headers.insert(header::AUTHORIZATION, authorization);
        headers.insert(header::ACCEPT, HeaderValue::from_static(EVENT_STREAM));
        let opened = async {
            let stream = connect(target.host, target.port).await?;
            match target.is_https {
                true => begin(self.secure(target.host, stream).await?, request).await,
                false => begin(stream, request).await,
            }
        };
        let (response, driver) = timeout(TIMEOUT, opened).await.unwrap_or(Err(FetchError::Timeout))?;
        check_status(&response, Statuses::Ok)?;
        if !is_event_stream(response.headers()) {
            return Err(FetchError::NotEvents);
        }
        Ok(Events { body: response.into_body(), driver })
    }

    async fn ask(
        &self,
        target: &Target<'_>,
        request: Request<Full<Bytes>>,
        statuses: Statuses,
    ) -> Result<(StatusCode, Document), FetchError> {
        let answer = async {
            let stream = connect(target.host, target.port).await?;
            match target.is_https {
                true => exchange(self.secure(target.host, stream).await?, request, statuses).await,
                false => exchange(stream, request, statuses).await,
            }
        };
        timeout(TIMEOUT, answer).await.unwrap_or(Err(FetchError::Timeout))
    }

    async fn secure(&self, host: &str, stream: TcpStream) -> Result<TlsStream<TcpStream>, FetchError> {
        let failed = |cause| FetchError::Tls { host: host.into(), cause };
        let roots = || async {
            let made = tokio::task::spawn_blocking(|| ClientTls::new(system_roots(), None)).await;
            made.map_err(io::Error::other)?.map_err(io::Error::other)
        };
        let tls = self.tls.get_or_try_init(roots).await.map_err(failed)?;
        let name = ServerName::try_from(host.to_owned()).map_err(|error| failed(io::Error::other(error)))?;
        TlsConnector::from(tls.http1.clone()).connect(name, stream).await.map_err(failed)
    }
}

/// An event stream. Its connection ends with it.
pub struct Events {
    body: Incoming,
    driver: Driver,
}

impl Events {
    /// The next bytes of it, as they arrive; `None` at its end. Nothing is lost with the future that this returns.
    ///
    /// # Errors
    /// It broke off.
    pub async fn next(&mut self) -> Result<Option<Bytes>, FetchError> {
        loop {
            let frame = tokio::select! {
                frame = self.body.frame() => frame.transpose()?,
                never = &mut self.driver => match never {},
            };
            match frame.map(http_body::Frame::into_data) {
                None => return Ok(None),
                Some(Ok(data)) => return Ok(Some(data)),
                Some(Err(_trailers)) => {}
            }
        }
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Events")
    }
}

/// `Authorization` of a client with a secret (`client_secret_basic`): both parts are encoded as in a form (RFC 6749 section
/// 2.3.1).
///
/// # Errors
/// Both together are too long for a header field.
pub fn basic(client_id: &str, secret: &str) -> Result<HeaderValue, InvalidHeaderValue> {
    let encoded = |text: &str| Zeroizing::new(byte_serialize(text.as_bytes()).collect::<String>());
    let pair = Zeroizing::new(format!("{}:{}", *encoded(client_id), *encoded(secret)));
    let mut value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(pair.as_bytes())))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Which answers have a body that is of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Statuses {
    Ok,
    /// Whatever is no redirect.
    Any,
}

/// A URL, taken apart.
struct Target<'a> {
    is_https: bool,
    authority: &'a str,
    /// IPv6 without brackets.
    host: &'a str,
    port: u16,
    path: PathAndQuery,
}

impl<'a> Target<'a> {
    fn of(uri: &'a Uri) -> Result<Self, FetchError> {
        let is_https = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(FetchError::Url("begins with neither https:// nor http://")),
        };
        let authority = uri.authority().ok_or(FetchError::Url("names no host"))?;
        if authority.as_str().contains('@') {
            return Err(FetchError::Url("has a user name in it"));
        }
        let host = authority.host();
        Ok(Self {
            is_https,
            authority: authority.as_str(),
            host: host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host),
            port: authority.port_u16().unwrap_or(if is_https { 443 } else { 80 }),
            path: uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/")),
        })
    }

    fn request(&self) -> Result<Request<Full<Bytes>>, FetchError> {
        let authority =
            HeaderValue::from_str(self.authority).map_err(|_| FetchError::Url("has a host that is none"))?;
        let mut request = Request::new(Full::default());
        *request.uri_mut() = Uri::from(self.path.clone());
        let headers = request.headers_mut();
        headers.insert(header::HOST, authority);
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        // A few bytes that unpack to many are no business of ours.
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static("sidegate"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        Ok(request)
    }
}

/// A connection to the first address of a host that takes one.
async fn connect(host: &str, port: u16) -> Result<TcpStream, FetchError> {
    let failed = |cause| FetchError::Connect { host: host.into(), cause };
    let mut cause = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in lookup_host((host, port)).await.map_err(failed)? {
        match timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => cause = error,
            Err(_) => cause = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(failed(cause))
}

/// What moves the bytes of a connection: to be polled along with whatever waits for them. Errors come to whoever waits, and
/// the end may come with the answer's last byte, so that there is nothing to return.
type Driver = Pin<Box<dyn Future<Output = Infallible>>>;

/// One request and its answer on a connection that ends with them.
async fn exchange<S>(
    stream: S,
    request: Request<Full<Bytes>>,
    statuses: Statuses,
) -> Result<(StatusCode, Document), FetchError>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let (response, driver) = begin(stream, request).await?;
    tokio::select! {
        document = read(response, statuses) => document,
        never = driver => match never {},
    }
}

/// One request, and its answer as far as the head.
async fn begin<S>(stream: S, request: Request<Full<Bytes>>) -> Result<(Response<Incoming>, Driver), FetchError>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let (mut sender, connection) = Builder::new()
        .max_buf_size(HEAD_BYTES_MAX)
        .max_header_size(HEAD_BYTES_MAX)
        .max_headers(FIELDS_MAX)
        .handshake(TokioIo::new(stream))
        .await?;
    let mut driver: Driver = Box::pin(async move {
        drop(connection.await);
        pending().await
    });
    let response = tokio::select! {
        response = sender.send_request(request) => response?,
        never = &mut driver => match never {},
    };
    Ok((response, driver))
}

async fn read(response: Response<Incoming>, statuses: Statuses) -> Result<(StatusCode, Document), FetchError> {
    check_status(&response, statuses)?;
    let (status, max_age) = (response.status(), max_age(response.headers()));
    Ok((status, Document { body: read_body(response.into_body()).await?, max_age }))
}

fn check_status(response: &Response<Incoming>, statuses: Statuses) -> Result<(), FetchError> {
    let status = response.status();
    if status.is_redirection() {
        return Err(FetchError::Redirect { host: location_host(response.headers()) });
    }
    match statuses == Statuses::Any || status == StatusCode::OK {
        true => Ok(()),
        false => Err(FetchError::Status(status)),
    }
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(EVENT_STREAM)
}

async fn read_body(mut body: Incoming) -> Result<Bytes, FetchError> {
    if body.size_hint().lower() > BODY_BYTES_MAX as u64 {
        return Err(FetchError::TooLarge);
    }
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if bytes.len() + data.len() > BODY_BYTES_MAX {
            return Err(FetchError::TooLarge);
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes.into())
}

fn location_host(headers: &HeaderMap) -> Box<str> {
    let location = headers.get(header::LOCATION).and_then(|value| Uri::try_from(value.as_bytes()).ok());
    let host = location.as_ref().and_then(Uri::host).filter(|host| host.len() <= HOST_SHOWN_MAX);
    host.unwrap_or("another place on the same host").into()
}

/// The first `max-age` of `Cache-Control`. Whether others may keep the document (`no-store`, `private`) is not about us:
/// keys have to be kept to be of use.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let fields = headers.get_all(header::CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    fields.flat_map(|value| value.split(',')).find_map(max_age_directive)
}

/// `max-age=60`, or in quotes as RFC 9111 section 5.2 has it: no sender should, every recipient has to bear it.
fn max_age_directive(directive: &str) -> Option<Duration> {
    let (name, value) = directive.split_once('=')?;
    if !name.trim().eq_ignore_ascii_case("max-age") {
        return None;
    }
    let digits = value.trim().trim_matches('"');
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    // More seconds than fit are as many as fit (RFC 9111 section 1.2.2).
    is_number.then(|| Duration::from_secs(digits.parse::<u32>().unwrap_or(u32::MAX).into()))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener};
    use std::thread;

    use super::*;

    /// Answers one request with `answer`; the request.
    fn serve(answer: Vec<u8>) -> (SocketAddr, thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut asked, mut byte) = (Vec::new(), [0]);
            while !asked.ends_with(b"\r\n\r\n") {
                stream.read_exact(&mut byte).unwrap();
                asked.push(byte[0]);
            }
            // Whoever has read enough goes.
            let _ = stream.write_all(&answer);
            String::from_utf8(asked).unwrap()
        });
        (address, server)
    }

    async fn get(answer: impl Into<Vec<u8>>) -> (Result<Document, FetchError>, String) {
        let (address, server) = serve(answer.into());
        let result = Fetcher::default().get(&format!("http://{address}/keys?tenant=a").parse().unwrap()).await;
        (result, server.join().unwrap())
    }

    async fn error(answer: impl Into<Vec<u8>>) -> String {
        get(answer).await.0.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn a_document_comes_with_how_long_it_is_fresh() {
        let (document, asked) = get("HTTP/1.1 200 OK\r\nCache-Control: public, max-age=90\r\n\r\n{}").await;
        let document = document.unwrap();
        assert_eq!((&*document.body, document.max_age), (&b"{}"[..], Some(Duration::from_secs(90))));
        assert!(asked.starts_with("GET /keys?tenant=a HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains("host: 127.0.0.1:") && asked.contains("accept-encoding: identity\r\n"), "{asked}");
    }

    #[tokio::test]
    async fn whatever_is_no_document_says_why() {
        let redirect = "HTTP/1.1 302 X\r\nLocation: https://evil.example/keys?secret\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(error(redirect).await, "the answer is a redirect to evil.example, and redirects are not followed");
        assert_eq!(error("HTTP/1.1 500 X\r\nContent-Length: 6\r\n\r\nsecret").await, "the answer has status 500");
        assert_eq!(error("HTTP/1.1 204 X\r\n\r\n").await, "the answer has status 204");
        for garbage in ["SSH-2.0-OpenSSH\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", ""] {
            let error = error(garbage).await;
            assert!(error.starts_with("the answer is no whole HTTP message: "), "{error}");
        }
        let endless = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X-A: b\r\n".repeat(101));
        assert!(error(endless).await.starts_with("the answer is no whole HTTP message: "));
    }

    #[tokio::test]
    async fn a_document_has_a_largest_size_whatever_it_claims() {
        let long = vec![b' '; BODY_BYTES_MAX + 1];
        let until_close = [b"HTTP/1.1 200 OK\r\n\r\n", long.as_slice()].concat();
        assert!(matches!(get(until_close).await.0, Err(FetchError::TooLarge)));
        let claimed = "HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n{}";
        assert!(matches!(get(claimed).await.0, Err(FetchError::TooLarge)));
        let longest = [b"HTTP/1.1 200 OK\r\n\r\n", &long[1..]].concat();
        assert_eq!(get(longest).await.0.unwrap().body.len(), BODY_BYTES_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_host_is_not_waited_for() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        assert!(matches!(Fetcher::default().get(&uri).await, Err(FetchError::Timeout | FetchError::Connect { .. })));
    }

    #[tokio::test]
    async fn nobody_there_is_told_by_name() {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = Fetcher::default().get(&format!("http://{address}").parse().unwrap()).await.unwrap_err();
        assert!(error.to_string().starts_with("cannot connect to 127.0.0.1: "), "{error}");
        for uri in ["/keys", "ftp://a/keys", "http://user@a/keys"] {
            let error = Fetcher::default().get(&uri.parse().unwrap()).await.unwrap_err();
            assert!(matches!(error, FetchError::Url(_)), "{uri}: {error}");
        }
    }

    #[test]
    fn max_age_is_read_as_the_rfc_has_it() {
        let of = |value: &'static str| {
            max_age(&HeaderMap::from_iter([(header::CACHE_CONTROL, HeaderValue::from_static(value))]))
        };
        for (value, seconds) in [
            ("max-age=60", 60),
            ("public , MAX-AGE = 60 ,must-revalidate", 60),
            ("max-age=\"60\"", 60),
            ("no-store, max-age=0", 0),
            ("max-age=60, max-age=1", 60),
            ("max-age=99999999999999999999", u64::from(u32::MAX)),
        ] {
            assert_eq!(of(value), Some(Duration::from_secs(seconds)), "{value}");
        }
        for value in ["", "no-cache", "s-maxage=60", "max-age", "max-age=", "max-age=-1", "max-age=1.5", "max-age=6e1"]
        {
            assert_eq!(of(value), None, "{value}");
        }
    }
}
