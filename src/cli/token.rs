//! `sidegate token`: a token by client credentials (RFC 6749 section 4.4), for trying out.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, anyhow, bail};
use form_urlencoded::Serializer;
use http::{HeaderValue, StatusCode, Uri};
use serde_json::Value;
use zeroize::Zeroizing;

use super::output;
use crate::net::fetch::{self, Fetcher};

const TOKEN_PATH: &str = "/oauth2/token";

/// Get a token by client credentials, for trying out
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  sidegate token --url http://127.0.0.1:8080 --client-id import --client-secret-file secret.txt --scope users:read"
)]
pub(crate) struct Args {
    /// The token endpoint; without a path it is /oauth2/token
    #[arg(long, value_name = "URL")]
    url: Uri,
    /// The client's id
    #[arg(long, value_name = "ID")]
    client_id: String,
    /// The file that holds the client's secret
    #[arg(long, value_name = "FILE")]
    client_secret_file: PathBuf,
    /// A scope to ask for; can be repeated. All that the client has, if left out
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let authorization = authorization(args)?;
    let uri = token_endpoint(&args.url)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answer = runtime.block_on(Fetcher::default().post_form(&uri, authorization, form(&args.scopes)));
    let (status, body) = answer.context("there is no token")?;
    let body: Option<Value> = serde_json::from_slice(&body).ok();
    match body {
        Some(body) if status == StatusCode::OK && body.get("access_token").is_some() => output::print_json(&body)?,
        body => return Err(refusal(status, body.as_ref())),
    }
    Ok(ExitCode::SUCCESS)
}

fn token_endpoint(url: &Uri) -> anyhow::Result<Uri> {
    if url.path() != "/" {
        return Ok(url.clone());
    }
    let mut parts = url.clone().into_parts();
    parts.path_and_query = Some(TOKEN_PATH.parse()?);
    Uri::from_parts(parts).map_err(|_| anyhow!("{url:?} is no URL such as http://127.0.0.1:8080"))
}

fn authorization(args: &Args) -> anyhow::Result<HeaderValue> {
    let path = &args.client_secret_file;
    let secret = fs::read_to_string(path).map(Zeroizing::new);
    let secret = secret.with_context(|| format!("cannot read {}", path.display()))?;
    let secret = secret.trim_end_matches(['\r', '\n']);
    if secret.is_empty() {
        bail!("{} is empty", path.display());
    }
    fetch::basic(&args.client_id, secret).context("the client id or its secret is too long")
}

fn form(scopes: &[String]) -> String {
    let mut form = Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials");
    if !scopes.is_empty() {
        form.append_pair("scope", &scopes.join(" "));
    }
    form.finish()
}

/// The error of RFC 6749 section 5.2, if that is what came.
fn refusal(status: StatusCode, body: Option<&Value>) -> anyhow::Error {
    let text = |name| body.and_then(|body| body.get(name)?.as_str()).map(|text| text.escape_debug().to_string());
    match (text("error"), text("error_description")) {
        (Some(error), Some(description)) => anyhow!("no token: {error}: {description}"),
        (Some(error), None) => anyhow!("no token: {error}"),
        (None, _) => anyhow!("no token: the answer has status {}, and is none of a token endpoint", status.as_u16()),
    }
}
