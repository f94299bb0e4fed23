//! The one place that speaks SQL: connections, migrations, rows of the three tables.
//!
//! SQLite, PostgreSQL and MySQL say the same but for placeholders and times. Each call
//! is tried again where the connection broke: a write that had happened after all is
//! seen by its version.

use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use sqlx::any::{Any, AnyConnectOptions, AnyPoolOptions, AnyQueryResult};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::query::Query;
use sqlx::{AnyConnection, AnyPool, AssertSqlSafe, ConnectOptions, Connection, Row, SqlSafeStr};

use super::error::{DatabaseError, is_passing, meaning, migration};
use super::{RunRow, Status};

/// Many tasks share a server, and each asks little of it.
const CONNECTIONS: u32 = 2;
const IDLE: Duration = Duration::from_secs(20);
const WAIT: Duration = Duration::from_secs(20);
/// Beside sqlx's own default, so that a team's database may have migrations of its own.
const MIGRATIONS: &str = "xetl_migrations";
/// Longest key the tables hold.
const LONGEST_NAME: usize = 500;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgres,
    Mysql,
}

impl Engine {
    /// A statement written with `?` for a value and `@` for a time, as the engine has it.
    fn statement(self, text: &str) -> String {
        let mut number = 0;
        let mut statement = String::with_capacity(text.len() + 32);
        for c in text.chars() {
            match (self, c) {
                (Engine::Postgres, '?' | '@') => {
                    number += 1;
                    let value = format!("${number}");
                    match c {
                        '@' => statement += &format!("CAST({value} AS TIMESTAMPTZ)"),
                        _ => statement += &value,
                    }
                }
                (_, '@') => statement.push('?'),
                _ => statement.push(c),
            }
        }
        statement
    }

    fn time(self, at: Timestamp) -> String {
        let text = at.strftime("%Y-%m-%d %H:%M:%S%.6f");
        match self {
            Engine::Postgres => format!("{text}+00"),
            Engine::Sqlite | Engine::Mysql => text.to_string(),
        }
    }

    fn migrator(self) -> Migrator {
        let text = match self {
            Engine::Sqlite => include_str!("../../migrations/sqlite/0001_state.sql"),
            Engine::Postgres => include_str!("../../migrations/postgres/0001_state.sql"),
            Engine::Mysql => include_str!("../../migrations/mysql/0001_state.sql"),
        };
        let first = Migration::new(
            1,
            "state".into(),
            MigrationType::Simple,
            text.into_sql_str(),
            false,
        );
        let mut migrator = Migrator::with_migrations(vec![first]);
        migrator.dangerous_set_table_name(MIGRATIONS);
        migrator
    }
}

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

/// Makes the tables under a lock, so that ten tasks may start at once; gives the
/// database's id.
async fn ready(address: &Address, options: &AnyConnectOptions) -> Result<String, DatabaseError> {
    let at = &address.shown;
    let _lock = match &address.lock {
        Some(path) => Some(locked(path.clone(), at).await?),
        None => None,
    };
    let connected = tokio::time::timeout(WAIT, options.connect()).await;
    let mut connection = match connected {
        Ok(connected) => connected.map_err(|error| meaning(at, error))?,
        Err(_) => {
            let problem = format!("no answer within {} s", WAIT.as_secs());
            return Err(unreachable(at, problem));
        }
    };
    if address.engine == Engine::Mysql {
        lock_mysql(&mut connection, at).await?;
    }
    let migrator = address.engine.migrator();
    migrator
        .run_direct(None, &mut connection, false)
        .await
        .map_err(|error| migration(at, error))?;
    let id = sqlx::query_scalar("SELECT id FROM xetl_database")
        .fetch_one(&mut connection)
        .await
        .map_err(|error| meaning(at, error))?;
    // What is left open the server closes by itself.
    let _ = connection.close().await;
    Ok(id)
}

/// Holds a lock until the connection is closed. `sqlx` waits for its own with a timeout
/// of -1, which MariaDB takes for none at all.
async fn lock_mysql(connection: &mut AnyConnection, at: &str) -> Result<(), DatabaseError> {
    // The server's locks are of all its databases, and have names of 64 characters.
    let lock = "SELECT CAST(GET_LOCK(CONCAT('xetl ', MD5(DATABASE())), 60) AS SIGNED)";
    let got: Option<i64> = sqlx::query_scalar(lock)
        .fetch_one(connection)
        .await
        .map_err(|error| meaning(at, error))?;
    match got {
        Some(1) => Ok(()),
        _ => Err(unreachable(at, "another task makes its tables".to_owned())),
    }
}

/// Holds the file's lock until it is dropped, also by the end of the process.
async fn locked(path: PathBuf, at: &str) -> Result<File, DatabaseError> {
    let lock = move || {
        let file = File::create(&path)?;
        file.lock()?;
        Ok(file)
    };
    match tokio::task::spawn_blocking(lock).await {
        Ok(locked) => locked.map_err(|error: std::io::Error| unreachable(at, error.to_string())),
        Err(error) => Err(unreachable(at, error.to_string())),
    }
}

fn unreachable(at: &str, problem: String) -> DatabaseError {
    DatabaseError::Unreachable {
        at: at.to_owned(),
        problem,
    }
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
    fn a_statement_is_written_once_for_all_engines() {
        let text = "UPDATE t SET a = ?, b = @ WHERE c = ?";
        assert_eq!(
            Engine::Postgres.statement(text),
            "UPDATE t SET a = $1, b = CAST($2 AS TIMESTAMPTZ) WHERE c = $3"
        );
        assert_eq!(
            Engine::Mysql.statement(text),
            "UPDATE t SET a = ?, b = ? WHERE c = ?"
        );
    }

    #[test]
    fn a_version_never_comes_back() {
        let now = Timestamp::from_microsecond(5).unwrap();
        assert_eq!(next_version(0, now), 5);
        assert_eq!(next_version(5, now), 6);
        assert_eq!(next_version(9, now), 10);
    }
}
