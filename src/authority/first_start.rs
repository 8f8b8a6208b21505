//! The first start: without a client that may make others, nobody could do anything but who has the storage at hand.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::manage::{Caller, Draft, ManageError, Manager};
use super::rules::{Denied, Rules};
use super::secret::ClientSecret;
use super::store::{Actor, ChangeError, Store, StoreError};
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
    Manage(#[from] ManageError),
    /// There is nowhere to leave the secret.
    #[error("cannot write the secret of the client admin to {path}: {cause}")]
    File {
        /// `admin_secret_file`.
        path: PathBuf,
        /// What failed.
        cause: io::Error,
    },
}

impl From<StoreError> for FirstStartError {
    fn from(error: StoreError) -> Self {
        Self::Manage(error.into())
    }
}

/// Makes the client `admin`, if nothing has ever been started on this storage. `show` is given its secret where somebody
/// watches; elsewhere it is written to `admin_secret_file`, before the client exists: a secret that nobody has would be
/// worse than a client that is made at the next attempt.
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
    let caller = Caller::unlimited(Actor("authority".into()));
    let file = settings.admin_secret_file.as_deref().filter(|_| show.is_none());
    let secret = ClientSecret::generate().map_err(|error| ChangeError::Denied(Denied::from(error)))?;
    if let Some(path) = file {
        write(path, &secret).map_err(|cause| FirstStartError::File { path: path.to_owned(), cause })?;
    }
    match manager.create_with(&caller, admin(), Some(secret), now).await {
        Ok(outcome) => {
            if let (Some(show), Some(secret)) = (show, &outcome.secret) {
                show(secret);
            }
            let secret_file = file.map(|path| path.display().to_string());
            tracing::info!(client_id = ADMIN, secret_file, "the first start has made a client that may make others");
            Ok(())
        }
        // Another gateway of the fleet was faster, and has left the secret with itself.
        Err(ChangeError::Denied(Denied::Exists(_))) => {
            file.map(fs::remove_file).transpose().map(|_| ()).unwrap_or_default();
            Ok(())
        }
        Err(error) => Err(error.into()),
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
