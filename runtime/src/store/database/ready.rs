//! A database made ready: its tables, made under a lock.

use std::fs::File;
use std::path::PathBuf;

use sqlx::any::AnyConnectOptions;
use sqlx::{AnyConnection, ConnectOptions, Connection};

use crate::store::error::{DatabaseError, meaning, migration};

use super::{Address, Engine, WAIT};

/// Makes the tables under a lock, so that ten tasks may start at once; gives the
/// database's id.
pub async fn ready(
    address: &Address,
    options: &AnyConnectOptions,
) -> Result<String, DatabaseError> {
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
