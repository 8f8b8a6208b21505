//! Changing App Clients: what the command line and the admin API do, each in one transaction with its row of the audit log.

use super::caller::Caller;
use super::client::{Client, StoredSecret};
use super::rules::{self, Denied, LIFETIME_SECONDS, Rules};
use super::secret::ClientSecret;
use super::store::{Action, AuditRow, ChangeError, Page, Store, StoreError};
use crate::core::time::UnixSeconds;

/// Most secrets of a client that are live at a time.
const SECRETS_MAX: usize = 2;
/// Most clients that are read from storage at a time.
const PAGE: usize = 1000;

/// A client that is to be.
#[derive(Debug, Clone, Default)]
pub struct Draft {
    /// Its id; `None` is a random one.
    pub id: Option<Box<str>>,
    /// Its name.
    pub name: Box<str>,
    /// What it is for.
    pub description: Box<str>,
    /// Whatever its keepers want to remember.
    pub notes: Box<str>,
    /// Scopes of the catalogue.
    pub scopes: Vec<Box<str>>,
    /// Roles of the configuration.
    pub roles: Vec<Box<str>>,
    /// Tenants.
    pub tenants: Vec<Box<str>>,
    /// The first second at which it is expired; `None` is a year from now.
    pub expires_at: Option<UnixSeconds>,
    /// Its public keys (RFC 7517), if it signs its requests (RFC 7523).
    pub jwks: Option<Box<str>>,
    /// Whether it gets a secret even if it has keys.
    pub with_secret: bool,
}

/// What is to be different about a client. A list replaces the one that is there.
#[derive(Debug, Clone, Default)]
pub struct Edit {
    /// Its name.
    pub name: Option<Box<str>>,
    /// What it is for.
    pub description: Option<Box<str>>,
    /// Whatever its keepers want to remember.
    pub notes: Option<Box<str>>,
    /// Scopes of the catalogue.
    pub scopes: Option<Vec<Box<str>>>,
    /// Roles of the configuration.
    pub roles: Option<Vec<Box<str>>>,
    /// Tenants.
    pub tenants: Option<Vec<Box<str>>>,
    /// Its public keys; `Some(None)` takes them away.
    pub jwks: Option<Option<Box<str>>>,
    /// Whether it gives up its secrets, and goes on by its keys alone.
    pub without_secret: bool,
}

/// A client after a change.
#[derive(Debug)]
pub struct Outcome {
    /// What it is now.
    pub client: Client,
    /// Whether anything is different.
    pub is_changed: bool,
    /// A secret that was made, and is kept nowhere.
    pub secret: Option<ClientSecret>,
}

/// Why nothing was done.
pub type ManageError = ChangeError<Denied>;

/// Why a change ends without one.
enum Stopped {
    Denied(Denied),
    /// All is as it should be already.
    Unchanged(Box<Client>),
}

impl From<Denied> for Stopped {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied)
    }
}

/// Changes clients in a storage.
#[derive(Debug, Clone)]
pub struct Manager {
    /// Where they are.
    pub store: Store,
    /// What they may be.
    pub rules: Rules,
}

impl Manager {
    /// The client of this id, if the caller may see it.
    ///
    /// # Errors
    /// There is none, or the storage failed.
    pub async fn find(&self, caller: &Caller, id: &str) -> Result<Client, ManageError> {
        let client = self.store.client(id).await?.filter(|client| caller.may_touch(&client.tenants));
        client.ok_or_else(|| ChangeError::Denied(Denied::Unknown(id.into())))
    }

    /// At most so many clients that the caller may see, by id, behind this one.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn page(
        &self,
        caller: &Caller,
        after: Option<Box<str>>,
        limit: usize,
    ) -> Result<Vec<Client>, StoreError> {
        self.store.clients(Page { after, limit, within_tenants: caller.within_tenants.clone() }).await
    }

    /// All clients that the caller may see, by id.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn all(&self, caller: &Caller) -> Result<Vec<Client>, StoreError> {
        let mut all: Vec<Client> = Vec::new();
        loop {
            let after = all.last().map(|client| client.id.clone());
            let page = self.page(caller, after, PAGE).await?;
            let is_last = page.len() < PAGE;
            all.extend(page);
            if is_last {
                return Ok(all);
            }
        }
    }

    /// Makes a client.
    ///
    /// # Errors
    /// It may not be what it is to be, its id is taken, or the storage failed.
    pub async fn create(&self, caller: &Caller, draft: Draft, now: UnixSeconds) -> Result<Outcome, ManageError> {
        let has_secret = draft.jwks.is_none() || draft.with_secret;
        let secret = has_secret.then(ClientSecret::generate).transpose();
        let secret = secret.map_err(|error| ChangeError::Denied(Denied::from(error)))?;
        let client = self.new_client(draft, secret.as_ref(), now).map_err(ChangeError::Denied)?;
        caller.check_tenants(&client.tenants).map_err(ChangeError::Denied)?;
        caller.check_control(&self.rules, &client).map_err(ChangeError::Denied)?;
        let id = client.id.clone();
        let create = move |found: Option<Client>, number| match found {
            Some(found) => Err(Denied::Exists(found.id)),
            None => {
                let client = Client { generation: number, version: number, ..client };
                Ok((Some(client.clone()), client))
            }
        };
        let client = self.store.change(&caller.who, Action::Create, &id, now, create).await?;
        Ok(Outcome { client, is_changed: true, secret })
    }

    /// The client of a draft, but for the number of the change that makes it.
    pub(super) fn new_client(
        &self,
        draft: Draft,
        secret: Option<&ClientSecret>,
        now: UnixSeconds,
    ) -> Result<Client, Denied> {
        let Draft { id, name, description, notes, scopes, roles, tenants, expires_at, jwks, with_secret: _ } = draft;
        let stored = secret.map(|secret| StoredSecret { hash: secret.hash(), created_at: now, expires_at: None });
        let client = Client {
            id: self.rules.id(id.as_deref())?,
            name: rules::name(&name)?,
            description: rules::description(&description)?,
            notes: rules::notes(&notes)?,
            scopes: self.rules.scopes(scopes)?,
            roles: self.rules.roles(roles)?,
            tenants: rules::tenants(tenants)?,
            secrets: stored.into_iter().collect(),
            jwks: jwks.as_deref().map(rules::jwks).transpose()?,
            is_revoked: false,
            created_at: now,
            expires_at: rules::ahead(expires_at.unwrap_or(now.plus(LIFETIME_SECONDS)), now)?,
            last_used_at: None,
            generation: 0,
            version: 0,
        };
        check_grants(&client)?;
        Ok(client)
    }

    /// Changes what may be edited.
    ///
    /// # Errors
    /// As for a new client; or there is none, or another version of it.
    pub async fn edit(
        &self,
        caller: &Caller,
        id: &str,
        version: Option<u64>,
        edit: Edit,
        now: UnixSeconds,
    ) -> Result<Outcome, ManageError> {
        let edit = self.checked(edit).map_err(ChangeError::Denied)?;
        let may_have = caller.clone();
        let apply = move |client: &mut Client, _| {
            edit(client);
            check_grants(client)?;
            check_credentials(client)?;
            may_have.check_tenants(&client.tenants)
        };
        self.change(caller, Action::Edit, id, version, now, apply).await
    }

    /// The edit as what it does to a client, whose lists keep what is not in the catalogue any more unless they are replaced.
    fn checked(&self, edit: Edit) -> Result<impl FnOnce(&mut Client) + Send + use<>, Denied> {
        let Edit { name, description, notes, scopes, roles, tenants, jwks, without_secret } = edit;
        let name = name.as_deref().map(rules::name).transpose()?;
        let description = description.as_deref().map(rules::description).transpose()?;
        let notes = notes.as_deref().map(rules::notes).transpose()?;
        let scopes = scopes.map(|scopes| self.rules.scopes(scopes)).transpose()?;
        let roles = roles.map(|roles| self.rules.roles(roles)).transpose()?;
        let tenants = tenants.map(rules::tenants).transpose()?;
        let jwks = jwks.map(|jwks| jwks.as_deref().map(rules::jwks).transpose()).transpose()?;
        Ok(move |client: &mut Client| {
            replace(&mut client.name, name);
            replace(&mut client.description, description);
            replace(&mut client.notes, notes);
            replace(&mut client.scopes, scopes);
            replace(&mut client.roles, roles);
            replace(&mut client.tenants, tenants);
            replace(&mut client.jwks, jwks);
            if without_secret {
                client.secrets.clear();
            }
        })
    }

    /// Gives a client a new expiry, be it expired already; `None` is a year from now.
    ///
    /// # Errors
    /// That is over; or there is no such client, or another version of it.
    pub async fn renew(
        &self,
        caller: &Caller,
        id: &str,
        version: Option<u64>,
        expires_at: Option<UnixSeconds>,
        now: UnixSeconds,
    ) -> Result<Outcome, ManageError> {
        let expires_at = rules::ahead(expires_at.unwrap_or(now.plus(LIFETIME_SECONDS)), now);
        let expires_at = expires_at.map_err(ChangeError::Denied)?;
        let apply = move |client: &mut Client, _| {
            client.expires_at = expires_at;
            Ok(())
        };
        self.change(caller, Action::Renew, id, version, now, apply).await
    }

    /// Gives a client a new secret. The one that it has stays live for so many seconds; with none, all others end at once.
    ///
    /// # Errors
    /// Two are live already; or there is no such client, or another version of it.
    pub async fn rotate_secret(
        &self,
        caller: &Caller,
        id: &str,
        version: Option<u64>,
        keep_old_seconds: u32,
        now: UnixSeconds,
    ) -> Result<Outcome, ManageError> {
        let secret = ClientSecret::generate().map_err(|error| ChangeError::Denied(error.into()))?;
        let new = StoredSecret { hash: secret.hash(), created_at: now, expires_at: None };
        let apply = move |client: &mut Client, _| {
            client.secrets = rotated(std::mem::take(&mut client.secrets), new, keep_old_seconds, now)?;
            Ok(())
        };
        let outcome = self.change(caller, Action::RotateSecret, id, version, now, apply).await?;
        Ok(Outcome { secret: Some(secret), ..outcome })
    }

    /// Revokes a client: its tokens of before never count again. One that is revoked already is left as it is.
    ///
    /// # Errors
    /// There is no such client, or another version of it.
    pub async fn revoke(
        &self,
        caller: &Caller,
        id: &str,
        version: Option<u64>,
        now: UnixSeconds,
    ) -> Result<Outcome, ManageError> {
        let apply = |client: &mut Client, number| {
            if !client.is_revoked {
                client.is_revoked = true;
                client.generation = number;
            }
            Ok(())
        };
        self.change(caller, Action::Revoke, id, version, now, apply).await
    }

    /// Lets a revoked client get tokens again.
    ///
    /// # Errors
    /// There is no such client, or another version of it.
    pub async fn restore(
        &self,
        caller: &Caller,
        id: &str,
        version: Option<u64>,
        now: UnixSeconds,
    ) -> Result<Outcome, ManageError> {
        let apply = |client: &mut Client, _| {
            client.is_revoked = false;
            Ok(())
        };
        self.change(caller, Action::Restore, id, version, now, apply).await
    }

    /// Deletes a client. A new one may have its id; it has none of its tokens.
    ///
    /// # Errors
    /// There is no such client, or another version of it.
    pub async fn delete(
        &self,
        caller: &Caller,
        id: &str,
        version: Option<u64>,
        now: UnixSeconds,
    ) -> Result<(), ManageError> {
        let (may_touch, sought) = (caller.clone(), Box::from(id));
        let delete = move |found: Option<Client>, _| found_one(&may_touch, found, sought, version).map(|_| (None, ()));
        self.store.change(&caller.who, Action::Delete, id, now, delete).await
    }

    /// Refuses a client of another issuer, or refuses it no more. Nobody here knows whether there is one. Whether anything
    /// has changed.
    ///
    /// # Errors
    /// The caller is held to tenants, the id cannot be one, or the storage failed.
    pub async fn refuse_foreign(
        &self,
        caller: &Caller,
        iss: &str,
        id: &str,
        is_refused: bool,
        now: UnixSeconds,
    ) -> Result<bool, ManageError> {
        caller.check_unlimited().and_then(|()| rules::foreign_id(id)).map_err(ChangeError::Denied)?;
        Ok(self.store.refuse_foreign(&caller.who, iss, id, is_refused, now).await?)
    }

    /// At most so many rows of the audit log behind this number, oldest first.
    ///
    /// # Errors
    /// The caller is held to tenants, or the storage failed.
    pub async fn audit(&self, caller: &Caller, after: u64, limit: usize) -> Result<Vec<AuditRow>, ManageError> {
        caller.check_unlimited().map_err(ChangeError::Denied)?;
        Ok(self.store.audit(after, limit).await?)
    }

    async fn change(
        &self,
        caller: &Caller,
        action: Action,
        id: &str,
        version: Option<u64>,
        now: UnixSeconds,
        apply: impl FnOnce(&mut Client, u64) -> Result<(), Denied> + Send + 'static,
    ) -> Result<Outcome, ManageError> {
        let (may_touch, sought, rules) = (caller.clone(), Box::from(id), self.rules.clone());
        let change = move |found: Option<Client>, number| {
            let before = found_one(&may_touch, found, sought, version)?;
            let mut client = before.clone();
            apply(&mut client, number)?;
            // To end a client is always right. Anything else is a say over it: over what it was, too, or its scopes could be
            // taken away first and its secret then.
            if action != Action::Revoke {
                may_touch.check_control(&rules, &before)?;
                may_touch.check_control(&rules, &client)?;
            }
            if client == before {
                return Err(Stopped::Unchanged(Box::new(before)));
            }
            client.version = number;
            Ok((Some(client.clone()), client))
        };
        match self.store.change(&caller.who, action, id, now, change).await {
            Ok(client) => Ok(Outcome { client, is_changed: true, secret: None }),
            Err(ChangeError::Denied(Stopped::Unchanged(client))) => {
                Ok(Outcome { client: *client, is_changed: false, secret: None })
            }
            Err(ChangeError::Denied(Stopped::Denied(denied))) => Err(ChangeError::Denied(denied)),
            Err(ChangeError::Store(error)) => Err(error.into()),
        }
    }
}

fn found_one(caller: &Caller, found: Option<Client>, id: Box<str>, version: Option<u64>) -> Result<Client, Denied> {
    // Whoever may not see a client is not told that it is there.
    let client = found.filter(|client| caller.may_touch(&client.tenants)).ok_or(Denied::Unknown(id))?;
    match version {
        Some(version) if version != client.version => Err(Denied::Conflict { current: client.version }),
        _ => Ok(client),
    }
}

fn replace<T>(field: &mut T, new: Option<T>) {
    if let Some(new) = new {
        *field = new;
    }
}

fn check_grants(client: &Client) -> Result<(), Denied> {
    match client.scopes.is_empty() && client.roles.is_empty() {
        true => Err(rules::invalid("scopes", "a client has at least one scope or role")),
        false => Ok(()),
    }
}

fn check_credentials(client: &Client) -> Result<(), Denied> {
    match client.secrets.is_empty() && client.jwks.is_none() {
        true => Err(rules::invalid("jwks", "a client without a secret needs keys, and one without keys a secret")),
        false => Ok(()),
    }
}

/// The secrets after a rotation. What has ended is forgotten.
fn rotated(
    secrets: Vec<StoredSecret>,
    new: StoredSecret,
    keep_old_seconds: u32,
    now: UnixSeconds,
) -> Result<Vec<StoredSecret>, Denied> {
    let is_live = |secret: &StoredSecret| secret.expires_at.is_none_or(|expires| now < expires);
    let mut live: Vec<StoredSecret> = secrets.into_iter().filter(|_| keep_old_seconds > 0).filter(is_live).collect();
    if live.len() >= SECRETS_MAX {
        return Err(Denied::SecretsMax);
    }
    let end = now.plus(keep_old_seconds.into());
    for secret in &mut live {
        secret.expires_at = Some(secret.expires_at.map_or(end, |expires| expires.min(end)));
    }
    live.push(new);
    Ok(live)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixSeconds = UnixSeconds(1000);

    fn secret(expires_at: Option<i64>) -> StoredSecret {
        let hash = ClientSecret::generate().unwrap().hash();
        StoredSecret { hash, created_at: NOW, expires_at: expires_at.map(UnixSeconds) }
    }

    #[test]
    fn at_most_two_secrets_are_live() {
        let (old, new) = (secret(None), secret(None));
        let after = rotated(vec![old.clone()], new.clone(), 60, NOW).unwrap();
        assert_eq!(after, [StoredSecret { expires_at: Some(UnixSeconds(1060)), ..old.clone() }, new.clone()]);
        assert_eq!(rotated(after.clone(), secret(None), 60, NOW), Err(Denied::SecretsMax));
        assert_eq!(rotated(after.clone(), new.clone(), 0, NOW), Ok(vec![new.clone()]));
        let later = rotated(after, secret(None), 60, UnixSeconds(1060)).unwrap();
        assert_eq!((later.len(), later[0].expires_at), (2, Some(UnixSeconds(1120))));
        assert_eq!(rotated(vec![], new.clone(), 60, NOW), Ok(vec![new]));
    }
}
