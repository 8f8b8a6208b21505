//! The request that is asked about, as the command line describes it.

use std::fs::File;
use std::io::{Read, stdin};

use anyhow::{Context, bail};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::Args;
use crate::core::head::RequestHead;

/// Longest token that is read from a file or from standard input: far beyond any `limits.token_bytes`.
const TOKEN_BYTES_MAX: u64 = 1 << 20;

/// A request. It has no `Debug`: the header fields hold the token.
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) target: String,
    pub(super) headers: HeaderMap,
}

impl Asked {
    pub(super) fn read(args: &Args) -> anyhow::Result<Self> {
        let mut headers = HeaderMap::new();
        for header in &args.headers {
            let (name, value) = parse_header(header)?;
            headers.append(name, value);
        }
        if let Some(token) = token(args)? {
            headers.append(AUTHORIZATION, bearer(token.trim())?);
        }
        Ok(Self { method: args.method.clone(), target: args.target.clone(), headers })
    }

    pub(super) fn has_token(&self) -> bool {
        self.headers.contains_key(AUTHORIZATION)
    }

    pub(super) fn head(&self) -> RequestHead<'_> {
        RequestHead { method: &self.method, target: &self.target, headers: (&self.headers).into() }
    }
}

fn parse_header(text: &str) -> anyhow::Result<(HeaderName, HeaderValue)> {
    let Some((name, value)) = text.split_once(':') else {
        // The text may be a token that was meant for another option: it is not repeated.
        bail!("a header is written as 'Name: value', and one of them has no colon");
    };
    let parsed = HeaderName::try_from(name).with_context(|| format!("{name:?} is not the name of a header"))?;
    let value = HeaderValue::try_from(value.trim_matches([' ', '\t']))
        .with_context(|| format!("the value of {parsed} cannot stand in a header"))?;
    Ok((parsed, value))
}

fn token(args: &Args) -> anyhow::Result<Option<String>> {
    if let Some(token) = &args.token.token {
        return Ok(Some(token.clone()));
    }
    if let Some(path) = &args.token.token_file {
        let open = File::open(path).map_err(anyhow::Error::from).and_then(bounded_text);
        return open.map(Some).with_context(|| format!("cannot read the token in {}", path.display()));
    }
    if args.stdin.is_some() {
        return bounded_text(stdin().lock()).map(Some).context("cannot read the token from standard input");
    }
    Ok(None)
}

fn bounded_text(source: impl Read) -> anyhow::Result<String> {
    let mut text = String::new();
    source.take(TOKEN_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > TOKEN_BYTES_MAX {
        bail!("longer than {TOKEN_BYTES_MAX} bytes");
    }
    Ok(text)
}

fn bearer(token: &str) -> anyhow::Result<HeaderValue> {
    let mut value = HeaderValue::try_from(format!("Bearer {token}")).context("the token cannot stand in a header")?;
    value.set_sensitive(true);
    Ok(value)
}
