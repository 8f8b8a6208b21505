//! App Clients on the terminal.

use serde::Serialize;

use super::super::output::{self, table};
use crate::authority::client::Client;
use crate::authority::secret::ClientSecret;
use crate::authority::view::{View, rfc3339};
use crate::core::time::UnixSeconds;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(super) enum Output {
    /// For reading
    #[default]
    Table,
    /// JSON
    Json,
}

/// A client of another issuer, as the admin API tells of it.
#[derive(Serialize)]
pub(super) struct Foreign<'c> {
    /// The issuer's name in the configuration.
    pub(super) issuer: &'c str,
    pub(super) client_id: &'c str,
    /// Whether its tokens are refused.
    pub(super) is_revoked: bool,
    /// Whether that was otherwise before.
    pub(super) is_changed: bool,
}

/// A client that is no more.
#[derive(Serialize)]
struct Deleted<'c> {
    client_id: &'c str,
    is_deleted: bool,
}

pub(super) fn list(clients: &[Client], output: Output, now: UnixSeconds) -> anyhow::Result<()> {
    if output == Output::Json {
        let views: Vec<View<'_>> = clients.iter().map(|client| View::new(client, None, now)).collect();
        return output::print_json(&views);
    }
    let header = ["CLIENT ID", "NAME", "STATUS", "SCOPES", "ROLES", "TENANTS", "EXPIRES", "LAST USED"];
    let rows = clients.iter().map(|client| {
        [
            client.id.to_string(),
            client.name.to_string(),
            client.status(now).to_string(),
            client.scopes.join(" "),
            client.roles.join(" "),
            client.tenants.join(" "),
            rfc3339(client.expires_at),
            client.last_used_at.map_or("never".to_owned(), rfc3339),
        ]
    });
    Ok(output::print(&table(header, rows))?)
}

/// One client, and the secret that it just got.
pub(super) fn one(
    client: &Client,
    secret: Option<&ClientSecret>,
    output: Output,
    now: UnixSeconds,
) -> anyhow::Result<()> {
    if output == Output::Json {
        return output::print_json(&View::new(client, secret, now));
    }
    let mut rows = vec![
        ("client id", client.id.to_string()),
        ("name", client.name.to_string()),
        ("description", client.description.to_string()),
        ("notes", client.notes.to_string()),
        ("scopes", client.scopes.join(" ")),
        ("roles", client.roles.join(" ")),
        ("tenants", client.tenants.join(" ")),
        ("status", client.status(now).to_string()),
        ("credentials", credentials(client, now)),
        ("created", rfc3339(client.created_at)),
        ("expires", rfc3339(client.expires_at)),
        ("last used", client.last_used_at.map_or("never".to_owned(), rfc3339)),
    ];
    if let Some(secret) = secret {
        rows.push(("secret", format!("{}   (it is not shown again)", secret.reveal())));
    }
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let line = |(name, value): (&str, String)| {
        // What goes on below is put under the first line.
        let value = value.replace('\n', &format!("\n{:width$}  ", ""));
        format!("{}\n", format!("{name:width$}  {value}").trim_end())
    };
    Ok(output::print(&rows.into_iter().map(line).collect::<String>())?)
}

pub(super) fn foreign(client: &Foreign<'_>, output: Output) -> anyhow::Result<()> {
    if output == Output::Json {
        return output::print_json(client);
    }
    let Foreign { issuer, client_id, is_revoked, is_changed } = client;
    let state = if *is_revoked { "refused" } else { "not refused" };
    let how = if *is_changed { "now" } else { "already" };
    Ok(output::print(&format!("the client {client_id:?} of the issuer `{issuer}` is {how} {state}\n"))?)
}

pub(super) fn deleted(client_id: &str, output: Output) -> anyhow::Result<()> {
    if output == Output::Json {
        return output::print_json(&Deleted { client_id, is_deleted: true });
    }
    Ok(output::print(&format!("the client `{client_id}` is deleted\n"))?)
}

/// How a client shows who it is.
fn credentials(client: &Client, now: UnixSeconds) -> String {
    let live = client.secrets.iter().filter(|secret| secret.expires_at.is_none_or(|expires| now < expires));
    let secrets = live.map(|secret| match secret.expires_at {
        Some(expires) => format!("a secret of {} until {}", rfc3339(secret.created_at), rfc3339(expires)),
        None => format!("a secret of {}", rfc3339(secret.created_at)),
    });
    let keys = client.jwks.is_some().then(|| "keys of its own".to_owned());
    secrets.chain(keys).collect::<Vec<_>>().join("; ")
}
