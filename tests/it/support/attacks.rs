//! Reads `tests/cases/tokens/attacks.yaml`. A row becomes the header fields of a request and the answer that it has to
//! get, so that the same table can be put to the core and to a running gateway.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sidegate::core::rejection::Reason;

use super::mint::{self, TestKey, encode, key};

/// A row of the table, made ready to be sent.
pub(crate) struct Attack {
    pub(crate) name: String,
    /// Which route it goes to.
    pub(crate) route: String,
    /// The header fields, `Authorization` among them.
    pub(crate) headers: Vec<(String, String)>,
    /// Why it has to be refused; `None` for the rows that show that the table can tell good from bad.
    pub(crate) refused: Option<Reason>,
}

impl Attack {
    /// The status that a gateway has to answer with.
    pub(crate) fn status(&self) -> u16 {
        self.refused.map_or(200, |reason| reason.answer().status)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    expect: String,
    #[serde(default = "read")]
    route: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default = "bearer")]
    authorization: String,
    #[serde(default = "compact")]
    token: String,
    key: Option<String>,
    #[serde(default)]
    header: Map<String, Value>,
    #[serde(default)]
    header_first: String,
    #[serde(default)]
    header_last: String,
    header_text: Option<String>,
    #[serde(default)]
    claims: Map<String, Value>,
    #[serde(default)]
    claims_first: String,
    #[serde(default)]
    claims_last: String,
    claims_text: Option<String>,
    #[serde(default)]
    unsigned_header: Map<String, Value>,
    #[serde(default)]
    unsigned_claims: Map<String, Value>,
}

fn read() -> String {
    "read".into()
}

fn bearer() -> String {
    "Bearer {token}".into()
}

fn compact() -> String {
    "{header}.{payload}.{signature}".into()
}

/// The rows, with tokens that are valid at `now` unless they say otherwise.
pub(crate) fn load(now: i64) -> Vec<Attack> {
    let text = include_str!("../../cases/tokens/attacks.yaml");
    let rows: Vec<Row> = serde_yaml::from_str(text).expect("attacks.yaml");
    rows.iter().map(|row| row.attack(now)).collect()
}

impl Row {
    fn attack(&self, now: i64) -> Attack {
        let refused = match &*self.expect {
            "allowed" => None,
            label => Some(*Reason::ALL.iter().find(|reason| reason.label() == label).expect(label)),
        };
        let mut headers: Vec<_> = self.headers.clone().into_iter().collect();
        let authorization = self.authorization.replace("{token}", &self.token(now));
        headers.extend(authorization.split('\n').map(|field| ("authorization".into(), field.to_owned())));
        Attack { name: self.name.clone(), route: self.route.clone(), headers, refused }
    }

    fn token(&self, now: i64) -> String {
        let signer = Signer::parse(self.key.as_deref().unwrap_or("rsa"));
        let header = merged(signer.header(), &self.header, now);
        let claims = merged(claims(now), &self.claims, now);
        let texts = (
            text(&header, &self.header_first, &self.header_last, self.header_text.as_deref()),
            text(&claims, &self.claims_first, &self.claims_last, self.claims_text.as_deref()),
        );
        let signed = format!("{}.{}", encode(&texts.0), encode(&texts.1));
        let algorithm = header.get("alg").and_then(Value::as_str).unwrap_or_default();
        let signature = signer.sign(algorithm, signed.as_bytes());

        // What stands in the token may be something else than what was signed.
        let sent = |text: String, signed: Map<String, Value>, changes: &Map<String, Value>| match changes.is_empty() {
            true => text,
            false => Value::Object(merged(signed, changes, now)).to_string(),
        };
        let parts = [
            ("header", sent(texts.0, header, &self.unsigned_header).into_bytes()),
            ("payload", sent(texts.1, claims, &self.unsigned_claims).into_bytes()),
            ("signature", signature),
        ];
        fill(&self.token, &parts)
    }
}

/// Who signs: a named key, nobody, or an HMAC whose secret is something public.
enum Signer {
    Nobody,
    Key(&'static TestKey),
    Hmac(Vec<u8>, &'static TestKey),
}

impl Signer {
    fn parse(text: &str) -> Self {
        let parts: Vec<&str> = text.split(':').collect();
        match *parts {
            ["nobody"] => Self::Nobody,
            ["hmac", name, form] => Self::Hmac(secret(key(name), form), key(name)),
            [name] => Self::Key(key(name)),
            _ => panic!("no signer {text}"),
        }
    }

    fn header(&self) -> Map<String, Value> {
        let (algorithm, key_id) = match self {
            Self::Nobody => ("none", "rsa"),
            Self::Key(key) => (key.algorithm(), key.name),
            Self::Hmac(_, key) => ("HS256", key.name),
        };
        object(json!({ "alg": algorithm, "kid": key_id, "typ": "at+jwt" }))
    }

    fn sign(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Nobody => Vec::new(),
            Self::Key(key) => key.sign(algorithm, message),
            Self::Hmac(secret, _) => mint::hmac(algorithm, secret, message),
        }
    }
}

fn secret(key: &TestKey, form: &str) -> Vec<u8> {
    match form {
        "pem" => key.public_pem().into_bytes(),
        "pem-trimmed" => key.public_pem().trim().as_bytes().to_vec(),
        "der" => key.public_der(),
        "jwk" => key.jwk().to_string().into_bytes(),
        "empty" => Vec::new(),
        "kid" => key.name.as_bytes().to_vec(),
        member => URL_SAFE_NO_PAD.decode(key.jwk()[member].as_str().expect(member)).unwrap(),
    }
}

/// The claims of a token that every route of the test takes.
fn claims(now: i64) -> Map<String, Value> {
    object(json!({
        "iss": "https://issuer.test", "aud": "https://api.test", "sub": "acme", "client_id": "acme",
        "iat": now, "exp": now + 300, "scope": "users:read", "roles": ["viewer"], "tenant_id": "t1",
    }))
}

fn object(value: Value) -> Map<String, Value> {
    serde_json::from_value(value).unwrap()
}

fn merged(mut base: Map<String, Value>, changes: &Map<String, Value>, now: i64) -> Map<String, Value> {
    for (name, value) in changes {
        match expand(value, now) {
            Some(value) => drop(base.insert(name.clone(), value)),
            None => drop(base.remove(name)),
        }
    }
    base
}

/// Replaces the words that begin with `$`; `$absent` is no value at all.
fn expand(value: &Value, now: i64) -> Option<Value> {
    let word = match value {
        Value::String(text) => text.strip_prefix('$'),
        Value::Array(elements) => return Some(elements.iter().filter_map(|element| expand(element, now)).collect()),
        _ => None,
    };
    let Some(word) = word else { return Some(value.clone()) };
    if let Some(seconds) = word.strip_prefix("now") {
        let seconds: i64 = if seconds.is_empty() { 0 } else { seconds.parse().expect(seconds) };
        return Some(json!(now + seconds));
    }
    match word.split_once(':') {
        None if word == "absent" => None,
        Some(("jwk", name)) => Some(key(name).jwk()),
        Some(("jwk-without-kid", name)) => {
            let mut jwk = object(key(name).jwk());
            jwk.remove("kid");
            Some(Value::Object(jwk))
        }
        Some(("certificate", name)) => Some(json!([STANDARD.encode(key(name).public_der())])),
        Some(("thumbprint", name)) => Some(json!(key(name).thumbprint())),
        Some(("long", length)) => Some(json!("a".repeat(length.parse().unwrap()))),
        Some(("nested", depth)) => Some((0..depth.parse().unwrap()).fold(json!(1), |inner, _| json!([inner]))),
        _ => panic!("no word ${word}"),
    }
}

/// The JSON of a part: members from the table put before and behind as they stand there, or all of it replaced.
fn text(object: &Map<String, Value>, first: &str, last: &str, whole: Option<&str>) -> String {
    if let Some(whole) = whole {
        return whole.into();
    }
    let members = Value::Object(object.clone()).to_string();
    let members = &members[1..members.len() - 1];
    let texts = [first, members, last];
    let texts: Vec<&str> = texts.into_iter().filter(|text| !text.is_empty()).collect();
    format!("{{{}}}", texts.join(","))
}

/// Fills a template: `{payload}` is the encoded part, `{payload|flip}` the part after something was done to it.
fn fill(template: &str, parts: &[(&str, Vec<u8>)]) -> String {
    let mut filled = template.to_owned();
    while let (Some(start), Some(end)) = (filled.find('{'), filled.find('}')) {
        let placeholder = filled[start + 1..end].to_owned();
        let (name, change) = placeholder.split_once('|').unwrap_or((&placeholder, ""));
        let (_, bytes) = parts.iter().find(|(known, _)| *known == name).expect(name);
        filled.replace_range(start..=end, &changed(bytes, change));
    }
    filled
}

fn changed(bytes: &[u8], change: &str) -> String {
    let half = bytes.len() / 2;
    match change {
        "" => encode(bytes),
        "flip" => encode(bytes.iter().enumerate().map(|(i, byte)| byte ^ u8::from(i == half)).collect::<Vec<_>>()),
        "short" => encode(&bytes[..bytes.len() - 1]),
        "long" => encode([bytes, &[0]].concat()),
        "zeros" => encode(vec![0; bytes.len()]),
        "ones" => encode(vec![0xff; bytes.len()]),
        "zero-r" => encode([&vec![0; half], &bytes[half..]].concat()),
        "zero-s" => encode([&bytes[..half], &vec![0; half]].concat()),
        "order" => encode([P256_ORDER, P256_ORDER].concat()),
        "order-r" => encode([&P256_ORDER, &bytes[half..]].concat()),
        "order-s" => encode([&bytes[..half], &P256_ORDER].concat()),
        "one-one" => encode([&one(half)[..], &one(half)].concat()),
        "der" => encode(der_signature(bytes)),
        "twice" => encode([bytes, bytes].concat()),
        "padded" => format!("{}{}", encode(bytes), "=".repeat((4 - encode(bytes).len() % 4) % 4)),
        "standard" => STANDARD.encode(bytes),
        "loose" => loose(&encode(bytes)),
        "encoded-twice" => encode(encode(bytes)),
        other => panic!("no change {other}"),
    }
}

/// The order of the group of P-256: as `r` or `s` it is zero (CVE-2022-21449 is about what follows from that).
const P256_ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7,
    0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

fn one(length: usize) -> Vec<u8> {
    let mut number = vec![0; length];
    number[length - 1] = 1;
    number
}

/// `r || s` as the ASN.1 structure that other protocols sign with.
fn der_signature(raw: &[u8]) -> Vec<u8> {
    let integer = |number: &[u8]| {
        let zeros = number.iter().take_while(|byte| **byte == 0).count();
        let sign: &[u8] = if number[zeros] >= 0x80 { &[0] } else { &[] };
        let number = [sign, &number[zeros..]].concat();
        [&[2, u8::try_from(number.len()).unwrap()], number.as_slice()].concat()
    };
    let (r, s) = raw.split_at(raw.len() / 2);
    let body = [integer(r), integer(s)].concat();
    [&[0x30, u8::try_from(body.len()).unwrap()], body.as_slice()].concat()
}

/// The same bytes for a lenient decoder: a bit set behind the last byte.
fn loose(encoded: &str) -> String {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    assert!(!encoded.len().is_multiple_of(4), "no bits to spare in {encoded}");
    let (rest, last) = encoded.split_at(encoded.len() - 1);
    let index = ALPHABET.find(last).unwrap();
    format!("{rest}{}", &ALPHABET[index + 1..index + 2])
}
