//! The first start: without a client that may make others, nobody could do anything but who has the storage at hand.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::client::Client;
use super::manage::{Draft, Manager};
use super::rules::{Denied, Rules};
use super::secret::ClientSecret;
use super::store::{Action, Actor, ChangeError, Store, StoreError};
use crate::config::Authority;
use crate::config::authority::CONTROL_SCOPES;
use crate::core::time::UnixSeconds;

/// The id of the client that the first start makes.
pub const ADMIN: &str = "admin";

/// Why the first start could not be completed. It is tried again.
#[derive(Debug, thiserror::Error)]
pub enum FirstStartError {
    /// The storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No client can be made.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// There is nowhere to leave the secret.
    #[error("cannot write the secret of the client admin to {path}: {cause}")]
    File {
        /// `admin_secret_file`.
        path: PathBuf,
        /// What failed.
        cause: io::Error,
    },
}

/// Makes the client `admin`, if nothing has ever been started on this storage. `show` is given its secret where somebody
/// watches; elsewhere it is written to `admin_secret_file`, within the transaction that makes the client: of several gateways
/// that start at once one makes it, and leaves its secret. A transaction that fails after that leaves a file whose secret is worth
/// nothing, until the next attempt of the same gateway writes it anew: a client whose secret nobody has would be worse.
///
/// # Errors
/// The storage failed, or the file cannot be written.
pub async fn make_admin(
    store: &Store,
    settings: &Authority,
    now: UnixSeconds,
    show: Option<fn(&ClientSecret)>,
) -> Result<(), FirstStartError> {
    // Signing keys are made by a start and never all gone again.
    if !store.keys().await?.is_empty() || store.client(ADMIN).await?.is_some() {
        return Ok(());
    }
    // The prefix is for the clients of others.
    let authority = Arc::new(Authority { client_id_prefix: Box::default(), ..settings.clone() });
    let manager = Manager { store: store.clone(), rules: Rules { authority, roles: Arc::default() } };
    let secret = ClientSecret::generate().map_err(Denied::from)?;
    let client = manager.new_client(admin(), Some(&secret), now)?;
    let file = settings.admin_secret_file.clone().filter(|_| show.is_none());
    let secret_file = file.as_ref().map(|path| path.display().to_string());
    let create = move |found: Option<Client>, number| {
        // Another gateway of the fleet was faster, and has left the secret with itself.
        let None = found else { return Err(None) };
        file.map(|path| write(&path, &secret).map_err(|cause| FirstStartError::File { path, cause })).transpose()?;
        Ok((Some(Client { generation: number, ..client }), secret))
    };
    match store.change(&Actor("authority".into()), Action::Create, ADMIN, now, create).await {
        Ok(secret) => {
            show.into_iter().for_each(|show| show(&secret));
            tracing::info!(client_id = ADMIN, secret_file, "the first start has made a client that may make others");
            Ok(())
        }
        Err(ChangeError::Denied(None)) => Ok(()),
        Err(ChangeError::Denied(Some(error))) => Err(error),
        Err(ChangeError::Store(error)) => Err(error.into()),
    }
}

fn admin() -> Draft {
    Draft {
        id: Some(ADMIN.into()),
        name: "Administrator".into(),
        description: "Made by the first start. May do all there is to do with Sidegate itself.".into(),
        // All of them: a client hands on none that it does not have.
        scopes: CONTROL_SCOPES.map(|(scope, _)| scope.into()).into(),
        ..Draft::default()
    }
}

/// Whole or not at all, and never readable by others.
fn write(path: &Path, secret: &ClientSecret) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    let _ = fs::remove_file(&new);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(secret.reveal().as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    fs::rename(&new, path)
}
