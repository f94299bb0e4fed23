//! Statements that make, change and drop tables and views.

use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::datatypes::TimestampMicrosecondType;
use datafusion::sql::sqlparser::ast::{
    AlterTable, AlterTableOperation, CreateTable, CreateTableLikeKind, CreateView, Expr,
    ObjectName, ObjectType, SqlOption, Statement,
};
use datafusion::sql::sqlparser::dialect::BigQueryDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use serde_json::{Value, json};

use super::alter::{altered, columns};
use super::divide::layout;
use super::options::{TableOption, listed, table_options};
use super::parse::{Text, Written, before};
use super::run::plan;
use super::statements::{Context, statistics};
use super::tree::{named, select};
use super::{describe, invalid, names, not_served};
use crate::bigquery::load::Write;
use crate::bigquery::reference::TableRef;
use crate::bigquery::resource::{Object, merge};
use crate::bigquery::schema::Schema;
use crate::bigquery::table::{Kind, Table};
use crate::bigquery::tables;
use crate::error::ApiError;

impl Context<'_> {
    pub async fn define(&self, text: Text, kind: &str) -> Result<Object, ApiError> {
        let written = &text.written;
        match text.statement {
            Statement::CreateTable(create) => {
                self.create_table(create, written.clone(), kind).await
            }
            Statement::CreateView(create) => self.create_view(&create, written, kind),
            Statement::Drop {
                object_type,
                if_exists,
                names,
                ..
            } => self.drop(object_type, if_exists, &names, written, kind),
            Statement::Truncate(truncate) => {
                let [target] = truncate.table_names.as_slice() else {
                    return Err(not_served("TRUNCATE of several tables"));
                };
                self.change(&self.named(&target.name, written)?, kind, |table| {
                    table.files.clear();
                    Ok(())
                })
            }
            Statement::AlterTable(alter) => self.alter(alter, written, kind).await,
            Statement::StartTransaction { .. }
            | Statement::Commit { .. }
            | Statement::Rollback { .. } => Err(not_served(
                "BEGIN, COMMIT and ROLLBACK of transactions (each DML statement is one by itself)",
            )),
            _ => Err(not_served(&format!("{kind} statements"))),
        }
    }

    fn named(&self, name: &ObjectName, written: &Written) -> Result<TableRef, ApiError> {
        let reference = names::reference(
            &written.parts(name),
            &self.query.project,
            self.query.default.as_ref(),
        )?;
        reference.check()?;
        Ok(reference)
    }

    async fn create_table(
        &self,
        create: CreateTable,
        written: Written,
        kind: &str,
    ) -> Result<Object, ApiError> {
        if create.temporary || create.external {
            return Err(not_served("CREATE TEMP TABLE and CREATE EXTERNAL TABLE"));
        }
        let target = self.named(&create.name, &written)?;
        let present = self.cloud.bigquery.live(&target);
        if let Some(table) = &present {
            if create.if_not_exists {
                return Ok(done(kind, &target, "SKIP"));
            }
            if !create.or_replace || table.kind != Kind::Native {
                return Err(tables::already_exists(&target));
            }
        }
        let mut settings = layout(&create, &written)?;
        merge(
            &mut settings,
            &self.settings(listed(&create.table_options)).await?,
        );
        let schema = Schema {
            fields: columns(&create.columns, &written)?,
        };
        let operation = if present.is_some() {
            "REPLACE"
        } else {
            "CREATE"
        };
        let statistics = done(kind, &target, operation);
        if let Some((source, with_rows)) = origin(&create)? {
            let source = self.named(source, &written)?;
            return self.create_from(&source, with_rows, &target, settings, statistics);
        }
        match create.query {
            Some(query) => {
                let given = (!schema.fields.is_empty()).then_some(schema);
                self.select_into(
                    *query,
                    written,
                    &target,
                    Write::Truncate,
                    given,
                    settings,
                    statistics,
                )
                .await
            }
            None => {
                schema.check()?;
                tables::check_settings(&settings, &schema)?;
                let dataset = self.tables().dataset(&target.dataset())?;
                let mut table = Table::new(target.clone(), Kind::Native, &dataset.location, schema);
                table.settings = tables::with_defaults(settings, &dataset);
                table.commit(super::commit(self.job, &statistics));
                self.cloud.bigquery.tables.put(&target.key(), table)?;
                Ok(statistics)
            }
        }
    }

    /// `LIKE` takes the columns and settings of a table, `CLONE` and `COPY` its rows too.
    fn create_from(
        &self,
        source: &TableRef,
        with_rows: bool,
        target: &TableRef,
        settings: Object,
        statistics: Object,
    ) -> Result<Object, ApiError> {
        let source = self.tables().find(source)?;
        if source.kind != Kind::Native {
            return Err(invalid(format!("{} is not a table", source.reference)));
        }
        let dataset = self.tables().dataset(&target.dataset())?;
        let mut table = Table::new(
            target.clone(),
            Kind::Native,
            &dataset.location,
            source.schema,
        );
        let mut taken = source.settings;
        taken.remove("expirationTime");
        taken.remove("encryptionConfiguration");
        taken.extend(settings);
        table.settings = tables::with_defaults(taken, &dataset);
        if with_rows {
            table.files = source.files;
        }
        table.commit(super::commit(self.job, &statistics));
        self.cloud.bigquery.tables.put(&target.key(), table)?;
        Ok(statistics)
    }

    async fn alter(
        &self,
        alter: AlterTable,
        written: &Written,
        kind: &str,
    ) -> Result<Object, ApiError> {
        let target = self.named(&alter.name, written)?;
        let mut settings = Object::new();
        let mut operations = Vec::new();
        for operation in alter.operations {
            match operation {
                AlterTableOperation::SetOptionsParens { options } => {
                    merge(&mut settings, &self.settings(&options).await?);
                }
                other => operations.push(other),
            }
        }
        if alter.if_exists
            && self
                .tables()
                .find(&target)
                .is_err_and(|error| error.code == 404)
        {
            return Ok(done(kind, &target, "SKIP"));
        }
        self.change(&target, kind, |table| {
            let name = table.reference.to_string();
            for operation in &operations {
                table.schema = altered(&table.schema, &name, operation, written)?;
            }
            merge(&mut table.settings, &settings);
            tables::check_settings(&table.settings, &table.schema)
        })
    }

    /// A table's `OPTIONS(..)` as a patch of its settings.
    async fn settings(&self, options: &[SqlOption]) -> Result<Object, ApiError> {
        let mut settings = Object::new();
        for option in table_options(options)? {
            match option {
                TableOption::Set(name, value) => {
                    settings.insert(name.to_owned(), value);
                }
                TableOption::Partitions(name, value) => {
                    merge(
                        &mut settings,
                        &object(json!({"timePartitioning": {name: value}})),
                    );
                }
                TableOption::Expires(expr) => {
                    let at = self.moment(*expr).await?;
                    settings.insert("expirationTime".to_owned(), at.to_string().into());
                }
            }
        }
        Ok(settings)
    }

    /// The milliseconds of a TIMESTAMP that needs no table.
    async fn moment(&self, expr: Expr) -> Result<i64, ApiError> {
        let query = select(vec![named(expr, "at")], Vec::new(), None)?;
        let nothing = Written::default();
        let planned = plan(query, nothing, &self.tables(), &self.query.project, None)?;
        let mut found = None;
        planned
            .each(|batch| {
                let column = batch.column(0);
                let micros = column.as_primitive_opt::<TimestampMicrosecondType>();
                found = micros
                    .filter(|micros| micros.len() == 1 && micros.is_valid(0))
                    .map(|micros| micros.value(0) / 1000);
                Ok(())
            })
            .await?;
        found.ok_or_else(|| invalid("expiration_timestamp must be a TIMESTAMP".to_owned()))
    }

    fn create_view(
        &self,
        create: &CreateView,
        written: &Written,
        kind: &str,
    ) -> Result<Object, ApiError> {
        if create.materialized || !create.columns.is_empty() {
            return Err(not_served("CREATE VIEW with MATERIALIZED or a column list"));
        }
        let target = self.named(&create.name, written)?;
        let dataset = self.tables().dataset(&target.dataset())?;
        let present = self.cloud.bigquery.live(&target);
        if let Some(table) = &present {
            if create.if_not_exists {
                return Ok(done(kind, &target, "SKIP"));
            }
            if !create.or_replace || table.kind != Kind::View {
                return Err(tables::already_exists(&target));
            }
        }
        let sql = view_query(&self.query.sql)?;
        let schema = describe(self.cloud, &target.project, &sql)?;
        let statistics = done(
            kind,
            &target,
            if present.is_some() {
                "REPLACE"
            } else {
                "CREATE"
            },
        );
        let mut table = Table::new(target.clone(), Kind::View, &dataset.location, schema);
        table.settings.insert(
            "view".to_owned(),
            json!({"query": sql, "useLegacySql": false}),
        );
        table.commit(super::commit(self.job, &statistics));
        self.cloud.bigquery.tables.put(&target.key(), table)?;
        Ok(statistics)
    }

    fn drop(
        &self,
        object: ObjectType,
        if_exists: bool,
        names: &[ObjectName],
        written: &Written,
        kind: &str,
    ) -> Result<Object, ApiError> {
        let ([name], ObjectType::Table | ObjectType::View) = (names, object) else {
            return Err(not_served("DROP of anything but one table or view"));
        };
        let target = self.named(name, written)?;
        let table = match self.tables().find(&target) {
            Ok(table) => table,
            Err(error) if if_exists && error.code == 404 => return Ok(done(kind, &target, "SKIP")),
            Err(error) => return Err(error),
        };
        if (table.kind == Kind::View) != (object == ObjectType::View) {
            return Err(invalid(format!(
                "{target} is not a {}",
                if object == ObjectType::View {
                    "VIEW"
                } else {
                    "TABLE"
                }
            )));
        }
        self.cloud.bigquery.drop_table(&target.key())?;
        Ok(done(kind, &target, "DROP"))
    }

    /// Changes a native table's document.
    fn change(
        &self,
        target: &TableRef,
        kind: &str,
        change: impl FnOnce(&mut Table) -> Result<(), ApiError>,
    ) -> Result<Object, ApiError> {
        self.tables().find(target)?;
        let statistics = done(kind, target, "ALTER");
        self.cloud
            .bigquery
            .tables
            .update(&target.key(), |present| {
                let table = present.as_mut().ok_or_else(|| tables::not_found(target))?;
                if table.kind != Kind::Native {
                    return Err(invalid(format!("{target} is not a table")));
                }
                change(table)?;
                table.commit(super::commit(self.job, &statistics));
                Ok(())
            })?;
        Ok(statistics)
    }
}

/// The table that a new one is made from, and whether its rows come along.
fn origin(create: &CreateTable) -> Result<Option<(&ObjectName, bool)>, ApiError> {
    let like = create.like.as_ref().map(|like| match like {
        CreateTableLikeKind::Plain(like) | CreateTableLikeKind::Parenthesized(like) => {
            (&like.name, false)
        }
    });
    let origin = like.or_else(|| create.clone.as_ref().map(|name| (name, true)));
    if origin.is_some() && (!create.columns.is_empty() || create.query.is_some()) {
        return Err(not_served(
            "CREATE TABLE from another table with columns or AS of its own",
        ));
    }
    Ok(origin)
}

fn object(value: Value) -> Object {
    value.as_object().cloned().unwrap_or_default()
}

fn done(kind: &str, target: &TableRef, operation: &str) -> Object {
    statistics(
        kind,
        0,
        json!({"ddlTargetTable": target, "ddlOperationPerformed": operation}),
    )
}

/// The query of `CREATE VIEW ... AS query`, as written.
fn view_query(sql: &str) -> Result<String, ApiError> {
    let missing = || invalid("CREATE VIEW without AS".to_owned());
    let tokens = Tokenizer::new(&BigQueryDialect, sql)
        .tokenize_with_location()
        .map_err(|error| invalid(error.to_string()))?;
    let keyword = tokens
        .iter()
        .find(|token| matches!(&token.token, Token::Word(word) if word.keyword == Keyword::AS))
        .ok_or_else(missing)?;
    let head = before(sql, keyword.span.end).len();
    Ok(sql[head..]
        .trim()
        .trim_end_matches(';')
        .trim_end()
        .to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_views_query_is_kept_as_written() {
        let sql = "CREATE OR REPLACE VIEW d.v\nAS SELECT 'Ä' AS Name -- all\nFROM d.T;";
        assert_eq!(
            view_query(sql).unwrap(),
            "SELECT 'Ä' AS Name -- all\nFROM d.T"
        );
    }
}
