//! What differs between the engines: placeholders, times, and how tables are made.

use jiff::Timestamp;
use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// Beside sqlx's own default, so that a team's database may have migrations of its own.
const MIGRATIONS: &str = "xetl_migrations";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgres,
    Mysql,
}

impl Engine {
    /// A statement written with `?` for a value and `@` for a time, as the engine has it.
    pub fn statement(self, text: &str) -> String {
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

    /// A moment as the engine reads it.
    pub fn time(self, at: Timestamp) -> String {
        let text = at.strftime("%Y-%m-%d %H:%M:%S%.6f");
        match self {
            Engine::Postgres => format!("{text}+00"),
            Engine::Sqlite | Engine::Mysql => text.to_string(),
        }
    }

    pub fn migrator(self) -> Migrator {
        let text = match self {
            Engine::Sqlite => include_str!("../../../migrations/sqlite/0001_state.sql"),
            Engine::Postgres => include_str!("../../../migrations/postgres/0001_state.sql"),
            Engine::Mysql => include_str!("../../../migrations/mysql/0001_state.sql"),
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
}
