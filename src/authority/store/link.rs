//! A database inside a transaction, whichever it is: what is done with it is written once, in SQL that both understand.

use std::fmt;
use std::pin::Pin;

use bytes::BytesMut;
use rusqlite::types::{ToSqlOutput, ValueRef};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use zeroize::Zeroizing;

use super::{StoreError, postgres, sqlite};

/// Something to be done in a transaction that has begun, or not if the database is not there. It ends the transaction.
pub(super) type Job = Box<dyn for<'a> FnOnce(Result<Link<'a>, StoreError>) -> JobFuture<'a> + Send>;
/// What a job does. It stays on the thread of its database; with SQLite it never waits.
pub(super) type JobFuture<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// What a transaction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Reads, all from one moment.
    Read,
    /// Changes something.
    Write,
}

/// How a transaction ends that did not fail.
pub(super) enum Ended<T> {
    /// What it did is to last.
    Commit(T),
    /// It is to have done nothing.
    RollBack(T),
}

/// A connection with a transaction on it.
#[derive(Clone, Copy)]
pub(super) enum Link<'a> {
    Sqlite(&'a rusqlite::Connection),
    Postgres(&'a tokio_postgres::Client),
}

/// The value of a column or a parameter.
#[derive(Clone)]
pub(super) enum Value {
    Null,
    Int(i64),
    Flag(bool),
    Text(Box<str>),
    Bytes(Zeroizing<Vec<u8>>),
}

/// A row of a result.
pub(super) struct Row(Vec<Value>);

impl Link<'_> {
    /// The rows that a statement returns. Its parameters `$1`, `$2`, … appear in their order: SQLite numbers them so.
    pub(super) async fn rows(self, sql: &str, values: &[Value]) -> Result<Vec<Row>, StoreError> {
        if values.iter().any(|value| matches!(value, Value::Text(text) if text.contains('\0'))) {
            return Err(StoreError::Unusable("a text with a NUL character cannot be stored".to_owned()));
        }
        match self {
            Self::Sqlite(connection) => sqlite_rows(connection, sql, values).map_err(|error| sqlite::failed(&error)),
            Self::Postgres(client) => {
                postgres_rows(client, sql, values).await.map_err(|error| postgres::failed(&error))
            }
        }
    }

    /// Executes statements without parameters and results.
    pub(super) async fn execute(self, sql: &str) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(connection) => connection.execute_batch(sql).map_err(|error| sqlite::failed(&error)),
            Self::Postgres(client) => client.batch_execute(sql).await.map_err(|error| postgres::failed(&error)),
        }
    }

    /// Does something in the transaction, and ends it.
    pub(super) async fn transact<T>(
        self,
        work: impl AsyncFnOnce(Link<'_>) -> Result<Ended<T>, StoreError>,
    ) -> Result<T, StoreError> {
        match work(self).await {
            Ok(Ended::Commit(done)) => self.execute("COMMIT").await.map(|()| done),
            Ok(Ended::RollBack(done)) => self.execute("ROLLBACK").await.map(|()| done),
            Err(error) => {
                // What failed is the error to tell.
                let _ = self.execute("ROLLBACK").await;
                Err(error)
            }
        }
    }
}

fn sqlite_rows(connection: &rusqlite::Connection, sql: &str, values: &[Value]) -> rusqlite::Result<Vec<Row>> {
    let mut statement = connection.prepare_cached(sql)?;
    let columns = statement.column_count();
    let mut found = statement.query(rusqlite::params_from_iter(values))?;
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        rows.push(Row((0..columns).map(|column| row.get(column)).collect::<Result<_, _>>()?));
    }
    Ok(rows)
}

async fn postgres_rows(
    client: &tokio_postgres::Client,
    sql: &str,
    values: &[Value],
) -> Result<Vec<Row>, tokio_postgres::Error> {
    // With the types given, a statement takes one round trip and leaves nothing behind in the server.
    let values: Vec<(&(dyn ToSql + Sync), Type)> =
        values.iter().map(|value| (value as &(dyn ToSql + Sync), value.postgres_type())).collect();
    let found = client.query_typed(sql, &values).await?;
    found
        .iter()
        .map(|row| (0..row.len()).map(|column| row.try_get(column)).collect::<Result<_, _>>().map(Row))
        .collect()
}

impl Row {
    pub(super) fn int(&self, column: usize) -> Result<i64, StoreError> {
        self.optional_int(column)?.ok_or_else(|| broken(column))
    }

    pub(super) fn optional_int(&self, column: usize) -> Result<Option<i64>, StoreError> {
        match self.0.get(column) {
            Some(Value::Int(number)) => Ok(Some(*number)),
            Some(Value::Null) => Ok(None),
            _ => Err(broken(column)),
        }
    }

    /// A change number.
    pub(super) fn number(&self, column: usize) -> Result<u64, StoreError> {
        u64::try_from(self.int(column)?).map_err(|_| broken(column))
    }

    pub(super) fn flag(&self, column: usize) -> Result<bool, StoreError> {
        match self.0.get(column) {
            Some(Value::Flag(flag)) => Ok(*flag),
            Some(Value::Int(number @ (0 | 1))) => Ok(*number == 1),
            _ => Err(broken(column)),
        }
    }

    pub(super) fn text(&self, column: usize) -> Result<Box<str>, StoreError> {
        self.optional_text(column)?.ok_or_else(|| broken(column))
    }

    pub(super) fn optional_text(&self, column: usize) -> Result<Option<Box<str>>, StoreError> {
        match self.0.get(column) {
            Some(Value::Text(text)) => Ok(Some(text.clone())),
            Some(Value::Null) => Ok(None),
            _ => Err(broken(column)),
        }
    }

    pub(super) fn bytes(&self, column: usize) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        match self.0.get(column) {
            Some(Value::Bytes(bytes)) => Ok(bytes.clone()),
            _ => Err(broken(column)),
        }
    }
}

fn broken(column: usize) -> StoreError {
    StoreError::Unusable(format!("column {column} of a row holds something unexpected"))
}

impl Value {
    fn postgres_type(&self) -> Type {
        match self {
            Self::Null => Type::UNKNOWN,
            Self::Int(_) => Type::INT8,
            Self::Flag(_) => Type::BOOL,
            Self::Text(_) => Type::TEXT,
            Self::Bytes(_) => Type::BYTEA,
        }
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

/// A change number, or a count: none comes near the end of the range.
impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl<V: Into<Self>> From<Option<V>> for Value {
    fn from(value: Option<V>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(number) => ValueRef::Integer(*number),
            Self::Flag(flag) => ValueRef::Integer(i64::from(*flag)),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

impl rusqlite::types::FromSql for Value {
    fn column_result(value: ValueRef<'_>) -> rusqlite::types::FromSqlResult<Self> {
        Ok(match value {
            ValueRef::Null => Self::Null,
            ValueRef::Integer(number) => Self::Int(number),
            ValueRef::Text(_) => Self::from(value.as_str()?),
            ValueRef::Blob(bytes) => Self::Bytes(Zeroizing::new(bytes.to_vec())),
            ValueRef::Real(_) => return Err(rusqlite::types::FromSqlError::InvalidType),
        })
    }
}

impl ToSql for Value {
    fn to_sql(&self, of: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Int(number) => number.to_sql(of, out),
            Self::Flag(flag) => flag.to_sql(of, out),
            Self::Text(text) => text.to_sql(of, out),
            Self::Bytes(bytes) => bytes.as_slice().to_sql(of, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Value {
    fn from_sql(of: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        match *of {
            Type::INT8 => i64::from_sql(of, raw).map(Self::Int),
            Type::BOOL => bool::from_sql(of, raw).map(Self::Flag),
            Type::BYTEA => Ok(Self::Bytes(Zeroizing::new(raw.to_vec()))),
            _ => <&str>::from_sql(of, raw).map(Self::from),
        }
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self::Null)
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// PostgreSQL's `ToSql` wants one. What is stored is nobody's business.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Value(…)")
    }
}
