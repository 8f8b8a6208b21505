//! The request that a proxy asks about, out of the header fields of its question.
//!
//! There are two sets of them, and a client can send either: a proxy overwrites those of its own set and lets the other
//! pass. So both are read, and where they do not say the same there is no telling which is the proxy's.

use std::net::IpAddr;

use http::header::HOST;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};

use crate::core::fields::X_FORWARDED_FOR;
use crate::core::rejection::{Reason, Rejection};
use crate::net::head::Head;

const FORWARDED_METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
const FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const ORIGINAL_METHOD: HeaderName = HeaderName::from_static("x-original-method");
const ORIGINAL_URI: HeaderName = HeaderName::from_static("x-original-uri");

/// What is asked about.
pub(super) struct Original {
    pub(super) head: Head,
    /// The client's address, as the proxy saw it.
    pub(super) client: Option<IpAddr>,
}

/// Whether nginx asks, which knows only 2xx, 401 and 403 for an answer.
pub(super) fn is_from_nginx(headers: &HeaderMap) -> bool {
    headers.contains_key(ORIGINAL_URI)
}

impl Original {
    /// The request that is asked about.
    ///
    /// # Errors
    /// `request_malformed` where none is described, or two are.
    pub(super) fn of(asked: &Head) -> Result<Self, Rejection> {
        let line = Line::of(asked.headers())?;
        let method = Method::from_bytes(line.method.as_bytes()).map_err(|_| malformed("the method is none of HTTP"))?;
        let mut headers = asked.headers().clone();
        for name in [FORWARDED_METHOD, FORWARDED_URI, ORIGINAL_METHOD, ORIGINAL_URI] {
            headers.remove(name);
        }
        headers.insert(HOST, line.host);
        let head = Head::new(method, line.uri.as_bytes(), Version::HTTP_11, headers);
        let head = head.map_err(|_| malformed("the URI is not UTF-8"))?;
        Ok(Self { head, client: client(asked.headers()) })
    }
}

/// What one set of fields says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    method: HeaderValue,
    uri: HeaderValue,
    host: HeaderValue,
}

impl Line {
    fn of(headers: &HeaderMap) -> Result<Self, Rejection> {
        let forwarded = Self::from_set(headers, [FORWARDED_METHOD, FORWARDED_URI, FORWARDED_HOST])?;
        let original = Self::from_set(headers, [ORIGINAL_METHOD, ORIGINAL_URI, HOST])?;
        match (forwarded, original) {
            (Some(one), Some(other)) if one != other => Err(malformed("X-Forwarded-* and X-Original-* disagree")),
            (one, other) => one.or(other).ok_or_else(|| malformed("nothing says which request is asked about")),
        }
    }

    /// What these three fields say; `None` if neither method nor URI is there.
    fn from_set(headers: &HeaderMap, names: [HeaderName; 3]) -> Result<Option<Self>, Rejection> {
        let [method, uri, host] = names;
        if !headers.contains_key(&method) && !headers.contains_key(&uri) {
            return Ok(None);
        }
        Ok(Some(Self { method: only(headers, &method)?, uri: only(headers, &uri)?, host: only(headers, &host)? }))
    }
}

fn only(headers: &HeaderMap, name: &HeaderName) -> Result<HeaderValue, Rejection> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) if !value.is_empty() => Ok(value.clone()),
        (None, _) | (Some(_), None) => Err(malformed(format!("{name} is missing"))),
        (Some(_), Some(_)) => Err(malformed(format!("more than one {name}"))),
    }
}

/// The last address of `X-Forwarded-For` is the one that the proxy saw itself.
fn client(headers: &HeaderMap) -> Option<IpAddr> {
    let last = headers.get_all(&X_FORWARDED_FOR).iter().next_back()?.to_str().ok()?;
    last.rsplit(',').next()?.trim().parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

fn malformed(detail: impl Into<std::borrow::Cow<'static, str>>) -> Rejection {
    Rejection::new(Reason::RequestMalformed, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(fields: &[(&'static str, &'static str)]) -> Result<Original, Rejection> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        Original::of(&Head::new(Method::GET, b"/auth", Version::HTTP_11, headers).ok().unwrap())
    }

    const FORWARDED: [(&str, &str); 3] =
        [("x-forwarded-method", "POST"), ("x-forwarded-uri", "/a?b"), ("x-forwarded-host", "h")];
    const ORIGINAL: [(&str, &str); 2] = [("x-original-method", "POST"), ("x-original-uri", "/a?b")];

    #[test]
    fn either_set_describes_the_request() {
        for (set, host) in [(&FORWARDED[..], "auth.internal"), (&ORIGINAL[..], "h")] {
            let further = [("host", host), ("x-forwarded-for", "192.0.2.9, 192.0.2.1"), ("x-other", "1")];
            let original = asked(&[set, &further].concat()).ok().unwrap();
            let head = original.head;
            assert_eq!(
                (head.method.as_str(), head.target(), head.headers()[HOST].as_bytes()),
                ("POST", "/a?b", &b"h"[..])
            );
            assert_eq!(original.client, Some([192, 0, 2, 1].into()));
            assert!(head.headers().contains_key("x-other") && !head.headers().contains_key("x-original-uri"));
        }
    }

    #[test]
    fn sets_that_agree_are_one() {
        assert!(asked(&[&FORWARDED[..], &ORIGINAL[..], &[("host", "h")]].concat()).is_ok());
        let refused: [&[(&str, &str)]; 4] = [
            // Traefik's own name as the host: a client of it has sent X-Original-*.
            &[("host", "auth.internal")],
            &[("host", "h"), ("x-original-uri", "/other")],
            &[("host", "h"), ("x-forwarded-method", "GET")],
            &[("host", "h"), ("x-forwarded-host", "h")],
        ];
        for fields in refused {
            assert!(asked(&[&FORWARDED[..], &ORIGINAL[..], fields].concat()).is_err(), "{fields:?}");
        }
    }

    #[test]
    fn what_is_missing_is_refused() {
        for left_out in 0..3 {
            let mut set = FORWARDED.to_vec();
            set.remove(left_out);
            assert!(asked(&set).is_err());
        }
        assert!(asked(&[("host", "h")]).is_err());
        assert!(asked(&[("host", "h"), ORIGINAL[0]]).is_err() && asked(&[("host", "h"), ORIGINAL[1]]).is_err());
        assert!(asked(&ORIGINAL).is_err(), "no host");
        assert!(asked(&[("host", "h"), ("x-original-method", ""), ORIGINAL[1]]).is_err());
        // Of a client's X-Forwarded-Host alone nothing is read.
        let nginx = [&ORIGINAL[..], &[("host", "h"), ("x-forwarded-host", "other")]].concat();
        assert_eq!(asked(&nginx).ok().unwrap().head.headers()[HOST], "h");
    }
}
