//! What can go wrong with a database, by meaning, and what to do about it.

use sqlx::migrate::MigrateError;
use sqlx::mysql::MySqlDatabaseError;

/// A database that cannot be used. `at` is its address without the password.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    #[error(
        "cannot reach the state database {at}: {problem}. Does it run, and may this task connect to it?"
    )]
    Unreachable { at: String, problem: String },
    #[error(
        "the state database {at} refuses the user or the password. \
         Store the right one with `xetl secrets set --client ... state.password`"
    )]
    Refused { at: String },
    #[error("the state database {at} does not exist. Create it; xetl makes its tables in it")]
    Missing { at: String },
    #[error("the state database {at} is read-only: {problem}. Name the primary, not a replica")]
    ReadOnly { at: String, problem: String },
    #[error(
        "the state database {at} is full: {problem}. Make room, then run again; nothing is lost"
    )]
    Full { at: String, problem: String },
    #[error(
        "the state database {at} takes no more connections: {problem}. Raise its limit or lower `tasks`"
    )]
    Crowded { at: String, problem: String },
    #[error("the user of the state database {at} may not do this: {problem}")]
    Forbidden { at: String, problem: String },
    #[error(
        "the tables in the state database {at} are of a newer xetl (migration {version}). Deploy that image"
    )]
    Newer { at: String, version: i64 },
    #[error(
        "the tables in the state database {at} are not those xetl made: migration {version} {problem}. \
         Use an empty database, or repair the tables and the row in `xetl_migrations`"
    )]
    Altered {
        at: String,
        version: i64,
        problem: &'static str,
    },
    #[error("stream name `{stream}` cannot be a key in the state database {at}: {problem}")]
    Name {
        at: String,
        stream: String,
        problem: &'static str,
    },
    #[error("the state database {at} failed: {problem}")]
    Failed { at: String, problem: String },
}

/// Gives an error its meaning: the SQLSTATE of PostgreSQL, the number of MySQL, the
/// result code of SQLite.
pub fn meaning(at: &str, error: sqlx::Error) -> DatabaseError {
    let at = at.to_owned();
    let problem = match &error {
        sqlx::Error::Database(error) => error.message().to_owned(),
        error => error.to_string(),
    };
    let sqlx::Error::Database(database) = &error else {
        return match error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => DatabaseError::Unreachable { at, problem },
            _ => DatabaseError::Failed { at, problem },
        };
    };
    match code(database.as_ref()).as_str() {
        "pg 28P01" | "pg 28000" | "mysql 1045" | "mysql 1698" => DatabaseError::Refused { at },
        "pg 3D000" | "mysql 1049" => DatabaseError::Missing { at },
        "pg 25006" | "mysql 1290" | "mysql 1792" | "mysql 1836" | "sqlite 8" => {
            DatabaseError::ReadOnly { at, problem }
        }
        "pg 53100" | "mysql 1021" | "mysql 1114" | "sqlite 13" => {
            DatabaseError::Full { at, problem }
        }
        "pg 53300" | "mysql 1040" | "mysql 1203" => DatabaseError::Crowded { at, problem },
        "pg 42501" | "mysql 1044" | "mysql 1142" | "mysql 1227" => {
            DatabaseError::Forbidden { at, problem }
        }
        // Starting up, shutting down, or ended by an administrator.
        "pg 57P01" | "pg 57P02" | "pg 57P03" | "mysql 1053" | "mysql 1077" | "sqlite 5"
        | "sqlite 14" => DatabaseError::Unreachable { at, problem },
        _ => DatabaseError::Failed { at, problem },
    }
}

fn code(error: &dyn sqlx::error::DatabaseError) -> String {
    if let Some(error) = error.try_downcast_ref::<MySqlDatabaseError>() {
        return format!("mysql {}", error.number());
    }
    let code = error.code().unwrap_or_default();
    if error
        .try_downcast_ref::<sqlx::postgres::PgDatabaseError>()
        .is_some()
    {
        return format!("pg {code}");
    }
    // The low byte is the result, the rest says more of it.
    let result = code.parse::<u32>().map(|code| code & 0xff);
    format!("sqlite {}", result.unwrap_or_default())
}

/// Gives a failed migration its meaning.
pub fn migration(at: &str, error: MigrateError) -> DatabaseError {
    let altered = |version, problem| DatabaseError::Altered {
        at: at.to_owned(),
        version,
        problem,
    };
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            meaning(at, error)
        }
        MigrateError::VersionMissing(version) => DatabaseError::Newer {
            at: at.to_owned(),
            version,
        },
        MigrateError::VersionMismatch(version) => altered(version, "is another than ours"),
        MigrateError::Dirty(version) => altered(version, "stopped halfway"),
        error => DatabaseError::Failed {
            at: at.to_owned(),
            problem: error.to_string(),
        },
    }
}

/// Whether the same again may go well: the connection broke or the server starts.
pub fn is_passing(error: &DatabaseError) -> bool {
    matches!(
        error,
        DatabaseError::Unreachable { .. } | DatabaseError::Crowded { .. }
    )
}
