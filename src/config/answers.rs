//! `errors` and `cors`: how answers of the gateway look.

use std::collections::HashSet;
use std::time::Duration;

use http::{HeaderValue, Method};

use crate::core::snapshot::{Cors, ErrorFormat, ErrorStyle};

use super::decode::Fields;
use super::keys;
use super::limits::duration;
use super::report::Report;
use super::scalar::{self, Flaw};
use super::yaml::{Node, Value};

const REALM: &str = "sidegate";
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";
const HEADERS: &str = "Authorization, Content-Type";
const MAX_AGE: Duration = Duration::from_secs(600);

/// `errors`.
pub(super) fn errors(file: &Fields<'_>, report: &mut Report<'_>) -> ErrorStyle {
    let style = report.field(file, "errors", |report, node| {
        let fields = report.fields(node, &keys::ERRORS)?;
        let formats =
            [("envelope", ErrorFormat::Envelope), ("problem", ErrorFormat::Problem), ("oauth", ErrorFormat::Oauth)];
        let format = report.field(&fields, "format", |report, node| report.word(node, &formats));
        let realm = report.field(&fields, "realm", |report, node| report.parsed(node, "a realm", realm));
        Some(ErrorStyle { format: format.unwrap_or_default(), realm: realm.unwrap_or_else(|| REALM.into()) })
    });
    style.unwrap_or(ErrorStyle { format: ErrorFormat::default(), realm: REALM.into() })
}

/// What can stand between the quotes of `realm="…"` (RFC 9110 section 5.6.4) without an escape.
fn realm(text: &str) -> Result<Box<str>, Flaw> {
    let ok = |byte: u8| (0x20..0x7f).contains(&byte) && byte != b'"' && byte != b'\\';
    if text.bytes().all(ok) { Ok(text.into()) } else { Err(Flaw::new("a realm is ASCII without `\"` and `\\`")) }
}

/// `cors`.
pub(super) fn cors(file: &Fields<'_>, report: &mut Report<'_>) -> Option<Cors> {
    let fields = report.field(file, "cors", |report, node| report.fields(node, &keys::CORS))?;
    let origins = report.required(&fields, "origins", origins);
    let methods = report.field(&fields, "methods", |report, node| {
        joined(report.list_of(node, "a list of methods", |report, item| report.parsed(item, "a method", method))?)
    });
    let headers = report.field(&fields, "headers", |report, node| {
        joined(report.list_of(node, "a list of headers", |report, item| report.parsed(item, "a header", header))?)
    });
    let max_age = report.field(&fields, "max_age", duration).unwrap_or(MAX_AGE);
    Some(Cors {
        origins: origins?,
        methods: methods.unwrap_or(HeaderValue::from_static(METHODS)),
        headers: headers.unwrap_or(HeaderValue::from_static(HEADERS)),
        max_age: HeaderValue::from(max_age.as_secs()),
    })
}

fn joined(words: Vec<String>) -> Option<HeaderValue> {
    HeaderValue::try_from(words.join(", ")).ok()
}

fn method(text: &str) -> Result<String, Flaw> {
    let upper = text.to_ascii_uppercase();
    match Method::from_bytes(text.as_bytes()) {
        Ok(_) if upper == text => Ok(upper),
        Ok(_) => Err(Flaw::new("methods are in capitals").hint(format!("write `{upper}`"))),
        Err(_) => Err(Flaw::new("not a method")),
    }
}

fn header(text: &str) -> Result<String, Flaw> {
    match text {
        "*" => Err(Flaw::new("`*` does not cover `Authorization` (Fetch standard): name the headers")),
        _ => scalar::header_name(text).map(|_| text.to_owned()),
    }
}

/// The origins; the inner `None` is `*`.
#[allow(clippy::option_option, reason = "the outer one says whether it could be read, the inner one is the value")]
fn origins(report: &mut Report<'_>, node: &Node<'_>) -> Option<Option<HashSet<Box<[u8]>>>> {
    let items = match &node.value {
        Value::Scalar(scalar) if scalar.text == "*" => std::slice::from_ref(node),
        _ => report.items(node, "a list of origins, or `*`")?,
    };
    let mut origins = HashSet::new();
    let mut any = None;
    for item in items {
        match report.parsed(item, "an origin such as https://app.example.com, or `*`", origin) {
            Some("*") => any = Some(item.place),
            Some(origin) => drop(origins.insert(Box::from(origin.as_bytes()))),
            None => {}
        }
    }
    match any {
        Some(place) if !origins.is_empty() => {
            report.error(place, "`*` beside other origins").expected("expected one or the other")
        }
        Some(place) => {
            report.warn(place, "`origins: *`: pages of every origin may read answers");
            return Some(None);
        }
        None => return Some(Some(origins)),
    };
    None
}

/// An origin as browsers send it (RFC 6454 section 6.2): compared byte for byte.
fn origin(text: &str) -> Result<&str, Flaw> {
    if text == "*" {
        return Ok(text);
    }
    let Some((scheme, host)) = text.split_once("://") else { return Err(Flaw::new("the origin has no scheme")) };
    if let Some(host) = host.strip_suffix('/') {
        return Err(Flaw::new("an origin has no slash at its end").hint(format!("write `{scheme}://{host}`")));
    }
    let lower = text.to_ascii_lowercase();
    let host_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    let scheme_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    if scheme.is_empty() || host.is_empty() || !host.bytes().all(host_byte) || !scheme.bytes().all(scheme_byte) {
        return Err(Flaw::new("not an origin"));
    }
    let default_port = match scheme {
        "https" => host.strip_suffix(":443"),
        "http" => host.strip_suffix(":80"),
        _ => None,
    };
    match default_port {
        Some(host) => Err(Flaw::new("browsers leave out the default port").hint(format!("write `{scheme}://{host}`"))),
        None if lower != text => {
            Err(Flaw::new("browsers send origins in small letters").hint(format!("write `{lower}`")))
        }
        None => Ok(text),
    }
}
