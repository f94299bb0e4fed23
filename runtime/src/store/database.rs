//! The one place that speaks SQL: connections, migrations, rows of the three tables.
//!
//! SQLite, PostgreSQL and MySQL say the same but for placeholders and times. Each call
//! is tried again where the connection broke: a write that had happened after all is
//! seen by its version.

mod engine;
mod ready;

use std::path::PathBuf;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use sqlx::any::{Any, AnyConnectOptions, AnyPoolOptions, AnyQueryResult};
use sqlx::query::Query;
use sqlx::{AnyConnection, AnyPool, AssertSqlSafe, ConnectOptions, Row};

use super::error::{DatabaseError, is_passing, meaning};
use super::{RunRow, Status};
pub use engine::Engine;
use ready::ready;

/// Many tasks share a server, and each asks little of it.
const CONNECTIONS: u32 = 2;
const IDLE: Duration = Duration::from_secs(20);
const WAIT: Duration = Duration::from_secs(20);
/// Longest key the tables hold.
const LONGEST_NAME: usize = 500;

/// One pipeline's rows in a database.
#[derive(Debug, Clone)]
pub struct Database {
    engine: Engine,
    pool: AnyPool,
    /// Its address, without the password.
    pub at: String,
    /// What a bucket calls it that handed its state over.
    pub id: String,
    of: Of,
}

/// Where a database is.
#[derive(Debug, Clone)]
pub struct Address {
    pub engine: Engine,
    pub url: SecretString,
    /// Without the password.
    pub shown: String,
    /// A file to lock while tables are made, for the engine that has no such lock.
    pub lock: Option<PathBuf>,
}

/// Whose rows.
#[derive(Debug, Clone)]
pub struct Of {
    pub client: String,
    pub pipeline: String,
}

impl Database {
    /// Connects and makes the tables, unless they are there.
    pub async fn open(address: Address, of: Of) -> Result<Database, DatabaseError> {
        sqlx::any::install_default_drivers();
        let at = address.shown.clone();
        let options: AnyConnectOptions = address
            .url
            .expose_secret()
            .parse()
            .map_err(|error| meaning(&at, error))?;
        let options = options.log_slow_statements(log::LevelFilter::Off, WAIT);
        let id = again(async || ready(&address, &options).await).await?;
        let pool = AnyPoolOptions::new()
            .max_connections(CONNECTIONS)
            .idle_timeout(IDLE)
            .acquire_timeout(WAIT)
            .connect_lazy_with(options);
        Ok(Database {
            engine: address.engine,
            pool,
            at,
            id,
            of,
        })
    }

    /// A stream's checkpoint: its document and its version.
    pub async fn checkpoint(&self, stream: &str) -> Result<Option<(String, i64)>, DatabaseError> {
        self.check(stream)?;
        let statement = self.engine.statement(
            "SELECT document, version FROM xetl_checkpoints \
             WHERE client = ? AND pipeline = ? AND stream = ?",
        );
        self.tried(async || {
            let query = sqlx::query(AssertSqlSafe(statement.clone()));
            let row = self
                .of(query)
                .bind(stream)
                .fetch_optional(&self.pool)
                .await?;
            row.map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
                .transpose()
        })
        .await
    }

    /// Adds a checkpoint; `false` if there is one.
    pub async fn add(
        &self,
        stream: &str,
        document: &str,
        version: i64,
    ) -> Result<bool, DatabaseError> {
        self.check(stream)?;
        self.tried(async || {
            let mut connection = self.pool.acquire().await?;
            self.insert(&mut connection, stream, document, version)
                .await
        })
        .await
    }

    /// Puts a checkpoint in place of the version `replaces` (0: none) and counts the rows
    /// for the run, in one transaction; `false` if another version is there.
    pub async fn replace(
        &self,
        stream: &str,
        document: &str,
        replaces: i64,
        counted: &RunRow<'_>,
    ) -> Result<bool, DatabaseError> {
        self.check(stream)?;
        let version = next_version(replaces, Timestamp::now());
        self.tried(async || {
            let mut transaction = self.pool.begin().await?;
            let is_ours = match replaces {
                0 => {
                    self.insert(&mut transaction, stream, document, version)
                        .await?
                }
                _ => {
                    let replaced = (replaces, version);
                    self.update(&mut transaction, stream, document, replaced)
                        .await?
                }
            };
            if is_ours {
                self.count(&mut transaction, counted).await?;
                transaction.commit().await?;
            }
            Ok(is_ours)
        })
        .await
    }

    async fn insert(
        &self,
        connection: &mut AnyConnection,
        stream: &str,
        document: &str,
        version: i64,
    ) -> sqlx::Result<bool> {
        let statement = self.engine.statement(
            "INSERT INTO xetl_checkpoints (client, pipeline, stream, version, document, updated_at) \
             VALUES (?, ?, ?, ?, ?, @)",
        );
        let query = self.of(sqlx::query(AssertSqlSafe(statement)));
        let query = query.bind(stream).bind(version).bind(document);
        unless_there(query.bind(self.now()).execute(connection).await)
    }

    async fn update(
        &self,
        connection: &mut AnyConnection,
        stream: &str,
        document: &str,
        (replaces, version): (i64, i64),
    ) -> sqlx::Result<bool> {
        let statement = self.engine.statement(
            "UPDATE xetl_checkpoints SET version = ?, document = ?, updated_at = @ \
             WHERE client = ? AND pipeline = ? AND stream = ? AND version = ?",
        );
        let query = sqlx::query(AssertSqlSafe(statement));
        let query = self.of(query.bind(version).bind(document).bind(self.now()));
        let done = query
            .bind(stream)
            .bind(replaces)
            .execute(connection)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Adds what a commit brought to the run that read it; a run without a row is one of
    /// another backend's time.
    async fn count(&self, connection: &mut AnyConnection, row: &RunRow<'_>) -> sqlx::Result<()> {
        let statement = self.engine.statement(
            "UPDATE xetl_runs SET row_count = row_count + ?, byte_count = byte_count + ? \
             WHERE client = ? AND pipeline = ? AND id = ? AND stream = ?",
        );
        let query = sqlx::query(AssertSqlSafe(statement));
        let query = self.of(query.bind(number(row.rows)).bind(number(row.bytes)));
        query
            .bind(row.run)
            .bind(row.stream)
            .execute(connection)
            .await?;
        Ok(())
    }

    /// Marks runs of the pipeline that still seem to run: this one holds the lease.
    pub async fn bury(&self, run: &str) -> Result<u64, DatabaseError> {
        let statement = self.engine.statement(
            "UPDATE xetl_runs SET status = 'FAILED', ended_at = @, error = 'ended without a word' \
             WHERE client = ? AND pipeline = ? AND id <> ? AND status = 'IN_PROGRESS'",
        );
        self.tried(async || {
            let query = sqlx::query(AssertSqlSafe(statement.clone())).bind(self.now());
            let done = self.of(query).bind(run).execute(&self.pool).await?;
            Ok(done.rows_affected())
        })
        .await
    }

    /// Notes that a stream is being loaded; a retry of the run begins it again.
    pub async fn begin(&self, run: &str, stream: &str) -> Result<(), DatabaseError> {
        self.check(stream)?;
        let insert = self.engine.statement(
            "INSERT INTO xetl_runs (client, pipeline, id, stream, status, started_at) \
             VALUES (?, ?, ?, ?, 'IN_PROGRESS', @)",
        );
        let resume = self.engine.statement(
            "UPDATE xetl_runs SET status = 'IN_PROGRESS', ended_at = NULL, error = NULL \
             WHERE client = ? AND pipeline = ? AND id = ? AND stream = ? AND status <> 'SUCCESS'",
        );
        self.tried(async || {
            let query = self.of(sqlx::query(AssertSqlSafe(insert.clone())));
            let query = query.bind(run).bind(stream).bind(self.now());
            if !unless_there(query.execute(&self.pool).await)? {
                let query = self.of(sqlx::query(AssertSqlSafe(resume.clone())));
                query.bind(run).bind(stream).execute(&self.pool).await?;
            }
            Ok(())
        })
        .await
    }

    /// Notes how a stream ended. What is loaded stays so, whatever another task says.
    pub async fn end(
        &self,
        run: &str,
        stream: &str,
        status: Status,
        error: Option<&str>,
    ) -> Result<(), DatabaseError> {
        let statement = self.engine.statement(
            "UPDATE xetl_runs SET status = ?, ended_at = @, error = ? \
             WHERE client = ? AND pipeline = ? AND id = ? AND stream = ? AND status <> 'SUCCESS'",
        );
        // PostgreSQL's text holds any character but this one.
        let error = error.map(|text| text.replace('\0', "\u{fffd}"));
        self.tried(async || {
            let query = sqlx::query(AssertSqlSafe(statement.clone()));
            let query = query
                .bind(status.word())
                .bind(self.now())
                .bind(error.clone());
            self.of(query)
                .bind(run)
                .bind(stream)
                .execute(&self.pool)
                .await?;
            Ok(())
        })
        .await
    }

    fn of<'q>(
        &self,
        query: Query<'q, Any, sqlx::any::AnyArguments>,
    ) -> Query<'q, Any, sqlx::any::AnyArguments> {
        query
            .bind(self.of.client.clone())
            .bind(self.of.pipeline.clone())
    }

    fn now(&self) -> String {
        self.engine.time(Timestamp::now())
    }

    fn check(&self, stream: &str) -> Result<(), DatabaseError> {
        let problem = if stream.chars().count() > LONGEST_NAME {
            "it has more than 500 characters"
        } else if stream.ends_with(' ') {
            "it ends with a space, which MySQL does not see"
        } else if stream.contains('\0') {
            "it holds a NUL character"
        } else {
            return Ok(());
        };
        Err(DatabaseError::Name {
            at: self.at.clone(),
            stream: stream.to_owned(),
            problem,
        })
    }

    async fn tried<T>(&self, work: impl AsyncFn() -> sqlx::Result<T>) -> Result<T, DatabaseError> {
        again(async || work().await.map_err(|error| meaning(&self.at, error))).await
    }
}

/// Three tries, where another may go well.
async fn again<T>(work: impl AsyncFn() -> Result<T, DatabaseError>) -> Result<T, DatabaseError> {
    let waits = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(200))
        .with_factor(4.0)
        .with_max_times(3);
    (|| work()).retry(waits).when(is_passing).await
}

/// Never one that was there before: a deleted checkpoint's versions do not come back.
fn next_version(replaces: i64, now: Timestamp) -> i64 {
    now.as_microsecond().max(replaces.saturating_add(1))
}

fn unless_there(done: sqlx::Result<AnyQueryResult>) -> sqlx::Result<bool> {
    match done {
        Ok(_) => Ok(true),
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(false),
        Err(error) => Err(error),
    }
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_never_comes_back() {
        let now = Timestamp::from_microsecond(5).unwrap();
        assert_eq!(next_version(0, now), 5);
        assert_eq!(next_version(5, now), 6);
        assert_eq!(next_version(9, now), 10);
    }
}
