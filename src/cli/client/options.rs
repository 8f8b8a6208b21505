//! The options of `sidegate client`, as what they mean.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::super::ConfigFile;
use super::print::Output;
use crate::authority::manage::{self, Draft};
use crate::authority::rules::{self, JWKS_BYTES_MAX, Rules};
use crate::core::time::UnixSeconds;

/// A client that there is.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct One {
    #[command(flatten)]
    pub(super) config: ConfigFile,
    /// The client's id
    pub(super) id: String,
    /// How it looks
    #[arg(long, value_enum, default_value_t)]
    pub(super) output: Output,
}

#[derive(Debug, clap::Args)]
pub(super) struct Expiry {
    /// The last day (UTC), such as 2027-12-31, or a time (RFC 3339); a year from now if left out
    #[arg(long, value_name = "DATE")]
    expires: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Create {
    #[command(flatten)]
    pub(super) config: ConfigFile,
    /// Its id, which never changes; a random one if left out
    #[arg(long, value_parser = some_text)]
    id: Option<String>,
    /// Its name, for people
    #[arg(long)]
    name: String,
    /// What it is for
    #[arg(long, default_value = "", hide_default_value = true)]
    description: String,
    /// Whatever its keepers want to remember
    #[arg(long, default_value = "", hide_default_value = true)]
    notes: String,
    #[command(flatten)]
    grants: Grants,
    #[command(flatten)]
    expiry: Expiry,
    /// Its public keys (a JSON Web Key Set): it signs its requests (RFC 7523) and gets no secret
    #[arg(long, value_name = "FILE")]
    jwks_file: Option<PathBuf>,
    /// Give it a secret beside its keys
    #[arg(long, requires = "jwks_file")]
    with_secret: bool,
    /// How it looks
    #[arg(long, value_enum, default_value_t)]
    pub(super) output: Output,
}

#[derive(Debug, clap::Args)]
pub(super) struct Edit {
    #[command(flatten)]
    pub(super) one: One,
    /// Its name, for people
    #[arg(long)]
    name: Option<String>,
    /// What it is for
    #[arg(long)]
    description: Option<String>,
    /// Whatever its keepers want to remember
    #[arg(long)]
    notes: Option<String>,
    #[command(flatten)]
    grants: Grants,
    /// Take all its scopes away: it goes on by its roles
    #[arg(long, conflicts_with_all = ["scopes", "all_scopes"])]
    no_scopes: bool,
    /// Take all its roles away: it goes on by its scopes
    #[arg(long, conflicts_with = "roles")]
    no_roles: bool,
    /// Take all its tenants away: its tokens name none from now on
    #[arg(long, conflicts_with = "tenants")]
    no_tenants: bool,
    /// Its public keys (a JSON Web Key Set)
    #[arg(long, value_name = "FILE")]
    jwks_file: Option<PathBuf>,
    /// End its secrets at once: it has keys, and goes on by them alone
    #[arg(long)]
    without_secret: bool,
}

// An empty text is refused wherever one of these is named: it is mostly that of a variable that is not set, and a client that is
// held to no tenant is not what was meant then. What there is to be none of is said by an option of its own.
#[derive(Debug, clap::Args)]
struct Grants {
    /// A scope of the catalogue; can be repeated
    #[arg(long = "scope", value_name = "SCOPE", value_parser = some_text, conflicts_with = "all_scopes")]
    scopes: Option<Vec<String>>,
    /// Every scope of the catalogue but Sidegate's own
    #[arg(long)]
    all_scopes: bool,
    /// A role of the configuration; can be repeated
    #[arg(long = "role", value_name = "ROLE", value_parser = some_text)]
    roles: Option<Vec<String>>,
    /// A tenant; can be repeated
    #[arg(long = "tenant", value_name = "TENANT", value_parser = some_text)]
    tenants: Option<Vec<String>>,
}

impl Expiry {
    pub(super) fn parse(&self) -> anyhow::Result<Option<UnixSeconds>> {
        Ok(self.expires.as_deref().map(rules::expiry).transpose()?)
    }
}

impl Grants {
    fn scopes(&self, rules: &Rules) -> Option<Vec<Box<str>>> {
        if self.all_scopes { Some(rules.all_scopes()) } else { names(&self.scopes) }
    }
}

impl Create {
    pub(super) fn draft(&self, rules: &Rules) -> anyhow::Result<Draft> {
        Ok(Draft {
            id: self.id.as_deref().map(Into::into),
            name: self.name.as_str().into(),
            description: self.description.as_str().into(),
            notes: self.notes.as_str().into(),
            scopes: self.grants.scopes(rules).unwrap_or_default(),
            roles: names(&self.grants.roles).unwrap_or_default(),
            tenants: names(&self.grants.tenants).unwrap_or_default(),
            expires_at: self.expiry.parse()?,
            jwks: self.jwks_file.as_deref().map(read_jwks).transpose()?,
            with_secret: self.with_secret,
        })
    }
}

impl Edit {
    pub(super) fn edit(&self, rules: &Rules) -> anyhow::Result<manage::Edit> {
        let text = |text: &Option<String>| text.as_deref().map(Box::from);
        Ok(manage::Edit {
            name: text(&self.name),
            description: text(&self.description),
            notes: text(&self.notes),
            scopes: edited(self.no_scopes, self.grants.scopes(rules)),
            roles: edited(self.no_roles, names(&self.grants.roles)),
            tenants: edited(self.no_tenants, names(&self.grants.tenants)),
            jwks: self.jwks_file.as_deref().map(read_jwks).transpose()?.map(Some),
            without_secret: self.without_secret,
        })
    }
}

fn some_text(text: &str) -> Result<String, &'static str> {
    if text.is_empty() { Err("it is empty: is a variable not set?") } else { Ok(text.to_owned()) }
}

fn names(names: &Option<Vec<String>>) -> Option<Vec<Box<str>>> {
    Some(names.as_ref()?.iter().map(|name| name.as_str().into()).collect())
}

/// A list as it is to be; `None` is as it was.
fn edited(none_left: bool, list: Option<Vec<Box<str>>>) -> Option<Vec<Box<str>>> {
    if none_left { Some(Vec::new()) } else { list }
}

fn read_jwks(path: &Path) -> anyhow::Result<Box<str>> {
    let read = || {
        let mut text = String::new();
        File::open(path)?.take(JWKS_BYTES_MAX as u64 + 1).read_to_string(&mut text)?;
        std::io::Result::Ok(text.into())
    };
    read().with_context(|| format!("cannot read {}", path.display()))
}
