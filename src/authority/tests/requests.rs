//! Token requests: the table of malformed ones, and what is well formed though it does not look like it.

#[path = "../../../tests/it/support/token_requests.rs"]
mod token_requests;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, Method, header};

use self::token_requests::{Case, FORM};
use crate::authority::credentials::ClientCredentials;
use crate::authority::error::OAuthError;
use crate::authority::form::Request;
use crate::authority::grant::TokenRequest;

impl Case {
    fn read(&self) -> Result<TokenRequest, OAuthError> {
        let authorization: Vec<&str> = self.authorization.iter().map(String::as_str).collect();
        let method = self.method().parse().unwrap();
        read(&method, self.query.as_deref(), &self.content_types(), &authorization, &self.body())
    }
}

fn read(
    method: &Method,
    query: Option<&str>,
    types: &[&str],
    authorization: &[&str],
    body: &[u8],
) -> Result<TokenRequest, OAuthError> {
    let mut headers = HeaderMap::new();
    for value in types {
        headers.append(header::CONTENT_TYPE, HeaderValue::from_str(value).unwrap());
    }
    for value in authorization {
        headers.append(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
    }
    TokenRequest::read(&Request { method, query, headers: &headers, body })
}

#[test]
fn malformed_requests_get_the_answers_of_the_specifications() {
    let cases = Case::all();
    assert!(cases.len() >= 200, "{}", cases.len());
    let mut wrong = Vec::new();
    for case in &cases {
        let found = match case.read() {
            Ok(_) => "well formed".to_owned(),
            Err(error) => format!("{} {}", error.code.status().as_u16(), error.code.name()),
        };
        if found != format!("{} {}", case.status, case.error) {
            wrong.push(format!("{}: {found} and not {} {}", case.name, case.status, case.error));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Id, secret and scopes of a request.
fn taken(types: &str, authorization: &[&str], body: &str) -> (String, String, Option<Vec<String>>) {
    let read = read(&Method::POST, None, &[types], authorization, body.as_bytes());
    let request = read.unwrap_or_else(|error| panic!("{body}: {error}"));
    let ClientCredentials::Secret { id, secret } = request.credentials else { panic!("{body}") };
    let scopes = request.scopes.map(|scopes| scopes.iter().map(ToString::to_string).collect());
    (id.into(), secret.to_string(), scopes)
}

#[test]
fn requests_that_are_well_formed_are_taken() {
    let post = "grant_type=client_credentials&client_id=acme&client_secret=hunter2";
    let acme = || ("acme".to_owned(), "hunter2".to_owned(), None);
    for types in [FORM, "application/x-www-form-urlencoded; charset=UTF-8", "Application/X-WWW-Form-URLEncoded ;a=b"] {
        assert_eq!(taken(types, &[], post), acme(), "{types}");
    }
    for more in
        ["", "&", "&scope=", "&scope", "&unknown=1&another=%00", "&client_assertion=", "&client_assertion_type="]
    {
        assert_eq!(taken(FORM, &[], &format!("{post}{more}")), acme(), "{more}");
    }
    let scopes = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
    assert_eq!(taken(FORM, &[], &format!("{post}&scope=b+a%20b")).2, scopes(&["a", "b"]));
    assert_eq!(taken(FORM, &[], &format!("{post}&scope=%21%23%5B%5D%7E")).2, scopes(&["!#[]~"]));
    let resources = format!("{post}&resource=https%3A%2F%2Fa&resource=https%3A%2F%2Fb");
    assert_eq!(taken(FORM, &[], &resources), acme());
}

#[test]
fn basic_credentials_are_form_encoded() {
    let basic = |scheme: &str, text: &str| format!("{scheme}{}", STANDARD.encode(text));
    let body = "grant_type=client_credentials";
    for (field, id, secret) in [
        (basic("Basic ", "acme:hunter2"), "acme", "hunter2"),
        (basic("bAsIc   ", "acme:hunter2"), "acme", "hunter2"),
        (basic("Basic ", "ac%3Ame+1:a%25b+c:d"), "ac:me 1", "a%b c:d"),
        (basic("Basic ", "acme:"), "acme", ""),
    ] {
        let (found, shown, _) = taken(FORM, &[&field], body);
        assert_eq!((&*found, &*shown), (id, secret));
    }
    let (id, ..) = taken(FORM, &[&basic("Basic ", "acme:hunter2")], &format!("{body}&client_id=acme"));
    assert_eq!(id, "acme");
}

#[test]
fn credentials_in_any_part_never_come_back_in_an_error() {
    for body in
        ["grant_type=hunter2", "hunter2=%", "grant_type=client_credentials&client_id=%0Ahunter2&client_secret=hunter2"]
    {
        let error = read(&Method::POST, None, &[FORM], &[], body.as_bytes()).err().unwrap();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{body}");
    }
}
