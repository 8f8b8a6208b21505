//! `authority.storage`, and the secrets that go with it.

use super::{KeyEncryptionKey, Postgres, Storage};
use crate::config::decode::Fields;
use crate::config::files::Files;
use crate::config::report::Report;
use crate::config::scalar::Flaw;
use crate::config::secret;
use crate::config::source::Place;

const SQLITE_FILE: &str = "./sidegate.db";
const EXPECTED: &str = "`sqlite:PATH` or `postgres://USER@HOST[:PORT]/DATABASE`";

pub(super) fn decode(fields: &Fields<'_>, files: &mut Files<'_>, report: &mut Report<'_>) -> Option<Storage> {
    let password = report.field(fields, "storage_password_file", |report, node| {
        report.secret_file(node, "the path of a file with a password", "the password", files, secret::text)
    });
    let storage = match fields.get("storage") {
        None if fields.may_have("storage") => None,
        None => files.path(SQLITE_FILE).ok().map(Storage::Sqlite),
        Some(node) => report.parsed(node, EXPECTED, |text| parse(text, files)),
    };
    match (storage?, fields.key_place("storage_password_file")) {
        (Storage::Sqlite(_), Some(place)) => {
            report.error(place, "only a storage `postgres://…` has a password");
            None
        }
        (Storage::Postgres(postgres), _) => Some(Storage::Postgres(Postgres { password, ..postgres })),
        (sqlite, None) => Some(sqlite),
    }
}

fn parse(text: &str, files: &Files<'_>) -> Result<Storage, Flaw> {
    if let Some(path) = text.strip_prefix("sqlite:") {
        return sqlite(path, files);
    }
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        return postgres(text);
    }
    let flaw = Flaw::new("not a storage that there is");
    // A path alone is probably one of SQLite; anything with a user in it is not repeated.
    let is_path = !text.contains("://") && (text.starts_with(['.', '/']) || text.ends_with(".db"));
    Err(if is_path { flaw.hint("write `sqlite:` before the path of a file") } else { flaw })
}

fn sqlite(path: &str, files: &Files<'_>) -> Result<Storage, Flaw> {
    if path.starts_with("//") {
        return Err(Flaw::new("the path of a file follows `sqlite:`").hint("write `sqlite:./NAME` or `sqlite:/PATH`"));
    }
    // SQLite reads these as something else than the name of a file.
    if path.starts_with(':') || path.starts_with("file:") {
        return Err(Flaw::new("not the path of a file"));
    }
    match files.path(path)? {
        path if path.is_dir() => Err(Flaw::new("a directory, and not a file in one")),
        path => Ok(Storage::Sqlite(path)),
    }
}

fn postgres(text: &str) -> Result<Storage, Flaw> {
    let password = || Flaw::new("a URL with a password, which belongs into a file that `storage_password_file` names");
    let (_, rest) = text.split_once("://").unwrap_or_default();
    // What is before the last @ may be a user and his password, even if some of its characters should be escaped.
    if rest.rsplit_once('@').is_some_and(|(user, _)| user.contains(':')) {
        return Err(password());
    }
    // The parser's own words may repeat what it was given.
    let config: tokio_postgres::Config = text
        .parse()
        .map_err(|_| Flaw::new("not the URL of a PostgreSQL database, or with an option that is not supported"))?;
    match (config.get_password(), config.get_user(), config.get_hosts()) {
        (Some(_), ..) => Err(password()),
        (_, None, _) => Err(Flaw::new("the URL names no user")),
        (.., []) => Err(Flaw::new("the URL names no host")),
        _ => Ok(Storage::Postgres(Postgres { url: text.into(), password: None })),
    }
}

pub(super) fn key_encryption(
    fields: &Fields<'_>,
    files: &mut Files<'_>,
    report: &mut Report<'_>,
) -> Option<KeyEncryptionKey> {
    let expected = "the path of a file with 32 bytes, or their base64";
    report.field(fields, "key_encryption_file", |report, node| {
        report.secret_file(node, expected, "the key", files, secret::key)
    })
}

/// Whoever can read an unencrypted key can sign tokens. A file is a secret that one machine keeps; a database has more
/// readers, and backups.
pub(super) fn check_encryption(
    fields: &Fields<'_>,
    storage: Option<&Storage>,
    key: Option<&KeyEncryptionKey>,
    section: Place,
    report: &mut Report<'_>,
) {
    if key.is_some() || fields.may_have("key_encryption_file") {
        return;
    }
    match storage {
        Some(Storage::Postgres(_)) => {
            let place = fields.key_place("storage").unwrap_or(section);
            report
                .error(place, "signing keys are not stored in a database unencrypted")
                .expected("expected a key `key_encryption_file` beside it");
        }
        Some(Storage::Sqlite(_)) => {
            report.warn(section, "no `key_encryption_file`: signing keys are stored unencrypted, and whoever can read the storage can sign tokens");
        }
        None => {}
    }
}
