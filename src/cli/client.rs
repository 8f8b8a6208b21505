//! `sidegate client`: App Clients in the authority's storage.

mod options;
mod print;

use std::io::{self, BufRead, IsTerminal, Write};
use std::process::ExitCode;

use anyhow::{anyhow, bail};

use self::options::{Create, Edit, Expiry, One};
use self::print::{Foreign, Output};
use super::storage::{self, Open};
use super::{ConfigFile, output};
use crate::authority::manage::Outcome;
use crate::authority::rules;
use crate::clock;

const EXAMPLE: &str = "\
Example:
  sidegate client create -c config.yaml --name 'Nightly import' --scope users:read --tenant t1

Running gateways notice every change within a moment.";

/// Make, change and revoke App Clients
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make a client; its secret is shown once
    #[command(
        after_help = "Example:\n  sidegate client create -c config.yaml --name Import --scope users:read --expires 2027-12-31"
    )]
    Create(Box<Create>),
    /// List all clients
    #[command(after_help = "Example:\n  sidegate client list -c config.yaml --output json")]
    List(List),
    /// Show a client
    #[command(after_help = "Example:\n  sidegate client show -c config.yaml import")]
    Show(One),
    /// Change a client; a list replaces the one that is there
    #[command(
        after_help = "Example:\n  sidegate client edit -c config.yaml import --scope users:read --scope users:write"
    )]
    Edit(Box<Edit>),
    /// Give a client a new expiry date
    #[command(after_help = "Example:\n  sidegate client renew -c config.yaml import --expires 2028-12-31")]
    Renew(Renew),
    /// Give a client a new secret; it is shown once
    #[command(after_help = "Example:\n  sidegate client rotate-secret -c config.yaml import --keep-old 1h")]
    RotateSecret(RotateSecret),
    /// Revoke a client: its tokens are refused from now on, for ever
    #[command(
        after_help = "Example:\n  sidegate client revoke -c config.yaml import\n  sidegate client revoke -c config.yaml --issuer partner acme"
    )]
    Revoke(Standing),
    /// Let a revoked client get tokens again
    #[command(after_help = "Example:\n  sidegate client restore -c config.yaml import")]
    Restore(Standing),
    /// Delete a client: its tokens are refused from now on, for ever
    #[command(after_help = "Example:\n  sidegate client delete -c config.yaml import --yes")]
    Delete(Delete),
}

#[derive(Debug, clap::Args)]
struct List {
    #[command(flatten)]
    config: ConfigFile,
    /// How it looks
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Debug, clap::Args)]
struct Renew {
    #[command(flatten)]
    one: One,
    #[command(flatten)]
    expiry: Expiry,
}

#[derive(Debug, clap::Args)]
struct RotateSecret {
    #[command(flatten)]
    one: One,
    /// How long the old secret stays live, such as 1h or 7d; 0s ends it, and any other, at once
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = rules::keep_old)]
    keep_old: u32,
}

#[derive(Debug, clap::Args)]
struct Standing {
    #[command(flatten)]
    one: One,
    /// The client is one of this issuer of the configuration, and not of the authority
    #[arg(long, value_name = "NAME")]
    issuer: Option<String>,
}

#[derive(Debug, clap::Args)]
struct Delete {
    #[command(flatten)]
    one: One,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Create(args) => create(*args),
        Command::List(args) => list(&args),
        Command::Show(args) => show(&args),
        Command::Edit(args) => edit(*args),
        Command::Renew(args) => renew(&args),
        Command::RotateSecret(args) => rotate_secret(&args),
        Command::Revoke(args) => set_standing(&args, true),
        Command::Restore(args) => set_standing(&args, false),
        Command::Delete(args) => delete(&args),
    }?;
    Ok(ExitCode::SUCCESS)
}

fn create(args: Create) -> anyhow::Result<()> {
    let output = args.output;
    storage::with_new(&args.config.clone(), async |open: &Open| {
        let draft = args.draft(&open.manager.rules)?;
        let outcome = open.manager.create(&open.caller, draft, clock::now()).await?;
        tell(open, &outcome, output)
    })
}

fn list(args: &List) -> anyhow::Result<()> {
    storage::with(&args.config, async |open: &Open| {
        let clients = open.manager.all(&open.caller).await?;
        print::list(&clients, args.output, clock::now())
    })
}

fn show(args: &One) -> anyhow::Result<()> {
    storage::with(&args.config, async |open: &Open| {
        let client = open.manager.find(&open.caller, &args.id).await?;
        print::one(&client, None, args.output, clock::now())
    })
}

fn edit(args: Edit) -> anyhow::Result<()> {
    let one = args.one.clone();
    storage::with(&one.config, async |open: &Open| {
        let edit = args.edit(&open.manager.rules)?;
        let outcome = open.manager.edit(&open.caller, &one.id, None, edit, clock::now()).await?;
        tell(open, &outcome, one.output)
    })
}

fn renew(args: &Renew) -> anyhow::Result<()> {
    storage::with(&args.one.config, async |open: &Open| {
        let expires_at = args.expiry.parse()?;
        let outcome = open.manager.renew(&open.caller, &args.one.id, None, expires_at, clock::now()).await?;
        tell(open, &outcome, args.one.output)
    })
}

fn rotate_secret(args: &RotateSecret) -> anyhow::Result<()> {
    let keep = args.keep_old;
    storage::with(&args.one.config, async |open: &Open| {
        let outcome = open.manager.rotate_secret(&open.caller, &args.one.id, None, keep, clock::now()).await?;
        tell(open, &outcome, args.one.output)
    })
}

fn set_standing(args: &Standing, is_revoked: bool) -> anyhow::Result<()> {
    let Standing { one, issuer } = args;
    storage::with(&one.config, async |open: &Open| {
        if let Some(issuer) = issuer {
            return refuse_foreign(open, issuer, one, is_revoked).await;
        }
        let (manager, caller, now) = (&open.manager, &open.caller, clock::now());
        let outcome = match is_revoked {
            true => manager.revoke(caller, &one.id, None, now).await?,
            false => manager.restore(caller, &one.id, None, now).await?,
        };
        tell(open, &outcome, one.output)
    })
}

/// A client of somebody else's issuer: nobody here knows whether it exists.
async fn refuse_foreign(open: &Open, issuer: &str, one: &One, is_revoked: bool) -> anyhow::Result<()> {
    let known = open.config.snapshot.issuers.iter().find(|known| *known.name == *issuer);
    let known = known.ok_or_else(|| anyhow!("the configuration has no issuer `{issuer}`"))?;
    if known.iss == open.authority.issuer {
        bail!("`{issuer}` is the authority itself: leave `--issuer` out");
    }
    let client_id = &*one.id;
    let is_changed = open.manager.refuse_foreign(&open.caller, &known.iss, client_id, is_revoked, clock::now()).await?;
    print::foreign(&Foreign { issuer, client_id, is_revoked, is_changed }, one.output)
}

fn delete(args: &Delete) -> anyhow::Result<()> {
    let Delete { one, yes } = args;
    storage::with(&one.config, async |open: &Open| {
        let client = open.manager.find(&open.caller, &one.id).await?;
        if !yes {
            confirm(&client.id)?;
        }
        open.manager.delete(&open.caller, &one.id, None, clock::now()).await?;
        print::deleted(&client.id, one.output)
    })
}

fn confirm(id: &str) -> anyhow::Result<()> {
    if !io::stdin().is_terminal() {
        bail!("nobody is there to ask: `--yes` deletes without asking");
    }
    write!(io::stderr(), "Its tokens are refused from now on. Type the id `{id}` to delete it: ")?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    if answer.trim() == id { Ok(()) } else { bail!("that is not the id: nothing is deleted") }
}

/// What a client is after a command, and what is worth a look about it.
fn tell(open: &Open, outcome: &Outcome, output: Output) -> anyhow::Result<()> {
    let Outcome { client, is_changed, secret } = outcome;
    print::one(client, secret.as_ref(), output, clock::now())?;
    if !is_changed {
        output::warn("that is how it was already: nothing has changed");
    }
    if open.manager.rules.opens_both(client) {
        output::warn(
            "the client has scopes of Sidegate itself and others: whoever gets hold of one of its tokens may use both",
        );
    }
    Ok(())
}
